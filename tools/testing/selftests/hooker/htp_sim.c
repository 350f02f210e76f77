// SPDX-License-Identifier: GPL-2.0
/*
 * The transport core in the simulator: whatever the link does, all bytes of a
 * stream arrive exactly once and in order, or both sides are told.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/private.h"

#include "../kselftest_harness.h"

#define KB	1000ULL
#define MB	1000000ULL

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

static void set_links(struct sim *sim, const struct sim_link *link)
{
	sim->link[SIM_A] = *link;
	sim->link[SIM_B] = *link;
}

/* Both ends of all flows have all their bytes and both ends of the stream */
static bool is_complete(const struct sim *sim)
{
	const struct sim_flow *flow;

	for (flow = sim->flows; flow; flow = flow->next)
		if (!flow->finished || !flow->saw_end || flow->received != flow->to_recv ||
		    flow->sent != flow->to_send)
			return false;
	return true;
}

/* No stream is left, and both sides agree on how much of the windows is used */
static bool is_settled(const struct sim *sim)
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
static void finish(struct __test_metadata *_metadata, struct sim *sim)
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

static struct htp_stats stats_of(const struct sim *sim, enum sim_side side)
{
	struct htp_stats stats;

	htp_assoc_stats(sim->assoc[side], &stats);
	return stats;
}

FIXTURE(link)
{
	struct sim	sim;
};

FIXTURE_VARIANT(link)
{
	struct sim_link	link;
	__u64		bytes;
};

FIXTURE_VARIANT_ADD(link, clean)
{
	.link = { .delay_ns = 10 * SIM_MSEC },
	.bytes = 20 * MB,
};

FIXTURE_VARIANT_ADD(link, no_delay)
{
	.link = { .rate = 125 * MB },
	.bytes = 20 * MB,
};

FIXTURE_VARIANT_ADD(link, slow)
{
	.link = { .rate = 125 * KB, .delay_ns = 100 * SIM_MSEC, .queue = 20 * KB },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(link, loss_per_mille)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.001 },
	.bytes = 10 * MB,
};

FIXTURE_VARIANT_ADD(link, loss_1_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.01 },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(link, loss_10_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.1 },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(link, loss_30_percent)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .loss = 0.3 },
	.bytes = 1 * MB,
};

FIXTURE_VARIANT_ADD(link, reorder)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .reorder = 0.2,
		.reorder_ns = 15 * SIM_MSEC,
	},
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(link, reorder_all)
{
	.link = { .delay_ns = 1 * SIM_MSEC, .reorder = 1, .reorder_ns = 50 * SIM_MSEC },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(link, duplicate)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .duplicate = 0.5 },
	.bytes = 5 * MB,
};

FIXTURE_VARIANT_ADD(link, corrupt)
{
	.link = { .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .corrupt = 0.05 },
	.bytes = 2 * MB,
};

FIXTURE_VARIANT_ADD(link, all_at_once)
{
	.link = {
		.rate = 1250 * KB, .delay_ns = 30 * SIM_MSEC, .queue = 30 * KB,
		.loss = 0.05, .duplicate = 0.1, .reorder = 0.1, .reorder_ns = 40 * SIM_MSEC,
		.corrupt = 0.02,
	},
	.bytes = 1 * MB,
};

FIXTURE_SETUP(link)
{
	printf("# seed %llu\n", seed());
	sim_init(&self->sim, seed());
	set_links(&self->sim, &variant->link);
	ASSERT_EQ(0, sim_start(&self->sim));
}

FIXTURE_TEARDOWN(link)
{
	finish(_metadata, &self->sim);
}

TEST_F(link, one_stream)
{
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 1000, variant->bytes));
	ASSERT_EQ(0, sim_run(&self->sim, 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
	sim_run_for(&self->sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(&self->sim));
}

TEST_F(link, both_ways_from_both_sides)
{
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, variant->bytes / 4, variant->bytes / 4));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_B, variant->bytes / 4, variant->bytes / 4));
	ASSERT_EQ(0, sim_run(&self->sim, 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
	sim_run_for(&self->sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(&self->sim));
}

TEST_F(link, hundred_streams)
{
	int i;

	for (i = 0; i < 100; i++) {
		enum sim_side side = i % 3 ? SIM_A : SIM_B;

		ASSERT_NE(NULL, sim_open(&self->sim, side, sim_random(&self->sim) % (20 * KB),
					 sim_random(&self->sim) % (variant->bytes / 100)));
	}
	ASSERT_EQ(0, sim_run(&self->sim, 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
	sim_run_for(&self->sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(&self->sim));
}

TEST_F(link, one_after_the_other_with_timers_of_1_ms)
{
	int i;

	self->sim.tick_ns = SIM_MSEC;
	for (i = 0; i < 20; i++) {
		ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, i * 500, i * 5000));
		ASSERT_EQ(0, sim_run(&self->sim, 300 * SIM_SEC));
	}
	EXPECT_TRUE(is_complete(&self->sim));
	sim_run_for(&self->sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(&self->sim));
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

TEST_F(sim, thousand_streams)
{
	int i;

	ASSERT_EQ(0, sim_start(&self->sim));
	for (i = 0; i < 1000; i++)
		ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, i, 2 * i));
	ASSERT_EQ(0, sim_run(&self->sim, 10 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).retransmitted_bytes);
	EXPECT_EQ(0, stats_of(&self->sim, SIM_B).retransmitted_bytes);
}

TEST_F(sim, more_streams_than_ids_remembered)
{
	int i, j;

	self->sim.link[SIM_A].loss = 0.02;
	ASSERT_EQ(0, sim_start(&self->sim));
	for (i = 0; i < 12; i++) {
		for (j = 0; j < 2000; j++)
			ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 10, 0));
		ASSERT_EQ(0, sim_run(&self->sim, 60 * SIM_SEC));
	}
	EXPECT_TRUE(is_complete(&self->sim));
	EXPECT_LT(HTP_ID_WINDOW, self->sim.assoc[SIM_B]->seen_base);
}

TEST_F(sim, ids_run_out_while_the_peer_is_silent)
{
	int i;

	self->sim.link[SIM_A].dead = true;
	ASSERT_EQ(0, sim_start(&self->sim));
	for (i = 0; i < HTP_ID_WINDOW; i++)
		ASSERT_NE(NULL, htp_stream_open(self->sim.assoc[SIM_A], NULL, 0, NULL));
	EXPECT_EQ(NULL, htp_stream_open(self->sim.assoc[SIM_A], NULL, 0, NULL));
}

/* No bytes, in either direction or both */
TEST_F(sim, empty_streams)
{
	ASSERT_EQ(0, sim_start(&self->sim));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 0, 0));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 1, 0));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_B, 0, 1));
	ASSERT_EQ(0, sim_run(&self->sim, 1 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
}

/*
 * Each of the first datagrams of either direction is lost, alone or with a
 * second one: OPEN, ACCEPT, data, the tail, FIN, any ACK. PTOs repair it soon.
 */
TEST(any_two_of_the_first_datagrams_lost)
{
	int side, i, j;

	for (side = SIM_A; side <= SIM_B; side++) {
		for (i = 0; i < 16; i++) {
			for (j = i; j < 16; j++) {
				struct sim sim;

				sim_init(&sim, seed());
				sim.link[side].drop_mask = 1ULL << i | 1ULL << j;
				sim.config[SIM_A].initial_rtt_ns = 20 * SIM_MSEC;
				sim.config[SIM_B].initial_rtt_ns = 20 * SIM_MSEC;
				ASSERT_EQ(0, sim_start(&sim));
				ASSERT_NE(NULL, sim_open(&sim, SIM_A, 6000, 9000));
				ASSERT_EQ(0, sim_run(&sim, 1 * SIM_SEC)) {
					TH_LOG("side %d lost %d, %d", side, i, j);
				}
				ASSERT_TRUE(is_complete(&sim));
				finish(_metadata, &sim);
			}
		}
	}
}

/* The last datagram is lost: nothing after it tells, only the PTO does */
TEST_F(sim, tail_loss)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	sim->link[SIM_A].drop_mask = 1ULL << sim->link[SIM_A].nr_sent;
	flow = sim_open(sim, SIM_A, 500, 0);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 19 * SIM_MSEC);
	EXPECT_EQ(NULL, sim_peer(sim, flow));
	ASSERT_EQ(0, sim_run(sim, 200 * SIM_MSEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_EQ(1, stats_of(sim, SIM_A).ptos);
}

/* OPEN is lost, the bytes after it are not: they wait for it */
TEST_F(sim, bytes_before_open)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	unsigned int events;

	sim->link[SIM_A].drop_mask = 1;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 5000, 0);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 12 * SIM_MSEC);
	EXPECT_EQ(1, stats_of(sim, SIM_B).nr_streams);
	EXPECT_EQ(NULL, htp_assoc_event(sim->assoc[SIM_B], &events));
	EXPECT_EQ(NULL, sim_peer(sim, flow));
	ASSERT_EQ(0, sim_run(sim, 2 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

TEST_F(sim, round_trips_are_measured)
{
	ASSERT_EQ(0, sim_start(&self->sim));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 100 * KB, 100 * KB));
	ASSERT_EQ(0, sim_run(&self->sim, 10 * SIM_SEC));
	EXPECT_EQ(20 * SIM_MSEC, stats_of(&self->sim, SIM_A).min_rtt_ns);
	EXPECT_GE(stats_of(&self->sim, SIM_A).srtt_ns, 20 * SIM_MSEC);
	EXPECT_LT(stats_of(&self->sim, SIM_A).srtt_ns, 26 * SIM_MSEC);
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).ptos);
}

/* 100 Mbit/s, 50 ms, a queue of one round trip: 26 MB take 2.1 s at best */
TEST_F(sim, the_link_is_filled)
{
	const struct sim_link link = {
		.rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 625 * KB,
	};
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	set_links(sim, &link);
	sim->tick_ns = SIM_MSEC;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 100, 26 * MB);
	ASSERT_NE(NULL, flow);
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_LT(sim->now, SIM_SEC + 2600 * SIM_MSEC);
	EXPECT_EQ(0, stats_of(sim, SIM_B).ptos);
	EXPECT_LT(stats_of(sim, SIM_B).rx_datagrams, stats_of(sim, SIM_B).tx_datagrams / 4);
}

/* An association that is warm needs no slow start for the next stream */
TEST_F(sim, second_stream_is_fast)
{
	struct sim *sim = &self->sim;
	__u64 start;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 2 * MB));
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	sim_run_for(sim, 60 * SIM_SEC);
	start = sim->now;
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 500 * KB));
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_LT(sim->now - start, 70 * SIM_MSEC);
}

/* Streams take turns: a small one isn't queued behind a big one */
TEST_F(sim, bulk_delays_no_other)
{
	const struct sim_link link = {
		.rate = 1250 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 25 * KB,
	};
	struct sim *sim = &self->sim;
	struct sim_flow *bulk, *small;
	__u64 start;

	set_links(sim, &link);
	ASSERT_EQ(0, sim_start(sim));
	bulk = sim_open(sim, SIM_A, 20 * MB, 0);
	ASSERT_NE(NULL, bulk);
	sim_run_for(sim, 3 * SIM_SEC);
	EXPECT_GT(htp_stream_unsent(bulk->stream), 500 * KB);
	start = sim->now;
	small = sim_open(sim, SIM_A, 3000, 0);
	ASSERT_NE(NULL, small);
	while (small->stream && sim->now < start + SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_TRUE(small->finished);
	EXPECT_LT(sim->now - start, 150 * SIM_MSEC);
	EXPECT_FALSE(bulk->finished);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

/* Half-close: one direction ends, the other goes on for long */
TEST_F(sim, end_of_one_direction_only)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	sim->link[SIM_B].rate = 100 * KB;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 10, 1 * MB);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 1 * SIM_SEC);
	ASSERT_NE(NULL, sim_peer(sim, flow));
	EXPECT_TRUE(sim_peer(sim, flow)->saw_end);
	EXPECT_FALSE(flow->saw_end);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

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

static struct sim_flow *start_transfer(struct __test_metadata *_metadata, struct sim *sim)
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

TEST_F(sim, reset_in_mid_transfer)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);
	struct iovec iov;

	htp_stream_reset(flow->stream, HTP_CODE_APP_RESET);
	flow->reset = true;
	EXPECT_EQ(-ECONNRESET, htp_stream_peek(flow->stream, &iov, 1));
	EXPECT_EQ(-ECONNRESET, htp_stream_reserve(flow->stream, &iov, 1));
	EXPECT_EQ(-ECONNRESET, htp_stream_commit(flow->stream, 0));
	EXPECT_EQ(-ECONNRESET, htp_stream_finish(flow->stream));
	EXPECT_EQ(HTP_CODE_APP_RESET, htp_stream_code(flow->stream));
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_TRUE(sim_peer(sim, flow)->reset);
	EXPECT_EQ(HTP_CODE_APP_RESET, sim_peer(sim, flow)->code);
	htp_stream_release(flow->stream);
	EXPECT_TRUE(is_settled(sim));
}

/* Closing a TCP socket with unread bytes is a reset as well */
TEST_F(sim, release_in_mid_transfer)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);

	sim->link[SIM_A].loss = 0.5;
	sim->link[SIM_B].loss = 0.5;
	htp_stream_release(flow->stream);
	flow->stream = NULL;
	flow->reset = true;
	sim->nr_live--;
	sim_run_for(sim, 100 * SIM_SEC);
	EXPECT_TRUE(sim_peer(sim, flow)->reset);
	EXPECT_EQ(HTP_CODE_APP_RESET, sim_peer(sim, flow)->code);
	EXPECT_TRUE(is_settled(sim));
}

TEST_F(sim, both_sides_reset)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);

	htp_stream_reset(flow->stream, HTP_CODE_APP_RESET);
	htp_stream_reset(sim_peer(sim, flow)->stream, HTP_CODE_NOMEM);
	htp_stream_release(flow->stream);
	htp_stream_release(sim_peer(sim, flow)->stream);
	flow->reset = true;
	sim_peer(sim, flow)->reset = true;
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_TRUE(is_settled(sim));
}

/* RESET of a stream whose OPEN never left, and of one whose OPEN is lost */
TEST_F(sim, reset_right_after_open)
{
	struct sim *sim = &self->sim;
	struct htp_stream *s;

	sim->link[SIM_A].drop_mask = 1 << 1;
	ASSERT_EQ(0, sim_start(sim));
	s = htp_stream_open(sim->assoc[SIM_A], "x", 1, NULL);
	ASSERT_NE(NULL, s);
	htp_stream_release(s);
	sim_run_for(sim, 1 * SIM_MSEC);
	s = htp_stream_open(sim->assoc[SIM_A], "y", 1, NULL);
	ASSERT_NE(NULL, s);
	sim_run_for(sim, 1 * SIM_MSEC);
	EXPECT_EQ(2, sim->link[SIM_A].nr_sent);
	htp_stream_release(s);
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_EQ(NULL, sim->flows);
	EXPECT_TRUE(is_settled(sim));
	EXPECT_EQ(2, sim->assoc[SIM_B]->seen_base);
}

/* Finished by both applications, not yet acknowledged: releasing it loses nothing */
TEST_F(sim, release_while_the_rest_is_under_way)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 1 * MB, 0);
	ASSERT_NE(NULL, flow);
	while (!flow->saw_end)
		sim_run_for(sim, 1 * SIM_MSEC);
	EXPECT_LT(flow->stream->tx.acked, flow->stream->tx.end);
	htp_stream_release(flow->stream);
	flow->stream = NULL;
	flow->finished = true;
	sim->nr_live--;
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

TEST_F(sim, refused)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	sim->refuse[SIM_B] = true;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 100 * KB, 0);
	ASSERT_NE(NULL, flow);
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	EXPECT_TRUE(flow->reset);
	EXPECT_FALSE(flow->accepted);
	EXPECT_EQ(HTP_CODE_REFUSED, flow->code);
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

TEST_F(sim, one_stream_too_many)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	int i, nr_refused = 0;

	sim->config[SIM_B].max_streams = 10;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 200; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 10, 100 * KB));
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	for (flow = sim->flows; flow; flow = flow->next) {
		EXPECT_NE(flow->reset, flow->finished);
		nr_refused += flow->reset;
		if (flow->reset)
			EXPECT_EQ(HTP_CODE_NOMEM, flow->code);
	}
	EXPECT_GE(nr_refused, 1);
	EXPECT_LE(nr_refused, 190);
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

TEST_F(sim, close)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);

	ASSERT_NE(NULL, sim_open(sim, SIM_B, 100, 100));
	htp_assoc_close(sim->assoc[SIM_B], HTP_CODE_SHUTDOWN);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_B]));
	EXPECT_EQ(NULL, htp_stream_open(sim->assoc[SIM_B], NULL, 0, NULL));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_SHUTDOWN, htp_assoc_code(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_SHUTDOWN, flow->code);
	EXPECT_TRUE(flow->reset);
	EXPECT_TRUE(sim_peer(sim, flow)->reset);
	EXPECT_EQ(0, sim_run_idle(sim, 1 * SIM_SEC));
}

/* CLOSE is lost: the peer goes on, and is told again, but not for each datagram */
TEST_F(sim, lost_close)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);
	__u64 sent;

	htp_assoc_close(sim->assoc[SIM_B], HTP_CODE_NONE);
	sent = sim->link[SIM_B].nr_sent;
	sim->link[SIM_B].dead = true;
	sim_run_for(sim, 200 * SIM_MSEC);
	EXPECT_LE(sim->link[SIM_B].nr_sent - sent, 8);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	sim->link[SIM_B].dead = false;
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_TRUE(flow->reset);
	EXPECT_EQ(HTP_CODE_NONE, flow->code);
}

TEST_F(sim, idle_timeout)
{
	struct sim *sim = &self->sim;
	__u64 end;

	sim->config[SIM_A].idle_timeout_ns = 30 * SIM_SEC;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	end = sim->now;
	sim_run_for(sim, 29 * SIM_SEC);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_LE(htp_assoc_deadline(sim->assoc[SIM_A]), end + 30 * SIM_SEC);
	EXPECT_EQ(0, sim_run_idle(sim, 3 * SIM_SEC));
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_NONE, htp_assoc_code(sim->assoc[SIM_A]));
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_B]));
}

TEST_F(sim, expire_tells_of_the_end_once)
{
	struct sim *sim = &self->sim;

	sim->config[SIM_A].idle_timeout_ns = 30 * SIM_SEC;
	ASSERT_EQ(0, sim_start(sim));
	EXPECT_EQ(0, htp_assoc_expire(sim->assoc[SIM_A], sim->now + 30 * SIM_SEC - 1));
	EXPECT_EQ(-ETIMEDOUT, htp_assoc_expire(sim->assoc[SIM_A], sim->now + 30 * SIM_SEC));
	EXPECT_EQ(0, htp_assoc_expire(sim->assoc[SIM_A], sim->now + 31 * SIM_SEC));
}

/* Streams are open and nothing happens for an hour: PINGs, and nobody dies of silence */
TEST_F(sim, keep_alive)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	__u64 sent;
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].keepalive_ns = 10 * SIM_SEC;
		sim->config[side].dead_ns = 30 * SIM_SEC;
		sim->config[side].idle_timeout_ns = 60 * SIM_SEC;
	}
	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 100, 100);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 10 * SIM_SEC);
	sent = sim->link[SIM_A].nr_sent;
	sim_run_for(sim, 3600 * SIM_SEC);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_GE(sim->link[SIM_A].nr_sent - sent, 300);
	EXPECT_LE(sim->link[SIM_A].nr_sent - sent, 800);
	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	sim_run_for(sim, 31 * SIM_SEC);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_TIMEOUT, htp_assoc_code(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_TIMEOUT, htp_assoc_code(sim->assoc[SIM_B]));
}

TEST_F(sim, dead_peer)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	__u64 start;

	sim->config[SIM_A].dead_ns = 20 * SIM_SEC;
	flow = start_transfer(_metadata, sim);
	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	start = sim->now;
	sim_run_for(sim, 19 * SIM_SEC);
	EXPECT_FALSE(flow->reset);
	sim_run_for(sim, 2 * SIM_SEC);
	EXPECT_TRUE(flow->reset);
	EXPECT_EQ(HTP_CODE_TIMEOUT, flow->code);
	EXPECT_LE(flow->done_ns, start + 20 * SIM_SEC + 500 * SIM_MSEC);
	EXPECT_GE(flow->done_ns, start + 20 * SIM_SEC - 20 * SIM_MSEC);
}

/* Long idle without keep-alive, then bytes: the peer gets the full time to answer */
TEST_F(sim, silence_counts_only_when_asked)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	sim->config[SIM_A].dead_ns = 20 * SIM_SEC;
	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	sim_run_for(sim, 3600 * SIM_SEC);
	sim->link[SIM_A].dead = true;
	flow = sim_open(sim, SIM_A, 100, 100);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 15 * SIM_SEC);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	sim->link[SIM_A].dead = false;
	sim_run_for(sim, 3 * SIM_SEC);
	EXPECT_TRUE(flow->finished);
}

/* The path is gone for a while: it is noticed within 2 s when it is back */
TEST_F(sim, path_comes_back)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);
	__u64 received;

	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	sim_run_for(sim, 100 * SIM_SEC);
	received = flow->received;
	sim->link[SIM_A].dead = false;
	sim->link[SIM_B].dead = false;
	sim_run_for(sim, 2200 * SIM_MSEC);
	EXPECT_GT(flow->received, received);
	ASSERT_EQ(0, sim_run(sim, 100 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

TEST_F(sim, suspect_of_a_peer_that_is_gone)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = start_transfer(_metadata, sim);
	__u64 start;

	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	sim_run_for(sim, 100 * SIM_MSEC);
	start = sim->now;
	htp_assoc_suspect(sim->assoc[SIM_A], sim->now);
	htp_assoc_suspect(sim->assoc[SIM_A], sim->now);
	sim_run_for(sim, 2 * SIM_SEC);
	EXPECT_TRUE(flow->reset);
	EXPECT_EQ(HTP_CODE_TIMEOUT, flow->code);
	EXPECT_GE(flow->done_ns - start, 200 * SIM_MSEC);
	EXPECT_LT(flow->done_ns - start, 1 * SIM_SEC);
	htp_assoc_close(sim->assoc[SIM_B], HTP_CODE_NONE);
	sim_run_for(sim, SIM_MSEC);
}

TEST_F(sim, suspect_of_a_peer_that_answers)
{
	struct sim *sim = &self->sim;
	__u64 sent;

	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	sim_run_for(sim, 10 * SIM_SEC);
	sent = sim->link[SIM_A].nr_sent;
	htp_assoc_suspect(sim->assoc[SIM_A], sim->now);
	sim_run_for(sim, 1);
	EXPECT_EQ(sent + 1, sim->link[SIM_A].nr_sent);
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
}

TEST_F(sim, an_hour_of_delay)
{
	self->sim.link[SIM_B].delay_ns = 3600 * SIM_SEC;
	ASSERT_EQ(0, sim_start(&self->sim));
	ASSERT_NE(NULL, sim_open(&self->sim, SIM_A, 30 * KB, 30 * KB));
	ASSERT_EQ(0, sim_run(&self->sim, 48 * 3600 * SIM_SEC));
	EXPECT_TRUE(is_complete(&self->sim));
}

/* Late packets are called lost, then ACKs tell otherwise: thresholds grow, the window returns */
TEST_F(sim, spurious_losses_are_undone)
{
	const struct sim_link link = {
		.rate = 12500 * KB, .delay_ns = 20 * SIM_MSEC, .reorder = 0.01,
		.reorder_ns = 10 * SIM_MSEC,
	};
	struct sim *sim = &self->sim;
	struct htp_stats stats;

	set_links(sim, &link);
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 20 * MB, 0));
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	stats = stats_of(sim, SIM_A);
	EXPECT_GE(stats.spurious_losses, 1);
	EXPECT_EQ(stats.lost_packets, stats.spurious_losses);
	EXPECT_GT(sim->assoc[SIM_A]->rc.reorder_packets, 3);
	EXPECT_GT(stats.cwnd_bytes, 500 * KB);
	EXPECT_LT(stats.lost_packets, 100);
	EXPECT_LT(sim->now, SIM_SEC + 3 * SIM_SEC);
}

/* The low 32 bits of packet numbers wrap in the middle of a transfer with losses */
TEST_F(sim, packet_numbers_wrap)
{
	struct sim *sim = &self->sim;
	int side;

	ASSERT_EQ(0, sim_start(sim));
	for (side = SIM_A; side <= SIM_B; side++) {
		struct htp_assoc *a = sim->assoc[side];

		a->rc.next_pn = 0xfffffe00;
		a->rc.base = a->rc.next_pn;
		sim->assoc[!side]->acks.largest = a->rc.next_pn - 1;
		sim->assoc[!side]->acks.too_old = a->rc.next_pn;
		sim->link[side].loss = 0.02;
		sim->link[side].reorder = 0.02;
		sim->link[side].reorder_ns = 5 * SIM_MSEC;
	}
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 2 * MB, 2 * MB));
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_GT(sim->assoc[SIM_A]->rc.next_pn, 1ULL << 32);
	EXPECT_GT(sim->assoc[SIM_B]->rc.next_pn, 1ULL << 32);
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

/*
 * The n-th allocation of one side fails, for each n: the transfer completes or
 * both sides are told, nothing leaks. Later allocations work again.
 */
static bool run_with_failure(struct __test_metadata *_metadata, enum sim_side side, __u64 nth)
{
	const struct sim_link link = { .delay_ns = 5 * SIM_MSEC, .rate = 1250 * KB, .loss = 0.05 };
	bool reached;
	struct sim sim;
	int i;

	sim_init(&sim, seed());
	set_links(&sim, &link);
	sim.mem[side].fail_at = nth;
	if (sim_start(&sim)) {
		EXPECT_EQ(0, sim_exit(&sim));
		return true;
	}
	for (i = 0; i < 4; i++)
		sim_open(&sim, i % 2 ? SIM_A : SIM_B, 50 * KB, 20 * KB);
	EXPECT_EQ(0, sim_run(&sim, 60 * SIM_SEC)) {
		TH_LOG("side %d, allocation %llu", side, nth);
	}
	reached = sim.mem[side].nr >= nth;
	for (struct sim_flow *flow = sim.flows, *next; flow; flow = next) {
		next = flow->next;
		if (!flow->id)		/* could not be opened */
			flow->reset = true;
	}
	finish(_metadata, &sim);
	return reached;
}

TEST(nth_allocation_fails)
{
	int side;
	__u64 n;

	for (side = SIM_A; side <= SIM_B; side++) {
		for (n = 1; run_with_failure(_metadata, side, n); n++)
			ASSERT_TRUE(_metadata->exit_code != KSFT_FAIL);
		EXPECT_GT(n, 20);
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

/* Damage gets past the checksum: the parser survives; what comes out is not looked at */
TEST(damaged_datagrams_are_delivered)
{
	unsigned int i;

	for (i = 0; i < 200; i++) {
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

/* A peer that says what the test wants; packet numbers count up */
FIXTURE(hostile)
{
	struct sim		sim;
	struct htp_assoc	*a;
	__u32			pn;
	__u8			pkt[HTP_MAX_DATAGRAM];
};

FIXTURE_SETUP(hostile)
{
	sim_init(&self->sim, seed());
	self->sim.config[SIM_A].stream_window = 10000;
	self->sim.config[SIM_A].window = 30000;
	self->sim.config[SIM_A].max_streams = 100;
	ASSERT_EQ(0, sim_start(&self->sim));
	self->a = self->sim.assoc[SIM_A];
}

FIXTURE_TEARDOWN(hostile)
{
	EXPECT_EQ(0, self->sim.errors);
	EXPECT_EQ(0, sim_exit(&self->sim));
}

/* Numbers become varints in the control part; -1 ends the list */
static int say(FIXTURE_DATA(hostile) *self, size_t payload, const long long *fields)
{
	struct htp_writer w = {
		.p = self->pkt + HTP_HDR_LEN, .end = self->pkt + sizeof(self->pkt),
	};
	struct htp_hdr hdr = { .type = HTP_DATA, .pn = self->pn++ };

	while (*fields >= 0)
		htp_write_varint(&w, *fields++);
	hdr.ctl_len = w.p - self->pkt - HTP_HDR_LEN;
	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	memset(w.p, 'x', payload);
	self->sim.now += SIM_USEC;
	return htp_assoc_rx(self->a, self->pkt, w.p - self->pkt + payload, self->sim.now);
}

#define SAY(payload, ...) say(self, payload, (const long long[]){ __VA_ARGS__, -1 })

/* Side A is the initiator: its streams are even, the peer's odd */
#define EXPECT_VIOLATION(payload, ...) do {					\
	EXPECT_EQ(-EPROTO, SAY(payload, __VA_ARGS__));				\
	EXPECT_TRUE(htp_assoc_is_closed(self->a));				\
	EXPECT_EQ(HTP_CODE_PROTOCOL, htp_assoc_code(self->a));			\
	EXPECT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), 0), 0);	\
	EXPECT_EQ(HTP_F_CLOSE, self->pkt[HTP_HDR_LEN]);				\
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));			\
} while (0)

TEST_F(hostile, unknown_frame)
{
	EXPECT_VIOLATION(0, HTP_F_PING, 0x3f);
}

TEST_F(hostile, ack_of_what_was_never_sent)
{
	EXPECT_VIOLATION(0, HTP_F_ACK, 0, 0, 0, 0);
}

TEST_F(hostile, stream_of_mine_that_i_never_opened)
{
	EXPECT_VIOLATION(1, HTP_F_STREAM, 2, 0, 1);
}

TEST_F(hostile, open_of_my_stream)
{
	struct htp_stream *s = htp_stream_open(self->a, NULL, 0, NULL);

	ASSERT_NE(NULL, s);
	EXPECT_VIOLATION(0, HTP_F_OPEN, 2, 0);
	htp_stream_release(s);
}

TEST_F(hostile, accept_of_its_own_stream)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_VIOLATION(0, HTP_F_ACCEPT, 1);
}

TEST_F(hostile, stream_zero)
{
	EXPECT_VIOLATION(1, HTP_F_STREAM, 0, 0, 1);
}

TEST_F(hostile, stream_id_far_ahead)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 2 * HTP_ID_WINDOW - 1, 0));
	EXPECT_VIOLATION(0, HTP_F_OPEN, 2 * HTP_ID_WINDOW + 1, 0);
}

TEST_F(hostile, open_with_too_much)
{
	__u8 *p = self->pkt + HTP_HDR_LEN;
	struct htp_hdr hdr = { .type = HTP_DATA, .ctl_len = 4 + 257 };

	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	memcpy(p, (const __u8[]){ HTP_F_OPEN, 1, 0x41, 0x01 }, 4);
	EXPECT_EQ(-EPROTO, htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + 4 + 257, 1));
}

TEST_F(hostile, beyond_the_stream_window)
{
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 1, 9999, 1));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 1, 10000, 1);
}

TEST_F(hostile, beyond_the_association_window)
{
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 1, 9999, 1));
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 3, 9999, 1));
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 5, 9999, 1));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 7, 0, 1);
}

TEST_F(hostile, reset_beyond_the_window)
{
	EXPECT_VIOLATION(0, HTP_F_RESET, 1, 1, 10001);
}

TEST_F(hostile, bytes_after_the_end)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 1, 5, 1);
}

TEST_F(hostile, end_moves)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_VIOLATION(4, HTP_F_STREAM_FIN, 1, 0, 4);
}

TEST_F(hostile, end_before_bytes_that_came)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM, 1, 0, 5));
	EXPECT_VIOLATION(0, HTP_F_RESET, 1, 1, 4);
}

TEST_F(hostile, malformed_datagrams_change_nothing)
{
	struct htp_hdr hdr = { .type = HTP_HELLO, .ctl_len = 1, .pn = 1000 };

	EXPECT_EQ(-EBADMSG, SAY(0, -1));				/* no frame at all */
	EXPECT_EQ(-EBADMSG, SAY(2, HTP_F_STREAM, 1, 0, 1));		/* payload too long */
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_STREAM, 1, 0, 1));		/* too short */
	EXPECT_EQ(-EBADMSG, SAY(3, HTP_F_STREAM, 1, 0, 1, HTP_F_STREAM, 1, 1, 3));
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_MAX_DATA));			/* cut */
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_OPEN, 1, 5));
	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	self->pkt[HTP_HDR_LEN] = HTP_F_PING;
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + 1, 1));
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, 3, 1));
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, 0, 1));
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
	EXPECT_EQ(9, stats_of(&self->sim, SIM_A).rx_malformed);
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).nr_streams);
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));
}

TEST_F(hostile, repeated_datagram)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	self->pn--;
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 3, 0));
	EXPECT_EQ(1, stats_of(&self->sim, SIM_A).rx_duplicates);
	EXPECT_EQ(1, stats_of(&self->sim, SIM_A).nr_streams);
}

TEST_F(hostile, frames_of_a_stream_that_is_gone)
{
	unsigned int events;
	struct htp_stream *s;

	EXPECT_EQ(0, SAY(3, HTP_F_OPEN, 1, 0, HTP_F_STREAM_FIN, 1, 0, 3));
	s = htp_assoc_event(self->a, &events);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(HTP_EV_OPENED | HTP_EV_READABLE, events);
	htp_stream_release(s);
	ASSERT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), self->sim.now), 0);
	EXPECT_EQ(0, SAY(0, HTP_F_ACK, 0, 0, 0, 0));
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).nr_streams);
	EXPECT_EQ(0, SAY(3, HTP_F_OPEN, 1, 0, HTP_F_STREAM_FIN, 1, 0, 3));
	EXPECT_EQ(0, SAY(0, HTP_F_RESET, 1, 1, 3, HTP_F_MAX_STREAM_DATA, 1, 5));
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).nr_streams);
	EXPECT_EQ(NULL, htp_assoc_event(self->a, &events));
}

/* Single bytes with gaps, streams without end, RESETs that are never acknowledged */
TEST_F(hostile, memory_is_bounded)
{
	size_t most = 30000 + 100 * HTP_CHUNK;
	int i, refused = 0;

	for (i = 0; i < 5000; i++)
		SAY(1, HTP_F_STREAM, 1, 9998 - 2 * i, 1);
	EXPECT_LE(self->a->nr_ahead, self->a->max_ahead);
	EXPECT_LT(self->sim.mem[SIM_A].bytes, most);
	for (i = 3; i < 20000; i += 2)
		if (SAY(1, HTP_F_STREAM, i, 100, 1) == -ENOMEM)
			refused++;
	EXPECT_GT(refused, 9000);
	EXPECT_EQ(100, self->a->nr_peer);
	EXPECT_EQ(HTP_STUBS, self->a->nr_stubs);
	EXPECT_LT(self->sim.mem[SIM_A].bytes, most);
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
}

/* Every packet number apart from the others: the ranges kept stay few, ACKs fit */
TEST_F(hostile, packet_numbers_with_gaps)
{
	int i;

	for (i = 0; i < 3000; i++) {
		self->pn++;
		ASSERT_EQ(0, SAY(0, HTP_F_PING));
		if (i % 100 == 99)
			ASSERT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), 0), 0);
	}
	EXPECT_EQ(HTP_RX_RANGES, self->a->acks.nr);
	self->pn = 5;
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).nr_streams);
	EXPECT_EQ(1, stats_of(&self->sim, SIM_A).rx_duplicates);
}

/* Random bytes behind a good header */
TEST_F(hostile, noise)
{
	struct sim *sim = &self->sim;
	int i, nr_closed = 0;
	size_t j, len;

	for (i = 0; i < 100000; i++) {
		struct htp_hdr hdr = { .type = HTP_DATA, .pn = self->pn++ };

		len = sim_random(sim) % 40;
		hdr.ctl_len = len ? sim_random(sim) % len + 1 : 0;
		htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
		for (j = 0; j < len; j++)
			self->pkt[HTP_HDR_LEN + j] = sim_random(sim) >> (sim_random(sim) % 64);
		htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + len, sim->now += SIM_USEC);
		while (htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), sim->now) > 0)
			;
		htp_assoc_expire(self->a, sim->now);
		if (!htp_assoc_is_closed(self->a))
			continue;
		nr_closed++;
		self->pn = 0;
		htp_assoc_destroy(self->a);
		self->a = htp_assoc_create(&sim->config[SIM_A], sim->now);
		ASSERT_NE(NULL, self->a);
		sim->assoc[SIM_A] = self->a;
	}
	EXPECT_GT(nr_closed, 100);
}

TEST_F(sim, calls_in_the_wrong_state)
{
	struct sim *sim = &self->sim;
	struct htp_stream *s, *peer;
	unsigned int events;
	struct iovec iov[2];
	char big[300] = "";
	__u8 pkt[1200];
	size_t len;

	ASSERT_EQ(0, sim_start(sim));
	EXPECT_EQ(NULL, htp_stream_open(sim->assoc[SIM_A], big, 257, NULL));
	s = htp_stream_open(sim->assoc[SIM_A], big, 256, big);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(&big[0], htp_stream_owner(s));
	EXPECT_EQ(2, htp_stream_id(s));
	EXPECT_EQ(-EINVAL, htp_stream_accept(s, NULL));
	EXPECT_EQ(-EINVAL, htp_stream_reserve(s, iov, 0));
	EXPECT_EQ(-EINVAL, htp_stream_peek(s, iov, 0));
	EXPECT_EQ(-EINVAL, htp_stream_commit(s, 1));
	EXPECT_EQ(-EINVAL, htp_stream_consume(s, 1));
	EXPECT_EQ(0, htp_stream_peek(s, iov, 1));
	ASSERT_EQ(1, htp_stream_reserve(s, iov, 1));
	EXPECT_EQ(-EINVAL, htp_stream_commit(s, iov[0].iov_len + 1));
	memcpy(iov[0].iov_base, "abc", 3);
	EXPECT_EQ(0, htp_stream_commit(s, 3));
	EXPECT_EQ(-EINVAL, htp_stream_commit(s, 1));
	EXPECT_EQ(3, htp_stream_unsent(s));
	ASSERT_EQ(2, htp_stream_reserve(s, iov, 2));
	EXPECT_EQ(0, htp_stream_finish(s));
	EXPECT_EQ(0, htp_stream_finish(s));
	EXPECT_EQ(-EPIPE, htp_stream_commit(s, 1));
	EXPECT_EQ(-EPIPE, htp_stream_reserve(s, iov, 1));

	/* hand over by hand: the little application is not to see it */
	EXPECT_EQ(-EMSGSIZE, htp_assoc_tx(sim->assoc[SIM_A], pkt, sizeof(pkt) - 1, sim->now));
	len = htp_assoc_tx(sim->assoc[SIM_A], pkt, sizeof(pkt), sim->now);
	ASSERT_EQ(0, htp_assoc_rx(sim->assoc[SIM_B], pkt, len, sim->now));
	EXPECT_EQ(0, htp_stream_unsent(s));
	peer = htp_assoc_event(sim->assoc[SIM_B], &events);
	ASSERT_NE(NULL, peer);
	EXPECT_EQ(HTP_EV_OPENED | HTP_EV_READABLE, events);
	EXPECT_EQ(NULL, htp_stream_owner(peer));
	EXPECT_NE(NULL, htp_stream_open_data(peer, &len));
	EXPECT_EQ(256, len);
	EXPECT_EQ(-ENOTCONN, htp_stream_reserve(peer, iov, 1));
	EXPECT_EQ(-ENOTCONN, htp_stream_finish(peer));
	EXPECT_EQ(0, htp_stream_accept(peer, NULL));
	EXPECT_EQ(-EINVAL, htp_stream_accept(peer, NULL));
	EXPECT_EQ(3, htp_stream_read(peer, big, sizeof(big)));
	EXPECT_EQ(0, memcmp(big, "abc", 3));
	EXPECT_EQ(-ENODATA, htp_stream_read(peer, big, sizeof(big)));
	EXPECT_EQ(-ENODATA, htp_stream_peek(peer, iov, 1));
	htp_stream_reset(peer, HTP_CODE_REFUSED);
	EXPECT_EQ(-ECONNRESET, htp_stream_accept(peer, NULL));
	EXPECT_EQ(-ECONNRESET, htp_stream_read(peer, big, sizeof(big)));
	EXPECT_EQ(-ECONNRESET, htp_stream_write(peer, big, sizeof(big)));
	htp_stream_release(peer);
	htp_stream_release(s);
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

/* Memory handed out and not committed goes back when packets are written */
TEST_F(sim, reserved_and_forgotten)
{
	struct sim *sim = &self->sim;
	struct iovec iov[8];
	struct htp_stream *s;
	__u8 pkt[1200];
	size_t bytes;

	ASSERT_EQ(0, sim_start(sim));
	s = htp_stream_open(sim->assoc[SIM_A], NULL, 0, NULL);
	ASSERT_NE(NULL, s);
	ASSERT_EQ(8, htp_stream_reserve(s, iov, 8));
	bytes = s->tx.q.nr;
	EXPECT_EQ(8, bytes);
	while (htp_assoc_tx(sim->assoc[SIM_A], pkt, sizeof(pkt), sim->now) > 0)
		;
	EXPECT_EQ(0, s->tx.q.nr);
	EXPECT_EQ(-EINVAL, htp_stream_commit(s, 1));
	htp_stream_release(s);
}

/* Full, then room again: told once a quarter is free, not before */
TEST_F(sim, writable_event)
{
	struct sim *sim = &self->sim;
	struct htp_stream *s;
	unsigned int events;
	char buf[10000] = "";
	__u8 pkt[1200];
	int nr = 0;

	sim->config[SIM_A].stream_buffer = 40000;
	ASSERT_EQ(0, sim_start(sim));
	s = htp_stream_open(sim->assoc[SIM_A], NULL, 0, NULL);
	ASSERT_NE(NULL, s);
	while (htp_stream_write(s, buf, sizeof(buf)) > 0)
		nr++;
	EXPECT_EQ(4, nr);
	while (!(s->events & HTP_EV_WRITABLE)) {
		ssize_t len = htp_assoc_tx(sim->assoc[SIM_A], pkt, sizeof(pkt), sim->now);

		ASSERT_LT(s->tx.acked, 10000);
		if (len > 0)
			ASSERT_EQ(0, htp_assoc_rx(sim->assoc[SIM_B], pkt, len, sim->now));
		sim->now += SIM_MSEC;
		len = htp_assoc_tx(sim->assoc[SIM_B], pkt, sizeof(pkt), sim->now);
		if (len > 0)
			ASSERT_EQ(0, htp_assoc_rx(sim->assoc[SIM_A], pkt, len, sim->now));
	}
	EXPECT_EQ(s, htp_assoc_event(sim->assoc[SIM_A], &events));
	EXPECT_EQ(HTP_EV_WRITABLE, events);
	EXPECT_GE(s->tx.acked, 10000);
	EXPECT_EQ(NULL, htp_assoc_event(sim->assoc[SIM_A], &events));
	htp_stream_release(s);
}

TEST_HARNESS_MAIN
