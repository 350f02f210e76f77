#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Marks of a router that has a queue reach the daemons and are answered; where something on
# the way clears them, none is set any more.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
BYTES=$((8 << 20))
declare -A NUMBER=([udplite]=136 [udp]=17)

# of_peer HOST KEY: sum over associations
of_peer() { hooker_show "$1" peers -j | json_sum "$2"; }
states_of() { hooker_show "$1" peers -j | json_values ecn | sort -u; }

# upload FAMILY
upload()
{
	local behind

	behind=$(nr_served $PORT)
	tapp c -t 20 --up $BYTES "$(addr s "$1")" $PORT &&
		server_verified $PORT "$behind" 1 $BYTES
}

# has_count HOST KEY NUMBER: the last of them travel back with an acknowledgment
has_count() { [ "$(of_peer "$1" "$2")" -eq "$3" ]; }

# marked FAMILY: what the link marks is what host s has seen, and host c has been told
marked()
{
	local seen told marks errors

	seen=$(of_peer s ecn_ce_received)
	told=$(of_peer c ecn_ce_told)
	errors=$(snmp_get s Ip InHdrErrors)
	link_reset
	upload "$1" || return 1
	marks=$(link_get ab "${NUMBER[$PROTO]}" marked)
	echo "marked $marks, before that seen $seen and told $told"
	hooker_show c peers
	[ "$marks" -gt 0 ] || return 2
	wait_for 10 has_count s ecn_ce_received $((seen + marks)) || return 3
	wait_for 10 has_count c ecn_ce_told $((told + marks)) || return 4
	[ "$(of_peer c congestion_events)" -gt 0 ] || return 5
	[ "$(states_of c)" = capable ] || return 6
	# a checksum that the link got wrong
	[ "$(snmp_get s Ip InHdrErrors)" -eq "$errors" ]
}

# cleared: on the way out of host c, before the link
cleared()
{
	local sent

	on c nft -f - <<-EOT || return 1
		table inet bleach { chain post { type filter hook postrouting priority 0;
			ip ecn set not-ect; ip6 ecn set not-ect; }; }
	EOT
	upload 4 && upload 6 || return 2
	[ "$(states_of c)" = failed ] || return 3
	sent=$(of_peer c ecn_sent)
	upload 4 && upload 6 || return 4
	on c nft delete table inet bleach
	[ "$(of_peer c ecn_sent)" -eq "$sent" ]
}

run_carrier()
{
	local host v

	start_hookers --proto "$PROTO"
	tapp_serve s $PORT -t 20 || die "no server"
	for v in 4 6; do
		tap_check "$PROTO, IPv$v: marks are seen and told" marked $v
	done
	if command -v nft >/dev/null; then
		tap_check "$PROTO: marks are cleared on the way" cleared
	else
		tap_skip "$PROTO: marks are cleared on the way" "not installed: nft [variant]"
	fi
	bg_stop tapp-$PORT
	for host in c s; do
		tap_check "$PROTO, host $host: hooker ends in order" hooker_stop $host
	done
}

need_hooker
need_tapp
tap_plan $((2 * (2 + 1 + 2)))
TOPO_SEED=${SEED:-20} topo_up both delay 10ms rate 50mbit queue 1m ab mark 60k
for PROTO in udplite udp; do
	run_carrier
done
tap_finish
