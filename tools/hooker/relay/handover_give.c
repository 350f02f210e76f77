// SPDX-License-Identifier: GPL-2.0
/*
 * The old daemon's side of a hand-over, see handover.h.
 *
 * Between SETUP and FREEZE it goes on as before, but for what SETUP has told already:
 * mechanisms, rules and devices stay as they are meanwhile. It waits so long only as a
 * new daemon may need to load its programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "freeze.h"
#include "handover.h"
#include "host.h"
#include "log.h"
#include "port.h"
#include "private.h"

#define LOADING_NS	(60 * NSEC_PER_SEC)

static void copy_name(char *to, size_t size, const char *name)
{
	snprintf(to, size, "%s", name ?: "");
}

static void fill_config(const struct hk_relay *r, struct hk_setup *setup)
{
	const struct hk_relay_config *config = r->config;
	unsigned int i;

	setup->port = config->port;
	setup->no_xdp = config->no_xdp;
	setup->nr_named = config->nr_devs;
	memcpy(setup->named, config->devs, sizeof(setup->named));
	setup->fast_lane = config->fast_lane;
	setup->udplite = config->udplite;
	setup->sending = config->sending;
	setup->patient = config->patient;
	setup->dead_time_s = config->dead_time_s;
	setup->memory = r->memory_max;
	copy_name(setup->cc, sizeof(setup->cc), config->cc);
	copy_name(setup->cgroup, sizeof(setup->cgroup), config->cgroup);
	for (i = 0; i < HK_MAX_PORTS && config->carriers[i]; i++)
		copy_name(setup->carriers[i], sizeof(setup->carriers[i]), config->carriers[i]);
	for (i = 0; i < 8; i++)
		copy_name(setup->bits[i], sizeof(setup->bits[i]), hk_carrier_name(i));
}

static void fill_ports(const struct hk_relay *r, struct hk_setup *setup, int *fds)
{
	int socks[HK_CARRIER_SOCKETS];
	unsigned int i, n;

	setup->nr_ports = r->nr_ports;
	for (i = 0; i < r->nr_ports; i++) {
		const struct hk_port *port = &r->ports[i];

		copy_name(setup->ports[i].name, HK_SETUP_NAME, port->carrier.ops->name);
		setup->ports[i].deployed = !!port->mech;
		hk_carrier_sockets(&port->carrier, socks);
		for (n = 0; n < HK_CARRIER_SOCKETS; n++) {
			if (socks[n] < 0)
				continue;
			setup->ports[i].socks |= 1 << n;
			fds[setup->nr_fds++] = socks[n];
		}
	}
}

static int fill_setup(const struct hk_relay *r, struct hk_setup *setup, int *fds)
{
	int nr;

	memcpy(setup->abi, hk_setup_abi, sizeof(setup->abi));
	setup->bpf = r->dp_config.bpf;
	fill_config(r, setup);
	fds[setup->nr_fds++] = r->control.listen_fd;
	fds[setup->nr_fds++] = r->control.lock_fd;
	fill_ports(r, setup, fds);
	nr = hk_dataplane_parts(r->dp, &setup->parts, fds + setup->nr_fds);
	if (nr < 0)
		return nr;
	setup->nr_fds += nr;
	return 0;
}

static int send_setup(const struct hk_relay *r, int fd)
{
	struct hk_setup *setup = calloc(1, sizeof(*setup));
	int fds[HK_SETUP_FDS];
	int err;

	if (!setup)
		return -ENOMEM;
	err = fill_setup(r, setup, fds);
	if (err == -E2BIG)
		hk_send_line(fd,
			     "error hand-over: more than %d devices; end the running daemon first",
			     HK_PARTS_DEVS);
	if (!err)
		err = hk_send_message(fd, HK_MSG_SETUP, setup, sizeof(*setup));
	if (!err)
		err = hk_send_fds(fd, fds, setup->nr_fds);
	free(setup);
	return err;
}

static int begin(struct hk_relay *r, int fd)
{
	if (r->control.takeover_version != HK_STATE_VERSION) {
		hk_send_line(fd,
			     "error hand-over: the running daemon has state version %u, the new one %u; end it first",
			     HK_STATE_VERSION, r->control.takeover_version);
		return -EPROTO;
	}
	if (r->drain_until_ns || r->handover_fd >= 0) {
		hk_send_line(fd,
			     "error hand-over: the running daemon is ending, or being taken over; try again");
		return -EBUSY;
	}
	return send_setup(r, fd);
}

/**
 * hk_handover_begin - somebody wants to go on with our connections
 * @r: relay whose control socket has got such a request
 */
void hk_handover_begin(struct hk_relay *r)
{
	int fd = r->control.takeover_fd;

	r->control.takeover_fd = -1;
	hk_set_patience(fd);
	if (begin(r, fd) ||
	    hk_relay_poll(r, EPOLL_CTL_ADD, fd, EPOLLIN, hk_source_pack(HK_SRC_HANDOVER, 0, 0))) {
		close(fd);
		return;
	}
	r->handover_fd = fd;
	r->handover_until_ns = r->now_ns + LOADING_NS;
}

static int put_file(void *priv, const void *data, size_t len)
{
	return len && fwrite(data, len, 1, priv) != 1 ? -ENOSPC : 0;
}

static FILE *open_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *file = copy < 0 ? NULL : fdopen(copy, "w");

	if (!file && copy >= 0)
		close(copy);
	return file;
}

/* Number of redirection sockets in @fds; nobody can change or shorten the bytes then */
static int freeze_to(struct hk_relay *r, int fd, int *fds)
{
	struct htp_freezer freezer = { .put = put_file };
	FILE *file = open_copy(fd);
	int nr;

	if (!file)
		return -ENOMEM;
	freezer.priv = file;
	nr = hk_freeze(r, &freezer, fds);
	if (fclose(file) && nr >= 0)
		return -ENOSPC;
	if (nr >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return -errno;
	return nr;
}

static int send_frozen(int fd, int memory, const int *fds, __u32 nr)
{
	int err = hk_send_message(fd, HK_MSG_STATE, &nr, sizeof(nr));

	if (!err)
		err = hk_send_fds(fd, &memory, 1);
	return err ?: hk_send_fds(fd, fds, nr);
}

static int send_state(struct hk_relay *r, int fd)
{
	int memory = memfd_create("hooker-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int *fds, nr;

	if (memory < 0)
		return -errno;
	fds = calloc(HK_MAX_FLOWS, sizeof(*fds));
	nr = fds ? freeze_to(r, memory, fds) : -ENOMEM;
	if (nr >= 0)
		nr = send_frozen(fd, memory, fds, nr);
	close(memory);
	free(fds);
	return nr;
}

static int give(struct hk_relay *r, int fd)
{
	int err = hk_recv_message(fd, HK_MSG_FREEZE, NULL, 0, NULL, 0);

	if (!err && r->drain_until_ns)
		err = -ESHUTDOWN;
	if (err)
		return err;
	hk_freeze_prepare(r);
	err = send_state(r, fd);
	if (!err)
		err = hk_recv_message(fd, HK_MSG_DONE, NULL, 0, NULL, 0);
	return err ?: hk_send_message(fd, HK_MSG_BYE, NULL, 0);
}

/**
 * hk_handover_on_poll - the new daemon is ready, or gone, or takes too long
 * @r: relay; between loop passes only, since all of it must be at rest
 *
 * Blocks until the other one has everything. If that fails, nothing has happened but a
 * pause.
 */
void hk_handover_on_poll(struct hk_relay *r)
{
	int err = r->handover_due ? give(r, r->handover_fd) : -ETIMEDOUT;

	r->now_ns = hk_now_ns();
	r->handover_due = false;
	close(r->handover_fd);
	r->handover_fd = -1;
	r->handed_over = !err;
	if (!err) {
		hk_info("another daemon goes on with the connections");
		return;
	}
	hk_info("hand-over failed: %s; going on", strerror(-err));
	hk_devices_sync(r);
}
