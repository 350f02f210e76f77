// SPDX-License-Identifier: GPL-2.0
/*
 * The report writer: JSON and plain text from the same calls, whatever the values
 * hold, and errors that stick. Needs no privilege.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "../kselftest_harness.h"
#include "../../../hooker/relay/report.h"

FIXTURE(report) {
	struct hk_report r;
	char *text;
};

FIXTURE_VARIANT(report) {
	bool json;
};

FIXTURE_VARIANT_ADD(report, json) {
	.json = true,
};

FIXTURE_VARIANT_ADD(report, plain) {
	.json = false,
};

FIXTURE_SETUP(report)
{
	hk_report_init(&self->r, variant->json);
}

FIXTURE_TEARDOWN(report)
{
	hk_report_exit(&self->r);
	free(self->text);
}

/* The finished text as a string, "" if there was an error */
static char *finish(struct hk_report *r)
{
	const char *text;
	size_t len;

	hk_report_finish(r);
	text = hk_report_text(r, &len);
	return strndup(text, len);
}

#define EXPECT_TEXT(want_json, want_plain) do {						\
	self->text = finish(&self->r);							\
	EXPECT_EQ(0, self->r.err);							\
	EXPECT_STREQ(variant->json ? (want_json) : (want_plain), self->text);		\
} while (0)

TEST_F(report, empty_document)
{
	EXPECT_TEXT("{}\n", "");
}

TEST_F(report, fields_of_every_kind)
{
	hk_report_str(&self->r, "name", "x y");
	hk_report_u64(&self->r, "most", ~0ULL);
	hk_report_s64(&self->r, "least", (__s64)(1ULL << 63));
	hk_report_bool(&self->r, "yes", true);
	hk_report_bool(&self->r, "no", false);
	hk_report_str(&self->r, "none", NULL);
	hk_report_str(&self->r, "empty", "");
	EXPECT_TEXT("{\"name\":\"x y\",\"most\":18446744073709551615,"
		    "\"least\":-9223372036854775808,\"yes\":true,\"no\":false,"
		    "\"none\":null,\"empty\":\"\"}\n",
		    "name                                    x y\n"
		    "most                                    18446744073709551615\n"
		    "least                                   -9223372036854775808\n"
		    "yes                                     yes\n"
		    "no                                      no\n"
		    "none                                    -\n"
		    "empty                                   -\n");
}

TEST_F(report, sections_nest)
{
	hk_report_section(&self->r, "bpf");
	hk_report_u64(&self->r, "offers", 3);
	hk_report_section(&self->r, "xdp");
	hk_report_u64(&self->r, "dropped", 4);
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	hk_report_u64(&self->r, "uptime_s", 5);
	EXPECT_TEXT("{\"bpf\":{\"offers\":3,\"xdp\":{\"dropped\":4}},\"uptime_s\":5}\n",
		    "bpf.offers                              3\n"
		    "bpf.xdp.dropped                         4\n"
		    "uptime_s                                5\n");
}

static void add_flow(struct hk_report *r, const char *local, __u64 bytes)
{
	hk_report_object(r);
	hk_report_str(r, "local", local);
	hk_report_u64(r, "bytes", bytes);
}

TEST_F(report, objects_are_rows_of_a_table)
{
	hk_report_array(&self->r, "flows");
	add_flow(&self->r, "192.0.2.1:80", 7);
	hk_report_str(&self->r, "state", "open");
	hk_report_end(&self->r);
	add_flow(&self->r, "[2001:db8::1]:443", 123456789);
	hk_report_str(&self->r, "state", "closing");
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	EXPECT_TEXT("{\"flows\":[{\"local\":\"192.0.2.1:80\",\"bytes\":7,\"state\":\"open\"},"
		    "{\"local\":\"[2001:db8::1]:443\",\"bytes\":123456789,\"state\":\"closing\"}]}\n",
		    "local                  bytes  state\n"
		    "192.0.2.1:80               7  open\n"
		    "[2001:db8::1]:443  123456789  closing\n");
}

/* Columns belong to names, not to positions, and a missing cell does not shift the others */
TEST_F(report, rows_may_differ)
{
	hk_report_array(&self->r, "peers");
	hk_report_object(&self->r);
	hk_report_str(&self->r, "address", "a");
	hk_report_end(&self->r);
	hk_report_object(&self->r);
	hk_report_u64(&self->r, "srtt_us", 10);
	hk_report_str(&self->r, "address", "b");
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	EXPECT_TEXT("{\"peers\":[{\"address\":\"a\"},{\"srtt_us\":10,\"address\":\"b\"}]}\n",
		    "address  srtt_us\n"
		    "a              -\n"
		    "b             10\n");
}

TEST_F(report, sections_and_lists_within_a_row)
{
	hk_report_array(&self->r, "peers");
	hk_report_object(&self->r);
	hk_report_section(&self->r, "rtt");
	hk_report_u64(&self->r, "min_us", 1);
	hk_report_end(&self->r);
	hk_report_array(&self->r, "protos");
	hk_report_str(&self->r, NULL, "udplite");
	hk_report_str(&self->r, NULL, "udp");
	hk_report_end(&self->r);
	hk_report_array(&self->r, "none");
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	EXPECT_TEXT("{\"peers\":[{\"rtt\":{\"min_us\":1},\"protos\":[\"udplite\",\"udp\"],"
		    "\"none\":[]}]}\n",
		    "rtt.min_us  protos\n"
		    "         1  udplite,udp\n");
}

TEST_F(report, empty_table)
{
	hk_report_array(&self->r, "flows");
	hk_report_end(&self->r);
	EXPECT_TEXT("{\"flows\":[]}\n", "");
}

TEST_F(report, hostile_bytes)
{
	hk_report_str(&self->r, "a\"b", "q\" b\\ n\n t\t e\033[31m d\177");
	hk_report_str(&self->r, "utf8", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xa3");
	hk_report_str(&self->r, "bad", "\xff \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80 \xe2\x82");
	hk_report_str(&self->r, "c1", "\xc2\x9b");
	EXPECT_TEXT("{\"a\\\"b\":\"q\\\" b\\\\ n\\n t\\t e\\u001b[31m d\\u007f\","
		    "\"utf8\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xa3\","
		    "\"bad\":\"\\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd "
		    "\\ufffd\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\",\"c1\":\"\xc2\x9b\"}\n",
		    "a\"b                                     q\" b\\ n? t? e?[31m d?\n"
		    "utf8                                    \xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xa3\n"
		    "bad                                     ? ?? ??? ???? ??\n"
		    "c1                                      ?\n");
}

TEST_F(report, columns_are_as_wide_as_what_is_seen)
{
	hk_report_array(&self->r, "t");
	hk_report_object(&self->r);
	hk_report_str(&self->r, "n", "\xc3\xa4\xc3\xa4");
	hk_report_u64(&self->r, "v", 1);
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	EXPECT_TEXT("{\"t\":[{\"n\":\"\xc3\xa4\xc3\xa4\",\"v\":1}]}\n",
		    "n   v\n"
		    "\xc3\xa4\xc3\xa4  1\n");
}

#define EXPECT_REFUSED(want) do {							\
	size_t _len;									\
	EXPECT_EQ(want, hk_report_finish(&self->r));					\
	hk_report_text(&self->r, &_len);						\
	EXPECT_EQ(0, _len);								\
} while (0)

TEST_F(report, name_missing)
{
	hk_report_u64(&self->r, NULL, 1);
	hk_report_u64(&self->r, "fine", 1);		/* does not heal it */
	EXPECT_REFUSED(-EINVAL);
}

TEST_F(report, name_in_an_array)
{
	hk_report_array(&self->r, "a");
	hk_report_u64(&self->r, "x", 1);
	hk_report_end(&self->r);
	EXPECT_REFUSED(-EINVAL);
}

TEST_F(report, object_outside_of_an_array)
{
	hk_report_object(&self->r);
	hk_report_end(&self->r);
	EXPECT_REFUSED(-EINVAL);
}

TEST_F(report, left_open)
{
	hk_report_section(&self->r, "s");
	EXPECT_REFUSED(-EINVAL);
}

TEST_F(report, closed_too_often)
{
	hk_report_end(&self->r);
	EXPECT_REFUSED(-EINVAL);
}

TEST_F(report, too_deep)
{
	int i;

	for (i = 0; i < HK_REPORT_DEPTH; i++)
		hk_report_section(&self->r, "s");
	for (i = 0; i < HK_REPORT_DEPTH; i++)
		hk_report_end(&self->r);
	EXPECT_REFUSED(-E2BIG);
}

TEST_F(report, name_longer_than_a_path)
{
	char name[HK_REPORT_PATH + 1];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	hk_report_section(&self->r, name);
	hk_report_end(&self->r);
	EXPECT_REFUSED(-E2BIG);
}

TEST_F(report, too_many_columns)
{
	char name[8];
	int i;

	if (variant->json)
		SKIP(return, "JSON has no columns [variant]");
	hk_report_array(&self->r, "a");
	hk_report_object(&self->r);
	for (i = 0; i <= HK_REPORT_COLUMNS; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		hk_report_u64(&self->r, name, i);
	}
	hk_report_end(&self->r);
	hk_report_end(&self->r);
	EXPECT_REFUSED(-E2BIG);
}

TEST_F(report, first_error_is_kept)
{
	int i;

	for (i = 0; i < HK_REPORT_DEPTH; i++)
		hk_report_section(&self->r, "s");
	hk_report_section(&self->r, NULL);
	hk_report_array(&self->r, NULL);
	EXPECT_REFUSED(-E2BIG);
}

/* A limit of any number of bytes gives either the whole text or -EFBIG, never a part */
TEST_F(report, limit_at_every_byte)
{
	size_t limit, len = 0;
	int err = -EFBIG;

	for (limit = 0; err == -EFBIG && limit < 4096; limit++) {
		hk_report_exit(&self->r);
		hk_report_init(&self->r, variant->json);
		self->r.limit = limit;
		hk_report_array(&self->r, "flows");
		add_flow(&self->r, "here", 1);
		hk_report_end(&self->r);
		hk_report_end(&self->r);
		err = hk_report_finish(&self->r);
		hk_report_text(&self->r, &len);
		EXPECT_EQ(!err, !!len);
	}
	EXPECT_EQ(0, err);
	EXPECT_LT(1, limit);
}

TEST_F(report, out_of_memory)
{
	struct rlimit limit = { .rlim_cur = 64 << 20, .rlim_max = 64 << 20 };
	char block[4096];
	int i;

#ifdef __SANITIZE_ADDRESS__
	SKIP(return, "the sanitizer takes more address space than the limit leaves");
#endif
	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\0';
	/* Growing a buffer to 64 MiB cannot work with 64 MiB for the whole process */
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	for (i = 0; i < 16384; i++)
		hk_report_str(&self->r, "block", block);
	EXPECT_REFUSED(-ENOMEM);
}

TEST_F(report, many_rows)
{
	const unsigned int nr = 20000;
	unsigned int i, lines = 0;
	char *at;

	hk_report_array(&self->r, "flows");
	for (i = 0; i < nr; i++) {
		add_flow(&self->r, "192.0.2.1:80", i);
		hk_report_end(&self->r);
	}
	hk_report_end(&self->r);
	self->text = finish(&self->r);
	ASSERT_EQ(0, self->r.err);
	for (at = self->text; *at; at++)
		lines += *at == (variant->json ? '{' : '\n');
	EXPECT_EQ(nr + 1, lines);	/* the document's brace, or the header line */
}

TEST_HARNESS_MAIN
