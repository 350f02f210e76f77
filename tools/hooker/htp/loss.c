// SPDX-License-Identifier: GPL-2.0
/*
 * Loss detection (RFC 9002, sections 6.1 and 7.6). On paths that reorder, both
 * thresholds grow with each loss that turns out to be none, and they return
 * when none did so for a while. If all losses of a congestion event were none,
 * the controller undoes it.
 */
#include "ecn.h"
#include "pmtu.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"
#include "stream.h"

#define REORDER_PACKETS_MIN	3
#define REORDER_PACKETS_MAX	1000
#define REORDER_EIGHTHS_MIN	9
#define REORDER_EIGHTHS_MAX	16
#define CALM_EPOCHS		16

/**
 * struct loss_sum - what one pass declared lost
 * @bytes:     of the packets
 * @nr:	       packets
 * @first_pn:  oldest; valid if @nr
 * @last_pn:   newest
 */
struct loss_sum {
	__u64	bytes;
	__u32	nr;
	__u64	first_pn, last_pn;
};

static __u64 loss_delay(const struct htp_recovery *rc)
{
	__u64 rtt = htp_max(rc->srtt, rc->latest_rtt);

	return htp_max(rtt / 8 * rc->reorder_eighths, HTP_GRANULARITY_NS);
}

static void lose_packet(struct htp_assoc *a, __u64 pn, struct loss_sum *sum)
{
	struct htp_recovery *rc = &a->rc;
	struct htp_sent *sent = htp_sent_at(rc, pn);
	__u16 i;

	sent->state = HTP_SENT_LOST;
	sent->lost_ns = a->now;
	rc->in_flight -= sent->size;
	rc->nr_flying--;
	rc->nr_probing -= sent->probe;
	a->stats.lost_packets += !sent->probe;
	if (sent->ecn && pn >= rc->path_pn)
		htp_ecn_on_lost(a);
	if (!sum->nr++)
		sum->first_pn = pn;
	sum->last_pn = pn;
	htp_pmtu_on_lost(a, sent, pn);
	for (i = 0; i < sent->nr_frames; i++)
		htp_stream_on_lost(a, htp_sent_frame_at(rc, sent->first_frame + i));
}

/* Both criteria weaken with the packet number, so the first survivor ends the walk */
static void find_lost(struct htp_assoc *a, struct loss_sum *sum)
{
	struct htp_recovery *rc = &a->rc;
	__u64 delay = loss_delay(rc);
	__u64 pn;

	rc->loss_ns = HTP_NEVER;
	if (rc->largest_acked == HTP_NEVER)
		return;
	for (pn = rc->head; pn != HTP_NEVER && pn < rc->largest_acked;
	     pn = htp_sent_at(rc, pn)->next) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);

		if (sent->state != HTP_SENT_FLYING)
			continue;
		if (rc->largest_acked - pn < rc->reorder_packets &&
		    sent->time_ns + delay > a->now) {
			rc->loss_ns = sent->time_ns + delay;
			return;
		}
		lose_packet(a, pn, sum);
	}
}

/*
 * What the path MTU explains is left out: neither a probe nor what was too large for
 * the path was lost to congestion.
 */
static void sum_up(const struct htp_assoc *a, struct loss_sum *sum)
{
	const struct htp_recovery *rc = &a->rc;
	__u64 pn = sum->first_pn, last_pn = sum->last_pn;

	sum->nr = 0;
	for (; pn != HTP_NEVER && pn <= last_pn; pn = htp_sent_at(rc, pn)->next) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);

		if (sent->state != HTP_SENT_LOST || sent->lost_ns != a->now ||
		    htp_pmtu_explains(a, sent))
			continue;
		if (!sum->nr++)
			sum->first_pn = pn;
		sum->last_pn = pn;
		sum->bytes += sent->size;
	}
}

/* Losses of one event carry its number, so that late ACKs can tell if it was one */
static void join_epoch(struct htp_assoc *a, const struct loss_sum *sum)
{
	struct htp_recovery *rc = &a->rc;
	__u64 pn;

	for (pn = sum->first_pn; pn != HTP_NEVER && pn <= sum->last_pn;
	     pn = htp_sent_at(rc, pn)->next) {
		struct htp_sent *sent = htp_sent_at(rc, pn);

		if (sent->lost_ns == a->now && !htp_pmtu_explains(a, sent))
			sent->epoch = rc->epoch;
	}
	rc->epoch_lost += sum->nr;
}

static bool new_event(struct htp_assoc *a, const struct loss_sum *sum)
{
	struct htp_recovery *rc = &a->rc;

	if (rc->recovery_ns != HTP_NEVER &&
	    htp_sent_at(rc, sum->last_pn)->time_ns <= rc->recovery_ns)
		return false;
	rc->recovery_ns = a->now;
	rc->epoch++;
	rc->epoch_lost = 0;
	a->stats.congestion_events++;
	if (++rc->calm_epochs > CALM_EPOCHS) {
		rc->reorder_packets = REORDER_PACKETS_MIN;
		rc->reorder_eighths = REORDER_EIGHTHS_MIN;
	}
	return true;
}

/*
 * Nothing that was sent during three PTOs arrived. Packets sent before the
 * first round-trip sample don't count: the PTO was a guess then.
 */
static bool is_persistent(const struct htp_assoc *a, const struct loss_sum *sum)
{
	const struct htp_recovery *rc = &a->rc;
	__u64 duration = 3 * htp_recovery_pto(rc);
	__u64 start = HTP_NEVER;
	__u64 pn;

	if (rc->first_rtt_ns == HTP_NEVER ||
	    htp_sent_at(rc, sum->last_pn)->time_ns - htp_sent_at(rc, sum->first_pn)->time_ns
	    <= duration)
		return false;
	for (pn = sum->first_pn; pn <= sum->last_pn; pn++) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);

		if (sent->state == HTP_SENT_ACKED || sent->state == HTP_SENT_FLYING)
			start = HTP_NEVER;
		if (sent->state != HTP_SENT_LOST || sent->time_ns <= rc->first_rtt_ns ||
		    htp_pmtu_explains(a, sent))
			continue;
		if (start == HTP_NEVER)
			start = sent->time_ns;
		if (sent->time_ns - start > duration)
			return true;
	}
	return false;
}

void htp_loss_detect(struct htp_assoc *a)
{
	struct htp_recovery *rc = &a->rc;
	struct htp_cc_loss loss = { .now_ns = a->now };
	struct loss_sum sum = { 0 };

	find_lost(a, &sum);
	if (!sum.nr)
		return;
	htp_pmtu_check(a);
	sum_up(a, &sum);
	if (!sum.nr)
		return;
	htp_repair_observe(a, 0, sum.nr);
	loss.bytes = sum.bytes;
	loss.in_flight = rc->in_flight;
	loss.largest_pn = sum.last_pn;
	loss.congestion = new_event(a, &sum);
	join_epoch(a, &sum);
	a->config.cc->on_loss(a->cc, &loss);
	if (!is_persistent(a, &sum))
		return;
	a->config.cc->on_persistent(a->cc, a->now);
	rc->recovery_ns = HTP_NEVER;
	rc->epoch_lost = 0;		/* not to be undone */
	rc->epoch++;
}

/* A probe of the path MTU is not waited for any longer. Its slot is that of a lost packet */
void htp_loss_give_up(struct htp_assoc *a, __u64 pn)
{
	struct loss_sum sum = { 0 };

	lose_packet(a, pn, &sum);
	if (!a->rc.nr_flying)
		a->rc.loss_ns = HTP_NEVER;	/* it may have been set for this one */
}

/* An ACK for a packet declared lost: it was late, by so many packets */
void htp_loss_on_spurious(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn)
{
	struct htp_recovery *rc = &a->rc;

	a->stats.spurious_losses++;
	rc->calm_epochs = 0;
	if (rc->largest_acked != HTP_NEVER && rc->largest_acked > pn)
		rc->reorder_packets = htp_min(htp_max(rc->reorder_packets,
						      rc->largest_acked - pn + 1),
					      REORDER_PACKETS_MAX);
	if (a->now - sent->time_ns > loss_delay(rc))
		rc->reorder_eighths = htp_min(rc->reorder_eighths + 1, REORDER_EIGHTHS_MAX);
}
