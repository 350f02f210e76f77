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

/* By hand: what compilers make of __builtin_ctzll() for BPF may need a constant pool */
static __always_inline __u32 hk_lowest_bit(__u64 word)
{
	__u32 n = 0, shift;

#pragma unroll
	for (shift = 32; shift; shift >>= 1) {
		if (!(word & ((1ULL << shift) - 1))) {
			word >>= shift;
			n += shift;
		}
	}
	return n;
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

/* The socket's cgroup and all above it; rules without a condition on it stay */
static __always_inline void hk_policy_narrow_cgroup(struct hk_rule_set *set, __u32 gen,
						    const struct hk_policy_sets *sets,
						    struct cgroup *cgroup)
{
	struct hk_policy_cgroup_key key = { .gen = gen };
	struct hk_rule_set any = sets->any_cgroup, *with;
	int i;

	for (i = 0; i < HK_CGROUP_DEPTH && cgroup; i++) {
		key.id = BPF_CORE_READ(cgroup, kn, id);
		with = bpf_map_lookup_elem(&hk_policy_cgroups, &key);
		if (with)
			hk_set_or(&any, with);
		/* @self is the first member, so its parent's address is the parent's own */
		cgroup = (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
	}
	hk_set_and(set, &any);
}

static __always_inline int hk_policy_first(const struct hk_rule_set *set)
{
	if (set->bits[0])
		return hk_lowest_bit(set->bits[0]);
	if (set->bits[1])
		return 64 + hk_lowest_bit(set->bits[1]);
	if (set->bits[2])
		return 128 + hk_lowest_bit(set->bits[2]);
	if (set->bits[3])
		return 192 + hk_lowest_bit(set->bits[3]);
	return -1;
}

/*
 * A global function: the verifier goes through it once, and not once for each caller and
 * try, which took ten times as long as loading all the rest. It does not know that the
 * pointers are none that are NULL.
 */
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

static __always_inline __u32 hk_policy_gen(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live ? PIN(live->policy) : 0;
}

/* Adding 0 is a full barrier: what was looked up before it is not read after it */
static __always_inline __u32 hk_policy_gen_after(void)
{
	__u32 zero = 0;
	struct hk_live *live = bpf_map_lookup_elem(&hk_live, &zero);

	return live ? __sync_fetch_and_add(&live->policy, 0) : 0;
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
		if (gen == hk_policy_gen_after())
			return result;
	}
	return HK_POLICY_RACED;
}

#endif /* HK_BPF_POLICY_H */
