/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two transport cores and a link between them, in virtual time. Everything
 * follows from the seed: the same seed gives the same trace.
 *
 * On top runs a little application: a flow is a stream on which its opener
 * sends so many bytes and gets so many back; both directions end with FIN. The
 * bytes are a pattern that depends on stream, direction and offset, and each
 * one that is read is compared.
 */
#ifndef SIM_H
#define SIM_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "htp/htp.h"

#define SIM_USEC	1000ULL
#define SIM_MSEC	1000000ULL
#define SIM_SEC		1000000000ULL

enum sim_side {
	SIM_A,		/* initiator */
	SIM_B,
};

#define SIM_PORTS	8	/* addresses that belong to one host */
#define SIM_ADDRS	64

/**
 * struct sim_link - one direction
 * @rate:	   bytes per second, 0: unlimited
 * @delay_ns:	   one way
 * @queue:	   bytes waiting for the rate, at most; 0: unlimited
 * @loss:	   probability that a datagram is lost
 * @duplicate:	   that it comes twice
 * @reorder:	   that it is delayed by up to @reorder_ns more
 * @reorder_ns:	   likewise
 * @corrupt:	   that one bit of it flips: dropped, as a checksum would
 * @deliver_bad:   or delivered
 * @partial:	   or delivered if it is a bit that needn't be covered, and only then
 * @burst:	   probability that a bad time begins with a datagram (Gilbert-Elliott)
 * @burst_end:	   that it ends with one
 * @burst_loss:	   that a datagram is lost meanwhile
 * @drop_mask:	   bit n: the n-th datagram (from 0) is lost
 * @dead:	   all are
 * @mark:	   what meets more bytes than this in the queue gets CE, if ECT; 0: nothing does
 * @bleach:	   marks are taken away
 * @remark:	   ECT(0) becomes ECT(1)
 * @drop_ect:	   what is marked is lost
 * @late_loss:	   @loss strikes behind the queue: what is lost has used the rate, too
 * @mtu:	   larger datagrams are lost, 0: none
 * @tells_mtu:	   and their sender is told, as by ICMP, as soon as by an answer
 * @via:	   link of somebody else whose rate, queue and loss count instead of these
 */
struct sim_link {
	__u64	rate;
	__u64	delay_ns;
	__u64	queue;
	double	loss, duplicate, reorder, corrupt;
	__u64	reorder_ns;
	bool	deliver_bad, partial;
	double	burst, burst_end, burst_loss;
	__u64	drop_mask;
	bool	dead;
	__u64	mark;
	bool	bleach, remark, drop_ect;
	bool	late_loss;
	__u64	mtu;
	bool	tells_mtu;
	struct sim_link	*via;

	/* private: the link's own state */
	__u64	busy_ns;	/* until then it is sending */
	bool	is_bad;		/* a burst of losses goes on */
	__u64	queued;		/* bytes that the last datagram met */
	__u64	nr_marked;
	__u64	nr_sent;	/* datagrams offered */
	__u64	nr_lost;
	__u64	nr_overflow;	/* of these, the queue had no room for */
	__u64	nr_damaged;	/* delivered with a bit that flipped */
	__u64	wire_bytes;	/* offered, with overhead */
	__u64	nr_too_big;	/* beyond @mtu */
	__u64	most;		/* bytes of the largest datagram offered */
};

/**
 * struct sim_flow - one end of a flow
 * @next:     in the list of all
 * @side:     whose end
 * @stream:   NULL once released
 * @id:	      stream id
 * @to_send:  bytes to send in all
 * @sent:     committed so far
 * @to_recv:  bytes expected
 * @received: read so far
 * @bad_bits: wrong in what was read; errors unless both ends are loose
 * @saw_end:  -ENODATA was read
 * @accepted: HTP_EV_ACCEPTED came
 * @reset:    HTP_EV_RESET came
 * @finished: HTP_EV_FINISHED came
 * @code:     of the reset
 * @done_ns:  when it finished or was reset
 */
struct sim_flow {
	struct sim_flow		*next;
	enum sim_side		side;
	struct htp_stream	*stream;
	__u64			id;
	__u64			to_send, sent, to_recv, received, bad_bits;
	bool			saw_end, accepted, reset, finished;
	enum htp_code		code;
	__u64			done_ns;
};

/**
 * struct sim_mem - allocator of one side
 * @live:     allocations not freed
 * @bytes:    in them, and @peak at most
 * @peak:     likewise
 * @nr:	      allocations so far
 * @nr_random: numbers that this side has asked for
 * @fail_at:  this one fails (from 1); 0: none
 * @fail_from: this one and all after it; 0: none
 * @fail_every: one in n, but which one is random; 0: none
 */
struct sim_mem {
	long	live;
	size_t	bytes, peak;
	__u64	nr, nr_random, fail_at, fail_from, fail_every;
};

/**
 * struct sim - the whole world
 * @config:   of each side; may be changed before sim_start()
 * @assoc:    owned
 * @link:     of datagrams that the side sends
 * @mem:      of each side
 * @now:      virtual time
 * @tick_ns:  timers fire at multiples of this, 0: exactly
 * @paused:   the side's application doesn't read
 * @refuse:   the side resets streams opened by the other
 * @loose:    the side's end of the n-th stream takes damaged bytes if bit n % 64 is set
 * @linger:   ends of flows are not released when they finish
 * @audit:    look inside after each step
 * @flows:    all ends, newest first; owned
 * @nr_live:  of these, with a stream
 * @nr_timers: how often the side's deadline was due
 * @retry_ns: an application found no memory and tries again then, 0: none did
 * @addr:     of each side, as the other one sees it; both begin at 0
 * @reach:    of each side: bit n is set if what is sent to address n of it arrives there
 * @known:    of each side: what address of the other one a path's number stands for
 * @carriers: addresses stand for carriers: what is sent to number n comes from number n
 * @strangers: datagrams of each side that came by no path in use
 * @tap:      told of each datagram before the link has it: who sends it, to what address
 * @tap_priv: for it
 * @errors:   wrong bytes, timers that don't advance, unexpected return values
 * @trace:    hash of all datagrams and their times
 * @overhead: bytes that the link adds to each datagram
 */
struct sim {
	struct htp_config	config[2];
	struct htp_assoc	*assoc[2];
	struct sim_link		link[2];
	struct sim_mem		mem[2];
	__u64			now, tick_ns;
	bool			paused[2], refuse[2], linger, audit;
	__u64			loose[2];
	struct sim_flow		*flows;
	unsigned int		nr_live, errors;
	__u64			nr_timers[2];
	__u64			retry_ns;
	__u32			addr[2], known[2][HTP_PATHS];
	bool			carriers;
	__u64			reach[2], strangers[2];
	void			(*tap)(struct sim *sim, enum sim_side from, __u32 to,
				       const __u8 *pkt, size_t len);
	void			*tap_priv;
	__u64			trace;
	unsigned int		overhead;

	/* private: of the link */
	__u64			random;
	struct sim_packet	**heap;
	size_t			nr_heap, cap_heap;
	__u64			nr_packets;
};

void	sim_init(struct sim *sim, __u64 seed);
int	sim_start(struct sim *sim);
struct sim_flow *sim_open(struct sim *sim, enum sim_side side, __u64 up, __u64 down);
int	sim_run(struct sim *sim, __u64 for_ns);	/* all flows are done: 0; else -ETIME */
void	sim_run_for(struct sim *sim, __u64 for_ns);
__u64	sim_next(const struct sim *sim);	/* when something happens, HTP_NEVER: nothing */
void	sim_step(struct sim *sim, __u64 now_ns);	/* what is due by then */
__u64	sim_link_pass(struct sim *sim, struct sim_link *link, __u64 bytes, __u64 now_ns);
int	sim_run_idle(struct sim *sim, __u64 for_ns);	/* no timer, no datagram: 0; else -ETIME */
void	sim_read(struct sim *sim, struct sim_flow *flow);
struct sim_flow *sim_peer(struct sim *sim, const struct sim_flow *flow);
void	sim_move(struct sim *sim, enum sim_side side, __u32 addr);	/* the old one is gone */
void	sim_inject(struct sim *sim, enum sim_side to, __u32 from, const __u8 *pkt, size_t len);
long	sim_exit(struct sim *sim);			/* allocations that leaked */
__u64	sim_random(struct sim *sim);
void	sim_count(__u64 seed);				/* one scenario more */

#endif /* SIM_H */
