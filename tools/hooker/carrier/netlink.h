/* SPDX-License-Identifier: GPL-2.0 */
/* Questions to the kernel by netlink, here and in the relay */
#ifndef HK_CARRIER_NETLINK_H
#define HK_CARRIER_NETLINK_H

#include <libmnl/libmnl.h>

struct mnl_socket *hk_netlink_open(int bus, int flags, unsigned int groups);
int	hk_netlink_ask(struct mnl_socket *nl, const struct nlmsghdr *nlh, mnl_cb_t cb, void *data);

#endif /* HK_CARRIER_NETLINK_H */
