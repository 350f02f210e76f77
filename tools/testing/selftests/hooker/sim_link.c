// SPDX-License-Identifier: GPL-2.0
/*
 * The simulator's links: what happens to a datagram on its way, and those that are on it.
 */
#include <stdlib.h>
#include <string.h>

#include "sim_parts.h"

static bool chance(struct sim *sim, double p)
{
	return p > 0 && (sim_random(sim) >> 11) * 0x1p-53 < p;
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

struct sim_packet *sim_link_take(struct sim *sim)
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

void sim_link_send(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len)
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
