/* SPDX-License-Identifier: GPL-2.0 */
/* Ways to the peer, and which one is used: path.c */
#ifndef HTP_PATH_H
#define HTP_PATH_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include "htp.h"

#define HTP_PATH_TRIES		5	/* challenges to a path */

enum htp_path_state {
	HTP_PATH_FREE,
	HTP_PATH_TRIED,
	HTP_PATH_ANSWERED,
	HTP_PATH_USED,
	HTP_PATH_FORMER,
};

/**
 * struct htp_path - a way to the peer; who may move between the states: see path.c
 * @state:	enum htp_path_state
 * @same_host:	trial: only the port differs from the path in use
 * @left:	FORMER: by our own choice; it is neither asked nor does it answer
 * @owes:	a PATH_RESPONSE is to go there
 * @echo:	with these bytes
 * @owed_len:	and of this size, if that is allowed
 * @token:	the n-th challenge is this, xor n
 * @tries:	challenges sent
 * @sent_len:	their sizes
 * @sent_ns:	and times
 * @next_ns:	the next one is due; HTP_NEVER: none is
 * @wait_ns:	trial: the path in use may have answered by then
 * @end_ns:	free then; HTP_NEVER: not
 * @rtt_ns:	between challenge and response
 * @proven:	size of the largest challenge that was answered
 * @rx_bytes:	trial: came by it
 * @tx_bytes:	went there
 */
struct htp_path {
	__u8	state;
	bool	same_host, left, owes;
	__u64	echo, owed_len;
	__u64	token;
	__u32	tries;
	__u32	sent_len[HTP_PATH_TRIES];
	__u64	sent_ns[HTP_PATH_TRIES];
	__u64	next_ns, wait_ns, end_ns;
	__u64	rtt_ns;
	__u32	proven;
	__u64	rx_bytes, tx_bytes;
};

/**
 * struct htp_paths - all ways to the peer
 * @path:	 by number
 * @used:	 the one in use
 * @credit_ns:	 for trials, as of @credited_ns
 * @credited_ns: likewise
 */
struct htp_paths {
	struct htp_path	path[HTP_PATHS];
	__u32		used;
	__u64		credit_ns, credited_ns;
};

void	htp_path_init(struct htp_assoc *a);
bool	htp_path_is_believed(const struct htp_assoc *a, __u32 n);
__u64	htp_path_trial_end(const struct htp_assoc *a);
void	htp_path_on_rx(struct htp_assoc *a, const struct htp_via *via, __u64 pn, size_t len);
void	htp_path_on_challenge(struct htp_assoc *a, __u32 n, __u64 data, size_t len);
void	htp_path_on_response(struct htp_assoc *a, __u32 n, __u64 data);
bool	htp_path_is_due(const struct htp_assoc *a);
__u64	htp_path_deadline(const struct htp_assoc *a);
void	htp_path_expire(struct htp_assoc *a);
size_t	htp_path_write(struct htp_assoc *a, __u8 *pkt, size_t cap);

#endif /* HTP_PATH_H */
