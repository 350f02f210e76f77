// SPDX-License-Identifier: GPL-2.0
/*
 * Ports: the daemon's open carriers. Datagrams are written straight into a
 * port's batch and leave together.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "log.h"
#include "private.h"

#define SOCKET_BUF	(4 << 20)
#define RX_ROUNDS	8	/* batches per wake-up; then others come */
#define ERROR_BUF	256

static int open_one(struct hk_relay *r, const char *name)
{
	struct hk_carrier_config config = {
		.port = htons(r->config->port),
		.rcvbuf = SOCKET_BUF,
		.sndbuf = SOCKET_BUF,
		/* a bit error in the header would reach another association */
		.min_coverage = HTP_HDR_LEN,
	};
	struct hk_port *port = &r->ports[r->nr_ports];
	int err;

	err = hk_carrier_open(&port->carrier, name, &config);
	if (err == -EPROTONOSUPPORT) {
		hk_info("carrier %s: this kernel has no such socket; going on without", name);
		return 0;
	}
	if (err) {
		hk_err("carrier %s: port %u: %s%s", name, r->config->port, strerror(-err),
		       err == -EADDRINUSE ? "; another daemon? --port takes another one" : "");
		return err;
	}
	port->bufs = malloc(HK_CARRIER_BATCH * HK_DATAGRAM_BUF);
	if (!port->bufs) {
		hk_carrier_close(&port->carrier);
		return -ENOMEM;
	}
	port->index = r->nr_ports++;
	return 0;
}

static int poll_port(struct hk_relay *r, struct hk_port *port, int op, __u32 events)
{
	int i, err;

	for (i = 0; i < 2; i++) {
		if (port->carrier.fd[i] < 0)
			continue;
		err = hk_relay_poll(r, op, port->carrier.fd[i], events,
				    hk_source_pack(HK_SRC_PORT, 0, port->index));
		if (err)
			return err;
	}
	return 0;
}

/**
 * hk_ports_open - open the configured carriers
 * @r: relay
 *
 * One that this kernel lacks is left out; the reason of any failure is printed.
 *
 * Return: 0, -EPROTONOSUPPORT if none is left, or another negative errno.
 */
int hk_ports_open(struct hk_relay *r)
{
	unsigned int i;
	int err;

	for (i = 0; i < HK_MAX_PORTS && r->config->carriers[i]; i++) {
		err = open_one(r, r->config->carriers[i]);
		if (err)
			return err;
	}
	for (i = 0; i < r->nr_ports; i++) {
		err = poll_port(r, &r->ports[i], EPOLL_CTL_ADD, EPOLLIN);
		if (err)
			return err;
	}
	if (!r->nr_ports) {
		hk_err("none of the carriers is there; --proto udp works everywhere");
		return -EPROTONOSUPPORT;
	}
	return 0;
}

/**
 * hk_ports_close - close all carriers
 * @r: relay
 */
void hk_ports_close(struct hk_relay *r)
{
	while (r->nr_ports) {
		struct hk_port *port = &r->ports[--r->nr_ports];

		hk_carrier_close(&port->carrier);
		free(port->bufs);
	}
}

/**
 * hk_port_flush - send what the batch holds
 * @r:	  relay
 * @port: port
 *
 * A datagram that the kernel refuses is dropped, as the network might have done;
 * a full socket buffer keeps the rest for EPOLLOUT.
 *
 * Return: 0, or -EAGAIN while blocked.
 */
int hk_port_flush(struct hk_relay *r, struct hk_port *port)
{
	int n;

	while (port->head < port->nr) {
		n = port->carrier.ops->send(&port->carrier, port->dgrams + port->head,
					    port->nr - port->head);
		/* ENOBUFS is a full queue of the device: lost, as in any other queue */
		if (n == -EAGAIN) {
			if (!port->blocked)
				poll_port(r, port, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			port->blocked = true;
			return -EAGAIN;
		}
		if (n == -EMSGSIZE)
			hk_pathmtu_refused(r, &port->dgrams[port->head]);
		port->head += n > 0 ? n : 1;
	}
	port->head = 0;
	port->nr = 0;
	return 0;
}

/**
 * hk_port_slot - where to write the next datagram
 * @r:	  relay
 * @port: port
 *
 * The caller fills path, data (HK_DATAGRAM_BUF bytes), len and coverage, then
 * counts it in with port->nr++.
 *
 * Return: a slot with @data set, or NULL while the socket is blocked.
 */
struct hk_datagram *hk_port_slot(struct hk_relay *r, struct hk_port *port)
{
	struct hk_datagram *dgram;

	if (port->blocked || (port->nr == HK_CARRIER_BATCH && hk_port_flush(r, port)))
		return NULL;
	dgram = &port->dgrams[port->nr];
	dgram->data = port->bufs + port->nr * HK_DATAGRAM_BUF;
	dgram->coverage = 0;
	return dgram;
}

static int receive(struct hk_relay *r, struct hk_port *port, int family)
{
	struct hk_datagram dgrams[HK_CARRIER_BATCH];
	int i, n;

	for (i = 0; i < HK_CARRIER_BATCH; i++) {
		dgrams[i].data = r->rx_bufs + i * HK_DATAGRAM_BUF;
		dgrams[i].len = HK_DATAGRAM_BUF;
	}
	n = port->carrier.ops->recv(&port->carrier, family, dgrams, HK_CARRIER_BATCH);
	for (i = 0; i < n; i++)
		hk_peer_rx(r, port, &dgrams[i]);
	return n;
}

static void receive_errors(struct hk_relay *r, struct hk_port *port, int family)
{
	struct hk_carrier_error error;
	__u8 quote[ERROR_BUF];
	int i;

	for (i = 0; i < HK_CARRIER_BATCH; i++) {
		error.data = quote;
		error.len = sizeof(quote);
		if (port->carrier.ops->recv_error(&port->carrier, family, &error))
			return;
		r->stats[HK_REL_ICMP_ERRORS]++;
		hk_peer_unreachable(r, port, &error);
	}
}

static void unblock(struct hk_relay *r, struct hk_port *port)
{
	struct hk_peer *peer;

	port->blocked = false;
	poll_port(r, port, EPOLL_CTL_MOD, EPOLLIN);
	if (hk_port_flush(r, port))
		return;
	LIST_FOREACH(peer, &r->peers, all)
		if (peer->port == port)
			hk_peer_touch(peer);
}

/**
 * hk_port_on_poll - a carrier's socket is ready
 * @r:	    relay
 * @index:  of the port
 * @events: of epoll
 */
void hk_port_on_poll(struct hk_relay *r, unsigned int index, __u32 events)
{
	struct hk_port *port = &r->ports[index];
	int family, rounds;

	if (index >= r->nr_ports)
		return;
	port->more = false;
	for (family = 0; family < 2; family++) {
		if (port->carrier.fd[family] < 0)
			continue;
		if (events & EPOLLERR)
			receive_errors(r, port, family);
		for (rounds = 0; rounds < RX_ROUNDS; rounds++)
			if (receive(r, port, family) < HK_CARRIER_BATCH)
				break;
		port->more |= rounds == RX_ROUNDS;
	}
	if (port->blocked && (events & EPOLLOUT))
		unblock(r, port);
}
