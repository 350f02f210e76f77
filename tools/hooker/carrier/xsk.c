// SPDX-License-Identifier: GPL-2.0
/*
 * Sending through AF_XDP. A carrier whose datagrams are UDP-Lite on the wire is
 * wrapped: it keeps its sockets, receives, and sends what can't go as a frame of ours.
 * That is decided for each datagram anew, so that nothing depends on AF_XDP but speed.
 *
 * A path is looked up once enough was sent to it; datagrams to addresses that
 * somebody made up don't cost a lookup. From then on its entry says what stands in front of
 * its frames, or why there are none, until the kernel tells of a change, or a second
 * has passed. With each lookup one datagram takes the socket. The kernel sees a path
 * in use that way: it resolves and verifies the neighbour, and connection tracking
 * and its cached routes stay alive.
 *
 * Frames pass by what is between socket and device: netfilter's output hooks, queueing
 * disciplines, tc and IPsec. For the last one that is not the user's to choose: where
 * there are policies, no frame is sent.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "frame.h"
#include "hop.h"
#include "socket.h"
#include "xdp_socket.h"
#include "xsk.h"

#define SETS		512		/* a power of two; with as many paths in each: */
#define WAYS		4
#define NEW_DATAGRAMS	32		/* sent to a path before it is looked up */
#define REFRESH_NS	1000000000ULL	/* between lookups of a path */
#define HOLD_NS		10000000ULL	/* at least, however often the tables change */
#define RETRY_NS	50000000ULL	/* till a device that failed is tried again, and then: */
#define RETRY_MAX_NS	3200000000ULL	/* twice as long each time, up to this */
#define STALL_NS	2000000000ULL	/* without a frame coming back: the device is stuck */
#define SMALL_CHUNK	2048
#define LARGE_CHUNK	4096

/**
 * struct entry - one path
 * @path:	its key; all zero: unused
 * @seen:	datagrams sent to it, counted up to NEW_DATAGRAMS
 * @why:	HK_XSK_FRAMES, or why there are none
 * @stale:	the tables have changed
 * @used_ns:	last time that a datagram went there
 * @looked_ns:	when it was looked up; 0: never
 * @hop:	where its frames go
 * @head:	what they start with
 */
struct entry {
	struct hk_path		path;
	__u32			seen;
	enum hk_xsk_stat	why;
	bool			stale;
	__u64			used_ns, looked_ns;
	struct hk_hop		hop;
	struct hk_frame_head	head;
};

/**
 * struct dev - a device and the socket on it
 * @ifindex:  0: slot unused
 * @sock:     open, or closed until @retry_ns
 * @copies:   zero-copy mode failed
 * @polled:   the socket is watched, as frames are left that the device had no room for
 * @retry_ns: not to be opened before
 * @wait_ns:  the last pause before a retry
 * @used_ns:  last time that it was wanted
 * @moved_ns: last time that frames came back, or none were under way
 */
struct dev {
	int			ifindex;
	struct hk_xdp_socket	sock;
	bool			copies, polled;
	__u64			retry_ns, wait_ns, used_ns, moved_ns;
};

/**
 * struct xsk - private state
 * @ops:       those of @inner, but for sending and closing
 * @inner:     the carrier that was wrapped; owned
 * @hops:      the kernel's tables
 * @epoll_fd:  readable when something is to be done for hk_xsk_on_poll(); owned
 * @mark:      SO_MARK of the sockets
 * @hop_limit: default of each family
 * @zerocopy:  to be tried
 * @ipsec:     there are policies
 * @seed:      of the hash
 * @now_ns:    CLOCK_MONOTONIC at the beginning of the call
 * @stats:     by enum hk_xsk_stat
 * @devs:      used ones come in any order
 * @entries:   SETS x WAYS
 */
struct xsk {
	struct hk_carrier_ops	ops;
	struct hk_carrier	inner;
	struct hk_hops		hops;
	int			epoll_fd;
	__u32			mark;
	__u8			hop_limit[2];
	bool			zerocopy, ipsec;
	__u32			seed;
	__u64			now_ns;
	__u64			stats[HK_NR_XSK_STATS];
	struct dev		devs[HK_XSK_MAX_DEVS];
	struct entry		entries[SETS][WAYS];
};

static const char * const stat_names[HK_NR_XSK_STATS] = {
	[HK_XSK_FRAMES]		= "frames",
	[HK_XSK_NEW]		= "new",
	[HK_XSK_REFRESH]	= "refresh",
	[HK_XSK_ROUTE]		= "route",
	[HK_XSK_NEIGHBOUR]	= "neighbour",
	[HK_XSK_DEVICE]		= "device",
	[HK_XSK_SIZE]		= "size",
	[HK_XSK_FULL]		= "full",
	[HK_XSK_IPSEC]		= "ipsec",
	[HK_XSK_LOST]		= "lost",
};

static __u64 clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static bool same_path(const struct hk_path *a, const struct hk_path *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static struct entry *set_of(struct xsk *x, const struct hk_path *path)
{
	__u32 word, hash = x->seed;
	size_t i;

	for (i = 0; i < sizeof(*path); i += sizeof(word)) {
		memcpy(&word, (const char *)path + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b1;
		hash ^= hash >> 15;
	}
	return x->entries[hash & (SETS - 1)];
}

/* A new path replaces the one of its set that has waited longest */
static struct entry *entry_of(struct xsk *x, const struct hk_path *path)
{
	struct entry *set = set_of(x, path), *oldest = set;
	int i;

	for (i = 0; i < WAYS; i++) {
		if (same_path(&set[i].path, path))
			return &set[i];
		if (set[i].used_ns < oldest->used_ns)
			oldest = &set[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->path = *path;
	return oldest;
}

/* ---- devices ---- */

static void unwatch(struct xsk *x, struct dev *dev)
{
	if (dev->polled)
		epoll_ctl(x->epoll_fd, EPOLL_CTL_DEL, dev->sock.fd, NULL);
	dev->polled = false;
}

static void watch(struct xsk *x, struct dev *dev)
{
	/* edge-triggered: the socket has room, it is the device that hasn't */
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };

	if (!dev->polled)
		dev->polled = !epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, dev->sock.fd, &ev);
}

static void close_dev(struct xsk *x, struct dev *dev)
{
	unwatch(x, dev);
	if (dev->sock.fd >= 0 && !dev->sock.zerocopy)
		x->stats[HK_XSK_LOST] += hk_xdp_pending(&dev->sock);
	hk_xdp_close(&dev->sock);
}

/* A queue stays busy for a moment after its socket was closed, so the first pause is short */
static void fail_dev(struct xsk *x, struct dev *dev)
{
	dev->wait_ns = dev->wait_ns ? dev->wait_ns * 2 : RETRY_NS;
	if (dev->wait_ns > RETRY_MAX_NS)
		dev->wait_ns = RETRY_MAX_NS;
	dev->retry_ns = x->now_ns + dev->wait_ns;
	dev->copies |= dev->sock.fd >= 0 && dev->sock.zerocopy;
	close_dev(x, dev);
}

static __u32 chunk_for(const struct hk_hop *hop)
{
	return hop->mtu + ETH_HLEN <= SMALL_CHUNK ? SMALL_CHUNK : LARGE_CHUNK;
}

static void open_dev(struct xsk *x, struct dev *dev, const struct hk_hop *hop)
{
	int err = -EOPNOTSUPP;

	if (x->zerocopy && !dev->copies)
		err = hk_xdp_open(&dev->sock, hop->ifindex, hop->nr_queues, chunk_for(hop), true);
	if (err && err != -EBUSY)
		err = hk_xdp_open(&dev->sock, hop->ifindex, hop->nr_queues, chunk_for(hop), false);
	if (err)
		fail_dev(x, dev);
	dev->moved_ns = x->now_ns;
}

/* The hop's, or else the one that was not wanted for longest */
static struct dev *slot_for(struct xsk *x, int ifindex)
{
	struct dev *oldest = x->devs;
	int i;

	for (i = 0; i < HK_XSK_MAX_DEVS; i++) {
		if (x->devs[i].ifindex == ifindex)
			return &x->devs[i];
		if (x->devs[i].used_ns < oldest->used_ns)
			oldest = &x->devs[i];
	}
	close_dev(x, oldest);
	memset(oldest, 0, sizeof(*oldest));
	oldest->sock.fd = -1;
	oldest->ifindex = ifindex;
	return oldest;
}

static struct dev *dev_for(struct xsk *x, const struct hk_hop *hop)
{
	struct dev *dev = slot_for(x, hop->ifindex);

	dev->used_ns = x->now_ns;
	if (dev->sock.fd >= 0 && dev->sock.chunk < chunk_for(hop))
		close_dev(x, dev);
	if (dev->sock.fd < 0 && dev->retry_ns <= x->now_ns)
		open_dev(x, dev, hop);
	return dev->sock.fd >= 0 ? dev : NULL;
}

/* True if there is room. A device that gives nothing back any more is given up for a while */
static bool make_room(struct xsk *x, struct dev *dev)
{
	int err;

	if (hk_xdp_reclaim(&dev->sock)) {
		dev->moved_ns = x->now_ns;
		dev->wait_ns = 0;
	}
	if (dev->sock.nr_free == HK_XDP_FRAMES)
		dev->moved_ns = x->now_ns;
	if (x->now_ns - dev->moved_ns > STALL_NS && !dev->sock.nr_free) {
		fail_dev(x, dev);
		return false;
	}
	err = hk_xdp_kick(&dev->sock);
	if (err && err != -EAGAIN)
		fail_dev(x, dev);
	else if (!err)
		unwatch(x, dev);
	return !err && dev->sock.nr_free;
}

/* ---- paths ---- */

static enum hk_xsk_stat reason(int err)
{
	switch (err) {
	case -EHOSTUNREACH:
		return HK_XSK_NEIGHBOUR;
	case -EOPNOTSUPP:
	case -ENETDOWN:
	case -ENODEV:
		return HK_XSK_DEVICE;
	}
	return err ? HK_XSK_ROUTE : HK_XSK_FRAMES;
}

static void look_up(struct xsk *x, struct entry *e)
{
	int family_idx = hk_socket_family(&e->path);

	e->stale = false;
	e->looked_ns = x->now_ns;
	e->why = reason(hk_hops_find(&x->hops, &e->path, x->mark, &e->hop));
	memcpy(e->head.dst, e->hop.dst, sizeof(e->head.dst));
	memcpy(e->head.src, e->hop.src, sizeof(e->head.src));
	e->head.sport = x->inner.port;
	e->head.hop_limit = e->hop.hop_limit ?: x->hop_limit[family_idx];
}

/* Whether the next datagram to a path may be a frame; does what is due */
static enum hk_xsk_stat judge_path(struct xsk *x, struct entry *e)
{
	__u64 age = x->now_ns - e->looked_ns;

	e->used_ns = x->now_ns;
	if (x->ipsec)
		return HK_XSK_IPSEC;
	if (e->seen < NEW_DATAGRAMS) {
		e->seen++;
		return HK_XSK_NEW;
	}
	if (e->looked_ns && e->stale && age < HOLD_NS)
		return HK_XSK_ROUTE;
	if (!e->looked_ns || e->stale || age >= REFRESH_NS) {
		look_up(x, e);
		return e->why == HK_XSK_FRAMES ? HK_XSK_REFRESH : e->why;
	}
	return e->why;
}

static bool fits(const struct entry *e, const struct dev *dev, const struct hk_datagram *dgram)
{
	__u32 len = hk_frame_ip_len(dgram);

	return len <= e->hop.mtu && len + ETH_HLEN <= dev->sock.chunk;
}

static enum hk_xsk_stat judge(struct xsk *x, struct entry *e, const struct hk_datagram *dgram,
			      struct dev **dev)
{
	enum hk_xsk_stat why = judge_path(x, e);

	if (why != HK_XSK_FRAMES)
		return why;
	*dev = dev_for(x, &e->hop);
	if (!*dev)
		return HK_XSK_DEVICE;
	if (!fits(e, *dev, dgram))
		return HK_XSK_SIZE;
	return make_room(x, *dev) ? HK_XSK_FRAMES :
	       (*dev)->sock.fd < 0 ? HK_XSK_DEVICE : HK_XSK_FULL;
}

/* ---- sending ---- */

static int put_frames(struct entry *e, struct dev *dev, const struct hk_datagram *dgrams, int n)
{
	void *frame;
	int i;

	for (i = 0; i < n; i++) {
		if (!same_path(&dgrams[i].path, &e->path) || !fits(e, dev, &dgrams[i]))
			break;
		frame = hk_xdp_next(&dev->sock);
		if (!frame)
			break;
		hk_xdp_put(&dev->sock, hk_frame_build(frame, &e->head, &dgrams[i]));
	}
	return i;
}

/*
 * Returns how many left, or will: those that the device has no room for stay in the
 * ring. If it is gone, what was not taken goes to the socket, all of it being of this call.
 */
static int send_frames(struct xsk *x, struct entry *e, struct dev *dev,
		       const struct hk_datagram *dgrams, int n)
{
	int nr = put_frames(e, dev, dgrams, n), left = 0;
	int err = hk_xdp_kick(&dev->sock);

	if (err == -EAGAIN) {
		watch(x, dev);
	} else if (err) {
		left = dev->sock.zerocopy ? 0 : hk_xdp_pending(&dev->sock);
		fail_dev(x, dev);
		x->stats[HK_XSK_LOST] -= left;
	}
	x->stats[HK_XSK_FRAMES] += nr - left;
	return nr - left;
}

/* How many in a row the socket takes for the same reason, all to one path */
static int socket_run(struct entry *e, enum hk_xsk_stat why, const struct hk_datagram *dgrams,
		      int n)
{
	int i;

	if (why == HK_XSK_REFRESH || why == HK_XSK_SIZE)
		return 1;
	if (why == HK_XSK_NEW && n > (int)(NEW_DATAGRAMS - e->seen) + 1)
		n = NEW_DATAGRAMS - e->seen + 1;
	for (i = 1; i < n && same_path(&dgrams[i].path, &dgrams[0].path); i++)
		e->seen += why == HK_XSK_NEW;
	return i;
}

static int send_by_socket(struct xsk *x, struct entry *e, enum hk_xsk_stat why,
			  const struct hk_datagram *dgrams, int n)
{
	int ret = x->inner.ops->send(&x->inner, dgrams, socket_run(e, why, dgrams, n));

	if (ret > 0)
		x->stats[why] += ret;
	return ret;
}

static int xsk_send(struct hk_carrier *c, const struct hk_datagram *dgrams, int n)
{
	struct xsk *x = c->priv;
	enum hk_xsk_stat why;
	struct dev *dev = NULL;
	struct entry *e;
	int nr;

	x->now_ns = clock_ns();
	e = entry_of(x, &dgrams[0].path);
	why = judge(x, e, &dgrams[0], &dev);
	if (why == HK_XSK_FRAMES) {
		nr = send_frames(x, e, dev, dgrams, n);
		if (nr)
			return nr;
		why = HK_XSK_DEVICE;
	}
	return send_by_socket(x, e, why, dgrams, n);
}

static int xsk_recv(struct hk_carrier *c, int family_idx, struct hk_datagram *dgrams, int n)
{
	struct xsk *x = c->priv;

	return x->inner.ops->recv(&x->inner, family_idx, dgrams, n);
}

static int xsk_recv_error(struct hk_carrier *c, int family_idx, struct hk_carrier_error *error)
{
	struct xsk *x = c->priv;

	return x->inner.ops->recv_error(&x->inner, family_idx, error);
}

/* ---- news ---- */

/* The hop of an entry that found no neighbour is filled in as well */
static bool is_about(const struct entry *e, const struct hk_hop_news *news)
{
	if (!news->ifindex)
		return true;
	if (e->hop.ifindex != news->ifindex || e->hop.family != news->family ||
	    memcmp(e->hop.next, news->next, sizeof(news->next)))
		return false;
	/* most news of a neighbour are that it is as it was */
	return e->why != HK_XSK_FRAMES || !news->usable ||
	       memcmp(e->hop.dst, news->dst, sizeof(news->dst));
}

static void on_news(void *priv, const struct hk_hop_news *news)
{
	struct xsk *x = priv;
	int i, way;

	for (i = 0; i < SETS; i++)
		for (way = 0; way < WAYS; way++)
			x->entries[i][way].stale |= is_about(&x->entries[i][way], news);
	if (!news->ifindex)
		x->ipsec = hk_hops_have_ipsec(&x->hops);
}

/**
 * hk_xsk_on_poll - the descriptor of hk_xsk_fd() is readable
 * @c: wrapped
 *
 * Context: may close a socket, but not while datagrams are being sent.
 */
void hk_xsk_on_poll(struct hk_carrier *c)
{
	struct epoll_event events[HK_XSK_MAX_DEVS];
	struct xsk *x = c->priv;
	int i;

	x->now_ns = clock_ns();
	epoll_wait(x->epoll_fd, events, HK_XSK_MAX_DEVS, 0);	/* or it stays readable */
	hk_hops_read(&x->hops, on_news, x);
	for (i = 0; i < HK_XSK_MAX_DEVS; i++)
		if (x->devs[i].polled)
			make_room(x, &x->devs[i]);
}

/* ---- opening and closing ---- */

static void destroy(struct xsk *x)
{
	int i;

	for (i = 0; i < HK_XSK_MAX_DEVS; i++)
		close_dev(x, &x->devs[i]);
	hk_hops_close(&x->hops);
	if (x->epoll_fd >= 0)
		close(x->epoll_fd);
	free(x);
}

static void xsk_close(struct hk_carrier *c)
{
	struct xsk *x = c->priv;

	if (!x)
		return;
	hk_carrier_close(&x->inner);
	c->priv = NULL;
	c->fd[0] = -1;
	c->fd[1] = -1;
	destroy(x);
}

static int watch_news(struct xsk *x)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fds[2], i;

	x->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (x->epoll_fd < 0)
		return -errno;
	hk_hops_fds(&x->hops, fds);
	for (i = 0; i < 2; i++)
		if (fds[i] >= 0 && epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, fds[i], &ev))
			return -errno;
	return 0;
}

static __u8 default_limit(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int limit;

	if (fd < 0 || getsockopt(fd, level, name, &limit, &len) || limit < 1 || limit > 255)
		return 64;
	return limit;
}

static int has_af_xdp(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static struct xsk *create(const struct hk_carrier *inner, __u32 mark, bool zerocopy)
{
	struct xsk *x = calloc(1, sizeof(*x));
	int i;

	if (!x)
		return NULL;
	for (i = 0; i < HK_XSK_MAX_DEVS; i++)
		x->devs[i].sock.fd = -1;
	x->epoll_fd = -1;
	x->inner = *inner;
	x->mark = mark;
	x->zerocopy = zerocopy;
	x->hop_limit[0] = default_limit(inner->fd[0], IPPROTO_IP, IP_TTL);
	x->hop_limit[1] = default_limit(inner->fd[1], IPPROTO_IPV6, IPV6_UNICAST_HOPS);
	x->ops = *inner->ops;
	x->ops.send = xsk_send;
	x->ops.recv = xsk_recv;
	x->ops.recv_error = xsk_recv_error;
	x->ops.close = xsk_close;
	return x;
}

/**
 * hk_xsk_wrap - send a carrier's datagrams as frames where that can be done
 * @c:	      open; unchanged on error, else it is closed with hk_carrier_close() as before
 * @mark:     SO_MARK that it was opened with
 * @zerocopy: try zero-copy mode first
 *
 * The carrier is that of the network namespace the caller is in.
 *
 * Return: 0, or
 * -EAFNOSUPPORT: this kernel has no AF_XDP;
 * -EPERM: not with these rights;
 * -EPROTOTYPE: the carrier's datagrams are not UDP-Lite; or another negative errno.
 */
int hk_xsk_wrap(struct hk_carrier *c, __u32 mark, bool zerocopy)
{
	struct xsk *x;
	int err;

	if (c->ops->ip_proto != IPPROTO_UDPLITE)
		return -EPROTOTYPE;
	err = has_af_xdp();
	if (err)
		return err;
	x = create(c, mark, zerocopy);
	if (!x)
		return -ENOMEM;
	err = hk_hops_open(&x->hops);
	if (!err)
		err = watch_news(x);
	if (!err && getrandom(&x->seed, sizeof(x->seed), 0) != sizeof(x->seed))
		err = -EIO;
	if (err) {
		destroy(x);
		return err;
	}
	x->ipsec = hk_hops_have_ipsec(&x->hops);
	c->priv = x;
	c->ops = &x->ops;
	return 0;
}

static struct xsk *get_xsk(const struct hk_carrier *c)
{
	return c->ops && c->ops->close == xsk_close ? c->priv : NULL;
}

/**
 * hk_xsk_inner - the carrier without its wrapping
 * @c: any carrier
 *
 * Return: what was wrapped; @c itself if it isn't.
 */
const struct hk_carrier *hk_xsk_inner(const struct hk_carrier *c)
{
	const struct xsk *x = get_xsk(c);

	return x ? &x->inner : c;
}

/**
 * hk_xsk_stats - what became of datagrams
 * @c: any carrier
 *
 * Return: HK_NR_XSK_STATS counters, NULL if it isn't wrapped.
 */
const __u64 *hk_xsk_stats(const struct hk_carrier *c)
{
	const struct xsk *x = get_xsk(c);

	return x ? x->stats : NULL;
}

/**
 * hk_xsk_devs - go through the devices that have a socket
 * @c:	  any carrier
 * @fn:	  called for each
 * @priv: for @fn
 */
void hk_xsk_devs(const struct hk_carrier *c, void (*fn)(void *priv, int ifindex, bool zerocopy),
		 void *priv)
{
	const struct xsk *x = get_xsk(c);
	int i;

	for (i = 0; x && i < HK_XSK_MAX_DEVS; i++)
		if (x->devs[i].sock.fd >= 0)
			fn(priv, x->devs[i].ifindex, x->devs[i].sock.zerocopy);
}

/**
 * hk_xsk_fd - what to poll for input beside the carrier's sockets
 * @c: any carrier
 *
 * Return: a descriptor, which the carrier owns, -1 if it isn't wrapped.
 */
int hk_xsk_fd(const struct hk_carrier *c)
{
	const struct xsk *x = get_xsk(c);

	return x ? x->epoll_fd : -1;
}

/**
 * hk_xsk_stat_name - name of a counter
 * @stat: which
 */
const char *hk_xsk_stat_name(enum hk_xsk_stat stat)
{
	return stat_names[stat];
}
