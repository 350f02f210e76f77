/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What the BPF programs and the daemon share: map keys and values, ring-buffer
 * records, counters and the TCP option. The includer brings the types
 * (vmlinux.h in BPF, <linux/types.h> in user space). Only fixed-width members,
 * no implicit padding, sizes asserted.
 */
#ifndef HOOKER_ABI_H
#define HOOKER_ABI_H

/**
 * struct hk_flow_key - a connection seen from one of its sockets, all network byte order
 * @laddr: local address, IPv6 or IPv4-mapped
 * @raddr: remote address
 * @lport: local port
 * @rport: remote port
 */
struct hk_flow_key {
	__be32	laddr[4], raddr[4];
	__be16	lport, rport;
};
_Static_assert(sizeof(struct hk_flow_key) == 36, "hk_flow_key is ABI");

/* The carriers of an offer, a bit each; 2 to 7 are for mechanisms (mechanism.h) */
#define HK_PROTO_UDPLITE	(1 << 0)
#define HK_PROTO_UDP		(1 << 1)

/*
 * The offer, a TCP experimental option (RFC 6994). 20 bytes fill a SYN that also
 * carries MSS, SACK permitted, timestamps and window scale (40 in all).
 */
#define HK_OPT_KIND		254
#define HK_OPT_EXID		0x484b
#define HK_OPT_LEN		20
#define HK_OPT_VERSION		1

/* hk_option.ver_flags, low nibble */
#define HK_OPT_F_TAKEN		0x01	/* third ACK: the client's relay took the connection over */
#define HK_OPT_CLASS_SHIFT	1	/* SYN-ACK: struct hk_action.class, three bits */

/**
 * struct hk_option - the option as it stands in the segment
 * @kind:     HK_OPT_KIND
 * @len:      HK_OPT_LEN
 * @exid:     HK_OPT_EXID
 * @ver_flags: version in the high nibble, HK_OPT_F_* in the low one
 * @protos:   HK_PROTO_* offered (SYN), or usable by both (SYN-ACK)
 * @port:     carrier port of the sender's daemon
 * @instance: random per start of the daemon
 * @token:    names this connection to the sender's daemon
 */
struct hk_option {
	__u8	kind, len;
	__be16	exid;
	__u8	ver_flags, protos;
	__be16	port;
	__u8	instance[8];
	__u8	token[4];
};
_Static_assert(sizeof(struct hk_option) == HK_OPT_LEN, "hk_option is wire format");

/**
 * struct hk_bpf_config - settings of the BPF programs, fixed when they are loaded
 * @netns_cookie:   connections of other network namespaces are not ours
 * @secret:	    key of the tokens
 * @stale_ns:	    a heartbeat older than this: the daemon hangs, no offers, no gate
 * @hold_max_ns:    a SYN-ACK is held for so long at most, counted from its first copy
 * @app_mark:	    SO_MARK of hooked applications' sockets
 * @relay_mark:	    SO_MARK of the daemon's own sockets and injected segments
 * @instance:	    instance id as it goes into the option
 * @port:	    carrier port, network byte order
 * @protos:	    HK_PROTO_* that have sockets of their own in this kernel
 * @all_outgoing:   offer on every connection; else only where hk_to matches
 * @all_incoming:   take offers on every listener; else only on ports in hk_from
 * @pad:	    zero
 */
struct hk_bpf_config {
	__u64	netns_cookie;
	__u64	secret;
	__u64	stale_ns;
	__u64	hold_max_ns;
	__u32	app_mark;
	__u32	relay_mark;
	__u8	instance[8];
	__be16	port;
	__u8	protos;
	__u8	all_outgoing;
	__u8	all_incoming;
	__u8	pad[3];
};
_Static_assert(sizeof(struct hk_bpf_config) == 56, "hk_bpf_config is ABI");

/**
 * struct hk_live - what the daemon tells all programs while it runs; one mmapable slot
 * @heartbeat_ns: CLOCK_MONOTONIC, at least every 100 ms
 * @draining:	  not 0: no new offers, no new connections taken over; also while the
 *		  daemon has no room for more
 * @protos:	  HK_PROTO_* that are open now
 * @policy:	  generation of the rules that hold; 0: there are none
 * @nr_peers:	  associations; while there are none, nobody asks who connects where
 */
struct hk_live {
	__u64	heartbeat_ns;
	__u32	draining;
	__u32	protos;
	__u32	policy;
	__u32	nr_peers;
};
_Static_assert(sizeof(struct hk_live) == 24, "hk_live is ABI");

/*
 * Rules: which connections are hooked, and how. Their order is that of the bits of a
 * struct hk_rule_set, whose size they have in common. See bpf/policy.h.
 */
#define HK_MAX_POLICY		256

/* Prefixes of one generation: two per rule, 30 that a range of ports needs at most, roots */
#define HK_POLICY_MAX_ENTRIES	(HK_MAX_POLICY * 32 + 3)

/* struct hk_action.flags */
#define HK_ACTION_NONE		0x01	/* no offer, no answer to one */
#define HK_ACTION_NATIVE_FIRST	0x02	/* unknown peer: plain TCP, and HELLO beside it */
#define HK_ACTION_COVER_HEADER	0x04	/* the application takes damaged bytes */

/* struct hk_action.class: fits into three bits of the option */
#define HK_CLASS_MASK		0x07

/**
 * struct hk_action - what a rule says of the connections that meet it
 * @pref:   the rule's number; 0: none matched, the daemon's options decided
 * @flags:  HK_ACTION_*
 * @protos: HK_PROTO_* allowed
 * @class:  kind of association that this side's sending needs (congestion control); 0 is
 *	    the daemon's default
 * @pad:    zero
 */
struct hk_action {
	__u32	pref;
	__u8	flags;
	__u8	protos;
	__u8	class;
	__u8	pad;
};
_Static_assert(sizeof(struct hk_action) == 8, "hk_action is ABI");

/* A set of rules */
struct hk_rule_set {
	__u64	bits[HK_MAX_POLICY / 64];
};

/* What an entry of hk_policy_lpm is about */
enum hk_policy_kind {
	HK_POLICY_FROM	= 0,	/* @data: address of the side that called connect() */
	HK_POLICY_TO	= 1,	/* @data: address of the other side */
	HK_POLICY_PORT	= 2,	/* @data: port of the other side, two bytes */
	HK_NR_POLICY_KINDS,
};

/**
 * struct hk_policy_key - key of hk_policy_lpm, a longest-prefix-match trie
 * @prefixlen: 64 (generation, kind) + bits of @data
 * @gen:       generation
 * @kind:      enum hk_policy_kind
 * @data:      network order; addresses are IPv6 or IPv4-mapped; else zero
 */
struct hk_policy_key {
	__u32	prefixlen;
	__u32	gen;
	__u32	kind;
	__u8	data[16];
};
_Static_assert(sizeof(struct hk_policy_key) == 28, "hk_policy_key is ABI");

/**
 * struct hk_policy_cgroup_key - key of hk_policy_cgroups
 * @id:  of a cgroup that rules name
 * @gen: generation
 * @pad: zero
 */
struct hk_policy_cgroup_key {
	__u64	id;
	__u32	gen;
	__u32	pad;
};
_Static_assert(sizeof(struct hk_policy_cgroup_key) == 16, "hk_policy_cgroup_key is ABI");

/**
 * struct hk_policy_sets - what needs no lookup
 * @in:		 rules for connections to listeners here
 * @out:	 rules for connections from here
 * @any_cgroup:	 rules without a condition on the cgroup
 * @has_cgroups: some have one
 */
struct hk_policy_sets {
	struct hk_rule_set	in, out, any_cgroup;
	__u64			has_cgroups;
};
_Static_assert(sizeof(struct hk_policy_sets) == 104, "hk_policy_sets is ABI");

/* struct hk_verdict.state: the daemon's word on a connection */
enum hk_verdict_state {
	HK_VERDICT_NONE		= 0,
	HK_VERDICT_TAKEN	= 1,	/* steer it: the redirection socket exists */
	HK_VERDICT_NATIVE	= 2,	/* stays plain TCP */
};

/**
 * struct hk_verdict - value of hk_verdicts, keyed by the application socket's hk_flow_key
 * @state: enum hk_verdict_state. The ESTABLISHED callback reads it once; that decides
 * @slot:  index into hk_lanes, owned by the connection while it is TAKEN
 */
struct hk_verdict {
	__u32	state;
	__u32	slot;
};

/* struct hk_sk.role */
enum hk_role {
	HK_ROLE_NONE,
	HK_ROLE_ACTIVE,			/* has called connect(), with an offer */
	HK_ROLE_LISTENER,
	HK_ROLE_STEERED,		/* established, and taken over by the daemon */
};

/**
 * struct hk_sk - what a socket carries, kept in its local storage
 * @key:	STEERED: the connection, also where its redirection socket is in hk_redirs
 * @role:	enum hk_role
 * @token:	connect(): our token in the SYN
 * @slot:	STEERED: index into hk_lanes
 * @taken:	1 once the socket is steered and in the SOCKHASH
 * @action:	connect(): what the rules say
 * @cb_flags:	callbacks (BPF_SOCK_OPS_*_CB_FLAG) that nobody had asked for before
 * @offered_ns:	connect(): when
 * @held_ns:	connect(): when the gate held the first SYN-ACK; 0: it has not
 * @copied_ns:	connect(): when the daemon last got a copy of one
 */
struct hk_sk {
	struct hk_flow_key	key;
	__u32			role;
	__u32			token;
	__u32			slot;
	__u32			taken;
	struct hk_action	action;
	__u32			cb_flags;
	__u64			offered_ns;
	__u64			held_ns;
	__u64			copied_ns;
};
_Static_assert(sizeof(struct hk_sk) == 88, "hk_sk is ABI");

/**
 * struct hk_lane - one slot of hk_lanes: both sides' counters of a connection's two lanes
 * @fast_sent:	   BPF: bytes redirected into the redirection socket
 * @native_sent:   BPF: bytes that were let pass (offered, may be sent in parts)
 * @fast:	   BPF: lane of the last message, 1 fast
 * @switches:	   BPF: changes of lane
 * @fast_consumed: daemon: bytes of the fast lane that it has read
 * @native_seq:	   daemon: sequence number up to which it has read the native lane
 * @limit:	   daemon: bytes that may be outstanding in the fast lane; 0 turns it off
 * @pad0:	   keeps the two writers in different cache lines
 * @pad1:	   likewise
 */
struct hk_lane {
	__u64	fast_sent;
	__u64	native_sent;
	__u32	fast;
	__u32	switches;
	__u64	pad0[5];
	__u64	fast_consumed;
	__u32	native_seq;
	__u32	limit;
	__u64	pad1[6];
};
_Static_assert(sizeof(struct hk_lane) == 128, "hk_lane is ABI");

#define HK_NO_WSCALE	0xff

/**
 * struct hk_offer - a SYN-ACK that carried our answer to an offer, value of hk_offers
 * @key:	 the application socket to be: local is the listener's side
 * @ns:		 when the SYN-ACK was written, CLOCK_MONOTONIC
 * @seq:	 SYN-ACK's sequence number, host order
 * @ack:	 its acknowledgment number, host order
 * @window:	 its window field, host order
 * @mss:	 its MSS option, host order, 0 without one
 * @syn_tsval:	 client's TSval in the SYN, host order
 * @synack_tsval: our TSval in the SYN-ACK, host order
 * @snd_wscale:	 window scale in the SYN-ACK; HK_NO_WSCALE without
 * @rcv_wscale:	 window scale in the SYN; likewise
 * @sack:	 SACK agreed on
 * @timestamps:	 timestamps agreed on
 * @peer:	 client's option
 * @action:	 what the rules say
 */
struct hk_offer {
	struct hk_flow_key	key;
	__u32			seq;
	__u64			ns;
	__u32			ack;
	__u16			window;
	__u16			mss;
	__u32			syn_tsval;
	__u32			synack_tsval;
	__u8			snd_wscale;
	__u8			rcv_wscale;
	__u8			sack;
	__u8			timestamps;
	struct hk_option	peer;
	struct hk_action	action;
};
_Static_assert(sizeof(struct hk_offer) == 96, "hk_offer is ABI");

/* Ring-buffer records start with their type */
enum hk_event_type {
	HK_EVENT_SYNACK		= 1,	/* struct hk_synack_event: the gate holds a SYN-ACK */
	HK_EVENT_ESTABLISHED	= 2,	/* struct hk_established_event */
	HK_EVENT_ABORTED	= 3,	/* struct hk_aborted_event */
	HK_EVENT_CONNECTING	= 4,	/* struct hk_connecting_event */
};

#define HK_SYNACK_MAX	128

/**
 * struct hk_synack_event - a SYN-ACK that the gate took off its way
 * @type:	 HK_EVENT_SYNACK
 * @len:	 bytes of @packet in use, from the IP header on
 * @key:	 the application's socket
 * @rcv_wscale:	 window scale that the application's SYN offered, if it did
 * @pad:	 zero
 * @action:	 what the rules say
 * @rtt_ns:	 from connect() to the first copy of the SYN-ACK
 * @packet:	 as captured: checksums may be unfilled
 */
struct hk_synack_event {
	__u32			type;
	__u32			len;
	struct hk_flow_key	key;
	__u8			rcv_wscale;
	__u8			pad[3];
	struct hk_action	action;
	__u64			rtt_ns;
	__u8			packet[HK_SYNACK_MAX];
};
_Static_assert(sizeof(struct hk_synack_event) == 192, "hk_synack_event is ABI");

/**
 * struct hk_established_event - a connection that had been offered is established
 * @type:  HK_EVENT_ESTABLISHED
 * @taken: 1: steered to the redirection socket; 0: plain TCP for good, or (incoming)
 *	   neither
 * @err:   what kept the callback from steering it, negative errno, or 0
 * @key:   the application's socket
 */
struct hk_established_event {
	__u32			type;
	__u32			taken;
	__s32			err;
	struct hk_flow_key	key;
};
_Static_assert(sizeof(struct hk_established_event) == 48, "hk_established_event is ABI");

/**
 * struct hk_aborted_event - an application's socket is gone without a FIN, or before its ACK
 * @type: HK_EVENT_ABORTED
 * @key:  the application's socket
 */
struct hk_aborted_event {
	__u32			type;
	struct hk_flow_key	key;
};
_Static_assert(sizeof(struct hk_aborted_event) == 40, "hk_aborted_event is ABI");

/**
 * struct hk_connecting_event - a SYN with an offer is about to leave
 * @type:   HK_EVENT_CONNECTING
 * @key:    the application's socket
 * @action: what the rules say of it
 */
struct hk_connecting_event {
	__u32			type;
	struct hk_flow_key	key;
	struct hk_action	action;
};
_Static_assert(sizeof(struct hk_connecting_event) == 48, "hk_connecting_event is ABI");

/**
 * struct hk_to_key - key of hk_to, a longest-prefix-match trie
 * @prefixlen: 16 (port) + prefix length of the address, in bits
 * @port:      network order; 0: the entry for any port
 * @addr:      IPv6 or IPv4-mapped
 * @pad:       zero, never matched
 */
struct hk_to_key {
	__u32	prefixlen;
	__be16	port;
	__u8	addr[16];
	__u8	pad[2];
};
_Static_assert(sizeof(struct hk_to_key) == 24, "hk_to_key is ABI");

/**
 * struct hk_budget - a token bucket
 * @last_ns: when it was looked at last
 * @credit:  nanoseconds saved up; each use costs 1 s / rate
 */
struct hk_budget {
	__u64	last_ns;
	__u64	credit;
};

#define HK_ASSOC_ADDRS	4	/* HTP_PATHS */

/* Datagrams of an association from addresses it doesn't know: in a second, and at once */
#define HK_STRANGER_RATE	20
#define HK_STRANGER_BURST	8

/**
 * struct hk_assoc_entry - value of hk_assocs, keyed by our association id (host order)
 * @raddr:     the peer's address, first, and others where it may be; the first one again
 *	       in entries not used. IPv6 or IPv4-mapped, network order
 * @strangers: for what comes from elsewhere. Several CPUs use it without a lock: what
 *	       that lets through in excess is one datagram for each CPU
 */
struct hk_assoc_entry {
	__be32			raddr[HK_ASSOC_ADDRS][4];
	struct hk_budget	strangers;
};
_Static_assert(sizeof(struct hk_assoc_entry) == 80, "hk_assoc_entry is ABI");

/**
 * struct hk_local_key - key of hk_locals: an address of this host
 * @addr: IPv6 or IPv4-mapped, network order
 */
struct hk_local_key {
	__be32	addr[4];
};
_Static_assert(sizeof(struct hk_local_key) == 16, "hk_local_key is ABI");

/* A client that has got an answer sends OPEN within this time, or not at all */
#define HK_OFFER_MAX_NS		(60ULL * 1000000000)

/* Offers that are answered in a second, and at once: so each stays in hk_offers for seconds */
#define HK_OFFERS		16384
#define HK_OFFER_RATE		2000
#define HK_OFFER_BURST		(HK_OFFERS / 2)

/* Echo probes that each CPU answers: so many a second, and so many at once */
#define HK_PROBE_RATE	1000
#define HK_PROBE_BURST	100

/* Likewise DATA for unknown associations: let through by each CPU, answered by the daemon */
#define HK_UNKNOWN_RATE		200
#define HK_UNKNOWN_BURST	50

/* Counters of the connection programs: index into hk_stats, names in dataplane/maps.c */
enum hk_stat {
	HK_STAT_OFFERS_SENT,		/* SYNs that carried an offer */
	HK_STAT_OFFERS_NO_ROOM,		/* no room for the option */
	HK_STAT_OFFERS_ANSWERED,	/* SYN-ACKs that carried our answer */
	HK_STAT_OFFERS_RULED_OUT,	/* not offered or answered: a rule says none */
	HK_STAT_OFFERS_OVER_RATE,	/* not answered: more than can be remembered */
	HK_STAT_OFFERS_SWALLOWED,	/* connections that came about without the offer only */
	HK_STAT_OFFERS_STALE,		/* not offered or answered: the daemon hangs or drains */
	HK_STAT_SYNACK_HELD,		/* copied to the daemon and dropped */
	HK_STAT_SYNACK_STALE,		/* let pass: the daemon hangs */
	HK_STAT_SYNACK_TIMEOUT,		/* let pass: held for too long */
	HK_STAT_SYNACK_RING_FULL,	/* let pass: no room in the ring buffer */
	HK_STAT_ACK_TAKEN,		/* third ACKs of taken connections, dropped */
	HK_STAT_STRAY,			/* segments from the wire for steered sockets, dropped */
	HK_STAT_TAKEN_ACTIVE,		/* outgoing connections steered */
	HK_STAT_TAKEN_PASSIVE,		/* incoming ones */
	HK_STAT_TAKE_FAILED,		/* a helper failed: see the established event */
	HK_STAT_NATIVE,			/* offered connections that became plain TCP */
	HK_STAT_FAST_CALLS,		/* SK_MSG: redirected */
	HK_STAT_FAST_BYTES,
	HK_STAT_NATIVE_CALLS,		/* SK_MSG: let pass */
	HK_STAT_NATIVE_BYTES,
	HK_STAT_REDIRECT_FAILED,	/* SK_MSG: redirection socket gone; let pass */
	HK_NR_STATS,
};

/*
 * Devices have counters of their own while there are slots, and below that index;
 * slot 0 is of all others
 */
#define HK_XDP_SLOTS	64
#define HK_XDP_IFINDEXES 4096

/* Beside the slot: frames come here through another device, whose program has seen them before */
#define HK_XDP_STACKED	0x80

/*
 * Counters of hooker_ingress, one per verdict and reason: index into hk_xdp_stats, plus
 * HK_NR_XDP_STATS times the device's slot
 */
enum hk_xdp_stat {
	HK_XDP_PASS_OTHER,		/* not to our port, or not to this host */
	HK_XDP_PASS_DATA,
	HK_XDP_PASS_STRANGER,		/* association known, but from a new address */
	HK_XDP_PASS_HELLO,
	HK_XDP_PASS_PROBE_REPLY,
	HK_XDP_PASS_UNKNOWN,		/* unknown association, for the daemon to answer */
	HK_XDP_PASS_RESET,		/* names an id that we write */
	HK_XDP_TX_PROBE,		/* echo probe answered here */
	HK_XDP_DROP_SHORT,		/* too short for its headers */
	HK_XDP_DROP_LENGTH,		/* lengths of IP and UDP disagree */
	HK_XDP_DROP_COVERAGE,		/* UDP-Lite: invalid, or not as far as HTP's frames go */
	HK_XDP_DROP_CHECKSUM,		/* UDP-Lite checksum 0 is not allowed (RFC 3828, 3.1) */
	HK_XDP_DROP_FRAGMENT,		/* we never send fragments */
	HK_XDP_DROP_VERSION,		/* HTP version or type unknown */
	HK_XDP_DROP_ASSOC,		/* unknown association, beyond the rate */
	HK_XDP_DROP_SOURCE,		/* a new address, beyond the rate */
	HK_XDP_DROP_RESET,		/* RESET for an id that we do not write */
	HK_XDP_DROP_TOKEN,		/* HELLO does not name our instance */
	HK_XDP_DROP_PROBE,		/* echo probe beyond the rate, or to a group address */
	HK_XDP_DROP_BEHIND,		/* UDP to a socket that is behind a mechanism */
	HK_NR_XDP_STATS,
};

#endif /* HOOKER_ABI_H */
