// SPDX-License-Identifier: GPL-2.0
/*
 * tapp: an ordinary TCP application for tests.
 *
 *   tapp server [OPTIONS]                  prints 'tapp: ready port=N'
 *   tapp client [OPTIONS] ADDRESS PORT
 *
 * Plain sockets only; it knows nothing of what carries its bytes. The client tells the
 * server in the first bytes of each connection what to do, so one server serves all
 * tests. Results are lines of key=value; the exit status says how the worst connection
 * ended (enum tapp_result).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tapp.h"

enum {
	OPT_CLIENT = 256, OPT_SERVER = 512,	/* added to the role options' own values */
	OPT_END = 1, OPT_CUT, OPT_PAUSE, OPT_AFTER_EOF, OPT_BLOCKING, OPT_IDLE,
	OPT_UP = 128, OPT_DOWN, OPT_ECHO, OPT_GREET, OPT_RR, OPT_WRITE, OPT_READ, OPT_BIND,
	OPT_HOLD, OPT_COUNT_BAD, OPT_GO, OPT_UNTIL,
};

static const struct option long_options[] = {
	{ "up", required_argument, NULL, OPT_UP },
	{ "down", required_argument, NULL, OPT_DOWN },
	{ "echo", no_argument, NULL, OPT_ECHO },
	{ "greet", required_argument, NULL, OPT_GREET },
	{ "rr", required_argument, NULL, OPT_RR },
	{ "write-size", required_argument, NULL, OPT_WRITE },
	{ "read-size", required_argument, NULL, OPT_READ },
	{ "bind", required_argument, NULL, OPT_BIND },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "count-bad", no_argument, NULL, OPT_COUNT_BAD },
	{ "go", required_argument, NULL, OPT_GO },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "client-end", required_argument, NULL, OPT_CLIENT | OPT_END },
	{ "server-end", required_argument, NULL, OPT_SERVER | OPT_END },
	{ "client-cut", required_argument, NULL, OPT_CLIENT | OPT_CUT },
	{ "server-cut", required_argument, NULL, OPT_SERVER | OPT_CUT },
	{ "client-pause", required_argument, NULL, OPT_CLIENT | OPT_PAUSE },
	{ "server-pause", required_argument, NULL, OPT_SERVER | OPT_PAUSE },
	{ "client-after-eof", no_argument, NULL, OPT_CLIENT | OPT_AFTER_EOF },
	{ "server-after-eof", no_argument, NULL, OPT_SERVER | OPT_AFTER_EOF },
	{ "client-blocking", no_argument, NULL, OPT_CLIENT | OPT_BLOCKING },
	{ "server-blocking", no_argument, NULL, OPT_SERVER | OPT_BLOCKING },
	{ "client-idle", required_argument, NULL, OPT_CLIENT | OPT_IDLE },
	{ "server-idle", required_argument, NULL, OPT_SERVER | OPT_IDLE },
	{ NULL, 0, NULL, 0 }
};

static void usage(FILE *out)
{
	fputs("Usage: tapp server [-p PORT] [-c COUNT] [-t SECONDS] [--bind ADDRESS]\n"
	      "              [--greet BYTES]\n"
	      "       tapp client [OPTIONS] ADDRESS PORT\n"
	      "Sizes take a suffix k, m or g. Client options:\n"
	      "  -P N, -n N         N connections at once; N one after the other\n"
	      "  -t SECONDS         longest wait without progress, 10 if not given\n"
	      "  --up N, --down N   bytes to the server, to the client\n"
	      "  --echo             the server sends back what comes\n"
	      "  --rr N             N small requests, each echoed; latency is reported\n"
	      "  --greet N          the server was started with --greet N\n"
	      "  --count-bad        go on when bits are wrong, and tell how many were\n"
	      "  --go FILE          nobody sends before it exists\n"
	      "  --until FILE       both stop sending when it exists; --up and --down are limits\n"
	      "  --write-size N, --read-size N, --bind ADDRESS, --hold MS\n"
	      "For each side (--client-..., --server-...):\n"
	      "  end fin|close|rst  shutdown and read to EOF (default); close; SO_LINGER 0\n"
	      "  cut BYTES          end at once after so many bytes sent and received\n"
	      "  pause BYTES:MS     stop reading for a while\n"
	      "  idle MS            wait before sending\n"
	      "  after-eof          send only after the peer's EOF\n"
	      "  blocking           blocking calls instead of edge-triggered epoll\n"
	      "Exit: 0 ok, 3 reset, 5 early EOF, 6 timeout, 7 refused, 8 unreachable,\n"
	      "  9 wrong bytes, 10 EPIPE, 1 other, 2 usage\n", out);
}

static int parse_size(const char *text, __u64 *value)
{
	char *end;

	*value = strtoull(text, &end, 10);
	if (end == text || *text == '-')
		return -EINVAL;
	if (*end == 'k')
		*value <<= 10;
	else if (*end == 'm')
		*value <<= 20;
	else if (*end == 'g')
		*value <<= 30;
	else if (*end)
		return -EINVAL;
	return *end && end[1] ? -EINVAL : 0;
}

static int parse_u32(const char *text, __u32 *value)
{
	__u64 number;

	if (parse_size(text, &number) || number > 1U << 31)
		return -EINVAL;
	*value = number;
	return 0;
}

static int parse_chunk(const char *text, struct tapp_options *opts, bool is_write)
{
	__u32 size;

	if (parse_u32(text, &size) || !size || size > TAPP_MAX_CHUNK)
		return -EINVAL;
	if (is_write) {
		opts->client.write_size = size;
		opts->server.write_size = size;
	} else {
		opts->client.read_size = size;
		opts->server.read_size = size;
	}
	return 0;
}

static int parse_end(const char *text, __u8 *end)
{
	static const char *const names[] = { "fin", "close", "rst" };
	int i;

	for (i = TAPP_FIN; i <= TAPP_RST; i++) {
		if (strcmp(text, names[i]))
			continue;
		*end = i;
		return 0;
	}
	return -EINVAL;
}

static int parse_pause(const char *text, struct tapp_role *role)
{
	char bytes[32];
	const char *colon = strchr(text, ':');

	if (!colon || colon - text >= (int)sizeof(bytes))
		return -EINVAL;
	memcpy(bytes, text, colon - text);
	bytes[colon - text] = 0;
	if (parse_size(bytes, &role->pause_bytes))
		return -EINVAL;
	return parse_u32(colon + 1, &role->pause_ms);
}

static int parse_role(int opt, const char *arg, struct tapp_role *role)
{
	switch (opt) {
	case OPT_END:
		return parse_end(arg, &role->end);
	case OPT_CUT:
		return parse_size(arg, &role->cut_bytes);
	case OPT_PAUSE:
		return parse_pause(arg, role);
	case OPT_IDLE:
		return parse_u32(arg, &role->idle_ms);
	case OPT_AFTER_EOF:
		role->after_eof = true;
		return 0;
	default:
		role->blocking = true;
		return 0;
	}
}

static int parse_option(struct tapp_options *opts, int opt, const char *arg)
{
	if (opt >= OPT_SERVER)
		return parse_role(opt & ~OPT_SERVER, arg, &opts->server);
	if (opt >= OPT_CLIENT)
		return parse_role(opt & ~OPT_CLIENT, arg, &opts->client);
	switch (opt) {
	case 'p':
		opts->port = arg;
		return 0;
	case 'c':
	case 'n':
		return parse_u32(arg, &opts->nr_conns);
	case 'P':
		return parse_u32(arg, &opts->nr_threads);
	case 't':
		if (parse_u32(arg, &opts->timeout_ms) || opts->timeout_ms > 1000000)
			return -EINVAL;
		opts->timeout_ms *= 1000;
		return 0;
	case OPT_UP:
		return parse_size(arg, &opts->up_bytes);
	case OPT_DOWN:
		return parse_size(arg, &opts->down_bytes);
	case OPT_GREET:
		return parse_size(arg, &opts->greet_bytes);
	case OPT_RR:
		opts->server.echo = true;
		return parse_u32(arg, &opts->nr_rr);
	case OPT_HOLD:
		return parse_u32(arg, &opts->hold_ms);
	case OPT_WRITE:
	case OPT_READ:
		return parse_chunk(arg, opts, opt == OPT_WRITE);
	case OPT_BIND:
		opts->bind_addr = arg;
		return 0;
	case OPT_COUNT_BAD:
		opts->client.count_bad = true;
		opts->server.count_bad = true;
		return 0;
	case OPT_GO:
		opts->go_file = arg;
		opts->server.after_byte = true;
		return 0;
	case OPT_UNTIL:
		opts->until_file = arg;
		opts->server.until_eof = true;
		return 0;
	case OPT_ECHO:
		opts->server.echo = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse_options(struct tapp_options *opts, int argc, char **argv)
{
	int opt, index = -1;

	while ((opt = getopt_long(argc, argv, "p:c:t:P:n:", long_options, &index)) != -1) {
		if (opt == '?')
			return -EINVAL;
		if (parse_option(opts, opt, optarg)) {
			fprintf(stderr, "tapp: %s: value '%s' not understood\n",
				index < 0 ? "option" : long_options[index].name, optarg);
			return -EINVAL;
		}
		index = -1;
	}
	opts->client.send_bytes = opts->up_bytes;
	opts->server.send_bytes = opts->server.echo ? 0 : opts->down_bytes;
	if (opts->server.echo)
		opts->down_bytes = opts->up_bytes;
	/* Exactly one side sends first, or two blocking sides would wait for each other. */
	opts->client.send_first = !opts->client.after_eof;
	opts->server.send_first = opts->client.after_eof;
	return 0;
}

int main(int argc, char **argv)
{
	const struct tapp_role role = { .write_size = 64 << 10, .read_size = 64 << 10 };
	struct tapp_options opts = {
		.client = role, .server = role, .port = "0", .nr_threads = 1, .timeout_ms = 10000,
	};

	bool is_server = argc > 1 && !strcmp(argv[1], "server");

	if (!is_server && (argc < 2 || strcmp(argv[1], "client"))) {
		usage(stderr);
		return TAPP_USAGE;
	}
	opts.nr_conns = is_server ? 0 : 1;
	argc--;
	argv++;
	if (parse_options(&opts, argc, argv) || argc - optind != (is_server ? 0 : 2)) {
		usage(stderr);
		return TAPP_USAGE;
	}
	if (is_server)
		return tapp_server(&opts);
	opts.host = argv[optind];
	opts.port = argv[optind + 1];
	if (!opts.nr_conns || !opts.nr_threads)
		return TAPP_USAGE;
	return tapp_client(&opts);
}
