// SPDX-License-Identifier: GPL-2.0
/*
 * TCP sockets that belong to somebody else, by their addresses: ending one, and asking
 * whether there is one.
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

#define STATE_LISTEN	10	/* idiag_state; its enum is in no header that fits here */

static void fill_request(struct nlmsghdr *nlh, __u16 type, const struct hk_flow_key *key)
{
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0);
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

/* 0 or a negative errno; what the kernel says of the socket goes to @answer, if it is not NULL */
static int request(__u16 type, const struct hk_flow_key *key, mnl_cb_t answer, void *data)
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
	fill_request(nlh, type, key);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err = -errno;
	if (!err) {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0 || mnl_cb_run(buf, len, 0, mnl_socket_get_portid(nl), answer, data) < 0)
			err = -errno;
	}
	mnl_socket_close(nl);
	return err;
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
	return request(SOCK_DESTROY, key, NULL, NULL);
}

static int on_answer(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(nlh);
	int *state = data;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(*msg))
		*state = msg->idiag_state;
	return MNL_CB_STOP;
}

/* The kernel also finds who listens on the port */
static bool is_there(const struct hk_flow_key *key, int *err)
{
	int state = 0;

	*err = request(SOCK_DIAG_BY_FAMILY, key, on_answer, &state);
	return !*err && state && state != STATE_LISTEN;
}

/**
 * hk_tcp_is_gone - has one end of a connection within this host vanished?
 * @key: as that socket sees it; the other end exists
 *
 * An entry in FIN_WAIT2 or TIME_WAIT is a socket, too.
 *
 * Return: true if it has; false if it hasn't, and if that can't be told: without tcp_diag
 * the kernel answers ENOENT as well, but of the other end, too.
 */
bool hk_tcp_is_gone(const struct hk_flow_key *key)
{
	struct hk_flow_key other;
	int err;

	hk_flow_key_reverse(&other, key);
	if (!is_there(&other, &err) || is_there(key, &err))
		return false;
	return !err || err == -ENOENT;
}
