// SPDX-License-Identifier: GPL-2.0
/*
 * Devices that run the XDP program: those named with --dev, or all that are up, but
 * loopback. What comes up later is attached to then.
 *
 * A named device that can't be attached to ends the start. One that was not asked for is
 * done without, and said so once: plain sockets need no XDP, but deployed mechanisms
 * do, and their datagrams don't get through such a device.
 */
#include <errno.h>
#include <net/if.h>
#include <ifaddrs.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "private.h"

static void complain(const char *name, int err)
{
	if (err == -EBUSY)
		hk_err("%s: another XDP program is attached; --dev names other devices, --no-xdp does without",
		       name);
	else
		hk_err("%s: attaching XDP: %s; --no-xdp does without", name, strerror(-err));
}

static int add_named(struct hk_relay *r)
{
	const char *name;
	unsigned int i;
	int index, err;

	for (i = 0; i < r->config->nr_devs; i++) {
		name = r->config->devs[i];
		index = if_nametoindex(name);
		if (!index) {
			hk_err("%s: no such device; `ip link` lists them", name);
			return -ENODEV;
		}
		err = hk_dataplane_add_dev(r->dp, index);
		if (err) {
			complain(name, err);
			return err;
		}
	}
	return 0;
}

static bool is_named(const struct hk_relay *r, const char *name)
{
	unsigned int i;

	for (i = 0; i < r->config->nr_devs; i++)
		if (!strcmp(r->config->devs[i], name))
			return true;
	return !r->config->nr_devs;
}

/* Said once for each device: the list is read again with every change */
static bool was_refused(struct hk_relay *r, int index)
{
	unsigned int i;

	for (i = 0; i < HK_MAX_REFUSED; i++)
		if (r->refused_devs[i] == index)
			return true;
	r->refused_devs[r->nr_refused++ % HK_MAX_REFUSED] = index;
	return false;
}

static void add_if_up(struct hk_relay *r, const struct ifaddrs *ifa)
{
	int index, err;

	if (!(ifa->ifa_flags & IFF_UP) || (ifa->ifa_flags & IFF_LOOPBACK))
		return;
	index = if_nametoindex(ifa->ifa_name);
	if (!index)
		return;
	if (is_named(r, ifa->ifa_name))
		err = hk_dataplane_add_dev(r->dp, index);
	else
		err = hk_dataplane_add_exit(r->dp, index);
	if (err && !was_refused(r, index))
		complain(ifa->ifa_name, err);
}

/* What a walk over the attached devices finds gone */
struct gone {
	int		ifindex[16];
	unsigned int	nr;
};

static void find_gone(void *priv, int ifindex, enum hk_xdp_mode mode)
{
	struct gone *gone = priv;
	char name[IF_NAMESIZE];

	(void)mode;
	if (!if_indextoname(ifindex, name) && gone->nr < sizeof(gone->ifindex) / sizeof(int))
		gone->ifindex[gone->nr++] = ifindex;
}

static void drop_gone(struct hk_relay *r)
{
	struct gone gone;
	unsigned int i;

	do {
		gone.nr = 0;
		hk_dataplane_devs(r->dp, find_gone, &gone);
		for (i = 0; i < gone.nr; i++)
			hk_dataplane_del_dev(r->dp, gone.ifindex[i]);
	} while (gone.nr);
}

/**
 * hk_devices_sync - attach to devices that have come, let go of those that are gone
 * @r: relay
 */
void hk_devices_sync(struct hk_relay *r)
{
	struct ifaddrs *list, *ifa;

	if (r->config->no_xdp)
		return;
	drop_gone(r);
	if (getifaddrs(&list)) {
		hk_err("listing the devices: %s; new ones have no XDP program", strerror(errno));
		return;
	}
	for (ifa = list; ifa; ifa = ifa->ifa_next)
		add_if_up(r, ifa);
	freeifaddrs(list);
}

/**
 * hk_devices_open - attach to the devices
 * @r: relay with its data plane
 *
 * Return: 0, or a negative errno if a named device can't be had; the reason has been
 * printed.
 */
int hk_devices_open(struct hk_relay *r)
{
	int err;

	if (r->config->no_xdp)
		return 0;
	err = add_named(r);
	if (!err)
		hk_devices_sync(r);
	return err;
}
