// SPDX-License-Identifier: GPL-2.0
/*
 * Flows: a hooked connection from its take-over to its end, and the bytes
 * between its redirection socket and its stream.
 *
 * Invariants:
 *   - A redirection socket that is closed while bytes are missing sends RST
 *     (SO_LINGER {1,0} from birth); only HK_END_DONE turns that off.
 *   - FIN goes to the application only when every byte before it was written.
 *   - Descriptors are edge-triggered: @readable and @writable are cleared by
 *     EAGAIN only.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../tcp/addr.h"
#include "flow.h"
#include "lane.h"
#include "peer.h"
#include "private.h"

#define PUMP_BYTES	(256 * 1024)	/* per flow, direction and turn; then others come */
#define PUMP_IOVS	8
#define TURN_BYTES	(4 << 20)	/* all flows in a loop pass: ACKs wait for it */
#define CLOSING_NS	(20 * NSEC_PER_MSEC)
#define CLOSING_ASK	50		/* times CLOSING_NS */
#define MEMORY_NS	(20 * NSEC_PER_MSEC)

static struct hk_flow_list *bucket(struct hk_relay *r, const struct hk_flow_key *key)
{
	const __u8 *p = (const __u8 *)key;
	__u64 h = r->hash_seed;
	size_t i;

	for (i = 0; i < sizeof(*key); i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return &r->by_key[(h ^ h >> 32) % HK_BUCKETS];
}

/**
 * hk_flow_find - a flow by its application socket
 * @r:	 relay
 * @key: connection as the application's socket sees it
 *
 * Return: flow that has not ended, or NULL.
 */
struct hk_flow *hk_flow_find(struct hk_relay *r, const struct hk_flow_key *key)
{
	struct hk_flow *f;

	LIST_FOREACH(f, bucket(r, key), by_key)
		if (!memcmp(&f->key, key, sizeof(*key)))
			return f;
	return NULL;
}

/* Into its slot, all zero but what is said here */
static struct hk_flow *place(struct hk_relay *r, __u32 slot, __u32 gen,
			     const struct hk_flow_key *key, bool active)
{
	struct hk_flow *f = &r->flows[slot];

	f->relay = r;
	f->slot = slot;
	f->gen = gen;
	f->state = HK_FLOW_HELD;
	f->active = active;
	f->key = *key;
	f->wire = *key;
	f->redir_fd = -1;
	f->lane = hk_dataplane_lane(r->dp, slot);
	LIST_INSERT_HEAD(bucket(r, key), f, by_key);
	if (++r->nr_flows > r->most_flows)
		r->most_flows = r->nr_flows;
	return f;
}

/**
 * hk_flow_create - a flow in HELD, without peer and redirection socket
 * @r:	    relay
 * @key:    the application's socket
 * @active: the application called connect()
 *
 * Return: the flow, owned by @r; NULL when all HK_MAX_FLOWS slots are in use.
 */
struct hk_flow *hk_flow_create(struct hk_relay *r, const struct hk_flow_key *key, bool active)
{
	__u32 slot, gen;

	if (!r->nr_free) {
		r->stats[HK_REL_TABLE_FULL]++;
		return NULL;
	}
	slot = r->free_slots[--r->nr_free];
	gen = r->flows[slot].gen + 1;
	memset(&r->flows[slot], 0, sizeof(*r->flows));
	return place(r, slot, gen, key, active);
}

/**
 * hk_flow_restore - a flow that another daemon had
 * @r:	    relay
 * @slot:   its slot, unused; hk_flows_find_free() follows when all are there
 * @key:    the application's socket
 * @active: the application called connect()
 *
 * Return: the flow, owned by @r.
 */
struct hk_flow *hk_flow_restore(struct hk_relay *r, __u32 slot, const struct hk_flow_key *key,
				bool active)
{
	return place(r, slot, 1, key, active);
}

/**
 * hk_flows_find_free - all slots but those of restored flows
 * @r: relay that had no flows of its own
 */
void hk_flows_find_free(struct hk_relay *r)
{
	__u32 slot = HK_MAX_FLOWS;

	r->nr_free = 0;
	while (slot--)
		if (!r->flows[slot].relay)
			r->free_slots[r->nr_free++] = slot;
}

/**
 * hk_flow_forge - make the redirection socket and let the BPF programs know
 * @f:	   flow, HELD
 * @state: TCP state of the socket to make
 *
 * On success the flow is TAKING: an ESTABLISHED event will find the verdict
 * TAKEN, whichever segment brings it about.
 *
 * Return: 0, or a negative errno; then nothing has changed.
 */
int hk_flow_forge(struct hk_flow *f, const struct hk_tcp_state *state)
{
	struct hk_tcp_limits limits = {
		.mark = f->relay->dp_config.bpf.relay_mark,
		.sndbuf = HK_REDIR_BUF,
		.rcvbuf = HK_REDIR_BUF,
	};
	struct hk_relay *r = f->relay;
	int fd, err;

	fd = hk_tcp_forge(state, &limits);
	if (fd < 0)
		return fd;
	hk_lane_reader_init(&f->reader, f->lane, state->rcv_nxt, HK_FAST_LIMIT);
	err = hk_dataplane_add_redir(r->dp, &f->key, fd);
	if (!err)
		err = hk_relay_poll(r, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				    hk_source_pack(HK_SRC_FLOW, f->gen, f->slot));
	if (!err)
		err = hk_dataplane_set_verdict(r->dp, &f->key, HK_VERDICT_TAKEN, f->slot);
	if (err) {
		hk_tcp_abandon(fd);
		return err;
	}
	f->redir_fd = fd;
	f->state = HK_FLOW_TAKING;
	return 0;
}

/*
 * The application's address may go from this host while the connection lives on. What
 * is for it is routed by mark then, as what it sends. Failing changes nothing as long
 * as the address is there.
 */
static void steer(struct hk_flow *f)
{
	const __u32 mark = f->relay->dp_config.bpf.app_mark;

	setsockopt(f->redir_fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

/**
 * hk_flow_opened - the application is steered to us: bytes may flow
 * @f: flow with a stream, TAKING
 *
 * Bytes that have waited for room in the accept queue for some time are sent again after
 * as long a time; the application can't be heard before.
 */
void hk_flow_opened(struct hk_flow *f)
{
	f->state = HK_FLOW_OPEN;
	f->relay->stats[f->active ? HK_REL_FLOWS_ACTIVE : HK_REL_FLOWS_PASSIVE]++;
	hk_timer_cancel(&f->relay->timers, &f->timer);
	/* it was for this connection; a later one may use the same ports */
	hk_dataplane_del_verdict(f->relay->dp, &f->key);
	steer(f);
	if (f->active || (f->out_bytes && f->relay->now_ns < f->seen_ns + NSEC_PER_SEC))
		hk_unheard_watch(f);
	f->readable = true;
	f->writable = true;
	hk_flow_wake(f);
}

static void close_redir(struct hk_flow *f, enum hk_flow_end how)
{
	struct linger off = { .l_onoff = 0 };
	struct hk_flow_key redir;

	if (f->redir_fd < 0)
		return;
	hk_flow_key_reverse(&redir, &f->wire);
	if (how == HK_END_SILENT)
		hk_tcp_abandon(f->redir_fd);
	else if (how == HK_END_DONE)
		setsockopt(f->redir_fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	if (how != HK_END_SILENT)
		close(f->redir_fd);
	f->redir_fd = -1;
	/*
	 * The TIME_WAIT of the side that closed first would keep the next connection
	 * with these ports from being taken over. It guards against late segments, and lo has none.
	 */
	if (how == HK_END_DONE && f->shut_first)
		hk_tcp_destroy(&redir);
}

static void let_go_of_stream(struct hk_flow *f, enum htp_code code)
{
	if (!f->stream)
		return;
	if (code != HTP_CODE_NONE)
		htp_stream_reset(f->stream, code);
	htp_stream_release(f->stream);
	f->stream = NULL;
	hk_peer_touch(f->peer);
}

/**
 * hk_flow_end - end a flow; its slot is free after this loop pass
 * @f:	  flow; fine if it has ended already
 * @how:  what the application here sees
 * @code: why, for the peer; HTP_CODE_NONE: it knows
 *
 * Its verdict goes, too, unless @native is still set: then the gate may yet see a
 * SYN-ACK of the connection that was left to plain TCP.
 */
void hk_flow_end(struct hk_flow *f, enum hk_flow_end how, enum htp_code code)
{
	struct hk_relay *r = f->relay;

	if (f->state == HK_FLOW_ENDED)
		return;
	if (!f->native)
		hk_dataplane_del_verdict(r->dp, &f->key);
	if (f->state == HK_FLOW_OPEN && f->active && !f->accepted && how == HK_END_RESET)
		hk_takeover_failed(f, htp_stream_code(f->stream));
	close_redir(f, how);
	let_go_of_stream(f, code);
	hk_timer_cancel(&r->timers, &f->timer);
	hk_timer_cancel(&r->timers, &f->watch);
	if (f->state == HK_FLOW_OPEN)
		r->stats[how == HK_END_DONE ? HK_REL_FLOWS_DONE : HK_REL_FLOWS_RESET]++;
	if (how == HK_END_DONE)
		r->nr_unheard = 0;
	f->lane->limit = 0;
	if (f->peer)
		LIST_REMOVE(f, by_peer);
	if (f->queued)
		TAILQ_REMOVE(&r->ready, f, ready);
	LIST_REMOVE(f, by_key);
	f->queued = false;
	f->peer = NULL;
	f->state = HK_FLOW_ENDED;
	LIST_INSERT_HEAD(&r->ended, f, ended);
}

/**
 * hk_flows_reap - give the slots of ended flows back
 * @r: relay, between loop passes
 */
void hk_flows_reap(struct hk_relay *r)
{
	struct hk_flow *f;

	while ((f = LIST_FIRST(&r->ended))) {
		LIST_REMOVE(f, ended);
		r->free_slots[r->nr_free++] = f->slot;
		f->relay = NULL;
		r->nr_flows--;
	}
}

/**
 * hk_flow_wake - pump this flow before the loop waits again
 * @f: flow
 */
void hk_flow_wake(struct hk_flow *f)
{
	if (f->queued || f->state == HK_FLOW_ENDED)
		return;
	f->queued = true;
	TAILQ_INSERT_TAIL(&f->relay->ready, f, ready);
}

static int pending_error(int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return err;
}

/*
 * The application's FIN, or what else a read of 0 or an error says. When an RST has followed
 * the FIN already, read() tells of the FIN only, and no event of the RST is to come.
 */
static void input_ended(struct hk_flow *f, int err)
{
	if (f->aborting)
		return;
	if (err || pending_error(f->redir_fd)) {
		hk_flow_abort(f);
		return;
	}
	f->in_done = true;
	htp_stream_finish(f->stream);
}

static void wake_timer(struct hk_timer *timer, __u64 now_ns)
{
	(void)now_ns;
	hk_flow_wake((void *)((char *)timer - offsetof(struct hk_flow, timer)));
}

/* The application's bytes stay in its socket till then: it is slowed down, not reset */
static void wait_for_memory(struct hk_flow *f)
{
	hk_room_failed(f->relay, -ENOMEM);
	f->timer.fire = wake_timer;
	hk_timer_arm(&f->relay->timers, &f->timer, f->relay->now_ns + MEMORY_NS);
}

/* Returns false when nothing more can be read now */
static bool read_once(struct hk_flow *f, size_t *total)
{
	struct iovec iov[PUMP_IOVS];
	ssize_t len;
	int nr;

	nr = htp_stream_reserve(f->stream, iov, PUMP_IOVS);
	if (nr == -ENOMEM) {
		wait_for_memory(f);
		return false;
	}
	if (nr < 0) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_NOMEM);
		return false;
	}
	if (nr == 0)
		return false;		/* HTP_EV_WRITABLE goes on from here */
	len = readv(f->redir_fd, iov, nr);
	if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
		f->readable = false;
		/* or thousands of flows that end their turn here would each keep that room */
		htp_stream_commit(f->stream, 0);
		return false;
	}
	if (len <= 0) {
		input_ended(f, len ? errno : 0);
		return false;
	}
	hk_lane_reader_account(&f->reader, len);
	f->relay->pumped_bytes += len;
	htp_stream_commit(f->stream, len);
	*total += len;
	return true;
}

/**
 * hk_flow_drain - read what the redirection socket still has
 * @f: flow, OPEN and aborting, without the application's FIN
 */
void hk_flow_drain(struct hk_flow *f)
{
	size_t total = 0;

	while (read_once(f, &total))
		;
}

static void pump_in(struct hk_flow *f)
{
	size_t total = 0;

	if (f->in_done || !f->readable || !f->stream)
		return;
	while (total < PUMP_BYTES)
		if (!read_once(f, &total))
			return;
	hk_flow_wake(f);
}

static void output_ended(struct hk_flow *f, int err)
{
	if (err != -ENODATA) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_NONE);
		return;
	}
	f->out_done = true;
	f->shut_first = !f->in_done;
	if (shutdown(f->redir_fd, SHUT_WR))
		hk_flow_abort(f);
	else
		hk_flow_watch(f);
}

static bool write_once(struct hk_flow *f, size_t *total)
{
	struct iovec iov[PUMP_IOVS];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t len;
	int nr;

	nr = htp_stream_peek(f->stream, iov, PUMP_IOVS);
	if (nr < 0)
		output_ended(f, nr);
	if (nr <= 0)
		return false;
	msg.msg_iovlen = nr;
	len = sendmsg(f->redir_fd, &msg, MSG_NOSIGNAL);
	if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
		f->writable = false;
		return false;
	}
	if (len < 0) {
		hk_flow_abort(f);
		return false;
	}
	if (!f->out_bytes && f->state == HK_FLOW_OPEN)
		hk_unheard_watch(f);
	f->out_bytes += len;
	f->relay->pumped_bytes += len;
	htp_stream_consume(f->stream, len);
	hk_flow_watch(f);
	*total += len;
	return true;
}

static void pump_out(struct hk_flow *f)
{
	size_t total = 0;

	if (f->state == HK_FLOW_ENDED || f->out_done || !f->writable || !f->stream)
		return;
	while (total < PUMP_BYTES)
		if (!write_once(f, &total))
			return;
	hk_flow_wake(f);
}

/*
 * Both sides have said all. The redirection socket stays until the application has
 * taken its bytes: steering may end with the daemon, and what the kernel still had to
 * deliver would leave on the wire.
 */
static void finish(struct hk_flow *f)
{
	struct hk_relay *r = f->relay;
	int unsent;

	if (!ioctl(f->redir_fd, SIOCOUTQ, &unsent) && unsent) {
		if (++f->attempts % CLOSING_ASK == 0 && hk_flow_is_orphan(f)) {
			hk_flow_end(f, HK_END_RESET, HTP_CODE_NONE);
			return;
		}
		f->timer.fire = wake_timer;
		hk_timer_arm(&r->timers, &f->timer, r->now_ns + CLOSING_NS);
		return;
	}
	hk_flow_end(f, HK_END_DONE, HTP_CODE_NONE);
}

static void pump(struct hk_flow *f)
{
	struct hk_peer *peer = f->peer;

	if (f->aborting)
		return;
	/*
	 * A passive flow writes while it is TAKING already: a listener with
	 * TCP_DEFER_ACCEPT completes the handshake only when data comes.
	 */
	pump_out(f);
	if (f->state == HK_FLOW_OPEN)
		pump_in(f);
	if (f->state == HK_FLOW_OPEN && f->finished && f->in_done && f->out_done)
		finish(f);
	hk_peer_touch(peer);
}

/**
 * hk_flows_pump - one turn for each flow that was woken
 * @r: relay
 *
 * A flow with more to do than its share is woken again and waits for the next
 * loop pass.
 */
void hk_flows_pump(struct hk_relay *r)
{
	unsigned int turns = 0;
	struct hk_flow *f;
	__u64 start;

	TAILQ_FOREACH(f, &r->ready, ready)
		turns++;
	start = r->pumped_bytes;
	while (turns-- && r->pumped_bytes - start < TURN_BYTES && (f = TAILQ_FIRST(&r->ready))) {
		TAILQ_REMOVE(&r->ready, f, ready);
		f->queued = false;
		if (f->peer)
			pump(f);
	}
}

/**
 * hk_flow_on_poll - its redirection socket is ready for something
 * @f:	    flow
 * @events: of epoll
 */
void hk_flow_on_poll(struct hk_flow *f, __u32 events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		f->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		f->writable = true;
	/*
	 * Both directions over and still an error: the application reset a
	 * connection that it had shut down. No read or write will find out.
	 */
	if (f->state == HK_FLOW_OPEN && f->in_done && (events & EPOLLERR)) {
		hk_flow_abort(f);
		return;
	}
	hk_flow_wake(f);
}

/**
 * hk_flow_on_stream - its stream has something to tell
 * @f:	    flow
 * @events: enum htp_event
 */
void hk_flow_on_stream(struct hk_flow *f, unsigned int events)
{
	if (events & HTP_EV_RESET) {
		hk_flow_end(f, HK_END_RESET, HTP_CODE_NONE);
		return;
	}
	if ((events & HTP_EV_ACCEPTED) && f->state == HK_FLOW_OPEN)
		hk_takeover_accepted(f);
	if (events & HTP_EV_FINISHED)
		f->finished = true;
	if (events & HTP_EV_WRITABLE)
		f->readable = true;
	hk_flow_wake(f);
}
