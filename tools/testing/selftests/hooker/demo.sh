#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job, measured: unmodified nginx and curl over a link of 100 Mbit/s and
# 50 ms, with plain TCP and with hooker over UDP and over UDP-Lite.
#
# Everything runs in network namespaces and cgroups of its own; nothing of the machine
# is changed. Exit status 0 only if each byte arrived and went the way it should have.
#
# Environment: OUTPUT (programs; also where demo.png goes, unless OUT is set), SERIES
# (some of "tcp udp udplite"), UDPLITE (native, deployed or auto: which UDP-Lite; two words
# with a comma between them for client and server), RATE, DELAY (one way), KEEP=1 (keep the
# logs).

BENCH=demo
SERIES=${SERIES:-tcp udp udplite}
RATE=${RATE:-100mbit}
DELAY=${DELAY:-25ms}
UDPLITE=${UDPLITE:-auto}
CONGCTL=cubic

# shellcheck source=bench_lib.sh
. "$(dirname "$0")/bench_lib.sh"

# A row of the table: name, bytes, repetitions. The first one is a host's first contact
# with the other, which hooker needs an additional round trip for.
REPEAT=(5 5 3)
ROWS=("3 KB, first contact" "${FILES[@]}")

declare -A TITLE=([tcp]="plain TCP" [udp]="hooker/UDP" [udplite]="hooker/UDP-Lite")
declare -A CARRIER=([udp]=17 [udplite]=136)
declare -A MEDIAN=() WIRE=() VERIFIED=()
PROTOCOLS=(6 17 136)
declare -A PROTO_NAME=([6]=TCP [17]=UDP [136]=UDP-Lite)
SEEN=

# download SERIES INDEX: prints milliseconds
download()
{
	local ms

	ms=$(fetch "$HTTP_URL" "$2" 60) || {
		fail "${TITLE[$1]}: ${FILES[$2]} failed or arrived damaged"
		return
	}
	echo "${BYTES[$2]}" >>"$LIB_TMP/verified.$1"
	echo "${ms% *}"
}

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }

save_wire()
{
	local proto counter

	for proto in "${PROTOCOLS[@]}"; do
		for counter in packets bytes payload_bytes with_payload; do
			WIRE[$1,$proto,$counter]=$(link_get both "$proto" $counter)
		done
	done
}

# run_series NAME: fills the column of the table
run_series()
{
	local name=$1 i nr

	echo "demo: ${TITLE[$name]} ..." >&2
	: >"$LIB_TMP/verified.$name"
	[ "$name" = tcp ] || HOOKER_ARGS_c="--udplite ${UDPLITE%,*}" \
		HOOKER_ARGS_s="--udplite ${UDPLITE#*,}" start_hookers --proto "$name"
	start_nginx
	if [ "$name" = tcp ] && check_congctl $CONGCTL; then
		SEEN=" (seen with ss)"
	fi
	link_reset
	MEDIAN[$name,0]=$(download "$name" 0)
	for i in "${!FILES[@]}"; do
		MEDIAN[$name,$((i + 1))]=$(for ((nr = 0; nr < REPEAT[i]; nr++)); do
			download "$name" "$i"
		done | median)
	done
	save_wire "$name"
	link_is_sound || fail "${TITLE[$name]}: the emulator could not keep up, times are void"
	stop_nginx
	[ "$name" = tcp ] || stop_hookers
	VERIFIED[$name]=$(awk '{ sum += $1 } END { printf "%.0f", sum }' "$LIB_TMP/verified.$name")
	check_verified "$name"
}

# A failure inside $(...) cannot set FAILED here; the bytes that are missing tell.
check_verified()
{
	local i expected=${BYTES[0]}

	for i in "${!FILES[@]}"; do
		expected=$((expected + BYTES[i] * REPEAT[i]))
	done
	[ "${VERIFIED[$1]}" -eq $expected ] ||
		fail "${TITLE[$1]}: ${VERIFIED[$1]} of $expected bytes verified"
}

print_times()
{
	local name row

	printf '\n%-22s' "time in ms (median)"
	for name in $SERIES; do
		printf '%17s' "${TITLE[$name]}"
		[ "$name" = tcp ] || printf '%8s' "/ TCP"
	done
	echo
	for row in "${!ROWS[@]}"; do
		printf '%-22s' "${ROWS[$row]}"
		for name in $SERIES; do
			printf '%17s' "${MEDIAN[$name,$row]:--}"
			[ "$name" = tcp ] ||
				printf '%8s' "$(ratio "${MEDIAN[$name,$row]}" "${MEDIAN[tcp,$row]}")"
		done
		echo
	done
	printf '%-22s' "bytes verified"
	for name in $SERIES; do
		printf '%17s' "${VERIFIED[$name]}"
		[ "$name" = tcp ] || printf '%8s' ""
	done
	echo
}

payload_share()
{
	local proto sum=0

	for proto in "${PROTOCOLS[@]}"; do
		sum=$((sum + WIRE[$1,$proto,payload_bytes]))
	done
	awk "BEGIN { printf \"%.2f\", $sum ? 100 * ${WIRE[$1,$2,payload_bytes]} / $sum : 0 }"
}

print_wire()
{
	local name proto

	printf '\n%-16s %-9s %9s %14s %14s %9s\n' "on the wire" protocol packets \
		"payload bytes" "all bytes" "payload"
	for name in $SERIES; do
		for proto in "${PROTOCOLS[@]}"; do
			[ "${WIRE[$name,$proto,packets]}" -gt 0 ] || continue
			printf '%-16s %-9s %9d %14d %14d %8s%%\n' "${TITLE[$name]}" \
				"${PROTO_NAME[$proto]}" "${WIRE[$name,$proto,packets]}" \
				"${WIRE[$name,$proto,payload_bytes]}" "${WIRE[$name,$proto,bytes]}" \
				"$(payload_share "$name" "$proto")"
		done
	done
}

# What the demo claims: with hooker TCP is there for handshake and teardown only.
check_wire()
{
	local name share

	for name in $SERIES; do
		[ "$name" != tcp ] || continue
		share=$(payload_share "$name" "${CARRIER[$name]}")
		awk "BEGIN { exit !($share >= 99) }" ||
			fail "${TITLE[$name]}: only $share % of the payload was ${PROTO_NAME[${CARRIER[$name]}]}"
		[ "${WIRE[$name,6,with_payload]}" -eq 0 ] ||
			fail "${TITLE[$name]}: ${WIRE[$name,6,with_payload]} TCP packets carried payload"
	done
}

write_data()
{
	local name row

	for row in "${!ROWS[@]}"; do
		printf '"%s"' "${ROWS[$row]/, /\\n}"
		for name in $SERIES; do
			printf ' %s' "${MEDIAN[$name,$row]:-NaN}"
		done
		for name in $SERIES; do
			printf ' %s' "$(ratio "${MEDIAN[$name,$row]}" "${MEDIAN[tcp,$row]}")"
		done
		echo
	done >"$LIB_TMP/demo.dat"
}

plot()
{
	local names=($SERIES) nr i titles=

	nr=${#names[@]}
	for i in "${!names[@]}"; do
		titles="$titles '${TITLE[${names[$i]}]}'"
	done
	write_data
	gnuplot >"$LIB_TMP/gnuplot.log" 2>&1 <<-END
		set terminal png size 1100,480
		set output '$OUT/demo.png'
		set datafile missing '-'
		array title[$nr] = [${titles// \'h/, \'h}]
		set multiplot layout 1,2 title 'nginx to curl, $RATE, one-way delay $DELAY, TCP: $CONGCTL'
		set style data histogram
		set style histogram clustered gap 1
		set style fill solid 0.8 border -1
		set boxwidth 0.9
		set grid ytics
		set key top left
		set bmargin 4
		set ylabel 'time of a download (ms, median)'
		set logscale y
		set yrange [10:*]
		plot for [i=1:$nr] '$LIB_TMP/demo.dat' using (column(i+1)):xtic(1) title title[i]
		unset logscale y
		unset key
		set yrange [0:*]
		set ylabel 'ratio to plain TCP (below 1: faster)'
		plot for [i=1:$nr] '$LIB_TMP/demo.dat' using (column(i+1+$nr)):xtic(1) title title[i], \
			1 with lines dashtype 2 linecolor 'black' notitle
		unset multiplot
	END
	if [ -s "$OUT/demo.png" ]; then
		printf '\nplot: %s\n' "$(cd "$OUT" && pwd)/demo.png"
	else
		fail "gnuplot: $(head -3 "$LIB_TMP/gnuplot.log")"
	fi
}

print_header()
{
	echo "hooker demo: nginx -> curl, link $RATE, one-way delay $DELAY, queue one BDP"
	bench_versions
	echo "TCP congestion control of all series: $CONGCTL$SEEN; this machine's default: $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
	echo "UDP-Lite of client and server: ${UDPLITE%,*}, ${UDPLITE#*,}"
	echo "TCP remembers nothing of earlier connections (tcp_no_metrics_save=1)"
}

bench_need
rm -f "$OUT/demo.png"
bench_up rate "$RATE" delay "$DELAY"
topo_congctl $CONGCTL || die "TCP congestion control $CONGCTL is not available"
for series in $SERIES; do
	run_series "$series"
done
print_header
print_times
print_wire
check_wire
plot
[ -z "$FAILED" ] || die "FAILED, see the messages above"
echo "demo: all downloads are identical to the files served"
