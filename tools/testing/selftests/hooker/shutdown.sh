#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The end of a connection is seen at the other side as what it is: FIN in either order, half
# of the connection closed, RST. And nothing of it stays behind in the daemons.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
DELAY_MS=5
NR_REUSE=2

# server_line BEHIND PORT: what the server said of a connection from that port; BEHIND is the
# number of lines to skip. Of one that was reset before it looked it does not know the peer.
server_line()
{
	grep "^conn=" "$(bg_out tapp-$PORT)" | tail -n +$(($1 + 1)) |
		grep -m 1 -e "peer=unknown$" -e "peer=.*:$2$"
}

has_server_line() { [ -n "$(server_line "$@")" ]; }

# server_says RESULTS BEHIND PORT: RESULTS is as in "reset|pipe"
server_says()
{
	wait_for 60 has_server_line "$2" "$3" || return 1
	echo "server: $(server_line "$2" "$3")"
	[[ $(server_line "$2" "$3") =~ \ result=($1)\  ]]
}

# run CLIENT-RESULTS SERVER-RESULTS OPTION...: one hooked connection to the end
run()
{
	local client=$1 server=$2 served hooked result

	shift 2
	served=$(nr_served $PORT)
	hooked=$(counter c flows_active)
	tapp c -t 30 "$@" "$(addr s "$FAMILY")" $PORT
	result=$(tapp_get result)
	echo "client: $result"
	server_says "$server" "$served" "$(tapp_get local | sed 's/.*://')" || return 1
	[[ $result =~ ^($client)$ ]] || return 2
	[ "$(counter c flows_active)" -eq $((hooked + 1)) ] || return 3
	all_flows_end
}

# check NAME CLIENT-RESULTS SERVER-RESULTS OPTION...
check()
{
	local name=$1

	shift
	tap_check "IPv$FAMILY, $WAY: $name" run "$@"
}

# Whoever closes first, and whatever comes after the other's FIN, all bytes arrive.
orderly()
{
	check "both FINs at once" ok ok
	check "both FINs at once, behind data" ok ok --up 300k --down 300k
	check "client's FIN first, data after it" ok ok --up 300k --down 300k --server-after-eof
	check "server's FIN first, data after it" ok ok --up 300k --down 300k --client-after-eof
	check "client's FIN first, no data" ok ok --server-after-eof
	check "server's FIN first, no data" ok ok --client-after-eof
	check "server's half open for a while" ok ok --down 10k --server-idle 300
	check "client's half open for a while" ok ok --up 10k --client-idle 300
	check "client closes, server has nothing to say" ok ok --up 300k --client-end close
	check "server closes, client has nothing to say" ok ok --down 300k --server-end close
	check "both close at once" ok ok --client-end close --server-end close
}

# Blocking calls must not return before there is something to return.
blocking()
{
	local both=(--client-blocking --server-blocking)

	check "blocking calls" ok ok --up 300k --down 300k "${both[@]}"
	check "blocking, server's FIN first" ok ok --up 300k --down 300k "${both[@]}" \
		--client-after-eof
	check "blocking, client waits for an idle server" ok ok --down 10k "${both[@]}" \
		--server-idle 300
	check "blocking client is waiting, server resets" "reset" "ok" --down 500k "${both[@]}" \
		--server-idle 100 --server-end rst --server-cut 1
	check "blocking server is waiting, client resets" "ok" "reset" --up 500k "${both[@]}" \
		--client-idle 100 --client-end rst --client-cut 1
}

# A reset overtakes what is under way; whoever waits for bytes sees ECONNRESET, whoever sends
# may see EPIPE, but never an end that looks like one in order. The 20 MB are more than all
# buffers on the way hold: the other side was in the midst of it.
resets()
{
	check "client resets half-way" ok "reset|pipe" --up 40m --down 40m --client-end rst \
		--client-cut 20m
	check "server resets half-way" "reset|pipe" ok --up 40m --down 40m --server-end rst \
		--server-cut 20m
	check "client resets, server sends" ok "reset|pipe" --down 40m --client-end rst \
		--client-cut 500k
	check "server resets, client sends" "reset|pipe" ok --up 40m --server-end rst \
		--server-cut 500k
	check "client resets, server receives" ok reset --up 40m --client-end rst --client-cut 20m
	check "server resets, client receives" reset ok --down 40m --server-end rst \
		--server-cut 20m
	check "client closes with bytes unread" ok "reset|pipe" --down 40m --client-end close \
		--client-cut 100k
	check "server closes with bytes unread" "reset|pipe" ok --up 40m --server-end close \
		--server-cut 100k
	check "client resets after the server's FIN" ok reset --up 40m --client-after-eof \
		--client-end rst --client-cut 20m
	check "server resets after the client's FIN" reset ok --down 40m --server-after-eof \
		--server-end rst --server-cut 20m
}

# The reset may be there before the server's accept(), which then may not return at all; and a
# server whose shutdown() gives ENOTCONN has noticed, too.
early_reset()
{
	local served

	served=$(nr_served $PORT)
	tapp c -t 30 --up 8m --client-end rst --client-cut 1 "$(addr s "$FAMILY")" $PORT || return
	all_flows_end || return
	tail -n +2 "$(bg_out tapp-$PORT)" | tail -n +$((served + 1))
	! server_line "$served" "$(tapp_get local | sed 's/.*://')" | grep -qE 'result=(ok|eof) '
}

# No byte is sent, and all is over before the server can have accepted it.
open_and_close()
{
	local served

	served=$(nr_served $PORT)
	on c bash -c "exec 3<>/dev/tcp/$(addr s "$FAMILY")/$PORT 3>&-" || return
	server_says eof "$served" "[0-9]*" && all_flows_end
}

# reuse_port SERVER-RESULTS OPTION...: whatever is left of a connection is in the next one's way
reuse_port()
{
	local server=$1 i served

	shift
	served=$(nr_served $PORT)
	tapp c -t 30 -n $NR_REUSE --up 20k --down 20k "$@" "$(addr s "$FAMILY")" $PORT
	tapp_get result
	[ "$(tapp_get conns_ok)" -eq $NR_REUSE ] || return 1
	for ((i = 0; i < NR_REUSE; i++)); do
		server_says "$server" $((served + i)) 40000 || return 2
	done
	all_flows_end
}

# After a FIN of its own a kernel keeps the port for a minute, hooker or not; so here the
# client resets, or the server closes first. The new SYN may overtake what the daemons have to
# say of the old connection; then it is the repeated one, after a second, that is answered.
reuse()
{
	lib_setsysctl c net/ipv4/ip_local_port_range "40000 40000"
	tap_check "IPv$FAMILY, $WAY: the same port at once after a reset" \
		reuse_port "ok|reset" --client-end rst
	tap_check "IPv$FAMILY, $WAY: the same port at once after the server's FIN" \
		reuse_port ok --client-after-eof
	lib_setsysctl c net/ipv4/ip_local_port_range "32768 60999"
}

# What the server's socket says of its own accord, not asked by read() or write()
FAR='
import select, socket, sys
with socket.create_server(("", int(sys.argv[1]))) as l:
    print("ready", flush=True)
    s = l.accept()[0]
print("accepted", flush=True)
p = select.poll()
p.register(s, 0)
sys.exit(not p.poll(10000))'

NEAR='
import os, socket, struct, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while not os.path.exists(sys.argv[3]):
    time.sleep(.01)
s.shutdown(socket.SHUT_WR)
time.sleep(.1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
print("closed", flush=True)'

# A daemon that is late finds FIN and RST together: read() tells it of the FIN only
fin_and_reset()
{
	local result

	rm -f "$LIB_TMP/go"
	on_bg s far python3 -c "$FAR" $((PORT + 1))
	wait_line "$(bg_out far)" '^ready' || return
	on_bg c near python3 -c "$NEAR" "$(addr s)" $((PORT + 1)) "$LIB_TMP/go"
	wait_line "$(bg_out far)" '^accepted' || return
	hooker_signal c STOP
	touch "$LIB_TMP/go"
	wait_line "$(bg_out near)" '^closed'
	result=$?
	hooker_signal c CONT
	bg_wait far && bg_wait near && all_flows_end && return $result
}

# run_way NAME ARGUMENT...
run_way()
{
	local host

	WAY=$1
	shift
	start_hookers "$@"
	tapp_serve s $PORT -t 30 || die "no server"
	for FAMILY in 4 6; do
		orderly
		resets
		[[ $WAY == *always* ]] && continue
		blocking
		tap_check "IPv$FAMILY, $WAY: reset at once" early_reset
		tap_check "IPv$FAMILY, $WAY: opened and closed at once" open_and_close
		reuse
	done
	[[ $WAY == *always* ]] ||
		tap_check "$WAY: a FIN, and a reset right behind it" fin_and_reset
	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$WAY, host $host: hooker ends in order" hooker_stop $host
		tap_check "$WAY, host $host: nothing stays behind" leak_check $host
	done
}

# Members of a SOCKHASH are closed and read by other functions of the kernel; where the fast
# lane is not the default, at least what works with it shall.
in_parts 3
need_hooker
need_tapp
need python3
case $LIB_PART in
1) set -- udplite --proto udplite ;;
2) set -- udp --proto udp ;;
3) set -- "udp, fast lane always" --proto udp --fast-lane always ;;
esac
[ "$LIB_PART" -eq 3 ] && tap_plan $((2 * (11 + 10) + 4)) ||
	tap_plan $((2 * (11 + 10 + 5 + 2 + 2) + 5))
topo_up both delay ${DELAY_MS}ms
run_way "$@"
tap_finish
