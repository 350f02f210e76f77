// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's life: set up, loop, drain, take down.
 *
 * Each loop pass: events in, timers, streams' news, flows' bytes, datagrams out,
 * then what ended is freed. Nothing is freed earlier in a pass, so no handler
 * needs to fear that its flow or peer is gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "private.h"

#define MARK_APP	0x484b0000	/* plus the carrier port: daemons don't meet */
#define MARK_RELAY	0x484c0000
#define RULE_PRIORITY	1850		/* before main, behind local */

#define HEARTBEAT_NS	(50 * NSEC_PER_MSEC)
#define STALE_NS	(500 * NSEC_PER_MSEC)
#define HOLD_MAX_NS	(5 * NSEC_PER_SEC)
#define DRAIN_NS	(3 * NSEC_PER_SEC)
#define PATIENT_NS	(86400 * NSEC_PER_SEC)
#define MAX_EVENTS	256

/**
 * hk_now_ns - the daemon's clock, which is also bpf_ktime_get_ns()
 *
 * Return: CLOCK_MONOTONIC.
 */
__u64 hk_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/**
 * hk_relay_poll - change what the loop waits for
 * @r:	    relay
 * @op:	    EPOLL_CTL_*
 * @fd:	    descriptor
 * @events: EPOLL*
 * @data:   hk_source_pack()
 *
 * Return: 0 or a negative errno.
 */
int hk_relay_poll(struct hk_relay *r, int op, int fd, __u32 events, __u64 data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return epoll_ctl(r->epoll_fd, op, fd, &ev) ? -errno : 0;
}

static int open_signals(struct hk_relay *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	r->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (r->signal_fd < 0)
		return -errno;
	return hk_relay_poll(r, EPOLL_CTL_ADD, r->signal_fd, EPOLLIN,
			     hk_source_pack(HK_SRC_SIGNAL, 0, 0));
}

static int alloc_tables(struct hk_relay *r)
{
	__u32 i;

	r->flows = calloc(HK_MAX_FLOWS, sizeof(*r->flows));
	r->free_slots = calloc(HK_MAX_FLOWS, sizeof(*r->free_slots));
	r->by_key = calloc(HK_BUCKETS, sizeof(*r->by_key));
	r->by_id = calloc(HK_BUCKETS, sizeof(*r->by_id));
	r->rx_bufs = malloc(HK_CARRIER_BATCH * HK_DATAGRAM_BUF);
	if (!r->flows || !r->free_slots || !r->by_key || !r->by_id || !r->rx_bufs)
		return -ENOMEM;
	for (i = 0; i < HK_MAX_FLOWS; i++)
		r->free_slots[i] = HK_MAX_FLOWS - 1 - i;
	r->nr_free = HK_MAX_FLOWS;
	LIST_INIT(&r->peers);
	LIST_INIT(&r->ended);
	TAILQ_INIT(&r->ready);
	TAILQ_INIT(&r->dirty);
	return hk_timers_init(&r->timers, HK_MAX_FLOWS + 2 * HK_MAX_PEERS);
}

/* A redirection socket for each flow; without that many, new ones stay plain TCP */
static void raise_limits(void)
{
	struct rlimit lim = { .rlim_cur = HK_MAX_FLOWS + 256, .rlim_max = HK_MAX_FLOWS + 256 };
	struct rlimit old;

	if (getrlimit(RLIMIT_NOFILE, &old) || old.rlim_cur >= lim.rlim_cur)
		return;
	if (old.rlim_max > lim.rlim_max)
		lim.rlim_max = old.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		hk_info("limit of open files stays at %llu", (unsigned long long)old.rlim_cur);
}

static int open_cgroup(const struct hk_relay_config *config)
{
	char path[256];
	int fd, err;

	err = config->cgroup ? 0 : hk_host_cgroup2(path, sizeof(path));
	if (err) {
		hk_err("cgroup v2 is not mounted here (ip netns exec hides it: use nsenter --net); --cgroup names a directory");
		return err;
	}
	fd = open(config->cgroup ?: path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		hk_err("%s: %s", config->cgroup ?: path, strerror(-err));
		return err;
	}
	return fd;
}

static int fill_bpf_config(struct hk_relay *r)
{
	struct hk_bpf_config *bpf = &r->dp_config.bpf;
	bool all = !r->config->nr_to && !r->config->nr_from_ports;
	unsigned int i;
	int err;

	err = hk_host_netns_cookie(&bpf->netns_cookie);
	if (err) {
		hk_err("asking for the network namespace's cookie: %s", strerror(-err));
		return err;
	}
	if (getrandom(r->instance, sizeof(r->instance), 0) != sizeof(r->instance) ||
	    getrandom(&bpf->secret, sizeof(bpf->secret), 0) != sizeof(bpf->secret) ||
	    getrandom(&r->hash_seed, sizeof(r->hash_seed), 0) != sizeof(r->hash_seed))
		return -EIO;
	memcpy(bpf->instance, r->instance, sizeof(bpf->instance));
	bpf->stale_ns = STALE_NS;
	bpf->hold_max_ns = HOLD_MAX_NS;
	bpf->app_mark = MARK_APP + r->config->port;
	bpf->relay_mark = MARK_RELAY + r->config->port;
	bpf->port = htons(r->config->port);
	bpf->all_outgoing = all;
	bpf->all_incoming = all;
	for (i = 0; i < r->nr_ports; i++)
		if (!r->ports[i].mech)
			bpf->protos |= r->ports[i].carrier.ops->proto;
	return 0;
}

static void tell_listeners(struct hk_relay *r)
{
	__u64 served, left = hk_dataplane_listeners(r->dp, &served);

	if (left)
		hk_info("%llu listeners are older than this daemon and stay plain TCP: this kernel (before 6.12) can't serve them; restart their programs",
			(unsigned long long)left);
}

static void tell_fast_lane(struct hk_relay *r)
{
	if (r->config->fast_lane == HK_FAST_LANE_AUTO && !hk_dataplane_has_fast_lane(r->dp))
		hk_info("no fast lane: with it, this kernel would answer applications' FIONREAD with 0; --fast-lane always has it nevertheless");
}

static int start_dataplane(struct hk_relay *r)
{
	struct hk_dataplane_config *dp = &r->dp_config;
	struct hk_to_key to[HK_MAX_RULES] = {};
	unsigned int i;
	int err;

	for (i = 0; i < r->config->nr_to; i++) {
		to[i].prefixlen = 16 + r->config->to[i].len;
		to[i].port = r->config->to[i].port;
		memcpy(to[i].addr, r->config->to[i].addr, sizeof(to[i].addr));
	}
	dp->to = to;
	dp->nr_to = r->config->nr_to;
	dp->from = r->config->from_ports;
	dp->nr_from = r->config->nr_from_ports;
	dp->max_flows = HK_MAX_FLOWS;
	dp->fast_lane = r->config->fast_lane;
	dp->debug = r->config->debug;
	dp->xdp = !r->config->no_xdp;
	dp->cgroup_fd = open_cgroup(r->config);
	if (dp->cgroup_fd < 0)
		return dp->cgroup_fd;
	err = hk_dataplane_create(&r->dp, dp);
	close(dp->cgroup_fd);
	dp->cgroup_fd = -1;
	if (err)
		return err;
	r->live = hk_dataplane_live(r->dp);
	return hk_relay_poll(r, EPOLL_CTL_ADD, hk_dataplane_events_fd(r->dp), EPOLLIN,
			     hk_source_pack(HK_SRC_EVENTS, 0, 0));
}

static int listen_control(struct hk_relay *r)
{
	hk_control_on_command(&r->control, hk_command, r);
	return hk_relay_poll(r, EPOLL_CTL_ADD, hk_control_poll_fd(&r->control), EPOLLIN,
			     hk_source_pack(HK_SRC_CONTROL, 0, 0));
}

static int start_control(struct hk_relay *r)
{
	int err = hk_control_open(&r->control, r->config->name);

	if (err == -EADDRINUSE)
		hk_err("a daemon named %s is running already; --takeover goes on with its connections, --name gives this one another name",
		       r->config->name);
	else if (err)
		hk_err("%s/%s.sock: %s", HK_RUN_DIR, r->config->name, strerror(-err));
	if (err)
		return err;
	r->controlled = true;
	return listen_control(r);
}

static void fill_route(struct hk_relay *r)
{
	r->route.mark = r->dp_config.bpf.app_mark;
	r->route.table = r->dp_config.bpf.app_mark;
	r->route.priority = RULE_PRIORITY;
}

static int start_steering(struct hk_relay *r)
{
	int err;

	fill_route(r);
	err = hk_route_add(&r->route);
	if (err) {
		hk_err("rule and route for mark %#x: %s%s", r->route.mark, strerror(-err),
		       err == -ENETDOWN ? "; `ip link set lo up` first" : "");
		return err;
	}
	r->routed = true;
	return 0;
}

static int start_injectors(struct hk_relay *r)
{
	int err = hk_injector_open(&r->lo, r->dp_config.bpf.relay_mark);

	if (!err)
		err = hk_injector_open(&r->wire, 0);
	if (err)
		hk_err("raw sockets: %s", strerror(-err));
	return err;
}

static int start_loop(struct hk_relay *r)
{
	int err = 0;

	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll_fd < 0)
		err = -errno;
	if (!err)
		err = alloc_tables(r);
	if (!err)
		err = open_signals(r);
	if (err)
		hk_err("starting the event loop: %s", strerror(-err));
	return err;
}

/* What another daemon has set up stays where it is */
static int start_from_other(struct hk_relay *r)
{
	int err = hk_handover_take(r);

	if (err)
		return err;
	fill_route(r);
	r->routed = true;
	hk_thaw_finish(r);
	err = hk_relay_poll(r, EPOLL_CTL_ADD, hk_dataplane_events_fd(r->dp), EPOLLIN,
			    hk_source_pack(HK_SRC_EVENTS, 0, 0));
	if (!err && r->controlled)
		err = listen_control(r);
	if (!err)
		err = hk_locals_open(r);
	hk_devices_sync(r);
	return err;
}

/*
 * The data plane comes last: from the moment it is attached, connections are
 * offered, and all else must be ready for them.
 */
static int start(struct hk_relay *r)
{
	int err;

	if (geteuid()) {
		hk_err("run needs root: it loads BPF programs and routes by mark");
		return -EPERM;
	}
	raise_limits();
	err = start_loop(r);
	if (!err && r->config->takeover)
		return start_from_other(r);
	if (!err)
		err = start_control(r);
	if (!err)
		err = hk_ports_open(r);
	if (!err)
		err = fill_bpf_config(r);
	if (!err)
		err = hk_rules_open(r);
	if (!err)
		err = start_injectors(r);
	if (!err)
		err = start_steering(r);
	if (!err)
		err = start_dataplane(r);
	if (!err)
		err = hk_devices_open(r);
	if (!err)
		err = hk_locals_open(r);
	if (!err)
		err = hk_ports_deploy(r);
	if (err)
		return err;
	/* what is worth knowing of a start that succeeded; of one that didn't, only why */
	tell_listeners(r);
	tell_fast_lane(r);
	return 0;
}

static void stop(struct hk_relay *r)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		hk_peer_fail(peer, HTP_CODE_SHUTDOWN);
	hk_flows_reap(r);
	hk_peers_reap(r);
	hk_locals_close(r);
	hk_dataplane_destroy(r->dp);
	if (r->routed)
		hk_route_del(&r->route);
	hk_injector_close(&r->lo);
	hk_injector_close(&r->wire);
	hk_ports_close(r);
	if (r->controlled)
		hk_control_close(&r->control);
	hk_timers_exit(&r->timers);
	hk_rules_close(r);
	free(r->taken_cgroup);
	free(r->rx_bufs);
	free(r->by_id);
	free(r->by_key);
	free(r->free_slots);
	free(r->flows);
	if (r->signal_fd >= 0)
		close(r->signal_fd);
	if (r->epoll_fd >= 0)
		close(r->epoll_fd);
}

/* First signal: drain. Second one: don't wait for it */
static void on_signal(struct hk_relay *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (r->drain_until_ns)
			r->drain_until_ns = r->now_ns;
		else
			r->drain_until_ns = r->now_ns +
					    (r->config->patient ? PATIENT_NS : DRAIN_NS);
	}
}

static void on_flow(struct hk_relay *r, __u32 gen, __u32 slot, __u32 events)
{
	struct hk_flow *f = &r->flows[slot];

	if (slot < HK_MAX_FLOWS && (f->gen & 0xffffff) == gen && f->redir_fd >= 0 &&
	    f->state != HK_FLOW_ENDED)
		hk_flow_on_poll(f, events);
}

static void dispatch(struct hk_relay *r, const struct epoll_event *ev)
{
	__u32 gen = ev->data.u64 >> 32 & 0xffffff;
	__u32 slot = (__u32)ev->data.u64;

	switch ((enum hk_source)(ev->data.u64 >> 56)) {
	case HK_SRC_SIGNAL:
		on_signal(r);
		break;
	case HK_SRC_EVENTS:
		hk_dataplane_read_events(r->dp, hk_takeover_event, r);
		break;
	case HK_SRC_CONTROL:
		hk_control_handle(&r->control, hk_answer, r);
		if (r->control.takeover_fd >= 0)
			hk_handover_begin(r);
		break;
	case HK_SRC_PORT:
		hk_port_on_poll(r, slot, ev->events);
		break;
	case HK_SRC_FLOW:
		on_flow(r, gen, slot, ev->events);
		break;
	case HK_SRC_ADDRS:
		hk_locals_on_poll(r);
		break;
	case HK_SRC_XSK:
		hk_port_on_xsk(r, slot);
		break;
	case HK_SRC_HANDOVER:
		r->handover_due = true;
		break;
	}
}

static void heartbeat(struct hk_relay *r)
{
	r->now_ns = hk_now_ns();
	__atomic_store_n(&r->live->nr_peers, r->nr_peers, __ATOMIC_RELAXED);
	__atomic_store_n(&r->live->heartbeat_ns, r->now_ns, __ATOMIC_RELEASE);
}

static bool ports_have_more(const struct hk_relay *r)
{
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++)
		if (r->ports[i].more)
			return true;
	return false;
}

static int wait(struct hk_relay *r, struct epoll_event *events)
{
	__u64 next = hk_timers_next(&r->timers);
	struct timespec ts = { 0 };
	__u64 left = HEARTBEAT_NS;

	if (!TAILQ_EMPTY(&r->ready) || !TAILQ_EMPTY(&r->dirty) || ports_have_more(r))
		left = 0;
	else if (next <= r->now_ns)
		left = 0;
	else if (next - r->now_ns < left)
		left = next - r->now_ns;
	ts.tv_nsec = left;
	return epoll_pwait2(r->epoll_fd, events, MAX_EVENTS, &ts, NULL);
}

static void pass(struct hk_relay *r, struct epoll_event *events)
{
	int i, n = wait(r, events);

	heartbeat(r);
	for (i = 0; i < n; i++)
		dispatch(r, &events[i]);
	for (i = 0; i < (int)r->nr_ports; i++)
		if (r->ports[i].more)
			hk_port_on_poll(r, i, EPOLLIN);
	hk_timers_run(&r->timers, r->now_ns);
	hk_peers_events(r);
	hk_flows_pump(r);
	hk_peers_events(r);	/* reading a stream's end may finish it */
	hk_peers_flush(r);
	hk_flows_reap(r);
	hk_peers_reap(r);
	hk_room_check(r);
	hk_memory_trim(r);
	if (r->handover_due || (r->handover_fd >= 0 && r->now_ns >= r->handover_until_ns))
		hk_handover_on_poll(r);
}

static void close_associations(struct hk_relay *r)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state == HK_PEER_UP)
			htp_assoc_close(peer->assoc, HTP_CODE_SHUTDOWN);
		hk_peer_touch(peer);
	}
}

/* Those that were left to plain TCP don't need us any more */
static __u32 count_carried(const struct hk_relay *r)
{
	struct hk_flow *f;
	__u32 nr = 0;
	unsigned int i;

	for (i = 0; i < HK_BUCKETS; i++)
		LIST_FOREACH(f, &r->by_key[i], by_key)
			nr += !f->native;
	return nr;
}

static bool is_drained(const struct hk_relay *r)
{
	return r->drain_until_ns && (r->now_ns >= r->drain_until_ns || !count_carried(r));
}

static void loop(struct hk_relay *r)
{
	struct epoll_event events[MAX_EVENTS];
	__u32 left;

	while (!is_drained(r) && !r->handed_over)
		pass(r, events);
	if (r->handed_over)
		return;
	left = count_carried(r);
	if (left)
		hk_info("%u connections were reset: still open after %llu s", left,
			DRAIN_NS / NSEC_PER_SEC);
	close_associations(r);
	hk_peers_events(r);
	hk_flows_pump(r);
	hk_peers_flush(r);
}

/**
 * hk_relay_run - the daemon, until SIGTERM or SIGINT
 * @config: outlives the call
 *
 * Runs in the caller's network namespace. Prints "hooker: ready" on stdout once
 * everything is attached, and the reason on stderr if that fails. After a hand-over to
 * another daemon it returns with memory and descriptors of its own still there: the
 * caller is to end.
 *
 * Return: 0 after an orderly end, or a negative errno; nothing is left attached.
 */
int hk_relay_run(const struct hk_relay_config *config)
{
	struct hk_relay *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->config = config;
	r->epoll_fd = -1;
	r->handover_fd = -1;
	r->control.takeover_fd = -1;
	r->signal_fd = -1;
	r->lo = (struct hk_injector){ .fd4 = -1, .fd6 = -1 };
	r->wire = r->lo;
	r->now_ns = hk_now_ns();
	r->started_ns = r->now_ns;
	r->memory_max = config->memory ?: HK_DEFAULT_MEMORY;
	err = start(r);
	if (!err) {
		if (!r->taken)
			hk_room_init(r);
		heartbeat(r);
		printf("hooker: ready\n");
		fflush(stdout);
		loop(r);
	}
	/* connections, links, rules: all is the other daemon's, and must not be ended */
	if (r->handed_over || (err && config->takeover && !r->taken))
		return err;
	stop(r);
	free(r);
	return err;
}
