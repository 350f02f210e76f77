// SPDX-License-Identifier: GPL-2.0
/*
 * hooker doctor: the table of what hooker uses of a host, and what it costs where it
 * is not there.
 */
#include <stdio.h>
#include <string.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <bpf/libbpf.h>
#include "cmd.h"
#include "probe.h"

#define SEEN_MAX	192
#define ROOT		"run hooker as root"
#define KERNEL(config)	"use a kernel with " config
#define CALL(n)	BPF_FUNC_ ## n

const struct hk_probe hk_probes[] = {
	{ "privileges", true, hk_probe_capabilities, { -1 },
	  "programs cannot be loaded, nor sockets forged", ROOT },
	{ "run-dir", true, hk_probe_run_dir, { -1 },
	  "the daemon cannot create its control socket below /run/hooker", ROOT },
	{ "cgroup2", true, hk_probe_cgroup2, { -1 },
	  "there is nothing to attach the programs to",
	  "mount -t cgroup2 none DIRECTORY, or boot with systemd.unified_cgroup_hierarchy=1" },
	{ "btf", true, hk_probe_btf, { -1 },
	  "programs cannot be adapted to this kernel", KERNEL("CONFIG_DEBUG_INFO_BTF=y") },
	{ "bpf", true, hk_probe_bpf, { -1 },
	  "programs cannot be loaded", ROOT ", on a kernel with CONFIG_CGROUP_BPF=y" },
	{ "bpf-programs", true, hk_probe_progs,
	  { BPF_PROG_TYPE_SOCK_OPS, BPF_PROG_TYPE_SK_MSG, BPF_PROG_TYPE_CGROUP_SKB, -1 },
	  "connections cannot be offered, held or redirected",
	  KERNEL("CONFIG_CGROUP_BPF=y and CONFIG_NET_SOCK_MSG=y") },
	{ "bpf-xdp", false, hk_probe_progs, { BPF_PROG_TYPE_XDP, -1 },
	  "malformed and stray datagrams reach the daemon", "hooker run --no-xdp" },
	{ "bpf-maps", true, hk_probe_maps,
	  { BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_RINGBUF,
	    BPF_MAP_TYPE_LPM_TRIE, -1 },
	  "programs cannot be loaded", "use Linux 5.8 or later with CONFIG_BPF_STREAM_PARSER=y" },
	{ "bpf-mmap", true, hk_probe_mmap, { -1 },
	  "daemon and programs cannot share their state", "use Linux 5.5 or later" },
	{ "header-options", true, hk_probe_calls,
	  { BPF_PROG_TYPE_SOCK_OPS, CALL(reserve_hdr_opt), CALL(store_hdr_opt),
	    CALL(load_hdr_opt), -1 },
	  "the offer cannot be written into TCP headers", "use Linux 5.10 or later" },
	{ "netns-cookie", true, hk_probe_calls,
	  { BPF_PROG_TYPE_SOCK_OPS, CALL(get_netns_cookie), CALL(sk_storage_get),
	    CALL(sock_hash_update), CALL(skc_to_tcp_sock), -1 },
	  "connections of other network namespaces cannot be told apart",
	  "use Linux 5.15 or later" },
	{ "gate", true, hk_probe_calls,
	  { BPF_PROG_TYPE_CGROUP_SKB, CALL(sk_storage_get), CALL(ringbuf_reserve),
	    CALL(skc_to_tcp_sock), CALL(skb_load_bytes), -1 },
	  "handshakes cannot be held back until the path is proven", "use Linux 5.10 or later" },
	{ "redirect", true, hk_probe_calls,
	  { BPF_PROG_TYPE_SK_MSG, CALL(msg_redirect_hash), CALL(sk_storage_get),
	    CALL(skc_to_tcp_sock), -1 },
	  "the fast lane's program cannot be loaded", "use Linux 5.10 or later" },
	{ "fionread", false, hk_probe_fionread, { -1 },
	  "no fast lane: with it, applications that ask FIONREAD would be told 0",
	  "hooker run --fast-lane always, if none of them asks" },
	{ "tcp-repair", true, hk_probe_sockopt,
	  { AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_REPAIR, 1, -1 },
	  "established sockets cannot be forged", ROOT },
	{ "transparent", true, hk_probe_sockopt,
	  { AF_INET, SOCK_STREAM, SOL_IP, IP_TRANSPARENT, 1, -1 },
	  "forged sockets cannot have the peer's address", ROOT },
	{ "raw-socket", true, hk_probe_socket, { AF_INET, SOCK_RAW, IPPROTO_RAW, -1 },
	  "handshake packets that were held back cannot be sent on", ROOT },
	{ "policy-routing", true, hk_probe_rules, { -1 },
	  "hooked sockets cannot be steered to their local peers",
	  KERNEL("CONFIG_IP_MULTIPLE_TABLES=y") },
	{ "lo", true, hk_probe_lo, { -1 },
	  "applications cannot reach their local peers", "ip link set lo up" },
	{ "ipv6", false, hk_probe_ipv6, { -1 },
	  "connections over IPv6 stay plain TCP", "sysctl net.ipv6.conf.all.disable_ipv6=0" },
	{ "udplite", false, hk_probe_socket, { AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, -1 },
	  "connections are carried over UDP instead of UDP-Lite",
	  "Linux 7.1 removed these sockets; nothing is wrong with --proto udp" },
	{ "udp-gso", false, hk_probe_sockopt,
	  { AF_INET, SOCK_DGRAM, SOL_UDP, UDP_SEGMENT, 1200, -1 },
	  "sending over UDP costs more CPU time", "use Linux 4.18 or later" },
	{ "udp-gro", false, hk_probe_sockopt, { AF_INET, SOCK_DGRAM, SOL_UDP, UDP_GRO, 1, -1 },
	  "receiving over UDP costs more CPU time", "use Linux 5.0 or later" },
	{ "local-congestion", false, hk_probe_congestion, { -1 },
	  "a default that paces slows applications down on the way to the daemon",
	  "sysctl net.ipv4.tcp_allowed_congestion_control must have reno" },
	{ "conntrack-udplite", false, hk_probe_conntrack, { -1 },
	  "conntrack takes UDP-Lite datagrams for invalid; rules that drop those block this carrier",
	  "sysctl net.netfilter.nf_conntrack_checksum=0, or --proto udp" },
	{ "tcp-iterator", false, hk_probe_iter, { -1 },
	  "listeners older than the daemon take no offers",
	  "use Linux 6.12 or later, or restart them" },
	{ 0 }
};

/**
 * struct finding - a probe and what came out
 * @probe: the row
 * @state: ok; missing: required and not there; degraded: optional and not there;
 *         unknown: not allowed to try
 * @seen:  what the probe saw, perhaps empty
 */
struct finding {
	const struct hk_probe	*probe;
	const char		*state;
	char			seen[SEEN_MAX];
};

static bool is_ok(const struct finding *f)
{
	return !strcmp(f->state, "ok");
}

static bool is_unknown(const struct finding *f)
{
	return !strcmp(f->state, "unknown");
}

static void examine(struct finding *f, const struct hk_probe *probe)
{
	f->probe = probe;
	f->seen[0] = '\0';
	switch (probe->fn(probe, f->seen, sizeof(f->seen))) {
	case HK_PROBE_OK:
		f->state = "ok";
		break;
	case HK_PROBE_MISSING:
		f->state = probe->required ? "missing" : "degraded";
		break;
	case HK_PROBE_UNKNOWN:
		f->state = "unknown";
		if (!f->seen[0])
			snprintf(f->seen, sizeof(f->seen), "not allowed to try");
		break;
	}
}

static const char *cost(const struct finding *f)
{
	return is_ok(f) || is_unknown(f) ? NULL : f->probe->cost;
}

static const char *way_out(const struct finding *f)
{
	if (is_ok(f))
		return NULL;
	return is_unknown(f) ? "run hooker doctor as root" : f->probe->remedy;
}

static void print_plain(const struct finding *f)
{
	printf("%-8s  %s", f->state, f->probe->name);
	if (*f->seen)
		printf(": %s", f->seen);
	if (!f->probe->required && !is_ok(f))
		printf(" (optional)");
	putchar('\n');
	if (cost(f))
		printf("%10scost: %s\n", "", cost(f));
	if (way_out(f))
		printf("%10sway out: %s\n", "", way_out(f));
}

static void report_one(struct hk_report *r, const struct finding *f)
{
	hk_report_object(r);
	hk_report_str(r, "name", f->probe->name);
	hk_report_str(r, "state", f->state);
	hk_report_bool(r, "required", f->probe->required);
	hk_report_str(r, "seen", *f->seen ? f->seen : NULL);
	hk_report_str(r, "cost", cost(f));
	hk_report_str(r, "way_out", way_out(f));
	hk_report_end(r);
}

static int print_verdict(const struct hk_cmd_env *env, unsigned int nr_bad)
{
	int err;

	if (nr_bad)
		printf("\n\"hooker run\" cannot work here: %u required %s not there\n", nr_bad,
		       nr_bad == 1 ? "thing is" : "things are");
	else
		printf("\n\"hooker run\" can work here\n");
	err = hk_cmd_write(env, "", 0);
	return err || nr_bad ? HK_EXIT_FAILED : HK_EXIT_OK;
}

static int print_json(const struct hk_cmd_env *env, struct hk_report *r, unsigned int nr_bad)
{
	int err;

	hk_report_end(r);
	hk_report_bool(r, "can_run", !nr_bad);
	err = hk_cmd_print(env, r);
	return err || nr_bad ? HK_EXIT_FAILED : HK_EXIT_OK;
}

/**
 * hk_cmd_doctor() - hooker doctor
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: HK_EXIT_OK if `hooker run` can work here.
 */
int hk_cmd_doctor(struct hk_cmd_env *env, int argc, char **argv)
{
	const struct hk_probe *probe;
	unsigned int nr_bad = 0;
	struct finding finding;
	struct hk_report r;
	int err;

	err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("doctor"));
	err = hk_cmd_no_arguments(env, argc, argv);
	if (err)
		return err;

	if (!env->debug)
		libbpf_set_print(NULL);
	hk_report_init(&r, true);
	hk_report_array(&r, "checks");
	for (probe = hk_probes; probe->name; probe++) {
		examine(&finding, probe);
		nr_bad += probe->required && !is_ok(&finding);
		if (env->json)
			report_one(&r, &finding);
		else
			print_plain(&finding);
	}
	err = env->json ? print_json(env, &r, nr_bad) : print_verdict(env, nr_bad);
	hk_report_exit(&r);
	return err;
}
