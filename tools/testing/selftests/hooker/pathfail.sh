#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Paths that change while connections use them: carriers that are filtered from some moment on, in
# one direction or both, silently or with an ICMP error; paths that let nothing through any more,
# lead elsewhere or are another one. What can be carried on is, the rest is reset in time, and new
# connections are plain TCP.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
LINK=(both delay 5ms rate 40mbit queue 256k)
SIZE=$((4 << 20))
DEAD_S=2

# reject_udplite HOST: with an ICMP error, as a firewall does
reject_udplite()
{
	on "$1" nft -f - <<-EOF
		table inet wall {
			chain in {
				type filter hook input priority 0;
				meta l4proto udplite reject
			}
		}
	EOF
}

open_wall() { on "$1" nft delete table inet wall; }

start()
{
	start_hookers "$@"
	tapp_serve s $PORT -t 60 || die "no server"
}

# filtered WHAT UP COMMAND...: UDP-Lite, by the command; up to so many bytes travel to the server
filtered()
{
	local what="UDP-Lite filtered, $1" up=$2

	shift 2
	start
	start_lasting bulk --up "$up"
	wait_for 60 have_carried 2 100000 || note "$what: no transfer to interrupt"
	tap_check "$what: it was in use" all_use udplite
	"$@"
	tap_check "$what: UDP is in use" wait_for 60 all_use udp
	tap_check "$what: it carries" carry_on
	tap_check "$what: every byte arrives" ends_whole bulk
}

# got_by_client: bytes, by the flow that has least
got_by_client() { hooker_show c flows -j | json_values net_to_app_bytes | sort -n | head -n 1; }
has_got() { [ "$(got_by_client)" -ge "$1" ]; }

carry_on() { wait_for 60 has_got $(($(got_by_client) + 1000000)); }

# filter_link DIRECTION
filter_link() { link_set "$1" blackhole 136; }
open_link() { link_set both blackhole none; }

filtered_silently()
{
	local dir

	for dir in ab ba both; do
		filtered "$dir" 4g filter_link $dir
		open_link
		stop_both "filtered, $dir"
	done
	filtered "both, download only" 1 filter_link both
	open_link
	stop_both "filtered, download only"
	filtered "towards the server, download only" 1 filter_link ab
	open_link
	stop_both "filtered, towards the server, download only"
}

filtered_with_errors()
{
	filtered "with ICMP errors" 4g reject_udplite s
	open_wall s
	stop_both "filtered with ICMP errors"
}

# A pause of all carriers is none of one of them.
pause_stays()
{
	local what="nothing gets through for a while"

	start
	start_lasting bulk
	wait_for 60 is_in_midst || note "$what: no transfer to interrupt"
	link_set both blackhole 136,17
	sleep 1.5
	open_link
	tap_check "$what: transfers go on" get_further
	tap_check "$what: transfers complete" ends_whole bulk
	tap_check "$what: the carrier stays" all_use udplite
	stop_both "$what"
}

# The last datagram got through somewhere between the two times at which the link is asked.
nothing_gets_through()
{
	local what="nothing gets through, --dead-time $DEAD_S" before after reset

	start --dead-time $DEAD_S
	start_transfer bulk --up 60m --down 60m
	wait_for 30 have_carried 2 100000 || note "$what: no transfer to interrupt"
	before=$(now_ms)
	link_set both blackhole 136,17
	after=$(now_ms)
	wait_for 30 clients_ended bulk
	reset=$(last_said_ms "$(bg_out bulk4)" "$(bg_out bulk6)")
	tap_check "$what: both applications see a reset" all_were_reset bulk
	tap_range "$what: not too early" $((DEAD_S * 1000 - 300)) $((reset - before)) 30000 ms
	tap_range "$what: in time" 0 $((reset - after)) $((DEAD_S * 1000 + 1500)) ms
	open_link
	stop_both "$what"
}

# Not a packet can leave, then all of them again, over a path four times as long.
route_changes()
{
	local what="route withdrawn and replaced"

	start
	start_lasting bulk
	wait_for 60 is_in_midst || note "$what: no transfer to interrupt"
	ip -n "$(netns c)" route del 192.0.2.0/24
	ip -n "$(netns c)" -6 route del 2001:db8::/64
	link_set both delay 20ms
	sleep 1
	ip -n "$(netns c)" route add 192.0.2.0/24 dev eth0 proto kernel scope link \
		src "$ADDR4_c"
	ip -n "$(netns c)" -6 route add 2001:db8::/64 dev eth0 proto kernel metric 256
	tap_check "$what: transfers go on" get_further
	tap_check "$what: transfers complete" ends_whole bulk
	link_set both delay 5ms
	stop_both "$what"
}

# It doesn't hear anything, and then everything at once.
daemon_sleeps()
{
	local what="daemon on host $1 sleeps for a while"

	start
	start_lasting bulk
	wait_for 60 is_in_midst || note "$what: no transfer to interrupt"
	hooker_signal "$1" STOP
	sleep 2
	hooker_signal "$1" CONT
	tap_check "$what: transfers go on" get_further
	tap_check "$what: transfers complete" ends_whole bulk
	stop_both "$what"
}

# Datagrams go to another daemon than the one that answered the offer, as behind a load balancer
# that knows nothing of hooker.
goes_elsewhere()
{
	local what="carrier goes to another daemon" v

	on_bg s other "$HOOKER" run --name "${LIB_ID}o" --cgroup "$LIB_CGROOT/$LIB_ID"r \
		--port 18508 --proto udp --no-xdp
	wait_line "$(bg_out other)" '^hooker: ready' || die "$(cat "$(bg_err other)")"
	on s nft -f - <<-EOF
		table inet balancer {
			chain in {
				type nat hook prerouting priority -100;
				udp dport 18507 redirect to :18508
			}
		}
	EOF
	start --proto udp --no-xdp
	for v in 4 6; do
		tap_check "$what: plain TCP, IPv$v" plain_tcp_carries $v
	done
	tap_check "$what: that one was asked in vain" test \
		"$(on s "$HOOKER" --name "${LIB_ID}o" show stats |
			awk '$1 == "hello_rejected" { print $2 }')" -gt 0
	bg_stop other
	on s nft delete table inet balancer
	stop_both "$what"
}

# Connections that were taken over before it are lost; no others.
swallowed_on_known_path()
{
	local what="nothing gets through to a known host" v

	start --dead-time 3
	start_transfer first --up 60m --down 60m
	wait_for 30 have_carried 2 100000 || note "$what: no connections"
	link_set both blackhole 136,17
	sleep 1
	for v in 4 6; do
		tap_check "$what: while it does not answer, plain TCP, IPv$v" plain_tcp_carries $v
	done
	for v in 4 6; do
		bg_wait first$v
		tap_result $(($? != 3)) "$what: what was taken over before is reset, IPv$v"
	done
	for v in 4 6; do
		tap_check "$what: then it is plain TCP, IPv$v" plain_tcp_carries $v
	done
	open_link
	stop_both "$what"
}

# asks NUMBER: so many associations have been asked whether the path is there
asks() { [ "$(counter c paths_asked)" -eq "$1" ]; }

# An association without connections doesn't notice that the path is gone: the first one that
# depends on it has to. On a good path that costs the connection nothing, for the question travels
# beside its SYN. What is shorter than a second is taken on trust; a second and a half isn't.
path_dies_unnoticed()
{
	local what="path dies while nothing is sent" v

	start --dead-time 3
	for v in 4 6; do
		tap_check "$what: hooked before, IPv$v" is_hooked $v
	done
	tap_check "$what: nobody was asked yet" asks 0
	link_set both delay 100ms
	sleep 1.5
	for v in 4 6; do
		tap_check "$what: hooked after a pause, IPv$v" is_hooked $v
		tap_range "$what: that is no slower, IPv$v" 200000 \
			"$(tapp_get connect_us)" 390000 us
	done
	tap_check "$what: for each the host was asked" asks 2
	link_set both delay 5ms blackhole 136,17
	sleep 1.5
	for v in 4 6; do
		tap_check "$what: the first connection is plain TCP, IPv$v" plain_tcp_carries $v
		tap_check "$what: the next one, too, IPv$v" plain_tcp_carries $v
	done
	tap_check "$what: for each the host was asked" asks 4
	open_link
	stop_both "$what"
}

# The first attempt comes after a minute.
returns()
{
	local what="UDP-Lite is open again"

	filtered "for a while" 4g filter_link both
	start_transfer idle --up 1 --client-after-eof --down 1 --server-after-eof
	open_link
	tap_check "$what: it is used again" wait_for 75 uses c udplite
	tap_check "$what: by both sides" wait_for 5 all_use udplite
	bg_signal idle4
	bg_signal idle6
	start_transfer bulk --up $SIZE --down $SIZE
	tap_check "$what: transfers complete" both_succeed bulk
	stop_both "$what"
}

# The path is filtered, then it is open again; or something else becomes of it
part_1()
{
	filtered_silently
	filtered_with_errors
	[ -z "$LONG" ] || returns
}

part_2()
{
	pause_stays
	nothing_gets_through
	route_changes
	daemon_sleeps c
	daemon_sleeps s
	goes_elsewhere
	swallowed_on_known_path
	path_dies_unnoticed
}

in_parts 2
need_hooker
need_tapp
need nft
case $LIB_PART in
1) tap_plan $((6 * 8 + (${#LONG} ? 11 : 0))) ;;
2) tap_plan $((7 + 7 + 3 * 6 + 7 + 10 + 17)) ;;
esac
topo_up "${LINK[@]}"
"part_$LIB_PART"
tap_finish
