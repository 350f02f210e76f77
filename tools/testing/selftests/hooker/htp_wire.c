// SPDX-License-Identifier: GPL-2.0
/*
 * The wire format and packet numbers, against the byte sequences of the RFCs and
 * against lists.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/ack.h"
#include "htp/cursor.h"
#include "htp/frame.h"
#include "htp/private.h"
#include "htp/ranges.h"
#include "htp/recovery.h"

#include "../kselftest_harness.h"

TEST(header_round_trip)
{
	const struct htp_hdr in = {
		.type = HTP_PROBE, .flags = 0x5a, .ctl_len = 3, .pn = 0xfedcba98,
		.dst_id = 0x0123456789abcdefULL,
	};
	const __u8 expected[HTP_HDR_LEN] = {
		0x13, 0x5a, 0x00, 0x03, 0xfe, 0xdc, 0xba, 0x98,
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
	};
	struct htp_hdr out;
	__u8 pkt[19] = { 0 };

	EXPECT_EQ(-EMSGSIZE, htp_hdr_write(pkt, HTP_HDR_LEN - 1, &in));
	ASSERT_EQ(0, htp_hdr_write(pkt, sizeof(pkt), &in));
	EXPECT_EQ(0, memcmp(pkt, expected, sizeof(expected)));
	ASSERT_EQ(0, htp_hdr_read(pkt, sizeof(pkt), &out));
	EXPECT_EQ(in.type, out.type);
	EXPECT_EQ(in.flags, out.flags);
	EXPECT_EQ(in.ctl_len, out.ctl_len);
	EXPECT_EQ(in.pn, out.pn);
	EXPECT_EQ(in.dst_id, out.dst_id);

	EXPECT_EQ(-EBADMSG, htp_hdr_read(pkt, sizeof(pkt) - 1, &out));	/* control part cut */
	EXPECT_EQ(-EBADMSG, htp_hdr_read(pkt, HTP_HDR_LEN - 1, &out));
	pkt[0] = 0x23;
	EXPECT_EQ(-EBADMSG, htp_hdr_read(pkt, sizeof(pkt), &out));	/* version 2 */
	pkt[0] = 0x1f;
	EXPECT_EQ(-EBADMSG, htp_hdr_read(pkt, sizeof(pkt), &out));	/* no such type */
}

/* Of what answers itself there would be no end */
TEST(reset_answers_data_only)
{
	const struct htp_hdr data = { .ctl_len = 3, .pn = 7, .dst_id = 0x1122334455667788ULL };
	const struct htp_hdr reset = { .type = HTP_RESET, .dst_id = data.dst_id };
	struct htp_hdr out;
	__u8 pkt[64];
	__u8 type;

	EXPECT_EQ(-EMSGSIZE, htp_reset_write(pkt, HTP_RESET_LEN - 1, &data));
	ASSERT_EQ(HTP_HDR_LEN, htp_reset_write(pkt, sizeof(pkt), &data));
	ASSERT_EQ(0, htp_hdr_read(pkt, HTP_HDR_LEN, &out));
	EXPECT_EQ(0, memcmp(&reset, &out, sizeof(out)));
	pkt[3] = 1;
	EXPECT_EQ(-EBADMSG, htp_hdr_read(pkt, sizeof(pkt), &out));	/* RESET has no frames */
	for (type = HTP_HELLO; type <= HTP_RESET; type++) {
		out.type = type;
		EXPECT_EQ(-EINVAL, htp_reset_write(pkt, sizeof(pkt), &out));
	}
}

TEST(hello_round_trip)
{
	const struct htp_hello in = {
		.src_id = 1ULL << 63 | 1, .instance = 2ULL << 60, .nonce = 3, .max_datagram = 1444,
		.version = 1, .own_class = 9, .other_class = 2, .window = 8 << 20,
		.stream_window = 1 << 20, .token = 0xfedcba98,
	};
	struct htp_hello out;
	__u8 pkt[2000];
	struct htp_hdr hdr;

	memset(pkt, 0xff, sizeof(pkt));
	ASSERT_EQ(1444, htp_hello_write(pkt, sizeof(pkt), HTP_HELLO, 77, &in, 1444));
	EXPECT_EQ(0, pkt[HTP_HELLO_LEN]);
	EXPECT_EQ(0, pkt[1443]);
	EXPECT_EQ(0xff, pkt[1444]);
	ASSERT_EQ(0, htp_hello_read(pkt, 1444, &hdr, &out));
	EXPECT_EQ(HTP_HELLO, hdr.type);
	EXPECT_EQ(77, hdr.dst_id);
	EXPECT_EQ(in.src_id, out.src_id);
	EXPECT_EQ(in.instance, out.instance);
	EXPECT_EQ(in.nonce, out.nonce);
	EXPECT_EQ(in.max_datagram, out.max_datagram);
	EXPECT_EQ(in.version, out.version);
	EXPECT_EQ(in.own_class, out.own_class);
	EXPECT_EQ(in.other_class, out.other_class);
	EXPECT_EQ(in.window, out.window);
	EXPECT_EQ(in.stream_window, out.stream_window);
	EXPECT_EQ(in.token, out.token);

	EXPECT_EQ(HTP_MIN_DATAGRAM, htp_hello_write(pkt, sizeof(pkt), HTP_HELLO, 0, &in, 0));
	EXPECT_EQ(-EMSGSIZE, htp_hello_write(pkt, 1199, HTP_HELLO, 0, &in, 0));
	EXPECT_EQ(-EINVAL, htp_hello_write(pkt, sizeof(pkt), HTP_DATA, 0, &in, 0));
	EXPECT_EQ(-EBADMSG, htp_hello_read(pkt, 1199, &hdr, &out));	/* answer would be larger */
	ASSERT_EQ(HTP_HELLO_LEN, htp_hello_write(pkt, sizeof(pkt), HTP_HELLO_ACK, 0, &in, 0));
	EXPECT_EQ(0, htp_hello_read(pkt, HTP_HELLO_LEN, &hdr, &out));
	EXPECT_EQ(-EBADMSG, htp_hello_read(pkt, HTP_HELLO_LEN - 1, &hdr, &out));
	pkt[3]--;
	EXPECT_EQ(-EBADMSG, htp_hello_read(pkt, HTP_HELLO_LEN, &hdr, &out));
}

/* What routers quote ends anywhere, so lengths in it say nothing */
TEST(quotes)
{
	const struct htp_hdr data = { .type = HTP_DATA, .ctl_len = 1400, .pn = 9, .dst_id = 8 };
	const struct htp_hello in = {
		.src_id = 1, .instance = 2, .nonce = 3, .max_datagram = 1444, .version = 1,
	};
	struct htp_hello out = { 0 };
	__u8 pkt[HTP_MIN_DATAGRAM];
	struct htp_hdr hdr;
	size_t len;

	htp_hello_write(pkt, sizeof(pkt), HTP_HELLO, 77, &in, 0);
	for (len = 0; len < HTP_HELLO_LEN; len++)
		EXPECT_EQ(-EBADMSG, htp_quote_read(pkt, len, &hdr, &out));
	ASSERT_EQ(0, htp_quote_read(pkt, HTP_HELLO_LEN, &hdr, &out));
	EXPECT_EQ(77, hdr.dst_id);
	EXPECT_EQ(1, out.src_id);
	EXPECT_EQ(3, out.nonce);
	htp_hdr_write(pkt, sizeof(pkt), &data);
	EXPECT_EQ(-EBADMSG, htp_quote_read(pkt, HTP_HDR_LEN - 1, &hdr, &out));
	ASSERT_EQ(0, htp_quote_read(pkt, HTP_HDR_LEN, &hdr, &out));
	EXPECT_EQ(9, hdr.pn);
	pkt[0] = 0x23;
	EXPECT_EQ(-EBADMSG, htp_quote_read(pkt, HTP_HDR_LEN, &hdr, &out));	/* version 2 */
}

/* RFC 9000, A.1 */
TEST(varints_of_the_rfc)
{
	static const struct {
		__u64	value;
		__u8	len, bytes[8];
	} examples[] = {
		{ 151288809941952652ULL, 8, { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c } },
		{ 494878333, 4, { 0x9d, 0x7f, 0x3e, 0x7d } },
		{ 15293, 2, { 0x7b, 0xbd } },
		{ 37, 1, { 0x25 } },
		{ HTP_VARINT_MAX, 8, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ 0, 1, { 0 } },
	};
	size_t i;

	for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		__u8 buf[8];
		struct htp_writer w = { .p = buf, .end = buf + sizeof(buf) };
		struct htp_reader r = {
			.p = examples[i].bytes, .end = examples[i].bytes + examples[i].len,
		};
		struct htp_reader cut = { .p = r.p, .end = r.end - 1 };

		htp_write_varint(&w, examples[i].value);
		EXPECT_FALSE(w.bad);
		EXPECT_EQ(examples[i].len, w.p - buf);
		EXPECT_EQ(0, memcmp(buf, examples[i].bytes, examples[i].len));
		EXPECT_EQ(examples[i].value, htp_read_varint(&r));
		EXPECT_FALSE(r.bad);
		EXPECT_EQ(0, htp_reader_left(&r));
		EXPECT_EQ(0, htp_read_varint(&cut));
		EXPECT_TRUE(cut.bad);
	}
}

TEST(varint_longer_than_needed)
{
	const __u8 two[] = { 0x40, 0x25 };
	struct htp_reader r = { .p = two, .end = two + sizeof(two) };

	EXPECT_EQ(37, htp_read_varint(&r));
	EXPECT_FALSE(r.bad);
}

TEST(ack_round_trip)
{
	struct htp_ack in = { .largest = 5000000000ULL, .delay_ns = 1234000, .nr = 3 };
	struct htp_reader ctl, payload = { 0 };
	struct htp_rx_frame out;
	struct htp_writer w;
	__u8 buf[100];
	size_t cap;
	__u32 i;

	in.r[0] = (struct htp_range){ 4999999990ULL, 5000000001ULL };
	in.r[1] = (struct htp_range){ 4999999988ULL, 4999999989ULL };
	in.r[2] = (struct htp_range){ 0, 4999999000ULL };
	w = (struct htp_writer){ .p = buf, .end = buf + sizeof(buf) };
	ASSERT_TRUE(htp_frame_write_ack(&w, &in));
	ctl = (struct htp_reader){ .p = buf, .end = w.p };
	ASSERT_EQ(0, htp_frame_read(&ctl, &payload, &out));
	EXPECT_EQ(0, htp_reader_left(&ctl));
	EXPECT_EQ(HTP_F_ACK, out.type);
	EXPECT_EQ(in.largest, out.ack.largest);
	EXPECT_EQ(in.delay_ns, out.ack.delay_ns);
	ASSERT_EQ(in.nr, out.ack.nr);
	for (i = 0; i < in.nr; i++) {
		EXPECT_EQ(in.r[i].start, out.ack.r[i].start);
		EXPECT_EQ(in.r[i].end, out.ack.r[i].end);
	}

	/* cut anywhere, or without room, it fails and takes nothing */
	for (cap = 0; cap < (size_t)(w.p - buf); cap++) {
		struct htp_writer small = { .p = buf + 50, .end = buf + 50 + cap };

		ctl = (struct htp_reader){ .p = buf, .end = buf + cap };
		EXPECT_EQ(-EBADMSG, htp_frame_read(&ctl, &payload, &out));
		EXPECT_FALSE(htp_frame_write_ack(&small, &in));
		EXPECT_EQ(buf + 50, small.p);
		EXPECT_FALSE(small.bad);
	}
}

static int read_bytes(const __u8 *bytes, size_t len, struct htp_rx_frame *frame)
{
	static const __u8 five[5];
	struct htp_reader payload = { .p = five, .end = five + sizeof(five) };
	struct htp_reader ctl = { .p = bytes, .end = bytes + len };

	return htp_frame_read(&ctl, &payload, frame);
}

TEST(nonsense_frames)
{
	/* largest 5, first range 6: below zero; then a gap below zero; then a range */
	const __u8 ack_first[] = { HTP_F_ACK, 5, 0, 0, 6 };
	const __u8 ack_gap[] = { HTP_F_ACK, 5, 0, 1, 3, 1, 0 };
	const __u8 ack_range[] = { HTP_F_ACK, 5, 0, 1, 1, 0, 3 };
	const __u8 ack_fits[] = { HTP_F_ACK, 5, 0, 1, 1, 0, 2 };
	const __u8 ack_many[] = {
		HTP_F_ACK, 5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
	};
	const __u8 stream_long[] = { HTP_F_STREAM, 2, 0, 6 };
	const __u8 stream_fits[] = { HTP_F_STREAM, 2, 0, 5 };
	const __u8 open_long[] = { HTP_F_OPEN, 2, 2, 0 };
	const __u8 unknown[] = { 0x14 };
	struct htp_rx_frame frame;

	EXPECT_EQ(-EBADMSG, read_bytes(ack_first, sizeof(ack_first), &frame));
	EXPECT_EQ(-EBADMSG, read_bytes(ack_gap, sizeof(ack_gap), &frame));
	EXPECT_EQ(-EBADMSG, read_bytes(ack_range, sizeof(ack_range), &frame));
	EXPECT_EQ(0, read_bytes(ack_fits, sizeof(ack_fits), &frame));
	EXPECT_EQ(2, frame.ack.nr);
	EXPECT_EQ(0, frame.ack.r[1].start);
	EXPECT_EQ(3, frame.ack.r[1].end);
	EXPECT_EQ(-EBADMSG, read_bytes(ack_many, sizeof(ack_many), &frame));
	EXPECT_EQ(-EBADMSG, read_bytes(stream_long, sizeof(stream_long), &frame));
	EXPECT_EQ(0, read_bytes(stream_fits, sizeof(stream_fits), &frame));
	EXPECT_EQ(-EBADMSG, read_bytes(open_long, sizeof(open_long), &frame));
	EXPECT_EQ(-EPROTO, read_bytes(unknown, sizeof(unknown), &frame));
}

/* Types that say more of the bytes and else are as others */
TEST(loose_frames)
{
	static const struct {
		__u8	bytes[5];
		size_t	len;
		__u8	type;
		bool	loose;
	} frames[] = {
		{ { HTP_F_OPEN, 2, 1, 'x' }, 4, HTP_F_OPEN, false },
		{ { HTP_F_OPEN_LOOSE, 2, 1, 'x' }, 4, HTP_F_OPEN, true },
		{ { HTP_F_ACCEPT, 3 }, 2, HTP_F_ACCEPT, false },
		{ { HTP_F_ACCEPT_LOOSE, 3 }, 2, HTP_F_ACCEPT, true },
		{ { HTP_F_STREAM, 2, 0, 5 }, 4, HTP_F_STREAM, false },
		{ { HTP_F_STREAM_LOOSE, 2, 0, 5 }, 4, HTP_F_STREAM, true },
		{ { HTP_F_STREAM_FIN, 2, 0, 5 }, 4, HTP_F_STREAM_FIN, false },
		{ { HTP_F_STREAM_FIN_LOOSE, 2, 0, 5 }, 4, HTP_F_STREAM_FIN, true },
	};
	struct htp_rx_frame frame;
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		frame.loose = !frames[i].loose;
		ASSERT_EQ(0, read_bytes(frames[i].bytes, frames[i].len, &frame));
		EXPECT_EQ(frames[i].type, frame.type);
		EXPECT_EQ(frames[i].loose, frame.loose);
		EXPECT_EQ(-EBADMSG, read_bytes(frames[i].bytes, frames[i].len - 1, &frame));
	}
}

/* RFC 9000, A.3, and both ends of the number space */
TEST(packet_numbers_expand)
{
	struct htp_acks acks;

	htp_acks_init(&acks);
	EXPECT_EQ(0, htp_acks_expand(&acks, 0));
	EXPECT_EQ(7, htp_acks_expand(&acks, 7));
	acks.largest = 0xfffffff0;
	EXPECT_EQ(0xfffffff1, htp_acks_expand(&acks, 0xfffffff1));
	EXPECT_EQ(0x100000005ULL, htp_acks_expand(&acks, 5));
	EXPECT_EQ(0xffff0000, htp_acks_expand(&acks, 0xffff0000));
	acks.largest = 0x100000005ULL;
	EXPECT_EQ(0xfffffff0, htp_acks_expand(&acks, 0xfffffff0));
	EXPECT_EQ(0x100000006ULL, htp_acks_expand(&acks, 6));
}

/* Each number is new once, whatever the order; what was forgotten is never new */
TEST(received_numbers_against_a_list)
{
	struct sim random = { .random = 42 };
	struct htp_assoc *a = calloc(1, sizeof(*a));
	static bool seen[5000];
	unsigned int i, j;

	ASSERT_NE(NULL, a);
	a->config.initial_rtt_ns = HTP_MSEC;
	htp_acks_init(&a->acks);
	htp_recovery_init(a);
	for (i = 0; i < 10000; i++) {
		__u64 pn = htp_min(i / 2 + sim_random(&random) % 600, 4999);

		if (pn < a->acks.too_old) {
			ASSERT_TRUE(htp_acks_has(&a->acks, pn));
			continue;
		}
		ASSERT_EQ(seen[pn], htp_acks_has(&a->acks, pn));
		if (!seen[pn])
			htp_acks_record(a, pn, true);
		seen[pn] = true;
		ASSERT_LE(a->acks.nr, HTP_RX_RANGES);
		for (j = 1; j < a->acks.nr; j++)
			ASSERT_LT(a->acks.r[j - 1].end, a->acks.r[j].start);
	}
	EXPECT_GT(a->acks.too_old, 0);
	EXPECT_LT(a->acks.too_old, 4999);
	free(a);
}

TEST_HARNESS_MAIN
