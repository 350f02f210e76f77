/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HTP on the wire: constants, and functions that read and write it field by
 * field. Every function takes a length; no buffer is ever cast to a struct.
 *
 * A datagram:
 *
 *	 0                   1                   2                   3
 *	+-------+-------+---------------+-------------------------------+
 *	|version| type  |     flags     |        control length         |
 *	+-------+-------+---------------+-------------------------------+
 *	|                packet number (low 32 bits)                    |
 *	+---------------------------------------------------------------+
 *	|                 destination id (64 bits)                      |
 *	|                                                               |
 *	+---------------------------------------------------------------+
 *	|  control part: frames                                       ...
 *	+---------------------------------------------------------------+
 *	|  payload part: the bytes of the STREAM frames, in their order ...
 *
 * All integers are big-endian; inside the control part they are
 * variable-length (RFC 9000, section 16) unless a width is given. The control
 * part stands first so that a UDP-Lite checksum can cover it and end before
 * the payload (RFC 3828, section 3.1).
 *
 * The destination id of DATA and HELLO_ACK is the association id that the
 * receiver chose; of HELLO it is the receiver's instance id, learned from the
 * TCP option; of PROBE and PROBE_REPLY a nonce of the prober; of RESET the id that the
 * datagram had which it answers.
 */
#ifndef HTP_WIRE_H
#define HTP_WIRE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HTP_VERSION		1
#define HTP_HDR_LEN		16
#define HTP_HDR_CTL_LEN		2	/* offset of the control length in it */
#define HTP_MIN_DATAGRAM	1200	/* HELLO is padded at least to this */
#define HTP_MAX_DATAGRAM	9000
#define HTP_HELLO_LEN		56	/* header included, padding not */
#define HTP_RESET_LEN		HTP_HDR_LEN

enum htp_type {
	HTP_DATA	= 0,
	HTP_HELLO	= 1,
	HTP_HELLO_ACK	= 2,
	HTP_PROBE	= 3,
	HTP_PROBE_REPLY	= 4,
	HTP_RESET	= 5,
};

/*
 * Frames. The first byte of each is its type. A receiver closes the
 * association on a frame type it does not know (as RFC 9000, section 12.4):
 * lengths can't be guessed, and versions are agreed on in HELLO.
 */
enum htp_frame {
	HTP_F_PADDING		= 0x00,	/* one byte, ignored */
	HTP_F_PING		= 0x01,	/* ack-eliciting, empty */
	HTP_F_ACK		= 0x02,	/* RFC 9000, 19.3; delay in us */
	HTP_F_MAX_DATA		= 0x03,	/* maximum: bytes of all streams together */
	HTP_F_MAX_STREAM_DATA	= 0x04,	/* stream, maximum offset */
	HTP_F_RESET		= 0x05,	/* stream, code, final size: RFC 9000, 19.4 */
	HTP_F_OPEN		= 0x06,	/* stream, length, opaque bytes for the peer's relay */
	HTP_F_ACCEPT		= 0x07,	/* stream */
	HTP_F_CLOSE		= 0x08,	/* code: the whole association ends now */
	HTP_F_BLOCKED		= 0x09,	/* stream (0: the association), limit met */
	HTP_F_REPAIR		= 0x0a,	/* parity of a group of datagrams, see repair.c */
	HTP_F_ACK_ECN		= 0x0b,	/* ACK, then counts of marks: RFC 9000, 19.3.2 */
	HTP_F_PATH_CHALLENGE	= 0x0c,	/* 8 bytes: RFC 9000, 19.17 */
	HTP_F_PATH_RESPONSE	= 0x0d,	/* the same 8 bytes, by the path they came by */
	HTP_F_OPEN_LOOSE	= 0x0e,	/* OPEN; this side takes damaged bytes on the stream */
	HTP_F_ACCEPT_LOOSE	= 0x0f,	/* ACCEPT, likewise */
	HTP_F_STREAM		= 0x10,	/* stream, offset, length; bytes in the payload */
	HTP_F_STREAM_FIN	= 0x11,	/* the same, and the stream ends at offset + length */
	HTP_F_STREAM_LOOSE	= 0x12,	/* STREAM whose bytes need not be covered */
	HTP_F_STREAM_FIN_LOOSE	= 0x13,	/* STREAM_FIN, likewise */
};

/* Codes of RESET and CLOSE */
enum htp_code {
	HTP_CODE_NONE		= 0,	/* CLOSE: orderly end */
	HTP_CODE_APP_RESET	= 1,	/* the application's TCP socket was reset */
	HTP_CODE_REFUSED	= 2,	/* OPEN names no connection that can be had */
	HTP_CODE_TIMEOUT	= 3,	/* peer silent for too long */
	HTP_CODE_PROTOCOL	= 4,	/* peer broke the protocol */
	HTP_CODE_NOMEM		= 5,	/* a limit or an allocation failed here */
	HTP_CODE_SHUTDOWN	= 6,	/* daemon stops */
};

/**
 * struct htp_hdr - the fixed header of each datagram, host byte order
 * @type:    enum htp_type
 * @flags:   DATA: group whose parity covers this datagram, 0: none; else 0
 * @ctl_len: bytes of the control part that follows the header
 * @pn:      low 32 bits of the packet number
 * @dst_id:  destination id
 */
struct htp_hdr {
	__u8	type;
	__u8	flags;
	__u16	ctl_len;
	__u32	pn;
	__u64	dst_id;
};

/**
 * struct htp_hello - body of HELLO and HELLO_ACK, host byte order
 * @src_id:	     association id which the receiver puts into DATA to the sender
 * @instance:	     sender's instance id (random per start of its daemon)
 * @nonce:	     HELLO: chosen by the sender; HELLO_ACK: that of the HELLO answered
 * @max_datagram:    largest datagram the sender takes, bytes of UDP payload
 * @version:	     highest HTP version the sender speaks
 * @own_class:	     kind of what the sender sends, a number from 0 to 15 that it knows
 * @other_class:     kind of what the receiver sends, as its SYN-ACK said
 * @window:	     bytes of all streams together it takes before MAX_DATA
 * @stream_window:   bytes of each stream it takes before MAX_STREAM_DATA
 * @token:	     of the receiver, from the TCP option of its SYN-ACK
 *
 * Layout after the header: src_id u64, instance u64, nonce u64, max_datagram
 * u16, version u8, own_class u4, other_class u4, window u32, stream_window u32, token u32,
 * then zero padding, so that a HELLO also proves that its size passes.
 */
struct htp_hello {
	__u64	src_id;
	__u64	instance;
	__u64	nonce;
	__u16	max_datagram;
	__u8	version;
	__u8	own_class, other_class;
	__u32	window;
	__u32	stream_window;
	__u32	token;
};

int htp_hdr_read(const void *pkt, size_t len, struct htp_hdr *hdr);
int htp_hdr_write(void *pkt, size_t cap, const struct htp_hdr *hdr);

int htp_hello_read(const void *pkt, size_t len, struct htp_hdr *hdr, struct htp_hello *hello);
ssize_t htp_hello_write(void *pkt, size_t cap, __u8 type, __u64 dst_id,
			const struct htp_hello *hello, size_t pad_to);

int htp_quote_read(const void *quote, size_t len, struct htp_hdr *hdr, struct htp_hello *hello);

ssize_t htp_reset_write(void *pkt, size_t cap, const struct htp_hdr *unknown);

#endif /* HTP_WIRE_H */
