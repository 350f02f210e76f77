#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The transport, measured against others on an emulated link of 100 Mbit/s and 50 ms:
# hooker over UDP-Lite and UDP, the kernel's TCP with CUBIC and BBR, kcptun.
#
# A round takes every series in turn, so that whatever disturbs this machine disturbs all
# alike. Each download's checksum is verified. Times stand beside what the line permits,
# and beside the bounds hooker has to keep. Exit status 0 if everything arrived intact;
# with STRICT=1 a bound that was missed is a failure, too.
#
# Environment (lists are words separated by spaces):
#   OUTPUT      programs; also where bench-link.csv and .png go, unless OUT is set
#   SERIES      of "udplite udp cubic bbr kcp2 kcp3 kcp3fec": kcptun's modes fast2 and
#               fast3, without and with forward error correction (not for 26 MB)
#   LOSS        percentages, "0 0.1 1 3"
#   SIZES       of "3k 510k 26m"
#   EXTRAS      of "parallel mixed satellite", or "none"
#   REPS        rounds (5); a small file is loaded twice in each
#   BIG_REPS    rounds that load 26 MB, too, and of what is in EXTRAS (3)
#   MAX_TIME    seconds after which a download of 26 MB is given up (60)
#   HOOKER_ARGS more arguments of 'hooker run'
#   QUICK=1     a subset in less than three minutes
#   KEEP=1      keep the logs

BENCH=bench-link
if [ -n "$QUICK" ]; then
	: "${LOSS:=0 1}" "${REPS:=2}" "${BIG_REPS:=1}" "${MAX_TIME:=8}" "${EXTRAS:=parallel mixed}"
	: "${SERIES:=udplite udp cubic bbr kcp3 kcp3fec}"
fi
SERIES=${SERIES:-udplite udp cubic bbr kcp2 kcp3 kcp3fec}
SIZES=${SIZES:-3k 510k 26m}
LOSS=${LOSS:-0 0.1 1 3}
EXTRAS=${EXTRAS:-parallel mixed satellite}
REPS=${REPS:-5}
BIG_REPS=${BIG_REPS:-3}
MAX_TIME=${MAX_TIME:-60}

# shellcheck source=bench_lib.sh
. "$(dirname "$0")/bench_lib.sh"

RATE_MBIT=100 RTT_MS=50
SAT_RATE_MBIT=20 SAT_RTT_MS=800 SAT_LOSS=1 SAT_MAX_TIME=120
NR_PARALLEL=100
SMALL_MAX_TIME=20
# A download of 26 MB that takes so many milliseconds is measured once only.
SLOW_MS=15000

# kcptun at its fastest: without encryption and compression, and with windows far beyond
# the link's BDP of 463 datagrams, as its default of 512 makes 26 MB take a second more.
KCP_PORT=29900 KCP_LOCAL=8090
KCP_COMMON=(--crypt none --nocomp --quiet --sndwnd 8192 --rcvwnd 8192
	--sockbuf 16777216 --smuxbuf 16777216)
declare -A KCP_ARGS=([kcp2]="--mode fast2 --datashard 0 --parityshard 0"
	[kcp3]="--mode fast3 --datashard 0 --parityshard 0"
	[kcp3fec]="--mode fast3 --datashard 10 --parityshard 3")

declare -A TITLE=([udplite]=hooker/UDP-Lite [udp]=hooker/UDP [cubic]="TCP CUBIC"
	[bbr]="TCP BBR" [kcp2]="kcptun fast2" [kcp3]="kcptun fast3" [kcp3fec]="kcptun fast3 FEC")
# shellcheck source=bench_report.sh
. "$LIB_DIR/bench_report.sh"

declare -A IS_SLOW=()
SEEN=
LAST_MS=
NR_TCP_PAYLOAD=0
NR_VOID=0

is_hooker() { [ "$1" = udplite ] || [ "$1" = udp ]; }
is_kcp() { [ "${1#kcp}" != "$1" ]; }
is_tcp() { ! is_hooker "$1" && ! is_kcp "$1"; }
has_word() { case " $1 " in *" $2 "*) return 0 ;; esac; return 1; }

# ---- a series: its daemons, where its downloads come from ----

series_url()
{
	if is_kcp "$1"; then echo "http://127.0.0.1:$KCP_LOCAL"; else echo "$HTTP_URL"; fi
}

start_kcptun()
{
	local args

	read -ra args <<<"${KCP_COMMON[*]} ${KCP_ARGS[$1]}"
	on_bg s kcptun-s kcptun-server --listen "$ADDR4_s:$KCP_PORT" \
		--target "$ADDR4_s:$HTTP_PORT" "${args[@]}"
	wait_line "$(bg_err kcptun-s)" 'listening on' || die "kcptun-server does not start"
	on_bg c kcptun-c kcptun-client --localaddr "127.0.0.1:$KCP_LOCAL" \
		--remoteaddr "$ADDR4_s:$KCP_PORT" "${args[@]}"
	wait_port c $KCP_LOCAL || die "kcptun-client does not start"
}

# It ends by the signal, with a status that says so.
stop_kcptun()
{
	bg_stop kcptun-c
	bg_stop kcptun-s
}

series_up()
{
	topo_congctl "$(is_tcp "$1" && echo "$1" || echo cubic)" || die "no TCP $1 here"
	# shellcheck disable=SC2086	# arguments
	! is_hooker "$1" || start_hookers --proto "$1" $HOOKER_ARGS
	start_nginx
	! is_kcp "$1" || start_kcptun "$1"
	link_reset
}

series_down()
{
	! is_kcp "$1" || stop_kcptun
	stop_nginx
	! is_hooker "$1" || stop_hookers
}

# ---- measurements: each ends as a line of the CSV file ----

# record LOSS TEST SERIES REP RESULT [MS REQUEST_MS BYTES [WIRE_BYTES QUEUE_DROPS]]
record()
{
	echo "$1,$2,$3,$4,$5,$6,$7,${8:-0},$9,${10},$(link_get both link late_max_ns)" >>"$CSV"
	[ "$5" != failed ] ||
		fail "${TITLE[$3]}, loss $1 %, $2: download failed, or arrived damaged"
}

# check_link SERIES: what happened on the link since the last time
check_link()
{
	link_is_sound || NR_VOID=$((NR_VOID + 1))
	if is_hooker "$1" && [ "$(link_get both 6 with_payload)" -ne 0 ]; then
		NR_TCP_PAYLOAD=$((NR_TCP_PAYLOAD + 1))
	fi
	link_reset
}

# The pause is for what the sender still has under way: acknowledgements, repetitions
# that nobody needed. All of that is on the wire for this download.
count_wire()
{
	sleep 0.3
	echo "$(link_get both all bytes) $(link_get both all dropped_queue)"
}

# measure LOSS TEST SERIES REP INDEX SECONDS: one download
measure()
{
	local times wire='' rc=0

	check_link "$3"
	times=$(fetch "$(series_url "$3")" "$5" "$6") || rc=$?
	[ "$5" -ne 2 ] || [ $rc -ne 0 ] || wire=$(count_wire)
	# shellcheck disable=SC2086	# words
	case $rc in
	0)	record "$1" "$2" "$3" "$4" ok $times "${BYTES[$5]}" $wire ;;
	28)	record "$1" "$2" "$3" "$4" timeout $(($6 * 1000)) ;;
	*)	record "$1" "$2" "$3" "$4" failed ;;
	esac
	LAST_MS=${times% *}
	[ $rc -eq 0 ] || LAST_MS=$(($6 * 1000))
}

# What makes a peer a known one in this table: it has sent 510 KB before.
warm_up()
{
	fetch "$(series_url "$1")" 1 $SMALL_MAX_TIME >/dev/null ||
		fail "${TITLE[$1]}: download of 510 KB failed"
}

# A TCP that remembers nothing knows only first contacts.
measure_first()
{
	if is_tcp "$2"; then
		return
	fi
	! has_word "$SIZES" 3k || measure "$1" 3k-first "$2" "$3" 0 $SMALL_MAX_TIME
	if has_word "$SIZES" 510k; then
		series_down "$2"
		series_up "$2"
		measure "$1" 510k-first "$2" "$3" 1 $SMALL_MAX_TIME
	else
		warm_up "$2"
	fi
}

measure_big()
{
	if ! has_word "$SIZES" 26m || [ "$3" -gt "$BIG_REPS" ] || [ "$2" = kcp3fec ] ||
	   [ -n "${IS_SLOW[$1,$2]}" ]; then
		return
	fi
	measure "$1" 26m "$2" "$3" 2 "$MAX_TIME"
	[ "${LAST_MS%.*}" -lt $SLOW_MS ] || IS_SLOW[$1,$2]=1
}

# run_turn LOSS SERIES REP
run_turn()
{
	local nr

	series_up "$2"
	measure_first "$@"
	for nr in 1 2; do
		! has_word "$SIZES" 3k || measure "$1" 3k "$2" "$3" 0 $SMALL_MAX_TIME
		! has_word "$SIZES" 510k || measure "$1" 510k "$2" "$3" 1 $SMALL_MAX_TIME
	done
	measure_big "$@"
	check_link "$2"
	series_down "$2"
}

run_loss()
{
	local rep series

	link_set both loss "$1%"
	for ((rep = 1; rep <= REPS; rep++)); do
		progress "loss $1 %, round $rep of $REPS"
		for series in $SERIES; do
			run_turn "$1" "$series" $rep
		done
	done
}

# ---- extras ----

write_parallel_conf()
{
	local i

	for ((i = 0; i < NR_PARALLEL; i++)); do
		echo "url = \"$1/1\""
		echo "output = \"$LIB_TMP/parallel.$i\""
	done >"$LIB_TMP/parallel.conf"
}

# One curl for all: a hundred processes would measure how fast this machine forks.
run_parallel()
{
	local begin ms i intact=0 out=$LIB_TMP/parallel.out

	write_parallel_conf "$(series_url "$1")"
	begin=$(now_ms)
	on c curl -sS --no-progress-meter -m 60 -Z --parallel-immediate --parallel-max $NR_PARALLEL \
		-K "$LIB_TMP/parallel.conf" -w '%{time_total}\n' >"$out"
	ms=$(($(now_ms) - begin))
	for ((i = 0; i < NR_PARALLEL; i++)); do
		! is_intact "$LIB_TMP/parallel.$i" 1 || intact=$((intact + 1))
	done
	rm -f "$LIB_TMP"/parallel.[0-9]*
	if [ $intact -ne $NR_PARALLEL ]; then
		record 0 parallel-total "$1" "$2" failed
		return
	fi
	record 0 parallel-total "$1" "$2" ok $ms "" $((NR_PARALLEL * BYTES[1]))
	awk -v head="0,parallel,$1,$2,ok," -v tail=",,${BYTES[1]},,," \
		'{ printf "%s%.1f%s\n", head, $1 * 1000, tail }' "$out" >>"$CSV"
}

# The bulk transfer gets a second to fill the queue, if that is its way. What ended after
# the bulk did is not counted.
run_mixed()
{
	local times bulk=$LIB_TMP/bulk

	on_bg c bulk curl -sS -m 60 -o "$bulk" "$(series_url "$1")/2"
	sleep 1
	while ! bg_has_ended bulk; do
		times=$(fetch "$(series_url "$1")" 0 $SMALL_MAX_TIME) ||
			{ record 0 mixed "$1" "$2" failed; break; }
		# shellcheck disable=SC2086	# words
		bg_has_ended bulk || record 0 mixed "$1" "$2" ok $times "${BYTES[0]}"
	done
	bg_wait bulk 60
	is_intact "$bulk" 2 || record 0 mixed "$1" "$2" failed
	rm -f "$bulk"
}

run_satellite() { measure $SAT_LOSS satellite "$1" "$2" 2 $SAT_MAX_TIME; }

# extra_wants EXTRA SERIES REP: the satellite link is slow, others get one try there
extra_wants()
{
	case $1,$2 in
	*,kcp2|*,kcp3fec|satellite,kcp*|satellite,cubic) return 1 ;;
	satellite,bbr) [ "$3" -eq 1 ] ;;
	esac
}

run_extra()
{
	local rep series

	for ((rep = 1; rep <= BIG_REPS; rep++)); do
		progress "$1, round $rep of $BIG_REPS"
		for series in $SERIES; do
			extra_wants "$1" "$series" $rep || continue
			series_up "$series"
			warm_up "$series"
			check_link "$series"
			"run_$1" "$series" $rep
			check_link "$series"
			series_down "$series"
		done
	done
}

run_extras()
{
	local extra

	link_set both loss 0%
	for extra in parallel mixed; do
		! has_word "$EXTRAS" $extra || run_extra $extra
	done
	if has_word "$EXTRAS" satellite; then
		link_set both rate ${SAT_RATE_MBIT}mbit delay $((SAT_RTT_MS / 2))ms \
			loss $SAT_LOSS%
		run_extra satellite
	fi
}

# ---- the whole ----

progress() { echo "$BENCH: $SECONDS s: $*" >&2; }

check_words()
{
	local word

	for word in $SERIES; do
		[ -n "${TITLE[$word]}" ] || die "SERIES: no '$word'"
	done
	for word in $SIZES; do
		has_word "3k 510k 26m" "$word" || die "SIZES: no '$word'"
	done
	for word in $EXTRAS; do
		has_word "parallel mixed satellite none" "$word" || die "EXTRAS: no '$word'"
	done
}

choose_hooker_args()
{
	if [ -z "${HOOKER_ARGS+set}" ] && [ -n "$HOOKER" ] &&
	   "$HOOKER" help run | grep -q -e '--cc '; then
		HOOKER_ARGS="--cc bbr"
	fi
}

check_congctls()
{
	local series

	start_nginx
	for series in $SERIES; do
		is_tcp "$series" || continue
		topo_congctl "$series" || die "TCP congestion control $series is not available"
		! check_congctl "$series" || SEEN="$SEEN $series"
	done
	stop_nginx
}

check_words
case $SERIES in
*kcp*)	bench_need kcptun-client kcptun-server ;;
*)	bench_need ;;
esac
choose_hooker_args
CSV=$OUT/bench-link.csv
PLOT=$OUT/bench-link.png
rm -f "$PLOT"
bench_up rate ${RATE_MBIT}mbit delay $((RTT_MS / 2))ms
check_congctls
fields=loss_percent,test,series,round,result,ms,request_ms,bytes
echo "$fields,wire_bytes,queue_drops,late_ns" >"$CSV"
for percent in $LOSS; do
	run_loss "$percent"
done
run_extras
report
[ -z "$FAILED" ] || die "FAILED, see the messages above"
[ -z "$STRICT" ] || [ "$NR_MISS" -eq 0 ] || die "$NR_MISS bounds missed"
