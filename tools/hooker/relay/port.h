/* SPDX-License-Identifier: GPL-2.0 */
/* Open carriers: port.c, and xsk.c for those that send through AF_XDP */
#ifndef HK_RELAY_PORT_H
#define HK_RELAY_PORT_H

#include <linux/types.h>
#include <stdbool.h>
#include "../carrier/carrier.h"
#include "../htp/htp.h"

#define HK_MAX_PORTS		8
#define HK_DATAGRAM_BUF		HTP_MAX_DATAGRAM	/* room for one datagram in a batch */

struct hk_mech;
struct hk_relay;

/**
 * struct hk_port - an open carrier and its send batch
 * @carrier: owned
 * @index:   in the relay's ports; order of preference
 * @dgrams:  written, not yet sent: from @head to before @nr
 * @head:    first of them
 * @nr:	     behind the last
 * @bufs:    HK_CARRIER_BATCH x HK_DATAGRAM_BUF; owned
 * @mech:    deployed for it; borrowed. NULL: the kernel has sockets for it
 * @locals:  with @mech: ports of the sockets, see hk_carrier_open_deployed()
 * @blocked: the socket's buffer is full; waiting for EPOLLOUT
 * @more:    stopped receiving to let others on; datagrams that were taken out of the
 *	     socket already (UDP_GRO) would not make it readable again
 */
struct hk_port {
	struct hk_carrier	carrier;
	unsigned int		index;
	struct hk_datagram	dgrams[HK_CARRIER_BATCH];
	__u8			*bufs;
	int			head, nr;
	struct hk_mech		*mech;
	__be16			locals[2];
	bool			blocked, more;
};

/* port.c */
int	hk_ports_open(struct hk_relay *r);
int	hk_ports_deploy(struct hk_relay *r);
int	hk_port_deploy(struct hk_relay *r, struct hk_mech *mech);
void	hk_port_retire(struct hk_relay *r, struct hk_port *port);
int	hk_port_adopt(struct hk_relay *r, const char *name, bool deployed,
		      const int socks[HK_CARRIER_SOCKETS]);
void	hk_ports_close(struct hk_relay *r);
struct hk_datagram *hk_port_slot(struct hk_relay *r, struct hk_port *port);
int	hk_port_flush(struct hk_relay *r, struct hk_port *port);
void	hk_port_on_poll(struct hk_relay *r, unsigned int index, __u32 events);

/* xsk.c */
int	hk_port_wrap(struct hk_relay *r, struct hk_port *port);
void	hk_port_on_xsk(struct hk_relay *r, unsigned int index);

#endif /* HK_RELAY_PORT_H */
