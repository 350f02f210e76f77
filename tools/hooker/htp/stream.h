/* SPDX-License-Identifier: GPL-2.0 */
/* Streams */
#ifndef HTP_STREAM_H
#define HTP_STREAM_H

#include <linux/types.h>
#include <stdbool.h>
#include "frame.h"
#include "htp.h"
#include "list.h"
#include "queue.h"
#include "recovery.h"
#include "window.h"

#define HTP_OPEN_MAX		256	/* bytes of data in OPEN */
#define HTP_UNOPENED_MAX	(1 << 20)	/* bytes kept for streams whose OPEN is missing */
#define HTP_STUBS		64	/* refused streams whose RESET isn't acknowledged */

struct htp_freezer;

/* Frames a stream has to send besides its bytes */
enum htp_want {
	HTP_WANT_OPEN		= 1 << 0,
	HTP_WANT_ACCEPT		= 1 << 1,
	HTP_WANT_RESET		= 1 << 2,
	HTP_WANT_MAX		= 1 << 3,
	HTP_WANT_BLOCKED	= 1 << 4,
};

/**
 * struct htp_stream - a stream
 * @a:		 its association
 * @id:		 its id
 * @owner:	 the application's
 * @hash_next:	 next in the same bucket
 * @all:	 link in the association's list of streams
 * @event_link:	 in that of streams with events
 * @ctl_link:	 in that of streams with frames, lost bytes or a FIN to send
 * @data_link:	 in that of streams with new bytes to send
 * @unseen_link: in that of our streams which the peer may not have heard of
 * @reserve_link: in that of streams with memory handed out by reserve
 * @open_data:	 data of OPEN; owned, NULL if there is none
 * @open_len:	 its length
 * @unopened:	 bytes received while OPEN is missing, counted in the association, too
 * @events:	 HTP_EV_* not fetched yet
 * @want:	 HTP_WANT_*
 * @code:	 why it is dead
 * @tx:		 bytes out
 * @rx:		 bytes in
 * @window:	 of them
 * @local:	 opened by this side
 * @loose:	 the application takes damaged bytes, and may send such
 * @peer_loose:	 so does the peer's
 * @opened:	 OPEN was sent or came. Before that the application doesn't know it
 * @accepted:	 ACCEPT came, or htp_stream_accept() was called
 * @dead:	 reset, by whomever
 * @owes_reset:	 our RESET is not acknowledged yet
 * @stub:	 refused for lack of room; exists to say so
 * @finished:	 HTP_EV_FINISHED was given
 * @released:	 the application is done with it
 *
 * Destroyed once released and settled: nothing left to send, and the size of
 * what the peer sent is known, because that counts in the association's window.
 */
struct htp_stream {
	struct htp_assoc	*a;
	__u64			id;
	void			*owner;
	struct htp_stream	*hash_next;
	struct htp_link		all, event_link, ctl_link, data_link, unseen_link, reserve_link;
	__u8			*open_data;
	__u16			open_len;
	__u64			unopened;
	__u32			events, want;
	enum htp_code		code;
	struct htp_sendq	tx;
	struct htp_recvq	rx;
	struct htp_window	window;
	bool			local, opened, accepted, dead, owes_reset, stub, finished, released;
	bool			loose, peer_loose;
};

/* stream.c */
struct htp_stream *htp_stream_find(const struct htp_assoc *a, __u64 id);
struct htp_stream *htp_stream_create(struct htp_assoc *a, __u64 id, bool local);
void	htp_stream_destroy(struct htp_stream *s);
void	htp_stream_raise(struct htp_stream *s, unsigned int events);
void	htp_stream_schedule(struct htp_stream *s);
void	htp_stream_forget_unopened(struct htp_stream *s);
void	htp_stream_kill(struct htp_stream *s, enum htp_code code);
void	htp_stream_settle(struct htp_stream *s);
void	htp_stream_drop_reserved(struct htp_assoc *a);

/* stream_sent.c: fate of what a packet held */
void	htp_stream_on_acked(struct htp_assoc *a, const struct htp_sent_frame *frame);
void	htp_stream_on_lost(struct htp_assoc *a, const struct htp_sent_frame *frame);

/* stream_rx.c: frames about streams */
int	htp_stream_on_frame(struct htp_assoc *a, const struct htp_rx_frame *frame);

/* freeze_stream.c: see freeze.h */
void	htp_stream_freeze(struct htp_freezer *f, struct htp_stream *s);
void	htp_stream_thaw(struct htp_freezer *f, struct htp_assoc *a);

#endif /* HTP_STREAM_H */
