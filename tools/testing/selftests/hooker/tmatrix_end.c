// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: how connections end, and ports that are used again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tmatrix.h"

#define WAIT_MS		3000
#define NR_REUSE	3
#define NR_BEHIND	20

#define ALL_EVENTS	(POLLIN | POLLOUT | POLLRDHUP)

static void say_events(struct tmx *t, int fd, short events)
{
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, events, WAIT_MS)));
}

static int so_error(int fd)
{
	return tm_get(fd, SOL_SOCKET, SO_ERROR);
}

/* ---- FIN ---- */

static void client_half(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, TM_SIZE);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_ret(t, "send", send(fd, "x", 1, MSG_NOSIGNAL));
	tm_log(t, "received: %d", tm_recv(t, fd, TM_BIG));
	tm_end(t, fd);
}

static void server_half(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_recv(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_log(t, "half closed: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_send(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void client_half_other(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_recv(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_log(t, "half closed: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_send(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void server_half_other(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_send(t, fd, TM_SIZE);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_log(t, "received: %d", tm_recv(t, fd, TM_BIG));
	tm_end(t, fd);
}

/* Neither knows of the other's FIN when it sends its own */
static void close_both(struct tmx *t, int fd)
{
	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	tm_end(t, fd);
}

static void client_close_both(struct tmx *t)
{
	close_both(t, tm_connect(t));
}

static void server_close_both(struct tmx *t)
{
	close_both(t, tm_accept_one(t));
}

/* What was sent before close() arrives, though nobody waits for it */
static void client_close_behind(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, TM_BIG);
	tm_close(t, fd);
}

static void server_close_behind(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_sleep_ms(100);
	tm_log(t, "received: %d", tm_recv(t, fd, TM_BIG));
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	say_events(t, fd, ALL_EVENTS);
	tm_close(t, fd);
}

static void client_shut_rd(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_ret(t, "shutdown", shutdown(fd, SHUT_RD));
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_sync(t);
	tm_sync(t);
	/* Linux takes bytes after SHUT_RD, and hands them out */
	tm_wait_bytes(t, fd, 1000);
	tm_log(t, "received: %d", tm_recv(t, fd, 1000));
	tm_send(t, fd, TM_SIZE);
	tm_end(t, fd);
}

static void server_shut_rd(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_sync(t);
	tm_send(t, fd, 1000);
	tm_sync(t);
	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_end(t, fd);
}

static void client_shut_rdwr(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_send(t, fd, TM_SIZE);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_RDWR));
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_ret(t, "send", send(fd, &c, 1, MSG_NOSIGNAL));
	tm_sync(t);
	tm_ret(t, "shutdown again", shutdown(fd, SHUT_RDWR));
	tm_close(t, fd);
}

static void server_shut_rdwr(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_recv(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
	tm_sync(t);
}

/* SO_LINGER with time: close() returns when all has arrived */
static void client_linger(struct tmx *t)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	int fd = tm_connect(t);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	tm_send(t, fd, TM_SIZE);
	tm_close(t, fd);
}

static void server_linger(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* ---- reset ---- */

static void client_rst(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	tm_close_rst(t, fd);
	tm_sync(t);
}

/* Each error is told once */
static void server_so_error(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	say_events(t, fd, ALL_EVENTS & ~POLLOUT);
	tm_log(t, "SO_ERROR: %s", tm_errname(so_error(fd)));
	tm_log(t, "SO_ERROR: %d", so_error(fd));
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_ret(t, "send", send(fd, &c, 1, MSG_NOSIGNAL));
	tm_close(t, fd);
	tm_sync(t);
}

static void server_rst_recv(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_close(t, fd);
	tm_sync(t);
}

static sig_atomic_t nr_pipe;

static void on_pipe(int sig)
{
	(void)sig;
	nr_pipe++;
}

/* First ECONNRESET, then EPIPE and its signal */
static void server_rst_send(struct tmx *t)
{
	int fd = tm_accept_one(t);

	signal(SIGPIPE, on_pipe);
	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	say_events(t, fd, ALL_EVENTS & ~POLLOUT);
	tm_ret(t, "send", send(fd, "x", 1, 0));
	tm_log(t, "%d times SIGPIPE", (int)nr_pipe);
	tm_ret(t, "send", send(fd, "x", 1, 0));
	tm_log(t, "%d times SIGPIPE", (int)nr_pipe);
	tm_close(t, fd);
	tm_sync(t);
}

static void server_rst_epoll(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_sync(t);
	say_events(t, fd, ALL_EVENTS & ~POLLOUT);
	tm_log(t, "with room: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_close(t, fd);
	tm_sync(t);
}

/* Data that came before the reset; an implementation may keep it or not, but the end is a reset */
static void client_unread(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_wait_bytes(t, fd, 1000);
	/* close() with bytes unread is a reset */
	tm_close(t, fd);
	tm_sync(t);
}

static void server_unread(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_send(t, fd, 1000);
	tm_sync(t);
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	tm_close(t, fd);
	tm_sync(t);
}

/* A reset right behind bytes: they come first, as long as nothing is lost on the way */
static void client_behind(struct tmx *t)
{
	int i, fd;

	tm_find(t);
	for (i = 0; i < NR_BEHIND; i++) {
		fd = tm_socket(t);
		connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
		tm_sync(t);
		tm_send(t, fd, 1000);
		tm_close_rst(t, fd);
		tm_sync(t);
	}
}

static void server_behind(struct tmx *t)
{
	int lfd = tm_listen(t, 5), i, fd;
	char buf[1500];

	for (i = 0; i < NR_BEHIND; i++) {
		fd = tm_accept(t, lfd);
		tm_sync(t);
		tm_sync(t);
		tm_poll(fd, 0, WAIT_MS);
		tm_ret(t, "recv", recv(fd, buf, sizeof(buf), 0));
		tm_ret(t, "recv", recv(fd, buf, sizeof(buf), 0));
		close(fd);
	}
}

/* The client had closed, and knows nothing of what comes */
static void client_closed(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_close(t, fd);
	tm_sync(t);
	tm_sync(t);
}

static void server_closed(struct tmx *t)
{
	int fd = tm_accept_one(t), i;
	char c;

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_sync(t);
	tm_ret(t, "send", send(fd, "x", 1, MSG_NOSIGNAL));
	for (i = 0; i < 150 && !(tm_poll(fd, 0, 0) & POLLERR); i++)
		tm_sleep_ms(20);
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, ALL_EVENTS, 0)));
	tm_ret(t, "send", send(fd, "x", 1, MSG_NOSIGNAL));
	tm_close(t, fd);
	tm_sync(t);
}

/* Two connections that the client has closed; a second later its kernel knows nothing of them */
static void client_orphan(struct tmx *t)
{
	int fds[2], i;

	tm_find(t);
	for (i = 0; i < 2; i++) {
		fds[i] = tm_socket(t);
		tm_set(fds[i], IPPROTO_TCP, TCP_LINGER2, 1);
		tm_connect_fd(t, fds[i]);
		tm_exchange(t, fds[i], TM_SIZE);
	}
	for (i = 0; i < 2; i++)
		tm_close(t, fds[i]);
	tm_sync(t);
	tm_sync(t);
}

/* One of them gets data, the other a FIN: both are answered by a reset */
static void server_orphan(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fds[2], i;
	char c;

	for (i = 0; i < 2; i++) {
		fds[i] = tm_accept(t, lfd);
		tm_exchange(t, fds[i], TM_SIZE);
	}
	for (i = 0; i < 2; i++)
		tm_ret(t, "recv at the end", recv(fds[i], &c, 1, 0));
	tm_sync(t);
	tm_sleep_ms(2500);
	tm_close(t, fds[1]);
	tm_ret(t, "send", send(fds[0], "x", 1, MSG_NOSIGNAL));
	tm_log(t, "poll: %s", tm_events(tm_poll(fds[0], 0, 10000)));
	tm_ret(t, "send", send(fds[0], "x", 1, MSG_NOSIGNAL));
	tm_close(t, fds[0]);
	tm_sync(t);
}

/* Before the server can have accepted it, it is over */
static void client_early_rst(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_close_rst(t, fd);
	tm_sync(t);
}

static void server_early_rst(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	char c;

	tm_sync(t);
	tm_sleep_ms(100);
	tm_nonblock(lfd, true);
	fd = tm_accept(t, lfd);
	if (fd >= 0)
		tm_ret(t, "recv", recv(fd, &c, 1, 0));
}

/* ---- ports used again ---- */

static int reuse_connect(struct tmx *t, int port)
{
	int fd = tm_bound(t, port);

	tm_connect_fd(t, fd);
	return fd;
}

static int first_connect(struct tmx *t)
{
	tm_find(t);
	return reuse_connect(t, 0);
}

/* The same four-tuple, at once, after the client's reset */
static void client_reuse_rst(struct tmx *t)
{
	int fd = first_connect(t), port = tm_port_of(fd), i;

	for (i = 0; i < NR_REUSE; i++) {
		tm_exchange(t, fd, TM_SIZE);
		tm_close_rst(t, fd);
		fd = reuse_connect(t, port);
	}
	tm_finish(t, fd);
}

static void server_reuse_rst(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd, i;
	char c;

	for (i = 0; i < NR_REUSE; i++) {
		fd = tm_accept(t, lfd);
		tm_exchange(t, fd, TM_SIZE);
		tm_ret(t, "recv", recv(fd, &c, 1, 0));
		close(fd);
	}
	tm_finish(t, tm_accept(t, lfd));
}

/* After the server's FIN came first: TIME_WAIT is on its side */
static void client_reuse_fin(struct tmx *t)
{
	int fd = first_connect(t), port = tm_port_of(fd), i;
	char c;

	for (i = 0; i < NR_REUSE; i++) {
		tm_exchange(t, fd, TM_SIZE);
		tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
		tm_close(t, fd);
		tm_sync(t);
		tm_sleep_ms(50);	/* its FIN is acknowledged by then */
		fd = reuse_connect(t, port);
	}
	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

static void server_reuse_fin(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd, i;

	for (i = 0; i < NR_REUSE + 1; i++) {
		fd = tm_accept(t, lfd);
		tm_exchange(t, fd, TM_SIZE);
		tm_end(t, fd);
		if (i < NR_REUSE)
			tm_sync(t);
	}
}

/* The client's FIN comes first: TIME_WAIT is on its side. Whether its port is free is Linux's */
static void client_time_wait(struct tmx *t)
{
	int fd = first_connect(t), port = tm_port_of(fd);

	tm_exchange(t, fd, TM_SIZE);
	tm_end(t, fd);
	tm_sync(t);
	tm_sleep_ms(50);
	fd = tm_bound(t, port);
	tm_send_u64(t, !tm_connect_fd(t, fd));
	if (tm_recv_u64(t))
		tm_exchange(t, fd, TM_SIZE);
	else
		t->taken--;
	tm_close(t, fd);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_time_wait(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	__u64 connected;
	char c;

	fd = tm_accept(t, lfd);
	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
	tm_sync(t);
	connected = tm_recv_u64(t);
	tm_send_u64(t, connected);
	if (connected)
		tm_exchange(t, tm_accept(t, lfd), TM_SIZE);
	tm_finish(t, tm_accept(t, lfd));
}

/* A server that starts again on its port, while what it had is in TIME_WAIT */
static void client_restart(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
	tm_sync(t);
	tm_sync(t);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_restart(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd, port = tm_port_of(lfd);

	fd = tm_accept(t, lfd);
	close(lfd);
	tm_exchange(t, fd, TM_SIZE);
	tm_end(t, fd);
	tm_sync(t);
	lfd = tm_bound(t, port);
	tm_ret(t, "listen", listen(lfd, 5));
	tm_sync(t);
	tm_finish(t, tm_accept(t, lfd));
}

const struct tm_mode tm_modes_end[] = {
	{ "half_close", "the client's FIN, then data from the server", client_half, server_half,
	  1, 0 },
	{ "half_close_server", "the server's FIN, then data from the client", client_half_other,
	  server_half_other, 1, 0 },
	{ "close_both", "both FINs at once", client_close_both, server_close_both, 1, 0 },
	{ "close_behind", "close() behind 300 KB", client_close_behind, server_close_behind, 1,
	  0 },
	{ "shut_rd", "shutdown(SHUT_RD), then data", client_shut_rd, server_shut_rd, 1,
	  TM_NOLANE },
	{ "shut_rdwr", "shutdown(SHUT_RDWR)", client_shut_rdwr, server_shut_rdwr, 1,
	  TM_CLOCK },
	{ "linger", "SO_LINGER with time", client_linger, server_linger, 1, 0 },
	{ "reset_so_error", "SO_ERROR after a reset", client_rst, server_so_error, 1, 0 },
	{ "reset_recv", "recv() after a reset", client_rst, server_rst_recv, 1, TM_NOLANE },
	{ "reset_send", "send() after a reset", client_rst, server_rst_send, 1, TM_NOLANE },
	{ "reset_poll", "poll() and shutdown() after a reset", client_rst, server_rst_epoll, 1,
	  0 },
	{ "reset_unread", "close() with bytes unread", client_unread, server_unread, 1,
	  TM_NOLANE },
	{ "reset_behind", "reset right behind bytes", client_behind, server_behind, NR_BEHIND,
	  TM_CLOCK | TM_NOLANE },
	{ "reset_closed", "data for a socket that was closed", client_closed, server_closed, 1,
	  0 },
	{ "reset_orphan", "data for a socket of which nothing is left", client_orphan,
	  server_orphan, 2, 0 },
	{ "reset_early", "reset before accept()", client_early_rst, server_early_rst,
	  TM_ANY, TM_CLOCK },
	{ "reuse_reset", "the same ports, after resets", client_reuse_rst,
	  server_reuse_rst, NR_REUSE + 1, TM_CLOCK | TM_NOLANE },
	{ "reuse_fin", "the same ports, after the server's FIN", client_reuse_fin,
	  server_reuse_fin, NR_REUSE + 1, TM_CLOCK },
	{ "time_wait", "the client's port in TIME_WAIT", client_time_wait, server_time_wait, 3,
	  0 },
	{ "server_restart", "bind() and listen() again, TIME_WAIT there", client_restart,
	  server_restart, 2, 0 },
	{ 0 }
};
