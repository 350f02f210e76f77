// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of all associations, which peers together can't exceed.
 *
 * Three quarters of it are for what may grow: half for what peers may send us by
 * their windows, and buffers for what we send while less than half of all is in
 * use. Beyond that nothing grows any more, and new connections stay plain TCP when
 * the last eighth is begun. The rest is what keeps every connection going that
 * there is, with little.
 */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow.h"
#include "private.h"

#define TRIM_MIN	(1ULL << 20)
#define TRIM_FLOWS	256
#define TRIM_NS		NSEC_PER_SEC

/* Each piece has its size before it */
union piece {
	size_t		size;
	max_align_t	align;
};

/**
 * hk_memory_alloc - memory for an association
 * @priv: relay
 * @size: bytes
 *
 * Return: it, to be freed with hk_memory_free(); NULL: beyond the limit, or malloc() failed.
 */
void *hk_memory_alloc(void *priv, size_t size)
{
	struct hk_relay *r = priv;
	union piece *piece;

	if (r->memory_bytes + size > r->memory_max) {
		r->stats[HK_REL_MEMORY_FULL]++;
		return NULL;
	}
	piece = malloc(sizeof(*piece) + size);
	if (!piece)
		return NULL;
	piece->size = size;
	r->memory_bytes += size;
	if (r->memory_bytes > r->memory_peak)
		r->memory_peak = r->memory_bytes;
	return piece + 1;
}

/**
 * hk_memory_free - give it back
 * @priv: relay
 * @ptr:  from hk_memory_alloc(), or NULL
 */
void hk_memory_free(void *priv, void *ptr)
{
	union piece *piece = (union piece *)ptr - 1;
	struct hk_relay *r = priv;

	if (!ptr)
		return;
	r->memory_bytes -= piece->size;
	free(piece);
}

/* Slots without a flow hold nothing but a generation, which matters within a pass only */
static void trim_flows(struct hk_relay *r)
{
	size_t page = sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)r->flows + page - 1) & ~(page - 1);
	uintptr_t end = (uintptr_t)(r->flows + HK_MAX_FLOWS) & ~(page - 1);

	madvise((void *)start, end - start, MADV_DONTNEED);
	r->most_flows = 0;
}

/**
 * hk_memory_trim - let the kernel have what was only needed for a while
 * @r: relay, between loop passes
 *
 * Else libc keeps most of it: there is always something in use behind. It takes
 * milliseconds, so it waits until three quarters of the most are free again.
 */
void hk_memory_trim(struct hk_relay *r)
{
	bool less = r->memory_peak >= TRIM_MIN && r->memory_bytes <= r->memory_peak / 4;
	bool none = r->most_flows >= TRIM_FLOWS && !r->nr_flows;

	if ((!less && !none) || r->now_ns < r->trimmed_ns + TRIM_NS)
		return;
	malloc_trim(0);
	if (none)
		trim_flows(r);
	r->memory_peak = r->memory_bytes;
	r->trimmed_ns = r->now_ns;
}

/**
 * hk_memory_charge - a peer may send more, or less
 * @priv:   relay
 * @bytes:  how much; negative: given back; 0 asks whether anything may grow
 * @always: whatever the limit
 *
 * Return: true, or false with nothing changed: that would be too much.
 */
bool hk_memory_charge(void *priv, __s64 bytes, bool always)
{
	struct hk_relay *r = priv;
	__u64 half = r->memory_max / 2;

	if (bytes >= 0 && !always && (r->memory_bytes > half || r->window_bytes + bytes > half)) {
		r->stats[HK_REL_WINDOW_REFUSED] += bytes > 0;
		return false;
	}
	r->window_bytes += bytes;
	return true;
}

/**
 * hk_memory_is_low - whether new connections had better stay plain TCP
 * @r: relay
 *
 * Return: true when less than an eighth is left.
 */
bool hk_memory_is_low(const struct hk_relay *r)
{
	return r->memory_bytes > r->memory_max - r->memory_max / 8;
}
