#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: check-tree.sh DIR [KDIR]
#
# Puts hooker into a kernel tree, builds and tests it there with the tree's own
# libbpf, bpftool, harness and runner, and holds the sources against checkpatch
# and kernel-doc. Without KDIR the tree is the part of Debian's linux-source
# that this takes, unpacked below DIR once.
#
# TREE_TESTS lists the tests to run; empty: all. The default is the programs in
# C that load BPF programs: the others run the same code as outside a tree, which
# `make check` does.

set -eu

# `make check-tree O=DIR` gives O= to every make below, also to those that build in the tree
unset MAKEFLAGS MAKEOVERRIDES O

[ $# -ge 1 ] || { sed -n '4,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
mkdir -p "$1"
work=$(cd "$1" && pwd)
tarball=/usr/src/linux-source-6.12.tar.xz
kdir=${2:-$work/linux-source-6.12}
TREE_TESTS=${TREE_TESTS-programs}
log=$work/check.log

# Everything the two builds read, and the style checks; all of it was found to be needed
tree_files()
{
	sed 's|^|linux-source-6.12/|' <<-END
		tools/Makefile
		tools/arch
		tools/bpf/bpftool
		tools/build
		tools/include
		tools/lib/bpf
		tools/scripts
		tools/testing/selftests/Makefile
		tools/testing/selftests/lib.mk
		tools/testing/selftests/kselftest
		tools/testing/selftests/kselftest.h
		tools/testing/selftests/kselftest_harness.h
		tools/testing/selftests/run_kselftest.sh
		scripts/bpf_doc.py
		scripts/checkpatch.pl
		scripts/const_structs.checkpatch
		scripts/kernel-doc
		scripts/spelling.txt
		scripts/subarch.include
	END
}

# A stamp tells a whole tree from one whose extraction was interrupted
extract_tree()
{
	[ -z "$(find "$work/extracted" -newer "$tarball" 2>/dev/null)" ] || return 0
	rm -rf "$kdir"
	echo "extracting part of $tarball"
	tree_files >"$work/files"
	xz -dc -T0 "$tarball" | tar x -C "$work" -T "$work/files"
	touch "$work/extracted"
}

# Results of this script are TAP too, so that they are counted with the tests'
number=0
result()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number tree: $2" | tee -a "$log"
	else
		echo "not ok $number tree: $2" | tee -a "$log"
	fi
}

sources()
{
	(cd "$repo" && if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard
	else
		find . -name .tree -prune -o -type f -print | sed 's|^\./||'
	fi) | grep -E '\.([ch]|sh|mk|py)$|(^|/)(Makefile|Kconfig[^/]*)$|^scripts/' |
		while read -r file; do
			[ ! -f "$repo/$file" ] || echo "$file"
		done
}

# $1: type, $2: "path: message". Whether checkpatch.accepted has it.
is_accepted()
{
	while read -r accepted glob _reason; do
		case $accepted in
		"" | \#*)	continue ;;
		"$1")		;;
		*)		continue ;;
		esac
		# shellcheck disable=SC2254	# a pattern
		case $2 in
		$glob)	return 0 ;;
		esac
	done <"$here/checkpatch.accepted"
	return 1
}

run_checkpatch()
{
	bad=0
	# from $work, for it leaves a cache in the current directory
	(cd "$work" && sources | sed "s|^|$repo/|" |
		xargs perl "$kdir/scripts/checkpatch.pl" --strict --no-tree --show-types \
			--terse -f 2>/dev/null | sed "s|^$repo/||") >"$work/checkpatch.log" || true
	# checkpatch that didn't run at all is no clean result
	grep -q '^total: ' "$work/checkpatch.log" || bad=1
	grep -E '^[^ ]+:[0-9]+: (ERROR|WARNING|CHECK):' "$work/checkpatch.log" \
		>"$work/found" || true
	while read -r place type rest; do
		type=${type#*:}
		type=${type%:}
		if ! is_accepted "$type" "${place%%:*}: $rest"; then
			echo "# $place $type: $rest"
			bad=1
		fi
	done <"$work/found"
	return $bad
}

run_kernel_doc()
{
	(cd "$repo" && sources | grep '\.[ch]$' |
		xargs perl "$kdir/scripts/kernel-doc" -none -Werror 2>&1) |
		sed 's/^/# /' >"$work/doc"
	cat "$work/doc"
	[ ! -s "$work/doc" ]
}

# $1: source, beside the harness it includes. The words of a skip are free.
verdicts_of()
{
	gcc -std=gnu11 -D_GNU_SOURCE -O2 "$1" -o "$work/cases" || return 1
	{ "$work/cases" 2>/dev/null || true; } |
		sed -n -E -e 's/ # (SKIP|XFAIL).*/ \1/' -e '/^(not )?ok |^1\.\./p'
}

# The stand-in harness and the tree's must give the same verdicts
compare_harnesses()
{
	source=tools/testing/selftests/harness/cases.c
	mkdir -p "$kdir/tools/testing/selftests/harness"
	cp "$repo/$source" "$kdir/$source"
	verdicts_of "$repo/$source" >"$work/verdicts.ours" || return 1
	verdicts_of "$kdir/$source" >"$work/verdicts.tree" || return 1
	[ -s "$work/verdicts.ours" ] || return 1
	diff "$work/verdicts.ours" "$work/verdicts.tree" | sed 's/^/# /'
	cmp -s "$work/verdicts.ours" "$work/verdicts.tree"
}

build_tool()
{
	make -C "$kdir/tools/hooker" --no-print-directory -j"$(nproc)" >"$work/build.log" 2>&1 &&
		grep -q '^hooker: in-tree libbpf$' "$work/build.log" &&
		! grep -E 'warning:|error:' "$work/build.log" &&
		return
	sed 's/^/# /' "$work/build.log"
	return 1
}

# The tree's runner exits 0 whatever happens; tap-summary reads what it wrote
run_tests()
{
	set -- FORCE_TARGETS=1 TARGETS=hooker \
		BPFTOOL="$kdir/tools/hooker/bpftool/bootstrap/bpftool"
	if [ "$TREE_TESTS" = programs ]; then
		set -- "$@" TEST_PROGS= LIBBPF_ONLY=1
	elif [ "$TREE_TESTS" ]; then
		set -- "$@" ONLY="$TREE_TESTS"
	fi
	make -C "$kdir/tools/testing/selftests" --no-print-directory "$@" run_tests \
		</dev/null 2>&1 | tee -a "$log"
}

if [ $# -lt 2 ]; then
	extract_tree
fi
: >"$log"
echo "1..6" | tee -a "$log"
status=0; "$here/install-into-tree.sh" --register "$kdir" || status=$?
result $status "install-into-tree.sh"
status=0; build_tool || status=$?
result $status "make -C tools/hooker"
status=0; compare_harnesses || status=$?
result $status "the stand-in harness gives the verdicts of the tree's"
status=0; run_checkpatch || status=$?
result $status "checkpatch.pl --strict"
status=0; run_kernel_doc || status=$?
result $status "kernel-doc"
run_tests
status=0; grep -qE '^(not )?ok [0-9]+ selftests: hooker: ' "$log" || status=1
result $status "make run_tests has built the tests and run them"
echo
"$here/tap-summary" "$log"
