// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: find the protocol and the L4 payload of an Ethernet frame.
 *
 * A frame that is cut short or makes no sense is not an error here: it passes as
 * far as it was understood, for the link carries whatever hosts send.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "linkem.h"

#define VLAN_MAX_TAGS	2
#define IP6_HLEN	40
#define UDP_HLEN	8
#define ICMP_HLEN	8

static __u16 read_be16(const __u8 *p)
{
	return (__u16)(p[0] << 8 | p[1]);
}

/* Returns the EtherType and moves *off behind it and any VLAN tags, 0 if the frame is too short. */
static __u16 ether_type(const __u8 *frame, size_t len, size_t *off)
{
	__u16 type;
	int tags;

	if (len < ETH_HLEN)
		return 0;
	type = read_be16(frame + 2 * ETH_ALEN);
	*off = ETH_HLEN;
	for (tags = 0; tags < VLAN_MAX_TAGS; tags++) {
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		if (len < *off + LK_VLAN_HLEN)
			return 0;
		type = read_be16(frame + *off + 2);
		*off += LK_VLAN_HLEN;
	}
	return type;
}

static size_t l4_header_len(const __u8 *l4, size_t len, struct lk_frame_info *info)
{
	switch (info->proto) {
	case IPPROTO_TCP:
		if (len < 20)
			return len;
		info->tcp_flags = l4[13];
		return (l4[12] >> 4) * 4;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return UDP_HLEN;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ICMP_HLEN;
	default:
		return 0;
	}
}

/* @off: start of the L4 header, @end: end of the IP packet; both within the frame */
static void parse_l4(const __u8 *frame, size_t off, size_t end, struct lk_frame_info *info)
{
	size_t len = end - off, hlen = 0;

	if (!info->is_fragment)
		hlen = l4_header_len(frame + off, len, info);
	if (hlen > len)
		hlen = len;
	info->payload_off = off + hlen;
	info->payload_len = len - hlen;
	if (info->proto == IPPROTO_ICMPV6 && !info->is_fragment && len)
		info->is_control = frame[off] >= ND_ROUTER_SOLICIT && frame[off] <= ND_REDIRECT;
}

static void parse_ip4(const __u8 *frame, size_t off, size_t len, struct lk_frame_info *info)
{
	const __u8 *ip = frame + off;
	size_t hlen, total;

	if (len - off < 20)
		return;
	hlen = (ip[0] & 0xf) * 4;
	total = read_be16(ip + 2);
	if (hlen < 20 || total < hlen || off + total > len)
		return;
	info->is_ip = true;
	info->proto = ip[9];
	info->is_fragment = read_be16(ip + 6) & 0x1fff;
	info->is_part = read_be16(ip + 6) & 0x3fff;
	info->may_split = !(ip[6] & 0x40);
	parse_l4(frame, off + hlen, off + total, info);
}

static bool is_ip6_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

static size_t ip6_extension_len(__u8 type, const __u8 *ext)
{
	if (type == IPPROTO_FRAGMENT)
		return 8;
	if (type == IPPROTO_AH)
		return (ext[1] + 2) * 4;
	return (ext[1] + 1) * 8;
}

static void parse_ip6(const __u8 *frame, size_t off, size_t len, struct lk_frame_info *info)
{
	size_t end, ext_len;
	__u8 next;

	if (len - off < IP6_HLEN)
		return;
	end = off + IP6_HLEN + read_be16(frame + off + 4);
	if (end > len)
		return;
	next = frame[off + 6];
	off += IP6_HLEN;
	while (is_ip6_extension(next) && !info->is_fragment) {
		if (end - off < 8)
			return;
		ext_len = ip6_extension_len(next, frame + off);
		if (end - off < ext_len)
			return;
		if (next == IPPROTO_FRAGMENT) {
			info->is_fragment = read_be16(frame + off + 2) & 0xfff8;
			info->is_part = true;
		}
		next = frame[off];
		off += ext_len;
	}
	info->is_ip = true;
	info->proto = next;
	parse_l4(frame, off, end, info);
}

/**
 * lk_frame_parse() - classify a frame
 * @frame: starts with the Ethernet header
 * @len:   octets present
 * @info:  filled; @info->is_ip false also for an IP packet that is malformed
 */
void lk_frame_parse(const __u8 *frame, size_t len, struct lk_frame_info *info)
{
	size_t off = 0;
	__u16 type;

	memset(info, 0, sizeof(*info));
	type = ether_type(frame, len, &off);
	info->l3_off = off;
	if (type == ETH_P_IP)
		parse_ip4(frame, off, len, info);
	else if (type == ETH_P_IPV6)
		parse_ip6(frame, off, len, info);
	else
		info->is_control = true;
}

/* RFC 1624, eqn. 3: one 16-bit word of the header has grown by @delta */
static void adjust_ip4_sum(__u8 *ip, __u16 delta)
{
	__u32 sum = (__u16)~read_be16(ip + 10) + delta;

	sum = (__u16)~((sum & 0xffff) + (sum >> 16));
	ip[10] = sum >> 8;
	ip[11] = sum;
}

/**
 * lk_frame_mark() - set CE in the IP header
 * @frame: starts with the Ethernet header
 * @info:  of this frame
 * Return: false: it is not ECN-capable, or has the mark already.
 */
bool lk_frame_mark(__u8 *frame, const struct lk_frame_info *info)
{
	__u8 *ip = frame + info->l3_off;
	bool v4 = ip[0] >> 4 == 4;
	__u8 ecn;

	if (!info->is_ip)
		return false;
	ecn = v4 ? ip[1] & 3 : ip[1] >> 4 & 3;
	if (!ecn || ecn == 3)
		return false;
	if (v4) {
		ip[1] |= 3;
		adjust_ip4_sum(ip, 3 - ecn);
	} else {
		ip[1] |= 0x30;
	}
	return true;
}
