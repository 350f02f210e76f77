/* SPDX-License-Identifier: GPL-2.0 */
/* What test_policy.bpf.c is asked and answers; the includer brings the types */
#ifndef POLICY_QUERY_H
#define POLICY_QUERY_H

#define NR_QUERIES	256

/**
 * struct policy_query - a connection, and the rule it meets
 * @from:   as in struct hk_policy_query
 * @to:     likewise
 * @port:   likewise
 * @out:    likewise
 * @result: enum hk_policy_result
 * @pref:   of the rule
 */
struct policy_query {
	__be32	from[4], to[4];
	__be16	port;
	__u16	out;
	__s32	result;
	__u32	pref;
};

#endif /* POLICY_QUERY_H */
