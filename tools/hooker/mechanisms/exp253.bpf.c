// SPDX-License-Identifier: GPL-2.0
/*
 * The example to copy: UDP's header under IP protocol 253, which RFC 3692 leaves
 * to experiments. The checksum is UDP's, with 253 in the pseudo-header, and is
 * never 0.
 *
 * A mechanism needs no more than this: its name and number, which counters it has,
 * what to do with a frame that arrives and with one that leaves. Which ports are its
 * own is in hk_mech_ports, and it must let everything else pass.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "bpf/mechanism.bpf.h"

#define EXP_PROTO	253
#define EXP_HDR		8

enum counter { IN, IN_DROP, OUT, OUT_DROP };

const volatile struct hk_mechanism hk_mechanism SEC(".rodata.hooker") = {
	.abi		= HK_MECH_ABI,
	.version	= 1,
	.name		= "exp253",
	.ip_proto	= EXP_PROTO,
	.offer_bit	= 2,
	.hdr_len	= EXP_HDR,
	.check_off	= offsetof(struct udphdr, check),
	.counters	= { "in", "in_drop", "out", "out_drop" },
};

SEC("xdp")
int hk_mech_ingress(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *data = (void *)(long)ctx->data;
	struct hk_mech_port *port;
	struct hk_packet p = {};
	struct udphdr *uh;
	__be16 local;

	if (!hk_find_xdp(ctx, &p) || p.proto != EXP_PROTO || p.fragment)
		return XDP_PASS;
	uh = hk_at(data, end, p.l4, EXP_HDR);
	if (!uh)
		return XDP_PASS;
	port = hk_mech_port(uh->dest, HK_MECH_IN_DEST);
	local = port ? port->port : uh->dest;
	if (!port && !hk_mech_port(uh->source, HK_MECH_IN_SOURCE))
		return XDP_PASS;
	if (!uh->check || bpf_ntohs(uh->len) != p.l4_len ||
	    !hk_set_proto(data, end, &p, EXP_PROTO, IPPROTO_UDP)) {
		hk_mech_count(IN_DROP);
		return XDP_DROP;
	}
	/* the UDP stack verifies what follows from the old checksum */
	uh->check = hk_recheck(uh->check, bpf_htons(EXP_PROTO) + uh->dest,
			       bpf_htons(IPPROTO_UDP) + local);
	uh->dest = local;
	hk_mech_count(IN);
	return XDP_PASS;
}

/*
 * The daemon's sockets send without checksum (SO_NO_CHECK), which tells apart what
 * is to be summed up here from what the device may be about to complete.
 */
static __always_inline bool send_as(struct __sk_buff *skb, const struct hk_packet *p,
				    struct udphdr *uh, __be16 source)
{
	const __u64 flags = BPF_F_MARK_MANGLED_0 | 2;
	__u32 off = p->l4 + offsetof(struct udphdr, check);
	void *end = (void *)(long)skb->data_end, *data = (void *)(long)skb->data;
	__be16 from = uh->source;
	__u16 check = uh->check;
	__u32 sum;

	uh->source = source;
	if (!hk_set_proto(data, end, p, IPPROTO_UDP, EXP_PROTO))
		return false;
	if (check)
		return !bpf_l4_csum_replace(skb, off, bpf_htons(IPPROTO_UDP),
					    bpf_htons(EXP_PROTO), flags | BPF_F_PSEUDO_HDR) &&
		       (from == source || !bpf_l4_csum_replace(skb, off, from, source, flags));
	if (!hk_sum_skb(skb, p, EXP_PROTO, p->l4_len, &sum))
		return false;
	check = hk_check(sum);
	return !bpf_skb_store_bytes(skb, off, &check, sizeof(check), 0);
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
	if (!port && !hk_mech_port(uh->dest, HK_MECH_OUT_DEST))
		return TC_ACT_UNSPEC;
	if (p.fragment || skb->gso_size || !send_as(skb, &p, uh, source)) {
		hk_mech_count(OUT_DROP);
		return TC_ACT_SHOT;
	}
	hk_mech_count(OUT);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
