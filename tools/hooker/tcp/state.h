/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The complete state of an established TCP socket, read and set from user
 * space by TCP_REPAIR: what the forge_socket module once did.
 */
#ifndef HK_TCP_STATE_H
#define HK_TCP_STATE_H

#include <linux/types.h>
#include <stdbool.h>
#include "../bpf/hooker_abi.h"

/**
 * struct hk_tcp_state - an established connection, seen from the socket that has it
 * @key:	addresses and ports; IPv4-mapped addresses give an AF_INET socket
 * @snd_nxt:	next sequence number it sends (nothing is in flight)
 * @rcv_nxt:	next sequence number it expects
 * @snd_wnd:	bytes the peer takes from @snd_nxt on (scaled already)
 * @rcv_wnd:	bytes promised to the peer from @rcv_nxt on (scaled already)
 * @mss:	largest segment to send, options not counted (the peer's MSS option)
 * @wscale:	window scaling was agreed on
 * @snd_wscale:	shift of windows that the peer sends
 * @rcv_wscale:	shift of windows that it sends
 * @sack:	SACK was agreed on
 * @timestamps:	timestamps were agreed on
 * @tsval:	next TSval it sends: continues the clock that the peer has seen (RFC 7323, PAWS)
 */
struct hk_tcp_state {
	struct hk_flow_key	key;
	__u32			snd_nxt, rcv_nxt;
	__u32			snd_wnd, rcv_wnd;
	__u16			mss;
	bool			wscale, sack, timestamps;
	__u8			snd_wscale, rcv_wscale;
	__u32			tsval;
};

/**
 * struct hk_tcp_limits - how the forged socket is set up beside its TCP state
 * @mark:    SO_MARK; 0: none
 * @sndbuf:  SO_SNDBUF in bytes of payload (the kernel doubles it); 0: auto-tuned
 * @rcvbuf:  SO_RCVBUF likewise
 */
struct hk_tcp_limits {
	__u32	mark;
	__u32	sndbuf, rcvbuf;
};

int hk_tcp_forge(const struct hk_tcp_state *state, const struct hk_tcp_limits *limits);
int hk_tcp_dump(int fd, struct hk_tcp_state *state);
void hk_tcp_abandon(int fd);
int hk_tcp_destroy(const struct hk_flow_key *key);
bool hk_tcp_is_gone(const struct hk_flow_key *key);

#endif /* HK_TCP_STATE_H */
