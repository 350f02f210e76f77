// SPDX-License-Identifier: GPL-2.0
/*
 * Peers: associations with other daemons, and the datagrams in and out.
 *
 * A datagram counts only if the association id in it is one of ours (64 random
 * bits) and it comes from that peer's address; all else is counted and dropped, DATA
 * for no association of ours with an answer (reset.c). Where the peer is, is decided by
 * the association (htp/path.c).
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../htp/freeze.h"
#include "fallback.h"
#include "flow.h"
#include "hello.h"
#include "pathmtu.h"
#include "peer.h"
#include "port.h"
#include "private.h"
#include "rules.h"
#include "way.h"

#define IDLE_NS		(600 * NSEC_PER_SEC)
#define KEEPALIVE_NS	(5 * NSEC_PER_SEC)
#define UNPROVEN_NS	(10 * NSEC_PER_SEC)
#define BLOCKED_RETRY_NS	(100 * NSEC_PER_MSEC)
#define HOMELESS_RETRY_NS	(200 * NSEC_PER_MSEC)
#define COVERAGE_STEP		32

/* ids are random already */
static struct hk_peer_list *bucket(struct hk_relay *r, __u64 id)
{
	return &r->by_id[id % HK_BUCKETS];
}

/**
 * hk_peer_by_id - the peer that writes this id into its datagrams
 * @r:	relay
 * @id:	destination id
 *
 * Return: peer or NULL.
 */
struct hk_peer *hk_peer_by_id(struct hk_relay *r, __u64 id)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, bucket(r, id), by_id)
		if (peer->local_id == id)
			return peer;
	return NULL;
}

static bool same_hosts(const struct hk_path *a, const struct hk_path *b)
{
	return !memcmp(a->local, b->local, sizeof(a->local)) &&
	       !memcmp(a->remote, b->remote, sizeof(a->remote));
}

/**
 * hk_peer_is_at - does a datagram come from where this peer is?
 * @peer: peer
 * @path: the datagram's
 *
 * Return: true if it came to the association's own address, too.
 */
bool hk_peer_is_at(const struct hk_peer *peer, const struct hk_path *path)
{
	return same_hosts(&peer->path, path);
}

static void unproven_timeout(struct hk_peer *peer, __u64 now_ns)
{
	if (!peer->initiator && !peer->proven && now_ns >= peer->created_ns + UNPROVEN_NS)
		hk_peer_fail(peer, HTP_CODE_TIMEOUT);
}

static void peer_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_peer *peer = (void *)((char *)timer - offsetof(struct hk_peer, timer));

	if (peer->state == HK_PEER_HELLO) {
		hk_hello_timer(peer);
		return;
	}
	if (peer->state != HK_PEER_UP)
		return;
	hk_peer_touch(peer);
	hk_pathmtu_refresh(peer);
	htp_assoc_expire(peer->assoc, now_ns);
	hk_ways_sync(peer);
	hk_ways_settle(peer);
	unproven_timeout(peer, now_ns);
}

static int random_id(struct hk_relay *r, __u64 *id)
{
	do {
		if (getrandom(id, sizeof(*id), 0) != sizeof(*id))
			return -EIO;
	} while (!*id || hk_peer_by_id(r, *id));
	return 0;
}

static void insert(struct hk_relay *r, struct hk_peer *peer)
{
	peer->relay = r;
	peer->timer.fire = peer_timer;
	hk_fallback_init(peer);
	LIST_INSERT_HEAD(&r->peers, peer, all);
	LIST_INSERT_HEAD(bucket(r, peer->local_id), peer, by_id);
	r->nr_peers++;
}

/**
 * hk_peer_create - a peer in HELLO, not started
 * @r:	      relay
 * @path:     where to
 * @instance: the other daemon's
 * @kind:     of association
 *
 * Return: owned by @r; NULL if there are HK_MAX_PEERS already, or no memory.
 */
struct hk_peer *hk_peer_create(struct hk_relay *r, const struct hk_path *path,
			       const __u8 instance[8], const struct hk_kind *kind)
{
	struct hk_peer *peer;

	if (r->nr_peers >= HK_MAX_PEERS) {
		r->stats[HK_REL_TABLE_FULL]++;
		return NULL;
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	if (random_id(r, &peer->local_id) ||
	    hk_dataplane_set_assoc(r->dp, peer->local_id, &path->remote, 1)) {
		free(peer);
		return NULL;
	}
	peer->path = *path;
	peer->kind = *kind;
	memcpy(peer->instance, instance, sizeof(peer->instance));
	peer->created_ns = r->now_ns;
	insert(r, peer);
	return peer;
}

/**
 * hk_peer_restore - a peer that another daemon had; the XDP program knows it already
 * @r:	      relay
 * @local_id: unused here
 *
 * Return: owned by @r, to be filled; NULL: no memory.
 */
struct hk_peer *hk_peer_restore(struct hk_relay *r, __u64 local_id)
{
	struct hk_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->local_id = local_id;
	insert(r, peer);
	return peer;
}

static bool is_usable(const struct hk_peer *peer)
{
	return peer->state == HK_PEER_HELLO ||
	       (peer->state == HK_PEER_UP && !htp_assoc_is_closed(peer->assoc));
}

/* Who said HELLO chose the carriers; all that it may go to must be allowed */
static bool is_of_kind(const struct hk_peer *peer, const struct hk_kind *kind)
{
	if (peer->kind.own != kind->own || peer->kind.other != kind->other)
		return false;
	if (peer->initiator)
		return peer->kind.protos == kind->protos;
	return !(peer->kind.protos & ~kind->protos);
}

/**
 * hk_peer_get - the peer for a new connection; HELLO starts if there is none yet
 * @r:	      relay
 * @path:     from this host's address to the other daemon's
 * @synack:   the other daemon's option in its SYN-ACK
 * @kind:     of association
 * @blocked:  carriers not to try, HK_PROTO_*
 * @rtt_ns:   round trip that TCP's handshake took
 *
 * Return: in UP or HELLO; NULL: no room.
 */
struct hk_peer *hk_peer_get(struct hk_relay *r, const struct hk_path *path,
			    const struct hk_option *synack, const struct hk_kind *kind,
			    __u8 blocked, __u64 rtt_ns)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (is_usable(peer) && same_hosts(&peer->path, path) && is_of_kind(peer, kind) &&
		    !memcmp(peer->instance, synack->instance, sizeof(peer->instance)))
			return peer;
	peer = hk_peer_create(r, path, synack->instance, kind);
	if (!peer)
		return NULL;
	peer->initiator = true;
	memcpy(&peer->token, synack->token, sizeof(peer->token));
	peer->protos = kind->protos & ~blocked;
	peer->rtt_ns = rtt_ns;
	hk_hello_start(peer);
	return is_usable(peer) ? peer : NULL;
}

/* A quarter of the memory for one association, however little there is */
static __u32 most_of(const struct hk_relay *r, __u64 bytes)
{
	return bytes < r->memory_max / 4 ? bytes : r->memory_max / 4;
}

static __u64 peer_random(void *priv)
{
	__u64 value;

	(void)priv;
	/* can't fail for so few bytes, once HELLO has got some */
	while (getrandom(&value, sizeof(value), 0) != sizeof(value))
		;
	return value;
}

static void fill_config(struct hk_peer *peer, const struct htp_hello *hello, __u32 max_datagram,
			struct htp_config *config)
{
	struct hk_relay *r = peer->relay;

	*config = (struct htp_config){
		.peer_id = hello->src_id,
		.initiator = peer->initiator,
		.max_datagram = max_datagram,
		.probe_max = hk_pathmtu_limit(peer),
		.cc = hk_class_cc(r, peer->kind.own),
		.initial_rtt_ns = peer->rtt_ns,
		.stream_window = HK_STREAM_WINDOW,
		.window = HK_ASSOC_WINDOW,
		.stream_buffer = HK_STREAM_BUFFER,
		.max_stream_window = most_of(r, HK_STREAM_WINDOW_MAX),
		.max_window = most_of(r, HK_ASSOC_WINDOW_MAX),
		.max_stream_buffer = most_of(r, HK_STREAM_BUFFER_MAX),
		.peer_window = hello->window,
		.peer_stream_window = hello->stream_window,
		.max_streams = HK_MAX_FLOWS,
		.idle_timeout_ns = IDLE_NS,
		.keepalive_ns = KEEPALIVE_NS,
		.dead_ns = r->config->dead_time_s * NSEC_PER_SEC,
		.ecn = true,
		.alloc = hk_memory_alloc,
		.free = hk_memory_free,
		.charge = hk_memory_charge,
		.random = peer_random,
		.priv = r,
	};
}

static struct htp_assoc *create_assoc(struct hk_peer *peer, const struct htp_hello *hello,
				      __u32 max_datagram)
{
	struct htp_config config;

	fill_config(peer, hello, max_datagram, &config);
	return htp_assoc_create(&config, peer->relay->now_ns);
}

/**
 * hk_peer_thaw_assoc - its association, as another daemon left it
 * @peer: restored
 * @f:	  stands before the association
 *
 * Return: the association, or NULL and @f->err set.
 */
struct htp_assoc *hk_peer_thaw_assoc(struct hk_peer *peer, struct htp_freezer *f)
{
	struct htp_hello none = { 0 };
	struct htp_config config;

	fill_config(peer, &none, 0, &config);
	return htp_assoc_thaw(&config, f, peer->relay->now_ns);
}

/**
 * hk_peers_from - how many peers said HELLO from one address
 * @r:	   relay
 * @raddr: the address
 *
 * Return: number of them.
 */
unsigned int hk_peers_from(struct hk_relay *r, const __be32 raddr[4])
{
	unsigned int nr = 0;
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (!peer->initiator && peer->state != HK_PEER_FAILED &&
		    !memcmp(peer->path.remote, raddr, sizeof(peer->path.remote)))
			nr++;
	return nr;
}

/**
 * hk_peer_oldest_unproven - the peer that has been waiting longest for its first DATA
 * @r: relay with nr_unproven > 0
 *
 * Return: peer.
 */
struct hk_peer *hk_peer_oldest_unproven(struct hk_relay *r)
{
	struct hk_peer *peer, *oldest = NULL;

	LIST_FOREACH(peer, &r->peers, all)
		if (!peer->initiator && !peer->proven && peer->state == HK_PEER_UP &&
		    (!oldest || peer->created_ns < oldest->created_ns))
			oldest = peer;
	return oldest;
}

/**
 * hk_peer_up - the handshake is done: make the association
 * @peer:	  peer with @port set; UP already: nothing was sent yet, it is made anew
 * @hello:	  what the other side said
 * @max_datagram: size that the handshake has proven
 *
 * Return: 0 or -ENOMEM.
 */
int hk_peer_up(struct hk_peer *peer, const struct htp_hello *hello, __u32 max_datagram)
{
	if (max_datagram > hello->max_datagram)
		max_datagram = hello->max_datagram;
	if (max_datagram > HK_DATAGRAM_BUF)
		max_datagram = HK_DATAGRAM_BUF;
	peer->takes = hello->max_datagram;
	htp_assoc_destroy(peer->assoc);
	peer->assoc = create_assoc(peer, hello, max_datagram);
	if (!peer->assoc)
		return -ENOMEM;
	/* they are as many as the ids of our own side; without it only RESET is not heard */
	hk_dataplane_add_remote(peer->relay->dp, hello->src_id);
	peer->remote_id = hello->src_id;
	peer->hello_len = max_datagram;
	peer->state = HK_PEER_UP;
	hk_ways_begin(peer);
	hk_fallback_start(peer);
	hk_peer_touch(peer);
	return 0;
}

/**
 * hk_peer_fail - the association ended, or never began
 * @peer: freed at the end of the loop pass
 * @code: why
 *
 * Held connections go back to plain TCP, all others are reset.
 */
void hk_peer_fail(struct hk_peer *peer, enum htp_code code)
{
	struct hk_relay *r = peer->relay;
	struct hk_flow *f, *next;

	if (peer->state == HK_PEER_FAILED)
		return;
	if (peer->state == HK_PEER_UP && code == HTP_CODE_TIMEOUT)
		r->stats[HK_REL_PEERS_LOST]++;
	for (f = LIST_FIRST(&peer->flows); f; f = next) {
		next = LIST_NEXT(f, by_peer);
		if (f->state == HK_FLOW_HELD)
			hk_takeover_leave(f);
		else
			hk_flow_end(f, HK_END_RESET, code);
	}
	hk_timer_cancel(&r->timers, &peer->timer);
	hk_fallback_exit(peer);
	if (!peer->initiator && !peer->proven)
		r->nr_unproven--;
	peer->state = HK_PEER_FAILED;
	hk_peer_touch(peer);
}

static void destroy(struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;

	hk_dataplane_del_assoc(r->dp, peer->local_id);
	if (peer->remote_id)
		hk_dataplane_del_remote(r->dp, peer->remote_id);
	hk_timer_cancel(&r->timers, &peer->timer);
	if (peer->dirty)
		TAILQ_REMOVE(&r->dirty, peer, dirty_entry);
	LIST_REMOVE(peer, all);
	LIST_REMOVE(peer, by_id);
	htp_assoc_destroy(peer->assoc);
	r->nr_peers--;
	free(peer);
}

/**
 * hk_peers_reap - free failed peers
 * @r: relay, between loop passes
 */
void hk_peers_reap(struct hk_relay *r)
{
	struct hk_peer *peer, *next;

	for (peer = LIST_FIRST(&r->peers); peer; peer = next) {
		next = LIST_NEXT(peer, all);
		if (peer->state == HK_PEER_FAILED)
			destroy(peer);
	}
}

/**
 * hk_peer_touch - look after this peer before the loop waits: events, sending, timer
 * @peer: peer or NULL
 */
void hk_peer_touch(struct hk_peer *peer)
{
	if (!peer || peer->dirty)
		return;
	peer->dirty = true;
	TAILQ_INSERT_TAIL(&peer->relay->dirty, peer, dirty_entry);
}

/*
 * The first DATA proves the initiator's address and shows the carrier it chose.
 * A daemon that was here before, at the same address and port of this carrier, is
 * gone then.
 */
static void prove(struct hk_peer *peer, struct hk_port *port, const struct hk_path *path)
{
	struct hk_relay *r = peer->relay;
	struct hk_peer *old;

	peer->proven = true;
	peer->port = port;
	peer->path.rport = path->rport;
	hk_ways_begin(peer);
	r->nr_unproven--;
	LIST_FOREACH(old, &r->peers, all)
		if (old != peer && old->port == port && old->path.rport == peer->path.rport &&
		    same_hosts(&old->path, &peer->path) &&
		    memcmp(old->instance, peer->instance, sizeof(peer->instance)))
			hk_peer_fail(old, HTP_CODE_TIMEOUT);
}

/* Returns what htp_assoc_rx_via() does; until the peer is proven, its address is that of HELLO */
static int feed(struct hk_peer *peer, struct hk_port *port, const struct hk_datagram *dgram)
{
	struct htp_via via = { .ecn = dgram->ecn };

	if (peer->initiator || peer->proven) {
		via.path = hk_way_number(peer, port, &dgram->path);
		via.same_host = hk_way_is_same_host(peer, port, &dgram->path);
	} else if (!same_hosts(&peer->path, &dgram->path)) {
		return -EPERM;
	}
	return htp_assoc_rx_via(peer->assoc, dgram->data, dgram->len, &via, peer->relay->now_ns);
}

static void data_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram,
		    const struct htp_hdr *hdr)
{
	struct hk_peer *peer = hk_peer_by_id(r, hdr->dst_id);
	int err;

	if (!peer) {
		r->stats[HK_REL_RX_UNKNOWN]++;
		hk_reset_send(r, port, dgram, hdr);
		return;
	}
	if (peer->state != HK_PEER_UP) {
		r->stats[HK_REL_RX_UNKNOWN]++;
		return;
	}
	hk_peer_touch(peer);	/* also on errors: they may end the association */
	err = feed(peer, port, dgram);
	hk_ways_sync(peer);
	if (err) {
		r->stats[err == -EPERM ? HK_REL_RX_SOURCE : HK_REL_RX_MALFORMED]++;
		return;
	}
	if (!peer->initiator && !peer->proven)
		prove(peer, port, &dgram->path);
}

static void hello_ack_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram,
			 const struct htp_hdr *hdr)
{
	struct hk_peer *peer = hk_peer_by_id(r, hdr->dst_id);

	if (!peer)
		r->stats[HK_REL_RX_UNKNOWN]++;
	else if (!same_hosts(&peer->path, &dgram->path))
		r->stats[HK_REL_RX_SOURCE]++;
	else if (peer->state == HK_PEER_HELLO)
		hk_hello_ack_rx(peer, port, dgram);
	else if (peer->state == HK_PEER_UP)
		hk_fallback_ack_rx(peer, port, dgram);
}

/**
 * hk_peer_rx - a datagram came in
 * @r:	   relay
 * @port:  on which carrier
 * @dgram: from whom; borrowed
 */
void hk_peer_rx(struct hk_relay *r, struct hk_port *port, const struct hk_datagram *dgram)
{
	struct htp_hdr hdr;

	if (htp_hdr_read(dgram->data, dgram->len, &hdr)) {
		r->stats[HK_REL_RX_MALFORMED]++;
		return;
	}
	switch (hdr.type) {
	case HTP_DATA:
		data_rx(r, port, dgram, &hdr);
		break;
	case HTP_HELLO:
		hk_hello_rx(r, port, dgram);
		break;
	case HTP_HELLO_ACK:
		hello_ack_rx(r, port, dgram, &hdr);
		break;
	case HTP_RESET:
		hk_reset_rx(r, dgram, &hdr);
		break;
	default:
		r->stats[HK_REL_RX_MALFORMED]++;
	}
}

static __u64 instance_id(const struct hk_peer *peer)
{
	__be64 id;

	memcpy(&id, peer->instance, sizeof(id));
	return be64toh(id);
}

static void hello_unreachable(struct hk_peer *peer, struct hk_port *port,
			      const struct htp_hello *hello, const struct hk_carrier_error *error)
{
	if (error->err == EMSGSIZE)
		hk_hello_too_big(peer, hello, error);
	else
		hk_hello_refused(peer, port, hello);
}

static void data_unreachable(struct hk_peer *peer, struct hk_port *port,
			     const struct htp_hdr *hdr, const struct hk_carrier_error *error)
{
	if (error->err == EMSGSIZE) {
		hk_pathmtu_too_big(peer, error, hdr->pn);
		return;
	}
	if (port != peer->port)
		return;		/* we have left this carrier since */
	htp_assoc_suspect(peer->assoc, peer->relay->now_ns);
	hk_fallback_suspect(peer);
	hk_peer_touch(peer);
}

/**
 * hk_peer_unreachable - an ICMP message quotes a datagram of ours
 * @r:	   relay
 * @port:  on which carrier
 * @error: what it says
 *
 * Anybody may send one. It counts only if it quotes what nobody off the path has
 * seen: our id and nonce of a HELLO, the peer's id for DATA. For an association that
 * is up it only makes us look closer.
 */
void hk_peer_unreachable(struct hk_relay *r, struct hk_port *port,
			 const struct hk_carrier_error *error)
{
	struct htp_hello hello;
	struct hk_peer *peer;
	struct htp_hdr hdr;

	if (htp_quote_read(error->data, error->len, &hdr, &hello))
		return;
	LIST_FOREACH(peer, &r->peers, all) {
		if (memcmp(peer->path.remote, error->path.remote, sizeof(peer->path.remote)))
			continue;
		if (peer->state == HK_PEER_HELLO && hdr.type == HTP_HELLO &&
		    hdr.dst_id == instance_id(peer))
			hello_unreachable(peer, port, &hello, error);
		if (peer->state == HK_PEER_UP && hdr.type == HTP_DATA &&
		    hdr.dst_id == peer->remote_id)
			data_unreachable(peer, port, &hdr, error);
	}
}

static void stream_events(struct hk_peer *peer)
{
	struct htp_stream *stream;
	unsigned int events;
	struct hk_flow *f;

	while ((stream = htp_assoc_event(peer->assoc, &events))) {
		f = htp_stream_owner(stream);
		if (f)
			hk_flow_on_stream(f, events);
		else if (events & HTP_EV_OPENED)
			hk_takeover_opened(peer, stream);
		else
			htp_stream_release(stream);
	}
}

/**
 * hk_peers_events - pass on what happened to streams
 * @r: relay
 */
void hk_peers_events(struct hk_relay *r)
{
	struct hk_peer *peer;

	TAILQ_FOREACH(peer, &r->dirty, dirty_entry)
		if (peer->state == HK_PEER_UP) {
			stream_events(peer);
			hk_proof_check(peer);
		}
}

/*
 * Rounded up, so that datagrams of a batch have the same: the kernel's sockets have an
 * option for it, which costs a call to change, and a batch ends there.
 */
static void cover(struct hk_relay *r, const struct hk_port *port, struct hk_datagram *dgram,
		  __u32 covered)
{
	dgram->coverage = (covered + COVERAGE_STEP - 1) / COVERAGE_STEP * COVERAGE_STEP;
	if (port->carrier.ops->has_coverage && hk_carrier_is_partial(dgram))
		r->stats[HK_REL_TX_PARTIAL]++;
}

/* It was written where the carrier in use has its next one, but may be for another carrier */
static void send_by(struct hk_peer *peer, const struct hk_datagram *written, ssize_t len)
{
	const struct htp_via *via = htp_assoc_tx_via(peer->assoc);
	const struct hk_way *way = &peer->ways[via->path];
	struct hk_datagram *dgram = hk_port_slot(peer->relay, way->port);

	if (!dgram)
		return;
	if (dgram != written)
		memcpy(dgram->data, written->data, len);
	dgram->path = way->path;
	dgram->len = len;
	dgram->ecn = via->ecn;
	cover(peer->relay, way->port, dgram, via->covered);
	way->port->nr++;
}

/* Returns false if the carrier is blocked */
static bool send_all(struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;
	struct hk_datagram *dgram;
	ssize_t len;

	for (;;) {
		dgram = hk_port_slot(r, peer->port);
		if (!dgram)
			return false;
		len = htp_assoc_tx(peer->assoc, dgram->data, HK_DATAGRAM_BUF, r->now_ns);
		if (len <= 0)
			return true;
		send_by(peer, dgram, len);
	}
}

static void flush(struct hk_peer *peer)
{
	struct hk_relay *r = peer->relay;
	__u64 deadline;
	bool sent;

	if (!peer->assoc)
		return;
	sent = send_all(peer);
	if (peer->state != HK_PEER_UP)
		return;
	if (htp_assoc_is_closed(peer->assoc)) {
		hk_peer_fail(peer, htp_assoc_code(peer->assoc));
		return;
	}
	hk_fallback_check(peer);
	deadline = htp_assoc_deadline(peer->assoc);
	if (peer->homeless && deadline > r->now_ns + HOMELESS_RETRY_NS)
		deadline = r->now_ns + HOMELESS_RETRY_NS;
	if (!peer->initiator && !peer->proven && deadline > peer->created_ns + UNPROVEN_NS)
		deadline = peer->created_ns + UNPROVEN_NS;
	/* sending is overdue, but the socket isn't ready: unblock() will touch us */
	if (!sent && deadline < r->now_ns + BLOCKED_RETRY_NS)
		deadline = r->now_ns + BLOCKED_RETRY_NS;
	hk_timer_arm(&r->timers, &peer->timer, deadline);
}

/**
 * hk_peers_flush - send what all touched peers have, arm their timers
 * @r: relay, at the end of a loop pass
 */
void hk_peers_flush(struct hk_relay *r)
{
	struct hk_peer *peer;
	unsigned int i;

	r->now_ns = hk_now_ns();	/* when they leave; the pass has taken its time */
	while ((peer = TAILQ_FIRST(&r->dirty))) {
		TAILQ_REMOVE(&r->dirty, peer, dirty_entry);
		peer->dirty = false;
		flush(peer);
	}
	for (i = 0; i < r->nr_ports; i++)
		if (!r->ports[i].blocked)
			hk_port_flush(r, &r->ports[i]);
}
