// SPDX-License-Identifier: GPL-2.0
/*
 * Path MTU discovery (RFC 8899) without trust in ICMP: datagrams that hold nothing
 * but padding are tried, and a size counts once the peer has acknowledged it.
 *
 *	SEARCH   sizes between the proven one and @high are tried, one at a time
 *	COMPLETE nothing larger passes; tried again when the raise timer ends
 *
 *	SEARCH -> COMPLETE	@high is reached, or nearly
 *	COMPLETE -> SEARCH	raise timer; the limit grew; a message says "too big";
 *				a black hole is suspected
 *
 * BASE and ERROR of RFC 8899 have no place here: the handshake has proven the base
 * size, and what doesn't carry that is no path for HTP. The base is also the least
 * (BASE_PLPMTU = MIN_PLPMTU = HTP_MIN_DATAGRAM), so nothing can make datagrams smaller.
 *
 * Order of the search: the largest size first, for most paths have that of the first
 * link; then halves of what is left. A size has failed when three probes of it are lost.
 *
 * Black holes: after some losses in a row of larger datagrams while smaller ones arrive,
 * datagrams have the base size at once, and the old size is verified by probes. If
 * they arrive, it was ordinary loss, and the alarm has cost a round trip of smaller
 * datagrams. So the alarm may go off easily, and a black hole is only what no probe
 * got through. To have smaller ones under way at all, the second packet of a probe
 * timeout has the base size, and after three timeouts all have.
 *
 * The loss of a probe, or of what has turned out to be too large for the path, is no
 * sign of congestion (loss.c).
 */
#include <errno.h>
#include <string.h>

#include "pmtu.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"

#define MAX_PROBES	3	/* RFC 8899, 5.1.2 */
#define DOUBT_PROBES	6	/* before a size that has worked is given up */
#define STEP		16	/* a search ends when less is left to gain */
#define RAISE_NS	(600 * HTP_SEC)	/* RFC 8899, 5.1.1: PMTU_RAISE_TIMER */
#define PROBE_NS	HTP_SEC	/* PROBE_TIMER, when nothing else tells of a loss */
#define LOST_IN_A_ROW	3
#define SILENT_PTOS	3

void htp_pmtu_init(struct htp_assoc *a)
{
	struct htp_pmtu *p = &a->pmtu;

	memset(p, 0, sizeof(*p));
	p->size = a->config.max_datagram;
	p->limit = htp_max(a->config.probe_max, p->size);
	p->high = p->limit;
	p->top = true;
	p->probe_pn = HTP_NEVER;
	p->raise_ns = HTP_NEVER;
	p->state = p->size < p->limit ? HTP_PMTU_SEARCH : HTP_PMTU_COMPLETE;
}

static void forget_probe(struct htp_assoc *a)
{
	__u64 pn = a->pmtu.probe_pn;

	a->pmtu.probe_pn = HTP_NEVER;
	a->pmtu.probe = 0;
	a->pmtu.tries = 0;
	if (pn != HTP_NEVER)
		htp_loss_give_up(a, pn);
}

static void set_size(struct htp_assoc *a, __u32 size)
{
	struct htp_pmtu *p = &a->pmtu;

	if (size < p->size)
		htp_repair_drop(a);	/* its parity would be too large */
	p->size = size;
	p->high = htp_max(p->high, size);
	p->nr_lost = 0;
	a->config.cc->set_datagram(a->cc, size);
}

/* The next size is the largest that may pass; datagrams keep the size they have */
static void search(struct htp_assoc *a, __u32 high)
{
	struct htp_pmtu *p = &a->pmtu;

	forget_probe(a);
	p->state = HTP_PMTU_SEARCH;
	p->high = high;
	p->top = true;
}

/* Ends it unless there is more to gain than a step; the largest size is worth a try anyway */
static void search_on(struct htp_assoc *a)
{
	struct htp_pmtu *p = &a->pmtu;

	p->probe = 0;
	p->tries = 0;
	if (p->high - p->size >= STEP || (p->top && p->high > p->size))
		return;
	p->state = HTP_PMTU_COMPLETE;
	p->raise_ns = p->size < p->limit ? a->now + RAISE_NS : HTP_NEVER;
}

static __u32 candidate(const struct htp_pmtu *p)
{
	if (p->probe)
		return p->probe;
	return p->top ? p->high : p->size + (p->high - p->size + 1) / 2;
}

/*
 * Size of the probe that is to be sent as soon as window and pacing allow; 0: none.
 * Only for those who have something to send, and not while the peer is silent.
 */
__u32 htp_pmtu_probe(const struct htp_assoc *a)
{
	const struct htp_pmtu *p = &a->pmtu;

	if (p->state != HTP_PMTU_SEARCH || p->probe_pn != HTP_NEVER || !a->nr_streams ||
	    a->rc.first_rtt_ns == HTP_NEVER || a->rc.pto_count ||
	    htp_assoc_cwnd(a) < candidate(p))
		return 0;
	return candidate(p);
}

/* A probe leaves as packet @pn */
void htp_pmtu_on_sent(struct htp_assoc *a, __u64 pn, __u32 size)
{
	struct htp_pmtu *p = &a->pmtu;

	p->probe = size;
	p->probe_pn = pn;
	p->probe_ns = a->now + htp_max(3 * htp_recovery_pto(&a->rc), PROBE_NS);
	a->stats.mtu_probes_sent++;
}

/* Largest datagram to write now; smaller ones are more likely to break a silence */
__u32 htp_pmtu_cap(const struct htp_assoc *a)
{
	const struct htp_recovery *rc = &a->rc;

	if (rc->pto_count >= SILENT_PTOS || (rc->pto_count && rc->probes == 1))
		return HTP_MIN_DATAGRAM;
	return a->pmtu.size;
}

static void probe_failed(struct htp_assoc *a)
{
	struct htp_pmtu *p = &a->pmtu;
	__u32 failed = p->probe;

	p->probe_pn = HTP_NEVER;
	if (++p->tries < (p->doubt ? DOUBT_PROBES : MAX_PROBES))
		return;
	if (p->doubt)
		a->stats.black_holes++;
	p->doubt = 0;
	p->top = false;
	p->high = htp_max(failed - 1, p->size);
	search_on(a);
}

/* The size that was in doubt passes: go on where the alarm went off */
static void end_doubt(struct htp_pmtu *p)
{
	p->high = htp_max(p->doubt_high, p->size);
	p->top = p->doubt_top;
	p->doubt = 0;
}

static void probe_acked(struct htp_assoc *a, __u64 pn, __u32 size)
{
	struct htp_pmtu *p = &a->pmtu;
	bool is_current = pn == p->probe_pn;

	a->stats.mtu_probes_acked++;
	if (is_current)
		p->probe_pn = HTP_NEVER;
	if (size <= p->size || size > p->limit)
		return;
	set_size(a, size);
	if (p->doubt && size >= p->doubt)
		end_doubt(p);
	if (!is_current)
		forget_probe(a);	/* a late answer; the search may be beyond it */
	search_on(a);
}

/* Every packet that was acknowledged, late ones included */
void htp_pmtu_on_acked(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn)
{
	struct htp_pmtu *p = &a->pmtu;

	if (sent->probe)
		probe_acked(a, pn, sent->size);
	if (sent->size <= HTP_MIN_DATAGRAM) {
		p->small_end = htp_max(p->small_end, pn + 1);
		return;
	}
	if (pn + 1 > p->large_end) {
		p->large_end = pn + 1;
		p->large_size = sent->size;
	}
	if (pn > p->lost_pn && sent->size >= p->lost_size)
		p->nr_lost = 0;
}

/* Every packet that was declared lost, from the oldest on */
void htp_pmtu_on_lost(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn)
{
	struct htp_pmtu *p = &a->pmtu;

	if (sent->probe) {
		a->stats.mtu_probes_lost++;
		if (pn == p->probe_pn)
			probe_failed(a);
		return;
	}
	if (sent->size <= HTP_MIN_DATAGRAM || sent->size > p->size ||
	    (p->large_end > pn && p->large_size >= sent->size))
		return;
	if (!p->nr_lost++) {
		p->lost_pn = pn;
		p->lost_size = sent->size;
	}
	p->lost_size = htp_min(p->lost_size, sent->size);
}

/* Does something smaller arrive that was sent after the first of the losses? */
static bool smaller_ones_arrive(const struct htp_pmtu *p)
{
	return p->small_end > p->lost_pn + 1 ||
	       (p->large_end > p->lost_pn + 1 && p->large_size < p->lost_size);
}

/* After packets were declared lost: was it their size? */
void htp_pmtu_check(struct htp_assoc *a)
{
	struct htp_pmtu *p = &a->pmtu;

	if (p->nr_lost < LOST_IN_A_ROW || p->size <= HTP_MIN_DATAGRAM || !smaller_ones_arrive(p))
		return;
	p->doubt = p->size;
	p->doubt_high = p->state == HTP_PMTU_SEARCH ? p->high : p->size;
	p->doubt_top = p->state == HTP_PMTU_SEARCH && p->top;
	search(a, p->size);
	set_size(a, HTP_MIN_DATAGRAM);
}

/* Its loss tells nothing of congestion */
bool htp_pmtu_explains(const struct htp_assoc *a, const struct htp_sent *sent)
{
	return sent->probe || sent->size > a->pmtu.size;
}

__u64 htp_pmtu_deadline(const struct htp_assoc *a)
{
	const struct htp_pmtu *p = &a->pmtu;

	if (p->probe_pn != HTP_NEVER)
		return p->probe_ns;
	return p->state == HTP_PMTU_COMPLETE && a->nr_streams ? p->raise_ns : HTP_NEVER;
}

void htp_pmtu_expire(struct htp_assoc *a)
{
	struct htp_pmtu *p = &a->pmtu;

	if (htp_pmtu_deadline(a) > a->now)
		return;
	if (p->probe_pn != HTP_NEVER)
		htp_loss_give_up(a, p->probe_pn);
	else
		search(a, p->limit);
}

/*
 * What this host's own route or device takes. Less: the size it takes is as proven
 * as the larger one was.
 */
void htp_pmtu_set_limit(struct htp_assoc *a, __u32 limit)
{
	struct htp_pmtu *p = &a->pmtu;
	bool grows = limit > p->limit;

	if (limit == p->limit)
		return;
	p->limit = limit;
	if (limit < p->size)
		set_size(a, limit);
	if (p->doubt && limit < p->doubt)
		p->doubt = 0;
	p->doubt_high = grows ? limit : htp_min(p->doubt_high, limit);
	p->doubt_top |= grows;
	if (grows && !p->doubt) {
		search(a, limit);
	} else if (p->high > limit) {
		search(a, limit);
		search_on(a);
	}
}

/* Another path is used, on which this size is proven, and the search begins anew */
void htp_pmtu_on_path(struct htp_assoc *a, __u32 proven)
{
	struct htp_pmtu *p = &a->pmtu;

	p->doubt = 0;
	p->nr_lost = 0;
	search(a, p->limit);
	if (proven < p->size)
		set_size(a, proven);
	search_on(a);
}

/* The packet with these low bits, if its fate is open: sent, and not long ago */
static const struct htp_sent *find_quoted(const struct htp_recovery *rc, __u32 low)
{
	__u64 pn = (rc->next_pn & ~0xffffffffULL) | low;
	const struct htp_sent *sent;

	if (pn >= rc->next_pn && pn >= 1ULL << 32)
		pn -= 1ULL << 32;
	if (pn < rc->base || pn >= rc->next_pn || !rc->ring)
		return NULL;
	sent = htp_sent_at(rc, pn);
	return sent->state == HTP_SENT_FLYING || sent->state == HTP_SENT_LOST ? sent : NULL;
}

/*
 * RFC 8899, 4.6.2. A size below the one in use makes datagrams small at once, but is
 * itself only a size to be tried: so a forged message costs a round trip at most.
 */
static int take_message(struct htp_assoc *a, const struct htp_path_hint *hint)
{
	const struct htp_sent *quoted = find_quoted(&a->rc, hint->pn);
	struct htp_pmtu *p = &a->pmtu;

	if (!quoted)
		return -ENOENT;
	if (hint->size < HTP_MIN_DATAGRAM || hint->size >= quoted->size)
		return -EINVAL;
	if (hint->size >= p->high)
		return -EALREADY;
	p->doubt = 0;
	search(a, hint->size);
	if (hint->size < p->size) {
		set_size(a, HTP_MIN_DATAGRAM);
		p->high = hint->size;
	}
	search_on(a);
	return 0;
}

/**
 * htp_assoc_path_mtu() - somebody outside says how large datagrams may be
 * @a:      association
 * @hint:   what and who
 * @now_ns: time
 *
 * Nothing makes datagrams smaller than HTP_MIN_DATAGRAM, nor larger before the peer
 * has acknowledged one of that size.
 *
 * Return: 0; -EALREADY: no news; of an ICMP message also -ENOENT: it quotes no
 * datagram whose fate is open; -EINVAL: less than HTP_MIN_DATAGRAM, or not less
 * than the datagram that it calls too big.
 */
int htp_assoc_path_mtu(struct htp_assoc *a, const struct htp_path_hint *hint, __u64 now_ns)
{
	__u32 limit = htp_max(htp_min(hint->size, HTP_MAX_DATAGRAM), HTP_MIN_DATAGRAM);
	int err;

	htp_assoc_set_now(a, now_ns);
	if (a->closed)
		return -EALREADY;
	if (!hint->local) {
		err = take_message(a, hint);
		if (!err)
			a->stats.mtu_hints++;
		return err;
	}
	if (limit == a->pmtu.limit)
		return -EALREADY;
	htp_pmtu_set_limit(a, limit);
	a->stats.mtu_hints++;
	return 0;
}
