// SPDX-License-Identifier: GPL-2.0
/*
 * Carrier "udp". The kernel segments and merges for us: datagrams for the same
 * path and of the same size leave as one message (UDP_SEGMENT), and a received
 * message may be many datagrams (UDP_GRO).
 *
 * Such a message has up to 64 KiB and isn't cut where the caller's buffers end,
 * so it goes to a stage first, and what the caller has no room for stays there
 * for the next call.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include "socket.h"

#define UDP_HDR_LEN	8
#define STAGE_MSGS	16
#define STAGE_LEN	65536
#define GSO_MAX_SEGS	64	/* UDP_MAX_SEGMENTS of all kernels that have it */
#define GSO_MAX_LEN	65000	/* with headers it must stay below 64 KiB */

/**
 * struct staged - one received message
 * @path:     where it came from
 * @len:      bytes in it
 * @gso_size: bytes of each datagram but the last, which may be shorter
 * @ecn:      mark of all of them: GRO doesn't mix
 */
struct staged {
	struct hk_path	path;
	__u32		len, gso_size;
	__u8		ecn;
};

/**
 * struct stage - messages of one socket that the caller hasn't got yet
 * @bytes: STAGE_LEN for each message
 * @msgs:  what they are
 * @nr:    how many there are
 * @next:  the first of them not handed over completely
 * @pos:   bytes of it handed over
 */
struct stage {
	__u8		bytes[STAGE_MSGS][STAGE_LEN];
	struct staged	msgs[STAGE_MSGS];
	int		nr, next;
	__u32		pos;
};

/**
 * struct udp - private state
 * @stage: one for each socket
 */
struct udp {
	struct stage	stage[2];
};

static void udp_close(struct hk_carrier *c)
{
	hk_socket_close(c);
	free(c->priv);
	c->priv = NULL;
}

/* Without it, every datagram is a message of its own: slower, nothing else */
static void enable_gro(int fd)
{
	int on = 1;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

static int udp_open(struct hk_carrier *c, const struct hk_carrier_config *config)
{
	int err;

	c->priv = calloc(1, sizeof(struct udp));
	if (!c->priv)
		return -ENOMEM;
	err = hk_socket_open(c, config, IPPROTO_UDP);
	if (err) {
		udp_close(c);
		return err;
	}
	enable_gro(c->fd[0]);
	enable_gro(c->fd[1]);
	c->gso = true;
	return 0;
}

static bool same_path(const struct hk_datagram *a, const struct hk_datagram *b)
{
	return a->ecn == b->ecn && !memcmp(&a->path, &b->path, sizeof(a->path));
}

/* How many datagrams from the front may leave as one message */
static int gso_run(const struct hk_datagram *dgrams, int n)
{
	__u32 size = dgrams[0].len, total = size;
	int i;

	if (n > GSO_MAX_SEGS)
		n = GSO_MAX_SEGS;
	for (i = 1; i < n && dgrams[i - 1].len == size; i++) {
		if (!dgrams[i].len || dgrams[i].len > size ||
		    total + dgrams[i].len > GSO_MAX_LEN || !same_path(&dgrams[0], &dgrams[i]))
			break;
		total += dgrams[i].len;
	}
	return i;
}

/*
 * Makes messages of datagrams of one family; counts[] gets how many datagrams
 * each message has. Returns how many messages there are.
 */
static int fill_batch(struct hk_batch *b, const struct hk_datagram *dgrams, int n, bool gso,
		      int *counts)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	int i = 0, nr = 0, run, k;
	__u16 size;

	if (n > HK_CARRIER_BATCH)
		n = HK_CARRIER_BATCH;
	while (i < n && hk_socket_family(&dgrams[i].path) == family_idx) {
		run = gso ? gso_run(&dgrams[i], n - i) : 1;
		hk_socket_put_path(b, nr, &dgrams[i].path, dgrams[i].ecn);
		size = dgrams[i].len;
		if (run > 1)
			hk_socket_put_cmsg(&b->msgs[nr].msg_hdr, IPPROTO_UDP, UDP_SEGMENT, &size,
					   sizeof(size));
		for (k = i; k < i + run; k++)
			b->iov[k] = (struct iovec){ dgrams[k].data, dgrams[k].len };
		b->msgs[nr].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[nr].msg_hdr.msg_iovlen = run;
		counts[nr++] = run;
		i += run;
	}
	return nr;
}

static int send_messages(int fd, const struct hk_datagram *dgrams, int n, bool gso, int *first)
{
	int counts[HK_CARRIER_BATCH];
	int i, ret, nr_dgrams = 0;
	struct hk_batch batch;

	ret = hk_socket_send(fd, &batch, fill_batch(&batch, dgrams, n, gso, counts));
	for (i = 0; i < ret; i++)
		nr_dgrams += counts[i];
	*first = counts[0];
	return ret < 0 ? ret : nr_dgrams;
}

/*
 * EIO is a device or a transformation that can't segment, EINVAL a kernel that
 * doesn't know how; but the latter is also a source address that was taken from
 * this host. The same datagram alone tells them apart.
 */
static int udp_send(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	int family_idx = hk_socket_family(&dgrams[0].path);
	int fd = c->fd[family_idx];
	int ret, first;

	if (fd < 0)
		return -EAFNOSUPPORT;
	ret = send_messages(fd, dgrams, n, c->gso, &first);
	if ((ret != -EIO && ret != -EINVAL) || first == 1)
		return ret;
	ret = send_messages(fd, dgrams, 1, false, &first);
	if (ret > 0)
		c->gso = false;
	return ret;
}

static __u32 get_gso_size(struct msghdr *msg, __u32 absent)
{
	struct cmsghdr *cmsg;
	int size;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_UDP && cmsg->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(cmsg), sizeof(size));
			return size > 0 ? (__u32)size : absent;
		}
	}
	return absent;
}

static int fill_stage(int fd, struct stage *stage)
{
	struct hk_batch b;
	int i, nr;

	for (i = 0; i < STAGE_MSGS; i++)
		hk_socket_prepare_recv(&b, i, stage->bytes[i], STAGE_LEN);
	nr = hk_socket_recv(fd, &b, STAGE_MSGS);
	if (nr < 0)
		return nr;
	for (i = 0; i < nr; i++) {
		hk_socket_get_path(&b.msgs[i].msg_hdr, &stage->msgs[i].path);
		stage->msgs[i].ecn = hk_socket_get_ecn(&b.msgs[i].msg_hdr);
		stage->msgs[i].len = b.msgs[i].msg_len;
		stage->msgs[i].gso_size = get_gso_size(&b.msgs[i].msg_hdr, b.msgs[i].msg_len);
	}
	stage->nr = nr;
	stage->next = 0;
	stage->pos = 0;
	return 0;
}

/* Hands over the next datagram of a stage that isn't empty */
static void take_staged(struct stage *stage, struct hk_datagram *dgram)
{
	const struct staged *msg = &stage->msgs[stage->next];
	__u32 len = msg->len - stage->pos;

	if (len > msg->gso_size)
		len = msg->gso_size;
	dgram->path = msg->path;
	dgram->ecn = msg->ecn;
	if (len <= dgram->len) {
		memcpy(dgram->data, &stage->bytes[stage->next][stage->pos], len);
		dgram->len = len;
	} else {
		dgram->len = 0;
	}
	stage->pos += len;
	if (stage->pos >= msg->len) {
		stage->next++;
		stage->pos = 0;
	}
}

static int udp_recv(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams, int n)
{
	struct udp *u = c->priv;
	struct stage *stage = &u->stage[family_idx];
	int i, err;

	for (i = 0; i < n; i++) {
		if (stage->next == stage->nr) {
			err = fill_stage(c->fd[family_idx], stage);
			if (err)
				return i ? i : err;
		}
		take_staged(stage, &dgrams[i]);
	}
	return i;
}

const struct hk_carrier_ops hk_carrier_udp = {
	.name		= "udp",
	.ip_proto	= IPPROTO_UDP,
	.proto		= HK_PROTO_UDP,
	.overhead	= UDP_HDR_LEN,
	.open		= udp_open,
	.send		= udp_send,
	.recv		= udp_recv,
	.recv_error	= hk_socket_recv_error,
	.close		= udp_close,
};
