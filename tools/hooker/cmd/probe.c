// SPDX-License-Identifier: GPL-2.0
/*
 * Probes of the host: permissions, mounts, sockets and their options, routing.
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "probe.h"
#include "../relay/relay.h"

#ifndef CAP_BPF
#define CAP_BPF		39
#endif
#define NO_CAP		-1

/* What `hooker run` needs; @or_cap stands in for @cap */
static const struct {
	const char	*name;
	int		cap, or_cap;
} needed_caps[] = {
	{ "CAP_NET_ADMIN", CAP_NET_ADMIN, NO_CAP },
	{ "CAP_NET_RAW", CAP_NET_RAW, NO_CAP },
	{ "CAP_BPF", CAP_BPF, CAP_SYS_ADMIN },
};

static bool has_cap(const struct __user_cap_data_struct *data, int cap)
{
	return cap != NO_CAP && data[cap / 32].effective & 1U << cap % 32;
}

enum hk_probe_result hk_probe_capabilities(const struct hk_probe *probe, char *seen, size_t cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	size_t i, used = 0;

	(void)probe;
	if (syscall(SYS_capget, &header, data)) {
		snprintf(seen, cap, "capget: %s", strerror(errno));
		return HK_PROBE_UNKNOWN;
	}
	/* The daemon asks for the user id, too: it writes below /run and opens cgroups */
	if (geteuid())
		used = snprintf(seen, cap, "not root");
	for (i = 0; i < sizeof(needed_caps) / sizeof(needed_caps[0]); i++) {
		if (has_cap(data, needed_caps[i].cap) || has_cap(data, needed_caps[i].or_cap))
			continue;
		used += snprintf(seen + used, cap - used, "%s%s", used ? ", no " : "no ",
				 needed_caps[i].name);
	}
	return used ? HK_PROBE_MISSING : HK_PROBE_OK;
}

enum hk_probe_result hk_probe_run_dir(const struct hk_probe *probe, char *seen, size_t cap)
{
	const char *path = access(HK_RUN_DIR, F_OK) ? "/run" : HK_RUN_DIR;

	(void)probe;
	if (!access(path, W_OK))
		return HK_PROBE_OK;
	snprintf(seen, cap, "%s: %s", path, strerror(errno));
	return HK_PROBE_MISSING;
}

enum hk_probe_result hk_probe_cgroup2(const struct hk_probe *probe, char *seen, size_t cap)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	enum hk_probe_result result = HK_PROBE_MISSING;
	struct mntent *mount;

	(void)probe;
	if (!mounts) {
		snprintf(seen, cap, "/proc/self/mounts: %s", strerror(errno));
		return HK_PROBE_UNKNOWN;
	}
	while (result != HK_PROBE_OK && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2"))
			continue;
		snprintf(seen, cap, "%s", mount->mnt_dir);
		result = HK_PROBE_OK;
	}
	endmntent(mounts);
	return result;
}

enum hk_probe_result hk_probe_lo(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo" };
	int err;

	(void)probe;
	err = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (!err && req.ifr_flags & IFF_UP)
		return HK_PROBE_OK;
	snprintf(seen, cap, "lo: %s", err ? strerror(err) : "down");
	return HK_PROBE_MISSING;
}

static enum hk_probe_result refused(int err, char *seen, size_t cap)
{
	snprintf(seen, cap, "%s", strerror(err));
	return err == EPERM || err == EACCES ? HK_PROBE_UNKNOWN : HK_PROBE_MISSING;
}

/* args: family, type, protocol */
enum hk_probe_result hk_probe_socket(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd = socket(probe->args[0], probe->args[1] | SOCK_CLOEXEC, probe->args[2]);

	if (fd < 0)
		return refused(errno, seen, cap);
	close(fd);
	return HK_PROBE_OK;
}

/* args: family, type, level, option, value */
enum hk_probe_result hk_probe_sockopt(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd = socket(probe->args[0], probe->args[1] | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return refused(errno, seen, cap);
	err = setsockopt(fd, probe->args[2], probe->args[3], &probe->args[4], sizeof(int)) ?
	      errno : 0;
	close(fd);
	return err ? refused(err, seen, cap) : HK_PROBE_OK;
}

/* Asks for the list of rules: a kernel without policy routing has none */
static int list_rules(int fd)
{
	struct {
		struct nlmsghdr		nlh;
		struct fib_rule_hdr	rule;
	} request = {
		.nlh = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETRULE,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.rule.family = AF_INET,
	};
	const struct timeval wait = { .tv_sec = 2 };
	union {
		struct nlmsghdr	nlh;
		char		bytes[8192];
	} answer;
	const struct nlmsgerr *err = NLMSG_DATA(&answer.nlh);
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&answer.nlh, (size_t)n))
		return -EPROTO;
	if (answer.nlh.nlmsg_type == NLMSG_ERROR)
		return err->error;
	return answer.nlh.nlmsg_type == RTM_NEWRULE ? 0 : -EOPNOTSUPP;
}

enum hk_probe_result hk_probe_rules(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int err;

	(void)probe;
	if (fd < 0)
		return refused(errno, seen, cap);
	err = list_rules(fd);
	close(fd);
	return err ? refused(-err, seen, cap) : HK_PROBE_OK;
}

enum hk_probe_result hk_probe_ipv6(const struct hk_probe *probe, char *seen, size_t cap)
{
	const struct sockaddr_in6 lo = {
		.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	(void)probe;
	err = fd < 0 || bind(fd, (const struct sockaddr *)&lo, sizeof(lo)) ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (!err)
		return HK_PROBE_OK;
	snprintf(seen, cap, "%s", strerror(err));
	return HK_PROBE_MISSING;
}

/* The first line of a file, without its newline; false if it cannot be read */
static bool read_line(const char *path, char *line, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, cap - 1);
	close(fd);
	if (n < 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

enum hk_probe_result hk_probe_congestion(const struct hk_probe *probe, char *seen, size_t cap)
{
	static const char reno[] = "reno";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char line[32];
	int err;

	(void)probe;
	err = fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1) ?
	      errno : 0;
	if (fd >= 0)
		close(fd);
	if (err)
		return refused(err, seen, cap);
	if (read_line("/proc/sys/net/ipv4/tcp_congestion_control", line, sizeof(line)))
		snprintf(seen, cap, "reno; other connections use %s", line);
	return HK_PROBE_OK;
}

enum hk_probe_result hk_probe_conntrack(const struct hk_probe *probe, char *seen, size_t cap)
{
	char line[16];

	(void)probe;
	if (!read_line("/proc/sys/net/netfilter/nf_conntrack_checksum", line, sizeof(line))) {
		snprintf(seen, cap, "conntrack is not loaded");
		return HK_PROBE_OK;
	}
	snprintf(seen, cap, "net.netfilter.nf_conntrack_checksum = %s", line);
	return strcmp(line, "0") ? HK_PROBE_MISSING : HK_PROBE_OK;
}
