/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon: what `hooker run` starts and what its control socket answers.
 */
#ifndef HK_RELAY_H
#define HK_RELAY_H

#include <linux/types.h>
#include <stdbool.h>
#include <net/if.h>
#include "../dataplane/dataplane.h"

struct hk_policy;

#define HK_DEFAULT_PORT		18507
#define HK_DEFAULT_NAME		"default"
#define HK_DEFAULT_DEAD_TIME	20	/* seconds */
#define HK_RUN_DIR		"/run/hooker"
#define HK_MAX_DEVS		16
#define HK_DEFAULT_MEMORY	(1ULL << 30)
#define HK_MIN_MEMORY		(16ULL << 20)
#define HK_MAX_RULES		64

/* Which UDP-Lite it shall be */
enum hk_udplite {
	HK_UDPLITE_AUTO,	/* the kernel's sockets, or deployed where there are none */
	HK_UDPLITE_NATIVE,
	HK_UDPLITE_DEPLOYED,
};

/* How UDP-Lite is sent */
enum hk_sending {
	HK_SEND_SOCKET,
	HK_SEND_XSK,		/* AF_XDP in copy mode, beside the socket */
	HK_SEND_XSK_ZEROCOPY,	/* in zero-copy mode where the driver can do it */
};

/**
 * struct hk_prefix - one --to
 * @addr: IPv6 or IPv4-mapped, network order, host bits zero
 * @len:  prefix length over the 128 bits (an IPv4 /24 is 120)
 * @port: network order, 0: any
 */
struct hk_prefix {
	__be32	addr[4];
	__u8	len;
	__be16	port;
};

/**
 * struct hk_relay_config - what the command line says; the parser fills it, hk_relay_run() reads it
 * @name:        names the control socket /run/hooker/NAME.sock
 * @cgroup:      path of a cgroup2 directory; NULL: the root, found by itself
 * @carriers:    names in order of preference, NULL-terminated
 * @port:        host order
 * @devs:        devices that get the XDP program
 * @nr_devs:     how many; 0: all up, non-loopback
 * @no_xdp:      attach none
 * @to:          outgoing connections that are offered
 * @nr_to:       how many; 0 with @nr_from_ports 0: all connections
 * @from_ports:  local ports, host order, whose listeners take offers
 * @nr_from_ports: how many
 * @fast_lane:   whether there is one
 * @udplite:     enum hk_udplite
 * @policy:      rules to start with; NULL: none
 * @policy_file: where they come from
 * @sending:     enum hk_sending
 * @cc:          congestion controller, one that htp_cc_by_name() knows; NULL: HTP's default
 * @dead_time_s: a peer that is silent for so long, although asked, is given up
 * @patient:     the first signal waits for all connections to end, however long that takes
 * @memory:      bytes for all connections' data; 0: HK_DEFAULT_MEMORY
 * @takeover:    go on with what the daemon @name has; of all others only @cc, @dead_time_s,
 *               @memory and @debug count, where they are not 0
 * @debug:       print libbpf's and the verifier's messages
 */
struct hk_relay_config {
	const char		*name;
	const char		*cgroup;
	const char		*carriers[8];
	__u16			port;
	char			devs[HK_MAX_DEVS][IF_NAMESIZE];
	unsigned int		nr_devs;
	bool			no_xdp;
	struct hk_prefix	to[HK_MAX_RULES];
	unsigned int		nr_to;
	__u16			from_ports[HK_MAX_RULES];
	unsigned int		nr_from_ports;
	enum hk_fast_lane	fast_lane;
	enum hk_udplite		udplite;
	const struct hk_policy	*policy;
	const char		*policy_file;
	enum hk_sending		sending;
	const char		*cc;
	unsigned int		dead_time_s;
	bool			patient;
	__u64			memory;
	bool			takeover;
	bool			debug;
};

/* relay/host.c */
int	hk_host_cgroup2(char *path, size_t size);

/* relay/prefix.c: what users write */
int	hk_number_parse(const char *text, unsigned long min, unsigned long max,
			unsigned long *value);
#define HK_PREFIX_TEXT	64	/* bytes of any prefix as text, NUL included */
const char *hk_prefix_format(const struct hk_prefix *prefix, char text[HK_PREFIX_TEXT]);
const char *hk_prefix_parse(const char *text, struct hk_prefix *prefix);

int	hk_relay_run(const struct hk_relay_config *config);

#endif /* HK_RELAY_H */
