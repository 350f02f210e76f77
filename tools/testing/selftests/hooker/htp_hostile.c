// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of an association whose peer breaks the rules, and what a peer can
 * make it spend.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/ack.h"
#include "htp/alloc.h"
#include "htp/cursor.h"
#include "htp/frame.h"
#include "htp/private.h"
#include "htp/stream.h"

#include "../kselftest_harness.h"

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
