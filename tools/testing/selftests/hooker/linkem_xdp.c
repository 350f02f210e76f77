// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: an XDP program that passes everything.
 *
 * veth delivers what its far end sends with XDP_TX only if a program sits on this end
 * as well; without one such frames disappear and no counter says so. The two
 * instructions are loaded by hand, to keep linkem free of libbpf.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linkem.h"

static int bpf_call(int cmd, union bpf_attr *attr)
{
	long ret = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return ret < 0 ? -errno : (int)ret;
}

static int load_pass(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (__u64)(unsigned long)insns,
		.insn_cnt = 2,
		.license = (__u64)(unsigned long)"GPL",
	};

	return bpf_call(BPF_PROG_LOAD, &attr);
}

/**
 * lk_xdp_attach_pass() - let the far end of a veth use XDP_TX
 * @name: interface of this network namespace
 *
 * The driver switches GRO on with the program; the caller has to switch it off again.
 *
 * Return: descriptor of the link, which holds the program as long as it is open, or -errno.
 */
int lk_xdp_attach_pass(const char *name)
{
	union bpf_attr attr = { 0 };
	int prog, link;

	prog = load_pass();
	if (prog < 0)
		return prog;
	attr.link_create.prog_fd = prog;
	attr.link_create.target_ifindex = if_nametoindex(name);
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = XDP_FLAGS_DRV_MODE;
	link = bpf_call(BPF_LINK_CREATE, &attr);
	close(prog);
	return link;
}
