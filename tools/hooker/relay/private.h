/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's inside: the relay, its peers and its flows. One thread.
 *
 *	relay 1--n peer    an association with one other daemon, over one carrier
 *	peer  1--n flow    a hooked connection: redirection socket <-> stream
 *	relay 1--n port    an open carrier
 *
 * Here stands the relay; peer.h, flow.h and port.h have the others, and none of them
 * includes this one: they know it by name.
 */
#ifndef HK_RELAY_PRIVATE_H
#define HK_RELAY_PRIVATE_H

#include <linux/types.h>
#include <stdbool.h>
#include "../bpf/hooker_abi.h"
#include "../dataplane/dataplane.h"
#include "../tcp/conntrack.h"
#include "../tcp/inject.h"
#include "control.h"
#include "hello.h"
#include "lists.h"
#include "port.h"
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
#define HK_BUCKETS		4096	/* of each hash table */
#define HK_MAX_REFUSED		64	/* devices that could not be attached to, remembered */

/* Counters of the daemon, reported beside those of the BPF programs */
enum hk_relay_stat {
	HK_REL_FLOWS_ACTIVE,		/* outgoing connections that reached OPEN */
	HK_REL_FLOWS_PASSIVE,
	HK_REL_FLOWS_DONE,		/* ended in order */
	HK_REL_FLOWS_RESET,
	HK_REL_FLOWS_LEFT_NATIVE,	/* held, then given back to plain TCP */
	HK_REL_FLOWS_FORGE_FAILED,
	HK_REL_FLOWS_LATE,		/* taken over, but the application was gone or never came */
	HK_REL_FLOWS_UNHEARD,		/* open, but nothing comes from the application */
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
 * @conntrack:	 tells what this host translates
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
 * @unheard_until_ns: connections can't be taken over on this host
 * @nr_unheard:	 connections in a row whose application was not heard
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
	struct hk_conntrack		conntrack;
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
	__u64				limit_ns, short_until_ns, unheard_until_ns, max_fds;
	int				nr_unheard, nr_fds;
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

/* memory.c: what all associations together may take */
void	*hk_memory_alloc(void *priv, size_t size);
void	hk_memory_free(void *priv, void *ptr);
bool	hk_memory_charge(void *priv, __s64 bytes, bool always);
void	hk_memory_trim(struct hk_relay *r);
bool	hk_memory_is_low(const struct hk_relay *r);

/* room.c: whether there can be more flows */
void	hk_room_init(struct hk_relay *r);
void	hk_room_check(struct hk_relay *r);
void	hk_room_failed(struct hk_relay *r, int err);

#endif /* HK_RELAY_PRIVATE_H */
