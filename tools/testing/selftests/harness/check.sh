#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the provoked cases and holds each result line against the name of its
# test: pass_* must pass, fail_* must fail and so on; then the options.

here=${OUTPUT:-.}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
failed=0
number=0

# $1: status of the check, $2: what was checked
result()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		failed=1
	fi
}

# $1: extended regular expression, $2: number of lines that must match it
lines()
{
	[ "$(grep -c -E "$1" "$log")" -eq "$2" ]
	# "# SKIP" in the name would make a skipped test of it
	result $? "$2 lines with $(echo "$1" | tr -d '#')"
}

"$here/cases" >"$log" 2>&1
status=$?

echo "TAP version 13"
echo "1..26"
[ $status -eq 1 ]
result $? "exit status is 1"
lines '^TAP version 13$' 1
lines '^1\.\.26$' 1
lines '^ok [0-9]+ [a-z_.]*\.pass_[a-z_]*$' 9
lines '^not ok [0-9]+ [a-z_.]*\.fail_[a-z_]*$' 11
lines '^ok [0-9]+ global\.skip_with_reason # SKIP no teapot here$' 1
lines '^ok [0-9]+ global\.skip_by_exit_code # SKIP' 1
lines '^not ok [0-9]+ bad_setup\.asserts\.depends_on_variant$' 1
lines '^ok [0-9]+ bad_setup\.skips\.depends_on_variant # SKIP setup says no$' 1
lines '^ok [0-9]+ family\.four\.expected_to_fail_on_six$' 1
lines '^ok [0-9]+ family\.six\.expected_to_fail_on_six # XFAIL' 1
lines '^# Totals: pass:10 fail:12 xfail:1 xpass:0 skip:3 error:0$' 1
lines 'NOT to be reached' 0
lines 'reached after EXPECT$' 1
lines 'handler ran$' 1
lines 'Expected 7 \(7\) == small \(-3\)$' 1
lines 'left 100%' 1
lines 'parent teardown$' 2
[ "$(grep -E '^(not )?ok ' "$log" | head -n 1)" = "ok 1 global.pass_all_comparisons" ]
result $? "tests without a fixture come first, in the order of the source"
[ "$(grep -c -E '^(not )?ok ' "$log")" -eq 26 ]
result $? "as many results as planned"

"$here/cases" -V six -f family >"$log" 2>&1
result $? "exit status is 0 when the selected tests pass"
lines '^ok ' 2
"$here/cases" -T pass_has_data -f plain -t pass_has_data >"$log" 2>&1
lines 'plain\.pass_has_data' 0
"$here/cases" -r family.six.pass_variant >"$log" 2>&1
lines '^ok 1 family\.six\.pass_variant$' 1
"$here/cases" -l >"$log" 2>&1
[ $? -eq 4 ]
result $? "-l exits 4"
lines '^# family\.six\.pass_variant$' 1
exit $failed
