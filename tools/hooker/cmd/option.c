// SPDX-License-Identifier: GPL-2.0
/*
 * Options, read from tables: the global ones before or behind the command's name,
 * a command's own ones behind it. "--name VALUE", "--name=VALUE", short flags alone or
 * together, "--" ends them. Names are not abbreviated, so that a new option
 * never changes what an old script means.
 */
#include <ctype.h>
#include <string.h>
#include "cmd.h"
#include "../relay/control.h"

/* A table in use: which rows were given, to refuse the second time */
struct in_use {
	const struct hk_cmd_option	*table;
	void				*ctx;
	__u32				*given;
};

static int set_name(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	struct hk_cmd_env *global = ctx;

	if (!hk_control_name_ok(value))
		return hk_cmd_usage(env, "--name %s: take up to %d letters, digits, '.', '-', '_'",
				    value, HK_CONTROL_NAME - 1);
	global->name = value;
	return HK_EXIT_OK;
}

static int set_json(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct hk_cmd_env *)ctx)->json = true;
	return HK_EXIT_OK;
}

static int set_debug(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct hk_cmd_env *)ctx)->debug = true;
	return HK_EXIT_OK;
}

static int set_help(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct hk_cmd_env *)ctx)->help = true;
	return HK_EXIT_OK;
}

static int set_version(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)value;
	if (env->command)
		return hk_cmd_usage(env, "--version: belongs before the command");
	((struct hk_cmd_env *)ctx)->version = true;
	return HK_EXIT_OK;
}

const struct hk_cmd_option hk_global_options[] = {
	{ "name", 0, "NAME", false, set_name, "name of the daemon (default: \"default\")" },
	{ "json", 'j', NULL, true, set_json, "print one JSON document, errors included" },
	{ "debug", 'd', NULL, true, set_debug, "print libbpf's and the verifier's messages" },
	{ "version", 'V', NULL, true, set_version, "print the version" },
	{ "help", 'h', NULL, true, set_help, "explain hooker or the command" },
	{ 0 }
};

static const struct hk_cmd_option *find_long(const struct hk_cmd_option *table,
					     const char *name, size_t len)
{
	for (; table->name; table++) {
		if (!strncmp(table->name, name, len) && !table->name[len])
			return table;
	}
	return NULL;
}

static const struct hk_cmd_option *find_letter(const struct hk_cmd_option *table, char letter)
{
	for (; table->name; table++) {
		if (table->letter == letter)
			return table;
	}
	return NULL;
}

static int give(const struct hk_cmd_env *env, const struct in_use *use,
		const struct hk_cmd_option *opt, const char *value)
{
	__u32 bit = 1U << (opt - use->table);	/* no table has 32 rows */

	if (*use->given & bit && !opt->many)
		return hk_cmd_usage(env, "--%s: given twice", opt->name);
	*use->given |= bit;
	return opt->set(env, use->ctx, value);
}

/* Handles argv[0]; *taken says whether argv[1] was its value */
static int parse_long(const struct hk_cmd_env *env, const struct in_use *uses, int argc,
		      char **argv, int *taken)
{
	const char *name = argv[0] + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct hk_cmd_option *opt;

	for (; uses->table; uses++) {
		opt = find_long(uses->table, name, len);
		if (!opt)
			continue;
		if (!opt->arg && value)
			return hk_cmd_usage(env, "--%s: takes no value", opt->name);
		if (!opt->arg)
			return give(env, uses, opt, NULL);
		if (value)
			return give(env, uses, opt, value + 1);
		if (argc < 2)
			return hk_cmd_usage(env, "--%s: %s is missing", opt->name, opt->arg);
		*taken = 1;
		return give(env, uses, opt, argv[1]);
	}
	return hk_cmd_usage(env, "--%.*s: no such option; see \"hooker help%s%s\"", (int)len, name,
			    env->command ? " " : "", env->command ? env->command : "");
}

static const struct in_use *find_table(const struct in_use *uses, char letter,
				       const struct hk_cmd_option **opt)
{
	for (; uses->table; uses++) {
		*opt = find_letter(uses->table, letter);
		if (*opt)
			return uses;
	}
	return NULL;
}

/* A value is what follows its letter, or else argv[1]; then *taken says so */
static int parse_letters(const struct hk_cmd_env *env, const struct in_use *uses, int argc,
			 char **argv, int *taken)
{
	const struct hk_cmd_option *opt;
	const struct in_use *use;
	const char *arg = argv[0];
	int err = HK_EXIT_OK;

	while (!err && *++arg) {
		use = find_table(uses, *arg, &opt);
		if (!use)
			return hk_cmd_usage(env, "-%c: no such option; see \"hooker help%s%s\"",
					    isprint((unsigned char)*arg) ? *arg : '?',
					    env->command ? " " : "",
					    env->command ? env->command : "");
		if (!opt->arg) {
			err = give(env, use, opt, NULL);
			continue;
		}
		if (arg[1])
			return give(env, use, opt, arg + 1);
		if (argc < 2)
			return hk_cmd_usage(env, "-%c: %s is missing", *arg, opt->arg);
		*taken = 1;
		return give(env, use, opt, argv[1]);
	}
	return err;
}

/* Returns how many arguments an option took, 0 if argv[0] is none, or a negative exit code */
static int parse_one(const struct hk_cmd_env *env, const struct in_use *uses, int argc, char **argv)
{
	int err, taken = 0;

	if (argv[0][0] != '-' || !argv[0][1])
		return 0;
	if (argv[0][1] == '-')
		err = parse_long(env, uses, argc, argv, &taken);
	else
		err = parse_letters(env, uses, argc, argv, &taken);
	return err ? -err : 1 + taken;
}

/**
 * hk_cmd_global_options() - read the options before the command's name
 * @env:  filled
 * @argc: of @argv
 * @argv: moved to the first argument that is no option
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_global_options(struct hk_cmd_env *env, int *argc, char ***argv)
{
	const struct in_use uses[] = { { hk_global_options, env, &env->given }, { 0 } };
	int n;

	while (*argc > 0) {
		n = parse_one(env, uses, *argc, *argv);
		if (n < 0)
			return -n;
		if (!n)
			break;
		*argc -= n;
		*argv += n;
	}
	return HK_EXIT_OK;
}

/**
 * hk_cmd_options() - read the options behind a command's name
 * @env:  global options, which may stand here, too
 * @own:  the command's table, NULL for none
 * @ctx:  for the @set functions of @own
 * @argc: of @argv; on return the number of arguments that are no options
 * @argv: on return these arguments, in their order
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_options(struct hk_cmd_env *env, const struct hk_cmd_option *own, void *ctx,
		   int *argc, char **argv)
{
	__u32 given = 0;
	const struct in_use uses[] = {
		{ hk_global_options, env, &env->given },
		{ own, ctx, &given },
		{ 0 },
	};
	int i, n, kept = 0;

	for (i = 0; i < *argc && strcmp(argv[i], "--"); i += n) {
		n = parse_one(env, uses, *argc - i, argv + i);
		if (n < 0)
			return -n;
		if (!n) {
			argv[kept++] = argv[i];
			n = 1;
		}
	}
	while (++i < *argc)		/* what stands behind the "--" */
		argv[kept++] = argv[i];
	*argc = kept;
	return HK_EXIT_OK;
}

/**
 * hk_cmd_no_arguments() - refuse arguments
 * @env:  global options
 * @argc: of @argv
 * @argv: what is left of the command line
 *
 * Return: HK_EXIT_OK if there is nothing; the message has been printed otherwise.
 */
int hk_cmd_no_arguments(const struct hk_cmd_env *env, int argc, char **argv)
{
	return argc ? hk_cmd_usage(env, "%s: unexpected argument", argv[0]) : HK_EXIT_OK;
}
