#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What fails is noticed by both applications as a reset, within a bound and never as an end of
# file; and whatever happens to a daemon, nothing of it is in the way of what comes next.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
LINK=(both delay 5ms rate 40mbit queue 256k)	# 60 MB take 12 s

# The application beside a killed daemon has its kernel's word at once. The other one's
# daemon hears an ICMP error and asks for three PTOs; if nothing is under way, it learns from
# its next keep-alive, 5 s later at most (2 s if it has 4 s to find out that the path is dead). A
# path that only swallows is given up after 20 s, or what --dead-time says.
BESIDE_MS=2000
REMOTE_MS=4000
DEAD_S=4
IDLE_MS=4000
DEAD_MS=8000
DRAIN_MS=3000
EARLY_MS=-10			# files have the time of the last tick

declare -A NUMBER=([udplite]=136 [udp]=17)
PROTO=

# start_all [ARGUMENT...]
start_all()
{
	start_hookers --proto "$PROTO" "$@"
	tapp_serve s $PORT -t 60 || die "no server"
}

# stop_hookers WHAT HOST...
stop_hookers()
{
	local what=$1 host

	shift
	bg_stop tapp-$PORT
	for host; do
		tap_check "$what, host $host: hooker ends in order" hooker_stop "$host"
	done
	for host in c s; do
		tap_check "$what, host $host: nothing stays behind" leak_check $host
	done
}

served_at_least() { [ "$(nr_served $PORT)" -ge "$1" ]; }

# ended_after START NAME: milliseconds until the last of these clients had ended
ended_after()
{
	wait_for 60 clients_ended "$2" &&
		echo $(($(last_said_ms "$(bg_out "${2}4")" "$(bg_out "${2}6")") - $1))
}

# served_after START NUMBER: milliseconds until the server had served so many
served_after()
{
	wait_for 60 served_at_least "$2" && echo $(($(said_ms "$(bg_out tapp-$PORT)") - $1))
}

nr_rules() { ip -n "$(netns "$1")" "$2" rule | grep -c fwmark; }

has_one_rule() { [ "$(nr_rules "$1" -4) $(nr_rules "$1" -6)" = "1 1" ]; }

# next_connections WHAT HOST: whose daemon was killed
next_connections()
{
	local what=$1 host=$2 v

	for v in 4 6; do
		tap_check "$what: next connection is plain TCP, IPv$v" plain_tcp_carries $v
	done
	tap_check "$what: the rule is still there" has_one_rule "$host"
	hooker_start "$host" --proto "$PROTO" || die "host $host: no restart"
	tap_check "$what: restarted, it uses that rule" has_one_rule "$host"
	bg_stop tapp-$PORT
	tapp_serve s $PORT -t 40 || die "no server"
	for v in 4 6; do
		tap_check "$what: restarted, it hooks again, IPv$v" is_hooked $v
	done
}

# kill_daemon HOST: the shell would remark on it
kill_daemon()
{
	hooker_signal "$1" KILL
	bg_wait "hooker-$1"
} 2>/dev/null

# killed HOST CLIENT-BOUND SERVER-BOUND OPTION...
#
# The bytes are on their way to the killed daemon's host, and its application has nothing to
# say: the case in which a socket that is just closed would look like an end of file.
killed()
{
	local what="$PROTO, daemon on host $1 killed" start served client server

	start_all
	served=$(nr_served $PORT)
	start_transfer bulk "${@:4}"
	wait_for 30 have_carried 2 100000 || note "$what: no transfer to interrupt"
	start=$(now_ms)
	kill_daemon "$1"
	client=$(ended_after "$start" bulk)
	server=$(served_after "$start" $((served + 2)))
	tap_check "$what: both applications see a reset" all_were_reset bulk "$served"
	tap_range "$what: client's is noticed" $EARLY_MS "$client" "$2" ms
	tap_range "$what: server's is noticed" $EARLY_MS "$server" "$3" ms
	next_connections "$what" "$1"
	stop_hookers "$what" c s
}

# Each side waits for the other's end of file, so nothing is under way that could be answered
# with an ICMP error.
killed_idle()
{
	local what="$PROTO, daemon killed while connections are idle" start served server

	start_all --dead-time $DEAD_S
	served=$(nr_served $PORT)
	start_transfer idle --up 1 --client-after-eof --down 1 --server-after-eof
	wait_for 30 have_carried 2 0 || note "$what: no connections"
	start=$(now_ms)
	kill_daemon c
	server=$(served_after "$start" $((served + 2)))
	tap_check "$what: both applications see a reset" all_were_reset idle "$served"
	tap_range "$what: the other host's is noticed" $EARLY_MS "$server" $IDLE_MS ms
	hooker_start c --proto "$PROTO" || die "host c: no restart"
	stop_hookers "$what" c s
}

is_draining() { [ "$(counter "$1" draining)" = yes ]; }

# terminated HOST: a daemon that is asked to end lets short connections end, too
terminated()
{
	local what="$PROTO, daemon on host $1 ends" other=s start served v rc

	[ "$1" = c ] || other=c
	start_all
	start_transfer long --up 60m --down 60m
	wait_for 30 have_carried 2 0 || note "$what: no long connections"
	served=$(nr_served $PORT)
	start_transfer short --up 1m --down 1m
	wait_for 30 have_carried 4 0 || note "$what: no short connections"
	hooker_signal "$1" TERM
	start=$(now_ms)
	wait_for 2 is_draining "$1" || note "$what: it doesn't"
	for v in 4 6; do
		tap_check "$what: a new connection is plain TCP, IPv$v" plain_tcp_carries $v
		tap_check "$what: a short one completes, IPv$v" bg_wait short$v
	done
	wait_for 30 served_at_least $((served + 4))
	served=$(nr_served $PORT)
	bg_wait "hooker-$1"
	rc=$?
	tap_result $rc "$what: exit status $rc"
	tap_range "$what: long ones end in time" $((DRAIN_MS - 500)) \
		"$(ended_after "$start" long)" $((DRAIN_MS + 3000)) ms
	wait_for 30 served_at_least $((served + 2))
	tap_check "$what: long ones are reset" all_were_reset long "$served"
	stop_hookers "$what" $other
}

# refused WHAT COMMAND...: it ends by itself with one line, and nothing has changed
refused()
{
	local what=$1

	shift
	tap_check "run refuses: $what" run_refuses "$@"
}

run_refuses()
{
	local rc lines

	on c timeout 60 "$@" >"$LIB_TMP/refuse.out" 2>"$LIB_TMP/refuse.err"
	rc=$?
	cat "$LIB_TMP/refuse.out" "$LIB_TMP/refuse.err"
	lines=$(wc -l <"$LIB_TMP/refuse.err")
	[ $rc -eq 1 ] || [ $rc -eq 2 ] || return 1
	[ "$lines" -eq 1 ] && [ ! -s "$LIB_TMP/refuse.out" ] || return 2
	leak_check c
}

refusals()
{
	local run=("$HOOKER" run --name "${LIB_ID}x") cgroup

	cgroup=$(cgroup c)
	state_save c
	refused "port taken" "${run[@]}" --cgroup "$cgroup"
	refused "name taken" "$HOOKER" run --name "$(hooker_name c)" --cgroup "$cgroup" --port 4000
	refused "unknown device" "${run[@]}" --cgroup "$cgroup" --port 4000 --dev nonesuch
	refused "no such directory" "${run[@]}" --cgroup /nonesuch --port 4000
	refused "directory is not of cgroup2" "${run[@]}" --cgroup "$LIB_TMP" --port 4000
	refused "no cgroup2" unshare -m sh -c "umount -a -t cgroup2; exec \"\$@\"" \
		sh "${run[@]}" --port 4000
}

# Afterwards the host is asked for what it must refuse while a daemon runs.
dead_path()
{
	local what="$PROTO, path dead" start served client server

	start_all --dead-time $DEAD_S
	served=$(nr_served $PORT)
	start_transfer bulk --up 60m --down 60m
	wait_for 30 have_carried 2 100000 || note "$what: no transfer to interrupt"
	link_set both blackhole "${NUMBER[$PROTO]}"
	start=$(now_ms)
	client=$(ended_after "$start" bulk)
	server=$(served_after "$start" $((served + 2)))
	tap_check "$what: both applications see a reset" all_were_reset bulk "$served"
	tap_range "$what: client's is noticed" $EARLY_MS "$client" $DEAD_MS ms
	tap_range "$what: server's is noticed" $EARLY_MS "$server" $DEAD_MS ms
	link_set both blackhole none
	tap_check "$what: and well again, next connection" is_hooked 4
	cp "$LIB_TMP/state.c" "$LIB_TMP/state.quiet"
	refusals
	cp "$LIB_TMP/state.quiet" "$LIB_TMP/state.c"
	stop_hookers "$what" c s
}

need_hooker
need_tapp
tap_plan $((2 * 2 * (3 + 6 + 4) + 2 + 4 + 2 * (4 + 3 + 3) + 6 + 4 + 4))
topo_up "${LINK[@]}"
for PROTO in udplite udp; do
	killed c $BESIDE_MS $REMOTE_MS --down 60m --up 1 --client-after-eof
	killed s $REMOTE_MS $BESIDE_MS --up 60m --down 1 --server-after-eof
done
PROTO=udp
terminated s
PROTO=udplite
terminated c
killed_idle
dead_path
tap_finish
