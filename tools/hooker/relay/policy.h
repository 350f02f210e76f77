/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Policy: rules that say which connections are hooked, and how; their text and their
 * order. No descriptors here: commands and the daemon read the same text with it.
 *
 *	LINE  := add RULE | del { pref N | cgroup PATH } | flush
 *	RULE  := [ pref N | first ] [ in | out ] [ from PREFIX ] [ to PREFIX ]
 *		 [ port N[-N] ] [ cgroup PATH ] ACTION
 *	ACTION := none | [ via NAME[,NAME] ] [ cover full|header ] [ cc NAME ]
 *		  [ hold | native-first ]
 *
 * Words stand in any order, each once. An action has one word at least.
 */
#ifndef HK_POLICY_H
#define HK_POLICY_H

#include "relay.h"

#define HK_RULE_PATH	256	/* bytes of a cgroup's path, NUL included */
#define HK_RULE_TEXT	768	/* bytes of any rule as text, NUL included */
#define HK_RULE_WORDS	32	/* of a line; more cannot be right */
#define HK_POLICY_ERROR	320	/* bytes of a message, NUL included */
#define HK_POLICY_BYTES	(HK_MAX_POLICY * 1024)	/* of a text that is taken */
#define HK_PREF_STEP	10	/* between rules that were added without pref */
#define HK_PREF_FIRST	1000	/* of the first one of them: "first" finds room before it */

/* struct hk_rule.contact */
enum hk_contact {
	HK_CONTACT_HOLD,		/* an unknown peer is waited for */
	HK_CONTACT_NATIVE_FIRST,	/* plain TCP until it is known */
};

/* struct hk_rule.cover: what of a datagram UDP-Lite's checksum has to cover */
enum hk_cover {
	HK_COVER_UNSAID,	/* full */
	HK_COVER_FULL,
	HK_COVER_HEADER,	/* not the application's bytes: it takes damaged ones */
	HK_NR_COVERS,
};

/**
 * struct hk_rule - one rule
 * @pref:     its number and place; 0: to be chosen
 * @first:    chosen to stand before all others
 * @in:       holds for connections to listeners here
 * @out:      holds for connections from here
 * @from:     of the side that called connect(); length 0: any
 * @to:       of the other side; likewise
 * @port_min: of the other side's ports, host order
 * @port_max: likewise; 0 and 65535: any
 * @cgroup:   path as given; "": any
 * @none:     no offer, no answer; nothing of what follows counts
 * @protos:   HK_PROTO_*; 0: all
 * @cover:    enum hk_cover
 * @cc:       congestion controller; "": the daemon's
 * @contact:  enum hk_contact
 * @line:     where it stood; 0: not known
 * @cgroup_id: that @cgroup had when it was found; 0: not looked for yet
 */
struct hk_rule {
	__u32			pref;
	bool			first, in, out;
	struct hk_prefix	from, to;
	__u16			port_min, port_max;
	char			cgroup[HK_RULE_PATH];
	bool			none;
	__u8			protos;
	enum hk_cover		cover;
	char			cc[16];
	enum hk_contact		contact;
	unsigned int		line;
	__u64			cgroup_id;
};

/**
 * struct hk_policy - rules in their order
 * @nr:    how many
 * @rules: by @pref, no two alike
 */
struct hk_policy {
	unsigned int	nr;
	struct hk_rule	rules[HK_MAX_POLICY];
};

/**
 * struct hk_policy_error - what is wrong with a text
 * @line: counted from 1; 0: with the whole
 * @text: names the word and what was expected
 * @unknown_carrier: that is a carrier's name, which only the daemon knows for sure
 */
struct hk_policy_error {
	unsigned int	line;
	char		text[HK_POLICY_ERROR];
	bool		unknown_carrier;
};

const char *hk_cover_name(enum hk_cover cover);
int	hk_rule_parse(struct hk_rule *rule, char *const *words, unsigned int nr,
		      struct hk_policy_error *error);
int	hk_rule_selects(struct hk_rule *which, char *const *words, unsigned int nr,
			struct hk_policy_error *error);
void	hk_rule_format(const struct hk_rule *rule, char text[HK_RULE_TEXT]);
int	hk_policy_do(struct hk_policy *policy, char *const *words, unsigned int nr,
		     struct hk_policy_error *error);
int	hk_policy_read(struct hk_policy *policy, const char *text, size_t len,
		       struct hk_policy_error *error);
int	hk_policy_read_file(const char *path, char **text, size_t *len);

#endif /* HK_POLICY_H */
