#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: coverage.sh DIR
#
# How much of the transport core the simulator and the fuzzers' corpora execute: builds
# both below DIR with gcc's counters, runs them, and prints a table of lines and branches
# for each file of tools/hooker/htp/. DIR/missed then lists the lines never executed.
# Exit status 1: a test failed, or less than COVERAGE_MIN percent of the lines were
# executed, 90 if that is not set. Needs neither root nor libbpf.

set -eu

[ $# -eq 1 ] || { sed -n '4,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
repo=$(cd "$(dirname "$0")/.." && pwd)
hooker=$repo/tools/hooker
tests=$repo/tools/testing/selftests/hooker
mkdir -p "$1"
out=$(cd "$1" && pwd)
least=${COVERAGE_MIN:-90}
cc=${CC:-gcc}
cflags="-g -std=gnu11 -D_GNU_SOURCE -I$hooker"

# Sources of one test, besides the core, are the simulator's or the fuzz targets'
compile()
{
	rm -rf "$out/core" "$out/run"
	mkdir -p "$out/core" "$out/run"
	for src in "$hooker"/htp/*.c; do
		# shellcheck disable=SC2086	# a list
		$cc $cflags -Og --coverage -fprofile-abs-path -c "$src" \
			-o "$out/core/$(basename "$src" .c).o"
	done
	for src in "$tests"/htp_*.c; do
		link "$(basename "$src" .c)" "$tests"/sim.c "$tests"/sim_*.c "$tests"/world.c
	done
	link corpus "$tests"/fuzz/fuzz_assoc.c "$tests"/fuzz/fuzz_control.c \
		"$tests"/fuzz/fuzz_datagram.c "$tests"/fuzz/fuzz_freeze.c \
		"$tests"/fuzz/fuzz_segment.c "$hooker"/tcp/segment.c \
		"$hooker"/relay/control.c "$hooker"/relay/report.c "$hooker"/relay/prefix.c
	cp -R "$tests/fuzz/corpus" "$out/run/corpora"
}

link()
{
	name=$1
	shift
	# shellcheck disable=SC2086	# a list
	$cc $cflags -O2 "$tests/$name.c" "$@" "$repo/scripts/coverage_exit.c" "$out"/core/*.o \
		-Wl,--wrap=_exit -lgcov -lm -o "$out/run/$name"
}

run()
{
	failed=0
	for test in "$out"/run/*; do
		[ -f "$test" ] || continue
		echo "  RUN      $(basename "$test")"
		"$test" >"$test.log" 2>&1 || {
			grep '^not ok' "$test.log" || tail -n 5 "$test.log"
			failed=1
		}
	done
	[ $failed -eq 0 ] || { echo "coverage: a test failed, see $out/run/" >&2; exit 1; }
}

# A line of a header counts once, as executed if it is in any file that includes it. Prints
# "file lines executed branches taken" for each file and writes lines never executed to $1.
count()
{
	(cd "$out/core" && gcov -t -b -c ./*.gcda 2>/dev/null) | awk -F: -v root="$hooker/htp/" \
		-v missed="$1" '
	/^ *-: *0:Source:/ {
		file = substr($0, index($0, "Source:") + 7)
		ours = index(file, root) == 1
		file = substr(file, length(root) + 1)
	}
	!ours	{ next }
	/^branch/ {
		branch[file, line, ++nr] += $0 ~ /taken [1-9]/
		next
	}
	$2 + 0 {
		line = $2 + 0
		nr = 0
		if ($1 !~ /^ *-$/)
			count[file, line] += $1 ~ /[1-9]/
		text[file, line] = substr($0, index($0, ":") + 1)
	}
	END {
		for (key in count) {
			split(key, at, SUBSEP)
			lines[at[1]]++
			hit[at[1]] += count[key] > 0
			if (!count[key])
				print at[1] ":" text[key] >missed
		}
		for (key in branch) {
			split(key, at, SUBSEP)
			branches[at[1]]++
			taken[at[1]] += branch[key] > 0
		}
		for (f in lines)
			print f, lines[f], hit[f], branches[f] + 0, taken[f] + 0
	}' | sort
	sort -t: -k1,1 -k2,2n -o "$1" "$1"
}

table()
{
	awk -v least="$least" '
	function row(name, lines, hit, branches, taken)
	{
		printf "%-16s %6d %6.1f %%  %6d %6.1f %%\n", name, lines,
		       100 * hit / (lines ? lines : 1), branches,
		       100 * taken / (branches ? branches : 1)
	}
	BEGIN	{ printf "%-16s %6s %8s  %6s %8s\n", "file", "lines", "run", "branch", "taken" }
		{ row($1, $2, $3, $4, $5); l += $2; h += $3; b += $4; t += $5 }
	END {
		row("total", l, h, b, t)
		exit !l || 100 * h < least * l
	}'
}

compile
run
: >"$out/missed"
count "$out/missed" >"$out/counts"
if ! table <"$out/counts"; then
	echo "coverage: less than $least % of the lines; the others are in $out/missed" >&2
	exit 1
fi
