// SPDX-License-Identifier: GPL-2.0
/*
 * Explicit Congestion Notification (RFC 3168), as RFC 9000, section 13.4, has it.
 *
 * Receiving: datagrams are counted by their mark, and ACK_ECN tells the counts once
 * there are any.
 *
 * Sending: a path may clear marks, change them, or drop what has some. So the first
 * packets on a path are marked ECT(0), and it goes on only if the peer has seen them so.
 * Only packets that are acknowledged are marked; thus their number and the peer's counts
 * can be compared.
 *
 *	OFF		the caller can't mark, or doesn't want to
 *	TESTING		the first ones are marked, the others wait for what becomes of them
 *	CAPABLE		all are marked, and a mark CE is congestion
 *	FAILED		none are, until another path is used
 *
 *	TESTING -> CAPABLE	an ACK told of marks as it should
 *	TESTING -> FAILED	all that were marked are lost
 *	TESTING, CAPABLE -> FAILED	an ACK told of none, of too few, or of too many
 */
#include <string.h>

#include "ecn.h"
#include "frame.h"
#include "private.h"

#define TEST_PACKETS	10

void htp_ecn_init(struct htp_assoc *a)
{
	memset(&a->ecn, 0, sizeof(a->ecn));
	a->ecn.state = a->config.ecn ? HTP_ECN_TESTING : HTP_ECN_OFF;
}

/* A packet of ours leaves that will be acknowledged. True if it is to be marked */
bool htp_ecn_on_sent(struct htp_assoc *a)
{
	struct htp_ecn *e = &a->ecn;

	if (e->state != HTP_ECN_CAPABLE &&
	    (e->state != HTP_ECN_TESTING || e->tested == TEST_PACKETS))
		return false;
	e->tested += e->state == HTP_ECN_TESTING;
	e->marked++;
	a->stats.ecn_sent++;
	return true;
}

static void fail(struct htp_assoc *a)
{
	a->ecn.state = HTP_ECN_FAILED;
	a->stats.ecn_failures++;
}

/* A marked packet of the path in use is lost */
void htp_ecn_on_lost(struct htp_assoc *a)
{
	struct htp_ecn *e = &a->ecn;

	if (e->state == HTP_ECN_TESTING && ++e->lost >= TEST_PACKETS && !e->acked)
		fail(a);
}

/* All that the peer counts was marked by us, and it has seen what it acknowledges */
static bool is_plausible(const struct htp_ecn *e, const struct htp_ack *ack)
{
	__u64 sum = ack->ecn[HTP_ACK_ECT0] + ack->ecn[HTP_ACK_CE];

	return sum >= ack->ecn[HTP_ACK_CE] && sum <= e->marked && sum >= e->sum &&
	       !ack->ecn[HTP_ACK_ECT1] && ack->ecn[HTP_ACK_CE] >= e->ce &&
	       sum - e->path_sum >= e->acked;
}

/*
 * An ACK came which acknowledges @nr marked packets of the path in use for the first time.
 * One that doesn't acknowledge a newer packet than all before it, @is_newest, may have been
 * overtaken, so its counts don't matter. Returns how many CE marks are new.
 */
__u64 htp_ecn_on_ack(struct htp_assoc *a, const struct htp_ack *ack, __u32 nr, bool is_newest)
{
	struct htp_ecn *e = &a->ecn;
	__u64 ce;

	e->acked += nr;
	if ((e->state != HTP_ECN_TESTING && e->state != HTP_ECN_CAPABLE) || !is_newest)
		return 0;
	if (!ack->has_ecn && e->acked == e->path_acked)
		return 0;
	if (!ack->has_ecn || !is_plausible(e, ack)) {
		fail(a);
		return 0;
	}
	if (e->acked)
		e->state = HTP_ECN_CAPABLE;
	ce = ack->ecn[HTP_ACK_CE] - e->ce;
	e->path_acked = e->acked;
	e->sum = ack->ecn[HTP_ACK_ECT0] + ack->ecn[HTP_ACK_CE];
	e->ce = ack->ecn[HTP_ACK_CE];
	a->stats.ecn_ce_told += ce;
	return ce;
}

/* Another path may treat marks in another way */
void htp_ecn_on_path(struct htp_assoc *a)
{
	struct htp_ecn *e = &a->ecn;

	if (e->state == HTP_ECN_OFF)
		return;
	e->state = HTP_ECN_TESTING;
	e->tested = 0;
	e->lost = 0;
	e->acked = 0;
	e->path_acked = 0;
	e->path_sum = e->sum;
}
