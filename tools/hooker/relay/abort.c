// SPDX-License-Identifier: GPL-2.0
/*
 * Applications that reset their connection.
 *
 * What one sent just before is with the other host's kernel already when TCP's RST comes, and
 * read() there hands it out before it tells of the reset. HTP's RESET takes along what has
 * not been read. So it is given a moment to follow those bytes instead of replacing them. No
 * more than TCP does for them: what is lost now stays lost, and who doesn't read gets nothing.
 */
#include <stddef.h>

#include "flow.h"
#include "peer.h"
#include "private.h"

#define ABORT_NS	(5 * NSEC_PER_MSEC)
#define ABORT_LEAST	2			/* times ABORT_NS, once all was sent */
#define ABORT_MOST	40

static void abort_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = (void *)((char *)timer - offsetof(struct hk_flow, timer));

	f->attempts++;
	if (!htp_stream_unacked(f->stream) || f->attempts >= ABORT_MOST ||
	    (f->attempts >= ABORT_LEAST && !htp_stream_unsent(f->stream)))
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
	else
		hk_timer_arm(&f->relay->timers, timer, now_ns + ABORT_NS);
}

/**
 * hk_flow_abort - the application has reset the connection
 * @f: flow with a stream; ends now or in a moment
 */
void hk_flow_abort(struct hk_flow *f)
{
	if (f->aborting || f->state == HK_FLOW_ENDED)
		return;
	if (f->state != HK_FLOW_OPEN) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
		return;
	}
	f->aborting = true;
	hk_peer_touch(f->peer);
	if (!f->in_done)
		hk_flow_drain(f);
	if (f->state != HK_FLOW_OPEN)
		return;
	if (!htp_stream_unacked(f->stream)) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
		return;
	}
	f->attempts = 0;
	f->timer.fire = abort_timer;
	hk_timer_arm(&f->relay->timers, &f->timer, f->relay->now_ns + ABORT_NS);
}

/**
 * hk_flows_end_aborted - end those that wait for their moment now
 * @r: relay
 *
 * Another daemon couldn't tell the end of such a connection from one in order.
 */
void hk_flows_end_aborted(struct hk_relay *r)
{
	__u32 slot;

	for (slot = 0; slot < HK_MAX_FLOWS; slot++)
		if (r->flows[slot].relay && r->flows[slot].state == HK_FLOW_OPEN &&
		    r->flows[slot].aborting)
			hk_flow_end(&r->flows[slot], HK_END_RESET, HTP_CODE_APP_RESET);
}
