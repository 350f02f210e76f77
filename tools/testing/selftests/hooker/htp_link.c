// SPDX-License-Identifier: GPL-2.0
/*
 * Paths in the simulator: loss and bursts of it, reordering, duplication, corruption, rates
 * and delays of all kinds, and paths that become others in mid-flow. Whatever they
 * do, all bytes of a stream arrive exactly once and in order, and then no timer is armed.
 *
 * HTP_SEED=n in the environment changes what the links do, HTP_SEEDS=n with how many
 * seeds each of them does it; BBR and CUBIC take turns.
 */
#include "htp_test.h"

FIXTURE(path)
{
	struct sim	sim;
};

/*
 * @link:     both directions, unless @back has a rate, which is then that from B
 * @then:     the path it becomes every @every_ns, and then @link again; no @every_ns: never
 * @bytes:    that the largest flow has
 */
FIXTURE_VARIANT(path)
{
	struct sim_link	link, back, then;
	__u64		every_ns, bytes;
};

FIXTURE_VARIANT_ADD(path, clean)
{
	.link = { .delay_ns = 10 * SIM_MSEC },
	.bytes = 20 * MB,
};

FIXTURE_VARIANT_ADD(path, no_delay)
{
	.link = { .rate = 125 * MB },
	.bytes = 20 * MB,
};

FIXTURE_VARIANT_ADD(path, slow)
{
	.link = { .rate = 125 * KB, .delay_ns = 100 * SIM_MSEC, .queue = 20 * KB },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_per_mille)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.001 },
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_1_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.01 },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_3_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.03 },
	.bytes = 3 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_10_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.1 },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_30_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.3 },
	.bytes = 1 * MB,
};

FIXTURE_VARIANT_ADD(path, loss_20_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.2 },
	.bytes = 1 * MB,
};

/* Five datagrams in a row and all of them, one in two hundred begins it */
FIXTURE_VARIANT_ADD(path, short_bursts)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .burst = 0.005, .burst_end = 0.2,
		.burst_loss = 1,
	},
	.bytes = 2 * MB,
};

/* A hundred in a row and half of them, as a radio link does it */
FIXTURE_VARIANT_ADD(path, long_bursts)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .burst = 0.002, .burst_end = 0.01,
		.burst_loss = 0.5,
	},
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(path, reorder)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .reorder = 0.2,
		.reorder_ns = 15 * SIM_MSEC,
	},
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, reorder_all)
{
	.link = { .delay_ns = 1 * SIM_MSEC, .reorder = 1, .reorder_ns = 50 * SIM_MSEC },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(path, duplicate)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .duplicate = 0.5 },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, corrupt)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .corrupt = 0.05 },
	.bytes = 2 * MB,
};

/* 100 Mbit/s in one direction, 1 in the other */
FIXTURE_VARIANT_ADD(path, asymmetric)
{
	.link = { .rate = 125 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 20 * KB },
	.back = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 250 * KB },
	.bytes = 5 * MB,
};

/* One direction loses half of the acknowledgments */
FIXTURE_VARIANT_ADD(path, deaf)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.5 },
	.back = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC },
	.bytes = 1 * MB,
};

/* The queue holds two seconds */
FIXTURE_VARIANT_ADD(path, bufferbloat)
{
	.link = { .rate = 1250 * KB, .delay_ns = 20 * SIM_MSEC, .queue = 2500 * KB },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, shallow_queue)
{
	.link = { .rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 15 * KB },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, rtt_1_ms)
{
	.link = { .rate = 12500 * KB, .delay_ns = 500 * SIM_USEC, .queue = 50 * KB, .loss = 0.01 },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(path, rtt_200_ms)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 100 * SIM_MSEC, .queue = 2500 * KB, .loss = 0.01,
	},
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(path, rtt_800_ms)
{
	.link = { .rate = 2500 * KB, .delay_ns = 400 * SIM_MSEC, .queue = 2000 * KB, .loss = 0.01 },
	.bytes = 5 * MB,
};

/* In mid-transfer, from then on in turns: the rate, the delay, both */
FIXTURE_VARIANT_ADD(path, slower)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 250 * KB },
	.then = { .rate = 1250 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 25 * KB },
	.every_ns = 300 * SIM_MSEC,
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(path, longer)
{
	.link = { .rate = 12500 * KB, .delay_ns = 5 * SIM_MSEC, .queue = 250 * KB },
	.then = { .rate = 12500 * KB, .delay_ns = 150 * SIM_MSEC, .queue = 250 * KB },
	.every_ns = 400 * SIM_MSEC,
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(path, another)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 250 * KB },
	.then = { .rate = 500 * KB, .delay_ns = 300 * SIM_MSEC, .queue = 100 * KB, .loss = 0.02 },
	.every_ns = 1000 * SIM_MSEC,
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(path, all_at_once)
{
	.link = {
		.rate = 1250 * KB, .delay_ns = 30 * SIM_MSEC, .queue = 30 * KB,
		.loss = 0.05, .duplicate = 0.1, .reorder = 0.1, .reorder_ns = 40 * SIM_MSEC,
		.corrupt = 0.02,
	},
	.bytes = 1 * MB,
};

FIXTURE_SETUP(path)
{
	printf("# seeds %llu to %llu\n", seed(), seed() + nr_seeds() - 1);
}

FIXTURE_TEARDOWN(path)
{
}

/* What the link does changes, what waits in it does not */
static void change_link(struct sim_link *link, const struct sim_link *to)
{
	link->rate = to->rate;
	link->delay_ns = to->delay_ns;
	link->queue = to->queue;
	link->loss = to->loss;
}

static int run(struct sim *sim, const FIXTURE_VARIANT(path) *variant)
{
	const struct sim_link *to = &variant->then;
	__u64 end = sim->now + 3600 * SIM_SEC;

	if (!variant->every_ns)
		return sim_run(sim, 3600 * SIM_SEC);
	while (sim_run(sim, variant->every_ns)) {
		if (sim->now > end)
			return -ETIME;
		change_link(&sim->link[SIM_A], to);
		change_link(&sim->link[SIM_B], to);
		to = to == &variant->then ? &variant->link : &variant->then;
	}
	return 0;
}

static void begin(struct __test_metadata *_metadata, struct sim *sim,
		  const FIXTURE_VARIANT(path) *variant, unsigned int i)
{
	sim_init(sim, seed() + i);
	sim->config[SIM_A].cc = i % 2 ? &htp_cc_cubic : &htp_cc_bbr;
	sim->config[SIM_B].cc = sim->config[SIM_A].cc;
	set_links(sim, &variant->link);
	if (variant->back.rate)
		sim->link[SIM_B] = variant->back;
	ASSERT_EQ(0, sim_start(sim));
}

static void end(struct __test_metadata *_metadata, struct sim *sim,
		const FIXTURE_VARIANT(path) *variant, unsigned int i)
{
	EXPECT_EQ(0, run(sim, variant)) {
		TH_LOG("seed %llu", seed() + i);
	}
	EXPECT_TRUE(is_complete(sim));
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim)) {
		TH_LOG("seed %llu", seed() + i);
	}
	finish(_metadata, sim);
	ASSERT_TRUE(_metadata->exit_code != KSFT_FAIL);
}

TEST_F_TIMEOUT(path, one_stream, LONG_TEST_S)
{
	unsigned int i;

	for (i = 0; i < nr_seeds(); i++) {
		begin(_metadata, &self->sim, variant, i);
		ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 1000, variant->bytes));
		end(_metadata, &self->sim, variant, i);
	}
}

TEST_F_TIMEOUT(path, both_ways_from_both_sides, LONG_TEST_S)
{
	const __u64 quarter = variant->bytes / 4;
	unsigned int i;

	for (i = 0; i < nr_seeds(); i++) {
		begin(_metadata, &self->sim, variant, i);
		ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, quarter, quarter));
		ASSERT_NE(NULL, sim_open(&self->sim, SIM_B, quarter, quarter));
		end(_metadata, &self->sim, variant, i);
	}
}

TEST_F_TIMEOUT(path, hundred_streams, LONG_TEST_S)
{
	struct sim *sim = &self->sim;
	unsigned int i, j;

	for (i = 0; i < nr_seeds(); i++) {
		begin(_metadata, sim, variant, i);
		for (j = 0; j < 100; j++) {
			enum sim_side side = j % 3 ? SIM_A : SIM_B;

			ASSERT_NE(NULL, sim_open(sim, side, sim_random(sim) % (20 * KB),
						 sim_random(sim) % (variant->bytes / 100)));
		}
		end(_metadata, sim, variant, i);
	}
}

TEST_F_TIMEOUT(path, thousand_streams, LONG_TEST_S)
{
	struct sim *sim = &self->sim;
	unsigned int i, j;

	for (i = 0; i < nr_seeds(); i++) {
		begin(_metadata, sim, variant, i);
		for (j = 0; j < 1000; j++)
			ASSERT_NE(NULL, sim_open(sim, j % 2, sim_random(sim) % 500,
						 sim_random(sim) % (variant->bytes / 2000)));
		end(_metadata, sim, variant, i);
	}
}

TEST_F_TIMEOUT(path, one_after_the_other_with_timers_of_1_ms, LONG_TEST_S)
{
	struct sim *sim = &self->sim;
	unsigned int i, j;

	for (i = 0; i < nr_seeds(); i++) {
		begin(_metadata, sim, variant, i);
		sim->tick_ns = SIM_MSEC;
		for (j = 0; j < 20; j++) {
			ASSERT_NE(NULL, sim_open(sim, SIM_A, j * 500, j * 5000));
			ASSERT_EQ(0, run(sim, variant));
		}
		end(_metadata, sim, variant, i);
	}
}

/* Bytes that arrive in so many seconds, as a part of what the link could carry */
static double share_used(struct sim *sim, const struct sim_flow *flow, unsigned int seconds)
{
	__u64 before = flow->received;

	sim_run_for(sim, seconds * SIM_SEC);
	return (double)(flow->received - before) / seconds / sim->link[SIM_A].rate;
}

static const struct sim_link fast = {
	.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 250 * KB,
};

static struct sim_flow *start_upload(struct __test_metadata *_metadata, struct sim *sim,
				     const struct sim_link *link)
{
	struct sim_flow *flow;
	int side;

	set_links(sim, link);
	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].stream_window = 16 << 20;
		sim->config[side].peer_stream_window = 16 << 20;
		sim->config[side].stream_buffer = 16 << 20;
		sim->config[side].window = 64 << 20;
		sim->config[side].peer_window = 64 << 20;
	}
	EXPECT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 100000 * MB, 0);
	EXPECT_NE(NULL, flow);
	sim_run_for(sim, 3 * SIM_SEC);
	EXPECT_NE(NULL, sim_peer(sim, flow));
	return sim_peer(sim, flow);
}

/* Room for two seconds is there, and the controller leaves it empty */
TEST_F(sim, long_queue_stays_short)
{
	const struct sim_link link = {
		.rate = 1250 * KB, .delay_ns = 20 * SIM_MSEC, .queue = 2500 * KB,
	};
	__u64 worst = 0, best = HTP_NEVER;
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	double used = 0;
	int i;

	flow = start_upload(_metadata, sim, &link);
	for (i = 0; i < 30; i++) {
		used += share_used(sim, flow, 1) / 30;
		worst = htp_max(worst, stats_of(sim, SIM_A).srtt_ns);
		best = htp_min(best, stats_of(sim, SIM_A).srtt_ns);
	}
	printf("# round trip %llu to %llu ms, %.3f of the link used\n", best / SIM_MSEC,
	       worst / SIM_MSEC, used);
	EXPECT_LT(worst, 250 * SIM_MSEC);
	EXPECT_LT(0.85, used);
	EXPECT_EQ(0, sim->link[SIM_A].nr_overflow);
}

/* A tenth of the rate, from one datagram to the next */
TEST_F(sim, rate_falls)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_upload(_metadata, sim, &fast);
	double at_once, later;
	__u64 lost;

	sim->link[SIM_A].rate = fast.rate / 10;
	lost = sim->link[SIM_A].nr_overflow;
	at_once = share_used(sim, flow, 2);
	lost = sim->link[SIM_A].nr_overflow - lost;
	later = share_used(sim, flow, 10);
	printf("# used %.3f at once, %.3f later, %llu lost in the queue\n", at_once, later, lost);
	EXPECT_LT(0.5, at_once);
	EXPECT_LT(0.85, later);
	EXPECT_GT(2000, lost);
}

/* Ten times the rate: it has to be looked for */
TEST_F(sim, rate_rises)
{
	struct sim *sim = &self->sim;
	struct sim_link link = fast;
	struct sim_flow *flow;
	double at_once, later;

	link.rate = fast.rate / 10;
	flow = start_upload(_metadata, sim, &link);
	sim->link[SIM_A].rate = fast.rate;
	at_once = share_used(sim, flow, 5);
	later = share_used(sim, flow, 20);
	printf("# used %.3f at once, %.3f later\n", at_once, later);
	EXPECT_LT(0.3, at_once);
	EXPECT_LT(0.85, later);
}

static void set_delay(struct sim *sim, __u64 delay_ns)
{
	sim->link[SIM_A].delay_ns = delay_ns;
	sim->link[SIM_B].delay_ns = delay_ns;
}

/*
 * 20 ms become 200 ms, and later 20 ms again. Fifteen new round trips are enough to
 * find out, wherever in its cycle the controller is.
 */
TEST_F(sim, delay_changes)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_upload(_metadata, sim, &fast);
	double at_once, longer, short_at_once, shorter;
	int i;

	for (i = 0; i < 4; i++) {
		sim_run_for(sim, sim_random(sim) % (3 * SIM_SEC));
		set_delay(sim, 100 * SIM_MSEC);
		share_used(sim, flow, 3);
		at_once = share_used(sim, flow, 2);
		longer = share_used(sim, flow, 10);
		set_delay(sim, 10 * SIM_MSEC);
		short_at_once = share_used(sim, flow, 2);
		shorter = share_used(sim, flow, 10);
		printf("# used %.3f at once and %.3f later when longer, %.3f and %.3f when short\n",
		       at_once, longer, short_at_once, shorter);
		EXPECT_LT(0.5, at_once);
		EXPECT_LT(0.5, longer);
		EXPECT_LT(0.7, short_at_once);
		EXPECT_LT(0.85, shorter);
	}
}

TEST_HARNESS_MAIN
