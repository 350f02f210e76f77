// SPDX-License-Identifier: GPL-2.0
/*
 * Which rule the kernel chooses: random policies, installed by the daemon's own code, are
 * asked about random connections by the program that the daemon loads, and the answers
 * compared with a walk through the list.
 *
 * HK_SEED: another seed than the one of every run. The one in use is printed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bpf/hooker_abi.h"
#include "dataplane/dataplane.h"
#include "tcp/addr.h"
#include "policy_query.h"
#include "test_policy.skel.h"

#define NR_POLICIES	60
#define NO_MATCH	0
#define MATCH		1

FIXTURE(policy)
{
	struct test_policy_bpf	*skel;
	struct hk_policy_store	store;
	struct hk_live		*live;
	__u64			random;
	__u64			cgroup;		/* that of this process */
	char			cgroup_path[256];
};

static __u32 draw(__u64 *state, __u32 below)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*state >> 33) % below;
}

static __u64 seed(void)
{
	const char *text = getenv("HK_SEED");

	return text ? strtoull(text, NULL, 0) : 20261120;
}

/* "0::/path"; -1 where there is no cgroup v2 */
static int own_cgroup(char *path, size_t size)
{
	char line[200], mount[128] = "";
	FILE *file;

	file = fopen("/proc/self/mounts", "re");
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, " cgroup2 "))
			sscanf(line, "%*s %127s", mount);
	if (file)
		fclose(file);
	file = fopen("/proc/self/cgroup", "re");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*mount && !strncmp(line, "0::", 3))
			snprintf(path, size, "%s%s", mount, line + 3);
	}
	if (file)
		fclose(file);
	return *path ? 0 : -1;
}

FIXTURE_SETUP(policy)
{
	struct stat st;

	if (geteuid())
		SKIP(return, "[variant] needs root");
	if (own_cgroup(self->cgroup_path, sizeof(self->cgroup_path)) ||
	    stat(self->cgroup_path, &st))
		SKIP(return, "[kernel] cgroup v2 is not mounted");
	self->cgroup = st.st_ino;
	self->random = seed();
	self->skel = test_policy_bpf__open_and_load();
	ASSERT_NE(NULL, self->skel);
	self->live = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
			  bpf_map__fd(self->skel->maps.hk_live), 0);
	ASSERT_NE(MAP_FAILED, self->live);
	self->store.lpm_fd = bpf_map__fd(self->skel->maps.hk_policy_lpm);
	self->store.cgroups_fd = bpf_map__fd(self->skel->maps.hk_policy_cgroups);
	self->store.sets_fd = bpf_map__fd(self->skel->maps.hk_policy_sets);
	self->store.actions_fd = bpf_map__fd(self->skel->maps.hk_policy_actions);
	self->store.live = self->live;
}

FIXTURE_TEARDOWN(policy)
{
	free(self->store.image);
	test_policy_bpf__destroy(self->skel);
}

/* Few different bits, so that prefixes nest and queries hit them */
static void random_addr(__u64 *state, __be32 addr[4])
{
	__u8 *byte = (__u8 *)addr;
	int i;

	memset(addr, 0, 16);
	if (draw(state, 2)) {
		addr[2] = htonl(0xffff);
		for (i = 12; i < 16; i++)
			byte[i] = draw(state, 3) * 0x55;
	} else {
		byte[0] = 0x20;
		for (i = 1; i < 16; i++)
			byte[i] = draw(state, 2) << draw(state, 8);
	}
}

static void random_prefix(__u64 *state, __be32 addr[4], __u8 *len)
{
	__u8 *byte = (__u8 *)addr;
	bool mapped;
	int i;

	memset(addr, 0, 16);
	*len = 0;
	if (draw(state, 3) == 0)
		return;
	random_addr(state, addr);
	mapped = hk_addr_is_mapped(addr);
	*len = mapped ? 96 + draw(state, 33) : draw(state, 129);
	for (i = *len; i < 128; i++)
		byte[i / 8] &= ~(0x80 >> i % 8);
}

static void random_ports(__u64 *state, __u16 *min, __u16 *max)
{
	__u32 a = draw(state, 4) ? draw(state, 300) : draw(state, 65536);
	__u32 b = draw(state, 4) ? draw(state, 300) : draw(state, 65536);

	*min = a < b ? a : b;
	*max = a < b ? b : a;
	if (draw(state, 3) == 0) {
		*min = 0;
		*max = 65535;
	}
}

static void random_rule(__u64 *state, struct hk_policy_rule *rule, __u32 pref, __u64 cgroup)
{
	__u32 dir = draw(state, 3);

	memset(rule, 0, sizeof(*rule));
	random_prefix(state, rule->from, &rule->from_len);
	random_prefix(state, rule->to, &rule->to_len);
	random_ports(state, &rule->port_min, &rule->port_max);
	rule->in = dir != 0;
	rule->out = dir != 1;
	if (draw(state, 4) == 0)
		rule->cgroup = draw(state, 2) ? cgroup : cgroup + 1 + draw(state, 5);
	rule->action.pref = pref;
}

static bool in_prefix(const __be32 addr[4], const __be32 prefix[4], unsigned int len)
{
	const __u8 *a = (const __u8 *)addr, *p = (const __u8 *)prefix;
	unsigned int i;

	for (i = 0; i < len; i++)
		if ((a[i / 8] ^ p[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

/* What the rules mean, as plainly as it can be said; 0: none matches */
static __u32 reference(const struct hk_policy_rule *rules, unsigned int nr,
		       const struct policy_query *query, __u64 cgroup)
{
	__u16 port = ntohs(query->port);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!(query->out ? rules[i].out : rules[i].in))
			continue;
		if (!in_prefix(query->from, rules[i].from, rules[i].from_len))
			continue;
		if (!in_prefix(query->to, rules[i].to, rules[i].to_len))
			continue;
		if (port < rules[i].port_min || port > rules[i].port_max)
			continue;
		if (rules[i].cgroup && rules[i].cgroup != cgroup)
			continue;
		return rules[i].action.pref;
	}
	return 0;
}

static int ask(struct test_policy_bpf *skel, unsigned int nr, unsigned int rounds)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	skel->bss->nr = nr;
	skel->bss->rounds = rounds;
	return bpf_prog_test_run_opts(bpf_program__fd(skel->progs.ask_policy), &opts);
}

static void random_query(__u64 *state, struct policy_query *query,
			 const struct hk_policy_rule *rules, unsigned int nr)
{
	const struct hk_policy_rule *near = &rules[draw(state, nr)];
	__u16 edge = draw(state, 2) ? near->port_min : near->port_max;

	memset(query, 0, sizeof(*query));
	random_addr(state, query->from);
	random_addr(state, query->to);
	if (draw(state, 2) && near->from_len)
		memcpy(query->from, near->from, sizeof(query->from));
	if (draw(state, 2) && near->to_len)
		memcpy(query->to, near->to, sizeof(query->to));
	query->port = htons(draw(state, 2) ? draw(state, 300) : edge + draw(state, 3) - 1);
	query->out = draw(state, 2);
}

TEST_F(policy, as_a_walk_through_the_list)
{
	struct hk_policy_rule *rules = calloc(HK_MAX_POLICY, sizeof(*rules));
	unsigned int p, i, nr, matches = 0, asked = 0;
	const struct policy_query *query;
	__u32 expected;

	TH_LOG("seed %llu", seed());
	ASSERT_NE(NULL, rules);
	for (p = 0; p < NR_POLICIES; p++) {
		nr = p == 0 ? HK_MAX_POLICY : 1 + draw(&self->random, p % 4 ? 12 : HK_MAX_POLICY);
		for (i = 0; i < nr; i++)
			random_rule(&self->random, &rules[i], 1 + i, self->cgroup);
		ASSERT_EQ(0, hk_policy_install(&self->store, rules, nr));
		for (i = 0; i < NR_QUERIES; i++)
			random_query(&self->random, &self->skel->bss->queries[i], rules, nr);
		ASSERT_EQ(0, ask(self->skel, NR_QUERIES, 1));
		for (i = 0; i < NR_QUERIES; i++) {
			query = &self->skel->bss->queries[i];
			expected = reference(rules, nr, query, self->cgroup);
			ASSERT_EQ(expected, query->pref)
				TH_LOG("policy %u of %u rules, query %u", p, nr, i);
			ASSERT_EQ(expected ? MATCH : NO_MATCH, query->result);
			matches += expected != 0;
			asked++;
		}
	}
	TH_LOG("%u connections, %u of them met a rule", asked, matches);
	EXPECT_LT(asked / 5, matches);
	EXPECT_LT(matches, asked);
	free(rules);
}

static unsigned int count_entries(int fd, void *key, void *next)
{
	unsigned int nr = 0;
	void *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, next)) {
		memcpy(key, next, sizeof(struct hk_policy_key));
		prev = key;
		nr++;
	}
	return nr;
}

/* All ranges that need 30 blocks: the map has room for two generations of the worst */
TEST_F(policy, worst_case_fits_and_is_cleared)
{
	struct hk_policy_rule *rules = calloc(HK_MAX_POLICY + 1, sizeof(*rules));
	struct hk_policy_key key, next;
	unsigned int i;

	ASSERT_NE(NULL, rules);
	for (i = 0; i <= HK_MAX_POLICY; i++) {
		random_rule(&self->random, &rules[i], 1 + i, self->cgroup);
		rules[i].port_min = 1 + i;
		rules[i].port_max = 65534 - i;
	}
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, hk_policy_install(&self->store, rules, HK_MAX_POLICY));
	EXPECT_EQ(-E2BIG, hk_policy_install(&self->store, rules, HK_MAX_POLICY + 1));
	EXPECT_LT(0, count_entries(self->store.lpm_fd, &key, &next));
	ASSERT_EQ(0, hk_policy_install(&self->store, NULL, 0));
	EXPECT_EQ(0, count_entries(self->store.lpm_fd, &key, &next));
	EXPECT_EQ(0, self->live->policy);
	self->skel->bss->queries[0].pref = 77;
	ASSERT_EQ(0, ask(self->skel, 1, 1));
	EXPECT_EQ(NO_MATCH, self->skel->bss->queries[0].result);
	EXPECT_EQ(0, self->skel->bss->queries[0].pref);
	free(rules);
}

/* A rule for a cgroup holds for all below it, and for no sibling */
TEST_F(policy, cgroup_and_those_below)
{
	struct hk_policy_rule rule = { .in = true, .out = true, .port_max = 65535 };
	char child[300], procs[320];
	struct stat st;
	FILE *file;

	rule.action.pref = 5;
	rule.cgroup = self->cgroup;
	snprintf(child, sizeof(child), "%s/hk%d", self->cgroup_path, getpid());
	ASSERT_EQ(0, mkdir(child, 0755));
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", child);
	file = fopen(procs, "w");
	ASSERT_NE(NULL, file);
	fprintf(file, "0\n");
	EXPECT_EQ(0, fclose(file));

	EXPECT_EQ(0, hk_policy_install(&self->store, &rule, 1));
	EXPECT_EQ(0, ask(self->skel, 1, 1));
	EXPECT_EQ(5, self->skel->bss->queries[0].pref);
	EXPECT_EQ(0, stat(child, &st));
	rule.cgroup = st.st_ino;
	EXPECT_EQ(0, hk_policy_install(&self->store, &rule, 1));
	EXPECT_EQ(0, ask(self->skel, 1, 1));
	EXPECT_EQ(5, self->skel->bss->queries[0].pref);

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", self->cgroup_path);
	file = fopen(procs, "w");
	ASSERT_NE(NULL, file);
	fprintf(file, "0\n");
	EXPECT_EQ(0, fclose(file));
	EXPECT_EQ(0, ask(self->skel, 1, 1));
	EXPECT_EQ(0, self->skel->bss->queries[0].pref);
	EXPECT_EQ(0, rmdir(child));
}

struct writer {
	struct hk_policy_store	*store;
	struct hk_policy_rule	rules[2][2];
	bool			stop;
	unsigned int		installed;
	int			err;
};

/* Two policies in turn that never leave a connection without a rule */
static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) && !w->err)
		w->err = hk_policy_install(w->store, w->rules[w->installed++ & 1], 2);
	return NULL;
}

TEST_F(policy, replaced_in_one_step)
{
	unsigned int i, round, met[5] = {}, raced = 0;
	struct writer w = { .store = &self->store };
	pthread_t thread;

	for (i = 0; i < 4; i++) {
		w.rules[i / 2][i % 2].in = true;
		w.rules[i / 2][i % 2].out = true;
		w.rules[i / 2][i % 2].port_max = 65535;
		w.rules[i / 2][i % 2].action.pref = 1 + i;
	}
	/* the first rule of each is narrower: lost entries would let the second one match */
	w.rules[0][0].to_len = 1;
	w.rules[1][0].to_len = 2;
	ASSERT_EQ(0, hk_policy_install(&self->store, w.rules[0], 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &w));
	for (round = 0; round < 400; round++) {
		EXPECT_EQ(0, ask(self->skel, NR_QUERIES, 32));
		for (i = 0; i < NR_QUERIES; i++) {
			if (self->skel->bss->queries[i].result == 2)
				raced++;
			else if (self->skel->bss->queries[i].pref < 5)
				met[self->skel->bss->queries[i].pref]++;
		}
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, w.err);
	TH_LOG("%u policies; rules met: none %u, %u %u %u %u; gave up %u", w.installed, met[0],
	       met[1], met[2], met[3], met[4], raced);
	/* giving up takes four replacements within a microsecond */
	EXPECT_EQ(0, raced);
	EXPECT_EQ(0, met[0]);
	EXPECT_EQ(0, met[2]);
	EXPECT_EQ(0, met[4]);
	EXPECT_LT(0, met[1]);
	EXPECT_LT(0, met[3]);
}

/* No verdict: figures for the documentation */
TEST_F(policy, cost)
{
	static const unsigned int sizes[] = { 0, 1, 16, 256 };
	struct hk_policy_rule *rules = calloc(HK_MAX_POLICY, sizeof(*rules));
	unsigned int s, i;

	ASSERT_NE(NULL, rules);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (i = 0; i < sizes[s]; i++) {
			random_rule(&self->random, &rules[i], 1 + i, self->cgroup);
			rules[i].cgroup = 0;
		}
		ASSERT_EQ(0, hk_policy_install(&self->store, rules, sizes[s]));
		for (i = 0; sizes[s] && i < NR_QUERIES; i++)
			random_query(&self->random, &self->skel->bss->queries[i], rules,
				     sizes[s]);
		ASSERT_EQ(0, ask(self->skel, NR_QUERIES, 100));
		TH_LOG("%u rules: %llu ns", sizes[s],
		       self->skel->bss->took_ns / (NR_QUERIES * 100));
		EXPECT_LT(0, self->skel->bss->took_ns);
		if (!sizes[s])
			continue;
		rules[0].cgroup = self->cgroup;
		ASSERT_EQ(0, hk_policy_install(&self->store, rules, sizes[s]));
		ASSERT_EQ(0, ask(self->skel, NR_QUERIES, 100));
		TH_LOG("%u rules, one with a cgroup: %llu ns", sizes[s],
		       self->skel->bss->took_ns / (NR_QUERIES * 100));
	}
	free(rules);
}

TEST_HARNESS_MAIN
