// SPDX-License-Identifier: GPL-2.0
/*
 * Run-time access to the maps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

/**
 * hk_dataplane_events_fd - descriptor to poll for events
 * @dp: data plane
 *
 * Return: owned by @dp; readable while records wait.
 */
int hk_dataplane_events_fd(const struct hk_dataplane *dp)
{
	return ring_buffer__epoll_fd(dp->ring);
}

/**
 * hk_dataplane_read_events - hand all waiting records to a function
 * @dp:	  data plane
 * @fn:	  called for each; starts with its enum hk_event_type
 * @priv: first argument of @fn
 *
 * Return: number of records, or a negative errno.
 */
int hk_dataplane_read_events(struct hk_dataplane *dp,
			     void (*fn)(void *priv, const void *record, size_t len), void *priv)
{
	dp->read_fn = fn;
	dp->read_priv = priv;
	return ring_buffer__consume(dp->ring);
}

/**
 * hk_dataplane_live - what all programs look at while the daemon runs
 * @dp: data plane
 *
 * Return: shared memory, owned by @dp.
 */
struct hk_live *hk_dataplane_live(struct hk_dataplane *dp)
{
	return dp->live;
}

/**
 * hk_dataplane_lane - a connection's lane counters
 * @dp:	  data plane
 * @slot: below the configured max_flows
 *
 * Return: shared memory, owned by @dp.
 */
struct hk_lane *hk_dataplane_lane(struct hk_dataplane *dp, __u32 slot)
{
	return &dp->lanes[slot];
}

static int update(int fd, const void *key, const void *value)
{
	return bpf_map_update_elem(fd, key, value, BPF_ANY) ? -errno : 0;
}

static int delete(int fd, const void *key)
{
	if (!bpf_map_delete_elem(fd, key))
		return 0;
	return errno == ENOENT ? 0 : -errno;
}

/**
 * hk_dataplane_set_verdict - say what becomes of a connection
 * @dp:	   data plane
 * @key:   the application's socket
 * @state: TAKEN only when the redirection socket exists
 * @slot:  TAKEN: the connection's lane
 *
 * Return: 0, -E2BIG when max_flows verdicts exist, -ENOMEM.
 */
int hk_dataplane_set_verdict(struct hk_dataplane *dp, const struct hk_flow_key *key,
			     enum hk_verdict_state state, __u32 slot)
{
	struct hk_verdict verdict = { .state = state, .slot = slot };

	return update(dp->fds.verdicts, key, &verdict);
}

/**
 * hk_dataplane_del_verdict - forget a connection; fine if there is none
 * @dp:	 data plane
 * @key: the application's socket
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_del_verdict(struct hk_dataplane *dp, const struct hk_flow_key *key)
{
	return delete(dp->fds.verdicts, key);
}

/**
 * hk_dataplane_find_offer - fetch an answered offer
 * @dp:	   data plane
 * @token: ours, as the peer sent it back
 * @offer: filled in
 *
 * Return: 0, -ENOENT if there is none.
 */
int hk_dataplane_find_offer(struct hk_dataplane *dp, __u32 token, struct hk_offer *offer)
{
	return bpf_map_lookup_elem(dp->fds.offers, &token, offer) ? -errno : 0;
}

/**
 * hk_dataplane_del_offer - an offer was used
 * @dp:	   data plane
 * @token: ours
 *
 * It comes back if the SYN-ACK is sent once more; the connection is established by
 * then, and a second take-over of it fails.
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_del_offer(struct hk_dataplane *dp, __u32 token)
{
	return delete(dp->fds.offers, &token);
}

/**
 * hk_dataplane_add_redir - make a redirection socket the target of the fast lane
 * @dp:	 data plane
 * @key: as the application's socket sees the connection
 * @fd:	 ESTABLISHED TCP socket; leaves the map when it is closed
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_add_redir(struct hk_dataplane *dp, const struct hk_flow_key *key, int fd)
{
	__u64 value = fd;

	return update(dp->fds.redirs, key, &value);
}

/**
 * hk_dataplane_set_assoc - let the XDP program pass an association's datagrams
 * @dp:	   data plane
 * @id:	   association id of this side
 * @raddr: the peer's address, and others from which it may come; IPv6 or IPv4-mapped,
 *	   network order
 * @nr:	   how many, 1 to HK_ASSOC_ADDRS
 *
 * Those that were set before count no more.
 *
 * Return: 0 (also without XDP), -E2BIG, -ENOMEM.
 */
int hk_dataplane_set_assoc(struct hk_dataplane *dp, __u64 id, const __be32 raddr[][4],
			   unsigned int nr)
{
	struct hk_assoc_entry entry = {};
	unsigned int i;

	if (dp->fds.assocs < 0)
		return 0;
	for (i = 0; i < HK_ASSOC_ADDRS; i++)
		memcpy(entry.raddr[i], raddr[i < nr ? i : 0], sizeof(entry.raddr[i]));
	return update(dp->fds.assocs, &id, &entry);
}

/**
 * hk_dataplane_del_assoc - drop an association's datagrams from now on
 * @dp: data plane
 * @id: association id of this side
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_del_assoc(struct hk_dataplane *dp, __u64 id)
{
	return dp->fds.assocs < 0 ? 0 : delete(dp->fds.assocs, &id);
}

/**
 * hk_dataplane_add_remote - let the XDP program pass RESETs for an id
 * @dp: data plane
 * @id: association id of the peer's side, which we write
 *
 * Return: 0 (also without XDP), -E2BIG, -ENOMEM.
 */
int hk_dataplane_add_remote(struct hk_dataplane *dp, __u64 id)
{
	__u32 one = 1;

	return dp->fds.remotes < 0 ? 0 : update(dp->fds.remotes, &id, &one);
}

/**
 * hk_dataplane_del_remote - drop RESETs for an id from now on
 * @dp: data plane
 * @id: as added; fine if it was not
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_del_remote(struct hk_dataplane *dp, __u64 id)
{
	return dp->fds.remotes < 0 ? 0 : delete(dp->fds.remotes, &id);
}

static bool is_listed(const struct hk_local_key *key, const struct hk_local_key *keys,
		      unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!memcmp(key, &keys[i], sizeof(*key)))
			return true;
	return false;
}

/**
 * hk_dataplane_set_locals - which addresses are this host's: until then nothing is hooked
 * @dp:	  data plane
 * @keys: all of them
 * @nr:	  how many
 *
 * Others that were set before go; what stays is never missing in between.
 *
 * Return: 0, -E2BIG, -ENOMEM.
 */
int hk_dataplane_set_locals(struct hk_dataplane *dp, const struct hk_local_key *keys,
			    unsigned int nr)
{
	struct hk_local_key key, next, *prev = NULL;
	__u32 one = 1;
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr && !err; i++)
		err = update(dp->fds.locals, &keys[i], &one);
	while (!bpf_map_get_next_key(dp->fds.locals, prev, &next)) {
		if (prev && !is_listed(prev, keys, nr))
			delete(dp->fds.locals, prev);
		key = next;
		prev = &key;
	}
	if (prev && !is_listed(prev, keys, nr))
		delete(dp->fds.locals, prev);
	return err;
}

/* Zeroes nr values of a per-CPU array, on all CPUs; 0 or a negative errno */
int hk_percpu_clear(int fd, __u32 first, __u32 nr)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 *values;
	__u32 i, key;

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		key = first + i;
		bpf_map_update_elem(fd, &key, values, BPF_ANY);
	}
	free(values);
	return 0;
}

/* Sums of nr values of a per-CPU array, over all CPUs; 0 or a negative errno */
int hk_percpu_sum(int fd, __u32 first, __u64 *stats, __u32 nr)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 *values;
	__u32 i, key;
	int c;

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		stats[i] = 0;
		key = first + i;
		if (bpf_map_lookup_elem(fd, &key, values))
			continue;
		for (c = 0; c < cpus; c++)
			stats[i] += values[c];
	}
	free(values);
	return 0;
}

/**
 * hk_dataplane_stats - read the connection programs' counters
 * @dp:	   data plane
 * @stats: filled in, indexed by enum hk_stat
 *
 * Return: 0 or a negative errno.
 */
int hk_dataplane_stats(struct hk_dataplane *dp, __u64 stats[HK_NR_STATS])
{
	return hk_percpu_sum(dp->fds.stats, 0, stats, HK_NR_STATS);
}

/**
 * hk_dataplane_xdp_stats - read the XDP program's counters, of all devices
 * @dp:	   data plane
 * @stats: filled in, indexed by enum hk_xdp_stat
 *
 * Return: 0, -ENODEV without XDP, or another negative errno.
 */
int hk_dataplane_xdp_stats(struct hk_dataplane *dp, __u64 stats[HK_NR_XDP_STATS])
{
	if (dp->fds.xdp_stats < 0)
		return -ENODEV;
	return hk_devs_sum(dp, stats);
}

static const char * const stat_names[HK_NR_STATS] = {
	[HK_STAT_OFFERS_SENT]		= "offers_sent",
	[HK_STAT_OFFERS_NO_ROOM]	= "offers_no_room",
	[HK_STAT_OFFERS_ANSWERED]	= "offers_answered",
	[HK_STAT_OFFERS_RULED_OUT]	= "offers_ruled_out",
	[HK_STAT_OFFERS_OVER_RATE]	= "offers_over_rate",
	[HK_STAT_OFFERS_SWALLOWED]	= "offers_swallowed",
	[HK_STAT_OFFERS_STALE]		= "offers_stale",
	[HK_STAT_SYNACK_HELD]		= "synack_held",
	[HK_STAT_SYNACK_STALE]		= "synack_passed_stale",
	[HK_STAT_SYNACK_TIMEOUT]	= "synack_passed_timeout",
	[HK_STAT_SYNACK_RING_FULL]	= "synack_passed_ring_full",
	[HK_STAT_ACK_TAKEN]		= "ack_taken_dropped",
	[HK_STAT_STRAY]			= "stray_dropped",
	[HK_STAT_TAKEN_ACTIVE]		= "taken_active",
	[HK_STAT_TAKEN_PASSIVE]		= "taken_passive",
	[HK_STAT_TAKE_FAILED]		= "take_failed",
	[HK_STAT_NATIVE]		= "offered_native",
	[HK_STAT_FAST_CALLS]		= "fast_lane_calls",
	[HK_STAT_FAST_BYTES]		= "fast_lane_bytes",
	[HK_STAT_NATIVE_CALLS]		= "native_lane_calls",
	[HK_STAT_NATIVE_BYTES]		= "native_lane_bytes",
	[HK_STAT_REDIRECT_FAILED]	= "redirect_failed",
};

static const char * const xdp_stat_names[HK_NR_XDP_STATS] = {
	[HK_XDP_PASS_OTHER]		= "xdp_pass_other",
	[HK_XDP_PASS_DATA]		= "xdp_pass_data",
	[HK_XDP_PASS_STRANGER]		= "xdp_pass_new_source",
	[HK_XDP_PASS_HELLO]		= "xdp_pass_hello",
	[HK_XDP_PASS_PROBE_REPLY]	= "xdp_pass_probe_reply",
	[HK_XDP_PASS_UNKNOWN]		= "xdp_pass_unknown",
	[HK_XDP_PASS_RESET]		= "xdp_pass_reset",
	[HK_XDP_TX_PROBE]		= "xdp_tx_probe",
	[HK_XDP_DROP_SHORT]		= "xdp_drop_short",
	[HK_XDP_DROP_LENGTH]		= "xdp_drop_length",
	[HK_XDP_DROP_COVERAGE]		= "xdp_drop_coverage",
	[HK_XDP_DROP_CHECKSUM]		= "xdp_drop_checksum",
	[HK_XDP_DROP_FRAGMENT]		= "xdp_drop_fragment",
	[HK_XDP_DROP_VERSION]		= "xdp_drop_version",
	[HK_XDP_DROP_ASSOC]		= "xdp_drop_association",
	[HK_XDP_DROP_RESET]		= "xdp_drop_reset",
	[HK_XDP_DROP_SOURCE]		= "xdp_drop_source",
	[HK_XDP_DROP_TOKEN]		= "xdp_drop_token",
	[HK_XDP_DROP_PROBE]		= "xdp_drop_probe",
	[HK_XDP_DROP_BEHIND]	= "xdp_drop_behind_mechanism",
};

/**
 * hk_stat_name - a counter's name in reports
 * @stat: below HK_NR_STATS
 *
 * Return: constant string.
 */
const char *hk_stat_name(enum hk_stat stat)
{
	return stat_names[stat];
}

/**
 * hk_xdp_stat_name - likewise, of the XDP program
 * @stat: below HK_NR_XDP_STATS
 *
 * Return: constant string.
 */
const char *hk_xdp_stat_name(enum hk_xdp_stat stat)
{
	return xdp_stat_names[stat];
}
