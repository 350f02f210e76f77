// SPDX-License-Identifier: GPL-2.0
/*
 * hooker help: the tables of commands and options, for readers (plain), programs
 * (-j) and shell completion (--words, one word per line).
 */
#include <stdio.h>
#include <string.h>
#include "cmd.h"

struct help_args {
	bool	words;
};

static int set_words(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	(void)env;
	(void)value;
	((struct help_args *)ctx)->words = true;
	return HK_EXIT_OK;
}

const struct hk_cmd_option hk_help_options[] = {
	{ "words", 0, NULL, false, set_words,
	  "print only the words that can follow, one per line, for completion" },
	{ 0 }
};

static int flush(const struct hk_cmd_env *env)
{
	return hk_cmd_write(env, "", 0);
}

static void print_options(const char *title, const struct hk_cmd_option *opt)
{
	char text[64], letter[8] = "    ";

	if (!opt)
		return;
	printf("\n%s:\n", title);
	for (; opt->name; opt++) {
		if (opt->letter)
			snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
		snprintf(text, sizeof(text), "--%s%s%s", opt->name, opt->arg ? " " : "",
			 opt->arg ? opt->arg : "");
		printf("  %s%-22s %s\n", opt->letter ? letter : "    ", text, opt->help);
	}
}

static void print_overview(void)
{
	const struct hk_command *cmd;

	puts("hooker lets unmodified TCP applications use UDP-Lite or UDP between hosts");
	puts("that run it.\n");
	puts("Usage: hooker [OPTIONS] COMMAND [ARGUMENTS]\n\nCommands:");
	for (cmd = hk_commands; cmd->name; cmd++)
		printf("  %-10s %-27s %s\n", cmd->name, cmd->args, cmd->help);
	print_options("Options", hk_global_options);
	puts("\n\"hooker help COMMAND\" explains one command; see also hooker(8).");
}

static void print_command(const struct hk_command *cmd)
{
	printf("Usage: hooker %s%s%s\n\n%c%s.\n", cmd->name, *cmd->args ? " " : "", cmd->args,
	       cmd->help[0] - 'a' + 'A', cmd->help + 1);
	print_options("Options", cmd->options);
	print_options("Global options", hk_global_options);
}

static void print_option_words(const struct hk_cmd_option *opt)
{
	for (; opt && opt->name; opt++) {
		/* '=' tells completion that a value follows */
		printf("--%s%s\n", opt->name, opt->arg ? "=" : "");
		if (opt->letter)
			printf("-%c\n", opt->letter);
	}
}

static void print_words(const struct hk_command *cmd)
{
	const struct hk_command *each;
	unsigned int i;

	for (each = hk_commands; !cmd && each->name; each++)
		puts(each->name);
	for (i = 0; cmd && cmd->words && cmd->words[i]; i++)
		puts(cmd->words[i]);
	print_option_words(cmd ? cmd->options : hk_global_options);
}

static void report_options(struct hk_report *r, const char *name, const struct hk_cmd_option *opt)
{
	char letter[2] = "";

	hk_report_array(r, name);
	for (; opt && opt->name; opt++) {
		letter[0] = opt->letter;
		hk_report_object(r);
		hk_report_str(r, "name", opt->name);
		hk_report_str(r, "letter", *letter ? letter : NULL);
		hk_report_str(r, "argument", opt->arg);
		hk_report_bool(r, "repeatable", opt->many);
		hk_report_str(r, "help", opt->help);
		hk_report_end(r);
	}
	hk_report_end(r);
}

static void report_command(struct hk_report *r, const struct hk_command *cmd)
{
	hk_report_object(r);
	hk_report_str(r, "name", cmd->name);
	hk_report_str(r, "arguments", cmd->args);
	hk_report_str(r, "help", cmd->help);
	report_options(r, "options", cmd->options);
	hk_report_end(r);
}

static int print_json(const struct hk_cmd_env *env, const struct hk_command *only)
{
	const struct hk_command *cmd;
	struct hk_report r;
	int err;

	hk_report_init(&r, true);
	hk_report_array(&r, "commands");
	for (cmd = hk_commands; cmd->name; cmd++) {
		if (!only || cmd == only)
			report_command(&r, cmd);
	}
	hk_report_end(&r);
	report_options(&r, "options", hk_global_options);
	err = hk_cmd_print(env, &r);
	hk_report_exit(&r);
	return err;
}

/**
 * hk_cmd_explain() - print what a command does and takes
 * @env:     global options
 * @command: the command; NULL: hooker itself
 *
 * Return: an exit code.
 */
int hk_cmd_explain(const struct hk_cmd_env *env, const struct hk_command *command)
{
	if (env->json)
		return print_json(env, command);
	if (command)
		print_command(command);
	else
		print_overview();
	return flush(env);
}

/**
 * hk_cmd_help() - hooker help
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_help(struct hk_cmd_env *env, int argc, char **argv)
{
	const struct hk_command *cmd = NULL;
	struct help_args args = { 0 };
	int err;

	err = hk_cmd_options(env, hk_help_options, &args, &argc, argv);
	if (err)
		return err;
	if (env->help)
		return hk_cmd_explain(env, hk_command_find("help"));
	if (argc) {
		cmd = hk_command_find(argv[0]);
		if (!cmd)
			return hk_cmd_usage(env, "%s: no such command; see \"hooker help\"",
					    argv[0]);
		err = hk_cmd_no_arguments(env, argc - 1, argv + 1);
		if (err)
			return err;
	}
	if (!args.words)
		return hk_cmd_explain(env, cmd);
	print_words(cmd);
	return flush(env);
}
