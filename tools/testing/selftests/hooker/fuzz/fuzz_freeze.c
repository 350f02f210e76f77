// SPDX-License-Identifier: GPL-2.0
/*
 * The input is an association that was frozen, or pretends to be. It is refused, and then
 * nothing is left of it; or it is one that can be frozen again, to the same bytes each
 * time, and used like any other.
 *
 * Most of it is zeros: a zero in the input is followed by the number of others.
 */
#include "fuzz.h"

#include "htp/freeze.h"

#define NOW_NS		(5000 * FUZZ_SEC)
#define MAX_BYTES	(1 << 20)
#define TURNS		8

struct bytes {
	size_t	len;
	__u8	data[MAX_BYTES];
};

static int put(void *priv, const void *data, size_t len)
{
	struct bytes *b = priv;

	FUZZ_CHECK(b->len + len <= MAX_BYTES);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

/* To exactly as many bytes as there are, so that a memory checker sees what lies beyond */
static __u8 *expand(const __u8 *data, size_t size, size_t *len)
{
	static __u8 bytes[MAX_BYTES];
	size_t i, n = 0, zeros;
	__u8 *copy;

	for (i = 0; i < size && n < MAX_BYTES - 256; i++) {
		zeros = !data[i] && i + 1 < size ? data[i + 1] + 1 : 0;
		if (zeros) {
			memset(bytes + n, 0, zeros);
			n += zeros;
			i++;
		} else {
			bytes[n++] = data[i];
		}
	}
	copy = malloc(n + !n);
	FUZZ_CHECK(copy);
	memcpy(copy, bytes, n);
	*len = n;
	return copy;
}

static void freeze(struct htp_assoc *a, struct bytes *b)
{
	struct htp_freezer freezer = { .put = put, .priv = b };

	b->len = 0;
	FUZZ_CHECK(!htp_assoc_freeze(a, &freezer));
}

static struct htp_assoc *thaw(struct fuzz_mem *mem, const __u8 *data, size_t size)
{
	struct htp_freezer freezer = { .thaw = true, .in = { .p = data, .end = data + size } };
	const struct htp_config config = fuzz_config(mem, true);
	struct htp_assoc *a = htp_assoc_thaw(&config, &freezer, NOW_NS);

	FUZZ_CHECK(!a == !!freezer.err);
	FUZZ_CHECK(a || freezer.err == -EBADMSG);
	return a;
}

static void app(struct htp_assoc *a)
{
	unsigned int events;
	struct htp_stream *s;
	__u8 buf[512] = { 0 };

	while ((s = htp_assoc_event(a, &events))) {
		if (events & HTP_EV_OPENED)
			htp_stream_accept(s, NULL);
		while (htp_stream_read(s, buf, sizeof(buf)) > 0)
			;
		htp_stream_write(s, buf, sizeof(buf));
		if (events & (HTP_EV_FINISHED | HTP_EV_RESET))
			htp_stream_release(s);
	}
}

/* A peer that never answers: all timers come, and each time nothing is due afterwards */
static void use(struct htp_assoc *a)
{
	__u8 pkt[HTP_MAX_DATAGRAM];
	__u64 now = NOW_NS;
	int i, nr;

	for (i = 0; i < TURNS && now != HTP_NEVER; i++, now = htp_assoc_deadline(a)) {
		htp_assoc_expire(a, now);
		app(a);
		for (nr = 0; htp_assoc_tx(a, pkt, sizeof(pkt), now) > 0; nr++)
			FUZZ_CHECK(nr < FUZZ_TX_MAX);
		FUZZ_CHECK(htp_assoc_deadline(a) > now);
	}
}

unsigned int fuzz_nr_thawed;

int fuzz_freeze(const __u8 *data, size_t size)
{
	static struct bytes first, second;
	struct fuzz_mem mem = { 0 };
	struct htp_assoc *a;
	__u8 *bytes;
	size_t len;

	bytes = expand(data, size, &len);
	a = thaw(&mem, bytes, len);
	free(bytes);
	if (!a) {
		FUZZ_CHECK(!mem.live);
		return 0;
	}
	fuzz_nr_thawed++;
	freeze(a, &first);
	fuzz_destroy(a, &mem);
	a = thaw(&mem, first.data, first.len);
	FUZZ_CHECK(a);
	freeze(a, &second);
	FUZZ_CHECK(first.len == second.len && !memcmp(first.data, second.data, first.len));
	use(a);
	fuzz_destroy(a, &mem);
	return 0;
}
