/* SPDX-License-Identifier: GPL-2.0 */
/* Another carrier for an association that is up: fallback.c */
#ifndef HK_RELAY_FALLBACK_H
#define HK_RELAY_FALLBACK_H

#include <linux/types.h>
#include <stdbool.h>
#include "../carrier/carrier.h"
#include "timer.h"

struct hk_peer;
struct hk_port;
struct hk_relay;

/**
 * struct hk_fallback - an association's way to another carrier, see fallback.c
 * @timer:    an answer has waited long enough for a better one; or: try to return
 * @nonce:    of the last HELLOs, xor-ed with the carrier's index
 * @asked_ns: when they were sent; 0: never, or the carrier in use has answered
 * @answer:   carrier to go to when @timer fires; NULL: none
 * @path:     that of the answer
 * @len:      its size
 * @rtt_ns:   and how long it took
 * @rounds:   of HELLOs so far
 * @ptos:     PTOs in a row when the last round was sent
 * @returns:  attempts to return to a better carrier
 */
struct hk_fallback {
	struct hk_timer	timer;
	__u64		nonce, asked_ns;
	struct hk_port	*answer;
	struct hk_path	path;
	__u32		len;
	__u64		rtt_ns;
	unsigned int	rounds, ptos, returns;
};

void	hk_fallback_init(struct hk_peer *peer);
void	hk_fallback_start(struct hk_peer *peer);
void	hk_fallback_resume(struct hk_peer *peer);
void	hk_fallback_exit(struct hk_peer *peer);
void	hk_fallback_switched(struct hk_peer *peer);
void	hk_fallback_moved(struct hk_peer *peer);
void	hk_fallback_check(struct hk_peer *peer);
void	hk_fallback_suspect(struct hk_peer *peer);
void	hk_fallback_ack_rx(struct hk_peer *peer, struct hk_port *port,
			   const struct hk_datagram *dgram);
bool	hk_fallback_is_stuck(const struct hk_peer *peer, const struct hk_port *port);
void	hk_fallback_leave(struct hk_peer *peer, struct hk_port *port);
void	hk_fallback_added(struct hk_relay *r, const struct hk_port *port);

#endif /* HK_RELAY_FALLBACK_H */
