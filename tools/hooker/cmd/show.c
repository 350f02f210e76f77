// SPDX-License-Identifier: GPL-2.0
/*
 * hooker show: asks a running daemon.
 */
#include <string.h>
#include "cmd.h"

const char *const hk_show_words[] = { "flows", "peers", "stats", "xdp", NULL };

static bool word_is_known(const char *word)
{
	unsigned int i;

	for (i = 0; hk_show_words[i]; i++) {
		if (!strcmp(word, hk_show_words[i]))
			return true;
	}
	return false;
}

/**
 * hk_cmd_show() - hooker show
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_show(struct hk_cmd_env *env, int argc, char **argv)
{
	int err;

	err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("show"));
	if (!argc)
		return hk_cmd_usage(env, "nothing named to show; choose flows, peers, stats or xdp");
	if (!word_is_known(argv[0]))
		return hk_cmd_usage(env, "%s: not one of flows, peers, stats, xdp", argv[0]);
	err = hk_cmd_no_arguments(env, argc - 1, argv + 1);
	if (err)
		return err;

	return hk_cmd_ask(env, argv[0]);
}
