/* SPDX-License-Identifier: GPL-2.0 */
/*
 * flood: Ethernet frames with a datagram of HTP, as somebody on the path sees them.
 */
#ifndef HK_TEST_FLOOD_H
#define HK_TEST_FLOOD_H

#include <stdbool.h>
#include <linux/types.h>

#define FRAME_MAX	2048

#define IP_OFF		14
#define L4_HDR_LEN	8
#define HTP_HDR_LEN	16
#define HTP_CTL_LEN	2	/* in its header */
#define HTP_PN		4
#define HTP_DST_ID	8
#define HTP_SRC_ID	16	/* of a HELLO */
#define HTP_TOKEN	52
#define HTP_DATA	0x10	/* version 1 in the high nibble */
#define HTP_HELLO	0x11
#define HTP_F_STREAM	0x10

/**
 * struct frame - as it was received, or shall be sent
 * @len:  bytes
 * @data: from the Ethernet header on
 */
struct frame {
	__u32	len;
	__u8	data[FRAME_MAX];
};

static inline __u16 flood_get16(const __u8 *p)
{
	return p[0] << 8 | p[1];
}

static inline void flood_put16(__u8 *p, __u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

/* flood.c */
__attribute__((noreturn)) void flood_die(const char *what);
int	flood_open(const char *device);
void	flood_receive(int fd, struct frame *in);

/* flood_frame.c */
bool	flood_is_ours(const struct frame *in);
bool	flood_is_v6(const struct frame *f);
__u32	flood_htp_off(const struct frame *f);
void	flood_make_right(struct frame *out);
void	flood_change_source(struct frame *out, __u8 last);

/* flood_inject.c */
int	flood_inject(int in, int out);

#endif /* HK_TEST_FLOOD_H */
