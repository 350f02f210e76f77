# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Functions for hooker's shell tests: two hosts with an emulated link between them,
# processes with an owner and a deadline, TAP output. To be sourced by bash.
#
#   host c                 router r                    host s
#   192.0.2.1              linkem                      192.0.2.2
#   2001:db8::1  eth0 ---- rc  ab ->  <- ba  rs ---- eth0  2001:db8::2
#
# A host is a network namespace and a cgroup of its own. Everything carries the pid of
# the test in its name, and lib_cleanup() removes it however the test ends.
#
# Environment: OUTPUT (where the programs are), HOOKER (path of the command under test),
# HOOKER_ARGS_c, HOOKER_ARGS_s (further arguments for each host's daemon), KEEP=1 (keep the
# directory with the logs).
#
# Nobody waits for a number of seconds, but for a condition; how long at most is only of interest
# when it never holds. So these limits are large: on a busy machine everything takes longer.

ksft_pass=0
ksft_fail=1
ksft_skip=4

LIB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIB_ID=hk$$
LIB_TMP=
LIB_CGROOT=
LIB_UP=
LIB_HOSTS="c s r"
declare -A LIB_PID=()
LIB_NR=0
LIB_NR_FAIL=0
LIB_NR_SKIP=0
LIB_PLAN=0

ADDR4_c=192.0.2.1 ADDR6_c=2001:db8::1 MAC_c=02:00:00:00:00:01
ADDR4_s=192.0.2.2 ADDR6_s=2001:db8::2 MAC_s=02:00:00:00:00:02

# ---- TAP ----

note() { printf '# %s\n' "$*"; }

tap_plan()
{
	LIB_PLAN=$1
	echo "TAP version 13"
	echo "1..$1"
}

tap_ok()
{
	LIB_NR=$((LIB_NR + 1))
	echo "ok $LIB_NR $*"
}

tap_fail()
{
	LIB_NR=$((LIB_NR + 1))
	LIB_NR_FAIL=$((LIB_NR_FAIL + 1))
	echo "not ok $LIB_NR $*"
}

# tap_skip NAME REASON
tap_skip()
{
	LIB_NR=$((LIB_NR + 1))
	LIB_NR_SKIP=$((LIB_NR_SKIP + 1))
	echo "ok $LIB_NR $1 # SKIP $2"
}

# tap_result STATUS NAME: for a status that is already known
tap_result()
{
	local rc=$1

	shift
	if [ "$rc" -eq 0 ]; then tap_ok "$@"; else tap_fail "$@"; fi
}

# tap_check NAME COMMAND...: what the command prints becomes a diagnostic if it fails
#
# Not in a subshell, so that the command may wait for background processes.
tap_check()
{
	local name=$1 log=${LIB_TMP:-/dev}/${LIB_TMP:+check.}null rc

	shift
	"$@" >"$log" 2>&1
	rc=$?
	if [ $rc -ne 0 ]; then
		sed 's/^/#   /' "$log"
		note "  '$*' gave $rc"
	fi
	tap_result $rc "$name"
}

# tap_range NAME LOW VALUE HIGH [UNIT]: numbers may have a fraction
tap_range()
{
	if awk "BEGIN { exit !(${2:-1} <= ${3:-nan} && ${3:-nan} <= ${4:-0}) }" 2>/dev/null; then
		tap_ok "$1: $3${5:+ $5}"
	else
		tap_fail "$1: '$3'${5:+ $5}, expected $2 to $4"
	fi
}

# Ends a test: a plan that was not kept is a failure, too.
tap_finish()
{
	note "Totals: pass:$((LIB_NR - LIB_NR_FAIL - LIB_NR_SKIP)) fail:$LIB_NR_FAIL skip:$LIB_NR_SKIP"
	if [ "$LIB_NR" -ne "$LIB_PLAN" ]; then
		note "planned $LIB_PLAN tests, ran $LIB_NR"
		exit $ksft_fail
	fi
	[ "$LIB_NR_FAIL" -eq 0 ] || exit $ksft_fail
	[ "$LIB_NR" -eq 0 ] || [ "$LIB_NR" -ne "$LIB_NR_SKIP" ] || exit $ksft_skip
	exit $ksft_pass
}

# skip_all REASON: the whole test cannot run here
skip_all()
{
	[ "$LIB_PLAN" -ne 0 ] || echo "TAP version 13"
	[ "$LIB_PLAN" -ne 0 ] || echo "1..0 # SKIP $*"
	note "SKIP: $*"
	exit $ksft_skip
}

# die REASON: the test's own machinery failed, no verdict about hooker
die()
{
	echo "Bail out! $*"
	exit $ksft_fail
}

# ---- parts ----

# in_parts NUMBER: so many copies of this script do what follows, at the same time, each with hosts
# of its own and its number in LIB_PART; here nothing follows, for their results become one
#
# For tests that wait for most of their time. Those that measure have a machine to themselves.
in_parts()
{
	local -a pid=()
	local part rc=0

	[ -z "$LIB_PART" ] || return 0
	LIB_TMP=$(mktemp -d "${TMPDIR:-/tmp}/$LIB_ID.XXXXXX") || die "mktemp failed"
	for ((part = 1; part <= $1; part++)); do
		LIB_PART=$part "$0" >"$LIB_TMP/part.$part" 2>&1 &
		pid[part]=$!
	done
	# shellcheck disable=SC2064	# these processes
	trap "kill ${pid[*]} 2>/dev/null; wait; lib_join_parts; rm -rf '$LIB_TMP'; exit 143" \
		INT TERM HUP PIPE
	for part in "${!pid[@]}"; do
		wait "${pid[part]}" || [ $? -eq $ksft_skip ] || rc=$ksft_fail
	done
	lib_join_parts || rc=${rc/#0/$ksft_skip}
	rm -rf "$LIB_TMP"
	exit $rc
}

# One plan, one row of numbers, one sum; 1 if not a single test ran
lib_join_parts()
{
	cat "$LIB_TMP"/part.* | awk '
		/^1\.\./ { plan += substr($1, 4); if (/# SKIP/) why = $0; next }
		/^TAP version/ || /^# Totals:/ { next }
		/^(not )?ok [0-9]+/ {
			bad += /^not/; skip += !/^not/ && / # SKIP /
			sub(/ok [0-9]+/, "ok " ++nr)
		}
		{ line[++lines] = $0 }
		END {
			print "TAP version 13"
			print plan || why == "" ? "1.." plan + 0 : why
			for (i = 1; i <= lines; i++)
				print line[i]
			printf "# Totals: pass:%d fail:%d skip:%d\n", nr - bad - skip, bad, skip
			exit nr == skip
		}'
}

# ---- programs ----

# find_program NAME: prints the path of one of our own programs
find_program()
{
	local dir

	for dir in "${OUTPUT:-.}" . "$LIB_DIR" "$LIB_DIR/../../../$1"; do
		[ -x "$dir/$1" ] && [ ! -d "$dir/$1" ] || continue
		echo "$(cd "$dir" && pwd)/$1"
		return 0
	done
	return 1
}

# need PROGRAM...: skip the test where a program is not installed
need()
{
	local prog missing=

	for prog; do
		command -v "$prog" >/dev/null || missing="$missing $prog"
	done
	[ -z "$missing" ] || skip_all "not installed:$missing"
}

# find_object NAME: prints the path of a file that was built along with them
find_object()
{
	local dir

	for dir in "${OUTPUT:-.}" . "$LIB_DIR"; do
		[ -r "$dir/$1" ] || continue
		echo "$(cd "$dir" && pwd)/$1"
		return 0
	done
	return 1
}

need_hooker()
{
	[ -n "$HOOKER" ] || HOOKER=$(find_program hooker) ||
		skip_all "hooker not found: not built, or OUTPUT does not say where"
}

# ---- processes ----

# on HOST COMMAND...: run as a process of that host
#
# 'ip netns exec' would hide the cgroup tree by mounting its own /sys.
on()
{
	local host=$1

	shift
	(
		echo 0 >"$LIB_CGROOT/$LIB_ID$host/cgroup.procs" || exit 125
		exec nsenter --net="/run/netns/$LIB_ID$host" -- "$@"
	)
}

# on_bg HOST NAME COMMAND...: the same in the background; NAME is for bg_* below,
# stdout and stderr go to $LIB_TMP/NAME.out and .err
on_bg()
{
	local host=$1 name=$2

	shift 2
	# Here and not by the child: nobody may take an earlier run's lines for this one's.
	rm -f "$LIB_TMP/$name.out" "$LIB_TMP/$name.err"
	(
		trap - EXIT INT TERM HUP PIPE
		echo 0 >"$LIB_CGROOT/$LIB_ID$host/cgroup.procs" || exit 125
		exec nsenter --net="/run/netns/$LIB_ID$host" -- "$@"
	) >"$LIB_TMP/$name.out" 2>"$LIB_TMP/$name.err" </dev/null &
	LIB_PID[$name]=$!
}

bg_pid() { echo "${LIB_PID[$1]}"; }
bg_out() { echo "$LIB_TMP/$1.out"; }
bg_err() { echo "$LIB_TMP/$1.err"; }

# bg_signal NAME [SIGNAL]
bg_signal() { kill -s "${2:-TERM}" "${LIB_PID[$1]}" 2>/dev/null; }

bg_is_running() { kill -0 "${LIB_PID[$1]}" 2>/dev/null; }

bg_has_ended() { ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/${LIB_PID[$1]}/status"; }

# bg_wait NAME [SECONDS]: returns its exit status; 124 if it had to be killed
bg_wait()
{
	local pid=${LIB_PID[$1]} rc=124

	[ -n "$pid" ] || return 125
	if wait_for "${2:-90}" bg_has_ended "$1"; then
		wait "$pid" 2>/dev/null
		rc=$?
	else
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	fi
	unset "LIB_PID[$1]"
	return $rc
}

# bg_stop NAME [SECONDS]: SIGTERM, then as bg_wait
bg_stop()
{
	bg_signal "$1"
	bg_wait "$@"
}

now_ms() { local t=${EPOCHREALTIME/./}; echo $((t / 1000)); }

# said_ms FILE: when a process has written to it last, on the clock of now_ms
#
# To be preferred where a time is measured: how late a busy machine lets this shell look is not
# in it. The file system's clock is that of the last tick, some milliseconds ago.
said_ms()
{
	local t

	t=$(stat -c %.3Y "$1" 2>/dev/null) && echo "${t/./}"
}

# last_said_ms FILE...: of the one that was written last
last_said_ms()
{
	local file

	for file; do
		said_ms "$file"
	done | sort -n | tail -n 1
}

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for()
{
	local end=$(($(now_ms) + $1 * 1000))

	shift
	until "$@"; do
		[ "$(now_ms)" -lt $end ] || return 1
		sleep 0.02
	done
}

# wait_line FILE PATTERN [SECONDS]
wait_line() { wait_for "${3:-60}" grep -qse "$2" "$1"; }

has_listener() { [ -n "$(on "$1" ss -Hltn "sport = :$2")" ]; }

# wait_port HOST PORT [SECONDS]: until something listens on the TCP port
wait_port() { wait_for "${3:-60}" has_listener "$1" "$2"; }

# ---- topology ----

find_cgroup2() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

# addr HOST [4|6]
addr()
{
	local name=ADDR${2:-4}_$1

	echo "${!name}"
}

# url_addr HOST [4|6]: the same in brackets where a URL needs them
url_addr()
{
	[ "${2:-4}" = 6 ] && echo "[$(addr "$1" 6)]" || addr "$1"
}

netns() { echo "$LIB_ID$1"; }
cgroup() { echo "$LIB_CGROOT/$LIB_ID$1"; }

lib_init()
{
	[ -z "$LIB_TMP" ] || return 0
	[ "$(id -u)" -eq 0 ] || skip_all "needs root"
	need ip ss ethtool nsenter awk
	LIB_CGROOT=$(find_cgroup2)
	[ -n "$LIB_CGROOT" ] || skip_all "cgroup2 is not mounted"
	[ -e /proc/self/ns/net ] || skip_all "kernel has no network namespaces"
	trap lib_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP PIPE
	LIB_TMP=$(mktemp -d "${TMPDIR:-/tmp}/$LIB_ID.XXXXXX") || die "mktemp failed"
}

lib_setsysctl() { on "$1" sh -c "echo $3 >/proc/sys/$2" 2>/dev/null; }

lib_add_host()
{
	mkdir "$LIB_CGROOT/$LIB_ID$1" && ip netns add "$LIB_ID$1" || die "cannot create host $1"
	ip -n "$LIB_ID$1" link set lo up
}

# Of a veth whose ends have the same index the kernel notices the carrier a second later
# (linkwatch_urgent_event()), so one of them is given one.
#
# Offloads stay off: linkem must see the packets that would be on a line, with their
# checksums filled in, not the large ones that one kernel hands to itself.
lib_wire_host()
{
	local host=$1 mac=MAC_$1 ns=$LIB_ID$1

	ip link add eth0 index 100 netns "$ns" address "${!mac}" type veth \
		peer name "r$host" netns "${LIB_ID}r" || die "cannot create a veth"
	on "$host" ethtool -K eth0 tso off gso off gro off tx off >/dev/null
	on r ethtool -K "r$host" tso off gso off gro off tx off >/dev/null
	lib_setsysctl "$host" net/ipv6/conf/eth0/accept_dad 0
	lib_setsysctl "$host" net/ipv6/conf/eth0/router_solicitations 0
	ip -n "${LIB_ID}r" link set "r$host" up
	ip -n "$ns" addr add "$(addr "$host")/24" dev eth0
	ip -n "$ns" addr add "$(addr "$host" 6)/64" dev eth0 nodad
	ip -n "$ns" link set eth0 up
}

# Resolution would cost the first packet an extra round trip, unlike behind a real router.
lib_add_neighbours()
{
	ip -n "${LIB_ID}c" neigh add "$ADDR4_s" lladdr "$MAC_s" dev eth0
	ip -n "${LIB_ID}c" neigh add "$ADDR6_s" lladdr "$MAC_s" dev eth0
	ip -n "${LIB_ID}s" neigh add "$ADDR4_c" lladdr "$MAC_c" dev eth0
	ip -n "${LIB_ID}s" neigh add "$ADDR6_c" lladdr "$MAC_c" dev eth0
}

# topo_up [LINKEM SETTING...]: both hosts, the router and the link
#
# TOPO_ARP=1: hosts find each other's MAC addresses by themselves.
# TOPO_SEED: seed of linkem.
# TOPO_XDP=1: programs that the hosts attach in native mode may use XDP_TX. Costs speed.
topo_up()
{
	local host

	lib_init
	LIB_LINKEM=$(find_program linkem) || skip_all "linkem is not built"
	LIB_UP=1
	for host in c s r; do
		lib_add_host $host
	done
	lib_setsysctl r net/ipv6/conf/all/disable_ipv6 1
	lib_setsysctl r net/ipv6/conf/default/disable_ipv6 1
	lib_wire_host c
	lib_wire_host s
	[ -n "$TOPO_ARP" ] || lib_add_neighbours
	link_restart "${TOPO_SEED:-1}" "$@" ||
		die "linkem does not start: $(cat "$(bg_err linkem)")"
	for host in c s; do
		wait_for 30 lib_has_carrier $host || die "host $host: no carrier"
		wait_for 30 lib_has_addresses $host || die "host $host: no address"
		state_save $host
	done
}

# nat_up: a router that translates addresses between host c and the link
#
#   host c                      host n
#   10.9.0.2  eth0 -------- in  10.9.0.1
#   fd09::2                     fd09::1
#                           out 192.0.2.1, 2001:db8::1 ---- link ---- host s
#
# What passes is translated as nat_set says, and not at all before.
nat_up()
{
	local n=${LIB_ID}n c=${LIB_ID}c dev

	LIB_HOSTS="$LIB_HOSTS n"
	lib_add_host n
	ip -n "$c" link set eth0 netns "$n" name out
	ip link add eth0 index 101 netns "$c" type veth peer name in netns "$n" ||
		die "cannot create a veth"
	on c ethtool -K eth0 tso off gso off gro off tx off >/dev/null
	on n ethtool -K in tso off gso off gro off tx off >/dev/null
	lib_setsysctl c net/ipv6/conf/eth0/accept_dad 0
	lib_setsysctl n net/ipv4/ip_forward 1
	lib_setsysctl n net/ipv6/conf/all/forwarding 1
	ip -n "$n" addr add "$ADDR4_c/24" dev out
	ip -n "$n" addr add "$ADDR6_c/64" dev out nodad
	ip -n "$n" addr add 10.9.0.1/24 dev in
	ip -n "$n" addr add fd09::1/64 dev in nodad
	ip -n "$c" addr add 10.9.0.2/24 dev eth0
	ip -n "$c" addr add fd09::2/64 dev eth0 nodad
	for dev in out in; do
		ip -n "$n" link set $dev up
	done
	ip -n "$c" link set eth0 up
	ip -n "$n" neigh add "$ADDR4_s" lladdr "$MAC_s" dev out
	ip -n "$n" neigh add "$ADDR6_s" lladdr "$MAC_s" dev out
	ip -n "$c" route add default via 10.9.0.1
	ip -n "$c" route add default via fd09::1
	wait_for 30 lib_has_carrier c || die "host c: no carrier"
	state_save c
}

# nat_set IPv4 IPv6 PORTS: addresses and carrier ports behind which host c is from now on
#
# What is under way is forgotten, as by a router that starts anew.
nat_set()
{
	local proto v4='' v6=''

	for proto in udp udplite; do
		v4="$v4 oifname out meta l4proto $proto snat to $1:$3;"
		v6="$v6 oifname out meta l4proto $proto snat to [$2]:$3;"
	done
	ip -n "${LIB_ID}n" addr replace "$1/24" dev out
	ip -n "${LIB_ID}n" addr replace "$2/64" dev out nodad
	on n nft -f - <<-EOT || return 1
		table ip nat
		delete table ip nat
		table ip nat { chain post { type nat hook postrouting priority 100; $v4
			oifname out snat to $1; }; }
		table ip6 nat
		delete table ip6 nat
		table ip6 nat { chain post { type nat hook postrouting priority 100; $v6
			oifname out snat to $2; }; }
	EOT
	on n python3 -c "$LIB_FLUSH_CONNTRACK"
}

# CTNETLINK, delete, of no connection in particular
LIB_FLUSH_CONNTRACK='
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0))
raise SystemExit(-struct.unpack_from("=i", s.recv(4096), 16)[0])'

# The kernel adds the link-local one, and its route, a while after the device is up
lib_has_addresses()
{
	[ ! -e /proc/net/if_inet6 ] ||
		ip -n "$LIB_ID$1" -6 route show table local | grep -q '^local fe80:'
}

lib_has_carrier() { ip -n "$LIB_ID$1" link show eth0 | grep -q 'state UP'; }

# topo_congctl ALGORITHM: TCP congestion control of both hosts
#
# By route: in a namespace the sysctl refuses what the machine does not allow everyone.
topo_congctl()
{
	local host ns

	for host in c s; do
		ns=$LIB_ID$host
		ip -n "$ns" route change 192.0.2.0/24 dev eth0 proto kernel scope link \
			src "$(addr $host)" congctl "$1" || return 1
		ip -n "$ns" -6 route change 2001:db8::/64 dev eth0 proto kernel metric 256 \
			congctl "$1" || return 1
		state_save $host
	done
}

# link_set [ab|ba|both] SETTING VALUE ...: see 'linkem help'
link_set() { "$LIB_LINKEM" ctl "$LIB_TMP/linkem.sock" set "$@"; }

# link_get ab|ba|both PROTO|all|other|link COUNTER
link_get() { "$LIB_LINKEM" ctl "$LIB_TMP/linkem.sock" get "$@"; }
link_stats() { "$LIB_LINKEM" ctl "$LIB_TMP/linkem.sock" stats "$@"; }
# link_carries NUMBER BYTES: so much payload of that protocol, soon: a client that is done has its
# bytes on their way
link_carries() { wait_for 20 link_has_carried "$@"; }
link_has_carried() { [ "$(link_get both "$1" payload_bytes)" -ge "$2" ]; }

link_reset() { "$LIB_LINKEM" ctl "$LIB_TMP/linkem.sock" reset; }

# link_restart SEED [SETTING...]: a fresh emulator on the same link
link_restart()
{
	local seed=$1

	shift
	[ -z "${LIB_PID[linkem]}" ] || bg_stop linkem 5 || return 1
	on_bg r linkem "$LIB_LINKEM" -s "$LIB_TMP/linkem.sock" -S "$seed" ${TOPO_XDP:+-x} \
		rc rs "$@"
	wait_line "$(bg_out linkem)" '^linkem: ready' || return 1
	# With a program veth has switched it on again.
	on r ethtool -K rc gro off >/dev/null
	on r ethtool -K rs gro off >/dev/null
}

# link_is_sound: nothing happened that makes a measurement over the link void
link_is_sound()
{
	local counter nr sound=0

	for counter in dropped_ring dropped_memory oversize csum_unset tx_errors; do
		nr=$(link_get both link $counter) || return 1
		[ "$nr" -eq 0 ] && continue
		note "link: $counter=$nr"
		sound=1
	done
	return $sound
}

# ---- traffic ----

need_tapp() { TAPP=$(find_program tapp) || skip_all "tapp is not built"; }

# tapp_serve HOST PORT [OPTION...]: background process "tapp-PORT", see bg_out
tapp_serve()
{
	local host=$1 port=$2

	shift 2
	on_bg "$host" "tapp-$port" "$TAPP" server -p "$port" "$@"
	wait_line "$(bg_out "tapp-$port")" '^tapp: ready'
}

# served PORT BEHIND: what the server on that port said of its connections, but the first ones
served() { grep '^conn=' "$(bg_out "tapp-$1")" | tail -n +$(($2 + 1)); }
nr_served() { served "$1" 0 | wc -l; }
has_served() { [ "$(nr_served "$1")" -ge "$2" ]; }

# server_verified PORT BEHIND NUMBER BYTES: so many more, each with that many bytes, all right
#
# The client is done when its bytes are on their way; whether they arrived only the server knows.
server_verified()
{
	wait_for 60 has_served "$1" $(($2 + $3)) || return
	! served "$1" "$2" | grep -v "result=ok recv_bytes=$4 "
}

# tapp HOST OPTION... ADDRESS PORT: result in $LIB_TMP/tapp.res, see tapp_get
tapp()
{
	local host=$1

	shift
	on "$host" "$TAPP" client "$@" >"$LIB_TMP/tapp.res"
}

# measure_first: sets FIRST, words before a command that is to measure a time
#
# It comes before other work of the machine, as linkem does. Not where root may not do that.
measure_first()
{
	FIRST=(chrt --fifo 1)
	"${FIRST[@]}" true 2>/dev/null || FIRST=()
}

# tapp_first HOST OPTION... ADDRESS PORT: as tapp, for who wants to know how long it takes
tapp_first()
{
	local host=$1 FIRST

	shift
	measure_first
	on "$host" "${FIRST[@]}" "$TAPP" client "$@" >"$LIB_TMP/tapp.res"
}

# start_transfer NAME OPTION...: from host c to $PORT of host s, as NAME4 and NAME6
#
# Without progress for so long as -t says they give up: longer than any test waits for a reset.
start_transfer()
{
	local name=$1 v

	shift
	for v in 4 6; do
		on_bg c "$name$v" "$TAPP" client -t 60 "$@" "$(addr s $v)" "$PORT"
	done
}

# start_lasting NAME [OPTION...]: the same in both directions, until ends_whole NAME
#
# For what happens in the midst of a transfer: a number of bytes is through before it happens, or
# takes long afterwards, as the machine pleases.
start_lasting()
{
	rm -f "$LIB_TMP/$1.until"
	start_transfer "$1" --up 4g --down 4g --until "$LIB_TMP/$1.until" "${@:2}"
}

# ends_whole NAME: they end now, well, and each side has what the other one has sent
ends_whole()
{
	local v result=0

	: >"$LIB_TMP/$1.until"
	for v in 4 6; do
		bg_wait "$1$v" || result=1
		grep -E '^(result|total_us|sent_bytes|verified_bytes)=' "$(bg_out "$1$v")" |
			paste -sd' '
	done
	[ $result -eq 0 ] && wait_for 60 server_agrees "$1"
}

# server_agrees NAME: it has served two with those numbers of bytes; addresses may be translated
server_agrees()
{
	local v

	[ -z "$(comm -23 <(
		for v in 4 6; do
			sed -n 's/^sent_bytes=//p; s/^verified_bytes=//p' "$(bg_out "$1$v")" |
				paste -sd' '
		done | sort) <(
		served "$PORT" 0 |
		sed -nE 's/.* result=ok recv_bytes=([0-9]+) sent_bytes=([0-9]+) .*/\1 \2/p' |
		sort))" ]
}

# clients_ended NAME: both
clients_ended() { bg_has_ended "${1}4" && bg_has_ended "${1}6"; }

# both_succeed NAME
both_succeed()
{
	local v result=0

	for v in 4 6; do
		bg_wait "$1$v" || result=1
		cat "$(bg_out "$1$v")"
	done
	return $result
}

# both_verified NAME BYTES BEHIND: so many on either side, the server's connections behind so many
both_verified()
{
	local v rc result=0

	for v in 4 6; do
		bg_wait "$1$v"
		rc=$?
		echo "IPv$v: $(grep -E '^(result|total_us|verified_bytes)=' "$(bg_out "$1$v")" |
			tr '\n' ' ')"
		[ $rc -eq 0 ] && grep -q "^verified_bytes=$2$" "$(bg_out "$1$v")" || result=1
	done
	[ $result -eq 0 ] && server_verified $PORT "$3" 2 "$2"
}

# all_were_reset NAME [BEHIND]: both, and the server's connections behind so many
all_were_reset()
{
	local behind=${2:-0} v result=0

	for v in 4 6; do
		bg_wait "$1$v"
		[ $? -eq 3 ] || result=1
		echo "client, IPv$v: $(grep '^result=' "$(bg_out "$1$v")")"
	done
	wait_for 30 has_served $PORT $((behind + 2))
	served $PORT "$behind"
	[ "$(nr_served $PORT)" -eq $((behind + 2)) ] || result=2
	served $PORT "$behind" | grep -vq ' result=reset ' && result=3
	return $result
}

# exchange FAMILY [OPTION...]: 100 KB to $PORT of host s and back, counted by the link
exchange()
{
	link_reset
	tapp_first c -t 30 "${@:2}" --up 100k --down 100k "$(addr s "$1")" $PORT
}

# Of an exchange, with arguments as that: all went over TCP, or nothing
plain_tcp_carries() { exchange "$@" && link_carries 6 $((200 << 10)); }
is_hooked() { exchange "$@" && [ "$(link_get both 6 with_payload)" -eq 0 ]; }

# tapp_get KEY: from the last run of tapp
tapp_get() { sed -n "s/^$1=//p" "$LIB_TMP/tapp.res"; }

# snmp_get HOST Tcp|Udp|UdpLite|TcpExt|... COUNTER: what the host's kernel counted
snmp_get()
{
	on "$1" cat /proc/net/snmp /proc/net/netstat | awk -v group="$2:" -v name="$3" '
		$1 == group && !header { header = 1; for (i = 2; i <= NF; i++) col[$i] = i; next }
		$1 == group { print $col[name]; exit }'
}

# ---- hooker ----

hooker_name() { echo "$LIB_ID$1"; }

# hooker_launch HOST [ARGUMENT...]: start it, do not wait
hooker_launch()
{
	local host=$1 more=HOOKER_ARGS_$1

	shift
	# shellcheck disable=SC2086
	on_bg "$host" "hooker-$host" "$HOOKER" run --name "$(hooker_name "$host")" \
		--cgroup "$(cgroup "$host")" "$@" ${!more}
}

# hooker_start HOST [ARGUMENT...]: returns when it is attached, 1 if it never is
hooker_start()
{
	hooker_launch "$@"
	wait_line "$(bg_out "hooker-$1")" '^hooker: ready' && return 0
	note "host $1: hooker is not ready"
	hooker_log "$1"
	return 1
}

# hooker_stop HOST [SECONDS]: returns its exit status
hooker_stop() { bg_stop "hooker-$1" "${2:-60}"; }

# hooker_signal HOST SIGNAL
hooker_signal() { bg_signal "hooker-$1" "$2"; }

hooker_log() { sed "s/^/#   hooker-$1: /" "$(bg_err "hooker-$1")"; }

# hooker_show HOST flows|peers|stats [-j]
hooker_show()
{
	local host=$1

	shift
	"$HOOKER" --name "$LIB_ID$host" show "$@"
}

# hooker_do HOST COMMAND [ARGUMENT...]: a command to that host's daemon
hooker_do()
{
	local host=$1

	shift
	on "$host" "$HOOKER" --name "$(hooker_name "$host")" "$@"
}

# start_hookers [ARGUMENT...]: on both hosts, with the same arguments
start_hookers()
{
	hooker_launch c "$@"
	hooker_launch s "$@"
	wait_line "$(bg_out hooker-c)" '^hooker: ready' || die "$(hooker_log c)"
	wait_line "$(bg_out hooker-s)" '^hooker: ready' || die "$(hooker_log s)"
}

proto() { hooker_do "$1" proto "${@:2}"; }

# nr_fds HOST: what its daemon has open
nr_fds() { find "/proc/$(bg_pid "hooker-$1")/fd" -mindepth 1 | wc -l; }

# uses HOST CARRIER: all of its associations
uses()
{
	hooker_show "$1" peers
	[ "$(hooker_show "$1" peers -j | json_values proto | sort -u)" = "$2" ]
}

# all_use CARRIER: associations of both hosts
all_use() { uses c "$1" && uses s "$1"; }

# xdp_counter HOST DEVICE-OR-MECHANISM COUNTER
xdp_counter() { hooker_show "$1" xdp | awk -v name="$2.$3" '$1 == name { print $2 }'; }

# Of both hosts, datagrams whose checksum covers a part of them
nr_partial() { echo $(($(counter c tx_partial_coverage) + $(counter s tx_partial_coverage))); }

# counter HOST NAME...: their values, numbers or words, all of the same moment
counter()
{
	local host=$1 stats name values=

	shift
	stats=$'\n'$(hooker_show "$host" stats)
	for name; do
		[[ $stats =~ $'\n'[[:blank:]]*$name[[:blank:]]+([^[:space:]]+) ]] || return 1
		values+=${values:+ }${BASH_REMATCH[1]}
	done
	echo "$values"
}

nr_flows() { counter "$1" flows; }
has_no_flows() { [ "$(nr_flows c)" -eq 0 ] && [ "$(nr_flows s)" -eq 0 ]; }

# all_flows_end: prints those that do not
all_flows_end()
{
	wait_for 20 has_no_flows && return 0
	hooker_show c flows
	hooker_show s flows
	return 1
}

# stop_both WHAT: the server on $PORT, then the daemons, in order and without leaving anything
stop_both()
{
	local what=$1 host

	bg_stop "tapp-$PORT"
	for host in c s; do
		tap_check "$what, host $host: hooker ends in order" hooker_stop "$host"
		tap_check "$what, host $host: nothing stays behind" leak_check "$host"
	done
}

# have_carried NUMBER BYTES: so many on both hosts, with that many bytes carried at least
have_carried()
{
	local host json

	for host in c s; do
		json=$(hooker_show $host flows -j)
		[ "$(paste <(json_values app_to_net_bytes <<<"$json") \
			<(json_values net_to_app_bytes <<<"$json") |
			awk -v min="$2" '$1 + $2 >= min' | wc -l)" -eq "$1" ] || return 1
	done
}

# is_in_midst [BYTES]: two connections are at work, and each has got so much in either direction
is_in_midst()
{
	local host

	for host in c s; do
		[ "$(hooker_show $host flows -j | json_values net_to_app_bytes |
			awk -v min="${1:-100000}" '$1 > min' | wc -l)" -eq 2 ] || return 1
	done
}

# get_further [BYTES]: both get so much more in either direction than they have
get_further()
{
	local most

	most=$({
		hooker_show c flows -j
		hooker_show s flows -j
	} | json_values net_to_app_bytes | sort -n | tail -n 1)
	wait_for 60 is_in_midst $((${most:-0} + ${1:-500000}))
}

# json_values KEY: each value of that key on stdin, one a line, quotes removed
json_values()
{
	grep -oE "\"$1\"[[:space:]]*:[[:space:]]*(\"[^\"]*\"|[^],}[:space:]]+)" |
		sed -E 's/^"[^"]*"[[:space:]]*:[[:space:]]*//; s/^"(.*)"$/\1/'
}

# json_sum KEY
json_sum() { json_values "$1" | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }

# ---- files ----

# make_file PATH BYTES: random content
make_file() { head -c "$2" /dev/urandom >"$1"; }

sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

same_file()
{
	[ -s "$1" ] && [ "$(sum_of "$1")" = "$(sum_of "$2")" ]
}

# ---- what a test leaves behind ----

# host_state HOST: what a program may have changed on a host, in a stable form
host_state()
{
	local ns=$LIB_ID$1 pid

	ip -n "$ns" rule
	ip -n "$ns" -6 rule
	ip -n "$ns" route show table all
	ip -n "$ns" -6 route show table all | sed 's/ expires [0-9]*sec//'
	ip -n "$ns" link | grep -v 'link/'
	on "$1" nft list ruleset 2>/dev/null
	command -v bpftool >/dev/null && bpftool cgroup show "$LIB_CGROOT/$LIB_ID$1" 2>/dev/null
	while read -r pid; do
		echo "process $(cat "/proc/$pid/comm" 2>/dev/null)"
	done <"$LIB_CGROOT/$LIB_ID$1/cgroup.procs"
	return 0
}

# state_save HOST: what leak_check compares with; topo_up saves it once
state_save() { host_state "$1" >"$LIB_TMP/state.$1"; }

lib_is_clean()
{
	host_state "$1" >"$LIB_TMP/state.now"
	cmp -s "$LIB_TMP/state.$1" "$LIB_TMP/state.now"
}

# leak_check HOST: the host is as it was at state_save; prints what differs
#
# A moment is allowed: a killed process's sockets and links go away with a delay.
leak_check()
{
	wait_for 20 lib_is_clean "$1" && return 0
	diff "$LIB_TMP/state.$1" "$LIB_TMP/state.now"
	return 1
}

lib_is_empty() { ! [ -s "$1/cgroup.procs" ] || [ -z "$(cat "$1/cgroup.procs")" ]; }

lib_remove_host()
{
	local cgroup=$LIB_CGROOT/$LIB_ID$1

	if [ -d "$cgroup" ]; then
		wait_for 5 lib_is_empty "$cgroup"
		find "$cgroup" -mindepth 1 -depth -type d -exec rmdir {} +
		wait_for 2 rmdir "$cgroup" 2>/dev/null || note "$cgroup: cannot be removed"
	fi
	[ ! -e "/run/netns/$LIB_ID$1" ] || ip netns del "$LIB_ID$1"
	# of daemons that were killed
	rm -f "/run/hooker/$LIB_ID$1.sock" "/run/hooker/$LIB_ID$1.lock"
}

# Processes end by their cgroup, so none is missed and none of anybody else's is met.
# The shell's own remarks about killed jobs are of no interest.
lib_kill_all()
{
	local host name

	for host in $LIB_HOSTS; do
		[ ! -d "$LIB_CGROOT/$LIB_ID$host" ] ||
			echo 1 >"$LIB_CGROOT/$LIB_ID$host/cgroup.kill"
	done
	for name in "${!LIB_PID[@]}"; do
		kill -KILL "${LIB_PID[$name]}"
		wait "${LIB_PID[$name]}"
	done
} 2>/dev/null

# Runs at exit, also after a failure or a signal.
lib_cleanup()
{
	local rc=$? host

	trap - EXIT
	trap '' INT TERM HUP PIPE
	if [ -n "$LIB_UP" ]; then
		lib_kill_all
		for host in $LIB_HOSTS; do
			lib_remove_host $host
		done
	fi
	if [ -n "$LIB_TMP" ] && [ -n "$KEEP" ]; then
		note "logs are in $LIB_TMP"
	elif [ -n "$LIB_TMP" ]; then
		rm -rf "$LIB_TMP"
	fi
	exit $rc
}
