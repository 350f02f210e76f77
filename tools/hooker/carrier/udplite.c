// SPDX-License-Identifier: GPL-2.0
/*
 * Carrier "udplite": the kernel's UDP-Lite sockets (RFC 3828), there until
 * Linux 7.1. They know neither UDP_SEGMENT nor UDP_GRO: setting the former
 * works and then fails every send with EIO.
 *
 * The checksum coverage is an option of the socket and not of the message, so
 * one call sends as many datagrams as have the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "socket.h"

/* <linux/udp.h> has UDP's options only */
#define SOL_UDPLITE		136
#define UDPLITE_SEND_CSCOV	10
#define UDPLITE_RECV_CSCOV	11
#define UDPLITE_HDR_LEN		8

/**
 * struct udplite - private state
 * @coverage: what each socket is set to, bytes of payload as in hk_datagram
 */
struct udplite {
	__u32	coverage[2];
};

static void udplite_close(struct hk_carrier *c)
{
	hk_socket_close(c);
	free(c->priv);
	c->priv = NULL;
}

/* The kernel drops what arrives with less covered (RFC 3828, section 3.4) */
static int demand_coverage(struct hk_carrier *c, __u32 coverage)
{
	int val = UDPLITE_HDR_LEN + coverage, i;

	for (i = 0; coverage && i < 2; i++)
		if (c->fd[i] >= 0 && setsockopt(c->fd[i], SOL_UDPLITE, UDPLITE_RECV_CSCOV, &val,
						sizeof(val)))
			return -errno;
	return 0;
}

static int udplite_open(struct hk_carrier *c, const struct hk_carrier_config *config)
{
	int err;

	c->priv = calloc(1, sizeof(struct udplite));
	if (!c->priv)
		return -ENOMEM;
	if (config->adopts)	/* set by somebody else, to what we don't know */
		memset(c->priv, 0xff, sizeof(struct udplite));
	err = hk_socket_open(c, config, IPPROTO_UDPLITE);
	if (!err)
		err = demand_coverage(c, config->min_coverage);
	if (err)
		udplite_close(c);
	return err;
}

/* On the socket the header counts, too, and 0 means all */
static int set_coverage(struct hk_carrier *c, int family_idx, __u32 coverage)
{
	struct udplite *u = c->priv;
	int val = coverage ? UDPLITE_HDR_LEN + coverage : 0;

	if (u->coverage[family_idx] == coverage)
		return 0;
	if (setsockopt(c->fd[family_idx], SOL_UDPLITE, UDPLITE_SEND_CSCOV, &val, sizeof(val)))
		return -errno;
	u->coverage[family_idx] = coverage;
	return 0;
}

/* Covering all of a datagram is "all", however it is said: so runs get longer */
static __u32 coverage_of(const struct hk_datagram *dgram)
{
	return dgram->coverage < dgram->len ? dgram->coverage : 0;
}

static int fill_run(struct hk_batch *b, const struct hk_datagram *dgrams, int n)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	__u32 coverage = coverage_of(&dgrams[0]);
	int i;

	for (i = 0; i < n && i < HK_CARRIER_BATCH; i++) {
		if (hk_socket_family(&dgrams[i].path) != family_idx ||
		    coverage_of(&dgrams[i]) != coverage)
			break;
		hk_socket_put_path(b, i, &dgrams[i].path, dgrams[i].ecn);
		b->iov[i] = (struct iovec){ dgrams[i].data, dgrams[i].len };
		b->msgs[i].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return i;
}

static int udplite_send(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	struct hk_batch batch;
	int err;

	if (c->fd[family_idx] < 0)
		return -EAFNOSUPPORT;
	err = set_coverage(c, family_idx, coverage_of(&dgrams[0]));
	if (err)
		return err;
	return hk_socket_send(c->fd[family_idx], &batch, fill_run(&batch, dgrams, n));
}

static int udplite_recv(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams, int n)
{
	struct hk_batch b;
	int i, nr;

	if (n > HK_CARRIER_BATCH)
		n = HK_CARRIER_BATCH;
	for (i = 0; i < n; i++)
		hk_socket_prepare_recv(&b, i, dgrams[i].data, dgrams[i].len);
	nr = hk_socket_recv(c->fd[family_idx], &b, n);
	for (i = 0; i < nr; i++) {
		hk_socket_get_path(&b.msgs[i].msg_hdr, &dgrams[i].path);
		dgrams[i].ecn = hk_socket_get_ecn(&b.msgs[i].msg_hdr);
		dgrams[i].len = b.msgs[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : b.msgs[i].msg_len;
	}
	return nr;
}

const struct hk_carrier_ops hk_carrier_udplite = {
	.name		= "udplite",
	.ip_proto	= IPPROTO_UDPLITE,
	.proto		= HK_PROTO_UDPLITE,
	.overhead	= UDPLITE_HDR_LEN,
	.has_coverage	= true,
	.open		= udplite_open,
	.send		= udplite_send,
	.recv		= udplite_recv,
	.recv_error	= hk_socket_recv_error,
	.close		= udplite_close,
};
