// SPDX-License-Identifier: GPL-2.0
/*
 * SK_MSG: the fast lane from a hooked application to its redirection socket.
 *
 * Two lanes lead there. The fast one puts the message straight into the
 * redirection socket's psock queue; it has no back-pressure of its own, so it
 * takes only hk_lane.limit bytes at a time. The native one is TCP over lo, which
 * has. The bytes stay in order by two rules:
 *
 *	fast -> native is always safe: tcp_bpf_recvmsg() empties the psock queue
 *	before it looks at the TCP queue.
 *	native -> fast only when the reader has read all that was ever queued
 *	natively: hk_lane.native_seq equals the sender's write_seq.
 *
 * The kernel holds the socket's lock here, so a connection's messages come one at a
 * time. It lets go of it while a redirected one is being queued: then another thread's
 * message may pass by, as between any two threads that write to one socket.
 */
/* No relocations: only UAPI and packet formats; the kernel's own by RELOCATED(), see maps.h */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "maps.h"

static __always_inline bool native_is_drained(struct sk_msg_md *msg, const struct hk_lane *lane)
{
	struct bpf_sock *sk = msg->sk;
	struct tcp_sock *tp;

	if (!sk)
		return false;
	tp = bpf_skc_to_tcp_sock(sk);
	return tp && RELOCATED(tp->write_seq) == lane->native_seq;
}

static __always_inline bool may_go_fast(struct sk_msg_md *msg, const struct hk_lane *lane,
					__u32 size)
{
	if (lane->fast_sent - lane->fast_consumed + size > lane->limit)
		return false;
	return lane->fast || native_is_drained(msg, lane);
}

static __always_inline void set_lane(struct hk_lane *lane, __u32 fast)
{
	if (lane->fast == fast)
		return;
	lane->fast = fast;
	lane->switches++;
}

static __always_inline int go_native(struct hk_lane *lane, __u32 size)
{
	set_lane(lane, 0);
	lane->native_sent += size;
	hk_count(HK_STAT_NATIVE_CALLS);
	hk_count_n(HK_STAT_NATIVE_BYTES, size);
	return SK_PASS;
}

/*
 * A redirection socket that is gone makes the helper answer SK_DROP, which the
 * application would see as EACCES. Passing instead lets the native lane find the
 * reset that is there already.
 */
static __always_inline int go_fast(struct sk_msg_md *msg, struct hk_sk *st, struct hk_lane *lane,
				   __u32 size)
{
	if (bpf_msg_redirect_hash(msg, &hk_redirs, &st->key, BPF_F_INGRESS) != SK_PASS) {
		hk_count(HK_STAT_REDIRECT_FAILED);
		return go_native(lane, size);
	}
	set_lane(lane, 1);
	lane->fast_sent += size;
	hk_count(HK_STAT_FAST_CALLS);
	hk_count_n(HK_STAT_FAST_BYTES, size);
	return SK_PASS;
}

/*
 * Kernel TLS, switched on after the socket got into the SOCKHASH, runs this program
 * on plaintext (bpf_exec_tx_verdict()). A redirect would take it past encryption.
 */
static __always_inline bool has_ulp(struct bpf_sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return !tp || RELOCATED(tp->inet_conn.icsk_ulp_ops);
}

SEC("sk_msg")
int hk_lane_select(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	struct hk_lane *lane;
	__u32 size = PIN(msg->size);
	struct hk_sk *st;

	if (!sk || has_ulp(sk))
		return SK_PASS;
	st = bpf_sk_storage_get(&hk_sks, sk, NULL, 0);
	if (!st || !st->taken)
		return SK_PASS;
	lane = bpf_map_lookup_elem(&hk_lanes, &st->slot);
	if (!lane)
		return SK_PASS;
	if (may_go_fast(msg, lane, size))
		return go_fast(msg, st, lane, size);
	return go_native(lane, size);
}

char LICENSE[] SEC("license") = "GPL";
