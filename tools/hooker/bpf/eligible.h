/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which sockets may leave TCP: of this host's network namespace or not, what the rules
 * (policy.h) and the daemon's options say, what their owner has asked for that only TCP
 * can do, and whether offers get to the host at all. Nor may those of transparent proxies, whose
 * address is another host's: there is no way to it on lo, nor for datagrams to it.
 */
#ifndef HK_BPF_ELIGIBLE_H
#define HK_BPF_ELIGIBLE_H

#include "maps.h"
#include "budget.h"
#include "locals.h"
#include "policy.h"
#include "sockops.h"
#include "tcp_sock.h"

#define IFINDEX_LO	1

/*
 * A box on the way may swallow segments with an option that it doesn't know. So only the
 * first copies of a SYN or SYN-ACK carry it, and the third, after 3 s, is as TCP's own.
 * SYN-ACKs go by time: each SYN that comes again adds one to those of the timer.
 */
#define OFFER_COPIES	2
#define ANSWER_NS	(3 * NSEC_PER_SEC / 2)

/* If that happens to a host twice in a row, its next connections need not wait for it */
#define DEAF_TIMES	2
#define DEAF_NS		(60 * NSEC_PER_SEC)

/**
 * struct hk_deaf - a host that offers don't get to
 * @ns:    when that was last seen
 * @times: how often, without one that got there in between
 */
struct hk_deaf {
	__u64	ns;
	__u64	times;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct hk_local_key);
	__type(value, struct hk_deaf);
} hk_deafs SEC(".maps");

static __always_inline bool to_matches(const struct hk_flow_key *key)
{
	struct hk_to_key to = { .prefixlen = 16 + 128, .port = key->rport };

	if (hk_config.all_outgoing)
		return true;
	__builtin_memcpy(to.addr, key->raddr, sizeof(to.addr));
	if (bpf_map_lookup_elem(&hk_to, &to))
		return true;
	to.port = 0;
	return bpf_map_lookup_elem(&hk_to, &to);
}

static __always_inline bool from_matches(__u32 port)
{
	return hk_config.all_incoming || bpf_map_lookup_elem(&hk_from, &port);
}

/* What a rule says, or else the daemon's options; false: this connection stays plain TCP */
__noinline int hk_is_ruled_in(const struct hk_policy_query *q, int by_default,
			      struct hk_action *action)
{
	if (!q || !action)
		return false;
	__builtin_memset(action, 0, sizeof(*action));
	switch (hk_policy_find(q, action)) {
	case HK_POLICY_NO_MATCH:
		action->protos = open_protos();
		return by_default && action->protos;
	case HK_POLICY_MATCH:
		action->protos &= open_protos();
		if (action->protos && !(action->flags & HK_ACTION_NONE))
			return true;
		hk_count(HK_STAT_OFFERS_RULED_OUT);
		return false;
	default:
		return false;
	}
}

static __always_inline bool offers_to(struct bpf_sock_ops *ctx, const struct hk_flow_key *key,
				      struct hk_action *action)
{
	struct hk_policy_query q = { .port = key->rport, .out = true };
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	__builtin_memcpy(q.from, key->laddr, sizeof(q.from));
	__builtin_memcpy(q.to, key->raddr, sizeof(q.to));
	if (tp)
		q.cgroup = BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup);
	return hk_is_ruled_in(&q, to_matches(key), action);
}

/*
 * A SYN-ACK is written for a request socket, and ctx->sk is NULL then. The kernel's own
 * context has it.
 */
static __always_inline struct tcp_request_sock *request_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock_ops_kern *kern = (struct bpf_sock_ops_kern *)ctx;

	return (struct tcp_request_sock *)BPF_CORE_READ(kern, sk);
}

/*
 * What is accepted inherits mark and device, and could not be steered. They are not only
 * the listener's: tcp_fwmark_accept takes the SYN's mark, tcp_l3mdev_accept its VRF, and a
 * link-local client needs its device. With Fast Open it was accepted already.
 */
static __always_inline bool chooses_its_way(struct tcp_request_sock *req)
{
	return BPF_CORE_READ(req, req.ir_mark) || BPF_CORE_READ(req, tfo_listener) ||
	       BPF_CORE_READ(req, req.req.__req_common.skc_bound_dev_if);
}

static __always_inline bool answers_to(struct bpf_sock_ops *ctx, const struct hk_flow_key *key,
				       struct hk_action *action)
{
	struct hk_policy_query q = { .port = key->lport };
	struct tcp_request_sock *req = request_of(ctx);
	struct tcp_sock *listener;

	if (chooses_its_way(req) || !hk_is_local(key->laddr))
		return false;
	listener = (void *)BPF_CORE_READ(req, req.req.__req_common.skc_listener);
	if (listener && counts_hops(listener))
		return false;
	if (listener)
		q.cgroup = BPF_CORE_READ(listener, inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup);
	__builtin_memcpy(q.from, key->raddr, sizeof(q.from));
	__builtin_memcpy(q.to, key->laddr, sizeof(q.to));
	return hk_is_ruled_in(&q, from_matches(ctx->local_port), action);
}

/*
 * Sockets that have a will of their own about routing (mark, device), data in
 * the SYN (Fast Open), another option user (MPTCP, TCP-MD5 and TCP-AO), a minimum TTL, or a peer
 * on this very host.
 */
static __always_inline bool socket_is_plain(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;
	int ifindex;

	if (!sk || sk->mark || sk->bound_dev_if)
		return false;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || BPF_CORE_READ(tp, fastopen_req) || is_subflow(tp) || has_keys(tp) ||
	    counts_hops(tp))
		return false;
	ifindex = BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_dst_cache, dev, ifindex);
	return ifindex != IFINDEX_LO;
}

/* Link-local addresses mean nothing without their device, which a key has no room for */
static __always_inline bool is_link_local(const struct hk_flow_key *key)
{
	return (key->raddr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline bool is_mptcp(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return !tp || is_subflow(tp);
}

static __always_inline bool is_deaf(const struct hk_flow_key *key)
{
	const struct hk_local_key *host = (const void *)key->raddr;
	struct hk_deaf *deaf = bpf_map_lookup_elem(&hk_deafs, host);

	return deaf && deaf->times >= DEAF_TIMES &&
	       ns_since(bpf_ktime_get_ns(), deaf->ns) < DEAF_NS;
}

/* Established: was it because the offer was left out of the SYN? Not if that was answered */
static __always_inline void note_hearing(struct bpf_sock_ops *ctx, const struct hk_flow_key *key,
					 const struct hk_sk *st)
{
	const struct hk_local_key *host = (const void *)key->raddr;
	struct hk_deaf now = { .ns = bpf_ktime_get_ns(), .times = 1 }, *before;
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	before = bpf_map_lookup_elem(&hk_deafs, host);
	if (!tp || st->held_ns || BPF_CORE_READ(tp, total_retrans) < OFFER_COPIES) {
		if (before)
			bpf_map_delete_elem(&hk_deafs, host);
		return;
	}
	hk_count(HK_STAT_OFFERS_SWALLOWED);
	if (before && ns_since(now.ns, before->ns) < DEAF_NS)
		now.times = before->times + 1;
	bpf_map_update_elem(&hk_deafs, host, &now, BPF_ANY);
}

#endif /* HK_BPF_ELIGIBLE_H */
