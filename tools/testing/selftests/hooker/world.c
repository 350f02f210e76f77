// SPDX-License-Identifier: GPL-2.0
/*
 * Associations that share a link: each has a simulator of its own, and all of
 * them advance to whatever comes next in any.
 *
 * Functions that may fail return 0 or -ENOMEM; world_destroy() is due in any case.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"
#include "htp/units.h"

#define TCP_RING	(sizeof(((struct tcp *)0)->ack) / sizeof(((struct tcp *)0)->ack[0]))
#define TCP_BYTES	1448
#define TCP_WIRE	1514

__u64 world_seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

/* Windows that never limit, as on a host that adapts them */
void path_init(struct sim *sim, const struct sim_link *link, const struct htp_cc_ops *cc,
	       __u64 seed)
{
	__u32 window = htp_max(4 << 20, 8 * link->rate * link->delay_ns / SIM_SEC);
	int side;

	sim_init(sim, seed);
	sim->overhead = OVERHEAD;
	sim->tick_ns = SIM_MSEC;
	for (side = SIM_A; side <= SIM_B; side++) {
		struct htp_config *config = &sim->config[side];

		sim->link[side] = *link;
		config->cc = cc;
		config->max_datagram = DATAGRAM;
		config->initial_rtt_ns = 2 * link->delay_ns;
		config->stream_window = window;
		config->peer_stream_window = window;
		config->stream_buffer = window;
		config->window = 8 * window;
		config->peer_window = 8 * window;
	}
}

static void tcp_send(struct tcp *tcp, struct sim *sim, __u64 now)
{
	while (tcp->next - tcp->head < TCP_RING &&
	       (tcp->next - tcp->head + 1) * TCP_BYTES <= htp_cc_cubic.cwnd(tcp->cc)) {
		__u64 at = sim_link_pass(sim, tcp->link, TCP_WIRE, now);
		__u32 i = tcp->next++ % TCP_RING;

		tcp->ack[i].sent_ns = now;
		tcp->ack[i].ack_ns = at == HTP_NEVER ? at : at + 2 * tcp->delay_ns;
	}
}

/* The first acknowledgment under way; the three behind a hole tell of the hole */
static __u64 tcp_find(const struct tcp *tcp)
{
	__u64 i;

	for (i = tcp->head; i < tcp->next; i++)
		if (tcp->ack[i % TCP_RING].ack_ns != HTP_NEVER)
			return i;
	return HTP_NEVER;
}

static __u64 tcp_next(const struct tcp *tcp)
{
	__u64 seg = tcp_find(tcp);

	if (seg == HTP_NEVER)	/* nothing comes back any more: RTO */
		return tcp->ack[(tcp->next - 1) % TCP_RING].sent_ns + SIM_SEC;
	return tcp->ack[seg % TCP_RING].ack_ns;
}

static void tcp_lost(struct tcp *tcp, __u64 seg, __u64 now)
{
	struct htp_cc_loss loss = { .now_ns = now, .largest_pn = seg };

	loss.congestion = tcp->head < tcp->next && seg >= tcp->recover;
	if (loss.congestion)
		tcp->recover = tcp->next;
	htp_cc_cubic.on_loss(tcp->cc, &loss);
}

static void tcp_acked(struct tcp *tcp, __u64 seg, __u64 now)
{
	__u64 rtt = now - tcp->ack[seg % TCP_RING].sent_ns;
	struct htp_cc_ack ack = {
		.now_ns = now, .acked_bytes = TCP_BYTES, .rtt_ns = rtt, .largest_pn = seg,
		.max_in_flight = htp_cc_cubic.cwnd(tcp->cc), .next_pn = tcp->next,
		.in_recovery = seg < tcp->recover,
	};

	tcp->srtt = tcp->srtt ? (7 * tcp->srtt + rtt) / 8 : rtt;
	ack.srtt_ns = tcp->srtt;
	htp_cc_cubic.on_ack(tcp->cc, &ack);
	tcp->delivered += TCP_BYTES;
}

static void tcp_step(struct tcp *tcp, struct sim *sim, __u64 now)
{
	__u64 seg = tcp_find(tcp), i;

	if (seg == HTP_NEVER) {
		htp_cc_cubic.on_persistent(tcp->cc, now);
		tcp->head = tcp->next;
		tcp->recover = tcp->next;
	} else {
		for (i = tcp->head; i < seg; i++)
			tcp_lost(tcp, i, now);
		tcp->head = seg + 1;
		tcp_acked(tcp, seg, now);
	}
	tcp_send(tcp, sim, now);
}

struct world *world_create(const struct sim_link *link, __u64 seed)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->link = *link;
	w->seed = seed;
	w->now = SIM_SEC;
	return w;
}

/* One more association: @delay_ns each way */
int world_add(struct world *w, const struct htp_cc_ops *cc, __u64 delay_ns)
{
	struct sim *sim = &w->sim[w->nr];
	struct sim_link link = w->link;

	link.delay_ns = delay_ns;
	path_init(sim, &link, cc, w->seed + w->nr++);
	sim->link[SIM_A].via = &w->link;
	sim->link[SIM_B].rate = 0;
	sim->now = w->now;
	return sim_start(sim);
}

int world_add_tcp(struct world *w)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return -ENOMEM;
	w->tcp = tcp;
	tcp->cc = malloc(htp_cc_cubic.size);
	if (!tcp->cc)
		return -ENOMEM;
	tcp->link = &w->link;
	tcp->delay_ns = w->link.delay_ns;
	htp_cc_cubic.init(tcp->cc, TCP_BYTES, 0, w->now);
	tcp_send(tcp, &w->sim[0], w->now);
	return 0;
}

int world_open(struct world *w, int i)
{
	w->sim[i].now = w->now;
	w->flow[i] = sim_open(&w->sim[i], SIM_A, 100000 * MB, 0);
	sim_step(&w->sim[i], w->now);
	return w->flow[i] ? 0 : -ENOMEM;
}

void world_run(struct world *w, __u64 for_ns)
{
	__u64 end = w->now + for_ns;

	for (;;) {
		__u64 next = w->tcp ? tcp_next(w->tcp) : HTP_NEVER;
		int i, who = -1;

		for (i = 0; i < w->nr; i++) {
			__u64 at = sim_next(&w->sim[i]);

			if (at < next) {
				next = at;
				who = i;
			}
		}
		if (next > end)
			break;
		w->now = next;
		if (who < 0)
			tcp_step(w->tcp, &w->sim[0], next);
		else
			sim_step(&w->sim[who], next);
	}
	w->now = end;
}

double world_received(struct world *w, int i)
{
	const struct sim_flow *peer = w->flow[i] ? sim_peer(&w->sim[i], w->flow[i]) : NULL;

	return peer ? peer->received : 0;
}

long world_destroy(struct world *w)
{
	long left = 0;
	int i;

	for (i = 0; i < w->nr; i++)
		left += w->sim[i].errors + sim_exit(&w->sim[i]);
	if (w->tcp)
		free(w->tcp->cc);
	free(w->tcp);
	free(w);
	return left;
}
