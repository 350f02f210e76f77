// SPDX-License-Identifier: GPL-2.0
/*
 * "ip rule fwmark M lookup T" with "local default dev lo table T", for IPv4
 * and IPv6: a packet with the mark is delivered on this host, whatever its
 * destination.
 *
 * Neither goes away with the process, so both are found again after a crash:
 * what is exactly ours is reused. The mark, the table and the priority must be
 * ours alone, though; anything else that has one of them is somebody's, and is
 * neither used nor touched.
 *
 * The rule comes last and goes first, because with a rule and no route marked
 * packets would go on to the main table and leave the host.
 */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../carrier/netlink.h"
#include "route.h"

#define REQUEST_MAX	512	/* any of the requests below, with room to spare */
#define LO		"lo"

/**
 * struct steering - one family's half of the work
 * @route:   what to set up
 * @nl:      rtnetlink socket; owned by the caller
 * @family:  AF_INET or AF_INET6
 * @lo:      index of lo
 * @foreign: a dump met something that is not ours
 */
struct steering {
	const struct hk_route	*route;
	struct mnl_socket	*nl;
	int			family, lo;
	bool			foreign;
};

static struct nlmsghdr *put_rule(char *buf, const struct steering *st, __u16 type, __u16 flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *frh;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	frh->family = st->family;
	frh->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, st->route->priority);
	mnl_attr_put_u32(nlh, FRA_FWMARK, st->route->mark);
	mnl_attr_put_u32(nlh, FRA_FWMASK, ~0U);
	mnl_attr_put_u32(nlh, FRA_TABLE, st->route->table);
	return nlh;
}

static struct nlmsghdr *put_route(char *buf, const struct steering *st, __u16 type, __u16 flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = st->family;
	rtm->rtm_type = RTN_LOCAL;
	rtm->rtm_scope = RT_SCOPE_HOST;
	rtm->rtm_protocol = RTPROT_STATIC;
	mnl_attr_put_u32(nlh, RTA_TABLE, st->route->table);
	mnl_attr_put_u32(nlh, RTA_OIF, st->lo);
	return nlh;
}

static __u32 attr_u32(struct nlattr *const *tb, int type, __u32 absent)
{
	if (!tb[type] || mnl_attr_validate(tb[type], MNL_TYPE_U32) < 0)
		return absent;
	return mnl_attr_get_u32(tb[type]);
}

static int keep_rule_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_type_valid(attr, FRA_MAX) > 0)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static int keep_route_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_type_valid(attr, RTA_MAX) > 0)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* Selectors that our rule doesn't have: with one of them it is another rule */
static bool rule_selects_more(const struct fib_rule_hdr *frh, struct nlattr *const *tb)
{
	return frh->src_len || frh->dst_len || frh->tos || frh->flags & FIB_RULE_INVERT ||
	       tb[FRA_IIFNAME] || tb[FRA_OIFNAME] || tb[FRA_UID_RANGE] || tb[FRA_IP_PROTO] ||
	       tb[FRA_SPORT_RANGE] || tb[FRA_DPORT_RANGE];
}

static int check_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	struct nlattr *tb[FRA_MAX + 1] = { 0 };
	__u32 priority, table, mark, mask;
	struct steering *st = data;
	const struct hk_route *route = st->route;

	if (nlh->nlmsg_type != RTM_NEWRULE || frh->family != st->family)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*frh), keep_rule_attr, tb);
	priority = attr_u32(tb, FRA_PRIORITY, 0);
	table = attr_u32(tb, FRA_TABLE, frh->table);
	mark = attr_u32(tb, FRA_FWMARK, 0);
	mask = attr_u32(tb, FRA_FWMASK, mark ? ~0U : 0);

	if (priority == route->priority && table == route->table && mark == route->mark &&
	    mask == ~0U && frh->action == FR_ACT_TO_TBL && !rule_selects_more(frh, tb))
		return MNL_CB_OK;
	/* Another daemon's, with another port: it only shares the priority */
	if (mask == ~0U && mark != route->mark && mark == table && table != route->table)
		return MNL_CB_OK;
	if (priority == route->priority || table == route->table ||
	    (mask && (route->mark & mask) == mark))
		st->foreign = true;
	return MNL_CB_OK;
}

static int check_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct nlattr *tb[RTA_MAX + 1] = { 0 };
	struct steering *st = data;

	if (nlh->nlmsg_type != RTM_NEWROUTE || rtm->rtm_family != st->family)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(*rtm), keep_route_attr, tb);
	if (attr_u32(tb, RTA_TABLE, rtm->rtm_table) != st->route->table)
		return MNL_CB_OK;
	if (rtm->rtm_type != RTN_LOCAL || rtm->rtm_dst_len || rtm->rtm_src_len ||
	    attr_u32(tb, RTA_OIF, 0) != (__u32)st->lo)
		st->foreign = true;
	return MNL_CB_OK;
}

static int check_rules(struct steering *st)
{
	char buf[REQUEST_MAX];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *frh;

	nlh->nlmsg_type = RTM_GETRULE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	frh->family = st->family;
	return hk_netlink_ask(st->nl, nlh, check_rule, st);
}

/* Asks for one table only: a router's main table may have a million routes */
static int check_table(struct steering *st)
{
	char buf[REQUEST_MAX];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;
	int err;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = st->family;
	mnl_attr_put_u32(nlh, RTA_TABLE, st->route->table);
	err = hk_netlink_ask(st->nl, nlh, check_route, st);
	return err == -ENOENT ? 0 : err;	/* no such table yet */
}

static int check_ours(struct steering *st)
{
	int err = check_rules(st);

	if (!err)
		err = check_table(st);
	if (!err && st->foreign)
		err = -EEXIST;
	return err;
}

static int tell(const struct steering *st, const struct nlmsghdr *nlh)
{
	return hk_netlink_ask(st->nl, nlh, NULL, NULL);
}

static int add_family(struct steering *st)
{
	char buf[REQUEST_MAX];
	int err;

	err = tell(st, put_route(buf, st, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL));
	if (err && err != -EEXIST)
		return err;
	/* Without NLM_F_EXCL the kernel would take a second rule like the first */
	err = tell(st, put_rule(buf, st, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL));
	return err == -EEXIST ? 0 : err;
}

static bool is_missing(int err)
{
	return err == -ENOENT || err == -ESRCH || err == -ENODEV;
}

/* Goes on after an error, so that as little as possible is left */
static int del_family(struct steering *st)
{
	char buf[REQUEST_MAX];
	int err, err_route;

	do {
		err = tell(st, put_rule(buf, st, RTM_DELRULE, 0));
	} while (!err);		/* until the last: somebody may have restored it twice */
	err_route = tell(st, put_route(buf, st, RTM_DELROUTE, 0));
	if (!is_missing(err))
		return err;
	return is_missing(err_route) ? 0 : err_route;
}

/* No IPv6 in the kernel, in this namespace, or on lo */
static bool is_v6_absent(int err)
{
	return err == -EAFNOSUPPORT || err == -EPFNOSUPPORT || err == -EOPNOTSUPP ||
	       err == -EACCES || err == -ENODEV;
}

static int get_lo(bool *up)
{
	struct ifreq ifr = { .ifr_name = LO };
	int fd, err = 0;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr))
		err = -errno;
	*up = ifr.ifr_flags & IFF_UP;
	if (!err && ioctl(fd, SIOCGIFINDEX, &ifr))
		err = -errno;
	close(fd);
	return err ? err : ifr.ifr_ifindex;
}

static struct mnl_socket *open_rtnetlink(void)
{
	struct mnl_socket *nl = hk_netlink_open(NETLINK_ROUTE, 0, 0);
	int on = 1;

	/* Lets the kernel filter dumps; one too old for it dumps all, and check_route() filters */
	if (nl)
		mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return nl;
}

static int del_all(const struct hk_route *route, struct mnl_socket *nl, int lo)
{
	struct steering v4 = { .route = route, .nl = nl, .family = AF_INET, .lo = lo };
	struct steering v6 = { .route = route, .nl = nl, .family = AF_INET6, .lo = lo };
	int err, err_v6;

	err = del_family(&v4);
	err_v6 = del_family(&v6);
	if (err || is_v6_absent(err_v6))
		return err;
	return err_v6;
}

/* Before anything is changed, and for both families */
static int check_all(struct steering *v4, struct steering *v6)
{
	int err = check_ours(v4);

	if (err)
		return err;
	err = check_ours(v6);
	return is_v6_absent(err) ? 0 : err;
}

static int add_all(struct hk_route *route, struct mnl_socket *nl, int lo)
{
	struct steering v4 = { .route = route, .nl = nl, .family = AF_INET, .lo = lo };
	struct steering v6 = { .route = route, .nl = nl, .family = AF_INET6, .lo = lo };
	int err;

	route->has_v6 = 0;
	err = check_all(&v4, &v6);
	if (err)
		return err;	/* deleting now might hit what isn't ours */
	err = add_family(&v4);
	if (err)
		goto err_del;
	err = add_family(&v6);
	if (is_v6_absent(err))
		return 0;
	if (err)
		goto err_del;
	route->has_v6 = 1;
	return 0;
err_del:
	del_all(route, nl, lo);
	return err;
}

/**
 * hk_route_add - deliver packets that have a mark on this host
 * @route: mark, table and priority to use; @route->has_v6 is filled
 *
 * A rule and route left by a process that was killed are taken over.
 *
 * Context: CAP_NET_ADMIN in the network namespace's user namespace.
 *
 * Return: 0, or with nothing added
 * -EEXIST: a rule that isn't ours has the priority, the table or matches the
 * mark, or the table has other routes;
 * -ENETDOWN: lo is down, and nothing could be delivered;
 * -EINVAL: mark or table is 0;
 * -EPERM: no CAP_NET_ADMIN; or another negative errno of rtnetlink.
 */
int hk_route_add(struct hk_route *route)
{
	struct mnl_socket *nl;
	int lo, err;
	bool up;

	if (!route->mark || !route->table)
		return -EINVAL;
	lo = get_lo(&up);
	if (lo < 0)
		return lo;
	if (!up)
		return -ENETDOWN;
	nl = open_rtnetlink();
	if (!nl)
		return -errno;
	err = add_all(route, nl, lo);
	mnl_socket_close(nl);
	return err;
}

/**
 * hk_route_del - take away what hk_route_add() made
 * @route: as given to it; what isn't there is fine
 *
 * Return: 0 or a negative errno of rtnetlink.
 */
int hk_route_del(struct hk_route *route)
{
	struct mnl_socket *nl;
	int lo, err;
	bool up;

	lo = get_lo(&up);
	if (lo < 0)
		return lo;
	nl = open_rtnetlink();
	if (!nl)
		return -errno;
	err = del_all(route, nl, lo);
	mnl_socket_close(nl);
	if (!err)
		route->has_v6 = 0;
	return err;
}
