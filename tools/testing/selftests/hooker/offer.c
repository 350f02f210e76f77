// SPDX-License-Identifier: GPL-2.0
/*
 * What hk_offer and hk_gate make of sockets that are used in unusual ways, by programs that
 * want something else, and of segments that nobody would send. This host has the programs
 * and no daemon; the other one is a plain TCP, or the test itself, which sees and writes
 * what is on the wire.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "dataplane/dataplane.h"
#include "netns.h"
#include "relay/relay.h"
#include "tcp/addr.h"
#include "tcp/inject.h"
#include "connection.skel.h"
#include "test_options.skel.h"

#define SECRET		42
#define APP_MARK	0x4b01
#define RELAY_MARK	0x4b02
#define PORT_OPEN	5000
#define PORT_OTHER	5001
#define PORT_CLOSED	5002
#define CLIENT_PORT	4000
#define WAIT_MS		1000
#define SEC_NS		1000000000ULL
#define TH_SYN		0x02
#define TH_ACK		0x10
#define TCX_INGRESS	((enum bpf_attach_type)46)

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE	71
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif

/* Of this host, of the other one, one where nobody is but the test, and somebody else's */
static const char * const here4 = "192.0.2.1", * const there4 = "192.0.2.2",
			  * const nobody4 = "192.0.2.9", * const here6 = "2001:db8::1",
			  * const nobody6 = "2001:db8::9", * const foreign4 = "198.51.100.7";

/* Records by type, and the last one that told of a handshake's end */
struct events {
	unsigned int			nr[4];
	struct hk_established_event	last;
};

FIXTURE(offer)
{
	char			cgroup[256];
	int			home, here, there, wire, cgroup_fd;
	struct hk_dataplane	*dp;
	struct events		events;
};

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[512];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* A cgroup with this process in it; sockets that it opens from now on belong there */
static int join_cgroup(char *path, size_t size)
{
	char root[128];
	int err = hk_host_cgroup2(root, sizeof(root));

	if (err)
		return err;
	snprintf(path, size, "%s/hkoffer%d", root, getpid());
	if (mkdir(path, 0755))
		return -errno;
	return write_file(path, "cgroup.procs", "0");
}

static int set_up(int host)
{
	if (netns_run("ip link set veth0 address 02:00:00:00:00:0%d up", host) ||
	    netns_add_addr(host == 1 ? here4 : there4, 24, "veth0"))
		return -EIO;
	return host == 1 ? netns_add_addr(here6, 64, "veth0") : 0;
}

static int know_neighbour(const char *addr)
{
	return netns_run("ip neigh replace %s lladdr 02:00:00:00:00:02 dev veth0", addr);
}

static int open_wire(void)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("veth0"),
	};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&sll, sizeof(sll)) ? -errno : fd;
}

FIXTURE_SETUP(offer)
{
	if (geteuid())
		SKIP(return, "[variant] needs root");
	if (!netns_has_ipv6())
		SKIP(return, "[kernel] no IPv6");
	self->dp = NULL;
	memset(&self->events, 0, sizeof(self->events));
	self->home = netns_open();
	ASSERT_EQ(0, join_cgroup(self->cgroup, sizeof(self->cgroup)));
	self->cgroup_fd = open(self->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, self->cgroup_fd);
	ASSERT_EQ(0, netns_enter_new());
	self->here = netns_open();
	ASSERT_EQ(0, netns_enter_new());
	self->there = netns_open();
	ASSERT_EQ(0, netns_run("ip link add veth0 index 10 type veth peer name veth0 index 11 netns /proc/%d/fd/%d",
			       getpid(), self->here));
	ASSERT_EQ(0, set_up(2));
	self->wire = open_wire();
	ASSERT_LE(0, self->wire);
	ASSERT_EQ(0, setns(self->here, CLONE_NEWNET));
	ASSERT_EQ(0, set_up(1));
	ASSERT_EQ(0, netns_wait_up("veth0"));
	ASSERT_EQ(0, know_neighbour(nobody4));
	ASSERT_EQ(0, know_neighbour(nobody6));
}

FIXTURE_TEARDOWN(offer)
{
	char root[128] = "";

	hk_dataplane_destroy(self->dp);
	close(self->wire);
	close(self->here);
	close(self->there);
	close(self->cgroup_fd);
	setns(self->home, CLONE_NEWNET);
	close(self->home);
	hk_host_cgroup2(root, sizeof(root));
	write_file(root, "cgroup.procs", "0");
	rmdir(self->cgroup);
}

static __u64 netns_cookie(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len);
	close(fd);
	return cookie;
}

static void parse_addr(__be32 bytes[4], const char *addr)
{
	__be32 v4;

	if (inet_pton(AF_INET, addr, &v4) == 1)
		hk_addr_map(bytes, v4);
	else
		inet_pton(AF_INET6, addr, bytes);
}

/* The programs, as if a daemon ran that never has time */
static int start(struct hk_dataplane **dp, int cgroup_fd)
{
	struct hk_dataplane_config config = {
		.bpf = {
			.netns_cookie = netns_cookie(),
			.secret = SECRET,
			.stale_ns = 600 * SEC_NS,
			.hold_max_ns = 600 * SEC_NS,
			.app_mark = APP_MARK,
			.relay_mark = RELAY_MARK,
			.port = htons(18507),
			.protos = HK_PROTO_UDP,
			.all_outgoing = 1,
			.all_incoming = 1,
		},
		.cgroup_fd = cgroup_fd,
		.max_flows = 16,
		.fast_lane = HK_FAST_LANE_ALWAYS,
	};
	struct hk_local_key locals[2];
	int err = hk_dataplane_create(dp, &config);

	if (err)
		return err;
	hk_dataplane_live(*dp)->protos = HK_PROTO_UDP;
	parse_addr(locals[0].addr, here4);
	parse_addr(locals[1].addr, here6);
	return hk_dataplane_set_locals(*dp, locals, 2);
}

static __u64 stat_of(struct hk_dataplane *dp, enum hk_stat stat)
{
	__u64 stats[HK_NR_STATS] = {};

	hk_dataplane_stats(dp, stats);
	return stats[stat];
}

static void on_event(void *priv, const void *record, size_t len)
{
	struct events *events = priv;
	__u32 type = *(const __u32 *)record;

	events->nr[type & 3]++;
	if (type == HK_EVENT_ESTABLISHED)
		events->last = *(const struct hk_established_event *)record;
}

/* ---- sockets ---- */

static socklen_t make_addr(struct sockaddr_storage *ss, const char *addr, __u16 port)
{
	__be32 bytes[4];

	parse_addr(bytes, addr);
	return hk_addr_to_sockaddr(ss, bytes, htons(port));
}

static int listen_on(const char *addr, __u16 port, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = make_addr(&ss, addr, port);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) || listen(fd, backlog))
		return -errno;
	return fd;
}

static int open_tcp(const char *addr)
{
	struct sockaddr_storage ss;

	make_addr(&ss, addr, 0);
	return socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int start_connect(int fd, const char *addr, __u16 port)
{
	struct sockaddr_storage ss;
	socklen_t len = make_addr(&ss, addr, port);

	return connect(fd, (struct sockaddr *)&ss, len) ? -errno : 0;
}

/* What becomes of it: 0 or a negative errno */
static int end_connect(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	int err = 0;
	socklen_t len = sizeof(err);

	if (poll(&pfd, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return -err;
}

static int connect_to(int fd, const char *addr, __u16 port)
{
	int err = start_connect(fd, addr, port);

	return err == -EINPROGRESS ? end_connect(fd) : err;
}

static bool can_read(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, WAIT_MS) == 1;
}

/* ---- on the wire ---- */

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC_NS + ts.tv_nsec;
}

/* The next segment that goes to the other host, till then; false: none came */
static bool next_any(int wire, __u64 till_ns, struct hk_parsed *seg)
{
	struct pollfd pfd = { .fd = wire, .events = POLLIN };
	struct sockaddr_ll from;
	static __u8 packet[2048];
	socklen_t len;
	ssize_t n;

	while (now_ns() < till_ns) {
		len = sizeof(from);
		n = recvfrom(wire, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			poll(&pfd, 1, 10);
		else if (from.sll_pkttype != PACKET_OUTGOING &&
			 !hk_segment_parse(packet, n, seg))
			return true;
	}
	return false;
}

/* The next one with these flags */
static bool next_segment(int wire, __u8 flags, __u64 till_ns, struct hk_parsed *seg)
{
	while (next_any(wire, till_ns, seg))
		if (seg->flags == flags)
			return true;
	return false;
}

static int send_segment(int wire, const struct hk_segment *seg)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(hk_addr_is_mapped(seg->key.laddr) ? ETH_P_IP : ETH_P_IPV6),
		.sll_ifindex = 0,
		.sll_halen = 6,
		.sll_addr = { 2, 0, 0, 0, 0, 1 },
	};
	struct sockaddr_ll own;
	socklen_t size = sizeof(own);
	__u8 packet[HK_SEGMENT_MAX];
	ssize_t len;

	if (getsockname(wire, (struct sockaddr *)&own, &size))
		return -errno;
	to.sll_ifindex = own.sll_ifindex;
	len = hk_segment_build(packet, sizeof(packet), seg);
	if (len < 0)
		return len;
	while (sendto(wire, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
		if (errno != ENOBUFS)
			return -errno;
		usleep(100);		/* the host takes them slower than they come */
	}
	return 0;
}

static const struct hk_option offered = {
	.kind = HK_OPT_KIND,
	.len = HK_OPT_LEN,
	.ver_flags = HK_OPT_VERSION << 4,
	.protos = HK_PROTO_UDP,
};

/* A SYN with an offer, from one where nobody is */
static int send_syn(int wire, const char *from, const char *to, __u16 sport, __u16 port)
{
	struct hk_option option = offered;
	struct hk_segment syn = {
		.seq = 1000, .flags = TH_SYN, .window = 1000, .option = &option,
		.key = { .lport = htons(sport), .rport = htons(port) },
	};

	option.exid = htons(HK_OPT_EXID);
	parse_addr(syn.key.laddr, from);
	parse_addr(syn.key.raddr, to);
	return send_segment(wire, &syn);
}

/* The answer to a SYN that was seen */
static int send_synack(int wire, const struct hk_parsed *syn, const struct hk_option *option)
{
	struct hk_segment synack = {
		.seq = 5000, .ack = syn->seq + 1, .flags = TH_SYN | TH_ACK, .window = 1000,
		.option = option,
	};

	hk_flow_key_reverse(&synack.key, &syn->key);
	return send_segment(wire, &synack);
}

/* ---- tests ---- */

/* After a connection that was refused, the same socket goes where nothing is to be offered */
TEST_F(offer, socket_is_connected_again)
{
	struct hk_policy_rule none = {
		.out = true, .port_max = 65535, .action = { .pref = 1, .flags = HK_ACTION_NONE },
	};
	int listener, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setns(self->there, CLONE_NEWNET);
	listener = listen_on(there4, PORT_OPEN, 1);
	setns(self->here, CLONE_NEWNET);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	EXPECT_EQ(-ECONNREFUSED, connect_to(fd, there4, PORT_CLOSED));
	EXPECT_EQ(1, stat_of(self->dp, HK_STAT_OFFERS_SENT));
	ASSERT_EQ(0, hk_dataplane_set_policy(self->dp, &none, 1));
	EXPECT_EQ(0, connect_to(fd, there4, PORT_OPEN));
	EXPECT_EQ(1, stat_of(self->dp, HK_STAT_OFFERS_RULED_OUT));
	EXPECT_EQ(1, stat_of(self->dp, HK_STAT_OFFERS_SENT));
	close(listener);
	close(fd);
}

/* The daemon's clock may be read a moment after a program's, on another CPU */
TEST_F(offer, heartbeat_of_this_moment)
{
	int fd = open_tcp(nobody4);

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	hk_dataplane_live(self->dp)->heartbeat_ns = now_ns() + SEC_NS;
	ASSERT_EQ(-EINPROGRESS, start_connect(fd, nobody4, PORT_OPEN));
	EXPECT_EQ(1, stat_of(self->dp, HK_STAT_OFFERS_SENT));
	close(fd);
}

/*
 * Segments with an unknown option may be swallowed on the way, in either direction. The
 * first ones have it, the third, after three seconds, does not; not even if there is room,
 * which another program has made for itself.
 */
TEST_F(offer, third_copy_is_plain)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	bool syn[3] = {}, synack[3] = {};
	unsigned int nr_syn = 0, nr_synack = 0;
	struct hk_parsed seg;
	int fd = open_tcp(nobody4), listener = listen_on(here6, PORT_OPEN, 1);
	__u64 till = now_ns() + 6 * SEC_NS;

	struct bpf_link *link;

	ASSERT_LE(0, listener);
	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	link = bpf_program__attach_cgroup(other->progs.take_space, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	listen(listener, 2);
	ASSERT_EQ(-EINPROGRESS, start_connect(fd, nobody4, PORT_OPEN));
	ASSERT_EQ(0, send_syn(self->wire, nobody6, here6, CLIENT_PORT, PORT_OPEN));
	while ((nr_syn < 3 || nr_synack < 3) && next_any(self->wire, till, &seg))
		if (nr_syn < 3 && seg.flags == TH_SYN)
			syn[nr_syn++] = seg.option;
		else if (nr_synack < 3 && seg.flags == (TH_SYN | TH_ACK))
			synack[nr_synack++] = seg.option;
	EXPECT_EQ(3, nr_syn);
	EXPECT_EQ(3, nr_synack);
	EXPECT_TRUE(syn[0] && syn[1]);
	EXPECT_FALSE(syn[2]);
	EXPECT_TRUE(synack[0] && synack[1]);
	EXPECT_FALSE(synack[2]);
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
	close(listener);
	close(fd);
}

/* Nor does room bring an answer into a SYN cookie's SYN-ACK: the offer is remembered nowhere */
TEST_F(offer, cookie_is_no_answer)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	struct bpf_link *link;
	struct hk_parsed seg;
	int listener;

	ASSERT_NE(NULL, other);
	link = bpf_program__attach_cgroup(other->progs.take_space, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, netns_run("sysctl -qw net.ipv4.tcp_syncookies=2"));
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here4, PORT_OPEN, 10);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, send_syn(self->wire, nobody4, here4, CLIENT_PORT, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	EXPECT_EQ(NULL, seg.option);
	EXPECT_EQ(0, stat_of(self->dp, HK_STAT_OFFERS_ANSWERED));
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
	close(listener);
}

/* Its callbacks go on, on sockets that connect and on those that are accepted */
TEST_F(offer, options_of_others_are_written)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	struct bpf_link *link;
	int listener, fd, accepted, i;
	__u64 asked;

	ASSERT_NE(NULL, other);
	link = bpf_program__attach_cgroup(other->progs.want_options, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	other->bss->netns_cookie = netns_cookie();
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	for (i = 0; i < 2; i++) {
		/* the socket on this host is the one that connects, then the one that listens */
		setns(i ? self->here : self->there, CLONE_NEWNET);
		listener = listen_on(i ? here4 : there4, PORT_OPEN, 1);
		setns(i ? self->there : self->here, CLONE_NEWNET);
		fd = open_tcp(here4);
		ASSERT_EQ(0, connect_to(fd, i ? here4 : there4, PORT_OPEN));
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ASSERT_LE(0, accepted);
		asked = other->bss->nr_asked;
		EXPECT_EQ(1, send(i ? accepted : fd, "x", 1, 0));
		EXPECT_TRUE(can_read(i ? fd : accepted));
		EXPECT_LT(asked, other->bss->nr_asked);
		close(accepted);
		close(listener);
		close(fd);
	}
	setns(self->here, CLONE_NEWNET);
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
}

/* So do those of a listener that was there before the daemon */
TEST_F(offer, options_of_others_on_old_listeners)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	int listener, fd, accepted;
	struct bpf_link *link;
	__u64 served;

	ASSERT_NE(NULL, other);
	link = bpf_program__attach_cgroup(other->progs.want_options, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	other->bss->netns_cookie = netns_cookie();
	listener = listen_on(here4, PORT_OPEN, 1);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	if (hk_dataplane_listeners(self->dp, &served))
		SKIP(return, "[kernel] listeners can't be served");
	setns(self->there, CLONE_NEWNET);
	fd = open_tcp(here4);
	ASSERT_EQ(0, connect_to(fd, here4, PORT_OPEN));
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	setns(self->here, CLONE_NEWNET);
	ASSERT_EQ(1, send(accepted, "x", 1, 0));
	EXPECT_TRUE(can_read(fd));
	EXPECT_LT(0, other->bss->nr_asked);
	close(accepted);
	close(listener);
	close(fd);
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
}

/* No calls for nothing: what an orderly end leaves behind are listeners as they were */
TEST_F(offer, callbacks_end_with_the_daemon)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	int listener, fd, accepted;
	struct bpf_link *link;
	__u64 served;

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here4, PORT_OPEN, 1);
	if (hk_dataplane_listeners(self->dp, &served))
		SKIP(return, "[kernel] listeners can't be served");
	hk_dataplane_destroy(self->dp);
	self->dp = NULL;
	link = bpf_program__attach_cgroup(other->progs.want_options, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	other->bss->netns_cookie = netns_cookie();
	setns(self->there, CLONE_NEWNET);
	fd = open_tcp(here4);
	/* connect() asks for its own callbacks there, where nobody counts */
	ASSERT_EQ(0, connect_to(fd, here4, PORT_OPEN));
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	setns(self->here, CLONE_NEWNET);
	ASSERT_EQ(1, send(accepted, "x", 1, 0));
	EXPECT_TRUE(can_read(fd));
	EXPECT_EQ(0, other->bss->nr_asked);
	close(accepted);
	close(listener);
	close(fd);
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
}

/* An application that has chosen the very mark by which sockets are steered */
TEST_F(offer, mark_alone_is_nobodys)
{
	int listener, fd = open_tcp(there4), accepted, mark = APP_MARK;

	setns(self->there, CLONE_NEWNET);
	listener = listen_on(there4, PORT_OPEN, 1);
	setns(self->here, CLONE_NEWNET);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	ASSERT_EQ(0, connect_to(fd, there4, PORT_OPEN));
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_EQ(1, send(accepted, "x", 1, 0));
	EXPECT_TRUE(can_read(fd));
	EXPECT_EQ(0, stat_of(self->dp, HK_STAT_STRAY));
	close(accepted);
	close(listener);
	close(fd);
}

/* With tcp_fwmark_accept, sockets are accepted with a mark, which must stay theirs */
TEST_F(offer, marked_syn_is_not_answered)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	struct hk_parsed seg;
	int listener, tcx;

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here4, PORT_OPEN, 10);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, netns_run("sysctl -qw net.ipv4.tcp_fwmark_accept=1"));
	ASSERT_EQ(0, send_syn(self->wire, nobody4, here4, CLIENT_PORT, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	EXPECT_NE(NULL, seg.option);
	tcx = bpf_link_create(bpf_program__fd(other->progs.mark_all), if_nametoindex("veth0"),
			      TCX_INGRESS, NULL);
	if (tcx < 0)
		SKIP(return, "[kernel] no tcx");
	ASSERT_EQ(0, send_syn(self->wire, nobody4, here4, CLIENT_PORT + 1, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	EXPECT_EQ(htons(CLIENT_PORT + 1), seg.key.rport);
	EXPECT_EQ(NULL, seg.option);
	EXPECT_EQ(1, stat_of(self->dp, HK_STAT_OFFERS_ANSWERED));
	close(tcx);
	close(listener);
	test_options_bpf__destroy(other);
}

/* A key has no room for the device that a link-local address needs */
TEST_F(offer, link_local_client_is_not_answered)
{
	struct hk_parsed seg;
	int listener;

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here6, PORT_OPEN, 10);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, know_neighbour("fe80::9"));
	ASSERT_EQ(0, send_syn(self->wire, "fe80::9", here6, CLIENT_PORT, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	EXPECT_EQ(NULL, seg.option);
	close(listener);
}

/*
 * Of a transparent proxy, which speaks in the name of another host: an injected segment would
 * find no way to its sockets
 */
TEST_F(offer, foreign_address_is_plain)
{
	int fd = open_tcp(foreign4), listener = open_tcp(foreign4), on = 1;
	struct sockaddr_storage ss;
	socklen_t len = make_addr(&ss, foreign4, PORT_OPEN);
	struct hk_parsed seg;

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, netns_run("ip route add local %s dev lo", foreign4));
	ASSERT_EQ(0, bind(listener, (struct sockaddr *)&ss, len));
	ASSERT_EQ(0, listen(listener, 1));
	ASSERT_EQ(0, send_syn(self->wire, nobody4, foreign4, CLIENT_PORT, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	EXPECT_EQ(NULL, seg.option);
	ASSERT_EQ(0, setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)));
	len = make_addr(&ss, foreign4, 0);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&ss, len));
	ASSERT_EQ(-EINPROGRESS, start_connect(fd, nobody4, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN, now_ns() + SEC_NS, &seg));
	EXPECT_EQ(NULL, seg.option);
	close(listener);
	close(fd);
}

/* The client of the first offer may have left TCP already: it must not be forgotten */
TEST_F(offer, flood_does_not_push_out_offers)
{
	struct hk_parsed seg;
	struct hk_offer offer;
	int listener, i;
	__u32 token;

	ASSERT_EQ(0, netns_run("sysctl -qw net.ipv4.tcp_max_syn_backlog=65536"));
	ASSERT_EQ(0, netns_run("sysctl -qw net.core.somaxconn=65536"));
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here4, PORT_OPEN, 65536);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, send_syn(self->wire, nobody4, here4, CLIENT_PORT, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
	ASSERT_NE(NULL, seg.option);
	memcpy(&token, seg.option->token, sizeof(token));
	for (i = 0; i < 3 * HK_OFFERS; i++)
		ASSERT_EQ(0, send_syn(self->wire, nobody4, here4, 6000 + i, PORT_OPEN));
	EXPECT_EQ(0, hk_dataplane_find_offer(self->dp, token, &offer));
	EXPECT_LT(HK_OFFER_BURST / 2, stat_of(self->dp, HK_STAT_OFFERS_ANSWERED));
	EXPECT_LT(0, stat_of(self->dp, HK_STAT_OFFERS_OVER_RATE));
	close(listener);
}

/* ---- two connections with the same token ---- */

#define NR_CLIENTS	4
#define PORTS		65536

struct named {
	__u32	token;
	__u16	client, port;
};

static __u64 mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/* As hk_offer calls a connection from 192.0.2.(9 + client) */
static __u32 token_of(__u16 client, __u16 port)
{
	__be32 mapped = htonl(0xffff), here = inet_addr(here4);
	__be32 there = htonl(ntohl(inet_addr(nobody4)) + client);
	__u64 h = mix(mix(SECRET, 0), (__u64)mapped << 32 | here);

	h = mix(mix(h, 0), (__u64)mapped << 32 | there);
	return mix(h, (__u32)htons(PORT_OPEN) << 16 | htons(port));
}

static int by_token(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->token < y->token ? -1 : x->token > y->token;
}

static bool find_pair(struct named pair[2])
{
	struct named *all = calloc(NR_CLIENTS * PORTS, sizeof(*all));
	int i, nr = NR_CLIENTS * PORTS;
	bool found = false;

	for (i = 0; all && i < nr; i++)
		all[i] = (struct named){
			token_of(i / PORTS, i % PORTS ?: 1), i / PORTS, i % PORTS ?: 1,
		};
	if (all)
		qsort(all, nr, sizeof(*all), by_token);
	for (i = 1; all && i < nr && !found; i++) {
		found = all[i].token == all[i - 1].token && all[i].port != all[i - 1].port;
		memcpy(pair, &all[i - 1], 2 * sizeof(*pair));
	}
	free(all);
	return found;
}

/* OPEN says no more than the token: the bytes of the first must not get to the second */
TEST_F(offer, token_names_one_connection)
{
	char addr[INET_ADDRSTRLEN];
	struct named pair[2];
	struct hk_offer offer;
	struct hk_parsed seg;
	int listener, i;

	ASSERT_TRUE(find_pair(pair));
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	listener = listen_on(here4, PORT_OPEN, 10);
	ASSERT_LE(0, listener);
	for (i = 0; i < 2; i++) {
		snprintf(addr, sizeof(addr), "192.0.2.%d", 9 + pair[i].client);
		ASSERT_EQ(0, know_neighbour(addr));
		ASSERT_EQ(0, send_syn(self->wire, addr, here4, pair[i].port, PORT_OPEN));
		ASSERT_TRUE(next_segment(self->wire, TH_SYN | TH_ACK, now_ns() + SEC_NS, &seg));
		EXPECT_EQ(!i, !!seg.option);
		ASSERT_EQ(0, hk_dataplane_find_offer(self->dp, pair[0].token, &offer));
		EXPECT_EQ(htons(pair[0].port), offer.key.rport);
	}
	close(listener);
}

/* Held each time, but what the daemon knows already doesn't fill its ring */
TEST_F(offer, flood_of_answers_is_copied_once)
{
	struct hk_option option = offered;
	int fd = open_tcp(nobody4), i;
	struct hk_parsed syn;
	__u64 start_ns;

	option.exid = htons(HK_OPT_EXID);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(-EINPROGRESS, start_connect(fd, nobody4, PORT_OPEN));
	ASSERT_TRUE(next_segment(self->wire, TH_SYN, now_ns() + SEC_NS, &syn));
	start_ns = now_ns();
	for (i = 0; i < 1000; i++)
		ASSERT_EQ(0, send_synack(self->wire, &syn, &option));
	for (i = 0; i < WAIT_MS && stat_of(self->dp, HK_STAT_SYNACK_HELD) < 1000; i++)
		usleep(1000);
	EXPECT_EQ(1000, stat_of(self->dp, HK_STAT_SYNACK_HELD));
	hk_dataplane_read_events(self->dp, on_event, &self->events);
	EXPECT_LE(1, self->events.nr[HK_EVENT_SYNACK]);
	EXPECT_GE(1 + (now_ns() - start_ns) / (SEC_NS / 10),
		  self->events.nr[HK_EVENT_SYNACK]);
	close(fd);
}

/* Its handshake up to where the daemon has decided to take it over */
static int connect_taken(FIXTURE_DATA(offer) *self, int fd, int mark)
{
	struct hk_parsed syn;
	int err;

	err = start_connect(fd, nobody4, PORT_OPEN);
	if (err != -EINPROGRESS || !next_segment(self->wire, TH_SYN, now_ns() + SEC_NS, &syn))
		return -EIO;
	err = hk_dataplane_set_verdict(self->dp, &syn.key, HK_VERDICT_TAKEN, 0);
	if (!err && mark)
		err = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) ? -errno : 0;
	/* without an option the gate lets it pass */
	return err ?: send_synack(self->wire, &syn, NULL) ?: end_connect(fd);
}

/* Set while the handshake is under way: it was not there to keep the connection plain */
TEST_F(offer, mark_set_meanwhile_is_kept)
{
	int fd = open_tcp(nobody4), mark = 0;
	socklen_t len = sizeof(mark);

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, connect_taken(self, fd, 5));
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len));
	EXPECT_EQ(5, mark);
	hk_dataplane_read_events(self->dp, on_event, &self->events);
	EXPECT_EQ(1, self->events.nr[HK_EVENT_ESTABLISHED]);
	EXPECT_EQ(0, self->events.last.taken);
	EXPECT_EQ(-EBUSY, self->events.last.err);
	close(fd);
}

/* What happens to a socket's next connection is not told of the one before */
TEST_F(offer, old_connection_ends_once)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct linger linger = { .l_onoff = 1 };
	int fd = open_tcp(nobody4), listener;

	setns(self->there, CLONE_NEWNET);
	listener = listen_on(there4, PORT_OPEN, 1);
	setns(self->here, CLONE_NEWNET);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, connect_taken(self, fd, 0));
	ASSERT_EQ(0, connect(fd, &unspec, sizeof(unspec)));
	hk_dataplane_live(self->dp)->draining = 1;
	ASSERT_EQ(0, connect_to(fd, there4, PORT_OPEN));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
	hk_dataplane_read_events(self->dp, on_event, &self->events);
	EXPECT_EQ(1, self->events.nr[HK_EVENT_ESTABLISHED]);
	EXPECT_EQ(1, self->events.last.taken);
	EXPECT_EQ(1, self->events.nr[HK_EVENT_ABORTED]);
	close(listener);
}

/*
 * Another program may ask for the callback of states, and write over the first argument. Still
 * the end of the connection that was carried is told, and not that of the next one.
 */
TEST_F(offer, ends_of_carried_connections_only)
{
	struct test_options_bpf *other = test_options_bpf__open_and_load();
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct linger linger = { .l_onoff = 1 };
	int fd = open_tcp(nobody4), listener;
	struct bpf_link *link;

	ASSERT_NE(NULL, other);
	link = bpf_program__attach_cgroup(other->progs.take_space, self->cgroup_fd);
	ASSERT_NE(NULL, link);
	setns(self->there, CLONE_NEWNET);
	listener = listen_on(there4, PORT_OPEN, 1);
	setns(self->here, CLONE_NEWNET);
	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, connect_taken(self, fd, 0));
	ASSERT_EQ(0, connect(fd, &unspec, sizeof(unspec)));
	hk_dataplane_read_events(self->dp, on_event, &self->events);
	EXPECT_EQ(1, self->events.nr[HK_EVENT_ABORTED]);
	ASSERT_EQ(0, connect_to(fd, there4, PORT_OPEN));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
	hk_dataplane_read_events(self->dp, on_event, &self->events);
	EXPECT_EQ(1, self->events.nr[HK_EVENT_ABORTED]);
	bpf_link__destroy(link);
	test_options_bpf__destroy(other);
	close(listener);
}

/* Nor does a listener keep the mark: what it accepts would be routed to nobody */
TEST_F(offer, steered_socket_becomes_a_listener)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int fd = open_tcp(nobody4), mark;
	socklen_t len = sizeof(mark);

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, connect_taken(self, fd, 0));
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len));
	EXPECT_EQ(APP_MARK, mark);
	ASSERT_EQ(0, connect(fd, &unspec, sizeof(unspec)));
	ASSERT_EQ(0, listen(fd, 1));
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len));
	EXPECT_EQ(0, mark);
	close(fd);
}

/* tcp_bpf_sendmsg() would never tell that a page is free again */
TEST_F(offer, fast_lane_has_no_zerocopy)
{
	int fd = open_tcp(nobody4), on = 1, off = 0;

	ASSERT_EQ(0, start(&self->dp, self->cgroup_fd));
	ASSERT_EQ(0, connect_taken(self, fd, 0));
	EXPECT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &off, sizeof(off)));
	EXPECT_EQ(-1, setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));
	EXPECT_EQ(EPERM, errno);
	close(fd);
}

/* ---- kernels ---- */

/* The running kernel's BTF with some members under other names, as if it didn't have them */
static int write_btf(char *path, const char * const members[], int nr)
{
	int in = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC), out = mkstemp(path), i;
	struct stat st = {};
	ssize_t n = 0, len;
	char *btf, *at;

	fstat(in, &st);
	btf = calloc(1, st.st_size + 1);
	for (len = 0; btf && len < st.st_size; len += n) {
		n = read(in, btf + len, st.st_size - len);
		if (n <= 0)
			break;
	}
	for (i = 0; i < nr && btf; i++) {
		at = memmem(btf, len, members[i], strlen(members[i]) + 1);
		while (at && at[-1])
			at = memmem(at + 1, btf + len - at - 1, members[i], strlen(members[i]) + 1);
		if (at)
			*at = 'X';
	}
	n = btf ? write(out, btf, len) : -1;
	free(btf);
	close(in);
	close(out);
	return n > 0 && n == st.st_size ? 0 : -EIO;
}

/* MPTCP, TCP-MD5 and TCP-AO are options of the kernel's configuration */
TEST(small_kernel)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	static const char * const members[] = { "is_mptcp", "md5sig_info", "ao_info" };
	char path[] = "/tmp/hkbtfXXXXXX";
	struct connection_bpf *skel;

	if (geteuid())
		SKIP(return, "[variant] needs root");
	ASSERT_EQ(0, write_btf(path, members, 3));
	opts.btf_custom_path = path;
	skel = connection_bpf__open_opts(&opts);
	ASSERT_NE(NULL, skel);
	EXPECT_EQ(0, connection_bpf__load(skel));
	connection_bpf__destroy(skel);
	unlink(path);
}

TEST_HARNESS_MAIN
