// SPDX-License-Identifier: GPL-2.0
/*
 * Ending a TCP socket that belongs to somebody else, by its addresses.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "addr.h"
#include "state.h"

static void fill_request(struct nlmsghdr *nlh, const struct hk_flow_key *key)
{
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DESTROY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = hk_addr_is_mapped(key->laddr) ? AF_INET : AF_INET6;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = ~0U;
	req->id.idiag_sport = key->lport;
	req->id.idiag_dport = key->rport;
	req->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	req->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (req->sdiag_family == AF_INET) {
		req->id.idiag_src[0] = key->laddr[3];
		req->id.idiag_dst[0] = key->raddr[3];
	} else {
		memcpy(req->id.idiag_src, key->laddr, sizeof(key->laddr));
		memcpy(req->id.idiag_dst, key->raddr, sizeof(key->raddr));
	}
}

/**
 * hk_tcp_destroy - end the TCP socket of a connection, as `ss -K` does
 * @key: as that socket sees it
 *
 * Its owner reads ECONNABORTED, its peer gets a RST; a TIME_WAIT entry just goes
 * (tcp_abort()).
 *
 * Return: 0, -ENOENT if there is none, -EOPNOTSUPP without
 * CONFIG_INET_DIAG_DESTROY, or another negative errno.
 */
int hk_tcp_destroy(const struct hk_flow_key *key)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct mnl_socket *nl;
	struct nlmsghdr *nlh;
	ssize_t len;
	int err = 0;

	nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!nl)
		return -errno;
	nlh = mnl_nlmsg_put_header(buf);
	fill_request(nlh, key);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err = -errno;
	if (!err) {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0 || mnl_cb_run(buf, len, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
			err = -errno;
	}
	mnl_socket_close(nl);
	return err;
}
