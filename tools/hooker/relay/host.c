// SPDX-License-Identifier: GPL-2.0
/*
 * What the machine is like: cgroup2, network namespace.
 */
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "relay.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE	71
#endif

/**
 * hk_host_cgroup2 - where cgroup v2 is mounted
 * @path: filled in
 * @size: of @path
 *
 * Return: 0, -ENOENT if it is not mounted (or hidden, as `ip netns exec` does),
 * -ENAMETOOLONG.
 */
int hk_host_cgroup2(char *path, size_t size)
{
	struct mntent *ent;
	int err = -ENOENT;
	FILE *mounts;

	mounts = setmntent("/proc/self/mounts", "re");
	if (!mounts)
		return -errno;
	while (err == -ENOENT && (ent = getmntent(mounts))) {
		if (strcmp(ent->mnt_type, "cgroup2"))
			continue;
		err = (size_t)snprintf(path, size, "%s", ent->mnt_dir) < size ? 0 : -ENAMETOOLONG;
	}
	endmntent(mounts);
	return err;
}

/**
 * hk_host_netns_cookie - which network namespace this is, as BPF programs see it
 * @cookie: filled in
 *
 * Return: 0 or a negative errno; -ENOPROTOOPT before Linux 5.14.
 */
int hk_host_netns_cookie(__u64 *cookie)
{
	socklen_t len = sizeof(*cookie);
	int fd, err = 0;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len))
		err = -errno;
	close(fd);
	return err;
}
