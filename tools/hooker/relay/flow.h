/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooked connections: redirection socket <-> stream. One is in one of these states:
 *
 *	HELD	outgoing; the gate holds the SYN-ACK, the peer is not up yet
 *	TAKING	the redirection socket exists, the handshake segment is injected;
 *		the ESTABLISHED event decides
 *	OPEN	bytes flow
 *	ENDED	everything is closed; freed at the end of the loop pass
 *
 *	HELD -> TAKING	peer is there		HELD -> ENDED	it is not: plain TCP
 *	TAKING -> OPEN	event says taken	TAKING -> ENDED	event says native; time-out
 *	OPEN -> ENDED	both ends finished, or either reset
 */
#ifndef HK_RELAY_FLOW_H
#define HK_RELAY_FLOW_H

#include <linux/types.h>
#include <stdbool.h>
#include <sys/queue.h>
#include "../bpf/hooker_abi.h"
#include "../htp/htp.h"
#include "../tcp/state.h"
#include "lane.h"
#include "timer.h"

#define HK_REDIR_BUF		(512 * 1024)	/* each direction of a redirection socket */
#define HK_FAST_LIMIT		(512 * 1024)	/* bytes outstanding in the fast lane */

struct hk_peer;
struct hk_relay;

enum hk_flow_state {
	HK_FLOW_HELD,
	HK_FLOW_TAKING,
	HK_FLOW_OPEN,
	HK_FLOW_ENDED,
};

/* How a flow ends, seen by the application on this host */
enum hk_flow_end {
	HK_END_DONE,		/* in order: the kernel finishes what is under way */
	HK_END_RESET,		/* ECONNRESET */
	HK_END_SILENT,		/* not a packet: the connection belongs to plain TCP */
};

/**
 * struct hk_flow - one hooked connection
 * @relay:	 owner
 * @slot:	 index into the relay's flows, and of its hk_lane
 * @gen:	 changes when the slot is reused, so a late epoll event is recognised
 * @state:	 see above
 * @active:	 the application here called connect()
 * @key:	 the application's socket
 * @wire:	 the same connection on the wire; they differ if this host translates addresses
 * @peer:	 borrowed; outlives the flow. NULL once ENDED
 * @stream:	 borrowed from the association; NULL before OPEN (active) and once ENDED
 * @redir_fd:	 redirection socket; owned, -1 before TAKING
 * @lane:	 shared with SK_MSG
 * @timer:	 HELD by a peer that is UP: ask again, give up; TAKING: inject again, give up;
 *		 left native: forget the verdict; OPEN: memory, or an answer, is waited for
 * @watch:	 OPEN: has the application been heard?
 * @attempts:	 injections so far; OPEN: how often it was looked whether all is acknowledged, or
 *		 has left
 * @synack:	 active: the held packet
 * @synack_len:	 its bytes
 * @rcv_wscale:	 active: window scale that the application offered, if it did
 * @server_token: active: names the connection to the peer
 * @offer:	 passive: what the SYN-ACK said
 * @action:	 what the rules say
 * @seen_ns:	 active: when the SYN-ACK came; its clock is extrapolated from here; passive: OPEN
 * @due_ns:	 HELD by a peer that is UP: when it is left to plain TCP
 * @try_ns:	 and how long each question is given
 * @reader:	 what was read from the application, by lane
 * @out_bytes:	 written to the application
 * @readable:	 the redirection socket may have input (edge-triggered)
 * @writable:	 likewise room
 * @accepted:	 active: the peer has taken the connection over
 * @in_done:	 the application's FIN was passed on
 * @out_done:	 the peer's FIN was passed on
 * @shut_first:	 the peer's FIN came before the application's
 * @finished:	 the stream has nothing more to do in either direction
 * @native:	 ended, but the NATIVE verdict is still needed
 * @queued:	 is in the relay's ready list
 * @aborting:	 OPEN, but reset by the application: ends when what came before has left
 * @by_key:	 the relay's hash table
 * @by_peer:	 its peer's flows
 * @ready:	 flows to pump
 * @ended:	 flows to free
 */
struct hk_flow {
	struct hk_relay		*relay;
	__u32			slot, gen;
	enum hk_flow_state	state;
	bool			active;
	struct hk_flow_key	key, wire;
	struct hk_peer		*peer;
	struct htp_stream	*stream;
	int			redir_fd;
	struct hk_lane		*lane;
	struct hk_timer		timer, watch;
	unsigned int		attempts;
	__u8			synack[HK_SYNACK_MAX];
	__u32			synack_len;
	__u8			rcv_wscale;
	__u32			server_token;
	struct hk_offer		offer;
	struct hk_action	action;
	__u64			seen_ns, due_ns, try_ns;
	struct hk_lane_reader	reader;
	__u64			out_bytes;
	bool			readable, writable, in_done, out_done, shut_first, finished;
	bool			accepted, native, queued, aborting;
	LIST_ENTRY(hk_flow)	by_key, by_peer;
	TAILQ_ENTRY(hk_flow)	ready;
	LIST_ENTRY(hk_flow)	ended;
};

/* flow.c: a connection from its take-over to its end */
struct hk_flow *hk_flow_create(struct hk_relay *r, const struct hk_flow_key *key, bool active);
struct hk_flow *hk_flow_find(struct hk_relay *r, const struct hk_flow_key *key);
int	hk_flow_forge(struct hk_flow *f, const struct hk_tcp_state *state);
struct hk_flow *hk_flow_restore(struct hk_relay *r, __u32 slot, const struct hk_flow_key *key,
				bool active);
void	hk_flow_opened(struct hk_flow *f);
void	hk_flow_end(struct hk_flow *f, enum hk_flow_end how, enum htp_code code);
void	hk_flow_wake(struct hk_flow *f);
void	hk_flow_on_poll(struct hk_flow *f, __u32 events);
void	hk_flow_on_stream(struct hk_flow *f, unsigned int events);
void	hk_flow_drain(struct hk_flow *f);
void	hk_flows_pump(struct hk_relay *r);
void	hk_flows_reap(struct hk_relay *r);
void	hk_flows_find_free(struct hk_relay *r);

/* unheard.c: connections whose application's segments don't get here */
void	hk_unheard_watch(struct hk_flow *f);

/* abort.c: applications that reset their connection */
void	hk_flow_abort(struct hk_flow *f);
void	hk_flows_end_aborted(struct hk_relay *r);

/* gone.c: applications' sockets that vanish without a word */
void	hk_flow_watch(struct hk_flow *f);
bool	hk_flow_is_orphan(const struct hk_flow *f);

/* takeover.c: handshakes, from the BPF programs' events and the peer's OPENs */
void	hk_takeover_event(void *priv, const void *record, size_t len);
void	hk_takeover_proceed(struct hk_flow *f);
void	hk_takeover_leave(struct hk_flow *f);
void	hk_takeover_resume(struct hk_flow *f, bool steered);
bool	hk_takeover_is_steered(const struct hk_flow *f);
void	hk_takeover_accepted(struct hk_flow *f);
void	hk_takeover_failed(struct hk_flow *f, enum htp_code code);
bool	hk_takeover_has_offer(struct hk_relay *r, __u32 token, const __u8 instance[8],
			      struct hk_offer *offer);
void	hk_takeover_opened(struct hk_peer *peer, struct htp_stream *stream);

#endif /* HK_RELAY_FLOW_H */
