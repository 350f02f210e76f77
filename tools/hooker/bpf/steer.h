/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The moment in which a connection is established, and what comes after it: if the daemon
 * has taken it over, the application's socket is steered to the redirection socket, and
 * the daemon hears of its end.
 */
#ifndef HK_BPF_STEER_H
#define HK_BPF_STEER_H

#include "eligible.h"
#include "sockops.h"

#define SOL_SOCKET	1
#define SO_MARK		36
#define IPPROTO_TCP	6
#define TCP_CONGESTION	13

#define ENOMEM		12
#define EBUSY		16

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

	st->role = err ? HK_ROLE_NONE : HK_ROLE_STEERED;
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
	note_hearing(ctx, &key, st);
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
 * The end of a socket that was steered. Others may have the callback of another program.
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
	/* args[0] is the old state as well, until another program sets the reply in its place */
	__u32 from = ctx->state, to = ctx->args[1];
	struct hk_sk *st = storage(ctx, 0);

	if (!st || st->role != HK_ROLE_STEERED)
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

#endif /* HK_BPF_STEER_H */
