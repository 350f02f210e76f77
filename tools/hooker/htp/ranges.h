/* SPDX-License-Identifier: GPL-2.0 */
/* Sets of integers: packet numbers, or offsets in a stream */
#ifndef HTP_RANGES_H
#define HTP_RANGES_H

#include <linux/types.h>

struct htp_assoc;

/* Half open: @start belongs to it, @end does not */
struct htp_range {
	__u64	start, end;
};

/**
 * struct htp_ranges - ascending ranges that neither overlap nor touch
 * @r:     the array; owned unless @small
 * @first: entries before it are unused, so that taking from the front is cheap
 * @nr:    ranges
 * @cap:   size of @r
 * @small: one range always fits, which is why htp_ranges_add_hull() can't fail
 */
struct htp_ranges {
	struct htp_range	*r;
	__u32			first, nr, cap;
	struct htp_range	small;
};

void	htp_ranges_init(struct htp_ranges *set);
void	htp_ranges_clear(struct htp_assoc *a, struct htp_ranges *set);
int	htp_ranges_add(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
void	htp_ranges_add_hull(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
int	htp_ranges_sub(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end);
void	htp_ranges_trim(struct htp_assoc *a, struct htp_ranges *set, __u64 below);
__u32	htp_ranges_find(const struct htp_ranges *set, __u64 above);

static inline struct htp_range *htp_ranges_at(const struct htp_ranges *set, __u32 i)
{
	return &set->r[set->first + i];
}

#endif /* HTP_RANGES_H */
