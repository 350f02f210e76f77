// SPDX-License-Identifier: GPL-2.0
/*
 * Loss recovery in the simulator: round trips, probes at the tail, losses that
 * were none, rate samples, packet numbers that wrap.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp/recovery.h"
#include "htp_test.h"

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

/* A controller that only looks on */
struct watcher {
	__u64	rate, limited_rate, sent, acked, lost;
	__u64	cubic[64];
};

static struct watcher watched;

static void watch_init(void *cc, __u32 max_datagram, __u64 rtt_ns, __u64 now_ns)
{
	memset(&watched, 0, sizeof(watched));
	htp_cc_cubic.init(((struct watcher *)cc)->cubic, max_datagram, rtt_ns, now_ns);
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

static void watch_datagram(void *cc, __u32 max_datagram)
{
	htp_cc_cubic.set_datagram(((struct watcher *)cc)->cubic, max_datagram);
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
	.set_datagram	= watch_datagram,
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

TEST_HARNESS_MAIN
