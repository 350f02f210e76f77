// SPDX-License-Identifier: GPL-2.0
/*
 * ECN: links that mark, and links that do to marks what they should not. What the marks
 * say is believed only if it can be true, and what they do is bounded.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/cursor.h"
#include "htp/frame.h"
#include "htp/private.h"
#include "htp/ranges.h"

#include "../kselftest_harness.h"

#define KB		1000ULL
#define MB		1000000ULL
#define RATE		(12500 * KB)
#define TEST_PACKETS	10	/* marked before it is known what becomes of marks */

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240613;
}

FIXTURE(ecn)
{
	struct sim		sim;
	struct htp_stats	a;
	__u64			nr_ack_ecn;
};

FIXTURE_VARIANT(ecn)
{
	const struct htp_cc_ops	*cc;
};

FIXTURE_VARIANT_ADD(ecn, bbr) { &htp_cc_bbr };
FIXTURE_VARIANT_ADD(ecn, cubic) { &htp_cc_cubic };

static void tap(struct sim *sim, enum sim_side from, __u32 to, const __u8 *pkt, size_t len)
{
	__u64 *nr_ack_ecn = sim->tap_priv;

	(void)from;
	(void)to;
	if (len > HTP_HDR_LEN && pkt[HTP_HDR_LEN] == HTP_F_ACK_ECN)
		++*nr_ack_ecn;
}

FIXTURE_SETUP(ecn)
{
	struct sim *sim = &self->sim;
	int side;

	sim_init(sim, seed());
	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].cc = variant->cc;
		sim->config[side].ecn = true;
		sim->link[side].rate = RATE;
		sim->link[side].queue = RATE / 10;
	}
	sim->audit = true;
	sim->tap = tap;
	sim->tap_priv = &self->nr_ack_ecn;
}

FIXTURE_TEARDOWN(ecn)
{
	struct sim *sim = &self->sim;

	htp_assoc_close(sim->assoc[SIM_A], HTP_CODE_SHUTDOWN);
	EXPECT_EQ(0, sim_run_idle(sim, 7300 * SIM_SEC));
	EXPECT_EQ(0, sim->errors);
	EXPECT_EQ(0, sim_exit(sim));
}

/* Bytes per second that A got through */
static __u64 upload(FIXTURE_DATA(ecn) *self, __u64 bytes)
{
	struct sim *sim = &self->sim;
	__u64 began = sim->now;

	if (!sim->assoc[SIM_A] && sim_start(sim))
		return 0;
	sim_open(sim, SIM_A, bytes, 1);
	if (sim_run(sim, 300 * SIM_SEC))
		return 0;
	htp_assoc_stats(sim->assoc[SIM_A], &self->a);
	return (double)bytes * SIM_SEC / (sim->now - began);
}

TEST_F(ecn, path_that_keeps_marks)
{
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
	EXPECT_LE(4000, self->a.ecn_sent);
	EXPECT_EQ(0, self->a.ecn_ce_told);
	EXPECT_EQ(0, self->a.ecn_failures);
	EXPECT_LT(0, self->nr_ack_ecn);
}

/* A side that can't mark, or whose socket gives no mark, sends and gets plain ACKs */
TEST_F(ecn, without_marks_plain_acks)
{
	self->sim.config[SIM_A].ecn = false;
	self->sim.config[SIM_B].ecn = false;
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_OFF, self->a.ecn_state);
	EXPECT_EQ(0, self->a.ecn_sent);
	EXPECT_EQ(0, self->nr_ack_ecn);
}

/* The queue that marks is kept short, without loss, and the link busy nevertheless */
TEST_F(ecn, marks_are_congestion)
{
	struct sim_link *link = &self->sim.link[SIM_A];
	__u64 rate;

	link->mark = RATE / 50;		/* 20 ms, as long as the round trip */
	rate = upload(self, 40 * MB);
	EXPECT_LE(RATE / 100 * 75, rate);
	EXPECT_LT(0, link->nr_marked);
	EXPECT_GT(link->nr_sent / 8, link->nr_marked);
	EXPECT_EQ(0, link->nr_overflow);
	EXPECT_EQ(link->nr_marked, self->a.ecn_ce_told);
	EXPECT_LT(0, self->a.congestion_events);
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
}

/* A router that marks too early: we get less, but not nothing */
TEST_F(ecn, harsh_marks)
{
	struct sim_link *link = &self->sim.link[SIM_A];
	__u64 rate;

	link->mark = RATE / 500;	/* 2 ms */
	EXPECT_LE(RATE / 3, upload(self, 10 * MB));
	link->mark = 1;
	rate = upload(self, 5 * MB);
	EXPECT_LE(80 * KB, rate);
	EXPECT_GE(RATE / 4, rate);
	EXPECT_LT(0, self->a.congestion_events);
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
}

TEST_F(ecn, bleached_from_the_start)
{
	self->sim.link[SIM_A].bleach = true;
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	EXPECT_EQ(1, self->a.ecn_failures);
	EXPECT_EQ(TEST_PACKETS, self->a.ecn_sent);
}

TEST_F(ecn, bleached_later)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(0, upload(self, 1 * MB));
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
	sim->link[SIM_A].bleach = true;
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	EXPECT_GT(3000, self->a.ecn_sent);
}

TEST_F(ecn, changed_to_the_other_ect)
{
	self->sim.link[SIM_A].remark = true;
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	EXPECT_EQ(TEST_PACKETS, self->a.ecn_sent);
}

/* It costs the time to find out, no more */
TEST_F(ecn, what_is_marked_is_dropped)
{
	self->sim.link[SIM_A].drop_ect = true;
	ASSERT_LE(RATE / 6, upload(self, 10 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	EXPECT_EQ(TEST_PACKETS, self->a.ecn_sent);
}

/* Lost, late and repeated datagrams and ACKs are no reason to call the path one that fails */
TEST_F(ecn, bad_link_is_no_failure)
{
	struct sim *sim = &self->sim;
	int side;

	for (side = SIM_A; side <= SIM_B; side++) {
		sim->link[side].loss = 0.05;
		sim->link[side].duplicate = 0.05;
		sim->link[side].reorder = 0.2;
		sim->link[side].reorder_ns = 30 * SIM_MSEC;
	}
	sim->link[SIM_A].mark = RATE / 200;
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
	EXPECT_EQ(0, self->a.ecn_failures);
}

/* On another path marks may fare otherwise */
TEST_F(ecn, each_path_is_tested)
{
	struct sim *sim = &self->sim;

	sim->link[SIM_A].bleach = true;
	ASSERT_NE(0, upload(self, 1 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	sim->link[SIM_A].bleach = false;
	htp_assoc_moved(sim->assoc[SIM_A], sim->now);
	ASSERT_NE(0, upload(self, 5 * MB));
	EXPECT_EQ(HTP_ECN_CAPABLE, self->a.ecn_state);
	EXPECT_LT(3000, self->a.ecn_sent);
	sim->link[SIM_A].bleach = true;
	htp_assoc_moved(sim->assoc[SIM_A], sim->now);
	ASSERT_NE(0, upload(self, 1 * MB));
	EXPECT_EQ(HTP_ECN_FAILED, self->a.ecn_state);
	EXPECT_EQ(2, self->a.ecn_failures);
}

/* Everything that A has sent arrived, says somebody, with these marks. Returns A's state */
static __u32 claim(FIXTURE_DATA(ecn) *self, __u64 ect0, __u64 ect1, __u64 ce)
{
	struct htp_assoc *a = self->sim.assoc[SIM_A];
	struct htp_ack ack = { .has_ecn = true, .ecn = { ect0, ect1, ce }, .nr = 1 };
	struct htp_hdr hdr = { .type = HTP_DATA, .dst_id = 1, .pn = 100000 };
	struct htp_stats stats;
	struct htp_writer w;
	__u8 pkt[200];

	ack.largest = a->rc.next_pn - 1;
	ack.r[0] = (struct htp_range){ a->rc.base, a->rc.next_pn };
	w = (struct htp_writer){ .p = pkt + HTP_HDR_LEN, .end = pkt + sizeof(pkt) };
	htp_frame_write_ack(&w, &ack);
	hdr.ctl_len = w.p - pkt - HTP_HDR_LEN;
	htp_hdr_write(pkt, HTP_HDR_LEN, &hdr);
	if (htp_assoc_rx(a, pkt, w.p - pkt, self->sim.now))
		return ~0U;
	htp_assoc_stats(a, &stats);
	return stats.ecn_state;
}

TEST_F(ecn, counts_that_cannot_be)
{
	static const struct {
		const char	*what;
		long long	ect0, ect1, ce;
		bool		absolute;
		__u32		state;
	} claims[] = {
		{ "right", 0, 0, 0, false, HTP_ECN_CAPABLE },
		{ "some with CE", -5, 0, 5, false, HTP_ECN_CAPABLE },
		{ "more than were marked", 1, 0, 0, false, HTP_ECN_FAILED },
		{ "CE on more than were marked", 0, 0, 1, false, HTP_ECN_FAILED },
		{ "fewer than arrived", -1, 0, 0, false, HTP_ECN_FAILED },
		{ "ECT(1)", 0, 1, 0, false, HTP_ECN_FAILED },
		{ "none", 0, 0, 0, true, HTP_ECN_FAILED },
		{ "an overflow", (1LL << 62) - 1, 0, (1LL << 62) - 1, true, HTP_ECN_FAILED },
	};
	struct sim *sim = &self->sim;
	__u8 pkt[HTP_MIN_DATAGRAM];
	__u64 marked;
	__u32 i;

	ASSERT_NE(0, upload(self, 1 * MB));
	for (i = 0; i < ARRAY_SIZE(claims); i++) {
		struct htp_assoc *a;

		htp_assoc_destroy(sim->assoc[SIM_A]);
		a = htp_assoc_create(&sim->config[SIM_A], sim->now);
		sim->assoc[SIM_A] = a;
		ASSERT_NE(NULL, a);
		ASSERT_NE(NULL, htp_stream_open(a, "x", 1, NULL));
		while (a->rc.next_pn < 8) {
			ASSERT_LT(0, htp_assoc_tx(a, pkt, sizeof(pkt), sim->now));
			a->want_ping = true;
			sim->now += 50 * SIM_MSEC;
		}
		marked = claims[i].absolute ? 0 : a->ecn.marked;
		EXPECT_EQ(claims[i].state, claim(self, marked + claims[i].ect0, claims[i].ect1,
						 claims[i].ce)) TH_LOG("%s", claims[i].what);
		htp_assoc_stats(a, &self->a);
		EXPECT_FALSE(htp_assoc_is_closed(a));
		/* what is not believed has no effect */
		EXPECT_EQ(claims[i].state == HTP_ECN_CAPABLE ? claims[i].ce : 0,
			  self->a.ecn_ce_told);
	}
}

TEST_HARNESS_MAIN
