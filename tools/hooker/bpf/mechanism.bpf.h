/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a mechanism's source includes: its maps, and the arithmetic of Internet
 * checksums. All sums are of 16-bit words as they stand in the packet, so no byte
 * is ever swapped (RFC 1071, section 2 (B)).
 */
#ifndef HOOKER_MECHANISM_BPF_H
#define HOOKER_MECHANISM_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "mechanism.h"
#include "packet.h"

/* Lets the programs behind this one have their say, other mechanisms' among them */
#define TC_ACT_UNSPEC	(-1)
#define TC_ACT_SHOT	2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HK_MECH_MAX_PORTS);
	__type(key, struct hk_mech_key);
	__type(value, struct hk_mech_port);
} hk_mech_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HK_MECH_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} hk_mech_stats SEC(".maps");

/* Bottom halves are off in both programs: a plain increment is exact */
static __always_inline void hk_mech_count(__u32 counter)
{
	__u64 *slot = bpf_map_lookup_elem(&hk_mech_stats, &counter);

	if (slot)
		++*slot;
}

static __always_inline struct hk_mech_port *hk_mech_port(__be16 port, enum hk_mech_side side)
{
	struct hk_mech_key key = { .port = port, .side = side };

	return bpf_map_lookup_elem(&hk_mech_ports, &key);
}

/* 32-bit sum to 16 bits */
static __always_inline __u16 hk_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A sum as a checksum field: 0 would mean "none" (RFC 768, RFC 3828, 3.1) */
static __always_inline __u16 hk_check(__u32 sum)
{
	__u16 check = ~hk_fold(sum);

	return check ?: 0xffff;
}

/**
 * hk_recheck - a checksum after 16-bit words under it changed (RFC 1624, eqn. 3)
 * @check: old one
 * @gone:  sum of the words that went, not folded, below 2^18
 * @come:  of those that came, likewise
 */
static __always_inline __u16 hk_recheck(__u16 check, __u32 gone, __u32 come)
{
	return hk_check((__u16)~check + (__u32)(__u16)~hk_fold(gone) + come);
}

/**
 * hk_pseudo_sum - sum of the pseudo-header (RFC 768; RFC 8200, 8.1)
 * @data:  start of the frame
 * @end:   behind its last linear byte
 * @p:	   the packet
 * @proto: protocol number in it
 * @sum:   filled in, not folded
 *
 * Return: false if the packet is cut short.
 */
static __always_inline bool hk_pseudo_sum(void *data, void *end, const struct hk_packet *p,
					  __u8 proto, __u32 *sum)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip4;
	__u32 seed = bpf_htons(proto) + bpf_htons(p->l4_len);

	if (p->v4) {
		ip4 = hk_at(data, end, p->l3, sizeof(*ip4));
		if (!ip4)
			return false;
		*sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip4->saddr, 8, seed);
	} else {
		ip6 = hk_at(data, end, p->l3, sizeof(*ip6));
		if (!ip6)
			return false;
		*sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip6->saddr, 32, seed);
	}
	return true;
}

/*
 * bpf_csum_diff() took 512 bytes at a time until 6.13, in multiples of four. One
 * word more, so that zero padding fits behind a full chunk.
 */
#define HK_CHUNK		512
#define HK_MAX_CHUNKS	(65536 / HK_CHUNK)

struct hk_scratch {
	__u32	words[HK_CHUNK / 4 + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hk_scratch);
} hk_scratches SEC(".maps");

/**
 * struct hk_summing - where a sum over part of a packet has got to
 * @ctx: of the program
 * @off: next byte
 * @end: behind the last
 * @sum: so far, not folded
 * @err: a helper failed
 */
struct hk_summing {
	void	*ctx;
	__u32	off, end;
	__u32	sum;
	bool	err;
};

/* Where to load the next chunk to; NULL when there is none. *len is its length */
static __always_inline __u32 *hk_next_chunk(struct hk_summing *s, __u32 *len)
{
	struct hk_scratch *scratch;
	__u32 zero = 0, n;

	if (s->err)
		return NULL;
	scratch = bpf_map_lookup_elem(&hk_scratches, &zero);
	if (!scratch)
		return NULL;
	n = s->end - s->off;
	if (n > HK_CHUNK)
		n = HK_CHUNK;
	/* the verifier wants to see it not 0; the compiler must not reason about it */
	asm volatile("" : "+r"(n));
	if (!n)
		return NULL;
	scratch->words[n / 4] = 0;
	*len = n;
	return scratch->words;
}

static __always_inline long hk_add_chunk(struct hk_summing *s, __u32 *words, __u32 len, long err)
{
	__s64 sum;

	sum = err ? err : bpf_csum_diff(NULL, 0, words, (len + 3) & ~3U, s->sum);
	s->err = sum < 0;
	s->sum = sum;
	s->off += len;
	return s->err;
}

static long hk_sum_xdp_chunk(__u32 i, void *arg)
{
	struct hk_summing *s = arg;
	__u32 *words, len;

	words = hk_next_chunk(s, &len);
	if (!words)
		return 1;
	return hk_add_chunk(s, words, len, bpf_xdp_load_bytes(s->ctx, s->off, words, len));
}

static long hk_sum_skb_chunk(__u32 i, void *arg)
{
	struct hk_summing *s = arg;
	__u32 *words, len;

	words = hk_next_chunk(s, &len);
	if (!words)
		return 1;
	return hk_add_chunk(s, words, len, bpf_skb_load_bytes(s->ctx, s->off, words, len));
}

static __always_inline bool hk_sum_end(const struct hk_summing *s, __u32 *sum)
{
	*sum = s->sum;
	return !s->err && s->off == s->end;
}

/**
 * hk_sum_xdp - sum of the pseudo-header and of a datagram's first bytes
 * @ctx:   of the program
 * @p:	   the packet
 * @proto: protocol number in the pseudo-header
 * @len:   bytes, from the transport header on
 * @sum:   filled in, not folded
 *
 * Pointers into the packet stay good.
 *
 * Return: false if the packet is cut short, or a helper failed.
 */
static __always_inline bool hk_sum_xdp(struct xdp_md *ctx, const struct hk_packet *p, __u8 proto,
				       __u32 len, __u32 *sum)
{
	struct hk_summing s = { .ctx = ctx, .off = p->l4, .end = p->l4 + len };
	void *end = (void *)(long)ctx->data_end;

	if (!hk_pseudo_sum((void *)(long)ctx->data, end, p, proto, &s.sum))
		return false;
	bpf_loop(HK_MAX_CHUNKS, hk_sum_xdp_chunk, &s, 0);
	return hk_sum_end(&s, sum);
}

/**
 * hk_sum_skb - the same for tc programs
 * @skb:   of the program
 * @p:	   the packet
 * @proto: protocol number in the pseudo-header
 * @len:   bytes, from the transport header on
 * @sum:   filled in, not folded
 *
 * Return: false if the packet is cut short, or a helper failed.
 */
static __always_inline bool hk_sum_skb(struct __sk_buff *skb, const struct hk_packet *p,
				       __u8 proto, __u32 len, __u32 *sum)
{
	struct hk_summing s = { .ctx = skb, .off = p->l4, .end = p->l4 + len };
	void *end = (void *)(long)skb->data_end;

	if (!hk_pseudo_sum((void *)(long)skb->data, end, p, proto, &s.sum))
		return false;
	bpf_loop(HK_MAX_CHUNKS, hk_sum_skb_chunk, &s, 0);
	return hk_sum_end(&s, sum);
}

/*
 * As hk_find_xdp(), for tc programs. Those are on tunnels and PPP as well, whose packets have
 * no Ethernet header: what stands in its type's place is not what the packet is, then.
 */
__noinline int hk_find_skb(struct __sk_buff *skb, struct hk_packet *p)
{
	void *end = (void *)(long)skb->data_end, *data = (void *)(long)skb->data;
	struct ethhdr *eth = hk_at(data, end, 0, sizeof(*eth));

	if (!p || !eth)
		return 0;
	if (eth->h_proto == skb->protocol)
		return hk_parse(data, end, p);
	__builtin_memset(p, 0, sizeof(*p));
	return hk_parse_ip(data, end, skb->protocol, p);
}

/**
 * hk_udp_header - the header of a UDP datagram that leaves
 * @skb: of the program
 * @p:	 filled in
 *
 * Makes the headers and the payload's first bytes linear: of corked datagrams
 * they may not be. What has come in by a device is being forwarded: a mechanism serves the
 * sockets of its host, and leaves alone what others mean by the same ports.
 *
 * Return: NULL if it is forwarded, no UDP, not the first fragment, or cut short.
 */
static __always_inline struct udphdr *hk_udp_header(struct __sk_buff *skb, struct hk_packet *p)
{
	__u32 pull;

	if (skb->ingress_ifindex || !hk_find_skb(skb, p) ||
	    p->proto != IPPROTO_UDP || p->later || p->l4_len < sizeof(struct udphdr))
		return NULL;
	pull = p->l4 + sizeof(struct udphdr) + HK_MECH_MAX_FIELD + 2;
	if (bpf_skb_pull_data(skb, pull < skb->len ? pull : skb->len))
		return NULL;
	return hk_at((void *)(long)skb->data, (void *)(long)skb->data_end, p->l4,
		     sizeof(struct udphdr));
}

/* Another protocol number, and in IPv4 the header's checksum; false: cut short */
static __always_inline bool hk_set_proto(void *data, void *end, const struct hk_packet *p,
					 __u8 from, __u8 to)
{
	__u8 *nexthdr = hk_at(data, end, p->nexthdr, 1);
	struct iphdr *ip4;

	if (!nexthdr)
		return false;
	*nexthdr = to;
	if (!p->v4)
		return true;
	ip4 = hk_at(data, end, p->l3, sizeof(*ip4));
	if (!ip4)
		return false;
	ip4->check = hk_recheck(ip4->check, bpf_htons(from), bpf_htons(to));
	return true;
}

#endif /* HOOKER_MECHANISM_BPF_H */
