// SPDX-License-Identifier: GPL-2.0
/*
 * Iterator over TCP sockets. At start it gives listeners that are older than the daemon what
 * TCP_LISTEN_CB gives the others; at the end it takes it from all of them.
 *
 * TCP_BPF_SOCK_OPS_CB_FLAGS for bpf_setsockopt() came with Linux 6.12; before
 * that the call fails, the listener is counted and stays as it is.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by RELOCATED(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"
#include "tcp_sock.h"

#define SOL_TCP				6
#define TCP_BPF_SOCK_OPS_CB_FLAGS_	1008	/* not in older kernels' BTF */

/* Set by the daemon before it lets go of its programs */
__u32 hk_listeners_end = 0;

/* Listeners found: served, and not */
__u64 hk_listeners_served = 0;
__u64 hk_listeners_left = 0;

static __always_inline bool is_ours(struct tcp_sock *tp)
{
	struct net *net = RELOCATED(tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net);

	return RELOCATED(tp->inet_conn.icsk_inet.sk.__sk_common.skc_state) == BPF_TCP_LISTEN &&
	       RELOCATED(net->net_cookie) == hk_config.netns_cookie && !is_subflow(tp);
}

static __always_inline long set_flags(struct tcp_sock *tp, int flags)
{
	return bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS_, &flags, sizeof(flags));
}

/*
 * As hk_offer does it in TCP_LISTEN_CB. Whose the callback is that is there already can't be
 * seen: it may have been left by a daemon that was killed. Then calls for nothing go on.
 */
static __always_inline bool serve(struct tcp_sock *tp)
{
	__u32 on = RELOCATED(tp->bpf_sock_ops_cb_flags);
	__u32 flags = on | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	struct sock *sk = (struct sock *)tp;
	struct hk_sk *st;

	st = bpf_sk_storage_get(&hk_sks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st || (flags == on &&
		    !bpf_sk_storage_get(&hk_wanted, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE)))
		return false;
	if (set_flags(tp, flags))
		return false;
	st->role = HK_ROLE_LISTENER;
	st->cb_flags = flags & ~on;
	return true;
}

static __always_inline void leave(struct tcp_sock *tp)
{
	struct hk_sk *st = bpf_sk_storage_get(&hk_sks, (struct sock *)tp, NULL, 0);

	if (st && st->role == HK_ROLE_LISTENER)
		set_flags(tp, RELOCATED(tp->bpf_sock_ops_cb_flags) & ~st->cb_flags);
}

SEC("iter/tcp")
int hk_listeners(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !is_ours(tp))
		return 0;
	if (hk_listeners_end)
		leave(tp);
	else if (serve(tp))
		hk_listeners_served++;
	else
		hk_listeners_left++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
