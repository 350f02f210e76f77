// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: connect() in all its ways, with an end or without.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "tmatrix.h"

#define WAIT_MS		4000
#define QUIET_MS	60
#define NOBODY_MS	300

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif

static void client_plain(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

/* ---- without blocking ---- */

static int start_connect(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_nonblock(fd, true);
	tm_connect_fd(t, fd);
	return fd;
}

/* After its connect() is done: as any connection */
static void use(struct tmx *t, int fd)
{
	tm_log(t, "SO_ERROR: %s", tm_get(fd, SOL_SOCKET, SO_ERROR) ? "set" : "0");
	tm_nonblock(fd, false);
	tm_finish(t, fd);
}

static void client_poll(struct tmx *t)
{
	int fd = start_connect(t);

	tm_log(t, "poll at once: %s", tm_events(tm_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLIN | POLLOUT | POLLRDHUP, WAIT_MS)));
	use(t, fd);
}

static void client_select(struct tmx *t)
{
	struct timeval tv = { .tv_sec = WAIT_MS / 1000 };
	fd_set rd, wr, ex;
	int fd = start_connect(t);

	FD_ZERO(&rd);
	FD_ZERO(&wr);
	FD_ZERO(&ex);
	FD_SET(fd, &rd);
	FD_SET(fd, &wr);
	FD_SET(fd, &ex);
	tm_ret(t, "select", select(fd + 1, &rd, &wr, &ex, &tv));
	tm_log(t, "read %d write %d except %d", !!FD_ISSET(fd, &rd), !!FD_ISSET(fd, &wr),
	       !!FD_ISSET(fd, &ex));
	use(t, fd);
}

static int epoll_next(int ep, unsigned int ms)
{
	struct epoll_event ev = { 0 };

	return epoll_wait(ep, &ev, 1, ms) == 1 ? (int)ev.events : 0;
}

static int epoll_on(int fd, unsigned int flags)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | flags };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	return ep;
}

/* Reads until EAGAIN, as one has to with edges */
static void drain(struct tmx *t, int fd, __u64 len)
{
	char buf[TM_SIZE];
	ssize_t n;
	__u64 sum = 0;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		tm_is_pattern(t, buf, sum, n);
		sum += n;
	}
	tm_ret(t, "recv at the end", n);
	tm_log(t, "%llu of %llu bytes", sum, len);
}

static void client_epoll(struct tmx *t)
{
	int fd = start_connect(t), ep = epoll_on(fd, 0);

	tm_log(t, "at once: %s", tm_events(epoll_next(ep, 0)));
	tm_log(t, "connected: %s", tm_events(epoll_next(ep, WAIT_MS)));
	tm_log(t, "again: %s", tm_events(epoll_next(ep, WAIT_MS)));
	close(ep);
	use(t, fd);
}

/* Every edge has its reason: none comes without, and none is missed */
static void client_epoll_et(struct tmx *t)
{
	int fd = start_connect(t), ep = epoll_on(fd, EPOLLET);

	tm_log(t, "at once: %s", tm_events(epoll_next(ep, 0)));
	tm_log(t, "connected: %s", tm_events(epoll_next(ep, WAIT_MS)));
	tm_log(t, "nothing more: %s", tm_events(epoll_next(ep, QUIET_MS)));
	tm_log(t, "SO_ERROR: %d", tm_get(fd, SOL_SOCKET, SO_ERROR));
	tm_sync(t);
	tm_log(t, "bytes: %s", tm_events(epoll_next(ep, WAIT_MS)));
	tm_wait_bytes(t, fd, 1000);
	drain(t, fd, 1000);
	epoll_next(ep, 0);		/* bytes may have come in two segments */
	tm_log(t, "nothing more: %s", tm_events(epoll_next(ep, QUIET_MS)));
	tm_sync(t);
	tm_log(t, "end: %s", tm_events(epoll_next(ep, WAIT_MS)));
	drain(t, fd, 0);
	tm_log(t, "nothing more: %s", tm_events(epoll_next(ep, QUIET_MS)));
	tm_close(t, fd);
}

static void server_epoll_et(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_sync(t);
	tm_send(t, fd, 1000);
	tm_sync(t);
	tm_end(t, fd);
}

static void client_again(struct tmx *t)
{
	int fd = start_connect(t);

	tm_connect_fd(t, fd);
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, WAIT_MS)));
	tm_connect_fd(t, fd);
	tm_connect_fd(t, fd);
	use(t, fd);
}

static void client_send_early(struct tmx *t)
{
	int fd = start_connect(t);
	char c = 0;

	tm_ret(t, "send too early", send(fd, &c, 1, MSG_NOSIGNAL));
	tm_ret(t, "recv too early", recv(fd, &c, 1, 0));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, WAIT_MS)));
	use(t, fd);
}

/* ---- refused, given up, interrupted ---- */

/* A port of which nobody else makes a listener meanwhile */
static void server_refuses(struct tmx *t)
{
	int fd = tm_bound(t, 0);

	tm_send_u64(t, tm_port_of(fd));
	tm_sync(t);
	close(fd);
}

static void client_refused(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_close(t, fd);
	tm_sync(t);
}

static void client_refused_poll(struct tmx *t)
{
	int fd = start_connect(t), err;

	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLIN | POLLOUT | POLLRDHUP, WAIT_MS)));
	err = tm_get(fd, SOL_SOCKET, SO_ERROR);
	tm_log(t, "SO_ERROR: %s", tm_errname(err));
	tm_log(t, "SO_ERROR: %s", tm_get(fd, SOL_SOCKET, SO_ERROR) ? "still" : "read");
	tm_close(t, fd);
	tm_sync(t);
}

/* A listener that must not see a connection, or must see its end only */
static void server_nobody(struct tmx *t)
{
	int lfd = tm_listen(t, 5);

	tm_sync(t);
	tm_log(t, "poll: %s", tm_events(tm_poll(lfd, POLLIN, NOBODY_MS)));
	close(lfd);
}

/* The SYN-ACK comes to nobody */
static void client_cancel(struct tmx *t)
{
	int fd = start_connect(t);

	tm_close(t, fd);
	tm_sync(t);
}

/* shutdown() of what is not connected yet */
static void client_shut(struct tmx *t)
{
	int fd = start_connect(t);

	tm_ret(t, "shutdown", shutdown(fd, SHUT_RDWR));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLIN | POLLOUT | POLLRDHUP, WAIT_MS)));
	tm_log(t, "SO_ERROR: %s", tm_errname(tm_get(fd, SOL_SOCKET, SO_ERROR)));
	tm_close(t, fd);
	tm_sync(t);
}

static void client_timeout(struct tmx *t)
{
	int fd;

	tm_find(t);
	tm_link(t, "both blackhole 6");
	fd = tm_socket(t);
	tm_timeout(fd, 100);
	tm_connect_fd(t, fd);
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, 0)));
	tm_close(t, fd);
	tm_link(t, "both blackhole none");
	tm_sync(t);
}

/* The other end of connect(): the SYNs end before anybody answers */
static void client_syn_retries(struct tmx *t)
{
	int fd;

	tm_find(t);
	tm_link(t, "both blackhole 6");
	fd = tm_socket(t);
	tm_set(fd, IPPROTO_TCP, TCP_SYNCNT, 1);
	tm_connect_fd(t, fd);
	tm_close(t, fd);
	tm_link(t, "both blackhole none");
	tm_sync(t);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* SIGUSR1 after so many milliseconds, once; SIGALRM is taken */
static void set_timer(unsigned int ms, int flags)
{
	struct sigevent sev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec it = { .it_value.tv_nsec = ms * 1000000L };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };
	timer_t timer;

	sigaction(SIGUSR1, &sa, NULL);
	timer_create(CLOCK_MONOTONIC, &sev, &timer);
	timer_settime(timer, 0, &it, NULL);
}

static void client_signal(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_timer(2, 0);
	tm_connect_fd(t, fd);
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLOUT, WAIT_MS)));
	use(t, fd);
}

static void client_signal_restart(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_timer(2, SA_RESTART);
	tm_connect_fd(t, fd);
	use(t, fd);
}

/* connect(AF_UNSPEC) resets the connection and leaves a socket to be used again */
static void client_unspec(struct tmx *t)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "connect to nowhere", connect(fd, &none, sizeof(none)));
	tm_sync(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_unspec(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	char c;

	fd = tm_accept(t, lfd);
	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_close(t, fd);
	tm_sync(t);
	tm_finish(t, tm_accept(t, lfd));
}

/* A socket that was refused may try again */
static void client_retry(struct tmx *t)
{
	int fd = tm_socket(t);

	tm_find(t);
	tm_connect_fd(t, fd);
	tm_find(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_retry(struct tmx *t)
{
	int fd = tm_bound(t, 0);

	tm_send_u64(t, tm_port_of(fd));
	tm_server_one(t);
	close(fd);
}

/* ---- sockets that stay plain TCP, or might ---- */

/* In the SYN if the cookie is known: the second time */
static void client_fastopen(struct tmx *t)
{
	char buf[100];
	int fd, i;

	tm_find(t);
	tm_sysctl(t, "ipv4/tcp_fastopen", 3);
	tm_sync(t);
	for (i = 0; i < 2; i++) {
		fd = tm_socket(t);
		tm_fill(buf, TM_UP, 0, sizeof(buf));
		tm_ret(t, "sendto", sendto(fd, buf, sizeof(buf), MSG_FASTOPEN,
					   (struct sockaddr *)&t->addr, t->addrlen));
		tm_recv(t, fd, 100);
		tm_finish(t, fd);
	}
}

static void client_fastopen_connect(struct tmx *t)
{
	int fd, i;

	tm_find(t);
	tm_sysctl(t, "ipv4/tcp_fastopen", 3);
	tm_sync(t);
	for (i = 0; i < 2; i++) {
		fd = tm_socket(t);
		tm_set(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
		tm_connect_fd(t, fd);
		tm_send(t, fd, 100);
		tm_recv(t, fd, 100);
		tm_finish(t, fd);
	}
}

static void server_fastopen(struct tmx *t)
{
	int lfd, fd, i;

	tm_sysctl(t, "ipv4/tcp_fastopen", 3);
	lfd = tm_listen(t, 5);
	tm_set(lfd, IPPROTO_TCP, TCP_FASTOPEN, 5);
	tm_sync(t);
	for (i = 0; i < 2; i++) {
		fd = tm_accept(t, lfd);
		tm_recv(t, fd, 100);
		tm_send(t, fd, 100);
		tm_finish(t, fd);
	}
}

/* The listener would, the client doesn't */
static void server_fastopen_idle(struct tmx *t)
{
	int lfd;

	tm_sysctl(t, "ipv4/tcp_fastopen", 3);
	lfd = tm_listen(t, 5);
	tm_set(lfd, IPPROTO_TCP, TCP_FASTOPEN, 5);
	tm_finish(t, tm_accept(t, lfd));
}

static int mptcp_socket(struct tmx *t)
{
	int fd = socket(t->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	if (fd < 0)
		tm_skip(t, "no MPTCP sockets [kernel]");
	return fd;
}

static void client_mptcp(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = mptcp_socket(t);
	if (fd < 0)
		fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_mptcp(struct tmx *t)
{
	int lfd = mptcp_socket(t);

	if (lfd < 0)
		lfd = tm_socket(t);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

static void client_device(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_ret(t, "SO_BINDTODEVICE", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void client_mark(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_set(fd, SOL_SOCKET, SO_MARK, 77);
	tm_connect_fd(t, fd);
	tm_log(t, "SO_MARK: %d", tm_get(fd, SOL_SOCKET, SO_MARK));
	tm_finish(t, fd);
}

static void client_bound(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_bound(t, 0);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

/* IPv4 from a socket of IPv6 */
static void client_mapped(struct tmx *t)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in *sin = (struct sockaddr_in *)&t->addr;
	int fd;

	tm_find(t);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	sin6.sin6_addr.s6_addr[10] = 0xff;
	sin6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&sin6.sin6_addr.s6_addr[12], &sin->sin_addr, 4);
	sin6.sin6_port = sin->sin_port;
	tm_ret(t, "connect", connect(fd, (struct sockaddr *)&sin6, sizeof(sin6)));
	tm_finish(t, fd);
}

static int cross(struct tmx *t, int fd)
{
	tm_timeout(fd, WAIT_MS);
	tm_send_u64(t, tm_port_of(fd));
	t->addr = t->other;
	tm_find(t);
	tm_sync(t);
	return connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
}

/*
 * SYNs cross: nobody listens, and both are connected. On a machine that is busy one may come
 * before the other's connect(), is refused, and both sides know it.
 */
static void crossed(struct tmx *t)
{
	int fd, err, tries = 20;
	__u64 again;

	for (;;) {
		fd = tm_bound(t, 0);
		err = cross(t, fd) ? errno : 0;
		again = err == ECONNREFUSED;
		tm_send_u64(t, again);
		again |= tm_recv_u64(t);
		if (!again || --tries == 0)
			break;
		close(fd);
	}
	errno = err;
	tm_ret(t, "connect", err ? -1 : 0);
	tm_finish(t, fd);
}

const struct tm_mode tm_modes_open[] = {
	{ "connect", "connect() that blocks", client_plain, tm_server_one, 1, TM_HELD },
	{ "connect_poll", "connect() without blocking, poll()", client_poll, tm_server_one, 1,
	  TM_HELD },
	{ "connect_select", "the same, select()", client_select, tm_server_one, 1, 0 },
	{ "connect_epoll", "the same, epoll, level-triggered", client_epoll, tm_server_one, 1,
	  0 },
	{ "connect_epoll_et", "the same, epoll, edge-triggered", client_epoll_et,
	  server_epoll_et, 1, TM_HELD | TM_CLOCK | TM_NOLANE },
	{ "connect_again", "connect() once more, before and after", client_again, tm_server_one,
	  1, TM_CLOCK },
	{ "connect_send_early", "send() and recv() before it is connected", client_send_early,
	  tm_server_one, 1, 0 },
	{ "connect_refused", "connect() to a closed port", client_refused, server_refuses, 0, 0 },
	{ "connect_refused_poll", "the same without blocking", client_refused_poll,
	  server_refuses, 0, 0 },
	{ "connect_retry", "connect() once more after it was refused", client_retry,
	  server_retry, 1, 0 },
	{ "connect_cancel", "close() before the SYN-ACK", client_cancel, server_nobody, 0,
	  TM_HELD },
	{ "connect_shutdown", "shutdown() before the SYN-ACK", client_shut, server_nobody, 0,
	  TM_HELD },
	{ "connect_timeout", "SO_SNDTIMEO ends connect()", client_timeout, server_nobody, 0,
	  TM_LINK },
	{ "connect_syn_retries", "TCP_SYNCNT ends connect()", client_syn_retries, server_nobody,
	  0, TM_LINK | TM_LONG },
	{ "connect_signal", "a signal interrupts connect()", client_signal, tm_server_one, 1,
	  TM_HELD | TM_CLOCK },
	{ "connect_signal_restart", "a signal doesn't, with SA_RESTART", client_signal_restart,
	  tm_server_one, 1, TM_HELD | TM_CLOCK },
	{ "connect_unspec", "connect(AF_UNSPEC), then the socket once more", client_unspec,
	  server_unspec, 2, TM_NOLANE },
	{ "connect_bound", "connect() from a bound address", client_bound, tm_server_one, 1, 0 },
	{ "connect_mapped", "an IPv6 socket and an IPv4-mapped address", client_mapped,
	  tm_server_one, 1, TM_ONLY4 },
	{ "connect_device", "SO_BINDTODEVICE of the client", client_device, tm_server_one, 0, 0 },
	{ "connect_mark", "SO_MARK of the client", client_mark, tm_server_one, 0, 0 },
	{ "fastopen", "MSG_FASTOPEN, without and with a cookie", client_fastopen,
	  server_fastopen, 0, 0 },
	{ "fastopen_connect", "TCP_FASTOPEN_CONNECT", client_fastopen_connect, server_fastopen,
	  0, 0 },
	{ "fastopen_idle", "a listener with TCP_FASTOPEN", client_plain, server_fastopen_idle, 1,
	  0 },
	{ "mptcp", "MPTCP on both sides", client_mptcp, server_mptcp, 0, TM_CLOCK },
	{ "mptcp_client", "MPTCP to a listener without", client_mptcp, tm_server_one, 0, 0 },
	{ "mptcp_server", "to a listener with MPTCP", client_plain, server_mptcp, 0, 0 },
	{ "crossed", "simultaneous open", crossed, crossed, 0, TM_CLOCK },
	{ 0 }
};
