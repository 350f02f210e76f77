// SPDX-License-Identifier: GPL-2.0
/*
 * Flows as bytes. What their sockets hold, both processes have.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "flow.h"
#include "freeze.h"
#include "peer.h"
#include "private.h"

/* All but what identifies it, and what it hangs on */
static void pass_flow(struct htp_freezer *f, struct hk_flow *flow)
{
	HTP_FREEZE(f, flow->wire);
	HTP_FREEZE(f, flow->attempts);
	HTP_FREEZE(f, flow->synack_len);
	HTP_FREEZE(f, flow->synack);
	HTP_FREEZE(f, flow->rcv_wscale);
	HTP_FREEZE(f, flow->server_token);
	HTP_FREEZE(f, flow->offer);
	HTP_FREEZE(f, flow->action);
	HTP_FREEZE(f, flow->seen_ns);
	HTP_FREEZE(f, flow->reader.native_base);
	HTP_FREEZE(f, flow->reader.in_bytes);
	HTP_FREEZE(f, flow->reader.fast_bytes);
	HTP_FREEZE(f, flow->out_bytes);
	htp_freeze_bool(f, &flow->in_done);
	htp_freeze_bool(f, &flow->out_done);
	htp_freeze_bool(f, &flow->shut_first);
	htp_freeze_bool(f, &flow->finished);
	htp_freeze_bool(f, &flow->accepted);
	htp_freeze_bool(f, &flow->native);
	htp_thaw_check(f, flow->synack_len <= sizeof(flow->synack));
}

/**
 * hk_freeze_flow - put a flow into bytes
 * @f:	  freezer
 * @flow: not ENDED
 */
void hk_freeze_flow(struct htp_freezer *f, struct hk_flow *flow)
{
	__u64 stream = flow->stream ? htp_stream_id(flow->stream) : 0;
	__u64 peer = flow->peer ? flow->peer->local_id : 0;
	bool steered = hk_takeover_is_steered(flow);
	__u32 state = flow->state;

	HTP_FREEZE(f, flow->slot);
	HTP_FREEZE(f, flow->key);
	htp_freeze_bool(f, &flow->active);
	HTP_FREEZE(f, state);
	HTP_FREEZE(f, peer);
	HTP_FREEZE(f, stream);
	htp_freeze_bool(f, &steered);
	pass_flow(f, flow);
}

/* Which members a flow has depends on how far it has come */
static bool is_complete(const struct hk_flow *flow, int fd)
{
	const struct hk_peer *peer = flow->peer;

	if (flow->native)
		return flow->state == HK_FLOW_HELD && !peer && !flow->stream && fd < 0;
	if (!peer)
		return false;
	switch (flow->state) {
	case HK_FLOW_HELD:
		return flow->active && !flow->stream && fd < 0;
	case HK_FLOW_TAKING:
		return fd >= 0 && peer->state == HK_PEER_UP && flow->active == !flow->stream;
	case HK_FLOW_OPEN:
		return fd >= 0 && flow->stream;
	default:
		return false;
	}
}

static bool is_tcp(int fd)
{
	socklen_t len = sizeof(int);
	int protocol = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_TCP;
}

static int attach(struct hk_flow *flow, int fd, bool steered)
{
	struct hk_relay *r = flow->relay;

	if (flow->stream)
		htp_stream_set_owner(flow->stream, flow);
	if (flow->peer)
		LIST_INSERT_HEAD(&flow->peer->flows, flow, by_peer);
	flow->reader.lane = flow->lane;
	flow->redir_fd = fd;
	flow->readable = true;
	flow->writable = true;
	hk_takeover_resume(flow, steered);
	hk_flow_wake(flow);
	if (fd < 0)
		return 0;
	return hk_relay_poll(r, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			     hk_source_pack(HK_SRC_FLOW, flow->gen, flow->slot));
}

/* A stream that no other flow has */
static struct htp_stream *find_stream(const struct hk_peer *peer, __u64 id)
{
	struct htp_stream *stream = NULL;

	if (peer->assoc && id)
		stream = htp_assoc_stream(peer->assoc, id);
	return stream && !htp_stream_owner(stream) ? stream : NULL;
}

static struct hk_flow *thaw_new(struct htp_freezer *f, struct hk_relay *r)
{
	struct hk_flow_key key;
	bool active = false;
	__u32 slot = 0;

	HTP_FREEZE(f, slot);
	HTP_FREEZE(f, key);
	htp_freeze_bool(f, &active);
	htp_thaw_check(f, slot < HK_MAX_FLOWS && !r->flows[slot].relay);
	if (f->err || hk_flow_find(r, &key)) {
		f->err = f->err ?: -EBADMSG;
		return NULL;
	}
	return hk_flow_restore(r, slot, &key, active);
}

/**
 * hk_thaw_flow - make a flow from bytes
 * @f:	     freezer that thaws; @f->err is set if they are none
 * @r:	     relay with its peers, to own it
 * @fds:     redirection sockets; owned by the flow that has got one, if there is no error
 * @nr_fds:  of them
 * @next_fd: the one that is next; counted on
 */
void hk_thaw_flow(struct htp_freezer *f, struct hk_relay *r, const int *fds, __u32 nr_fds,
		  __u32 *next_fd)
{
	struct hk_flow *flow = thaw_new(f, r);
	__u64 peer = 0, stream = 0;
	bool steered = false;
	__u32 state = 0;
	int fd = -1;

	if (!flow)
		return;
	HTP_FREEZE(f, state);
	HTP_FREEZE(f, peer);
	HTP_FREEZE(f, stream);
	htp_freeze_bool(f, &steered);
	pass_flow(f, flow);
	htp_thaw_check(f, state < HK_FLOW_ENDED);
	if (f->err)
		return;
	flow->state = state;
	flow->peer = peer ? hk_peer_by_id(r, peer) : NULL;
	flow->stream = flow->peer ? find_stream(flow->peer, stream) : NULL;
	if (state != HK_FLOW_HELD && *next_fd < nr_fds)
		fd = fds[(*next_fd)++];
	htp_thaw_check(f, is_complete(flow, fd) && !flow->peer == !peer &&
		       !flow->stream == !stream && (fd < 0 || is_tcp(fd)));
	if (!f->err)
		f->err = attach(flow, fd, steered);
}
