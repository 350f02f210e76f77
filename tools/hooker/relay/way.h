/* SPDX-License-Identifier: GPL-2.0 */
/* Where peers are, and where this host is: way.c */
#ifndef HK_RELAY_WAY_H
#define HK_RELAY_WAY_H

#include <linux/types.h>
#include <stdbool.h>
#include "../bpf/hooker_abi.h"
#include "../carrier/carrier.h"

struct hk_peer;
struct hk_port;
struct hk_relay;

/**
 * struct hk_way - what a path's number means, see htp/path.c
 * @port: carrier; borrowed, NULL: never used
 * @path: addresses
 */
struct hk_way {
	struct hk_port	*port;
	struct hk_path	path;
};

void	hk_ways_begin(struct hk_peer *peer);
__u32	hk_way_number(struct hk_peer *peer, struct hk_port *port, const struct hk_path *path);
bool	hk_way_is_same_host(const struct hk_peer *peer, struct hk_port *port,
			    const struct hk_path *path);
void	hk_ways_sync(struct hk_peer *peer);
void	hk_ways_leave(struct hk_peer *peer, const struct hk_port *gone, struct hk_port *to);
void	hk_ways_settle(struct hk_peer *peer);
void	hk_ways_on_locals(struct hk_relay *r, const struct hk_local_key *alive, unsigned int nr);

#endif /* HK_RELAY_WAY_H */
