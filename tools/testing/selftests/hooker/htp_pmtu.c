// SPDX-License-Identifier: GPL-2.0
/*
 * Path MTU discovery in the simulator: links that drop datagrams above a size, tell of
 * it or don't, and change in the middle of a transfer.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp/pmtu.h"
#include "htp/recovery.h"
#include "htp/repair.h"
#include "htp_test.h"

#define BASE		HTP_MIN_DATAGRAM
#define ETHERNET	1472
#define JUMBO		8972
#define STEP		16	/* a search may end so much below what passes */
#define RATE		(5 * MB)
#define RAISE_NS	(600 * SIM_SEC)

/* Datagrams are of @proven bytes at first, @probe_max at most; 20 ms and RATE */
static int start(struct sim *sim, const struct htp_cc_ops *cc, __u32 proven, __u32 probe_max,
		 __u64 from_seed)
{
	int side;

	sim_init(sim, from_seed);
	sim->audit = true;
	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].cc = cc;
		sim->config[side].max_datagram = proven;
		sim->config[side].probe_max = probe_max;
		sim->config[side].idle_timeout_ns = 3600 * SIM_SEC;
		sim->config[side].keepalive_ns = 5 * SIM_SEC;
		sim->config[side].dead_ns = 20 * SIM_SEC;
		sim->link[side].rate = RATE;
		sim->link[side].queue = RATE / 20;
	}
	return sim_start(sim);
}

/* CLOSE is to arrive on any path */
static void end(struct __test_metadata *_metadata, struct sim *sim)
{
	EXPECT_TRUE(is_complete(sim));
	sim->link[SIM_A].mtu = 0;
	sim->link[SIM_B].mtu = 0;
	finish(_metadata, sim);
}

static void expect_size(struct __test_metadata *_metadata, const struct sim *sim,
			enum sim_side side, __u64 passes)
{
	__u64 size = stats_of(sim, side).path_mtu;

	EXPECT_LE(size, passes);
	EXPECT_LT(passes, size + STEP);
}

FIXTURE(path)
{
	struct sim sim;
};

FIXTURE_VARIANT(path)
{
	const struct htp_cc_ops	*cc;
};

FIXTURE_VARIANT_ADD(path, bbr)
{
	.cc = &htp_cc_bbr,
};

FIXTURE_VARIANT_ADD(path, cubic)
{
	.cc = &htp_cc_cubic,
};

FIXTURE_SETUP(path)
{
}

FIXTURE_TEARDOWN(path)
{
}

TEST_F(path, proven_size_is_not_probed)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	sim_open(sim, SIM_A, MB, MB);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(0, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_EQ(ETHERNET, stats_of(sim, SIM_A).path_mtu);
	end(_metadata, sim);
}

TEST_F(path, largest_size_is_tried_first)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed()));
	sim->link[SIM_A].queue = 0;
	sim_open(sim, SIM_A, MB, MB);
	sim_run_for(sim, 100 * SIM_MSEC);	/* five round trips */
	EXPECT_EQ(JUMBO, stats_of(sim, SIM_A).path_mtu);
	EXPECT_EQ(JUMBO, stats_of(sim, SIM_B).path_mtu);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(1, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_EQ(1, stats_of(sim, SIM_A).mtu_probes_acked);
	EXPECT_EQ(0, stats_of(sim, SIM_A).congestion_events);
	end(_metadata, sim);
}

/* Each size that fails costs three probes, and none of that is congestion */
TEST_F(path, size_in_between_is_found)
{
	static const __u64 sizes[] = { 1200, 1215, 1216, 1280, 1337, 1444, 1471, 4000, 8971 };
	struct sim *sim = &self->sim;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct htp_stats stats;

		ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed()));
		sim->link[SIM_A].queue = 0;
		sim->link[SIM_A].mtu = sizes[i];
		sim_open(sim, SIM_A, 20 * MB, 1);
		EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
		sim_run_for(sim, 5 * SIM_SEC);	/* the last probe's timer */
		stats = stats_of(sim, SIM_A);
		expect_size(_metadata, sim, SIM_A, sizes[i]);
		EXPECT_EQ(stats.mtu_probes_lost, sim->link[SIM_A].nr_too_big);
		EXPECT_LE(stats.mtu_probes_sent, 40);
		EXPECT_EQ(0, stats.lost_packets);
		EXPECT_EQ(0, stats.congestion_events);
		EXPECT_EQ(0, stats.ptos);
		EXPECT_EQ(0, stats.black_holes);
		end(_metadata, sim);
	}
}

TEST_F(path, directions_differ)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed()));
	sim->link[SIM_A].mtu = 1400;
	sim_open(sim, SIM_A, 10 * MB, 10 * MB);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	expect_size(_metadata, sim, SIM_A, 1400);
	EXPECT_EQ(JUMBO, stats_of(sim, SIM_B).path_mtu);
	end(_metadata, sim);
}

/* The first silence lasts a timeout; then everything flows on in datagrams that fit */
TEST_F(path, black_hole)
{
	struct sim *sim = &self->sim;
	struct htp_stats before;
	struct sim_flow *flow;
	__u64 received;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	flow = sim_open(sim, SIM_A, 50 * MB, 1);
	sim_run_for(sim, 3 * SIM_SEC);
	before = stats_of(sim, SIM_A);
	ASSERT_EQ(ETHERNET, before.path_mtu);
	sim->link[SIM_A].mtu = 1300;
	received = sim_peer(sim, flow)->received;
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_GT(sim_peer(sim, flow)->received, received + RATE / 10);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(1, stats_of(sim, SIM_A).black_holes);
	EXPECT_LE(stats_of(sim, SIM_A).ptos, before.ptos + 2);
	expect_size(_metadata, sim, SIM_A, 1300);
	EXPECT_LT(sim->now, 15 * SIM_SEC);
	end(_metadata, sim);
}

/* What was too large for the path was not lost to congestion */
TEST_F(path, black_hole_is_no_congestion)
{
	struct sim *sim = &self->sim;
	struct htp_stats before;

	ASSERT_EQ(0, start(sim, variant->cc, JUMBO, JUMBO, seed()));
	sim->link[SIM_A].queue = 0;
	sim_open(sim, SIM_A, 20 * MB, 1);
	sim_run_for(sim, 300 * SIM_MSEC);
	before = stats_of(sim, SIM_A);
	sim->link[SIM_A].mtu = ETHERNET;
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(1, stats_of(sim, SIM_A).black_holes);
	EXPECT_EQ(before.congestion_events, stats_of(sim, SIM_A).congestion_events);
	end(_metadata, sim);
}

TEST_F(path, too_big_message)
{
	struct sim *sim = &self->sim;
	struct htp_stats stats;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	sim_open(sim, SIM_A, 30 * MB, 1);
	sim_run_for(sim, 2 * SIM_SEC);
	sim->link[SIM_A].mtu = 1301;
	sim->link[SIM_A].tells_mtu = true;
	sim_run_for(sim, 200 * SIM_MSEC);
	EXPECT_EQ(1301, stats_of(sim, SIM_A).path_mtu);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	stats = stats_of(sim, SIM_A);
	EXPECT_EQ(1301, stats.path_mtu);
	EXPECT_EQ(1, stats.mtu_hints);
	EXPECT_EQ(0, stats.black_holes);
	EXPECT_EQ(1, stats.mtu_probes_sent);
	end(_metadata, sim);
}

/* The message saves the search between */
TEST_F(path, message_about_a_probe)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed()));
	sim->link[SIM_A].mtu = 1433;
	sim->link[SIM_A].tells_mtu = true;
	sim_open(sim, SIM_A, MB, 1);
	sim_run_for(sim, 200 * SIM_MSEC);
	EXPECT_EQ(1433, stats_of(sim, SIM_A).path_mtu);
	EXPECT_EQ(2, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	end(_metadata, sim);
}

/* A path that grows is noticed ten minutes later, one that shrinks again at once */
TEST_F(path, raise_timer)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	__u64 first;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, ETHERNET, seed()));
	sim->link[SIM_A].mtu = 1350;
	sim->linger = true;
	flow = sim_open(sim, SIM_A, 5 * MB, 1);
	sim_run_for(sim, 10 * SIM_SEC);
	expect_size(_metadata, sim, SIM_A, 1350);
	first = stats_of(sim, SIM_A).mtu_probes_sent;
	sim->link[SIM_A].mtu = 0;
	sim_run_for(sim, RAISE_NS - 20 * SIM_SEC);
	EXPECT_EQ(first, stats_of(sim, SIM_A).mtu_probes_sent);
	sim_run_for(sim, 20 * SIM_SEC);
	EXPECT_EQ(first + 1, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_EQ(ETHERNET, stats_of(sim, SIM_A).path_mtu);
	sim_run_for(sim, RAISE_NS + SIM_SEC);	/* nothing left to gain */
	EXPECT_EQ(first + 1, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_EQ(5 * MB, sim_peer(sim, flow)->received);
	htp_stream_release(flow->stream);
	htp_stream_release(sim_peer(sim, flow)->stream);
	end(_metadata, sim);
}

/* An association at rest sends nothing and waits for nothing, whatever it doesn't know */
TEST_F(path, no_probes_without_streams)
{
	struct sim *sim = &self->sim;
	__u64 sent;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed()));
	sim->assoc[SIM_A]->config.idle_timeout_ns = 0;
	sim->assoc[SIM_B]->config.idle_timeout_ns = 0;
	sim->link[SIM_A].mtu = 3000;
	sim_open(sim, SIM_A, 20 * KB, 1);
	EXPECT_EQ(0, sim_run(sim, 10 * SIM_SEC));
	EXPECT_EQ(0, sim_run_idle(sim, 10 * SIM_SEC));
	sent = stats_of(sim, SIM_A).mtu_probes_sent;
	EXPECT_LT(sent, 20);
	sim_run_for(sim, 2 * RAISE_NS);
	EXPECT_EQ(sent, stats_of(sim, SIM_A).mtu_probes_sent);
	sim_open(sim, SIM_A, 10 * MB, 1);	/* goes on where it was */
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	expect_size(_metadata, sim, SIM_A, 3000);
	end(_metadata, sim);
}

/* Nothing passes for a while, whatever its size: that is none */
TEST_F(path, outage_is_no_black_hole)
{
	struct sim *sim = &self->sim;
	int i;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	sim_open(sim, SIM_A, 50 * MB, 1);
	for (i = 0; i < 5; i++) {
		sim_run_for(sim, SIM_SEC);
		sim->link[SIM_A].dead = true;
		sim_run_for(sim, (i + 1) * 400 * SIM_MSEC);
		sim->link[SIM_A].dead = false;
	}
	EXPECT_EQ(0, sim_run(sim, 120 * SIM_SEC));
	EXPECT_EQ(0, stats_of(sim, SIM_A).black_holes);
	EXPECT_EQ(ETHERNET, stats_of(sim, SIM_A).path_mtu);
	end(_metadata, sim);
}

/* That probes get no answer is no reason to doubt that the peer lives */
TEST_F(path, unanswered_probes_are_no_silence)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	sim->assoc[SIM_A]->config.keepalive_ns = 0;
	sim->assoc[SIM_B]->config.keepalive_ns = 0;
	sim->linger = true;
	sim_open(sim, SIM_A, KB, KB);
	sim_run_for(sim, SIM_SEC);
	sim->link[SIM_A].mtu = ETHERNET;
	htp_pmtu_set_limit(sim->assoc[SIM_A], JUMBO);
	sim_run_for(sim, 100 * SIM_SEC);
	EXPECT_GT(stats_of(sim, SIM_A).mtu_probes_lost, 10);
	EXPECT_EQ(0, stats_of(sim, SIM_A).ptos);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	htp_stream_release(sim->flows->stream);
	htp_stream_release(sim->flows->next->stream);
	end(_metadata, sim);
}

/* Nor does a probe, which may be as large as seven others, leave before there is room for it */
TEST_F(path, window_has_room_for_a_probe)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, BASE, BASE, seed()));
	sim->link[SIM_A].rate = 100 * KB;
	sim->link[SIM_A].queue = 20 * KB;
	sim_open(sim, SIM_A, 2 * MB, 1);
	sim_run_for(sim, 5 * SIM_SEC);
	htp_pmtu_set_limit(sim->assoc[SIM_A], JUMBO);
	while (!stats_of(sim, SIM_A).mtu_probes_sent && sim->now < 10 * SIM_SEC)
		sim_step(sim, sim_next(sim));
	EXPECT_EQ(1, stats_of(sim, SIM_A).mtu_probes_sent);
	EXPECT_LE(stats_of(sim, SIM_A).in_flight_bytes, stats_of(sim, SIM_A).cwnd_bytes);
	EXPECT_EQ(0, sim_run(sim, 120 * SIM_SEC));
	EXPECT_EQ(JUMBO, stats_of(sim, SIM_A).path_mtu);
	end(_metadata, sim);
}

/* Only answers are larger than the base, and each is a few datagrams long */
TEST_F(path, black_hole_for_short_answers)
{
	struct sim *sim = &self->sim;
	int i;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	for (i = 0; i < 30; i++) {
		if (i == 10)
			sim->link[SIM_B].mtu = 1300;
		sim_open(sim, SIM_A, 300, 4 * KB);
		EXPECT_EQ(0, sim_run(sim, 3 * SIM_SEC));
		sim_run_for(sim, SIM_SEC / 2);
	}
	EXPECT_EQ(1, stats_of(sim, SIM_B).black_holes);
	EXPECT_EQ(0, stats_of(sim, SIM_A).black_holes);
	EXPECT_LE(stats_of(sim, SIM_B).ptos, 6);
	expect_size(_metadata, sim, SIM_B, 1300);
	end(_metadata, sim);
}

struct lossy {
	double	loss;
	int	runs;
};

static const struct lossy lossy[] = {
	{ 0, 2 }, { 0.001, 5 }, { 0.01, 10 }, { 0.03, 15 }, { 0.1, 15 },
};

static void set_loss(struct sim *sim, double loss)
{
	sim->link[SIM_A].loss = loss;
	sim->link[SIM_B].loss = loss;
}

/* Chance alone is never taken for a black hole */
TEST_F(path, loss_is_no_black_hole)
{
	struct sim *sim = &self->sim;
	size_t i, alarms = 0;
	int run, k;

	for (i = 0; i < ARRAY_SIZE(lossy); i++) {
		for (run = 0; run < lossy[i].runs; run++) {
			ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET,
					   seed() + 1000 * i + run));
			sim->audit = false;
			set_loss(sim, lossy[i].loss);
			for (k = 0; k < 20; k++) {
				sim_open(sim, SIM_A, 500, 30 * KB);
				sim_run_for(sim, 200 * SIM_MSEC);
			}
			sim_open(sim, SIM_A, 2 * MB, 2 * MB);
			EXPECT_EQ(0, sim_run(sim, 300 * SIM_SEC));
			sim_run_for(sim, 5 * SIM_SEC);
			alarms += stats_of(sim, SIM_B).mtu_probes_sent > 0;
			EXPECT_EQ(0, stats_of(sim, SIM_A).black_holes);
			EXPECT_EQ(0, stats_of(sim, SIM_B).black_holes);
			end(_metadata, sim);
		}
	}
	TH_LOG("alarms, all found to be false: %zu", alarms);
}

TEST_F(path, black_hole_on_a_lossy_path)
{
	struct sim *sim = &self->sim;
	size_t i;
	int run;

	for (i = 0; i < ARRAY_SIZE(lossy); i++) {
		for (run = 0; run < lossy[i].runs; run++) {
			ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET,
					   seed() + 1000 * i + run));
			sim->audit = false;
			set_loss(sim, lossy[i].loss);
			sim_open(sim, SIM_A, 4 * MB, 4 * MB);
			sim_run_for(sim, 150 * SIM_MSEC);
			sim->link[SIM_A].mtu = 1320;
			sim->link[SIM_B].mtu = 1250;
			EXPECT_EQ(0, sim_run(sim, 300 * SIM_SEC));
			EXPECT_LE(stats_of(sim, SIM_A).path_mtu, 1320);
			EXPECT_LE(stats_of(sim, SIM_B).path_mtu, 1250);
			EXPECT_EQ(1, stats_of(sim, SIM_A).black_holes);
			EXPECT_EQ(1, stats_of(sim, SIM_B).black_holes);
			end(_metadata, sim);
		}
	}
}

/* Up, down and up again, silently or not, with loss: all arrives, and in time */
TEST_F(path, changes_all_the_time)
{
	struct sim *sim = &self->sim;
	int run, i;

	for (run = 0; run < 30; run++) {
		ASSERT_EQ(0, start(sim, variant->cc, BASE, JUMBO, seed() + run));
		sim->audit = run % 10 == 0;
		set_loss(sim, run % 3 * 0.01);
		sim_open(sim, SIM_A, 15 * MB, 15 * MB);
		for (i = 0; i < 20; i++) {
			sim->link[i % 2].mtu = BASE + sim_random(sim) % (HTP_MAX_DATAGRAM - BASE);
			sim->link[i % 2].tells_mtu = sim_random(sim) % 2;
			sim_run_for(sim, 100 * SIM_MSEC + sim_random(sim) % (300 * SIM_MSEC));
		}
		EXPECT_EQ(0, sim_run(sim, 120 * SIM_SEC));
		end(_metadata, sim);
	}
}

/* Parity of larger datagrams would itself be too large */
TEST_F(path, parity_shrinks_too)
{
	const struct htp_path_hint hint = { .size = 2000, .local = true };
	struct sim *sim = &self->sim;
	struct htp_assoc *a;

	ASSERT_EQ(0, start(sim, variant->cc, JUMBO, JUMBO, seed()));
	a = sim->assoc[SIM_A];
	sim_open(sim, SIM_A, 10 * KB, 1);
	EXPECT_EQ(0, sim_run(sim, SIM_SEC));
	htp_repair_observe(a, 10, 10);	/* so that there is parity */
	sim_open(sim, SIM_A, 100 * KB, 1);
	sim_run_for(sim, 0);
	ASSERT_GT(a->repair.tx.nr, 0);
	ASSERT_EQ(JUMBO, sim->link[SIM_A].most);
	sim->link[SIM_A].most = 0;
	EXPECT_EQ(0, htp_assoc_path_mtu(a, &hint, sim->now));
	EXPECT_EQ(2000, stats_of(sim, SIM_A).path_mtu);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_GT(stats_of(sim, SIM_A).repair_bytes, 0);
	EXPECT_LE(sim->link[SIM_A].most, 2000);
	end(_metadata, sim);
}

/* The route or the device of this host takes more or less than before */
TEST_F(path, own_route_changes)
{
	struct htp_path_hint hint = { .local = true };
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, ETHERNET, seed()));
	sim_open(sim, SIM_A, 50 * MB, 1);
	sim_run_for(sim, SIM_SEC);
	hint.size = 1300;
	EXPECT_EQ(0, htp_assoc_path_mtu(sim->assoc[SIM_A], &hint, sim->now));
	EXPECT_EQ(-EALREADY, htp_assoc_path_mtu(sim->assoc[SIM_A], &hint, sim->now));
	EXPECT_EQ(1300, stats_of(sim, SIM_A).path_mtu);	/* as proven as the larger one */
	sim_run_for(sim, SIM_SEC);
	EXPECT_EQ(0, stats_of(sim, SIM_A).mtu_probes_sent);
	hint.size = JUMBO;
	EXPECT_EQ(0, htp_assoc_path_mtu(sim->assoc[SIM_A], &hint, sim->now));
	EXPECT_EQ(1300, stats_of(sim, SIM_A).path_mtu);	/* more must be proven first */
	sim_run_for(sim, SIM_SEC);
	EXPECT_EQ(JUMBO, stats_of(sim, SIM_A).path_mtu);
	hint.size = 100;
	EXPECT_EQ(0, htp_assoc_path_mtu(sim->assoc[SIM_A], &hint, sim->now));
	EXPECT_EQ(BASE, stats_of(sim, SIM_A).path_mtu);
	hint.size = 1 << 20;
	EXPECT_EQ(0, htp_assoc_path_mtu(sim->assoc[SIM_A], &hint, sim->now));
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(HTP_MAX_DATAGRAM, stats_of(sim, SIM_A).path_mtu);
	end(_metadata, sim);
}

/* A buffer that doesn't hold what would be tried is a limit like any other */
TEST_F(path, small_buffer)
{
	struct sim *sim = &self->sim;
	__u8 pkt[HTP_MAX_DATAGRAM];
	ssize_t len;

	ASSERT_EQ(0, start(sim, variant->cc, ETHERNET, JUMBO, seed()));
	sim_open(sim, SIM_A, 100 * KB, 1);
	while ((len = htp_assoc_tx(sim->assoc[SIM_A], pkt, 1300, sim->now)) > 0)
		EXPECT_LE(len, 1300);
	EXPECT_EQ(1300, stats_of(sim, SIM_A).path_mtu);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	end(_metadata, sim);
}

/* Messages that an attacker may send who has not seen what they quote, or has */
FIXTURE(forged)
{
	struct sim		sim;
	struct htp_assoc	*a;
	struct htp_stats	before;
};

FIXTURE_SETUP(forged)
{
	ASSERT_EQ(0, start(&self->sim, &htp_cc_bbr, ETHERNET, ETHERNET, seed()));
	self->a = self->sim.assoc[SIM_A];
	sim_open(&self->sim, SIM_A, 10 * MB, 1);
	sim_run_for(&self->sim, SIM_SEC);
	self->before = stats_of(&self->sim, SIM_A);
}

FIXTURE_TEARDOWN(forged)
{
	EXPECT_EQ(0, sim_run(&self->sim, 60 * SIM_SEC));
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).black_holes);
	EXPECT_EQ(ETHERNET, stats_of(&self->sim, SIM_A).path_mtu);
	end(_metadata, &self->sim);
}

static int tell(FIXTURE_DATA(forged) *self, __u32 size, __u64 pn)
{
	const struct htp_path_hint hint = { .size = size, .pn = pn };

	return htp_assoc_path_mtu(self->a, &hint, self->sim.now);
}

/* Newest packet of full size whose fate is open, HTP_NEVER: there is none */
static __u64 flying(const struct htp_assoc *a)
{
	__u64 pn = a->rc.tail;

	while (pn != HTP_NEVER && (htp_sent_at(&a->rc, pn)->state != HTP_SENT_FLYING ||
				   htp_sent_at(&a->rc, pn)->size < ETHERNET))
		pn = htp_sent_at(&a->rc, pn)->prev;
	return pn;
}

/* So that no test has to wait for it */
static void raise_now(struct __test_metadata *_metadata, FIXTURE_DATA(forged) *self)
{
	ASSERT_EQ(HTP_PMTU_COMPLETE, self->a->pmtu.state);
	EXPECT_LE(self->a->pmtu.raise_ns, self->sim.now + RAISE_NS);
	EXPECT_GT(self->a->pmtu.raise_ns, self->sim.now + RAISE_NS - SIM_SEC);
	self->a->pmtu.raise_ns = self->sim.now;
}

TEST_F(forged, quotes_of_nothing_under_way)
{
	const struct htp_recovery *rc = &self->a->rc;
	__u64 pn;

	EXPECT_EQ(-ENOENT, tell(self, 1300, rc->next_pn));
	EXPECT_EQ(-ENOENT, tell(self, 1300, rc->next_pn + 1000000));
	EXPECT_EQ(-ENOENT, tell(self, 1300, 0));	/* acknowledged */
	EXPECT_EQ(-ENOENT, tell(self, 1300, rc->base - 1));
	for (pn = 1 << 31; pn < 1ULL << 32; pn += 9999991)
		EXPECT_EQ(-ENOENT, tell(self, 1300, pn));
	EXPECT_EQ(ETHERNET, stats_of(&self->sim, SIM_A).path_mtu);
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).mtu_hints);
}

TEST_F(forged, sizes_out_of_range)
{
	const __u32 sizes[] = { 0, 1, 68, 548, BASE - 1, ETHERNET, ETHERNET + 1, 65535, ~0U };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_EQ(-EINVAL, tell(self, sizes[i], flying(self->a)));
	EXPECT_EQ(ETHERNET, stats_of(&self->sim, SIM_A).path_mtu);
	EXPECT_EQ(0, stats_of(&self->sim, SIM_A).mtu_hints);
}

/* One on the path can have smaller datagrams for a round trip, and what it says is tested */
TEST_F(forged, lies_of_one_on_the_path)
{
	__u64 passed;

	EXPECT_EQ(0, tell(self, 1400, flying(self->a)));
	EXPECT_EQ(BASE, stats_of(&self->sim, SIM_A).path_mtu);
	passed = stats_of(&self->sim, SIM_A).mtu_probes_acked;
	sim_run_for(&self->sim, 100 * SIM_MSEC);
	EXPECT_EQ(passed + 1, stats_of(&self->sim, SIM_A).mtu_probes_acked);
	EXPECT_EQ(1400, stats_of(&self->sim, SIM_A).path_mtu);
	EXPECT_EQ(self->before.congestion_events,
		  stats_of(&self->sim, SIM_A).congestion_events);
	raise_now(_metadata, self);
}

/* Again and again: it costs the difference between the sizes, never the transfer */
TEST_F(forged, endless_lies)
{
	unsigned int taken = 0;
	int i;

	for (i = 0; i < 500; i++) {
		__u64 pn = flying(self->a);

		if (pn != HTP_NEVER && tell(self, 1399 - i % 100, pn) == 0)
			taken++;
		EXPECT_GE(stats_of(&self->sim, SIM_A).path_mtu, BASE);
		sim_run_for(&self->sim, SIM_MSEC);
	}
	EXPECT_GT(taken, 10);
	sim_run_for(&self->sim, 100 * SIM_MSEC);
	raise_now(_metadata, self);
}

/* The other side of a probe: any size up to the largest is taken and acknowledged */
TEST_F(sim, probes_are_acknowledged)
{
	static __u8 pkt[HTP_MAX_DATAGRAM];
	__u8 answer[HTP_MAX_DATAGRAM];
	struct sim *sim = &self->sim;
	__u32 pn = 0;
	size_t len;

	ASSERT_EQ(0, start(sim, &htp_cc_bbr, BASE, BASE, seed()));
	for (len = HTP_HDR_LEN + 1; len <= HTP_MAX_DATAGRAM; len += 997, pn++) {
		const struct htp_hdr hdr = {
			.type = HTP_DATA, .ctl_len = len - HTP_HDR_LEN, .pn = pn, .dst_id = 1,
		};

		memset(pkt, HTP_F_PADDING, sizeof(pkt));
		htp_hdr_write(pkt, sizeof(pkt), &hdr);
		pkt[HTP_HDR_LEN] = HTP_F_PING;
		EXPECT_EQ(0, htp_assoc_rx(sim->assoc[SIM_B], pkt, len, sim->now));
	}
	EXPECT_LT(0, htp_assoc_tx(sim->assoc[SIM_B], answer, sizeof(answer), sim->now));
	EXPECT_EQ(HTP_F_ACK, answer[HTP_HDR_LEN]);
	EXPECT_EQ(pn - 1, answer[HTP_HDR_LEN + 1]);
}

/* Our own: header, PING, zeros, and nothing else */
TEST_F(sim, probe_on_the_wire)
{
	struct sim *sim = &self->sim;
	__u8 pkt[HTP_MAX_DATAGRAM];
	struct htp_assoc *a;
	struct htp_hdr hdr;
	ssize_t len;
	int i;

	ASSERT_EQ(0, start(sim, &htp_cc_bbr, BASE, ETHERNET, seed()));
	a = sim->assoc[SIM_B];
	sim_open(sim, SIM_A, 100, 100);
	sim->linger = true;
	sim_run_for(sim, SIM_SEC);
	htp_pmtu_set_limit(a, JUMBO);
	len = htp_assoc_tx(a, pkt, sizeof(pkt), sim->now);
	ASSERT_EQ(JUMBO, len);
	ASSERT_EQ(0, htp_hdr_read(pkt, len, &hdr));
	EXPECT_EQ(HTP_DATA, hdr.type);
	EXPECT_EQ(0, hdr.flags);
	EXPECT_EQ(len - HTP_HDR_LEN, hdr.ctl_len);
	EXPECT_EQ(HTP_F_PING, pkt[HTP_HDR_LEN]);
	for (i = HTP_HDR_LEN + 1; i < len; i++)
		EXPECT_EQ(HTP_F_PADDING, pkt[i]);
}

TEST_HARNESS_MAIN
