/* SPDX-License-Identifier: GPL-2.0 */
/* Lists of connections and of peers, for who holds one and need not look inside */
#ifndef HK_RELAY_LISTS_H
#define HK_RELAY_LISTS_H

#include <sys/queue.h>

LIST_HEAD(hk_flow_list, hk_flow);
LIST_HEAD(hk_peer_list, hk_peer);
TAILQ_HEAD(hk_flow_queue, hk_flow);
TAILQ_HEAD(hk_peer_queue, hk_peer);

#endif /* HK_RELAY_LISTS_H */
