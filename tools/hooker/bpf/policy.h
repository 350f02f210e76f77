/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which rule a connection meets: the first one, in order, all of whose conditions
 * hold. This is the bit-vector scheme: each condition is looked up by itself, and
 * the answer is the set of all rules that it leaves possible. The sets are ANDed;
 * the lowest bit left is the rule. So the cost does not depend on the number of
 * rules, and their order survives longest-prefix matching.
 *
 * Sets are replaced as a whole, by generation. All entries of a generation are
 * written before hk_live.policy names it, and removed after it names another. A program that
 * finds an entry missing, or another generation named afterwards than before, has
 * looked into one that is gone, and begins again.
 */
#ifndef HK_BPF_POLICY_H
#define HK_BPF_POLICY_H

#include "maps.h"

#define HK_POLICY_TRIES		4
#define HK_CGROUP_DEPTH		32	/* levels looked at, from the socket's own upwards */

/* Source and destination prefixes and ports of all rules, of two generations at most */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * HK_POLICY_MAX_ENTRIES);
	__type(key, struct hk_policy_key);
	__type(value, struct hk_rule_set);
} hk_policy_lpm SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * HK_MAX_POLICY);
	__type(key, struct hk_policy_cgroup_key);
	__type(value, struct hk_rule_set);
} hk_policy_cgroups SEC(".maps") __weak;

/* Index: generation & 1 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct hk_policy_sets);
} hk_policy_sets SEC(".maps") __weak;

/* Index: (generation & 1) * HK_MAX_POLICY + rule */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * HK_MAX_POLICY);
	__type(key, __u32);
	__type(value, struct hk_action);
} hk_policy_actions SEC(".maps") __weak;

/**
 * struct hk_policy_query - a connection as the rules see it
 * @from:   address of who called connect(); IPv6 or IPv4-mapped, network order
 * @to:	    address of the other side
 * @port:   of the other side, network order
 * @out:    connect() was called here
 * @cgroup: of the socket: the connecting one, or the listener; may be NULL
 */
struct hk_policy_query {
	__be32		from[4], to[4];
	__be16		port;
	bool		out;
	struct cgroup	*cgroup;
};

enum hk_policy_result {
	HK_POLICY_NO_MATCH,
	HK_POLICY_MATCH,
	HK_POLICY_RACED,		/* the rules were replaced meanwhile */
};

static __always_inline void hk_set_and(struct hk_rule_set *set, const struct hk_rule_set *with)
{
	set->bits[0] &= with->bits[0];
	set->bits[1] &= with->bits[1];
	set->bits[2] &= with->bits[2];
	set->bits[3] &= with->bits[3];
}

static __always_inline void hk_set_or(struct hk_rule_set *set, const struct hk_rule_set *with)
{
	set->bits[0] |= with->bits[0];
	set->bits[1] |= with->bits[1];
	set->bits[2] |= with->bits[2];
	set->bits[3] |= with->bits[3];
}

/*
 * By hand: what compilers make of __builtin_ctzll() for BPF may need a constant pool. Nor
 * are there branches, whose combinations the verifier would all go through: it is the
 * number of bits below the lowest one that is set.
 */
static __always_inline __u32 hk_lowest_bit(__u64 word)
{
	__u64 below = (word & -word) - 1;

	below -= below >> 1 & 0x5555555555555555ULL;
	below = (below & 0x3333333333333333ULL) + (below >> 2 & 0x3333333333333333ULL);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return below * 0x0101010101010101ULL >> 56;
}

/* Each kind has an entry of length 0 in each generation: none found, none left */
static __always_inline bool hk_policy_narrow(struct hk_rule_set *set, __u32 gen,
					     enum hk_policy_kind kind, const void *data, __u32 len)
{
	struct hk_policy_key key = {
		.prefixlen = 64 + len * 8,
		.gen = gen,
		.kind = kind,
	};
	struct hk_rule_set *with;

	__builtin_memcpy(key.data, data, len);
	with = bpf_map_lookup_elem(&hk_policy_lpm, &key);
	if (!with)
		return false;
	hk_set_and(set, with);
	return true;
}

/*
 * Adds the rules that name a cgroup, and returns its parent. A global function, as the next
 * one: the verifier goes through it once, and not for each caller and round, which took
 * ten times as long as loading all the rest. It can't know that pointers are not NULL.
 */
__weak __noinline __u64 hk_policy_or_cgroup(struct hk_rule_set *any, __u64 addr, __u32 gen)
{
	struct cgroup *cgroup = (struct cgroup *)addr;
	struct hk_policy_cgroup_key key = {
		.id = BPF_CORE_READ(cgroup, kn, id),
		.gen = gen,
	};
	struct hk_rule_set *with;

	with = bpf_map_lookup_elem(&hk_policy_cgroups, &key);
	if (any && with)
		hk_set_or(any, with);
	/* @self is the first member, so its parent's address is the parent's own */
	return (__u64)BPF_CORE_READ(cgroup, self.parent);
}

/* The socket's cgroup and all above it; rules without a condition on it stay */
static __always_inline void hk_policy_narrow_cgroup(struct hk_rule_set *set, __u32 gen,
						    const struct hk_policy_sets *sets,
						    struct cgroup *cgroup)
{
	struct hk_rule_set any = sets->any_cgroup;
	__u64 addr = (__u64)cgroup;
	int i;

	for (i = 0; i < HK_CGROUP_DEPTH && addr; i++)
		addr = hk_policy_or_cgroup(&any, addr, gen);
	hk_set_and(set, &any);
}

static __always_inline int hk_policy_first(const struct hk_rule_set *set)
{
	__u64 word = set->bits[0];
	int first = 0, i;

#pragma unroll
	for (i = 1; i < HK_MAX_POLICY / 64; i++) {
		if (!word) {
			word = set->bits[i];
			first = i * 64;
		}
	}
	return word ? first + (int)hk_lowest_bit(word) : -1;
}

__weak __noinline int hk_policy_try(const struct hk_policy_query *q, __u32 gen,
				    struct hk_action *action)
{
	__u32 slot = gen & 1, index;
	struct hk_policy_sets *sets;
	struct hk_action *found;
	struct hk_rule_set set;
	int first;

	if (!q || !action)
		return HK_POLICY_RACED;
	sets = bpf_map_lookup_elem(&hk_policy_sets, &slot);
	if (!sets)
		return HK_POLICY_RACED;
	set = q->out ? sets->out : sets->in;
	if (!hk_policy_narrow(&set, gen, HK_POLICY_FROM, q->from, sizeof(q->from)) ||
	    !hk_policy_narrow(&set, gen, HK_POLICY_TO, q->to, sizeof(q->to)) ||
	    !hk_policy_narrow(&set, gen, HK_POLICY_PORT, &q->port, sizeof(q->port)))
		return HK_POLICY_RACED;
	if (sets->has_cgroups)
		hk_policy_narrow_cgroup(&set, gen, sets, q->cgroup);
	first = hk_policy_first(&set);
	if (first < 0)
		return HK_POLICY_NO_MATCH;
	index = slot * HK_MAX_POLICY + first;
	found = bpf_map_lookup_elem(&hk_policy_actions, &index);
	if (!found)
		return HK_POLICY_RACED;
	*action = *found;
	return HK_POLICY_MATCH;
}

/*
 * Adding 0 is a full barrier: what is looked up after the first call was written before its
 * result was, and what is looked up before the second one is not read after it. Without rules it
 * is one load.
 */
static __always_inline __u32 hk_policy_gen(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live && PIN(live->policy) ? __sync_fetch_and_add(&live->policy, 0) : 0;
}

/* Fails open: whoever meets with HK_POLICY_TRIES new policies in a row stays plain TCP */
static __always_inline enum hk_policy_result hk_policy_find(const struct hk_policy_query *q,
							    struct hk_action *action)
{
	__u32 gen;
	int i, result;

	for (i = 0; i < HK_POLICY_TRIES; i++) {
		gen = hk_policy_gen();
		if (!gen)
			return HK_POLICY_NO_MATCH;
		result = hk_policy_try(q, gen, action);
		if (gen == hk_policy_gen())
			return result;
	}
	return HK_POLICY_RACED;
}

#endif /* HK_BPF_POLICY_H */
