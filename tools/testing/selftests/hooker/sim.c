// SPDX-License-Identifier: GPL-2.0
/*
 * The simulator: random numbers, memory, and the loop that every user of the core has:
 * feed, fetch events, write, arm.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_parts.h"

#define MAX_TX		100000	/* datagrams of one side at one instant */

/* splitmix64 */
__u64 sim_random(struct sim *sim)
{
	__u64 z = sim->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
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
	sim_app_events(sim, side);
	while (nr++ < MAX_TX && (len = htp_assoc_tx(a, pkt, sizeof(pkt), sim->now)) > 0)
		sim_link_send(sim, side, pkt, len);
	if (len || htp_assoc_deadline(a) <= sim->now)
		sim->errors++;
}

/* Also lets calls of the application, made between runs, take effect */
static void kick(struct sim *sim)
{
	turn(sim, SIM_A);
	turn(sim, SIM_B);
	if (sim->audit)
		sim_audit(sim);
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
		struct sim_packet *packet = sim_link_take(sim);

		arrive(sim, packet);
		free(packet);
	}
	sim_app_retry(sim);
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

long sim_exit(struct sim *sim)
{
	htp_assoc_destroy(sim->assoc[SIM_A]);
	htp_assoc_destroy(sim->assoc[SIM_B]);
	sim_app_exit(sim);
	while (sim->nr_heap)
		free(sim->heap[--sim->nr_heap]);
	free(sim->heap);
	return sim->mem[SIM_A].live + sim->mem[SIM_B].live;
}
