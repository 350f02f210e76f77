// SPDX-License-Identifier: GPL-2.0
/*
 * flood, inject: what somebody on the path can do, who has association id, packet numbers
 * and offsets from the datagrams that pass. That HTP is not safe from that is known, as
 * TCP isn't; this shows that the test would notice if a forgery got through.
 *
 * Forged is a datagram that comes some time later: same association, same stream, packet
 * number and offset as it will have, other bytes. It arrives first, so the real one is
 * taken for a duplicate. It begins half a datagram early, so that wrong bytes reach the
 * application even if the guess is not exact and a hole follows.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "flood.h"

#define NR_INJECTED	1000	/* until stopped: on a busy machine many come too late */
#define APART		32	/* datagrams from one to the next */
#define AHEAD		12	/* datagrams; so many are on the link at least */
#define FURTHER		6	/* every other time */
#define MIN_STREAM	5	/* bytes of a STREAM frame */
#define MIN_PAYLOAD	512

static __u64 get(const __u8 *p, unsigned int len)
{
	__u64 v = 0;

	while (len--)
		v = v << 8 | *p++;
	return v;
}

static void put(__u8 *p, unsigned int len, __u64 v)
{
	while (len--) {
		p[len] = v;
		v >>= 8;
	}
}

/* Bytes of the variable-length integer at @p */
static unsigned int width(const __u8 *p)
{
	return 1U << (*p >> 6);
}

/*
 * DATA that has a STREAM frame first and bytes for it: where in the frame its offset is,
 * else 0.
 */
static __u32 find_offset(const struct frame *in)
{
	__u32 at = flood_htp_off(in);
	const __u8 *htp = in->data + at;
	__u32 ctl_len = get(htp + HTP_CTL_LEN, 2);

	if (htp[0] != HTP_DATA || ctl_len < MIN_STREAM || htp[HTP_HDR_LEN] != HTP_F_STREAM ||
	    in->len < at + HTP_HDR_LEN + ctl_len + MIN_PAYLOAD)
		return 0;
	at += HTP_HDR_LEN + 1;
	at += width(in->data + at);
	return at;
}

/* Returns false if the guess can't be written in place */
static bool forge(struct frame *f, __u32 offset_at, __u32 ahead)
{
	__u8 *htp = f->data + flood_htp_off(f), *field = f->data + offset_at;
	__u8 *payload = htp + HTP_HDR_LEN + get(htp + HTP_CTL_LEN, 2);
	__u32 len = f->data + f->len - payload, i;
	unsigned int bytes = width(field);
	__u64 prefix = 3ULL << (8 * bytes - 2);
	__u64 offset = (get(field, bytes) & ~prefix) + ahead * len - len / 2;

	if (offset & prefix)
		return false;
	put(field, bytes, offset | (get(field, bytes) & prefix));
	put(htp + HTP_PN, 4, get(htp + HTP_PN, 4) + ahead);
	htp[1] = 0;	/* in no group that has parity */
	for (i = 0; i < len; i++)
		payload[i] ^= 0xff;
	flood_make_right(f);
	return true;
}

/**
 * flood_inject - forge datagrams of whatever transfer passes
 * @in:  packet socket that sees it
 * @out: packet socket to send by
 *
 * Return: exit status.
 */
int flood_inject(int in, int out)
{
	unsigned int nr = 0, wait = APART;
	struct frame f;
	__u32 at;

	while (nr < NR_INJECTED) {
		flood_receive(in, &f);
		at = find_offset(&f);
		if (!at || wait--)
			continue;
		wait = APART;
		if (!forge(&f, at, AHEAD + nr % 2 * FURTHER))
			continue;
		if (send(out, f.data, f.len, 0) < 0)
			flood_die("send");
		nr++;
	}
	printf("flood: %u injected\n", nr);
	return 0;
}
