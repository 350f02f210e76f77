// SPDX-License-Identifier: GPL-2.0
/*
 * tmatrix: an application that does with TCP what applications do.
 *
 *   tmatrix list                                  a line for each mode
 *   tmatrix server SOCKET                         prints 'tmatrix: ready'
 *   tmatrix client [-l COMMAND] SOCKET SERVER CLIENT MODE
 *
 * Client and server agree through a Unix socket, so that nothing but the mode itself uses TCP,
 * and each runs its side of the mode. Plain sockets only; it knows nothing of what carries
 * its bytes. The output is TAP with the two transcripts as diagnostics: over plain TCP and
 * over anything that claims to be like it they have to be the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tmatrix.h"

#define LIMIT_S		40	/* of a mode that takes a few, on a machine that is busy */
#define LIMIT_LONG_S	100
#define EXIT_USAGE	2

static const struct tm_mode *const tables[] = {
	tm_modes_open, tm_modes_listen, tm_modes_io, tm_modes_queue, tm_modes_end, tm_modes_share,
	tm_modes_opt,
};

/*
 * struct request - what a client asks the server for
 * @server: address of the server's host
 */
struct request {
	char			mode[40];
	struct sockaddr_storage	server, client;
};

/*
 * struct result - what the server says when it is done
 */
struct result {
	bool	failed;
	char	skipped[128], log[TM_LOG_MAX];
};

static struct tmx side;		/* file scope: the handler of SIGALRM has no other way to it */

static const struct tm_mode *find_mode(const char *name)
{
	const struct tm_mode *mode;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (mode = tables[i]; mode->name; mode++)
			if (!strcmp(mode->name, name))
				return mode;
	return NULL;
}

static int list(void)
{
	static const char letters[] = "46klchn";
	const struct tm_mode *mode;
	unsigned int bit;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (mode = tables[i]; mode->name; mode++) {
			printf("%s|%u|", mode->name, mode->taken);
			for (bit = 0; letters[bit]; bit++)
				if (mode->flags & 1U << bit)
					putchar(letters[bit]);
			printf("|%s\n", mode->text);
		}
	return 0;
}

static void side_init(int ctl, bool server, const struct request *req)
{
	memset(&side, 0, sizeof(side));
	side.mode = find_mode(req->mode);
	side.taken = side.mode->taken;
	side.ctl = ctl;
	side.server = server;
	side.family = req->server.ss_family;
	side.addr = req->server;
	side.own = server ? req->server : req->client;
	side.other = server ? req->client : req->server;
	side.addrlen = side.family == AF_INET ? sizeof(struct sockaddr_in) :
						sizeof(struct sockaddr_in6);
}

/* Never two in the same process, so the buffer may be a static one */
static void send_result(void)
{
	static struct result result;

	result.failed = side.failed;
	memcpy(result.skipped, side.skipped, sizeof(result.skipped));
	memcpy(result.log, side.log, sizeof(result.log));
	send(side.ctl, &result, sizeof(result), MSG_NOSIGNAL);
}

static void print_log(const char *who, const char *log)
{
	const char *end;

	for (; (end = strchr(log, '\n')); log = end + 1)
		printf("# %s: %.*s\n", who, (int)(end - log), log);
}

static int report(const struct tm_mode *mode, const struct result *peer)
{
	const char *skipped = side.skipped[0] ? side.skipped : peer->skipped;
	bool ok = *skipped || (!side.failed && !peer->failed);

	print_log("client", side.log);
	print_log("server", peer->log);
	printf("# to be carried: %u\n", side.taken);
	printf("%sok 1 %s%s%s\n", ok ? "" : "not ", mode->name, *skipped ? " # SKIP " : "",
	       skipped);
	fflush(stdout);
	return ok ? 0 : 1;
}

/* The server's word, behind those that a client which gave up has not read */
static int finish_client(void)
{
	static struct result peer = { .failed = true, .log = "no result\n" };
	struct result got;

	ssize_t len;

	do
		len = recv(side.ctl, &got, sizeof(got), 0);
	while (len == sizeof(__u64));
	if (len == sizeof(got))
		peer = got;
	return report(side.mode, &peer);
}

/*
 * tm_give_up - end the mode, from wherever it is
 * @t: this side
 *
 * The other side is told: its tm_sync() fails, and if it waits for something else
 * its parent notices.
 */
void tm_give_up(struct tmx *t)
{
	t->failed = true;
	alarm(LIMIT_S);
	if (t->server) {
		send_result();
		_exit(1);
	}
	shutdown(t->ctl, SHUT_WR);
	_exit(finish_client());
}

/* A mode that hangs: what it got done is worth knowing */
static void on_alarm(int sig)
{
	(void)sig;
	if (side.failed)
		_exit(1);
	tm_log(&side, "WRONG: no progress");
	tm_give_up(&side);
}

static void set_limit(const struct tm_mode *mode)
{
	signal(SIGALRM, on_alarm);
	signal(SIGPIPE, SIG_IGN);
	alarm(mode->flags & TM_LONG ? LIMIT_LONG_S : LIMIT_S);
}

/* ---- server ---- */

static void serve_mode(int ctl)
{
	struct request req;

	if (recv(ctl, &req, sizeof(req), 0) != sizeof(req))
		return;
	req.mode[sizeof(req.mode) - 1] = 0;
	if (!find_mode(req.mode))
		return;
	side_init(ctl, true, &req);
	set_limit(side.mode);
	side.mode->server(&side);
	send_result();
}

static int unix_socket(const char *path, bool server)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		fprintf(stderr, "tmatrix: %s: path is too long\n", path);
		exit(EXIT_USAGE);
	}
	strcpy(sun.sun_path, path);
	if (server)
		err = bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 5);
	else
		err = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	if (!err)
		return fd;
	fprintf(stderr, "tmatrix: %s: %s\n", path, strerror(errno));
	exit(1);
}

/* A process for each mode: what it leaves open or changes goes with it */
static void serve_one(int lfd, int ctl)
{
	struct pollfd pfd = { .fd = ctl, .events = POLLRDHUP };
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		close(lfd);
		serve_mode(ctl);
		_exit(0);
	}
	/* until the client has ended, or has given up */
	while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
		;
	if (!waitpid(pid, NULL, WNOHANG)) {
		kill(pid, SIGALRM);
		waitpid(pid, NULL, 0);
	}
	kill(-pid, SIGKILL);		/* children that it forgot */
}

static int serve(const char *path)
{
	int lfd = unix_socket(path, true), fd;

	printf("tmatrix: ready\n");
	fflush(stdout);
	for (;;) {
		fd = accept(lfd, NULL, NULL);
		if (fd < 0)
			return 1;
		serve_one(lfd, fd);
		close(fd);
	}
}

/* ---- client ---- */

static int resolve(const char *text, struct sockaddr_storage *ss)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *list;
	int err = getaddrinfo(text, NULL, &hints, &list);

	if (err) {
		fprintf(stderr, "tmatrix: %s: %s\n", text, gai_strerror(err));
		return -EINVAL;
	}
	memcpy(ss, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return 0;
}

static int run_client(int argc, char **argv)
{
	struct request req = { 0 };
	const char *link = NULL;

	if (argc > 2 && !strcmp(argv[0], "-l")) {
		link = argv[1];
		argc -= 2;
		argv += 2;
	}
	if (argc != 4 || resolve(argv[1], &req.server) || resolve(argv[2], &req.client))
		return EXIT_USAGE;
	if (!find_mode(argv[3])) {
		fprintf(stderr, "tmatrix: %s: no such mode\n", argv[3]);
		return EXIT_USAGE;
	}
	snprintf(req.mode, sizeof(req.mode), "%s", argv[3]);
	side_init(unix_socket(argv[0], false), false, &req);
	side.link = link;
	printf("TAP version 13\n1..1\n");
	fflush(stdout);
	set_limit(side.mode);
	if (send(side.ctl, &req, sizeof(req), MSG_NOSIGNAL) == sizeof(req))
		side.mode->client(&side);
	return finish_client();
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	if (argc == 3 && !strcmp(argv[1], "server"))
		return serve(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "client"))
		return run_client(argc - 2, argv + 2);
	fputs("Usage: tmatrix list\n       tmatrix server SOCKET\n"
	      "       tmatrix client [-l COMMAND] SOCKET SERVER-ADDRESS CLIENT-ADDRESS MODE\n",
	      stderr);
	return EXIT_USAGE;
}
