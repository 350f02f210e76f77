#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: check.sh [--selftests DIR] [make arguments: TARGETS= O= ...]
#
# Runs the selftests of this repository, or of the kernel tree that has DIR,
# and gives the exit status that the kselftest runner doesn't give.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
selftests=$here/../tools/testing/selftests
if [ "${1:-}" = --selftests ]; then
	selftests=$2
	shift 2
fi

if [ "$(id -u)" -ne 0 ]; then
	echo "make check: run it as root; tests load BPF and make network namespaces" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log" "$log.status"' EXIT

# Through a pipe: the runner opens /dev/stdout, which would cut a file short.
# Without FORCE_TARGETS a target that doesn't build is left out silently.
{
	status=0
	make -C "$selftests" --no-print-directory FORCE_TARGETS=1 "$@" run_tests \
		</dev/null 2>&1 || status=$?
	echo $status >"$log.status"
} | tee "$log"

echo
status=0
"$here/tap-summary" "$log" || status=$?
[ "$(cat "$log.status")" -eq 0 ] || status=1
exit $status
