/* SPDX-License-Identifier: GPL-2.0 */
/* Flow control, and the memory that it bounds: window.c */
#ifndef HTP_WINDOW_H
#define HTP_WINDOW_H

#include <linux/types.h>

/* No window or buffer that is thawed is larger */
#define HTP_THAW_WINDOW	(1ULL << 30)

struct htp_assoc;
struct htp_freezer;
struct htp_stats;
struct htp_stream;

/**
 * struct htp_window - a receive window
 * @size:     bytes
 * @from:     bytes received when the two round trips began that are looked at
 * @came:     bytes received in the two round trips before those
 * @last:     and when the application last had all that was complete
 * @since_ns: when those round trips began
 * @grown_ns: when @size was last doubled
 */
struct htp_window {
	__u32	size;
	__u64	from, last, came, since_ns, grown_ns;
};

void	htp_window_init(struct htp_assoc *a);
void	htp_window_exit(struct htp_assoc *a);
void	htp_window_set(struct htp_assoc *a, __u64 limit, __u64 consumed);
void	htp_window_init_stream(struct htp_stream *s);
void	htp_window_on_consumed(struct htp_assoc *a, __u64 len);
void	htp_window_on_read(struct htp_stream *s, __u64 len);
void	htp_window_on_ahead(struct htp_stream *s);
void	htp_window_on_complete(struct htp_assoc *a, __u64 len);
__u64	htp_window_limit(struct htp_assoc *a);
__u64	htp_window_stream_limit(struct htp_stream *s);
__u64	htp_window_send_buffer(const struct htp_assoc *a);
__u64	htp_window_send_room(const struct htp_stream *s);
void	htp_window_stats(const struct htp_assoc *a, struct htp_stats *stats);

/* freeze.c */
void	htp_freeze_window(struct htp_freezer *f, const struct htp_assoc *a, struct htp_window *w,
			  __u64 received);

#endif /* HTP_WINDOW_H */
