#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A new daemon goes on with the connections of a running one, under load: no application notices,
# whatever state its connection is in; and where it can't, the old one goes on.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=handover_lib.sh
. "$(dirname "$0")/handover_lib.sh"

LINK=(both delay 5ms rate 100mbit queue 256k)

# under_load PROTO IP-PROTOCOL
under_load()
{
	local number=$2 what="hand-over, $1" host v

	start --proto "$1"
	start_lasting bulk
	start_transfer idle --up 1k --client-after-eof --down 1 --server-after-eof
	wait_for 60 have_carried 4 0 && wait_for 60 is_in_midst || note "$what: no connections"
	for host in c s c s; do
		sleep 0.3
		tap_check "$what: of host $host" take_over $host
	done
	tap_check "$what: it was in the midst of transfers" have_carried 4 0
	tap_check "$what: they go on" get_further
	tap_check "$what: every byte arrives" ends_whole bulk
	tap_check "$what: idle connections are there" have_carried 2 0
	for v in 4 6; do
		tap_check "$what: new connections are hooked, IPv$v" carried_by "$number" $v $PORT
	done
	tap_check "$what: nothing was lost" nothing_was_lost
	tap_check "$what: associations are the same" has_peers 2
	for v in 4 6; do
		bg_signal idle$v
		bg_wait idle$v
	done
	stop_both "$what"
}

# has_peers NUMBER: as many associations on both hosts
has_peers() { [ "$(counter c peers)" -eq "$1" ] && [ "$(counter s peers)" -eq "$1" ]; }

# Short ones all the time, so that handshakes are in each state
while_connecting()
{
	local what="hand-over between short connections" i v

	start
	for v in 4 6; do
		for i in 1 2; do
			on_bg c "short$v$i" "$TAPP" client -t 20 -n 200 --up 2k --down 20k \
				"$(addr s $v)" $PORT
		done
	done
	for i in 1 2; do
		sleep 0.3
		tap_check "$what: client's, $i" take_over c
		tap_check "$what: server's, $i" take_over s
	done
	for v in 4 6; do
		for i in 1 2; do
			tap_check "$what: none failed, IPv$v, $i" bg_wait "short$v$i"
		done
	done
	stop_both "$what"
}

# a_client WHAT: a daemon that stops at some point of the hand-over
a_client()
{
	on c python3 - "/run/hooker/$(hooker_name c).sock" "$1" <<-'EOF'
		import array, socket, struct, sys

		MAGIC, SETUP, FDS, FREEZE, STATE, DONE = 0x484b484f, 0, 1, 2, 3, 4
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(8)
		s.connect(sys.argv[1])
		what = sys.argv[2]

		def message():
		    data, fds, _, _ = socket.recv_fds(s, 16, 128)
		    if not data:
		        sys.exit(0)
		    if data[:6] == b"error ":
		        sys.exit((data + s.recv(200)).decode())
		    magic, kind, length, nr = struct.unpack("IIII", data)
		    while length:
		        length -= len(s.recv(length))
		    return kind, nr

		s.sendall(b"takeover %d\n" % (7 if what == "version" else 2 << 16 | 1))
		assert message()[0] == SETUP
		assert message()[0] == FDS
		if what == "setup":
		    sys.exit(0)
		if what == "garbage":
		    s.sendall(b"x" * 16)
		    message()
		s.sendall(struct.pack("IIII", MAGIC, FREEZE, 0, 0))
		assert message() == (STATE, 0)
		if what == "state":
		    sys.exit(0)
		assert message() == (FDS, 1)
		assert message()[0] == FDS
		if what == "silent":
		    message()
		s.sendall(struct.pack("IIII", MAGIC, DONE + 40, 0, 0))
		message()
	EOF
}

# In each case the daemon goes on, with all that it has.
failures()
{
	local what="hand-over fails" v kind

	tap_check "$what: no such daemon" fails_with "no daemon named" \
		on c timeout 60 "$HOOKER" run --name "${LIB_ID}x" --takeover
	tap_check "$what: options that can't be changed" fails_with "can stand beside" \
		on c "$HOOKER" run --takeover --port 4000
	start --dead-time 30
	start_lasting bulk
	wait_for 60 is_in_midst 1000 || note "$what: no connections"
	tap_check "$what: another version" fails_with "state version" a_client version
	for kind in setup garbage state silent "unknown message"; do
		tap_check "$what: $kind" a_client "$kind"
	done
	tap_check "$what: and then it succeeds" take_over c
	tap_check "$what: transfers go on" get_further
	tap_check "$what: transfers complete" ends_whole bulk
	stop_both "$what"
}

in_parts 2
need_hooker
need_tapp
need python3
[ "$LIB_PART" -eq 1 ] && tap_plan $((16 + 12)) || tap_plan 15
topo_up "${LINK[@]}"
if [ "$LIB_PART" -eq 1 ]; then
	under_load udplite 136
	while_connecting
else
	failures
fi
tap_finish
