#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs tests one after the other and writes TAP; to be sourced. It prints what
# the runner of a kernel tree prints, so that one reader of results serves both.
#
# BASE_DIR			directory of the selftests, set by whoever sources this
# kselftest_override_timeout	seconds, instead of what `settings` says
# KSELFTEST_NAME_SH_ARGS	arguments for the test name.sh
# DIR				shown as the collection, default: the directory's name

KSFT_SKIP=4
KSFT_TIMED_OUT=124

# $1: directory of the test. Prints its limit in seconds; 0: none.
test_timeout()
{
	limit=45
	if [ -r "$1/settings" ]; then
		said=$(sed -n 's/^timeout=\([0-9]*\)[[:space:]]*$/\1/p' "$1/settings" |
			tail -n 1)
		limit=${said:-$limit}
	fi
	echo "${kselftest_override_timeout:-$limit}"
}

# $1: name of the test. Prints what KSELFTEST_<NAME>_ARGS holds.
test_args()
{
	name=$(echo "$1" | tr -c 'A-Za-z0-9\n' '_' | tr '[:lower:]' '[:upper:]')
	eval echo "\"\${KSELFTEST_${name}_ARGS:-}\""
}

# Prefixes each line at once: who reads along wants to see where a test hangs
prefix_lines()
{
	sed -u 's/^/# /'
}

# $1: limit, rest: command. A test that hangs gets the chance to clean up, and
# its children are told too, for a shell's trap waits for its child. Only on a
# terminal the test stays in the group that ^C reaches.
run_limited()
{
	limit=$1
	shift
	if [ "$limit" -eq 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		timeout --foreground -k 10 "$limit" "$@"
	else
		timeout -k 10 "$limit" "$@"
	fi
}

# $1: file in the current directory. Sets $command, empty if there is none.
find_command()
{
	command=
	if [ ! -f "$1" ]; then
		echo "# Warning: file $1 is missing!"
	elif [ -x "$1" ]; then
		command="./$1"
	else
		echo "# Warning: file $1 is not executable"
		command="$(head -n 1 "$1" | sed -n 's/^#!//p') ./$1"
	fi
}

# $1: exit status, $2: number, $3: name, $4: limit
print_result()
{
	case $1 in
	0)
		echo "ok $2 $3" ;;
	"$KSFT_SKIP")
		echo "ok $2 $3 # SKIP" ;;
	"$KSFT_TIMED_OUT" | 137)
		echo "#"
		echo "not ok $2 $3 # TIMEOUT $4 seconds" ;;
	*)
		echo "not ok $2 $3 # exit=$1" ;;
	esac
}

# $1: path of a test, $2: its number
run_one()
(
	base=$(basename "$1")
	dir=$(cd "$(dirname "$1")" && pwd) || exit
	name="selftests: ${DIR:-$(basename "$dir")}: $base"
	limit=$(test_timeout "$dir")

	cd "$dir" || exit
	echo "# timeout set to $limit"
	echo "# $name"
	find_command "$base"
	if [ -z "$command" ]; then
		echo "not ok $2 $name"
		exit
	fi

	# shellcheck disable=SC2046,SC2086	# both are lists of words
	{
		status=$({
			{
				run_limited "$limit" $command $(test_args "$base") 2>&1 3>&- 4>&-
				echo $? >&3
			} | prefix_lines >&4 3>&-
		} 3>&1)
	} 4>&1
	print_result "$status" "$2" "$name" "$limit"
)

# Arguments: paths of tests
run_many()
{
	echo "TAP version 13"
	echo "1..$#"
	number=0
	for test in "$@"; do
		number=$((number + 1))
		run_one "$test" "$number"
	done
}
