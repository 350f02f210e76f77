#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Provoked results for ../kselftest/runner.sh, and what scripts/tap-summary
# makes of them: every way to fail must be counted as a failure.

selftests=${BASE_DIR:-..}
summary=$selftests/../../../scripts/tap-summary
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
number=0

if [ ! -x "$summary" ]; then
	echo "1..0 # SKIP scripts/tap-summary is not installed with the tests"
	exit 4
fi

# $1: status of the check, $2: what was checked
result()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		sed 's/^/#   /' "$work/log" "$work/sum"
		failed=1
	fi
}

# $1: name of a test, stdin: its body
fake()
{
	{ echo '#!/bin/sh'; cat; } >"$work/$1"
	chmod +x "$work/$1"
}

# Arguments: names of tests. Leaves the runner's output and the summary.
run()
{
	(
		cd "$work" || exit
		. "$selftests/kselftest/runner.sh"
		DIR=fake
		run_many "$@"
	) 2>&1 | cat >"$work/log"
	HOOKER_STRICT_SKIP=${strict:-0} "$summary" "$work/log" >"$work/sum"
	status=$?
}

# $1: the result line, $2: the summary's last line, $3: its exit status
expect()
{
	grep -q -x -F "$1" "$work/log" && [ "$(tail -n 1 "$work/sum")" = "$2" ] &&
		[ $status -eq "$3" ]
	# the "# SKIP" of the line would make a skip of this result
	result $? "$(echo "$1" | tr -d '#'): $2"
}

selftests=$(cd "$selftests" && pwd)
echo "timeout=1" >"$work/settings"
echo "TAP version 13"
echo "1..15"

fake plain.sh <<-END
	echo hello
END
run plain.sh
expect "ok 1 selftests: fake: plain.sh" "1 passed, 0 failed, 0 skipped" 0
grep -q -x '# hello' "$work/log"
result $? "output of a test is prefixed"

fake bad.sh <<-END
	exit 3
END
run plain.sh bad.sh
expect "not ok 2 selftests: fake: bad.sh # exit=3" "1 passed, 1 failed, 0 skipped" 1

fake slow.sh <<-END
	sleep 20
END
run slow.sh
expect "not ok 1 selftests: fake: slow.sh # TIMEOUT 1 seconds" "0 passed, 1 failed, 0 skipped" 1

run gone.sh
expect "not ok 1 selftests: fake: gone.sh" "0 passed, 1 failed, 0 skipped" 1

fake skip.sh <<-END
	echo "SKIP: no such feature [kernel]"
	exit 4
END
run skip.sh
expect "ok 1 selftests: fake: skip.sh # SKIP" "0 passed, 0 failed, 1 skipped" 0
strict=1
run skip.sh
expect "ok 1 selftests: fake: skip.sh # SKIP" "0 passed, 0 failed, 1 skipped" 0
fake lazy.sh <<-END
	echo "SKIP: no mood"
	exit 4
END
run lazy.sh
expect "ok 1 selftests: fake: lazy.sh # SKIP" "0 passed, 1 failed, 0 skipped" 1
strict=0

fake inner.sh <<-END
	echo "1..3"
	echo "ok 1 a"
	echo "ok 2 b # SKIP why"
	echo "ok 3 c # XFAIL known"
END
run inner.sh
expect "ok 1 selftests: fake: inner.sh" "2 passed, 0 failed, 1 skipped" 0

fake liar.sh <<-END
	echo "1..2"
	echo "ok 1 a"
	echo "not ok 2 b"
END
run liar.sh
expect "ok 1 selftests: fake: liar.sh" "1 passed, 1 failed, 0 skipped" 1

fake short.sh <<-END
	echo "1..3"
	echo "ok 1 a"
END
run short.sh
expect "ok 1 selftests: fake: short.sh" "1 passed, 1 failed, 0 skipped" 1

fake crash.sh <<-END
	echo "1..2"
	echo "ok 1 a"
	kill -SEGV \$\$
END
run crash.sh
expect "not ok 1 selftests: fake: crash.sh # exit=139" "1 passed, 1 failed, 0 skipped" 1

run plain.sh plain.sh
sed -i '$d' "$work/log"
"$summary" "$work/log" >"$work/sum"
[ $? -eq 1 ] && [ "$(tail -n 1 "$work/sum")" = "1 passed, 1 failed, 0 skipped" ]
result $? "a result that is missing is a failure"
: >"$work/log"
"$summary" "$work/log" >"$work/sum"
[ $? -eq 1 ] && [ "$(tail -n 1 "$work/sum")" = "0 passed, 1 failed, 0 skipped" ]
result $? "no plan at all is a failure"

fake args.sh <<-END
	echo "args: \$*"
END
export KSELFTEST_ARGS_SH_ARGS="-a b"
run args.sh
grep -q -x '# args: -a b' "$work/log"
result $? "KSELFTEST_ARGS_SH_ARGS"
exit $failed
