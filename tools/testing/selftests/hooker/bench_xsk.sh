#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packet rate and CPU time of UDP-Lite through AF_XDP, beside the native socket in the same
# run, for several sizes. Exit status 1 if AF_XDP doesn't pass FACTOR times as many.
#
# Environment:
#   OUTPUT   where bench_xsk is
#   SIZES    bytes of a datagram, "1400 64"
#   ROUNDS   of each way (5)
#   MS       of each round (700)
#   FACTOR   2

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

die() { echo "bench-xsk: $*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and AF_XDP"
bench=$(find_program bench_xsk) || die "bench_xsk is not built; run 'make bench-xsk'"
echo "Linux $(uname -r), $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg)"
missed=
for size in ${SIZES:-1400 64}; do
	out=$("$bench" -l "$size" -n "${ROUNDS:-5}" -t "${MS:-700}") || die "failed"
	echo
	echo "$out"
	echo "$out" | awk -v least="${FACTOR:-2}" '/^AF_XDP \/ socket: received/ {
		sub(",", "", $5); exit !($5 >= least) }' || missed="$missed $size"
done
[ -z "$missed" ] || die "less than ${FACTOR:-2} times the socket's rate at:$missed bytes"
