// SPDX-License-Identifier: GPL-2.0
/*
 * tapp: the bytes of one connection.
 *
 * Byte n of a direction is a function of n and the direction's seed, so a byte that is
 * lost, doubled, moved or changed is noticed where it happens. Every wait has an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tapp.h"

/* Not yet at an end; behind the values that leave this file. */
#define CONTINUE	TAPP_NR_RESULTS

#define NSEC_PER_MSEC	1000000ULL
#define SMALL_CHUNK	4096

__u64 tapp_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * TAPP_NSEC_PER_SEC + ts.tv_nsec;
}

static void sleep_ms(unsigned int ms)
{
	if (ms)
		poll(NULL, 0, ms);
}

static __u64 pattern_word(__u64 seed, __u64 index)
{
	__u64 x = (index + seed) * 0x9e3779b97f4a7c15ULL;

	return x ^ x >> 29;
}

/* @off: position in the stream; buf[0] is the byte at that position */
static void fill_pattern(__u8 *buf, __u64 seed, __u64 off, size_t len)
{
	__u64 word;
	size_t skip, nr;

	while (len) {
		word = pattern_word(seed, off / 8);
		skip = off % 8;
		nr = 8 - skip < len ? 8 - skip : len;
		memcpy(buf, (__u8 *)&word + skip, nr);
		buf += nr;
		off += nr;
		len -= nr;
	}
}

enum tapp_result tapp_errno_result(int err)
{
	switch (err) {
	case ECONNRESET:
		return TAPP_RESET;
	case EPIPE:
		return TAPP_PIPE;
	case ECONNREFUSED:
		return TAPP_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
		return TAPP_UNREACHABLE;
	case EAGAIN:		/* SO_RCVTIMEO, SO_SNDTIMEO */
	case EINPROGRESS:	/* SO_SNDTIMEO during connect() */
	case ETIMEDOUT:
		return TAPP_TIMEOUT;
	default:
		return TAPP_OTHER;
	}
}

int tapp_set_timeouts(int fd, unsigned int timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	return 0;
}

enum tapp_result tapp_send_all(int fd, const void *data, size_t len)
{
	const __u8 *pos = data;
	ssize_t nr;

	while (len) {
		nr = send(fd, pos, len, MSG_NOSIGNAL);
		if (nr < 0)
			return tapp_errno_result(errno);
		pos += nr;
		len -= nr;
	}
	return TAPP_OK;
}

enum tapp_result tapp_recv_all(int fd, void *data, size_t len)
{
	__u8 *pos = data;
	ssize_t nr;

	while (len) {
		nr = recv(fd, pos, len, 0);
		if (nr < 0)
			return tapp_errno_result(errno);
		if (!nr)
			return TAPP_EOF;
		pos += nr;
		len -= nr;
	}
	return TAPP_OK;
}

enum tapp_result tapp_send_pattern(int fd, __u64 seed, __u64 len)
{
	enum tapp_result result = TAPP_OK;
	__u8 buf[SMALL_CHUNK];
	__u64 off;
	size_t nr;

	for (off = 0; off < len && result == TAPP_OK; off += nr) {
		nr = len - off < sizeof(buf) ? len - off : sizeof(buf);
		fill_pattern(buf, seed, off, nr);
		result = tapp_send_all(fd, buf, nr);
	}
	return result;
}

enum tapp_result tapp_recv_pattern(int fd, __u64 seed, __u64 len)
{
	__u8 buf[SMALL_CHUNK], check[SMALL_CHUNK];
	enum tapp_result result;
	__u64 off;
	size_t nr;

	for (off = 0; off < len; off += nr) {
		nr = len - off < sizeof(buf) ? len - off : sizeof(buf);
		result = tapp_recv_all(fd, buf, nr);
		if (result != TAPP_OK)
			return result;
		fill_pattern(check, seed, off, nr);
		if (memcmp(buf, check, nr))
			return TAPP_MISMATCH;
	}
	return TAPP_OK;
}

static bool has_enough(const struct tapp_conn *conn)
{
	return conn->role.until_eof ? conn->got_eof :
	       conn->until_file && !access(conn->until_file, F_OK);
}

static bool may_send(const struct tapp_conn *conn)
{
	return conn->sent < conn->role.send_bytes &&
	       (!conn->role.after_eof || conn->got_eof) &&
	       (!conn->role.after_byte || conn->received);
}

static bool is_cut(const struct tapp_conn *conn)
{
	return conn->role.cut_bytes && conn->sent + conn->received >= conn->role.cut_bytes;
}

static size_t chunk(__u64 left, __u32 limit)
{
	return left < limit ? left : limit;
}

static void begin_stall(struct tapp_conn *conn)
{
	if (!conn->stall_start_ns)
		conn->stall_start_ns = tapp_now_ns();
}

/* @accepted: bytes taken before the stall */
static void end_stall(struct tapp_conn *conn, __u64 accepted)
{
	__u64 ns;

	if (!conn->stall_start_ns)
		return;
	ns = tapp_now_ns() - conn->stall_start_ns;
	conn->stall_start_ns = 0;
	if (ns <= conn->stall_max_ns)
		return;
	conn->stall_max_ns = ns;
	conn->stall_bytes = accepted;
}

/* One send(); CONTINUE also when the socket takes nothing now. */
static enum tapp_result send_some(struct tapp_conn *conn)
{
	size_t len = chunk(conn->role.send_bytes - conn->sent, conn->role.write_size);
	ssize_t nr;

	fill_pattern(conn->buf, conn->send_seed, conn->sent, len);
	if (conn->role.blocking)
		begin_stall(conn);
	nr = send(conn->fd, conn->buf, len, MSG_NOSIGNAL);
	if (nr < 0 && errno == EAGAIN && !conn->role.blocking) {
		conn->can_send = false;
		conn->tx_waits++;
		begin_stall(conn);
		return CONTINUE;
	}
	if (nr < 0)
		return tapp_errno_result(errno);
	end_stall(conn, conn->sent);
	conn->sent += nr;
	return CONTINUE;
}

static enum tapp_result take_eof(struct tapp_conn *conn)
{
	conn->got_eof = true;
	conn->can_recv = false;
	/* a server that stops because we did: what it has sent is all there is */
	if (conn->role.until_eof || (conn->until_file && conn->fin_sent))
		conn->recv_expected = conn->received;
	return conn->received < conn->recv_expected ? TAPP_EOF : CONTINUE;
}

static enum tapp_result compare(struct tapp_conn *conn, size_t len)
{
	size_t i;

	fill_pattern(conn->check, conn->recv_seed, conn->received, len);
	if (!memcmp(conn->buf, conn->check, len))
		return CONTINUE;
	if (!conn->role.count_bad)
		return TAPP_MISMATCH;
	for (i = 0; i < len; i++)
		conn->bad_bits += __builtin_popcount(conn->buf[i] ^ conn->check[i]);
	return CONTINUE;
}

/* One recv(), with the bytes compared; CONTINUE also when there is nothing now. */
static enum tapp_result recv_some(struct tapp_conn *conn)
{
	ssize_t nr = recv(conn->fd, conn->buf, conn->role.read_size, 0);

	if (nr < 0 && errno == EAGAIN && !conn->role.blocking) {
		conn->can_recv = false;
		return CONTINUE;
	}
	if (nr < 0)
		return tapp_errno_result(errno);
	if (!nr)
		return take_eof(conn);
	if (!conn->first_byte_ns)
		conn->first_byte_ns = tapp_now_ns();
	if (compare(conn, nr) != CONTINUE)
		return TAPP_MISMATCH;
	conn->received += nr;
	return conn->received > conn->recv_expected ? TAPP_MISMATCH : CONTINUE;
}

static void start_pause_if_due(struct tapp_conn *conn)
{
	if (!conn->role.pause_ms || conn->pause_end_ns || conn->received < conn->role.pause_bytes)
		return;
	conn->pause_end_ns = tapp_now_ns() + conn->role.pause_ms * NSEC_PER_MSEC;
}

static unsigned int pause_left_ms(const struct tapp_conn *conn)
{
	__u64 now_ns = tapp_now_ns();

	if (conn->pause_end_ns <= now_ns)
		return 0;
	return (conn->pause_end_ns - now_ns) / NSEC_PER_MSEC + 1;
}

static enum tapp_result finish_sending(struct tapp_conn *conn)
{
	if (conn->fin_sent || conn->role.end != TAPP_FIN ||
	    (conn->until_file && !has_enough(conn)))
		return CONTINUE;
	conn->fin_sent = true;
	return shutdown(conn->fd, SHUT_WR) ? tapp_errno_result(errno) : CONTINUE;
}

static bool is_done(const struct tapp_conn *conn)
{
	if (is_cut(conn))
		return true;
	if (conn->sent < conn->role.send_bytes || conn->received < conn->recv_expected)
		return false;
	return conn->got_eof || conn->role.end != TAPP_FIN;
}

static enum tapp_result blocking_send(struct tapp_conn *conn)
{
	enum tapp_result result = CONTINUE;

	while (result == CONTINUE && may_send(conn) && !is_cut(conn))
		result = send_some(conn);
	return result == CONTINUE && !is_cut(conn) ? finish_sending(conn) : result;
}

/* Until EOF if the peer's FIN is to be awaited, until the last byte otherwise. */
static enum tapp_result blocking_recv(struct tapp_conn *conn, bool until_eof)
{
	enum tapp_result result = CONTINUE;

	while (result == CONTINUE && !conn->got_eof && !is_cut(conn)) {
		if (!until_eof && conn->received == conn->recv_expected)
			break;
		start_pause_if_due(conn);
		sleep_ms(pause_left_ms(conn));
		result = recv_some(conn);
	}
	return result;
}

static enum tapp_result run_blocking(struct tapp_conn *conn)
{
	enum tapp_result result = CONTINUE;

	if (!conn->role.send_first)
		result = blocking_recv(conn, conn->role.after_eof);
	if (result == CONTINUE)
		result = blocking_send(conn);
	if (result == CONTINUE)
		result = blocking_recv(conn, conn->role.end == TAPP_FIN);
	return result == CONTINUE ? TAPP_OK : result;
}

/*
 * Edge-triggered as the strictest of applications: readiness is believed only when the
 * kernel reports it, so a wakeup that never comes shows as a timeout.
 */
static enum tapp_result wait_edge(struct tapp_conn *conn)
{
	unsigned int pause = pause_left_ms(conn);
	struct epoll_event event;
	int nr;

	nr = epoll_wait(conn->epoll_fd, &event, 1, pause ? pause : conn->timeout_ms);
	if (nr < 0)
		return errno == EINTR ? CONTINUE : TAPP_OTHER;
	if (!nr)
		return pause ? CONTINUE : TAPP_TIMEOUT;
	if (event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		conn->can_send = true;
	if (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		conn->can_recv = !conn->got_eof;
	return CONTINUE;
}

static enum tapp_result step_epoll(struct tapp_conn *conn)
{
	bool idle = true;
	enum tapp_result result = CONTINUE;

	if (conn->sent < conn->role.send_bytes && has_enough(conn))
		conn->role.send_bytes = conn->sent;
	if (may_send(conn) && conn->can_send) {
		result = send_some(conn);
		idle = false;
	}
	if (result == CONTINUE && conn->sent == conn->role.send_bytes && !is_cut(conn))
		result = finish_sending(conn);
	start_pause_if_due(conn);
	if (result == CONTINUE && conn->can_recv && !is_done(conn) && !pause_left_ms(conn)) {
		result = recv_some(conn);
		idle = false;
	}
	if (result == CONTINUE && idle)
		result = wait_edge(conn);
	return result;
}

static enum tapp_result run_epoll(struct tapp_conn *conn)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	enum tapp_result result = CONTINUE;

	conn->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (conn->epoll_fd < 0 || epoll_ctl(conn->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event))
		return TAPP_OTHER;
	while (result == CONTINUE && !is_done(conn))
		result = step_epoll(conn);
	close(conn->epoll_fd);
	return result == CONTINUE ? TAPP_OK : result;
}

/* Runs until EOF; the longest the peer can be ahead is what the sockets hold. */
static enum tapp_result run_echo(struct tapp_conn *conn)
{
	enum tapp_result result = TAPP_OK;
	ssize_t nr;

	while (result == TAPP_OK) {
		nr = recv(conn->fd, conn->buf, conn->role.read_size, 0);
		if (nr < 0)
			return tapp_errno_result(errno);
		if (!nr)
			return TAPP_OK;
		conn->received += nr;
		result = tapp_send_all(conn->fd, conn->buf, nr);
		conn->sent += nr;
	}
	return result;
}

static enum tapp_result set_nonblocking(int fd, bool nonblocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return TAPP_OTHER;
	flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) ? TAPP_OTHER : TAPP_OK;
}

static enum tapp_result wait_go(const struct tapp_conn *conn)
{
	__u64 end_ns = tapp_now_ns() + conn->timeout_ms * NSEC_PER_MSEC;

	while (conn->go_file && access(conn->go_file, F_OK)) {
		if (tapp_now_ns() > end_ns)
			return TAPP_TIMEOUT;
		sleep_ms(20);
	}
	return TAPP_OK;
}

static void reset_on_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/**
 * tapp_conn_run() - play a role to its end
 * @conn: connected; role, expectation, seeds and timeout are set
 *
 * The socket is left open for the caller to close; with TAPP_RST that sends the reset.
 *
 * Return: TAPP_OK if all bytes came, were right, and the end was the expected one.
 */
enum tapp_result tapp_conn_run(struct tapp_conn *conn)
{
	bool blocking = conn->role.blocking || conn->role.echo;
	enum tapp_result result;

	conn->buf = malloc(TAPP_MAX_CHUNK);
	conn->check = malloc(TAPP_MAX_CHUNK);
	result = set_nonblocking(conn->fd, !blocking);
	if (!conn->buf || !conn->check)
		result = TAPP_OTHER;
	sleep_ms(conn->role.idle_ms);
	if (result == TAPP_OK)
		result = wait_go(conn);
	if (result != TAPP_OK)
		;
	else if (conn->role.echo)
		result = run_echo(conn);
	else if (conn->role.blocking)
		result = run_blocking(conn);
	else
		result = run_epoll(conn);
	end_stall(conn, conn->sent);
	if (conn->role.end == TAPP_RST)
		reset_on_close(conn->fd);
	free(conn->buf);
	free(conn->check);
	return result;
}

/**
 * tapp_conn_rr() - requests and responses of role.write_size bytes, one at a time
 * @conn:   connected to a server that echoes
 * @nr:     how many
 * @rtt_ns: receives how long each took
 * Return: TAPP_OK if all of them came back unchanged.
 */
enum tapp_result tapp_conn_rr(struct tapp_conn *conn, unsigned int nr, __u64 *rtt_ns)
{
	size_t len = chunk(conn->role.write_size, SMALL_CHUNK);
	__u8 buf[SMALL_CHUNK], check[SMALL_CHUNK];
	enum tapp_result result = TAPP_OK;
	unsigned int i;

	for (i = 0; i < nr && result == TAPP_OK; i++) {
		fill_pattern(check, conn->send_seed, conn->sent, len);
		rtt_ns[i] = tapp_now_ns();
		result = tapp_send_all(conn->fd, check, len);
		if (result == TAPP_OK)
			result = tapp_recv_all(conn->fd, buf, len);
		rtt_ns[i] = tapp_now_ns() - rtt_ns[i];
		if (result == TAPP_OK && memcmp(buf, check, len))
			result = TAPP_MISMATCH;
		conn->sent += len;
		conn->received += len;
	}
	return result;
}
