#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Transfers whose datagrams leave through AF_XDP sockets: every byte arrives, in both
# families and directions, whatever becomes of neighbours, link and MTU meanwhile. The
# counters tell that frames were sent, and what went by the socket instead.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
RATE_MBIT=200
SIZE=8m
BYTES=$((8 << 20))
FRAMES=3000				# fewer would not have been enough for SIZE

# has_sent_frames HOST BEFORE NUMBER
has_sent_frames() { [ $(($(counter "$1" xsk_frames) - $2)) -ge "$3" ]; }

# both_ways VERSION: the server verifies what it gets, the client what comes back
both_ways()
{
	local behind

	behind=$(nr_served $PORT)
	tapp c --up $SIZE --down $SIZE "$(addr s "$1")" $PORT || return
	server_verified $PORT "$behind" 1 $BYTES
}

no_csum_errors()
{
	local host group nr

	for host in c s; do
		for group in Udp UdpLite; do
			nr=$(snmp_get "$host" "$group" InCsumErrors)
			[ "${nr:-0}" -eq 0 ] || return 1
		done
		! on "$host" grep -E '^Udp(Lite)?6InCsumErrors' /proc/net/snmp6 |
			grep -v '[[:space:]]0$' || return 2
	done
}

# transfer VERSION WHAT: whole, and as frames on both sides
transfer()
{
	local c s

	c=$(counter c xsk_frames)
	s=$(counter s xsk_frames)
	tap_check "IPv$1, $2: arrives whole both ways" both_ways "$1"
	tap_check "IPv$1, $2: host c sent frames" has_sent_frames c "$c" $FRAMES
	tap_check "IPv$1, $2: host s sent frames" has_sent_frames s "$s" $FRAMES
}

# disturb WHAT COMMAND...: while a transfer is under way; frames are sent afterwards
disturb()
{
	local what=$1 frames

	shift
	start_lasting moving
	tap_check "$what: transfers are under way" wait_for 60 is_in_midst
	"$@"
	tap_check "$what: everything arrives nevertheless" goes_on_whole
	frames=$(counter c xsk_frames)
	both_ways 4
	tap_check "$what: frames are sent again" has_sent_frames c "$frames" $FRAMES
}

goes_on_whole() { get_further && ends_whole moving; }

forget_neighbours()
{
	local pause

	for pause in 0.02 0.03 0.04 0.05; do
		ip -n "$(netns c)" neigh del "$(addr s)" dev eth0
		sleep $pause
	done
}

# The IPv6 address goes away with the link.
link_down_up()
{
	ip -n "$(netns c)" link set eth0 down
	sleep 0.3
	ip -n "$(netns c)" link set eth0 up
	ip -n "$(netns c)" addr add "$(addr c 6)/64" dev eth0 nodad
	wait_for 30 lib_has_carrier c
}

shrink() { ip -n "$(netns c)" link set eth0 mtu 1400; }

has_copy_mode() { hooker_show c stats -j | grep -q '"xsk_mode" *: *{ *"eth0" *: *"copy" *}'; }

has_sums()
{
	local name sum=0

	for name in new refresh route neighbour device size full ipsec; do
		sum=$((sum + $(counter c "xsk_fallback_$name")))
	done
	[ "$sum" -gt 0 ] && [ $((sum - $(counter c xsk_fallback))) -le 0 ]
}

stop_all()
{
	local host

	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$1: host $host stops" hooker_stop $host
		tap_check "$1: host $host has nothing left" leak_check $host
	done
}

tap_plan 31
lib_init
need_hooker
need_tapp
TOPO_ARP=1 topo_up rate ${RATE_MBIT}mbit delay 2ms

start_hookers --proto udplite --carrier xsk
[ -n "$(counter c xsk_frames)" ] || skip_all "has no AF_XDP sockets [kernel]"
tapp_serve s $PORT || die "tapp does not serve"
transfer 4 "UDP-Lite as the kernel has it"
transfer 6 "UDP-Lite as the kernel has it"
tap_check "the device is named, with its mode" has_copy_mode
tap_check "reasons add up" has_sums
disturb "neighbours forgotten" forget_neighbours
tap_range "neighbours forgotten: some went by the socket" 1 \
	"$(counter c xsk_fallback_neighbour)" 1000000
disturb "link down and up" link_down_up
disturb "smaller MTU" shrink
ip -n "$(netns c)" link set eth0 mtu 1500
tap_check "no checksum was wrong" no_csum_errors
tap_check "no frame was lost with its device" test "$(counter c xsk_frames_lost)" -eq 0
stop_all "UDP-Lite as the kernel has it"

start_hookers --proto udplite --udplite deployed --carrier xsk
tapp_serve s $PORT || die "tapp does not serve"
transfer 4 "deployed UDP-Lite"
stop_all "deployed UDP-Lite"
tap_finish
