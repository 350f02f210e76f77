// SPDX-License-Identifier: GPL-2.0
/*
 * A netlink socket, and a question with all of its answer.
 */
#include <errno.h>
#include <sys/socket.h>
#include "netlink.h"

/**
 * hk_netlink_open - a socket that asks, or listens
 * @bus:    NETLINK_*
 * @flags:  0 or SOCK_NONBLOCK
 * @groups: multicast groups to listen to, a bit each; 0: none
 *
 * Return: the socket, to be closed by mnl_socket_close(); or NULL with errno set.
 */
struct mnl_socket *hk_netlink_open(int bus, int flags, unsigned int groups)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, flags | SOCK_CLOEXEC);
	int err;

	if (!nl || mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) >= 0)
		return nl;
	err = errno;
	mnl_socket_close(nl);
	errno = err;
	return NULL;
}

/**
 * hk_netlink_ask - send a request and read all of its answer
 * @nl:	  blocking socket
 * @nlh:  request: of those without NLM_F_DUMP only the answer to NLM_F_ACK is the end
 * @cb:	  called for each message of the answer; NULL: nobody wants to know
 * @data: for @cb
 *
 * Return: 0 or a negative errno: of the socket, or the kernel's answer.
 */
int hk_netlink_ask(struct mnl_socket *nl, const struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	ssize_t len;
	int ret;

	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		ret = mnl_cb_run(buf, len, nlh->nlmsg_seq, mnl_socket_get_portid(nl), cb, data);
	} while (ret > MNL_CB_STOP);
	return ret < 0 ? -errno : 0;
}
