/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Timers of the event loop: a binary heap, its room reserved once, so that
 * arming a timer can't fail.
 */
#ifndef HK_TIMER_H
#define HK_TIMER_H

#include <linux/types.h>
#include <stddef.h>

#define HK_TIMER_NEVER	(~0ULL)

/**
 * struct hk_timer - embedded in what it belongs to; zeroed is idle
 * @when_ns: CLOCK_MONOTONIC
 * @pos:     place in the heap plus one, 0: not armed
 * @fire:    called once, disarmed; may arm it again
 */
struct hk_timer {
	__u64	when_ns;
	size_t	pos;
	void	(*fire)(struct hk_timer *timer, __u64 now_ns);
};

/**
 * struct hk_timers - the heap
 * @heap: armed timers; the array is owned, the timers are not
 * @nr:   armed
 * @cap:  room
 */
struct hk_timers {
	struct hk_timer	**heap;
	size_t		nr, cap;
};

int	hk_timers_init(struct hk_timers *t, size_t cap);
void	hk_timers_exit(struct hk_timers *t);
void	hk_timer_arm(struct hk_timers *t, struct hk_timer *timer, __u64 when_ns);
void	hk_timer_cancel(struct hk_timers *t, struct hk_timer *timer);
__u64	hk_timers_next(const struct hk_timers *t);
void	hk_timers_run(struct hk_timers *t, __u64 now_ns);

#endif /* HK_TIMER_H */
