// SPDX-License-Identifier: GPL-2.0
/*
 * Datagram sockets as carriers use them: one per family on the same port, the
 * source address chosen per datagram, ICMP errors read with what they quote.
 *
 * Path MTU: IP_PMTUDISC_PROBE. As with IP_PMTUDISC_DO no datagram is ever
 * fragmented, but the kernel's own idea of the path MTU is ignored, and
 * EMSGSIZE means the device alone. The transport finds the path MTU by itself
 * (RFC 8899), which needs datagrams larger than what the kernel believes to
 * get out, and an ICMP message anybody may have made up must not shrink it.
 *
 * Pending errors: with IP_RECVERR an ICMP error is queued, and also left in the
 * socket for the next call to fail with, whatever peer that call is about. So a
 * failed call is repeated: an error that is its own comes again each time, and
 * others, which may come in swarms, hardly ever so often in a row.
 */
#include <errno.h>
#include <time.h>		/* what the next one uses */
#include <linux/errqueue.h>
#include <string.h>
#include <unistd.h>
#include "socket.h"

#define ERROR_CMSG_MAX	256	/* the error with its offender, and a pktinfo */
#define ANY_PORT_TRIES	16	/* for one that is free in both families */
#define CALL_TRIES	4

static bool is_mapped(const __be32 addr[4])
{
	return !addr[0] && !addr[1] && addr[2] == htonl(0xffff);
}

static bool is_unspecified(const __be32 addr[4])
{
	return !addr[0] && !addr[1] && (!addr[2] || addr[2] == htonl(0xffff)) && !addr[3];
}

static void map(__be32 addr[4], __be32 v4)
{
	addr[0] = 0;
	addr[1] = 0;
	addr[2] = htonl(0xffff);
	addr[3] = v4;
}

static int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val)) ? -errno : 0;
}

/* One that every socket of a family gets */
struct socket_option {
	int	level, name, val;
};

static const struct socket_option options4[] = {
	{ IPPROTO_IP, IP_PKTINFO, 1 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE },
	{ IPPROTO_IP, IP_RECVERR, 1 },
	{ IPPROTO_IP, IP_RECVTOS, 1 },
	{ 0 },
};

static const struct socket_option options6[] = {
	{ IPPROTO_IPV6, IPV6_V6ONLY, 1 },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE },
	{ IPPROTO_IPV6, IPV6_RECVERR, 1 },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, 1 },
	{ 0 },
};

static int set_options(int fd, const struct socket_option *option)
{
	int err = 0;

	for (; option->name && !err; option++)
		err = set_int(fd, option->level, option->name, option->val);
	return err;
}

/* Beyond rmem_max and wmem_max where we may; a smaller buffer is no reason to fail */
static void set_buffer(int fd, int forced, int plain, __u32 bytes)
{
	if (bytes && set_int(fd, SOL_SOCKET, forced, bytes))
		set_int(fd, SOL_SOCKET, plain, bytes);
}

static int set_config(int fd, const struct hk_carrier_config *config)
{
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, config->rcvbuf);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, config->sndbuf);
	return config->mark ? set_int(fd, SOL_SOCKET, SO_MARK, config->mark) : 0;
}

static int bind_any(int fd, int family, __be16 port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port };
	int ret;

	if (family == AF_INET)
		ret = bind(fd, (struct sockaddr *)&in, sizeof(in));
	else
		ret = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	return ret ? -errno : 0;
}

static int get_port(int fd, __be16 *port)
{
	struct sockaddr_in6 in6;	/* the port stands at the same place in both */
	socklen_t len = sizeof(in6);

	if (getsockname(fd, (struct sockaddr *)&in6, &len))
		return -errno;
	*port = in6.sin6_port;
	return 0;
}

static int set_up(int fd, int family, const struct hk_carrier_config *config, __be16 port)
{
	int err;

	err = set_options(fd, family == AF_INET ? options4 : options6);
	if (!err)
		err = set_config(fd, config);
	return err ? err : bind_any(fd, family, port);
}

static int open_bound(int family, int ip_proto, const struct hk_carrier_config *config, __be16 port)
{
	int fd, err;

	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, ip_proto);
	if (fd < 0)
		return errno == ESOCKTNOSUPPORT ? -EPROTONOSUPPORT : -errno;
	err = set_up(fd, family, config, port);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* One family may be missing, and so may be the protocol in one family */
static bool is_absent(int err)
{
	return err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT;
}

static bool is_socket_of(int fd, int family, int ip_proto)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       domain == family && protocol == ip_proto;
}

/* They are bound and set up already */
static int adopt_both(struct hk_carrier *c, const struct hk_carrier_config *config, int ip_proto)
{
	const int *fd = config->adopt;

	if ((fd[0] < 0 && fd[1] < 0) || (fd[0] >= 0 && !is_socket_of(fd[0], AF_INET, ip_proto)) ||
	    (fd[1] >= 0 && !is_socket_of(fd[1], AF_INET6, ip_proto)))
		return -EBADMSG;
	c->fd[0] = fd[0];
	c->fd[1] = fd[1];
	return get_port(c->fd[0] < 0 ? c->fd[1] : c->fd[0], &c->port);
}

static int open_both(struct hk_carrier *c, const struct hk_carrier_config *config, int ip_proto)
{
	int err;

	c->port = config->port;
	c->fd[1] = -1;
	c->fd[0] = open_bound(AF_INET, ip_proto, config, c->port);
	if (c->fd[0] < 0 && !is_absent(c->fd[0]))
		return c->fd[0];
	if (c->fd[0] >= 0) {
		err = get_port(c->fd[0], &c->port);
		if (err)
			return err;
	}
	c->fd[1] = open_bound(AF_INET6, ip_proto, config, c->port);
	if (c->fd[1] < 0 && !is_absent(c->fd[1]))
		return c->fd[1];
	if (c->fd[0] < 0 && c->fd[1] < 0)	/* v6 has a say only where there is no IPv4 */
		return c->fd[0] == -EAFNOSUPPORT ? c->fd[1] : c->fd[0];
	return c->fd[0] < 0 ? get_port(c->fd[1], &c->port) : 0;
}

/* Takes a negative errno for closed, too */
static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/**
 * hk_socket_open - open a carrier's sockets
 * @c:        its port and fd members are filled
 * @config:   port, mark and buffer sizes
 * @ip_proto: IPPROTO_UDP or IPPROTO_UDPLITE
 *
 * Return: 0 with at least one of @c->fd open, or with none open
 * -EPROTONOSUPPORT: the kernel has no such sockets;
 * -EAFNOSUPPORT: neither IPv4 nor IPv6;
 * -EADDRINUSE: the port is taken in one of the families; or another errno.
 */
int hk_socket_open(struct hk_carrier *c, const struct hk_carrier_config *config, int ip_proto)
{
	int tries = config->port ? 1 : ANY_PORT_TRIES;
	int err;

	if (config->adopts)
		return adopt_both(c, config, ip_proto);
	do {
		err = open_both(c, config, ip_proto);
		if (err || c->fd[0] < 0)
			close_one(&c->fd[0]);
		if (err || c->fd[1] < 0)
			close_one(&c->fd[1]);
	} while (err == -EADDRINUSE && --tries);
	return err;
}

/**
 * hk_socket_close - close a carrier's sockets
 * @c: open or closed
 */
void hk_socket_close(struct hk_carrier *c)
{
	close_one(&c->fd[0]);
	close_one(&c->fd[1]);
}

/**
 * hk_socket_family - which socket a datagram leaves by
 * @path: its way
 *
 * Return: index into hk_carrier.fd.
 */
int hk_socket_family(const struct hk_path *path)
{
	return !is_mapped(path->remote);
}

/**
 * hk_socket_put_cmsg - add a control message
 * @msg:   its control buffer has room: HK_CMSG_MAX fits what carriers use
 * @level: protocol level
 * @type:  option
 * @data:  copied
 * @len:   bytes of it
 */
void hk_socket_put_cmsg(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *cmsg = (void *)((char *)msg->msg_control + msg->msg_controllen);

	memset(cmsg, 0, CMSG_SPACE(len));
	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
}

/* Without a local address the kernel chooses it, as for any datagram */
static void put_source(struct msghdr *msg, const struct hk_path *path, bool v4)
{
	struct in6_pktinfo info6 = { 0 };
	struct in_pktinfo info4 = { 0 };

	if (is_unspecified(path->local))
		return;
	if (v4) {
		info4.ipi_spec_dst.s_addr = path->local[3];
		hk_socket_put_cmsg(msg, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
		return;
	}
	memcpy(&info6.ipi6_addr, path->local, sizeof(info6.ipi6_addr));
	hk_socket_put_cmsg(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
}

static void put_ecn(struct msghdr *msg, int ecn, bool v4)
{
	if (!ecn)
		return;
	hk_socket_put_cmsg(msg, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &ecn,
			   sizeof(ecn));
}

/**
 * hk_socket_put_path - address a message of a batch
 * @b:    the batch
 * @i:    the message; its other header members are the caller's to fill
 * @path: where to, and where from
 * @ecn:  its mark
 */
void hk_socket_put_path(struct hk_batch *b, int i, const struct hk_path *path, __u8 ecn)
{
	struct msghdr *msg = &b->msgs[i].msg_hdr;
	bool v4 = is_mapped(path->remote);

	memset(msg, 0, sizeof(*msg));
	memset(&b->name[i], 0, sizeof(b->name[i]));
	if (v4) {
		b->name[i].in.sin_family = AF_INET;
		b->name[i].in.sin_port = path->rport;
		b->name[i].in.sin_addr.s_addr = path->remote[3];
	} else {
		b->name[i].in6.sin6_family = AF_INET6;
		b->name[i].in6.sin6_port = path->rport;
		memcpy(&b->name[i].in6.sin6_addr, path->remote, sizeof(struct in6_addr));
	}
	msg->msg_name = &b->name[i];
	msg->msg_namelen = v4 ? sizeof(b->name[i].in) : sizeof(b->name[i].in6);
	msg->msg_control = &b->cmsg[i];
	put_source(msg, path, v4);
	put_ecn(msg, ecn, v4);
}

/**
 * hk_socket_prepare_recv - make a message of a batch ready to receive into
 * @b:    the batch
 * @i:    the message
 * @data: caller's buffer
 * @len:  its size
 */
void hk_socket_prepare_recv(struct hk_batch *b, int i, void *data, size_t len)
{
	struct msghdr *msg = &b->msgs[i].msg_hdr;

	b->iov[i] = (struct iovec){ .iov_base = data, .iov_len = len };
	memset(msg, 0, sizeof(*msg));
	msg->msg_iov = &b->iov[i];
	msg->msg_iovlen = 1;
	msg->msg_name = &b->name[i];
	msg->msg_namelen = sizeof(b->name[i]);
	msg->msg_control = &b->cmsg[i];
	msg->msg_controllen = sizeof(b->cmsg[i]);
}

static void get_remote(const struct msghdr *msg, struct hk_path *path)
{
	const struct sockaddr_in6 *in6 = msg->msg_name;
	const struct sockaddr_in *in = msg->msg_name;

	if (msg->msg_namelen >= sizeof(*in6) && in6->sin6_family == AF_INET6) {
		memcpy(path->remote, &in6->sin6_addr, sizeof(path->remote));
		path->rport = in6->sin6_port;
	} else if (msg->msg_namelen >= sizeof(*in) && in->sin_family == AF_INET) {
		map(path->remote, in->sin_addr.s_addr);
		path->rport = in->sin_port;
	}
}

/**
 * hk_socket_get_path - where a message came from, and which address it came to
 * @msg:  received, or read from the error queue: then it is about a message to
 *        @path->remote
 * @path: filled; what the kernel didn't tell is zero
 */
void hk_socket_get_path(const struct msghdr *msg, struct hk_path *path)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	struct cmsghdr *cmsg;

	memset(path, 0, sizeof(*path));
	get_remote(msg, path);
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR((struct msghdr *)msg, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(cmsg), sizeof(info4));
			map(path->local, info4.ipi_addr.s_addr);
		}
		if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(cmsg), sizeof(info6));
			memcpy(path->local, &info6.ipi6_addr, sizeof(path->local));
		}
	}
}

/**
 * hk_socket_get_ecn - the mark with which a message came
 * @msg: received
 *
 * Return: lower two bits of TOS or traffic class, 0 if the kernel didn't tell.
 */
__u8 hk_socket_get_ecn(const struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	int tclass;
	__u8 tos;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR((struct msghdr *)msg, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_TOS) {
			memcpy(&tos, CMSG_DATA(cmsg), sizeof(tos));
			return tos & 3;
		}
		if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_TCLASS) {
			memcpy(&tclass, CMSG_DATA(cmsg), sizeof(tclass));
			return tclass & 3;
		}
	}
	return 0;
}

/**
 * hk_socket_send - send messages of a batch
 * @fd: the socket
 * @b:  the batch
 * @n:  how many
 *
 * Return: how many were sent, or the negative errno of the first.
 */
int hk_socket_send(int fd, struct hk_batch *b, int n)
{
	int ret, tries = CALL_TRIES;

	do
		ret = sendmmsg(fd, b->msgs, n, MSG_DONTWAIT);
	while (ret < 0 && errno != EAGAIN && --tries);
	return ret < 0 ? -errno : ret;
}

/**
 * hk_socket_recv - receive messages into a batch
 * @fd: the socket
 * @b:  the batch, prepared
 * @n:  how many at most
 *
 * Return: how many were received, or a negative errno, -EAGAIN if there are none.
 */
int hk_socket_recv(int fd, struct hk_batch *b, int n)
{
	int ret, tries = CALL_TRIES;

	do
		ret = recvmmsg(fd, b->msgs, n, MSG_DONTWAIT, NULL);
	while (ret < 0 && errno != EAGAIN && --tries);
	return ret < 0 ? -errno : ret;
}

static bool get_extended_error(struct msghdr *msg, struct sock_extended_err *ee)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if ((cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_RECVERR) ||
		    (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_RECVERR)) {
			memcpy(ee, CMSG_DATA(cmsg), sizeof(*ee));
			return true;
		}
	}
	return false;
}

/* Errors of this host's own are none of ICMP's: send() has returned them already */
static bool is_icmp(const struct sock_extended_err *ee)
{
	return ee->ee_origin == SO_EE_ORIGIN_ICMP || ee->ee_origin == SO_EE_ORIGIN_ICMP6;
}

/**
 * hk_socket_recv_error - read what an ICMP message told
 * @c:          the carrier
 * @family_idx: which of its sockets
 * @error:      @error->data and @error->len are the caller's buffer; filled
 *
 * The quote begins behind the UDP or UDP-Lite header, and is as hostile as any
 * packet. @error->path.local is the address the ICMP message came to.
 *
 * Return: 0, -EAGAIN if there is none, or another negative errno.
 */
int hk_socket_recv_error(struct hk_carrier *c, int family_idx, struct hk_carrier_error *error)
{
	union {
		struct cmsghdr	hdr;
		char		bytes[ERROR_CMSG_MAX];
	} cmsg;
	struct sock_extended_err ee;
	struct sockaddr_in6 name;
	struct iovec iov;
	struct msghdr msg;
	ssize_t len;

	do {
		iov = (struct iovec){ .iov_base = error->data, .iov_len = error->len };
		msg = (struct msghdr){
			.msg_name = &name, .msg_namelen = sizeof(name),
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &cmsg, .msg_controllen = sizeof(cmsg),
		};
		len = recvmsg(c->fd[family_idx], &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
		if (len < 0)
			return -errno;
	} while (!get_extended_error(&msg, &ee) || !is_icmp(&ee));

	hk_socket_get_path(&msg, &error->path);
	error->err = ee.ee_errno;
	error->mtu = ee.ee_errno == EMSGSIZE ? ee.ee_info : 0;
	error->len = len;
	return 0;
}
