// SPDX-License-Identifier: GPL-2.0
/*
 * Talking to a running daemon. The whole answer is read before any of it is printed, so
 * that half an answer never looks like a whole one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "cmd.h"
#include "../relay/control.h"
#include "../relay/io.h"
#include "../relay/relay.h"

#define WAIT_S		HK_CONTROL_TIMEOUT_S
#define STATUS_MAX	HK_CONTROL_STATUS
#define SUFFIX		".sock"

_Static_assert(HK_DAEMON_NAME == HK_CONTROL_NAME, "a daemon's name");

static int connect_to(const char *name, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = WAIT_S };
	int fd, err;

	snprintf(addr.sun_path, sizeof(addr.sun_path), HK_RUN_DIR "/%s" SUFFIX, name);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* A socket that we may not touch, or whose backlog is full, still counts as a daemon */
static bool is_daemon(const char *name)
{
	int fd = connect_to(name, SOCK_STREAM | SOCK_NONBLOCK);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EACCES || fd == -EAGAIN;
}

/* The next name that a control socket has; false: no more */
static bool next_name(DIR *dir, char name[HK_CONTROL_NAME])
{
	struct dirent *entry;
	size_t len;

	while (dir && (entry = readdir(dir))) {
		len = strlen(entry->d_name);
		if (len < sizeof(SUFFIX) || len - strlen(SUFFIX) >= HK_CONTROL_NAME ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX))
			continue;
		len -= strlen(SUFFIX);
		memcpy(name, entry->d_name, len);
		name[len] = '\0';
		if (hk_control_name_ok(name))
			return true;
	}
	return false;
}

/* The names of running daemons, ", " between them; false if there is none */
static bool list_daemons(char *text, size_t cap)
{
	DIR *dir = opendir(HK_RUN_DIR);
	char name[HK_CONTROL_NAME];
	size_t used = 0;

	*text = '\0';
	while (next_name(dir, name)) {
		if (used + strlen(name) + 8 > cap || !is_daemon(name))
			continue;
		used += sprintf(text + used, "%s%s", used ? ", " : "", name);
	}
	if (dir)
		closedir(dir);
	return used;
}

static int report_connect(const struct hk_cmd_env *env, int err)
{
	char names[512];

	if (err == -EACCES || err == -EPERM)
		return hk_cmd_fail(env, "daemon %s: %s; its socket is for root only", env->name,
				   strerror(-err));
	if (err == -EAGAIN)
		return hk_cmd_fail(env, "daemon %s: takes no connection for %d s; it hangs",
				   env->name, WAIT_S);
	if (err != -ENOENT && err != -ECONNREFUSED)
		return hk_cmd_fail(env, "daemon %s: %s", env->name, strerror(-err));
	if (list_daemons(names, sizeof(names)))
		return hk_cmd_fail(env, "no daemon %s is running; --name can be one of: %s",
				   env->name, names);
	return hk_cmd_fail(env, "no daemon %s is running; \"hooker run\" starts one", env->name);
}

static int send_request(int fd, const struct hk_cmd_env *env, const char *what)
{
	char request[HK_CONTROL_REQUEST];

	snprintf(request, sizeof(request), "show %s%s\n", what, env->json ? " json" : "");
	return hk_send_all(fd, request, strlen(request));
}

/* The first line without its newline, read byte by byte so as not to read beyond it */
static int recv_status(int fd, char status[STATUS_MAX])
{
	size_t len;
	ssize_t n;

	for (len = 0; len < STATUS_MAX; len++) {
		n = hk_read_all(fd, status + len, 1);
		if (n < 0)
			return n;
		if (!n)
			return -ECONNRESET;
		if (status[len] == '\n') {
			status[len] = '\0';
			return 0;
		}
	}
	return -EPROTO;
}

static int report_answer(const struct hk_cmd_env *env, int err)
{
	if (err == -EAGAIN)
		return hk_cmd_fail(env, "daemon %s: no answer for %d s; it hangs",
				   env->name, WAIT_S);
	if (err == -ECONNRESET || err == -EPIPE)
		return hk_cmd_fail(env, "daemon %s: ended before its answer was complete",
				   env->name);
	if (err == -EPROTO)
		return hk_cmd_fail(env, "daemon %s: answer not understood; another version?",
				   env->name);
	return hk_cmd_fail(env, "daemon %s: reading its answer: %s", env->name, strerror(-err));
}

static int print_body(const struct hk_cmd_env *env, int fd, size_t len)
{
	char *body = malloc(len + 1);
	ssize_t n;
	int ret;

	if (!body)
		return report_answer(env, -ENOMEM);
	n = hk_read_all(fd, body, len);
	if (n >= 0 && (size_t)n < len)
		n = -ECONNRESET;
	if (n < 0)
		ret = report_answer(env, n);
	else
		ret = hk_cmd_write(env, body, len);
	free(body);
	return ret;
}

static int ask(const struct hk_cmd_env *env, int fd, const char *what)
{
	char status[STATUS_MAX];
	unsigned long len;
	int err;

	err = send_request(fd, env, what);
	if (!err)
		err = recv_status(fd, status);
	if (err)
		return report_answer(env, err);
	if (!strncmp(status, "error ", 6))
		return hk_cmd_fail(env, "daemon %s: %s: %s", env->name, what, status + 6);
	if (strncmp(status, "ok ", 3) || hk_number_parse(status + 3, 0, HK_REPORT_MAX, &len))
		return report_answer(env, -EPROTO);
	return print_body(env, fd, len);
}

/**
 * hk_cmd_ask() - print a daemon's answer to "show"
 * @env:  global options
 * @what: object, as in hk_answer()
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_ask(const struct hk_cmd_env *env, const char *what)
{
	int fd = connect_to(env->name, SOCK_STREAM);
	int err;

	if (fd < 0)
		return report_connect(env, fd);
	err = ask(env, fd, what);
	close(fd);
	return err;
}

/* A daemon may refuse, and say so, before it has read all: so sending may fail first */
static int command(const struct hk_cmd_env *env, int fd, const char *what, const char *body,
		   size_t len, const char *prefix)
{
	char request[HK_CONTROL_REQUEST], status[STATUS_MAX];
	int sent, err;

	snprintf(request, sizeof(request), "do %s %zu\n", what, len);
	sent = hk_send_all(fd, request, strlen(request));
	if (!sent)
		sent = hk_send_all(fd, body, len);
	err = recv_status(fd, status);
	if (err)
		return report_answer(env, sent ?: err);
	if (!strncmp(status, "error ", 6))
		return hk_cmd_fail(env, "%s%s", prefix, status + 6);
	return strcmp(status, "ok 0") ? report_answer(env, -EPROTO) : HK_EXIT_OK;
}

/**
 * hk_cmd_tell() - let a daemon do something
 * @env:    global options
 * @what:   as in hk_rules_command()
 * @body:   what belongs to it
 * @len:    bytes
 * @prefix: of the daemon's message if it refuses
 *
 * Return: an exit code; the message has been printed.
 */
int hk_cmd_tell(const struct hk_cmd_env *env, const char *what, const char *body, size_t len,
		const char *prefix)
{
	int fd = connect_to(env->name, SOCK_STREAM);
	int err;

	if (fd < 0)
		return report_connect(env, fd);
	err = command(env, fd, what, body, len, prefix);
	close(fd);
	return err;
}

/**
 * hk_cmd_daemon_serves() - whether the named daemon runs, in this network namespace
 * @name: of the daemon
 *
 * Return: false also for a daemon of another network namespace.
 */
bool hk_cmd_daemon_serves(const char *name)
{
	int fd = connect_to(name, SOCK_STREAM);
	struct stat ours, theirs;
	struct ucred cred = {};
	socklen_t len = sizeof(cred);
	char path[40];

	if (fd < 0)
		return false;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", cred.pid);
	return !stat("/proc/self/ns/net", &ours) && !stat(path, &theirs) &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/**
 * hk_cmd_daemon_here() - find a daemon of this network namespace
 * @name: filled
 *
 * Return: false if there is none.
 */
bool hk_cmd_daemon_here(char name[HK_DAEMON_NAME])
{
	DIR *dir = opendir(HK_RUN_DIR);
	bool found = false;

	while (!found && next_name(dir, name))
		found = hk_cmd_daemon_serves(name);
	if (dir)
		closedir(dir);
	return found;
}
