/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Token buckets: what strangers may make this host do, so many times a second. Included
 * after vmlinux.h and libbpf's headers.
 */
#ifndef HK_BPF_BUDGET_H
#define HK_BPF_BUDGET_H

#include "hooker_abi.h"

#define NSEC_PER_SEC	1000000000ULL

/**
 * hk_spend - take one from a bucket
 * @budget: bucket; without a lock, also where several CPUs share it
 * @cost:   nanoseconds in which one comes back
 * @burst:  most that it holds
 *
 * Another CPU may have looked at it after this one has read the clock: then no time has
 * passed. Taken for a difference it would be 584 years, and fill the bucket.
 *
 * Return: false if it is empty.
 */
static __always_inline bool hk_spend(struct hk_budget *budget, __u64 cost, __u64 burst)
{
	__u64 now = bpf_ktime_get_ns(), last = budget->last_ns;

	if (now > last) {
		budget->credit += now - last;
		budget->last_ns = now;
	}
	if (budget->credit > cost * burst)
		budget->credit = cost * burst;
	if (budget->credit < cost)
		return false;
	budget->credit -= cost;
	return true;
}

#endif /* HK_BPF_BUDGET_H */
