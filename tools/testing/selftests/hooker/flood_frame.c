// SPDX-License-Identifier: GPL-2.0
/*
 * flood: where things are in a frame, and its lengths and checksums.
 */
#include <net/ethernet.h>
#include <netinet/in.h>

#include "flood.h"

#define PORT		18507
#define IP4_LEN		20
#define IP6_LEN		40
#define UDPLITE		136

bool flood_is_v6(const struct frame *f)
{
	return flood_get16(f->data + 12) == ETHERTYPE_IPV6;
}

static __u32 l4_off(const struct frame *f)
{
	return IP_OFF + (flood_is_v6(f) ? IP6_LEN : IP4_LEN);
}

/* Without options or extension headers */
static __u8 proto_of(const struct frame *f)
{
	const __u8 *ip = f->data + IP_OFF;

	if (flood_is_v6(f))
		return ip[6];
	return flood_get16(f->data + 12) == ETHERTYPE_IP && ip[0] == 0x45 ? ip[9] : 0;
}

/* Where HTP begins */
__u32 flood_htp_off(const struct frame *f)
{
	return l4_off(f) + L4_HDR_LEN;
}

/* A datagram to the daemon, alone in its frame */
bool flood_is_ours(const struct frame *in)
{
	__u8 proto = in->len > IP_OFF + IP6_LEN ? proto_of(in) : 0;

	return (proto == IPPROTO_UDP || proto == UDPLITE) &&
	       in->len >= flood_htp_off(in) + HTP_HDR_LEN && in->len <= FRAME_MAX &&
	       flood_get16(in->data + l4_off(in) + 2) == PORT;
}

static __u32 sum(const __u8 *p, __u32 len, __u32 start)
{
	for (; len > 1; p += 2, len -= 2)
		start += flood_get16(p);
	return len ? start + (p[0] << 8) : start;
}

static __u16 fold(__u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static __u32 pseudo_header(const struct frame *f, __u32 len)
{
	const __u8 *ip = f->data + IP_OFF;

	if (flood_is_v6(f))
		return sum(ip + 8, 32, proto_of(f) + len);
	return sum(ip + 12, 8, proto_of(f) + len);
}

static void make_ip_right(struct frame *out)
{
	__u8 *ip = out->data + IP_OFF;

	if (flood_is_v6(out)) {
		flood_put16(ip + 4, out->len - IP_OFF - IP6_LEN);
		return;
	}
	flood_put16(ip + 2, out->len - IP_OFF);
	flood_put16(ip + 10, 0);
	flood_put16(ip + 10, ~fold(sum(ip, IP4_LEN, 0)));
}

/* Lengths and checksums, all of it covered */
void flood_make_right(struct frame *out)
{
	__u8 *l4 = out->data + l4_off(out);
	__u32 len = out->len - l4_off(out);
	__u16 check;

	make_ip_right(out);
	flood_put16(l4 + 4, len);
	flood_put16(l4 + 6, 0);
	check = ~fold(sum(l4, len, pseudo_header(out, len)));
	flood_put16(l4 + 6, check ? check : 0xffff);
}

/* Another host of the same network */
void flood_change_source(struct frame *out, __u8 last)
{
	out->data[IP_OFF + (flood_is_v6(out) ? 23 : 15)] = last;
}
