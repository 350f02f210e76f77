/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the sub-commands share: the table of them, the options they take, and
 * how they talk. Results go to stdout, messages to stderr with "hooker: " before
 * them; under -j a message is the JSON document {"error": "..."} on stdout.
 */
#ifndef HK_CMD_H
#define HK_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "../relay/report.h"

#ifndef HOOKER_VERSION
#define HOOKER_VERSION	"0.1.0"
#endif

#ifndef __printf
#define __printf(fmt, args)	__attribute__((__format__(printf, fmt, args)))
#endif

/* Exit codes, documented in hooker(8) */
#define HK_EXIT_OK	0
#define HK_EXIT_FAILED	1
#define HK_EXIT_USAGE	2

/**
 * struct hk_cmd_env - what the global options say
 * @name:    of the daemon; checked to be a file name
 * @json:    -j
 * @debug:   -d
 * @help:    -h: explain the command instead of doing it
 * @version: -V
 * @given:   which rows of hk_global_options were given, a bit each
 * @command: the command that runs, NULL before it is known; begins its messages
 */
struct hk_cmd_env {
	const char	*name;
	bool		json, debug, help, version;
	__u32		given;
	const char	*command;
};

/**
 * struct hk_cmd_option - a row of a table of options, which a row without @name ends
 * @name:   without the "--"
 * @letter: short form, 0 for none
 * @arg:    name of its argument, NULL if it takes none
 * @many:   may be given again
 * @set:    takes the value (NULL without @arg) over into @ctx; 0, or prints and
 *          returns an exit code
 * @help:   one line
 */
struct hk_cmd_option {
	const char	*name;
	char		letter;
	const char	*arg;
	bool		many;
	int		(*set)(const struct hk_cmd_env *env, void *ctx, const char *value);
	const char	*help;
};

/**
 * struct hk_command - a row of the table of sub-commands
 * @name:    as on the command line
 * @fn:      does it; @argv starts behind the name; returns an exit code
 * @options: its own options, NULL for none; global ones are always understood
 * @words:   its first arguments, NULL-terminated, for completion; NULL for none
 * @args:    arguments for the usage line
 * @help:    one line
 */
struct hk_command {
	const char			*name;
	int				(*fn)(struct hk_cmd_env *env, int argc, char **argv);
	const struct hk_cmd_option	*options;
	const char			*const *words;
	const char			*args;
	const char			*help;
};

/* main.c */
extern const struct hk_command hk_commands[];		/* ends with a row without a name */
const struct hk_command *hk_command_find(const char *name);

/* cmd/option.c */
extern const struct hk_cmd_option hk_global_options[];
int	hk_cmd_global_options(struct hk_cmd_env *env, int *argc, char ***argv);
int	hk_cmd_options(struct hk_cmd_env *env, const struct hk_cmd_option *own, void *ctx,
		       int *argc, char **argv);
int	hk_cmd_no_arguments(const struct hk_cmd_env *env, int argc, char **argv);

/* cmd/message.c */
int	hk_cmd_usage(const struct hk_cmd_env *env, const char *fmt, ...)
	__printf(2, 3);
int	hk_cmd_fail(const struct hk_cmd_env *env, const char *fmt, ...)
	__printf(2, 3);
int	hk_cmd_print(const struct hk_cmd_env *env, struct hk_report *r);
int	hk_cmd_write(const struct hk_cmd_env *env, const char *data, size_t len);

/* cmd/ask.c */
int	hk_cmd_ask(const struct hk_cmd_env *env, const char *what);
int	hk_cmd_tell(const struct hk_cmd_env *env, const char *what, const char *body, size_t len,
		    const char *prefix);
#define HK_DAEMON_NAME	64	/* bytes of any daemon's name, NUL included */
bool	hk_cmd_daemon_serves(const char *name);
bool	hk_cmd_daemon_here(char name[HK_DAEMON_NAME]);

/* cmd/policy.c */
struct hk_policy;
int	hk_cmd_read_policy(const struct hk_cmd_env *env, const char *path, char **text, size_t *len,
			   struct hk_policy **policy);

/* One file each */
int	hk_cmd_run(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_policy(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_exec(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_proto(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_show(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_ping(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_doctor(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_version(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_help(struct hk_cmd_env *env, int argc, char **argv);
int	hk_cmd_explain(const struct hk_cmd_env *env, const struct hk_command *command);

extern const struct hk_cmd_option hk_run_options[], hk_ping_options[], hk_help_options[];
extern const char *const hk_show_words[], *const hk_proto_words[];
extern const char *const hk_policy_words[], *const hk_exec_words[];

#endif /* HK_CMD_H */
