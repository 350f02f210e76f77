#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs installed selftests. Like the kernel's it exits 0 whatever the tests say:
# the verdicts are the TAP lines.

BASE_DIR=$(cd "$(dirname "$0")" && pwd) || exit
export BASE_DIR
. "$BASE_DIR/kselftest/runner.sh"

usage()
{
	cat <<-END
	usage: $0 [-l] [-c COLLECTION]... [-t COLLECTION:TEST]... [-o SECONDS]
	  -l  list the tests
	  -c  run the tests of a collection
	  -t  run one test
	  -o  time limit of each test, instead of its collection's
	END
}

# Prints the lines of the list that the options ask for, in the list's order
selected_tests()
{
	if [ -z "$wanted" ]; then
		cat "$BASE_DIR/kselftest-list.txt"
		return
	fi
	while read -r entry; do
		for want in $wanted; do
			if [ "$entry" = "$want" ] || [ "${entry%%:*}" = "$want" ]; then
				echo "$entry"
				break
			fi
		done
	done <"$BASE_DIR/kselftest-list.txt"
}

wanted=
while getopts lc:t:o:h opt; do
	case $opt in
	l)	cat "$BASE_DIR/kselftest-list.txt"; exit ;;
	c | t)	wanted="$wanted $OPTARG" ;;
	o)	kselftest_override_timeout=$OPTARG ;;
	h)	usage; exit ;;
	*)	usage >&2; exit 2 ;;
	esac
done

tests=
for entry in $(selected_tests); do
	tests="$tests $BASE_DIR/${entry%%:*}/${entry#*:}"
done
if [ -z "$tests" ]; then
	echo "$0: no such test; -l lists them" >&2
	exit 2
fi
# shellcheck disable=SC2086	# a list of words: no test has a blank in its name
run_many $tests
