/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HK_DATAPLANE_PRIVATE_H
#define HK_DATAPLANE_PRIVATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "dataplane.h"

/**
 * struct hk_dataplane - everything that is loaded, attached and mapped; owned
 * @conn:	offer, gate, lane and listeners, linked into one object
 * @xdp:	ingress program; NULL without devices
 * @links:	SOCK_OPS, gate
 * @fast_lane:	applications' sockets get into the SOCKHASH
 * @xdp_fds:	a link for each device, as a bare descriptor; -1: none
 * @xdp_generic: device runs it in generic mode
 * @ring:	hk_events
 * @read_fn:	receiver of records while hk_dataplane_read_events() runs
 * @read_priv:	its argument
 * @lanes:	hk_lanes, mapped
 * @lanes_size:	bytes mapped there
 * @max_flows:	slots in it
 * @live:	hk_live, mapped
 * @times:	of loading and attaching
 * @fds:	maps used at run time; borrowed from @conn and @xdp
 */
struct hk_dataplane {
	struct connection_bpf		*conn;
	struct ingress_bpf		*xdp;
	struct bpf_link			*links[2];
	bool				fast_lane;
	int				xdp_fds[HK_DATAPLANE_MAX_DEVS];
	bool				xdp_generic[HK_DATAPLANE_MAX_DEVS];
	struct ring_buffer		*ring;
	void				(*read_fn)(void *priv, const void *record, size_t len);
	void				*read_priv;
	struct hk_lane			*lanes;
	size_t				lanes_size;
	__u32				max_flows;
	struct hk_live			*live;
	struct hk_dataplane_times	times;
	struct {
		int	verdicts, offers, redirs, events, stats, assocs, locals, xdp_stats;
	} fds;
};

int	hk_xdp_attach(struct hk_dataplane *dp, const struct bpf_program *prog, unsigned int dev,
		      int ifindex);

#endif /* HK_DATAPLANE_PRIVATE_H */
