// SPDX-License-Identifier: GPL-2.0
/*
 * Applications' sockets that vanish without a word.
 *
 * Of a socket whose application has closed it there may be no more than an entry in FIN_WAIT2
 * or TIME_WAIT, which calls no BPF program. It goes when its time (tcp_fin_timeout) is over,
 * when there are too many of them (tcp_max_tw_buckets), or by an RST that came over the wire.
 * What the redirection socket sends from then on is answered with an RST that bears no mark:
 * it leaves this host instead of reaching us. So whoever gets no ACK asks the kernel.
 */
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../tcp/state.h"
#include "flow.h"
#include "private.h"

#define WATCH_NS	(500 * NSEC_PER_MSEC)	/* a segment was sent again by then */

/* Without an ACK. One whose reader is slow is answered, and sends nothing again */
static bool is_unanswered(const struct hk_flow *f)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	return !getsockopt(f->redir_fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	       info.tcpi_retransmits;
}

/**
 * hk_flow_is_orphan - is nobody left to take what the redirection socket sends?
 * @f: flow, OPEN
 *
 * Return: true if it gets no answer, and the application's socket is gone.
 */
bool hk_flow_is_orphan(const struct hk_flow *f)
{
	return is_unanswered(f) && hk_tcp_is_gone(&f->key);
}

static void watch_timer(struct hk_timer *timer, __u64 now_ns)
{
	struct hk_flow *f = (void *)((char *)timer - offsetof(struct hk_flow, timer));

	int unacked;

	if (ioctl(f->redir_fd, SIOCOUTQ, &unacked) || !unacked)
		return;
	if (hk_flow_is_orphan(f))
		hk_flow_end(f, HK_END_RESET, HTP_CODE_APP_RESET);
	else
		hk_timer_arm(&f->relay->timers, timer, now_ns + WATCH_NS);
}

/**
 * hk_flow_watch - something was written to an application that may be gone
 * @f: flow, OPEN or TAKING
 *
 * One that has not said FIN can't go without a word.
 */
void hk_flow_watch(struct hk_flow *f)
{
	if (f->state != HK_FLOW_OPEN || !f->in_done ||
	    (f->timer.pos && f->timer.fire == watch_timer))
		return;
	f->timer.fire = watch_timer;
	hk_timer_arm(&f->relay->timers, &f->timer, f->relay->now_ns + WATCH_NS);
}
