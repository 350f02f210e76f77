// SPDX-License-Identifier: GPL-2.0
/*
 * The loop: events in, timers, streams' news, flows' bytes, datagrams out, then what ended is
 * freed. Nothing is freed earlier in a pass, so no handler needs to fear that its flow or peer
 * is gone.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "answer.h"
#include "flow.h"
#include "handover.h"
#include "host.h"
#include "log.h"
#include "peer.h"
#include "port.h"
#include "private.h"

#define HEARTBEAT_NS	(50 * NSEC_PER_MSEC)
#define DRAIN_NS	(3 * NSEC_PER_SEC)
#define PATIENT_NS	(86400 * NSEC_PER_SEC)
#define MAX_EVENTS	256

/* First signal: drain. Second one: don't wait for it */
static void on_signal(struct hk_relay *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (r->drain_until_ns)
			r->drain_until_ns = r->now_ns;
		else
			r->drain_until_ns = r->now_ns +
					    (r->config->patient ? PATIENT_NS : DRAIN_NS);
	}
}

static void on_flow(struct hk_relay *r, __u32 gen, __u32 slot, __u32 events)
{
	struct hk_flow *f = &r->flows[slot];

	if (slot < HK_MAX_FLOWS && (f->gen & 0xffffff) == gen && f->redir_fd >= 0 &&
	    f->state != HK_FLOW_ENDED)
		hk_flow_on_poll(f, events);
}

static void dispatch(struct hk_relay *r, const struct epoll_event *ev)
{
	__u32 gen = ev->data.u64 >> 32 & 0xffffff;
	__u32 slot = (__u32)ev->data.u64;

	switch ((enum hk_source)(ev->data.u64 >> 56)) {
	case HK_SRC_SIGNAL:
		on_signal(r);
		break;
	case HK_SRC_EVENTS:
		hk_dataplane_read_events(r->dp, hk_takeover_event, r);
		break;
	case HK_SRC_CONTROL:
		hk_control_handle(&r->control, hk_answer, r);
		if (r->control.takeover_fd >= 0)
			hk_handover_begin(r);
		break;
	case HK_SRC_PORT:
		hk_port_on_poll(r, slot, ev->events);
		break;
	case HK_SRC_FLOW:
		on_flow(r, gen, slot, ev->events);
		break;
	case HK_SRC_ADDRS:
		hk_locals_on_poll(r);
		break;
	case HK_SRC_XSK:
		hk_port_on_xsk(r, slot);
		break;
	case HK_SRC_HANDOVER:
		r->handover_due = true;
		break;
	}
}

static void heartbeat(struct hk_relay *r)
{
	r->now_ns = hk_now_ns();
	__atomic_store_n(&r->live->nr_peers, r->nr_peers, __ATOMIC_RELAXED);
	__atomic_store_n(&r->live->heartbeat_ns, r->now_ns, __ATOMIC_RELEASE);
}

static bool ports_have_more(const struct hk_relay *r)
{
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++)
		if (r->ports[i].more)
			return true;
	return false;
}

static int wait(struct hk_relay *r, struct epoll_event *events)
{
	__u64 next = hk_timers_next(&r->timers);
	struct timespec ts = { 0 };
	__u64 left = HEARTBEAT_NS;

	if (!TAILQ_EMPTY(&r->ready) || !TAILQ_EMPTY(&r->dirty) || ports_have_more(r))
		left = 0;
	else if (next <= r->now_ns)
		left = 0;
	else if (next - r->now_ns < left)
		left = next - r->now_ns;
	ts.tv_nsec = left;
	return epoll_pwait2(r->epoll_fd, events, MAX_EVENTS, &ts, NULL);
}

static void pass(struct hk_relay *r, struct epoll_event *events)
{
	int i, n = wait(r, events);

	heartbeat(r);
	for (i = 0; i < n; i++)
		dispatch(r, &events[i]);
	for (i = 0; i < (int)r->nr_ports; i++)
		if (r->ports[i].more)
			hk_port_on_poll(r, i, EPOLLIN);
	hk_timers_run(&r->timers, r->now_ns);
	hk_peers_events(r);
	hk_flows_pump(r);
	hk_peers_events(r);	/* reading a stream's end may finish it */
	hk_peers_flush(r);
	hk_flows_reap(r);
	hk_peers_reap(r);
	hk_room_check(r);
	hk_memory_trim(r);
	if (r->handover_due || (r->handover_fd >= 0 && r->now_ns >= r->handover_until_ns))
		hk_handover_on_poll(r);
}

static void close_associations(struct hk_relay *r)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state == HK_PEER_UP)
			htp_assoc_close(peer->assoc, HTP_CODE_SHUTDOWN);
		hk_peer_touch(peer);
	}
}

/* Those that were left to plain TCP don't need us any more */
static __u32 count_carried(const struct hk_relay *r)
{
	struct hk_flow *f;
	__u32 nr = 0;
	unsigned int i;

	for (i = 0; i < HK_BUCKETS; i++)
		LIST_FOREACH(f, &r->by_key[i], by_key)
			nr += !f->native;
	return nr;
}

static bool is_drained(const struct hk_relay *r)
{
	return r->drain_until_ns && (r->now_ns >= r->drain_until_ns || !count_carried(r));
}

/**
 * hk_loop_run - say that the daemon is ready, and do its work until it is to end
 * @r: relay, with all attached
 *
 * It ends when the connections have, after SIGTERM or SIGINT or when there is no time left
 * for them, or when another daemon has taken them over.
 */
void hk_loop_run(struct hk_relay *r)
{
	struct epoll_event events[MAX_EVENTS];
	__u32 left;

	heartbeat(r);
	printf("hooker: ready\n");
	fflush(stdout);
	while (!is_drained(r) && !r->handed_over)
		pass(r, events);
	if (r->handed_over)
		return;
	left = count_carried(r);
	if (left)
		hk_info("%u connections were reset: still open after %llu s", left,
			DRAIN_NS / NSEC_PER_SEC);
	close_associations(r);
	hk_peers_events(r);
	hk_flows_pump(r);
	hk_peers_flush(r);
}
