// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: transcript, the two sides' agreement, sockets, patterns.
 *
 * The transcript holds what an application can see and what may not depend on timing: results,
 * error codes, the order of events, sums of bytes. Never a number of calls that it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tmatrix.h"

#define CHUNK	16384

void tm_log(struct tmx *t, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(t->log + t->log_len, sizeof(t->log) - t->log_len, format, args);
	va_end(args);
	if (len > 0 && t->log_len + len + 2 < sizeof(t->log)) {
		t->log_len += len;
		t->log[t->log_len++] = '\n';
		t->log[t->log_len] = 0;
	}
}

const char *tm_errname(int err)
{
	return strerrorname_np(err) ?: "unknown";
}

/* What a call returned, with errno if it failed; hands the value on */
long tm_ret(struct tmx *t, const char *what, long ret)
{
	int err = errno;

	if (ret < 0)
		tm_log(t, "%s: %s", what, tm_errname(err));
	else
		tm_log(t, "%s: %ld", what, ret);
	errno = err;
	return ret;
}

/* What follows a failure would only hide it: the mode ends here */
void tm_check(struct tmx *t, bool ok, const char *what)
{
	if (ok)
		return;
	tm_log(t, "WRONG: %s", what);
	tm_give_up(t);
}

void tm_skip(struct tmx *t, const char *reason)
{
	snprintf(t->skipped, sizeof(t->skipped), "%s", reason);
}

/* Events of poll() and epoll, whose bits are the same */
const char *tm_events(int events)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = {
		{ POLLIN, " IN" }, { POLLOUT, " OUT" }, { POLLPRI, " PRI" }, { POLLERR, " ERR" },
		{ POLLHUP, " HUP" }, { POLLRDHUP, " RDHUP" },
	};
	static char text[64];
	size_t i;

	text[0] = 0;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (events & names[i].bit)
			strcat(text, names[i].name);
	return text[0] ? text + 1 : "none";
}

/* ---- the other side ---- */

void tm_send_u64(struct tmx *t, __u64 value)
{
	if (send(t->ctl, &value, sizeof(value), MSG_NOSIGNAL) != sizeof(value))
		tm_check(t, false, "the other side is gone");
}

__u64 tm_recv_u64(struct tmx *t)
{
	__u64 value = 0;

	/* a result comes from a side that has given up, and stays for the report */
	if (recv(t->ctl, &value, sizeof(value), MSG_PEEK | MSG_TRUNC) != sizeof(value))
		tm_check(t, false, "the other side has ended before");
	else
		recv(t->ctl, &value, sizeof(value), 0);
	return value;
}

/* Returns when both have called it */
void tm_sync(struct tmx *t)
{
	tm_send_u64(t, ~0ULL);
	tm_recv_u64(t);
}

void tm_link(struct tmx *t, const char *settings)
{
	char command[512];

	snprintf(command, sizeof(command), "%s set %s", t->link ?: "false", settings);
	tm_check(t, system(command) == 0, "the link's settings could not be changed");
}

/* TCP packets that the link's black hole has taken */
__u64 tm_swallowed(struct tmx *t)
{
	unsigned long long nr = 0;
	char command[512];
	FILE *pipe;
	int ret;

	snprintf(command, sizeof(command), "%s get both 6 dropped_blackhole",
		 t->link ?: "false");
	pipe = popen(command, "r");
	tm_check(t, pipe, "the link could not be asked");
	ret = fscanf(pipe, "%llu", &nr);
	tm_check(t, !pclose(pipe) && ret == 1, "the link did not answer");
	return nr;
}

/* Of this network namespace */
void tm_sysctl(struct tmx *t, const char *name, int value)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = fopen(path, "w");
	tm_check(t, file, path);
	fprintf(file, "%d\n", value);
	tm_check(t, !fclose(file), path);
}

void tm_sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

__u64 tm_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* ---- sockets ---- */

void tm_set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

int tm_get(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	if (getsockopt(fd, level, name, &value, &len))
		return -errno;
	return len == 1 ? *(unsigned char *)&value : value;
}

void tm_timeout(int fd, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

void tm_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* Events that came within so many milliseconds, 0 if none did */
int tm_poll(int fd, short events, unsigned int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int ret;

	do
		ret = poll(&pfd, 1, ms);
	while (ret < 0 && errno == EINTR);
	return ret > 0 ? pfd.revents : 0;
}

static void set_port(struct sockaddr_storage *ss, int port)
{
	/* at the same place in both families */
	((struct sockaddr_in *)ss)->sin_port = htons(port);
}

int tm_port_of(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	getsockname(fd, (struct sockaddr *)&ss, &len);
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

int tm_socket(struct tmx *t)
{
	int fd = socket(t->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	tm_check(t, fd >= 0, "socket()");
	return fd;
}

/* A socket at our own address and that port, which may be in use still */
int tm_bound(struct tmx *t, int port)
{
	struct sockaddr_storage ss = t->own;
	int fd = tm_socket(t);

	tm_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_port(&ss, port);
	if (bind(fd, (struct sockaddr *)&ss, t->addrlen))
		tm_ret(t, "bind", -1);
	return fd;
}

int tm_connect_fd(struct tmx *t, int fd)
{
	return tm_ret(t, "connect", connect(fd, (struct sockaddr *)&t->addr, t->addrlen));
}

/* A connected socket. One connection is like another, so the transcript has no line of it */
int tm_connect(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	if (connect(fd, (struct sockaddr *)&t->addr, t->addrlen))
		tm_ret(t, "connect", -1);
	return fd;
}

int tm_listen_fd(struct tmx *t, int fd, int backlog)
{
	struct sockaddr_storage ss = t->addr;

	set_port(&ss, 0);
	tm_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, (struct sockaddr *)&ss, t->addrlen) || listen(fd, backlog))
		tm_ret(t, "listen", -1);
	return fd;
}

int tm_listen(struct tmx *t, int backlog)
{
	int fd = tm_socket(t);

	tm_listen_fd(t, fd, backlog);
	tm_send_u64(t, tm_port_of(fd));
	return fd;
}

/* The client's counterpart: learns the port */
void tm_find(struct tmx *t)
{
	set_port(&t->addr, tm_recv_u64(t));
}

int tm_accept(struct tmx *t, int lfd)
{
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		tm_ret(t, "accept", fd);
	return fd;
}

/* A server of one connection */
int tm_accept_one(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;

	fd = tm_accept(t, lfd);
	close(lfd);
	return fd;
}

void tm_close(struct tmx *t, int fd)
{
	tm_ret(t, "close", close(fd));
}

void tm_close_rst(struct tmx *t, int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	tm_ret(t, "close with reset", close(fd));
}

/* ---- bytes ---- */

static __u8 byte_at(__u64 seed, __u64 off)
{
	__u64 x = (off >> 3) + seed * 0x2545f4914f6cdd1dULL;

	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	return x >> (off & 7) * 8;
}

void tm_fill(void *buf, __u64 seed, __u64 off, size_t len)
{
	__u8 *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = byte_at(seed, off + i);
}

/* What this side receives */
void tm_is_pattern(struct tmx *t, const void *buf, __u64 off, size_t len)
{
	__u64 seed = t->server ? TM_UP : TM_DOWN;
	const __u8 *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		tm_check(t, p[i] == byte_at(seed, off + i),
			 "received bytes that were not sent there");
}

bool tm_send_at(struct tmx *t, int fd, __u64 seed, __u64 off, __u64 len)
{
	__u8 buf[CHUNK];
	__u64 end = off + len;
	ssize_t n;

	while (off < end) {
		size_t want = end - off < CHUNK ? end - off : CHUNK;

		tm_fill(buf, seed, off, want);
		n = send(fd, buf, want, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			tm_ret(t, "send", n);
			return false;
		}
		off += n;
	}
	return true;
}

bool tm_recv_at(struct tmx *t, int fd, __u64 seed, __u64 off, __u64 len)
{
	__u8 buf[CHUNK], want[CHUNK];
	__u64 end = off + len;
	ssize_t n;

	while (off < end) {
		n = recv(fd, buf, end - off < CHUNK ? end - off : CHUNK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			tm_ret(t, "recv", n);
			return false;
		}
		tm_fill(want, seed, off, n);
		tm_check(t, !memcmp(buf, want, n), "received bytes that were not sent there");
		off += n;
	}
	return true;
}

/* This side's pattern from its beginning, and the other side's */
bool tm_send(struct tmx *t, int fd, __u64 len)
{
	return tm_send_at(t, fd, t->server ? TM_DOWN : TM_UP, 0, len);
}

bool tm_recv(struct tmx *t, int fd, __u64 len)
{
	return tm_recv_at(t, fd, t->server ? TM_UP : TM_DOWN, 0, len);
}

/* There and back again */
void tm_exchange(struct tmx *t, int fd, __u64 len)
{
	bool ok = t->server ? tm_recv(t, fd, len) && tm_send(t, fd, len) :
			      tm_send(t, fd, len) && tm_recv(t, fd, len);

	tm_check(t, ok, "an exchange failed");
	tm_log(t, "exchange of %llu bytes: right", len);
}

/* FINs of both, nothing but them */
void tm_end(struct tmx *t, int fd)
{
	char c;

	shutdown(fd, SHUT_WR);		/* ENOTCONN if all is over already */
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* What most modes end with, and some consist of */
void tm_finish(struct tmx *t, int fd)
{
	tm_exchange(t, fd, TM_SIZE);
	tm_end(t, fd);
}

/* The server of most modes: one connection like any other */
void tm_server_one(struct tmx *t)
{
	tm_finish(t, tm_accept_one(t));
}

/* Until so many bytes can be read; what comes late must not change the transcript */
void tm_wait_bytes(struct tmx *t, int fd, int len)
{
	__u64 end = tm_now_ms() + 5000;
	int there = 0;

	while (!ioctl(fd, SIOCINQ, &there) && there < len && tm_now_ms() < end)
		tm_sleep_ms(2);
	tm_check(t, there >= len, "bytes that were sent did not arrive");
}
