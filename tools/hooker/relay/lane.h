/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reader's side of the two lanes (bpf/lane.bpf.c has the sender's): tells
 * SK_MSG how much has been read of each.
 */
#ifndef HK_LANE_H
#define HK_LANE_H

#include <linux/types.h>
#include <stddef.h>
#include "../bpf/hooker_abi.h"

/**
 * struct hk_lane_reader - what was read from one redirection socket
 * @lane:	 shared with SK_MSG; borrowed
 * @native_base: sequence number at which the native lane starts
 * @in_bytes:	 read, both lanes
 * @fast_bytes:	 of @in_bytes, by the fast lane
 */
struct hk_lane_reader {
	struct hk_lane	*lane;
	__u32		native_base;
	__u64		in_bytes, fast_bytes;
};

void	hk_lane_reader_init(struct hk_lane_reader *reader, struct hk_lane *lane, __u32 native_seq,
			    __u32 limit);
void	hk_lane_reader_account(struct hk_lane_reader *reader, size_t len);

#endif /* HK_LANE_H */
