/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Network namespaces for tests: entered by unshare(), so they go away with the
 * process and need no names.
 */
#ifndef HK_TEST_NETNS_H
#define HK_TEST_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NETNS_CMD_MAX	512
#define NETNS_UP_MS	5000

/* Runs a shell command; 0 or its wait status. What it prints is lost unless it fails */
__attribute__((format(printf, 1, 2)))
static inline int netns_run(const char *fmt, ...)
{
	char cmd[NETNS_CMD_MAX];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	ret = system(cmd);
	if (ret)
		fprintf(stderr, "# failed (%d): %s\n", ret, cmd);
	return ret;
}

/* A fresh namespace with lo up; 0 or a negative errno */
static inline int netns_enter_new(void)
{
	if (unshare(CLONE_NEWNET))
		return -errno;
	return netns_run("ip link set lo up") ? -EIO : 0;
}

/* The current namespace as a descriptor for setns(); -1 on error */
static inline int netns_open(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/*
 * Waits until a device passes packets. Right after "up" a veth may not: the
 * kernel notices the carrier up to a second later, and drops what is sent till
 * then; sooner if both ends have different indexes (linkwatch_urgent_event()), so
 * they are given some. 0 or a negative errno.
 */
static inline int netns_wait_up(const char *dev)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;
	struct ifreq ifr = { 0 };
	int waited_ms;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
	for (waited_ms = 0; waited_ms < NETNS_UP_MS; waited_ms += 5) {
		err = ioctl(fd, SIOCGIFFLAGS, &ifr) ? -errno : 0;
		if (err || ifr.ifr_flags & IFF_RUNNING)
			break;
		usleep(5000);
		err = -ETIMEDOUT;
	}
	close(fd);
	return err;
}

/*
 * Adds an address, given with its prefix length, and waits until packets for it
 * are delivered: an IPv6 address gets its local route from a work queue, and a
 * socket that sends before keeps the wrong route for a while. 0 or an error.
 */
static inline int netns_add_addr(const char *addr, unsigned int prefix_len, const char *dev)
{
	char cmd[NETNS_CMD_MAX];
	int waited_ms;

	if (!strchr(addr, ':'))
		return netns_run("ip addr add %s/%u dev %s", addr, prefix_len, dev);
	if (netns_run("ip addr add %s/%u dev %s nodad", addr, prefix_len, dev))
		return -EIO;
	snprintf(cmd, sizeof(cmd), "ip -6 route show table local | grep -q '^local %s '", addr);
	for (waited_ms = 0; waited_ms < NETNS_UP_MS; waited_ms += 5) {
		if (!system(cmd))
			return 0;
		usleep(5000);
	}
	return -ETIMEDOUT;
}

/*
 * Two hosts, in namespaces of their own, joined by veth0 in each: host 1 in @ns[0], host 2 in
 * @ns[1], addresses 192.0.2.N and 2001:db8::N, which know each other's MAC address
 * 02:00:00:00:00:0N. The current namespace is that of host 2 then. 0 or an error.
 */
static inline int netns_make_hosts(int ns[2])
{
	char addr4[32], addr6[32];
	int i, err = 0;

	for (i = 0; i < 2 && !err; i++) {
		err = netns_enter_new();
		ns[i] = netns_open();
	}
	if (err || netns_run("ip link add veth0 index 10 address 02:00:00:00:00:02 type veth peer name veth0 index 11 address 02:00:00:00:00:01 netns /proc/%d/fd/%d",
			     getpid(), ns[0]))
		return -EIO;
	for (i = 0; i < 2; i++)
		if (setns(ns[i], CLONE_NEWNET) || netns_run("ip link set veth0 up"))
			return -EIO;
	for (i = 0; i < 2 && !err; i++) {
		snprintf(addr4, sizeof(addr4), "192.0.2.%d", i + 1);
		snprintf(addr6, sizeof(addr6), "2001:db8::%d", i + 1);
		if (setns(ns[i], CLONE_NEWNET) || netns_wait_up("veth0") ||
		    netns_run("ip neigh add 192.0.2.%d lladdr 02:00:00:00:00:0%d dev veth0",
			      2 - i, 2 - i) ||
		    netns_run("ip neigh add 2001:db8::%d lladdr 02:00:00:00:00:0%d dev veth0",
			      2 - i, 2 - i))
			return -EIO;
		err = netns_add_addr(addr4, 24, "veth0") ?: netns_add_addr(addr6, 64, "veth0");
	}
	return err;
}

static inline bool netns_has_ipv6(void)
{
	return !access("/proc/sys/net/ipv6", F_OK);
}

#endif /* HK_TEST_NETNS_H */
