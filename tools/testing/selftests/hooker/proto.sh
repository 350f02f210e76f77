#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# hooker proto: mechanisms put into running daemons and taken out again, three protocols at
# the same time chosen by rules, and the ports of UDP applications.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

BYTES=$((1 << 20))
UDP_PORT=7000
ECHOES=50
LITE_PORT=7001
declare -A PORT=([udp]=5000 [udplite]=5001 [exp253]=5002)
declare -A NUMBER=([udp]=17 [udplite]=136 [exp253]=253)

both()
{
	proto c "$@" && proto s "$@"
}

# field HOST NAME KEY: of a mechanism in the list
field()
{
	proto "$1" list -j | sed 's/},{"name"/}\n{"name"/g' | grep -F "\"name\":\"$2\"" |
		json_values "$3" | head -1
}

nr_mechanisms() { proto "$1" list -j | json_values file | wc -l; }

# refused EXIT-CODE WORDS COMMAND...: WORDS must be in the message
refused()
{
	local code=$1 words=$2 text rc

	shift 2
	text=$("$@" 2>&1)
	rc=$?
	echo "$text"
	[ $rc -eq "$code" ] && grep -qF "$words" <<<"$text"
}

# ---- what is there ----

list_is_empty() { [ "$(nr_mechanisms c)" -eq 0 ]; }

# From another directory than the daemon's: the command makes the path absolute
add_relative()
{
	local host

	for host in c s; do
		(cd "$(dirname "$EXP")" && proto $host add ./exp253.bpf.o) || return
	done
}

is_listed()
{
	proto c list
	[ "$(field c exp253 ip_proto)" = 253 ] && [ "$(field c exp253 version)" = 1 ] &&
		[ "$(field c exp253 carrier)" = true ] && [ "$(field c exp253 file)" = "$EXP" ] &&
		[ "$(field c exp253 offer_bit)" = 2 ]
}

# ---- three protocols ----

add_rules()
{
	local name

	for name in "${!PORT[@]}"; do
		hooker_do c policy add out port "${PORT[$name]}" via "$name" || return
	done
	hooker_do c policy list | grep -q 'via exp253' || return
}

three_at_once()
{
	local name rc=0
	local -A behind=()

	for name in "${!PORT[@]}"; do
		behind[$name]=$(nr_served "${PORT[$name]}")
		on_bg c "run-$name" "$TAPP" client --up 1m --down 1m "$(addr s "$1")" "${PORT[$name]}"
	done
	for name in "${!PORT[@]}"; do
		bg_wait "run-$name" &&
			server_verified "${PORT[$name]}" "${behind[$name]}" 1 $BYTES ||
			{ echo "$name failed"; rc=1; }
	done
	return $rc
}

each_by_its_own()
{
	local name

	link_stats
	[ "$(link_get both 6 with_payload)" -eq 0 ] || return 1
	for name in "${!PORT[@]}"; do
		[ "$(link_get both "${NUMBER[$name]}" payload_bytes)" -ge $((2 * BYTES)) ] || return
		[ "$(link_get both "${NUMBER[$name]}" payload_bytes)" -le $((3 * BYTES)) ] || return
	done
}

three_protocols()
{
	local v

	for v in 4 6; do
		link_reset
		tap_check "IPv$v: flows of three protocols at the same time" three_at_once $v
		tap_check "IPv$v: each by the one that its rule names" each_by_its_own
	done
}

# exec_in HOST WORD...: hooker exec
exec_in() { hooker_do "$1" exec "${@:2}"; }

# The port has a rule that names another one; this command's comes before it
exec_names_it()
{
	local rules behind

	rules=$(hooker_do c policy list)
	behind=$(nr_served "${PORT[udp]}")
	link_reset
	exec_in c via exp253 to "$ADDR4_s" -- \
		"$TAPP" client --up 1m --down 1m "$ADDR4_s" "${PORT[udp]}" || return
	server_verified "${PORT[udp]}" "$behind" 1 $BYTES || return
	link_stats
	[ "$(link_get both 253 payload_bytes)" -ge $((2 * BYTES)) ] || return
	[ "$(hooker_do c policy list)" = "$rules" ]
}

exec_with_mechanisms()
{
	tap_check "exec via a mechanism" exec_names_it
	tap_check "exec via one that nobody knows" \
		refused 125 "no such carrier" exec_in c via udp,exp254 -- true
	tap_check "exec: the rest of the rule is checked as ever" \
		refused 2 "port 0: not" exec_in c via exp254 port 0 -- true
	tap_check "exec: a private daemon has no mechanisms" \
		refused 125 "a private daemon has no mechanisms" \
		on r "$HOOKER" exec via exp253 -- true
}

# ---- removal ----

has_flow() { [ "$(nr_flows c)" -ge "$1" ]; }

remove()
{
	on_bg c victim "$TAPP" client --down 2m --client-pause 1k:60000 "$(addr s)" \
		"${PORT[exp253]}"
	on_bg c other "$TAPP" client --down 2m --client-pause 1k:2000 "$(addr s)" "${PORT[udp]}"
	wait_for 30 has_flow 2 || note "flows did not begin"
	tap_check "in use: not removed without force" \
		refused 1 "force" proto c del exp253
	tap_check "and nothing happened" test "$(nr_mechanisms c)" -eq 1
	tap_check "removed by force" proto c del exp253 force
	bg_wait victim
	tap_check "its connection is reset" test $? -ne 0
	tap_check "others are not disturbed" bg_wait other
	tap_check "it is gone" list_is_empty
	tap_check "the other host's goes without force then" wait_for 20 proto s del exp253
	tap_check "and comes back" both add "$EXP"
	tap_check "as a carrier" three_at_once 4
}

# ---- what is wrong ----

wrong()
{
	tap_check "no such file" refused 1 "No such file" proto c add /nonexistent
	mkfifo "$LIB_TMP/fifo"
	tap_check "a file that never ends" refused 1 "regular" proto c add "$LIB_TMP/fifo"
	tap_check "no mechanism" refused 1 "connection.bpf.o" proto c add "$(find_object connection.bpf.o)"
	tap_check "twice" refused 1 "exp253 is there already" proto c add "$EXP"
	tap_check "UDP-Lite beside the kernel's" \
		refused 1 "no-carrier" proto c add "$LITE"
	tap_check "none of that is left" test "$(nr_mechanisms c)" -eq 1
	tap_check "del: not there" refused 1 "no such mechanism" proto c del nothing
	tap_check "port: the daemon's own" refused 1 "own" proto c port exp253 add 18507
	tap_check "port: not one of it" refused 1 "not one of" proto c port exp253 del 7777
	tap_check "port: no number" refused 2 "65535" proto c port exp253 add 70000
	tap_check "port: no such direction" refused 2 "up" proto c port exp253 add 7000 up
	tap_check "port: two directions" refused 2 "beside" proto c port exp253 add 7000 in out
	tap_check "a rule with a carrier that nobody knows" \
		refused 1 "no such carrier" hooker_do c policy add to 192.0.2.0/24 via exp254
}

# ---- ports of applications ----

# echo_by IP-PROTOCOL 4|6 PORT [unchecked]
echo_by()
{
	local nr=$1 v=$2 port=$3

	shift 3
	link_reset
	on c python3 "$LIB_DIR/proto_echo.py" client "$(addr s "$v")" "$port" $ECHOES "$@" || return
	link_stats
	[ "$(link_get both "$nr" packets)" -eq $((2 * ECHOES)) ]
}

serve_udp()
{
	on_bg s "echo-$1-$2" python3 "$LIB_DIR/proto_echo.py" server "$(addr s "$1")" "$2"
	wait_line "$(bg_out "echo-$1-$2")" '^ready' || die "no server"
}

application_ports()
{
	local v

	for v in 4 6; do
		serve_udp $v $UDP_PORT
		serve_udp $v $LITE_PORT
		tap_check "IPv$v: a UDP application's datagrams" echo_by 17 $v $UDP_PORT
	done
	proto c port exp253 add $UDP_PORT out && proto s port exp253 add $UDP_PORT in
	for v in 4 6; do
		tap_check "IPv$v: the same as protocol 253" echo_by 253 $v $UDP_PORT
		tap_check "IPv$v: and other ports as before" echo_by 17 $v $LITE_PORT
	done
	tap_check "the port is listed" \
		grep -q "\"port\":$UDP_PORT,\"direction\":\"out\"" <<<"$(proto c list -j)"
	tap_check "UDP-Lite for applications only" both add "$LITE" no-carrier
	tap_check "but not the daemon's" refused 1 "own" proto c port udplite add 18507 out
	proto c port udplite add $LITE_PORT out cover 20 && proto s port udplite add $LITE_PORT
	for v in 4 6; do
		tap_check "IPv$v: as UDP-Lite" echo_by 136 $v $LITE_PORT unchecked
	done
	tap_check "of which 20 bytes are covered" test "$(field c udplite out_partial)" -gt $ECHOES
	tap_check "and all of the answers" test "$(field c udplite in_partial)" -eq 0
	proto c port exp253 del $UDP_PORT && proto s port exp253 del $UDP_PORT
	tap_check "UDP again" echo_by 17 4 $UDP_PORT
}

stop_servers()
{
	local v name

	for name in "${!PORT[@]}"; do
		bg_stop "tapp-${PORT[$name]}"
	done
	for v in 4 6; do
		bg_stop "echo-$v-$UDP_PORT"
		bg_stop "echo-$v-$LITE_PORT"
	done
}

need_hooker
need_tapp
need python3
EXP=$(find_object exp253.bpf.o) && LITE=$(find_object udplite.bpf.o) ||
	skip_all "the mechanisms' objects are not built [variant]"
[ -e /proc/net/udplite ] || skip_all "this kernel has no UDP-Lite sockets [kernel]"
tap_plan $((4 + 4 + 4 + 9 + 13 + 14 + 4))
topo_up both delay 2ms rate 500mbit
start_hookers
for name in "${!PORT[@]}"; do
	tapp_serve s "${PORT[$name]}" || die "no server"
done
tap_check "none at first" list_is_empty
tap_check "added while the daemons run" add_relative
tap_check "listed" is_listed
tap_check "rules name it" add_rules
three_protocols
exec_with_mechanisms
remove
wrong
application_ports
stop_servers
for host in c s; do
	tap_check "host $host: exit status 0" hooker_stop $host
	tap_check "host $host: nothing stays behind" leak_check $host
done
tap_finish
