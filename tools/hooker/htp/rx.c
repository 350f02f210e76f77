// SPDX-License-Identifier: GPL-2.0
/*
 * Datagrams from the peer, who may be hostile. The whole datagram is read once
 * before anything of it is believed; then its frames are carried out. All
 * frames can be repeated without harm, so a datagram for which memory runs out
 * half-way is dropped unacknowledged, and the peer sends what it held again.
 */
#include <errno.h>
#include <string.h>

#include "ack.h"
#include "cursor.h"
#include "frame.h"
#include "path.h"
#include "private.h"
#include "recovery.h"
#include "repair.h"
#include "stream.h"

#define CLOSE_GAP_MAX_NS	HTP_SEC

/**
 * struct rx_packet - a datagram taken apart
 * @pn:	       full packet number
 * @group:     group of the parity that covers it, 0: none
 * @ctl:       control part
 * @payload:   payload part
 * @len:       of the datagram
 * @path:      by which it came
 * @eliciting: it asks for an ACK
 * @closes:    it holds CLOSE
 * @repairs:   it holds REPAIR
 * @loose:     it holds bytes that may have been damaged
 */
struct rx_packet {
	__u64			pn;
	__u8			group;
	struct htp_reader	ctl, payload;
	size_t			len;
	__u32			path;
	bool			eliciting, closes, repairs, loose;
};

static int packet_read_hdr(const struct htp_assoc *a, const __u8 *pkt, size_t len,
			   struct rx_packet *p)
{
	struct htp_hdr hdr;
	int err = htp_hdr_read(pkt, len, &hdr);

	if (err)
		return err;
	if (hdr.type != HTP_DATA)
		return -EBADMSG;
	memset(p, 0, sizeof(*p));
	p->pn = htp_acks_expand(&a->acks, hdr.pn);
	p->group = hdr.flags;
	p->ctl.p = pkt + HTP_HDR_LEN;
	p->ctl.end = p->ctl.p + hdr.ctl_len;
	p->payload.p = p->ctl.end;
	p->payload.end = pkt + len;
	return 0;
}

/* Paths are tried by frames of their own, which are repeated without an ACK */
static bool is_eliciting(__u8 type)
{
	switch (type) {
	case HTP_F_PADDING:
	case HTP_F_ACK:
	case HTP_F_ACK_ECN:
	case HTP_F_CLOSE:
	case HTP_F_PATH_CHALLENGE:
	case HTP_F_PATH_RESPONSE:
		return false;
	}
	return true;
}

static bool is_loose(const struct htp_rx_frame *frame)
{
	return frame->loose &&
	       (frame->type == HTP_F_STREAM || frame->type == HTP_F_STREAM_FIN);
}

/*
 * 0, -EBADMSG, or -EPROTO if all was well up to a frame we don't know. Damaged bytes in the
 * sum of a group would damage what is rebuilt from it, and that may be anybody's.
 */
static int packet_check_frames(struct rx_packet *p)
{
	struct htp_reader ctl = p->ctl, payload = p->payload;
	struct htp_rx_frame frame;

	if (!htp_reader_left(&ctl))
		return -EBADMSG;
	while (htp_reader_left(&ctl)) {
		int err = htp_frame_read(&ctl, &payload, &frame);

		if (err)
			return err;
		p->repairs |= frame.type == HTP_F_REPAIR;
		p->closes |= frame.type == HTP_F_CLOSE;
		p->eliciting |= is_eliciting(frame.type);
		p->loose |= is_loose(&frame);
	}
	return htp_reader_left(&payload) || (p->loose && p->group) ? -EBADMSG : 0;
}

static void on_max_data(struct htp_assoc *a, __u64 limit)
{
	a->tx_limit = htp_max(a->tx_limit, limit);
}

static int frame_apply(struct htp_assoc *a, const struct rx_packet *p,
		       const struct htp_rx_frame *frame)
{
	switch (frame->type) {
	case HTP_F_PADDING:
	case HTP_F_PING:
		return 0;
	case HTP_F_ACK:
	case HTP_F_ACK_ECN:
		return htp_recovery_on_ack(a, &frame->ack);
	case HTP_F_PATH_CHALLENGE:
		htp_path_on_challenge(a, p->path, frame->offset, p->len);
		return 0;
	case HTP_F_PATH_RESPONSE:
		htp_path_on_response(a, p->path, frame->offset);
		return 0;
	case HTP_F_REPAIR:
		htp_repair_on_frame(a, frame);
		return 0;
	case HTP_F_MAX_DATA:
		on_max_data(a, frame->offset);
		return 0;
	case HTP_F_MAX_STREAM_DATA:
		if (frame->stream)
			break;
		a->tx_promise = htp_max(a->tx_promise, htp_min(frame->offset, ~0U));
		return 0;
	case HTP_F_CLOSE:
		htp_assoc_end(a, frame->code, false);
		return 0;
	case HTP_F_BLOCKED:
		if (frame->stream)
			break;
		a->want_max |= frame->offset < a->rx_limit;
		return 0;
	}
	return htp_stream_on_frame(a, frame);
}

static int packet_apply(struct htp_assoc *a, struct rx_packet *p)
{
	struct htp_rx_frame frame;
	int err = 0;

	while (!err && !a->closed && htp_reader_left(&p->ctl)) {
		err = htp_frame_read(&p->ctl, &p->payload, &frame);
		if (!err)
			err = frame_apply(a, p, &frame);
	}
	return err;
}

/* After the end a peer that goes on is told again, ever more rarely; one that knows is not */
static int rx_closed(struct htp_assoc *a, struct rx_packet *p)
{
	if (packet_check_frames(p) || p->closes || a->now < a->close_ns)
		return 0;
	if (a->close_gap_ns) {
		a->close_due = true;
		a->close_ns = a->now + a->close_gap_ns;
		a->close_gap_ns = htp_min(2 * a->close_gap_ns, CLOSE_GAP_MAX_NS);
	}
	return 0;
}

/*
 * A datagram that didn't come, rebuilt: used as if it had, but not acknowledged.
 * The sender repeats what it held anyway, so nothing depends on its fate.
 */
static void rx_repaired(struct htp_assoc *a, __u8 group)
{
	const struct htp_group *g = htp_repair_take(a, group);
	struct rx_packet p = { 0 };

	if (!g)
		return;
	p.path = a->paths.used;
	p.ctl.p = g->data;
	p.ctl.end = g->data + g->ctl_len;
	p.payload.p = p.ctl.end;
	p.payload.end = g->data + g->len;
	if (packet_check_frames(&p) || p.repairs || p.loose)
		return;
	a->stats.rx_repaired++;
	packet_apply(a, &p);
}

static int rx_malformed(struct htp_assoc *a, int err)
{
	a->stats.rx_malformed++;
	if (err == -EPROTO)
		htp_assoc_end(a, HTP_CODE_PROTOCOL, true);
	return err;
}

/*
 * It came by a path that is not in use: first only frames about paths count, and what is
 * wrong with it is not the peer's fault. True if the rest of it may be used, too.
 */
static bool rx_elsewhere(struct htp_assoc *a, struct rx_packet p, const struct htp_via *via)
{
	struct rx_packet check = p;
	struct htp_rx_frame frame;

	if (packet_check_frames(&check))
		return false;
	htp_path_on_rx(a, via, p.pn, p.len);
	while (via->path < HTP_PATHS && htp_reader_left(&p.ctl)) {
		htp_frame_read(&p.ctl, &p.payload, &frame);
		if (frame.type == HTP_F_PATH_CHALLENGE || frame.type == HTP_F_PATH_RESPONSE)
			frame_apply(a, &p, &frame);
	}
	return htp_path_is_believed(a, via->path);
}

/**
 * htp_assoc_rx() - a datagram came by the path in use
 * @a:      association
 * @pkt:    datagram with this association's id as destination
 * @len:    its length
 * @now_ns: time
 *
 * Return: 0, also for a repeated datagram; -EBADMSG: malformed, ignored;
 * -EPROTO: the peer broke the protocol, the association ended; -ENOMEM: dropped,
 * the peer will send its content again.
 */
int htp_assoc_rx(struct htp_assoc *a, const void *pkt, size_t len, __u64 now_ns)
{
	const struct htp_via via = { .path = a->paths.used };

	return htp_assoc_rx_via(a, pkt, len, &via, now_ns);
}

/**
 * htp_assoc_rx_via() - a datagram came
 * @a:      association
 * @pkt:    datagram with this association's id as destination
 * @len:    its length
 * @via:    how it came
 * @now_ns: time
 *
 * Return: as htp_assoc_rx(); -EPERM: it came by a path by which the peer isn't known to
 * be, and its content was not used.
 */
int htp_assoc_rx_via(struct htp_assoc *a, const void *pkt, size_t len,
		     const struct htp_via *via, __u64 now_ns)
{
	struct rx_packet p;
	__u16 ctl_len;
	int err;

	htp_assoc_set_now(a, now_ns);
	a->stats.rx_datagrams++;
	a->stats.rx_bytes += len;
	err = packet_read_hdr(a, pkt, len, &p);
	if (err)
		return rx_malformed(a, err);
	p.len = len;
	p.path = via->path;
	if (a->closed)
		return rx_closed(a, &p);
	if (via->path != a->paths.used && !rx_elsewhere(a, p, via))
		return -EPERM;
	if (htp_acks_has(&a->acks, p.pn)) {
		a->stats.rx_duplicates++;
		return 0;
	}
	err = packet_check_frames(&p);
	if (err)
		return rx_malformed(a, err);

	a->last_rx_ns = a->now;
	a->asked_ns = HTP_NEVER;
	a->suspect_ns = HTP_NEVER;
	ctl_len = p.payload.p - p.ctl.p;
	err = packet_apply(a, &p);
	if (err == -EPROTO)
		return rx_malformed(a, err);
	if (err || a->closed)
		return err;
	htp_acks_record(a, p.pn, p.eliciting);
	htp_acks_count(a, via->ecn, p.eliciting);
	if (p.group)
		htp_repair_on_packet(a, p.group, (const __u8 *)pkt + HTP_HDR_LEN,
				     len - HTP_HDR_LEN, ctl_len);
	if (p.group || p.repairs)
		rx_repaired(a, p.group);
	return 0;
}
