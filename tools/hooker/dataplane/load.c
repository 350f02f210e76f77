// SPDX-License-Identifier: GPL-2.0
/*
 * Loads the BPF objects and attaches them.
 *
 * Order matters when attaching: SK_MSG goes onto its SOCKHASH before any socket
 * can get in (a socket takes the map's programs along when it is added), the gate
 * goes before the offers whose answers it waits for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "private.h"
#include "connection.skel.h"
#include "ingress.skel.h"

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int print_nothing(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

static int print_all(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	return vfprintf(stderr, fmt, args);
}

static const char * const flow_maps[] = { "hk_verdicts", "hk_lanes", "hk_apps", "hk_redirs" };

static int size_maps(struct bpf_object *obj, __u32 max_flows)
{
	struct bpf_map *map;
	unsigned int i;
	int err;

	for (i = 0; i < sizeof(flow_maps) / sizeof(flow_maps[0]); i++) {
		map = bpf_object__find_map_by_name(obj, flow_maps[i]);
		err = map ? bpf_map__set_max_entries(map, max_flows) : -ENOENT;
		if (err)
			return err;
	}
	return 0;
}

/* The skeletons' .rodata holds a const volatile struct; memcpy() would not take it */
#define CONFIGURE(skel, config) \
	memcpy((void *)&(skel)->rodata->hk_config, config, sizeof(*(config)))

static bool wants_fast_lane(const struct hk_dataplane_config *config)
{
	if (config->fast_lane == HK_FAST_LANE_AUTO)
		return hk_inq_is_right();
	return config->fast_lane == HK_FAST_LANE_ALWAYS;
}

static int load_connection(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	int err;

	dp->conn = connection_bpf__open();
	if (!dp->conn)
		return -errno;
	CONFIGURE(dp->conn, &config->bpf);
	dp->fast_lane = wants_fast_lane(config);
	dp->conn->rodata->hk_lane_shut = !dp->fast_lane;
	if (config->fast_lane == HK_FAST_LANE_AUTO)
		dp->conn->rodata->hk_lane_flags = O_NONBLOCK;
	err = size_maps(dp->conn->obj, config->max_flows);
	if (!err)
		err = hk_adopt_maps(dp->conn->obj, config);
	return err ?: connection_bpf__load(dp->conn);
}

static int load_xdp(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	int err;

	dp->fds.assocs = -1;
	dp->fds.remotes = -1;
	dp->fds.locals = bpf_map__fd(dp->conn->maps.hk_locals);
	dp->fds.xdp_stats = -1;
	if (!config->xdp)
		return 0;
	dp->xdp = ingress_bpf__open();
	if (!dp->xdp)
		return -errno;
	CONFIGURE(dp->xdp, &config->bpf);
	err = config->adopt ? hk_adopt_maps(dp->xdp->obj, config) :
			      bpf_map__reuse_fd(dp->xdp->maps.hk_locals, dp->fds.locals);
	return err ?: ingress_bpf__load(dp->xdp);
}

static int report(const char *what, int err)
{
	if (err)
		fprintf(stderr, "hooker: %s: %s; -d shows what libbpf and the kernel say\n",
			what, strerror(-err));
	return err;
}

static int load_all(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	int err;

	err = report("loading the SOCK_OPS, gate and SK_MSG programs", load_connection(dp, config));
	return err ?: report("loading the XDP program", load_xdp(dp, config));
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct hk_dataplane *dp = ctx;

	dp->read_fn(dp->read_priv, data, size);
	return 0;
}

static void *map_memory(int fd, size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static int map_all(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	size_t page = sysconf(_SC_PAGESIZE);

	dp->fds.verdicts = bpf_map__fd(dp->conn->maps.hk_verdicts);
	dp->fds.offers = bpf_map__fd(dp->conn->maps.hk_offers);
	dp->fds.redirs = bpf_map__fd(dp->conn->maps.hk_redirs);
	dp->fds.events = bpf_map__fd(dp->conn->maps.hk_events);
	dp->fds.stats = bpf_map__fd(dp->conn->maps.hk_stats);
	if (dp->xdp) {
		dp->fds.assocs = bpf_map__fd(dp->xdp->maps.hk_assocs);
		dp->fds.remotes = bpf_map__fd(dp->xdp->maps.hk_remotes);
		dp->fds.xdp_stats = bpf_map__fd(dp->xdp->maps.hk_xdp_stats);
	}
	dp->max_flows = config->max_flows;
	dp->lanes_size = (sizeof(struct hk_lane) * config->max_flows + page - 1) & ~(page - 1);
	dp->lanes = map_memory(bpf_map__fd(dp->conn->maps.hk_lanes), dp->lanes_size);
	if (!dp->lanes)
		return -errno;
	dp->live = map_memory(bpf_map__fd(dp->conn->maps.hk_live), page);
	if (!dp->live)
		return -errno;
	dp->policy.lpm_fd = bpf_map__fd(dp->conn->maps.hk_policy_lpm);
	dp->policy.cgroups_fd = bpf_map__fd(dp->conn->maps.hk_policy_cgroups);
	dp->policy.sets_fd = bpf_map__fd(dp->conn->maps.hk_policy_sets);
	dp->policy.actions_fd = bpf_map__fd(dp->conn->maps.hk_policy_actions);
	dp->policy.live = dp->live;
	if (config->adopt && hk_adopt_bss(dp))
		return -errno;
	dp->ring = ring_buffer__new(dp->fds.events, on_record, dp, NULL);
	return dp->ring ? 0 : -errno;
}

static int fill_rules(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	__u32 one = 1, port;
	unsigned int i;
	int err;

	for (i = 0; i < config->nr_to; i++) {
		err = bpf_map_update_elem(bpf_map__fd(dp->conn->maps.hk_to), &config->to[i], &one,
					  BPF_ANY);
		if (err)
			return -errno;
	}
	for (i = 0; i < config->nr_from; i++) {
		port = config->from[i];
		err = bpf_map_update_elem(bpf_map__fd(dp->conn->maps.hk_from), &port, &one,
					  BPF_ANY);
		if (err)
			return -errno;
	}
	return hk_dataplane_set_policy(dp, config->policy, config->nr_policy);
}

static void cgroup_progs(const struct hk_dataplane *dp, struct bpf_program *progs[HK_NR_LINKS])
{
	progs[0] = dp->conn->progs.hk_gate;
	progs[1] = dp->conn->progs.hk_connect4;
	progs[2] = dp->conn->progs.hk_connect6;
	progs[3] = dp->conn->progs.hk_setsockopt;
	progs[4] = dp->conn->progs.hk_offer;
}

/* Their descriptors, in the order of the links */
void hk_cgroup_progs(const struct hk_dataplane *dp, int fds[HK_NR_LINKS])
{
	struct bpf_program *progs[HK_NR_LINKS];
	int i;

	cgroup_progs(dp, progs);
	for (i = 0; i < HK_NR_LINKS; i++)
		fds[i] = bpf_program__fd(progs[i]);
}

static int attach_cgroup(struct hk_dataplane *dp, int cgroup_fd)
{
	struct bpf_program *progs[HK_NR_LINKS];
	int i;

	cgroup_progs(dp, progs);

	for (i = 0; i < HK_NR_LINKS; i++) {
		dp->links[i] = bpf_program__attach_cgroup(progs[i], cgroup_fd);
		if (!dp->links[i])
			return -errno;
	}
	return 0;
}

/*
 * Links for SK_MSG came with 6.10 only. Attaching to the map does as well: it is
 * ours alone and takes the program along when the daemon ends.
 */
int hk_attach_sk_msg(struct hk_dataplane *dp)
{
	int prog = bpf_program__fd(dp->conn->progs.hk_lane_select);
	int map = bpf_map__fd(dp->conn->maps.hk_apps);

	return bpf_prog_attach(prog, map, BPF_SK_MSG_VERDICT, 0) ? -errno : 0;
}

/* Reading the iterator runs the program on each TCP socket of this network namespace */
static int visit_listeners(const struct hk_dataplane *dp)
{
	struct bpf_link *link = bpf_program__attach_iter(dp->conn->progs.hk_listeners, NULL);
	char buf[64];
	int fd, err;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	err = fd < 0 ? -errno : 0;
	while (!err && read(fd, buf, sizeof(buf)) > 0)
		;
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return err;
}

static int attach_all(struct hk_dataplane *dp, const struct hk_dataplane_config *config)
{
	int err;

	err = report("attaching SK_MSG to its SOCKHASH", hk_attach_sk_msg(dp));
	if (!err)
		err = report("attaching to the cgroup", attach_cgroup(dp, config->cgroup_fd));
	if (!err)
		err = report("visiting the listeners", visit_listeners(dp));
	return err;
}

/**
 * hk_dataplane_create - load and attach all programs
 * @dp:	    the new data plane, owned by the caller: hk_dataplane_destroy()
 * @config: read during the call only
 *
 * Nothing stays loaded or attached when it fails. The reason has been printed.
 *
 * Return: 0, or a negative errno of libbpf or the kernel.
 */
int hk_dataplane_create(struct hk_dataplane **dp, const struct hk_dataplane_config *config)
{
	struct hk_dataplane *new = calloc(1, sizeof(*new));
	__u64 start = now_ns();
	int err;

	if (!new)
		return -ENOMEM;
	LIST_INIT(&new->devs);
	LIST_INIT(&new->mechs);
	memset(new->link_fds, -1, sizeof(new->link_fds));
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(config->debug ? print_all : print_nothing);
	err = load_all(new, config);
	if (!err)
		err = report("mapping shared memory", map_all(new, config));
	if (!err && !config->adopt)
		err = report("writing the rules", fill_rules(new, config));
	new->times.load_ns = now_ns() - start;
	if (err)
		goto err_destroy;
	/* the programs trust the heartbeat from the first packet on */
	new->live->heartbeat_ns = now_ns();
	start = now_ns();
	err = config->adopt ? 0 : attach_all(new, config);
	new->times.attach_ns = now_ns() - start;
	if (err)
		goto err_destroy;
	*dp = new;
	return 0;

err_destroy:
	hk_dataplane_destroy(new);
	return err;
}

/* Listeners that go on without a daemon need no callbacks; nor do those that the next one finds */
static void leave_listeners(const struct hk_dataplane *dp)
{
	if (!dp->links[0] && dp->link_fds[0] < 0)
		return;
	dp->conn->bss->hk_listeners_end = 1;
	visit_listeners(dp);
}

static void link_close(struct hk_dataplane *dp, int i)
{
	bpf_link__destroy(dp->links[i]);
	if (dp->link_fds[i] >= 0)
		close(dp->link_fds[i]);
}

/**
 * hk_dataplane_destroy - detach and free everything; NULL is fine
 * @dp: from hk_dataplane_create(), also half-built
 *
 * Offers end first, the gate last, so that no answer arrives ungated.
 */
void hk_dataplane_destroy(struct hk_dataplane *dp)
{
	int i;

	if (!dp)
		return;
	leave_listeners(dp);
	for (i = HK_NR_LINKS - 1; i >= 0; i--)
		link_close(dp, i);
	hk_mechs_free(dp);
	hk_devs_free(dp);
	ring_buffer__free(dp->ring);
	free(dp->policy.image);
	if (dp->lanes)
		munmap(dp->lanes, dp->lanes_size);
	if (dp->live)
		munmap(dp->live, sysconf(_SC_PAGESIZE));
	ingress_bpf__destroy(dp->xdp);
	connection_bpf__destroy(dp->conn);
	free(dp);
}

/* The XDP program's descriptor */
int hk_ingress_fd(const struct hk_dataplane *dp)
{
	return bpf_program__fd(dp->xdp->progs.hooker_ingress);
}

/**
 * hk_dataplane_times - how long loading and attaching took
 * @dp: data plane
 *
 * Return: owned by @dp.
 */
const struct hk_dataplane_times *hk_dataplane_times(const struct hk_dataplane *dp)
{
	return &dp->times;
}

/**
 * hk_dataplane_listeners - listeners that were older than the data plane
 * @dp:	    data plane
 * @served: filled in: of them, those that take offers now
 *
 * Return: those that don't, since this kernel can't switch their callbacks on (before
 * Linux 6.12).
 */
__u64 hk_dataplane_listeners(const struct hk_dataplane *dp, __u64 *served)
{
	*served = dp->conn->bss->hk_listeners_served;
	return dp->conn->bss->hk_listeners_left;
}

/**
 * hk_dataplane_has_fast_lane - whether SK_MSG sees what applications send
 * @dp: data plane
 *
 * Return: false if it was not wanted, or would spoil FIONREAD.
 */
bool hk_dataplane_has_fast_lane(const struct hk_dataplane *dp)
{
	return dp->fast_lane;
}
