// SPDX-License-Identifier: GPL-2.0
/*
 * Packet rate of the native UDP-Lite socket, and of AF_XDP beside it, between two
 * network namespaces with a veth pair. The receiver is the same for both, the kernel's
 * UDP-Lite socket; it counts. Rounds are interleaved, so that whatever disturbs the
 * machine disturbs both alike.
 *
 * Time of the CPU, of sender and receiver with what the kernel did in their name, is the
 * less noisy number where other programs run.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include "../../../hooker/carrier/carrier.h"
#include "../../../hooker/carrier/xsk.h"
#include "../../../hooker/tcp/addr.h"
#include "netns.h"

#define ADDR_A		"10.9.3.1"
#define ADDR_B		"10.9.3.2"
#define MAX_ROUNDS	50
#define MAX_LEN		1472
#define BUF_LEN		2048
#define SOCKET_BUF	(4 << 20)
#define WARM_UP_NS	100000000ULL

enum { BY_SOCKET, BY_XSK, NR_WAYS };
enum { RATE, SENT, CPU, SENDER_CPU, NR_FIGURES };

static const char * const ways[NR_WAYS] = { "native socket", "AF_XDP" };

/*
 * What the processes share
 * @received: datagrams, ever
 * @wrong:    of them, those with another length than they were sent with
 * @port:     the receiver's, network byte order
 */
struct shared {
	__u64	received, wrong;
	__be16	port;
};

/*
 * @len:     bytes of a datagram
 * @rounds:  of them
 * @ms:      of each
 * @figures: results
 */
struct bench {
	__u32		len;
	unsigned int	rounds, ms;
	bool		zerocopy;
	struct shared	*shared;
	pid_t		receiver;
	struct hk_carrier carriers[NR_WAYS];
	double		figures[NR_WAYS][NR_FIGURES][MAX_ROUNDS];
};

static void die(const char *what, int err)
{
	fprintf(stderr, "bench_xsk: %s: %s\n", what, strerror(-err));
	exit(1);
}

static __u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static __u64 cpu_ns(pid_t pid)
{
	clockid_t id;

	return clock_getcpuclockid(pid, &id) ? 0 : clock_ns(id);
}

static void receive(struct hk_carrier *c, struct shared *shared, __u32 expected)
{
	static __u8 bufs[HK_CARRIER_BATCH][BUF_LEN];
	struct hk_datagram dgrams[HK_CARRIER_BATCH];
	struct pollfd pfd = { .fd = c->fd[0], .events = POLLIN };
	int i, n;

	for (;;) {
		for (i = 0; i < HK_CARRIER_BATCH; i++) {
			dgrams[i].data = bufs[i];
			dgrams[i].len = BUF_LEN;
		}
		n = c->ops->recv(c, 0, dgrams, HK_CARRIER_BATCH);
		for (i = 0; i < n; i++)
			shared->wrong += dgrams[i].len != expected;
		if (n > 0)
			__atomic_fetch_add(&shared->received, n, __ATOMIC_RELAXED);
		else
			poll(&pfd, 1, 1000);
	}
}

/* Ends with its parent */
static void start_receiver(struct bench *b, int ns)
{
	struct hk_carrier_config config = { .rcvbuf = SOCKET_BUF };
	struct hk_carrier c;
	int err;

	if (setns(ns, CLONE_NEWNET))
		die("setns", -errno);
	err = hk_carrier_open(&c, "udplite", &config);
	if (err)
		die("UDP-Lite socket of the receiver", err);
	b->shared->port = c.port;
	b->receiver = fork();
	if (b->receiver)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	receive(&c, b->shared, b->len);
}

static void set_up(struct bench *b)
{
	struct hk_carrier_config config = { .sndbuf = SOCKET_BUF };
	int ns_a, ns_b, err = 0, i;

	if (netns_enter_new())
		die("network namespace (needs root)", -EPERM);
	ns_b = netns_open();
	if (netns_enter_new())
		die("network namespace", -EPERM);
	ns_a = netns_open();
	if (netns_run("ip link add va index 10 type veth peer name vb index 11 netns /proc/%d/fd/%d",
		      getpid(), ns_b) || netns_run("ip link set va up") ||
	    netns_add_addr(ADDR_A, 24, "va") || setns(ns_b, CLONE_NEWNET) ||
	    netns_run("ip link set vb up") || netns_add_addr(ADDR_B, 24, "vb"))
		die("veth pair", -EIO);
	start_receiver(b, ns_b);
	if (setns(ns_a, CLONE_NEWNET) || netns_wait_up("va"))
		die("setns", -EIO);
	for (i = 0; i < NR_WAYS && !err; i++)
		err = hk_carrier_open(&b->carriers[i], "udplite", &config);
	if (!err)
		err = hk_xsk_wrap(&b->carriers[BY_XSK], 0, b->zerocopy);
	if (err)
		die("carrier", err);
}

static void fill_batch(const struct bench *b, struct hk_datagram *dgrams)
{
	static __u8 data[HK_CARRIER_BATCH][MAX_LEN];
	__be32 local = inet_addr(ADDR_A), remote = inet_addr(ADDR_B);
	int i;

	memset(dgrams, 0, HK_CARRIER_BATCH * sizeof(*dgrams));
	for (i = 0; i < HK_CARRIER_BATCH; i++) {
		memset(data[i], i, sizeof(data[i]));
		hk_addr_map(dgrams[i].path.local, local);
		hk_addr_map(dgrams[i].path.remote, remote);
		dgrams[i].path.rport = b->shared->port;
		dgrams[i].data = data[i];
		dgrams[i].len = b->len;
	}
}

/* Returns how many were sent */
static __u64 send_for(struct bench *b, struct hk_carrier *c, __u64 ns)
{
	struct pollfd pfd = { .fd = c->fd[0], .events = POLLOUT };
	struct hk_datagram dgrams[HK_CARRIER_BATCH];
	__u64 end = clock_ns(CLOCK_MONOTONIC) + ns, sent = 0;
	int head, n;

	fill_batch(b, dgrams);
	while (clock_ns(CLOCK_MONOTONIC) < end) {
		for (head = 0; head < HK_CARRIER_BATCH; head += n) {
			n = c->ops->send(c, dgrams + head, HK_CARRIER_BATCH - head);
			if (n <= 0) {
				poll(&pfd, 1, 10);
				n = 0;
			}
			sent += n;
		}
	}
	return sent;
}

static void run(struct bench *b, int way, unsigned int round)
{
	double (*f)[MAX_ROUNDS] = b->figures[way];
	__u64 received, sent, ns, sender_ns, receiver_ns;

	send_for(b, &b->carriers[way], WARM_UP_NS);
	received = __atomic_load_n(&b->shared->received, __ATOMIC_RELAXED);
	sender_ns = cpu_ns(getpid());
	receiver_ns = cpu_ns(b->receiver);
	ns = clock_ns(CLOCK_MONOTONIC);
	sent = send_for(b, &b->carriers[way], b->ms * 1000000ULL);
	ns = clock_ns(CLOCK_MONOTONIC) - ns;
	sender_ns = cpu_ns(getpid()) - sender_ns;
	receiver_ns = cpu_ns(b->receiver) - receiver_ns;
	received = __atomic_load_n(&b->shared->received, __ATOMIC_RELAXED) - received;
	if (!received || !sent)
		die("nothing arrived", -EIO);
	f[RATE][round] = received * 1e6 / ns;
	f[SENT][round] = sent * 1e6 / ns;
	f[CPU][round] = (double)(sender_ns + receiver_ns) / received;
	f[SENDER_CPU][round] = (double)sender_ns / sent;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double print_figure(double *values, unsigned int nr)
{
	qsort(values, nr, sizeof(*values), compare);
	printf("  %6.0f [%6.0f-%6.0f]", values[nr / 2], values[0], values[nr - 1]);
	return values[nr / 2];
}

static void report(struct bench *b)
{
	const __u64 *stats = hk_xsk_stats(&b->carriers[BY_XSK]);
	double median[NR_WAYS][NR_FIGURES];
	__u64 others = 0;
	int way, i;

	printf("%u bytes, %u rounds of %u ms, medians [range]; %llu datagrams of a wrong length\n",
	       b->len, b->rounds, b->ms, (unsigned long long)b->shared->wrong);
	printf("%-14s  %-22s  %-22s  %-22s  %-22s\n", "", "received kpps", "sent kpps",
	       "CPU ns/received", "sender's CPU ns/sent");
	for (way = 0; way < NR_WAYS; way++) {
		printf("%-14s", ways[way]);
		for (i = 0; i < NR_FIGURES; i++)
			median[way][i] = print_figure(b->figures[way][i], b->rounds);
		printf("\n");
	}
	for (i = HK_XSK_FRAMES + 1; i < HK_XSK_LOST; i++)
		others += stats[i];
	printf("AF_XDP / socket: received %.2f, sent %.2f, CPU %.2f, sender's CPU %.2f\n",
	       median[BY_XSK][RATE] / median[BY_SOCKET][RATE],
	       median[BY_XSK][SENT] / median[BY_SOCKET][SENT],
	       median[BY_XSK][CPU] / median[BY_SOCKET][CPU],
	       median[BY_XSK][SENDER_CPU] / median[BY_SOCKET][SENDER_CPU]);
	printf("frames %llu, by the socket nevertheless %llu\n",
	       (unsigned long long)stats[HK_XSK_FRAMES], (unsigned long long)others);
}

static unsigned int parse(const char *arg, unsigned int max)
{
	unsigned long value = strtoul(arg, NULL, 10);

	if (value >= 1 && value <= max)
		return value;
	fprintf(stderr, "bench_xsk: %s: not a number from 1 to %u\n", arg, max);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct bench b = { .len = 1400, .rounds = 5, .ms = 700 };
	unsigned int round;
	int opt, way;

	while ((opt = getopt(argc, argv, "l:n:t:")) >= 0) {
		switch (opt) {
		case 'l':
			b.len = parse(optarg, MAX_LEN);
			break;
		case 'n':
			b.rounds = parse(optarg, MAX_ROUNDS);
			break;
		case 't':
			b.ms = parse(optarg, 60000);
			break;
		default:
			fprintf(stderr, "usage: bench_xsk [-l BYTES] [-n ROUNDS] [-t MS]\n");
			return 2;
		}
	}
	b.shared = mmap(NULL, sizeof(*b.shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b.shared == MAP_FAILED)
		die("mmap", -errno);
	set_up(&b);
	for (round = 0; round < b.rounds; round++)
		for (way = 0; way < NR_WAYS; way++)
			run(&b, way, round);
	report(&b);
	kill(b.receiver, SIGKILL);
	waitpid(b.receiver, NULL, 0);
	return b.shared->wrong != 0;
}
