// SPDX-License-Identifier: GPL-2.0
/*
 * Congestion control in the simulator: how long downloads take, what they put on
 * the wire, and who gets how much of a link that several share.
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

#include "sim.h"
#include "htp/private.h"

#include "../kselftest_harness.h"

#define KB		1000ULL
#define MB		1000000ULL
#define SMALL_BYTES	522240ULL
#define LARGE_BYTES	27262976ULL
#define DATAGRAM	1472
#define OVERHEAD	42		/* Ethernet, IPv4, UDP */
#define MAX_ASSOCS	16

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

/* 100 Mbit/s, 50 ms, a queue of one bandwidth-delay product */
static const struct sim_link usual = {
	.rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 625 * KB, .late_loss = true,
};

static void path_init(struct sim *sim, const struct sim_link *link, const struct htp_cc_ops *cc,
		      __u64 offset)
{
	__u32 window = htp_max(4 << 20, 8 * link->rate * link->delay_ns / SIM_SEC);
	int side;

	sim_init(sim, seed() + offset);
	sim->overhead = OVERHEAD;
	sim->tick_ns = SIM_MSEC;
	for (side = SIM_A; side <= SIM_B; side++) {
		struct htp_config *config = &sim->config[side];

		sim->link[side] = *link;
		config->cc = cc;
		config->max_datagram = DATAGRAM;
		config->initial_rtt_ns = 2 * link->delay_ns;
		config->stream_window = window;
		config->peer_stream_window = window;
		config->stream_buffer = window;
		config->window = 8 * window;
		config->peer_window = 8 * window;
	}
}

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

static double jain(const double *v, int nr)
{
	double sum = 0, squares = 0;
	int i;

	for (i = 0; i < nr; i++) {
		sum += v[i];
		squares += v[i] * v[i];
	}
	return squares ? sum * sum / (nr * squares) : 0;
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
	printf("# seed %llu\n", seed());
	self->link = usual;
	self->link.loss = variant->loss;
	path_init(&self->sim, &self->link, &htp_cc_bbr, 0);
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

	printf("# seed %llu\n", seed());
	path_init(&sim, &usual, &htp_cc_bbr, 0);
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

	printf("# seed %llu\n", seed());
	path_init(&sim, &usual, &htp_cc_bbr, 0);
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

	printf("# seed %llu\n", seed());
	path_init(&sim, &link, &htp_cc_bbr, 0);
	ASSERT_EQ(0, sim_start(&sim));
	first = download(&sim, LARGE_BYTES);
	second = download(&sim, LARGE_BYTES);
	printf("# first %.2f s, second %.2f, limit %.2f\n", first, second, limit);
	EXPECT_LT(0, first);
	EXPECT_LT(first, 1.5 * limit);
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

	printf("# seed %llu\n", seed());
	path_init(&sim, &usual, &htp_cc_bbr, 0);
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

/* While a bulk transfer goes on, a small request takes its round trip and little more */
TEST(small_beside_bulk)
{
	double time[100], middle;
	struct sim_flow *bulk;
	struct sim sim;
	int i;

	printf("# seed %llu\n", seed());
	path_init(&sim, &usual, &htp_cc_bbr, 0);
	ASSERT_EQ(0, sim_start(&sim));
	bulk = sim_open(&sim, SIM_A, 100, 1000 * MB);
	ASSERT_NE(NULL, bulk);
	sim_run_for(&sim, 2 * SIM_SEC);
	for (i = 0; i < 100; i++) {
		struct sim_flow *small = sim_open(&sim, SIM_A, 100, 3000);
		__u64 start = sim.now;

		ASSERT_NE(NULL, small);
		while (!small->finished && sim.now < start + SIM_SEC)
			sim_step(&sim, sim_next(&sim));
		time[i] = (double)(small->done_ns - start) / SIM_MSEC;
		sim_run_for(&sim, 53 * SIM_MSEC);
	}
	middle = median(time, 100);
	printf("# median %.1f ms, nine of ten %.1f, longest %.1f\n", middle, time[90], time[99]);
	EXPECT_LT(middle, 60);
	EXPECT_LT(time[90], 60);
	EXPECT_LT(time[99], 75);
	htp_stream_reset(bulk->stream, HTP_CODE_APP_RESET);
	finish(_metadata, &sim);
}

/**
 * struct tcp - model of a TCP sender with CUBIC: SACK, no pacing, each segment acknowledged
 * @cc:	      state of CUBIC
 * @link:     where its segments go
 * @delay_ns: of the way back
 * @ack:      ring of segments sent: when their acknowledgment comes, HTP_NEVER if they are lost
 * @head:     oldest segment whose fate the sender doesn't know
 * @next:     to be sent
 * @recover:  losses below belong to the congestion event under way
 * @srtt:     ns
 * @delivered: bytes
 */
struct tcp {
	void		*cc;
	struct sim_link	*link;
	__u64		delay_ns;
	struct {
		__u64	sent_ns, ack_ns;
	} ack[8192];
	__u64		head, next, recover, srtt, delivered;
};

#define TCP_RING	(sizeof(((struct tcp *)0)->ack) / sizeof(((struct tcp *)0)->ack[0]))
#define TCP_BYTES	1448
#define TCP_WIRE	1514

static void tcp_send(struct tcp *tcp, struct sim *sim, __u64 now)
{
	while (tcp->next - tcp->head < TCP_RING &&
	       (tcp->next - tcp->head + 1) * TCP_BYTES <= htp_cc_cubic.cwnd(tcp->cc)) {
		__u64 at = sim_link_pass(sim, tcp->link, TCP_WIRE, now);
		__u32 i = tcp->next++ % TCP_RING;

		tcp->ack[i].sent_ns = now;
		tcp->ack[i].ack_ns = at == HTP_NEVER ? at : at + 2 * tcp->delay_ns;
	}
}

/* The first acknowledgment under way; the three behind a hole tell of the hole */
static __u64 tcp_find(const struct tcp *tcp)
{
	__u64 i;

	for (i = tcp->head; i < tcp->next; i++)
		if (tcp->ack[i % TCP_RING].ack_ns != HTP_NEVER)
			return i;
	return HTP_NEVER;
}

static __u64 tcp_next(const struct tcp *tcp)
{
	__u64 seg = tcp_find(tcp);

	if (seg == HTP_NEVER)	/* nothing comes back any more: RTO */
		return tcp->ack[(tcp->next - 1) % TCP_RING].sent_ns + SIM_SEC;
	return tcp->ack[seg % TCP_RING].ack_ns;
}

static void tcp_lost(struct tcp *tcp, __u64 seg, __u64 now)
{
	struct htp_cc_loss loss = { .now_ns = now, .largest_pn = seg };

	loss.congestion = tcp->head < tcp->next && seg >= tcp->recover;
	if (loss.congestion)
		tcp->recover = tcp->next;
	htp_cc_cubic.on_loss(tcp->cc, &loss);
}

static void tcp_acked(struct tcp *tcp, __u64 seg, __u64 now)
{
	__u64 rtt = now - tcp->ack[seg % TCP_RING].sent_ns;
	struct htp_cc_ack ack = {
		.now_ns = now, .acked_bytes = TCP_BYTES, .rtt_ns = rtt, .largest_pn = seg,
		.max_in_flight = htp_cc_cubic.cwnd(tcp->cc), .next_pn = tcp->next,
		.in_recovery = seg < tcp->recover,
	};

	tcp->srtt = tcp->srtt ? (7 * tcp->srtt + rtt) / 8 : rtt;
	ack.srtt_ns = tcp->srtt;
	htp_cc_cubic.on_ack(tcp->cc, &ack);
	tcp->delivered += TCP_BYTES;
}

static void tcp_step(struct tcp *tcp, struct sim *sim, __u64 now)
{
	__u64 seg = tcp_find(tcp), i;

	if (seg == HTP_NEVER) {
		htp_cc_cubic.on_persistent(tcp->cc, now);
		tcp->head = tcp->next;
		tcp->recover = tcp->next;
	} else {
		for (i = tcp->head; i < seg; i++)
			tcp_lost(tcp, i, now);
		tcp->head = seg + 1;
		tcp_acked(tcp, seg, now);
	}
	tcp_send(tcp, sim, now);
}

/**
 * struct world - associations, and perhaps a TCP connection, behind one link
 * @link: of data from A to B; ACKs have links of their own
 * @sim:  the associations
 * @flow: each uploads without end
 * @nr:	  of them
 * @tcp:  the connection, or NULL
 * @now:  time
 */
struct world {
	struct sim_link	link;
	struct sim	sim[MAX_ASSOCS];
	struct sim_flow	*flow[MAX_ASSOCS];
	int		nr;
	struct tcp	*tcp;
	__u64		now;
};

static bool world_init(struct world *w, const struct sim_link *link, int nr,
		       const struct htp_cc_ops *cc)
{
	int i;

	memset(w, 0, sizeof(*w));
	w->link = *link;
	w->nr = nr;
	for (i = 0; i < nr; i++) {
		path_init(&w->sim[i], link, cc, i);
		w->sim[i].link[SIM_A].via = &w->link;
		w->sim[i].link[SIM_B].rate = 0;
		if (sim_start(&w->sim[i]))
			return false;
	}
	w->now = w->sim[0].now;
	return true;
}

static bool world_add_tcp(struct world *w)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return false;
	tcp->cc = malloc(htp_cc_cubic.size);
	tcp->link = &w->link;
	tcp->delay_ns = w->link.delay_ns;
	htp_cc_cubic.init(tcp->cc, TCP_BYTES, w->now);
	tcp_send(tcp, &w->sim[0], w->now);
	w->tcp = tcp;
	return true;
}

static bool world_open(struct world *w, int i)
{
	w->sim[i].now = w->now;
	w->flow[i] = sim_open(&w->sim[i], SIM_A, 100000 * MB, 0);
	sim_step(&w->sim[i], w->now);
	return w->flow[i];
}

static void world_run(struct world *w, __u64 for_ns)
{
	__u64 end = w->now + for_ns;

	for (;;) {
		__u64 next = w->tcp ? tcp_next(w->tcp) : HTP_NEVER;
		int i, who = -1;

		for (i = 0; i < w->nr; i++) {
			__u64 at = sim_next(&w->sim[i]);

			if (at < next) {
				next = at;
				who = i;
			}
		}
		if (next > end)
			break;
		w->now = next;
		if (who < 0)
			tcp_step(w->tcp, &w->sim[0], next);
		else
			sim_step(&w->sim[who], next);
	}
	w->now = end;
}

static double world_received(struct world *w, int i)
{
	const struct sim_flow *peer = w->flow[i] ? sim_peer(&w->sim[i], w->flow[i]) : NULL;

	return peer ? peer->received : 0;
}

static void world_exit(struct __test_metadata *_metadata, struct world *w)
{
	int i;

	for (i = 0; i < w->nr; i++)
		finish(_metadata, &w->sim[i]);
	if (w->tcp)
		free(w->tcp->cc);
	free(w->tcp);
}

FIXTURE(shared)
{
	struct world	w;
};

FIXTURE_VARIANT(shared)
{
	int	nr;
	double	loss;
	__u64	queue;
};

FIXTURE_VARIANT_ADD(shared, two)
{
	.nr = 2, .queue = 625 * KB,
};

FIXTURE_VARIANT_ADD(shared, four)
{
	.nr = 4, .queue = 625 * KB,
};

FIXTURE_VARIANT_ADD(shared, eight)
{
	.nr = 8, .queue = 625 * KB,
};

FIXTURE_VARIANT_ADD(shared, sixteen)
{
	.nr = 16, .queue = 625 * KB,
};

FIXTURE_VARIANT_ADD(shared, four_with_loss)
{
	.nr = 4, .loss = 0.01, .queue = 625 * KB,
};

FIXTURE_VARIANT_ADD(shared, four_with_a_short_queue)
{
	.nr = 4, .queue = 100 * KB,
};

FIXTURE_SETUP(shared)
{
	struct sim_link link = usual;

	printf("# seed %llu\n", seed());
	link.loss = variant->loss;
	link.queue = variant->queue;
	ASSERT_TRUE(world_init(&self->w, &link, variant->nr, &htp_cc_bbr));
}

FIXTURE_TEARDOWN(shared)
{
	world_exit(_metadata, &self->w);
}

/* One after the other begins; all together then for a minute */
TEST_F(shared, equals_get_equal_shares)
{
	double bytes[MAX_ASSOCS], sum = 0, least = 1e18, most = 0;
	struct world *w = &self->w;
	int i;

	for (i = 0; i < w->nr; i++) {
		ASSERT_TRUE(world_open(w, i));
		world_run(w, 100 * SIM_MSEC + sim_random(&w->sim[0]) % (400 * SIM_MSEC));
	}
	for (i = 0; i < w->nr; i++)
		bytes[i] = world_received(w, i);
	world_run(w, 60 * SIM_SEC);
	for (i = 0; i < w->nr; i++) {
		bytes[i] = world_received(w, i) - bytes[i];
		sum += bytes[i];
		least = bytes[i] < least ? bytes[i] : least;
		most = bytes[i] > most ? bytes[i] : most;
	}
	printf("# Jain %.3f, least %.2f, most %.2f Mbit/s, used %.3f, lost in the queue %.4f\n",
	       jain(bytes, w->nr), least * 8 / 60 / MB, most * 8 / 60 / MB,
	       sum / 60 / w->link.rate, (double)w->link.nr_overflow / w->link.nr_sent);
	EXPECT_GT(jain(bytes, w->nr), 0.9);
	EXPECT_GT(sum, 0.85 * 60 * w->link.rate);
	EXPECT_LT(w->link.nr_overflow, w->link.nr_sent / 50);
}

static void beside_tcp(struct __test_metadata *_metadata, bool tcp_first, __u64 queue)
{
	struct world *w = malloc(sizeof(*w));
	struct sim_link link = usual;
	double bytes, tcp;

	ASSERT_NE(NULL, w);
	link.queue = queue;
	ASSERT_TRUE(world_init(w, &link, 1, &htp_cc_bbr));
	if (tcp_first) {
		ASSERT_TRUE(world_add_tcp(w));
		world_run(w, 5 * SIM_SEC);
	}
	ASSERT_TRUE(world_open(w, 0));
	if (!tcp_first) {
		world_run(w, 5 * SIM_SEC);
		ASSERT_TRUE(world_add_tcp(w));
	}
	bytes = world_received(w, 0);
	tcp = w->tcp->delivered;
	world_run(w, 60 * SIM_SEC);
	bytes = (world_received(w, 0) - bytes) / 60 / link.rate;
	tcp = (w->tcp->delivered - tcp) / 60 / link.rate;
	printf("# queue %llu, %s first: hooker %.3f of the link, TCP CUBIC %.3f\n", queue,
	       tcp_first ? "TCP" : "hooker", bytes, tcp);
	EXPECT_GT(bytes, 0.25);
	EXPECT_GT(tcp, 0.25);
	world_exit(_metadata, w);
	free(w);
}

TEST(beside_tcp_cubic)
{
	printf("# seed %llu\n", seed());
	beside_tcp(_metadata, false, 625 * KB);
	beside_tcp(_metadata, true, 625 * KB);
}

TEST(controllers_by_name)
{
	EXPECT_EQ(&htp_cc_bbr, htp_cc_by_name("bbr"));
	EXPECT_EQ(&htp_cc_cubic, htp_cc_by_name("cubic"));
	EXPECT_EQ(NULL, htp_cc_by_name("reno"));
	EXPECT_EQ(NULL, htp_cc_by_name(""));
}

TEST(cubic_fills_the_link)
{
	struct world *w = malloc(sizeof(*w));

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(world_init(w, &usual, 0, &htp_cc_bbr));
	ASSERT_TRUE(world_add_tcp(w));
	world_run(w, 60 * SIM_SEC);
	printf("# TCP CUBIC alone: %.3f of the link\n", w->tcp->delivered / 60.0 / usual.rate);
	EXPECT_GT(w->tcp->delivered / 60.0 / usual.rate, 0.85);
	world_exit(_metadata, w);
	free(w);
}

TEST_HARNESS_MAIN
