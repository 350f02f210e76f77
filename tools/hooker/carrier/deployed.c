// SPDX-License-Identifier: GPL-2.0
/*
 * Carriers of deployed mechanisms: UDP sockets here, another IP protocol on the wire,
 * with BPF programs in between (bpf/mechanism.h).
 *
 * There are two sockets of each family, since a mechanism knows by the port how much
 * of a datagram is to be covered: one for full coverage, on which everything
 * arrives, and one that sends those whose checksum ends behind HTP's control part.
 * Both send without a checksum, which leaves it to the mechanism and keeps the
 * device's checksum offload out of it. UDP_SEGMENT can't be had that way; UDP_GRO can.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/udp.h>
#include "socket.h"
#include "xsk.h"

#ifndef UDP_NO_CHECK6_TX
#define UDP_NO_CHECK6_TX	101
#endif

/**
 * struct deployed - private state
 * @ops:     of this mechanism
 * @name:    its name
 * @full:    sockets that datagrams arrive on, and leave by with full coverage
 * @partial: sockets that the others leave by
 */
struct deployed {
	struct hk_carrier_ops	ops;
	char			name[HK_MECH_NAME];
	struct hk_carrier	full, partial;
};

static int send_unchecked(struct hk_carrier *c)
{
	int on = 1;

	if (c->fd[0] >= 0 && setsockopt(c->fd[0], SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)))
		return -errno;
	if (c->fd[1] >= 0 && setsockopt(c->fd[1], IPPROTO_UDP, UDP_NO_CHECK6_TX, &on, sizeof(on)))
		return -errno;
	return 0;
}

static void deployed_close(struct hk_carrier *c)
{
	struct deployed *d = c->priv;

	if (!d)
		return;
	hk_carrier_udp.close(&d->full);
	hk_socket_close(&d->partial);
	free(d);
	c->priv = NULL;
	c->fd[0] = -1;
	c->fd[1] = -1;
}

/* One run: the same socket takes them all */
static int fill_run(struct hk_batch *b, const struct hk_datagram *dgrams, int n, bool *partial)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	int i;

	*partial = hk_carrier_is_partial(&dgrams[0]);
	for (i = 0; i < n && i < HK_CARRIER_BATCH; i++) {
		if (hk_socket_family(&dgrams[i].path) != family_idx ||
		    hk_carrier_is_partial(&dgrams[i]) != *partial)
			break;
		hk_socket_put_path(b, i, &dgrams[i].path, dgrams[i].ecn);
		b->iov[i] = (struct iovec){ dgrams[i].data, dgrams[i].len };
		b->msgs[i].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return i;
}

static int deployed_send(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	struct deployed *d = c->priv;
	struct hk_batch batch;
	int run, ret = -EAGAIN;
	bool partial;

	if (d->full.fd[family_idx] < 0 || d->partial.fd[family_idx] < 0)
		return -EAFNOSUPPORT;
	run = fill_run(&batch, dgrams, n, &partial);
	if (partial)
		ret = hk_socket_send(d->partial.fd[family_idx], &batch, run);
	/* nobody polls that one; and to cover more than was asked for is always right */
	if (ret == -EAGAIN)
		ret = hk_socket_send(d->full.fd[family_idx], &batch, run);
	return ret;
}

static int deployed_recv(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams, int n)
{
	struct deployed *d = c->priv;

	return hk_carrier_udp.recv(&d->full, family_idx, dgrams, n);
}

static int open_sockets(struct deployed *d, const struct hk_carrier_config *config)
{
	struct hk_carrier_config any = *config;
	int err;

	/* the port of the offer is the mechanism's to write */
	any.port = 0;
	err = hk_carrier_udp.open(&d->full, &any);
	if (!err)
		err = send_unchecked(&d->full);
	any.adopt[0] = config->adopt[2];
	any.adopt[1] = config->adopt[3];
	if (!err)
		err = hk_socket_open(&d->partial, &any, IPPROTO_UDP);
	if (!err)
		err = send_unchecked(&d->partial);
	return err;
}

static void fill_ops(struct deployed *d, const struct hk_mechanism *mech)
{
	memcpy(d->name, mech->name, sizeof(d->name));
	d->ops.name = d->name;
	d->ops.ip_proto = mech->ip_proto;
	d->ops.proto = 1 << mech->offer_bit;
	d->ops.overhead = mech->hdr_len;
	d->ops.has_coverage = mech->ip_proto == IPPROTO_UDPLITE;
	d->ops.send = deployed_send;
	d->ops.recv = deployed_recv;
	d->ops.recv_error = hk_socket_recv_error;
	d->ops.close = deployed_close;
}

/**
 * hk_carrier_open_deployed - open the carrier of a mechanism
 * @c:	     caller's memory, whatever is in it; closed again on error
 * @mech:    its descriptor, checked; copied
 * @config:  how; @config->port is what is on the wire
 * @locals:  filled in: ports of the sockets, network byte order: the one that receives,
 *	     and the one that sends datagrams which are covered in part
 *
 * The caller tells the mechanism what its ports are.
 *
 * Return: 0 or a negative errno.
 */
int hk_carrier_open_deployed(struct hk_carrier *c, const struct hk_mechanism *mech,
			     const struct hk_carrier_config *config, __be16 locals[2])
{
	struct deployed *d = calloc(1, sizeof(*d));
	int err;

	memset(c, 0, sizeof(*c));
	c->fd[0] = -1;
	c->fd[1] = -1;
	if (!d)
		return -ENOMEM;
	memset(d->full.fd, -1, sizeof(d->full.fd));
	memset(d->partial.fd, -1, sizeof(d->partial.fd));
	fill_ops(d, mech);
	c->ops = &d->ops;
	c->priv = d;
	err = open_sockets(d, config);
	if (err) {
		deployed_close(c);
		return err;
	}
	c->port = config->port;
	memcpy(c->fd, d->full.fd, sizeof(c->fd));
	locals[0] = d->full.port;
	locals[1] = d->partial.port;
	return 0;
}

/**
 * hk_carrier_sockets - all that a carrier has, for another process to go on with
 * @c:   any carrier
 * @fds: filled in; -1: none. Borrowed
 */
void hk_carrier_sockets(const struct hk_carrier *c, int fds[HK_CARRIER_SOCKETS])
{
	const struct deployed *d;

	memset(fds, -1, HK_CARRIER_SOCKETS * sizeof(*fds));
	c = hk_xsk_inner(c);
	memcpy(fds, c->fd, sizeof(c->fd));
	if (c->ops->close != deployed_close)
		return;
	d = c->priv;
	memcpy(fds + 2, d->partial.fd, sizeof(d->partial.fd));
}
