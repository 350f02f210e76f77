// SPDX-License-Identifier: GPL-2.0
/*
 * hooker proto: mechanisms of a running daemon, put in, taken out and looked at. What is
 * wrong with the words is found here, with exit code 2; what the daemon refuses, with 1.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "../bpf/mechanism.h"
#include "../relay/relay.h"

const char *const hk_proto_words[] = { "add", "del", "list", "port", NULL };

/* The daemon's directory is another one than ours, so it gets an absolute path */
static int do_add(struct hk_cmd_env *env, int argc, char **argv)
{
	char path[PATH_MAX], body[PATH_MAX + 16];
	const char *how = "carrier";

	if (argc < 2)
		return hk_cmd_usage(env, "add: FILE is missing, the object of a mechanism");
	if (argc > 2 && strcmp(argv[2], "no-carrier"))
		return hk_cmd_usage(env, "add: %s: not \"no-carrier\"", argv[2]);
	if (argc > 3)
		return hk_cmd_no_arguments(env, argc - 3, argv + 3);
	if (argc > 2)
		how = argv[2];
	if (!realpath(argv[1], path))
		return hk_cmd_fail(env, "%s: %s", *argv[1] ? argv[1] : "\"\"", strerror(errno));
	if (strchr(path, '\n'))
		return hk_cmd_fail(env, "%s: a path with a line break", argv[1]);
	snprintf(body, sizeof(body), "%s\n%s", how, path);
	return hk_cmd_tell(env, "proto-add", body, strlen(body), "");
}

static int check_name(struct hk_cmd_env *env, const char *verb, int argc, char **argv)
{
	if (argc < 2)
		return hk_cmd_usage(env, "%s: NAME is missing; \"hooker proto list\" names them",
				    verb);
	if (!*argv[1] || strlen(argv[1]) >= HK_MECH_NAME || strchr(argv[1], '\n'))
		return hk_cmd_usage(env, "%s: %.40s: not the name of a mechanism", verb,
				    *argv[1] ? argv[1] : "\"\"");
	return HK_EXIT_OK;
}

static int do_del(struct hk_cmd_env *env, int argc, char **argv)
{
	char body[HK_MECH_NAME + 16];
	int err = check_name(env, "del", argc, argv);

	if (err)
		return err;
	if (argc > 2 && strcmp(argv[2], "force"))
		return hk_cmd_usage(env, "del: %s: not \"force\"", argv[2]);
	if (argc > 3)
		return hk_cmd_no_arguments(env, argc - 3, argv + 3);
	snprintf(body, sizeof(body), "%s\n%s", argv[1], argc > 2 ? argv[2] : "");
	return hk_cmd_tell(env, "proto-del", body, strlen(body), "");
}

static int do_list(struct hk_cmd_env *env, int argc, char **argv)
{
	int err = hk_cmd_no_arguments(env, argc - 1, argv + 1);

	return err ? err : hk_cmd_ask(env, "proto");
}

/* [in|out|both] [cover N], in any order */
static int port_words(struct hk_cmd_env *env, int argc, char **argv, const char **direction,
		      unsigned long *cover)
{
	bool directed = false;
	int i;

	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "in") || !strcmp(argv[i], "out") || !strcmp(argv[i], "both")) {
			if (directed)
				return hk_cmd_usage(env, "port: %s: beside %s", argv[i],
						    *direction);
			*direction = argv[i];
			directed = true;
		} else if (!cover || strcmp(argv[i], "cover")) {
			return hk_cmd_usage(env, "port: %s: not in, out%s", argv[i],
					    cover ? ", both or cover" : " or both");
		} else if (++i == argc || hk_number_parse(argv[i], 8, 65535, cover)) {
			return hk_cmd_usage(env, "port: cover: a number from 8 to 65535 is due, bytes with the header");
		}
	}
	return HK_EXIT_OK;
}

static int do_port(struct hk_cmd_env *env, int argc, char **argv)
{
	int err = check_name(env, "port", argc, argv);
	const char *direction = "both";
	unsigned long port, cover = 0;
	char body[HK_MECH_NAME + 64];
	bool more;

	if (err)
		return err;
	if (argc < 4)
		return hk_cmd_usage(env, "port: \"add\" or \"del\" and a port are missing");
	more = !strcmp(argv[2], "add");
	if (!more && strcmp(argv[2], "del"))
		return hk_cmd_usage(env, "port: %s: not add or del", argv[2]);
	if (hk_number_parse(argv[3], 1, 65535, &port))
		return hk_cmd_usage(env, "port: %s: not a number from 1 to 65535", argv[3]);
	err = port_words(env, argc - 4, argv + 4, &direction, more ? &cover : NULL);
	if (err)
		return err;
	snprintf(body, sizeof(body), "%s\n%s\n%lu\n%s\n%lu", argv[1], argv[2], port, direction,
		 cover);
	return hk_cmd_tell(env, "proto-port", body, strlen(body), "");
}

static const struct {
	const char	*name;
	int		(*fn)(struct hk_cmd_env *env, int argc, char **argv);
} verbs[] = {
	{ "add", do_add },
	{ "del", do_del },
	{ "list", do_list },
	{ "port", do_port },
};

/**
 * hk_cmd_proto() - hooker proto
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_proto(struct hk_cmd_env *env, int argc, char **argv)
{
	int err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	size_t i;

	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("proto"));
	if (!argc)
		return hk_cmd_usage(env, "nothing named to do; choose add, del, list or port");
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(argv[0], verbs[i].name))
			return verbs[i].fn(env, argc, argv);
	}
	return hk_cmd_usage(env, "%s: not one of add, del, list, port", argv[0]);
}
