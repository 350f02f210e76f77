/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Next hops: device and MAC address that a datagram would leave by, as the kernel's
 * tables have it. Private to carrier/.
 */
#ifndef HK_CARRIER_HOP_H
#define HK_CARRIER_HOP_H

#include <linux/if_ether.h>
#include "carrier.h"

struct mnl_socket;

/**
 * struct hk_hop - where a path's datagrams go first
 * @ifindex:   device
 * @family:    of @next, AF_INET or AF_INET6
 * @next:      gateway, or the destination; IPv4 in the first word, unlike in paths
 * @mtu:       of the device, bytes of IP packet
 * @nr_queues: transmit queues of the device
 * @hop_limit: of the route; 0: the host's default
 * @dst:       MAC address of the next hop
 * @src:       MAC address of the device
 */
struct hk_hop {
	int	ifindex, family;
	__be32	next[4];
	__u32	mtu, nr_queues;
	__u8	hop_limit;
	__u8	dst[ETH_ALEN], src[ETH_ALEN];
};

/**
 * struct hk_hops - the questions to the kernel, and its news
 * @query:     rtnetlink
 * @events:    rtnetlink, with the groups that tell of changes
 * @spd_query: xfrm; NULL: the kernel has no IPsec
 * @spd:       xfrm, told when policies change
 */
struct hk_hops {
	struct mnl_socket	*query, *events, *spd_query, *spd;
};

/**
 * struct hk_hop_news - what has changed
 * @ifindex: device of a neighbour; 0: routes, addresses, devices: anything may have
 * @family:  of @next
 * @next:    the neighbour, as in struct hk_hop
 * @usable:  the kernel would send to it at once
 * @dst:     with @usable its MAC address
 */
struct hk_hop_news {
	int	ifindex, family;
	__be32	next[4];
	bool	usable;
	__u8	dst[ETH_ALEN];
};

int	hk_hops_open(struct hk_hops *h);
void	hk_hops_close(struct hk_hops *h);
int	hk_hops_find(struct hk_hops *h, const struct hk_path *path, __u32 mark,
		     struct hk_hop *hop);
void	hk_hops_fds(const struct hk_hops *h, int fds[2]);
bool	hk_hops_have_ipsec(struct hk_hops *h);
void	hk_hops_read(struct hk_hops *h, void (*fn)(void *priv, const struct hk_hop_news *news),
		     void *priv);

#endif /* HK_CARRIER_HOP_H */
