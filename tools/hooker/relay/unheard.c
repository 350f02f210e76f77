// SPDX-License-Identifier: GPL-2.0
/*
 * Connections that were taken over, but whose application is never heard.
 *
 * What it sends is routed to lo by a mark. Netfilter rules that replace marks, and routing
 * rules that come before ours, can send it elsewhere, and neither side would ever notice:
 * the connection would just stand still. So a redirection socket has to get a segment soon: the
 * ACK that completes a connect(), or the one for the first bytes that the application is given.
 * Kernels send these, however long the application itself takes.
 *
 * If it is so for some in a row, the cause concerns all connections, and new ones stay plain TCP
 * for some time. For one alone it may be the application's doing, SO_BINDTODEVICE on a connected
 * socket for example, and that shall be no way to keep others from being carried.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "flow.h"
#include "log.h"
#include "private.h"

/* Delayed ACKs take 200 ms */
#define HEARD_NS	(1 * NSEC_PER_SEC)

/* lo drops packets when a CPU's backlog is full. Probes, one a second, bring about further ACKs */
#define PROBED_NS	(3500 * NSEC_PER_MSEC)
#define UNHEARD_NS	(600 * NSEC_PER_SEC)
#define UNHEARD_MAX	3			/* in a row */

static bool is_heard(const struct hk_flow *f)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	if (!getsockopt(f->redir_fd, IPPROTO_TCP, TCP_INFO, &info, &len) && !info.tcpi_segs_in)
		return false;
	f->relay->nr_unheard = 0;
	return true;
}

static void take_no_more(struct hk_relay *r)
{
	hk_err("what applications send doesn't come by lo: netfilter gives it another mark than %#x, or an ip rule before %u takes it elsewhere; new connections are plain TCP for ten minutes",
	       r->route.mark, r->route.priority);
	r->unheard_until_ns = r->now_ns + UNHEARD_NS;
	r->nr_unheard = 0;
	hk_room_check(r);
}

/* Without an answer these options end nothing before we do */
static void probe(const struct hk_flow *f, int on)
{
	const int one = 1;

	setsockopt(f->redir_fd, IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof(one));
	setsockopt(f->redir_fd, IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof(one));
	setsockopt(f->redir_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static struct hk_flow *flow_of(struct hk_timer *timer)
{
	return (void *)((char *)timer - offsetof(struct hk_flow, watch));
}

static void give_up(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = flow_of(timer);
	struct hk_relay *r = f->relay;

	if (f->state != HK_FLOW_OPEN)
		return;
	if (is_heard(f)) {
		probe(f, 0);
		return;
	}
	r->stats[HK_REL_FLOWS_UNHEARD]++;
	if (++r->nr_unheard >= UNHEARD_MAX && now_ns >= r->unheard_until_ns)
		take_no_more(r);
	hk_flow_end(f, HK_END_RESET, HTP_CODE_REFUSED);
}

static void check(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = flow_of(timer);

	if (f->state != HK_FLOW_OPEN || is_heard(f))
		return;
	probe(f, 1);
	timer->fire = give_up;
	hk_timer_arm(&f->relay->timers, timer, now_ns + PROBED_NS);
}

/**
 * hk_unheard_watch - the application will soon be heard, or there is something wrong
 * @f: OPEN; its application has to send an ACK now
 */
void hk_unheard_watch(struct hk_flow *f)
{
	f->watch.fire = check;
	hk_timer_arm(&f->relay->timers, &f->watch, f->relay->now_ns + HEARD_NS);
}
