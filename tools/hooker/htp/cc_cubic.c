// SPDX-License-Identifier: GPL-2.0
/*
 * CUBIC (RFC 9438), with HyStart++ (RFC 9406) to leave slow start before the
 * queue overflows.
 *
 * The window doesn't grow while the application uses less than it; the time so
 * spent doesn't count for the cubic function either.
 *
 * Integers only. Windows are bytes, times of the cubic function milliseconds:
 * C = 0.4 segments/s^3 = 4 segments / (10^10 ms^3).
 */
#include <string.h>

#include "cc.h"
#include "htp.h"
#include "units.h"

#define CWND_MAX		(1ULL << 30)
#define CUBIC_MS_MAX		200000ULL	/* beyond it the target is clamped anyway */

#define HYSTART_MIN_SAMPLES	8
#define HYSTART_MIN_ETA_NS	(4 * HTP_MSEC)
#define HYSTART_MAX_ETA_NS	(16 * HTP_MSEC)
#define HYSTART_CSS_DIVISOR	4
#define HYSTART_CSS_ROUNDS	5

/**
 * struct cubic_window - what a congestion event changes, and undoing it restores
 * @cwnd:     congestion window
 * @ssthresh: slow start ends there
 * @w_max:    window before the last reduction
 * @w_prior:  the same without fast convergence: where growth as Reno's resumes
 */
struct cubic_window {
	__u64	cwnd, ssthresh, w_max, w_prior;
};

/**
 * struct cubic_epoch - growth since the last reduction
 * @start_ns: HTP_NEVER: no ACK yet
 * @origin:   window where the curve is flat
 * @k_ms:     time until the curve gets there
 * @w_est:    window that Reno would have
 * @rest:     fraction of a byte not yet added to cwnd, times cwnd
 * @rest_est: likewise for @w_est
 */
struct cubic_epoch {
	__u64	start_ns;
	__u64	origin, k_ms, w_est;
	__u64	rest, rest_est;
};

/**
 * struct cubic_hystart - rounds of slow start
 * @end_pn:   the round ends when this packet is acknowledged
 * @last_min: least round trip of the round before; HTP_NEVER: none
 * @min:      of this round
 * @samples:  in this round
 * @base_min: @min when conservative slow start began
 * @css:      rounds left of conservative slow start, 0: not in it
 */
struct cubic_hystart {
	__u64	end_pn;
	__u64	last_min, min, base_min;
	__u32	samples, css;
};

struct cubic {
	struct cubic_window	w, undo;
	struct cubic_epoch	epoch;
	struct cubic_hystart	hs;
	__u32			mss;
	bool			can_undo;
};

static void hystart_init(struct cubic_hystart *hs)
{
	memset(hs, 0, sizeof(*hs));
	hs->last_min = HTP_NEVER;
	hs->min = HTP_NEVER;
	hs->base_min = HTP_NEVER;
}

static void cubic_init(void *cc, __u32 max_datagram, __u64 rtt_ns, __u64 now_ns)
{
	struct cubic *c = cc;

	(void)rtt_ns;
	(void)now_ns;
	memset(c, 0, sizeof(*c));
	c->mss = max_datagram;
	c->w.cwnd = htp_min(10ULL * c->mss, htp_max(2ULL * c->mss, 14720));
	c->w.ssthresh = HTP_NEVER;
	c->epoch.start_ns = HTP_NEVER;
	hystart_init(&c->hs);
}

static bool in_slow_start(const struct cubic *c)
{
	return c->w.cwnd < c->w.ssthresh;
}

/* Largest r with r^3 <= x */
static __u64 cube_root(__u64 x)
{
	__u64 root = 0;
	int shift;

	for (shift = 63; shift >= 0; shift -= 3) {
		__u64 bit = 3 * (2 * root) * (2 * root + 1) + 1;

		root *= 2;
		if (x >> shift >= bit) {
			x -= bit << shift;
			root++;
		}
	}
	return root;
}

static void hystart_round(struct cubic *c, const struct htp_cc_ack *ack)
{
	struct cubic_hystart *hs = &c->hs;

	if (ack->largest_pn < hs->end_pn)
		return;
	hs->end_pn = ack->next_pn;
	hs->last_min = hs->min;
	hs->min = HTP_NEVER;
	hs->samples = 0;
	if (hs->css && !--hs->css)
		c->w.ssthresh = c->w.cwnd;
}

/* The round trip grows from one round to the next: a queue builds up */
static void hystart_sample(struct cubic *c, __u64 rtt_ns)
{
	struct cubic_hystart *hs = &c->hs;
	__u64 eta;

	hs->min = htp_min(hs->min, rtt_ns);
	if (++hs->samples < HYSTART_MIN_SAMPLES || hs->last_min == HTP_NEVER)
		return;
	if (hs->css) {
		if (hs->min < hs->base_min)
			hs->css = 0;	/* no queue after all */
		return;
	}
	eta = htp_min(htp_max(hs->last_min / 8, HYSTART_MIN_ETA_NS), HYSTART_MAX_ETA_NS);
	if (hs->min >= hs->last_min + eta) {
		hs->base_min = hs->min;
		hs->css = HYSTART_CSS_ROUNDS;
	}
}

static void slow_start(struct cubic *c, const struct htp_cc_ack *ack)
{
	__u64 grow = ack->acked_bytes;

	if (c->hs.css)
		grow /= HYSTART_CSS_DIVISOR;
	c->w.cwnd = htp_min(c->w.cwnd + grow, htp_max(c->w.ssthresh, c->w.cwnd));
}

static void epoch_begin(struct cubic *c, __u64 now_ns)
{
	struct cubic_epoch *e = &c->epoch;
	__u64 below = c->w.w_max > c->w.cwnd ? c->w.w_max - c->w.cwnd : 0;

	memset(e, 0, sizeof(*e));
	e->start_ns = now_ns;
	e->w_est = c->w.cwnd;
	e->origin = c->w.cwnd + below;
	e->k_ms = cube_root(below * 5 / 2 * 1000000000 / c->mss);
}

/* W_cubic(t) of RFC 9438, section 4.2 */
static __u64 cubic_window_at(const struct cubic *c, __u64 t_ms)
{
	const struct cubic_epoch *e = &c->epoch;
	__u64 d = t_ms > e->k_ms ? t_ms - e->k_ms : e->k_ms - t_ms;
	__u64 delta;

	d = htp_min(d, CUBIC_MS_MAX);
	delta = d * d * d / 10000 * c->mss / 250000;	/* 4 / 10^10, without overflow */
	if (t_ms > e->k_ms)
		return e->origin + delta;
	return e->origin > delta ? e->origin - delta : 0;
}

/* Section 4.3: at least what Reno would do, with the same average window */
static void grow_reno(struct cubic *c, __u64 acked)
{
	struct cubic_epoch *e = &c->epoch;
	__u64 num = e->w_est < c->w.w_prior ? 9 : 17;	/* alpha = 9/17, later 1 */

	e->rest_est += acked * c->mss * num / 17;
	e->w_est += e->rest_est / c->w.cwnd;
	e->rest_est %= c->w.cwnd;
}

static void congestion_avoidance(struct cubic *c, const struct htp_cc_ack *ack)
{
	struct cubic_epoch *e = &c->epoch;
	__u64 t_ms, target;

	if (e->start_ns == HTP_NEVER)
		epoch_begin(c, ack->now_ns);
	t_ms = (ack->now_ns - e->start_ns + ack->srtt_ns) / HTP_MSEC;
	target = htp_min(cubic_window_at(c, t_ms), c->w.cwnd * 3 / 2);
	if (target > c->w.cwnd) {
		e->rest += (target - c->w.cwnd) * ack->acked_bytes;
		target = c->w.cwnd + e->rest / c->w.cwnd;
		e->rest %= c->w.cwnd;
		c->w.cwnd = target;
	}
	grow_reno(c, ack->acked_bytes);
	c->w.cwnd = htp_max(c->w.cwnd, e->w_est);
}

/* Pacing leaves a few packets of the window unused now and then */
static bool is_cwnd_used(const struct cubic *c, const struct htp_cc_ack *ack)
{
	if (in_slow_start(c))
		return 2 * ack->max_in_flight >= c->w.cwnd;
	return ack->max_in_flight + 3ULL * c->mss >= c->w.cwnd;
}

static void cubic_on_ack(void *cc, const struct htp_cc_ack *ack)
{
	struct cubic *c = cc;

	if (in_slow_start(c)) {
		hystart_round(c, ack);
		if (ack->rtt_ns)
			hystart_sample(c, ack->rtt_ns);
	}
	if (ack->in_recovery)
		return;
	if (!is_cwnd_used(c, ack)) {
		c->epoch.start_ns = HTP_NEVER;
		return;
	}
	if (in_slow_start(c))
		slow_start(c, ack);
	else
		congestion_avoidance(c, ack);
	c->w.cwnd = htp_min(c->w.cwnd, CWND_MAX);
}

static void cubic_on_loss(void *cc, const struct htp_cc_loss *loss)
{
	struct cubic *c = cc;
	__u64 cwnd = c->w.cwnd;

	if (!loss->congestion)
		return;
	c->undo = c->w;
	c->can_undo = true;
	c->w.w_prior = cwnd;
	/* fast convergence: less than last time means that others want a share */
	c->w.w_max = cwnd < c->w.w_max ? cwnd * 17 / 20 : cwnd;
	c->w.cwnd = htp_max(cwnd * 7 / 10, 2ULL * c->mss);
	c->w.ssthresh = c->w.cwnd;
	c->epoch.start_ns = HTP_NEVER;
	c->hs.css = 0;
}

/* The queue that marks is shorter than one that drops: RFC 8511 leaves 85 % of the window */
static void cubic_on_ce(void *cc, __u64 now_ns)
{
	struct cubic *c = cc;
	__u64 cwnd = c->w.cwnd;

	(void)now_ns;
	c->can_undo = false;
	c->w.w_prior = cwnd;
	c->w.w_max = cwnd < c->w.w_max ? cwnd * 37 / 40 : cwnd;
	c->w.cwnd = htp_max(cwnd * 17 / 20, 2ULL * c->mss);
	c->w.ssthresh = c->w.cwnd;
	c->epoch.start_ns = HTP_NEVER;
	c->hs.css = 0;
}

static void cubic_on_persistent(void *cc, __u64 now_ns)
{
	struct cubic *c = cc;

	(void)now_ns;
	c->can_undo = false;
	c->w.cwnd = 2ULL * c->mss;
	c->epoch.start_ns = HTP_NEVER;
	hystart_init(&c->hs);
}

static void cubic_on_spurious(void *cc, __u64 now_ns)
{
	struct cubic *c = cc;

	(void)now_ns;
	if (!c->can_undo)
		return;
	c->can_undo = false;
	c->undo.cwnd = htp_max(c->undo.cwnd, c->w.cwnd);
	c->w = c->undo;
	c->epoch.start_ns = HTP_NEVER;
}

static void cubic_set_datagram(void *cc, __u32 max_datagram)
{
	struct cubic *c = cc;

	c->mss = max_datagram;
	c->w.cwnd = htp_max(c->w.cwnd, 2ULL * c->mss);
}

static __u64 cubic_cwnd(const void *cc)
{
	return ((const struct cubic *)cc)->w.cwnd;
}

/* As Linux: twice the window per round trip in slow start, 1.2 times else */
static __u64 cubic_pacing_rate(const void *cc, __u64 srtt_ns)
{
	const struct cubic *c = cc;
	__u64 fifths = in_slow_start(c) ? 10 : 6;

	return htp_max(c->w.cwnd * fifths * (HTP_SEC / 5) / htp_max(srtt_ns, 1), 1);
}

const struct htp_cc_ops htp_cc_cubic = {
	.name		= "cubic",
	.size		= sizeof(struct cubic),
	.init		= cubic_init,
	.on_ack		= cubic_on_ack,
	.on_loss	= cubic_on_loss,
	.on_persistent	= cubic_on_persistent,
	.on_ce		= cubic_on_ce,
	.on_spurious	= cubic_on_spurious,
	.set_datagram	= cubic_set_datagram,
	.cwnd		= cubic_cwnd,
	.pacing_rate	= cubic_pacing_rate,
};
