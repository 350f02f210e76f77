/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bounded readers and writers of big-endian and variable-length integers.
 * A cursor that met its end turns bad and stays so; its owner checks once.
 */
#ifndef HTP_CURSOR_H
#define HTP_CURSOR_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define HTP_VARINT_MAX	((1ULL << 62) - 1)

struct htp_reader {
	const __u8	*p, *end;
	bool		bad;
};

struct htp_writer {
	__u8	*p, *end;
	bool	bad;
};

static inline size_t htp_reader_left(const struct htp_reader *r)
{
	return r->end - r->p;
}

static inline size_t htp_writer_left(const struct htp_writer *w)
{
	return w->end - w->p;
}

/* An integer of @size bytes; 0 and a bad cursor if they are not there */
static inline __u64 htp_read_be(struct htp_reader *r, unsigned int size)
{
	__u64 value = 0;

	if (r->bad || htp_reader_left(r) < size) {
		r->bad = true;
		return 0;
	}
	while (size--)
		value = value << 8 | *r->p++;
	return value;
}

static inline void htp_write_be(struct htp_writer *w, __u64 value, unsigned int size)
{
	if (w->bad || htp_writer_left(w) < size) {
		w->bad = true;
		return;
	}
	while (size--)
		*w->p++ = value >> (8 * size);
}

static inline const void *htp_read_bytes(struct htp_reader *r, size_t len)
{
	const __u8 *p = r->p;

	if (r->bad || htp_reader_left(r) < len) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	return p;
}

static inline void htp_write_bytes(struct htp_writer *w, const void *data, size_t len)
{
	if (w->bad || htp_writer_left(w) < len) {
		w->bad = true;
		return;
	}
	if (len)
		memcpy(w->p, data, len);
	w->p += len;
}

/* RFC 9000, section 16: two bits of length, then 6, 14, 30 or 62 bits */
static inline unsigned int htp_varint_len(__u64 value)
{
	if (value < 1ULL << 6)
		return 1;
	if (value < 1ULL << 14)
		return 2;
	if (value < 1ULL << 30)
		return 4;
	return 8;
}

static inline __u64 htp_read_varint(struct htp_reader *r)
{
	unsigned int size;

	if (r->bad || r->p == r->end) {
		r->bad = true;
		return 0;
	}
	size = 1u << (*r->p >> 6);
	return htp_read_be(r, size) & (~0ULL >> (66 - 8 * size));
}

static inline void htp_write_varint(struct htp_writer *w, __u64 value)
{
	unsigned int size = htp_varint_len(value);
	__u64 log2 = size == 8 ? 3 : size / 2;

	htp_write_be(w, value | log2 << (8 * size - 2), size);
}

#endif /* HTP_CURSOR_H */
