/* SPDX-License-Identifier: GPL-2.0 */
/*
 * linkem: a link emulator in user space, shared declarations.
 *
 *   port A --ring--> pipe ab --sendmmsg--> port B
 *   port A <--sendmmsg-- pipe ba <--ring-- port B
 *
 * linkem_frame.c   what is in a frame; knows headers, keeps nothing
 * linkem_icmp.c    what a router says of a packet that is too big for it
 * linkem_pipe.c    one direction: queue, rate, delay, damage, counters; no I/O, no clock
 * linkem_port.c    one interface: AF_PACKET
 * linkem_xdp.c     an empty XDP program for those who need one on the interface
 * linkem_ctl.c     settings and counters as text, both ends of the control socket
 * linkem.c         command line and event loop
 *
 * All times are CLOCK_MONOTONIC nanoseconds. One thread, no locks.
 */
#ifndef LINKEM_H
#define LINKEM_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <net/if.h>

#define LK_NEVER		(~0ULL)
#define LK_NSEC_PER_USEC	1000ULL
#define LK_NSEC_PER_MSEC	1000000ULL
#define LK_NSEC_PER_SEC		1000000000ULL

/* Bound on what one direction stores, whatever rate and delay ask for. */
#define LK_PIPE_MAX_BYTES	(128U << 20)
#define LK_MAX_REQUEST		4096
#define LK_VLAN_HLEN		4

/*
 * struct lk_frame_info - what linkem has to know of a frame
 * @is_ip:       IPv4 or IPv6, and the header was complete; else only @is_control is set
 * @is_control:  address resolution or not IP at all: never lost, damaged or black-holed
 * @is_fragment: not the first fragment, so there is no L4 header
 * @is_part:     any fragment, the first one, too
 * @may_split:   IPv4 without DF: a router would fragment it
 * @proto:       IP protocol number, extension headers skipped
 * @tcp_flags:   flag octet of the TCP header, 0 for other protocols
 * @l3_off:      start of the IP header in the frame
 * @payload_off: start of the L4 payload in the frame
 * @payload_len: its length; the end of the IP packet counts, not Ethernet's padding
 */
struct lk_frame_info {
	bool	is_ip, is_control, is_fragment, is_part, may_split;
	__u8	proto, tcp_flags;
	__u32	l3_off, payload_off, payload_len;
};

void	lk_frame_parse(const __u8 *frame, size_t len, struct lk_frame_info *info);
bool	lk_frame_mark(__u8 *frame, const struct lk_frame_info *info);

/*
 * struct lk_config - the settings of one direction
 * @rate_bps:     bits per second, counted over whole Ethernet frames without FCS; 0: unlimited
 * @delay_ns:     one-way propagation delay, added to queueing and serialisation
 * @queue_bytes:  bytes that may wait for the line, the frame on it included; 0: one BDP
 * @mark_bytes:   ECN-capable packets that meet more than so many bytes get CE; 0: none do
 * @loss:         fraction of packets lost after the queue, i.e. they use up line time
 * @burst:        mean number of packets lost in a row; up to 1: independent losses
 * @dup:          fraction delivered twice
 * @reorder:      fraction delivered late by @reorder_ns, so that others overtake
 * @corrupt:      fraction with one bit flipped, checksums left as they were
 * @corrupt_any:  flip anywhere behind the Ethernet header instead of in the L4 payload only
 * @mtu:          bytes of IP packet; larger ones vanish before the queue; 0: all pass
 * @mtu_tell:     and their sender gets an ICMP message
 * @blackhole:    bit set of IP protocols that vanish before the queue
 */
struct lk_config {
	__u64	rate_bps, delay_ns, queue_bytes, mark_bytes, reorder_ns;
	double	loss, burst, dup, reorder, corrupt;
	bool	corrupt_any, mtu_tell;
	__u64	mtu;
	__u8	blackhole[32];
};

/*
 * struct lk_counters - what entered a direction, by IP protocol
 * @packets:       frames that entered, before any drop
 * @bytes:         their length with Ethernet header
 * @payload_bytes: their L4 payload
 * @syn:           TCP only, as @fin, @rst, @with_payload and @without_payload
 */
struct lk_counters {
	__u64	packets, bytes, payload_bytes;
	__u64	dropped_loss, dropped_queue, dropped_blackhole, dropped_mtu;
	__u64	duplicated, reordered, corrupted, marked;
	__u64	with_payload, without_payload, syn, fin, rst;
};

/*
 * struct lk_link_counters - what concerns a direction as a whole
 * @delivered_packets: frames handed to the far interface, duplicates included
 * @loss_bursts:       losses that did not follow another loss directly
 * @dropped_memory:    LK_PIPE_MAX_BYTES reached: the settings ask for more than is stored
 * @dropped_ring:      the receive ring overflowed: linkem was too slow, the result is void
 * @fragments:         frames that hold a part of an IP packet
 * @may_split:         frames beyond the setting "mtu" that a router would have fragmented
 * @oversize:          frames beyond the MTU, dropped: segmentation offload is on somewhere
 * @csum_unset:        frames with an unfilled checksum: checksum offload is on somewhere
 * @tx_errors:         the far interface refused a frame
 * @late_max_ns:       longest time a frame was sent after it was due
 * @late_over_1ms:     frames sent more than a millisecond late
 */
struct lk_link_counters {
	__u64	delivered_packets, delivered_bytes, loss_bursts, dropped_memory, dropped_ring;
	__u64	fragments, may_split, oversize, csum_unset, tx_errors, late_max_ns, late_over_1ms;
};

enum lk_draw { LK_DRAW_LOSS, LK_DRAW_DUP, LK_DRAW_REORDER, LK_DRAW_CORRUPT, LK_NR_DRAWS };

struct lk_packet {
	__u64	due_ns, seq;
	__u32	len;
	__u8	data[];
};

/*
 * struct lk_pipe - one direction of the link
 * @rtt_ns:        sum of both directions' delays, for the default queue
 * @rng:           one state per kind of decision, so that a seed loses the same packets
 *                 whether or not duplication is on
 * @back:          the other direction, for answers of the line itself
 * @in_burst:      the last packet was lost and the burst goes on
 * @busy_ns:       time at which the line has sent everything accepted so far
 * @last_due_ns:   due time of the youngest packet that was not reordered: none overtakes it
 * @heap:          packets in flight, min-heap by due time, then arrival; owned
 * @stored_bytes:  memory held by them
 */
struct lk_pipe {
	struct lk_config	cfg;
	__u64			rtt_ns;
	__u64			rng[LK_NR_DRAWS];
	struct lk_pipe		*back;
	bool			in_burst;
	__u64			busy_ns, last_due_ns, next_seq;
	struct lk_packet	**heap;
	size_t			nr_heap, cap_heap, stored_bytes;
	struct lk_counters	proto[256], other;
	struct lk_link_counters	link;
};

void	lk_pipe_init(struct lk_pipe *pipe, __u64 seed);
void	lk_pipe_exit(struct lk_pipe *pipe);
void	lk_pipe_reset_counters(struct lk_pipe *pipe);
void	lk_pipe_push(struct lk_pipe *pipe, struct lk_packet *pkt, __u64 arrival_ns);
__u64	lk_pipe_due(const struct lk_pipe *pipe);
struct lk_packet *lk_pipe_pop(struct lk_pipe *pipe);

/*
 * struct lk_port - one interface
 * @fd:        packet socket, -1 if not open
 * @xdp_fd:    link that holds an empty XDP program, -1 without
 * @ring:      TPACKET_V2 receive ring, mapped
 * @warned:    messages about offloads are given once
 */
struct lk_port {
	char		name[IF_NAMESIZE];
	int		fd, xdp_fd;
	__u32		mtu;
	__u8		*ring;
	size_t		ring_len;
	__u32		slot_size, nr_slots, next_slot;
	bool		warned_oversize, warned_csum;
};

int	lk_port_open(struct lk_port *port, const char *name);
void	lk_port_close(struct lk_port *port);
bool	lk_port_has_frames(const struct lk_port *port);
unsigned int	lk_port_receive(struct lk_port *port, struct lk_pipe *pipe, unsigned int budget);
unsigned int	lk_port_transmit(struct lk_port *port, struct lk_pipe *pipe, __u64 now_ns,
				 unsigned int budget);
void	lk_port_clear_error(struct lk_port *port);
void	lk_port_read_drops(struct lk_port *port, struct lk_pipe *pipe);

struct lk_packet *lk_icmp_too_big(const struct lk_packet *pkt, const struct lk_frame_info *info,
				  __u32 mtu);
int	lk_xdp_attach_pass(const char *name);
__u64	lk_now_ns(void);

enum { LK_AB, LK_BA, LK_NR_DIRS };

/*
 * struct lk_emulator - the two ports and the pipes between them
 * @port: A, B
 * @pipe: ab takes from port A and delivers to port B; ba the other way round
 */
struct lk_emulator {
	struct lk_port	port[2];
	struct lk_pipe	pipe[LK_NR_DIRS];
};

int	lk_ctl_apply(struct lk_emulator *em, int argc, char **argv, FILE *err);
int	lk_ctl_listen(const char *path);
int	lk_ctl_serve(struct lk_emulator *em, int fd);
int	lk_ctl_request(const char *path, int argc, char **argv);
void	lk_ctl_help(FILE *out);

#endif /* LINKEM_H */
