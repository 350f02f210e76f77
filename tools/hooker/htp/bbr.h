/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of BBR, see cc_bbr.c. Each calls those below it only:
 *
 *	cc_bbr.c		acknowledgements in, window and pacing rate out
 *	bbr_probe_rtt.c		what the round trip is without a queue of ours
 *	bbr_cycle.c		startup, and the cycle of probing
 *	bbr_bounds.c		what congestion, and others, leave of the rate
 *	bbr_model.c		what acknowledgements tell of the path
 */
#ifndef HTP_BBR_H
#define HTP_BBR_H

#include "cc.h"
#include "htp.h"
#include "units.h"

#define BBR_MIN_PACKETS		4
#define BBR_PROBE_RTT_NS	(200 * HTP_MSEC)
#define BBR_FULL_QUEUE_NS	(10 * HTP_MSEC)
#define BBR_DOUBT_MAX		6	/* rounds without a packet near the minimum */

enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_DOWN,
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
	BBR_PROBE_RTT,
};

struct bbr_gains {
	__u16 pacing, cwnd;
};

/* Percent of the rate and of the BDP, by state */
extern const struct bbr_gains htp_bbr_gains[];

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

static inline __u64 percent(__u64 value, __u32 gain)
{
	return value / 100 * gain + value % 100 * gain / 100;
}

static inline __u64 bytes_in(__u64 rate, __u64 ns)
{
	return (double)rate * ns / HTP_SEC;
}

static inline __u64 max_bw(const struct bbr *b)
{
	return htp_max(b->bw[0], b->bw[1]);
}

static inline __u64 bandwidth(const struct bbr *b)
{
	return htp_min(max_bw(b), b->b.bw_lo);
}

/* Bytes in flight that keep the path busy, or our share of it; HTP_NEVER: not measured yet */
static inline __u64 bdp(const struct bbr *b)
{
	if (b->min_rtt == HTP_NEVER || !max_bw(b))
		return HTP_NEVER;
	return bytes_in(bandwidth(b), htp_max(b->min_rtt, b->rival_rtt));
}

/* A round trip so much above the minimum says that packets waited in a queue */
static inline __u64 queued_rtt(const struct bbr *b)
{
	return b->min_rtt + htp_max(b->min_rtt / 8, 2 * HTP_MSEC);
}

/* Is there one now? One sample alone may be late because the machine was busy */
static inline __u64 queue_ns(const struct bbr *b)
{
	__u64 rtt = htp_min(b->rtt[0], b->rtt[1]);

	return b->min_rtt != HTP_NEVER && rtt > b->min_rtt ? rtt - b->min_rtt : 0;
}

static inline bool has_queue(const struct bbr *b)
{
	return queue_ns(b) > queued_rtt(b) - b->min_rtt;
}

static inline bool is_far(const struct bbr *b, __u64 rtt)
{
	return rtt > b->min_rtt + b->min_rtt / 2 + BBR_FULL_QUEUE_NS;
}

/* bbr_model.c */
void	htp_bbr_sample_rate(struct bbr *b, const struct htp_cc_ack *ack, __u64 pacing);
void	htp_bbr_set_min_rtt(struct bbr *b, __u64 rtt);
void	htp_bbr_sample_rtt(struct bbr *b, __u64 rtt);
void	htp_bbr_sample_extra(struct bbr *b, const struct htp_cc_ack *ack);
void	htp_bbr_doubt_min_rtt(struct bbr *b);

/* bbr_bounds.c */
void	htp_bbr_sample_base_loss(struct bbr *b);
bool	htp_bbr_is_congested(const struct bbr *b);
void	htp_bbr_remember_loss(struct bbr *b);
void	htp_bbr_reset_bounds(struct bbr *b);
void	htp_bbr_bound_short_term(struct bbr *b);
void	htp_bbr_bound_long_term(struct bbr *b);
__u64	htp_bbr_hi_with_headroom(const struct bbr *b);
bool	htp_bbr_is_hi_used(const struct bbr *b, const struct htp_cc_ack *ack);
void	htp_bbr_raise_hi(struct bbr *b, const struct htp_cc_ack *ack);
void	htp_bbr_follow_rate(struct bbr *b);

/* bbr_cycle.c */
void	htp_bbr_enter(struct bbr *b, enum bbr_state state);
void	htp_bbr_enter_down(struct bbr *b);
void	htp_bbr_react(struct bbr *b);
void	htp_bbr_check_full(struct bbr *b);
void	htp_bbr_end_feedback(struct bbr *b);
void	htp_bbr_cycle(struct bbr *b, const struct htp_cc_ack *ack, bool new_round);

/* bbr_probe_rtt.c */
void	htp_bbr_probe_rtt(struct bbr *b, const struct htp_cc_ack *ack);

#endif
