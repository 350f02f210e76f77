// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for stream bytes, and queues of it. Full-size chunks come and go with
 * every few datagrams, so some free ones are kept while there are streams.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "private.h"

#define SMALL_CAP	(sizeof(((struct htp_chunkq *)0)->small) / sizeof(struct htp_chunk *))

struct htp_chunk *htp_chunk_alloc(struct htp_assoc *a, __u32 cap)
{
	struct htp_chunk *chunk;

	if (cap == HTP_CHUNK && a->chunks) {
		chunk = a->chunks;
		a->chunks = chunk->next;
		a->nr_chunks--;
	} else {
		chunk = htp_alloc(a, sizeof(*chunk) + cap);
	}
	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->start = 0;
	chunk->len = 0;
	chunk->cap = cap;
	return chunk;
}

void htp_chunk_free(struct htp_assoc *a, struct htp_chunk *chunk)
{
	if (!chunk)
		return;
	if (chunk->cap != HTP_CHUNK || a->nr_chunks >= HTP_CHUNK_CACHE) {
		htp_free(a, chunk);
		return;
	}
	chunk->next = a->chunks;
	a->chunks = chunk;
	a->nr_chunks++;
}

void htp_chunk_drop_cache(struct htp_assoc *a)
{
	struct htp_chunk *chunk = a->chunks;

	a->chunks = NULL;
	a->nr_chunks = 0;
	while (chunk) {
		struct htp_chunk *next = chunk->next;

		htp_free(a, chunk);
		chunk = next;
	}
}

void htp_chunkq_init(struct htp_chunkq *q)
{
	memset(q, 0, sizeof(*q));
	q->slot = q->small;
	q->cap = SMALL_CAP;
}

static int chunkq_grow(struct htp_assoc *a, struct htp_chunkq *q)
{
	struct htp_chunk **slot = htp_alloc(a, 2 * q->cap * sizeof(*slot));
	__u32 i;

	if (!slot)
		return -ENOMEM;
	for (i = 0; i < q->nr; i++)
		slot[i] = *htp_chunkq_at(q, i);
	if (q->slot != q->small)
		htp_free(a, q->slot);
	q->slot = slot;
	q->cap *= 2;
	q->head = 0;
	return 0;
}

int htp_chunkq_push(struct htp_assoc *a, struct htp_chunkq *q, struct htp_chunk *chunk)
{
	if (q->nr == q->cap && chunkq_grow(a, q))
		return -ENOMEM;
	*htp_chunkq_at(q, q->nr++) = chunk;
	return 0;
}

/* An empty queue needs no more than its small array */
static void chunkq_shrink(struct htp_assoc *a, struct htp_chunkq *q)
{
	if (q->nr)
		return;
	if (q->slot != q->small)
		htp_free(a, q->slot);
	htp_chunkq_init(q);
}

void htp_chunkq_pop_front(struct htp_assoc *a, struct htp_chunkq *q)
{
	htp_chunk_free(a, *htp_chunkq_at(q, 0));
	q->head = (q->head + 1) & (q->cap - 1);
	q->nr--;
	chunkq_shrink(a, q);
}

void htp_chunkq_pop_back(struct htp_assoc *a, struct htp_chunkq *q)
{
	htp_chunk_free(a, *htp_chunkq_at(q, --q->nr));
	chunkq_shrink(a, q);
}

void htp_chunkq_clear(struct htp_assoc *a, struct htp_chunkq *q)
{
	while (q->nr)
		htp_chunkq_pop_back(a, q);
	chunkq_shrink(a, q);
}
