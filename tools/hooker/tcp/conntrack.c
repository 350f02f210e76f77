// SPDX-License-Identifier: GPL-2.0
/*
 * Connections whose addresses or ports this host itself translates, as for a service on
 * port 80 that listens on 8080 (netfilter's "redirect").
 *
 * Conntrack translates segments on lo as well, wherever they come from: it goes by their
 * addresses alone. So whoever plays the other end of such a connection has to
 * use the addresses and ports that it has on the wire. Those of the application's socket would
 * be another connection to conntrack, whose answers collide with the real one's, and that gets
 * another port.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "conntrack.h"

/* Of this network namespace, and only where conntrack is loaded: nobody should load it for us */
#define CONNTRACK_IS_LOADED	"/proc/sys/net/netfilter/nf_conntrack_max"

#define REQUEST_MAX	256
#define ATTR_MAX	63

/* Both directions of an entry; each as the sender of a segment has it */
struct entry {
	struct hk_flow_key	orig, reply;
	bool			complete;
};

static void put_tuple(struct nlmsghdr *nlh, const struct hk_flow_key *key, bool v4)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_ORIG), *part;

	part = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	if (v4) {
		mnl_attr_put_u32(nlh, CTA_IP_V4_SRC, key->laddr[3]);
		mnl_attr_put_u32(nlh, CTA_IP_V4_DST, key->raddr[3]);
	} else {
		mnl_attr_put(nlh, CTA_IP_V6_SRC, sizeof(key->laddr), key->laddr);
		mnl_attr_put(nlh, CTA_IP_V6_DST, sizeof(key->raddr), key->raddr);
	}
	mnl_attr_nest_end(nlh, part);
	part = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, key->lport);
	mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, key->rport);
	mnl_attr_nest_end(nlh, part);
	mnl_attr_nest_end(nlh, tuple);
}

static int keep_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_type_valid(attr, ATTR_MAX) > 0)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static const void *payload(const struct nlattr *attr, size_t len)
{
	return attr && mnl_attr_get_payload_len(attr) >= len ? mnl_attr_get_payload(attr) : NULL;
}

static bool read_addresses(const struct nlattr *attr, struct hk_flow_key *key)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	const void *src, *dst;
	__be32 v4;

	if (!attr)
		return false;
	mnl_attr_parse_nested(attr, keep_attr, tb);
	src = payload(tb[CTA_IP_V6_SRC], sizeof(key->laddr));
	dst = payload(tb[CTA_IP_V6_DST], sizeof(key->raddr));
	if (src && dst) {
		memcpy(key->laddr, src, sizeof(key->laddr));
		memcpy(key->raddr, dst, sizeof(key->raddr));
		return true;
	}
	src = payload(tb[CTA_IP_V4_SRC], sizeof(v4));
	dst = payload(tb[CTA_IP_V4_DST], sizeof(v4));
	if (!src || !dst)
		return false;
	memcpy(&v4, src, sizeof(v4));
	hk_addr_map(key->laddr, v4);
	memcpy(&v4, dst, sizeof(v4));
	hk_addr_map(key->raddr, v4);
	return true;
}

static bool read_ports(const struct nlattr *attr, struct hk_flow_key *key)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	const void *src, *dst;

	if (!attr)
		return false;
	mnl_attr_parse_nested(attr, keep_attr, tb);
	src = payload(tb[CTA_PROTO_SRC_PORT], sizeof(key->lport));
	dst = payload(tb[CTA_PROTO_DST_PORT], sizeof(key->rport));
	if (!src || !dst)
		return false;
	memcpy(&key->lport, src, sizeof(key->lport));
	memcpy(&key->rport, dst, sizeof(key->rport));
	return true;
}

static bool read_tuple(const struct nlattr *attr, struct hk_flow_key *key)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };

	if (!attr)
		return false;
	mnl_attr_parse_nested(attr, keep_attr, tb);
	return read_addresses(tb[CTA_TUPLE_IP], key) && read_ports(tb[CTA_TUPLE_PROTO], key);
}

static int read_entry(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	struct entry *entry = data;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), keep_attr, tb);
	entry->complete = read_tuple(tb[CTA_TUPLE_ORIG], &entry->orig) &&
			  read_tuple(tb[CTA_TUPLE_REPLY], &entry->reply);
	return MNL_CB_OK;
}

static int open_socket(struct hk_conntrack *ct)
{
	ct->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!ct->nl)
		return -errno;
	if (mnl_socket_bind(ct->nl, 0, MNL_SOCKET_AUTOPID) >= 0)
		return 0;
	hk_conntrack_close(ct);
	return -EIO;
}

static bool is_loaded(void)
{
	return !access(CONNTRACK_IS_LOADED, F_OK);
}

/**
 * hk_conntrack_open - get ready to ask
 * @ct: zeroed
 *
 * Where conntrack is loaded later, or there is an error now, the first question does it.
 */
void hk_conntrack_open(struct hk_conntrack *ct)
{
	if (is_loaded())
		open_socket(ct);
}

/* NLM_F_ACK ends the answer, in error and in success */
static int ask(struct hk_conntrack *ct, const struct hk_flow_key *key, struct entry *entry)
{
	bool v4 = hk_addr_is_mapped(key->laddr);
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;
	ssize_t len;
	int ret;

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++ct->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = v4 ? AF_INET : AF_INET6;
	nfg->version = NFNETLINK_V0;
	put_tuple(nlh, key, v4);
	if (mnl_socket_sendto(ct->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(ct->nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		ret = mnl_cb_run(buf, len, ct->seq, mnl_socket_get_portid(ct->nl), read_entry,
				 entry);
	} while (ret > MNL_CB_STOP);
	return ret < 0 ? -errno : 0;
}

static bool is_same(const struct hk_flow_key *a, const struct hk_flow_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/**
 * hk_conntrack_wire - a connection as it is on the wire
 * @ct:	  to ask
 * @key:  as the socket on this host sees it
 * @wire: filled in: the same, or what this host's NAT makes of it
 *
 * Return: 0, also if the connection isn't tracked, or nothing is; or
 * -EOPNOTSUPP: connections are tracked here, but nobody can ask: the kernel has no
 * nf_conntrack_netlink. Said once; from then on as if nothing was translated.
 */
int hk_conntrack_wire(struct hk_conntrack *ct, const struct hk_flow_key *key,
		      struct hk_flow_key *wire)
{
	struct entry entry = { .complete = false };
	int err = 0;

	*wire = *key;
	if (ct->mute || !is_loaded())
		return 0;
	if (!ct->nl)
		err = open_socket(ct);
	if (!err)
		err = ask(ct, key, &entry);
	if (err && err != -ENOENT) {
		ct->mute = true;
		return -EOPNOTSUPP;
	}
	if (err || !entry.complete)
		return 0;
	if (is_same(key, &entry.orig))
		hk_flow_key_reverse(wire, &entry.reply);
	else if (is_same(key, &entry.reply))
		hk_flow_key_reverse(wire, &entry.orig);
	return 0;
}

/**
 * hk_conntrack_close - ask no more
 * @ct: asked or not
 */
void hk_conntrack_close(struct hk_conntrack *ct)
{
	if (ct->nl)
		mnl_socket_close(ct->nl);
	ct->nl = NULL;
}
