// SPDX-License-Identifier: GPL-2.0
/*
 * How much the peer may send, and how much is kept for it.
 *
 * Windows begin small and double, as QUIC implementations have it, when more than
 * half of one came within two round trips, or an eighth while the peer gets faster:
 * soon the window would stop it. They follow the reader: who stops reading stops
 * their growth. Half of what one stream has needed is where the next one begins.
 *
 * Limits never move back (RFC 9000, 4.1). For the association
 *
 *	limit = consumed + window + unread
 *
 * where @unread are bytes that are complete and wait for a slow application: its
 * own stream's window bounds them, and they must not stop the other streams. All
 * that the peer may still make us hold, limit - consumed, is charged to a budget
 * that all associations share. When that is used up nothing grows, and
 *
 *	limit = consumed + unread + least window
 *
 * so that whatever has no gap always finds room for what follows.
 */
#include <string.h>

#include "alloc.h"
#include "private.h"
#include "queue.h"
#include "stream.h"
#include "window.h"

#define ROUND_MIN_NS	(4 * HTP_MSEC)	/* ACKs and readers are never quicker than this */
#define START_MAX	(4U << 20)	/* of the window that a stream begins with */
#define PROMISE_MAX	(1U << 20)	/* of that which the peer may take for granted */
#define PRESSED_BUFFER	(2 * HTP_CHUNK)	/* keeps a stream going, no more */

static bool charge(struct htp_assoc *a, __s64 bytes, bool always)
{
	return !a->config.charge || a->config.charge(a->config.priv, bytes, always);
}

/* Is the budget used up? */
static bool is_pressed(const struct htp_assoc *a)
{
	return a->config.charge && !a->config.charge(a->config.priv, 0, false);
}

static void window_init(const struct htp_assoc *a, struct htp_window *w, __u32 size)
{
	memset(w, 0, sizeof(*w));
	w->size = size;
	w->since_ns = a->now;
}

void htp_window_init(struct htp_assoc *a)
{
	window_init(a, &a->rx_window, a->config.window);
	a->rx_limit = a->config.window;
	a->rx_promise = a->config.stream_window;
	a->rx_learned = a->config.stream_window;
	a->tx_promise = a->config.peer_stream_window;
	charge(a, a->rx_limit, true);
}

/* The association ends: nothing can come any more */
void htp_window_exit(struct htp_assoc *a)
{
	charge(a, -(__s64)(a->rx_limit - a->rx_consumed), true);
}

/* It is an old association's: this is what the peer may still send, whatever there is */
void htp_window_set(struct htp_assoc *a, __u64 limit, __u64 consumed)
{
	charge(a, limit - consumed, true);
	charge(a, -(__s64)(a->rx_limit - a->rx_consumed), true);
	a->rx_limit = limit;
	a->rx_consumed = consumed;
}

/* A new stream begins with what every stream may; where more was learned, that is told */
void htp_window_init_stream(struct htp_stream *s)
{
	struct htp_assoc *a = s->a;
	__u32 size = is_pressed(a) ? a->rx_promise : a->rx_learned;

	window_init(a, &s->window, size);
	htp_sendq_init(&s->tx, a->tx_promise);
	htp_recvq_init(&s->rx, size);
	/* of a promise made lately the peer may not know yet */
	if (size > a->config.stream_window)
		s->want |= HTP_WANT_MAX;
}

/*
 * What came within two round trips, up to @received, by now: half of the window at
 * most should that be, for a loss holds back what the application could read for a
 * round trip, and half of the window is free before we say so. While the peer doubles
 * its rate, an eighth: it will have sent four times as much before it hears of more room,
 * beyond what a loss holds back. Not more often than four times in a round trip:
 * datagrams that come in a burst, as after a pause of ours, are no sign of speed.
 */
static __u32 needed(const struct htp_assoc *a, struct htp_window *w, __u64 received, __u32 most)
{
	__u64 round = htp_max(a->rc.srtt, ROUND_MIN_NS);
	__u64 came, size = 2ULL * w->size;

	if (a->now - w->since_ns > 2 * round) {
		w->since_ns = a->now;
		w->came = w->last - w->from;
		w->from = w->last;
	}
	w->last = received;
	came = received - w->from;
	if (came > w->came + w->came / 2)
		came *= 4;
	if (w->size >= most || 2 * came <= w->size || a->now - w->grown_ns < round / 4)
		return w->size;
	return htp_min(size, most);
}

static void set_size(const struct htp_assoc *a, struct htp_window *w, __u32 size)
{
	w->size = size;
	w->grown_ns = a->now;
}

static void learn(struct htp_assoc *a, __u32 size)
{
	/* half of it is a flight or two, and the new one grows by itself */
	__u32 start = htp_min(size / 2, START_MAX), promise = htp_min(start, PROMISE_MAX);

	a->rx_learned = htp_max(a->rx_learned, start);
	/* a stream that needs so much must find it in the association's window */
	a->rx_window.size = htp_max(a->rx_window.size, htp_min(2ULL * size, a->config.max_window));
	if (promise <= a->rx_promise)
		return;
	a->rx_promise = promise;
	a->want_promise = true;
}

/*
 * Windows follow a reader that keeps up. One that doesn't is itself what stops the
 * peer, and would only make us hold more.
 */
static void grow(struct htp_stream *s)
{
	struct htp_assoc *a = s->a;
	__u32 stream, all;

	if (s->rx.consumed != s->rx.contig)
		return;
	stream = needed(a, &s->window, s->rx.highest, a->config.max_stream_window);
	all = needed(a, &a->rx_window, a->rx_received, a->config.max_window);
	if ((stream == s->window.size && all == a->rx_window.size) || is_pressed(a))
		return;
	if (all > a->rx_window.size)
		set_size(a, &a->rx_window, all);
	if (stream == s->window.size)
		return;
	set_size(a, &s->window, stream);
	learn(a, stream);
}

static void assoc_raise(struct htp_assoc *a, __u64 limit)
{
	a->rx_limit = limit;
	a->want_max = true;
}

static __u64 assoc_limit(const struct htp_assoc *a)
{
	__u64 window = htp_min(a->rx_window.size + a->rx_unread, a->config.max_window);

	return a->rx_consumed + window;
}

/* Announced when it is half a window more: a frame for less would not be worth it */
static void assoc_open(struct htp_assoc *a)
{
	__u64 size = a->rx_window.size, least = a->config.window;
	__u64 complete = a->rx_consumed + a->rx_unread;
	__u64 limit = assoc_limit(a);

	if (limit >= a->rx_limit + (size + 1) / 2 && charge(a, limit - a->rx_limit, false)) {
		assoc_raise(a, limit);
		return;
	}
	if (a->config.max_window == least || complete + least < a->rx_limit + (least + 1) / 2)
		return;
	charge(a, complete + least - a->rx_limit, true);
	assoc_raise(a, complete + least);
}

static void stream_open(struct htp_stream *s)
{
	__u64 limit = s->rx.consumed + s->window.size;

	if (s->rx.final != HTP_NEVER || limit < s->rx.limit + (s->window.size + 1) / 2)
		return;
	s->rx.limit = limit;
	s->want |= HTP_WANT_MAX;
	htp_stream_schedule(s);
}

/* What MAX_DATA says: all that there is by the time it is written */
__u64 htp_window_limit(struct htp_assoc *a)
{
	__u64 limit = assoc_limit(a);

	if (limit > a->rx_limit && charge(a, limit - a->rx_limit, false))
		a->rx_limit = limit;
	return a->rx_limit;
}

/* Likewise MAX_STREAM_DATA */
__u64 htp_window_stream_limit(struct htp_stream *s)
{
	if (s->rx.final == HTP_NEVER)
		s->rx.limit = htp_max(s->rx.limit, s->rx.consumed + s->window.size);
	return s->rx.limit;
}

/* Bytes read or dropped make room in the association's window */
void htp_window_on_consumed(struct htp_assoc *a, __u64 len)
{
	a->rx_consumed += len;
	charge(a, -(__s64)len, true);
	assoc_open(a);
}

/* The application has read @len bytes that were complete */
void htp_window_on_read(struct htp_stream *s, __u64 len)
{
	struct htp_assoc *a = s->a;

	a->rx_unread -= len;
	grow(s);
	htp_window_on_consumed(a, len);
	stream_open(s);
}

/* Bytes came behind a gap: what is missing must not stop the rest */
void htp_window_on_ahead(struct htp_stream *s)
{
	grow(s);
	stream_open(s);
	assoc_open(s->a);
}

/* @len bytes more are complete and wait for the application */
void htp_window_on_complete(struct htp_assoc *a, __u64 len)
{
	a->rx_unread += len;
	assoc_open(a);
}

/*
 * Bytes kept of a stream for the peer: what may be in flight, and as much again
 * to follow it. With all memory in use, so much that the stream goes on.
 */
__u64 htp_window_send_buffer(const struct htp_assoc *a)
{
	__u64 least = a->config.stream_buffer, most = a->config.max_stream_buffer;

	if (most == least)
		return least;
	if (is_pressed(a))
		return htp_min(least, PRESSED_BUFFER);
	return htp_min(htp_max(least, 2 * htp_assoc_cwnd(a)), most);
}

/* New bytes that fit into it */
__u64 htp_window_send_room(const struct htp_stream *s)
{
	__u64 buffer = htp_window_send_buffer(s->a), used = s->tx.end - s->tx.acked;

	return buffer > used ? buffer - used : 0;
}

void htp_window_stats(const struct htp_assoc *a, struct htp_stats *stats)
{
	stats->window_bytes = a->rx_window.size;
	stats->stream_window_bytes = a->rx_learned;
	stats->unread_bytes = a->rx_unread;
	stats->stream_buffer_bytes = htp_window_send_buffer(a);
}

/**
 * htp_stream_window() - how much the peer may have under way on a stream
 * @s: stream
 *
 * Return: size of its receive window, bytes.
 */
__u64 htp_stream_window(const struct htp_stream *s)
{
	return s->window.size;
}
