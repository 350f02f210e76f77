// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes of a stream on their way to the peer. They stay in the chunks which
 * the application filled until they are acknowledged:
 *
 *	acked <= sent <= end,  end - acked <= max_stream_buffer
 *
 * Every byte of [acked, sent) is in a packet whose fate is open, in @lost, or
 * in @above. What can't be booked for lack of memory is sent again: that costs
 * time, never a byte.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "htp.h"
#include "queue.h"
#include "ranges.h"
#include "units.h"

#define SMALL_WRITE	2048	/* up to so much is moved out of a full-size chunk */

void htp_sendq_init(struct htp_sendq *q, __u64 limit)
{
	memset(q, 0, sizeof(*q));
	htp_chunkq_init(&q->q);
	htp_ranges_init(&q->above);
	htp_ranges_init(&q->lost);
	q->limit = limit;
	q->blocked_at = HTP_NEVER;
}

/* The bytes go, the counts stay: RESET tells how many were sent */
void htp_sendq_clear(struct htp_assoc *a, struct htp_sendq *q)
{
	htp_chunkq_clear(a, &q->q);
	htp_ranges_clear(a, &q->above);
	htp_ranges_clear(a, &q->lost);
	q->reserved = 0;
	q->fin_due = false;
	q->want_room = false;
}

static struct htp_chunk *sendq_last(const struct htp_sendq *q)
{
	return q->q.nr ? *htp_chunkq_at(&q->q, q->q.nr - 1) : NULL;
}

static void sendq_drop_reserved(struct htp_assoc *a, struct htp_sendq *q)
{
	q->reserved = 0;
	while (q->q.nr && !sendq_last(q)->len)
		htp_chunkq_pop_back(a, &q->q);
}

static struct htp_chunk *sendq_add_chunk(struct htp_assoc *a, struct htp_sendq *q, __u64 room)
{
	struct htp_chunk *chunk = htp_chunk_alloc(a, htp_min(room, HTP_CHUNK));

	if (!chunk)
		return NULL;
	chunk->start = q->end + q->reserved;
	if (!htp_chunkq_push(a, &q->q, chunk))
		return chunk;
	htp_chunk_free(a, chunk);
	return NULL;
}

/* Number of iovecs with room, @room bytes at most; 0: full; -ENOMEM */
int htp_sendq_reserve(struct htp_assoc *a, struct htp_sendq *q, __u64 room, struct iovec *iov,
		      int nr_iov)
{
	struct htp_chunk *chunk;
	int n;

	sendq_drop_reserved(a, q);
	if (!room) {
		q->want_room = true;
		return 0;
	}
	chunk = sendq_last(q);
	if (chunk && chunk->len == chunk->cap)
		chunk = NULL;
	for (n = 0; n < nr_iov && room; n++) {
		if (!chunk)
			chunk = sendq_add_chunk(a, q, room);
		if (!chunk)
			return n ? n : -ENOMEM;
		iov[n].iov_base = chunk->data + chunk->len;
		iov[n].iov_len = htp_min(room, chunk->cap - chunk->len);
		room -= iov[n].iov_len;
		q->reserved += iov[n].iov_len;
		chunk = NULL;
	}
	return n;
}

/* A few bytes don't keep a whole chunk while they wait for their ACK */
static void sendq_shrink_last(struct htp_assoc *a, struct htp_sendq *q)
{
	struct htp_chunk *chunk = sendq_last(q), *small;

	if (!chunk || chunk->cap < HTP_CHUNK || chunk->len > SMALL_WRITE)
		return;
	small = htp_chunk_alloc(a, (2 * chunk->len + 255) & ~255U);
	if (!small)
		return;
	small->start = chunk->start;
	small->len = chunk->len;
	memcpy(small->data, chunk->data, chunk->len);
	*htp_chunkq_at(&q->q, q->q.nr - 1) = small;
	htp_chunk_free(a, chunk);
}

static void sendq_free_acked(struct htp_assoc *a, struct htp_sendq *q)
{
	while (q->q.nr) {
		const struct htp_chunk *chunk = *htp_chunkq_at(&q->q, 0);
		__u64 chunk_end = chunk->start + chunk->len;

		if (chunk_end > q->acked)
			break;
		/* the application may be filling it right now */
		if (q->reserved && chunk_end == q->end)
			break;
		htp_chunkq_pop_front(a, &q->q);
	}
}

/* @len bytes of what was reserved are filled; the rest is taken back */
void htp_sendq_commit(struct htp_assoc *a, struct htp_sendq *q, size_t len)
{
	__u32 i = q->q.nr;

	while (i && (*htp_chunkq_at(&q->q, i - 1))->start >= q->end)
		i--;
	if (i && (*htp_chunkq_at(&q->q, i - 1))->len < (*htp_chunkq_at(&q->q, i - 1))->cap)
		i--;
	while (len) {
		struct htp_chunk *chunk = *htp_chunkq_at(&q->q, i++);
		__u32 n = htp_min(len, chunk->cap - chunk->len);

		chunk->len += n;
		q->end += n;
		len -= n;
	}
	sendq_drop_reserved(a, q);
	sendq_shrink_last(a, q);
	sendq_free_acked(a, q);
}

/* Index of the chunk that holds @offset, which is in [acked, end) */
static __u32 sendq_find(const struct htp_sendq *q, __u64 offset)
{
	__u32 lo = 0, hi = q->q.nr - 1;

	while (lo < hi) {
		__u32 mid = lo + (hi - lo + 1) / 2;

		if ((*htp_chunkq_at(&q->q, mid))->start <= offset)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

void htp_sendq_copy(const struct htp_sendq *q, __u64 offset, void *to, size_t len)
{
	__u8 *p = to;
	__u32 i;

	if (!len)
		return;
	for (i = sendq_find(q, offset); len; i++) {
		const struct htp_chunk *chunk = *htp_chunkq_at(&q->q, i);
		__u64 skip = offset - chunk->start;
		size_t n = htp_min(len, chunk->len - skip);

		memcpy(p, chunk->data + skip, n);
		p += n;
		offset += n;
		len -= n;
	}
}

/* [acked, ...) grows by the ranges that now follow directly */
static void sendq_advance(struct htp_assoc *a, struct htp_sendq *q, __u64 to)
{
	q->acked = to;
	while (q->above.nr && htp_ranges_at(&q->above, 0)->start <= q->acked) {
		q->acked = htp_max(q->acked, htp_ranges_at(&q->above, 0)->end);
		htp_ranges_trim(a, &q->above, q->acked);
	}
	htp_ranges_trim(a, &q->lost, q->acked);
	sendq_free_acked(a, q);
}

void htp_sendq_on_acked(struct htp_assoc *a, struct htp_sendq *q, __u64 offset, __u32 len,
			bool fin)
{
	__u64 end = offset + len;

	if (fin) {
		q->fin_acked = true;
		q->fin_due = false;
	}
	if (end <= q->acked)
		return;
	if (offset <= q->acked) {
		sendq_advance(a, q, end);
		return;
	}
	if (htp_ranges_add(a, &q->above, offset, end)) {
		htp_ranges_add_hull(a, &q->lost, offset, end);
		return;
	}
	htp_ranges_sub(a, &q->lost, offset, end);	/* failing only repeats bytes */
}

void htp_sendq_on_lost(struct htp_assoc *a, struct htp_sendq *q, __u64 offset, __u32 len,
		       bool fin)
{
	__u64 from = htp_max(offset, q->acked), end = offset + len;
	__u32 i;

	if (fin && !q->fin_acked)
		q->fin_due = true;
	/* leave out what arrived in another packet */
	for (i = htp_ranges_find(&q->above, from); i < q->above.nr && from < end; i++) {
		const struct htp_range *r = htp_ranges_at(&q->above, i);

		if (r->start >= end)
			break;
		if (from < r->start)
			htp_ranges_add_hull(a, &q->lost, from, r->start);
		from = htp_max(from, r->end);
	}
	if (from < end)
		htp_ranges_add_hull(a, &q->lost, from, end);
}
