#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Addresses change while bytes flow: a NAT forgets what it had translated, or translates to
# another address; this host gets another address, another device or another route. The
# applications' connections go on, and their bytes are right.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000

# start_both: a transfer over IPv4 and one over IPv6, both ways; returns in their midst
start_both() { start_lasting moving && wait_for 60 is_in_midst; }

# finish_both: they have gone on, and end well, with all bytes verified
finish_both() { get_further && ends_whole moving; }

# peers_of HOST KEY: of each association, one a line
peers_of() { hooker_show "$1" peers -j | json_values "$2"; }

# are_behind ADDRESS4 ADDRESS6 PORTS: where host s sees the peer of each family
are_behind()
{
	local addresses

	addresses=$(peers_of s address)
	echo "$addresses"
	[ "$(echo "$addresses" | grep -cE "^($1|\[$2\]):${3%%???-*}[0-9]{3}$")" -eq 2 ]
}

meet()
{
	tapp c --up 100k --down 100k "$ADDR4_s" $PORT &&
		tapp c --up 100k --down 100k "$ADDR6_s" $PORT &&
		server_verified $PORT 0 2 102400 && [ "$(counter c flows_active)" -eq 2 ] &&
		[ "$(peers_of c proto | sort -u)" = "$1" ] &&
		are_behind "$ADDR4_c" "$ADDR6_c" 20000-20999
}

# translated ADDRESS4 ADDRESS6 PORTS [ADDRESS4 ADDRESS6 PORTS]: in mid-flow to these, then to those
translated()
{
	local changes

	changes=$(peers_of s path_changes | awk '{ sum += $1 } END { print sum }')
	start_both || return 1
	nat_set "$1" "$2" "$3" || return 2
	if [ $# -gt 3 ]; then
		sleep 0.3
		shift 3
		nat_set "$1" "$2" "$3" || return 2
	fi
	finish_both || return 3
	are_behind "$1" "$2" "$3" || return 4
	[ "$(peers_of s path_changes | awk '{ sum += $1 } END { print sum }')" -gt "$changes" ] ||
		return 5
	# XDP doesn't look at ports
	[ "$1" = "$ADDR4_c" ] || [ "$(counter s xdp_pass_new_source)" -gt 0 ]
}

# The association is idle when the NAT forgets it; the next connection wakes it up there
translated_when_idle()
{
	local hooked behind

	hooked=$(counter c flows_active)
	behind=$(nr_served $PORT)
	nat_set "$1" "$2" "$3" || return 1
	tapp c -t 60 --up 1m --down 1m "$ADDR4_s" $PORT || return 2
	tapp c -t 60 --up 1m --down 1m "$ADDR6_s" $PORT || return 3
	server_verified $PORT "$behind" 2 $((1 << 20)) || return 4
	[ "$(counter c flows_active)" -eq $((hooked + 2)) ] || return 5
	are_behind "$1" "$2" "$3"
}

# Somebody who has overheard a datagram sends it again, from elsewhere
overheard()
{
	local refused

	start_both || return 1
	on n python3 -c "$COPY" "$ADDR4_s" || return 2
	finish_both || return 3
	are_behind "$@" || return 4
	refused=$(counter s rx_wrong_source)
	echo "not used: $refused"
	[ "$refused" -gt 0 ]
}

# Takes the association's id from what passes, and sends datagrams with the highest numbers
# and a CLOSE from an address of its own. What is asked of it, it doesn't answer.
COPY='
import socket, struct, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
tap.bind(("out", 3))
tap.settimeout(5)
to = socket.inet_aton(sys.argv[1])
while True:
    ip = tap.recv(2048)
    if ip[16:20] == to and ip[9] in (17, 136) and ip[28] == 0x10:
        break
port = struct.unpack("!H", ip[22:24])[0]
number = struct.unpack("!I", ip[32:36])[0]
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, ip[9])
own.bind(("192.0.2.200", 0))
for i in range(1000):
    head = struct.pack("!BBHI", 0x10, 0, 2, number + 100000 + i)
    own.sendto(head + ip[36:44] + b"\x08\x00", (sys.argv[1], port))'

# are_local ADDRESS4 ADDRESS6: from where host c reaches its peers, all of them
are_local()
{
	peers_of c local | sort -u
	[ "$(peers_of c local | sort -u | grep -cE "^($1|\[$2\]):0$")" -eq 2 ] &&
		[ "$(peers_of c local | sort -u | wc -l)" -eq 2 ]
}

# Other addresses of host c, the old ones are gone. The kernel sends no IPv4 from an address
# that it doesn't have, not even to its own: such an application waits for its address. When that
# is back, the association may go back to it.
other_address()
{
	start_both || return 1
	on c ip addr del 10.9.0.2/24 dev eth0
	on c ip addr del fd09::2/64 dev eth0
	sleep 0.3
	on c ip addr add 10.9.0.3/24 dev eth0
	on c ip addr add fd09::3/64 dev eth0 nodad
	on c ip route replace default via 10.9.0.1
	wait_for 30 are_local '10\.9\.0\.3' 'fd09::3' || return 2
	on c ip addr add 10.9.0.2/24 dev eth0
	finish_both
}

# The device fails, another one takes over; the addresses of the first stay configured
other_device()
{
	start_both || return 1
	on c ip route replace default via 10.8.0.1 dev eth1
	on c ip route replace default via fd08::1 dev eth1
	on c ip link set eth0 down
	finish_both || return 2
	are_local '10\.8\.0\.2' 'fd08::2'
}

# There is no way for a while, then another one
other_route()
{
	start_both || return 1
	on c ip route del default
	on c ip -6 route del default
	sleep 1
	on c ip route add default via 10.9.0.254
	on c ip route add default via fd09::fe
	finish_both
}

# A second way from host c to the router, and a second address of the router on the first
more_ways()
{
	local n c

	n=$(netns n)
	c=$(netns c)
	ip link add eth1 index 102 netns "$c" type veth peer name in1 netns "$n" ||
		die "cannot create a veth"
	on c ethtool -K eth1 tso off gso off gro off tx off >/dev/null
	on n ethtool -K in1 tso off gso off gro off tx off >/dev/null
	ip -n "$n" addr add 10.8.0.1/24 dev in1
	ip -n "$n" addr add fd08::1/64 dev in1 nodad
	ip -n "$n" addr add 10.9.0.254/24 dev in
	ip -n "$n" addr add fd09::fe/64 dev in nodad
	ip -n "$n" addr add 192.0.2.200/24 dev out
	ip -n "$c" addr add 10.8.0.2/24 dev eth1
	ip -n "$c" addr add fd08::2/64 dev eth1 nodad
	ip -n "$n" link set in1 up
	ip -n "$c" link set eth1 up
}

# run_carrier PROTO CARRIERS: what is used, of what is offered
run_carrier()
{
	local host at4=$ADDR4_c at6=$ADDR6_c

	nat_set "$at4" "$at6" 20000-20999 || die "the NAT cannot be set up"
	start_hookers --proto "$2"
	tapp_serve s $PORT -t 60 || die "no server"
	tap_check "$1: the hosts meet through a NAT" meet "$1"
	tap_check "$1: its ports change in mid-flow" translated "$at4" "$at6" 21000-21999
	tap_check "$1: its addresses, too" translated 192.0.2.77 2001:db8::77 22000-22999
	tap_check "$1: twice in a row" \
		translated "$at4" "$at6" 23000-23999 "$at4" "$at6" 24000-24999
	tap_check "$1: while nothing is sent" translated_when_idle "$at4" "$at6" 25000-25999
	tap_check "$1: somebody else sends from elsewhere" \
		overheard "$at4" "$at6" 25000-25999
	tap_check "$1: no route, then another one" other_route
	tap_check "$1: addresses of host c go, others come" other_address
	tap_check "$1: device of host c fails, another is used" other_device
	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$1, host $host: hooker ends in order" hooker_stop $host
	done
}

conntrack_verifies() { on n sh -c "echo $1 >/proc/sys/net/netfilter/nf_conntrack_checksum"; }

in_parts 2
need_hooker
need_tapp
need nft python3
tap_plan $((9 + 2))
TOPO_SEED=${SEED:-20} topo_up both delay 10ms rate 60mbit
nat_up
more_ways
# Where conntrack verifies checksums it doesn't know UDP-Lite's, and translates none of it.
nat_set "$ADDR4_c" "$ADDR6_c" 20000-20999 || skip_all "no NAT [kernel]"
conntrack_verifies $((LIB_PART - 1)) || skip_all "no conntrack [kernel]"
if [ "$LIB_PART" -eq 1 ]; then
	run_carrier udplite udplite
else
	run_carrier udp udplite,udp
fi
tap_finish
