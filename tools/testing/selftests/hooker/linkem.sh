#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The link emulator does what it was told, by the kernels' counters on both hosts and
# by its own. Without this no result measured over it means anything.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
UDP_PORT=999

# send_udp ADDRESS NUMBER: datagrams of 100 bytes from c to a port where nobody listens
send_udp()
{
	on c bash -c "exec 3<>/dev/udp/$1/$UDP_PORT
		for ((i = 0; i < $2; i++)); do printf %0100d \$i >&3; done"
}

# Number of datagrams that reached s undamaged.
udp_arrived() { snmp_get s Udp NoPorts; }

# came_to_rest: nothing has come to s for a while, nor been dropped
came_to_rest()
{
	local before

	before="$(link_get ab 17 packets) $(udp_arrived)"
	sleep 0.1
	[ "$before" = "$(link_get ab 17 packets) $(udp_arrived)" ]
}

# run_udp NUMBER: sets $arrived and $damaged to what came of it at s
run_udp()
{
	local before damaged_before

	link_reset
	before=$(udp_arrived)
	damaged_before=$(snmp_get s Udp InCsumErrors)
	send_udp "$ADDR4_s" "$1"
	wait_for 10 came_to_rest
	arrived=$(($(udp_arrived) - before))
	damaged=$(($(snmp_get s Udp InCsumErrors) - damaged_before))
}

# Seconds and bits are exact up to scheduling; what is on the wire is more than the payload.
test_rate()
{
	local bytes_down=$2 bytes us

	link_set both rate "$1"mbit delay 1ms queue 256k
	link_reset
	tapp_first c --down "$bytes_down" "$ADDR4_s" $PORT
	bytes=$(link_get ba 6 bytes)
	us=$(tapp_get total_us)
	tap_range "rate $1 Mbit/s" "$(awk "BEGIN { print $1 * .95 }")" \
		"$(awk "BEGIN { print $bytes * 8 / ${us:-0} }")" \
		"$(awk "BEGIN { print $1 * 1.05 }")" Mbit/s
}

test_delay()
{
	link_set both rate 0 delay 25ms
	tapp_first c --rr 15 "$(addr s "$1")" $PORT
	tap_range "IPv$1: no round trip is too short" 49990 "$(tapp_get rr_us_min)" 90000 us
	tap_range "IPv$1: half of the round trips within 2 ms" 49990 "$(tapp_get rr_us)" 52000 us
	tap_range "IPv$1: connect() takes one round trip" 49990 "$(tapp_get connect_us)" 90000 us
	link_set both delay 0ms
}

# 4 standard deviations around the mean: a binomial of 5000 at 5 % has 15.4, at 10 % 21.2.
test_loss()
{
	local lost first

	link_restart 7 ba blackhole 1 ab loss 5%
	run_udp 5000
	first=$(link_get ab 17 dropped_loss)
	tap_range "5 % of 5000 datagrams lost" 188 "$first" 312
	tap_check "the others arrive" test $((arrived + first)) -eq 5000
	link_restart 7 ba blackhole 1 ab loss 5%
	run_udp 5000
	lost=$(link_get ab 17 dropped_loss)
	tap_check "the same seed loses as many: $first and $lost" test "$lost" -eq "$first"
}

# A burst of mean 5 makes the variance about 7 times larger, and the runs a fifth as many.
test_burst()
{
	local lost

	link_restart 7 ba blackhole 1 ab loss 5% burst 5
	run_udp 5000
	lost=$(link_get ab 17 dropped_loss)
	tap_range "5 % lost in bursts" 90 "$lost" 410
	tap_range "mean length of a burst" 3.5 \
		"$(awk "BEGIN { print $lost / $(link_get ab link loss_bursts) }")" 7
	link_set ab loss 0% burst 0
}

test_dup()
{
	local dup

	link_set ab dup 10%
	run_udp 5000
	dup=$(link_get ab 17 duplicated)
	tap_range "10 % of 5000 datagrams duplicated" 415 "$dup" 585
	tap_check "they arrive twice" test "$arrived" -eq $((5000 + dup))
	link_set ab dup 0%
}

test_corrupt()
{
	local flipped before

	link_set ab corrupt 10%
	run_udp 5000
	flipped=$(link_get ab 17 corrupted)
	tap_range "10 % of 5000 datagrams corrupted" 415 "$flipped" 585
	tap_check "each is noticed by its checksum" test "$damaged" -eq "$flipped"
	link_set both corrupt 1%
	link_reset
	before=$(snmp_get s Tcp InCsumErrors)
	tap_check "TCP survives corruption" tapp c --up 2m "$ADDR4_s" $PORT
	tap_check "TCP noticed each corrupted segment" test "$(link_get ab 6 corrupted)" -gt 0 -a \
		"$(link_get ab 6 corrupted)" -eq $(($(snmp_get s Tcp InCsumErrors) - before))
	link_set both corrupt-where any
	link_reset
	tap_check "TCP survives corruption anywhere in the packet" \
		tapp c --up 2m "$ADDR4_s" $PORT
	tap_range "acknowledgements have no payload, but headers" 1 \
		"$(link_get both 6 corrupted)" 1000
	link_set both corrupt 0% corrupt-where payload
}

test_reorder()
{
	local before

	link_set both rate 100mbit delay 1ms ab reorder 2% reorder-delay 3ms
	link_reset
	before=$(snmp_get s TcpExt TCPOFOQueue)
	tap_check "TCP survives reordering" tapp c --up 3m "$ADDR4_s" $PORT
	tap_range "segments delayed" 10 "$(link_get ab 6 reordered)" 200
	tap_range "segments out of order at the receiver" 10 \
		$(($(snmp_get s TcpExt TCPOFOQueue) - before)) 3000
	link_set both rate 0 delay 0ms reorder 0%
}

test_blackhole()
{
	link_set ab blackhole 136,17
	run_udp 100
	tap_check "protocol 17 vanishes" test "$arrived" -eq 0 -a \
		"$(link_get ab 17 dropped_blackhole)" -eq 100
	tap_check "protocol 6 does not" tapp c --up 1000 "$ADDR4_s" $PORT
	link_set ab blackhole none
	run_udp 100
	tap_check "the black hole can be closed" test "$arrived" -eq 100
}

# 100 bytes and the headers of UDP and IPv4 are 128.
test_mtu_limit()
{
	link_set ab mtu 128
	run_udp 100
	tap_check "packets of the MTU pass" test "$arrived" -eq 100
	link_set ab mtu 127
	run_udp 100
	tap_check "larger ones vanish" test "$arrived" -eq 0 -a \
		"$(link_get ab 17 dropped_mtu)" -eq 100
	link_set ab mtu 0
}

# The kernel believes the message only if every checksum in it is right.
test_mtu_told()
{
	link_set both mtu 1300 mtu-tell yes blackhole none
	link_reset
	tap_check "IPv$1: TCP is told of the MTU" tapp c --up 500k "$(addr s "$1")" $PORT
	tap_check "IPv$1: that took one flight, and no fragments" test \
		"$(link_get ab 6 dropped_mtu)" -gt 0 -a "$(link_get ab 6 dropped_mtu)" -lt 50 -a \
		"$(link_get both link fragments)$(link_get both link may_split)" = 00
	link_set both mtu 0 mtu-tell no ba blackhole 1
}

is_resolved() { ip -n "$(netns c)" neigh show "$1" | grep -q lladdr; }

# Addresses that nobody has resolved before; nothing but resolution gets through.
test_control()
{
	link_set both loss 100% blackhole 17,58
	ip -n "$(netns s)" addr add 192.0.2.77/24 dev eth0
	ip -n "$(netns s)" addr add 2001:db8::77/64 dev eth0 nodad
	send_udp 192.0.2.77 1
	send_udp 2001:db8::77 1
	tap_check "ARP passes a link that loses everything" wait_for 30 is_resolved 192.0.2.77
	tap_check "neighbour discovery passes, too" wait_for 30 is_resolved 2001:db8::77
	link_set both loss 0% blackhole none ba blackhole 1
}

# 20000 bytes of queue hold 140 frames of 142 bytes; while they are sent, each 11 ms one leaves.
test_queue()
{
	local start ms

	link_set ab rate 100kbit queue 20000
	link_reset
	start=$(now_ms)
	send_udp "$ADDR4_s" 300
	ms=$(($(now_ms) - start))
	tap_range "a full queue drops the tail" 140 \
		$((300 - $(link_get ab 17 dropped_queue))) $((142 + ms / 11)) packets
	link_set ab rate 0 queue bdp
	sleep 1.8
}

# A busy machine must not look like a lost segment to TCP: repeats would be counted, too.
patient_tcp()
{
	local host ns

	for host in c s; do
		ns=$LIB_ID$host
		lib_setsysctl $host net/ipv4/tcp_early_retrans 0
		ip -n "$ns" route change 192.0.2.0/24 dev eth0 proto kernel scope link \
			src "$(addr $host)" congctl cubic rto_min 5s
		ip -n "$ns" -6 route change 2001:db8::/64 dev eth0 proto kernel metric 256 \
			congctl cubic rto_min 5s
	done
}

# What it is by default
impatient_tcp()
{
	lib_setsysctl c net/ipv4/tcp_early_retrans 3
	lib_setsysctl s net/ipv4/tcp_early_retrans 3
	topo_congctl cubic
}

# 64 bytes tell tapp's server what to do.
test_counters()
{
	local v=$1

	link_set both delay 20ms
	link_reset
	tapp c --up 100000 --down 200000 "$(addr s "$v")" $PORT
	tap_check "IPv$v: payload is counted to the byte" test \
		"$(link_get ab 6 payload_bytes) $(link_get ba 6 payload_bytes)" = \
		"$((100000 + 64)) 200000"
	tap_check "IPv$v: one SYN and one FIN each way" test "$(link_get ab 6 syn) $(link_get \
		ba 6 syn) $(link_get ab 6 fin) $(link_get ba 6 fin) $(link_get both 6 rst)" = \
		"1 1 1 1 0"
	tap_check "IPv$v: with and without payload add up" test "$(link_get both 6 packets)" -eq \
		$(($(link_get both 6 with_payload) + $(link_get both 6 without_payload)))
}

is_refused() { ! "$@" 2>/dev/null; }

test_settings()
{
	tap_check "a value without unit is refused" is_refused link_set delay 5
	tap_check "an unknown setting is refused" is_refused link_set ab colour red
	tap_check "nothing of a bad request is applied" is_refused link_set loss 100% dup x
	run_udp 100
	tap_check "so all goes on as before" test "$arrived" -eq 100
}

test_link_down()
{
	local ns

	ns=$(netns r)
	ip -n "$ns" link set rs down
	sleep 0.1
	ip -n "$ns" link set rs up
	wait_for 30 lib_has_carrier s
	run_udp 100
	tap_check "an interface may go down and up" test "$arrived" -eq 100
}

# Without the settings of lib.sh frames come by that no line would carry.
test_offloads()
{
	tap_check "nothing made the measurements void" link_is_sound
	on r ethtool -K rc gro on >/dev/null
	tapp c -t 1 --up 1m "$ADDR4_s" $PORT
	tap_check "merged segments are noticed" grep -q "dropped a frame" "$(bg_err linkem)"
	on c ethtool -K eth0 tx on >/dev/null
	tapp c -t 1 --up 1m "$ADDR4_s" $PORT
	tap_check "checksum offload is noticed" \
		grep -q "without its checksum" "$(bg_err linkem)"
	tap_check "and neither counts as sound" is_refused link_is_sound
}

need_tapp
tap_plan 52
topo_up
topo_congctl cubic
measure_first
on_bg s tapp-$PORT "${FIRST[@]}" "$TAPP" server -p $PORT
wait_line "$(bg_out tapp-$PORT)" '^tapp: ready' || die "no server"
link_set ba blackhole 1
patient_tcp
test_counters 4
test_counters 6
impatient_tcp
test_delay 4
test_delay 6
test_rate 100 16m
test_rate 20 2m
link_set both rate 0 delay 0ms queue bdp
test_dup
test_corrupt
test_reorder
test_loss
test_burst
test_blackhole
test_mtu_limit
test_mtu_told 4
test_mtu_told 6
test_control
test_queue
test_settings
test_link_down
test_offloads
tap_check "linkem ends in order" bg_stop linkem 5
tap_finish
