// SPDX-License-Identifier: GPL-2.0
/*
 * CUBIC by itself: growth, reduction, what is undone, the curve of RFC 9438.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/cc.h"
#include "htp/units.h"

#include "../kselftest_harness.h"

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
	htp_cc_cubic.init(self->cc, 1000, 0, 0);
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

/* Late samples for a round, then the queue is gone again: slow start goes on as before */
TEST_F(cubic, hystart_returns_to_slow_start)
{
	__u64 before, least = 10000;
	int round, i;

	for (round = 0; round < 8; round++) {
		before = htp_cc_cubic.cwnd(self->cc);
		for (i = 0; i < 10; i++) {
			self->ack.acked_bytes = 1000;
			self->ack.max_in_flight = htp_cc_cubic.cwnd(self->cc);
			self->ack.largest_pn++;
			self->ack.next_pn = self->ack.largest_pn + 9;
			self->ack.rtt_ns = (round == 3 || round == 4 ? 120 : 100) * HTP_MSEC;
			htp_cc_cubic.on_ack(self->cc, &self->ack);
		}
		least = htp_min(least, htp_cc_cubic.cwnd(self->cc) - before);
	}
	EXPECT_GT(8000, least);
	EXPECT_EQ(before + 10000, htp_cc_cubic.cwnd(self->cc));
}

TEST_HARNESS_MAIN
