// SPDX-License-Identifier: GPL-2.0
/*
 * hooker show: asks a running daemon. The whole answer is read before any of it is
 * printed, so that half an answer never looks like a whole one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "cmd.h"
#include "../relay/control.h"
#include "../relay/relay.h"

#define WAIT_S		HK_CONTROL_TIMEOUT_S
#define STATUS_MAX	64	/* bytes of the answer's first line */
#define SUFFIX		".sock"

const char *const hk_show_words[] = { "flows", "peers", "stats", NULL };

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

/* The names of running daemons, ", " between them; false if there is none */
static bool list_daemons(char *text, size_t cap)
{
	DIR *dir = opendir(HK_RUN_DIR);
	char name[HK_CONTROL_NAME];
	struct dirent *entry;
	size_t len, used = 0;

	*text = '\0';
	while (dir && (entry = readdir(dir))) {
		len = strlen(entry->d_name);
		if (len < sizeof(SUFFIX) || len - strlen(SUFFIX) >= sizeof(name) ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX))
			continue;
		len -= strlen(SUFFIX);
		memcpy(name, entry->d_name, len);
		name[len] = '\0';
		if (used + len + 8 > cap || !hk_control_name_ok(name) || !is_daemon(name))
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
	int len = snprintf(request, sizeof(request), "show %s%s\n", what, env->json ? " json" : "");
	ssize_t n = send(fd, request, len, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return n == len ? 0 : -EIO;
}

/* Up to @cap bytes, fewer only at the end of the stream */
static ssize_t recv_all(int fd, char *buf, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap) {
		n = recv(fd, buf + len, cap - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += n;
	}
	return len;
}

/* The first line without its newline, read byte by byte so as not to read beyond it */
static int recv_status(int fd, char status[STATUS_MAX])
{
	size_t len;
	ssize_t n;

	for (len = 0; len < STATUS_MAX; len++) {
		n = recv_all(fd, status + len, 1);
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
	n = recv_all(fd, body, len);
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

static bool word_is_known(const char *word)
{
	unsigned int i;

	for (i = 0; hk_show_words[i]; i++) {
		if (!strcmp(word, hk_show_words[i]))
			return true;
	}
	return false;
}

/**
 * hk_cmd_show() - hooker show
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code.
 */
int hk_cmd_show(struct hk_cmd_env *env, int argc, char **argv)
{
	int err, fd;

	err = hk_cmd_options(env, NULL, NULL, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("show"));
	if (!argc)
		return hk_cmd_usage(env, "nothing named to show; choose flows, peers or stats");
	if (!word_is_known(argv[0]))
		return hk_cmd_usage(env, "%s: not one of flows, peers, stats", argv[0]);
	err = hk_cmd_no_arguments(env, argc - 1, argv + 1);
	if (err)
		return err;

	fd = connect_to(env->name, SOCK_STREAM);
	if (fd < 0)
		return report_connect(env, fd);
	err = ask(env, fd, argv[0]);
	close(fd);
	return err;
}
