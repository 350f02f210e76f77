/* SPDX-License-Identifier: GPL-2.0 */
/* The bytes of a stream, out: sendq.c, and in: recvq.c */
#ifndef HTP_QUEUE_H
#define HTP_QUEUE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>
#include "alloc.h"
#include "ranges.h"

/**
 * struct htp_sendq - bytes of a stream on their way to the peer
 * @q:	       chunks with all bytes of [@acked, @end)
 * @acked:     all before is acknowledged and freed
 * @sent:      new bytes start here
 * @end:       committed by the application
 * @limit:     the peer takes bytes below
 * @blocked_at: BLOCKED was written for this limit; HTP_NEVER: for none
 * @above:     acknowledged ranges above @acked
 * @lost:      ranges to be sent again
 * @reserved:  bytes handed out by htp_stream_reserve(), not committed
 * @finished:  the stream ends at @end
 * @fin_due:   which the peer must still be told
 * @fin_acked: and knows
 * @want_room: reserve found it full: tell when a quarter is free
 */
struct htp_sendq {
	struct htp_chunkq	q;
	__u64			acked, sent, end, limit, blocked_at;
	struct htp_ranges	above, lost;
	__u32			reserved;
	bool			finished, fin_due, fin_acked, want_room;
};

void	htp_sendq_init(struct htp_sendq *q, __u64 limit);
void	htp_sendq_clear(struct htp_assoc *a, struct htp_sendq *q);
int	htp_sendq_reserve(struct htp_assoc *a, struct htp_sendq *q, __u64 room, struct iovec *iov,
			  int nr_iov);
void	htp_sendq_commit(struct htp_assoc *a, struct htp_sendq *q, size_t len);
void	htp_sendq_copy(const struct htp_sendq *q, __u64 offset, void *to, size_t len);
void	htp_sendq_on_acked(struct htp_assoc *a, struct htp_sendq *q, __u64 offset, __u32 len,
			   bool fin);
void	htp_sendq_on_lost(struct htp_assoc *a, struct htp_sendq *q, __u64 offset, __u32 len,
			  bool fin);

/**
 * struct htp_recvq - bytes of a stream that came from the peer
 * @q:	      chunks by (offset - @origin) / HTP_CHUNK; NULL where nothing came yet
 * @origin:   stream offset where the first chunk begins
 * @consumed: read by the application
 * @contig:   everything before it came
 * @highest:  end of the furthest byte the peer sent
 * @final:    size of the stream; HTP_NEVER: not known yet
 * @limit:    what we told the peer it may send up to
 * @ahead:    ranges received above @contig
 * @end_read: the application has seen the end
 */
struct htp_recvq {
	struct htp_chunkq	q;
	__u64			origin, consumed, contig, highest, final, limit;
	struct htp_ranges	ahead;
	bool			end_read;
};

void	htp_recvq_init(struct htp_recvq *q, __u64 limit);
void	htp_recvq_clear(struct htp_assoc *a, struct htp_recvq *q);
int	htp_recvq_insert(struct htp_assoc *a, struct htp_recvq *q, __u64 offset,
			 const __u8 *data, size_t len);
int	htp_recvq_peek(const struct htp_recvq *q, struct iovec *iov, int nr_iov);
void	htp_recvq_consume(struct htp_assoc *a, struct htp_recvq *q, size_t len);

#endif /* HTP_QUEUE_H */
