// SPDX-License-Identifier: GPL-2.0
/*
 * A client of the control socket sends the input, in as many pieces as its first byte
 * says, and reads what it gets: one complete answer or none, and then the end. There
 * is no file and no listening socket; the client is there from the start.
 */
#include <fcntl.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "fuzz.h"

#include "relay/control.h"

#define MAX_ANSWER	4096
#define MAX_TURNS	64	/* pieces of the request, of the answer, the end */

static int nr_asked;

/* Two objects, one with text that has to be escaped; all others are unknown */
static int answer(void *priv, const char *what, struct hk_report *r)
{
	FUZZ_CHECK(what[0] && !strpbrk(what, " \n./\"\\"));
	FUZZ_CHECK(strlen(what) < HK_CONTROL_REQUEST);
	(void)priv;
	nr_asked++;
	if (strcmp(what, "flows") && strcmp(what, "stats"))
		return what[0] == 'x' ? -EIO : -ENOENT;
	hk_report_array(r, what);
	hk_report_object(r);
	hk_report_str(r, "name", "a \"quoted\"\n\\ \x01 name");
	hk_report_u64(r, "bytes", ~0ULL);
	hk_report_end(r);
	hk_report_end(r);
	return 0;
}

static struct hk_control *control(void)
{
	static struct hk_control ctl;
	unsigned int i;

	if (ctl.epoll_fd > 0)
		return &ctl;
	ctl.listen_fd = -1;
	ctl.lock_fd = -1;
	ctl.listening = true;
	for (i = 0; i < HK_CONTROL_CLIENTS; i++)
		ctl.clients[i].fd = -1;
	ctl.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ctl.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	FUZZ_CHECK(ctl.epoll_fd > 0 && ctl.timer_fd > 0);
	return &ctl;
}

/* As accept_clients() would; returns the client's own end */
static int connect_client(struct hk_control *ctl)
{
	struct hk_control_client *client = &ctl->clients[0];
	struct epoll_event ev = { .events = EPOLLIN };
	int fd[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd));
	FUZZ_CHECK(client->fd < 0);
	client->fd = fd[1];
	client->deadline_ns = ~0ULL;
	client->request_len = 0;
	client->answering = false;
	client->status_len = 0;
	client->sent = 0;
	hk_report_init(&client->answer, false);
	ev.data.u64 = (__u64)client->gen << 32;
	FUZZ_CHECK(!epoll_ctl(ctl->epoll_fd, EPOLL_CTL_ADD, fd[1], &ev));
	return fd[0];
}

/*
 * "ok LENGTH" and so many bytes, "error REASON", or nothing to a client that left early. A
 * command announces how much follows its line, so there it may have left early behind that.
 */
static void check_answer(const char *text, size_t len, bool complete, bool command)
{
	const char *newline = memchr(text, '\n', len);
	size_t rest = newline ? len - (newline + 1 - text) : 0;

	if (!len) {
		FUZZ_CHECK(!complete || command);
		return;
	}
	FUZZ_CHECK(newline && complete);
	if (!strncmp(text, "ok ", 3))
		FUZZ_CHECK(strtoul(text + 3, NULL, 10) == rest);
	else
		FUZZ_CHECK(!strncmp(text, "error ", 6) && !rest);
}

static size_t talk(struct hk_control *ctl, int fd, const __u8 *data, size_t size, size_t piece,
		   char *text)
{
	const struct hk_control_client *client = &ctl->clients[0];
	size_t len = 0, done = 0;
	ssize_t nr;
	int i;

	for (i = 0; i < MAX_TURNS && client->fd >= 0; i++) {
		if (done < size && !client->answering) {
			piece = piece < size - done ? piece : size - done;
			FUZZ_CHECK(send(fd, data + done, piece, MSG_NOSIGNAL) == (ssize_t)piece);
			done += piece;
		} else if (!client->answering) {
			shutdown(fd, SHUT_WR);
		}
		hk_control_handle(ctl, answer, NULL);
		nr = recv(fd, text + len, MAX_ANSWER - len, 0);
		if (nr > 0)
			len += nr;
	}
	FUZZ_CHECK(client->fd < 0);
	return len;
}

int fuzz_control(const __u8 *data, size_t size)
{
	struct hk_control *ctl = control();
	char text[MAX_ANSWER + 1] = "";
	size_t len, piece;
	bool complete, command;
	int fd;

	if (!size || size > 2 * HK_CONTROL_REQUEST)
		return 0;
	piece = 16 + *data++;
	size--;
	complete = size >= HK_CONTROL_REQUEST || memchr(data, '\n', size);
	command = size >= 3 && !memcmp(data, "do ", 3);
	nr_asked = 0;
	fd = connect_client(ctl);
	len = talk(ctl, fd, data, size, piece, text);
	check_answer(text, len, complete, command);
	FUZZ_CHECK(nr_asked <= 1);
	close(fd);
	return 0;
}
