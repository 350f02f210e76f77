// SPDX-License-Identifier: GPL-2.0
/*
 * hooker ping: how long a datagram takes to the other host's driver and back. Its XDP
 * program turns PROBEs round; neither its daemon nor its UDP stack has a part in it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cmd.h"
#include "../carrier/carrier.h"
#include "../htp/wire.h"
#include "../relay/relay.h"
#include "../tcp/addr.h"

#define NSEC_PER_MSEC	1000000ULL
#define NSEC_PER_SEC	1000000000ULL
#define LINGER_NS	NSEC_PER_SEC	/* for the last answer */
#define MAX_COUNT	1000000
#define PROBE_LEN	64

/**
 * struct ping - what is asked, and what came back
 * @proto:    name of the carrier
 * @port:     the other host's, host byte order
 * @count:    probes to send; 0: until interrupted
 * @interval_ns: between them
 * @carrier:  open
 * @path:     to the other host
 * @family:   index into the carrier's sockets
 * @text:     its address
 * @nonce:    of all probes; the packet number tells them apart
 * @sent_ns:  of each of the last probes, by packet number
 * @answered: likewise
 * @nr_sent:  probes
 * @nr_back:  answers
 * @nr_errors: ICMP errors
 * @last_err: the last one's errno
 * @min_ns:   of the round trips
 * @max_ns:   likewise
 * @sum_ns:   likewise
 */
struct ping {
	const char		*proto;
	unsigned long		port, count;
	__u64			interval_ns;
	struct hk_carrier	carrier;
	struct hk_path		path;
	int			family;
	char			text[INET6_ADDRSTRLEN];
	__u64			nonce;
	__u64			sent_ns[1024];
	bool			answered[1024];
	__u32			nr_sent, nr_back, nr_errors;
	int			last_err;
	__u64			min_ns, max_ns, sum_ns;
};

#define RING(p)	(sizeof((p)->sent_ns) / sizeof((p)->sent_ns[0]))

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static int set_count(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	if (hk_number_parse(value, 1, MAX_COUNT, &((struct ping *)ctx)->count))
		return hk_cmd_usage(env, "--count %s: not a number from 1 to %d", value, MAX_COUNT);
	return HK_EXIT_OK;
}

static int set_interval(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	unsigned long ms;

	if (hk_number_parse(value, 1, 3600000, &ms))
		return hk_cmd_usage(env, "--interval %s: not milliseconds, 1 to 3600000", value);
	((struct ping *)ctx)->interval_ns = ms * NSEC_PER_MSEC;
	return HK_EXIT_OK;
}

static int set_proto(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	const struct hk_carrier_ops *ops = hk_carrier_by_name(value);

	if (!ops)
		return hk_cmd_usage(env, "--proto %s: no such carrier; see \"hooker version\"",
				    *value ? value : "\"\"");
	((struct ping *)ctx)->proto = ops->name;
	return HK_EXIT_OK;
}

static int set_port(const struct hk_cmd_env *env, void *ctx, const char *value)
{
	if (hk_number_parse(value, 1, 65535, &((struct ping *)ctx)->port))
		return hk_cmd_usage(env, "--port %s: not a number from 1 to 65535", value);
	return HK_EXIT_OK;
}

const struct hk_cmd_option hk_ping_options[] = {
	{ "count", 'c', "N", false, set_count, "stop after so many probes (default: never)" },
	{ "interval", 'i', "MS", false, set_interval,
	  "milliseconds between them (default: 1000)" },
	{ "proto", 0, "NAME", false, set_proto, "carrier (default: udp)" },
	{ "port", 0, "N", false, set_port, "the other daemon's (default: 18507)" },
	{ 0 }
};

/* Addresses that no other host has, or more than one: they would only stay unanswered */
static const char *what_is_wrong(const struct addrinfo *ai)
{
	const struct in6_addr *in6 = &((struct sockaddr_in6 *)ai->ai_addr)->sin6_addr;
	__u32 in = ntohl(((struct sockaddr_in *)ai->ai_addr)->sin_addr.s_addr);

	if (ai->ai_family == AF_INET) {
		if (in >> 24 == 127)
			return "this host itself; no XDP program is on loopback";
		return !(in >> 24) || in >> 28 >= 14 ? "not the address of a host" : NULL;
	}
	if (IN6_IS_ADDR_LOOPBACK(in6))
		return "this host itself; no XDP program is on loopback";
	if (IN6_IS_ADDR_LINKLOCAL(in6))
		return "a link-local address; hooker uses none";
	return IN6_IS_ADDR_UNSPECIFIED(in6) || IN6_IS_ADDR_MULTICAST(in6) ?
	       "not the address of a host" : NULL;
}

static int resolve(const struct hk_cmd_env *env, struct ping *p, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *ai;
	int err = getaddrinfo(host, NULL, &hints, &ai);
	const char *wrong;

	if (err)
		return hk_cmd_fail(env, "%s: %s", *host ? host : "\"\"", gai_strerror(err));
	wrong = what_is_wrong(ai);
	if (wrong) {
		freeaddrinfo(ai);
		return hk_cmd_fail(env, "%s: %s", host, wrong);
	}
	if (ai->ai_family == AF_INET)
		hk_addr_map(p->path.remote, ((struct sockaddr_in *)ai->ai_addr)->sin_addr.s_addr);
	else
		memcpy(p->path.remote, &((struct sockaddr_in6 *)ai->ai_addr)->sin6_addr,
		       sizeof(p->path.remote));
	err = getnameinfo(ai->ai_addr, ai->ai_addrlen, p->text, sizeof(p->text), NULL, 0,
			  NI_NUMERICHOST);
	p->family = ai->ai_family != AF_INET;
	p->path.rport = htons(p->port);
	freeaddrinfo(ai);
	return err ? hk_cmd_fail(env, "%s: %s", host, gai_strerror(err)) : HK_EXIT_OK;
}

static int open_carrier(const struct hk_cmd_env *env, struct ping *p)
{
	int err = hk_carrier_open(&p->carrier, p->proto, &(struct hk_carrier_config){ 0 });

	if (err == -EPROTONOSUPPORT)
		return hk_cmd_fail(env, "%s: this kernel has no such sockets; --proto udp works everywhere",
				   p->proto);
	if (err)
		return hk_cmd_fail(env, "%s: %s", p->proto, strerror(-err));
	if (p->carrier.fd[p->family] < 0) {
		hk_carrier_close(&p->carrier);
		return hk_cmd_fail(env, "%s: this host has no such address family", p->text);
	}
	return HK_EXIT_OK;
}

static int send_probe(struct ping *p)
{
	struct htp_hdr hdr = { .type = HTP_PROBE, .pn = p->nr_sent, .dst_id = p->nonce };
	__u8 bytes[PROBE_LEN] = { 0 };
	struct hk_datagram dgram = { .path = p->path, .data = bytes, .len = sizeof(bytes) };
	int ret;

	htp_hdr_write(bytes, sizeof(bytes), &hdr);
	p->sent_ns[p->nr_sent % RING(p)] = now_ns();
	p->answered[p->nr_sent % RING(p)] = false;
	ret = p->carrier.ops->send(&p->carrier, &dgram, 1);
	if (ret < 0)
		return ret;
	p->nr_sent++;
	return 0;
}

static bool is_answer(const struct ping *p, const struct hk_datagram *dgram, struct htp_hdr *hdr)
{
	return dgram->len == PROBE_LEN && !htp_hdr_read(dgram->data, dgram->len, hdr) &&
	       hdr->type == HTP_PROBE_REPLY && hdr->dst_id == p->nonce && hdr->pn < p->nr_sent &&
	       p->nr_sent - hdr->pn <= RING(p) && !p->answered[hdr->pn % RING(p)];
}

static void count(struct ping *p, __u32 seq, bool quiet)
{
	__u64 rtt = now_ns() - p->sent_ns[seq % RING(p)];

	p->answered[seq % RING(p)] = true;
	p->nr_back++;
	p->sum_ns += rtt;
	if (p->nr_back == 1 || rtt < p->min_ns)
		p->min_ns = rtt;
	if (rtt > p->max_ns)
		p->max_ns = rtt;
	if (!quiet) {
		printf("%d bytes from %s: seq=%u time=%.3f ms\n", PROBE_LEN, p->text, seq + 1,
		       rtt / 1e6);
		fflush(stdout);
	}
}

static void receive(struct ping *p, bool quiet)
{
	__u8 bytes[HTP_MAX_DATAGRAM];
	struct hk_datagram dgram;
	struct htp_hdr hdr;

	for (;;) {
		dgram.data = bytes;
		dgram.len = sizeof(bytes);
		if (p->carrier.ops->recv(&p->carrier, p->family, &dgram, 1) != 1)
			return;
		if (is_answer(p, &dgram, &hdr))
			count(p, hdr.pn, quiet);
	}
}

static void count_errors(struct ping *p)
{
	struct hk_carrier_error error;
	__u8 quote[256];

	for (;;) {
		error.data = quote;
		error.len = sizeof(quote);
		if (p->carrier.ops->recv_error(&p->carrier, p->family, &error))
			return;
		p->nr_errors++;
		p->last_err = error.err;
	}
}

static void wait_until(struct ping *p, __u64 until_ns, bool quiet)
{
	struct pollfd pfd = { .fd = p->carrier.fd[p->family], .events = POLLIN };
	__u64 now = now_ns();
	struct timespec ts;

	while (!interrupted && now < until_ns && !(p->count && p->nr_back == p->count)) {
		ts.tv_sec = (until_ns - now) / NSEC_PER_SEC;
		ts.tv_nsec = (until_ns - now) % NSEC_PER_SEC;
		if (ppoll(&pfd, 1, &ts, NULL) > 0) {
			if (pfd.revents & POLLERR)
				count_errors(p);
			receive(p, quiet);
		}
		now = now_ns();
	}
}

static int run(const struct hk_cmd_env *env, struct ping *p)
{
	int err;

	while (!interrupted && (!p->count || p->nr_sent < p->count)) {
		err = send_probe(p);
		if (err)
			return hk_cmd_fail(env, "%s: %s", p->text, strerror(-err));
		wait_until(p, p->sent_ns[(p->nr_sent - 1) % RING(p)] + p->interval_ns, env->json);
	}
	wait_until(p, now_ns() + LINGER_NS, env->json);
	return HK_EXIT_OK;
}

static int print_json(const struct hk_cmd_env *env, const struct ping *p)
{
	struct hk_report r;
	int err;

	hk_report_init(&r, true);
	hk_report_str(&r, "address", p->text);
	hk_report_str(&r, "proto", p->proto);
	hk_report_u64(&r, "sent", p->nr_sent);
	hk_report_u64(&r, "received", p->nr_back);
	hk_report_u64(&r, "errors", p->nr_errors);
	hk_report_u64(&r, "min_us", p->min_ns / 1000);
	hk_report_u64(&r, "avg_us", p->nr_back ? p->sum_ns / p->nr_back / 1000 : 0);
	hk_report_u64(&r, "max_us", p->max_ns / 1000);
	err = hk_cmd_print(env, &r);
	hk_report_exit(&r);
	return err;
}

static int print_plain(const struct hk_cmd_env *env, const struct ping *p)
{
	char text[256];
	int len;

	len = snprintf(text, sizeof(text), "%u sent, %u answered over %s", p->nr_sent, p->nr_back,
		       p->proto);
	if (p->nr_back)
		len += snprintf(text + len, sizeof(text) - len, ", min/avg/max %.3f/%.3f/%.3f ms",
				p->min_ns / 1e6, p->sum_ns / p->nr_back / 1e6, p->max_ns / 1e6);
	if (p->nr_errors)
		len += snprintf(text + len, sizeof(text) - len, "; %u errors, last: %s",
				p->nr_errors, strerror(p->last_err));
	len += snprintf(text + len, sizeof(text) - len, "\n");
	return hk_cmd_write(env, text, len);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int ping(const struct hk_cmd_env *env, struct ping *p, const char *host)
{
	int err;

	if (getrandom(&p->nonce, sizeof(p->nonce), 0) != sizeof(p->nonce))
		return hk_cmd_fail(env, "no random numbers: %s", strerror(errno));
	err = resolve(env, p, host);
	if (!err)
		err = open_carrier(env, p);
	if (err)
		return err;
	catch_signals();
	err = run(env, p);
	hk_carrier_close(&p->carrier);
	if (err)
		return err;
	err = env->json ? print_json(env, p) : print_plain(env, p);
	return err || p->nr_back ? err : HK_EXIT_FAILED;
}

/**
 * hk_cmd_ping() - hooker ping
 * @env:  global options
 * @argc: of @argv
 * @argv: behind the command's name
 *
 * Return: an exit code; HK_EXIT_FAILED, too, if nothing was answered.
 */
int hk_cmd_ping(struct hk_cmd_env *env, int argc, char **argv)
{
	struct ping p = {
		.proto = "udp", .port = HK_DEFAULT_PORT, .interval_ns = NSEC_PER_SEC,
	};
	int err;

	err = hk_cmd_options(env, hk_ping_options, &p, &argc, argv);
	if (err || env->help)
		return err ? err : hk_cmd_explain(env, hk_command_find("ping"));
	if (!argc)
		return hk_cmd_usage(env, "HOST is missing");
	err = hk_cmd_no_arguments(env, argc - 1, argv + 1);
	return err ? err : ping(env, &p, argv[0]);
}
