// SPDX-License-Identifier: GPL-2.0
/*
 * Memory in the simulator: readers that stop, windows of a few bytes, thousands of
 * idle streams, and allocations that fail.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp/alloc.h"
#include "htp_test.h"

/* The reader stops: its side holds no more than the window, the writer's no more than its buffer */
TEST_F(sim, stopped_reader_bounds_memory)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow, *peer;

	sim->link[SIM_A].loss = 0.01;
	sim->link[SIM_A].rate = 12500 * KB;
	sim->config[SIM_A].stream_buffer = 512 << 10;
	sim->config[SIM_A].peer_stream_window = 256 << 10;
	sim->config[SIM_B].stream_window = 256 << 10;
	sim->paused[SIM_B] = true;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 3 * MB, 0);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 60 * SIM_SEC);
	peer = sim_peer(sim, flow);
	ASSERT_NE(NULL, peer);
	EXPECT_LE(flow->sent, (512 << 10) + (256 << 10));
	EXPECT_GE(flow->sent, (384 << 10) + (256 << 10));	/* less than a quarter free */
	EXPECT_LT(sim->mem[SIM_B].peak, (256 << 10) + (64 << 10));
	EXPECT_LT(sim->mem[SIM_A].peak, (512 << 10) + (HTP_CHUNK_CACHE + 8) * HTP_CHUNK);
	EXPECT_EQ(0, stats_of(sim, SIM_A).in_flight_bytes);
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(sim->assoc[SIM_A]));

	sim->paused[SIM_B] = false;
	sim_read(sim, peer);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

/* One stopped reader among many must not use up what the others need, up to the whole window */
TEST_F(sim, association_window_is_shared_and_given_back)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	int i;

	sim->config[SIM_A].peer_window = 1 << 20;
	sim->config[SIM_B].window = 1 << 20;
	sim->paused[SIM_B] = true;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 20; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 200 * KB, 0));
	sim_run_for(sim, 20 * SIM_SEC);
	EXPECT_EQ(1 << 20, sim->assoc[SIM_B]->rx_received);
	EXPECT_LT(sim->mem[SIM_B].peak, (1 << 20) + 20 * HTP_CHUNK + (256 << 10));

	sim->paused[SIM_B] = false;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->side == SIM_B)
			sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_TRUE(is_settled(sim));
}

TEST_F(sim, tiny_windows)
{
	struct sim *sim = &self->sim;
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].stream_window = 1;
		sim->config[side].peer_stream_window = 1;
		sim->config[side].window = 3;
		sim->config[side].peer_window = 3;
		sim->config[side].stream_buffer = 2;
		sim->link[side].loss = 0.1;
	}
	ASSERT_EQ(0, sim_start(sim));
	for (side = 0; side < 5; side++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 50));
	ASSERT_EQ(0, sim_run(sim, 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

TEST_F(sim, idle_streams_need_little_memory)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	int i;

	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 4000; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 3000));
	sim_run_for(sim, 20 * SIM_SEC);
	EXPECT_EQ(4000, stats_of(sim, SIM_A).nr_streams);
	EXPECT_LT(stats_of(sim, SIM_A).memory_bytes, 4000 * 1000 + (1 << 20));
	EXPECT_LT(stats_of(sim, SIM_B).memory_bytes, 4000 * 1000 + (1 << 20));
	EXPECT_TRUE(is_complete(sim));
	for (flow = sim->flows; flow; flow = flow->next) {
		htp_stream_release(flow->stream);
		flow->stream = NULL;
	}
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

/* A loss remembered must not make the side that only receives book all its ACKs */
TEST_F(sim, receiving_takes_no_memory)
{
	struct sim *sim = &self->sim;
	size_t bytes;

	sim->link[SIM_A].drop_mask = 1 << 1;
	sim->link[SIM_B].rate = 12500 * KB;
	sim->config[SIM_A].window = 1 << 30;		/* so wide that nothing */
	sim->config[SIM_B].peer_window = 1 << 30;	/* has to be sent but ACKs */
	sim->config[SIM_A].stream_window = 1 << 30;
	sim->config[SIM_B].peer_stream_window = 1 << 30;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 10 * KB, 30 * MB));
	sim_run_for(sim, 400 * SIM_MSEC);
	EXPECT_EQ(1, stats_of(sim, SIM_A).lost_packets);
	bytes = sim->mem[SIM_A].peak;
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_GT(stats_of(sim, SIM_A).tx_datagrams, 1000);
	EXPECT_LE(sim->assoc[SIM_A]->rc.cap, 512);
	EXPECT_LE(sim->mem[SIM_A].peak, bytes + (2 << 20));
}

/*
 * The n-th allocation of one side fails, for each n: the transfer completes or
 * both sides are told, nothing leaks. Later allocations work again.
 */
FIXTURE(nth)
{
	struct sim	sim;
};

FIXTURE_VARIANT(nth)
{
	struct sim_link	link;
	int		nr_flows;
	__u64		bytes;
	bool		reset;		/* one of the flows, in mid-transfer */
	bool		parity;		/* short answers after pauses */
	int		least;		/* allocations */
};

FIXTURE_VARIANT_ADD(nth, four_flows)
{
	.link = { .delay_ns = 5 * SIM_MSEC, .rate = 1250 * KB, .loss = 0.05 },
	.nr_flows = 4, .bytes = 50 * KB, .least = 20,
};

FIXTURE_VARIANT_ADD(nth, disorder)
{
	.link = {
		.delay_ns = 5 * SIM_MSEC, .rate = 1250 * KB, .loss = 0.1, .reorder = 0.3,
		.reorder_ns = 20 * SIM_MSEC, .duplicate = 0.1, .burst = 0.01, .burst_end = 0.2,
		.burst_loss = 1,
	},
	.nr_flows = 12, .bytes = 60 * KB, .reset = true, .least = 60,
};

FIXTURE_VARIANT_ADD(nth, parity)
{
	.link = { .delay_ns = 10 * SIM_MSEC, .loss = 0.1 },
	.nr_flows = 10, .bytes = 8 * KB, .parity = true, .least = 40,
};

FIXTURE_SETUP(nth)
{
	printf("# seeds %llu to %llu\n", seed(), seed() + nr_seeds() - 1);
}

FIXTURE_TEARDOWN(nth)
{
}

static void nth_flows(struct sim *sim, const FIXTURE_VARIANT(nth) *variant)
{
	struct sim_flow *flow = NULL;
	int i;

	for (i = 0; i < variant->nr_flows; i++) {
		flow = sim_open(sim, i % 2 ? SIM_A : SIM_B, variant->bytes, variant->bytes / 2);
		if (variant->parity)
			sim_run_for(sim, 200 * SIM_MSEC);
	}
	if (!variant->reset || !flow)
		return;
	sim_run_for(sim, 60 * SIM_MSEC);
	if (!flow->stream)
		return;
	flow->reset = true;
	htp_stream_release(flow->stream);
	flow->stream = NULL;
	sim->nr_live--;
}

static bool nth_fails(struct __test_metadata *_metadata, struct sim *sim,
		      const FIXTURE_VARIANT(nth) *variant, __u64 with_seed, enum sim_side side,
		      __u64 nth)
{
	bool reached;

	sim_init(sim, with_seed);
	set_links(sim, &variant->link);
	sim->mem[side].fail_at = nth;
	if (sim_start(sim)) {
		EXPECT_EQ(0, sim_exit(sim));
		return true;
	}
	nth_flows(sim, variant);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC)) {
		TH_LOG("seed %llu, side %d, allocation %llu", with_seed, side, nth);
	}
	reached = sim->mem[side].nr >= nth;
	finish(_metadata, sim);
	return reached;
}

TEST_F_TIMEOUT(nth, allocation_fails, LONG_TEST_S)
{
	unsigned int i;
	int side;
	__u64 n;

	for (i = 0; i < nr_seeds(); i++) {
		for (side = SIM_A; side <= SIM_B; side++) {
			for (n = 1; nth_fails(_metadata, &self->sim, variant, seed() + i, side,
					      n); n++)
				ASSERT_TRUE(_metadata->exit_code != KSFT_FAIL);
			EXPECT_GT(n, variant->least);
		}
	}
}

/* Memory runs out for good: nothing crashes, nothing spins, nothing leaks */
TEST(no_allocation_succeeds_any_more)
{
	int side;
	__u64 n;

	for (side = SIM_A; side <= SIM_B; side++) {
		for (n = 1; n < 120; n++) {
			struct sim sim;

			sim_init(&sim, seed());
			sim.mem[side].fail_from = n;
			sim.config[side].dead_ns = 30 * SIM_SEC;
			sim.config[!side].dead_ns = 30 * SIM_SEC;
			if (!sim_start(&sim)) {
				sim_open(&sim, SIM_A, 500 * KB, 20 * KB);
				sim_open(&sim, SIM_B, 500 * KB, 20 * KB);
				sim_run(&sim, 3 * SIM_SEC);
			}
			EXPECT_EQ(0, sim.errors);
			ASSERT_EQ(0, sim_exit(&sim));
		}
	}
}

TEST_HARNESS_MAIN
