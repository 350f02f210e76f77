// SPDX-License-Identifier: GPL-2.0
/*
 * Take-over: from a handshake that carries offers to a flow that carries bytes.
 *
 *	client				server
 *	SYN-ACK event -> HELD
 *	peer up, path proven lately
 *	  -> forge, inject SYN-ACK
 *	  -> TAKING
 *	ESTABLISHED event -> OPEN frame	-> OPENED: offer found, forge, inject ACK
 *	  -> OPEN			     -> TAKING
 *	ACCEPT frame <-			ESTABLISHED event -> accept -> OPEN
 *	  third ACK on the wire
 *
 * Whatever fails before the injection leaves plain TCP as it was. What fails
 * after it ends with a reset on both sides, never with silence.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../tcp/addr.h"
#include "flow.h"
#include "hello.h"
#include "log.h"
#include "peer.h"
#include "private.h"

/* TCP flags byte; <netinet/tcp.h> has them, but can't stand beside <linux/tcp.h> */
#define TH_RST		0x04
#define TH_ACK		0x10

/*
 * Doubled each time, up to a second. A client's SYN-ACK is for a socket that waits for it. A
 * server's accept queue may be full, or TCP_DEFER_ACCEPT has the listener wait for data: its
 * kernel keeps the request for 63 s (five SYN-ACKs, tcp_synack_retries).
 */
#define INJECT_FIRST_NS	(20 * NSEC_PER_MSEC)
#define INJECT_MAX_NS	NSEC_PER_SEC
#define INJECT_DOUBLED	6
#define ACTIVE_TRIES	8			/* 3 s in all */
#define PASSIVE_TRIES	(INJECT_DOUBLED + 63)
#define OPEN_GAP_NS	(20 * NSEC_PER_MSEC)
#define OPEN_TRIES	250			/* 5 s in all */
#define VERDICT_NS	(10 * NSEC_PER_SEC)	/* NATIVE outlives SYN-ACKs under way */
#define REFUSED_NS	(600 * NSEC_PER_SEC)

#define MSS_DEFAULT	536			/* of a peer that names none */

/* Body of OPEN: version, three bytes zero, the server's token as in its SYN-ACK */
#define OPEN_VERSION	1
#define OPEN_LEN	8

static __u32 elapsed_ms(struct hk_relay *r, __u64 since_ns)
{
	return r->now_ns > since_ns ? (r->now_ns - since_ns) / NSEC_PER_MSEC : 0;
}

/* The server, as the client's host plays it to its application */
static void state_of_server(struct hk_flow *f, const struct hk_parsed *synack,
			    struct hk_tcp_state *state)
{
	bool wscale = synack->wscale >= 0;	/* only if the SYN had the option, too */

	memset(state, 0, sizeof(*state));
	hk_flow_key_reverse(&state->key, &f->wire);
	state->snd_nxt = synack->seq + 1;
	state->rcv_nxt = synack->ack;
	/*
	 * The application's ACK brings its real window before any byte goes to it. As that is
	 * larger, the kernel bounds the size of segments by it (tcp_ack_update_window()).
	 */
	state->snd_wnd = 1;
	state->rcv_wnd = synack->window;
	state->mss = synack->mss;
	state->sack = synack->sack;
	state->wscale = wscale;
	state->snd_wscale = wscale ? f->rcv_wscale : 0;
	state->rcv_wscale = wscale ? synack->wscale : 0;
	state->timestamps = synack->timestamps;
	state->tsval = synack->tsval + elapsed_ms(f->relay, f->seen_ns) + 1;
}

/*
 * As tcp_bound_to_half_wnd(), which knows no window yet when the socket is forged. A segment
 * larger than the window would wait for the probe timer, each time.
 */
static __u32 bound_to_half(__u32 mss, __u32 window)
{
	__u32 most = window > MSS_DEFAULT ? window / 2 : window;

	return most && mss > most ? most : mss;
}

/* The client, as the server's host plays it to its application */
static void state_of_client(struct hk_flow *f, struct hk_tcp_state *state)
{
	const struct hk_offer *offer = &f->offer;
	bool wscale = offer->snd_wscale != HK_NO_WSCALE && offer->rcv_wscale != HK_NO_WSCALE;

	memset(state, 0, sizeof(*state));
	hk_flow_key_reverse(&state->key, &f->wire);
	state->snd_nxt = offer->ack;
	state->rcv_nxt = offer->seq + 1;
	state->snd_wnd = offer->window;
	state->rcv_wnd = 65535;
	state->mss = bound_to_half(offer->mss ?: MSS_DEFAULT, offer->window);
	state->sack = offer->sack;
	state->wscale = wscale;
	state->snd_wscale = wscale ? offer->snd_wscale : 0;
	state->rcv_wscale = wscale ? offer->rcv_wscale : 0;
	state->timestamps = offer->timestamps;
	state->tsval = offer->syn_tsval + elapsed_ms(f->relay, offer->ns) + 1;
}

/*
 * The held SYN-ACK again, over lo; a copy, since injecting fills in checksums. It was held behind
 * this host's NAT, and has to pass it once more.
 */
static int inject_synack(struct hk_flow *f)
{
	__u8 packet[HK_SYNACK_MAX];
	struct hk_flow_key key;

	memcpy(packet, f->synack, f->synack_len);
	hk_flow_key_reverse(&key, &f->wire);
	return hk_segment_readdress(packet, f->synack_len, &key) ?:
	       hk_inject(&f->relay->lo, packet, f->synack_len);
}

/* The third ACK that the server's listener waits for, over lo */
static int inject_ack(struct hk_flow *f)
{
	struct hk_segment seg = {
		.seq = f->offer.ack,
		.ack = f->offer.seq + 1,
		.flags = TH_ACK,
		.window = 65535,
		.timestamps = f->offer.timestamps,
		.tsval = f->offer.syn_tsval + elapsed_ms(f->relay, f->offer.ns) + 1,
		.tsecr = f->offer.synack_tsval,
	};
	__u8 packet[HK_SEGMENT_MAX];
	ssize_t len;

	if (f->offer.rcv_wscale != HK_NO_WSCALE && f->offer.snd_wscale != HK_NO_WSCALE)
		seg.window = 65535 >> f->offer.rcv_wscale;
	hk_flow_key_reverse(&seg.key, &f->wire);
	len = hk_segment_build(packet, sizeof(packet), &seg);
	return len < 0 ? len : hk_inject(&f->relay->lo, packet, len);
}

static int inject(struct hk_flow *f)
{
	return f->active ? inject_synack(f) : inject_ack(f);
}

/*
 * Segments on the wire in the application's name. The third ACK shows firewalls
 * and NATs on the way a complete handshake. It leaves when the server's host has taken
 * the connection over, so it does no harm if its option is lost on the way; with the
 * option it does none either if that host has lost the connection again. The RST takes a
 * connection away that the server may have and nobody will use.
 */
static void send_on_wire(struct hk_flow *f, __u8 flags)
{
	struct hk_option option = {
		.kind = HK_OPT_KIND,
		.len = HK_OPT_LEN,
		.exid = htons(HK_OPT_EXID),
		.ver_flags = HK_OPT_VERSION << 4 | HK_OPT_F_TAKEN,
		.protos = f->relay->live->protos,
		.port = f->relay->dp_config.bpf.port,
	};
	struct hk_segment seg = { .key = f->key, .flags = flags, .window = 1024 };
	__u8 packet[HK_SEGMENT_MAX];
	struct hk_parsed synack;
	ssize_t len;

	if (hk_segment_parse(f->synack, f->synack_len, &synack))
		return;
	memcpy(option.instance, f->relay->instance, sizeof(option.instance));
	memcpy(option.token, &f->server_token, sizeof(option.token));
	seg.seq = synack.ack;
	seg.ack = synack.seq + 1;
	seg.timestamps = synack.timestamps;
	seg.tsval = synack.tsecr + elapsed_ms(f->relay, f->seen_ns);
	seg.tsecr = synack.tsval;
	if (!(flags & TH_RST))
		seg.option = &option;
	len = hk_segment_build(packet, sizeof(packet), &seg);
	if (len > 0)
		hk_inject(&f->relay->wire, packet, len);
}

/*
 * Nobody completed the handshake, or (passive) the accept queue is still full. If the
 * redirection socket has heard from the application, then it is steered and only the
 * event was lost: it must not be left alone.
 */
static void give_up(struct hk_flow *f)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	getsockopt(f->redir_fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	hk_flow_end(f, f->active && !info.tcpi_segs_in ? HK_END_SILENT : HK_END_RESET,
		    HTP_CODE_REFUSED);
}

static void taking_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = (void *)((char *)timer - offsetof(struct hk_flow, timer));

	if (f->attempts >= (f->active ? ACTIVE_TRIES : PASSIVE_TRIES)) {
		f->relay->stats[HK_REL_FLOWS_LATE]++;
		give_up(f);
		return;
	}
	/* with its listener the request went, too: what a client hears then is a reset */
	if (!f->active && f->attempts && hk_tcp_is_gone(&f->key)) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
		return;
	}
	inject(f);
	hk_timer_arm(&f->relay->timers, timer,
		     now_ns + (f->attempts < INJECT_DOUBLED ? INJECT_FIRST_NS << f->attempts :
							      INJECT_MAX_NS));
	f->attempts++;
}

static void start_taking(struct hk_flow *f)
{
	f->timer.fire = taking_timer;
	f->attempts = 0;
	taking_timer(&f->timer, f->relay->now_ns);
}

/* What a NATIVE verdict leaves behind; the flow itself is long gone */
static void native_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = (void *)((char *)timer - offsetof(struct hk_flow, timer));

	(void)now_ns;
	f->native = false;
	hk_flow_end(f, HK_END_SILENT, HTP_CODE_NONE);
}

/**
 * hk_takeover_leave - give a held connection back to plain TCP
 * @f: flow, HELD
 *
 * The verdict comes first, so that neither the injected SYN-ACK nor one that the
 * server repeats is held again. The flow stays, without a peer, until
 * the connection is established, or too old to be.
 */
void hk_takeover_leave(struct hk_flow *f)
{
	struct hk_relay *r = f->relay;

	if (f->native)
		return;
	r->stats[HK_REL_FLOWS_LEFT_NATIVE]++;
	if (f->peer)
		LIST_REMOVE(f, by_peer);
	f->peer = NULL;
	f->native = true;
	hk_dataplane_set_verdict(r->dp, &f->key, HK_VERDICT_NATIVE, 0);
	f->timer.fire = native_timer;
	hk_timer_arm(&r->timers, &f->timer, r->now_ns + VERDICT_NS);
	inject_synack(f);
}

/**
 * hk_takeover_proceed - the peer is up: take a held connection over
 * @f: flow, HELD, with its peer
 */
void hk_takeover_proceed(struct hk_flow *f)
{
	struct hk_tcp_state state;
	struct hk_parsed synack;
	int err;

	err = hk_segment_parse(f->synack, f->synack_len, &synack);
	if (!err) {
		state_of_server(f, &synack, &state);
		err = hk_flow_forge(f, &state);
	}
	if (err) {
		/* e.g. EADDRNOTAVAIL: an earlier connection is in TIME_WAIT here */
		f->relay->stats[HK_REL_FLOWS_FORGE_FAILED]++;
		hk_room_failed(f->relay, err);
		hk_takeover_leave(f);
		return;
	}
	start_taking(f);
}

static void open_stream(struct hk_flow *f);

static void open_timer(struct hk_timer *timer, __u64 now_ns)
{
	(void)now_ns;
	open_stream((void *)((char *)timer - offsetof(struct hk_flow, timer)));
}

/* Once it is steered only we can carry it on: it waits till there is memory for a stream */
static bool wait_for_stream(struct hk_flow *f)
{
	struct hk_relay *r = f->relay;

	if (htp_assoc_is_closed(f->peer->assoc) || f->attempts >= OPEN_TRIES)
		return false;
	f->attempts++;
	hk_room_failed(r, -ENOMEM);
	f->timer.fire = open_timer;
	hk_timer_arm(&r->timers, &f->timer, r->now_ns + OPEN_GAP_NS);
	return true;
}

/* Bytes arrive damaged only if the rules of both hosts allow that */
static void loosen(struct hk_flow *f)
{
	if (f->action.flags & HK_ACTION_COVER_HEADER)
		htp_stream_loosen(f->stream);
}

static void open_stream(struct hk_flow *f)
{
	__u8 body[OPEN_LEN] = { OPEN_VERSION };

	memcpy(body + 4, &f->server_token, 4);
	f->stream = htp_stream_open(f->peer->assoc, body, sizeof(body), f);
	if (!f->stream && wait_for_stream(f))
		return;
	if (!f->stream) {
		send_on_wire(f, TH_RST | TH_ACK);
		hk_flow_end(f, HK_END_RESET, HTP_CODE_NONE);
		return;
	}
	loosen(f);
	hk_flow_opened(f);
}

/**
 * hk_takeover_is_steered - is it the association's fault that this handshake isn't over?
 * @f: flow
 *
 * Return: true for one that is TAKING and waits for a stream.
 */
bool hk_takeover_is_steered(const struct hk_flow *f)
{
	return f->state == HK_FLOW_TAKING && f->timer.fire == open_timer;
}

/**
 * hk_takeover_resume - go on with a handshake that another daemon has begun
 * @f:	     flow; nothing is to be done for one that is OPEN, or HELD while its peer is in HELLO
 * @steered: as hk_takeover_is_steered() said there
 */
void hk_takeover_resume(struct hk_flow *f, bool steered)
{
	__u64 wait_ns = f->native ? VERDICT_NS : INJECT_FIRST_NS;

	if (f->state == HK_FLOW_HELD && !f->native && f->peer->state == HK_PEER_UP)
		hk_proof_resume(f);
	if (f->state == HK_FLOW_OPEN || (f->state == HK_FLOW_HELD && !f->native))
		return;
	f->timer.fire = f->native ? native_timer : taking_timer;
	if (steered && f->active)
		f->timer.fire = open_timer;
	hk_timer_arm(&f->relay->timers, &f->timer, f->relay->now_ns + wait_ns);
}

/**
 * hk_takeover_accepted - the server's host has taken the connection over, too
 * @f: flow, active, OPEN
 */
void hk_takeover_accepted(struct hk_flow *f)
{
	f->accepted = true;
	send_on_wire(f, TH_ACK);
}

/**
 * hk_takeover_failed - the server's host has not taken the connection over
 * @f:	 flow, active, OPEN; ends with a reset
 * @code: why
 *
 * There it may be half open, or plain TCP. If it was refused, something on the way is
 * not as HELLO has shown it: the host gets plain TCP for some time.
 */
void hk_takeover_failed(struct hk_flow *f, enum htp_code code)
{
	send_on_wire(f, TH_RST | TH_ACK);
	if (code == HTP_CODE_REFUSED)
		hk_blocked_remember(f->peer, f->relay->live->protos, REFUSED_NS);
}

static void accept_stream(struct hk_flow *f)
{
	loosen(f);
	if (htp_stream_accept(f->stream, f)) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_NOMEM);
		return;
	}
	hk_flow_opened(f);
}

static void on_established(struct hk_relay *r, const struct hk_established_event *ev)
{
	struct hk_flow *f = hk_flow_find(r, &ev->key);

	/* steered in the very moment in which we gave up: nobody is at its other end */
	if (!f && ev->taken)
		hk_tcp_destroy(&ev->key);
	if (!f)
		return;
	if (!ev->taken) {
		/* plain TCP for good; of a passive flow: steering was impossible */
		f->native = false;
		if (f->active)
			hk_flow_end(f, HK_END_SILENT, HTP_CODE_NONE);
		else
			hk_flow_end(f, HK_END_RESET, HTP_CODE_NOMEM);
		return;
	}
	if (f->state != HK_FLOW_TAKING)
		return;
	f->attempts = 0;
	if (f->active)
		open_stream(f);
	else
		accept_stream(f);
}

/* The application's socket is gone; whatever the redirection socket has seen of it */
static void on_aborted(struct hk_relay *r, const struct hk_aborted_event *ev)
{
	struct hk_flow *f = hk_flow_find(r, &ev->key);

	if (f && f->state == HK_FLOW_OPEN)
		hk_flow_abort(f);
}

/* Said once */
static void find_wire(struct hk_relay *r, const struct hk_flow_key *key, struct hk_flow_key *wire)
{
	if (hk_conntrack_wire(&r->conntrack, key, wire))
		hk_err("conntrack doesn't tell what NAT of this host does to a connection; those it translates fail; `modprobe nf_conntrack_netlink`, or a rule with none for their ports");
}

static bool peer_path(const struct hk_flow_key *key, const struct hk_option *opt,
		      struct hk_path *path)
{
	memset(path, 0, sizeof(*path));
	memcpy(path->local, key->laddr, sizeof(path->local));
	memcpy(path->remote, key->raddr, sizeof(path->remote));
	path->rport = opt->port;
	return opt->port != 0;
}

/* Finds or makes the peer; false: this connection stays plain TCP */
static bool attach_peer(struct hk_flow *f, const struct hk_option *opt, __u64 rtt_ns)
{
	struct hk_relay *r = f->relay;
	__u8 blocked = hk_blocked_protos(r, f->wire.raddr, opt->instance);
	struct hk_kind kind = {
		.protos = opt->protos & f->action.protos & r->live->protos,
		.own = f->action.class,
		.other = opt->ver_flags >> HK_OPT_CLASS_SHIFT & HK_CLASS_MASK,
	};
	struct hk_peer *peer;
	struct hk_path path;

	if (!(kind.protos & ~blocked) || r->drain_until_ns || !peer_path(&f->wire, opt, &path))
		return false;
	peer = hk_peer_get(r, &path, opt, &kind, blocked, rtt_ns);
	if (!peer)
		return false;
	if (peer->state == HK_PEER_UP && hk_proof_is_lost(peer, rtt_ns))
		return false;
	/* later connections will find it up */
	if ((f->action.flags & HK_ACTION_NATIVE_FIRST) && peer->state != HK_PEER_UP)
		return false;
	f->peer = peer;
	LIST_INSERT_HEAD(&f->peer->flows, f, by_peer);
	return true;
}

static bool is_same_synack(const struct hk_flow *f, const struct hk_synack_event *ev)
{
	struct hk_parsed old, new;

	return f->active && !hk_segment_parse(f->synack, f->synack_len, &old) &&
	       !hk_segment_parse(ev->packet, ev->len, &new) &&
	       old.seq == new.seq && old.ack == new.ack;
}

static void on_connecting(struct hk_relay *r, const struct hk_connecting_event *ev)
{
	hk_proof_connecting(r, &ev->key, &ev->action);
}

static void on_synack(struct hk_relay *r, const struct hk_synack_event *ev)
{
	__u8 packet[HK_SYNACK_MAX];
	struct hk_parsed synack;
	struct hk_option opt;
	struct hk_flow *f;

	f = hk_flow_find(r, &ev->key);
	if (f && is_same_synack(f, ev))
		return;				/* the server repeated itself */
	if (f)					/* the port is used again */
		hk_flow_end(f, f->state == HK_FLOW_OPEN ? HK_END_RESET : HK_END_SILENT,
			    HTP_CODE_APP_RESET);
	f = hk_flow_create(r, &ev->key, true);
	if (!f) {
		/* table full; the gate lets injected segments pass without a verdict */
		memcpy(packet, ev->packet, ev->len);
		hk_inject(&r->lo, packet, ev->len);
		return;
	}
	f->synack_len = ev->len;
	memcpy(f->synack, ev->packet, ev->len);
	f->rcv_wscale = ev->rcv_wscale;
	f->action = ev->action;
	f->seen_ns = r->now_ns;
	if (hk_segment_parse(f->synack, f->synack_len, &synack) || !synack.option) {
		hk_takeover_leave(f);
		return;
	}
	memcpy(&opt, synack.option, sizeof(opt));
	memcpy(&f->server_token, opt.token, sizeof(f->server_token));
	find_wire(r, &f->key, &f->wire);
	if (!attach_peer(f, &opt, ev->rtt_ns))
		hk_takeover_leave(f);
	else if (f->peer->state == HK_PEER_UP && hk_proof_is_fresh(f->peer))
		hk_takeover_proceed(f);
	else if (f->peer->state == HK_PEER_UP)
		hk_proof_await(f, ev->rtt_ns);
}

/**
 * hk_takeover_event - a record of the BPF programs
 * @priv:   relay
 * @record: starts with enum hk_event_type; read-only memory
 * @len:    bytes
 */
void hk_takeover_event(void *priv, const void *record, size_t len)
{
	const __u32 *type = record;

	if (len >= sizeof(struct hk_synack_event) && *type == HK_EVENT_SYNACK)
		on_synack(priv, record);
	else if (len >= sizeof(struct hk_established_event) && *type == HK_EVENT_ESTABLISHED)
		on_established(priv, record);
	else if (len >= sizeof(struct hk_aborted_event) && *type == HK_EVENT_ABORTED)
		on_aborted(priv, record);
	else if (len >= sizeof(struct hk_connecting_event) && *type == HK_EVENT_CONNECTING)
		on_connecting(priv, record);
}

/**
 * hk_takeover_has_offer - was an offer of that daemon answered?
 * @r:	      relay
 * @token:    ours, in the answer
 * @instance: the other daemon's
 * @offer:    filled in
 *
 * Return: true if both are as in the SYN that came and the SYN-ACK that left here.
 */
bool hk_takeover_has_offer(struct hk_relay *r, __u32 token, const __u8 instance[8],
			   struct hk_offer *offer)
{
	return !hk_dataplane_find_offer(r->dp, token, offer) &&
	       !memcmp(offer->peer.instance, instance, sizeof(offer->peer.instance));
}

/*
 * The offer an OPEN refers to: answered by this daemon, to that very peer, lately.
 * The token alone proves nothing: it can be overheard or guessed, and an instance id
 * is what the peer says of itself. So the addresses must be those of the association,
 * which HELLO has proven; those on the wire, if this host translates them. And it must be
 * an association of the kind that the rules here want for this connection. An offer that doesn't
 * fit stays for whom it was made to.
 */
static int find_offer(struct hk_peer *peer, struct htp_stream *stream, struct hk_offer *offer,
		      struct hk_flow_key *wire)
{
	struct hk_relay *r = peer->relay;
	const __u8 *body;
	__u32 token;
	size_t len;

	body = htp_stream_open_data(stream, &len);
	if (!body || len < OPEN_LEN || body[0] != OPEN_VERSION)
		return -EPROTO;
	memcpy(&token, body + 4, sizeof(token));
	if (!hk_takeover_has_offer(r, token, peer->instance, offer))
		return -ENOENT;
	find_wire(r, &offer->key, wire);
	if (memcmp(wire->laddr, peer->path.local, sizeof(wire->laddr)) ||
	    memcmp(wire->raddr, peer->path.remote, sizeof(wire->raddr)))
		return -EPERM;
	if (offer->action.class != peer->kind.own ||
	    !(offer->action.protos & peer->port->carrier.ops->proto))
		return -EPERM;
	hk_dataplane_del_offer(r->dp, token);
	return r->now_ns > offer->ns + HK_OFFER_MAX_NS ? -ESTALE : 0;
}

static int take_incoming(struct hk_peer *peer, struct htp_stream *stream,
			 const struct hk_offer *offer, const struct hk_flow_key *wire)
{
	struct hk_relay *r = peer->relay;
	struct hk_tcp_state state;
	struct hk_flow *f;
	int err;

	f = hk_flow_find(r, &offer->key);
	if (f)			/* the port is used again before we saw its end */
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
	f = hk_flow_create(r, &offer->key, false);
	if (!f)
		return -ENFILE;
	f->peer = peer;
	LIST_INSERT_HEAD(&peer->flows, f, by_peer);
	f->wire = *wire;
	f->offer = *offer;
	f->action = offer->action;
	f->seen_ns = r->now_ns;
	state_of_client(f, &state);
	err = hk_flow_forge(f, &state);
	if (err) {
		r->stats[HK_REL_FLOWS_FORGE_FAILED]++;
		hk_room_failed(r, err);
		hk_flow_end(f, HK_END_SILENT, HTP_CODE_NONE);
		return err;
	}
	f->stream = stream;
	htp_stream_set_owner(stream, f);
	f->writable = true;
	start_taking(f);
	return 0;
}

/**
 * hk_takeover_opened - the peer opened a stream: take its connection over here
 * @peer:   peer, UP
 * @stream: new, without owner; refused if there is no such connection
 */
void hk_takeover_opened(struct hk_peer *peer, struct htp_stream *stream)
{
	struct hk_flow_key wire;
	struct hk_offer offer;
	int err;

	err = find_offer(peer, stream, &offer, &wire);
	if (!err && peer->relay->drain_until_ns)
		err = -ESHUTDOWN;
	if (!err)
		err = take_incoming(peer, stream, &offer, &wire);
	if (!err)
		return;
	peer->relay->stats[HK_REL_OPEN_REFUSED]++;
	htp_stream_reset(stream, HTP_CODE_REFUSED);
	htp_stream_release(stream);
}
