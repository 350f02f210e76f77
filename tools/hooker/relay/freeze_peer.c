// SPDX-License-Identifier: GPL-2.0
/*
 * Peers as bytes: those that are up, each with its association, and those that wait for
 * an answer to HELLO.
 */
#include <errno.h>

#include "freeze.h"
#include "hello.h"
#include "peer.h"
#include "port.h"
#include "private.h"

#define NO_PORT		0xffffffff
#define WAIT_MAX_NS	(10 * NSEC_PER_SEC)	/* of a timer in HELLO; it is a round trip or two */

static void pass_hello(struct htp_freezer *f, struct htp_hello *hello)
{
	HTP_FREEZE(f, hello->src_id);
	HTP_FREEZE(f, hello->instance);
	HTP_FREEZE(f, hello->nonce);
	HTP_FREEZE(f, hello->max_datagram);
	HTP_FREEZE(f, hello->version);
	HTP_FREEZE(f, hello->own_class);
	HTP_FREEZE(f, hello->other_class);
	HTP_FREEZE(f, hello->window);
	HTP_FREEZE(f, hello->stream_window);
	HTP_FREEZE(f, hello->token);
}

/* All but port, association and timer */
static void pass_peer(struct htp_freezer *f, struct hk_peer *peer)
{
	HTP_FREEZE(f, peer->path);
	HTP_FREEZE(f, peer->instance);
	HTP_FREEZE(f, peer->kind);
	HTP_FREEZE(f, peer->remote_id);
	HTP_FREEZE(f, peer->nonce);
	HTP_FREEZE(f, peer->token);
	HTP_FREEZE(f, peer->fallback.returns);
	HTP_FREEZE(f, peer->protos);
	HTP_FREEZE(f, peer->failed);
	HTP_FREEZE(f, peer->attempts);
	HTP_FREEZE(f, peer->hello_len);
	HTP_FREEZE(f, peer->full_len);
	HTP_FREEZE(f, peer->takes);
	HTP_FREEZE(f, peer->sent_ns);
	HTP_FREEZE(f, peer->choose_ns);
	HTP_FREEZE(f, peer->rtt_ns);
	HTP_FREEZE(f, peer->created_ns);
	htp_freeze_bool(f, &peer->initiator);
	htp_freeze_bool(f, &peer->proven);
	htp_freeze_bool(f, &peer->homeless);
	htp_freeze_bool(f, &peer->moved);
	pass_hello(f, &peer->answer);
}

/**
 * hk_freeze_peer - put a peer into bytes
 * @f:	  freezer
 * @peer: in HELLO, or UP with an association that has not ended
 */
void hk_freeze_peer(struct htp_freezer *f, struct hk_peer *peer)
{
	__u32 port = peer->port ? peer->port->index : NO_PORT;
	__u32 state = peer->state;
	int err;

	HTP_FREEZE(f, peer->local_id);
	HTP_FREEZE(f, state);
	HTP_FREEZE(f, port);
	pass_peer(f, peer);
	if (peer->state == HK_PEER_HELLO) {
		HTP_FREEZE(f, peer->timer.when_ns);
		return;
	}
	err = htp_assoc_freeze(peer->assoc, f);
	f->err = f->err ?: err;
}

static bool is_open(const struct hk_port *port)
{
	return port && port->carrier.ops->proto;
}

static bool is_valid(const struct hk_peer *peer)
{
	if (peer->path.pad || peer->attempts > HK_HELLO_TRIES ||
	    peer->hello_len > HK_DATAGRAM_BUF || peer->full_len > HK_DATAGRAM_BUF ||
	    peer->created_ns > peer->relay->now_ns)
		return false;
	if (peer->state == HK_PEER_UP)
		return is_open(peer->port) && peer->remote_id && peer->takes >= HTP_MIN_DATAGRAM;
	return peer->initiator && peer->attempts && peer->full_len >= HTP_MIN_DATAGRAM &&
	       (peer->choose_ns ? is_open(peer->port) : !peer->port);
}

static void thaw_hello(struct htp_freezer *f, struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;
	__u64 when_ns = 0;

	HTP_FREEZE(f, when_ns);
	htp_thaw_check(f, when_ns <= r->now_ns + WAIT_MAX_NS);
	if (!f->err)
		hk_timer_arm(&r->timers, &peer->timer, when_ns);
}

static void thaw_up(struct htp_freezer *f, struct hk_peer *peer)
{
	peer->assoc = hk_peer_thaw_assoc(peer, f);
	if (!peer->assoc)
		return;
	if (!peer->initiator && !peer->proven)
		peer->relay->nr_unproven++;
	hk_peer_touch(peer);
}

/**
 * hk_thaw_peer - make a peer from bytes
 * @f: freezer that thaws; @f->err is set if they are none
 * @r: relay with its ports, to own it
 */
void hk_thaw_peer(struct htp_freezer *f, struct hk_relay *r)
{
	__u32 state = 0, port = 0;
	struct hk_peer *peer;
	__u64 local_id = 0;

	HTP_FREEZE(f, local_id);
	HTP_FREEZE(f, state);
	HTP_FREEZE(f, port);
	htp_thaw_check(f, local_id && !hk_peer_by_id(r, local_id) &&
		       (port < r->nr_ports || port == NO_PORT) &&
		       (state == HK_PEER_HELLO || state == HK_PEER_UP));
	if (f->err)
		return;
	peer = hk_peer_restore(r, local_id);
	if (!peer) {
		f->err = -ENOMEM;
		return;
	}
	peer->state = state;
	peer->port = port == NO_PORT ? NULL : &r->ports[port];
	pass_peer(f, peer);
	htp_thaw_check(f, is_valid(peer));
	if (f->err)
		return;
	if (state == HK_PEER_HELLO)
		thaw_hello(f, peer);
	else
		thaw_up(f, peer);
}
