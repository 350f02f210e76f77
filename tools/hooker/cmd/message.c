// SPDX-License-Identifier: GPL-2.0
/*
 * How commands talk: one message per failure, plain or JSON, and results whose
 * writing is checked, because stdout may be a full disk or a closed pipe.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "cmd.h"

static void print_json_error(const char *text)
{
	struct hk_report r;
	const char *out;
	size_t len;

	hk_report_init(&r, true);
	hk_report_str(&r, "error", text);
	if (hk_report_finish(&r)) {
		puts("{\"error\":\"out of memory\"}");
	} else {
		out = hk_report_text(&r, &len);
		fwrite(out, 1, len, stdout);
	}
	fflush(stdout);
	hk_report_exit(&r);
}

/* Arguments are quoted in messages, and a message is one line whatever they hold */
static void print_plain_error(char *text)
{
	char *c;

	for (c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	fprintf(stderr, "hooker: %s\n", text);
}

static void print_message(const struct hk_cmd_env *env, const char *fmt, va_list ap)
{
	char line[2048];
	int len = 0;

	if (env->command)
		len = snprintf(line, sizeof(line), "%s: ", env->command);
	vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	if (env->json)
		print_json_error(line);
	else
		print_plain_error(line);
}

/**
 * hk_cmd_usage() - say what is wrong with the command line
 * @env: global options; its command's name begins the message
 * @fmt: message without prefix and newline
 *
 * Return: HK_EXIT_USAGE.
 */
int hk_cmd_usage(const struct hk_cmd_env *env, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_message(env, fmt, ap);
	va_end(ap);
	return HK_EXIT_USAGE;
}

/**
 * hk_cmd_fail() - say why a command could not be done
 * @env: global options; its command's name begins the message
 * @fmt: message without prefix and newline
 *
 * Return: HK_EXIT_FAILED.
 */
int hk_cmd_fail(const struct hk_cmd_env *env, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_message(env, fmt, ap);
	va_end(ap);
	return HK_EXIT_FAILED;
}

/**
 * hk_cmd_write() - write a result to stdout
 * @env:  global options
 * @data: bytes
 * @len:  how many
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_write(const struct hk_cmd_env *env, const char *data, size_t len)
{
	int err;

	errno = EIO;
	if (fwrite(data, 1, len, stdout) == len && !fflush(stdout))
		return HK_EXIT_OK;
	err = errno;
	/* stdout is what failed: a JSON message would not get out there either */
	fprintf(stderr, "hooker: %s%sstandard output: %s\n", env->command ? env->command : "",
		env->command ? ": " : "", strerror(err));
	return HK_EXIT_FAILED;
}

/**
 * hk_cmd_print() - finish a report and print it
 * @env: global options
 * @r:   the report; still to be freed by the caller
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_print(const struct hk_cmd_env *env, struct hk_report *r)
{
	int err = hk_report_finish(r);
	const char *text;
	size_t len;

	if (err)
		return hk_cmd_fail(env, "report: %s", strerror(-err));
	text = hk_report_text(r, &len);
	return hk_cmd_write(env, text, len);
}
