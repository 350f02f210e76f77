// SPDX-License-Identifier: GPL-2.0
/*
 * Another carrier for an association whose own gets through no more: a firewall on the
 * way has learned to drop UDP-Lite, say, in the midst of a transfer.
 *
 * Who gets no ACKs, from the second PTO on, says HELLO again on all carriers that the
 * offers named, the present one included, at each PTO. If another one answers and the
 * present one doesn't, the association goes on there, with its streams and packet
 * numbers. The other side sees the newest datagram come by another path, and follows when
 * that is valid (htp/path.c). If nothing answers, the association ends by its timers.
 *
 * Later the better carrier is asked again, ever more rarely. A carrier that passes
 * HELLO but not what follows would lead to and fro; so these attempts are numbered.
 *
 * A carrier that is taken away by command is left at once, for the best of the others,
 * without asking: if that one doesn't get through, the above finds out.
 */
#include <sys/random.h>

#include "fallback.h"
#include "hello.h"
#include "peer.h"
#include "port.h"
#include "private.h"
#include "way.h"

#define FIRST_PTO	2
#define SETTLE_NS	(5 * NSEC_PER_MSEC)
#define ASK_GAP_NS	(50 * NSEC_PER_MSEC)	/* ICMP errors may come in swarms */
#define BACK_NS		(60 * NSEC_PER_SEC)	/* doubled with each attempt */
#define BACK_TRIES	7			/* the last one two hours later */

static bool is_agreed(const struct hk_peer *peer, const struct hk_port *port)
{
	return port->carrier.ops->proto & peer->kind.protos;
}

/* Is there a carrier that would be preferred to the present one? */
static bool has_better(const struct hk_peer *peer)
{
	unsigned int i;

	for (i = 0; i < peer->port->index; i++)
		if (is_agreed(peer, &peer->relay->ports[i]))
			return true;
	return false;
}

/*
 * A responder waits for the first DATA to show what the initiator has chosen. And where
 * this host has no address, it is none of the carrier's faults.
 */
static bool has_other(const struct hk_peer *peer)
{
	unsigned int i;

	if ((!peer->initiator && !peer->proven) || peer->homeless)
		return false;
	for (i = 0; i < peer->relay->nr_ports; i++)
		if (i != peer->port->index && is_agreed(peer, &peer->relay->ports[i]))
			return true;
	return false;
}

/*
 * HELLO on the first @nr_ports carriers; nonces of earlier rounds count no more. Every
 * second round has the smallest size: it is not the path's MTU that is in question.
 */
static void ask(struct hk_peer *peer, unsigned int nr_ports)
{
	struct hk_fallback *fb = &peer->fallback;
	struct hk_relay *r = peer->relay;
	unsigned int i;
	__u32 size;

	if (getrandom(&fb->nonce, sizeof(fb->nonce), 0) != sizeof(fb->nonce))
		return;
	size = fb->rounds++ % 2 ? HTP_MIN_DATAGRAM : peer->hello_len;
	fb->asked_ns = r->now_ns;
	for (i = 0; i < nr_ports; i++)
		if (is_agreed(peer, &r->ports[i]) &&
		    !hk_hello_send(peer, &r->ports[i], fb->nonce ^ i, size))
			r->stats[HK_REL_HELLO_SENT]++;
}

/* When to ask for the better carrier next, if ever */
static void plan_return(struct hk_peer *peer)
{
	struct hk_fallback *fb = &peer->fallback;
	struct hk_timers *timers = &peer->relay->timers;

	hk_timer_cancel(timers, &fb->timer);
	if (!has_better(peer) || fb->returns >= BACK_TRIES)
		return;
	hk_timer_arm(timers, &fb->timer, peer->relay->now_ns + (BACK_NS << fb->returns));
}

static void switch_to(struct hk_peer *peer, struct hk_port *port)
{
	struct hk_fallback *fb = &peer->fallback;
	__u32 n = hk_way_number(peer, port, &fb->path);

	fb->answer = NULL;
	if (!htp_assoc_use_path(peer->assoc, n, fb->len, fb->rtt_ns, peer->relay->now_ns))
		hk_ways_sync(peer);
	hk_peer_touch(peer);
}

static void fallback_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_fallback *fb = (void *)((char *)timer - offsetof(struct hk_fallback, timer));
	struct hk_peer *peer = (void *)((char *)fb - offsetof(struct hk_peer, fallback));

	(void)now_ns;
	if (peer->state != HK_PEER_UP)
		return;
	if (!fb->answer) {
		fb->returns++;
		ask(peer, peer->port->index);
		plan_return(peer);
	} else if (htp_assoc_unanswered(peer->assoc)) {
		switch_to(peer, fb->answer);
	} else {
		fb->answer = NULL;
		plan_return(peer);
	}
}

/**
 * hk_fallback_init - for a new peer
 * @peer: peer
 */
void hk_fallback_init(struct hk_peer *peer)
{
	peer->fallback.timer.fire = fallback_timer;
}

/**
 * hk_fallback_start - plan to return to a better carrier, if there is one
 * @peer: peer that came up just now
 */
void hk_fallback_start(struct hk_peer *peer)
{
	peer->fallback.returns = 0;
	plan_return(peer);
}

/**
 * hk_fallback_resume - likewise for one that another daemon has had
 * @peer: UP; how often it has tried is known
 */
void hk_fallback_resume(struct hk_peer *peer)
{
	plan_return(peer);
}

/**
 * hk_fallback_exit - stop trying
 * @peer: peer that fails
 */
void hk_fallback_exit(struct hk_peer *peer)
{
	hk_timer_cancel(&peer->relay->timers, &peer->fallback.timer);
}

/**
 * hk_fallback_switched - the association uses another carrier now
 * @peer: UP; whichever side wanted it
 */
void hk_fallback_switched(struct hk_peer *peer)
{
	peer->fallback.answer = NULL;
	peer->fallback.ptos = 0;
	plan_return(peer);
}

/**
 * hk_fallback_moved - this host's address has changed
 * @peer: UP
 *
 * What was answered went to the old one, and why nothing was may be explained thereby.
 */
void hk_fallback_moved(struct hk_peer *peer)
{
	peer->fallback.answer = NULL;
	peer->fallback.asked_ns = 0;
	peer->fallback.ptos = 0;
	plan_return(peer);
}

/**
 * hk_fallback_check - ask for another carrier if this one seems dead
 * @peer: UP, whenever its timer was looked after
 */
void hk_fallback_check(struct hk_peer *peer)
{
	unsigned int ptos = htp_assoc_unanswered(peer->assoc);
	struct hk_fallback *fb = &peer->fallback;

	if (ptos < fb->ptos)
		fb->ptos = 0;
	if (ptos < FIRST_PTO || ptos <= fb->ptos)
		return;
	fb->ptos = ptos;
	if (has_other(peer))
		ask(peer, peer->relay->nr_ports);
}

/**
 * hk_fallback_suspect - an ICMP error says that the peer is not reached
 * @peer: UP
 */
void hk_fallback_suspect(struct hk_peer *peer)
{
	if (peer->relay->now_ns > peer->fallback.asked_ns + ASK_GAP_NS && has_other(peer))
		ask(peer, peer->relay->nr_ports);
}

static void note_answer(struct hk_peer *peer, const struct hk_datagram *dgram)
{
	struct hk_fallback *fb = &peer->fallback;

	fb->path = dgram->path;
	fb->len = dgram->len;
	fb->rtt_ns = peer->relay->now_ns - fb->asked_ns;
}

/**
 * hk_fallback_ack_rx - HELLO in an association that is up was answered
 * @peer:  UP; the datagram comes from its address
 * @port:  on which carrier
 * @dgram: the answer; its nonce must be that of the last round on that carrier
 */
void hk_fallback_ack_rx(struct hk_peer *peer, struct hk_port *port,
			const struct hk_datagram *dgram)
{
	struct hk_fallback *fb = &peer->fallback;
	struct hk_relay *r = peer->relay;
	struct htp_hello hello;
	struct htp_hdr hdr;

	if (!fb->asked_ns || htp_hello_read(dgram->data, dgram->len, &hdr, &hello) ||
	    hello.src_id != peer->remote_id || (hello.nonce ^ fb->nonce) != port->index)
		return;
	if (port == peer->port) {		/* stay: it gets through as well */
		fb->asked_ns = 0;
		fb->answer = NULL;
		plan_return(peer);
		return;
	}
	if (!htp_assoc_unanswered(peer->assoc)) {
		if (port->index > peer->port->index)
			return;
		note_answer(peer, dgram);
		switch_to(peer, port);
		return;
	}
	if (fb->answer && fb->answer->index <= port->index)
		return;
	fb->answer = port;
	note_answer(peer, dgram);
	hk_timer_arm(&r->timers, &fb->timer, r->now_ns + fb->rtt_ns / 4 + SETTLE_NS);
}

/* One that did not get through lately is the last choice */
static struct hk_port *best_other(const struct hk_peer *peer, const struct hk_port *port)
{
	struct hk_relay *r = peer->relay;
	__u8 blocked = hk_blocked_protos(r, peer->path.remote, peer->instance);
	struct hk_port *found = NULL;
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++) {
		if (&r->ports[i] == port || !is_agreed(peer, &r->ports[i]))
			continue;
		if (!(r->ports[i].carrier.ops->proto & blocked))
			return &r->ports[i];
		found = found ?: &r->ports[i];
	}
	return found;
}

/**
 * hk_fallback_is_stuck - would an association end without this carrier?
 * @peer: peer
 * @port: the carrier
 *
 * Return: true if it is in use, and no other one was agreed on.
 */
bool hk_fallback_is_stuck(const struct hk_peer *peer, const struct hk_port *port)
{
	return peer->state == HK_PEER_UP && peer->port == port && !best_other(peer, port);
}

/**
 * hk_fallback_leave - a carrier is about to be closed
 * @peer: UP; not stuck with it
 * @port: the carrier; nothing of @peer's refers to it afterwards
 */
void hk_fallback_leave(struct hk_peer *peer, struct hk_port *port)
{
	if (peer->fallback.answer == port) {
		peer->fallback.answer = NULL;
		plan_return(peer);
	}
	hk_ways_leave(peer, port, best_other(peer, port));
}

/**
 * hk_fallback_added - a carrier has been opened
 * @r:	  relay
 * @port: the carrier
 *
 * Associations that would prefer it try it as they do after a fallback. The peer may get
 * it a moment later only.
 */
void hk_fallback_added(struct hk_relay *r, const struct hk_port *port)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state != HK_PEER_UP || port->index > peer->port->index ||
		    peer->fallback.answer)
			continue;
		peer->fallback.returns = 0;
		plan_return(peer);
	}
}
