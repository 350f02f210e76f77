#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a daemon knows besides its connections goes on in the one that takes over: rules,
# grown windows, the carrier in use, mechanisms, AF_XDP, a HELLO that waits for its answer.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=handover_lib.sh
. "$(dirname "$0")/handover_lib.sh"

PORT_PLAIN=5001
PORT_UDP=5002
PORT_EXP=5003
LINK=(both delay 5ms rate 100mbit queue 256k)

policy() { hooker_do "$1" policy "${@:2}"; }
# serve PORT...
serve()
{
	local port

	for port; do
		tapp_serve s "$port" -t 60 || die "no server"
	done
}

# ---- rules ----

rules_decide()
{
	local v

	for v in 4 6; do
		carried_by 6 $v $PORT_PLAIN && carried_by 17 $v $PORT_UDP &&
			carried_by 136 $v $PORT || return
	done
}

same_rules() { policy c list | diff "$LIB_TMP/rules" -; }

# Both the deleted and the remaining one were written by another daemon.
rules_change()
{
	policy c del pref 1000 && carried_by 136 4 $PORT_PLAIN && carried_by 17 4 $PORT_UDP &&
		policy c add first port $PORT none && carried_by 6 4 $PORT &&
		policy c flush && carried_by 136 4 $PORT && carried_by 136 4 $PORT_UDP
}

# The directory that the daemon serves is known still.
rules_with_cgroups()
{
	local sub

	sub=$(cgroup c)/sub
	mkdir -p "$sub" && policy c add cgroup "$sub" none || return
	fails_with "serves .* only" policy c add cgroup "$(cgroup s)" none || return
	take_over c || return
	policy c list | grep -q "cgroup $sub none" && rmdir "$sub" &&
		policy c del cgroup "$sub" && [ -z "$(policy c list)" ]
}

uses_cubic() { hooker_show c peers -j | json_values cc | grep -qx cubic; }

rules()
{
	local what="hand-over with rules"

	start
	serve $PORT_PLAIN $PORT_UDP
	policy c load - <<-EOT || die "no rules"
		add pref 1000 out port $PORT_PLAIN none
		add pref 1010 out port $PORT_UDP via udp cc cubic
	EOT
	policy c list >"$LIB_TMP/rules"
	tap_check "$what: they decide before" rules_decide
	tap_check "$what: both hosts" take_over_both
	tap_check "$what: both hosts again" take_over_both
	tap_check "$what: they are the same" same_rules
	tap_check "$what: they decide afterwards" rules_decide
	tap_check "$what: they can be changed" rules_change
	tap_check "$what: cgroups" rules_with_cgroups
	tap_check "$what: another --cc" take_over c --cc cubic
	tap_check "$what: it is in use" uses_cubic
	tap_check "$what: it stays in use" take_over c
	tap_check "$what: it still is" uses_cubic
	bg_stop tapp-$PORT_PLAIN
	bg_stop tapp-$PORT_UDP
	stop_both "$what"
}

# ---- windows and memory ----

largest_window()
{
	hooker_show s flows -j | json_values window_bytes | sort -n | tail -1
}

window_has_grown() { [ "$(largest_window)" -gt 600000 ] 2>/dev/null; }

window_is_kept()
{
	local before after

	before=$(largest_window)
	take_over s || return
	after=$(largest_window)
	echo "before: $before, after: $after"
	[ "$after" -ge "$before" ]
}

# Nobody reads for a while, so that senders' buffers are full. It takes long to empty them over
# the link, so they still are when the daemon looks.
holds_much() { [ "$(counter c memory_bytes)" -gt $((40 << 20)) ]; }

too_little_memory()
{
	fails_with "need more memory" on c timeout 10 "$HOOKER" run --name "$(hooker_name c)" \
		--takeover --memory 16
}

windows()
{
	local what="hand-over with grown windows"

	link_set both delay 25ms queue 1m
	start
	start_lasting bulk --down 0
	wait_for 60 window_has_grown || note "$what: they don't"
	tap_check "$what: they stay" window_is_kept
	tap_check "$what: of senders" take_over c
	tap_check "$what: every byte arrives" ends_whole bulk
	on_bg c many "$TAPP" client -t 60 -P 40 --up 2m --server-pause 1k:3000 "$(addr s)" $PORT
	wait_for 60 holds_much || note "$what: buffers are not full"
	tap_check "$what: not with too little memory" too_little_memory
	tap_check "$what: with enough" take_over c --memory 256
	tap_check "$what: all is delivered" bg_wait many
	tap_check "$what: nothing was lost" nothing_was_lost
	link_set "${LINK[@]}"
	stop_both "$what"
}

# ---- coverage ----

# What both ends of a stream have agreed on when it was opened
coverage()
{
	local what="hand-over with \"cover header\"" before host

	start
	for host in c s; do
		policy $host add port $PORT cover header || die "no rule"
	done
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	tap_check "$what: both hosts" take_over_both
	before=$(nr_partial)
	tap_check "$what: transfers go on" get_further 4000000
	tap_check "$what: every byte arrives" ends_whole bulk
	tap_range "$what: datagrams covered in part" 5000 $(($(nr_partial) - before)) 1000000000
	tap_check "$what: nothing was lost" nothing_was_lost
	stop_both "$what"
}

# ---- carriers ----

fallen_back()
{
	local what="hand-over after a fall-back"

	start
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	link_set both blackhole 136
	tap_check "$what: UDP is in use" wait_for 60 all_use udp
	tap_check "$what: both hosts" take_over_both
	link_set both blackhole none
	tap_check "$what: it still is" all_use udp
	tap_check "$what: transfers go on" get_further
	tap_check "$what: every byte arrives" ends_whole bulk
	tap_check "$what: new connections use it" carried_by 17 4 $PORT
	tap_check "$what: nothing was lost" nothing_was_lost
	stop_both "$what"
}

has_mechanisms()
{
	local host

	for host in c s; do
		proto $host list -j | json_values name | sort | paste -sd' ' |
			grep -qx 'exp253 udplite' || { proto $host list; return 1; }
		proto $host list -j | json_values file | grep -qx "$EXP" || return
	done
}

has_counted()
{
	[ "$(xdp_counter s eth0 xdp_pass_data)" -ge "$1" ] &&
		[ "$(xdp_counter s udplite in_full)" -ge "$2" ]
}

# Devices and mechanisms count on from where they were, with the new programs.
counts_go_on()
{
	local device mechanism

	device=$(xdp_counter s eth0 xdp_pass_data)
	mechanism=$(xdp_counter s udplite in_full)
	take_over s || return
	has_counted "$device" "$mechanism" || return
	tapp c --up 1m "$(addr s)" $PORT || return
	wait_for 30 has_counted $((device + 500)) $((mechanism + 500)) || {
		echo "before: $device, $mechanism"
		hooker_show s xdp
		return 1
	}
}

removed()
{
	local host

	for host in c s; do
		proto $host del exp253 force || return
	done
	carried_by 6 4 $PORT_EXP && carried_by 136 4 $PORT
}

mechanisms()
{
	local what="hand-over with mechanisms" host v

	start --udplite deployed
	serve $PORT_EXP
	for host in c s; do
		proto $host add "$EXP" || die "no mechanism"
	done
	policy c add out port $PORT_EXP via exp253 || die "no rule"
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	tap_check "$what: both hosts" take_over_both
	tap_check "$what: both hosts again" take_over_both
	tap_check "$what: they are there" has_mechanisms
	tap_check "$what: transfers go on" get_further
	tap_check "$what: every byte arrives" ends_whole bulk
	for v in 4 6; do
		tap_check "$what: UDP-Lite carries, IPv$v" carried_by 136 $v $PORT
		tap_check "$what: another one carries, IPv$v" carried_by 253 $v $PORT_EXP
	done
	tap_check "$what: counters go on" counts_go_on
	tap_check "$what: nothing was lost" nothing_was_lost
	tap_check "$what: they can be removed" removed
	bg_stop tapp-$PORT_EXP
	stop_both "$what"
}

sends_frames()
{
	local before host

	for host in c s; do
		before=$(counter $host xsk_frames)
		tapp c --up 4m --down 4m "$(addr s)" $PORT || return
		[ $(($(counter $host xsk_frames) - before)) -ge 1000 ] || return
	done
}

af_xdp()
{
	local what="hand-over with AF_XDP"

	start --carrier xsk
	if [ -z "$(counter c xsk_frames)" ]; then
		for what in "" ", transfers" ", frames" ", both hosts"; do
			tap_skip "hand-over with AF_XDP$what" "there is none [kernel]"
		done
		stop_both "hand-over with AF_XDP"
		return
	fi
	# a queue that another socket has left is busy for a moment, and datagrams take sockets
	tap_check "$what: frames are sent" wait_for 30 sends_frames
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	tap_check "$what: both hosts" take_over_both
	tap_check "$what: transfers complete" ends_whole bulk
	tap_check "$what: frames are sent afterwards" wait_for 30 sends_frames
	stop_both "$what"
}

# ---- first contact ----

waits_for_hello() { hooker_show c peers -j | json_values state | grep -qx hello; }

# The first HELLOs are lost, and by then another daemon sends them
hello()
{
	local what="hand-over in HELLO"

	link_set both delay 300ms blackhole 17
	start --proto udp
	on_bg c first "$TAPP" client -t 60 --up 10k --down 10k "$(addr s)" $PORT
	wait_for 30 waits_for_hello || note "$what: there is none"
	tap_check "$what: of the client's host" take_over c
	tap_check "$what: it goes on" waits_for_hello
	link_set both blackhole none
	tap_check "$what: the connection succeeds" bg_wait first
	tap_check "$what: it was held for it" [ "$(counter c flows_left_native)" -eq 0 ]
	tap_check "$what: and is carried" [ "$(counter c flows_active)" -eq 1 ]
	link_set "${LINK[@]}"
	stop_both "$what"
}

# ---- the new one dies ----

waits_for_answer()
{
	[ "$(on c ss -Hxl | awk -v path="/run/hooker/$(hooker_name c).sock" \
		'$5 == path { print $3 }')" -gt 0 ]
}

# Its request waits until the old daemon runs again; handover.sh has what dies later
killed()
{
	local what="new daemon is killed" i

	start
	start_lasting bulk
	wait_for 60 is_in_midst 300000 || note "$what: no transfer to interrupt"
	for i in 1 2 3; do
		hooker_signal c STOP
		on_bg c doomed "$HOOKER" run --name "$(hooker_name c)" --takeover
		wait_for 10 waits_for_answer || note "$what: it did not ask"
		bg_signal doomed KILL
		bg_wait doomed 2>/dev/null	# bash says that it was killed
		hooker_signal c CONT
		tap_check "$what, $i: the old one goes on" counter c flows
	done
	tap_check "$what: the next one succeeds" take_over c
	tap_check "$what: transfers go on" get_further
	tap_check "$what: transfers complete" ends_whole bulk
	tap_check "$what: nothing was lost" nothing_was_lost
	stop_both "$what"
}

# What holds for all connections and associations; their carriers
part_1()
{
	rules
	windows
	coverage
	killed
}

part_2()
{
	fallen_back
	mechanisms
	af_xdp
	hello
}

in_parts 2
need_hooker
need_tapp
EXP=$(find_object exp253.bpf.o) || skip_all "exp253.bpf.o is not built [variant]"
[ "$LIB_PART" -eq 1 ] && tap_plan $((15 + 11 + 9 + 11)) || tap_plan $((11 + 16 + 8 + 9))
topo_up "${LINK[@]}"
"part_$LIB_PART"
tap_finish
