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
# (some of "tcp udp udplite"), RATE, DELAY (one way), KEEP=1 (keep the logs).

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

SERIES=${SERIES:-tcp udp udplite}
RATE=${RATE:-100mbit}
DELAY=${DELAY:-25ms}
OUT=${OUT:-${OUTPUT:-.}}
HTTP_PORT=8080
CONGCTL=cubic

# A row of the table: name, bytes, repetitions. The first one is a host's first contact
# with the other, which hooker needs an additional round trip for.
FILES=("3 KB" "510 KB" "26 MB")
BYTES=(3072 522240 27262976)
REPEAT=(5 5 3)
ROWS=("3 KB, first contact" "${FILES[@]}")

declare -A TITLE=([tcp]="plain TCP" [udp]="hooker/UDP" [udplite]="hooker/UDP-Lite")
declare -A CARRIER=([udp]=17 [udplite]=136)
declare -A MEDIAN=() WIRE=() VERIFIED=()
PROTOCOLS=(6 17 136)
declare -A PROTO_NAME=([6]=TCP [17]=UDP [136]=UDP-Lite)
FAILED=
SEEN=

# The library's words for tests are of no use to whoever runs a demo.
die() { echo "demo: $*" >&2; exit 1; }
skip_all() { die "$@"; }
fail() { FAILED=1; echo "demo: $*" >&2; }

need_all()
{
	local prog missing=

	for prog in ip ss ethtool nsenter nginx curl gnuplot sha256sum awk; do
		PATH=$PATH:/usr/sbin:/sbin command -v $prog >/dev/null || missing="$missing $prog"
	done
	[ -z "$missing" ] || die "not installed:$missing; 'make demo' in the top directory installs them"
	PATH=$PATH:/usr/sbin:/sbin
	find_program linkem >/dev/null || die "linkem is not built; run 'make' first"
	[ "$SERIES" = tcp ] || [ -n "$HOOKER" ] || HOOKER=$(find_program hooker) ||
		die "hooker is not built; run 'make' first"
}

make_files()
{
	local i

	mkdir "$LIB_TMP/www"
	for i in "${!FILES[@]}"; do
		make_file "$LIB_TMP/www/$i" "${BYTES[$i]}"
		SUM[$i]=$(sum_of "$LIB_TMP/www/$i")
	done
}

write_nginx_conf()
{
	cat >"$LIB_TMP/nginx.conf" <<-END
		daemon off;
		user root;
		worker_processes 1;
		pid $LIB_TMP/nginx.pid;
		events { worker_connections 512; }
		http {
			access_log off;
			sendfile on;
			tcp_nodelay on;
			client_body_temp_path $LIB_TMP/nginx.body;
			proxy_temp_path $LIB_TMP/nginx.proxy;
			fastcgi_temp_path $LIB_TMP/nginx.fastcgi;
			uwsgi_temp_path $LIB_TMP/nginx.uwsgi;
			scgi_temp_path $LIB_TMP/nginx.scgi;
			server {
				listen $ADDR4_s:$HTTP_PORT;
				root $LIB_TMP/www;
			}
		}
	END
}

# After hooker: kernels before 6.12 do not let it reach listeners that are open already.
start_nginx()
{
	on_bg s nginx nginx -p "$LIB_TMP" -e "$LIB_TMP/nginx.log" -c "$LIB_TMP/nginx.conf"
	wait_port s $HTTP_PORT || die "nginx does not start: $(cat "$LIB_TMP/nginx.log")"
}

# download SERIES INDEX: prints milliseconds; the file must be right to the last bit
download()
{
	local url=http://$ADDR4_s:$HTTP_PORT/$2 file=$LIB_TMP/download seconds

	rm -f "$file"
	seconds=$(on c curl -sS -m 60 -o "$file" -w '%{time_total}' "$url") ||
		fail "${TITLE[$1]}: curl failed for ${FILES[$2]}"
	[ "$(sum_of "$file" 2>/dev/null)" = "${SUM[$2]}" ] || {
		fail "${TITLE[$1]}: ${FILES[$2]} arrived damaged"
		return
	}
	echo "${BYTES[$2]}" >>"$LIB_TMP/verified.$1"
	awk "BEGIN { printf \"%.1f\n\", $seconds * 1000 }"
}

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }

# Reads the algorithm from a connection in progress: a route that was not heeded must show.
check_congctl()
{
	local seen

	on_bg c probe curl -sS -m 60 -o /dev/null "http://$ADDR4_s:$HTTP_PORT/2"
	wait_for 3 has_data_connection || fail "no connection to look at"
	seen=$(on s ss -Htin state established "sport = :$HTTP_PORT" | grep -ow $CONGCTL)
	bg_wait probe
	[ "$seen" = $CONGCTL ] || fail "TCP does not use $CONGCTL"
	SEEN=" (seen with ss)"
}

has_data_connection()
{
	on s ss -Htin state established "sport = :$HTTP_PORT" | grep -q cwnd
}

start_hookers()
{
	local host

	for host in s c; do
		hooker_start $host --proto "$1" || die "hooker does not start, see above"
	done
}

stop_hookers()
{
	local host

	for host in c s; do
		hooker_stop $host || fail "hooker on host $host ended with an error"
		leak_check $host || fail "hooker left something on host $host"
	done
}

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
	[ "$name" = tcp ] || start_hookers "$name"
	start_nginx
	[ "$name" != tcp ] || check_congctl
	link_reset
	MEDIAN[$name,0]=$(download "$name" 0)
	for i in "${!FILES[@]}"; do
		MEDIAN[$name,$((i + 1))]=$(for ((nr = 0; nr < REPEAT[i]; nr++)); do
			download "$name" "$i"
		done | median)
	done
	save_wire "$name"
	link_is_sound || fail "${TITLE[$name]}: the emulator could not keep up, times are void"
	bg_stop nginx || fail "nginx ended with an error"
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

ratio()
{
	[ -n "$1" ] && [ -n "$2" ] && awk "BEGIN { printf \"%.2f\", $1 / $2 }" || echo -
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
	echo "Linux $(uname -r), $(nginx -v 2>&1 | cut -d: -f2 | tr -d ' '), $(curl --version | cut -d' ' -f1,2 | head -1)"
	echo "TCP congestion control of all series: $CONGCTL$SEEN; this machine's default: $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
	echo "TCP remembers nothing of earlier connections (tcp_no_metrics_save=1)"
}

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and BPF"
declare -a SUM=()
need_all
rm -f "$OUT/demo.png"
topo_up rate "$RATE" delay "$DELAY"
topo_congctl $CONGCTL || die "TCP congestion control $CONGCTL is not available"
lib_setsysctl c net/ipv4/tcp_no_metrics_save 1
lib_setsysctl s net/ipv4/tcp_no_metrics_save 1
make_files
write_nginx_conf
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
