// SPDX-License-Identifier: GPL-2.0
/*
 * How many scenarios were simulated and with how many seeds. Each test is a process of
 * its own, so they count in shared memory, and the process that began prints the sums.
 */
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>

#include "sim.h"

#define NR_SLOTS	(1 << 18)	/* seeds told apart; the rest isn't counted */

static struct counts {
	pid_t	pid;
	__u64	scenarios, seeds;
	__u64	slot[NR_SLOTS];		/* a seed plus one, 0: free */
} *counts;

static __attribute__((constructor)) void counts_open(void)
{
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (counts == MAP_FAILED)
		counts = NULL;
	else
		counts->pid = getpid();
}

static __attribute__((destructor)) void counts_print(void)
{
	if (counts && counts->pid == getpid() && counts->scenarios)
		printf("# %llu scenarios simulated, %llu seeds\n", counts->scenarios,
		       counts->seeds);
}

void sim_count(__u64 seed)
{
	__u64 i = seed * 0x9e3779b97f4a7c15ULL >> 32, tries;

	if (!counts)
		return;
	counts->scenarios++;
	for (tries = 0; tries < 64; tries++, i++) {
		__u64 *slot = &counts->slot[i % NR_SLOTS];

		if (*slot == seed + 1)
			return;
		if (!*slot) {
			*slot = seed + 1;
			counts->seeds++;
			return;
		}
	}
}
