// SPDX-License-Identifier: GPL-2.0
/*
 * Flow control in the simulator: windows grow as far as the path and the reader
 * need them, and no further; the budget holds; nobody is stopped for good.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/alloc.h"
#include "htp/private.h"
#include "htp/stream.h"

#include "../kselftest_harness.h"

#define KB		1000ULL
#define MB		1000000ULL
#define SMALL_BYTES	(510 * KB)
#define LARGE_BYTES	(26 * MB)
#define DATAGRAM	1472
#define OVERHEAD	28

/* Where the daemon's windows begin and end */
#define LEAST		(256U << 10)
#define MOST		(16U << 20)
#define ALL_LEAST	(1U << 20)
#define ALL_MOST	(64U << 20)

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

/* 100 Mbit/s, 50 ms, a queue of one bandwidth-delay product */
static const struct sim_link usual = {
	.rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 625 * KB, .late_loss = true,
};

/* What one side may be charged, and is */
struct budget {
	__s64	charged, most;
	__u64	nr_refused;
};

static bool charge(void *priv, __s64 bytes, bool always)
{
	struct budget *budget = priv;

	if (bytes >= 0 && !always && budget->charged + bytes >= budget->most) {
		budget->nr_refused++;
		return false;
	}
	budget->charged += bytes;
	return true;
}

FIXTURE(window) {
	struct sim sim;
	struct budget budget[2];
};

FIXTURE_SETUP(window)
{
	int side;

	printf("# seed %llu\n", seed());
	sim_init(&self->sim, seed());
	self->sim.overhead = OVERHEAD;
	self->sim.tick_ns = SIM_MSEC;
	for (side = SIM_A; side <= SIM_B; side++) {
		struct htp_config *config = &self->sim.config[side];

		self->sim.link[side] = usual;
		self->budget[side].most = 1LL << 40;
		config->max_datagram = DATAGRAM;
		config->initial_rtt_ns = 2 * usual.delay_ns;
		config->stream_window = LEAST;
		config->peer_stream_window = LEAST;
		config->max_stream_window = MOST;
		config->window = ALL_LEAST;
		config->peer_window = ALL_LEAST;
		config->max_window = ALL_MOST;
		config->stream_buffer = 2 * LEAST;
		config->max_stream_buffer = MOST;
		config->charge = charge;
		/* libc's allocator: leaks are for htp_sim to find */
		config->alloc = NULL;
		config->free = NULL;
		config->priv = &self->budget[side];
	}
}

FIXTURE_TEARDOWN(window)
{
	EXPECT_EQ(0, self->sim.errors);
	EXPECT_EQ(0, sim_exit(&self->sim));
	EXPECT_EQ(0, self->budget[SIM_A].charged);
	EXPECT_EQ(0, self->budget[SIM_B].charged);
}

/* As the other tests of the core have it: windows that are never in the way */
static void fix_windows(struct sim *sim)
{
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		struct htp_config *config = &sim->config[side];

		config->stream_window = 16 << 20;
		config->peer_stream_window = 16 << 20;
		config->window = 64 << 20;
		config->peer_window = 64 << 20;
		config->stream_buffer = 16 << 20;
	}
}

static void set_links(struct sim *sim, const struct sim_link *link)
{
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->link[side] = *link;
		sim->config[side].initial_rtt_ns = 2 * link->delay_ns;
	}
}

static struct htp_stats stats_of(const struct sim *sim, enum sim_side side)
{
	struct htp_stats stats;

	htp_assoc_stats(sim->assoc[side], &stats);
	return stats;
}

/* Seconds until all bytes were read; negative: it didn't end */
static double transfer(struct sim *sim, __u64 up, __u64 down)
{
	struct sim_flow *flow = sim_open(sim, SIM_A, up, down);
	__u64 start = sim->now;

	if (!flow || sim_run(sim, 600 * SIM_SEC) || flow->received != down)
		return -1;
	return (double)(flow->done_ns - start) / SIM_SEC;
}

/* Time of one transfer on an association that had @before already, windows fixed or not */
static double time_of(struct sim *world, bool fixed, __u64 before, __u64 up, __u64 down)
{
	struct budget budget[2] = { { .most = 1LL << 40 }, { .most = 1LL << 40 } };
	struct sim sim = *world;
	double time = -1;
	int side;

	for (side = SIM_A; side <= SIM_B; side++)
		sim.config[side].priv = &budget[side];
	if (fixed)
		fix_windows(&sim);
	if (!sim_start(&sim) && (!before || (transfer(&sim, before, before) > 0)))
		time = transfer(&sim, up, down);
	world->errors += sim.errors;
	sim_exit(&sim);
	return time;
}

TEST_F(window, large_download_is_not_stopped)
{
	double fixed = time_of(&self->sim, true, 0, 100, LARGE_BYTES);
	double tuned = time_of(&self->sim, false, 0, 100, LARGE_BYTES);

	printf("# fixed %.3f s, tuned %.3f s\n", fixed, tuned);
	ASSERT_LT(0, fixed);
	ASSERT_LT(0, tuned);
	EXPECT_LT(tuned, 1.02 * fixed);
}

TEST_F(window, first_contact_is_not_stopped)
{
	double fixed = time_of(&self->sim, true, 0, 100, SMALL_BYTES);
	double tuned = time_of(&self->sim, false, 0, 100, SMALL_BYTES);

	printf("# fixed %.3f s, tuned %.3f s\n", fixed, tuned);
	ASSERT_LT(0, fixed);
	ASSERT_LT(0, tuned);
	EXPECT_LT(tuned, fixed + 0.003);
}

/* What one stream has learned is where the next one begins, whoever sends */
TEST_F(window, known_peer_is_not_stopped)
{
	static const struct {
		__u64 before, up, down;
	} runs[] = {
		{ SMALL_BYTES, 100, SMALL_BYTES },
		{ LARGE_BYTES, 100, SMALL_BYTES },
		{ SMALL_BYTES, SMALL_BYTES, 100 },
		{ LARGE_BYTES, SMALL_BYTES, 100 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		double fixed = time_of(&self->sim, true, runs[i].before, runs[i].up, runs[i].down);
		double tuned = time_of(&self->sim, false, runs[i].before, runs[i].up,
				       runs[i].down);

		printf("# after %llu: %llu up, %llu down: fixed %.3f s, tuned %.3f s\n",
		       runs[i].before, runs[i].up, runs[i].down, fixed, tuned);
		ASSERT_LT(0, fixed);
		ASSERT_LT(0, tuned);
		EXPECT_LT(tuned, fixed + 0.003);
	}
}

/* 800 ms, 20 Mbit/s, 1 % loss: four megabytes are under way where a window begins at a quarter */
TEST_F(window, satellite)
{
	static const struct sim_link link = {
		.rate = 2500 * KB, .delay_ns = 400 * SIM_MSEC, .queue = 2000 * KB, .loss = 0.01,
		.late_loss = true,
	};
	const int payload = DATAGRAM - HTP_HDR_LEN - 9;
	double wire = (double)LARGE_BYTES * (DATAGRAM + OVERHEAD) / payload;
	double fixed, tuned, limit = 1.6 + wire / link.rate;

	set_links(&self->sim, &link);
	fixed = time_of(&self->sim, true, 0, 100, LARGE_BYTES);
	tuned = time_of(&self->sim, false, 0, 100, LARGE_BYTES);
	printf("# fixed %.2f s, tuned %.2f s, limit %.2f s\n", fixed, tuned, limit);
	ASSERT_LT(0, fixed);
	ASSERT_LT(0, tuned);
	EXPECT_LT(tuned, 1.1 * fixed);
	EXPECT_LT(tuned, 1.3 * limit);
	fixed = time_of(&self->sim, true, LARGE_BYTES, 100, LARGE_BYTES);
	tuned = time_of(&self->sim, false, LARGE_BYTES, 100, LARGE_BYTES);
	printf("# known peer: fixed %.2f s, tuned %.2f s\n", fixed, tuned);
	ASSERT_LT(0, fixed);
	ASSERT_LT(0, tuned);
	EXPECT_LT(tuned, 1.1 * fixed);
	EXPECT_LT(tuned, 1.3 * limit);
}

/* Bytes per second that the reader takes, every 10 ms; until all is read or @for_ns is over */
static void read_slowly(struct sim *sim, struct sim_flow *flow, __u64 rate, __u64 for_ns)
{
	__u64 end = sim->now + for_ns;

	while (flow->stream && !flow->saw_end && sim->now < end) {
		struct iovec iov[1];
		__u64 left = rate / 100;

		while (left && htp_stream_peek(flow->stream, iov, 1) > 0) {
			__u64 n = htp_min(left, iov[0].iov_len);

			htp_stream_consume(flow->stream, n);
			flow->received += n;
			left -= n;
		}
		sim_run_for(sim, 10 * SIM_MSEC);
	}
}

/* Who doesn't read gets what fits into the first window, and no memory but for that */
TEST_F(window, does_not_grow_without_reader)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	sim->paused[SIM_A] = true;
	flow = sim_open(sim, SIM_A, 100, LARGE_BYTES);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 20 * SIM_SEC);
	EXPECT_EQ(LEAST, sim->assoc[SIM_A]->rx_received);
	EXPECT_EQ(LEAST, stats_of(sim, SIM_A).unread_bytes);
	EXPECT_EQ(LEAST, htp_stream_window(flow->stream));
	EXPECT_LT(stats_of(sim, SIM_A).memory_bytes, LEAST + (256 << 10));

	sim->paused[SIM_A] = false;
	sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 20 * SIM_SEC));
	EXPECT_EQ(LARGE_BYTES, flow->received);
	EXPECT_EQ(0, stats_of(sim, SIM_A).unread_bytes);
}

/* A reader of 1 Mbit/s never needs more than the first window, however fast the path is */
TEST_F(window, does_not_grow_with_slow_reader)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	sim->paused[SIM_A] = true;
	flow = sim_open(sim, SIM_A, 100, LARGE_BYTES);
	ASSERT_NE(NULL, flow);
	read_slowly(sim, flow, 125 * KB, 20 * SIM_SEC);
	EXPECT_GT(flow->received, 2 * MB);
	EXPECT_EQ(LEAST, htp_stream_window(flow->stream));
	EXPECT_EQ(ALL_LEAST, stats_of(sim, SIM_A).window_bytes);
}

/*
 * Streams that nobody reads fill their windows, together more than the association's
 * window ever is for a path like this. Another one must not notice.
 */
TEST_F(window, unread_streams_stop_no_other)
{
	static const struct sim_link fast = {
		.rate = 50 * MB, .delay_ns = 25 * SIM_MSEC, .queue = 5 * MB,
	};
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	double alone, beside;
	__u64 start;
	int i;

	set_links(sim, &fast);
	alone = time_of(sim, false, 0, 100, LARGE_BYTES);
	ASSERT_LT(0, alone);
	ASSERT_EQ(0, sim_start(sim));
	sim->paused[SIM_A] = true;
	for (i = 0; i < 200; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, MB));
	sim_run_for(sim, 60 * SIM_SEC);
	EXPECT_EQ(200 * LEAST, stats_of(sim, SIM_A).unread_bytes);

	sim->paused[SIM_A] = false;
	start = sim->now;
	flow = sim_open(sim, SIM_A, 100, LARGE_BYTES);
	ASSERT_NE(NULL, flow);
	while (!flow->finished && sim->now < start + 60 * SIM_SEC)
		sim_run_for(sim, 10 * SIM_MSEC);
	beside = (double)(flow->done_ns - start) / SIM_SEC;
	printf("# alone %.3f s, beside %.3f s\n", alone, beside);
	EXPECT_EQ(LARGE_BYTES, flow->received);
	EXPECT_LT(beside, 1.1 * alone);
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->stream && flow->side == SIM_A)
			sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* Nothing left for windows to grow: all goes on, with the first window */
TEST_F(window, budget_stops_growth_and_no_stream)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	int i;

	self->budget[SIM_A].most = 0;
	self->budget[SIM_B].most = 0;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_LT(0, transfer(sim, 4 * MB, 4 * MB));
	EXPECT_LT(0, self->budget[SIM_A].nr_refused);
	EXPECT_EQ(LEAST, stats_of(sim, SIM_A).stream_window_bytes);
	EXPECT_EQ(ALL_LEAST, stats_of(sim, SIM_A).window_bytes);
	EXPECT_EQ(2 * HTP_CHUNK, stats_of(sim, SIM_A).stream_buffer_bytes);

	/* more than the association's window is in the way, unread */
	sim->paused[SIM_A] = true;
	for (i = 0; i < 8; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, MB));
	sim_run_for(sim, 60 * SIM_SEC);
	EXPECT_EQ(8 * LEAST, stats_of(sim, SIM_A).unread_bytes);
	sim->paused[SIM_A] = false;
	flow = sim_open(sim, SIM_A, 100, MB);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 60 * SIM_SEC);
	EXPECT_EQ(MB, flow->received);
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->stream && flow->side == SIM_A)
			sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* Memory comes back: windows and buffers go on where they were */
TEST_F(window, grows_again_after_pressure)
{
	struct sim *sim = &self->sim;

	self->budget[SIM_A].most = 0;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_LT(0, transfer(sim, 100, 4 * MB));
	self->budget[SIM_A].most = 1LL << 40;
	ASSERT_LT(0, transfer(sim, 100, LARGE_BYTES));
	EXPECT_LE(1 << 20, stats_of(sim, SIM_A).stream_window_bytes);
	EXPECT_LE(1 << 20, stats_of(sim, SIM_B).stream_buffer_bytes);
}

struct limits {
	__u64	all, stream;
};

/* What is charged is exactly what may come, and no limit moves back */
static bool is_sound(const struct sim *sim, const struct budget *budget, enum sim_side side,
		     struct limits *last)
{
	const struct htp_assoc *a = sim->assoc[side];
	struct htp_link *link;
	__u64 unread = 0;

	if (budget[side].charged != (__s64)(a->rx_limit - a->rx_consumed) ||
	    a->rx_limit < last->all || a->rx_received > a->rx_limit)
		return false;
	last->all = a->rx_limit;
	for (link = a->streams.next; link != &a->streams; link = link->next) {
		const struct htp_stream *s = htp_entry(link, struct htp_stream, all);

		if (!s->dead)
			unread += s->rx.contig - s->rx.consumed;
		if (s->id != 2)
			continue;
		if (s->rx.limit < last->stream)
			return false;
		last->stream = s->rx.limit;
	}
	return unread == a->rx_unread;
}

/* The budget comes and goes, readers pause, links lose: limits hold in every step */
TEST_F(window, accounts_are_right_in_every_step)
{
	struct limits last[2] = { 0 };
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	unsigned int i;

	sim->link[SIM_A].loss = 0.05;
	sim->link[SIM_B].loss = 0.05;
	sim->audit = true;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 6; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, i * 200 * KB, 2 * MB));
	for (i = 0; i < 100000 && sim->nr_live && sim_next(sim) != HTP_NEVER; i++) {
		sim_step(sim, sim_next(sim));
		ASSERT_TRUE(is_sound(sim, self->budget, SIM_A, &last[SIM_A]));
		ASSERT_TRUE(is_sound(sim, self->budget, SIM_B, &last[SIM_B]));
		if (sim_random(sim) % 200 == 0)
			self->budget[sim_random(sim) % 2].most ^= 1LL << 40;
		if (sim_random(sim) % 500 == 0)
			sim->paused[SIM_A] = true;
		if (sim_random(sim) % 100 || !sim->paused[SIM_A])
			continue;
		sim->paused[SIM_A] = false;
		for (flow = sim->flows; flow; flow = flow->next)
			if (flow->stream && flow->side == SIM_A)
				sim_read(sim, flow);
	}
	sim->paused[SIM_A] = false;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->stream && flow->side == SIM_A)
			sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	printf("# %u steps, %llu refusals\n", i, self->budget[SIM_A].nr_refused);
	EXPECT_LT(1000, i);
}

/* Runs a download until it makes the window of new streams grow; when that was */
static __u64 run_to_promise(struct sim *sim, __u64 dead_ns)
{
	if (!sim_open(sim, SIM_A, 100, LARGE_BYTES))
		return 0;
	while (sim->assoc[SIM_A]->rx_promise == LEAST && sim_next(sim) != HTP_NEVER) {
		sim->link[SIM_A].dead = sim_next(sim) >= dead_ns;
		sim_step(sim, sim_next(sim));
	}
	return sim->now;
}

/* The window of new streams is told until the peer knows it */
TEST_F(window, promise_survives_loss)
{
	struct budget budget[2] = { { .most = 1LL << 40 }, { .most = 1LL << 40 } };
	struct sim *sim = &self->sim, first = *sim;
	struct sim_flow *flow;
	__u64 at;

	first.config[SIM_A].priv = &budget[SIM_A];
	first.config[SIM_B].priv = &budget[SIM_B];
	ASSERT_EQ(0, sim_start(&first));
	at = run_to_promise(&first, HTP_NEVER);
	ASSERT_LT(LEAST, first.assoc[SIM_A]->rx_promise);
	sim_exit(&first);

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_EQ(at, run_to_promise(sim, at));
	sim_run_for(sim, 20 * SIM_MSEC);
	EXPECT_EQ(LEAST, sim->assoc[SIM_B]->tx_promise);
	sim->link[SIM_A].dead = false;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->stream)	/* so that nothing else makes it grow */
			htp_stream_reset(flow->stream, HTP_CODE_APP_RESET);
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_LT(LEAST, sim->assoc[SIM_A]->rx_promise);
	EXPECT_EQ(sim->assoc[SIM_A]->rx_promise, sim->assoc[SIM_B]->tx_promise);
}

/* A bulk transfer with windows of its own making delays a small answer by no queue of ours */
TEST_F(window, small_beside_bulk)
{
	struct sim *sim = &self->sim;
	double time, worst = 0;
	struct sim_flow *flow;
	int i;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 100, 200 * MB));
	sim_run_for(sim, 3 * SIM_SEC);
	for (i = 0; i < 20; i++) {
		__u64 start = sim->now;

		flow = sim_open(sim, SIM_A, 100, 3000);
		ASSERT_NE(NULL, flow);
		while (!flow->finished && sim->now < start + SIM_SEC)
			sim_run_for(sim, SIM_MSEC);
		ASSERT_EQ(3000, flow->received);
		time = (double)(flow->done_ns - start) / SIM_SEC;
		worst = time > worst ? time : worst;
		sim_run_for(sim, 100 * SIM_MSEC);
	}
	printf("# worst %.3f s\n", worst);
	EXPECT_LT(worst, 0.050 + 0.050);
	sim->paused[SIM_A] = true;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->stream)
			htp_stream_reset(flow->stream, HTP_CODE_APP_RESET);
}

/* A peer may promise what it likes; what it says of a stream of ours counts for that one */
TEST_F(window, hostile_promise)
{
	struct sim *sim = &self->sim;
	__u8 pkt[64], frame[] = { HTP_F_MAX_STREAM_DATA, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				  0xff, 0xff };
	struct htp_hdr hdr = { .type = HTP_DATA, .ctl_len = sizeof(frame) };
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	hdr.dst_id = sim->config[SIM_B].peer_id;
	ASSERT_EQ(0, htp_hdr_write(pkt, HTP_HDR_LEN, &hdr));
	memcpy(pkt + HTP_HDR_LEN, frame, sizeof(frame));
	EXPECT_EQ(0, htp_assoc_rx(sim->assoc[SIM_A], pkt, HTP_HDR_LEN + sizeof(frame), sim->now));
	EXPECT_EQ(~0U, sim->assoc[SIM_A]->tx_promise);
	flow = sim_open(sim, SIM_A, 40 * MB, 0);
	ASSERT_NE(NULL, flow);
	EXPECT_GE(MOST, flow->sent);
	htp_stream_reset(flow->stream, HTP_CODE_APP_RESET);
}

TEST_HARNESS_MAIN
