// SPDX-License-Identifier: GPL-2.0
/*
 * bench_deploy: what it takes to put hooker and its UDP-Lite into a running kernel, and what
 * a packet pays then. In a network namespace of its own, with one veth pair.
 *
 * The figures beside it are of the paper "Hooker/VTL" (GLOBECOM 2019, CORES 2020). Its
 * mechanism was attached otherwise, so what the kernel waits for when a program is
 * attached to a device (RCU grace periods) stands apart.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "dataplane/dataplane.h"
#include "ingress.skel.h"
#include "netns.h"
#include "relay/relay.h"
#include "udplite.skel.h"

#define ROUNDS		20
#define RUNS		20000
#define WIRE_PORT	18507
#define LOCAL_PORT	40000
#define ASSOC		0x1122334455667788ULL
#define PAYLOAD		1200
#define HEADERS		(14 + 20 + 8)
#define FRAME		(HEADERS + PAYLOAD)

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Of this process, what the kernel does for it included: waiting and others' work are not */
static __u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "bench-deploy: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static void print_ms(const char *what, __u64 *ns, const char *paper)
{
	qsort(ns, ROUNDS, sizeof(*ns), by_value);
	printf("%-48s %8.2f %8.2f %8.2f   %s\n", what, ns[ROUNDS / 2] / 1e6, ns[0] / 1e6,
	       ns[ROUNDS - 1] / 1e6, paper);
}

/* ---- deploying ---- */

static void make_cgroup(char *path, size_t size)
{
	char root[128];
	int err = hk_host_cgroup2(root, sizeof(root));

	if (err)
		die("cgroup v2", err);
	snprintf(path, size, "%s/hkbench%d", root, getpid());
	if (mkdir(path, 0755))
		die(path, errno);
}

static struct hk_dataplane *create(const char *cgroup)
{
	struct hk_dataplane_config config = {
		.bpf = { .port = htons(WIRE_PORT), .stale_ns = 1000000000 },
		.max_flows = 16384,
		.xdp = true,
		.fast_lane = HK_FAST_LANE_ALWAYS,
	};
	struct hk_dataplane *dp;
	int err;

	config.cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (config.cgroup_fd < 0)
		die(cgroup, errno);
	err = hk_dataplane_create(&dp, &config);
	if (err)
		die("hooker's programs", err);
	close(config.cgroup_fd);
	return dp;
}

static void bench_deploy(const char *cgroup)
{
	__u64 hooker[ROUNDS], links[ROUNDS], xdp[ROUNDS], load[ROUNDS], tcx[ROUNDS], all[ROUNDS];
	__u64 hooker_cpu[ROUNDS], mech_cpu[ROUNDS];
	const struct hk_dataplane_times *times;
	struct hk_dataplane_times mech_times;
	struct hk_dataplane *dp;
	char why[HK_MECH_WHY];
	struct hk_mech *mech;
	int i, err;

	for (i = 0; i < ROUNDS; i++) {
		hooker_cpu[i] = cpu_ns();
		dp = create(cgroup);
		hooker_cpu[i] = cpu_ns() - hooker_cpu[i];
		times = hk_dataplane_times(dp);
		hooker[i] = times->load_ns;
		links[i] = times->attach_ns;
		xdp[i] = now_ns();
		err = hk_dataplane_add_dev(dp, if_nametoindex("veth0"));
		xdp[i] = now_ns() - xdp[i];
		if (err)
			die("XDP", err);
		mech_cpu[i] = cpu_ns();
		if (hk_dataplane_add_mech(dp, NULL, &mech, why))
			die(why, EINVAL);
		mech_cpu[i] = cpu_ns() - mech_cpu[i];
		hk_mech_about(mech, NULL, &mech_times);
		load[i] = mech_times.load_ns;
		tcx[i] = mech_times.attach_ns;
		all[i] = load[i] + tcx[i] + xdp[i];
		hk_dataplane_destroy(dp);
	}
	printf("%-48s %8s %8s %8s\n", "ms, of 20", "median", "least", "most");
	print_ms("hooker: open and load all programs", hooker, "paper: 20 ms");
	print_ms("hooker: attach to cgroup and SOCKHASH", links, "");
	print_ms("hooker: CPU time of both", hooker_cpu, "");
	print_ms("udplite: open, check and load", load, "paper: 7 ms; goal: below 10 ms");
	print_ms("udplite: slot in hooker_ingress, tcx egress", tcx, "");
	print_ms("udplite: CPU time of both", mech_cpu, "");
	print_ms("XDP on a device, once for all mechanisms", xdp, "");
	print_ms("udplite with all that the kernel waits for", all, "");
}

/* ---- packets ---- */

static void put16(__u8 *p, __u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static __u32 sum(const __u8 *p, __u32 len, __u32 start)
{
	for (; len; p += 2, len -= 2)
		start += p[0] << 8 | p[1];
	return start;
}

static __u16 fold(__u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* DATA of an association, 192.0.2.1 to 192.0.2.2; @cover: bytes under the checksum */
static void make_frame(__u8 *f, __u8 proto, __u16 sport, __u16 dport, __u32 cover)
{
	__u8 *ip = f + 14, *l4 = f + 34, *htp = f + HEADERS;
	int i;

	memset(f, 0, FRAME);
	put16(f + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, FRAME - 14);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, "\300\0\2\1\300\0\2\2", 8);
	put16(ip + 10, fold(sum(ip, 20, 0)));
	put16(l4, sport);
	put16(l4 + 2, dport);
	put16(l4 + 4, cover);
	htp[0] = 0x10;
	for (i = 0; i < 8; i++)
		htp[8 + i] = ASSOC >> (56 - 8 * i);
	put16(l4 + 6, fold(sum(l4, cover, sum(ip + 12, 8, proto + 8 + PAYLOAD))));
}

static void prog_stats(int fd, __u64 *ns, __u64 *cnt)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		die("program info", errno);
	*ns = info.run_time_ns;
	*cnt = info.run_cnt;
}

/* One run at a time, since a run changes the packet */
static void bench_prog(const char *what, int fd, const __u8 *frame, int expected)
{
	static __u64 each[RUNS];
	__u64 ns[2], cnt[2];
	__u8 out[FRAME + 64];
	int i;

	prog_stats(fd, &ns[0], &cnt[0]);
	for (i = 0; i < RUNS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = FRAME,
			    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

		if (bpf_prog_test_run_opts(fd, &opts))
			die(what, errno);
		if ((int)opts.retval != expected) {
			fprintf(stderr, "bench-deploy: %s: verdict %d, not %d\n", what,
				(int)opts.retval, expected);
			exit(1);
		}
		each[i] = opts.duration;
	}
	prog_stats(fd, &ns[1], &cnt[1]);
	qsort(each, RUNS, sizeof(*each), by_value);
	printf("%-48s %8llu %8llu %8llu %8.0f\n", what, (unsigned long long)each[RUNS / 2],
	       (unsigned long long)each[RUNS / 20], (unsigned long long)each[RUNS - RUNS / 20],
	       (double)(ns[1] - ns[0]) / (cnt[1] - cnt[0]));
}

static void set(struct bpf_map *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY))
		die(bpf_map__name(map), errno);
}

static struct ingress_bpf *load_ingress(void)
{
	struct hk_local_key local = { { 0, 0, htonl(0xffff), htonl(0xc0000202) } };
	struct hk_assoc_entry assoc = { .raddr = { { 0, 0, htonl(0xffff), htonl(0xc0000201) } } };
	struct ingress_bpf *skel = ingress_bpf__open();
	struct hk_bpf_config config = { .port = htons(WIRE_PORT) };
	__u64 id = ASSOC;
	__u32 one = 1;

	if (!skel)
		die("hooker_ingress", errno);
	config.protos = HK_PROTO_UDP | HK_PROTO_UDPLITE;
	memcpy((void *)&skel->rodata->hk_config, &config, sizeof(config));
	if (ingress_bpf__load(skel))
		die("hooker_ingress", errno);
	set(skel->maps.hk_locals, &local, &one);
	set(skel->maps.hk_assocs, &id, &assoc);
	return skel;
}

static struct udplite_bpf *load_udplite(void)
{
	struct hk_mech_key in = { htons(WIRE_PORT), HK_MECH_IN_DEST };
	struct hk_mech_key out = { htons(LOCAL_PORT), HK_MECH_OUT_SOURCE };
	struct hk_mech_port local = { .port = htons(LOCAL_PORT) };
	struct hk_mech_port wire = { .port = htons(WIRE_PORT) };
	struct udplite_bpf *skel = udplite_bpf__open_and_load();

	if (!skel)
		die("udplite", errno);
	set(skel->maps.hk_mech_ports, &in, &local);
	set(skel->maps.hk_mech_ports, &out, &wire);
	return skel;
}

static void chain(struct ingress_bpf *ingress, struct udplite_bpf *lite)
{
	struct hk_mech_info info = { .hdr_len = 8, .check_off = 6, .carrier = 1 };
	int prog = bpf_program__fd(lite->progs.hk_mech_ingress);
	__u32 slot = IPPROTO_UDPLITE;

	set(ingress->maps.hk_mech_infos, &slot, &info);
	set(ingress->maps.hk_mech_progs, &slot, &prog);
}

static void bench_packets(void)
{
	struct ingress_bpf *ingress = load_ingress();
	struct udplite_bpf *lite = load_udplite();
	int xdp = bpf_program__fd(ingress->progs.hooker_ingress);
	int egress = bpf_program__fd(lite->progs.hk_mech_egress);
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	__u8 full[FRAME], partial[FRAME], other[FRAME], leaving[FRAME];

	if (stats < 0)
		die("bpf_stats", errno);
	make_frame(full, IPPROTO_UDPLITE, 1, WIRE_PORT, 8 + PAYLOAD);
	make_frame(partial, IPPROTO_UDPLITE, 1, WIRE_PORT, 24);
	make_frame(other, IPPROTO_TCP, 1, 80, 24);
	make_frame(leaving, IPPROTO_UDP, LOCAL_PORT, WIRE_PORT, 8 + PAYLOAD);
	put16(leaving + 40, 0);		/* as of a socket with SO_NO_CHECK */
	printf("\n%-48s %8s %8s %8s %8s\n", "ns a packet of 1242 bytes, of 20000", "median", "5 %",
	       "95 %", "stats");
	bench_prog("hooker_ingress: TCP, passes", xdp, other, 2);
	bench_prog("hooker_ingress: verdict on DATA", xdp, full, 2);
	chain(ingress, lite);
	bench_prog("the same, tail call, UDP-Lite made UDP", xdp, full, 2);
	bench_prog("the same, 24 bytes covered", xdp, partial, 2);
	bench_prog("egress: UDP made UDP-Lite, checksum written", egress, leaving, -1);
	printf("median and spread by BPF_PROG_TEST_RUN, which costs some 50 ns itself; stats: mean by\n"
	       "bpf_stats. Paper: 400 ns for a redirect.\n");
	close(stats);
	udplite_bpf__destroy(lite);
	ingress_bpf__destroy(ingress);
}

int main(void)
{
	char cgroup[256];

	setbuf(stdout, NULL);
	if (geteuid()) {
		fprintf(stderr, "bench-deploy: needs root\n");
		return KSFT_SKIP;
	}
	make_cgroup(cgroup, sizeof(cgroup));
	if (netns_enter_new() || netns_run("ip link add veth0 type veth peer name veth1") ||
	    netns_run("ip link set veth0 up"))
		die("network namespace", errno);
	bench_deploy(cgroup);
	rmdir(cgroup);
	bench_packets();
	return 0;
}
