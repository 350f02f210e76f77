// SPDX-License-Identifier: GPL-2.0
/*
 * Verdicts of hooker_ingress: on made-up packets by BPF_PROG_TEST_RUN, and on a
 * veth between two network namespaces, where answers must come back and what is
 * dropped must not.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bpf/hooker_abi.h"
#include "dataplane/dataplane.h"
#include "htp/wire.h"
#include "ingress.skel.h"
#include "netns.h"
#include "tcp/addr.h"

#define PORT		18507
#define ASSOC		0x1122334455667788ULL
#define INSTANCE	0x0102030405060708ULL
#define UDPLITE		136
#define XDP_ABORTED_	0
#define XDP_DROP_	1
#define XDP_PASS_	2
#define XDP_TX_		3

/**
 * struct packet - a frame being made
 * @data: frame
 * @len:  bytes
 * @l4:   where the UDP header is
 * @ip:   where the IP header is
 */
struct packet {
	__u8	data[2048];
	size_t	len, l4, ip;
};

/**
 * struct spec - what the frame is like; zero is a valid DATA datagram
 * @vlans:	  802.1Q tags
 * @ip_opts:	  32-bit words of IPv4 options
 * @payload:	  bytes behind the HTP header; negative: so many of it are missing
 * @type:	  of HTP
 * @version:	  of HTP; 0: the right one
 * @ctl_len:	  of HTP
 * @coverage:	  UDP-Lite, as it stands in the header; 0: length, -1: 0
 * @dst_id:	  0: ASSOC
 * @other_port:	  destination port is not ours
 * @wrong_source: source address is not the association's
 * @zero_check:	  checksum field is 0
 * @len_delta:	  added to the UDP length field, or the coverage
 * @cut:	  bytes missing at the end of the frame
 * @frag_off:	  IPv4 fragment field, host order
 */
struct spec {
	int	vlans, ip_opts;
	int	payload;
	int	type, version;
	int	ctl_len;
	int	coverage;
	__u64	dst_id;
	bool	other_port, wrong_source, zero_check;
	int	len_delta;
	int	cut;
	int	frag_off;
};

FIXTURE(verdict)
{
	struct ingress_bpf *skel;
	struct packet pkt;
};

FIXTURE_VARIANT(verdict)
{
	bool	v6;
	__u8	proto;
};

FIXTURE_VARIANT_ADD(verdict, udp4)
{
	.proto = IPPROTO_UDP,
};

FIXTURE_VARIANT_ADD(verdict, udplite4)
{
	.proto = UDPLITE,
};

FIXTURE_VARIANT_ADD(verdict, udp6)
{
	.v6 = true,
	.proto = IPPROTO_UDP,
};

FIXTURE_VARIANT_ADD(verdict, udplite6)
{
	.v6 = true,
	.proto = UDPLITE,
};

static struct ingress_bpf *load(__u8 protos)
{
	struct hk_bpf_config config = { .port = htons(PORT), .protos = protos };
	struct ingress_bpf *skel = ingress_bpf__open();
	int i;

	if (!skel)
		return NULL;
	for (i = 0; i < 8; i++)
		config.instance[i] = INSTANCE >> (56 - 8 * i);
	memcpy((void *)&skel->rodata->hk_config, &config, sizeof(config));
	if (ingress_bpf__load(skel)) {
		ingress_bpf__destroy(skel);
		return NULL;
	}
	return skel;
}

static int add_local(struct ingress_bpf *skel, bool v6)
{
	struct hk_local_key key = {};
	__u32 one = 1;

	if (v6)
		inet_pton(AF_INET6, "fd00::1", key.addr);
	else
		hk_addr_map(key.addr, htonl(0x0a000001));
	return bpf_map_update_elem(bpf_map__fd(skel->maps.hk_locals), &key, &one, 0);
}

static void source_of(bool v6, __be32 addr[4])
{
	if (v6)
		inet_pton(AF_INET6, "fd00::2", addr);
	else
		hk_addr_map(addr, htonl(0x0a000002));
}

static void other_source(bool v6, __be32 addr[4])
{
	if (v6)
		inet_pton(AF_INET6, "fd00::3", addr);
	else
		hk_addr_map(addr, htonl(0x0a000003));
}

static void fill_entry(struct hk_assoc_entry *entry, bool v6)
{
	int i;

	memset(entry, 0, sizeof(*entry));
	for (i = 0; i < HK_ASSOC_ADDRS; i++)
		source_of(v6, entry->raddr[i]);
}

FIXTURE_SETUP(verdict)
{
	struct hk_assoc_entry entry;
	__u64 id = ASSOC;

	if (geteuid())
		SKIP(return, "needs root");
	self->skel = load(HK_PROTO_UDP | HK_PROTO_UDPLITE);
	ASSERT_NE(NULL, self->skel);
	fill_entry(&entry, variant->v6);
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_assocs), &id, &entry, 0));
	ASSERT_EQ(0, add_local(self->skel, variant->v6));
}

FIXTURE_TEARDOWN(verdict)
{
	ingress_bpf__destroy(self->skel);
}

static void put16(__u8 *at, __u16 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static size_t put_eth(struct packet *p, const struct spec *s, bool v6)
{
	size_t at = 12;
	int i;

	memset(p->data, 0x12, 6);
	memset(p->data + 6, 0x22, 6);
	for (i = 0; i < s->vlans; i++, at += 4) {
		put16(p->data + at, i ? ETH_P_8021Q : s->vlans > 1 ? ETH_P_8021AD : ETH_P_8021Q);
		put16(p->data + at + 2, 7);
	}
	put16(p->data + at, v6 ? ETH_P_IPV6 : ETH_P_IP);
	return at + 2;
}

static size_t put_ip4(struct packet *p, size_t at, const struct spec *s, __u8 proto, size_t l4_len)
{
	struct iphdr *iph = (void *)(p->data + at);
	size_t hlen = 20 + 4 * s->ip_opts;

	memset(iph, 0, hlen);
	iph->version = 4;
	iph->ihl = hlen / 4;
	iph->tot_len = htons(hlen + l4_len);
	iph->frag_off = htons(s->frag_off);
	iph->ttl = 64;
	iph->protocol = proto;
	iph->saddr = htonl(s->wrong_source ? 0x0a000003 : 0x0a000002);
	iph->daddr = htonl(0x0a000001);
	return at + hlen;
}

static size_t put_ip6(struct packet *p, size_t at, const struct spec *s, __u8 proto, size_t l4_len)
{
	struct ip6_hdr *iph = (void *)(p->data + at);

	memset(iph, 0, sizeof(*iph));
	iph->ip6_flow = htonl(6 << 28);
	iph->ip6_plen = htons(l4_len);
	iph->ip6_nxt = proto;
	iph->ip6_hlim = 64;
	inet_pton(AF_INET6, s->wrong_source ? "fd00::3" : "fd00::2", &iph->ip6_src);
	inet_pton(AF_INET6, "fd00::1", &iph->ip6_dst);
	return at + sizeof(*iph);
}

static void put_htp(struct packet *p, size_t at, const struct spec *s)
{
	__u64 id = s->dst_id ?: ASSOC;
	int i;

	memset(p->data + at, 0, HTP_HDR_LEN + s->payload);
	p->data[at] = (s->version ?: HTP_VERSION) << 4 | s->type;
	put16(p->data + at + 2, s->ctl_len);
	for (i = 0; i < 8; i++)
		p->data[at + 8 + i] = id >> (56 - 8 * i);
	for (i = 0; i < s->payload; i++)
		p->data[at + HTP_HDR_LEN + i] = i;
}

/* The checksum over @cov bytes, as the receiver's socket will verify it */
static __u16 checksum(const struct packet *p, bool v6, __u8 proto, size_t l4_len, size_t cov)
{
	const __u8 *ip = p->data + p->ip, *l4 = p->data + p->l4;
	size_t from = v6 ? 8 : 12, to = v6 ? 40 : 20, i;
	__u32 sum = l4_len + proto;

	for (i = from; i < to; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	for (i = 0; i < cov; i += 2)
		sum += l4[i] << 8 | (i + 1 < cov ? l4[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void make(struct packet *p, const struct spec *s, bool v6, __u8 proto)
{
	size_t l4_len = 8 + HTP_HDR_LEN + s->payload, cov = l4_len;
	__u16 sum;

	p->ip = put_eth(p, s, v6);
	if (v6)
		p->l4 = put_ip6(p, p->ip, s, proto, l4_len);
	else
		p->l4 = put_ip4(p, p->ip, s, proto, l4_len);
	put_htp(p, p->l4 + 8, s);
	put16(p->data + p->l4, 4000);
	put16(p->data + p->l4 + 2, s->other_port ? PORT + 1 : PORT);
	if (proto == UDPLITE && s->coverage)
		cov = s->coverage < 0 ? 0 : s->coverage;
	put16(p->data + p->l4 + 4, cov + s->len_delta);
	put16(p->data + p->l4 + 6, 0);
	sum = checksum(p, v6, proto, l4_len, cov ?: l4_len);
	put16(p->data + p->l4 + 6, s->zero_check ? 0 : sum ?: 0xffff);
	p->len = p->l4 + l4_len - s->cut;
}

static __u64 counter(struct ingress_bpf *skel, __u32 stat)
{
	__u64 values[1024] = {}, sum = 0;
	int i;

	bpf_map_lookup_elem(bpf_map__fd(skel->maps.hk_xdp_stats), &stat, values);
	for (i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += values[i];
	return sum;
}

static int run(struct ingress_bpf *skel, struct packet *p)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = p->data,
		.data_size_in = p->len,
		.data_out = p->data,
		.data_size_out = sizeof(p->data),
		.repeat = 1,
	);

	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.hooker_ingress), &opts))
		return -errno;
	return opts.retval;
}

/* Runs one frame; the verdict must be that, and only that reason's counter moves, by one */
#define VERDICT(want, reason, ...) do {						\
	struct spec spec_ = { __VA_ARGS__ };					\
	enum hk_xdp_stat reason_ = (reason);					\
	__u64 before_ = counter(self->skel, reason_);				\
										\
	make(&self->pkt, &spec_, variant->v6, variant->proto);			\
	EXPECT_EQ(want, run(self->skel, &self->pkt));				\
	EXPECT_EQ(before_ + 1, counter(self->skel, reason_)) {			\
		TH_LOG("reason %s: %s", hk_xdp_stat_name(reason_), #__VA_ARGS__); \
	}									\
} while (0)

TEST_F(verdict, data_of_known_association)
{
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 0);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 1);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 1400);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .vlans = 1);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .vlans = 2);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .type = HTP_HELLO_ACK);
	VERDICT(XDP_PASS_, HK_XDP_PASS_UNKNOWN, .dst_id = ASSOC + 1);
	VERDICT(XDP_PASS_, HK_XDP_PASS_UNKNOWN, .dst_id = ASSOC ^ 1ULL << 63);
	VERDICT(XDP_DROP_, HK_XDP_DROP_ASSOC, .dst_id = ASSOC + 1, .type = HTP_HELLO_ACK);
}

/* Its peer may have moved: a few pass, and more of them when time has passed */
TEST_F(verdict, data_from_another_address)
{
	const struct spec spec = { .wrong_source = true };
	__u64 before = counter(self->skel, HK_XDP_PASS_STRANGER), passed = 0;
	struct timespec from, to;
	int i;

	make(&self->pkt, &spec, variant->v6, variant->proto);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < 200; i++)
		passed += run(self->skel, &self->pkt) == XDP_PASS_;
	clock_gettime(CLOCK_MONOTONIC, &to);
	EXPECT_LE(HK_STRANGER_BURST, passed);
	EXPECT_GE(HK_STRANGER_BURST + 1 + (to.tv_sec - from.tv_sec + 1) * HK_STRANGER_RATE, passed);
	EXPECT_EQ(before + passed, counter(self->skel, HK_XDP_PASS_STRANGER));
	EXPECT_EQ(200 - passed, counter(self->skel, HK_XDP_DROP_SOURCE));
	/* which is not at the peer's expense */
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 10);
	usleep(2 * 1000000 / HK_STRANGER_RATE);
	VERDICT(XDP_PASS_, HK_XDP_PASS_STRANGER, .wrong_source = true);
}

/* All pass once the daemon has seen that it may be there */
TEST_F(verdict, data_from_several_addresses)
{
	struct hk_assoc_entry entry;
	__u64 id = ASSOC;
	int fd, i;

	fd = bpf_map__fd(self->skel->maps.hk_assocs);
	ASSERT_EQ(0, bpf_map_lookup_elem(fd, &id, &entry));
	other_source(variant->v6, entry.raddr[HK_ASSOC_ADDRS - 1]);
	ASSERT_EQ(0, bpf_map_update_elem(fd, &id, &entry, 0));
	for (i = 0; i < 2 * HK_STRANGER_BURST; i++)
		VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .wrong_source = true);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 10);
}

TEST_F(verdict, unknown_associations_are_limited)
{
	unsigned int passed = 0;
	int i;

	make(&self->pkt, &(struct spec){ .dst_id = ASSOC + 1 }, variant->v6, variant->proto);
	for (i = 0; i < 3 * HK_UNKNOWN_BURST; i++)
		passed += run(self->skel, &self->pkt) == XDP_PASS_;
	EXPECT_LE(HK_UNKNOWN_BURST, passed);
	EXPECT_LT(passed, 3 * HK_UNKNOWN_BURST);
	EXPECT_EQ(3 * HK_UNKNOWN_BURST - passed, counter(self->skel, HK_XDP_DROP_ASSOC));
	/* which costs the others nothing */
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 1);
	VERDICT(XDP_TX_, HK_XDP_TX_PROBE, .type = HTP_PROBE);
}

TEST_F(verdict, reset_names_what_we_write)
{
	__u64 id = ASSOC + 5;
	__u32 one = 1;

	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_remotes), &id, &one, 0));
	VERDICT(XDP_PASS_, HK_XDP_PASS_RESET, .type = HTP_RESET, .dst_id = id);
	/* our own ids are not for the peer to write here */
	VERDICT(XDP_DROP_, HK_XDP_DROP_RESET, .type = HTP_RESET, .dst_id = ASSOC);
	VERDICT(XDP_DROP_, HK_XDP_DROP_RESET, .type = HTP_RESET, .dst_id = id + 1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_VERSION, .type = HTP_RESET + 1, .dst_id = id);
}

TEST_F(verdict, hello_names_the_instance)
{
	VERDICT(XDP_PASS_, HK_XDP_PASS_HELLO, .type = HTP_HELLO, .dst_id = INSTANCE,
		.payload = 1200);
	VERDICT(XDP_DROP_, HK_XDP_DROP_TOKEN, .type = HTP_HELLO, .dst_id = INSTANCE + 1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_TOKEN, .type = HTP_HELLO, .dst_id = ASSOC);
}

TEST_F(verdict, others_pass)
{
	VERDICT(XDP_PASS_, HK_XDP_PASS_OTHER, .other_port = true);
	VERDICT(XDP_PASS_, HK_XDP_PASS_OTHER, .vlans = 3);
	if (!variant->v6) {
		/* a later fragment shows no port */
		VERDICT(XDP_PASS_, HK_XDP_PASS_OTHER, .frag_off = 100);
	}
	make(&self->pkt, &(struct spec){ .payload = 20 }, variant->v6, IPPROTO_TCP);
	EXPECT_EQ(XDP_PASS_, run(self->skel, &self->pkt));
	/* cut anywhere before the ports can be read: no verdict of ours, and no crash */
	make(&self->pkt, &(struct spec){ .payload = 20 }, variant->v6, variant->proto);
	for (self->pkt.len = self->pkt.l4 + 7; self->pkt.len >= 14; self->pkt.len--)
		EXPECT_EQ(XDP_PASS_, run(self->skel, &self->pkt));
}

TEST_F(verdict, malformed)
{
	VERDICT(XDP_DROP_, HK_XDP_DROP_LENGTH, .payload = 100, .cut = 1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_LENGTH, .payload = 100, .cut = 110);
	VERDICT(XDP_DROP_, HK_XDP_DROP_VERSION, .version = 2);
	VERDICT(XDP_DROP_, HK_XDP_DROP_VERSION, .type = 9);
	VERDICT(XDP_DROP_, HK_XDP_DROP_SHORT, .payload = -1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_SHORT, .payload = -16);
	if (!variant->v6) {
		VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .ip_opts = 10, .payload = 5);
		VERDICT(XDP_DROP_, HK_XDP_DROP_FRAGMENT, .frag_off = 0x2000);
	}
}

TEST_F(verdict, lengths_and_coverage)
{
	if (variant->proto == IPPROTO_UDP) {
		VERDICT(XDP_DROP_, HK_XDP_DROP_LENGTH, .payload = 100, .len_delta = 1);
		VERDICT(XDP_DROP_, HK_XDP_DROP_LENGTH, .payload = 100, .len_delta = -1);
		return;
	}
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .coverage = -1);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .coverage = 24);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .coverage = 60);
	/* the control part has to be covered, however long it is; the payload hasn't */
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 400, .ctl_len = 300, .coverage = 324);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 400, .ctl_len = 300, .coverage = 323);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .ctl_len = 1, .coverage = 24);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .ctl_len = 100);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .ctl_len = 100, .coverage = -1);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 100, .ctl_len = 9000, .coverage = -1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .ctl_len = 9000, .coverage = 120);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .coverage = 23);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .coverage = 8);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .coverage = 7);
	VERDICT(XDP_DROP_, HK_XDP_DROP_COVERAGE, .payload = 100, .len_delta = 1);
	VERDICT(XDP_DROP_, HK_XDP_DROP_CHECKSUM, .payload = 100, .zero_check = true);
}

TEST_F(verdict, probe_is_turned_round)
{
	struct packet sent;
	size_t l4_len;

	VERDICT(XDP_TX_, HK_XDP_TX_PROBE, .type = HTP_PROBE, .payload = 64);
	make(&sent, &(struct spec){ .type = HTP_PROBE, .payload = 64 }, variant->v6,
	     variant->proto);
	EXPECT_EQ(0, memcmp(self->pkt.data, sent.data + 6, 6));
	EXPECT_EQ(0, memcmp(self->pkt.data + 6, sent.data, 6));
	EXPECT_EQ(0, memcmp(self->pkt.data + sent.l4, sent.data + sent.l4 + 2, 2));
	EXPECT_EQ(HTP_VERSION << 4 | HTP_PROBE_REPLY, self->pkt.data[sent.l4 + 8]);
	EXPECT_EQ(0, memcmp(self->pkt.data + sent.l4 + 9, sent.data + sent.l4 + 9, 15 + 64));
	/* summed over everything, checksum included, a right one gives zero */
	l4_len = 8 + HTP_HDR_LEN + 64;
	EXPECT_EQ(0, checksum(&self->pkt, variant->v6, variant->proto, l4_len, l4_len));
}

TEST_F(verdict, probes_are_limited)
{
	unsigned int answered = 0;
	int i;

	for (i = 0; i < 3 * HK_PROBE_BURST; i++) {
		make(&self->pkt, &(struct spec){ .type = HTP_PROBE, .payload = 8 }, variant->v6,
		     variant->proto);
		answered += run(self->skel, &self->pkt) == XDP_TX_;
	}
	EXPECT_LE(HK_PROBE_BURST, answered);
	EXPECT_LT(answered, 3 * HK_PROBE_BURST);
	EXPECT_EQ(3 * HK_PROBE_BURST - answered, counter(self->skel, HK_XDP_DROP_PROBE));
	/* nor is a frame to a group answered, whoever sent it */
	make(&self->pkt, &(struct spec){ .type = HTP_PROBE, .payload = 8 }, variant->v6,
	     variant->proto);
	self->pkt.data[0] |= 1;
	EXPECT_EQ(XDP_DROP_, run(self->skel, &self->pkt));
}

/* Another CPU has looked at the bucket after this one had read the clock */
TEST_F(verdict, no_time_fills_no_bucket)
{
	struct hk_assoc_entry entry;
	struct timespec now;
	__u64 id = ASSOC;
	int fd, i;

	fd = bpf_map__fd(self->skel->maps.hk_assocs);
	ASSERT_EQ(0, bpf_map_lookup_elem(fd, &id, &entry));
	clock_gettime(CLOCK_MONOTONIC, &now);
	entry.strangers.last_ns = (now.tv_sec + 3600) * 1000000000ULL;
	entry.strangers.credit = 0;
	ASSERT_EQ(0, bpf_map_update_elem(fd, &id, &entry, 0));
	for (i = 0; i < 3; i++)
		VERDICT(XDP_DROP_, HK_XDP_DROP_SOURCE, .wrong_source = true);
}

/* UDP to a socket that a mechanism serves would pass for that mechanism's protocol */
TEST_F(verdict, ports_behind_mechanisms)
{
	self->skel->bss->hk_mech_locals[HK_MECH_MAX_LOCALS - 1] = htons(PORT + 1);
	if (variant->proto == IPPROTO_UDP)
		VERDICT(XDP_DROP_, HK_XDP_DROP_BEHIND, .other_port = true);
	else
		VERDICT(XDP_PASS_, HK_XDP_PASS_OTHER, .other_port = true);
	VERDICT(XDP_PASS_, HK_XDP_PASS_DATA, .payload = 1);
}

/*
 * A router or the host of containers sees datagrams that are for others, also to the port
 * of a socket that is behind a mechanism here
 */
TEST_F(verdict, transit_passes)
{
	size_t daddr = variant->v6 ? 24 : 16, i;
	static const struct spec specs[] = {
		{ .dst_id = 42 }, { .type = HTP_PROBE }, { .version = 3 }, { .payload = -9 },
		{ .other_port = true },
	};

	self->skel->bss->hk_mech_locals[0] = htons(PORT + 1);
	for (i = 0; i < ARRAY_SIZE(specs); i++) {
		make(&self->pkt, &specs[i], variant->v6, variant->proto);
		self->pkt.data[self->pkt.ip + daddr + 3] ^= 0x40;
		EXPECT_EQ(XDP_PASS_, run(self->skel, &self->pkt));
	}
	EXPECT_EQ(ARRAY_SIZE(specs), counter(self->skel, HK_XDP_PASS_OTHER));
}

TEST_F(verdict, unused_protocol_is_not_ours)
{
	ingress_bpf__destroy(self->skel);
	self->skel = load(variant->proto == IPPROTO_UDP ? HK_PROTO_UDPLITE : HK_PROTO_UDP);
	ASSERT_NE(NULL, self->skel);
	VERDICT(XDP_PASS_, HK_XDP_PASS_OTHER, .payload = 100);
}

/* ---- on a real device ------------------------------------------------- */

FIXTURE(veth)
{
	struct ingress_bpf *skel;
	int home, link, server, client;
};

FIXTURE_VARIANT(veth)
{
	int		proto;
	bool		v6;
	__u32		mode;
};

FIXTURE_VARIANT_ADD(veth, udp4_generic)
{
	.proto = IPPROTO_UDP, .mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(veth, udplite4_generic)
{
	.proto = UDPLITE, .mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(veth, udp6_generic)
{
	.proto = IPPROTO_UDP, .v6 = true, .mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(veth, udplite6_generic)
{
	.proto = UDPLITE, .v6 = true, .mode = XDP_FLAGS_SKB_MODE,
};

FIXTURE_VARIANT_ADD(veth, udplite4_native)
{
	.proto = UDPLITE, .mode = XDP_FLAGS_DRV_MODE,
};

static int open_socket(int proto, bool v6, const char *addr, __u16 port)
{
	struct sockaddr_storage ss;
	__be32 bytes[4], v4;
	socklen_t len;
	int fd;

	if (v6) {
		inet_pton(AF_INET6, addr, bytes);
	} else {
		inet_pton(AF_INET, addr, &v4);
		hk_addr_map(bytes, v4);
	}
	len = hk_addr_to_sockaddr(&ss, bytes, htons(port));
	fd = socket(ss.ss_family, SOCK_DGRAM, proto);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len))
		return -1;
	return fd;
}

static int connect_socket(int fd, bool v6, const char *addr, __u16 port)
{
	struct sockaddr_storage ss;
	__be32 bytes[4], v4;
	socklen_t len;

	if (v6) {
		inet_pton(AF_INET6, addr, bytes);
	} else {
		inet_pton(AF_INET, addr, &v4);
		hk_addr_map(bytes, v4);
	}
	len = hk_addr_to_sockaddr(&ss, bytes, htons(port));
	return connect(fd, (struct sockaddr *)&ss, len);
}

#define HOME	(variant->v6 ? "fd00::1" : "10.0.0.1")
#define AWAY	(variant->v6 ? "fd00::2" : "10.0.0.2")

static int set_up(const char *dev, const char *addr4, const char *addr6)
{
	return netns_run("ip addr add %s/24 dev %s && ip addr add %s/64 dev %s nodad", addr4, dev,
			 addr6, dev) ?: netns_run("ip link set %s up", dev);
}

/* Namespace "home" has the server and the program, a second one the client */
FIXTURE_SETUP(veth)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = variant->mode);
	struct hk_assoc_entry entry;
	__u64 id = ASSOC;
	int away;

	self->link = -1;
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, netns_enter_new());
	away = netns_open();
	ASSERT_EQ(0, netns_enter_new());
	self->home = netns_open();
	ASSERT_EQ(0, netns_run("ip link add hkx0 type veth peer name hkx1"));
	ASSERT_EQ(0, netns_run("ip link set hkx1 netns /proc/%d/fd/%d", getpid(), away));
	ASSERT_EQ(0, set_up("hkx0", "10.0.0.1", "fd00::1"));
	self->server = open_socket(variant->proto, variant->v6, HOME, PORT);
	if (self->server < 0 && variant->proto == UDPLITE)
		SKIP(return, "no UDP-Lite sockets [kernel]");
	ASSERT_LE(0, self->server);
	self->skel = load(HK_PROTO_UDP | HK_PROTO_UDPLITE);
	ASSERT_NE(NULL, self->skel);
	fill_entry(&entry, variant->v6);
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.hk_assocs), &id, &entry, 0));
	ASSERT_EQ(0, add_local(self->skel, variant->v6));
	self->link = bpf_link_create(bpf_program__fd(self->skel->progs.hooker_ingress),
				     if_nametoindex("hkx0"), BPF_XDP, &opts);
	ASSERT_LE(0, self->link);
	ASSERT_EQ(0, setns(away, CLONE_NEWNET));
	ASSERT_EQ(0, set_up("hkx1", "10.0.0.2", "fd00::2"));
	self->client = open_socket(variant->proto, variant->v6, AWAY, 0);
	ASSERT_LE(0, self->client);
	ASSERT_EQ(0, connect_socket(self->client, variant->v6, HOME, PORT));
}

FIXTURE_TEARDOWN(veth)
{
	close(self->link);
	close(self->server);
	close(self->client);
	ingress_bpf__destroy(self->skel);
}

static size_t fill_htp(__u8 *buf, int type, __u64 id, size_t payload)
{
	struct htp_hdr hdr = { .type = type, .dst_id = id };
	size_t i;

	htp_hdr_write(buf, HTP_HDR_LEN, &hdr);
	for (i = 0; i < payload; i++)
		buf[HTP_HDR_LEN + i] = i * 7;
	return HTP_HDR_LEN + payload;
}

static ssize_t wait_datagram(int fd, void *buf, size_t len, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 ? recv(fd, buf, len, 0) : -1;
}

TEST_F(veth, known_association_arrives_others_do_not)
{
	__u8 buf[2048], got[2048];
	size_t len;

	len = fill_htp(buf, HTP_RESET, ASSOC, 0);
	ASSERT_EQ(len, send(self->client, buf, len, 0));
	len = fill_htp(buf, HTP_HELLO, INSTANCE + 1, 1200);
	ASSERT_EQ(len, send(self->client, buf, len, 0));
	len = fill_htp(buf, HTP_DATA, ASSOC, 1001);
	ASSERT_EQ(len, send(self->client, buf, len, 0));
	/* only the last one, so it comes first */
	ASSERT_EQ(len, wait_datagram(self->server, got, sizeof(got), 2000));
	EXPECT_EQ(0, memcmp(buf, got, len));
	EXPECT_EQ(-1, wait_datagram(self->server, got, sizeof(got), 20));
	EXPECT_EQ(1, counter(self->skel, HK_XDP_DROP_RESET));
	EXPECT_EQ(1, counter(self->skel, HK_XDP_DROP_TOKEN));
	EXPECT_EQ(1, counter(self->skel, HK_XDP_PASS_DATA));
}

/*
 * Native mode can't send from a veth to one without a program of its own, and
 * loses unfilled checksums; that is why dataplane/xdp.c chooses generic there.
 */
TEST_F(veth, probe_is_answered)
{
	__u8 buf[256], got[256];
	size_t len;

	if (variant->mode == XDP_FLAGS_DRV_MODE)
		return;
	len = fill_htp(buf, HTP_PROBE, 0x5566778899aabbccULL, 100);
	ASSERT_EQ(len, send(self->client, buf, len, 0));
	ASSERT_EQ(len, wait_datagram(self->client, got, sizeof(got), 2000));
	EXPECT_EQ(HTP_VERSION << 4 | HTP_PROBE_REPLY, got[0]);
	EXPECT_EQ(0, memcmp(buf + 1, got + 1, len - 1));
	EXPECT_EQ(1, counter(self->skel, HK_XDP_TX_PROBE));
	/* the socket behind it has not seen it */
	EXPECT_EQ(-1, wait_datagram(self->server, got, sizeof(got), 20));
}

TEST_HARNESS_MAIN
