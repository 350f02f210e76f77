# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What bench_link.sh prints: tables, bounds and plot, all from its CSV file. To be
# sourced by bash; uses that script's settings.

VERDICT=()
declare -A STAT=() TEST_TITLE=([3k-first]="3 KB, first contact" [3k]="3 KB"
	[510k-first]="510 KB, first contact" [510k]="510 KB" [26m]="26 MB"
	[parallel-total]="$NR_PARALLEL x 510 KB at once, all" [parallel]="each of these"
	[mixed]="3 KB during a bulk transfer, request to answer"
	[satellite]="26 MB by satellite")
# What hooker has to keep at 26 MB: multiple of the limit, bytes on the wire per byte
declare -A TIME_BOUND=([0]=1.08 [0.1]=1.10 [1]=1.12 [3]=1.20)
declare -A WIRE_BOUND=([0]=1.05 [1]=1.08 [3]=1.11)
NR_OK=0
NR_MISS=0
MISSED=

# Prints "LOSS TEST SERIES FIELD VALUE" lines; medians are the lower ones of the middle.
compute_stats()
{
	awk -F, '
	function sorted(key, name, nr,	i, j, tmp) {
		for (i = 2; i <= nr; i++)
			for (j = i; j > 1 && v[key, name, j] < v[key, name, j - 1]; j--) {
				tmp = v[key, name, j]
				v[key, name, j] = v[key, name, j - 1]
				v[key, name, j - 1] = tmp
			}
		return int((nr + 1) / 2)
	}
	function add(key, name, value) { v[key, name, ++n[key, name]] = value + 0 }
	NR == 1 || $5 == "failed" { next }
	{
		key = $1 " " $2 " " $3
		keys[key] = 1
		# For a request among others it counts what came after the connection.
		add(key, "ms", $2 == "mixed" ? $7 : $6)
		late[key] += $5 == "timeout"
		if ($9 != "") {
			add(key, "wire", $9 / $8)
			add(key, "drops", $10)
		}
	}
	END {
		for (key in keys) {
			nr = n[key, "ms"]
			mid = sorted(key, "ms", nr)
			print key, "n", nr
			print key, "ms", v[key, "ms", mid]
			print key, "min", v[key, "ms", 1]
			print key, "max", v[key, "ms", nr]
			print key, "late", (late[key] + mid > nr)
			if (!n[key, "wire"])
				continue
			mid = sorted(key, "wire", n[key, "wire"])
			sorted(key, "drops", n[key, "drops"])
			print key, "wire", v[key, "wire", mid]
			print key, "drops", v[key, "drops", mid]
		}
	}' "$CSV"
}

load_stats()
{
	local loss test series field value

	while read -r loss test series field value; do
		STAT[$loss,$test,$series,$field]=$value
	done < <(compute_stats)
}

calc() { awk "BEGIN { printf \"%.${2:-3}f\", $1 }"; }

# limit_terms TEST: RTTs, RTT in ms, bytes, Mbit/s
limit_terms()
{
	case $1 in
	3k*)		echo "2 $RTT_MS ${BYTES[0]} $RATE_MBIT" ;;
	510k*)		echo "2 $RTT_MS ${BYTES[1]} $RATE_MBIT" ;;
	26m)		echo "2 $RTT_MS ${BYTES[2]} $RATE_MBIT" ;;
	parallel*)	echo "2 $RTT_MS $((NR_PARALLEL * BYTES[1])) $RATE_MBIT" ;;
	mixed)		echo "1 $RTT_MS ${BYTES[0]} $RATE_MBIT" ;;
	satellite)	echo "2 $SAT_RTT_MS ${BYTES[2]} $SAT_RATE_MBIT" ;;
	esac
}

limit_ms()
{
	local terms

	read -ra terms < <(limit_terms "$1")
	calc "${terms[0]} * ${terms[1]} + ${terms[2]} * 8 / (${terms[3]} * 1000)"
}

limit_formula()
{
	local terms

	read -ra terms < <(limit_terms "$1")
	echo "${terms[0]} x ${terms[1]} ms + ${terms[2]} x 8 bit / ${terms[3]} Mbit/s"
}

# ---- bounds ----

# bound LOSS TEST SERIES VALUE LIMIT TEXT: adds to VERDICT whether VALUE is at most LIMIT
bound()
{
	local word=MISS

	[ -n "$4" ] && [ -n "$5" ] || return
	if awk "BEGIN { exit !($4 <= $5) }" && [ "${STAT[$1,$2,$3,late]}" != 1 ]; then
		word=ok
		NR_OK=$((NR_OK + 1))
	else
		NR_MISS=$((NR_MISS + 1))
		MISSED="$MISSED  loss $1 %, ${TEST_TITLE[$2]}, ${TITLE[$3]}: $6"$'\n'
	fi
	VERDICT+=("$word $6")
}

# bound_time LOSS TEST SERIES LIMIT_MS TEXT
bound_time()
{
	[ -z "$4" ] || bound "$1" "$2" "$3" "${STAT[$1,$2,$3,ms]}" "$4" "<= $(seconds "$4") ($5)"
}

# fastest LOSS TEST KIND: best median among the series of that kind; with its name
fastest()
{
	local series

	for series in $SERIES; do
		"$3" "$series" && [ -n "${STAT[$1,$2,$series,ms]}" ] &&
			echo "${STAT[$1,$2,$series,ms]} ${TITLE[$series]}"
	done | sort -n | head -1
}

is_rival() { ! is_hooker "$1"; }

# tcp_times LOSS TEST EXPRESSION: with 'tcp' for the faster TCP's median; empty without
tcp_times()
{
	local best

	best=$(fastest "$1" "$2" is_tcp)
	[ -z "$best" ] || calc "${3//tcp/"${best%% *}"}"
}

bounds_at_no_loss()
{
	local tcp=

	case $2 in
	3k-first)
		tcp=$(tcp_times 0 3k "1.03 * tcp + $RTT_MS")
		bound_time "$@" "$tcp" "1.03 x TCP + 1 RTT" ;;
	3k)
		bound_time "$@" "$(tcp_times 0 3k "1.03 * tcp")" "1.03 x TCP" ;;
	510k-first)
		bound_time "$@" "$(tcp_times 0 510k "tcp + $RTT_MS")" "TCP + 1 RTT" ;;
	510k)
		bound_time "$@" "$(tcp_times 0 510k "0.42 * tcp")" "0.42 x TCP" ;;
	26m)
		bound_time "$@" "$(tcp_times 0 26m tcp)" "TCP" ;;
	mixed)
		bound_time "$@" $((RTT_MS + 20)) "RTT + 20 ms" ;;
	parallel-total)
		bound_time "$@" "$(calc "1.15 * $(limit_ms "$2")")" "1.15 x limit" ;;
	parallel)
		tcp=${STAT[0,parallel,$3,ms]}
		bound "$@" "${STAT[0,parallel,$3,max]}" "$(calc "2 * ${tcp:-0}")" \
			"slowest <= 2 x median" ;;
	esac
}

bounds_at_loss()
{
	local own best

	case $2 in
	510k)
		own=${STAT[0,510k,$3,ms]}
		[ "$1" != 1 ] || [ -z "$own" ] ||
			bound_time "$@" "$(calc "1.2 * $own")" "1.2 x without loss" ;;
	26m)
		best=$(fastest "$1" 26m is_rival)
		bound_time "$@" "${best%% *}" "${best#* }" ;;
	satellite)
		bound_time "$@" "$(calc "1.5 * $(limit_ms satellite)")" "1.5 x limit" ;;
	esac
}

bounds_of_big()
{
	[ -z "${TIME_BOUND[$1]}" ] ||
		bound_time "$@" "$(calc "${TIME_BOUND[$1]} * $(limit_ms 26m)")" \
			"${TIME_BOUND[$1]} x limit"
	bound "$@" "${STAT[$1,26m,$3,wire]}" "${WIRE_BOUND[$1]}" "wire <= ${WIRE_BOUND[$1]}"
	bound "$@" "${STAT[$1,26m,$3,drops]}" "${STAT[$1,26m,bbr,drops]}" "drops <= BBR"
}

# set_verdict LOSS TEST SERIES: "-" where nothing is asked
set_verdict()
{
	VERDICT=()
	if is_hooker "$3"; then
		if [ "$1" = 0 ]; then bounds_at_no_loss "$@"; else bounds_at_loss "$@"; fi
		[ "$2" != 26m ] || bounds_of_big "$@"
	fi
	[ ${#VERDICT[@]} -gt 0 ] || VERDICT=(-)
}

# ---- tables ----

seconds() { calc "$1 / 1000"; }

# median_of LOSS TEST SERIES: in seconds, "> N s" if it was given up
median_of()
{
	local ms=${STAT[$1,$2,$3,ms]}

	if [ -z "$ms" ]; then
		echo -
	elif [ "${STAT[$1,$2,$3,late]}" = 1 ]; then
		echo "> $((ms / 1000)) s"
	else
		seconds "$ms"
	fi
}

print_row()
{
	local key=$1,$2,$3 wire verdict

	wire=${STAT[$key,wire]}
	set_verdict "$@"
	printf '  %-16s %4d %9s %17s %8s %6s %6s  %s\n' "${TITLE[$3]}" "${STAT[$key,n]}" \
		"$(median_of "$@")" \
		"$(seconds "${STAT[$key,min]}")-$(seconds "${STAT[$key,max]}")" \
		"$(ratio "${STAT[$key,ms]}" "$(limit_ms "$2")")" \
		"${wire:+$(calc "$wire")}" "${STAT[$key,drops]}" "${VERDICT[0]}"
	for verdict in "${VERDICT[@]:1}"; do
		printf '%75s%s\n' "" "$verdict"
	done
}

# print_block LOSS TEST: one measurement, all series
print_block()
{
	local series rows=

	for series in $SERIES; do
		[ -z "${STAT[$1,$2,$series,n]}" ] || rows="$rows $series"
	done
	[ -n "$rows" ] || return
	printf '\nloss %s %%, %s; limit %s s = %s\n' "$1" "${TEST_TITLE[$2]}" \
		"$(seconds "$(limit_ms "$2")")" "$(limit_formula "$2")"
	printf '  %-16s %4s %9s %17s %8s %6s %6s  %s\n' "seconds" n median min-max "/ limit" \
		"wire/B" drops "bounds of hooker"
	for series in $rows; do
		print_row "$1" "$2" "$series"
	done
}

print_blocks()
{
	local loss test

	for loss in $LOSS; do
		for test in 3k-first 3k 510k-first 510k 26m; do
			print_block "$loss" $test
		done
	done
	for test in parallel-total parallel mixed; do
		print_block 0 $test
	done
	print_block $SAT_LOSS satellite
}

print_overview_row()
{
	local series cells=

	for series in $SERIES; do
		cells="$cells$(printf '%17s' "$(median_of "$1" "$2" "$series")")"
	done
	[ -n "${cells//[ -]/}" ] || return
	printf '%4s %% %-26s%8s%s\n' "$1" "${TEST_TITLE[$2]%%, req*}" \
		"$(seconds "$(limit_ms "$2")")" "$cells"
}

print_overview()
{
	local series loss test

	printf '\n%-33s%8s' "medians in seconds" limit
	for series in $SERIES; do
		printf '%17s' "${TITLE[$series]}"
	done
	echo
	for test in 3k-first 3k 510k-first 510k 26m; do
		for loss in $LOSS; do
			print_overview_row "$loss" $test
		done
	done
	for test in parallel-total mixed; do
		print_overview_row 0 $test
	done
	print_overview_row $SAT_LOSS satellite
}

print_header()
{
	echo "hooker $BENCH: nginx -> curl, $RATE_MBIT Mbit/s, RTT $RTT_MS ms, queue one BDP," \
		"random loss in both directions"
	bench_versions
	[ -z "$HOOKER" ] ||
		echo "hooker $("$HOOKER" --version | awk '$1 == "version" { print $2 }')," \
			"arguments of 'hooker run': ${HOOKER_ARGS:-none}"
	echo "TCP: congestion control by route, seen with ss:${SEEN:- none};" \
		"remembers nothing of earlier connections (tcp_no_metrics_save=1)"
	case $SERIES in
	*kcp*)	print_kcptun ;;
	esac
	echo "limit: one RTT for the handshake, one for the request," \
		"the file's bytes at the rate of the line"
	echo "known peer: 510 KB were loaded from it before; first contact: nothing was." \
		"TCP has only the latter."
	echo "wire/B: bytes of all frames in both directions per byte of the file;" \
		"drops: in the queue"
}

print_kcptun()
{
	echo "kcptun $(dpkg-query -W -f '${Version}' kcptun 2>/dev/null): ${KCP_COMMON[*]}," \
		"no FEC (but FEC: 10/3); connects locally, so the handshake's RTT is saved"
}

print_footer()
{
	printf '\n%s bounds kept, %s missed\n%s' $NR_OK $NR_MISS "$MISSED"
	awk -F, 'NR > 1 && $2 != "parallel" { sum += $8 } END {
		printf "verified by checksum: %.0f bytes\n", sum }' "$CSV"
	echo "hooker: $NR_TCP_PAYLOAD measurements in which TCP carried payload"
	awk -F, -v void=$NR_VOID 'NR > 1 && $11 != "" { n++; late += $11 > 5e6 } END {
		print "emulator: of", n, "measurements", void, "void,", late \
			" with a frame more than 5 ms behind its time" }' "$CSV"
	echo "machine: $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg), $SECONDS s"
	echo "samples: $(realpath "$CSV")"
}

# ---- plot ----

# plot_series TEST FIELD: those with a value; gnuplot refuses a column that has none
plot_series()
{
	local series loss

	for series in $SERIES; do
		for loss in $LOSS; do
			[ -n "${STAT[$loss,$1,$series,$2]}" ] || continue
			echo "$series"
			break
		done
	done
}

# write_plot_data FILE TEST FIELD SERIES...: one line for each loss, after one of titles
write_plot_data()
{
	local file=$1 test=$2 field=$3 loss series

	shift 3
	{
		printf 'loss'
		for series; do
			printf ' "%s"' "${TITLE[$series]}"
		done
		for loss in $LOSS; do
			printf '\n"%s %%"' "$loss"
			for series; do
				printf ' %s' "${STAT[$loss,$test,$series,$field]:-NaN}"
			done
		done
		echo
	} >"$file"
}

# print_panel TEST FIELD TITLE LINE
print_panel()
{
	local file=$LIB_TMP/plot.$1.$2 series

	read -ra series < <(plot_series "$1" "$2" | tr '\n' ' ')
	[ ${#series[@]} -gt 0 ] || return
	write_plot_data "$file" "$1" "$2" "${series[@]}"
	cat <<-END
		set title '$3'
		plot for [i=2:$((${#series[@]} + 1))] '$file' using i:xtic(1) title columnheader(i), \\
			$4 with lines linecolor 'black' notitle
	END
}

print_plot_script()
{
	local test

	cat <<-END
		set terminal png size 1500,900
		set output '$PLOT'
		set multiplot layout 2,2 title 'nginx to curl, $RATE_MBIT Mbit/s, RTT $RTT_MS ms'
		set style data histogram
		set style histogram clustered gap 1
		set style fill solid 0.8 border -1
		set boxwidth 0.9
		set grid ytics
		set key outside
		set xlabel 'random loss, both directions'
		set logscale y
		set ylabel 'ms, median'
	END
	for test in 3k 510k 26m; do
		echo "set yrange [$(calc "0.4 * $(limit_ms $test)"):*]"
		print_panel $test ms "${TEST_TITLE[$test]}, known peer; line: limit" "$(limit_ms $test)"
	done
	echo "unset logscale y"
	echo "set yrange [0:*]"
	echo "set ylabel 'bytes, median'"
	print_panel 26m wire "26 MB: bytes on the wire per byte delivered" 1
	echo "unset multiplot"
}

plot()
{
	if print_plot_script | gnuplot >"$LIB_TMP/gnuplot.log" 2>&1 && [ -s "$PLOT" ]; then
		echo "plot: $(realpath "$PLOT")"
	else
		fail "gnuplot: $(head -3 "$LIB_TMP/gnuplot.log")"
	fi
}

report()
{
	load_stats
	print_header
	print_overview
	print_blocks
	print_footer
	plot
}
