/* SPDX-License-Identifier: GPL-2.0 */
/* Frames, as they are read and written; their formats stand in wire.h */
#ifndef HTP_FRAME_H
#define HTP_FRAME_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include "cursor.h"
#include "ranges.h"

#define HTP_ACK_RANGES		64	/* ranges taken from a peer's ACK, the newest */
#define HTP_REPAIR_HDR_LEN	13

/* Counts of marks, in the order of ACK_ECN */
enum {
	HTP_ACK_ECT0,
	HTP_ACK_ECT1,
	HTP_ACK_CE,
	HTP_NR_ACK_ECN,
};

/**
 * struct htp_ack - an ACK frame
 * @largest:  newest packet acknowledged
 * @ecn:      datagrams that came with a mark, by HTP_ACK_*; valid if @has_ecn
 * @has_ecn:  it is ACK_ECN
 * @delay_ns: how long the peer held it back
 * @r:        what is acknowledged, the newest range first
 * @nr:       entries of @r, at least 1
 */
struct htp_ack {
	__u64			largest, delay_ns;
	__u64			ecn[HTP_NR_ACK_ECN];
	bool			has_ecn;
	struct htp_range	r[HTP_ACK_RANGES];
	__u32			nr;
};

/* REPAIR frame, its bytes apart: see wire.h */
struct htp_repair_frame {
	__u8	id, nr;
	__u16	ctl_len, len;
	__u32	hash;
};

/**
 * struct htp_rx_frame - a received frame; which members count depends on its type
 * @type:   enum htp_frame
 * @stream: stream id
 * @offset: STREAM: offset; MAX_*, BLOCKED: the limit; RESET: final size; PATH_*: data
 * @len:    bytes at @data
 * @code:   of RESET, CLOSE
 * @loose:  OPEN, ACCEPT, STREAM: it was the type with LOOSE; @type is the one without
 * @data:   OPEN: its data; STREAM: the bytes
 * @ack:    ACK
 * @repair: REPAIR
 */
struct htp_rx_frame {
	__u8		type;
	__u64		stream, offset, len, code;
	bool		loose;
	const __u8	*data;
	struct htp_ack	ack;

	struct htp_repair_frame	repair;
};

int	htp_frame_read(struct htp_reader *ctl, struct htp_reader *payload,
		       struct htp_rx_frame *frame);
bool	htp_frame_write_ack(struct htp_writer *w, const struct htp_ack *ack);
size_t	htp_frame_stream_hdr_len(__u64 stream, __u64 offset);
void	htp_frame_write_stream(struct htp_writer *w, __u8 type, __u64 stream, __u64 offset,
			       __u32 len);

#endif /* HTP_FRAME_H */
