// SPDX-License-Identifier: GPL-2.0
/*
 * Mechanisms as the daemon deploys them: behind hooker_ingress, beside each other, put
 * in and taken out while datagrams flow; and objects that are none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "dataplane/dataplane.h"
#include "netns.h"
#include "relay/relay.h"

#define PORT_PLAIN	6000
#define PORT_UDPLITE	6001
#define PORT_EXP	6002
#define PORT_LOCAL	6003
#define WAIT_MS		1000
#define ROUNDS		200

/* ---- two hosts ---- */

FIXTURE(hosts)
{
	char			cgroup[256];
	int			home, ns[2];
	struct hk_dataplane	*dp[2];
};

static int make_cgroup(char *path, size_t size)
{
	char root[128];
	int err = hk_host_cgroup2(root, sizeof(root));

	if (err)
		return err;
	snprintf(path, size, "%s/hkmech%d", root, getpid());
	return mkdir(path, 0755) ? -errno : 0;
}

static int create(struct hk_dataplane **dp, const char *cgroup)
{
	struct hk_dataplane_config config = {
		.bpf = { .port = htons(18507), .protos = HK_PROTO_UDP, .stale_ns = 1000000000 },
		.max_flows = 16,
		.xdp = true,
		.fast_lane = HK_FAST_LANE_NEVER,
	};
	int err;

	config.cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (config.cgroup_fd < 0)
		return -errno;
	err = hk_dataplane_create(dp, &config);
	close(config.cgroup_fd);
	return err;
}

static int add_host(struct hk_dataplane **dp, const char *cgroup, int i)
{
	struct hk_local_key local[] = {
		{ .addr = { 0, 0, htonl(0xffff), htonl(0xc0000201 + i) } },
		{ .addr = { htonl(0x20010db8), 0, 0, htonl(1 + i) } },
	};

	return create(dp, cgroup) ?: hk_dataplane_set_locals(*dp, local, 2) ?:
	       hk_dataplane_add_dev(*dp, if_nametoindex("veth0"));
}

FIXTURE_SETUP(hosts)
{
	int i;

	if (geteuid())
		SKIP(return, "needs root");
	self->home = netns_open();
	self->cgroup[0] = '\0';
	memset(self->dp, 0, sizeof(self->dp));
	ASSERT_EQ(0, make_cgroup(self->cgroup, sizeof(self->cgroup)));
	ASSERT_EQ(0, netns_make_hosts(self->ns));
	for (i = 1; i >= 0; i--) {
		setns(self->ns[i], CLONE_NEWNET);
		ASSERT_EQ(0, add_host(&self->dp[i], self->cgroup, i));
	}
	ASSERT_EQ(0, netns_wait_up("veth0"));
}

FIXTURE_TEARDOWN(hosts)
{
	int i;

	for (i = 0; i < 2; i++) {
		setns(self->ns[i], CLONE_NEWNET);
		hk_dataplane_destroy(self->dp[i]);
		close(self->ns[i]);
	}
	setns(self->home, CLONE_NEWNET);
	close(self->home);
	rmdir(self->cgroup);
}

/* Datagrams from and to this port are the mechanism's, whoever has sent them */
static int claim(struct hk_mech *mech, __u16 port)
{
	struct hk_mech_port entry = { .port = htons(port) };
	struct hk_mech_key key = { .port = htons(port) };
	int err = 0;

	for (key.side = 0; key.side <= HK_MECH_OUT_DEST && !err; key.side++)
		err = hk_mech_set_port(mech, &key, &entry);
	return err;
}

/* Only what is found by the destination's port keeps the source port of the application */
static int claim_client(struct hk_mech *mech, __u16 port)
{
	struct hk_mech_port entry = { .port = htons(port) };
	struct hk_mech_key in = { htons(port), HK_MECH_IN_SOURCE };
	struct hk_mech_key out = { htons(port), HK_MECH_OUT_DEST };

	return hk_mech_set_port(mech, &in, &entry) ?: hk_mech_set_port(mech, &out, &entry);
}

static int open_udp(int ns, int host, __u16 port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0xc0000200 | host),
	};
	int fd;

	setns(ns, CLONE_NEWNET);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && port && bind(fd, (void *)&in, sizeof(in))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connect_udp(int fd, int host, __u16 port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0xc0000200 | host),
	};

	return connect(fd, (void *)&in, sizeof(in));
}

static bool arrives(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, WAIT_MS) == 1;
}

/*
 * There and back, payloads different each time; how many of ROUNDS came back right. The
 * server's socket may have another port.
 */
static int talk_to(const int ns[2], __u16 port, __u16 bound)
{
	int client = open_udp(ns[0], 1, 0), server = open_udp(ns[1], 2, bound);
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char out[64], in[64];
	int i, n, good = 0;

	if (client < 0 || server < 0 || connect_udp(client, 2, port))
		return -1;
	for (i = 0; i < ROUNDS; i++) {
		n = snprintf(out, sizeof(out), "datagram %d %*d", i, i % 20, i);
		if (send(client, out, n, 0) != n || !arrives(server))
			break;
		if (recvfrom(server, in, sizeof(in), 0, (void *)&from, &len) != n ||
		    sendto(server, in, n, 0, (void *)&from, len) != n || !arrives(client))
			break;
		good += recv(client, in, sizeof(in), 0) == n && !memcmp(in, out, n);
	}
	close(client);
	close(server);
	return good;
}

static int talk(const int ns[2], __u16 port)
{
	return talk_to(ns, port, port);
}

static __u64 mech_counter(const struct hk_mech *mech, const char *name)
{
	const struct hk_mechanism *about = hk_mech_about(mech, NULL, NULL);
	__u64 stats[HK_MECH_COUNTERS];
	int i;

	if (hk_mech_stats(mech, stats))
		return 0;
	for (i = 0; i < HK_MECH_COUNTERS; i++)
		if (!strcmp(about->counters[i], name))
			return stats[i];
	return 0;
}

/* Objects lie beside this program */
static const char *object(const char *name)
{
	static char path[512];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);

	while (len > 0 && path[len - 1] != '/')
		len--;
	sprintf(path + (len > 0 ? len : 0), "%s.bpf.o", name);
	return path;
}

/* Any application's ports, three protocols side by side */
TEST_F(hosts, three_protocols)
{
	struct hk_mech *lite[2], *exp[2];
	char why[HK_MECH_WHY] = "";
	int i;

	for (i = 0; i < 2; i++) {
		setns(self->ns[i], CLONE_NEWNET);
		ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[i], NULL, &lite[i], why))
			TH_LOG("%s", why);
		ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[i], object("exp253"), &exp[i], why))
			TH_LOG("%s", why);
	}
	ASSERT_EQ(0, claim_client(lite[0], PORT_UDPLITE));
	ASSERT_EQ(0, claim(lite[1], PORT_UDPLITE));
	ASSERT_EQ(0, claim_client(exp[0], PORT_EXP));
	ASSERT_EQ(0, claim(exp[1], PORT_EXP));

	EXPECT_EQ(ROUNDS, talk(self->ns, PORT_PLAIN));
	EXPECT_EQ(0, mech_counter(lite[1], "in_full"));
	EXPECT_EQ(ROUNDS, talk(self->ns, PORT_UDPLITE));
	EXPECT_EQ(ROUNDS, mech_counter(lite[0], "out_full"));
	EXPECT_EQ(ROUNDS, mech_counter(lite[0], "in_full"));
	EXPECT_EQ(ROUNDS, mech_counter(lite[1], "in_full"));
	EXPECT_EQ(0, mech_counter(exp[1], "in"));
	EXPECT_EQ(ROUNDS, talk(self->ns, PORT_EXP));
	EXPECT_EQ(ROUNDS, mech_counter(exp[0], "in"));
	EXPECT_EQ(ROUNDS, mech_counter(exp[1], "out"));
	EXPECT_EQ(ROUNDS, mech_counter(lite[1], "in_full"));
}

static int open_tun(void)
{
	struct ifreq ifr = { .ifr_name = "tun0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 || ioctl(fd, TUNSETIFF, &ifr) ? -errno : fd;
}

/* The next IPv4 packet that the host sends there; its protocol, or a negative errno */
static int next_protocol(int tun)
{
	struct pollfd pfd = { .fd = tun, .events = POLLIN };
	__u8 packet[2048];

	while (poll(&pfd, 1, WAIT_MS) == 1)
		if (read(tun, packet, sizeof(packet)) >= 20 && packet[0] >> 4 == 4)
			return packet[9];
	return -ETIMEDOUT;
}

/* A tunnel's packets have no Ethernet header: still nothing may leave as UDP there */
TEST_F(hosts, device_without_ethernet)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char why[HK_MECH_WHY] = "";
	struct hk_mech *mech;
	int tun, fd;

	setns(self->ns[0], CLONE_NEWNET);
	tun = open_tun();
	if (tun < 0)
		SKIP(return, "[kernel] no tun devices");
	ASSERT_EQ(0, netns_run("ip link set tun0 up && ip addr add 198.51.100.1/24 dev tun0"));
	ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[0], NULL, &mech, why)) TH_LOG("%s", why);
	ASSERT_EQ(0, hk_dataplane_add_dev(self->dp[0], if_nametoindex("tun0")));
	EXPECT_EQ(0, netns_run("! ip link show tun0 | grep -q xdp"));
	ASSERT_EQ(0, claim(mech, PORT_UDPLITE));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "198.51.100.9", &to.sin_addr);
	to.sin_port = htons(PORT_PLAIN);
	ASSERT_EQ(1, sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)));
	EXPECT_EQ(IPPROTO_UDP, next_protocol(tun));
	to.sin_port = htons(PORT_UDPLITE);
	ASSERT_EQ(1, sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)));
	EXPECT_EQ(IPPROTO_UDPLITE, next_protocol(tun));
	EXPECT_EQ(1, mech_counter(mech, "out_full"));
	close(fd);
	close(tun);
}

static int make_router(struct hk_dataplane *dp)
{
	if (netns_run("sysctl -qw net.ipv4.ip_forward=1") ||
	    netns_run("ip link add out0 type veth peer name out1") ||
	    netns_run("ip link set out1 up && ip link set out0 up") ||
	    netns_run("ip addr add 198.51.100.1/24 dev out0") ||
	    netns_run("ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev out0"))
		return -EIO;
	return hk_dataplane_add_exit(dp, if_nametoindex("out0"));
}

static unsigned long nr_forwarded(void)
{
	unsigned long nr = 0;
	char line[512];
	FILE *f;

	f = fopen("/proc/thread-self/net/snmp", "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Ip: %*u %*u %*u %*u %*u %lu", &nr) == 1)
			break;
	fclose(f);
	return nr;
}

/*
 * The second host forwards what the first one sends. On the way in and on the way out it
 * meets programs that have its own use for these ports; but this is not theirs.
 */
TEST_F(hosts, forwarded_is_left_alone)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const __u16 ports[] = { PORT_UDPLITE, PORT_PLAIN };
	char why[HK_MECH_WHY] = "";
	struct hk_mech *lite[2];
	int i, fd;

	for (i = 0; i < 2; i++) {
		setns(self->ns[i], CLONE_NEWNET);
		ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[i], NULL, &lite[i], why))
			TH_LOG("%s", why);
		ASSERT_EQ(0, claim(lite[i], PORT_UDPLITE));
	}
	ASSERT_EQ(0, claim(lite[1], PORT_PLAIN));
	ASSERT_EQ(0, make_router(self->dp[1]));
	fd = open_udp(self->ns[0], 1, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, netns_run("ip route add 198.51.100.0/24 via 192.0.2.2"));
	inet_pton(AF_INET, "198.51.100.9", &to.sin_addr);
	for (i = 0; i < 2; i++) {
		to.sin_port = htons(ports[i]);
		ASSERT_EQ(1, sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)));
	}
	close(fd);
	setns(self->ns[1], CLONE_NEWNET);
	for (i = 0; i < WAIT_MS && nr_forwarded() < 2; i++)
		usleep(1000);
	EXPECT_EQ(2, nr_forwarded());
	/* it was UDP-Lite that came, and UDP */
	EXPECT_EQ(1, mech_counter(lite[0], "out_full"));
	EXPECT_EQ(0, mech_counter(lite[1], "in_full"));
	EXPECT_EQ(0, mech_counter(lite[1], "out_full"));
}

/* Deployed and removed while others' datagrams pass: none of those is lost */
TEST_F(hosts, none_lost)
{
	int client = open_udp(self->ns[0], 1, 0), server = open_udp(self->ns[1], 2, PORT_PLAIN);
	char why[HK_MECH_WHY];
	struct hk_mech *mech;
	int i, k;
	char in;

	ASSERT_EQ(0, connect_udp(client, 2, PORT_PLAIN));
	setns(self->ns[1], CLONE_NEWNET);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[1], NULL, &mech, why))
			TH_LOG("%s", why);
		for (k = 0; k < 20; k++)
			ASSERT_EQ(1, send(client, "x", 1, 0));
		hk_dataplane_del_mech(self->dp[1], mech);
		for (k = 0; k < 20; k++)
			ASSERT_EQ(1, send(client, "y", 1, 0));
		for (k = 0; k < 40; k++) {
			ASSERT_TRUE(arrives(server)) TH_LOG("round %d: %d of 40 arrived", i, k);
			ASSERT_EQ(1, recv(server, &in, 1, 0));
			ASSERT_EQ(k < 20 ? 'x' : 'y', in);
		}
	}
	close(client);
	close(server);
}

/* The second host's device becomes the port of a bridge, which has its address then */
static int make_bridge(struct hk_dataplane *dp)
{
	if (netns_run("ip link add br0 address 02:00:00:00:00:02 type bridge") ||
	    netns_run("ip addr flush dev veth0 && ip link set veth0 master br0") ||
	    netns_run("ip link set br0 up && ip addr add 192.0.2.2/24 dev br0") ||
	    netns_run("ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev br0"))
		return -EIO;
	return hk_dataplane_add_dev(dp, if_nametoindex("br0"));
}

/*
 * UDP to a socket behind a mechanism is dropped, but not what the mechanism itself has made
 * UDP on the bridge's port: the bridge's own program sees it after that.
 */
TEST_F(hosts, behind_a_bridge)
{
	const struct hk_mech_key in = { htons(PORT_UDPLITE), HK_MECH_IN_DEST };
	const struct hk_mech_key out = { htons(PORT_LOCAL), HK_MECH_OUT_SOURCE };
	const struct hk_mech_port local = { .port = htons(PORT_LOCAL) };
	const struct hk_mech_port wire = { .port = htons(PORT_UDPLITE) };
	char why[HK_MECH_WHY] = "";
	struct hk_mech *mech[2];
	int i;

	for (i = 0; i < 2; i++) {
		setns(self->ns[i], CLONE_NEWNET);
		ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[i], NULL, &mech[i], why))
			TH_LOG("%s", why);
	}
	ASSERT_EQ(0, make_bridge(self->dp[1]));
	ASSERT_EQ(0, claim_client(mech[0], PORT_UDPLITE));
	ASSERT_EQ(0, hk_mech_set_port(mech[1], &in, &local));
	ASSERT_EQ(0, hk_mech_set_port(mech[1], &out, &wire));
	ASSERT_EQ(0, hk_mech_carry(self->dp[1], mech[1], &local.port, 1, true));
	EXPECT_EQ(ROUNDS, talk_to(self->ns, PORT_UDPLITE, PORT_LOCAL));
	EXPECT_EQ(ROUNDS, mech_counter(mech[1], "in_full"));
	EXPECT_EQ(ROUNDS, mech_counter(mech[1], "out_full"));
	/* what is UDP on the wire, is dropped before the bridge sees it */
	EXPECT_EQ(0, talk(self->ns, PORT_LOCAL));
}

/* What comes up later gets the programs, too, and what goes takes them along */
TEST_F(hosts, devices_come_and_go)
{
	char why[HK_MECH_WHY];
	struct hk_mech *mech;
	int index;

	setns(self->ns[1], CLONE_NEWNET);
	ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[1], NULL, &mech, why)) TH_LOG("%s", why);
	ASSERT_EQ(0, netns_run("ip link add veth1 type veth peer name veth2"));
	index = if_nametoindex("veth1");
	ASSERT_EQ(0, hk_dataplane_add_dev(self->dp[1], index));
	ASSERT_EQ(0, hk_dataplane_add_dev(self->dp[1], index));
	EXPECT_EQ(0, netns_run("ip link show veth1 | grep -q xdp"));
	ASSERT_EQ(0, netns_run("ip link del veth1"));
	hk_dataplane_del_dev(self->dp[1], index);
	EXPECT_GT(0, hk_dataplane_add_dev(self->dp[1], index));
}

TEST_F(hosts, twice)
{
	char why[HK_MECH_WHY];
	struct hk_mech *mech;

	setns(self->ns[1], CLONE_NEWNET);
	ASSERT_EQ(0, hk_dataplane_add_mech(self->dp[1], NULL, &mech, why));
	EXPECT_EQ(mech, hk_dataplane_mech(self->dp[1], "udplite"));
	EXPECT_EQ(NULL, hk_dataplane_mech(self->dp[1], "exp253"));
	EXPECT_EQ(-EEXIST, hk_dataplane_add_mech(self->dp[1], NULL, &mech, why));
	EXPECT_NE(NULL, strstr(why, "udplite")) TH_LOG("%s", why);
	mech = hk_dataplane_mech(self->dp[1], "udplite");
	hk_dataplane_del_mech(self->dp[1], mech);
	EXPECT_EQ(NULL, hk_dataplane_next_mech(self->dp[1], NULL));
}

/* ---- objects that are no mechanisms ---- */

/**
 * struct patch - what is wrong with an object
 * @name:   for messages
 * @offset: in the descriptor
 * @value:  written there
 * @says:   the reason must have this in it
 */
struct patch {
	const char	*name;
	size_t		offset;
	__u8		value;
	const char	*says;
};

static const struct patch patches[] = {
	{ "another ABI", offsetof(struct hk_mechanism, abi), 77, "ABI" },
	{ "no name", offsetof(struct hk_mechanism, name), 0, "name" },
	{ "a name with a slash", offsetof(struct hk_mechanism, name), '/', "name" },
	{ "TCP's number", offsetof(struct hk_mechanism, ip_proto), IPPROTO_TCP, "protocol 6" },
	{ "UDP's number", offsetof(struct hk_mechanism, ip_proto), IPPROTO_UDP, "protocol 17" },
	{ "UDP's offer bit", offsetof(struct hk_mechanism, offer_bit), 1, "offer bit 1" },
	{ "UDP-Lite's offer bit", offsetof(struct hk_mechanism, offer_bit), 0, "offer bit 0" },
	{ "no such offer bit", offsetof(struct hk_mechanism, offer_bit), 8, "offer bit 8" },
	{ "no room for ports", offsetof(struct hk_mechanism, hdr_len), 2, "header" },
	{ "an odd header", offsetof(struct hk_mechanism, hdr_len), 9, "header" },
	{ "a checksum outside", offsetof(struct hk_mechanism, check_off), 7, "checksum" },
};

/* Where the descriptor is in the file: its first words are known */
static long find_descriptor(const __u8 *elf, long len)
{
	const struct hk_mechanism wanted = { .abi = HK_MECH_ABI, .version = 1, .name = "exp253" };
	long i;

	for (i = 0; i + (long)sizeof(wanted) <= len; i++)
		if (!memcmp(elf + i, &wanted, offsetof(struct hk_mechanism, ip_proto)))
			return i;
	return -1;
}

static long read_file(const char *path, __u8 *buf, long size)
{
	int fd = open(path, O_RDONLY);
	long len = read(fd, buf, size);

	close(fd);
	return len;
}

static int write_file(const char *path, const __u8 *buf, long len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int ret = write(fd, buf, len) == len ? 0 : -1;

	close(fd);
	return ret;
}

TEST_F(hosts, wrong_descriptors)
{
	static __u8 elf[1 << 20];
	long len = read_file(object("exp253"), elf, sizeof(elf)), at = find_descriptor(elf, len);
	char path[] = "/tmp/hkmechXXXXXX", why[HK_MECH_WHY];
	struct hk_mech *mech;
	unsigned int i;
	__u8 old;

	ASSERT_LT(0, at);
	close(mkstemp(path));
	setns(self->ns[1], CLONE_NEWNET);
	for (i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
		old = elf[at + patches[i].offset];
		elf[at + patches[i].offset] = patches[i].value;
		ASSERT_EQ(0, write_file(path, elf, len));
		why[0] = '\0';
		EXPECT_EQ(-EINVAL, hk_dataplane_add_mech(self->dp[1], path, &mech, why))
			TH_LOG("%s", patches[i].name);
		EXPECT_NE(NULL, strstr(why, patches[i].says))
			TH_LOG("%s: %s", patches[i].name, why);
		elf[at + patches[i].offset] = old;
	}
	/* the same way, unharmed */
	ASSERT_EQ(0, write_file(path, elf, len));
	EXPECT_EQ(0, hk_dataplane_add_mech(self->dp[1], path, &mech, why)) TH_LOG("%s", why);
	unlink(path);
}

/**
 * struct missing - an object in which a name is another one
 * @name:  all of it
 * @other: as long
 * @says:  the reason must have this in it
 */
struct missing {
	const char	*name, *other;
	const char	*says;
};

static const struct missing all_missing[] = {
	{ "hk_mech_ingress", "hk_mech_ingrest", "no program hk_mech_ingress" },
	{ "hk_mech_egress", "hk_mech_egrest", "no program hk_mech_egress" },
	{ "hk_mech_ports", "hk_mech_porta", "no map hk_mech_ports" },
	{ "hk_mech_stats", "hk_mech_stata", "no map hk_mech_stats" },
	{ ".rodata.hooker", ".rodata.looker", "section .rodata.hooker" },
	{ "GPL", "BSD", "licence" },
};

/* In the symbols, the sections and the types, so the object as such stays sound */
static int rename_all(__u8 *elf, long len, const char *from, const char *to)
{
	long size = strlen(from) + 1, i;
	int nr = 0;

	for (i = 0; i + size <= len; i++)
		if (!memcmp(elf + i, from, size)) {
			memcpy(elf + i, to, size);
			nr++;
		}
	return nr;
}

TEST_F(hosts, something_is_missing)
{
	char path[] = "/tmp/hkmechXXXXXX", why[HK_MECH_WHY];
	static __u8 elf[1 << 20];
	const struct missing *m;
	struct hk_mech *mech;
	unsigned int i;
	long len;

	close(mkstemp(path));
	setns(self->ns[1], CLONE_NEWNET);
	for (i = 0; i < sizeof(all_missing) / sizeof(all_missing[0]); i++) {
		m = &all_missing[i];
		len = read_file(object("exp253"), elf, sizeof(elf));
		ASSERT_LT(0, rename_all(elf, len, m->name, m->other)) TH_LOG("%s", m->name);
		ASSERT_EQ(0, write_file(path, elf, len));
		why[0] = '\0';
		EXPECT_GT(0, hk_dataplane_add_mech(self->dp[1], path, &mech, why))
			TH_LOG("%s", m->name);
		EXPECT_NE(NULL, strstr(why, m->says)) TH_LOG("%s: %s", m->name, why);
	}
	unlink(path);
}

/* Cut off anywhere: refused with a reason; and nothing of it stays in the kernel */
TEST_F(hosts, cut_short)
{
	char path[] = "/tmp/hkmechXXXXXX", why[HK_MECH_WHY];
	static __u8 elf[1 << 20];
	long len = read_file(object("exp253"), elf, sizeof(elf)), part;
	struct hk_mech *mech;

	ASSERT_LT(0, len);
	close(mkstemp(path));
	setns(self->ns[1], CLONE_NEWNET);
	for (part = 0; part < len; part += len / 60) {
		ASSERT_EQ(0, write_file(path, elf, part));
		why[0] = '\0';
		EXPECT_GT(0, hk_dataplane_add_mech(self->dp[1], path, &mech, why))
			TH_LOG("%ld of %ld bytes", part, len);
		EXPECT_NE('\0', why[0]);
	}
	EXPECT_EQ(NULL, hk_dataplane_next_mech(self->dp[1], NULL));
	unlink(path);
}

/* What would never end, or never begin, to be read; that would stop the daemon */
TEST_F(hosts, no_files)
{
	char fifo[64], large[] = "/tmp/hkmechXXXXXX", why[HK_MECH_WHY];
	const char * const paths[] = { "/dev/zero", "/dev/ptmx", "/tmp", fifo, large };
	struct hk_mech *mech;
	unsigned int i;
	int fd;

	fd = mkstemp(large);
	ASSERT_EQ(0, ftruncate(fd, 1LL << 40));
	close(fd);
	snprintf(fifo, sizeof(fifo), "%s.fifo", large);
	ASSERT_EQ(0, mkfifo(fifo, 0600));
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		why[0] = '\0';
		EXPECT_EQ(-EINVAL, hk_dataplane_add_mech(self->dp[1], paths[i], &mech, why));
		EXPECT_TRUE(strstr(why, "regular file") || strstr(why, "bytes"))
			TH_LOG("%s: %s", paths[i], why);
	}
	unlink(fifo);
	unlink(large);
}

TEST_F(hosts, no_objects)
{
	static const char * const paths[] = { "/nonexistent", "/etc/passwd", "/dev/null", "/" };
	char why[HK_MECH_WHY];
	struct hk_mech *mech;
	unsigned int i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		why[0] = '\0';
		EXPECT_GT(0, hk_dataplane_add_mech(self->dp[1], paths[i], &mech, why));
		EXPECT_NE('\0', why[0]);
	}
	/* a BPF object, but not of this kind */
	EXPECT_EQ(-EINVAL, hk_dataplane_add_mech(self->dp[1], object("connection"), &mech, why));
	EXPECT_EQ(NULL, hk_dataplane_next_mech(self->dp[1], NULL));
}

TEST_HARNESS_MAIN
