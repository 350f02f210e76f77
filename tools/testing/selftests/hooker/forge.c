// SPDX-License-Identifier: GPL-2.0
/*
 * Forged sockets talk to each other. No BPF here, and nobody who never existed: that is
 * takeover.c.
 */
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "forge.h"
#include "netns.h"

static const struct hk_tcp_limits no_limits;

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

TEST_HARNESS_MAIN
