// SPDX-License-Identifier: GPL-2.0
/*
 * What must hold between any two calls, or bytes could be forgotten for good:
 * every byte sent and not acknowledged, and every frame that has to arrive, is
 * in a packet whose fate is open or on the list of what is to be sent.
 */
#include "sim_parts.h"
#include "htp/private.h"
#include "htp/queue.h"
#include "htp/ranges.h"
#include "htp/recovery.h"
#include "htp/stream.h"

static bool is_flying(const struct htp_assoc *a, __u64 stream, __u8 type, __u64 offset)
{
	const struct htp_recovery *rc = &a->rc;
	__u64 pn;
	int i;

	for (pn = rc->head; pn != HTP_NEVER; pn = htp_sent_at(rc, pn)->next) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);

		for (i = 0; i < sent->nr_frames && sent->state == HTP_SENT_FLYING; i++) {
			const struct htp_sent_frame *f;

			f = htp_sent_frame_at(rc, sent->first_frame + i);
			if (f->stream != stream || f->type != type)
				continue;
			if (offset == HTP_NEVER || (offset >= f->offset &&
						    offset < f->offset + htp_max(f->len, 1)))
				return true;
		}
	}
	return false;
}

static bool has(const struct htp_ranges *set, __u64 offset)
{
	__u32 i = htp_ranges_find(set, offset);

	return i < set->nr && htp_ranges_at(set, i)->start <= offset;
}

static bool audit_bytes(struct sim *sim, const struct htp_stream *s)
{
	const struct htp_sendq *tx = &s->tx;
	__u64 offset;
	int i;

	for (i = 0; i < 4 && tx->acked < tx->sent; i++) {
		offset = tx->acked + (i ? sim_random(sim) % (tx->sent - tx->acked) : 0);
		if (!has(&tx->lost, offset) && !has(&tx->above, offset) &&
		    !is_flying(s->a, s->id, HTP_F_STREAM, offset) &&
		    !is_flying(s->a, s->id, HTP_F_STREAM_FIN, offset))
			return false;
	}
	return tx->acked <= tx->sent && tx->sent <= tx->end &&
	       tx->end - tx->acked <= s->a->config.max_stream_buffer;
}

static bool audit_stream(struct sim *sim, const struct htp_stream *s)
{
	const struct htp_sendq *tx = &s->tx;
	const struct htp_recvq *rx = &s->rx;

	if (s->owes_reset && !(s->want & HTP_WANT_RESET) &&
	    !is_flying(s->a, s->id, HTP_F_RESET, HTP_NEVER))
		return false;
	if (s->dead)
		return !tx->q.nr && !rx->q.nr;
	if (!htp_list_is_empty(&s->unseen_link) && !(s->want & HTP_WANT_OPEN) &&
	    !is_flying(s->a, s->id, HTP_F_OPEN, HTP_NEVER))
		return false;
	if (tx->finished && !tx->fin_acked && !tx->fin_due &&
	    !is_flying(s->a, s->id, HTP_F_STREAM_FIN, HTP_NEVER))
		return false;
	if (tx->sent < htp_min(tx->end, tx->limit) && htp_list_is_empty(&s->data_link))
		return false;
	if ((s->want || tx->lost.nr) && htp_list_is_empty(&s->ctl_link))
		return false;
	return rx->consumed <= rx->contig && rx->contig <= rx->highest &&
	       rx->highest <= rx->limit && audit_bytes(sim, s);
}

/* A window that the peer has not heard of is on its way */
static bool audit_windows(const struct htp_assoc *a, const struct htp_assoc *peer)
{
	struct htp_link *link;

	if (peer->tx_limit < a->rx_limit && !a->want_max &&
	    !is_flying(a, 0, HTP_F_MAX_DATA, a->rx_limit))
		return false;
	for (link = a->streams.next; link != &a->streams; link = link->next) {
		struct htp_stream *s = htp_entry(link, struct htp_stream, all);
		struct htp_stream *other = htp_stream_find(peer, s->id);

		if (!other || s->dead || other->dead || s->rx.final != HTP_NEVER)
			continue;
		if (other->tx.limit < s->rx.limit && !(s->want & HTP_WANT_MAX) &&
		    !is_flying(a, s->id, HTP_F_MAX_STREAM_DATA, s->rx.limit))
			return false;
	}
	return true;
}

static bool audit_assoc(struct sim *sim, const struct htp_assoc *a)
{
	__u64 flying = 0, nr = 0, ahead = 0, pn;
	struct htp_link *link;

	for (pn = a->rc.head; pn != HTP_NEVER; pn = htp_sent_at(&a->rc, pn)->next) {
		if (htp_sent_at(&a->rc, pn)->state != HTP_SENT_FLYING)
			continue;
		flying += htp_sent_at(&a->rc, pn)->size;
		nr++;
	}
	for (link = a->streams.next; link != &a->streams; link = link->next) {
		struct htp_stream *s = htp_entry(link, struct htp_stream, all);

		ahead += s->rx.ahead.nr;
		if (!a->closed && !audit_stream(sim, s))
			return false;
	}
	return flying == a->rc.in_flight && nr == a->rc.nr_flying && ahead == a->nr_ahead;
}

void sim_audit(struct sim *sim)
{
	struct htp_assoc *a = sim->assoc[SIM_A], *b = sim->assoc[SIM_B];

	if (!audit_assoc(sim, a) || !audit_assoc(sim, b))
		sim->errors++;
	if (!a->closed && !b->closed && (!audit_windows(a, b) || !audit_windows(b, a)))
		sim->errors++;
}
