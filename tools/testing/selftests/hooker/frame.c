// SPDX-License-Identifier: GPL-2.0
/*
 * Frames as the AF_XDP carrier builds them, read by somebody who knows RFC 791, 8200 and
 * 3828 but not the code: bytes in network order, sums of 16-bit words one by one.
 */
#include <arpa/inet.h>
#include <string.h>
#include "../kselftest_harness.h"
#include "../../../hooker/carrier/frame.h"
#include "../../../hooker/tcp/addr.h"

#define ETH_LEN		14
#define LITE_LEN	8
#define MAX_LEN		1472
#define BUF_LEN		2048
#define MARGIN		16	/* behind the frame, must stay as it is */
#define SPORT		0x1234
#define DPORT		0x484b
#define HOP_LIMIT	57

FIXTURE(frame) {
	struct hk_frame_head	head;
	struct hk_datagram	dgram;
	__u8			data[BUF_LEN], buf[BUF_LEN];
};

FIXTURE_VARIANT(frame) { bool v6; int offset; };

FIXTURE_VARIANT_ADD(frame, ipv4) { .v6 = false };
FIXTURE_VARIANT_ADD(frame, ipv6) { .v6 = true };
FIXTURE_VARIANT_ADD(frame, ipv4_odd_address) { .v6 = false, .offset = 1 };
FIXTURE_VARIANT_ADD(frame, ipv6_odd_address) { .v6 = true, .offset = 1 };

#define IP_LEN	(variant->v6 ? 40 : 20)
#define FRAME	(self->buf + variant->offset)
#define IP	(FRAME + ETH_LEN)
#define LITE	(IP + IP_LEN)

FIXTURE_SETUP(frame)
{
	static const struct hk_frame_head head = {
		.dst = { 2, 0, 0, 0, 0, 0xb }, .src = { 2, 0, 0, 0, 0, 0xa },
		.hop_limit = HOP_LIMIT,
	};
	struct hk_path *path = &self->dgram.path;
	unsigned int seed = 20, i;

	self->head = head;
	self->head.sport = htons(SPORT);
	path->rport = htons(DPORT);
	if (variant->v6) {
		inet_pton(AF_INET6, "2001:db8:1:2:3:4:5:6", path->local);
		inet_pton(AF_INET6, "fd00:ffff:ffff:ffff::2", path->remote);
	} else {
		hk_addr_map(path->local, inet_addr("192.0.2.1"));
		hk_addr_map(path->remote, inet_addr("203.0.113.254"));
	}
	for (i = 0; i < sizeof(self->data); i++)
		self->data[i] = rand_r(&seed);
	self->dgram.data = self->data;
}

FIXTURE_TEARDOWN(frame)
{
}

static unsigned int be16(const __u8 *p)
{
	return p[0] << 8 | p[1];
}

/* Adds 16-bit words in network order; an odd last byte is the upper half of its word */
static __u32 add_words(__u32 sum, const __u8 *p, __u32 len)
{
	for (; len > 1; len -= 2, p += 2)
		sum += be16(p);
	sum += len ? *p << 8 : 0;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __u32 pseudo_header(const __u8 *ip, bool v6, __u32 len)
{
	__u32 sum = v6 ? add_words(0, ip + 8, 32) : add_words(0, ip + 12, 8);

	return sum + 136 + len;
}

/* Right if all the words, the checksum included, add up to ones */
static bool is_sound(const __u8 *ip, const __u8 *lite, bool v6, __u32 len)
{
	__u32 coverage = be16(lite + 4) ? be16(lite + 4) : len;

	return be16(lite + 6) && coverage >= LITE_LEN && coverage <= len &&
	       add_words(pseudo_header(ip, v6, len), lite, coverage) == 0xffff;
}

TEST_F(frame, headers_say_what_they_should)
{
	__u8 want_ip4[] = { 0x45, 2, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, 136 };
	__u8 want_ip6[] = { 0x60, 0x20, 0, 0, 0, 0, 136, HOP_LIMIT };
	__u32 len;

	self->dgram.len = 1001;
	self->dgram.ecn = 2;
	memset(self->buf, 0xaa, sizeof(self->buf));
	EXPECT_EQ(IP_LEN + LITE_LEN + 1001, hk_frame_ip_len(&self->dgram));
	len = hk_frame_build(FRAME, &self->head, &self->dgram);
	ASSERT_EQ(ETH_LEN + IP_LEN + LITE_LEN + 1001, len);
	EXPECT_EQ(0, memcmp(FRAME, self->head.dst, 6));
	EXPECT_EQ(0, memcmp(FRAME + 6, self->head.src, 6));
	EXPECT_EQ(variant->v6 ? 0x86dd : 0x0800, be16(FRAME + 12));
	if (variant->v6) {
		want_ip6[4] = (LITE_LEN + 1001) >> 8;
		want_ip6[5] = (LITE_LEN + 1001) & 0xff;
		EXPECT_EQ(0, memcmp(IP, want_ip6, sizeof(want_ip6)));
		EXPECT_EQ(0, memcmp(IP + 8, self->dgram.path.local, 16));
		EXPECT_EQ(0, memcmp(IP + 24, self->dgram.path.remote, 16));
	} else {
		want_ip4[2] = (IP_LEN + LITE_LEN + 1001) >> 8;
		want_ip4[3] = (IP_LEN + LITE_LEN + 1001) & 0xff;
		EXPECT_EQ(0, memcmp(IP, want_ip4, sizeof(want_ip4)));
		EXPECT_EQ(0xffff, add_words(0, IP, IP_LEN));
		EXPECT_EQ(0, memcmp(IP + 12, &self->dgram.path.local[3], 4));
		EXPECT_EQ(0, memcmp(IP + 16, &self->dgram.path.remote[3], 4));
	}
	EXPECT_EQ(SPORT, be16(LITE));
	EXPECT_EQ(DPORT, be16(LITE + 2));
	EXPECT_EQ(LITE_LEN + 1001, be16(LITE + 4));
	EXPECT_EQ(0, memcmp(LITE + LITE_LEN, self->data, 1001));
	EXPECT_EQ(0xaa, FRAME[len]);
}

TEST_F(frame, every_length_has_the_right_checksum)
{
	__u32 len;
	int i;

	for (len = 0; len <= MAX_LEN; len++) {
		self->dgram.len = len;
		memset(self->buf, 0xaa, sizeof(self->buf));
		hk_frame_build(FRAME, &self->head, &self->dgram);
		ASSERT_TRUE(is_sound(IP, LITE, variant->v6, LITE_LEN + len))
			TH_LOG("length %u", len);
		for (i = 0; i < MARGIN; i++)
			ASSERT_EQ(0xaa, LITE[LITE_LEN + len + i]);
	}
}

TEST_F(frame, every_coverage_covers_so_much)
{
	__u32 coverage;

	self->dgram.len = 300;
	for (coverage = 1; coverage <= 310; coverage++) {
		self->dgram.coverage = coverage;
		hk_frame_build(FRAME, &self->head, &self->dgram);
		EXPECT_EQ(LITE_LEN + (coverage < 300 ? coverage : 300), be16(LITE + 4));
		ASSERT_TRUE(is_sound(IP, LITE, variant->v6, LITE_LEN + 300))
			TH_LOG("coverage %u", coverage);
		LITE[LITE_LEN + 299] ^= 0x10;
		EXPECT_EQ(coverage < 300, is_sound(IP, LITE, variant->v6, LITE_LEN + 300));
		LITE[LITE_LEN] ^= 0x10;
		EXPECT_FALSE(is_sound(IP, LITE, variant->v6, LITE_LEN + 300));
	}
}

/* All values that the checksum can have, and the one that it must not */
TEST_F(frame, checksum_is_never_zero)
{
	unsigned int value, ones = 0;

	self->dgram.len = 2;
	for (value = 0; value <= 0xffff; value++) {
		self->data[0] = value >> 8;
		self->data[1] = value;
		hk_frame_build(FRAME, &self->head, &self->dgram);
		ASSERT_TRUE(is_sound(IP, LITE, variant->v6, LITE_LEN + 2))
			TH_LOG("payload %#x", value);
		ones += be16(LITE + 6) == 0xffff;
	}
	EXPECT_LE(1, ones);	/* with 0 instead it would not have been sound */
}

/* Sums that overflow wherever they can */
TEST_F(frame, carries_are_not_lost)
{
	memset(self->data, 0xff, sizeof(self->data));
	for (self->dgram.len = 0; self->dgram.len <= MAX_LEN; self->dgram.len += 7) {
		hk_frame_build(FRAME, &self->head, &self->dgram);
		ASSERT_TRUE(is_sound(IP, LITE, variant->v6, LITE_LEN + self->dgram.len));
	}
}

TEST_HARNESS_MAIN
