#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What applications do with TCP sockets, mode by mode: hooked, it is the same as over plain TCP.
#
# Each mode of tmatrix runs over plain TCP on a good link first. What both its sides saw then
# (results, errors, order of events, bytes) is what they have to see when hooked, whatever the
# link does. And hooked it has to be: as many of its connections are carried as the mode says,
# neither fewer nor more. Where the table "Differences from TCP" of datapath.rst has a
# difference, it has to be that one.
#
# Environment: ALL=1 (both families, both carriers, every kind of trouble with every seed, long
# modes: matrix_long.sh), MODES (names, to run only these), SEEDS, PARTS (at once), and what lib.sh
# knows.
#
# Modes spend their time waiting, so they are shared out to parts.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

GOOD=(delay 5ms rate 100mbit queue 256k loss 0% reorder 0% dup 0% corrupt 0%)
TROUBLES=("loss 1% reorder 5% reorder-delay 4ms dup 5% corrupt 1%")
SEEDS=${SEEDS:-20}
CARRIERS=udplite
EVERY6=3			# of the modes, each third is done over IPv6, too
if [ -n "$ALL" ]; then
	TROUBLES+=("loss 3%" "loss 1% burst 4" "reorder 20% reorder-delay 4ms" "dup 30%")
	SEEDS="1 2 3 4"
	CARRIERS="udplite udp"
	EVERY6=1
fi
ANY=99			# TM_ANY of the driver
NOT_CARRIED=3		# status of a check

# Lines of the transcripts that may be other than over plain TCP
declare -A KNOWN=(
	[urgent]="server: (poll: none|recv MSG_OOB: EINVAL|.*in line: 201|.*: the urgent one)"
	[congestion]="client: connected: reno"
	[mark_read]="client: SO_MARK: [1-9][0-9]*"
	[reset_early]="server: (accept: EAGAIN|recv: ECONNRESET)"
	[keys_late]="(client|server): TCP_(MD5SIG|MD5SIG_EXT|AO_ADD_KEY): EPERM"
)

# Of these, lines that have to be there: otherwise a key would be taken that nobody signs with
declare -A REFUSALS=([keys_late]=6)

declare -A FLAGS=() TEXT=()
declare -A REASON=()	# mode and family -> why it can't be compared here
NAMES=()
WAY=
SAME=same_as_plain	# how a mode is checked
TAKEN="0 0"
PARTS=${PARTS:-3}

# read_modes: of the driver, but those that are too long for today
read_modes()
{
	local name taken flags text nr=0

	while IFS='|' read -r name taken flags text; do
		[[ -z $MODES || " $MODES " = *" $name "* ]] || continue
		[[ -n $ALL || -n $MODES || $flags != *l* ]] || continue
		[ $((nr++ % PARTS)) -eq $((LIB_PART - 1)) ] || continue
		NAMES+=("$name")
		[ "$taken" -gt 0 ] || flags+=p		# plain TCP
		FLAGS[$name]=$flags
		TEXT[$name]=$text
	done < <("$TMATRIX" list)
	[ ${#NAMES[@]} -gt 0 ] || [ "$LIB_PART" -gt 1 ] || die "no mode is called '$MODES'"
}

# fits MODE FAMILY LETTERS: not the other family's, and has none of these flags (letters[] in
# tmatrix.c)
fits()
{
	[[ ${FLAGS[$1]} != *[$3$((10 - $2))]* ]]
}

# names FAMILY LETTERS
names()
{
	local name i=0

	for name in "${NAMES[@]}"; do
		i=$((i + 1))
		[ "$1" = 4 ] || [ $((i % EVERY6)) -eq 0 ] || continue
		! fits "$name" "$1" "$2" || echo "$name"
	done
}

nr_names() { names "$@" | wc -l; }

start_server()
{
	rm -f "$LIB_TMP/tm.sock"
	on_bg s tmatrix "$TMATRIX" server "$LIB_TMP/tm.sock"
	wait_line "$(bg_out tmatrix)" '^tmatrix: ready' || die "tmatrix does not start"
}

# run_mode MODE FAMILY FILE: its output goes there
run_mode()
{
	on c "$TMATRIX" client -l "$LIB_LINKEM ctl $LIB_TMP/linkem.sock" "$LIB_TMP/tm.sock" \
		"$(addr s "$2")" "$(addr c "$2")" "$1" >"$3"
}

transcript() { grep -E '^# (client|server): ' "$1"; }
skip_reason() { sed -n 's/^ok .* # SKIP //p' "$1"; }

# Over plain TCP. A mode that fails then says nothing about hooker, but has to be mended.
run_plain()
{
	local name family out result=0

	for family in 4 6; do
		for name in $(names $family ""); do
			out=$LIB_TMP/$name.$family.plain
			if ! run_mode "$name" $family "$out"; then
				cat "$out"
				REASON[$name$family]="fails over plain TCP"
				result=1
			elif [ -n "$(skip_reason "$out")" ]; then
				REASON[$name$family]=$(skip_reason "$out")
			fi
		done
	done
	return $result
}

# settled: no flow is left. TAKEN is how many connections c and s have taken over so far.
settled()
{
	local c s

	c=$(counter c flows taken_active) && s=$(counter s flows taken_passive) || return 1
	TAKEN="${c#* } ${s#* }"
	[ "${c% *}${s% *}" = 00 ]
}

# same_lines MODE FAMILY: prints what is not
same_lines()
{
	local out=$LIB_TMP/$1.$2 lines nr

	if [ -n "${REFUSALS[$1]}" ]; then
		nr=$(transcript "$out.hooked" | grep -cxE "# (${KNOWN[$1]})")
		[ "$nr" -eq "${REFUSALS[$1]}" ] || { transcript "$out.hooked"; return 1; }
	fi
	lines=$(diff <(transcript "$out.plain") <(transcript "$out.hooked")) && return 0
	if [ -n "${KNOWN[$1]}" ]; then
		grep '^>' <<<"$lines" | grep -qvxE "> # (${KNOWN[$1]})" || return 0
	fi
	echo "$lines"
	return 1
}

# right_number MODE FAMILY BEFORE: of connections that were carried since then, on each host
right_number()
{
	local want nr result=0

	want=$(sed -n 's/^# to be carried: //p' "$LIB_TMP/$1.$2.hooked")
	[ "$want" != $ANY ] || return 0
	for nr in $((${TAKEN% *} - ${3% *})) $((${TAKEN#* } - ${3#* })); do
		[ "$nr" -eq "${want:--1}" ] && continue
		echo "$nr connections were carried, not $want"
		result=$NOT_CARRIED
	done
	return $result
}

# same_as_plain MODE FAMILY
same_as_plain()
{
	local before=$TAKEN result=0

	run_mode "$1" "$2" "$LIB_TMP/$1.$2.hooked" || result=1
	same_lines "$1" "$2" || result=2
	wait_for 20 settled || all_flows_end || result=4
	right_number "$1" "$2" "$before" || result=$NOT_CARRIED
	return $result
}

# The third SYN has no offer: a link that loses two of them leaves the connection to plain TCP,
# which may take longer than the mode does
same_in_the_end()
{
	local try rc=0

	for try in 1 2 3; do
		same_as_plain "$1" "$2" && return
		rc=$?
		[ $rc -eq $NOT_CARRIED ] || break
		echo "try $try: not carried"
	done
	return $rc
}

# check MODE FAMILY
check()
{
	local what="$WAY, IPv$2: $1 (${TEXT[$1]})"

	if [ -n "${REASON[$1$2]}" ]; then
		tap_skip "$what" "${REASON[$1$2]}"
	else
		tap_check "$what" "$SAME" "$1" "$2"
	fi
}

# check_all LETTERS FAMILY...: all but the modes with these flags
check_all()
{
	local letters=$1 name family

	shift
	for family; do
		for name in $(names "$family" "$letters"); do
			check "$name" "$family"
		done
	done
}

# begin WAY ARGUMENT...
begin()
{
	WAY=$1
	shift
	start_server
	start_hookers "$@"
	TAKEN="0 0"
}

end()
{
	local host

	bg_stop tmatrix
	for host in c s; do
		tap_check "$WAY, host $host: hooker ends in order" hooker_stop $host
		tap_check "$WAY, host $host: nothing stays behind" leak_check $host
	done
}

# good_link CARRIER
good_link()
{
	begin "$1" --proto "$1"
	check_all "" 4 6
	end
}

# Where the fast lane is not the default, at least what it may be asked for shall work
fast_lane()
{
	begin "$1, fast lane always" --proto "$1" --fast-lane always
	check_all kln 4
	end
}

# bad_link CARRIER TROUBLE SEED FAMILY: what depends on the time can't be compared, and what
# stays plain TCP says nothing about hooker
bad_link()
{
	begin "$1, $2, seed $3" --proto "$1"
	meet || die "tmatrix: nothing works"
	link_restart "$3" both "${GOOD[@]}" || die "linkem does not start again"
	# what was under way then is lost, and the daemons doubt the path for a moment
	wait_for 30 meet_again || die "tmatrix: not hooked on a good link"
	# shellcheck disable=SC2086
	link_set both $2
	wait_for 20 settled
	SAME=same_in_the_end
	check_all cklp "$4"
	SAME=same_as_plain
	link_set both "${GOOD[@]}"
	end
}

# On a good link, so that the daemons have met
meet()
{
	run_mode connect 4 "$LIB_TMP/meet" && run_mode connect 6 "$LIB_TMP/meet"
}

# meet_again: and both connections are carried
meet_again()
{
	local before

	before=$(counter c taken_active)
	meet && [ "$(counter c taken_active)" -eq $((before + 2)) ]
}

# stays_plain MODE FAMILY: the gate holds it, HELLO gets no answer
stays_plain()
{
	local result=0

	run_mode "$1" "$2" "$LIB_TMP/$1.$2.hooked" || result=1
	same_lines "$1" "$2" || result=2
	[ "$(counter c synack_held)" -gt 0 ] || has_no_synack "$1" || result=3
	wait_for 20 settled && [ "$TAKEN" = "0 0" ] || result=4
	return $result
}

# Their sockets were gone before the SYN-ACK could be held
has_no_synack() { [ "$1" = connect_cancel ] || [ "$1" = connect_shutdown ]; }

# While the gate holds a connection that no carrier can take: once with each pair of daemons,
# for they remember
held()
{
	local name

	for name in $(names 4 ""); do
		[[ ${FLAGS[$name]} = *h* ]] || continue
		begin "held" --proto "$1"
		link_set both blackhole 17,136
		tap_check "$1, held: $name (${TEXT[$name]})" stays_plain "$name" 4
		link_set both blackhole none
		bg_stop tmatrix
		hooker_stop c
		hooker_stop s
	done
}

nr_held() { local name; for name in $(names 4 ""); do echo "${FLAGS[$name]}"; done | grep -c h; }

bad_links()
{
	local trouble seed family=6

	for trouble in "${TROUBLES[@]}"; do
		for seed in $SEEDS; do
			"$1" "$2" "$trouble" "$seed" $family
			[ -z "$ALL" ] || family=$((10 - family))
		done
	done
}

# As bad_link, but counts
count_bad_link() { PLAN=$((PLAN + $(nr_names "$4" cklp) + 4)); }

plan()
{
	local carrier

	PLAN=1
	for carrier in $CARRIERS; do
		PLAN=$((PLAN + $(nr_names 4 "") + $(nr_names 6 "") + 4))
		PLAN=$((PLAN + $(nr_names 4 kln) + 4 + $(nr_held)))
		bad_links count_bad_link "$carrier"
	done
	tap_plan $PLAN
}

in_parts "$PARTS"
need_hooker
TMATRIX=$(find_program tmatrix) || skip_all "tmatrix is not built"
read_modes
plan
topo_up both "${GOOD[@]}"
start_server
tap_check "plain TCP: all modes" run_plain
bg_stop tmatrix
for carrier in $CARRIERS; do
	good_link "$carrier"
	fast_lane "$carrier"
	held "$carrier"
	bad_links bad_link "$carrier"
done
tap_finish
