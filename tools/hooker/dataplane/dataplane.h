/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The BPF side as the daemon sees it: load, attach, maps. Only the files of this
 * directory know libbpf and the skeletons.
 *
 * All attachments are links, or live in maps that only the daemon holds: they
 * are gone when it is, however it ended.
 */
#ifndef HK_DATAPLANE_H
#define HK_DATAPLANE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include "../bpf/hooker_abi.h"
#include "../bpf/mechanism.h"

struct hk_dataplane;
struct hk_dataplane_parts;

/* Whether applications' sockets get into the SOCKHASH, see hk_inq_is_right() */
enum hk_fast_lane {
	HK_FAST_LANE_AUTO,	/* non-blocking ones, unless FIONREAD would be wrong */
	HK_FAST_LANE_ALWAYS,
	HK_FAST_LANE_NEVER,
};

/**
 * struct hk_policy_rule - a rule as the programs get it
 * @from:     prefix of the side that called connect(); IPv6 or IPv4-mapped, host bits zero
 * @to:       prefix of the other side
 * @from_len: over 128 bits; 0: any
 * @to_len:   likewise
 * @in:       holds for connections to listeners here
 * @out:      holds for connections from here
 * @port_min: of the other side's ports, host order, the smallest one
 * @port_max: and the largest
 * @cgroup:   id of the cgroup that the socket here is in, or below; 0: any
 * @action:   what becomes of the connection
 */
struct hk_policy_rule {
	__be32			from[4], to[4];
	__u8			from_len, to_len;
	bool			in, out;
	__u16			port_min, port_max;
	__u64			cgroup;
	struct hk_action	action;
};

/**
 * struct hk_policy_store - the maps that hold the rules; see hk_policy_install()
 * @lpm_fd:	hk_policy_lpm; borrowed, as all of them
 * @cgroups_fd:	hk_policy_cgroups
 * @sets_fd:	hk_policy_sets
 * @actions_fd:	hk_policy_actions
 * @live:	where the generation is made known
 * @last_gen:	last one used
 * @image:	what is in the maps; owned, NULL for nothing
 */
struct hk_policy_store {
	int			lpm_fd, cgroups_fd, sets_fd, actions_fd;
	struct hk_live		*live;
	__u32			last_gen;
	struct hk_policy_image	*image;
};

int	hk_policy_install(struct hk_policy_store *store, const struct hk_policy_rule *rules,
			  unsigned int nr);
int	hk_policy_adopt(struct hk_policy_store *store, const struct hk_policy_rule *rules,
			unsigned int nr, __u32 last_gen);

/**
 * struct hk_dataplane_config - what the programs are loaded with; copied
 * @bpf:	settings that become constants in the programs
 * @cgroup_fd:	cgroup2 directory to attach to; borrowed for the call
 * @max_flows:	connections at once: sizes of the maps keyed by connection
 * @xdp:	load the XDP program; hk_dataplane_add_dev() attaches it
 * @to:		prefixes for outgoing connections, unless @bpf.all_outgoing
 * @nr_to:	of them
 * @from:	ports for listeners, host order, unless @bpf.all_incoming
 * @nr_from:	of them
 * @policy:	rules that hold from the first connection on
 * @nr_policy:	of them
 * @fast_lane:	enum hk_fast_lane
 * @debug:	pass on the messages of libbpf and the verifier
 * @adopt:	go on with the maps of another process, filled as they are, and attach
 *		nothing yet, see adopt.h; NULL: make all anew
 * @adopt_fds:	its descriptors; borrowed for the call
 */
struct hk_dataplane_config {
	struct hk_bpf_config	bpf;
	int			cgroup_fd;
	__u32			max_flows;
	bool			xdp;
	const struct hk_to_key	*to;
	unsigned int		nr_to;
	const __u16		*from;
	unsigned int		nr_from;
	const struct hk_policy_rule *policy;
	unsigned int		nr_policy;
	enum hk_fast_lane	fast_lane;
	bool			debug;

	const struct hk_dataplane_parts *adopt;
	const int		*adopt_fds;
};

/**
 * struct hk_dataplane_times - how long the steps of hk_dataplane_create() took
 * @load_ns:   open, relocate, verify, JIT: all objects
 * @attach_ns: cgroup links, SOCKHASH; of a mechanism its slot and the devices
 */
struct hk_dataplane_times {
	__u64	load_ns, attach_ns;
};

bool	hk_inq_is_right(void);
int	hk_dataplane_create(struct hk_dataplane **dp, const struct hk_dataplane_config *config);
void	hk_dataplane_destroy(struct hk_dataplane *dp);
const struct hk_dataplane_times *hk_dataplane_times(const struct hk_dataplane *dp);
__u64	hk_dataplane_listeners(const struct hk_dataplane *dp, __u64 *served);
bool	hk_dataplane_has_fast_lane(const struct hk_dataplane *dp);

/* How the XDP program runs on a device */
enum hk_xdp_mode {
	HK_XDP_NONE,		/* it does not */
	HK_XDP_NATIVE,
	HK_XDP_GENERIC,
};

/* Devices that run the XDP program, and are the mechanisms' way out */
int	hk_dataplane_add_dev(struct hk_dataplane *dp, int ifindex);
int	hk_dataplane_add_exit(struct hk_dataplane *dp, int ifindex);
void	hk_dataplane_del_dev(struct hk_dataplane *dp, int ifindex);
void	hk_dataplane_devs(const struct hk_dataplane *dp,
			  void (*fn)(void *priv, int ifindex, enum hk_xdp_mode mode), void *priv);

/* Mechanisms: IP protocols that are BPF objects */
#define HK_MECH_WHY	256	/* bytes that say why one was refused */

struct hk_mech;

int	hk_dataplane_add_mech(struct hk_dataplane *dp, const char *path, struct hk_mech **mech,
			      char why[HK_MECH_WHY]);
void	hk_dataplane_del_mech(struct hk_dataplane *dp, struct hk_mech *mech);
struct hk_mech *hk_dataplane_mech(const struct hk_dataplane *dp, const char *name);
struct hk_mech *hk_dataplane_next_mech(const struct hk_dataplane *dp, const struct hk_mech *mech);
const struct hk_mechanism *hk_mech_about(const struct hk_mech *mech, const char **path,
					 struct hk_dataplane_times *times);
int	hk_mech_set_port(struct hk_mech *mech, const struct hk_mech_key *key,
			 const struct hk_mech_port *port);
int	hk_mech_del_port(struct hk_mech *mech, const struct hk_mech_key *key);
unsigned int hk_mech_ports(const struct hk_mech *mech,
			   void (*fn)(void *priv, const struct hk_mech_key *key,
				      const struct hk_mech_port *port), void *priv);
int	hk_mech_stats(const struct hk_mech *mech, __u64 stats[HK_MECH_COUNTERS]);
int	hk_mech_carry(struct hk_dataplane *dp, struct hk_mech *mech, const __be16 locals[],
		      unsigned int nr, bool on);

/*
 * Events: poll the descriptor, then read. The record is valid during the call
 * only and is mapped read-only.
 */
int	hk_dataplane_events_fd(const struct hk_dataplane *dp);
int	hk_dataplane_read_events(struct hk_dataplane *dp,
				 void (*fn)(void *priv, const void *record, size_t len),
				 void *priv);

/* Shared memory: writes take effect at once */
struct hk_live *hk_dataplane_live(struct hk_dataplane *dp);
struct hk_lane *hk_dataplane_lane(struct hk_dataplane *dp, __u32 slot);

int	hk_dataplane_set_verdict(struct hk_dataplane *dp, const struct hk_flow_key *key,
				 enum hk_verdict_state state, __u32 slot);
int	hk_dataplane_del_verdict(struct hk_dataplane *dp, const struct hk_flow_key *key);
int	hk_dataplane_find_offer(struct hk_dataplane *dp, __u32 token, struct hk_offer *offer);
int	hk_dataplane_del_offer(struct hk_dataplane *dp, __u32 token);
int	hk_dataplane_add_redir(struct hk_dataplane *dp, const struct hk_flow_key *key, int fd);
int	hk_dataplane_set_assoc(struct hk_dataplane *dp, __u64 id, const __be32 raddr[][4],
			       unsigned int nr);
int	hk_dataplane_del_assoc(struct hk_dataplane *dp, __u64 id);
int	hk_dataplane_set_policy(struct hk_dataplane *dp, const struct hk_policy_rule *rules,
				unsigned int nr);
int	hk_dataplane_add_remote(struct hk_dataplane *dp, __u64 id);
int	hk_dataplane_del_remote(struct hk_dataplane *dp, __u64 id);

int	hk_dataplane_set_locals(struct hk_dataplane *dp, const struct hk_local_key *keys,
				unsigned int nr);

int	hk_dataplane_stats(struct hk_dataplane *dp, __u64 stats[HK_NR_STATS]);
int	hk_dataplane_xdp_stats(struct hk_dataplane *dp, __u64 stats[HK_NR_XDP_STATS]);
int	hk_dataplane_dev_stats(struct hk_dataplane *dp, int ifindex,
			       __u64 stats[HK_NR_XDP_STATS]);
const char *hk_stat_name(enum hk_stat stat);
const char *hk_xdp_stat_name(enum hk_xdp_stat stat);

#endif /* HK_DATAPLANE_H */
