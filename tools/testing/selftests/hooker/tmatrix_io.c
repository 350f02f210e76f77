// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: sending and receiving, with all the flags and in all sizes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tmatrix.h"

#define NR_VECTORS	64

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY	0x4000000
#endif

/* A client that sends, and ends */
static void send_all(struct tmx *t, __u64 len)
{
	int fd = tm_connect(t);

	tm_send(t, fd, len);
	tm_end(t, fd);
}

static void client_sends(struct tmx *t)
{
	send_all(t, TM_SIZE);
}

static void client_sends_big(struct tmx *t)
{
	send_all(t, TM_BIG);
}

static void server_receives(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_end(t, fd);
}

static void server_receives_big(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_log(t, "received: %d", tm_recv(t, fd, TM_BIG));
	tm_end(t, fd);
}

/* ---- sizes ---- */

static void client_exchange_big(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void server_exchange_big(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_exchange(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void client_tiny(struct tmx *t)
{
	int fd = tm_connect(t), i;

	tm_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (i = 0; i < 3000; i++)
		tm_send_at(t, fd, TM_UP, i, 1);
	tm_end(t, fd);
}

static void server_tiny(struct tmx *t)
{
	int fd = tm_accept_one(t), i;

	for (i = 0; i < 3000; i++)
		tm_recv_at(t, fd, TM_UP, i, 1);
	tm_end(t, fd);
}

static void client_vectors(struct tmx *t)
{
	struct iovec iov[NR_VECTORS];
	char buf[NR_VECTORS * 8 * 97];
	size_t off = 0;
	int fd = tm_connect(t), i;

	tm_fill(buf, TM_UP, 0, sizeof(buf));
	for (i = 0; i < NR_VECTORS; i++) {
		iov[i].iov_base = buf + off;
		iov[i].iov_len = i % 8 * 97;	/* some are empty */
		off += iov[i].iov_len;
	}
	tm_ret(t, "writev", writev(fd, iov, NR_VECTORS));
	tm_end(t, fd);
}

static void server_vectors(struct tmx *t)
{
	size_t len = 97 * 28 * NR_VECTORS / 8;
	char buf[97 * 28 * NR_VECTORS / 8];
	struct iovec iov[3] = {
		{ buf, 1 }, { buf + 1, 10000 }, { buf + 10001, sizeof(buf) - 10001 },
	};
	int fd = tm_accept_one(t);

	tm_wait_bytes(t, fd, len);
	tm_ret(t, "readv", readv(fd, iov, 3));
	tm_is_pattern(t, buf, 0, len);
	tm_end(t, fd);
}

static void client_cork(struct tmx *t)
{
	int fd = tm_connect(t), i;

	tm_set(fd, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 10; i++)
		tm_send_at(t, fd, TM_UP, i * 10, 10);
	tm_sync(t);
	tm_sync(t);
	tm_set(fd, IPPROTO_TCP, TCP_CORK, 0);
	tm_sync(t);
	for (i = 10; i < 20; i++) {
		char buf[10];

		tm_fill(buf, TM_UP, i * 10, 10);
		tm_ret(t, "send MSG_MORE", send(fd, buf, 10, MSG_MORE));
	}
	tm_end(t, fd);
}

/* Less than a segment stays for 200 ms, unless the cork is taken off */
static void server_cork(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_sync(t);
	tm_log(t, "corked: %s", tm_events(tm_poll(fd, POLLIN, 80)));
	tm_sync(t);
	tm_sync(t);
	tm_recv_at(t, fd, TM_UP, 0, 100);
	tm_recv_at(t, fd, TM_UP, 100, 100);
	tm_end(t, fd);
}

static void client_zero(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_ret(t, "send nothing", send(fd, &c, 0, 0));
	tm_ret(t, "write nothing", write(fd, &c, 0));
	tm_finish(t, fd);
}

/* ---- flags of recv() ---- */

static void server_peek(struct tmx *t)
{
	int fd = tm_accept_one(t), i;
	char buf[500];

	tm_wait_bytes(t, fd, 500);
	for (i = 0; i < 3; i++) {
		tm_ret(t, "peek", recv(fd, buf, 500, MSG_PEEK));
		tm_is_pattern(t, buf, 0, 500);
	}
	tm_ret(t, "peek and wait", recv(fd, buf, 500, MSG_PEEK | MSG_WAITALL));
	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_end(t, fd);
}

/* SO_PEEK_OFF, for TCP since Linux 6.9 */
static void server_peek_off(struct tmx *t)
{
	int fd = tm_accept_one(t), on = 0;
	char buf[100];

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &on, sizeof(on)))
		tm_skip(t, "no SO_PEEK_OFF for TCP [kernel]");
	tm_wait_bytes(t, fd, 500);
	tm_ret(t, "peek", recv(fd, buf, 100, MSG_PEEK));
	tm_ret(t, "peek", recv(fd, buf, 100, MSG_PEEK));
	if (!t->skipped[0])
		tm_is_pattern(t, buf, 100, 100);
	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_end(t, fd);
}

static void client_pieces(struct tmx *t)
{
	int fd = tm_connect(t), i;

	tm_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (i = 0; i < 5; i++) {
		tm_send_at(t, fd, TM_UP, i * 1000, 1000);
		tm_sleep_ms(20);
	}
	tm_end(t, fd);
}

/* All at once, and less than all at the end */
static void server_waitall(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char buf[5000];

	tm_ret(t, "wait for all", recv(fd, buf, 3500, MSG_WAITALL));
	tm_is_pattern(t, buf, 0, 3500);
	tm_ret(t, "wait for all", recv(fd, buf, 5000, MSG_WAITALL));
	tm_is_pattern(t, buf, 3500, 1500);
	tm_end(t, fd);
}

static void server_trunc(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_wait_bytes(t, fd, 1000);
	/* TCP throws away what MSG_TRUNC asks for */
	tm_ret(t, "discard", recv(fd, NULL, 1000, MSG_TRUNC));
	tm_recv_at(t, fd, TM_UP, 1000, TM_SIZE - 1000);
	tm_end(t, fd);
}

static void client_dontwait(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_sync(t);
	tm_send(t, fd, 100);
	tm_end(t, fd);
}

static void server_dontwait(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char buf[200];

	tm_sync(t);
	tm_ret(t, "recv", recv(fd, buf, 200, MSG_DONTWAIT));
	tm_ret(t, "peek", recv(fd, buf, 200, MSG_DONTWAIT | MSG_PEEK));
	tm_sync(t);
	tm_wait_bytes(t, fd, 100);
	tm_ret(t, "recv", recv(fd, buf, 200, MSG_DONTWAIT));
	tm_is_pattern(t, buf, 0, 100);
	tm_end(t, fd);
}

/* ---- limits of time and size ---- */

static void client_silent(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_send(t, fd, TM_SIZE);
	tm_end(t, fd);
}

static void server_rcvtimeo(struct tmx *t)
{
	int fd = tm_accept_one(t);
	__u64 start = tm_now_ms(), took;
	char c;

	tm_timeout(fd, 100);
	tm_ret(t, "recv", recv(fd, &c, 1, 0));
	took = tm_now_ms() - start;
	tm_check(t, took >= 90 && took < 2000, "SO_RCVTIMEO");
	tm_timeout(fd, 5000);
	tm_sync(t);
	tm_log(t, "received: %d", tm_recv(t, fd, TM_SIZE));
	tm_end(t, fd);
}

/* Sends until the other side, which doesn't read, holds it up; then all of it arrives */
static void client_sndtimeo(struct tmx *t)
{
	static char buf[TM_BIG];
	int fd = tm_connect(t);
	__u64 sum = 0;
	ssize_t n;

	tm_set(fd, SOL_SOCKET, SO_SNDBUF, 50000);
	tm_timeout(fd, 150);
	do {
		tm_fill(buf, TM_UP, sum, sizeof(buf));
		n = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
		sum += n > 0 ? n : 0;
	} while (n > 0);
	tm_ret(t, "send", n);
	tm_send_u64(t, sum);
	tm_timeout(fd, 5000);
	tm_end(t, fd);
}

static void server_sndtimeo(struct tmx *t)
{
	int fd = tm_accept_one(t);
	__u64 sum = tm_recv_u64(t);

	tm_check(t, tm_recv(t, fd, sum), "bytes that send() took did not arrive");
	tm_end(t, fd);
}

static void client_lowat(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_send_at(t, fd, TM_UP, 0, 400);
	tm_sync(t);
	tm_sync(t);
	tm_send_at(t, fd, TM_UP, 400, 700);
	tm_end(t, fd);
}

/* Not readable before there is enough */
static void server_lowat(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char buf[1100];

	tm_set(fd, SOL_SOCKET, SO_RCVLOWAT, 1000);
	tm_log(t, "SO_RCVLOWAT: %d", tm_get(fd, SOL_SOCKET, SO_RCVLOWAT));
	tm_sync(t);
	tm_sync(t);
	tm_wait_bytes(t, fd, 400);
	tm_log(t, "too few: %s", tm_events(tm_poll(fd, POLLIN, 50)));
	tm_sync(t);
	tm_log(t, "enough: %s", tm_events(tm_poll(fd, POLLIN, 3000)));
	tm_ret(t, "recv", recv(fd, buf, 1100, MSG_WAITALL));
	tm_is_pattern(t, buf, 0, 1100);
	tm_end(t, fd);
}

static void client_buffers(struct tmx *t, int size)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_set(fd, SOL_SOCKET, SO_SNDBUF, size);
	tm_set(fd, SOL_SOCKET, SO_RCVBUF, size);
	tm_log(t, "sndbuf %d rcvbuf %d", tm_get(fd, SOL_SOCKET, SO_SNDBUF),
	       tm_get(fd, SOL_SOCKET, SO_RCVBUF));
	tm_connect_fd(t, fd);
	tm_exchange(t, fd, TM_BIG);
	tm_log(t, "sndbuf %d rcvbuf %d", tm_get(fd, SOL_SOCKET, SO_SNDBUF),
	       tm_get(fd, SOL_SOCKET, SO_RCVBUF));
	tm_end(t, fd);
}

static void server_buffers(struct tmx *t, int size)
{
	int lfd = tm_socket(t), fd;

	tm_set(lfd, SOL_SOCKET, SO_SNDBUF, size);
	tm_set(lfd, SOL_SOCKET, SO_RCVBUF, size);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	fd = tm_accept(t, lfd);
	tm_exchange(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void client_small_buffers(struct tmx *t)
{
	client_buffers(t, 1);
}

static void server_small_buffers(struct tmx *t)
{
	server_buffers(t, 1);
}

static void client_large_buffers(struct tmx *t)
{
	client_buffers(t, 1 << 30);
}

static void server_large_buffers(struct tmx *t)
{
	server_buffers(t, 1 << 30);
}

static void client_small_mss(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_set(fd, IPPROTO_TCP, TCP_MAXSEG, 536);
	tm_set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 3000);
	tm_connect_fd(t, fd);
	tm_exchange(t, fd, TM_SIZE);
	tm_log(t, "TCP_MAXSEG: %d", tm_get(fd, IPPROTO_TCP, TCP_MAXSEG));
	tm_end(t, fd);
}

static void client_pending(struct tmx *t)
{
	static char buf[TM_BIG];
	int fd = tm_connect(t);
	__u64 sum = 0;
	ssize_t n;

	tm_nonblock(fd, true);
	for (;;) {
		tm_fill(buf, TM_UP, sum, sizeof(buf));
		n = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
		if (n > 0)
			sum += n;
		else if (!tm_poll(fd, POLLOUT, 300))
			break;
	}
	tm_ret(t, "send", n);
	tm_send_u64(t, sum);
	/* The reader empties it; that there is room again must be noticed */
	tm_log(t, "room: %s", tm_events(tm_poll(fd, POLLOUT, 5000)));
	tm_nonblock(fd, false);
	tm_end(t, fd);
}

/* ---- urgent data ---- */

static void client_urgent(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send_at(t, fd, TM_UP, 0, 100);
	tm_ret(t, "send MSG_OOB", send(fd, "!", 1, MSG_OOB));
	tm_send_at(t, fd, TM_UP, 100, 100);
	tm_end(t, fd);
}

static void receive_to_end(struct tmx *t, int fd)
{
	char buf[300];
	ssize_t n, sum = 0;

	do {
		n = recv(fd, buf + sum, sizeof(buf) - sum, 0);
		sum += n > 0 ? n : 0;
	} while (n > 0);
	tm_ret(t, "received in line", sum);
	tm_is_pattern(t, buf, 0, 100);
	tm_log(t, "behind 100 bytes: %s", sum > 100 && buf[100] == '!' ? "the urgent one" :
					  "the next");
}

static void server_urgent(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c = 0;

	tm_wait_bytes(t, fd, 100);
	tm_log(t, "poll: %s", tm_events(tm_poll(fd, POLLPRI, 200)));
	tm_ret(t, "recv MSG_OOB", recv(fd, &c, 1, MSG_OOB));
	receive_to_end(t, fd);
	tm_end(t, fd);
}

static void server_urgent_inline(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	receive_to_end(t, fd);
	tm_end(t, fd);
}

/* ---- MSG_ZEROCOPY ---- */

/* Completions so far; each may stand for several calls */
static unsigned int reap(int fd, unsigned int ms)
{
	struct msghdr msg = { 0 };
	struct sock_extended_err *ee;
	struct cmsghdr *cmsg;
	unsigned int nr = 0;
	char control[128];

	if (!tm_poll(fd, 0, ms))
		return 0;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	while (recvmsg(fd, &msg, MSG_ERRQUEUE) >= 0) {
		cmsg = CMSG_FIRSTHDR(&msg);
		ee = cmsg ? (void *)CMSG_DATA(cmsg) : NULL;
		if (ee && ee->ee_origin == SO_EE_ORIGIN_ZEROCOPY)
			nr += ee->ee_data - ee->ee_info + 1;
		msg.msg_controllen = sizeof(control);
	}
	return nr;
}

static void send_zerocopy(struct tmx *t, int fd)
{
	static char buf[TM_BIG];
	__u64 end = tm_now_ms() + 3000;
	unsigned int sent = 0, done = 0;
	size_t off = 0;
	ssize_t n;

	tm_fill(buf, TM_UP, 0, sizeof(buf));
	while (off < sizeof(buf)) {
		n = send(fd, buf + off, sizeof(buf) - off < 50000 ? sizeof(buf) - off : 50000,
			 MSG_ZEROCOPY | MSG_NOSIGNAL);
		if (n < 0) {
			tm_ret(t, "send", n);
			break;
		}
		sent++;
		off += n;
	}
	while (done < sent && tm_now_ms() < end)
		done += reap(fd, 100);
	tm_log(t, "completions: %s", done == sent ? "all" : "too few");
	tm_end(t, fd);
}

static void client_zerocopy(struct tmx *t)
{
	int fd, on = 1;

	tm_find(t);
	fd = tm_socket(t);
	tm_ret(t, "SO_ZEROCOPY", setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));
	tm_connect_fd(t, fd);
	send_zerocopy(t, fd);
}

static void client_zerocopy_late(struct tmx *t)
{
	int fd, on = 1;

	tm_find(t);
	fd = tm_socket(t);
	tm_connect_fd(t, fd);
	tm_ret(t, "SO_ZEROCOPY", setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));
	send_zerocopy(t, fd);
}

const struct tm_mode tm_modes_io[] = {
	{ "bytes_big", "300 KB in both directions", client_exchange_big, server_exchange_big, 1,
	  0 },
	{ "bytes_tiny", "3000 writes and reads of one byte", client_tiny, server_tiny, 1, 0 },
	{ "bytes_vectors", "writev() of 64 pieces, readv()", client_vectors, server_vectors, 1,
	  TM_NOLANE },
	{ "bytes_none", "calls with no bytes", client_zero, tm_server_one, 1, 0 },
	{ "cork", "TCP_CORK and MSG_MORE", client_cork, server_cork, 1, TM_CLOCK | TM_NOLANE },
	{ "peek", "MSG_PEEK", client_sends, server_peek, 1, TM_NOLANE },
	{ "peek_off", "SO_PEEK_OFF", client_sends, server_peek_off, 1, TM_NOLANE },
	{ "waitall", "MSG_WAITALL", client_pieces, server_waitall, 1, TM_NOLANE },
	{ "trunc", "MSG_TRUNC", client_sends, server_trunc, 1, TM_NOLANE },
	{ "dontwait", "MSG_DONTWAIT", client_dontwait, server_dontwait, 1, TM_NOLANE },
	{ "rcvtimeo", "SO_RCVTIMEO", client_silent, server_rcvtimeo, 1, 0 },
	{ "sndtimeo", "SO_SNDTIMEO and a reader that doesn't read", client_sndtimeo,
	  server_sndtimeo, 1, TM_CLOCK },
	{ "rcvlowat", "SO_RCVLOWAT", client_lowat, server_lowat, 1, TM_NOLANE },
	{ "buffers_small", "smallest SO_SNDBUF and SO_RCVBUF", client_small_buffers,
	  server_small_buffers, 1, 0 },
	{ "buffers_large", "largest SO_SNDBUF and SO_RCVBUF", client_large_buffers,
	  server_large_buffers, 1, 0 },
	{ "maxseg", "TCP_MAXSEG and TCP_WINDOW_CLAMP", client_small_mss, tm_server_one, 1, 0 },
	{ "room_again", "POLLOUT when the reader goes on", client_pending, server_sndtimeo, 1,
	  0 },
	{ "urgent", "MSG_OOB", client_urgent, server_urgent, 1, TM_NOLANE },
	{ "urgent_inline", "MSG_OOB and SO_OOBINLINE", client_urgent, server_urgent_inline, 1,
	  0 },
	{ "zerocopy", "MSG_ZEROCOPY", client_zerocopy, server_receives_big, 1, 0 },
	{ "zerocopy_late", "SO_ZEROCOPY set when connected", client_zerocopy_late,
	  server_receives_big, 1, TM_NOLANE },
	{ "receive", "one direction only", client_sends, server_receives, 1, 0 },
	{ "receive_big", "the same, more than the windows hold", client_sends_big,
	  server_receives_big, 1, 0 },
	{ 0 }
};
