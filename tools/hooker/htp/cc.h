/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Congestion controllers: one ops table. The core tells what was sent,
 * delivered and lost; the controller answers how many bytes may be in flight
 * and how fast they may leave. It allocates nothing and knows no packets.
 *
 * Bytes in flight are whole datagrams, HTP header included, of ack-eliciting
 * packets that are neither acknowledged nor declared lost.
 */
#ifndef HTP_CC_H
#define HTP_CC_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct htp_cc_sent - an ack-eliciting packet leaves
 * @now_ns:      now
 * @pn:		 its packet number
 * @bytes:       its size
 * @in_flight:   bytes in flight, this one not yet among them
 * @app_limited: the application, not the controller, limits the rate
 */
struct htp_cc_sent {
	__u64	now_ns;
	__u64	pn;
	__u32	bytes;
	__u64	in_flight;
	bool	app_limited;
};

/**
 * struct htp_cc_ack - an ACK frame that acknowledged something new
 * @now_ns:		now
 * @acked_bytes:	bytes newly acknowledged that were in flight
 * @lost_bytes:		bytes that this ACK made known as lost
 * @prior_in_flight:	bytes in flight before it
 * @in_flight:		after it, losses taken off too
 * @max_in_flight:	most bytes in flight in this round trip and the one before
 * @delivered:		bytes delivered since the association began
 * @prior_delivered:	the same when the newest packet acknowledged was sent
 * @rate:		delivery rate sample, bytes per second; 0: none
 * @rtt_ns:		round-trip sample; 0: none
 * @srtt_ns:		smoothed
 * @min_rtt_ns:		least seen
 * @largest_pn:		newest packet acknowledged
 * @next_pn:		packet number to be sent next, for counting rounds
 * @app_limited:	@rate was limited by the application
 * @in_recovery:	the newest packet was sent before the last congestion event
 */
struct htp_cc_ack {
	__u64	now_ns;
	__u64	acked_bytes, lost_bytes;
	__u64	prior_in_flight, in_flight, max_in_flight;
	__u64	delivered, prior_delivered;
	__u64	rate;
	__u64	rtt_ns, srtt_ns, min_rtt_ns;
	__u64	largest_pn, next_pn;
	bool	app_limited;
	bool	in_recovery;
};

/**
 * struct htp_cc_loss - packets were declared lost
 * @now_ns:     now
 * @bytes:      of the packets lost
 * @in_flight:  bytes in flight without them
 * @largest_pn: newest of them
 * @congestion: the newest was sent after the last congestion event: a new one
 */
struct htp_cc_loss {
	__u64	now_ns;
	__u64	bytes;
	__u64	in_flight;
	__u64	largest_pn;
	bool	congestion;
};

/**
 * struct htp_cc_ops - a congestion controller
 * @name:	   as reports show it
 * @size:	   bytes of its state, which the core allocates and passes as @cc
 * @init:	   before all others, and again when the path has become another one; with the round
 *		   trip of its handshake, 0: unknown
 * @on_sent:	   may be NULL
 * @on_ack:	   losses that an ACK revealed were told before
 * @on_loss:	   each batch of lost packets
 * @on_persistent: persistent congestion (RFC 9002, section 7.6)
 * @on_ce:	   congestion that a router has told by a mark (RFC 3168), at most once per
 *		   round trip, before the @on_ack of the same ACK; may be NULL
 * @on_spurious:   all losses of the last congestion event turned out to be none
 * @set_datagram:  datagrams have another size at most from now on; the path is the same
 * @cwnd:	   bytes allowed in flight
 * @pacing_rate:   bytes per second; never 0
 */
struct htp_cc_ops {
	const char	*name;
	size_t		size;
	void		(*init)(void *cc, __u32 max_datagram, __u64 rtt_ns, __u64 now_ns);
	void		(*on_sent)(void *cc, const struct htp_cc_sent *sent);
	void		(*on_ack)(void *cc, const struct htp_cc_ack *ack);
	void		(*on_loss)(void *cc, const struct htp_cc_loss *loss);
	void		(*on_persistent)(void *cc, __u64 now_ns);
	void		(*on_ce)(void *cc, __u64 now_ns);
	void		(*on_spurious)(void *cc, __u64 now_ns);
	void		(*set_datagram)(void *cc, __u32 max_datagram);
	__u64		(*cwnd)(const void *cc);
	__u64		(*pacing_rate)(const void *cc, __u64 srtt_ns);
};

extern const struct htp_cc_ops htp_cc_bbr;
extern const struct htp_cc_ops htp_cc_cubic;

const struct htp_cc_ops *htp_cc_by_name(const char *name);

#endif /* HTP_CC_H */
