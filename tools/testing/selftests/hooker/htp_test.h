/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the transport core share: the seed, what must hold at the end
 * of a run, and a fixture with a link without faults.
 */
#ifndef HTP_TEST_H
#define HTP_TEST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/private.h"

#include "../kselftest_harness.h"

#define KB	1000ULL
#define MB	1000000ULL

static inline __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

/* How many seeds cheap scenarios are run with, HTP_SEEDS in the environment */
static inline unsigned int nr_seeds(void)
{
	const char *value = getenv("HTP_SEEDS");
	unsigned long nr = value ? strtoul(value, NULL, 0) : 2;

	return htp_max(nr, 1);
}

/* Of a test that takes HTP_SEEDS times as long; how long that may be is the runner's business */
#define LONG_TEST_S	36000

static inline void set_links(struct sim *sim, const struct sim_link *link)
{
	sim->link[SIM_A] = *link;
	sim->link[SIM_B] = *link;
}

/* Both ends of all flows have all their bytes and both ends of the stream */
static inline bool is_complete(const struct sim *sim)
{
	const struct sim_flow *flow;

	for (flow = sim->flows; flow; flow = flow->next)
		if (!flow->finished || !flow->saw_end || flow->received != flow->to_recv ||
		    flow->sent != flow->to_send)
			return false;
	return true;
}

/* No stream is left, and both sides agree on how much of the windows is used */
static inline bool is_settled(const struct sim *sim)
{
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		const struct htp_assoc *a = sim->assoc[side], *peer = sim->assoc[!side];

		if (a->nr_streams || a->nr_peer || a->nr_stubs || a->nr_ahead)
			return false;
		if (a->rx_received != a->rx_consumed || a->rx_received != peer->tx_sent)
			return false;
		if (!htp_list_is_empty(&a->unseen_list) || a->chunks)
			return false;
	}
	return true;
}

/* Ends the association; no timer may remain, no memory, and nothing may have gone wrong */
static inline void finish(struct __test_metadata *_metadata, struct sim *sim)
{
	struct sim_flow *flow;

	for (flow = sim->flows; flow; flow = flow->next)
		EXPECT_TRUE(flow->finished || flow->reset || flow->stream);
	if (sim->assoc[SIM_A] && sim->assoc[SIM_B]) {
		htp_assoc_close(sim->assoc[SIM_A], HTP_CODE_SHUTDOWN);
		sim_run_for(sim, 10 * SIM_SEC);
		htp_assoc_close(sim->assoc[SIM_B], HTP_CODE_SHUTDOWN);
		EXPECT_EQ(0, sim_run_idle(sim, 7300 * SIM_SEC));
		EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(sim->assoc[SIM_A]));
		EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(sim->assoc[SIM_B]));
	}
	EXPECT_EQ(0, sim->errors);
	EXPECT_EQ(0, sim_exit(sim));
}

static inline struct htp_stats stats_of(const struct sim *sim, enum sim_side side)
{
	struct htp_stats stats;

	htp_assoc_stats(sim->assoc[side], &stats);
	return stats;
}

static inline struct sim_flow *start_transfer(struct __test_metadata *_metadata, struct sim *sim)
{
	struct sim_flow *flow;

	sim->link[SIM_A].rate = 12500 * KB;
	sim->link[SIM_B].rate = 12500 * KB;
	EXPECT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 20 * MB, 20 * MB);
	EXPECT_NE(NULL, flow);
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_NE(NULL, sim_peer(sim, flow));
	return flow;
}

/* A link without faults, 20 ms of round trip */
FIXTURE(sim)
{
	struct sim	sim;
};

FIXTURE_SETUP(sim)
{
	printf("# seed %llu\n", seed());
	sim_init(&self->sim, seed());
}

FIXTURE_TEARDOWN(sim)
{
	finish(_metadata, &self->sim);
}

#endif /* HTP_TEST_H */
