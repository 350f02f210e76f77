// SPDX-License-Identifier: GPL-2.0
/*
 * Forged sockets talk to each other, and to sockets that had a handshake with
 * somebody who never existed. No BPF here: what the programs do (catching
 * segments, marking sockets) the tests do themselves.
 *
 * The namespace has a veth pair whose far end is a dead end: what an
 * application sends to 10.9.1.2 or fd09:1::2 is seen there by a packet socket
 * and goes nowhere.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/route.h"
#include "../../../hooker/tcp/addr.h"
#include "../../../hooker/tcp/inject.h"
#include "../../../hooker/tcp/state.h"
#include "netns.h"

#define MARK		0x4b00
#define SERVER_PORT	80
#define CLIENT_PORT	40000
#define WAIT_MS		5000
#define TRANSFER	(1 << 20)

#define SYN		0x02
#define ACK		0x10

static const struct hk_tcp_limits no_limits;

static void parse_address(__be32 addr[4], const char *text)
{
	__be32 v4;

	if (inet_pton(AF_INET6, text, addr) == 1)
		return;
	if (inet_pton(AF_INET, text, &v4) == 1)
		hk_addr_map(addr, v4);
}

static struct hk_flow_key make_key(const char *local, __u16 lport, const char *remote, __u16 rport)
{
	struct hk_flow_key key = { .lport = htons(lport), .rport = htons(rport) };

	parse_address(key.laddr, local);
	parse_address(key.raddr, remote);
	return key;
}

static int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val));
}

static int get_int(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int val = -1;

	getsockopt(fd, level, name, &val, &len);
	return val;
}

/* Waits for one of @events; 0 after WAIT_MS */
static int wait_for(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, WAIT_MS) == 1 ? pfd.revents : 0;
}

static __u8 pattern(size_t pos)
{
	return pos * 31 + (pos >> 8) * 7 + (pos >> 16);
}

static ssize_t send_pattern(int fd, size_t pos, size_t end)
{
	__u8 buf[16384];
	size_t i, len = end - pos < sizeof(buf) ? end - pos : sizeof(buf);

	for (i = 0; i < len; i++)
		buf[i] = pattern(pos + i);
	return send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Bytes read, 0 at the end, -1 on errors; -EILSEQ on wrong bytes */
static ssize_t recv_pattern(int fd, size_t pos)
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
static int transfer(int from, int to, int len)
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
static ssize_t read_outcome(int fd)
{
	char buf[64];
	ssize_t n;

	if (!wait_for(fd, POLLIN))
		return -ETIMEDOUT;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static int tcp_state_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_state;
}

/* -- segments: no kernel needed ------------------------------------------- */

static const struct hk_option sample_option = {
	.kind = HK_OPT_KIND, .len = HK_OPT_LEN, .ver_flags = HK_OPT_VERSION << 4,
	.protos = HK_PROTO_UDP, .instance = "instance", .token = "tok",
};

static struct hk_segment make_full_segment(const char *from, const char *to)
{
	struct hk_option *option = malloc(sizeof(*option));
	struct hk_segment seg = {
		.key = make_key(from, 1234, to, 80),
		.seq = 0xfffffffe, .ack = 0x80000001, .flags = SYN | ACK, .window = 4321,
		.timestamps = true, .tsval = 0xdeadbeef, .tsecr = 77,
		.mss = 1400, .sack = true, .scaled = true, .wscale = 9,
	};

	*option = sample_option;
	option->exid = htons(HK_OPT_EXID);
	seg.option = option;
	return seg;
}

/* A copy that ends where readable memory ends, so that reading past it is a crash */
static __u8 *at_edge(const void *bytes, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);
	__u8 *mem;

	mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || mprotect(mem + page, page, PROT_NONE))
		abort();
	return memcpy(mem + page - len, bytes, len);
}

static void drop_edge(__u8 *edge, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);

	munmap(edge + len - page, 2 * page);
}

static int parse_at_edge(const void *bytes, size_t len, struct hk_parsed *parsed)
{
	__u8 *edge = at_edge(bytes, len);
	int err = hk_segment_parse(edge, len, parsed);

	drop_edge(edge, len);
	return err;
}

FIXTURE(segment) { __u8 packet[HK_SEGMENT_MAX]; ssize_t len; struct hk_segment seg; };

FIXTURE_VARIANT(segment) { const char *from, *to; size_t ip_len; __u16 mss_default; };

FIXTURE_VARIANT_ADD(segment, ipv4) {
	.from = "192.0.2.1", .to = "198.51.100.7", .ip_len = 20, .mss_default = 536,
};

FIXTURE_VARIANT_ADD(segment, ipv6) {
	.from = "2001:db8::1", .to = "2001:db8:ffff::7", .ip_len = 40, .mss_default = 1220,
};

FIXTURE_SETUP(segment)
{
	self->seg = make_full_segment(variant->from, variant->to);
	self->len = hk_segment_build(self->packet, sizeof(self->packet), &self->seg);
	ASSERT_EQ((ssize_t)variant->ip_len + 60, self->len);
}

FIXTURE_TEARDOWN(segment)
{
	free((void *)self->seg.option);
}

TEST_F(segment, is_read_as_it_was_built)
{
	struct hk_parsed parsed;

	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(0, memcmp(&self->seg.key, &parsed.key, sizeof(parsed.key)));
	EXPECT_EQ(self->seg.seq, parsed.seq);
	EXPECT_EQ(self->seg.ack, parsed.ack);
	EXPECT_EQ(self->seg.flags, parsed.flags);
	EXPECT_EQ(self->seg.window, parsed.window);
	EXPECT_EQ(1400, parsed.mss);
	EXPECT_EQ(9, parsed.wscale);
	EXPECT_TRUE(parsed.sack);
	EXPECT_TRUE(parsed.timestamps);
	EXPECT_EQ(self->seg.tsval, parsed.tsval);
	EXPECT_EQ(self->seg.tsecr, parsed.tsecr);
	EXPECT_EQ(0U, parsed.payload);
	ASSERT_NE(NULL, parsed.option);
	EXPECT_EQ(0, memcmp(self->seg.option, parsed.option, HK_OPT_LEN));
}

TEST_F(segment, without_options_has_the_defaults)
{
	struct hk_segment bare = { .key = self->seg.key, .flags = SYN };
	struct hk_parsed parsed;

	ASSERT_EQ((ssize_t)variant->ip_len + 20,
		  hk_segment_build(self->packet, sizeof(self->packet), &bare));
	ASSERT_EQ(0, hk_segment_parse(self->packet, variant->ip_len + 20, &parsed));
	EXPECT_EQ(variant->mss_default, parsed.mss);
	EXPECT_EQ(-1, parsed.wscale);
	EXPECT_FALSE(parsed.sack);
	EXPECT_FALSE(parsed.timestamps);
	EXPECT_EQ(NULL, parsed.option);
}

TEST_F(segment, does_not_fit_into_less)
{
	EXPECT_EQ(-ENOSPC, hk_segment_build(self->packet, self->len - 1, &self->seg));
}

TEST_F(segment, cut_short_anywhere_is_refused)
{
	struct hk_parsed parsed;
	ssize_t len;

	for (len = 0; len < self->len; len++)
		EXPECT_EQ(-EINVAL, parse_at_edge(self->packet, len, &parsed)) {
			TH_LOG("accepted with %zd of %zd bytes", len, self->len);
		}
	EXPECT_EQ(0, parse_at_edge(self->packet, self->len, &parsed));
}

TEST_F(segment, padding_behind_it_is_no_payload)
{
	__u8 padded[HK_SEGMENT_MAX + 40] = { 0 };
	struct hk_parsed parsed;

	memcpy(padded, self->packet, self->len);
	ASSERT_EQ(0, hk_segment_parse(padded, self->len + 6, &parsed));
	EXPECT_EQ(0U, parsed.payload);
}

TEST_F(segment, window_scale_is_bounded)
{
	struct hk_parsed parsed;

	self->seg.wscale = 15;
	hk_segment_build(self->packet, sizeof(self->packet), &self->seg);
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(14, parsed.wscale);
}

TEST_F(segment, other_experiments_are_not_the_offer)
{
	__u8 *option = self->packet + variant->ip_len + 40;
	struct hk_parsed parsed;

	option[3] ^= 1;		/* ExID */
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(NULL, parsed.option);
	option[3] ^= 1;
	option[0] = 253;	/* the other experimental kind */
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(NULL, parsed.option);
}

TEST_F(segment, malformed_option_ends_the_list)
{
	__u8 *option = self->packet + variant->ip_len + 40;
	static const __u8 bad_len[] = { 0, 1, 21, 255 };
	struct hk_parsed parsed;
	unsigned int i;

	for (i = 0; i < sizeof(bad_len); i++) {
		option[1] = bad_len[i];
		ASSERT_EQ(0, parse_at_edge(self->packet, self->len, &parsed));
		EXPECT_EQ(NULL, parsed.option);
		EXPECT_EQ(1400, parsed.mss);
		EXPECT_TRUE(parsed.timestamps);
	}
}

TEST_F(segment, wrong_data_offset_is_refused)
{
	__u8 *offset = self->packet + variant->ip_len + 12;
	struct hk_parsed parsed;
	int words;

	for (words = 0; words < 5; words++) {
		*offset = words << 4;
		EXPECT_EQ(-EINVAL, parse_at_edge(self->packet, self->len, &parsed));
	}
}

TEST_F(segment, other_protocols_are_told_apart)
{
	__u8 *proto = self->packet + (variant->ip_len == 20 ? 9 : 6);
	struct hk_parsed parsed;

	*proto = IPPROTO_UDP;
	EXPECT_EQ(-EPROTONOSUPPORT, parse_at_edge(self->packet, self->len, &parsed));
	*proto = IPPROTO_DSTOPTS;
	EXPECT_EQ(variant->ip_len == 20 ? -EPROTONOSUPPORT : -EOPNOTSUPP,
		  parse_at_edge(self->packet, self->len, &parsed));
}

TEST_F(segment, noise_never_reads_out_of_bounds)
{
	unsigned int seed = 20240707, i, flip;
	__u8 copy[HK_SEGMENT_MAX];
	struct hk_parsed parsed;
	int accepted = 0;

	TH_LOG("seed %u", seed);
	for (i = 0; i < 20000; i++) {
		memcpy(copy, self->packet, self->len);
		for (flip = rand_r(&seed) % 6 + 1; flip; flip--)
			copy[rand_r(&seed) % self->len] = rand_r(&seed);
		if (!parse_at_edge(copy, rand_r(&seed) % 4 ? self->len :
				   rand_r(&seed) % self->len, &parsed))
			accepted++;
	}
	EXPECT_LT(0, accepted);
	EXPECT_GT(20000, accepted);
}

TEST(segment_of_two_families_is_refused)
{
	struct hk_segment seg = { .key = make_key("192.0.2.1", 1, "2001:db8::1", 2) };
	__u8 packet[HK_SEGMENT_MAX];

	EXPECT_EQ(-EINVAL, hk_segment_build(packet, sizeof(packet), &seg));
}

/* -- two forged ends ------------------------------------------------------- */

#define VARIANT_FIELDS						\
	const char	*client, *server;			\
	bool		v6, timestamps, sack, wscale;		\
	__u32		client_seq, server_seq

#define NET4	.client = "10.9.0.1", .server = "10.9.0.2"
#define NET6	.client = "fd09::1", .server = "fd09::2", .v6 = true
#define ALL	.timestamps = true, .sack = true, .wscale = true
#define WRAP	.client_seq = 0xffffff00, .server_seq = 0x7fffff00

FIXTURE(pair) { struct hk_tcp_state client, server; int fd_client, fd_server; };

FIXTURE_VARIANT(pair) { VARIANT_FIELDS; };

FIXTURE_VARIANT_ADD(pair, ipv4_bare) { NET4 };
FIXTURE_VARIANT_ADD(pair, ipv4_timestamps) { NET4, .timestamps = true };
FIXTURE_VARIANT_ADD(pair, ipv4_sack) { NET4, .sack = true };
FIXTURE_VARIANT_ADD(pair, ipv4_scaled) { NET4, .wscale = true };
FIXTURE_VARIANT_ADD(pair, ipv4_all_wrap) { NET4, ALL, WRAP };
FIXTURE_VARIANT_ADD(pair, ipv6_bare_wrap) { NET6, WRAP };
FIXTURE_VARIANT_ADD(pair, ipv6_all) { NET6, ALL, .client_seq = 1, .server_seq = 99 };

static struct hk_tcp_state make_end(const struct hk_flow_key *key, __u32 snd_nxt, __u32 rcv_nxt)
{
	struct hk_tcp_state state = {
		.key = *key, .snd_nxt = snd_nxt, .rcv_nxt = rcv_nxt,
		.snd_wnd = 30000, .rcv_wnd = 30000, .mss = 1460, .tsval = 0xfffffff1,
	};

	return state;
}

static void set_scale(struct hk_tcp_state *state, __u8 snd, __u8 rcv)
{
	state->wscale = true;
	state->snd_wscale = snd;
	state->rcv_wscale = rcv;
}

static void set_options(struct hk_tcp_state *state, bool timestamps, bool sack)
{
	state->timestamps = timestamps;
	state->sack = sack;
}

FIXTURE_SETUP(pair)
{
	struct hk_flow_key key;

	self->fd_client = -1;
	self->fd_server = -1;
	if (geteuid())
		SKIP(return, "needs root");
	if (variant->v6 && !netns_has_ipv6())
		SKIP(return, "needs IPv6");
	ASSERT_EQ(0, netns_enter_new());
	ASSERT_EQ(0, netns_add_addr(variant->client, variant->v6 ? 128 : 32, "lo"));
	ASSERT_EQ(0, netns_add_addr(variant->server, variant->v6 ? 128 : 32, "lo"));

	key = make_key(variant->client, CLIENT_PORT, variant->server, SERVER_PORT);
	self->client = make_end(&key, variant->client_seq, variant->server_seq);
	key = make_key(variant->server, SERVER_PORT, variant->client, CLIENT_PORT);
	self->server = make_end(&key, variant->server_seq, variant->client_seq);
	set_options(&self->client, variant->timestamps, variant->sack);
	set_options(&self->server, variant->timestamps, variant->sack);
	if (variant->wscale) {
		set_scale(&self->client, 7, 3);
		set_scale(&self->server, 3, 7);
	}
	self->fd_client = hk_tcp_forge(&self->client, &no_limits);
	ASSERT_LE(0, self->fd_client) TH_LOG("forge: %s", strerror(-self->fd_client));
	self->fd_server = hk_tcp_forge(&self->server, &no_limits);
	ASSERT_LE(0, self->fd_server) TH_LOG("forge: %s", strerror(-self->fd_server));
}

FIXTURE_TEARDOWN(pair)
{
	close(self->fd_client);
	close(self->fd_server);
}

TEST_F(pair, carries_bytes_both_ways)
{
	EXPECT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->fd_server, self->fd_client, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
}

TEST_F(pair, server_may_speak_first)
{
	EXPECT_EQ(TRANSFER, transfer(self->fd_server, self->fd_client, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
}

TEST_F(pair, has_the_options_asked_for)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	char cc[16] = "";

	ASSERT_EQ(100, transfer(self->fd_client, self->fd_server, 100));
	ASSERT_EQ(0, getsockopt(self->fd_client, IPPROTO_TCP, TCP_INFO, &info, &len));
	EXPECT_EQ(variant->timestamps, !!(info.tcpi_options & TCPI_OPT_TIMESTAMPS));
	EXPECT_EQ(variant->sack, !!(info.tcpi_options & TCPI_OPT_SACK));
	EXPECT_EQ(variant->wscale, !!(info.tcpi_options & TCPI_OPT_WSCALE));
	EXPECT_EQ(variant->wscale ? 7 : 0, info.tcpi_snd_wscale + 0);
	EXPECT_EQ(variant->wscale ? 3 : 0, info.tcpi_rcv_wscale + 0);
	/* The cached size allows for timestamps where the host would use them */
	EXPECT_LE(1460U - 12, info.tcpi_snd_mss);
	EXPECT_GE(1460U, info.tcpi_snd_mss);
	len = sizeof(cc);
	ASSERT_EQ(0, getsockopt(self->fd_client, IPPROTO_TCP, TCP_CONGESTION, cc, &len));
	EXPECT_STREQ("reno", cc);
	EXPECT_EQ(1, get_int(self->fd_client, IPPROTO_TCP, TCP_NODELAY));
}

TEST_F(pair, half_close_of_client_then_server)
{
	ASSERT_EQ(0, shutdown(self->fd_client, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->fd_server));
	EXPECT_EQ(TRANSFER, transfer(self->fd_server, self->fd_client, TRANSFER));
	ASSERT_EQ(0, shutdown(self->fd_server, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->fd_client));
}

TEST_F(pair, half_close_of_server_then_client)
{
	ASSERT_EQ(0, shutdown(self->fd_server, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->fd_client));
	EXPECT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
	ASSERT_EQ(0, shutdown(self->fd_client, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->fd_server));
}

TEST_F(pair, close_is_a_reset)
{
	ASSERT_EQ(100, transfer(self->fd_client, self->fd_server, 100));
	close(self->fd_client);
	self->fd_client = -1;
	EXPECT_EQ(-ECONNRESET, read_outcome(self->fd_server));
}

TEST_F(pair, orderly_end_is_not_a_reset)
{
	ASSERT_EQ(0, shutdown(self->fd_client, SHUT_WR));
	ASSERT_EQ(0, read_outcome(self->fd_server));
	ASSERT_EQ(0, shutdown(self->fd_server, SHUT_WR));
	ASSERT_EQ(0, read_outcome(self->fd_client));
	close(self->fd_client);
	self->fd_client = -1;
	EXPECT_EQ(0, read_outcome(self->fd_server));
}

TEST_F(pair, second_one_like_it_is_refused)
{
	EXPECT_EQ(-EADDRNOTAVAIL, hk_tcp_forge(&self->client, &no_limits));
}

TEST_F(pair, is_dumped_as_it_was_forged)
{
	struct hk_tcp_state seen;

	ASSERT_EQ(0, hk_tcp_dump(self->fd_client, &seen));
	EXPECT_EQ(0, memcmp(&self->client.key, &seen.key, sizeof(seen.key)));
	EXPECT_EQ(self->client.snd_nxt, seen.snd_nxt);
	EXPECT_EQ(self->client.rcv_nxt, seen.rcv_nxt);
	EXPECT_EQ(self->client.snd_wnd, seen.snd_wnd);
	EXPECT_EQ(self->client.rcv_wnd, seen.rcv_wnd);
	EXPECT_EQ(self->client.mss, seen.mss);
	EXPECT_EQ(self->client.wscale, seen.wscale);
	EXPECT_EQ(self->client.snd_wscale, seen.snd_wscale);
	EXPECT_EQ(self->client.rcv_wscale, seen.rcv_wscale);
	EXPECT_EQ(self->client.sack, seen.sack);
	EXPECT_EQ(self->client.timestamps, seen.timestamps);
	if (variant->timestamps) {	/* the clock went on, but not back */
		EXPECT_GT((__u32)WAIT_MS, seen.tsval - self->client.tsval);
	}
	EXPECT_EQ(100, transfer(self->fd_client, self->fd_server, 100));
	EXPECT_EQ(1, get_int(self->fd_client, SOL_SOCKET, SO_REUSEADDR));
}

TEST_F(pair, dump_with_bytes_queued_is_refused)
{
	struct hk_tcp_state seen;

	ASSERT_EQ(3, send(self->fd_client, "abc", 3, 0));
	ASSERT_NE(0, wait_for(self->fd_server, POLLIN));
	EXPECT_EQ(-EBUSY, hk_tcp_dump(self->fd_server, &seen));
	EXPECT_EQ(3, read_outcome(self->fd_server));
}

TEST_F(pair, dump_after_the_end_is_refused)
{
	struct hk_tcp_state seen;

	ASSERT_EQ(0, shutdown(self->fd_client, SHUT_WR));
	EXPECT_EQ(-ENOTCONN, hk_tcp_dump(self->fd_client, &seen));
}

/* The owner of a connection changes, as after a restart, and the peer never knows */
TEST_F(pair, dumped_and_forged_again_goes_on)
{
	struct hk_tcp_state seen;

	ASSERT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
	ASSERT_EQ(TRANSFER, transfer(self->fd_server, self->fd_client, TRANSFER));
	ASSERT_EQ(0, hk_tcp_dump(self->fd_client, &seen));
	ASSERT_EQ(0, set_int(self->fd_client, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON));
	close(self->fd_client);		/* in repair: silent */
	self->fd_client = hk_tcp_forge(&seen, &no_limits);
	ASSERT_LE(0, self->fd_client);
	EXPECT_EQ(TRANSFER, transfer(self->fd_client, self->fd_server, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->fd_server, self->fd_client, TRANSFER));
}

TEST_F(pair, server_of_this_host_can_still_bind_the_port)
{
	struct sockaddr_storage addr = { 0 };
	struct hk_flow_key any = make_key(variant->v6 ? "::" : "0.0.0.0", SERVER_PORT,
					  variant->client, 0);
	socklen_t len = hk_addr_to_sockaddr(&addr, any.laddr, any.lport);
	int fd = socket(addr.ss_family, SOCK_STREAM, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	EXPECT_EQ(0, bind(fd, (struct sockaddr *)&addr, len)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, listen(fd, 1));
	EXPECT_EQ(100, transfer(self->fd_client, self->fd_server, 100));
	close(fd);
}

/* -- limits ---------------------------------------------------------------- */

FIXTURE(limits) { struct hk_tcp_state client, server; };

FIXTURE_SETUP(limits)
{
	struct hk_flow_key key;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, netns_enter_new());
	key = make_key("127.0.0.2", CLIENT_PORT, "127.0.0.3", SERVER_PORT);
	self->client = make_end(&key, 1000, 2000);
	set_scale(&self->client, 7, 7);
	key = make_key("127.0.0.3", SERVER_PORT, "127.0.0.2", CLIENT_PORT);
	self->server = make_end(&key, 2000, 1000);
	set_scale(&self->server, 7, 7);
}

FIXTURE_TEARDOWN(limits)
{
}

/* Sends until nothing more goes for a while; the reader doesn't read */
static int fill(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	int sent = 0;
	ssize_t n;

	while (poll(&pfd, 1, 500) == 1) {
		n = send_pattern(fd, sent, sent + 16384);
		if (n < 0)
			break;
		sent += n;
	}
	return sent;
}

/* Reads what fill() sent; returns how much of it arrived intact */
static int drain(int fd, int len)
{
	int received = 0;
	ssize_t n;

	while (received < len && wait_for(fd, POLLIN)) {
		n = recv_pattern(fd, received);
		if (n <= 0)
			break;
		received += n;
	}
	return received;
}

TEST_F(limits, mark_is_set)
{
	struct hk_tcp_limits limits = { .mark = MARK };
	int fd = hk_tcp_forge(&self->client, &limits);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MARK, get_int(fd, SOL_SOCKET, SO_MARK));
	close(fd);
}

TEST_F(limits, window_grows_to_the_receive_buffer)
{
	struct hk_tcp_limits rx = { .rcvbuf = 1 << 20 }, tx = { .sndbuf = 64 << 10 };
	int fd_client = hk_tcp_forge(&self->client, &tx);
	int fd_server = hk_tcp_forge(&self->server, &rx);
	int sent, unread = 0;

	ASSERT_LE(0, fd_client);
	ASSERT_LE(0, fd_server);
	sent = fill(fd_client);
	ASSERT_EQ(0, ioctl(fd_server, FIONREAD, &unread));
	TH_LOG("%d bytes wait in a buffer of %u, %d sent", unread, rx.rcvbuf, sent);
	EXPECT_LE((int)rx.rcvbuf / 2, unread);		/* the rest is the kernel's overhead */
	EXPECT_GE((int)rx.rcvbuf * 2, unread);
	EXPECT_GE((int)(rx.rcvbuf * 2 + tx.sndbuf * 2), sent);
	EXPECT_EQ(sent, drain(fd_server, sent));
	close(fd_client);
	close(fd_server);
}

TEST_F(limits, promised_window_is_kept)
{
	struct hk_tcp_limits small = { .rcvbuf = 4096 };
	int fd_client, fd_server, unread = 0;

	self->client.snd_wnd = 65535;
	self->server.rcv_wnd = 65535;
	fd_client = hk_tcp_forge(&self->client, &no_limits);
	fd_server = hk_tcp_forge(&self->server, &small);
	ASSERT_LE(0, fd_client);
	ASSERT_LE(0, fd_server);
	fill(fd_client);
	ASSERT_EQ(0, ioctl(fd_server, FIONREAD, &unread));
	EXPECT_LE(32768, unread);
	close(fd_client);
	close(fd_server);
}

TEST_F(limits, contradictions_are_refused)
{
	struct hk_tcp_state bad = self->client;

	bad.rcv_wscale = 15;
	EXPECT_EQ(-EINVAL, hk_tcp_forge(&bad, &no_limits));
	bad = self->client;
	bad.wscale = false;
	EXPECT_EQ(-EINVAL, hk_tcp_forge(&bad, &no_limits));
	bad = self->client;
	bad.key.rport = 0;
	EXPECT_EQ(-EINVAL, hk_tcp_forge(&bad, &no_limits));
	bad = self->client;
	parse_address(bad.key.raddr, "2001:db8::1");
	EXPECT_EQ(-EINVAL, hk_tcp_forge(&bad, &no_limits));
}

TEST_F(limits, without_privilege_it_says_so)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(hk_tcp_forge(&self->client, &no_limits) != -EPERM);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* -- in place of a peer that never answers --------------------------------- */

/*
 * A real socket of this host on one side, a forged one in place of the stranger.
 * @app:    the application's socket, or -1
 * @forged: the stranger's, or -1
 * @tap:    sees what leaves for the stranger
 * @inj:    injector
 * @route:  delivers marked packets here
 */
FIXTURE(takeover) {
	int			app, listener, forged, tap;
	struct hk_injector	inj;
	struct hk_route		route;
	struct hk_flow_key	app_key;
	struct hk_tcp_state	state;
};

FIXTURE_VARIANT(takeover) { const char *host, *stranger; bool v6, options; };

FIXTURE_VARIANT_ADD(takeover, ipv4) {
	.host = "10.9.1.1", .stranger = "10.9.1.2", .options = true,
};

FIXTURE_VARIANT_ADD(takeover, ipv4_bare) { .host = "10.9.1.1", .stranger = "10.9.1.2" };

FIXTURE_VARIANT_ADD(takeover, ipv6) {
	.host = "fd09:1::1", .stranger = "fd09:1::2", .v6 = true, .options = true,
};

FIXTURE_VARIANT_ADD(takeover, ipv6_bare) {
	.host = "fd09:1::1", .stranger = "fd09:1::2", .v6 = true,
};

static int make_dead_end(const char *host, const char *stranger, bool v6)
{
	if (netns_run("ip link add out type veth peer name sink address 02:00:00:00:00:02"))
		return -1;
	if (netns_run("ip link set out up && ip link set sink arp off up"))
		return -1;
	if (netns_wait_up("out") || netns_wait_up("sink"))
		return -1;
	if (netns_add_addr(host, v6 ? 64 : 24, "out"))
		return -1;
	return netns_run("ip neigh add %s lladdr 02:00:00:00:00:02 dev out", stranger);
}

static int open_tap(bool v6)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_IP),
		.sll_ifindex = if_nametoindex("sink"),
	};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	return bind(fd, (struct sockaddr *)&sll, sizeof(sll)) ? -1 : fd;
}

/* The next TCP segment with @flags that leaves for the stranger */
static int read_tap(int tap, __u8 flags, struct hk_parsed *parsed)
{
	__u8 packet[2048];
	ssize_t len;

	for (;;) {
		if (!wait_for(tap, POLLIN))
			return -ETIMEDOUT;
		len = recv(tap, packet, sizeof(packet), 0);
		if (len < 0 || hk_segment_parse(packet, len, parsed))
			continue;
		if (parsed->flags == flags)
			return 0;
	}
}

static int set_sysctl(const char *name, int val)
{
	return netns_run("echo %d > /proc/sys/net/ipv4/%s", val, name);
}

FIXTURE_SETUP(takeover)
{
	self->app = -1;
	self->forged = -1;
	self->listener = -1;
	if (geteuid())
		SKIP(return, "needs root");
	if (variant->v6 && !netns_has_ipv6())
		SKIP(return, "needs IPv6");
	ASSERT_EQ(0, netns_enter_new());
	ASSERT_EQ(0, make_dead_end(variant->host, variant->stranger, variant->v6));
	ASSERT_EQ(0, set_sysctl("tcp_timestamps", variant->options));
	ASSERT_EQ(0, set_sysctl("tcp_sack", variant->options));
	ASSERT_EQ(0, set_sysctl("tcp_window_scaling", variant->options));
	self->tap = open_tap(variant->v6);
	ASSERT_LE(0, self->tap);
	ASSERT_EQ(0, hk_injector_open(&self->inj, MARK + 1));
	self->route = (struct hk_route){ .mark = MARK, .table = 4700, .priority = 100 };
	ASSERT_EQ(0, hk_route_add(&self->route));
}

FIXTURE_TEARDOWN(takeover)
{
	EXPECT_EQ(0, hk_route_del(&self->route));
	hk_injector_close(&self->inj);
	close(self->tap);
	close(self->app);
	close(self->forged);
	close(self->listener);
}

/* What the stranger would know after a segment of the handshake from this host */
static struct hk_tcp_state make_stranger(const struct hk_parsed *seen, __u32 snd_nxt, __u32 tsval)
{
	struct hk_tcp_state state = {
		.key = {
			.lport = seen->key.rport,
			.rport = seen->key.lport,
		},
		.snd_nxt = snd_nxt, .rcv_nxt = seen->seq + 1,
		.snd_wnd = seen->window, .rcv_wnd = 65535, .mss = seen->mss,
		.sack = seen->sack, .timestamps = seen->timestamps, .tsval = tsval,
	};

	memcpy(state.key.laddr, seen->key.raddr, sizeof(state.key.laddr));
	memcpy(state.key.raddr, seen->key.laddr, sizeof(state.key.raddr));
	if (seen->wscale >= 0)
		set_scale(&state, seen->wscale, 7);
	return state;
}

static struct hk_segment make_answer(const struct hk_tcp_state *state,
				     const struct hk_parsed *seen, __u8 flags)
{
	bool syn = flags & SYN;
	struct hk_segment seg = {
		.key = state->key, .flags = flags,
		.seq = state->snd_nxt - syn, .ack = state->rcv_nxt,
		.window = syn || !state->wscale ? 65535 : 65535 >> state->rcv_wscale,
		.timestamps = state->timestamps, .tsval = state->tsval - 1, .tsecr = seen->tsval,
		.mss = syn ? 1400 : 0, .sack = syn && state->sack,
		.scaled = syn && state->wscale, .wscale = state->rcv_wscale,
	};

	return seg;
}

static int inject(const struct hk_injector *inj, const struct hk_segment *seg)
{
	__u8 packet[HK_SEGMENT_MAX];
	ssize_t len = hk_segment_build(packet, sizeof(packet), seg);

	return len < 0 ? (int)len : hk_inject(inj, packet, len);
}

static int start_connect(const struct hk_flow_key *key)
{
	struct sockaddr_storage addr;
	socklen_t len = hk_addr_to_sockaddr(&addr, key->raddr, key->rport);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, len) && errno == EINPROGRESS)
		return fd;
	close(fd);
	return -EPROTO;
}

/* The stranger's clock: far ahead of this host's, so that PAWS drops what doesn't continue it */
#define TSVAL	0x7ffffffdU

/* A client of this host has sent its SYN; the answer is known, but not given yet */
static int meet_client(const struct hk_flow_key *key, int tap, struct hk_parsed *syn,
		       struct hk_tcp_state *state)
{
	int err, fd = start_connect(key);

	if (fd < 0)
		return fd;
	err = read_tap(tap, SYN, syn);
	if (err)
		return err;
	*state = make_stranger(syn, 0xfffffffe, TSVAL);
	return fd;
}

static int finish_connect(int app)
{
	if (!(wait_for(app, POLLOUT) & POLLOUT))
		return -ETIMEDOUT;
	if (get_int(app, SOL_SOCKET, SO_ERROR))
		return -EIO;
	return set_int(app, SOL_SOCKET, SO_MARK, MARK);
}

/* The client side, up to an application whose connect() has returned */
#define TAKE_CLIENT()									\
	do {										\
		struct hk_segment synack;						\
		struct hk_parsed syn;							\
											\
		self->app_key = make_key(variant->host, 0, variant->stranger, SERVER_PORT); \
		self->app = meet_client(&self->app_key, self->tap, &syn, &self->state);	\
		ASSERT_LE(0, self->app);						\
		self->forged = hk_tcp_forge(&self->state, &no_limits);			\
		ASSERT_LE(0, self->forged) TH_LOG("%s", strerror(-self->forged));	\
		synack = make_answer(&self->state, &syn, SYN | ACK);			\
		ASSERT_EQ(0, inject(&self->inj, &synack));				\
		ASSERT_EQ(0, finish_connect(self->app));				\
	} while (0)

TEST_F(takeover, client_talks_to_the_forged_server)
{
	TAKE_CLIENT();
	EXPECT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
}

TEST_F(takeover, forged_server_may_speak_first)
{
	TAKE_CLIENT();
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
}

TEST_F(takeover, nothing_but_the_handshake_leaves_the_host)
{
	struct hk_parsed seen;
	__u8 packet[2048];
	ssize_t len;

	TAKE_CLIENT();
	ASSERT_EQ(0, read_tap(self->tap, ACK, &seen));	/* the third ACK */
	EXPECT_EQ(0U, seen.payload);
	ASSERT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
	while ((len = recv(self->tap, packet, sizeof(packet), MSG_DONTWAIT)) >= 0)
		EXPECT_NE(0, hk_segment_parse(packet, len, &seen)) {
			TH_LOG("flags %#x, %u bytes of payload", seen.flags, seen.payload);
		}
}

TEST_F(takeover, client_ends_first)
{
	TAKE_CLIENT();
	ASSERT_EQ(0, shutdown(self->app, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->forged));
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
	ASSERT_EQ(0, shutdown(self->forged, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->app));
}

TEST_F(takeover, forged_server_ends_first)
{
	TAKE_CLIENT();
	ASSERT_EQ(0, shutdown(self->forged, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->app));
	EXPECT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
	ASSERT_EQ(0, shutdown(self->app, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->forged));
}

TEST_F(takeover, reset_of_the_client_arrives)
{
	struct linger linger = { .l_onoff = 1 };

	TAKE_CLIENT();
	ASSERT_EQ(100, transfer(self->app, self->forged, 100));
	ASSERT_EQ(0, setsockopt(self->app, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(self->app);
	self->app = -1;
	EXPECT_EQ(-ECONNRESET, read_outcome(self->forged));
}

/* Forges in a child, which says one byte and then waits to be killed */
static pid_t forge_in_child(const struct hk_tcp_state *state)
{
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = hk_tcp_forge(state, &no_limits);
	if (fd < 0 || send(fd, "x", 1, 0) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F(takeover, killed_owner_is_a_reset_and_not_an_end)
{
	struct hk_tcp_state state;
	struct hk_segment synack;
	struct hk_parsed syn;
	int status;
	pid_t pid;

	self->app_key = make_key(variant->host, 0, variant->stranger, SERVER_PORT);
	self->app = meet_client(&self->app_key, self->tap, &syn, &state);
	ASSERT_LE(0, self->app);
	synack = make_answer(&state, &syn, SYN | ACK);
	ASSERT_EQ(0, inject(&self->inj, &synack));
	ASSERT_EQ(0, finish_connect(self->app));
	pid = forge_in_child(&state);
	ASSERT_LT(0, pid);
	EXPECT_EQ(1, read_outcome(self->app));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(-ECONNRESET, read_outcome(self->app));
}

static int start_listen(const struct hk_flow_key *key)
{
	struct sockaddr_storage addr;
	socklen_t len = hk_addr_to_sockaddr(&addr, key->laddr, key->lport);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (!set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    !bind(fd, (struct sockaddr *)&addr, len) && !listen(fd, 8))
		return fd;
	close(fd);
	return -EIO;
}

/* A SYN of somebody who doesn't exist; the kernel's answer to it is what we know of the server */
static int meet_server(const struct hk_injector *inj, int tap, const struct hk_flow_key *stranger,
		       bool options, struct hk_parsed *synack)
{
	struct hk_segment syn = {
		.key = *stranger, .flags = SYN, .seq = 0xfffffff0, .window = 65535,
		.mss = 1400, .timestamps = options, .tsval = TSVAL - 1,
		.sack = options, .scaled = options, .wscale = 7,
	};
	int err = inject(inj, &syn);

	return err ? err : read_tap(tap, SYN | ACK, synack);
}

/* The server side, up to an application whose accept() has returned */
#define TAKE_SERVER()									\
	do {										\
		struct hk_parsed synack;						\
		struct hk_flow_key key;							\
		struct hk_segment third;						\
											\
		key = make_key(variant->host, SERVER_PORT, variant->stranger, 0);	\
		self->listener = start_listen(&key);					\
		ASSERT_LE(0, self->listener);						\
		key = make_key(variant->stranger, CLIENT_PORT, variant->host, SERVER_PORT); \
		ASSERT_EQ(0, meet_server(&self->inj, self->tap, &key, variant->options,	\
					 &synack));					\
		EXPECT_EQ(0xfffffff1, synack.ack);					\
		EXPECT_EQ(-1, accept(self->listener, NULL, NULL));			\
		self->state = make_stranger(&synack, synack.ack, TSVAL);		\
		self->forged = hk_tcp_forge(&self->state, &no_limits);			\
		ASSERT_LE(0, self->forged) TH_LOG("%s", strerror(-self->forged));	\
		third = make_answer(&self->state, &synack, ACK);			\
		ASSERT_EQ(0, inject(&self->inj, &third));				\
		ASSERT_NE(0, wait_for(self->listener, POLLIN));				\
		self->app = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK);		\
		ASSERT_LE(0, self->app);						\
		ASSERT_EQ(0, set_int(self->app, SOL_SOCKET, SO_MARK, MARK));		\
	} while (0)

TEST_F(takeover, server_talks_to_the_forged_client)
{
	TAKE_SERVER();
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
}

TEST_F(takeover, server_speaks_first)
{
	TAKE_SERVER();
	EXPECT_EQ(TRANSFER, transfer(self->app, self->forged, TRANSFER));
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
}

TEST_F(takeover, server_ends_first_then_the_forged_client)
{
	TAKE_SERVER();
	ASSERT_EQ(0, shutdown(self->app, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->forged));
	EXPECT_EQ(TRANSFER, transfer(self->forged, self->app, TRANSFER));
	ASSERT_EQ(0, shutdown(self->forged, SHUT_WR));
	EXPECT_EQ(0, read_outcome(self->app));
}

/* -- injection ------------------------------------------------------------- */

TEST_F(takeover, injected_segment_for_another_host_leaves)
{
	struct hk_segment seg = {
		.key = make_key(variant->host, 5555, variant->stranger, 6666),
		.flags = ACK, .seq = 7, .ack = 8, .window = 9,
	};
	struct hk_parsed seen;

	ASSERT_EQ(0, inject(&self->inj, &seg));
	ASSERT_EQ(0, read_tap(self->tap, ACK, &seen));
	EXPECT_EQ(0, memcmp(&seg.key, &seen.key, sizeof(seen.key)));
	EXPECT_EQ(7U, seen.seq);
	EXPECT_EQ(8U, seen.ack);
}

/* As a packet captured before the device would have filled its checksums in */
TEST_F(takeover, unfilled_checksums_are_filled)
{
	size_t ip_len = variant->v6 ? 40 : 20;
	__u8 packet[HK_SEGMENT_MAX];
	struct hk_segment synack;
	struct hk_parsed syn;
	ssize_t len;

	self->app_key = make_key(variant->host, 0, variant->stranger, SERVER_PORT);
	self->app = meet_client(&self->app_key, self->tap, &syn, &self->state);
	ASSERT_LE(0, self->app);
	synack = make_answer(&self->state, &syn, SYN | ACK);
	len = hk_segment_build(packet, sizeof(packet), &synack);
	ASSERT_LT(0, len);
	packet[ip_len + 16] ^= 0x5a;
	packet[ip_len + 17] ^= 0xa5;
	if (!variant->v6)
		packet[10] ^= 0xff;
	ASSERT_EQ(0, hk_inject(&self->inj, packet, len));
	EXPECT_EQ(0, finish_connect(self->app));
	EXPECT_EQ(1, tcp_state_of(self->app));
}

TEST_F(takeover, what_is_no_segment_is_not_injected)
{
	__u8 packet[HK_SEGMENT_MAX] = { 0 };

	EXPECT_EQ(-EINVAL, hk_inject(&self->inj, packet, sizeof(packet)));
	EXPECT_EQ(-EINVAL, hk_inject(&self->inj, packet, 0));
}

TEST_HARNESS_MAIN
