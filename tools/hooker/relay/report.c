// SPDX-License-Identifier: GPL-2.0
/*
 * The report writer. JSON goes straight to the output. A plain table has to be
 * collected first, because a column is as wide as its widest cell.
 *
 * Whatever bytes a value holds, JSON comes out as valid UTF-8 with control
 * characters escaped, and plain text without control characters, so that an
 * address or a device name cannot drive the terminal or break the table.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "report.h"

#define LINE_NAME_WIDTH	40	/* plain "name value" lines are aligned there */

/* Keeps the first error; false, so that callers can return it */
static bool fail(struct hk_report *r, int err)
{
	if (!r->err)
		r->err = err;
	return false;
}

static bool reserve(struct hk_report *r, struct hk_report_buf *buf, size_t more)
{
	size_t cap = buf->cap ? buf->cap : 512;
	char *data;

	if (r->err)
		return false;
	if (more > r->limit || buf->len > r->limit - more)
		return fail(r, -EFBIG);
	if (buf->len + more <= buf->cap)
		return true;
	while (cap < buf->len + more)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data)
		return fail(r, -ENOMEM);
	buf->data = data;
	buf->cap = cap;
	return true;
}

static void append(struct hk_report *r, struct hk_report_buf *buf, const void *data, size_t len)
{
	if (!len || !reserve(r, buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

static void put(struct hk_report *r, const char *text)
{
	append(r, &r->out, text, strlen(text));
}

static void pad(struct hk_report *r, size_t n)
{
	while (n--)
		append(r, &r->out, " ", 1);
}

static void buf_free(struct hk_report_buf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}

static struct hk_report_level *innermost(struct hk_report *r)
{
	return &r->levels[r->depth - 1];
}

/* Bytes of the UTF-8 sequence at @s, 0 if it is none (RFC 3629: no surrogates, shortest form) */
static size_t utf8_len(const unsigned char *s)
{
	static const __u32 smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len, i;
	__u32 code;

	if (s[0] < 0x80)
		return 1;
	if ((s[0] & 0xe0) == 0xc0)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		len = 4;
	else
		return 0;

	code = s[0] & (0x7f >> len);
	for (i = 1; i < len; i++) {		/* the terminating NUL ends this, too */
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return len;
}

static size_t display_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void put_escaped(struct hk_report *r, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = strchr(from, c);
	char text[8];

	if (at)
		snprintf(text, sizeof(text), "\\%c", to[at - from]);
	else
		snprintf(text, sizeof(text), "\\u%04x", c);
	put(r, text);
}

static void put_json_str(struct hk_report *r, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t len;

	put(r, "\"");
	for (; *s && !r->err; s += len ? len : 1) {
		len = utf8_len(s);
		if (!len)
			put(r, "\\ufffd");
		else if (*s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\')
			put_escaped(r, *s);
		else
			append(r, &r->out, s, len);
	}
	put(r, "\"");
}

/* What a terminal would obey becomes '?'; C1 controls are two bytes in UTF-8: 0xc2 0x80..0x9f */
static void append_clean(struct hk_report *r, struct hk_report_buf *buf, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t len;

	for (; *s && !r->err; s += len ? len : 1) {
		len = utf8_len(s);
		if (!len || *s < 0x20 || *s == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0))
			append(r, buf, "?", 1);
		else
			append(r, buf, s, len);
	}
}

/* Text plus its NUL, returns its offset */
static __u32 text_add(struct hk_report *r, const char *prefix, const char *value)
{
	size_t at;

	if (!r->text.len)
		append(r, &r->text, "", 1);	/* offset 0 means "no cell" */
	at = r->text.len;
	append_clean(r, &r->text, prefix);
	append_clean(r, &r->text, value);
	append(r, &r->text, "", 1);
	return at;
}

static struct hk_report_column *column_get(struct hk_report *r, const char *name, bool number)
{
	const char *prefix = r->path + r->row_path;
	size_t prefix_len = strlen(prefix), i;
	struct hk_report_column *col;
	const char *have;

	for (i = 0; i < r->nr_columns; i++) {
		have = r->text.data + r->columns[i].name;
		if (!strncmp(have, prefix, prefix_len) && !strcmp(have + prefix_len, name))
			return &r->columns[i];
	}
	if (r->nr_columns == HK_REPORT_COLUMNS) {
		fail(r, -E2BIG);
		return NULL;
	}
	col = &r->columns[r->nr_columns];
	col->name = text_add(r, prefix, name);
	if (r->err)
		return NULL;
	col->width = display_width(r->text.data + col->name);
	col->right = number;
	r->nr_columns++;
	return col;
}

static void cell_add(struct hk_report *r, const char *name, const char *value, bool number)
{
	struct hk_report_column *col = column_get(r, name, number);
	size_t width, row;
	__u32 cell;

	if (!col)
		return;
	cell = text_add(r, "", *value ? value : "-");
	if (r->err)
		return;
	width = display_width(r->text.data + cell);
	if (width > col->width)
		col->width = width;
	row = r->cells.len - HK_REPORT_COLUMNS * sizeof(cell);
	memcpy(r->cells.data + row + (col - r->columns) * sizeof(cell), &cell, sizeof(cell));
}

static void put_cell(struct hk_report *r, unsigned int i, const char *text)
{
	size_t gap = r->columns[i].width - display_width(text);

	if (i)
		put(r, "  ");
	if (r->columns[i].right)
		pad(r, gap);
	put(r, text);
	if (!r->columns[i].right && i + 1 < r->nr_columns)
		pad(r, gap);
}

static void put_row(struct hk_report *r, const char *cells)
{
	unsigned int i;
	__u32 cell;

	for (i = 0; i < r->nr_columns; i++) {
		memcpy(&cell, cells + i * sizeof(cell), sizeof(cell));
		put_cell(r, i, cell ? r->text.data + cell : "-");
	}
	put(r, "\n");
}

static void put_table(struct hk_report *r)
{
	size_t at, step = HK_REPORT_COLUMNS * sizeof(__u32);
	unsigned int i;

	if (r->err)
		return;
	if (r->out.len)
		put(r, "\n");
	for (i = 0; i < r->nr_columns; i++)
		put_cell(r, i, r->text.data + r->columns[i].name);
	put(r, "\n");
	for (at = 0; at < r->cells.len && !r->err; at += step)
		put_row(r, r->cells.data + at);
	r->nr_columns = 0;
	r->text.len = 0;
	r->cells.len = 0;
}

static void put_line(struct hk_report *r, const char *name, const char *value)
{
	size_t start = r->out.len, width;

	append_clean(r, &r->out, r->path);
	append_clean(r, &r->out, name);
	width = r->out.len - start;
	pad(r, width < LINE_NAME_WIDTH ? LINE_NAME_WIDTH - width : 1);
	append_clean(r, &r->out, *value ? value : "-");
	put(r, "\n");
}

static void put_plain(struct hk_report *r, const char *name, const char *value, bool number)
{
	if (r->in_row)
		cell_add(r, name, value, number);
	else
		put_line(r, name, value);
}

/*
 * What comes before any value: the comma and, in an object, the name. Also the
 * one place that checks the caller: names belong to objects, and only there.
 */
static bool value_begin(struct hk_report *r, const char *name)
{
	struct hk_report_level *level;

	if (r->err)
		return false;
	if (!r->depth || innermost(r)->array != !name)
		return fail(r, -EINVAL);
	level = innermost(r);
	if (r->json) {
		if (level->nr)
			put(r, ",");
		if (name) {
			put_json_str(r, name);
			put(r, ":");
		}
	}
	level->nr++;
	return !r->err;
}

static void put_list_item(struct hk_report *r, const char *value)
{
	struct hk_report_level *level = innermost(r);

	if (level->table) {
		fail(r, -EINVAL);
		return;
	}
	level->list = true;
	if (level->nr > 1)
		append(r, &r->list, ",", 1);
	append_clean(r, &r->list, value);
}

static void put_value(struct hk_report *r, const char *name, const char *value, bool number)
{
	if (!value_begin(r, name))
		return;
	if (r->json)
		put(r, value);
	else if (name)
		put_plain(r, name, value, number);
	else
		put_list_item(r, value);
}

static struct hk_report_level *level_push(struct hk_report *r, bool array)
{
	struct hk_report_level *level;

	if (r->depth == HK_REPORT_DEPTH) {
		fail(r, -E2BIG);
		return NULL;
	}
	level = &r->levels[r->depth++];
	memset(level, 0, sizeof(*level));
	level->array = array;
	level->path_len = r->path_len;
	if (r->json)
		put(r, array ? "[" : "{");
	return level;
}

static void path_push(struct hk_report *r, const char *name)
{
	size_t room = sizeof(r->path) - r->path_len;
	int len = snprintf(r->path + r->path_len, room, "%s.", name);

	if (len < 0 || (size_t)len >= room)
		fail(r, -E2BIG);
	else
		r->path_len += len;
}

/**
 * hk_report_init() - start a report
 * @r:    caller's memory; pair with hk_report_exit()
 * @json: JSON instead of plain text
 */
void hk_report_init(struct hk_report *r, bool json)
{
	memset(r, 0, sizeof(*r));
	r->json = json;
	r->limit = HK_REPORT_MAX;
	level_push(r, false);
}

/**
 * hk_report_exit() - free what a report holds
 * @r: the report; it may be half-written, but not used afterwards
 */
void hk_report_exit(struct hk_report *r)
{
	buf_free(&r->out);
	buf_free(&r->list);
	buf_free(&r->text);
	buf_free(&r->cells);
	r->depth = 0;
}

/**
 * hk_report_finish() - close the document
 * @r: the report
 *
 * Return: 0; -ENOMEM; -EFBIG: larger than its limit; -E2BIG: nested too deep or
 * too many columns; -EINVAL: the calls do not make a document.
 */
int hk_report_finish(struct hk_report *r)
{
	if (!r->err && r->depth != 1)
		fail(r, -EINVAL);
	if (r->json)
		put(r, "}\n");
	if (!r->err)
		r->depth = 0;		/* anything written from here on is -EINVAL */
	return r->err;
}

/**
 * hk_report_text() - what was written
 * @r:   a report that finished without an error
 * @len: bytes of it
 *
 * Return: the text, not NUL-terminated; belongs to the report.
 */
const char *hk_report_text(const struct hk_report *r, size_t *len)
{
	*len = r->err ? 0 : r->out.len;
	return *len ? r->out.data : "";
}

/**
 * hk_report_array() - open an array
 * @r:    the report
 * @name: its name in the object around it
 *
 * Its elements are objects, or values written with the name NULL.
 */
void hk_report_array(struct hk_report *r, const char *name)
{
	if (!name)
		fail(r, -EINVAL);
	if (!value_begin(r, name) || !level_push(r, true))
		return;
	path_push(r, name);
}

/**
 * hk_report_section() - open an object inside of an object
 * @r:    the report
 * @name: its name
 */
void hk_report_section(struct hk_report *r, const char *name)
{
	if (!name)
		fail(r, -EINVAL);
	if (!value_begin(r, name) || !level_push(r, false))
		return;
	path_push(r, name);
}

static void row_open(struct hk_report *r, struct hk_report_level *array)
{
	static const __u32 none[HK_REPORT_COLUMNS];

	/* A table within a row, or rows among values, has no plain form */
	if (r->in_row || array->list) {
		fail(r, -EINVAL);
		return;
	}
	array->table = true;
	append(r, &r->cells, none, sizeof(none));
	innermost(r)->row = true;
	r->in_row = true;
	r->row_path = r->path_len;
}

/**
 * hk_report_object() - open an object that is an element of an array
 * @r: the report
 */
void hk_report_object(struct hk_report *r)
{
	if (!value_begin(r, NULL) || !level_push(r, false))
		return;
	if (!r->json)
		row_open(r, &r->levels[r->depth - 2]);
}

/* The array's own name is the last of the path, with a dot behind it */
static void put_list(struct hk_report *r, const struct hk_report_level *level)
{
	char name[HK_REPORT_PATH];

	snprintf(name, sizeof(name), "%.*s", (int)(r->path_len - level->path_len - 1),
		 r->path + level->path_len);
	r->path_len = level->path_len;
	r->path[r->path_len] = '\0';
	append(r, &r->list, "", 1);
	if (!r->err)
		put_plain(r, name, r->list.data, false);
	r->list.len = 0;
}

/**
 * hk_report_end() - close the innermost array, section or object
 * @r: the report
 */
void hk_report_end(struct hk_report *r)
{
	struct hk_report_level *level;

	if (r->err)
		return;
	if (r->depth < 2) {
		fail(r, -EINVAL);
		return;
	}
	level = &r->levels[--r->depth];
	if (r->json)
		put(r, level->array ? "]" : "}");
	else if (level->row)
		r->in_row = false;
	else if (level->table)
		put_table(r);
	else if (level->list)
		put_list(r, level);
	r->path_len = level->path_len;
	r->path[r->path_len] = '\0';
}

/**
 * hk_report_line() - write a line as it is, in a document that has a form of its own
 * @r:    the report; plain, no array or section open. JSON has no such lines: -EINVAL
 * @text: the line, without its newline
 */
void hk_report_line(struct hk_report *r, const char *text)
{
	if (r->json || r->depth != 1) {
		fail(r, -EINVAL);
		return;
	}
	put(r, text);
	put(r, "\n");
}

/**
 * hk_report_str() - write a string
 * @r:     the report
 * @name:  its name in an object, NULL in an array
 * @value: any bytes; NULL is null in JSON and "-" in plain text
 */
void hk_report_str(struct hk_report *r, const char *name, const char *value)
{
	if (!r->json || !value) {
		put_value(r, name, value ? value : r->json ? "null" : "", false);
		return;
	}
	if (value_begin(r, name))
		put_json_str(r, value);
}

/**
 * hk_report_u64() - write an unsigned number
 * @r:     the report
 * @name:  its name, with its unit (rtt_us); NULL in an array
 * @value: the number
 */
void hk_report_u64(struct hk_report *r, const char *name, __u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)value);
	put_value(r, name, text, true);
}

/**
 * hk_report_s64() - write a signed number
 * @r:     the report
 * @name:  its name, with its unit; NULL in an array
 * @value: the number
 */
void hk_report_s64(struct hk_report *r, const char *name, __s64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, (int64_t)value);
	put_value(r, name, text, true);
}

/**
 * hk_report_bool() - write a truth value: true and false in JSON, yes and no in plain text
 * @r:     the report
 * @name:  its name; NULL in an array
 * @value: the value
 */
void hk_report_bool(struct hk_report *r, const char *name, bool value)
{
	if (r->json)
		put_value(r, name, value ? "true" : "false", false);
	else
		put_value(r, name, value ? "yes" : "no", false);
}
