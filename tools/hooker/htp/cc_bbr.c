// SPDX-License-Identifier: GPL-2.0
/*
 * BBR: send at the rate at which the path delivers, with about one
 * bandwidth-delay product (BDP) in flight. After draft-ietf-ccwg-bbr, version 3
 * of the algorithm.
 *
 *	STARTUP -> DRAIN -> DOWN -> CRUISE -> REFILL -> UP -+
 *			      ^-----------------------------+
 *
 * and from any of them now and then to PROBE_RTT and back. STARTUP doubles the
 * rate each round trip until it no longer helps. UP tries a quarter more, DOWN
 * takes the queue away which that made. PROBE_RTT empties the queue, for the
 * round trip without one can't be measured otherwise.
 *
 * Loss is where this one differs. The draft calls more than 2 % lost in a round
 * trip congestion. Radio links lose as much at random, and a sender that takes
 * that for congestion gives away bandwidth nobody else wants. A drop by a full
 * queue has a witness: the packets around it waited in that queue. So loss
 * counts as congestion when the round trip is above its minimum, too, and only
 * as far as it exceeds what is lost in round trips without a queue. Queues too
 * short to show drop much more than 2 % as soon as they are exceeded, so from
 * LOSS_SURE on no witness is asked for. What a wrong guess
 * costs is bounded either way: the rate never exceeds what was delivered within
 * the last two cycles by more than a quarter, nor the flight twice its BDP.
 *
 * Reaction to congestion: while probing, the flight that was too much becomes
 * the long-term bound @hi; at other times, the short-term bounds @bw_lo and @lo
 * go a little below what gets through, but fall by no more than 30 % in a round
 * trip.
 *
 * So is sharing. The draft's flows keep the best rate of two cycles, which for
 * flows that share a path adds up to more than it has: a standing queue, in which
 * the one who was there first has the best of it. Here a flow that meets a queue
 * while cruising yields until the queue is gone, by 35 % at most, and its next
 * probe starts from what it got then. Probing itself ends when the rate no longer
 * grows, so a small flow probes for longer than one that has all there is.
 *
 * That only works among those who yield. A flow that keeps the queue full, which
 * PROBE_RTT finds out, is a rival.
 *
 * Gains are percents, loss is in thousandths.
 */
#include "private.h"

/* Paced, so it meets the path as no burst of RFC 6928 would */
#define INITIAL_PACKETS		32
#define INITIAL_PACKETS_MAX	128	/* where the round trip is longer than... */
#define INITIAL_RTT_NS		(200 * HTP_MSEC)
#define MIN_PACKETS		4

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

#define PACING_PERCENT		99	/* a little below the estimate: queues don't build up */
#define STARTUP_GAIN		277
#define FULL_GROWTH		125	/* startup goes on as long as the rate grows so much... */
#define FULL_ROUNDS		3	/* ...within so many rounds */
#define FULL_QUEUE_NS		(10 * HTP_MSEC)

#define CRUISE_MIN_NS		(2 * HTP_SEC)
#define CRUISE_ROUNDS_MAX	63
#define UP_ROUNDS_MAX		20
/* It comes at the expense of others, when there is a queue */
#define UP_QUEUE_ROUNDS		3
#define UP_FLAT_MAX		4
#define DOWN_ROUNDS_MAX		4	/* a queue that is there even then is made by others */
/* Probing goes on as long as the rate grows so much in a round */
#define UP_GROWTH		108

#define PROBE_RTT_EACH_NS	(5 * HTP_SEC)
#define PROBE_RTT_FIRST_NS	(2 * HTP_SEC)
#define PROBE_RTT_NS		(200 * HTP_MSEC)
#define RIVAL_QUEUE_NS		(20 * HTP_MSEC)	/* of others, while none of ours is in it */
#define RIVAL_PROBES_MAX	12
#define DOUBT_MAX		6	/* rounds without a packet near the minimum */
#define STEADY_NS		(10 * HTP_MSEC)	/* spread of round trips without a queue, at most */

#define EXTRA_ROUNDS		5
#define IDLE_LONG_NS		(10 * HTP_SEC)	/* the path may have changed meanwhile */
#define TRAIN_PACKETS		32

enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_DOWN,
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
	BBR_PROBE_RTT,
};

static const struct {
	__u16 pacing, cwnd;
} gains[] = {
	[BBR_STARTUP]	= { STARTUP_GAIN, 200 },
	[BBR_DRAIN]	= { 50, 200 },
	[BBR_DOWN]	= { 90, 200 },
	[BBR_CRUISE]	= { 100, 200 },
	[BBR_REFILL]	= { 100, 200 },
	[BBR_UP]	= { 125, 225 },
	[BBR_PROBE_RTT]	= { 100, 50 },
};

/**
 * struct bbr_bounds - what congestion changes, and undoing it restores
 * @bw_lo: rate that got through lately, HTP_NEVER: no bound
 * @lo:	   flight that got through lately, likewise
 * @hi:	   flight beyond which probing met congestion, likewise
 */
struct bbr_bounds {
	__u64	bw_lo, lo, hi;
};

/**
 * struct bbr_round - the round trip under way
 * @end:       it ends once a packet is acknowledged that was sent after so much was delivered
 * @in_flight: bytes when it began: what packets reported lost in it were sent into
 * @acked:     bytes in it
 * @lost:      likewise
 * @rate:      best rate sample of it
 * @rtt:       least round trip of it; HTP_NEVER: no sample
 * @max_rtt:   greatest; 0: no sample
 * @delivered: count when it began
 * @limited:   its samples are limited by the application
 * @ce:	       a router has marked packets of it
 * @reacted:   it was found congested
 */
struct bbr_round {
	__u64	end, in_flight, acked, lost, rate, rtt, max_rtt, delivered;
	bool	limited, ce, reacted;
};

/**
 * struct bbr - state
 * @mss:	  largest datagram
 * @nr_initial:	  of the initial window
 * @state:	  where in the diagram above
 * @now:	  of the newest call
 * @cwnd:	  bytes
 * @prior_cwnd:	  to go back to after PROBE_RTT
 * @bw:		  best rate sample of this cycle [0] and the one before [1]
 * @b:		  bounds
 * @undo:	  as they were before the last congestion
 * @can_undo:	  that is valid
 * @round:	  the round trip under way
 * @rounds:	  round trips so far
 * @share:	  rate that got through when a queue was met in this cycle; HTP_NEVER: wasn't
 * @is_shared:  the cycle before this probe had met one
 * @base_sum:	  bytes acknowledged or lost in rounds without a queue, older ones count less
 * @base_lost:	  of these, lost
 * @base_rtt:	  greatest round trip in them
 * @past_sum:	  the last LEAST_PACKETS before this round: bytes
 * @past_lost:	  of these, lost
 * @last_rate:	  best rate sample of the round before
 * @last_bytes:	  bytes delivered in the round before
 * @rtt:	  last two round trips, the newer one first
 * @min_rtt:	  least round trip; HTP_NEVER: none yet
 * @is_rtt_old:	  the next one replaces it, even if longer
 * @probed_rtt:	  least one in this PROBE_RTT
 * @probed_most:  greatest in it
 * @last_probed_rtt: least in the one before; 0: there was none
 * @rival_rtt:	  the same beside a flow that keeps the queue full; 0: there is none
 * @nr_rival:	  how often in a row that was found
 * @probe_flight: bytes in flight during it
 * @probed_ns:	  when it ended
 * @doubt:	  grows with each round in a row whose least round trip is far above @min_rtt
 * @doubt_rtt:	  least round trip of the first of them
 * @sure_bw:	  rate known before them
 * @low_rtt_ns:	  when the round trip was last about as short as that
 * @queue_seen:	  the round trip was clearly longer than that at times. If it never was, the
 *		  minimum may be that of a full queue, and is no witness
 * @full_bw:	  rate that startup has reached
 * @full_rounds:  rounds since then
 * @is_full:	  startup is over
 * @is_bw_guess:  a queue ended it, and no round trip has told the rate since
 * @cycle_ns:	  when this state of the cycle began
 * @cycle_round:  likewise, in rounds
 * @cruise_ns:	  how long until the next probe
 * @probe_round:  round of the last probe
 * @up_rounds:	  rounds of UP so far
 * @up_flat:	  of these, the last ones in which the rate didn't grow
 * @up_bw:	  rate that UP has reached
 * @feedback:	  acknowledgements of what was sent in UP are still coming
 * @probe_rtt_ns: PROBE_RTT ends then; HTP_NEVER: the flight isn't down yet
 * @extra:	  bytes acknowledged beyond the expected: this window [0], the one before [1]
 * @extra_ns:	  start of the sampling interval
 * @extra_acked:  bytes acknowledged in it
 * @extra_round:  round in which the window began
 * @sent_ns:	  when the last packet was sent
 * @careful:	  after a long pause: until this round is over
 * @train_end:	  the first flight after a pause: sent when no more than this was delivered
 * @train_ns:	  when the first of it was acknowledged, HTP_NEVER: not yet
 * @train_from:	  bytes delivered by then
 */
struct bbr {
	__u32			mss, nr_initial;
	enum bbr_state		state;
	__u64			now;
	__u64			cwnd, prior_cwnd;
	__u64			bw[2];
	struct bbr_bounds	b, undo;
	bool			can_undo;
	struct bbr_round	round;
	__u64			share;
	bool			is_shared;
	__u64			base_sum, base_lost, base_rtt, past_sum, past_lost;
	__u64			rounds, last_rate, last_bytes;
	__u64			rtt[2], min_rtt, low_rtt_ns;
	bool			is_rtt_old;
	__u64			probed_rtt, probed_most, last_probed_rtt, rival_rtt;
	__u32			nr_rival;
	__u64			probe_flight, probed_ns;
	__u32			doubt;
	__u64			doubt_rtt, sure_bw;
	bool			queue_seen;
	__u64			full_bw;
	__u32			full_rounds;
	bool			is_full, is_bw_guess;
	__u64			cycle_ns, cycle_round, cruise_ns, probe_round;
	__u32			up_rounds, up_flat;
	__u64			up_bw;
	bool			feedback;
	__u64			probe_rtt_ns;
	__u64			extra[2], extra_ns, extra_acked, extra_round;
	__u64			sent_ns;
	bool			careful;
	__u64			train_end, train_ns, train_from;
};

static __u64 percent(__u64 value, __u32 gain)
{
	return value / 100 * gain + value % 100 * gain / 100;
}

static __u64 bytes_in(__u64 rate, __u64 ns)
{
	return (double)rate * ns / HTP_SEC;
}

static __u64 max_bw(const struct bbr *b)
{
	return htp_max(b->bw[0], b->bw[1]);
}

static __u64 bandwidth(const struct bbr *b)
{
	return htp_min(max_bw(b), b->b.bw_lo);
}

/* Bytes in flight that keep the path busy, or our share of it; HTP_NEVER: not measured yet */
static __u64 bdp(const struct bbr *b)
{
	if (b->min_rtt == HTP_NEVER || !max_bw(b))
		return HTP_NEVER;
	return bytes_in(bandwidth(b), htp_max(b->min_rtt, b->rival_rtt));
}

static __u64 initial_cwnd(const struct bbr *b)
{
	return (__u64)b->nr_initial * b->mss;
}

/*
 * Doubling takes as many round trips on a long path as on a short one. As in TCP Hybla
 * (Caini and Firrincieli, 2004), which reckons from 25 ms, the initial window grows with
 * the round trip, so a long path begins with the rate at which one of 200 ms does.
 */
static __u32 initial_packets(__u64 rtt_ns)
{
	__u64 packets = INITIAL_PACKETS * rtt_ns / INITIAL_RTT_NS;

	return htp_min(htp_max(packets, INITIAL_PACKETS), INITIAL_PACKETS_MAX);
}

static void reset_bounds(struct bbr *b)
{
	b->b.bw_lo = HTP_NEVER;
	b->b.lo = HTP_NEVER;
	b->share = HTP_NEVER;
}

static void bbr_init(void *cc, __u32 max_datagram, __u64 rtt_ns, __u64 now_ns)
{
	struct bbr *b = cc;

	memset(b, 0, sizeof(*b));
	b->mss = max_datagram;
	b->nr_initial = initial_packets(rtt_ns);
	b->now = now_ns;
	b->cwnd = initial_cwnd(b);
	b->b.hi = HTP_NEVER;
	reset_bounds(b);
	b->min_rtt = HTP_NEVER;
	b->round.rtt = HTP_NEVER;
	b->probe_rtt_ns = HTP_NEVER;
	b->probed_rtt = HTP_NEVER;
	b->low_rtt_ns = now_ns;
	b->extra_ns = now_ns;
	b->sent_ns = now_ns;
	b->train_ns = HTP_NEVER;
}

/* A round trip so much above the minimum says that packets waited in a queue */
static __u64 queued_rtt(const struct bbr *b)
{
	return b->min_rtt + htp_max(b->min_rtt / 8, 2 * HTP_MSEC);
}

/* Is there one now? One sample alone may be late because the machine was busy */
static __u64 queue_ns(const struct bbr *b)
{
	__u64 rtt = htp_min(b->rtt[0], b->rtt[1]);

	return b->min_rtt != HTP_NEVER && rtt > b->min_rtt ? rtt - b->min_rtt : 0;
}

static bool has_queue(const struct bbr *b)
{
	return queue_ns(b) > queued_rtt(b) - b->min_rtt;
}

/* What the path loses without our doing */
static __u64 base_loss(const struct bbr *b)
{
	if (b->base_sum < (__u64)BASE_PACKETS / 16 * b->mss)
		return 0;
	return htp_min(b->base_lost * 1000 / b->base_sum, LOSS_BASE_MAX);
}

/* In startup, too: a rate that doubles without a longer round trip loses nothing by itself */
static void sample_base_loss(struct bbr *b)
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
static bool is_congested(const struct bbr *b)
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

static void remember_loss(struct bbr *b)
{
	b->past_sum += b->round.acked + b->round.lost;
	b->past_lost += b->round.lost;
	while (b->past_sum > (__u64)LEAST_PACKETS * b->mss) {
		b->past_sum /= 2;
		b->past_lost /= 2;
	}
}

static void enter(struct bbr *b, enum bbr_state state)
{
	b->state = state;
	b->cycle_ns = b->now;
	b->cycle_round = b->rounds;
}

/* Two to three seconds: flows that share a path shall not probe in step */
static __u64 cruise_time(const struct bbr *b)
{
	__u64 mix = (b->now ^ b->round.end << 20) * 0x9e3779b97f4a7c15ULL;

	return CRUISE_MIN_NS + (mix >> 34);
}

static void enter_down(struct bbr *b)
{
	b->cruise_ns = cruise_time(b);
	b->probe_round = b->rounds;
	enter(b, BBR_DOWN);
}

/*
 * Where others are, the best samples are those of moments when one of them was
 * quiet. Probing starts from what this flow got beside them.
 */
static void enter_refill(struct bbr *b)
{
	b->is_shared = b->share != HTP_NEVER || b->rival_rtt;
	if (b->share != HTP_NEVER) {
		b->bw[0] = htp_min(b->bw[0], b->share);
		b->bw[1] = htp_min(b->bw[1], b->share);
	}
	reset_bounds(b);
	b->up_rounds = 0;
	enter(b, BBR_REFILL);
}

static void bound_short_term(struct bbr *b)
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
static void bound_long_term(struct bbr *b)
{
	__u64 target = bdp(b) == HTP_NEVER ? b->cwnd : bdp(b);

	b->b.hi = htp_max(percent(b->round.in_flight, LONG_TERM),
			  percent(htp_min(target, b->cwnd), BETA));
	b->b.hi = htp_max(b->b.hi, (__u64)MIN_PACKETS * b->mss);
}

static void react(struct bbr *b)
{
	b->undo = b->b;
	b->can_undo = true;
	b->round.reacted = true;
	b->past_lost = 0;
	switch (b->state) {
	case BBR_STARTUP:
		b->is_full = true;
		b->b.hi = htp_max(bdp(b) == HTP_NEVER ? 0 : bdp(b), b->last_bytes);
		b->b.hi = htp_max(b->b.hi, (__u64)MIN_PACKETS * b->mss);
		enter(b, BBR_DRAIN);
		break;
	case BBR_REFILL:
	case BBR_UP:
		bound_long_term(b);
		enter_down(b);
		break;
	default:
		if (b->feedback)
			bound_long_term(b);
		else
			bound_short_term(b);
		break;
	}
}

/*
 * Half a round trip of queue: the path is full, whatever the rate samples say. They may
 * say too little: they come later, and if the application has no more to send, never.
 */
static void check_queue(struct bbr *b)
{
	if (queue_ns(b) <= htp_max(b->min_rtt / 2, FULL_QUEUE_NS))
		return;
	b->is_full = true;
	b->is_bw_guess = true;
}

/* Did the rate stop growing? Rounds that the application limited don't tell */
static void check_full(struct bbr *b)
{
	if (b->is_full || b->round.limited)
		return;
	if (max_bw(b) >= percent(b->full_bw, FULL_GROWTH)) {
		b->full_bw = max_bw(b);
		b->full_rounds = 0;
		return;
	}
	/* a queue says the same as two more rounds would */
	b->full_rounds += has_queue(b) ? 2 : 1;
	if (b->full_rounds >= FULL_ROUNDS)
		b->is_full = true;
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
static void follow_rate(struct bbr *b)
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

/* A round after UP its samples are in: those of the cycle before the last one go */
static void end_feedback(struct bbr *b)
{
	if (!b->feedback || b->state == BBR_UP || b->rounds < b->cycle_round + 2)
		return;
	b->feedback = false;
	if (!b->bw[0])
		return;
	b->bw[1] = b->bw[0];
	b->bw[0] = 0;
}

static bool is_near(__u64 a, __u64 b)
{
	return htp_max(a, b) - htp_min(a, b) <= HTP_MSEC;
}

static bool is_far(const struct bbr *b, __u64 rtt)
{
	return rtt > b->min_rtt + b->min_rtt / 2 + FULL_QUEUE_NS;
}

/*
 * No packet of this round was anywhere near the minimum: reason to doubt it. From
 * twice the minimum on the window limits the rate, so that is urgent. Below that it
 * is a queue, as a rule, unless it stays the same although flows yield.
 */
static void doubt_min_rtt(struct bbr *b)
{
	if (!b->doubt)
		b->sure_bw = max_bw(b);
	if (!b->round.max_rtt || !is_far(b, b->round.rtt))
		b->doubt = 0;
	else if (b->round.rtt > 2 * b->min_rtt)
		b->doubt += DOUBT_MAX / 2;
	else if (b->doubt && is_near(b->round.rtt, b->doubt_rtt))
		b->doubt++;
	else
		b->doubt = 1;
	if (b->doubt == 1)
		b->doubt_rtt = b->round.rtt;
}

static void round_ends(struct bbr *b, const struct htp_cc_ack *ack)
{
	doubt_min_rtt(b);
	check_full(b);
	sample_base_loss(b);
	remember_loss(b);
	follow_rate(b);
	if (!b->round.limited && (b->state == BBR_DRAIN || b->state == BBR_UP))
		b->is_bw_guess = false;
	b->last_rate = b->round.rate;
	b->last_bytes = ack->delivered - b->round.delivered;
	memset(&b->round, 0, sizeof(b->round));
	b->round.end = ack->delivered;
	b->round.delivered = ack->delivered;
	b->round.in_flight = ack->prior_in_flight;
	b->round.rtt = HTP_NEVER;
	b->rounds++;
	b->careful = false;
	end_feedback(b);
	if (b->state == BBR_UP && b->up_rounds < UP_ROUNDS_MAX)
		b->up_rounds++;
}

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

static void sample_rate(struct bbr *b, const struct htp_cc_ack *ack, __u64 pacing)
{
	__u64 train = htp_min(train_rate(b, ack), pacing);

	b->round.limited |= ack->app_limited;
	b->round.rate = htp_max(b->round.rate, ack->rate);
	if (ack->rate && (!ack->app_limited || ack->rate >= max_bw(b)))
		b->bw[0] = htp_max(b->bw[0], ack->rate);
	if (train > max_bw(b))
		b->bw[0] = train;
}

static void set_min_rtt(struct bbr *b, __u64 rtt)
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

static void sample_rtt(struct bbr *b, __u64 rtt)
{
	b->rtt[1] = b->rtt[0];
	b->rtt[0] = rtt;
	b->round.rtt = htp_min(b->round.rtt, rtt);
	b->round.max_rtt = htp_max(b->round.max_rtt, rtt);
	b->probed_rtt = htp_min(b->probed_rtt, rtt);
	b->probed_most = htp_max(b->probed_most, rtt);
	if (rtt < b->min_rtt || b->is_rtt_old)
		set_min_rtt(b, rtt);
	else if (rtt > queued_rtt(b))
		b->queue_seen = true;
	/* near enough to know that no queue hides a shorter one */
	if (rtt <= b->min_rtt + b->min_rtt / 32)
		b->low_rtt_ns = b->now;
}

/* Acknowledgements that come in lumps leave the flight larger than the BDP in between */
static void sample_extra(struct bbr *b, const struct htp_cc_ack *ack)
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

static bool is_cruise_over(const struct bbr *b)
{
	__u64 packets = htp_min(bdp(b) / b->mss, CRUISE_ROUNDS_MAX);
	__u64 ns = b->share == HTP_NEVER ? b->cruise_ns : b->cruise_ns / 2;

	if (b->is_bw_guess && !b->round.limited)
		return true;
	return b->now - b->cycle_ns >= ns || b->rounds - b->probe_round >= packets;
}

static __u64 hi_with_headroom(const struct bbr *b)
{
	if (b->b.hi == HTP_NEVER)
		return HTP_NEVER;
	return htp_max(percent(b->b.hi, HEADROOM), (__u64)MIN_PACKETS * b->mss);
}

static bool is_hi_used(const struct bbr *b, const struct htp_cc_ack *ack)
{
	return b->b.hi != HTP_NEVER && ack->prior_in_flight + 3ULL * b->mss >= b->b.hi;
}

/* Probing fills the long-term bound without loss: it was too low. Faster each round */
static void raise_hi(struct bbr *b, const struct htp_cc_ack *ack)
{
	if (!is_hi_used(b, ack))
		return;
	b->b.hi += ((ack->acked_bytes * b->mss) << b->up_rounds) / b->b.hi;
}

/*
 * A flow that has the path for itself finds after a round trip that it gets no
 * more. One with a small share gets more as long as it asks, so it goes on.
 */
static void cycle_up(struct bbr *b, const struct htp_cc_ack *ack, bool new_round)
{
	bool is_enough = ack->prior_in_flight >= percent(bdp(b), gains[BBR_UP].pacing);

	raise_hi(b, ack);
	if (!b->is_shared && is_enough && has_queue(b)) {
		enter_down(b);
		return;
	}
	if (!new_round || b->rounds <= b->cycle_round + 1)
		return;
	if (b->last_rate >= percent(b->up_bw, UP_GROWTH) &&
	    !(has_queue(b) && b->rounds > b->cycle_round + UP_QUEUE_ROUNDS)) {
		b->up_bw = b->last_rate;
		b->up_flat = 0;
		return;
	}
	b->up_flat++;
	if (is_hi_used(b, ack) && b->up_flat < UP_FLAT_MAX)
		return;
	if (is_enough || has_queue(b))
		enter_down(b);
}

static void cycle(struct bbr *b, const struct htp_cc_ack *ack, bool new_round)
{
	switch (b->state) {
	case BBR_STARTUP:
		check_queue(b);
		if (b->is_full)
			enter(b, BBR_DRAIN);
		break;
	case BBR_DRAIN:
		if (ack->in_flight <= bdp(b))
			enter_down(b);
		break;
	case BBR_DOWN:
		if (ack->in_flight <= htp_min(bdp(b), hi_with_headroom(b)) ||
		    b->rounds - b->cycle_round > DOWN_ROUNDS_MAX)
			enter(b, BBR_CRUISE);
		break;
	case BBR_CRUISE:
		if (is_cruise_over(b))
			enter_refill(b);
		break;
	case BBR_REFILL:
		if (b->rounds <= b->cycle_round)
			break;
		b->feedback = true;
		b->up_bw = bandwidth(b);
		b->up_flat = 0;
		enter(b, BBR_UP);
		break;
	case BBR_UP:
		cycle_up(b, ack, new_round);
		break;
	case BBR_PROBE_RTT:
		break;
	}
}

/*
 * Half of what the path delivers in its minimum round trip makes no queue, so if
 * the round trip stays far above, either others have made one, or the path has
 * become longer. Queues that others make grow and shrink.
 */
static bool is_longer(const struct bbr *b)
{
	return is_far(b, b->probed_rtt) && b->probed_most - b->probed_rtt <= STEADY_NS;
}

static void set_probed_rtt(struct bbr *b)
{
	__u64 before = b->last_probed_rtt ? b->last_probed_rtt : b->min_rtt;

	/* a queue that others have kept full: it takes a second probe to believe that */
	set_min_rtt(b, htp_min(b->probed_rtt, before));
	b->last_probed_rtt = b->probed_rtt;
}

/*
 * All rates since were those of a flight bounded for another path. The one before them
 * is as good a guess as any, and reached no faster than in slow start.
 */
static void accept_longer_path(struct bbr *b)
{
	set_min_rtt(b, b->probed_rtt);
	b->last_probed_rtt = b->probed_rtt;
	b->bw[0] = htp_max(b->bw[0], b->sure_bw);
	b->b.hi = HTP_NEVER;
}

/*
 * Others had a queue although next to nothing of ours was in it. Flows of this kind drain it
 * together, so there is one that fills queues on purpose, as CUBIC does. Yielding would
 * only make room for it: while it is there the flight is as large as the rate needs in the
 * round trip that the rival makes, as it was with the first version of BBR. After a minute
 * of that the path has become longer, just not steadily so.
 */
static bool check_rival(struct bbr *b)
{
	if (b->probed_rtt == HTP_NEVER)
		return b->rival_rtt;
	if (b->probed_rtt <= b->min_rtt + b->min_rtt / 16 + RIVAL_QUEUE_NS ||
	    (is_longer(b) && !b->rival_rtt) || b->nr_rival >= RIVAL_PROBES_MAX) {
		b->nr_rival = 0;
		b->rival_rtt = 0;
		return false;
	}
	b->nr_rival++;
	b->rival_rtt = b->probed_rtt;
	return true;
}

static void leave_probe_rtt(struct bbr *b)
{
	b->low_rtt_ns = b->now;
	b->probed_ns = b->now;
	b->doubt = 0;
	b->cwnd = htp_max(b->cwnd, b->prior_cwnd);
	reset_bounds(b);
	if (!check_rival(b) && b->probed_rtt != HTP_NEVER) {
		if (is_longer(b))
			accept_longer_path(b);
		else
			set_probed_rtt(b);
	}
	if (!b->is_full) {
		enter(b, BBR_STARTUP);
		return;
	}
	enter_down(b);
	enter(b, BBR_CRUISE);
}

/* Sooner if all that was seen may have been a full queue */
static __u64 probe_rtt_gap(const struct bbr *b)
{
	return b->queue_seen ? PROBE_RTT_EACH_NS : PROBE_RTT_FIRST_NS;
}

/*
 * A minimum that is too low bounds the flight to less than the path takes, which
 * looks like a path that has become slower, again and again: don't wait until it
 * is due.
 */
static bool is_min_rtt_doubtful(const struct bbr *b)
{
	return b->is_full && b->doubt >= DOUBT_MAX &&
	       b->now - b->probed_ns > PROBE_RTT_EACH_NS;
}

/*
 * With half of what the path delivers in the minimum round trip. In doubt, not more than
 * it did in the last round: it may have become slower instead.
 */
static void enter_probe_rtt(struct bbr *b)
{
	__u64 rate = b->doubt ? htp_min(bandwidth(b), b->last_rate) : bandwidth(b);
	__u64 flight = percent(bytes_in(rate, b->min_rtt), gains[BBR_PROBE_RTT].cwnd);

	b->prior_cwnd = b->cwnd;
	b->probe_rtt_ns = HTP_NEVER;
	b->probe_flight = htp_max(flight, (__u64)MIN_PACKETS * b->mss);
	enter(b, BBR_PROBE_RTT);
}

static void probe_rtt(struct bbr *b, const struct htp_cc_ack *ack)
{
	if (b->state != BBR_PROBE_RTT) {
		if (bdp(b) == HTP_NEVER)
			return;
		if (b->now - b->low_rtt_ns > probe_rtt_gap(b) || is_min_rtt_doubtful(b))
			enter_probe_rtt(b);
		return;
	}
	if (b->probe_rtt_ns == HTP_NEVER) {
		if (ack->in_flight > b->probe_flight)
			return;
		b->probe_rtt_ns = b->now + PROBE_RTT_NS;
		b->cycle_round = b->rounds;
		b->probed_rtt = HTP_NEVER;
		b->probed_most = 0;
		return;
	}
	if (b->now >= b->probe_rtt_ns && b->rounds > b->cycle_round)
		leave_probe_rtt(b);
}

/* Room for the lumps in which packets leave and acknowledgements come */
static __u64 allowance(const struct bbr *b)
{
	return htp_max(b->extra[0], b->extra[1]) + 3ULL * b->mss +
	       bytes_in(bandwidth(b), 2 * HTP_MSEC);
}

static __u64 cwnd_bound(const struct bbr *b)
{
	__u64 bound = HTP_NEVER;

	if (b->state == BBR_PROBE_RTT)
		bound = b->probe_flight;
	else if (b->state == BBR_CRUISE)
		bound = hi_with_headroom(b);
	else if (b->is_full)
		bound = b->b.hi;
	if (b->state != BBR_REFILL && b->state != BBR_UP)
		bound = htp_min(bound, b->b.lo);
	return htp_max(bound, (__u64)MIN_PACKETS * b->mss);
}

/*
 * More than what probing asks for isn't needed in flight before the acknowledgments
 * tell whether that got through or waits in a queue. Beside others it waits anyway,
 * but before the first probe the queue that was met may have been that of startup.
 */
static __u32 cwnd_gain(const struct bbr *b)
{
	if (b->state == BBR_UP && (!b->is_shared || !b->bw[1]))
		return gains[BBR_UP].pacing;
	return gains[b->state].cwnd;
}

/*
 * Slow start on long paths, as long as it makes no queue: rate samples of a flight that is
 * shorter than a round trip are too low, and going by them alone startup would not double.
 * Where round trips are short that costs little, and is kinder to those who share the path.
 */
static bool is_slow_start(const struct bbr *b, const struct htp_cc_ack *ack)
{
	if (b->is_full || b->min_rtt < INITIAL_RTT_NS || 2 * ack->prior_in_flight < b->cwnd)
		return false;
	return b->rtt[0] <= b->min_rtt + b->min_rtt / 32;
}

static void update_cwnd(struct bbr *b, const struct htp_cc_ack *ack)
{
	__u64 target = bdp(b) == HTP_NEVER ? initial_cwnd(b) :
		       percent(bdp(b), cwnd_gain(b)) + allowance(b);

	if (b->is_full)
		b->cwnd = htp_min(b->cwnd + ack->acked_bytes, target);
	else if (b->cwnd < target || is_slow_start(b, ack))
		b->cwnd += ack->acked_bytes;
	b->cwnd = htp_max(htp_min(b->cwnd, cwnd_bound(b)), (__u64)MIN_PACKETS * b->mss);
}

static __u64 pacing_gain(const struct bbr *b)
{
	return b->careful ? htp_min(gains[b->state].pacing, 100) : gains[b->state].pacing;
}

static __u64 bbr_pacing_rate(const void *cc, __u64 srtt_ns)
{
	const struct bbr *b = cc;
	__u64 first = bytes_in(initial_cwnd(b), HTP_SEC) * HTP_SEC / htp_max(srtt_ns, 1);
	__u64 rate = percent(bandwidth(b), pacing_gain(b));

	/* the first samples are those of requests that fit in a packet: they tell nothing */
	if (!b->is_full)
		rate = htp_max(rate, percent(first, STARTUP_GAIN));
	return htp_max(percent(rate, PACING_PERCENT), b->mss);
}

/*
 * The first packet after a pause. What was learned counts on, but after a long
 * one no more than a flight of it leaves before the path has confirmed it.
 */
static void restart(struct bbr *b)
{
	__u64 idle_ns = b->now - b->sent_ns;

	b->train_end = b->round.end;
	b->train_ns = HTP_NEVER;
	b->extra_ns = b->now;
	b->extra_acked = 0;
	b->careful = idle_ns > IDLE_LONG_NS && b->is_full;
	if (b->careful && bdp(b) != HTP_NEVER)
		b->cwnd = htp_min(b->cwnd, htp_max(bdp(b) + allowance(b), initial_cwnd(b)));
	b->is_rtt_old = idle_ns > IDLE_LONG_NS;
	if (b->is_rtt_old)
		b->rival_rtt = 0;
	/* nothing of a queue is left: as good as PROBE_RTT */
	if (idle_ns > PROBE_RTT_NS)
		b->low_rtt_ns = b->now;
	if (idle_ns > b->min_rtt)
		reset_bounds(b);
	if (b->state > BBR_DRAIN && b->state != BBR_PROBE_RTT && idle_ns)
		enter(b, BBR_CRUISE);
}

static void bbr_on_sent(void *cc, const struct htp_cc_sent *sent)
{
	struct bbr *b = cc;

	b->now = sent->now_ns;
	if (!sent->in_flight)
		restart(b);
	b->sent_ns = b->now;
}

static void bbr_on_ack(void *cc, const struct htp_cc_ack *ack)
{
	__u64 pacing = bbr_pacing_rate(cc, ack->srtt_ns);
	struct bbr *b = cc;
	bool new_round;

	b->now = ack->now_ns;
	b->round.acked += ack->acked_bytes;
	if (ack->rtt_ns)
		sample_rtt(b, ack->rtt_ns);
	sample_rate(b, ack, pacing);
	sample_extra(b, ack);
	if (!b->round.reacted && is_congested(b))
		react(b);
	new_round = ack->prior_delivered >= b->round.end;
	if (new_round)
		round_ends(b, ack);
	cycle(b, ack, new_round);
	probe_rtt(b, ack);
	update_cwnd(b, ack);
}

static void bbr_on_loss(void *cc, const struct htp_cc_loss *loss)
{
	struct bbr *b = cc;

	b->now = loss->now_ns;
	b->round.lost += loss->bytes;
}

/* It means what a drop with a queue does, and has the same bounds; before any sample nothing */
static void bbr_on_ce(void *cc, __u64 now_ns)
{
	struct bbr *b = cc;

	b->now = now_ns;
	b->round.ce = bdp(b) != HTP_NEVER;
}

/* Whatever was measured, the path is another one now */
static void bbr_on_persistent(void *cc, __u64 now_ns)
{
	struct bbr *b = cc;

	bbr_init(b, b->mss, 0, now_ns);
	b->cwnd = (__u64)MIN_PACKETS * b->mss;
}

static void bbr_on_spurious(void *cc, __u64 now_ns)
{
	struct bbr *b = cc;

	b->now = now_ns;
	b->round.lost = 0;
	if (!b->can_undo)
		return;
	b->can_undo = false;
	b->b.hi = htp_max(b->b.hi, b->undo.hi);
	b->b.lo = htp_max(b->b.lo, b->undo.lo);
	b->b.bw_lo = htp_max(b->b.bw_lo, b->undo.bw_lo);
}

static void bbr_set_datagram(void *cc, __u32 max_datagram)
{
	struct bbr *b = cc;

	b->mss = max_datagram;
	b->cwnd = htp_max(b->cwnd, (__u64)MIN_PACKETS * b->mss);
}

static __u64 bbr_cwnd(const void *cc)
{
	return ((const struct bbr *)cc)->cwnd;
}

const struct htp_cc_ops htp_cc_bbr = {
	.name		= "bbr",
	.size		= sizeof(struct bbr),
	.init		= bbr_init,
	.on_sent	= bbr_on_sent,
	.on_ack		= bbr_on_ack,
	.on_loss	= bbr_on_loss,
	.on_persistent	= bbr_on_persistent,
	.on_ce		= bbr_on_ce,
	.on_spurious	= bbr_on_spurious,
	.set_datagram	= bbr_set_datagram,
	.cwnd		= bbr_cwnd,
	.pacing_rate	= bbr_pacing_rate,
};
