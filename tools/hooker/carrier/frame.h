/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ethernet frames with a UDP-Lite datagram in them, as the kernel would build them.
 * Private to carrier/.
 */
#ifndef HK_CARRIER_FRAME_H
#define HK_CARRIER_FRAME_H

#include <linux/if_ether.h>
#include "carrier.h"

/**
 * struct hk_frame_head - what stands in front of a path's datagrams
 * @dst:       MAC address of the next hop
 * @src:       MAC address of the device
 * @sport:     source port, network byte order
 * @hop_limit: hop limit, time to live
 */
struct hk_frame_head {
	__u8	dst[ETH_ALEN], src[ETH_ALEN];
	__be16	sport;
	__u8	hop_limit;
};

__u32	hk_frame_ip_len(const struct hk_datagram *dgram);
__u32	hk_frame_build(void *frame, const struct hk_frame_head *head,
		       const struct hk_datagram *dgram);

#endif /* HK_CARRIER_FRAME_H */
