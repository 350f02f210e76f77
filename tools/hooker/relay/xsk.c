// SPDX-License-Identifier: GPL-2.0
/*
 * Ports whose UDP-Lite leaves through AF_XDP sockets. That is a matter of speed alone:
 * where it can't be had, the port is what it would be without.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "../carrier/xsk.h"
#include "answer.h"
#include "log.h"
#include "port.h"
#include "private.h"

static void complain(int err)
{
	hk_info("carrier xsk: %s%s; going on with sockets",
		err == -EAFNOSUPPORT ? "this kernel has no AF_XDP" : strerror(-err),
		err == -EPERM ? " (it needs CAP_NET_RAW)" : "");
}

/**
 * hk_port_wrap - have a port send through AF_XDP, if that was asked for
 * @r:	  relay
 * @port: its carrier is open
 *
 * Why it can't be is printed, and is no error.
 *
 * Return: 0 or a negative errno.
 */
int hk_port_wrap(struct hk_relay *r, struct hk_port *port)
{
	bool zerocopy = r->config->sending == HK_SEND_XSK_ZEROCOPY;
	int err;

	if (r->config->sending == HK_SEND_SOCKET || port->carrier.ops->ip_proto != IPPROTO_UDPLITE)
		return 0;
	err = hk_xsk_wrap(&port->carrier, 0, zerocopy);
	if (err) {
		complain(err);
		return 0;
	}
	return hk_relay_poll(r, EPOLL_CTL_ADD, hk_xsk_fd(&port->carrier), EPOLLIN,
			     hk_source_pack(HK_SRC_XSK, 0, port->index));
}

/**
 * hk_port_on_xsk - routes or neighbours have changed, or a device has room again
 * @r:	   relay
 * @index: of the port
 */
void hk_port_on_xsk(struct hk_relay *r, unsigned int index)
{
	if (index < r->nr_ports && hk_xsk_fd(&r->ports[index].carrier) >= 0)
		hk_xsk_on_poll(&r->ports[index].carrier);
}

static void answer_stats(struct hk_report *rep, const __u64 *stats)
{
	__u64 fallback = 0;
	char name[32];
	unsigned int i;

	for (i = HK_XSK_FRAMES + 1; i < HK_XSK_LOST; i++)
		fallback += stats[i];
	hk_report_u64(rep, "xsk_frames", stats[HK_XSK_FRAMES]);
	hk_report_u64(rep, "xsk_frames_lost", stats[HK_XSK_LOST]);
	hk_report_u64(rep, "xsk_fallback", fallback);
	for (i = HK_XSK_FRAMES + 1; i < HK_XSK_LOST; i++) {
		snprintf(name, sizeof(name), "xsk_fallback_%s", hk_xsk_stat_name(i));
		hk_report_u64(rep, name, stats[i]);
	}
}

static void answer_device(void *priv, int ifindex, bool zerocopy)
{
	char name[IF_NAMESIZE];

	if (if_indextoname(ifindex, name))
		hk_report_str(priv, name, zerocopy ? "zero-copy" : "copy");
}

/**
 * hk_answer_xsk - write what is sent through AF_XDP, if that was asked for
 * @r:	 relay
 * @rep: to write to
 */
void hk_answer_xsk(struct hk_relay *r, struct hk_report *rep)
{
	const __u64 *stats = NULL;
	unsigned int i;

	for (i = 0; i < r->nr_ports && !stats; i++)
		stats = hk_xsk_stats(&r->ports[i].carrier);
	if (!stats)
		return;
	answer_stats(rep, stats);
	hk_report_section(rep, "xsk_mode");
	hk_xsk_devs(&r->ports[i - 1].carrier, answer_device, rep);
	hk_report_end(rep);
}
