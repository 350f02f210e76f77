#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Path MTU: paths that take less than the first link, or less than before, with a router
# that says so or none; jumbo frames. The transfer in the midst of which it happens
# completes, every byte is verified, and no packet is ever fragmented.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
LINK=(rate 200mbit delay 5ms queue 256k mtu 0 mtu-tell no)
BYTES=$((6 << 20))
STEP=16					# a search may end so much below what passes
declare -A NUMBER=([udplite]=136 [udp]=17)
declare -A HEADERS=([4]=28 [6]=48)

# peer_value HOST FAMILY NAME: of the association with the other host
peer_value()
{
	local other=s

	[ "$1" = c ] || other=c
	hooker_show "$1" peers -j | tr '{' '\n' | grep -F "\"$(url_addr $other "$2"):" |
		json_values "$3"
}

show_peers()
{
	local host

	for host in c s; do
		hooker_show $host peers -j | tr '{' '\n' |
			grep -oE '"(address|path_mtu_bytes|mtu_[a-z_]*|black_holes|ptos)":[^,]*' |
			tr '\n' ' ' | sed "s/^/host $host: /; s/ \"address\"/\n  &/2g"
		echo
	done
}

# has_size HOST MTU [EXACT]: of both associations, not more than MTU allows and not much less
has_size()
{
	local v size most

	for v in 4 6; do
		most=$(($2 - HEADERS[$v]))
		size=$(peer_value "$1" $v path_mtu_bytes)
		[ "$size" -le $most ] && [ "$size" -gt $((most - ${3:-$STEP})) ] || return 1
	done
}

# settles HOST MTU [EXACT]: has_size once the search has ended, for which it needs streams
settles()
{
	local tries=5

	while [ $((tries--)) -gt 0 ]; do
		has_size "$@" && return 0
		start_both 1m
		both_verified tapp $((1 << 20)) "$BEHIND" >"$LIB_TMP/settle" || return 1
	done
	show_peers
	echo "host $1: expected $2"
	return 1
}

# sum HOST NAME: of both associations
sum() { hooker_show "$1" peers -j | json_sum "$2"; }

# start_both BYTES: a transfer over IPv4 and one over IPv6, both ways at once
start_both()
{
	BEHIND=$(nr_served $PORT)
	start_transfer tapp --up "$1" --down "$1"
}

# Nothing was fragmented by a host, nor would have been by a router
no_fragments()
{
	local what host

	for what in fragments may_split; do
		[ "$(link_get both link $what)" -eq 0 ] || return 1
	done
	for host in c s; do
		[ "$(snmp_get $host Ip FragCreates)" -eq 0 ] || return 2
		[ "$(on $host awk '$1 == "Ip6FragCreates" { print $2 }' /proc/net/snmp6)" -eq 0 ] ||
			return 3
	done
}

# changed COMMAND...: in the midst of the transfers
changed()
{
	start_lasting moving
	wait_for 60 is_in_midst 500000 || return 101
	"$@" || return 102
	get_further 3000000 || return 103
	ends_whole moving || return 103
	show_peers
	[ "$(link_get both 6 with_payload)" -eq 0 ] || return 104
	no_fragments
}

# dropped DIRECTION: something was too large there
dropped() { [ "$(link_get "$1" "${NUMBER[$PROTO]}" dropped_mtu)" -gt 0 ]; }

# Nobody tells; the directions differ
silently()
{
	changed link_set ab mtu 1400 ba mtu 1330 || return
	dropped ab && dropped ba || return 1
	settles c 1400 && settles s 1330 || return 2
	[ "$(sum c black_holes)" -eq 2 ] && [ "$(sum s black_holes)" -eq 2 ] || return 3
	[ "$(sum c mtu_hints)" -eq 0 ]
}

with_message()
{
	changed link_set mtu 1400 mtu-tell yes || return
	dropped ab && dropped ba || return 1
	settles c 1400 1 && settles s 1400 1 || return 2
	[ "$(sum c black_holes)" -eq 0 ] && [ "$(sum s black_holes)" -eq 0 ] || return 3
	[ "$(sum c mtu_hints)" -ge 2 ] && [ "$(sum s mtu_hints)" -ge 2 ]
}

set_device() { ip -n "$(netns "$1")" link set eth0 mtu "$2"; }

# The device of this very host: EMSGSIZE instead of ICMP. veth takes 4 bytes more than its
# MTU from the other side, as room for a VLAN tag, and drops what is larger.
own_device()
{
	changed set_device c 1400 || return
	settles c 1400 1 && settles s 1404 || return 1
	[ "$(sum c black_holes)" -eq 0 ] && [ "$(sum c mtu_hints)" -eq 2 ] || return 2
	[ "$(sum s black_holes)" -eq 2 ]
}

# The first HELLO is lost, and what proved a small size grows
from_the_start()
{
	local exact=$2

	link_set mtu 1400 mtu-tell "$1"
	start_both $BYTES
	both_verified tapp $BYTES "$BEHIND" || return
	[ "$(counter c flows_active)" -eq 2 ] || return 1
	no_fragments && dropped ab || return 2
	settles c 1400 "$exact" && settles s 1400 || return 3
	[ "$(sum c black_holes)" -eq 0 ]
}

# set_mtu MTU: of all four devices; linkem reads it when it starts
set_mtu()
{
	local host

	for host in c s; do
		set_device $host "$1" && ip -n "$(netns r)" link set r$host mtu "$1" || return
	done
	link_restart 1 "${LINK[@]}"
}

# HELLO is no larger than Ethernet's MTU, the rest is found; then the path shrinks to that
jumbo()
{
	local v

	start_both $BYTES
	both_verified tapp $BYTES "$BEHIND" || return
	settles c 9000 1 && settles s 9000 1 || return 1
	for v in 4 6; do
		[ "$(peer_value c $v datagram_bytes)" -eq $((1500 - HEADERS[$v])) ] || return 2
	done
	# one each, unless it is lost with what else a full queue has no room for
	[ "$(sum c mtu_probes_sent)" -le 4 ] || return 3
	changed link_set mtu 1500 || return
	settles c 1500 && settles s 1500 || return 4
	[ "$(sum c black_holes)" -eq 2 ]
}

# What the kernel was told of paths by then
flush_routes()
{
	local host

	for host in c s; do
		ip -n "$(netns $host)" route flush cache
		ip -n "$(netns $host)" -6 route flush cache
	done
}

# run NAME COMMAND...: with daemons that know nothing yet
run()
{
	local name=$1

	shift
	link_set both "${LINK[@]}"
	link_reset
	flush_routes
	start_hookers --proto "$PROTO"
	tap_check "$PROTO: $name" "$@"
	hooker_stop c || die "$(hooker_log c)"
	hooker_stop s || die "$(hooker_log s)"
}

in_parts 2
need_hooker
need_tapp
tap_plan $((6 + 4))
topo_up "${LINK[@]}"
tapp_serve s $PORT -t 60 || die "no server"
[ "$LIB_PART" -eq 1 ] && PROTO=udplite || PROTO=udp
run "the path shrinks without a word" silently
run "the path shrinks, a router tells" with_message
run "the device shrinks" own_device
set_device c 1500
run "small from the start, without a word" from_the_start no $STEP
run "small from the start, a router tells" from_the_start yes 1
set_mtu 9000
run "jumbo frames, and a path that loses them" jumbo
set_mtu 1500
tap_check "$PROTO: host c is as it was" leak_check c
bg_stop tapp-$PORT
tap_check "$PROTO: host s is as it was" leak_check s
tap_check "$PROTO: nothing made the measurements void" link_is_sound
tap_check "$PROTO: not a fragment on either host" no_fragments
tap_finish
