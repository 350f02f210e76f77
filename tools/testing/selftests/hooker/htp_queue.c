// SPDX-License-Identifier: GPL-2.0
/*
 * Sets of ranges, the send queue and the receive queue against models that are too
 * simple to be wrong, also while memory runs out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/alloc.h"
#include "htp/private.h"
#include "htp/queue.h"
#include "htp/ranges.h"

#include "../kselftest_harness.h"

FIXTURE(ranges)
{
	struct htp_assoc	*a;
	struct htp_ranges	set;
	struct sim_mem		mem;
	bool			model[256];
};

static void *count_alloc(void *priv, size_t size)
{
	struct sim_mem *mem = priv;

	if (++mem->nr >= mem->fail_from && mem->fail_from)
		return NULL;
	mem->live++;
	return malloc(size);
}

static void count_free(void *priv, void *ptr)
{
	struct sim_mem *mem = priv;

	mem->live--;
	free(ptr);
}

FIXTURE_SETUP(ranges)
{
	self->a = calloc(1, sizeof(*self->a));
	ASSERT_NE(NULL, self->a);
	self->a->config.alloc = count_alloc;
	self->a->config.free = count_free;
	self->a->config.priv = &self->mem;
	htp_ranges_init(&self->set);
}

FIXTURE_TEARDOWN(ranges)
{
	htp_ranges_clear(self->a, &self->set);
	EXPECT_EQ(0, self->mem.live);
	free(self->a);
}

/* The set has exactly what the model has, as few ranges as possible */
static bool agrees(const struct htp_ranges *set, const bool *model)
{
	__u32 nr = 0, i, j;

	for (i = 0; i < 256; i++) {
		if (model[i] && (!i || !model[i - 1]))
			nr++;
		j = htp_ranges_find(set, i);
		if (model[i] != (j < set->nr && htp_ranges_at(set, j)->start <= i))
			return false;
	}
	return nr == set->nr;
}

static void fill(bool *model, __u64 start, __u64 end, bool value)
{
	for (; start < end; start++)
		model[start] = value;
}

TEST_F(ranges, against_a_bitmap)
{
	struct sim random = { .random = 7 };
	int i;

	for (i = 0; i < 30000; i++) {
		__u64 start = sim_random(&random) % 256, what = sim_random(&random) % 16;
		__u64 end = htp_min(256, start + sim_random(&random) % 20);

		if (what == 0) {
			htp_ranges_trim(self->a, &self->set, start);
			fill(self->model, 0, start, false);
		} else if (what < 8) {
			ASSERT_EQ(0, htp_ranges_sub(self->a, &self->set, start, end));
			fill(self->model, start, end, false);
		} else {
			ASSERT_EQ(0, htp_ranges_add(self->a, &self->set, start, end));
			fill(self->model, start, end, true);
		}
		ASSERT_TRUE(agrees(&self->set, self->model));
	}
}

TEST_F(ranges, without_memory)
{
	self->mem.fail_from = 1;
	EXPECT_EQ(0, htp_ranges_add(self->a, &self->set, 10, 20));
	EXPECT_EQ(-ENOMEM, htp_ranges_add(self->a, &self->set, 30, 40));
	EXPECT_EQ(1, self->set.nr);
	EXPECT_EQ(0, htp_ranges_add(self->a, &self->set, 20, 22));
	EXPECT_EQ(-ENOMEM, htp_ranges_sub(self->a, &self->set, 12, 13));
	EXPECT_EQ(1, self->set.nr);
	htp_ranges_add_hull(self->a, &self->set, 30, 40);
	ASSERT_EQ(1, self->set.nr);
	EXPECT_EQ(10, htp_ranges_at(&self->set, 0)->start);
	EXPECT_EQ(40, htp_ranges_at(&self->set, 0)->end);
	htp_ranges_add_hull(self->a, &self->set, 2, 3);
	ASSERT_EQ(1, self->set.nr);
	EXPECT_EQ(2, htp_ranges_at(&self->set, 0)->start);
	EXPECT_EQ(40, htp_ranges_at(&self->set, 0)->end);
}

/* Packets of random pieces are acknowledged or lost at random: @lost and @above against a model */
TEST_F(ranges, send_queue_against_a_map)
{
	enum { SENT, LOST, ACKED } map[256] = { SENT };
	struct sim random = { .random = 11 };
	struct htp_sendq q;
	struct iovec iov;
	int i, j, k;

	for (k = 0; k < 500; k++) {
		htp_sendq_init(&q, 256);
		ASSERT_EQ(1, htp_sendq_reserve(self->a, &q, 256 - (q.end - q.acked), &iov, 1));
		ASSERT_EQ(256, iov.iov_len);
		htp_sendq_commit(self->a, &q, 256);
		q.sent = 256;
		memset(map, 0, sizeof(map));
		for (i = 0; i < 30; i++) {
			__u64 start = sim_random(&random) % 256;
			__u32 len = sim_random(&random) % (257 - start);
			bool acked = sim_random(&random) % 2;

			if (acked)
				htp_sendq_on_acked(self->a, &q, start, len, false);
			else
				htp_sendq_on_lost(self->a, &q, start, len, false);
			for (j = start; j < start + len; j++)
				if (map[j] != ACKED)
					map[j] = acked ? ACKED : LOST;
			for (j = 0; j < 256 && map[j] == ACKED; j++)
				;
			ASSERT_EQ(j, q.acked);
			for (; j < 256; j++)
				self->model[j] = map[j] == LOST;
			memset(self->model, 0, q.acked);
			ASSERT_TRUE(agrees(&q.lost, self->model));
			for (j = q.acked; j < 256; j++)
				self->model[j] = map[j] == ACKED;
			ASSERT_TRUE(agrees(&q.above, self->model));
		}
		htp_sendq_clear(self->a, &q);
	}
	htp_chunk_drop_cache(self->a);
}

/* Bytes come in random pieces and are read in others; an empty queue owns nothing */
TEST_F(ranges, receive_queue_in_pieces)
{
	struct sim random = { .random = 12 };
	static __u8 bytes[200000];
	struct htp_recvq q;
	struct iovec iov;
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = sim_random(&random);
	self->a->max_ahead = 1000;
	htp_recvq_init(&q, sizeof(bytes));
	while (q.consumed < sizeof(bytes)) {
		__u64 start = htp_min(q.consumed + sim_random(&random) % 60000, sizeof(bytes));
		size_t len = htp_min(sim_random(&random) % 5000, sizeof(bytes) - start);

		if (sim_random(&random) % 2)
			start = q.contig;
		len = htp_min(len, sizeof(bytes) - start);
		ASSERT_EQ(0, htp_recvq_insert(self->a, &q, start, bytes + start, len));
		q.highest = htp_max(q.highest, start + len);
		ASSERT_EQ(q.ahead.nr, self->a->nr_ahead);
		if (sim_random(&random) % 4 || !htp_recvq_peek(&q, &iov, 1))
			continue;
		ASSERT_EQ(0, memcmp(iov.iov_base, bytes + q.consumed, iov.iov_len));
		htp_recvq_consume(self->a, &q, 1 + sim_random(&random) % iov.iov_len);
	}
	EXPECT_EQ(0, q.q.nr);

	/* far into the stream, a few bytes take a small chunk */
	ASSERT_EQ(0, htp_recvq_insert(self->a, &q, sizeof(bytes), bytes, 10));
	EXPECT_EQ(1, q.q.nr);
	EXPECT_EQ(1024, (*htp_chunkq_at(&q.q, 0))->cap);
	htp_recvq_clear(self->a, &q);
	htp_chunk_drop_cache(self->a);
}

TEST_HARNESS_MAIN
