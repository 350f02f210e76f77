// SPDX-License-Identifier: GPL-2.0
/*
 * The parts of the transport core that need no well-behaved peer: the wire
 * format, sets of ranges, packet numbers, the congestion controller; and what
 * becomes of an association whose peer breaks the rules.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/private.h"

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

TEST(hello_round_trip)
{
	const struct htp_hello in = {
		.src_id = 1ULL << 63 | 1, .instance = 2ULL << 60, .nonce = 3, .max_datagram = 1444,
		.version = 1, .window = 8 << 20, .stream_window = 1 << 20,
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
	EXPECT_EQ(in.window, out.window);
	EXPECT_EQ(in.stream_window, out.stream_window);

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
	const __u8 unknown[] = { 0x12 };
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

FIXTURE(ranges)
{
	struct htp_assoc	*a;
	struct htp_ranges	set;
	struct sim_mem		mem;
	bool			model[256];
};

static void *count_alloc(void *priv, size_t size)
{
	struct sim_mem *mem = priv;

	if (++mem->nr >= mem->fail_from && mem->fail_from)
		return NULL;
	mem->live++;
	return malloc(size);
}

static void count_free(void *priv, void *ptr)
{
	struct sim_mem *mem = priv;

	mem->live--;
	free(ptr);
}

FIXTURE_SETUP(ranges)
{
	self->a = calloc(1, sizeof(*self->a));
	ASSERT_NE(NULL, self->a);
	self->a->config.alloc = count_alloc;
	self->a->config.free = count_free;
	self->a->config.priv = &self->mem;
	htp_ranges_init(&self->set);
}

FIXTURE_TEARDOWN(ranges)
{
	htp_ranges_clear(self->a, &self->set);
	EXPECT_EQ(0, self->mem.live);
	free(self->a);
}

/* The set has exactly what the model has, as few ranges as possible */
static bool agrees(const struct htp_ranges *set, const bool *model)
{
	__u32 nr = 0, i, j;

	for (i = 0; i < 256; i++) {
		if (model[i] && (!i || !model[i - 1]))
			nr++;
		j = htp_ranges_find(set, i);
		if (model[i] != (j < set->nr && htp_ranges_at(set, j)->start <= i))
			return false;
	}
	return nr == set->nr;
}

static void fill(bool *model, __u64 start, __u64 end, bool value)
{
	for (; start < end; start++)
		model[start] = value;
}

TEST_F(ranges, against_a_bitmap)
{
	struct sim random = { .random = 7 };
	int i;

	for (i = 0; i < 30000; i++) {
		__u64 start = sim_random(&random) % 256, what = sim_random(&random) % 16;
		__u64 end = htp_min(256, start + sim_random(&random) % 20);

		if (what == 0) {
			htp_ranges_trim(self->a, &self->set, start);
			fill(self->model, 0, start, false);
		} else if (what < 8) {
			ASSERT_EQ(0, htp_ranges_sub(self->a, &self->set, start, end));
			fill(self->model, start, end, false);
		} else {
			ASSERT_EQ(0, htp_ranges_add(self->a, &self->set, start, end));
			fill(self->model, start, end, true);
		}
		ASSERT_TRUE(agrees(&self->set, self->model));
	}
}

TEST_F(ranges, without_memory)
{
	self->mem.fail_from = 1;
	EXPECT_EQ(0, htp_ranges_add(self->a, &self->set, 10, 20));
	EXPECT_EQ(-ENOMEM, htp_ranges_add(self->a, &self->set, 30, 40));
	EXPECT_EQ(1, self->set.nr);
	EXPECT_EQ(0, htp_ranges_add(self->a, &self->set, 20, 22));
	EXPECT_EQ(-ENOMEM, htp_ranges_sub(self->a, &self->set, 12, 13));
	EXPECT_EQ(1, self->set.nr);
	htp_ranges_add_hull(self->a, &self->set, 30, 40);
	ASSERT_EQ(1, self->set.nr);
	EXPECT_EQ(10, htp_ranges_at(&self->set, 0)->start);
	EXPECT_EQ(40, htp_ranges_at(&self->set, 0)->end);
	htp_ranges_add_hull(self->a, &self->set, 2, 3);
	ASSERT_EQ(1, self->set.nr);
	EXPECT_EQ(2, htp_ranges_at(&self->set, 0)->start);
	EXPECT_EQ(40, htp_ranges_at(&self->set, 0)->end);
}

/* Packets of random pieces are acknowledged or lost at random: @lost and @above against a model */
TEST_F(ranges, send_queue_against_a_map)
{
	enum { SENT, LOST, ACKED } map[256] = { SENT };
	struct sim random = { .random = 11 };
	struct htp_sendq q;
	struct iovec iov;
	int i, j, k;

	self->a->config.stream_buffer = 256;
	for (k = 0; k < 500; k++) {
		htp_sendq_init(&q, 256);
		ASSERT_EQ(1, htp_sendq_reserve(self->a, &q, &iov, 1));
		ASSERT_EQ(256, iov.iov_len);
		htp_sendq_commit(self->a, &q, 256);
		q.sent = 256;
		memset(map, 0, sizeof(map));
		for (i = 0; i < 30; i++) {
			__u64 start = sim_random(&random) % 256;
			__u32 len = sim_random(&random) % (257 - start);
			bool acked = sim_random(&random) % 2;

			if (acked)
				htp_sendq_on_acked(self->a, &q, start, len, false);
			else
				htp_sendq_on_lost(self->a, &q, start, len, false);
			for (j = start; j < start + len; j++)
				if (map[j] != ACKED)
					map[j] = acked ? ACKED : LOST;
			for (j = 0; j < 256 && map[j] == ACKED; j++)
				;
			ASSERT_EQ(j, q.acked);
			for (; j < 256; j++)
				self->model[j] = map[j] == LOST;
			memset(self->model, 0, q.acked);
			ASSERT_TRUE(agrees(&q.lost, self->model));
			for (j = q.acked; j < 256; j++)
				self->model[j] = map[j] == ACKED;
			ASSERT_TRUE(agrees(&q.above, self->model));
		}
		htp_sendq_clear(self->a, &q);
	}
	htp_chunk_drop_cache(self->a);
}

/* Bytes come in random pieces and are read in others; an empty queue owns nothing */
TEST_F(ranges, receive_queue_in_pieces)
{
	struct sim random = { .random = 12 };
	static __u8 bytes[200000];
	struct htp_recvq q;
	struct iovec iov;
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = sim_random(&random);
	self->a->max_ahead = 1000;
	htp_recvq_init(&q, sizeof(bytes));
	while (q.consumed < sizeof(bytes)) {
		__u64 start = htp_min(q.consumed + sim_random(&random) % 60000, sizeof(bytes));
		size_t len = htp_min(sim_random(&random) % 5000, sizeof(bytes) - start);

		if (sim_random(&random) % 2)
			start = q.contig;
		len = htp_min(len, sizeof(bytes) - start);
		ASSERT_EQ(0, htp_recvq_insert(self->a, &q, start, bytes + start, len));
		q.highest = htp_max(q.highest, start + len);
		ASSERT_EQ(q.ahead.nr, self->a->nr_ahead);
		if (sim_random(&random) % 4 || !htp_recvq_peek(&q, &iov, 1))
			continue;
		ASSERT_EQ(0, memcmp(iov.iov_base, bytes + q.consumed, iov.iov_len));
		htp_recvq_consume(self->a, &q, 1 + sim_random(&random) % iov.iov_len);
	}
	EXPECT_EQ(0, q.q.nr);

	/* far into the stream, a few bytes take a small chunk */
	ASSERT_EQ(0, htp_recvq_insert(self->a, &q, sizeof(bytes), bytes, 10));
	EXPECT_EQ(1, q.q.nr);
	EXPECT_EQ(1024, (*htp_chunkq_at(&q.q, 0))->cap);
	htp_recvq_clear(self->a, &q);
	htp_chunk_drop_cache(self->a);
}

FIXTURE(cubic)
{
	void			*cc;
	struct htp_cc_ack	ack;
	struct htp_cc_loss	loss;
};

FIXTURE_SETUP(cubic)
{
	self->cc = malloc(htp_cc_cubic.size);
	ASSERT_NE(NULL, self->cc);
	htp_cc_cubic.init(self->cc, 1000, 0);
	self->ack.srtt_ns = 100 * HTP_MSEC;
	self->ack.rtt_ns = 100 * HTP_MSEC;
	self->loss.congestion = true;
}

FIXTURE_TEARDOWN(cubic)
{
	free(self->cc);
}

/* One ACK for @bytes, with the window in full use */
static void cubic_ack(void *cc, struct htp_cc_ack *ack, __u64 bytes)
{
	ack->acked_bytes = bytes;
	ack->max_in_flight = htp_cc_cubic.cwnd(cc);
	ack->largest_pn++;
	ack->next_pn = ack->largest_pn + 100;
	htp_cc_cubic.on_ack(cc, ack);
}

TEST_F(cubic, slow_start_doubles)
{
	EXPECT_EQ(10000, htp_cc_cubic.cwnd(self->cc));
	EXPECT_EQ(200000, htp_cc_cubic.pacing_rate(self->cc, 100 * HTP_MSEC));
	cubic_ack(self->cc, &self->ack, 10000);
	EXPECT_EQ(20000, htp_cc_cubic.cwnd(self->cc));
}

TEST_F(cubic, unused_window_does_not_grow)
{
	self->ack.acked_bytes = 1000;
	self->ack.max_in_flight = 4000;
	htp_cc_cubic.on_ack(self->cc, &self->ack);
	EXPECT_EQ(10000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_loss(self->cc, &self->loss);
	self->ack.max_in_flight = 3000;
	htp_cc_cubic.on_ack(self->cc, &self->ack);
	EXPECT_EQ(7000, htp_cc_cubic.cwnd(self->cc));
}

TEST_F(cubic, event_reduces_once_and_can_be_undone)
{
	cubic_ack(self->cc, &self->ack, 90000);
	ASSERT_EQ(100000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_loss(self->cc, &self->loss);
	EXPECT_EQ(70000, htp_cc_cubic.cwnd(self->cc));
	self->loss.congestion = false;
	htp_cc_cubic.on_loss(self->cc, &self->loss);
	EXPECT_EQ(70000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_spurious(self->cc, 0);
	EXPECT_EQ(100000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_spurious(self->cc, 0);
	EXPECT_EQ(100000, htp_cc_cubic.cwnd(self->cc));
}

TEST_F(cubic, persistent_congestion)
{
	cubic_ack(self->cc, &self->ack, 90000);
	htp_cc_cubic.on_loss(self->cc, &self->loss);
	htp_cc_cubic.on_persistent(self->cc, 0);
	EXPECT_EQ(2000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_spurious(self->cc, 0);
	EXPECT_EQ(2000, htp_cc_cubic.cwnd(self->cc));
}

/* K = cbrt(300 segments / 0.4) s = 9.09 s: flat there, and above the old window later */
TEST_F(cubic, curve_of_the_rfc)
{
	__u64 before, end = 0;
	int i;

	cubic_ack(self->cc, &self->ack, 990000);
	ASSERT_EQ(1000000, htp_cc_cubic.cwnd(self->cc));
	htp_cc_cubic.on_loss(self->cc, &self->loss);
	ASSERT_EQ(700000, htp_cc_cubic.cwnd(self->cc));
	for (i = 0; i < 120; i++) {
		before = htp_cc_cubic.cwnd(self->cc);
		cubic_ack(self->cc, &self->ack, before);
		end = htp_cc_cubic.cwnd(self->cc);
		EXPECT_GE(end, before);
		if (i == 44) {			/* 4.5 s: 1000 - 0.4 * 4.59^3 = 961 */
			EXPECT_GT(end, 955000);
			EXPECT_LT(end, 967000);
		}
		if (i == 90) {			/* 9.1 s */
			EXPECT_GT(end, 998000);
			EXPECT_LT(end, 1002000);
		}
		self->ack.now_ns += 100 * HTP_MSEC;
	}
	EXPECT_GT(end, 1005000);		/* 12 s: 1000 + 0.4 * 2.91^3 = 1010 */
	EXPECT_LT(end, 1015000);
}

TEST_F(cubic, hystart_leaves_slow_start_when_a_queue_builds_up)
{
	int round, i;

	for (round = 0; round < 12; round++) {
		for (i = 0; i < 10; i++) {
			self->ack.acked_bytes = 1000;
			self->ack.max_in_flight = htp_cc_cubic.cwnd(self->cc);
			self->ack.largest_pn++;
			self->ack.next_pn = self->ack.largest_pn + 9;
			self->ack.rtt_ns = (100 + round * 15) * HTP_MSEC;
			htp_cc_cubic.on_ack(self->cc, &self->ack);
		}
	}
	/* 1.2 times the window per round trip: no longer in slow start */
	EXPECT_EQ(htp_cc_cubic.cwnd(self->cc) * 12,
		  htp_cc_cubic.pacing_rate(self->cc, 100 * HTP_MSEC));
}

static struct htp_stats stats_of(const struct htp_assoc *a)
{
	struct htp_stats stats;

	htp_assoc_stats(a, &stats);
	return stats;
}

/* A peer that says what the test wants; packet numbers count up */
FIXTURE(hostile)
{
	struct sim		sim;
	struct htp_assoc	*a;
	__u32			pn;
	__u8			pkt[HTP_MAX_DATAGRAM];
};

FIXTURE_SETUP(hostile)
{
	sim_init(&self->sim, 1);
	self->sim.config[SIM_A].stream_window = 10000;
	self->sim.config[SIM_A].window = 30000;
	self->sim.config[SIM_A].max_streams = 100;
	ASSERT_EQ(0, sim_start(&self->sim));
	self->a = self->sim.assoc[SIM_A];
}

FIXTURE_TEARDOWN(hostile)
{
	EXPECT_EQ(0, self->sim.errors);
	EXPECT_EQ(0, sim_exit(&self->sim));
}

/* Numbers become varints in the control part; -1 ends the list */
static int say(FIXTURE_DATA(hostile) *self, size_t payload, const long long *fields)
{
	struct htp_writer w = {
		.p = self->pkt + HTP_HDR_LEN, .end = self->pkt + sizeof(self->pkt),
	};
	struct htp_hdr hdr = { .type = HTP_DATA, .pn = self->pn++ };

	while (*fields >= 0)
		htp_write_varint(&w, *fields++);
	hdr.ctl_len = w.p - self->pkt - HTP_HDR_LEN;
	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	memset(w.p, 'x', payload);
	self->sim.now += SIM_USEC;
	return htp_assoc_rx(self->a, self->pkt, w.p - self->pkt + payload, self->sim.now);
}

#define SAY(payload, ...) say(self, payload, (const long long[]){ __VA_ARGS__, -1 })

/* Side A is the initiator: its streams are even, the peer's odd */
#define EXPECT_VIOLATION(payload, ...) do {					\
	EXPECT_EQ(-EPROTO, SAY(payload, __VA_ARGS__));				\
	EXPECT_TRUE(htp_assoc_is_closed(self->a));				\
	EXPECT_EQ(HTP_CODE_PROTOCOL, htp_assoc_code(self->a));			\
	EXPECT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), 0), 0);	\
	EXPECT_EQ(HTP_F_CLOSE, self->pkt[HTP_HDR_LEN]);				\
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));			\
} while (0)

TEST_F(hostile, unknown_frame)
{
	EXPECT_VIOLATION(0, HTP_F_PING, 0x3f);
}

TEST_F(hostile, ack_of_what_was_never_sent)
{
	EXPECT_VIOLATION(0, HTP_F_ACK, 0, 0, 0, 0);
}

TEST_F(hostile, stream_of_mine_that_i_never_opened)
{
	EXPECT_VIOLATION(1, HTP_F_STREAM, 2, 0, 1);
}

TEST_F(hostile, open_of_my_stream)
{
	struct htp_stream *s = htp_stream_open(self->a, NULL, 0, NULL);

	ASSERT_NE(NULL, s);
	EXPECT_VIOLATION(0, HTP_F_OPEN, 2, 0);
	htp_stream_release(s);
}

TEST_F(hostile, accept_of_its_own_stream)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_VIOLATION(0, HTP_F_ACCEPT, 1);
}

TEST_F(hostile, stream_zero)
{
	EXPECT_VIOLATION(1, HTP_F_STREAM, 0, 0, 1);
}

TEST_F(hostile, stream_id_far_ahead)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 2 * HTP_ID_WINDOW - 1, 0));
	EXPECT_VIOLATION(0, HTP_F_OPEN, 2 * HTP_ID_WINDOW + 1, 0);
}

TEST_F(hostile, open_with_too_much)
{
	__u8 *p = self->pkt + HTP_HDR_LEN;
	struct htp_hdr hdr = { .type = HTP_DATA, .ctl_len = 4 + 257 };

	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	memcpy(p, (const __u8[]){ HTP_F_OPEN, 1, 0x41, 0x01 }, 4);
	EXPECT_EQ(-EPROTO, htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + 4 + 257, 1));
}

TEST_F(hostile, beyond_the_stream_window)
{
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 1, 9999, 1));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 1, 10000, 1);
}

TEST_F(hostile, beyond_the_association_window)
{
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 1, 9999, 1));
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 3, 9999, 1));
	EXPECT_EQ(0, SAY(1, HTP_F_STREAM, 5, 9999, 1));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 7, 0, 1);
}

TEST_F(hostile, reset_beyond_the_window)
{
	EXPECT_VIOLATION(0, HTP_F_RESET, 1, 1, 10001);
}

TEST_F(hostile, bytes_after_the_end)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_VIOLATION(1, HTP_F_STREAM, 1, 5, 1);
}

TEST_F(hostile, end_moves)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM_FIN, 1, 0, 5));
	EXPECT_VIOLATION(4, HTP_F_STREAM_FIN, 1, 0, 4);
}

TEST_F(hostile, end_before_bytes_that_came)
{
	EXPECT_EQ(0, SAY(5, HTP_F_STREAM, 1, 0, 5));
	EXPECT_VIOLATION(0, HTP_F_RESET, 1, 1, 4);
}

TEST_F(hostile, malformed_datagrams_change_nothing)
{
	struct htp_hdr hdr = { .type = HTP_HELLO, .ctl_len = 1, .pn = 1000 };

	EXPECT_EQ(-EBADMSG, SAY(0, -1));				/* no frame at all */
	EXPECT_EQ(-EBADMSG, SAY(2, HTP_F_STREAM, 1, 0, 1));		/* payload too long */
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_STREAM, 1, 0, 1));		/* too short */
	EXPECT_EQ(-EBADMSG, SAY(3, HTP_F_STREAM, 1, 0, 1, HTP_F_STREAM, 1, 1, 3));
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_MAX_DATA));			/* cut */
	EXPECT_EQ(-EBADMSG, SAY(0, HTP_F_OPEN, 1, 5));
	htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
	self->pkt[HTP_HDR_LEN] = HTP_F_PING;
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + 1, 1));
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, 3, 1));
	EXPECT_EQ(-EBADMSG, htp_assoc_rx(self->a, self->pkt, 0, 1));
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
	EXPECT_EQ(9, stats_of(self->a).rx_malformed);
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));
}

TEST_F(hostile, repeated_datagram)
{
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	self->pn--;
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 3, 0));
	EXPECT_EQ(1, stats_of(self->a).rx_duplicates);
	EXPECT_EQ(1, stats_of(self->a).nr_streams);
}

TEST_F(hostile, frames_of_a_stream_that_is_gone)
{
	unsigned int events;
	struct htp_stream *s;

	EXPECT_EQ(0, SAY(3, HTP_F_OPEN, 1, 0, HTP_F_STREAM_FIN, 1, 0, 3));
	s = htp_assoc_event(self->a, &events);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(HTP_EV_OPENED | HTP_EV_READABLE, events);
	htp_stream_release(s);
	ASSERT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), self->sim.now), 0);
	EXPECT_EQ(0, SAY(0, HTP_F_ACK, 0, 0, 0, 0));
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(0, SAY(3, HTP_F_OPEN, 1, 0, HTP_F_STREAM_FIN, 1, 0, 3));
	EXPECT_EQ(0, SAY(0, HTP_F_RESET, 1, 1, 3, HTP_F_MAX_STREAM_DATA, 1, 5));
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(NULL, htp_assoc_event(self->a, &events));
}

/* Their ids are remembered though an older one never came */
TEST_F(hostile, stream_that_is_gone_before_an_older_one_came)
{
	unsigned int events;
	struct htp_stream *s;

	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 5, 0, HTP_F_RESET, 5, 1, 0));
	EXPECT_EQ(NULL, htp_assoc_event(self->a, &events));
	ASSERT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), self->sim.now), 0);
	EXPECT_EQ(0, SAY(0, HTP_F_ACK, 0, 0, 0, 0));
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 5, 0));
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_EQ(1, stats_of(self->a).nr_streams);
	s = htp_assoc_event(self->a, &events);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(1, htp_stream_id(s));
}

/* The ACK in the next datagram; false if there is none */
static bool hear_ack(FIXTURE_DATA(hostile) *self, struct htp_rx_frame *frame)
{
	struct htp_reader ctl, payload = { 0 };
	struct htp_hdr hdr;
	ssize_t len;

	len = htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), self->sim.now);
	if (len <= 0 || htp_hdr_read(self->pkt, len, &hdr))
		return false;
	ctl.p = self->pkt + HTP_HDR_LEN;
	ctl.end = ctl.p + hdr.ctl_len;
	ctl.bad = false;
	return !htp_frame_read(&ctl, &payload, frame) && frame->type == HTP_F_ACK;
}

static bool acks(const struct htp_rx_frame *frame, __u64 pn)
{
	__u32 i;

	for (i = 0; i < frame->ack.nr; i++)
		if (frame->ack.r[i].start <= pn && pn < frame->ack.r[i].end)
			return true;
	return false;
}

TEST_F(hostile, acks_are_prompt_when_packets_are_missing)
{
	struct htp_rx_frame frame;

	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	EXPECT_FALSE(hear_ack(self, &frame));		/* one in order can wait, */
	EXPECT_LE(htp_assoc_deadline(self->a), self->sim.now + 5 * SIM_MSEC);
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	EXPECT_TRUE(hear_ack(self, &frame));		/* two can't */
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));
	self->pn = 3;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	EXPECT_TRUE(hear_ack(self, &frame));		/* 2 is missing */
	EXPECT_FALSE(acks(&frame, 2));
	self->pn = 2;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	ASSERT_TRUE(hear_ack(self, &frame));		/* here it is */
	EXPECT_EQ(3, frame.ack.largest);
	EXPECT_TRUE(acks(&frame, 2));
	EXPECT_EQ(0, SAY(0, HTP_F_PADDING));
	EXPECT_FALSE(hear_ack(self, &frame));		/* asks for none */
	EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(self->a));
}

/* What the peer knows to be acknowledged is left out, but nothing that came later */
TEST_F(hostile, acks_forget_what_the_peer_knows)
{
	struct htp_rx_frame frame;
	struct htp_stream *s;

	s = htp_stream_open(self->a, NULL, 0, NULL);
	ASSERT_NE(NULL, s);
	self->pn = 10;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	self->pn = 20;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	ASSERT_TRUE(hear_ack(self, &frame));		/* packet 0, with OPEN */
	EXPECT_TRUE(acks(&frame, 10));
	self->pn = 12;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));		/* after that ACK, before its ACK */
	self->pn = 21;
	EXPECT_EQ(0, SAY(0, HTP_F_ACK, 0, 0, 0, 0, HTP_F_PING));
	EXPECT_EQ(0, htp_stream_finish(s));
	ASSERT_TRUE(hear_ack(self, &frame));		/* packet 1 */
	EXPECT_TRUE(acks(&frame, 12));
	EXPECT_EQ(0, SAY(0, HTP_F_ACK, 1, 0, 0, 0, HTP_F_PING));
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	ASSERT_TRUE(hear_ack(self, &frame));
	EXPECT_TRUE(acks(&frame, 20));
	EXPECT_FALSE(acks(&frame, 12));
	EXPECT_FALSE(acks(&frame, 10));
	self->pn = 14;
	EXPECT_EQ(0, SAY(0, HTP_F_PING));
	ASSERT_TRUE(hear_ack(self, &frame));
	EXPECT_TRUE(acks(&frame, 14));
	htp_stream_release(s);
}

/* Single bytes with gaps, streams without end, RESETs that are never acknowledged */
TEST_F(hostile, memory_is_bounded)
{
	size_t most = 30000 + 100 * HTP_CHUNK;
	int i, refused = 0;

	for (i = 0; i < 5000; i++)
		SAY(1, HTP_F_STREAM, 1, 9998 - 2 * i, 1);
	EXPECT_LE(self->a->nr_ahead, self->a->max_ahead);
	EXPECT_LT(self->sim.mem[SIM_A].bytes, most);
	for (i = 3; i < 20000; i += 2)
		if (SAY(1, HTP_F_STREAM, i, 100, 1) == -ENOMEM)
			refused++;
	EXPECT_GT(refused, 9000);
	EXPECT_EQ(100, self->a->nr_peer);
	EXPECT_EQ(HTP_STUBS, self->a->nr_stubs);
	EXPECT_LT(self->sim.mem[SIM_A].bytes, most);
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
}

/* Bytes whose OPEN doesn't come don't fill the window; when it comes others have room again */
TEST_F(hostile, bytes_without_open)
{
	struct htp_config config = self->sim.config[SIM_A];
	__u64 offset = 0;

	config.window = 8 << 20;
	config.stream_window = 4 << 20;
	htp_assoc_destroy(self->a);
	self->a = htp_assoc_create(&config, self->sim.now);
	ASSERT_NE(NULL, self->a);
	self->sim.assoc[SIM_A] = self->a;
	while (offset < 2 << 20 && !SAY(1000, HTP_F_STREAM, 1, offset, 1000))
		offset += 1000;
	EXPECT_LE(offset, HTP_UNOPENED_MAX);
	EXPECT_GT(offset, HTP_UNOPENED_MAX - 1000);
	EXPECT_EQ(-ENOMEM, SAY(1000, HTP_F_STREAM, 3, 0, 1000));
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_EQ(0, SAY(1000, HTP_F_STREAM, 1, offset, 1000));
	EXPECT_EQ(0, SAY(1000, HTP_F_STREAM, 3, 0, 1000));
	EXPECT_EQ(0, SAY(0, HTP_F_RESET, 3, 1, 1000));
	EXPECT_EQ(0, self->a->unopened);
}

/* Every packet number apart from the others: the ranges kept stay few, ACKs fit */
TEST_F(hostile, packet_numbers_with_gaps)
{
	int i;

	for (i = 0; i < 3000; i++) {
		self->pn++;
		ASSERT_EQ(0, SAY(0, HTP_F_PING));
		if (i % 100 == 99)
			ASSERT_GT(htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), 0), 0);
	}
	EXPECT_EQ(HTP_RX_RANGES, self->a->acks.nr);
	self->pn = 5;
	EXPECT_EQ(0, SAY(0, HTP_F_OPEN, 1, 0));
	EXPECT_EQ(0, stats_of(self->a).nr_streams);
	EXPECT_EQ(1, stats_of(self->a).rx_duplicates);
}

/* Random bytes behind a good header */
TEST_F(hostile, noise)
{
	struct sim *sim = &self->sim;
	int i, nr_closed = 0;
	size_t j, len;

	for (i = 0; i < 100000; i++) {
		struct htp_hdr hdr = { .type = HTP_DATA, .pn = self->pn++ };

		len = sim_random(sim) % 40;
		hdr.ctl_len = len ? sim_random(sim) % len + 1 : 0;
		htp_hdr_write(self->pkt, HTP_HDR_LEN, &hdr);
		for (j = 0; j < len; j++)
			self->pkt[HTP_HDR_LEN + j] = sim_random(sim) >> (sim_random(sim) % 64);
		htp_assoc_rx(self->a, self->pkt, HTP_HDR_LEN + len, sim->now += SIM_USEC);
		while (htp_assoc_tx(self->a, self->pkt, sizeof(self->pkt), sim->now) > 0)
			;
		htp_assoc_expire(self->a, sim->now);
		if (!htp_assoc_is_closed(self->a))
			continue;
		nr_closed++;
		self->pn = 0;
		htp_assoc_destroy(self->a);
		self->a = htp_assoc_create(&sim->config[SIM_A], sim->now);
		ASSERT_NE(NULL, self->a);
		sim->assoc[SIM_A] = self->a;
	}
	EXPECT_GT(nr_closed, 100);
}

TEST_HARNESS_MAIN
