/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory: all of it is taken through here, so that it can be counted. The bytes of
 * streams lie in chunks, of which a few free ones are kept.
 */
#ifndef HTP_ALLOC_H
#define HTP_ALLOC_H

#include <linux/types.h>
#include <stddef.h>

#define HTP_CHUNK		16384	/* bytes of stream data in one allocation, at most */
#define HTP_CHUNK_CACHE		32	/* free ones kept for the next use */

struct htp_assoc;

/* alloc.c */
void	*htp_alloc(struct htp_assoc *a, size_t size);
void	*htp_zalloc(struct htp_assoc *a, size_t size);
void	htp_free(struct htp_assoc *a, void *ptr);

/**
 * struct htp_chunk - memory for stream bytes
 * @next:  next free one, in the cache only
 * @start: stream offset of data[0]; send queues only
 * @len:   bytes filled; send queues only
 * @cap:   bytes of room
 * @data:  the bytes
 */
struct htp_chunk {
	struct htp_chunk	*next;
	__u64			start;
	__u32			len, cap;
	__u8			data[];
};

/**
 * struct htp_chunkq - queue of chunks, a ring that doubles when full
 * @slot:  @cap pointers, a power of two; owned unless @small. NULL entries are
 *	   chunks not there yet (receive queues)
 * @head:  index of the first
 * @nr:    entries
 * @cap:   size of @slot
 * @small: enough for most streams
 */
struct htp_chunkq {
	struct htp_chunk	**slot;
	__u32			head, nr, cap;
	struct htp_chunk	*small[4];
};

/* chunk.c */
struct htp_chunk *htp_chunk_alloc(struct htp_assoc *a, __u32 cap);
void	htp_chunk_free(struct htp_assoc *a, struct htp_chunk *chunk);
void	htp_chunk_drop_cache(struct htp_assoc *a);
void	htp_chunkq_init(struct htp_chunkq *q);
int	htp_chunkq_push(struct htp_assoc *a, struct htp_chunkq *q, struct htp_chunk *chunk);
void	htp_chunkq_pop_front(struct htp_assoc *a, struct htp_chunkq *q);
void	htp_chunkq_pop_back(struct htp_assoc *a, struct htp_chunkq *q);
void	htp_chunkq_clear(struct htp_assoc *a, struct htp_chunkq *q);

static inline struct htp_chunk **htp_chunkq_at(const struct htp_chunkq *q, __u32 i)
{
	return &q->slot[(q->head + i) & (q->cap - 1)];
}

#endif /* HTP_ALLOC_H */
