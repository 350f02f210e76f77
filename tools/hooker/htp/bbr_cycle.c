// SPDX-License-Identifier: GPL-2.0
/*
 * BBR: from startup into the cycle of probing, and round and round in it.
 */
#include "bbr.h"

#define FULL_GROWTH		125	/* startup goes on as long as the rate grows so much... */
#define FULL_ROUNDS		3	/* ...within so many rounds */
#define CRUISE_MIN_NS		(2 * HTP_SEC)
#define CRUISE_ROUNDS_MAX	63
/* It comes at the expense of others, when there is a queue */
#define UP_QUEUE_ROUNDS		3
#define UP_FLAT_MAX		4
#define DOWN_ROUNDS_MAX		4	/* a queue that is there even then is made by others */
/* Probing goes on as long as the rate grows so much in a round */
#define UP_GROWTH		108

void htp_bbr_enter(struct bbr *b, enum bbr_state state)
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

void htp_bbr_enter_down(struct bbr *b)
{
	b->cruise_ns = cruise_time(b);
	b->probe_round = b->rounds;
	htp_bbr_enter(b, BBR_DOWN);
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
	htp_bbr_reset_bounds(b);
	b->up_rounds = 0;
	htp_bbr_enter(b, BBR_REFILL);
}

void htp_bbr_react(struct bbr *b)
{
	b->undo = b->b;
	b->can_undo = true;
	b->round.reacted = true;
	b->past_lost = 0;
	switch (b->state) {
	case BBR_STARTUP:
		b->is_full = true;
		b->b.hi = htp_max(bdp(b) == HTP_NEVER ? 0 : bdp(b), b->last_bytes);
		b->b.hi = htp_max(b->b.hi, (__u64)BBR_MIN_PACKETS * b->mss);
		htp_bbr_enter(b, BBR_DRAIN);
		break;
	case BBR_REFILL:
	case BBR_UP:
		htp_bbr_bound_long_term(b);
		htp_bbr_enter_down(b);
		break;
	default:
		if (b->feedback)
			htp_bbr_bound_long_term(b);
		else
			htp_bbr_bound_short_term(b);
		break;
	}
}

/*
 * Half a round trip of queue: the path is full, whatever the rate samples say. They may
 * say too little: they come later, and if the application has no more to send, never.
 */
static void check_queue(struct bbr *b)
{
	if (queue_ns(b) <= htp_max(b->min_rtt / 2, BBR_FULL_QUEUE_NS))
		return;
	b->is_full = true;
	b->is_bw_guess = true;
}

/* Did the rate stop growing? Rounds that the application limited don't tell */
void htp_bbr_check_full(struct bbr *b)
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

/* A round after UP its samples are in: those of the cycle before the last one go */
void htp_bbr_end_feedback(struct bbr *b)
{
	if (!b->feedback || b->state == BBR_UP || b->rounds < b->cycle_round + 2)
		return;
	b->feedback = false;
	if (!b->bw[0])
		return;
	b->bw[1] = b->bw[0];
	b->bw[0] = 0;
}

static bool is_cruise_over(const struct bbr *b)
{
	__u64 packets = htp_min(bdp(b) / b->mss, CRUISE_ROUNDS_MAX);
	__u64 ns = b->share == HTP_NEVER ? b->cruise_ns : b->cruise_ns / 2;

	if (b->is_bw_guess && !b->round.limited)
		return true;
	return b->now - b->cycle_ns >= ns || b->rounds - b->probe_round >= packets;
}

/*
 * A flow that has the path for itself finds after a round trip that it gets no
 * more. One with a small share gets more as long as it asks, so it goes on.
 */
static void cycle_up(struct bbr *b, const struct htp_cc_ack *ack, bool new_round)
{
	bool is_enough = ack->prior_in_flight >= percent(bdp(b), htp_bbr_gains[BBR_UP].pacing);

	htp_bbr_raise_hi(b, ack);
	if (!b->is_shared && is_enough && has_queue(b)) {
		htp_bbr_enter_down(b);
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
	if (htp_bbr_is_hi_used(b, ack) && b->up_flat < UP_FLAT_MAX)
		return;
	if (is_enough || has_queue(b))
		htp_bbr_enter_down(b);
}

void htp_bbr_cycle(struct bbr *b, const struct htp_cc_ack *ack, bool new_round)
{
	switch (b->state) {
	case BBR_STARTUP:
		check_queue(b);
		if (b->is_full)
			htp_bbr_enter(b, BBR_DRAIN);
		break;
	case BBR_DRAIN:
		if (ack->in_flight <= bdp(b))
			htp_bbr_enter_down(b);
		break;
	case BBR_DOWN:
		if (ack->in_flight <= htp_min(bdp(b), htp_bbr_hi_with_headroom(b)) ||
		    b->rounds - b->cycle_round > DOWN_ROUNDS_MAX)
			htp_bbr_enter(b, BBR_CRUISE);
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
		htp_bbr_enter(b, BBR_UP);
		break;
	case BBR_UP:
		cycle_up(b, ack, new_round);
		break;
	case BBR_PROBE_RTT:
		break;
	}
}
