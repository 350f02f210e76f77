/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packets sent, and what becomes of them: sent.c remembers them, recovery.c takes ACKs
 * and keeps the time, loss.c finds those that are lost.
 */
#ifndef HTP_RECOVERY_H
#define HTP_RECOVERY_H

#include <linux/types.h>
#include <stdbool.h>
#include "frame.h"
#include "units.h"

#define HTP_PACKET_FRAMES	64	/* frames in a packet that ask for an ACK */
#define HTP_SENT_MAX		(1U << 18) /* packets remembered */

#define HTP_GRANULARITY_NS	(1 * HTP_MSEC)	/* RFC 9002, kGranularity */
#define HTP_INITIAL_RTT_NS	(333 * HTP_MSEC)
#define HTP_PTO_MAX_NS		(2 * HTP_SEC)	/* a path that comes back is noticed within */

struct htp_assoc;

/* What a sent packet held, for when it is acknowledged or lost */
struct htp_sent_frame {
	__u64	stream, offset;
	__u32	len;
	__u8	type;
};

enum htp_sent_state {
	HTP_SENT_NONE,		/* asks for no ACK, so nothing depends on it */
	HTP_SENT_FLYING,
	HTP_SENT_LOST,		/* declared lost; remembered in case an ACK comes after all */
	HTP_SENT_ACKED,
	HTP_SENT_FORGOTTEN,	/* lost, and too long ago for a late ACK */
};

/**
 * struct htp_sent - a packet sent
 * @time_ns:	     when
 * @first_frame:     index of its first frame in the ring of frames
 * @nr_frames:	     frames there
 * @ack_largest:     newest packet its ACK frame acknowledges, HTP_NEVER: no ACK in it
 * @delivered:	     bytes delivered by then; with the next two, for the delivery rate
 * @delivered_ns:    when that count had last changed
 * @first_sent_ns:   start of the send interval the rate sample covers
 * @lost_ns:	     when it was declared lost
 * @prev:	     neighbours in the list of packets flying or lost, by packet number
 * @next:	     likewise; HTP_NEVER: none
 * @size:	     bytes
 * @epoch:	     congestion event its loss belongs to
 * @state:	     enum htp_sent_state
 * @app_limited:     sent while the application was the limit
 * @probe:	     of the path MTU
 * @ecn:	     marked ECT(0)
 */
struct htp_sent {
	__u64	time_ns;
	__u64	first_frame;
	__u64	ack_largest;
	__u64	delivered, delivered_ns, first_sent_ns;
	__u64	lost_ns;
	__u64	prev, next;
	__u32	size, epoch;
	__u16	nr_frames;
	__u8	state;
	bool	app_limited, probe, ecn;
};

/**
 * struct htp_recovery - packets sent, round trip, loss (RFC 9002), delivery rate
 * @ring:	     slots of packets [@base, @next_pn), by packet number; a power of two
 * @cap:	     its size
 * @base:	     oldest packet number with a slot
 * @next_pn:	     packet number to send next
 * @frames:	     ring of frames [@frame_base, @frame_next), in the packets' order
 * @frame_cap:	     its size, a power of two
 * @frame_base:	     oldest
 * @frame_next:	     next to be written
 * @head:	     oldest packet flying or lost, HTP_NEVER: none
 * @tail:	     newest
 * @largest_acked:   HTP_NEVER: none
 * @in_flight:	     bytes
 * @nr_flying:	     packets
 * @nr_probing:	     of these, probes of the path MTU: no PTO waits for them
 * @last_sent_ns:    when the last ack-eliciting packet left
 * @loss_ns:	     when the oldest flying packet is lost by time; HTP_NEVER: none
 * @pto_count:	     PTOs since an ACK
 * @probes:	     packets that may be sent beyond the congestion window
 * @latest_rtt:	     round-trip times, ns
 * @srtt:	     likewise
 * @rttvar:	     likewise
 * @min_rtt:	     likewise; HTP_NEVER before the first sample
 * @first_rtt_ns:    when the first sample was taken; HTP_NEVER: not yet
 * @delivered:	     bytes delivered
 * @delivered_ns:    when the last were
 * @first_sent_ns:   send time of the newest packet delivered
 * @app_limited:     until that many bytes are delivered; 0: not limited
 * @round_pn:	     the round ends when this packet is acknowledged
 * @round_max:	     most bytes in flight in this round
 * @prev_round_max:  and in the one before
 * @path_pn:	     packets before it left by another path
 * @recovery_ns:     when the last congestion event began; HTP_NEVER: none
 * @epoch:	     number of that event
 * @epoch_lost:	     packets lost in it that didn't turn out to be spurious
 * @reorder_packets: packet threshold; grows with spurious losses
 * @reorder_eighths: time threshold in eighths of the round trip; likewise
 * @calm_epochs:     congestion events since the last spurious loss
 */
struct htp_recovery {
	struct htp_sent		*ring;
	__u32			cap;
	__u64			base, next_pn;
	struct htp_sent_frame	*frames;
	__u32			frame_cap;
	__u64			frame_base, frame_next;
	__u64			head, tail;
	__u64			largest_acked;
	__u64			in_flight;
	__u32			nr_flying, nr_probing;
	__u64			last_sent_ns, loss_ns;
	__u32			pto_count, probes;
	__u64			latest_rtt, srtt, rttvar, min_rtt, first_rtt_ns;
	__u64			delivered, delivered_ns, first_sent_ns, app_limited;
	__u64			round_pn, round_max, prev_round_max;
	__u64			path_pn, recovery_ns;
	__u32			epoch, epoch_lost;
	__u32			reorder_packets, reorder_eighths, calm_epochs;
};

static inline struct htp_sent *htp_sent_at(const struct htp_recovery *rc, __u64 pn)
{
	return &rc->ring[pn & (rc->cap - 1)];
}

static inline struct htp_sent_frame *htp_sent_frame_at(const struct htp_recovery *rc, __u64 i)
{
	return &rc->frames[i & (rc->frame_cap - 1)];
}

/* sent.c: the rings and the list */
int	htp_sent_make_room(struct htp_assoc *a);
void	htp_sent_link(struct htp_recovery *rc, __u64 pn);
void	htp_sent_unlink(struct htp_recovery *rc, __u64 pn, enum htp_sent_state state);
void	htp_sent_pop(struct htp_assoc *a);
void	htp_sent_clear(struct htp_assoc *a);

/* recovery.c */
void	htp_recovery_init(struct htp_assoc *a);
void	htp_recovery_on_sent(struct htp_assoc *a, __u32 size, __u16 nr_frames, __u64 ack_largest,
			     bool probe);
int	htp_recovery_on_ack(struct htp_assoc *a, const struct htp_ack *ack);
__u64	htp_recovery_deadline(const struct htp_assoc *a);
void	htp_recovery_expire(struct htp_assoc *a);
__u64	htp_recovery_pto(const struct htp_recovery *rc);
void	htp_recovery_on_path(struct htp_assoc *a, bool keep, __u64 rtt);

/* loss.c */
void	htp_loss_detect(struct htp_assoc *a);
void	htp_loss_give_up(struct htp_assoc *a, __u64 pn);
void	htp_loss_on_spurious(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn);

#endif /* HTP_RECOVERY_H */
