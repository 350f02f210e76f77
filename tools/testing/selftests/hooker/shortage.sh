#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A daemon that is out of descriptors or memory: new connections are plain TCP, those that it has
# go on, and when there is room again new ones are hooked again.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000

# limit HOST RESOURCE VALUE
limit() { prlimit --pid "$(bg_pid "hooker-$1")" "--$2=$3:"; }

# vm_bytes HOST: what the limit counts
vm_bytes() { awk '/^VmSize:/ { print $2 * 1024 }' "/proc/$(bg_pid "hooker-$1")/status"; }

# The daemon looks at its limits now and then. It can say so while it has a descriptor left for that
takes_no_more() { [ "$(counter "$1" takes_new)" = no ]; }

ENOUGH=16000

# Until it has noticed it has too few for what begins then, but not none
short_of_descriptors()
{
	local what="daemon on host $1 short of descriptors" host=$1 v

	start_hookers
	tapp_serve s $PORT -t 60 || die "no server"
	start_lasting old
	wait_for 60 is_in_midst || note "$what: no connections"
	limit "$host" nofile $(($(nr_fds "$host") + 20)) || die "prlimit"
	wait_for 30 takes_no_more "$host" || note "$what: not noticed"
	limit "$host" nofile 16
	for v in 4 6; do
		tap_check "$what: new ones are plain TCP, IPv$v" plain_tcp_carries $v
	done
	tap_check "$what: the old ones go on" are_carried
	tap_check "$what: and every byte arrives" ends_whole old
	limit "$host" nofile "$ENOUGH"
	for v in 4 6; do
		tap_check "$what: no more: hooked, IPv$v" wait_for 30 is_hooked $v
	done
	stop_both "$what"
}

nr_carried() { echo $(($(link_get both 136 payload_bytes) + $(link_get both 17 payload_bytes))); }
has_carried() { [ "$(nr_carried)" -ge "$1" ]; }

# Who has no descriptor can't be asked for it
are_carried() { wait_for 60 has_carried $(($(nr_carried) + 2000000)); }

# What it has freed it may use again, so new connections may be either.
short_of_memory()
{
	local what="daemon on host $1 short of memory" v

	start_hookers
	tapp_serve s $PORT -t 60 || die "no server"
	start_lasting old
	wait_for 60 is_in_midst || note "$what: no connections"
	limit "$1" as "$(vm_bytes "$1")" || die "prlimit"
	for v in 4 6; do
		on_bg c new$v "$TAPP" client -t 60 --up 8m --down 8m "$(addr s $v)" $PORT
	done
	for v in 4 6; do
		tap_check "$what: a new one works, IPv$v" bg_wait new$v
	done
	tap_check "$what: the old ones go on" get_further
	tap_check "$what: and every byte arrives" ends_whole old
	stop_both "$what"
}

in_parts 2
need_hooker
need_tapp
need prlimit
tap_plan $((10 + 8))
topo_up both delay 5ms rate 100mbit queue 256k
[ "$LIB_PART" -eq 1 ] && HOST=c || HOST=s
short_of_descriptors $HOST
short_of_memory $HOST
tap_finish
