/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the freeze*.c files share: the daemon's associations and connections as bytes,
 * for the daemon that follows it.
 *
 * Rules come first, then peers, each with its association, then flows, which name
 * theirs. A flow's descriptor travels apart, in the order of the flows that have one.
 */
#ifndef HK_RELAY_FREEZE_H
#define HK_RELAY_FREEZE_H

#include "../htp/freeze.h"
#include "private.h"

void	hk_freeze_peer(struct htp_freezer *f, struct hk_peer *peer);
void	hk_thaw_peer(struct htp_freezer *f, struct hk_relay *r);
void	hk_freeze_flow(struct htp_freezer *f, struct hk_flow *flow);
void	hk_thaw_flow(struct htp_freezer *f, struct hk_relay *r, const int *fds, __u32 nr_fds,
		     __u32 *next_fd);

#endif /* HK_RELAY_FREEZE_H */
