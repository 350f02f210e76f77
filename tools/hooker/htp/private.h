/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the transport core share with each other, and nobody else
 * (the selftests look inside, too).
 *
 * Arrows run downwards: assoc, tx, rx -> stream -> sendq, recvq, recovery, ack
 * -> ranges, chunk, frame. All state hangs on the association.
 */
#ifndef HTP_PRIVATE_H
#define HTP_PRIVATE_H

#include <errno.h>
#include <string.h>

#include "cc.h"
#include "cursor.h"
#include "htp.h"
#include "list.h"

#define HTP_USEC		1000ULL
#define HTP_MSEC		1000000ULL
#define HTP_SEC			1000000000ULL

#define HTP_OPEN_MAX		256	/* bytes of data in OPEN */
#define HTP_UNOPENED_MAX	(1 << 20)	/* bytes kept for streams whose OPEN is missing */
#define HTP_CHUNK		16384	/* bytes of stream data in one allocation, at most */
#define HTP_CHUNK_CACHE		32	/* free ones kept for the next use */
#define HTP_RX_RANGES		128	/* ranges of received packet numbers remembered */
#define HTP_TX_RANGES		32	/* of these in an ACK, the newest */
#define HTP_ACK_RANGES		64	/* ranges taken from a peer's ACK, the newest */
#define HTP_PACKET_FRAMES	64	/* frames in a packet that ask for an ACK */
#define HTP_SENT_MAX		(1U << 18) /* packets remembered */
#define HTP_ID_WINDOW		16384	/* stream ids ahead of the first one the peer hasn't seen */
#define HTP_STUBS		64	/* refused streams whose RESET isn't acknowledged */

#define HTP_PATH_TRIES		5	/* challenges to a path */

#define HTP_ACK_DELAY_NS	(5 * HTP_MSEC)	/* longest that we hold an ACK back */
#define HTP_GRANULARITY_NS	(1 * HTP_MSEC)	/* RFC 9002, kGranularity */
#define HTP_INITIAL_RTT_NS	(333 * HTP_MSEC)
#define HTP_PTO_MAX_NS		(2 * HTP_SEC)	/* a path that comes back is noticed within */

static inline __u64 htp_min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

static inline __u64 htp_max(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

/* alloc.c: all memory passes here, so that it can be counted */
void	*htp_alloc(struct htp_assoc *a, size_t size);
void	*htp_zalloc(struct htp_assoc *a, size_t size);
void	htp_free(struct htp_assoc *a, void *ptr);

/**
 * struct htp_chunk - memory for stream bytes
 * @next:  next free one, in the cache only
 * @start: stream offset of data[0]; send queues only
 * @len:   bytes filled; send queues only
 * @cap:   bytes of room
 * @data:  the bytes
 */
struct htp_chunk {
	struct htp_chunk	*next;
	__u64			start;
	__u32			len, cap;
	__u8			data[];
};

/**
 * struct htp_chunkq - queue of chunks, a ring that doubles when full
 * @slot:  @cap pointers, a power of two; owned unless @small. NULL entries are
 *	   chunks not there yet (receive queues)
 * @head:  index of the first
 * @nr:    entries
 * @cap:   size of @slot
 * @small: enough for most streams
 */
struct htp_chunkq {
	struct htp_chunk	**slot;
	__u32			head, nr, cap;
	struct htp_chunk	*small[4];
};

struct htp_chunk *htp_chunk_alloc(struct htp_assoc *a, __u32 cap);
void	htp_chunk_free(struct htp_assoc *a, struct htp_chunk *chunk);
void	htp_chunk_drop_cache(struct htp_assoc *a);
void	htp_chunkq_init(struct htp_chunkq *q);
int	htp_chunkq_push(struct htp_assoc *a, struct htp_chunkq *q, struct htp_chunk *chunk);
void	htp_chunkq_pop_front(struct htp_assoc *a, struct htp_chunkq *q);
void	htp_chunkq_pop_back(struct htp_assoc *a, struct htp_chunkq *q);
void	htp_chunkq_clear(struct htp_assoc *a, struct htp_chunkq *q);

static inline struct htp_chunk **htp_chunkq_at(const struct htp_chunkq *q, __u32 i)
{
	return &q->slot[(q->head + i) & (q->cap - 1)];
}

/* Half open: @start belongs to it, @end does not */
struct htp_range {
	__u64	start, end;
};

/**
 * struct htp_ranges - ascending ranges that neither overlap nor touch
 * @r:     the array; owned unless @small
 * @first: entries before it are unused, so that taking from the front is cheap
 * @nr:    ranges
 * @cap:   size of @r
 * @small: one range always fits, which is why htp_ranges_add_hull() can't fail
 */
struct htp_ranges {
	struct htp_range	*r;
	__u32			first, nr, cap;
	struct htp_range	small;
};

void	htp_ranges_init(struct htp_ranges *set);
void	htp_ranges_clear(struct htp_assoc *a, struct htp_ranges *set);
int	htp_ranges_add(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
void	htp_ranges_add_hull(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
int	htp_ranges_sub(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
void	htp_ranges_trim(struct htp_assoc *a, struct htp_ranges *set, __u64 below);
__u32	htp_ranges_find(const struct htp_ranges *set, __u64 above);

static inline struct htp_range *htp_ranges_at(const struct htp_ranges *set, __u32 i)
{
	return &set->r[set->first + i];
}

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

#define HTP_REPAIR_HDR_LEN	13
#define HTP_REPAIR_SLOTS	4	/* groups under way at the receiver */
#define HTP_REPAIR_GROUP_MAX	255

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

/**
 * struct htp_acks - packets received, and when to say so
 * @r:	       ranges received, ascending; the last @nr entries matter
 * @nr:        ranges
 * @too_old:   packet numbers below were forgotten: drop them
 * @largest:   newest, HTP_NEVER: none
 * @largest_ns: when it came
 * @pending:   ack-eliciting packets received since the last ACK was written
 * @every:     that many make an ACK due
 * @now:       it is due, whatever their number
 * @soon:      the last one told of a gap: the next is due after two packets
 * @deadline:  it is due then, HTP_NEVER: not waiting
 * @last_ns:   when the last ACK was written
 * @ecn:       packets that came with a mark, by HTP_ACK_*
 * @floor:     the peer knows all about ranges that end below
 * @hold_pn:   ACKs in our packets below this number told less than @r has now below @floor
 */
struct htp_acks {
	struct htp_range	r[HTP_RX_RANGES];
	__u32			nr;
	__u64			too_old;
	__u64			largest, largest_ns;
	__u32			pending, every;
	bool			now, soon;
	__u64			deadline, last_ns;
	__u64			ecn[HTP_NR_ACK_ECN];
	__u64			floor, hold_pn;
};

void	htp_acks_init(struct htp_acks *acks);
__u64	htp_acks_expand(const struct htp_acks *acks, __u32 pn);
bool	htp_acks_has(const struct htp_acks *acks, __u64 pn);
void	htp_acks_record(struct htp_assoc *a, __u64 pn, bool eliciting);
void	htp_acks_count(struct htp_assoc *a, __u8 ecn, bool eliciting);
bool	htp_acks_is_due(const struct htp_assoc *a);
bool	htp_acks_write(struct htp_assoc *a, struct htp_writer *w);
void	htp_acks_on_acked(struct htp_assoc *a, __u64 pn, __u64 largest);

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

/**
 * struct htp_group - XOR of packets that one parity covers
 * @data:     of control and payload part, HTP_MAX_DATAGRAM bytes; NULL: never used
 * @id:       number of the group
 * @nr:	      packets in it
 * @expected: packets the group has; 0: its parity didn't come
 * @ctl_len:  XOR of the lengths of the control parts
 * @len:      XOR of the lengths of both parts
 * @most:     greatest length of both parts
 * @hash:     XOR of the hashes
 */
struct htp_group {
	__u8	*data;
	__u8	id, nr, expected;
	__u16	ctl_len, len, most;
	__u32	hash;
};

/**
 * struct htp_repair - parity
 * @tx:	    group that is being sent, if it has packets
 * @rx:	    groups that are being received
 * @ready:  the one that a parity has just come for
 * @share:  packets lost among the last ones, in 2^-20
 * @credit: what parity may cost
 * @busy:   bytes sent since the application paused
 * @due_ns: the group ends early then; HTP_NEVER: there is none
 */
struct htp_repair {
	struct htp_group	tx, rx[HTP_REPAIR_SLOTS], *ready;
	__u32			share, credit;
	__u64			busy, due_ns;
};

/* repair.c */
void	htp_repair_init(struct htp_assoc *a);
void	htp_repair_clear(struct htp_assoc *a);
void	htp_repair_observe(struct htp_assoc *a, __u32 acked, __u32 lost);
void	htp_repair_on_pause(struct htp_assoc *a);
__u8	htp_repair_group(struct htp_assoc *a);
void	htp_repair_on_sent(struct htp_assoc *a, __u8 group, const __u8 *pkt, size_t len,
			   __u16 ctl_len);
__u64	htp_repair_deadline(const struct htp_assoc *a);
bool	htp_repair_is_due(const struct htp_assoc *a, bool more);
void	htp_repair_write(struct htp_assoc *a, struct htp_writer *w);
void	htp_repair_end(struct htp_assoc *a);
void	htp_repair_drop(struct htp_assoc *a);
void	htp_repair_decline(struct htp_assoc *a);
void	htp_repair_on_packet(struct htp_assoc *a, __u8 group, const __u8 *p, size_t len,
			     __u16 ctl_len);
void	htp_repair_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame);
const struct htp_group *htp_repair_take(struct htp_assoc *a, __u8 group);

enum htp_pmtu_state {
	HTP_PMTU_SEARCH,
	HTP_PMTU_COMPLETE,
};

/**
 * struct htp_pmtu - path MTU, in bytes of datagram
 * @state:	see pmtu.c
 * @size:	largest datagram written; the peer has acknowledged one of it
 * @high:	larger ones than this don't pass, as far as is known
 * @limit:	nor can larger ones than this: the route or the peer doesn't take them
 * @top:	@high itself is to be tried before anything between
 * @probe:	size that is being tried; 0: not chosen yet
 * @tries:	probes of it that were lost
 * @probe_pn:	packet number of the one under way; HTP_NEVER: none is
 * @probe_ns:	it counts as lost then
 * @raise_ns:	COMPLETE: the next search begins; HTP_NEVER: there's nothing to gain
 * @doubt:	size of datagrams before a black hole was suspected; 0: none is
 * @doubt_high:	@high before that, and @doubt_top likewise
 * @doubt_top:	likewise
 * @small_end:	newest packet of the base size or less that arrived, plus 1; 0: none
 * @large_end:	newest larger one
 * @large_size:	its size
 * @nr_lost:	larger packets lost since one as large arrived
 * @lost_pn:	the first of these. Valid if @nr_lost
 * @lost_size:	the smallest. Likewise
 */
struct htp_pmtu {
	enum htp_pmtu_state	state;
	__u32			size, high, limit;
	bool			top;
	__u32			probe, tries;
	__u64			probe_pn, probe_ns, raise_ns;
	__u32			doubt, doubt_high;
	bool			doubt_top;
	__u64			small_end, large_end;
	__u32			large_size;
	__u32			nr_lost, lost_size;
	__u64			lost_pn;
};

/* pmtu.c */
void	htp_pmtu_init(struct htp_assoc *a);
__u32	htp_pmtu_probe(const struct htp_assoc *a);
__u32	htp_pmtu_cap(const struct htp_assoc *a);
void	htp_pmtu_set_limit(struct htp_assoc *a, __u32 limit);
void	htp_pmtu_on_path(struct htp_assoc *a, __u32 proven);
void	htp_pmtu_on_sent(struct htp_assoc *a, __u64 pn, __u32 size);
void	htp_pmtu_on_acked(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn);
void	htp_pmtu_on_lost(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn);
void	htp_pmtu_check(struct htp_assoc *a);
bool	htp_pmtu_explains(const struct htp_assoc *a, const struct htp_sent *sent);
__u64	htp_pmtu_deadline(const struct htp_assoc *a);
void	htp_pmtu_expire(struct htp_assoc *a);

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

/**
 * struct htp_window - a receive window
 * @size:     bytes
 * @from:     bytes received when the two round trips began that are looked at
 * @came:     bytes received in the two round trips before those
 * @last:     and when the application last had all that was complete
 * @since_ns: when those round trips began
 * @grown_ns: when @size was last doubled
 */
struct htp_window {
	__u32	size;
	__u64	from, last, came, since_ns, grown_ns;
};

/* Frames a stream has to send besides its bytes */
enum htp_want {
	HTP_WANT_OPEN		= 1 << 0,
	HTP_WANT_ACCEPT		= 1 << 1,
	HTP_WANT_RESET		= 1 << 2,
	HTP_WANT_MAX		= 1 << 3,
	HTP_WANT_BLOCKED	= 1 << 4,
};

/**
 * struct htp_stream - a stream
 * @a:		 its association
 * @id:		 its id
 * @owner:	 the application's
 * @hash_next:	 next in the same bucket
 * @all:	 link in the association's list of streams
 * @event_link:	 in that of streams with events
 * @ctl_link:	 in that of streams with frames, lost bytes or a FIN to send
 * @data_link:	 in that of streams with new bytes to send
 * @unseen_link: in that of our streams which the peer may not have heard of
 * @reserve_link: in that of streams with memory handed out by reserve
 * @open_data:	 data of OPEN; owned, NULL if there is none
 * @open_len:	 its length
 * @unopened:	 bytes received while OPEN is missing, counted in the association, too
 * @events:	 HTP_EV_* not fetched yet
 * @want:	 HTP_WANT_*
 * @code:	 why it is dead
 * @tx:		 bytes out
 * @rx:		 bytes in
 * @window:	 of them
 * @local:	 opened by this side
 * @loose:	 the application takes damaged bytes, and may send such
 * @peer_loose:	 so does the peer's
 * @opened:	 OPEN was sent or came. Before that the application doesn't know it
 * @accepted:	 ACCEPT came, or htp_stream_accept() was called
 * @dead:	 reset, by whomever
 * @owes_reset:	 our RESET is not acknowledged yet
 * @stub:	 refused for lack of room; exists to say so
 * @finished:	 HTP_EV_FINISHED was given
 * @released:	 the application is done with it
 *
 * Destroyed once released and settled: nothing left to send, and the size of
 * what the peer sent is known, because that counts in the association's window.
 */
struct htp_stream {
	struct htp_assoc	*a;
	__u64			id;
	void			*owner;
	struct htp_stream	*hash_next;
	struct htp_link		all, event_link, ctl_link, data_link, unseen_link, reserve_link;
	__u8			*open_data;
	__u16			open_len;
	__u64			unopened;
	__u32			events, want;
	enum htp_code		code;
	struct htp_sendq	tx;
	struct htp_recvq	rx;
	struct htp_window	window;
	bool			local, opened, accepted, dead, owes_reset, stub, finished, released;
	bool			loose, peer_loose;
};

/* freeze.c, freeze_stream.c: see freeze.h. No window or buffer that is thawed is larger */
#define HTP_THAW_WINDOW	(1ULL << 30)

struct htp_freezer;

void	htp_freeze_window(struct htp_freezer *f, const struct htp_assoc *a, struct htp_window *w,
			  __u64 received);
void	htp_stream_freeze(struct htp_freezer *f, struct htp_stream *s);
void	htp_stream_thaw(struct htp_freezer *f, struct htp_assoc *a);

/* stream.c */
struct htp_stream *htp_stream_find(const struct htp_assoc *a, __u64 id);
struct htp_stream *htp_stream_create(struct htp_assoc *a, __u64 id, bool local);
void	htp_stream_destroy(struct htp_stream *s);
void	htp_stream_raise(struct htp_stream *s, unsigned int events);
void	htp_stream_schedule(struct htp_stream *s);
void	htp_stream_forget_unopened(struct htp_stream *s);
void	htp_stream_kill(struct htp_stream *s, enum htp_code code);
void	htp_stream_settle(struct htp_stream *s);
void	htp_stream_drop_reserved(struct htp_assoc *a);

/* stream_sent.c: fate of what a packet held */
void	htp_stream_on_acked(struct htp_assoc *a, const struct htp_sent_frame *frame);
void	htp_stream_on_lost(struct htp_assoc *a, const struct htp_sent_frame *frame);

/* stream_rx.c: frames about streams */
int	htp_stream_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame);

enum htp_path_state {
	HTP_PATH_FREE,
	HTP_PATH_TRIED,
	HTP_PATH_ANSWERED,
	HTP_PATH_USED,
	HTP_PATH_FORMER,
};

/**
 * struct htp_path - a way to the peer; who may move between the states: see path.c
 * @state:	enum htp_path_state
 * @same_host:	trial: only the port differs from the path in use
 * @left:	FORMER: by our own choice; it is neither asked nor does it answer
 * @owes:	a PATH_RESPONSE is to go there
 * @echo:	with these bytes
 * @owed_len:	and of this size, if that is allowed
 * @token:	the n-th challenge is this, xor n
 * @tries:	challenges sent
 * @sent_len:	their sizes
 * @sent_ns:	and times
 * @next_ns:	the next one is due; HTP_NEVER: none is
 * @wait_ns:	trial: the path in use may have answered by then
 * @end_ns:	free then; HTP_NEVER: not
 * @rtt_ns:	between challenge and response
 * @proven:	size of the largest challenge that was answered
 * @rx_bytes:	trial: came by it
 * @tx_bytes:	went there
 */
struct htp_path {
	__u8	state;
	bool	same_host, left, owes;
	__u64	echo, owed_len;
	__u64	token;
	__u32	tries;
	__u32	sent_len[HTP_PATH_TRIES];
	__u64	sent_ns[HTP_PATH_TRIES];
	__u64	next_ns, wait_ns, end_ns;
	__u64	rtt_ns;
	__u32	proven;
	__u64	rx_bytes, tx_bytes;
};

/**
 * struct htp_paths - all ways to the peer
 * @path:	 by number
 * @used:	 the one in use
 * @credit_ns:	 for trials, as of @credited_ns
 * @credited_ns: likewise
 */
struct htp_paths {
	struct htp_path	path[HTP_PATHS];
	__u32		used;
	__u64		credit_ns, credited_ns;
};

/* path.c */
void	htp_path_init(struct htp_assoc *a);
bool	htp_path_is_believed(const struct htp_assoc *a, __u32 n);
__u64	htp_path_trial_end(const struct htp_assoc *a);
void	htp_path_on_rx(struct htp_assoc *a, const struct htp_via *via, __u64 pn, size_t len);
void	htp_path_on_challenge(struct htp_assoc *a, __u32 n, __u64 data, size_t len);
void	htp_path_on_response(struct htp_assoc *a, __u32 n, __u64 data);
bool	htp_path_is_due(const struct htp_assoc *a);
__u64	htp_path_deadline(const struct htp_assoc *a);
void	htp_path_expire(struct htp_assoc *a);
size_t	htp_path_write(struct htp_assoc *a, __u8 *pkt, size_t cap);

/**
 * struct htp_ecn - marks on what we send; see ecn.c
 * @state:	enum htp_ecn_state
 * @tested:	TESTING: packets marked on this path
 * @lost:	of them, lost
 * @acked:	packets marked on this path that were acknowledged
 * @path_acked:	of them, by the last ACK whose counts were used
 * @marked:	packets marked, ever
 * @sum:	marks the peer has seen, ever
 * @path_sum:	of them, before this path was used
 * @ce:		of @sum, CE
 */
struct htp_ecn {
	__u32	state;
	__u32	tested, lost;
	__u64	acked, path_acked;
	__u64	marked, sum, path_sum, ce;
};

/* ecn.c */
void	htp_ecn_init(struct htp_assoc *a);
bool	htp_ecn_on_sent(struct htp_assoc *a);
void	htp_ecn_on_lost(struct htp_assoc *a);
__u64	htp_ecn_on_ack(struct htp_assoc *a, const struct htp_ack *ack, __u32 nr, bool is_newest);
void	htp_ecn_on_path(struct htp_assoc *a);

/* window.c: flow control, and the memory that it bounds */
void	htp_window_init(struct htp_assoc *a);
void	htp_window_exit(struct htp_assoc *a);
void	htp_window_set(struct htp_assoc *a, __u64 limit, __u64 consumed);
void	htp_window_init_stream(struct htp_stream *s);
void	htp_window_on_consumed(struct htp_assoc *a, __u64 len);
void	htp_window_on_read(struct htp_stream *s, __u64 len);
void	htp_window_on_ahead(struct htp_stream *s);
void	htp_window_on_complete(struct htp_assoc *a, __u64 len);
__u64	htp_window_limit(struct htp_assoc *a);
__u64	htp_window_stream_limit(struct htp_stream *s);
__u64	htp_window_send_buffer(const struct htp_assoc *a);
__u64	htp_window_send_room(const struct htp_stream *s);
void	htp_window_stats(const struct htp_assoc *a, struct htp_stats *stats);

/* tx.c */
bool	htp_tx_is_pending(const struct htp_assoc *a);
__u64	htp_tx_deadline(const struct htp_assoc *a);

/* assoc.c */
void	htp_assoc_set_now(struct htp_assoc *a, __u64 now_ns);
void	htp_assoc_end(struct htp_assoc *a, enum htp_code code, bool tell_peer);

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

#endif /* HTP_PRIVATE_H */
