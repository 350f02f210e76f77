#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job: the bytes of an unmodified TCP application travel over the carrier, all of
# them, in both directions and roles, and connect() costs what it should.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000				# of the server on host s
PORT_C=5001				# of the one on host c
DELAY_MS=5
RTT_US=$((2 * DELAY_MS * 1000))

# connect() is measured on a longer link: a round trip too many shall be longer than anything that
# scheduling on a busy machine adds to the median of several, or to the only one.
FAR_MS=40
FAR_US=$((2 * FAR_MS * 1000))
SLACK_US=$((FAR_US * 3 / 4))

SIZES=(0 1 3k 510k 26m)
REQUEST=64				# what tapp's client says before its own bytes
declare -A NUMBER=([udplite]=136 [udp]=17)
declare -A PLAIN_US=()
declare -A FDS=()

# map_id HOST NAME: of the map that this host's daemon holds, not of another's
map_id()
{
	local id

	sed -n 's/^map_id:[[:space:]]*//p' "/proc/$(bg_pid "hooker-$1")/fdinfo/"* | sort -u |
	while read -r id; do
		bpftool map show id "$id" | grep -q "name $2 " && echo "$id"
	done
}

has_no_verdicts() { bpftool map dump id "$(map_id "$1" hk_verdicts)" | grep -q '^Found 0\|^\[\]'; }

plain_tcp()
{
	local v=$1

	tap_check "IPv$v: plain TCP works" tapp_first c -n 5 "$(addr s "$v")" $PORT
	PLAIN_US[$v]=$(tapp_get connect_us)
}

connect_times()
{
	local v=$1 what=$2

	link_set both delay ${FAR_MS}ms
	tapp_first c "$(addr s "$v")" $PORT
	tap_range "$what: first contact costs at most another round trip" "$FAR_US" \
		"$(tapp_get connect_us)" $((PLAIN_US[$v] + FAR_US + SLACK_US)) us
	tapp_first c -n 5 "$(addr s "$v")" $PORT
	tap_range "$what: later connections cost none" "$FAR_US" \
		"$(tapp_get connect_us)" $((PLAIN_US[$v] + SLACK_US)) us
	link_set both delay ${DELAY_MS}ms
}

bytes_of()
{
	case $1 in
	*k) echo $((${1%k} << 10)) ;;
	*m) echo $((${1%m} << 20)) ;;
	*) echo "$1" ;;
	esac
}

# transfer CLIENT-HOST ADDRESS SIZE PORT: each direction, then both
transfer()
{
	local behind

	behind=$(nr_served "$4")
	tapp "$1" --down "$3" "$2" "$4" && server_verified "$4" "$behind" 1 0 || return
	tapp "$1" --up "$3" "$2" "$4" && tapp "$1" --up "$3" --down "$3" "$2" "$4" || return
	server_verified "$4" $((behind + 1)) 2 "$(bytes_of "$3")"
}

# wire_is_clean PROTOCOL-NUMBER CONNECTIONS BYTES: what link_reset was called before
#
# A handshake may be seen again, for the kernel's timers know nothing of a busy machine.
wire_is_clean()
{
	local payload carried syn tcp

	carried=$(link_get both "$1" payload_bytes)
	payload=$((carried + $(link_get both 6 payload_bytes)))
	syn=$(link_get both 6 syn)
	tcp=$(link_get both 6 packets)
	link_stats
	[ "$carried" -ge "$3" ] && [ $((carried * 100)) -ge $((payload * 99)) ] || return 1
	[ "$(link_get both 6 with_payload)" -eq 0 ] || return 2
	[ "$(link_get both 6 fin)" -eq 0 ] && [ "$(link_get both 6 rst)" -eq 0 ] || return 3
	[ "$syn" -ge $((2 * $2)) ] && [ "$syn" -le $((2 * $2 + 2)) ] || return 4
	[ $((tcp - syn)) -ge "$2" ] && [ $((tcp - syn)) -le $(($2 + 2)) ]
}

sizes()
{
	local proto=$1 v=$2 size

	link_reset
	for size in "${SIZES[@]}"; do
		tap_check "IPv$v, $proto: $size each way and both" \
			transfer c "$(addr s "$v")" "$size" $PORT
	done
	tap_check "IPv$v, $proto: TCP shows handshakes, all payload is protocol ${NUMBER[$proto]}" \
		wire_is_clean "${NUMBER[$proto]}" $((3 * ${#SIZES[@]})) $((4 * (26 << 20)))
}

# The other host's application connects, over the association that exists already.
swapped_roles()
{
	local proto=$1 v=$2 before

	before=$(counter s flows_active)
	link_reset
	tap_check "IPv$v, $proto: roles swapped" transfer s "$(addr c "$v")" 510k $PORT_C
	tap_check "IPv$v, $proto: those connections were hooked" \
		test "$(counter s flows_active)" -eq $((before + 3))
	tap_check "IPv$v, $proto: and the wire shows it" \
		wire_is_clean "${NUMBER[$proto]}" 3 $((4 * (510 << 10)))
}

run_many()
{
	local behind

	behind=$(nr_served $PORT)
	tapp c -P 200 --up 20k --down 20k "$1" $PORT && server_verified $PORT "$behind" 200 20480
}

many_at_once()
{
	local proto=$1 v=$2 before

	before=$(counter c flows_active)
	link_reset
	tap_check "IPv$v, $proto: 200 connections at once" run_many "$(addr s "$v")"
	tap_check "IPv$v, $proto: all of them hooked" \
		test $(($(counter c flows_active) - before)) -eq 200 -a \
		"$(link_get both 6 with_payload)" -eq 0
}

has_flow_bytes() { [ "$(hooker_show "$1" flows -j | json_sum "$2")" -ge $((1 << 20)) ]; }

# is_flow HOST ROLE LOCAL REMOTE PROTO: the report on the one flow that there is
#
# Half-closed, since tapp's client has nothing to send and says so at once.
is_flow()
{
	local json sum

	json=$(hooker_show "$1" flows -j) || return 1
	echo "$json"
	[ "$(json_values role <<<"$json")" = "$2" ] || return 2
	[ "$(json_values local <<<"$json")" = "$3" ] || return 3
	[ "$(json_values remote <<<"$json")" = "$4" ] || return 4
	[ "$(json_values proto <<<"$json")" = "$5" ] || return 5
	[ "$(json_values state <<<"$json")" = half-closed ] || return 6
	sum=$(($(json_sum fast_lane_bytes <<<"$json") + $(json_sum native_lane_bytes <<<"$json")))
	[ "$(json_sum app_to_net_bytes <<<"$json")" -eq $sum ]
}

# is_peer HOST ADDRESS PROTO: the report on the peer of that address
is_peer()
{
	local json

	json=$(hooker_show "$1" peers -j | grep -o '{[^{}]*}' | grep -F "\"$2\"") || return 1
	echo "$json"
	[ "$(json_values proto <<<"$json")" = "$3" ] || return 2
	[ "$(json_values srtt_us <<<"$json")" -ge $RTT_US ] || return 3
	[ "$(json_values srtt_us <<<"$json")" -lt 1000000 ] || return 4
	[ "$(json_values cwnd_bytes <<<"$json")" -gt 0 ] || return 5
	[ "$(json_values lost_packets <<<"$json")" -ge 0 ]
}

# One connection whose reader pauses, and is stopped meanwhile, so that there is something to look
# at for as long as it takes. It has more bytes than all buffers on the way, else the server would
# be done already.
reports()
{
	local proto=$1 v=$2 client server

	server="$(url_addr s "$v"):$PORT"
	all_flows_end
	on_bg c looked-at "$TAPP" client -t 60 --down 64m --client-pause 1m:2000 \
		"$(addr s "$v")" $PORT
	wait_for 30 has_flow_bytes c net_to_app_bytes
	bg_signal looked-at STOP
	wait_for 30 has_flow_bytes s app_to_net_bytes
	client=$(hooker_show c flows -j | json_values local)
	tap_check "IPv$v, $proto: client's flow" is_flow c client "$client" "$server" "$proto"
	tap_check "IPv$v, $proto: server's flow" is_flow s server "$server" "$client" "$proto"
	tap_check "IPv$v, $proto: the request was counted on both hosts" test \
		"$(hooker_show c flows -j | json_sum app_to_net_bytes) $(hooker_show s flows -j |
		json_sum net_to_app_bytes)" = "$REQUEST $REQUEST"
	tap_check "IPv$v, $proto: client's peer" is_peer c "$(url_addr s "$v"):18507" "$proto"
	tap_check "IPv$v, $proto: server's peer" is_peer s "$(url_addr c "$v"):18507" "$proto"
	bg_signal looked-at CONT
	tap_check "IPv$v, $proto: a reader's pause does no harm" bg_wait looked-at
}

# Counters of both daemons and of their programs tell the same story.
stats_agree()
{
	local nr

	nr=$(counter c taken_active)
	[ "$nr" -gt 0 ] || return 1
	[ "$(counter c flows_active)" -eq "$nr" ] || return 2
	[ "$(counter s taken_passive)" -eq "$nr" ] && [ "$(counter s flows_passive)" -eq "$nr" ] ||
		return 3
	[ "$(counter s stray_dropped)" -gt 0 ] || return 4	# third ACKs
	[ "$(counter c flows)" -eq 0 ] && [ "$(counter c peers)" -eq 2 ] || return 5
	[ "$(counter c flows_reset)" -eq 0 ] && [ "$(counter s flows_reset)" -eq 0 ] || return 6
	[ "$(counter c take_failed)" -eq 0 ] && [ "$(counter c draining)" = no ] || return 7
	case $(counter c fast_lane) in
	yes) [ "$(counter c fast_lane_bytes)" -gt 0 ] ;;
	no) [ "$(counter c fast_lane_bytes)" -eq 0 ] ;;
	*) return 8 ;;
	esac
}

nothing_is_left()
{
	local proto=$1 host

	tap_check "$proto: no flow stays behind" all_flows_end
	tap_check "$proto: the counters of both hosts agree" stats_agree
	for host in c s; do
		tap_check "$proto, host $host: as many open files as before" \
			test "$(nr_fds $host)" -eq "${FDS[$host]}"
		if command -v bpftool >/dev/null; then
			tap_check "$proto, host $host: no verdict stays behind" \
				wait_for 20 has_no_verdicts $host
		else
			tap_skip "$proto, host $host: no verdict stays behind" \
				"bpftool is not installed"
		fi
		tap_check "$proto, host $host: exit status 0" hooker_stop $host
		tap_check "$proto, host $host: no rule, route or program stays behind" \
			leak_check $host
	done
}

# Listeners come after the daemons: it is those that they serve.
run_carrier()
{
	local proto=$1 v host

	start_hookers --proto "$proto"
	for host in c s; do
		FDS[$host]=$(nr_fds $host)
	done
	tapp_serve s $PORT -t 60 && tapp_serve c $PORT_C || die "no server"
	for v in 4 6; do
		connect_times "$v" "IPv$v, $proto"
		sizes "$proto" $v
		swapped_roles "$proto" $v
		many_at_once "$proto" $v
		reports "$proto" $v
	done
	bg_stop tapp-$PORT
	bg_stop tapp-$PORT_C
	nothing_is_left "$proto"
}

need_hooker
need_tapp
tap_plan $((3 + 2 * (2 * (2 + ${#SIZES[@]} + 1 + 3 + 2 + 6) + 10)))
topo_up both delay ${FAR_MS}ms
tapp_serve s $PORT || die "no server"
plain_tcp 4
plain_tcp 6
bg_stop tapp-$PORT
run_carrier udplite
run_carrier udp
tap_check "nothing made the measurements void" link_is_sound
tap_finish
