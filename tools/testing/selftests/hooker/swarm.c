// SPDX-License-Identifier: GPL-2.0
/*
 * swarm: many short or idle connections from one process, each byte verified.
 *
 *	swarm server PORT NUMBER		echoes on that many ports from PORT on
 *	swarm hold ADDRESS PORT NUMBER CONNS RATE
 *		opens CONNS connections, RATE in a second; on each a message goes there
 *		and back. Prints "held", waits for a line or the end of its input, has a
 *		second message go there and back on each, closes them
 *	swarm rate ADDRESS PORT NUMBER CONNS RATE
 *		the same with one message, each connection closed as soon as it is back
 *
 * Clients print key=value; their status is 0 if all connections did all they should.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE		256	/* bytes: fit into every socket's buffer */
#define BACKLOG		16384
#define EVENTS		512
#define STALL_MS	30000	/* nothing happens on any connection for so long: give up */

enum state {
	UNUSED,
	CONNECTING,
	WAITING,	/* for the echo */
	IDLE,
	CLOSING,	/* for the server's FIN */
	DONE,
	FAILED,
};

struct conn {
	enum state	state;
	int		fd;
	unsigned int	got;
	double		start;
};

struct swarm {
	struct sockaddr_in	to;
	unsigned int		nr_ports, nr_conns, rate;
	bool			hold;
	int			epoll_fd;
	struct conn		*conns;
	unsigned int		nr_opened, nr_busy, nr_ok, nr_failed, round;
	int			first_err;
	double			slowest;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "swarm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || !n || n > 1000000) {
		fprintf(stderr, "swarm: %s: not in 1 to 1000000\n", text);
		exit(2);
	}
	return n;
}

/* As far as it may be raised here; what does not fit counts as failed */
static void raise_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		die("limit of open files");
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		die("limit of open files");
}

static void watch(int epoll_fd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

/* No two connections, nor the two rounds of one, have the same bytes */
static void fill(uint8_t *message, unsigned int conn, unsigned int round)
{
	uint32_t x = conn * 2 + round + 1;
	unsigned int i;

	for (i = 0; i < MESSAGE; i++) {
		x = x * 1664525 + 1013904223;
		message[i] = x >> 24;
	}
}

/* ---- server ---- */

static void listen_on(int epoll_fd, unsigned int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, BACKLOG))
		die("listening");
	watch(epoll_fd, fd, EPOLLIN, (uint64_t)fd << 1 | 1);
}

static void take(int epoll_fd, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		watch(epoll_fd, fd, EPOLLIN, (uint64_t)fd << 1);
}

/* A message fits into every send buffer, so a short write is the peer's end */
static void echo(int fd)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, n) != n)
			break;
	if (n < 0 && errno == EAGAIN)
		return;
	close(fd);
}

static int serve(unsigned int port, unsigned int nr)
{
	int epoll_fd = epoll_create1(0);
	struct epoll_event ev[EVENTS];
	unsigned int i;
	int j, n;

	raise_limit();
	for (i = 0; i < nr; i++)
		listen_on(epoll_fd, port + i);
	printf("swarm: ready\n");
	fflush(stdout);
	while ((n = epoll_wait(epoll_fd, ev, EVENTS, -1)) >= 0 || errno == EINTR)
		for (j = 0; j < n; j++) {
			if (ev[j].data.u64 & 1)
				take(epoll_fd, ev[j].data.u64 >> 1);
			else
				echo(ev[j].data.u64 >> 1);
		}
	return 1;
}

/* ---- client ---- */

static void finished(struct swarm *sw, struct conn *c, int err)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = err ? FAILED : DONE;
	sw->nr_busy--;
	if (!err)
		sw->nr_ok++;
	else if (!sw->nr_failed++)
		sw->first_err = err;
}

static void open_next(struct swarm *sw)
{
	struct conn *c = &sw->conns[sw->nr_opened];
	struct sockaddr_in to = sw->to;

	to.sin_port = htons(ntohs(to.sin_port) + sw->nr_opened % sw->nr_ports);
	sw->nr_busy++;
	c->start = now();
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) &&
			  errno != EINPROGRESS)) {
		sw->nr_opened++;
		finished(sw, c, errno);
		return;
	}
	c->state = CONNECTING;
	watch(sw->epoll_fd, c->fd, EPOLLIN | EPOLLOUT | EPOLLET, sw->nr_opened++);
}

static void say(struct swarm *sw, struct conn *c)
{
	uint8_t message[MESSAGE];

	fill(message, c - sw->conns, sw->round);
	c->got = 0;
	c->state = WAITING;
	if (write(c->fd, message, MESSAGE) != MESSAGE)
		finished(sw, c, errno ? errno : EIO);
}

static void echoed(struct swarm *sw, struct conn *c)
{
	double took = now() - c->start;

	if (took > sw->slowest)
		sw->slowest = took;
	if (sw->hold && !sw->round) {
		c->state = IDLE;
		sw->nr_busy--;
		return;
	}
	c->state = CLOSING;
	shutdown(c->fd, SHUT_WR);
}

static void hear(struct swarm *sw, struct conn *c)
{
	uint8_t want[MESSAGE], buf[MESSAGE + 1];
	ssize_t n;

	fill(want, c - sw->conns, sw->round);
	while (c->state != DONE && c->state != FAILED) {
		n = read(c->fd, buf, sizeof(buf));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			finished(sw, c, errno);
		} else if (!n) {
			finished(sw, c, c->state == CLOSING ? 0 : EPIPE);
		} else if (c->state != WAITING || c->got + n > MESSAGE ||
			   memcmp(buf, want + c->got, n)) {
			finished(sw, c, EBADMSG);
		} else {
			c->got += n;
			if (c->got == MESSAGE)
				echoed(sw, c);
		}
	}
}

static void on_event(struct swarm *sw, struct conn *c, uint32_t events)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (c->fd < 0)
		return;
	if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err)
			finished(sw, c, err);
		else
			say(sw, c);
	}
	if (c->state == IDLE && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		sw->nr_busy++;
		finished(sw, c, ECONNRESET);
	}
	if (c->state == WAITING || c->state == CLOSING)
		hear(sw, c);
}

/* Until all are open and none is busy. False: nothing happened for too long */
static bool run(struct swarm *sw)
{
	double start = now(), last = start;
	struct epoll_event ev[EVENTS];
	int i, n;

	while (sw->nr_busy || sw->nr_opened < sw->nr_conns) {
		while (sw->nr_opened < sw->nr_conns &&
		       sw->nr_opened < (now() - start) * sw->rate)
			open_next(sw);
		n = epoll_wait(sw->epoll_fd, ev, EVENTS, 1);
		for (i = 0; i < n; i++)
			on_event(sw, &sw->conns[ev[i].data.u64], ev[i].events);
		if (n > 0)
			last = now();
		if (now() - last > STALL_MS / 1000)
			return false;
	}
	return true;
}

static void second_round(struct swarm *sw)
{
	unsigned int i;

	printf("held\n");
	fflush(stdout);
	getchar();
	sw->round = 1;
	for (i = 0; i < sw->nr_conns; i++) {
		if (sw->conns[i].state != IDLE)
			continue;
		sw->nr_busy++;
		sw->conns[i].start = now();
		say(sw, &sw->conns[i]);
	}
}

static int client(struct swarm *sw)
{
	double start = now();
	bool all;

	raise_limit();
	sw->epoll_fd = epoll_create1(0);
	sw->conns = calloc(sw->nr_conns, sizeof(*sw->conns));
	if (sw->epoll_fd < 0 || !sw->conns)
		die("starting");
	all = run(sw);
	printf("opened_ms=%.0f\n", (now() - start) * 1000);
	if (all && sw->hold) {
		second_round(sw);
		all = run(sw);
	}
	printf("conns=%u ok=%u failed=%u stuck=%u slowest_ms=%.0f first_error=%s\n",
	       sw->nr_conns, sw->nr_ok, sw->nr_failed, sw->nr_busy, sw->slowest * 1000,
	       sw->first_err ? strerror(sw->first_err) : "none");
	return all && sw->nr_ok == sw->nr_conns ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct swarm sw = { .to.sin_family = AF_INET };

	if (argc == 4 && !strcmp(argv[1], "server"))
		return serve(number(argv[2]), number(argv[3]));
	if (argc != 7 || (strcmp(argv[1], "hold") && strcmp(argv[1], "rate")) ||
	    inet_pton(AF_INET, argv[2], &sw.to.sin_addr) != 1) {
		fprintf(stderr, "Usage: swarm server PORT NUMBER\n"
			"       swarm hold|rate ADDRESS PORT NUMBER CONNS RATE\n");
		return 2;
	}
	sw.hold = !strcmp(argv[1], "hold");
	sw.to.sin_port = htons(number(argv[3]));
	sw.nr_ports = number(argv[4]);
	sw.nr_conns = number(argv[5]);
	sw.rate = number(argv[6]);
	return client(&sw);
}
