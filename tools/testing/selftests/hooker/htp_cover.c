// SPDX-License-Identifier: GPL-2.0
/*
 * Coverage in the simulator: streams of which both, one or no end takes damaged bytes,
 * on links that flip bits. What needn't be covered arrives flipped, everything else is
 * lost and repeated, as with a UDP-Lite checksum. Each bit that is read is compared, so a
 * byte in the wrong place or stream would be seen as several wrong bits.
 */
#include <string.h>

#include "htp_test.h"

#define ALL	(~0ULL)
#define EVEN	0x5555555555555555ULL	/* each second stream */
#define FLIPS	{ .rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .corrupt = 0.2, .partial = true }

struct seen {
	__u64	partial[2], groups[2];
	__u64	faults;
};

/* What must hold of each datagram that is sent */
static void look(struct sim *sim, enum sim_side from, __u32 to, const __u8 *pkt, size_t len)
{
	__u32 covered = htp_assoc_tx_via(sim->assoc[from])->covered;
	struct seen *seen = sim->tap_priv;
	struct htp_hdr hdr;

	if (htp_hdr_read(pkt, len, &hdr))
		seen->faults++;
	if (hdr.type == HTP_DATA && hdr.flags)
		seen->groups[from]++;
	if (!covered)
		return;
	seen->partial[from]++;
	if (hdr.type != HTP_DATA || hdr.flags || covered != HTP_HDR_LEN + hdr.ctl_len ||
	    covered >= len)
		seen->faults++;
}

static __u64 bad_bits(const struct sim *sim, enum sim_side side)
{
	const struct sim_flow *flow;
	__u64 bits = 0;

	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->side == side)
			bits += flow->bad_bits;
	return bits;
}

static void open_flows(struct __test_metadata *_metadata, struct sim *sim, int nr, __u64 bytes)
{
	int i;

	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < nr; i++)
		ASSERT_NE(NULL, sim_open(sim, i & 1 ? SIM_B : SIM_A, bytes, bytes));
}

FIXTURE(cover)
{
	struct sim	sim;
	struct seen	seen;
};

FIXTURE_VARIANT(cover)
{
	struct sim_link	link;
};

FIXTURE_VARIANT_ADD(cover, flips)
{
	.link = FLIPS,
};

FIXTURE_VARIANT_ADD(cover, flips_and_losses)
{
	.link = {
		.rate = 12500 * KB, .delay_ns = 10 * SIM_MSEC, .corrupt = 0.1, .partial = true,
		.loss = 0.02, .reorder = 0.05, .reorder_ns = 5 * SIM_MSEC, .duplicate = 0.02,
	},
};

FIXTURE_VARIANT_ADD(cover, flips_on_a_short_queue)
{
	.link = {
		.rate = 1250 * KB, .delay_ns = 20 * SIM_MSEC, .corrupt = 0.05, .partial = true,
		.queue = 20 * KB,
	},
};

FIXTURE_SETUP(cover)
{
	printf("# seed %llu\n", seed());
	sim_init(&self->sim, seed());
	set_links(&self->sim, &variant->link);
	self->sim.tap = look;
	self->sim.tap_priv = &self->seen;
}

FIXTURE_TEARDOWN(cover)
{
	EXPECT_EQ(0, self->seen.faults);
	finish(_metadata, &self->sim);
}

/* A duplicate, or what is repeated needlessly, may bring a bit twice; nobody invents one */
TEST_F(cover, damaged_bytes_arrive_where_they_belong)
{
	struct sim *sim = &self->sim;
	int side;

	sim->loose[SIM_A] = ALL;
	sim->loose[SIM_B] = ALL;
	open_flows(_metadata, sim, 6, MB);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	for (side = SIM_A; side <= SIM_B; side++) {
		const struct sim_link *link = &sim->link[!side];

		EXPECT_GT(self->seen.partial[side], 1000);
		EXPECT_EQ(self->seen.partial[side], stats_of(sim, side).tx_partial);
		EXPECT_GT(link->nr_damaged, 50);
		EXPECT_LE(bad_bits(sim, side), link->nr_damaged);
		EXPECT_GT(bad_bits(sim, side), link->nr_damaged * 8 / 10);
		EXPECT_EQ(0, stats_of(sim, side).rx_malformed);
	}
}

TEST_F(cover, one_side_alone_gets_nothing_damaged)
{
	struct sim *sim = &self->sim;

	sim->loose[SIM_A] = ALL;
	open_flows(_metadata, sim, 6, 300 * KB);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_EQ(0, self->seen.partial[SIM_A] + self->seen.partial[SIM_B]);
	EXPECT_EQ(0, sim->link[SIM_A].nr_damaged + sim->link[SIM_B].nr_damaged);
	EXPECT_EQ(0, bad_bits(sim, SIM_A) + bad_bits(sim, SIM_B));
	EXPECT_GT(stats_of(sim, SIM_A).lost_packets, 0);
}

/* Their bytes share datagrams with those of streams that want them as they were */
TEST_F(cover, others_of_the_association_get_nothing_damaged)
{
	struct sim *sim = &self->sim;
	const struct sim_flow *flow;
	__u64 loose_bits = 0;

	sim->loose[SIM_A] = EVEN;
	sim->loose[SIM_B] = EVEN;
	open_flows(_metadata, sim, 12, 300 * KB);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	for (flow = sim->flows; flow; flow = flow->next) {
		if (EVEN >> (flow->id / 2 % 64) & 1)
			loose_bits += flow->bad_bits;
		else
			EXPECT_EQ(0, flow->bad_bits);
	}
	EXPECT_GT(loose_bits, 0);
	EXPECT_GT(self->seen.partial[SIM_A], 0);
	EXPECT_GT(self->seen.partial[SIM_B], 0);
}

/* Damage and nothing else: what it costs is what the covered part is of the whole */
FIXTURE(damage)
{
	struct sim	sim;
	struct seen	seen;
};

FIXTURE_SETUP(damage)
{
	static const struct sim_link link = FLIPS;

	printf("# seed %llu\n", seed());
	sim_init(&self->sim, seed());
	set_links(&self->sim, &link);
	self->sim.tap = look;
	self->sim.tap_priv = &self->seen;
	self->sim.loose[SIM_A] = ALL;
	self->sim.loose[SIM_B] = ALL;
}

FIXTURE_TEARDOWN(damage)
{
	EXPECT_EQ(0, self->seen.faults);
	finish(_metadata, &self->sim);
}

TEST_F(damage, is_no_loss)
{
	struct sim *sim = &self->sim;
	struct htp_stats stats;

	sim->link[SIM_B].corrupt = 0;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 5 * MB, 0));
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	stats = stats_of(sim, SIM_A);
	EXPECT_GT(sim->link[SIM_A].nr_damaged, 500);
	EXPECT_LT(stats.lost_packets, sim->link[SIM_A].nr_damaged / 10);
	EXPECT_LE(bad_bits(sim, SIM_B), sim->link[SIM_A].nr_damaged);
	EXPECT_GT(bad_bits(sim, SIM_B), sim->link[SIM_A].nr_damaged * 95 / 100);
}

/* The frames that say so are among the first ones, and sent again */
TEST_F(damage, consent_survives_loss)
{
	struct sim *sim = &self->sim;

	sim->link[SIM_A].drop_mask = 0x15;
	sim->link[SIM_B].drop_mask = 0x2b;
	open_flows(_metadata, sim, 2, MB);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_GT(self->seen.partial[SIM_A], 500);
	EXPECT_GT(self->seen.partial[SIM_B], 500);
}

/* Before the other side has agreed there is nothing that may be damaged */
TEST_F(damage, first_flight_is_covered)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;

	ASSERT_EQ(0, sim_start(sim));
	flow = sim_open(sim, SIM_A, MB, MB);
	ASSERT_NE(NULL, flow);
	sim_run_for(sim, 9 * SIM_MSEC);
	EXPECT_GT(stats_of(sim, SIM_A).tx_datagrams, 1);
	EXPECT_EQ(0, self->seen.partial[SIM_A]);
	EXPECT_FALSE(htp_stream_is_loose(flow->stream));
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_GT(self->seen.partial[SIM_A], 0);
}

/* Parity is for bytes that come as they were sent: none of the others, and not of them */
TEST_F(damage, is_in_no_group)
{
	struct sim *sim = &self->sim;
	int i;

	sim->loose[SIM_A] = EVEN;
	sim->link[SIM_A].loss = 0.03;
	sim->link[SIM_B].loss = 0.03;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 300; i++) {
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 20 * KB, 20 * KB));
		sim_run_for(sim, 100 * SIM_MSEC);
	}
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_GT(self->seen.groups[SIM_A], 100);
	EXPECT_GT(self->seen.partial[SIM_A], 100);
	EXPECT_GT(stats_of(sim, SIM_B).rx_repaired, 10);
}

/* Both kinds of frame in one datagram: what needs it is covered, so all of it is */
TEST_F(damage, neighbours_in_one_datagram)
{
	struct sim *sim = &self->sim;
	int i;

	sim->loose[SIM_A] = EVEN;
	sim->link[SIM_A].loss = 0.05;
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 60; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 3000 + 7 * i, 3000));
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
}

/* Datagrams that ask whether a path works come between others, and have padding to cover */
TEST_F(damage, new_address)
{
	struct sim *sim = &self->sim;

	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 10 * MB, 10 * MB));
	sim_run_for(sim, 300 * SIM_MSEC);
	sim_move(sim, SIM_A, 1);
	ASSERT_EQ(0, sim_run(sim, 600 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	EXPECT_GT(self->seen.partial[SIM_A], 1000);
	EXPECT_GT(self->seen.partial[SIM_B], 1000);
}

/* -- a peer that does otherwise ------------------------------------------- */

/* @side: of the association that gets it. Numbers are far above those in use */
static int feed(FIXTURE_DATA(sim) *self, enum sim_side side, __u8 group, const __u8 *ctl,
		size_t len, size_t payload)
{
	static __u32 pn = 5000;
	struct htp_hdr hdr = { .type = HTP_DATA, .flags = group, .ctl_len = len, .pn = pn++ };
	__u8 pkt[256] = { 0 };

	htp_hdr_write(pkt, sizeof(pkt), &hdr);
	memcpy(pkt + HTP_HDR_LEN, ctl, len);
	return htp_assoc_rx(self->sim.assoc[side], pkt, HTP_HDR_LEN + len + payload,
			    self->sim.now);
}

static struct sim_flow *open_quiet(struct __test_metadata *_metadata,
				   FIXTURE_DATA(sim) *self, __u64 loose_b)
{
	struct sim_flow *flow;

	self->sim.loose[SIM_A] = ALL;
	self->sim.loose[SIM_B] = loose_b;
	EXPECT_EQ(0, sim_start(&self->sim));
	flow = sim_open(&self->sim, SIM_A, 20 * MB, 0);
	EXPECT_NE(NULL, flow);
	self->sim.paused[SIM_B] = true;
	sim_run_for(&self->sim, 2 * SIM_SEC);
	return flow;
}

TEST_F(sim, damage_without_consent_ends_the_association)
{
	static const __u8 frame[] = { HTP_F_STREAM_LOOSE, 2, 0, 10 };
	struct htp_assoc *b;

	ASSERT_NE(NULL, open_quiet(_metadata, self, 0));
	b = self->sim.assoc[SIM_B];
	EXPECT_EQ(-EPROTO, feed(self, SIM_B, 0, frame, sizeof(frame), 10));
	EXPECT_TRUE(htp_assoc_is_closed(b));
	EXPECT_EQ(HTP_CODE_PROTOCOL, htp_assoc_code(b));
}

/* Nobody has accepted it yet, so nobody can have agreed */
TEST_F(sim, damage_ahead_of_open_ends_the_association)
{
	static const __u8 frame[] = { HTP_F_STREAM_FIN_LOOSE, 4, 0, 10 };

	ASSERT_NE(NULL, open_quiet(_metadata, self, ALL));
	EXPECT_EQ(-EPROTO, feed(self, SIM_B, 0, frame, sizeof(frame), 10));
	EXPECT_TRUE(htp_assoc_is_closed(self->sim.assoc[SIM_B]));
}

TEST_F(sim, damage_in_a_group_is_malformed)
{
	static const __u8 frame[] = { HTP_F_STREAM_LOOSE, 2, 0, 10 };

	ASSERT_NE(NULL, open_quiet(_metadata, self, ALL));
	EXPECT_EQ(-EBADMSG, feed(self, SIM_B, 1, frame, sizeof(frame), 10));
	EXPECT_EQ(0, feed(self, SIM_B, 0, frame, sizeof(frame), 10));
	EXPECT_FALSE(htp_assoc_is_closed(self->sim.assoc[SIM_B]));
}

/* Consent to a stream of the peer's is given by ACCEPT, to one of ours by OPEN */
TEST_F(sim, consent_from_the_wrong_side_ends_the_association)
{
	static const __u8 accept[] = { HTP_F_ACCEPT_LOOSE, 2 };
	static const __u8 open[] = { HTP_F_OPEN_LOOSE, 2, 0 };

	ASSERT_NE(NULL, open_quiet(_metadata, self, ALL));
	EXPECT_EQ(-EPROTO, feed(self, SIM_B, 0, accept, sizeof(accept), 0));
	EXPECT_EQ(-EPROTO, feed(self, SIM_A, 0, open, sizeof(open), 0));
}

TEST_HARNESS_MAIN
