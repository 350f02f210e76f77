// SPDX-License-Identifier: GPL-2.0
/*
 * The transport core in the simulator: random worlds, damage that gets past the
 * checksum, and that the same seed gives the same run.
 *
 * HTP_SEED=n in the environment changes what the links do, HTP_SEEDS=n how many worlds
 * there are.
 */
#include "htp_test.h"

TEST_F(sim, an_hour_of_delay)
{
	self->sim.link[SIM_B].delay_ns = 3600 * SIM_SEC;
	ASSERT_EQ(0, sim_start(&self->sim));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 30 * KB, 30 * KB));
	ASSERT_EQ(0, sim_run(&self->sim, 48 * 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
}

static __u64 trace_of(struct __test_metadata *_metadata, __u64 with_seed)
{
	const struct sim_link link = {
		.rate = 1250 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.05, .duplicate = 0.05,
		.reorder = 0.05, .reorder_ns = 10 * SIM_MSEC,
	};
	struct sim sim;
	__u64 trace;

	sim_init(&sim, with_seed);
	set_links(&sim, &link);
	EXPECT_EQ(0, sim_start(&sim));
	EXPECT_NE(NULL, sim_open(&sim, SIM_A, 300 * KB, 300 * KB));
	EXPECT_EQ(0, sim_run(&sim, 600 * SIM_SEC));
	trace = sim.trace;
	finish(_metadata, &sim);
	return trace;
}

TEST(same_seed_same_trace)
{
	__u64 first = trace_of(_metadata, seed());

	EXPECT_EQ(first, trace_of(_metadata, seed()));
	EXPECT_NE(first, trace_of(_metadata, seed() + 1));
}

static __u64 pick(struct sim *sim, __u64 least, __u64 most)
{
	return least + sim_random(sim) % (most - least + 1);
}

static void random_world(struct sim *sim)
{
	__u32 window = pick(sim, 20, 3000 * KB >> pick(sim, 0, 16));
	__u32 stream_window = pick(sim, 1, window);
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		struct sim_link *link = &sim->link[side];
		struct htp_config *config = &sim->config[side];

		link->rate = pick(sim, 0, 2) * pick(sim, 20 * KB, 20 * MB);
		link->delay_ns = pick(sim, 0, 50) * SIM_MSEC;
		link->queue = pick(sim, 0, 1) * pick(sim, 10 * KB, 100 * KB);
		link->loss = pick(sim, 0, 3) * 0.05;
		link->duplicate = pick(sim, 0, 1) * 0.1;
		link->reorder = pick(sim, 0, 2) * 0.1;
		link->reorder_ns = pick(sim, 1, 50) * SIM_MSEC;
		link->corrupt = pick(sim, 0, 1) * 0.02;
		link->burst = pick(sim, 0, 2) * 0.005;
		link->burst_end = 0.2;
		link->burst_loss = 0.7;
		config->max_datagram = pick(sim, 1200, 9000);
		config->stream_buffer = pick(sim, 1, 1000 * KB >> pick(sim, 0, 10));
		config->window = window;
		config->peer_window = window;
		config->stream_window = stream_window;
		config->peer_stream_window = stream_window;
		config->max_streams = 100;
	}
	sim->tick_ns = pick(sim, 0, 1) * SIM_MSEC;
}

static struct sim_flow *random_flow(struct sim *sim)
{
	__u64 nr = pick(sim, 0, 20);
	struct sim_flow *flow;

	for (flow = sim->flows; flow && nr; nr--)
		flow = flow->next;
	return flow && flow->stream ? flow : NULL;
}

static void read_all(struct sim *sim, enum sim_side side)
{
	struct sim_flow *flow;

	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->side == side && flow->stream)
			sim_read(sim, flow);
}

/* Another path from now on; datagrams under way keep the time at which they arrive */
static void random_change(struct sim *sim)
{
	struct sim_link *link = &sim->link[pick(sim, SIM_A, SIM_B)];

	link->delay_ns = pick(sim, 0, 100) * SIM_MSEC;
	if (link->rate)
		link->rate = pick(sim, 20 * KB, 20 * MB);
	link->loss = pick(sim, 0, 3) * 0.05;
}

/* What may happen at any time, by the application or the path; true if not all bytes can arrive */
static bool random_act(struct sim *sim)
{
	const struct htp_config *a = &sim->config[SIM_A], *b = &sim->config[SIM_B];
	__u64 least = htp_min(a->stream_window, htp_min(a->stream_buffer, b->stream_buffer));
	__u64 most = htp_min(50 * least, 400 * KB);
	enum sim_side side = pick(sim, SIM_A, SIM_B);
	struct sim_flow *flow;

	switch (pick(sim, 0, 6)) {
	case 0:
		sim->paused[side] = true;
		return false;
	case 1:
		sim->paused[side] = false;
		read_all(sim, side);
		return false;
	case 2:
		flow = random_flow(sim);
		if (!flow || pick(sim, 0, 3))
			return false;
		flow->reset = true;
		htp_stream_release(flow->stream);
		flow->stream = NULL;
		sim->nr_live--;
		return true;
	case 3:
		random_change(sim);
		return false;
	default:
		return !sim_open(sim, side, pick(sim, 0, most), pick(sim, 0, most));
	}
}

TEST_F_TIMEOUT(sim, random_worlds, LONG_TEST_S)
{
	unsigned int world, i;

	for (world = 0; world < 75 * nr_seeds(); world++) {
		bool cut = false;
		struct sim sim;

		sim_init(&sim, seed() * 1000 + world);
		random_world(&sim);
		sim.audit = true;
		ASSERT_EQ(0, sim_start(&sim));
		sim.mem[world / 3 % 2].fail_every = world % 3 ? 0 : pick(&sim, 2, 50);
		for (i = 0; i < 60; i++) {
			cut |= random_act(&sim);
			sim_run_for(&sim, pick(&sim, 0, 200) * SIM_MSEC);
		}
		for (i = SIM_A; i <= SIM_B; i++) {
			sim.paused[i] = false;
			read_all(&sim, i);
		}
		EXPECT_EQ(0, sim_run(&sim, 3600 * SIM_SEC)) {
			TH_LOG("world %u", world);
		}
		EXPECT_TRUE(cut || is_complete(&sim));
		sim_run_for(&sim, 60 * SIM_SEC);
		EXPECT_TRUE(is_settled(&sim)) {
			TH_LOG("world %u", world);
		}
		EXPECT_EQ(0, sim.errors);
		finish(_metadata, &sim);
		ASSERT_TRUE(_metadata->exit_code != KSFT_FAIL);
	}
}

/* Damage gets past the checksum: the parser survives; what comes out is not looked at */
TEST_F_TIMEOUT(sim, damaged_datagrams_are_delivered, LONG_TEST_S)
{
	unsigned int i;

	for (i = 0; i < 100 * nr_seeds(); i++) {
		const struct sim_link link = {
			.delay_ns = 5 * SIM_MSEC, .loss = 0.01, .corrupt = 0.2,
			.deliver_bad = true,
		};
		struct sim sim;

		sim_init(&sim, seed() + i);
		set_links(&sim, &link);
		ASSERT_EQ(0, sim_start(&sim));
		sim_open(&sim, SIM_A, 100 * KB, 100 * KB);
		sim_open(&sim, SIM_B, 100 * KB, 100 * KB);
		sim_run(&sim, 5 * SIM_SEC);
		EXPECT_LT(sim.mem[SIM_A].peak, 16 << 20);
		ASSERT_EQ(0, sim_exit(&sim));
	}
}

TEST_HARNESS_MAIN
