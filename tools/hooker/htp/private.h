/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of an association, for the files of the transport core and nobody else
 * (the selftests look inside, too).
 *
 * All state hangs on struct htp_assoc. What that consists of has a header for each
 * subject, which knows the association by name only, and none includes this one:
 *
 *	streams		stream.h, and below it queue.h, window.h
 *	packets		ack.h, recovery.h, repair.h, pmtu.h, ecn.h, path.h
 *	both		frame.h, ranges.h, alloc.h, units.h
 *
 * Calls run downwards: assoc, tx, rx -> stream -> sendq, recvq, recovery, ack
 * -> ranges, chunk, frame.
 *
 * htp.h, cc.h, list.h and units.h come along; else a file includes what it uses.
 */
#ifndef HTP_PRIVATE_H
#define HTP_PRIVATE_H

#include <linux/types.h>
#include <stdbool.h>
#include "ack.h"
#include "cc.h"
#include "ecn.h"
#include "htp.h"
#include "list.h"
#include "path.h"
#include "pmtu.h"
#include "recovery.h"
#include "repair.h"
#include "units.h"
#include "window.h"

#define HTP_ID_WINDOW		16384	/* stream ids ahead of the first one the peer hasn't seen */

struct htp_chunk;
struct htp_stream;

/**
 * struct htp_assoc - an association
 * @config:	     as given, with defaults filled in
 * @now:	     newest time told
 * @memory:	     bytes allocated
 * @cc:		     state of the congestion controller
 * @stats:	     counters; gauges are filled in when asked for
 * @acks:	     packets received
 * @rc:		     packets sent
 * @repair:	     parity of them
 * @pmtu:	     how large they may be
 * @paths:	     ways to the peer
 * @ecn:	     marks on what we send
 * @via:	     of the datagram written last
 * @buckets:	     streams by id, @nr_buckets lists (a power of two)
 * @nr_buckets:	     size of that
 * @nr_streams:	     streams there
 * @nr_peer:	     of these, opened by the peer and not refused
 * @nr_stubs:	     of these, refused
 * @unopened:	     bytes of streams whose OPEN has not come yet, all together
 * @nr_ahead:	     ranges received ahead of the rest, all streams together
 * @max_ahead:	     limit of that
 * @streams:	     all streams
 * @event_list:	     lists as in struct htp_stream
 * @ctl_list:	     likewise
 * @data_list:	     likewise
 * @unseen_list:     likewise, oldest first
 * @reserve_list:    likewise
 * @next_id:	     our next stream's
 * @seen_base:	     index of the first peer's stream that we haven't seen
 * @seen:	     which of the HTP_ID_WINDOW after it we have, a ring of bits
 * @chunks:	     free chunks
 * @nr_chunks:	     their number
 * @tx_limit:	     the peer's MAX_DATA
 * @tx_sent:	     new bytes sent, all streams
 * @tx_blocked_at:   BLOCKED was written for this limit; HTP_NEVER: for none
 * @tx_promise:	     the peer's window of new streams
 * @rx_limit:	     our MAX_DATA
 * @rx_received:     sum of all streams' furthest bytes
 * @rx_consumed:     bytes read or dropped
 * @rx_unread:	     of the others, those that are complete
 * @rx_window:	     what @rx_limit is made from
 * @rx_promise:	     window with which the peer may begin a stream
 * @rx_learned:	     window with which a stream begins, by what others have needed
 * @want_max:	     MAX_DATA is to be sent
 * @want_promise:    @rx_promise is to be sent
 * @want_ping:	     PING is to be sent
 * @pace_debt:	     bytes sent earlier than the pacing rate has it, as of @pace_ns
 * @pace_ns:	     when a packet was last added to it
 * @retry_ns:	     out of memory for sending until then; HTP_NEVER: no
 * @last_rx_ns:	     when the last valid packet came
 * @answered_ns:     when the peer last acknowledged something; first, when its handshake did
 * @asked_ns:	     when we first asked for an answer since then; HTP_NEVER: didn't
 * @ping_ns:	     last keep-alive
 * @idle_ns:	     since when there is no stream
 * @suspect_ns:	     the association ends then; HTP_NEVER: no suspicion
 * @closed:	     ended
 * @code:	     why
 * @close_due:	     CLOSE is to be sent
 * @close_ns:	     not to be repeated before
 * @close_gap_ns:    and then not for so long
 */
struct htp_assoc {
	struct htp_config	config;
	__u64			now;
	__u64			memory;
	void			*cc;
	struct htp_stats	stats;
	struct htp_acks		acks;
	struct htp_recovery	rc;
	struct htp_repair	repair;
	struct htp_pmtu		pmtu;
	struct htp_paths	paths;
	struct htp_ecn		ecn;
	struct htp_via		via;

	struct htp_stream	**buckets;
	__u32			nr_buckets, nr_streams, nr_peer, nr_stubs;
	__u64			unopened;
	__u32			nr_ahead, max_ahead;
	struct htp_link		streams, event_list, ctl_list, data_list, unseen_list, reserve_list;
	__u64			next_id, seen_base;
	__u64			seen[HTP_ID_WINDOW / 64];
	struct htp_chunk	*chunks;
	__u32			nr_chunks;

	__u64			tx_limit, tx_sent, tx_blocked_at;
	__u32			tx_promise, rx_promise, rx_learned;
	__u64			rx_limit, rx_received, rx_consumed, rx_unread;
	struct htp_window	rx_window;
	bool			want_max, want_promise, want_ping;
	double			pace_debt;
	__u64			pace_ns, retry_ns;

	__u64			last_rx_ns, asked_ns, ping_ns, idle_ns, suspect_ns;
	__u64			answered_ns;
	bool			closed, close_due;
	enum htp_code		code;
	__u64			close_ns, close_gap_ns;
};

static inline __u64 htp_assoc_cwnd(const struct htp_assoc *a)
{
	return a->config.cc->cwnd(a->cc);
}

/* tx.c */
bool	htp_tx_is_pending(const struct htp_assoc *a);
__u64	htp_tx_deadline(const struct htp_assoc *a);

/* assoc.c */
void	htp_assoc_set_now(struct htp_assoc *a, __u64 now_ns);
void	htp_assoc_end(struct htp_assoc *a, enum htp_code code, bool tell_peer);

#endif /* HTP_PRIVATE_H */
