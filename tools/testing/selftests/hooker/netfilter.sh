#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the hosts' own netfilter and routing rules do to connections. If addresses and ports are
# translated (a service that is redirected to another port, a client whose connections go elsewhere
# than it says, or come from another address), they are carried like any other. If segments are
# kept from going by lo, they can't be: some connections are reset, and then all are plain TCP.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=5000
REDIRECTED=80
VIP4=198.51.100.7 VIP6=2001:db8:7::7
OTHER4=192.0.2.99 OTHER6=2001:db8::99

# translate HOST HOOK RULE...: one nat chain with these
translate()
{
	local host=$1 hook=$2 rule

	shift 2
	{
		echo "table inet translate { chain nat { type nat hook $hook priority -100;"
		for rule; do
			echo "$rule;"
		done
		echo "}; }"
	} | on "$host" nft -f - || die "nft"
}

no_translation() { on "$1" nft delete table inet translate; }

add_addresses()
{
	ip -n "$(netns c)" route add "$VIP4" dev eth0
	ip -n "$(netns c)" route add "$VIP6" dev eth0
	ip -n "$(netns c)" addr add "$OTHER4/32" dev eth0
	ip -n "$(netns c)" addr add "$OTHER6/128" dev eth0 nodad preferred_lft 0
	ip -n "$(netns s)" neigh add "$OTHER4" lladdr "$MAC_c" dev eth0
	ip -n "$(netns s)" neigh add "$OTHER6" lladdr "$MAC_c" dev eth0
	state_save c
	state_save s
}

# connects ADDRESS PORT
connects() { tapp c -t 20 --up 100k --down 100k "$1" "$2"; }

# is_carried ADDRESS PORT: also a second time, when the daemons know each other
is_carried()
{
	link_reset
	connects "$@" && connects "$@" || return
	[ "$(link_get both 6 with_payload)" -eq 0 ]
}

# check HOST WHAT PORT ADDRESS4 ADDRESS6 HOOK RULE...
check()
{
	local host=$1 what=$2 port=$3 addr=([4]=$4 [6]=$5) v

	translate "$host" "${@:6}"
	for v in 4 6; do
		tap_check "$what, IPv$v" is_carried "${addr[v]}" "$port"
	done
	no_translation "$host"
}

# As a VPN does that wants all there is
rule_before() { ip -n "$(netns "$1")" rule add pref 100 lookup main; }
no_rule_before() { ip -n "$(netns "$1")" rule del pref 100; }

# As with "connmark --restore-mark", where nobody has saved one
marks_lost()
{
	on "$1" nft -f - <<-EOF || die "nft"
		table inet marks { chain out {
			type route hook output priority -150; meta mark set ct mark; }; }
	EOF
}

no_marks_lost() { on "$1" nft delete table inet marks; }

# are_reset FAMILY: three of them, instead of standing still
are_reset()
{
	local i result=0

	for i in 1 2 3; do
		on_bg c "unheard$i" "$TAPP" client -t 30 --up 100k --down 100k "$(addr s "$1")" \
			$PORT
	done
	for i in 1 2 3; do
		bg_wait "unheard$i"
		grep '^result=' "$(bg_out "unheard$i")" | grep -vx result=reset && result=1
	done
	return $result
}

is_plain()
{
	link_reset
	connects "$(addr s "$1")" $PORT && [ "$(link_get both 6 with_payload)" -gt 0 ]
}

has_said_why() { grep -q 'another mark than 0x484b484b' "$(bg_err "hooker-$1")"; }

# check_unheard CAUSE HOST FAMILY: that host's daemon knows nothing of it yet
check_unheard()
{
	local cause=$1 host=$2 v=$3

	"$cause" "$host"
	tap_check "$cause, host $host, IPv$v: three are reset" are_reset "$v"
	tap_check "$cause, host $host, IPv$v: then they are plain TCP" is_plain "$v"
	tap_check "$cause, host $host, IPv$v: the daemon says why" has_said_why "$host"
	"no_$cause" "$host"
}

# Translated, and then a rule: the daemons live on
test_translations()
{
	local v

	translate s prerouting "tcp dport $REDIRECTED redirect to :$PORT"
	for v in 4 6; do
		tap_check "without hooker, IPv$v" connects "$(addr s $v)" $REDIRECTED
	done
	no_translation s
	start_hookers
	check s "redirected to another port" $REDIRECTED "$ADDR4_s" "$ADDR6_s" \
		prerouting "tcp dport $REDIRECTED redirect to :$PORT"
	check c "to another host and port than connect() said" $REDIRECTED $VIP4 $VIP6 \
		output "ip daddr $VIP4 tcp dport $REDIRECTED dnat ip to $ADDR4_s:$PORT" \
		"ip6 daddr $VIP6 tcp dport $REDIRECTED dnat ip6 to [$ADDR6_s]:$PORT"
	check c "from another address of the host" $PORT "$ADDR4_s" "$ADDR6_s" \
		postrouting "ip saddr $ADDR4_c tcp dport $PORT snat ip to $OTHER4" \
		"ip6 saddr $ADDR6_c tcp dport $PORT snat ip6 to $OTHER6"
	check_unheard rule_before c 4
	stop_both "translated"
}

test_marks()
{
	start_hookers
	check_unheard marks_lost s 6
	stop_both "marks lost"
}

need nft
need_hooker
need_tapp
in_parts 2
[ "$LIB_PART" = 1 ] && tap_plan 15 || tap_plan 7
topo_up both rate 200mbit delay 2ms
add_addresses
tapp_serve s $PORT -t 30 || die "no server"
if [ "$LIB_PART" = 1 ]; then
	test_translations
else
	test_marks
fi
tap_finish
