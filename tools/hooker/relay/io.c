// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes to and from a blocking descriptor, all of them.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io.h"

/**
 * hk_send_all - send all bytes, whatever they take
 * @fd:	  stream socket
 * @data: the bytes
 * @len:  of them
 *
 * Return: 0 or a negative errno; then some may have been sent.
 */
int hk_send_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

/**
 * hk_read_all - read as many bytes as are wanted
 * @fd:	  stream socket or pipe
 * @data: filled
 * @len:  bytes
 *
 * Return: bytes read, fewer than @len only at the end of the stream; or a negative errno,
 * then some may have been read.
 */
ssize_t hk_read_all(int fd, void *data, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, (char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}
