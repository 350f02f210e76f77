/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HTP, the transport core: an association between two daemons and the streams
 * in it. Sans-I/O: the caller feeds received datagrams and the time, sends what
 * htp_assoc_tx() writes, and calls htp_assoc_expire() at the deadline. There
 * are no sockets, no clocks, no threads and no globals here, so the same code
 * runs in the daemon, in the simulator and under a fuzzer.
 *
 * The loop never varies: feed htp_assoc_rx(); take events with
 * htp_assoc_event() and read, write or release streams; call htp_assoc_tx()
 * until it returns 0; arm one timer from htp_assoc_deadline().
 *
 * Time is in nanoseconds of any monotonic clock and never runs backwards
 * (a value older than the newest one seen is taken as the newest).
 * All functions of one association belong to one thread.
 */
#ifndef HTP_H
#define HTP_H

#include <sys/uio.h>
#include "wire.h"

#define HTP_NEVER	(~0ULL)
#define HTP_PATHS	4	/* paths are numbers below */

struct htp_assoc;
struct htp_stream;
struct htp_cc_ops;

/**
 * struct htp_config - what an association is created with; copied
 * @peer_id:		destination id of datagrams to the peer
 * @initiator:		this side sent HELLO; its streams are even, the peer's odd
 *			(initiator 2, 4, ...; responder 1, 3, ...; 0 is no stream)
 * @max_datagram:	largest datagram to write at first, proven by the handshake
 * @probe_max:		largest to try later: what the route and the peer take. Less than
 *			@max_datagram (0): no larger ones are tried
 * @cc:			congestion controller; NULL is htp_cc_bbr
 * @initial_rtt_ns:	round trip of the handshake; 0: unknown, 333 ms is used
 * @stream_window:	receive window that a stream begins with, as told in the handshake, bytes
 * @window:		that of all streams together
 * @stream_buffer:	unacknowledged and unsent bytes kept for each stream, at least
 * @max_stream_window:	how far a stream's window may grow; less than @stream_window: it doesn't
 * @max_window:		likewise that of all streams together
 * @max_stream_buffer:	likewise @stream_buffer
 * @peer_window:	the peer's @window, from its HELLO
 * @peer_stream_window:	the peer's @stream_window
 * @max_streams:	streams at once that the peer may have open
 * @idle_timeout_ns:	no stream open for so long: the association ends; 0: never
 * @keepalive_ns:	streams open and nothing received for so long: PING
 * @dead_ns:		streams open or data unacknowledged and nothing received for so long,
 *			although asked: the association ends with HTP_CODE_TIMEOUT
 * @alloc:		for all memory of the association; zeroed memory is not
 *			expected from it. NULL: libc
 * @free:		its counterpart, takes NULL
 * @ecn:		datagrams can be marked as htp_assoc_tx_via() says
 * @random:		64 bits that nobody can guess. NULL: the peer can't change its address
 * @charge:		@bytes more may come from the peer, or, negative, less: false, and nothing
 *			changed, if that is beyond what there is for all associations. Never
 *			for negative @bytes or with @always. 0 bytes just ask whether there is
 *			any left. NULL: there is no such limit
 * @priv:		first argument of them
 */
struct htp_config {
	__u64				peer_id;
	bool				initiator;
	__u32				max_datagram, probe_max;
	const struct htp_cc_ops		*cc;
	__u64				initial_rtt_ns;
	__u32				stream_window;
	__u32				window;
	__u32				stream_buffer;
	__u32				max_stream_window;
	__u32				max_window;
	__u32				max_stream_buffer;
	__u32				peer_window;
	__u32				peer_stream_window;
	__u32				max_streams;
	__u64				idle_timeout_ns;
	__u64				keepalive_ns;
	__u64				dead_ns;
	bool				ecn;
	void				*(*alloc)(void *priv, size_t size);
	void				(*free)(void *priv, void *ptr);
	__u64				(*random)(void *priv);
	bool				(*charge)(void *priv, __s64 bytes, bool always);
	void				*priv;
};

/**
 * struct htp_via - how a datagram comes or goes
 * @path:      number below HTP_PATHS. Received: that of the address it came from, the
 *	       caller gives a new one a number that htp_assoc_paths() doesn't have.
 *	       Sent: where it is to go
 * @ecn:       enum htp_ecn_mark. Received: as the IP header has it, 0 if that isn't known.
 *	       Sent: to be put there
 * @covered:   sent: so many bytes from the first on must not arrive damaged, the others
 *	       may; 0: none may. What arrives is to have been verified as far as its
 *	       header and control part at least
 * @same_host: received: the address differs from that of the path in use by its port alone
 */
struct htp_via {
	__u32	path;
	__u8	ecn;
	__u32	covered;
	bool	same_host;
};

/* The lower two bits of the IP header's TOS or traffic class (RFC 3168, section 5) */
enum htp_ecn_mark {
	HTP_ECN_NONE	= 0,
	HTP_ECN_ECT1	= 1,
	HTP_ECN_ECT0	= 2,
	HTP_ECN_CE	= 3,
};

/* What became of marking datagrams: see ecn.c */
enum htp_ecn_state {
	HTP_ECN_OFF,
	HTP_ECN_TESTING,
	HTP_ECN_CAPABLE,
	HTP_ECN_FAILED,
};

/**
 * struct htp_stats - counters and gauges of an association
 * @tx_datagrams:	 sent
 * @tx_bytes:		 in them, headers of HTP included
 * @rx_datagrams:	 taken: neither repeated nor malformed
 * @rx_bytes:		 in them
 * @tx_payload_bytes:	 stream bytes sent, repeated ones too
 * @retransmitted_bytes: of them, sent again
 * @repair_bytes:	 of datagrams with parity that were sent
 * @rx_repaired:	 datagrams rebuilt from parity
 * @tx_partial:		 datagrams sent whose payload need not be covered
 * @lost_packets:	 declared lost
 * @spurious_losses:	 of them, acknowledged later
 * @ptos:		 probe time-outs
 * @rx_duplicates:	 packet numbers seen before
 * @rx_malformed:	 datagrams that could not be read
 * @srtt_ns:		 smoothed round trip
 * @rttvar_ns:		 its variation
 * @min_rtt_ns:		 smallest sample
 * @cwnd_bytes:		 congestion window
 * @in_flight_bytes:	 sent, neither acknowledged nor lost
 * @pacing_bytes_per_sec: pacing rate, 0 if none
 * @congestion_events:	 reductions of the window
 * @path_mtu:		 largest datagram written now
 * @mtu_probes_sent:	 datagrams of padding that tried a size
 * @mtu_probes_acked:	 of them, acknowledged
 * @mtu_probes_lost:	 of them, lost
 * @black_holes:	 times that the path stopped to take a size without a word
 * @mtu_hints:		 words from outside about the size that were taken
 * @path_trials:	 addresses that were asked whether the peer is there
 * @path_refusals:	 of them, not used because it still answers where it was
 * @path_changes:	 used from then on
 * @ecn_sent:		 datagrams marked ECT(0)
 * @ecn_ce_received:	 datagrams that came with CE
 * @ecn_ce_told:	 of ours, came there with CE
 * @ecn_failures:	 paths on which marks don't arrive as they were sent
 * @ecn_state:		 enum htp_ecn_state
 * @memory_bytes:	 allocated now, bookkeeping included
 * @window_bytes:	 receive window of all streams together
 * @stream_window_bytes: that of a new stream
 * @unread_bytes:	 received, complete, and not yet read by the application
 * @stream_buffer_bytes: bytes kept for each stream that sends
 * @nr_streams:		 streams that exist
 */
struct htp_stats {
	__u64	tx_datagrams, tx_bytes, rx_datagrams, rx_bytes;
	__u64	tx_payload_bytes;
	__u64	retransmitted_bytes;
	__u64	repair_bytes, rx_repaired;
	__u64	tx_partial;
	__u64	lost_packets, spurious_losses, ptos;
	__u64	rx_duplicates, rx_malformed;
	__u64	srtt_ns, rttvar_ns, min_rtt_ns;
	__u64	cwnd_bytes, in_flight_bytes, pacing_bytes_per_sec;
	__u64	congestion_events;
	__u64	path_mtu, mtu_probes_sent, mtu_probes_acked, mtu_probes_lost;
	__u64	black_holes, mtu_hints;
	__u64	path_trials, path_refusals, path_changes;
	__u64	ecn_sent, ecn_ce_received, ecn_ce_told, ecn_failures;
	__u32	ecn_state;
	__u64	memory_bytes;
	__u64	window_bytes, stream_window_bytes, unread_bytes, stream_buffer_bytes;
	__u32	nr_streams;
};

/* What htp_assoc_event() tells of a stream; several bits may be set */
enum htp_event {
	HTP_EV_OPENED	= 1 << 0,	/* the peer opened it: accept it or reset it */
	HTP_EV_ACCEPTED	= 1 << 1,	/* the peer accepted ours */
	HTP_EV_READABLE	= 1 << 2,	/* bytes, or the end, can be read */
	HTP_EV_WRITABLE	= 1 << 3,	/* a full send buffer has a quarter free again */
	HTP_EV_RESET	= 1 << 4,	/* by the peer, or all ended: htp_stream_code() */
	HTP_EV_FINISHED	= 1 << 5,	/* our FIN is acknowledged, the peer's was read */
};

/**
 * struct htp_path_hint - what somebody outside says of the size of datagrams
 * @size:  largest that passes, bytes
 * @pn:	   ICMP message: packet number in the header of the datagram that it quotes
 * @local: this host's own route or device says so: then @size is what may be tried,
 *	   and @pn doesn't matter
 */
struct htp_path_hint {
	__u32	size, pn;
	bool	local;
};

struct htp_assoc *htp_assoc_create(const struct htp_config *config, __u64 now_ns);
void	htp_assoc_destroy(struct htp_assoc *a);

int	htp_assoc_rx(struct htp_assoc *a, const void *pkt, size_t len, __u64 now_ns);
int	htp_assoc_rx_via(struct htp_assoc *a, const void *pkt, size_t len,
			 const struct htp_via *via, __u64 now_ns);
ssize_t	htp_assoc_tx(struct htp_assoc *a, void *pkt, size_t cap, __u64 now_ns);
const struct htp_via *htp_assoc_tx_via(const struct htp_assoc *a);
__u64	htp_assoc_deadline(const struct htp_assoc *a);
int	htp_assoc_expire(struct htp_assoc *a, __u64 now_ns);

__u32	htp_assoc_path(const struct htp_assoc *a);
__u32	htp_assoc_paths(const struct htp_assoc *a);
void	htp_assoc_moved(struct htp_assoc *a, __u64 now_ns);
void	htp_assoc_forget_paths(struct htp_assoc *a);
int	htp_assoc_use_path(struct htp_assoc *a, __u32 n, __u32 proven, __u64 rtt_ns, __u64 now_ns);

struct htp_stream *htp_assoc_event(struct htp_assoc *a, unsigned int *events);

void	htp_assoc_close(struct htp_assoc *a, enum htp_code code);
bool	htp_assoc_is_closed(const struct htp_assoc *a);
enum htp_code htp_assoc_code(const struct htp_assoc *a);
void	htp_assoc_suspect(struct htp_assoc *a, __u64 now_ns);
unsigned int htp_assoc_unanswered(const struct htp_assoc *a);
void	htp_assoc_ask(struct htp_assoc *a, __u64 now_ns);
__u64	htp_assoc_answered_ns(const struct htp_assoc *a);
int	htp_assoc_path_mtu(struct htp_assoc *a, const struct htp_path_hint *hint, __u64 now_ns);
void	htp_assoc_stats(const struct htp_assoc *a, struct htp_stats *stats);

struct htp_stream *htp_stream_open(struct htp_assoc *a, const void *data, size_t len, void *owner);
void	htp_stream_loosen(struct htp_stream *s);
bool	htp_stream_is_loose(const struct htp_stream *s);
int	htp_stream_accept(struct htp_stream *s, void *owner);
void	htp_stream_reset(struct htp_stream *s, enum htp_code code);
void	htp_stream_release(struct htp_stream *s);

void	*htp_stream_owner(const struct htp_stream *s);
void	htp_stream_set_owner(struct htp_stream *s, void *owner);
__u64	htp_stream_id(const struct htp_stream *s);
enum htp_code htp_stream_code(const struct htp_stream *s);
const void *htp_stream_open_data(const struct htp_stream *s, size_t *len);

/*
 * Bytes out: reserve room, fill it, commit. Bytes in: look, use, consume. Both
 * hand out the stream's own memory, so a relay copies once, in the kernel.
 */
int	htp_stream_reserve(struct htp_stream *s, struct iovec *iov, int nr_iov);
int	htp_stream_commit(struct htp_stream *s, size_t len);
int	htp_stream_finish(struct htp_stream *s);
int	htp_stream_peek(struct htp_stream *s, struct iovec *iov, int nr_iov);
int	htp_stream_consume(struct htp_stream *s, size_t len);
size_t	htp_stream_unsent(const struct htp_stream *s);
size_t	htp_stream_unacked(const struct htp_stream *s);
__u64	htp_stream_window(const struct htp_stream *s);

/* The same with a copy, for callers that have the bytes already */
ssize_t	htp_stream_write(struct htp_stream *s, const void *buf, size_t len);
ssize_t	htp_stream_read(struct htp_stream *s, void *buf, size_t len);

#endif /* HTP_H */
