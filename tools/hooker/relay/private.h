/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's inside: the relay, its peers and its flows. One thread.
 *
 *	relay 1--n peer    an association with one other daemon, over one carrier
 *	peer  1--n flow    a hooked connection: redirection socket <-> stream
 *	relay 1--n port    an open carrier
 *
 * A flow is in one of these states:
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
#ifndef HK_RELAY_PRIVATE_H
#define HK_RELAY_PRIVATE_H

#include <linux/types.h>
#include <sys/queue.h>
#include "../bpf/hooker_abi.h"
#include "../carrier/carrier.h"
#include "../dataplane/dataplane.h"
#include "../htp/htp.h"
#include "../tcp/inject.h"
#include "../tcp/state.h"
#include "control.h"
#include "lane.h"
#include "relay.h"
#include "route.h"
#include "timer.h"

#define NSEC_PER_MSEC		1000000ULL
#define NSEC_PER_SEC		1000000000ULL

#define HK_MAX_FLOWS		16384	/* connections at once; beyond: plain TCP */
#define HK_FREE_FLOWS		256	/* fewer free: no more offers */
#define HK_MAX_PEERS		1024
#define HK_MAX_UNPROVEN		64	/* peers that said HELLO and nothing since */
#define HK_MAX_PER_HOST		8	/* peers that said HELLO from one address */
#define HK_MAX_PORTS		8
#define HK_HELLO_TRIES		4
#define HK_BUCKETS		4096	/* of each hash table */
#define HK_DATAGRAM_BUF		HTP_MAX_DATAGRAM	/* room for one datagram in a batch */
#define HK_ETHERNET_MTU		1500
#define HK_UDP_HDR		8	/* of UDP-Lite, too */

#define HK_REDIR_BUF		(512 * 1024)	/* each direction of a redirection socket */
#define HK_FAST_LIMIT		(512 * 1024)	/* bytes outstanding in the fast lane */

/* Flow control: where it begins, and how far it may grow */
#define HK_STREAM_WINDOW	(256 << 10)
#define HK_STREAM_WINDOW_MAX	(16 << 20)
#define HK_STREAM_BUFFER	(1 << 20)
#define HK_STREAM_BUFFER_MAX	(16 << 20)
#define HK_ASSOC_WINDOW		(1 << 20)
#define HK_ASSOC_WINDOW_MAX	(64 << 20)

struct htp_freezer;

LIST_HEAD(hk_flow_list, hk_flow);
LIST_HEAD(hk_peer_list, hk_peer);
TAILQ_HEAD(hk_flow_queue, hk_flow);
TAILQ_HEAD(hk_peer_queue, hk_peer);

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
 * struct hk_kind - associations with one host differ in these; flows share one of their kind
 * @protos: carriers that both ends allow, HK_PROTO_*
 * @own:    class of what we send, see struct hk_action
 * @other:  class of what the peer sends, a number of its own choice
 */
struct hk_kind {
	__u8	protos, own, other;
};

/**
 * struct hk_flow - one hooked connection
 * @relay:	 owner
 * @slot:	 index into the relay's flows, and of its hk_lane
 * @gen:	 changes when the slot is reused, so a late epoll event is recognised
 * @state:	 see above
 * @active:	 the application here called connect()
 * @key:	 the application's socket
 * @peer:	 borrowed; outlives the flow. NULL once ENDED
 * @stream:	 borrowed from the association; NULL before OPEN (active) and once ENDED
 * @redir_fd:	 redirection socket; owned, -1 before TAKING
 * @lane:	 shared with SK_MSG
 * @timer:	 HELD by a peer that is UP: ask again, give up; TAKING: inject again, give up;
 *		 left native: forget the verdict
 * @attempts:	 injections so far
 * @synack:	 active: the held packet
 * @synack_len:	 its bytes
 * @rcv_wscale:	 active: window scale that the application offered, if it did
 * @server_token: active: names the connection to the peer
 * @offer:	 passive: what the SYN-ACK said
 * @action:	 what the rules say
 * @seen_ns:	 active: when the SYN-ACK came; its clock is extrapolated from here
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
	struct hk_flow_key	key;
	struct hk_peer		*peer;
	struct htp_stream	*stream;
	int			redir_fd;
	struct hk_lane		*lane;
	struct hk_timer		timer;
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
	bool			accepted, native, queued;
	LIST_ENTRY(hk_flow)	by_key, by_peer;
	TAILQ_ENTRY(hk_flow)	ready;
	LIST_ENTRY(hk_flow)	ended;
};

/**
 * struct hk_port - an open carrier and its send batch
 * @carrier: owned
 * @index:   in the relay's ports; order of preference
 * @dgrams:  written, not yet sent: from @head to before @nr
 * @head:    first of them
 * @nr:	     behind the last
 * @bufs:    HK_CARRIER_BATCH x HK_DATAGRAM_BUF; owned
 * @mech:    deployed for it; borrowed. NULL: the kernel has sockets for it
 * @locals:  with @mech: ports of the sockets, see hk_carrier_open_deployed()
 * @blocked: the socket's buffer is full; waiting for EPOLLOUT
 * @more:    stopped receiving to let others on; datagrams that were taken out of the
 *	     socket already (UDP_GRO) would not make it readable again
 */
struct hk_port {
	struct hk_carrier	carrier;
	unsigned int		index;
	struct hk_datagram	dgrams[HK_CARRIER_BATCH];
	__u8			*bufs;
	int			head, nr;
	struct hk_mech		*mech;
	__be16			locals[2];
	bool			blocked, more;
};

/**
 * struct hk_fallback - an association's way to another carrier, see fallback.c
 * @timer:    an answer has waited long enough for a better one; or: try to return
 * @nonce:    of the last HELLOs, xor-ed with the carrier's index
 * @asked_ns: when they were sent; 0: never, or the carrier in use has answered
 * @answer:   carrier to go to when @timer fires; NULL: none
 * @path:     that of the answer
 * @len:      its size
 * @rtt_ns:   and how long it took
 * @rounds:   of HELLOs so far
 * @ptos:     PTOs in a row when the last round was sent
 * @returns:  attempts to return to a better carrier
 */
struct hk_fallback {
	struct hk_timer	timer;
	__u64		nonce, asked_ns;
	struct hk_port	*answer;
	struct hk_path	path;
	__u32		len;
	__u64		rtt_ns;
	unsigned int	rounds, ptos, returns;
};

enum hk_peer_state {
	HK_PEER_HELLO,		/* we sent HELLO, flows wait */
	HK_PEER_UP,
	HK_PEER_FAILED,		/* to be freed at the end of the loop pass */
};

/**
 * struct hk_way - what a path's number means, see htp/path.c
 * @port: carrier; borrowed, NULL: never used
 * @path: addresses
 */
struct hk_way {
	struct hk_port	*port;
	struct hk_path	path;
};

/**
 * struct hk_peer - an association with another daemon
 * @relay:	 owner
 * @state:	 enum hk_peer_state
 * @initiator:	 we sent HELLO
 * @proven:	 passive: the peer has sent DATA, so its address is real
 * @path:	 where datagrams go; UP: that of the way in use, as @port
 * @ways:	 UP: by number
 * @told:	 addresses that the XDP program takes for the peer's
 * @homeless:	 the local address in use is gone, and there is no other yet
 * @moved:	 which has happened: the connections' address is not the one in use
 * @instance:	 the other daemon's instance id, as bytes of the option
 * @kind:	 of association; its @protos are the carriers that it may use. The responder
 *		 learns them from the HELLOs
 * @local_id:	 what the peer writes into datagrams to us
 * @remote_id:	 what we write
 * @port:	 carrier in use (HELLO: the best that answered); borrowed
 * @assoc:	 owned; NULL in HELLO
 * @timer:	 HELLO: send again, choose, give up; UP: the association's deadline
 * @token:	 HELLO: the other daemon's, from the SYN-ACK that made us say it
 * @nonce:	 HELLO: xor-ed with attempt and carrier it makes the nonces
 * @fallback:	 UP: to other carriers
 * @protos:	 HELLO: carriers that are tried, HK_PROTO_*
 * @failed:	 HELLO: of them, refused by the host or the network
 * @attempts:	 HELLOs sent on each carrier
 * @hello_len:	 HELLO: datagram size proven by the answer
 * @full_len:	 HELLO: largest datagram to begin with
 * @asked_ns:	 UP: when it was asked whether it is there, see proof.c; 0: it has answered
 * @repeated_ns: and when last
 * @takes:	 UP: largest datagram that the peer takes
 * @limit:	 UP: and that the route takes as well, as the association was told
 * @route_ns:	 UP: when the route was last looked at
 * @sent_ns:	 HELLO: when each attempt was sent
 * @choose_ns:	 HELLO: not the best carrier answered: waiting for better till then; 0: none
 * @rtt_ns:	 round trip that TCP's handshake took; initiator, after HELLO: that of HELLO
 * @answer:	 HELLO: the answer that will be used
 * @dirty:	 is in the relay's dirty list
 * @created_ns:	 when
 * @flows:	 all of its flows that have not ended
 * @all:	 the relay's peers
 * @by_id:	 the relay's hash table
 * @dirty_entry: peers to look after
 */
struct hk_peer {
	struct hk_relay		*relay;
	enum hk_peer_state	state;
	bool			initiator, proven;
	struct hk_path		path;
	struct hk_way		ways[HTP_PATHS];
	__be32			told[HTP_PATHS][4];
	bool			homeless, moved;
	__u8			instance[8];
	struct hk_kind		kind;
	__u64			local_id, remote_id;
	struct hk_port		*port;
	struct htp_assoc	*assoc;
	struct hk_timer		timer;
	__u64			nonce;
	__u32			token;
	struct hk_fallback	fallback;
	__u8			protos, failed;
	unsigned int		attempts;
	__u32			hello_len, full_len, takes, limit;
	__u64			route_ns;
	__u64			sent_ns[HK_HELLO_TRIES];
	__u64			choose_ns, rtt_ns, created_ns;
	__u64			asked_ns, repeated_ns;
	struct htp_hello	answer;
	bool			dirty;
	struct hk_flow_list	flows;
	LIST_ENTRY(hk_peer)	all, by_id;
	TAILQ_ENTRY(hk_peer)	dirty_entry;
};

/* Counters of the daemon, reported beside those of the BPF programs */
enum hk_relay_stat {
	HK_REL_FLOWS_ACTIVE,		/* outgoing connections that reached OPEN */
	HK_REL_FLOWS_PASSIVE,
	HK_REL_FLOWS_DONE,		/* ended in order */
	HK_REL_FLOWS_RESET,
	HK_REL_FLOWS_LEFT_NATIVE,	/* held, then given back to plain TCP */
	HK_REL_FLOWS_FORGE_FAILED,
	HK_REL_FLOWS_LATE,		/* taken over, but the application was gone or never came */
	HK_REL_OPEN_REFUSED,		/* OPENs without a matching offer */
	HK_REL_HELLO_SENT,
	HK_REL_HELLO_ANSWERED,
	HK_REL_HELLO_FAILED,		/* no carrier answered */
	HK_REL_HELLO_RECEIVED,
	HK_REL_HELLO_REJECTED,		/* not for this instance, malformed, or too many */
	HK_REL_RX_UNKNOWN,		/* DATA for no association of ours */
	HK_REL_RX_SOURCE,		/* DATA from where the peer isn't known to be, not used */
	HK_REL_RX_MALFORMED,
	HK_REL_PEERS_MOVED,		/* whose address has changed, or ours towards them */
	HK_REL_PEERS_LOST,		/* associations that ended by time-out */
	HK_REL_TABLE_FULL,		/* flow or peer table full: plain TCP */
	HK_REL_MEMORY_FULL,		/* allocations beyond --memory, refused */
	HK_REL_WINDOW_REFUSED,		/* windows that would have grown, had there been memory */
	HK_REL_CARRIER_SWITCHED,	/* associations that went to another carrier */
	HK_REL_RESET_SENT,		/* answers to DATA for no association of ours */
	HK_REL_RESET_RECEIVED,		/* associations that the peer had lost */
	HK_REL_RESET_UNKNOWN,		/* RESETs for nothing of ours, or from elsewhere */
	HK_REL_ICMP_ERRORS,
	HK_REL_TX_PARTIAL,		/* datagrams sent with a checksum over a part of them */
	HK_REL_PATHS_ASKED,		/* idle associations, whether the path is still there */
	HK_NR_REL_STATS,
};

/**
 * struct hk_blocked - carriers that did not get through to a host
 * @raddr:    the host
 * @instance: of its daemon: another one may be elsewhere behind the same address
 * @protos:   HK_PROTO_*
 * @until_ns: not tried before
 */
struct hk_blocked {
	__be32	raddr[4];
	__u8	instance[8];
	__u8	protos;
	__u64	until_ns;
};

#define HK_MAX_BLOCKED	64
#define HK_MAX_REFUSED	64

/**
 * struct hk_relay - the daemon
 * @config:	 borrowed, outlives it
 * @taken_config: what @config then is, if another daemon was taken over
 * @taken_cgroup: its path in there
 * @taken:	 it was: all that it had is ours
 * @dp:		 owned, as everything below
 * @live:	 shared with the BPF programs
 * @dp_config:	 what @dp was made with
 * @ports:	 open carriers, in order of preference
 * @nr_ports:	 of them; places of carriers that are not open count, too
 * @lacks_udplite: UDP-Lite is wanted, and has no sockets here or isn't to have them
 * @lo:		 for segments to this host's applications, marked
 * @wire:	 for segments in their name, unmarked
 * @route:	 rule and route for the mark
 * @routed:	 they are in place
 * @control:	 control socket
 * @controlled:	 it is open
 * @policy:	 rules that hold
 * @first_rules: those that it started with, as the data plane got them
 * @addr_events: rtnetlink, changes of addresses and devices
 * @refused_devs: devices that could not be attached to, and were told of
 * @nr_refused:	 of them, ever
 * @timers:	 of flows and peers
 * @epoll_fd:	 what the loop waits on
 * @signal_fd:	 SIGTERM, SIGINT
 * @rx_bufs:	 a batch to receive
 * @instance:	 random for each start
 * @now_ns:	 CLOCK_MONOTONIC, read once in a loop pass
 * @started_ns:	 when the daemon started
 * @drain_until_ns: end of draining; 0: not draining
 * @handover_fd: to a daemon that will go on with our connections, -1: none
 * @handover_due: it has said something
 * @handover_until_ns: it must have by then
 * @handed_over: it does: nothing is ours any more
 * @limit_ns:	 when to look at the limit of descriptors again
 * @max_fds:	 that limit
 * @short_until_ns: something ran short just now
 * @nr_fds:	 descriptors besides those of flows
 * @flows:	 HK_MAX_FLOWS slots
 * @free_slots:	 stack of unused ones
 * @nr_free:	 of them
 * @nr_flows:	 slots in use
 * @most_flows:	 most of them since none of their memory was in use
 * @nr_peers:	 peers in all
 * @nr_unproven: of them, those that have said HELLO only
 * @by_key:	 hash table of flows, by application socket
 * @ended:	 flows to free after this pass
 * @by_id:	 hash table of peers, by local id
 * @peers:	 all of them
 * @ready:	 flows to pump
 * @dirty:	 peers to look after before the loop waits
 * @blocked:	 carriers that did not get through lately
 * @stats:	 by enum hk_relay_stat
 * @reset_budget: for answers to DATA for no association
 * @hash_seed:	 of @by_key
 * @memory_bytes: allocated by associations
 * @memory_max:	 most that may be
 * @memory_peak: most in use since some was last given back to the kernel
 * @trimmed_ns: when that was
 * @window_bytes: what all peers together may still send us, by their windows
 * @pumped_bytes: moved by all flows, ever
 *
 * One thread.
 */
struct hk_relay {
	const struct hk_relay_config	*config;
	struct hk_relay_config		taken_config;
	char				*taken_cgroup;
	struct hk_dataplane		*dp;
	struct hk_live			*live;
	struct hk_dataplane_config	dp_config;
	struct hk_port			ports[HK_MAX_PORTS];
	unsigned int			nr_ports;
	bool				lacks_udplite;
	struct hk_injector		lo, wire;
	struct hk_route			route;
	bool				routed;
	struct hk_control		control;
	bool				controlled;
	struct hk_policy		*policy;
	struct hk_policy_rule		*first_rules;
	struct mnl_socket		*addr_events;
	int				refused_devs[HK_MAX_REFUSED];
	unsigned int			nr_refused;
	struct hk_timers		timers;
	int				epoll_fd, signal_fd;
	__u8				*rx_bufs;
	__u8				instance[8];
	__u64				now_ns, started_ns;
	__u64				drain_until_ns;
	int				handover_fd;
	bool				handover_due, handed_over, taken;
	__u64				handover_until_ns;
	__u64				limit_ns, short_until_ns, max_fds;
	int				nr_fds;
	struct hk_flow			*flows;
	__u32				*free_slots;
	__u32				nr_free, nr_flows, most_flows, nr_peers, nr_unproven;
	struct hk_flow_list		*by_key, ended;
	struct hk_peer_list		*by_id, peers;
	struct hk_flow_queue		ready;
	struct hk_peer_queue		dirty;
	struct hk_blocked		blocked[HK_MAX_BLOCKED];
	__u64				stats[HK_NR_REL_STATS];
	struct hk_budget		reset_budget;
	__u64				hash_seed;
	__u64				memory_bytes, memory_max, memory_peak, trimmed_ns;
	__u64				window_bytes, pumped_bytes;
};

/* What an epoll event belongs to: kind, generation and slot, never a pointer */
enum hk_source {
	HK_SRC_SIGNAL,
	HK_SRC_EVENTS,
	HK_SRC_CONTROL,
	HK_SRC_PORT,
	HK_SRC_FLOW,
	HK_SRC_ADDRS,
	HK_SRC_XSK,
	HK_SRC_HANDOVER,
};

static inline __u64 hk_source_pack(enum hk_source kind, __u32 gen, __u32 slot)
{
	return (__u64)kind << 56 | (__u64)(gen & 0xffffff) << 32 | slot;
}

/* poll.c: below all others */
int	hk_relay_poll(struct hk_relay *r, int op, int fd, __u32 events, __u64 data);
__u64	hk_now_ns(void);

/* loop.c: above all but relay.c */
void	hk_loop_run(struct hk_relay *r);

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
void	hk_flows_pump(struct hk_relay *r);
void	hk_flows_reap(struct hk_relay *r);
void	hk_flows_find_free(struct hk_relay *r);

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

/* memory.c: what all associations together may take */
void	*hk_memory_alloc(void *priv, size_t size);
void	hk_memory_free(void *priv, void *ptr);
bool	hk_memory_charge(void *priv, __s64 bytes, bool always);
void	hk_memory_trim(struct hk_relay *r);
bool	hk_memory_is_low(const struct hk_relay *r);

/* peer.c: associations and the datagrams in and out */
struct hk_peer *hk_peer_get(struct hk_relay *r, const struct hk_path *path,
			    const struct hk_option *synack, const struct hk_kind *kind,
			    __u8 blocked, __u64 rtt_ns);
struct hk_peer *hk_peer_by_id(struct hk_relay *r, __u64 id);
struct hk_peer *hk_peer_create(struct hk_relay *r, const struct hk_path *path,
			       const __u8 instance[8], const struct hk_kind *kind);
struct hk_peer *hk_peer_restore(struct hk_relay *r, __u64 local_id);
struct htp_assoc *hk_peer_thaw_assoc(struct hk_peer *peer, struct htp_freezer *f);
int	hk_peer_up(struct hk_peer *peer, const struct htp_hello *hello, __u32 max_datagram);
unsigned int hk_peers_from(struct hk_relay *r, const __be32 raddr[4]);
struct hk_peer *hk_peer_oldest_unproven(struct hk_relay *r);
void	hk_peer_fail(struct hk_peer *peer, enum htp_code code);
void	hk_peer_touch(struct hk_peer *peer);
bool	hk_peer_is_at(const struct hk_peer *peer, const struct hk_path *path);
void	hk_peer_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram);
void	hk_peer_unreachable(struct hk_relay *r, struct hk_port *port,
			    const struct hk_carrier_error *error);
void	hk_peers_events(struct hk_relay *r);
void	hk_peers_flush(struct hk_relay *r);
void	hk_peers_reap(struct hk_relay *r);

/* proof.c: whether the path of an association is still there */
bool	hk_proof_is_lost(const struct hk_peer *peer, __u64 rtt_ns);
bool	hk_proof_is_fresh(struct hk_peer *peer);
void	hk_proof_connecting(struct hk_relay *r, const struct hk_flow_key *key,
			    const struct hk_action *action);
void	hk_proof_await(struct hk_flow *f, __u64 rtt_ns);
void	hk_proof_resume(struct hk_flow *f);
void	hk_proof_check(struct hk_peer *peer);

/* way.c: where peers are, and where this host is */
void	hk_ways_begin(struct hk_peer *peer);
__u32	hk_way_number(struct hk_peer *peer, struct hk_port *port, const struct hk_path *path);
bool	hk_way_is_same_host(const struct hk_peer *peer, struct hk_port *port,
			    const struct hk_path *path);
void	hk_ways_sync(struct hk_peer *peer);
void	hk_ways_leave(struct hk_peer *peer, const struct hk_port *gone, struct hk_port *to);
void	hk_ways_settle(struct hk_peer *peer);
void	hk_ways_on_locals(struct hk_relay *r, const struct hk_local_key *alive, unsigned int nr);

/* hello.c: proving the path before anything is taken over */
void	hk_hello_start(struct hk_peer *peer);
int	hk_hello_send(const struct hk_peer *peer, struct hk_port *port, __u64 nonce, __u32 size);
void	hk_hello_timer(struct hk_peer *peer);
void	hk_hello_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram);
void	hk_hello_ack_rx(struct hk_peer *peer, struct hk_port *port,
			const struct hk_datagram *dgram);
void	hk_hello_refused(struct hk_peer *peer, struct hk_port *port,
			 const struct htp_hello *hello);
void	hk_hello_too_big(struct hk_peer *peer, const struct htp_hello *hello,
			 const struct hk_carrier_error *error);
void	hk_hello_leave(struct hk_peer *peer, struct hk_port *port);
void	hk_blocked_remember(struct hk_peer *peer, __u8 protos, __u64 ns);
__u8	hk_blocked_protos(struct hk_relay *r, const __be32 raddr[4], const __u8 instance[8]);

/* pathmtu.c: what host and network say about the size of datagrams */
__u32	hk_pathmtu_hello(const struct hk_path *path);
__u32	hk_pathmtu_limit(struct hk_peer *peer);
void	hk_pathmtu_refresh(struct hk_peer *peer);
void	hk_pathmtu_refused(struct hk_relay *r, const struct hk_datagram *dgram);
void	hk_pathmtu_too_big(struct hk_peer *peer, const struct hk_carrier_error *error, __u32 pn);
bool	hk_pathmtu_hello_too_big(struct hk_peer *peer, const struct hk_carrier_error *error);

/* fallback.c: another carrier for an association that is up */
void	hk_fallback_init(struct hk_peer *peer);
void	hk_fallback_start(struct hk_peer *peer);
void	hk_fallback_resume(struct hk_peer *peer);
void	hk_fallback_exit(struct hk_peer *peer);
void	hk_fallback_switched(struct hk_peer *peer);
void	hk_fallback_moved(struct hk_peer *peer);
void	hk_fallback_check(struct hk_peer *peer);
void	hk_fallback_suspect(struct hk_peer *peer);
void	hk_fallback_ack_rx(struct hk_peer *peer, struct hk_port *port,
			   const struct hk_datagram *dgram);
bool	hk_fallback_is_stuck(const struct hk_peer *peer, const struct hk_port *port);
void	hk_fallback_leave(struct hk_peer *peer, struct hk_port *port);
void	hk_fallback_added(struct hk_relay *r, const struct hk_port *port);

/* reset.c: associations that one side knows nothing of any more */
void	hk_reset_send(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram,
		      const struct htp_hdr *hdr);
void	hk_reset_rx(struct hk_relay *r, const struct hk_datagram *dgram,
		    const struct htp_hdr *hdr);

/* port.c: sending and receiving on the carriers */
int	hk_ports_open(struct hk_relay *r);
int	hk_ports_deploy(struct hk_relay *r);
int	hk_port_deploy(struct hk_relay *r, struct hk_mech *mech);
void	hk_port_retire(struct hk_relay *r, struct hk_port *port);
int	hk_port_adopt(struct hk_relay *r, const char *name, bool deployed,
		      const int socks[HK_CARRIER_SOCKETS]);
void	hk_ports_close(struct hk_relay *r);
struct hk_datagram *hk_port_slot(struct hk_relay *r, struct hk_port *port);
int	hk_port_flush(struct hk_relay *r, struct hk_port *port);
void	hk_port_on_poll(struct hk_relay *r, unsigned int index, __u32 events);

/* xsk.c: carriers that send through AF_XDP */
int	hk_port_wrap(struct hk_relay *r, struct hk_port *port);
void	hk_port_on_xsk(struct hk_relay *r, unsigned int index);
void	hk_answer_xsk(struct hk_relay *r, struct hk_report *rep);

/* host.c: what the machine is like */
int	hk_host_netns_cookie(__u64 *cookie);

/* devices.c: devices that run the XDP program */
int	hk_devices_open(struct hk_relay *r);
void	hk_devices_sync(struct hk_relay *r);

/* freeze.c: all of the above as bytes */
void	hk_freeze_prepare(struct hk_relay *r);
int	hk_freeze(struct hk_relay *r, struct htp_freezer *f, int *fds);
int	hk_thaw(struct hk_relay *r, struct htp_freezer *f, const int *fds, __u32 nr_fds);
void	hk_thaw_finish(struct hk_relay *r);

/* handover_give.c, handover_take.c: from one daemon to the next */
void	hk_handover_begin(struct hk_relay *r);
void	hk_handover_on_poll(struct hk_relay *r);
int	hk_handover_take(struct hk_relay *r);

/* room.c: whether there can be more flows */
void	hk_room_init(struct hk_relay *r);
void	hk_room_check(struct hk_relay *r);
void	hk_room_failed(struct hk_relay *r, int err);

/* locals.c: this host's addresses */
int	hk_locals_open(struct hk_relay *r);
void	hk_locals_close(struct hk_relay *r);
void	hk_locals_on_poll(struct hk_relay *r);

/* rules.c: the policy */
int	hk_rules_open(struct hk_relay *r);
void	hk_rules_adopt(struct hk_relay *r, __u32 last_gen);
void	hk_rules_close(struct hk_relay *r);
int	hk_rules_command(void *priv, const char *what, const char *body, size_t len, char *why,
			 size_t size);
int	hk_rules_answer(const struct hk_relay *r, struct hk_report *rep);
const struct htp_cc_ops *hk_class_cc(const struct hk_relay *r, __u8 class);

/* proto.c: mechanisms of a running daemon */
int	hk_command(void *priv, const char *what, const char *body, size_t len, char *why,
		   size_t size);
void	hk_proto_counters(const struct hk_mech *mech, struct hk_report *rep);
int	hk_proto_answer(struct hk_relay *r, struct hk_report *rep);

/* answer.c: `show` */
int	hk_answer(void *priv, const char *what, struct hk_report *report);

#endif /* HK_RELAY_PRIVATE_H */
