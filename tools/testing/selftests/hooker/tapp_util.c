// SPDX-License-Identifier: GPL-2.0
/*
 * tapp: what client and server share beside the connection itself.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tapp.h"

#define THREAD_STACK	(256 << 10)

static const char *const result_names[TAPP_NR_RESULTS] = {
	[TAPP_OK] = "ok", [TAPP_OTHER] = "other", [TAPP_USAGE] = "usage", [TAPP_RESET] = "reset",
	[TAPP_EOF] = "eof", [TAPP_TIMEOUT] = "timeout", [TAPP_REFUSED] = "refused",
	[TAPP_UNREACHABLE] = "unreachable", [TAPP_MISMATCH] = "mismatch", [TAPP_PIPE] = "pipe",
};

const char *tapp_result_name(enum tapp_result result)
{
	return result < TAPP_NR_RESULTS ? result_names[result] : NULL;
}

/* Numeric address and port; NULL, and a message, if they are not. */
struct addrinfo *tapp_resolve(const char *host, const char *port)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *list;
	int err = getaddrinfo(host, port, &hints, &list);

	if (!err)
		return list;
	fprintf(stderr, "tapp: %s port %s: %s\n", host, port, gai_strerror(err));
	return NULL;
}

static void print_endpoint(char *text, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *sin6 = (const void *)ss;
	const struct sockaddr_in *sin = (const void *)ss;
	char addr[INET6_ADDRSTRLEN] = "?";

	if (ss->ss_family == AF_INET) {
		inet_ntop(AF_INET, &sin->sin_addr, addr, sizeof(addr));
		snprintf(text, TAPP_ENDPOINT_LEN, "%s:%u", addr, ntohs(sin->sin_port));
	} else {
		inet_ntop(AF_INET6, &sin6->sin6_addr, addr, sizeof(addr));
		snprintf(text, TAPP_ENDPOINT_LEN, "[%s]:%u", addr, ntohs(sin6->sin6_port));
	}
}

/* Writes "ADDRESS:PORT" of one end of a socket, at most TAPP_ENDPOINT_LEN octets. */
void tapp_endpoint(int fd, bool peer, char *text)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	int err;

	err = peer ? getpeername(fd, (struct sockaddr *)&ss, &len) :
		     getsockname(fd, (struct sockaddr *)&ss, &len);
	if (err)
		snprintf(text, TAPP_ENDPOINT_LEN, "unknown");
	else
		print_endpoint(text, &ss);
}

int tapp_thread_create(pthread_t *id, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	err = pthread_create(id, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -err;
}
