// SPDX-License-Identifier: GPL-2.0
/*
 * Packets received: telling new ones from repeated ones, and acknowledging.
 *
 * An ACK is due at once when packets are missing or fill a gap, and again two
 * packets later, which is when the sender may call the missing ones lost; else
 * with every second packet at low rates, about sixteen times per round trip at
 * high ones, and after 5 ms at the latest. Ranges are left out of ACKs once the
 * peer has acknowledged an ACK that told them.
 */
#include <string.h>

#include "ack.h"
#include "cursor.h"
#include "frame.h"
#include "private.h"
#include "ranges.h"
#include "recovery.h"

#define ACK_EVERY_MIN	2
#define ACK_EVERY_MAX	64
#define ACKS_PER_RTT	16
#define ACK_GAP_NS	(1 * HTP_MSEC)	/* shorter ones gain nothing: timers aren't finer */
#define ACK_AFTER_GAP	2

void htp_acks_init(struct htp_acks *acks)
{
	memset(acks, 0, sizeof(*acks));
	acks->largest = HTP_NEVER;
	acks->deadline = HTP_NEVER;
	acks->every = ACK_EVERY_MIN;
}

/* RFC 9000, A.3: the number closest to the one expected next */
__u64 htp_acks_expand(const struct htp_acks *acks, __u32 pn)
{
	const __u64 win = 1ULL << 32, half = win / 2;
	__u64 expected = acks->largest == HTP_NEVER ? 0 : acks->largest + 1;
	__u64 candidate = (expected & ~(win - 1)) | pn;

	if (candidate + half <= expected)
		return candidate + win;
	if (candidate > expected + half && candidate >= win)
		return candidate - win;
	return candidate;
}

/* Index of the first range that ends at @pn or above */
static __u32 acks_find(const struct htp_acks *acks, __u64 pn)
{
	__u32 lo = 0, hi = acks->nr;

	while (lo < hi) {
		__u32 mid = lo + (hi - lo) / 2;

		if (acks->r[mid].end >= pn)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* True if @pn came before, or is too old to tell */
bool htp_acks_has(const struct htp_acks *acks, __u64 pn)
{
	__u32 i;

	if (pn < acks->too_old)
		return true;
	if (acks->largest == HTP_NEVER || pn > acks->largest)
		return false;
	i = acks_find(acks, pn);
	if (i < acks->nr && acks->r[i].end == pn)
		i++;
	return i < acks->nr && acks->r[i].start <= pn;
}

static void acks_forget_oldest(struct htp_acks *acks)
{
	acks->too_old = acks->r[0].end;
	acks->nr--;
	memmove(acks->r, acks->r + 1, acks->nr * sizeof(acks->r[0]));
}

/* @pn is in no range yet */
static void acks_insert(struct htp_acks *acks, __u64 pn)
{
	__u32 i = acks_find(acks, pn);
	struct htp_range *r = &acks->r[i];

	if (i < acks->nr && r->end == pn) {
		r->end++;
		if (i + 1 < acks->nr && r[1].start == r->end) {
			r->end = r[1].end;
			acks->nr--;
			memmove(r + 1, r + 2, (acks->nr - i - 1) * sizeof(*r));
		}
		return;
	}
	if (i < acks->nr && r->start == pn + 1) {
		r->start--;
		return;
	}
	if (acks->nr == HTP_RX_RANGES) {
		acks_forget_oldest(acks);
		if (i-- == 0)
			return;		/* it would be the oldest itself */
		r--;
	}
	memmove(r + 1, r, (acks->nr - i) * sizeof(*r));
	r->start = pn;
	r->end = pn + 1;
	acks->nr++;
}

/* Below what we acknowledged already: ACKs under way don't tell of this one */
static void acks_reopen(struct htp_assoc *a, __u64 pn)
{
	a->acks.floor = htp_min(a->acks.floor, pn);
	a->acks.hold_pn = a->rc.next_pn;
}

static __u64 acks_delay(const struct htp_assoc *a)
{
	__u64 quarter = a->rc.srtt / 4;

	return htp_min(htp_max(quarter, HTP_GRANULARITY_NS), HTP_ACK_DELAY_NS);
}

/* A packet that is processed now is acknowledged from here on */
void htp_acks_record(struct htp_assoc *a, __u64 pn, bool eliciting)
{
	struct htp_acks *acks = &a->acks;
	bool first = acks->largest == HTP_NEVER;
	bool in_order = first || pn == acks->largest + 1;

	acks_insert(acks, pn);
	if (!first && pn < acks->largest)
		acks_reopen(a, pn);
	if (first || pn > acks->largest) {
		acks->largest = pn;
		acks->largest_ns = a->now;
	}
	if (!eliciting)
		return;
	if (!in_order)
		acks->now = true;
	if (!acks->pending++)
		acks->deadline = a->now + acks_delay(a);
}

/* The packet recorded last came with this mark; CE is told at once (RFC 9000, 13.2.1) */
void htp_acks_count(struct htp_assoc *a, __u8 ecn, bool eliciting)
{
	struct htp_acks *acks = &a->acks;

	acks->ecn[HTP_ACK_ECT0] += ecn == HTP_ECN_ECT0;
	acks->ecn[HTP_ACK_ECT1] += ecn == HTP_ECN_ECT1;
	if (ecn != HTP_ECN_CE)
		return;
	acks->ecn[HTP_ACK_CE]++;
	acks->now |= eliciting;
	a->stats.ecn_ce_received++;
}

static __u32 acks_enough(const struct htp_acks *acks)
{
	return acks->soon ? htp_min(acks->every, ACK_AFTER_GAP) : acks->every;
}

bool htp_acks_is_due(const struct htp_assoc *a)
{
	const struct htp_acks *acks = &a->acks;

	if (!acks->pending)
		return false;
	return acks->now || acks->pending >= acks_enough(acks) || acks->deadline <= a->now;
}

/*
 * As many packets as come within a sixteenth of the round trip. Gaps say nothing
 * about the rate; a timer that ran does: packets are rare.
 */
static void acks_adapt(struct htp_assoc *a)
{
	__u64 goal = htp_max(a->rc.srtt / ACKS_PER_RTT, ACK_GAP_NS);
	struct htp_acks *acks = &a->acks;
	__u64 gap = a->now - acks->last_ns;

	if (acks->now || acks->soon)
		return;
	if (acks->pending < acks->every)
		acks->every = htp_max(acks->pending, ACK_EVERY_MIN);
	else if (gap < goal)
		acks->every = htp_min(acks->every + htp_max(acks->every / 4, 2), ACK_EVERY_MAX);
	else if (gap > 2 * goal)
		acks->every = htp_max(acks->every / 2, ACK_EVERY_MIN);
}

/* The newest ranges first, down to what the peer knows anyway */
static void acks_collect(const struct htp_acks *acks, struct htp_ack *ack)
{
	__u32 i = acks->nr;

	ack->nr = 0;
	while (i-- && ack->nr < HTP_TX_RANGES) {
		if (ack->nr && acks->r[i].end <= acks->floor)
			break;
		ack->r[ack->nr++] = acks->r[i];
	}
}

/* True if an ACK was written */
bool htp_acks_write(struct htp_assoc *a, struct htp_writer *w)
{
	struct htp_acks *acks = &a->acks;
	struct htp_ack ack;

	acks_collect(acks, &ack);
	ack.largest = acks->largest;
	ack.delay_ns = a->now - acks->largest_ns;
	memcpy(ack.ecn, acks->ecn, sizeof(ack.ecn));
	ack.has_ecn = ack.ecn[HTP_ACK_ECT0] || ack.ecn[HTP_ACK_ECT1] || ack.ecn[HTP_ACK_CE];
	if (!htp_frame_write_ack(w, &ack))
		return false;
	acks_adapt(a);
	acks->pending = 0;
	acks->soon = acks->now;
	acks->now = false;
	acks->deadline = HTP_NEVER;
	acks->last_ns = a->now;
	return true;
}

/* Our packet @pn, whose ACK went up to @largest, has arrived */
void htp_acks_on_acked(struct htp_assoc *a, __u64 pn, __u64 largest)
{
	if (pn >= a->acks.hold_pn && largest > a->acks.floor)
		a->acks.floor = largest;
}
