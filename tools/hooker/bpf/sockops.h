/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a SOCK_OPS program has of a socket: the key of its connection, its storage, its
 * callbacks. All of that stays with a socket that is connected once more.
 */
#ifndef HK_BPF_SOCKOPS_H
#define HK_BPF_SOCKOPS_H

#include "maps.h"

/*
 * 4-tuple of a socket; AF_INET6 sockets hold IPv4 peers as mapped addresses already.
 * A global function, as some more below hk_offer: the verifier goes through it once, not
 * for each caller, and through what follows once for both families. It can't know that
 * pointers are not NULL.
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

/* Without a branch for each word, which the verifier would follow */
static __always_inline bool is_same_key(const struct hk_flow_key *a, const struct hk_flow_key *b)
{
	const __u32 *x = (const void *)a, *y = (const void *)b;
	__u32 differ = 0;
	unsigned int i;

#pragma unroll
	for (i = 0; i < sizeof(*a) / sizeof(*x); i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

static __always_inline bool is_hookable(struct bpf_sock_ops *ctx)
{
	return (ctx->family == AF_INET || ctx->family == AF_INET6) &&
	       bpf_get_netns_cookie(ctx) == hk_config.netns_cookie;
}

/* One load of ctx->sk: the verifier does not carry a NULL check over to the next */
static __always_inline struct hk_sk *storage(struct bpf_sock_ops *ctx, __u64 flags)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&hk_sks, sk, NULL, flags) : NULL;
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

#endif /* HK_BPF_SOCKOPS_H */
