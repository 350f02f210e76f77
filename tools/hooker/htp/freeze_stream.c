// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing and thawing streams: numbers first, then the bytes that the peer has not
 * acknowledged, then those that the application has not read.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "freeze.h"
#include "private.h"
#include "queue.h"
#include "ranges.h"
#include "stream.h"
#include "window.h"

enum stream_flag {
	STREAM_OPENED		= 1 << 0,
	STREAM_ACCEPTED		= 1 << 1,
	STREAM_DEAD		= 1 << 2,
	STREAM_OWES_RESET	= 1 << 3,
	STREAM_STUB		= 1 << 4,
	STREAM_FINISHED		= 1 << 5,
	STREAM_RELEASED		= 1 << 6,
	STREAM_UNSEEN		= 1 << 7,
	STREAM_TX_FINISHED	= 1 << 8,
	STREAM_FIN_ACKED	= 1 << 9,
	STREAM_END_READ		= 1 << 10,
	STREAM_WANT_ROOM	= 1 << 11,
	STREAM_LOOSE		= 1 << 12,
	STREAM_PEER_LOOSE	= 1 << 13,
};

#define STREAM_FLAGS		((1 << 14) - 1)
#define STREAM_EVENTS		((HTP_EV_FINISHED << 1) - 1)

static __u32 flags_of(const struct htp_stream *s)
{
	return (s->opened ? STREAM_OPENED : 0) | (s->accepted ? STREAM_ACCEPTED : 0) |
	       (s->dead ? STREAM_DEAD : 0) | (s->owes_reset ? STREAM_OWES_RESET : 0) |
	       (s->stub ? STREAM_STUB : 0) | (s->finished ? STREAM_FINISHED : 0) |
	       (s->released ? STREAM_RELEASED : 0) |
	       (htp_list_is_empty(&s->unseen_link) ? 0 : STREAM_UNSEEN) |
	       (s->tx.finished ? STREAM_TX_FINISHED : 0) |
	       (s->tx.fin_acked ? STREAM_FIN_ACKED : 0) |
	       (s->rx.end_read ? STREAM_END_READ : 0) |
	       (s->tx.want_room ? STREAM_WANT_ROOM : 0) |
	       (s->loose ? STREAM_LOOSE : 0) | (s->peer_loose ? STREAM_PEER_LOOSE : 0);
}

static void set_flags(struct htp_stream *s, __u32 flags)
{
	s->opened = flags & STREAM_OPENED;
	s->accepted = flags & STREAM_ACCEPTED;
	s->dead = flags & STREAM_DEAD;
	s->owes_reset = flags & STREAM_OWES_RESET;
	s->stub = flags & STREAM_STUB;
	s->finished = flags & STREAM_FINISHED;
	s->released = flags & STREAM_RELEASED;
	s->tx.finished = flags & STREAM_TX_FINISHED;
	s->tx.fin_acked = flags & STREAM_FIN_ACKED;
	s->rx.end_read = flags & STREAM_END_READ;
	s->tx.want_room = flags & STREAM_WANT_ROOM;
	s->loose = flags & STREAM_LOOSE;
	s->peer_loose = flags & STREAM_PEER_LOOSE;
	if (flags & STREAM_UNSEEN)
		htp_list_add_tail(&s->a->unseen_list, &s->unseen_link);
}

static void freeze_ranges(struct htp_freezer *f, const struct htp_ranges *set)
{
	__u32 nr = set->nr;

	HTP_FREEZE(f, nr);
	if (nr)
		htp_freeze_bytes(f, htp_ranges_at(set, 0), nr * sizeof(struct htp_range));
}

/* Ranges in place; the bytes may stand anywhere, so each is copied before it is used */
static const __u8 *thaw_ranges(struct htp_freezer *f, __u32 *nr, __u64 from, __u64 to)
{
	struct htp_range r, last = { 0 };
	const __u8 *p;
	__u32 i;

	*nr = 0;
	HTP_FREEZE(f, *nr);
	htp_thaw_check(f, *nr <= htp_reader_left(&f->in) / sizeof(r));
	p = htp_thaw_bytes(f, f->err ? 0 : *nr * sizeof(r));
	for (i = 0; !f->err && i < *nr; i++, last = r) {
		memcpy(&r, p + i * sizeof(r), sizeof(r));
		htp_thaw_check(f, r.start < r.end && r.end <= to &&
			       (i ? r.start > last.end : r.start > from));
	}
	return f->err ? NULL : p;
}

static void freeze_sendq(struct htp_freezer *f, const struct htp_sendq *q)
{
	__u64 offset = q->acked;
	__u32 i;

	freeze_ranges(f, &q->above);
	for (i = 0; i < q->q.nr && offset < q->end; i++) {
		struct htp_chunk *chunk = *htp_chunkq_at(&q->q, i);
		__u64 skip = htp_max(offset, chunk->start) - chunk->start;

		if (skip >= chunk->len)
			continue;
		htp_freeze_bytes(f, chunk->data + skip, chunk->len - skip);
		offset = chunk->start + chunk->len;
	}
}

static void thaw_sent_bytes(struct htp_freezer *f, struct htp_stream *s, __u64 end)
{
	struct htp_sendq *q = &s->tx;

	while (!f->err && q->end < end) {
		struct iovec iov;
		const void *from;
		size_t len;

		if (htp_sendq_reserve(s->a, q, end - q->end, &iov, 1) < 1) {
			f->err = -ENOMEM;
			return;
		}
		len = htp_min(iov.iov_len, end - q->end);
		from = htp_thaw_bytes(f, len);
		if (!from)
			return;
		memcpy(iov.iov_base, from, len);
		htp_sendq_commit(s->a, q, len);
	}
}

/* Everything that is not known to have arrived is lost */
static void thaw_sendq(struct htp_freezer *f, struct htp_stream *s, __u64 sent, __u64 end)
{
	struct htp_sendq *q = &s->tx;
	struct htp_range r;
	const __u8 *p;
	__u32 nr, i;

	p = thaw_ranges(f, &nr, q->acked, sent);
	thaw_sent_bytes(f, s, end);
	for (i = 0; !f->err && i < nr; i++) {
		memcpy(&r, p + i * sizeof(r), sizeof(r));
		if (htp_ranges_add(s->a, &q->above, r.start, r.end))
			f->err = -ENOMEM;
	}
	if (f->err)
		return;
	q->sent = sent;
	q->fin_due = q->finished && !q->fin_acked;
	if (sent > q->acked)
		htp_sendq_on_lost(s->a, q, q->acked, sent - q->acked, false);
}

static void freeze_received(struct htp_freezer *f, const struct htp_recvq *q, __u64 from, __u64 to)
{
	while (from < to) {
		__u64 pos = (from - q->origin) % HTP_CHUNK;
		struct htp_chunk *chunk = *htp_chunkq_at(&q->q, (from - q->origin) / HTP_CHUNK);
		__u64 n = htp_min(HTP_CHUNK - pos, to - from);

		htp_freeze_bytes(f, chunk->data + pos, n);
		from += n;
	}
}

static void freeze_recvq(struct htp_freezer *f, const struct htp_recvq *q)
{
	__u32 i;

	freeze_ranges(f, &q->ahead);
	freeze_received(f, q, q->consumed, q->contig);
	for (i = 0; i < q->ahead.nr; i++)
		freeze_received(f, q, htp_ranges_at(&q->ahead, i)->start,
				htp_ranges_at(&q->ahead, i)->end);
}

static void thaw_received(struct htp_freezer *f, struct htp_stream *s, __u64 from, __u64 to)
{
	const __u8 *data = htp_thaw_bytes(f, to - from);

	if (data && htp_recvq_insert(s->a, &s->rx, from, data, to - from))
		f->err = -ENOMEM;
}

static void thaw_recvq(struct htp_freezer *f, struct htp_stream *s, __u64 contig, __u64 highest)
{
	struct htp_recvq *q = &s->rx;
	struct htp_range r;
	const __u8 *p;
	__u32 nr, i;

	p = thaw_ranges(f, &nr, contig, highest);
	q->origin = q->consumed;
	q->contig = q->consumed;
	if (!f->err)
		thaw_received(f, s, q->consumed, contig);
	for (i = 0; !f->err && i < nr; i++) {
		memcpy(&r, p + i * sizeof(r), sizeof(r));
		thaw_received(f, s, r.start, r.end);
	}
	q->highest = highest;
}

/* What may have been in a packet whose fate nobody will know: all frames can be repeated */
static void want_all(struct htp_stream *s)
{
	if (s->dead) {
		s->want = s->owes_reset ? HTP_WANT_RESET : 0;
		return;
	}
	if (!htp_list_is_empty(&s->unseen_link))
		s->want |= HTP_WANT_OPEN;
	if (!s->local && s->accepted)
		s->want |= HTP_WANT_ACCEPT;
	if (s->opened && s->rx.final == HTP_NEVER)
		s->want |= HTP_WANT_MAX;
}

/* What of a stream's numbers stands beside them until its queues are filled */
struct numbers {
	__u64	sent, end, contig, highest;
};

static void pass_numbers(struct htp_freezer *f, struct htp_stream *s, struct numbers *n)
{
	HTP_FREEZE(f, s->tx.acked);
	HTP_FREEZE(f, n->sent);
	HTP_FREEZE(f, n->end);
	HTP_FREEZE(f, s->tx.limit);
	HTP_FREEZE(f, s->rx.consumed);
	HTP_FREEZE(f, n->contig);
	HTP_FREEZE(f, n->highest);
	HTP_FREEZE(f, s->rx.final);
	HTP_FREEZE(f, s->rx.limit);
	htp_freeze_window(f, s->a, &s->window, n->highest);
}

/**
 * htp_stream_freeze() - put a stream into bytes
 * @f: freezer
 * @s: stream
 */
void htp_stream_freeze(struct htp_freezer *f, struct htp_stream *s)
{
	__u32 flags = flags_of(s), code = s->code;
	struct numbers n = {
		.sent = s->tx.sent, .end = s->tx.end,
		.contig = s->rx.contig, .highest = s->rx.highest,
	};

	HTP_FREEZE(f, s->id);
	htp_freeze_bool(f, &s->local);
	HTP_FREEZE(f, flags);
	HTP_FREEZE(f, code);
	HTP_FREEZE(f, s->events);
	HTP_FREEZE(f, s->unopened);
	HTP_FREEZE(f, s->open_len);
	htp_freeze_bytes(f, s->open_data, s->open_len);
	pass_numbers(f, s, &n);
	if (s->dead)
		return;
	freeze_sendq(f, &s->tx);
	freeze_recvq(f, &s->rx);
}

static struct htp_stream *thaw_new(struct htp_freezer *f, struct htp_assoc *a)
{
	struct htp_stream *s;
	bool local = false;
	__u64 id = 0;

	HTP_FREEZE(f, id);
	htp_freeze_bool(f, &local);
	htp_thaw_check(f, id && id <= HTP_VARINT_MAX &&
		       id % 2 == (local ? !a->config.initiator : a->config.initiator) &&
		       (!local || id < a->next_id) && !htp_stream_find(a, id));
	if (f->err)
		return NULL;
	s = htp_stream_create(a, id, local);
	if (!s)
		f->err = -ENOMEM;
	return s;
}

static void thaw_open_data(struct htp_freezer *f, struct htp_stream *s)
{
	__u16 len = 0;

	HTP_FREEZE(f, len);
	htp_thaw_check(f, len <= HTP_OPEN_MAX);
	if (f->err || !len)
		return;
	s->open_data = htp_alloc(s->a, len);
	if (!s->open_data) {
		f->err = -ENOMEM;
		return;
	}
	s->open_len = len;
	htp_freeze_bytes(f, s->open_data, len);
}

/* A stream's own numbers must agree, and with what it is said to be */
static void check_stream(struct htp_freezer *f, const struct htp_stream *s,
			 const struct numbers *n)
{
	const struct htp_sendq *tx = &s->tx;
	const struct htp_recvq *rx = &s->rx;

	htp_thaw_check(f, tx->acked <= n->sent && n->sent <= n->end && n->end <= HTP_VARINT_MAX &&
		       n->sent <= tx->limit && tx->limit <= HTP_VARINT_MAX &&
		       n->end - tx->acked <= HTP_THAW_WINDOW);
	htp_thaw_check(f, rx->consumed <= n->contig && n->contig <= n->highest &&
		       n->highest <= rx->limit && n->highest <= rx->final &&
		       rx->limit <= HTP_VARINT_MAX &&
		       (rx->final <= HTP_VARINT_MAX || rx->final == HTP_NEVER) &&
		       n->highest - rx->consumed <= HTP_THAW_WINDOW);
	htp_thaw_check(f, s->dead ? rx->consumed == n->highest : !s->stub);
	htp_thaw_check(f, !tx->fin_acked || tx->finished);
	htp_thaw_check(f, !rx->end_read || rx->consumed == rx->final);
	htp_thaw_check(f, !s->finished || (tx->fin_acked && rx->end_read && !s->released));
	htp_thaw_check(f, s->local ? s->opened && !s->stub : htp_list_is_empty(&s->unseen_link));
	htp_thaw_check(f, s->unopened <= HTP_UNOPENED_MAX && (!s->unopened || !s->opened));
}

/* At once: destroying the stream counts it out */
static void thaw_counts(struct htp_stream *s)
{
	struct htp_assoc *a = s->a;

	a->unopened += s->unopened;
	if (s->stub)
		a->nr_stubs++;
	else if (!s->local)
		a->nr_peer++;
}

static void thaw_head(struct htp_freezer *f, struct htp_stream *s, __u32 *events)
{
	__u32 flags = 0, code = 0;

	HTP_FREEZE(f, flags);
	HTP_FREEZE(f, code);
	HTP_FREEZE(f, *events);
	HTP_FREEZE(f, s->unopened);
	htp_thaw_check(f, !(flags & ~STREAM_FLAGS) && !(*events & ~STREAM_EVENTS));
	set_flags(s, flags);
	s->code = code;
	thaw_counts(s);
	thaw_open_data(f, s);
}

static void thaw_queues(struct htp_freezer *f, struct htp_stream *s, const struct numbers *n)
{
	s->tx.end = s->dead ? n->end : s->tx.acked;
	s->tx.sent = s->dead ? n->sent : s->tx.acked;
	if (s->dead) {
		s->rx.contig = n->contig;
		s->rx.highest = n->highest;
		return;
	}
	thaw_sendq(f, s, n->sent, n->end);
	thaw_recvq(f, s, n->contig, n->highest);
	s->a->rx_unread += s->rx.contig - s->rx.consumed;
}

/**
 * htp_stream_thaw() - make a stream from bytes
 * @f: freezer that thaws; @f->err is set if they are none
 * @a: association to have it
 */
void htp_stream_thaw(struct htp_freezer *f, struct htp_assoc *a)
{
	struct htp_stream *s = thaw_new(f, a);
	struct numbers n = { 0 };
	__u32 events = 0;

	if (!s)
		return;
	thaw_head(f, s, &events);
	pass_numbers(f, s, &n);
	check_stream(f, s, &n);
	if (!f->err)
		thaw_queues(f, s, &n);
	htp_thaw_check(f, s->rx.contig == n.contig);
	if (f->err)
		return;
	want_all(s);
	if (events)
		htp_stream_raise(s, events);
	htp_stream_schedule(s);
}
