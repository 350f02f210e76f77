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
	sim_run_for(sim, htp_recovery_pto(&sim->assoc[SIM_A]->rc));
	EXPECT_EQ(NULL, sim_peer(sim, flow));
	EXPECT_EQ(1, sim->assoc[SIM_A]->rc.pto_count);
	sim_run_for(sim, 10 * SIM_MSEC);
	ASSERT_NE(NULL, sim_peer(sim, flow));	/* the probe itself held what was lost */
	EXPECT_EQ(500, sim_peer(sim, flow)->received);
	ASSERT_EQ(0, sim_run(sim, 200 * SIM_MSEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_EQ(1, stats_of(sim, SIM_A).ptos);
	EXPECT_EQ(0, sim->assoc[SIM_A]->rc.pto_count);
}

/* Datagrams from one side to the other by hand, except the n-th; the little application rests */
static void hand_over(struct sim *sim, enum sim_side from, int drop)
{
	__u8 pkt[HTP_MAX_DATAGRAM];
	ssize_t len;

	while ((len = htp_assoc_tx(sim->assoc[from], pkt, sizeof(pkt), sim->now)) > 0)
		if (drop--)
			htp_assoc_rx(sim->assoc[!from], pkt, len, sim->now);
}

static unsigned int next_event(struct sim *sim, enum sim_side side, struct htp_stream **s)
{
	unsigned int events = 0;

	*s = htp_assoc_event(sim->assoc[side], &events);
	return events;
}

/* ACCEPT is lost: it is repeated, or implied by the bytes that follow it */
TEST_F(sim, lost_accept)
{
	struct sim *sim = &self->sim;
	struct htp_stream *s, *peer;
	int i;

	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 2; i++) {
		s = htp_stream_open(sim->assoc[SIM_A], NULL, 0, NULL);
		ASSERT_NE(NULL, s);
		hand_over(sim, SIM_A, -1);
		ASSERT_EQ(HTP_EV_OPENED, next_event(sim, SIM_B, &peer));
		ASSERT_EQ(0, htp_stream_accept(peer, NULL));
		hand_over(sim, SIM_B, 0);
		EXPECT_EQ(0, next_event(sim, SIM_A, &s));
		if (i) {
			EXPECT_EQ(1, htp_stream_write(peer, "x", 1));
			hand_over(sim, SIM_B, -1);
			EXPECT_EQ(HTP_EV_ACCEPTED | HTP_EV_READABLE, next_event(sim, SIM_A, &s));
		} else {
			sim->now = htp_assoc_deadline(sim->assoc[SIM_B]);
			EXPECT_EQ(0, htp_assoc_expire(sim->assoc[SIM_B], sim->now));
			hand_over(sim, SIM_B, -1);
			EXPECT_EQ(HTP_EV_ACCEPTED, next_event(sim, SIM_A, &s));
		}
		htp_stream_release(s);
		htp_stream_release(peer);
		sim_run_for(sim, 5 * SIM_SEC);
	}
	EXPECT_TRUE(is_settled(sim));
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

/* An association that is warm needs no slow start for the next stream, yet it doesn't burst */
TEST_F(sim, second_stream_is_fast)
{
	struct sim *sim = &self->sim;
	__u64 start, sent, burst;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 2 * MB));
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	sim_run_for(sim, 60 * SIM_SEC);
	start = sim->now;
	sent = sim->link[SIM_B].nr_sent;
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 500 * KB));
	sim_run_for(sim, 10 * SIM_MSEC);
	burst = 2 * SIM_MSEC * stats_of(sim, SIM_B).pacing_bytes_per_sec / 1200 / SIM_SEC;
	burst = htp_max(10, burst);
	EXPECT_GE(sim->link[SIM_B].nr_sent - sent, burst);
	EXPECT_LE(sim->link[SIM_B].nr_sent - sent, burst + 2);
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
	EXPECT_EQ(0, sim->assoc[SIM_A]->rc.pto_count);
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

/* No other timer runs */
TEST_F(sim, suspect_while_idle)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	__u64 start;

	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, 100, 100);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 10 * SIM_SEC);
	ASSERT_NE(NULL, sim_open(sim, SIM_B, 100, 1 * MB));
	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	start = sim->now;
	htp_assoc_suspect(sim->assoc[SIM_A], sim->now);
	EXPECT_EQ(start, htp_assoc_deadline(sim->assoc[SIM_A]));	/* PING */
	sim_run_for(sim, 1);
	sim->assoc[SIM_A]->rc.pto_count = 10;				/* far away */
	sim_run_for(sim, 250 * SIM_MSEC);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_TIMEOUT, htp_assoc_code(sim->assoc[SIM_A]));
	EXPECT_TRUE(flow->finished);
	EXPECT_FALSE(flow->reset);	/* it had ended well before */
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

/* A controller that only looks on */
struct watcher {
	__u64	rate, limited_rate, sent, acked, lost;
	__u64	cubic[64];
};

static struct watcher watched;

static void watch_init(void *cc, __u32 max_datagram, __u64 now_ns)
{
	memset(&watched, 0, sizeof(watched));
	htp_cc_cubic.init(((struct watcher *)cc)->cubic, max_datagram, now_ns);
}

static void watch_sent(void *cc, const struct htp_cc_sent *sent)
{
	watched.sent += sent->bytes;
}

static void watch_ack(void *cc, const struct htp_cc_ack *ack)
{
	__u64 *rate = ack->app_limited ? &watched.limited_rate : &watched.rate;

	*rate = htp_max(*rate, ack->rate);
	watched.acked += ack->acked_bytes;
	htp_cc_cubic.on_ack(((struct watcher *)cc)->cubic, ack);
}

static void watch_loss(void *cc, const struct htp_cc_loss *loss)
{
	watched.lost += loss->bytes;
	htp_cc_cubic.on_loss(((struct watcher *)cc)->cubic, loss);
}

static void watch_persistent(void *cc, __u64 now_ns)
{
	htp_cc_cubic.on_persistent(((struct watcher *)cc)->cubic, now_ns);
}

static void watch_spurious(void *cc, __u64 now_ns)
{
	htp_cc_cubic.on_spurious(((struct watcher *)cc)->cubic, now_ns);
}

static __u64 watch_cwnd(const void *cc)
{
	return htp_cc_cubic.cwnd(((const struct watcher *)cc)->cubic);
}

static __u64 watch_pacing_rate(const void *cc, __u64 srtt_ns)
{
	return htp_cc_cubic.pacing_rate(((const struct watcher *)cc)->cubic, srtt_ns);
}

static const struct htp_cc_ops watcher = {
	.name		= "watcher",
	.size		= sizeof(struct watcher),
	.init		= watch_init,
	.on_sent	= watch_sent,
	.on_ack		= watch_ack,
	.on_loss	= watch_loss,
	.on_persistent	= watch_persistent,
	.on_spurious	= watch_spurious,
	.cwnd		= watch_cwnd,
	.pacing_rate	= watch_pacing_rate,
};

/* Rate samples see the link's rate, and never more; small transfers are known as such */
TEST_F(sim, delivery_rate)
{
	const struct sim_link link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .queue = 100 * KB,
	};
	struct sim *sim = &self->sim;

	set_links(sim, &link);
	ASSERT_LE(htp_cc_cubic.size, sizeof(watched.cubic));
	sim->config[SIM_A].cc = &watcher;
	sim->overhead = 0;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 5 * KB, 0));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	EXPECT_EQ(0, watched.rate);
	EXPECT_GT(watched.limited_rate, 0);
	EXPECT_LT(watched.limited_rate, 500 * KB);
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 10 * MB, 0));
	ASSERT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_GT(watched.rate, 12300 * KB);
	EXPECT_LE(watched.rate, 12510 * KB);
	EXPECT_EQ(watched.sent, watched.acked + watched.lost +
		  stats_of(sim, SIM_A).in_flight_bytes);
	sim_run_for(sim, 1 * SIM_SEC);
	watched.rate = 0;
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 5 * KB, 0));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	EXPECT_EQ(0, watched.rate);
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

/* Something that an application may do at any time; true if not all bytes can arrive */
static bool random_act(struct sim *sim)
{
	const struct htp_config *a = &sim->config[SIM_A], *b = &sim->config[SIM_B];
	__u64 least = htp_min(a->stream_window, htp_min(a->stream_buffer, b->stream_buffer));
	__u64 most = htp_min(50 * least, 400 * KB);
	enum sim_side side = pick(sim, SIM_A, SIM_B);
	struct sim_flow *flow;

	switch (pick(sim, 0, 5)) {
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
	default:
		return !sim_open(sim, side, pick(sim, 0, most), pick(sim, 0, most));
	}
}

TEST(random_worlds)
{
	unsigned int world, i;

	for (world = 0; world < 150; world++) {
		bool cut = false;
		struct sim sim;

		sim_init(&sim, seed() * 1000 + world);
		random_world(&sim);
		sim.audit = true;
		ASSERT_EQ(0, sim_start(&sim));
		sim.mem[SIM_A].fail_every = world % 3 ? 0 : pick(&sim, 2, 50);
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
