/* SPDX-License-Identifier: GPL-2.0 */
/* The size of datagrams (RFC 8899): pmtu.c */
#ifndef HTP_PMTU_H
#define HTP_PMTU_H

#include <linux/types.h>
#include <stdbool.h>

struct htp_assoc;
struct htp_sent;

enum htp_pmtu_state {
	HTP_PMTU_SEARCH,
	HTP_PMTU_COMPLETE,
};

/**
 * struct htp_pmtu - path MTU, in bytes of datagram
 * @state:	see pmtu.c
 * @size:	largest datagram written; the peer has acknowledged one of it
 * @high:	larger ones than this don't pass, as far as is known
 * @limit:	nor can larger ones than this: the route or the peer doesn't take them
 * @top:	@high itself is to be tried before anything between
 * @probe:	size that is being tried; 0: not chosen yet
 * @tries:	probes of it that were lost
 * @probe_pn:	packet number of the one under way; HTP_NEVER: none is
 * @probe_ns:	it counts as lost then
 * @raise_ns:	COMPLETE: the next search begins; HTP_NEVER: there's nothing to gain
 * @doubt:	size of datagrams before a black hole was suspected; 0: none is
 * @doubt_high:	@high before that, and @doubt_top likewise
 * @doubt_top:	likewise
 * @small_end:	newest packet of the base size or less that arrived, plus 1; 0: none
 * @large_end:	newest larger one
 * @large_size:	its size
 * @nr_lost:	larger packets lost since one as large arrived
 * @lost_pn:	the first of these. Valid if @nr_lost
 * @lost_size:	the smallest. Likewise
 */
struct htp_pmtu {
	enum htp_pmtu_state	state;
	__u32			size, high, limit;
	bool			top;
	__u32			probe, tries;
	__u64			probe_pn, probe_ns, raise_ns;
	__u32			doubt, doubt_high;
	bool			doubt_top;
	__u64			small_end, large_end;
	__u32			large_size;
	__u32			nr_lost, lost_size;
	__u64			lost_pn;
};

void	htp_pmtu_init(struct htp_assoc *a);
__u32	htp_pmtu_probe(const struct htp_assoc *a);
__u32	htp_pmtu_cap(const struct htp_assoc *a);
void	htp_pmtu_set_limit(struct htp_assoc *a, __u32 limit);
void	htp_pmtu_on_path(struct htp_assoc *a, __u32 proven);
void	htp_pmtu_on_sent(struct htp_assoc *a, __u64 pn, __u32 size);
void	htp_pmtu_on_acked(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn);
void	htp_pmtu_on_lost(struct htp_assoc *a, const struct htp_sent *sent, __u64 pn);
void	htp_pmtu_check(struct htp_assoc *a);
bool	htp_pmtu_explains(const struct htp_assoc *a, const struct htp_sent *sent);
__u64	htp_pmtu_deadline(const struct htp_assoc *a);
void	htp_pmtu_expire(struct htp_assoc *a);

#endif /* HTP_PMTU_H */
