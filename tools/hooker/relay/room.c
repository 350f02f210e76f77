// SPDX-License-Identifier: GPL-2.0
/*
 * Is there room for more connections? Once a server's host has answered an offer it is
 * too late: the client may have left TCP by then. So offers are neither made nor
 * answered any more while a little is left, for those that are under way.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "private.h"

#define CHECK_NS	(50 * NSEC_PER_MSEC)
#define SHORT_NS	(1 * NSEC_PER_SEC)
#define FREE_FDS	64

/* prlimit(1) may change it at any time */
static void look_at_limit(struct hk_relay *r)
{
	struct rlimit lim;

	if (r->now_ns < r->limit_ns)
		return;
	r->limit_ns = r->now_ns + CHECK_NS;
	r->max_fds = getrlimit(RLIMIT_NOFILE, &lim) ? RLIM_INFINITY : lim.rlim_cur;
}

static bool has_room(const struct hk_relay *r)
{
	return r->now_ns >= r->short_until_ns && r->now_ns >= r->unheard_until_ns &&
	       r->nr_free >= HK_FREE_FLOWS && !hk_memory_is_low(r) &&
	       r->max_fds > (__u64)r->nr_fds + r->nr_flows + FREE_FDS;
}

/**
 * hk_room_init - how many descriptors there are without any flow
 * @r: relay with all that it opens for itself
 */
void hk_room_init(struct hk_relay *r)
{
	int fd = dup(STDERR_FILENO);

	r->nr_fds = fd < 0 ? 0 : fd;
	if (fd >= 0)
		close(fd);
}

/**
 * hk_room_check - tell the BPF programs whether there is room
 * @r: relay; fine to call often
 */
void hk_room_check(struct hk_relay *r)
{
	bool closed;

	look_at_limit(r);
	closed = r->drain_until_ns || !has_room(r);
	if (closed != !!r->live->draining)
		__atomic_store_n(&r->live->draining, closed, __ATOMIC_RELEASE);
}

/**
 * hk_room_failed - the host refused something that a flow needs
 * @r:	 relay
 * @err: negative errno; others than those of a shortage are ignored
 */
void hk_room_failed(struct hk_relay *r, int err)
{
	if (err != -EMFILE && err != -ENFILE && err != -ENOMEM && err != -ENOBUFS)
		return;
	r->short_until_ns = r->now_ns + SHORT_NS;
	hk_room_check(r);
}
