// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: listen() and accept(), queues that are full, handshakes that lose packets.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tmatrix.h"

#define WAIT_MS		8000
#define NR_CROWD	6
#define NR_GROUP	4
#define NR_TO_GROUP	16

#ifndef IP_TRANSPARENT
#define IP_TRANSPARENT	19
#endif
#define IPV6_TRANSPARENT_OPT	75

static void client_one(struct tmx *t)
{
	tm_finish(t, tm_connect(t));
}

/* ---- queues ---- */

/*
 * More than the queue holds, at the same time. All of them speak before any waits for an
 * answer: in which order they are accepted is nobody's business.
 */
static void client_crowd(struct tmx *t)
{
	int fds[NR_CROWD], i, right = 0;

	tm_find(t);
	for (i = 0; i < NR_CROWD; i++) {
		fds[i] = tm_socket(t);
		tm_nonblock(fds[i], true);
		connect(fds[i], (struct sockaddr *)&t->addr, t->addrlen);
	}
	tm_sync(t);
	for (i = 0; i < NR_CROWD; i++) {
		tm_log(t, "poll: %s", tm_events(tm_poll(fds[i], POLLOUT, WAIT_MS)));
		tm_nonblock(fds[i], false);
		tm_timeout(fds[i], 4 * WAIT_MS);
		tm_send(t, fds[i], 100);
	}
	for (i = 0; i < NR_CROWD; i++)
		right += tm_recv(t, fds[i], TM_SIZE);
	tm_log(t, "%d connections in order", right);
	for (i = 0; i < NR_CROWD; i++)
		close(fds[i]);
}

static void accept_crowd(struct tmx *t, int backlog, unsigned int late_ms)
{
	int lfd = tm_listen(t, backlog), fd, i, right = 0;

	tm_sync(t);
	tm_sleep_ms(late_ms);
	tm_timeout(lfd, 4 * WAIT_MS);
	for (i = 0; i < NR_CROWD; i++) {
		fd = tm_accept(t, lfd);
		if (fd < 0)
			break;
		right += tm_recv(t, fd, 100) && tm_send(t, fd, TM_SIZE);
		close(fd);
	}
	tm_log(t, "%d connections in order", right);
}

static void server_queue_full(struct tmx *t)
{
	accept_crowd(t, 1, 300);
}

static void server_queue_none(struct tmx *t)
{
	accept_crowd(t, 0, 300);
}

/* The client thinks that it is connected long before there is room for it */
static void server_queue_late(struct tmx *t)
{
	accept_crowd(t, 1, 7500);
}

static void client_sequence(struct tmx *t)
{
	int i, fd;

	tm_find(t);
	for (i = 0; i < 4; i++) {
		fd = tm_socket(t);
		tm_connect_fd(t, fd);
		tm_finish(t, fd);
	}
}

static void server_backlog_one(struct tmx *t)
{
	int lfd = tm_listen(t, 1), i;

	for (i = 0; i < 4; i++)
		tm_finish(t, tm_accept(t, lfd));
}

static void client_cookies(struct tmx *t)
{
	int i;

	for (i = 0; i < 3; i++)
		tm_finish(t, tm_connect(t));
}

/* Each connection has a cookie, whether the queue is full or not */
static void server_cookies(struct tmx *t)
{
	int lfd = tm_socket(t), i;

	tm_sysctl(t, "ipv4/tcp_syncookies", 2);
	tm_listen_fd(t, lfd, 5);
	for (i = 0; i < 3; i++) {
		tm_send_u64(t, tm_port_of(lfd));
		tm_finish(t, tm_accept(t, lfd));
	}
	tm_sysctl(t, "ipv4/tcp_syncookies", 1);
}

/* ---- when it is accepted ---- */

static void client_late(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, TM_SIZE);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_sync(t);
	tm_recv(t, fd, TM_SIZE);
	tm_end(t, fd);
}

/* All was sent, and the sender's direction closed, before accept() is called */
static void server_late(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	char c;

	tm_sync(t);
	tm_sleep_ms(200);
	fd = tm_accept(t, lfd);
	tm_recv(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_send(t, fd, TM_SIZE);
	tm_close(t, fd);
}

static void client_gone(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, 1000);
	tm_close(t, fd);
	tm_sync(t);
}

/* The client had closed before the accept() */
static void server_gone(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	char c;

	tm_sync(t);
	tm_sleep_ms(200);
	fd = tm_accept(t, lfd);
	tm_recv(t, fd, 1000);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

static void client_deferred(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_sync(t);
	tm_finish(t, fd);
}

/* TCP_DEFER_ACCEPT: a connection is one when there is something to read */
static void server_deferred(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;

	tm_set(lfd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	tm_sync(t);
	tm_log(t, "silent: %s", tm_events(tm_poll(lfd, POLLIN, 300)));
	tm_sync(t);
	fd = tm_accept(t, lfd);
	tm_log(t, "accepted: %s", tm_events(tm_poll(fd, POLLIN, 1000)));
	tm_finish(t, fd);
}

static void client_deferred_silent(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_recv(t, fd, 1000);
	tm_finish(t, fd);
}

/* A client that says nothing is accepted when the time is over */
static void server_deferred_silent(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;

	tm_set(lfd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
	fd = tm_accept(t, lfd);
	tm_send(t, fd, 1000);
	tm_finish(t, fd);
}

static void client_deferred_gone(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_sync(t);
	tm_sync(t);
	tm_ret(t, "send", send(fd, "x", 1, MSG_NOSIGNAL));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLIN, 10000)));
	tm_ret(t, "recv", recv(fd, &c, 1, MSG_DONTWAIT));
	tm_close(t, fd);
	tm_sync(t);
}

/* The listener is closed when the client is connected, and the server isn't */
static void server_deferred_gone(struct tmx *t)
{
	int lfd = tm_bound(t, 0);

	tm_set(lfd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30);
	tm_ret(t, "listen", listen(lfd, 5));
	tm_send_u64(t, tm_port_of(lfd));
	tm_sync(t);
	tm_close(t, lfd);
	tm_sync(t);
	tm_sync(t);
}

/* The same, longer than the daemon was ready to wait once */
static void server_deferred_long(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;

	tm_set(lfd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 7);
	fd = tm_accept(t, lfd);
	tm_send(t, fd, 1000);
	tm_finish(t, fd);
}

static void client_server_first(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_recv(t, fd, TM_BIG);
	tm_send(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void server_server_first(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_send(t, fd, TM_BIG);
	tm_recv(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void client_close_at_once(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* The RST may come before this process was told of the connection: then connect() has it */
static void client_reset_at_once(struct tmx *t)
{
	long ret;
	int fd;
	char c;

	tm_find(t);
	fd = tm_socket(t);
	ret = connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
	tm_ret(t, "connect and recv", ret ? ret : recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

static void server_close_at_once(struct tmx *t)
{
	tm_close(t, tm_accept_one(t));
}

static void server_rst_at_once(struct tmx *t)
{
	tm_close_rst(t, tm_accept_one(t));
}

/* ---- listeners that end ---- */

static void client_orphan(struct tmx *t)
{
	int fds[3], i;
	char c;

	tm_find(t);
	for (i = 0; i < 3; i++) {
		fds[i] = tm_socket(t);
		tm_connect_fd(t, fds[i]);
		tm_timeout(fds[i], WAIT_MS);
	}
	tm_send(t, fds[1], 100);
	tm_sync(t);
	for (i = 0; i < 3; i++) {
		tm_ret(t, "recv", recv(fds[i], &c, 1, 0));
		tm_close(t, fds[i]);
	}
}

/* Closed with connections in the queue: they are reset */
static void server_orphan(struct tmx *t)
{
	int lfd = tm_listen(t, 5);

	tm_sync(t);
	tm_sleep_ms(100);
	tm_close(t, lfd);
}

static void client_relisten(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_finish(t, fd);
	tm_sync(t);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	close(fd);
	tm_sync(t);
	tm_finish(t, tm_connect(t));
}

/* shutdown() makes a listener a closed socket, and listen() makes it one again */
static void server_relisten(struct tmx *t)
{
	int lfd = tm_listen(t, 5);

	tm_finish(t, tm_accept(t, lfd));
	tm_ret(t, "shutdown", shutdown(lfd, SHUT_RD));
	tm_accept(t, lfd);
	tm_sync(t);
	tm_sync(t);
	tm_ret(t, "listen", listen(lfd, 3));
	tm_send_u64(t, tm_port_of(lfd));	/* the old one was given back */
	tm_finish(t, tm_accept(t, lfd));
}

/* ---- listeners of many kinds ---- */

static void client_group(struct tmx *t)
{
	int i, fd;

	tm_find(t);
	for (i = 0; i < NR_TO_GROUP; i++) {
		fd = tm_socket(t);
		connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
		tm_exchange(t, fd, 1000);
		close(fd);
	}
}

/* SO_REUSEPORT: whichever of them the kernel chooses */
static void server_group(struct tmx *t)
{
	struct pollfd pfds[NR_GROUP] = { 0 };
	struct sockaddr_storage ss = t->addr;
	socklen_t len = sizeof(ss);
	int i, fd, nr = 0;

	for (i = 0; i < NR_GROUP; i++) {
		fd = tm_socket(t);
		tm_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (bind(fd, (struct sockaddr *)&ss, t->addrlen) || listen(fd, 8))
			tm_ret(t, "listen", -1);
		getsockname(fd, (struct sockaddr *)&ss, &len);
		pfds[i].fd = fd;
		pfds[i].events = POLLIN;
	}
	tm_send_u64(t, tm_port_of(fd));
	while (nr < NR_TO_GROUP && poll(pfds, NR_GROUP, WAIT_MS) > 0)
		for (i = 0; i < NR_GROUP; i++)
			if (pfds[i].revents & POLLIN) {
				fd = tm_accept(t, pfds[i].fd);
				tm_exchange(t, fd, 1000);
				close(fd);
				nr++;
			}
	tm_log(t, "%d connections", nr);
}

/* Any address of both families; the client is an IPv4 one or not */
static void server_dual(struct tmx *t)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 }, peer = { 0 };
	int lfd = socket(AF_INET6, SOCK_STREAM, 0), fd;
	socklen_t len = sizeof(peer);

	tm_set(lfd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(lfd, (struct sockaddr *)&sin6, sizeof(sin6)) || listen(lfd, 5))
		tm_ret(t, "listen", -1);
	tm_send_u64(t, tm_port_of(lfd));
	fd = accept(lfd, (struct sockaddr *)&peer, &len);
	tm_log(t, "peer: family %d, mapped %d, length %u", peer.sin6_family == AF_INET6,
	       IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr), len);
	tm_finish(t, fd);
}

static void server_any(struct tmx *t)
{
	int lfd;

	if (t->family == AF_INET)
		((struct sockaddr_in *)&t->addr)->sin_addr.s_addr = 0;
	else
		((struct sockaddr_in6 *)&t->addr)->sin6_addr = in6addr_any;
	lfd = tm_listen(t, 5);
	tm_finish(t, tm_accept(t, lfd));
}

static void server_device(struct tmx *t)
{
	int lfd = tm_socket(t);

	tm_ret(t, "SO_BINDTODEVICE", setsockopt(lfd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

static void server_mark(struct tmx *t)
{
	int lfd = tm_socket(t), fd;

	tm_set(lfd, SOL_SOCKET, SO_MARK, 78);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	fd = tm_accept(t, lfd);
	tm_log(t, "SO_MARK: %d", tm_get(fd, SOL_SOCKET, SO_MARK));
	tm_finish(t, fd);
}

/* Noticed at the next SYN */
static void server_mark_late(struct tmx *t)
{
	int lfd = tm_socket(t), fd;

	tm_listen_fd(t, lfd, 5);
	tm_set(lfd, SOL_SOCKET, SO_MARK, 79);
	tm_send_u64(t, tm_port_of(lfd));
	fd = tm_accept(t, lfd);
	tm_log(t, "SO_MARK: %d", tm_get(fd, SOL_SOCKET, SO_MARK));
	tm_finish(t, fd);
}

static void server_transparent(struct tmx *t)
{
	int lfd = tm_socket(t);

	if (t->family == AF_INET)
		tm_set(lfd, IPPROTO_IP, IP_TRANSPARENT, 1);
	else
		tm_set(lfd, IPPROTO_IPV6, IPV6_TRANSPARENT_OPT, 1);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

/* What an accepted socket has from its listener */
static void server_inherit(struct tmx *t)
{
	int lfd = tm_socket(t), fd;

	tm_set(lfd, IPPROTO_TCP, TCP_NODELAY, 1);
	tm_set(lfd, SOL_SOCKET, SO_KEEPALIVE, 1);
	tm_set(lfd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	tm_set(lfd, IPPROTO_TCP, TCP_USER_TIMEOUT, 7777);
	tm_set(lfd, SOL_SOCKET, SO_RCVBUF, 70000);
	tm_set(lfd, SOL_SOCKET, SO_SNDBUF, 80000);
	tm_set(lfd, SOL_SOCKET, SO_OOBINLINE, 1);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	fd = tm_accept(t, lfd);
	tm_log(t, "nodelay %d keepalive %d idle %d timeout %d",
	       tm_get(fd, IPPROTO_TCP, TCP_NODELAY), tm_get(fd, SOL_SOCKET, SO_KEEPALIVE),
	       tm_get(fd, IPPROTO_TCP, TCP_KEEPIDLE), tm_get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	tm_log(t, "rcvbuf %d sndbuf %d oobinline %d", tm_get(fd, SOL_SOCKET, SO_RCVBUF),
	       tm_get(fd, SOL_SOCKET, SO_SNDBUF), tm_get(fd, SOL_SOCKET, SO_OOBINLINE));
	tm_finish(t, fd);
}

static void client_epoll_listener(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_finish(t, fd);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static const char *next_edge(int ep, unsigned int ms)
{
	struct epoll_event ev = { 0 };

	return tm_events(epoll_wait(ep, &ev, 1, ms) == 1 ? (int)ev.events : 0);
}

/* An edge for each connection, and accept() says EAGAIN in between */
static void server_epoll_listener(struct tmx *t)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int lfd = tm_listen(t, 5), ep = epoll_create1(0), fd;

	tm_nonblock(lfd, true);
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
	tm_log(t, "first: %s", next_edge(ep, 2000));
	fd = tm_accept(t, lfd);
	tm_accept(t, lfd);
	tm_log(t, "nothing more: %s", next_edge(ep, 50));
	tm_sync(t);
	tm_finish(t, fd);
	tm_log(t, "second: %s", next_edge(ep, 2000));
	tm_finish(t, tm_accept(t, lfd));
}

/* ---- handshakes that lose packets ---- */

/*
 * The SYN vanishes, or what answers it: so many of them. Then the link is mended, before TCP
 * tries again: a third SYN has no offer.
 */
static void lose(struct tmx *t, const char *direction, unsigned int nr)
{
	__u64 end = tm_now_ms() + WAIT_MS, before;
	int fd;

	tm_find(t);
	before = tm_swallowed(t);
	tm_link(t, direction);
	fd = tm_socket(t);
	tm_nonblock(fd, true);
	tm_connect_fd(t, fd);
	while (tm_swallowed(t) < before + nr && tm_now_ms() < end)
		tm_sleep_ms(10);
	tm_link(t, "both blackhole none");
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, WAIT_MS)));
	tm_nonblock(fd, false);
	tm_finish(t, fd);
}

static void client_syn_lost(struct tmx *t)
{
	lose(t, "ab blackhole 6", 1);
}

static void client_synack_lost(struct tmx *t)
{
	lose(t, "ba blackhole 6", 1);
}

/* Two SYN-ACKs are lost, so the server's third one answers the client's third SYN: a plain one */
static void client_synack_lost_twice(struct tmx *t)
{
	lose(t, "ba blackhole 6", 2);
}

/* The handshake takes 80 ms, and the SYN half of it */
static void client_ack_lost(struct tmx *t)
{
	int fd;

	tm_find(t);
	tm_link(t, "both delay 40ms");
	fd = tm_socket(t);
	tm_nonblock(fd, true);
	tm_connect_fd(t, fd);
	tm_sleep_ms(60);
	tm_link(t, "ab blackhole 6");
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, WAIT_MS)));
	tm_sleep_ms(200);
	tm_link(t, "both blackhole none delay 5ms");
	tm_nonblock(fd, false);
	tm_recv(t, fd, 1000);
	tm_finish(t, fd);
}

/* Only a repeated SYN-ACK makes the client say again that it is connected */
static void server_ack_lost(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_send(t, fd, 1000);
	tm_finish(t, fd);
}

const struct tm_mode tm_modes_listen[] = {
	{ "queue_full", "six clients at once, backlog 1", client_crowd, server_queue_full,
	  TM_ANY, TM_LONG },
	{ "queue_none", "six clients at once, backlog 0", client_crowd, server_queue_none,
	  TM_ANY, TM_LONG },
	{ "queue_late", "the same, and accept() 7.5 s later", client_crowd, server_queue_late,
	  TM_ANY, TM_LONG },
	{ "backlog_one", "four clients in a row, backlog 1", client_sequence, server_backlog_one,
	  4, 0 },
	{ "syn_cookies", "net.ipv4.tcp_syncookies = 2", client_cookies, server_cookies, 0, 0 },
	{ "accept_late", "accept() when all has been sent", client_late, server_late, 1, 0 },
	{ "accept_gone", "accept() when the client has closed", client_gone, server_gone, 1, 0 },
	{ "defer_accept", "TCP_DEFER_ACCEPT", client_deferred, server_deferred, 1, TM_CLOCK },
	{ "defer_accept_silent", "TCP_DEFER_ACCEPT and a silent client", client_deferred_silent,
	  server_deferred_silent, 1, 0 },
	{ "defer_accept_long", "the same, 7 s", client_deferred_silent, server_deferred_long, 1,
	  TM_LONG },
	{ "defer_accept_gone", "the same, and the listener is closed", client_deferred_gone,
	  server_deferred_gone, TM_ANY, 0 },
	{ "server_first", "the server speaks first", client_server_first, server_server_first, 1,
	  0 },
	{ "accept_close", "accept(), close()", client_close_at_once, server_close_at_once, 1, 0 },
	{ "accept_reset", "accept(), reset", client_reset_at_once, server_rst_at_once, 1,
	  TM_NOLANE },
	{ "listener_closed", "closed with three connections queued", client_orphan,
	  server_orphan, 3, TM_NOLANE },
	{ "listener_again", "shutdown() of a listener, listen() again", client_relisten,
	  server_relisten, 2, 0 },
	{ "reuseport", "four listeners with SO_REUSEPORT", client_group, server_group,
	  NR_TO_GROUP, 0 },
	{ "listener_dual", "IPv6 listener for both families", client_one, server_dual, 1, 0 },
	{ "listener_any", "listener on any address", client_one, server_any, 1, 0 },
	{ "listener_device", "SO_BINDTODEVICE of the listener", client_one, server_device, 0, 0 },
	{ "listener_mark", "SO_MARK of the listener", client_one, server_mark, 0, 0 },
	{ "listener_mark_late", "SO_MARK set when it listens", client_one, server_mark_late, 0,
	  0 },
	{ "listener_transparent", "IP_TRANSPARENT listener", client_one, server_transparent, 1,
	  0 },
	{ "listener_inherit", "options inherited by accepted sockets", client_one,
	  server_inherit, 1, 0 },
	{ "listener_epoll_et", "edge-triggered listener", client_epoll_listener,
	  server_epoll_listener, 2, TM_CLOCK },
	{ "syn_lost", "SYN lost", client_syn_lost, tm_server_one, 1, TM_LINK },
	{ "synack_lost", "SYN-ACK lost", client_synack_lost, tm_server_one, 1, TM_LINK },
	{ "synack_lost_twice", "SYN-ACK lost more than once", client_synack_lost_twice,
	  tm_server_one, 0, TM_LINK | TM_LONG },
	{ "ack_lost", "third ACK lost", client_ack_lost, server_ack_lost, 1, TM_LINK },
	{ 0 }
};
