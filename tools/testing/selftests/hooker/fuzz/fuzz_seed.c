// SPDX-License-Identifier: GPL-2.0
/*
 * usage: fuzz_seed DIR: writes inputs that the fuzzers can begin with: DIR/datagram/NN
 * with what two associations say to each other, DIR/freeze/NN with one of them as it is
 * meanwhile, DIR/assoc/NN with some scripts,
 * DIR/segment/NN with handshakes, DIR/control/NN with requests.
 */
#include <sys/stat.h>

#include "fuzz.h"

#include "htp/freeze.h"

static int save(const char *dir, const char *name, int nr, const void *data, size_t len)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%02d", dir, name, nr);
	file = fopen(path, "w");
	if (!file || fwrite(data, 1, len, file) != len || fclose(file)) {
		perror(path);
		return -1;
	}
	return 0;
}

static int seed_hellos(const char *dir)
{
	const struct htp_hello hello = {
		.src_id = 1, .instance = 2, .nonce = 3, .max_datagram = 1472, .version = 1,
		.window = FUZZ_WINDOW, .stream_window = FUZZ_WINDOW,
	};
	__u8 pkt[HTP_MIN_DATAGRAM];
	ssize_t len;

	len = htp_hello_write(pkt, sizeof(pkt), HTP_HELLO, 7, &hello, sizeof(pkt));
	if (len < 0 || save(dir, "datagram", 0, pkt, len))
		return -1;
	len = htp_hello_write(pkt, sizeof(pkt), HTP_HELLO_ACK, 7, &hello, 0);
	return len < 0 ? -1 : save(dir, "datagram", 1, pkt, len);
}

/* No larger frames than these: a parity of one packet, hash and lengths 0 */
static int seed_repair(const char *dir)
{
	static const __u8 pkt[] = {
		0x10, 0, 0, 13, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1,
		0x0a, 1, 1, 0, 2, 0, 4, 0, 0, 0, 0, 0, 4, 1, 1, 0, 0,
	};

	return save(dir, "datagram", 2, pkt, sizeof(pkt));
}

static void talk(struct htp_assoc *a)
{
	unsigned int events;
	struct htp_stream *s;
	char buf[4096];

	while ((s = htp_assoc_event(a, &events))) {
		if (events & HTP_EV_OPENED) {
			htp_stream_accept(s, NULL);
			htp_stream_write(s, "answer", 6);
			htp_stream_finish(s);
		}
		while (htp_stream_read(s, buf, sizeof(buf)) > 0)
			;
		if (events & HTP_EV_FINISHED)
			htp_stream_release(s);
	}
}

/* @priv is a file; times are those of the fuzzer, later than ours */
static int put(void *priv, const void *data, size_t len)
{
	return len && fwrite(data, len, 1, priv) != 1 ? -EIO : 0;
}

/* As fuzz_freeze.c has it; a zero that is alone becomes longer */
static size_t shrink(const char *data, size_t len, char *to)
{
	size_t i, n = 0, zeros;

	for (i = 0; i < len; i += zeros ?: 1) {
		for (zeros = 0; zeros < 256 && i + zeros < len && !data[i + zeros]; zeros++)
			;
		to[n++] = data[i];
		if (zeros)
			to[n++] = zeros - 1;
	}
	return n;
}

static int save_frozen(const char *dir, int nr, struct htp_assoc *a)
{
	struct htp_freezer freezer = { .put = put };
	char *data = NULL, *small;
	size_t len = 0;
	int err;

	freezer.priv = open_memstream(&data, &len);
	if (!freezer.priv)
		return -1;
	err = htp_assoc_freeze(a, &freezer);
	if (fclose(freezer.priv))
		err = -1;
	small = malloc(2 * len);
	if (!err)
		err = small ? save(dir, "freeze", nr, small, shrink(data, len, small)) : -1;
	free(small);
	free(data);
	return err;
}

static int seed_datagrams(const char *dir)
{
	__u8 pkt[HTP_MIN_DATAGRAM], bytes[6000] = "request";
	struct fuzz_mem mem[2] = { { 0 } };
	struct htp_assoc *a[2];
	struct htp_stream *s;
	__u64 now = FUZZ_SEC;
	int i, nr = 3, err = 0;
	ssize_t len;

	a[0] = fuzz_assoc_create(&mem[0], true, now);
	a[1] = fuzz_assoc_create(&mem[1], false, now);
	s = a[0] && a[1] ? htp_stream_open(a[0], "open", 4, NULL) : NULL;
	if (!s || htp_stream_write(s, bytes, sizeof(bytes)) < 0 || htp_stream_finish(s))
		err = -1;
	for (i = 0; !err && i < 20; i++, now += 20 * FUZZ_MSEC) {
		if (htp_assoc_deadline(a[i & 1]) <= now)
			htp_assoc_expire(a[i & 1], now);
		talk(a[i & 1]);
		if (i == 18)
			htp_assoc_close(a[0], HTP_CODE_SHUTDOWN);
		while (!err && (len = htp_assoc_tx(a[i & 1], pkt, sizeof(pkt), now)) > 0) {
			err = save(dir, "datagram", nr++, pkt, len);
			htp_assoc_rx(a[!(i & 1)], pkt, len, now);
		}
	}
	htp_assoc_destroy(a[0]);
	htp_assoc_destroy(a[1]);
	return err;
}

/* In the middle of a few streams, of which one in three datagrams is lost */
static int seed_frozen(const char *dir)
{
	__u8 pkt[HTP_MIN_DATAGRAM], bytes[100] = "request";
	struct fuzz_mem mem[2] = { { 0 } };
	struct htp_assoc *a[2];
	struct htp_stream *s[4];
	int i, n = 0, err = 0;
	__u64 now = FUZZ_SEC;
	ssize_t len;

	a[0] = fuzz_assoc_create(&mem[0], true, now);
	a[1] = fuzz_assoc_create(&mem[1], false, now);
	for (i = 0; i < 16 && !err; i++, now += 7 * FUZZ_MSEC) {
		if (i < 4)
			s[i] = htp_stream_open(a[i & 1], bytes, 8, NULL);
		if (i < 4 && (!s[i] || htp_stream_write(s[i], bytes, sizeof(bytes)) < 0))
			err = -1;
		if (i == 5)
			htp_stream_finish(s[2]);
		if (i == 8)
			htp_stream_reset(s[1], HTP_CODE_APP_RESET);
		htp_assoc_expire(a[i & 1], now);
		talk(a[i & 1]);
		while (!err && (len = htp_assoc_tx(a[i & 1], pkt, sizeof(pkt), now)) > 0)
			if (n++ % 3)
				htp_assoc_rx(a[!(i & 1)], pkt, len, now);
		err = err ?: save_frozen(dir, i, a[0]);
	}
	htp_assoc_destroy(a[0]);
	htp_assoc_destroy(a[1]);
	return err;
}

/* See enum fuzz_op in fuzz_assoc.c; the first byte of each says that nobody forges */
static int seed_scripts(const char *dir)
{
	static const __u8 exchange[] = {
		1, 7, 2, 'h', 'i', 8, 0, 0x80, 10, 0, 4, 0, 0, 40, 4, 0, 136, 0, 0xf0,
		138, 0, 4, 0, 0, 80, 4, 0, 9, 0, 0xff, 137, 0, 0xff, 4, 0, 12, 0, 140, 0,
	};
	static const __u8 bulk[] = {
		1, 7, 0, 8, 0, 0xff, 8, 0, 0xff, 4, 0, 0, 40, 4, 0, 0, 200, 4, 0, 0, 40, 4, 0,
		137, 0, 0xff, 4, 0, 137, 0, 0xff, 0, 200, 4, 0, 8, 0, 0xff, 0, 40, 4, 0, 0, 200,
		4, 0, 137, 0, 0xff, 4, 0, 0, 200, 4, 0, 137, 0, 0xff, 10, 0, 138, 0, 4, 0, 0, 200,
		4, 0, 2, 0, 4, 0, 2, 1, 4, 0, 12, 0, 140, 0,
	};
	static const __u8 losses[] = {
		1, 7, 0, 8, 0, 0xff, 5, 2, 4, 0, 0, 200, 2, 0, 4, 0, 2, 1, 4, 0, 6, 0, 3, 1,
		2, 0, 5, 0, 2, 0, 4, 0, 137, 0, 0xff, 0, 100, 8, 0, 0x80, 4, 0, 2, 0, 4, 0,
	};
	static const __u8 forged[] = {
		0, 17, 0, 8, 0, 6, 6, 2, 0, 0x10, 2, 0, 4, 0, 145, 0, 13, 0, 13,
		0x0a, 1, 1, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 17, 0, 2, 1, 1, 1, 1, 16, 0, 4, 0x10,
	};
	/* streams that take damaged bytes; both sides write, and then some datagram is damaged */
	static const __u8 loose[] = {
		3, 7, 2, 'h', 'i', 4, 0, 4, 0, 8, 0, 0x80, 136, 0, 0x80, 18, 2, 9, 0, 1,
		4, 0, 137, 0, 0xff, 9, 0, 0xff, 10, 0, 138, 0, 4, 0, 0, 80, 4, 0,
	};
	static const __u8 no_memory[] = {
		1, 15, 3, 7, 2, 'h', 'i', 7, 0, 8, 0, 0xff, 143, 2, 4, 0, 2, 0, 4, 0, 14, 13,
	};

	return save(dir, "assoc", 0, exchange, sizeof(exchange)) ||
	       save(dir, "assoc", 1, losses, sizeof(losses)) ||
	       save(dir, "assoc", 2, forged, sizeof(forged)) ||
	       save(dir, "assoc", 3, no_memory, sizeof(no_memory)) ||
	       save(dir, "assoc", 4, bulk, sizeof(bulk)) ||
	       save(dir, "assoc", 5, loose, sizeof(loose));
}

/* A SYN-ACK over IPv4 and a SYN over IPv6, with all options that are read */
static int seed_segments(const char *dir)
{
	static const __u8 synack[] = {
		0x45, 0, 0, 80, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		0, 80, 0xc0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0xf0, 0x12, 0xff, 0xff, 0, 0, 0, 0,
		2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4, 1, 3, 3, 7,
		254, 20, 0x48, 0x4b, 0x10, 3, 0x13, 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
	};
	static const __u8 syn6[] = {
		0x60, 0, 0, 0, 0, 28, 6, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0xc0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x70, 2, 0xff, 0xff, 0, 0, 0, 0,
		1, 1, 4, 2, 3, 3, 15, 0,
	};

	return save(dir, "segment", 0, synack, sizeof(synack)) ||
	       save(dir, "segment", 1, syn6, sizeof(syn6));
}

/* The first byte says how large the pieces are that it comes in */
static int seed_requests(const char *dir)
{
	static const char * const requests[] = {
		"zshow flows\n", "zshow stats json\n", "!show xyz json\n", "zshow flows  json\n",
		"zshow flows\nshow stats\n", "zshow flows",
	};
	int err = 0;
	size_t i;

	for (i = 0; !err && i < sizeof(requests) / sizeof(requests[0]); i++)
		err = save(dir, "control", i, requests[i], strlen(requests[i]));
	return err;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: fuzz_seed DIR\n");
		return 2;
	}
	return seed_hellos(argv[1]) || seed_repair(argv[1]) || seed_datagrams(argv[1]) ||
	       seed_frozen(argv[1]) ||
	       seed_scripts(argv[1]) || seed_segments(argv[1]) || seed_requests(argv[1]);
}
