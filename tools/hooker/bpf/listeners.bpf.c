// SPDX-License-Identifier: GPL-2.0
/*
 * Iterator over TCP sockets, run once at start: gives listeners that are older
 * than the daemon what TCP_LISTEN_CB gives the others.
 *
 * TCP_BPF_SOCK_OPS_CB_FLAGS for bpf_setsockopt() came with Linux 6.12; before
 * that the call fails, the listener is counted and stays as it is.
 */
#include "maps.h"
#include "tcp_sock.h"

#define SOL_TCP				6
#define TCP_BPF_SOCK_OPS_CB_FLAGS_	1008	/* not in older kernels' BTF */

/* Listeners found: served, and not */
__u64 hk_listeners_served = 0;
__u64 hk_listeners_left = 0;

static __always_inline bool is_ours(struct tcp_sock *tp)
{
	struct sock_common *skc = &tp->inet_conn.icsk_inet.sk.__sk_common;

	return skc->skc_state == BPF_TCP_LISTEN &&
	       skc->skc_net.net->net_cookie == hk_config.netns_cookie && !is_subflow(tp);
}

static __always_inline bool serve(struct tcp_sock *tp)
{
	int flags = tp->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	struct hk_sk *st;

	st = bpf_sk_storage_get(&hk_sks, (struct sock *)tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		return false;
	if (bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS_, &flags, sizeof(flags)))
		return false;
	st->role = HK_ROLE_LISTENER;
	return true;
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
	if (serve(tp))
		hk_listeners_served++;
	else
		hk_listeners_left++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
