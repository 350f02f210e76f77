// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching the XDP program to one device.
 */
#include <errno.h>
#include <net/if.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "private.h"

/*
 * A veth pair hands over packets whose checksum nobody has filled in yet. Native
 * XDP_TX drops the note about that together with the skb, so the answer leaves
 * with a wrong checksum; it also copies each packet. Generic mode keeps the skb.
 */
static bool wants_generic(int ifindex)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = {};
	bool veth;
	int fd;

	if (!if_indextoname(ifindex, ifr.ifr_name))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ifr.ifr_data = (void *)&info;
	veth = !ioctl(fd, SIOCETHTOOL, &ifr) && !strcmp(info.driver, "veth");
	close(fd);
	return veth;
}

/* libbpf's attach_xdp() has no place for the mode; the link type is the same */
static int link_create(int prog_fd, int ifindex, __u32 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);

	return fd < 0 ? -errno : fd;
}

static int attach(int prog_fd, int ifindex, bool *generic)
{
	int fd = -EOPNOTSUPP;

	*generic = wants_generic(ifindex);
	if (!*generic)
		fd = link_create(prog_fd, ifindex, XDP_FLAGS_DRV_MODE);
	if (fd >= 0 || fd == -EBUSY || fd == -EEXIST)
		return fd;
	*generic = true;
	return link_create(prog_fd, ifindex, XDP_FLAGS_SKB_MODE);
}

/**
 * hk_xdp_attach - attach to one device, native mode where it is good
 * @dp:	     data plane; keeps the link
 * @prog:    the loaded program
 * @dev:     index into the data plane's devices
 * @ifindex: the device
 *
 * Return: 0, or a negative errno; -EBUSY: another program is there. The reason
 * has been printed.
 */
int hk_xdp_attach(struct hk_dataplane *dp, const struct bpf_program *prog, unsigned int dev,
		  int ifindex)
{
	char name[IF_NAMESIZE] = "?";
	int fd;

	if_indextoname(ifindex, name);
	fd = attach(bpf_program__fd(prog), ifindex, &dp->xdp_generic[dev]);
	if (fd == -EBUSY || fd == -EEXIST) {
		fprintf(stderr,
			"hooker: %s: another XDP program is attached; name other devices with --dev, or use --no-xdp\n",
			name);
		return fd;
	}
	if (fd < 0) {
		fprintf(stderr, "hooker: %s: attaching XDP: %s; --no-xdp does without\n", name,
			strerror(-fd));
		return fd;
	}
	dp->xdp_fds[dev] = fd;
	return 0;
}

/**
 * hk_dataplane_xdp_mode - in which mode a device runs the program
 * @dp:  data plane
 * @dev: index into the configured devices
 *
 * Return: "native", "generic", or "none".
 */
const char *hk_dataplane_xdp_mode(const struct hk_dataplane *dp, unsigned int dev)
{
	if (dev >= HK_DATAPLANE_MAX_DEVS || dp->xdp_fds[dev] < 0)
		return "none";
	return dp->xdp_generic[dev] ? "generic" : "native";
}
