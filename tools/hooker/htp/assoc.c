// SPDX-License-Identifier: GPL-2.0
/*
 * The association: creation, the end, and everything that a clock decides.
 *
 * It ends once, by htp_assoc_close(), the peer's CLOSE, a broken protocol or a
 * timer. From then on it only answers late datagrams with CLOSE; streams that
 * the application holds are dead, but valid until released.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ack.h"
#include "alloc.h"
#include "ecn.h"
#include "path.h"
#include "pmtu.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"
#include "stream.h"
#include "window.h"

#define CLOSE_GAP_NS	(5 * HTP_MSEC)
#define SUSPECT_MIN_NS	(200 * HTP_MSEC)
#define AHEAD_MIN	1024

static void *libc_alloc(void *priv, size_t size)
{
	(void)priv;
	return malloc(size);
}

static void libc_free(void *priv, void *ptr)
{
	(void)priv;
	free(ptr);
}

static bool config_is_valid(const struct htp_config *config)
{
	return config->max_datagram >= HTP_MIN_DATAGRAM && config->window &&
	       config->stream_window && config->stream_buffer &&
	       !config->alloc == !config->free;
}

static void config_fill(struct htp_config *config)
{
	if (!config->alloc) {
		config->alloc = libc_alloc;
		config->free = libc_free;
	}
	if (!config->cc)
		config->cc = &htp_cc_bbr;
	if (!config->initial_rtt_ns)
		config->initial_rtt_ns = HTP_INITIAL_RTT_NS;
	config->max_stream_window = htp_max(config->max_stream_window, config->stream_window);
	config->max_window = htp_max(config->max_window, config->window);
	config->max_stream_buffer = htp_max(config->max_stream_buffer, config->stream_buffer);
	config->max_datagram = htp_min(config->max_datagram, HTP_MAX_DATAGRAM);
	config->probe_max = htp_min(config->probe_max, HTP_MAX_DATAGRAM);
	/* the peer must have had time to answer a PING before it counts as dead */
	if (config->dead_ns)
		config->keepalive_ns = htp_min(config->keepalive_ns, config->dead_ns / 2);
}

static void assoc_init_lists(struct htp_assoc *a)
{
	htp_list_init(&a->streams);
	htp_list_init(&a->event_list);
	htp_list_init(&a->ctl_list);
	htp_list_init(&a->data_list);
	htp_list_init(&a->unseen_list);
	htp_list_init(&a->reserve_list);
}

/**
 * htp_assoc_create() - create an association whose handshake is done
 * @config: settings, copied; zero or NULL members get the defaults named there
 * @now_ns: time
 *
 * Return: the association, to be destroyed with htp_assoc_destroy(); NULL: no
 * memory, max_datagram less than HTP_MIN_DATAGRAM, or a window or buffer of 0.
 */
struct htp_assoc *htp_assoc_create(const struct htp_config *config, __u64 now_ns)
{
	struct htp_config filled = *config;
	struct htp_assoc *a;

	if (!config_is_valid(config))
		return NULL;
	config_fill(&filled);
	a = filled.alloc(filled.priv, sizeof(*a));
	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->config = filled;
	a->memory = sizeof(*a);
	a->now = now_ns;
	assoc_init_lists(a);
	htp_acks_init(&a->acks);
	htp_window_init(a);
	htp_recovery_init(a);
	htp_repair_init(a);
	htp_pmtu_init(a);
	htp_path_init(a);
	htp_ecn_init(a);
	a->max_ahead = AHEAD_MIN + filled.max_window / 512;
	a->next_id = filled.initiator ? 2 : 1;
	a->tx_limit = filled.peer_window;
	a->tx_blocked_at = HTP_NEVER;
	a->pace_ns = now_ns;
	a->retry_ns = HTP_NEVER;
	a->last_rx_ns = now_ns;
	a->answered_ns = now_ns;
	a->ping_ns = now_ns;
	a->idle_ns = now_ns;
	a->asked_ns = HTP_NEVER;
	a->suspect_ns = HTP_NEVER;
	a->cc = htp_alloc(a, filled.cc->size);
	if (!a->cc) {
		htp_assoc_destroy(a);
		return NULL;
	}
	filled.cc->init(a->cc, filled.max_datagram, config->initial_rtt_ns, now_ns);
	return a;
}

/**
 * htp_assoc_destroy() - free an association and all its streams, told or not
 * @a: association, or NULL
 */
void htp_assoc_destroy(struct htp_assoc *a)
{
	if (!a)
		return;
	while (!htp_list_is_empty(&a->streams))
		htp_stream_destroy(htp_entry(a->streams.next, struct htp_stream, all));
	htp_window_exit(a);
	htp_chunk_drop_cache(a);
	htp_sent_clear(a);
	htp_repair_clear(a);
	htp_free(a, a->buckets);
	htp_free(a, a->cc);
	a->config.free(a->config.priv, a);
}

void htp_assoc_set_now(struct htp_assoc *a, __u64 now_ns)
{
	a->now = htp_max(a->now, now_ns);
}

static void end_stream(struct htp_stream *s, enum htp_code code)
{
	if (!s->dead && (!s->finished || s->released)) {
		htp_stream_kill(s, code);
		htp_stream_raise(s, HTP_EV_RESET);
	}
	if (s->released)
		htp_stream_destroy(s);
}

/* The end. What is left to do is to write CLOSE, if the peer is to be told */
void htp_assoc_end(struct htp_assoc *a, enum htp_code code, bool tell_peer)
{
	struct htp_link *link, *next;

	if (a->closed)
		return;
	a->closed = true;
	a->code = code;
	a->close_due = tell_peer;
	a->close_gap_ns = tell_peer ? CLOSE_GAP_NS : 0;
	a->close_ns = a->now + a->close_gap_ns;
	for (link = a->streams.next; link != &a->streams; link = next) {
		next = link->next;
		end_stream(htp_entry(link, struct htp_stream, all), code);
	}
	htp_chunk_drop_cache(a);
	htp_sent_clear(a);
	htp_repair_clear(a);
}

/**
 * htp_assoc_close() - end the association now
 * @a:    association
 * @code: told to the peer
 *
 * All streams die and get HTP_EV_RESET. The next htp_assoc_tx() writes CLOSE.
 */
void htp_assoc_close(struct htp_assoc *a, enum htp_code code)
{
	htp_assoc_end(a, code, true);
}

/**
 * htp_assoc_is_closed() - did the association end?
 * @a: association
 *
 * Return: true after htp_assoc_close(), the peer's CLOSE, a protocol error or a timeout.
 */
bool htp_assoc_is_closed(const struct htp_assoc *a)
{
	return a->closed;
}

/**
 * htp_assoc_code() - why the association ended
 * @a: association
 *
 * Return: the code; HTP_CODE_NONE also for an idle timeout, or while it lives.
 */
enum htp_code htp_assoc_code(const struct htp_assoc *a)
{
	return a->code;
}

/**
 * htp_assoc_suspect() - something hints that the peer is gone, as an ICMP error does
 * @a:      association
 * @now_ns: time
 *
 * The peer is asked at once. Unless anything valid comes from it within three
 * PTOs, 200 ms at least, the association ends with HTP_CODE_TIMEOUT.
 */
void htp_assoc_suspect(struct htp_assoc *a, __u64 now_ns)
{
	htp_assoc_set_now(a, now_ns);
	if (a->closed || a->suspect_ns != HTP_NEVER)
		return;
	a->rc.probes = htp_max(a->rc.probes, 1);
	a->suspect_ns = a->now + htp_max(3 * htp_recovery_pto(&a->rc), SUSPECT_MIN_NS);
}

/**
 * htp_assoc_unanswered() - how long the peer has acknowledged nothing
 * @a: association
 *
 * Return: probe time-outs since its last ACK; a suspicion counts as one at least.
 */
unsigned int htp_assoc_unanswered(const struct htp_assoc *a)
{
	return htp_max(a->rc.pto_count, (__u32)(a->suspect_ns != HTP_NEVER));
}

/**
 * htp_assoc_ask() - have the peer acknowledge something soon
 * @a:      association
 * @now_ns: time
 *
 * The next two packets leave at once, PINGs if there is nothing else to send: the second one is
 * acknowledged without delay. They are repeated as anything is that is lost.
 */
void htp_assoc_ask(struct htp_assoc *a, __u64 now_ns)
{
	htp_assoc_set_now(a, now_ns);
	if (!a->closed)
		a->rc.probes = htp_max(a->rc.probes, 2);
}

/**
 * htp_assoc_answered_ns() - when the path last worked in both directions
 * @a: association
 *
 * Return: the time of the last ACK that acknowledged something; before there is one, that of
 * htp_assoc_create().
 */
__u64 htp_assoc_answered_ns(const struct htp_assoc *a)
{
	return a->answered_ns;
}

static __u64 idle_deadline(const struct htp_assoc *a)
{
	if (a->nr_streams || !a->config.idle_timeout_ns)
		return HTP_NEVER;
	return a->idle_ns + a->config.idle_timeout_ns;
}

/* While packets are in flight their PTO asks the peer anyway */
static __u64 keepalive_deadline(const struct htp_assoc *a)
{
	if (!a->nr_streams || !a->config.keepalive_ns || a->rc.nr_flying || a->want_ping)
		return HTP_NEVER;
	return htp_max(a->last_rx_ns, a->ping_ns) + a->config.keepalive_ns;
}

/*
 * Silence counts from the last packet if keep-alives would have noticed it, and
 * else from when the peer was first asked.
 */
static __u64 dead_deadline(const struct htp_assoc *a)
{
	__u64 since = a->asked_ns;

	if (!a->config.dead_ns || since == HTP_NEVER)
		return HTP_NEVER;
	since -= htp_min(since, a->config.keepalive_ns);
	return htp_max(a->last_rx_ns, since) + a->config.dead_ns;
}

/* While it is open where the peer is, silence where it was is no sign of its end */
static __u64 suspect_deadline(const struct htp_assoc *a)
{
	if (a->suspect_ns == HTP_NEVER)
		return HTP_NEVER;
	return htp_max(a->suspect_ns, htp_path_trial_end(a));
}

/**
 * htp_assoc_deadline() - when something is to be done, whatever else happens
 * @a: association
 *
 * Then call htp_assoc_expire(), and htp_assoc_tx() until it returns 0.
 *
 * Return: the time, perhaps past; HTP_NEVER: no timer.
 */
__u64 htp_assoc_deadline(const struct htp_assoc *a)
{
	__u64 deadline;

	if (a->closed)
		return a->close_due ? a->now : HTP_NEVER;
	deadline = htp_min(htp_tx_deadline(a), htp_recovery_deadline(a));
	deadline = htp_min(deadline, htp_pmtu_deadline(a));
	deadline = htp_min(deadline, idle_deadline(a));
	deadline = htp_min(deadline, keepalive_deadline(a));
	deadline = htp_min(deadline, dead_deadline(a));
	deadline = htp_min(deadline, htp_path_deadline(a));
	return htp_min(deadline, suspect_deadline(a));
}

/**
 * htp_assoc_expire() - do what is due
 * @a:      association
 * @now_ns: time; nothing happens before htp_assoc_deadline()
 *
 * Feed what has come to htp_assoc_rx() first: after a long pause the datagrams
 * that wait prove that the peer lives, the clock alone would say it doesn't.
 *
 * Return: 0; -ETIMEDOUT: the association has just ended, htp_assoc_code() tells
 * whether it was idle (HTP_CODE_NONE) or the peer silent (HTP_CODE_TIMEOUT).
 */
int htp_assoc_expire(struct htp_assoc *a, __u64 now_ns)
{
	htp_assoc_set_now(a, now_ns);
	if (a->closed)
		return 0;
	if (htp_min(dead_deadline(a), suspect_deadline(a)) <= a->now) {
		htp_assoc_end(a, HTP_CODE_TIMEOUT, true);
		return -ETIMEDOUT;
	}
	if (idle_deadline(a) <= a->now) {
		htp_assoc_end(a, HTP_CODE_NONE, true);
		return -ETIMEDOUT;
	}
	htp_path_expire(a);
	htp_recovery_expire(a);		/* first: what it calls lost may have been all in flight */
	htp_pmtu_expire(a);
	if (keepalive_deadline(a) <= a->now) {
		a->want_ping = true;
		a->ping_ns = a->now;
	}
	return 0;
}

/**
 * htp_assoc_event() - the next stream of which there is something to tell
 * @a:      association
 * @events: set to its HTP_EV_* bits, which are cleared thereby
 *
 * An event is given once; the next one comes when something new has happened.
 *
 * Return: the stream, those that waited longest first; NULL: none.
 */
struct htp_stream *htp_assoc_event(struct htp_assoc *a, unsigned int *events)
{
	struct htp_stream *s;

	if (htp_list_is_empty(&a->event_list))
		return NULL;
	s = htp_entry(a->event_list.next, struct htp_stream, event_link);
	htp_list_del(&s->event_link);
	*events = s->events;
	s->events = 0;
	return s;
}

/**
 * htp_assoc_stats() - counters and gauges
 * @a:     association
 * @stats: filled
 */
void htp_assoc_stats(const struct htp_assoc *a, struct htp_stats *stats)
{
	const struct htp_recovery *rc = &a->rc;

	*stats = a->stats;
	stats->srtt_ns = rc->srtt;
	stats->rttvar_ns = rc->rttvar;
	stats->min_rtt_ns = rc->min_rtt == HTP_NEVER ? 0 : rc->min_rtt;
	stats->cwnd_bytes = htp_assoc_cwnd(a);
	stats->in_flight_bytes = rc->in_flight;
	stats->pacing_bytes_per_sec = a->config.cc->pacing_rate(a->cc, rc->srtt);
	stats->path_mtu = a->pmtu.size;
	stats->ecn_state = a->ecn.state;
	stats->memory_bytes = a->memory;
	stats->nr_streams = a->nr_streams;
	htp_window_stats(a, stats);
}
