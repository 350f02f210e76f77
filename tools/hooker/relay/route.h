/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Steering: packets that carry the mark are delivered on this host, to the
 * redirection sockets, instead of leaving it.
 */
#ifndef HK_ROUTE_H
#define HK_ROUTE_H

#include <linux/types.h>

/**
 * struct hk_route - the rule and the route for one mark, IPv4 and IPv6
 * @mark:     firewall mark of hooked applications' sockets
 * @table:    routing table that holds "local default dev lo"
 * @priority: of the rule; before main (32766), after local (0)
 * @has_v6:   IPv6 was set up, too (a host may run without it)
 */
struct hk_route {
	__u32	mark, table, priority;
	int	has_v6;
};

int	hk_route_add(struct hk_route *route);
int	hk_route_del(struct hk_route *route);

#endif /* HK_ROUTE_H */
