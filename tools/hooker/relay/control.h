/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: /run/hooker/NAME.sock, where `hooker show` asks a running
 * daemon.
 *
 * A client connects, sends one line "show OBJECT" or "show OBJECT json", and
 * gets "ok LENGTH", a newline and so many bytes, or "error REASON" and a newline;
 * then the daemon closes. The length tells a complete answer from one that a dying
 * daemon cut short.
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
	bool			answering;
	char			status[64];
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
	struct hk_control_client	clients[HK_CONTROL_CLIENTS];
};

bool	hk_control_name_ok(const char *name);
int	hk_control_open(struct hk_control *ctl, const char *name);
void	hk_control_close(struct hk_control *ctl);
int	hk_control_poll_fd(const struct hk_control *ctl);
void	hk_control_handle(struct hk_control *ctl,
			  int (*answer)(void *priv, const char *what, struct hk_report *r),
			  void *priv);

#endif /* HK_CONTROL_H */
