/* SPDX-License-Identifier: GPL-2.0 */
/* What the machine is like: its namespace, devices and addresses */
#ifndef HK_RELAY_HOST_H
#define HK_RELAY_HOST_H

#include <linux/types.h>

struct hk_relay;

/* host.c */
int	hk_host_netns_cookie(__u64 *cookie);

/* devices.c: devices that run the XDP program */
int	hk_devices_open(struct hk_relay *r);
void	hk_devices_sync(struct hk_relay *r);

/* locals.c: this host's addresses */
int	hk_locals_open(struct hk_relay *r);
void	hk_locals_close(struct hk_relay *r);
void	hk_locals_on_poll(struct hk_relay *r);

#endif /* HK_RELAY_HOST_H */
