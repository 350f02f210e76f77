// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: socket options, what they answer and what they do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tmatrix.h"

#define TCP_ULP_OPT		31
#define TCP_AO_ADD_KEY_OPT	38

#ifndef SO_INCOMING_CPU
#define SO_INCOMING_CPU		49
#endif

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(&((struct sockaddr_in6 *)a)->sin6_addr,
		       &((struct sockaddr_in6 *)b)->sin6_addr, 16);
}

/* Both ends of both sockets, as their addresses */
static void names(struct tmx *t, int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	tm_ret(t, "getsockname", getsockname(fd, (struct sockaddr *)&ss, &len));
	tm_check(t, same_address(&ss, &t->own), "own address");
	tm_log(t, "length %u", len);
	len = sizeof(ss);
	tm_ret(t, "getpeername", getpeername(fd, (struct sockaddr *)&ss, &len));
	tm_check(t, same_address(&ss, &t->other), "peer's address");
	tm_send_u64(t, ((struct sockaddr_in *)&ss)->sin_port);
	tm_check(t, htons(tm_port_of(fd)) == tm_recv_u64(t), "the peer sees another port");
	tm_log(t, "family %d protocol %d type %d", tm_get(fd, SOL_SOCKET, SO_DOMAIN),
	       tm_get(fd, SOL_SOCKET, SO_PROTOCOL), tm_get(fd, SOL_SOCKET, SO_TYPE));
	tm_finish(t, fd);
	tm_ret(t, "getpeername", getpeername(fd, (struct sockaddr *)&ss, &len));
}

static void client_names(struct tmx *t)
{
	names(t, tm_connect(t));
}

static void server_names(struct tmx *t)
{
	names(t, tm_accept_one(t));
}

/* That of TCP_INFO which the handshake has decided */
static void info(struct tmx *t, int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	tm_log(t, "state %d options %#x scales %d %d", info.tcpi_state, info.tcpi_options & 0x7,
	       info.tcpi_snd_wscale, info.tcpi_rcv_wscale);
	tm_log(t, "mss %u advmss %u ca_state %d", info.tcpi_snd_mss, info.tcpi_advmss,
	       info.tcpi_ca_state);
	tm_log(t, "received %llu", info.tcpi_bytes_received);
	tm_log(t, "TCP_MAXSEG %d", tm_get(fd, IPPROTO_TCP, TCP_MAXSEG));
	tm_sync(t);
	tm_end(t, fd);
}

static void client_info(struct tmx *t)
{
	info(t, tm_connect(t));
}

static void server_info(struct tmx *t)
{
	info(t, tm_accept_one(t));
}

static int get_congestion(int fd, char *name)
{
	socklen_t len = 16;

	memset(name, 0, 17);
	return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len);
}

/* What was asked for before connect(), and what can be asked for later */
static void client_congestion(struct tmx *t)
{
	char name[17];
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_ret(t, "TCP_CONGESTION", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5));
	tm_connect_fd(t, fd);
	get_congestion(fd, name);
	tm_log(t, "connected: %s", name);
	tm_ret(t, "TCP_CONGESTION", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5));
	get_congestion(fd, name);
	tm_log(t, "changed: %s", name);
	tm_finish(t, fd);
}

static void client_keepalive(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	tm_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	tm_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	tm_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	tm_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
	tm_log(t, "idle %d interval %d count %d timeout %d",
	       tm_get(fd, IPPROTO_TCP, TCP_KEEPIDLE), tm_get(fd, IPPROTO_TCP, TCP_KEEPINTVL),
	       tm_get(fd, IPPROTO_TCP, TCP_KEEPCNT), tm_get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	/* probes are answered, so nothing happens */
	tm_log(t, "idle: %s", tm_events(tm_poll(fd, POLLIN | POLLRDHUP, 3300)));
	tm_finish(t, fd);
}

static void client_user_timeout(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	tm_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000);
	tm_connect_fd(t, fd);
	tm_exchange(t, fd, TM_BIG);
	tm_log(t, "TCP_USER_TIMEOUT: %d", tm_get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	tm_end(t, fd);
}

static void server_big(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_exchange(t, fd, TM_BIG);
	tm_end(t, fd);
}

/* Options of the address family */
static void client_ip_options(struct tmx *t)
{
	bool v4 = t->family == AF_INET;
	int fd, level = v4 ? IPPROTO_IP : IPPROTO_IPV6;

	tm_find(t);
	fd = tm_socket(t);
	tm_set(fd, level, v4 ? IP_TOS : IPV6_TCLASS, 0x48);
	tm_set(fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, 33);
	tm_set(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR, 1);
	tm_set(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_DO);
	tm_set(fd, SOL_SOCKET, SO_PRIORITY, 3);
	tm_connect_fd(t, fd);
	tm_log(t, "tos %#x ttl %d recverr %d discover %d priority %d",
	       tm_get(fd, level, v4 ? IP_TOS : IPV6_TCLASS),
	       tm_get(fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS),
	       tm_get(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR),
	       tm_get(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER),
	       tm_get(fd, SOL_SOCKET, SO_PRIORITY));
	tm_finish(t, fd);
}

/* RFC 5082: only who is as near as the hop count says may have sent a segment */
static void set_hops(struct tmx *t, int fd, bool least)
{
	bool v4 = t->family == AF_INET;

	tm_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, 255);
	if (least)
		tm_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MINTTL : IPV6_MINHOPCOUNT, 255);
}

static void client_min_ttl(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_hops(t, fd, true);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_min_ttl(struct tmx *t)
{
	int lfd = tm_bound(t, 0);

	set_hops(t, lfd, false);
	tm_ret(t, "listen", listen(lfd, 5));
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

static void client_of_min_ttl(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_hops(t, fd, false);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void listen_min_ttl(struct tmx *t)
{
	int lfd = tm_bound(t, 0);

	set_hops(t, lfd, true);
	tm_ret(t, "listen", listen(lfd, 5));
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

/* Set when it is connected */
static void client_late_ttl(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_hops(t, fd, false);
	tm_connect_fd(t, fd);
	set_hops(t, fd, true);
	tm_finish(t, fd);
}

static void server_late_ttl(struct tmx *t)
{
	int lfd = tm_bound(t, 0), fd;

	set_hops(t, lfd, false);
	tm_ret(t, "listen", listen(lfd, 5));
	tm_send_u64(t, tm_port_of(lfd));
	fd = tm_accept(t, lfd);
	set_hops(t, fd, true);
	tm_finish(t, fd);
}

/* Once connected, these would lead its packets another way */
static void client_late_mark(struct tmx *t)
{
	int fd = tm_connect(t), mark = 99;

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "SO_MARK", setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	tm_finish(t, fd);
}

static void client_late_device(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "SO_BINDTODEVICE", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	tm_finish(t, fd);
}

static void server_twice(struct tmx *t)
{
	int fd = tm_accept_one(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_finish(t, fd);
}

static void client_mark_read(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_log(t, "SO_MARK: %d", tm_get(fd, SOL_SOCKET, SO_MARK));
	tm_finish(t, fd);
}

/* ---- signed segments: there is no place for an option, and none may be forged ---- */

static bool set_md5(struct tmx *t, int fd)
{
	struct tcp_md5sig md5 = { .tcpm_keylen = 6, .tcpm_key = "secret" };

	memcpy(&md5.tcpm_addr, &t->other, sizeof(md5.tcpm_addr));
	if (!setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)))
		return true;
	tm_skip(t, "no TCP_MD5SIG [kernel]");
	return false;
}

static void client_md5(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_md5(t, fd);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_md5(struct tmx *t)
{
	int lfd = tm_socket(t);

	set_md5(t, lfd);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

/* Headers older than Linux 6.7 haven't got it */
struct ao_add {
	struct sockaddr_storage	addr;
	char			alg_name[64];
	__s32			ifindex;
	__u32			flags;
	__u16			reserved2;
	__u8			prefix, sndid, rcvid, maclen, keyflags, keylen, key[80];
} __attribute__((aligned(8)));

static bool set_ao(struct tmx *t, int fd)
{
	struct ao_add ao = {
		.alg_name = "hmac(sha1)", .flags = 1,	/* set current */
		.sndid = 100, .rcvid = 100, .keylen = 6, .key = "secret",
	};

	ao.flags = t->server ? 0 : 1;
	ao.prefix = t->family == AF_INET ? 32 : 128;
	memcpy(&ao.addr, &t->other, sizeof(ao.addr));
	if (!setsockopt(fd, IPPROTO_TCP, TCP_AO_ADD_KEY_OPT, &ao, sizeof(ao)))
		return true;
	tm_skip(t, "no TCP-AO [kernel]");
	return false;
}

static void client_ao(struct tmx *t)
{
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	set_ao(t, fd);
	tm_connect_fd(t, fd);
	tm_finish(t, fd);
}

static void server_ao(struct tmx *t)
{
	int lfd = tm_socket(t);

	set_ao(t, lfd);
	tm_listen_fd(t, lfd, 5);
	tm_send_u64(t, tm_port_of(lfd));
	tm_finish(t, tm_accept(t, lfd));
}

/* A key for another host than the peer: over plain TCP this connection has no use for it */
static void late_keys(struct tmx *t, int fd)
{
	struct tcp_md5sig md5 = { .tcpm_keylen = 6, .tcpm_key = "secret" };
	struct ao_add ao = {
		.alg_name = "hmac(sha1)", .sndid = 100, .rcvid = 100, .keylen = 6,
		.prefix = t->family == AF_INET ? 32 : 128, .key = "secret",
	};

	tm_exchange(t, fd, TM_SIZE);
	memcpy(&md5.tcpm_addr, &t->other, sizeof(md5.tcpm_addr));
	if (t->family == AF_INET)
		((struct sockaddr_in *)&md5.tcpm_addr)->sin_addr.s_addr ^= htonl(0x40);
	else
		((struct sockaddr_in6 *)&md5.tcpm_addr)->sin6_addr.s6_addr[15] ^= 0x40;
	memcpy(&ao.addr, &md5.tcpm_addr, sizeof(ao.addr));
	tm_ret(t, "TCP_MD5SIG", setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)));
	tm_ret(t, "TCP_MD5SIG_EXT",
	       setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &md5, sizeof(md5)));
	tm_ret(t, "TCP_AO_ADD_KEY",
	       setsockopt(fd, IPPROTO_TCP, TCP_AO_ADD_KEY_OPT, &ao, sizeof(ao)));
	tm_finish(t, fd);
}

static void client_late_keys(struct tmx *t)
{
	late_keys(t, tm_connect(t));
}

static void server_late_keys(struct tmx *t)
{
	late_keys(t, tm_accept_one(t));
}

/* ---- kernel TLS ---- */

/* None of that name: TLS or not, what is refused leaves the connection as it was */
static void client_late_ulp(struct tmx *t)
{
	int fd = tm_connect(t);

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "TCP_ULP", setsockopt(fd, IPPROTO_TCP, TCP_ULP_OPT, "nonesuch", 8));
	tm_finish(t, fd);
}

/* As <linux/tls.h>: version, cipher, then iv, key, salt and sequence number of AES-GCM-128 */
static bool set_tls(struct tmx *t, int fd)
{
	static const __u8 crypto[4 + 8 + 16 + 4 + 8] = {
		0x03, 0x03, 51, 0, 1, 2, 3, 4, 5, 6, 7, 8,
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP_OPT, "tls", 3)) {
		tm_skip(t, "no kernel TLS [kernel]");
		return false;
	}
	tm_ret(t, "TLS_TX", setsockopt(fd, 282, 1, crypto, sizeof(crypto)));
	tm_ret(t, "TLS_RX", setsockopt(fd, 282, 2, crypto, sizeof(crypto)));
	return true;
}

static void client_tls(struct tmx *t)
{
	int fd = tm_connect(t);

	set_tls(t, fd);
	tm_exchange(t, fd, TM_SIZE);
	tm_close(t, fd);
}

static void server_tls(struct tmx *t)
{
	int fd = tm_accept_one(t);

	set_tls(t, fd);
	tm_exchange(t, fd, TM_SIZE);
	tm_close(t, fd);
}

const struct tm_mode tm_modes_opt[] = {
	{ "names", "getsockname() and getpeername()", client_names, server_names, 1, 0 },
	{ "tcp_info", "TCP_INFO and TCP_MAXSEG", client_info, server_info, 1, 0 },
	{ "congestion", "TCP_CONGESTION", client_congestion, tm_server_one, 1, 0 },
	{ "keepalive", "keep-alive and TCP_USER_TIMEOUT, 3 s idle", client_keepalive,
	  tm_server_one, 1, 0 },
	{ "user_timeout", "TCP_USER_TIMEOUT of a busy connection", client_user_timeout,
	  server_big, 1, 0 },
	{ "ip_options", "TOS, TTL, RECVERR, MTU discovery, priority", client_ip_options,
	  tm_server_one, 1, 0 },
	{ "min_ttl", "IP_MINTTL of the client", client_min_ttl, server_min_ttl, 0, 0 },
	{ "min_ttl_listener", "IP_MINTTL of the listener", client_of_min_ttl, listen_min_ttl, 0,
	  0 },
	{ "min_ttl_late", "IP_MINTTL set when connected", client_late_ttl, server_late_ttl, 1,
	  0 },
	{ "mark_late", "SO_MARK set when connected", client_late_mark, server_twice, 1, 0 },
	{ "device_late", "SO_BINDTODEVICE set when connected", client_late_device, server_twice,
	  1, 0 },
	{ "mark_read", "SO_MARK that nobody has set", client_mark_read, tm_server_one, 1, 0 },
	{ "md5sig", "TCP_MD5SIG", client_md5, server_md5, 0, 0 },
	{ "tcp_ao", "TCP-AO", client_ao, server_ao, 0, 0 },
	{ "keys_late", "TCP_MD5SIG and TCP-AO keys when connected", client_late_keys,
	  server_late_keys, 1, 0 },
	{ "ulp_late", "TCP_ULP that there is not", client_late_ulp, server_twice, 1, 0 },
	{ "tls_ulp", "kernel TLS", client_tls, server_tls, 1, 0 },
	{ 0 }
};
