// SPDX-License-Identifier: GPL-2.0
/*
 * Deployed UDP-Lite against the kernel's own sockets, which are the reference: each
 * direction, both families, all payload lengths, and what must be refused. The
 * mechanism is on its own here, without hooker_ingress.
 *
 * Two network namespaces, joined by a veth pair: a sends, b receives.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../kselftest_harness.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bpf/mechanism.h"
#include "netns.h"
#include "udplite.skel.h"

#define PORT		5005
#define MTU		1500
#define TCX_EGRESS	((enum bpf_attach_type)47)
#define SOL_UDPLITE	136
#define SEND_CSCOV	10
#define WAIT_MS		1000
#define SILENCE_MS	30	/* longer than a datagram takes that is not refused */

/**
 * struct host - one of the two
 * @ns:	      its namespace
 * @deployed: it has the mechanism, not UDP-Lite sockets
 * @skel:     then: loaded
 * @links:    then: XDP and tcx
 * @fd:	      its socket
 */
struct host {
	int			ns;
	bool			deployed;
	struct udplite_bpf	*skel;
	int			links[2];
	int			fd;
};

FIXTURE(pair)
{
	int		home;
	struct host	a, b;
};

FIXTURE_VARIANT(pair)
{
	bool	v6, a_deployed, b_deployed;
	__u32	xdp_mode;
};

FIXTURE_VARIANT_ADD(pair, to_native_4)
{
	.a_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, to_native_6)
{
	.v6 = true, .a_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, from_native_4)
{
	.b_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, from_native_6)
{
	.v6 = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, from_native_4_drv)
{
	.b_deployed = true,
	.xdp_mode = XDP_FLAGS_DRV_MODE,
};

FIXTURE_VARIANT_ADD(pair, from_native_6_drv)
{
	.v6 = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_DRV_MODE,
};

FIXTURE_VARIANT_ADD(pair, both_4)
{
	.a_deployed = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, both_6)
{
	.v6 = true, .a_deployed = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(pair, both_4_drv)
{
	.a_deployed = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_DRV_MODE,
};

FIXTURE_VARIANT_ADD(pair, both_6_drv)
{
	.v6 = true, .a_deployed = true, .b_deployed = true,
	.xdp_mode = XDP_FLAGS_DRV_MODE,
};

static int set_port(struct host *h, __u16 side, __u16 cover)
{
	struct hk_mech_key key = { .port = htons(PORT), .side = side };
	struct hk_mech_port port = {
		.port = htons(PORT),
		.cover = cover ? HK_MECH_COVER_FIXED : HK_MECH_COVER_FULL,
		.base = cover,
	};

	return bpf_map_update_elem(bpf_map__fd(h->skel->maps.hk_mech_ports), &key, &port, 0);
}

static int deploy(struct host *h, __u32 xdp_mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = xdp_mode);
	int ifindex = if_nametoindex("veth0");

	h->skel = udplite_bpf__open_and_load();
	if (!h->skel)
		return -errno;
	h->links[0] = bpf_link_create(bpf_program__fd(h->skel->progs.hk_mech_ingress), ifindex,
				      BPF_XDP, &opts);
	h->links[1] = bpf_link_create(bpf_program__fd(h->skel->progs.hk_mech_egress), ifindex,
				      TCX_EGRESS, NULL);
	if (h->links[0] < 0 || h->links[1] < 0)
		return -errno;
	return set_port(h, HK_MECH_IN_DEST, 0) ?: set_port(h, HK_MECH_OUT_SOURCE, 0);
}

static socklen_t address(struct sockaddr_storage *ss, bool v6, int host)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (!v6) {
		in->sin_family = AF_INET;
		in->sin_port = htons(PORT);
		in->sin_addr.s_addr = htonl(0xc0000200 | host);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(PORT);
	inet_pton(AF_INET6, "2001:db8::", &in6->sin6_addr);
	in6->sin6_addr.s6_addr[15] = host;
	return sizeof(*in6);
}

static int open_socket(struct host *h, bool v6, int host)
{
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, v6, host);
	int on = 1;

	h->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM,
		       h->deployed ? IPPROTO_UDP : IPPROTO_UDPLITE);
	if (h->fd < 0 || bind(h->fd, (void *)&ss, len) ||
	    setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		return -errno;
	len = address(&ss, v6, 3 - host);
	return connect(h->fd, (void *)&ss, len) ? -errno : on - 1;
}

/* As the daemon's sockets are: the mechanism is to write the checksum */
static int send_unchecked(struct host *h, bool v6)
{
	int on = 1;

	if (!h->deployed)
		return 0;
	return v6 ? setsockopt(h->fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, &on, sizeof(on)) :
		    setsockopt(h->fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on));
}

static int set_coverage(struct host *h, __u16 cover)
{
	int val = cover;

	if (h->deployed)
		return set_port(h, HK_MECH_OUT_SOURCE, cover);
	return setsockopt(h->fd, SOL_UDPLITE, SEND_CSCOV, &val, sizeof(val));
}

static int open_host(struct host *h, bool v6, int host, __u32 xdp_mode)
{
	int err = 0;

	if (setns(h->ns, CLONE_NEWNET))
		return -errno;
	if (h->deployed)
		err = deploy(h, xdp_mode);
	return err ?: open_socket(h, v6, host);
}

static bool has_native(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);

	close(fd);
	return fd >= 0;
}

FIXTURE_SETUP(pair)
{
	int ns[2];

	if (geteuid())
		SKIP(return, "needs root");
	if ((!variant->a_deployed || !variant->b_deployed) && !has_native())
		SKIP(return, "[kernel] no UDP-Lite sockets to compare with");
	memset(&self->a, -1, sizeof(self->a));
	memset(&self->b, -1, sizeof(self->b));
	self->a.skel = NULL;
	self->b.skel = NULL;
	self->a.deployed = variant->a_deployed;
	self->b.deployed = variant->b_deployed;
	self->home = netns_open();
	ASSERT_EQ(0, netns_make_hosts(ns));
	self->a.ns = ns[0];
	self->b.ns = ns[1];
	ASSERT_EQ(0, open_host(&self->b, variant->v6, 2, variant->xdp_mode));
	ASSERT_EQ(0, open_host(&self->a, variant->v6, 1, variant->xdp_mode));
}

static void close_host(struct host *h)
{
	int i;

	for (i = 0; i < 2; i++)
		close(h->links[i]);
	udplite_bpf__destroy(h->skel);
	close(h->fd);
	close(h->ns);
}

FIXTURE_TEARDOWN(pair)
{
	close_host(&self->a);
	close_host(&self->b);
	setns(self->home, CLONE_NEWNET);
	close(self->home);
}

/* All counters of refused datagrams in the current namespace, by name */
static long errors_counted(void)
{
	long sum = 0, value;
	char name[64];
	FILE *f;

	/* /proc/net/snmp has a line of names and one of values; nstat reads both files */
	f = popen("nstat -asz 'Udp*InCsumErrors' 'Udp*InErrors' 2>/dev/null", "r");
	if (!f)
		return -1;
	while (fscanf(f, " %63s", name) == 1)
		if (!strncmp(name, "Udp", 3) && fscanf(f, "%ld", &value) == 1)
			sum += value;
	pclose(f);
	return sum;
}

static __u64 sum_of(struct host *h, __u32 counter)
{
	__u64 values[256] = {}, sum = 0;
	int i;

	bpf_map_lookup_elem(bpf_map__fd(h->skel->maps.hk_mech_stats), &counter, values);
	for (i = 0; i < libbpf_num_possible_cpus() && i < 256; i++)
		sum += values[i];
	return sum;
}

/* What the host's mechanism has counted under this name */
static __u64 counted(struct host *h, const char *name)
{
	__u32 i;

	for (i = 0; i < HK_MECH_COUNTERS; i++)
		if (!strcmp((const char *)h->skel->rodata_hooker->hk_mechanism.counters[i], name))
			return sum_of(h, i);
	return -1;
}

static void fill(__u8 *buf, int len, __u32 seed)
{
	int i;

	for (i = 0; i < len; i++)
		buf[i] = (seed = seed * 1664525 + 1013904223) >> 24;
}

/* One datagram over; 0, or which step went wrong */
static int pass(struct host *a, struct host *b, int len, __u32 seed)
{
	__u8 out[MTU], in[MTU + 1];

	fill(out, len, seed);
	if (send(a->fd, out, len, 0) != len)
		return 1;
	if (recv(b->fd, in, sizeof(in), 0) != len)
		return 2;
	return memcmp(in, out, len) ? 3 : 0;
}

static const __u16 coverages[] = { 0, 8, 9, 20, 32 };

TEST_F(pair, every_length)
{
	int max = MTU - 8 - (variant->v6 ? 40 : 20);
	unsigned int i;
	long errors;
	int len, nr = 0, partial = 0;

	ASSERT_EQ(0, send_unchecked(&self->a, variant->v6));
	setns(self->b.ns, CLONE_NEWNET);
	errors = errors_counted();
	ASSERT_LE(0, errors);
	for (i = 0; i < sizeof(coverages) / sizeof(coverages[0]); i++) {
		ASSERT_EQ(0, set_coverage(&self->a, coverages[i]));
		for (len = 0; len <= max; len++, nr++) {
			ASSERT_EQ(0, pass(&self->a, &self->b, len, len * 7 + i))
				TH_LOG("coverage %u, %d bytes", coverages[i], len);
			partial += coverages[i] && coverages[i] < 8 + len;
		}
	}
	errors = errors_counted() - errors;
	EXPECT_EQ(0, errors);
	if (variant->a_deployed) {
		EXPECT_EQ(partial, counted(&self->a, "out_partial"));
		EXPECT_EQ(nr - partial, counted(&self->a, "out_full"));
	}
	if (variant->b_deployed) {
		EXPECT_EQ(partial, counted(&self->b, "in_partial"));
		EXPECT_EQ(nr - partial, counted(&self->b, "in_full"));
	}
	TH_LOG("%d datagrams of 0 to %d bytes taken, %d of them covered in part, %ld errors",
	       nr, max, partial, errors);
}

/* A socket that has checksums: the device may have to fill them in after the program */
TEST_F(pair, with_checksums)
{
	int len;

	if (!variant->a_deployed)
		SKIP(return, "[variant] the kernel's sockets have no choice");
	for (len = 0; len <= 1400; len += 7)
		ASSERT_EQ(0, pass(&self->a, &self->b, len, len)) TH_LOG("%d bytes", len);
	/* corked: the payload isn't linear */
	ASSERT_EQ(301, send(self->a.fd, (__u8[301]){}, 301, MSG_MORE));
	ASSERT_EQ(700, send(self->a.fd, (__u8[700]){}, 700, 0));
	ASSERT_EQ(1001, recv(self->b.fd, (__u8[2000]){}, 2000, 0));
}

/*
 * Each 16-bit checksum there is, the two zeros among them; in one mode, and beside the
 * kernel's sockets, as it takes time
 */
TEST_F(pair, every_checksum)
{
	bool reference = !variant->a_deployed || !variant->b_deployed;
	int i, step = reference && variant->xdp_mode == XDP_FLAGS_SKB_MODE ? 1 : 16;
	__u16 out;
	__u8 in[4];

	ASSERT_EQ(0, send_unchecked(&self->a, variant->v6));
	for (i = 0; i < 65536; i += step) {
		out = i;
		ASSERT_EQ(2, send(self->a.fd, &out, 2, 0));
		ASSERT_EQ(2, recv(self->b.fd, in, sizeof(in), 0)) TH_LOG("%#x", i);
		ASSERT_EQ(0, memcmp(in, &out, 2));
	}
}

/* ---- what must be refused ---- */

/**
 * struct forged - a datagram made by hand
 * @name:     for messages
 * @len:      payload
 * @cover:    coverage field; the checksum is right for it
 * @flip:     bit of this byte is flipped afterwards, from the header on; 0: none
 * @no_check: checksum 0 instead
 * @taken:    RFC 3828 has it delivered
 * @counter:  the mechanism's, if it is the one to refuse it; else the UDP stack is
 */
struct forged {
	const char	*name;
	int		len, cover, flip;
	bool		no_check, taken;
	const char	*counter;
};

static const struct forged all_forged[] = {
	{ "full coverage as 0", 100, 0, 0, false, true, NULL },
	{ "full coverage as length", 100, 108, 0, false, true, NULL },
	{ "part", 100, 20, 0, false, true, NULL },
	{ "odd part of an odd length", 101, 13, 0, false, true, NULL },
	{ "header alone", 100, 8, 0, false, true, NULL },
	{ "flipped in full coverage", 100, 0, 50, false, false, NULL },
	{ "flipped under the checksum", 100, 20, 15, false, false, "in_drop_checksum" },
	{ "flipped in the port", 100, 8, 1, false, false, "in_drop_checksum" },
	{ "flipped behind the coverage", 100, 20, 60, false, true, NULL },
	{ "last byte flipped", 101, 20, 108, false, true, NULL },
	{ "no checksum", 100, 0, 0, true, false, "in_drop_checksum" },
	{ "no checksum, part", 100, 20, 0, true, false, "in_drop_checksum" },
	{ "coverage 1", 100, 1, 0, false, false, "in_drop_coverage" },
	{ "coverage 7", 100, 7, 0, false, false, "in_drop_coverage" },
	{ "coverage beyond the end", 100, 109, 0, false, false, "in_drop_coverage" },
	{ "coverage far beyond", 100, 65535, 0, false, false, "in_drop_coverage" },
};

static __u32 sum_words(const __u8 *data, int len, __u32 sum)
{
	int i;

	for (i = 0; i < len; i++)
		sum += i % 2 ? data[i] : data[i] << 8;
	return sum;
}

static __u32 pseudo_header(bool v6, int len)
{
	struct sockaddr_storage ss;
	__u32 sum = SOL_UDPLITE + len;
	int host;

	for (host = 1; host <= 2; host++) {
		address(&ss, v6, host);
		if (v6)
			sum = sum_words(((struct sockaddr_in6 *)&ss)->sin6_addr.s6_addr, 16, sum);
		else
			sum = sum_words((__u8 *)&((struct sockaddr_in *)&ss)->sin_addr, 4, sum);
	}
	return sum;
}

static int forge(const struct forged *forged, bool v6, __u8 *dgram)
{
	int len = 8 + forged->len, cover = forged->cover ?: len;
	__u32 sum;

	fill(dgram, len, 42);
	dgram[0] = PORT >> 8;
	dgram[1] = PORT & 0xff;
	memcpy(dgram + 2, dgram, 2);
	dgram[4] = forged->cover >> 8;
	dgram[5] = forged->cover;
	memset(dgram + 6, 0, 2);
	sum = sum_words(dgram, cover < len ? cover : len, pseudo_header(v6, len));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = (__u16)~sum ?: 0xffff;
	if (!forged->no_check) {
		dgram[6] = sum >> 8;
		dgram[7] = sum;
	}
	if (forged->flip)
		dgram[forged->flip - 1] ^= 0x10;
	return len;
}

static int send_raw(struct host *a, bool v6, const __u8 *dgram, int len)
{
	struct sockaddr_storage ss;
	socklen_t ss_len = address(&ss, v6, 2);
	int fd, ret;

	((struct sockaddr_in *)&ss)->sin_port = 0;
	setns(a->ns, CLONE_NEWNET);
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW, SOL_UDPLITE);
	ret = sendto(fd, dgram, len, 0, (void *)&ss, ss_len);
	close(fd);
	return ret == len ? 0 : -1;
}

static bool is_delivered(struct host *b, const __u8 *payload, int len, int wait_ms)
{
	struct pollfd pfd = { .fd = b->fd, .events = POLLIN };
	__u8 in[MTU];

	if (poll(&pfd, 1, wait_ms) <= 0)
		return false;
	return recv(b->fd, in, sizeof(in), MSG_DONTWAIT) == len && !memcmp(in, payload, len);
}

/* What was dropped for the reason given, by the mechanism or else the UDP stack */
static __u64 dropped(struct host *h, const char *counter)
{
	if (h->deployed && counter)
		return counted(h, counter);
	setns(h->ns, CLONE_NEWNET);
	return errors_counted();
}

TEST_F(pair, forged)
{
	const struct forged *f;
	__u8 dgram[256];
	__u64 before;
	unsigned int i;
	int len;

	for (i = 0; i < sizeof(all_forged) / sizeof(all_forged[0]); i++) {
		f = &all_forged[i];
		len = forge(f, variant->v6, dgram);
		before = dropped(&self->b, f->counter);
		ASSERT_EQ(0, send_raw(&self->a, variant->v6, dgram, len));
		EXPECT_EQ(f->taken, is_delivered(&self->b, dgram + 8, f->len,
						 f->taken ? WAIT_MS : SILENCE_MS))
			TH_LOG("%s", f->name);
		if (!f->taken)
			EXPECT_LT(before, dropped(&self->b, f->counter))
				TH_LOG("%s: not counted", f->name);
	}
}

/* Ports that are not the mechanism's, and other protocols, are none of its business */
TEST_F(pair, others_pass)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, variant->v6, 2);
	int rx, tx, family = variant->v6 ? AF_INET6 : AF_INET;
	char in[8];

	((struct sockaddr_in *)&ss)->sin_port = htons(PORT + 1);
	setns(self->b.ns, CLONE_NEWNET);
	rx = socket(family, SOCK_DGRAM, IPPROTO_UDP);
	ASSERT_EQ(0, bind(rx, (void *)&ss, len));
	setns(self->a.ns, CLONE_NEWNET);
	tx = socket(family, SOCK_DGRAM, IPPROTO_UDP);
	ASSERT_EQ(4, sendto(tx, "ping", 4, 0, (void *)&ss, len));
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = rx, .events = POLLIN }, 1, WAIT_MS));
	EXPECT_EQ(4, recv(rx, in, sizeof(in), 0));
	close(rx);
	close(tx);
}

TEST_HARNESS_MAIN
