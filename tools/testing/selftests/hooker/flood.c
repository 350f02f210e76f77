// SPDX-License-Identifier: GPL-2.0
/*
 * flood: forged datagrams at a host, by somebody who sees its traffic but shares no secret
 * with it.
 *
 *	flood NETNS DEVICE OUT COUNT RATE
 *	flood NETNS DEVICE OUT inject
 *
 * Listens on DEVICE of network namespace NETNS (a path) until it has a HELLO and DATA
 * datagrams over both IPv4 and IPv6, says "flood: ready", and at SIGUSR1 sends COUNT frames,
 * RATE a second, by device OUT of its own namespace. Who changes what the checksum covers
 * makes it right again, unless damage is meant. What is missing is forgery of datagrams with
 * the association's id and a right checksum: HTP has no cryptography, who is on the path
 * can do that to it as to TCP. "inject" does just that, see flood_inject.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "flood.h"

#define BATCH		64
#define NR_DATA		64

enum kind {
	RANDOM,		/* nothing but the port is right */
	WRONG_ID,	/* DATA to another association */
	DAMAGED,	/* DATA with a flipped bit, checksum as it was */
	WRONG_SOURCE,	/* DATA from elsewhere */
	REPLAYED,	/* DATA again */
	WRONG_INSTANCE,	/* HELLO to another daemon */
	WRONG_TOKEN,	/* HELLO of another association, with no answered offer's token */
	REPLAYED_HELLO,
	NR_KINDS,
};

static const char * const kinds[NR_KINDS] = {
	"random", "wrong id", "damaged", "wrong source", "replayed", "wrong instance",
	"wrong token", "replayed HELLO",
};

/**
 * struct heard - of one address family
 * @hello:   a HELLO
 * @data:    DATA datagrams
 * @nr_data: of them
 */
struct heard {
	struct frame	hello, data[NR_DATA];
	unsigned int	nr_data;
};

/**
 * struct flood - what was heard, and what is being sent
 * @heard: over IPv4 and IPv6
 * @out:   frames of a batch
 * @iov:   of @out
 * @msgs:  likewise
 * @sent:  frames, by kind
 * @seed:  of the random numbers
 */
struct flood {
	struct heard	heard[2];
	struct frame	out[BATCH];
	struct iovec	iov[BATCH];
	struct mmsghdr	msgs[BATCH];
	unsigned long	sent[NR_KINDS];
	__u64		seed;
};

static __u32 rnd(struct flood *f)
{
	f->seed = f->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return f->seed >> 32;
}

void flood_die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

int flood_open(const char *device)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	ll.sll_ifindex = if_nametoindex(device);
	if (fd < 0 || !ll.sll_ifindex || bind(fd, (void *)&ll, sizeof(ll)))
		flood_die(device);
	return fd;
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		flood_die(netns);
	close(fd);
}

/* ---- listening ---- */

/* The next datagram to the daemon of this host */
void flood_receive(int fd, struct frame *in)
{
	struct sockaddr_ll from;
	socklen_t from_len;
	ssize_t n;

	do {
		from_len = sizeof(from);
		n = recvfrom(fd, in->data, sizeof(in->data), MSG_TRUNC, (void *)&from, &from_len);
		if (n < 0)
			flood_die("recvfrom");
		in->len = n;
	} while (from.sll_pkttype == PACKET_OUTGOING || !flood_is_ours(in));
}

static bool has_heard(const struct heard *h)
{
	return h->hello.len && h->nr_data == NR_DATA;
}

static void listen_on(struct flood *f, const char *device)
{
	int fd = flood_open(device);
	struct heard *h;
	struct frame in;
	__u8 type;

	while (!has_heard(&f->heard[0]) || !has_heard(&f->heard[1])) {
		flood_receive(fd, &in);
		h = &f->heard[flood_is_v6(&in)];
		type = in.data[flood_htp_off(&in)];
		if (type == HTP_HELLO)
			h->hello = in;
		else if (type == HTP_DATA && h->nr_data < NR_DATA)
			h->data[h->nr_data++] = in;
	}
	close(fd);
}

/* ---- forging ---- */

static void fill_random(struct flood *f, __u8 *p, __u32 len)
{
	while (len--)
		*p++ = rnd(f);
}

static void forge(struct flood *f, struct frame *out, enum kind kind)
{
	const struct heard *h = &f->heard[rnd(f) % 2];
	__u32 bit, at;
	__u8 *htp;

	*out = kind >= WRONG_INSTANCE ? h->hello : h->data[rnd(f) % h->nr_data];
	at = flood_htp_off(out);
	htp = out->data + at;
	switch (kind) {
	case RANDOM:
		out->len = at + rnd(f) % 1200;
		fill_random(f, htp, out->len - at);
		break;
	case WRONG_ID:
	case WRONG_INSTANCE:
		fill_random(f, htp + HTP_DST_ID, 8);
		break;
	case WRONG_TOKEN:
		fill_random(f, htp + HTP_SRC_ID, 8);
		fill_random(f, htp + HTP_TOKEN, 4);
		break;
	case WRONG_SOURCE:
		flood_change_source(out, 3 + rnd(f) % 250);
		break;
	case DAMAGED:
		bit = rnd(f) % ((out->len - at) * 8);
		htp[bit / 8] ^= 1 << bit % 8;
		return;
	default:
		return;
	}
	flood_make_right(out);
}

/* ---- sending ---- */

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void pace(__u64 start, unsigned long done, unsigned long rate)
{
	__u64 due = start + done * 1000000000ULL / rate, now = now_ns();

	if (due > now)
		usleep((due - now) / 1000);
}

static void send_batch(struct flood *f, int fd, unsigned int nr)
{
	unsigned int done = 0;
	int n;

	while (done < nr) {
		n = sendmmsg(fd, f->msgs + done, nr - done, 0);
		if (n < 0 && errno != ENOBUFS && errno != EINTR)
			flood_die("sendmmsg");
		done += n > 0 ? n : 0;
	}
}

static void flood(struct flood *f, int fd, unsigned long count, unsigned long rate)
{
	__u64 start = now_ns();
	unsigned long done = 0;
	unsigned int i, nr;
	enum kind kind;

	for (; done < count; done += nr) {
		nr = count - done < BATCH ? count - done : BATCH;
		for (i = 0; i < nr; i++) {
			kind = (done + i) % NR_KINDS;
			forge(f, &f->out[i], kind);
			f->sent[kind]++;
			f->iov[i] = (struct iovec){ f->out[i].data, f->out[i].len };
			f->msgs[i].msg_hdr.msg_iov = &f->iov[i];
			f->msgs[i].msg_hdr.msg_iovlen = 1;
		}
		send_batch(f, fd, nr);
		pace(start, done + nr, rate);
	}
	printf("flood: %lu frames in %llu ms\n", done,
	       (unsigned long long)(now_ns() - start) / 1000000);
	for (i = 0; i < NR_KINDS; i++)
		printf("flood: %-14s %lu\n", kinds[i], f->sent[i]);
}

static int inject(const char *netns, const char *device, int out)
{
	int in;

	enter(netns);
	in = flood_open(device);
	printf("flood: listening\n");
	fflush(stdout);
	return flood_inject(in, out);
}

int main(int argc, char **argv)
{
	static struct flood f = { .seed = 0x484b };
	sigset_t set;
	int fd, sig;

	if (argc == 5 && !strcmp(argv[4], "inject"))
		return inject(argv[1], argv[2], flood_open(argv[3]));
	if (argc != 6) {
		fprintf(stderr, "usage: flood NETNS DEVICE OUT COUNT RATE, or ... OUT inject\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = flood_open(argv[3]);
	enter(argv[1]);
	printf("flood: listening\n");
	fflush(stdout);
	listen_on(&f, argv[2]);
	printf("flood: ready\n");
	fflush(stdout);
	sigwait(&set, &sig);
	flood(&f, fd, strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	return 0;
}
