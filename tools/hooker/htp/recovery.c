// SPDX-License-Identifier: GPL-2.0
/*
 * Sent packets and their ACKs: round-trip time, probe timeouts
 * (RFC 9002, sections 5 and 6.2) and delivery rate samples
 * (draft-cheng-iccrg-delivery-rate-estimation). Loss is in loss.c.
 *
 * What a packet held is told to the streams when its fate is known; they send
 * lost bytes again by range, never a packet as such.
 */
#include <errno.h>
#include <string.h>

#include "ack.h"
#include "ecn.h"
#include "frame.h"
#include "pmtu.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"
#include "stream.h"

/**
 * struct ack_sum - what an ACK frame told in all
 * @acked_bytes: newly acknowledged that were in flight
 * @nr:		 packets newly acknowledged, late ones included
 * @nr_ecn:	 of them, those that were marked and left by the path in use
 * @newest_pn:	 of these; its slot stays until htp_sent_pop(). Valid if @nr
 * @undo:	 the last congestion event was none
 */
struct ack_sum {
	__u64	acked_bytes;
	__u32	nr, nr_ecn;
	__u64	newest_pn;
	bool	undo;
};

void htp_recovery_init(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;

	memset(rc, 0, sizeof(*rc));
	rc->head = HTP_NEVER;
	rc->tail = HTP_NEVER;
	rc->largest_acked = HTP_NEVER;
	rc->loss_ns = HTP_NEVER;
	rc->min_rtt = HTP_NEVER;
	rc->first_rtt_ns = HTP_NEVER;
	rc->recovery_ns = HTP_NEVER;
	rc->app_limited = 1;	/* nothing to send yet */
	rc->reorder_packets = 3;
	rc->reorder_eighths = 9;
	rc->srtt = a->config.initial_rtt_ns;
	rc->rttvar = rc->srtt / 2;
	rc->last_sent_ns = a->now;
}

/* The packet whose frames were written at frame_next leaves now */
void htp_recovery_on_sent(struct htp_assoc *a, __u32 size, __u16 nr_frames, __u64 ack_largest,
			  bool probe)
{
	struct htp_recovery *rc = &a->rc;
	__u64 pn = rc->next_pn++;
	struct htp_sent *sent;

	if (!nr_frames && rc->head == HTP_NEVER) {
		rc->base = rc->next_pn;
		return;
	}
	sent = htp_sent_at(rc, pn);
	memset(sent, 0, sizeof(*sent));
	sent->first_frame = rc->frame_next;
	if (!nr_frames)
		return;

	if (!rc->in_flight) {
		rc->first_sent_ns = a->now;
		rc->delivered_ns = a->now;
	}
	sent->state = HTP_SENT_FLYING;
	sent->time_ns = a->now;
	sent->size = size;
	sent->nr_frames = nr_frames;
	sent->ack_largest = ack_largest;
	sent->delivered = rc->delivered;
	sent->delivered_ns = rc->delivered_ns;
	sent->first_sent_ns = rc->first_sent_ns;
	sent->app_limited = rc->app_limited;
	sent->probe = probe;
	sent->ecn = !probe && htp_ecn_on_sent(a);
	a->via.ecn = sent->ecn ? HTP_ECN_ECT0 : HTP_ECN_NONE;
	htp_sent_link(rc, pn);
	if (a->config.cc->on_sent) {
		const struct htp_cc_sent cc_sent = {
			.now_ns = a->now, .pn = pn, .bytes = size,
			.in_flight = rc->in_flight, .app_limited = rc->app_limited,
		};

		a->config.cc->on_sent(a->cc, &cc_sent);
	}
	rc->frame_next += nr_frames;
	rc->in_flight += size;
	rc->nr_flying++;
	rc->round_max = htp_max(rc->round_max, rc->in_flight);
	if (probe) {		/* that it goes unanswered says nothing of the peer */
		rc->nr_probing++;
		return;
	}
	rc->last_sent_ns = a->now;
	if (a->asked_ns == HTP_NEVER)
		a->asked_ns = a->now;
}

static void rtt_sample(struct htp_recovery *rc, __u64 rtt, __u64 delay, __u64 now)
{
	__u64 adjusted = rtt, diff;

	rc->latest_rtt = rtt;
	if (rc->first_rtt_ns == HTP_NEVER) {
		rc->first_rtt_ns = now;
		rc->min_rtt = rtt;
		rc->srtt = rtt;
		rc->rttvar = rtt / 2;
		return;
	}
	rc->min_rtt = htp_min(rc->min_rtt, rtt);
	delay = htp_min(delay, HTP_ACK_DELAY_NS);
	if (rtt >= rc->min_rtt + delay)
		adjusted = rtt - delay;
	diff = adjusted > rc->srtt ? adjusted - rc->srtt : rc->srtt - adjusted;
	rc->rttvar = (3 * rc->rttvar + diff) / 4;
	rc->srtt = (7 * rc->srtt + adjusted) / 8;
}

static void ack_packet(struct htp_assoc *a, __u64 pn, struct ack_sum *sum)
{
	struct htp_recovery *rc = &a->rc;
	struct htp_sent *sent = htp_sent_at(rc, pn);
	__u16 i;

	if (sent->state == HTP_SENT_FLYING) {
		rc->in_flight -= sent->size;
		rc->nr_flying--;
		rc->nr_probing -= sent->probe;
		sum->acked_bytes += sent->size;
	} else if (!sent->probe) {
		htp_loss_on_spurious(a, sent, pn);
		if (sent->epoch == rc->epoch && pn >= rc->path_pn && rc->epoch_lost &&
		    !--rc->epoch_lost)
			sum->undo = true;
	}
	htp_sent_unlink(rc, pn, HTP_SENT_ACKED);
	rc->delivered += sent->size;
	rc->delivered_ns = a->now;
	sum->nr++;
	sum->nr_ecn += sent->ecn && pn >= rc->path_pn;
	sum->newest_pn = pn;
	htp_pmtu_on_acked(a, sent, pn);
	if (sent->ack_largest != HTP_NEVER)
		htp_acks_on_acked(a, pn, sent->ack_largest);
	for (i = 0; i < sent->nr_frames; i++)
		htp_stream_on_acked(a, htp_sent_frame_at(rc, sent->first_frame + i));
}

/* Both the ranges, from the oldest on, and the open packets ascend */
static void ack_walk(struct htp_assoc *a, const struct htp_ack *ack, struct ack_sum *sum)
{
	struct htp_recovery *rc = &a->rc;
	__u32 i = ack->nr - 1;
	__u64 pn, next;

	for (pn = rc->head; pn != HTP_NEVER && pn <= ack->largest; pn = next) {
		next = htp_sent_at(rc, pn)->next;
		while (i && ack->r[i].end <= pn)
			i--;
		if (ack->r[i].start <= pn && pn < ack->r[i].end)
			ack_packet(a, pn, sum);
	}
}

/* Bytes per second, 0 if the interval is too short to tell */
static __u64 delivery_rate(const struct htp_assoc *a, __u64 newest_pn)
{
	const struct htp_recovery *rc = &a->rc;
	const struct htp_sent *newest = htp_sent_at(rc, newest_pn);
	__u64 sending = newest->time_ns - newest->first_sent_ns;
	__u64 acking = a->now - newest->delivered_ns;
	__u64 interval = htp_max(sending, acking);

	if (!interval || interval < rc->min_rtt || newest_pn < rc->path_pn)
		return 0;
	return (double)(rc->delivered - newest->delivered) * HTP_SEC / interval;
}

static void count_rounds(struct htp_recovery *rc, __u64 newest_pn, __u64 prior_in_flight)
{
	if (newest_pn < rc->round_pn)
		return;
	rc->round_pn = rc->next_pn;
	rc->prev_round_max = rc->round_max;
	rc->round_max = prior_in_flight;
}

static void tell_cc(struct htp_assoc *a, const struct ack_sum *sum, __u64 rtt,
		    __u64 prior_in_flight)
{
	struct htp_recovery *rc = &a->rc;
	const struct htp_sent *newest = htp_sent_at(rc, sum->newest_pn);
	const struct htp_cc_ack cc_ack = {
		.now_ns = a->now,
		.acked_bytes = sum->acked_bytes,
		.lost_bytes = prior_in_flight - sum->acked_bytes - rc->in_flight,
		.prior_in_flight = prior_in_flight,
		.in_flight = rc->in_flight,
		.max_in_flight = htp_max(rc->round_max, rc->prev_round_max),
		.delivered = rc->delivered,
		.prior_delivered = newest->delivered,
		.rate = delivery_rate(a, sum->newest_pn),
		.rtt_ns = rtt,
		.srtt_ns = rc->srtt,
		.min_rtt_ns = rc->min_rtt,
		.largest_pn = sum->newest_pn,
		.next_pn = rc->next_pn,
		.app_limited = newest->app_limited,
		.in_recovery = rc->recovery_ns != HTP_NEVER &&
			       newest->time_ns <= rc->recovery_ns,
	};

	a->config.cc->on_ack(a->cc, &cc_ack);
	count_rounds(rc, sum->newest_pn, prior_in_flight);
	rc->first_sent_ns = newest->time_ns;
	if (rc->app_limited && rc->delivered > rc->app_limited)
		rc->app_limited = 0;
}

/*
 * Packets came there with CE: congestion as loss is, once per round trip
 * (RFC 9002, section 7.1), but one that is not undone by late ACKs.
 */
static void on_ce(struct htp_assoc *a, __u64 newest_pn)
{
	struct htp_recovery *rc = &a->rc;

	if (newest_pn < rc->path_pn ||
	    (rc->recovery_ns != HTP_NEVER &&
	     htp_sent_at(rc, newest_pn)->time_ns <= rc->recovery_ns))
		return;
	rc->recovery_ns = a->now;
	rc->epoch++;
	rc->epoch_lost = 1;	/* this one never turns out to have arrived */
	a->stats.congestion_events++;
	if (a->config.cc->on_ce)
		a->config.cc->on_ce(a->cc, a->now);
}

/* 0, or -EPROTO if the peer acknowledges what was never sent */
int htp_recovery_on_ack(struct htp_assoc *a, const struct htp_ack *ack)
{
	struct htp_recovery *rc = &a->rc;
	__u64 prior_in_flight = rc->in_flight;
	struct ack_sum sum = { 0 };
	bool is_newest;
	__u64 rtt = 0, ce;

	if (ack->largest >= rc->next_pn)
		return -EPROTO;
	ack_walk(a, ack, &sum);
	is_newest = rc->largest_acked == HTP_NEVER || ack->largest > rc->largest_acked;
	if (is_newest)
		rc->largest_acked = ack->largest;
	if (!sum.nr)
		return 0;
	a->answered_ns = a->now;
	ce = htp_ecn_on_ack(a, ack, sum.nr_ecn, is_newest);

	htp_repair_observe(a, sum.nr, 0);
	rc->pto_count = 0;
	rc->probes = 0;
	if (sum.newest_pn == ack->largest && sum.newest_pn >= rc->path_pn) {
		rtt = a->now - htp_sent_at(rc, sum.newest_pn)->time_ns;
		rtt_sample(rc, rtt, ack->delay_ns, a->now);
	}
	if (sum.undo) {
		rc->recovery_ns = HTP_NEVER;
		a->config.cc->on_spurious(a->cc, a->now);
	}
	if (ce)
		on_ce(a, sum.newest_pn);
	htp_loss_detect(a);
	tell_cc(a, &sum, rtt, prior_in_flight);
	htp_sent_pop(a);
	return 0;
}

/* RFC 9002, section 6.2.1, without the backoff */
__u64 htp_recovery_pto(const struct htp_recovery *rc)
{
	return rc->srtt + htp_max(4 * rc->rttvar, HTP_GRANULARITY_NS) + HTP_ACK_DELAY_NS;
}

__u64 htp_recovery_deadline(const struct htp_assoc *a)
{
	const struct htp_recovery *rc = &a->rc;
	__u64 pto = htp_recovery_pto(rc);
	__u64 backoff = pto << htp_min(rc->pto_count, 16);

	if (!rc->nr_flying)
		return HTP_NEVER;
	if (rc->loss_ns != HTP_NEVER)
		return rc->loss_ns;
	if (rc->nr_flying == rc->nr_probing)
		return HTP_NEVER;
	return rc->last_sent_ns + htp_min(backoff, htp_max(pto, HTP_PTO_MAX_NS));
}

/* What the oldest packets held goes out again, without calling them lost */
static void repeat_oldest(struct htp_assoc *a, unsigned int nr)
{
	struct htp_recovery *rc = &a->rc;
	__u64 pn;

	for (pn = rc->head; pn != HTP_NEVER && nr; pn = htp_sent_at(rc, pn)->next) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);
		__u16 i;

		if (sent->state != HTP_SENT_FLYING || sent->probe)
			continue;
		for (i = 0; i < sent->nr_frames; i++)
			htp_stream_on_lost(a, htp_sent_frame_at(rc, sent->first_frame + i));
		nr--;
	}
}

static void probe_timeout(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;

	rc->pto_count++;
	rc->probes = 2;
	rc->last_sent_ns = a->now;	/* the probes leave now, or as soon as they can */
	a->stats.ptos++;
	repeat_oldest(a, rc->probes);
}

/* Once packets were lost by time, the PTO of those that remain may be over as well */
void htp_recovery_expire(struct htp_assoc *a)
{
	if (htp_recovery_deadline(a) > a->now)
		return;
	if (a->rc.loss_ns != HTP_NEVER)
		htp_loss_detect(a);
	if (htp_recovery_deadline(a) <= a->now)
		probe_timeout(a);
}

/*
 * Packets leave by another path. What is still on its way by the old one weighs nothing
 * here, and its loss is none of this path's. Unless @keep, the controller and the round
 * trip begin anew, the latter with @rtt (RFC 9000, section 9.4).
 */
void htp_recovery_on_path(struct htp_assoc *a, bool keep, __u64 rtt)
{
	struct htp_recovery *rc = &a->rc;
	__u64 pn;

	for (pn = rc->head; pn != HTP_NEVER; pn = htp_sent_at(rc, pn)->next)
		htp_sent_at(rc, pn)->size = 0;
	htp_ecn_on_path(a);
	rc->in_flight = 0;
	rc->path_pn = rc->next_pn;
	rc->recovery_ns = a->now;
	rc->epoch++;
	rc->epoch_lost = 0;
	rc->pto_count = 0;
	rc->probes = htp_max(rc->probes, 1);	/* its ACK tells what the old path has lost */
	rc->last_sent_ns = a->now;
	if (rc->first_rtt_ns != HTP_NEVER)
		rc->first_rtt_ns = a->now;	/* silence before is no persistent congestion */
	if (keep)
		return;
	rc->first_rtt_ns = HTP_NEVER;
	rc->min_rtt = HTP_NEVER;
	rc->srtt = rtt;
	rc->rttvar = rtt / 2;
	rc->round_max = 0;
	rc->prev_round_max = 0;
	a->config.cc->init(a->cc, a->pmtu.size, rtt, a->now);
}
