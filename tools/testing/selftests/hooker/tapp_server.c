// SPDX-License-Identifier: GPL-2.0
/*
 * tapp: the server. A thread per connection does what the client's request asks for and
 * prints one line about it.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tapp.h"

/*
 * struct server - shared by the connections' threads
 * @lock:  guards @worst, @nr_ended and stdout
 */
struct server {
	const struct tapp_options	*opts;
	pthread_mutex_t			lock;
	pthread_cond_t			ended;
	unsigned int			nr_ended;
	enum tapp_result		worst;
};

struct server_conn {
	struct server	*server;
	unsigned int	nr;
	int		fd;
};

static enum tapp_result serve(const struct tapp_options *opts, struct tapp_conn *conn)
{
	struct tapp_request request;
	enum tapp_result result;

	if (tapp_set_timeouts(conn->fd, opts->timeout_ms))
		return TAPP_OTHER;
	result = tapp_send_pattern(conn->fd, TAPP_SEED_GREET, opts->greet_bytes);
	if (result == TAPP_OK)
		result = tapp_recv_all(conn->fd, &request, sizeof(request));
	if (result != TAPP_OK)
		return result;
	if (request.magic != TAPP_MAGIC || request.size != sizeof(request) ||
	    request.server.write_size > TAPP_MAX_CHUNK ||
	    request.server.read_size > TAPP_MAX_CHUNK)
		return TAPP_MISMATCH;
	conn->role = request.server;
	conn->recv_expected = request.up_bytes;
	conn->send_seed = TAPP_SEED_DOWN + TAPP_SEED_LANE(conn->role.lane);
	conn->recv_seed = TAPP_SEED_UP + TAPP_SEED_LANE(conn->role.lane);
	conn->timeout_ms = opts->timeout_ms;
	return tapp_conn_run(conn);
}

static void print_conn(const struct tapp_conn *conn, unsigned int nr, enum tapp_result result)
{
	printf("conn=%u result=%s recv_bytes=%llu sent_bytes=%llu", nr, tapp_result_name(result),
	       (unsigned long long)conn->received, (unsigned long long)conn->sent);
	printf(" stall_max_ms=%llu stall_at_bytes=%llu bad_bits=%llu",
	       (unsigned long long)conn->stall_max_ns / 1000000,
	       (unsigned long long)conn->stall_bytes, (unsigned long long)conn->bad_bits);
}

static void *server_main(void *arg)
{
	char local[TAPP_ENDPOINT_LEN], peer[TAPP_ENDPOINT_LEN];
	struct server_conn *sc = arg;
	struct server *server = sc->server;
	struct tapp_conn conn = { .fd = sc->fd };
	enum tapp_result result;

	tapp_endpoint(conn.fd, false, local);
	tapp_endpoint(conn.fd, true, peer);
	result = serve(server->opts, &conn);
	close(conn.fd);
	pthread_mutex_lock(&server->lock);
	print_conn(&conn, sc->nr, result);
	printf(" local=%s peer=%s\n", local, peer);
	fflush(stdout);
	if (result > server->worst)
		server->worst = result;
	server->nr_ended++;
	pthread_cond_signal(&server->ended);
	pthread_mutex_unlock(&server->lock);
	free(sc);
	return NULL;
}

static int accept_one(struct server *server, int listen_fd, unsigned int nr)
{
	struct server_conn *sc = malloc(sizeof(*sc));
	pthread_t id;
	int err;

	if (!sc)
		return -ENOMEM;
	sc->server = server;
	sc->nr = nr;
	do {
		sc->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		err = sc->fd < 0 ? -errno : 0;
	} while (err == -EINTR || err == -ECONNABORTED);
	if (!err)
		err = tapp_thread_create(&id, server_main, sc);
	if (!err)
		return pthread_detach(id);
	if (sc->fd >= 0)
		close(sc->fd);
	free(sc);
	return err;
}

static int open_listener(const struct tapp_options *opts)
{
	struct addrinfo *addr = tapp_resolve(opts->bind_addr ? opts->bind_addr : "::", opts->port);
	char endpoint[TAPP_ENDPOINT_LEN];
	int one = 1, fd, err;

	if (!addr)
		return -EINVAL;
	fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, addr->ai_addr, addr->ai_addrlen) || listen(fd, 4096)) {
		err = -errno;
		close(fd);
		return err;
	}
	freeaddrinfo(addr);
	tapp_endpoint(fd, false, endpoint);
	printf("tapp: ready port=%s\n", strrchr(endpoint, ':') + 1);
	fflush(stdout);
	return fd;
}

int tapp_server(const struct tapp_options *opts)
{
	struct server server = {
		.opts = opts, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER,
	};
	int fd = open_listener(opts), err = 0;
	unsigned int nr;

	if (fd < 0) {
		fprintf(stderr, "tapp: cannot listen on port %s: %s\n", opts->port, strerror(-fd));
		return TAPP_OTHER;
	}
	for (nr = 1; !err && (!opts->nr_conns || nr <= opts->nr_conns); nr++)
		err = accept_one(&server, fd, nr);
	close(fd);
	if (err) {
		fprintf(stderr, "tapp: accept: %s\n", strerror(-err));
		return TAPP_OTHER;
	}
	pthread_mutex_lock(&server.lock);
	while (server.nr_ended < opts->nr_conns)
		pthread_cond_wait(&server.ended, &server.lock);
	pthread_mutex_unlock(&server.lock);
	return server.worst;
}
