// SPDX-License-Identifier: GPL-2.0
/*
 * hooker version: what this binary is made of.
 */
#include <stdio.h>
#include <bpf/libbpf.h>
#include "cmd.h"
#include "../carrier/carrier.h"

#if defined(__clang__)
#define COMPILER	"clang " __clang_version__
#else
#define COMPILER	"gcc " __VERSION__
#endif

static void report_carriers(struct hk_report *r)
{
	const struct hk_carrier_ops *ops;
	unsigned int i;

	hk_report_array(r, "carriers");
	for (i = 0; (ops = hk_carrier_at(i)); i++)
		hk_report_str(r, NULL, ops->name);
	hk_report_end(r);
}

/**
 * hk_cmd_version() - hooker version
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_version(struct hk_cmd_env *env, int argc, char **argv)
{
	struct hk_report r;
	char libbpf[32];
	int err;

	err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("version"));
	err = hk_cmd_no_arguments(env, argc, argv);
	if (err)
		return err;

	snprintf(libbpf, sizeof(libbpf), "%u.%u", libbpf_major_version(), libbpf_minor_version());
	hk_report_init(&r, env->json);
	hk_report_str(&r, "version", HOOKER_VERSION);
	hk_report_str(&r, "libbpf", libbpf);
	hk_report_str(&r, "compiler", COMPILER);
	hk_report_u64(&r, "offer_version", HK_OPT_VERSION);
	report_carriers(&r);
	err = hk_cmd_print(env, &r);
	hk_report_exit(&r);
	return err;
}
