// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's side of the control socket.
 *
 * A client goes from reading (its request, perhaps with a body) to answering (status and
 * report) to closed. Nothing here blocks: sockets are non-blocking, a request and the memory
 * of all answers are bounded, each event sends one chunk at most, and a client
 * that is not done after HK_CONTROL_TIMEOUT_S is dropped. So neither a slow nor a
 * hostile client costs the daemon more than a slot for that time.
 *
 * One daemon owns a name: the one that holds the lock on NAME.lock. The lock dies
 * with its holder, so a socket without a locked file beside it is a leftover.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include "control.h"
#include "relay.h"

#define NSEC_PER_SEC	1000000000ULL
#define BACKLOG		64
#define CHUNK		65536U
#define LOCK_TRIES	16

#define WORD_CHARS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* Slot numbers in epoll data beyond those of clients */
#define EV_LISTEN	HK_CONTROL_CLIENTS
#define EV_TIMER	(HK_CONTROL_CLIENTS + 1)
#define NR_EVENTS	(HK_CONTROL_CLIENTS + 2)

/* Where answers come from: the arguments of hk_control_handle() */
struct source {
	int	(*answer)(void *priv, const char *what, struct hk_report *r);
	void	*priv;
};

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/**
 * hk_control_name_ok() - whether a daemon may be called so
 * @name: becomes a file name below /run/hooker
 *
 * Return: true for 1 to 63 letters, digits, '.', '-' and '_', not starting with '.' or '-'.
 */
bool hk_control_name_ok(const char *name)
{
	size_t i;

	if (*name == '.' || *name == '-')
		return false;
	for (i = 0; name[i]; i++) {
		if (i == HK_CONTROL_NAME - 1)
			return false;
		/* not isalnum(): the locale has no say in file names */
		if (!strchr(WORD_CHARS ".", name[i]))
			return false;
	}
	return i > 0;
}

/* Only root may write there, or another user could put files in place of ours */
static int run_dir_prepare(void)
{
	struct stat st;

	if (!mkdir(HK_RUN_DIR, 0755))
		return chmod(HK_RUN_DIR, 0755) ? -errno : 0;	/* whatever the umask is */
	if (errno != EEXIST)
		return -errno;
	if (lstat(HK_RUN_DIR, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if ((st.st_uid && st.st_uid != geteuid()) || st.st_mode & (0022))
		return -EPERM;
	return 0;
}

/* The file may be unlinked by a daemon that ends between our open and our lock */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !lstat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int lock_take(struct hk_control *ctl)
{
	int fd, err, i;

	for (i = 0; i < LOCK_TRIES; i++) {
		fd = open(ctl->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
			close(fd);
			return err;
		}
		if (same_file(fd, ctl->lock_path)) {
			ctl->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	return -EADDRINUSE;
}

/* For the case that somebody removed a living daemon's lock file, but not its socket */
static bool somebody_listens(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool yes;

	if (fd < 0)
		return false;
	/* EAGAIN: the backlog is full, so there is somebody */
	yes = !connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno == EAGAIN;
	close(fd);
	return yes;
}

static int socket_bind(struct hk_control *ctl)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", ctl->path);
	if (somebody_listens(&addr))
		return -EADDRINUSE;
	if (unlink(ctl->path) && errno != ENOENT)
		return -errno;

	ctl->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ctl->listen_fd < 0)
		return -errno;
	/* Before bind(), which takes the mode over: there is no moment with a wider one */
	if (fchmod(ctl->listen_fd, 0600))
		return -errno;
	if (bind(ctl->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	if (lstat(ctl->path, &st))
		return -errno;
	ctl->ino = st.st_ino;
	return listen(ctl->listen_fd, BACKLOG) ? -errno : 0;
}

static int poll_set(struct hk_control *ctl, int op, int fd, __u32 events, __u32 slot, __u32 gen)
{
	struct epoll_event ev = { .events = events, .data.u64 = (__u64)gen << 32 | slot };

	return epoll_ctl(ctl->epoll_fd, op, fd, &ev) ? -errno : 0;
}

static int poll_open(struct hk_control *ctl)
{
	int err;

	ctl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ctl->epoll_fd < 0)
		return -errno;
	ctl->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ctl->timer_fd < 0)
		return -errno;
	err = poll_set(ctl, EPOLL_CTL_ADD, ctl->timer_fd, EPOLLIN, EV_TIMER, 0);
	if (err)
		return err;
	ctl->listening = true;
	return poll_set(ctl, EPOLL_CTL_ADD, ctl->listen_fd, EPOLLIN, EV_LISTEN, 0);
}

static void init_closed(struct hk_control *ctl)
{
	unsigned int i;

	memset(ctl, 0, sizeof(*ctl));
	ctl->epoll_fd = -1;
	ctl->listen_fd = -1;
	ctl->timer_fd = -1;
	ctl->lock_fd = -1;
	ctl->takeover_fd = -1;
	for (i = 0; i < HK_CONTROL_CLIENTS; i++)
		ctl->clients[i].fd = -1;
}

static void set_paths(struct hk_control *ctl, const char *name)
{
	snprintf(ctl->path, sizeof(ctl->path), HK_RUN_DIR "/%s.sock", name);
	snprintf(ctl->lock_path, sizeof(ctl->lock_path), HK_RUN_DIR "/%s.lock", name);
}

/**
 * hk_control_adopt() - go on with the control socket of another process
 * @ctl:       caller's memory
 * @name:      of this daemon, and of the other one
 * @listen_fd: its socket; owned by @ctl from now on, whatever happens
 * @lock_fd:   its lock file, likewise; the lock stays as long as either of them has it
 *
 * Return: 0, or a negative errno; then it is closed.
 */
int hk_control_adopt(struct hk_control *ctl, const char *name, int listen_fd, int lock_fd)
{
	struct stat st;
	int err;

	init_closed(ctl);
	set_paths(ctl, name);
	ctl->listen_fd = listen_fd;
	ctl->lock_fd = lock_fd;
	if (!lstat(ctl->path, &st))
		ctl->ino = st.st_ino;
	err = poll_open(ctl);
	if (err)
		hk_control_close(ctl);
	return err;
}

/**
 * hk_control_connect() - be a client of a daemon
 * @name: of the daemon
 *
 * Return: a blocking descriptor, or a negative errno; -ENOENT, -ECONNREFUSED: there is
 * no such daemon.
 */
int hk_control_connect(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	snprintf(addr.sun_path, sizeof(addr.sun_path), HK_RUN_DIR "/%s.sock", name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/**
 * hk_control_open() - create the control socket
 * @ctl:  caller's memory; on failure it may be closed, but need not
 * @name: of this daemon
 *
 * Creates /run/hooker if needed, and replaces the socket of a daemon that died.
 *
 * Return: 0; -EADDRINUSE: a daemon of that name is running; -EINVAL: no name for a
 * file; -EPERM, -ENOTDIR: /run/hooker is not a directory that only root can write;
 * -EACCES: we cannot write it; other errnos of the system calls.
 */
int hk_control_open(struct hk_control *ctl, const char *name)
{
	int err;

	init_closed(ctl);
	if (!hk_control_name_ok(name))
		return -EINVAL;
	set_paths(ctl, name);
	err = run_dir_prepare();
	if (!err)
		err = lock_take(ctl);
	if (!err)
		err = socket_bind(ctl);
	if (!err)
		err = poll_open(ctl);
	if (err)
		hk_control_close(ctl);
	return err;
}

static void client_close(struct hk_control_client *client)
{
	fd_close(&client->fd);		/* leaves the epoll set by itself */
	hk_report_exit(&client->answer);
	free(client->body);
	client->body = NULL;
	client->gen++;
}

/**
 * hk_control_close() - drop all clients, remove socket and lock file
 * @ctl: opened, half-opened or closed
 */
void hk_control_close(struct hk_control *ctl)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < HK_CONTROL_CLIENTS; i++) {
		if (ctl->clients[i].fd >= 0)
			client_close(&ctl->clients[i]);
	}
	if (ctl->ino && !lstat(ctl->path, &st) && st.st_ino == ctl->ino)
		unlink(ctl->path);
	ctl->ino = 0;
	fd_close(&ctl->takeover_fd);
	fd_close(&ctl->listen_fd);
	fd_close(&ctl->timer_fd);
	fd_close(&ctl->epoll_fd);
	/* Last, and while it is still locked: who waits for it looks whether it is still there */
	if (ctl->lock_fd >= 0 && same_file(ctl->lock_fd, ctl->lock_path))
		unlink(ctl->lock_path);
	fd_close(&ctl->lock_fd);
}

/**
 * hk_control_poll_fd() - what to poll for input
 * @ctl: opened
 *
 * Return: a descriptor that stays the same until hk_control_close() and belongs to
 * @ctl; when it is readable, call hk_control_handle(). Deadlines make it readable, too.
 */
int hk_control_poll_fd(const struct hk_control *ctl)
{
	return ctl->epoll_fd;
}

static struct hk_control_client *slot_find(struct hk_control *ctl)
{
	unsigned int i;

	for (i = 0; i < HK_CONTROL_CLIENTS; i++) {
		if (ctl->clients[i].fd < 0)
			return &ctl->clients[i];
	}
	return NULL;
}

static void client_init(struct hk_control *ctl, struct hk_control_client *client, int fd)
{
	client->fd = fd;
	client->deadline_ns = now_ns() + HK_CONTROL_TIMEOUT_S * NSEC_PER_SEC;
	client->request_len = 0;
	client->body_len = 0;
	client->body_size = 0;
	client->answering = false;
	client->status_len = 0;
	client->sent = 0;
	hk_report_init(&client->answer, false);
	if (poll_set(ctl, EPOLL_CTL_ADD, fd, EPOLLIN, client - ctl->clients, client->gen))
		client_close(client);
}

static void accept_clients(struct hk_control *ctl)
{
	struct hk_control_client *client;
	int fd;

	while ((client = slot_find(ctl))) {
		fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			client_init(ctl, client, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* Out of descriptors: the socket stays readable, so polling on would spin */
		if (errno != EAGAIN)
			ctl->retry_ns = now_ns() + NSEC_PER_SEC;
		return;
	}
}

static size_t pending_bytes(const struct hk_control *ctl)
{
	size_t sum = 0;
	unsigned int i;

	for (i = 0; i < HK_CONTROL_CLIENTS; i++)
		sum += ctl->clients[i].answer.out.len;
	return sum;
}

static void status_set(struct hk_control_client *client, const char *word, const char *text)
{
	int len = snprintf(client->status, sizeof(client->status) - 1, "%s %s", word, text);

	client->status_len = (size_t)len < sizeof(client->status) - 1 ?
			     (size_t)len : sizeof(client->status) - 2;
	client->status[client->status_len++] = '\n';
}

static void refuse(struct hk_control_client *client, const char *reason)
{
	hk_report_exit(&client->answer);
	status_set(client, "error", reason);
}

/* "show OBJECT [json]" in place; returns OBJECT or NULL */
static char *request_parse(char *line, bool *json)
{
	static const char word[] = WORD_CHARS;
	char *what, *form;

	if (strncmp(line, "show ", 5))
		return NULL;
	what = line + 5;
	form = what + strspn(what, word);
	if (form == what)
		return NULL;
	*json = !strcmp(form, " json");
	if (*form && !*json)
		return NULL;
	*form = '\0';
	return what;
}

static void answer_make(struct hk_control *ctl, struct hk_control_client *client,
			const struct source *source)
{
	size_t others = pending_bytes(ctl), len;
	char text[24], *what;
	bool json;
	int err;

	what = request_parse(client->request, &json);
	if (!what) {
		refuse(client, "not a request that this daemon knows");
		return;
	}
	hk_report_init(&client->answer, json);
	client->answer.limit = others < HK_REPORT_MAX ? HK_REPORT_MAX - others : 0;
	err = source->answer(source->priv, what, &client->answer);
	if (!err)
		err = hk_report_finish(&client->answer);
	if (err) {
		refuse(client, err == -ENOENT ? "no such object" : strerror(-err));
		return;
	}
	hk_report_text(&client->answer, &len);
	snprintf(text, sizeof(text), "%zu", len);
	status_set(client, "ok", text);
}

/* "do WHAT LENGTH" in place: then the body is awaited */
static bool is_command(struct hk_control_client *client, char *line)
{
	char *what = line + 3, *size;
	unsigned long len;

	if (strncmp(line, "do ", 3))
		return false;
	size = what + strspn(what, WORD_CHARS);
	if (size == what || *size != ' ' || hk_number_parse(size + 1, 0, HK_CONTROL_BODY, &len))
		return false;
	*size = '\0';
	client->body = malloc(len + 1);
	client->body_size = len;
	return client->body;
}

/* Once all of it is there */
static bool body_done(struct hk_control *ctl, struct hk_control_client *client)
{
	char why[HK_CONTROL_STATUS - 16] = "not a request that this daemon knows";
	int err = -ENOENT;

	if (client->body_len < client->body_size)
		return false;
	if (ctl->command)
		err = ctl->command(ctl->priv, client->request + 3, client->body, client->body_len,
				   why, sizeof(why));
	if (err)
		refuse(client, why);
	else
		status_set(client, "ok", "0");
	return true;
}

/* What came with the first line */
static bool body_begin(struct hk_control *ctl, struct hk_control_client *client, const char *rest)
{
	size_t len = client->request + client->request_len - rest;

	if (len > client->body_size) {
		refuse(client, "more bytes than were announced");
		return true;
	}
	memcpy(client->body, rest, len);
	client->body_len = len;
	return body_done(ctl, client);
}

/* "takeover VERSION": the connection is not a client's any more; one at a time */
static bool takeover_parse(struct hk_control *ctl, struct hk_control_client *client)
{
	unsigned long version;

	if (strncmp(client->request, "takeover ", 9) || ctl->takeover_fd >= 0 ||
	    hk_number_parse(client->request + 9, 0, 0xffffffff, &version))
		return false;
	epoll_ctl(ctl->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
	ctl->takeover_version = version;
	ctl->takeover_fd = client->fd;
	client->fd = -1;
	client_close(client);
	return true;
}

/* Returns true when the request is complete, well-formed or not, and the status is set */
static bool request_done(struct hk_control *ctl, struct hk_control_client *client,
			 const struct source *source)
{
	char *newline = memchr(client->request, '\n', client->request_len);

	if (!newline) {
		if (client->request_len < sizeof(client->request))
			return false;
		refuse(client, "request too long");
		return true;
	}
	*newline = '\0';
	if (client->request + strlen(client->request) == newline &&
	    is_command(client, client->request))
		return body_begin(ctl, client, newline + 1);
	if (newline + 1 != client->request + client->request_len ||
	    strlen(client->request) != client->request_len - 1)
		refuse(client, "one line of text is a request");
	else if (!takeover_parse(ctl, client))
		answer_make(ctl, client, source);
	return true;
}

static void answer_send(struct hk_control_client *client)
{
	const char *from = client->status;
	size_t left, len;
	ssize_t n;

	if (client->sent < client->status_len) {
		from += client->sent;
		left = client->status_len - client->sent;
	} else {
		from = hk_report_text(&client->answer, &len) + client->sent - client->status_len;
		left = client->status_len + len - client->sent;
	}
	if (left) {
		n = send(client->fd, from, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0) {
			client->sent += n;
			return;
		}
	}
	client_close(client);		/* done, or the client is gone */
}

/* Returns false on error or at the end */
static bool client_recv(struct hk_control_client *client)
{
	char *to = client->request + client->request_len;
	size_t room = sizeof(client->request) - client->request_len;
	ssize_t n;

	if (client->body) {
		to = client->body + client->body_len;
		room = client->body_size - client->body_len;
	}
	n = recv(client->fd, to, room, 0);
	if (n > 0)
		*(client->body ? &client->body_len : &client->request_len) += n;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void client_handle(struct hk_control *ctl, struct hk_control_client *client,
			  const struct source *source)
{
	if (client->answering) {
		answer_send(client);
		return;
	}
	if (!client_recv(client)) {
		client_close(client);
		return;
	}
	if (!(client->body ? body_done(ctl, client) : request_done(ctl, client, source)) ||
	    client->fd < 0)
		return;
	client->answering = true;
	if (poll_set(ctl, EPOLL_CTL_MOD, client->fd, EPOLLOUT, client - ctl->clients, client->gen))
		client_close(client);
}

static void drop_expired(struct hk_control *ctl)
{
	__u64 expirations, now = now_ns();
	unsigned int i;

	/* Read to make it unreadable; how often it expired does not matter */
	if (read(ctl->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	if (ctl->retry_ns && ctl->retry_ns <= now)
		ctl->retry_ns = 0;
	for (i = 0; i < HK_CONTROL_CLIENTS; i++) {
		if (ctl->clients[i].fd >= 0 && ctl->clients[i].deadline_ns <= now)
			client_close(&ctl->clients[i]);
	}
}

static void timer_arm(struct hk_control *ctl)
{
	const struct hk_control_client *client;
	struct itimerspec at = { 0 };
	__u64 first = ctl->retry_ns;
	unsigned int i;

	for (i = 0; i < HK_CONTROL_CLIENTS; i++) {
		client = &ctl->clients[i];
		if (client->fd >= 0 && (!first || client->deadline_ns < first))
			first = client->deadline_ns;
	}
	at.it_value.tv_sec = first / NSEC_PER_SEC;	/* all zero disarms it */
	at.it_value.tv_nsec = first % NSEC_PER_SEC;
	timerfd_settime(ctl->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void listen_arm(struct hk_control *ctl)
{
	bool want = slot_find(ctl) && !ctl->retry_ns;

	if (want == ctl->listening)
		return;
	if (!poll_set(ctl, EPOLL_CTL_MOD, ctl->listen_fd, want ? EPOLLIN : 0, EV_LISTEN, 0))
		ctl->listening = want;
}

/**
 * hk_control_on_command() - what carries out requests that change something
 * @ctl:     opened
 * @command: does @what with a body of @len bytes, not NUL-terminated, and returns 0; or
 *           writes the reason, one line, into @why (of @size bytes) and returns a
 *           negative errno. @what is what a client sent: letters, digits, '-' and '_'.
 *           Must not call back into @ctl.
 * @priv:    first argument of @command
 */
void hk_control_on_command(struct hk_control *ctl,
			   int (*command)(void *priv, const char *what, const char *body,
					  size_t len, char *why, size_t size),
			   void *priv)
{
	ctl->command = command;
	ctl->priv = priv;
}

/**
 * hk_control_handle() - serve clients
 * @ctl:    opened
 * @answer: writes what the daemon knows about @what into @r, which the caller begins
 *          and finishes; returns 0, -ENOENT for an object it does not know, or
 *          another negative errno. @what is what a client sent: letters, digits,
 *          '-' and '_'. Must not call back into @ctl.
 * @priv:   first argument of @answer
 *
 * Handles what is ready and returns; never blocks, and does a bounded amount of work.
 *
 * Context: the relay's thread, when hk_control_poll_fd() is readable.
 */
void hk_control_handle(struct hk_control *ctl,
		       int (*answer)(void *priv, const char *what, struct hk_report *r),
		       void *priv)
{
	const struct source source = { .answer = answer, .priv = priv };
	struct epoll_event events[NR_EVENTS];
	int i, nr = epoll_wait(ctl->epoll_fd, events, NR_EVENTS, 0);
	struct hk_control_client *client;
	__u32 slot;

	for (i = 0; i < nr; i++) {
		slot = (__u32)events[i].data.u64;
		if (slot == EV_LISTEN) {
			accept_clients(ctl);
		} else if (slot == EV_TIMER) {
			drop_expired(ctl);
		} else {
			client = &ctl->clients[slot];
			if (client->fd >= 0 && client->gen == events[i].data.u64 >> 32)
				client_handle(ctl, client, &source);
		}
	}
	listen_arm(ctl);
	timer_arm(ctl);
}
