// SPDX-License-Identifier: GPL-2.0
/*
 * Messages between two daemons of a hand-over, see handover.h: a header and so many
 * bytes. Descriptors come with the header of messages that have nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "handover.h"
#include "io.h"
#include "private.h"

#define MAGIC		0x484b484f
#define FDS_MAX		128		/* in a message; the kernel takes 253 */
#define PATIENCE_S	5
#define LINE_MAX_LEN	256

/* Before each message */
struct header {
	__u32	magic, type, len, nr_fds;
};

/* Room for as many descriptors as a message may have */
union control {
	struct cmsghdr	hdr;
	char		bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

const __u32 hk_setup_abi[HK_SETUP_ABI] = {
	sizeof(struct hk_bpf_config), sizeof(struct hk_sk), sizeof(struct hk_lane),
	sizeof(struct hk_offer), sizeof(struct hk_verdict), sizeof(struct hk_live),
	sizeof(struct hk_path), HK_SYNACK_MAX, HK_MAX_FLOWS, HK_MAX_POLICY,
};

/**
 * hk_send_line - a line of text instead of a message
 * @fd:	 to whom
 * @fmt: as for printf()
 *
 * Return: 0 or a negative errno.
 */
int hk_send_line(int fd, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	line[len] = '\n';
	return hk_send_all(fd, line, len + 1);
}

static int send_header(int fd, const struct header *hdr, const int *fds)
{
	struct iovec iov = { (void *)hdr, sizeof(*hdr) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = {};
	ssize_t n;

	if (hdr->nr_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(hdr->nr_fds * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(hdr->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, hdr->nr_fds * sizeof(int));
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return n == sizeof(*hdr) ? 0 : -EPIPE;
}

/**
 * hk_send_message - send a message without descriptors
 * @fd:	  to whom
 * @type: enum hk_message
 * @data: what it says
 * @len:  bytes
 *
 * Return: 0 or a negative errno.
 */
int hk_send_message(int fd, enum hk_message type, const void *data, __u32 len)
{
	struct header hdr = { .magic = MAGIC, .type = type, .len = len };
	int err = send_header(fd, &hdr, NULL);

	return err ?: hk_send_all(fd, data, len);
}

/**
 * hk_send_fds - send descriptors, however many
 * @fd:	 to whom
 * @fds: they; stay the caller's
 * @nr:	 how many
 *
 * Return: 0 or a negative errno.
 */
int hk_send_fds(int fd, const int *fds, __u32 nr)
{
	struct header hdr = { .magic = MAGIC, .type = HK_MSG_FDS };
	__u32 i;
	int err;

	for (i = 0; i < nr; i += hdr.nr_fds) {
		hdr.nr_fds = nr - i < FDS_MAX ? nr - i : FDS_MAX;
		err = send_header(fd, &hdr, fds + i);
		if (err)
			return err;
	}
	return 0;
}

/**
 * hk_close_fds - close descriptors
 * @fds: they; negative ones are skipped
 * @nr:	 how many
 */
void hk_close_fds(const int *fds, __u32 nr)
{
	__u32 i;

	for (i = 0; i < nr; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* All descriptors that came along; @fds has room for FDS_MAX */
static __u32 take_fds(struct msghdr *msg, int *fds)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	__u32 nr;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return 0;
	nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(cmsg), nr * sizeof(int));
	return nr;
}

/* A header with all descriptors that it announces; or an error, and none of them */
static int recv_header(int fd, struct header *hdr, int fds[FDS_MAX])
{
	struct iovec iov = { hdr, sizeof(*hdr) };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	__u32 nr;
	ssize_t n;

	memset(hdr, 0, sizeof(*hdr));
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -EPIPE;
	nr = take_fds(&msg, fds);
	if (n == sizeof(*hdr) && hdr->magic == MAGIC && nr == hdr->nr_fds &&
	    !(msg.msg_flags & MSG_CTRUNC))
		return 0;
	hk_close_fds(fds, nr);
	return hdr->magic == MAGIC && nr < hdr->nr_fds ? -EMFILE : -EBADMSG;
}

/* The rest of a line whose beginning @hdr holds, without its end */
static void read_line(int fd, const struct header *hdr, char *line, size_t size)
{
	ssize_t n;

	memcpy(line, hdr, sizeof(*hdr));
	n = recv(fd, line + sizeof(*hdr), size - sizeof(*hdr) - 1, 0);
	line[sizeof(*hdr) + (n < 0 ? 0 : n)] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/**
 * hk_recv_message - receive a message without descriptors
 * @fd:	  from whom
 * @type: which it must be
 * @data: filled
 * @len:  what it must have
 * @line: filled if a line of text comes instead; NULL: none may
 * @size: of @line, more than a header's
 *
 * Return: 0; -EREMOTE: a line "error ..."; -EBADMSG: something else; or another
 * negative errno.
 */
int hk_recv_message(int fd, enum hk_message type, void *data, __u32 len, char *line, size_t size)
{
	struct header hdr;
	int fds[FDS_MAX];
	ssize_t n;
	int err;

	err = recv_header(fd, &hdr, fds);
	if (err == -EBADMSG && line && !memcmp(&hdr, "error ", 6)) {
		read_line(fd, &hdr, line, size);
		return -EREMOTE;
	}
	if (err)
		return err;
	hk_close_fds(fds, hdr.nr_fds);
	if (hdr.type != type || hdr.len != len || hdr.nr_fds)
		return -EBADMSG;
	n = hk_read_all(fd, data, len);
	if (n < 0)
		return n;
	return (size_t)n == len ? 0 : -EPIPE;
}

/**
 * hk_recv_fds - receive descriptors
 * @fd:	 from whom
 * @fds: filled
 * @nr:	 how many must come
 *
 * Return: 0; or a negative errno, and there are none: -EMFILE: more than this process
 * may have.
 */
int hk_recv_fds(int fd, int *fds, __u32 nr)
{
	struct header hdr;
	int got[FDS_MAX];
	__u32 i;
	int err;

	for (i = 0; i < nr; i += hdr.nr_fds) {
		err = recv_header(fd, &hdr, got);
		if (!err && (hdr.type != HK_MSG_FDS || hdr.len || !hdr.nr_fds ||
			     hdr.nr_fds > nr - i)) {
			hk_close_fds(got, hdr.nr_fds);
			err = -EBADMSG;
		}
		if (err) {
			hk_close_fds(fds, i);
			return err;
		}
		memcpy(fds + i, got, hdr.nr_fds * sizeof(int));
	}
	return 0;
}

/**
 * hk_set_patience - wait for the other daemon, but not for ever
 * @fd: connection
 */
void hk_set_patience(int fd)
{
	struct timeval tv = { .tv_sec = PATIENCE_S };

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}
