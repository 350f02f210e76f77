/* SPDX-License-Identifier: GPL-2.0 */
/* Bytes to and from a blocking descriptor, all of them: for the relay and for commands */
#ifndef HK_RELAY_IO_H
#define HK_RELAY_IO_H

#include <stddef.h>
#include <sys/types.h>

int	hk_send_all(int fd, const void *data, size_t len);
ssize_t	hk_read_all(int fd, void *data, size_t len);

#endif /* HK_RELAY_IO_H */
