// SPDX-License-Identifier: GPL-2.0
/*
 * Paths: the address of a side changes in mid-flow, by itself or because somebody
 * wants it to look so. Whatever happens, the bytes of all streams are right, or the
 * streams end with an error; and an association moves only where its peer is.
 *
 * Addresses n and m belong to one host if n / SIM_PORTS == m / SIM_PORTS.
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/private.h"

#include "../kselftest_harness.h"

#define KB		1000ULL
#define MB		1000000ULL
#define OTHER_PORT	1
#define OTHER_HOST	(SIM_PORTS + 1)
#define THIRD_HOST	(2 * SIM_PORTS)
#define ATTACKER	(3 * SIM_PORTS)

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240612;
}

static struct htp_stats stats_of(const struct sim *sim, enum sim_side side)
{
	struct htp_stats stats;

	htp_assoc_stats(sim->assoc[side], &stats);
	return stats;
}

/* Where @side believes its peer to be */
static __u32 peer_at(const struct sim *sim, enum sim_side side)
{
	return sim->known[side][htp_assoc_path(sim->assoc[side])];
}

/* First frame of a datagram that the sides wrote, 0xff without one */
static __u8 first_frame(const __u8 *pkt, size_t len)
{
	return len > HTP_HDR_LEN ? pkt[HTP_HDR_LEN] : 0xff;
}

/**
 * struct watch - what the tap saw
 * @addr:	 datagrams to this address
 * @from:	 of this side
 * @bytes:	 bytes of them
 * @challenges:	 of them, challenges
 * @others:	 neither challenges nor responses
 * @before_trial: others before the side had changed its path
 * @copy_from:	 what the other side sends is copied as if it came from here; 0: isn't
 * @copied:	 bytes of the copies
 * @answer:	 challenges to @addr are answered from there
 */
struct watch {
	__u32		addr;
	enum sim_side	from;
	__u64		bytes, challenges, others, before_trial;
	__u32		copy_from;
	__u64		copied;
	bool		answer;
};

static void answer(struct sim *sim, const struct watch *w, const __u8 *pkt, size_t len)
{
	struct htp_hdr hdr = { .type = HTP_DATA, .ctl_len = 9, .pn = 0x7fffffff };
	__u8 response[HTP_HDR_LEN + 9];

	hdr.dst_id = sim->config[!w->from].peer_id;
	htp_hdr_write(response, sizeof(response), &hdr);
	memcpy(response + HTP_HDR_LEN, pkt + HTP_HDR_LEN, 9);
	response[HTP_HDR_LEN] = HTP_F_PATH_RESPONSE;
	sim_inject(sim, w->from, w->addr, response, sizeof(response));
}

static void tap(struct sim *sim, enum sim_side from, __u32 to, const __u8 *pkt, size_t len)
{
	struct watch *w = sim->tap_priv;
	__u8 type = first_frame(pkt, len);

	if (w->copy_from && from != w->from) {
		sim_inject(sim, !from, w->copy_from, pkt, len);
		w->copied += len;
	}
	if (from != w->from || to != w->addr)
		return;
	w->bytes += len;
	if (type == HTP_F_PATH_CHALLENGE)
		w->challenges++;
	if (type == HTP_F_PATH_CHALLENGE && w->answer)
		answer(sim, w, pkt, len);
	if (type == HTP_F_PATH_CHALLENGE || type == HTP_F_PATH_RESPONSE)
		return;
	w->others++;
	if (!stats_of(sim, from).path_changes)
		w->before_trial++;
}

static void world_init(struct sim *sim, struct watch *watch)
{
	int side;

	sim_init(sim, seed());
	for (side = SIM_A; side <= SIM_B; side++) {
		sim->config[side].keepalive_ns = 5 * SIM_SEC;
		sim->config[side].dead_ns = 20 * SIM_SEC;
		sim->link[side].rate = 12500 * KB;
		sim->link[side].queue = 500 * KB;
	}
	sim->audit = true;
	sim->tap = tap;
	sim->tap_priv = watch;
	watch->from = SIM_B;
	watch->addr = SIM_ADDRS;	/* nobody's */
}

/* Ends the association; no timer may remain, no memory, and nothing may have gone wrong */
static void world_exit(struct __test_metadata *_metadata, struct sim *sim)
{
	if (sim->assoc[SIM_A] && sim->assoc[SIM_B]) {
		htp_assoc_close(sim->assoc[SIM_A], HTP_CODE_SHUTDOWN);
		sim_run_for(sim, 10 * SIM_SEC);
		htp_assoc_close(sim->assoc[SIM_B], HTP_CODE_SHUTDOWN);
		EXPECT_EQ(0, sim_run_idle(sim, 7300 * SIM_SEC));
		EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(sim->assoc[SIM_A]));
		EXPECT_EQ(HTP_NEVER, htp_assoc_deadline(sim->assoc[SIM_B]));
	}
	EXPECT_EQ(0, sim->errors);
	EXPECT_EQ(0, sim_exit(sim));
}

/* A transfer is on its way: @up bytes from A, @down bytes from B */
static struct sim_flow *begin(struct sim *sim, __u64 up, __u64 down)
{
	struct sim_flow *flow;

	if (sim_start(sim))
		return NULL;
	flow = sim_open(sim, SIM_A, up, down);
	sim_run_for(sim, 300 * SIM_MSEC);
	return flow && flow->stream ? flow : NULL;
}

/* No path is on trial, and no former one is remembered */
static bool is_settled(const struct sim *sim)
{
	return htp_assoc_paths(sim->assoc[SIM_A]) == 1U << htp_assoc_path(sim->assoc[SIM_A]) &&
	       htp_assoc_paths(sim->assoc[SIM_B]) == 1U << htp_assoc_path(sim->assoc[SIM_B]);
}

FIXTURE(move)
{
	struct sim	sim;
	struct watch	watch;
};

FIXTURE_VARIANT(move)
{
	enum sim_side	side;
	__u32		addr;
	__u64		up, down;
	double		loss;
};

FIXTURE_VARIANT_ADD(move, port_upload) { SIM_A, OTHER_PORT, 10 * MB, 1, 0 };
FIXTURE_VARIANT_ADD(move, port_download) { SIM_A, OTHER_PORT, 1, 10 * MB, 0 };
FIXTURE_VARIANT_ADD(move, host_upload) { SIM_A, OTHER_HOST, 10 * MB, 1, 0 };
FIXTURE_VARIANT_ADD(move, host_download) { SIM_A, OTHER_HOST, 1, 10 * MB, 0 };
FIXTURE_VARIANT_ADD(move, responder) { SIM_B, OTHER_HOST, 5 * MB, 5 * MB, 0 };
FIXTURE_VARIANT_ADD(move, port_loss) { SIM_A, OTHER_PORT, 2 * MB, 2 * MB, 0.03 };
FIXTURE_VARIANT_ADD(move, host_loss) { SIM_A, OTHER_HOST, 2 * MB, 2 * MB, 0.03 };
FIXTURE_VARIANT_ADD(move, host_much_loss) { SIM_A, OTHER_HOST, 500 * KB, 500 * KB, 0.2 };

FIXTURE_SETUP(move)
{
	world_init(&self->sim, &self->watch);
	self->sim.link[SIM_A].loss = variant->loss;
	self->sim.link[SIM_B].loss = variant->loss;
	self->watch.from = !variant->side;
	self->watch.addr = variant->addr;
}

FIXTURE_TEARDOWN(move)
{
	world_exit(_metadata, &self->sim);
}

TEST_F(move, bytes_are_right_and_the_path_is_the_new_one)
{
	struct sim *sim = &self->sim;
	struct htp_stats before, after;

	ASSERT_NE(NULL, begin(sim, variant->up, variant->down));
	before = stats_of(sim, !variant->side);
	sim_move(sim, variant->side, variant->addr);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	after = stats_of(sim, !variant->side);
	EXPECT_EQ(variant->addr, peer_at(sim, !variant->side));
	EXPECT_EQ(1, after.path_changes);
	EXPECT_EQ(0, after.path_refusals);
	EXPECT_EQ(0, stats_of(sim, variant->side).path_trials);
	/* nothing but challenges went there before it was known to be the peer's */
	EXPECT_LE(1, self->watch.challenges);
	EXPECT_EQ(0, self->watch.before_trial);
	/* a NAT's new port leaves what is known of the network as it was */
	if (variant->addr == OTHER_PORT && !variant->loss) {
		EXPECT_GE(before.min_rtt_ns, after.min_rtt_ns);
		EXPECT_GE(before.congestion_events + 1, after.congestion_events);
	}
	sim_run_for(sim, 10 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

FIXTURE(path)
{
	struct sim	sim;
	struct watch	watch;
};

FIXTURE_SETUP(path)
{
	world_init(&self->sim, &self->watch);
}

FIXTURE_TEARDOWN(path)
{
	world_exit(_metadata, &self->sim);
}

/* How long nothing arrives at A: little more than the challenge's round trip */
TEST_F(path, outage_is_short)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = begin(sim, 1, 20 * MB);
	__u64 received, moved_ns = sim->now;

	ASSERT_NE(NULL, flow);
	sim_move(sim, SIM_A, OTHER_PORT);
	sim_run_for(sim, 15 * SIM_MSEC);	/* what was under way */
	received = flow->received;
	while (flow->stream && flow->received == received && sim->now < moved_ns + SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_GT(120 * SIM_MSEC, sim->now - moved_ns);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

TEST_F(path, other_host_means_a_new_controller)
{
	struct sim *sim = &self->sim;
	struct htp_assoc *b = sim->assoc[SIM_B];
	__u64 first_rtt_ns;

	ASSERT_NE(NULL, begin(sim, 1, 20 * MB));
	b = sim->assoc[SIM_B];
	first_rtt_ns = b->rc.first_rtt_ns;
	sim->link[SIM_A].delay_ns = 40 * SIM_MSEC;	/* and it is farther away */
	sim_move(sim, SIM_A, OTHER_HOST);
	while (!stats_of(sim, SIM_B).path_changes && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_EQ(HTP_NEVER, b->rc.first_rtt_ns);
	EXPECT_EQ(HTP_NEVER, b->rc.min_rtt);
	EXPECT_GE(32ULL * 1200, htp_assoc_cwnd(b));
	EXPECT_GE(32ULL * 1200, b->rc.in_flight);
	/* what the challenge has measured is the best guess there is */
	EXPECT_LE(50 * SIM_MSEC, b->rc.srtt);
	EXPECT_GE(60 * SIM_MSEC, b->rc.srtt);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_LT(first_rtt_ns, b->rc.first_rtt_ns);
	EXPECT_LE(50 * SIM_MSEC, stats_of(sim, SIM_B).min_rtt_ns);
}

/* Bytes keep flowing to the old address, in case the peer is there after all */
TEST_F(path, old_path_is_used_until_the_new_one_is_valid)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 1, 20 * MB));
	self->watch.addr = 0;
	sim_move(sim, SIM_A, OTHER_HOST);
	while (!stats_of(sim, SIM_B).path_trials && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	self->watch.others = 0;
	sim_run_for(sim, 15 * SIM_MSEC);
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_changes);
	EXPECT_LT(0, self->watch.others);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* An attacker on the path sends copies in another's name, and they come first */
TEST_F(path, copies_from_elsewhere_change_nothing)
{
	struct sim *sim = &self->sim;
	struct htp_stats stats;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 5 * MB));
	self->watch.addr = ATTACKER;
	self->watch.copy_from = ATTACKER;
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	stats = stats_of(sim, SIM_B);
	EXPECT_EQ(0, peer_at(sim, SIM_B));
	EXPECT_LT(0, stats.path_trials);
	EXPECT_EQ(0, stats.path_changes);
	EXPECT_EQ(0, self->watch.others);
	EXPECT_LT(100, sim->strangers[SIM_B]);
	/* it is not a way to make us send to somebody */
	EXPECT_GE(3 * self->watch.copied, self->watch.bytes);
	EXPECT_GE(1 + 4 + 2 * (sim->now / SIM_SEC), stats.path_trials);
	EXPECT_EQ(0, stats.lost_packets);
}

/* It even answers challenges: whoever has seen the id can. But so does the peer */
TEST_F(path, the_path_in_use_has_the_last_word)
{
	struct sim *sim = &self->sim;
	struct htp_stats stats;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 5 * MB));
	self->watch.addr = ATTACKER;
	self->watch.copy_from = ATTACKER;
	self->watch.answer = true;
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	stats = stats_of(sim, SIM_B);
	EXPECT_EQ(0, peer_at(sim, SIM_B));
	EXPECT_LT(0, stats.path_refusals);
	EXPECT_EQ(0, stats.path_changes);
	EXPECT_EQ(0, self->watch.others);
}

/* And if what asks the peer is lost, the association comes back to it */
TEST_F(path, former_path_is_asked_again)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 1, 20 * MB));
	self->watch.addr = ATTACKER;
	self->watch.copy_from = ATTACKER;
	self->watch.answer = true;
	while (!stats_of(sim, SIM_B).path_trials && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	self->watch.copy_from = 0;
	sim->link[SIM_A].dead = true;	/* the peer's response is lost */
	while (!stats_of(sim, SIM_B).path_changes && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_EQ(ATTACKER, peer_at(sim, SIM_B));
	sim->link[SIM_A].dead = false;
	while (stats_of(sim, SIM_B).path_changes < 2 && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_TRUE(is_settled(sim));		/* the attacker has no part in it any more */
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(0, peer_at(sim, SIM_B));
	EXPECT_EQ(2, stats_of(sim, SIM_B).path_changes);
}

static size_t put(struct sim *sim, __u8 *pkt, __u32 pn, const void *frames, size_t len)
{
	const struct htp_hdr hdr = {
		.type = HTP_DATA, .ctl_len = len, .pn = pn, .dst_id = sim->config[SIM_B].peer_id,
	};

	htp_hdr_write(pkt, HTP_HDR_LEN, &hdr);
	memcpy(pkt + HTP_HDR_LEN, frames, len);
	return HTP_HDR_LEN + len;
}

/* Nothing that it says is believed, and nothing that it garbles is held against the peer */
TEST_F(path, strangers_do_no_harm)
{
	static const __u8 close[] = { HTP_F_CLOSE, HTP_CODE_SHUTDOWN };
	static const __u8 reset[] = { HTP_F_RESET, 2, HTP_CODE_APP_RESET, 0 };
	static const __u8 unknown[] = { 0x3f }, cut[] = { HTP_F_PATH_RESPONSE, 1, 2, 3 };
	static const __u8 ack[] = { HTP_F_ACK, 0x7f, 0xff, 0, 0, 0 };
	static const struct { const __u8 *p; size_t len; } all[] = {
		{ close, sizeof(close) }, { reset, sizeof(reset) }, { unknown, 1 },
		{ cut, sizeof(cut) }, { ack, sizeof(ack) },
	};
	struct sim *sim = &self->sim;
	struct htp_stats before;
	__u8 pkt[100];
	__u32 i;

	ASSERT_NE(NULL, begin(sim, 2 * MB, 2 * MB));
	before = stats_of(sim, SIM_B);
	for (i = 0; i < 200; i++) {
		size_t len = put(sim, pkt, 1000000 + i, all[i % 5].p, all[i % 5].len);

		sim_inject(sim, SIM_B, ATTACKER + i % 4, pkt, len);
		sim_run_for(sim, SIM_MSEC);
	}
	EXPECT_LE(200, sim->strangers[SIM_B]);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_B]));
	EXPECT_EQ(before.rx_malformed, stats_of(sim, SIM_B).rx_malformed);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_changes);
	EXPECT_EQ(0, stats_of(sim, SIM_A).rx_malformed);
}

static int ping(struct sim *sim, const struct htp_via *via, __u32 pn)
{
	static const __u8 frame = HTP_F_PING;
	__u8 pkt[100];
	size_t len = put(sim, pkt, pn, &frame, 1);

	return htp_assoc_rx_via(sim->assoc[SIM_B], pkt, len, via, sim->now);
}

/* A number that is none, an old packet number, no randomness: no trial */
TEST_F(path, no_trial_without_reason)
{
	struct htp_via via = { .path = HTP_PATHS };
	struct sim *sim = &self->sim;
	struct htp_assoc *b;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 1));
	b = sim->assoc[SIM_B];
	EXPECT_EQ(-EPERM, ping(sim, &via, 1000000));
	via.path = 1;
	EXPECT_EQ(-EPERM, ping(sim, &via, 1));
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_trials);
	b->config.random = NULL;
	EXPECT_EQ(-EPERM, ping(sim, &via, 1000000));
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_trials);
	b->config.random = sim->config[SIM_B].random;
	EXPECT_EQ(-EPERM, ping(sim, &via, 1000000));
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_trials);
}

/* Keep-alives are all that comes from the new address, and nothing arrives there */
TEST_F(path, amplification_is_bounded)
{
	static const __u8 ping[60] = { HTP_F_PING };
	struct sim *sim = &self->sim;
	__u64 received = 0;
	__u8 pkt[100];
	int i;

	ASSERT_NE(NULL, begin(sim, 100 * KB, 20 * MB));
	self->watch.addr = THIRD_HOST;
	for (i = 0; i < 400; i++) {
		size_t len = put(sim, pkt, 1000000 + i, ping, sizeof(ping));

		sim_inject(sim, SIM_B, THIRD_HOST, pkt, len);
		received += len;
		sim_run_for(sim, 1 + sim_random(sim) % (20 * SIM_MSEC));
		ASSERT_GE(3 * received, self->watch.bytes);
	}
	EXPECT_LT(0, self->watch.challenges);
	EXPECT_EQ(0, self->watch.others);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* The new address can't be reached for a while: challenges are repeated */
TEST_F(path, lost_challenges_are_repeated)
{
	struct sim *sim = &self->sim;
	int i;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 5 * MB));
	self->watch.addr = OTHER_PORT;
	sim_move(sim, SIM_A, OTHER_PORT);
	sim->reach[SIM_A] = 0;
	while (self->watch.challenges < 3 && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_changes);
	sim->reach[SIM_A] = 1ULL << OTHER_PORT;
	while (!stats_of(sim, SIM_B).path_changes && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	/* what was lost meanwhile says nothing of the network */
	for (i = 0; i < 100; i++) {
		sim_run_for(sim, SIM_MSEC);
		ASSERT_LT(20 * 1200, htp_assoc_cwnd(sim->assoc[SIM_B]));
	}
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_trials);
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	EXPECT_EQ(0, self->watch.before_trial);
}

/* For so long that the trial fails; then there is another one */
TEST_F(path, failed_trial_is_repeated)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 5 * MB));
	sim_move(sim, SIM_A, OTHER_HOST);
	sim->reach[SIM_A] = 0;
	sim_run_for(sim, 4 * SIM_SEC);
	EXPECT_LE(1, stats_of(sim, SIM_B).path_trials);
	EXPECT_EQ(0, stats_of(sim, SIM_B).path_changes);
	sim->reach[SIM_A] = 1ULL << OTHER_HOST;
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_LE(2, stats_of(sim, SIM_B).path_trials);
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
}

/* Whenever the second one comes: before, while or after the first one is found valid */
TEST_F(path, two_moves_in_a_row)
{
	static const __u32 second[] = { 0, OTHER_PORT, OTHER_HOST, THIRD_HOST };
	struct sim *sim = &self->sim;
	int i;

	sim->link[SIM_A].rate = 1250 * KB;
	sim->link[SIM_B].rate = 1250 * KB;
	ASSERT_NE(NULL, begin(sim, 25 * MB, 25 * MB));
	for (i = 0; i < 16; i++) {
		__u32 last = second[i % 4];

		sim_move(sim, SIM_A, (last + 2 * SIM_PORTS) % (4 * SIM_PORTS));
		sim_run_for(sim, (i + 1) * 5 * SIM_MSEC);
		sim_move(sim, SIM_A, last);
		sim_run_for(sim, SIM_SEC);
		EXPECT_EQ(last, peer_at(sim, SIM_B)) TH_LOG("move %d", i);
	}
	EXPECT_EQ(0, sim_run(sim, 120 * SIM_SEC));
}

/* Both NATs forget at once, but what is still sent to the old addresses arrives for a while */
TEST_F(path, both_sides_at_once)
{
	struct sim *sim = &self->sim;
	int side;

	ASSERT_NE(NULL, begin(sim, 5 * MB, 5 * MB));
	for (side = SIM_A; side <= SIM_B; side++) {
		sim_move(sim, side, OTHER_HOST);
		sim->reach[side] |= 1;
	}
	sim_run_for(sim, 200 * SIM_MSEC);
	sim_move(sim, SIM_A, OTHER_HOST);
	sim_move(sim, SIM_B, OTHER_HOST);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
	EXPECT_EQ(1, stats_of(sim, SIM_A).path_changes);
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
}

/* And if it doesn't, nobody can know where the other one is: an error, not silence */
TEST_F(path, both_sides_lost)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = begin(sim, 5 * MB, 5 * MB);

	ASSERT_NE(NULL, flow);
	sim_move(sim, SIM_A, OTHER_HOST);
	sim_move(sim, SIM_B, OTHER_HOST);
	sim_run_for(sim, 60 * SIM_SEC);
	EXPECT_TRUE(flow->reset);
	EXPECT_EQ(HTP_CODE_TIMEOUT, flow->code);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_B]));
}

/* Datagrams that were late on the old path are taken, and don't lead back to it */
TEST_F(path, late_datagrams_are_believed)
{
	struct sim *sim = &self->sim;
	__u64 lost;

	sim->link[SIM_A].reorder = 0.3;
	sim->link[SIM_A].reorder_ns = 60 * SIM_MSEC;
	ASSERT_NE(NULL, begin(sim, 10 * MB, 1));
	sim_move(sim, SIM_A, OTHER_PORT);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	lost = stats_of(sim, SIM_A).retransmitted_bytes;
	EXPECT_EQ(OTHER_PORT, peer_at(sim, SIM_B));
	EXPECT_GE(2, stats_of(sim, SIM_B).path_changes);
	EXPECT_GT(5 * MB, lost);
}

/* An ICMP error from where the peer was doesn't end what lives elsewhere */
TEST_F(path, suspicion_waits_for_the_trial)
{
	struct sim *sim = &self->sim;

	sim->link[SIM_B].loss = 0.5;	/* so it takes time */
	ASSERT_NE(NULL, begin(sim, 10 * MB, 10 * KB));
	sim_move(sim, SIM_A, OTHER_HOST);
	sim->reach[SIM_A] = 0;
	while (!stats_of(sim, SIM_B).path_trials && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	htp_assoc_suspect(sim->assoc[SIM_B], sim->now);
	sim_run_for(sim, 300 * SIM_MSEC);
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_B]));
	sim->reach[SIM_A] = 1ULL << OTHER_HOST;
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* This host's own address changed: the peer hears of it without being asked */
TEST_F(path, own_move)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow = begin(sim, 1, 20 * MB);

	ASSERT_NE(NULL, flow);
	sim->paused[SIM_A] = true;
	sim_run_for(sim, 2 * SIM_SEC);		/* the windows are full: silence */
	sim_move(sim, SIM_A, OTHER_HOST);
	htp_assoc_moved(sim->assoc[SIM_A], sim->now);
	EXPECT_EQ(HTP_NEVER, sim->assoc[SIM_A]->rc.min_rtt);
	sim_run_for(sim, 200 * SIM_MSEC);
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
	sim->paused[SIM_A] = false;
	sim_read(sim, flow);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* Both sides can reach each other by another carrier, too, and by the first one if @open */
static void add_carrier(struct sim *sim, bool open)
{
	int side;

	sim->carriers = true;
	for (side = SIM_A; side <= SIM_B; side++) {
		sim->reach[side] = 1ULL << OTHER_HOST | open;
		sim->known[side][1] = OTHER_HOST;
	}
}

static int choose(struct sim *sim, enum sim_side side, __u32 n)
{
	return htp_assoc_use_path(sim->assoc[side], n, HTP_MIN_DATAGRAM, 20 * SIM_MSEC, sim->now);
}

/* A side that has left a carrier doesn't answer there, so the other one follows */
TEST_F(path, chosen_path_is_followed)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 10 * MB, 10 * MB));
	add_carrier(sim, true);
	EXPECT_EQ(0, choose(sim, SIM_A, 1));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A));
	EXPECT_EQ(-EALREADY, choose(sim, SIM_A, 1));
	EXPECT_EQ(-EINVAL, choose(sim, SIM_A, HTP_PATHS));
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
	EXPECT_EQ(1, stats_of(sim, SIM_A).path_changes);
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	sim_run_for(sim, 15 * SIM_SEC);
	EXPECT_TRUE(is_settled(sim));
}

/* One side can't receive or send by the first carrier any more, and knows that */
static void take_away(struct sim *sim, enum sim_side side)
{
	sim->reach[side] = 1ULL << OTHER_HOST;
	htp_assoc_forget_paths(sim->assoc[side]);
	sim->known[side][htp_assoc_path(sim->assoc[side])] = OTHER_HOST;
	htp_assoc_moved(sim->assoc[side], sim->now);
}

/* On one side, on both at once, on one after the other: while the first change is under way */
TEST_F(path, carrier_is_taken_away)
{
	struct sim *sim = &self->sim;
	unsigned int way;

	for (way = 0; way < 6; way++) {
		ASSERT_NE(NULL, begin(sim, way % 2 ? 1 : 10 * MB, 10 * MB));
		add_carrier(sim, true);
		sim_run_for(sim, 300 * SIM_MSEC);
		take_away(sim, way < 3 ? SIM_A : SIM_B);
		if (way % 3)
			sim_run_for(sim, way % 3 == 1 ? 0 : 30 * SIM_MSEC);
		if (way % 3)
			take_away(sim, way < 3 ? SIM_B : SIM_A);
		sim_run_for(sim, SIM_SEC);
		EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A)) TH_LOG("way %u", way);
		EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B)) TH_LOG("way %u", way);
		EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC)) TH_LOG("way %u", way);
		world_exit(_metadata, sim);
		world_init(sim, &self->watch);
	}
}

TEST_F(path, dead_carrier_is_left)
{
	struct sim *sim = &self->sim;
	enum sim_side side;

	for (side = SIM_A; side <= SIM_B; side++) {
		ASSERT_NE(NULL, begin(sim, 1, 10 * MB));
		add_carrier(sim, false);
		sim_run_for(sim, 500 * SIM_MSEC);
		EXPECT_LT(0, htp_assoc_unanswered(sim->assoc[SIM_B]));
		EXPECT_EQ(0, choose(sim, side, 1));
		EXPECT_EQ(0, sim_run(sim, 10 * SIM_SEC));
		EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A));
		EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
		world_exit(_metadata, sim);
		world_init(sim, &self->watch);
	}
}

TEST_F(path, carrier_chosen_by_both)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 10 * MB, 10 * MB));
	add_carrier(sim, true);
	EXPECT_EQ(0, choose(sim, SIM_A, 1));
	EXPECT_EQ(0, choose(sim, SIM_B, 1));
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_A));
	EXPECT_EQ(OTHER_HOST, peer_at(sim, SIM_B));
}

TEST_F(path, carrier_is_chosen_again)
{
	struct sim *sim = &self->sim;

	ASSERT_NE(NULL, begin(sim, 20 * MB, 20 * MB));
	add_carrier(sim, true);
	EXPECT_EQ(0, choose(sim, SIM_A, 1));
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_EQ(0, choose(sim, SIM_A, 0));
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_EQ(0, peer_at(sim, SIM_A));
	EXPECT_EQ(0, peer_at(sim, SIM_B));
}

/* With a new path of a smaller MTU, the challenges of full size are lost, the others are not */
TEST_F(path, size_is_what_the_challenge_has_proven)
{
	struct sim *sim = &self->sim;
	int side;

	for (side = SIM_A; side <= SIM_B; side++)
		sim->config[side].max_datagram = 1400;
	ASSERT_NE(NULL, begin(sim, 10 * MB, 10 * MB));
	sim_move(sim, SIM_A, OTHER_HOST);
	sim_run_for(sim, 300 * SIM_MSEC);
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	EXPECT_EQ(1400, stats_of(sim, SIM_B).path_mtu);
	sim_move(sim, SIM_A, THIRD_HOST);
	sim->reach[SIM_A] = 0;
	self->watch.addr = THIRD_HOST;
	while (self->watch.challenges < 2 && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	sim->reach[SIM_A] = 1ULL << THIRD_HOST;
	while (stats_of(sim, SIM_B).path_changes < 2 && sim->now < 5 * SIM_SEC)
		sim_run_for(sim, SIM_MSEC);
	EXPECT_EQ(HTP_MIN_DATAGRAM, stats_of(sim, SIM_B).path_mtu);
	sim_run_for(sim, SIM_SEC);		/* and the search goes on */
	EXPECT_EQ(1400, stats_of(sim, SIM_B).path_mtu);
	EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
}

/* Anything at any time */
TEST(moves_at_random)
{
	struct watch watch;
	struct sim sim;
	int i, n, side;

	for (i = 0; i < 30; i++) {
		memset(&watch, 0, sizeof(watch));
		world_init(&sim, &watch);
		sim.random = seed() + i;
		for (side = SIM_A; side <= SIM_B; side++) {
			sim.link[side].loss = sim_random(&sim) % 4 * 0.02;
			sim.link[side].reorder = sim_random(&sim) % 4 * 0.03;
			sim.link[side].reorder_ns = sim_random(&sim) % (30 * SIM_MSEC);
			sim.link[side].duplicate = sim_random(&sim) % 2 * 0.02;
			sim.link[side].delay_ns = sim_random(&sim) % (60 * SIM_MSEC);
		}
		ASSERT_NE(NULL, begin(&sim, 3 * MB, 3 * MB));
		for (n = 0; n < 6; n++) {
			sim_move(&sim, sim_random(&sim) % 2, sim_random(&sim) % SIM_ADDRS);
			sim_run_for(&sim, 500 * SIM_MSEC + sim_random(&sim) % SIM_SEC);
		}
		EXPECT_EQ(0, sim_run(&sim, 120 * SIM_SEC)) TH_LOG("seed %llu", seed() + i);
		world_exit(_metadata, &sim);
	}
}

TEST_HARNESS_MAIN
