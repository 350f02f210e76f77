/* SPDX-License-Identifier: GPL-2.0 */
/* Parity of packets, so that a loss need not cost a round trip: repair.c */
#ifndef HTP_REPAIR_H
#define HTP_REPAIR_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include "frame.h"

#define HTP_REPAIR_SLOTS	4	/* groups under way at the receiver */
#define HTP_REPAIR_GROUP_MAX	255

struct htp_assoc;

/**
 * struct htp_group - XOR of packets that one parity covers
 * @data:     of control and payload part, HTP_MAX_DATAGRAM bytes; NULL: never used
 * @id:       number of the group
 * @nr:	      packets in it
 * @expected: packets the group has; 0: its parity didn't come
 * @ctl_len:  XOR of the lengths of the control parts
 * @len:      XOR of the lengths of both parts
 * @most:     greatest length of both parts
 * @hash:     XOR of the hashes
 */
struct htp_group {
	__u8	*data;
	__u8	id, nr, expected;
	__u16	ctl_len, len, most;
	__u32	hash;
};

/**
 * struct htp_repair - parity
 * @tx:	    group that is being sent, if it has packets
 * @rx:	    groups that are being received
 * @ready:  the one that a parity has just come for
 * @share:  packets lost among the last ones, in 2^-20
 * @credit: what parity may cost
 * @busy:   bytes sent since the application paused
 * @due_ns: the group ends early then; HTP_NEVER: there is none
 */
struct htp_repair {
	struct htp_group	tx, rx[HTP_REPAIR_SLOTS], *ready;
	__u32			share, credit;
	__u64			busy, due_ns;
};

void	htp_repair_init(struct htp_assoc *a);
void	htp_repair_clear(struct htp_assoc *a);
void	htp_repair_observe(struct htp_assoc *a, __u32 acked, __u32 lost);
void	htp_repair_on_pause(struct htp_assoc *a);
__u8	htp_repair_group(struct htp_assoc *a);
void	htp_repair_on_sent(struct htp_assoc *a, __u8 group, const __u8 *pkt, size_t len,
			   __u16 ctl_len);
__u64	htp_repair_deadline(const struct htp_assoc *a);
bool	htp_repair_is_due(const struct htp_assoc *a, bool more);
void	htp_repair_write(struct htp_assoc *a, struct htp_writer *w);
void	htp_repair_end(struct htp_assoc *a);
void	htp_repair_drop(struct htp_assoc *a);
void	htp_repair_decline(struct htp_assoc *a);
void	htp_repair_on_packet(struct htp_assoc *a, __u8 group, const __u8 *p, size_t len,
			     __u16 ctl_len);
void	htp_repair_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame);
const struct htp_group *htp_repair_take(struct htp_assoc *a, __u8 group);

#endif /* HTP_REPAIR_H */
