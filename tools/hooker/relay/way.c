// SPDX-License-Identifier: GPL-2.0
/*
 * Ways: carrier and addresses, where the association knows paths by number. It
 * decides which one is used; here that is carried out, and the XDP program told.
 *
 * If the address goes from which this host reaches a peer, or its device stops working,
 * datagrams leave from the one that the routing tables choose now. The peer finds out
 * as it does if a NAT changes the address.
 */
#include <errno.h>
#include <string.h>

#include "fallback.h"
#include "peer.h"
#include "port.h"
#include "private.h"
#include "way.h"

_Static_assert(HTP_PATHS == HK_ASSOC_ADDRS, "XDP must know all addresses where a peer may be");

static bool same_path(const struct hk_path *a, const struct hk_path *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* The XDP program passes what comes from where the peer is, or may be */
static void tell_xdp(struct hk_peer *peer)
{
	__u32 used = htp_assoc_path(peer->assoc), set = htp_assoc_paths(peer->assoc), n;
	__be32 raddr[HTP_PATHS][4] = {};
	unsigned int nr = 0;

	memcpy(raddr[nr++], peer->ways[used].path.remote, sizeof(raddr[0]));
	for (n = 0; n < HTP_PATHS; n++)
		if (n != used && set >> n & 1)
			memcpy(raddr[nr++], peer->ways[n].path.remote, sizeof(raddr[0]));
	if (!memcmp(peer->told, raddr, sizeof(raddr)))
		return;
	memcpy(peer->told, raddr, sizeof(raddr));
	hk_dataplane_set_assoc(peer->relay->dp, peer->local_id, (const __be32 (*)[4])raddr, nr);
}

/**
 * hk_ways_begin - the first way is known
 * @peer: UP, with its path and port
 */
void hk_ways_begin(struct hk_peer *peer)
{
	memset(peer->ways, 0, sizeof(peer->ways));
	peer->ways[0].port = peer->port;
	peer->ways[0].path = peer->path;
	tell_xdp(peer);
}

/**
 * hk_way_number - the number of the way by which a datagram came
 * @peer: UP
 * @port: on which carrier
 * @path: from where
 *
 * One that is new gets a number, but keeps it only if the association makes use of it.
 *
 * Return: the number, HTP_PATHS if all are taken.
 */
__u32 hk_way_number(struct hk_peer *peer, struct hk_port *port, const struct hk_path *path)
{
	__u32 set = htp_assoc_paths(peer->assoc), n;

	for (n = 0; n < HTP_PATHS; n++)
		if (set >> n & 1 && peer->ways[n].port == port &&
		    same_path(&peer->ways[n].path, path))
			return n;
	for (n = 0; n < HTP_PATHS && set >> n & 1; n++)
		;
	if (n < HTP_PATHS) {
		peer->ways[n].port = port;
		peer->ways[n].path = *path;
	}
	return n;
}

/**
 * hk_way_is_same_host - does a way differ from the one in use by the peer's port alone?
 * @peer: UP
 * @port: on which carrier
 * @path: from where
 *
 * Return: true if so, or if it is that way.
 */
bool hk_way_is_same_host(const struct hk_peer *peer, struct hk_port *port,
			 const struct hk_path *path)
{
	struct hk_path other = *path;

	other.rport = peer->path.rport;
	return port == peer->port && same_path(&other, &peer->path);
}

/**
 * hk_ways_sync - do what the association has decided
 * @peer: UP, after htp_assoc_rx_via(), htp_assoc_expire() or htp_assoc_use_path()
 */
void hk_ways_sync(struct hk_peer *peer)
{
	const struct hk_way *way = &peer->ways[htp_assoc_path(peer->assoc)];

	if (!same_path(&way->path, &peer->path)) {
		peer->path = way->path;
		peer->relay->stats[HK_REL_PEERS_MOVED]++;
	}
	if (way->port != peer->port) {
		peer->port = way->port;
		peer->relay->stats[HK_REL_CARRIER_SWITCHED]++;
		hk_fallback_switched(peer);
	}
	tell_xdp(peer);
}

/**
 * hk_ways_leave - a carrier is about to be closed
 * @peer: UP
 * @gone: the carrier
 * @to:	  if it is the one in use: that to go on with; its port at the peer is taken to be
 *	  the same
 *
 * What else was tried is tried again when something comes by it.
 */
void hk_ways_leave(struct hk_peer *peer, const struct hk_port *gone, struct hk_port *to)
{
	struct hk_relay *r = peer->relay;

	htp_assoc_forget_paths(peer->assoc);
	if (peer->port != gone)
		return;
	peer->port = to;
	peer->ways[htp_assoc_path(peer->assoc)].port = to;
	r->stats[HK_REL_CARRIER_SWITCHED]++;
	htp_assoc_moved(peer->assoc, r->now_ns);
	hk_fallback_switched(peer);
	tell_xdp(peer);
	hk_peer_touch(peer);
}

static void move_to(struct hk_peer *peer, const __be32 local[4])
{
	__be32 old[4];
	__u32 n;

	memcpy(old, peer->path.local, sizeof(old));
	for (n = 0; n < HTP_PATHS; n++)
		if (!memcmp(peer->ways[n].path.local, old, sizeof(old)))
			memcpy(peer->ways[n].path.local, local, sizeof(old));
	memcpy(peer->path.local, local, sizeof(old));
	peer->moved = true;
	peer->relay->stats[HK_REL_PEERS_MOVED]++;
	htp_assoc_moved(peer->assoc, peer->relay->now_ns);
	hk_fallback_moved(peer);
	hk_peer_touch(peer);
}

/**
 * hk_ways_settle - find another local address for a peer whose own is gone
 * @peer: UP
 *
 * Without a route it stays homeless; its timer calls this again.
 */
void hk_ways_settle(struct hk_peer *peer)
{
	__be32 local[4];

	if (!peer->homeless || hk_carrier_source(&peer->path, local))
		return;
	peer->homeless = false;
	if (memcmp(local, peer->path.local, sizeof(local)))
		move_to(peer, local);
}

static bool is_in(const __be32 addr[4], const struct hk_local_key *keys, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!memcmp(addr, keys[i].addr, sizeof(keys[i].addr)))
			return true;
	return false;
}

/**
 * hk_ways_on_locals - this host's addresses may have changed
 * @r:	   relay
 * @alive: addresses on devices that work
 * @nr:	   how many
 */
void hk_ways_on_locals(struct hk_relay *r, const struct hk_local_key *alive, unsigned int nr)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state != HK_PEER_UP)
			continue;
		if (!is_in(peer->path.local, alive, nr))
			peer->homeless = true;
		/* the first choice may have been made before the best one was there */
		peer->homeless |= peer->moved;
		hk_ways_settle(peer);
		hk_peer_touch(peer);
	}
}
