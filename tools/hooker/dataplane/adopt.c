// SPDX-License-Identifier: GPL-2.0
/*
 * A data plane that another process goes on with: its maps, with all that is in them,
 * and its links, which get the new process's programs without a gap.
 *
 * Global variables of the programs are adopted as maps are, settings are not: the new
 * process has the same. Old programs stay on application sockets that are in the SOCKHASH
 * already, and mechanisms stay what they are; all use the same maps as the new programs.
 * So both must agree on what is in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "private.h"
#include "connection.skel.h"
#include "ingress.skel.h"

/* Constants and the like: each process has its own */
static bool is_shared(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) || strstr(bpf_map__name(map), ".bss");
}

static int collect_maps(const struct bpf_object *obj, struct hk_dataplane_parts *parts, int *fds,
			int *nr)
{
	struct bpf_map *map;
	const char *name;
	size_t len;

	bpf_object__for_each_map(map, obj) {
		name = bpf_map__name(map);
		len = strlen(name);
		if (!is_shared(map))
			continue;
		if (parts->nr_maps == HK_PARTS_MAPS || len >= HK_PARTS_NAME)
			return -E2BIG;
		memcpy(parts->maps[parts->nr_maps++], name, len + 1);
		fds[(*nr)++] = bpf_map__fd(map);
	}
	return 0;
}

static int collect_devs(const struct hk_dataplane *dp, struct hk_dataplane_parts *parts, int *fds,
			int *nr)
{
	const struct hk_dev *dev;

	LIST_FOREACH(dev, &dp->devs, all) {
		struct hk_dev_part *part = &parts->devs[parts->nr_devs];

		if (parts->nr_devs++ == HK_PARTS_DEVS)
			return -E2BIG;
		part->ifindex = dev->ifindex;
		part->mode = dev->mode;
		part->slot = dev->slot;
		part->has_xdp = dev->xdp_fd >= 0;
		if (part->has_xdp)
			fds[(*nr)++] = dev->xdp_fd;
	}
	return 0;
}

static int collect_mech(const struct hk_mech *mech, struct hk_mech_part *part, int *fds, int *nr)
{
	const struct hk_egress *eg;

	part->desc = mech->desc;
	part->times = mech->times;
	if (mech->path && strlen(mech->path) >= sizeof(part->path))
		return -E2BIG;
	if (mech->path)
		strcpy(part->path, mech->path);
	fds[(*nr)++] = mech->ports_fd;
	fds[(*nr)++] = mech->stats_fd;
	fds[(*nr)++] = mech->egress_fd;
	LIST_FOREACH(eg, &mech->egresses, all) {
		if (part->nr_devs == HK_PARTS_DEVS)
			return -E2BIG;
		part->ifindex[part->nr_devs] = eg->ifindex;
		part->has_link[part->nr_devs] = eg->link_fd >= 0;
		if (part->has_link[part->nr_devs++])
			fds[(*nr)++] = eg->link_fd;
	}
	return 0;
}

static int collect_mechs(const struct hk_dataplane *dp, struct hk_dataplane_parts *parts, int *fds,
			 int *nr)
{
	const struct hk_mech *mech;
	int err = 0;

	LIST_FOREACH(mech, &dp->mechs, all) {
		if (parts->nr_mechs == HK_PARTS_MECHS)
			return -E2BIG;
		err = err ?: collect_mech(mech, &parts->mechs[parts->nr_mechs++], fds, nr);
	}
	return err;
}

/**
 * hk_dataplane_parts - what another process needs to go on
 * @dp:	   data plane
 * @parts: filled in
 * @fds:   filled in, see adopt.h; borrowed from @dp
 *
 * Return: the number of descriptors; -E2BIG: there are more maps, devices or mechanisms
 * than fit.
 */
int hk_dataplane_parts(const struct hk_dataplane *dp, struct hk_dataplane_parts *parts,
		       int fds[HK_PARTS_FDS])
{
	int nr = 0, err;

	memset(parts, 0, sizeof(*parts));
	parts->last_gen = dp->policy.last_gen;
	memcpy(parts->gone, dp->gone, sizeof(parts->gone));
	for (; nr < HK_NR_LINKS; nr++)
		fds[nr] = dp->links[nr] ? bpf_link__fd(dp->links[nr]) : dp->link_fds[nr];
	err = collect_devs(dp, parts, fds, &nr);
	if (!err)
		err = collect_mechs(dp, parts, fds, &nr);
	if (!err)
		err = collect_maps(dp->conn->obj, parts, fds, &nr);
	if (!err && dp->xdp)
		err = collect_maps(dp->xdp->obj, parts, fds, &nr);
	return err ?: nr;
}

static int check_mech(const struct hk_mech_part *part)
{
	__u32 i;
	int nr = 3;

	if (hk_mech_check(&part->desc) || part->nr_devs > HK_PARTS_DEVS ||
	    !memchr(part->path, 0, sizeof(part->path)))
		return -EBADMSG;
	for (i = 0; i < part->nr_devs; i++) {
		if (part->has_link[i] > 1)
			return -EBADMSG;
		nr += part->has_link[i];
	}
	return nr;
}

/**
 * hk_parts_check - are these the parts of a data plane?
 * @parts: as they came; may hold anything
 *
 * Return: number of descriptors that belong to them, or -EBADMSG.
 */
int hk_parts_check(const struct hk_dataplane_parts *parts)
{
	int nr = HK_NR_LINKS, n;
	__u32 i;

	if (parts->nr_maps > HK_PARTS_MAPS || parts->nr_devs > HK_PARTS_DEVS ||
	    parts->nr_mechs > HK_PARTS_MECHS)
		return -EBADMSG;
	for (i = 0; i < parts->nr_maps; i++)
		if (!memchr(parts->maps[i], 0, sizeof(parts->maps[i])))
			return -EBADMSG;
	for (i = 0; i < parts->nr_devs; i++) {
		if (parts->devs[i].mode > HK_XDP_GENERIC || parts->devs[i].has_xdp > 1 ||
		    parts->devs[i].slot >= HK_XDP_SLOTS || parts->devs[i].ifindex <= 0 ||
		    (parts->devs[i].slot && parts->devs[i].ifindex >= HK_XDP_IFINDEXES))
			return -EBADMSG;
		nr += parts->devs[i].has_xdp;
	}
	for (i = 0; i < parts->nr_mechs; i++) {
		n = check_mech(&parts->mechs[i]);
		if (n < 0)
			return n;
		nr += n;
	}
	return nr + parts->nr_maps;
}

/* libbpf takes the other map's word for its shape; the programs count on ours */
static int check_shape(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.max_entries != bpf_map__max_entries(map))
		return -EBADMSG;
	return 0;
}

static int adopt_map(struct bpf_map *map, const struct hk_dataplane_parts *parts, const int *fds)
{
	__u32 i;
	int err;

	for (i = 0; i < parts->nr_maps; i++)
		if (!strcmp(parts->maps[i], bpf_map__name(map)))
			break;
	if (i == parts->nr_maps)
		return -EBADMSG;
	err = check_shape(map, fds[i]);
	return err ?: bpf_map__reuse_fd(map, fds[i]);
}

/* Before it is loaded; 0, also if nothing is to be adopted, or a negative errno */
int hk_adopt_maps(struct bpf_object *obj, const struct hk_dataplane_config *config)
{
	const struct hk_dataplane_parts *parts = config->adopt;
	struct bpf_map *map;
	const int *fds;
	int err = 0;

	if (!parts)
		return 0;
	fds = config->adopt_fds + hk_parts_check(parts) - parts->nr_maps;
	bpf_object__for_each_map(map, obj)
		if (!err && is_shared(map))
			err = adopt_map(map, parts, fds);
	return err;
}

static void *map_bss(const struct bpf_map *map)
{
	void *mem = mmap(NULL, bpf_map__value_size(map), PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(map), 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/*
 * The programs' global variables, where libbpf (from 1.5 on) leaves the skeletons of
 * adopted ones with a copy; 0 or a negative errno. Mapped as long as the process lives.
 */
int hk_adopt_bss(struct hk_dataplane *dp)
{
	dp->conn->bss = map_bss(dp->conn->maps.bss);
	if (!dp->conn->bss)
		return -errno;
	if (!dp->xdp)
		return 0;
	dp->xdp->bss = map_bss(dp->xdp->maps.bss);
	return dp->xdp->bss ? 0 : -errno;
}

static int keep(int *to, int fd)
{
	*to = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *to < 0 ? -errno : 0;
}

static int adopt_dev(struct hk_dataplane *dp, const struct hk_dev_part *part, const int **fds)
{
	struct hk_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	if (!dp->xdp && part->has_xdp) {
		free(dev);
		return -EBADMSG;
	}
	dev->ifindex = part->ifindex;
	dev->mode = part->mode;
	dev->slot = dp->xdp ? part->slot : 0;
	dev->xdp_fd = -1;
	LIST_INSERT_HEAD(&dp->devs, dev, all);
	return part->has_xdp ? keep(&dev->xdp_fd, *(*fds)++) : 0;
}

static int adopt_egress(struct hk_mech *mech, int ifindex, bool has_link, const int **fds)
{
	struct hk_egress *eg = calloc(1, sizeof(*eg));

	if (!eg)
		return -ENOMEM;
	eg->ifindex = ifindex;
	eg->link_fd = -1;
	LIST_INSERT_HEAD(&mech->egresses, eg, all);
	return has_link ? keep(&eg->link_fd, *(*fds)++) : 0;
}

static int adopt_mech(struct hk_dataplane *dp, const struct hk_mech_part *part, const int **fds)
{
	struct hk_mech *mech = calloc(1, sizeof(*mech));
	__u32 i;
	int err;

	if (!mech)
		return -ENOMEM;
	LIST_INSERT_HEAD(&dp->mechs, mech, all);
	mech->desc = part->desc;
	mech->times = part->times;
	mech->egress_fd = -1;
	mech->stats_fd = -1;
	if (*part->path) {
		mech->path = strdup(part->path);
		if (!mech->path)
			return -ENOMEM;
	}
	err = keep(&mech->ports_fd, *(*fds)++);
	if (!err)
		err = keep(&mech->stats_fd, *(*fds)++);
	if (!err)
		err = keep(&mech->egress_fd, *(*fds)++);
	for (i = 0; !err && i < part->nr_devs; i++)
		err = adopt_egress(mech, part->ifindex[i], part->has_link[i], fds);
	return err;
}

/**
 * hk_dataplane_adopt - know what is attached
 * @dp:	   created with @parts
 * @parts: the other process's, checked
 * @fds:   its descriptors; stay the caller's
 *
 * Changes nothing in the kernel. If it fails, @dp may neither be used nor destroyed: that
 * would take out what the other process still needs.
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_adopt(struct hk_dataplane *dp, const struct hk_dataplane_parts *parts,
		       const int *fds)
{
	__u32 i;
	int err = 0;

	if (!dp->xdp && parts->nr_mechs)
		return -EBADMSG;
	memcpy(dp->gone, parts->gone, sizeof(dp->gone));
	for (i = 0; !err && i < HK_NR_LINKS; i++)
		err = keep(&dp->link_fds[i], *fds++);
	for (i = 0; !err && i < parts->nr_devs; i++)
		err = adopt_dev(dp, &parts->devs[i], &fds);
	for (i = 0; !err && i < parts->nr_mechs; i++)
		err = adopt_mech(dp, &parts->mechs[i], &fds);
	return err;
}

/* One whose device has just gone is as good as updated */
static int update_dev(struct hk_dataplane *dp, const struct hk_dev *dev)
{
	if (dev->xdp_fd < 0 || !bpf_link_update(dev->xdp_fd, hk_ingress_fd(dp), NULL))
		return 0;
	return errno == ENOLINK ? 0 : -errno;
}

/**
 * hk_dataplane_take_over - put this data plane's programs into the other one's place
 * @dp: with all adopted
 *
 * If it fails half-way, some hooks run the new programs on the same maps, which is as
 * good.
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_take_over(struct hk_dataplane *dp)
{
	const struct hk_dev *dev;
	int progs[HK_NR_LINKS];
	int err, i;

	err = hk_attach_sk_msg(dp);
	hk_cgroup_progs(dp, progs);
	for (i = 0; !err && i < HK_NR_LINKS; i++)
		if (bpf_link_update(dp->link_fds[i], progs[i], NULL))
			err = -errno;
	LIST_FOREACH(dev, &dp->devs, all)
		err = err ?: update_dev(dp, dev);
	return err;
}
