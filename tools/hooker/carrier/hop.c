// SPDX-License-Identifier: GPL-2.0
/*
 * Next hops. The route is asked for as the kernel would look it up for the socket;
 * what it names must be a plain one: unicast, through an Ethernet device, without
 * encapsulation, from an address of this host's. All else is the socket's to send.
 *
 * A neighbour is good for as long as the kernel itself would send to it without
 * waiting, which includes those that it is about to verify.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "hop.h"
#include "netlink.h"
#include "socket.h"

#define REQUEST_MAX	256	/* any of the requests below, with room to spare */
#define ATTR_MAX	127	/* types beyond are none that we know */
#define NUD_USABLE	(NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | \
			 NUD_DELAY)

static const int groups[] = {
	RTNLGRP_LINK, RTNLGRP_NEIGH,
	RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE,
	RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE,
};

/* An address of either family, as netlink has it */
struct address {
	int	family;
	__be32	word[4];
};

/*
 * What a question was, and what is wanted of the answer
 * @hop:    filled
 * @type:   of the route
 * @state:  of the neighbour
 * @lifted: more than an Ethernet header would have to be written
 */
struct answer {
	struct hk_hop	*hop;
	__u8		type;
	__u16		state;
	bool		lifted;
};

static size_t address_len(int family)
{
	return family == AF_INET ? 4 : 16;
}

static struct address to_address(const __be32 addr[4], int family)
{
	struct address a = { .family = family };

	if (family == AF_INET)
		a.word[0] = addr[3];
	else
		memcpy(a.word, addr, sizeof(a.word));
	return a;
}

/* The answer to NLM_F_ACK ends each of them, in error and in success */
static struct nlmsghdr *put_request(char *buf, __u16 type)
{
	static __u32 seq;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++seq;
	return nlh;
}

static int keep_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_type_valid(attr, ATTR_MAX) > 0)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool has_len(const struct nlattr *attr, size_t len)
{
	return attr && mnl_attr_get_payload_len(attr) >= len;
}

static __u32 attr_u32(const struct nlattr *attr, __u32 absent)
{
	return has_len(attr, sizeof(__u32)) ? mnl_attr_get_u32(attr) : absent;
}

static void set_next(struct hk_hop *hop, int family, const void *addr)
{
	hop->family = family;
	memset(hop->next, 0, sizeof(hop->next));
	memcpy(hop->next, addr, address_len(family));
}

/* A gateway of the other family: IPv4 behind an IPv6 router (RFC 8950) */
static void set_via(struct answer *answer, const struct nlattr *attr)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);

	if (has_len(attr, sizeof(*via) + 16) && via->rtvia_family == AF_INET6)
		set_next(answer->hop, AF_INET6, via->rtvia_addr);
	else
		answer->lifted = true;
}

static void set_metrics(struct hk_hop *hop, const struct nlattr *metrics)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	__u32 limit;

	mnl_attr_parse_nested(metrics, keep_attr, tb);
	limit = attr_u32(tb[RTAX_HOPLIMIT], 0);
	if (limit && limit < 256)
		hop->hop_limit = limit;
}

static int read_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	struct answer *answer = data;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*rtm), keep_attr, tb);
	answer->type = rtm->rtm_type;
	answer->lifted = tb[RTA_ENCAP_TYPE] || tb[RTA_ENCAP];
	answer->hop->ifindex = attr_u32(tb[RTA_OIF], 0);
	if (has_len(tb[RTA_GATEWAY], address_len(rtm->rtm_family)))
		set_next(answer->hop, rtm->rtm_family, mnl_attr_get_payload(tb[RTA_GATEWAY]));
	else if (tb[RTA_VIA])
		set_via(answer, tb[RTA_VIA]);
	if (tb[RTA_METRICS])
		set_metrics(answer->hop, tb[RTA_METRICS]);
	return MNL_CB_OK;
}

static int read_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	struct answer *answer = data;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*ifi), keep_attr, tb);
	answer->state = ifi->ifi_flags & IFF_UP && ifi->ifi_flags & IFF_RUNNING;
	answer->type = ifi->ifi_type == ARPHRD_ETHER && has_len(tb[IFLA_ADDRESS], ETH_ALEN);
	if (answer->type)
		memcpy(answer->hop->src, mnl_attr_get_payload(tb[IFLA_ADDRESS]), ETH_ALEN);
	answer->hop->mtu = attr_u32(tb[IFLA_MTU], 0);
	answer->hop->nr_queues = attr_u32(tb[IFLA_NUM_TX_QUEUES], 1);
	return MNL_CB_OK;
}

static int read_neighbour(const struct nlmsghdr *nlh, void *data)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	struct answer *answer = data;

	if (nlh->nlmsg_type != RTM_NEWNEIGH)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*ndm), keep_attr, tb);
	if (!has_len(tb[NDA_LLADDR], ETH_ALEN))
		return MNL_CB_OK;
	answer->state = ndm->ndm_state;
	memcpy(answer->hop->dst, mnl_attr_get_payload(tb[NDA_LLADDR]), ETH_ALEN);
	return MNL_CB_OK;
}

static int ask_route(struct hk_hops *h, const struct address *dst, const struct address *src,
		     __u32 mark, struct answer *answer)
{
	char buf[REQUEST_MAX] = { 0 };
	struct nlmsghdr *nlh = put_request(buf, RTM_GETROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	size_t len = address_len(dst->family);

	rtm->rtm_family = dst->family;
	rtm->rtm_dst_len = len * 8;
	mnl_attr_put(nlh, RTA_DST, len, dst->word);
	if (src) {
		rtm->rtm_src_len = len * 8;
		mnl_attr_put(nlh, RTA_SRC, len, src->word);
	}
	if (mark)
		mnl_attr_put_u32(nlh, RTA_MARK, mark);
	return hk_netlink_ask(h->query, nlh, read_route, answer);
}

static int ask_link(struct hk_hops *h, struct answer *answer)
{
	char buf[REQUEST_MAX] = { 0 };
	struct nlmsghdr *nlh = put_request(buf, RTM_GETLINK);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = answer->hop->ifindex;
	return hk_netlink_ask(h->query, nlh, read_link, answer);
}

static int ask_neighbour(struct hk_hops *h, struct answer *answer)
{
	struct hk_hop *hop = answer->hop;
	char buf[REQUEST_MAX] = { 0 };
	struct nlmsghdr *nlh = put_request(buf, RTM_GETNEIGH);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	ndm->ndm_family = hop->family;
	ndm->ndm_ifindex = hop->ifindex;
	mnl_attr_put(nlh, NDA_DST, address_len(hop->family), hop->next);
	return hk_netlink_ask(h->query, nlh, read_neighbour, answer);
}

/* The kernel looks at IPv4 source addresses only, and lets us look at nothing else */
static int check_source(struct hk_hops *h, const struct address *src, __u32 mark)
{
	struct hk_hop hop = { 0 };
	struct answer answer = { .hop = &hop };
	int err = ask_route(h, src, NULL, mark, &answer);

	if (err)
		return err;
	return answer.type == RTN_LOCAL ? 0 : -EADDRNOTAVAIL;
}

static bool is_unspecified(const struct address *a)
{
	return !a->word[0] && !a->word[1] && !a->word[2] && !a->word[3];
}

/* On which link the path doesn't say */
static bool is_link_local(const struct address *a)
{
	return a->family == AF_INET6 && (a->word[0] & htonl(0xffc00000)) == htonl(0xfe800000);
}

static int find_route(struct hk_hops *h, const struct hk_path *path, __u32 mark,
		      struct hk_hop *hop)
{
	int family = hk_socket_family(path) ? AF_INET6 : AF_INET;
	struct address src = to_address(path->local, family);
	struct address dst = to_address(path->remote, family);
	struct answer answer = { .hop = hop };
	int err;

	if (is_unspecified(&src) || is_link_local(&dst))
		return -ENETUNREACH;
	err = check_source(h, &src, mark);
	if (err)
		return err;
	set_next(hop, family, dst.word);
	err = ask_route(h, &dst, &src, mark, &answer);
	if (err)
		return err;
	return answer.type == RTN_UNICAST && !answer.lifted && hop->ifindex ? 0 : -ENETUNREACH;
}

/**
 * hk_hops_find - ask the kernel for a path's next hop
 * @h:    open
 * @path: with both addresses
 * @mark: SO_MARK of the socket, which rules may look at
 * @hop:  filled, in part if there is an error
 *
 * Return: 0, or
 * -EHOSTUNREACH: the neighbour's MAC address isn't known; sending by a socket finds it;
 * -EOPNOTSUPP: no Ethernet device;
 * -ENETDOWN: the device is down;
 * another negative errno: no route, or none that a frame can follow.
 */
int hk_hops_find(struct hk_hops *h, const struct hk_path *path, __u32 mark, struct hk_hop *hop)
{
	struct answer answer = { .hop = hop };
	int err;

	memset(hop, 0, sizeof(*hop));
	err = find_route(h, path, mark, hop);
	if (!err)
		err = ask_link(h, &answer);
	if (err)
		return err == -EHOSTUNREACH ? -ENETUNREACH : err;
	if (!answer.type)
		return -EOPNOTSUPP;
	if (!answer.state)
		return -ENETDOWN;
	answer.state = NUD_NONE;
	err = ask_neighbour(h, &answer);
	return err || !(answer.state & NUD_USABLE) ? -EHOSTUNREACH : 0;
}

static int read_spd(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };
	const struct xfrmu_spdinfo *info;
	bool *found = data;

	if (nlh->nlmsg_type != XFRM_MSG_NEWSPDINFO)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(__u32), keep_attr, tb);
	info = has_len(tb[XFRMA_SPD_INFO], sizeof(*info)) ?
	       mnl_attr_get_payload(tb[XFRMA_SPD_INFO]) : NULL;
	*found = !info || info->outcnt;
	return MNL_CB_OK;
}

/**
 * hk_hops_have_ipsec - whether there is any IPsec policy for what is sent
 * @h: open
 *
 * A frame that we write passes all of them by. In doubt there is one.
 */
bool hk_hops_have_ipsec(struct hk_hops *h)
{
	char buf[REQUEST_MAX] = { 0 };
	struct nlmsghdr *nlh = put_request(buf, XFRM_MSG_GETSPDINFO);
	bool found = true;
	__u32 *flags;

	if (!h->spd_query)
		return false;
	flags = mnl_nlmsg_put_extra_header(nlh, sizeof(*flags));
	*flags = ~0U;
	return hk_netlink_ask(h->spd_query, nlh, read_spd, &found) || found;
}

static int join(struct mnl_socket *nl, int group)
{
	return mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ?
	       -errno : 0;
}

static int open_routes(struct hk_hops *h)
{
	unsigned int i;
	int err = 0;

	h->query = hk_netlink_open(NETLINK_ROUTE, 0, 0);
	if (!h->query)
		return -errno;
	h->events = hk_netlink_open(NETLINK_ROUTE, SOCK_NONBLOCK, 0);
	if (!h->events)
		return -errno;
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]) && !err; i++)
		err = join(h->events, groups[i]);
	if (!err)
		join(h->events, RTNLGRP_NEXTHOP);	/* from 5.3 on, as what it tells of */
	return err;
}

/* A kernel without IPsec has no such sockets */
static int open_spd(struct hk_hops *h)
{
	h->spd_query = hk_netlink_open(NETLINK_XFRM, 0, 0);
	if (!h->spd_query)
		return errno == EPROTONOSUPPORT ? 0 : -errno;
	h->spd = hk_netlink_open(NETLINK_XFRM, SOCK_NONBLOCK, 0);
	return h->spd ? join(h->spd, XFRMNLGRP_POLICY) : -errno;
}

/**
 * hk_hops_open - get ready to ask, and to hear of changes
 * @h: caller's memory, whatever is in it; closed again on error
 *
 * Return: 0 or a negative errno.
 */
int hk_hops_open(struct hk_hops *h)
{
	int err;

	memset(h, 0, sizeof(*h));
	err = open_routes(h);
	if (!err)
		err = open_spd(h);
	if (err)
		hk_hops_close(h);
	return err;
}

static void close_one(struct mnl_socket *nl)
{
	if (nl)
		mnl_socket_close(nl);
}

/**
 * hk_hops_close - ask no more
 * @h: open, closed or zeroed
 */
void hk_hops_close(struct hk_hops *h)
{
	close_one(h->query);
	close_one(h->events);
	close_one(h->spd_query);
	close_one(h->spd);
	memset(h, 0, sizeof(*h));
}

/**
 * hk_hops_fds - what to poll for hk_hops_read()
 * @h:	 open
 * @fds: filled in; the second is -1 where there is no IPsec
 */
void hk_hops_fds(const struct hk_hops *h, int fds[2])
{
	fds[0] = mnl_socket_get_fd(h->events);
	fds[1] = h->spd ? mnl_socket_get_fd(h->spd) : -1;
}

static bool read_news(const struct nlmsghdr *nlh, struct hk_hop_news *news)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[ATTR_MAX + 1] = { 0 };

	memset(news, 0, sizeof(*news));
	if (nlh->nlmsg_type != RTM_NEWNEIGH && nlh->nlmsg_type != RTM_DELNEIGH)
		return true;
	if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*ndm)) ||
	    (ndm->ndm_family != AF_INET && ndm->ndm_family != AF_INET6))
		return false;
	mnl_attr_parse(nlh, sizeof(*ndm), keep_attr, tb);
	if (!has_len(tb[NDA_DST], address_len(ndm->ndm_family)))
		return false;
	news->ifindex = ndm->ndm_ifindex;
	news->family = ndm->ndm_family;
	memcpy(news->next, mnl_attr_get_payload(tb[NDA_DST]), address_len(news->family));
	news->usable = nlh->nlmsg_type == RTM_NEWNEIGH && ndm->ndm_state & NUD_USABLE &&
		       has_len(tb[NDA_LLADDR], ETH_ALEN);
	if (news->usable)
		memcpy(news->dst, mnl_attr_get_payload(tb[NDA_LLADDR]), ETH_ALEN);
	return true;
}

/**
 * hk_hops_read - hear what has changed
 * @h:	  open
 * @fn:	  called for each
 * @priv: for @fn
 */
void hk_hops_read(struct hk_hops *h, void (*fn)(void *priv, const struct hk_hop_news *news),
		  void *priv)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	const struct nlmsghdr *nlh;
	struct hk_hop_news news;
	ssize_t len;
	int left;

	while (h->spd && mnl_socket_recvfrom(h->spd, buf, sizeof(buf)) > 0)
		fn(priv, &(struct hk_hop_news){ 0 });
	for (;;) {
		len = mnl_socket_recvfrom(h->events, buf, sizeof(buf));
		if (len < 0 && errno == ENOBUFS) {	/* some were lost */
			fn(priv, &(struct hk_hop_news){ 0 });
			continue;
		}
		if (len <= 0)
			return;
		left = len;
		for (nlh = (void *)buf; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (read_news(nlh, &news))
				fn(priv, &news);
	}
}
