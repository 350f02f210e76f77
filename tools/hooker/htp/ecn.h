/* SPDX-License-Identifier: GPL-2.0 */
/* Marks of routers (RFC 3168) on what we send: ecn.c */
#ifndef HTP_ECN_H
#define HTP_ECN_H

#include <linux/types.h>
#include <stdbool.h>
#include "frame.h"

struct htp_assoc;

/**
 * struct htp_ecn - marks on what we send; see ecn.c
 * @state:	enum htp_ecn_state
 * @tested:	TESTING: packets marked on this path
 * @lost:	of them, lost
 * @acked:	packets marked on this path that were acknowledged
 * @path_acked:	of them, by the last ACK whose counts were used
 * @marked:	packets marked, ever
 * @sum:	marks the peer has seen, ever
 * @path_sum:	of them, before this path was used
 * @ce:		of @sum, CE
 */
struct htp_ecn {
	__u32	state;
	__u32	tested, lost;
	__u64	acked, path_acked;
	__u64	marked, sum, path_sum, ce;
};

void	htp_ecn_init(struct htp_assoc *a);
bool	htp_ecn_on_sent(struct htp_assoc *a);
void	htp_ecn_on_lost(struct htp_assoc *a);
__u64	htp_ecn_on_ack(struct htp_assoc *a, const struct htp_ack *ack, __u32 nr, bool is_newest);
void	htp_ecn_on_path(struct htp_assoc *a);

#endif /* HTP_ECN_H */
