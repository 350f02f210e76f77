// SPDX-License-Identifier: GPL-2.0
/*
 * One datagram, read in every way there is: its header, as HELLO, and by a fresh
 * association of each role, which then does all it wants to do about it.
 */
#include "fuzz.h"

/* Afterwards the association waits for something to come */
static void settle(struct htp_assoc *a, __u64 now)
{
	__u8 pkt[HTP_MIN_DATAGRAM];
	int nr = 0;

	if (htp_assoc_deadline(a) <= now)
		htp_assoc_expire(a, now);
	while (htp_assoc_tx(a, pkt, sizeof(pkt), now) > 0)
		FUZZ_CHECK(nr++ < FUZZ_TX_MAX);
	FUZZ_CHECK(htp_assoc_deadline(a) > now);
}

/* Half of the streams are accepted, what they hold is read */
static void take_events(struct htp_assoc *a)
{
	unsigned int events;
	struct htp_stream *s;
	__u8 buf[512];
	size_t len;

	while ((s = htp_assoc_event(a, &events))) {
		if (events & HTP_EV_OPENED) {
			FUZZ_CHECK(htp_stream_open_data(s, &len) || !len);
			if (htp_stream_id(s) & 2)
				htp_stream_accept(s, NULL);
			else
				htp_stream_reset(s, HTP_CODE_REFUSED);
		}
		while (htp_stream_read(s, buf, sizeof(buf)) > 0)
			;
	}
}

static void feed(bool initiator, const __u8 *data, size_t size)
{
	struct fuzz_mem mem = { 0 };
	__u64 now = FUZZ_SEC;
	struct htp_assoc *a;
	int i, err;

	a = fuzz_assoc_create(&mem, initiator, now);
	FUZZ_CHECK(a);
	for (i = 0; i < 2; i++) {	/* the second one is a duplicate */
		err = htp_assoc_rx(a, data, size, now);
		FUZZ_CHECK(!err || err == -EBADMSG || err == -EPROTO);
		FUZZ_CHECK(err != -EPROTO || htp_assoc_is_closed(a));
		take_events(a);
		settle(a, now);
		fuzz_check_memory(a, &mem);
		now += 20 * FUZZ_MSEC;
	}
	fuzz_destroy(a, &mem);
}

int fuzz_datagram(const __u8 *data, size_t size)
{
	struct htp_hello hello;
	struct htp_hdr hdr;

	if (!htp_hdr_read(data, size, &hdr))
		FUZZ_CHECK(hdr.ctl_len <= size - HTP_HDR_LEN);
	if (!htp_hello_read(data, size, &hdr, &hello))
		FUZZ_CHECK(hdr.type == HTP_HELLO || hdr.type == HTP_HELLO_ACK);
	feed(true, data, size);
	feed(false, data, size);
	return 0;
}
