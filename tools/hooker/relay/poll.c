// SPDX-License-Identifier: GPL-2.0
/*
 * The clock, and what the loop waits for: what all parts of the relay stand on.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "private.h"

/**
 * hk_now_ns - the daemon's clock, which is also bpf_ktime_get_ns()
 *
 * Return: CLOCK_MONOTONIC.
 */
__u64 hk_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/**
 * hk_relay_poll - change what the loop waits for
 * @r:	    relay
 * @op:	    EPOLL_CTL_*
 * @fd:	    descriptor
 * @events: EPOLL*
 * @data:   hk_source_pack()
 *
 * Return: 0 or a negative errno.
 */
int hk_relay_poll(struct hk_relay *r, int op, int fd, __u32 events, __u64 data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return epoll_ctl(r->epoll_fd, op, fd, &ev) ? -errno : 0;
}
