// SPDX-License-Identifier: GPL-2.0
/*
 * XDP: the first look at datagrams for the carrier port.
 *
 *	PASS	not for us; or ours, and it names an association or instance of ours;
 *		some of those for unknown associations: the daemon answers with RESET
 *	DROP	malformed, or for nobody here; counted by reason
 *	TX	an echo probe, turned round on the spot
 *	datapath, the tail call into the mechanism that was deployed for the IP protocol:
 *		what would have passed, if its protocol is no socket's of this kernel; and
 *		all of that protocol which is for other applications of this host
 *
 * What this host forwards is nobody's here: it passes, whatever its ports.
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
#include "budget.h"
#include "hooker_abi.h"
#include "locals.h"
#include "mechanism.h"
#include "packet.h"

/* htp/wire.h: header and types of HTP */
#define HTP_HDR_LEN	16
#define HTP_VERSION	1
#define HTP_DATA	0
#define HTP_HELLO	1
#define HTP_HELLO_ACK	2
#define HTP_PROBE	3
#define HTP_PROBE_REPLY	4
#define HTP_RESET	5

const volatile struct hk_bpf_config hk_config = {};

/* Association ids of this daemon, written by it */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct hk_assoc_entry);
} hk_assocs SEC(".maps");

/* Ids that this daemon writes into its datagrams: what a RESET must name */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u32);
} hk_remotes SEC(".maps");

enum budget {
	BUDGET_PROBE,
	BUDGET_UNKNOWN,
	NR_BUDGETS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NR_BUDGETS);
	__type(key, __u32);
	__type(value, struct hk_budget);
} hk_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HK_XDP_SLOTS * HK_NR_XDP_STATS);
	__type(key, __u32);
	__type(value, __u64);
} hk_xdp_stats SEC(".maps");

/*
 * A byte to load costs less than a hash; by index of the device, written by the daemon: slot of
 * its counters, HK_XDP_STACKED.
 */
volatile __u8 hk_dev_slots[HK_XDP_IFINDEXES];

/* The mechanisms' ingress programs, by IP protocol; the daemon adds and removes them */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} hk_mech_progs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct hk_mech_info);
} hk_mech_infos SEC(".maps");

/*
 * Ports of the sockets behind mechanisms, 0: unused. UDP as such has no business there:
 * it would pass for the protocol that it isn't.
 */
volatile __be16 hk_mech_locals[HK_MECH_MAX_LOCALS];

/**
 * struct dgram - a datagram in the packet, of UDP, UDP-Lite or a mechanism's protocol
 * @eth:	Ethernet header
 * @ip:		IP header, version 4 if @v4
 * @udp:	its header; of a mechanism's only the ports are sure
 * @mech:	what the mechanism of its protocol has said; NULL: none
 * @end:	end of the packet
 * @l4_len:	length of the datagram as the IP header has it
 * @hdr_len:	length of its header
 * @check_off:	where in it the checksum is; HK_MECH_NO_CHECK: none
 * @proto:	IP protocol
 * @v4:		IPv4
 * @fragment:	part of a fragmented packet; the first, else it would not be here
 * @here:	for an address of this host
 */
struct dgram {
	struct ethhdr		*eth;
	void			*ip;
	struct udphdr		*udp;
	struct hk_mech_info	*mech;
	void			*end;
	__u32			l4_len;
	__u8			hdr_len, check_off;
	__u8			proto;
	bool			v4;
	bool			fragment, here;
};

/* Action and reason; the way out counts it and takes them apart */
static __always_inline int verdict(int action, enum hk_xdp_stat reason)
{
	return action | reason << 8;
}

/*
 * Bottom halves are off here: a plain increment of a per-CPU slot is exact. A global
 * function: what the verdict was is nothing that the verifier has to follow on.
 */
__noinline int hk_counted(__u32 index, int verdict)
{
	__u32 key = verdict >> 8;
	__u64 *counter;

	if (index < HK_XDP_IFINDEXES)
		key += (hk_dev_slots[index] & ~HK_XDP_STACKED) * HK_NR_XDP_STATS;
	counter = bpf_map_lookup_elem(&hk_xdp_stats, &key);
	if (counter)
		++*counter;
	return verdict & 0xff;
}

static __always_inline int drop(enum hk_xdp_stat reason)
{
	return verdict(XDP_DROP, reason);
}

static __always_inline void set_header(struct dgram *d)
{
	__u32 slot = d->proto;

	d->hdr_len = sizeof(struct udphdr);
	d->check_off = offsetof(struct udphdr, check);
	if (d->proto == IPPROTO_UDP)
		return;
	d->mech = bpf_map_lookup_elem(&hk_mech_infos, &slot);
	if (d->mech && !d->mech->hdr_len)
		d->mech = NULL;
	if (!d->mech)
		return;
	d->hdr_len = d->mech->hdr_len;
	d->check_off = d->mech->check_off;
}

/* A datagram with ports: UDP, UDP-Lite, or of a mechanism */
static __always_inline bool parse(struct xdp_md *ctx, struct dgram *d)
{
	struct hk_packet p = {};
	void *data, *end;

	__builtin_memset(d, 0, sizeof(*d));
	if (!hk_find_xdp(ctx, &p) || p.later)
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	d->proto = p.proto;
	d->v4 = p.v4;
	d->fragment = p.fragment;
	d->l4_len = p.l4_len;
	d->eth = hk_at(data, end, 0, sizeof(struct ethhdr));
	d->end = end;
	d->ip = hk_at(data, end, p.l3, sizeof(struct iphdr));
	d->udp = hk_at(data, end, p.l4, sizeof(struct udphdr));
	if (!d->eth || !d->ip || !d->udp)
		return false;
	set_header(d);
	return d->proto == IPPROTO_UDP || d->proto == IPPROTO_UDPLITE || d->mech;
}

static __always_inline bool is_used(const struct dgram *d)
{
	if (d->mech && d->mech->carrier)
		return true;
	if (d->proto == IPPROTO_UDP)
		return hk_config.protos & HK_PROTO_UDP;
	return d->proto == IPPROTO_UDPLITE && (hk_config.protos & HK_PROTO_UDPLITE);
}

/* Global, likewise: all the ways out of the loop lead to the same */
__noinline int hk_is_mech_local(__u32 port)
{
	int i;

	for (i = 0; i < HK_MECH_MAX_LOCALS; i++)
		if (hk_mech_locals[i] && hk_mech_locals[i] == port)
			return true;
	return false;
}

static __always_inline bool is_behind_mechanism(const struct dgram *d)
{
	return d->proto == IPPROTO_UDP && hk_is_mech_local(d->udp->dest);
}

/*
 * On a bridge, say, the mechanism's datagrams are UDP already: its program was called for the
 * bridge's port, where what had been UDP before was dropped.
 */
static __always_inline bool is_stacked(__u32 index)
{
	return index >= HK_XDP_IFINDEXES || hk_dev_slots[index] & HK_XDP_STACKED;
}

/* Bytes of HTP's header and control part, as the header says, verified or not */
static __always_inline __u32 control_end(const struct dgram *d)
{
	__u8 *htp = (void *)d->udp + d->hdr_len;

	asm volatile("" : "+r"(htp));
	if ((void *)(htp + HTP_HDR_LEN) > d->end)
		return HTP_HDR_LEN;
	return HTP_HDR_LEN + (htp[2] << 8 | htp[3]);
}

/* Lengths and coverage; 0 if all is well, else the reason to drop it */
static __always_inline enum hk_xdp_stat fault_of(const struct dgram *d)
{
	__u32 field = bpf_ntohs(d->udp->len);

	if (d->fragment)
		return HK_XDP_DROP_FRAGMENT;
	if (d->l4_len < d->hdr_len + HTP_HDR_LEN)
		return HK_XDP_DROP_SHORT;
	if ((void *)d->udp + d->l4_len > d->end)
		return HK_XDP_DROP_LENGTH;
	if (d->proto == IPPROTO_UDP)
		return field == d->l4_len ? 0 : HK_XDP_DROP_LENGTH;
	if (d->proto != IPPROTO_UDPLITE)	/* what else is in its header is the mechanism's */
		return 0;
	/* UDP-Lite: the length field is the checksum coverage, 0 is all of it */
	if (field > d->l4_len ||
	    (field && field < d->l4_len && field < sizeof(struct udphdr) + control_end(d)))
		return HK_XDP_DROP_COVERAGE;
	if (!d->udp->check)
		return HK_XDP_DROP_CHECKSUM;
	return 0;
}

/* What is to be forwarded is not ours, whatever its port */
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
	return hk_is_local(key.addr);
}

static __always_inline bool get_source(const struct dgram *d, struct hk_local_key *src)
{
	struct ipv6hdr *ip6 = d->ip;
	struct iphdr *ip4 = d->ip;

	if (d->v4) {
		if ((void *)(ip4 + 1) > d->end)
			return false;
		src->addr[0] = 0;
		src->addr[1] = 0;
		src->addr[2] = bpf_htonl(0xffff);
		src->addr[3] = ip4->saddr;
		return true;
	}
	if ((void *)(ip6 + 1) > d->end)
		return false;
	__builtin_memcpy(src->addr, &ip6->saddr, sizeof(src->addr));
	return true;
}

static __always_inline bool is_known_source(const struct dgram *d,
					    const struct hk_assoc_entry *assoc)
{
	struct hk_local_key src;
	int i;

	if (!get_source(d, &src))
		return false;
	for (i = 0; i < HK_ASSOC_ADDRS; i++)
		if (assoc->raddr[i][3] == src.addr[3] && assoc->raddr[i][2] == src.addr[2] &&
		    assoc->raddr[i][1] == src.addr[1] && assoc->raddr[i][0] == src.addr[0])
			return true;
	return false;
}

static __always_inline bool may_spend(__u32 which, __u32 rate, __u32 burst)
{
	struct hk_budget *budget = bpf_map_lookup_elem(&hk_budgets, &which);

	return budget && hk_spend(budget, NSEC_PER_SEC / rate, burst);
}

/*
 * This host may have been rebooted, and the peer not know yet: the daemon tells it.
 * Answering here would need another length and new checksums, which a veth's unfilled
 * ones don't take.
 */
static __always_inline int unknown(const struct dgram *d, __u8 type)
{
	if (type != HTP_DATA || (d->eth->h_dest[0] & 1) ||
	    !may_spend(BUDGET_UNKNOWN, HK_UNKNOWN_RATE, HK_UNKNOWN_BURST))
		return drop(HK_XDP_DROP_ASSOC);
	return verdict(XDP_PASS, HK_XDP_PASS_UNKNOWN);
}

static __always_inline int check_assoc(const struct dgram *d, __u8 type, __u64 id)
{
	struct hk_assoc_entry *assoc = bpf_map_lookup_elem(&hk_assocs, &id);

	if (!assoc)
		return unknown(d, type);
	if (is_known_source(d, assoc))
		return verdict(XDP_PASS, HK_XDP_PASS_DATA);
	/* its peer may have moved: the daemon finds out, but slowly */
	if (hk_spend(&assoc->strangers, NSEC_PER_SEC / HK_STRANGER_RATE, HK_STRANGER_BURST))
		return verdict(XDP_PASS, HK_XDP_PASS_STRANGER);
	return drop(HK_XDP_DROP_SOURCE);
}

/*
 * HTP's header. fault_of() implies that it is there; the compiler knows, but the
 * verifier wants to see it compared.
 */
static __always_inline void *htp_of(const struct dgram *d)
{
	void *htp = (void *)d->udp + d->hdr_len;

	asm volatile("" : "+r"(htp));
	return htp;
}

static __always_inline __be16 *check_field(const struct dgram *d)
{
	void *check = (void *)d->udp + d->check_off;

	if (d->check_off == HK_MECH_NO_CHECK || check + sizeof(__be16) > d->end)
		return NULL;
	return check;
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

/*
 * Same bytes, the other way round, never longer than the request. Swapping keeps
 * all sums; the byte of the type, the high one of the payload's first word, is replaced in
 * the checksum incrementally (RFC 1624, eqn. 3).
 */
static __always_inline int answer_probe(struct dgram *d)
{
	__u8 *htp = htp_of(d);
	__be16 *check, port;
	__u32 sum;

	if ((d->eth->h_dest[0] & 1) || !may_spend(BUDGET_PROBE, HK_PROBE_RATE, HK_PROBE_BURST))
		return drop(HK_XDP_DROP_PROBE);
	if ((void *)(htp + 2) > d->end || !swap_ip(d))
		return drop(HK_XDP_DROP_SHORT);
	swap_eth(d->eth);
	port = d->udp->source;
	d->udp->source = d->udp->dest;
	d->udp->dest = port;
	htp[0] = HTP_VERSION << 4 | HTP_PROBE_REPLY;
	check = check_field(d);
	if (check && *check) {
		sum = (__u16)~bpf_ntohs(*check);
		sum += (__u16)~((HTP_VERSION << 4 | HTP_PROBE) << 8);
		sum += (HTP_VERSION << 4 | HTP_PROBE_REPLY) << 8;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (__u16)~sum;
		*check = bpf_htons(sum ? sum : 0xffff);
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

static __always_inline int check_reset(__u64 id)
{
	if (!bpf_map_lookup_elem(&hk_remotes, &id))
		return drop(HK_XDP_DROP_RESET);
	return verdict(XDP_PASS, HK_XDP_PASS_RESET);
}

static __always_inline int judge(struct dgram *d)
{
	__u8 *htp = htp_of(d);

	if ((void *)(htp + HTP_HDR_LEN) > d->end)
		return drop(HK_XDP_DROP_SHORT);
	if (htp[0] >> 4 != HTP_VERSION)
		return drop(HK_XDP_DROP_VERSION);
	switch (htp[0] & 0xf) {
	case HTP_DATA:
	case HTP_HELLO_ACK:
		return check_assoc(d, htp[0] & 0xf, dst_id(htp));
	case HTP_HELLO:
		if (!names_us(htp))
			return drop(HK_XDP_DROP_TOKEN);
		return verdict(XDP_PASS, HK_XDP_PASS_HELLO);
	case HTP_PROBE:
		return answer_probe(d);
	case HTP_PROBE_REPLY:
		return verdict(XDP_PASS, HK_XDP_PASS_PROBE_REPLY);
	case HTP_RESET:
		return check_reset(dst_id(htp));
	}
	return drop(HK_XDP_DROP_VERSION);
}

/* Applications may have joined a group; the daemon has not */
static __always_inline bool is_for_group(const struct dgram *d)
{
	struct ipv6hdr *ip6 = d->ip;
	struct iphdr *ip4 = d->ip;

	if (d->v4)
		return (void *)(ip4 + 1) <= d->end && (ip4->daddr & bpf_htonl(0xe0000000)) ==
						      bpf_htonl(0xe0000000);
	return (void *)(ip6 + 1) <= d->end && ip6->daddr.in6_u.u6_addr8[0] == 0xff;
}

/* The datapath verdict; only an empty slot comes back, and then the stack may have it */
static __always_inline int to_datapath(struct xdp_md *ctx, const struct dgram *d, int action)
{
	if (action == XDP_PASS && d->mech && (d->here || is_for_group(d)))
		bpf_tail_call(ctx, &hk_mech_progs, d->proto);
	return action;
}

/* By what costs no lookup */
static __always_inline bool may_concern_us(const struct dgram *d)
{
	return d->mech || d->udp->dest == hk_config.port || is_behind_mechanism(d);
}

static __always_inline int decide(struct xdp_md *ctx, struct dgram *d)
{
	enum hk_xdp_stat fault;

	if (!parse(ctx, d) || !may_concern_us(d))
		return verdict(XDP_PASS, HK_XDP_PASS_OTHER);
	d->here = is_for_this_host(d);
	if (!d->here)
		return verdict(XDP_PASS, HK_XDP_PASS_OTHER);
	if (d->udp->dest != hk_config.port || !is_used(d)) {
		if (is_behind_mechanism(d) && !is_stacked(ctx->ingress_ifindex))
			return drop(HK_XDP_DROP_BEHIND);
		return verdict(XDP_PASS, HK_XDP_PASS_OTHER);
	}
	fault = fault_of(d);
	return fault ? drop(fault) : judge(d);
}

SEC("xdp")
int hooker_ingress(struct xdp_md *ctx)
{
	struct dgram d;
	int action = decide(ctx, &d);

	return to_datapath(ctx, &d, hk_counted(ctx->ingress_ifindex, action));
}

char LICENSE[] SEC("license") = "GPL";
