// SPDX-License-Identifier: GPL-2.0
/*
 * HELLO: proves, before any connection is taken over, that a carrier gets
 * through to the very daemon that made the offer, with datagrams of full size, and
 * that nothing on the way changes what offers say.
 *
 * HELLO goes out on all carriers at once, and the most preferred one that
 * answers is used: the first choice at once, another one when the first choice
 * had a quarter of a round trip more. The first two attempts have the size that
 * the route takes, the last two the smallest. If none is answered, not within HK_GRACE_NS
 * either, for the other host may be busy, the held connections go back to plain TCP and the path
 * counts as blocked for a while.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "flow.h"
#include "hello.h"
#include "pathmtu.h"
#include "peer.h"
#include "port.h"
#include "private.h"

#define FULL_TRIES	2
#define RTT_MIN_NS	(5 * NSEC_PER_MSEC)
#define RTT_MAX_NS	(900 * NSEC_PER_MSEC)	/* what a SYN-ACK may be held for bounds it, too */
#define BLOCKED_NS	(60 * NSEC_PER_SEC)

static __u64 id_of(const __u8 instance[8])
{
	__be64 id;

	memcpy(&id, instance, sizeof(id));
	return be64toh(id);
}

static __u32 try_size(const struct hk_peer *peer, unsigned int attempt)
{
	return attempt < FULL_TRIES ? peer->full_len : HTP_MIN_DATAGRAM;
}

static bool is_tried(const struct hk_peer *peer, const struct hk_port *port)
{
	return port->carrier.ops->proto & peer->protos & ~peer->failed;
}

static int send_hello(struct hk_port *port, const struct hk_peer *peer,
		      const struct hk_path *path, __u8 type, __u64 dst_id, __u64 nonce, __u32 size)
{
	struct hk_relay *r = peer->relay;
	struct htp_hello hello = {
		.src_id = peer->local_id,
		.nonce = nonce,
		.max_datagram = HK_DATAGRAM_BUF,
		.version = HTP_VERSION,
		.own_class = peer->kind.own,
		.other_class = peer->kind.other,
		.window = HK_ASSOC_WINDOW,
		.stream_window = HK_STREAM_WINDOW,
		.token = ntohl(peer->token),
	};
	struct hk_datagram *dgram = hk_port_slot(r, port);
	ssize_t len;

	if (!dgram)
		return -EAGAIN;
	hello.instance = id_of(r->instance);
	len = htp_hello_write(dgram->data, HK_DATAGRAM_BUF, type, dst_id, &hello, size);
	if (len < 0)
		return len;
	dgram->path = *path;
	dgram->len = len;
	port->nr++;
	return 0;
}

/**
 * hk_hello_send - say HELLO to a peer on one carrier
 * @peer:  peer
 * @port:  the carrier
 * @nonce: that the answer will have
 * @size:  of the datagram
 *
 * Return: 0, or -EAGAIN: the carrier is blocked.
 */
int hk_hello_send(const struct hk_peer *peer, struct hk_port *port, __u64 nonce, __u32 size)
{
	return send_hello(port, peer, &peer->path, HTP_HELLO, id_of(peer->instance), nonce, size);
}

static __u64 nonce_of(const struct hk_peer *peer, unsigned int attempt, unsigned int port)
{
	return peer->nonce ^ (attempt * HK_MAX_PORTS + port);
}

static void send_attempt(struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;
	unsigned int i, n = peer->attempts;
	__u64 due_ns = r->now_ns + peer->rtt_ns * 5 / 4 + RTT_MIN_NS;

	peer->sent_ns[n] = r->now_ns;
	for (i = 0; i < r->nr_ports; i++) {
		if (!is_tried(peer, &r->ports[i]))
			continue;
		if (!hk_hello_send(peer, &r->ports[i], nonce_of(peer, n, i), try_size(peer, n)))
			r->stats[HK_REL_HELLO_SENT]++;
	}
	peer->attempts++;
	if (peer->attempts == HK_HELLO_TRIES && due_ns < peer->sent_ns[0] + HK_GRACE_NS)
		due_ns = peer->sent_ns[0] + HK_GRACE_NS;
	hk_timer_arm(&r->timers, &peer->timer, due_ns);
}

static __u64 bounded_rtt(__u64 rtt_ns)
{
	if (rtt_ns < RTT_MIN_NS)
		return RTT_MIN_NS;
	return rtt_ns < RTT_MAX_NS ? rtt_ns : RTT_MAX_NS;
}

/**
 * hk_hello_start - send the first HELLO
 * @peer: initiator, with @protos and the round trip of TCP's handshake
 */
void hk_hello_start(struct hk_peer *peer)
{
	if (getrandom(&peer->nonce, sizeof(peer->nonce), 0) != sizeof(peer->nonce)) {
		hk_peer_fail(peer, HTP_CODE_NONE);
		return;
	}
	peer->rtt_ns = bounded_rtt(peer->rtt_ns);
	peer->full_len = hk_pathmtu_hello(&peer->path);
	send_attempt(peer);
}

/**
 * hk_blocked_remember - carriers that did not get through to a peer
 * @peer:   peer
 * @protos: HK_PROTO_*
 * @ns:	    not to be tried for so long
 */
void hk_blocked_remember(struct hk_peer *peer, __u8 protos, __u64 ns)
{
	struct hk_relay *r = peer->relay;
	struct hk_blocked *oldest = &r->blocked[0];
	unsigned int i;

	if (!protos)
		return;
	for (i = 0; i < HK_MAX_BLOCKED; i++)
		if (r->blocked[i].until_ns < oldest->until_ns)
			oldest = &r->blocked[i];
	memcpy(oldest->raddr, peer->path.remote, sizeof(oldest->raddr));
	memcpy(oldest->instance, peer->instance, sizeof(oldest->instance));
	oldest->protos = protos;
	oldest->until_ns = r->now_ns + ns;
}

/**
 * hk_blocked_protos - carriers that did not get through lately
 * @r:	      relay
 * @raddr:    host
 * @instance: its daemon's
 *
 * Return: HK_PROTO_* not to try.
 */
__u8 hk_blocked_protos(struct hk_relay *r, const __be32 raddr[4], const __u8 instance[8])
{
	__u8 protos = 0;
	unsigned int i;

	for (i = 0; i < HK_MAX_BLOCKED; i++)
		if (r->blocked[i].until_ns > r->now_ns &&
		    !memcmp(r->blocked[i].raddr, raddr, sizeof(r->blocked[i].raddr)) &&
		    !memcmp(r->blocked[i].instance, instance, sizeof(r->blocked[i].instance)))
			protos |= r->blocked[i].protos;
	return protos;
}

static void take_waiting(struct hk_peer *peer)
{
	struct hk_flow *f, *next;

	for (f = LIST_FIRST(&peer->flows); f; f = next) {
		next = LIST_NEXT(f, by_peer);
		if (f->state == HK_FLOW_HELD)
			hk_takeover_proceed(f);
	}
}

/* Use the carrier that answered; those of higher preference had their chance */
static void choose(struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;
	__u8 silent = 0;
	unsigned int i;

	for (i = 0; i < peer->port->index; i++)
		silent |= r->ports[i].carrier.ops->proto & peer->protos;
	hk_blocked_remember(peer, silent, BLOCKED_NS);
	if (hk_peer_up(peer, &peer->answer, peer->hello_len)) {
		hk_peer_fail(peer, HTP_CODE_NOMEM);
		return;
	}
	r->stats[HK_REL_HELLO_ANSWERED]++;
	/* who waits for no connection asks at once, or the responder would forget us */
	if (LIST_EMPTY(&peer->flows))
		htp_assoc_suspect(peer->assoc, r->now_ns);
	take_waiting(peer);
}

static void give_up(struct hk_peer *peer)
{
	peer->relay->stats[HK_REL_HELLO_FAILED]++;
	hk_blocked_remember(peer, peer->protos, BLOCKED_NS);
	hk_peer_fail(peer, HTP_CODE_NONE);
}

/**
 * hk_hello_timer - time to send again, to choose, or to give up
 * @peer: initiator, in HELLO
 */
void hk_hello_timer(struct hk_peer *peer)
{
	if (peer->choose_ns)
		choose(peer);
	else if (peer->attempts < HK_HELLO_TRIES)
		send_attempt(peer);
	else
		give_up(peer);
}

/* A carrier that is still awaited and would be preferred to this one */
static bool better_is_pending(const struct hk_peer *peer, const struct hk_port *port)
{
	unsigned int i;

	for (i = 0; i < port->index; i++)
		if (is_tried(peer, &peer->relay->ports[i]))
			return true;
	return false;
}

/**
 * hk_hello_ack_rx - our HELLO was answered
 * @peer:  initiator, in HELLO; the datagram comes from its address
 * @port:  on which carrier
 * @dgram: the answer; its nonce must be the one of an attempt on that carrier
 */
void hk_hello_ack_rx(struct hk_peer *peer, struct hk_port *port, const struct hk_datagram *dgram)
{
	struct hk_relay *r = peer->relay;
	struct htp_hello hello;
	struct htp_hdr hdr;
	__u64 attempt;

	if (htp_hello_read(dgram->data, dgram->len, &hdr, &hello) ||
	    hello.instance != id_of(peer->instance))
		return;
	attempt = hello.nonce ^ peer->nonce;
	if (attempt % HK_MAX_PORTS != port->index || attempt / HK_MAX_PORTS >= peer->attempts)
		return;
	if (peer->choose_ns && peer->port->index <= port->index)
		return;
	attempt /= HK_MAX_PORTS;
	peer->port = port;
	peer->answer = hello;
	peer->hello_len = try_size(peer, attempt);
	peer->rtt_ns = r->now_ns - peer->sent_ns[attempt];
	if (!better_is_pending(peer, port)) {
		choose(peer);
		return;
	}
	peer->choose_ns = r->now_ns + peer->rtt_ns / 4 + RTT_MIN_NS;
	hk_timer_arm(&r->timers, &peer->timer, peer->choose_ns);
}

/**
 * hk_hello_refused - the network says that a carrier does not get through
 * @peer:  initiator, in HELLO
 * @port:  the carrier
 * @hello: what the message quotes; must be a HELLO of ours, which nobody off the path
 *	   has seen
 */
void hk_hello_refused(struct hk_peer *peer, struct hk_port *port, const struct htp_hello *hello)
{
	if (hello->src_id != peer->local_id ||
	    (hello->nonce ^ peer->nonce) / HK_MAX_PORTS >= peer->attempts)
		return;
	peer->failed |= port->carrier.ops->proto;
	if (peer->choose_ns && !better_is_pending(peer, peer->port))
		choose(peer);
	else if (!peer->choose_ns && !(peer->protos & ~peer->failed))
		give_up(peer);
}

/**
 * hk_hello_too_big - a router says that a HELLO was too big for it
 * @peer:  initiator, in HELLO
 * @hello: what the message quotes; must be a HELLO of ours
 * @error: the message
 *
 * The next attempt needn't wait. The message may lie: then datagrams are smaller at first.
 */
void hk_hello_too_big(struct hk_peer *peer, const struct htp_hello *hello,
		      const struct hk_carrier_error *error)
{
	if (hello->src_id != peer->local_id ||
	    (hello->nonce ^ peer->nonce) / HK_MAX_PORTS >= peer->attempts)
		return;
	if (peer->attempts < FULL_TRIES && hk_pathmtu_hello_too_big(peer, error))
		send_attempt(peer);
}

/**
 * hk_hello_leave - a carrier is about to be closed
 * @peer: initiator, in HELLO
 * @port: the carrier; its answer doesn't count any more
 *
 * The others are waited for. If there is none, connections go back to plain TCP.
 */
void hk_hello_leave(struct hk_peer *peer, struct hk_port *port)
{
	peer->failed |= port->carrier.ops->proto;
	if (peer->port == port) {
		peer->port = NULL;
		peer->choose_ns = 0;
	}
	if (!(peer->protos & ~peer->failed))
		hk_peer_fail(peer, HTP_CODE_NONE);
}

/* Whoever of the two was first: either may say HELLO again, see fallback.c */
static struct hk_peer *find_association(struct hk_relay *r, const struct hk_datagram *dgram,
					const struct htp_hello *hello)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (peer->state == HK_PEER_UP && peer->remote_id == hello->src_id &&
		    id_of(peer->instance) == hello->instance &&
		    !memcmp(peer->path.remote, dgram->path.remote, sizeof(peer->path.remote)))
			return peer;
	return NULL;
}

static struct hk_peer *new_responder(struct hk_relay *r, struct hk_port *port,
				     const struct hk_datagram *dgram, const struct htp_hello *hello)
{
	struct hk_kind kind = { .own = hello->other_class, .other = hello->own_class };
	__be64 instance = htobe64(hello->instance);
	struct hk_offer offer;
	struct hk_peer *peer;

	if (r->drain_until_ns || hk_peers_from(r, dgram->path.remote) >= HK_MAX_PER_HOST ||
	    !hk_takeover_has_offer(r, htonl(hello->token), (const __u8 *)&instance, &offer))
		return NULL;
	/* spoofed ones can't keep the others out: they are the first to go */
	if (r->nr_unproven >= HK_MAX_UNPROVEN)
		hk_peer_fail(hk_peer_oldest_unproven(r), HTP_CODE_TIMEOUT);
	peer = hk_peer_create(r, &dgram->path, (const __u8 *)&instance, &kind);
	if (!peer)
		return NULL;
	r->nr_unproven++;
	peer->port = port;
	/* what the SYN-ACK and the answer to it took: HELLO leaves as soon as that has come */
	if (r->now_ns > offer.ns)
		peer->rtt_ns = bounded_rtt(r->now_ns - offer.ns);
	if (hk_peer_up(peer, hello, dgram->len)) {
		hk_peer_fail(peer, HTP_CODE_NOMEM);
		return NULL;
	}
	return peer;
}

/**
 * hk_hello_rx - another daemon says HELLO
 * @r:	   relay
 * @port:  on which carrier
 * @dgram: must name our instance and, for a new association, the token of an answered
 *	   offer, and be padded; the answer is not longer than it
 *
 * The same HELLO again, or on another carrier, finds the same association, also one
 * that has been up for long: its carrier may be dead. A smaller one, before the first
 * DATA, means that larger datagrams don't get through.
 */
void hk_hello_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram)
{
	struct htp_hello hello;
	struct hk_peer *peer;
	struct htp_hdr hdr;

	r->stats[HK_REL_HELLO_RECEIVED]++;
	if (htp_hello_read(dgram->data, dgram->len, &hdr, &hello) ||
	    hdr.dst_id != id_of(r->instance) || dgram->len < HTP_MIN_DATAGRAM || !hello.src_id) {
		r->stats[HK_REL_HELLO_REJECTED]++;
		return;
	}
	peer = find_association(r, dgram, &hello);
	if (!peer)
		peer = new_responder(r, port, dgram, &hello);
	else if (!peer->initiator && !peer->proven && dgram->len < peer->hello_len &&
		 hk_peer_up(peer, &hello, dgram->len))
		hk_peer_fail(peer, HTP_CODE_NOMEM);
	if (!peer || peer->state != HK_PEER_UP) {
		r->stats[HK_REL_HELLO_REJECTED]++;
		return;
	}
	if (!peer->initiator)
		peer->kind.protos |= port->carrier.ops->proto;
	send_hello(port, peer, &dgram->path, HTP_HELLO_ACK, hello.src_id, hello.nonce, dgram->len);
}
