// SPDX-License-Identifier: GPL-2.0
/*
 * Frames about streams, as they come from the peer. Each function returns 0,
 * -EPROTO if the peer broke the protocol, or -ENOMEM with nothing done that
 * would do harm when the peer sends the frame again.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "frame.h"
#include "private.h"
#include "queue.h"
#include "stream.h"
#include "window.h"

static bool id_is_local(const struct htp_assoc *a, __u64 id)
{
	return !(id & 1) == a->config.initiator;
}

static bool id_was_seen(const struct htp_assoc *a, __u64 index)
{
	__u64 bit = index % HTP_ID_WINDOW;

	return index < a->seen_base || (a->seen[bit / 64] >> (bit % 64) & 1);
}

static void id_mark_seen(struct htp_assoc *a, __u64 index)
{
	__u64 bit = index % HTP_ID_WINDOW;

	a->seen[bit / 64] |= 1ULL << (bit % 64);
	while (id_was_seen(a, a->seen_base)) {
		bit = a->seen_base++ % HTP_ID_WINDOW;
		a->seen[bit / 64] &= ~(1ULL << (bit % 64));
	}
}

/* One stream too many exists only until the peer knows that it was refused */
static int create_stub(struct htp_assoc *a, __u64 id, struct htp_stream **s)
{
	if (a->nr_stubs >= HTP_STUBS)
		return -ENOMEM;
	*s = htp_stream_create(a, id, false);
	if (!*s)
		return -ENOMEM;
	a->nr_stubs++;
	(*s)->stub = true;
	(*s)->released = true;
	htp_stream_kill(*s, HTP_CODE_NOMEM);
	(*s)->owes_reset = true;
	(*s)->want = HTP_WANT_RESET;
	htp_stream_schedule(*s);
	return 0;
}

static int create_peer_stream(struct htp_assoc *a, __u64 id, struct htp_stream **s)
{
	int err = 0;

	if (a->nr_peer >= a->config.max_streams) {
		err = create_stub(a, id, s);
	} else {
		*s = htp_stream_create(a, id, false);
		if (*s)
			a->nr_peer++;
		else
			err = -ENOMEM;
	}
	if (!err)
		id_mark_seen(a, (id - 1) / 2);
	return err;
}

static bool frame_creates(const struct htp_rx_frame *frame)
{
	return frame->type == HTP_F_OPEN || frame->type == HTP_F_STREAM ||
	       frame->type == HTP_F_STREAM_FIN || frame->type == HTP_F_RESET;
}

/* 0 with *s NULL: a stream that is gone, or not there yet; nothing to do */
static int find_or_create(struct htp_assoc *a, const struct htp_rx_frame *frame,
			  struct htp_stream **s)
{
	__u64 index = (frame->stream - 1) / 2;

	*s = NULL;
	if (!frame->stream)
		return -EPROTO;
	*s = htp_stream_find(a, frame->stream);
	if (*s)
		return 0;
	if (id_is_local(a, frame->stream))
		return frame->stream < a->next_id ? 0 : -EPROTO;
	if (index < a->seen_base)
		return 0;
	if (index - a->seen_base >= HTP_ID_WINDOW)
		return -EPROTO;
	if (id_was_seen(a, index) || !frame_creates(frame))
		return 0;
	return create_peer_stream(a, frame->stream, s);
}

static int on_open(struct htp_stream *s, const struct htp_rx_frame *frame)
{
	__u8 *copy = NULL;

	if (s->local || frame->len > HTP_OPEN_MAX)
		return -EPROTO;
	if (s->opened || s->dead)
		return 0;
	if (frame->len) {
		copy = htp_alloc(s->a, frame->len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, frame->data, frame->len);
	}
	htp_stream_forget_unopened(s);
	s->open_data = copy;
	s->open_len = frame->len;
	s->opened = true;
	s->peer_loose = frame->loose;
	htp_stream_raise(s, HTP_EV_OPENED);	/* along with what waited for it */
	return 0;
}

static void set_accepted(struct htp_stream *s)
{
	if (s->accepted || s->dead)
		return;
	s->accepted = true;
	htp_stream_raise(s, HTP_EV_ACCEPTED);
}

/* Bytes may have come first, so it may be accepted already */
static int on_accept(struct htp_stream *s, const struct htp_rx_frame *frame)
{
	if (!s->local)
		return -EPROTO;
	s->peer_loose |= frame->loose;
	set_accepted(s);
	return 0;
}

/* Does [.., end), being the stream's end or not, agree with what the peer may and did send? */
static int check_end(const struct htp_stream *s, __u64 end, bool is_final)
{
	const struct htp_assoc *a = s->a;
	const struct htp_recvq *rx = &s->rx;

	if (rx->final != HTP_NEVER && (end > rx->final || (is_final && end != rx->final)))
		return -EPROTO;
	if (is_final && end < rx->highest)
		return -EPROTO;
	if (end > rx->limit)
		return -EPROTO;
	if (end > rx->highest && end - rx->highest > a->rx_limit - a->rx_received)
		return -EPROTO;
	return 0;
}

static void set_highest(struct htp_stream *s, __u64 end, bool is_final)
{
	struct htp_recvq *rx = &s->rx;

	if (end > rx->highest) {
		s->a->rx_received += end - rx->highest;
		rx->highest = end;
	}
	if (is_final)
		rx->final = end;
	if (s->dead && rx->consumed < rx->highest) {
		htp_window_on_consumed(s->a, rx->highest - rx->consumed);
		rx->consumed = rx->highest;
	}
}

/*
 * Bytes may overtake their OPEN. A peer that never sends one would have us keep
 * windows full for nothing; what is refused here, an honest one sends again.
 */
static bool is_unopened(const struct htp_stream *s)
{
	return !s->local && !s->opened && !s->dead;
}

static bool unopened_is_full(const struct htp_stream *s, __u64 end)
{
	__u64 more = end > s->rx.highest ? end - s->rx.highest : 0;

	return is_unopened(s) && s->a->unopened + more > HTP_UNOPENED_MAX;
}

static void count_unopened(struct htp_stream *s, __u64 bytes)
{
	if (!is_unopened(s))
		return;
	s->unopened += bytes;
	s->a->unopened += bytes;
}

static int on_stream(struct htp_stream *s, const struct htp_rx_frame *frame)
{
	bool fin = frame->type == HTP_F_STREAM_FIN;
	__u64 end = frame->offset + frame->len;
	__u64 highest = s->rx.highest;
	__u64 contig = s->rx.contig;
	bool had_end = s->rx.contig == s->rx.final;
	int err = check_end(s, end, fin);

	/* nobody may damage bytes of an application that doesn't expect it */
	if (frame->loose && !s->loose)
		return -EPROTO;
	if (!err && unopened_is_full(s, end))
		err = -ENOMEM;
	if (!err && !s->dead)
		err = htp_recvq_insert(s->a, &s->rx, frame->offset, frame->data, frame->len);
	if (err)
		return err;
	set_highest(s, end, fin);
	count_unopened(s, s->rx.highest - highest);
	if (s->dead) {
		htp_stream_settle(s);
		return 0;
	}
	if (s->rx.contig > contig)
		htp_window_on_complete(s->a, s->rx.contig - contig);
	else if (s->rx.highest > highest)
		htp_window_on_ahead(s);
	if (s->local)
		set_accepted(s);	/* its ACCEPT is late or lost */
	if (s->rx.contig > contig || (s->rx.contig == s->rx.final && !had_end))
		htp_stream_raise(s, HTP_EV_READABLE);
	return 0;
}

static int on_reset(struct htp_stream *s, const struct htp_rx_frame *frame)
{
	bool fin_acked = s->tx.fin_acked;
	int err = check_end(s, frame->offset, true);

	if (err || s->finished)
		return err;
	if (!s->dead) {
		htp_stream_kill(s, frame->code);
		if (!fin_acked) {
			s->owes_reset = true;
			s->want = HTP_WANT_RESET;
			htp_stream_schedule(s);
		}
		htp_stream_raise(s, HTP_EV_RESET);
	}
	set_highest(s, frame->offset, true);
	htp_stream_settle(s);
	return 0;
}

static void on_max_stream_data(struct htp_stream *s, __u64 limit)
{
	if (s->dead || limit <= s->tx.limit)
		return;
	s->tx.limit = limit;
	s->want &= ~HTP_WANT_BLOCKED;
	htp_stream_schedule(s);
}

/* The peer hasn't heard of a limit that it wants to pass: perhaps it fell behind */
static void on_blocked(struct htp_stream *s, __u64 limit)
{
	if (s->dead || s->rx.final != HTP_NEVER || limit >= s->rx.limit)
		return;
	s->want |= HTP_WANT_MAX;
	htp_stream_schedule(s);
}

/* A frame about a stream; may destroy the stream */
int htp_stream_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame)
{
	struct htp_stream *s;
	int err = find_or_create(a, frame, &s);

	if (err || !s)
		return err;
	switch (frame->type) {
	case HTP_F_OPEN:
		return on_open(s, frame);
	case HTP_F_ACCEPT:
		return on_accept(s, frame);
	case HTP_F_STREAM:
	case HTP_F_STREAM_FIN:
		return on_stream(s, frame);
	case HTP_F_RESET:
		return on_reset(s, frame);
	case HTP_F_MAX_STREAM_DATA:
		on_max_stream_data(s, frame->offset);
		return 0;
	case HTP_F_BLOCKED:
		on_blocked(s, frame->offset);
		return 0;
	}
	return -EPROTO;
}
