// SPDX-License-Identifier: GPL-2.0
/*
 * Datagrams to the peer: what goes into one, and when one may leave.
 *
 * Order within a datagram: ACK; what concerns the association; frames, lost
 * bytes and FINs of streams; new bytes of streams. Streams take turns, so one
 * with much to send delays no other by more than a datagram.
 *
 * Control frames are written from the front, bytes are only counted, from the
 * back, and copied once the place where they begin is known.
 */
#include <errno.h>
#include <string.h>

#include "ack.h"
#include "cursor.h"
#include "frame.h"
#include "path.h"
#include "pmtu.h"
#include "private.h"
#include "queue.h"
#include "ranges.h"
#include "recovery.h"
#include "repair.h"
#include "stream.h"
#include "window.h"

#define BURST_NS	(2 * HTP_MSEC)	/* timers of 1 ms must do */
#define BURST_PACKETS	10
#define SPLINTER	64		/* fewer bytes are not worth a frame */
#define RETRY_NS	(10 * HTP_MSEC)

/**
 * struct tx_packet - a datagram being written
 * @w:		from the next control frame to where the bytes counted so far will begin
 * @start:	where the control part begins
 * @end:	where the room for the datagram ends
 * @nr_frames:	frames that ask for an ACK, recorded behind rc.frame_next
 * @owner:	of each frame with bytes, its stream
 * @ack_largest: newest packet acknowledged in it, HTP_NEVER: no ACK
 * @is_full:	stop looking for more
 * @has_loose:	it holds bytes that may be damaged
 * @has_firm:	it holds others
 * @group:	of the parity that will cover it; 0: none
 */
struct tx_packet {
	struct htp_writer	w;
	__u8			*start, *end;
	__u16			nr_frames;
	const struct htp_stream	*owner[HTP_PACKET_FRAMES];
	__u64			ack_largest;
	bool			is_full, has_loose, has_firm;
	__u8			group;
};

static bool assoc_is_blocked(const struct htp_assoc *a)
{
	return a->tx_sent >= a->tx_limit && !htp_list_is_empty(&a->data_list);
}

static bool wants_blocked(const struct htp_assoc *a)
{
	return assoc_is_blocked(a) && a->tx_blocked_at != a->tx_limit;
}

/* Is there anything but an ACK to send, whether or not it may leave now? */
bool htp_tx_is_pending(const struct htp_assoc *a)
{
	if (a->want_max || a->want_promise || a->want_ping || a->rc.probes ||
	    !htp_list_is_empty(&a->ctl_list))
		return true;
	if (htp_list_is_empty(&a->data_list))
		return false;
	return !assoc_is_blocked(a) || wants_blocked(a);
}

static double pacing_rate(const struct htp_assoc *a)
{
	return htp_max(a->config.cc->pacing_rate(a->cc, a->rc.srtt), 1);
}

/* Bytes that may leave at once */
static double pacing_burst(const struct htp_assoc *a)
{
	double least = (double)BURST_PACKETS * a->pmtu.size;
	double burst = pacing_rate(a) * BURST_NS / HTP_SEC;

	return burst > least ? burst : least;
}

/* Bytes that left earlier than the rate has it; kept as bytes, since the rate changes */
static double pacing_debt(const struct htp_assoc *a)
{
	double paid = pacing_rate(a) * (a->now - a->pace_ns) / HTP_SEC;

	return a->pace_debt > paid ? a->pace_debt - paid : 0;
}

static bool is_paced(const struct htp_assoc *a)
{
	return pacing_debt(a) >= pacing_burst(a);
}

/* When half of a burst may leave */
static __u64 pacing_deadline(const struct htp_assoc *a)
{
	double excess = pacing_debt(a) - pacing_burst(a) / 2;

	return a->now + (__u64)(excess * HTP_SEC / pacing_rate(a)) + 1;
}

/* A probe that is larger than the rest would never find room if others didn't wait for it */
static bool is_window_full(const struct htp_assoc *a)
{
	__u32 next = htp_max(a->pmtu.size, htp_pmtu_probe(a));

	return a->rc.in_flight + next > htp_assoc_cwnd(a);
}

/* Parity keeps to window and pacing as all does */
static __u64 repair_deadline(const struct htp_assoc *a)
{
	__u64 due = htp_repair_deadline(a);

	if (htp_repair_is_due(a, false))
		due = a->now;
	if (due != HTP_NEVER && is_paced(a))
		due = htp_max(due, pacing_deadline(a));
	return due;
}

/* When htp_assoc_tx() would write something; HTP_NEVER: only other events can change that */
__u64 htp_tx_deadline(const struct htp_assoc *a)
{
	__u64 deadline = HTP_NEVER;

	if (a->acks.pending)
		deadline = htp_acks_is_due(a) ? a->now : a->acks.deadline;
	if (htp_tx_is_pending(a)) {
		if (a->rc.probes)
			deadline = a->now;
		else if (!is_window_full(a) && is_paced(a))
			deadline = htp_min(deadline, pacing_deadline(a));
		else if (!is_window_full(a))
			deadline = a->now;
	}
	if (!is_window_full(a) && !htp_tx_is_pending(a))
		deadline = htp_min(deadline, repair_deadline(a));
	if (!is_window_full(a) && htp_pmtu_probe(a))
		deadline = htp_min(deadline, is_paced(a) ? pacing_deadline(a) : a->now);
	if (deadline != HTP_NEVER && a->retry_ns != HTP_NEVER)
		deadline = htp_max(deadline, a->retry_ns);
	return deadline;
}

static void packet_record(struct htp_assoc *a, struct tx_packet *p, __u8 type,
			  const struct htp_stream *s, __u64 offset, __u32 len)
{
	struct htp_sent_frame *frame;

	frame = htp_sent_frame_at(&a->rc, a->rc.frame_next + p->nr_frames);
	frame->type = type;
	frame->stream = s ? s->id : 0;
	frame->offset = offset;
	frame->len = len;
	p->owner[p->nr_frames++] = s;
}

/* Does a frame whose last field is written just now fit, the list of frames too? */
static bool packet_keep(struct tx_packet *p, const struct htp_writer *old)
{
	if (!p->w.bad && p->nr_frames < HTP_PACKET_FRAMES)
		return true;
	p->w = *old;
	p->is_full = true;
	return false;
}

/* As it stands in the datagram; books have OPEN, ACCEPT and STREAM only */
static __u8 type_on_wire(__u8 type, bool loose)
{
	if (!loose)
		return type;
	switch (type) {
	case HTP_F_OPEN:
		return HTP_F_OPEN_LOOSE;
	case HTP_F_ACCEPT:
		return HTP_F_ACCEPT_LOOSE;
	case HTP_F_STREAM:
		return HTP_F_STREAM_LOOSE;
	case HTP_F_STREAM_FIN:
		return HTP_F_STREAM_FIN_LOOSE;
	}
	return type;
}

static bool put_frame(struct htp_assoc *a, struct tx_packet *p, __u8 type,
		      const struct htp_stream *s, __u64 value)
{
	struct htp_writer old = p->w;

	htp_write_be(&p->w, type_on_wire(type, s && s->loose), 1);
	if (type == HTP_F_BLOCKED || type == HTP_F_MAX_STREAM_DATA || s)
		htp_write_varint(&p->w, s ? s->id : 0);
	if (type == HTP_F_RESET)
		htp_write_varint(&p->w, s->code);
	if (type == HTP_F_OPEN) {
		htp_write_varint(&p->w, s->open_len);
		htp_write_bytes(&p->w, s->open_data, s->open_len);
	} else if (type != HTP_F_ACCEPT && type != HTP_F_PING) {
		htp_write_varint(&p->w, value);
	}
	if (!packet_keep(p, &old))
		return false;
	packet_record(a, p, type, s, value, 0);
	return true;
}

/* A STREAM frame with as much of [offset, offset + len) as fits; bytes taken, or -1 */
static ssize_t put_stream(struct htp_assoc *a, struct tx_packet *p, const struct htp_stream *s,
			  __u64 offset, __u64 len)
{
	size_t room = htp_writer_left(&p->w), hdr = htp_frame_stream_hdr_len(s->id, offset);
	bool loose = len && htp_stream_is_loose(s);
	__u8 type;

	if (p->nr_frames == HTP_PACKET_FRAMES || room < hdr + htp_min(len, SPLINTER)) {
		p->is_full = true;
		return -1;
	}
	len = htp_min(len, room - hdr);
	type = s->tx.finished && offset + len == s->tx.end ? HTP_F_STREAM_FIN : HTP_F_STREAM;
	htp_frame_write_stream(&p->w, type_on_wire(type, loose), s->id, offset, len);
	p->w.end -= len;
	p->has_loose |= loose;
	p->has_firm |= len && !loose;
	packet_record(a, p, type, s, offset, len);
	a->stats.tx_payload_bytes += len;
	return len;
}

static bool put_blocked(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s)
{
	if (!put_frame(a, p, HTP_F_BLOCKED, s, s->tx.limit))
		return false;
	s->tx.blocked_at = s->tx.limit;
	return true;
}

static bool put_want(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s, __u32 want)
{
	switch (want) {
	case HTP_WANT_OPEN:
		return put_frame(a, p, HTP_F_OPEN, s, 0);
	case HTP_WANT_ACCEPT:
		return put_frame(a, p, HTP_F_ACCEPT, s, 0);
	case HTP_WANT_RESET:
		return put_frame(a, p, HTP_F_RESET, s, s->tx.sent);
	case HTP_WANT_MAX:
		return put_frame(a, p, HTP_F_MAX_STREAM_DATA, s,
				 htp_window_stream_limit(s));
	default:
		return put_blocked(a, p, s);
	}
}

static bool put_wanted(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s)
{
	while (s->want) {
		__u32 lowest = s->want & -s->want;

		if (!put_want(a, p, s, lowest))
			return false;
		s->want &= ~lowest;
	}
	return true;
}

static bool put_lost(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s)
{
	while (s->tx.lost.nr) {
		const struct htp_range *r = htp_ranges_at(&s->tx.lost, 0);
		ssize_t n = put_stream(a, p, s, r->start, r->end - r->start);

		if (n < 0)
			return false;
		a->stats.retransmitted_bytes += n;
		if (s->tx.finished && r->start + n == s->tx.end)
			s->tx.fin_due = false;
		htp_ranges_trim(a, &s->tx.lost, r->start + n);
	}
	return true;
}

/* Control frames, lost bytes and a FIN that stands alone */
static void put_stream_ctl(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s)
{
	if (!put_wanted(a, p, s) || !put_lost(a, p, s))
		return;
	if (s->tx.fin_due && s->tx.sent == s->tx.end && put_stream(a, p, s, s->tx.end, 0) == 0)
		s->tx.fin_due = false;
}

static void put_stream_data(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s)
{
	__u64 len = htp_min(s->tx.end, s->tx.limit) - s->tx.sent;
	ssize_t n;

	n = put_stream(a, p, s, s->tx.sent, htp_min(len, a->tx_limit - a->tx_sent));
	if (n < 0)
		return;
	s->tx.sent += n;
	a->tx_sent += n;
	if (s->tx.finished && s->tx.sent == s->tx.end)
		s->tx.fin_due = false;
}

/* Whoever had its turn goes to the end of its list, if it has more to send */
static void put_turn(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s,
		     struct htp_link *link,
		     void (*put)(struct htp_assoc *a, struct tx_packet *p, struct htp_stream *s))
{
	__u16 nr_frames = p->nr_frames;

	put(a, p, s);
	if (p->is_full && p->nr_frames == nr_frames)
		return;		/* nothing fitted: it is first in the next datagram */
	htp_list_del(link);
	htp_stream_schedule(s);
}

static void put_streams(struct htp_assoc *a, struct tx_packet *p)
{
	struct htp_stream *s;

	while (!p->is_full && !htp_list_is_empty(&a->ctl_list)) {
		s = htp_entry(a->ctl_list.next, struct htp_stream, ctl_link);
		put_turn(a, p, s, &s->ctl_link, put_stream_ctl);
	}
	while (!p->is_full && !htp_list_is_empty(&a->data_list) && a->tx_sent < a->tx_limit) {
		s = htp_entry(a->data_list.next, struct htp_stream, data_link);
		put_turn(a, p, s, &s->data_link, put_stream_data);
	}
}

static void put_assoc(struct htp_assoc *a, struct tx_packet *p)
{
	if (a->want_max && put_frame(a, p, HTP_F_MAX_DATA, NULL, htp_window_limit(a)))
		a->want_max = false;
	if (a->want_promise && put_frame(a, p, HTP_F_MAX_STREAM_DATA, NULL, a->rx_promise))
		a->want_promise = false;
	if (wants_blocked(a) && put_frame(a, p, HTP_F_BLOCKED, NULL, a->tx_limit))
		a->tx_blocked_at = a->tx_limit;
}

static void put_ack(struct htp_assoc *a, struct tx_packet *p)
{
	if (a->acks.pending && htp_acks_write(a, &p->w))
		p->ack_largest = a->acks.largest;
}

static void packet_begin(struct tx_packet *p, __u8 *pkt, size_t cap)
{
	p->start = pkt + HTP_HDR_LEN;
	p->end = pkt + cap;
	p->w.p = p->start;
	p->w.end = p->end;
	p->w.bad = false;
	p->nr_frames = 0;
	p->ack_largest = HTP_NEVER;
	p->is_full = false;
	p->has_loose = false;
	p->has_firm = false;
	p->group = 0;
}

/* Control parts are always covered. Bytes are if only one of them must not be damaged */
static void packet_cover(struct htp_assoc *a, const struct tx_packet *p)
{
	a->via.covered = 0;
	if (!p->has_loose || p->has_firm)
		return;
	a->via.covered = HTP_HDR_LEN + (p->w.p - p->start);
	a->stats.tx_partial++;
}

/* Copy the bytes behind the control part and put the header before it; the length */
static size_t packet_end(struct htp_assoc *a, struct tx_packet *p, __u8 *pkt)
{
	struct htp_hdr hdr = {
		.type = HTP_DATA, .flags = p->group, .dst_id = a->config.peer_id,
	};
	__u8 *to = p->w.p;
	__u16 i;

	hdr.ctl_len = p->w.p - p->start;
	hdr.pn = a->rc.next_pn;
	htp_hdr_write(pkt, HTP_HDR_LEN, &hdr);
	for (i = 0; i < p->nr_frames; i++) {
		const struct htp_sent_frame *frame;

		frame = htp_sent_frame_at(&a->rc, a->rc.frame_next + i);
		if (!frame->len)
			continue;
		htp_sendq_copy(&p->owner[i]->tx, frame->offset, to, frame->len);
		to += frame->len;
	}
	packet_cover(a, p);
	a->stats.tx_datagrams++;
	a->stats.tx_bytes += to - pkt;
	return to - pkt;
}

static void pace(struct htp_assoc *a, size_t len)
{
	a->pace_debt = pacing_debt(a) + len;
	a->pace_ns = a->now;
}

/* Window and pacing allow more than there is: rate samples say nothing about the path */
static void mark_app_limited(struct htp_assoc *a)
{
	if (is_window_full(a) || is_paced(a))
		return;
	a->rc.app_limited = htp_max(a->rc.delivered + a->rc.in_flight, 1);
	htp_repair_on_pause(a);
}

static size_t write_repair(struct htp_assoc *a, __u8 *pkt, size_t cap)
{
	const struct htp_group *g = &a->repair.tx;
	struct tx_packet p;
	size_t len;

	packet_begin(&p, pkt, cap);
	htp_repair_write(a, &p.w);
	packet_record(a, &p, HTP_F_REPAIR, NULL, 0, 0);
	len = packet_end(a, &p, pkt);
	memcpy(pkt + len, g->data, g->most);
	len += g->most;
	a->stats.tx_bytes += g->most;
	a->stats.repair_bytes += len;
	htp_repair_end(a);
	pace(a, len);
	htp_recovery_on_sent(a, len, p.nr_frames, p.ack_largest, false);
	return len;
}

/* PING, and PADDING as far as it goes: nothing that would have to be sent again */
static size_t write_probe(struct htp_assoc *a, __u8 *pkt, size_t size)
{
	__u64 pn = a->rc.next_pn;
	struct tx_packet p;
	size_t len;

	packet_begin(&p, pkt, size);
	put_frame(a, &p, HTP_F_PING, NULL, 0);
	memset(p.w.p, HTP_F_PADDING, p.w.end - p.w.p);
	p.w.p = p.w.end;
	len = packet_end(a, &p, pkt);
	pace(a, len);
	htp_recovery_on_sent(a, len, p.nr_frames, p.ack_largest, true);
	htp_pmtu_on_sent(a, pn, len);
	return len;
}

static size_t write_packet(struct htp_assoc *a, __u8 *pkt, size_t cap, bool only_ack)
{
	__u8 group = only_ack ? 0 : htp_repair_group(a);
	struct tx_packet p;
	size_t len;

	packet_begin(&p, pkt, group ? cap - HTP_REPAIR_HDR_LEN : cap);
	put_ack(a, &p);
	if (!only_ack) {
		put_assoc(a, &p);
		put_streams(a, &p);
		if (!p.nr_frames && (a->want_ping || a->rc.probes))
			put_frame(a, &p, HTP_F_PING, NULL, 0);
		if (p.nr_frames)
			a->want_ping = false;
	}
	if (p.w.p == p.start)
		return 0;
	if (p.nr_frames && !p.has_loose)
		p.group = group;
	else if (group && p.has_loose)
		htp_repair_decline(a);
	len = packet_end(a, &p, pkt);
	if (p.nr_frames) {
		htp_repair_on_sent(a, p.group, pkt, len, p.w.p - p.start);
		pace(a, len);
		if (a->rc.probes)
			a->rc.probes--;
	}
	htp_recovery_on_sent(a, len, p.nr_frames, p.ack_largest, false);
	return len;
}

static ssize_t write_close(struct htp_assoc *a, __u8 *pkt, size_t cap)
{
	struct tx_packet p;
	size_t len;

	if (!a->close_due)
		return 0;
	a->close_due = false;
	packet_begin(&p, pkt, cap);
	htp_write_be(&p.w, HTP_F_CLOSE, 1);
	htp_write_varint(&p.w, a->code);
	len = packet_end(a, &p, pkt);
	a->rc.next_pn++;
	return len;
}

/* Out of memory for booking a packet: try again a little later */
static bool make_room(struct htp_assoc *a, bool only_ack)
{
	a->retry_ns = HTP_NEVER;
	if (only_ack && a->rc.head == HTP_NEVER)
		return true;	/* nothing to be booked */
	if (!htp_sent_make_room(a))
		return true;
	a->retry_ns = a->now + RETRY_NS;
	return false;
}

/**
 * htp_assoc_tx() - write the next datagram
 * @a:      association
 * @pkt:    where to
 * @cap:    room there, HTP_MIN_DATAGRAM at least, and that is also the largest size tried
 * @now_ns: time
 *
 * Takes back memory that htp_stream_reserve() handed out.
 *
 * Return: its length; 0: nothing to send, or not now: htp_assoc_deadline() tells
 * when; -EMSGSIZE: @cap is too small.
 */
ssize_t htp_assoc_tx(struct htp_assoc *a, void *pkt, size_t cap, __u64 now_ns)
{
	bool only_ack, pending, is_free;

	htp_assoc_set_now(a, now_ns);
	if (cap < HTP_MIN_DATAGRAM)
		return -EMSGSIZE;
	a->via.path = a->paths.used;
	a->via.ecn = HTP_ECN_NONE;
	a->via.covered = 0;
	if (a->closed)
		return write_close(a, pkt, cap);
	if (cap < a->pmtu.limit)
		htp_pmtu_set_limit(a, cap);
	if (a->retry_ns != HTP_NEVER && a->now < a->retry_ns)
		return 0;
	if (htp_path_is_due(a))
		return make_room(a, true) ? htp_path_write(a, pkt, cap) : 0;

	htp_stream_drop_reserved(a);
	pending = htp_tx_is_pending(a);
	is_free = !is_window_full(a) && !is_paced(a);
	if (is_free && htp_repair_is_due(a, pending))
		return make_room(a, false) ? write_repair(a, pkt, a->pmtu.size) : 0;
	if (is_free && htp_pmtu_probe(a))
		return make_room(a, false) ? write_probe(a, pkt, htp_pmtu_probe(a)) : 0;
	if (!pending) {
		mark_app_limited(a);
		only_ack = true;
	} else {
		only_ack = !a->rc.probes && !is_free;
	}
	if (only_ack && !htp_acks_is_due(a))
		return 0;
	if (!make_room(a, only_ack))
		return 0;
	return write_packet(a, pkt, htp_pmtu_cap(a), only_ack);
}

/**
 * htp_assoc_tx_via() - how the datagram is to go that htp_assoc_tx() wrote last
 * @a: association
 *
 * Return: valid until the next call of htp_assoc_tx().
 */
const struct htp_via *htp_assoc_tx_via(const struct htp_assoc *a)
{
	return &a->via;
}
