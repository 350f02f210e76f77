// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket, with clients that are many, slow, dead or hostile. A child
 * process is the daemon: it polls the control socket and nothing else. That it
 * never blocks is seen from a well-behaved client, which gets its answer at once
 * while the others do their worst.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/control.h"
#include "../../../hooker/relay/relay.h"

#define BIG_ROWS	100000		/* several megabytes: beyond any socket buffer */
#define AT_ONCE_MS	3000		/* less than the daemon waits for anybody */

/* Written by the daemon's process, read by the test */
struct shared {
	int		err;		/* of hk_control_open(); valid once @opened */
	bool		opened;
	unsigned int	nr_handled;
};

FIXTURE(control) {
	char		name[HK_CONTROL_NAME];
	char		path[HK_CONTROL_PATH];
	struct shared	*shared;
	pid_t		daemon;
};

static void write_big(struct hk_report *r)
{
	unsigned int i;

	hk_report_array(r, "rows");
	for (i = 0; i < BIG_ROWS; i++) {
		hk_report_object(r);
		hk_report_str(r, "text", "as many bytes as a connection has in a table");
		hk_report_end(r);
	}
	hk_report_end(r);
}

static int answer(void *priv, const char *what, struct hk_report *r)
{
	if (!strcmp(what, "stats"))
		hk_report_u64(r, "asked", ++*(__u64 *)priv);
	else if (!strcmp(what, "big"))
		write_big(r);
	else if (!strcmp(what, "broken"))
		return -ENOMEM;
	else if (!strcmp(what, "unbalanced"))
		hk_report_section(r, "never closed");
	else
		return -ENOENT;
	return 0;
}

/* "sum": what the bytes must add up to stands in the first one */
static int command(void *priv, const char *what, const char *body, size_t len, char *why,
		   size_t size)
{
	unsigned char sum = 0;
	size_t i;

	++*(__u64 *)priv;
	for (i = 1; i < len; i++)
		sum += body[i];
	if (!strcmp(what, "sum") && (!len || sum == (unsigned char)body[0]))
		return 0;
	snprintf(why, size, "%s: %zu bytes that do not add up", what, len);
	return -EINVAL;
}

static void be_daemon(const char *name, struct shared *shared, bool few_files)
{
	struct pollfd pfd = { .events = POLLIN };
	struct hk_control ctl;
	__u64 asked = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* also when a time-out kills the test */
	shared->err = hk_control_open(&ctl, name);
	if (!shared->err && few_files) {
		/* The next descriptor would be one more than there may be */
		struct rlimit limit = { .rlim_cur = dup(ctl.epoll_fd), .rlim_max = 4096 };

		close(limit.rlim_cur);
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	hk_control_on_command(&ctl, command, &asked);
	__atomic_store_n(&shared->opened, true, __ATOMIC_RELEASE);
	if (shared->err)
		_exit(1);
	pfd.fd = hk_control_poll_fd(&ctl);
	while (poll(&pfd, 1, -1) > 0) {
		hk_control_handle(&ctl, answer, &asked);
		__atomic_add_fetch(&shared->nr_handled, 1, __ATOMIC_RELAXED);
	}
	_exit(1);
}

static pid_t start_daemon(const char *name, struct shared *shared, bool few_files)
{
	pid_t pid;

	shared->opened = false;
	pid = fork();
	if (!pid)
		be_daemon(name, shared, few_files);
	while (pid > 0 && !__atomic_load_n(&shared->opened, __ATOMIC_ACQUIRE))
		usleep(1000);
	return pid;
}

static unsigned int nr_handled(const struct shared *shared)
{
	return __atomic_load_n(&shared->nr_handled, __ATOMIC_RELAXED);
}

static void kill_daemon(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

FIXTURE_SETUP(control)
{
	if (geteuid())
		SKIP(return, "needs root to write " HK_RUN_DIR);
	snprintf(self->name, sizeof(self->name), "selftest-%d", getpid());
	snprintf(self->path, sizeof(self->path), HK_RUN_DIR "/%s.sock", self->name);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->daemon = start_daemon(self->name, self->shared, false);
	ASSERT_EQ(0, self->shared->err);
}

/* The daemon was killed, so its files are ours to remove: by taking them over */
FIXTURE_TEARDOWN(control)
{
	struct hk_control ctl;

	kill_daemon(self->daemon);
	EXPECT_EQ(0, hk_control_open(&ctl, self->name));
	hk_control_close(&ctl);
	EXPECT_EQ(-1, access(self->path, F_OK));
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int connect_client(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -errno;
	}
	return fd;
}

/*
 * All that comes until the daemon closes, as a string; NULL on error or time-out.
 * A reset stands behind what was sent: it tells that the daemon left bytes of ours unread.
 */
static char *read_all(int fd, size_t *len)
{
	size_t cap = 1 << 16;
	char *buf = malloc(cap);
	ssize_t n;

	*len = 0;
	while ((n = recv(fd, buf + *len, cap - *len - 1, 0)) > 0) {
		*len += n;
		if (*len + 1 == cap)
			buf = realloc(buf, cap *= 2);
	}
	buf[*len] = '\0';
	if (!n || (errno == ECONNRESET && *len))
		return buf;
	free(buf);
	return NULL;
}

static char *ask(const char *path, const char *request, size_t len)
{
	int fd = connect_client(path);
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
		text = read_all(fd, &len);
	close(fd);
	return text;
}

#define EXPECT_ANSWER(want, request) do {						\
	char *_text = ask(self->path, request, sizeof(request) - 1);			\
	ASSERT_NE(NULL, _text);								\
	EXPECT_STREQ(want, _text);							\
	free(_text);									\
} while (0)

TEST_F(control, answers_in_both_forms)
{
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
	EXPECT_ANSWER("ok 42\nasked                                   2\n", "show stats\n");
}

TEST_F(control, refusals)
{
	EXPECT_ANSWER("error no such object\n", "show nothing\n");
	EXPECT_ANSWER("error Cannot allocate memory\n", "show broken\n");
	EXPECT_ANSWER("error Invalid argument\n", "show unbalanced json\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "show\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "show \n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "show ../x\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "show stats xml\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "stop\n");
	EXPECT_ANSWER("error one line of text is a request\n", "show stats\nshow stats\n");
	EXPECT_ANSWER("error one line of text is a request\n", "show stats\0 json\n");
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

TEST_F(control, commands)
{
	EXPECT_ANSWER("ok 0\n", "do sum 0\n");
	EXPECT_ANSWER("ok 0\n", "do sum 3\n\3\1\2");
	EXPECT_ANSWER("ok 0\n", "do sum 4\n\12\n\0\0");
	EXPECT_ANSWER("error sum: 2 bytes that do not add up\n", "do sum 2\n\1\2");
	EXPECT_ANSWER("error else: 0 bytes that do not add up\n", "do else 0\n");
	EXPECT_ANSWER("ok 12\n{\"asked\":6}\n", "show stats json\n");
}

TEST_F(control, commands_refused)
{
	EXPECT_ANSWER("error more bytes than were announced\n", "do sum 1\n\0\0");
	EXPECT_ANSWER("error more bytes than were announced\n", "do sum 0\n\0");
	EXPECT_ANSWER("error one line of text is a request\n", "do sum 1\0\nx");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum \n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum -1\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum 1 \n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum 262145\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do sum 99999999999999\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do ../x 1\n");
	EXPECT_ANSWER("error not a request that this daemon knows\n", "do  1\n");
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

/* The largest there may be, in pieces; and one that breaks off in the middle */
TEST_F(control, command_in_pieces)
{
	static const char head[] = "do sum 262144\n";
	char *body = calloc(1, HK_CONTROL_BODY), *text;
	size_t at, len;
	int fd, round;

	ASSERT_NE(NULL, body);
	body[0] = 7;
	body[HK_CONTROL_BODY - 1] = 7;
	for (round = 0; round < 2; round++) {
		fd = connect_client(self->path);
		ASSERT_LE(0, fd);
		for (at = 0; head[at]; at++)
			ASSERT_EQ(1, send(fd, head + at, 1, MSG_NOSIGNAL));
		for (at = 0; at < HK_CONTROL_BODY >> round; at += len) {
			len = HK_CONTROL_BODY - at < 10007 ? HK_CONTROL_BODY - at : 10007;
			ASSERT_EQ(len, send(fd, body + at, len, MSG_NOSIGNAL));
		}
		if (round)
			break;
		text = read_all(fd, &len);
		ASSERT_NE(NULL, text);
		EXPECT_STREQ("ok 0\n", text);
		free(text);
		close(fd);
	}
	close(fd);
	free(body);
	EXPECT_ANSWER("ok 12\n{\"asked\":2}\n", "show stats json\n");
}

TEST_F(control, request_too_long)
{
	char request[HK_CONTROL_REQUEST + 44], *text;

	memset(request, 'x', sizeof(request));
	text = ask(self->path, request, sizeof(request));
	ASSERT_NE(NULL, text);
	EXPECT_STREQ("error request too long\n", text);
	free(text);
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

TEST_F(control, request_in_pieces)
{
	static const char request[] = "show stats json\n";
	int fd = connect_client(self->path), i;
	size_t len;
	char *text;

	ASSERT_LE(0, fd);
	for (i = 0; request[i]; i++) {
		ASSERT_EQ(1, send(fd, request + i, 1, MSG_NOSIGNAL));
		usleep(2000);
	}
	shutdown(fd, SHUT_WR);
	text = read_all(fd, &len);
	ASSERT_NE(NULL, text);
	EXPECT_STREQ("ok 12\n{\"asked\":1}\n", text);
	free(text);
	close(fd);
}

TEST_F(control, large_answer_is_whole)
{
	int fd = connect_client(self->path);
	size_t len, body;
	char *text, *end;

	ASSERT_LE(0, fd);
	ASSERT_EQ(14, send(fd, "show big json\n", 14, 0));
	text = read_all(fd, &len);
	ASSERT_NE(NULL, text);
	ASSERT_EQ(0, strncmp(text, "ok ", 3));
	body = strtoul(text + 3, &end, 10);
	EXPECT_EQ(len, (size_t)(end + 1 - text) + body);
	EXPECT_LT(4000000, body);
	EXPECT_STREQ("\"}]}\n", text + len - 5);
	free(text);
	close(fd);
}

TEST_F(control, twenty_clients_at_once)
{
	int fds[20], i;
	size_t len;
	char *text;

	for (i = 0; i < 20; i++) {
		fds[i] = connect_client(self->path);
		ASSERT_LE(0, fds[i]);
	}
	for (i = 0; i < 20; i++)
		ASSERT_EQ(16, send(fds[i], "show stats json\n", 16, MSG_NOSIGNAL));
	for (i = 0; i < 20; i++) {
		text = read_all(fds[i], &len);
		ASSERT_NE(NULL, text);
		EXPECT_EQ(0, strncmp(text, "ok ", 3));
		free(text);
		close(fds[i]);
	}
}

/* Neither who sends no request nor who takes no answer holds up the others, or stays */
TEST_F(control, slow_clients_are_dropped)
{
	int silent = connect_client(self->path), deaf = connect_client(self->path);
	long start = now_ms();
	size_t len;
	char *text;

	ASSERT_LE(0, silent);
	ASSERT_LE(0, deaf);
	ASSERT_EQ(5, send(silent, "show ", 5, 0));
	ASSERT_EQ(14, send(deaf, "show big json\n", 14, 0));
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
	EXPECT_GT(AT_ONCE_MS, now_ms() - start);

	text = read_all(silent, &len);		/* returns when the daemon closes */
	ASSERT_NE(NULL, text);
	EXPECT_EQ(0, len);
	EXPECT_LE(HK_CONTROL_TIMEOUT_S * 1000 - 500, now_ms() - start);
	EXPECT_GT(HK_CONTROL_TIMEOUT_S * 1000 + AT_ONCE_MS, now_ms() - start);
	free(text);
	text = read_all(deaf, &len);		/* what its socket buffer held */
	ASSERT_NE(NULL, text);
	EXPECT_LT(0, len);
	EXPECT_GT(4000000, len);
	free(text);
	close(silent);
	close(deaf);
}

TEST_F(control, silent_clients_do_not_keep_the_slots)
{
	int fds[HK_CONTROL_CLIENTS], i;

	for (i = 0; i < HK_CONTROL_CLIENTS; i++) {
		fds[i] = connect_client(self->path);
		ASSERT_LE(0, fds[i]);
	}
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
	for (i = 0; i < HK_CONTROL_CLIENTS; i++)
		close(fds[i]);
}

/* Until the daemon has nothing more to do, or for so long that it never will have */
static void wait_idle(const struct shared *shared)
{
	unsigned int before, i;

	for (i = 0; i < 50; i++) {
		before = nr_handled(shared);
		usleep(200000);
		if (nr_handled(shared) == before)
			return;
	}
}

/* They are gone before their answer; the daemon neither spins nor dies of SIGPIPE */
TEST_F(control, clients_that_vanish)
{
	unsigned int before;
	int fd, i;

	for (i = 0; i < 100; i++) {
		fd = connect_client(self->path);
		ASSERT_LE(0, fd);
		if (i % 3)
			ASSERT_EQ(i % 3 * 7, send(fd, "show big json\n", i % 3 * 7, MSG_NOSIGNAL));
		close(fd);
	}
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
	wait_idle(self->shared);
	before = nr_handled(self->shared);
	usleep(500000);
	EXPECT_GE(2, nr_handled(self->shared) - before);
	EXPECT_EQ(0, waitpid(self->daemon, NULL, WNOHANG));
}

/* A listening socket that cannot be served stays readable: that must not become a busy loop */
TEST_F(control, out_of_descriptors)
{
	int fd;

	kill_daemon(self->daemon);
	self->shared->nr_handled = 0;
	self->daemon = start_daemon(self->name, self->shared, true);
	ASSERT_EQ(0, self->shared->err);
	fd = connect_client(self->path);
	ASSERT_LE(0, fd);
	usleep(1500000);
	EXPECT_LE(1, nr_handled(self->shared));
	EXPECT_GE(8, nr_handled(self->shared));
	close(fd);
}

TEST_F(control, one_daemon_per_name)
{
	struct hk_control ctl;

	EXPECT_EQ(-EADDRINUSE, hk_control_open(&ctl, self->name));
	hk_control_close(&ctl);			/* must not touch the other's files */
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

TEST_F(control, lost_lock_file_does_not_give_the_name_away)
{
	char lock[HK_CONTROL_PATH];
	struct hk_control ctl;

	snprintf(lock, sizeof(lock), HK_RUN_DIR "/%s.lock", self->name);
	ASSERT_EQ(0, unlink(lock));
	EXPECT_EQ(-EADDRINUSE, hk_control_open(&ctl, self->name));
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

TEST_F(control, dead_daemons_socket_is_replaced)
{
	kill_daemon(self->daemon);
	EXPECT_EQ(0, access(self->path, F_OK));
	EXPECT_EQ(-ECONNREFUSED, connect_client(self->path));
	self->daemon = start_daemon(self->name, self->shared, false);
	ASSERT_EQ(0, self->shared->err);
	EXPECT_ANSWER("ok 12\n{\"asked\":1}\n", "show stats json\n");
}

TEST_F(control, close_removes_its_files)
{
	char name[HK_CONTROL_NAME], lock[HK_CONTROL_PATH];
	struct hk_control ctl;
	struct stat st;

	snprintf(name, sizeof(name), "selftest-%d-b", getpid());
	snprintf(lock, sizeof(lock), HK_RUN_DIR "/%s.lock", name);
	ASSERT_EQ(0, hk_control_open(&ctl, name));
	ASSERT_EQ(0, lstat(ctl.path, &st));
	EXPECT_EQ(S_IFSOCK | 0600, st.st_mode);
	ASSERT_EQ(0, lstat(HK_RUN_DIR, &st));
	EXPECT_EQ(0, st.st_mode & (0022));
	hk_control_close(&ctl);
	EXPECT_EQ(-1, access(ctl.path, F_OK));
	EXPECT_EQ(-1, access(lock, F_OK));
	hk_control_close(&ctl);			/* again: nothing happens */
}

/* Closing is not the time to remove what somebody else put there */
TEST_F(control, close_leaves_foreign_files)
{
	char name[HK_CONTROL_NAME];
	struct hk_control ctl;
	int fd;

	snprintf(name, sizeof(name), "selftest-%d-c", getpid());
	ASSERT_EQ(0, hk_control_open(&ctl, name));
	/* Renamed, not unlinked: a free inode number could be given out again at once */
	ASSERT_EQ(0, rename(ctl.path, ctl.lock_path));
	fd = open(ctl.path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	hk_control_close(&ctl);
	EXPECT_EQ(0, unlink(ctl.path));
	EXPECT_EQ(0, unlink(ctl.lock_path));
}

TEST(names)
{
	char name[HK_CONTROL_NAME + 1];

	EXPECT_TRUE(hk_control_name_ok("default"));
	EXPECT_TRUE(hk_control_name_ok("A-z_0.9"));
	EXPECT_FALSE(hk_control_name_ok(""));
	EXPECT_FALSE(hk_control_name_ok("."));
	EXPECT_FALSE(hk_control_name_ok(".."));
	EXPECT_FALSE(hk_control_name_ok("-j"));
	EXPECT_FALSE(hk_control_name_ok("a/b"));
	EXPECT_FALSE(hk_control_name_ok("a b"));
	EXPECT_FALSE(hk_control_name_ok("a\n"));
	EXPECT_FALSE(hk_control_name_ok("\xc3\xa4"));
	memset(name, 'n', sizeof(name));
	name[HK_CONTROL_NAME] = '\0';
	EXPECT_FALSE(hk_control_name_ok(name));
	name[HK_CONTROL_NAME - 1] = '\0';
	EXPECT_TRUE(hk_control_name_ok(name));
}

TEST_HARNESS_MAIN
