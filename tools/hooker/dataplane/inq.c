// SPDX-License-Identifier: GPL-2.0
/*
 * Does FIONREAD tell the truth about a socket in a SOCKHASH?
 *
 * Kernels with "bpf, sockmap: Fix FIONREAD for sockmap" (Linux 7.0, 6.18 stable and
 * others) report what is in its psock queue and nothing else. An application's is
 * always empty, for it reads natively. Programs that believe the 0 stop reading with
 * data in front of them; nginx hangs in uploads. Only trying tells: a kernel that
 * counts both queues looks the same otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "private.h"

#define ARRIVAL_MS	1000

static int socket_lo(struct sockaddr_in *sin)
{
	socklen_t len = sizeof(*sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	*sin = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	if (bind(fd, (struct sockaddr *)sin, len) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)sin, &len)) {
		close(fd);
		return -EADDRNOTAVAIL;
	}
	return fd;
}

/* A TCP connection over lo, which there may be a firewall against */
static int make_pair(int pair[2])
{
	const struct timeval limit = { .tv_sec = ARRIVAL_MS / 1000 };
	struct sockaddr_in sin;
	int listener = socket_lo(&sin);

	if (listener < 0)
		return listener;
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pair[1] = -1;
	if (pair[0] >= 0 &&
	    !setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) &&
	    !connect(pair[0], (struct sockaddr *)&sin, sizeof(sin)))
		pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	if (pair[1] >= 0)
		return 0;
	if (pair[0] >= 0)
		close(pair[0]);
	return -ECONNREFUSED;
}

static bool is_counted(int from, int to)
{
	struct pollfd pfd = { .fd = to, .events = POLLIN };
	int len = 0;

	return send(from, "x", 1, MSG_NOSIGNAL) == 1 && poll(&pfd, 1, ARRIVAL_MS) == 1 &&
	       !ioctl(to, FIONREAD, &len) && len == 1;
}

/**
 * hk_inq_is_right - whether FIONREAD counts what a socket in a SOCKHASH received natively
 *
 * Return: true, or false if it does not or could not be tried.
 */
bool hk_inq_is_right(void)
{
	int map, pair[2];
	bool right;
	__u32 key = 0;
	__u64 value;

	map = bpf_map_create(BPF_MAP_TYPE_SOCKHASH, "hk_inq", sizeof(key), sizeof(value), 1, NULL);
	if (map < 0)
		return false;
	if (make_pair(pair)) {
		close(map);
		return false;
	}
	value = pair[1];
	right = !bpf_map_update_elem(map, &key, &value, BPF_ANY) && is_counted(pair[0], pair[1]);
	close(pair[0]);
	close(pair[1]);
	close(map);
	return right;
}
