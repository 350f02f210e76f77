/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Several associations, and perhaps a TCP connection, that share a link in the
 * simulator.
 */
#ifndef WORLD_H
#define WORLD_H

#include "sim.h"
#include "htp/cc.h"

#define KB		1000ULL
#define MB		1000000ULL
#define DATAGRAM	1472
#define OVERHEAD	42		/* Ethernet, IPv4, UDP */
#define MAX_ASSOCS	16

/**
 * struct tcp - model of a TCP sender with CUBIC: SACK, no pacing, each segment acknowledged
 * @cc:	      state of CUBIC; owned
 * @link:     where its segments go
 * @delay_ns: of the way back
 * @ack:      ring of segments sent: when their acknowledgment comes, HTP_NEVER if they are lost
 * @head:     oldest segment whose fate the sender doesn't know
 * @next:     to be sent
 * @recover:  losses below belong to the congestion event under way
 * @srtt:     ns
 * @delivered: bytes
 */
struct tcp {
	void		*cc;
	struct sim_link	*link;
	__u64		delay_ns;
	struct {
		__u64	sent_ns, ack_ns;
	} ack[8192];
	__u64		head, next, recover, srtt, delivered;
};

/**
 * struct world - associations, and perhaps a TCP connection, behind one link
 * @link: of data from A to B; ACKs have links of their own
 * @seed: of the first association, the next one has the next
 * @sim:  the associations
 * @flow: each uploads without end
 * @nr:	  of them
 * @tcp:  the connection, or NULL; owned
 * @now:  time
 */
struct world {
	struct sim_link	link;
	__u64		seed;
	struct sim	sim[MAX_ASSOCS];
	struct sim_flow	*flow[MAX_ASSOCS];
	int		nr;
	struct tcp	*tcp;
	__u64		now;
};

__u64	world_seed(void);	/* HTP_SEED of the environment */
void	path_init(struct sim *sim, const struct sim_link *link, const struct htp_cc_ops *cc,
		  __u64 seed);

struct world *world_create(const struct sim_link *link, __u64 seed);
int	world_add(struct world *w, const struct htp_cc_ops *cc, __u64 delay_ns);
int	world_add_tcp(struct world *w);
int	world_open(struct world *w, int i);
void	world_run(struct world *w, __u64 for_ns);
double	world_received(struct world *w, int i);
long	world_destroy(struct world *w);		/* errors, and allocations that leaked */

#endif /* WORLD_H */
