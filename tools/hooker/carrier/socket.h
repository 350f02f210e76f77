/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What carriers on datagram sockets share. Private to carrier/.
 */
#ifndef HK_CARRIER_SOCKET_H
#define HK_CARRIER_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "carrier.h"

#define HK_CMSG_MAX	96	/* a pktinfo of either family and two ints, aligned */

/**
 * struct hk_batch - what sendmmsg() and recvmmsg() need, one entry per message
 * @msgs: their headers
 * @iov:  their buffers; a segmented message takes several in a row
 * @name: the peers' addresses
 * @cmsg: their control messages
 */
struct hk_batch {
	struct mmsghdr		msgs[HK_CARRIER_BATCH];
	struct iovec		iov[HK_CARRIER_BATCH];
	union {
		struct sockaddr_in	in;
		struct sockaddr_in6	in6;
	}			name[HK_CARRIER_BATCH];
	union {
		struct cmsghdr		hdr;
		char			bytes[HK_CMSG_MAX];
	}			cmsg[HK_CARRIER_BATCH];
};

int	hk_socket_open(struct hk_carrier *c, const struct hk_carrier_config *config, int ip_proto);
void	hk_socket_close(struct hk_carrier *c);

int	hk_socket_family(const struct hk_path *path);
void	hk_socket_put_path(struct hk_batch *b, int i, const struct hk_path *path, __u8 ecn);
void	hk_socket_put_cmsg(struct msghdr *msg, int level, int type, const void *data, size_t len);
void	hk_socket_prepare_recv(struct hk_batch *b, int i, void *data, size_t len);
void	hk_socket_get_path(const struct msghdr *msg, struct hk_path *path);
__u8	hk_socket_get_ecn(const struct msghdr *msg);

int	hk_socket_send(int fd, struct hk_batch *b, int n);
int	hk_socket_recv(int fd, struct hk_batch *b, int n);
int	hk_socket_recv_error(struct hk_carrier *c, int family_idx, struct hk_carrier_error *error);

#endif /* HK_CARRIER_SOCKET_H */
