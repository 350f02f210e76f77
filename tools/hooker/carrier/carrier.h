/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Carriers: what takes HTP datagrams to the other daemon. One ops table, one
 * registry; the relay knows no IP protocol by name.
 */
#ifndef HK_CARRIER_H
#define HK_CARRIER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include "../bpf/hooker_abi.h"
#include "../bpf/mechanism.h"

#define HK_CARRIER_BATCH	64	/* datagrams a send or receive call takes */
#define HK_CARRIER_SOCKETS	4	/* of one carrier, at most */

/**
 * struct hk_path - the way of a datagram, network byte order; IPv4 is mapped
 * @local:   this host's address
 * @remote:  the peer's address
 * @rport:   the peer's port; the local one is the carrier's
 * @pad:     zero, so that paths can be compared as bytes
 */
struct hk_path {
	__be32	local[4], remote[4];
	__be16	rport, pad;
};

/**
 * struct hk_datagram - one datagram and its way
 * @path:     send: where to; receive: where from
 * @data:     caller's buffer
 * @len:      send: bytes in it; receive: its size on entry, bytes received on return,
 *	      0 for a datagram that didn't fit
 * @coverage: send: bytes from the start of @data under the checksum, 0: all.
 *	      Ignored where the carrier covers everything (UDP)
 * @ecn:      lower two bits of the IP header's TOS or traffic class
 */
struct hk_datagram {
	struct hk_path	path;
	void		*data;
	__u32		len;
	__u32		coverage;
	__u8		ecn;
};

/**
 * struct hk_carrier_error - what an ICMP message told about a datagram sent before
 * @path:   its way
 * @err:    positive errno: ECONNREFUSED, EHOSTUNREACH, EMSGSIZE ...
 * @mtu:    EMSGSIZE: the path's MTU, bytes of IP packet; else 0
 * @data:   caller's buffer: the quoted datagram from its HTP header on
 * @len:    its size on entry, bytes quoted on return (0 if the quote was too short)
 */
struct hk_carrier_error {
	struct hk_path	path;
	int		err;
	__u32		mtu;
	void		*data;
	__u32		len;
};

/**
 * struct hk_carrier - an open carrier
 * @ops:  its implementation
 * @port: UDP or UDP-Lite port, network byte order
 * @fd:   sockets to poll for input: IPv4, IPv6; -1: family not there. Owned.
 * @gso:  the kernel segments for us; cleared when a send says otherwise
 * @priv: the implementation's; owned by it
 */
struct hk_carrier {
	const struct hk_carrier_ops	*ops;
	__be16				port;
	int				fd[2];
	bool				gso;
	void				*priv;
};

/**
 * struct hk_carrier_config - how to open one
 * @port:    local port, network byte order; 0: any
 * @mark:    SO_MARK for its datagrams; 0: none
 * @rcvbuf:  SO_RCVBUF wanted, bytes (SO_RCVBUFFORCE is tried first); 0: default
 * @sndbuf:  likewise
 * @adopt:   sockets of another process to go on with, as from hk_carrier_sockets();
 *	     owned by the carrier once it is open. Looked at only if @adopts
 * @adopts:  open no sockets
 * @min_coverage: receive no datagram with fewer of its bytes under the checksum than
 *	     this, from the first on; 0: any
 */
struct hk_carrier_config {
	__be16	port;
	__u32	mark;
	__u32	rcvbuf, sndbuf;
	__u32	min_coverage;
	int	adopt[HK_CARRIER_SOCKETS];
	bool	adopts;
};

/**
 * struct hk_carrier_ops - a carrier's implementation
 * @name:     as on the command line and in reports
 * @ip_proto: IP protocol number on the wire
 * @proto:    its HK_PROTO_* bit in the offer
 * @overhead: bytes of its header between IP and HTP
 * @has_coverage: its checksum may cover a part of a datagram; else it covers all, always
 * @open:     0; -EPROTONOSUPPORT: not on this kernel; -EADDRINUSE and others: failed
 * @send:     1..n datagrams taken from the front; -EAGAIN: none, wait for EPOLLOUT;
 *	      else the negative errno is that of the first datagram, which the caller
 *	      drops or shortens (-EMSGSIZE)
 * @recv:     1..n received; -EAGAIN: none. Exactly n: there may be more, and poll needn't
 *	      tell of it, so call again
 * @recv_error: 0: *error was filled; -EAGAIN: error queue empty. Due on EPOLLERR
 * @close:    NULL and closed ones are fine
 */
struct hk_carrier_ops {
	const char	*name;
	__u8		ip_proto;
	__u8		proto;
	__u8		overhead;
	bool		has_coverage;
	int		(*open)(struct hk_carrier *c, const struct hk_carrier_config *config);
	int		(*send)(struct hk_carrier *c, const struct hk_datagram *dgrams, int n);
	int		(*recv)(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams,
				int n);
	int		(*recv_error)(struct hk_carrier *c, int family_idx,
				      struct hk_carrier_error *error);
	void		(*close)(struct hk_carrier *c);
};

/* A coverage of all of it is full, however it is said */
static inline bool hk_carrier_is_partial(const struct hk_datagram *dgram)
{
	return dgram->coverage && dgram->coverage < dgram->len;
}

extern const struct hk_carrier_ops hk_carrier_udplite, hk_carrier_udp;

/* One that is not open: it has no sockets, no HK_PROTO_* bit, and is never sent to */
extern const struct hk_carrier hk_carrier_closed;

int	hk_carrier_open(struct hk_carrier *c, const char *name,
			const struct hk_carrier_config *config);
int	hk_carrier_open_deployed(struct hk_carrier *c, const struct hk_mechanism *mech,
				 const struct hk_carrier_config *config, __be16 locals[2]);
void	hk_carrier_close(struct hk_carrier *c);
void	hk_carrier_sockets(const struct hk_carrier *c, int fds[HK_CARRIER_SOCKETS]);
const char *hk_carrier_name(unsigned int bit);
void	hk_carrier_set_name(unsigned int bit, const char *name);
const struct hk_carrier_ops *hk_carrier_by_name(const char *name);
const struct hk_carrier_ops *hk_carrier_at(unsigned int i);	/* NULL past the last */
int	hk_carrier_path_mtu(const struct hk_path *path);	/* bytes of IP packet, or -errno */
int	hk_carrier_source(const struct hk_path *path, __be32 local[4]);

#endif /* HK_CARRIER_H */
