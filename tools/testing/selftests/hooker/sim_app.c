// SPDX-License-Identifier: GPL-2.0
/*
 * The little application that runs on top of both cores: flows, each with so many bytes
 * in each direction, and the comparison of what is read with what was sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_parts.h"

#define PATTERN_LEN	65521	/* a prime: no chunk or datagram size divides it */
#define OPEN_LEN	16

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

void sim_app_events(struct sim *sim, enum sim_side side)
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

void sim_app_retry(struct sim *sim)
{
	struct sim_flow *flow;

	if (!sim->retry_ns || sim->now < sim->retry_ns)
		return;
	sim->retry_ns = 0;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->sent < flow->to_send)
			flow_write(sim, flow);
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

void sim_app_exit(struct sim *sim)
{
	struct sim_flow *flow, *next;

	for (flow = sim->flows; flow; flow = next) {
		next = flow->next;
		free(flow);
	}
}
