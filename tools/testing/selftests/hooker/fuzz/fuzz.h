/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz targets share: memory that is counted, a configuration with small
 * limits so that short inputs reach them, and checks that end the process.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "htp/htp.h"

#define FUZZ_MSEC		1000000ULL
#define FUZZ_SEC		1000000000ULL
#define FUZZ_WINDOW		(64 << 10)
#define FUZZ_STREAMS		8
#define FUZZ_MEMORY_MAX		(2 << 20)	/* of one association */
#define FUZZ_TX_MAX		4096		/* datagrams at one instant */
#define FUZZ_DATAGRAM		1300
#define FUZZ_DATAGRAM_MAX	1600

#define FUZZ_CHECK(cond)						\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "%s:%d: not so: %s\n",		\
				__FILE__, __LINE__, #cond);		\
			abort();					\
		}							\
	} while (0)

/**
 * struct fuzz_mem - allocator
 * @live:    allocations not freed
 * @bytes:   in them
 * @fail_in: so many more succeed, then one fails; 0: none does
 */
struct fuzz_mem {
	long		live;
	size_t		bytes;
	unsigned int	fail_in;
};

/* The size stands before the memory, which keeps its alignment */
static inline void *fuzz_alloc(void *priv, size_t size)
{
	struct fuzz_mem *mem = priv;
	size_t *p;

	if (mem->fail_in && !--mem->fail_in)
		return NULL;
	p = malloc(size + 16);
	if (!p)
		return NULL;
	*p = size;
	mem->live++;
	mem->bytes += size;
	return (char *)p + 16;
}

static inline void fuzz_free(void *priv, void *ptr)
{
	struct fuzz_mem *mem = priv;
	size_t *p;

	if (!ptr)
		return;
	p = (size_t *)((char *)ptr - 16);
	mem->live--;
	mem->bytes -= *p;
	free(p);
}

static inline struct htp_config fuzz_config(struct fuzz_mem *mem, bool initiator)
{
	return (struct htp_config){
		.peer_id = 0x1000 + !initiator,
		.initiator = initiator,
		.max_datagram = FUZZ_DATAGRAM,
		.probe_max = FUZZ_DATAGRAM_MAX,
		.initial_rtt_ns = 20 * FUZZ_MSEC,
		.stream_window = FUZZ_WINDOW / 2,
		.window = FUZZ_WINDOW,
		.stream_buffer = FUZZ_WINDOW / 2,
		.peer_window = FUZZ_WINDOW,
		.peer_stream_window = FUZZ_WINDOW / 2,
		.max_streams = FUZZ_STREAMS,
		.idle_timeout_ns = 60 * FUZZ_SEC,
		.keepalive_ns = 5 * FUZZ_SEC,
		.dead_ns = 30 * FUZZ_SEC,
		.alloc = fuzz_alloc,
		.free = fuzz_free,
		.priv = mem,
	};
}

static inline struct htp_assoc *fuzz_assoc_create(struct fuzz_mem *mem, bool initiator,
						  __u64 now_ns)
{
	const struct htp_config config = fuzz_config(mem, initiator);

	return htp_assoc_create(&config, now_ns);
}

/* What the association says about its memory is what it has */
static inline void fuzz_check_memory(const struct htp_assoc *a, const struct fuzz_mem *mem)
{
	struct htp_stats stats;

	htp_assoc_stats(a, &stats);
	FUZZ_CHECK(stats.memory_bytes <= FUZZ_MEMORY_MAX);
	FUZZ_CHECK(mem->bytes <= FUZZ_MEMORY_MAX);
}

static inline void fuzz_destroy(struct htp_assoc *a, const struct fuzz_mem *mem)
{
	htp_assoc_destroy(a);
	FUZZ_CHECK(!mem->live);
	FUZZ_CHECK(!mem->bytes);
}

/* A target takes any input and returns 0; what is wrong ends the process */
int	fuzz_assoc(const __u8 *data, size_t size);
int	fuzz_control(const __u8 *data, size_t size);
int	fuzz_datagram(const __u8 *data, size_t size);
int	fuzz_freeze(const __u8 *data, size_t size);
extern unsigned int fuzz_nr_thawed;	/* of its inputs */
int	fuzz_segment(const __u8 *data, size_t size);

#endif /* FUZZ_H */
