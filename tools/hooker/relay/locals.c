// SPDX-License-Identifier: GPL-2.0
/*
 * This host's addresses, for the XDP program and for the peers that we reach from
 * them: read at start, and again whenever rtnetlink tells of a change. Changes of devices
 * are heard here, too.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../carrier/netlink.h"
#include "../tcp/addr.h"
#include "host.h"
#include "log.h"
#include "private.h"
#include "way.h"

#define MAX_LOCALS	4096

static bool to_key(const struct sockaddr *sa, struct hk_local_key *key)
{
	if (sa && sa->sa_family == AF_INET)
		hk_addr_map(key->addr, ((const struct sockaddr_in *)sa)->sin_addr.s_addr);
	else if (sa && sa->sa_family == AF_INET6)
		memcpy(key->addr, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	else
		return false;
	return true;
}

/* Those on devices that work come first */
static unsigned int read_locals(const struct ifaddrs *list, struct hk_local_key *keys,
				unsigned int *nr_alive)
{
	const unsigned int works = IFF_UP | IFF_RUNNING;
	const struct ifaddrs *ifa;
	unsigned int nr = 0;

	for (ifa = list; ifa && nr < MAX_LOCALS; ifa = ifa->ifa_next)
		if ((ifa->ifa_flags & works) == works)
			nr += to_key(ifa->ifa_addr, &keys[nr]);
	*nr_alive = nr;
	for (ifa = list; ifa && nr < MAX_LOCALS; ifa = ifa->ifa_next)
		if ((ifa->ifa_flags & works) != works)
			nr += to_key(ifa->ifa_addr, &keys[nr]);
	return nr;
}

static int sync_locals(struct hk_relay *r)
{
	static struct hk_local_key keys[MAX_LOCALS];
	unsigned int nr, nr_alive;
	struct ifaddrs *list;

	if (getifaddrs(&list))
		return -errno;
	nr = read_locals(list, keys, &nr_alive);
	freeifaddrs(list);
	hk_ways_on_locals(r, keys, nr_alive);
	return hk_dataplane_set_locals(r->dp, keys, nr);
}

/**
 * hk_locals_open - tell the XDP program the addresses, and listen for changes
 * @r: relay with its data plane
 *
 * Return: 0 or a negative errno; the reason has been printed.
 */
int hk_locals_open(struct hk_relay *r)
{
	const unsigned int groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK;
	int err = 0;

	r->addr_events = hk_netlink_open(NETLINK_ROUTE, SOCK_NONBLOCK, groups);
	if (!r->addr_events)
		err = -errno;
	if (!err)
		err = hk_relay_poll(r, EPOLL_CTL_ADD, mnl_socket_get_fd(r->addr_events), EPOLLIN,
				    hk_source_pack(HK_SRC_ADDRS, 0, 0));
	if (!err)
		err = sync_locals(r);
	if (err)
		hk_err("listening for changes of addresses and devices: %s", strerror(-err));
	return err;
}

/**
 * hk_locals_close - stop listening
 * @r: relay
 */
void hk_locals_close(struct hk_relay *r)
{
	if (r->addr_events)
		mnl_socket_close(r->addr_events);
	r->addr_events = NULL;
}

/**
 * hk_locals_on_poll - addresses or devices have changed
 * @r: relay
 *
 * What the messages say does not matter, nor if some were lost: all is read anew.
 */
void hk_locals_on_poll(struct hk_relay *r)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int err;

	while (mnl_socket_recvfrom(r->addr_events, buf, sizeof(buf)) > 0)
		;
	/* what a daemon that takes over has been told must stay so */
	if (r->handover_fd < 0)
		hk_devices_sync(r);
	err = sync_locals(r);
	if (err)
		hk_err("reading the addresses: %s; datagrams to new ones are not checked",
		       strerror(-err));
}
