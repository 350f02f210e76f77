// SPDX-License-Identifier: GPL-2.0
/*
 * The UDP-Lite carrier with AF_XDP beside it, between two hosts, which are network
 * namespaces with a veth between them. The other end is the kernel's UDP-Lite socket, which
 * checks what it gets. Whatever happens to routes, neighbours and devices, all
 * that could be sent has to arrive; the counters say which way it went.
 */
#include <dirent.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "../kselftest_harness.h"
#include "../../../hooker/carrier/carrier.h"
#include "../../../hooker/carrier/frame.h"
#include "../../../hooker/carrier/xsk.h"
#include "../../../hooker/tcp/addr.h"
#include "netns.h"

#define BATCH		HK_CARRIER_BATCH
#define MTU		1500
#define BUF_LEN		2048
#define WAIT_MS		3000
#define SILENCE_MS	300
#define PAUSE_US	20000	/* longer than a lookup is put off after the last one */
#define RETRY_MS	300	/* till a device that failed twice is tried again */

/*
 * Host A sends, host B receives.
 * @ns_a, @ns_b: their namespaces
 * @a:	 the carrier under test
 * @b:	 the kernel's socket
 * @path: from A to B
 */
FIXTURE(xsk) {
	int			ns_a, ns_b;
	struct hk_carrier	a, b;
	struct hk_path		path;
	__u8			bufs[BATCH][BUF_LEN], data[BATCH][BUF_LEN];
	struct hk_datagram	dgrams[BATCH], out[BATCH];
};

FIXTURE_VARIANT(xsk) { bool v6; };

FIXTURE_VARIANT_ADD(xsk, ipv4) { .v6 = false };
FIXTURE_VARIANT_ADD(xsk, ipv6) { .v6 = true };

#define IP_HDR_LEN	(variant->v6 ? 40 : 20)
#define MAX_LEN		(MTU - IP_HDR_LEN - 8)
#define ADDR_A		(variant->v6 ? "fd09:2::1" : "10.9.2.1")
#define ADDR_B		(variant->v6 ? "fd09:2::2" : "10.9.2.2")
#define ADDR_FAR	(variant->v6 ? "fd09:99::2" : "10.9.99.2")
#define ADDR_A2		(variant->v6 ? "fd09:3::1" : "10.9.3.1")
#define ADDR_B2		(variant->v6 ? "fd09:3::2" : "10.9.3.2")
#define PREFIX_LEN	(variant->v6 ? 64 : 24)
#define IP_CMD		(variant->v6 ? "ip -6" : "ip")

/* Leaves the process in namespace A */
static int make_hosts(int *ns_a, int *ns_b)
{
	if (netns_enter_new())
		return -1;
	*ns_b = netns_open();
	if (netns_enter_new())
		return -1;
	*ns_a = netns_open();
	if (netns_run("ip link add va index 10 type veth peer name vb index 11 netns /proc/%d/fd/%d",
		      getpid(), *ns_b) || netns_run("ip link set va up"))
		return -1;
	if (setns(*ns_b, CLONE_NEWNET) || netns_run("ip link set vb up") || netns_wait_up("vb"))
		return -1;
	return setns(*ns_a, CLONE_NEWNET) || netns_wait_up("va");
}

static void put_address(__be32 addr[4], const char *text)
{
	__be32 v4;

	if (inet_pton(AF_INET6, text, addr) == 1)
		return;
	inet_pton(AF_INET, text, &v4);
	hk_addr_map(addr, v4);
}

static struct hk_path make_path(const char *local, const char *remote, __be16 rport)
{
	struct hk_path path = { .rport = rport };

	put_address(path.local, local);
	put_address(path.remote, remote);
	return path;
}

FIXTURE_SETUP(xsk)
{
	struct hk_carrier_config config = { .rcvbuf = 4 << 20, .sndbuf = 4 << 20 };
	int err, i;

	if (geteuid())
		SKIP(return, "needs root");
	if (variant->v6 && !netns_has_ipv6())
		SKIP(return, "needs IPv6 [kernel]");
	ASSERT_EQ(0, make_hosts(&self->ns_a, &self->ns_b));
	ASSERT_EQ(0, netns_add_addr(ADDR_A, PREFIX_LEN, "va"));
	err = hk_carrier_open(&self->a, "udplite", &config);
	if (err == -EPROTONOSUPPORT)
		SKIP(return, "has no UDP-Lite sockets [kernel]");
	ASSERT_EQ(0, err);
	err = hk_xsk_wrap(&self->a, 0, false);
	if (err == -EAFNOSUPPORT)
		SKIP(return, "has no AF_XDP sockets [kernel]");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_add_addr(ADDR_B, PREFIX_LEN, "vb"));
	ASSERT_EQ(0, hk_carrier_open(&self->b, "udplite", &config));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	self->path = make_path(ADDR_A, ADDR_B, self->b.port);
	for (i = 0; i < BATCH; i++)
		self->out[i] = (struct hk_datagram){ .path = self->path, .data = self->data[i],
						     .len = 1000 };
}

FIXTURE_TEARDOWN(xsk)
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

/* Hears the news first, as the relay does; 0 or a negative errno */
static int send_all(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	struct pollfd pfd = { .fd = hk_xsk_fd(c), .events = POLLIN };
	int done = 0, ret;

	if (poll(&pfd, 1, 0) > 0)
		hk_xsk_on_poll(c);
	while (done < n) {
		ret = c->ops->send(c, dgrams + done, n - done);
		if (ret == -EAGAIN) {
			usleep(1000);
			continue;
		}
		if (ret <= 0)
			return ret ? ret : -EPROTO;
		done += ret;
	}
	return 0;
}

static int recv_some(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams,
		     __u8 (*bufs)[BUF_LEN], int n)
{
	struct pollfd pfd = { .fd = c->fd[family_idx], .events = POLLIN };
	int done = 0, i, ret;

	while (done < n) {
		for (i = done; i < n; i++) {
			dgrams[i].data = bufs[i];
			dgrams[i].len = BUF_LEN;
		}
		ret = c->ops->recv(c, family_idx, dgrams + done, n - done);
		if (ret == -EAGAIN && poll(&pfd, 1, WAIT_MS) == 1)
			continue;
		if (ret <= 0)
			break;
		done += ret;
	}
	return done;
}

#define RECV(n)		recv_some(&self->b, variant->v6, self->dgrams, self->bufs, n)
#define STAT(name)	(hk_xsk_stats(&self->a)[HK_XSK_##name])

/* Sends @n of self->out, and expects them all with what is in them */
#define EXPECT_PASS(n)								\
	do {									\
		struct hk_path back = self->out[0].path;			\
		int i_, n_ = n;							\
										\
		memcpy(back.local, self->out[0].path.remote, 16);		\
		memcpy(back.remote, self->out[0].path.local, 16);		\
		back.rport = self->a.port;					\
		for (i_ = 0; i_ < n_; i_++)					\
			fill(self->data[i_], self->out[i_].len, i_);		\
		ASSERT_EQ(0, send_all(&self->a, self->out, n_));		\
		ASSERT_EQ(n_, RECV(n_));					\
		for (i_ = 0; i_ < n_; i_++) {					\
			EXPECT_EQ(self->out[i_].len, self->dgrams[i_].len);	\
			EXPECT_EQ(self->out[i_].ecn, self->dgrams[i_].ecn);	\
			EXPECT_TRUE(is_filled(self->dgrams[i_].data, self->dgrams[i_].len, i_)); \
			EXPECT_EQ(0, memcmp(&back, &self->dgrams[i_].path, sizeof(back))); \
		}								\
	} while (0)

/*
 * Until frames are sent, also after a change. The pause is for the news that the first
 * datagrams cause themselves: of a neighbour that was found.
 */
#define SETTLE()								\
	do {									\
		EXPECT_PASS(BATCH);						\
		usleep(PAUSE_US);						\
		EXPECT_PASS(BATCH);						\
		usleep(PAUSE_US);						\
	} while (0)

/* What a host's kernel says about checksums, in both families; -1: it doesn't */
static long csum_errors(int ns)
{
	int back = netns_open();
	long errors = -1;
	FILE *f;

	if (setns(ns, CLONE_NEWNET))
		return -1;
	f = popen("nstat -asz | awk '/^UdpLite6?InCsumErrors/ { n += $2 } END { print n }'", "r");
	if (f && fscanf(f, "%ld", &errors) != 1)
		errors = -1;
	if (f)
		pclose(f);
	if (setns(back, CLONE_NEWNET))
		errors = -1;
	close(back);
	return errors;
}

TEST_F(xsk, every_size_and_coverage_arrives_intact)
{
	static const __u32 coverages[] = { 0, 1, 12, 24, 999, 5000 };
	unsigned int seed = 4711, round;
	int i;

	SETTLE();
	EXPECT_EQ(32, STAT(NEW));
	for (round = 0; round < 40; round++) {
		for (i = 0; i < BATCH; i++) {
			self->out[i].len = i == 1 ? 0 : i == 2 ? MAX_LEN : rand_r(&seed) % MAX_LEN;
			self->out[i].ecn = i % 4;
			self->out[i].coverage = coverages[rand_r(&seed) % ARRAY_SIZE(coverages)];
		}
		EXPECT_PASS(BATCH);
	}
	EXPECT_LE(40 * BATCH, STAT(FRAMES));	/* of 42 */
	EXPECT_EQ(0, csum_errors(self->ns_b));
}

/* That no error was counted means something: here is what would have been */
TEST_F(xsk, receiver_counts_wrong_checksums)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_ifindex = 10 };
	struct hk_frame_head head = { .hop_limit = 64, .sport = htons(9) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), i;
	__u8 frame[BUF_LEN];
	__u32 len;

	memset(head.dst, 0xff, ETH_ALEN);	/* the stack takes it for its own address, too */
	EXPECT_PASS(1);
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("ip link set vb address 02:00:00:00:00:0b"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	memcpy(head.dst, "\x02\0\0\0\0\x0b", ETH_ALEN);
	self->out[0].coverage = 100;
	for (i = 0; i < 3; i++) {
		len = hk_frame_build(frame, &head, &self->out[0]);
		frame[len - 1000 + (i == 1 ? 50 : 500)] ^= i ? 1 : 0;
		ASSERT_EQ(len, sendto(fd, frame, len, 0, (struct sockaddr *)&ll, sizeof(ll)));
	}
	EXPECT_EQ(2, RECV(2));		/* whole, and damaged where nothing is covered */
	usleep(SILENCE_MS * 1000);
	EXPECT_EQ(1, csum_errors(self->ns_b));
	close(fd);
}

static void count_dev(void *priv, int ifindex, bool zerocopy)
{
	*(int *)priv += ifindex && !zerocopy;
}

/* A second device beside the first: macvlan, which hands on to the same wire */
TEST_F(xsk, each_device_has_its_socket)
{
	int devs = 0, i;
	__u64 frames;

	if (netns_run("ip link add link va name mv type macvlan mode bridge"))
		SKIP(return, "has no macvlan [kernel]");
	ASSERT_EQ(0, netns_run("ip link set mv up"));
	ASSERT_EQ(0, netns_add_addr(ADDR_A2, PREFIX_LEN, "mv"));
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_add_addr(ADDR_B2, PREFIX_LEN, "vb"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	SETTLE();
	EXPECT_LE(BATCH, STAT(FRAMES));
	frames = STAT(FRAMES);
	for (i = 0; i < BATCH; i++)
		self->out[i].path = make_path(ADDR_A2, ADDR_B2, self->b.port);
	SETTLE();
	EXPECT_LE(frames + BATCH / 2, STAT(FRAMES));
	hk_xsk_devs(&self->a, count_dev, &devs);
	EXPECT_EQ(2, devs);
}

TEST_F(xsk, vlan_device_puts_its_tag)
{
	int i;

	if (netns_run("ip link add link va name va.5 type vlan id 5 2>/dev/null"))
		SKIP(return, "has no VLAN devices [kernel]");
	ASSERT_EQ(0, netns_run("ip link set va.5 up"));
	ASSERT_EQ(0, netns_add_addr(ADDR_A2, PREFIX_LEN, "va.5"));
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("ip link add link vb name vb.5 type vlan id 5"));
	ASSERT_EQ(0, netns_run("ip link set vb.5 up"));
	ASSERT_EQ(0, netns_add_addr(ADDR_B2, PREFIX_LEN, "vb.5"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	for (i = 0; i < BATCH; i++)
		self->out[i].path = make_path(ADDR_A2, ADDR_B2, self->b.port);
	SETTLE();
	EXPECT_LE(BATCH, STAT(FRAMES));
}

TEST_F(xsk, gateway_is_the_next_hop)
{
	int i;

	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_add_addr(ADDR_FAR, variant->v6 ? 128 : 32, "lo"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("%s route add %s via %s", IP_CMD, ADDR_FAR, ADDR_B));
	for (i = 0; i < BATCH; i++)
		self->out[i].path = make_path(ADDR_A, ADDR_FAR, self->b.port);
	SETTLE();
	EXPECT_LE(BATCH, STAT(FRAMES));
	EXPECT_EQ(0, STAT(NEIGHBOUR));
}

TEST_F(xsk, neighbour_that_is_gone_is_found_again)
{
	__u64 frames;

	SETTLE();
	frames = STAT(FRAMES);
	EXPECT_LE(BATCH, frames);
	ASSERT_EQ(0, netns_run("%s neigh flush dev va", IP_CMD));
	usleep(PAUSE_US);
	EXPECT_PASS(BATCH);		/* the kernel asks, and holds them back meanwhile */
	EXPECT_LE(1, STAT(NEIGHBOUR));
	SETTLE();
	EXPECT_LE(frames + BATCH / 2, STAT(FRAMES));
}

TEST_F(xsk, neighbour_that_failed_is_no_next_hop)
{
	SETTLE();
	ASSERT_EQ(0, netns_run("ip neigh replace %s lladdr 02:00:00:00:00:99 nud failed dev va",
			       ADDR_B));
	usleep(PAUSE_US);
	EXPECT_PASS(BATCH);
	EXPECT_LE(1, STAT(NEIGHBOUR));
}

TEST_F(xsk, neighbour_with_another_address_gets_what_is_its)
{
	__u64 frames;

	SETTLE();
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("ip link set vb address 02:00:00:00:00:0b"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("%s neigh replace %s lladdr 02:00:00:00:00:0b dev va", IP_CMD,
			       ADDR_B));
	usleep(PAUSE_US);
	frames = STAT(FRAMES);
	SETTLE();
	EXPECT_LE(frames + BATCH / 2, STAT(FRAMES));
}

TEST_F(xsk, smaller_mtu_is_respected)
{
	__u64 frames;

	SETTLE();
	ASSERT_EQ(0, netns_run("ip link set va mtu 1300"));
	usleep(PAUSE_US);
	self->out[0].len = 1300 - IP_HDR_LEN - 8;
	EXPECT_PASS(BATCH);
	frames = STAT(FRAMES);
	self->out[0].len++;
	EXPECT_EQ(-EMSGSIZE, send_all(&self->a, self->out, 1));
	EXPECT_EQ(frames, STAT(FRAMES));
	self->out[0].len--;
	EXPECT_PASS(BATCH);
	EXPECT_LE(frames + BATCH - 1, STAT(FRAMES));
}

/* Up to a page is a frame of ours, larger is the socket's */
TEST_F(xsk, larger_mtu_takes_larger_frames)
{
	int i;

	SETTLE();
	ASSERT_EQ(0, netns_run("ip link set va mtu 9000"));
	ASSERT_EQ(0, setns(self->ns_b, CLONE_NEWNET));
	ASSERT_EQ(0, netns_run("ip link set vb mtu 9000"));
	ASSERT_EQ(0, setns(self->ns_a, CLONE_NEWNET));
	EXPECT_PASS(1);
	usleep(RETRY_MS * 1000);	/* another socket, with larger frames */
	SETTLE();
	EXPECT_EQ(0, STAT(SIZE));
	self->out[0] = (struct hk_datagram){ .path = self->path, .len = 4096 - 14 - IP_HDR_LEN - 8,
					     .data = calloc(1, 9000) };
	ASSERT_EQ(0, send_all(&self->a, self->out, 1));
	EXPECT_EQ(0, STAT(SIZE));
	self->out[0].len++;
	for (i = 0; i < 3; i++) {	/* one of them may be the one that refreshes */
		ASSERT_EQ(0, send_all(&self->a, self->out, 1));
		usleep(PAUSE_US);
	}
	EXPECT_LE(2, STAT(SIZE));
	EXPECT_EQ(4, RECV(4));
	free(self->out[0].data);
}

TEST_F(xsk, link_that_was_down_is_used_again)
{
	__u64 frames;

	SETTLE();
	ASSERT_EQ(0, netns_run("ip link set va down"));
	usleep(PAUSE_US);
	frames = STAT(FRAMES);
	EXPECT_GT(0, send_all(&self->a, self->out, 1));
	ASSERT_EQ(0, netns_run("ip link set va up") || netns_wait_up("va"));
	if (variant->v6)	/* went away with the link */
		ASSERT_EQ(0, netns_add_addr(ADDR_A, PREFIX_LEN, "va"));
	usleep(PAUSE_US);
	SETTLE();
	EXPECT_LE(frames + BATCH / 2, STAT(FRAMES));
}

TEST_F(xsk, device_that_is_gone_takes_nothing_along)
{
	SETTLE();
	ASSERT_EQ(0, netns_run("ip link del va"));
	EXPECT_GT(0, send_all(&self->a, self->out, 1));
	EXPECT_GT(0, send_all(&self->a, self->out, 1));
}

/* The source address isn't this host's any more: the socket says so, and so do we */
TEST_F(xsk, foreign_source_address_is_refused)
{
	int i;

	SETTLE();
	ASSERT_EQ(0, netns_run("ip addr add %s/%u dev va", ADDR_A2, PREFIX_LEN));
	ASSERT_EQ(0, netns_run("ip addr del %s/%u dev va", ADDR_A, PREFIX_LEN));
	ASSERT_EQ(0, netns_run("%s route replace %s dev va", IP_CMD,
			       variant->v6 ? "fd09:2::/64" : "10.9.2.0/24"));
	for (i = 0; i < 3; i++) {
		usleep(PAUSE_US);
		EXPECT_GT(0, send_all(&self->a, self->out, 1));
	}
}

TEST_F(xsk, device_of_another_kind_is_the_socket_s)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), i;
	__u8 packet[BUF_LEN];
	int nr = 0;

	strcpy(ifr.ifr_name, "tun0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		SKIP(return, "has no tun devices [kernel]");
	ASSERT_EQ(0, netns_run("ip link set tun0 up"));
	ASSERT_EQ(0, netns_add_addr(ADDR_A2, PREFIX_LEN, "tun0"));
	for (i = 0; i < BATCH; i++)
		self->out[i].path = make_path(ADDR_A2, ADDR_B2, self->b.port);
	ASSERT_EQ(0, send_all(&self->a, self->out, BATCH));
	EXPECT_EQ(BATCH - 32, STAT(DEVICE));
	EXPECT_EQ(0, STAT(FRAMES));
	while ((i = read(fd, packet, sizeof(packet))) > 0)
		nr += i == 1000 + IP_HDR_LEN + 8;
	EXPECT_EQ(BATCH, nr);
	close(fd);
}

/* Two AF_XDP sockets can't have the same queue, and a veth has only one */
TEST_F(xsk, device_that_somebody_else_has_is_the_socket_s)
{
	struct hk_carrier_config config = { 0 };
	struct hk_carrier first = self->a;

	SETTLE();
	ASSERT_EQ(0, hk_carrier_open(&self->a, "udplite", &config));
	ASSERT_EQ(0, hk_xsk_wrap(&self->a, 0, false));
	SETTLE();
	EXPECT_LE(BATCH, STAT(DEVICE));
	EXPECT_EQ(0, STAT(FRAMES));
	hk_carrier_close(&first);
	usleep(RETRY_MS * 1000);
	EXPECT_PASS(BATCH);
	EXPECT_LE(BATCH - 1, STAT(FRAMES));
}

TEST_F(xsk, ipsec_is_not_passed_by)
{
	const char *policy = variant->v6 ? "src fd09:77::/64 dst fd09:78::/64" :
					   "src 10.77.0.0/24 dst 10.78.0.0/24";
	__u64 frames;

	SETTLE();
	frames = STAT(FRAMES);
	if (netns_run("ip xfrm policy add %s dir out tmpl proto esp mode transport", policy))
		SKIP(return, "has no IPsec [kernel]");
	EXPECT_PASS(BATCH);
	EXPECT_EQ(frames, STAT(FRAMES));
	EXPECT_EQ(BATCH, STAT(IPSEC));
	ASSERT_EQ(0, netns_run("ip xfrm policy del %s dir out", policy));
	EXPECT_PASS(BATCH);
	usleep(PAUSE_US);
	EXPECT_PASS(BATCH);
	EXPECT_LE(frames + BATCH / 2, STAT(FRAMES));
}

#define NO_OTHER	~0U

/* From now on the call that makes the kernel take frames fails, and another one, too */
static int break_kick(int err, unsigned int other)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendto, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST_F(xsk, device_without_room_leaves_the_rest_to_the_socket)
{
	__u64 frames;

	SETTLE();
	frames = STAT(FRAMES);
	if (break_kick(EAGAIN, __NR_epoll_ctl))
		SKIP(return, "needs seccomp");
	ASSERT_EQ(0, send_all(&self->a, self->out, 10));	/* these stay in the ring */
	EXPECT_EQ(frames + 10, STAT(FRAMES));
	EXPECT_PASS(BATCH);
	EXPECT_EQ(frames + 10, STAT(FRAMES));
	EXPECT_EQ(BATCH, STAT(FULL));
}

/* Polling such a socket has the kernel go on, as would being told of room */
TEST_F(xsk, what_stays_in_the_ring_leaves_without_more_being_sent)
{
	struct pollfd pfd = { .fd = hk_xsk_fd(&self->a), .events = POLLIN };

	SETTLE();
	if (break_kick(EAGAIN, NO_OTHER))
		SKIP(return, "needs seccomp");
	ASSERT_EQ(0, send_all(&self->a, self->out, 10));
	EXPECT_EQ(1, poll(&pfd, 1, WAIT_MS));
	hk_xsk_on_poll(&self->a);
	EXPECT_EQ(10, RECV(10));
	EXPECT_EQ(0, STAT(FULL));
}

TEST_F(xsk, device_that_fails_loses_nothing)
{
	__u64 frames;

	SETTLE();
	frames = STAT(FRAMES);
	if (break_kick(ENXIO, NO_OTHER))
		SKIP(return, "needs seccomp");
	SETTLE();
	EXPECT_EQ(frames, STAT(FRAMES));
	EXPECT_EQ(0, STAT(LOST));
	EXPECT_LE(BATCH, STAT(DEVICE));
}

static int nr_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

TEST_F(xsk, closing_leaves_no_descriptor)
{
	struct hk_carrier_config config = { 0 };
	int before, devs = 0;

	hk_carrier_close(&self->a);
	EXPECT_EQ(-1, self->a.fd[0]);
	before = nr_fds();
	ASSERT_EQ(0, hk_carrier_open(&self->a, "udplite", &config));
	ASSERT_EQ(0, hk_xsk_wrap(&self->a, 0, false));
	SETTLE();
	hk_xsk_devs(&self->a, count_dev, &devs);
	EXPECT_EQ(1, devs);
	EXPECT_LE(before + 4, nr_fds());
	hk_carrier_close(&self->a);
	EXPECT_EQ(before, nr_fds());
}

TEST(only_udplite_is_wrapped)
{
	struct hk_carrier_config config = { 0 };
	struct hk_carrier c;

	ASSERT_EQ(0, hk_carrier_open(&c, "udp", &config));
	EXPECT_EQ(-EPROTOTYPE, hk_xsk_wrap(&c, 0, false));
	EXPECT_EQ(NULL, hk_xsk_stats(&c));
	EXPECT_EQ(-1, hk_xsk_fd(&c));
	hk_carrier_close(&c);
}

TEST_HARNESS_MAIN
