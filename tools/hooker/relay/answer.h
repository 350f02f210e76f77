/* SPDX-License-Identifier: GPL-2.0 */
/* What the control socket is asked, and what it answers */
#ifndef HK_RELAY_ANSWER_H
#define HK_RELAY_ANSWER_H

#include <stddef.h>

struct hk_mech;
struct hk_relay;
struct hk_report;

/* answer.c: `show` */
int	hk_answer(void *priv, const char *what, struct hk_report *report);

/* proto.c: mechanisms of a running daemon */
int	hk_command(void *priv, const char *what, const char *body, size_t len, char *why,
		   size_t size);
void	hk_proto_counters(const struct hk_mech *mech, struct hk_report *rep);
int	hk_proto_answer(struct hk_relay *r, struct hk_report *rep);

/* xsk.c */
void	hk_answer_xsk(struct hk_relay *r, struct hk_report *rep);

#endif /* HK_RELAY_ANSWER_H */
