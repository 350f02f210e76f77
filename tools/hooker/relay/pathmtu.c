// SPDX-License-Identifier: GPL-2.0
/*
 * Path MTU: the transport finds it by itself, and here it is told what the host and
 * the network say about it.
 *
 * Sizes are those of datagrams: without the headers of IP and carrier.
 */
#include <errno.h>
#include <string.h>

#include "../tcp/addr.h"
#include "pathmtu.h"
#include "peer.h"
#include "port.h"
#include "private.h"

#define IP4_HDR		20
#define IP6_HDR		40
#define ROUTE_NS	(60 * NSEC_PER_SEC)

static __u32 size_within(const struct hk_path *path, __u8 overhead, int mtu)
{
	int headers = (hk_addr_is_mapped(path->remote) ? IP4_HDR : IP6_HDR) + overhead;

	return mtu > headers ? mtu - headers : 0;
}

static __u32 route_size(const struct hk_path *path, __u8 overhead)
{
	int mtu = hk_carrier_path_mtu(path);
	__u32 size = mtu < 0 ? 0 : size_within(path, overhead, mtu);

	if (size < HTP_MIN_DATAGRAM)
		return HTP_MIN_DATAGRAM;
	return size < HK_DATAGRAM_BUF ? size : HK_DATAGRAM_BUF;
}

/**
 * hk_pathmtu_hello - size of the first HELLOs
 * @path: where to
 *
 * What the route takes, but no more than fits through Ethernet: most paths of which
 * the first link takes more have another one that doesn't, and a lost HELLO costs
 * more time than larger datagrams win. The search goes on from there.
 *
 * Return: bytes, HTP_MIN_DATAGRAM at least.
 */
__u32 hk_pathmtu_hello(const struct hk_path *path)
{
	__u32 ethernet = size_within(path, HK_UDP_HDR, HK_ETHERNET_MTU);
	__u32 size = route_size(path, HK_UDP_HDR);

	return size < ethernet ? size : ethernet;
}

/**
 * hk_pathmtu_limit - largest datagram that both hosts take; all between is to be proven
 * @peer: with its carrier and what it said in HELLO; remembers the answer
 *
 * Return: bytes, HTP_MIN_DATAGRAM at least.
 */
__u32 hk_pathmtu_limit(struct hk_peer *peer)
{
	__u32 size = route_size(&peer->path, peer->port->carrier.ops->overhead);

	peer->route_ns = peer->relay->now_ns;
	peer->limit = size < peer->takes ? size : peer->takes;
	return peer->limit;
}

static void tell(struct hk_peer *peer, const struct htp_path_hint *hint)
{
	if (!htp_assoc_path_mtu(peer->assoc, hint, peer->relay->now_ns))
		hk_peer_touch(peer);
}

/**
 * hk_pathmtu_refresh - the route may take larger datagrams by now
 * @peer: UP
 *
 * Asked for once a minute at most. Never makes them smaller: what the kernel knows
 * may come from ICMP messages that nobody has verified.
 */
void hk_pathmtu_refresh(struct hk_peer *peer)
{
	struct htp_path_hint hint = { .local = true };
	__u32 before = peer->limit;

	if (peer->relay->now_ns < peer->route_ns + ROUTE_NS)
		return;
	hint.size = hk_pathmtu_limit(peer);
	if (hint.size > before)
		tell(peer, &hint);
	else
		peer->limit = before;
}

static struct hk_peer *peer_of(struct hk_relay *r, const struct hk_path *path, __u64 dst_id)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (peer->state == HK_PEER_UP && peer->remote_id == dst_id &&
		    !memcmp(&peer->path, path, sizeof(*path)))
			return peer;
	return NULL;
}

/**
 * hk_pathmtu_refused - this host's own device doesn't take a datagram (EMSGSIZE)
 * @r:	   relay
 * @dgram: the datagram, dropped
 *
 * One that the device does take has met what an ICMP message has left in the socket, of whichever
 * datagram; messages come in swarms when a path has become smaller. It is as good as lost.
 */
void hk_pathmtu_refused(struct hk_relay *r, const struct hk_datagram *dgram)
{
	struct htp_path_hint hint = { .local = true };
	struct hk_peer *peer;
	struct htp_hdr hdr;
	__u32 before;

	if (htp_hdr_read(dgram->data, dgram->len, &hdr) || hdr.type != HTP_DATA)
		return;
	peer = peer_of(r, &dgram->path, hdr.dst_id);
	if (!peer)
		return;
	before = peer->limit;
	hint.size = hk_pathmtu_limit(peer);
	if (hint.size < dgram->len)
		tell(peer, &hint);
	else
		peer->limit = before;
}

/**
 * hk_pathmtu_too_big - a router says that a datagram was too big for it
 * @peer:  UP; the message quotes its id
 * @error: the message
 * @pn:    low bits of the packet number in the quote
 *
 * The core believes it only as far as RFC 8899 allows.
 */
void hk_pathmtu_too_big(struct hk_peer *peer, const struct hk_carrier_error *error, __u32 pn)
{
	const struct htp_path_hint hint = {
		.size = size_within(&peer->path, peer->port->carrier.ops->overhead, error->mtu),
		.pn = pn,
	};

	tell(peer, &hint);
}

/**
 * hk_pathmtu_hello_too_big - the same of a HELLO
 * @peer:  initiator, in HELLO
 * @error: the message, which quotes a HELLO of ours
 *
 * Return: whether smaller ones may get through, and were not tried yet.
 */
bool hk_pathmtu_hello_too_big(struct hk_peer *peer, const struct hk_carrier_error *error)
{
	__u32 size = size_within(&peer->path, HK_UDP_HDR, error->mtu);

	if (size < HTP_MIN_DATAGRAM || size >= peer->full_len)
		return false;
	peer->full_len = size;
	return true;
}
