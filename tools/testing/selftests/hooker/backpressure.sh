#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A reader that stops makes the writer stop: what lies between them is bounded, nobody spins
# meanwhile, and when the reader goes on, the writer is woken and all bytes arrive.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
MIB=$((1 << 20))
HZ=$(getconf CLK_TCK)
SIZE=64m
PAUSE_MS=2300
PAUSE_AT=$MIB			# bytes read before
NR_MANY=12
MANY_PAUSE_MS=3000
NR_IDLE=400

# The daemons' limits: a stream's buffer and its window at most, for what this path can do;
# each direction of a redirection socket; what an association may hold. A socket buffer counts
# twice what it was set to.
STREAM=$((16 * MIB))
REDIR=$((2 * MIB))
ASSOC=$((64 * MIB))

# Packets in flight, tables that grow, the daemon's own buffers. Chunks that are partly used, and
# what libc keeps, are taken as half of the limit on top of it.
SLACK=$((4 * MIB))

# rss HOST: bytes that its daemon uses
rss() { awk '$1 == "VmRSS:" { print $2 * 1024 }' "/proc/$(bg_pid "hooker-$1")/status"; }

# growth HOST: since it had no connection yet
growth() { echo $(($(rss "$1") - RSS[$1])); }

# cpu_ticks PID: user and system time so far
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

# cpu_percent NAME SECONDS: of one CPU, of these background processes together
cpu_percent()
{
	local before=0 after=0 name

	for name in $1; do
		before=$((before + $(cpu_ticks "$(bg_pid "$name")")))
	done
	sleep "$2"
	for name in $1; do
		after=$((after + $(cpu_ticks "$(bg_pid "$name")")))
	done
	echo $(((after - before) * 100 / HZ / $2))
}

# note_limit HOST: what its daemon may hold of one connection, by its own account: the most so
# far, since libc keeps what it once had
note_limit()
{
	local limit

	limit=$({
		hooker_show "$1" flows -j | json_values window_bytes
		hooker_show "$1" peers -j | json_values stream_buffer_bytes
	} | sort -n | awk -v most=$STREAM '{ n = $1 } END { print n < most ? n : most }')
	[ "${LIMIT[$1]}" -ge "$limit" ] || LIMIT[$1]=$limit
}

total_sent() { hooker_show "$1" flows -j | json_sum app_to_net_bytes; }

# Nothing has moved on either host, twice for a quarter of a second: a busy machine pauses, too
is_stalled()
{
	local before i

	before="$(total_sent c) $(total_sent s)"
	[ "${before% *}${before#* }" != 00 ] || return
	for i in 1 2; do
		sleep 0.25
		[ "$before" = "$(total_sent c) $(total_sent s)" ] || return
	done
}

# has_read HOST: its application has stopped to read, or is about to
has_read() { [ "$(hooker_show "$1" flows -j | json_sum net_to_app_bytes)" -ge $PAUSE_AT ]; }

# stop_reading NAME HOST: that application of that host, whose pause shall last till bg_signal CONT
#
# How long it takes until all wait, and until that was looked at, depends on the machine.
stop_reading()
{
	wait_for 60 has_read "$2" || note "$what: no transfer"
	bg_signal "$1" STOP
	wait_for 60 is_stalled || note "$what: no stall"
}

# socket_max HOST tcp_rmem|tcp_wmem: what an application's socket may hold
socket_max() { on "$1" cat "/proc/sys/net/ipv4/$2" | awk '{ print $3 }'; }

# ends_well BEHIND NUMBER BYTES: the client in the background, and the server
ends_well() { bg_wait app && server_verified $PORT "$@"; }

# One connection. DIRECTION is of the bytes: up (to the server) or down.
one_reader()
{
	local v=$1 direction=$2 what reader=s writer=c side=server limit out behind bytes=0
	local name=tapp-$PORT start

	what="IPv$v, $PROTO, $direction"
	[ "$direction" = up ] || { reader=c; writer=s; side=client; name=app; }
	wait_for 30 has_no_flows
	behind=$(nr_served $PORT)
	on_bg c app "$TAPP" client -t 60 "--$direction" $SIZE \
		"--$side-pause" $PAUSE_AT:$PAUSE_MS "$(addr s "$v")" $PORT
	start=$(now_ms)
	stop_reading $name $reader
	note_limit c
	note_limit s
	tap_range "$what: memory of the daemon on host c has grown by" 0 "$(growth c)" \
		$((LIMIT[c] * 3 / 2 + SLACK)) bytes
	tap_range "$what: memory of the daemon on host s has grown by" 0 "$(growth s)" \
		$((LIMIT[s] * 3 / 2 + SLACK)) bytes
	tap_range "$what: CPU of daemons and applications while all wait" 0 \
		"$(cpu_percent "hooker-c hooker-s app tapp-$PORT" 1)" 8 %
	bg_signal $name CONT
	start=$(($(now_ms) - start))
	[ "$direction" = up ] && bytes=$((${SIZE%m} * MIB))
	tap_check "$what: goes on, and all arrives intact" ends_well "$behind" 1 $bytes
	out=$(bg_out app)
	[ "$writer" = c ] || out=$(bg_out tapp-$PORT)
	limit=$((PAUSE_AT + 2 * STREAM + 2 * REDIR + $(socket_max $reader tcp_rmem) +
		$(socket_max $writer tcp_wmem)))
	tap_range "$what: the writer had to wait at" $PAUSE_AT \
		"$(grep -o 'stall_at_bytes=[0-9]*' "$out" | tail -1 | cut -d= -f2)" $limit bytes
	tap_range "$what: for as long as the reader" $((PAUSE_MS / 2)) \
		"$(grep -o 'stall_max_ms=[0-9]*' "$out" | tail -1 | cut -d= -f2)" \
		$((start + PAUSE_MS + 2000)) ms
}

# The window of the association bounds what the receiving daemon holds for all of them.
many_readers()
{
	local what="$PROTO, $NR_MANY readers stop" behind

	wait_for 30 has_no_flows
	behind=$(nr_served $PORT)
	on_bg c app "$TAPP" client -P $NR_MANY --up 32m --server-pause 64k:$MANY_PAUSE_MS \
		"$ADDR4_s" $PORT
	wait_for 30 is_stalled || note "$what: no stall"
	tap_range "$what: memory of the sending daemon has grown by" 0 "$(growth c)" \
		$((NR_MANY * (STREAM + MIB / 4) + SLACK)) bytes
	tap_range "$what: memory of the receiving daemon has grown by" 0 "$(growth s)" \
		$((ASSOC + SLACK)) bytes
	tap_check "$what: all go on" ends_well "$behind" $NR_MANY $((32 * MIB))
}

# A reader that stops must not keep others on the same association from reading.
others_go_on()
{
	local what="$PROTO, one reader stops"

	wait_for 30 has_no_flows
	on_bg c app "$TAPP" client -t 60 --down $SIZE --client-pause $PAUSE_AT:$PAUSE_MS \
		"$ADDR4_s" $PORT
	stop_reading app c
	tap_check "$what: another connection does not wait" tapp c -t 30 --up 4m --down 4m \
		"$ADDR4_s" $PORT
	bg_signal app CONT
	tap_check "$what: goes on" bg_wait app
}

has_flows() { [ "$(nr_flows s)" -eq "$1" ]; }

idle_connections()
{
	local what="$PROTO, $NR_IDLE idle connections" behind

	wait_for 30 has_no_flows
	behind=$(nr_served $PORT)
	rm -f "$LIB_TMP/go"
	on_bg c app "$TAPP" client -t 60 -P $NR_IDLE --up 100 --go "$LIB_TMP/go" "$ADDR6_s" $PORT
	tap_check "$what: hooked" wait_for 30 has_flows $NR_IDLE
	tap_range "$what: CPU of the daemons" 0 "$(cpu_percent "hooker-c hooker-s" 1)" 8 %
	: >"$LIB_TMP/go"
	tap_check "$what: all of them go on" ends_well "$behind" $NR_IDLE 100
}

declare -A RSS=()
declare -A LIMIT=([c]=0 [s]=0)
need_hooker
need_tapp
tap_plan $((2 * (4 * 6 + 3 + 2 + 3 + 4)))
topo_up both delay 2ms
for PROTO in udplite udp; do
	start_hookers --proto $PROTO
	RSS=([c]=$(rss c) [s]=$(rss s))
	tapp_serve s $PORT -t 60 || die "no server"
	for family in 4 6; do
		one_reader $family up
		one_reader $family down
	done
	many_readers
	others_go_on
	idle_connections
	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$PROTO, host $host: hooker ends in order" hooker_stop $host
		tap_check "$PROTO, host $host: nothing stays behind" leak_check $host
	done
done
tap_finish
