/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hand-over: a new daemon goes on with the connections of the old one.
 *
 *	new				old
 *	"takeover VERSION" -----------> another version: "error REASON", as for `show`
 *	<------------------------------ SETUP, FDS: settings; control socket, carriers, BPF
 *	loads its programs		goes on meanwhile
 *	FREEZE -----------------------> stops; whatever fails from here on: goes on
 *	<------------------------------ STATE: memory with all associations and flows
 *	<------------------------------ FDS: redirection sockets
 *	thaws, updates the links
 *	DONE -------------------------> ends, and touches nothing
 *	<------------------------------ BYE
 *	goes on
 *
 * So at each moment exactly one of them has the connections. Datagrams and bytes that
 * come in between wait in the sockets, which both have.
 *
 * Both are root on this host and the socket is root's; but versions differ, and
 * the sender may die at any moment, so all that comes is checked.
 */
#ifndef HK_RELAY_HANDOVER_H
#define HK_RELAY_HANDOVER_H

#include <limits.h>

#include "../dataplane/adopt.h"
#include "../htp/freeze.h"
#include "port.h"
#include "relay.h"

struct hk_relay;

/* Changes with every change of what is handed over, here, in freeze*.c and in the maps */
#define HK_STATE_VERSION	(2 << 16 | HTP_FREEZE_VERSION)

#define HK_SETUP_NAME		16
#define HK_SETUP_ABI		10
#define HK_SETUP_FDS		(2 + HK_MAX_PORTS * HK_CARRIER_SOCKETS + HK_PARTS_FDS)

enum hk_message {
	HK_MSG_SETUP,
	HK_MSG_FDS,
	HK_MSG_FREEZE,
	HK_MSG_STATE,
	HK_MSG_DONE,
	HK_MSG_BYE,
};

/**
 * struct hk_port_setup - a carrier
 * @name:     its name
 * @socks:    which sockets it has, a bit each; none: it only has a place
 * @deployed: it is that of a mechanism
 */
struct hk_port_setup {
	char	name[HK_SETUP_NAME];
	__u32	socks, deployed;
};

/**
 * struct hk_setup - what the new daemon must know to get ready
 * @abi:	 sizes of what maps hold, and of what is handed over raw
 * @bpf:	 settings of the programs, the instance among them
 * @nr_ports:	 carriers
 * @ports:	 they
 * @carriers:	 as on the command line, likewise the following; "": no more
 * @bits:	 names of carriers by bit of the offer, which rules may mean
 * @port:	 of the carriers
 * @no_xdp:	 attach no XDP program
 * @nr_named:	 devices named
 * @named:	 theirs
 * @fast_lane:	 enum hk_fast_lane
 * @udplite:	 enum hk_udplite
 * @sending:	 enum hk_sending
 * @patient:	 the first signal waits for all connections to end
 * @dead_time_s: a silent peer is given up
 * @memory:	 bytes for all connections' data
 * @cc:		 congestion controller; "": HTP's default
 * @cgroup:	 path; "": the root
 * @parts:	 of the data plane
 * @nr_fds:	 descriptors that follow: control socket, its lock, sockets of carriers,
 *		 those of @parts
 */
struct hk_setup {
	__u32				abi[HK_SETUP_ABI];
	struct hk_bpf_config		bpf;
	__u32				nr_ports;
	struct hk_port_setup		ports[HK_MAX_PORTS];
	char				carriers[HK_MAX_PORTS][HK_SETUP_NAME];
	char				bits[8][HK_MECH_NAME];
	__u32				port, no_xdp, nr_named;
	char				named[HK_MAX_DEVS][IF_NAMESIZE];
	__u32				fast_lane, udplite, sending, patient, dead_time_s;
	__u64				memory;
	char				cc[HK_SETUP_NAME];
	char				cgroup[PATH_MAX];
	struct hk_dataplane_parts	parts;
	__u32				nr_fds;
};

/* handover_msg.c */
extern const __u32 hk_setup_abi[HK_SETUP_ABI];
int	hk_send_line(int fd, const char *fmt, ...) __attribute__((__format__(printf, 2, 3)));
int	hk_send_message(int fd, enum hk_message type, const void *data, __u32 len);
int	hk_send_fds(int fd, const int *fds, __u32 nr);
int	hk_recv_message(int fd, enum hk_message type, void *data, __u32 len, char *line,
			size_t size);
int	hk_recv_fds(int fd, int *fds, __u32 nr);
void	hk_close_fds(const int *fds, __u32 nr);
void	hk_set_patience(int fd);

/* handover_give.c, handover_take.c: from one daemon to the next */
void	hk_handover_begin(struct hk_relay *r);
void	hk_handover_on_poll(struct hk_relay *r);
int	hk_handover_take(struct hk_relay *r);

#endif /* HK_RELAY_HANDOVER_H */
