/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An association put into bytes and made again from them, by another process of the
 * same host: so integers stand in the host's order, and times are of the same clock.
 *
 * What was in flight counts as lost and is sent again. What is known of the network is
 * the size that has arrived and the round trip; congestion control and the test of ECN
 * begin anew. The path in use is number 0 then, others are forgotten.
 *
 * One function per struct, which reads or writes: the two can't differ.
 */
#ifndef HTP_FREEZE_H
#define HTP_FREEZE_H

#include "cursor.h"
#include "htp.h"

/* Changes with every change of what is written */
#define HTP_FREEZE_VERSION	1

/**
 * struct htp_freezer - where bytes go to, or come from
 * @thaw: reading @in; else writing by @put
 * @in:	  checked at each step: it may hold anything
 * @put:  0 or a negative errno
 * @priv: first argument of @put
 * @err:  the first error; nothing is read or written after it
 */
struct htp_freezer {
	bool			thaw;
	struct htp_reader	in;
	int			(*put)(void *priv, const void *data, size_t len);
	void			*priv;
	int			err;
};

void	htp_freeze_bytes(struct htp_freezer *f, void *data, size_t len);
void	htp_freeze_bool(struct htp_freezer *f, bool *value);
const void *htp_thaw_bytes(struct htp_freezer *f, size_t len);
void	htp_thaw_check(struct htp_freezer *f, bool ok);

/* An integer, or a struct of integers without padding */
#define HTP_FREEZE(f, value)	htp_freeze_bytes(f, &(value), sizeof(value))

int	htp_assoc_freeze(struct htp_assoc *a, struct htp_freezer *f);
struct htp_assoc *htp_assoc_thaw(const struct htp_config *config, struct htp_freezer *f,
				 __u64 now_ns);
struct htp_stream *htp_assoc_stream(struct htp_assoc *a, __u64 id);

#endif /* HTP_FREEZE_H */
