// SPDX-License-Identifier: GPL-2.0
/*
 * Asks the decision of bpf/policy.h about made-up connections, BPF_PROG_TEST_RUN of a raw
 * tracepoint being the way in.
 */
#include "bpf/policy.h"
#include "policy_query.h"

/* Input and output; the first @nr of them are asked, @rounds times each */
struct policy_query queries[NR_QUERIES];
__u32 nr;
__u32 rounds;
__u64 took_ns;

static __always_inline int ask(struct policy_query *query, struct cgroup *cgroup)
{
	struct hk_policy_query q = { .port = query->port, .out = query->out, .cgroup = cgroup };
	struct hk_action action = {};
	int result;

	__builtin_memcpy(q.from, query->from, sizeof(q.from));
	__builtin_memcpy(q.to, query->to, sizeof(q.to));
	result = hk_policy_find(&q, &action);
	query->pref = action.pref;
	query->result = result;
	return result;
}

struct loop {
	struct cgroup	*cgroup;
	__u32		query;
};

static long ask_one(__u32 i, struct loop *loop)
{
	if (loop->query >= NR_QUERIES)
		return 1;
	ask(&queries[loop->query], loop->cgroup);
	return 0;
}

static long ask_all(__u32 i, struct loop *loop)
{
	loop->query = i;
	bpf_loop(rounds, ask_one, loop, 0);
	return 0;
}

SEC("raw_tp/hk_test")
int ask_policy(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct loop loop = { .cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp) };
	__u64 start = bpf_ktime_get_ns();

	bpf_loop(nr, ask_all, &loop, 0);
	took_ns = bpf_ktime_get_ns() - start;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
