// SPDX-License-Identifier: GPL-2.0
/*
 * hooker run: reads what the daemon shall do, then becomes the daemon.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "../carrier/carrier.h"
#include "../htp/cc.h"
#include "../relay/relay.h"

#define MAX_CARRIERS	(sizeof(((struct hk_relay_config *)0)->carriers) / sizeof(char *) - 1)

static int set_cgroup(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;

	if (!*value)
		return hk_cmd_usage(env, "--cgroup: the path is empty");
	config->cgroup = value;
	return HK_EXIT_OK;
}

static int add_carrier(const struct hk_cmd_env *env, struct hk_relay_config *config,
		       const char *name)
{
	const struct hk_carrier_ops *ops = hk_carrier_by_name(name);
	unsigned int i;

	if (!ops)
		return hk_cmd_usage(env, "--proto %s: no such carrier; see \"hooker version\"",
				    *name ? name : "\"\"");
	for (i = 0; i < MAX_CARRIERS && config->carriers[i]; i++) {
		if (!strcmp(config->carriers[i], ops->name))
			return hk_cmd_usage(env, "--proto %s: named twice", name);
	}
	if (i == MAX_CARRIERS)
		return hk_cmd_usage(env, "--proto: more than %zu carriers", MAX_CARRIERS);
	config->carriers[i] = ops->name;
	return HK_EXIT_OK;
}

static int set_proto(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	char name[32];
	size_t len;
	int err;

	for (;; value += len + 1) {
		len = strcspn(value, ",");
		if (len >= sizeof(name))
			return hk_cmd_usage(env, "--proto %s: no such carrier", value);
		memcpy(name, value, len);
		name[len] = '\0';
		err = add_carrier(env, ctx, name);
		if (err || !value[len])
			return err;
	}
}

static int set_port(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;
	unsigned long port;

	if (hk_number_parse(value, 1, 65535, &port))
		return hk_cmd_usage(env, "--port %s: not a number from 1 to 65535", value);
	config->port = port;
	return HK_EXIT_OK;
}

static int add_dev(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;
	unsigned int i;

	if (!*value || strlen(value) >= IF_NAMESIZE || strpbrk(value, "/ \t\n"))
		return hk_cmd_usage(env, "--dev %s: not a name for a device", value);
	for (i = 0; i < config->nr_devs; i++) {
		if (!strcmp(config->devs[i], value))
			return hk_cmd_usage(env, "--dev %s: named twice", value);
	}
	if (config->nr_devs == HK_MAX_DEVS)
		return hk_cmd_usage(env, "--dev %s: more than %d devices", value, HK_MAX_DEVS);
	memcpy(config->devs[config->nr_devs++], value, strlen(value) + 1);
	return HK_EXIT_OK;
}

static int set_no_xdp(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct hk_relay_config *)ctx)->no_xdp = true;
	return HK_EXIT_OK;
}

/* Index of a value among the names of an enum; -1: none of them */
static int find_name(const char *const *names, unsigned int nr, const char *value)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!strcmp(value, names[i]))
			return i;
	return -1;
}

static int set_fast_lane(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	static const char * const names[] = {
		[HK_FAST_LANE_AUTO]	= "auto",
		[HK_FAST_LANE_ALWAYS]	= "always",
		[HK_FAST_LANE_NEVER]	= "never",
	};
	int i = find_name(names, sizeof(names) / sizeof(names[0]), value);

	if (i >= 0) {
		((struct hk_relay_config *)ctx)->fast_lane = i;
		return HK_EXIT_OK;
	}
	return hk_cmd_usage(env, "--fast-lane %s: not auto, always or never", value);
}

static int set_udplite(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	static const char * const names[] = {
		[HK_UDPLITE_AUTO]	= "auto",
		[HK_UDPLITE_NATIVE]	= "native",
		[HK_UDPLITE_DEPLOYED]	= "deployed",
	};
	int i = find_name(names, sizeof(names) / sizeof(names[0]), value);

	if (i >= 0) {
		((struct hk_relay_config *)ctx)->udplite = i;
		return HK_EXIT_OK;
	}
	return hk_cmd_usage(env, "--udplite %s: not auto, native or deployed", value);
}

static int set_policy(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;
	struct hk_policy *policy;
	char *text;
	size_t len;
	int err;

	err = hk_cmd_read_policy(env, value, &text, &len, &policy);
	if (err)
		return err;
	free(text);
	config->policy = policy;	/* for as long as the daemon lives */
	config->policy_file = value;
	return HK_EXIT_OK;
}

static int set_carrier(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	static const char * const names[] = {
		[HK_SEND_SOCKET]	= "socket",
		[HK_SEND_XSK]		= "xsk",
		[HK_SEND_XSK_ZEROCOPY]	= "xsk-zerocopy",
	};
	int i = find_name(names, sizeof(names) / sizeof(names[0]), value);

	if (i >= 0) {
		((struct hk_relay_config *)ctx)->sending = i;
		return HK_EXIT_OK;
	}
	return hk_cmd_usage(env, "--carrier %s: not socket, xsk or xsk-zerocopy", value);
}

static int set_cc(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	if (!htp_cc_by_name(value))
		return hk_cmd_usage(env, "--cc %s: not bbr or cubic", *value ? value : "\"\"");
	((struct hk_relay_config *)ctx)->cc = value;
	return HK_EXIT_OK;
}

static int set_memory(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	const unsigned long min = HK_MIN_MEMORY >> 20, max = 1 << 20;
	unsigned long mib;

	if (hk_number_parse(value, min, max, &mib))
		return hk_cmd_usage(env, "--memory %s: not a number of MiB from %lu to %lu",
				    value, min, max);
	((struct hk_relay_config *)ctx)->memory = (__u64)mib << 20;
	return HK_EXIT_OK;
}

static int set_dead_time(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	unsigned long seconds;

	if (hk_number_parse(value, 1, 3600, &seconds))
		return hk_cmd_usage(env, "--dead-time %s: not a number from 1 to 3600", value);
	((struct hk_relay_config *)ctx)->dead_time_s = seconds;
	return HK_EXIT_OK;
}

static int set_takeover(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct hk_relay_config *)ctx)->takeover = true;
	return HK_EXIT_OK;
}

/* What the other daemon runs with stays: connections were offered and accepted so */
static bool takeover_is_changed(const struct hk_relay_config *config)
{
	return config->cgroup || config->carriers[0] || config->port != HK_DEFAULT_PORT ||
	       config->nr_devs || config->no_xdp || config->nr_to || config->nr_from_ports ||
	       config->fast_lane || config->udplite || config->sending || config->policy;
}

static bool same_prefix(const struct hk_prefix *a, const struct hk_prefix *b)
{
	return !memcmp(a->addr, b->addr, sizeof(a->addr)) && a->len == b->len && a->port == b->port;
}

static int add_to(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;
	struct hk_prefix prefix;
	const char *wrong = hk_prefix_parse(value, &prefix);
	unsigned int i;

	if (wrong)
		return hk_cmd_usage(env, "--to %s: %s", value, wrong);
	for (i = 0; i < config->nr_to; i++) {
		if (same_prefix(&config->to[i], &prefix))
			return hk_cmd_usage(env, "--to %s: given twice", value);
	}
	if (config->nr_to == HK_MAX_RULES)
		return hk_cmd_usage(env, "--to %s: more than %d of them", value, HK_MAX_RULES);
	config->to[config->nr_to++] = prefix;
	return HK_EXIT_OK;
}

static int add_from_port(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_relay_config *config = ctx;
	unsigned long port;
	unsigned int i;

	if (hk_number_parse(value, 1, 65535, &port))
		return hk_cmd_usage(env, "--from-port %s: not a number from 1 to 65535", value);
	for (i = 0; i < config->nr_from_ports; i++) {
		if (config->from_ports[i] == port)
			return hk_cmd_usage(env, "--from-port %s: given twice", value);
	}
	if (config->nr_from_ports == HK_MAX_RULES)
		return hk_cmd_usage(env, "--from-port %s: more than %d of them", value,
				    HK_MAX_RULES);
	config->from_ports[config->nr_from_ports++] = port;
	return HK_EXIT_OK;
}

const struct hk_cmd_option hk_run_options[] = {
	{ "cgroup", 0, "PATH", false, set_cgroup,
	  "cgroup2 directory whose processes are served (default: the root)" },
	{ "proto", 0, "NAME,...", false, set_proto,
	  "carriers in order of preference (default: all, UDP-Lite first)" },
	{ "port", 0, "N", false, set_port, "port of the carriers (default: 18507)" },
	{ "dev", 0, "IF", true, add_dev,
	  "device that gets the XDP program (default: all that are up, lo excepted)" },
	{ "no-xdp", 0, NULL, false, set_no_xdp, "attach no XDP program" },
	{ "fast-lane", 0, "WHEN", false, set_fast_lane,
	  "auto, always or never (default: auto, unless it would spoil FIONREAD)" },
	{ "udplite", 0, "HOW", false, set_udplite,
	  "native, deployed (BPF) or auto (default: auto, native where there are sockets)" },
	{ "carrier", 0, "HOW", false, set_carrier,
	  "UDP-Lite leaves by socket, xsk (AF_XDP) or xsk-zerocopy (default: socket)" },
	{ "cc", 0, "NAME", false, set_cc,
	  "congestion control, bbr or cubic (default: bbr)" },
	{ "policy", 0, "FILE", false, set_policy,
	  "rules to start with, as \"hooker policy load\" takes them" },
	{ "dead-time", 0, "SECONDS", false, set_dead_time,
	  "reset connections to a silent host after this time (default: 20)" },
	{ "memory", 0, "MIB", false, set_memory,
	  "most for data of all connections together, MiB (default: 1024)" },
	{ "takeover", 0, NULL, false, set_takeover,
	  "go on with the connections of the running daemon, which ends" },
	{ "to", 0, "PREFIX[:PORT]", true, add_to,
	  "outgoing connections to offer (without --to and --from-port: all)" },
	{ "from-port", 0, "PORT", true, add_from_port,
	  "listeners that take offers (without --to and --from-port: all)" },
	{ 0 }
};

static void use_all_carriers(struct hk_relay_config *config)
{
	const struct hk_carrier_ops *ops;
	unsigned int i;

	for (i = 0; i < MAX_CARRIERS && (ops = hk_carrier_at(i)); i++)
		config->carriers[i] = ops->name;
}

/**
 * hk_cmd_run() - hooker run
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code, after the daemon has ended.
 */
int hk_cmd_run(struct hk_cmd_env *env, int argc, char **argv)
{
	struct hk_relay_config config = { .port = HK_DEFAULT_PORT };
	int err;

	err = hk_cmd_options(env, hk_run_options, &config, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("run"));
	err = hk_cmd_no_arguments(env, argc, argv);
	if (err)
		return err;
	if (config.no_xdp && config.nr_devs)
		return hk_cmd_usage(env, "--dev and --no-xdp exclude each other");
	if (config.no_xdp && config.udplite == HK_UDPLITE_DEPLOYED)
		return hk_cmd_usage(env, "--udplite deployed needs XDP; leave --no-xdp out");
	if (env->json)
		return hk_cmd_usage(env, "-j: the daemon prints no report; use \"hooker show -j\"");

	if (config.takeover && takeover_is_changed(&config))
		return hk_cmd_usage(env,
				    "--takeover: only --cc, --dead-time and --memory can stand beside it");
	if (!config.dead_time_s && !config.takeover)
		config.dead_time_s = HK_DEFAULT_DEAD_TIME;
	if (!config.carriers[0])
		use_all_carriers(&config);
	config.name = env->name;
	config.debug = env->debug;
	return hk_relay_run(&config) ? HK_EXIT_FAILED : HK_EXIT_OK;
}
