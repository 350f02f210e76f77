#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Where hooker cannot or shall not carry a connection it is plain TCP, and nobody has to wait
# for that: peer without hooker, carriers that do not get through, a daemon that hangs, rules,
# sockets with a will of their own.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
PORT_RULE=5001			# the one that rules select
PORT_CLOSED=5009
DELAY_MS=15
RTT_US=$((2 * DELAY_MS * 1000))

# What a hooker that is not used may add to connect(): less than a round trip, on a busy machine.
SLACK_US=25000

# Four HELLOs, each awaited for 5/4 of a round trip and 5 ms, but 300 ms at least; then scheduling.
HELLO_US=300000
SLACK_ONE_US=100000			# of one measurement: less than waiting for all of them

declare -A PLAIN_US=() REFUSED_US=()

# start_hooker HOST [ARGUMENT...]
start_hooker() { hooker_start "$@" || die "hooker does not start on host $1"; }

start_servers()
{
	tapp_serve s $PORT && tapp_serve s $PORT_RULE || die "no server"
}

stop_servers()
{
	bg_stop tapp-$PORT
	bg_stop tapp-$PORT_RULE
}

# stop_hookers WHAT HOST...
stop_hookers()
{
	local what=$1 host

	shift
	for host; do
		tap_check "$what, host $host: hooker ends in order" hooker_stop "$host"
		tap_check "$what, host $host: nothing stays behind" leak_check "$host"
	done
}

# carried_by PROTOCOL-NUMBER BYTES: all payload since link_reset; the others have less than 1 %
carried_by()
{
	local number=$1 bytes=$2 proto

	link_stats
	[ "$(link_get both "$number" payload_bytes)" -ge "$bytes" ] || return 1
	for proto in 6 17 136; do
		[ "$proto" -eq "$number" ] && continue
		[ $(($(link_get both $proto payload_bytes) * 100)) -le "$bytes" ] || return 1
	done
}

# is_carried PROTOCOL-NUMBER FAMILY PORT: a transfer works and uses that protocol
is_carried()
{
	link_reset
	tapp c -t 30 --up 1m --down 1m "$(addr s "$2")" "$3" || return
	wait_for 20 carried_by "$1" $((2 << 20))
}

# refused_us FAMILY: time until ECONNREFUSED, median of five
refused_us()
{
	local i

	for i in 1 2 3 4 5; do
		tapp_first c "$(addr s "$1")" $PORT_CLOSED && return
		[ "$(tapp_get result)" = refused ] || return
		tapp_get total_us
	done | sort -n | sed -n 3p
}

control()
{
	local v=$1

	tap_check "IPv$v, no hooker: TCP carries a transfer" is_carried 6 "$v" $PORT
	tapp_first c -n 5 "$(addr s "$v")" $PORT
	PLAIN_US[$v]=$(tapp_get connect_us)
	tap_range "IPv$v, no hooker: connect()" $RTT_US "${PLAIN_US[$v]}" $((RTT_US * 2)) us
	REFUSED_US[$v]=$(refused_us "$v")
	tap_range "IPv$v, no hooker: refused" $RTT_US "${REFUSED_US[$v]}" $((RTT_US * 2)) us
}

same_as_plain()
{
	local v=$1 what="IPv$1, $2"

	tap_check "$what: TCP carries a transfer" is_carried 6 "$v" $PORT
	tapp_first c -n 5 "$(addr s "$v")" $PORT
	tap_range "$what: connect() is not delayed" $RTT_US "$(tapp_get connect_us)" \
		$((PLAIN_US[$v] + SLACK_US)) us
	tap_range "$what: nor is ECONNREFUSED" $RTT_US "$(refused_us "$v")" \
		$((REFUSED_US[$v] + SLACK_US)) us
}

one_side_only()
{
	local host=$1 v

	start_hooker "$host"
	start_servers
	for v in 4 6; do
		same_as_plain $v "hooker on host $host only"
	done
	stop_servers
	stop_hookers "hooker on host $host only" "$host"
}

refused_by_both()
{
	local v

	start_hookers
	for v in 4 6; do
		tap_range "IPv$v, hooker on both hosts: ECONNREFUSED is not delayed" $RTT_US \
			"$(refused_us $v)" $((REFUSED_US[$v] + SLACK_US)) us
	done
	stop_hookers "refused" c s
}

# blocked_udplite DIRECTION: what is lost may be HELLO or its answer
blocked_udplite()
{
	local v

	link_set "$1" blackhole 136
	start_hookers
	start_servers
	for v in 4 6; do
		tapp_first c "$(addr s $v)" $PORT
		tap_range "IPv$v, UDP-Lite lost ($1): first connect()" $RTT_US \
			"$(tapp_get connect_us)" \
			$((PLAIN_US[$v] + RTT_US * 5 / 4 + 5000 + SLACK_ONE_US)) us
		tap_check "IPv$v, UDP-Lite lost ($1): UDP carries a transfer" is_carried 17 $v $PORT
		tapp_first c -n 5 "$(addr s $v)" $PORT
		tap_range "IPv$v, UDP-Lite lost ($1): later connect()" $RTT_US \
			"$(tapp_get connect_us)" $((PLAIN_US[$v] + SLACK_US)) us
	done
	link_set both blackhole none
	stop_servers
	stop_hookers "UDP-Lite lost ($1)" c s
}

blocked_all()
{
	local v

	link_set both blackhole 17,136
	start_hookers
	start_servers
	for v in 4 6; do
		tapp_first c "$(addr s $v)" $PORT
		tap_range "IPv$v, all carriers lost: first connect()" $RTT_US \
			"$(tapp_get connect_us)" \
			$((PLAIN_US[$v] + HELLO_US + SLACK_ONE_US)) us
		same_as_plain $v "all carriers lost"
	done
	tap_check "all carriers lost: that was remembered" test "$(counter c hello_failed)" -eq 2
	link_set both blackhole none
	stop_servers
	stop_hookers "all carriers lost" c s
}

# is_taken FAMILY: a transfer works and the daemon has had to do with it
is_taken()
{
	local before

	before=$(counter c flows_active)
	tapp c -t 30 --up 100k --down 100k "$(addr s "$1")" $PORT || return
	[ "$(counter c flows_active)" -eq $((before + 1)) ]
}

# A connection that begins while the heartbeat is fresh: its SYN-ACK may be lost once.
hung_client()
{
	local v

	hooker_signal c STOP
	for v in 4 6; do
		link_reset
		tap_check "IPv$v, client's daemon hangs: transfer" \
			tapp c -t 30 --up 100k --down 100k "$(addr s $v)" $PORT
		tap_range "IPv$v, client's daemon hangs: in time" 1 "$(tapp_get total_us)" \
			2500000 us
		# the server's daemon goes on asking the one that hangs
		tap_check "IPv$v, client's daemon hangs: TCP carried it" \
			link_carries 6 $((200 << 10))
	done
	tapp_first c -n 5 "$(addr s 4)" $PORT
	tap_range "client's daemon hangs: later connect()" $RTT_US "$(tapp_get connect_us)" \
		$((PLAIN_US[4] + SLACK_US)) us
	hooker_signal c CONT
	for v in 4 6; do
		tap_check "IPv$v, client's daemon goes on: hooked again" wait_for 20 is_taken $v
	done
}

# tcp_carries FAMILY: a short transfer, over TCP
#
# What else there is on the wire are attempts to reach the daemon that hangs.
tcp_carries()
{
	link_reset
	tapp c -t 2 --up 100k --down 100k "$(addr s "$1")" $PORT &&
		link_carries 6 $((200 << 10))
}

# The path was proven before, so the first ones may be taken over in good faith. They wait for
# the daemon as bytes under way wait for a host that pauses.
hung_server()
{
	local v start

	hooker_signal s STOP
	start=$(now_ms)
	for v in 4 6; do
		on_bg c early$v "$TAPP" client -t 60 --up 100k --down 100k "$(addr s $v)" $PORT
	done
	for v in 4 6; do
		tap_check "IPv$v, server's daemon hangs: TCP carries a transfer" \
			wait_for 20 tcp_carries $v
		tap_range "IPv$v, server's daemon hangs: in time" 0 $(($(now_ms) - start)) 5000 ms
	done
	hooker_signal s CONT
	for v in 4 6; do
		tap_check "IPv$v, server's daemon hung for a while: an early connection is intact" \
			bg_wait early$v
		tap_check "IPv$v, server's daemon goes on: hooked again" wait_for 20 is_taken $v
	done
}

hung_daemons()
{
	local v

	start_hookers
	start_servers
	for v in 4 6; do
		tap_check "IPv$v, daemons are well: hooked" is_taken $v
	done
	hung_client
	hung_server
	stop_servers
	stop_hookers "hung daemon" c s
}

# The client's rules: one port of an IPv4 prefix, all ports of an IPv6 prefix. The server's:
# the listener's port.
rules()
{
	local offers

	hooker_launch c --to 192.0.2.0/25:$PORT_RULE --to 2001:db8::/33 --proto udp
	hooker_launch s --from-port $PORT_RULE --from-port 80 --proto udp
	wait_line "$(bg_out hooker-c)" '^hooker: ready' || die "$(hooker_log c)"
	wait_line "$(bg_out hooker-s)" '^hooker: ready' || die "$(hooker_log s)"
	start_servers
	tap_check "rules: IPv4, the port in both hosts' rules" is_carried 17 4 $PORT_RULE
	tap_check "rules: IPv6, the port in the server's rules" is_carried 17 6 $PORT_RULE
	offers=$(counter c offers_sent)
	tap_check "rules: two connections were offered" test "$offers" -eq 2
	tap_check "rules: IPv4, another port" is_carried 6 4 $PORT
	tap_check "rules: it was not offered" test "$(counter c offers_sent)" -eq "$offers"
	tap_check "rules: IPv6, another port" is_carried 6 6 $PORT
	tap_check "rules: it was offered, but not accepted" test \
		"$(counter c offers_sent) $(counter s offers_answered)" = "$((offers + 1)) 2"
	ip -n "$(netns s)" addr add 192.0.2.200/24 dev eth0
	ip -n "$(netns s)" addr add 2001:db8:8000::200/128 dev eth0 nodad
	ip -n "$(netns c)" route add 2001:db8:8000::200 dev eth0
	ip -n "$(netns c)" neigh add 2001:db8:8000::200 lladdr "$MAC_s" dev eth0
	tap_check "rules: IPv4 address outside the prefix" tapp c 192.0.2.200 $PORT_RULE
	tap_check "rules: IPv6 address outside the prefix" tapp c 2001:db8:8000::200 $PORT_RULE
	tap_check "rules: neither was offered" test "$(counter c offers_sent)" -eq $((offers + 1))
	ip -n "$(netns s)" addr del 192.0.2.200/24 dev eth0
	ip -n "$(netns s)" addr del 2001:db8:8000::200/128 dev eth0
	ip -n "$(netns c)" route del 2001:db8:8000::200 dev eth0
	stop_servers
	stop_hookers rules c s
}

# connect_with OPTION VALUE: connect() to the server from a socket with an option of SOL_SOCKET
connect_with()
{
	# shellcheck disable=SC2016
	on c perl -MSocket -e '
		my ($option, $value, $addr, $port) = @ARGV;
		$value = pack("i", $value) if $value =~ /^\d+$/;
		socket(my $fd, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
		setsockopt($fd, SOL_SOCKET, $option, $value) or die "setsockopt: $!";
		connect($fd, pack_sockaddr_in($port, inet_aton($addr))) or die "connect: $!";' \
		"$1" "$2" "$ADDR4_s" $PORT
}

# connect_gives OFFERS OPTION VALUE
connect_gives()
{
	local offers

	offers=$(counter c offers_sent)
	connect_with "$2" "$3" || return
	[ $(($(counter c offers_sent) - offers)) -eq "$1" ]
}

SO_KEEPALIVE=9
SO_BINDTODEVICE=25
SO_MARK=36

socket_options()
{
	start_hookers
	start_servers
	if command -v perl >/dev/null; then
		tap_check "socket without a will: offered" connect_gives 1 $SO_KEEPALIVE 1
		tap_check "socket with a mark: left alone" connect_gives 0 $SO_MARK 7
		tap_check "socket bound to a device: left alone" \
			connect_gives 0 $SO_BINDTODEVICE eth0
	else
		tap_skip "socket without a will: offered" "perl is not installed"
		tap_skip "socket with a mark: left alone" "perl is not installed"
		tap_skip "socket bound to a device: left alone" "perl is not installed"
	fi
	stop_servers
	stop_hookers "socket options" c s
}

# older_listener_works FAMILY: a transfer; hooked if the kernel gives access to such listeners
older_listener_works()
{
	if [ "$(counter s old_listeners_served)" -gt 0 ]; then
		is_taken "$1"
	else
		is_carried 6 "$1" $PORT
	fi
}

older_listener()
{
	local v

	start_servers
	start_hookers
	tap_check "listeners older than the daemon: both were found" test \
		$(($(counter s old_listeners_served) + $(counter s old_listeners_left))) -eq 2
	for v in 4 6; do
		tap_check "IPv$v, listener older than the daemon" older_listener_works $v
	done
	stop_servers
	stop_hookers "listener older than the daemon" c s
}

need_hooker
need_tapp
tap_plan $((6 + 2 * 8 + 6 + 2 * 10 + 13 + 2 + 9 + 2 + 4 + 2 + 4 + 10 + 4 + 3 + 4 + 7))
topo_up both delay ${DELAY_MS}ms
start_servers
control 4
control 6
stop_servers
one_side_only c
one_side_only s
refused_by_both
blocked_udplite both
blocked_udplite ba
blocked_all
hung_daemons
rules
socket_options
older_listener
tap_finish
