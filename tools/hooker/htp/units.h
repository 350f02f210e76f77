/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Units of time, and the smaller and the greater of two: no more than that is needed
 * to compute with, so congestion controllers include nothing else of the core.
 */
#ifndef HTP_UNITS_H
#define HTP_UNITS_H

#include <linux/types.h>

#define HTP_USEC		1000ULL
#define HTP_MSEC		1000000ULL
#define HTP_SEC			1000000000ULL

static inline __u64 htp_min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

static inline __u64 htp_max(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

#endif /* HTP_UNITS_H */
