// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes of a stream that came from the peer, put together:
 *
 *	consumed <= contig <= highest <= limit,  limit - consumed <= window
 *
 * Memory is taken where bytes arrive, so it is bounded by the window even if
 * the peer sends single bytes far apart. A queue that is read empty owns none,
 * and starts small again: thousands of streams may each wait for a few bytes.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "private.h"
#include "queue.h"
#include "ranges.h"

void htp_recvq_init(struct htp_recvq *q, __u64 limit)
{
	memset(q, 0, sizeof(*q));
	htp_chunkq_init(&q->q);
	htp_ranges_init(&q->ahead);
	q->final = HTP_NEVER;
	q->limit = limit;
}

void htp_recvq_clear(struct htp_assoc *a, struct htp_recvq *q)
{
	htp_chunkq_clear(a, &q->q);
	a->nr_ahead -= q->ahead.nr;
	htp_ranges_clear(a, &q->ahead);
}

/* Only the first chunk starts small: the others come with a window's worth of bytes */
static __u32 chunk_size(__u32 i, size_t need)
{
	if (i || need > 4096)
		return HTP_CHUNK;
	return need > 1024 ? 4096 : 1024;
}

/* Chunk @i with room for @need bytes at least, or NULL */
static struct htp_chunk *recvq_chunk(struct htp_assoc *a, struct htp_recvq *q, __u32 i,
				     size_t need)
{
	struct htp_chunk *old, *chunk;

	while (q->q.nr <= i)
		if (htp_chunkq_push(a, &q->q, NULL))
			return NULL;
	old = *htp_chunkq_at(&q->q, i);
	if (old && old->cap >= need)
		return old;
	chunk = htp_chunk_alloc(a, chunk_size(i, need));
	if (!chunk)
		return NULL;
	if (old)
		memcpy(chunk->data, old->data, old->cap);
	htp_chunk_free(a, old);
	*htp_chunkq_at(&q->q, i) = chunk;
	return chunk;
}

static int recvq_store(struct htp_assoc *a, struct htp_recvq *q, __u64 offset,
		       const __u8 *data, size_t len)
{
	while (len) {
		__u64 pos = (offset - q->origin) % HTP_CHUNK;
		size_t n = htp_min(len, HTP_CHUNK - pos);
		struct htp_chunk *chunk;

		chunk = recvq_chunk(a, q, (offset - q->origin) / HTP_CHUNK, pos + n);
		if (!chunk)
			return -ENOMEM;
		memcpy(chunk->data + pos, data, n);
		offset += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* Single ranges are cheap for the peer to make and not for us to keep */
static bool ahead_is_full(const struct htp_assoc *a, const struct htp_recvq *q, __u64 start,
			  __u64 end)
{
	__u32 i = htp_ranges_find(&q->ahead, start - 1);

	if (a->nr_ahead < a->max_ahead)
		return false;
	return i == q->ahead.nr || htp_ranges_at(&q->ahead, i)->start > end;
}

static int recvq_add_ahead(struct htp_assoc *a, struct htp_recvq *q, __u64 start, __u64 end)
{
	__u32 before = q->ahead.nr;
	int err;

	err = htp_ranges_add(a, &q->ahead, start, end);
	a->nr_ahead += q->ahead.nr - before;
	return err;
}

static void recvq_advance(struct htp_assoc *a, struct htp_recvq *q, __u64 to)
{
	__u32 before = q->ahead.nr;

	q->contig = to;
	while (q->ahead.nr && htp_ranges_at(&q->ahead, 0)->start <= q->contig) {
		q->contig = htp_max(q->contig, htp_ranges_at(&q->ahead, 0)->end);
		htp_ranges_trim(a, &q->ahead, q->contig);
	}
	a->nr_ahead -= before - q->ahead.nr;
}

/*
 * Take bytes that are within the windows. 0, or -ENOMEM with nothing changed
 * that matters: the packet must be dropped unacknowledged.
 */
int htp_recvq_insert(struct htp_assoc *a, struct htp_recvq *q, __u64 offset,
		     const __u8 *data, size_t len)
{
	__u64 end = offset + len;

	if (!len || end <= q->contig)
		return 0;
	if (offset < q->contig) {
		data += q->contig - offset;
		offset = q->contig;
	}
	if (offset > q->contig && ahead_is_full(a, q, offset, end))
		return -ENOMEM;
	if (recvq_store(a, q, offset, data, end - offset))
		return -ENOMEM;
	if (offset > q->contig)
		return recvq_add_ahead(a, q, offset, end);
	recvq_advance(a, q, end);
	return 0;
}

/* Number of iovecs with bytes that are in order */
int htp_recvq_peek(const struct htp_recvq *q, struct iovec *iov, int nr_iov)
{
	__u64 offset = q->consumed;
	int n;

	for (n = 0; n < nr_iov && offset < q->contig; n++) {
		__u64 pos = (offset - q->origin) % HTP_CHUNK;
		struct htp_chunk *chunk;

		chunk = *htp_chunkq_at(&q->q, (offset - q->origin) / HTP_CHUNK);
		iov[n].iov_base = chunk->data + pos;
		iov[n].iov_len = htp_min(HTP_CHUNK - pos, q->contig - offset);
		offset += iov[n].iov_len;
	}
	return n;
}

/* @len bytes that peek showed are done with */
void htp_recvq_consume(struct htp_assoc *a, struct htp_recvq *q, size_t len)
{
	q->consumed += len;
	if (q->consumed == q->highest) {
		htp_chunkq_clear(a, &q->q);
		q->origin = q->consumed;
		return;
	}
	while (q->consumed - q->origin >= HTP_CHUNK) {
		htp_chunkq_pop_front(a, &q->q);
		q->origin += HTP_CHUNK;
	}
}
