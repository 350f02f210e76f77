/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of forged sockets and of segments share: names of connections, and
 * bytes whose places can be told.
 */
#ifndef FORGE_H
#define FORGE_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp/addr.h"
#include "tcp/state.h"

#define MARK		0x4b00
#define SERVER_PORT	80
#define CLIENT_PORT	40000
#define WAIT_MS		5000
#define TRANSFER	(1 << 20)

#define SYN		0x02
#define ACK		0x10

static inline void parse_address(__be32 addr[4], const char *text)
{
	__be32 v4;

	if (inet_pton(AF_INET6, text, addr) == 1)
		return;
	if (inet_pton(AF_INET, text, &v4) == 1)
		hk_addr_map(addr, v4);
}

static inline struct hk_flow_key make_key(const char *local, __u16 lport, const char *remote,
					  __u16 rport)
{
	struct hk_flow_key key = { .lport = htons(lport), .rport = htons(rport) };

	parse_address(key.laddr, local);
	parse_address(key.raddr, remote);
	return key;
}

static inline int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val));
}

static inline int get_int(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int val = -1;

	getsockopt(fd, level, name, &val, &len);
	return val;
}

/* Waits for one of @events; 0 after WAIT_MS */
static inline int wait_for(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, WAIT_MS) == 1 ? pfd.revents : 0;
}

static inline __u8 pattern(size_t pos)
{
	return pos * 31 + (pos >> 8) * 7 + (pos >> 16);
}

static inline ssize_t send_pattern(int fd, size_t pos, size_t end)
{
	__u8 buf[16384];
	size_t i, len = end - pos < sizeof(buf) ? end - pos : sizeof(buf);

	for (i = 0; i < len; i++)
		buf[i] = pattern(pos + i);
	return send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Bytes read, 0 at the end, -1 on errors; -EILSEQ on wrong bytes */
static inline ssize_t recv_pattern(int fd, size_t pos)
{
	__u8 buf[16384];
	ssize_t i, len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	for (i = 0; i < len; i++) {
		if (buf[i] != pattern(pos + i))
			return -EILSEQ;
	}
	return len;
}

/* Moves @len bytes from one descriptor to the other; returns how many arrived intact */
static inline int transfer(int from, int to, int len)
{
	int sent = 0, received = 0;
	struct pollfd pfd[2];
	ssize_t n;

	while (received < len) {
		pfd[0] = (struct pollfd){ .fd = sent < len ? from : -1, .events = POLLOUT };
		pfd[1] = (struct pollfd){ .fd = to, .events = POLLIN };
		if (poll(pfd, 2, WAIT_MS) <= 0)
			break;
		if (pfd[0].revents) {
			n = send_pattern(from, sent, len);
			if (n < 0 && errno != EAGAIN)
				break;
			sent += n > 0 ? n : 0;
		}
		if (pfd[1].revents) {
			n = recv_pattern(to, received);
			if (n <= 0)
				break;
			received += n;
		}
	}
	return received;
}

/* What the next read gives: bytes, 0 at the end, or a negative errno */
static inline ssize_t read_outcome(int fd)
{
	char buf[64];
	ssize_t n;

	if (!wait_for(fd, POLLIN))
		return -ETIMEDOUT;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static inline int tcp_state_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_state;
}

static inline void set_scale(struct hk_tcp_state *state, __u8 snd, __u8 rcv)
{
	state->wscale = true;
	state->snd_wscale = snd;
	state->rcv_wscale = rcv;
}

#endif /* FORGE_H */
