# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of hand-overs share. To be sourced behind lib.sh.

PORT=5000

# take_over HOST [OPTION...]: the old daemon becomes the background process "old-HOST"
take_over()
{
	local host=$1

	shift
	LIB_PID["old-$host"]=$(bg_pid "hooker-$host")
	mv "$(bg_err "hooker-$host")" "$(bg_err "old-$host")"
	on_bg "$host" "hooker-$host" "$HOOKER" run --name "$(hooker_name "$host")" --takeover "$@"
	wait_line "$(bg_out "hooker-$host")" '^hooker: ready' || {
		hooker_log "$host"
		cat "$(bg_err "old-$host")"
		return 1
	}
	bg_wait "old-$host" || {
		echo "old daemon: exit status $?"
		cat "$(bg_err "old-$host")"
		return 1
	}
}

# take_over_both [OPTION...]
take_over_both()
{
	take_over c "$@" && take_over s "$@"
}

start()
{
	start_hookers "$@"
	tapp_serve s $PORT -t 60 || die "no server"
}

# one_is_carried_by IP-PROTOCOL FAMILY PORT: all payload of a new connection; 6 is plain TCP
one_is_carried_by()
{
	local proto

	link_reset
	tapp c -t 30 --up 100k --down 100k "$(addr s "$2")" "$3" || return
	link_carries "$1" 200000 || { link_stats; return 1; }
	for proto in 6 17 136 253; do
		[ "$proto" -eq "$1" ] || [ "$(link_get both $proto payload_bytes)" -le 20000 ] || return
	done
}

# carried_by IP-PROTOCOL FAMILY PORT: at the second attempt, if the machine paused: a daemon
# that seems to hang is not waited for
carried_by() { one_is_carried_by "$@" || one_is_carried_by "$@"; }

# No association is made anew, no connection is reset.
nothing_was_lost()
{
	local host name

	for host in c s; do
		for name in flows_reset peers_lost reset_sent reset_received open_refused; do
			[ "$(counter $host $name)" -eq 0 ] && continue
			hooker_show $host stats | grep "$name"
			return 1
		done
	done
}

# fails_with TEXT COMMAND...
fails_with()
{
	"${@:2}" >"$LIB_TMP/fails" 2>&1 && return 1
	cat "$LIB_TMP/fails"
	grep -q "$1" "$LIB_TMP/fails"
}
