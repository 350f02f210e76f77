// SPDX-License-Identifier: GPL-2.0
/*
 * BBR: what loss, and a queue, say about congestion, and how far rate and flight go down.
 */
#include "bbr.h"

#define LOSS_MAX		20	/* in a round trip, with a queue */
#define LOSS_MAX_CLEAN		8	/* if the path loses less than... */
#define CLEAN_MAX		2	/* ...by itself */
#define LOSS_SURE		150	/* without */
/* So one packet never is too much: small flows would starve */
#define LEAST_PACKETS		75
#define SURE_PACKETS		32	/* of so many at least */
#define LOSS_BASE_MAX		50	/* more than this is never taken for the path's own */
#define BASE_PACKETS		2048	/* among so many it is counted */
#define BETA			70	/* percent left after congestion */
/* Percent taken off in a round trip with somebody's queue, for four bits of ours in it */
#define YIELD			4
#define YIELD_FLOOR		65	/* left of what it got first, by a large flow */
#define RESUME			103	/* after a round trip without a queue */
#define SHORT_TERM		90	/* percent of what gets through after congestion */
/* Percent left of the flight that met congestion while probing */
#define LONG_TERM		85
/* Percent of @hi used while cruising, the rest is for others */
#define HEADROOM		85

/* What the path loses without our doing */
static __u64 base_loss(const struct bbr *b)
{
	if (b->base_sum < (__u64)BASE_PACKETS / 16 * b->mss)
		return 0;
	return htp_min(b->base_lost * 1000 / b->base_sum, LOSS_BASE_MAX);
}

/* In startup, too: a rate that doubles without a longer round trip loses nothing by itself */
void htp_bbr_sample_base_loss(struct bbr *b)
{
	if ((b->is_full && !b->queue_seen) || !b->round.max_rtt || b->round.max_rtt > queued_rtt(b))
		return;
	b->base_rtt = htp_max(b->base_rtt, b->round.max_rtt);
	b->base_sum += b->round.acked + b->round.lost;
	b->base_lost += b->round.lost;
	if (b->base_sum > (__u64)BASE_PACKETS * b->mss) {
		b->base_sum /= 2;
		b->base_lost /= 2;
	}
}

/* Enough was counted to say that the path loses next to nothing by itself */
static bool is_clean(const struct bbr *b)
{
	return b->base_sum >= (__u64)BASE_PACKETS / 4 * b->mss &&
	       b->base_lost * 1000 < b->base_sum * CLEAN_MAX;
}

/* Of a flight of @sum bytes. One packet of a small flow is never too much */
static bool is_loss_above_base(const struct bbr *b, __u64 sum)
{
	__u64 lost = (b->past_lost + b->round.lost) * 1000;
	__u64 least = (__u64)LEAST_PACKETS * b->mss;

	if (is_clean(b))
		return lost > htp_max(b->past_sum + sum, 2 * least) * LOSS_MAX_CLEAN;
	return lost > htp_max(b->past_sum + sum, least) * (LOSS_MAX + base_loss(b) * 3 / 2);
}

/*
 * At the start of a round few packets are in the sum, so the share of losses
 * is taken of a whole flight at least. Small flows look back over several rounds.
 * Without a queue it takes many packets to tell, and the flight must have been
 * ours to choose.
 */
bool htp_bbr_is_congested(const struct bbr *b)
{
	__u64 sum = htp_max(b->round.acked + b->round.lost, b->round.in_flight);

	if (b->round.ce)
		return true;	/* no need to guess */
	if (!b->round.lost)
		return false;
	if (has_queue(b) || (b->is_full && !b->queue_seen && !b->round.limited))
		return is_loss_above_base(b, sum);
	if (b->round.limited || sum < (__u64)SURE_PACKETS * b->mss)
		return false;
	return b->round.lost * 1000 > sum * LOSS_SURE;
}

void htp_bbr_remember_loss(struct bbr *b)
{
	b->past_sum += b->round.acked + b->round.lost;
	b->past_lost += b->round.lost;
	while (b->past_sum > (__u64)LEAST_PACKETS * b->mss) {
		b->past_sum /= 2;
		b->past_lost /= 2;
	}
}

void htp_bbr_reset_bounds(struct bbr *b)
{
	b->b.bw_lo = HTP_NEVER;
	b->b.lo = HTP_NEVER;
	b->share = HTP_NEVER;
}

void htp_bbr_bound_short_term(struct bbr *b)
{
	if (b->b.bw_lo == HTP_NEVER)
		b->b.bw_lo = max_bw(b);
	if (b->b.lo == HTP_NEVER)
		b->b.lo = b->cwnd;
	b->b.bw_lo = htp_max(percent(b->b.bw_lo, BETA),
			     percent(htp_max(b->last_rate, b->round.rate), SHORT_TERM));
	b->b.lo = htp_max(percent(b->b.lo, BETA), percent(b->last_bytes, SHORT_TERM));
}

/* What was in flight when the lost packets were sent is too much */
void htp_bbr_bound_long_term(struct bbr *b)
{
	__u64 target = bdp(b) == HTP_NEVER ? b->cwnd : bdp(b);

	b->b.hi = htp_max(percent(b->round.in_flight, LONG_TERM),
			  percent(htp_min(target, b->cwnd), BETA));
	b->b.hi = htp_max(b->b.hi, (__u64)BBR_MIN_PACKETS * b->mss);
}

__u64 htp_bbr_hi_with_headroom(const struct bbr *b)
{
	if (b->b.hi == HTP_NEVER)
		return HTP_NEVER;
	return htp_max(percent(b->b.hi, HEADROOM), (__u64)BBR_MIN_PACKETS * b->mss);
}

bool htp_bbr_is_hi_used(const struct bbr *b, const struct htp_cc_ack *ack)
{
	return b->b.hi != HTP_NEVER && ack->prior_in_flight + 3ULL * b->mss >= b->b.hi;
}

/* Probing fills the long-term bound without loss: it was too low. Faster each round */
void htp_bbr_raise_hi(struct bbr *b, const struct htp_cc_ack *ack)
{
	if (!htp_bbr_is_hi_used(b, ack))
		return;
	b->b.hi += ((ack->acked_bytes * b->mss) << b->up_rounds) / b->b.hi;
}

/*
 * Where others were met, a bound that was set in a crowd would keep a small flow
 * small: its probes end with the queue, before they have raised it. A round trip
 * without a queue says that there is room for what the flow's rate asks for.
 */
static void lift_hi(struct bbr *b)
{
	if (b->share == HTP_NEVER || b->b.hi == HTP_NEVER || b->round.reacted)
		return;
	b->b.hi = htp_max(b->b.hi, bdp(b) / HEADROOM * 100 + 3ULL * b->mss);
}

/* Bits in the number of our packets in the queue, 1 at least: twice the share, one more */
static __u32 queue_bits(const struct bbr *b)
{
	__u64 packets = bytes_in(bandwidth(b), queue_ns(b)) / b->mss;
	__u32 bits = 1;

	while (packets >>= 1)
		bits++;
	return bits;
}

static __u64 yield(const struct bbr *b, __u64 rate)
{
	__u32 bits = queue_bits(b);
	__u32 floor = bits < 8 ? 105 - 5 * bits : YIELD_FLOOR;

	return htp_max(percent(rate, 100 - YIELD * bits / 4), percent(b->share, floor));
}

/*
 * A queue that stands for a round trip although nobody probes means that the
 * estimates of all flows add up to more than the path has. Each goes on with a
 * little less than what it gets until the queue is gone: who has more of the queue yields
 * faster and further, or shares would stay as unequal as they were. A flow that fills
 * queues on purpose, as CUBIC does, can't push it below the floor.
 */
void htp_bbr_follow_rate(struct bbr *b)
{
	__u64 rate = htp_min(b->b.bw_lo, htp_min(b->round.rate, max_bw(b)));

	if (b->state != BBR_CRUISE || b->round.limited || !b->round.max_rtt || b->rival_rtt)
		return;
	if (b->round.rtt > queued_rtt(b)) {
		if (b->share == HTP_NEVER)
			b->share = rate;
		b->b.bw_lo = yield(b, rate);
	} else if (b->round.max_rtt <= queued_rtt(b)) {
		if (b->b.bw_lo < max_bw(b))
			b->b.bw_lo = percent(b->b.bw_lo, RESUME);
		lift_hi(b);
	}
}
