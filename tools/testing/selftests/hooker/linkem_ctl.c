// SPDX-License-Identifier: GPL-2.0
/*
 * linkem: settings and counters as text, and the socket that carries them.
 *
 * A request is one SOCK_SEQPACKET record of words that end in NUL, as in argv. The
 * reply is one record, too: '0' and what goes to stdout, or '1' and an error message.
 * A pathname socket, because abstract ones are not seen from other network namespaces.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "linkem.h"

#define MAX_WORDS	128
#define REPLY_SNDBUF	(1 << 20)

static const char *const dir_names[LK_NR_DIRS] = { "ab", "ba" };

struct unit {
	const char	*suffix;
	double		factor;
};

static const struct unit rate_units[] = {
	{ "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { "", 1 }, { NULL, 0 }
};

static const struct unit time_units[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 }
};

static const struct unit size_units[] = {
	{ "b", 1 }, { "k", 1024 }, { "m", 1 << 20 }, { "", 1 }, { NULL, 0 }
};

static const struct unit percent_units[] = { { "%", 0.01 }, { NULL, 0 } };
static const struct unit plain_units[] = { { "", 1 }, { NULL, 0 } };

static int parse_number(const char *text, const struct unit *unit, double *value)
{
	char *end;

	*value = strtod(text, &end);
	if (end == text || !isfinite(*value) || *value < 0)
		return -EINVAL;
	for (; unit->suffix; unit++) {
		if (strcmp(end, unit->suffix))
			continue;
		*value *= unit->factor;
		return *value < 1e15 ? 0 : -ERANGE;
	}
	return -EINVAL;
}

static int parse_u64(const char *text, const struct unit *units, __u64 *value)
{
	double number;
	int err = parse_number(text, units, &number);

	if (!err)
		*value = number;
	return err;
}

static int parse_fraction(const char *text, double *value)
{
	double number;
	int err = parse_number(text, percent_units, &number);

	if (err)
		return err;
	if (number > 1)
		return -ERANGE;
	*value = number;
	return 0;
}

static int set_rate(struct lk_config *cfg, const char *text)
{
	return parse_u64(text, rate_units, &cfg->rate_bps);
}

static int set_delay(struct lk_config *cfg, const char *text)
{
	return parse_u64(text, time_units, &cfg->delay_ns);
}

static int set_queue(struct lk_config *cfg, const char *text)
{
	if (!strcmp(text, "bdp")) {
		cfg->queue_bytes = 0;
		return 0;
	}
	return parse_u64(text, size_units, &cfg->queue_bytes);
}

static int set_mark(struct lk_config *cfg, const char *text)
{
	return parse_u64(text, size_units, &cfg->mark_bytes);
}

static int set_loss(struct lk_config *cfg, const char *text)
{
	return parse_fraction(text, &cfg->loss);
}

static int set_burst(struct lk_config *cfg, const char *text)
{
	return parse_number(text, plain_units, &cfg->burst);
}

static int set_dup(struct lk_config *cfg, const char *text)
{
	return parse_fraction(text, &cfg->dup);
}

static int set_reorder(struct lk_config *cfg, const char *text)
{
	return parse_fraction(text, &cfg->reorder);
}

static int set_reorder_delay(struct lk_config *cfg, const char *text)
{
	return parse_u64(text, time_units, &cfg->reorder_ns);
}

static int set_corrupt(struct lk_config *cfg, const char *text)
{
	return parse_fraction(text, &cfg->corrupt);
}

static int set_corrupt_where(struct lk_config *cfg, const char *text)
{
	if (strcmp(text, "payload") && strcmp(text, "any"))
		return -EINVAL;
	cfg->corrupt_any = !strcmp(text, "any");
	return 0;
}

static int set_mtu(struct lk_config *cfg, const char *text)
{
	return parse_u64(text, plain_units, &cfg->mtu);
}

static int set_mtu_tell(struct lk_config *cfg, const char *text)
{
	if (strcmp(text, "yes") && strcmp(text, "no"))
		return -EINVAL;
	cfg->mtu_tell = !strcmp(text, "yes");
	return 0;
}

static int set_blackhole(struct lk_config *cfg, const char *text)
{
	__u8 set[sizeof(cfg->blackhole)] = { 0 };
	unsigned long proto;
	char *end;

	while (strcmp(text, "none")) {
		proto = strtoul(text, &end, 10);
		if (end == text || proto > 255 || (*end && *end != ','))
			return -EINVAL;
		set[proto / 8] |= 1 << proto % 8;
		if (!*end)
			break;
		text = end + 1;
	}
	memcpy(cfg->blackhole, set, sizeof(set));
	return 0;
}

static const struct setting {
	const char	*name;
	int		(*set)(struct lk_config *cfg, const char *text);
	const char	*help;
} settings[] = {
	{ "rate", set_rate, "N[kbit|mbit|gbit]  bits per second of whole frames; 0: unlimited" },
	{ "delay", set_delay, "Nns|us|ms|s  one way" },
	{ "queue", set_queue, "N[k|m]|bdp  bytes that may wait for the line" },
	{ "mark", set_mark, "N[k|m]  bytes in the queue beyond which ECT becomes CE; 0: never" },
	{ "loss", set_loss, "N%" },
	{ "burst", set_burst, "N  mean number of packets lost in a row" },
	{ "dup", set_dup, "N%  delivered twice" },
	{ "reorder", set_reorder, "N%  delivered late" },
	{ "reorder-delay", set_reorder_delay, "Nns|us|ms|s  how late" },
	{ "corrupt", set_corrupt, "N%  one bit flipped, checksums not adjusted" },
	{ "corrupt-where", set_corrupt_where, "payload|any  any: headers, too, but Ethernet's" },
	{ "mtu", set_mtu, "N  bytes of IP packet, larger ones vanish; 0: all pass" },
	{ "mtu-tell", set_mtu_tell, "yes|no  their sender gets an ICMP message" },
	{ "blackhole", set_blackhole, "PROTO[,PROTO]...|none  IP protocol numbers that vanish" },
	{ NULL, NULL, NULL }
};

/* Returns the bit set of directions a word names, 0 if it is not a direction. */
static unsigned int parse_dirs(const char *word)
{
	if (!strcmp(word, "both"))
		return 1 << LK_AB | 1 << LK_BA;
	if (!strcmp(word, dir_names[LK_AB]))
		return 1 << LK_AB;
	return strcmp(word, dir_names[LK_BA]) ? 0 : 1 << LK_BA;
}

static const struct setting *find_setting(const char *word)
{
	const struct setting *setting;

	for (setting = settings; setting->name; setting++)
		if (!strcmp(setting->name, word))
			return setting;
	return NULL;
}

static int apply_one(struct lk_config *cfg, unsigned int dirs, const char *name,
		     const char *value, FILE *err)
{
	const struct setting *setting = find_setting(name);
	int dir;

	if (!setting) {
		fprintf(err, "%s: no such setting, see 'linkem help'\n", name);
		return -EINVAL;
	}
	if (!value) {
		fprintf(err, "%s: value missing: %s\n", name, setting->help);
		return -EINVAL;
	}
	for (dir = 0; dir < LK_NR_DIRS; dir++) {
		if (!(dirs & 1 << dir) || !setting->set(&cfg[dir], value))
			continue;
		fprintf(err, "%s %s: expected %s\n", name, value, setting->help);
		return -EINVAL;
	}
	return 0;
}

/**
 * lk_ctl_apply() - change settings
 * @em:   its pipes' settings are changed, all or none
 * @argc: number of words
 * @argv: pairs of name and value; "ab", "ba", "both" say to which direction those
 *        behind it apply, both at first
 * @err:  where a message goes
 * Return: 0 or -EINVAL.
 */
int lk_ctl_apply(struct lk_emulator *em, int argc, char **argv, FILE *err)
{
	unsigned int dirs = parse_dirs("both"), named;
	struct lk_config cfg[LK_NR_DIRS];
	int dir, i;

	for (dir = 0; dir < LK_NR_DIRS; dir++)
		cfg[dir] = em->pipe[dir].cfg;
	for (i = 0; i < argc; i++) {
		named = parse_dirs(argv[i]);
		if (named) {
			dirs = named;
			continue;
		}
		if (apply_one(cfg, dirs, argv[i], i + 1 < argc ? argv[i + 1] : NULL, err))
			return -EINVAL;
		i++;
	}
	for (dir = 0; dir < LK_NR_DIRS; dir++) {
		em->pipe[dir].cfg = cfg[dir];
		em->pipe[dir].rtt_ns = cfg[LK_AB].delay_ns + cfg[LK_BA].delay_ns;
	}
	return 0;
}

struct field {
	const char	*name;
	size_t		offset;
};

#define FIELD(type, member)	{ #member, offsetof(struct type, member) }

static const struct field proto_fields[] = {
	FIELD(lk_counters, packets), FIELD(lk_counters, bytes),
	FIELD(lk_counters, payload_bytes), FIELD(lk_counters, dropped_loss),
	FIELD(lk_counters, dropped_queue), FIELD(lk_counters, dropped_blackhole),
	FIELD(lk_counters, dropped_mtu),
	FIELD(lk_counters, duplicated), FIELD(lk_counters, reordered),
	FIELD(lk_counters, corrupted), FIELD(lk_counters, marked),
	FIELD(lk_counters, with_payload),
	FIELD(lk_counters, without_payload), FIELD(lk_counters, syn),
	FIELD(lk_counters, fin), FIELD(lk_counters, rst), { NULL, 0 }
};

static const struct field link_fields[] = {
	FIELD(lk_link_counters, delivered_packets), FIELD(lk_link_counters, delivered_bytes),
	FIELD(lk_link_counters, loss_bursts), FIELD(lk_link_counters, dropped_memory),
	FIELD(lk_link_counters, dropped_ring), FIELD(lk_link_counters, fragments),
	FIELD(lk_link_counters, may_split), FIELD(lk_link_counters, oversize),
	FIELD(lk_link_counters, csum_unset),
	FIELD(lk_link_counters, tx_errors), FIELD(lk_link_counters, late_max_ns),
	FIELD(lk_link_counters, late_over_1ms), { NULL, 0 }
};

static __u64 field_value(const void *counters, const struct field *field)
{
	return *(const __u64 *)((const char *)counters + field->offset);
}

static void add_counters(struct lk_counters *sum, const struct lk_counters *cnt)
{
	const struct field *field;

	for (field = proto_fields; field->name; field++)
		*(__u64 *)((char *)sum + field->offset) += field_value(cnt, field);
}

static void print_json(FILE *out, const void *counters, const struct field *field)
{
	const char *separator = "{ ";

	for (; field->name; field++) {
		fprintf(out, "%s\"%s\": %llu", separator, field->name,
			(unsigned long long)field_value(counters, field));
		separator = ", ";
	}
	fprintf(out, " }");
}

static void print_json_dir(FILE *out, const struct lk_pipe *pipe, const char *name)
{
	const char *separator = "\n";
	int proto;

	fprintf(out, "  \"%s\": {\n    \"link\": ", name);
	print_json(out, &pipe->link, link_fields);
	fprintf(out, ",\n    \"other\": ");
	print_json(out, &pipe->other, proto_fields);
	fprintf(out, ",\n    \"protocols\": {");
	for (proto = 0; proto < 256; proto++) {
		if (!pipe->proto[proto].packets)
			continue;
		fprintf(out, "%s      \"%d\": ", separator, proto);
		print_json(out, &pipe->proto[proto], proto_fields);
		separator = ",\n";
	}
	fprintf(out, " }\n  }");
}

static void print_plain(FILE *out, const char *title, const void *counters,
			const struct field *field)
{
	fprintf(out, "%s:", title);
	for (; field->name; field++)
		if (field_value(counters, field))
			fprintf(out, " %s=%llu", field->name,
				(unsigned long long)field_value(counters, field));
	fputc('\n', out);
}

static void print_plain_dir(FILE *out, const struct lk_pipe *pipe, const char *name)
{
	char title[32];
	int proto;

	snprintf(title, sizeof(title), "%s link", name);
	print_plain(out, title, &pipe->link, link_fields);
	snprintf(title, sizeof(title), "%s other", name);
	if (pipe->other.packets)
		print_plain(out, title, &pipe->other, proto_fields);
	for (proto = 0; proto < 256; proto++) {
		snprintf(title, sizeof(title), "%s %d", name, proto);
		if (pipe->proto[proto].packets)
			print_plain(out, title, &pipe->proto[proto], proto_fields);
	}
}

static void read_drops(struct lk_emulator *em)
{
	int dir;

	for (dir = 0; dir < LK_NR_DIRS; dir++)
		lk_port_read_drops(&em->port[dir], &em->pipe[dir]);
}

static int cmd_set(struct lk_emulator *em, int argc, char **argv, FILE *out)
{
	return lk_ctl_apply(em, argc, argv, out);
}

static int cmd_stats(struct lk_emulator *em, int argc, char **argv, FILE *out)
{
	bool json = argc == 1 && !strcmp(argv[0], "-j");

	if (argc && !json) {
		fprintf(out, "stats %s: expected nothing or -j\n", argv[0]);
		return -EINVAL;
	}
	read_drops(em);
	if (!json) {
		print_plain_dir(out, &em->pipe[LK_AB], dir_names[LK_AB]);
		print_plain_dir(out, &em->pipe[LK_BA], dir_names[LK_BA]);
		return 0;
	}
	fprintf(out, "{\n");
	print_json_dir(out, &em->pipe[LK_AB], dir_names[LK_AB]);
	fprintf(out, ",\n");
	print_json_dir(out, &em->pipe[LK_BA], dir_names[LK_BA]);
	fprintf(out, "\n}\n");
	return 0;
}

static int get_proto(const struct lk_pipe *pipe, const char *what, struct lk_counters *sum)
{
	unsigned long proto;
	char *end;
	int i;

	if (!strcmp(what, "other") || !strcmp(what, "all"))
		add_counters(sum, &pipe->other);
	if (!strcmp(what, "other"))
		return 0;
	if (!strcmp(what, "all")) {
		for (i = 0; i < 256; i++)
			add_counters(sum, &pipe->proto[i]);
		return 0;
	}
	proto = strtoul(what, &end, 10);
	if (end == what || *end || proto > 255)
		return -EINVAL;
	add_counters(sum, &pipe->proto[proto]);
	return 0;
}

static int print_field(FILE *out, const void *counters, const struct field *field,
		       const char *name, __u64 *sum)
{
	for (; field->name; field++) {
		if (strcmp(field->name, name))
			continue;
		*sum += field_value(counters, field);
		return 0;
	}
	fprintf(out, "%s: no such counter\n", name);
	return -EINVAL;
}

/* get DIR PROTO|all|other|link COUNTER: one number, so that shell scripts need no JSON parser */
static int cmd_get(struct lk_emulator *em, int argc, char **argv, FILE *out)
{
	unsigned int dirs = argc == 3 ? parse_dirs(argv[0]) : 0;
	struct lk_counters cnt = { 0 };
	__u64 sum = 0;
	int dir, err;

	if (!dirs) {
		fprintf(out, "expected: get ab|ba|both PROTO|all|other|link COUNTER\n");
		return -EINVAL;
	}
	read_drops(em);
	for (dir = 0; dir < LK_NR_DIRS; dir++) {
		if (!(dirs & 1 << dir))
			continue;
		if (!strcmp(argv[1], "link")) {
			err = print_field(out, &em->pipe[dir].link, link_fields, argv[2], &sum);
			if (err)
				return err;
		} else if (get_proto(&em->pipe[dir], argv[1], &cnt)) {
			fprintf(out, "%s: expected an IP protocol number, all, other or link\n",
				argv[1]);
			return -EINVAL;
		}
	}
	if (strcmp(argv[1], "link")) {
		err = print_field(out, &cnt, proto_fields, argv[2], &sum);
		if (err)
			return err;
	}
	fprintf(out, "%llu\n", (unsigned long long)sum);
	return 0;
}

static int cmd_reset(struct lk_emulator *em, int argc, char **argv, FILE *out)
{
	(void)argv;
	if (argc) {
		fprintf(out, "reset takes no argument\n");
		return -EINVAL;
	}
	read_drops(em);
	lk_pipe_reset_counters(&em->pipe[LK_AB]);
	lk_pipe_reset_counters(&em->pipe[LK_BA]);
	return 0;
}

static const struct command {
	const char	*name;
	int		(*run)(struct lk_emulator *em, int argc, char **argv, FILE *out);
	const char	*args, *help;
} commands[] = {
	{ "set", cmd_set, "SETTING...", "change settings, all or none" },
	{ "stats", cmd_stats, "[-j]", "all counters" },
	{ "get", cmd_get, "ab|ba|both PROTO|all|other|link COUNTER", "one counter" },
	{ "reset", cmd_reset, "", "set the counters to zero" },
	{ NULL, NULL, NULL, NULL }
};

void lk_ctl_help(FILE *out)
{
	const struct setting *setting;
	const struct command *cmd;

	fprintf(out, "Settings ('ab', 'ba' or 'both' before them says for which direction):\n");
	for (setting = settings; setting->name; setting++)
		fprintf(out, "  %s %s\n", setting->name, setting->help);
	fprintf(out, "Commands of 'linkem ctl SOCKET':\n");
	for (cmd = commands; cmd->name; cmd++)
		fprintf(out, "  %s %s  %s\n", cmd->name, cmd->args, cmd->help);
}

static int run_command(struct lk_emulator *em, int argc, char **argv, FILE *out)
{
	const struct command *cmd;

	for (cmd = commands; argc && cmd->name; cmd++)
		if (!strcmp(cmd->name, argv[0]))
			return cmd->run(em, argc - 1, argv + 1, out);
	fprintf(out, "%s: no such command, see 'linkem help'\n", argc ? argv[0] : "");
	return -EINVAL;
}

static int set_address(struct sockaddr_un *sun, const char *path)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, strlen(path));	/* the NUL is there already */
	return 0;
}

/**
 * lk_ctl_listen() - create the control socket
 * @path: must not exist; the caller unlinks it at the end
 * Return: a descriptor that does not block, or -errno.
 */
int lk_ctl_listen(const char *path)
{
	struct sockaddr_un sun;
	int fd, err;

	err = set_address(&sun, path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 16)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int split_words(char *text, size_t len, char **words)
{
	size_t off;
	int nr = 0;

	for (off = 0; off < len && nr < MAX_WORDS; off += strlen(text + off) + 1)
		words[nr++] = text + off;
	return nr;
}

/**
 * lk_ctl_serve() - answer the request that waits on a connection
 * @em: emulator the request is about
 * @fd: accepted connection; the caller closes it afterwards
 * Return: 0 or -errno; a request that was refused is no error here.
 */
int lk_ctl_serve(struct lk_emulator *em, int fd)
{
	char request[LK_MAX_REQUEST + 1], *words[MAX_WORDS], *reply = NULL;
	int sndbuf = REPLY_SNDBUF, err = 0;
	size_t reply_len;
	ssize_t len;
	FILE *out;

	len = recv(fd, request, sizeof(request) - 1, MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	request[len] = 0;
	out = open_memstream(&reply, &reply_len);
	if (!out)
		return -errno;
	fputc('0', out);
	err = run_command(em, split_words(request, len, words), words, out);
	if (fclose(out) || !reply)
		return -ENOMEM;
	reply[0] = err ? '1' : '0';
	err = 0;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf));
	if (send(fd, reply, reply_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		err = -errno;
	free(reply);
	return err;
}

static int exchange(const char *path, int argc, char **argv, char *reply, size_t cap)
{
	struct timeval timeout = { .tv_sec = 5 };
	char request[LK_MAX_REQUEST];
	struct sockaddr_un sun;
	size_t len = 0, word;
	ssize_t got;
	int fd, err;

	for (; argc; argc--, argv++) {
		word = strlen(*argv) + 1;
		if (len + word > sizeof(request))
			return -E2BIG;
		memcpy(request + len, *argv, word);
		len += word;
	}
	err = set_address(&sun, path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	got = -1;
	if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun)) &&
	    send(fd, request, len, MSG_NOSIGNAL) >= 0)
		got = recv(fd, reply, cap - 1, 0);
	err = got < 0 ? -errno : got ? 0 : -ECONNRESET;
	if (!err)
		reply[got] = 0;
	close(fd);
	return err;
}

/**
 * lk_ctl_request() - the client: send a command, print the answer
 * @path: control socket
 * @argc: number of words
 * @argv: command and its arguments
 * Return: exit status.
 */
int lk_ctl_request(const char *path, int argc, char **argv)
{
	char *reply = malloc(REPLY_SNDBUF);
	int err, status = 1;

	if (!reply)
		return 1;
	err = exchange(path, argc, argv, reply, REPLY_SNDBUF);
	if (err) {
		fprintf(stderr, "linkem: %s: %s\n", path, strerror(-err));
	} else {
		status = reply[0] != '0';
		fprintf(status ? stderr : stdout, "%s%s", status ? "linkem: " : "", reply + 1);
	}
	free(reply);
	return status;
}
