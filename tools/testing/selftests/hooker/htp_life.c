// SPDX-License-Identifier: GPL-2.0
/*
 * How an association ends in the simulator, and what keeps it from it: close, idle
 * timeout, keep-alive, peers that are dead or suspected to be.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp_test.h"

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
	__u64 sent, timers;
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
	timers = sim->nr_timers[SIM_A] + sim->nr_timers[SIM_B];
	sim_run_for(sim, 3600 * SIM_SEC);
	timers = sim->nr_timers[SIM_A] + sim->nr_timers[SIM_B] - timers;
	printf("# %llu timers in an hour\n", timers);
	EXPECT_GE(1500, timers);	/* a PING of either side each 10 s, and ACKs that wait */
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

/* No keep-alive, no idle timeout, streams open or not: an hour in which nobody wakes up */
TEST_F(sim, silence)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	__u64 timers, sent;
	int i;

	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 2; i++) {
		sim->linger = i;
		flow = sim_open(sim, SIM_A, 100 * KB, 100 * KB);
		ASSERT_NE(NULL, flow);
		sim_run_for(sim, 10 * SIM_SEC);
		EXPECT_TRUE(flow->finished);
		EXPECT_EQ(HTP_NEVER, sim_next(sim));
		timers = sim->nr_timers[SIM_A] + sim->nr_timers[SIM_B];
		sent = sim->link[SIM_A].nr_sent + sim->link[SIM_B].nr_sent;
		sim_run_for(sim, 3600 * SIM_SEC);
		EXPECT_EQ(timers, sim->nr_timers[SIM_A] + sim->nr_timers[SIM_B]);
		EXPECT_EQ(sent, sim->link[SIM_A].nr_sent + sim->link[SIM_B].nr_sent);
	}
	EXPECT_EQ(1, stats_of(sim, SIM_A).nr_streams);
	ASSERT_NE(NULL, sim_open(sim, SIM_B, 1 * MB, 1 * MB));	/* and all goes on */
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_complete(sim));
}

/*
 * A transfer in all that can happen to it: from its first datagram to an hour later a
 * timer fires only when there is something to do.
 */
TEST_F(sim, no_busy_timer)
{
	struct sim *sim = &self->sim;
	__u64 timers, datagrams;
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].idle_timeout_ns = 300 * SIM_SEC;
		sim->config[side].keepalive_ns = 10 * SIM_SEC;
		sim->link[side].rate = 1250 * KB;
		sim->link[side].queue = 50 * KB;
		sim->link[side].loss = 0.05;
		sim->link[side].reorder = 0.1;
		sim->link[side].reorder_ns = 20 * SIM_MSEC;
	}
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 2 * MB, 2 * MB));
	sim_run_for(sim, 3600 * SIM_SEC);
	timers = sim->nr_timers[SIM_A] + sim->nr_timers[SIM_B];
	datagrams = sim->link[SIM_A].nr_sent + sim->link[SIM_B].nr_sent;
	printf("# %llu timers, %llu datagrams\n", timers, datagrams);
	EXPECT_LT(timers, datagrams);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_B]));
	EXPECT_EQ(HTP_NEVER, sim_next(sim));
	EXPECT_TRUE(is_complete(sim));
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

/* After minutes of silence it takes a round trip, and as few datagrams as can be */
TEST_F(sim, a_question_is_answered_at_once)
{
	struct sim *sim = &self->sim;
	__u64 sent[2], asked;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	ASSERT_EQ(0, sim_run(sim, 1 * SIM_SEC));
	sim_run_for(sim, 300 * SIM_SEC);
	asked = sim->now;
	EXPECT_GT(asked, htp_assoc_answered_ns(sim->assoc[SIM_A]) + 299 * SIM_SEC);
	sent[SIM_A] = sim->link[SIM_A].nr_sent;
	sent[SIM_B] = sim->link[SIM_B].nr_sent;
	htp_assoc_ask(sim->assoc[SIM_A], sim->now);
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_EQ(asked + sim->link[SIM_A].delay_ns + sim->link[SIM_B].delay_ns,
		  htp_assoc_answered_ns(sim->assoc[SIM_A]));
	EXPECT_EQ(2, sim->link[SIM_A].nr_sent - sent[SIM_A]);
	EXPECT_EQ(1, sim->link[SIM_B].nr_sent - sent[SIM_B]);
}

/* The association and its streams live on, but somebody who asks knows better within moments */
TEST_F(sim, a_question_that_nobody_answers)
{
	struct sim *sim = &self->sim;
	__u64 asked;

	sim->linger = true;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 100));
	sim_run_for(sim, 300 * SIM_SEC);
	sim->link[SIM_A].dead = true;
	asked = sim->now;
	htp_assoc_ask(sim->assoc[SIM_A], sim->now);
	sim_run_for(sim, 1 * SIM_SEC);
	EXPECT_GE(htp_assoc_unanswered(sim->assoc[SIM_A]), 2);
	EXPECT_LT(htp_assoc_answered_ns(sim->assoc[SIM_A]), asked);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	sim->link[SIM_A].dead = false;
	sim_run_for(sim, 5 * SIM_SEC);
	EXPECT_EQ(0, htp_assoc_unanswered(sim->assoc[SIM_A]));
	EXPECT_GT(htp_assoc_answered_ns(sim->assoc[SIM_A]), asked);
}

TEST_HARNESS_MAIN
