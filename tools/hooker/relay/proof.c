// SPDX-License-Identifier: GPL-2.0
/*
 * Is the path of an association still there? A connection that is taken over depends on it and
 * can't go back to plain TCP, and an association that nobody has used for minutes may be at the
 * end of a path that is gone.
 *
 * What the peer has acknowledged lately is proof enough. Otherwise it is asked by two PINGs, which
 * it answers at once. They leave when the application calls connect(), so the answer comes back
 * along with the SYN-ACK, and waiting for the one is no longer than for the other. Until then the
 * SYN-ACK is held, and the question repeated, for as long as with HELLO but no less than
 * HK_GRACE_NS: a NAT may have forgotten the association, and the peer doesn't answer before it has
 * found the new path to be valid; or its host is busy. If nothing comes, what waits is given back
 * to plain TCP, and so is at once what comes after it, until an answer comes or the association
 * ends by its timers.
 */
#include <stddef.h>
#include <string.h>

#include "flow.h"
#include "hello.h"
#include "peer.h"
#include "private.h"

/*
 * Within it a path may die unnoticed. But a busy association notices after DOUBT_PTOS, and less
 * would have pairs of PINGs leave for nearly every connection that an idle one begins with.
 */
#define FRESH_NS	(1 * NSEC_PER_SEC)
#define DOUBT_PTOS	2
#define LATE_NS		(5 * NSEC_PER_MSEC)
#define RTT_MAX_NS	(900 * NSEC_PER_MSEC)

/* An answer that is as fast as the SYN-ACK, and a quarter of the time more */
static __u64 try_ns(__u64 rtt_ns)
{
	return (rtt_ns < RTT_MAX_NS ? rtt_ns : RTT_MAX_NS) * 5 / 4 + LATE_NS;
}

static __u64 all_tries_ns(__u64 rtt_ns)
{
	__u64 ns = HK_HELLO_TRIES * try_ns(rtt_ns);

	return ns > HK_GRACE_NS ? ns : HK_GRACE_NS;
}

/**
 * hk_proof_is_lost - the peer doesn't answer
 * @peer:   UP
 * @rtt_ns: round trip of the TCP handshake
 *
 * Return: true if the connection shall not be taken over.
 */
bool hk_proof_is_lost(const struct hk_peer *peer, __u64 rtt_ns)
{
	return htp_assoc_unanswered(peer->assoc) >= DOUBT_PTOS &&
	       (!peer->asked_ns ||
		peer->relay->now_ns >= peer->asked_ns + all_tries_ns(rtt_ns));
}

static void ask(struct hk_peer *peer)
{
	peer->repeated_ns = peer->relay->now_ns;
	htp_assoc_ask(peer->assoc, peer->relay->now_ns);
	hk_peer_touch(peer);
}

static void ask_first(struct hk_peer *peer)
{
	if (peer->asked_ns)
		return;
	peer->asked_ns = peer->relay->now_ns;
	peer->relay->stats[HK_REL_PATHS_ASKED]++;
	ask(peer);
}

/**
 * hk_proof_is_fresh - may a connection be taken over now?
 * @peer: UP
 *
 * Return: false: the peer is being asked; the flow is to wait, see hk_proof_await().
 */
bool hk_proof_is_fresh(struct hk_peer *peer)
{
	if (htp_assoc_answered_ns(peer->assoc) + FRESH_NS > peer->relay->now_ns)
		return true;
	ask_first(peer);
	return false;
}

/**
 * hk_proof_connecting - an application has called connect(), and its SYN has an offer
 * @r:	    relay
 * @key:    the application's socket
 * @action: what the rules say of it: associations that it can't use are left in peace
 */
void hk_proof_connecting(struct hk_relay *r, const struct hk_flow_key *key,
			 const struct hk_action *action)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (peer->state == HK_PEER_UP && peer->kind.own == action->class &&
		    !(peer->kind.protos & ~action->protos) &&
		    !memcmp(peer->path.remote, key->raddr, sizeof(key->raddr)) &&
		    !memcmp(peer->path.local, key->laddr, sizeof(key->laddr)))
			hk_proof_is_fresh(peer);
}

/* Many may wait for the same answer */
static void repeat(struct hk_peer *peer)
{
	if (peer->relay->now_ns >= peer->repeated_ns + LATE_NS)
		ask(peer);
}

static void try_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = (void *)((char *)timer - offsetof(struct hk_flow, timer));
	__u64 next_ns;

	if (now_ns >= f->due_ns) {
		hk_takeover_leave(f);
		return;
	}
	repeat(f->peer);
	f->try_ns *= 2;
	next_ns = now_ns + f->try_ns;
	hk_timer_arm(&f->relay->timers, timer, next_ns < f->due_ns ? next_ns : f->due_ns);
}

/**
 * hk_proof_await - a connection waits until its peer has answered
 * @f:	    flow, HELD, of a peer that is being asked
 * @rtt_ns: round trip of the TCP handshake
 */
void hk_proof_await(struct hk_flow *f, __u64 rtt_ns)
{
	f->try_ns = try_ns(rtt_ns);
	f->due_ns = f->peer->asked_ns + all_tries_ns(rtt_ns);
	f->timer.fire = try_timer;
	hk_timer_arm(&f->relay->timers, &f->timer, f->peer->asked_ns + f->try_ns);
}

/**
 * hk_proof_resume - a connection has waited in another daemon, which gave it to this one
 * @f: flow, HELD, of a peer that is UP
 */
void hk_proof_resume(struct hk_flow *f)
{
	ask_first(f->peer);
	hk_proof_await(f, 0);
}

/**
 * hk_proof_check - take over what waits for an answer, if there is one
 * @peer: UP; after datagrams
 */
void hk_proof_check(struct hk_peer *peer)
{
	struct hk_flow *f, *next;

	if (!peer->asked_ns || htp_assoc_answered_ns(peer->assoc) < peer->asked_ns)
		return;
	peer->asked_ns = 0;
	for (f = LIST_FIRST(&peer->flows); f; f = next) {
		next = LIST_NEXT(f, by_peer);
		if (f->state == HK_FLOW_HELD)
			hk_takeover_proceed(f);
	}
}
