// SPDX-License-Identifier: GPL-2.0
/*
 * Turns rules into the sets that bpf/policy.h looks up, and replaces one generation
 * of them by the next.
 *
 * An entry of the trie holds each rule whose prefix contains the entry's: then the longest
 * entry that matches an address names all rules that match it. Ports are the same with
 * 16 bits, once their ranges are cut into aligned blocks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define KEY_HEAD_BITS	64	/* generation and kind */

/* The block of ports that an entry stands for */
static void block_of(const struct hk_policy_key *key, __u32 *first, __u32 *last)
{
	*first = key->data[0] << 8 | key->data[1];
	*last = *first + (1U << (16 - (key->prefixlen - KEY_HEAD_BITS))) - 1;
}

static bool contains(const __be32 addr[4], unsigned int len, const struct hk_policy_key *key)
{
	const __u8 *byte = (const __u8 *)addr;
	__u8 differ;

	if (len > key->prefixlen - KEY_HEAD_BITS || memcmp(byte, key->data, len / 8))
		return false;
	if (!(len % 8))
		return true;
	differ = byte[len / 8] ^ key->data[len / 8];
	return !(differ >> (8 - len % 8));
}

static bool covers(const struct hk_policy_rule *rule, const struct hk_policy_key *key)
{
	__u32 first, last;

	switch ((enum hk_policy_kind)key->kind) {
	case HK_POLICY_FROM:
		return contains(rule->from, rule->from_len, key);
	case HK_POLICY_TO:
		return contains(rule->to, rule->to_len, key);
	case HK_POLICY_PORT:
		block_of(key, &first, &last);
		return rule->port_min <= first && last <= rule->port_max;
	case HK_NR_POLICY_KINDS:
		break;
	}
	return false;
}

static void set_bit(struct hk_rule_set *set, unsigned int rule)
{
	set->bits[rule / 64] |= 1ULL << rule % 64;
}

static void add_key(struct hk_policy_image *image, enum hk_policy_kind kind, const void *data,
		    size_t size, unsigned int len)
{
	struct hk_policy_key *key = &image->keys[image->nr_keys++];

	memset(key, 0, sizeof(*key));
	key->prefixlen = KEY_HEAD_BITS + len;
	key->gen = image->gen;
	key->kind = kind;
	memcpy(key->data, data, size);
}

/* Largest aligned blocks, from the left: 30 at most */
static void add_ports(struct hk_policy_image *image, __u32 first, __u32 last)
{
	unsigned int bits;
	__be16 port;

	while (first <= last) {
		for (bits = 16; first & ((1U << bits) - 1) || first + (1U << bits) - 1 > last;)
			bits--;
		port = htons(first);
		add_key(image, HK_POLICY_PORT, &port, sizeof(port), 16 - bits);
		first += 1U << bits;
	}
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hk_policy_key));
}

static void sort_keys(struct hk_policy_image *image)
{
	unsigned int i, kept = 0;

	qsort(image->keys, image->nr_keys, sizeof(image->keys[0]), compare_keys);
	for (i = 0; i < image->nr_keys; i++) {
		if (kept && !compare_keys(&image->keys[kept - 1], &image->keys[i]))
			continue;
		image->keys[kept++] = image->keys[i];
	}
	image->nr_keys = kept;
}

static void collect_keys(struct hk_policy_image *image, const struct hk_policy_rule *rules,
			 unsigned int nr)
{
	static const __be32 none[4];
	unsigned int i;
	int kind;

	for (kind = 0; kind < HK_NR_POLICY_KINDS; kind++)
		add_key(image, kind, none, 0, 0);
	for (i = 0; i < nr; i++) {
		add_key(image, HK_POLICY_FROM, rules[i].from, 16, rules[i].from_len);
		add_key(image, HK_POLICY_TO, rules[i].to, 16, rules[i].to_len);
		add_ports(image, rules[i].port_min, rules[i].port_max);
		if (rules[i].cgroup)
			image->cgroups[image->nr_cgroups++] = rules[i].cgroup;
	}
	sort_keys(image);
}

static int write_keys(const struct hk_policy_store *store, const struct hk_policy_image *image,
		      const struct hk_policy_rule *rules, unsigned int nr)
{
	struct hk_rule_set set;
	unsigned int i, r;

	for (i = 0; i < image->nr_keys; i++) {
		memset(&set, 0, sizeof(set));
		for (r = 0; r < nr; r++)
			if (covers(&rules[r], &image->keys[i]))
				set_bit(&set, r);
		if (bpf_map_update_elem(store->lpm_fd, &image->keys[i], &set, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int write_cgroups(const struct hk_policy_store *store, const struct hk_policy_image *image,
			 const struct hk_policy_rule *rules, unsigned int nr)
{
	struct hk_policy_cgroup_key key = { .gen = image->gen };
	struct hk_rule_set set;
	unsigned int i, r;

	for (i = 0; i < image->nr_cgroups; i++) {
		memset(&set, 0, sizeof(set));
		for (r = 0; r < nr; r++)
			if (rules[r].cgroup == image->cgroups[i])
				set_bit(&set, r);
		key.id = image->cgroups[i];
		if (bpf_map_update_elem(store->cgroups_fd, &key, &set, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int write_arrays(const struct hk_policy_store *store, __u32 gen,
			const struct hk_policy_rule *rules, unsigned int nr)
{
	struct hk_policy_sets sets = {};
	__u32 slot = gen & 1, index, i;

	for (i = 0; i < nr; i++) {
		if (rules[i].in)
			set_bit(&sets.in, i);
		if (rules[i].out)
			set_bit(&sets.out, i);
		if (rules[i].cgroup)
			sets.has_cgroups = 1;
		else
			set_bit(&sets.any_cgroup, i);
		index = slot * HK_MAX_POLICY + i;
		if (bpf_map_update_elem(store->actions_fd, &index, &rules[i].action, BPF_ANY))
			return -errno;
	}
	return bpf_map_update_elem(store->sets_fd, &slot, &sets, BPF_ANY) ? -errno : 0;
}

static void erase(const struct hk_policy_store *store, struct hk_policy_image *image)
{
	struct hk_policy_cgroup_key key = {};
	unsigned int i;

	if (!image)
		return;
	for (i = 0; i < image->nr_keys; i++)
		bpf_map_delete_elem(store->lpm_fd, &image->keys[i]);
	for (i = 0; i < image->nr_cgroups; i++) {
		key.id = image->cgroups[i];
		key.gen = image->gen;
		bpf_map_delete_elem(store->cgroups_fd, &key);
	}
	free(image);
}

static struct hk_policy_image *create_image(const struct hk_policy_rule *rules, unsigned int nr,
					    __u32 gen)
{
	size_t nr_keys = HK_NR_POLICY_KINDS + (size_t)nr * 32;
	struct hk_policy_image *image = calloc(1, sizeof(*image) +
						  nr_keys * sizeof(image->keys[0]));

	if (!image)
		return NULL;
	image->gen = gen;
	collect_keys(image, rules, nr);
	return image;
}

/**
 * hk_policy_install - replace all rules in one step
 * @store: where they are kept
 * @rules: in order; the first one that matches decides
 * @nr:	   how many; 0: connections are treated as if there were no policy
 *
 * A connection meets either the old rules or the new ones.
 *
 * Return: 0; -E2BIG: more than HK_MAX_POLICY; -ENOMEM and other errnos of the maps. Then
 * the old rules hold.
 */
int hk_policy_install(struct hk_policy_store *store, const struct hk_policy_rule *rules,
		      unsigned int nr)
{
	struct hk_policy_image *image = NULL;
	int err;

	if (nr > HK_MAX_POLICY)
		return -E2BIG;
	if (nr) {
		store->last_gen = store->last_gen + 1 ?: 1;
		image = create_image(rules, nr, store->last_gen);
		if (!image)
			return -ENOMEM;
		err = write_keys(store, image, rules, nr);
		if (!err)
			err = write_cgroups(store, image, rules, nr);
		if (!err)
			err = write_arrays(store, image->gen, rules, nr);
		if (err) {
			erase(store, image);
			return err;
		}
	}
	__atomic_store_n(&store->live->policy, image ? image->gen : 0, __ATOMIC_SEQ_CST);
	erase(store, store->image);
	store->image = image;
	return 0;
}

/**
 * hk_dataplane_set_policy - replace all rules in one step
 * @dp:	   data plane
 * @rules: in order; read during the call only
 * @nr:	   how many
 *
 * Return: as hk_policy_install().
 */
int hk_dataplane_set_policy(struct hk_dataplane *dp, const struct hk_policy_rule *rules,
			    unsigned int nr)
{
	return hk_policy_install(&dp->policy, rules, nr);
}

/**
 * hk_policy_adopt - go on with the rules that another process has installed
 * @store:    where they are kept, in use
 * @rules:    as they were installed
 * @nr:	      how many
 * @last_gen: last generation that the other one used
 *
 * Writes nothing: only with their keys known can the next rules replace them.
 *
 * Return: 0 or -ENOMEM.
 */
int hk_policy_adopt(struct hk_policy_store *store, const struct hk_policy_rule *rules,
		    unsigned int nr, __u32 last_gen)
{
	__u32 gen = store->live->policy;

	store->last_gen = last_gen;
	if (!gen)
		return 0;
	store->image = create_image(rules, nr, gen);
	return store->image ? 0 : -ENOMEM;
}

/**
 * hk_dataplane_adopt_policy - likewise
 * @dp:	      data plane with adopted maps
 * @rules:    as they were installed
 * @nr:	      how many
 * @last_gen: as in hk_dataplane_parts
 *
 * Return: as hk_policy_adopt().
 */
int hk_dataplane_adopt_policy(struct hk_dataplane *dp, const struct hk_policy_rule *rules,
			      unsigned int nr, __u32 last_gen)
{
	return hk_policy_adopt(&dp->policy, rules, nr, last_gen);
}
