/* SPDX-License-Identifier: GPL-2.0 */
/* Messages of the daemon: stderr, one line each */
#ifndef HK_LOG_H
#define HK_LOG_H

#include <stdio.h>

#define hk_err(fmt, ...)	fprintf(stderr, "hooker: " fmt "\n", ##__VA_ARGS__)
#define hk_info(fmt, ...)	fprintf(stderr, "hooker: " fmt "\n", ##__VA_ARGS__)

#endif /* HK_LOG_H */
