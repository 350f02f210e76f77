/* SPDX-License-Identifier: GPL-2.0 */
/* The policy of a running daemon: rules.c */
#ifndef HK_RELAY_RULES_H
#define HK_RELAY_RULES_H

#include <linux/types.h>
#include <stddef.h>

struct hk_relay;
struct hk_report;
struct htp_cc_ops;

int	hk_rules_open(struct hk_relay *r);
void	hk_rules_adopt(struct hk_relay *r, __u32 last_gen);
void	hk_rules_close(struct hk_relay *r);
int	hk_rules_command(void *priv, const char *what, const char *body, size_t len, char *why,
			 size_t size);
int	hk_rules_answer(const struct hk_relay *r, struct hk_report *rep);
const struct htp_cc_ops *hk_class_cc(const struct hk_relay *r, __u8 class);

#endif /* HK_RELAY_RULES_H */
