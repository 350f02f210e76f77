// SPDX-License-Identifier: GPL-2.0
/*
 * Carriers between two hosts, which are network namespaces with a veth between
 * them, or one namespace talking to itself. What arrives is compared with what
 * was sent: bytes, order, and both ends of the path.
 */
#include <linux/filter.h>
#include <linux/icmpv6.h>
#include <linux/seccomp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "../kselftest_harness.h"
#include "../../../hooker/carrier/carrier.h"
#include "../../../hooker/tcp/addr.h"
#include "netns.h"

#define BATCH		HK_CARRIER_BATCH
#define MTU		1500
#define BUF_LEN		2048
#define UDP_HDR_LEN	8
#define WAIT_MS		3000
#define SILENCE_MS	200
#define QUOTED_LEN	1400	/* of the datagram that an ICMP message is about */

/*
 * Host A sends and host B receives; with loopback they are the same.
 * @ns:      their namespaces
 * @a, @b:   the carrier under test on each
 * @bufs:    for received datagrams
 * @dgrams:  received ones
 */
FIXTURE(carrier) {
	int			ns_a, ns_b;
	struct hk_carrier	a, b;
	__u8			bufs[BATCH][BUF_LEN];
	struct hk_datagram	dgrams[BATCH];
};

FIXTURE_VARIANT(carrier) { const char *name; bool v6, loopback; };

FIXTURE_VARIANT_ADD(carrier, udp_ipv4) { .name = "udp" };
FIXTURE_VARIANT_ADD(carrier, udp_ipv6) { .name = "udp", .v6 = true };
FIXTURE_VARIANT_ADD(carrier, udp_ipv4_lo) { .name = "udp", .loopback = true };
FIXTURE_VARIANT_ADD(carrier, udp_ipv6_lo) { .name = "udp", .v6 = true, .loopback = true };
FIXTURE_VARIANT_ADD(carrier, udplite_ipv4) { .name = "udplite" };
FIXTURE_VARIANT_ADD(carrier, udplite_ipv6) { .name = "udplite", .v6 = true };
FIXTURE_VARIANT_ADD(carrier, udplite_ipv4_lo) { .name = "udplite", .loopback = true };
FIXTURE_VARIANT_ADD(carrier, udplite_ipv6_lo) { .name = "udplite", .v6 = true, .loopback = true };

#define IS_UDP		(!strcmp(variant->name, "udp"))
#define IP_HDR_LEN	(variant->v6 ? 40 : 20)
#define MAX_LEN		(MTU - IP_HDR_LEN - UDP_HDR_LEN)
#define ADDR_A		(variant->v6 ? "fd09:2::1" : "10.9.2.1")
#define ADDR_A2		(variant->v6 ? "fd09:2::11" : "10.9.2.11")
#define ADDR_B		(variant->v6 ? "fd09:2::2" : "10.9.2.2")

/*
 * Leaves the process in namespace A. The indices differ, because a veth whose
 * peer has the same one in its namespace gets its carrier only after a second.
 */
static int make_hosts(int *ns_a, int *ns_b)
{
	if (netns_enter_new())
		return -1;
	*ns_b = netns_open();
	if (netns_enter_new())
		return -1;
	*ns_a = netns_open();
	if (netns_run("ip link add va index 10 type veth peer name vb index 11 netns /proc/%d/fd/%d",
		      getpid(), *ns_b))
		return -1;
	if (netns_run("ip link set va up"))
		return -1;
	if (setns(*ns_b, CLONE_NEWNET) || netns_run("ip link set vb up") || netns_wait_up("vb"))
		return -1;
	return setns(*ns_a, CLONE_NEWNET) || netns_wait_up("va");
}

static int make_one_host(int *ns_a, int *ns_b)
{
	if (netns_enter_new() || netns_run("ip link set lo mtu %d", MTU))
		return -1;
	*ns_a = netns_open();
	*ns_b = netns_open();
	return 0;
}

static struct hk_path make_path(const char *local, const char *remote, __be16 rport)
{
	struct hk_path path = { .rport = rport };
	__be32 v4;

	if (local && inet_pton(AF_INET6, local, path.local) != 1) {
		inet_pton(AF_INET, local, &v4);
		hk_addr_map(path.local, v4);
	}
	if (inet_pton(AF_INET6, remote, path.remote) != 1) {
		inet_pton(AF_INET, remote, &v4);
		hk_addr_map(path.remote, v4);
	}
	return path;
}

FIXTURE_SETUP(carrier)
{
	struct hk_carrier_config config = { .rcvbuf = 4 << 20, .sndbuf = 4 << 20 };
	const char *dev_a = variant->loopback ? "lo" : "va";
	const char *dev_b = variant->loopback ? "lo" : "vb";
	unsigned int prefix_len = variant->v6 ? 64 : 24;
	int err;

	if (geteuid())
		SKIP(return, "needs root");
	if (variant->v6 && !netns_has_ipv6())
		SKIP(return, "needs IPv6");
	if (variant->loopback) {
		ASSERT_EQ(0, make_one_host(&self->ns_a, &self->ns_b));
	} else {
		ASSERT_EQ(0, make_hosts(&self->ns_a, &self->ns_b));
	}
	ASSERT_EQ(0, netns_add_addr(ADDR_A, prefix_len, dev_a));
	ASSERT_EQ(0, netns_add_addr(ADDR_A2, prefix_len, dev_a));
	err = hk_carrier_open(&self->a, variant->name, &config);
	if (err == -EPROTONOSUPPORT)
		SKIP(return, "kernel has no %s sockets", variant->name);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_add_addr(ADDR_B, prefix_len, dev_b));
	ASSERT_EQ(0, hk_carrier_open(&self->b, variant->name, &config));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
}

FIXTURE_TEARDOWN(carrier)
{
	hk_carrier_close(&self->a);
	hk_carrier_close(&self->b);
	close(self->ns_a);
	close(self->ns_b);
}

static void fill(__u8 *data, __u32 len, unsigned int seed)
{
	__u32 i;

	for (i = 0; i < len; i++)
		data[i] = seed * 7 + i * 13 + (i >> 8);
}

static bool is_filled(const __u8 *data, __u32 len, unsigned int seed)
{
	__u8 want[BUF_LEN];

	fill(want, len, seed);
	return !memcmp(data, want, len);
}

/* Sends all, as often as send() takes only some; 0 or a negative errno */
static int send_all(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	struct pollfd pfd = { .events = POLLOUT };
	int done = 0, ret;

	while (done < n) {
		ret = c->ops->send(c, dgrams + done, n - done);
		if (ret == -EAGAIN) {
			pfd.fd = c->fd[hk_addr_is_mapped(dgrams[done].path.remote) ? 0 : 1];
			poll(&pfd, 1, WAIT_MS);
			continue;
		}
		if (ret <= 0)
			return ret ? ret : -EPROTO;
		done += ret;
	}
	return 0;
}

static int wait_input(struct hk_carrier *c, int family_idx, int ms)
{
	struct pollfd pfd = { .fd = c->fd[family_idx], .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 ? pfd.revents : 0;
}

/* Receives up to @n, at most @chunk at once, until they are there or nothing more comes */
static int recv_some(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams,
		     __u8 (*bufs)[BUF_LEN], int n, int chunk)
{
	int done = 0, i, ret;

	while (done < n) {
		for (i = done; i < n; i++) {
			dgrams[i].data = bufs[i];
			dgrams[i].len = BUF_LEN;
		}
		ret = c->ops->recv(c, family_idx, dgrams + done,
				   n - done < chunk ? n - done : chunk);
		if (ret == -EAGAIN && wait_input(c, family_idx, SILENCE_MS * 5))
			continue;
		if (ret <= 0)
			break;
		done += ret;
	}
	return done;
}

#define RECV(n, chunk)	\
	recv_some(&self->b, variant->v6, self->dgrams, self->bufs, n, chunk)

/* Whether datagram @i of those received is the one sent, with the path turned round */
#define EXPECT_ARRIVED(i, sent, seed)							\
	do {										\
		struct hk_datagram *got = &self->dgrams[i];				\
		struct hk_path back = make_path(ADDR_B, ADDR_A, self->a.port);		\
											\
		EXPECT_EQ((sent)->len, got->len);					\
		EXPECT_TRUE(is_filled(got->data, got->len, seed));			\
		EXPECT_EQ(0, memcmp(&back, &got->path, sizeof(back)));			\
	} while (0)

TEST_F(carrier, batches_arrive_intact_and_in_order)
{
	static const int sizes[] = { 1, 2, 3, 7, 16, 63, 64 };
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	unsigned int seed = 4711, round;
	struct hk_datagram out[BATCH];
	__u8 data[BATCH][BUF_LEN];
	int i, n;

	TH_LOG("seed %u", seed);
	for (round = 0; round < 3 * ARRAY_SIZE(sizes); round++) {
		n = sizes[round % ARRAY_SIZE(sizes)];
		for (i = 0; i < n; i++) {
			out[i] = (struct hk_datagram){ .path = path, .data = data[i] };
			out[i].len = i == 1 ? 0 : i == 2 ? MAX_LEN : rand_r(&seed) % (MAX_LEN + 1);
			fill(data[i], out[i].len, round + i);
		}
		ASSERT_EQ(0, send_all(&self->a, out, n));
		ASSERT_EQ(n, RECV(n, BATCH));
		for (i = 0; i < n; i++)
			EXPECT_ARRIVED(i, &out[i], round + i);
	}
	EXPECT_EQ(-EAGAIN, self->b.ops->recv(&self->b, variant->v6, self->dgrams, BATCH));
}

/* What segmentation and merging are made for; the last is shorter and a second run follows */
TEST_F(carrier, equal_sizes_arrive_intact_and_in_order)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_datagram out[BATCH];
	__u8 data[BATCH][BUF_LEN];
	int i, chunk;

	for (i = 0; i < BATCH; i++) {
		out[i] = (struct hk_datagram){ .path = path, .data = data[i], .len = 1200 };
		if (i == 40)
			out[i].len = 700;
		if (i > 50)
			out[i].len = MAX_LEN;
		fill(data[i], out[i].len, i);
	}
	for (chunk = 1; chunk <= BATCH; chunk *= 4) {
		ASSERT_EQ(0, send_all(&self->a, out, BATCH));
		ASSERT_EQ(BATCH, RECV(BATCH, chunk));
		for (i = 0; i < BATCH; i++)
			EXPECT_ARRIVED(i, &out[i], i);
	}
	EXPECT_EQ(IS_UDP, self->a.gso);
}

/* Of those that would be merged or leave as one, too */
TEST_F(carrier, marks_arrive_with_their_datagrams)
{
	static const __u8 marks[] = { 0, 0, 2, 2, 2, 1, 3, 3, 0, 2 };
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_datagram out[BATCH];
	__u8 data[BATCH][BUF_LEN];
	int i;

	for (i = 0; i < BATCH; i++) {
		out[i] = (struct hk_datagram){
			.path = path, .data = data[i], .len = 1000,
			.ecn = marks[i % ARRAY_SIZE(marks)],
		};
		fill(data[i], out[i].len, i);
	}
	ASSERT_EQ(0, send_all(&self->a, out, BATCH));
	ASSERT_EQ(BATCH, RECV(BATCH, BATCH));
	for (i = 0; i < BATCH; i++) {
		EXPECT_ARRIVED(i, &out[i], i);
		EXPECT_EQ(out[i].ecn, self->dgrams[i].ecn);
	}
}

TEST_F(carrier, segmentation_that_fails_is_given_up)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	int a = self->a.fd[variant->v6], b = self->b.fd[variant->v6];
	struct hk_datagram out[8];
	__u8 data[8][BUF_LEN];
	int i, on = 1;

	if (!IS_UDP)
		SKIP(return, "nothing to give up [variant]");
	/* The kernel refuses to segment what has no checksum */
	if (variant->v6) {
		ASSERT_EQ(0, setsockopt(a, IPPROTO_UDP, UDP_NO_CHECK6_TX, &on, sizeof(on)));
		ASSERT_EQ(0, setsockopt(b, IPPROTO_UDP, UDP_NO_CHECK6_RX, &on, sizeof(on)));
	} else {
		ASSERT_EQ(0, setsockopt(a, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)));
	}
	for (i = 0; i < 8; i++) {
		out[i] = (struct hk_datagram){ .path = path, .data = data[i], .len = 1000 };
		fill(data[i], out[i].len, i);
	}
	ASSERT_EQ(0, send_all(&self->a, out, 8));
	EXPECT_FALSE(self->a.gso);
	ASSERT_EQ(8, RECV(8, BATCH));
	for (i = 0; i < 8; i++)
		EXPECT_ARRIVED(i, &out[i], i);
}

TEST_F(carrier, source_address_is_the_one_asked_for)
{
	struct hk_path second = make_path(ADDR_A2, ADDR_B, self->b.port);
	struct hk_path any = make_path(NULL, ADDR_B, self->b.port);
	struct hk_path first = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_path want[3];
	__u8 byte = 1;
	struct hk_datagram out[3] = {
		{ .path = second, .data = &byte, .len = 1 },
		{ .path = first, .data = &byte, .len = 1 },
		{ .path = any, .data = &byte, .len = 1 },
	};
	int i;

	want[0] = make_path(ADDR_B, ADDR_A2, self->a.port);
	want[1] = make_path(ADDR_B, ADDR_A, self->a.port);
	ASSERT_EQ(0, send_all(&self->a, out, 3));
	ASSERT_EQ(3, RECV(3, BATCH));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, memcmp(&want[i], &self->dgrams[i].path, sizeof(want[i])));
	EXPECT_EQ(self->a.port, self->dgrams[2].path.rport);
}

TEST_F(carrier, source_address_of_another_host_is_refused)
{
	struct hk_path path = make_path(variant->v6 ? "2001:db8::1" : "192.0.2.1", ADDR_B,
					self->b.port);
	struct hk_datagram out[2] = {
		{ .path = path, .data = "xx", .len = 2 },
		{ .path = path, .data = "yy", .len = 2 },
	};

	int ret = self->a.ops->send(&self->a, out, 2);

	EXPECT_TRUE(ret == -EINVAL || ret == -ENETUNREACH) {
		TH_LOG("send: %d", ret);
	}
	EXPECT_EQ(IS_UDP, self->a.gso);
}

TEST_F(carrier, answer_takes_the_path_back)
{
	struct hk_path path = make_path(ADDR_A2, ADDR_B, self->b.port);
	struct hk_datagram out = { .path = path, .data = "ping", .len = 4 }, answer;

	ASSERT_EQ(0, send_all(&self->a, &out, 1));
	ASSERT_EQ(1, RECV(1, BATCH));
	answer = (struct hk_datagram){ .path = self->dgrams[0].path, .data = "pong", .len = 4 };
	ASSERT_EQ(0, send_all(&self->b, &answer, 1));
	ASSERT_EQ(1, recv_some(&self->a, variant->v6, self->dgrams, self->bufs, 1, 1));
	EXPECT_EQ(0, memcmp("pong", self->dgrams[0].data, 4));
	EXPECT_EQ(0, memcmp(&path, &self->dgrams[0].path, sizeof(path)));
}

TEST_F(carrier, too_large_is_refused_and_the_rest_is_sent)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	__u8 data[3][BUF_LEN] = { 0 };
	struct hk_datagram out[3] = {
		{ .path = path, .data = data[0], .len = MAX_LEN },
		{ .path = path, .data = data[1], .len = MAX_LEN + 1 },
		{ .path = path, .data = data[2], .len = 1 },
	};
	struct hk_carrier_error error = { .data = data[0], .len = BUF_LEN };

	EXPECT_EQ(1, self->a.ops->send(&self->a, out, 3));
	EXPECT_EQ(-EMSGSIZE, self->a.ops->send(&self->a, out + 1, 2));
	EXPECT_EQ(1, self->a.ops->send(&self->a, out + 2, 1));
	ASSERT_EQ(2, RECV(2, BATCH));
	EXPECT_EQ(1U, self->dgrams[1].len);
	/* send() told already; the error queue is for what others tell */
	EXPECT_EQ(-EAGAIN, self->a.ops->recv_error(&self->a, variant->v6, &error));
}

TEST_F(carrier, run_of_too_large_ones_is_refused)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	__u8 data[BUF_LEN] = { 0 };
	struct hk_datagram out[2] = {
		{ .path = path, .data = data, .len = MAX_LEN + 1 },
		{ .path = path, .data = data, .len = MAX_LEN + 1 },
	};

	EXPECT_EQ(-EMSGSIZE, self->a.ops->send(&self->a, out, 2));
	EXPECT_EQ(IS_UDP, self->a.gso);
}

TEST_F(carrier, what_does_not_fit_the_buffer_has_no_length)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_datagram out[2] = {
		{ .path = path, .data = "0123456789", .len = 10 },
		{ .path = path, .data = "01234", .len = 5 },
	};
	char small[2][5];
	int i, n;

	ASSERT_EQ(0, send_all(&self->a, out, 2));
	for (i = 0; i < 2; i++) {
		struct hk_datagram in = { .data = small[i], .len = 5 };

		/* the second may be out of the socket already, and wake nobody (UDP_GRO) */
		n = self->b.ops->recv(&self->b, variant->v6, &in, 1);
		if (n == -EAGAIN) {
			ASSERT_NE(0, wait_input(&self->b, variant->v6, WAIT_MS));
			n = self->b.ops->recv(&self->b, variant->v6, &in, 1);
		}
		ASSERT_EQ(1, n);
		EXPECT_EQ(i ? 5U : 0U, in.len);
	}
}

/* -- ICMP ------------------------------------------------------------------ */

#define CLOSED_PORT	htons(9)

TEST_F(carrier, closed_port_is_reported_with_a_quote)
{
	struct hk_path closed = make_path(ADDR_A2, ADDR_B, CLOSED_PORT);
	struct hk_path open = make_path(ADDR_A, ADDR_B, self->b.port);
	__u8 data[200], quote[BUF_LEN];
	struct hk_datagram out = { .path = closed, .data = data, .len = sizeof(data) };
	struct hk_carrier_error error = { .data = quote, .len = sizeof(quote) };

	fill(data, sizeof(data), 5);
	ASSERT_EQ(0, send_all(&self->a, &out, 1));
	ASSERT_TRUE(wait_input(&self->a, variant->v6, WAIT_MS) & POLLERR);

	/* The pending error isn't that of another peer's datagram */
	out.path = open;
	EXPECT_EQ(1, self->a.ops->send(&self->a, &out, 1));
	EXPECT_EQ(1, RECV(1, 1));

	ASSERT_EQ(0, self->a.ops->recv_error(&self->a, variant->v6, &error));
	EXPECT_EQ(ECONNREFUSED, error.err);
	EXPECT_EQ(0U, error.mtu);
	EXPECT_EQ(0, memcmp(&closed, &error.path, sizeof(closed)));
	EXPECT_EQ((__u32)sizeof(data), error.len);
	EXPECT_TRUE(is_filled(quote, sizeof(data), 5));

	error = (struct hk_carrier_error){ .data = quote, .len = sizeof(quote) };
	EXPECT_EQ(-EAGAIN, self->a.ops->recv_error(&self->a, variant->v6, &error));
	EXPECT_EQ(0, wait_input(&self->a, variant->v6, 0));
}

TEST_F(carrier, pending_error_does_not_hide_input)
{
	struct hk_path closed = make_path(ADDR_A, ADDR_B, CLOSED_PORT);
	struct hk_path back = make_path(ADDR_B, ADDR_A, self->a.port);
	struct hk_datagram out = { .path = closed, .data = "x", .len = 1 };
	struct hk_datagram answer = { .path = back, .data = "y", .len = 1 };

	ASSERT_EQ(0, send_all(&self->a, &out, 1));
	ASSERT_TRUE(wait_input(&self->a, variant->v6, WAIT_MS) & POLLERR);
	ASSERT_EQ(0, send_all(&self->b, &answer, 1));
	self->dgrams[0] = (struct hk_datagram){ .data = self->bufs[0], .len = BUF_LEN };
	EXPECT_EQ(1, self->a.ops->recv(&self->a, variant->v6, self->dgrams, 1));
}

static __u16 icmp_checksum(const __u8 *p, size_t len)
{
	__u32 sum = 0;

	for (; len > 1; p += 2, len -= 2)
		sum += p[0] << 8 | p[1];
	if (len)
		sum += p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

/* The IP header of a datagram from A to B, as a router would quote it */
static size_t put_quoted_ip(__u8 *p, const struct hk_path *path, __u8 proto, size_t len, bool v6)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 60, .protocol = proto };

	if (v6) {
		memset(p, 0, 40);
		p[0] = 6 << 4;
		p[4] = len >> 8;
		p[5] = len;
		p[6] = proto;
		memcpy(p + 8, path->local, 16);
		memcpy(p + 24, path->remote, 16);
		return 40;
	}
	ip.tot_len = htons(len + 20);
	ip.saddr = path->local[3];
	ip.daddr = path->remote[3];
	memcpy(p, &ip, sizeof(ip));
	return sizeof(ip);
}

/* "Packet too big, MTU 1400" from B about a datagram of A that has @quote in front */
static int send_too_big(const struct hk_path *path, const struct hk_carrier *a, bool v6,
			const char *quote)
{
	struct sockaddr_storage to;
	socklen_t to_len = hk_addr_to_sockaddr(&to, path->local, 0);
	__be16 ports[4] = { a->port, path->rport, htons(QUOTED_LEN), 0 };
	__u8 packet[256] = { 0 };
	size_t len = 8;
	int fd, ret;

	packet[0] = v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH;
	packet[1] = v6 ? 0 : ICMP_FRAG_NEEDED;
	packet[6] = 1400 >> 8;
	packet[7] = 1400 & 0xff;
	len += put_quoted_ip(packet + len, path, a->ops->ip_proto, QUOTED_LEN, v6);
	memcpy(packet + len, ports, sizeof(ports));
	len += sizeof(ports);
	memcpy(packet + len, quote, strlen(quote));
	len += strlen(quote);
	if (!v6) {
		__u16 sum = icmp_checksum(packet, len);

		memcpy(packet + 2, &sum, 2);
	}
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC,
		    v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	ret = sendto(fd, packet, len, 0, (struct sockaddr *)&to, to_len);
	close(fd);
	return ret == (int)len ? 0 : -1;
}

/* Anybody can send such a message: it is told, but it isn't obeyed */
TEST_F(carrier, path_mtu_from_icmp_is_told_and_not_obeyed)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	static const char text[] = "sixteen bytes...";
	__u8 data[BUF_LEN] = { 0 }, quote[64];
	struct hk_datagram out = { .path = path, .data = data, .len = MAX_LEN };
	struct hk_carrier_error error = { .data = quote, .len = sizeof(quote) };

	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, send_too_big(&path, &self->a, variant->v6, text));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	ASSERT_TRUE(wait_input(&self->a, variant->v6, WAIT_MS) & POLLERR);

	EXPECT_EQ(1, self->a.ops->send(&self->a, &out, 1));
	EXPECT_EQ(1, RECV(1, 1));
	EXPECT_EQ((__u32)MAX_LEN, self->dgrams[0].len);

	ASSERT_EQ(0, self->a.ops->recv_error(&self->a, variant->v6, &error));
	EXPECT_EQ(EMSGSIZE, error.err);
	EXPECT_EQ(1400U, error.mtu);
	EXPECT_EQ(0, memcmp(&path, &error.path, sizeof(path)));
	ASSERT_EQ((__u32)strlen(text), error.len);
	EXPECT_EQ(0, memcmp(text, quote, error.len));
}

/* -- coverage -------------------------------------------------------------- */

static int open_raw(bool v6, int ip_proto)
{
	return socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, ip_proto);
}

/* The next datagram as it came, from its UDP-Lite header on */
static ssize_t recv_raw(int fd, __u8 *packet, size_t cap, bool v6)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t len;

	if (poll(&pfd, 1, WAIT_MS) != 1)
		return -1;
	len = recv(fd, packet, cap, 0);
	if (v6 || len < 20)
		return len;
	len -= 20;
	memmove(packet, packet + 20, len);	/* IPv4 raw sockets give the IP header, too */
	return len;
}

/* The checksum has the source address in it, so that is chosen, too */
static int send_raw(int fd, const __u8 *packet, size_t len, const struct hk_path *path)
{
	struct sockaddr_storage from, to;
	socklen_t from_len = hk_addr_to_sockaddr(&from, path->local, 0);
	socklen_t to_len = hk_addr_to_sockaddr(&to, path->remote, 0);

	if (bind(fd, (struct sockaddr *)&from, from_len))
		return -1;
	return sendto(fd, packet, len, 0, (struct sockaddr *)&to, to_len) == (ssize_t)len ? 0 : -1;
}

TEST_F(carrier, coverage_is_what_was_asked_for)
{
	static const __u32 coverages[] = { 16, 16, 0, 1, 99, 100, 101, 40 };
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_datagram out[ARRAY_SIZE(coverages)];
	__u8 data[100], packet[BUF_LEN];
	__u16 field, want;
	unsigned int i;
	int raw;

	if (IS_UDP)
		SKIP(return, "UDP covers everything [variant]");
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	raw = open_raw(variant->v6, IPPROTO_UDPLITE);
	ASSERT_LE(0, raw);
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	fill(data, sizeof(data), 3);
	for (i = 0; i < ARRAY_SIZE(coverages); i++)
		out[i] = (struct hk_datagram){
			.path = path, .data = data, .len = sizeof(data), .coverage = coverages[i],
		};
	ASSERT_EQ(0, send_all(&self->a, out, ARRAY_SIZE(coverages)));
	for (i = 0; i < ARRAY_SIZE(coverages); i++) {
		ASSERT_EQ(UDP_HDR_LEN + 100, recv_raw(raw, packet, sizeof(packet), variant->v6));
		field = packet[4] << 8 | packet[5];
		want = coverages[i] && coverages[i] < 100 ? UDP_HDR_LEN + coverages[i] : 0;
		EXPECT_TRUE(field == want || (!want && field == UDP_HDR_LEN + 100)) {
			TH_LOG("coverage %u: field %u", coverages[i], field);
		}
	}
	ASSERT_EQ((int)ARRAY_SIZE(coverages), RECV(ARRAY_SIZE(coverages), BATCH));
	for (i = 0; i < ARRAY_SIZE(coverages); i++)
		EXPECT_ARRIVED(i, &out[i], 3);
	close(raw);
}

TEST_F(carrier, damage_beyond_the_coverage_is_let_through)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	__u8 data[100], packet[BUF_LEN];
	struct hk_datagram out = { .path = path, .data = data, .len = 100, .coverage = 16 };
	int raw_a, raw_b;

	if (IS_UDP)
		SKIP(return, "UDP covers everything [variant]");
	raw_a = open_raw(variant->v6, IPPROTO_UDPLITE);
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	raw_b = open_raw(variant->v6, IPPROTO_UDPLITE);
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	fill(data, sizeof(data), 9);
	ASSERT_EQ(0, send_all(&self->a, &out, 1));
	ASSERT_EQ(UDP_HDR_LEN + 100, recv_raw(raw_b, packet, sizeof(packet), variant->v6));
	ASSERT_EQ(1, RECV(1, 1));

	packet[UDP_HDR_LEN + 16] ^= 0x40;	/* the first byte not covered */
	ASSERT_EQ(0, send_raw(raw_a, packet, UDP_HDR_LEN + 100, &path));
	ASSERT_EQ(1, RECV(1, 1));
	EXPECT_EQ(100U, self->dgrams[0].len);
	EXPECT_EQ(data[16] ^ 0x40, self->bufs[0][16]);

	packet[UDP_HDR_LEN + 15] ^= 0x40;	/* the last byte covered */
	ASSERT_EQ(0, send_raw(raw_a, packet, UDP_HDR_LEN + 100, &path));
	EXPECT_EQ(0, RECV(1, 1));
	close(raw_a);
	close(raw_b);
}

TEST_F(carrier, too_little_coverage_is_dropped)
{
	struct hk_carrier_config config = { .min_coverage = 16 };
	struct hk_datagram out[3];
	struct hk_path path;
	__u8 data[100];
	int i;

	if (IS_UDP)
		SKIP(return, "UDP covers everything [variant]");
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	hk_carrier_close(&self->b);
	ASSERT_EQ(0, hk_carrier_open(&self->b, variant->name, &config));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	path = make_path(ADDR_A, ADDR_B, self->b.port);
	for (i = 0; i < 3; i++)
		out[i] = (struct hk_datagram){ .path = path, .data = data, .len = 100 - i };
	fill(data, sizeof(data), 4);
	out[0].coverage = 15;
	out[1].coverage = 16;
	ASSERT_EQ(0, send_all(&self->a, out, 3));
	ASSERT_EQ(2, RECV(2, BATCH));
	EXPECT_EQ(99U, self->dgrams[0].len);
	EXPECT_EQ(98U, self->dgrams[1].len);
}

/*
 * A deployed mechanism's carrier has two sockets that send, and one to be polled. Nobody
 * answers for the address, so what is sent stays in the buffers.
 */
TEST(deployed_is_full_when_the_polled_socket_is)
{
	const struct hk_mechanism mech = { .name = "test", .ip_proto = 136, .hdr_len = 8 };
	const struct hk_carrier_config config = { .port = htons(4000), .sndbuf = 16384 };
	struct hk_path path = make_path("10.9.2.1", "10.9.2.77", htons(4000));
	__u8 data[1000] = { 0 };
	struct hk_datagram out = { .path = path, .data = data, .len = 1000, .coverage = 24 };
	struct pollfd pfd = { .events = POLLOUT };
	int ns_a, ns_b, ret, nr = 0;
	struct hk_carrier c;
	__be16 locals[2];

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, make_hosts(&ns_a, &ns_b));
	ASSERT_EQ(0, netns_add_addr("10.9.2.1", 24, "va"));
	ASSERT_EQ(0, hk_carrier_open_deployed(&c, &mech, &config, locals));
	do {
		ret = c.ops->send(&c, &out, 1);
	} while (ret == 1 && ++nr < 1000);
	EXPECT_EQ(-EAGAIN, ret);
	EXPECT_GT(nr, 1);
	pfd.fd = c.fd[0];
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	hk_carrier_close(&c);
	close(ns_a);
	close(ns_b);
}

/* -- opening --------------------------------------------------------------- */

TEST_F(carrier, taken_port_is_refused)
{
	struct hk_carrier_config config = { .port = self->a.port };
	struct hk_carrier second;

	EXPECT_EQ(-EADDRINUSE, hk_carrier_open(&second, variant->name, &config));
	hk_carrier_close(&second);
	hk_carrier_close(&self->a);
	hk_carrier_close(&self->a);	/* closed ones are fine */
	EXPECT_EQ(0, hk_carrier_open(&self->a, variant->name, &config));
	EXPECT_EQ(config.port, self->a.port);
}

TEST_F(carrier, mark_is_set)
{
	struct hk_carrier_config config = { .mark = 0x4b00 };
	struct hk_carrier c;
	socklen_t len = sizeof(int);
	int i, mark = 0;

	ASSERT_EQ(0, hk_carrier_open(&c, variant->name, &config));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, getsockopt(c.fd[i], SOL_SOCKET, SO_MARK, &mark, &len));
		EXPECT_EQ(0x4b00, mark);
	}
	hk_carrier_close(&c);
}

/* Makes socket() fail with @err if its argument @nr is @val */
static int break_socket(int nr, __u32 val, int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[nr])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, val, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST_F(carrier, other_family_works_where_one_is_missing)
{
	struct hk_path path = make_path(ADDR_A, ADDR_B, self->b.port);
	struct hk_datagram out = { .path = path, .data = "x", .len = 1 };
	struct hk_carrier_config config = { 0 };
	struct hk_carrier c;

	if (break_socket(0, variant->v6 ? AF_INET : AF_INET6, EAFNOSUPPORT))
		SKIP(return, "needs seccomp");
	ASSERT_EQ(0, hk_carrier_open(&c, variant->name, &config));
	EXPECT_EQ(-1, c.fd[!variant->v6]);
	EXPECT_LE(0, c.fd[variant->v6]);
	EXPECT_NE(0, c.port);
	ASSERT_EQ(0, send_all(&c, &out, 1));
	EXPECT_EQ(1, RECV(1, 1));
	out.path = make_path(NULL, variant->v6 ? "192.0.2.1" : "2001:db8::1", 1);
	EXPECT_EQ(-EAFNOSUPPORT, c.ops->send(&c, &out, 1));
	hk_carrier_close(&c);
}

TEST_F(carrier, missing_protocol_is_told_apart)
{
	struct hk_carrier_config config = { 0 };
	struct hk_carrier c;

	if (break_socket(2, self->a.ops->ip_proto, EPROTONOSUPPORT))
		SKIP(return, "needs seccomp");
	EXPECT_EQ(-EPROTONOSUPPORT, hk_carrier_open(&c, variant->name, &config));
	EXPECT_EQ(-1, c.fd[0]);
	EXPECT_EQ(-1, c.fd[1]);
	hk_carrier_close(&c);
}

TEST_F(carrier, path_mtu_is_that_of_route_or_device)
{
	struct hk_path path = make_path(NULL, ADDR_B, self->b.port);
	struct hk_path nowhere = make_path(NULL, variant->v6 ? "2001:db8::1" : "192.0.2.1", 1);
	struct hk_path foreign = make_path(variant->v6 ? "2001:db8::1" : "192.0.2.1", ADDR_B, 1);

	EXPECT_EQ(MTU, hk_carrier_path_mtu(&path));
	EXPECT_EQ(-ENETUNREACH, hk_carrier_path_mtu(&nowhere));
	EXPECT_EQ(-EADDRNOTAVAIL, hk_carrier_path_mtu(&foreign));
	if (variant->loopback)
		return;
	ASSERT_EQ(0, netns_run("ip route add %s dev va mtu 1300", ADDR_B));
	EXPECT_EQ(1300, hk_carrier_path_mtu(&path));
}

TEST(registry_is_complete_and_ordered)
{
	const struct hk_carrier_ops *ops;
	struct hk_carrier_config config = { 0 };
	struct hk_carrier c;
	unsigned int i;
	__u8 before = 0;

	for (i = 0; (ops = hk_carrier_at(i)); i++) {
		EXPECT_EQ(ops, hk_carrier_by_name(ops->name));
		EXPECT_LT(before, ops->proto);
		before = ops->proto;
	}
	EXPECT_EQ(2U, i);
	EXPECT_EQ(NULL, hk_carrier_by_name("carrier pigeon"));
	EXPECT_EQ(-ENOENT, hk_carrier_open(&c, "carrier pigeon", &config));
	hk_carrier_close(&c);
	hk_carrier_close(NULL);
}

TEST_HARNESS_MAIN
