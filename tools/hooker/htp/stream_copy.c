// SPDX-License-Identifier: GPL-2.0
/*
 * Streams for callers that have the bytes in their own memory.
 */
#include <string.h>

#include "stream.h"
#include "units.h"

#define NR_IOV	16

/**
 * htp_stream_write() - send bytes
 * @s:   stream
 * @buf: bytes, copied
 * @len: their number
 *
 * Return: how many were taken; less than @len: the buffer is full and
 * HTP_EV_WRITABLE will tell. Negative, with none taken: as htp_stream_reserve().
 */
ssize_t htp_stream_write(struct htp_stream *s, const void *buf, size_t len)
{
	struct iovec iov[NR_IOV];
	size_t done = 0;

	while (done < len) {
		int nr = htp_stream_reserve(s, iov, NR_IOV);
		size_t old = done;
		int i;

		if (nr <= 0)
			return done ? (ssize_t)done : nr;
		for (i = 0; i < nr && done < len; i++) {
			size_t n = htp_min(iov[i].iov_len, len - done);

			memcpy(iov[i].iov_base, (const __u8 *)buf + done, n);
			done += n;
		}
		htp_stream_commit(s, done - old);
	}
	return done;
}

/**
 * htp_stream_read() - get bytes that came
 * @s:   stream
 * @buf: where to
 * @len: bytes of room
 *
 * Return: how many were read; 0: nothing yet, or @len is 0. Negative: as
 * htp_stream_peek().
 */
ssize_t htp_stream_read(struct htp_stream *s, void *buf, size_t len)
{
	struct iovec iov[NR_IOV];
	size_t done = 0;

	while (done < len) {
		int nr = htp_stream_peek(s, iov, NR_IOV);
		size_t old = done;
		int i;

		if (nr <= 0)
			return done ? (ssize_t)done : nr;
		for (i = 0; i < nr && done < len; i++) {
			size_t n = htp_min(iov[i].iov_len, len - done);

			memcpy((__u8 *)buf + done, iov[i].iov_base, n);
			done += n;
		}
		htp_stream_consume(s, done - old);
	}
	return done;
}
