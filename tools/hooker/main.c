// SPDX-License-Identifier: GPL-2.0
/*
 * hooker: unmodified TCP applications over UDP-Lite and UDP. This file is the table
 * of sub-commands and the way to them.
 */
#include <stdlib.h>
#include <string.h>
#include "cmd/cmd.h"
#include "relay/relay.h"

const struct hk_command hk_commands[] = {
	{ "run", hk_cmd_run, hk_run_options, NULL, "[OPTIONS]",
	  "be the daemon: offer and carry connections until a signal ends it" },
	{ "policy", hk_cmd_policy, NULL, hk_policy_words, "add|del|list|flush|load ...",
	  "look at and change the rules of a running daemon" },
	{ "proto", hk_cmd_proto, NULL, hk_proto_words, "add|del|list|port ...",
	  "look at and change the protocols that BPF brings to a running daemon" },
	{ "exec", hk_cmd_exec, NULL, hk_exec_words, "[RULE] -- COMMAND ...",
	  "run a command with a rule of its own" },
	{ "show", hk_cmd_show, NULL, hk_show_words, "flows|peers|stats|xdp",
	  "ask a running daemon for its connections, peers or counters" },
	{ "ping", hk_cmd_ping, hk_ping_options, NULL, "[OPTIONS] HOST",
	  "measure the round trip to another host's driver" },
	{ "doctor", hk_cmd_doctor, NULL, NULL, "",
	  "find out whether hooker can run here, and what it would lack" },
	{ "version", hk_cmd_version, NULL, NULL, "",
	  "print the version and what it was built with" },
	{ "help", hk_cmd_help, hk_help_options, NULL, "[COMMAND]",
	  "explain hooker or one command" },
	{ 0 }
};

/**
 * hk_command_find() - look a sub-command up
 * @name: its whole name
 *
 * Return: its row of hk_commands, or NULL.
 */
const struct hk_command *hk_command_find(const char *name)
{
	const struct hk_command *cmd;

	for (cmd = hk_commands; cmd->name; cmd++) {
		if (!strcmp(cmd->name, name))
			return cmd;
	}
	return NULL;
}

/* Looked for beforehand: an error in what precedes -j is reported as JSON, too */
static bool wants_json(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "-j") || !strcmp(argv[i], "--json"))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct hk_cmd_env env = { .name = HK_DEFAULT_NAME, .json = wants_json(argc, argv) };
	const struct hk_command *cmd;
	int err;

	argc--;
	argv++;
	err = hk_cmd_global_options(&env, &argc, &argv);
	if (err)
		return err;
	if (env.help)
		return hk_cmd_explain(&env, NULL);
	if (env.version)
		return hk_cmd_version(&env, 0, argv);
	if (!argc)
		return hk_cmd_usage(&env, "no command given; see \"hooker help\"");
	cmd = hk_command_find(argv[0]);
	if (!cmd)
		return hk_cmd_usage(&env, "%s: no such command; see \"hooker help\"", argv[0]);
	env.command = cmd->name;
	return cmd->fn(&env, argc - 1, argv + 1);
}
