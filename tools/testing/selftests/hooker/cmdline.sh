#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The command line: usage errors, help, the man page that must know all of it, doctor with
# and without root, show without a daemon and with ones that misbehave.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need_hooker
TMP=$(mktemp -d) || die "no temporary directory"
LIB_TMP=$TMP				# where tap_check keeps what a check prints
chmod 755 "$TMP"
FAKE=hk-fake-$$
FAKE_PID=
declare -A HANGING=()			# mode -> who asks a daemon that hangs
NOBODY=hk-none-$$			# no daemon has this name

cleanup()
{
	[ -z "$FAKE_PID" ] || kill "$FAKE_PID" 2>/dev/null
	[ ${#HANGING[@]} -eq 0 ] || { kill "${HANGING[@]}"; wait; } 2>/dev/null
	rm -rf "$TMP"
	[ "$(id -u)" -ne 0 ] || rm -f "/run/hooker/$FAKE.sock"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# What is wrong, what the one line must say, arguments
USAGE_ERRORS=(
	"no command|no command given|"
	"unknown command|frobnicate: no such command|frobnicate"
	"unknown long option|--frobnicate: no such option|--frobnicate"
	"unknown short option|-x: no such option|-x"
	"unknown option of a command|--frobnicate: no such option|run --frobnicate"
	"option of another command|--port: no such option|doctor --port 1"
	"abbreviated option|--por: no such option|run --por 1"
	"value for a flag|--no-xdp: takes no value|run --no-xdp=1"
	"value missing|--port: N is missing|run --port"
	"option twice|--port: given twice|run --port 1 --port 2"
	"name twice|--name: given twice|--name a show --name b stats"
	"name with a slash|--name ../a: |run --name ../a"
	"name with a dot first|--name .a: |--name .a show stats"
	"name that is empty|--name : |--name= show stats"
	"name too long|--name |--name $(printf 'n%.0s' {1..64}) show stats"
	"version behind a command|--version: belongs before|run --version"
	"help for an unknown command|frobnicate: no such command|help frobnicate"
	"two words for help|show: unexpected argument|help run show"
	"argument for run|eth0: unexpected argument|run eth0"
	"argument for doctor|all: unexpected argument|doctor all"
	"argument for version|1: unexpected argument|version -- 1"
	"nothing to show|nothing named to show|show"
	"unknown object|frobs: not one of flows, peers, stats, xdp|show frobs"
	"two objects|peers: unexpected argument|show flows peers"
	"port 0|--port 0: |run --port 0"
	"port too large|--port 65536: |run --port 65536"
	"port with a sign|--port +1: |run --port +1"
	"port in hexadecimal|--port 0x10: |run --port 0x10"
	"cgroup empty|--cgroup: the path is empty|run --cgroup="
	"carrier unknown|--carrier afxdp: not socket, xsk or xsk-zerocopy|run --carrier=afxdp"
	"unknown carrier|--proto sctp: no such carrier|run --proto sctp"
	"carrier twice|--proto udp: named twice|run --proto udp,udp"
	"carrier empty|no such carrier|run --proto udp,"
	"device too long|--dev sixteen-letters-: |run --dev sixteen-letters-"
	"device with a slash|--dev a/b: |run --dev a/b"
	"device twice|--dev a: named twice|run --dev a --dev a"
	"too many devices|more than 16 devices|run $(printf -- '--dev d%d ' {1..17})"
	"device without XDP|exclude each other|run --dev a --no-xdp"
	"no address|--to example.org: not an IPv4|run --to example.org"
	"host bits|bits behind the prefix length are set|run --to 192.0.2.1/24"
	"prefix length|length is not 0 to 32|run --to 192.0.2.0/33"
	"IPv6 prefix length|length is not 0 to 128|run --to 2001:db8::/129"
	"port of a prefix|port is not 1 to 65535|run --to 192.0.2.0/24:0"
	"IPv6 port without brackets|write IPv6 as|run --to 2001:db8::/32:443"
	"prefix twice|given twice|run --to 192.0.2.0/24 --to 192.0.2.0/24"
	"prefix twice in two notations|given twice|run --to 192.0.2.1 --to 192.0.2.1/32"
	"too many prefixes|more than 64|run $(printf -- '--to 192.0.2.%d ' {1..65})"
	"listener port|--from-port 0: |run --from-port 0"
	"listener port twice|--from-port 80: given twice|run --from-port 80 --from-port 80"
	"too many listener ports|more than 64|run $(printf -- '--from-port %d ' {1..65})"
	"no verb for policy|nothing named to do|policy"
	"unknown verb for policy|frobs: not one of add, del, list, flush, load|policy frobs add"
	"rule without words|the rule says nothing to do|policy add"
	"rule with an unknown word|\"prot\": not a word of a rule; expected pref|policy add prot 6"
	"rule without its value|port: N[-N] is missing|policy add none port"
	"word with a comment|has neither blanks nor '#'|policy add none#"
	"rule to delete|del: expected \"pref N\"|policy del 7"
	"too much to flush|all: unexpected argument|policy flush all"
	"too much to list|all: unexpected argument|policy list all"
	"file missing|load: FILE is missing|policy load"
	"two files|b: unexpected argument|policy load a b"
	"cover of something else|cover half: not full or header|policy add cover half"
	"exec without a command|\"-- COMMAND\" is missing|exec none"
	"exec with an unknown word|\"frob\": not a word of a rule|exec frob -- true"
	"exec with a number|pref, first: the rule stands|exec pref 1 hold -- true"
	"exec with a cgroup|cgroup: the command gets one|exec cgroup a hold -- true"
	"exec as JSON|the output is the command's own|exec -j -- true"
	"daemon as JSON|the daemon prints no report|run -j"
)

# run_hooker ARGUMENTS...: leaves $TMP/out, $TMP/err and RC
run_hooker()
{
	timeout 30 "$HOOKER" "$@" >"$TMP/out" 2>"$TMP/err" </dev/null
	RC=$?
}

fail() { echo "$*"; sed 's/^/out: /' "$TMP/out"; sed 's/^/err: /' "$TMP/err"; return 1; }

has_python=
! python3 -c '' 2>/dev/null || has_python=y

is_json()
{
	if [ -n "$has_python" ]; then
		python3 -I -S -c 'import json, sys
json.load(open(sys.argv[1], encoding="utf-8"))' "$1"
		return
	fi
	# Without a parser: one line, one object, all brackets outside of strings paired
	[ "$(wc -l <"$1")" -eq 1 ] && awk '
		{
			gsub(/\\./, "")
			gsub(/"[^"]*"/, "0")
			if ($0 ~ /"/ || $0 !~ /^\{.*\}$/)
				exit 1
			while (gsub(/\{[^][{}]*\}|\[[^][{}]*\]/, "0"))
				;
			exit $0 != "0"
		}' "$1"
}

# The text of an error document
json_error() { sed -n 's/^{"error":"\(.*\)"}$/\1/p' "$1" | sed 's/\\"/"/g'; }

usage_error()
{
	local want=$1

	shift
	run_hooker "$@"
	[ "$RC" -eq 2 ] || fail "exit $RC" || return
	[ ! -s "$TMP/out" ] || fail "something on stdout" || return
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line" || return
	grep -q '^hooker: ' "$TMP/err" || fail "no prefix" || return
	grep -qF -- "$want" "$TMP/err" || fail "does not say '$want'"
}

# The same as JSON: on stdout, one document, and as the same text
usage_error_json()
{
	local plain

	usage_error "$@" || return
	plain=$(sed 's/^hooker: //' "$TMP/err")
	shift
	run_hooker -j "$@"
	[ "$RC" -eq 2 ] || fail "-j: exit $RC" || return
	[ ! -s "$TMP/err" ] || fail "-j: something on stderr" || return
	is_json "$TMP/out" || fail "-j: not JSON" || return
	[ "$(json_error "$TMP/out")" = "$plain" ] || fail "-j: another text"
}

hostile_argument()
{
	run_hooker $'bad\n\033[31m'
	[ "$RC" -eq 2 ] || fail "exit $RC" || return
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line" || return
	! grep -q $'\033' "$TMP/err" || fail "an escape sequence came through" || return
	run_hooker -j $'bad\n\033[31m"\\\xff'
	is_json "$TMP/out" || fail "not JSON"
}

json_late()
{
	run_hooker show frobs -j
	[ "$RC" -eq 2 ] && is_json "$TMP/out" || fail "exit $RC, or not JSON" || return
	run_hooker --frobnicate show stats --json
	[ "$RC" -eq 2 ] && is_json "$TMP/out" || fail "exit $RC, or not JSON"
}

commands() { "$HOOKER" help --words | grep -v '^-'; }

# Options of the command given, or the global ones, each as "--name" or "-l"
options() { "$HOOKER" help --words "$@" | sed -n 's/^\(-[^=]*\)=*$/\1/p'; }

help_lists_everything()
{
	local cmd opt

	run_hooker help
	[ "$RC" -eq 0 ] && [ ! -s "$TMP/err" ] || fail "exit $RC, or something on stderr" || return
	cp "$TMP/out" "$TMP/overview"
	[ "$(commands | wc -l)" -ge 5 ] || fail "$(commands | wc -l) commands" || return
	for cmd in $(commands); do
		grep -q "^  $cmd " "$TMP/overview" || fail "$cmd is not in the overview" || return
		run_hooker help "$cmd"
		[ "$RC" -eq 0 ] || fail "help $cmd: exit $RC" || return
		for opt in $(options "$cmd") $(options); do
			grep -qw -e "$opt" "$TMP/out" || fail "help $cmd lacks $opt" || return
		done
		cp "$TMP/out" "$TMP/first"
		run_hooker "$cmd" --help
		[ "$RC" -eq 0 ] || fail "$cmd --help: exit $RC" || return
		cmp -s "$TMP/first" "$TMP/out" || fail "$cmd --help differs" || return
		run_hooker help -j "$cmd"
		is_json "$TMP/out" || fail "help -j $cmd: not JSON" || return
	done
}

# show_fails TEXT ARGUMENTS...: exit 1, one line that says TEXT, as JSON too
show_fails()
{
	local want=$1

	shift
	run_hooker "$@"
	[ "$RC" -eq 1 ] || fail "exit $RC" || return
	[ ! -s "$TMP/out" ] || fail "something on stdout" || return
	[ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line" || return
	grep -qF -- "$want" "$TMP/err" || fail "does not say '$want'" || return
	run_hooker -j "$@"
	[ "$RC" -eq 1 ] && [ ! -s "$TMP/err" ] || fail "-j: exit $RC, or stderr" || return
	is_json "$TMP/out" || fail "-j: not JSON"
}

doctor_json()
{
	local plain

	run_hooker doctor
	plain=$RC
	[ ! -s "$TMP/err" ] || fail "something on stderr" || return
	[ "$plain" -eq 0 ] || [ "$plain" -eq 1 ] || fail "exit $plain" || return
	cp "$TMP/out" "$TMP/plain"
	run_hooker doctor -j
	[ "$RC" -eq "$plain" ] || fail "exit $RC, but $plain without -j" || return
	is_json "$TMP/out" || fail "not JSON" || return
	[ "$(grep -o '"name":' "$TMP/out" | wc -l)" -ge 20 ] || fail "too few checks" || return
	# The verdict is that of the checks
	plain=0
	! grep -qE '"state":"(missing|unknown)","required":true' "$TMP/out" || plain=1
	[ "$RC" -eq "$plain" ] || fail "exit $RC, but checks say $plain" || return
	grep -q "\"can_run\":$([ "$RC" -eq 0 ] && echo true || echo false)}\$" "$TMP/out" ||
		fail "can_run contradicts the exit code"
}

# Each check that is not ok says what to do about it
doctor_way_out()
{
	run_hooker doctor
	awk '/^(missing|degraded|unknown) / { bad++ } /^ +way out: ./ { out++ } END { exit bad != out }' \
		"$TMP/out" || fail "checks without a way out"
}

as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

doctor_without_root()
{
	cp "$HOOKER" "$TMP/hooker" && chmod 755 "$TMP/hooker" || return
	as_nobody timeout 30 "$TMP/hooker" doctor >"$TMP/out" 2>"$TMP/err"
	RC=$?
	[ "$RC" -eq 1 ] && [ ! -s "$TMP/err" ] || fail "exit $RC, or something on stderr" || return
	grep -q '^missing *privileges: not root, .*CAP_NET_ADMIN' "$TMP/out" ||
		fail "does not name what is missing" || return
	grep -q 'way out: run hooker as root' "$TMP/out" || fail "no way out" || return
	grep -q 'cannot work here' "$TMP/out" || fail "no verdict" || return
	as_nobody timeout 30 "$TMP/hooker" doctor -j >"$TMP/out" 2>"$TMP/err"
	RC=$?
	[ "$RC" -eq 1 ] && is_json "$TMP/out" || fail "-j: exit $RC, or not JSON"
}

doctor_lo_down()
{
	timeout 30 unshare -n "$HOOKER" doctor >"$TMP/out" 2>"$TMP/err"
	RC=$?
	[ "$RC" -eq 1 ] || fail "exit $RC" || return
	grep -q '^missing *lo: ' "$TMP/out" || fail "lo is down, and not missing" || return
	grep -q 'way out: ip link set lo up' "$TMP/out" || fail "no way out"
}

version_says()
{
	run_hooker version
	[ "$RC" -eq 0 ] && grep -q '^version *[0-9]' "$TMP/out" || fail "exit $RC" || return
	cp "$TMP/out" "$TMP/first"
	run_hooker -V
	[ "$RC" -eq 0 ] && cmp -s "$TMP/first" "$TMP/out" || fail "-V differs" || return
	run_hooker version --json
	is_json "$TMP/out" || fail "not JSON"
}

full_disk()
{
	timeout 30 "$HOOKER" help >/dev/full 2>"$TMP/err"
	RC=$?
	: >"$TMP/out"
	[ "$RC" -eq 1 ] && grep -q 'standard output: ' "$TMP/err" || fail "exit $RC"
}

# ---- the man page ----

MAN=$LIB_DIR/../../../../Documentation/tools/hooker/hooker.rst

man_has_everything()
{
	local cmd opt missing=

	for cmd in $(commands); do
		grep -qE "^\*\*hooker $cmd\*\*" "$MAN" || missing="$missing $cmd"
		for opt in $(options "$cmd"); do
			grep -qF -- "**$opt**" "$MAN" || missing="$missing $cmd:$opt"
		done
	done
	for opt in $(options); do
		grep -qF -- "**$opt**" "$MAN" || missing="$missing $opt"
	done
	[ -z "$missing" ] || { echo "not in the man page:$missing"; return 1; }
}

man_has_nothing_else()
{
	local word known

	known=$(for cmd in $(commands); do echo "$cmd"; options "$cmd"; done; options)
	for word in $(grep -oE '\*\*(--[a-z-]+|-[a-zA-Z])\*\*' "$MAN" | tr -d '*' | sort -u) \
		    $(sed -nE 's/^\*\*hooker ([a-z]+)\*\*.*/\1/p' "$MAN" | sort -u); do
		grep -qxF -- "$word" <<<"$known" ||
			{ echo "the man page has $word, hooker has not"; return 1; }
	done
}

man_is_well_formed() { rst2man --strict "$MAN" >"$TMP/man"; }

# Examples that a plain user can type: "$ hooker ..." and the lines that it prints
man_examples_are_true()
{
	local line words

	# shellcheck disable=SC2016 # a dollar sign is meant
	sed -n 's/^    \(\$ hooker .*\)/\1/p' "$MAN" >"$TMP/examples"
	[ "$(wc -l <"$TMP/examples")" -ge 2 ] || { echo "too few examples"; return 1; }
	while read -r line; do
		read -ra words <<<"${line#* hooker }"
		timeout 30 "$HOOKER" "${words[@]}" >"$TMP/is" 2>&1 </dev/null
		awk -v cmd="    $line" '
			on && (/^    \$ / || !/^    /)	{ exit }
			on				{ print substr($0, 5) }
			$0 == cmd			{ on = 1 }' "$MAN" >"$TMP/said"
		diff "$TMP/said" "$TMP/is" || { echo "that was: $line"; return 1; }
	done <"$TMP/examples"
}

man_check()
{
	if [ -r "$MAN" ]; then
		tap_check "$@"
	else
		tap_skip "$1" "the man page is not installed with the tests"
	fi
}

# ---- daemons that misbehave ----

# fake_daemon MODE: listens as $FAKE; "full" never accepts and has no backlog left
fake_daemon()
{
	rm -f "/run/hooker/$FAKE.sock"
	python3 - "/run/hooker/$FAKE.sock" "$1" <<'PYTHON' &
import os, socket, sys, time
path, mode = sys.argv[1:]
os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
s = socket.socket(socket.AF_UNIX)
s.bind(path + ".new")
s.listen(0 if mode == "full" else 64)
os.rename(path + ".new", path)
fill = []
if mode == "full":
    for i in range(2):
        c = socket.socket(socket.AF_UNIX)
        c.setblocking(False)
        try:
            c.connect(path)
        except BlockingIOError:
            pass
        fill.append(c)
if mode in ("full", "silent"):
    time.sleep(60)
while True:
    c = s.accept()[0]
    answer = {
        "short": b"ok 100\n{\"flows\":[",
        "none": b"",
        "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "endless": b"x" * 1000,
        "huge": b"ok 999999999999\n",
        "refusing": b"error no such object\n",
    }[mode]
    try:                # who only looks whether there is a daemon is gone already
        c.recv(256)
        c.sendall(answer)
    except OSError:
        pass
    c.close()
PYTHON
	FAKE_PID=$!
	wait_for 10 test -S "/run/hooker/$FAKE.sock"
}

fake_stop()
{
	kill "$FAKE_PID" 2>/dev/null
	wait "$FAKE_PID" 2>/dev/null
	FAKE_PID=
}

fake_check()
{
	local mode=$1 want=$2 rc

	fake_daemon "$mode" || { fake_stop; echo "the fake daemon did not start"; return 1; }
	show_fails "$want" --name "$FAKE" show flows
	rc=$?
	fake_stop
	return $rc
}

# hang MODE TEXT: fake_check in the background, for it lasts 10 s; with files and a name of its own
hang()
{
	(
		TMP=$TMP/$1 FAKE=hk-$1-$$ FAKE_PID=
		trap '[ -z "$FAKE_PID" ] || fake_stop; rm -f "/run/hooker/$FAKE.sock"' EXIT
		trap 'exit 1' TERM
		mkdir "$TMP" && fake_check "$@"
	) >"$TMP/hang.$1" 2>&1 &
	HANGING[$1]=$!
}

# hung MODE: what has become of it
hung()
{
	local rc

	wait "${HANGING[$1]}"
	rc=$?
	unset "HANGING[$1]"
	cat "$TMP/hang.$1"
	return $rc
}

FAKES=(
	"silent|hangs and takes no request|no answer for 5 s"
	"full|hangs with a full backlog|takes no connection for 5 s"
	"short|dies within its answer|ended before its answer was complete"
	"none|closes without an answer|ended before its answer was complete"
	"garbage|speaks something else|answer not understood"
	"endless|sends no line|answer not understood"
	"huge|announces too much|answer not understood"
	"refusing|does not know the object|flows: no such object"
)

lists_other_daemons()
{
	local rc

	fake_daemon none || { fake_stop; return 1; }
	show_fails "--name can be one of: " --name $NOBODY show stats &&
		grep -qw "$FAKE" "$TMP/out"
	rc=$?
	fake_stop
	return $rc
}

dead_daemon()
{
	fake_daemon none && fake_stop
	[ -S "/run/hooker/$FAKE.sock" ] || { echo "no socket is left over"; return 1; }
	show_fails "no daemon $FAKE is running" --name "$FAKE" show peers
}

not_for_others()
{
	local rc

	cp "$HOOKER" "$TMP/hooker" && chmod 755 "$TMP/hooker" || return
	fake_daemon none || { fake_stop; return 1; }
	chmod 600 "/run/hooker/$FAKE.sock"
	as_nobody timeout 30 "$TMP/hooker" --name "$FAKE" show flows >"$TMP/out" 2>"$TMP/err"
	RC=$?
	fake_stop
	[ "$RC" -eq 1 ] && grep -q 'its socket is for root only' "$TMP/err" || fail "exit $RC"
}

# In a network namespace of its own, for it gets further than that
run_without_cgroup()
{
	# shellcheck disable=SC2016	# for the inner shell
	timeout 30 unshare -n sh -c 'ip link set lo up && exec "$0" --name "$1" run --cgroup "$2"' \
		"$HOOKER" "$FAKE" "$TMP" >"$TMP/out" 2>"$TMP/err"
	RC=$?
	[ "$RC" -eq 1 ] && grep -q "^hooker: cgroup $TMP: not a directory of cgroup v2" "$TMP/err" ||
		fail "exit $RC"
}

# ---- here it begins ----

tap_plan $((${#USAGE_ERRORS[@]} + ${#FAKES[@]} + 20))

is_root=
[ "$(id -u)" -ne 0 ] || is_root=y
if [ -n "$is_root" ] && [ -n "$has_python" ]; then
	for line in "${FAKES[@]}"; do
		IFS='|' read -r mode _ want <<<"$line"
		[[ $want != *" for 5 s" ]] || hang "$mode" "$want"
	done
fi
for line in "${USAGE_ERRORS[@]}"; do
	IFS='|' read -r name want args <<<"$line"
	# shellcheck disable=SC2086 # arguments are words
	if [[ "$name" = *" as JSON" ]]; then
		run_hooker $args
		[ "$RC" -eq 2 ] && is_json "$TMP/out" && grep -qF "$want" "$TMP/out"
		tap_result $? "usage: $name"
	else
		tap_check "usage: $name" usage_error_json "$want" $args
	fi
done
tap_check "usage: an argument cannot break the message" hostile_argument
tap_check "usage: -j counts wherever it stands" json_late
tap_check "help knows all commands and options" help_lists_everything
tap_check "version" version_says
tap_check "a full disk is noticed" full_disk
tap_check "policy: no daemon" show_fails "no daemon $NOBODY is running" --name $NOBODY policy list
tap_check "show: no daemon" show_fails "no daemon $NOBODY is running" --name $NOBODY show flows
tap_check "doctor: -j is JSON and agrees with the exit code" doctor_json
tap_check "doctor: each finding has a way out" doctor_way_out
man_check "man page: has all commands and options" man_has_everything
man_check "man page: has no others" man_has_nothing_else
man_check "man page: examples are true" man_examples_are_true
if command -v rst2man >/dev/null; then
	man_check "man page: well-formed" man_is_well_formed
else
	tap_skip "man page: well-formed" "no rst2man"
fi

# root_check PROGRAM NAME COMMAND...
root_check()
{
	local program=$1

	shift
	if [ -z "$is_root" ]; then
		tap_skip "$1" "needs root"
	elif ! command -v "$program" >/dev/null; then
		tap_skip "$1" "no $program"
	else
		tap_check "$@"
	fi
}

root_check setpriv "doctor: without root" doctor_without_root
root_check unshare "doctor: lo is down" doctor_lo_down
root_check unshare "run: a directory that is no cgroup" run_without_cgroup
root_check python3 "show: other daemons are named" lists_other_daemons
root_check python3 "show: a socket without a daemon" dead_daemon
root_check python3 "show: a socket that is for root" not_for_others
for line in "${FAKES[@]}"; do
	IFS='|' read -r mode name want <<<"$line"
	if [ -n "${HANGING[$mode]}" ]; then
		tap_check "show: a daemon that $name" hung "$mode"
	else
		root_check python3 "show: a daemon that $name" fake_check "$mode" "$want"
	fi
done

completion=$LIB_DIR/../../../../scripts/bash-completion/hooker
completes()
{
	local COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()

	PATH=$(dirname "$HOOKER"):$PATH
	# shellcheck disable=SC1090
	. "$completion" && _hooker
	printf '%s\n' "${COMPREPLY[@]}"
}
completion_works()
{
	[ "$(completes hooker ru)" = run ] || { echo "ru: $(completes hooker ru)"; return 1; }
	[ "$(completes hooker show p)" = peers ] ||
		{ echo "p: $(completes hooker show p)"; return 1; }
	[ "$(completes hooker --name x run --fr)" = --from-port ] ||
		{ echo "--fr: $(completes hooker --name x run --fr)"; return 1; }
	[ "$(completes hooker policy add nat)" = native-first ] ||
		{ echo "nat: $(completes hooker policy add nat)"; return 1; }
	[ "$(completes hooker exec cc cu)" = cubic ] || { echo "cc has no cubic"; return 1; }
	completes hooker exec cc cubic -- tru | grep -qx true || { echo "no command"; return 1; }
	completes hooker run --dev '' | grep -qx lo || { echo "--dev has no lo"; return 1; }
}
if [ -r "$completion" ]; then
	tap_check "bash completion" completion_works
else
	tap_skip "bash completion" "the script is not installed with the tests"
fi

tap_finish
