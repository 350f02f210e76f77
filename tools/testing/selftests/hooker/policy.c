// SPDX-License-Identifier: GPL-2.0
/*
 * Rules as text: what is understood and how it is written back, what is refused and with
 * which words, order and numbers, and text that nobody would write. Needs no privilege.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/policy.h"

/* Lines, and the one rule that is there afterwards */
static const struct {
	const char	*text, *rule;
} good[] = {
	{ "add none", "pref 1000 none" },
	{ "add hold", "pref 1000 hold" },
	{ "add native-first", "pref 1000 native-first" },
	{ "add via udp", "pref 1000 via udp hold" },
	{ "add via udp,udplite", "pref 1000 via udplite,udp hold" },
	{ "add cc cubic", "pref 1000 cc cubic hold" },
	{ "add cover full", "pref 1000 cover full hold" },
	{ "add cover header", "pref 1000 cover header hold" },
	{ "add none out", "pref 1000 out none" },
	{ "add in hold", "pref 1000 in hold" },
	{ "add pref 1 hold", "pref 1 hold" },
	{ "add pref 4294967295 hold", "pref 4294967295 hold" },
	{ "add first hold", "pref 999 hold" },
	{ "add to 192.0.2.0/24 hold", "pref 1000 to 192.0.2.0/24 hold" },
	{ "add to 192.0.2.7 hold", "pref 1000 to 192.0.2.7/32 hold" },
	{ "add from 2001:db8::/32 hold", "pref 1000 from 2001:db8::/32 hold" },
	{ "add from 0.0.0.0/0 hold", "pref 1000 from 0.0.0.0/0 hold" },
	{ "add from ::/0 hold", "pref 1000 hold" },
	{ "add port 443 hold", "pref 1000 port 443 hold" },
	{ "add port 1-65535 hold", "pref 1000 port 1-65535 hold" },
	{ "add port 80-80 hold", "pref 1000 port 80 hold" },
	{ "add cgroup /sys/fs/cgroup/a hold", "pref 1000 cgroup /sys/fs/cgroup/a hold" },
	{ "add cgroup system.slice/b.service none",
	  "pref 1000 cgroup system.slice/b.service none" },
	{ "  add\thold # why\r", "pref 1000 hold" },
	{ "\n# only this\n\nadd hold\n\n", "pref 1000 hold" },
	{ "add none\nflush\nadd hold", "pref 1000 hold" },
	{ "add none\nadd hold\ndel pref 1000", "pref 1010 hold" },
	{ "add cgroup a none\nadd hold\nadd cgroup a hold\ndel cgroup a", "pref 1010 hold" },
	{ "add hold cc bbr out via udp cover full port 1-2 to ::1 from ::2 cgroup c pref 3",
	  "pref 3 out from ::2/128 to ::1/128 port 1-2 cgroup c via udp cover full cc bbr hold" },
};

/* Line that is named, and a part of the message: the word, or what was expected */
static const struct {
	const char	*text;
	unsigned int	line;
	const char	*says;
} bad[] = {
	{ "frob", 1, "\"frob\": expected add, del or flush" },
	{ "ADD hold", 1, "\"ADD\"" },
	{ "add", 1, "the rule says nothing to do" },
	{ "add out", 1, "the rule says nothing to do: via, cover, cc, hold" },
	{ "add hold\n\nadd in prot 3 hold", 3, "\"prot\": not a word of a rule; expected pref" },
	{ "add hold hold", 1, "hold: said twice" },
	{ "add in out hold", 1, "out: excludes in" },
	{ "add hold native-first", 1, "native-first: excludes hold" },
	{ "add none via udp", 1, "via: excludes none" },
	{ "add cc bbr none", 1, "none: excludes cc" },
	{ "add first pref 3 hold", 1, "pref: excludes first" },
	{ "add pref", 1, "pref: N is missing" },
	{ "add pref 0 hold", 1, "pref 0: not a number from 1 to 4294967295" },
	{ "add pref 4294967296 hold", 1, "pref 4294967296:" },
	{ "add pref -1 hold", 1, "pref -1:" },
	{ "add pref 1 hold\nadd pref 1 none", 2, "pref 1: there is a rule with it already" },
	{ "add pref 1 hold\nadd first none", 2, "first: pref 1 is taken" },
	{ "add pref 4294967295 hold\nadd none", 2, "no room behind pref 4294967295" },
	{ "add to", 1, "to: PREFIX is missing" },
	{ "add to example.org hold", 1, "to example.org: not an IPv4 or IPv6 address" },
	{ "add to 192.0.2.1/24 hold", 1, "to 192.0.2.1/24: bits behind" },
	{ "add from 192.0.2.0/24:80 hold", 1, "a port has a word of its own, \"port 80\"" },
	{ "add port 0 hold", 1, "port 0: not N or LOW-HIGH" },
	{ "add port 65536 hold", 1, "port 65536:" },
	{ "add port 1-65536 hold", 1, "port 1-65536:" },
	{ "add port 9-8 hold", 1, "port 9-8: the lower end comes first" },
	{ "add port 1- hold", 1, "port 1-:" },
	{ "add port -1 hold", 1, "port -1:" },
	{ "add port 1-2-3 hold", 1, "port 1-2-3:" },
	{ "add port 0000000080-90 hold", 1, "port 0000000080-90:" },
	{ "add port http hold", 1, "port http:" },
	{ "add via tcp", 1, "via tcp: no such carrier" },
	{ "add via udp,", 1, "via : no such carrier" },
	{ "add via udp,udp", 1, "via: udp is named twice" },
	{ "add cover", 1, "cover: full or header is missing" },
	{ "add cover half", 1, "cover half: not full or header" },
	{ "add cover full cover header", 1, "cover: said twice" },
	{ "add cc reno", 1, "cc reno: not bbr or cubic" },
	{ "add cgroup hold", 1, "the rule says nothing to do" },
	{ "del", 1, "del: expected \"pref N\" or \"cgroup PATH\"" },
	{ "del pref 1 2", 1, "del: expected" },
	{ "del pref x", 1, "pref x: not a number" },
	{ "add hold\ndel pref 7", 2, "del pref 7: no such rule" },
	{ "del cgroup nope", 1, "del cgroup nope: no such rule" },
	{ "flush all", 1, "flush: \"all\" is too much" },
};

FIXTURE(policy)
{
	struct hk_policy	*policy;
	struct hk_policy_error	error;
};

FIXTURE_SETUP(policy)
{
	self->policy = calloc(1, sizeof(*self->policy));
	ASSERT_NE(NULL, self->policy);
}

FIXTURE_TEARDOWN(policy)
{
	free(self->policy);
}

static int read_text(struct hk_policy *policy, const char *text, struct hk_policy_error *error)
{
	policy->nr = 0;
	memset(error, 0, sizeof(*error));
	return hk_policy_read(policy, text, strlen(text), error);
}

TEST_F(policy, understood)
{
	char text[HK_RULE_TEXT];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, read_text(self->policy, good[i].text, &self->error))
			TH_LOG("%s: %s", good[i].text, self->error.text);
		ASSERT_EQ(1, self->policy->nr)
			TH_LOG("%s", good[i].text);
		hk_rule_format(&self->policy->rules[0], text);
		EXPECT_STREQ(good[i].rule, text);
	}
}

TEST_F(policy, refused)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_NE(0, read_text(self->policy, bad[i].text, &self->error))
			TH_LOG("\"%s\" was taken", bad[i].text);
		EXPECT_EQ(bad[i].line, self->error.line)
			TH_LOG("%s", bad[i].text);
		EXPECT_NE(NULL, strstr(self->error.text, bad[i].says))
			TH_LOG("\"%s\": \"%s\"", bad[i].text, self->error.text);
	}
}

TEST_F(policy, order_is_that_of_the_numbers)
{
	static const __u32 order[] = { 3, 499, 500, 1000, 1010 };
	size_t i;

	ASSERT_EQ(0, read_text(self->policy,
			       "add pref 500 hold\nadd pref 3 none\nadd pref 1000 none\n"
			       "add hold\ndel pref 3\nadd first none\nadd pref 3 hold",
			       &self->error));
	ASSERT_EQ(ARRAY_SIZE(order), self->policy->nr);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		EXPECT_EQ(order[i], self->policy->rules[i].pref);
}

/* A line that fails leaves the list as it was */
TEST_F(policy, failure_changes_nothing)
{
	char *const del[] = { "del", "pref", "7" }, *const add[] = { "add", "pref", "1", "hold" };

	ASSERT_EQ(0, read_text(self->policy, "add pref 1 none\nadd pref 2 none", &self->error));
	EXPECT_NE(0, hk_policy_do(self->policy, del, 3, &self->error));
	EXPECT_NE(0, hk_policy_do(self->policy, add, 4, &self->error));
	EXPECT_EQ(2, self->policy->nr);
	EXPECT_TRUE(self->policy->rules[0].none);
}

TEST_F(policy, limits)
{
	char *text = malloc(HK_POLICY_BYTES + 2);
	size_t i, len = 0;

	ASSERT_NE(NULL, text);
	for (i = 0; i < HK_MAX_POLICY; i++)
		len += sprintf(text + len, "add hold\n");
	EXPECT_EQ(0, read_text(self->policy, text, &self->error));
	EXPECT_EQ(HK_MAX_POLICY, self->policy->nr);
	sprintf(text + len, "add none");
	EXPECT_NE(0, read_text(self->policy, text, &self->error));
	EXPECT_EQ(HK_MAX_POLICY + 1, self->error.line);
	EXPECT_NE(NULL, strstr(self->error.text, "more than 256 rules"));

	memset(text, '#', HK_POLICY_BYTES);
	for (i = 99; i < HK_POLICY_BYTES; i += 100)
		text[i] = '\n';
	self->policy->nr = 0;
	EXPECT_EQ(0, hk_policy_read(self->policy, text, HK_POLICY_BYTES, &self->error));
	EXPECT_NE(0, hk_policy_read(self->policy, text, HK_POLICY_BYTES + 1, &self->error));
	memset(text, 'x', 2000);
	EXPECT_NE(0, hk_policy_read(self->policy, text, 2000, &self->error));
	EXPECT_NE(NULL, strstr(self->error.text, "longer than"));
	for (i = 0; i < 100; i++)
		memcpy(text + 2 * i, "a ", 2);
	EXPECT_NE(0, hk_policy_read(self->policy, text, 200, &self->error));
	EXPECT_NE(NULL, strstr(self->error.text, "more than 32 words"));
	EXPECT_NE(0, hk_policy_read(self->policy, "add hold\0", 9, &self->error));
	EXPECT_NE(NULL, strstr(self->error.text, "NUL byte"));
	free(text);
}

static const char *const pieces[] = {
	"add ", "del ", "flush", "\n", " ", "pref ", "first ", "in ", "out ", "from ", "to ",
	"port ",
	"cgroup ", "via ", "cover ", "cc ", "hold ", "native-first ", "none ", "1", "65535", "-",
	"192.0.2.0/24 ", "2001:db8::/32 ", "udp ", "udplite,udp ", "full ", "header ", "cubic ",
	"#", "/sys/fs/cgroup/a ", "\t", "999999999999999999999 ", "\x01\xff ", ",", "[::]:1 ",
};

/* Whatever is taken is written in a form that is taken again and gives the same */
TEST_F(policy, random_text)
{
	struct hk_policy *again = calloc(1, sizeof(*again));
	char text[2048], a[HK_RULE_TEXT], b[HK_RULE_TEXT], line[HK_RULE_TEXT + 8];
	unsigned int round, i, nr, taken = 0;
	size_t len;

	ASSERT_NE(NULL, again);
	srandom(4711);
	for (round = 0; round < 200000; round++) {
		len = snprintf(text, sizeof(text), round % 4 ? "add " : "%s", "");
		for (nr = random() % 12; nr; nr--)
			len += snprintf(text + len, sizeof(text) - len, "%s",
					pieces[random() % ARRAY_SIZE(pieces)]);
		self->policy->nr = 0;
		if (hk_policy_read(self->policy, text, len, &self->error)) {
			ASSERT_NE('\0', self->error.text[0]);
			ASSERT_LT(0, self->error.line);
			continue;
		}
		for (i = 0; i < self->policy->nr; i++) {
			hk_rule_format(&self->policy->rules[i], a);
			snprintf(line, sizeof(line), "add %s", a);
			ASSERT_EQ(0, read_text(again, line, &self->error))
				TH_LOG("%s: %s", line, self->error.text);
			hk_rule_format(&again->rules[0], b);
			ASSERT_STREQ(a, b);
			taken++;
		}
	}
	TH_LOG("%u of 200000 texts gave rules", taken);
	EXPECT_LT(1000, taken);
	free(again);
}

TEST_HARNESS_MAIN
