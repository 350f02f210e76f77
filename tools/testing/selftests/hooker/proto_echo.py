#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""UDP there and back: 'server ADDRESS PORT', or 'client ADDRESS PORT N [unchecked]' for N
datagrams, which come back turned round. The client ends with 0 if all did. Its datagrams
have no checksum if they are to be 'unchecked': that leaves it to a mechanism."""
import socket
import sys

role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM)

if role == 'server':
    sock.bind((address, port))
    print('ready', flush=True)
    while True:
        data, peer = sock.recvfrom(2048)
        sock.sendto(data[::-1], peer)

if sys.argv[5:] == ['unchecked']:
    sock.setsockopt(socket.SOL_SOCKET, 11, 1)       # SO_NO_CHECK
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_UDP, 101, 1) # UDP_NO_CHECK6_TX
sock.connect((address, port))
sock.settimeout(20)
for i in range(int(sys.argv[4])):
    data = bytes((i + k) % 256 for k in range(1 + i * 7))
    sock.send(data)
    try:
        if sock.recv(2048) != data[::-1]:
            sys.exit('datagram %d came back wrong' % i)
    except OSError as error:
        sys.exit('datagram %d: %s' % (i, error))
