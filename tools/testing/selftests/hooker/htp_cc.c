// SPDX-License-Identifier: GPL-2.0
/*
 * Congestion control in the simulator: how long downloads take, and what they
 * put on the wire. How several share a link is in htp_share.c.
 *
 * Times are compared with the physical limit: one round trip for the request,
 * then the bytes at the rate of the link, headers included. Loss strikes behind
 * the queue, in both directions, so what is lost has used the rate.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "world.h"

#include "../kselftest_harness.h"

#define SMALL_BYTES	522240ULL
#define LARGE_BYTES	27262976ULL

/* 100 Mbit/s, 50 ms, a queue of one bandwidth-delay product */
static const struct sim_link usual = {
	.rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 625 * KB, .late_loss = true,
};

static struct htp_stats stats_of(const struct sim *sim, enum sim_side side)
{
	struct htp_stats stats;

	htp_assoc_stats(sim->assoc[side], &stats);
	return stats;
}

/* Seconds until all bytes were read; negative: it didn't end */
static double download(struct sim *sim, __u64 bytes)
{
	struct sim_flow *flow = sim_open(sim, SIM_A, 100, bytes);
	__u64 start = sim->now;

	if (!flow || sim_run(sim, 600 * SIM_SEC) || flow->received != bytes)
		return -1;
	return (double)(flow->done_ns - start) / SIM_SEC;
}

/* What nothing can beat, with the frames that a full datagram needs */
static double limit_of(const struct sim_link *link, __u64 bytes)
{
	const int payload = DATAGRAM - HTP_HDR_LEN - 9;
	double wire = (double)bytes * (DATAGRAM + OVERHEAD) / payload;

	return 2.0 * link->delay_ns / SIM_SEC + wire / link->rate;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int nr)
{
	qsort(v, nr, sizeof(*v), compare);
	return v[nr / 2];
}

static __u64 wire_bytes(const struct sim *sim)
{
	return sim->link[SIM_A].wire_bytes + sim->link[SIM_B].wire_bytes;
}

static void finish(struct __test_metadata *_metadata, struct sim *sim)
{
	EXPECT_EQ(0, sim->errors);
	EXPECT_EQ(0, sim_exit(sim));
}

FIXTURE(download)
{
	struct sim		sim;
	struct sim_link		link;
};

FIXTURE_VARIANT(download)
{
	double	loss;
	double	limit;		/* times the physical one */
	double	wire;		/* bytes on the wire per byte delivered */
	double	small;		/* times its own median without loss */
};

FIXTURE_VARIANT_ADD(download, clean)
{
	.loss = 0, .limit = 1.08, .wire = 1.05, .small = 1.05,
};

FIXTURE_VARIANT_ADD(download, loss_per_mille)
{
	.loss = 0.001, .limit = 1.10, .wire = 1.06, .small = 1.1,
};

FIXTURE_VARIANT_ADD(download, loss_1_percent)
{
	.loss = 0.01, .limit = 1.12, .wire = 1.08, .small = 1.2,
};

FIXTURE_VARIANT_ADD(download, loss_3_percent)
{
	.loss = 0.03, .limit = 1.20, .wire = 1.11, .small = 1.5,
};

FIXTURE_SETUP(download)
{
	printf("# seed %llu\n", world_seed());
	self->link = usual;
	self->link.loss = variant->loss;
	path_init(&self->sim, &self->link, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&self->sim));
}

FIXTURE_TEARDOWN(download)
{
	finish(_metadata, &self->sim);
}

/* The first one finds the rate, the others know it */
TEST_F(download, large)
{
	double limit = limit_of(&self->link, LARGE_BYTES), time[3], cold, wire;
	struct sim *sim = &self->sim;
	__u64 before;
	int i;

	cold = download(sim, LARGE_BYTES);
	before = wire_bytes(sim);
	for (i = 0; i < 3; i++)
		time[i] = download(sim, LARGE_BYTES);
	wire = (double)(wire_bytes(sim) - before) / (3 * LARGE_BYTES);
	printf("# first %.3f s, then %.3f, limit %.3f, on the wire %.4f, overflows %llu\n",
	       cold, median(time, 3), limit, wire, sim->link[SIM_B].nr_overflow);
	EXPECT_LT(0, cold);
	EXPECT_LT(cold, limit * (variant->limit + 0.05));
	EXPECT_LT(0, time[0]);
	EXPECT_LT(time[1], limit * variant->limit);
	EXPECT_LT(wire, variant->wire);
	EXPECT_LE(sim->link[SIM_B].nr_overflow, 100);
}

/*
 * All that is known of the path comes from a few answers that never filled it: no
 * queue was seen, so nothing tells yet that the losses are random.
 */
TEST_F(download, large_after_small)
{
	double limit = limit_of(&self->link, LARGE_BYTES), time;
	struct sim *sim = &self->sim;
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_LT(0, download(sim, SMALL_BYTES));
	time = download(sim, LARGE_BYTES);
	printf("# %.3f s, limit %.3f\n", time, limit);
	EXPECT_LT(0, time);
	EXPECT_LT(time, limit * variant->limit);
}

/* 200 of them, so that the median means something */
TEST_F(download, small)
{
	double limit = limit_of(&self->link, SMALL_BYTES), time[200], middle;
	struct sim *sim = &self->sim;
	struct htp_stats stats;
	int i;

	for (i = 0; i < 5; i++)
		ASSERT_LT(0, download(sim, SMALL_BYTES));
	for (i = 0; i < 200; i++) {
		time[i] = download(sim, SMALL_BYTES);
		ASSERT_LT(0, time[i]);
		sim_run_for(sim, 20 * SIM_MSEC);
	}
	stats = stats_of(sim, SIM_B);
	middle = median(time, 200);
	printf("# median %.3f s, nine of ten %.3f, limit %.3f, lost %llu, ptos %llu\n", middle,
	       time[180], limit, stats.lost_packets, stats.ptos);
	printf("# parity %.4f of all bytes, %llu datagrams rebuilt\n",
	       (double)stats.repair_bytes / stats.tx_bytes, stats_of(sim, SIM_A).rx_repaired);
	EXPECT_EQ(variant->loss > 0, stats.repair_bytes > 0);
	EXPECT_EQ(variant->loss > 0, stats_of(sim, SIM_A).rx_repaired > 0);
	EXPECT_LT(stats.repair_bytes, stats.tx_bytes / 7);
	/* the times that count include the application's TCP handshake */
	EXPECT_LT(middle + 0.05, (limit + 0.05) * variant->small);
}

/* A minute of silence, then at once at full speed, without overflowing the queue */
TEST(restart_after_idle)
{
	double limit = limit_of(&usual, SMALL_BYTES), time;
	struct sim sim;
	__u64 before;

	printf("# seed %llu\n", world_seed());
	path_init(&sim, &usual, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&sim));
	ASSERT_LT(0, download(&sim, LARGE_BYTES));
	sim_run_for(&sim, 60 * SIM_SEC);
	before = sim.link[SIM_B].nr_overflow;
	time = download(&sim, SMALL_BYTES);
	printf("# %.3f s, limit %.3f\n", time, limit);
	EXPECT_LT(0, time);
	EXPECT_LT(time, 1.1 * limit);
	EXPECT_EQ(before, sim.link[SIM_B].nr_overflow);
	finish(_metadata, &sim);
}

/* Meanwhile the path has become ten times slower: no more than a queue of it is lost */
TEST(restart_on_a_slower_path)
{
	struct sim sim;
	double time;

	printf("# seed %llu\n", world_seed());
	path_init(&sim, &usual, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&sim));
	ASSERT_LT(0, download(&sim, LARGE_BYTES));
	sim_run_for(&sim, 60 * SIM_SEC);
	sim.link[SIM_B].rate /= 10;
	sim.link[SIM_B].queue /= 10;
	sim.link[SIM_B].nr_sent = 64;
	time = download(&sim, 10 * MB);
	printf("# %.3f s, limit %.3f, overflows %llu\n", time, limit_of(&sim.link[SIM_B], 10 * MB),
	       sim.link[SIM_B].nr_overflow);
	EXPECT_LT(0, time);
	EXPECT_LT(time, 1.2 * limit_of(&sim.link[SIM_B], 10 * MB));
	EXPECT_LT(sim.link[SIM_B].nr_overflow, 1000);
	finish(_metadata, &sim);
}

/* 800 ms, 20 Mbit/s, 1 % loss */
TEST(satellite)
{
	struct sim_link link = {
		.rate = 2500 * KB, .delay_ns = 400 * SIM_MSEC, .queue = 2000 * KB, .loss = 0.01,
		.late_loss = true,
	};
	double limit = limit_of(&link, LARGE_BYTES), first, second;
	struct sim sim;

	printf("# seed %llu\n", world_seed());
	path_init(&sim, &link, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&sim));
	first = download(&sim, LARGE_BYTES);
	second = download(&sim, LARGE_BYTES);
	printf("# first %.2f s, second %.2f, limit %.2f\n", first, second, limit);
	EXPECT_LT(0, first);
	EXPECT_LT(first, 1.4 * limit);
	EXPECT_LT(0, second);
	EXPECT_LT(second, 1.2 * limit);
	finish(_metadata, &sim);
}

TEST(hundred_downloads_at_once)
{
	double limit = limit_of(&usual, 100 * SMALL_BYTES), time[100];
	struct sim_flow *flow[100];
	struct sim sim;
	__u64 start;
	int i;

	printf("# seed %llu\n", world_seed());
	path_init(&sim, &usual, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&sim));
	ASSERT_LT(0, download(&sim, LARGE_BYTES));
	start = sim.now;
	for (i = 0; i < 100; i++) {
		flow[i] = sim_open(&sim, SIM_A, 100, SMALL_BYTES);
		ASSERT_NE(NULL, flow[i]);
	}
	ASSERT_EQ(0, sim_run(&sim, 60 * SIM_SEC));
	for (i = 0; i < 100; i++)
		time[i] = (double)(flow[i]->done_ns - start) / SIM_SEC;
	qsort(time, 100, sizeof(time[0]), compare);
	printf("# all %.3f s, median %.3f, limit %.3f\n", time[99], time[50], limit);
	EXPECT_LT(time[99], 1.15 * limit);
	EXPECT_LT(time[99], 2 * time[50]);
	finish(_metadata, &sim);
}

/* While a bulk transfer goes on, a small request takes its round trip and 20 ms at most */
TEST(small_beside_bulk)
{
	double time[300], middle;
	struct sim_flow *bulk;
	struct sim sim;
	int i;

	printf("# seed %llu\n", world_seed());
	path_init(&sim, &usual, &htp_cc_bbr, world_seed());
	ASSERT_EQ(0, sim_start(&sim));
	bulk = sim_open(&sim, SIM_A, 100, 1000 * MB);
	ASSERT_NE(NULL, bulk);
	sim_run_for(&sim, 2 * SIM_SEC + sim_random(&sim) % SIM_SEC);
	for (i = 0; i < 300; i++) {
		struct sim_flow *small = sim_open(&sim, SIM_A, 100, 3000);
		__u64 start = sim.now;

		ASSERT_NE(NULL, small);
		while (!small->finished && sim.now < start + SIM_SEC)
			sim_step(&sim, sim_next(&sim));
		time[i] = (double)(small->done_ns - start) / SIM_MSEC;
		sim_run_for(&sim, 53 * SIM_MSEC);
	}
	middle = median(time, 300);
	printf("# median %.1f ms, nine of ten %.1f, longest %.1f\n", middle, time[270],
	       time[299]);
	EXPECT_LT(middle, 55);
	EXPECT_LT(time[270], 55);
	EXPECT_LT(time[299], 70);
	htp_stream_reset(bulk->stream, HTP_CODE_APP_RESET);
	finish(_metadata, &sim);
}

TEST(controllers_by_name)
{
	EXPECT_EQ(&htp_cc_bbr, htp_cc_by_name("bbr"));
	EXPECT_EQ(&htp_cc_cubic, htp_cc_by_name("cubic"));
	EXPECT_EQ(NULL, htp_cc_by_name("reno"));
	EXPECT_EQ(NULL, htp_cc_by_name(""));
}

TEST_HARNESS_MAIN
