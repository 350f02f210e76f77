/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tmatrix: what applications do with TCP sockets, mode by mode, shared declarations.
 *
 * tmatrix.c         command line, the channel between the two sides, running a mode
 * tmatrix_util.c    transcript, addresses, sockets, patterns
 * tmatrix_open.c    modes: connect() in all its ways
 * tmatrix_listen.c  modes: listen() and accept()
 * tmatrix_io.c      modes: sending and receiving
 * tmatrix_queue.c   modes: asking what is there, moving bytes without read() and write()
 * tmatrix_end.c     modes: shutdown, reset, ports used again
 * tmatrix_share.c   modes: several processes, threads or rings and one socket
 * tmatrix_opt.c     modes: socket options
 */
#ifndef TMATRIX_H
#define TMATRIX_H

#include <linux/types.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define TM_LOG_MAX	16384
#define TM_SIZE		20000		/* bytes of an exchange, if it doesn't matter */
#define TM_BIG		300000		/* more than the first windows hold */

/* Patterns that have nothing in common */
#define TM_UP		1
#define TM_DOWN		(1ULL << 40)

/* Some of the connections have SYN cookies, the kernel knows which; or one host has it only */
#define TM_ANY		99

/* Flags of a mode */
#define TM_ONLY4	0x01	/* IPv4 only */
#define TM_ONLY6	0x02
#define TM_LINK		0x04	/* changes the link, so it needs a quiet one of its own */
#define TM_LONG		0x08	/* takes more than a few seconds */
#define TM_CLOCK	0x10	/* the result depends on the time that packets take */
#define TM_HELD		0x20	/* may be run while the gate holds the connection */
#define TM_NOLANE	0x40	/* asks what a kernel's SOCKHASH members answer wrongly */

struct tmx;

/*
 * struct tm_mode - something applications do
 * @taken: number of its connections that hooker has to carry; the others stay plain TCP
 */
struct tm_mode {
	const char	*name, *text;
	void		(*client)(struct tmx *t);
	void		(*server)(struct tmx *t);
	unsigned int	taken, flags;
};

/*
 * struct tmx - one side of one mode while it runs
 * @ctl:     SOCK_SEQPACKET socket to the other side
 * @addr:    of the server; its port is 0 until tm_find()
 * @link:    command that changes the link, NULL: none
 * @own:     address of this side's host, port 0
 * @other:   likewise of the other side's host
 * @log:     transcript: what has to be the same over plain TCP and hooked
 * @taken:   as in @mode, unless it turns out differently
 * @failed:  something was wrong by itself, whatever plain TCP does
 * @skipped: reason, "" if it was not
 */
struct tmx {
	const struct tm_mode	*mode;
	const char		*link;
	struct sockaddr_storage	addr, own, other;
	socklen_t		addrlen;
	int			family, ctl;
	unsigned int		taken;
	bool			server, failed;
	size_t			log_len;
	char			log[TM_LOG_MAX], skipped[128];
};

extern const struct tm_mode tm_modes_open[], tm_modes_listen[], tm_modes_io[], tm_modes_queue[],
	tm_modes_end[], tm_modes_share[], tm_modes_opt[];

/* Transcript */
void	tm_log(struct tmx *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
long	tm_ret(struct tmx *t, const char *what, long ret);
void	tm_check(struct tmx *t, bool ok, const char *what);
void	tm_skip(struct tmx *t, const char *reason);
const char	*tm_events(int events);
const char	*tm_errname(int err);

/* The other side */
void	tm_give_up(struct tmx *t) __attribute__((noreturn));
void	tm_sync(struct tmx *t);
void	tm_send_u64(struct tmx *t, __u64 value);
__u64	tm_recv_u64(struct tmx *t);
void	tm_link(struct tmx *t, const char *settings);
__u64	tm_swallowed(struct tmx *t);
void	tm_sysctl(struct tmx *t, const char *name, int value);
void	tm_sleep_ms(unsigned int ms);
__u64	tm_now_ms(void);

/* Sockets; those that end in _quiet leave nothing in the transcript */
int	tm_socket(struct tmx *t);
int	tm_bound(struct tmx *t, int port);
int	tm_connect_fd(struct tmx *t, int fd);
int	tm_connect(struct tmx *t);
int	tm_listen(struct tmx *t, int backlog);
int	tm_listen_fd(struct tmx *t, int fd, int backlog);
void	tm_find(struct tmx *t);
int	tm_accept(struct tmx *t, int lfd);
int	tm_accept_one(struct tmx *t);
void	tm_set(int fd, int level, int name, int value);
int	tm_get(int fd, int level, int name);
void	tm_timeout(int fd, unsigned int ms);
void	tm_nonblock(int fd, bool on);
int	tm_poll(int fd, short events, unsigned int ms);
int	tm_port_of(int fd);
void	tm_close(struct tmx *t, int fd);
void	tm_close_rst(struct tmx *t, int fd);

/* Bytes */
void	tm_fill(void *buf, __u64 seed, __u64 off, size_t len);
bool	tm_send_at(struct tmx *t, int fd, __u64 seed, __u64 off, __u64 len);
bool	tm_recv_at(struct tmx *t, int fd, __u64 seed, __u64 off, __u64 len);
bool	tm_send(struct tmx *t, int fd, __u64 len);
bool	tm_recv(struct tmx *t, int fd, __u64 len);
void	tm_is_pattern(struct tmx *t, const void *buf, __u64 off, size_t len);
void	tm_exchange(struct tmx *t, int fd, __u64 len);
void	tm_end(struct tmx *t, int fd);
void	tm_finish(struct tmx *t, int fd);
void	tm_server_one(struct tmx *t);
void	tm_wait_bytes(struct tmx *t, int fd, int len);

#endif /* TMATRIX_H */
