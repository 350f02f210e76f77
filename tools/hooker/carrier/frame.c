// SPDX-License-Identifier: GPL-2.0
/*
 * Frames: Ethernet, IPv4 or IPv6, UDP-Lite (RFC 3828). What the kernel's UDP-Lite
 * socket would send with IP_PMTUDISC_PROBE: "don't fragment" set and therefore no
 * identification (RFC 6864), full coverage written as the length.
 *
 * Sums are taken over words in the machine's byte order; a sum in ones' complement
 * is the same in either (RFC 1071), once it is stored in that order.
 */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>
#include "frame.h"
#include "socket.h"

#define IP_DONT_FRAGMENT	0x4000
#define ECN_BITS		3	/* of TOS and traffic class */

/* As on the wire */
struct udplite_header {
	__be16	source, dest, coverage, check;
};

/* What the checksum covers besides (RFC 2460's form serves both families) */
struct pseudo_header {
	__be32	saddr[4], daddr[4];
	__be32	len, proto;
};

/* At most 64 KiB, so the sum of 32-bit words doesn't overflow; odd ends are padded */
static __u64 add_bytes(__u64 sum, const void *data, size_t len)
{
	const __u8 *p = data;
	__u64 word;

	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += (word & 0xffffffff) + (word >> 32);
	}
	if (!len)
		return sum;
	word = 0;
	memcpy(&word, p, len);
	return sum + (word & 0xffffffff) + (word >> 32);
}

static __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __u8 *put(__u8 *p, const void *data, size_t len)
{
	memcpy(p, data, len);
	return p + len;
}

static __u8 *put_ethernet(__u8 *p, const struct hk_frame_head *head, bool v4)
{
	__be16 proto = htons(v4 ? ETH_P_IP : ETH_P_IPV6);

	p = put(p, head->dst, ETH_ALEN);
	p = put(p, head->src, ETH_ALEN);
	return put(p, &proto, sizeof(proto));
}

static __u8 *put_ipv4(__u8 *p, const struct hk_frame_head *head, const struct hk_datagram *dgram)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tos = dgram->ecn & ECN_BITS,
		.tot_len = htons(hk_frame_ip_len(dgram)),
		.frag_off = htons(IP_DONT_FRAGMENT),
		.ttl = head->hop_limit,
		.protocol = IPPROTO_UDPLITE,
		.saddr = dgram->path.local[3],
		.daddr = dgram->path.remote[3],
	};

	ip.check = fold(add_bytes(0, &ip, sizeof(ip)));
	return put(p, &ip, sizeof(ip));
}

static __u8 *put_ipv6(__u8 *p, const struct hk_frame_head *head, const struct hk_datagram *dgram)
{
	struct ip6_hdr ip6 = { 0 };

	ip6.ip6_flow = htonl(6 << 28 | (dgram->ecn & ECN_BITS) << 20);
	ip6.ip6_plen = htons(hk_frame_ip_len(dgram) - sizeof(ip6));
	ip6.ip6_nxt = IPPROTO_UDPLITE;
	ip6.ip6_hlim = head->hop_limit;
	memcpy(&ip6.ip6_src, dgram->path.local, sizeof(ip6.ip6_src));
	memcpy(&ip6.ip6_dst, dgram->path.remote, sizeof(ip6.ip6_dst));
	return put(p, &ip6, sizeof(ip6));
}

/* The length in it is the whole datagram's, whatever the coverage (RFC 3828, 3.2) */
static __u64 add_pseudo_header(const struct hk_datagram *dgram, bool v4)
{
	struct pseudo_header pseudo = {
		.len = htonl(sizeof(struct udplite_header) + dgram->len),
		.proto = htonl(IPPROTO_UDPLITE),
	};
	int i;

	for (i = v4 ? 3 : 0; i < 4; i++) {
		pseudo.saddr[i] = dgram->path.local[i];
		pseudo.daddr[i] = dgram->path.remote[i];
	}
	return add_bytes(0, &pseudo, sizeof(pseudo));
}

static __u8 *put_udplite(__u8 *p, const struct hk_frame_head *head,
			 const struct hk_datagram *dgram, bool v4)
{
	__u32 covered = hk_carrier_is_partial(dgram) ? dgram->coverage : dgram->len;
	struct udplite_header lite = {
		.source = head->sport,
		.dest = dgram->path.rport,
		.coverage = htons(sizeof(lite) + covered),
	};
	__u64 sum;

	sum = add_bytes(add_pseudo_header(dgram, v4), &lite, sizeof(lite));
	lite.check = fold(add_bytes(sum, dgram->data, covered));
	if (!lite.check)	/* which would mean that there is none */
		lite.check = 0xffff;
	return put(p, &lite, sizeof(lite));
}

/**
 * hk_frame_ip_len - what is compared with a device's MTU
 * @dgram: the datagram
 *
 * Return: bytes of IP packet.
 */
__u32 hk_frame_ip_len(const struct hk_datagram *dgram)
{
	__u32 header = hk_socket_family(&dgram->path) ? sizeof(struct ip6_hdr)
						      : sizeof(struct iphdr);

	return header + sizeof(struct udplite_header) + dgram->len;
}

/**
 * hk_frame_build - write a frame
 * @frame: ETH_HLEN + hk_frame_ip_len() bytes, with any alignment
 * @head:  what is the same in all frames of the path
 * @dgram: its path has both addresses; fits into an IP packet
 *
 * Return: bytes written.
 */
__u32 hk_frame_build(void *frame, const struct hk_frame_head *head,
		     const struct hk_datagram *dgram)
{
	bool v4 = !hk_socket_family(&dgram->path);
	__u8 *p = put_ethernet(frame, head, v4);

	p = v4 ? put_ipv4(p, head, dgram) : put_ipv6(p, head, dgram);
	p = put_udplite(p, head, dgram, v4);
	p = put(p, dgram->data, dgram->len);
	return p - (__u8 *)frame;
}
