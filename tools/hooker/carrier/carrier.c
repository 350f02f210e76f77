// SPDX-License-Identifier: GPL-2.0
/*
 * The carriers there are, and what is the same for all.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "carrier.h"

#define NR_CARRIERS	2
#define NR_BITS		8

static const struct hk_carrier_ops closed_ops = { .name = "closed" };
const struct hk_carrier hk_carrier_closed = { .ops = &closed_ops, .fd = { -1, -1 } };

/* In order of preference, which is that of the HK_PROTO_* bits */
static const struct hk_carrier_ops *const carriers[NR_CARRIERS] = {
	&hk_carrier_udplite,
	&hk_carrier_udp,
};

/**
 * hk_carrier_at - go through the carriers
 * @i: from 0 on, in order of preference
 *
 * Return: the carrier's ops, NULL past the last.
 */
const struct hk_carrier_ops *hk_carrier_at(unsigned int i)
{
	return i < NR_CARRIERS ? carriers[i] : NULL;
}

/**
 * hk_carrier_by_name - find a carrier
 * @name: as on the command line
 *
 * Return: the carrier's ops, NULL if there is none of that name.
 */
const struct hk_carrier_ops *hk_carrier_by_name(const char *name)
{
	unsigned int i;

	for (i = 0; i < NR_CARRIERS; i++) {
		if (!strcmp(carriers[i]->name, name))
			return carriers[i];
	}
	return NULL;
}

/* Of mechanisms that were deployed as carriers, by bit of the offer; rules name them so */
static char mech_names[NR_BITS][HK_MECH_NAME];

/**
 * hk_carrier_name - what a bit of the offer means here
 * @bit: 0 to 7
 *
 * Return: the carrier's name; NULL: there is none, or has not been one yet.
 */
const char *hk_carrier_name(unsigned int bit)
{
	unsigned int i;

	for (i = 0; i < NR_CARRIERS; i++)
		if (carriers[i]->proto == 1 << bit)
			return carriers[i]->name;
	return bit < NR_BITS && mech_names[bit][0] ? mech_names[bit] : NULL;
}

/**
 * hk_carrier_set_name - a mechanism carries under this bit
 * @bit:  0 to 7
 * @name: its name, shorter than HK_MECH_NAME
 *
 * The name stays when the mechanism goes: rules that have it do, too.
 */
void hk_carrier_set_name(unsigned int bit, const char *name)
{
	if (bit < NR_BITS && strlen(name) < HK_MECH_NAME)
		strcpy(mech_names[bit], name);
}

/**
 * hk_carrier_open - open a carrier
 * @c:      caller's memory, whatever is in it; closed again on error
 * @name:   as on the command line
 * @config: how
 *
 * Return: 0, or
 * -ENOENT: there is no carrier of that name;
 * -EPROTONOSUPPORT: the kernel has no sockets for it;
 * -EADDRINUSE: the port is taken; or another negative errno.
 */
int hk_carrier_open(struct hk_carrier *c, const char *name, const struct hk_carrier_config *config)
{
	const struct hk_carrier_ops *ops = hk_carrier_by_name(name);

	memset(c, 0, sizeof(*c));
	c->fd[0] = -1;
	c->fd[1] = -1;
	if (!ops)
		return -ENOENT;
	c->ops = ops;
	return ops->open(c, config);
}

/**
 * hk_carrier_close - close a carrier
 * @c: open, closed, never opened but zeroed, or NULL
 */
void hk_carrier_close(struct hk_carrier *c)
{
	if (!c || !c->ops)
		return;
	if (c->ops->close)
		c->ops->close(c);
	c->ops = NULL;
}

static bool is_mapped(const __be32 addr[4])
{
	return !addr[0] && !addr[1] && addr[2] == htonl(0xffff);
}

static int connect4(int fd, const struct hk_path *path)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = path->local[3];
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)))
		return -errno;
	in.sin_addr.s_addr = path->remote[3];
	in.sin_port = path->rport;
	return connect(fd, (struct sockaddr *)&in, sizeof(in)) ? -errno : 0;
}

static int connect6(int fd, const struct hk_path *path)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memcpy(&in6.sin6_addr, path->local, sizeof(in6.sin6_addr));
	if (bind(fd, (struct sockaddr *)&in6, sizeof(in6)))
		return -errno;
	memcpy(&in6.sin6_addr, path->remote, sizeof(in6.sin6_addr));
	in6.sin6_port = path->rport;
	return connect(fd, (struct sockaddr *)&in6, sizeof(in6)) ? -errno : 0;
}

static int get_mtu(int fd, bool v4)
{
	socklen_t len = sizeof(int);
	int mtu, ret;

	if (v4)
		ret = getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &len);
	else
		ret = getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &len);
	return ret ? -errno : mtu;
}

/**
 * hk_carrier_path_mtu - what the routing tables know of a path's MTU
 * @path: the path; an unspecified local address is fine
 *
 * That is the MTU of device or route, or less where the kernel was told so by
 * ICMP: where to begin with path MTU discovery. Sends nothing.
 *
 * Return: bytes of IP packet, or a negative errno: -ENETUNREACH without a
 * route, -EADDRNOTAVAIL if the local address isn't this host's.
 */
int hk_carrier_path_mtu(const struct hk_path *path)
{
	bool v4 = is_mapped(path->remote);
	int fd, ret;

	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	ret = v4 ? connect4(fd, path) : connect6(fd, path);
	if (!ret)
		ret = get_mtu(fd, v4);
	close(fd);
	return ret;
}

/* What connect() has chosen */
static int get_local(int fd, __be32 local[4])
{
	union {
		struct sockaddr_in	in;
		struct sockaddr_in6	in6;
	} name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len))
		return -errno;
	if (name.in.sin_family == AF_INET6) {
		memcpy(local, &name.in6.sin6_addr, 16);
		return 0;
	}
	local[0] = 0;
	local[1] = 0;
	local[2] = htonl(0xffff);
	local[3] = name.in.sin_addr.s_addr;
	return 0;
}

/**
 * hk_carrier_source - which of its addresses this host would use
 * @path:  where to; its local address doesn't matter
 * @local: filled
 *
 * Sends nothing.
 *
 * Return: 0, or a negative errno: -ENETUNREACH without a route.
 */
int hk_carrier_source(const struct hk_path *path, __be32 local[4])
{
	struct hk_path any = *path;
	bool v4 = is_mapped(path->remote);
	int fd, err;

	memset(any.local, 0, sizeof(any.local));
	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	err = v4 ? connect4(fd, &any) : connect6(fd, &any);
	if (!err)
		err = get_local(fd, local);
	close(fd);
	return err;
}
