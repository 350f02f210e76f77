// SPDX-License-Identifier: GPL-2.0
/*
 * Rules as text, and the list of them.
 *
 * Each function that refuses something says which word it was and what would have been
 * right; the caller adds where it stood.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../carrier/carrier.h"
#include "../htp/cc.h"
#include "policy.h"

#define PREF_MAX	4294967295UL
#define BLANKS		" \t\r\v\f"

__attribute__((__format__(printf, 2, 3)))
static int wrong(struct hk_policy_error *error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	error->unknown_carrier = false;
	return -EINVAL;
}

static int set_pref(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	unsigned long pref;

	if (hk_number_parse(value, 1, PREF_MAX, &pref))
		return wrong(error, "pref %.40s: not a number from 1 to %lu", value, PREF_MAX);
	rule->pref = pref;
	return 0;
}

static int set_first(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->first = true;
	return 0;
}

static int set_in(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->out = false;
	return 0;
}

static int set_out(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->in = false;
	return 0;
}

static int set_prefix(struct hk_prefix *prefix, const char *word, const char *value,
		      struct hk_policy_error *error)
{
	const char *why = hk_prefix_parse(value, prefix);

	if (why)
		return wrong(error, "%s %.80s: %s", word, value, why);
	if (prefix->port)
		return wrong(error, "%s %.80s: a port has a word of its own, \"port %u\"", word,
			     value, ntohs(prefix->port));
	return 0;
}

static int set_from(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	return set_prefix(&rule->from, "from", value, error);
}

static int set_to(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	return set_prefix(&rule->to, "to", value, error);
}

static int set_port(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	const char *dash = strchr(value, '-');
	unsigned long min, max;
	char low[8] = "";

	if (dash && (size_t)(dash - value) < sizeof(low))
		memcpy(low, value, dash - value);
	if (hk_number_parse(dash ? low : value, 1, 65535, &min) ||
	    hk_number_parse(dash ? dash + 1 : value, 1, 65535, &max))
		return wrong(error, "port %.40s: not N or LOW-HIGH with numbers from 1 to 65535",
			     value);
	if (min > max)
		return wrong(error, "port %.40s: the lower end comes first", value);
	rule->port_min = min;
	rule->port_max = max;
	return 0;
}

static int set_cgroup(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	const char *c;

	if (!*value || strlen(value) >= sizeof(rule->cgroup))
		return wrong(error, "cgroup %.40s: not a path of 1 to %zu bytes", value,
			     sizeof(rule->cgroup) - 1);
	for (c = value; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '#')
			return wrong(error,
				     "cgroup %.200s: blanks, '#' and control characters have no place in a rule",
				     value);
	memcpy(rule->cgroup, value, strlen(value) + 1);
	return 0;
}

static int add_carrier(struct hk_rule *rule, const char *name, size_t len,
		       struct hk_policy_error *error)
{
	const char *known = NULL;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		known = hk_carrier_name(i);
		if (known && strlen(known) == len && !memcmp(known, name, len))
			break;
	}
	if (i == 8) {
		wrong(error, "via %.40s: no such carrier; \"hooker version\" and \"hooker proto list\" name them",
		      name);
		error->unknown_carrier = true;
		return -EINVAL;
	}
	if (rule->protos & 1 << i)
		return wrong(error, "via: %s is named twice", known);
	rule->protos |= 1 << i;
	return 0;
}

static int set_via(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	size_t len;
	int err;

	for (;; value += len + 1) {
		len = strcspn(value, ",");
		err = add_carrier(rule, value, len, error);
		if (err || !value[len])
			return err;
	}
}

static const char * const cover_names[HK_NR_COVERS] = {
	[HK_COVER_FULL]		= "full",
	[HK_COVER_HEADER]	= "header",
};

/**
 * hk_cover_name - a coverage as rules have it
 * @cover: which
 *
 * Return: the word, NULL for none.
 */
const char *hk_cover_name(enum hk_cover cover)
{
	return cover_names[cover];
}

static int set_cover(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	enum hk_cover cover;

	for (cover = HK_COVER_FULL; cover < HK_NR_COVERS; cover++) {
		if (strcmp(value, cover_names[cover]))
			continue;
		rule->cover = cover;
		return 0;
	}
	return wrong(error, "cover %.40s: not full or header", value);
}

static int set_cc(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	if (strlen(value) >= sizeof(rule->cc) || !htp_cc_by_name(value))
		return wrong(error, "cc %.40s: not bbr or cubic", value);
	memcpy(rule->cc, value, strlen(value) + 1);
	return 0;
}

static int set_hold(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->contact = HK_CONTACT_HOLD;
	return 0;
}

static int set_native_first(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->contact = HK_CONTACT_NATIVE_FIRST;
	return 0;
}

static int set_none(struct hk_rule *rule, const char *value, struct hk_policy_error *error)
{
	(void)value;
	(void)error;
	rule->none = true;
	return 0;
}

enum word {
	W_PREF, W_FIRST, W_IN, W_OUT, W_FROM, W_TO, W_PORT, W_CGROUP,
	W_VIA, W_COVER, W_CC, W_HOLD, W_NATIVE_FIRST, W_NONE,
	NR_WORDS,
};

#define BIT(word)	(1U << (word))
#define HOOKING		(BIT(W_VIA) | BIT(W_COVER) | BIT(W_CC) | BIT(W_HOLD) | BIT(W_NATIVE_FIRST))

/**
 * struct rule_word - a word of a rule
 * @name:  as written
 * @value: what follows it, NULL for nothing
 * @not:   words that can't stand beside it
 * @set:   takes it over
 */
struct rule_word {
	const char	*name, *value;
	unsigned int	not;
	int		(*set)(struct hk_rule *rule, const char *value,
			       struct hk_policy_error *error);
};

static const struct rule_word rule_words[NR_WORDS] = {
	[W_PREF]	= { "pref", "N", BIT(W_FIRST), set_pref },
	[W_FIRST]	= { "first", NULL, BIT(W_PREF), set_first },
	[W_IN]		= { "in", NULL, BIT(W_OUT), set_in },
	[W_OUT]		= { "out", NULL, BIT(W_IN), set_out },
	[W_FROM]	= { "from", "PREFIX", 0, set_from },
	[W_TO]		= { "to", "PREFIX", 0, set_to },
	[W_PORT]	= { "port", "N[-N]", 0, set_port },
	[W_CGROUP]	= { "cgroup", "PATH", 0, set_cgroup },
	[W_VIA]		= { "via", "CARRIER", BIT(W_NONE), set_via },
	[W_COVER]	= { "cover", "full or header", BIT(W_NONE), set_cover },
	[W_CC]		= { "cc", "NAME", BIT(W_NONE), set_cc },
	[W_HOLD]	= { "hold", NULL, BIT(W_NATIVE_FIRST) | BIT(W_NONE), set_hold },
	[W_NATIVE_FIRST] = { "native-first", NULL, BIT(W_HOLD) | BIT(W_NONE), set_native_first },
	[W_NONE]	= { "none", NULL, HOOKING, set_none },
};

static int find_word(const char *text)
{
	int i;

	for (i = 0; i < NR_WORDS; i++)
		if (!strcmp(rule_words[i].name, text))
			return i;
	return -1;
}

static int check_beside(unsigned int given, int word, struct hk_policy_error *error)
{
	unsigned int both = given & rule_words[word].not;
	int i;

	if (given & BIT(word))
		return wrong(error, "%s: said twice", rule_words[word].name);
	for (i = 0; i < NR_WORDS; i++)
		if (both & BIT(i))
			return wrong(error, "%s: excludes %s", rule_words[word].name,
				     rule_words[i].name);
	return 0;
}

/* words[0] and its value; returns how many that were */
static int parse_word(struct hk_rule *rule, unsigned int *given, char *const *words,
		      unsigned int nr, struct hk_policy_error *error)
{
	const struct rule_word *word;
	int i = find_word(words[0]);
	int err;

	if (i < 0)
		return wrong(error,
			     "\"%.40s\": not a word of a rule; expected pref, first, in, out, from, to, port, cgroup, via, cover, cc, hold, native-first or none",
			     words[0]);
	word = &rule_words[i];
	err = check_beside(*given, i, error);
	if (err)
		return err;
	if (word->value && nr < 2)
		return wrong(error, "%s: %s is missing", word->name, word->value);
	*given |= BIT(i);
	err = word->set(rule, word->value ? words[1] : NULL, error);
	return err ?: 1 + !!word->value;
}

/**
 * hk_rule_parse - read a rule
 * @rule:  filled
 * @words: of which it consists
 * @nr:	   how many
 * @error: filled on failure
 *
 * Return: 0 or -EINVAL.
 */
int hk_rule_parse(struct hk_rule *rule, char *const *words, unsigned int nr,
		  struct hk_policy_error *error)
{
	unsigned int given = 0, i;
	int n;

	memset(rule, 0, sizeof(*rule));
	rule->in = true;
	rule->out = true;
	rule->port_max = 65535;
	for (i = 0; i < nr; i += n) {
		n = parse_word(rule, &given, words + i, nr - i, error);
		if (n < 0)
			return n;
	}
	if (!(given & (HOOKING | BIT(W_NONE))))
		return wrong(error,
			     "the rule says nothing to do: via, cover, cc, hold, native-first or none");
	return 0;
}

__attribute__((__format__(printf, 2, 3)))
static void append(char text[HK_RULE_TEXT], const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + len, HK_RULE_TEXT - len, fmt, ap);
	va_end(ap);
}

static void append_prefix(char text[HK_RULE_TEXT], const char *word, const struct hk_prefix *prefix)
{
	char value[HK_PREFIX_TEXT];

	if (prefix->len)
		append(text, " %s %s", word, hk_prefix_format(prefix, value));
}

static void append_ports(char text[HK_RULE_TEXT], const struct hk_rule *rule)
{
	if (rule->port_min == rule->port_max)
		append(text, " port %u", rule->port_min);
	else if (rule->port_min)
		append(text, " port %u-%u", rule->port_min, rule->port_max);
}

static void append_carriers(char text[HK_RULE_TEXT], __u8 protos)
{
	const char *sep = " via ", *name;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		name = hk_carrier_name(i);
		if (!(protos & 1 << i) || !name)
			continue;
		append(text, "%s%s", sep, name);
		sep = ",";
	}
}

/**
 * hk_rule_format - write a rule as hk_rule_parse() reads it
 * @rule: rule
 * @text: filled
 */
void hk_rule_format(const struct hk_rule *rule, char text[HK_RULE_TEXT])
{
	text[0] = '\0';
	append(text, rule->first ? "first" : "pref %u", rule->pref);
	if (!rule->in || !rule->out)
		append(text, rule->in ? " in" : " out");
	append_prefix(text, "from", &rule->from);
	append_prefix(text, "to", &rule->to);
	append_ports(text, rule);
	if (*rule->cgroup)
		append(text, " cgroup %s", rule->cgroup);
	if (rule->none) {
		append(text, " none");
		return;
	}
	append_carriers(text, rule->protos);
	if (rule->cover)
		append(text, " cover %s", hk_cover_name(rule->cover));
	if (*rule->cc)
		append(text, " cc %s", rule->cc);
	append(text, rule->contact == HK_CONTACT_HOLD ? " hold" : " native-first");
}

static int choose_pref(const struct hk_policy *policy, struct hk_rule *rule,
		       struct hk_policy_error *error)
{
	__u32 end = policy->nr ? policy->rules[policy->nr - 1].pref : HK_PREF_FIRST - HK_PREF_STEP;
	__u32 begin = policy->nr ? policy->rules[0].pref : HK_PREF_FIRST;

	if (rule->pref)
		return 0;
	if (rule->first && begin == 1)
		return wrong(error, "first: pref 1 is taken; say where with pref N");
	if (!rule->first && end > PREF_MAX - HK_PREF_STEP)
		return wrong(error, "no room behind pref %u; say where with pref N", end);
	rule->pref = rule->first ? begin - 1 : end + HK_PREF_STEP;
	rule->first = false;
	return 0;
}

static int add_rule(struct hk_policy *policy, struct hk_rule *rule, struct hk_policy_error *error)
{
	unsigned int i;
	int err;

	if (policy->nr == HK_MAX_POLICY)
		return wrong(error, "more than %d rules", HK_MAX_POLICY);
	err = choose_pref(policy, rule, error);
	if (err)
		return err;
	for (i = 0; i < policy->nr && policy->rules[i].pref < rule->pref; i++)
		;
	if (i < policy->nr && policy->rules[i].pref == rule->pref)
		return wrong(error, "pref %u: there is a rule with it already", rule->pref);
	memmove(&policy->rules[i + 1], &policy->rules[i],
		(policy->nr - i) * sizeof(policy->rules[0]));
	policy->rules[i] = *rule;
	policy->nr++;
	return 0;
}

static int do_add(struct hk_policy *policy, char *const *words, unsigned int nr,
		  struct hk_policy_error *error)
{
	struct hk_rule rule;
	int err = hk_rule_parse(&rule, words, nr, error);

	rule.line = error->line;
	return err ?: add_rule(policy, &rule, error);
}

/**
 * hk_rule_selects - read which rules "del" means
 * @which: filled: either @pref, or @cgroup
 * @words: behind "del"
 * @nr:	   how many
 * @error: filled on failure
 *
 * Return: 0 or -EINVAL.
 */
int hk_rule_selects(struct hk_rule *which, char *const *words, unsigned int nr,
		    struct hk_policy_error *error)
{
	memset(which, 0, sizeof(*which));
	if (nr == 2 && !strcmp(words[0], "pref"))
		return set_pref(which, words[1], error);
	if (nr == 2 && !strcmp(words[0], "cgroup"))
		return set_cgroup(which, words[1], error);
	return wrong(error, "del: expected \"pref N\" or \"cgroup PATH\"");
}

static bool is_selected(const struct hk_rule *rule, const struct hk_rule *which)
{
	return which->pref ? rule->pref == which->pref : !strcmp(rule->cgroup, which->cgroup);
}

static int do_del(struct hk_policy *policy, char *const *words, unsigned int nr,
		  struct hk_policy_error *error)
{
	unsigned int i, kept = 0;
	struct hk_rule which;
	int err;

	err = hk_rule_selects(&which, words, nr, error);
	if (err)
		return err;
	for (i = 0; i < policy->nr; i++) {
		if (is_selected(&policy->rules[i], &which))
			continue;
		if (kept != i)
			policy->rules[kept] = policy->rules[i];
		kept++;
	}
	if (kept == policy->nr)
		return wrong(error, "del %s %.200s: no such rule", words[0], words[1]);
	policy->nr = kept;
	return 0;
}

static int do_flush(struct hk_policy *policy, char *const *words, unsigned int nr,
		    struct hk_policy_error *error)
{
	if (nr)
		return wrong(error, "flush: \"%.40s\" is too much", words[0]);
	policy->nr = 0;
	return 0;
}

/**
 * hk_policy_do - carry out one line
 * @policy: changed
 * @words:  "add", "del" or "flush" and what belongs to it
 * @nr:     how many
 * @error:  filled on failure; its @line is left alone
 *
 * Return: 0, or -EINVAL; then @policy is as before.
 */
int hk_policy_do(struct hk_policy *policy, char *const *words, unsigned int nr,
		 struct hk_policy_error *error)
{
	if (nr && !strcmp(words[0], "add"))
		return do_add(policy, words + 1, nr - 1, error);
	if (nr && !strcmp(words[0], "del"))
		return do_del(policy, words + 1, nr - 1, error);
	if (nr && !strcmp(words[0], "flush"))
		return do_flush(policy, words + 1, nr - 1, error);
	return wrong(error, "\"%.40s\": expected add, del or flush", nr ? words[0] : "");
}

/* In place; comments go. More than HK_RULE_WORDS: one more than that */
static unsigned int split(char *line, char **words)
{
	unsigned int nr = 0;
	char *next;

	line[strcspn(line, "#")] = '\0';
	for (line += strspn(line, BLANKS); *line; line = next + strspn(next, BLANKS)) {
		next = line + strcspn(line, BLANKS);
		if (*next)
			*next++ = '\0';
		if (nr == HK_RULE_WORDS)
			return nr + 1;
		words[nr++] = line;
	}
	return nr;
}

static int read_line(struct hk_policy *policy, const char *from, size_t len,
		     struct hk_policy_error *error)
{
	char line[HK_RULE_TEXT + 64], *words[HK_RULE_WORDS];
	unsigned int nr;

	if (memchr(from, '\0', len))
		return wrong(error, "a NUL byte: this is no text");
	if (len >= sizeof(line))
		return wrong(error, "longer than %zu bytes", sizeof(line) - 1);
	memcpy(line, from, len);
	line[len] = '\0';
	nr = split(line, words);
	if (nr > HK_RULE_WORDS)
		return wrong(error, "more than %d words", HK_RULE_WORDS);
	return nr ? hk_policy_do(policy, words, nr, error) : 0;
}

/**
 * hk_policy_read - carry out the lines of a text
 * @policy: changed, on failure too
 * @text:   lines; need not end with a newline nor NUL
 * @len:    bytes
 * @error:  filled on failure
 *
 * Return: 0 or -EINVAL.
 */
int hk_policy_read(struct hk_policy *policy, const char *text, size_t len,
		   struct hk_policy_error *error)
{
	const char *end;
	size_t n;
	int err;

	error->line = 0;
	if (len > HK_POLICY_BYTES)
		return wrong(error, "longer than %d bytes", HK_POLICY_BYTES);
	while (len) {
		error->line++;
		end = memchr(text, '\n', len);
		n = end ? (size_t)(end - text) : len;
		err = read_line(policy, text, n, error);
		if (err)
			return err;
		n += !!end;
		text += n;
		len -= n;
	}
	return 0;
}

/**
 * hk_policy_read_file - get a text from a file
 * @path: its name; "-": standard input
 * @text: the caller's to free
 * @len:  bytes in it, HK_POLICY_BYTES at most
 *
 * Return: 0; -EFBIG: it is longer; errnos of open() and read(); -ENOMEM.
 */
int hk_policy_read_file(const char *path, char **text, size_t *len)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	ssize_t n = 1;
	int err = 0;

	if (fd < 0)
		return -errno;
	*len = 0;
	*text = malloc(HK_POLICY_BYTES + 1);
	if (!*text)
		err = -ENOMEM;
	while (!err && n) {
		n = read(fd, *text + *len, HK_POLICY_BYTES + 1 - *len);
		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n > 0)
			*len += n;
		if (*len > HK_POLICY_BYTES)
			err = -EFBIG;
	}
	if (fd != STDIN_FILENO)
		close(fd);
	if (err)
		free(*text);
	return err;
}
