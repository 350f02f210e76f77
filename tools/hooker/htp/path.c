// SPDX-License-Identifier: GPL-2.0
/*
 * Paths: the peer's address may change, for NATs forget and hosts move. After
 * RFC 9000, sections 8.2 and 9. A path is a number here; what address and
 * carrier it stands for is the caller's affair.
 *
 *	FREE ----> TRIED	a datagram with a new highest packet number came
 *				by it: a challenge goes there, and one by the
 *				path in use
 *	TRIED ---> ANSWERED	the response came by it
 *	ANSWERED -> USED	and for a PTO none came by the path in use
 *	TRIED, ANSWERED -> FREE	the peer answers by the path in use: it hasn't
 *				moved. Or none of the challenges was answered
 *	USED ----> FORMER	another one is used now; a few challenges go here
 *	FORMER --> USED		it was wrong to leave, or the peer has come back: it answers
 *				here. The one used meanwhile is FREE
 *	FORMER --> FREE		it doesn't answer
 *	any -----> USED		the caller says so: it has found out by itself, as
 *				between carriers. The one used before is FORMER for
 *				some time, but neither asked nor answered by, for the
 *				peer is to follow
 *
 * HTP has no keys. A response proves that somebody at the new address reads what
 * is sent there and has seen the association id, not that it is the peer. So the
 * path in use has the last word: as long as the peer answers there, whoever tries
 * to lead the association away must be able to suppress that, and one who can
 * needs no migration to do harm. And what comes by a path that is neither USED nor
 * FORMER is not believed but for PATH_CHALLENGE and PATH_RESPONSE: it changes nothing
 * in the association, and what it held is lost like any other datagram.
 *
 * Until a path has answered, no more than three times what came by it goes there.
 */
#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "path.h"
#include "pmtu.h"
#include "private.h"
#include "recovery.h"

#define PATH_DATAGRAM	(HTP_HDR_LEN + 9)	/* with one frame */
#define FULL_TRIES	2			/* challenges of full size; then the smallest */
#define FORMER_TRIES	3
#define AMPLIFICATION	3
#define TRIAL_PTOS	32			/* after so many all challenges had their time */
#define TRIAL_MAX_NS	(10 * HTP_SEC)
#define TRIAL_COST_NS	(500 * HTP_MSEC)	/* one trial in so long... */
#define TRIAL_BURST	4			/* ...but so many in a row */

static bool is_trial(const struct htp_path *p)
{
	return p->state == HTP_PATH_TRIED || p->state == HTP_PATH_ANSWERED;
}

static struct htp_path *used(struct htp_assoc *a)
{
	return &a->paths.path[a->paths.used];
}

static void path_free(struct htp_path *p)
{
	memset(p, 0, sizeof(*p));
	p->next_ns = HTP_NEVER;
	p->end_ns = HTP_NEVER;
}

void htp_path_init(struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++)
		path_free(&a->paths.path[n]);
	a->paths.path[0].state = HTP_PATH_USED;
	a->paths.credit_ns = TRIAL_BURST * TRIAL_COST_NS;
	a->paths.credited_ns = a->now;
}

/* Is content that comes by it used? */
bool htp_path_is_believed(const struct htp_assoc *a, __u32 n)
{
	return n < HTP_PATHS && (a->paths.path[n].state == HTP_PATH_USED ||
				 a->paths.path[n].state == HTP_PATH_FORMER);
}

/* Until when it is open whether the peer has moved; 0: it is not */
__u64 htp_path_trial_end(const struct htp_assoc *a)
{
	__u64 end_ns = 0;
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++)
		if (is_trial(&a->paths.path[n]))
			end_ns = htp_max(end_ns, a->paths.path[n].end_ns);
	return end_ns;
}

/* Challenges go out from now on; earlier ones count no more */
static void challenge(struct htp_assoc *a, struct htp_path *p)
{
	p->token = a->config.random(a->config.priv);
	p->tries = 0;
	p->next_ns = a->now;
}

static bool pay_for_trial(struct htp_assoc *a)
{
	struct htp_paths *paths = &a->paths;

	paths->credit_ns = htp_min(paths->credit_ns + a->now - paths->credited_ns,
				   TRIAL_BURST * TRIAL_COST_NS);
	paths->credited_ns = a->now;
	if (paths->credit_ns < TRIAL_COST_NS)
		return false;
	paths->credit_ns -= TRIAL_COST_NS;
	return true;
}

/* Ask the path in use, too. Responses to what it is being asked already count on */
static void check(struct htp_assoc *a)
{
	struct htp_path *p = used(a);

	if (htp_path_trial_end(a) && p->tries && p->tries < HTP_PATH_TRIES)
		p->next_ns = a->now;
	else
		challenge(a, p);
}

static void try(struct htp_assoc *a, struct htp_path *p, bool same_host)
{
	__u64 pto = htp_recovery_pto(&a->rc);

	check(a);
	path_free(p);
	p->state = HTP_PATH_TRIED;
	p->same_host = same_host;
	p->wait_ns = a->now + pto;
	p->end_ns = a->now + htp_min(TRIAL_PTOS * pto, TRIAL_MAX_NS);
	challenge(a, p);
	a->stats.path_trials++;
}

static void ask_former(struct htp_assoc *a, struct htp_path *p)
{
	p->end_ns = a->now + (htp_recovery_pto(&a->rc) << FORMER_TRIES);
	challenge(a, p);
}

/*
 * A datagram with packet number @pn came by a path that may be unknown. One that is
 * older than others was delayed or repeated, and tells nothing of where the peer is.
 */
void htp_path_on_rx(struct htp_assoc *a, const struct htp_via *via, __u64 pn, size_t len)
{
	bool is_newest = a->acks.largest == HTP_NEVER || pn > a->acks.largest;
	struct htp_path *p;

	if (via->path >= HTP_PATHS || !a->config.random)
		return;
	p = &a->paths.path[via->path];
	if (is_newest && p->state == HTP_PATH_FREE && pay_for_trial(a))
		try(a, p, via->same_host);
	if (is_newest && p->state == HTP_PATH_FORMER && p->tries == FORMER_TRIES &&
	    pay_for_trial(a))
		ask_former(a, p);
	p->rx_bytes += is_trial(p) ? len : 0;
}

/* The peer reaches us by @n, and by no other path */
static void use(struct htp_assoc *a, __u32 n)
{
	struct htp_path *p = &a->paths.path[n], *old = used(a);
	__u64 pto = htp_recovery_pto(&a->rc);
	bool keep = p->same_host;
	__u32 i;

	for (i = 0; i < HTP_PATHS; i++) {
		struct htp_path *other = &a->paths.path[i];

		if (other->state == HTP_PATH_FORMER && other != p)
			path_free(other);
		other->same_host = false;	/* it was as compared with the old one */
		other->wait_ns = a->now + pto;
	}
	if (p->state == HTP_PATH_FORMER) {
		path_free(old);
	} else {
		old->state = HTP_PATH_FORMER;
		ask_former(a, old);
	}
	p->state = HTP_PATH_USED;
	p->end_ns = HTP_NEVER;
	p->next_ns = HTP_NEVER;
	a->paths.used = n;
	if (htp_path_trial_end(a))
		challenge(a, p);
	a->stats.path_changes++;
	a->last_rx_ns = a->now;
	a->asked_ns = HTP_NEVER;
	a->suspect_ns = HTP_NEVER;
	if (!keep)
		htp_pmtu_on_path(a, htp_max(p->proven, HTP_MIN_DATAGRAM));
	htp_recovery_on_path(a, keep, p->rtt_ns);
}

static void refuse_trials(struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++) {
		if (!is_trial(&a->paths.path[n]))
			continue;
		path_free(&a->paths.path[n]);
		a->stats.path_refusals++;
	}
}

static void use_answered(struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++) {
		const struct htp_path *p = &a->paths.path[n];

		if (p->state == HTP_PATH_ANSWERED && p->wait_ns <= a->now) {
			use(a, n);
			return;
		}
	}
}

void htp_path_on_challenge(struct htp_assoc *a, __u32 n, __u64 data, size_t len)
{
	struct htp_path *p = &a->paths.path[n];

	if (p->state == HTP_PATH_FREE || p->left)
		return;
	p->owes = true;
	p->echo = data;
	p->owed_len = len;
}

void htp_path_on_response(struct htp_assoc *a, __u32 n, __u64 data)
{
	struct htp_path *p = &a->paths.path[n];
	__u64 attempt = data ^ p->token;

	if (p->state == HTP_PATH_FREE || attempt >= p->tries)
		return;
	p->rtt_ns = a->now - p->sent_ns[attempt];
	p->proven = htp_max(p->proven, p->sent_len[attempt]);
	p->next_ns = HTP_NEVER;
	p->tries = 0;		/* the others are answered thereby, too */
	switch (p->state) {
	case HTP_PATH_TRIED:
		p->state = HTP_PATH_ANSWERED;
		use_answered(a);
		break;
	case HTP_PATH_USED:
		refuse_trials(a);
		break;
	case HTP_PATH_FORMER:
		refuse_trials(a);
		use(a, n);
		break;
	}
}

static __u64 gap(const struct htp_assoc *a, const struct htp_path *p)
{
	__u64 pto = htp_recovery_pto(&a->rc);

	return htp_min(pto << p->tries, htp_max(pto, HTP_PTO_MAX_NS));
}

/* Bytes that may go there now */
static __u64 allowance(const struct htp_path *p)
{
	if (p->state != HTP_PATH_TRIED)
		return HTP_NEVER;
	return AMPLIFICATION * p->rx_bytes - p->tx_bytes;
}

/* On a path that is new the size matters, too; but what may go there shall do for several */
static __u64 challenge_len(const struct htp_assoc *a, const struct htp_path *p)
{
	__u64 len = p->tries < FULL_TRIES ? a->pmtu.size : HTP_MIN_DATAGRAM;

	return p->state == HTP_PATH_TRIED && len <= allowance(p) ? len : PATH_DATAGRAM;
}

static bool owes_response(const struct htp_path *p)
{
	return p->owes && allowance(p) >= PATH_DATAGRAM;
}

static bool may_challenge(const struct htp_path *p)
{
	__u32 most = p->state == HTP_PATH_FORMER ? FORMER_TRIES : HTP_PATH_TRIES;

	return p->tries < most && allowance(p) >= PATH_DATAGRAM;
}

/* When htp_path_write() would write something */
static __u64 tx_deadline(const struct htp_assoc *a, const struct htp_path *p)
{
	if (owes_response(p))
		return a->now;
	return may_challenge(p) ? p->next_ns : HTP_NEVER;
}

bool htp_path_is_due(const struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++)
		if (tx_deadline(a, &a->paths.path[n]) <= a->now)
			return true;
	return false;
}

__u64 htp_path_deadline(const struct htp_assoc *a)
{
	__u64 deadline = HTP_NEVER, tx = HTP_NEVER;
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++) {
		const struct htp_path *p = &a->paths.path[n];

		tx = htp_min(tx, tx_deadline(a, p));
		deadline = htp_min(deadline, p->end_ns);
		if (p->state == HTP_PATH_ANSWERED)
			deadline = htp_min(deadline, p->wait_ns);
	}
	if (tx != HTP_NEVER && a->retry_ns != HTP_NEVER)
		tx = htp_max(tx, a->retry_ns);
	return htp_min(deadline, tx);
}

void htp_path_expire(struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++)
		if (a->paths.path[n].end_ns <= a->now)
			path_free(&a->paths.path[n]);
	use_answered(a);
	if (!htp_path_trial_end(a))
		used(a)->next_ns = HTP_NEVER;
}

/* A datagram of one frame, filled up with PADDING. The packet number is not to be acknowledged */
static size_t write_frame(struct htp_assoc *a, __u8 *pkt, size_t len, __u8 type, __u64 data)
{
	const struct htp_hdr hdr = {
		.type = HTP_DATA, .dst_id = a->config.peer_id,
		.ctl_len = len - HTP_HDR_LEN, .pn = a->rc.next_pn,
	};
	struct htp_writer w = { .p = pkt + HTP_HDR_LEN, .end = pkt + len };

	htp_hdr_write(pkt, HTP_HDR_LEN, &hdr);
	htp_write_be(&w, type, 1);
	htp_write_be(&w, data, 8);
	memset(w.p, HTP_F_PADDING, w.end - w.p);
	a->stats.tx_datagrams++;
	a->stats.tx_bytes += len;
	htp_recovery_on_sent(a, len, 0, HTP_NEVER, false);
	return len;
}

static size_t write_response(struct htp_assoc *a, struct htp_path *p, __u8 *pkt, size_t cap)
{
	__u64 len = htp_min(htp_min(p->owed_len, htp_min(a->pmtu.size, cap)), allowance(p));

	p->owes = false;
	return write_frame(a, pkt, htp_max(len, PATH_DATAGRAM), HTP_F_PATH_RESPONSE, p->echo);
}

static size_t write_challenge(struct htp_assoc *a, struct htp_path *p, __u8 *pkt, size_t cap)
{
	__u64 len = htp_min(challenge_len(a, p), cap);

	p->sent_len[p->tries] = len;
	p->sent_ns[p->tries] = a->now;
	p->next_ns = a->now + gap(a, p);
	return write_frame(a, pkt, len, HTP_F_PATH_CHALLENGE, p->token ^ p->tries++);
}

/* A datagram of a path's own, if one is due: its length; 0: none */
size_t htp_path_write(struct htp_assoc *a, __u8 *pkt, size_t cap)
{
	unsigned int n;
	size_t len;

	for (n = 0; n < HTP_PATHS; n++) {
		struct htp_path *p = &a->paths.path[n];

		if (tx_deadline(a, p) > a->now)
			continue;
		len = owes_response(p) ? write_response(a, p, pkt, cap) :
					 write_challenge(a, p, pkt, cap);
		p->tx_bytes += len;
		a->via.path = n;
		return len;
	}
	return 0;
}

/**
 * htp_assoc_path() - the path in use
 * @a: association
 *
 * Return: its number, 0 at first.
 */
__u32 htp_assoc_path(const struct htp_assoc *a)
{
	return a->paths.used;
}

/**
 * htp_assoc_paths() - the numbers that mean something
 * @a: association
 *
 * The caller may give any other one to an address that is new.
 *
 * Return: bit set, bit n for path n. It may change with each call of htp_assoc_rx_via()
 * and htp_assoc_expire().
 */
__u32 htp_assoc_paths(const struct htp_assoc *a)
{
	__u32 set = 0, n;

	for (n = 0; n < HTP_PATHS; n++)
		if (a->paths.path[n].state != HTP_PATH_FREE)
			set |= 1U << n;
	return set;
}

/**
 * htp_assoc_moved() - datagrams leave from another address of this host from now on
 * @a:      association
 * @now_ns: time
 *
 * The path in use keeps its number. What was learned of the network doesn't count
 * any more, and the peer is sent something at once, so that it learns the address.
 */
void htp_assoc_moved(struct htp_assoc *a, __u64 now_ns)
{
	htp_assoc_set_now(a, now_ns);
	if (a->closed)
		return;
	a->suspect_ns = HTP_NEVER;
	htp_pmtu_on_path(a, HTP_MIN_DATAGRAM);
	htp_recovery_on_path(a, false, a->rc.srtt);
}

/**
 * htp_assoc_forget_paths() - keep but the path in use
 * @a: association
 *
 * The others' numbers are free then; what was on trial isn't known any more.
 */
void htp_assoc_forget_paths(struct htp_assoc *a)
{
	unsigned int n;

	for (n = 0; n < HTP_PATHS; n++)
		if (n != a->paths.used)
			path_free(&a->paths.path[n]);
}

/**
 * htp_assoc_use_path() - the peer was found to be reached by this path
 * @a:	    association
 * @n:	    the path's number: one that means something, or a free one
 * @proven: size of a datagram that got there and was answered, HTP_MIN_DATAGRAM at least
 * @rtt_ns: after this time
 * @now_ns: time
 *
 * The path used so far is left: what the peer sends there counts for some seconds, but
 * its challenges aren't answered there, so that it follows.
 *
 * Return: 0; -EINVAL: no such path, or closed; -EALREADY: it is used already.
 */
int htp_assoc_use_path(struct htp_assoc *a, __u32 n, __u32 proven, __u64 rtt_ns, __u64 now_ns)
{
	struct htp_path *p, *old = used(a);

	htp_assoc_set_now(a, now_ns);
	if (n >= HTP_PATHS || a->closed || !a->config.random)
		return -EINVAL;
	p = &a->paths.path[n];
	if (p == old)
		return -EALREADY;
	if (!is_trial(p))
		path_free(p);
	p->same_host = false;
	p->proven = proven;
	p->rtt_ns = rtt_ns;
	use(a, n);
	old->left = true;
	old->owes = false;
	old->tries = 0;
	old->next_ns = HTP_NEVER;
	old->end_ns = a->now + TRIAL_MAX_NS;
	return 0;
}
