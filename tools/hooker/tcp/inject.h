/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TCP segments sent from outside the sockets they belong to: handshake packets
 * that the gate held back, and those that the daemon makes up itself.
 */
#ifndef HK_TCP_INJECT_H
#define HK_TCP_INJECT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "../bpf/hooker_abi.h"

#define HK_SEGMENT_MAX	120	/* IPv6 header, TCP header, 40 bytes of options, room to spare */

/**
 * struct hk_segment - a TCP segment without payload, host byte order
 * @key:	@key.laddr:lport is the source, @key.raddr:rport the destination
 * @seq:	sequence number
 * @ack:	acknowledgment number
 * @flags:	TCP flags byte (TH_ACK etc.)
 * @window:	window field as it goes out, unscaled
 * @timestamps:	put a timestamp option
 * @tsval:	its TSval
 * @tsecr:	its TSecr
 * @option:	hooker option to put, or NULL
 * @mss:	MSS option to put; 0: none
 * @sack:	put SACK permitted
 * @scaled:	put the window scale option
 * @wscale:	its shift
 */
struct hk_segment {
	struct hk_flow_key	key;
	__u32			seq, ack;
	__u8			flags;
	__u16			window;
	bool			timestamps;
	__u32			tsval, tsecr;
	const struct hk_option	*option;
	__u16			mss;
	bool			sack, scaled;
	__u8			wscale;
};

/**
 * struct hk_parsed - a TCP segment taken apart, host byte order
 * @key:	source as local, destination as remote
 * @seq:	sequence number
 * @ack:	acknowledgment number
 * @flags:	TCP flags byte
 * @window:	window field, unscaled
 * @mss:	MSS option, 536 (IPv4) or 1220 (IPv6) without one (RFC 9293, 3.7.1)
 * @wscale:	window scale option, -1 without one, 14 at most (RFC 7323, 2.3)
 * @sack:	SACK permitted; this, @mss and @wscale are read from SYNs only
 * @timestamps:	there is a timestamp option
 * @tsval:	its TSval
 * @tsecr:	its TSecr
 * @option:	where the hooker option stands in the packet, aligned to 2 bytes or
 *		not, so to be copied; NULL without one
 * @payload:	bytes behind the TCP header
 */
struct hk_parsed {
	struct hk_flow_key	key;
	__u32			seq, ack;
	__u8			flags;
	__u16			window, mss;
	int			wscale;
	bool			sack, timestamps;
	__u32			tsval, tsecr;
	const struct hk_option	*option;
	__u32			payload;
};

/**
 * struct hk_injector - raw sockets
 * @fd4: IPPROTO_RAW over IPv4; owned, -1 when closed
 * @fd6: the same over IPv6, -1 where the host has no IPv6
 */
struct hk_injector {
	int	fd4, fd6;
};

int	hk_injector_open(struct hk_injector *inj, __u32 mark);
void	hk_injector_close(struct hk_injector *inj);
int	hk_inject(const struct hk_injector *inj, void *packet, size_t len);

ssize_t	hk_segment_build(void *packet, size_t cap, const struct hk_segment *seg);
int	hk_segment_parse(const void *packet, size_t len, struct hk_parsed *parsed);
int	hk_segment_readdress(void *packet, size_t len, const struct hk_flow_key *key);

#endif /* HK_TCP_INJECT_H */
