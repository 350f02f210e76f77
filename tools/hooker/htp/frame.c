// SPDX-License-Identifier: GPL-2.0
/*
 * Frames: reading and writing them. Nothing here looks at an association, so
 * this is also what a fuzzer of the parser calls.
 */
#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "frame.h"
#include "units.h"
#include "wire.h"

static int ack_add_range(struct htp_ack *ack, __u64 largest, __u64 len)
{
	if (len > largest)
		return -EBADMSG;
	if (ack->nr < HTP_ACK_RANGES) {		/* older ones are left out */
		ack->r[ack->nr].start = largest - len;
		ack->r[ack->nr].end = largest + 1;
		ack->nr++;
	}
	return 0;
}

static int ack_read(struct htp_reader *ctl, struct htp_ack *ack)
{
	__u64 nr, smallest, len;

	ack->nr = 0;
	ack->largest = htp_read_varint(ctl);
	ack->delay_ns = htp_min(htp_read_varint(ctl), HTP_SEC / HTP_USEC) * HTP_USEC;
	nr = htp_read_varint(ctl);
	len = htp_read_varint(ctl);
	if (ctl->bad || ack_add_range(ack, ack->largest, len))
		return -EBADMSG;

	smallest = ack->largest - len;
	while (nr--) {
		__u64 gap = htp_read_varint(ctl);

		len = htp_read_varint(ctl);
		if (ctl->bad || smallest < gap + 2)
			return -EBADMSG;
		smallest -= gap + 2;
		if (ack_add_range(ack, smallest, len))
			return -EBADMSG;
		smallest -= len;
	}
	return 0;
}

static void ecn_read(struct htp_reader *ctl, struct htp_ack *ack)
{
	int i;

	for (i = 0; i < HTP_NR_ACK_ECN; i++)
		ack->ecn[i] = htp_read_varint(ctl);
	ack->has_ecn = true;
}

static void stream_read(struct htp_reader *ctl, struct htp_reader *payload,
			struct htp_rx_frame *frame)
{
	frame->stream = htp_read_varint(ctl);
	frame->offset = htp_read_varint(ctl);
	frame->len = htp_read_varint(ctl);
	frame->data = htp_read_bytes(payload, frame->len);
}

static void open_read(struct htp_reader *ctl, struct htp_rx_frame *frame)
{
	frame->stream = htp_read_varint(ctl);
	frame->len = htp_read_varint(ctl);
	frame->data = htp_read_bytes(ctl, frame->len);
}

/* Whatever a later version means by it, here it is an enum htp_code */
static __u64 code_read(struct htp_reader *ctl)
{
	__u64 code = htp_read_varint(ctl);

	return code <= HTP_CODE_SHUTDOWN ? code : HTP_CODE_PROTOCOL;
}

static void reset_read(struct htp_reader *ctl, struct htp_rx_frame *frame)
{
	frame->stream = htp_read_varint(ctl);
	frame->code = code_read(ctl);
	frame->offset = htp_read_varint(ctl);
}

static void repair_read(struct htp_reader *ctl, struct htp_reader *payload,
			struct htp_rx_frame *frame)
{
	frame->repair.id = htp_read_be(ctl, 1);
	frame->repair.nr = htp_read_be(ctl, 1);
	frame->repair.ctl_len = htp_read_be(ctl, 2);
	frame->repair.len = htp_read_be(ctl, 2);
	frame->repair.hash = htp_read_be(ctl, 4);
	frame->len = htp_read_be(ctl, 2);
	frame->data = htp_read_bytes(payload, frame->len);
}

/* Of two types that differ in coverage alone there is one from here on */
static bool strip_loose(__u8 *type)
{
	switch (*type) {
	case HTP_F_OPEN_LOOSE:
		*type = HTP_F_OPEN;
		return true;
	case HTP_F_ACCEPT_LOOSE:
		*type = HTP_F_ACCEPT;
		return true;
	case HTP_F_STREAM_LOOSE:
		*type = HTP_F_STREAM;
		return true;
	case HTP_F_STREAM_FIN_LOOSE:
		*type = HTP_F_STREAM_FIN;
		return true;
	}
	return false;
}

/**
 * htp_frame_read() - read the next frame
 * @ctl:     the control part, not at its end
 * @payload: the payload part; a STREAM frame takes its bytes from here
 * @frame:   filled on success
 *
 * Return: 0; -EBADMSG: it ends beyond a part or is nonsense; -EPROTO: its type
 * is not known, so nothing after it can be read.
 */
int htp_frame_read(struct htp_reader *ctl, struct htp_reader *payload,
		   struct htp_rx_frame *frame)
{
	frame->type = htp_read_be(ctl, 1);
	frame->loose = strip_loose(&frame->type);
	switch (frame->type) {
	case HTP_F_PADDING:
	case HTP_F_PING:
		break;
	case HTP_F_ACK:
		frame->ack.has_ecn = false;
		return ack_read(ctl, &frame->ack);
	case HTP_F_ACK_ECN:
		if (ack_read(ctl, &frame->ack))
			return -EBADMSG;
		ecn_read(ctl, &frame->ack);
		break;
	case HTP_F_MAX_DATA:
		frame->offset = htp_read_varint(ctl);
		break;
	case HTP_F_MAX_STREAM_DATA:
	case HTP_F_BLOCKED:
		frame->stream = htp_read_varint(ctl);
		frame->offset = htp_read_varint(ctl);
		break;
	case HTP_F_RESET:
		reset_read(ctl, frame);
		break;
	case HTP_F_OPEN:
		open_read(ctl, frame);
		break;
	case HTP_F_ACCEPT:
		frame->stream = htp_read_varint(ctl);
		break;
	case HTP_F_CLOSE:
		frame->code = code_read(ctl);
		break;
	case HTP_F_PATH_CHALLENGE:
	case HTP_F_PATH_RESPONSE:
		frame->offset = htp_read_be(ctl, 8);
		break;
	case HTP_F_REPAIR:
		repair_read(ctl, payload, frame);
		if (frame->len > HTP_MAX_DATAGRAM || !frame->repair.id)
			return -EBADMSG;
		break;
	case HTP_F_STREAM:
	case HTP_F_STREAM_FIN:
		stream_read(ctl, payload, frame);
		break;
	default:
		return -EPROTO;
	}
	return ctl->bad || payload->bad ? -EBADMSG : 0;
}

/* True if it fitted; else nothing was written */
bool htp_frame_write_ack(struct htp_writer *w, const struct htp_ack *ack)
{
	struct htp_writer old = *w;
	__u32 i;

	htp_write_be(w, ack->has_ecn ? HTP_F_ACK_ECN : HTP_F_ACK, 1);
	htp_write_varint(w, ack->largest);
	htp_write_varint(w, ack->delay_ns / HTP_USEC);
	htp_write_varint(w, ack->nr - 1);
	htp_write_varint(w, ack->r[0].end - ack->r[0].start - 1);
	for (i = 1; i < ack->nr; i++) {
		htp_write_varint(w, ack->r[i - 1].start - ack->r[i].end - 1);
		htp_write_varint(w, ack->r[i].end - ack->r[i].start - 1);
	}
	for (i = 0; ack->has_ecn && i < HTP_NR_ACK_ECN; i++)
		htp_write_varint(w, ack->ecn[i]);
	if (!w->bad)
		return true;
	*w = old;
	return false;
}

/* Length of a STREAM frame without its bytes; the length field always takes two */
size_t htp_frame_stream_hdr_len(__u64 stream, __u64 offset)
{
	return 1 + htp_varint_len(stream) + htp_varint_len(offset) + 2;
}

void htp_frame_write_stream(struct htp_writer *w, __u8 type, __u64 stream, __u64 offset,
			    __u32 len)
{
	htp_write_be(w, type, 1);
	htp_write_varint(w, stream);
	htp_write_varint(w, offset);
	htp_write_be(w, 0x4000 | len, 2);
}
