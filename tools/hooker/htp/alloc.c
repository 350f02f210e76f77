// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of an association: the caller's allocator with a size in front, so
 * that what is in use can be told and bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "private.h"

union mem_hdr {
	size_t		size;
	max_align_t	align;	/* what follows suits every type, as malloc()'s does */
};

void *htp_alloc(struct htp_assoc *a, size_t size)
{
	union mem_hdr *hdr = a->config.alloc(a->config.priv, sizeof(*hdr) + size);

	if (!hdr)
		return NULL;
	hdr->size = sizeof(*hdr) + size;
	a->memory += hdr->size;
	return hdr + 1;
}

void *htp_zalloc(struct htp_assoc *a, size_t size)
{
	void *ptr = htp_alloc(a, size);

	if (ptr)
		memset(ptr, 0, size);
	return ptr;
}

void htp_free(struct htp_assoc *a, void *ptr)
{
	union mem_hdr *hdr;

	if (!ptr)
		return;
	hdr = (union mem_hdr *)ptr - 1;
	a->memory -= hdr->size;
	a->config.free(a->config.priv, hdr);
}
