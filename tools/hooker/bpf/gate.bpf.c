// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup_skb/ingress: holds back the handshake packets of connections that are
 * about to leave plain TCP, and keeps the wire's from those that have left it.
 *
 *	SYN_SENT, SYN-ACK with our option: copied to the daemon and dropped. The
 *	daemon injects it again once the path is proven, or once it has given up.
 *	LISTEN, ACK with our option and TAKEN: dropped. Firewalls and NATs on the way
 *	have seen a complete handshake; the daemon injects an ACK of its own when
 *	OPEN has arrived.
 *	Steered, from another device than lo: dropped. Its peer is a socket here;
 *	what the wire brings is late (a third ACK, the RST that answers one) or forged.
 *
 * Holding fails open: hung daemon, full ring buffer, held for too long: the
 * SYN-ACK passes and the connection is plain TCP. Dropping a TAKEN ACK fails
 * closed: its sender has left TCP already, so a connection would never get a byte.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by BPF_CORE_READ(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"

#define GATE_DROP	0
#define GATE_PASS	1

#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define IPPROTO_TCP	6
#define IFINDEX_LO	1

/* Ours is 20 of 40 bytes, so there are 20 at most before it */
#define OPTIONS_BEFORE	20

/* A server sends its SYN-ACK again after a second. One that floods is not to fill the ring */
#define COPY_GAP_NS	100000000ULL

/**
 * struct segment - where things stand in the packet
 * @key:     destination as local, source as remote
 * @tcp_off: TCP header, from the IP header on
 * @th:      its first 20 bytes
 */
struct segment {
	struct hk_flow_key	key;
	__u32			tcp_off;
	struct tcphdr		th;
};

static __always_inline bool parse_ip4(struct __sk_buff *skb, struct segment *seg)
{
	struct iphdr iph;

	if (bpf_skb_load_bytes(skb, 0, &iph, sizeof(iph)) || iph.protocol != IPPROTO_TCP)
		return false;
	seg->key.laddr[2] = bpf_htonl(0xffff);
	seg->key.raddr[2] = bpf_htonl(0xffff);
	seg->key.laddr[3] = iph.daddr;
	seg->key.raddr[3] = iph.saddr;
	seg->tcp_off = iph.ihl * 4;
	return true;
}

/* TCP behind extension headers never meets the option of ours: such packets pass */
static __always_inline bool parse_ip6(struct __sk_buff *skb, struct segment *seg)
{
	struct ipv6hdr iph;

	if (bpf_skb_load_bytes(skb, 0, &iph, sizeof(iph)) || iph.nexthdr != IPPROTO_TCP)
		return false;
	__builtin_memcpy(seg->key.laddr, &iph.daddr, sizeof(seg->key.laddr));
	__builtin_memcpy(seg->key.raddr, &iph.saddr, sizeof(seg->key.raddr));
	seg->tcp_off = sizeof(iph);
	return true;
}

/* Global, as is hk_find_option() */
__noinline int hk_parse_segment(struct __sk_buff *skb, struct segment *seg)
{
	bool ok = false;

	if (!seg)
		return false;
	__builtin_memset(seg, 0, sizeof(*seg));
	if (skb->protocol == bpf_htons(ETH_P_IP))
		ok = parse_ip4(skb, seg);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		ok = parse_ip6(skb, seg);
	if (!ok || bpf_skb_load_bytes(skb, seg->tcp_off, &seg->th, sizeof(seg->th)))
		return false;
	seg->key.lport = seg->th.dest;
	seg->key.rport = seg->th.source;
	return true;
}

/*
 * Copies the hooker option into @opt; malformed options end the search. A global function:
 * the verifier goes through its loop once, not for each caller and each way to it.
 */
__noinline int hk_find_option(struct __sk_buff *skb, __u32 off, __u32 end, struct hk_option *opt)
{
	__u8 tl[2];
	int i;

	if (!opt)
		return false;
	for (i = 0; i <= OPTIONS_BEFORE; i++) {
		if (off + HK_OPT_LEN > end || bpf_skb_load_bytes(skb, off, tl, sizeof(tl)))
			return false;
		if (tl[0] == 0)			/* end of options */
			return false;
		if (tl[0] == 1) {		/* no operation */
			off++;
			continue;
		}
		if (tl[1] < 2)
			return false;
		if (tl[0] == HK_OPT_KIND && tl[1] == HK_OPT_LEN) {
			if (bpf_skb_load_bytes(skb, off, opt, sizeof(*opt)))
				return false;
			if (opt->exid == bpf_htons(HK_OPT_EXID))
				return opt->ver_flags >> 4 == HK_OPT_VERSION;
		}
		off += tl[1];
	}
	return false;
}

static __always_inline bool find_option(struct __sk_buff *skb, const struct segment *seg,
					struct hk_option *opt)
{
	return hk_find_option(skb, seg->tcp_off + sizeof(seg->th),
			      seg->tcp_off + seg->th.doff * 4, opt);
}

/*
 * Segments of the daemon itself. A mark does not cross the wire, but a local
 * firewall may set any: so the device must be lo, too.
 */
static __always_inline bool is_injected(struct __sk_buff *skb)
{
	return skb->mark == hk_config.relay_mark && skb->ingress_ifindex == IFINDEX_LO;
}

static __always_inline int pass(enum hk_stat stat)
{
	hk_count(stat);
	return GATE_PASS;
}

/*
 * What the SYN offered. rx_opt.wscale_ok is set by the SYN-ACK only; but a server
 * scales windows only if the SYN did, so its option tells that.
 */
static __always_inline __u8 wscale_of(struct bpf_sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp ? BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale) : 0;
}

static __always_inline bool copy_to_relay(struct __sk_buff *skb, struct bpf_sock *sk,
					  const struct segment *seg, const struct hk_sk *st)
{
	struct hk_synack_event *ev;
	__u32 len = skb->len;

	if (len > HK_SYNACK_MAX || len == 0)
		return false;
	ev = bpf_ringbuf_reserve(&hk_events, sizeof(*ev), 0);
	if (!ev)
		return false;
	ev->type = HK_EVENT_SYNACK;
	ev->len = len;
	ev->key = seg->key;
	ev->rcv_wscale = wscale_of(sk);
	__builtin_memset(ev->pad, 0, sizeof(ev->pad));
	ev->action = st->action;
	ev->rtt_ns = st->held_ns - st->offered_ns;
	if (bpf_skb_load_bytes(skb, 0, ev->packet, len)) {
		bpf_ringbuf_discard(ev, 0);
		return false;
	}
	bpf_ringbuf_submit(ev, 0);
	return true;
}

static __always_inline bool relay_left_it(const struct hk_flow_key *key)
{
	struct hk_verdict *v = bpf_map_lookup_elem(&hk_verdicts, key);

	return v && v->state == HK_VERDICT_NATIVE;
}

/*
 * RFC 9293, 3.10.7.3, first step: what TCP itself would throw away must not be
 * held, or a guess at the port would be enough to put another SYN-ACK in place.
 * tcp_connect() sets snd_nxt only after the SYN has left, and a neighbour on a veth pair
 * answers within that call; write_seq is right before. No data is behind it: what
 * carries data in its SYN (Fast Open) was not offered.
 */
static __always_inline bool acknowledges_syn(struct bpf_sock *sk, const struct segment *seg)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && bpf_ntohl(seg->th.ack_seq) == BPF_CORE_READ(tp, write_seq);
}

static __always_inline int hold_synack(struct __sk_buff *skb, struct bpf_sock *sk,
				       const struct segment *seg)
{
	__u64 now = bpf_ktime_get_ns();
	struct hk_sk *st;

	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	if (!st || st->role != HK_ROLE_ACTIVE || relay_left_it(&seg->key))
		return GATE_PASS;
	if (!acknowledges_syn(sk, seg))
		return GATE_PASS;
	if (!relay_is_alive())
		return pass(HK_STAT_SYNACK_STALE);
	if (!st->held_ns)
		st->held_ns = now;
	if (ns_since(now, st->held_ns) > hk_config.hold_max_ns)
		return pass(HK_STAT_SYNACK_TIMEOUT);
	if (ns_since(now, st->copied_ns) > COPY_GAP_NS) {
		if (!copy_to_relay(skb, sk, seg, st))
			return pass(HK_STAT_SYNACK_RING_FULL);
		st->copied_ns = now;
	}
	hk_count(HK_STAT_SYNACK_HELD);
	return GATE_DROP;
}

static __always_inline int on_syn_sent(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct hk_option opt = {};
	struct segment seg = {};

	if (!hk_parse_segment(skb, &seg) || !seg.th.syn || !seg.th.ack || seg.th.rst)
		return GATE_PASS;
	if (!find_option(skb, &seg, &opt) || is_injected(skb))
		return GATE_PASS;
	return hold_synack(skb, sk, &seg);
}

static __always_inline int on_listen(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct hk_option opt = {};
	struct segment seg = {};
	struct hk_sk *st;

	if (!hk_parse_segment(skb, &seg) || seg.th.syn || !seg.th.ack || seg.th.rst)
		return GATE_PASS;
	if (!find_option(skb, &seg, &opt) || !(opt.ver_flags & HK_OPT_F_TAKEN))
		return GATE_PASS;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	if (!st || st->role != HK_ROLE_LISTENER || is_injected(skb))
		return GATE_PASS;
	hk_count(HK_STAT_ACK_TAKEN);
	return GATE_DROP;
}

/* The mark alone may be its owner's choice */
static __always_inline bool is_stray(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct hk_sk *st;

	if (sk->mark != hk_config.app_mark || skb->ingress_ifindex == IFINDEX_LO ||
	    sk->protocol != IPPROTO_TCP)
		return false;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	return st && st->role == HK_ROLE_STEERED;
}

SEC("cgroup_skb/ingress")
int hk_gate(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return GATE_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return GATE_PASS;
	if (sk->state == BPF_TCP_SYN_SENT && sk->protocol == IPPROTO_TCP)
		return on_syn_sent(skb, sk);
	if (sk->state == BPF_TCP_LISTEN && sk->protocol == IPPROTO_TCP)
		return on_listen(skb, sk);
	if (!is_stray(skb, sk))
		return GATE_PASS;	/* nearly all packets end here */
	hk_count(HK_STAT_STRAY);
	return GATE_DROP;
}

char LICENSE[] SEC("license") = "GPL";
