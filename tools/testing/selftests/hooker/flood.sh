#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Forged datagrams at a daemon that is at work, over IPv4 and IPv6: random ones, damaged and
# replayed ones of the flow, with wrong association, source or token, replayed HELLOs. They come
# in behind the link's rate limit, so that what they cost is the host's work and not the line's
# room. And that a test like this would notice one that got through.
#
# Environment: FLOOD_COUNT (of both carriers together, default 100000; flood_long.sh has a
# million), FLOOD_RATE (a second, default 10000).

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

COUNT=$((${FLOOD_COUNT:-100000} / 2))
RATE=${FLOOD_RATE:-10000}
PORT=5000
PORT_C=5001
SIZE=3m
CONTROL_SIZE=8m
LEAST=80			# per cent of the throughput without a flood
MAX_UNPROVEN=64			# peers that only said HELLO; relay/private.h
MISMATCH=9			# exit status of tapp
NEVER_VALID=4			# of 8 forgeries, and counted by hooker: see flood.c

# measure: prints how long host s waited for SIZE over each family, every byte of which it has
# verified
measure()
{
	local v sum=0

	for v in 4 6; do
		tapp s --down $SIZE "$(addr c $v)" $PORT_C || return
		sum=$((sum + $(tapp_get wall_us)))
	done
	echo $sum
}

# in_peace: the best of two, as under flood: other work of the machine is not the subject
in_peace()
{
	local first second

	first=$(measure) && second=$(measure) && echo $((first < second ? first : second))
}

percent() { awk "BEGIN { printf \"%.0f\", $2 ? 100 * $1 / $2 : 0 }"; }

# sum_of_drops: that host s has counted, in the driver and in the daemon
sum_of_drops()
{
	hooker_show s stats | awk '
		/^xdp_drop_|^rx_unknown|^rx_wrong|^rx_malformed|^hello_rejected/ { sum += $2 }
		END { print sum }'
}

# first_contact: over each family; flood listens for that
first_contact()
{
	tapp c --up 1m "$(addr s 4)" $PORT && tapp c --up 1m "$(addr s 6)" $PORT
}

as_before()
{
	local v

	for v in 4 6; do
		tapp c --up 1m --down 1m "$(addr s $v)" $PORT || return
	done
}

# injected PROTO FAMILY: the control, bytes that were forged with all that a datagram shows
#
# What the real datagram then lacks may stop or end the association before any wrong byte has
# reached the application. That is noticed, too, but is not what is to be seen here.
injected()
{
	local what="$1, IPv$2: a forgery that gets through" try seen= rc=0

	for ((try = 0; try < 6; try++)); do
		on_bg r inject "$FLOOD" "/run/netns/$(netns s)" eth0 rs inject
		wait_line "$(bg_out inject)" '^flood: listening' || die "flood does not start"
		tapp s -t 4 --down $CONTROL_SIZE "$(addr c "$2")" $PORT_C
		rc=$?
		bg_stop inject
		seen+=" $(tapp_get result)"
		[ $rc -ne $MISMATCH ] || break
	done
	tap_result $((rc != MISMATCH)) "$what is noticed:$seen"
}

nr_peers() { hooker_show "$1" peers -j | json_values role | wc -l; }
flood_ends() { ! bg_is_running flood || bg_has_ended flood; }

# flooded PROTO: the flow's bytes get through while COUNT forgeries do not
flooded()
{
	local proto=$1 quiet again busy=0 sum=0 us flows drops nr=0

	start_hookers --proto "$proto"
	tapp_serve s $PORT && tapp_serve c $PORT_C || die "no server"
	on_bg r flood "$FLOOD" "/run/netns/$(netns s)" eth0 rs "$COUNT" "$RATE"
	wait_line "$(bg_out flood)" '^flood: listening' || die "flood does not start"
	tap_check "$proto: first contact" first_contact
	wait_line "$(bg_out flood)" '^flood: ready' || die "flood heard no HELLO"
	quiet=$(in_peace)
	tap_check "$proto: a transfer in peace" test "${quiet:-0}" -gt 0
	flows=$(counter s flows_passive)
	drops=$(sum_of_drops)

	bg_signal flood USR1
	until flood_ends; do
		us=$(measure) || { nr=-1; break; }
		flood_ends && [ $nr -gt 0 ] && break
		busy=$((busy && busy < us ? busy : us))
		sum=$((sum + us))
		nr=$((nr + 1))
	done
	tap_check "$proto: transfers under flood, every byte as it was sent" test $nr -gt 0
	bg_wait flood $((COUNT / RATE + 60))
	sed 's/^/# /' "$(bg_out flood)"
	# and it may have got more of that since
	if [ "$(percent "$quiet" "$busy")" -lt $LEAST ]; then
		again=$(in_peace)
		quiet=$((again > quiet ? again : quiet))
	fi
	note "$proto: 2 x $SIZE in $((quiet / 1000)) ms," \
		"under flood $nr times: $((busy / 1000)) ms at best, $((nr > 0 ? sum / nr / 1000 : 0)) on average"
	tap_range "$proto: throughput under flood, per cent" $LEAST "$(percent "$quiet" "$busy")" 1000
	tap_check "$proto: all datagrams were sent" grep -q "^flood: $COUNT frames" "$(bg_out flood)"
	hooker_show s stats | grep -E '^(xdp_(drop|pass)_|rx_|hello_|open_)' | grep -v ' 0$' | sed 's/^/# /'
	tap_range "$proto: dropped and counted, per cent of those that are never valid" 90 \
		"$(percent $(($(sum_of_drops) - drops)) $((COUNT * NEVER_VALID / 8)))" 1000
	tap_check "$proto: no connection came out of it" \
		test "$(counter s flows_passive)" -eq "$flows" -a "$(counter s open_refused)" -eq 0
	tap_range "$proto: peers" 1 "$(nr_peers s)" $((MAX_UNPROVEN + 4))
	tap_check "$proto: afterwards all is as before" as_before
	tap_check "$proto: no flow stays behind" all_flows_end
	injected "$proto" 4
	injected "$proto" 6
	bg_stop tapp-$PORT
	bg_stop tapp-$PORT_C
	hooker_stop c
	tap_check "$proto: exit status 0" hooker_stop s
}

need_hooker
need_tapp
FLOOD=$(find_program flood) || skip_all "flood is not built [variant]"
[ -e /proc/net/udplite ] || skip_all "this kernel has no UDP-Lite sockets [kernel]"
tap_plan $((2 * 13))
topo_up both delay 5ms rate 50mbit
flooded udplite
flooded udp
tap_finish
