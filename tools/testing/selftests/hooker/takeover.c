// SPDX-License-Identifier: GPL-2.0
/*
 * Forged sockets talk to sockets that had a handshake with somebody who never existed.
 * No BPF here: what the programs do (catching segments, marking sockets) the tests do
 * themselves.
 *
 * The namespace has a veth pair whose far end is a dead end: what an
 * application sends to 10.9.1.2 or fd09:1::2 is seen there by a packet socket
 * and goes nowhere.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "forge.h"
#include "netns.h"
#include "relay/route.h"
#include "tcp/inject.h"

static const struct hk_tcp_limits no_limits;

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
