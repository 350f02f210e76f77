/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Finding the transport header of a frame, for XDP and tc programs: Ethernet, up
 * to two VLAN tags, IPv4 with options, IPv6 with extension headers.
 *
 * Included after vmlinux.h and libbpf's headers. Offsets rather than pointers go
 * round: both kinds of program have them, and they survive helper calls that
 * invalidate pointers.
 */
#ifndef HOOKER_PACKET_H
#define HOOKER_PACKET_H

#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define ETH_P_8021Q	0x8100
#define ETH_P_8021AD	0x88a8
#define ETH_ALEN	6

/* in6.h has these as plain numbers, which BTF doesn't keep */
#define NEXTHDR_HOP		0
#define NEXTHDR_FRAGMENT	44
#define NEXTHDR_DEST		60

#define IP_MORE_FRAGMENTS	0x2000
#define IP_OFFSET		0x1fff
#define MAX_VLANS		2
#define MAX_EXTENSIONS		4	/* RFC 8200, 4.1 recommends one each of six kinds */

/* 802.1Q, 9.6: what follows the first Ethernet type of a tagged frame */
struct vlan_tag {
	__be16	tci;
	__be16	proto;
};

/**
 * struct hk_packet - an IP packet and the transport header in it
 * @l3:		offset of the IP header from the start of the frame
 * @l4:		offset of what follows the IP header and its options or extensions
 * @l4_len:	bytes from there to the end of the IP packet, as its header has it
 * @nexthdr:	offset of the byte that holds @proto
 * @proto:	protocol of what is at @l4
 * @v4:		IPv4
 * @fragment:	part of a fragmented packet; @l4 is right in the first one only
 * @later:	of those, not the first
 */
struct hk_packet {
	__u32	l3, l4, l4_len, nexthdr;
	__u8	proto;
	bool	v4, fragment, later;
};

/*
 * Two tags, 60 bytes of IPv4 or 40 and four extension headers of 2 KiB are less.
 * The verifier wants an offset bounded; the compiler must not know why it is.
 */
#define MAX_OFFSET	0x3fff

/* The len bytes at an offset; NULL if the frame's linear part ends before */
static __always_inline void *hk_at(void *data, void *end, __u32 off, __u32 len)
{
	asm volatile("" : "+r"(off));
	if (off > MAX_OFFSET || data + off + len > end)
		return NULL;
	return data + off;
}

/* Offset of the IP header; 0: cut short. *proto is its Ethernet type */
static __always_inline __u32 hk_skip_vlans(void *data, void *end, __be16 *proto)
{
	struct ethhdr *eth = hk_at(data, end, 0, sizeof(*eth));
	__u32 off = sizeof(*eth);
	struct vlan_tag *vlan;
	int i;

	if (!eth)
		return 0;
	*proto = eth->h_proto;
	for (i = 0; i < MAX_VLANS; i++) {
		if (*proto != bpf_htons(ETH_P_8021Q) && *proto != bpf_htons(ETH_P_8021AD))
			break;
		vlan = hk_at(data, end, off, sizeof(*vlan));
		if (!vlan)
			return 0;
		*proto = vlan->proto;
		off += sizeof(*vlan);
	}
	return off;
}

static __always_inline bool hk_parse_ip4(void *data, void *end, struct hk_packet *p)
{
	struct iphdr *ip = hk_at(data, end, p->l3, sizeof(*ip));
	__u32 len, hlen;

	if (!ip || ip->version != 4)
		return false;
	hlen = ip->ihl * 4;
	len = bpf_ntohs(ip->tot_len);
	if (hlen < sizeof(*ip) || len < hlen)
		return false;
	p->v4 = true;
	p->later = ip->frag_off & bpf_htons(IP_OFFSET);
	p->fragment = p->later || ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS);
	p->proto = ip->protocol;
	p->nexthdr = p->l3 + offsetof(struct iphdr, protocol);
	p->l4 = p->l3 + hlen;
	p->l4_len = len - hlen;
	return true;
}

/*
 * One extension header further. A routing header is the end of the way: with one the
 * pseudo-header has another destination (RFC 8200, 8.1), so what follows is not
 * ours to rewrite.
 */
static __always_inline bool hk_next_header(void *data, void *end, struct hk_packet *p)
{
	__u8 *ext;
	__u32 len;

	if (p->proto != NEXTHDR_HOP && p->proto != NEXTHDR_DEST &&
	    p->proto != NEXTHDR_FRAGMENT)
		return false;
	ext = hk_at(data, end, p->l4, 8);
	if (!ext)
		return false;
	len = 8;
	if (p->proto == NEXTHDR_FRAGMENT) {
		p->fragment = true;
		p->later = (ext[2] << 8 | ext[3]) & 0xfff8;
	} else {
		len += ext[1] * 8;
	}
	if (len > p->l4_len)
		return false;
	p->nexthdr = p->l4;
	p->proto = ext[0];
	p->l4 += len;
	p->l4_len -= len;
	return !p->later;
}

static __always_inline bool hk_parse_ip6(void *data, void *end, struct hk_packet *p)
{
	struct ipv6hdr *ip = hk_at(data, end, p->l3, sizeof(*ip));
	int i;

	if (!ip || ip->version != 6)
		return false;
	p->proto = ip->nexthdr;
	p->nexthdr = p->l3 + offsetof(struct ipv6hdr, nexthdr);
	p->l4 = p->l3 + sizeof(*ip);
	p->l4_len = bpf_ntohs(ip->payload_len);
	for (i = 0; i < MAX_EXTENSIONS; i++)
		if (!hk_next_header(data, end, p))
			break;
	return true;
}

/* With @l3 set; the Ethernet type says what is there */
static __always_inline bool hk_parse_ip(void *data, void *end, __be16 proto, struct hk_packet *p)
{
	if (proto == bpf_htons(ETH_P_IP))
		return hk_parse_ip4(data, end, p);
	if (proto == bpf_htons(ETH_P_IPV6))
		return hk_parse_ip6(data, end, p);
	return false;
}

/**
 * hk_parse - find the transport header
 * @data: start of the frame
 * @end:  behind its last linear byte
 * @p:	  filled in
 *
 * Return: false if it is not IP, or cut short.
 */
static __always_inline bool hk_parse(void *data, void *end, struct hk_packet *p)
{
	__be16 proto = 0;

	__builtin_memset(p, 0, sizeof(*p));
	p->l3 = hk_skip_vlans(data, end, &proto);
	return p->l3 && hk_parse_ip(data, end, proto, p);
}

/*
 * hk_parse() as a global function: the verifier goes through all ways of a packet's
 * headers once, and not again for each with what comes behind.
 */
__noinline int hk_find_xdp(struct xdp_md *ctx, struct hk_packet *p)
{
	if (!p)
		return 0;
	return hk_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, p);
}

#endif /* HOOKER_PACKET_H */
