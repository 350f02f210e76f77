/* SPDX-License-Identifier: GPL-2.0 */
/* What the sim*.c files share with each other, and no test needs */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "sim.h"

struct sim_packet {
	__u64		at_ns, nr;
	enum sim_side	to;
	__u32		too_big;	/* no datagram: one of @to's was larger than this */
	__u32		from_addr;
	__u8		ecn;
	size_t		len;
	__u8		data[];
};

/* sim_link.c */
void	sim_link_send(struct sim *sim, enum sim_side from, const __u8 *pkt, size_t len);
struct sim_packet *sim_link_take(struct sim *sim);	/* the next to arrive; there is one */

/* sim_app.c */
void	sim_app_events(struct sim *sim, enum sim_side side);
void	sim_app_retry(struct sim *sim);
void	sim_app_exit(struct sim *sim);

/* sim_audit.c */
void	sim_audit(struct sim *sim);

#endif /* SIM_PARTS_H */
