/* SPDX-License-Identifier: GPL-2.0 */
/* Peers: an association with one other daemon, over one carrier at a time */
#ifndef HK_RELAY_PEER_H
#define HK_RELAY_PEER_H

#include <linux/types.h>
#include <stdbool.h>
#include <sys/queue.h>
#include "../bpf/hooker_abi.h"
#include "../carrier/carrier.h"
#include "../htp/htp.h"
#include "fallback.h"
#include "hello.h"
#include "lists.h"
#include "timer.h"
#include "way.h"

/* Flow control: where it begins, and how far it may grow */
#define HK_STREAM_WINDOW	(256 << 10)
#define HK_STREAM_WINDOW_MAX	(16 << 20)
#define HK_STREAM_BUFFER	(1 << 20)
#define HK_STREAM_BUFFER_MAX	(16 << 20)
#define HK_ASSOC_WINDOW		(1 << 20)
#define HK_ASSOC_WINDOW_MAX	(64 << 20)

struct hk_flow;
struct hk_port;
struct hk_relay;
struct htp_freezer;

enum hk_peer_state {
	HK_PEER_HELLO,		/* we sent HELLO, flows wait */
	HK_PEER_UP,
	HK_PEER_FAILED,		/* to be freed at the end of the loop pass */
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

/* reset.c: associations that one side knows nothing of any more */
void	hk_reset_send(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram,
		      const struct htp_hdr *hdr);
void	hk_reset_rx(struct hk_relay *r, const struct hk_datagram *dgram,
		    const struct htp_hdr *hdr);

#endif /* HK_RELAY_PEER_H */
