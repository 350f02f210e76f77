/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses of this host. Both objects have this map, and dataplane/ makes one of it.
 * Included after vmlinux.h and libbpf's headers.
 */
#ifndef HK_BPF_LOCALS_H
#define HK_BPF_LOCALS_H

#include "hooker_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct hk_local_key);
	__type(value, __u32);
} hk_locals SEC(".maps");

static __always_inline bool hk_is_local(const __be32 addr[4])
{
	return bpf_map_lookup_elem(&hk_locals, addr);
}

#endif /* HK_BPF_LOCALS_H */
