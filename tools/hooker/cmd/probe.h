/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Probes: what this host's kernel does, and what this process may do, found out by
 * trying it and undoing it at once. Nothing is attached anywhere.
 */
#ifndef HK_PROBE_H
#define HK_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * enum hk_probe_result - what came out
 * @HK_PROBE_OK:      it works
 * @HK_PROBE_MISSING: it does not
 * @HK_PROBE_UNKNOWN: we may not try
 */
enum hk_probe_result {
	HK_PROBE_OK,
	HK_PROBE_MISSING,
	HK_PROBE_UNKNOWN,
};

/**
 * struct hk_probe - a row of the table of probes
 * @name:     short and stable, for scripts
 * @required: `hooker run` cannot do without it
 * @fn:       tries; may write what it saw into @seen, at most @cap bytes
 * @args:     for @fn: program types, functions and so on, -1 behind the last
 * @cost:     what a host without it lacks
 * @remedy:   the way out
 */
struct hk_probe {
	const char		*name;
	bool			required;
	enum hk_probe_result	(*fn)(const struct hk_probe *probe, char *seen, size_t cap);
	int			args[8];
	const char		*cost;
	const char		*remedy;
};

extern const struct hk_probe hk_probes[];	/* ends with a row without a name */

/* What the rows of hk_probes do; cmd/probe.c: the host, cmd/probe_bpf.c: BPF */
#define HK_PROBE_FN(name) \
	enum hk_probe_result name(const struct hk_probe *probe, char *seen, size_t cap)

HK_PROBE_FN(hk_probe_capabilities);
HK_PROBE_FN(hk_probe_run_dir);
HK_PROBE_FN(hk_probe_cgroup2);
HK_PROBE_FN(hk_probe_lo);
HK_PROBE_FN(hk_probe_sockopt);
HK_PROBE_FN(hk_probe_socket);
HK_PROBE_FN(hk_probe_rules);
HK_PROBE_FN(hk_probe_ipv6);
HK_PROBE_FN(hk_probe_congestion);
HK_PROBE_FN(hk_probe_conntrack);

HK_PROBE_FN(hk_probe_btf);
HK_PROBE_FN(hk_probe_bpf);
HK_PROBE_FN(hk_probe_progs);
HK_PROBE_FN(hk_probe_maps);
HK_PROBE_FN(hk_probe_calls);
HK_PROBE_FN(hk_probe_mmap);
HK_PROBE_FN(hk_probe_fionread);
HK_PROBE_FN(hk_probe_iter);

#endif /* HK_PROBE_H */
