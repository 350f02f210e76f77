/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AF_XDP sockets that send: memory for frames, a ring of those to send, a ring of
 * those that come back. Private to carrier/.
 */
#ifndef HK_CARRIER_XDP_SOCKET_H
#define HK_CARRIER_XDP_SOCKET_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define HK_XDP_FRAMES	2048	/* that may be under way; a power of two */

/**
 * struct hk_xdp_ring - one ring shared with the kernel
 * @map:      its pages; owned
 * @map_len:  bytes of them
 * @producer: entries written, ever
 * @consumer: entries read, ever
 * @flags:    XDP_RING_NEED_WAKEUP
 * @entries:  HK_XDP_FRAMES of them
 */
struct hk_xdp_ring {
	void	*map;
	size_t	map_len;
	__u32	*producer, *consumer, *flags;
	void	*entries;
};

/**
 * struct hk_xdp_socket - an open one
 * @fd:       owned; -1: closed
 * @zerocopy: the device reads frames where they are, and sends without being called
 * @umem:     frames; owned
 * @umem_len: bytes of it
 * @chunk:    bytes of a frame
 * @tx:       to the kernel
 * @done:     from the kernel
 * @fill:     for frames to receive into: the driver's, in zero-copy mode
 * @free:     stack of offsets of unused frames
 * @nr_free:  of them
 */
struct hk_xdp_socket {
	int			fd;
	bool			zerocopy;
	__u8			*umem;
	size_t			umem_len;
	__u32			chunk;
	struct hk_xdp_ring	tx, done, fill;
	__u32			free[HK_XDP_FRAMES], nr_free;
};

int	hk_xdp_open(struct hk_xdp_socket *s, int ifindex, unsigned int nr_queues, __u32 chunk,
		    bool zerocopy);
void	hk_xdp_close(struct hk_xdp_socket *s);
__u32	hk_xdp_reclaim(struct hk_xdp_socket *s);
void	*hk_xdp_next(struct hk_xdp_socket *s);
void	hk_xdp_put(struct hk_xdp_socket *s, __u32 len);
int	hk_xdp_kick(struct hk_xdp_socket *s);
__u32	hk_xdp_pending(const struct hk_xdp_socket *s);

#endif /* HK_CARRIER_XDP_SOCKET_H */
