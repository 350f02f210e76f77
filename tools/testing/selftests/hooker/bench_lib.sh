# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What demo.sh and bench_link.sh have in common: nginx on host s, curl on host c, files
# whose every byte is verified, TCP under known conditions. To be sourced by bash.
#
# BENCH is the name of the make target, which messages carry. SERIES is what to compare.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

OUT=${OUT:-${OUTPUT:-.}}
HTTP_PORT=8080
HTTP_URL=http://$ADDR4_s:$HTTP_PORT

FILES=("3 KB" "510 KB" "26 MB")
BYTES=(3072 522240 27262976)
SUM=()
FAILED=

# The library's words for tests are of no use to whoever wants to see figures.
die() { echo "$BENCH: $*" >&2; exit 1; }
skip_all() { die "$@"; }
fail() { FAILED=1; echo "$BENCH: $*" >&2; }

# bench_need PROGRAM...: in addition to what every series uses
bench_need()
{
	local prog missing=

	[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and BPF"
	PATH=$PATH:/usr/sbin:/sbin
	for prog in ip ss ethtool nsenter nginx curl gnuplot sha256sum awk "$@"; do
		command -v "$prog" >/dev/null || missing="$missing $prog"
	done
	[ -z "$missing" ] ||
		die "not installed:$missing; 'make $BENCH' in the top directory installs them"
	find_program linkem >/dev/null || die "linkem is not built; run 'make' first"
	case $SERIES in
	*udp*)	[ -n "$HOOKER" ] || HOOKER=$(find_program hooker) ||
			die "hooker is not built; run 'make' first" ;;
	esac
}

# bench_up [LINKEM SETTING...]: the hosts, with TCP that remembers nothing
bench_up()
{
	local host i

	topo_up "$@"
	for host in c s; do
		lib_setsysctl $host net/ipv4/tcp_no_metrics_save 1
	done
	mkdir "$LIB_TMP/www"
	for i in "${!FILES[@]}"; do
		make_file "$LIB_TMP/www/$i" "${BYTES[$i]}"
		SUM[$i]=$(sum_of "$LIB_TMP/www/$i")
	done
	write_nginx_conf
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

stop_nginx() { bg_stop nginx || fail "nginx ended with an error"; }

stop_hookers()
{
	local host

	for host in c s; do
		hooker_stop $host || fail "hooker on host $host ended with an error"
		leak_check $host || fail "hooker left something on host $host"
	done
}

# fetch URL INDEX SECONDS: prints the milliseconds of the whole and, of these, from the
# request on. Fails unless the file is right to the last bit; 28 means it took too long.
fetch()
{
	local file=$LIB_TMP/fetch.$BASHPID times rc

	times=$(on c curl -sS -m "$3" -o "$file" -w '%{time_total} %{time_pretransfer}' "$1/$2")
	rc=$?
	[ $rc -ne 0 ] || is_intact "$file" "$2" || rc=1
	rm -f "$file"
	[ $rc -eq 0 ] || return $rc
	echo "$times" | awk '{ printf "%.1f %.1f\n", $1 * 1000, ($1 - $2) * 1000 }'
}

# is_intact PATH INDEX
is_intact() { [ "$(sum_of "$1" 2>/dev/null)" = "${SUM[$2]}" ]; }

has_data_connection()
{
	on s ss -Htin state established "sport = :$HTTP_PORT" | grep -q cwnd
}

# check_congctl ALGORITHM: reads it from a connection in progress, for a route that was
# not heeded must show
check_congctl()
{
	local seen

	on_bg c probe curl -sS -m 60 -o /dev/null "$HTTP_URL/2"
	wait_for 3 has_data_connection || fail "no connection to look at"
	seen=$(on s ss -Htin state established "sport = :$HTTP_PORT" | grep -ow "$1" | head -1)
	bg_wait probe 60
	[ "$seen" = "$1" ] || { fail "TCP does not use $1"; return 1; }
}

ratio()
{
	[ -n "$1" ] && [ -n "$2" ] && awk "BEGIN { printf \"%.2f\", $1 / $2 }" || echo -
}

bench_versions()
{
	echo "Linux $(uname -r), $(nginx -v 2>&1 | cut -d: -f2 | tr -d ' ')," \
		"$(curl --version | cut -d' ' -f1,2 | head -1)"
}
