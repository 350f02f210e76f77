/* SPDX-License-Identifier: GPL-2.0 */
/* What host and network say about the size of datagrams: pathmtu.c */
#ifndef HK_RELAY_PATHMTU_H
#define HK_RELAY_PATHMTU_H

#include <linux/types.h>
#include <stdbool.h>
#include "../carrier/carrier.h"

#define HK_ETHERNET_MTU		1500
#define HK_UDP_HDR		8	/* of UDP-Lite, too */

struct hk_peer;
struct hk_relay;

__u32	hk_pathmtu_hello(const struct hk_path *path);
__u32	hk_pathmtu_limit(struct hk_peer *peer);
void	hk_pathmtu_refresh(struct hk_peer *peer);
void	hk_pathmtu_refused(struct hk_relay *r, const struct hk_datagram *dgram);
void	hk_pathmtu_too_big(struct hk_peer *peer, const struct hk_carrier_error *error, __u32 pn);
bool	hk_pathmtu_hello_too_big(struct hk_peer *peer, const struct hk_carrier_error *error);

#endif /* HK_RELAY_PATHMTU_H */
