/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Maps and settings that the programs of a connection share. Each source file has
 * these definitions; they are weak, so that `bpftool gen object` keeps one of each
 * when it links the files into connection.bpf.o.
 *
 * libbpf searches the BTF of the kernel for each struct that is relocated, half a
 * millisecond each. In vmlinux.h all are; files that define BPF_NO_PRESERVE_ACCESS_INDEX
 * have only what they read by BPF_CORE_READ() or RELOCATED() relocated. They must read all
 * members of the kernel's own structs that way: packet formats and UAPI don't change, those do.
 */
#ifndef HK_BPF_MAPS_H
#define HK_BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "hooker_abi.h"

#define AF_INET		2
#define AF_INET6	10

/*
 * The compiler likes to merge the loads of two branches into one with a computed
 * offset, which the verifier refuses on a context. This pins a loaded value.
 */
#define PIN(v) ({ __u32 v_ = (v); asm volatile("" : "+r"(v_)); v_; })

/* A member of one of the kernel's own structs where the verifier knows the pointer's type */
#define RELOCATED(member) __builtin_preserve_access_index(({ member; }))

/* Filled by dataplane/ before load, so the verifier sees constants */
const volatile struct hk_bpf_config hk_config __weak = {};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hk_sk);
} hk_sks SEC(".maps") __weak;

/* On listeners, and what they accept: another program wants to write TCP options */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u32);
} hk_wanted SEC(".maps") __weak;

/* Written by the daemon only; read by the ESTABLISHED callbacks and the gate */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct hk_flow_key);
	__type(value, struct hk_verdict);
} hk_verdicts SEC(".maps") __weak;

/*
 * A SYN flood costs offers, not memory. Nor may it push out those whose client has left
 * TCP already: beyond HK_OFFER_RATE there are no answers.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HK_OFFERS);
	__type(key, __u32);
	__type(value, struct hk_offer);
} hk_offers SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct hk_lane);
} hk_lanes SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hk_live);
} hk_live SEC(".maps") __weak;

/* Application sockets: SK_MSG runs on what they send */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16384);
	__type(key, struct hk_flow_key);
	__type(value, __u64);
} hk_apps SEC(".maps") __weak;

/* Redirection sockets, keyed as the application sees the connection; no program runs on them */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16384);
	__type(key, struct hk_flow_key);
	__type(value, __u64);
} hk_redirs SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} hk_events SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HK_NR_STATS);
	__type(key, __u32);
	__type(value, __u64);
} hk_stats SEC(".maps") __weak;

/* Outgoing connections that are offered, unless hk_config.all_outgoing */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct hk_to_key);
	__type(value, __u32);
} hk_to SEC(".maps") __weak;

/* Local ports (host order) whose listeners take offers, unless hk_config.all_incoming */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} hk_from SEC(".maps") __weak;

/*
 * SOCK_OPS and SK_MSG run in process context too, where another program may
 * interrupt the addition: even a per-CPU slot needs an atomic one.
 */
static __always_inline void hk_count_n(__u32 stat, __u64 n)
{
	__u64 *slot = bpf_map_lookup_elem(&hk_stats, &stat);

	if (slot)
		__sync_fetch_and_add(slot, n);
}

static __always_inline void hk_count(enum hk_stat stat)
{
	hk_count_n(stat, 1);
}

/*
 * Nanoseconds since @then, which another CPU may have read from the clock a moment later than
 * this one did: no time has passed then. As a difference it would be 584 years.
 */
static __always_inline __u64 ns_since(__u64 now, __u64 then)
{
	return now > then ? now - then : 0;
}

static __always_inline bool is_beating(const struct hk_live *live)
{
	return ns_since(bpf_ktime_get_ns(), live->heartbeat_ns) < hk_config.stale_ns;
}

/* True while the daemon neither hangs nor is gone */
static __always_inline bool relay_is_alive(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live && is_beating(live);
}

static __always_inline bool relay_takes_new(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live && !live->draining && is_beating(live);
}

/* Carriers that are open: they come and go with mechanisms */
static __always_inline __u8 open_protos(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live ? live->protos : 0;
}

#endif /* HK_BPF_MAPS_H */
