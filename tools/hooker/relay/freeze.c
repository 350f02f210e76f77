// SPDX-License-Identifier: GPL-2.0
/*
 * All that the daemon knows as bytes, see freeze.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fallback.h"
#include "flow.h"
#include "freeze.h"
#include "hello.h"
#include "peer.h"
#include "policy.h"
#include "private.h"
#include "way.h"

/**
 * hk_freeze_prepare - end what can't be handed over
 * @r: relay, between loop passes
 */
void hk_freeze_prepare(struct hk_relay *r)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (peer->state == HK_PEER_UP && htp_assoc_is_closed(peer->assoc))
			hk_peer_fail(peer, HTP_CODE_NONE);
	hk_flows_end_aborted(r);
	hk_flows_reap(r);
	hk_peers_reap(r);
}

static struct hk_flow *next_flow(struct hk_relay *r, __u32 *slot)
{
	for (; *slot < HK_MAX_FLOWS; ++*slot) {
		struct hk_flow *flow = &r->flows[*slot];

		if (flow->relay && flow->state != HK_FLOW_ENDED)
			return &r->flows[(*slot)++];
	}
	return NULL;
}

/* As `policy list` prints them, and what each cgroup was when it was named */
static void freeze_rules(struct htp_freezer *f, struct hk_relay *r)
{
	char line[HK_RULE_TEXT + 8] = "add ";
	struct hk_policy *policy = r->policy;
	__u32 len, nr = policy->nr, i;

	HTP_FREEZE(f, nr);
	for (i = 0; i < nr; i++) {
		hk_rule_format(&policy->rules[i], line + strlen("add "));
		len = strlen(line);
		line[len++] = '\n';
		HTP_FREEZE(f, policy->rules[i].cgroup_id);
		HTP_FREEZE(f, len);
		htp_freeze_bytes(f, line, len);
	}
}

static void thaw_rule(struct htp_freezer *f, struct hk_policy *policy, __u32 i)
{
	struct hk_policy_error error;
	const char *line;
	__u64 cgroup = 0;
	__u32 len = 0;

	HTP_FREEZE(f, cgroup);
	HTP_FREEZE(f, len);
	htp_thaw_check(f, len <= HK_RULE_TEXT + 8);
	line = htp_thaw_bytes(f, f->err ? 0 : len);
	if (!line)
		return;
	htp_thaw_check(f, !hk_policy_read(policy, line, len, &error) && policy->nr == i + 1 &&
		       !*policy->rules[i].cgroup == !cgroup);
	if (!f->err)
		policy->rules[i].cgroup_id = cgroup;
}

static void thaw_rules(struct htp_freezer *f, struct hk_relay *r)
{
	__u32 nr = 0, i;

	r->policy = calloc(1, sizeof(*r->policy));
	if (!r->policy) {
		f->err = -ENOMEM;
		return;
	}
	HTP_FREEZE(f, nr);
	htp_thaw_check(f, nr <= HK_MAX_POLICY);
	for (i = 0; !f->err && i < nr; i++)
		thaw_rule(f, r->policy, i);
}

static void pass_rest(struct htp_freezer *f, struct hk_relay *r)
{
	__u32 nr = HK_NR_REL_STATS, i;

	HTP_FREEZE(f, nr);
	htp_thaw_check(f, nr == HK_NR_REL_STATS);
	HTP_FREEZE(f, r->stats);
	for (i = 0; i < HK_MAX_BLOCKED; i++) {
		HTP_FREEZE(f, r->blocked[i].raddr);
		HTP_FREEZE(f, r->blocked[i].instance);
		HTP_FREEZE(f, r->blocked[i].protos);
		HTP_FREEZE(f, r->blocked[i].until_ns);
	}
}

/**
 * hk_freeze - write all that the daemon knows
 * @r:	 relay, prepared
 * @f:	 freezer
 * @fds: filled with redirection sockets, HK_MAX_FLOWS at most; borrowed
 *
 * Return: number of descriptors, or a negative errno. Nothing has changed.
 */
int hk_freeze(struct hk_relay *r, struct htp_freezer *f, int *fds)
{
	__u32 nr_peers = 0, nr_flows = 0, slot = 0;
	struct hk_peer *peer;
	struct hk_flow *flow;
	int nr_fds = 0;

	freeze_rules(f, r);
	LIST_FOREACH(peer, &r->peers, all)
		nr_peers++;
	HTP_FREEZE(f, nr_peers);
	LIST_FOREACH(peer, &r->peers, all)
		hk_freeze_peer(f, peer);
	while (next_flow(r, &slot))
		nr_flows++;
	HTP_FREEZE(f, nr_flows);
	for (slot = 0; (flow = next_flow(r, &slot));) {
		hk_freeze_flow(f, flow);
		if (flow->redir_fd >= 0)
			fds[nr_fds++] = flow->redir_fd;
	}
	pass_rest(f, r);
	return f->err ?: nr_fds;
}

/**
 * hk_thaw - become the daemon that wrote this
 * @r:	    relay without peers and flows
 * @f:	    freezer
 * @fds:    redirection sockets
 * @nr_fds: of them
 *
 * Changes nothing that the other daemon has, too.
 *
 * Return: 0, and flows have all of @fds; -EBADMSG: these bytes, or so many descriptors,
 * are none; -ENOMEM; or another negative errno. Then the process must not go on.
 */
int hk_thaw(struct hk_relay *r, struct htp_freezer *f, const int *fds, __u32 nr_fds)
{
	__u32 nr_peers = 0, nr_flows = 0, next_fd = 0;

	thaw_rules(f, r);
	HTP_FREEZE(f, nr_peers);
	htp_thaw_check(f, nr_peers <= HK_MAX_PEERS);
	while (!f->err && nr_peers--)
		hk_thaw_peer(f, r);
	HTP_FREEZE(f, nr_flows);
	htp_thaw_check(f, nr_flows <= HK_MAX_FLOWS);
	while (!f->err && nr_flows--)
		hk_thaw_flow(f, r, fds, nr_fds, &next_fd);
	pass_rest(f, r);
	htp_thaw_check(f, next_fd == nr_fds && !htp_reader_left(&f->in));
	hk_flows_find_free(r);
	return f->err;
}

/**
 * hk_thaw_finish - the other daemon is gone: what it had is ours alone
 * @r: relay that was thawed
 */
void hk_thaw_finish(struct hk_relay *r)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state != HK_PEER_UP)
			continue;
		hk_ways_begin(peer);
		hk_fallback_resume(peer);
	}
}
