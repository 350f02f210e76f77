// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: their table, their lifetime, and what the application calls.
 *
 * A stream ends in one of two ways. Finished: our FIN and all before it is
 * acknowledged, the peer's was read. Dead: one side sent RESET, which ends both
 * directions; the other answers with its own RESET unless its FIN was
 * acknowledged, so that both know how much of the association's window the
 * stream has used. Once ended and released its memory goes.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "private.h"
#include "queue.h"
#include "stream.h"
#include "window.h"

#define BUCKETS_MIN	64

static struct htp_stream **stream_bucket(const struct htp_assoc *a, __u64 id)
{
	return &a->buckets[id & (a->nr_buckets - 1)];
}

struct htp_stream *htp_stream_find(const struct htp_assoc *a, __u64 id)
{
	struct htp_stream *s;

	if (!a->nr_buckets)
		return NULL;
	for (s = *stream_bucket(a, id); s; s = s->hash_next)
		if (s->id == id)
			return s;
	return NULL;
}

/* Ids are consecutive, so as many buckets as streams keep the chains short */
static int stream_grow_table(struct htp_assoc *a)
{
	struct htp_stream **old = a->buckets, **buckets;
	__u32 nr_old = a->nr_buckets, i;

	if (a->nr_streams < nr_old)
		return 0;
	a->nr_buckets = nr_old ? 2 * nr_old : BUCKETS_MIN;
	buckets = htp_zalloc(a, a->nr_buckets * sizeof(*buckets));
	if (!buckets) {
		a->nr_buckets = nr_old;
		return nr_old ? 0 : -ENOMEM;	/* longer chains will do */
	}
	a->buckets = buckets;
	for (i = 0; i < nr_old; i++) {
		struct htp_stream *s, *next;

		for (s = old[i]; s; s = next) {
			next = s->hash_next;
			s->hash_next = *stream_bucket(a, s->id);
			*stream_bucket(a, s->id) = s;
		}
	}
	htp_free(a, old);
	return 0;
}

struct htp_stream *htp_stream_create(struct htp_assoc *a, __u64 id, bool local)
{
	struct htp_stream *s;

	if (stream_grow_table(a))
		return NULL;
	s = htp_zalloc(a, sizeof(*s));
	if (!s)
		return NULL;
	s->a = a;
	s->id = id;
	s->local = local;
	htp_list_init(&s->event_link);
	htp_list_init(&s->ctl_link);
	htp_list_init(&s->data_link);
	htp_list_init(&s->unseen_link);
	htp_list_init(&s->reserve_link);
	htp_window_init_stream(s);
	htp_list_add_tail(&a->streams, &s->all);
	s->hash_next = *stream_bucket(a, id);
	*stream_bucket(a, id) = s;
	a->nr_streams++;
	htp_stream_schedule(s);
	return s;
}

static void stream_count_out(struct htp_stream *s)
{
	struct htp_assoc *a = s->a;

	a->nr_streams--;
	if (s->stub)
		a->nr_stubs--;
	else if (!s->local)
		a->nr_peer--;
	if (a->nr_streams)
		return;
	a->idle_ns = a->now;
	htp_chunk_drop_cache(a);
}

void htp_stream_destroy(struct htp_stream *s)
{
	struct htp_assoc *a = s->a;
	struct htp_stream **pos = stream_bucket(a, s->id);

	while (*pos != s)
		pos = &(*pos)->hash_next;
	*pos = s->hash_next;
	htp_list_del(&s->all);
	htp_list_del(&s->event_link);
	htp_list_del(&s->ctl_link);
	htp_list_del(&s->data_link);
	htp_list_del(&s->unseen_link);
	htp_list_del(&s->reserve_link);
	htp_sendq_clear(a, &s->tx);
	htp_recvq_clear(a, &s->rx);
	stream_count_out(s);
	htp_free(a, s->open_data);
	htp_free(a, s);
}

/* Before OPEN came the application doesn't know the stream; its events wait */
void htp_stream_raise(struct htp_stream *s, unsigned int events)
{
	if (s->released)
		return;
	s->events |= events;
	if (s->opened && htp_list_is_empty(&s->event_link))
		htp_list_add_tail(&s->a->event_list, &s->event_link);
}

static void stream_set_link(struct htp_link *head, struct htp_link *link, bool wanted)
{
	if (wanted == !htp_list_is_empty(link))
		return;
	if (wanted)
		htp_list_add_tail(head, link);
	else
		htp_list_del(link);
}

/* Put the stream into the lists of those that have something to send, or take it out */
void htp_stream_schedule(struct htp_stream *s)
{
	const struct htp_sendq *tx = &s->tx;
	bool more = !s->dead && tx->sent < tx->end;
	bool ctl;

	if (more && tx->sent >= tx->limit && tx->blocked_at != tx->limit)
		s->want |= HTP_WANT_BLOCKED;
	ctl = s->want || tx->lost.nr || (tx->fin_due && tx->sent == tx->end);
	stream_set_link(&s->a->ctl_list, &s->ctl_link, ctl);
	stream_set_link(&s->a->data_list, &s->data_link, more && tx->sent < tx->limit);
}

static bool stream_is_known(const struct htp_stream *s)
{
	return s->local || (s->opened && !(s->events & HTP_EV_OPENED));
}

/* Its OPEN came, or nobody waits for it any more */
void htp_stream_forget_unopened(struct htp_stream *s)
{
	s->a->unopened -= s->unopened;
	s->unopened = 0;
}

/* Both directions end. Events are up to the caller */
void htp_stream_kill(struct htp_stream *s, enum htp_code code)
{
	struct htp_assoc *a = s->a;

	s->dead = true;
	s->code = code;
	s->want = 0;
	s->released |= !stream_is_known(s);	/* nobody needs to hear of it any more */
	s->events = 0;
	htp_list_del(&s->event_link);
	htp_list_del(&s->reserve_link);
	htp_stream_forget_unopened(s);
	htp_sendq_clear(a, &s->tx);
	htp_recvq_clear(a, &s->rx);
	a->rx_unread -= s->rx.contig - s->rx.consumed;
	htp_window_on_consumed(a, s->rx.highest - s->rx.consumed);
	s->rx.contig = s->rx.highest;
	s->rx.consumed = s->rx.highest;
	htp_stream_schedule(s);
}

static void stream_kill_and_tell(struct htp_stream *s, enum htp_code code)
{
	htp_stream_kill(s, code);
	s->owes_reset = true;
	s->want = HTP_WANT_RESET;
	htp_stream_schedule(s);
}

/* All is done with; may destroy the stream */
void htp_stream_settle(struct htp_stream *s)
{
	if (s->dead) {
		if (!s->a->closed && (s->owes_reset || s->rx.final == HTP_NEVER))
			return;
	} else {
		if (!s->tx.fin_acked || s->tx.acked != s->tx.end || !s->rx.end_read)
			return;
		if (!s->finished)
			htp_stream_raise(s, HTP_EV_FINISHED);
		s->finished = true;
	}
	if (s->released)
		htp_stream_destroy(s);
}

/* Room handed out for filling is taken back when packets are written */
void htp_stream_drop_reserved(struct htp_assoc *a)
{
	while (!htp_list_is_empty(&a->reserve_list)) {
		struct htp_stream *s = htp_entry(a->reserve_list.next, struct htp_stream,
						 reserve_link);

		htp_list_del(&s->reserve_link);
		htp_sendq_commit(a, &s->tx, 0);
	}
}

/* The peer remembers so many ids from the first on that it hasn't seen */
static bool stream_id_is_usable(const struct htp_assoc *a)
{
	const struct htp_stream *oldest;

	if (htp_list_is_empty(&a->unseen_list))
		return true;
	oldest = htp_entry(a->unseen_list.next, struct htp_stream, unseen_link);
	return (a->next_id - oldest->id) / 2 < HTP_ID_WINDOW;
}

/**
 * htp_stream_open() - open a stream to the peer
 * @a:     association
 * @data:  opaque bytes for whoever accepts it at the peer, copied
 * @len:   their number, HTP_OPEN_MAX (256) at most
 * @owner: what htp_stream_owner() returns
 *
 * Bytes may be written at once; they travel along with OPEN.
 *
 * Return: the stream, to be given back with htp_stream_release(); NULL: the
 * association ended, no memory, @len too large, or 16384 streams were opened
 * that the peer has not acknowledged.
 */
struct htp_stream *htp_stream_open(struct htp_assoc *a, const void *data, size_t len, void *owner)
{
	struct htp_stream *s;
	__u8 *copy = NULL;

	if (a->closed || len > HTP_OPEN_MAX || !stream_id_is_usable(a))
		return NULL;
	if (len) {
		copy = htp_alloc(a, len);
		if (!copy)
			return NULL;
		memcpy(copy, data, len);
	}
	s = htp_stream_create(a, a->next_id, true);
	if (!s) {
		htp_free(a, copy);
		return NULL;
	}
	a->next_id += 2;
	s->owner = owner;
	s->opened = true;
	s->open_data = copy;
	s->open_len = len;
	s->want |= HTP_WANT_OPEN;
	htp_list_add_tail(&a->unseen_list, &s->unseen_link);
	htp_stream_schedule(s);
	return s;
}

/**
 * htp_stream_loosen() - this side's application takes damaged bytes, and may send such
 * @s: opened just now, or about to be accepted
 *
 * If the peer's application does, too, bytes of the stream are sent in datagrams that
 * needn't be covered behind their control part, from when the peer is known to have
 * said so. What is lost is still repeated, and everything but the bytes is right.
 */
void htp_stream_loosen(struct htp_stream *s)
{
	s->loose = true;
}

/**
 * htp_stream_is_loose() - did both sides loosen the stream?
 * @s: stream
 *
 * Return: true as far as is known by now.
 */
bool htp_stream_is_loose(const struct htp_stream *s)
{
	return s->loose && s->peer_loose;
}

/**
 * htp_stream_accept() - take a stream that the peer opened
 * @s:     stream that came with HTP_EV_OPENED
 * @owner: what htp_stream_owner() returns from now on
 *
 * Return: 0; -EINVAL: opened by this side, or accepted already; -ECONNRESET: it
 * ended meanwhile.
 */
int htp_stream_accept(struct htp_stream *s, void *owner)
{
	if (s->dead)
		return -ECONNRESET;
	if (s->local || s->accepted)
		return -EINVAL;
	s->owner = owner;
	s->accepted = true;
	s->want |= HTP_WANT_ACCEPT;
	htp_stream_schedule(s);
	return 0;
}

/**
 * htp_stream_reset() - end both directions of a stream at once
 * @s:    stream
 * @code: told to the peer
 *
 * Bytes not yet delivered are dropped, both ways. Does nothing if the stream
 * ended already. Still to be released.
 */
void htp_stream_reset(struct htp_stream *s, enum htp_code code)
{
	if (!s->dead && !s->finished)
		stream_kill_and_tell(s, code);
}

/**
 * htp_stream_release() - the application is done with a stream
 * @s: stream; invalid afterwards, and there are no more events of it
 *
 * If htp_stream_finish() was called and the peer's end was read, bytes on their
 * way are still delivered. Otherwise the stream is reset with
 * HTP_CODE_APP_RESET unless it ended before.
 */
void htp_stream_release(struct htp_stream *s)
{
	s->released = true;
	s->events = 0;
	htp_list_del(&s->event_link);
	if (!s->dead && !(s->tx.finished && s->rx.end_read))
		stream_kill_and_tell(s, HTP_CODE_APP_RESET);
	htp_stream_settle(s);
}

/* Is the application to be told why it can't use the stream? */
static int stream_check_send(const struct htp_stream *s)
{
	if (s->dead)
		return -ECONNRESET;
	if (s->tx.finished)
		return -EPIPE;
	return s->local || s->accepted ? 0 : -ENOTCONN;
}

/**
 * htp_stream_reserve() - get memory to put bytes for the peer into
 * @s:      stream
 * @iov:    filled
 * @nr_iov: entries there, at least 1
 *
 * The memory is the stream's. It is valid until htp_stream_commit(), the next
 * htp_stream_reserve() of the same stream, or htp_assoc_tx().
 *
 * Return: number of entries filled; 0: the buffer is full, HTP_EV_WRITABLE will
 * tell; -ECONNRESET: the stream ended; -EPIPE: after htp_stream_finish();
 * -ENOTCONN: not accepted yet; -EINVAL; -ENOMEM.
 */
int htp_stream_reserve(struct htp_stream *s, struct iovec *iov, int nr_iov)
{
	int err = stream_check_send(s);

	if (!err && nr_iov < 1)
		err = -EINVAL;
	if (err)
		return err;
	htp_list_del(&s->reserve_link);
	htp_list_add_tail(&s->a->reserve_list, &s->reserve_link);
	return htp_sendq_reserve(s->a, &s->tx, htp_window_send_room(s), iov, nr_iov);
}

/**
 * htp_stream_commit() - send bytes that were put into reserved memory
 * @s:   stream
 * @len: number of bytes, from the start of the first entry on
 *
 * Return: 0; -ECONNRESET: the stream ended; -EPIPE: after htp_stream_finish();
 * -ENOTCONN: not accepted yet; -EINVAL: @len is more than what is reserved.
 */
int htp_stream_commit(struct htp_stream *s, size_t len)
{
	int err = stream_check_send(s);

	if (!err && len > s->tx.reserved)
		err = -EINVAL;
	if (err)
		return err;
	htp_list_del(&s->reserve_link);
	htp_sendq_commit(s->a, &s->tx, len);
	htp_stream_schedule(s);
	return 0;
}

/**
 * htp_stream_finish() - no more bytes for the peer
 * @s: stream
 *
 * The peer reads the end after all bytes committed. Calling it again does
 * nothing.
 *
 * Return: 0; -ECONNRESET: the stream ended; -ENOTCONN: not accepted yet.
 */
int htp_stream_finish(struct htp_stream *s)
{
	int err = stream_check_send(s);

	if (err)
		return err == -EPIPE ? 0 : err;
	htp_list_del(&s->reserve_link);
	htp_sendq_commit(s->a, &s->tx, 0);
	s->tx.finished = true;
	s->tx.fin_due = true;
	htp_stream_schedule(s);
	return 0;
}

/**
 * htp_stream_peek() - look at bytes that came, without a copy
 * @s:      stream
 * @iov:    filled
 * @nr_iov: entries there, at least 1
 *
 * The memory is the stream's and valid until htp_stream_consume() or
 * htp_assoc_rx().
 *
 * Return: number of entries filled; 0: nothing yet; -ENODATA: the end, all
 * bytes are consumed; -ECONNRESET: the stream or the association ended, bytes
 * not consumed are lost; -EINVAL.
 */
int htp_stream_peek(struct htp_stream *s, struct iovec *iov, int nr_iov)
{
	if (nr_iov < 1)
		return -EINVAL;
	if (s->dead)
		return -ECONNRESET;
	if (s->rx.consumed != s->rx.final)
		return htp_recvq_peek(&s->rx, iov, nr_iov);
	if (!s->rx.end_read) {
		s->rx.end_read = true;
		htp_stream_settle(s);
	}
	return -ENODATA;
}

/**
 * htp_stream_consume() - bytes that htp_stream_peek() showed are done with
 * @s:   stream
 * @len: their number
 *
 * Return: 0; -ECONNRESET: the stream ended; -EINVAL: more than there are.
 */
int htp_stream_consume(struct htp_stream *s, size_t len)
{
	if (s->dead)
		return -ECONNRESET;
	if (len > s->rx.contig - s->rx.consumed)
		return -EINVAL;
	htp_recvq_consume(s->a, &s->rx, len);
	htp_window_on_read(s, len);
	return 0;
}

/**
 * htp_stream_unsent() - bytes committed that were never sent
 * @s: stream
 *
 * Return: their number.
 */
size_t htp_stream_unsent(const struct htp_stream *s)
{
	return s->dead ? 0 : s->tx.end - s->tx.sent;
}

/**
 * htp_stream_unacked() - bytes committed that the peer hasn't acknowledged
 * @s: stream
 *
 * Return: their number, or less if some of the later ones have been.
 */
size_t htp_stream_unacked(const struct htp_stream *s)
{
	return s->dead ? 0 : s->tx.end - s->tx.acked;
}

/**
 * htp_stream_owner() - the pointer given to htp_stream_open(), _accept() or _set_owner()
 * @s: stream
 *
 * Return: it; NULL before any of them.
 */
void *htp_stream_owner(const struct htp_stream *s)
{
	return s->owner;
}

/**
 * htp_stream_set_owner() - give a stream that the peer opened an owner before it is accepted
 * @s:     stream
 * @owner: what htp_stream_owner() returns from now on
 */
void htp_stream_set_owner(struct htp_stream *s, void *owner)
{
	s->owner = owner;
}

/**
 * htp_stream_id() - the stream's id
 * @s: stream
 *
 * Return: it; unique within the association.
 */
__u64 htp_stream_id(const struct htp_stream *s)
{
	return s->id;
}

/**
 * htp_stream_code() - why a stream was reset
 * @s: stream
 *
 * Return: the code, HTP_CODE_NONE if it wasn't.
 */
enum htp_code htp_stream_code(const struct htp_stream *s)
{
	return s->code;
}

/**
 * htp_stream_open_data() - the bytes that came, or went, with OPEN
 * @s:   stream
 * @len: set to their number
 *
 * Return: the bytes, valid until the stream is released; NULL if there are none.
 */
const void *htp_stream_open_data(const struct htp_stream *s, size_t *len)
{
	*len = s->open_len;
	return s->open_data;
}
