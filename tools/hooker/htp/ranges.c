// SPDX-License-Identifier: GPL-2.0
/*
 * Sets of stream offsets as ascending ranges in an array. Adding at the end
 * and taking from the front, the usual cases, cost nothing; the rest is a
 * binary search and a memmove.
 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "ranges.h"
#include "units.h"

void htp_ranges_init(struct htp_ranges *set)
{
	set->r = &set->small;
	set->first = 0;
	set->nr = 0;
	set->cap = 1;
}

void htp_ranges_clear(struct htp_assoc *a, struct htp_ranges *set)
{
	if (set->r != &set->small)
		htp_free(a, set->r);
	htp_ranges_init(set);
}

/* Index of the first range that ends above @above, the number of ranges if none does */
__u32 htp_ranges_find(const struct htp_ranges *set, __u64 above)
{
	__u32 lo = 0, hi = set->nr;

	while (lo < hi) {
		__u32 mid = lo + (hi - lo) / 2;

		if (htp_ranges_at(set, mid)->end > above)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Room for one more at the end of the array */
static int ranges_make_room(struct htp_assoc *a, struct htp_ranges *set)
{
	struct htp_range *r = set->r;

	if (set->first + set->nr < set->cap)
		return 0;
	if (set->first <= set->cap / 4) {	/* sliding would soon be needed again */
		r = htp_alloc(a, 2 * set->cap * sizeof(*r));
		if (!r)
			r = set->first ? set->r : NULL;
		else
			set->cap *= 2;
	}
	if (!r)
		return -ENOMEM;
	memmove(r, htp_ranges_at(set, 0), set->nr * sizeof(*r));
	if (r != set->r && set->r != &set->small)
		htp_free(a, set->r);
	set->r = r;
	set->first = 0;
	return 0;
}

static int ranges_insert(struct htp_assoc *a, struct htp_ranges *set, __u32 i,
			 __u64 start, __u64 end)
{
	struct htp_range *r;

	if (ranges_make_room(a, set))
		return -ENOMEM;
	r = htp_ranges_at(set, i);
	memmove(r + 1, r, (set->nr - i) * sizeof(*r));
	r->start = start;
	r->end = end;
	set->nr++;
	return 0;
}

static void ranges_remove(struct htp_assoc *a, struct htp_ranges *set, __u32 i, __u32 nr)
{
	struct htp_range *r = htp_ranges_at(set, i);

	if (i == 0)
		set->first += nr;
	else
		memmove(r, r + nr, (set->nr - i - nr) * sizeof(*r));
	set->nr -= nr;
	if (!set->nr)
		htp_ranges_clear(a, set);
}

/* First range that ends at @start or later: what [start, end) could be joined with */
static __u32 ranges_find_touching(const struct htp_ranges *set, __u64 start)
{
	/* often it is the last, or belongs behind it */
	if (set->nr && htp_ranges_at(set, set->nr - 1)->start <= start)
		return htp_ranges_at(set, set->nr - 1)->end >= start ? set->nr - 1 : set->nr;
	return start ? htp_ranges_find(set, start - 1) : 0;
}

/* 0, or -ENOMEM with the set as it was */
int htp_ranges_add(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end)
{
	__u32 i = ranges_find_touching(set, start);
	struct htp_range *r;
	__u32 j = i;

	if (start >= end)
		return 0;
	while (j < set->nr && htp_ranges_at(set, j)->start <= end)
		j++;
	if (i == j)
		return ranges_insert(a, set, i, start, end);

	r = htp_ranges_at(set, i);
	r->start = htp_min(r->start, start);
	r->end = htp_max(htp_ranges_at(set, j - 1)->end, end);
	if (j - i > 1)
		ranges_remove(a, set, i + 1, j - i - 1);
	return 0;
}

/* Never fails: without memory for another range a neighbour is extended to cover it */
void htp_ranges_add_hull(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end)
{
	__u32 i;

	if (!htp_ranges_add(a, set, start, end))
		return;
	i = htp_ranges_find(set, start);
	if (i < set->nr)
		htp_ranges_at(set, i)->start = start;
	else
		htp_ranges_at(set, set->nr - 1)->end = end;
}

/* 0, or -ENOMEM if a range could not be split; then it stays whole */
int htp_ranges_sub(struct htp_assoc *a, struct htp_ranges *set, __u64 start, __u64 end)
{
	__u32 i = htp_ranges_find(set, start), j;
	struct htp_range *r;

	if (i == set->nr || start >= end)
		return 0;
	r = htp_ranges_at(set, i);
	if (r->start < start) {
		__u64 old_end = r->end;

		if (old_end > end && ranges_insert(a, set, i + 1, end, old_end))
			return -ENOMEM;
		htp_ranges_at(set, i)->end = start;
		i++;
	}
	for (j = i; j < set->nr && htp_ranges_at(set, j)->end <= end; j++)
		;
	if (j < set->nr && htp_ranges_at(set, j)->start < end)
		htp_ranges_at(set, j)->start = end;
	if (j > i)
		ranges_remove(a, set, i, j - i);
	return 0;
}

/* Forget all below @below */
void htp_ranges_trim(struct htp_assoc *a, struct htp_ranges *set, __u64 below)
{
	__u32 i = 0;

	while (i < set->nr && htp_ranges_at(set, i)->end <= below)
		i++;
	if (i < set->nr && htp_ranges_at(set, i)->start < below)
		htp_ranges_at(set, i)->start = below;
	if (i)
		ranges_remove(a, set, 0, i);
}
