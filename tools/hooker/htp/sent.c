// SPDX-License-Identifier: GPL-2.0
/*
 * Packets sent, in two rings: a slot for every packet number from the oldest
 * one that matters, and the frames those packets held. The packets whose fate
 * is open, flying or declared lost not long ago, are also in a list, so that an
 * ACK costs as much as it tells, not as much as is in flight.
 */
#include <errno.h>

#include "alloc.h"
#include "private.h"
#include "recovery.h"

#define RING_MIN	64

static int sent_grow_packets(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;
	__u32 cap = rc->cap ? 2 * rc->cap : RING_MIN;
	struct htp_sent *ring;
	__u64 pn;

	if (cap > HTP_SENT_MAX)
		return -ENOSPC;
	ring = htp_alloc(a, cap * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (pn = rc->base; pn < rc->next_pn; pn++)
		ring[pn & (cap - 1)] = *htp_sent_at(rc, pn);
	htp_free(a, rc->ring);
	rc->ring = ring;
	rc->cap = cap;
	return 0;
}

static int sent_grow_frames(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;
	__u32 cap = rc->frame_cap ? 2 * rc->frame_cap : 2 * HTP_PACKET_FRAMES;
	struct htp_sent_frame *frames;
	__u64 i;

	frames = htp_alloc(a, cap * sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	for (i = rc->frame_base; i < rc->frame_next; i++)
		frames[i & (cap - 1)] = *htp_sent_frame_at(rc, i);
	htp_free(a, rc->frames);
	rc->frames = frames;
	rc->frame_cap = cap;
	return 0;
}

void htp_sent_link(struct htp_recovery *rc, __u64 pn)
{
	struct htp_sent *sent = htp_sent_at(rc, pn);

	sent->prev = rc->tail;
	sent->next = HTP_NEVER;
	if (rc->tail == HTP_NEVER)
		rc->head = pn;
	else
		htp_sent_at(rc, rc->tail)->next = pn;
	rc->tail = pn;
}

/* Its fate is known: @state is ACKED or FORGOTTEN */
void htp_sent_unlink(struct htp_recovery *rc, __u64 pn, enum htp_sent_state state)
{
	struct htp_sent *sent = htp_sent_at(rc, pn);

	if (sent->prev == HTP_NEVER)
		rc->head = sent->next;
	else
		htp_sent_at(rc, sent->prev)->next = sent->next;
	if (sent->next == HTP_NEVER)
		rc->tail = sent->prev;
	else
		htp_sent_at(rc, sent->next)->prev = sent->prev;
	sent->state = state;
}

/*
 * Slots before the oldest packet in the list are free. Packets at its head that
 * were declared lost long ago leave it: no ACK will come for them any more.
 */
void htp_sent_pop(struct htp_assoc *a)
{
	__u64 memory = 2 * htp_recovery_pto(&a->rc);
	struct htp_recovery *rc = &a->rc;

	while (rc->head != HTP_NEVER) {
		const struct htp_sent *sent = htp_sent_at(rc, rc->head);

		if (sent->state != HTP_SENT_LOST || a->now - sent->lost_ns < memory)
			break;
		htp_sent_unlink(rc, rc->head, HTP_SENT_FORGOTTEN);
	}
	if (rc->head == HTP_NEVER) {
		rc->base = rc->next_pn;
		rc->frame_base = rc->frame_next;
	} else {
		rc->base = rc->head;
		rc->frame_base = htp_sent_at(rc, rc->head)->first_frame;
	}
}

/* Room for one more packet with as many frames as it can hold, or -errno */
int htp_sent_make_room(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;
	int err = 0;

	/* a side that only receives gets no ACKs that would make room */
	if (rc->next_pn - rc->base == rc->cap)
		htp_sent_pop(a);
	if (rc->next_pn - rc->base == rc->cap)
		err = sent_grow_packets(a);
	if (!err && rc->frame_next - rc->frame_base + HTP_PACKET_FRAMES > rc->frame_cap)
		err = sent_grow_frames(a);
	return err;
}

void htp_sent_clear(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;

	htp_free(a, rc->ring);
	htp_free(a, rc->frames);
	rc->ring = NULL;
	rc->frames = NULL;
	rc->cap = 0;
	rc->frame_cap = 0;
	rc->base = rc->next_pn;
	rc->frame_base = rc->frame_next;
	rc->head = HTP_NEVER;
	rc->tail = HTP_NEVER;
	rc->in_flight = 0;
	rc->nr_flying = 0;
	rc->nr_probing = 0;
}
