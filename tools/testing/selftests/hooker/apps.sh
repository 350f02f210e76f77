#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Applications as Debian ships them, unmodified, through hooker: nginx, curl, ssh, scp,
# iperf3, wrk, Python, and those of apps_more.sh. A check of an application is three checks in one:
#
#	its own result is right: exit status, checksums, what it printed;
#	hooker carried it: each connection that the kernel counted was taken over on both
#	hosts, the payload went over the carrier, and not a byte of it over TCP;
#	nothing remains: no flow, and in the end no descriptor, process, rule or program.
#
# The checks are rows of two tables, one for each kind of link. They run as TURNS says, after
# each program has shown that it works over plain TCP.
#
# A phase is a run of both daemons: over one carrier or the other, and over UDP-Lite with
# the fast lane enforced. On kernels where that makes FIONREAD lie, "auto" goes without,
# so this phase has only checks of programs that don't ask.
#
# Environment: ALL=1 (all rows on all ways with both carriers; takes three times as long), CHECKS
# (names of rows, to run only these), and what lib.sh knows.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=apps_more.sh
. "$(dirname "$0")/apps_more.sh"

HTTP_PORT=8080
DEFERRED_PORT=8081
TLS_PORT=8443
SSH_PORT=2222
IPERF_PORT=5201
PYTHON_PORT=9000
NR_MANY=200
TIME_LIMIT=120

SLOW_LINK="rate 100mbit delay 10ms"
FAST_LINK="rate 1gbit delay 500us"

# name|program that it needs|what it shows
SLOW_CHECKS=(
	"small|curl|nginx to curl, 3 KB"
	"large|curl|nginx to curl, 8 MB"
	"keepalive|curl|three downloads on one kept connection"
	"deferred|curl|listener with TCP_DEFER_ACCEPT"
	"upload|curl|curl -T, 4 MB to nginx"
	"tls|openssl|TLS download, certificate verified"
	"partial|curl|curl --range"
	"abort|curl|curl --max-time ends a download half-way"
	"many|curl|200 downloads at once with curl --parallel"
	"ssh|ssh|2 MB through ssh and back, exit status of the command"
	"scp|scp|scp, 4 MB in both directions"
	"python_http|python3|Python's http.server to curl"
	"python_echo|python3|50 asyncio connections, half-closed"
	"python_peek|python3|FIONREAD, MSG_PEEK and splice()"
	"h2|openssl|three streams of HTTP/2 over TLS"
	"sftp|sftp|sftp, 2 MB in both directions"
	"git|git|git clone over HTTP"
	"node|node|HTTP server of Node.js, 2 MB each way"
	"go|go|HTTP server of Go, 2 MB each way"
)
FAST_CHECKS=(
	"iperf|iperf3|iperf3"
	"iperf_reverse|iperf3|iperf3 -R"
	"iperf_bidir|iperf3|iperf3 --bidir"
	"iperf_parallel|iperf3|iperf3 -P 16"
	"wrk|wrk|wrk with 200 connections"
)

# Host of the server and address family
WAYS=("s 4" "c 6" "c 4" "s 6")

# Those of a row with each carrier. All of them know both carriers, families and hosts, and four rows
# in a row all combinations
TURNS=("s 4 udplite;c 6 udp;" "c 4 udplite;s 6 udp;" "s 6 udplite;c 4 udp;" "c 6 udplite;s 4 udp;")
LANE_WAYS="s 4;c 6;"
LANE_CHECKS="large ssh iperf_bidir iperf_parallel wrk"
declare -A NUMBER=([udplite]=136 [udp]=17)
declare -A UNUSABLE=()	# program -> why
declare -A BROKEN=()	# check -> why
declare -A TURN=()	# check -> which of TURNS

# What a check is about: set by run_way()
SERVER=s CLIENT=c FAMILY=4 CARRIER='' PHASE=''

# ---- servers ----

server_dir() { echo "$LIB_TMP/$1"; }

write_nginx_conf()
{
	local host=$1 dir addr

	dir=$(server_dir "$host")
	cat <<-END
		daemon off;
		user root;
		worker_processes 1;
		pid $dir/nginx.pid;
		error_log $dir/nginx.log info;
		events { worker_connections 1024; }
		http {
			log_format ending '\$request_uri \$status \$body_bytes_sent \$request_completion';
			access_log $dir/access.log ending;
			sendfile on;
			client_max_body_size 64m;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
	END
	for addr in "$(url_addr "$host" 4)" "$(url_addr "$host" 6)"; do
		echo "listen $addr:$HTTP_PORT backlog=1024;"
		echo "listen $addr:$DEFERRED_PORT deferred;"
		[ -n "${UNUSABLE[openssl]}" ] || echo "listen $addr:$TLS_PORT ssl;"
		[ -n "${UNUSABLE[openssl]}" ] || echo "listen $addr:$H2_PORT ssl http2;"
	done
	if [ -z "${UNUSABLE[openssl]}" ]; then
		echo "ssl_certificate $LIB_TMP/tls.crt;"
		echo "ssl_certificate_key $LIB_TMP/tls.key;"
	fi
	cat <<-END
				root $LIB_TMP/www;
				location /slow/ { alias $LIB_TMP/www/; limit_rate 50k; }
				location /up/ { root $dir; dav_methods PUT; create_full_put_path on; }
			}
		}
	END
}

start_nginx()
{
	local host=$1 dir

	dir=$(server_dir "$host")
	write_nginx_conf "$host" >"$dir/nginx.conf"
	on_bg "$host" "nginx-$host" nginx -p "$dir" -e "$dir/nginx.log" -c "$dir/nginx.conf"
	wait_port "$host" $HTTP_PORT && return 0
	cat "$(bg_err "nginx-$host")"
	return 1
}

write_sshd_conf()
{
	cat <<-END
		Port $SSH_PORT
		HostKey $LIB_TMP/host_key
		AuthorizedKeysFile $LIB_TMP/user_key.pub
		PidFile none
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		PermitRootLogin prohibit-password
		MaxStartups 100
		Subsystem sftp internal-sftp
	END
}

# sshd wants /run/sshd, and a root whose account is not locked. Both are made up in a mount
# namespace, so nothing of the machine is touched.
start_sshd()
{
	write_sshd_conf >"$LIB_TMP/sshd.conf"
	sed 's/^root:[^:]*/root:*/' /etc/shadow >"$LIB_TMP/shadow"
	chmod 600 "$LIB_TMP/shadow"
	on_bg "$1" "sshd-$1" unshare -m sh -c "
		mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd &&
		mount --bind '$LIB_TMP/shadow' /etc/shadow &&
		exec \"\$(command -v sshd)\" -D -e -f '$LIB_TMP/sshd.conf'"
	wait_port "$1" $SSH_PORT && return 0
	cat "$(bg_err "sshd-$1")"
	return 1
}

start_servers()
{
	local host

	for host in c s; do
		[ -n "${UNUSABLE[curl]}" ] || start_nginx $host || return 1
		[ -n "${UNUSABLE[ssh]}" ] || start_sshd $host || return 1
	done
}

stop_servers()
{
	local host name

	for host in c s; do
		for name in nginx sshd; do
			[ -z "${LIB_PID[$name-$host]}" ] || bg_stop "$name-$host"
		done
	done
	return 0
}

# ---- what the servers serve ----

make_keys()
{
	ssh-keygen -q -t ed25519 -N '' -f "$LIB_TMP/host_key" &&
		ssh-keygen -q -t ed25519 -N '' -f "$LIB_TMP/user_key"
}

make_certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=hooker -keyout "$LIB_TMP/tls.key" -out "$LIB_TMP/tls.crt" \
		-addext "subjectAltName=IP:$ADDR4_c,IP:$ADDR4_s,IP:$ADDR6_c,IP:$ADDR6_s" \
		>"$LIB_TMP/openssl.log" 2>&1
}

make_content()
{
	mkdir "$LIB_TMP/www" "$LIB_TMP/c" "$LIB_TMP/s" "$LIB_TMP/got"
	# sshd's sessions and nginx's worker read here, whoever they run as
	chmod 755 "$LIB_TMP"
	make_file "$LIB_TMP/www/3k" 3072
	make_file "$LIB_TMP/www/100k" 102400
	make_file "$LIB_TMP/www/2m" 2097152
	make_file "$LIB_TMP/www/4m" 4194304
	make_file "$LIB_TMP/www/8m" 8388608
}

# ---- what hooker and the link counted ----

take_stats() # WHEN
{
	local host

	for host in c s; do
		[ -z "$CARRIER" ] || hooker_show $host stats -j >"$LIB_TMP/stats.$1.$host" || return 1
	done
	snmp_get "$CLIENT" Tcp ActiveOpens >"$LIB_TMP/opens.$1.active"
	snmp_get "$SERVER" Tcp PassiveOpens >"$LIB_TMP/opens.$1.passive"
}

# delta HOST KEY: between the two calls of take_stats
delta()
{
	echo $(($(json_sum "$2" <"$LIB_TMP/stats.after.$1") -
		$(json_sum "$2" <"$LIB_TMP/stats.before.$1")))
}

opens() { echo $(($(cat "$LIB_TMP/opens.after.$1") - $(cat "$LIB_TMP/opens.before.$1"))); }

has_flows() { [ "$(nr_flows "$1")" -eq "$2" ]; }

# equal WHAT VALUE EXPECTED
equal()
{
	[ "$2" -eq "$3" ] && return 0
	echo "$1: $2, expected $3"
	return 1
}

at_least()
{
	[ "$2" -ge "$3" ] && return 0
	echo "$1: $2, expected at least $3"
	return 1
}

# The kernel counts the applications' handshakes, too: none of them may have got past us.
check_taken()
{
	local nr=$1 bad=0 host key

	equal "connections" "$(opens active)" "$nr" || bad=1
	equal "taken on the client's host" "$(delta "$CLIENT" taken_active)" "$nr" || bad=1
	equal "taken on the server's host" "$(delta "$SERVER" taken_passive)" "$nr" || bad=1
	for host in c s; do
		for key in flows_left_native flows_forge_failed flows_late open_refused \
			   take_failed redirect_failed peers_lost; do
			equal "$key on host $host" "$(delta $host $key)" 0 || bad=1
		done
	done
	return $bad
}

check_lane()
{
	[ "$PHASE" = fast ] || return 0
	at_least "bytes in the fast lane" \
		$(($(delta c fast_lane_bytes) + $(delta s fast_lane_bytes))) 1
}

check_wire()
{
	local bytes=$1 bad=0 other

	equal "TCP packets with payload" "$(link_get both 6 with_payload)" 0 || bad=1
	at_least "payload of $CARRIER" "$(link_get both "${NUMBER[$CARRIER]}" payload_bytes)" \
		"$bytes" || bad=1
	for other in "${!NUMBER[@]}"; do
		[ "$other" = "$CARRIER" ] ||
			equal "packets of $other" "$(link_get both "${NUMBER[$other]}" packets)" 0 ||
			bad=1
	done
	return $bad
}

check_gone()
{
	local how=$1 host bad=0

	if ! wait_for 30 has_no_flows; then
		echo "flows remain:"
		hooker_show c flows
		hooker_show s flows
		return 1
	fi
	[ "$how" = clean ] || return 0
	for host in c s; do
		equal "resets on host $host" "$(delta $host flows_reset)" 0 || bad=1
	done
	return $bad
}

# carried NR BYTES clean|any COMMAND...
#
# COMMAND succeeds, all its NR connections ("-": as many as it made) and at least BYTES of
# payload went through hooker, and it ended without resets, or with any. Without hooker
# only the command counts.
carried()
{
	local nr=$1 bytes=$2 how=$3 bad=0

	shift 3
	take_stats before && link_reset || return 1
	"$@" || { echo "'$*' gave $?"; bad=1; }
	[ -n "$CARRIER" ] || return $bad
	wait_for 30 has_no_flows
	take_stats after || return 1
	[ "$nr" != - ] || nr=$(opens active)
	at_least "connections" "$nr" 1 || bad=1
	check_taken "$nr" || bad=1
	check_wire "$bytes" || bad=1
	check_lane || bad=1
	check_gone "$how" || bad=1
	return $bad
}

# ---- HTTP ----

url() # [PORT]
{
	echo "http://$(url_addr "$SERVER" "$FAMILY"):${1:-$HTTP_PORT}"
}

fetch() { on "$CLIENT" curl -sS -m $TIME_LIMIT "$@"; }

# download FILE [PORT]
download()
{
	rm -f "$LIB_TMP/got/file"
	fetch -f -o "$LIB_TMP/got/file" "$(url "$2")/$1" || return 1
	same_file "$LIB_TMP/got/file" "$LIB_TMP/www/$1"
}

check_small() { carried 1 3072 clean download 3k; }
check_large() { carried 1 8388608 clean download 8m; }
check_deferred() { carried 1 102400 clean download 100k $DEFERRED_PORT; }

three_downloads()
{
	local i connects

	rm -f "$LIB_TMP"/got/[123]
	connects=$(fetch -f -w '%{num_connects}\n' "$(url)/100k" -o "$LIB_TMP/got/1" \
		"$(url)/100k" -o "$LIB_TMP/got/2" "$(url)/100k" -o "$LIB_TMP/got/3") || return 1
	equal "curl's connects" "$(awk '{ sum += $1 } END { print sum }' <<<"$connects")" 1 ||
		return 1
	for i in 1 2 3; do
		same_file "$LIB_TMP/got/$i" "$LIB_TMP/www/100k" || return 1
	done
}

check_keepalive() { carried 1 307200 clean three_downloads; }

upload()
{
	local name=$CARRIER-$FAMILY

	fetch -f -T "$LIB_TMP/www/4m" "$(url)/up/$name" || return 1
	same_file "$(server_dir "$SERVER")/up/$name" "$LIB_TMP/www/4m"
}

check_upload() { carried 1 4194304 clean upload; }

tls_download()
{
	fetch -f --cacert "$LIB_TMP/tls.crt" -o "$LIB_TMP/got/tls" \
		"https://$(url_addr "$SERVER" "$FAMILY"):$TLS_PORT/2m" || return 1
	same_file "$LIB_TMP/got/tls" "$LIB_TMP/www/2m"
}

# Not "clean": curl closes first, nginx still answers its close_notify. Over plain TCP that
# meets a reset just the same.
check_tls() { carried 1 2097152 any tls_download; }

partial_download()
{
	local status

	status=$(fetch -f --range 100000-1999999 -o "$LIB_TMP/got/part" -w '%{http_code}' \
		"$(url)/2m") || return 1
	equal "HTTP status" "$status" 206 || return 1
	tail -c +100001 "$LIB_TMP/www/2m" | head -c 1900000 | cmp - "$LIB_TMP/got/part"
}

check_partial() { carried 1 1900000 clean partial_download; }

# log_has HOST LINE: of the access log
log_has() { grep -q "$2" "$(server_dir "$1")/access.log"; }

# nginx must notice in mid-transfer: it logs the request as incomplete, with fewer bytes
# than the file has, well before the file would have ended at 50 KB/s.
aborted_download()
{
	local tag=abort-$CARRIER-$SERVER-$FAMILY line

	fetch -m 1 -o "$LIB_TMP/got/aborted" "$(url)/slow/2m?$tag"
	equal "curl's exit status" $? 28 || return 1
	wait_for 30 log_has "$SERVER" "$tag" || { echo "nginx has not noticed"; return 1; }
	line=$(grep "$tag" "$(server_dir "$SERVER")/access.log")
	[[ $line != *OK ]] || { echo "nginx: $line"; return 1; }
	[ "$(cut -d' ' -f3 <<<"$line")" -lt 2097152 ] || { echo "nginx: $line"; return 1; }
}

# curl had read all there was, so it leaves with a FIN; what nginx sends after that, if
# anything, meets a reset.
check_abort() { carried 1 1 any aborted_download; }

identical_downloads()
{
	sha256sum "$LIB_TMP"/got/many.* | cut -d' ' -f1 | sort | uniq -c | awk '{ print $1, $2 }'
}

# are_at_once: or have been as many as they ever will be. Sets MOST
are_at_once()
{
	local nr

	nr=$(nr_flows "$CLIENT")
	MOST=$((nr > MOST ? nr : MOST))
	[ "$MOST" -eq $NR_MANY ] || bg_has_ended many
}

# The rate limit of nginx keeps them all open, so that hooker has them all at once, unless the
# machine takes longer to open them than that.
many_downloads()
{
	rm -f "$LIB_TMP"/got/many.*
	on_bg "$CLIENT" many curl -sS -f -m $TIME_LIMIT --parallel --parallel-immediate \
		--parallel-max $NR_MANY -H 'Connection: close' \
		-o "$LIB_TMP/got/many.#1" "$(url)/slow/100k?[1-$NR_MANY]"
	if [ -n "$CARRIER" ]; then
		MOST=0
		wait_for $TIME_LIMIT are_at_once
		echo "$MOST flows at once, of $NR_MANY"
	fi
	bg_wait many $TIME_LIMIT || { cat "$(bg_err many)"; return 1; }
	[ "$(identical_downloads)" = "$NR_MANY $(sum_of "$LIB_TMP/www/100k")" ] && return 0
	identical_downloads
	return 1
}

check_many() { carried $NR_MANY $((NR_MANY * 102400)) clean many_downloads; }

# ---- ssh ----

ssh_options()
{
	cat <<-END
		-F/dev/null
		-i$LIB_TMP/user_key
		-oIdentitiesOnly=yes
		-oIdentityAgent=none
		-oBatchMode=yes
		-oConnectTimeout=10
		-oGlobalKnownHostsFile=/dev/null
		-oUserKnownHostsFile=/dev/null
		-oStrictHostKeyChecking=no
		-oLogLevel=ERROR
	END
}

ssh_both_ways()
{
	local rc

	# shellcheck disable=SC2046
	on "$CLIENT" timeout $TIME_LIMIT ssh $(ssh_options) -p $SSH_PORT \
		"root@$(addr "$SERVER" "$FAMILY")" 'cat; exit 7' \
		<"$LIB_TMP/www/2m" >"$LIB_TMP/got/ssh"
	rc=$?
	equal "ssh's exit status" $rc 7 || return 1
	same_file "$LIB_TMP/got/ssh" "$LIB_TMP/www/2m"
}

check_ssh() { carried 1 4194304 any ssh_both_ways; }

run_scp()
{
	# shellcheck disable=SC2046
	on "$CLIENT" timeout $TIME_LIMIT scp -q $(ssh_options) -P $SSH_PORT "$@"
}

scp_both_ways()
{
	local remote

	remote=root@$(url_addr "$SERVER" "$FAMILY"):$LIB_TMP/got
	rm -f "$LIB_TMP/got/scp.up" "$LIB_TMP/got/scp.down"
	run_scp "$LIB_TMP/www/4m" "$remote/scp.up" || return 1
	run_scp "$remote/scp.up" "$LIB_TMP/got/scp.down" || return 1
	same_file "$LIB_TMP/got/scp.up" "$LIB_TMP/www/4m" &&
		same_file "$LIB_TMP/got/scp.down" "$LIB_TMP/www/4m"
}

check_scp() { carried 2 8388608 any scp_both_ways; }

# ---- Python ----

python_download()
{
	local rc

	on_bg "$SERVER" http.server python3 -m http.server -d "$LIB_TMP/www" \
		-b "$(addr "$SERVER" "$FAMILY")" $PYTHON_PORT
	wait_port "$SERVER" $PYTHON_PORT && download 2m $PYTHON_PORT
	rc=$?
	bg_stop http.server
	return $rc
}

check_python_http() { carried 1 2097152 clean python_download; }

python_echo()
{
	local rc=1

	on_bg "$SERVER" echo.py python3 "$LIB_DIR/apps_echo.py" server \
		"$(addr "$SERVER" "$FAMILY")" $PYTHON_PORT
	wait_port "$SERVER" $PYTHON_PORT &&
		on "$CLIENT" timeout $TIME_LIMIT python3 "$LIB_DIR/apps_echo.py" client \
			"$(addr "$SERVER" "$FAMILY")" $PYTHON_PORT 50
	rc=$?
	bg_stop echo.py
	return $rc
}

# 50 connections with 1000 + i * 1777 bytes each, there and back
check_python_echo() { carried 50 $((2 * (50 * 1000 + 1777 * 49 * 25))) clean python_echo; }

# Some programs ask how much there is before they read: it must be the truth.
python_peek()
{
	local rc

	on_bg "$SERVER" peek.py python3 "$LIB_DIR/apps_peek.py" server \
		"$(addr "$SERVER" "$FAMILY")" $PYTHON_PORT
	wait_port "$SERVER" $PYTHON_PORT &&
		on "$CLIENT" timeout $TIME_LIMIT python3 "$LIB_DIR/apps_peek.py" client \
			"$(addr "$SERVER" "$FAMILY")" $PYTHON_PORT
	rc=$?
	bg_wait peek.py || { cat "$(bg_err peek.py)"; rc=1; }
	return $rc
}

check_python_peek() { carried 1 12000 clean python_peek; }

# ---- iperf3 ----

# sums_of FILE: bytes of each total that iperf3 reports as received
iperf_received()
{
	awk '/"sum_received/ { found = 1 } found && /"bytes"/ { gsub(/[^0-9]/, ""); print; found = 0 }' "$1"
}

# iperf NR_SUMS [OPTION...]
run_iperf()
{
	local sums=$1 out=$LIB_TMP/iperf.json rc

	shift
	on_bg "$SERVER" iperf-server iperf3 -s -1 -p $IPERF_PORT
	wait_port "$SERVER" $IPERF_PORT || return 1
	on "$CLIENT" timeout $TIME_LIMIT iperf3 -c "$(addr "$SERVER" "$FAMILY")" \
		-p $IPERF_PORT -t 1 -i 0 -J "$@" >"$out"
	rc=$?
	bg_wait iperf-server || { echo "iperf3's server gave $?"; rc=1; }
	json_values error <"$out"
	equal "sums" "$(iperf_received "$out" | awk '$1 > 0' | wc -l)" "$sums" || rc=1
	return $rc
}

# iperf3 cuts its streams off when the time is up: with resets, as over plain TCP.
check_iperf() { carried 2 1000000 any run_iperf 1; }
check_iperf_reverse() { carried 2 1000000 any run_iperf 1 -R; }
check_iperf_bidir() { carried 3 1000000 any run_iperf 2 --bidir; }
check_iperf_parallel() { carried 17 1000000 any run_iperf 1 -P 16; }

# ---- wrk ----

run_wrk()
{
	local out=$LIB_TMP/wrk.out

	on "$CLIENT" timeout $TIME_LIMIT wrk -t 2 -c $NR_MANY -d 2s --timeout 10s \
		"$(url)/3k" >"$out" || return 1
	if grep -E 'Socket errors|Non-2xx|unable' "$out"; then
		return 1
	fi
	at_least "requests" "$(awk '/requests in/ { print $1 }' "$out")" $NR_MANY || return 1
	at_least "connections of wrk" "$(($(snmp_get "$CLIENT" Tcp ActiveOpens) -
		$(cat "$LIB_TMP/opens.before.active")))" $NR_MANY
}

check_wrk() { carried - $((NR_MANY * 3072)) any run_wrk; }

# ---- the run ----

# The programs that a row needs besides the one it names
needs_of()
{
	case $1 in
	curl | openssl) echo nginx curl ;;
	ssh | scp | sftp) echo ssh scp sshd ssh-keygen unshare ;;
	wrk | git) echo nginx curl ;;
	python3 | node | go) echo curl ;;
	esac
}

find_programs()
{
	local prog other

	PATH=$PATH:/usr/sbin:/sbin
	for prog in curl openssl ssh scp sftp python3 iperf3 wrk git node go; do
		for other in $prog $(needs_of $prog); do
			command -v "$other" >/dev/null || UNUSABLE[$prog]="no $other [variant]"
		done
	done
	[ -n "${UNUSABLE[ssh]}" ] || make_keys || UNUSABLE[ssh]="ssh-keygen failed [variant]"
	[ -z "${UNUSABLE[ssh]}" ] || UNUSABLE[scp]=${UNUSABLE[ssh]} UNUSABLE[sftp]=${UNUSABLE[ssh]}
	[ -n "${UNUSABLE[openssl]}" ] || make_certificate || UNUSABLE[openssl]="openssl failed [variant]"
	prepare_more
}

# take_turns ROW...
take_turns()
{
	local row

	for row; do
		TURN[${row%%|*}]=${TURNS[${#TURN[@]} % ${#TURNS[@]}]}
	done
}

# select_checks NAME-OF-TABLE: leaves what CHECKS says
select_checks()
{
	local -n table=$1
	local row rows=()

	for row in "${table[@]}"; do
		[[ -n $CHECKS && " $CHECKS " != *" ${row%%|*} "* ]] || rows+=("$row")
	done
	table=("${rows[@]}")
}

# A program that fails without hooker says nothing about it.
try_plain()
{
	local row name prog

	SERVER=s CLIENT=c FAMILY=4 CARRIER=''
	for row; do
		IFS='|' read -r name prog _ <<<"$row"
		[ -z "${UNUSABLE[$prog]}" ] || continue
		"check_$name" >"$LIB_TMP/plain.$name" 2>&1 && continue
		sed "s/^/#   $name: /" "$LIB_TMP/plain.$name"
		BROKEN[$name]="fails over plain TCP [variant]"
	done
}

# is_due PHASE WAY ROW
is_due()
{
	local name=${3%%|*}

	if [ "$1" = fast ]; then
		[[ " $LANE_CHECKS " = *" $name "* && $LANE_WAYS = *"$2;"* ]]
	else
		[ -n "$ALL" ] || [[ ${TURN[$name]} = *"$2 $1;"* ]]
	fi
}

run_checks()
{
	local row name prog text way why

	way="$PHASE, IPv$FAMILY, $CLIENT to $SERVER"
	for row; do
		is_due "$PHASE" "$SERVER $FAMILY" "$row" || continue
		IFS='|' read -r name prog text <<<"$row"
		why=${UNUSABLE[$prog]:-${BROKEN[$name]}}
		if [ -n "$why" ]; then
			tap_skip "$way: $text" "$why"
		else
			tap_check "$way: $text" "check_$name"
		fi
	done
}

# run_ways CHECK...: on each way, those that are due
run_ways()
{
	local way

	for way in "${WAYS[@]}"; do
		read -r SERVER FAMILY <<<"$way"
		[ "$SERVER" = s ] && CLIENT=c || CLIENT=s
		run_checks "$@"
	done
}

has_fds() { [ "$(nr_fds "$1")" -eq "$2" ]; }

check_fds()
{
	wait_for 20 has_fds "$1" "$2" && return 0
	ls -l "/proc/$(bg_pid "hooker-$1")/fd"
	return 1
}

check_end()
{
	hooker_stop "$1" || { echo "hooker gave $?"; hooker_log "$1"; return 1; }
	leak_check "$1"
}

# run_phase PHASE CARRIER [OPTION...]
run_phase()
{
	local host fds=()

	PHASE=$1
	CARRIER=$2
	shift 2
	for host in s c; do
		hooker_start $host --proto "$CARRIER" "$@" || die "hooker does not start"
		fds[${#fds[@]}]=$(nr_fds $host)
	done
	start_servers || die "servers do not start"
	# shellcheck disable=SC2086
	link_set both $SLOW_LINK queue bdp
	run_ways "${SLOW_CHECKS[@]}"
	# shellcheck disable=SC2086
	link_set both $FAST_LINK queue bdp
	run_ways "${FAST_CHECKS[@]}"
	stop_servers
	tap_check "$PHASE: host s: no descriptor is left" check_fds s "${fds[0]}"
	tap_check "$PHASE: host c: no descriptor is left" check_fds c "${fds[1]}"
	tap_check "$PHASE: host c: hooker ends and leaves nothing" check_end c
	tap_check "$PHASE: host s: hooker ends and leaves nothing" check_end s
}

plan()
{
	local way phase row nr=0

	for way in "${WAYS[@]}"; do
		for phase in udplite udp fast; do
			for row in "${SLOW_CHECKS[@]}" "${FAST_CHECKS[@]}"; do
				! is_due $phase "$way" "$row" || nr=$((nr + 1))
			done
		done
	done
	tap_plan $((nr + 3 * 4))
}

need_hooker
# shellcheck disable=SC2086
topo_up both $SLOW_LINK
make_content
find_programs
take_turns "${SLOW_CHECKS[@]}" "${FAST_CHECKS[@]}"
select_checks SLOW_CHECKS
select_checks FAST_CHECKS
plan
start_servers || die "servers do not start"
try_plain "${SLOW_CHECKS[@]}"
# shellcheck disable=SC2086
link_set both $FAST_LINK queue bdp
try_plain "${FAST_CHECKS[@]}"
stop_servers
for host in c s; do
	state_save $host
done
run_phase udplite udplite
run_phase udp udp
run_phase fast udplite --fast-lane always
tap_finish
