// SPDX-License-Identifier: GPL-2.0
/*
 * Devices: each runs the XDP program, and on its way out the deployed mechanisms'
 * egress programs. They may come and go while the daemon runs.
 */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "private.h"
#include "ingress.skel.h"

static int ask_device(int ifindex, unsigned long what, struct ifreq *ifr)
{
	int fd, err;

	if (!if_indextoname(ifindex, ifr->ifr_name))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, what, ifr) ? -errno : 0;
	close(fd);
	return err;
}

/* Is the device one of these drivers'? */
static bool is_one_of(int ifindex, const char * const drivers[], unsigned int nr)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (void *)&info };
	bool is = false;

	if (ask_device(ifindex, SIOCETHTOOL, &ifr))
		return false;
	while (nr--)
		is = is || !strcmp(info.driver, drivers[nr]);
	return is;
}

/*
 * A veth pair hands over packets whose checksum nobody has filled in yet. Native
 * XDP_TX drops the note about that together with the skb, so the answer leaves
 * with a wrong checksum; it also copies each packet. Generic mode keeps the skb.
 */
static bool wants_generic(int ifindex)
{
	static const char * const drivers[] = { "veth" };

	return is_one_of(ifindex, drivers, 1);
}

/* Whatever such a device receives, another one has received before */
static bool is_stacked(int ifindex)
{
	static const char * const drivers[] = {
		"802.1Q VLAN Support", "bonding", "bridge", "ipvlan", "macvlan", "team",
	};

	return is_one_of(ifindex, drivers, sizeof(drivers) / sizeof(drivers[0]));
}

/*
 * Frames of a tunnel begin with the IP header, and a program can't see that: it would take the
 * source address for the Ethernet type.
 */
static bool has_ethernet(int ifindex)
{
	struct ifreq ifr = {};

	return ask_device(ifindex, SIOCGIFHWADDR, &ifr) ||
	       ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
	       ifr.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
}

/* libbpf's attach_xdp() has no place for the mode; the link type is the same */
static int link_create(int prog_fd, int ifindex, __u32 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);

	return fd < 0 ? -errno : fd;
}

static int attach_xdp(int prog_fd, struct hk_dev *dev)
{
	int fd = -EOPNOTSUPP;

	dev->mode = HK_XDP_NATIVE;
	if (!wants_generic(dev->ifindex))
		fd = link_create(prog_fd, dev->ifindex, XDP_FLAGS_DRV_MODE);
	if (fd < 0 && fd != -EBUSY && fd != -EEXIST) {
		dev->mode = HK_XDP_GENERIC;
		fd = link_create(prog_fd, dev->ifindex, XDP_FLAGS_SKB_MODE);
	}
	dev->xdp_fd = fd;
	if (fd >= 0)
		return 0;
	dev->mode = HK_XDP_NONE;
	return fd == -EEXIST ? -EBUSY : fd;
}

static struct hk_dev *find(struct hk_dataplane *dp, int ifindex)
{
	struct hk_dev *dev;

	LIST_FOREACH(dev, &dp->devs, all)
		if (dev->ifindex == ifindex)
			return dev;
	return NULL;
}

static bool slot_is_free(struct hk_dataplane *dp, __u32 slot)
{
	struct hk_dev *dev;

	LIST_FOREACH(dev, &dp->devs, all)
		if (dev->slot == slot)
			return false;
	return true;
}

/* Counters of its own, if there are any left */
static void take_slot(struct hk_dataplane *dp, struct hk_dev *dev)
{
	__u32 slot;

	if (!dp->xdp || dev->ifindex >= HK_XDP_IFINDEXES)
		return;
	for (slot = 1; slot < HK_XDP_SLOTS; slot++)
		if (slot_is_free(dp, slot))
			break;
	dev->slot = slot < HK_XDP_SLOTS ? slot : 0;
	dp->xdp->bss->hk_dev_slots[dev->ifindex] =
		dev->slot | (is_stacked(dev->ifindex) ? HK_XDP_STACKED : 0);
}

static int read_slot(struct hk_dataplane *dp, __u32 slot, __u64 stats[HK_NR_XDP_STATS])
{
	return hk_percpu_sum(dp->fds.xdp_stats, slot * HK_NR_XDP_STATS, stats, HK_NR_XDP_STATS);
}

static void add_up(__u64 sum[HK_NR_XDP_STATS], const __u64 more[HK_NR_XDP_STATS])
{
	int i;

	for (i = 0; i < HK_NR_XDP_STATS; i++)
		sum[i] += more[i];
}

/* Its program is gone already, so nobody counts there any more */
static void leave_slot(struct hk_dataplane *dp, struct hk_dev *dev)
{
	__u64 stats[HK_NR_XDP_STATS];

	if (dp->xdp && dev->ifindex < HK_XDP_IFINDEXES)
		dp->xdp->bss->hk_dev_slots[dev->ifindex] = 0;
	if (!dev->slot)
		return;
	if (!read_slot(dp, dev->slot, stats))
		add_up(dp->gone, stats);
	hk_percpu_clear(dp->fds.xdp_stats, dev->slot * HK_NR_XDP_STATS, HK_NR_XDP_STATS);
}

/* The counters of all devices, also of those that are gone; 0 or a negative errno */
int hk_devs_sum(struct hk_dataplane *dp, __u64 stats[HK_NR_XDP_STATS])
{
	__u64 more[HK_NR_XDP_STATS];
	struct hk_dev *dev;
	int err;

	err = read_slot(dp, 0, stats);
	if (err)
		return err;
	add_up(stats, dp->gone);
	LIST_FOREACH(dev, &dp->devs, all)
		if (dev->slot && !read_slot(dp, dev->slot, more))
			add_up(stats, more);
	return 0;
}

/**
 * hk_dataplane_dev_stats - read the XDP program's counters of one device
 * @dp:	     data plane
 * @ifindex: the device
 * @stats:   filled in, indexed by enum hk_xdp_stat
 *
 * Return: 0; -ENODEV: the program is not there; -ENOSPC: more than HK_XDP_SLOTS devices,
 * its counters are in the sum only; or another negative errno.
 */
int hk_dataplane_dev_stats(struct hk_dataplane *dp, int ifindex, __u64 stats[HK_NR_XDP_STATS])
{
	struct hk_dev *dev = find(dp, ifindex);

	if (!dev || dev->mode == HK_XDP_NONE)
		return -ENODEV;
	return dev->slot ? read_slot(dp, dev->slot, stats) : -ENOSPC;
}

static int add(struct hk_dataplane *dp, int ifindex, struct hk_dev **found)
{
	struct hk_dev *dev = find(dp, ifindex);
	int err;

	*found = dev;
	if (dev)
		return 0;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->ifindex = ifindex;
	dev->xdp_fd = -1;
	take_slot(dp, dev);
	LIST_INSERT_HEAD(&dp->devs, dev, all);
	*found = dev;
	err = hk_mechs_add_dev(dp, ifindex);
	if (err)
		hk_dataplane_del_dev(dp, ifindex);
	return err;
}

/**
 * hk_dataplane_add_dev - attach to a device: XDP, and deployed mechanisms
 * @dp:	     data plane; one created without devices has no XDP program
 * @ifindex: the device; one that is attached to already is fine
 *
 * XDP runs in native mode where that is good, else in generic mode. Where it can't be
 * had, the mechanisms' way out is there nevertheless: see hk_dataplane_add_exit(). That is all
 * there is to have on devices whose packets have no Ethernet header.
 *
 * Return: 0, or a negative errno; -EBUSY: another XDP program is there;
 * -EOPNOTSUPP: no XDP program was loaded.
 */
int hk_dataplane_add_dev(struct hk_dataplane *dp, int ifindex)
{
	struct hk_dev *dev;
	int err;

	if (!dp->xdp)
		return -EOPNOTSUPP;
	err = add(dp, ifindex, &dev);
	if (err || dev->xdp_fd >= 0 || !has_ethernet(ifindex))
		return err;
	return attach_xdp(hk_ingress_fd(dp), dev);
}

/**
 * hk_dataplane_add_exit - a device that is to have no XDP program
 * @dp:	     data plane
 * @ifindex: the device; one that is attached to already is fine
 *
 * Nothing of a deployed mechanism can arrive here. What is sent this way leaves as what it
 * is all the same: as UDP it would pass for something else with the peer, and its
 * answers here.
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_add_exit(struct hk_dataplane *dp, int ifindex)
{
	struct hk_dev *dev;

	return add(dp, ifindex, &dev);
}

/**
 * hk_dataplane_del_dev - let go of a device, which may be gone already
 * @dp:	     data plane
 * @ifindex: the device; one that is not attached to is fine
 */
void hk_dataplane_del_dev(struct hk_dataplane *dp, int ifindex)
{
	struct hk_dev *dev = find(dp, ifindex);

	if (!dev)
		return;
	hk_mechs_del_dev(dp, ifindex);
	if (dev->xdp_fd >= 0)
		close(dev->xdp_fd);
	leave_slot(dp, dev);
	LIST_REMOVE(dev, all);
	free(dev);
}

/**
 * hk_dataplane_devs - which devices are attached to
 * @dp:	  data plane
 * @fn:	  called for each: its index, and how XDP runs there
 * @priv: passed to @fn
 */
void hk_dataplane_devs(const struct hk_dataplane *dp,
		       void (*fn)(void *priv, int ifindex, enum hk_xdp_mode mode), void *priv)
{
	const struct hk_dev *dev;

	LIST_FOREACH(dev, &dp->devs, all)
		fn(priv, dev->ifindex, dev->mode);
}

/* Let go of all of them */
void hk_devs_free(struct hk_dataplane *dp)
{
	while (!LIST_EMPTY(&dp->devs))
		hk_dataplane_del_dev(dp, LIST_FIRST(&dp->devs)->ifindex);
}
