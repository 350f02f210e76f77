#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boxes on the way that take the option out of a segment, or change it: if what it said mattered,
# the connection is plain TCP, as it would be without hooker. So it is, though not at once, if
# they swallow segments with the option.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000

# Where an option has its fields: offset and size, in bits. Nobody needs the client's port and token
VERSION=32,16
CARRIERS=32,16
CARRIER_PORT=48,16
INSTANCE=64,32
TOKEN=128,32

# box HOST FLAGS STATEMENT...: for segments with those TCP flags, on their way into the host
box()
{
	local host=$1 flags=$2

	shift 2
	on "$host" nft -f - <<-EOF
		table inet box {
			chain in {
				type filter hook prerouting priority -300;
				tcp flags & (syn | ack) == $flags tcp option 254 exists counter $*
			}
		}
	EOF
}

no_box() { on "$1" nft delete table inet box; }
box_has_worked() { on "$1" nft list table inet box | grep -q 'packets [1-9]'; }

start()
{
	start_hookers --proto udp
	tapp_serve s $PORT -t 60 || die "no server"
}

# stop WHAT
stop()
{
	local host

	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$1, host $host: hooker ends in order" hooker_stop $host
	done
}

# spoils RESULT WHAT HOST FLAGS STATEMENT...: each connection is 'plain TCP', or 'hooked' still
spoils()
{
	local result=$1 what=$2 host=$3 v check=is_hooked

	[ "$result" = hooked ] || check=plain_tcp_carries
	box "${@:3}" || die "nft"
	for v in 4 6; do
		tap_check "$what: $result, IPv$v" $check $v
		tap_check "$what: and so is the next one, IPv$v" $check $v
	done
	tap_check "$what: the box was in the way" box_has_worked "$host"
	no_box "$host"
}

# field OFFSET,SIZE VALUE: a statement that changes it
field() { echo "tcp option @254,$1 set $2"; }

# What each offer, or its answer, says by itself: nobody remembers anything, so the same daemons
# do for all; in the end they have an association, and the third ACK is seen by a listener
single_segments()
{
	local syn_ack='(syn | ack)' v

	start
	spoils "plain TCP" "option taken out of SYN" s syn reset tcp option 254
	spoils "plain TCP" "option taken out of SYN-ACK" c "$syn_ack" reset tcp option 254
	spoils "plain TCP" "version changed in SYN" s syn "$(field $VERSION 0x5a03)"
	spoils "plain TCP" "version changed in SYN-ACK" c "$syn_ack" "$(field $VERSION 0x5a03)"
	spoils "plain TCP" "carriers changed in SYN" s syn "$(field $CARRIERS 0x1040)"
	spoils "plain TCP" "carriers changed in SYN-ACK" c "$syn_ack" \
		"$(field $CARRIERS 0x1040)"
	for v in 4 6; do
		tap_check "no box is in the way: hooked, IPv$v" is_hooked $v
	done
	spoils hooked "port changed in SYN" s syn "$(field $CARRIER_PORT 0x5a5a)"
	spoils hooked "token changed in SYN" s syn "$(field $TOKEN 0x5a5a5a5a)"
	spoils hooked "option taken out of third ACK" s ack reset tcp option 254
	spoils hooked "option changed in third ACK" s ack "$(field $VERSION 0x5a01)"
	stop "changed where it doesn't last"
}

# HELLO finds out, and that is remembered: daemons that know nothing yet for each of them
first_contact()
{
	start
	spoils "plain TCP" "$1" "${@:2}"
	stop "$1"
}

# Both families at the same time
connect_both()
{
	local v rc=0

	for v in 4 6; do
		on_bg c tapp$v "$TAPP" client -t 60 --up 100k --down 100k "$(addr s $v)" $PORT
	done
	for v in 4 6; do
		bg_wait tapp$v || rc=1
	done
	return $rc
}

swallowed() { [ "$(counter c offers_swallowed)" -eq "$1" ]; }

# Of one family's connections SYNs are swallowed, of the other's SYN-ACKs
swallows()
{
	local v round

	start
	box s syn meta nfproto ipv4 drop || die "nft"
	box c '(syn | ack)' meta nfproto ipv6 drop || die "nft"
	for round in 1 2; do
		tap_check "option swallowed, connection $round of each family" connect_both
	done
	tap_check "option swallowed: found out" swallowed 4
	for v in 4 6; do
		tap_check "option swallowed: the next one is plain TCP at once, IPv$v" \
			plain_tcp_carries $v -t 2	# the third SYN comes after 3 s
	done
	no_box s
	no_box c
	stop "option swallowed"
}

need_hooker
need_tapp
need nft
topo_up both delay 5ms
tap_plan $((10 * 5 + 2 + 2 + 4 * 7 + 7))
single_segments
first_contact "port changed in SYN-ACK" c '(syn | ack)' "$(field $CARRIER_PORT 0x5a5a)"
first_contact "instance changed in SYN" s syn "$(field $INSTANCE 0x5a5a5a5a)"
first_contact "instance changed in SYN-ACK" c '(syn | ack)' "$(field $INSTANCE 0x5a5a5a5a)"
first_contact "token changed in SYN-ACK" c '(syn | ack)' "$(field $TOKEN 0x5a5a5a5a)"
swallows
tap_finish
