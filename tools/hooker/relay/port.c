// SPDX-License-Identifier: GPL-2.0
/*
 * Ports: the daemon's open carriers. Datagrams are written straight into a
 * port's batch and leave together.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "log.h"
#include "pathmtu.h"
#include "peer.h"
#include "port.h"
#include "private.h"

#define SOCKET_BUF	(4 << 20)
#define RX_ROUNDS	8	/* batches per wake-up; then others come */
#define ERROR_BUF	256

static struct hk_carrier_config carrier_config(const struct hk_relay *r)
{
	return (struct hk_carrier_config){
		.port = htons(r->config->port),
		.rcvbuf = SOCKET_BUF,
		.sndbuf = SOCKET_BUF,
		/* a bit error in the header would reach another association */
		.min_coverage = HTP_HDR_LEN,
	};
}

static struct hk_port *new_port(struct hk_relay *r)
{
	struct hk_port *port = &r->ports[r->nr_ports];

	if (r->nr_ports == HK_MAX_PORTS)
		return NULL;
	memset(port, 0, sizeof(*port));
	port->carrier = hk_carrier_closed;
	port->bufs = malloc(HK_CARRIER_BATCH * HK_DATAGRAM_BUF);
	if (!port->bufs)
		return NULL;
	port->index = r->nr_ports++;
	return port;
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

static bool is_udplite(const char *name)
{
	return !strcmp(name, hk_carrier_udplite.name);
}

static int open_native(struct hk_relay *r, struct hk_port *port, const char *name)
{
	struct hk_carrier_config config = carrier_config(r);
	int err;

	err = hk_carrier_open(&port->carrier, name, &config);
	if (err)
		port->carrier = hk_carrier_closed;
	if (err == -EPROTONOSUPPORT) {
		r->lacks_udplite |= is_udplite(name);
		hk_info("carrier %s: this kernel has no such socket%s", name,
			is_udplite(name) && r->config->udplite == HK_UDPLITE_AUTO ?
			"; BPF may do" : "; going on without");
		return 0;
	}
	if (err) {
		hk_err("carrier %s: port %u: %s%s", name, r->config->port, strerror(-err),
		       err == -EADDRINUSE ? "; another daemon? --port takes another one" : "");
		return err;
	}
	err = hk_port_wrap(r, port);
	return err ?: poll_port(r, port, EPOLL_CTL_ADD, EPOLLIN);
}

static int open_one(struct hk_relay *r, const char *name)
{
	struct hk_port *port = new_port(r);

	if (!port)
		return -ENOMEM;
	if (is_udplite(name) && r->config->udplite == HK_UDPLITE_DEPLOYED) {
		r->lacks_udplite = true;
		return 0;
	}
	return open_native(r, port, name);
}

/**
 * hk_ports_open - open the configured carriers that this kernel has sockets for
 * @r: relay
 *
 * Their order is that of preference. UDP-Lite's place is kept where it has to be
 * deployed. The reason of any failure is printed.
 *
 * Return: 0 or a negative errno.
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
	return 0;
}

/* The port of the offer, and the sockets behind it, are the mechanism's from now on */
static int claim_ports(struct hk_relay *r, struct hk_mech *mech, const __be16 locals[2])
{
	__be16 wire = htons(r->config->port);
	struct hk_mech_port in = { .port = locals[0] };
	struct hk_mech_port full = { .port = wire };
	struct hk_mech_port partial = {
		.port = wire,
		.cover = HK_MECH_COVER_FIELD,
		.base = hk_mech_about(mech, NULL, NULL)->hdr_len + HTP_HDR_LEN,
		.field = HTP_HDR_CTL_LEN,
	};
	int err;

	err = hk_mech_set_port(mech, &(struct hk_mech_key){ wire, HK_MECH_IN_DEST }, &in);
	if (!err)
		err = hk_mech_set_port(mech, &(struct hk_mech_key){ locals[0], HK_MECH_OUT_SOURCE },
				       &full);
	if (!err)
		err = hk_mech_set_port(mech, &(struct hk_mech_key){ locals[1], HK_MECH_OUT_SOURCE },
				       &partial);
	return err ?: hk_mech_carry(r->dp, mech, locals, 2, true);
}

static void release_ports(struct hk_relay *r, struct hk_port *port)
{
	struct hk_mech *mech = port->mech;

	hk_mech_carry(r->dp, mech, port->locals, 2, false);
	hk_mech_del_port(mech, &(struct hk_mech_key){ htons(r->config->port), HK_MECH_IN_DEST });
	hk_mech_del_port(mech, &(struct hk_mech_key){ port->locals[0], HK_MECH_OUT_SOURCE });
	hk_mech_del_port(mech, &(struct hk_mech_key){ port->locals[1], HK_MECH_OUT_SOURCE });
}

static void announce(struct hk_relay *r)
{
	__u32 protos = 0;
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++)
		protos |= r->ports[i].carrier.ops->proto;
	r->live->protos = protos;
}

/* The first place that is kept, or a new one; those of no mechanism are closed for good */
static struct hk_port *place_for(struct hk_relay *r, const char *name)
{
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++) {
		if (r->ports[i].carrier.ops->proto)
			continue;
		if (i >= HK_MAX_PORTS || !r->config->carriers[i] ||
		    !strcmp(r->config->carriers[i], name))
			return &r->ports[i];
	}
	return new_port(r);
}

/**
 * hk_port_deploy - let a mechanism carry our datagrams
 * @r:	  relay
 * @mech: deployed, and not carrying yet
 *
 * Offers name it from now on.
 *
 * Return: 0, -ENOSPC: HK_MAX_PORTS are there; or another negative errno.
 */
int hk_port_deploy(struct hk_relay *r, struct hk_mech *mech)
{
	const struct hk_mechanism *about = hk_mech_about(mech, NULL, NULL);
	struct hk_carrier_config config = carrier_config(r);
	struct hk_port *port = place_for(r, about->name);
	int err;

	if (!port)
		return -ENOSPC;
	err = hk_carrier_open_deployed(&port->carrier, about, &config, port->locals);
	if (err) {
		port->carrier = hk_carrier_closed;
		return err;
	}
	port->mech = mech;
	err = claim_ports(r, mech, port->locals);
	if (!err)
		err = hk_port_wrap(r, port);
	if (!err)
		err = poll_port(r, port, EPOLL_CTL_ADD, EPOLLIN);
	if (err) {
		hk_port_retire(r, port);
		return err;
	}
	hk_carrier_set_name(about->offer_bit, about->name);
	announce(r);
	return 0;
}

/**
 * hk_port_retire - a mechanism carries no more
 * @r:	  relay
 * @port: its port; no peer may use it any more
 */
void hk_port_retire(struct hk_relay *r, struct hk_port *port)
{
	release_ports(r, port);
	hk_carrier_close(&port->carrier);
	port->carrier = hk_carrier_closed;
	port->mech = NULL;
	port->head = 0;
	port->nr = 0;
	port->blocked = false;
	announce(r);
}

static int deploy_udplite(struct hk_relay *r)
{
	bool must = r->config->udplite == HK_UDPLITE_DEPLOYED;
	char why[HK_MECH_WHY];
	struct hk_mech *mech;
	int err;

	err = hk_dataplane_add_mech(r->dp, NULL, &mech, why);
	if (!err) {
		err = hk_port_deploy(r, mech);
		snprintf(why, sizeof(why), "its port: %s", strerror(-err));
	}
	if (err && must)
		hk_err("deploying UDP-Lite: %s", why);
	else if (err)
		hk_info("deploying UDP-Lite: %s; going on without", why);
	return must ? err : 0;
}

/**
 * hk_ports_deploy - deploy what has no sockets here, and begin to offer carriers
 * @r: relay with its data plane and devices
 *
 * Return: 0, -EPROTONOSUPPORT if there is no carrier, or another negative errno; the
 * reason has been printed.
 */
int hk_ports_deploy(struct hk_relay *r)
{
	int err;

	if (r->lacks_udplite && r->config->udplite != HK_UDPLITE_NATIVE) {
		err = deploy_udplite(r);
		if (err)
			return err;
	}
	announce(r);
	if (!r->live->protos) {
		hk_err("none of the carriers is there; --proto udp works everywhere");
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int open_adopted(struct hk_relay *r, struct hk_port *port, const char *name, bool deployed,
			const struct hk_carrier_config *config)
{
	if (!deployed)
		return hk_carrier_open(&port->carrier, name, config);
	port->mech = hk_dataplane_mech(r->dp, name);
	if (!port->mech)
		return -EBADMSG;
	return hk_carrier_open_deployed(&port->carrier, hk_mech_about(port->mech, NULL, NULL),
					config, port->locals);
}

/**
 * hk_port_adopt - go on with a carrier of another process
 * @r:	      relay
 * @name:     of the carrier; one that has no sockets: its place is kept
 * @deployed: it is that of a mechanism, which has been adopted
 * @socks:    its sockets, -1: none; owned by the port, unless it fails
 *
 * Return: 0 or a negative errno.
 */
int hk_port_adopt(struct hk_relay *r, const char *name, bool deployed,
		  const int socks[HK_CARRIER_SOCKETS])
{
	struct hk_carrier_config config = carrier_config(r);
	struct hk_port *port = new_port(r);
	int err;

	if (!port)
		return -ENOMEM;
	if (socks[0] < 0 && socks[1] < 0)
		return 0;
	config.adopts = true;
	memcpy(config.adopt, socks, sizeof(config.adopt));
	err = open_adopted(r, port, name, deployed, &config);
	if (err) {
		port->carrier = hk_carrier_closed;
		return err;
	}
	err = hk_port_wrap(r, port);
	return err ?: poll_port(r, port, EPOLL_CTL_ADD, EPOLLIN);
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
	dgram->ecn = 0;
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
	/* They may have come since the pass began: a round trip must not look too short */
	r->now_ns = hk_now_ns();
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
