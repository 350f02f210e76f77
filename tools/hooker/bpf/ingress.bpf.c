// SPDX-License-Identifier: GPL-2.0
/*
 * XDP: the first look at datagrams for the carrier port.
 *
 *	PASS	not for us; or ours, and it names an association or instance of ours
 *	DROP	malformed, or for nobody here; counted by reason
 *	TX	an echo probe, turned round on the spot
 *
 * Checksums are left to the socket, which verifies them over the coverage: a
 * datagram of a local veth peer may stand here with its checksum not filled in
 * yet, and XDP can't tell. TCP, ARP and all the rest pay for one comparison.
 *
 * Only packet formats and UAPI are used of vmlinux.h, so its structs carry no CO-RE
 * relocations here: libbpf would read the kernel's BTF for nothing.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "hooker_abi.h"

#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define ETH_P_8021Q	0x8100
#define ETH_P_8021AD	0x88a8
#define ETH_ALEN	6

#define IP_FRAGMENT	0x3fff		/* more fragments, or an offset */
#define MAX_VLANS	2

/* htp/wire.h: header and types of HTP */
#define HTP_HDR_LEN	16
#define HTP_VERSION	1
#define HTP_DATA	0
#define HTP_HELLO	1
#define HTP_HELLO_ACK	2
#define HTP_PROBE	3
#define HTP_PROBE_REPLY	4

/* 802.1Q, 9.6: what follows the first Ethernet type of a tagged frame */
struct vlan_tag {
	__be16	tci;
	__be16	proto;
};

const volatile struct hk_bpf_config hk_config = {};

/* Association ids of this daemon, written by it */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct hk_assoc_entry);
} hk_assocs SEC(".maps");

/* Addresses of this host: what is to be forwarded is not ours, whatever its port */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct hk_local_key);
	__type(value, __u32);
} hk_locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hk_budget);
} hk_probe_budget SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HK_NR_XDP_STATS);
	__type(key, __u32);
	__type(value, __u64);
} hk_xdp_stats SEC(".maps");

/**
 * struct dgram - a UDP or UDP-Lite datagram in the packet
 * @eth:	Ethernet header
 * @ip:		IP header, version 4 if @v4
 * @udp:	UDP or UDP-Lite header
 * @end:	end of the packet
 * @l4_len:	length of the datagram as the IP header has it
 * @proto:	IP protocol
 * @v4:		IPv4
 * @fragment:	part of a fragmented packet; the first, else it would not be here
 */
struct dgram {
	struct ethhdr	*eth;
	void		*ip;
	struct udphdr	*udp;
	void		*end;
	__u32		l4_len;
	__u8		proto;
	bool		v4;
	bool		fragment;
};

/* Bottom halves are off here: a plain increment of a per-CPU slot is exact */
static __always_inline int verdict(int action, enum hk_xdp_stat reason)
{
	__u32 key = reason;
	__u64 *slot = bpf_map_lookup_elem(&hk_xdp_stats, &key);

	if (slot)
		++*slot;
	return action;
}

static __always_inline int drop(enum hk_xdp_stat reason)
{
	return verdict(XDP_DROP, reason);
}

/* Returns where the IP header starts, NULL if it is none */
static __always_inline void *skip_vlans(struct ethhdr *eth, void *end, __be16 *proto)
{
	void *at = eth + 1;
	int i;

	*proto = eth->h_proto;
	for (i = 0; i < MAX_VLANS; i++) {
		struct vlan_tag *vlan = at;

		if (*proto != bpf_htons(ETH_P_8021Q) && *proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > end)
			return NULL;
		*proto = vlan->proto;
		at = vlan + 1;
	}
	return at;
}

static __always_inline bool parse_ip4(struct dgram *d)
{
	struct iphdr *iph = d->ip;
	__u32 hlen;

	if ((void *)(iph + 1) > d->end || iph->version != 4)
		return false;
	hlen = iph->ihl * 4;
	if (hlen < sizeof(*iph))
		return false;
	/* only a first fragment shows its port */
	if (iph->frag_off & bpf_htons(0x1fff))
		return false;
	d->fragment = iph->frag_off & bpf_htons(IP_FRAGMENT);
	d->proto = iph->protocol;
	d->l4_len = bpf_ntohs(iph->tot_len) - hlen;
	d->udp = d->ip + hlen;
	d->v4 = true;
	return true;
}

/* The daemons send no extension headers; what has some is left to the stack */
static __always_inline bool parse_ip6(struct dgram *d)
{
	struct ipv6hdr *iph = d->ip;

	if ((void *)(iph + 1) > d->end || iph->version != 6)
		return false;
	d->proto = iph->nexthdr;
	d->l4_len = bpf_ntohs(iph->payload_len);
	d->udp = (void *)(iph + 1);
	return true;
}

static __always_inline bool parse(struct xdp_md *ctx, struct dgram *d)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__be16 proto;
	bool ok;

	if ((void *)(eth + 1) > end)
		return false;
	__builtin_memset(d, 0, sizeof(*d));
	d->eth = eth;
	d->end = end;
	d->ip = skip_vlans(eth, end, &proto);
	if (!d->ip)
		return false;
	if (proto == bpf_htons(ETH_P_IP))
		ok = parse_ip4(d);
	else if (proto == bpf_htons(ETH_P_IPV6))
		ok = parse_ip6(d);
	else
		return false;
	if (!ok || (d->proto != IPPROTO_UDP && d->proto != IPPROTO_UDPLITE))
		return false;
	return (void *)(d->udp + 1) <= end && d->udp->dest == hk_config.port;
}

static __always_inline bool is_used(__u8 proto)
{
	return hk_config.protos & (proto == IPPROTO_UDP ? HK_PROTO_UDP : HK_PROTO_UDPLITE);
}

/* Lengths and coverage; 0 if all is well, else the reason to drop it */
static __always_inline enum hk_xdp_stat fault_of(const struct dgram *d)
{
	__u32 field = bpf_ntohs(d->udp->len);

	if (d->fragment)
		return HK_XDP_DROP_FRAGMENT;
	if (d->l4_len < sizeof(struct udphdr) + HTP_HDR_LEN)
		return HK_XDP_DROP_SHORT;
	if ((void *)d->udp + d->l4_len > d->end)
		return HK_XDP_DROP_LENGTH;
	if (d->proto == IPPROTO_UDP)
		return field == d->l4_len ? 0 : HK_XDP_DROP_LENGTH;
	/* UDP-Lite: the length field is the checksum coverage, 0 is all of it */
	if (field > d->l4_len || (field && field < sizeof(struct udphdr) + HTP_HDR_LEN))
		return HK_XDP_DROP_COVERAGE;
	if (!d->udp->check)
		return HK_XDP_DROP_CHECKSUM;
	return 0;
}

static __always_inline bool is_for_this_host(const struct dgram *d)
{
	struct hk_local_key key = {};
	struct ipv6hdr *ip6 = d->ip;
	struct iphdr *ip4 = d->ip;

	if (d->v4) {
		if ((void *)(ip4 + 1) > d->end)
			return false;
		key.addr[2] = bpf_htonl(0xffff);
		key.addr[3] = ip4->daddr;
	} else {
		if ((void *)(ip6 + 1) > d->end)
			return false;
		__builtin_memcpy(key.addr, &ip6->daddr, sizeof(key.addr));
	}
	return bpf_map_lookup_elem(&hk_locals, &key);
}

static __always_inline bool same_source(const struct dgram *d, const struct hk_assoc_entry *assoc)
{
	struct ipv6hdr *ip6 = d->ip;
	struct iphdr *ip4 = d->ip;
	__be32 *src;

	if (d->v4) {
		if ((void *)(ip4 + 1) > d->end)
			return false;
		return assoc->raddr[3] == ip4->saddr && assoc->raddr[2] == bpf_htonl(0xffff);
	}
	if ((void *)(ip6 + 1) > d->end)
		return false;
	src = ip6->saddr.in6_u.u6_addr32;
	return assoc->raddr[0] == src[0] && assoc->raddr[1] == src[1] &&
	       assoc->raddr[2] == src[2] && assoc->raddr[3] == src[3];
}

static __always_inline int check_assoc(const struct dgram *d, __u64 id)
{
	struct hk_assoc_entry *assoc = bpf_map_lookup_elem(&hk_assocs, &id);

	if (!assoc)
		return drop(HK_XDP_DROP_ASSOC);
	if (!same_source(d, assoc))
		return drop(HK_XDP_DROP_SOURCE);
	return verdict(XDP_PASS, HK_XDP_PASS_DATA);
}

static __always_inline void swap_eth(struct ethhdr *eth)
{
	__u8 tmp[ETH_ALEN];

	__builtin_memcpy(tmp, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, tmp, ETH_ALEN);
}

static __always_inline bool swap_ip(struct dgram *d)
{
	struct ipv6hdr *ip6 = d->ip;
	struct iphdr *ip4 = d->ip;
	struct in6_addr addr6;
	__be32 addr4;

	if (d->v4) {
		if ((void *)(ip4 + 1) > d->end)
			return false;
		addr4 = ip4->saddr;
		ip4->saddr = ip4->daddr;
		ip4->daddr = addr4;
		return true;
	}
	if ((void *)(ip6 + 1) > d->end)
		return false;
	addr6 = ip6->saddr;
	ip6->saddr = ip6->daddr;
	ip6->daddr = addr6;
	return true;
}

static __always_inline bool may_answer(void)
{
	const __u64 cost = 1000000000ULL / HK_PROBE_RATE;
	__u64 now = bpf_ktime_get_ns();
	struct hk_budget *budget;
	__u32 zero = 0;

	budget = bpf_map_lookup_elem(&hk_probe_budget, &zero);
	if (!budget)
		return false;
	budget->credit += now - budget->last_ns;
	budget->last_ns = now;
	if (budget->credit > cost * HK_PROBE_BURST)
		budget->credit = cost * HK_PROBE_BURST;
	if (budget->credit < cost)
		return false;
	budget->credit -= cost;
	return true;
}

/*
 * Same bytes, the other way round, never longer than the request. Swapping keeps
 * all sums; the changed type byte, the low half of the first word of the payload,
 * is taken out of the checksum incrementally (RFC 1624, eqn. 3).
 */
static __always_inline int answer_probe(struct dgram *d)
{
	__u8 *htp = (void *)(d->udp + 1);
	__u32 sum;
	__be16 port;

	if ((d->eth->h_dest[0] & 1) || !may_answer())
		return drop(HK_XDP_DROP_PROBE);
	asm volatile("" : "+r"(htp));
	if ((void *)(htp + 2) > d->end || !swap_ip(d))
		return drop(HK_XDP_DROP_SHORT);
	swap_eth(d->eth);
	port = d->udp->source;
	d->udp->source = d->udp->dest;
	d->udp->dest = port;
	htp[0] = HTP_VERSION << 4 | HTP_PROBE_REPLY;
	if (d->udp->check) {
		sum = (__u16)~bpf_ntohs(d->udp->check);
		sum += (__u16)~((HTP_VERSION << 4 | HTP_PROBE) << 8);
		sum += (HTP_VERSION << 4 | HTP_PROBE_REPLY) << 8;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (__u16)~sum;
		d->udp->check = bpf_htons(sum ? sum : 0xffff);
	}
	return verdict(XDP_TX, HK_XDP_TX_PROBE);
}

static __always_inline __u64 dst_id(const __u8 *htp)
{
	__u64 id = 0;
	int i;

	for (i = 8; i < HTP_HDR_LEN; i++)
		id = id << 8 | htp[i];
	return id;
}

static __always_inline bool names_us(const __u8 *htp)
{
	int i;

	for (i = 0; i < 8; i++)
		if (htp[8 + i] != hk_config.instance[i])
			return false;
	return true;
}

static __always_inline int judge(struct dgram *d)
{
	__u8 *htp = (void *)(d->udp + 1);

	/* fault_of() implies this; the compiler knows, but the verifier wants to see it */
	asm volatile("" : "+r"(htp));
	if ((void *)(htp + HTP_HDR_LEN) > d->end)
		return drop(HK_XDP_DROP_SHORT);
	if (htp[0] >> 4 != HTP_VERSION)
		return drop(HK_XDP_DROP_VERSION);
	switch (htp[0] & 0xf) {
	case HTP_DATA:
	case HTP_HELLO_ACK:
		return check_assoc(d, dst_id(htp));
	case HTP_HELLO:
		if (!names_us(htp))
			return drop(HK_XDP_DROP_TOKEN);
		return verdict(XDP_PASS, HK_XDP_PASS_HELLO);
	case HTP_PROBE:
		return answer_probe(d);
	case HTP_PROBE_REPLY:
		return verdict(XDP_PASS, HK_XDP_PASS_PROBE_REPLY);
	}
	return drop(HK_XDP_DROP_VERSION);
}

SEC("xdp")
int hooker_ingress(struct xdp_md *ctx)
{
	enum hk_xdp_stat fault;
	struct dgram d;

	if (!parse(ctx, &d) || !is_used(d.proto) || !is_for_this_host(&d))
		return verdict(XDP_PASS, HK_XDP_PASS_OTHER);
	fault = fault_of(&d);
	if (fault)
		return drop(fault);
	return judge(&d);
}

char LICENSE[] SEC("license") = "GPL";
