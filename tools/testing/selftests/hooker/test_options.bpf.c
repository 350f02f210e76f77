// SPDX-License-Identifier: GPL-2.0
/*
 * Other programs that have their own use for sockets: one wants to write TCP options, and says
 * so before hooker's programs run. One takes all the space for them, wants to hear of states, and
 * answers what it was not asked, as the kernel's samples do. And one marks what arrives, as
 * firewalls do.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define TCPHDR_SYN	0x02
#define MARK		7
#define SPACE		20

/* Times that it was asked about a segment of a connection there, and not its first */
__u64 netns_cookie;
__u64 nr_asked;

SEC("sockops")
int want_options(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (!(ctx->skb_tcp_flags & TCPHDR_SYN) &&
		    bpf_get_netns_cookie(ctx) == netns_cookie)
			__sync_fetch_and_add(&nr_asked, 1);
		break;
	}
	return 1;
}

SEC("sockops")
int take_space(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (ctx->skb_tcp_flags & TCPHDR_SYN)
			bpf_reserve_hdr_opt(ctx, SPACE, 0);
		break;
	}
	ctx->reply = -1;
	return 1;
}

SEC("tc")
int mark_all(struct __sk_buff *skb)
{
	skb->mark = MARK;
	return -1;
}

char LICENSE[] SEC("license") = "GPL";
