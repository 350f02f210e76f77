// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: one direction of the link.
 *
 *   black hole, MTU -> tail-drop queue -> line (rate) -> mark -> loss -> damage -> delay
 *
 * Every packet's fate and its due time are settled when it enters, from its
 * arrival time alone; so it does not matter how late the event loop looks.
 * Packets keep their order unless reordering picked them, also when a setting
 * makes the link shorter while packets are under way.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "linkem.h"

#define TCP_FIN		0x01
#define TCP_SYN		0x02
#define TCP_RST		0x04

/* A queue below this would drop back-to-back segments on links with next to no delay. */
#define MIN_DEFAULT_QUEUE	(16 * 1514)

/* SplitMix64: full period, good enough to throw dice with, any seed will do. */
static __u64 draw_u64(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Draws even when nothing can happen: the n-th packet's number must not depend on settings. */
static bool happens(__u64 *state, double probability)
{
	return (draw_u64(state) >> 11) * 0x1p-53 < probability;
}

void lk_pipe_init(struct lk_pipe *pipe, __u64 seed)
{
	int i;

	memset(pipe, 0, sizeof(*pipe));
	for (i = 0; i < LK_NR_DRAWS; i++) {
		pipe->rng[i] = seed + i;
		pipe->rng[i] = draw_u64(&pipe->rng[i]);
	}
}

void lk_pipe_exit(struct lk_pipe *pipe)
{
	size_t i;

	for (i = 0; i < pipe->nr_heap; i++)
		free(pipe->heap[i]);
	free(pipe->heap);
	pipe->heap = NULL;
	pipe->nr_heap = 0;
}

void lk_pipe_reset_counters(struct lk_pipe *pipe)
{
	memset(pipe->proto, 0, sizeof(pipe->proto));
	memset(&pipe->other, 0, sizeof(pipe->other));
	memset(&pipe->link, 0, sizeof(pipe->link));
}

static bool is_before(const struct lk_packet *a, const struct lk_packet *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static int heap_insert(struct lk_pipe *pipe, struct lk_packet *pkt)
{
	size_t i, parent, cap;
	void *heap;

	if (pipe->nr_heap == pipe->cap_heap) {
		cap = pipe->cap_heap ? 2 * pipe->cap_heap : 1024;
		heap = realloc(pipe->heap, cap * sizeof(*pipe->heap));
		if (!heap)
			return -1;
		pipe->heap = heap;
		pipe->cap_heap = cap;
	}
	for (i = pipe->nr_heap++; i; i = parent) {
		parent = (i - 1) / 2;
		if (!is_before(pkt, pipe->heap[parent]))
			break;
		pipe->heap[i] = pipe->heap[parent];
	}
	pipe->heap[i] = pkt;
	return 0;
}

/**
 * lk_pipe_due() - when the next packet has to leave
 * @pipe: direction
 * Return: its due time, LK_NEVER if none is stored.
 */
__u64 lk_pipe_due(const struct lk_pipe *pipe)
{
	return pipe->nr_heap ? pipe->heap[0]->due_ns : LK_NEVER;
}

/**
 * lk_pipe_pop() - take out the packet that is due first
 * @pipe: direction
 * Return: the packet, now the caller's to free; NULL if none is stored.
 */
struct lk_packet *lk_pipe_pop(struct lk_pipe *pipe)
{
	struct lk_packet *first, *last;
	size_t i = 0, child;

	if (!pipe->nr_heap)
		return NULL;
	first = pipe->heap[0];
	last = pipe->heap[--pipe->nr_heap];
	for (child = 1; child < pipe->nr_heap; child = 2 * i + 1) {
		if (child + 1 < pipe->nr_heap &&
		    is_before(pipe->heap[child + 1], pipe->heap[child]))
			child++;
		if (is_before(last, pipe->heap[child]))
			break;
		pipe->heap[i] = pipe->heap[child];
		i = child;
	}
	pipe->heap[i] = last;
	pipe->stored_bytes -= sizeof(*first) + first->len;
	return first;
}

static void store(struct lk_pipe *pipe, struct lk_packet *pkt, __u64 due_ns)
{
	size_t size = sizeof(*pkt) + pkt->len;

	pkt->due_ns = due_ns;
	pkt->seq = pipe->next_seq++;
	if (pipe->stored_bytes + size > LK_PIPE_MAX_BYTES || heap_insert(pipe, pkt)) {
		pipe->link.dropped_memory++;
		free(pkt);
		return;
	}
	pipe->stored_bytes += size;
}

static void store_copy(struct lk_pipe *pipe, const struct lk_packet *pkt, __u64 due_ns)
{
	size_t size = sizeof(*pkt) + pkt->len;
	struct lk_packet *copy = malloc(size);

	if (!copy) {
		pipe->link.dropped_memory++;
		return;
	}
	memcpy(copy, pkt, size);
	store(pipe, copy, due_ns);
}

static void count_entry(struct lk_counters *cnt, const struct lk_packet *pkt,
			const struct lk_frame_info *info)
{
	cnt->packets++;
	cnt->bytes += pkt->len;
	cnt->payload_bytes += info->payload_len;
	if (!info->is_ip || info->proto != IPPROTO_TCP)
		return;
	if (info->payload_len)
		cnt->with_payload++;
	else
		cnt->without_payload++;
	cnt->syn += !!(info->tcp_flags & TCP_SYN);
	cnt->fin += !!(info->tcp_flags & TCP_FIN);
	cnt->rst += !!(info->tcp_flags & TCP_RST);
}

static double queue_limit(const struct lk_pipe *pipe, double ns_per_byte)
{
	double bdp = pipe->rtt_ns / ns_per_byte;

	if (pipe->cfg.queue_bytes)
		return pipe->cfg.queue_bytes;
	return bdp > MIN_DEFAULT_QUEUE ? bdp : MIN_DEFAULT_QUEUE;
}

/*
 * Returns the time at which the last bit is on the line, LK_NEVER if the queue was full.
 * *mark: it was long enough for a mark.
 */
static __u64 pass_line(struct lk_pipe *pipe, __u32 len, __u64 arrival_ns, bool *mark)
{
	double ns_per_byte, waiting;

	if (!pipe->cfg.rate_bps)
		return arrival_ns;
	ns_per_byte = 8.0 * LK_NSEC_PER_SEC / pipe->cfg.rate_bps;
	if (pipe->busy_ns < arrival_ns)
		pipe->busy_ns = arrival_ns;
	waiting = (pipe->busy_ns - arrival_ns) / ns_per_byte;
	if (waiting + len > queue_limit(pipe, ns_per_byte))
		return LK_NEVER;
	*mark = pipe->cfg.mark_bytes && waiting > pipe->cfg.mark_bytes;
	pipe->busy_ns += len * ns_per_byte;
	return pipe->busy_ns;
}

/*
 * With bursts this is Gilbert's model: a burst goes on with probability 1 - 1/mean and
 * begins so seldom that the overall fraction is still cfg.loss.
 */
static bool is_lost(struct lk_pipe *pipe)
{
	double loss = pipe->cfg.loss, mean = pipe->cfg.burst, p = loss;
	bool was_lost = pipe->in_burst;

	if (mean > 1 && loss < 1)
		p = pipe->in_burst ? 1 - 1 / mean : loss / (1 - loss) / mean;
	pipe->in_burst = happens(&pipe->rng[LK_DRAW_LOSS], p);
	pipe->link.loss_bursts += pipe->in_burst && !was_lost;
	return pipe->in_burst;
}

/* Flips one bit where the settings allow it; returns whether there was such a place. */
static bool flip_bit(struct lk_pipe *pipe, struct lk_packet *pkt, const struct lk_frame_info *info)
{
	__u32 off = info->payload_off, len = info->payload_len;
	__u64 bit;

	if (pipe->cfg.corrupt_any) {
		off = info->l3_off;
		len = pkt->len - off;
	}
	if (!len)
		return false;
	bit = draw_u64(&pipe->rng[LK_DRAW_CORRUPT]) % (8ULL * len);
	pkt->data[off + bit / 8] ^= 1 << bit % 8;
	return true;
}

static void pass_damage(struct lk_pipe *pipe, struct lk_packet *pkt, struct lk_counters *cnt,
			const struct lk_frame_info *info, __u64 due_ns)
{
	bool dup = happens(&pipe->rng[LK_DRAW_DUP], pipe->cfg.dup);
	bool late = happens(&pipe->rng[LK_DRAW_REORDER], pipe->cfg.reorder);

	if (happens(&pipe->rng[LK_DRAW_CORRUPT], pipe->cfg.corrupt) && flip_bit(pipe, pkt, info))
		cnt->corrupted++;
	if (late) {
		due_ns += pipe->cfg.reorder_ns;
		cnt->reordered++;
	} else {
		pipe->last_due_ns = due_ns;
	}
	if (dup) {
		cnt->duplicated++;
		store_copy(pipe, pkt, due_ns);
	}
	store(pipe, pkt, due_ns);
}

static bool is_too_big(const struct lk_pipe *pipe, const struct lk_packet *pkt,
		       const struct lk_frame_info *info)
{
	return info->is_ip && !info->is_control && pipe->cfg.mtu &&
	       pkt->len - info->l3_off > pipe->cfg.mtu;
}

static void tell_too_big(struct lk_pipe *pipe, const struct lk_packet *pkt,
			 const struct lk_frame_info *info, __u64 arrival_ns)
{
	struct lk_packet *msg = lk_icmp_too_big(pkt, info, pipe->cfg.mtu);

	if (msg)
		lk_pipe_push(pipe->back, msg, arrival_ns);
	else
		pipe->link.dropped_memory++;
}

/**
 * lk_pipe_push() - a frame enters the link
 * @pipe:       direction
 * @pkt:        frame from malloc(), its @len set; consumed
 * @arrival_ns: when it entered, not before that of the frame before it
 */
void lk_pipe_push(struct lk_pipe *pipe, struct lk_packet *pkt, __u64 arrival_ns)
{
	struct lk_frame_info info;
	struct lk_counters *cnt;
	bool mark = false;
	__u64 due_ns;

	lk_frame_parse(pkt->data, pkt->len, &info);
	cnt = info.is_ip ? &pipe->proto[info.proto] : &pipe->other;
	count_entry(cnt, pkt, &info);
	if (info.is_ip && !info.is_control &&
	    pipe->cfg.blackhole[info.proto / 8] & 1 << info.proto % 8) {
		cnt->dropped_blackhole++;
		goto drop;
	}
	pipe->link.fragments += info.is_part;
	if (is_too_big(pipe, pkt, &info)) {
		cnt->dropped_mtu++;
		pipe->link.may_split += info.may_split;
		if (pipe->cfg.mtu_tell)
			tell_too_big(pipe, pkt, &info, arrival_ns);
		goto drop;
	}
	due_ns = pass_line(pipe, pkt->len, arrival_ns, &mark);
	if (due_ns == LK_NEVER) {
		cnt->dropped_queue++;
		goto drop;
	}
	due_ns += pipe->cfg.delay_ns;
	if (due_ns < pipe->last_due_ns)
		due_ns = pipe->last_due_ns;
	if (info.is_control) {
		pipe->last_due_ns = due_ns;
		store(pipe, pkt, due_ns);
		return;
	}
	if (mark && lk_frame_mark(pkt->data, &info))
		cnt->marked++;
	if (is_lost(pipe)) {
		cnt->dropped_loss++;
		goto drop;
	}
	pass_damage(pipe, pkt, cnt, &info, due_ns);
	return;
drop:
	free(pkt);
}
