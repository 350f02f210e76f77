// SPDX-License-Identifier: GPL-2.0
/*
 * Who gets how much of a link that several share: associations among
 * themselves, and beside a TCP connection with CUBIC. Over a minute each.
 *
 * HTP_SEED=n in the environment changes when each begins and what the links
 * lose; HTP_SEEDS=n tries so many seeds from there on, share_long.sh some.
 */
#include <stdio.h>
#include <stdlib.h>

#include "world.h"
#include "htp/units.h"

#include "../kselftest_harness.h"

/* 100 Mbit/s, 50 ms, a queue of one bandwidth-delay product */
static const struct sim_link usual = {
	.rate = 12500 * KB, .delay_ns = 25 * SIM_MSEC, .queue = 625 * KB, .late_loss = true,
};

static __u64 nr_seeds(__u64 usually)
{
	const char *value = getenv("HTP_SEEDS");

	return value ? strtoull(value, NULL, 0) : usually;
}

/* So that no association of one has the seed of one of another */
static __u64 nth_seed(__u64 n)
{
	return world_seed() + n * MAX_ASSOCS;
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

FIXTURE(shared)
{
	__u64	seed;
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

FIXTURE_VARIANT_ADD(shared, three)
{
	.nr = 3, .queue = 625 * KB,
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
	self->seed = world_seed();
}

FIXTURE_TEARDOWN(shared)
{
}

/* One after the other begins; all together then for a minute. @index is Jain's, for fairness */
static void share_for_a_minute(struct __test_metadata *_metadata, const struct sim_link *link,
			       int nr, __u64 seed, double *index)
{
	double bytes[MAX_ASSOCS], sum = 0, least = 1e18, most = 0;
	struct world *w = world_create(link, seed);
	int i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, world_add(w, &htp_cc_bbr, link->delay_ns));
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, world_open(w, i));
		world_run(w, 100 * SIM_MSEC + sim_random(&w->sim[0]) % (400 * SIM_MSEC));
	}
	for (i = 0; i < nr; i++)
		bytes[i] = world_received(w, i);
	world_run(w, 60 * SIM_SEC);
	for (i = 0; i < nr; i++) {
		bytes[i] = world_received(w, i) - bytes[i];
		sum += bytes[i];
		least = bytes[i] < least ? bytes[i] : least;
		most = bytes[i] > most ? bytes[i] : most;
	}
	*index = jain(bytes, nr);
	printf("# seed %llu: Jain %.3f, least %.2f, most %.2f Mbit/s, used %.3f, dropped %.4f\n",
	       seed, *index, least * 8 / 60 / MB, most * 8 / 60 / MB,
	       sum / 60 / link->rate, (double)w->link.nr_overflow / w->link.nr_sent);
	EXPECT_GT(*index, 0.8);
	EXPECT_GT(sum, 0.85 * 60 * link->rate);
	EXPECT_LT(w->link.nr_overflow, w->link.nr_sent / 50);
	EXPECT_EQ(0, world_destroy(w));
}

/* Who is lucky for a minute differs from seed to seed: the index is over 0.9 in the mean */
TEST_F(shared, equals_get_equal_shares)
{
	struct sim_link link = usual;
	double index, sum = 0;
	__u64 i;

	link.loss = variant->loss;
	link.queue = variant->queue;
	for (i = 0; i < nr_seeds(1); i++) {
		share_for_a_minute(_metadata, &link, variant->nr, nth_seed(i), &index);
		sum += index;
	}
	EXPECT_GT(sum / nr_seeds(1), 0.9);
}

FIXTURE(beside_tcp)
{
	__u64	seed;
};

FIXTURE_VARIANT(beside_tcp)
{
	__u64	queue;
	bool	tcp_first;
};

FIXTURE_VARIANT_ADD(beside_tcp, short_queue_hooker_first)
{
	.queue = 188 * KB, .tcp_first = false,
};

FIXTURE_VARIANT_ADD(beside_tcp, short_queue_tcp_first)
{
	.queue = 188 * KB, .tcp_first = true,
};

FIXTURE_VARIANT_ADD(beside_tcp, usual_queue_hooker_first)
{
	.queue = 625 * KB, .tcp_first = false,
};

FIXTURE_VARIANT_ADD(beside_tcp, usual_queue_tcp_first)
{
	.queue = 625 * KB, .tcp_first = true,
};

FIXTURE_VARIANT_ADD(beside_tcp, long_queue_hooker_first)
{
	.queue = 2500 * KB, .tcp_first = false,
};

FIXTURE_VARIANT_ADD(beside_tcp, long_queue_tcp_first)
{
	.queue = 2500 * KB, .tcp_first = true,
};

FIXTURE_SETUP(beside_tcp)
{
	self->seed = world_seed();
}

FIXTURE_TEARDOWN(beside_tcp)
{
}

static int begin(struct world *w, bool tcp)
{
	return tcp ? world_add_tcp(w) : world_open(w, 0);
}

static void minute_beside_tcp(struct __test_metadata *_metadata, const struct sim_link *link,
			      bool tcp_first, __u64 seed, double *hooker, double *tcp)
{
	struct world *w = world_create(link, seed);

	ASSERT_EQ(0, world_add(w, &htp_cc_bbr, link->delay_ns));
	ASSERT_EQ(0, begin(w, tcp_first));
	world_run(w, 4 * SIM_SEC + sim_random(&w->sim[0]) % (2 * SIM_SEC));
	ASSERT_EQ(0, begin(w, !tcp_first));
	*hooker = world_received(w, 0);
	*tcp = w->tcp->delivered;
	world_run(w, 60 * SIM_SEC);
	*hooker = (world_received(w, 0) - *hooker) * 100 / 60 / link->rate;
	*tcp = (w->tcp->delivered - *tcp) * 100 / 60 / link->rate;
	EXPECT_EQ(0, world_destroy(w));
}

TEST_F(beside_tcp, neither_starves)
{
	struct sim_link link = usual;
	double hooker, tcp;
	__u64 i;

	link.queue = variant->queue;
	for (i = 0; i < nr_seeds(2); i++) {
		minute_beside_tcp(_metadata, &link, variant->tcp_first, nth_seed(i), &hooker, &tcp);
		printf("# seed %llu, queue %llu, %s first: hooker %.1f %%, TCP %.1f %%\n",
		       nth_seed(i), link.queue, variant->tcp_first ? "TCP" : "hooker", hooker, tcp);
		EXPECT_GT(hooker, 25);
		EXPECT_GT(tcp, 25);
	}
}

/* Not reached yet: hooker would have to gain the share that it keeps where it was first */
XFAIL_ADD(beside_tcp, long_queue_tcp_first, neither_starves);

/* What is in the queue only because TCP was there doesn't stay when it has gone */
TEST(queue_falls_when_tcp_has_gone)
{
	struct sim_link link = usual;
	__u64 worst = 0;
	struct world *w;
	struct tcp *tcp;
	int i;

	link.queue = 2500 * KB;
	w = world_create(&link, world_seed());
	ASSERT_EQ(0, world_add(w, &htp_cc_bbr, link.delay_ns));
	ASSERT_EQ(0, world_open(w, 0));
	world_run(w, 5 * SIM_SEC);
	ASSERT_EQ(0, world_add_tcp(w));
	world_run(w, 30 * SIM_SEC);
	tcp = w->tcp;
	w->tcp = NULL;
	world_run(w, 8 * SIM_SEC);
	for (i = 0; i < 500; i++) {
		world_run(w, 10 * SIM_MSEC);
		if (w->link.busy_ns > w->now)
			worst = htp_max(worst, w->link.busy_ns - w->now);
	}
	w->tcp = tcp;
	printf("# queue of %llu ms at most\n", worst / SIM_MSEC);
	EXPECT_LT(worst, 40 * SIM_MSEC);
	EXPECT_EQ(0, world_destroy(w));
}

TEST(cubic_fills_the_link)
{
	struct world *w = world_create(&usual, world_seed());

	ASSERT_EQ(0, world_add_tcp(w));
	world_run(w, 60 * SIM_SEC);
	printf("# TCP CUBIC alone: %.3f of the link\n", w->tcp->delivered / 60.0 / usual.rate);
	EXPECT_GT(w->tcp->delivered / 60.0 / usual.rate, 0.85);
	EXPECT_EQ(0, world_destroy(w));
}

TEST_HARNESS_MAIN
