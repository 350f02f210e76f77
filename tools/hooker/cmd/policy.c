// SPDX-License-Identifier: GPL-2.0
/*
 * hooker policy: looks at and changes the rules of a running daemon. What can be found wrong
 * without it is found here, with exit code 2; what it refuses, with 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "../relay/control.h"
#include "../relay/policy.h"

_Static_assert(HK_POLICY_BYTES <= HK_CONTROL_BODY, "a policy fits into a request");

const char *const hk_policy_words[] = { "add", "del", "list", "flush", "load", NULL };

/* What is wrong with the words alone */
static int check(struct hk_cmd_env *env, int argc, char **argv)
{
	struct hk_policy_error error = {};
	struct hk_rule rule;
	int i;

	for (i = 0; i < argc; i++) {
		if (!*argv[i] || strpbrk(argv[i], " \t\r\v\f\n#"))
			return hk_cmd_usage(env, "\"%.40s\": a word has neither blanks nor '#'",
					    argv[i]);
	}
	if (!strcmp(argv[0], "add") && hk_rule_parse(&rule, argv + 1, argc - 1, &error) &&
	    !error.unknown_carrier)
		return hk_cmd_usage(env, "%s", error.text);
	if (!strcmp(argv[0], "del") && hk_rule_selects(&rule, argv + 1, argc - 1, &error))
		return hk_cmd_usage(env, "%s", error.text);
	return strcmp(argv[0], "flush") ? HK_EXIT_OK :
	       hk_cmd_no_arguments(env, argc - 1, argv + 1);
}

static int do_edit(struct hk_cmd_env *env, int argc, char **argv)
{
	char line[HK_RULE_TEXT + 64] = "";
	size_t used = 0;
	int i, err;

	err = check(env, argc, argv);
	for (i = 0; !err && i < argc; i++) {
		used += snprintf(line + used, sizeof(line) - used, "%s%s", i ? " " : "", argv[i]);
		if (used >= sizeof(line))
			return hk_cmd_usage(env, "%.40s: too long for a rule", argv[i]);
	}
	return err ? err : hk_cmd_tell(env, "policy-edit", line, used, "");
}

/**
 * hk_cmd_read_policy() - read rules from a file and check them
 * @env:    global options
 * @path:   of the file; "-": standard input
 * @text:   the file's bytes; the caller's to free
 * @len:    how many
 * @policy: the rules; likewise. "hooker policy load" leaves names of carriers to the daemon,
 *	    which may have mechanisms that are not known here
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_read_policy(const struct hk_cmd_env *env, const char *path, char **text, size_t *len,
		       struct hk_policy **policy)
{
	struct hk_policy_error error;
	int err;

	err = hk_policy_read_file(path, text, len);
	if (err == -EFBIG)
		return hk_cmd_usage(env, "%s: longer than %d bytes", path, HK_POLICY_BYTES);
	if (err)
		return hk_cmd_fail(env, "%s: %s", path, strerror(-err));
	*policy = calloc(1, sizeof(**policy));
	if (!*policy)
		err = hk_cmd_fail(env, "%s: %s", path, strerror(ENOMEM));
	else if (hk_policy_read(*policy, *text, *len, &error) &&
		 !(error.unknown_carrier && !strcmp(env->command, "policy")))
		err = hk_cmd_usage(env, "%s:%u: %s", path, error.line, error.text);
	if (!err)
		return HK_EXIT_OK;
	free(*policy);
	free(*text);
	return err;
}

static int do_load(struct hk_cmd_env *env, int argc, char **argv)
{
	struct hk_policy *policy;
	char *text, prefix[256];
	size_t len;
	int err;

	if (argc < 2)
		return hk_cmd_usage(env, "load: FILE is missing; \"-\" is standard input");
	err = hk_cmd_no_arguments(env, argc - 2, argv + 2);
	if (err)
		return err;
	err = hk_cmd_read_policy(env, argv[1], &text, &len, &policy);
	if (err)
		return err;
	free(policy);
	snprintf(prefix, sizeof(prefix), "%.200s:", argv[1]);
	err = hk_cmd_tell(env, "policy-load", text, len, prefix);
	free(text);
	return err;
}

static int do_list(struct hk_cmd_env *env, int argc, char **argv)
{
	int err = hk_cmd_no_arguments(env, argc - 1, argv + 1);

	return err ? err : hk_cmd_ask(env, "policy");
}

static const struct {
	const char	*name;
	int		(*fn)(struct hk_cmd_env *env, int argc, char **argv);
} verbs[] = {
	{ "add", do_edit },
	{ "del", do_edit },
	{ "list", do_list },
	{ "flush", do_edit },
	{ "load", do_load },
};

/**
 * hk_cmd_policy() - hooker policy
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_policy(struct hk_cmd_env *env, int argc, char **argv)
{
	int err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	size_t i;

	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("policy"));
	if (!argc)
		return hk_cmd_usage(env, "nothing named to do; %s",
				    "choose add, del, list, flush or load");
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(argv[0], verbs[i].name))
			return verbs[i].fn(env, argc, argv);
	}
	return hk_cmd_usage(env, "%s: not one of add, del, list, flush, load", argv[0]);
}
