/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sending UDP-Lite through AF_XDP sockets, beside the carrier that has the port.
 */
#ifndef HK_CARRIER_XSK_H
#define HK_CARRIER_XSK_H

#include <net/if.h>
#include "carrier.h"

#define HK_XSK_MAX_DEVS	16

/* What became of datagrams: frames of ours, or left to the socket and why */
enum hk_xsk_stat {
	HK_XSK_FRAMES,		/* sent as frames */
	HK_XSK_NEW,		/* path too new to look it up */
	HK_XSK_REFRESH,		/* one a second keeps the kernel's tables fresh */
	HK_XSK_ROUTE,		/* no route that a frame can follow, or it has just changed */
	HK_XSK_NEIGHBOUR,	/* MAC address of the next hop unknown */
	HK_XSK_DEVICE,		/* not Ethernet, down, or no AF_XDP socket to be had on it */
	HK_XSK_SIZE,		/* larger than the device's MTU, or than a frame's memory */
	HK_XSK_FULL,		/* no room: the device doesn't keep up */
	HK_XSK_IPSEC,		/* there are policies, which frames would pass by */
	HK_XSK_LOST,		/* frames of ours that a device that went away had not taken */
	HK_NR_XSK_STATS,
};

int	hk_xsk_wrap(struct hk_carrier *c, __u32 mark, bool zerocopy);
const struct hk_carrier *hk_xsk_inner(const struct hk_carrier *c);
const __u64 *hk_xsk_stats(const struct hk_carrier *c);
void	hk_xsk_devs(const struct hk_carrier *c,
		    void (*fn)(void *priv, int ifindex, bool zerocopy), void *priv);
int	hk_xsk_fd(const struct hk_carrier *c);
void	hk_xsk_on_poll(struct hk_carrier *c);
const char *hk_xsk_stat_name(enum hk_xsk_stat stat);

#endif /* HK_CARRIER_XSK_H */
