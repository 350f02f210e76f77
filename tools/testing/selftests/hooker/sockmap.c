// SPDX-License-Identifier: GPL-2.0
/*
 * The fast lane on its own: two sockets of a connection over lo, the SK_MSG
 * program between them, and a reader that accounts as the daemon does. No
 * handshake is involved; the test puts the sockets into the maps itself.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bpf/hooker_abi.h"
#include "connection.skel.h"
#include "netns.h"
#include "relay/lane.h"
#include "tcp/addr.h"

#define LIMIT		(256 * 1024)
#define SOCKBUF		(128 * 1024)
#define GIGABYTE	(1ULL << 30)
#define SLOT		3

static int make_listener(int family, struct sockaddr_storage *ss, socklen_t *len)
{
	__be32 lo4[4], lo6[4] = { 0, 0, 0, htonl(1) };
	int fd = socket(family, SOCK_STREAM, 0);

	hk_addr_map(lo4, htonl(INADDR_LOOPBACK));
	*len = hk_addr_to_sockaddr(ss, family == AF_INET ? lo4 : lo6, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)ss, *len) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)ss, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void set_buffers(int fd)
{
	int size = SOCKBUF;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* A connection over lo: pair[0] is the application's end, pair[1] the redirection socket's */
static int connect_pair(int family, int pair[2])
{
	struct sockaddr_storage ss;
	int listener;
	socklen_t len;

	listener = make_listener(family, &ss, &len);
	if (listener < 0)
		return -1;
	pair[0] = socket(family, SOCK_STREAM, 0);
	set_buffers(pair[0]);
	set_buffers(listener);
	if (connect(pair[0], (struct sockaddr *)&ss, len))
		return -1;
	pair[1] = accept(listener, NULL, NULL);
	close(listener);
	return pair[1] < 0 ? -1 : 0;
}

static void to_key(__be32 addr[4], __be16 *port, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *sin6 = (const void *)ss;
	const struct sockaddr_in *sin = (const void *)ss;

	if (ss->ss_family == AF_INET)
		hk_addr_map(addr, sin->sin_addr.s_addr);
	else
		memcpy(addr, &sin6->sin6_addr, 16);
	*port = ss->ss_family == AF_INET ? sin->sin_port : sin6->sin6_port;
}

static void get_key(int fd, struct hk_flow_key *key)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(key, 0, sizeof(*key));
	getsockname(fd, (struct sockaddr *)&ss, &len);
	to_key(key->laddr, &key->lport, &ss);
	len = sizeof(ss);
	getpeername(fd, (struct sockaddr *)&ss, &len);
	to_key(key->raddr, &key->rport, &ss);
}

static __u32 next_seq(int fd)
{
	int on = 1, off = -1, queue = TCP_SEND_QUEUE;
	socklen_t len = sizeof(__u32);
	__u32 seq = 0;

	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &len);
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	return seq;
}

static __u64 native_bytes(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_bytes_received;
}

/* The n-th 8-byte word of the stream says n, so any swap, gap or repeat shows */
static void fill(__u64 *buf, size_t words, __u64 first)
{
	size_t i;

	for (i = 0; i < words; i++)
		buf[i] = first + i;
}

/* Checks @len bytes that stand at @offset of the stream; returns the first wrong offset or -1 */
static __s64 check(const __u8 *buf, size_t len, __u64 offset)
{
	__u64 word;
	size_t i = 0;

	for (; i < len && (offset + i) % 8; i++) {
		word = (offset + i) / 8;
		if (buf[i] != ((const __u8 *)&word)[(offset + i) % 8])
			return offset + i;
	}
	for (; i + 8 <= len; i += 8) {
		memcpy(&word, buf + i, 8);
		if (word != (offset + i) / 8)
			return offset + i;
	}
	for (; i < len; i++) {
		word = (offset + i) / 8;
		if (buf[i] != ((const __u8 *)&word)[(offset + i) % 8])
			return offset + i;
	}
	return -1;
}

FIXTURE(lane)
{
	struct connection_bpf *skel;
	struct hk_lane *lanes;
	struct hk_lane *lane;
	struct hk_lane_reader reader;
	int app, redir;
};

FIXTURE_VARIANT(lane)
{
	int family;
};

FIXTURE_VARIANT_ADD(lane, ipv4)
{
	.family = AF_INET,
};

FIXTURE_VARIANT_ADD(lane, ipv6)
{
	.family = AF_INET6,
};

FIXTURE_SETUP(lane)
{
	struct hk_flow_key key;
	struct hk_sk sk = {};
	__u64 value;
	int pair[2];

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, netns_enter_new());
	if (variant->family == AF_INET6 && !netns_has_ipv6())
		SKIP(return, "no IPv6 [kernel]");
	self->skel = connection_bpf__open_and_load();
	ASSERT_NE(NULL, self->skel);
	self->lanes = mmap(NULL, sizeof(struct hk_lane) * 16384, PROT_READ | PROT_WRITE, MAP_SHARED,
			   bpf_map__fd(self->skel->maps.hk_lanes), 0);
	ASSERT_NE(MAP_FAILED, (void *)self->lanes);
	self->lane = &self->lanes[SLOT];
	ASSERT_EQ(0, bpf_prog_attach(bpf_program__fd(self->skel->progs.hk_lane_select),
				     bpf_map__fd(self->skel->maps.hk_apps), BPF_SK_MSG_VERDICT, 0));
	ASSERT_EQ(0, connect_pair(variant->family, pair));
	self->app = pair[0];
	self->redir = pair[1];

	get_key(self->app, &key);
	hk_lane_reader_init(&self->reader, self->lane, next_seq(self->app), LIMIT);
	value = self->redir;
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_redirs), &key, &value, 0));
	sk.key = key;
	sk.slot = SLOT;
	sk.taken = 1;
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_sks), &self->app, &sk, 0));
	value = self->app;
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_apps), &key, &value, 0));
}

FIXTURE_TEARDOWN(lane)
{
	close(self->app);
	close(self->redir);
	connection_bpf__destroy(self->skel);
}

static __u64 stat_of(struct connection_bpf *skel, __u32 stat)
{
	__u64 values[1024] = {}, sum = 0;
	int i;

	bpf_map_lookup_elem(bpf_map__fd(skel->maps.hk_stats), &stat, values);
	for (i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += values[i];
	return sum;
}

/* Reads what is there, as the relay would; returns bytes, 0 at the end, or -errno */
static ssize_t read_some(struct hk_lane_reader *reader, int fd, void *buf, size_t len,
			 __u64 *offset)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);
	__s64 wrong;

	if (n < 0)
		return -errno;
	wrong = check(buf, n, *offset);
	if (wrong >= 0) {
		fprintf(stderr, "# byte %lld is not what was sent there\n", (long long)wrong);
		return -EBADMSG;
	}
	if (n)
		hk_lane_reader_account(reader, n);
	*offset += n;
	return n;
}

TEST_F(lane, messages_are_redirected)
{
	__u64 buf[512], offset = 0;
	int i;

	for (i = 0; i < 10; i++) {
		fill(buf, 512, i * 512);
		ASSERT_EQ(sizeof(buf), send(self->app, buf, sizeof(buf), 0));
	}
	EXPECT_EQ(10, stat_of(self->skel, HK_STAT_FAST_CALLS));
	EXPECT_EQ(10 * sizeof(buf), stat_of(self->skel, HK_STAT_FAST_BYTES));
	EXPECT_EQ(0, stat_of(self->skel, HK_STAT_NATIVE_BYTES));
	while (offset < 10 * sizeof(buf))
		ASSERT_LT(0, read_some(&self->reader, self->redir, buf, sizeof(buf), &offset));
	/* TCP itself has not carried a byte */
	EXPECT_EQ(0, native_bytes(self->redir));
	EXPECT_EQ(10 * sizeof(buf), self->reader.fast_bytes);
	EXPECT_EQ(10 * sizeof(buf), self->lane->fast_consumed);
}

TEST_F(lane, closed_lane_is_native)
{
	__u64 buf[512], offset = 0;
	struct pollfd pfd = { .fd = self->redir, .events = POLLIN };

	self->lane->limit = 0;
	fill(buf, 512, 0);
	ASSERT_EQ(sizeof(buf), send(self->app, buf, sizeof(buf), 0));
	while (offset < sizeof(buf)) {
		ASSERT_EQ(1, poll(&pfd, 1, 1000));
		ASSERT_LT(0, read_some(&self->reader, self->redir, buf, sizeof(buf), &offset));
	}
	EXPECT_EQ(0, stat_of(self->skel, HK_STAT_FAST_CALLS));
	EXPECT_EQ(sizeof(buf), native_bytes(self->redir));
	EXPECT_EQ(0, self->reader.fast_bytes);
}

TEST_F(lane, native_to_fast_only_when_drained)
{
	__u64 buf[512], offset = 0;
	struct pollfd pfd = { .fd = self->redir, .events = POLLIN };

	self->lane->limit = 0;
	fill(buf, 512, 0);
	ASSERT_EQ(sizeof(buf), send(self->app, buf, sizeof(buf), 0));
	self->lane->limit = LIMIT;
	/* half of it is read: the next message would overtake the other half */
	ASSERT_EQ(1, poll(&pfd, 1, 1000));
	ASSERT_EQ(sizeof(buf) / 2,
		  read_some(&self->reader, self->redir, buf, sizeof(buf) / 2, &offset));
	fill(buf, 512, 512);
	ASSERT_EQ(sizeof(buf), send(self->app, buf, sizeof(buf), 0));
	EXPECT_EQ(0, stat_of(self->skel, HK_STAT_FAST_CALLS));
	while (offset < 2 * sizeof(buf)) {
		ASSERT_EQ(1, poll(&pfd, 1, 1000));
		ASSERT_LT(0, read_some(&self->reader, self->redir, buf, sizeof(buf), &offset));
	}
	/* all read: fast again */
	fill(buf, 512, 1024);
	ASSERT_EQ(sizeof(buf), send(self->app, buf, sizeof(buf), 0));
	EXPECT_EQ(1, stat_of(self->skel, HK_STAT_FAST_CALLS));
	ASSERT_EQ(sizeof(buf), read_some(&self->reader, self->redir, buf, sizeof(buf), &offset));
}

/* Writes without blocking until the socket is full; returns bytes */
static __u64 write_until_full(int fd, __u64 offset)
{
	__u64 buf[1024];
	ssize_t n;

	for (;;) {
		fill(buf, 1024, offset / 8);
		n = send(fd, (__u8 *)buf + offset % 8, sizeof(buf) - offset % 8, MSG_DONTWAIT);
		if (n < 0)
			return offset;
		offset += n;
	}
}

TEST_F(lane, stopped_reader_bounds_memory)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int epfd = epoll_create1(0);
	__u64 sent, offset = 0;
	__u8 *buf = malloc(1 << 20);
	ssize_t n;

	ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_ADD, self->app, &ev));
	ASSERT_EQ(1, epoll_wait(epfd, &ev, 1, 1000));
	sent = write_until_full(self->app, 0);
	ASSERT_EQ(EAGAIN, errno);
	/* the kernel doubles both buffers; beside them only the limit */
	EXPECT_LT(LIMIT, sent + 64 * 1024);
	EXPECT_GE(LIMIT + 4 * SOCKBUF, sent);
	EXPECT_GE(LIMIT, self->lane->fast_sent);
	TH_LOG("stopped reader: %llu bytes accepted, %llu of them in the fast lane",
	       (unsigned long long)sent, (unsigned long long)self->lane->fast_sent);
	/* an edge-triggered writer sleeps now ... */
	EXPECT_EQ(0, epoll_wait(epfd, &ev, 1, 50));
	/* ... and is woken when the reader goes on */
	while (offset < sent) {
		n = read_some(&self->reader, self->redir, buf, 1 << 20, &offset);
		if (n == -EAGAIN) {
			struct pollfd pfd = { .fd = self->redir, .events = POLLIN };

			ASSERT_EQ(1, poll(&pfd, 1, 2000));
			continue;
		}
		ASSERT_LT(0, n);
	}
	EXPECT_EQ(1, epoll_wait(epfd, &ev, 1, 2000));
	EXPECT_TRUE(ev.events & EPOLLOUT);
	free(buf);
	close(epfd);
}

static __u32 next_random(__u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* In a process of its own: messages of all sizes, now and then a pause */
static int write_gigabyte(int fd, __u32 seed)
{
	__u64 offset = 0, left;
	__u64 *buf = malloc(64 * 1024);
	size_t len;
	ssize_t n;

	while (offset < GIGABYTE) {
		len = 8 + next_random(&seed) % (64 * 1024 - 8);
		left = GIGABYTE - offset;
		if (len > left)
			len = left;
		fill(buf, (len + 7) / 8 + 1, offset / 8);
		if (len > 64 * 1024 - 16)
			len = 64 * 1024 - 16;
		n = send(fd, (__u8 *)buf + offset % 8, len, 0);
		if (n < 0)
			return errno;
		offset += n;
	}
	free(buf);
	return shutdown(fd, SHUT_WR) ? errno : 0;
}

/* The reader pauses and reads in uneven pieces, so that the lanes change often */
static int read_gigabyte(struct hk_lane_reader *reader, int fd, __u32 seed, __u64 *offset)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	__u8 *buf = malloc(256 * 1024);
	ssize_t n = 1;

	while (n) {
		n = read_some(reader, fd, buf, 1 + next_random(&seed) % (256 * 1024), offset);
		if (n == -EAGAIN) {
			if (poll(&pfd, 1, 10000) != 1)
				return ETIMEDOUT;
			continue;
		}
		if (n < 0)
			return -n;
		if (next_random(&seed) % 512 == 0)
			usleep(next_random(&seed) % 2000);
	}
	free(buf);
	return 0;
}

TEST_F_TIMEOUT(lane, gigabyte_stays_in_order_over_switches, 120)
{
	__u64 offset = 0;
	__u32 seed = time(NULL);
	int status;
	pid_t pid;

	TH_LOG("seed %u", seed);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(write_gigabyte(self->app, seed));
	close(self->app);
	EXPECT_EQ(0, read_gigabyte(&self->reader, self->redir, seed + 1, &offset));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(GIGABYTE, offset);
	/* tcpi_bytes_received counts the FIN, too */
	EXPECT_EQ(GIGABYTE + 1, self->lane->fast_sent + native_bytes(self->redir));
	EXPECT_LE(100, self->lane->switches);
	TH_LOG("%u switches of lane, %llu bytes fast, %llu native", self->lane->switches,
	       (unsigned long long)self->lane->fast_sent,
	       (unsigned long long)native_bytes(self->redir));
}

TEST_F(lane, lost_redirection_socket_is_a_reset)
{
	struct linger now = { .l_onoff = 1 };
	__u64 buf[8] = {};
	ssize_t n;

	setsockopt(self->redir, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(self->redir);
	n = send(self->app, buf, sizeof(buf), MSG_NOSIGNAL);
	EXPECT_EQ(-1, n);
	EXPECT_EQ(ECONNRESET, errno);
}

TEST_HARNESS_MAIN
