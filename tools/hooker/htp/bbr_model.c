// SPDX-License-Identifier: GPL-2.0
/*
 * BBR: what acknowledgements tell of the path: its rate, its round trip, and in what lumps
 * they come.
 */
#include "bbr.h"

#define EXTRA_ROUNDS		5
#define TRAIN_PACKETS		32

/*
 * A flight shorter than a round trip gives rate samples that are too low, since
 * they span a whole one. How fast its acknowledgements followed each other tells
 * better, but it may be wrong upwards, so it only helps startup along, and by
 * no more than the rate at which the flight was sent.
 */
static __u64 train_rate(struct bbr *b, const struct htp_cc_ack *ack)
{
	__u64 bytes, ns;

	if (b->is_full || ack->prior_delivered > b->train_end || b->min_rtt == HTP_NEVER)
		return 0;
	if (b->train_ns == HTP_NEVER) {
		b->train_ns = ack->now_ns;
		b->train_from = ack->delivered;
		return 0;
	}
	bytes = ack->delivered - b->train_from;
	ns = ack->now_ns - b->train_ns;
	if (bytes < (__u64)TRAIN_PACKETS * b->mss || ns < htp_max(b->min_rtt / 4, HTP_MSEC))
		return 0;
	return (double)bytes * HTP_SEC / ns;
}

void htp_bbr_sample_rate(struct bbr *b, const struct htp_cc_ack *ack, __u64 pacing)
{
	__u64 train = htp_min(train_rate(b, ack), pacing);

	b->round.limited |= ack->app_limited;
	b->round.rate = htp_max(b->round.rate, ack->rate);
	if (ack->rate && (!ack->app_limited || ack->rate >= max_bw(b)))
		b->bw[0] = htp_max(b->bw[0], ack->rate);
	if (train > max_bw(b))
		b->bw[0] = train;
}

void htp_bbr_set_min_rtt(struct bbr *b, __u64 rtt)
{
	if (rtt > b->min_rtt)
		b->queue_seen = false;
	b->min_rtt = rtt;
	b->is_rtt_old = false;
	/* whoever begins in a full queue learns late that it was one, and not the path that lost */
	if (b->base_rtt > queued_rtt(b)) {
		b->base_sum = 0;
		b->base_lost = 0;
		b->base_rtt = 0;
	}
}

void htp_bbr_sample_rtt(struct bbr *b, __u64 rtt)
{
	b->rtt[1] = b->rtt[0];
	b->rtt[0] = rtt;
	b->round.rtt = htp_min(b->round.rtt, rtt);
	b->round.max_rtt = htp_max(b->round.max_rtt, rtt);
	b->probed_rtt = htp_min(b->probed_rtt, rtt);
	b->probed_most = htp_max(b->probed_most, rtt);
	if (rtt < b->min_rtt || b->is_rtt_old)
		htp_bbr_set_min_rtt(b, rtt);
	else if (rtt > queued_rtt(b))
		b->queue_seen = true;
	/* near enough to know that no queue hides a shorter one */
	if (rtt <= b->min_rtt + b->min_rtt / 32)
		b->low_rtt_ns = b->now;
}

/* Acknowledgements that come in lumps leave the flight larger than the BDP in between */
void htp_bbr_sample_extra(struct bbr *b, const struct htp_cc_ack *ack)
{
	__u64 expected = bytes_in(bandwidth(b), ack->now_ns - b->extra_ns);

	if (b->rounds - b->extra_round >= EXTRA_ROUNDS) {
		b->extra[1] = b->extra[0];
		b->extra[0] = 0;
		b->extra_round = b->rounds;
	}
	if (b->extra_acked <= expected) {
		b->extra_acked = 0;
		b->extra_ns = ack->now_ns;
		expected = 0;
	}
	b->extra_acked = htp_min(b->extra_acked + ack->acked_bytes, b->cwnd);
	/* what was bounded by a window that has shrunk may be less than the expected */
	if (b->is_full && b->extra_acked > expected)
		b->extra[0] = htp_max(b->extra[0], b->extra_acked - expected);
}

static bool is_near(__u64 a, __u64 b)
{
	return htp_max(a, b) - htp_min(a, b) <= HTP_MSEC;
}

/*
 * No packet of this round was anywhere near the minimum: reason to doubt it. From
 * twice the minimum on the window limits the rate, so that is urgent. Below that it
 * is a queue, as a rule, unless it stays the same although flows yield.
 */
void htp_bbr_doubt_min_rtt(struct bbr *b)
{
	if (!b->doubt)
		b->sure_bw = max_bw(b);
	if (!b->round.max_rtt || !is_far(b, b->round.rtt))
		b->doubt = 0;
	else if (b->round.rtt > 2 * b->min_rtt)
		b->doubt += BBR_DOUBT_MAX / 2;
	else if (b->doubt && is_near(b->round.rtt, b->doubt_rtt))
		b->doubt++;
	else
		b->doubt = 1;
	if (b->doubt == 1)
		b->doubt_rtt = b->round.rtt;
}
