// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's life: set up, run the loop, take down.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "answer.h"
#include "flow.h"
#include "freeze.h"
#include "handover.h"
#include "host.h"
#include "log.h"
#include "peer.h"
#include "port.h"
#include "private.h"
#include "rules.h"

#define MARK_APP	0x484b0000	/* plus the carrier port: daemons don't meet */
#define MARK_RELAY	0x484c0000
#define RULE_PRIORITY	1850		/* before main, behind local */

#define STALE_NS	(500 * NSEC_PER_MSEC)
#define HOLD_MAX_NS	(5 * NSEC_PER_SEC)

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
	return hk_timers_init(&r->timers, 2 * HK_MAX_FLOWS + 2 * HK_MAX_PEERS);
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

static int check_cgroup2(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return -errno;
	return fs.f_type == CGROUP2_SUPER_MAGIC ? 0 : -EINVAL;
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
		hk_err("cgroup %s: %s", config->cgroup ?: path, strerror(-err));
		return err;
	}
	err = check_cgroup2(fd);
	if (!err)
		return fd;
	hk_err("cgroup %s: not a directory of cgroup v2, which is mounted on %s",
	       config->cgroup ?: path, hk_host_cgroup2(path, sizeof(path)) ? "nothing" : path);
	close(fd);
	return err;
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
	hk_conntrack_open(&r->conntrack);
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
	hk_conntrack_close(&r->conntrack);
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
		hk_loop_run(r);
	}
	/* connections, links, rules: all is the other daemon's, and must not be ended */
	if (r->handed_over || (err && config->takeover && !r->taken))
		return err;
	stop(r);
	free(r);
	return err;
}
