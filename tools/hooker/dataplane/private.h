/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HK_DATAPLANE_PRIVATE_H
#define HK_DATAPLANE_PRIVATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/queue.h>
#include "adopt.h"
#include "dataplane.h"

#define HK_NR_LINKS	HK_PARTS_LINKS

/**
 * struct hk_policy_image - the entries of one generation of rules
 * @gen:	generation
 * @nr_cgroups: cgroups that are named, perhaps more than once
 * @cgroups:	their ids
 * @nr_keys:	entries of the trie
 * @keys:	sorted
 */
struct hk_policy_image {
	__u32			gen;
	unsigned int		nr_cgroups;
	__u64			cgroups[HK_MAX_POLICY];
	unsigned int		nr_keys;
	struct hk_policy_key	keys[];
};

/**
 * struct hk_dev - a device that is attached to
 * @ifindex: which
 * @xdp_fd:  link of the XDP program, a bare descriptor; -1: not there
 * @mode:    how it runs
 * @slot:    of its counters; 0: of several
 * @all:     the data plane's
 */
struct hk_dev {
	int			ifindex;
	int			xdp_fd;
	enum hk_xdp_mode	mode;
	__u32			slot;
	LIST_ENTRY(hk_dev)	all;
};

/**
 * struct hk_egress - a mechanism's egress program on one device
 * @ifindex: the device
 * @link_fd: tcx link; -1: a clsact filter, to be removed
 * @all:     the mechanism's
 */
struct hk_egress {
	int			ifindex;
	int			link_fd;
	LIST_ENTRY(hk_egress)	all;
};

LIST_HEAD(hk_egress_list, hk_egress);

/**
 * struct hk_mech - a deployed mechanism
 * @obj:       its object, loaded; owned. NULL: adopted, then the descriptors are owned
 * @desc:      its descriptor, checked
 * @path:      file it came from; NULL: the one in this program
 * @ingress:   program; NULL: adopted, it is in its slot
 * @egress_fd: program
 * @ports_fd:  hk_mech_ports
 * @stats_fd:  hk_mech_stats
 * @egresses:  devices that it is on
 * @times:     of loading and attaching
 * @all:       the data plane's
 */
struct hk_mech {
	struct bpf_object		*obj;
	struct hk_mechanism		desc;
	char				*path;
	struct bpf_program		*ingress;
	int				egress_fd, ports_fd, stats_fd;
	struct hk_egress_list		egresses;
	struct hk_dataplane_times	times;
	LIST_ENTRY(hk_mech)		all;
};

LIST_HEAD(hk_dev_list, hk_dev);
LIST_HEAD(hk_mech_list, hk_mech);

/**
 * struct hk_dataplane - everything that is loaded, attached and mapped; owned
 * @conn:	all but the ingress program, linked into one object
 * @xdp:	ingress program; NULL without devices
 * @links:	gate, connect4, connect6, setsockopt, SOCK_OPS
 * @link_fds:	the same as bare descriptors, if they come from another process; -1: none
 * @fast_lane:	applications' sockets get into the SOCKHASH
 * @devs:	devices that are attached to
 * @gone:	counters of devices that are gone
 * @mechs:	mechanisms that are deployed
 * @ring:	hk_events
 * @read_fn:	receiver of records while hk_dataplane_read_events() runs
 * @read_priv:	its argument
 * @lanes:	hk_lanes, mapped
 * @lanes_size:	bytes mapped there
 * @max_flows:	slots in it
 * @live:	hk_live, mapped
 * @policy:	rules
 * @times:	of loading and attaching
 * @fds:	maps used at run time; borrowed from @conn and @xdp
 */
struct hk_dataplane {
	struct connection_bpf		*conn;
	struct ingress_bpf		*xdp;
	struct bpf_link			*links[HK_NR_LINKS];
	int				link_fds[HK_NR_LINKS];
	bool				fast_lane;
	struct hk_dev_list		devs;
	__u64				gone[HK_NR_XDP_STATS];
	struct hk_mech_list		mechs;
	struct ring_buffer		*ring;
	void				(*read_fn)(void *priv, const void *record, size_t len);
	void				*read_priv;
	struct hk_lane			*lanes;
	size_t				lanes_size;
	__u32				max_flows;
	struct hk_live			*live;
	struct hk_policy_store		policy;
	struct hk_dataplane_times	times;
	struct {
		int	verdicts, offers, redirs, events, stats, assocs, remotes, locals, xdp_stats;
	} fds;
};

/* dev.c */
int	hk_devs_sum(struct hk_dataplane *dp, __u64 stats[HK_NR_XDP_STATS]);
void	hk_devs_free(struct hk_dataplane *dp);

/* adopt.c */
int	hk_adopt_maps(struct bpf_object *obj, const struct hk_dataplane_config *config);
int	hk_adopt_bss(struct hk_dataplane *dp);

/* mechanism.c */
int	hk_mechs_add_dev(struct hk_dataplane *dp, int ifindex);
void	hk_mechs_del_dev(struct hk_dataplane *dp, int ifindex);
void	hk_mechs_free(struct hk_dataplane *dp);
int	hk_mech_check(const struct hk_mechanism *desc);

/* load.c, maps.c */
void	hk_cgroup_progs(const struct hk_dataplane *dp, int fds[HK_NR_LINKS]);
int	hk_attach_sk_msg(struct hk_dataplane *dp);
int	hk_ingress_fd(const struct hk_dataplane *dp);
int	hk_percpu_sum(int fd, __u32 first, __u64 *stats, __u32 nr);
int	hk_percpu_clear(int fd, __u32 first, __u32 nr);

#endif /* HK_DATAPLANE_PRIVATE_H */
