// SPDX-License-Identifier: GPL-2.0
/*
 * What --to understands. Needs no privilege.
 */
#include <arpa/inet.h>
#include <string.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/relay.h"

static const struct {
	const char	*text, *addr;	/* @addr as IPv6 */
	int		len, port;
} good[] = {
	{ "192.0.2.0/24", "::ffff:192.0.2.0", 120, 0 },
	{ "192.0.2.0/24:443", "::ffff:192.0.2.0", 120, 443 },
	{ "192.0.2.7", "::ffff:192.0.2.7", 128, 0 },
	{ "192.0.2.7:1", "::ffff:192.0.2.7", 128, 1 },
	{ "192.0.2.7/32:65535", "::ffff:192.0.2.7", 128, 65535 },
	{ "192.0.2.128/25", "::ffff:192.0.2.128", 121, 0 },
	{ "0.0.0.0/0", "::ffff:0.0.0.0", 96, 0 },
	{ "2001:db8::/32", "2001:db8::", 32, 0 },
	{ "2001:db8::1", "2001:db8::1", 128, 0 },
	{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 128, 0 },
	{ "::", "::", 128, 0 },
	{ "::/0", "::", 0, 0 },
	{ "[2001:db8::]/32", "2001:db8::", 32, 0 },
	{ "[2001:db8::]/32:443", "2001:db8::", 32, 443 },
	{ "[2001:db8::1]:443", "2001:db8::1", 128, 443 },
	{ "[2001:db8::1]", "2001:db8::1", 128, 0 },
	{ "2001:db8::8000:0/97", "2001:db8::8000:0", 97, 0 },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.1", 128, 0 },
};

static const char *const bad[] = {
	"", ":", "/", "[", "]", "[]", "[]:80", "/24", ":80", "192.0.2.0/", "192.0.2.0:",
	"192.0.2.0/24:", "192.0.2.0/:80", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/-1",
	"192.0.2.0/+8", "192.0.2.0/ 8", "192.0.2.0/0x8", "192.0.2.0/99999999999",
	"192.0.2.0/24:0", "192.0.2.0/24:65536", "192.0.2.0/24:http", "192.0.2.0/24:80 ",
	"192.0.2", "192.0.2.256", "192.0.2.0.0", "localhost", "example.org:80",
	"[192.0.2.1]", "[192.0.2.1]:80", "[2001:db8::", "2001:db8::]", "[2001:db8::]x",
	"[2001:db8::/32]:443", "2001:db8::/32:443", "2001:db8::/129", "2001:db8::1/64",
	"2001:db8::g", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "::1/0", "192.0.2.0/24/24",
	"192.0.2.0:80/24", "192.0.2.128/24", "2001:db8:0:1::/63",
	"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd",
};

TEST(understood)
{
	struct hk_prefix prefix;
	unsigned char addr[16];
	const char *wrong;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		memset(&prefix, 0xff, sizeof(prefix));
		wrong = hk_prefix_parse(good[i].text, &prefix);
		EXPECT_EQ(NULL, wrong)
			TH_LOG("%s: %s", good[i].text, wrong);
		ASSERT_EQ(1, inet_pton(AF_INET6, good[i].addr, addr));
		EXPECT_EQ(0, memcmp(addr, prefix.addr, sizeof(addr)))
			TH_LOG("%s: address", good[i].text);
		EXPECT_EQ(good[i].len, prefix.len)
			TH_LOG("%s: length", good[i].text);
		EXPECT_EQ(htons(good[i].port), prefix.port)
			TH_LOG("%s: port", good[i].text);
	}
}

TEST(refused)
{
	struct hk_prefix prefix;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_NE(NULL, hk_prefix_parse(bad[i], &prefix))
			TH_LOG("\"%s\" was taken", bad[i]);
	}
}

TEST_HARNESS_MAIN
