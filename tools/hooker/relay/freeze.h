/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's associations and connections as bytes, for the daemon that follows it.
 *
 * Rules come first, then peers, each with its association, then flows, which name
 * theirs. A flow's descriptor travels apart, in the order of the flows that have one.
 */
#ifndef HK_RELAY_FREEZE_H
#define HK_RELAY_FREEZE_H

#include <linux/types.h>
#include "../htp/freeze.h"

struct hk_flow;
struct hk_peer;
struct hk_relay;

/* freeze.c */
void	hk_freeze_prepare(struct hk_relay *r);
int	hk_freeze(struct hk_relay *r, struct htp_freezer *f, int *fds);
int	hk_thaw(struct hk_relay *r, struct htp_freezer *f, const int *fds, __u32 nr_fds);
void	hk_thaw_finish(struct hk_relay *r);

/* freeze_peer.c, freeze_flow.c */
void	hk_freeze_peer(struct htp_freezer *f, struct hk_peer *peer);
void	hk_thaw_peer(struct htp_freezer *f, struct hk_relay *r);
void	hk_freeze_flow(struct htp_freezer *f, struct hk_flow *flow);
void	hk_thaw_flow(struct htp_freezer *f, struct hk_relay *r, const int *fds, __u32 nr_fds,
		     __u32 *next_fd);

#endif /* HK_RELAY_FREEZE_H */
