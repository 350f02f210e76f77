#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Damaged packets, end to end. Connections for which both hosts' rules say "cover header"
# get their bytes with the bits wrong that flipped on the way, and no other: one in each
# damaged packet at most, nothing missing, nothing in the wrong place or connection. All
# other connections never get a wrong bit.
#
# COVER_COUNT: packets to be damaged, for each kind of connection, carrier and family.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

COUNT=${COVER_COUNT:-1000}
CONNS=4
PORT_FULL=5000 PORT_HEADER=5001 PORT_CLIENT=5002 PORT_SERVER=5003
LINK=(both delay 4ms rate 500mbit queue 1m)
PAYLOAD=1400			# bytes of a datagram, about
HURT=136			# IP protocol of what is damaged

need_hooker
need_tapp

# bad_bits PORT BEHIND: that the client got, and the server since so many connections
bad_bits()
{
	{ sed -n 's/^bad_bits=/x bad_bits=/p' "$(bg_out "client-$1")"; served "$1" "$2"; } |
		sed -n 's/.* bad_bits=\([0-9]*\).*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }'
}

# Requests are application data, too: damage begins when all are there
has_asked() { [ "$(nr_flows s)" -ge "$1" ] && have_carried "$1" 64; }

# start_conns PORT ADDRESS BYTES: they send when $LIB_TMP/go exists
start_conns()
{
	on_bg c "client-$1" "${RUN_BY[@]}" "$TAPP" client -P $CONNS -t 60 --count-bad --up "$3" \
		--down "$3" --go "$LIB_TMP/go" "$2" "$1"
}

# finish_conns PORT BEHIND BYTES: complete in both directions, whatever the bits
finish_conns()
{
	bg_wait "client-$1" || { cat "$(bg_out "client-$1")"; return 1; }
	grep -q "^verified_bytes=$((CONNS * $3))$" "$(bg_out "client-$1")" &&
		server_verified "$1" "$2" $CONNS "$3"
}

# hurt PERCENT FAMILY PORT...: connections to all of these ports at the same time, with
# their packets damaged anywhere. Leaves DAMAGED, and BAD by port
hurt()
{
	local percent=$1 family=$2 port bytes behind=() rc=0

	shift 2
	bytes=$((COUNT * 115 / percent * PAYLOAD / CONNS / 2 / $#))
	rm -f "$LIB_TMP/go"
	link_reset
	for port; do
		behind[$port]=$(nr_served "$port")
		start_conns "$port" "$(addr s "$family")" $bytes
	done
	wait_for 30 has_asked $(($# * CONNS)) || note "not all connections are there"
	SHOWN=$(hooker_show c flows)
	link_set both corrupt "$percent%" corrupt-where any
	: >"$LIB_TMP/go"
	for port; do
		finish_conns "$port" "${behind[$port]}" $bytes || rc=1
	done
	link_set both corrupt 0%
	DAMAGED=$(link_get both $HURT corrupted)
	for port; do
		BAD[$port]=$(bad_bits "$port" "${behind[$port]}")
	done
	all_flows_end || rc=2
	return $rc
}

declare -A BAD
RUN_BY=()

# broken: what would be more than wrong bits
broken()
{
	local host name sum=0

	for host in c s; do
		for name in flows_reset peers_lost open_refused rx_unknown_association; do
			sum=$((sum + $(counter $host $name)))
		done
	done
	echo $sum
}

# full NAME FAMILY PORT: a tenth of the packets, each of them is lost
full()
{
	local before

	before=$(nr_partial)
	tap_check "$1: all bytes arrive" hurt 10 "$2" "$3"
	tap_range "$1: packets damaged" "$COUNT" "$DAMAGED" 1000000000
	tap_check "$1: no bit is wrong" test "${BAD[$3]}" -eq 0
	tap_check "$1: all of each datagram covered" test "$(nr_partial)" -eq "$before"
}

# header NAME FAMILY: many more can be damaged
header()
{
	local before

	before=$(nr_partial)
	tap_check "$1: all bytes arrive" hurt 30 "$2" $PORT_HEADER
	tap_range "$1: packets damaged" "$COUNT" "$DAMAGED" 1000000000
	tap_range "$1: of them with one wrong bit each" $((DAMAGED / 2)) "${BAD[$PORT_HEADER]}" \
		"$DAMAGED"
	tap_range "$1: datagrams covered in part" $((2 * COUNT)) $(($(nr_partial) - before)) \
		1000000000
}

shows() { grep -E "$1" <<<"$SHOWN"; }

# An association for each family, so that what follows doesn't depend on first contact: a machine
# that is too busy to answer HELLO in time makes that plain TCP, for a minute.
meet()
{
	tapp c "$(addr s)" $PORT_FULL && tapp c "$(addr s 6)" $PORT_FULL &&
		[ "$(counter c flows_active)" -eq 2 ]
}

# start ARGUMENTS: as start_once, until the daemons know each other
start()
{
	local tries

	for tries in 1 2 3; do
		start_once "$@"
		meet && return
		note "first contact failed, $tries"
		stop_all
	done
	die "no association"
}

# start_once ARGUMENTS: both daemons, and the rules
start_once()
{
	local port

	start_hookers "$@"
	hooker_do c policy add out port $PORT_HEADER cover header &&
		hooker_do c policy add out port $PORT_CLIENT cover header &&
		hooker_do s policy add in port $PORT_HEADER cover header &&
		hooker_do s policy add in port $PORT_SERVER cover header || die "no rules"
	for port in $PORT_FULL $PORT_HEADER $PORT_CLIENT $PORT_SERVER; do
		tapp_serve s $port -t 60 || die "no server"
	done
}

stop_all()
{
	local port

	for port in $PORT_FULL $PORT_HEADER $PORT_CLIENT $PORT_SERVER; do
		bg_stop tapp-$port
	done
	hooker_stop c
	hooker_stop s
}

stop()
{
	tap_check "$1: no connection was reset, no association lost" test "$(broken)" -eq 0
	stop_all
}

# both_kinds NAME: by IPv4 and IPv6
both_kinds()
{
	local v

	for v in 4 6; do
		full "$1, IPv$v, full" $v $PORT_FULL
		header "$1, IPv$v, header" $v
	done
}

# Connections of both kinds share an association
mixed()
{
	tap_check "$1, both kinds: all bytes arrive" hurt 10 4 $PORT_FULL $PORT_HEADER
	tap_check "$1, both kinds: of one, no bit is wrong" test "${BAD[$PORT_FULL]}" -eq 0
	tap_range "$1, both kinds: of the other, some are" 1 "${BAD[$PORT_HEADER]}" "$DAMAGED"
	tap_check "$1, both kinds: listed as such" shows '5001 .* header'
}

exec_agrees()
{
	RUN_BY=("$HOOKER" --name "$(hooker_name c)" exec cover header --)
	hurt 10 6 $PORT_SERVER
	RUN_BY=()
	echo "${BAD[$PORT_SERVER]} of $DAMAGED"
	[ "${BAD[$PORT_SERVER]}" -gt 0 ] && [ "${BAD[$PORT_SERVER]}" -le "$DAMAGED" ]
}

native()
{
	start --proto udplite --udplite native
	both_kinds native
	mixed native
	COUNT=$((COUNT / 4))
	full "rule on the client only" 4 $PORT_CLIENT
	full "rule on the server only" 6 $PORT_SERVER
	tap_check "rule on the server, exec on the client: bits are wrong" exec_agrees
	COUNT=$((COUNT * 4))
	stop native
}

deployed()
{
	start --proto udplite --udplite deployed
	both_kinds deployed
	stop deployed
}

# Whoever sends them: the kernel's sockets on one side
unlike()
{
	HOOKER_ARGS_c="--udplite native" HOOKER_ARGS_s="--udplite deployed" start --proto udplite
	header "native and deployed, header" 4
	stop "native and deployed"
}

frames()
{
	start --proto udplite --carrier xsk
	header "AF_XDP, header" 4
	tap_range "AF_XDP: datagrams that left as frames" "$COUNT" "$(counter c xsk_frames)" \
		1000000000
	stop "AF_XDP"
}

# Its checksum covers all, always
udp()
{
	start --proto udp
	HURT=17
	COUNT=$((COUNT / 4))
	full "UDP, header" 4 $PORT_HEADER
	stop UDP
}

# with_sockets FUNCTION TESTS: needs the kernel's UDP-Lite
with_sockets()
{
	local i

	if [ -e /proc/net/udplite ]; then
		"$1"
		return
	fi
	for ((i = 1; i <= $2; i++)); do
		tap_skip "$1, $i" "this kernel has no UDP-Lite sockets [kernel]"
	done
}

tap_plan $((30 + 17 + 5 + 6 + 5 + 1))
topo_up "${LINK[@]}"
with_sockets native 30
deployed
with_sockets unlike 5
with_sockets frames 6
udp
tap_check "nothing made the measurements void" link_is_sound
tap_finish
