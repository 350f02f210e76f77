// SPDX-License-Identifier: GPL-2.0
/*
 * TCP segments, written and read: no kernel needed.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "forge.h"
#include "tcp/inject.h"

static const struct hk_option sample_option = {
	.kind = HK_OPT_KIND, .len = HK_OPT_LEN, .ver_flags = HK_OPT_VERSION << 4,
	.protos = HK_PROTO_UDP, .instance = "instance", .token = "tok",
};

static struct hk_segment make_full_segment(const char *from, const char *to)
{
	struct hk_option *option = malloc(sizeof(*option));
	struct hk_segment seg = {
		.key = make_key(from, 1234, to, 80),
		.seq = 0xfffffffe, .ack = 0x80000001, .flags = SYN | ACK, .window = 4321,
		.timestamps = true, .tsval = 0xdeadbeef, .tsecr = 77,
		.mss = 1400, .sack = true, .scaled = true, .wscale = 9,
	};

	*option = sample_option;
	option->exid = htons(HK_OPT_EXID);
	seg.option = option;
	return seg;
}

/* A copy that ends where readable memory ends, so that reading past it is a crash */
static __u8 *at_edge(const void *bytes, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);
	__u8 *mem;

	mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || mprotect(mem + page, page, PROT_NONE))
		abort();
	return memcpy(mem + page - len, bytes, len);
}

static void drop_edge(__u8 *edge, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);

	munmap(edge + len - page, 2 * page);
}

static int parse_at_edge(const void *bytes, size_t len, struct hk_parsed *parsed)
{
	__u8 *edge = at_edge(bytes, len);
	int err = hk_segment_parse(edge, len, parsed);

	drop_edge(edge, len);
	return err;
}

FIXTURE(segment) { __u8 packet[HK_SEGMENT_MAX]; ssize_t len; struct hk_segment seg; };

FIXTURE_VARIANT(segment) { const char *from, *to; size_t ip_len; __u16 mss_default; };

FIXTURE_VARIANT_ADD(segment, ipv4) {
	.from = "192.0.2.1", .to = "198.51.100.7", .ip_len = 20, .mss_default = 536,
};

FIXTURE_VARIANT_ADD(segment, ipv6) {
	.from = "2001:db8::1", .to = "2001:db8:ffff::7", .ip_len = 40, .mss_default = 1220,
};

FIXTURE_SETUP(segment)
{
	self->seg = make_full_segment(variant->from, variant->to);
	self->len = hk_segment_build(self->packet, sizeof(self->packet), &self->seg);
	ASSERT_EQ((ssize_t)variant->ip_len + 60, self->len);
}

FIXTURE_TEARDOWN(segment)
{
	free((void *)self->seg.option);
}

TEST_F(segment, is_read_as_it_was_built)
{
	struct hk_parsed parsed;

	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(0, memcmp(&self->seg.key, &parsed.key, sizeof(parsed.key)));
	EXPECT_EQ(self->seg.seq, parsed.seq);
	EXPECT_EQ(self->seg.ack, parsed.ack);
	EXPECT_EQ(self->seg.flags, parsed.flags);
	EXPECT_EQ(self->seg.window, parsed.window);
	EXPECT_EQ(1400, parsed.mss);
	EXPECT_EQ(9, parsed.wscale);
	EXPECT_TRUE(parsed.sack);
	EXPECT_TRUE(parsed.timestamps);
	EXPECT_EQ(self->seg.tsval, parsed.tsval);
	EXPECT_EQ(self->seg.tsecr, parsed.tsecr);
	EXPECT_EQ(0U, parsed.payload);
	ASSERT_NE(NULL, parsed.option);
	EXPECT_EQ(0, memcmp(self->seg.option, parsed.option, HK_OPT_LEN));
}

TEST_F(segment, without_options_has_the_defaults)
{
	struct hk_segment bare = { .key = self->seg.key, .flags = SYN };
	struct hk_parsed parsed;

	ASSERT_EQ((ssize_t)variant->ip_len + 20,
		  hk_segment_build(self->packet, sizeof(self->packet), &bare));
	ASSERT_EQ(0, hk_segment_parse(self->packet, variant->ip_len + 20, &parsed));
	EXPECT_EQ(variant->mss_default, parsed.mss);
	EXPECT_EQ(-1, parsed.wscale);
	EXPECT_FALSE(parsed.sack);
	EXPECT_FALSE(parsed.timestamps);
	EXPECT_EQ(NULL, parsed.option);
}

TEST_F(segment, does_not_fit_into_less)
{
	EXPECT_EQ(-ENOSPC, hk_segment_build(self->packet, self->len - 1, &self->seg));
}

TEST_F(segment, cut_short_anywhere_is_refused)
{
	struct hk_parsed parsed;
	ssize_t len;

	for (len = 0; len < self->len; len++)
		EXPECT_EQ(-EINVAL, parse_at_edge(self->packet, len, &parsed)) {
			TH_LOG("accepted with %zd of %zd bytes", len, self->len);
		}
	EXPECT_EQ(0, parse_at_edge(self->packet, self->len, &parsed));
}

TEST_F(segment, padding_behind_it_is_no_payload)
{
	__u8 padded[HK_SEGMENT_MAX + 40] = { 0 };
	struct hk_parsed parsed;

	memcpy(padded, self->packet, self->len);
	ASSERT_EQ(0, hk_segment_parse(padded, self->len + 6, &parsed));
	EXPECT_EQ(0U, parsed.payload);
}

TEST_F(segment, window_scale_is_bounded)
{
	struct hk_parsed parsed;

	self->seg.wscale = 15;
	hk_segment_build(self->packet, sizeof(self->packet), &self->seg);
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(14, parsed.wscale);
}

TEST_F(segment, other_experiments_are_not_the_offer)
{
	__u8 *option = self->packet + variant->ip_len + 40;
	struct hk_parsed parsed;

	option[3] ^= 1;		/* ExID */
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(NULL, parsed.option);
	option[3] ^= 1;
	option[0] = 253;	/* the other experimental kind */
	ASSERT_EQ(0, hk_segment_parse(self->packet, self->len, &parsed));
	EXPECT_EQ(NULL, parsed.option);
}

TEST_F(segment, malformed_option_ends_the_list)
{
	__u8 *option = self->packet + variant->ip_len + 40;
	static const __u8 bad_len[] = { 0, 1, 21, 255 };
	struct hk_parsed parsed;
	unsigned int i;

	for (i = 0; i < sizeof(bad_len); i++) {
		option[1] = bad_len[i];
		ASSERT_EQ(0, parse_at_edge(self->packet, self->len, &parsed));
		EXPECT_EQ(NULL, parsed.option);
		EXPECT_EQ(1400, parsed.mss);
		EXPECT_TRUE(parsed.timestamps);
	}
}

TEST_F(segment, wrong_data_offset_is_refused)
{
	__u8 *offset = self->packet + variant->ip_len + 12;
	struct hk_parsed parsed;
	int words;

	for (words = 0; words < 5; words++) {
		*offset = words << 4;
		EXPECT_EQ(-EINVAL, parse_at_edge(self->packet, self->len, &parsed));
	}
}

TEST_F(segment, other_protocols_are_told_apart)
{
	__u8 *proto = self->packet + (variant->ip_len == 20 ? 9 : 6);
	struct hk_parsed parsed;

	*proto = IPPROTO_UDP;
	EXPECT_EQ(-EPROTONOSUPPORT, parse_at_edge(self->packet, self->len, &parsed));
	*proto = IPPROTO_DSTOPTS;
	EXPECT_EQ(variant->ip_len == 20 ? -EPROTONOSUPPORT : -EOPNOTSUPP,
		  parse_at_edge(self->packet, self->len, &parsed));
}

TEST_F(segment, noise_never_reads_out_of_bounds)
{
	unsigned int seed = 20240707, i, flip;
	__u8 copy[HK_SEGMENT_MAX];
	struct hk_parsed parsed;
	int accepted = 0;

	TH_LOG("seed %u", seed);
	for (i = 0; i < 20000; i++) {
		memcpy(copy, self->packet, self->len);
		for (flip = rand_r(&seed) % 6 + 1; flip; flip--)
			copy[rand_r(&seed) % self->len] = rand_r(&seed);
		if (!parse_at_edge(copy, rand_r(&seed) % 4 ? self->len :
				   rand_r(&seed) % self->len, &parsed))
			accepted++;
	}
	EXPECT_LT(0, accepted);
	EXPECT_GT(20000, accepted);
}

TEST(segment_of_two_families_is_refused)
{
	struct hk_segment seg = { .key = make_key("192.0.2.1", 1, "2001:db8::1", 2) };
	__u8 packet[HK_SEGMENT_MAX];

	EXPECT_EQ(-EINVAL, hk_segment_build(packet, sizeof(packet), &seg));
}

TEST_HARNESS_MAIN
