// SPDX-License-Identifier: GPL-2.0
/*
 * BBR: PROBE_RTT, in which the flight is small enough for the round trip to be that of the path,
 * and what it means if it is not.
 */
#include "bbr.h"

#define PROBE_RTT_EACH_NS	(5 * HTP_SEC)
#define PROBE_RTT_FIRST_NS	(2 * HTP_SEC)
#define RIVAL_QUEUE_NS		(20 * HTP_MSEC)	/* of others, while none of ours is in it */
#define RIVAL_PROBES_MAX	12
#define STEADY_NS		(10 * HTP_MSEC)	/* spread of round trips without a queue, at most */

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
	htp_bbr_set_min_rtt(b, htp_min(b->probed_rtt, before));
	b->last_probed_rtt = b->probed_rtt;
}

/*
 * All rates since were those of a flight bounded for another path. The one before them
 * is as good a guess as any, and reached no faster than in slow start.
 */
static void accept_longer_path(struct bbr *b)
{
	htp_bbr_set_min_rtt(b, b->probed_rtt);
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
	htp_bbr_reset_bounds(b);
	if (!check_rival(b) && b->probed_rtt != HTP_NEVER) {
		if (is_longer(b))
			accept_longer_path(b);
		else
			set_probed_rtt(b);
	}
	if (!b->is_full) {
		htp_bbr_enter(b, BBR_STARTUP);
		return;
	}
	htp_bbr_enter_down(b);
	htp_bbr_enter(b, BBR_CRUISE);
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
	return b->is_full && b->doubt >= BBR_DOUBT_MAX &&
	       b->now - b->probed_ns > PROBE_RTT_EACH_NS;
}

/*
 * With half of what the path delivers in the minimum round trip. In doubt, not more than
 * it did in the last round: it may have become slower instead.
 */
static void enter_probe_rtt(struct bbr *b)
{
	__u64 rate = b->doubt ? htp_min(bandwidth(b), b->last_rate) : bandwidth(b);
	__u64 flight = percent(bytes_in(rate, b->min_rtt), htp_bbr_gains[BBR_PROBE_RTT].cwnd);

	b->prior_cwnd = b->cwnd;
	b->probe_rtt_ns = HTP_NEVER;
	b->probe_flight = htp_max(flight, (__u64)BBR_MIN_PACKETS * b->mss);
	htp_bbr_enter(b, BBR_PROBE_RTT);
}

void htp_bbr_probe_rtt(struct bbr *b, const struct htp_cc_ack *ack)
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
		b->probe_rtt_ns = b->now + BBR_PROBE_RTT_NS;
		b->cycle_round = b->rounds;
		b->probed_rtt = HTP_NEVER;
		b->probed_most = 0;
		return;
	}
	if (b->now >= b->probe_rtt_ns && b->rounds > b->cycle_round)
		leave_probe_rtt(b);
}
