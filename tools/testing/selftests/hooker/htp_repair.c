// SPDX-License-Identifier: GPL-2.0
/*
 * Repair: what the receiver makes of groups and parity that the test writes itself,
 * byte by byte, so that both sides can't be wrong in the same way; and when the
 * sender spends bytes on parity.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "htp/ack.h"
#include "htp/cursor.h"
#include "htp/frame.h"
#include "htp/private.h"
#include "htp/repair.h"
#include "htp/stream.h"

#include "../kselftest_harness.h"

#define STREAM		2	/* the initiator's first */
#define GROUP		5
#define MEMBERS		4
#define CTL_AT		HTP_HDR_LEN
#define PARITY_AT	(HTP_HDR_LEN + HTP_REPAIR_HDR_LEN)

static __u64 seed(void)
{
	const char *value = getenv("HTP_SEED");

	return value ? strtoull(value, NULL, 0) : 20240611;
}

struct datagram {
	__u64	pn;
	size_t	len, ctl_len;
	__u8	bytes[HTP_MAX_DATAGRAM + 200];
};

/* What the datagrams of a group add up to */
struct sum {
	__u8	id, nr;
	size_t	len, ctl_len, most;
	__u32	hash;
	__u8	bytes[HTP_MIN_DATAGRAM];
};

FIXTURE(receiver)
{
	struct sim		sim;
	struct htp_assoc	*a;
	struct htp_stream	*s;
	__u64			pn, offset, read;
	struct sum		sum;
	struct datagram		member[MEMBERS], parity;
};

static __u8 pattern(__u64 offset)
{
	return offset * 37 + (offset >> 8) * 11 + 1;
}

static void begin(FIXTURE_DATA(receiver) *self, struct datagram *d, __u8 group,
		  struct htp_writer *w)
{
	d->pn = self->pn++;
	memset(d->bytes, 0, HTP_HDR_LEN);
	d->bytes[0] = HTP_VERSION << 4 | HTP_DATA;
	d->bytes[1] = group;
	d->bytes[6] = d->pn >> 8;
	d->bytes[7] = d->pn;
	*w = (struct htp_writer){ .p = d->bytes + CTL_AT, .end = d->bytes + sizeof(d->bytes) };
}

static void end(struct datagram *d, const struct htp_writer *w, size_t payload)
{
	d->ctl_len = w->p - d->bytes - CTL_AT;
	d->bytes[2] = d->ctl_len >> 8;
	d->bytes[3] = d->ctl_len;
	d->len = CTL_AT + d->ctl_len + payload;
}

static int feed(FIXTURE_DATA(receiver) *self, const struct datagram *d)
{
	return htp_assoc_rx(self->a, d->bytes, d->len, self->sim.now);
}

static void sum_add(struct sum *sum, const struct datagram *d)
{
	size_t len = d->len - HTP_HDR_LEN, i;
	__u32 hash = 0x811c9dc5;

	for (i = 0; i < len; i++) {
		sum->bytes[i] ^= d->bytes[CTL_AT + i];
		hash = (hash ^ d->bytes[CTL_AT + i]) * 0x01000193;
	}
	sum->hash ^= hash;
	sum->len ^= len;
	sum->ctl_len ^= d->ctl_len;
	sum->most = len > sum->most ? len : sum->most;
	sum->nr++;
}

/* The stream's next bytes; their number differs from one to the next */
static void make_member(FIXTURE_DATA(receiver) *self, struct datagram *d)
{
	size_t len = 60 + self->pn * 53 % 400, i;
	struct htp_writer w;

	begin(self, d, self->sum.id, &w);
	if (d->pn & 1)
		htp_write_be(&w, HTP_F_PING, 1);
	htp_write_be(&w, HTP_F_STREAM, 1);
	htp_write_varint(&w, STREAM);
	htp_write_varint(&w, self->offset);
	htp_write_varint(&w, len);
	for (i = 0; i < len; i++)
		w.p[i] = pattern(self->offset++);
	end(d, &w, len);
	sum_add(&self->sum, d);
}

static void make_parity(FIXTURE_DATA(receiver) *self, struct datagram *d, const struct sum *sum)
{
	struct htp_writer w;

	begin(self, d, 0, &w);
	htp_write_be(&w, HTP_F_REPAIR, 1);
	htp_write_be(&w, sum->id, 1);
	htp_write_be(&w, sum->nr, 1);
	htp_write_be(&w, sum->ctl_len, 2);
	htp_write_be(&w, sum->len, 2);
	htp_write_be(&w, sum->hash, 4);
	htp_write_be(&w, sum->most, 2);
	memcpy(w.p, sum->bytes, sum->most);
	end(d, &w, sum->most);
}

static void make_group(FIXTURE_DATA(receiver) *self, __u8 id)
{
	int i;

	memset(&self->sum, 0, sizeof(self->sum));
	self->sum.id = id;
	for (i = 0; i < MEMBERS; i++)
		make_member(self, &self->member[i]);
	make_parity(self, &self->parity, &self->sum);
}

static __u64 repaired(FIXTURE_DATA(receiver) *self)
{
	struct htp_stats stats;

	htp_assoc_stats(self->a, &stats);
	return stats.rx_repaired;
}

/* Bytes of the stream that could be read so far; a wrong one counts as an error */
static __u64 delivered(FIXTURE_DATA(receiver) *self)
{
	__u8 buf[2000];
	ssize_t nr, i;

	while ((nr = htp_stream_read(self->s, buf, sizeof(buf))) > 0)
		for (i = 0; i < nr; i++)
			if (buf[i] != pattern(self->read++))
				self->sim.errors++;
	return self->read;
}

FIXTURE_SETUP(receiver)
{
	struct htp_writer w;
	unsigned int events;

	sim_init(&self->sim, seed());
	ASSERT_EQ(0, sim_start(&self->sim));
	self->a = self->sim.assoc[SIM_B];
	begin(self, &self->parity, 0, &w);
	htp_write_be(&w, HTP_F_OPEN, 1);
	htp_write_varint(&w, STREAM);
	htp_write_varint(&w, 0);
	end(&self->parity, &w, 0);
	ASSERT_EQ(0, feed(self, &self->parity));
	self->s = htp_assoc_event(self->a, &events);
	ASSERT_NE(NULL, self->s);
	ASSERT_EQ(0, htp_stream_accept(self->s, NULL));
}

FIXTURE_TEARDOWN(receiver)
{
	EXPECT_EQ(0, self->sim.errors);
	EXPECT_EQ(0, sim_exit(&self->sim));
}

/* Whichever is lost, whatever comes when: permutations of the others and the parity */
TEST_F(receiver, one_lost)
{
	static const int orders[][MEMBERS] = {
		{ 0, 1, 2, 3 }, { 3, 0, 1, 2 }, { 0, 3, 2, 1 }, { 2, 1, 0, 3 }, { 1, 2, 3, 0 },
	};
	__u64 nr = 0;
	int lost, i;
	size_t o;

	for (lost = 0; lost < MEMBERS; lost++) {
		for (o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
			make_group(self, 1 + nr);
			for (i = 0; i < MEMBERS; i++) {
				const int *order = orders[o];
				int which = (lost + 1 + order[i]) % MEMBERS;

				EXPECT_EQ(nr, repaired(self));
				EXPECT_EQ(0, feed(self, which == lost ? &self->parity :
						  &self->member[which]));
			}
			EXPECT_EQ(++nr, repaired(self));
			EXPECT_EQ(self->offset, delivered(self));
		}
	}
}

/* Its loss remains one for the sender: controller and retransmission shall know */
TEST_F(receiver, rebuilt_is_not_acknowledged)
{
	make_group(self, GROUP);
	feed(self, &self->member[0]);
	feed(self, &self->member[2]);
	feed(self, &self->member[3]);
	feed(self, &self->parity);
	ASSERT_EQ(1, repaired(self));
	EXPECT_TRUE(htp_acks_has(&self->a->acks, self->member[0].pn));
	EXPECT_FALSE(htp_acks_has(&self->a->acks, self->member[1].pn));
	EXPECT_TRUE(htp_acks_has(&self->a->acks, self->member[3].pn));
	EXPECT_TRUE(htp_acks_has(&self->a->acks, self->parity.pn));

	/* it was only late: now it counts */
	EXPECT_EQ(0, feed(self, &self->member[1]));
	EXPECT_TRUE(htp_acks_has(&self->a->acks, self->member[1].pn));
	EXPECT_EQ(1, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

TEST_F(receiver, none_lost)
{
	int i;

	make_group(self, GROUP);
	for (i = 0; i < MEMBERS; i++)
		feed(self, &self->member[i]);
	feed(self, &self->parity);
	EXPECT_EQ(0, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

TEST_F(receiver, two_lost)
{
	make_group(self, GROUP);
	feed(self, &self->member[0]);
	feed(self, &self->parity);
	feed(self, &self->member[2]);
	EXPECT_EQ(0, repaired(self));
	EXPECT_LT(delivered(self), self->offset);
	feed(self, &self->member[3]);	/* one of them was late */
	EXPECT_EQ(1, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

/* A group of one: the parity repeats it */
TEST_F(receiver, alone)
{
	memset(&self->sum, 0, sizeof(self->sum));
	self->sum.id = GROUP;
	make_member(self, &self->member[0]);
	make_parity(self, &self->parity, &self->sum);
	feed(self, &self->parity);
	EXPECT_EQ(1, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

TEST_F(receiver, duplicates)
{
	struct datagram again;

	make_group(self, GROUP);
	make_parity(self, &again, &self->sum);
	feed(self, &self->member[0]);
	feed(self, &self->member[0]);
	feed(self, &self->parity);
	feed(self, &self->parity);
	feed(self, &again);		/* the same with another packet number */
	feed(self, &self->member[2]);
	feed(self, &self->member[2]);
	EXPECT_EQ(0, repaired(self));
	feed(self, &self->member[3]);
	EXPECT_EQ(1, repaired(self));
	make_parity(self, &again, &self->sum);
	feed(self, &again);
	feed(self, &self->member[3]);
	EXPECT_EQ(1, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

static size_t payload_of(const struct datagram *d)
{
	return d->len - HTP_HDR_LEN - d->ctl_len;
}

/* Group with member 1 lost, and a byte of @damaged changed; negative: of the parity */
static void feed_damaged(FIXTURE_DATA(receiver) *self, int damaged, size_t at, __u8 bits)
{
	struct datagram *d = damaged < 0 ? &self->parity : &self->member[damaged];

	make_group(self, 1 + self->pn % 255);
	d->bytes[at] ^= bits;
	feed(self, &self->member[0]);
	feed(self, &self->member[2]);
	feed(self, &self->member[3]);
	feed(self, &self->parity);
}

/* Its length, those it tells, the hash, the bytes: no bit of them may be wrong */
TEST_F(receiver, damaged_parity)
{
	size_t at;
	int bit;

	for (at = CTL_AT + 2; at < PARITY_AT + 60; at++) {
		for (bit = 0; bit < 8; bit++) {
			__u64 before = self->offset;

			feed_damaged(self, -1, at, 1 << bit);
			EXPECT_EQ(0, repaired(self)) {
				TH_LOG("bit %d of byte %zu", bit, at);
			}
			EXPECT_EQ(before + payload_of(&self->member[0]), delivered(self));
			EXPECT_EQ(0, feed(self, &self->member[1]));	/* sent again */
			EXPECT_EQ(self->offset, delivered(self));
		}
	}
}

/* The checksum did not cover the payload: what differs is delivered, but not multiplied */
TEST_F(receiver, damaged_member)
{
	int i;

	for (i = 0; i < 8; i++) {
		__u64 before = self->offset;

		feed_damaged(self, 3, CTL_AT + 30 + i, 1 << i);
		EXPECT_EQ(0, repaired(self));
		EXPECT_EQ(before + payload_of(&self->member[0]), delivered(self));
		EXPECT_EQ(0, feed(self, &self->member[1]));	/* sent again */
		EXPECT_EQ(self->offset, delivered(self));
		EXPECT_EQ(1, self->sim.errors);			/* the one of member 3 */
		self->sim.errors = 0;
	}
}

/* Its slot belongs to a newer group, which must not suffer */
TEST_F(receiver, late_parity)
{
	struct datagram late, member;

	make_group(self, GROUP);
	late = self->parity;
	member = self->member[3];
	feed(self, &self->member[0]);
	feed(self, &self->member[1]);
	feed(self, &self->member[2]);

	make_group(self, GROUP + HTP_REPAIR_SLOTS);
	feed(self, &self->member[0]);
	feed(self, &self->member[1]);
	feed(self, &late);
	EXPECT_EQ(0, repaired(self));
	feed(self, &member);		/* a late member is one, no more */
	feed(self, &self->member[2]);
	feed(self, &self->parity);
	EXPECT_EQ(1, repaired(self));
	EXPECT_EQ(self->offset, delivered(self));
}

/* After 255 comes 1; 0 is no group */
TEST_F(receiver, ids_wrap)
{
	int nr, i;

	for (nr = 0; nr < 600; nr++) {
		make_group(self, 1 + nr % 255);
		for (i = 0; i < MEMBERS; i++)
			if (i != nr % MEMBERS)
				feed(self, &self->member[i]);
		feed(self, &self->parity);
		EXPECT_EQ(nr + 1, repaired(self));
		EXPECT_EQ(self->offset, delivered(self));
	}
}

static size_t memory(FIXTURE_DATA(receiver) *self)
{
	return self->sim.mem[SIM_B].bytes;
}

/* Frames that can't be read are refused as a whole */
TEST_F(receiver, malformed)
{
	size_t before = memory(self);
	struct sum sum = { .id = GROUP, .nr = 2, .len = 100, .most = 100 };
	struct datagram *d = &self->parity;

	make_parity(self, d, &sum);
	d->len--;			/* it tells of more than there is */
	EXPECT_EQ(-EBADMSG, feed(self, d));
	d->len += 2;			/* of less */
	EXPECT_EQ(-EBADMSG, feed(self, d));
	d->bytes[PARITY_AT - 2] = 0xff;
	EXPECT_EQ(-EBADMSG, feed(self, d));
	sum.id = 0;
	make_parity(self, d, &sum);
	EXPECT_EQ(-EBADMSG, feed(self, d));
	d->bytes[3]--;			/* the frame ends beyond the control part */
	EXPECT_EQ(-EBADMSG, feed(self, d));

	sum.id = GROUP;
	make_parity(self, d, &sum);
	d->bytes[PARITY_AT - 2] = (HTP_MAX_DATAGRAM + 1) >> 8;
	d->bytes[PARITY_AT - 1] = (HTP_MAX_DATAGRAM + 1) & 0xff;
	d->len = PARITY_AT + HTP_MAX_DATAGRAM + 1;
	EXPECT_EQ(-EBADMSG, feed(self, d));
	EXPECT_EQ(before, memory(self));
	EXPECT_EQ(0, repaired(self));
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
}

/* Those that can be read, but lie: no more memory than for the slots, nothing rebuilt */
TEST_F(receiver, hostile)
{
	const size_t least = memory(self) + HTP_REPAIR_SLOTS * HTP_MAX_DATAGRAM;
	const size_t most = least + HTP_MAX_DATAGRAM / 2;	/* the allocator's own */
	struct sum sum = { 0 };
	int i, j;

	for (i = 0; i < 20000; i++) {
		__u64 random = sim_random(&self->sim);

		sum.id = 1 + random % 255;
		sum.nr = random >> 8;
		sum.len = random & 1 << 16 ? 0xffff : random >> 17 & 0x3ff;
		sum.ctl_len = random & 1 << 27 ? 0xffff : random >> 28 & 0x3f;
		sum.most = random >> 34 & 0x3ff;
		sum.hash = random >> 32;
		for (j = 0; j < 64; j++)
			sum.bytes[j] = sim_random(&self->sim);
		make_parity(self, &self->parity, &sum);
		self->parity.bytes[1] = random >> 48;	/* and it is in a group itself */
		EXPECT_EQ(0, feed(self, &self->parity));
		EXPECT_GE(most, memory(self));
	}
	EXPECT_LE(least, memory(self));		/* the slots are in use indeed */
	EXPECT_EQ(0, repaired(self));
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
}

/* Parity of a single datagram with these frames */
static void feed_inner(FIXTURE_DATA(receiver) *self, __u8 id, const __u8 *ctl, size_t len)
{
	struct htp_writer w;
	struct datagram d;

	memset(&self->sum, 0, sizeof(self->sum));
	self->sum.id = id;
	begin(self, &d, id, &w);
	htp_write_bytes(&w, ctl, len);
	end(&d, &w, 0);
	sum_add(&self->sum, &d);
	make_parity(self, &self->parity, &self->sum);
	feed(self, &self->parity);
}

/* What is rebuilt is read like all that comes; there is no parity of parity */
TEST_F(receiver, rebuilt_is_checked)
{
	const __u8 parity[HTP_REPAIR_HDR_LEN] = { HTP_F_REPAIR, 1, 1 };
	const __u8 unknown[] = { 0x3f }, ping[] = { HTP_F_PING };
	const __u8 long_stream[] = { HTP_F_STREAM, STREAM, 0, 1 };
	const __u8 loose[] = { HTP_F_STREAM_LOOSE, STREAM, 0, 0 };
	const __u8 close[] = { HTP_F_CLOSE, HTP_CODE_SHUTDOWN };

	htp_stream_loosen(self->s);
	feed_inner(self, 1, parity, sizeof(parity));
	feed_inner(self, 2, unknown, sizeof(unknown));
	feed_inner(self, 3, long_stream, sizeof(long_stream));
	feed_inner(self, 4, NULL, 0);
	feed_inner(self, 5, loose, sizeof(loose));
	EXPECT_EQ(0, repaired(self));
	EXPECT_FALSE(htp_assoc_is_closed(self->a));
	feed_inner(self, 6, ping, sizeof(ping));
	EXPECT_EQ(1, repaired(self));

	/* the bytes lie in memory that the end of the association returns */
	feed_inner(self, 7, close, sizeof(close));
	EXPECT_TRUE(htp_assoc_is_closed(self->a));
	EXPECT_EQ(HTP_CODE_SHUTDOWN, htp_assoc_code(self->a));
}

/* Nothing depends on parity, so nobody hears of it */
TEST_F(receiver, no_memory)
{
	struct sim_mem *mem = &self->sim.mem[SIM_B];
	const __u8 ping[] = { HTP_F_PING };

	mem->fail_from = mem->nr + 1;
	feed_inner(self, GROUP, ping, sizeof(ping));
	EXPECT_EQ(mem->fail_from, mem->nr);
	EXPECT_EQ(0, repaired(self));
	EXPECT_TRUE(htp_acks_has(&self->a->acks, self->parity.pn));
	mem->fail_from = 0;
	feed_inner(self, GROUP, ping, sizeof(ping));
	EXPECT_EQ(1, repaired(self));
}

/* A path that lost packets and has no queue: all that parity asks for */
FIXTURE(sender)
{
	struct sim		sim;
	struct htp_assoc	*a;
};

FIXTURE_SETUP(sender)
{
	sim_init(&self->sim, seed());
	ASSERT_EQ(0, sim_start(&self->sim));
	self->a = self->sim.assoc[SIM_A];
	self->a->rc.first_rtt_ns = self->sim.now;
	self->a->rc.latest_rtt = 20 * SIM_MSEC;
	self->a->rc.min_rtt = 20 * SIM_MSEC;
	htp_repair_observe(self->a, 1000, 5);
}

FIXTURE_TEARDOWN(sender)
{
	EXPECT_EQ(0, self->sim.errors);
	EXPECT_EQ(0, sim_exit(&self->sim));
}

TEST_F(sender, loss)
{
	EXPECT_NE(0, htp_repair_group(self->a));
	htp_repair_observe(self->a, 0, 0);
	EXPECT_NE(0, htp_repair_group(self->a));
	while (self->a->repair.share > 100)	/* no more losses for a long time */
		htp_repair_observe(self->a, 1000, 0);
	EXPECT_EQ(0, htp_repair_group(self->a));
}

TEST_F(sender, queue)
{
	self->a->rc.latest_rtt = 40 * SIM_MSEC;
	EXPECT_EQ(0, htp_repair_group(self->a));
	self->a->rc.latest_rtt = 21 * SIM_MSEC;
	EXPECT_NE(0, htp_repair_group(self->a));
	self->a->rc.first_rtt_ns = HTP_NEVER;	/* nothing is known */
	EXPECT_EQ(0, htp_repair_group(self->a));
}

/* Only the first window after a pause */
TEST_F(sender, busy)
{
	__u8 pkt[1200] = { 0 };
	int nr = 0;

	while (htp_repair_group(self->a) && nr < 1000) {
		htp_repair_on_sent(self->a, 0, pkt, sizeof(pkt), 10);
		nr++;
	}
	EXPECT_EQ(htp_assoc_cwnd(self->a) / sizeof(pkt) + 1, nr);
	htp_repair_on_pause(self->a);
	EXPECT_NE(0, htp_repair_group(self->a));
}

/* One packet after the other, each of which would make a group: what that may cost */
TEST_F(sender, cost)
{
	__u8 pkt[200] = { 0 };
	int i, nr = 0;

	for (i = 0; i < 4000; i++) {
		htp_repair_on_pause(self->a);
		htp_repair_on_sent(self->a, htp_repair_group(self->a), pkt, sizeof(pkt), 10);
		EXPECT_EQ(self->a->repair.tx.nr == 16, htp_repair_is_due(self->a, true));
		self->a->now += 3 * SIM_MSEC;
		if (!htp_repair_is_due(self->a, false))
			continue;
		htp_repair_end(self->a);
		nr++;
	}
	EXPECT_LT(4000 / 8 - 2, nr);
	EXPECT_GE(4000 / 8 + 64 / 8, nr);
}

TEST_F(sender, ids_skip_none_but_zero)
{
	__u8 pkt[200] = { 0 };
	int i;

	for (i = 0; i < 600; i++) {
		__u8 id = htp_repair_group(self->a);

		EXPECT_EQ(1 + i % 255, id);
		htp_repair_on_sent(self->a, id, pkt, sizeof(pkt), 10);
		EXPECT_EQ(id, htp_repair_group(self->a));	/* until it ends */
		htp_repair_end(self->a);
		htp_repair_on_pause(self->a);
	}
}

TEST_F(sender, no_memory)
{
	struct sim_mem *mem = &self->sim.mem[SIM_A];

	mem->fail_at = mem->nr + 1;
	EXPECT_EQ(0, htp_repair_group(self->a));
	EXPECT_EQ(mem->fail_at, mem->nr);
	EXPECT_NE(0, htp_repair_group(self->a));
}

/* Short answers with pauses between them */
static struct htp_stats run_answers(struct __test_metadata *_metadata, struct sim *sim,
				    __u64 *rebuilt)
{
	struct htp_stats sent, received;
	int i;

	sim->audit = true;
	EXPECT_EQ(0, sim_start(sim));
	for (i = 0; i < 200; i++) {
		sim_open(sim, SIM_A, 100, 5000);
		EXPECT_EQ(0, sim_run(sim, 60 * SIM_SEC));
		sim_run_for(sim, 100 * SIM_MSEC);
	}
	htp_assoc_stats(sim->assoc[SIM_B], &sent);
	htp_assoc_stats(sim->assoc[SIM_A], &received);
	*rebuilt = received.rx_repaired;
	EXPECT_EQ(0, sim->errors);
	EXPECT_EQ(0, sim_exit(sim));
	return sent;
}

TEST(answers_without_loss)
{
	struct htp_stats sent;
	struct sim sim;
	__u64 rebuilt;

	sim_init(&sim, seed());
	sent = run_answers(_metadata, &sim, &rebuilt);
	EXPECT_EQ(0, sent.repair_bytes);
	EXPECT_EQ(0, rebuilt);
}

TEST(answers_with_loss)
{
	struct htp_stats sent;
	struct sim sim;
	__u64 rebuilt;

	sim_init(&sim, seed());
	sim.link[SIM_B].loss = 0.03;
	sim.link[SIM_B].reorder = 0.1;
	sim.link[SIM_B].reorder_ns = 3 * SIM_MSEC;
	sim.link[SIM_B].duplicate = 0.1;
	sent = run_answers(_metadata, &sim, &rebuilt);
	EXPECT_LT(0, sent.repair_bytes);
	EXPECT_LT(5, rebuilt);
	printf("# %llu of %llu losses were rebuilt, with %llu of %llu bytes\n", rebuilt,
	       sent.lost_packets, sent.repair_bytes, sent.tx_bytes);
}

/* Allocations of either side fail now and then; every byte still arrives */
TEST(answers_with_loss_and_no_memory)
{
	struct htp_stats sent;
	struct sim sim;
	__u64 rebuilt;

	sim_init(&sim, seed());
	sim.link[SIM_B].loss = 0.03;
	sim.mem[SIM_A].fail_every = 20;
	sim.mem[SIM_B].fail_every = 20;
	sent = run_answers(_metadata, &sim, &rebuilt);
	EXPECT_LT(0, sent.repair_bytes);
}

/*
 * A path that loses, and others keep its queue half full: parity would only add to it. Each
 * answer follows a pause, so nothing but the queue speaks against parity.
 */
TEST(full_path)
{
	struct htp_stats before = { 0 }, after;
	struct sim_link *link;
	struct sim sim;
	__u64 end;
	int i;

	sim_init(&sim, seed());
	link = &sim.link[SIM_B];
	link->rate = 1250 * 1000;
	link->queue = 100 * 1000;
	link->loss = 0.05;
	ASSERT_EQ(0, sim_start(&sim));
	for (i = 0; i < 300; i++) {
		if (i == 50)
			htp_assoc_stats(sim.assoc[SIM_B], &before);
		sim_open(&sim, SIM_A, 100, 5000);
		for (end = sim.now + 300 * SIM_MSEC; sim.now < end; sim_run_for(&sim, SIM_MSEC))
			if (i >= 50)
				link->busy_ns = htp_max(link->busy_ns, sim.now + 40 * SIM_MSEC);
	}
	EXPECT_EQ(0, sim_run(&sim, 60 * SIM_SEC));
	htp_assoc_stats(sim.assoc[SIM_B], &after);
	after.repair_bytes -= before.repair_bytes;
	printf("# %llu bytes of parity, %llu packets lost\n", after.repair_bytes,
	       after.lost_packets - before.lost_packets);
	EXPECT_LT(0, before.repair_bytes);	/* there was no queue yet */
	EXPECT_LT(20, after.lost_packets - before.lost_packets);
	EXPECT_GT((after.tx_bytes - before.tx_bytes) / 100, after.repair_bytes);
	EXPECT_EQ(0, sim.errors);
	EXPECT_EQ(0, sim_exit(&sim));
}

/* No pause in it: parity for the first window, and for no other, although packets get lost */
TEST(bulk)
{
	struct htp_stats sent;
	struct sim sim;

	sim_init(&sim, seed());
	sim.link[SIM_B].rate = 12500 * 1000;
	sim.link[SIM_B].loss = 0.01;
	ASSERT_EQ(0, sim_start(&sim));
	sim_open(&sim, SIM_A, 100, 20 * 1000 * 1000);
	EXPECT_EQ(0, sim_run(&sim, 120 * SIM_SEC));
	htp_assoc_stats(sim.assoc[SIM_B], &sent);
	printf("# %llu bytes of parity, %llu packets lost\n", sent.repair_bytes,
	       sent.lost_packets);
	EXPECT_LT(100, sent.lost_packets);
	EXPECT_GT(sent.tx_bytes / 200, sent.repair_bytes);
	EXPECT_EQ(0, sim.errors);
	EXPECT_EQ(0, sim_exit(&sim));
}

TEST_HARNESS_MAIN
