#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Many connections: so many at once, all idle; so many in a second, for a while. Each of
# their bytes is verified, none of them may fail, and afterwards the daemons have the
# descriptors, map entries and memory that they had before.
#
# Environment: CONNS (at once), OPEN_RATE (of these in a second), RATE and SECONDS_LONG
# (connections in a second, for so long). scale_long.sh has the large numbers.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

CONNS=${CONNS:-1000}
OPEN_RATE=${OPEN_RATE:-1000}
RATE=${RATE:-300}
SECONDS_LONG=${SECONDS_LONG:-5}

PORT=5000
NR_PORTS=8		# so that ports of closed connections need not be used again at once
FLOW_MAX=$((16 * 1024))	# bytes of the daemon for an idle connection
SETTLE=60		# seconds until the last connection is gone

# What the daemons keep of the most that they once had: tables that have grown, what libc
# can't return for a few bytes in use.
KEPT=$((4 * 1024 * 1024))

# stat_of HOST NAME
stat_of() { hooker_show "$1" stats | awk -v name="$2" '$1 == name { print $2 }'; }

# pss HOST: bytes of its daemon
pss() { awk '$1 == "Pss:" { print $2 * 1024 }' "/proc/$(bg_pid "hooker-$1")/smaps_rollup"; }

# nr_entries HOST MAP...: in those of its daemon's maps
nr_entries()
{
	local id name nr=0 host=$1

	shift

	while read -r id; do
		name=$(bpftool map show id "$id" | awk 'NR == 1 { print $4 }')
		case " $* " in
		*" $name "*)
			nr=$((nr + $(bpftool -j map dump id "$id" | grep -o '"key"' | wc -l)))
			;;
		esac
	done < <(cat "/proc/$(bg_pid "hooker-$host")/fdinfo/"* 2>/dev/null |
			awk '$1 == "map_id:" && !seen[$2]++ { print $2 }')
	echo $nr
}

# What the daemon and the kernel delete themselves
nr_owned() { nr_entries "$1" hk_verdicts hk_apps hk_redirs; }

# Offers go when their connection is taken over; of those that were not, the oldest when there
# is no more room
nr_offers() { nr_entries "$1" hk_offers; }

has_flows() { [ "$(stat_of "$1" flows)" -eq "$2" ]; }
both_have() { has_flows c "$1" && has_flows s "$1"; }

# A daemon that gets no CPU for half a second is not trusted with connections that begin then. The
# programs count them, so it is known how many of those that are not hooked have this reason.
nr_late()
{
	local host name sum=0

	for host in c s; do
		for name in offers_stale synack_passed_stale; do
			sum=$((sum + $(stat_of $host $name)))
		done
	done
	echo $((sum - LATE))
}

# nearly_all HOST NUMBER
nearly_all()
{
	local nr

	nr=$(stat_of "$1" flows)
	[ "$nr" -ge $(($2 / 4)) ] && [ $((nr + $(nr_late))) -ge $(($2 - $2 / 50)) ]
}

both_have_nearly() { nearly_all c "$1" && nearly_all s "$1"; }

# The swarm has all its connections, or has given up
is_held() { grep -qs -e '^held' -e '^conns=' "$1"; }

# result KEY: of the last swarm
result() { grep -o "$1=[^ ]*" "$(bg_out swarm)" | cut -d= -f2; }

# Most are hooked: the daemon may be late for a moment on a loaded machine, and those that
# come meanwhile stay plain TCP.
check_rate()
{
	local before after hooked late nr=$((RATE * SECONDS_LONG))

	LATE=0
	LATE=$(nr_late)
	before=$(stat_of c flows_done)
	on_bg c swarm "$SWARM" rate "$ADDR4_s" $PORT $NR_PORTS $nr "$RATE"
	bg_wait swarm $((SECONDS_LONG + 60))
	tap_result $? "$RATE connections in a second for $SECONDS_LONG s: all bytes, all closed"
	note "$(tail -1 "$(bg_out swarm)")"
	tap_range "  opened in" 0 "$(result opened_ms)" $((SECONDS_LONG * 1000 + 2000)) ms
	tap_check "  none is left" wait_for $SETTLE both_have 0
	after=$(stat_of c flows_done)
	hooked=$((after - before))
	late=$(nr_late)
	note "daemons late for $late"
	late=$((late < nr / 2 ? late : nr / 2))
	tap_range "  of them hooked" $((nr * 9 / 10 - late)) $hooked "$nr"
}

check_held()
{
	local host held

	# a pipe that swarm waits on: also the shell has it open, so it doesn't end by itself
	LATE=0
	LATE=$(nr_late)
	mkfifo "$LIB_TMP/go"
	exec 9<>"$LIB_TMP/go"
	on_bg c swarm sh -c "exec '$SWARM' hold $ADDR4_s $PORT $NR_PORTS $CONNS $OPEN_RATE <&9"
	wait_for $((CONNS / OPEN_RATE + 60)) is_held "$(bg_out swarm)"
	tap_check "$CONNS at once: hooked on both hosts" both_have_nearly "$CONNS"
	note "opened in $(result opened_ms) ms, $(stat_of c flows) hooked," \
		"daemons late for $(nr_late)"
	for host in c s; do
		held=$((($(pss $host) - PSS[$host]) / $(stat_of $host flows)))
		tap_range "  host $host: memory of the daemon for each" 1 $held $FLOW_MAX bytes
		note "host $host: $(nr_fds $host) descriptors, $(nr_owned $host) map entries"
	done
	echo go >&9
	bg_wait swarm 90
	tap_result $? "  all of them go on, and end"
	note "$(tail -1 "$(bg_out swarm)")"
	exec 9>&-
	tap_check "  none is left" wait_for $SETTLE both_have 0
}

# As before: but for the association, which both sides keep for later
is_as_before()
{
	[ "$(nr_fds "$1")" -eq "${FDS[$1]}" ] && [ "$(nr_owned "$1")" -eq "${ENTRIES[$1]}" ]
}

# memory_grown HOST: bytes of its daemon
memory_grown() { echo $(($(pss "$1") - PSS[$1])); }

# The daemon gives it back once in a second
has_memory_back() { [ "$(memory_grown "$1")" -le "$KEPT" ]; }

check_after()
{
	local host

	for host in c s; do
		tap_check "$1, host $host: descriptors and map entries as before" \
			wait_for $SETTLE is_as_before $host
		note "host $host: $(nr_fds $host) descriptors, were ${FDS[$host]};" \
			"$(nr_owned $host) map entries, were ${ENTRIES[$host]}"
		tap_range "  offers that nobody came for" 0 "$(nr_offers $host)" \
			$((RATE * SECONDS_LONG / 20))
		tap_range "  memory of associations" 0 "$(stat_of $host memory_bytes)" \
			$((1024 * 1024)) bytes
		wait_for $SETTLE has_memory_back $host
		tap_range "  memory of the daemon has grown by" -1000000 \
			"$(memory_grown $host)" $KEPT bytes
	done
}

declare -A PSS=() FDS=() ENTRIES=()
need_hooker
need bpftool mkfifo
SWARM=$(find_program swarm) || skip_all "swarm is not built [variant]"
tap_plan $((1 + 5 + 8 + 4 + 8 + 2))
topo_up both delay 1ms
for host in c s; do
	lib_setsysctl $host net/ipv4/ip_local_port_range "1024	65535"
	lib_setsysctl $host net/core/somaxconn 16384
	lib_setsysctl $host net/ipv4/tcp_max_syn_backlog 16384
done
[ "$(ulimit -Hn)" -ge $((CONNS + 300)) ] ||
	skip_all "open files are limited to $(ulimit -Hn) here [variant]"
ulimit -n "$(ulimit -Hn)"
on_bg s swarm-server "$SWARM" server $PORT $NR_PORTS
wait_line "$(bg_out swarm-server)" '^swarm: ready' ||
	die "no server: $(cat "$(bg_err swarm-server)")"
hooker_start c || die "hooker does not start on host c"
hooker_start s || die "hooker does not start on host s"

# the first connection brings the association, which stays
on_bg c swarm "$SWARM" rate "$ADDR4_s" $PORT $NR_PORTS 1 1
bg_wait swarm 20
tap_result $? "one connection"
wait_for 60 both_have 0
for host in c s; do
	PSS[$host]=$(pss $host)
	FDS[$host]=$(nr_fds $host)
	ENTRIES[$host]=$(nr_owned $host)
done

check_held
check_after "$CONNS at once"
check_rate
check_after "$RATE in a second"
hooker_stop c
tap_check "host c: nothing stays behind" leak_check c
bg_stop swarm-server
hooker_stop s
tap_check "host s: nothing stays behind" leak_check s
tap_finish
