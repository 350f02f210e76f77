// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: one connection, several processes, threads, descriptors or rings.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tmatrix.h"

#define NR_WRITERS	4
#define RECORD		100
#define NR_RECORDS	60		/* as much as fits into the socket buffer */

/* ---- processes ---- */

/* The child writes, the parent reads, and each closes what it has */
static void forked(struct tmx *t, int fd)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		tm_send(t, fd, TM_BIG);
		_exit(shutdown(fd, SHUT_WR) ? 1 : 0);
	}
	tm_log(t, "received: %d", tm_recv(t, fd, TM_BIG));
	waitpid(pid, &status, 0);
	tm_log(t, "child: %d", WEXITSTATUS(status));
	tm_end(t, fd);
}

static void client_fork(struct tmx *t)
{
	forked(t, tm_connect(t));
}

static void server_fork(struct tmx *t)
{
	forked(t, tm_accept_one(t));
}

/* As inetd does: the parent closes the socket, the child serves */
static void server_inetd(struct tmx *t)
{
	int fd = tm_accept_one(t), status = 0;
	pid_t pid = fork();

	if (!pid) {
		dup2(fd, 0);
		dup2(fd, 1);
		execlp("cat", "cat", NULL);
		_exit(127);
	}
	tm_close(t, fd);
	waitpid(pid, &status, 0);
	tm_log(t, "child: %d", WEXITSTATUS(status));
}

static void client_inetd(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_send(t, fd, TM_SIZE);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_WR));
	tm_recv_at(t, fd, TM_UP, 0, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* Closed by one process, open in the other: no FIN */
static void client_outlives(struct tmx *t)
{
	int fd = tm_connect(t);

	if (!fork()) {
		tm_sleep_ms(150);
		tm_send(t, fd, 1000);
		_exit(0);
	}
	tm_close(t, fd);
	wait(NULL);
}

static void server_outlives(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_log(t, "received: %d", tm_recv(t, fd, 1000));
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* Two processes wait for connections of one listener */
static void server_two_acceptors(struct tmx *t)
{
	int lfd = tm_listen(t, 16), i, status, nr = 0, fd;
	pid_t pids[2];

	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		tm_timeout(lfd, 500);
		for (fd = accept(lfd, NULL, NULL); fd >= 0; fd = accept(lfd, NULL, NULL)) {
			tm_exchange(t, fd, 1000);
			close(fd);
			nr++;
		}
		_exit(nr);
	}
	for (i = 0; i < 2; i++) {
		waitpid(pids[i], &status, 0);
		nr += WEXITSTATUS(status);
	}
	tm_log(t, "%d connections", nr);
}

static void client_ten(struct tmx *t)
{
	int i, fd;

	tm_find(t);
	for (i = 0; i < 10; i++) {
		fd = tm_socket(t);
		connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
		tm_exchange(t, fd, 1000);
		close(fd);
	}
}

static void client_killed(struct tmx *t)
{
	pid_t pid;
	int fd;

	tm_find(t);
	pid = fork();
	if (!pid) {
		fd = tm_socket(t);
		connect(fd, (struct sockaddr *)&t->addr, t->addrlen);
		tm_send(t, fd, 1000);
		pause();
	}
	tm_sync(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void server_killed(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_recv(t, fd, 1000);
	tm_sync(t);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* ---- descriptors ---- */

static void client_dup(struct tmx *t)
{
	int fd = tm_connect(t), other = dup(fd);

	tm_send_at(t, fd, TM_UP, 0, 1000);
	tm_close(t, fd);
	tm_send_at(t, other, TM_UP, 1000, 1000);
	tm_end(t, other);
}

static void server_dup(struct tmx *t)
{
	int fd = tm_accept_one(t), other = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	tm_recv_at(t, other, TM_UP, 0, 500);
	tm_recv_at(t, fd, TM_UP, 500, 1500);
	close(fd);
	tm_end(t, other);
}

static void send_fd(int via, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	sendmsg(via, &msg, 0);
}

static int recv_fd(int via)
{
	char control[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(via, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* Handed to another process, which goes on where this one stopped */
static void server_passed(struct tmx *t)
{
	int fd = tm_accept_one(t), pair[2], status = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return;
	tm_recv_at(t, fd, TM_UP, 0, 5000);
	if (!fork()) {
		close(fd);
		fd = recv_fd(pair[1]);
		tm_recv_at(t, fd, TM_UP, 5000, TM_SIZE - 5000);
		tm_send(t, fd, TM_SIZE);
		_exit(0);
	}
	send_fd(pair[0], fd);
	tm_close(t, fd);
	wait(&status);
	tm_log(t, "receiver: %d", WEXITSTATUS(status));
}

static void client_passed(struct tmx *t)
{
	int fd = tm_connect(t);
	char c;

	tm_exchange(t, fd, TM_SIZE);
	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* ---- threads ---- */

struct writer {
	pthread_t	id;
	int		fd, nr;
};

/* Whole records: as long as one write() takes one, none is torn */
static void *write_records(void *arg)
{
	struct writer *w = arg;
	char record[RECORD];
	int i;

	for (i = 0; i < NR_RECORDS; i++) {
		memset(record, 'a' + w->nr, sizeof(record));
		memcpy(record + 1, &i, sizeof(i));
		if (send(w->fd, record, sizeof(record), MSG_NOSIGNAL) != sizeof(record))
			return arg;
	}
	return NULL;
}

static void client_threads(struct tmx *t)
{
	struct writer writers[NR_WRITERS];
	int fd = tm_connect(t), i, bad = 0;
	void *result;

	for (i = 0; i < NR_WRITERS; i++) {
		writers[i].fd = fd;
		writers[i].nr = i;
		pthread_create(&writers[i].id, NULL, write_records, &writers[i]);
	}
	for (i = 0; i < NR_WRITERS; i++) {
		pthread_join(writers[i].id, &result);
		bad += !!result;
	}
	tm_log(t, "%d writers failed", bad);
	tm_end(t, fd);
}

static void server_threads(struct tmx *t)
{
	int fd = tm_accept_one(t), next[NR_WRITERS] = { 0 }, i, j, nr;
	char record[RECORD];

	for (i = 0; i < NR_WRITERS * NR_RECORDS; i++) {
		if (recv(fd, record, sizeof(record), MSG_WAITALL) != sizeof(record))
			break;
		memcpy(&nr, record + 1, sizeof(nr));
		j = record[0] - 'a';
		if (j < 0 || j >= NR_WRITERS || nr != next[j]++)
			break;
		for (nr = 1 + sizeof(nr); nr < RECORD && record[nr] == record[0]; nr++)
			;
		if (nr < RECORD)
			break;
	}
	tm_log(t, "%d records in order", i);
	tm_end(t, fd);
}

static void *recv_blocked(void *arg)
{
	char c;
	long n = recv(*(int *)arg, &c, 1, 0);

	return (void *)(n < 0 ? -errno : n);
}

/* shutdown() in one thread wakes the other one's recv() */
static void client_wake(struct tmx *t)
{
	int fd = tm_connect(t);
	void *result = NULL;
	pthread_t id;

	pthread_create(&id, NULL, recv_blocked, &fd);
	tm_sleep_ms(50);
	tm_ret(t, "shutdown", shutdown(fd, SHUT_RDWR));
	pthread_join(id, &result);
	tm_log(t, "recv: %ld", (long)result);
	tm_close(t, fd);
}

static void server_wake(struct tmx *t)
{
	int fd = tm_accept_one(t);
	char c;

	tm_ret(t, "recv at the end", recv(fd, &c, 1, 0));
	tm_close(t, fd);
}

/* ---- io_uring, by its system calls ---- */

struct ring {
	struct io_uring_params	params;
	struct io_uring_sqe	*sqes;
	__u8			*sq, *cq;
	int			fd;
};

static bool ring_init(struct tmx *t, struct ring *r)
{
	size_t size;

	memset(r, 0, sizeof(*r));
	r->fd = syscall(SYS_io_uring_setup, 4, &r->params);
	if (r->fd < 0) {
		tm_skip(t, "no io_uring [kernel]");
		return false;
	}
	size = r->params.sq_off.array + r->params.sq_entries * sizeof(__u32);
	r->sq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		     IORING_OFF_SQ_RING);
	size = r->params.cq_off.cqes + r->params.cq_entries * sizeof(struct io_uring_cqe);
	r->cq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		     IORING_OFF_CQ_RING);
	size = r->params.sq_entries * sizeof(struct io_uring_sqe);
	r->sqes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		       IORING_OFF_SQES);
	return true;
}

/* One operation, to its end */
static int ring_do(struct ring *r, __u8 op, int fd, void *addr, __u32 len, __u64 off)
{
	__u32 *tail = (__u32 *)(r->sq + r->params.sq_off.tail);
	__u32 *array = (__u32 *)(r->sq + r->params.sq_off.array);
	__u32 *head = (__u32 *)(r->cq + r->params.cq_off.head);
	__u32 index = *tail & (r->params.sq_entries - 1);
	struct io_uring_sqe *sqe = &r->sqes[index];
	struct io_uring_cqe *cqe;
	int res;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->addr = (unsigned long)addr;
	sqe->len = len;
	sqe->off = off;
	sqe->msg_flags = op == IORING_OP_SEND ? MSG_NOSIGNAL : 0;
	array[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	cqe = (struct io_uring_cqe *)(r->cq + r->params.cq_off.cqes) +
	      (*head & (r->params.cq_entries - 1));
	res = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

/* The pattern one way or the other */
static void ring_stream(struct tmx *t, struct ring *r, int fd, bool out)
{
	char buf[10000];
	__u64 sum = 0;
	int n = 1;

	while (sum < TM_BIG && n > 0) {
		if (out)
			tm_fill(buf, t->server ? TM_DOWN : TM_UP, sum, sizeof(buf));
		n = ring_do(r, out ? IORING_OP_SEND : IORING_OP_RECV, fd, buf,
			    TM_BIG - sum < sizeof(buf) ? TM_BIG - sum : sizeof(buf), 0);
		if (!out && n > 0)
			tm_is_pattern(t, buf, sum, n);
		sum += n > 0 ? n : 0;
	}
	tm_log(t, "%s: %llu", out ? "sent" : "received", sum);
}

static void client_ring(struct tmx *t)
{
	struct ring r;
	int fd;

	tm_find(t);
	fd = tm_socket(t);
	if (!ring_init(t, &r)) {
		tm_connect_fd(t, fd);
		return;
	}
	tm_log(t, "connect: %d", ring_do(&r, IORING_OP_CONNECT, fd, &t->addr, 0, t->addrlen));
	ring_stream(t, &r, fd, true);
	ring_stream(t, &r, fd, false);
	tm_log(t, "shutdown: %d", ring_do(&r, IORING_OP_SHUTDOWN, fd, NULL, SHUT_WR, 0));
	tm_end(t, fd);
}

static void server_ring(struct tmx *t)
{
	int lfd = tm_listen(t, 5), fd;
	struct ring r;

	if (!ring_init(t, &r))
		return;
	fd = ring_do(&r, IORING_OP_ACCEPT, lfd, NULL, 0, 0);
	ring_stream(t, &r, fd, false);
	ring_stream(t, &r, fd, true);
	tm_end(t, fd);
}

const struct tm_mode tm_modes_share[] = {
	{ "fork", "child writes, parent reads", client_fork, server_fork, 1, TM_NOLANE },
	{ "inetd", "standard input and output of a child", client_inetd, server_inetd, 1, 0 },
	{ "fork_outlives", "closed by one process, used by the other", client_outlives,
	  server_outlives, 1, 0 },
	{ "fork_accept", "two processes at one listener", client_ten, server_two_acceptors, 10,
	  TM_CLOCK },
	{ "killed", "the client's process is killed", client_killed, server_killed, 1, 0 },
	{ "dup", "dup() and F_DUPFD", client_dup, server_dup, 1, 0 },
	{ "scm_rights", "handed over to another process", client_passed, server_passed, 1, 0 },
	{ "threads", "four threads write records", client_threads, server_threads, 1,
	  TM_NOLANE },
	{ "threads_wake", "shutdown() wakes another thread", client_wake, server_wake, 1,
	  TM_NOLANE },
	{ "io_uring", "connect, accept, send, recv, shutdown of io_uring", client_ring,
	  server_ring, 1, 0 },
	{ 0 }
};
