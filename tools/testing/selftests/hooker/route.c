// SPDX-License-Identifier: GPL-2.0
/*
 * The rule and the route that deliver marked packets on this host: they come,
 * work, go, are taken over from a process that was killed, and leave alone what
 * is somebody else's. What is there is asked of ip(8), not of the code tested.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/route.h"
#include "netns.h"

#define MARK		0x4b00
#define TABLE		4700
#define PRIORITY	100
#define WAIT_MS		2000

FIXTURE(route) { struct hk_route route; };

FIXTURE_VARIANT(route) { int family; const char *ip, *prefix, *stranger; };

FIXTURE_VARIANT_ADD(route, ipv4) {
	.family = AF_INET, .ip = "ip -4", .prefix = "192.0.2.0/24", .stranger = "203.0.113.5",
};

FIXTURE_VARIANT_ADD(route, ipv6) {
	.family = AF_INET6, .ip = "ip -6", .prefix = "2001:db8::/32", .stranger = "2001:db8::5",
};

FIXTURE_SETUP(route)
{
	if (geteuid())
		SKIP(return, "needs root");
	if (variant->family == AF_INET6 && !netns_has_ipv6())
		SKIP(return, "needs IPv6");
	ASSERT_EQ(0, netns_enter_new());
	self->route = (struct hk_route){ .mark = MARK, .table = TABLE, .priority = PRIORITY };
}

FIXTURE_TEARDOWN(route)
{
}

/* How many lines a shell command prints */
static int count_lines(const char *fmt, ...)
{
	char cmd[NETNS_CMD_MAX], line[512];
	int nr = 0;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	f = popen(cmd, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		nr++;
	pclose(f);
	return nr;
}

#define NR_RULES()								\
	count_lines("%s rule show | grep '^%d:.*fwmark 0x%x lookup %d'",	\
		    variant->ip, PRIORITY, MARK, TABLE)
#define NR_ROUTES()								\
	count_lines("%s route show table %d 2>&1 | grep '^local default dev lo'", \
		    variant->ip, TABLE)
#define NR_ALL_RULES()	count_lines("%s rule show", variant->ip)

static socklen_t make_addr(struct sockaddr_storage *ss, int family, const char *addr, __be16 port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = family;
	in->sin_port = port;	/* at the same place in both */
	if (addr)
		inet_pton(family, addr, family == AF_INET ? (void *)&in->sin_addr :
							    (void *)&in6->sin6_addr);
	return family == AF_INET ? sizeof(*in) : sizeof(*in6);
}

/* Whether a datagram for an address that isn't this host's arrives here */
static bool is_delivered(int family, const char *stranger, int mark)
{
	int from = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int to = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd pfd = { .fd = to, .events = POLLIN };
	struct sockaddr_storage addr;
	socklen_t len;
	bool arrived;

	len = make_addr(&addr, family, NULL, htons(5555));
	if (bind(to, (struct sockaddr *)&addr, len))
		return false;
	setsockopt(from, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	len = make_addr(&addr, family, stranger, htons(5555));
	arrived = sendto(from, "x", 1, 0, (struct sockaddr *)&addr, len) == 1 &&
		  poll(&pfd, 1, WAIT_MS) == 1;
	close(from);
	close(to);
	return arrived;
}

TEST_F(route, marked_packets_are_delivered_here)
{
	EXPECT_FALSE(is_delivered(variant->family, variant->stranger, MARK));
	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(netns_has_ipv6(), self->route.has_v6);
	EXPECT_TRUE(is_delivered(variant->family, variant->stranger, MARK));
	EXPECT_FALSE(is_delivered(variant->family, variant->stranger, MARK + 1));
	EXPECT_FALSE(is_delivered(variant->family, variant->stranger, 0));
	ASSERT_EQ(0, hk_route_del(&self->route));
	EXPECT_FALSE(is_delivered(variant->family, variant->stranger, MARK));
}

TEST_F(route, nothing_is_left_behind)
{
	int before = NR_ALL_RULES();

	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(before + 1, NR_ALL_RULES());
	EXPECT_EQ(1, NR_RULES());
	EXPECT_EQ(1, NR_ROUTES());
	ASSERT_EQ(0, hk_route_del(&self->route));
	EXPECT_EQ(before, NR_ALL_RULES());
	EXPECT_EQ(0, NR_ROUTES());
	EXPECT_EQ(0, hk_route_del(&self->route));	/* twice is fine */
}

TEST_F(route, leftover_is_taken_over)
{
	ASSERT_EQ(0, hk_route_add(&self->route));
	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(1, NR_RULES());
	EXPECT_EQ(1, NR_ROUTES());
	ASSERT_EQ(0, hk_route_del(&self->route));
	EXPECT_EQ(0, NR_RULES());
	EXPECT_EQ(0, NR_ROUTES());
}

TEST_F(route, half_a_leftover_is_completed)
{
	ASSERT_EQ(0, netns_run("%s rule add fwmark %d lookup %d priority %d", variant->ip, MARK,
			       TABLE, PRIORITY));
	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(1, NR_RULES());
	EXPECT_EQ(1, NR_ROUTES());
	ASSERT_EQ(0, netns_run("%s rule del priority %d", variant->ip, PRIORITY));
	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(1, NR_RULES());
	EXPECT_EQ(1, NR_ROUTES());
	ASSERT_EQ(0, netns_run("%s route flush table %d", variant->ip, TABLE));
	EXPECT_EQ(0, hk_route_del(&self->route));
	EXPECT_EQ(0, NR_RULES());
}

/* Each of these is somebody else's: refused, untouched, and nothing of ours added */
TEST_F(route, what_others_use_is_left_alone)
{
	static const char * const rules[] = {
		"priority 100 lookup main",			/* our priority */
		"priority 90 lookup 4700",			/* our table */
		"priority 90 fwmark 0x4b00 lookup 33",		/* our mark */
		"priority 90 fwmark 0x4000/0xf000 lookup 33",	/* a mark that ours matches */
		"priority 100 fwmark 0x4b00 iif lo lookup 4700",	/* ours, but for less */
	};
	unsigned int i;
	int before;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		ASSERT_EQ(0, netns_run("%s rule add %s", variant->ip, rules[i]));
		before = NR_ALL_RULES();
		EXPECT_EQ(-EEXIST, hk_route_add(&self->route)) TH_LOG("beside: %s", rules[i]);
		EXPECT_EQ(before, NR_ALL_RULES());
		EXPECT_EQ(0, NR_ROUTES());
		ASSERT_EQ(0, netns_run("%s rule del %s", variant->ip, rules[i]));
	}
	EXPECT_EQ(0, hk_route_add(&self->route));
}

TEST_F(route, routes_of_others_in_the_table_are_left_alone)
{
	ASSERT_EQ(0, netns_run("%s route add blackhole %s table %d", variant->ip, variant->prefix,
			       TABLE));
	EXPECT_EQ(-EEXIST, hk_route_add(&self->route));
	EXPECT_EQ(0, NR_RULES());
	EXPECT_EQ(1, count_lines("%s route show table %d", variant->ip, TABLE));
}

TEST_F(route, marks_of_others_do_no_harm)
{
	ASSERT_EQ(0, netns_run("%s rule add priority 90 fwmark 0x1/0xff lookup 33", variant->ip));
	ASSERT_EQ(0, netns_run("%s route add blackhole %s table 33", variant->ip, variant->prefix));
	EXPECT_EQ(0, hk_route_add(&self->route));
	EXPECT_TRUE(is_delivered(variant->family, variant->stranger, MARK));
}

TEST_F(route, lo_that_is_down_is_told)
{
	ASSERT_EQ(0, netns_run("ip link set lo down"));
	EXPECT_EQ(-ENETDOWN, hk_route_add(&self->route));
	EXPECT_EQ(0, NR_RULES());
	EXPECT_EQ(0, hk_route_del(&self->route));
}

TEST_F(route, host_without_ipv6_gets_ipv4)
{
	if (!netns_has_ipv6())
		SKIP(return, "the other tests show it");
	ASSERT_EQ(0, netns_run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"));
	self->route.has_v6 = 1;
	ASSERT_EQ(0, hk_route_add(&self->route));
	EXPECT_EQ(0, self->route.has_v6);
	EXPECT_EQ(variant->family == AF_INET, NR_RULES());
	EXPECT_EQ(variant->family == AF_INET, NR_ROUTES());
	EXPECT_EQ(0, hk_route_del(&self->route));
	EXPECT_EQ(0, NR_RULES());
}

TEST_F(route, senseless_numbers_are_refused)
{
	struct hk_route bad = self->route;

	bad.mark = 0;
	EXPECT_EQ(-EINVAL, hk_route_add(&bad));
	bad = self->route;
	bad.table = 0;
	EXPECT_EQ(-EINVAL, hk_route_add(&bad));
}

TEST_F(route, without_privilege_it_says_so)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(hk_route_add(&self->route) != -EPERM);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
