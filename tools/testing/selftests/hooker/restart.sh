#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A daemon that was restarted has forgotten its associations: it tells the peers as soon as they
# send it anything, so that their applications don't wait for timers. The hosts send no ICMP
# errors here, which would tell the same while no daemon is there.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
LINK=(both delay 5ms rate 40mbit queue 256k)	# 60 MB take 12 s
NOTICED_MS=1000			# or as long as the daemon was away, see noticed_ms
KEEPALIVE_MS=6000		# they ask after 5 s

PROTO=

mute_icmp()
{
	local host

	for host in c s; do
		on $host nft -f - <<-EOF || return
			table inet mute {
				chain out {
					type filter hook output priority 0;
					icmp type destination-unreachable drop
					icmpv6 type destination-unreachable drop
				}
			}
		EOF
		state_save $host
	done
}

# restart HOST: killed and started again; KILLED_MS, RESTARTED_MS: when that was, and it was ready
restart()
{
	KILLED_MS=$(now_ms)
	hooker_signal "$1" KILL
	bg_wait "hooker-$1" 2>/dev/null
	hooker_start "$1" --proto "$PROTO" || die "host $1: no restart"
	RESTARTED_MS=$(said_ms "$(bg_out "hooker-$1")")
}

# noticed_ms BOUND: after the restart. Who hears nothing asks less and less often: after as much
# time again as there was no answer, 2 s at most. A busy machine takes as long to start a daemon.
noticed_ms()
{
	local away=$((RESTARTED_MS - KILLED_MS))

	away=$(((away < 2000 ? away : 2000) + 300))
	echo $((away > $1 ? away : $1))
}

# others_know HOST BEHIND: its applications do. Sets KNOWN_MS: since when
others_know()
{
	if [ "$1" = c ]; then
		clients_ended bulk && KNOWN_MS=$(last_said_ms "$(bg_out bulk4)" "$(bg_out bulk6)")
	else
		has_served $PORT $(($2 + 2)) && KNOWN_MS=$(said_ms "$(bg_out tapp-$PORT)")
	fi
}

# restarted WHAT HOST BOUND OPTION...: the other host knows within so many ms
restarted()
{
	local what="$PROTO, $1, daemon on host $2 restarted" host=$2 bound=$3 other=s served v
	local elapsed=none

	[ "$host" = c ] || other=c
	start_hookers --proto "$PROTO"
	tapp_serve s $PORT -t 60 || die "no server"
	served=$(nr_served $PORT)
	start_transfer bulk "${@:4}"
	wait_for 30 have_carried 2 "${MIN_BYTES:-100000}" || note "$what: no transfer to interrupt"
	restart "$host"
	wait_for 30 others_know $other "$served" && elapsed=$((KNOWN_MS - RESTARTED_MS))
	tap_range "$what: the other one's applications know" $((KILLED_MS - RESTARTED_MS)) \
		"$elapsed" "$(noticed_ms "$bound")" ms
	tap_check "$what: it was told so" told "$host" $other
	wait_for 30 clients_ended bulk
	wait_for 30 has_served $PORT $((served + 2))
	tap_check "$what: both applications see a reset" all_were_reset bulk "$served"
	for v in 4 6; do
		tap_check "$what: the next connection is hooked, IPv$v" is_hooked $v
	done
	stop_both "$what"
}

# told HOST OTHER: not by ICMP, nor by silence
told()
{
	local sent received

	sent=$(counter "$1" reset_sent)
	received=$(counter "$2" reset_received)
	echo "$sent sent, $received received, $(counter "$2" icmp_errors) ICMP errors," \
		"$(counter "$2" peers_lost) lost"
	[ "$sent" -ge 2 ] && [ "$received" -eq 2 ] && [ "$(counter "$2" icmp_errors)" -eq 0 ]
}

need_hooker
need_tapp
need nft
tap_plan $((5 * 9))
topo_up "${LINK[@]}"
mute_icmp || die "cannot suppress ICMP errors"
PROTO=udplite
restarted "upload" s $NOTICED_MS --up 60m --down 1 --server-after-eof
restarted "download" c $NOTICED_MS --down 60m --up 1 --client-after-eof
PROTO=udp
restarted "upload" s $NOTICED_MS --up 60m --down 1 --server-after-eof
restarted "download" c $NOTICED_MS --down 60m --up 1 --client-after-eof
MIN_BYTES=0 restarted "idle" s $KEEPALIVE_MS --up 1 --client-after-eof --down 1 \
	--server-after-eof
tap_finish
