// SPDX-License-Identifier: GPL-2.0
/*
 * Probes of BPF. They load programs of two instructions and create maps of one
 * entry, and close them again: what the kernel answers is the result.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "../dataplane/dataplane.h"
#include "probe.h"

#define BTF_PATH	"/sys/kernel/btf/vmlinux"
#define LOG_SIZE	4096
#define TCX_EGRESS	47	/* enum bpf_attach_type; too new for the headers of some systems */

static const struct bpf_insn nothing[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* Returns a descriptor or a negative errno */
static int load(enum bpf_prog_type type, const struct bpf_insn *insns, size_t nr,
		struct bpf_prog_load_opts *opts)
{
	int fd = bpf_prog_load(type, NULL, "GPL", insns, nr, opts);

	return fd < 0 ? -errno : fd;
}

static int load_nothing(enum bpf_prog_type type)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);

	if (type == BPF_PROG_TYPE_CGROUP_SKB)
		opts.expected_attach_type = BPF_CGROUP_INET_INGRESS;
	return load(type, nothing, 2, &opts);
}

/* Whether anything can be learnt from a refusal: it may be this process that is refused */
static bool may_load(void)
{
	int fd = load_nothing(BPF_PROG_TYPE_SOCK_OPS);

	if (fd >= 0)
		close(fd);
	return fd != -EPERM;
}

enum hk_probe_result hk_probe_btf(const struct hk_probe *probe, char *seen, size_t cap)
{
	(void)probe;
	if (!access(BTF_PATH, R_OK))
		return HK_PROBE_OK;
	snprintf(seen, cap, BTF_PATH ": %s", strerror(errno));
	return errno == ENOENT ? HK_PROBE_MISSING : HK_PROBE_UNKNOWN;
}

enum hk_probe_result hk_probe_bpf(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd = load_nothing(BPF_PROG_TYPE_SOCK_OPS);

	(void)probe;
	if (fd >= 0) {
		close(fd);
		return HK_PROBE_OK;
	}
	snprintf(seen, cap, "loading a program: %s", strerror(-fd));
	return HK_PROBE_MISSING;
}

static void append_name(char *seen, size_t cap, const char *name)
{
	size_t used = strlen(seen);

	snprintf(seen + used, cap - used, "%s%s", used ? ", " : "no ", name ? name : "?");
}

enum hk_probe_result hk_probe_progs(const struct hk_probe *probe, char *seen, size_t cap)
{
	int i, fd;

	if (!may_load())
		return HK_PROBE_UNKNOWN;
	for (i = 0; probe->args[i] >= 0; i++) {
		fd = load_nothing(probe->args[i]);
		if (fd >= 0)
			close(fd);
		else
			append_name(seen, cap, libbpf_bpf_prog_type_str(probe->args[i]));
	}
	return *seen ? HK_PROBE_MISSING : HK_PROBE_OK;
}

enum hk_probe_result hk_probe_maps(const struct hk_probe *probe, char *seen, size_t cap)
{
	int i;

	if (!may_load())
		return HK_PROBE_UNKNOWN;
	for (i = 0; probe->args[i] >= 0; i++) {
		if (libbpf_probe_bpf_map_type(probe->args[i], NULL) != 1)
			append_name(seen, cap, libbpf_bpf_map_type_str(probe->args[i]));
	}
	return *seen ? HK_PROBE_MISSING : HK_PROBE_OK;
}

/*
 * A program that just calls the function is always refused, because the registers
 * with the arguments are not set. What matters is the complaint: these three are
 * about the function itself. (libbpf's own probe misses the third, of Linux 6.8 and later.)
 */
static bool call_is_refused(enum bpf_prog_type type, int function)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = function },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	char log[LOG_SIZE] = "";
	int fd;

	opts.log_buf = log;
	opts.log_size = sizeof(log);
	opts.log_level = 1;
	if (type == BPF_PROG_TYPE_CGROUP_SKB)
		opts.expected_attach_type = BPF_CGROUP_INET_INGRESS;
	fd = load(type, insns, 2, &opts);
	if (fd >= 0) {
		close(fd);
		return false;
	}
	return strstr(log, "invalid func ") || strstr(log, "unknown func ") ||
	       strstr(log, "cannot use helper");
}

enum hk_probe_result hk_probe_calls(const struct hk_probe *probe, char *seen, size_t cap)
{
	int fd, i;

	if (!may_load())
		return HK_PROBE_UNKNOWN;
	/* Without the program type each function would look as if it were there */
	fd = load_nothing(probe->args[0]);
	if (fd < 0) {
		snprintf(seen, cap, "no such program type");
		return HK_PROBE_MISSING;
	}
	close(fd);
	for (i = 1; probe->args[i] >= 0; i++) {
		if (call_is_refused(probe->args[0], probe->args[i])) {
			snprintf(seen, cap, "BPF function %d is not there", probe->args[i]);
			return HK_PROBE_MISSING;
		}
	}
	return HK_PROBE_OK;
}

enum hk_probe_result hk_probe_fionread(const struct hk_probe *probe, char *seen, size_t cap)
{
	(void)probe;
	if (!may_load())
		return HK_PROBE_UNKNOWN;
	if (hk_inq_is_right())
		return HK_PROBE_OK;
	snprintf(seen, cap, "a byte that waits in a socket of a SOCKHASH is not counted");
	return HK_PROBE_MISSING;
}

enum hk_probe_result hk_probe_mmap(const struct hk_probe *probe, char *seen, size_t cap)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	size_t page = sysconf(_SC_PAGESIZE);
	void *at;
	int fd;

	(void)probe;
	if (!may_load())
		return HK_PROBE_UNKNOWN;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hk_probe", sizeof(__u32), page, 1, &opts);
	if (fd < 0) {
		snprintf(seen, cap, "creating one: %s", strerror(errno));
		return HK_PROBE_MISSING;
	}
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		snprintf(seen, cap, "mapping it: %s", strerror(errno));
	else
		munmap(at, page);
	close(fd);
	return at == MAP_FAILED ? HK_PROBE_MISSING : HK_PROBE_OK;
}

/* Whether any enum of the kernel has this member */
static bool kernel_has_enumerator(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_enum *member;
	const struct btf_type *type;
	unsigned int i, nr, k;
	bool found = false;

	if (libbpf_get_error(btf))
		return false;
	nr = btf__type_cnt(btf);
	for (i = 1; i < nr && !found; i++) {
		type = btf__type_by_id(btf, i);
		if (!btf_is_enum(type))
			continue;
		member = btf_enum(type);
		for (k = 0; k < btf_vlen(type) && !found; k++)
			found = !strcmp(btf__name_by_offset(btf, member[k].name_off), name);
	}
	btf__free(btf);
	return found;
}

enum hk_probe_result hk_probe_iter(const struct hk_probe *probe, char *seen, size_t cap)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_ITER);
	int id, fd;

	(void)probe;
	if (!may_load())
		return HK_PROBE_UNKNOWN;
	id = libbpf_find_vmlinux_btf_id("tcp", BPF_TRACE_ITER);
	if (id <= 0) {
		snprintf(seen, cap, "no bpf_iter/tcp");
		return HK_PROBE_MISSING;
	}
	opts.attach_btf_id = id;
	fd = load(BPF_PROG_TYPE_TRACING, nothing, 2, &opts);
	if (fd < 0) {
		snprintf(seen, cap, "bpf_iter/tcp: %s", strerror(-fd));
		return HK_PROBE_MISSING;
	}
	close(fd);
	if (kernel_has_enumerator("TCP_BPF_SOCK_OPS_CB_FLAGS"))
		return HK_PROBE_OK;
	snprintf(seen, cap, "bpf_setsockopt() has no TCP_BPF_SOCK_OPS_CB_FLAGS");
	return HK_PROBE_MISSING;
}
