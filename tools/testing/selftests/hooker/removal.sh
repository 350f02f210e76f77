#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A mechanism is taken out of the kernel while it carries transfers: they go on over another
# carrier, with every byte, and nobody else's datagram is lost. Where rules or --proto leave no
# other carrier, connections are reset, and who asks is told so before.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
ECHO_PORT=7000
ECHOES=80			# 10 ms each
LINK=(both delay 5ms rate 100mbit queue 8m)

# ends NAME STATUS: both clients, with that exit status
ends()
{
	local v rc result=0

	for v in 4 6; do
		bg_wait "$1$v"
		rc=$?
		[ $rc -eq "$2" ] || { echo "IPv$v: $rc"; result=1; }
		cat "$(bg_out "$1$v")"
	done
	return $result
}

# says WORDS COMMAND...: it fails, and the message has WORDS
says()
{
	local words=$1 text rc

	shift
	text=$("$@" 2>&1)
	rc=$?
	echo "$text"
	[ $rc -eq 1 ] && grep -qF "$words" <<<"$text"
}

log_has() { hooker_log "$1" | grep -F "$2"; }

# UDP of others, all the time
start_echo()
{
	local v

	for v in 4 6; do
		on_bg s echo-$v python3 "$LIB_DIR/proto_echo.py" server "$(addr s $v)" $ECHO_PORT
		wait_line "$(bg_out echo-$v)" '^ready' || die "no server"
		on_bg c others$v python3 "$LIB_DIR/proto_echo.py" client "$(addr s $v)" \
			$ECHO_PORT $ECHOES
	done
}

stop_echo()
{
	bg_stop echo-4
	bg_stop echo-6
}

# start CLIENT SERVER [ARGUMENT...]: what --udplite says on each host; transfers are under way
start()
{
	local what="$1, $2" args=("${@:3}")

	HOOKER_ARGS_c="--udplite $1" HOOKER_ARGS_s="--udplite $2" start_hookers "${args[@]}"
	tapp_serve s $PORT -t 60 || die "no server"
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	tap_check "$what: UDP-Lite is in use" uses c udplite
}

# all_arrive WHAT: of the transfers that were under way
all_arrive()
{
	tap_check "$1: UDP is in use" wait_for 60 uses c udp
	tap_check "$1: on the other host, too" wait_for 60 uses s udp
	tap_check "$1: it carries" get_further
	tap_check "$1: every byte arrives" ends_whole bulk
}

goes_on() { tapp c -t 30 --up 1m --down 1m "$(addr s "$1")" $PORT; }

# on_one_host HOST CLIENT SERVER: the other one follows
on_one_host()
{
	local what="$2 and $3, out of host $1" v

	start "$2" "$3"
	start_echo
	tap_check "$what: not without force" says '"force" has them go on' proto "$1" del udplite
	tap_check "$what: by force" proto "$1" del udplite force
	tap_check "$what: said so" log_has "$1" "go on over another carrier; 0 ended"
	all_arrive "$what"
	tap_check "$what: nobody else's datagram is lost" ends others 0
	stop_echo
	for v in 4 6; do
		tap_check "$what: new connections, IPv$v" goes_on $v
	done
	stop_both "$what"
}

# Then it is back; what has moved returns after a minute
on_both_hosts()
{
	local what="out of both hosts" v

	start deployed deployed
	proto c del udplite force &
	tap_check "$what: by force" proto s del udplite force
	wait $!
	tap_check "$what: not there any more" says "no such mechanism" proto c del udplite force
	all_arrive "$what"
	tap_check "$what: added again" proto c add "$LITE"
	tap_check "$what: on the other host, too" proto s add "$LITE"
	for v in 4 6; do
		tap_check "$what: new connections, IPv$v" goes_on $v
	done
	[ -z "$LONG" ] || tap_check "$what: it is used again" wait_for 75 uses c udplite
	stop_both "$what"
}

# no_other HOST: --proto leaves nothing to go to
no_other()
{
	local what="no other carrier, out of host $1" v

	start deployed deployed --proto udplite
	tap_check "$what: what force would do is said" says "which may use no other carrier" \
		proto "$1" del udplite
	tap_check "$what: by force" proto "$1" del udplite force
	tap_check "$what: said so" log_has "$1" "2 ended, which may use no other"
	tap_check "$what: the client's connections are reset" ends bulk 3
	tap_check "$what: and the server's" wait_for 30 has_served $PORT 2
	for v in 4 6; do
		tap_check "$what: new connections are plain TCP, IPv$v" goes_on $v
	done
	stop_both "$what"
}

need_hooker
need_tapp
need python3
LITE=$(find_object udplite.bpf.o) || skip_all "udplite.bpf.o is not built [variant]"
PLAN=$((3 * 15 + 15 + 12))
[ -z "$LONG" ] || PLAN=$((PLAN + 1))
tap_plan $PLAN
topo_up "${LINK[@]}"
on_one_host c deployed deployed
on_one_host s deployed deployed
if [ -e /proc/net/udplite ]; then
	on_one_host c deployed native
else
	for nr in {1..15}; do
		tap_skip "deployed and native, $nr" "this kernel has no UDP-Lite sockets [kernel]"
	done
fi
on_both_hosts

no_other s
tap_finish
