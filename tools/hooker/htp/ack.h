/* SPDX-License-Identifier: GPL-2.0 */
/* What came from the peer, and the ACKs that say so: ack.c */
#ifndef HTP_ACK_H
#define HTP_ACK_H

#include <linux/types.h>
#include <stdbool.h>
#include "frame.h"
#include "ranges.h"
#include "units.h"

#define HTP_RX_RANGES		128	/* ranges of received packet numbers remembered */
#define HTP_TX_RANGES		32	/* of these in an ACK, the newest */
#define HTP_ACK_DELAY_NS	(5 * HTP_MSEC)	/* longest that we hold an ACK back */

struct htp_assoc;

/**
 * struct htp_acks - packets received, and when to say so
 * @r:	       ranges received, ascending; the last @nr entries matter
 * @nr:        ranges
 * @too_old:   packet numbers below were forgotten: drop them
 * @largest:   newest, HTP_NEVER: none
 * @largest_ns: when it came
 * @pending:   ack-eliciting packets received since the last ACK was written
 * @every:     that many make an ACK due
 * @now:       it is due, whatever their number
 * @soon:      the last one told of a gap: the next is due after two packets
 * @deadline:  it is due then, HTP_NEVER: not waiting
 * @last_ns:   when the last ACK was written
 * @ecn:       packets that came with a mark, by HTP_ACK_*
 * @floor:     the peer knows all about ranges that end below
 * @hold_pn:   ACKs in our packets below this number told less than @r has now below @floor
 */
struct htp_acks {
	struct htp_range	r[HTP_RX_RANGES];
	__u32			nr;
	__u64			too_old;
	__u64			largest, largest_ns;
	__u32			pending, every;
	bool			now, soon;
	__u64			deadline, last_ns;
	__u64			ecn[HTP_NR_ACK_ECN];
	__u64			floor, hold_pn;
};

void	htp_acks_init(struct htp_acks *acks);
__u64	htp_acks_expand(const struct htp_acks *acks, __u32 pn);
bool	htp_acks_has(const struct htp_acks *acks, __u64 pn);
void	htp_acks_record(struct htp_assoc *a, __u64 pn, bool eliciting);
void	htp_acks_count(struct htp_assoc *a, __u8 ecn, bool eliciting);
bool	htp_acks_is_due(const struct htp_assoc *a);
bool	htp_acks_write(struct htp_assoc *a, struct htp_writer *w);
void	htp_acks_on_acked(struct htp_assoc *a, __u64 pn, __u64 largest);

#endif /* HTP_ACK_H */
