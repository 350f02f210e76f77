# SPDX-License-Identifier: GPL-2.0
"""What a program that looks before it reads gets to see of a connection.

apps_peek.py server|client ADDRESS PORT
"""
import fcntl
import os
import select
import socket
import struct
import sys
import termios

SIZE = 12000
DATA = bytes(range(250)) * (SIZE // 250)

def unread(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]

def expect(what, value, expected):
    if value != expected:
        sys.exit(f"{what}: {value!r}, expected {expected!r}")

def wait_for_all(sock):
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN | select.EPOLLET)
    while unread(sock) < SIZE:
        expect("epoll events", len(poll.poll(10)), 1)

def server(sock):
    wait_for_all(sock)
    expect("FIONREAD", unread(sock), SIZE)
    expect("MSG_PEEK", sock.recv(2 * SIZE, socket.MSG_PEEK), DATA)
    expect("recv", sock.recv(1000), DATA[:1000])
    expect("FIONREAD", unread(sock), SIZE - 1000)
    end_out, end_in = os.pipe()
    # Python has splice() since 3.10
    expect("splice", os.splice(sock.fileno(), end_in, 2000), 2000)
    expect("spliced", os.read(end_out, 4096), DATA[1000:3000])
    expect("FIONREAD", unread(sock), SIZE - 3000)
    expect("recv", sock.recv(SIZE, socket.MSG_WAITALL), DATA[3000:])
    expect("FIONREAD at the end", unread(sock), 0)

address = (sys.argv[2], int(sys.argv[3]))
if sys.argv[1] == "server":
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family) as listener:
        with listener.accept()[0] as sock:
            server(sock)
else:
    with socket.create_connection(address) as sock:
        sock.sendall(DATA)
        sock.shutdown(socket.SHUT_WR)
        expect("EOF", sock.recv(1), b"")
