/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Members that struct tcp_sock has with some configurations of the kernel only: neither that on
 * which this is built nor that on which it runs need have them. Included after vmlinux.h and
 * libbpf's headers.
 */
#ifndef HK_BPF_TCP_SOCK_H
#define HK_BPF_TCP_SOCK_H

/**
 * struct tcp_sock___configured - libbpf finds them by name in the kernel's struct
 * @is_mptcp:	 CONFIG_MPTCP
 * @md5sig_info: CONFIG_TCP_MD5SIG
 * @ao_info:	 CONFIG_TCP_AO, since 6.7
 * @inet_conn:	 in it CONFIG_IPV6
 */
struct tcp_sock___configured {
	struct {
		struct {
			struct ipv6_pinfo *pinet6;
		} icsk_inet;
	} inet_conn;
	bool	is_mptcp;
	void	*md5sig_info;
	void	*ao_info;
} __attribute__((preserve_access_index));

static __always_inline bool is_subflow(struct tcp_sock *tp)
{
	struct tcp_sock___configured *with = (void *)tp;
	bool is_mptcp = false;

	if (bpf_core_field_exists(with->is_mptcp))
		bpf_core_read(&is_mptcp, sizeof(is_mptcp), &with->is_mptcp);
	return is_mptcp;
}

/* Their owner wants signed segments, and those we forge can't be */
static __always_inline bool has_keys(struct tcp_sock *tp)
{
	struct tcp_sock___configured *with = (void *)tp;
	void *info = NULL;

	if (bpf_core_field_exists(with->md5sig_info))
		bpf_core_read(&info, sizeof(info), &with->md5sig_info);
	if (!info && bpf_core_field_exists(with->ao_info))
		bpf_core_read(&info, sizeof(info), &with->ao_info);
	return info;
}

/*
 * Their owner counts routers on the way (RFC 5082), by TTL or hop limit. Our datagrams may take
 * any, and the local leg has none.
 */
static __always_inline bool counts_hops(struct tcp_sock *tp)
{
	struct tcp_sock___configured *with = (void *)tp;
	struct ipv6_pinfo *np = NULL;

	if (BPF_CORE_READ(tp, inet_conn.icsk_inet.min_ttl))
		return true;
	if (bpf_core_field_exists(with->inet_conn.icsk_inet.pinet6))
		bpf_core_read(&np, sizeof(np), &with->inet_conn.icsk_inet.pinet6);
	return np && BPF_CORE_READ(np, min_hopcount);
}

#endif /* HK_BPF_TCP_SOCK_H */
