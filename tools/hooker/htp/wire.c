// SPDX-License-Identifier: GPL-2.0
/*
 * The fixed header of every datagram, the body of HELLO and HELLO_ACK, and RESET.
 */
#include <errno.h>

#include "cursor.h"
#include "wire.h"

#define HELLO_BODY_LEN	(HTP_HELLO_LEN - HTP_HDR_LEN)

static int hdr_read(struct htp_reader *r, struct htp_hdr *hdr)
{
	__u8 first;

	if (htp_reader_left(r) < HTP_HDR_LEN)
		return -EBADMSG;
	first = htp_read_be(r, 1);
	hdr->type = first & 0xf;
	hdr->flags = htp_read_be(r, 1);
	hdr->ctl_len = htp_read_be(r, 2);
	hdr->pn = htp_read_be(r, 4);
	hdr->dst_id = htp_read_be(r, 8);
	return first >> 4 == HTP_VERSION && hdr->type <= HTP_RESET ? 0 : -EBADMSG;
}

/**
 * htp_hdr_read() - read and check the fixed header
 * @pkt: the datagram
 * @len: its length in bytes
 * @hdr: filled on success
 *
 * Return: 0, or -EBADMSG: too short, another version, an unknown type, a
 * control part that would end beyond the datagram, or a RESET that has one.
 */
int htp_hdr_read(const void *pkt, size_t len, struct htp_hdr *hdr)
{
	struct htp_reader r = { .p = pkt, .end = (const __u8 *)pkt + len };
	int err = hdr_read(&r, hdr);

	if (err)
		return err;
	if (hdr->type == HTP_RESET && hdr->ctl_len)
		return -EBADMSG;
	return hdr->ctl_len <= htp_reader_left(&r) ? 0 : -EBADMSG;
}

/**
 * htp_hdr_write() - write the fixed header
 * @pkt: where to
 * @cap: bytes of room there
 * @hdr: what to write; @hdr->ctl_len is not checked against @cap
 *
 * Return: 0, or -EMSGSIZE if @cap is less than HTP_HDR_LEN.
 */
int htp_hdr_write(void *pkt, size_t cap, const struct htp_hdr *hdr)
{
	struct htp_writer w = { .p = pkt, .end = (__u8 *)pkt + cap };

	if (cap < HTP_HDR_LEN)
		return -EMSGSIZE;
	htp_write_be(&w, HTP_VERSION << 4 | (hdr->type & 0xf), 1);
	htp_write_be(&w, hdr->flags, 1);
	htp_write_be(&w, hdr->ctl_len, 2);
	htp_write_be(&w, hdr->pn, 4);
	htp_write_be(&w, hdr->dst_id, 8);
	return 0;
}

/* The reader stands behind the header, and the body is there */
static void hello_read(struct htp_reader *r, struct htp_hello *hello)
{
	hello->src_id = htp_read_be(r, 8);
	hello->instance = htp_read_be(r, 8);
	hello->nonce = htp_read_be(r, 8);
	hello->max_datagram = htp_read_be(r, 2);
	hello->version = htp_read_be(r, 1);
	hello->other_class = htp_read_be(r, 1);
	hello->own_class = hello->other_class >> 4;
	hello->other_class &= 0x0f;
	hello->window = htp_read_be(r, 4);
	hello->stream_window = htp_read_be(r, 4);
	hello->token = htp_read_be(r, 4);
}

/**
 * htp_hello_read() - read and check a HELLO or HELLO_ACK
 * @pkt:   the datagram
 * @len:   its length in bytes
 * @hdr:   its header, filled on success
 * @hello: its body, filled on success
 *
 * A HELLO shorter than HTP_MIN_DATAGRAM is refused: it proves no path, and its
 * answer could be larger than itself.
 *
 * Return: 0, or -EBADMSG.
 */
int htp_hello_read(const void *pkt, size_t len, struct htp_hdr *hdr, struct htp_hello *hello)
{
	struct htp_reader r = { .p = pkt, .end = (const __u8 *)pkt + len };
	int err = htp_hdr_read(pkt, len, hdr);

	if (err)
		return err;
	if (hdr->type != HTP_HELLO && hdr->type != HTP_HELLO_ACK)
		return -EBADMSG;
	if (hdr->ctl_len < HELLO_BODY_LEN)
		return -EBADMSG;
	if (hdr->type == HTP_HELLO && len < HTP_MIN_DATAGRAM)
		return -EBADMSG;

	r.p += HTP_HDR_LEN;
	hello_read(&r, hello);
	if (hello->max_datagram < HTP_MIN_DATAGRAM || !hello->version)
		return -EBADMSG;
	return 0;
}

/**
 * htp_quote_read() - read the beginning of a datagram, as an ICMP message quotes it
 * @quote: from the HTP header on
 * @len:   its length in bytes; routers cut it off where they like
 * @hdr:   the datagram's header, filled on success
 * @hello: a HELLO's body, filled on success if it is one
 *
 * Return: 0, or -EBADMSG: too short to tell what it was, or nothing of ours.
 */
int htp_quote_read(const void *quote, size_t len, struct htp_hdr *hdr, struct htp_hello *hello)
{
	struct htp_reader r = { .p = quote, .end = (const __u8 *)quote + len };
	int err = hdr_read(&r, hdr);

	if (err || hdr->type != HTP_HELLO)
		return err;
	if (htp_reader_left(&r) < HELLO_BODY_LEN)
		return -EBADMSG;
	hello_read(&r, hello);
	return 0;
}

static size_t hello_size(__u8 type, size_t pad_to)
{
	size_t least = type == HTP_HELLO ? HTP_MIN_DATAGRAM : HTP_HELLO_LEN;

	return pad_to > least ? pad_to : least;
}

/**
 * htp_hello_write() - write a HELLO or HELLO_ACK
 * @pkt:    where to
 * @cap:    bytes of room there
 * @type:   HTP_HELLO or HTP_HELLO_ACK
 * @dst_id: destination id
 * @hello:  its body
 * @pad_to: length wanted; a HELLO gets HTP_MIN_DATAGRAM at least
 *
 * Return: the datagram's length, -EINVAL for another type, or -EMSGSIZE if it
 * doesn't fit into @cap.
 */
ssize_t htp_hello_write(void *pkt, size_t cap, __u8 type, __u64 dst_id,
			const struct htp_hello *hello, size_t pad_to)
{
	const struct htp_hdr hdr = { .type = type, .ctl_len = HELLO_BODY_LEN, .dst_id = dst_id };
	struct htp_writer w = { .p = pkt, .end = (__u8 *)pkt + cap };
	size_t len = hello_size(type, pad_to);

	if (type != HTP_HELLO && type != HTP_HELLO_ACK)
		return -EINVAL;
	if (cap < len)
		return -EMSGSIZE;
	htp_hdr_write(pkt, cap, &hdr);
	w.p += HTP_HDR_LEN;
	htp_write_be(&w, hello->src_id, 8);
	htp_write_be(&w, hello->instance, 8);
	htp_write_be(&w, hello->nonce, 8);
	htp_write_be(&w, hello->max_datagram, 2);
	htp_write_be(&w, hello->version, 1);
	htp_write_be(&w, hello->own_class << 4 | (hello->other_class & 0x0f), 1);
	htp_write_be(&w, hello->window, 4);
	htp_write_be(&w, hello->stream_window, 4);
	htp_write_be(&w, hello->token, 4);
	memset(w.p, 0, len - HTP_HELLO_LEN);
	return len;
}

/**
 * htp_reset_write() - answer DATA for an association that does not exist here
 * @pkt:     where to
 * @cap:     bytes of room there
 * @unknown: header of the datagram that came
 *
 * Only DATA is answered, so two hosts can't answer each other's RESETs, and the
 * answer is never longer than what it answers.
 *
 * Return: HTP_RESET_LEN, -EINVAL if @unknown is not to be answered, or -EMSGSIZE.
 */
ssize_t htp_reset_write(void *pkt, size_t cap, const struct htp_hdr *unknown)
{
	const struct htp_hdr hdr = { .type = HTP_RESET, .dst_id = unknown->dst_id };
	int err;

	if (unknown->type != HTP_DATA)
		return -EINVAL;
	err = htp_hdr_write(pkt, cap, &hdr);
	return err ?: HTP_RESET_LEN;
}
