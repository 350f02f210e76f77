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
#include "eligible.h"
#include "sockops.h"
#include "steer.h"

#define TCPHDR_SYN	0x02
#define TCPHDR_ACK	0x10

#define TCPOPT_MSS	2
#define TCPOPT_WSCALE	3
#define TCPOPT_SACKOK	4
#define TCPOPT_TS	8

/* For offers that are answered; without a lock, as any */
struct hk_budget answers;

/* The daemon may want to ask the peer whether it is still there, while the SYN does the same */
static __always_inline void tell_connecting(const struct hk_flow_key *key,
					    const struct hk_action *action)
{
	struct hk_connecting_event *ev;
	struct hk_live *live;
	__u32 zero = 0;

	live = bpf_map_lookup_elem(&hk_live, &zero);
	if (!live || !live->nr_peers)
		return;
	ev = bpf_ringbuf_reserve(&hk_events, sizeof(*ev), 0);
	if (!ev)
		return;		/* it asks when the SYN-ACK is there */
	ev->type = HK_EVENT_CONNECTING;
	ev->key = *key;
	ev->action = *action;
	bpf_ringbuf_submit(ev, 0);
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
	if (is_link_local(&key) || !hk_is_local(key.laddr) || is_deaf(&key) ||
	    !offers_to(ctx, &key, &action))
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
	tell_connecting(&key, &action);
	return 1;
}

/* That of a connection which the socket had before; connect() takes it off in connect.bpf.c */
static __always_inline void unmark(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 none = 0;

	if (sk && sk->mark == hk_config.app_mark)
		bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &none, sizeof(none));
}

/* All listeners: rules may change while they listen, so each SYN is judged by itself */
static __always_inline int on_listen(struct bpf_sock_ops *ctx)
{
	struct hk_sk *st;

	if (!is_hookable(ctx) || is_mptcp(ctx))
		return 1;
	st = storage(ctx, 0);
	if (st)
		unmark(ctx);
	else
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
	if (!offer || ns_since(bpf_ktime_get_ns(), offer->ns) >= ANSWER_NS)
		return NULL;
	return is_same_key(&offer->key, &key) ? offer : NULL;
}

/*
 * 32 bits may name two connections. OPEN has nothing else, so the second one's offer must not take
 * the place of one that may yet be accepted: it would get the bytes of the first.
 */
static __always_inline bool is_token_taken(__u32 token, const struct hk_flow_key *key)
{
	struct hk_offer *other = bpf_map_lookup_elem(&hk_offers, &token);

	return other && ns_since(bpf_ktime_get_ns(), other->ns) < HK_OFFER_MAX_NS &&
	       !is_same_key(&other->key, key);
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

/*
 * Space that another program has reserved asks all of them to write. So who writes can't rely on
 * what was decided when space was reserved: the next three functions are asked each time.
 */
static __always_inline struct hk_sk *offering(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;
	struct hk_sk *st;

	if (!sk)
		return NULL;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	if (!st || st->role != HK_ROLE_ACTIVE)
		return NULL;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || BPF_CORE_READ(tp, inet_conn.icsk_retransmits) >= OFFER_COPIES)
		return NULL;
	return st;
}

/* With a SYN cookie there is no place to remember the offer */
static __always_inline bool is_cookie(struct bpf_sock_ops *ctx)
{
	return BPF_CORE_READ_BITFIELD_PROBED(&request_of(ctx)->req.req, syncookie);
}

/* A full socket that answers a SYN: both have called connect() */
static __always_inline bool may_answer(struct bpf_sock_ops *ctx)
{
	return !ctx->is_fullsock && is_hookable(ctx) && !is_cookie(ctx);
}

static __always_inline int reserve_in_syn(struct bpf_sock_ops *ctx)
{
	return offering(ctx) ? reserve(ctx) : 1;
}

static __always_inline int reserve_in_synack(struct bpf_sock_ops *ctx)
{
	if (!may_answer(ctx) || !will_answer(ctx))
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
	return is_synack(ctx) ? reserve_in_synack(ctx) : reserve_in_syn(ctx);
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
	struct hk_sk *st = offering(ctx);
	struct hk_option opt = {};

	if (!st)
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

	if (!may_answer(ctx) || !relay_takes_new())
		return 1;
	__builtin_memset(&offer, 0, sizeof(offer));
	if (is_repeated(ctx, &offer.peer))
		return answer_again(ctx);
	hk_key_of(ctx, &offer.key);
	if (!answers_to(ctx, &offer.key, &offer.action) ||
	    !(offer.action.protos & offer.peer.protos) || !hk_fill_offer(ctx, &offer))
		return 1;
	token = token_of(&offer.key);
	if (is_token_taken(token, &offer.key))
		return 1;
	if (!hk_spend(&answers, NSEC_PER_SEC / HK_OFFER_RATE, HK_OFFER_BURST)) {
		hk_count(HK_STAT_OFFERS_OVER_RATE);
		return 1;
	}
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
