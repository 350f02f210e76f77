// SPDX-License-Identifier: GPL-2.0
/*
 * Associations frozen and thawed: in the midst of transfers nothing is lost, and bytes
 * that are no association are refused, whatever they are.
 *
 * HTP_SEED=n in the environment changes what the links do.
 */
#include "htp/freeze.h"
#include "htp/stream.h"
#include "htp_test.h"

/**
 * struct bytes - what was frozen
 * @data: owned
 * @len:  bytes
 * @cap:  room
 */
struct bytes {
	__u8	*data;
	size_t	len, cap;
};

static int put(void *priv, const void *data, size_t len)
{
	struct bytes *b = priv;

	if (b->len + len > b->cap) {
		b->cap = 2 * (b->len + len);
		b->data = realloc(b->data, b->cap);
		if (!b->data)
			return -ENOMEM;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static int freeze(struct htp_assoc *a, struct bytes *b)
{
	struct htp_freezer freezer = { .put = put, .priv = b };

	b->len = 0;
	return htp_assoc_freeze(a, &freezer);
}

static struct htp_assoc *thaw(const struct htp_config *config, const __u8 *data, size_t len,
			      __u64 now, int *err)
{
	struct htp_freezer freezer = { .thaw = true, .in = { .p = data, .end = data + len } };
	struct htp_assoc *a = htp_assoc_thaw(config, &freezer, now);

	*err = freezer.err;
	return a;
}

/* Another association takes this one's place; ends of flows find their streams in it */
static int move(struct sim *sim, enum sim_side side, struct bytes *b)
{
	struct htp_assoc *old = sim->assoc[side], *new;
	struct sim_flow *flow;
	int err;

	err = freeze(old, b);
	if (err)
		return err;
	new = thaw(&old->config, b->data, b->len, sim->now, &err);
	if (!new)
		return err;
	for (flow = sim->flows; flow; flow = flow->next) {
		if (flow->side != side || !flow->stream)
			continue;
		flow->stream = htp_assoc_stream(new, flow->id);
		if (!flow->stream)
			return -ENOENT;
		htp_stream_set_owner(flow->stream, flow);
	}
	/* the path in use is number 0 now */
	sim->known[side][0] = sim->known[side][htp_assoc_path(old)];
	htp_assoc_destroy(old);
	sim->assoc[side] = new;
	return 0;
}

/* What is thawed is what was frozen: it freezes to the same bytes */
static bool is_faithful(struct htp_assoc *a, __u64 now)
{
	struct bytes b[2] = { { 0 } };
	struct htp_assoc *copy = NULL;
	bool same = false;
	int err;

	if (!freeze(a, &b[0]))
		copy = thaw(&a->config, b[0].data, b[0].len, now, &err);
	if (copy && !freeze(copy, &b[1]))
		same = b[0].len == b[1].len && !memcmp(b[0].data, b[1].data, b[0].len);
	htp_assoc_destroy(copy);
	free(b[0].data);
	free(b[1].data);
	return same;
}

static void start_flows(struct __test_metadata *_metadata, struct sim *sim)
{
	struct sim_flow *flow;
	int i;

	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 12; i++) {
		flow = sim_open(sim, i % 2, i * 60 * KB, (12 - i) * 50 * KB);
		ASSERT_NE(NULL, flow);
		if (i % 3 == 0)
			htp_stream_loosen(flow->stream);
	}
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 0, 0));
}

TEST(moves_in_the_midst)
{
	const struct sim_link link = {
		.rate = 5 * MB, .delay_ns = 10 * SIM_MSEC, .queue = 200 * KB,
		.loss = 0.02, .reorder = 0.02, .reorder_ns = 5 * SIM_MSEC, .duplicate = 0.01,
	};
	struct bytes b = { 0 };
	__u64 run;

	for (run = 0; run < 20; run++) {
		struct sim sim;
		int i;

		sim_init(&sim, seed() + run);
		set_links(&sim, &link);
		start_flows(_metadata, &sim);
		for (i = 0; i < 12; i++) {
			sim_run_for(&sim, sim_random(&sim) % (60 * SIM_MSEC));
			ASSERT_EQ(0, move(&sim, sim_random(&sim) & 1, &b));
		}
		ASSERT_EQ(0, sim_run(&sim, 60 * SIM_SEC));
		EXPECT_TRUE(is_complete(&sim));
		sim_run_for(&sim, 5 * SIM_SEC);
		EXPECT_TRUE(is_settled(&sim));
		finish(_metadata, &sim);
	}
	free(b.data);
}

TEST(copies_are_the_same)
{
	const struct sim_link link = {
		.rate = 5 * MB, .delay_ns = 10 * SIM_MSEC, .queue = 200 * KB, .mark = 50 * KB,
		.loss = 0.03, .reorder = 0.02, .reorder_ns = 5 * SIM_MSEC, .duplicate = 0.01,
	};
	struct sim sim;
	__u64 run;
	int i;

	for (run = 0; run < 10; run++) {
		sim_init(&sim, seed() + run);
		set_links(&sim, &link);
		sim.config[SIM_A].ecn = true;
		sim.config[SIM_B].ecn = true;
		start_flows(_metadata, &sim);
		for (i = 0; i < 30; i++) {
			sim_run_for(&sim, sim_random(&sim) % (40 * SIM_MSEC));
			sim.paused[SIM_A] = sim_random(&sim) & 1;
			ASSERT_TRUE(is_faithful(sim.assoc[SIM_A], sim.now));
			ASSERT_TRUE(is_faithful(sim.assoc[SIM_B], sim.now));
		}
		sim_exit(&sim);
	}
}

/* What one side may be sent at most, by its windows */
static bool charge(void *priv, __s64 bytes, bool always)
{
	(void)always;
	*(__s64 *)priv += bytes;
	return true;
}

static void *charged_alloc(void *priv, size_t size)
{
	(void)priv;
	return malloc(size);
}

static void charged_free(void *priv, void *ptr)
{
	(void)priv;
	free(ptr);
}

static void set_budget(struct htp_config *config, __s64 *charged)
{
	config->alloc = charged_alloc;
	config->free = charged_free;
	config->charge = charge;
	config->priv = charged;
	config->random = NULL;
	config->stream_window = 64 * KB;
	config->window = 256 * KB;
	config->max_stream_window = 8 * MB;
	config->max_window = 32 * MB;
	config->max_stream_buffer = 8 * MB;
}

static bool is_charged(const struct sim *sim, enum sim_side side, __s64 charged)
{
	const struct htp_assoc *a = sim->assoc[side];

	return charged == (__s64)(a->rx_limit - a->rx_consumed);
}

/* Windows have grown by then; the new process charges them, and new streams begin with more */
TEST(windows_stay_as_large)
{
	const struct sim_link link = { .rate = 12500 * KB, .delay_ns = 40 * SIM_MSEC };
	struct htp_stats before, after;
	struct sim_flow *flow, *other;
	__s64 charged[2] = { 0 };
	struct bytes b = { 0 };
	struct sim sim;
	__u64 window;

	sim_init(&sim, seed());
	set_links(&sim, &link);
	set_budget(&sim.config[SIM_A], &charged[SIM_A]);
	set_budget(&sim.config[SIM_B], &charged[SIM_B]);
	ASSERT_EQ(0, sim_start(&sim));
	flow = sim_open(&sim, SIM_A, 40 * MB, 0);
	ASSERT_NE(NULL, flow);
	sim_run_for(&sim, 2 * SIM_SEC);
	other = sim_peer(&sim, flow);
	ASSERT_NE(NULL, other);
	window = htp_stream_window(other->stream);
	ASSERT_LT(1 * MB, window);
	EXPECT_TRUE(is_charged(&sim, SIM_B, charged[SIM_B]));
	before = stats_of(&sim, SIM_B);
	ASSERT_EQ(0, move(&sim, SIM_B, &b));
	ASSERT_EQ(0, move(&sim, SIM_A, &b));
	after = stats_of(&sim, SIM_B);
	EXPECT_EQ(window, htp_stream_window(other->stream));
	EXPECT_EQ(before.window_bytes, after.window_bytes);
	EXPECT_EQ(before.stream_window_bytes, after.stream_window_bytes);
	EXPECT_TRUE(is_charged(&sim, SIM_A, charged[SIM_A]));
	EXPECT_TRUE(is_charged(&sim, SIM_B, charged[SIM_B]));
	ASSERT_EQ(0, sim_run(&sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(&sim));
	sim_run_for(&sim, 5 * SIM_SEC);
	EXPECT_TRUE(is_settled(&sim));
	sim_exit(&sim);
	EXPECT_EQ(0, charged[SIM_A]);
	EXPECT_EQ(0, charged[SIM_B]);
	free(b.data);
}

/* The peer's counts go on, and ours; marks are tried anew, and found to arrive */
TEST_F(sim, ecn_goes_on)
{
	struct sim *sim = &self->sim;
	struct bytes b = { 0 };
	int i;

	set_links(sim, &(struct sim_link){
		.rate = 5 * MB, .delay_ns = 10 * SIM_MSEC, .queue = 200 * KB, .mark = 30 * KB });
	sim->config[SIM_A].ecn = true;
	sim->config[SIM_B].ecn = true;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 6 * MB, 6 * MB));
	for (i = 0; i < 6; i++) {
		sim_run_for(sim, 150 * SIM_MSEC);
		EXPECT_EQ(HTP_ECN_CAPABLE, stats_of(sim, i & 1).ecn_state);
		ASSERT_EQ(0, move(sim, i & 1, &b));
		EXPECT_EQ(HTP_ECN_TESTING, stats_of(sim, i & 1).ecn_state);
	}
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	for (i = SIM_A; i <= SIM_B; i++) {
		EXPECT_EQ(HTP_ECN_CAPABLE, stats_of(sim, i).ecn_state);
		EXPECT_EQ(0, stats_of(sim, i).ecn_failures);
		EXPECT_LT(0, stats_of(sim, i).ecn_ce_told);
	}
	free(b.data);
}

/* The peer is somewhere else since; there it is found by the new process, too */
TEST_F(sim, moves_after_the_peer_did)
{
	struct sim *sim = &self->sim;
	struct bytes b = { 0 };

	set_links(sim, &(struct sim_link){ .rate = 5 * MB, .delay_ns = 10 * SIM_MSEC });
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 6 * MB, 6 * MB));
	sim_run_for(sim, 100 * SIM_MSEC);
	sim_move(sim, SIM_A, 1);
	sim_run_for(sim, 500 * SIM_MSEC);
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	ASSERT_EQ(0, move(sim, SIM_B, &b));
	EXPECT_EQ(0, htp_assoc_path(sim->assoc[SIM_B]));
	sim_run_for(sim, 100 * SIM_MSEC);
	ASSERT_EQ(0, move(sim, SIM_A, &b));
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	EXPECT_EQ(1, stats_of(sim, SIM_B).path_changes);
	free(b.data);
}

/* Neither the time that the peer has been silent, nor the size that arrived begins anew */
TEST_F(sim, what_is_known_of_the_peer)
{
	struct sim *sim = &self->sim;
	struct bytes b = { 0 };
	__u64 mtu;

	sim->config[SIM_A].probe_max = 4000;
	sim->config[SIM_B].probe_max = 4000;
	sim->config[SIM_A].dead_ns = 10 * SIM_SEC;
	sim->config[SIM_A].keepalive_ns = 2 * SIM_SEC;
	ASSERT_EQ(0, sim_start(sim));
	ASSERT_NE(NULL, sim_open(sim, SIM_A, 2 * MB, 20 * MB));
	sim_run_for(sim, 1 * SIM_SEC);
	mtu = stats_of(sim, SIM_A).path_mtu;
	EXPECT_EQ(4000, mtu);
	ASSERT_EQ(0, move(sim, SIM_A, &b));
	EXPECT_EQ(mtu, stats_of(sim, SIM_A).path_mtu);
	sim->link[SIM_A].dead = true;
	sim->link[SIM_B].dead = true;
	sim_run_for(sim, 5 * SIM_SEC);
	ASSERT_EQ(0, move(sim, SIM_A, &b));
	EXPECT_FALSE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	sim_run_for(sim, 6 * SIM_SEC);
	EXPECT_TRUE(htp_assoc_is_closed(sim->assoc[SIM_A]));
	EXPECT_EQ(HTP_CODE_TIMEOUT, htp_assoc_code(sim->assoc[SIM_A]));
	free(b.data);
}

/* Nobody reads, so all windows are full; then somebody else does */
TEST_F(sim, moves_while_nobody_reads)
{
	struct sim *sim = &self->sim;
	struct sim_flow *flow;
	struct bytes b = { 0 };
	int i;

	ASSERT_EQ(0, sim_start(sim));
	sim->paused[SIM_B] = true;
	for (i = 0; i < 3; i++)
		ASSERT_NE(NULL, sim_open(sim, SIM_A, 30 * MB, 10));
	sim_run_for(sim, 3 * SIM_SEC);
	ASSERT_EQ(0, move(sim, SIM_A, &b));
	ASSERT_EQ(0, move(sim, SIM_B, &b));
	sim_run_for(sim, 1 * SIM_SEC);
	ASSERT_EQ(0, move(sim, SIM_B, &b));
	sim->paused[SIM_B] = false;
	for (flow = sim->flows; flow; flow = flow->next)
		if (flow->side == SIM_B)
			sim_read(sim, flow);
	ASSERT_EQ(0, sim_run(sim, 60 * SIM_SEC));
	EXPECT_TRUE(is_complete(sim));
	free(b.data);
}

/* It is used as one that came from nowhere would be */
static void use(struct htp_assoc *a, __u64 now)
{
	__u8 pkt[HTP_MAX_DATAGRAM], buf[300];
	struct htp_stream *s;
	unsigned int events;
	int i;

	for (i = 0; i < 40 && htp_assoc_tx(a, pkt, sizeof(pkt), now) > 0; i++)
		;
	while ((s = htp_assoc_event(a, &events)))
		htp_stream_read(s, buf, sizeof(buf));
	htp_assoc_expire(a, now + 100 * SIM_MSEC);
	htp_assoc_tx(a, pkt, sizeof(pkt), now + 100 * SIM_MSEC);
}

/* Few bytes in many structures, so that most of what is changed matters */
static void make_sample(struct __test_metadata *_metadata, struct sim *sim, struct bytes *b)
{
	int i;

	sim_init(sim, seed());
	set_links(sim, &(struct sim_link){ .delay_ns = 10 * SIM_MSEC, .loss = 0.2 });
	ASSERT_EQ(0, sim_start(sim));
	for (i = 0; i < 6; i++)
		ASSERT_NE(NULL, sim_open(sim, i % 2, 4000, 3000));
	sim_run_for(sim, 45 * SIM_MSEC);
	ASSERT_EQ(0, freeze(sim->assoc[SIM_B], b));
}

TEST(what_is_cut_off_is_refused)
{
	struct bytes b = { 0 };
	struct sim sim;
	size_t len;
	int err;

	make_sample(_metadata, &sim, &b);
	for (len = 0; len < b.len; len++) {
		ASSERT_EQ(NULL, thaw(&sim.assoc[SIM_B]->config, b.data, len, sim.now, &err));
		ASSERT_EQ(-EBADMSG, err);
	}
	EXPECT_LT(1000, b.len);
	sim_exit(&sim);
	free(b.data);
}

TEST(what_is_damaged_does_no_harm)
{
	unsigned int refused = 0;
	struct bytes b = { 0 };
	struct htp_assoc *a;
	struct sim sim;
	int i, j, err;
	__u8 *copy;

	make_sample(_metadata, &sim, &b);
	copy = malloc(b.len);
	ASSERT_NE(NULL, copy);
	for (i = 0; i < 20000; i++) {
		memcpy(copy, b.data, b.len);
		for (j = sim_random(&sim) % 3; j >= 0; j--)
			copy[sim_random(&sim) % b.len] = i & 1 ? sim_random(&sim) :
							 sim_random(&sim) & 2 ? 0 : 0xff;
		a = thaw(&sim.assoc[SIM_B]->config, copy, b.len, sim.now, &err);
		refused += !a;
		if (a) {
			ASSERT_TRUE(is_faithful(a, sim.now));
			use(a, sim.now);
		}
		htp_assoc_destroy(a);
	}
	EXPECT_LT(500, refused);
	EXPECT_EQ(0, sim_exit(&sim));
	free(copy);
	free(b.data);
}

TEST(memory_runs_out)
{
	struct bytes b = { 0 };
	struct htp_assoc *a;
	struct sim sim;
	__u64 before;
	int n, err;

	make_sample(_metadata, &sim, &b);
	for (n = 1; n < 1000; n++) {
		before = sim.mem[SIM_B].live;
		sim.mem[SIM_B].fail_at = sim.mem[SIM_B].nr + n;
		a = thaw(&sim.assoc[SIM_B]->config, b.data, b.len, sim.now, &err);
		if (a)
			break;
		ASSERT_EQ(-ENOMEM, err);
		ASSERT_EQ(before, sim.mem[SIM_B].live);
	}
	EXPECT_LT(5, n);
	ASSERT_NE(NULL, a);
	htp_assoc_destroy(a);
	sim.mem[SIM_B].fail_at = 0;
	EXPECT_EQ(0, sim_exit(&sim));
	free(b.data);
}

TEST_HARNESS_MAIN
