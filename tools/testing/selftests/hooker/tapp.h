/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tapp: the unmodified TCP application of the tests, shared declarations.
 *
 * tapp.c         command line
 * tapp_client.c  connections of the client and the report on them
 * tapp_server.c  listener and its connections
 * tapp_conn.c    the bytes of one connection, and how it ended
 * tapp_util.c    addresses, threads
 */
#ifndef TAPP_H
#define TAPP_H

#include <linux/types.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define TAPP_NSEC_PER_SEC	1000000000ULL
#define TAPP_MAX_CHUNK		(4U << 20)
#define TAPP_ENDPOINT_LEN	(INET6_ADDRSTRLEN + 16)

/* Three patterns that have nothing in common within any length a test would use. */
#define TAPP_SEED_UP		1
#define TAPP_SEED_DOWN		(1ULL << 40)
#define TAPP_SEED_GREET		(1ULL << 41)
#define TAPP_SEED_LANE(lane)	((__u64)(lane) << 32)	/* to be added */

/* How a connection ended, as exit status; 4 is left out, it means "skipped" to kselftest. */
enum tapp_result {
	TAPP_OK			= 0,
	TAPP_OTHER		= 1,
	TAPP_USAGE		= 2,
	TAPP_RESET		= 3,
	TAPP_EOF		= 5,	/* before all bytes were there */
	TAPP_TIMEOUT		= 6,	/* nothing happened for too long */
	TAPP_REFUSED		= 7,
	TAPP_UNREACHABLE	= 8,
	TAPP_MISMATCH		= 9,	/* wrong bytes, or more than were expected */
	TAPP_PIPE		= 10,
	TAPP_NR_RESULTS
};

/* What a side does when it has sent everything (TAPP_FIN) or also received everything. */
enum tapp_end {
	TAPP_FIN,	/* shutdown(SHUT_WR), read until EOF, close */
	TAPP_CLOSE,	/* close without waiting for the peer's EOF */
	TAPP_RST,	/* SO_LINGER 0 and close */
};

/*
 * struct tapp_role - what one side of a connection does
 * @send_bytes:   how much of its pattern it sends
 * @cut_bytes:    end at once after so many bytes sent and received together; 0: do not
 * @pause_bytes:  stop reading after so many bytes,
 * @pause_ms:     for so long; 0: do not
 * @idle_ms:      wait before sending anything
 * @write_size:   bytes per send()
 * @read_size:    bytes per recv()
 * @end:          enum tapp_end
 * @after_eof:    send only when the peer has closed its direction
 * @until_eof:    stop sending then; how many bytes come is the peer's choice
 * @blocking:     blocking calls, one direction after the other; else edge-triggered epoll
 * @echo:         send back what comes in, @send_bytes is not used
 * @send_first:   with blocking calls: send everything, then receive
 * @count_bad:    wrong bits are counted, and are no reason to end
 * @lane:         connections with different numbers have different patterns
 * @after_byte:   send only when something came from the peer
 */
struct tapp_role {
	__u64	send_bytes, cut_bytes, pause_bytes;
	__u32	pause_ms, idle_ms, write_size, read_size;
	__u8	after_eof : 1, until_eof : 1;
	__u8	end, blocking, echo, send_first, count_bad, lane, after_byte;
};

/*
 * struct tapp_request - first bytes on a connection: what the server is to do
 *
 * In memory layout: both ends are the same program on the same machine.
 */
struct tapp_request {
	__u32			magic, size;
	__u64			up_bytes;
	struct tapp_role	server;
};

#define TAPP_MAGIC	0x74617070
_Static_assert(sizeof(struct tapp_request) == 64, "tests count the bytes on the wire");

/*
 * struct tapp_conn - one connection while it lasts, and what is known of it afterwards
 * @fd:            socket; owned by the caller of tapp_conn_run()
 * @recv_expected: bytes that have to come before EOF
 * @timeout_ms:    longest wait without progress
 * @go_file:       do not begin before it exists; NULL: at once
 * @until_file:    send till it exists, and don't end before; NULL: all there is
 * @send_seed:     pattern sent; @recv_seed likewise
 * @stall_max_ns:  longest time in which no byte could be sent
 * @stall_bytes:   how many had been accepted when that began
 * @tx_waits:      how often sending had to wait
 * @bad_bits:      received that were wrong
 * @first_byte_ns: time of the first byte received, 0 if none came
 */
struct tapp_conn {
	struct tapp_role	role;
	__u64			recv_expected, send_seed, recv_seed;
	__u64			sent, received, stall_max_ns, stall_bytes, tx_waits, first_byte_ns;
	__u64			bad_bits;
	__u64			stall_start_ns, pause_end_ns;
	int			fd, epoll_fd;
	unsigned int		timeout_ms;
	const char		*go_file, *until_file;
	bool			got_eof, can_send, can_recv, fin_sent;
	__u8			*buf, *check;
};

/*
 * struct tapp_options - the command line
 * @up_bytes:     client to server, @down_bytes the other way
 * @greet_bytes:  sent by the server before it has read anything; both sides must know
 * @nr_threads:   connections at the same time
 * @nr_conns:     client: one after the other per thread; server: exit after so many, 0: never
 * @nr_rr:        number of requests, 0: bulk transfer
 * @hold_ms:      client: time between the end of the transfer and close()
 */
struct tapp_options {
	struct tapp_role	client, server;
	__u64			up_bytes, down_bytes, greet_bytes;
	unsigned int		nr_threads, nr_conns, nr_rr, timeout_ms, hold_ms;
	const char		*bind_addr, *host, *port, *go_file, *until_file;
};

int	tapp_client(const struct tapp_options *opts);
int	tapp_server(const struct tapp_options *opts);

struct addrinfo;
struct addrinfo	*tapp_resolve(const char *host, const char *port);
void	tapp_endpoint(int fd, bool peer, char *text);
int	tapp_thread_create(pthread_t *id, void *(*fn)(void *arg), void *arg);
const char	*tapp_result_name(enum tapp_result result);

enum tapp_result	tapp_conn_run(struct tapp_conn *conn);
enum tapp_result	tapp_conn_rr(struct tapp_conn *conn, unsigned int nr, __u64 *rtt_ns);
enum tapp_result	tapp_send_all(int fd, const void *data, size_t len);
enum tapp_result	tapp_recv_all(int fd, void *data, size_t len);
enum tapp_result	tapp_send_pattern(int fd, __u64 seed, __u64 len);
enum tapp_result	tapp_recv_pattern(int fd, __u64 seed, __u64 len);
enum tapp_result	tapp_errno_result(int err);
int	tapp_set_timeouts(int fd, unsigned int timeout_ms);
__u64	tapp_now_ns(void);

#endif /* TAPP_H */
