// SPDX-License-Identifier: GPL-2.0
/*
 * Repair: parity for short answers. A lost datagram costs a round trip until it
 * comes again, and an answer that fits into a round trip or two can't hide that.
 * So on paths that lose, datagrams are put into groups, and each group is followed
 * by one with the XOR of their contents, from which the receiver rebuilds the one
 * that is missing. A group ends early when there is nothing more to send, which
 * for a single datagram amounts to repeating it.
 *
 * A rebuilt datagram is used, but not acknowledged: its loss remains a loss for
 * the sender, who sends its bytes again and tells the controller. Parity buys time
 * with bytes, it doesn't hide congestion.
 *
 * What it costs: one datagram in 17, on very lossy paths one in 9, and only
 *	- while packets were lost among the last thousand or so,
 *	- while there is no queue: the round trip is about the least one seen,
 *	- for the first congestion window after a pause of the application,
 * and one in REPAIR_COST over time, however small the groups are. Bulk transfers
 * pay for one window of it.
 */
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "frame.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"

#define SHARE_ONE		(1 << 20)	/* share of lost packets: all of them */
#define SHARE_PACKETS		1024		/* over so many packets */
#define SHARE_ON		(SHARE_ONE / 2000)
#define SHARE_HIGH		(SHARE_ONE / 50)
#define GROUP_PACKETS		16
#define GROUP_PACKETS_HIGH	8
#define CREDIT_MAX		64
#define REPAIR_COST		8		/* credit; each packet protected earns 1 */
#define REPAIR_WAIT_NS		(2 * HTP_MSEC)	/* for more to send, before a group ends early */
#define QUEUE_NS		(4 * HTP_MSEC)
#define DONE			HTP_REPAIR_GROUP_MAX

/* FNV-1a: what was rebuilt has no other checksum */
static __u32 repair_hash(const __u8 *p, size_t len)
{
	__u32 hash = 2166136261U;

	while (len--)
		hash = (hash ^ *p++) * 16777619U;
	return hash;
}

void htp_repair_init(struct htp_assoc *a)
{
	memset(&a->repair, 0, sizeof(a->repair));
	a->repair.credit = CREDIT_MAX;
	a->repair.due_ns = HTP_NEVER;
}

void htp_repair_clear(struct htp_assoc *a)
{
	int i;

	htp_free(a, a->repair.tx.data);
	for (i = 0; i < HTP_REPAIR_SLOTS; i++)
		htp_free(a, a->repair.rx[i].data);
	htp_repair_init(a);
}

/* The group's sum begins anew; false: out of memory */
static bool group_begin(struct htp_assoc *a, struct htp_group *g, __u8 id)
{
	__u8 *data = g->data;

	if (!data)
		data = htp_alloc(a, HTP_MAX_DATAGRAM);
	if (!data)
		return false;
	memset(g, 0, sizeof(*g));
	memset(data, 0, HTP_MAX_DATAGRAM);
	g->data = data;
	g->id = id;
	return true;
}

static void group_add_bytes(struct htp_group *g, const __u8 *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		g->data[i] ^= p[i];
	g->most = htp_max(g->most, len);
}

/* @p: control and payload part of a packet */
static void group_add(struct htp_group *g, const __u8 *p, size_t len, __u16 ctl_len)
{
	group_add_bytes(g, p, len);
	g->len ^= len;
	g->ctl_len ^= ctl_len;
	g->hash ^= repair_hash(p, len);
	g->nr++;
}

/* So many packets were acknowledged or lost */
void htp_repair_observe(struct htp_assoc *a, __u32 acked, __u32 lost)
{
	struct htp_repair *r = &a->repair;

	r->share -= (__u64)r->share * htp_min(acked + lost, SHARE_PACKETS / 2) / SHARE_PACKETS;
	r->share = htp_min(r->share + (__u64)lost * SHARE_ONE / SHARE_PACKETS, SHARE_ONE);
}

/* The application has nothing more to send although it might: what comes next is short, perhaps */
void htp_repair_on_pause(struct htp_assoc *a)
{
	a->repair.busy = 0;
}

static bool is_queue_short(const struct htp_recovery *rc)
{
	return rc->first_rtt_ns != HTP_NEVER &&
	       rc->latest_rtt < rc->min_rtt + rc->min_rtt / 4 + QUEUE_NS;
}

/* Number of the group that the next packet belongs to; 0: none */
__u8 htp_repair_group(struct htp_assoc *a)
{
	struct htp_repair *r = &a->repair;
	__u8 id;

	if (r->tx.nr)
		return r->tx.id;
	if (r->share < SHARE_ON || r->busy > htp_assoc_cwnd(a) || !is_queue_short(&a->rc))
		return 0;
	id = r->tx.id + 1;
	return group_begin(a, &r->tx, id ? id : 1) ? r->tx.id : 0;
}

/* Every packet sent that asks for an ACK; @group as htp_repair_group() said */
void htp_repair_on_sent(struct htp_assoc *a, __u8 group, const __u8 *pkt, size_t len,
			__u16 ctl_len)
{
	struct htp_repair *r = &a->repair;

	r->busy += len;
	if (!group)
		return;
	group_add(&r->tx, pkt + HTP_HDR_LEN, len - HTP_HDR_LEN, ctl_len);
	r->credit = htp_min(r->credit + 1, CREDIT_MAX);
	r->due_ns = a->now + REPAIR_WAIT_NS;
}

/* When a group that isn't full ends, unless more is to be sent */
__u64 htp_repair_deadline(const struct htp_assoc *a)
{
	return a->repair.credit < REPAIR_COST ? HTP_NEVER : a->repair.due_ns;
}

bool htp_repair_is_due(const struct htp_assoc *a, bool more)
{
	const struct htp_repair *r = &a->repair;

	if (r->tx.nr >= (r->share >= SHARE_HIGH ? GROUP_PACKETS_HIGH : GROUP_PACKETS))
		return true;
	return !more && htp_repair_deadline(a) <= a->now;
}

/* Control part of the group's parity; its bytes are the payload part */
void htp_repair_write(struct htp_assoc *a, struct htp_writer *w)
{
	struct htp_repair *r = &a->repair;

	htp_write_be(w, HTP_F_REPAIR, 1);
	htp_write_be(w, r->tx.id, 1);
	htp_write_be(w, r->tx.nr, 1);
	htp_write_be(w, r->tx.ctl_len, 2);
	htp_write_be(w, r->tx.len, 2);
	htp_write_be(w, r->tx.hash, 4);
	htp_write_be(w, r->tx.most, 2);
}

/* The parity was copied behind the control part: the group ends */
void htp_repair_end(struct htp_assoc *a)
{
	struct htp_repair *r = &a->repair;

	r->credit -= htp_min(r->credit, REPAIR_COST);
	r->due_ns = HTP_NEVER;
	r->tx.nr = 0;
}

/* The packet for which htp_repair_group() was asked is in no group after all */
void htp_repair_decline(struct htp_assoc *a)
{
	if (!a->repair.tx.nr)
		a->repair.tx.id--;
}

/* The group never gets its parity: datagrams have become smaller than that would be */
void htp_repair_drop(struct htp_assoc *a)
{
	a->repair.due_ns = HTP_NEVER;
	a->repair.tx.nr = 0;
}

/* The slot of group @id, begun anew if it held an older one; NULL: too old, or no memory */
static struct htp_group *repair_slot(struct htp_assoc *a, __u8 id)
{
	struct htp_group *g = &a->repair.rx[id % HTP_REPAIR_SLOTS];

	if (g->data && g->id == id)
		return g;
	if (g->data && (__u8)(id - g->id) >= 128)
		return NULL;
	return group_begin(a, g, id) ? g : NULL;
}

/* A packet of a group came */
void htp_repair_on_packet(struct htp_assoc *a, __u8 group, const __u8 *p, size_t len,
			  __u16 ctl_len)
{
	struct htp_group *g = len <= HTP_MAX_DATAGRAM ? repair_slot(a, group) : NULL;

	if (g && g->nr < DONE)
		group_add(g, p, len, ctl_len);
}

/* Its parity came, the order among them doesn't matter */
void htp_repair_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame)
{
	struct htp_group *g = repair_slot(a, frame->repair.id);

	if (!g || g->expected || g->nr >= DONE)
		return;
	group_add_bytes(g, frame->data, frame->len);
	g->len ^= frame->repair.len;
	g->ctl_len ^= frame->repair.ctl_len;
	g->hash ^= frame->repair.hash;
	g->expected = frame->repair.nr;
	a->repair.ready = g;
}

/*
 * The packet that was missing in the group looked at last, if it is the only one;
 * NULL: it isn't. Valid until the next call.
 */
const struct htp_group *htp_repair_take(struct htp_assoc *a, __u8 group)
{
	struct htp_group *g = a->repair.ready;

	if (!g && group)
		g = &a->repair.rx[group % HTP_REPAIR_SLOTS];
	a->repair.ready = NULL;
	if (!g || !g->data || !g->expected || g->nr + 1 != g->expected)
		return NULL;
	g->nr = DONE;
	if (g->len > g->most || g->ctl_len > g->len || repair_hash(g->data, g->len) != g->hash)
		return NULL;
	return g;
}
