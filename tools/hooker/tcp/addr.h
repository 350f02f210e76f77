/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses as flow keys hold them (IPv6, or IPv4 mapped into it) on their way
 * to and from the forms the socket interface and packets use.
 */
#ifndef HK_TCP_ADDR_H
#define HK_TCP_ADDR_H

#include <arpa/inet.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include "../bpf/hooker_abi.h"

static inline bool hk_addr_is_mapped(const __be32 addr[4])
{
	return !addr[0] && !addr[1] && addr[2] == htonl(0xffff);
}

static inline void hk_addr_map(__be32 addr[4], __be32 v4)
{
	addr[0] = 0;
	addr[1] = 0;
	addr[2] = htonl(0xffff);
	addr[3] = v4;
}

/* The same connection seen from its other end */
static inline void hk_flow_key_reverse(struct hk_flow_key *to, const struct hk_flow_key *from)
{
	memcpy(to->laddr, from->raddr, sizeof(to->laddr));
	memcpy(to->raddr, from->laddr, sizeof(to->raddr));
	to->lport = from->rport;
	to->rport = from->lport;
}

/* Fills @ss as sockaddr_in for a mapped address, else as sockaddr_in6; returns its length */
static inline socklen_t hk_addr_to_sockaddr(struct sockaddr_storage *ss, const __be32 addr[4],
					    __be16 port)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (hk_addr_is_mapped(addr)) {
		sin->sin_family = AF_INET;
		sin->sin_port = port;
		sin->sin_addr.s_addr = addr[3];
		return sizeof(*sin);
	}
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = port;
	memcpy(&sin6->sin6_addr, addr, sizeof(sin6->sin6_addr));
	return sizeof(*sin6);
}

#endif /* HK_TCP_ADDR_H */
