// SPDX-License-Identifier: GPL-2.0
/*
 * Accounting for the two lanes.
 */
#include <string.h>

#include "lane.h"

/**
 * hk_lane_reader_init - start counting
 * @reader:	reader
 * @lane:	slot shared with SK_MSG; zeroed and opened by this
 * @native_seq: sequence number of the first byte that the sender will send
 * @limit:	bytes that may be outstanding in the fast lane; 0 keeps it shut
 */
void hk_lane_reader_init(struct hk_lane_reader *reader, struct hk_lane *lane, __u32 native_seq,
			 __u32 limit)
{
	memset(lane, 0, sizeof(*lane));
	memset(reader, 0, sizeof(*reader));
	reader->lane = lane;
	reader->native_base = native_seq;
	lane->native_seq = native_seq;
	lane->limit = limit;
}

/**
 * hk_lane_reader_account - bytes were read
 * @reader: reader
 * @len:    returned by one read; it is all of one lane
 *
 * Which lane? While fast bytes are outstanding, reads return them first. A wrong
 * guess (a thread of the application is inside sendmsg(), counted but not queued
 * yet) takes native bytes for fast ones: native_seq lags, and the fast lane stays
 * shut a little longer. Never the other way round.
 */
void hk_lane_reader_account(struct hk_lane_reader *reader, size_t len)
{
	struct hk_lane *lane = reader->lane;
	__u64 sent = __atomic_load_n(&lane->fast_sent, __ATOMIC_ACQUIRE);
	__u64 pending = sent - reader->fast_bytes;

	reader->in_bytes += len;
	reader->fast_bytes += pending < len ? pending : len;
	__atomic_store_n(&lane->fast_consumed, reader->fast_bytes, __ATOMIC_RELEASE);
	__atomic_store_n(&lane->native_seq,
			 reader->native_base + (__u32)(reader->in_bytes - reader->fast_bytes),
			 __ATOMIC_RELEASE);
}
