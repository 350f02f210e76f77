// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: the message of a router for which a packet was too big.
 *
 * It comes from the address that the packet was sent to, the only one of which linkem
 * knows that the sender has a route to it.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "linkem.h"

#define IP4_HLEN	20
#define IP6_HLEN	40
#define ICMP_HLEN	8
#define TTL		64
#define QUOTE_MAX4	(576 - IP4_HLEN - ICMP_HLEN)	/* RFC 1812, 4.3.2.3 */
#define QUOTE_MAX6	(1280 - IP6_HLEN - ICMP_HLEN)	/* RFC 4443, 2.4 */
#define UNREACH		3
#define FRAG_NEEDED	4
#define TOO_BIG6	2

static void write_be16(__u8 *p, __u16 value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static __u32 sum16(const __u8 *p, size_t len, __u32 sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += p[i] << 8 | p[i + 1];
	return len & 1 ? sum + (p[len - 1] << 8) : sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* @ip: the packet that was dropped, its header at least */
static size_t write_icmp4(__u8 *out, const __u8 *ip, size_t len, __u32 mtu)
{
	size_t quoted = len < QUOTE_MAX4 ? len : QUOTE_MAX4;
	__u8 *icmp = out + IP4_HLEN;

	memset(out, 0, IP4_HLEN + ICMP_HLEN);
	out[0] = 0x45;
	write_be16(out + 2, IP4_HLEN + ICMP_HLEN + quoted);
	out[8] = TTL;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, ip + 16, 4);
	memcpy(out + 16, ip + 12, 4);
	write_be16(out + 10, fold(sum16(out, IP4_HLEN, 0)));
	icmp[0] = UNREACH;
	icmp[1] = FRAG_NEEDED;
	write_be16(icmp + 6, mtu);
	memcpy(icmp + ICMP_HLEN, ip, quoted);
	write_be16(icmp + 2, fold(sum16(icmp, ICMP_HLEN + quoted, 0)));
	return IP4_HLEN + ICMP_HLEN + quoted;
}

static size_t write_icmp6(__u8 *out, const __u8 *ip, size_t len, __u32 mtu)
{
	size_t quoted = len < QUOTE_MAX6 ? len : QUOTE_MAX6;
	__u8 *icmp = out + IP6_HLEN;
	__u32 sum;

	memset(out, 0, IP6_HLEN + ICMP_HLEN);
	out[0] = 0x60;
	write_be16(out + 4, ICMP_HLEN + quoted);
	out[6] = IPPROTO_ICMPV6;
	out[7] = TTL;
	memcpy(out + 8, ip + 24, 16);
	memcpy(out + 24, ip + 8, 16);
	icmp[0] = TOO_BIG6;
	write_be16(icmp + 6, mtu);
	memcpy(icmp + ICMP_HLEN, ip, quoted);
	sum = sum16(out + 8, 32, IPPROTO_ICMPV6 + ICMP_HLEN + quoted);
	write_be16(icmp + 2, fold(sum16(icmp, ICMP_HLEN + quoted, sum)));
	return IP6_HLEN + ICMP_HLEN + quoted;
}

/**
 * lk_icmp_too_big() - make the message
 * @pkt:  the frame that was dropped, an IP packet
 * @info: what is in it
 * @mtu:  what the message says
 * Return: a frame back to its sender, from malloc(); NULL: no memory.
 */
struct lk_packet *lk_icmp_too_big(const struct lk_packet *pkt, const struct lk_frame_info *info,
				  __u32 mtu)
{
	struct lk_packet *msg = malloc(sizeof(*msg) + info->l3_off + 1280);
	const __u8 *ip = pkt->data + info->l3_off;
	size_t len = pkt->len - info->l3_off;

	if (!msg)
		return NULL;
	memcpy(msg->data, pkt->data, info->l3_off);	/* VLAN tags, too */
	memcpy(msg->data, pkt->data + ETH_ALEN, ETH_ALEN);
	memcpy(msg->data + ETH_ALEN, pkt->data, ETH_ALEN);
	msg->len = info->l3_off;
	if (ip[0] >> 4 == 4)
		msg->len += write_icmp4(msg->data + msg->len, ip, len, mtu);
	else
		msg->len += write_icmp6(msg->data + msg->len, ip, len, mtu);
	return msg;
}
