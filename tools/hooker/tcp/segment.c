// SPDX-License-Identifier: GPL-2.0
/*
 * TCP segments as bytes: written from a description, and taken apart. What is
 * taken apart comes from the network, so nothing in it is believed before it
 * was compared with the length given.
 *
 * Option lists are read as the kernel's tcp_parse_options() does it: a
 * malformed length ends the list, and what stood before it counts. Both have to
 * come to the same result, because the kernel parses the same segment later.
 */
#include <errno.h>
#include "addr.h"
#include "inject.h"
#include "packet.h"

#define OPT_EOL		0
#define OPT_NOP		1
#define OPT_MSS		2
#define OPT_WSCALE	3
#define OPT_SACK	4
#define OPT_TIMESTAMP	8

#define LEN_MSS		4
#define LEN_WSCALE	3
#define LEN_SACK	2
#define LEN_TIMESTAMP	10

#define WSCALE_MAX	14
#define MSS_DEFAULT4	536
#define MSS_DEFAULT6	1220
#define HOP_LIMIT	64

static __u16 get16(const __u8 *p)
{
	return p[0] << 8 | p[1];
}

static __u32 get32(const __u8 *p)
{
	return (__u32)get16(p) << 16 | get16(p + 2);
}

static __u8 *put8(__u8 *p, __u8 val)
{
	*p = val;
	return p + 1;
}

static __u8 *put16(__u8 *p, __u16 val)
{
	return put8(put8(p, val >> 8), val & 0xff);
}

static __u8 *put32(__u8 *p, __u32 val)
{
	return put16(put16(p, val >> 16), val & 0xffff);
}

static __u8 *put_bytes(__u8 *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

static __u8 *put_timestamps(__u8 *p, const struct hk_segment *seg)
{
	p = put8(put8(p, OPT_TIMESTAMP), LEN_TIMESTAMP);
	return put32(put32(p, seg->tsval), seg->tsecr);
}

/*
 * All of them take exactly the 40 bytes there are: SACK permitted stands in the
 * two bytes that would else be padding before the timestamps, as Linux does it.
 */
static __u8 *put_options(__u8 *p, const struct hk_segment *seg)
{
	if (seg->mss)
		p = put16(put8(put8(p, OPT_MSS), LEN_MSS), seg->mss);
	if (seg->sack)
		p = put8(put8(p, OPT_SACK), LEN_SACK);
	else if (seg->timestamps)
		p = put8(put8(p, OPT_NOP), OPT_NOP);
	if (seg->timestamps)
		p = put_timestamps(p, seg);
	else if (seg->sack)
		p = put8(put8(p, OPT_NOP), OPT_NOP);
	if (seg->scaled)
		p = put8(put8(put8(put8(p, OPT_NOP), OPT_WSCALE), LEN_WSCALE), seg->wscale);
	if (seg->option)
		p = put_bytes(p, seg->option, sizeof(*seg->option));
	return p;
}

static size_t options_len(const struct hk_segment *seg)
{
	size_t len = 0;

	if (seg->mss)
		len += LEN_MSS;
	if (seg->timestamps)
		len += LEN_TIMESTAMP + 2;
	else if (seg->sack)
		len += LEN_SACK + 2;
	if (seg->scaled)
		len += LEN_WSCALE + 1;
	if (seg->option)
		len += sizeof(*seg->option);
	return len;
}

static __u8 *put_tcp(__u8 *p, const struct hk_segment *seg)
{
	size_t hdr_len = HK_TCP_HDR_LEN + options_len(seg);

	p = put16(p, ntohs(seg->key.lport));
	p = put16(p, ntohs(seg->key.rport));
	p = put32(p, seg->seq);
	p = put32(p, seg->ack);
	p = put8(p, hdr_len / 4 << 4);
	p = put8(p, seg->flags);
	p = put16(p, seg->window);
	p = put32(p, 0);		/* checksum, urgent pointer */
	return put_options(p, seg);
}

static __u8 *put_ip4(__u8 *p, const struct hk_segment *seg, size_t tcp_len)
{
	p = put8(p, 0x45);
	p = put8(p, 0);
	p = put16(p, HK_IP4_HDR_LEN + tcp_len);
	p = put16(p, 0);		/* identification: free to choose under DF (RFC 6864) */
	p = put16(p, HK_IP4_DF);
	p = put8(p, HOP_LIMIT);
	p = put8(p, IPPROTO_TCP);
	p = put16(p, 0);
	p = put_bytes(p, &seg->key.laddr[3], 4);
	return put_bytes(p, &seg->key.raddr[3], 4);
}

static __u8 *put_ip6(__u8 *p, const struct hk_segment *seg, size_t tcp_len)
{
	p = put32(p, 6U << 28);
	p = put16(p, tcp_len);
	p = put8(p, IPPROTO_TCP);
	p = put8(p, HOP_LIMIT);
	p = put_bytes(p, seg->key.laddr, 16);
	return put_bytes(p, seg->key.raddr, 16);
}

/**
 * hk_segment_build - write a TCP segment without payload, IP header included
 * @packet: room for it
 * @cap:    bytes there; HK_SEGMENT_MAX is always enough
 * @seg:    what to write
 *
 * Checksums are filled in.
 *
 * Return: bytes written, or
 * -EINVAL: one address is IPv4 and the other is not;
 * -ENOSPC: @cap is too small.
 */
ssize_t hk_segment_build(void *packet, size_t cap, const struct hk_segment *seg)
{
	bool v4 = hk_addr_is_mapped(seg->key.laddr);
	size_t tcp_len = HK_TCP_HDR_LEN + options_len(seg);
	size_t len = tcp_len + (v4 ? HK_IP4_HDR_LEN : HK_IP6_HDR_LEN);
	__u8 *p = packet;
	int err;

	if (v4 != hk_addr_is_mapped(seg->key.raddr))
		return -EINVAL;
	if (len > cap)
		return -ENOSPC;
	p = v4 ? put_ip4(p, seg, tcp_len) : put_ip6(p, seg, tcp_len);
	put_tcp(p, seg);
	err = hk_packet_fill_checksums(packet, len);
	return err ? err : (ssize_t)len;
}

static int locate4(const __u8 *p, size_t len, struct hk_packet *pkt)
{
	size_t ihl, total;

	if (len < HK_IP4_HDR_LEN)
		return -EINVAL;
	ihl = (p[0] & 0xf) * 4;
	total = get16(p + 2);
	if (ihl < HK_IP4_HDR_LEN || ihl > total || total > len)
		return -EINVAL;
	if (get16(p + 6) & HK_IP4_FRAGMENT)
		return -EINVAL;
	if (p[9] != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	pkt->v4 = true;
	pkt->tcp = ihl;
	pkt->len = total;
	return 0;
}

static int locate6(const __u8 *p, size_t len, struct hk_packet *pkt)
{
	size_t total;

	if (len < HK_IP6_HDR_LEN)
		return -EINVAL;
	total = HK_IP6_HDR_LEN + get16(p + 4);
	if (total > len)
		return -EINVAL;
	switch (p[6]) {
	case IPPROTO_TCP:
		break;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
		return -EOPNOTSUPP;
	default:
		return -EPROTONOSUPPORT;
	}
	pkt->v4 = false;
	pkt->tcp = HK_IP6_HDR_LEN;
	pkt->len = total;
	return 0;
}

/**
 * hk_packet_locate - find the TCP header of an IP packet
 * @packet: from its IP header on
 * @len:    bytes there; more than the packet has is fine (link-layer padding)
 * @pkt:    filled on success; all its offsets lie within @len then
 *
 * Return: 0, or the errors of hk_segment_parse().
 */
int hk_packet_locate(const void *packet, size_t len, struct hk_packet *pkt)
{
	const __u8 *p = packet;
	int err;

	if (!len)
		return -EINVAL;
	if (p[0] >> 4 == 4)
		err = locate4(p, len, pkt);
	else if (p[0] >> 4 == 6)
		err = locate6(p, len, pkt);
	else
		err = -EINVAL;
	if (err)
		return err;
	if (pkt->len - pkt->tcp < HK_TCP_HDR_LEN)
		return -EINVAL;
	pkt->tcp_hdr_len = (p[pkt->tcp + 12] >> 4) * 4;
	if (pkt->tcp_hdr_len < HK_TCP_HDR_LEN || pkt->tcp_hdr_len > pkt->len - pkt->tcp)
		return -EINVAL;
	return 0;
}

static void parse_key(const __u8 *p, const struct hk_packet *pkt, struct hk_flow_key *key)
{
	__be32 v4;

	memcpy(&key->lport, p + pkt->tcp, 2);
	memcpy(&key->rport, p + pkt->tcp + 2, 2);
	if (!pkt->v4) {
		memcpy(key->laddr, p + 8, 16);
		memcpy(key->raddr, p + 24, 16);
		return;
	}
	memcpy(&v4, p + 12, 4);
	hk_addr_map(key->laddr, v4);
	memcpy(&v4, p + 16, 4);
	hk_addr_map(key->raddr, v4);
}

/**
 * hk_segment_readdress - put other addresses and ports into a TCP segment
 * @packet: from its IP header on
 * @len:    bytes there
 * @key:    source as local, destination as remote; of the packet's address family
 *
 * Checksums stay what they were; hk_inject() fills them in.
 *
 * Return: 0, -EINVAL if the family is another one, or the errors of hk_segment_parse().
 */
int hk_segment_readdress(void *packet, size_t len, const struct hk_flow_key *key)
{
	struct hk_packet pkt;
	__u8 *p = packet;
	int err;

	err = hk_packet_locate(packet, len, &pkt);
	if (err)
		return err;
	if (pkt.v4 != hk_addr_is_mapped(key->laddr) || pkt.v4 != hk_addr_is_mapped(key->raddr))
		return -EINVAL;
	if (pkt.v4)
		put_bytes(put_bytes(p + 12, &key->laddr[3], 4), &key->raddr[3], 4);
	else
		put_bytes(put_bytes(p + 8, key->laddr, 16), key->raddr, 16);
	put_bytes(put_bytes(p + pkt.tcp, &key->lport, 2), &key->rport, 2);
	return 0;
}

/* @opt is one whole option of @len bytes, kind and length included */
static void parse_syn_option(const __u8 *opt, size_t len, struct hk_parsed *parsed)
{
	if (opt[0] == OPT_MSS && len == LEN_MSS && get16(opt + 2))
		parsed->mss = get16(opt + 2);
	else if (opt[0] == OPT_WSCALE && len == LEN_WSCALE)
		parsed->wscale = opt[2] < WSCALE_MAX ? opt[2] : WSCALE_MAX;
	else if (opt[0] == OPT_SACK && len == LEN_SACK)
		parsed->sack = true;
}

static void parse_option(const __u8 *opt, size_t len, struct hk_parsed *parsed)
{
	if (parsed->flags & HK_TCP_SYN)
		parse_syn_option(opt, len, parsed);
	if (opt[0] == OPT_TIMESTAMP && len == LEN_TIMESTAMP) {
		parsed->timestamps = true;
		parsed->tsval = get32(opt + 2);
		parsed->tsecr = get32(opt + 6);
	}
	if (opt[0] == HK_OPT_KIND && len == HK_OPT_LEN && get16(opt + 2) == HK_OPT_EXID &&
	    !parsed->option)
		parsed->option = (const void *)opt;
}

static void parse_options(const __u8 *p, size_t len, struct hk_parsed *parsed)
{
	size_t opt_len;

	while (len && *p != OPT_EOL) {
		if (*p == OPT_NOP) {
			p++;
			len--;
			continue;
		}
		if (len < 2)
			return;
		opt_len = p[1];
		if (opt_len < 2 || opt_len > len)
			return;
		parse_option(p, opt_len, parsed);
		p += opt_len;
		len -= opt_len;
	}
}

/**
 * hk_segment_parse - take a TCP segment apart
 * @packet: from its IP header on; hostile
 * @len:    bytes there; more than the packet has is fine (link-layer padding)
 * @parsed: filled on success; its @option points into @packet
 *
 * Checksums are not looked at: a captured packet may have unfilled ones.
 *
 * Return: 0, or
 * -EINVAL: malformed, cut short, or an IPv4 fragment;
 * -EPROTONOSUPPORT: not TCP;
 * -EOPNOTSUPP: IPv6 with extension headers.
 */
int hk_segment_parse(const void *packet, size_t len, struct hk_parsed *parsed)
{
	const __u8 *p = packet, *tcp;
	struct hk_packet pkt;
	int err;

	err = hk_packet_locate(packet, len, &pkt);
	if (err)
		return err;
	memset(parsed, 0, sizeof(*parsed));
	parse_key(p, &pkt, &parsed->key);
	tcp = p + pkt.tcp;
	parsed->seq = get32(tcp + 4);
	parsed->ack = get32(tcp + 8);
	parsed->flags = tcp[13];
	parsed->window = get16(tcp + 14);
	parsed->mss = pkt.v4 ? MSS_DEFAULT4 : MSS_DEFAULT6;
	parsed->wscale = -1;
	parsed->payload = pkt.len - pkt.tcp - pkt.tcp_hdr_len;
	parse_options(tcp + HK_TCP_HDR_LEN, pkt.tcp_hdr_len - HK_TCP_HDR_LEN, parsed);
	return 0;
}

/* Sum of big-endian 16-bit words; an odd byte counts as the high one (RFC 1071) */
static __u64 sum_bytes(const __u8 *p, size_t len, __u64 sum)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	return len ? sum + (*p << 8) : sum;
}

static __u16 fold(__u64 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/**
 * hk_packet_fill_checksums - compute the checksums of an IP packet with TCP in it
 * @packet: from its IP header on; both checksum fields are overwritten
 * @len:    bytes there; more than the packet has is fine
 *
 * Return: 0, or the errors of hk_segment_parse().
 */
int hk_packet_fill_checksums(void *packet, size_t len)
{
	struct hk_packet pkt;
	__u8 *p = packet;
	size_t tcp_len;
	__u64 sum;
	int err;

	err = hk_packet_locate(packet, len, &pkt);
	if (err)
		return err;
	if (pkt.v4) {
		put16(p + 10, 0);
		put16(p + 10, fold(sum_bytes(p, pkt.tcp, 0)));
	}
	tcp_len = pkt.len - pkt.tcp;
	sum = IPPROTO_TCP + tcp_len;
	sum = pkt.v4 ? sum_bytes(p + 12, 8, sum) : sum_bytes(p + 8, 32, sum);
	put16(p + pkt.tcp + 16, 0);
	put16(p + pkt.tcp + 16, fold(sum_bytes(p + pkt.tcp, tcp_len, sum)));
	return 0;
}
