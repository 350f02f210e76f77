/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: /run/hooker/NAME.sock, where `hooker show` asks a running
 * daemon, and `hooker policy` tells it what to do.
 *
 * A client connects, sends one line "show OBJECT" or "show OBJECT json", and
 * gets "ok LENGTH", a newline and so many bytes, or "error REASON" and a newline;
 * then the daemon closes. The length tells a complete answer from one that a dying
 * daemon cut short.
 *
 * What changes something is "do WHAT LENGTH", a newline and so many bytes; it is done as a
 * whole or not at all, and answered with "ok 0" or "error REASON".
 *
 * "takeover VERSION" makes the connection the relay's, see handover.h.
 */
#ifndef HK_CONTROL_H
#define HK_CONTROL_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "report.h"

#define HK_CONTROL_CLIENTS	8	/* served at once; others wait in the backlog */
#define HK_CONTROL_REQUEST	256	/* bytes of a request, newline included */
#define HK_CONTROL_STATUS	512	/* bytes of an answer's first line, newline included */
#define HK_CONTROL_BODY		(256 * 1024)	/* bytes that may follow "do" */
#define HK_CONTROL_NAME		64	/* bytes of a daemon's name, NUL included */
#define HK_CONTROL_PATH		96	/* bytes of a socket's path, NUL included */
#define HK_CONTROL_TIMEOUT_S	5	/* from connecting to the last byte */

/**
 * struct hk_control_client - one connection
 * @fd:          owned, -1 for a free slot
 * @gen:         changes when the slot is reused, so that a late event is recognised
 * @deadline_ns: CLOCK_MONOTONIC time at which it is dropped
 * @request:     what came so far
 * @request_len: bytes of it
 * @body:        what follows a "do"; owned, NULL for other requests
 * @body_len:    bytes of it that are there
 * @body_size:   bytes of it that were announced
 * @answering:   the request is complete and the rest is sent
 * @status:      first line of the answer, sent before the report
 * @status_len:  bytes of it
 * @answer:      the report; empty for an error
 * @sent:        bytes of status and report sent so far
 */
struct hk_control_client {
	int			fd;
	__u32			gen;
	__u64			deadline_ns;
	char			request[HK_CONTROL_REQUEST];
	size_t			request_len;
	char			*body;
	size_t			body_len, body_size;
	bool			answering;
	char			status[HK_CONTROL_STATUS];
	size_t			status_len;
	struct hk_report	answer;
	size_t			sent;
};

/**
 * struct hk_control - the daemon's side
 * @epoll_fd:   what the relay polls for input; holds all the others
 * @listen_fd:  the socket
 * @timer_fd:   expires at the earliest deadline of a client
 * @lock_fd:    NAME.lock, locked as long as the daemon lives
 * @listening:  @listen_fd is armed, which it is not while all slots are taken
 * @path:       of the socket
 * @lock_path:  of the lock file
 * @ino:        inode of the socket: a path that leads elsewhere is not ours to remove
 * @retry_ns:   accept() failed for lack of descriptors: not armed before this time; else 0
 * @takeover_fd: client that asked for a hand-over, for the relay to fetch; owned, -1: none
 * @takeover_version: what it asked for
 * @command:    carries out a "do", see hk_control_on_command(); NULL: none is known
 * @priv:       its first argument
 * @clients:    slots
 *
 * All descriptors are owned, -1 when closed. One thread.
 */
struct hk_control {
	int				epoll_fd, listen_fd, timer_fd, lock_fd;
	bool				listening;
	char				path[HK_CONTROL_PATH];
	char				lock_path[HK_CONTROL_PATH];
	ino_t				ino;
	__u64				retry_ns;
	int				takeover_fd;
	unsigned int			takeover_version;
	int				(*command)(void *priv, const char *what, const char *body,
						   size_t len, char *why, size_t size);
	void				*priv;
	struct hk_control_client	clients[HK_CONTROL_CLIENTS];
};

bool	hk_control_name_ok(const char *name);
int	hk_control_open(struct hk_control *ctl, const char *name);
int	hk_control_adopt(struct hk_control *ctl, const char *name, int listen_fd, int lock_fd);
int	hk_control_connect(const char *name);
void	hk_control_close(struct hk_control *ctl);
int	hk_control_poll_fd(const struct hk_control *ctl);
void	hk_control_on_command(struct hk_control *ctl,
			      int (*command)(void *priv, const char *what, const char *body,
					     size_t len, char *why, size_t size),
			      void *priv);
void	hk_control_handle(struct hk_control *ctl,
			  int (*answer)(void *priv, const char *what, struct hk_report *r),
			  void *priv);

#endif /* HK_CONTROL_H */
