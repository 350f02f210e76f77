// SPDX-License-Identifier: GPL-2.0
/*
 * Streams in the simulator: opened, refused, ended and reset at any time, a
 * thousand of them at once, and what a caller may do in which state.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp/stream.h"
#include "htp_test.h"

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

/* Without an allocator there is libc's; half of one is a mistake, and so is no window */
TEST(configuration)
{
	struct htp_config config = {
		.max_datagram = 1200, .window = 1000, .stream_window = 1000,
		.stream_buffer = 1000, .peer_window = 1000, .peer_stream_window = 1000,
	};
	struct htp_config wrong;
	struct htp_assoc *a;
	struct htp_stream *s;
	struct sim sim;
	int owner;

	a = htp_assoc_create(&config, 0);
	ASSERT_NE(NULL, a);
	s = htp_stream_open(a, NULL, 0, NULL);
	ASSERT_NE(NULL, s);
	htp_stream_set_owner(s, &owner);
	EXPECT_EQ(&owner, htp_stream_owner(s));
	htp_assoc_destroy(a);
	htp_assoc_destroy(NULL);

	sim_init(&sim, 1);
	wrong = config;
	wrong.alloc = sim.config[SIM_A].alloc;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
	wrong = config;
	wrong.free = sim.config[SIM_A].free;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
	wrong = config;
	wrong.max_datagram = HTP_MIN_DATAGRAM - 1;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
	wrong = config;
	wrong.window = 0;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
	wrong = config;
	wrong.stream_window = 0;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
	wrong = config;
	wrong.stream_buffer = 0;
	EXPECT_EQ(NULL, htp_assoc_create(&wrong, 0));
}

TEST_HARNESS_MAIN
