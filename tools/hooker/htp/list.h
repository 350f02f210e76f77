/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Circular lists with the link inside the element. A link that is in no list
 * points to itself, so removing it again does nothing.
 */
#ifndef HTP_LIST_H
#define HTP_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct htp_link {
	struct htp_link	*next, *prev;
};

#define htp_entry(link, type, member) \
	((type *)((char *)(link) - offsetof(type, member)))

static inline void htp_list_init(struct htp_link *link)
{
	link->next = link;
	link->prev = link;
}

static inline bool htp_list_is_empty(const struct htp_link *head)
{
	return head->next == head;
}

static inline void htp_list_del(struct htp_link *link)
{
	link->next->prev = link->prev;
	link->prev->next = link->next;
	htp_list_init(link);
}

static inline void htp_list_add_tail(struct htp_link *head, struct htp_link *link)
{
	link->next = head;
	link->prev = head->prev;
	head->prev->next = link;
	head->prev = link;
}

#endif /* HTP_LIST_H */
