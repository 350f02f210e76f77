/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What this host's own NAT does to a connection.
 */
#ifndef HK_TCP_CONNTRACK_H
#define HK_TCP_CONNTRACK_H

#include <stdbool.h>
#include "../bpf/hooker_abi.h"

struct mnl_socket;

/**
 * struct hk_conntrack - connection tracking, to be asked
 * @nl:	  netlink socket; owned, NULL as long as nothing is tracked
 * @seq:  of the last question
 * @mute: this kernel does not answer
 *
 * All zero before it is opened.
 */
struct hk_conntrack {
	struct mnl_socket	*nl;
	__u32			seq;
	bool			mute;
};

void	hk_conntrack_open(struct hk_conntrack *ct);
int	hk_conntrack_wire(struct hk_conntrack *ct, const struct hk_flow_key *key,
			  struct hk_flow_key *wire);
void	hk_conntrack_close(struct hk_conntrack *ct);

#endif /* HK_TCP_CONNTRACK_H */
