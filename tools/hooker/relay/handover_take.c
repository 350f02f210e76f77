// SPDX-License-Identifier: GPL-2.0
/*
 * The new daemon's side of a hand-over, see handover.h.
 *
 * Until the other one has said BYE nothing may change that both of them have: not the
 * maps, nor the sockets, but for the programs in the links. And all that can fail comes
 * before, as from then on there is no way back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../htp/cc.h"
#include "freeze.h"
#include "handover.h"
#include "host.h"
#include "log.h"
#include "port.h"
#include "private.h"
#include "rules.h"

#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool is_text(const char *text, size_t size)
{
	return memchr(text, 0, size);
}

static bool ports_are_valid(const struct hk_setup *setup, __u32 *nr_fds)
{
	const struct hk_port_setup *port;
	__u32 i, n;

	if (setup->nr_ports < 1 || setup->nr_ports > HK_MAX_PORTS)
		return false;
	for (i = 0; i < setup->nr_ports; i++) {
		port = &setup->ports[i];
		if (!is_text(port->name, sizeof(port->name)) || port->deployed > 1 ||
		    port->socks >> (port->deployed ? HK_CARRIER_SOCKETS : 2))
			return false;
		for (n = 0; n < HK_CARRIER_SOCKETS; n++)
			*nr_fds += port->socks >> n & 1;
	}
	return true;
}

static bool texts_are_valid(const struct hk_setup *setup)
{
	unsigned int i;

	for (i = 0; i < HK_MAX_PORTS; i++)
		if (!is_text(setup->carriers[i], sizeof(setup->carriers[i])) ||
		    (*setup->carriers[i] && !hk_carrier_by_name(setup->carriers[i])))
			return false;
	for (i = 0; i < 8; i++)
		if (!is_text(setup->bits[i], sizeof(setup->bits[i])))
			return false;
	for (i = 0; i < setup->nr_named; i++)
		if (!is_text(setup->named[i], sizeof(setup->named[i])))
			return false;
	return is_text(setup->cgroup, sizeof(setup->cgroup)) &&
	       is_text(setup->cc, sizeof(setup->cc)) &&
	       (!*setup->cc || htp_cc_by_name(setup->cc));
}

static bool setup_is_valid(const struct hk_setup *setup)
{
	int nr_parts = hk_parts_check(&setup->parts);
	__u32 nr_fds = 2;

	if (memcmp(setup->abi, hk_setup_abi, sizeof(setup->abi)) || nr_parts < 0 ||
	    !setup->port || setup->port > 0xffff || setup->nr_named > HK_MAX_DEVS ||
	    setup->fast_lane > HK_FAST_LANE_NEVER || setup->udplite > HK_UDPLITE_DEPLOYED ||
	    setup->sending > HK_SEND_XSK_ZEROCOPY || setup->memory < HK_MIN_MEMORY ||
	    setup->dead_time_s > 3600)
		return false;
	return texts_are_valid(setup) && ports_are_valid(setup, &nr_fds) &&
	       nr_fds + nr_parts == setup->nr_fds;
}

static int recv_setup(int fd, struct hk_setup *setup, int *fds)
{
	char line[256];
	int err = hk_recv_message(fd, HK_MSG_SETUP, setup, sizeof(*setup), line, sizeof(line));

	if (err == -EREMOTE)
		hk_err("%s", line + strlen("error "));
	if (!err && !setup_is_valid(setup))
		err = -EBADMSG;
	return err ?: hk_recv_fds(fd, fds, setup->nr_fds);
}

/* Programs and sockets are those of its network namespace */
static int check_netns(const struct hk_setup *setup)
{
	__u64 cookie;
	int err = hk_host_netns_cookie(&cookie);

	if (err || cookie == setup->bpf.netns_cookie)
		return err;
	hk_err("--takeover: the running daemon is in another network namespace; start there");
	return -EREMOTE;
}

/* What the command line doesn't say anew is as it was; the rest may not differ */
static int take_config(struct hk_relay *r, const struct hk_setup *setup)
{
	struct hk_relay_config *config = &r->taken_config;
	unsigned int i;

	*config = *r->config;
	config->port = setup->port;
	config->no_xdp = setup->no_xdp;
	config->fast_lane = setup->fast_lane;
	config->udplite = setup->udplite;
	config->sending = setup->sending;
	config->patient = setup->patient;
	config->nr_devs = setup->nr_named;
	memcpy(config->devs, setup->named, sizeof(config->devs));
	config->dead_time_s = config->dead_time_s ?: setup->dead_time_s;
	if (!config->cc && *setup->cc)
		config->cc = htp_cc_by_name(setup->cc)->name;
	r->memory_max = config->memory ?: setup->memory;
	for (i = 0; i < HK_MAX_PORTS && *setup->carriers[i]; i++)
		config->carriers[i] = hk_carrier_by_name(setup->carriers[i])->name;
	if (*setup->cgroup) {
		r->taken_cgroup = strdup(setup->cgroup);
		if (!r->taken_cgroup)
			return -ENOMEM;
	}
	config->cgroup = r->taken_cgroup;
	r->config = config;
	return 0;
}

/* Sockets that a port has got are not in @fds any more */
static int adopt_ports(struct hk_relay *r, const struct hk_setup *setup, int *fds)
{
	int socks[HK_CARRIER_SOCKETS], err = 0;
	__u32 i, n;

	for (i = 0; i < 8; i++)
		if (*setup->bits[i])
			hk_carrier_set_name(i, setup->bits[i]);
	for (i = 0; !err && i < setup->nr_ports; i++) {
		for (n = 0; n < HK_CARRIER_SOCKETS; n++) {
			socks[n] = -1;
			if (!(setup->ports[i].socks >> n & 1))
				continue;
			socks[n] = *fds;
			*fds++ = -1;
		}
		err = hk_port_adopt(r, setup->ports[i].name, setup->ports[i].deployed, socks);
	}
	return err;
}

static int create_dataplane(struct hk_relay *r, const struct hk_setup *setup, const int *fds)
{
	struct hk_dataplane_config *dp = &r->dp_config;
	int err;

	dp->bpf = setup->bpf;
	dp->xdp = !setup->no_xdp;
	dp->max_flows = HK_MAX_FLOWS;
	dp->fast_lane = setup->fast_lane;
	dp->debug = r->config->debug;
	dp->adopt = &setup->parts;
	dp->adopt_fds = fds;
	err = hk_dataplane_create(&r->dp, dp);
	dp->adopt = NULL;
	dp->adopt_fds = NULL;
	if (err)
		return err;
	r->live = hk_dataplane_live(r->dp);
	return hk_dataplane_adopt(r->dp, &setup->parts, fds);
}

static int prepare(struct hk_relay *r, const struct hk_setup *setup, int *fds)
{
	int err = check_netns(setup);

	if (!err)
		err = take_config(r, setup);
	if (err)
		return err;
	memcpy(r->instance, setup->bpf.instance, sizeof(r->instance));
	if (getrandom(&r->hash_seed, sizeof(r->hash_seed), 0) != sizeof(r->hash_seed))
		return -EIO;
	err = create_dataplane(r, setup, fds + setup->nr_fds - hk_parts_check(&setup->parts));
	if (!err)
		err = adopt_ports(r, setup, fds + 2);
	if (!err)
		err = hk_injector_open(&r->lo, setup->bpf.relay_mark);
	return err ?: hk_injector_open(&r->wire, 0);
}

static int thaw_from(struct hk_relay *r, int memory, int *fds, __u32 nr_fds)
{
	struct htp_freezer freezer = { .thaw = true };
	struct stat st;
	void *mem;
	int err;

	/* what could be cut off while it is read would end us */
	if ((fcntl(memory, F_GET_SEALS) & SEALS) != SEALS || fstat(memory, &st) || !st.st_size)
		return -EBADMSG;
	mem = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, memory, 0);
	if (mem == MAP_FAILED)
		return -errno;
	freezer.in.p = mem;
	freezer.in.end = freezer.in.p + st.st_size;
	r->now_ns = hk_now_ns();
	err = hk_thaw(r, &freezer, fds, nr_fds);
	munmap(mem, st.st_size);
	return err;
}

static int recv_state(struct hk_relay *r, int fd)
{
	int *fds, memory, err;
	__u32 nr = 0;

	err = hk_recv_message(fd, HK_MSG_STATE, &nr, sizeof(nr), NULL, 0);
	if (!err && nr > HK_MAX_FLOWS)
		err = -EBADMSG;
	if (!err)
		err = hk_recv_fds(fd, &memory, 1);
	if (err)
		return err;
	fds = calloc(nr + 1, sizeof(*fds));
	err = fds ? hk_recv_fds(fd, fds, nr) : -ENOMEM;
	if (!err)
		err = thaw_from(r, memory, fds, nr);
	free(fds);
	close(memory);
	return err;
}

static int take(struct hk_relay *r, int fd)
{
	int err = hk_send_message(fd, HK_MSG_FREEZE, NULL, 0);

	if (!err)
		err = recv_state(r, fd);
	if (!err)
		err = hk_dataplane_take_over(r->dp);
	if (!err)
		err = hk_send_message(fd, HK_MSG_DONE, NULL, 0);
	return err ?: hk_recv_message(fd, HK_MSG_BYE, NULL, 0, NULL, 0);
}

static int ask(const char *name)
{
	int fd = hk_control_connect(name), err;

	if (fd < 0)
		return fd;
	hk_set_patience(fd);
	err = hk_send_line(fd, "takeover %u", HK_STATE_VERSION);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int explain(const struct hk_relay *r, int err)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		hk_err("--takeover: no daemon named %s is running; start without it",
		       r->config->name);
	else if (err == -ENOMEM)
		hk_err("--takeover: the connections need more memory than there is (--memory); the running daemon goes on");
	else if (err == -EMFILE)
		hk_err("--takeover: the connections need more open files than there may be (ulimit -n); the running daemon goes on");
	else if (err && err != -EREMOTE)
		hk_err("--takeover: %s; the running daemon goes on", strerror(-err));
	return err;
}

static int take_all(struct hk_relay *r, int fd, struct hk_setup *setup)
{
	int fds[HK_SETUP_FDS];
	int err;

	err = recv_setup(fd, setup, fds);
	if (err)
		return err;
	err = prepare(r, setup, fds);
	hk_room_init(r);	/* as long as no flow has a descriptor */
	if (!err)
		err = take(r, fd);
	if (err)
		return err;	/* with the process they all go */
	r->taken = true;
	err = hk_control_adopt(&r->control, r->config->name, fds[0], fds[1]);
	if (err)
		hk_err("control socket: %s; the daemon can't be asked", strerror(-err));
	r->controlled = !err;
	hk_close_fds(fds + 2, setup->nr_fds - 2);
	hk_rules_adopt(r, setup->parts.last_gen);
	return 0;
}

/**
 * hk_handover_take - go on with the connections of a running daemon
 * @r: relay with its event loop, and nothing else
 *
 * Return: 0 with carriers, data plane, injectors, control socket, policy, peers and flows;
 * hk_thaw_finish() is due. Or a negative errno: the other daemon has them still, and the
 * process must end without touching anything. The reason has been printed.
 */
int hk_handover_take(struct hk_relay *r)
{
	struct hk_setup *setup;
	int fd, err;

	fd = ask(r->config->name);
	if (fd < 0)
		return explain(r, fd);
	setup = calloc(1, sizeof(*setup));
	err = setup ? take_all(r, fd, setup) : -ENOMEM;
	close(fd);
	free(setup);
	return explain(r, err);
}
