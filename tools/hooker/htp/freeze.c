// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing and thawing associations, see freeze.h. Streams are in freeze_stream.c.
 *
 * What is thawed is checked as what comes from a peer is: whatever the bytes are, the
 * result is refused or keeps all invariants of the core.
 */
#include <errno.h>
#include <string.h>

#include "ack.h"
#include "cursor.h"
#include "ecn.h"
#include "freeze.h"
#include "private.h"
#include "ranges.h"
#include "recovery.h"
#include "stream.h"
#include "window.h"

/* What a peer can bring about must pass, or it could keep us from being followed */
#define RTT_MAX_NS	(7200 * HTP_SEC)
#define SUSPECT_MAX_NS	(20 * RTT_MAX_NS)	/* from now on; it is three PTOs */
#define REORDER_MAX	(1U << 16)	/* more than recovery ever allows for */
#define EIGHTHS_MAX	64		/* likewise */

/**
 * htp_freeze_bytes() - write, or read, so many bytes
 * @f:	  freezer
 * @data: from where, or where to
 * @len:  their number
 */
void htp_freeze_bytes(struct htp_freezer *f, void *data, size_t len)
{
	const void *from;

	if (f->err)
		return;
	if (!f->thaw) {
		f->err = f->put(f->priv, data, len);
		return;
	}
	from = htp_thaw_bytes(f, len);
	if (from && len)
		memcpy(data, from, len);
}

/**
 * htp_freeze_bool() - write or read a truth value
 * @f:	   freezer
 * @value: it; anything but 0 and 1 is refused
 */
void htp_freeze_bool(struct htp_freezer *f, bool *value)
{
	__u8 byte = *value;

	HTP_FREEZE(f, byte);
	htp_thaw_check(f, byte <= 1);
	*value = byte == 1;
}

/**
 * htp_thaw_bytes() - bytes in place
 * @f:	 freezer that thaws
 * @len: their number
 *
 * Return: them; NULL and @f->err set if they are not there.
 */
const void *htp_thaw_bytes(struct htp_freezer *f, size_t len)
{
	const void *p = f->err ? NULL : htp_read_bytes(&f->in, len);

	if (!p && !f->err)
		f->err = -EBADMSG;
	return p;
}

/**
 * htp_thaw_check() - refuse all if something is wrong
 * @f:	freezer
 * @ok: what must hold; not looked at when freezing
 */
void htp_thaw_check(struct htp_freezer *f, bool ok)
{
	if (f->thaw && !ok && !f->err)
		f->err = -EBADMSG;
}

/* What the peer knows, or counts on; the rest is the new process's own affair */
static void pass_config(struct htp_freezer *f, struct htp_config *config)
{
	HTP_FREEZE(f, config->peer_id);
	htp_freeze_bool(f, &config->initiator);
	HTP_FREEZE(f, config->max_datagram);
	HTP_FREEZE(f, config->stream_window);
	HTP_FREEZE(f, config->window);
	HTP_FREEZE(f, config->stream_buffer);
	HTP_FREEZE(f, config->max_streams);
	htp_thaw_check(f, config->max_datagram >= HTP_MIN_DATAGRAM &&
		       config->max_datagram <= HTP_MAX_DATAGRAM && config->stream_window &&
		       config->stream_window <= HTP_THAW_WINDOW && config->window &&
		       config->window <= HTP_THAW_WINDOW && config->stream_buffer &&
		       config->stream_buffer <= HTP_THAW_WINDOW);
}

/* A time that has passed */
static void pass_past(struct htp_freezer *f, const struct htp_assoc *a, __u64 *ns)
{
	HTP_FREEZE(f, *ns);
	htp_thaw_check(f, *ns <= a->now);
}

/* Or that has never come */
static void pass_past_or_never(struct htp_freezer *f, const struct htp_assoc *a, __u64 *ns)
{
	HTP_FREEZE(f, *ns);
	htp_thaw_check(f, *ns <= a->now || *ns == HTP_NEVER);
}

/**
 * htp_freeze_window() - write or read a receive window, see htp/window.c
 * @f:	      freezer
 * @a:	      association
 * @w:	      the window
 * @received: bytes that came within it
 */
void htp_freeze_window(struct htp_freezer *f, const struct htp_assoc *a, struct htp_window *w,
		       __u64 received)
{
	HTP_FREEZE(f, w->size);
	HTP_FREEZE(f, w->from);
	HTP_FREEZE(f, w->last);
	HTP_FREEZE(f, w->came);
	pass_past(f, a, &w->since_ns);
	pass_past(f, a, &w->grown_ns);
	htp_thaw_check(f, w->size && w->size <= HTP_THAW_WINDOW && w->from <= w->last &&
		       w->last <= received && w->came <= received);
}

/* Ascending, neither overlapping nor touching, within [@from, @to) */
static void check_ranges(struct htp_freezer *f, const struct htp_range *r, __u32 nr, __u64 from,
			 __u64 to)
{
	__u32 i;

	for (i = 0; i < nr; i++) {
		htp_thaw_check(f, r[i].start < r[i].end && r[i].end <= to);
		htp_thaw_check(f, r[i].start >= from);
		from = r[i].end + 1;
	}
}

/* One ACK at once tells the peer all that the old process had not yet told it */
static void thaw_ack(struct htp_assoc *a)
{
	struct htp_acks *acks = &a->acks;

	if (!acks->nr)
		return;
	acks->largest = acks->r[acks->nr - 1].end - 1;
	acks->largest_ns = a->now;
	acks->pending = 1;
	acks->now = true;
}

static void pass_acks(struct htp_freezer *f, struct htp_acks *acks)
{
	HTP_FREEZE(f, acks->ecn);
	HTP_FREEZE(f, acks->too_old);
	HTP_FREEZE(f, acks->nr);
	htp_thaw_check(f, acks->nr <= HTP_RX_RANGES && (acks->nr || !acks->too_old));
	if (f->err)
		return;
	htp_freeze_bytes(f, acks->r, acks->nr * sizeof(acks->r[0]));
	check_ranges(f, acks->r, acks->nr, acks->too_old, HTP_VARINT_MAX);
}

/* Packets under way are not known to the new one: their ACKs will mean nothing to it */
static void pass_recovery(struct htp_freezer *f, struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;

	HTP_FREEZE(f, rc->next_pn);
	HTP_FREEZE(f, rc->latest_rtt);
	HTP_FREEZE(f, rc->srtt);
	HTP_FREEZE(f, rc->rttvar);
	HTP_FREEZE(f, rc->min_rtt);
	pass_past_or_never(f, a, &rc->first_rtt_ns);
	HTP_FREEZE(f, rc->reorder_packets);
	HTP_FREEZE(f, rc->reorder_eighths);
	HTP_FREEZE(f, rc->calm_epochs);
	htp_thaw_check(f, rc->next_pn <= HTP_VARINT_MAX && rc->srtt && rc->srtt <= RTT_MAX_NS &&
		       rc->rttvar <= RTT_MAX_NS && rc->latest_rtt <= RTT_MAX_NS &&
		       (rc->min_rtt <= RTT_MAX_NS || rc->min_rtt == HTP_NEVER) &&
		       (rc->min_rtt == HTP_NEVER) == (rc->first_rtt_ns == HTP_NEVER));
	htp_thaw_check(f, rc->reorder_packets && rc->reorder_packets <= REORDER_MAX &&
		       rc->reorder_eighths >= 8 && rc->reorder_eighths <= EIGHTHS_MAX);
	if (!f->thaw)
		return;
	rc->base = rc->next_pn;
	rc->round_pn = rc->next_pn;
	rc->path_pn = rc->next_pn;
}

/* The peer's counts go on from where they are; whether marks arrive is found out anew */
static void pass_ecn(struct htp_freezer *f, struct htp_ecn *e)
{
	HTP_FREEZE(f, e->marked);
	HTP_FREEZE(f, e->sum);
	HTP_FREEZE(f, e->ce);
	htp_thaw_check(f, e->ce <= e->sum && e->sum <= e->marked);
	if (f->thaw)
		e->path_sum = e->sum;
}

static void pass_limits(struct htp_freezer *f, struct htp_assoc *a)
{
	__u64 limit = a->rx_limit, consumed = a->rx_consumed;

	HTP_FREEZE(f, a->tx_limit);
	HTP_FREEZE(f, a->tx_sent);
	HTP_FREEZE(f, a->tx_promise);
	HTP_FREEZE(f, a->rx_promise);
	HTP_FREEZE(f, a->rx_learned);
	HTP_FREEZE(f, a->rx_received);
	HTP_FREEZE(f, limit);
	HTP_FREEZE(f, consumed);
	htp_freeze_window(f, a, &a->rx_window, a->rx_received);
	htp_thaw_check(f, a->tx_sent <= a->tx_limit && a->tx_limit <= HTP_VARINT_MAX &&
		       consumed <= a->rx_received && a->rx_received <= limit &&
		       limit <= HTP_VARINT_MAX && limit - consumed <= 2 * HTP_THAW_WINDOW);
	htp_thaw_check(f, a->rx_promise && a->rx_promise <= HTP_THAW_WINDOW &&
		       a->rx_learned >= a->rx_promise && a->rx_learned <= HTP_THAW_WINDOW);
	if (f->thaw && !f->err)
		htp_window_set(a, limit, consumed);
}

static void pass_timers(struct htp_freezer *f, struct htp_assoc *a)
{
	pass_past(f, a, &a->last_rx_ns);
	if (f->thaw)
		a->answered_ns = a->last_rx_ns;		/* it was an ACK, as a rule */
	pass_past_or_never(f, a, &a->asked_ns);
	pass_past(f, a, &a->ping_ns);
	pass_past(f, a, &a->idle_ns);
	HTP_FREEZE(f, a->suspect_ns);
	htp_thaw_check(f, a->suspect_ns == HTP_NEVER || a->suspect_ns <= a->now + SUSPECT_MAX_NS);
}

static void pass_assoc(struct htp_freezer *f, struct htp_assoc *a)
{
	HTP_FREEZE(f, a->stats);	/* zeroed when made, its padding too */
	pass_recovery(f, a);
	pass_acks(f, &a->acks);
	pass_ecn(f, &a->ecn);
	HTP_FREEZE(f, a->repair.tx.id);
	HTP_FREEZE(f, a->repair.share);
	HTP_FREEZE(f, a->next_id);
	HTP_FREEZE(f, a->seen_base);
	HTP_FREEZE(f, a->seen);
	htp_thaw_check(f, a->next_id % 2 == !a->config.initiator && a->next_id &&
		       a->next_id <= HTP_VARINT_MAX && a->seen_base <= HTP_VARINT_MAX &&
		       a->repair.share <= 1 << 20);
	pass_limits(f, a);
	pass_timers(f, a);
}

/**
 * htp_assoc_freeze() - put an association into bytes
 * @a: association that has not ended; unchanged but for memory that was reserved
 * @f: freezer
 *
 * Return: 0, or what @f->put returned; -ESHUTDOWN: it has ended.
 */
int htp_assoc_freeze(struct htp_assoc *a, struct htp_freezer *f)
{
	struct htp_config config = a->config;
	__u32 nr = a->nr_streams;
	struct htp_link *link;

	if (a->closed)
		return -ESHUTDOWN;
	htp_stream_drop_reserved(a);
	config.max_datagram = a->pmtu.size;	/* proven by now */
	pass_config(f, &config);
	pass_assoc(f, a);
	HTP_FREEZE(f, nr);
	for (link = a->streams.next; link != &a->streams; link = link->next)
		htp_stream_freeze(f, htp_entry(link, struct htp_stream, all));
	return f->err;
}

/* All that was sent and received is some stream's, or was consumed; so is all that waits */
static void thaw_streams(struct htp_freezer *f, struct htp_assoc *a)
{
	__u64 sent = 0, unread = 0;
	struct htp_link *link;
	__u32 nr = 0;

	HTP_FREEZE(f, nr);
	while (!f->err && nr--)
		htp_stream_thaw(f, a);
	for (link = a->streams.next; !f->err && link != &a->streams; link = link->next) {
		const struct htp_stream *s = htp_entry(link, struct htp_stream, all);

		sent += s->tx.sent;
		unread += s->rx.highest - s->rx.consumed;
		htp_thaw_check(f, sent <= a->tx_sent && unread <= a->rx_received);
	}
	htp_thaw_check(f, unread == a->rx_received - a->rx_consumed);
}

/**
 * htp_assoc_thaw() - make an association from bytes
 * @config: what is not in them: controller, timers, memory and how far windows may grow
 * @f:	    freezer that thaws; stands behind the association afterwards
 * @now_ns: time, of the same clock
 *
 * Streams have no owners, see htp_assoc_stream(). Nothing has been sent; all that may be
 * lost will be.
 *
 * Return: the association; NULL and @f->err set: -EBADMSG: these bytes are none;
 * -ENOMEM.
 */
struct htp_assoc *htp_assoc_thaw(const struct htp_config *config, struct htp_freezer *f,
				 __u64 now_ns)
{
	struct htp_config filled = *config;
	struct htp_assoc *a;

	pass_config(f, &filled);
	if (f->err)
		return NULL;
	a = htp_assoc_create(&filled, now_ns);
	if (!a) {
		f->err = -ENOMEM;
		return NULL;
	}
	pass_assoc(f, a);
	thaw_streams(f, a);
	if (f->err) {
		htp_assoc_destroy(a);
		return NULL;
	}
	thaw_ack(a);
	a->want_max = true;
	a->want_promise = a->rx_promise > a->config.stream_window;
	a->want_ping = true;
	return a;
}

/**
 * htp_assoc_stream() - a stream by its id
 * @a:	association
 * @id: as htp_stream_id() returned it before
 *
 * Return: the stream; NULL: there is none that the application knows.
 */
struct htp_stream *htp_assoc_stream(struct htp_assoc *a, __u64 id)
{
	struct htp_stream *s = htp_stream_find(a, id);

	return s && !s->released ? s : NULL;
}
