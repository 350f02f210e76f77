// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup/connect4 and connect6: a steered socket that is used for another connection.
 *
 * connect(AF_UNSPEC) resets a connection and leaves the socket to be connected again. The
 * mark of the old connection would route the new SYN to lo, where nobody is. It can't be taken
 * off any earlier: the reset has to go the way of the other segments. Nor later, for
 * TCP_CONNECT_CB comes when the route has been looked up.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by BPF_CORE_READ(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"

#define SOL_SOCKET	1
#define SO_MARK		36

static __always_inline int leave(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 none = 0;

	if (!sk || sk->mark != hk_config.app_mark || sk->protocol != IPPROTO_TCP)
		return 1;
	if (bpf_sk_storage_get(&hk_sks, sk, NULL, 0))	/* not a mark of its owner's */
		bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &none, sizeof(none));
	return 1;
}

SEC("cgroup/connect4")
int hk_connect4(struct bpf_sock_addr *ctx)
{
	return leave(ctx);
}

SEC("cgroup/connect6")
int hk_connect6(struct bpf_sock_addr *ctx)
{
	return leave(ctx);
}

char LICENSE[] SEC("license") = "GPL";
