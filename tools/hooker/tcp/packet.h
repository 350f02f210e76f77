/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where things are in an IP packet that carries TCP. Private to tcp/.
 */
#ifndef HK_TCP_PACKET_H
#define HK_TCP_PACKET_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define HK_IP4_HDR_LEN	20	/* without options */
#define HK_IP6_HDR_LEN	40
#define HK_TCP_HDR_LEN	20
#define HK_IP4_DF	0x4000
#define HK_IP4_FRAGMENT	0x3fff	/* more fragments, or an offset */
#define HK_TCP_SYN	0x02

/**
 * struct hk_packet - offsets from the start of the packet
 * @v4:          IPv4, else IPv6
 * @tcp:         of the TCP header
 * @tcp_hdr_len: its length, options included
 * @len:         of the whole packet, as its IP header has it
 */
struct hk_packet {
	bool	v4;
	size_t	tcp, tcp_hdr_len, len;
};

int	hk_packet_locate(const void *packet, size_t len, struct hk_packet *pkt);
int	hk_packet_fill_checksums(void *packet, size_t len);

#endif /* HK_TCP_PACKET_H */
