// SPDX-License-Identifier: GPL-2.0
/*
 * The simulator: random numbers, memory, the link, the little application, and
 * the loop that every user of the core has: feed, fetch events, write, arm.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "htp/private.h"
#include "htp/queue.h"
#include "htp/ranges.h"
#include "htp/recovery.h"
#include "htp/stream.h"

#define PATTERN_LEN	65521	/* a prime: no chunk or datagram size divides it */
#define OPEN_LEN	16
#define MAX_TX		100000	/* datagrams of one side at one instant */

struct sim_packet {
	__u64		at_ns, nr;
	enum sim_side	to;
	__u32		too_big;	/* no datagram: one of @to's was larger than this */
	__u32		from_addr;
	__u8		ecn;
	size_t		len;
	__u8		data[];
};

/* splitmix64 */
__u64 sim_random(struct sim *sim)
{
	__u64 z = sim->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static bool chance(struct sim *sim, double p)
{
	return p > 0 && (sim_random(sim) >> 11) * 0x1p-53 < p;
}

static __u64 mem_random(void *priv)
{
	struct sim_mem *mem = priv;
	struct sim random = { .random = ~0ULL / 3 ^ mem->nr_random++ << 20 };

	return sim_random(&random);
}

static bool mem_fails(struct sim_mem *mem)
{
	struct sim random = { .random = ++mem->nr };

	if (mem->nr == mem->fail_at || (mem->fail_from && mem->nr >= mem->fail_from))
		return true;
	return mem->fail_every && sim_random(&random) % mem->fail_every == 0;
}

static void *mem_alloc(void *priv, size_t size)
{
	struct sim_mem *mem = priv;
	size_t *p;

	if (mem_fails(mem))
		return NULL;
	p = malloc(size + 16);
	if (!p)
		return NULL;
	*p = size;
	mem->live++;
	mem->bytes += size;
	if (mem->bytes > mem->peak)
		mem->peak = mem->bytes;
	return (char *)p + 16;
}

static void mem_free(void *priv, void *ptr)
{
	struct sim_mem *mem = priv;
	size_t *p = (size_t *)((char *)ptr - 16);

	mem->live--;
	mem->bytes -= *p;
	free(p);
}

/* Stays the same for the whole process, whatever the seed */
static const __u8 *pattern(void)
{
	static __u8 bytes[2 * PATTERN_LEN];
	struct sim random = { .random = 1 };
	size_t i;

	if (bytes[0])
		return bytes;
	for (i = 0; i < PATTERN_LEN; i++)
		bytes[i] = sim_random(&random) | !i;
	memcpy(bytes + PATTERN_LEN, bytes, PATTERN_LEN);
	return bytes;
}

/* What the stream's direction to @to has at @offset; valid for PATTERN_LEN bytes */
static const __u8 *pattern_at(__u64 id, enum sim_side to, __u64 offset)
{
	return pattern() + (offset + id * 7919 + to * 31337) % PATTERN_LEN;
}

static void heap_push(struct sim *sim, struct sim_packet *packet)
{
	size_t i;

	if (sim->nr_heap == sim->cap_heap) {
		sim->cap_heap = sim->cap_heap ? 2 * sim->cap_heap : 1024;
		sim->heap = realloc(sim->heap, sim->cap_heap * sizeof(*sim->heap));
		if (!sim->heap)
			abort();
	}
	packet->nr = sim->nr_packets++;
	for (i = sim->nr_heap++; i; i = (i - 1) / 2) {
		struct sim_packet *up = sim->heap[(i - 1) / 2];

		if (up->at_ns <= packet->at_ns)
			break;
		sim->heap[i] = up;
	}
	sim->heap[i] = packet;
}

static bool heap_less(const struct sim *sim, size_t i, size_t j)
{
	const struct sim_packet *a = sim->heap[i], *b = sim->heap[j];

	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->nr < b->nr);
}

static struct sim_packet *heap_pop(struct sim *sim)
{
	struct sim_packet *top = sim->heap[0];
	size_t i = 0;

	sim->heap[0] = sim->heap[--sim->nr_heap];
	while (2 * i + 1 < sim->nr_heap) {
		struct sim_packet *moved = sim->heap[i];
		size_t least = 2 * i + 1;

		if (least + 1 < sim->nr_heap && heap_less(sim, least + 1, least))
			least++;
		if (!heap_less(sim, least, i))
			break;
		sim->heap[i] = sim->heap[least];
		sim->heap[least] = moved;
		i = least;
	}
	return top;
}

/* Returns whether it is delivered nevertheless */
static bool flip_bit(struct sim *sim, enum sim_side from, struct sim_packet *packet)
{
	__u32 covered = htp_assoc_tx_via(sim->assoc[from])->covered;
	struct sim_link *link = &sim->link[from];
	__u64 bit;

	if (!link->deliver_bad && !link->partial)
		return false;
	bit = sim_random(sim) % (8 * packet->len);
	packet->data[bit / 8] ^= 1 << (bit % 8);
	if (link->partial && (!covered || bit / 8 < covered))
		return false;
	link->nr_damaged++;
	return true;
}

static void deliver(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len, __u8 ecn,
		    __u64 at_ns)
{
	struct sim_link *link = &sim->link[from];
	struct sim_packet *packet = malloc(sizeof(*packet) + len);

	if (!packet)
		abort();
	packet->at_ns = at_ns;
	packet->to = !from;
	packet->too_big = 0;
	packet->from_addr = sim->addr[from];
	if (sim->carriers)
		packet->from_addr = sim->known[from][htp_assoc_tx_via(sim->assoc[from])->path];
	packet->ecn = ecn;
	packet->len = len;
	memcpy(packet->data, pkt, len);
	if (chance(sim, link->corrupt) && !flip_bit(sim, from, packet)) {
		link->nr_lost++;
		free(packet);
		return;
	}
	if (chance(sim, link->reorder))
		packet->at_ns += sim_random(sim) % (link->reorder_ns + 1);
	heap_push(sim, packet);
}

static bool is_burst(struct sim *sim, struct sim_link *link)
{
	if (!link->burst)
		return false;
	link->is_bad = link->is_bad ? !chance(sim, link->burst_end) : chance(sim, link->burst);
	return link->is_bad && chance(sim, link->burst_loss);
}

static bool is_dropped(struct sim *sim, struct sim_link *link)
{
	__u64 nr = link->nr_sent++;

	if (link->dead || is_burst(sim, link) || (!link->late_loss && chance(sim, link->loss)))
		return true;
	return nr < 64 && (link->drop_mask >> nr & 1);
}

/* When @bytes offered now have left the link's queue; HTP_NEVER: lost */
__u64 sim_link_pass(struct sim *sim, struct sim_link *link, __u64 bytes, __u64 now_ns)
{
	__u64 wait = link->busy_ns > now_ns ? link->busy_ns - now_ns : 0;

	link->wire_bytes += bytes;
	link->queued = (double)wait * link->rate / SIM_SEC;
	if (is_dropped(sim, link)) {
		link->nr_lost++;
		return HTP_NEVER;
	}
	if (link->rate) {
		if (link->queue && (double)wait * link->rate / SIM_SEC + bytes > link->queue) {
			link->nr_lost++;
			link->nr_overflow++;
			return HTP_NEVER;
		}
		link->busy_ns = now_ns + wait + bytes * SIM_SEC / link->rate;
		now_ns = link->busy_ns;
	}
	if (link->late_loss && chance(sim, link->loss)) {
		link->nr_lost++;
		return HTP_NEVER;
	}
	return now_ns;
}

static void trace(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len)
{
	size_t i;

	sim->trace = (sim->trace ^ sim->now ^ len << 32 ^ from) * 0x100000001b3ULL;
	for (i = 0; i < len && i < 64; i++)
		sim->trace = (sim->trace ^ pkt[i]) * 0x100000001b3ULL;
}

/* True if it doesn't fit; whoever drops it may say so, and quotes its header */
static bool is_too_big(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len)
{
	struct sim_link *link = &sim->link[from];
	struct sim_packet *packet;

	if (len > link->most)
		link->most = len;
	if (!link->mtu || len <= link->mtu)
		return false;
	link->nr_too_big++;
	if (!link->tells_mtu)
		return true;
	packet = malloc(sizeof(*packet) + HTP_HDR_LEN);
	if (!packet)
		abort();
	packet->at_ns = sim->now + link->delay_ns;
	packet->to = from;
	packet->too_big = link->mtu;
	packet->len = HTP_HDR_LEN;
	memcpy(packet->data, pkt, HTP_HDR_LEN);
	heap_push(sim, packet);
	return true;
}

static __u8 pass_mark(struct sim_link *link, const struct sim_link *queue, __u8 ecn)
{
	if (link->bleach || ecn == HTP_ECN_NONE)
		return HTP_ECN_NONE;
	if (queue->mark && queue->queued > queue->mark) {
		link->nr_marked++;
		return HTP_ECN_CE;
	}
	return link->remark ? HTP_ECN_ECT1 : ecn;
}

static void transmit(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len)
{
	const struct htp_via *via = htp_assoc_tx_via(sim->assoc[from]);
	struct sim_link *link = &sim->link[from];
	__u32 dest = sim->known[from][via->path];
	__u8 ecn = via->ecn;
	__u64 at;

	trace(sim, from, pkt, len);
	if (sim->tap)
		sim->tap(sim, from, dest, pkt, len);
	if (!(sim->reach[!from] >> dest & 1) || (ecn && link->drop_ect)) {
		link->nr_sent++;
		link->nr_lost++;
		return;
	}
	if (is_too_big(sim, from, pkt, len))
		return;
	at = sim_link_pass(sim, link->via ? link->via : link, len + sim->overhead, sim->now);
	if (at == HTP_NEVER)
		return;
	ecn = pass_mark(link, link->via ? link->via : link, ecn);
	deliver(sim, from, pkt, len, ecn, at + link->delay_ns);
	if (chance(sim, link->duplicate))
		deliver(sim, from, pkt, len, ecn, at + link->delay_ns);
}

static void put64(__u8 *p, __u64 value)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = value >> (8 * i);
}

static __u64 get64(const __u8 *p)
{
	__u64 value = 0;
	int i;

	for (i = 0; i < 8; i++)
		value |= (__u64)p[i] << (8 * i);
	return value;
}

static struct sim_flow *flow_create(struct sim *sim, enum sim_side side)
{
	struct sim_flow *flow = calloc(1, sizeof(*flow));

	if (!flow)
		abort();
	flow->side = side;
	flow->next = sim->flows;
	sim->flows = flow;
	sim->nr_live++;
	return flow;
}

static void flow_release(struct sim *sim, struct sim_flow *flow)
{
	flow->done_ns = sim->now;
	htp_stream_release(flow->stream);
	flow->stream = NULL;
	sim->nr_live--;
}

static void flow_write(struct sim *sim, struct sim_flow *flow)
{
	while (flow->stream && flow->sent < flow->to_send) {
		__u64 left = flow->to_send - flow->sent, done = 0;
		struct iovec iov[4];
		int i, nr;

		nr = htp_stream_reserve(flow->stream, iov, 4);
		if (nr == -ENOMEM)
			sim->retry_ns = sim->now + SIM_MSEC;
		if (nr <= 0)
			return;
		for (i = 0; i < nr && done < left; i++) {
			size_t n = iov[i].iov_len < left - done ? iov[i].iov_len : left - done;

			memcpy(iov[i].iov_base,
			       pattern_at(flow->id, !flow->side, flow->sent + done), n);
			done += n;
		}
		if (htp_stream_commit(flow->stream, done))
			sim->errors++;
		flow->sent += done;
	}
	if (flow->stream && htp_stream_finish(flow->stream))
		sim->errors++;
}

static bool is_loose(const struct sim *sim, enum sim_side side, __u64 id)
{
	return sim->loose[side] >> (id / 2 % 64) & 1;
}

static void compare(struct sim *sim, struct sim_flow *flow, const struct iovec *iov)
{
	const __u8 *want = pattern_at(flow->id, flow->side, flow->received);
	const __u8 *got = iov->iov_base;
	size_t i;

	flow->received += iov->iov_len;
	if (!memcmp(got, want, iov->iov_len))
		return;
	if (!is_loose(sim, SIM_A, flow->id) || !is_loose(sim, SIM_B, flow->id))
		sim->errors++;
	for (i = 0; i < iov->iov_len; i++)
		flow->bad_bits += __builtin_popcount(got[i] ^ want[i]);
}

/* Read all there is */
void sim_read(struct sim *sim, struct sim_flow *flow)
{
	struct iovec iov[2];
	int i, nr;

	while ((nr = htp_stream_peek(flow->stream, iov, 2)) > 0) {
		__u64 before = flow->received;

		for (i = 0; i < nr; i++)
			compare(sim, flow, &iov[i]);
		if (htp_stream_consume(flow->stream, flow->received - before))
			sim->errors++;
	}
	if (nr != -ENODATA || flow->saw_end)
		return;
	flow->saw_end = true;
	if (flow->received != flow->to_recv)
		sim->errors++;
}

static void loosen(const struct sim *sim, struct sim_flow *flow)
{
	if (is_loose(sim, flow->side, flow->id))
		htp_stream_loosen(flow->stream);
}

static void flow_opened(struct sim *sim, enum sim_side side, struct htp_stream *s)
{
	struct sim_flow *flow;
	const __u8 *open;
	size_t len;

	open = htp_stream_open_data(s, &len);
	if (sim->refuse[side] || len != OPEN_LEN) {
		htp_stream_reset(s, HTP_CODE_REFUSED);
		htp_stream_release(s);
		return;
	}
	flow = flow_create(sim, side);
	flow->stream = s;
	flow->id = htp_stream_id(s);
	flow->to_recv = get64(open);
	flow->to_send = get64(open + 8);
	loosen(sim, flow);
	if (htp_stream_accept(s, flow))
		sim->errors++;
	flow_write(sim, flow);
}

static void flow_event(struct sim *sim, struct sim_flow *flow, unsigned int events)
{
	if (flow->finished && !sim->linger)
		sim->errors++;	/* nothing can come after the end */
	if (events & HTP_EV_ACCEPTED)
		flow->accepted = true;
	if (events & HTP_EV_READABLE && !sim->paused[flow->side])
		sim_read(sim, flow);
	if (events & HTP_EV_WRITABLE)
		flow_write(sim, flow);
	if (events & HTP_EV_FINISHED)
		flow->finished = true;
	if (events & HTP_EV_RESET) {
		flow->reset = true;
		flow->code = htp_stream_code(flow->stream);
	}
	if (flow->reset || (flow->finished && !sim->linger))
		flow_release(sim, flow);
}

static void fetch_events(struct sim *sim, enum sim_side side)
{
	struct htp_stream *s;
	unsigned int events;

	while ((s = htp_assoc_event(sim->assoc[side], &events))) {
		if (events & HTP_EV_OPENED)
			flow_opened(sim, side, s);
		if (!(events & HTP_EV_OPENED && sim->refuse[side]) && htp_stream_owner(s))
			flow_event(sim, htp_stream_owner(s), events);
	}
}

static void retry_writes(struct sim *sim)
{
	struct sim_flow *flow;

	if (!sim->retry_ns || sim->now < sim->retry_ns)
		return;
	sim->retry_ns = 0;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->sent < flow->to_send)
			flow_write(sim, flow);
}

/* What the daemon does: addresses on one side, numbers on the other */
static __u32 path_of(struct sim *sim, enum sim_side side, __u32 addr)
{
	__u32 set = htp_assoc_paths(sim->assoc[side]), n;

	for (n = 0; n < HTP_PATHS; n++)
		if (set >> n & 1 && sim->known[side][n] == addr)
			return n;
	for (n = 0; n < HTP_PATHS && set >> n & 1; n++)
		;
	if (n < HTP_PATHS)
		sim->known[side][n] = addr;
	return n;
}

static void receive(struct sim *sim, const struct sim_packet *packet)
{
	struct htp_assoc *a = sim->assoc[packet->to];
	__u32 used = sim->known[packet->to][htp_assoc_path(a)];
	struct htp_via via = {
		.path = path_of(sim, packet->to, packet->from_addr),
		.ecn = packet->ecn,
		.same_host = packet->from_addr / SIM_PORTS == used / SIM_PORTS,
	};

	if (htp_assoc_rx_via(a, packet->data, packet->len, &via, sim->now) == -EPERM)
		sim->strangers[packet->to]++;
}

static __u64 deadline_of(const struct sim *sim, enum sim_side side)
{
	__u64 deadline = htp_assoc_deadline(sim->assoc[side]);

	if (deadline == HTP_NEVER || !sim->tick_ns)
		return deadline;
	return (deadline + sim->tick_ns - 1) / sim->tick_ns * sim->tick_ns;
}

/* Whatever is due at this instant; afterwards the side waits for something */
static void turn(struct sim *sim, enum sim_side side)
{
	struct htp_assoc *a = sim->assoc[side];
	__u8 pkt[HTP_MAX_DATAGRAM];
	ssize_t len = 0;
	int nr = 0;

	if (htp_assoc_deadline(a) <= sim->now) {
		sim->nr_timers[side]++;
		htp_assoc_expire(a, sim->now);
	}
	fetch_events(sim, side);
	while (nr++ < MAX_TX && (len = htp_assoc_tx(a, pkt, sizeof(pkt), sim->now)) > 0)
		transmit(sim, side, pkt, len);
	if (len || htp_assoc_deadline(a) <= sim->now)
		sim->errors++;
}

/*
 * What must hold between any two calls, or bytes could be forgotten for good:
 * every byte sent and not acknowledged, and every frame that has to arrive, is
 * in a packet whose fate is open or on the list of what is to be sent.
 */
static bool is_flying(const struct htp_assoc *a, __u64 stream, __u8 type, __u64 offset)
{
	const struct htp_recovery *rc = &a->rc;
	__u64 pn;
	int i;

	for (pn = rc->head; pn != HTP_NEVER; pn = htp_sent_at(rc, pn)->next) {
		const struct htp_sent *sent = htp_sent_at(rc, pn);

		for (i = 0; i < sent->nr_frames && sent->state == HTP_SENT_FLYING; i++) {
			const struct htp_sent_frame *f;

			f = htp_sent_frame_at(rc, sent->first_frame + i);
			if (f->stream != stream || f->type != type)
				continue;
			if (offset == HTP_NEVER || (offset >= f->offset &&
						    offset < f->offset + htp_max(f->len, 1)))
				return true;
		}
	}
	return false;
}

static bool has(const struct htp_ranges *set, __u64 offset)
{
	__u32 i = htp_ranges_find(set, offset);

	return i < set->nr && htp_ranges_at(set, i)->start <= offset;
}

static bool audit_bytes(struct sim *sim, const struct htp_stream *s)
{
	const struct htp_sendq *tx = &s->tx;
	__u64 offset;
	int i;

	for (i = 0; i < 4 && tx->acked < tx->sent; i++) {
		offset = tx->acked + (i ? sim_random(sim) % (tx->sent - tx->acked) : 0);
		if (!has(&tx->lost, offset) && !has(&tx->above, offset) &&
		    !is_flying(s->a, s->id, HTP_F_STREAM, offset) &&
		    !is_flying(s->a, s->id, HTP_F_STREAM_FIN, offset))
			return false;
	}
	return tx->acked <= tx->sent && tx->sent <= tx->end &&
	       tx->end - tx->acked <= s->a->config.max_stream_buffer;
}

static bool audit_stream(struct sim *sim, const struct htp_stream *s)
{
	const struct htp_sendq *tx = &s->tx;
	const struct htp_recvq *rx = &s->rx;

	if (s->owes_reset && !(s->want & HTP_WANT_RESET) &&
	    !is_flying(s->a, s->id, HTP_F_RESET, HTP_NEVER))
		return false;
	if (s->dead)
		return !tx->q.nr && !rx->q.nr;
	if (!htp_list_is_empty(&s->unseen_link) && !(s->want & HTP_WANT_OPEN) &&
	    !is_flying(s->a, s->id, HTP_F_OPEN, HTP_NEVER))
		return false;
	if (tx->finished && !tx->fin_acked && !tx->fin_due &&
	    !is_flying(s->a, s->id, HTP_F_STREAM_FIN, HTP_NEVER))
		return false;
	if (tx->sent < htp_min(tx->end, tx->limit) && htp_list_is_empty(&s->data_link))
		return false;
	if ((s->want || tx->lost.nr) && htp_list_is_empty(&s->ctl_link))
		return false;
	return rx->consumed <= rx->contig && rx->contig <= rx->highest &&
	       rx->highest <= rx->limit && audit_bytes(sim, s);
}

/* A window that the peer has not heard of is on its way */
static bool audit_windows(const struct htp_assoc *a, const struct htp_assoc *peer)
{
	struct htp_link *link;

	if (peer->tx_limit < a->rx_limit && !a->want_max &&
	    !is_flying(a, 0, HTP_F_MAX_DATA, a->rx_limit))
		return false;
	for (link = a->streams.next; link != &a->streams; link = link->next) {
		struct htp_stream *s = htp_entry(link, struct htp_stream, all);
		struct htp_stream *other = htp_stream_find(peer, s->id);

		if (!other || s->dead || other->dead || s->rx.final != HTP_NEVER)
			continue;
		if (other->tx.limit < s->rx.limit && !(s->want & HTP_WANT_MAX) &&
		    !is_flying(a, s->id, HTP_F_MAX_STREAM_DATA, s->rx.limit))
			return false;
	}
	return true;
}

static bool audit_assoc(struct sim *sim, const struct htp_assoc *a)
{
	__u64 flying = 0, nr = 0, ahead = 0, pn;
	struct htp_link *link;

	for (pn = a->rc.head; pn != HTP_NEVER; pn = htp_sent_at(&a->rc, pn)->next) {
		if (htp_sent_at(&a->rc, pn)->state != HTP_SENT_FLYING)
			continue;
		flying += htp_sent_at(&a->rc, pn)->size;
		nr++;
	}
	for (link = a->streams.next; link != &a->streams; link = link->next) {
		struct htp_stream *s = htp_entry(link, struct htp_stream, all);

		ahead += s->rx.ahead.nr;
		if (!a->closed && !audit_stream(sim, s))
			return false;
	}
	return flying == a->rc.in_flight && nr == a->rc.nr_flying && ahead == a->nr_ahead;
}

static void audit(struct sim *sim)
{
	struct htp_assoc *a = sim->assoc[SIM_A], *b = sim->assoc[SIM_B];

	if (!audit_assoc(sim, a) || !audit_assoc(sim, b))
		sim->errors++;
	if (!a->closed && !b->closed && (!audit_windows(a, b) || !audit_windows(b, a)))
		sim->errors++;
}

/* Also lets calls of the application, made between runs, take effect */
static void kick(struct sim *sim)
{
	turn(sim, SIM_A);
	turn(sim, SIM_B);
	if (sim->audit)
		audit(sim);
}

__u64 sim_next(const struct sim *sim)
{
	__u64 next = deadline_of(sim, SIM_A);

	if (deadline_of(sim, SIM_B) < next)
		next = deadline_of(sim, SIM_B);
	if (sim->nr_heap && sim->heap[0]->at_ns < next)
		next = sim->heap[0]->at_ns;
	if (sim->retry_ns && sim->retry_ns < next)
		next = sim->retry_ns;
	return next;
}

static void arrive(struct sim *sim, const struct sim_packet *packet)
{
	struct htp_assoc *a = sim->assoc[packet->to];
	struct htp_path_hint hint = { .size = packet->too_big };
	struct htp_hello hello;
	struct htp_hdr hdr;

	if (!packet->too_big) {
		receive(sim, packet);
		return;
	}
	if (htp_quote_read(packet->data, packet->len, &hdr, &hello))
		sim->errors++;
	hint.pn = hdr.pn;
	htp_assoc_path_mtu(a, &hint, sim->now);
}

void sim_step(struct sim *sim, __u64 now_ns)
{
	if (now_ns > sim->now)
		sim->now = now_ns;
	while (sim->nr_heap && sim->heap[0]->at_ns <= sim->now) {
		struct sim_packet *packet = heap_pop(sim);

		arrive(sim, packet);
		free(packet);
	}
	retry_writes(sim);
	kick(sim);
}

static bool step(struct sim *sim, __u64 end_ns)
{
	__u64 next = sim_next(sim);

	if (next == HTP_NEVER || next > end_ns)
		return false;
	sim_step(sim, next);
	return true;
}

int sim_run(struct sim *sim, __u64 for_ns)
{
	__u64 end_ns = sim->now + for_ns;

	kick(sim);
	while (sim->nr_live)
		if (!step(sim, end_ns))
			return -ETIME;
	return 0;
}

void sim_run_for(struct sim *sim, __u64 for_ns)
{
	__u64 end_ns = sim->now + for_ns;

	kick(sim);
	while (step(sim, end_ns))
		;
	sim->now = end_ns;
}

int sim_run_idle(struct sim *sim, __u64 for_ns)
{
	__u64 end_ns = sim->now + for_ns;

	kick(sim);
	while (step(sim, end_ns))
		;
	if (sim->nr_heap || deadline_of(sim, SIM_A) != HTP_NEVER ||
	    deadline_of(sim, SIM_B) != HTP_NEVER)
		return -ETIME;
	return 0;
}

struct sim_flow *sim_open(struct sim *sim, enum sim_side side, __u64 up, __u64 down)
{
	struct sim_flow *flow;
	__u8 open[OPEN_LEN];

	put64(open, up);
	put64(open + 8, down);
	flow = flow_create(sim, side);
	flow->stream = htp_stream_open(sim->assoc[side], open, sizeof(open), flow);
	if (!flow->stream) {
		flow->reset = true;	/* the application knows */
		sim->nr_live--;
		return NULL;
	}
	flow->id = htp_stream_id(flow->stream);
	loosen(sim, flow);
	flow->to_send = up;
	flow->to_recv = down;
	flow_write(sim, flow);
	return flow;
}

/* The other end of the flow, NULL if its OPEN has not come */
struct sim_flow *sim_peer(struct sim *sim, const struct sim_flow *flow)
{
	struct sim_flow *f;

	for (f = sim->flows; f; f = f->next)
		if (f->id == flow->id && f->side != flow->side)
			return f;
	return NULL;
}

static void config_default(struct sim *sim, enum sim_side side)
{
	const struct htp_config config = {
		.peer_id = 0x1000 + side,
		.initiator = side == SIM_A,
		.max_datagram = 1200,
		.stream_window = 2 << 20,
		.window = 8 << 20,
		.stream_buffer = 2 << 20,
		.peer_window = 8 << 20,
		.peer_stream_window = 2 << 20,
		.max_streams = 4096,
		.alloc = mem_alloc,
		.free = mem_free,
		.random = mem_random,
		.priv = &sim->mem[side],
	};

	sim->config[side] = config;
}

void sim_init(struct sim *sim, __u64 seed)
{
	memset(sim, 0, sizeof(*sim));
	sim_count(seed);
	sim->random = seed;
	sim->now = SIM_SEC;
	sim->overhead = 28;
	sim->reach[SIM_A] = 1;
	sim->reach[SIM_B] = 1;
	config_default(sim, SIM_A);
	config_default(sim, SIM_B);
	sim->link[SIM_A].delay_ns = 10 * SIM_MSEC;
	sim->link[SIM_B].delay_ns = 10 * SIM_MSEC;
}

/* 0 or -ENOMEM; sim_exit() is due in any case */
int sim_start(struct sim *sim)
{
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->assoc[side] = htp_assoc_create(&sim->config[side], sim->now);
		if (!sim->assoc[side])
			return -ENOMEM;
	}
	return 0;
}

void sim_move(struct sim *sim, enum sim_side side, __u32 addr)
{
	sim->addr[side] = addr;
	sim->reach[side] = 1ULL << addr;
}

/* A datagram that somebody else sends: it arrives with the next step */
void sim_inject(struct sim *sim, enum sim_side to, __u32 from, const __u8 *pkt, size_t len)
{
	struct sim_packet *packet = malloc(sizeof(*packet) + len);

	if (!packet)
		abort();
	packet->at_ns = sim->now;
	packet->to = to;
	packet->too_big = 0;
	packet->from_addr = from;
	packet->ecn = HTP_ECN_NONE;
	packet->len = len;
	memcpy(packet->data, pkt, len);
	heap_push(sim, packet);
}

long sim_exit(struct sim *sim)
{
	struct sim_flow *flow, *next;

	htp_assoc_destroy(sim->assoc[SIM_A]);
	htp_assoc_destroy(sim->assoc[SIM_B]);
	for (flow = sim->flows; flow; flow = next) {
		next = flow->next;
		free(flow);
	}
	while (sim->nr_heap)
		free(sim->heap[--sim->nr_heap]);
	free(sim->heap);
	return sim->mem[SIM_A].live + sim->mem[SIM_B].live;
}
