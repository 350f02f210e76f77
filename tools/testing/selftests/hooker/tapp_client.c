// SPDX-License-Identifier: GPL-2.0
/*
 * tapp: the client. Threads make connections one after the other; what became of each
 * is kept until the end and reported as lines of key=value.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tapp.h"

/*
 * struct outcome - one connection of the client
 * @rr_ns: nr_rr round trips, or NULL
 */
struct outcome {
	enum tapp_result	result;
	__u64			connect_ns, first_byte_ns, total_ns;
	__u64			sent, received, stall_max_ns, stall_bytes, tx_waits, bad_bits;
	__u64			*rr_ns;
	char			local[TAPP_ENDPOINT_LEN];
};

struct client_thread {
	pthread_t			id;
	const struct tapp_options	*opts;
	const struct addrinfo		*addr;
	struct outcome			*outcomes;
	__u8				lane;
};

static int bind_client(int fd, const struct tapp_options *opts)
{
	struct addrinfo *local;
	int err;

	if (!opts->bind_addr)
		return 0;
	local = tapp_resolve(opts->bind_addr, "0");
	if (!local)
		return -EINVAL;
	err = bind(fd, local->ai_addr, local->ai_addrlen) ? -errno : 0;
	freeaddrinfo(local);
	return err;
}

static enum tapp_result connect_client(int fd, const struct tapp_options *opts,
				       const struct addrinfo *addr, struct outcome *out)
{
	__u64 start_ns;
	int one = 1;

	if (bind_client(fd, opts) || tapp_set_timeouts(fd, opts->timeout_ms))
		return TAPP_OTHER;
	start_ns = tapp_now_ns();
	if (connect(fd, addr->ai_addr, addr->ai_addrlen))
		return tapp_errno_result(errno);
	out->connect_ns = tapp_now_ns() - start_ns;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	tapp_endpoint(fd, false, out->local);
	return TAPP_OK;
}

static enum tapp_result begin_client(int fd, const struct tapp_options *opts, __u8 lane)
{
	struct tapp_request request = {
		.magic = TAPP_MAGIC, .size = sizeof(request), .up_bytes = opts->up_bytes,
		.server = opts->server,
	};
	enum tapp_result result;

	request.server.lane = lane;
	result = tapp_recv_pattern(fd, TAPP_SEED_GREET, opts->greet_bytes);
	if (result != TAPP_OK)
		return result;
	return tapp_send_all(fd, &request, sizeof(request));
}

static void run_client(int fd, const struct tapp_options *opts, __u8 lane, struct outcome *out)
{
	struct tapp_conn conn = {
		.role = opts->client, .fd = fd, .timeout_ms = opts->timeout_ms,
		.go_file = opts->go_file, .until_file = opts->until_file,
		.recv_expected = opts->down_bytes, .send_seed = TAPP_SEED_UP,
		.recv_seed = opts->server.echo ? TAPP_SEED_UP : TAPP_SEED_DOWN,
	};

	conn.send_seed += TAPP_SEED_LANE(lane);
	conn.recv_seed += TAPP_SEED_LANE(lane);
	out->result = begin_client(fd, opts, lane);
	if (out->result != TAPP_OK)
		return;
	if (opts->nr_rr)
		out->result = tapp_conn_rr(&conn, opts->nr_rr, out->rr_ns);
	else
		out->result = tapp_conn_run(&conn);
	out->first_byte_ns = conn.first_byte_ns;
	out->sent = conn.sent;
	out->received = conn.received;
	out->stall_max_ns = conn.stall_max_ns;
	out->stall_bytes = conn.stall_bytes;
	out->tx_waits = conn.tx_waits;
	out->bad_bits = conn.bad_bits;
}

static void one_connection(const struct tapp_options *opts, const struct addrinfo *addr,
			   __u8 lane, struct outcome *out)
{
	int fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	__u64 start_ns = tapp_now_ns();

	out->result = TAPP_OTHER;
	if (fd < 0)
		return;
	out->result = connect_client(fd, opts, addr, out);
	if (out->result == TAPP_OK)
		run_client(fd, opts, lane, out);
	if (out->first_byte_ns)
		out->first_byte_ns -= start_ns;
	out->total_ns = tapp_now_ns() - start_ns;
	if (opts->hold_ms)
		usleep(opts->hold_ms * 1000);
	close(fd);
}

static void *client_main(void *arg)
{
	struct client_thread *thread = arg;
	unsigned int i;

	for (i = 0; i < thread->opts->nr_conns; i++)
		one_connection(thread->opts, thread->addr, thread->lane, &thread->outcomes[i]);
	return NULL;
}

static int compare_u64(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return (x > y) - (x < y);
}

static void print_times(const char *name, __u64 *ns, size_t nr)
{
	if (!nr)
		return;
	qsort(ns, nr, sizeof(*ns), compare_u64);
	printf("%s_us=%llu\n", name, (unsigned long long)ns[nr / 2] / 1000);
	if (nr == 1)
		return;
	printf("%s_us_min=%llu\n", name, (unsigned long long)ns[0] / 1000);
	printf("%s_us_p99=%llu\n", name, (unsigned long long)ns[nr * 99 / 100] / 1000);
	printf("%s_us_max=%llu\n", name, (unsigned long long)ns[nr - 1] / 1000);
}

/* Prints the distribution of one member over the connections that ended well. */
static void report_times(const struct outcome *outs, size_t nr, const char *name, size_t offset)
{
	__u64 *ns = calloc(nr, sizeof(*ns)), value;
	size_t i, used = 0;

	for (i = 0; ns && i < nr; i++) {
		value = *(const __u64 *)((const char *)&outs[i] + offset);
		if (value)
			ns[used++] = value;
	}
	if (ns)
		print_times(name, ns, used);
	free(ns);
}

static void report_rr(const struct outcome *outs, size_t nr, unsigned int nr_rr)
{
	__u64 *ns = calloc(nr * nr_rr + 1, sizeof(*ns));
	size_t i, used = 0;

	for (i = 0; ns && i < nr; i++) {
		if (outs[i].result != TAPP_OK)
			continue;
		memcpy(ns + used, outs[i].rr_ns, nr_rr * sizeof(*ns));
		used += nr_rr;
	}
	if (ns)
		print_times("rr", ns, used);
	free(ns);
}

static void report_sums(const struct outcome *outs, size_t nr)
{
	const struct outcome *longest = outs;
	__u64 sent = 0, received = 0, waits = 0, bad_bits = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		sent += outs[i].sent;
		received += outs[i].received;
		waits += outs[i].tx_waits;
		bad_bits += outs[i].bad_bits;
		if (outs[i].stall_max_ns > longest->stall_max_ns)
			longest = &outs[i];
	}
	printf("sent_bytes=%llu\nverified_bytes=%llu\ntx_waits=%llu\n", (unsigned long long)sent,
	       (unsigned long long)received, (unsigned long long)waits);
	printf("bad_bits=%llu\n", (unsigned long long)bad_bits);
	printf("stall_max_ms=%llu\nstall_at_bytes=%llu\n",
	       (unsigned long long)longest->stall_max_ns / 1000000,
	       (unsigned long long)longest->stall_bytes);
}

/* Returns the worst result: the highest number, but any failure before success. */
static enum tapp_result report_results(const struct outcome *outs, size_t nr)
{
	unsigned int counts[TAPP_NR_RESULTS] = { 0 };
	enum tapp_result worst = TAPP_OK;
	int result;
	size_t i;

	for (i = 0; i < nr; i++)
		counts[outs[i].result]++;
	for (result = 0; result < TAPP_NR_RESULTS; result++)
		if (counts[result])
			worst = result;
	printf("result=%s\nconns=%zu\n", tapp_result_name(worst), nr);
	for (result = 0; result < TAPP_NR_RESULTS; result++)
		if (tapp_result_name(result) && (counts[result] || result == TAPP_OK))
			printf("conns_%s=%u\n", tapp_result_name(result), counts[result]);
	return worst;
}

static enum tapp_result report(const struct tapp_options *opts, const struct outcome *outs,
			       __u64 wall_ns)
{
	size_t nr = (size_t)opts->nr_threads * opts->nr_conns;
	enum tapp_result worst = report_results(outs, nr);
	struct rusage usage;

	report_times(outs, nr, "connect", offsetof(struct outcome, connect_ns));
	report_times(outs, nr, "first_byte", offsetof(struct outcome, first_byte_ns));
	report_times(outs, nr, "total", offsetof(struct outcome, total_ns));
	if (opts->nr_rr)
		report_rr(outs, nr, opts->nr_rr);
	report_sums(outs, nr);
	printf("local=%s\nwall_us=%llu\n", outs[nr - 1].local, (unsigned long long)wall_ns / 1000);
	if (!getrusage(RUSAGE_SELF, &usage))
		printf("cpu_ms=%ld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
		       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
	return worst;
}

static int run_threads(const struct tapp_options *opts, const struct addrinfo *addr,
		       struct outcome *outs)
{
	struct client_thread *threads = calloc(opts->nr_threads, sizeof(*threads));
	unsigned int i, nr_started;
	int err = 0;

	if (!threads)
		return -ENOMEM;
	for (i = 0; i < opts->nr_threads && !err; i++) {
		threads[i].opts = opts;
		threads[i].addr = addr;
		threads[i].outcomes = outs + (size_t)i * opts->nr_conns;
		threads[i].lane = opts->client.count_bad ? i : 0;
		err = tapp_thread_create(&threads[i].id, client_main, &threads[i]);
	}
	nr_started = err ? i - 1 : i;
	for (i = 0; i < nr_started; i++)
		pthread_join(threads[i].id, NULL);
	free(threads);
	return err;
}

static void free_outcomes(const struct tapp_options *opts, struct outcome *outs)
{
	size_t nr = (size_t)opts->nr_threads * opts->nr_conns, i;

	for (i = 0; outs && i < nr; i++)
		free(outs[i].rr_ns);
	free(outs);
}

static struct outcome *alloc_outcomes(const struct tapp_options *opts)
{
	size_t nr = (size_t)opts->nr_threads * opts->nr_conns, i;
	struct outcome *outs = calloc(nr, sizeof(*outs));

	for (i = 0; outs && opts->nr_rr && i < nr; i++) {
		outs[i].rr_ns = calloc(opts->nr_rr, sizeof(__u64));
		if (outs[i].rr_ns)
			continue;
		free_outcomes(opts, outs);
		return NULL;
	}
	return outs;
}

static int run_and_report(const struct tapp_options *opts, const struct addrinfo *addr)
{
	struct outcome *outs = alloc_outcomes(opts);
	__u64 start_ns = tapp_now_ns();
	int result = TAPP_OTHER;

	if (!outs || run_threads(opts, addr, outs))
		fprintf(stderr, "tapp: cannot start %u connections\n", opts->nr_threads);
	else
		result = report(opts, outs, tapp_now_ns() - start_ns);
	free_outcomes(opts, outs);
	return result;
}

int tapp_client(const struct tapp_options *opts)
{
	struct addrinfo *addr = tapp_resolve(opts->host, opts->port);
	int result;

	if (!addr)
		return TAPP_USAGE;
	result = run_and_report(opts, addr);
	freeaddrinfo(addr);
	return result;
}
