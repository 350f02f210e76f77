#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Rules decide: which connections are hooked, over which carrier, with which congestion
# control; on both hosts, in order, while they are replaced under traffic. And hooker exec.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
PORT_B=5001
PORT_CG=5002			# its listener is in a cgroup below the host's
DELAY_MS=5
BYTES=300k

need_hooker
need_tapp

# policy HOST WORD...: of that host's daemon
policy()
{
	local host=$1

	shift
	on "$host" "$HOOKER" --name "$(hooker_name "$host")" policy "$@"
}

# rules HOST: replaces all by the lines on stdin
rules() { policy "$1" load -; }

# counter HOST NAME
counter() { hooker_show "$1" stats | awk -v name="$2" '$1 == name { print $2 }'; }

# carrier_used: by which of the protocols most payload went since link_reset
carrier_used()
{
	local number best=0 bytes name=none

	for number in 6:tcp 17:udp 136:udplite; do
		bytes=$(link_get both "${number%:*}" payload_bytes)
		[ "$bytes" -gt "$best" ] || continue
		best=$bytes
		name=${number#*:}
	done
	echo "$name"
}

# goes_by CARRIER FAMILY PORT [COMMAND...]: a transfer, by the command before tapp if there is one
goes_by()
{
	local want=$1 family=$2 port=$3 used

	shift 3
	link_reset
	on c "$@" "$TAPP" client -t 30 --up $BYTES --down $BYTES "$(addr s "$family")" "$port" \
		>"$LIB_TMP/tapp.res" || { cat "$LIB_TMP/tapp.res"; return 1; }
	used=$(carrier_used)
	[ "$used" = "$want" ] || { echo "port $port, IPv$family: by $used, not $want"; return 1; }
}

# each_goes_by CARRIER4 CARRIER6 PORT
each_goes_by() { goes_by "$1" 4 "$3" && goes_by "$2" 6 "$3"; }

start_hookers()
{
	hooker_launch c
	hooker_launch s
	wait_line "$(bg_out hooker-c)" '^hooker: ready' || die "$(hooker_log c)"
	wait_line "$(bg_out hooker-s)" '^hooker: ready' || die "$(hooker_log s)"
}

# ---- conditions, client ----

no_rules() { each_goes_by udplite udplite $PORT; }

by_prefix()
{
	rules c <<-END || return
		add out to 192.0.2.2 via udp hold	# this host only
		add out to 2001:db8::/32 none
	END
	each_goes_by udp tcp $PORT || return
	rules c <<-END || return
		add out to 192.0.2.0/31 none		# 192.0.2.2 is beside it
		add out to 2001:db8::2/127 via udp
	END
	each_goes_by udplite udp $PORT
}

by_source()
{
	rules c <<-END || return
		add from 192.0.2.1 via udp
		add from 2001:db8::2 via udp		# that is the server
	END
	each_goes_by udp udplite $PORT
}

by_port()
{
	rules c <<-END || return
		add port $PORT none
		add port $((PORT + 1))-6000 via udp
	END
	each_goes_by tcp tcp $PORT && each_goes_by udp udp $PORT_B
}

by_direction()
{
	echo "add in none" | rules c && goes_by udplite 4 $PORT || return
	echo "add out none" | rules s && goes_by udplite 4 $PORT || return
	echo "add out none" | rules c && goes_by tcp 4 $PORT
}

# the longest prefix is of no importance, the order is
by_order()
{
	rules c <<-END || return
		add pref 20 to 192.0.2.2/32 port $PORT none
		add pref 10 to 192.0.2.0/24 via udp
		add pref 30 none
	END
	each_goes_by udp tcp $PORT || return
	policy c add pref 5 to 192.0.0.0/16 port 4000-5000 none && goes_by tcp 4 $PORT &&
		goes_by udp 4 $PORT_B || return
	policy c del pref 5 && goes_by udp 4 $PORT
}

# in_cgroup PATH COMMAND...: of host c
in_cgroup()
{
	local path=$1

	shift
	echo 0 >"$path/cgroup.procs" || exit 125
	exec "$@"
}
export -f in_cgroup

by_cgroup()
{
	local sub
	sub=$(cgroup c)/sub

	mkdir -p "$sub/below" || return
	printf 'add cgroup %s via udp\nadd none\n' "$sub" | rules c || return
	goes_by tcp 4 $PORT || return
	goes_by udp 4 $PORT bash -c 'in_cgroup "$@"' - "$sub" || return
	goes_by udp 6 $PORT bash -c 'in_cgroup "$@"' - "$sub/below" || return
	printf 'add cgroup %s via udp\nadd none\n' "$sub/below" | rules c || return
	goes_by tcp 4 $PORT bash -c 'in_cgroup "$@"' - "$sub" || return
	# by its name below the mount point
	printf 'add cgroup %s none\n' "${sub#"$LIB_CGROOT/"}" | rules c || return
	goes_by tcp 4 $PORT bash -c 'in_cgroup "$@"' - "$sub" && goes_by udplite 4 $PORT
}

# ---- conditions, server ----

server_says_no()
{
	echo "add in port $PORT none" | rules s && goes_by tcp 4 $PORT &&
		goes_by udplite 4 $PORT_B || return
	printf 'add in from 192.0.2.1 via udp\nadd in from 2001:db8::/64 none' | rules s &&
		each_goes_by udp tcp $PORT
}

server_cgroup()
{
	printf 'add in cgroup %s none\n' "$(cgroup s)/sub" | rules s &&
		goes_by tcp 4 $PORT_CG && goes_by tcp 6 $PORT_CG && goes_by udplite 4 $PORT
}

# What both allow; nothing in common is plain TCP
intersection()
{
	echo "add in via udp,udplite" | rules s && echo "add out via udp" | rules c &&
		goes_by udp 4 $PORT || return
	echo "add in via udplite" | rules s && goes_by tcp 4 $PORT || return
	echo "add out via udplite" | rules c && goes_by udplite 4 $PORT
}

# cc_of HOST: of the association that has sent most bytes
cc_of()
{
	hooker_show "$1" peers | awk '
		NR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; next }
		$col["tx_bytes"] > most { most = $col["tx_bytes"]; cc = $col["cc"] }
		END { print cc }'
}

# ccs HOST: of all associations, sorted
ccs()
{
	hooker_show "$1" peers -j | json_values cc | sort | tr '\n' ' '
}

congestion_control()
{
	echo "add out port $PORT cc cubic" | rules c &&
		echo "add in port $PORT_B cc cubic" | rules s || return
	goes_by udplite 4 $PORT && goes_by udplite 4 $PORT_B || return
	# one association for each: what the client sends, what the server sends
	[ "$(ccs c)" = "bbr cubic " ] && [ "$(ccs s)" = "bbr cubic " ] ||
		{ echo "c: $(ccs c), s: $(ccs s)"; return 1; }
	echo "add out cc bbr" | rules c && policy s flush && goes_by udplite 4 $PORT || return
	[ "$(ccs c)" = "bbr bbr cubic " ] ||
		{ echo "the default, named, is not the default: $(ccs c)"; return 1; }
	goes_by udplite 4 $PORT && [ "$(ccs c)" = "bbr bbr cubic " ] ||
		{ echo "no association was shared: $(ccs c)"; return 1; }
}

shows_rule() { [ "$(hooker_show c flows -j | json_values rule)" = "$1" ]; }

rule_is_shown()
{
	printf 'add pref 77 port %d hold\n' $PORT | rules c || return
	rm -f "$LIB_TMP/enough"
	on_bg c long "$TAPP" client --up 4g --down 4g --until "$LIB_TMP/enough" "$(addr s)" $PORT
	wait_for 30 shows_rule 77
	local rc=$?
	: >"$LIB_TMP/enough"
	bg_wait long
	return $rc
}

# ---- first contact ----

peers_up() { [ "$(hooker_show c peers -j | json_values state)" = up ]; }
server_heard() { [ "$(hooker_show s peers -j | json_sum rx_datagrams)" -gt 0 ]; }

# The first connection does not wait for HELLO, and is none of those that come later
native_first()
{
	local rtt_ms=200

	echo "add out native-first" | rules c || return
	link_set both delay $((rtt_ms / 2))ms
	goes_by tcp 4 $PORT || return
	[ "$(tapp_get connect_us)" -lt $((rtt_ms * 1800)) ] ||
		{ echo "connect() took $(tapp_get connect_us) us"; return 1; }
	link_set both delay ${DELAY_MS}ms
	wait_for 60 peers_up || { echo "no association"; return 1; }
	wait_for 60 server_heard || { echo "the server would forget it"; return 1; }
	goes_by udplite 4 $PORT || return
	[ "$(counter c flows_left_native)" -eq 1 ]
}

# ---- replacing ----

list_is_loadable()
{
	rules c <<-END || return
		add first in from 10.0.0.0/8 to ::/0 port 1-9 via udp cover full cc cubic native-first
		add out to 2001:db8::1 cgroup $(cgroup c) none
	END
	policy c list >"$LIB_TMP/list" && [ "$(wc -l <"$LIB_TMP/list")" -eq 2 ] || return
	policy c flush && [ -z "$(policy c list)" ] || { echo "flush left rules"; return 1; }
	policy c load "$LIB_TMP/list" && policy c list | diff "$LIB_TMP/list" - || return
	policy c list -j | grep -q '"rules":\[{"pref":999,"direction":"in","from":"10.0.0.0/8"'
}

# refused STATUS TEXT COMMAND...: and nothing has changed
refused()
{
	local status=$1 text=$2 rc

	shift 2
	policy c list >"$LIB_TMP/before"
	"$@" >"$LIB_TMP/said" 2>&1
	rc=$?
	[ $rc -eq "$status" ] || { echo "exit $rc"; cat "$LIB_TMP/said"; return 1; }
	[ "$(wc -l <"$LIB_TMP/said")" -eq 1 ] || { cat "$LIB_TMP/said"; return 1; }
	grep -qF -- "$text" "$LIB_TMP/said" || { cat "$LIB_TMP/said"; return 1; }
	policy c list | diff "$LIB_TMP/before" -
}

load_is_all_or_nothing()
{
	local file=$LIB_TMP/rules

	echo "add pref 4 out to 192.0.2.2 via udp" | rules c || return
	printf 'add none\n\nadd out prot 3 hold\n' >"$file"
	refused 2 "$file:3: \"prot\": not a word of a rule" policy c load "$file" || return
	printf 'add none\nadd cgroup nowhere/at-all hold\n' >"$file"
	refused 1 "$file:2: cgroup nowhere/at-all: No such file" policy c load "$file" || return
	printf 'add none\nadd cgroup /tmp hold\n' >"$file"
	refused 1 "$file:2: cgroup /tmp: not a directory of cgroup v2" policy c load "$file" ||
		return
	printf 'add cgroup %s hold\n' "$(cgroup s)" >"$file"
	refused 1 ":1: cgroup $(cgroup s): this daemon serves $(cgroup c) only" \
		policy c load "$file" || return
	refused 1 "pref 4: there is a rule" policy c add pref 4 none || return
	refused 1 "del pref 9: no such rule" policy c del pref 9 || return
	refused 1 "$LIB_TMP/no: No such file" policy c load "$LIB_TMP/no" || return
	refused 2 "cover half: not full or header" policy c add cover half || return
	goes_by udp 4 $PORT
}

# A rule whose cgroup has gone is no hindrance for others
cgroup_is_gone()
{
	local sub
	sub=$(cgroup c)/gone

	mkdir "$sub" && policy c add cgroup "$sub" none && rmdir "$sub" || return
	policy c add first port $PORT via udp && goes_by udp 4 $PORT
}

reload_forever()
{
	while :; do
		policy c load "$LIB_TMP/one" && policy c load "$LIB_TMP/two" || return
		echo turn
	done
}
export -f policy on hooker_name
export LIB_CGROOT LIB_ID HOOKER

# Each of the two hooks all by UDP. A moment without rules would be UDP-Lite
replaced_under_traffic()
{
	local before turns nr=400

	{ echo "add pref 1 out to 10.0.0.0/8 none"; echo "add via udp"; } >"$LIB_TMP/one"
	{ printf 'add out port %d-4990 none\n' {1..200}; echo "add to 0.0.0.0/0 via udp"; } \
		>"$LIB_TMP/two"
	policy c load "$LIB_TMP/one" && goes_by udp 4 $PORT || return
	before=$(counter c flows_active)
	link_reset
	LIB_TMP=$LIB_TMP reload_forever >"$LIB_TMP/turns" &
	turns=$!
	tapp c -t 60 -n $nr --up 2k --down 2k "$(addr s)" $PORT
	local rc=$?
	kill $turns 2>/dev/null
	wait $turns 2>/dev/null
	turns=$(grep -c turn "$LIB_TMP/turns")
	echo "$((2 * turns)) times replaced"
	[ $rc -eq 0 ] && [ "$turns" -gt 5 ] || return 1
	[ $(($(counter c flows_active) - before)) -eq $nr ] || { echo "not all were hooked"; return 1; }
	# an association that there is may say something, but none of these has less than 4 KB
	[ "$(link_get both 136 payload_bytes)" -lt 4096 ] || { echo "UDP-Lite was used"; return 1; }
}

# ---- at the start ----

starts_with_rules()
{
	echo "add out port $PORT via udp" >"$LIB_TMP/start"
	hooker_stop c && hooker_start c --policy "$LIB_TMP/start" && goes_by udp 4 $PORT &&
		goes_by udplite 4 $PORT_B
}

does_not_start_with_wrong_ones()
{
	local rc

	printf '# x\nadd prot 3\n' >"$LIB_TMP/start"
	on c "$HOOKER" run --name x$$ --policy "$LIB_TMP/start" 2>"$LIB_TMP/said"
	rc=$?
	[ $rc -eq 2 ] && grep -q "$LIB_TMP/start:2: \"prot\"" "$LIB_TMP/said" ||
		{ echo "exit $rc"; cat "$LIB_TMP/said"; return 1; }
	printf 'add cgroup no/where none\n' >"$LIB_TMP/start"
	on c "$HOOKER" run --name x$$ --cgroup "$(cgroup c)" --port 18599 --no-xdp \
		--policy "$LIB_TMP/start" 2>"$LIB_TMP/said"
	rc=$?
	[ $rc -eq 1 ] && grep -q "$LIB_TMP/start:1: cgroup no/where" "$LIB_TMP/said" ||
		{ echo "exit $rc"; cat "$LIB_TMP/said"; return 1; }
}

# ---- exec ----

# hexec WORD... -- COMMAND...: with the daemon of host c
hexec() { on c "$HOOKER" --name "$(hooker_name c)" exec "$@"; }

no_traces()
{
	local left

	left=$(find "$(cgroup c)" -name 'hooker-exec.*'; policy c list 2>/dev/null)
	[ -z "$left" ] || { echo "left behind: $left"; return 1; }
}

exec_has_its_rule()
{
	echo "add none" | rules c || return
	goes_by udp 4 $PORT "$HOOKER" --name "$(hooker_name c)" exec via udp -- || return
	goes_by udplite 6 $PORT "$HOOKER" --name "$(hooker_name c)" exec -- || return
	goes_by tcp 4 $PORT "$HOOKER" --name "$(hooker_name c)" exec to 192.0.2.0/31 hold -- ||
		return
	goes_by tcp 4 $PORT || return
	[ "$(policy c list)" = "add pref 1000 none" ] || { policy c list; return 1; }
	policy c flush && no_traces
}

# gives STATUS COMMAND...
gives()
{
	local want=$1 rc

	shift
	"$@" 2>"$LIB_TMP/said"
	rc=$?
	[ $rc -eq "$want" ] || { echo "'$*' gave $rc, not $want"; cat "$LIB_TMP/said"; return 1; }
}

exec_passes_status()
{
	gives 0 hexec none -- true && gives 1 hexec -- false || return
	gives 77 hexec -- sh -c 'exit 77' || return
	gives 137 hexec -- sh -c 'kill -KILL $$' && gives 143 hexec -- sh -c 'kill $$' || return
	gives 127 hexec -- "$LIB_TMP/no-such-command" || return
	: >"$LIB_TMP/not-executable"
	gives 126 hexec -- "$LIB_TMP/not-executable" || return
	gives 2 hexec -- || return
	gives 2 hexec true || return
	gives 2 hexec frob -- true && gives 2 hexec cgroup x hold -- true &&
		gives 2 hexec pref 3 hold -- true || return
	[ "$(echo in | hexec -- sh -c 'cat; echo "$@"; pwd' - -- a 'b c')" = \
	  "$(printf 'in\n-- a b c\n%s' "$PWD")" ] || return
	no_traces
}

is_sleeping() { grep -q 1 "$LIB_TMP/exec.started" 2>/dev/null; }

# What the command makes of a signal is its own affair
exec_passes_signals()
{
	local sig

	for sig in TERM HUP INT QUIT USR1 USR2; do
		rm -f "$LIB_TMP/exec.started"
		on_bg c exec env --default-signal=INT,QUIT "$HOOKER" --name "$(hooker_name c)" \
			exec -- bash -c "trap 'echo got $sig; exit 33' $sig; echo 1 >$LIB_TMP/exec.started;
				while :; do sleep 0.02; done"
		wait_for 60 is_sleeping || { cat "$(bg_err exec)"; return 1; }
		bg_signal exec $sig
		bg_wait exec
		[ $? -eq 33 ] && grep -qx "got $sig" "$(bg_out exec)" ||
			{ echo "$sig: $(cat "$(bg_out exec)" "$(bg_err exec)")"; return 1; }
	done
	no_traces
}

in_own_cgroup() { grep -qx "0::.*/$LIB_ID"c "/proc/$(cat "$LIB_TMP/left")/cgroup"; }

exec_leaves_what_goes_on()
{
	gives 5 hexec -- sh -c "mkdir \$(grep -o '/[^:]*\$' /proc/self/cgroup |
			sed 's|^|$LIB_CGROOT|')/deeper
		sleep 30 >/dev/null 2>&1 & echo \$! >$LIB_TMP/left; exit 5" || return
	no_traces || return
	in_own_cgroup || { cat "/proc/$(cat "$LIB_TMP/left")/cgroup"; return 1; }
	kill "$(cat "$LIB_TMP/left")"
}

exec_private_daemon()
{
	gives 125 on c "$HOOKER" exec -- true || return
	grep -q -- "daemon $(hooker_name c) serves this network namespace" "$LIB_TMP/said" ||
		{ cat "$LIB_TMP/said"; return 1; }
	hooker_stop c || return
	goes_by tcp 4 $PORT || return
	goes_by udp 4 $PORT "$HOOKER" exec via udp -- || return
	goes_by udplite 6 $PORT "$HOOKER" exec -- || return
	[ "$(on c "$HOOKER" exec -- sh -c 'echo out; echo err >&2' 2>&1)" = "$(printf 'out\nerr')" ] ||
		{ echo "the daemon speaks in between"; return 1; }
	gives 9 on c "$HOOKER" exec none -- sh -c 'exit 9' && gives 143 on c "$HOOKER" exec none -- \
		sh -c 'kill $$' || return
	no_traces && leak_check c
}

# All bytes arrive, although the command has ended long before the last one is on the wire
exec_private_daemon_delivers()
{
	local file=$LIB_TMP/sent

	make_file "$file" 3000000
	link_set both rate 10mbit
	on_bg s sink python3 -c "import socket, sys
s = socket.create_server(('', 5007))
c = s.accept()[0]
while b := c.recv(65536):
    sys.stdout.buffer.write(b)"
	wait_port s 5007 || return
	gives 0 on c "$HOOKER" exec -- python3 -c "import socket
s = socket.create_connection(('$(addr s)', 5007))
s.sendall(open('$file', 'rb').read())"
	local rc=$?
	link_set both rate 100mbit
	bg_wait sink || return
	[ $rc -eq 0 ] && same_file "$file" "$(bg_out sink)"
}

# ---- here it begins ----

command -v python3 >/dev/null || skip_all "not installed: python3"
topo_up both delay ${DELAY_MS}ms rate 100mbit
mkdir "$(cgroup s)/sub" || die "cannot make a cgroup"
tapp_serve s $PORT && tapp_serve s $PORT_B || die "no server"
on_bg s tapp-$PORT_CG bash -c 'in_cgroup "$@"' - "$(cgroup s)/sub" "$TAPP" server -p $PORT_CG
wait_line "$(bg_out tapp-$PORT_CG)" '^tapp: ready' || die "no server in a cgroup"
goes_by tcp 4 $PORT && goes_by tcp 6 $PORT || die "plain TCP does not work"
state_save c
start_hookers

tap_plan 26

# rules_check NAME COMMAND...: begins and ends without rules
rules_check()
{
	tap_check "$@"
	policy c flush
	policy s flush
}

if ! goes_by udplite 4 $PORT >/dev/null; then
	skip_all "[kernel] no UDP-Lite to tell the carriers apart by"
fi
rules_check "no rules: all is hooked, the best carrier" no_rules
rules_check "destination prefix" by_prefix
rules_check "source prefix" by_source
rules_check "port range" by_port
rules_check "direction" by_direction
rules_check "the first rule counts" by_order
rules_check "cgroup, and those below it" by_cgroup
rules_check "server: rules for listeners" server_says_no
rules_check "server: cgroup of the listener" server_cgroup
rules_check "carriers: what both allow" intersection
rules_check "flows show their rule" rule_is_shown
rules_check "list is loadable" list_is_loadable
rules_check "what is refused has changed nothing" load_is_all_or_nothing
rules_check "a cgroup that is gone" cgroup_is_gone
rules_check "replaced in one step, under traffic" replaced_under_traffic
hooker_stop c && hooker_stop s && start_hookers || die "restart"
rules_check "congestion control, each direction by itself" congestion_control
hooker_stop c && hooker_stop s && start_hookers || die "restart"
rules_check "native-first" native_first
tap_check "run --policy" starts_with_rules
tap_check "run --policy with a wrong file" does_not_start_with_wrong_ones
policy c flush
rules_check "exec: a rule of its own" exec_has_its_rule
rules_check "exec: exit status, streams, usage" exec_passes_status
rules_check "exec: signals" exec_passes_signals
rules_check "exec: what it leaves running" exec_leaves_what_goes_on
tap_check "exec: private daemon" exec_private_daemon
tap_check "exec: a private daemon delivers all" exec_private_daemon_delivers
tap_check "host c is as before" leak_check c

tap_finish
