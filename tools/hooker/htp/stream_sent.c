// SPDX-License-Identifier: GPL-2.0
/*
 * The fate of what packets held, by frame. Lost bytes go out again by range;
 * lost control frames are written anew with what is true by then, or not at
 * all if that has become pointless.
 */
#include <string.h>

#include "private.h"
#include "queue.h"
#include "recovery.h"
#include "stream.h"
#include "window.h"

static void bytes_acked(struct htp_stream *s, const struct htp_sent_frame *frame)
{
	struct htp_sendq *tx = &s->tx;

	if (s->dead)
		return;
	htp_sendq_on_acked(s->a, tx, frame->offset, frame->len,
			   frame->type == HTP_F_STREAM_FIN);
	if (tx->want_room && htp_window_send_room(s) >= htp_window_send_buffer(s->a) / 4) {
		tx->want_room = false;
		htp_stream_raise(s, HTP_EV_WRITABLE);
	}
	htp_stream_schedule(s);
	htp_stream_settle(s);
}

/* An OPEN or RESET that arrived: the peer knows the id now */
static void ctl_acked(struct htp_stream *s, __u32 want)
{
	s->want &= ~want;
	htp_list_del(&s->unseen_link);
	htp_stream_schedule(s);
}

void htp_stream_on_acked(struct htp_assoc *a, const struct htp_sent_frame *frame)
{
	struct htp_stream *s = htp_stream_find(a, frame->stream);

	if (!s)
		return;
	switch (frame->type) {
	case HTP_F_STREAM:
	case HTP_F_STREAM_FIN:
		bytes_acked(s, frame);
		break;
	case HTP_F_OPEN:
		ctl_acked(s, HTP_WANT_OPEN);
		break;
	case HTP_F_RESET:
		s->owes_reset = false;
		ctl_acked(s, HTP_WANT_RESET);
		htp_stream_settle(s);
		break;
	case HTP_F_ACCEPT:
		s->want &= ~HTP_WANT_ACCEPT;
		htp_stream_schedule(s);
		break;
	}
}

static void stream_frame_lost(struct htp_stream *s, const struct htp_sent_frame *frame)
{
	switch (frame->type) {
	case HTP_F_STREAM:
	case HTP_F_STREAM_FIN:
		htp_sendq_on_lost(s->a, &s->tx, frame->offset, frame->len,
				  frame->type == HTP_F_STREAM_FIN);
		break;
	case HTP_F_OPEN:
		if (!htp_list_is_empty(&s->unseen_link))
			s->want |= HTP_WANT_OPEN;
		break;
	case HTP_F_ACCEPT:
		s->want |= HTP_WANT_ACCEPT;
		break;
	case HTP_F_MAX_STREAM_DATA:
		if (s->rx.final == HTP_NEVER && frame->offset == s->rx.limit)
			s->want |= HTP_WANT_MAX;
		break;
	case HTP_F_BLOCKED:
		if (frame->offset == s->tx.limit)
			s->tx.blocked_at = HTP_NEVER;
		break;
	}
}

static void assoc_frame_lost(struct htp_assoc *a, const struct htp_sent_frame *frame)
{
	if (frame->type == HTP_F_MAX_DATA && frame->offset == a->rx_limit)
		a->want_max = true;
	if (frame->type == HTP_F_MAX_STREAM_DATA && frame->offset == a->rx_promise)
		a->want_promise = true;
	if (frame->type == HTP_F_BLOCKED && frame->offset == a->tx_limit)
		a->tx_blocked_at = HTP_NEVER;
}

void htp_stream_on_lost(struct htp_assoc *a, const struct htp_sent_frame *frame)
{
	struct htp_stream *s;

	if (!frame->stream) {
		assoc_frame_lost(a, frame);
		return;
	}
	s = htp_stream_find(a, frame->stream);
	if (!s)
		return;
	if (!s->dead)
		stream_frame_lost(s, frame);
	else if (frame->type == HTP_F_RESET && s->owes_reset)
		s->want |= HTP_WANT_RESET;
	htp_stream_schedule(s);
}
