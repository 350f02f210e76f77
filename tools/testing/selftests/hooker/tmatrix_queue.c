// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: how many bytes are there, and moving them without read() and write().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "tmatrix.h"

static int queued(int fd, unsigned long request)
{
	int nr = -1;

	ioctl(fd, request, &nr);
	return nr;
}

static void client_fionread(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_sync(t);
	tm_send_at(t, fd, TM_UP, 0, 1000);
	tm_sync(t);
	tm_sync(t);
	tm_send_at(t, fd, TM_UP, 1000, 4000);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_sync(t);
	tm_end(t, fd);
}

static void server_fionread(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_log(t, "FIONREAD: %d", queued(fd, FIONREAD));
	tm_sync(t);
	tm_sync(t);
	tm_wait_bytes(t, fd, 1000);
	tm_log(t, "FIONREAD: %d", queued(fd, FIONREAD));
	tm_recv_at(t, fd, TM_UP, 0, 300);
	tm_log(t, "FIONREAD: %d", queued(fd, FIONREAD));
	tm_sync(t);
	tm_wait_bytes(t, fd, 4700);
	tm_sync(t);
	tm_log(t, "end: %s", tm_events(tm_poll(fd, POLLRDHUP, 3000)));
	tm_log(t, "FIONREAD: %d", queued(fd, FIONREAD));
	tm_recv_at(t, fd, TM_UP, 300, 4700);
	tm_log(t, "FIONREAD: %d", queued(fd, FIONREAD));
	tm_end(t, fd);
}

/* What is acknowledged in the end is gone from the queue */
static void client_outq(struct tmx *t)
{
	int fd = tm_connect(t), i;

	tm_log(t, "SIOCOUTQ: %d", queued(fd, SIOCOUTQ));
	tm_send(t, fd, TM_SIZE);
	tm_sync(t);
	for (i = 0; i < 100 && queued(fd, SIOCOUTQ); i++)
		tm_sleep_ms(20);
	tm_log(t, "SIOCOUTQ: %d, unsent %d", queued(fd, SIOCOUTQ), queued(fd, SIOCOUTQNSD));
	tm_end(t, fd);
}

static void server_outq(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_recv(t, fd, TM_SIZE);
	tm_sync(t);
	tm_end(t, fd);
}

static int file_of(struct tmx *t, __u64 seed, size_t len)
{
	int fd = memfd_create("tmatrix", MFD_CLOEXEC);
	char buf[4096];
	size_t off, n;

	for (off = 0; off < len; off += n) {
		n = len - off < sizeof(buf) ? len - off : sizeof(buf);
		tm_fill(buf, seed, off, n);
		tm_check(t, write(fd, buf, n) == (ssize_t)n, "memfd");
	}
	return fd;
}

static void client_sendfile(struct tmx *t)
{
	int file = file_of(t, TM_UP, TM_BIG), fd = tm_connect(t);
	off_t off = 0;
	ssize_t n;

	do
		n = sendfile(fd, file, &off, TM_BIG - off);
	while (n > 0 && off < TM_BIG);
	tm_log(t, "sendfile: %ld", (long)off);
	tm_recv(t, fd, TM_BIG);
	tm_end(t, fd);
}

static void server_sendfile(struct tmx *t)
{
	int fd = tm_accept_one(t), file = file_of(t, TM_DOWN, TM_BIG);
	off_t off = 0;
	ssize_t n;

	tm_recv(t, fd, TM_BIG);
	do
		n = sendfile(fd, file, &off, TM_BIG - off);
	while (n > 0 && off < TM_BIG);
	tm_log(t, "sendfile: %ld", (long)off);
	tm_end(t, fd);
}

/* From one socket into a pipe, into the other socket: what a proxy does */
static __u64 splice_all(int from, int to, __u64 len)
{
	int pipes[2];
	__u64 sum = 0;
	ssize_t in, out;

	if (pipe2(pipes, O_CLOEXEC))
		return 0;
	while (sum < len) {
		in = splice(from, NULL, pipes[1], NULL, 65536, SPLICE_F_MOVE);
		if (in <= 0)
			break;
		while (in > 0) {
			out = splice(pipes[0], NULL, to, NULL, in, SPLICE_F_MOVE | SPLICE_F_MORE);
			if (out <= 0)
				return sum;
			in -= out;
			sum += out;
		}
	}
	close(pipes[0]);
	close(pipes[1]);
	return sum;
}

static void client_splice(struct tmx *t)
{
	int file = file_of(t, TM_UP, TM_BIG), fd = tm_connect(t);

	lseek(file, 0, SEEK_SET);
	tm_log(t, "spliced: %llu", splice_all(file, fd, TM_BIG));
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	/* what comes back is what went there */
	tm_log(t, "echoed: %d", tm_recv_at(t, fd, TM_UP, 0, TM_BIG));
	tm_end(t, fd);
}

static void server_splice(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_sleep_ms(50);
	tm_log(t, "spliced: %llu", splice_all(fd, fd, TM_BIG));
	tm_end(t, fd);
}

static void server_splice_eof(struct tmx *t)
{
	int fd = tm_accept_one(t), file = memfd_create("tmatrix", MFD_CLOEXEC);
	char buf[TM_SIZE];

	tm_log(t, "spliced: %llu", splice_all(fd, file, 10 * TM_SIZE));
	tm_ret(t, "pread", pread(file, buf, sizeof(buf), 0));
	tm_is_pattern(t, buf, 0, sizeof(buf));
	tm_end(t, fd);
}

static void client_splice_eof(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, TM_SIZE);
	tm_end(t, fd);
}

static void server_mmap(struct tmx *t)
{
	struct tcp_zerocopy_receive zc = { .length = 16 * 4096 };
	int fd = tm_accept_one(t);
	socklen_t len = sizeof(zc);
	__u64 got = 0;
	void *map;

	map = mmap(NULL, zc.length, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		tm_skip(t, "no mmap() of a TCP socket [kernel]");
	zc.address = (unsigned long)map;
	tm_wait_bytes(t, fd, 65536);
	if (map != MAP_FAILED)
		tm_ret(t, "TCP_ZEROCOPY_RECEIVE",
		       getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	/* how much comes by pages and how much is to be read depends on the segments */
	if (map != MAP_FAILED && zc.length) {
		tm_is_pattern(t, map, 0, zc.length);
		got = zc.length;
	}
	tm_log(t, "received: %d", tm_recv_at(t, fd, TM_UP, got, TM_BIG - got));
	tm_end(t, fd);
}

static void client_mmap(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_send(t, fd, TM_BIG);
	tm_end(t, fd);
}

const struct tm_mode tm_modes_queue[] = {
	{ "fionread", "FIONREAD at every step", client_fionread, server_fionread, 1, TM_NOLANE },
	{ "siocoutq", "SIOCOUTQ", client_outq, server_outq, 1, 0 },
	{ "sendfile", "sendfile() of 300 KB, both ways", client_sendfile, server_sendfile, 1,
	  0 },
	{ "splice", "splice() into and out of the socket", client_splice, server_splice, 1,
	  TM_NOLANE },
	{ "splice_eof", "splice() to the end", client_splice_eof, server_splice_eof, 1,
	  TM_NOLANE },
	{ "zerocopy_receive", "TCP_ZEROCOPY_RECEIVE", client_mmap, server_mmap, 1, TM_NOLANE },
	{ 0 }
};
