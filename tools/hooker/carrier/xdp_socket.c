// SPDX-License-Identifier: GPL-2.0
/*
 * AF_XDP sockets for sending. Frames that were put are the kernel's until they come
 * back; there are never more of them than a ring has entries, so no ring is ever full.
 *
 * In copy mode the kernel takes frames only while we call it, and only so many at
 * once. What it leaves stays in the ring for the next call: it can't be taken back,
 * because the kernel remembers how far the ring was filled.
 *
 * In zero-copy mode the driver also receives into our memory, on this queue, whether
 * we want to or not. The frames that it gets for this are its own: what it hands to
 * the stack is a copy, after which it uses them again.
 */
#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "xdp_socket.h"

#ifndef XDP_MAX_TX_SKB_BUDGET	/* Linux 6.18 */
#define XDP_MAX_TX_SKB_BUDGET	9
#endif

#define MAX_QUEUES	16		/* tried, till one is not another socket's */
#define COPY_FILL	2		/* entries of a ring that nobody uses */
#define SEND_BUDGET	128		/* frames that one call takes, instead of 32 */
#define SEND_BUF	(16 << 20)	/* all frames, with what the kernel adds to each */

static __u32 load(const __u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(__u32 *p, __u32 value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val)) ? -errno : 0;
}

static int add_umem(struct hk_xdp_socket *s)
{
	struct xdp_umem_reg reg = { .chunk_size = s->chunk };

	s->umem_len = (size_t)s->chunk * HK_XDP_FRAMES * (s->zerocopy ? 2 : 1);
	s->umem = mmap(NULL, s->umem_len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s->umem == MAP_FAILED) {
		s->umem = NULL;
		return -errno;
	}
	reg.addr = (__u64)(unsigned long)s->umem;
	reg.len = s->umem_len;
	return setsockopt(s->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
}

static int map_ring(struct hk_xdp_socket *s, struct hk_xdp_ring *ring, __u64 pgoff,
		    const struct xdp_ring_offset *off, size_t entries_len)
{
	void *map;

	map = mmap(NULL, off->desc + entries_len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, s->fd, pgoff);
	if (map == MAP_FAILED)
		return -errno;
	ring->map = map;
	ring->map_len = off->desc + entries_len;
	ring->producer = map + off->producer;
	ring->consumer = map + off->consumer;
	ring->flags = map + off->flags;
	ring->entries = map + off->desc;
	return 0;
}

static int add_rings(struct hk_xdp_socket *s)
{
	__u32 nr_fill = s->zerocopy ? HK_XDP_FRAMES : COPY_FILL;
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int err;

	err = set_int(s->fd, SOL_XDP, XDP_UMEM_FILL_RING, nr_fill);
	if (!err)
		err = set_int(s->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, HK_XDP_FRAMES);
	if (!err)
		err = set_int(s->fd, SOL_XDP, XDP_TX_RING, HK_XDP_FRAMES);
	if (!err && getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		err = -errno;
	if (!err && len != sizeof(off))		/* before 5.4: without flags */
		err = -EOPNOTSUPP;
	if (!err)
		err = map_ring(s, &s->tx, XDP_PGOFF_TX_RING, &off.tx,
			       HK_XDP_FRAMES * sizeof(struct xdp_desc));
	if (!err)
		err = map_ring(s, &s->done, XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr,
			       HK_XDP_FRAMES * sizeof(__u64));
	return err ?: map_ring(s, &s->fill, XDP_UMEM_PGOFF_FILL_RING, &off.fr,
			       nr_fill * sizeof(__u64));
}

/* The first half of the memory is for sending, the second one the driver's */
static void share_frames(struct hk_xdp_socket *s)
{
	__u64 *fill = s->fill.entries;
	__u32 i;

	for (i = 0; i < HK_XDP_FRAMES; i++)
		s->free[i] = (HK_XDP_FRAMES - 1 - i) * s->chunk;
	s->nr_free = HK_XDP_FRAMES;
	if (!s->zerocopy)
		return;
	for (i = 0; i < HK_XDP_FRAMES; i++)
		fill[i] = (__u64)(HK_XDP_FRAMES + i) * s->chunk;
	store(s->fill.producer, HK_XDP_FRAMES);
}

static int bind_queue(struct hk_xdp_socket *s, int ifindex, unsigned int nr_queues)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP | (s->zerocopy ? XDP_ZEROCOPY : XDP_COPY),
		.sxdp_ifindex = ifindex,
	};

	do {
		if (!bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)))
			return 0;
	} while (errno == EBUSY && ++addr.sxdp_queue_id < nr_queues &&
		 addr.sxdp_queue_id < MAX_QUEUES);
	return -errno;
}

/**
 * hk_xdp_open - open a socket on a device
 * @s:	       caller's memory, whatever is in it; closed again on error
 * @ifindex:   device
 * @nr_queues: transmit queues that it has
 * @chunk:     bytes of a frame, 2048 or 4096
 * @zerocopy:  in zero-copy mode, or not at all
 *
 * Return: 0, or
 * -EAFNOSUPPORT: this kernel has no such sockets;
 * -EBUSY: all queues are other sockets';
 * -EOPNOTSUPP: not in this mode on this device; or another negative errno.
 */
int hk_xdp_open(struct hk_xdp_socket *s, int ifindex, unsigned int nr_queues, __u32 chunk,
		bool zerocopy)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->chunk = chunk;
	s->zerocopy = zerocopy;
	s->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	/* less would only make the kernel take less at once */
	set_int(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUF);
	set_int(s->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, SEND_BUDGET);
	err = add_umem(s);
	if (!err)
		err = add_rings(s);
	if (!err) {
		share_frames(s);
		err = bind_queue(s, ifindex, nr_queues);
	}
	if (err)
		hk_xdp_close(s);
	return err;
}

static void unmap_ring(struct hk_xdp_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_len);
}

/**
 * hk_xdp_close - close a socket
 * @s: open or closed
 *
 * Frames that the kernel hasn't taken are never sent.
 */
void hk_xdp_close(struct hk_xdp_socket *s)
{
	unmap_ring(&s->tx);
	unmap_ring(&s->done);
	unmap_ring(&s->fill);
	if (s->fd >= 0)
		close(s->fd);
	if (s->umem)
		munmap(s->umem, s->umem_len);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

/**
 * hk_xdp_reclaim - take back frames that were sent
 * @s: open
 *
 * Return: how many came.
 */
__u32 hk_xdp_reclaim(struct hk_xdp_socket *s)
{
	__u32 end = load(s->done.producer), next = *s->done.consumer, nr = end - next;
	const __u64 *entries = s->done.entries;

	for (; next != end; next++)
		s->free[s->nr_free++] = entries[next & (HK_XDP_FRAMES - 1)];
	store(s->done.consumer, end);
	return nr;
}

/**
 * hk_xdp_next - where to write the next frame
 * @s: open
 *
 * Return: room for @s->chunk bytes, NULL if all frames are under way.
 */
void *hk_xdp_next(struct hk_xdp_socket *s)
{
	return s->nr_free ? s->umem + s->free[s->nr_free - 1] : NULL;
}

/**
 * hk_xdp_put - have the frame sent that hk_xdp_next() gave
 * @s:	 open
 * @len: bytes in it
 */
void hk_xdp_put(struct hk_xdp_socket *s, __u32 len)
{
	struct xdp_desc *entries = s->tx.entries;
	__u32 next = *s->tx.producer;

	entries[next & (HK_XDP_FRAMES - 1)] = (struct xdp_desc){
		.addr = s->free[--s->nr_free],
		.len = len,
	};
	store(s->tx.producer, next + 1);
}

/**
 * hk_xdp_pending - frames that the kernel has not taken yet
 * @s: open
 */
__u32 hk_xdp_pending(const struct hk_xdp_socket *s)
{
	return *s->tx.producer - load(s->tx.consumer);
}

/* Room is short for a while, a frame was dropped, or it has taken what it takes at once */
static bool is_passing(int err)
{
	return err == EAGAIN || err == EBUSY || err == ENOBUFS || err == EINTR;
}

/**
 * hk_xdp_kick - let the kernel take what was put
 * @s: open
 *
 * Return: 0, also if a zero-copy driver will go on by itself; -EAGAIN: it left some,
 * call again later; another negative errno: it takes no more, close the socket.
 */
int hk_xdp_kick(struct hk_xdp_socket *s)
{
	__u32 pending = hk_xdp_pending(s), before;

	while (pending) {
		if (!(load(s->tx.flags) & XDP_RING_NEED_WAKEUP))
			return 0;
		before = pending;
		if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && !is_passing(errno))
			return -errno;
		pending = hk_xdp_pending(s);
		if (s->zerocopy)
			return 0;
		if (pending == before)
			return -EAGAIN;
	}
	return 0;
}
