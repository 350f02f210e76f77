// SPDX-License-Identifier: GPL-2.0
/*
 * Stateless reset: a daemon that gets DATA for an association it knows nothing of,
 * because it was restarted or the host was, says so. The peer would notice by its
 * timers only, and its applications would wait for them.
 *
 * Both sides trust the association id alone: who has seen none can neither forge a
 * RESET, nor make us send one to anybody but the source address it wrote.
 */
#include "peer.h"
#include "port.h"
#include "private.h"

#define COST_NS		(NSEC_PER_SEC / HK_UNKNOWN_RATE)
#define CREDIT_MAX_NS	(HK_UNKNOWN_BURST * COST_NS)

/* Daemon-wide: without XDP it is the only limit, and CPUs have theirs each */
static bool may_answer(struct hk_relay *r)
{
	r->reset_budget.credit += r->now_ns - r->reset_budget.last_ns;
	r->reset_budget.last_ns = r->now_ns;
	if (r->reset_budget.credit > CREDIT_MAX_NS)
		r->reset_budget.credit = CREDIT_MAX_NS;
	if (r->reset_budget.credit < COST_NS)
		return false;
	r->reset_budget.credit -= COST_NS;
	return true;
}

/**
 * hk_reset_send - tell the sender that the association it means does not exist
 * @r:	   relay
 * @port:  the carrier that the datagram came on; the answer takes it, too
 * @dgram: DATA for an unknown association
 * @hdr:   its header
 */
void hk_reset_send(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram,
		   const struct htp_hdr *hdr)
{
	struct hk_datagram *out;
	ssize_t len;

	if (!may_answer(r))
		return;
	out = hk_port_slot(r, port);
	if (!out)
		return;
	len = htp_reset_write(out->data, HK_DATAGRAM_BUF, hdr);
	if (len < 0)
		return;
	out->path = dgram->path;
	out->len = len;
	port->nr++;
	r->stats[HK_REL_RESET_SENT]++;
}

/**
 * hk_reset_rx - the peer has lost an association
 * @r:	   relay
 * @dgram: RESET
 * @hdr:   its header; names the id that we write
 *
 * Nothing is sent to it any more: it would not know what to do with that either.
 */
void hk_reset_rx(struct hk_relay *r, const struct hk_datagram *dgram, const struct htp_hdr *hdr)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (peer->state == HK_PEER_UP && peer->remote_id == hdr->dst_id &&
		    hk_peer_is_at(peer, &dgram->path))
			break;
	if (!peer) {
		r->stats[HK_REL_RESET_UNKNOWN]++;
		return;
	}
	r->stats[HK_REL_RESET_RECEIVED]++;
	hk_peer_fail(peer, HTP_CODE_TIMEOUT);
	htp_assoc_destroy(peer->assoc);
	peer->assoc = NULL;
}
