// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's policy: takes changes from the control socket, finds the cgroups that rules
 * name, and hands the result to the BPF programs.
 *
 * A change is worked out on a copy. Only when the programs have taken it over does it
 * become the policy; so nobody ever sees half of one, and what fails has changed nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "../dataplane/adopt.h"
#include "../htp/cc.h"
#include "log.h"
#include "policy.h"
#include "private.h"
#include "rules.h"

/* Kinds of association that differ in what this side sends with: index is the class */
static const char * const classes[] = { NULL, "bbr", "cubic" };

#define NR_CLASSES	(sizeof(classes) / sizeof(classes[0]))

_Static_assert(NR_CLASSES - 1 <= HK_CLASS_MASK, "a class has three bits in the option");

/**
 * hk_class_cc - what an association sends with
 * @r:	   relay
 * @class: also one that a peer made up
 *
 * Return: congestion controller; NULL: HTP's default.
 */
const struct htp_cc_ops *hk_class_cc(const struct hk_relay *r, __u8 class)
{
	const char *name = r->config->cc;

	if (class && class < NR_CLASSES)
		name = classes[class];
	return name ? htp_cc_by_name(name) : NULL;
}

/* Naming the default makes no class of its own: such connections share associations */
static __u8 class_of(const struct hk_relay *r, const struct hk_rule *rule)
{
	const struct htp_cc_ops *usual = hk_class_cc(r, 0) ?: &htp_cc_bbr;
	unsigned int i;

	if (!*rule->cc || htp_cc_by_name(rule->cc) == usual)
		return 0;
	for (i = 1; i < NR_CLASSES; i++)
		if (!strcmp(classes[i], rule->cc))
			return i;
	return 0;
}

__attribute__((__format__(printf, 3, 4)))
static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_within(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && (!path[len] || path[len] == '/' || top[len - 1] == '/');
}

static int cgroup_id(const char *path, __u64 *id)
{
	union {
		struct file_handle	handle;
		__u8			room[sizeof(struct file_handle) + sizeof(*id)];
	} u = { .handle.handle_bytes = sizeof(*id) };
	int mount;

	if (name_to_handle_at(AT_FDCWD, path, &u.handle, &mount, 0))
		return -errno;
	memcpy(id, u.handle.f_handle, sizeof(*id));
	return 0;
}

/* Relative paths are below the place where cgroup v2 is mounted */
static int find_cgroup(struct hk_relay *r, struct hk_rule *rule, char *why, size_t size)
{
	char top[256] = "", path[600], real[PATH_MAX], served[PATH_MAX];
	struct statfs fs;
	int err;

	err = hk_host_cgroup2(top, sizeof(top));
	if (err && rule->cgroup[0] != '/')
		return refuse(why, size, "cgroup %s: cgroup v2 is not mounted here", rule->cgroup);
	if (rule->cgroup[0] == '/')
		snprintf(path, sizeof(path), "%s", rule->cgroup);
	else
		snprintf(path, sizeof(path), "%s/%s", top, rule->cgroup);
	if (!realpath(path, real) || statfs(real, &fs))
		return refuse(why, size, "cgroup %s: %s; it has to exist, %s", rule->cgroup,
			      strerror(errno), "make it or start its service first");
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return refuse(why, size, "cgroup %s: not a directory of cgroup v2", rule->cgroup);
	if (!realpath(r->config->cgroup ?: top, served) || !is_within(real, served))
		return refuse(why, size, "cgroup %s: this daemon serves %s only", rule->cgroup,
			      r->config->cgroup ?: top);
	err = cgroup_id(real, &rule->cgroup_id);
	if (err)
		return refuse(why, size, "cgroup %s: %s", rule->cgroup, strerror(-err));
	return 0;
}

/* Those that were found before keep their id, also if the directory is gone by now */
static int find_cgroups(struct hk_relay *r, struct hk_policy *policy, bool lines,
			char *why, size_t size)
{
	struct hk_rule *rule;
	unsigned int i;
	int len, err;

	for (i = 0; i < policy->nr; i++) {
		rule = &policy->rules[i];
		if (!*rule->cgroup || rule->cgroup_id)
			continue;
		len = lines ? snprintf(why, size, "%u: ", rule->line) : 0;
		err = find_cgroup(r, rule, why + len, size - len);
		if (err)
			return err;
	}
	return 0;
}

static void compile_rule(const struct hk_relay *r, const struct hk_rule *rule,
			 struct hk_policy_rule *to)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->from, rule->from.addr, sizeof(to->from));
	memcpy(to->to, rule->to.addr, sizeof(to->to));
	to->from_len = rule->from.len;
	to->to_len = rule->to.len;
	to->in = rule->in;
	to->out = rule->out;
	to->port_min = rule->port_min;
	to->port_max = rule->port_max;
	to->cgroup = rule->cgroup_id;
	to->action.pref = rule->pref;
	to->action.protos = rule->protos ?: 0xff;
	to->action.class = class_of(r, rule);
	if (rule->none)
		to->action.flags |= HK_ACTION_NONE;
	if (rule->contact == HK_CONTACT_NATIVE_FIRST)
		to->action.flags |= HK_ACTION_NATIVE_FIRST;
	if (rule->cover == HK_COVER_HEADER)
		to->action.flags |= HK_ACTION_COVER_HEADER;
}

static struct hk_policy_rule *compile(const struct hk_relay *r, const struct hk_policy *policy)
{
	struct hk_policy_rule *rules = calloc(policy->nr ?: 1, sizeof(*rules));
	unsigned int i;

	for (i = 0; rules && i < policy->nr; i++)
		compile_rule(r, &policy->rules[i], &rules[i]);
	return rules;
}

/**
 * hk_rules_open - the policy that the daemon starts with
 * @r: relay; its data plane is not there yet
 *
 * The reason of a failure is printed.
 *
 * Return: 0, or a negative errno. @r owns dp_config.policy and policy then; both are NULL
 * or to be freed by hk_rules_close().
 */
int hk_rules_open(struct hk_relay *r)
{
	char why[HK_POLICY_ERROR];
	int err;

	r->policy = calloc(1, sizeof(*r->policy));
	if (!r->policy)
		return -ENOMEM;
	if (!r->config->policy)
		return 0;
	*r->policy = *r->config->policy;
	err = find_cgroups(r, r->policy, true, why, sizeof(why));
	if (err) {
		hk_err("%s:%s", r->config->policy_file, why);
		return err;
	}
	r->first_rules = compile(r, r->policy);
	if (!r->first_rules)
		return -ENOMEM;
	r->dp_config.policy = r->first_rules;
	r->dp_config.nr_policy = r->policy->nr;
	return 0;
}

/**
 * hk_rules_close - free the policy
 * @r: relay
 */
void hk_rules_close(struct hk_relay *r)
{
	free(r->first_rules);
	free(r->policy);
}

static int install(struct hk_relay *r, const struct hk_policy *policy, char *why, size_t size)
{
	struct hk_policy_rule *rules = compile(r, policy);
	int err = rules ? hk_dataplane_set_policy(r->dp, rules, policy->nr) : -ENOMEM;

	free(rules);
	return err ? refuse(why, size, "handing the rules to the kernel: %s; the old ones hold",
			    strerror(-err)) : 0;
}

static int change(struct hk_relay *r, struct hk_policy *policy, bool load, const char *text,
		  size_t len, char *why, size_t size)
{
	struct hk_policy_error error = {};
	int err;

	if (!load)
		*policy = *r->policy;
	err = hk_policy_read(policy, text, len, &error);
	if (err && load && error.line)
		return refuse(why, size, "%u: %s", error.line, error.text);
	if (err)
		return refuse(why, size, "%s", error.text);
	err = find_cgroups(r, policy, load, why, size);
	return err ?: install(r, policy, why, size);
}

/**
 * hk_rules_adopt - go on with the policy of another daemon
 * @r:	      relay with its data plane and @policy
 * @last_gen: as in hk_dataplane_parts
 *
 * They are handed to the programs again: with another --cc the same rules mean
 * something else. If that fails, the old ones hold; the reason has been printed.
 */
void hk_rules_adopt(struct hk_relay *r, __u32 last_gen)
{
	struct hk_policy_rule *rules = compile(r, r->policy);
	char why[HK_POLICY_ERROR];
	int err;

	err = rules ? hk_dataplane_adopt_policy(r->dp, rules, r->policy->nr, last_gen) : -ENOMEM;
	free(rules);
	if (err)
		hk_err("policy: %s", strerror(-err));
	else if (install(r, r->policy, why, sizeof(why)))
		hk_err("policy: %s", why);
}

/**
 * hk_rules_command - a request to change the policy
 * @priv: relay
 * @what: "policy-edit": @body's lines change it; "policy-load": they are all of it
 * @body: see relay/policy.h
 * @len:  bytes
 * @why:  filled on failure; for "policy-load" it begins with the number of the line
 * @size: of @why
 *
 * Return: 0 or a negative errno.
 */
int hk_rules_command(void *priv, const char *what, const char *body, size_t len, char *why,
		     size_t size)
{
	bool load = !strcmp(what, "policy-load");
	struct hk_relay *r = priv;
	struct hk_policy *policy;
	int err;

	if (!load && strcmp(what, "policy-edit"))
		return refuse(why, size, "not a request that this daemon knows");
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return refuse(why, size, "%s", strerror(ENOMEM));
	err = change(r, policy, load, body, len, why, size);
	if (err) {
		free(policy);
		return err;
	}
	free(r->policy);
	r->policy = policy;
	return 0;
}

static void answer_prefix(struct hk_report *rep, const char *name, const struct hk_prefix *prefix)
{
	char text[HK_PREFIX_TEXT];

	hk_report_str(rep, name, prefix->len ? hk_prefix_format(prefix, text) : NULL);
}

static void answer_rule(struct hk_report *rep, const struct hk_rule *rule)
{
	const char *name;
	unsigned int i;

	hk_report_object(rep);
	hk_report_u64(rep, "pref", rule->pref);
	hk_report_str(rep, "direction", !rule->out ? "in" : !rule->in ? "out" : NULL);
	answer_prefix(rep, "from", &rule->from);
	answer_prefix(rep, "to", &rule->to);
	hk_report_u64(rep, "port_min", rule->port_min);
	hk_report_u64(rep, "port_max", rule->port_max);
	hk_report_str(rep, "cgroup", *rule->cgroup ? rule->cgroup : NULL);
	hk_report_bool(rep, "hook", !rule->none);
	hk_report_array(rep, "via");
	for (i = 0; i < 8; i++) {
		name = hk_carrier_name(i);
		if ((rule->protos & 1 << i) && name)
			hk_report_str(rep, NULL, name);
	}
	hk_report_end(rep);
	hk_report_str(rep, "cover", hk_cover_name(rule->cover));
	hk_report_str(rep, "cc", *rule->cc ? rule->cc : NULL);
	hk_report_str(rep, "first_contact", rule->none ? NULL :
		      rule->contact == HK_CONTACT_HOLD ? "hold" : "native-first");
	hk_report_end(rep);
}

/**
 * hk_rules_answer - write the policy
 * @r:	 relay
 * @rep: plain: lines that "policy-load" takes
 *
 * Return: 0.
 */
int hk_rules_answer(const struct hk_relay *r, struct hk_report *rep)
{
	char line[HK_RULE_TEXT + 8] = "add ";
	unsigned int i;

	if (rep->json)
		hk_report_array(rep, "rules");
	for (i = 0; i < r->policy->nr; i++) {
		if (rep->json) {
			answer_rule(rep, &r->policy->rules[i]);
			continue;
		}
		hk_rule_format(&r->policy->rules[i], line + strlen("add "));
		hk_report_line(rep, line);
	}
	if (rep->json)
		hk_report_end(rep);
	return 0;
}
