// SPDX-License-Identifier: GPL-2.0
/*
 * Making an established TCP socket out of nothing, and reading what another
 * one would have to look like: TCP_REPAIR, as net/ipv4/tcp.c has it since 3.5.
 *
 * What holds here:
 * - A forged socket is reset, never closed in an orderly way, when its owner
 *   dies: SO_LINGER {1, 0} is the first thing it gets.
 * - SO_MARK is set before connect(), because BPF programs of type SOCK_OPS are
 *   called for forged sockets, too, and tell them by the mark.
 * - Nothing is sent while forging. The first segment is the owner's first data
 *   or the answer to the peer's.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "addr.h"
#include "state.h"

/* Kinds for TCP_REPAIR_OPTIONS; <netinet/tcp.h>, which has them, clashes with <linux/tcp.h> */
#define OPT_MSS		2
#define OPT_WINDOW	3
#define OPT_SACK	4
#define OPT_TIMESTAMP	8

#define STATE_ESTABLISHED 1	/* tcpi_state; its enum is in no header for user space either */
#define WSCALE_MAX	14	/* RFC 7323, 2.3 */
#define UNSCALED_MAX	65535
#define HOPS_MAX	255
#define MAXSEG_MIN	88	/* what TCP_MAXSEG takes: TCP_MIN_MSS ... */
#define MAXSEG_MAX	32767	/* ... to MAX_TCP_WINDOW */

static int set_int(int fd, int level, int name, int val)
{
	return setsockopt(fd, level, name, &val, sizeof(val)) ? -errno : 0;
}

static int get_int(int fd, int level, int name, __u32 *val)
{
	socklen_t len = sizeof(*val);

	return getsockopt(fd, level, name, val, &len) ? -errno : 0;
}

static int set_reset_on_close(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) ? -errno : 0;
}

/* The owner of the peer may ask for peers near by (IP_MINTTL), and this one is */
static int set_hops(int fd, bool v4)
{
	if (v4)
		return set_int(fd, IPPROTO_IP, IP_TTL, HOPS_MAX);
	return set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOPS_MAX);
}

static int set_transparent(int fd, bool v4)
{
	if (v4)
		return set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
	return set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
}

/* The forced variant ignores rmem_max and wmem_max; forging has CAP_NET_ADMIN anyway */
static int set_buffer(int fd, int forced, int plain, __u32 bytes)
{
	if (!bytes)
		return 0;
	if (!set_int(fd, SOL_SOCKET, forced, bytes))
		return 0;
	return set_int(fd, SOL_SOCKET, plain, bytes);
}

/*
 * connect() derives the window from the receive buffer, so sizes come before
 * it. A buffer smaller than what the peer was already promised would make the
 * kernel drop bytes that the peer may rightly send.
 */
static int set_buffers(int fd, const struct hk_tcp_state *state, const struct hk_tcp_limits *limits)
{
	__u32 rcvbuf = limits->rcvbuf;
	int err;

	if (rcvbuf && rcvbuf < state->rcv_wnd)
		rcvbuf = state->rcv_wnd;
	err = set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, rcvbuf);
	if (err)
		return err;
	return set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, limits->sndbuf);
}

/*
 * TCP_MAXSEG and not only the repaired MSS option: connect() computes the
 * cached segment size, and repairing the option afterwards would leave it at
 * the default 536 until the path MTU changes.
 */
static int set_segment_size(int fd, const struct hk_tcp_state *state)
{
	int mss = state->mss;

	if (mss < MAXSEG_MIN)
		mss = MAXSEG_MIN;
	if (mss > MAXSEG_MAX)
		mss = MAXSEG_MAX;
	return set_int(fd, IPPROTO_TCP, TCP_MAXSEG, mss);
}

/* connect() picks a window scale of its own; with such a clamp it picks none */
static int set_unscaled(int fd, const struct hk_tcp_state *state)
{
	if (state->wscale)
		return 0;
	return set_int(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, UNSCALED_MAX);
}

/*
 * Not the system's congestion control: on the local leg one that paces, like
 * BBR, only adds delay. It has to be gone before connect() initialises it,
 * for pacing stays on when the algorithm is replaced later.
 */
static int set_congestion_control(int fd)
{
	static const char name[] = "reno";

	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name) - 1) ? -errno : 0;
}

static int prepare(int fd, const struct hk_tcp_state *state, const struct hk_tcp_limits *limits)
{
	int err;

	err = set_reset_on_close(fd);	/* first: dying from here on must mean RST, not EOF */
	if (err)
		return err;
	err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	if (err)
		return err;
	err = set_transparent(fd, hk_addr_is_mapped(state->key.laddr));
	if (err)
		return err;
	err = set_hops(fd, hk_addr_is_mapped(state->key.laddr));
	if (err)
		return err;
	if (limits->mark)
		err = set_int(fd, SOL_SOCKET, SO_MARK, limits->mark);
	if (err)
		return err;
	err = set_congestion_control(fd);
	if (err)
		return err;
	err = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (err)
		return err;
	/* an urgent byte stays in the stream: in its place, though not urgent */
	err = set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (err)
		return err;
	err = set_buffers(fd, state, limits);
	if (err)
		return err;
	err = set_segment_size(fd, state);
	if (err)
		return err;
	return set_unscaled(fd, state);
}

static int set_queue_seq(int fd, int queue, __u32 seq)
{
	int err = set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);

	return err ? err : set_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, seq);
}

/* In repair, connect() makes the socket ESTABLISHED and sends nothing */
static int connect_quietly(int fd, const struct hk_tcp_state *state)
{
	const struct hk_flow_key *key = &state->key;
	struct sockaddr_storage addr;
	socklen_t len;
	int err;

	len = hk_addr_to_sockaddr(&addr, key->laddr, key->lport);
	if (bind(fd, (struct sockaddr *)&addr, len))
		return -errno;
	err = set_queue_seq(fd, TCP_RECV_QUEUE, state->rcv_nxt);
	if (err)
		return err;
	err = set_queue_seq(fd, TCP_SEND_QUEUE, state->snd_nxt);
	if (err)
		return err;
	len = hk_addr_to_sockaddr(&addr, key->raddr, key->rport);
	return connect(fd, (struct sockaddr *)&addr, len) ? -errno : 0;
}

static int set_options(int fd, const struct hk_tcp_state *state)
{
	struct tcp_repair_opt opts[4];
	int n = 0;

	opts[n++] = (struct tcp_repair_opt){ OPT_MSS, state->mss };
	if (state->wscale)
		opts[n++] = (struct tcp_repair_opt){ OPT_WINDOW, state->snd_wscale |
								 state->rcv_wscale << 16 };
	if (state->sack)
		opts[n++] = (struct tcp_repair_opt){ OPT_SACK, 0 };
	if (state->timestamps)
		opts[n++] = (struct tcp_repair_opt){ OPT_TIMESTAMP, 0 };
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, opts, n * sizeof(opts[0])))
		return -errno;
	return 0;
}

/*
 * Since 6.7 the lowest bit asks for a clock in microseconds, and is not part
 * of the value. Rounding up keeps the clock from stepping back, which PAWS
 * would take for an old duplicate.
 */
static int set_timestamp(int fd, const struct hk_tcp_state *state)
{
	if (!state->timestamps)
		return 0;
	return set_int(fd, IPPROTO_TCP, TCP_TIMESTAMP, (state->tsval + 1) & ~1U);
}

/*
 * The windows as if the last segment had been the one before rcv_nxt, so that
 * the very next one already updates them.
 */
static int set_window(int fd, const struct hk_tcp_state *state)
{
	struct tcp_repair_window window = {
		.snd_wl1	= state->rcv_nxt - 1,
		.snd_wnd	= state->snd_wnd,
		.max_window	= state->snd_wnd,
		.rcv_wnd	= state->rcv_wnd,
		.rcv_wup	= state->rcv_nxt,
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window)))
		return -errno;
	return 0;
}

/*
 * Leaving repair makes the kernel forget SO_REUSEADDR. It matters: a forged
 * socket is bound to a port that may be a well-known one, and a server of this
 * host that starts later must be able to bind to it.
 */
static int leave_repair(int fd, bool reuse)
{
	int err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);

	return err ? err : set_int(fd, SOL_SOCKET, SO_REUSEADDR, reuse);
}

static bool state_is_valid(const struct hk_tcp_state *state)
{
	if (hk_addr_is_mapped(state->key.laddr) != hk_addr_is_mapped(state->key.raddr))
		return false;
	if (!state->key.lport || !state->key.rport)
		return false;
	if (!state->wscale)
		return !state->snd_wscale && !state->rcv_wscale;
	return state->snd_wscale <= WSCALE_MAX && state->rcv_wscale <= WSCALE_MAX;
}

/**
 * hk_tcp_forge - make an established TCP socket
 * @state:  what it is to look like
 * @limits: its mark and buffers
 *
 * The local address need not be one of this host, and the port may be in use by
 * listeners. A process that later binds the same port needs SO_REUSEADDR, as
 * after a restart with connections left. Nothing is sent.
 *
 * The socket is non-blocking, closed on exec, has TCP_NODELAY, SO_OOBINLINE and "reno". A
 * receive buffer smaller than @state->rcv_wnd is enlarged to it. close() resets
 * the connection, unless both directions have ended and are acknowledged; so
 * the orderly end is shutdown(SHUT_WR) and close() after TCP_INFO has left
 * FIN_WAIT, CLOSING and LAST_ACK.
 *
 * Context: CAP_NET_ADMIN in the network namespace's user namespace. SOCK_OPS
 * programs see TCP_CONNECT_CB and ACTIVE_ESTABLISHED_CB, with the mark set.
 *
 * Return: the descriptor, owned by the caller, or
 * -EINVAL: @state contradicts itself, or has a link-local address;
 * -EPERM: no CAP_NET_ADMIN;
 * -EADDRNOTAVAIL: the host has a connection with these addresses and ports;
 * -ENETUNREACH, -EHOSTUNREACH: no route to the peer;
 * -EAFNOSUPPORT: no IPv6 here; or another negative errno of the system calls.
 */
int hk_tcp_forge(const struct hk_tcp_state *state, const struct hk_tcp_limits *limits)
{
	int fd, err, family;

	if (!state_is_valid(state))
		return -EINVAL;
	family = hk_addr_is_mapped(state->key.laddr) ? AF_INET : AF_INET6;
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	err = prepare(fd, state, limits);
	if (err)
		goto err_close;
	err = connect_quietly(fd, state);
	if (err)
		goto err_close;
	err = set_options(fd, state);
	if (err)
		goto err_close;
	err = set_timestamp(fd, state);
	if (err)
		goto err_close;
	err = set_window(fd, state);
	if (err)
		goto err_close;
	err = leave_repair(fd, true);
	if (err)
		goto err_close;
	return fd;
err_close:
	close(fd);	/* still in repair, so this sends nothing */
	return err;
}

static int get_address(int fd, int (*get)(int, struct sockaddr *, socklen_t *), __be32 addr[4],
		       __be16 *port)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (get(fd, (struct sockaddr *)&ss, &len))
		return -errno;
	if (ss.ss_family == AF_INET) {
		hk_addr_map(addr, ((struct sockaddr_in *)&ss)->sin_addr.s_addr);
		*port = ((struct sockaddr_in *)&ss)->sin_port;
		return 0;
	}
	if (ss.ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(addr, &((struct sockaddr_in6 *)&ss)->sin6_addr, sizeof(struct in6_addr));
	*port = ((struct sockaddr_in6 *)&ss)->sin6_port;
	return 0;
}

static int get_key(int fd, struct hk_flow_key *key)
{
	int err = get_address(fd, getsockname, key->laddr, &key->lport);

	return err ? err : get_address(fd, getpeername, key->raddr, &key->rport);
}

static int get_queue_seq(int fd, int queue, __u32 *seq)
{
	int err = set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);

	return err ? err : get_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, seq);
}

static int get_seqs(int fd, __u32 *snd_nxt, __u32 *rcv_nxt)
{
	int err = get_queue_seq(fd, TCP_SEND_QUEUE, snd_nxt);

	return err ? err : get_queue_seq(fd, TCP_RECV_QUEUE, rcv_nxt);
}

static int get_window(int fd, struct hk_tcp_state *state)
{
	struct tcp_repair_window window;
	socklen_t len = sizeof(window);

	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &len))
		return -errno;
	state->snd_wnd = window.snd_wnd;
	state->rcv_wnd = window.rcv_wup + window.rcv_wnd - state->rcv_nxt;
	if ((__s32)state->rcv_wnd < 0)	/* the peer used what it had been given before */
		state->rcv_wnd = 0;
	return 0;
}

static int get_options(int fd, struct hk_tcp_state *state)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return -errno;
	state->wscale = info.tcpi_options & TCPI_OPT_WSCALE;
	state->snd_wscale = state->wscale ? info.tcpi_snd_wscale : 0;
	state->rcv_wscale = state->wscale ? info.tcpi_rcv_wscale : 0;
	state->sack = info.tcpi_options & TCPI_OPT_SACK;
	state->timestamps = info.tcpi_options & TCPI_OPT_TIMESTAMPS;
	return 0;
}

/* In repair, TCP_MAXSEG is the peer's MSS option and TCP_TIMESTAMP the clock of this side */
static int get_repaired(int fd, struct hk_tcp_state *state)
{
	__u32 mss, tsval;
	int err;

	err = get_seqs(fd, &state->snd_nxt, &state->rcv_nxt);
	if (err)
		return err;
	err = get_window(fd, state);
	if (err)
		return err;
	err = get_options(fd, state);
	if (err)
		return err;
	err = get_int(fd, IPPROTO_TCP, TCP_MAXSEG, &mss);
	if (err)
		return err;
	state->mss = mss;
	err = get_int(fd, IPPROTO_TCP, TCP_TIMESTAMP, &tsval);
	if (err)
		return err;
	/* The lowest bit is a flag, see set_timestamp(): assume that the clock's bit is set */
	state->tsval = state->timestamps ? tsval | 1 : 0;
	return 0;
}

/*
 * A state without the queues is whole only when they are empty. Asked last: it
 * also tells whether segments arrived while the rest was being read.
 */
static int check_idle(int fd, const struct hk_tcp_state *state)
{
	__u32 snd_nxt, rcv_nxt;
	int unread, unacked;
	int err;

	err = get_seqs(fd, &snd_nxt, &rcv_nxt);
	if (err)
		return err;
	if (ioctl(fd, SIOCINQ, &unread) || ioctl(fd, SIOCOUTQ, &unacked))
		return -errno;
	if (unread || unacked || snd_nxt != state->snd_nxt || rcv_nxt != state->rcv_nxt)
		return -EBUSY;
	return 0;
}

static int check_established(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return -errno;
	return info.tcpi_state == STATE_ESTABLISHED ? 0 : -ENOTCONN;
}

/**
 * hk_tcp_dump - read the complete state of an established TCP socket
 * @fd:    the socket; may be another process's, got by pidfd_getfd()
 * @state: filled, so that hk_tcp_forge() makes its equal
 *
 * Context: CAP_NET_ADMIN in the network namespace's user namespace. The socket is
 * in repair mode meanwhile, where send() and recv() act on the queues in other
 * ways, so nobody else may use it: stop a process whose socket it is.
 *
 * Return: 0, or
 * -ENOTCONN: not ESTABLISHED;
 * -EBUSY: bytes are unread, unsent or unacknowledged, or just came in: a state
 * without them would lose them;
 * -EPERM: no CAP_NET_ADMIN; or another negative errno of the system calls.
 */
int hk_tcp_dump(int fd, struct hk_tcp_state *state)
{
	int err, err_leave;
	__u32 reuse;

	memset(state, 0, sizeof(*state));
	err = check_established(fd);
	if (err)
		return err;
	err = get_key(fd, &state->key);
	if (err)
		return err;
	err = get_int(fd, SOL_SOCKET, SO_REUSEADDR, &reuse);
	if (err)
		return err;
	err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	if (err)
		return err;
	err = get_repaired(fd, state);
	if (!err)
		err = check_idle(fd, state);
	err_leave = leave_repair(fd, reuse);
	return err ? err : err_leave;
}

/**
 * hk_tcp_abandon - close a forged socket without a word to its peer
 * @fd: forged socket, closed by the call
 *
 * For a connection that turned out to live elsewhere: a RST from here would hit
 * it. A socket in TCP_REPAIR is disconnected silently (tcp_disconnect()).
 */
void hk_tcp_abandon(int fd)
{
	int on = TCP_REPAIR_ON;

	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
	close(fd);
}
