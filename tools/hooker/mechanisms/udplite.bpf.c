// SPDX-License-Identifier: GPL-2.0
/*
 * UDP-Lite (RFC 3828) for kernels without its sockets, which Linux 7.1 and later
 * are. An application has a UDP socket; the wire has IP protocol 136.
 *
 * Ingress, in XDP: all of a datagram covered: the checksum is moved from one
 * pseudo-header to the other incrementally and the UDP stack verifies it. (It
 * can't be verified here: a frame from a local veth peer may have its checksum not
 * filled in yet, and XDP can't see that.) A part covered: nobody after us could
 * verify that, so it is done here, and a checksum over all of the datagram, as it
 * arrived, is put in its place. That leaves UDP_GRO and IPv6 what they need.
 *
 * Egress, in tc: a socket with SO_NO_CHECK leaves the checksum to us, and any
 * coverage can be had, whatever the device does with checksums. From others only
 * full coverage: the field is, or is going to be, the sum over all of it.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "bpf/mechanism.bpf.h"

#define UDPLITE_HDR	8

enum counter {
	IN_FULL,
	IN_PARTIAL,
	IN_DROP_SHORT,
	IN_DROP_COVERAGE,
	IN_DROP_CHECKSUM,
	IN_PASS_FRAGMENT,
	OUT_FULL,
	OUT_PARTIAL,
	OUT_DROP_GSO,
	OUT_DROP_FRAGMENT,
	OUT_DROP_FAILED,
};

const volatile struct hk_mechanism hk_mechanism SEC(".rodata.hooker") = {
	.abi		= HK_MECH_ABI,
	.version	= 1,
	.name		= "udplite",
	.ip_proto	= IPPROTO_UDPLITE,
	.offer_bit	= 0,
	.hdr_len	= UDPLITE_HDR,
	.check_off	= offsetof(struct udphdr, check),
	.counters	= {
		[IN_FULL]		= "in_full",
		[IN_PARTIAL]		= "in_partial",
		[IN_DROP_SHORT]		= "in_drop_short",
		[IN_DROP_COVERAGE]	= "in_drop_coverage",
		[IN_DROP_CHECKSUM]	= "in_drop_checksum",
		[IN_PASS_FRAGMENT]	= "in_pass_fragment",
		[OUT_FULL]		= "out_full",
		[OUT_PARTIAL]		= "out_partial",
		[OUT_DROP_GSO]		= "out_drop_gso",
		[OUT_DROP_FRAGMENT]	= "out_drop_fragment",
		[OUT_DROP_FAILED]	= "out_drop_failed",
	},
};

static __always_inline struct udphdr *header(void *data, void *end, const struct hk_packet *p)
{
	return hk_at(data, end, p->l4, UDPLITE_HDR);
}

static __always_inline int drop(enum counter reason)
{
	hk_mech_count(reason);
	return XDP_DROP;
}

static __always_inline int in_full(void *data, void *end, const struct hk_packet *p,
				   struct udphdr *uh, __be16 port)
{
	__u32 gone = bpf_htons(IPPROTO_UDPLITE) + uh->dest + uh->len;
	__be16 len = bpf_htons(p->l4_len);

	uh->check = hk_recheck(uh->check, gone, bpf_htons(IPPROTO_UDP) + port + len);
	uh->dest = port;
	uh->len = len;
	if (!hk_set_proto(data, end, p, IPPROTO_UDPLITE, IPPROTO_UDP))
		return drop(IN_DROP_SHORT);
	hk_mech_count(IN_FULL);
	return XDP_PASS;
}

/* Checked, now UDP but for the checksum, which is to be over all of it */
static __always_inline int in_rewritten(struct xdp_md *ctx, const struct hk_packet *p)
{
	struct udphdr *uh;
	__u32 sum;

	if (!hk_sum_xdp(ctx, p, IPPROTO_UDP, p->l4_len, &sum))
		return drop(IN_DROP_SHORT);
	uh = header((void *)(long)ctx->data, (void *)(long)ctx->data_end, p);
	if (!uh)
		return drop(IN_DROP_SHORT);
	uh->check = hk_check(sum);
	hk_mech_count(IN_PARTIAL);
	return XDP_PASS;
}

static __always_inline int in_partial(struct xdp_md *ctx, const struct hk_packet *p, __u32 cover,
				      __be16 port)
{
	struct udphdr *uh;
	void *data, *end;
	__u32 sum;

	if (!hk_sum_xdp(ctx, p, IPPROTO_UDPLITE, cover, &sum) || hk_fold(sum) != 0xffff)
		return drop(IN_DROP_CHECKSUM);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	uh = header(data, end, p);
	if (!uh)
		return drop(IN_DROP_SHORT);
	uh->dest = port;
	uh->len = bpf_htons(p->l4_len);
	uh->check = 0;
	if (!hk_set_proto(data, end, p, IPPROTO_UDPLITE, IPPROTO_UDP))
		return drop(IN_DROP_SHORT);
	return in_rewritten(ctx, p);
}

SEC("xdp")
int hk_mech_ingress(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *data = (void *)(long)ctx->data;
	struct hk_mech_port *port;
	struct hk_packet p = {};
	struct udphdr *uh;
	__be16 local;
	__u32 cover;

	if (!hk_find_xdp(ctx, &p) || p.proto != IPPROTO_UDPLITE || p.later)
		return XDP_PASS;
	uh = header(data, end, &p);
	if (!uh)
		return XDP_PASS;
	port = hk_mech_port(uh->dest, HK_MECH_IN_DEST);
	local = port ? port->port : uh->dest;
	if (!port && !hk_mech_port(uh->source, HK_MECH_IN_SOURCE))
		return XDP_PASS;
	if (p.fragment) {
		hk_mech_count(IN_PASS_FRAGMENT);
		return XDP_PASS;
	}
	if (p.l4_len < UDPLITE_HDR || end - data < p.l4 + p.l4_len)
		return drop(IN_DROP_SHORT);
	cover = bpf_ntohs(uh->len) ?: p.l4_len;
	if (cover < UDPLITE_HDR || cover > p.l4_len)
		return drop(IN_DROP_COVERAGE);
	if (!uh->check)
		return drop(IN_DROP_CHECKSUM);
	if (cover == p.l4_len)
		return in_full(data, end, &p, uh, local);
	return in_partial(ctx, &p, cover, local);
}

static __always_inline int shoot(enum counter reason)
{
	hk_mech_count(reason);
	return TC_ACT_SHOT;
}

/* Bytes to cover, as the port has it */
static __always_inline __u32 coverage(void *data, void *end, const struct hk_packet *p,
				      const struct hk_mech_port *port)
{
	__u32 off = p->l4 + UDPLITE_HDR, cover = port->base;
	__u8 *field;

	if (port->cover == HK_MECH_COVER_FULL)
		return p->l4_len;
	if (port->cover == HK_MECH_COVER_FIELD) {
		field = hk_at(data, end, off + port->field, 2);
		/* too short to be of the kind meant: all of it is covered */
		if (!field)
			return p->l4_len;
		cover += field[0] << 8 | field[1];
	}
	if (cover < UDPLITE_HDR)
		cover = UDPLITE_HDR;
	return cover < p->l4_len ? cover : p->l4_len;
}

/* No checksum yet: it is ours to write, over as much as is wanted */
static __always_inline int out_written(struct __sk_buff *skb, const struct hk_packet *p,
				       __u32 cover)
{
	struct udphdr *uh;
	__u32 sum;

	if (!hk_sum_skb(skb, p, IPPROTO_UDPLITE, cover, &sum))
		return shoot(OUT_DROP_FAILED);
	uh = header((void *)(long)skb->data, (void *)(long)skb->data_end, p);
	if (!uh)
		return shoot(OUT_DROP_FAILED);
	uh->check = hk_check(sum);
	hk_mech_count(cover == p->l4_len ? OUT_FULL : OUT_PARTIAL);
	return TC_ACT_UNSPEC;
}

/*
 * The field is the sum over all of it, or of the pseudo-header, which the device
 * is going to complete: the helper knows which. The length field is full coverage
 * already.
 */
static __always_inline int out_moved(struct __sk_buff *skb, const struct hk_packet *p,
				     __be16 from, __be16 to)
{
	const __u64 flags = BPF_F_MARK_MANGLED_0 | 2;
	__u32 off = p->l4 + offsetof(struct udphdr, check);

	if (bpf_l4_csum_replace(skb, off, bpf_htons(IPPROTO_UDP), bpf_htons(IPPROTO_UDPLITE),
				flags | BPF_F_PSEUDO_HDR))
		return shoot(OUT_DROP_FAILED);
	if (from != to && bpf_l4_csum_replace(skb, off, from, to, flags))
		return shoot(OUT_DROP_FAILED);
	hk_mech_count(OUT_FULL);
	return TC_ACT_UNSPEC;
}

static __always_inline int out(struct __sk_buff *skb, const struct hk_packet *p,
			       const struct hk_mech_port *port, __be16 source)
{
	void *end = (void *)(long)skb->data_end, *data = (void *)(long)skb->data;
	struct udphdr *uh = header(data, end, p);
	__be16 before;
	bool written;
	__u32 cover;

	if (!uh)
		return shoot(OUT_DROP_FAILED);
	cover = coverage(data, end, p, port);
	before = uh->source;
	written = !uh->check;
	uh->source = source;
	if (written)
		uh->len = bpf_htons(cover < p->l4_len ? cover : p->l4_len);
	if (!hk_set_proto(data, end, p, IPPROTO_UDP, IPPROTO_UDPLITE))
		return shoot(OUT_DROP_FAILED);
	return written ? out_written(skb, p, cover) : out_moved(skb, p, before, source);
}

SEC("tc")
int hk_mech_egress(struct __sk_buff *skb)
{
	struct hk_mech_port *port;
	struct hk_packet p = {};
	struct udphdr *uh;
	__be16 source;

	uh = hk_udp_header(skb, &p);
	if (!uh)
		return TC_ACT_UNSPEC;
	port = hk_mech_port(uh->source, HK_MECH_OUT_SOURCE);
	source = port ? port->port : uh->source;
	if (!port)
		port = hk_mech_port(uh->dest, HK_MECH_OUT_DEST);
	if (!port)
		return TC_ACT_UNSPEC;
	if (p.fragment)
		return shoot(OUT_DROP_FRAGMENT);
	if (skb->gso_size)
		return shoot(OUT_DROP_GSO);
	if (p.l4_len < UDPLITE_HDR)
		return shoot(OUT_DROP_FAILED);
	return out(skb, &p, port, source);
}

char LICENSE[] SEC("license") = "GPL";
