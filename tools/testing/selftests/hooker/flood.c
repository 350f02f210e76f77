// SPDX-License-Identifier: GPL-2.0
/*
 * flood: forged datagrams at a host, by somebody who sees its traffic but shares no secret
 * with it.
 *
 *	flood NETNS DEVICE OUT COUNT RATE
 *
 * Listens on DEVICE of network namespace NETNS (a path) until it has a HELLO and DATA
 * datagrams over IPv4, says "flood: ready", and at SIGUSR1 sends COUNT frames, RATE a
 * second, by device OUT of its own namespace. Who changes what the checksum covers makes it
 * right again, unless damage is meant. What is missing is forgery of datagrams with the
 * association's id and a right checksum: HTP has no cryptography, who is on the path
 * can do that to it as to TCP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/types.h>

#define FRAME_MAX	2048
#define BATCH		64
#define NR_DATA		64
#define PORT		18507

#define IP_OFF		14
#define L4_OFF		(IP_OFF + 20)
#define HTP_OFF		(L4_OFF + 8)
#define HTP_HDR_LEN	16
#define HTP_DST_ID	8
#define HTP_DATA	0x10	/* version 1 in the high nibble */
#define HTP_HELLO	0x11

struct frame {
	__u32	len;
	__u8	data[FRAME_MAX];
};

enum kind {
	RANDOM,		/* nothing but the port is right */
	WRONG_ID,	/* DATA to another association */
	DAMAGED,	/* DATA with a flipped bit, checksum as it was */
	WRONG_SOURCE,	/* DATA from elsewhere */
	REPLAYED,	/* DATA again */
	WRONG_TOKEN,	/* HELLO to another instance */
	REPLAYED_HELLO,
	NR_KINDS,
};

static const char * const kinds[NR_KINDS] = {
	"random", "wrong id", "damaged", "wrong source", "replayed", "wrong token",
	"replayed HELLO",
};

/**
 * struct flood - what was heard, and what is being sent
 * @hello:   a HELLO
 * @data:    DATA datagrams
 * @nr_data: of them
 * @out:     frames of a batch
 * @iov:     of @out
 * @msgs:    likewise
 * @sent:    frames, by kind
 * @seed:    of the random numbers
 */
struct flood {
	struct frame	hello, data[NR_DATA];
	unsigned int	nr_data;
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

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_packet(const char *device)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	ll.sll_ifindex = if_nametoindex(device);
	if (fd < 0 || !ll.sll_ifindex || bind(fd, (void *)&ll, sizeof(ll)))
		die(device);
	return fd;
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static __u16 get16(const __u8 *p) { return p[0] << 8 | p[1]; }

static void put16(__u8 *p, __u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

/* ---- listening ---- */

static bool is_ours(const struct frame *in)
{
	__u8 proto = in->data[IP_OFF + 9];

	return in->len >= HTP_OFF + HTP_HDR_LEN && get16(in->data + 12) == ETHERTYPE_IP &&
	       in->data[IP_OFF] == 0x45 && (proto == 17 || proto == 136) &&
	       get16(in->data + L4_OFF + 2) == PORT;
}

static void listen_on(struct flood *f, const char *device)
{
	struct sockaddr_ll from;
	socklen_t from_len;
	int fd = open_packet(device);
	struct frame in;
	ssize_t n;

	while (!f->hello.len || f->nr_data < NR_DATA) {
		from_len = sizeof(from);
		n = recvfrom(fd, in.data, sizeof(in.data), 0, (void *)&from, &from_len);
		if (n < 0)
			die("recvfrom");
		in.len = n;
		if (from.sll_pkttype == PACKET_OUTGOING || !is_ours(&in))
			continue;
		if (in.data[HTP_OFF] == HTP_HELLO)
			f->hello = in;
		else if (in.data[HTP_OFF] == HTP_DATA && f->nr_data < NR_DATA)
			f->data[f->nr_data++] = in;
	}
	close(fd);
}

/* ---- forging ---- */

static __u32 sum(const __u8 *p, __u32 len, __u32 start)
{
	for (; len > 1; p += 2, len -= 2)
		start += get16(p);
	return len ? start + (p[0] << 8) : start;
}

static __u16 fold(__u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* Lengths and checksums, all of it covered */
static void make_right(struct frame *out)
{
	__u8 *ip = out->data + IP_OFF, *l4 = out->data + L4_OFF;
	__u32 len = out->len - L4_OFF;
	__u16 check;

	put16(ip + 2, out->len - IP_OFF);
	put16(ip + 10, 0);
	put16(ip + 10, ~fold(sum(ip, 20, 0)));
	put16(l4 + 4, len);
	put16(l4 + 6, 0);
	check = ~fold(sum(l4, len, sum(ip + 12, 8, ip[9] + len)));
	put16(l4 + 6, check ? check : 0xffff);
}

static void fill_random(struct flood *f, __u8 *p, __u32 len)
{
	while (len--)
		*p++ = rnd(f);
}

static void forge(struct flood *f, struct frame *out, enum kind kind)
{
	__u32 bit;

	*out = kind >= WRONG_TOKEN ? f->hello : f->data[rnd(f) % f->nr_data];
	switch (kind) {
	case RANDOM:
		out->len = HTP_OFF + rnd(f) % 1200;
		fill_random(f, out->data + HTP_OFF, out->len - HTP_OFF);
		break;
	case WRONG_ID:
	case WRONG_TOKEN:
		fill_random(f, out->data + HTP_OFF + HTP_DST_ID, 8);
		break;
	case WRONG_SOURCE:
		out->data[IP_OFF + 15] = 3 + rnd(f) % 250;
		break;
	case DAMAGED:
		bit = rnd(f) % ((out->len - HTP_OFF) * 8);
		out->data[HTP_OFF + bit / 8] ^= 1 << bit % 8;
		return;
	default:
		return;
	}
	make_right(out);
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
			die("sendmmsg");
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

int main(int argc, char **argv)
{
	static struct flood f = { .seed = 0x484b };
	sigset_t set;
	int fd, sig;

	if (argc != 6) {
		fprintf(stderr, "usage: flood NETNS DEVICE OUT COUNT RATE\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = open_packet(argv[3]);
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
