// SPDX-License-Identifier: GPL-2.0
/*
 * What `show` is told: flows, peers, stats.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../htp/cc.h"
#include "../tcp/addr.h"
#include "answer.h"
#include "flow.h"
#include "peer.h"
#include "policy.h"
#include "private.h"
#include "rules.h"

#define ENDPOINT_LEN	(INET6_ADDRSTRLEN + 10)

static const char *endpoint(char *buf, const __be32 addr[4], __be16 port)
{
	char text[INET6_ADDRSTRLEN];

	if (hk_addr_is_mapped(addr)) {
		inet_ntop(AF_INET, &addr[3], text, sizeof(text));
		snprintf(buf, ENDPOINT_LEN, "%s:%u", text, ntohs(port));
	} else {
		inet_ntop(AF_INET6, addr, text, sizeof(text));
		snprintf(buf, ENDPOINT_LEN, "[%s]:%u", text, ntohs(port));
	}
	return buf;
}

static const char *proto_of(const struct hk_peer *peer)
{
	return peer && peer->port ? peer->port->carrier.ops->name : "none";
}

static const char * const flow_states[] = {
	[HK_FLOW_HELD]		= "held",
	[HK_FLOW_TAKING]	= "taking",
	[HK_FLOW_OPEN]		= "open",
	[HK_FLOW_ENDED]		= "ended",
};

static const char *flow_state(const struct hk_flow *f)
{
	if (f->native)
		return "native";
	if (f->state == HK_FLOW_OPEN && (f->in_done || f->out_done))
		return f->in_done && f->out_done ? "closing" : "half-closed";
	return flow_states[f->state];
}

/* What both hosts agree on */
static enum hk_cover cover_of(const struct hk_flow *f)
{
	return f->stream && htp_stream_is_loose(f->stream) ? HK_COVER_HEADER : HK_COVER_FULL;
}

static void answer_flow(struct hk_report *rep, const struct hk_flow *f)
{
	char text[ENDPOINT_LEN];

	hk_report_object(rep);
	hk_report_str(rep, "local", endpoint(text, f->key.laddr, f->key.lport));
	hk_report_str(rep, "remote", endpoint(text, f->key.raddr, f->key.rport));
	hk_report_str(rep, "role", f->active ? "client" : "server");
	hk_report_str(rep, "proto", proto_of(f->peer));
	hk_report_str(rep, "state", flow_state(f));
	hk_report_u64(rep, "rule", f->action.pref);
	hk_report_str(rep, "cover", hk_cover_name(cover_of(f)));
	hk_report_u64(rep, "app_to_net_bytes", f->reader.in_bytes);
	hk_report_u64(rep, "net_to_app_bytes", f->out_bytes);
	hk_report_u64(rep, "fast_lane_bytes", f->reader.fast_bytes);
	hk_report_u64(rep, "native_lane_bytes", f->reader.in_bytes - f->reader.fast_bytes);
	hk_report_u64(rep, "lane_switches", f->lane->switches);
	hk_report_u64(rep, "window_bytes", f->stream ? htp_stream_window(f->stream) : 0);
	hk_report_end(rep);
}

static int answer_flows(struct hk_relay *r, struct hk_report *rep)
{
	struct hk_flow *f;
	unsigned int i;

	hk_report_array(rep, "flows");
	for (i = 0; i < HK_BUCKETS; i++)
		LIST_FOREACH(f, &r->by_key[i], by_key)
			answer_flow(rep, f);
	hk_report_end(rep);
	return 0;
}

static const char * const peer_states[] = {
	[HK_PEER_HELLO]		= "hello",
	[HK_PEER_UP]		= "up",
	[HK_PEER_FAILED]	= "failed",
};

static const char * const ecn_states[] = {
	[HTP_ECN_OFF]		= "off",
	[HTP_ECN_TESTING]	= "testing",
	[HTP_ECN_CAPABLE]	= "capable",
	[HTP_ECN_FAILED]	= "failed",
};

static void answer_peer(struct hk_report *rep, const struct hk_peer *peer)
{
	struct htp_stats stats = {};
	char text[ENDPOINT_LEN];

	if (peer->assoc)
		htp_assoc_stats(peer->assoc, &stats);
	hk_report_object(rep);
	hk_report_str(rep, "address", endpoint(text, peer->path.remote, peer->path.rport));
	hk_report_str(rep, "local", endpoint(text, peer->path.local, 0));
	hk_report_str(rep, "proto", proto_of(peer));
	hk_report_str(rep, "cc", (hk_class_cc(peer->relay, peer->kind.own) ?: &htp_cc_bbr)->name);
	hk_report_str(rep, "state", peer_states[peer->state]);
	hk_report_str(rep, "role", peer->initiator ? "initiator" : "responder");
	hk_report_u64(rep, "streams", stats.nr_streams);
	hk_report_u64(rep, "datagram_bytes", peer->hello_len);
	hk_report_u64(rep, "path_mtu_bytes", stats.path_mtu);
	hk_report_u64(rep, "mtu_probes_sent", stats.mtu_probes_sent);
	hk_report_u64(rep, "mtu_probes_acked", stats.mtu_probes_acked);
	hk_report_u64(rep, "mtu_probes_lost", stats.mtu_probes_lost);
	hk_report_u64(rep, "mtu_hints", stats.mtu_hints);
	hk_report_u64(rep, "black_holes", stats.black_holes);
	hk_report_u64(rep, "srtt_us", stats.srtt_ns / 1000);
	hk_report_u64(rep, "min_rtt_us", stats.min_rtt_ns / 1000);
	hk_report_u64(rep, "cwnd_bytes", stats.cwnd_bytes);
	hk_report_u64(rep, "in_flight_bytes", stats.in_flight_bytes);
	hk_report_u64(rep, "tx_datagrams", stats.tx_datagrams);
	hk_report_u64(rep, "tx_bytes", stats.tx_bytes);
	hk_report_u64(rep, "rx_datagrams", stats.rx_datagrams);
	hk_report_u64(rep, "rx_bytes", stats.rx_bytes);
	hk_report_u64(rep, "retransmitted_bytes", stats.retransmitted_bytes);
	hk_report_u64(rep, "lost_packets", stats.lost_packets);
	hk_report_u64(rep, "spurious_losses", stats.spurious_losses);
	hk_report_u64(rep, "ptos", stats.ptos);
	hk_report_u64(rep, "path_trials", stats.path_trials);
	hk_report_u64(rep, "path_refusals", stats.path_refusals);
	hk_report_u64(rep, "path_changes", stats.path_changes);
	hk_report_str(rep, "ecn", ecn_states[stats.ecn_state]);
	hk_report_u64(rep, "ecn_sent", stats.ecn_sent);
	hk_report_u64(rep, "ecn_ce_received", stats.ecn_ce_received);
	hk_report_u64(rep, "ecn_ce_told", stats.ecn_ce_told);
	hk_report_u64(rep, "congestion_events", stats.congestion_events);
	hk_report_u64(rep, "memory_bytes", stats.memory_bytes);
	hk_report_u64(rep, "window_bytes", stats.window_bytes);
	hk_report_u64(rep, "stream_window_bytes", stats.stream_window_bytes);
	hk_report_u64(rep, "stream_buffer_bytes", stats.stream_buffer_bytes);
	hk_report_u64(rep, "unread_bytes", stats.unread_bytes);
	hk_report_end(rep);
}

static int answer_peers(struct hk_relay *r, struct hk_report *rep)
{
	struct hk_peer *peer;

	hk_report_array(rep, "peers");
	LIST_FOREACH(peer, &r->peers, all)
		answer_peer(rep, peer);
	hk_report_end(rep);
	return 0;
}

static const char * const relay_stats[HK_NR_REL_STATS] = {
	[HK_REL_FLOWS_ACTIVE]		= "flows_active",
	[HK_REL_FLOWS_PASSIVE]		= "flows_passive",
	[HK_REL_FLOWS_DONE]		= "flows_done",
	[HK_REL_FLOWS_RESET]		= "flows_reset",
	[HK_REL_FLOWS_LEFT_NATIVE]	= "flows_left_native",
	[HK_REL_FLOWS_FORGE_FAILED]	= "flows_forge_failed",
	[HK_REL_FLOWS_LATE]		= "flows_late",
	[HK_REL_FLOWS_UNHEARD]		= "flows_unheard",
	[HK_REL_OPEN_REFUSED]		= "open_refused",
	[HK_REL_HELLO_SENT]		= "hello_sent",
	[HK_REL_HELLO_ANSWERED]		= "hello_answered",
	[HK_REL_HELLO_FAILED]		= "hello_failed",
	[HK_REL_HELLO_RECEIVED]		= "hello_received",
	[HK_REL_HELLO_REJECTED]		= "hello_rejected",
	[HK_REL_RX_UNKNOWN]		= "rx_unknown_association",
	[HK_REL_RX_SOURCE]		= "rx_wrong_source",
	[HK_REL_RX_MALFORMED]		= "rx_malformed",
	[HK_REL_PEERS_MOVED]		= "peers_moved",
	[HK_REL_PEERS_LOST]		= "peers_lost",
	[HK_REL_TABLE_FULL]		= "table_full",
	[HK_REL_MEMORY_FULL]		= "memory_full",
	[HK_REL_WINDOW_REFUSED]		= "window_refused",
	[HK_REL_CARRIER_SWITCHED]	= "carrier_switched",
	[HK_REL_RESET_SENT]		= "reset_sent",
	[HK_REL_RESET_RECEIVED]		= "reset_received",
	[HK_REL_RESET_UNKNOWN]		= "reset_unknown",
	[HK_REL_ICMP_ERRORS]		= "icmp_errors",
	[HK_REL_TX_PARTIAL]		= "tx_partial_coverage",
	[HK_REL_PATHS_ASKED]		= "paths_asked",
};

static void answer_bpf_stats(struct hk_relay *r, struct hk_report *rep)
{
	__u64 xdp[HK_NR_XDP_STATS], stats[HK_NR_STATS];
	unsigned int i;

	if (!hk_dataplane_stats(r->dp, stats))
		for (i = 0; i < HK_NR_STATS; i++)
			hk_report_u64(rep, hk_stat_name(i), stats[i]);
	if (!hk_dataplane_xdp_stats(r->dp, xdp))
		for (i = 0; i < HK_NR_XDP_STATS; i++)
			hk_report_u64(rep, hk_xdp_stat_name(i), xdp[i]);
}

static const char * const xdp_modes[] = {
	[HK_XDP_NONE]		= "none",
	[HK_XDP_NATIVE]		= "native",
	[HK_XDP_GENERIC]	= "generic",
};

static void answer_device(void *priv, int ifindex, enum hk_xdp_mode mode)
{
	char name[IF_NAMESIZE];

	if (if_indextoname(ifindex, name))
		hk_report_str(priv, name, xdp_modes[mode]);
}

static void answer_devices(struct hk_relay *r, struct hk_report *rep)
{
	hk_report_section(rep, "xdp_mode");
	hk_dataplane_devs(r->dp, answer_device, rep);
	hk_report_end(rep);
}

/* Of rows that have the same columns, plain text makes sections: a table would be wide */
static void begin_row(struct hk_report *rep, const char *what, const char *name)
{
	if (!rep->json) {
		hk_report_section(rep, name);
		return;
	}
	hk_report_object(rep);
	hk_report_str(rep, what, name);
}

static void begin_counters(struct hk_report *rep)
{
	if (rep->json)
		hk_report_section(rep, "counters");
}

static void end_counters(struct hk_report *rep)
{
	if (rep->json)
		hk_report_end(rep);
}

/* While the devices are walked over */
struct xdp_answer {
	struct hk_relay		*r;
	struct hk_report	*rep;
};

static void answer_xdp_device(void *priv, int ifindex, enum hk_xdp_mode mode)
{
	struct xdp_answer *a = priv;
	__u64 stats[HK_NR_XDP_STATS];
	char name[IF_NAMESIZE];
	unsigned int i;

	if (!if_indextoname(ifindex, name))
		return;
	begin_row(a->rep, "device", name);
	hk_report_str(a->rep, "mode", xdp_modes[mode]);
	begin_counters(a->rep);
	if (!hk_dataplane_dev_stats(a->r->dp, ifindex, stats))
		for (i = 0; i < HK_NR_XDP_STATS; i++)
			hk_report_u64(a->rep, hk_xdp_stat_name(i), stats[i]);
	end_counters(a->rep);
	hk_report_end(a->rep);
}

static void answer_xdp_mechanism(struct hk_report *rep, const struct hk_mech *mech)
{
	begin_row(rep, "mechanism", hk_mech_about(mech, NULL, NULL)->name);
	begin_counters(rep);
	hk_proto_counters(mech, rep);
	end_counters(rep);
	hk_report_end(rep);
}

static int answer_xdp(struct hk_relay *r, struct hk_report *rep)
{
	struct xdp_answer a = { .r = r, .rep = rep };
	const struct hk_mech *mech;

	if (rep->json)
		hk_report_array(rep, "devices");
	hk_dataplane_devs(r->dp, answer_xdp_device, &a);
	if (rep->json) {
		hk_report_end(rep);
		hk_report_array(rep, "mechanisms");
	}
	for (mech = hk_dataplane_next_mech(r->dp, NULL); mech;
	     mech = hk_dataplane_next_mech(r->dp, mech))
		answer_xdp_mechanism(rep, mech);
	if (rep->json)
		hk_report_end(rep);
	return 0;
}

static int answer_stats(struct hk_relay *r, struct hk_report *rep)
{
	const struct hk_dataplane_times *times = hk_dataplane_times(r->dp);
	__u64 served, left = hk_dataplane_listeners(r->dp, &served);
	unsigned int i;

	hk_report_u64(rep, "uptime_ms", (r->now_ns - r->started_ns) / NSEC_PER_MSEC);
	hk_report_u64(rep, "load_us", times->load_ns / 1000);
	hk_report_u64(rep, "attach_us", times->attach_ns / 1000);
	hk_report_bool(rep, "draining", r->drain_until_ns != 0);
	hk_report_bool(rep, "takes_new", !r->live->draining);
	hk_report_bool(rep, "fast_lane", hk_dataplane_has_fast_lane(r->dp));
	hk_report_u64(rep, "old_listeners_served", served);
	hk_report_u64(rep, "old_listeners_left", left);
	hk_report_u64(rep, "memory_bytes", r->memory_bytes);
	hk_report_u64(rep, "rules", r->policy->nr);
	hk_report_u64(rep, "memory_max_bytes", r->memory_max);
	hk_report_u64(rep, "window_bytes", r->window_bytes);
	hk_report_bool(rep, "memory_low", hk_memory_is_low(r));
	hk_report_u64(rep, "flows", r->nr_flows);
	hk_report_u64(rep, "peers", r->nr_peers);
	for (i = 0; i < HK_NR_REL_STATS; i++)
		hk_report_u64(rep, relay_stats[i], r->stats[i]);
	answer_bpf_stats(r, rep);
	answer_devices(r, rep);
	hk_answer_xsk(r, rep);
	return 0;
}

/**
 * hk_answer - write what the control socket was asked for
 * @priv:   relay
 * @what:   "flows", "peers", "stats", "xdp", "policy" or "proto"
 * @report: to write to
 *
 * Return: 0, -ENOENT if there is no such thing.
 */
int hk_answer(void *priv, const char *what, struct hk_report *report)
{
	if (!strcmp(what, "flows"))
		return answer_flows(priv, report);
	if (!strcmp(what, "peers"))
		return answer_peers(priv, report);
	if (!strcmp(what, "stats"))
		return answer_stats(priv, report);
	if (!strcmp(what, "xdp"))
		return answer_xdp(priv, report);
	if (!strcmp(what, "policy"))
		return hk_rules_answer(priv, report);
	if (!strcmp(what, "proto"))
		return hk_proto_answer(priv, report);
	return -ENOENT;
}
