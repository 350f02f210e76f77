#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Whatever the link does to datagrams, the bytes of each direction arrive complete, in order
# and unchanged; and what stops for a while goes on afterwards.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
SEED=${SEED:-20}
LINK=(both delay 5ms rate 100mbit queue 256k)
BEHIND=0			# connections that the server had served before
declare -A NUMBER=([udplite]=136 [udp]=17)

# Name, settings of both directions, counter that shows that it happened, bytes each way.
TROUBLES=(
	"lost, late, twice, damaged|loss 1% reorder 1% reorder-delay 3ms dup 1% corrupt 1%|dropped_loss|3m"
	"5 % lost|loss 5%|dropped_loss|1m"
	"lost in bursts|loss 2% burst 8|dropped_loss|2m"
	"a fifth out of order|reorder 20% reorder-delay 3ms|reordered|2m"
	"a third twice|dup 33%|duplicated|2m"
	"5 % damaged|corrupt 5%|corrupted|1m"
	"5 % damaged, headers too|corrupt 5% corrupt-where any|corrupted|1m"
	"short queue|queue 16k|dropped_queue|2m"
)
QUIET=(loss 0% burst 0 reorder 0% dup 0% corrupt 0% corrupt-where payload queue 256k)

# On a good link: what follows shall test the association, not its beginning.
meet()
{
	tapp c "$ADDR4_s" $PORT && tapp c "$ADDR6_s" $PORT && [ "$(counter c flows_active)" -eq 2 ]
}

# start_both OPTION...: a transfer over IPv4 and one over IPv6 at the same time
start_both()
{
	BEHIND=$(nr_served $PORT)
	start_transfer tapp "$@"
}

# trouble SETTINGS COUNTER SIZE OPTION...: under these settings, starting over from the seed
#
# One whose handshake is lost repeatedly is plain TCP, as it should be: then with another seed.
trouble()
{
	local settings=$1 counter=$2 hooked proto=${NUMBER[$PROTO]} try

	shift 2
	for try in 0 1 2; do
		hooked=$(counter c flows_active)
		# shellcheck disable=SC2086
		link_restart $((SEED + try)) "${LINK[@]}" $settings || return 1
		start_both --up "$1" --down "$1"
		both_verified tapp $((${1%m} << 20)) "$BEHIND" || return 2
		link_stats
		[ "$(counter c flows_active)" -ne $((hooked + 2)) ] || break
	done
	[ "$(counter c flows_active)" -eq $((hooked + 2)) ] || return 3
	[ "$(link_get both 6 with_payload)" -eq 0 ] || return 4
	[ "$(link_get ab "$proto" "$counter")" -gt 0 ] || return 5
	[ "$(link_get ba "$proto" "$counter")" -gt 0 ]
}

# Handshakes, HELLO and OPEN meet the trouble, too. Whatever becomes of a connection, carried
# or plain TCP, its bytes are right.
opened_in_trouble()
{
	local behind

	behind=$(nr_served $PORT)
	link_restart "$SEED" "${LINK[@]}" loss 3% dup 10% reorder 10% reorder-delay 3ms || return 1
	tapp c -t 60 -P 40 --up 20k --down 20k "$ADDR6_s" $PORT || return 2
	server_verified $PORT "$behind" 40 20480
}

all_troubles()
{
	local row name settings counter size

	for row in "${TROUBLES[@]}"; do
		IFS='|' read -r name settings counter size <<<"$row"
		tap_check "$PROTO: $name" trouble "$settings" "$counter" "$size"
		link_set both "${QUIET[@]}"
	done
	tap_check "$PROTO: 40 connections opened on a bad link" opened_in_trouble
	link_set both "${QUIET[@]}"
}

# lost_handshake DIRECTION: the first SYN or SYN-ACK is lost, the next one offers again
lost_handshake()
{
	local hooked

	hooked=$(counter c flows_active)
	link_reset
	link_set "$1" blackhole 6
	start_both --up 100k --down 100k
	wait_for 30 is_swallowed "$1" 2
	link_set both blackhole none
	both_verified tapp $((100 << 10)) "$BEHIND" || return
	[ "$(counter c flows_active)" -eq $((hooked + 2)) ]
}

is_swallowed() { [ "$(link_get "$1" 6 dropped_blackhole)" -ge "$2" ]; }

# interrupted WHAT COMMAND...: the command stops the transfers in their midst for seconds
interrupted()
{
	start_lasting moving
	wait_for 60 is_in_midst || return 1
	"$@"
	get_further || return 2
	ends_whole moving
}

black_hole()
{
	link_set both blackhole "${NUMBER[$PROTO]}"
	sleep 2
	link_set both blackhole none
}

# stop_daemon HOST
stop_daemon()
{
	hooker_signal "$1" STOP
	sleep 1.2
	hooker_signal "$1" CONT
}

run_carrier()
{
	local host

	start_hookers --proto "$PROTO"
	tapp_serve s $PORT -t 60 || die "no server"
	tap_check "$PROTO: the hosts meet" meet
	tap_check "$PROTO: SYN lost" lost_handshake ab
	tap_check "$PROTO: SYN-ACK lost" lost_handshake ba
	all_troubles
	tap_check "$PROTO: nothing gets through for 2 s" interrupted black_hole
	for host in c s; do
		tap_check "$PROTO: daemon on host $host is stopped for a second" \
			interrupted stop_daemon $host
	done
	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$PROTO, host $host: hooker ends in order" hooker_stop $host
		tap_check "$PROTO, host $host: nothing stays behind" leak_check $host
	done
}

in_parts 2
need_hooker
need_tapp
tap_plan $((1 + 2 + ${#TROUBLES[@]} + 1 + 3 + 4))
note "seed of the link: $SEED (SEED=N for another)"
TOPO_SEED=$SEED topo_up "${LINK[@]}"
[ "$LIB_PART" -eq 1 ] && PROTO=udplite || PROTO=udp
run_carrier
tap_finish
