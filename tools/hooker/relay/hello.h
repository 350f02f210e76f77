/* SPDX-License-Identifier: GPL-2.0 */
/* Proving the path before anything is taken over: hello.c */
#ifndef HK_RELAY_HELLO_H
#define HK_RELAY_HELLO_H

#include <linux/types.h>
#include "../carrier/carrier.h"
#include "../htp/htp.h"

#define HK_HELLO_TRIES		4
#define HK_GRACE_NS		(300 * NSEC_PER_MSEC)	/* a host may be busy that long */
#define HK_MAX_BLOCKED		64

struct hk_peer;
struct hk_port;
struct hk_relay;

/**
 * struct hk_blocked - carriers that did not get through to a host
 * @raddr:    the host
 * @instance: of its daemon: another one may be elsewhere behind the same address
 * @protos:   HK_PROTO_*
 * @until_ns: not tried before
 */
struct hk_blocked {
	__be32	raddr[4];
	__u8	instance[8];
	__u8	protos;
	__u64	until_ns;
};

void	hk_hello_start(struct hk_peer *peer);
int	hk_hello_send(const struct hk_peer *peer, struct hk_port *port, __u64 nonce, __u32 size);
void	hk_hello_timer(struct hk_peer *peer);
void	hk_hello_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram);
void	hk_hello_ack_rx(struct hk_peer *peer, struct hk_port *port,
			const struct hk_datagram *dgram);
void	hk_hello_refused(struct hk_peer *peer, struct hk_port *port,
			 const struct htp_hello *hello);
void	hk_hello_too_big(struct hk_peer *peer, const struct htp_hello *hello,
			 const struct hk_carrier_error *error);
void	hk_hello_leave(struct hk_peer *peer, struct hk_port *port);
void	hk_blocked_remember(struct hk_peer *peer, __u8 protos, __u64 ns);
__u8	hk_blocked_protos(struct hk_relay *r, const __be32 raddr[4], const __u8 instance[8]);

#endif /* HK_RELAY_HELLO_H */
