// SPDX-License-Identifier: GPL-2.0
/*
 * Timer heap. Each timer knows its place, so cancelling is as cheap as arming.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "timer.h"

/**
 * hk_timers_init - reserve room
 * @t:	 zeroed
 * @cap: timers armed at once, at most
 *
 * Return: 0 or -ENOMEM.
 */
int hk_timers_init(struct hk_timers *t, size_t cap)
{
	t->heap = calloc(cap, sizeof(*t->heap));
	t->cap = cap;
	t->nr = 0;
	return t->heap ? 0 : -ENOMEM;
}

/**
 * hk_timers_exit - free the heap; timers in it are simply forgotten
 * @t: initialised or zeroed
 */
void hk_timers_exit(struct hk_timers *t)
{
	free(t->heap);
	t->heap = NULL;
}

static void place(struct hk_timers *t, size_t i, struct hk_timer *timer)
{
	t->heap[i] = timer;
	timer->pos = i + 1;
}

static void sift_up(struct hk_timers *t, size_t i, struct hk_timer *timer)
{
	while (i && t->heap[(i - 1) / 2]->when_ns > timer->when_ns) {
		place(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(t, i, timer);
}

static void sift_down(struct hk_timers *t, size_t i, struct hk_timer *timer)
{
	size_t child;

	while ((child = 2 * i + 1) < t->nr) {
		if (child + 1 < t->nr && t->heap[child + 1]->when_ns < t->heap[child]->when_ns)
			child++;
		if (t->heap[child]->when_ns >= timer->when_ns)
			break;
		place(t, i, t->heap[child]);
		i = child;
	}
	place(t, i, timer);
}

/**
 * hk_timer_arm - set or move a timer
 * @t:	     heap with room for it
 * @timer:   its fire function is set
 * @when_ns: CLOCK_MONOTONIC; HK_TIMER_NEVER cancels
 */
void hk_timer_arm(struct hk_timers *t, struct hk_timer *timer, __u64 when_ns)
{
	if (timer->pos && timer->when_ns == when_ns)
		return;
	hk_timer_cancel(t, timer);
	if (when_ns == HK_TIMER_NEVER)
		return;
	assert(t->nr < t->cap);
	timer->when_ns = when_ns;
	sift_up(t, t->nr++, timer);
}

/**
 * hk_timer_cancel - disarm; fine if it is not armed
 * @t:	   heap
 * @timer: timer
 */
void hk_timer_cancel(struct hk_timers *t, struct hk_timer *timer)
{
	size_t i = timer->pos - 1;
	struct hk_timer *last;

	if (!timer->pos)
		return;
	timer->pos = 0;
	last = t->heap[--t->nr];
	if (last == timer)
		return;
	if (i && t->heap[(i - 1) / 2]->when_ns > last->when_ns)
		sift_up(t, i, last);
	else
		sift_down(t, i, last);
}

/**
 * hk_timers_next - when to call hk_timers_run()
 * @t: heap
 *
 * Return: CLOCK_MONOTONIC ns, or HK_TIMER_NEVER.
 */
__u64 hk_timers_next(const struct hk_timers *t)
{
	return t->nr ? t->heap[0]->when_ns : HK_TIMER_NEVER;
}

/**
 * hk_timers_run - fire all that are due
 * @t:	    heap
 * @now_ns: CLOCK_MONOTONIC
 *
 * One that arms itself for @now_ns or earlier again waits for the next call.
 */
void hk_timers_run(struct hk_timers *t, __u64 now_ns)
{
	struct hk_timer *timer;
	size_t left = t->nr;

	while (left-- && t->nr && t->heap[0]->when_ns <= now_ns) {
		timer = t->heap[0];
		hk_timer_cancel(t, timer);
		timer->fire(timer, now_ns);
	}
}
