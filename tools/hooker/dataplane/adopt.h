/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A data plane that goes on under another process, see adopt.c. What passes between the
 * two is this struct, as it is, and descriptors beside it, in this order:
 *
 *	links of cgroup programs; of each device the link of the XDP program, if it has one;
 *	of each mechanism ports, counters, egress program, and a link for each device that
 *	has one; maps
 */
#ifndef HK_DATAPLANE_ADOPT_H
#define HK_DATAPLANE_ADOPT_H

#include <limits.h>
#include "dataplane.h"

#define HK_PARTS_LINKS	5
#define HK_PARTS_MAPS	40
#define HK_PARTS_NAME	24
#define HK_PARTS_DEVS	32
#define HK_PARTS_MECHS	8
#define HK_PARTS_FDS	(HK_PARTS_LINKS + HK_PARTS_DEVS + HK_PARTS_MAPS + \
			 HK_PARTS_MECHS * (3 + HK_PARTS_DEVS))

/**
 * struct hk_dev_part - a device
 * @ifindex: which
 * @mode:    enum hk_xdp_mode
 * @slot:    of its counters
 * @has_xdp: a descriptor is the link of its XDP program
 */
struct hk_dev_part {
	__s32	ifindex;
	__u32	mode, slot, has_xdp;
};

/**
 * struct hk_mech_part - a mechanism
 * @desc:      its descriptor
 * @path:      file it came from; "": the one in the program
 * @times:     of loading and attaching
 * @nr_devs:   devices that have its egress program
 * @ifindex:   theirs
 * @has_link:  a descriptor is the link there; else it is a clsact filter
 */
struct hk_mech_part {
	struct hk_mechanism		desc;
	char				path[PATH_MAX];
	struct hk_dataplane_times	times;
	__u32				nr_devs;
	__s32				ifindex[HK_PARTS_DEVS];
	__u32				has_link[HK_PARTS_DEVS];
};

/**
 * struct hk_dataplane_parts - what of a data plane can go on under another process
 * @nr_maps:  maps shared by programs and daemon
 * @maps:     their names
 * @nr_devs:  devices
 * @devs:     they
 * @gone:     counters of devices that are gone
 * @nr_mechs: mechanisms
 * @mechs:    they
 * @last_gen: last generation of rules, see struct hk_policy_store
 */
struct hk_dataplane_parts {
	__u32			nr_maps;
	char			maps[HK_PARTS_MAPS][HK_PARTS_NAME];
	__u32			nr_devs;
	struct hk_dev_part	devs[HK_PARTS_DEVS];
	__u64			gone[HK_NR_XDP_STATS];
	__u32			nr_mechs;
	struct hk_mech_part	mechs[HK_PARTS_MECHS];
	__u32			last_gen;
};

int	hk_dataplane_parts(const struct hk_dataplane *dp, struct hk_dataplane_parts *parts,
			   int fds[HK_PARTS_FDS]);
int	hk_parts_check(const struct hk_dataplane_parts *parts);
int	hk_dataplane_adopt(struct hk_dataplane *dp, const struct hk_dataplane_parts *parts,
			   const int *fds);
int	hk_dataplane_take_over(struct hk_dataplane *dp);
int	hk_dataplane_adopt_policy(struct hk_dataplane *dp, const struct hk_policy_rule *rules,
				  unsigned int nr, __u32 last_gen);

#endif /* HK_DATAPLANE_ADOPT_H */
