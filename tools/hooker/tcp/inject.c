// SPDX-License-Identifier: GPL-2.0
/*
 * Sending ready-made TCP segments through raw sockets.
 *
 * One way serves two purposes, told apart by where the segment goes. One for an
 * address of this host is delivered over lo to the socket it is for, in
 * SYN_SENT or LISTEN, although its source is another host: an output route
 * stays with the packet on lo, so the reverse path filter never sees it. The
 * mark of the injector tells the gate to let it pass. One for another host
 * leaves like any packet of this host.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "addr.h"
#include "inject.h"
#include "packet.h"

static int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val)) ? -errno : 0;
}

/*
 * IPPROTO_RAW implies that the IP header is ours, in both families. Without
 * IP_RECVERR a segment that the queue of a device drops counts as sent.
 */
static int open_raw(int family, __u32 mark)
{
	int fd, err;

	fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		err = set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	else
		err = set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	if (!err && mark)
		err = set_int(fd, SOL_SOCKET, SO_MARK, mark);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/**
 * hk_injector_open - open the raw sockets
 * @inj:  filled; @inj->fd6 is -1 on a host without IPv6
 * @mark: SO_MARK of what is injected; 0: none
 *
 * Context: CAP_NET_RAW, and CAP_NET_ADMIN for a mark.
 *
 * Return: 0 or a negative errno, with nothing left open.
 */
int hk_injector_open(struct hk_injector *inj, __u32 mark)
{
	int err;

	inj->fd6 = -1;
	inj->fd4 = open_raw(AF_INET, mark);
	if (inj->fd4 < 0) {
		err = inj->fd4;
		inj->fd4 = -1;
		return err;
	}
	err = open_raw(AF_INET6, mark);
	if (err >= 0) {
		inj->fd6 = err;
		return 0;
	}
	if (err == -EAFNOSUPPORT)
		return 0;
	hk_injector_close(inj);
	return err;
}

/**
 * hk_injector_close - close the raw sockets
 * @inj: opened or closed
 */
void hk_injector_close(struct hk_injector *inj)
{
	if (inj->fd4 >= 0)
		close(inj->fd4);
	if (inj->fd6 >= 0)
		close(inj->fd6);
	inj->fd4 = -1;
	inj->fd6 = -1;
}

/* The port stays 0: raw IPv6 sockets take it for a protocol number */
static void get_destination(const __u8 *p, const struct hk_packet *pkt, __be32 addr[4])
{
	__be32 v4;

	if (!pkt->v4) {
		memcpy(addr, p + 24, 16);
		return;
	}
	memcpy(&v4, p + 16, 4);
	hk_addr_map(addr, v4);
}

/*
 * With IP_RECVERR an error met in sending is queued, too, and as long as one is
 * pending the next send fails. It was returned once: forget it.
 */
static void drain_errors(int fd)
{
	struct msghdr msg = { 0 };
	socklen_t len = sizeof(int);
	int err;

	while (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
}

/**
 * hk_inject - send a TCP segment as it is
 * @inj:    the injector
 * @packet: from its IP header on; its checksums are overwritten, because those
 *          of a captured packet may never have been filled in
 * @len:    bytes there; what is more than the packet's own length is not sent
 *
 * Return: 0, or
 * -EINVAL, -EPROTONOSUPPORT, -EOPNOTSUPP: as hk_segment_parse();
 * -EAFNOSUPPORT: IPv6 on a host without it;
 * -EAGAIN, -ENOBUFS: no room for it now, may be tried again;
 * -EMSGSIZE: larger than the MTU; or another negative errno of sendto().
 */
int hk_inject(const struct hk_injector *inj, void *packet, size_t len)
{
	struct sockaddr_storage dest;
	struct hk_packet pkt;
	socklen_t dest_len;
	__be32 addr[4];
	int fd, err;

	err = hk_packet_locate(packet, len, &pkt);
	if (err)
		return err;
	fd = pkt.v4 ? inj->fd4 : inj->fd6;
	if (fd < 0)
		return -EAFNOSUPPORT;
	hk_packet_fill_checksums(packet, len);
	get_destination(packet, &pkt, addr);
	dest_len = hk_addr_to_sockaddr(&dest, addr, 0);
	if (sendto(fd, packet, pkt.len, MSG_DONTWAIT, (struct sockaddr *)&dest, dest_len) >= 0)
		return 0;
	err = -errno;
	drain_errors(fd);
	return err;
}
