#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# UDP-Lite deployed by BPF, end to end: the bytes of TCP applications between two hosts
# that have no other, or of which one has the kernel's sockets; devices that come and go,
# that are many, or have another XDP program; and `hooker ping`, which the program answers.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
CARRIER_PORT=18507
BYTES=$((1 << 20))
NR_MANY=20			# devices, all at once
ADDR_NEW_c=198.51.100.1 ADDR_NEW_s=198.51.100.2
MODE=xdpgeneric			# in which the other program is attached
declare -A WIRE=([udplite]=136 [udp]=17)
declare -A MAC_NEW=([c]=02:00:00:00:01:01 [s]=02:00:00:00:01:02)

# transfer HOST ADDRESS: each direction, then both at once
transfer()
{
	local behind

	behind=$(nr_served $PORT)
	tapp "$1" --down 1m "$2" $PORT && server_verified $PORT "$behind" 1 0 || return
	tapp "$1" --up 1m "$2" $PORT && tapp "$1" --up 1m --down 1m "$2" $PORT || return
	server_verified $PORT $((behind + 1)) 2 $BYTES
}

# went_by PROTO: all that transfer() moved since link_reset, and nothing else but handshakes
went_by()
{
	local proto

	link_stats
	[ "$(link_get both "${WIRE[$1]}" payload_bytes)" -ge $((4 * BYTES)) ] || return 1
	[ "$(link_get both 6 with_payload)" -eq 0 ] || return 2
	for proto in "${!WIRE[@]}"; do
		[ "$proto" = "$1" ] || [ "$(link_get both "${WIRE[$proto]}" packets)" -eq 0 ] ||
			return 3
	done
}

# bpf_ids HOST: what the host's daemon holds, as bpftool has it: "link id 7"
bpf_ids()
{
	sed -nE 's/^(link|prog|map)_id:[[:space:]]*/\1 id /p' \
		"/proc/$(bg_pid "hooker-$1")/fdinfo/"* | sort -u
}

# how_many OF: prints how many of them the kernel has
how_many()
{
	local object nr=0

	while read -r object; do
		# shellcheck disable=SC2086
		[ -z "$object" ] || ! bpftool ${object/ id/ show id} >/dev/null 2>&1 || nr=$((nr + 1))
	done <<<"$1"
	echo $nr
}

are_left() { [ "$(how_many "$1")" -eq "$2" ]; }

# ids_are_gone IDS NUMBER: there were at least the programs of hooker and of the mechanism
ids_are_gone()
{
	echo "$2 links, programs and maps"
	[ "$2" -ge 12 ] && wait_for 30 are_left "$1" 0
}

# ends_clean HOST NAME: programs in XDP and tc are links, so `bpftool net` has less to say
ends_clean()
{
	local ids nr

	ids=$(bpf_ids "$1")
	nr=$(how_many "$ids")
	tap_check "$2, host $1: exit status 0" hooker_stop "$1"
	tap_check "$2, host $1: no rule, route, cgroup or XDP program stays behind" leak_check "$1"
	if command -v bpftool >/dev/null; then
		tap_check "$2, host $1: nor any BPF link, program or map" \
			ids_are_gone "$ids" "$nr"
	else
		tap_skip "$2, host $1: nor any BPF link, program or map" \
			"bpftool is not installed [variant]"
	fi
}

# pair CLIENT SERVER: what --udplite says on each host
pair()
{
	local name="$1 and $2" v host

	HOOKER_ARGS_c="--udplite $1" HOOKER_ARGS_s="--udplite $2" start_hookers --proto udplite
	tapp_serve s $PORT || die "no server"
	for v in 4 6; do
		link_reset
		tap_check "$name, IPv$v: all bytes arrive" transfer c "$(addr s $v)"
		tap_check "$name, IPv$v: as IP protocol 136" went_by udplite
	done
	tap_check "$name: no flow stays behind" all_flows_end
	bg_stop tapp-$PORT
	for host in c s; do
		ends_clean $host "$name"
	done
}

# native_pair CLIENT SERVER: one of them needs the kernel's sockets
native_pair()
{
	local name="$1 and $2" nr

	if [ -e /proc/net/udplite ]; then
		pair "$1" "$2"
		return
	fi
	for nr in {1..11}; do
		tap_skip "$name, $nr" "this kernel has no UDP-Lite sockets [kernel]"
	done
}

# ---- hooker ping ----

add_idle()
{
	ip -n "$(netns s)" link add idle0 type veth peer name idle1
	ip -n "$(netns s)" link set idle0 up
	wait_for 30 has_xdp s idle0
}

# ping_gets HOST ANSWERS [OPTION...] ADDRESS
ping_gets()
{
	local host=$1 answers=$2 json

	shift 2
	json=$(on "$host" "$HOOKER" ping -j -c 3 -i 20 "$@")
	echo "$json"
	[ "$(json_values sent <<<"$json")" = 3 ] &&
		[ "$(json_values received <<<"$json")" = "$answers" ]
}

# ping_is_refused: addresses that no other host has, each with one line
ping_is_refused()
{
	local addr

	for addr in 127.0.0.1 ::1 fe80::1%eth0 224.0.0.1 255.255.255.255 ff02::1 0.0.0.0 :: ""; do
		on c "$HOOKER" ping -c 1 "$addr" 2>"$LIB_TMP/ping.err" && return 1
		cat "$LIB_TMP/ping.err"
		[ "$(wc -l <"$LIB_TMP/ping.err")" -eq 1 ] &&
			grep -qE 'this host itself|link-local|of a host|not known' "$LIB_TMP/ping.err" ||
			return 1
	done
}

says_refused()
{
	on c "$HOOKER" ping -c 3 -i 20 --port $((CARRIER_PORT + 1)) "$(addr s "$1")" |
		grep 'errors, last: Connection refused'
}

pings()
{
	local v proto

	add_idle || die "cannot add a device"
	for v in 4 6; do
		for proto in udp udplite; do
			if [ $proto = udplite ] && [ ! -e /proc/net/udplite ]; then
				tap_skip "ping, IPv$v, $proto: answered" \
					"this kernel has no UDP-Lite sockets [kernel]"
				continue
			fi
			tap_check "ping, IPv$v, $proto: answered" \
				ping_gets c 3 --proto $proto "$(addr s $v)"
		done
	done
	tap_check "counted on the device that they came by" \
		test "$(xdp_counter s eth0 xdp_tx_probe)" -ge 6
	tap_check "and on no other" test "$(xdp_counter s idle0 xdp_tx_probe)" -eq 0
	tap_check "ping: nobody answers at another port" \
		ping_gets c 0 --port $((CARRIER_PORT + 1)) "$(addr s)"
	for v in 4 6; do
		tap_check "ping, IPv$v: says why" says_refused $v
	done
	tap_check "ping: refuses what is no host's address" ping_is_refused
	ip -n "$(netns s)" link del idle0
}

# ---- devices ----

# has_xdp HOST DEVICE
has_xdp() { ip -n "$(netns "$1")" link show "$2" | grep -q 'prog/xdp'; }
nr_with_xdp() { ip -n "$(netns "$1")" link | grep -c 'prog/xdp'; }
has_nr_with_xdp() { [ "$(nr_with_xdp "$1")" -eq "$2" ]; }

# A second way between the hosts, with checksum offload as veth has it by default
add_wire()
{
	local host addr other

	ip link add new0 index 101 netns "$(netns c)" address "${MAC_NEW[c]}" type veth \
		peer name new0 netns "$(netns s)" address "${MAC_NEW[s]}" || return
	for host in c s; do
		addr=ADDR_NEW_$host
		other=$([ $host = c ] && echo s || echo c)
		ip -n "$(netns $host)" addr add "${!addr}/24" dev new0
		ip -n "$(netns $host)" link set new0 up
		addr=ADDR_NEW_$other
		ip -n "$(netns $host)" neigh add "${!addr}" lladdr "${MAC_NEW[$other]}" dev new0
	done
}

# is_carried_by HOST ADDRESS PROTO
is_carried_by()
{
	local peers

	peers=$(hooker_show "$1" peers -j)
	echo "$peers"
	[ "$(grep -o '{[^{}]*}' <<<"$peers" | grep -F "\"$2:" | json_values proto)" = "$3" ]
}

# Over the device that is there, while the other one goes
goes_meanwhile()
{
	add_wire && wait_for 30 has_xdp s new0 || return
	on_bg c meanwhile "$TAPP" client --down 8m "$(addr s)" $PORT
	ip -n "$(netns c)" link del new0 || return
	bg_wait meanwhile
}

add_many()
{
	local i

	for ((i = 0; i < NR_MANY; i += 2)); do
		echo "link add many$i type veth peer name many$((i + 1))"
		echo "link set many$i up"
		echo "link set many$((i + 1)) up"
	done | ip -n "$(netns s)" -batch - && wait_for 30 has_nr_with_xdp s $((NR_MANY + 1))
}

del_many()
{
	local i

	for ((i = 0; i < NR_MANY; i += 2)); do
		echo "link del many$i"
	done | ip -n "$(netns s)" -batch -
}

knows_only_eth0()
{
	[ "$(hooker_show s stats -j | grep -o '"xdp_mode"[^}]*}' | tr -d ' ')" = \
		'"xdp_mode":{"eth0":"generic"}' ]
}

# The association comes into being on the device that did.
new_device()
{
	local host

	start_hookers --udplite deployed
	tapp_serve s $PORT || die "no server"
	add_wire || die "cannot add a second wire"
	for host in c s; do
		tap_check "host $host: a device that comes up gets the program" \
			wait_for 30 has_xdp $host new0
	done
	tap_check "and carries all bytes" transfer c $ADDR_NEW_s
	tap_check "as UDP-Lite" is_carried_by c $ADDR_NEW_s udplite
	bg_stop tapp-$PORT
	ip -n "$(netns c)" link del new0
	for host in c s; do
		ends_clean $host "new device"
	done
}

devices()
{
	local host

	start_hookers --udplite deployed
	tapp_serve s $PORT || die "no server"
	tap_check "all bytes arrive over the first device" transfer c "$(addr s)"
	tap_check "another one comes and goes, and disturbs nobody" goes_meanwhile
	tap_check "$NR_MANY devices come at once and all get the program" add_many
	tap_check "the daemon still carries" transfer c "$(addr s)"
	tap_check "they go at once" del_many
	tap_check "and the daemon knows that" wait_for 30 knows_only_eth0
	pings
	bg_stop tapp-$PORT
	for host in c s; do
		ends_clean $host "devices"
	done
}

# ---- another XDP program ----

other_xdp()
{
	ip -n "$(netns s)" link set eth0 $MODE obj "$OTHER" sec xdp 2>"$LIB_TMP/other.err" ||
		{ sed 's/^/# /' "$LIB_TMP/other.err"; return 1; }
}

is_complained_of() { [ "$(grep -c 'eth0: another XDP program' "$(bg_err hooker-s)")" -eq "$1" ]; }

refuses_named()
{
	hooker_launch s --dev eth0
	bg_wait hooker-s
	[ $? -eq 1 ] && is_complained_of 1
}

# occupied HOW PROTO: from that host, so that its HELLOs are those which could be mistaken
occupied()
{
	local name="another XDP program, $1" proto=$2

	HOOKER_ARGS_s="--udplite $1" start_hookers
	tapp_serve c $PORT || die "no server"
	tap_check "$name: said once" is_complained_of 1
	tap_check "$name: all bytes arrive" transfer s "$(addr c)"
	tap_check "$name: over $proto, says host s" is_carried_by s "$(addr c)" "$proto"
	tap_check "$name: over $proto, says host c" is_carried_by c "$(addr s)" "$proto"
	bg_stop tapp-$PORT
	hooker_stop c
	hooker_stop s
}

occupied_all()
{
	local nr

	if ! other_xdp; then
		for nr in {1..10}; do
			tap_skip "another XDP program, $nr" "iproute2 can't attach one [variant]"
		done
		return
	fi
	if [ -e /proc/net/udplite ]; then
		occupied native udplite
	else
		for nr in 1 2 3 4; do
			tap_skip "another XDP program, native, $nr" \
				"this kernel has no UDP-Lite sockets [kernel]"
		done
	fi
	occupied deployed udp
	tap_check "another XDP program: --dev refuses to go on without" refuses_named
	tap_check "it is left alone" has_xdp s eth0
}

need_hooker
need_tapp
OTHER=$(find_object exp253.bpf.o) || skip_all "exp253.bpf.o is not built [variant]"
tap_plan $((3 * 11 + 10 + 6 + 10 + 6 + 10 + 1))
topo_up both delay 2ms rate 500mbit
pair deployed deployed
native_pair deployed native
native_pair native deployed
new_device
devices
occupied_all
tap_check "nothing made the measurements void" link_is_sound
tap_finish
