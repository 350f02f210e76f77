// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup/setsockopt: options that would tear a steered socket from its redirection socket.
 *
 * Another mark, or a device, would lead the packets of a connection that the daemons carry
 * to the other host's kernel, which can't place them: the connection would hang. For such a
 * connection they have lost their meaning, so the call succeeds and changes nothing. A key
 * has not lost it, but nobody at the other end of the local leg could sign: that is refused.
 * So is SO_ZEROCOPY in the fast lane, where nobody would tell when a page is free again;
 * applications copy then, as they do with kernels that don't have it.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by BPF_CORE_READ(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"

#define SOL_SOCKET		1
#define SO_BINDTODEVICE		25
#define SO_MARK			36
#define SO_ZEROCOPY		60
#define SO_BINDTOIFINDEX	62
#define SOL_TCP			6
#define TCP_MD5SIG		14
#define TCP_MD5SIG_EXT		32
#define TCP_AO_ADD_KEY		38

#define PAGE_BYTES		4096

static __always_inline bool is_way(const struct bpf_sockopt *ctx)
{
	return ctx->level == SOL_SOCKET &&
	       (ctx->optname == SO_MARK || ctx->optname == SO_BINDTODEVICE ||
		ctx->optname == SO_BINDTOIFINDEX);
}

static __always_inline bool is_key(const struct bpf_sockopt *ctx)
{
	return ctx->level == SOL_TCP &&
	       (ctx->optname == TCP_MD5SIG || ctx->optname == TCP_MD5SIG_EXT ||
		ctx->optname == TCP_AO_ADD_KEY);
}

static __always_inline bool is_zerocopy(const struct bpf_sockopt *ctx)
{
	int *on = ctx->optval;

	return ctx->level == SOL_SOCKET && ctx->optname == SO_ZEROCOPY &&
	       (void *)(on + 1) <= ctx->optval_end && *on;
}

/* Its storage, if it is steered */
static __always_inline struct hk_sk *steered(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct hk_sk *st;

	if (!sk || sk->mark != hk_config.app_mark || sk->protocol != IPPROTO_TCP)
		return NULL;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	return st && st->role == HK_ROLE_STEERED ? st : NULL;
}

SEC("cgroup/setsockopt")
int hk_setsockopt(struct bpf_sockopt *ctx)
{
	struct hk_sk *st;

	/* a program sees the first page only; 0 hands the whole to the kernel */
	if (ctx->optlen > PAGE_BYTES)
		ctx->optlen = 0;
	if (!is_key(ctx) && !is_way(ctx) && !is_zerocopy(ctx))
		return 1;
	st = steered(ctx);
	if (!st)
		return 1;
	if (is_way(ctx))
		ctx->optlen = -1;		/* done, without the kernel */
	else if (is_key(ctx) || st->taken)
		return 0;			/* EPERM */
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
