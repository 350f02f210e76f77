# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# More applications for apps.sh, which sources this: HTTP/2 over TLS, sftp, git, Node.js, Go.
# Each check_NAME is a row of its tables.

H2_PORT=8444
NODE_PORT=9001
GO_PORT=9002

# ---- HTTP/2 ----

# Three streams of one connection, and ALPN has chosen HTTP/2
h2_downloads()
{
	local base connects i

	base=https://$(url_addr "$SERVER" "$FAMILY"):$H2_PORT
	rm -f "$LIB_TMP"/got/h2.*
	connects=$(fetch -f --http2 --parallel --cacert "$LIB_TMP/tls.crt" \
		-w '%{num_connects} %{http_version}\n' "$base/2m" -o "$LIB_TMP/got/h2.1" \
		"$base/2m" -o "$LIB_TMP/got/h2.2" "$base/2m" -o "$LIB_TMP/got/h2.3") || return 1
	equal "curl's connects" "$(awk '{ sum += $1 } END { print sum }' <<<"$connects")" 1 ||
		return 1
	equal "answers in HTTP/2" "$(awk '$2 == 2' <<<"$connects" | wc -l)" 3 || return 1
	for i in 1 2 3; do
		same_file "$LIB_TMP/got/h2.$i" "$LIB_TMP/www/2m" || return 1
	done
}

check_h2() { carried 1 $((3 * 2097152)) any h2_downloads; }

# ---- sftp ----

sftp_both_ways()
{
	rm -f "$LIB_TMP/got/sftp.up" "$LIB_TMP/got/sftp.down"
	cat >"$LIB_TMP/sftp.batch" <<-END
		put $LIB_TMP/www/2m $LIB_TMP/got/sftp.up
		ls -l $LIB_TMP/got/sftp.up
		get $LIB_TMP/got/sftp.up $LIB_TMP/got/sftp.down
	END
	# shellcheck disable=SC2046
	on "$CLIENT" timeout $TIME_LIMIT sftp -q $(ssh_options) -P $SSH_PORT \
		-b "$LIB_TMP/sftp.batch" "root@$(url_addr "$SERVER" "$FAMILY")" >/dev/null ||
		return 1
	same_file "$LIB_TMP/got/sftp.up" "$LIB_TMP/www/2m" &&
		same_file "$LIB_TMP/got/sftp.down" "$LIB_TMP/www/2m"
}

check_sftp() { carried 1 4194304 any sftp_both_ways; }

# ---- git ----

# run_git ARGUMENT...: without anybody's configuration
run_git()
{
	HOME=$LIB_TMP GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 git \
		-c user.name=test -c user.email=test@localhost -c init.defaultBranch=main "$@"
}

# A repository with some history, as a server without git on it hands it out
make_repository()
{
	local work=$LIB_TMP/work i

	run_git init -q "$work" || return 1
	for i in 1 2 3 4 5; do
		make_file "$work/file$i" 200000
		run_git -C "$work" add . && run_git -C "$work" commit -q -m "step $i" || return 1
	done
	run_git clone -q --bare "$work" "$LIB_TMP/www/repo.git" &&
		run_git -C "$LIB_TMP/www/repo.git" update-server-info
}

clone_repository()
{
	local copy=$LIB_TMP/got/clone

	rm -rf "$copy"
	run_git_on "$CLIENT" clone -q "$(url)/repo.git" "$copy" || return 1
	run_git -C "$copy" fsck --strict || return 1
	equal "commits" "$(run_git -C "$copy" rev-list --count HEAD)" 5 || return 1
	diff -r -x .git "$LIB_TMP/work" "$copy"
}

# run_git_on HOST ARGUMENT...
run_git_on()
{
	local host=$1

	shift
	on "$host" env HOME="$LIB_TMP" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
		timeout $TIME_LIMIT git "$@"
}

check_git() { carried - 1000000 any clone_repository; }

# ---- servers in other languages ----

# echo_server PORT COMMAND...: a program that serves a directory, and echoes what is posted
echo_server()
{
	local port=$1 base rc=0

	shift
	base=$(url "$port")
	on_bg "$SERVER" other "$@" "$(addr "$SERVER" "$FAMILY")" "$port" "$LIB_TMP/www"
	wait_port "$SERVER" "$port" || rc=1
	[ $rc -ne 0 ] || download 2m "$port" || rc=1
	[ $rc -ne 0 ] || fetch -f --data-binary "@$LIB_TMP/www/2m" -H Expect: \
		-o "$LIB_TMP/got/echo" "$base/echo" || rc=1
	[ $rc -ne 0 ] || same_file "$LIB_TMP/got/echo" "$LIB_TMP/www/2m" || rc=1
	bg_stop other
	[ $rc -eq 0 ] || cat "$(bg_err other)"
	return $rc
}

check_node() { carried 2 $((3 * 2097152)) any echo_server $NODE_PORT node "$LIB_DIR/apps_http.js"; }
check_go() { carried 2 $((3 * 2097152)) any echo_server $GO_PORT "$LIB_TMP/apps_http"; }

build_go()
{
	HOME=$LIB_TMP GOCACHE=$LIB_TMP/gocache GO111MODULE=off \
		go build -o "$LIB_TMP/apps_http" "$LIB_DIR/apps_http.go"
}

# Content and programs; what fails is not used
prepare_more()
{
	[ -n "${UNUSABLE[git]}" ] || make_repository || UNUSABLE[git]="git failed [variant]"
	[ -n "${UNUSABLE[go]}" ] || build_go || UNUSABLE[go]="go failed [variant]"
}
