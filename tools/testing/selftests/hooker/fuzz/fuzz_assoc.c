// SPDX-License-Identifier: GPL-2.0
/*
 * Two associations and a link between them, all driven by the input: time, calls of
 * the application, the fate of each datagram, memory that runs out, and, unless
 * the first byte forbids it, datagrams that no honest peer would send.
 *
 * Whatever comes, memory is bounded and returned, and after the usual loop no deadline
 * is due. While nothing was forged, streams also deliver what was written, or, if the
 * first byte has them take damaged bytes, as many bytes and no error.
 */
#include "fuzz.h"

#define MAX_QUEUE	64	/* datagrams under way */
#define MAX_APP		16	/* streams that an application keeps */
#define MAX_FORGED	1500
#define MAX_COPY	16320	/* bytes written or read at once */
#define PATTERN_LEN	16381	/* a prime: no chunk or datagram size divides it */

enum fuzz_op {
	OP_TIME, OP_TIME_LONG, OP_DEADLINE,
	OP_DELIVER, OP_DELIVER_ALL, OP_DROP, OP_DUPLICATE,
	OP_OPEN, OP_WRITE, OP_READ, OP_FINISH, OP_RESET, OP_RELEASE,
	OP_CLOSE, OP_SUSPECT, OP_NO_MEMORY,
	OP_FORGE, OP_FORGE_DATA, OP_DAMAGE,
	OP_PATH_MTU, OP_LINK_MTU,
	NR_OPS,
};

struct packet {
	int	to;
	size_t	len;
	__u32	covered;
	__u8	data[FUZZ_DATAGRAM_MAX];
};

/* What an application knows of a stream */
struct app {
	struct htp_stream	*s;
	__u64			sent, received;
};

struct side {
	struct htp_assoc	*a;
	struct fuzz_mem		mem;
	struct app		app[MAX_APP];
	__u32			forged_pn;
};

/**
 * struct fuzz - the whole world
 * @p:      rest of the input
 * @end:    its end
 * @side:   the initiator, the responder
 * @pool:   memory for datagrams
 * @packet: those under way, the oldest first, then the free ones
 * @nr:     under way
 * @mtu:    larger ones don't pass
 * @now:    virtual time
 * @honest: forging is forbidden
 * @loose:  all streams take damaged bytes
 */
struct fuzz {
	const __u8	*p, *end;
	struct side	side[2];
	struct packet	pool[MAX_QUEUE];
	struct packet	*packet[MAX_QUEUE];
	int		nr;
	ssize_t		mtu;
	__u64		now;
	bool		honest, loose;
};

static unsigned int take(struct fuzz *f, int bytes)
{
	unsigned int value = 0;

	while (bytes--)
		value = value << 8 | (f->p < f->end ? *f->p++ : 0);
	return value;
}

/* What the direction to @to has at @offset; valid for MAX_COPY bytes */
static const __u8 *pattern(const struct htp_stream *s, int to, __u64 offset)
{
	static __u8 bytes[2 * PATTERN_LEN];
	__u32 random = 1;
	int i;

	for (i = 0; !bytes[0] && i < PATTERN_LEN; i++) {
		random = random * 1664525 + 1013904223;
		bytes[PATTERN_LEN + i] = random >> 24;
	}
	if (!bytes[0]) {
		bytes[PATTERN_LEN] |= 1;	/* not zero: it tells that the rest is there */
		memcpy(bytes, bytes + PATTERN_LEN, PATTERN_LEN);
	}
	return bytes + (offset + htp_stream_id(s) * 7 + to * 31) % PATTERN_LEN;
}

static void queue_remove(struct fuzz *f, int i)
{
	struct packet *packet = f->packet[i];

	f->nr--;
	memmove(&f->packet[i], &f->packet[i + 1], (f->nr - i) * sizeof(f->packet[0]));
	f->packet[f->nr] = packet;
}

static void queue_add(struct fuzz *f, int to, const __u8 *pkt, ssize_t len)
{
	const struct htp_via *via = htp_assoc_tx_via(f->side[!to].a);
	struct packet *packet;

	if (f->nr == MAX_QUEUE || len > f->mtu)
		return;
	packet = f->packet[f->nr++];
	packet->to = to;
	packet->len = len;
	packet->covered = via->covered;
	memcpy(packet->data, pkt, len);
}

static void app_forget(struct app *app)
{
	htp_stream_release(app->s);
	memset(app, 0, sizeof(*app));
}

static struct app *app_free(struct side *side)
{
	int i;

	for (i = 0; i < MAX_APP; i++)
		if (!side->app[i].s)
			return &side->app[i];
	return NULL;
}

static void app_opened(struct fuzz *f, struct side *side, struct htp_stream *s)
{
	struct app *app = app_free(side);

	if (!app) {
		htp_stream_reset(s, HTP_CODE_REFUSED);
		htp_stream_release(s);
		return;
	}
	app->s = s;
	if (f->loose)
		htp_stream_loosen(s);
	htp_stream_accept(s, app);
}

static void app_events(struct fuzz *f, int i)
{
	unsigned int events;
	struct htp_stream *s;

	while ((s = htp_assoc_event(f->side[i].a, &events))) {
		if (events & HTP_EV_OPENED)
			app_opened(f, &f->side[i], s);
		else
			FUZZ_CHECK(htp_stream_owner(s));
	}
}

/* The loop that every user of the core has */
static void turn(struct fuzz *f, int i)
{
	struct htp_assoc *a = f->side[i].a;
	__u8 pkt[FUZZ_DATAGRAM_MAX];
	struct htp_stats stats;
	ssize_t len;
	int nr = 0;

	if (htp_assoc_deadline(a) <= f->now)
		htp_assoc_expire(a, f->now);
	app_events(f, i);
	for (; (len = htp_assoc_tx(a, pkt, sizeof(pkt), f->now)) > 0; queue_add(f, !i, pkt, len))
		FUZZ_CHECK(nr++ < FUZZ_TX_MAX);
	FUZZ_CHECK(!len);
	FUZZ_CHECK(htp_assoc_deadline(a) > f->now);
	htp_assoc_stats(a, &stats);
	FUZZ_CHECK(stats.path_mtu >= HTP_MIN_DATAGRAM && stats.path_mtu <= FUZZ_DATAGRAM_MAX);
	FUZZ_CHECK(f->side[i].mem.bytes <= FUZZ_MEMORY_MAX);
}

static void deliver(struct fuzz *f, int i)
{
	const struct packet *packet = f->packet[i];
	int err = htp_assoc_rx(f->side[packet->to].a, packet->data, packet->len, f->now);

	FUZZ_CHECK(!err || err == -ENOMEM || !f->honest);
}

/* Anywhere, or, as on an honest path, where no checksum would notice it */
static void damage(struct fuzz *f, struct packet *packet)
{
	size_t from = f->honest ? packet->covered : 0;

	if (f->honest && !packet->covered)
		return;
	FUZZ_CHECK(from < packet->len);
	packet->data[from + take(f, 2) % (packet->len - from)] ^= take(f, 1);
}

static void op_packet(struct fuzz *f, enum fuzz_op op, unsigned int arg)
{
	int i = f->nr ? arg % f->nr : 0;

	if (!f->nr)
		return;
	if (op == OP_DAMAGE)
		damage(f, f->packet[i]);
	if (op == OP_DELIVER || op == OP_DUPLICATE)
		deliver(f, i);
	if (op == OP_DELIVER || op == OP_DROP)
		queue_remove(f, i);
	while (op == OP_DELIVER_ALL && f->nr) {
		deliver(f, 0);
		queue_remove(f, 0);
	}
}

static void op_time(struct fuzz *f, enum fuzz_op op, unsigned int arg)
{
	__u64 deadline;

	if (op == OP_TIME) {
		f->now += arg * FUZZ_MSEC / 4;
	} else if (op == OP_TIME_LONG) {
		f->now += arg * FUZZ_SEC / 4;
	} else {
		deadline = htp_assoc_deadline(f->side[arg & 1].a);
		if (deadline != HTP_NEVER && deadline > f->now)
			f->now = deadline;
	}
}

/* @data: all of it, or, for OP_FORGE_DATA, what follows a header that will be believed */
static void op_forge(struct fuzz *f, enum fuzz_op op, struct side *side)
{
	size_t len = take(f, 2) % MAX_FORGED, hdr_len = 0;
	struct htp_hdr hdr = { .type = HTP_DATA };
	__u8 pkt[HTP_HDR_LEN + MAX_FORGED];

	if (f->honest)
		return;
	if (len > (size_t)(f->end - f->p))
		len = f->end - f->p;
	if (op == OP_FORGE_DATA) {
		hdr.flags = take(f, 1);
		hdr.ctl_len = take(f, 1);
		hdr.pn = side->forged_pn++;
		if (len > (size_t)(f->end - f->p))
			len = f->end - f->p;
		if (hdr.ctl_len > len)
			hdr.ctl_len = len;
		hdr_len = HTP_HDR_LEN;
	}
	memcpy(pkt + hdr_len, f->p, len);
	if (hdr_len)
		FUZZ_CHECK(!htp_hdr_write(pkt, hdr_len + len, &hdr));
	f->p += len;
	htp_assoc_rx(side->a, pkt, hdr_len + len, f->now);
}

static void app_open(struct fuzz *f, struct side *side)
{
	struct app *app = app_free(side);
	size_t len = take(f, 1);

	if (!app)
		return;
	if (len > (size_t)(f->end - f->p))
		len = f->end - f->p;
	app->s = htp_stream_open(side->a, f->p, len, app);
	if (app->s && f->loose)
		htp_stream_loosen(app->s);
	f->p += len;
}

static void app_write(struct app *app, int to, size_t len)
{
	const __u8 *bytes = pattern(app->s, to, app->sent);
	struct iovec iov[3];
	size_t done = 0, n;
	int i, nr;

	nr = htp_stream_reserve(app->s, iov, 3);
	for (i = 0; i < nr; i++, done += n) {
		n = len - done < iov[i].iov_len ? len - done : iov[i].iov_len;
		memcpy(iov[i].iov_base, bytes + done, n);
	}
	if (nr > 0 && !htp_stream_commit(app->s, done))
		app->sent += done;
}

static void app_read(struct fuzz *f, struct app *app, int to, size_t len)
{
	__u8 buf[MAX_COPY];
	ssize_t nr;

	nr = htp_stream_read(app->s, buf, len);
	if (nr <= 0)
		return;
	FUZZ_CHECK(!f->honest || f->loose ||
		   !memcmp(buf, pattern(app->s, to, app->received), nr));
	app->received += nr;
}

static void op_stream(struct fuzz *f, enum fuzz_op op, int i)
{
	struct app *app = &f->side[i].app[take(f, 1) % MAX_APP];

	if (!app->s)
		return;
	if (op == OP_WRITE)
		app_write(app, !i, take(f, 1) * 64);
	else if (op == OP_READ)
		app_read(f, app, i, take(f, 1) * 64);
	else if (op == OP_FINISH)
		htp_stream_finish(app->s);
	else if (op == OP_RESET)
		htp_stream_reset(app->s, HTP_CODE_APP_RESET);
	else
		app_forget(app);
}

/* @arg: 0 is what the host itself says, all else quotes a packet near the newest one */
static void op_path_mtu(struct fuzz *f, struct side *side, unsigned int arg)
{
	struct htp_path_hint hint = { .size = take(f, 2), .local = !arg };
	struct htp_stats stats;

	htp_assoc_stats(side->a, &stats);
	hint.pn = stats.tx_datagrams - arg;
	htp_assoc_path_mtu(side->a, &hint, f->now);
}

/* One operation, and then the usual loop of the sides that it may have changed */
static void step(struct fuzz *f)
{
	unsigned int byte = take(f, 1);
	struct side *side = &f->side[byte >> 7];
	enum fuzz_op op = byte % 128 % NR_OPS;

	if (op <= OP_DEADLINE)
		op_time(f, op, take(f, 1));
	else if (op <= OP_DUPLICATE || op == OP_DAMAGE)
		op_packet(f, op, take(f, 1));
	else if (op == OP_FORGE || op == OP_FORGE_DATA)
		op_forge(f, op, side);
	else if (op == OP_OPEN)
		app_open(f, side);
	else if (op == OP_CLOSE)
		htp_assoc_close(side->a, HTP_CODE_SHUTDOWN);
	else if (op == OP_SUSPECT)
		htp_assoc_suspect(side->a, f->now);
	else if (op == OP_PATH_MTU)
		op_path_mtu(f, side, take(f, 1));
	else if (op == OP_LINK_MTU)
		f->mtu = HTP_MIN_DATAGRAM + take(f, 2) % 512;
	else if (op == OP_NO_MEMORY)
		side->mem.fail_in = take(f, 1) % 32;
	else
		op_stream(f, op, byte >> 7);
	if (op <= OP_DUPLICATE || !(byte >> 7))
		turn(f, 0);
	if (op <= OP_DUPLICATE || byte >> 7)
		turn(f, 1);
}

/* Not all of it: clearing the pool would take most of the time */
static void begin(struct fuzz *f, const __u8 *data, size_t size)
{
	unsigned int first;
	int i;

	f->p = data;
	f->end = data + size;
	f->now = FUZZ_SEC;
	f->nr = 0;
	f->mtu = FUZZ_DATAGRAM_MAX;
	memset(f->side, 0, sizeof(f->side));
	for (i = 0; i < MAX_QUEUE; i++)
		f->packet[i] = &f->pool[i];
	first = take(f, 1);
	f->honest = first & 1;
	f->loose = first & 2;
}

int fuzz_assoc(const __u8 *data, size_t size)
{
	static struct fuzz f;
	int i;

	begin(&f, data, size);
	for (i = 0; i < 2; i++) {
		f.side[i].a = fuzz_assoc_create(&f.side[i].mem, !i, f.now);
		FUZZ_CHECK(f.side[i].a);
	}
	while (f.p < f.end)
		step(&f);
	for (i = 0; i < 2; i++) {
		fuzz_check_memory(f.side[i].a, &f.side[i].mem);
		fuzz_destroy(f.side[i].a, &f.side[i].mem);
	}
	return 0;
}
