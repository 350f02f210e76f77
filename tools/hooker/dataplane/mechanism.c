// SPDX-License-Identifier: GPL-2.0
/*
 * Mechanisms: loading an object that brings an IP protocol, and putting it between
 * the devices and UDP sockets. bpf/mechanism.h has the contract.
 *
 * The ingress program is a slot in hooker_ingress's PROG_ARRAY, the egress program
 * a link on each device. Both are gone with the daemon, except for clsact filters,
 * which kernels before 6.6 need in place of tcx: those are replaced by the next
 * daemon, or removed by hand (tc qdisc del dev DEV clsact).
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "private.h"
#include "ingress.skel.h"
#include "udplite.skel.h"

#define DESCRIPTOR	".rodata.hooker"

#define MAX_OBJECT	(16 << 20)

/* <linux/bpf.h> of Linux 6.6 */
#define TCX_EGRESS	((enum bpf_attach_type)47)

/* Place of our filter in a clsact egress chain */
#define TC_HANDLE	0x484b
#define TC_PRIORITY	18507

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int __attribute__((format(printf, 3, 4)))
refuse(char why[HK_MECH_WHY], int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, HK_MECH_WHY, fmt, args);
	va_end(args);
	return err;
}

/* libbpf has errors of its own beside those of the kernel */
static int refuse_err(char why[HK_MECH_WHY], int err, const char *what)
{
	char text[128] = "";

	libbpf_strerror(err, text, sizeof(text));
	return refuse(why, err, "%s: %s", what, text);
}

static bool is_name(const char name[HK_MECH_NAME])
{
	size_t len = strnlen(name, HK_MECH_NAME);

	return len && len < HK_MECH_NAME &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* Those that hosts can't do without */
static bool is_reserved(__u8 ip_proto)
{
	return ip_proto == IPPROTO_IP || ip_proto == IPPROTO_ICMP || ip_proto == IPPROTO_TCP ||
	       ip_proto == IPPROTO_UDP || ip_proto == IPPROTO_ICMPV6 || ip_proto == 255;
}

/* UDP-Lite's is UDP-Lite's alone, UDP's nobody's */
static bool owns_offer_bit(const struct hk_mechanism *desc)
{
	if (desc->ip_proto == IPPROTO_UDPLITE)
		return 1 << desc->offer_bit == HK_PROTO_UDPLITE;
	return desc->offer_bit >= 2 && desc->offer_bit <= 7;
}

static int check_descriptor(const struct hk_mechanism *desc, char why[HK_MECH_WHY])
{
	unsigned int i;

	if (desc->abi != HK_MECH_ABI)
		return refuse(why, -EINVAL, "its ABI is %u, this hooker has %u", desc->abi,
			      HK_MECH_ABI);
	if (!is_name(desc->name))
		return refuse(why, -EINVAL,
			      "its name must be 1 to %d of a-z, 0-9 and '-'", HK_MECH_NAME - 1);
	if (is_reserved(desc->ip_proto))
		return refuse(why, -EINVAL, "IP protocol %u is not a mechanism's to take",
			      desc->ip_proto);
	if (desc->hdr_len < 4 || desc->hdr_len % 2)
		return refuse(why, -EINVAL,
			      "a header of %u bytes: it needs 4 for its ports, and to be even",
			      desc->hdr_len);
	if (desc->check_off != HK_MECH_NO_CHECK &&
	    (desc->check_off < 4 || desc->check_off + 2 > desc->hdr_len))
		return refuse(why, -EINVAL, "its checksum at %u is not within its header",
			      desc->check_off);
	if (!owns_offer_bit(desc))
		return refuse(why, -EINVAL, "offer bit %u: 0 is UDP-Lite's, others have 2 to 7",
			      desc->offer_bit);
	for (i = 0; i < HK_MECH_COUNTERS; i++)
		if (strnlen(desc->counters[i], HK_MECH_COUNTER_NAME) == HK_MECH_COUNTER_NAME)
			return refuse(why, -EINVAL, "the name of counter %u does not end", i);
	return 0;
}

/* One that comes from another process; 0 or -EINVAL */
int hk_mech_check(const struct hk_mechanism *desc)
{
	char why[HK_MECH_WHY];

	return check_descriptor(desc, why);
}

static int read_descriptor(struct hk_mech *mech, char why[HK_MECH_WHY])
{
	struct bpf_map *map = bpf_object__find_map_by_name(mech->obj, DESCRIPTOR);
	const void *value;
	size_t size = 0;

	value = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!value || size != sizeof(mech->desc))
		return refuse(why, -EINVAL,
			      "section " DESCRIPTOR " has %zu bytes, a descriptor has %zu",
			      size, sizeof(mech->desc));
	memcpy(&mech->desc, value, size);
	return check_descriptor(&mech->desc, why);
}

static int check_map(struct hk_mech *mech, const char *name, enum bpf_map_type type,
		     __u32 key_size, __u32 value_size, char why[HK_MECH_WHY])
{
	struct bpf_map *map = bpf_object__find_map_by_name(mech->obj, name);

	if (!map)
		return refuse(why, -EINVAL, "there is no map %s", name);
	if (bpf_map__type(map) != type || bpf_map__key_size(map) != key_size ||
	    bpf_map__value_size(map) != value_size)
		return refuse(why, -EINVAL,
			      "map %s: type %d, keys of %u and values of %u bytes; %d, %u and %u are due",
			      name, bpf_map__type(map), bpf_map__key_size(map),
			      bpf_map__value_size(map), type, key_size, value_size);
	return 0;
}

static struct bpf_program *find_prog(struct hk_mech *mech, const char *name,
				     enum bpf_prog_type type, char why[HK_MECH_WHY])
{
	struct bpf_program *prog = bpf_object__find_program_by_name(mech->obj, name);

	if (!prog) {
		refuse(why, -EINVAL, "there is no program %s", name);
		return NULL;
	}
	if (bpf_program__type(prog) != type) {
		refuse(why, -EINVAL, "program %s has type %d, not %d", name,
		       bpf_program__type(prog), type);
		return NULL;
	}
	return prog;
}

static int check_object(struct hk_mech *mech, char why[HK_MECH_WHY])
{
	struct bpf_program *prog, *egress;
	int err;

	err = read_descriptor(mech, why);
	if (!err)
		err = check_map(mech, "hk_mech_ports", BPF_MAP_TYPE_HASH,
				sizeof(struct hk_mech_key), sizeof(struct hk_mech_port), why);
	if (!err)
		err = check_map(mech, "hk_mech_stats", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(__u32),
				sizeof(__u64), why);
	if (err)
		return err;
	mech->ingress = find_prog(mech, "hk_mech_ingress", BPF_PROG_TYPE_XDP, why);
	egress = find_prog(mech, "hk_mech_egress", BPF_PROG_TYPE_SCHED_CLS, why);
	if (!mech->ingress || !egress)
		return -EINVAL;
	bpf_object__for_each_program(prog, mech->obj)
		bpf_program__set_autoload(prog, prog == mech->ingress || prog == egress);
	return 0;
}

/* The licence as the kernel has understood it */
static int check_licence(int prog_fd, char why[HK_MECH_WHY])
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		return refuse(why, -errno, "reading what was loaded: %s", strerror(errno));
	if (!info.gpl_compatible)
		return refuse(why, -EPERM, "its licence is not compatible with the GPL");
	return 0;
}

/*
 * A regular file, and not any size: the daemon's one thread must not wait for a FIFO's
 * writer, or read a device that has no end. The caller frees @elf.
 */
static int read_file(const char *path, void **elf, size_t *size, char why[HK_MECH_WHY])
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int err = 0;

	if (fd < 0 || fstat(fd, &st))
		err = refuse(why, -errno, "it can't be opened: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err = refuse(why, -EINVAL, "not a regular file");
	else if (st.st_size <= 0 || st.st_size > MAX_OBJECT)
		err = refuse(why, -EINVAL, "%lld bytes; an object has 1 to %d",
			     (long long)st.st_size, MAX_OBJECT);
	*size = err ? 0 : st.st_size;
	*elf = err ? NULL : malloc(*size);
	if (!err && (!*elf || pread(fd, *elf, *size, 0) != (ssize_t)*size))
		err = refuse(why, -EIO, "reading it: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/* What libbpf calls the maps of sections after: the file's name up to its first dot */
static const char *object_name(const char *path, char name[HK_MECH_NAME])
{
	const char *slash = strrchr(path, '/');

	snprintf(name, HK_MECH_NAME, "%s", slash ? slash + 1 : path);
	name[strcspn(name, ".")] = '\0';
	return *name ? name : "mechanism";
}

static int open_object(struct hk_mech *mech, const char *path, char why[HK_MECH_WHY])
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "udplite");
	void *copy = NULL;
	char name[HK_MECH_NAME];
	const void *elf;
	size_t size;
	int err;

	if (path) {
		err = read_file(path, &copy, &size, why);
		if (err) {
			free(copy);
			return err;
		}
		opts.object_name = object_name(path, name);
	}
	elf = copy ?: udplite_bpf__elf_bytes(&size);
	mech->obj = bpf_object__open_mem(elf, size, &opts);
	err = mech->obj ? 0 : -errno;
	free(copy);
	return err ? refuse_err(why, err, "it can't be opened as a BPF object") : 0;
}

static int load(struct hk_mech *mech, const char *path, char why[HK_MECH_WHY])
{
	int err;

	err = open_object(mech, path, why);
	if (!err)
		err = check_object(mech, why);
	if (err)
		return err;
	err = bpf_object__load(mech->obj);
	if (err)
		return refuse_err(why, err,
				  "it can't be loaded, `hooker run -d` shows what the verifier says");
	mech->egress_fd = bpf_program__fd(bpf_object__find_program_by_name(mech->obj,
									   "hk_mech_egress"));
	err = check_licence(bpf_program__fd(mech->ingress), why);
	if (!err)
		err = check_licence(mech->egress_fd, why);
	mech->ports_fd = bpf_object__find_map_fd_by_name(mech->obj, "hk_mech_ports");
	mech->stats_fd = bpf_object__find_map_fd_by_name(mech->obj, "hk_mech_stats");
	return err;
}

static void clsact_options(const struct hk_mech *mech, struct bpf_tc_opts *opts)
{
	/* one for each protocol, so that mechanisms don't replace each other */
	opts->handle = TC_HANDLE;
	opts->priority = TC_PRIORITY + mech->desc.ip_proto;
}

/* Kernels before 6.6. The filter runs in direct-action mode, as tcx programs do */
static int attach_clsact(const struct hk_mech *mech, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = mech->egress_fd,
		    .flags = BPF_TC_F_REPLACE);
	int err;

	err = bpf_tc_hook_create(&hook);
	if (err && err != -EEXIST)
		return err;
	clsact_options(mech, &opts);
	return bpf_tc_attach(&hook, &opts);
}

static void detach_clsact(const struct hk_mech *mech, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts);

	clsact_options(mech, &opts);
	bpf_tc_detach(&hook, &opts);
}

static int add_egress(struct hk_mech *mech, int ifindex)
{
	struct hk_egress *eg = calloc(1, sizeof(*eg));
	int err = 0;

	if (!eg)
		return -ENOMEM;
	eg->ifindex = ifindex;
	eg->link_fd = bpf_link_create(mech->egress_fd, ifindex, TCX_EGRESS, NULL);
	if (eg->link_fd < 0)
		err = attach_clsact(mech, ifindex);
	if (err) {
		free(eg);
		return err;
	}
	LIST_INSERT_HEAD(&mech->egresses, eg, all);
	return 0;
}

static void del_egress(struct hk_mech *mech, struct hk_egress *eg)
{
	if (eg->link_fd >= 0)
		close(eg->link_fd);
	else
		detach_clsact(mech, eg->ifindex);
	LIST_REMOVE(eg, all);
	free(eg);
}

static int set_info(struct hk_dataplane *dp, const struct hk_mech *mech, bool carrier)
{
	struct hk_mech_info info = {
		.hdr_len = mech->desc.hdr_len,
		.check_off = mech->desc.check_off,
		.carrier = carrier,
	};
	int infos = bpf_map__fd(dp->xdp->maps.hk_mech_infos);
	__u32 slot = mech->desc.ip_proto;

	return bpf_map_update_elem(infos, &slot, &info, BPF_ANY) ? -errno : 0;
}

/* From here on hooker_ingress gives it the frames of its protocol */
static int set_slot(struct hk_dataplane *dp, const struct hk_mech *mech)
{
	int progs = bpf_map__fd(dp->xdp->maps.hk_mech_progs);
	int prog = bpf_program__fd(mech->ingress);
	__u32 slot = mech->desc.ip_proto;

	if (bpf_map_update_elem(progs, &slot, &prog, BPF_ANY))
		return -errno;
	return set_info(dp, mech, false);
}

static void clear_slot(struct hk_dataplane *dp, const struct hk_mech *mech)
{
	struct hk_mech_info none = {};
	__u32 slot = mech->desc.ip_proto;

	bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.hk_mech_infos), &slot, &none, BPF_ANY);
	bpf_map_delete_elem(bpf_map__fd(dp->xdp->maps.hk_mech_progs), &slot);
}

static int attach(struct hk_dataplane *dp, struct hk_mech *mech, char why[HK_MECH_WHY])
{
	char name[IF_NAMESIZE] = "?";
	struct hk_dev *dev;
	int err;

	err = set_slot(dp, mech);
	if (err)
		return refuse(why, err, "its slot for IP protocol %u: %s", mech->desc.ip_proto,
			      strerror(-err));
	LIST_FOREACH(dev, &dp->devs, all) {
		err = add_egress(mech, dev->ifindex);
		if (err) {
			if_indextoname(dev->ifindex, name);
			return refuse(why, err, "%s: attaching its egress program: %s", name,
				      strerror(-err));
		}
	}
	return 0;
}

static void mech_free(struct hk_mech *mech)
{
	struct hk_egress *eg;

	while ((eg = LIST_FIRST(&mech->egresses)))
		del_egress(mech, eg);
	if (!mech->obj) {
		close(mech->egress_fd);
		close(mech->ports_fd);
		close(mech->stats_fd);
	}
	bpf_object__close(mech->obj);
	free(mech->path);
	free(mech);
}

static int check_room(struct hk_dataplane *dp, const struct hk_mech *new, char why[HK_MECH_WHY])
{
	struct hk_mech *mech;

	LIST_FOREACH(mech, &dp->mechs, all) {
		if (!strcmp(mech->desc.name, new->desc.name))
			return refuse(why, -EEXIST, "a mechanism %s is there already; remove it first",
				      mech->desc.name);
		if (mech->desc.ip_proto == new->desc.ip_proto)
			return refuse(why, -EEXIST, "IP protocol %u is taken by mechanism %s",
				      mech->desc.ip_proto, mech->desc.name);
		if (mech->desc.offer_bit == new->desc.offer_bit)
			return refuse(why, -EEXIST, "offer bit %u is taken by mechanism %s",
				      mech->desc.offer_bit, mech->desc.name);
	}
	return 0;
}

static int deploy(struct hk_dataplane *dp, struct hk_mech *mech, const char *path,
		  char why[HK_MECH_WHY])
{
	__u64 start = now_ns();
	int err;

	mech->path = path ? strdup(path) : NULL;
	if (path && !mech->path)
		return refuse(why, -ENOMEM, "no memory");
	err = load(mech, path, why);
	if (!err)
		err = check_room(dp, mech, why);
	if (err)
		return err;
	mech->times.load_ns = now_ns() - start;
	start = now_ns();
	err = attach(dp, mech, why);
	if (err)
		clear_slot(dp, mech);
	mech->times.attach_ns = now_ns() - start;
	return err;
}

/**
 * hk_dataplane_add_mech - deploy a mechanism: load, check, attach
 * @dp:	  data plane that has the XDP program
 * @path: of its object; NULL: UDP-Lite's, which is part of this program
 * @mech: filled in; owned by @dp, good until hk_dataplane_del_mech()
 * @why:  filled in on failure: what is wrong, to follow the object's name
 *
 * Frames of other protocols pass undisturbed meanwhile.
 *
 * Return: 0; -EEXIST: name, protocol or offer bit are taken; -EINVAL: not a
 * mechanism; -EPERM: wrong licence; -EOPNOTSUPP: no XDP; else of libbpf or the kernel.
 */
int hk_dataplane_add_mech(struct hk_dataplane *dp, const char *path, struct hk_mech **mech,
			  char why[HK_MECH_WHY])
{
	struct hk_mech *new;
	int err;

	if (!dp->xdp)
		return refuse(why, -EOPNOTSUPP,
			      "mechanisms need the XDP program; run without --no-xdp");
	new = calloc(1, sizeof(*new));
	if (!new)
		return refuse(why, -ENOMEM, "no memory");
	err = deploy(dp, new, path, why);
	if (err) {
		mech_free(new);
		return err;
	}
	LIST_INSERT_HEAD(&dp->mechs, new, all);
	*mech = new;
	return 0;
}

/**
 * hk_dataplane_del_mech - take a mechanism out of the kernel
 * @dp:	  data plane
 * @mech: from hk_dataplane_add_mech(); freed
 */
void hk_dataplane_del_mech(struct hk_dataplane *dp, struct hk_mech *mech)
{
	clear_slot(dp, mech);
	LIST_REMOVE(mech, all);
	mech_free(mech);
}

/**
 * hk_dataplane_mech - a deployed mechanism by its name
 * @dp:	  data plane
 * @name: its name
 *
 * Return: owned by @dp; NULL: none.
 */
struct hk_mech *hk_dataplane_mech(const struct hk_dataplane *dp, const char *name)
{
	struct hk_mech *mech;

	LIST_FOREACH(mech, &dp->mechs, all)
		if (!strcmp(mech->desc.name, name))
			return mech;
	return NULL;
}

/**
 * hk_dataplane_next_mech - one mechanism after the other
 * @dp:	  data plane
 * @mech: the one before; NULL for the first
 *
 * Return: owned by @dp; NULL: no more.
 */
struct hk_mech *hk_dataplane_next_mech(const struct hk_dataplane *dp, const struct hk_mech *mech)
{
	return mech ? LIST_NEXT(mech, all) : LIST_FIRST(&dp->mechs);
}

/**
 * hk_mech_about - what a mechanism says about itself
 * @mech:  mechanism
 * @path:  if not NULL, filled in: its file; NULL: part of this program
 * @times: if not NULL, filled in: of loading and attaching it
 *
 * Return: owned by @mech.
 */
const struct hk_mechanism *hk_mech_about(const struct hk_mech *mech, const char **path,
					 struct hk_dataplane_times *times)
{
	if (path)
		*path = mech->path;
	if (times)
		*times = mech->times;
	return &mech->desc;
}

/**
 * hk_mech_set_port - datagrams of this port are the mechanism's from now on
 * @mech: mechanism
 * @key:  which port
 * @port: what is to be done with them
 *
 * Return: 0, -EINVAL, -E2BIG: HK_MECH_MAX_PORTS are there.
 */
int hk_mech_set_port(struct hk_mech *mech, const struct hk_mech_key *key,
		     const struct hk_mech_port *port)
{
	if (!key->port || !port->port || key->side > HK_MECH_OUT_DEST ||
	    port->cover > HK_MECH_COVER_FIELD || port->field > HK_MECH_MAX_FIELD)
		return -EINVAL;
	return bpf_map_update_elem(mech->ports_fd, key, port, BPF_ANY) ? -errno : 0;
}

/**
 * hk_mech_del_port - let a port be UDP's again
 * @mech: mechanism
 * @key:  which port
 *
 * Return: 0, -ENOENT.
 */
int hk_mech_del_port(struct hk_mech *mech, const struct hk_mech_key *key)
{
	return bpf_map_delete_elem(mech->ports_fd, key) ? -errno : 0;
}

/**
 * hk_mech_ports - the ports that are a mechanism's
 * @mech: mechanism
 * @fn:	  called for each
 * @priv: passed to @fn
 *
 * Return: how many.
 */
unsigned int hk_mech_ports(const struct hk_mech *mech,
			   void (*fn)(void *priv, const struct hk_mech_key *key,
				      const struct hk_mech_port *port), void *priv)
{
	struct hk_mech_key key, *prev = NULL;
	struct hk_mech_port port;
	unsigned int nr = 0;

	/* bounded: nobody but this thread changes the map */
	while (nr < HK_MECH_MAX_PORTS && !bpf_map_get_next_key(mech->ports_fd, prev, &key)) {
		if (!bpf_map_lookup_elem(mech->ports_fd, &key, &port))
			fn(priv, &key, &port);
		prev = &key;
		nr++;
	}
	return nr;
}

/**
 * hk_mech_stats - a mechanism's counters, summed up over all CPUs
 * @mech:  mechanism
 * @stats: filled in, in the order of their names in the descriptor
 *
 * Return: 0 or a negative errno.
 */
int hk_mech_stats(const struct hk_mech *mech, __u64 stats[HK_MECH_COUNTERS])
{
	return hk_percpu_sum(mech->stats_fd, 0, stats, HK_MECH_COUNTERS);
}

static void set_locals(struct hk_dataplane *dp, const __be16 *from, const __be16 *to,
		       unsigned int nr)
{
	volatile __be16 *locals = dp->xdp->bss->hk_mech_locals;
	unsigned int i, n;

	for (n = 0; n < nr; n++)
		for (i = 0; i < HK_MECH_MAX_LOCALS; i++)
			if (locals[i] == from[n]) {
				locals[i] = to[n];
				break;
			}
}

/**
 * hk_mech_carry - a mechanism takes our datagrams from now on, or no longer
 * @dp:	    data plane
 * @mech:   mechanism
 * @locals: ports of the sockets behind it, network byte order; UDP as such is kept
 *	    away from them
 * @nr:	    of them; at most HK_MECH_MAX_LOCALS for all mechanisms together
 * @on:	    true: now; false: no longer
 *
 * Return: 0 or a negative errno.
 */
int hk_mech_carry(struct hk_dataplane *dp, struct hk_mech *mech, const __be16 locals[],
		  unsigned int nr, bool on)
{
	static const __be16 none[HK_MECH_MAX_LOCALS];

	if (nr > HK_MECH_MAX_LOCALS)
		return -E2BIG;
	set_locals(dp, on ? none : locals, on ? locals : none, nr);
	return set_info(dp, mech, on);
}

/* A device has come */
int hk_mechs_add_dev(struct hk_dataplane *dp, int ifindex)
{
	struct hk_mech *mech;
	int err = 0;

	LIST_FOREACH(mech, &dp->mechs, all)
		err = err ?: add_egress(mech, ifindex);
	return err;
}

/* A device goes, or has gone */
void hk_mechs_del_dev(struct hk_dataplane *dp, int ifindex)
{
	struct hk_egress *eg, *next;
	struct hk_mech *mech;

	LIST_FOREACH(mech, &dp->mechs, all)
		for (eg = LIST_FIRST(&mech->egresses); eg; eg = next) {
			next = LIST_NEXT(eg, all);
			if (eg->ifindex == ifindex)
				del_egress(mech, eg);
		}
}

/* Take all out */
void hk_mechs_free(struct hk_dataplane *dp)
{
	while (!LIST_EMPTY(&dp->mechs))
		hk_dataplane_del_mech(dp, LIST_FIRST(&dp->mechs));
}
