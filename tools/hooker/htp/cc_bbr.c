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
#include <string.h>

#include "bbr.h"

/* Paced, so it meets the path as no burst of RFC 6928 would */
#define INITIAL_PACKETS		32
#define INITIAL_PACKETS_MAX	128	/* where the round trip is longer than... */
#define INITIAL_RTT_NS		(200 * HTP_MSEC)
#define PACING_PERCENT		99	/* a little below the estimate: queues don't build up */
#define STARTUP_GAIN		277
#define UP_ROUNDS_MAX		20
#define IDLE_LONG_NS		(10 * HTP_SEC)	/* the path may have changed meanwhile */

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

static void bbr_init(void *cc, __u32 max_datagram, __u64 rtt_ns, __u64 now_ns)
{
	struct bbr *b = cc;

	memset(b, 0, sizeof(*b));
	b->mss = max_datagram;
	b->nr_initial = initial_packets(rtt_ns);
	b->now = now_ns;
	b->cwnd = initial_cwnd(b);
	b->b.hi = HTP_NEVER;
	htp_bbr_reset_bounds(b);
	b->min_rtt = HTP_NEVER;
	b->round.rtt = HTP_NEVER;
	b->probe_rtt_ns = HTP_NEVER;
	b->probed_rtt = HTP_NEVER;
	b->low_rtt_ns = now_ns;
	b->extra_ns = now_ns;
	b->sent_ns = now_ns;
	b->train_ns = HTP_NEVER;
}

static void round_ends(struct bbr *b, const struct htp_cc_ack *ack)
{
	htp_bbr_doubt_min_rtt(b);
	htp_bbr_check_full(b);
	htp_bbr_sample_base_loss(b);
	htp_bbr_remember_loss(b);
	htp_bbr_follow_rate(b);
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
	htp_bbr_end_feedback(b);
	if (b->state == BBR_UP && b->up_rounds < UP_ROUNDS_MAX)
		b->up_rounds++;
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
		bound = htp_bbr_hi_with_headroom(b);
	else if (b->is_full)
		bound = b->b.hi;
	if (b->state != BBR_REFILL && b->state != BBR_UP)
		bound = htp_min(bound, b->b.lo);
	return htp_max(bound, (__u64)BBR_MIN_PACKETS * b->mss);
}

/*
 * More than what probing asks for isn't needed in flight before the acknowledgments
 * tell whether that got through or waits in a queue. Beside others it waits anyway,
 * but before the first probe the queue that was met may have been that of startup.
 */
static __u32 cwnd_gain(const struct bbr *b)
{
	if (b->state == BBR_UP && (!b->is_shared || !b->bw[1]))
		return htp_bbr_gains[BBR_UP].pacing;
	return htp_bbr_gains[b->state].cwnd;
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
	b->cwnd = htp_max(htp_min(b->cwnd, cwnd_bound(b)), (__u64)BBR_MIN_PACKETS * b->mss);
}

static __u64 pacing_gain(const struct bbr *b)
{
	__u64 gain = htp_bbr_gains[b->state].pacing;

	return b->careful ? htp_min(gain, 100) : gain;
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
	if (idle_ns > BBR_PROBE_RTT_NS)
		b->low_rtt_ns = b->now;
	if (idle_ns > b->min_rtt)
		htp_bbr_reset_bounds(b);
	if (b->state > BBR_DRAIN && b->state != BBR_PROBE_RTT && idle_ns)
		htp_bbr_enter(b, BBR_CRUISE);
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
		htp_bbr_sample_rtt(b, ack->rtt_ns);
	htp_bbr_sample_rate(b, ack, pacing);
	htp_bbr_sample_extra(b, ack);
	if (!b->round.reacted && htp_bbr_is_congested(b))
		htp_bbr_react(b);
	new_round = ack->prior_delivered >= b->round.end;
	if (new_round)
		round_ends(b, ack);
	htp_bbr_cycle(b, ack, new_round);
	htp_bbr_probe_rtt(b, ack);
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
	b->cwnd = (__u64)BBR_MIN_PACKETS * b->mss;
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
	b->cwnd = htp_max(b->cwnd, (__u64)BBR_MIN_PACKETS * b->mss);
}

static __u64 bbr_cwnd(const void *cc)
{
	return ((const struct bbr *)cc)->cwnd;
}

const struct bbr_gains htp_bbr_gains[] = {
	[BBR_STARTUP]	= { STARTUP_GAIN, 200 },
	[BBR_DRAIN]	= { 50, 200 },
	[BBR_DOWN]	= { 90, 200 },
	[BBR_CRUISE]	= { 100, 200 },
	[BBR_REFILL]	= { 100, 200 },
	[BBR_UP]	= { 125, 225 },
	[BBR_PROBE_RTT]	= { 100, 50 },
};

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
