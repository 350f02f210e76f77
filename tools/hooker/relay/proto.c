// SPDX-License-Identifier: GPL-2.0
/*
 * Mechanisms of a running daemon: `hooker proto` puts them in, takes them out, and gives
 * them the ports of other applications.
 *
 * What is refused has changed nothing. Bodies of requests are lines of text:
 *
 *	proto-add	"carrier" or "no-carrier"; PATH, absolute
 *	proto-del	NAME; "force" or nothing
 *	proto-port	NAME; "add" or "del"; PORT; "in", "out" or "both"; COVER, 0: all
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "fallback.h"
#include "flow.h"
#include "hello.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "port.h"
#include "private.h"
#include "rules.h"

#define MAX_LINES	5

/* Which sides of a datagram a direction means: service here, clients here */
#define SIDES_IN	(1 << HK_MECH_IN_DEST | 1 << HK_MECH_OUT_SOURCE)
#define SIDES_OUT	(1 << HK_MECH_IN_SOURCE | 1 << HK_MECH_OUT_DEST)

__attribute__((__format__(printf, 3, 4)))
static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static struct hk_port *port_of(struct hk_relay *r, const struct hk_mech *mech)
{
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++)
		if (r->ports[i].mech == mech)
			return &r->ports[i];
	return NULL;
}

static unsigned int count_peers(const struct hk_relay *r, const struct hk_port *port)
{
	const struct hk_peer *peer;
	unsigned int nr = 0;

	LIST_FOREACH(peer, &r->peers, all)
		nr += port && peer->port == port && peer->state != HK_PEER_FAILED;
	return nr;
}

/* The bit stands for a name, in rules and in offers: another one must not slip under it */
static int check_bit(struct hk_relay *r, const struct hk_mechanism *about, bool carrier,
		     char *why, size_t size)
{
	const char *name = hk_carrier_name(about->offer_bit);
	unsigned int i;

	for (i = 0; carrier && i < r->nr_ports; i++)
		if (r->ports[i].carrier.ops->proto == 1 << about->offer_bit)
			return refuse(why, size,
				      "offer bit %u is carrier %s's, which has sockets; no-carrier has it serve applications only",
				      about->offer_bit, r->ports[i].carrier.ops->name);
	if (!name || !strcmp(name, about->name))
		return 0;
	for (i = 0; i < r->policy->nr; i++)
		if (r->policy->rules[i].protos & 1 << about->offer_bit)
			return refuse(why, size, "rule %u means %s by offer bit %u; delete it first",
				      r->policy->rules[i].pref, name, about->offer_bit);
	return 0;
}

static int add(struct hk_relay *r, char *const *lines, char *why, size_t size)
{
	bool carrier = !strcmp(lines[0], "carrier");
	char reason[HK_MECH_WHY];
	struct hk_mech *mech;
	int err;

	if ((!carrier && strcmp(lines[0], "no-carrier")) || lines[1][0] != '/')
		return refuse(why, size, "not a request that this daemon knows");
	if (hk_dataplane_add_mech(r->dp, lines[1], &mech, reason))
		return refuse(why, size, "%.150s: %s", lines[1], reason);
	err = check_bit(r, hk_mech_about(mech, NULL, NULL), carrier, why, size);
	if (!err && carrier) {
		err = hk_port_deploy(r, mech);
		if (err)
			refuse(why, size, "its port: %s", strerror(-err));
		else
			hk_fallback_added(r, port_of(r, mech));
	}
	if (err)
		hk_dataplane_del_mech(r->dp, mech);
	return err;
}

static void close_association(struct hk_peer *peer)
{
	if (peer->state == HK_PEER_UP)
		htp_assoc_close(peer->assoc, HTP_CODE_SHUTDOWN);
	hk_peer_touch(peer);
}

/* To be reset, on both hosts */
static void end_stuck(struct hk_relay *r, const struct hk_port *port)
{
	struct hk_peer *peer;

	LIST_FOREACH(peer, &r->peers, all)
		if (hk_fallback_is_stuck(peer, port))
			close_association(peer);
	hk_peers_flush(r);
	LIST_FOREACH(peer, &r->peers, all)
		if (hk_fallback_is_stuck(peer, port))
			hk_peer_fail(peer, HTP_CODE_SHUTDOWN);
}

/* Afterwards nothing points to it, not even as a path that was tried */
static void leave_port(struct hk_relay *r, struct hk_port *port)
{
	struct hk_peer *peer;

	end_stuck(r, port);
	LIST_FOREACH(peer, &r->peers, all) {
		if (peer->state == HK_PEER_UP)
			hk_fallback_leave(peer, port);
		else if (peer->state == HK_PEER_HELLO)
			hk_hello_leave(peer, port);
	}
	hk_flows_reap(r);
	hk_peers_reap(r);
}

static int find(struct hk_relay *r, const char *name, struct hk_mech **mech, char *why, size_t size)
{
	*mech = hk_dataplane_mech(r->dp, name);
	return *mech ? 0 : refuse(why, size, "%.40s: no such mechanism; \"hooker proto list\" names them",
				  name);
}

static unsigned int count_stuck(const struct hk_relay *r, const struct hk_port *port)
{
	const struct hk_peer *peer;
	unsigned int nr = 0;

	LIST_FOREACH(peer, &r->peers, all)
		nr += port && hk_fallback_is_stuck(peer, port);
	return nr;
}

static int refuse_used(const char *name, unsigned int nr, unsigned int nr_stuck, char *why,
		       size_t size)
{
	if (!nr_stuck)
		return refuse(why, size,
			      "%s: carries %u associations; \"force\" has them go on over another carrier",
			      name, nr);
	return refuse(why, size,
		      "%s: carries %u associations; \"force\" resets the connections of %u, which may use no other carrier",
		      name, nr, nr_stuck);
}

static int del(struct hk_relay *r, char *const *lines, char *why, size_t size)
{
	bool force = !strcmp(lines[1], "force");
	unsigned int nr, nr_stuck;
	struct hk_mech *mech;
	struct hk_port *port;

	if (find(r, lines[0], &mech, why, size))
		return -ENOENT;
	port = port_of(r, mech);
	nr = count_peers(r, port);
	nr_stuck = count_stuck(r, port);
	if (nr && !force)
		return refuse_used(lines[0], nr, nr_stuck, why, size);
	if (port) {
		leave_port(r, port);
		hk_port_retire(r, port);
	}
	if (nr)
		hk_info("%s taken out: %u associations go on over another carrier; %u ended, which may use no other",
			lines[0], nr - nr_stuck, nr_stuck);
	hk_dataplane_del_mech(r->dp, mech);
	return 0;
}

static unsigned int sides_of(const char *direction)
{
	if (!strcmp(direction, "in"))
		return SIDES_IN;
	if (!strcmp(direction, "out"))
		return SIDES_OUT;
	return strcmp(direction, "both") ? 0 : SIDES_IN | SIDES_OUT;
}

/*
 * What carries our own datagrams is not to be had, not by a mechanism that isn't a carrier
 * either: those of the UDP carrier would become its.
 */
static bool is_own(const struct hk_relay *r, __be16 number)
{
	unsigned int i;

	for (i = 0; i < r->nr_ports; i++)
		if (r->ports[i].mech && (number == r->ports[i].locals[0] ||
					 number == r->ports[i].locals[1]))
			return true;
	return number == htons(r->config->port);
}

static int set_sides(struct hk_mech *mech, unsigned int sides, __be16 number, unsigned long cover)
{
	struct hk_mech_key key = { .port = number };
	struct hk_mech_port value = { .port = number };
	int err = 0;

	for (key.side = 0; !err && key.side <= HK_MECH_OUT_DEST; key.side++) {
		value.cover = HK_MECH_COVER_FULL;
		value.base = 0;
		if (cover && key.side >= HK_MECH_OUT_SOURCE) {
			value.cover = HK_MECH_COVER_FIXED;
			value.base = cover;
		}
		if (sides & 1 << key.side)
			err = hk_mech_set_port(mech, &key, &value);
	}
	return err;
}

static int del_sides(struct hk_mech *mech, unsigned int sides, __be16 number)
{
	struct hk_mech_key key = { .port = number };
	int err = -ENOENT;

	for (key.side = 0; key.side <= HK_MECH_OUT_DEST; key.side++)
		if ((sides & 1 << key.side) && !hk_mech_del_port(mech, &key))
			err = 0;
	return err;
}

static int change_port(struct hk_relay *r, char *const *lines, char *why, size_t size)
{
	unsigned int sides = sides_of(lines[3]);
	unsigned long number, cover;
	struct hk_mech *mech;
	bool more;
	int err;

	if (find(r, lines[0], &mech, why, size))
		return -ENOENT;
	more = !strcmp(lines[1], "add");
	if ((!more && strcmp(lines[1], "del")) || !sides ||
	    hk_number_parse(lines[2], 1, 65535, &number) ||
	    hk_number_parse(lines[4], 0, 65535, &cover))
		return refuse(why, size, "not a request that this daemon knows");
	if (is_own(r, htons(number)))
		return refuse(why, size, "port %lu: the daemon's own", number);
	if (cover && cover < hk_mech_about(mech, NULL, NULL)->hdr_len)
		return refuse(why, size, "cover %lu: less than the header's %u bytes", cover,
			      hk_mech_about(mech, NULL, NULL)->hdr_len);
	err = more ? set_sides(mech, sides, htons(number), cover) :
	      del_sides(mech, sides, htons(number));
	if (err == -E2BIG)
		return refuse(why, size, "port %lu: %s has %d entries, there is room for no more",
			      number, lines[0], HK_MECH_MAX_PORTS);
	if (err == -ENOENT)
		return refuse(why, size, "port %lu: not one of %s's in that direction", number,
			      lines[0]);
	return err ? refuse(why, size, "port %lu: %s", number, strerror(-err)) : 0;
}

/* In place; false: not that many, or one is empty */
static bool split(char *text, char *lines[MAX_LINES], unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		lines[i] = strsep(&text, "\n");
		if (!lines[i])
			return false;
	}
	return !text;
}

static const struct {
	const char	*what;
	unsigned int	nr_lines;
	int		(*fn)(struct hk_relay *r, char *const *lines, char *why, size_t size);
} commands[] = {
	{ "proto-add", 2, add },
	{ "proto-del", 2, del },
	{ "proto-port", 5, change_port },
};

/**
 * hk_command - a request to change something
 * @priv: relay
 * @what: "proto-add", "proto-del", "proto-port", or as in hk_rules_command()
 * @body: see above
 * @len:  bytes
 * @why:  filled on failure
 * @size: of @why
 *
 * Return: 0 or a negative errno.
 */
int hk_command(void *priv, const char *what, const char *body, size_t len, char *why, size_t size)
{
	char text[PATH_MAX + 64], *lines[MAX_LINES];
	struct hk_relay *r = priv;
	unsigned int i;

	if (r->handover_fd >= 0)
		return refuse(why, size, "this daemon is being taken over; try again");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].what, what))
			break;
	if (i == sizeof(commands) / sizeof(commands[0]))
		return hk_rules_command(priv, what, body, len, why, size);
	if (len >= sizeof(text) || memchr(body, '\0', len))
		return refuse(why, size, "not a request that this daemon knows");
	memcpy(text, body, len);
	text[len] = '\0';
	if (!split(text, lines, commands[i].nr_lines))
		return refuse(why, size, "not a request that this daemon knows");
	return commands[i].fn(priv, lines, why, size);
}

/* ---- list ---- */

/* A port of applications, its entries of all sides together */
struct listed {
	__u16		number;
	unsigned int	sides;
	__u16		cover;
};

/* While the entries are walked over */
struct listing {
	const struct hk_relay	*r;
	struct listed		*ports;
	unsigned int		nr;
};

static void collect(void *priv, const struct hk_mech_key *key, const struct hk_mech_port *value)
{
	struct listing *l = priv;
	struct listed *p;
	unsigned int i;

	if (is_own(l->r, key->port))
		return;
	for (i = 0; i < l->nr; i++)
		if (l->ports[i].number == ntohs(key->port))
			break;
	p = &l->ports[i];
	if (i == l->nr) {
		memset(p, 0, sizeof(*p));
		p->number = ntohs(key->port);
		l->nr++;
	}
	p->sides |= 1 << key->side;
	if (value->cover == HK_MECH_COVER_FIXED)
		p->cover = value->base;
}

static int by_number(const void *a, const void *b)
{
	return (int)((const struct listed *)a)->number - ((const struct listed *)b)->number;
}

static const char *direction(unsigned int sides)
{
	if (!(sides & SIDES_OUT))
		return "in";
	return sides & SIDES_IN ? "both" : "out";
}

static void answer_port(struct hk_report *rep, const struct listed *p)
{
	char text[32];

	if (!rep->json) {
		snprintf(text, sizeof(text), p->cover ? "%u/%s/%u" : "%u/%s", p->number,
			 direction(p->sides), p->cover);
		hk_report_str(rep, NULL, text);
		return;
	}
	hk_report_object(rep);
	hk_report_u64(rep, "port", p->number);
	hk_report_str(rep, "direction", direction(p->sides));
	hk_report_u64(rep, "cover_bytes", p->cover);
	hk_report_end(rep);
}

static void answer_ports(struct hk_relay *r, const struct hk_mech *mech, struct hk_report *rep)
{
	struct listing l = { .r = r };
	unsigned int i;

	l.ports = calloc(HK_MECH_MAX_PORTS, sizeof(*l.ports));
	if (l.ports) {
		hk_mech_ports(mech, collect, &l);
		qsort(l.ports, l.nr, sizeof(*l.ports), by_number);
	}
	hk_report_array(rep, "ports");
	for (i = 0; i < l.nr; i++)
		answer_port(rep, &l.ports[i]);
	hk_report_end(rep);
	free(l.ports);
}

/**
 * hk_proto_counters - write a mechanism's counters
 * @mech: mechanism
 * @rep:  with an open object or section
 */
void hk_proto_counters(const struct hk_mech *mech, struct hk_report *rep)
{
	const struct hk_mechanism *about = hk_mech_about(mech, NULL, NULL);
	__u64 stats[HK_MECH_COUNTERS];
	unsigned int i;

	if (hk_mech_stats(mech, stats))
		return;
	for (i = 0; i < HK_MECH_COUNTERS && about->counters[i][0]; i++)
		hk_report_u64(rep, about->counters[i], stats[i]);
}

static void answer_mech(struct hk_relay *r, const struct hk_mech *mech, struct hk_report *rep)
{
	const struct hk_port *port = port_of(r, mech);
	const struct hk_mechanism *about;
	struct hk_dataplane_times times;
	const char *path;

	about = hk_mech_about(mech, &path, &times);
	hk_report_object(rep);
	hk_report_str(rep, "name", about->name);
	hk_report_u64(rep, "ip_proto", about->ip_proto);
	hk_report_u64(rep, "version", about->version);
	hk_report_u64(rep, "offer_bit", about->offer_bit);
	hk_report_bool(rep, "carrier", port);
	hk_report_u64(rep, "associations", count_peers(r, port));
	answer_ports(r, mech, rep);
	hk_report_u64(rep, "load_us", times.load_ns / 1000);
	hk_report_u64(rep, "attach_us", times.attach_ns / 1000);
	hk_report_str(rep, "file", path ?: "built-in");
	if (rep->json) {
		hk_report_section(rep, "counters");
		hk_proto_counters(mech, rep);
		hk_report_end(rep);
	}
	hk_report_end(rep);
}

/**
 * hk_proto_answer - write the mechanisms that are deployed
 * @r:	 relay
 * @rep: to write to
 *
 * Return: 0.
 */
int hk_proto_answer(struct hk_relay *r, struct hk_report *rep)
{
	const struct hk_mech *mech;

	hk_report_array(rep, "mechanisms");
	for (mech = hk_dataplane_next_mech(r->dp, NULL); mech;
	     mech = hk_dataplane_next_mech(r->dp, mech))
		answer_mech(r, mech, rep);
	hk_report_end(rep);
	return 0;
}
