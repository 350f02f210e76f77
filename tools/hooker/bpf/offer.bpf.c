// SPDX-License-Identifier: GPL-2.0
/*
 * SOCK_OPS: puts the offer into SYN and SYN-ACK, and steers a connection at the
 * moment it is established, if the daemon has taken it over.
 *
 *	client				server
 *	CONNECT_CB  policy, storage	LISTEN_CB  ask for header callbacks
 *	HDR_OPT_LEN reserve		HDR_OPT_LEN reserve, if the SYN had an offer
 *	WRITE_HDR   SYN option		WRITE_HDR   SYN-ACK option, hk_offers entry
 *	ACTIVE_ESTABLISHED		PASSIVE_ESTABLISHED
 *	  hk_verdicts says TAKEN? mark, SOCKHASH; tell the daemon either way
 *	STATE_CB  FIN: leave the SOCKHASH; reset: tell the daemon
 *
 * Both ends ask the rules (policy.h) whether there is an offer or an answer, and which
 * carriers may be in it.
 *
 * The daemon writes TAKEN only once the redirection socket exists. So the one
 * lookup in the ESTABLISHED callback decides, whichever packet completed the
 * handshake, and nothing can be taken and native at the same time.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by BPF_CORE_READ(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"
#include "budget.h"
#include "policy.h"

#define SOL_SOCKET	1
#define SO_MARK		36
#define IPPROTO_TCP	6
#define TCP_CONGESTION	13

#define TCPHDR_SYN	0x02
#define TCPHDR_ACK	0x10

#define TCPOPT_MSS	2
#define TCPOPT_WSCALE	3
#define TCPOPT_SACKOK	4
#define TCPOPT_TS	8

#define IFINDEX_LO	1

#define ENOMEM		12
#define EBUSY		16

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

/* On listeners, and what they accept: another program wants to write TCP options */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u32);
} hk_wanted SEC(".maps");

/* For offers that are answered; without a lock, as any */
struct hk_budget answers;

/*
 * 4-tuple of a socket; AF_INET6 sockets hold IPv4 peers as mapped addresses already.
 * What is global here the verifier goes through once, not for each of its callers, and
 * what follows only once for both families. It can't know that pointers are not NULL.
 */
__noinline int hk_key_of(struct bpf_sock_ops *ctx, struct hk_flow_key *key)
{
	if (!key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	if (ctx->family == AF_INET) {
		key->laddr[2] = bpf_htonl(0xffff);
		key->raddr[2] = bpf_htonl(0xffff);
		key->laddr[3] = PIN(ctx->local_ip4);
		key->raddr[3] = PIN(ctx->remote_ip4);
	} else {
		key->laddr[0] = PIN(ctx->local_ip6[0]);
		key->laddr[1] = PIN(ctx->local_ip6[1]);
		key->laddr[2] = PIN(ctx->local_ip6[2]);
		key->laddr[3] = PIN(ctx->local_ip6[3]);
		key->raddr[0] = PIN(ctx->remote_ip6[0]);
		key->raddr[1] = PIN(ctx->remote_ip6[1]);
		key->raddr[2] = PIN(ctx->remote_ip6[2]);
		key->raddr[3] = PIN(ctx->remote_ip6[3]);
	}
	/* local_port is in host order, remote_port a big-endian 32-bit value */
	key->lport = bpf_htons(ctx->local_port);
	key->rport = bpf_htons(bpf_ntohl(ctx->remote_port));
	return 0;
}

static __always_inline bool is_hookable(struct bpf_sock_ops *ctx)
{
	return (ctx->family == AF_INET || ctx->family == AF_INET6) &&
	       bpf_get_netns_cookie(ctx) == hk_config.netns_cookie;
}

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
	struct sock *listener;

	if (chooses_its_way(req))
		return false;
	listener = BPF_CORE_READ(req, req.req.__req_common.skc_listener);
	if (listener)
		q.cgroup = BPF_CORE_READ(listener, sk_cgrp_data.cgroup);
	__builtin_memcpy(q.from, key->raddr, sizeof(q.from));
	__builtin_memcpy(q.to, key->laddr, sizeof(q.to));
	return hk_is_ruled_in(&q, from_matches(ctx->local_port), action);
}

/* In the kernel's struct since 6.7, if it was built with TCP_AO */
struct tcp_sock___ao {
	void *ao_info;
} __attribute__((preserve_access_index));

/* Their owner wants signed segments, and those we forge can't be */
static __always_inline bool has_keys(struct tcp_sock *tp)
{
	struct tcp_sock___ao *ao = (void *)tp;
	void *info = NULL;

	if (bpf_core_field_exists(tp->md5sig_info))
		info = BPF_CORE_READ(tp, md5sig_info);
	if (!info && bpf_core_field_exists(ao->ao_info))
		bpf_core_read(&info, sizeof(info), &ao->ao_info);
	return info;
}

/*
 * Sockets that have a will of their own about routing (mark, device), data in
 * the SYN (Fast Open), another option user (MPTCP, TCP-MD5 and TCP-AO), or a peer
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
	if (!tp || BPF_CORE_READ(tp, fastopen_req) || BPF_CORE_READ_BITFIELD(tp, is_mptcp) ||
	    has_keys(tp))
		return false;
	ifindex = BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_dst_cache, dev, ifindex);
	return ifindex != IFINDEX_LO;
}

/* One load of ctx->sk: the verifier does not carry a NULL check over to the next */
static __always_inline struct hk_sk *storage(struct bpf_sock_ops *ctx, __u64 flags)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&hk_sks, sk, NULL, flags) : NULL;
}

/* Link-local addresses mean nothing without their device, which a key has no room for */
static __always_inline bool is_link_local(const struct hk_flow_key *key)
{
	return (key->raddr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Callbacks are a property of the socket: other programs may want the same ones */
static __always_inline void ask_callbacks(struct bpf_sock_ops *ctx, struct hk_sk *st, __u32 flags)
{
	__u32 on = ctx->bpf_sock_ops_cb_flags;

	st->cb_flags |= flags & ~on;
	bpf_sock_ops_cb_flags_set(ctx, on | flags);
}

static __always_inline void end_callbacks(struct bpf_sock_ops *ctx, struct hk_sk *st, __u32 flags)
{
	flags &= st->cb_flags;
	st->cb_flags &= ~flags;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~flags);
}

/* The socket may be connected again: nothing of the connection that it had holds any more */
static __always_inline void forget(struct bpf_sock_ops *ctx, struct hk_sk *st)
{
	st->role = HK_ROLE_NONE;
	st->taken = 0;
	end_callbacks(ctx, st, ~0);
}

static __always_inline bool is_deaf(const struct hk_flow_key *key)
{
	const struct hk_local_key *host = (const void *)key->raddr;
	struct hk_deaf *deaf = bpf_map_lookup_elem(&hk_deafs, host);

	return deaf && deaf->times >= DEAF_TIMES && bpf_ktime_get_ns() - deaf->ns < DEAF_NS;
}

/* Established: was it because the offer was left out of the SYN? */
static __always_inline void note_hearing(struct bpf_sock_ops *ctx, const struct hk_flow_key *key)
{
	const struct hk_local_key *host = (const void *)key->raddr;
	struct hk_deaf now = { .ns = bpf_ktime_get_ns(), .times = 1 }, *before;
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	before = bpf_map_lookup_elem(&hk_deafs, host);
	if (!tp || BPF_CORE_READ(tp, total_retrans) < OFFER_COPIES) {
		if (before)
			bpf_map_delete_elem(&hk_deafs, host);
		return;
	}
	hk_count(HK_STAT_OFFERS_SWALLOWED);
	if (before && now.ns - before->ns < DEAF_NS)
		now.times = before->times + 1;
	bpf_map_update_elem(&hk_deafs, host, &now, BPF_ANY);
}

static __always_inline int on_connect(struct bpf_sock_ops *ctx)
{
	struct hk_action action = {};
	struct hk_flow_key key = {};
	struct hk_sk *st;

	if (!is_hookable(ctx))
		return 1;
	st = storage(ctx, 0);
	if (st)
		forget(ctx, st);
	if (!socket_is_plain(ctx))
		return 1;
	hk_key_of(ctx, &key);
	if (is_link_local(&key) || is_deaf(&key) || !offers_to(ctx, &key, &action))
		return 1;
	if (!relay_takes_new()) {
		hk_count(HK_STAT_OFFERS_STALE);
		return 1;
	}
	st = storage(ctx, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		return 1;
	st->role = HK_ROLE_ACTIVE;
	st->token = bpf_get_prandom_u32();
	st->offered_ns = bpf_ktime_get_ns();
	st->held_ns = 0;
	st->copied_ns = 0;
	st->action = action;
	ask_callbacks(ctx, st, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	return 1;
}

/*
 * Children inherit callbacks from their listener, and no storage, unless the map says so: this
 * one tells those of a listener whose callbacks another program wants.
 */
static __always_inline void note_others(struct bpf_sock_ops *ctx, const struct hk_sk *st)
{
	__u32 theirs = ctx->bpf_sock_ops_cb_flags & ~st->cb_flags;
	struct bpf_sock *sk = ctx->sk;

	if (sk && theirs & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
		bpf_sk_storage_get(&hk_wanted, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

/* What the listener's callback was for is over */
static __always_inline void end_inherited(struct bpf_sock_ops *ctx)
{
	__u32 on = ctx->bpf_sock_ops_cb_flags;
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !(on & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG) ||
	    bpf_sk_storage_get(&hk_wanted, sk, NULL, 0))
		return;
	bpf_sock_ops_cb_flags_set(ctx, on & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

static __always_inline bool is_mptcp(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return !tp || BPF_CORE_READ_BITFIELD(tp, is_mptcp);
}

/* All listeners: rules may change while they listen, so each SYN is judged by itself */
static __always_inline int on_listen(struct bpf_sock_ops *ctx)
{
	struct hk_sk *st;

	if (!is_hookable(ctx) || is_mptcp(ctx))
		return 1;
	st = storage(ctx, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		return 1;
	forget(ctx, st);
	note_others(ctx, st);
	st->role = HK_ROLE_LISTENER;
	ask_callbacks(ctx, st, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	return 1;
}

/* The client's option in the SYN that a SYN-ACK answers */
static __always_inline bool syn_has_offer(struct bpf_sock_ops *ctx, struct hk_option *opt)
{
	__builtin_memset(opt, 0, sizeof(*opt));
	opt->kind = HK_OPT_KIND;
	opt->len = 4;
	opt->exid = bpf_htons(HK_OPT_EXID);
	return bpf_load_hdr_opt(ctx, opt, sizeof(*opt), BPF_LOAD_HDR_OPT_TCP_SYN) == HK_OPT_LEN &&
	       opt->ver_flags >> 4 == HK_OPT_VERSION && (opt->protos & open_protos());
}

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/*
 * The server's token: a keyed hash of the addresses. Not a MAC: an OPEN must also
 * arrive in an association with the instance that made the offer, from its address.
 */
static __always_inline __u32 token_of(const struct hk_flow_key *key)
{
	__u64 h = mix(hk_config.secret, (__u64)key->laddr[0] << 32 | key->laddr[1]);

	h = mix(h, (__u64)key->laddr[2] << 32 | key->laddr[3]);
	h = mix(h, (__u64)key->raddr[0] << 32 | key->raddr[1]);
	h = mix(h, (__u64)key->raddr[2] << 32 | key->raddr[3]);
	return mix(h, (__u32)key->lport << 16 | key->rport);
}

/*
 * A SYN-ACK that is sent again has no SYN with it (tcp_rtx_synack()), unless the
 * listener saves them. What its first copy answered stands in hk_offers.
 */
static __always_inline bool is_repeated(struct bpf_sock_ops *ctx, struct hk_option *offered)
{
	return BPF_CORE_READ(request_of(ctx), req.req.num_retrans) || !syn_has_offer(ctx, offered);
}

static __always_inline struct hk_offer *find_offer(struct bpf_sock_ops *ctx, __u32 *token)
{
	struct hk_offer *offer;
	struct hk_flow_key key = {};

	hk_key_of(ctx, &key);
	*token = token_of(&key);
	offer = bpf_map_lookup_elem(&hk_offers, token);
	return offer && bpf_ktime_get_ns() - offer->ns < ANSWER_NS ? offer : NULL;
}

static __always_inline bool will_answer(struct bpf_sock_ops *ctx)
{
	struct hk_action action = {};
	struct hk_flow_key key = {};
	struct hk_option peer;
	__u32 token;

	if (is_repeated(ctx, &peer))
		return find_offer(ctx, &token);
	hk_key_of(ctx, &key);
	return answers_to(ctx, &key, &action) && (action.protos & peer.protos);
}

static __always_inline bool is_synack(struct bpf_sock_ops *ctx)
{
	return (ctx->skb_tcp_flags & (TCPHDR_SYN | TCPHDR_ACK)) == (TCPHDR_SYN | TCPHDR_ACK);
}

static __always_inline int reserve(struct bpf_sock_ops *ctx)
{
	if (bpf_reserve_hdr_opt(ctx, HK_OPT_LEN, 0))
		hk_count(HK_STAT_OFFERS_NO_ROOM);
	return 1;
}

/* Reserving space is asking to write: without, the segment leaves as it would without us */
static __always_inline int reserve_in_syn(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;
	struct hk_sk *st;

	if (!sk)
		return 1;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	if (!st || st->role != HK_ROLE_ACTIVE)
		return 1;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || BPF_CORE_READ(tp, inet_conn.icsk_retransmits) >= OFFER_COPIES)
		return 1;
	return reserve(ctx);
}

static __always_inline int reserve_in_synack(struct bpf_sock_ops *ctx)
{
	/* with a SYN cookie there is no place to remember the offer */
	if (ctx->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE || !is_hookable(ctx))
		return 1;
	if (!will_answer(ctx))
		return 1;
	if (!relay_takes_new()) {
		hk_count(HK_STAT_OFFERS_STALE);
		return 1;
	}
	return reserve(ctx);
}

static __always_inline int on_hdr_opt_len(struct bpf_sock_ops *ctx)
{
	if (!(ctx->skb_tcp_flags & TCPHDR_SYN))
		return 1;
	if (!is_synack(ctx))
		return reserve_in_syn(ctx);
	/* a full socket that answers a SYN: both have called connect() */
	return ctx->is_fullsock ? 1 : reserve_in_synack(ctx);
}

/*
 * Byte by byte: with the volatile cast away for memcpy(), the compiler may put in
 * the zeros that it sees as hk_config's initialiser.
 */
static __always_inline void option_init(struct hk_option *opt, __u8 protos, __u32 token)
{
	int i;

	opt->kind = HK_OPT_KIND;
	opt->len = HK_OPT_LEN;
	opt->exid = bpf_htons(HK_OPT_EXID);
	opt->ver_flags = HK_OPT_VERSION << 4;
	opt->protos = protos;
	opt->port = hk_config.port;
	for (i = 0; i < 8; i++)
		opt->instance[i] = hk_config.instance[i];
	__builtin_memcpy(opt->token, &token, sizeof(opt->token));
}

static __always_inline int write_syn(struct bpf_sock_ops *ctx)
{
	struct hk_option opt = {};
	struct hk_sk *st;

	st = storage(ctx, 0);
	if (!st || st->role != HK_ROLE_ACTIVE)
		return 1;
	option_init(&opt, st->action.protos & open_protos(), st->token);
	if (!bpf_store_hdr_opt(ctx, &opt, sizeof(opt), 0))
		hk_count(HK_STAT_OFFERS_SENT);
	return 1;
}

/* Options of the SYN (BPF_LOAD_HDR_OPT_TCP_SYN) or of the SYN-ACK being written (0) */
static __always_inline __u8 load_wscale(struct bpf_sock_ops *ctx, __u64 flags)
{
	__u8 opt[4] = { TCPOPT_WSCALE };

	return bpf_load_hdr_opt(ctx, opt, sizeof(opt), flags) == 3 ? opt[2] : HK_NO_WSCALE;
}

static __always_inline bool load_tsval(struct bpf_sock_ops *ctx, __u64 flags, __u32 *tsval)
{
	__u8 opt[12] = { TCPOPT_TS };

	if (bpf_load_hdr_opt(ctx, opt, sizeof(opt), flags) != 10)
		return false;
	*tsval = (__u32)opt[2] << 24 | (__u32)opt[3] << 16 | (__u32)opt[4] << 8 | opt[5];
	return true;
}

static __always_inline __u16 load_mss(struct bpf_sock_ops *ctx)
{
	__u8 opt[4] = { TCPOPT_MSS };

	return bpf_load_hdr_opt(ctx, opt, sizeof(opt), 0) == 4 ? (__u16)opt[2] << 8 | opt[3] : 0;
}

static __always_inline bool load_sack(struct bpf_sock_ops *ctx)
{
	__u8 opt[4] = { TCPOPT_SACKOK };

	return bpf_load_hdr_opt(ctx, opt, sizeof(opt), 0) == 2;
}

__noinline int hk_fill_offer(struct bpf_sock_ops *ctx, struct hk_offer *offer)
{
	void *end = ctx->skb_data_end;
	struct tcphdr *th = ctx->skb_data;

	if (!offer || (void *)(th + 1) > end)
		return false;
	offer->seq = bpf_ntohl(th->seq);
	offer->ack = bpf_ntohl(th->ack_seq);
	offer->window = bpf_ntohs(th->window);
	offer->ns = bpf_ktime_get_ns();
	offer->mss = load_mss(ctx);
	offer->sack = load_sack(ctx);
	offer->snd_wscale = load_wscale(ctx, 0);
	offer->rcv_wscale = load_wscale(ctx, BPF_LOAD_HDR_OPT_TCP_SYN);
	offer->timestamps = load_tsval(ctx, 0, &offer->synack_tsval) &&
			    load_tsval(ctx, BPF_LOAD_HDR_OPT_TCP_SYN, &offer->syn_tsval);
	return true;
}

static __always_inline int answer(struct bpf_sock_ops *ctx, const struct hk_offer *offer,
				  __u32 token)
{
	struct hk_option opt = {};

	option_init(&opt, offer->peer.protos & offer->action.protos & open_protos(), token);
	opt.ver_flags |= (offer->action.class & HK_CLASS_MASK) << HK_OPT_CLASS_SHIFT;
	if (!bpf_store_hdr_opt(ctx, &opt, sizeof(opt), 0))
		hk_count(HK_STAT_OFFERS_ANSWERED);
	return 1;
}

/* The same answer once more, if it is the same connection that was offered then */
static __always_inline int answer_again(struct bpf_sock_ops *ctx)
{
	void *end = ctx->skb_data_end;
	struct tcphdr *th = ctx->skb_data;
	struct hk_offer *offer;
	__u32 token;

	if ((void *)(th + 1) > end)
		return 1;
	offer = find_offer(ctx, &token);
	if (!offer || offer->seq != bpf_ntohl(th->seq))
		return 1;
	return answer(ctx, offer, token);
}

static __always_inline int write_synack(struct bpf_sock_ops *ctx)
{
	struct hk_offer offer;
	__u32 token;

	if (!is_hookable(ctx))
		return 1;
	__builtin_memset(&offer, 0, sizeof(offer));
	if (is_repeated(ctx, &offer.peer))
		return answer_again(ctx);
	hk_key_of(ctx, &offer.key);
	if (!answers_to(ctx, &offer.key, &offer.action) ||
	    !(offer.action.protos & offer.peer.protos) || !hk_fill_offer(ctx, &offer))
		return 1;
	if (!hk_spend(&answers, NSEC_PER_SEC / HK_OFFER_RATE, HK_OFFER_BURST)) {
		hk_count(HK_STAT_OFFERS_OVER_RATE);
		return 1;
	}
	token = token_of(&offer.key);
	if (bpf_map_update_elem(&hk_offers, &token, &offer, BPF_ANY))
		return 1;		/* fails open: no answer, plain TCP */
	return answer(ctx, &offer, token);
}

static __always_inline int on_write_hdr_opt(struct bpf_sock_ops *ctx)
{
	if (!(ctx->skb_tcp_flags & TCPHDR_SYN))
		return 1;
	return is_synack(ctx) ? write_synack(ctx) : write_syn(ctx);
}

/* 1: no application's socket may get into the SOCKHASH */
const volatile __u32 hk_lane_shut = 0;

/* Flags that an application's file must have to get in: O_NONBLOCK, or 0 for any */
const volatile __u32 hk_lane_flags = 0;

/*
 * The mark routes the application's packets to its redirection socket. A pacing
 * congestion control (BBR is some hosts' default) would throttle a leg that has
 * no bottleneck, so this leg runs Reno.
 */
static __always_inline long steer(struct bpf_sock_ops *ctx)
{
	__u32 mark = hk_config.app_mark;
	struct bpf_sock *sk = ctx->sk;
	char reno[8] = "reno";
	long err;

	/* set by its owner while the handshake was under way */
	if (!sk || sk->mark || sk->bound_dev_if)
		return -EBUSY;
	err = bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (!err)
		bpf_setsockopt(ctx, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno));
	return err;
}

/* tcp_bpf_sendmsg() knows no MSG_ZEROCOPY: whoever asked for it would wait for ever */
static __always_inline bool wants_zerocopy(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && (BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_flags) &
		      1UL << SOCK_ZEROCOPY);
}

/*
 * tcp_msg_wait_data() waits once only: a blocking recv() on a socket in a SOCKHASH
 * answers EAGAIN when it is woken by a reset, or by room to write. Who doesn't block
 * knows EAGAIN. An accepted socket has no file yet, so it isn't known to be one.
 */
static __always_inline bool has_lane_flags(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	__u32 flags;

	if (!hk_lane_flags)
		return true;
	flags = tp ? BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_socket, file, f_flags) : 0;
	return (flags & hk_lane_flags) == hk_lane_flags;
}

/* A steered socket that is not in the SOCKHASH works as well: all goes by the native lane */
static __always_inline bool open_lane(struct bpf_sock_ops *ctx, struct hk_flow_key *key)
{
	return !hk_lane_shut && has_lane_flags(ctx) && !wants_zerocopy(ctx) &&
	       !bpf_sock_hash_update(ctx, &hk_apps, key, BPF_ANY);
}

static __always_inline void tell_relay(const struct hk_flow_key *key, bool taken, long err)
{
	struct hk_established_event *ev;

	ev = bpf_ringbuf_reserve(&hk_events, sizeof(*ev), 0);
	if (!ev)
		return;		/* the daemon finds out by its own timer */
	ev->type = HK_EVENT_ESTABLISHED;
	ev->taken = taken;
	ev->err = err;
	ev->key = *key;
	bpf_ringbuf_submit(ev, 0);
}

/* Not steered although TAKEN: the daemon is told that the connection isn't its own */
static __always_inline int take(struct bpf_sock_ops *ctx, struct hk_flow_key *key,
				struct hk_sk *st, __u32 slot, enum hk_stat stat)
{
	long err = steer(ctx);

	if (!err) {
		st->key = *key;
		st->slot = slot;
		st->taken = open_lane(ctx, key);
		ask_callbacks(ctx, st, BPF_SOCK_OPS_STATE_CB_FLAG);
	}
	hk_count(err ? HK_STAT_TAKE_FAILED : stat);
	tell_relay(key, !err, err);
	return 1;
}

static __always_inline int on_active(struct bpf_sock_ops *ctx)
{
	struct hk_verdict *v;
	struct hk_flow_key key = {};
	struct hk_sk *st;

	st = storage(ctx, 0);
	if (!st || st->role != HK_ROLE_ACTIVE)
		return 1;
	end_callbacks(ctx, st, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	hk_key_of(ctx, &key);
	note_hearing(ctx, &key);
	v = bpf_map_lookup_elem(&hk_verdicts, &key);
	if (v && v->state == HK_VERDICT_TAKEN)
		return take(ctx, &key, st, v->slot, HK_STAT_TAKEN_ACTIVE);
	if (st->held_ns) {
		hk_count(HK_STAT_NATIVE);
		tell_relay(&key, false, 0);
	}
	return 1;
}

static __always_inline int on_passive(struct bpf_sock_ops *ctx)
{
	struct hk_verdict *v;
	struct hk_flow_key key = {};
	struct hk_sk *st;

	if (!is_hookable(ctx))
		return 1;
	end_inherited(ctx);
	hk_key_of(ctx, &key);
	v = bpf_map_lookup_elem(&hk_verdicts, &key);
	if (!v || v->state != HK_VERDICT_TAKEN)
		return 1;
	st = storage(ctx, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		hk_count(HK_STAT_TAKE_FAILED);
		tell_relay(&key, false, -ENOMEM);	/* the daemon resets it */
		return 1;
	}
	st->role = HK_ROLE_PASSIVE;
	return take(ctx, &key, st, v->slot, HK_STAT_TAKEN_PASSIVE);
}

static __always_inline void tell_aborted(const struct hk_flow_key *key)
{
	struct hk_aborted_event *ev;

	ev = bpf_ringbuf_reserve(&hk_events, sizeof(*ev), 0);
	if (!ev)
		return;		/* the RST itself is likely to get through */
	ev->type = HK_EVENT_ABORTED;
	ev->key = *key;
	bpf_ringbuf_submit(ev, 0);
}

/*
 * The end of a socket that was steered; only those have the callback.
 *
 * After shutdown() there is nothing left for the fast lane, so it leaves the SOCKHASH
 * and gets the kernel's own recvmsg() back. That of SOCKHASH members returns EAGAIN
 * from a blocking call once anything but data wakes it, as the ACK of the FIN does.
 *
 * Its RST may not end the redirection socket: when that one has dropped segments for
 * want of memory, RST is out of sequence there, and the reply to the challenge ACK
 * leaves this host, since no socket is left to mark it. So the daemon is told.
 */
static __always_inline int on_state(struct bpf_sock_ops *ctx)
{
	__u32 from = ctx->args[0], to = ctx->args[1];
	struct hk_sk *st = storage(ctx, 0);

	if (!st || st->role == HK_ROLE_NONE)
		return 1;
	if (to == BPF_TCP_FIN_WAIT1 && st->taken)
		bpf_map_delete_elem(&hk_apps, &st->key);
	if (to != BPF_TCP_CLOSE)
		return 1;
	if (from == BPF_TCP_ESTABLISHED || from == BPF_TCP_CLOSE_WAIT || from == BPF_TCP_FIN_WAIT1)
		tell_aborted(&st->key);
	forget(ctx, st);
	return 1;
}

SEC("sockops")
int hk_offer(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		return on_connect(ctx);
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		return on_listen(ctx);
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		return on_hdr_opt_len(ctx);
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		return on_write_hdr_opt(ctx);
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		return on_active(ctx);
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		return on_passive(ctx);
	case BPF_SOCK_OPS_STATE_CB:
		return on_state(ctx);
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
