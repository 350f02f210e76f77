/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reports: what `show` and `doctor` print. The same calls give either one JSON
 * document or plain text, so that the two forms cannot drift apart.
 *
 *	hk_report_init(&r, json);
 *	hk_report_array(&r, "flows");
 *	for each flow {
 *		hk_report_object(&r);
 *		hk_report_str(&r, "local", text);
 *		hk_report_u64(&r, "app_to_net_bytes", flow->app_to_net);
 *		hk_report_end(&r);
 *	}
 *	hk_report_end(&r);
 *	err = hk_report_finish(&r);
 *
 * The document itself is an object that init opens and finish closes. In plain
 * form an array of objects is a table with a header line; a field outside of a
 * table is a line "name value"; fields of a section are called "section.name";
 * an array of plain values is one field, its values joined by commas. A table
 * within a table has no plain form and is an error there.
 *
 * Errors stick: the first one is kept, later calls do nothing, and finish
 * returns it. Nothing else needs checking.
 */
#ifndef HK_REPORT_H
#define HK_REPORT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define HK_REPORT_DEPTH		8
#define HK_REPORT_COLUMNS	64
#define HK_REPORT_PATH		128
#define HK_REPORT_MAX		(64U << 20)	/* bytes; far above any real table */

/**
 * struct hk_report_buf - bytes that grow at their end
 * @data: owned; NULL while empty
 * @len:  bytes in use
 * @cap:  bytes allocated
 */
struct hk_report_buf {
	char	*data;
	size_t	len, cap;
};

/**
 * struct hk_report_level - an open object or array
 * @array:    it is an array
 * @nr:       fields or elements written into it so far
 * @path_len: length of the path outside of it
 * @table:    plain form: an array whose elements are rows
 * @list:     plain form: an array whose elements are values
 * @row:      plain form: an object that is a row
 */
struct hk_report_level {
	bool		array;
	unsigned int	nr;
	size_t		path_len;
	bool		table, list, row;
};

/**
 * struct hk_report_column - one column of the table that is being collected
 * @name:  offset of the name in the table's text
 * @width: characters of its widest cell, header included
 * @right: numbers are aligned to the right
 */
struct hk_report_column {
	__u32		name;
	unsigned int	width;
	bool		right;
};

/**
 * struct hk_report - a report being written
 * @json:       JSON instead of plain text
 * @err:        first error, negative errno, or 0
 * @limit:      bytes that a buffer may hold; HK_REPORT_MAX unless a caller lowers it
 * @out:        the text so far
 * @list:       plain form: values of the open list
 * @text:       plain form: NUL-terminated names and cells of the open table
 * @cells:      plain form: rows of HK_REPORT_COLUMNS offsets into @text, 0 for none
 * @columns:    plain form: columns in the order of their first use
 * @nr_columns: how many
 * @row_path:   plain form: length of the path at the open row, 0 for none open
 * @in_row:     plain form: a row is open
 * @path:       plain form: names of the open sections, each with its dot
 * @path_len:   bytes in @path
 * @levels:     open objects and arrays, the document first
 * @depth:      how many
 */
struct hk_report {
	bool			json;
	int			err;
	size_t			limit;
	struct hk_report_buf	out, list, text, cells;
	struct hk_report_column	columns[HK_REPORT_COLUMNS];
	unsigned int		nr_columns;
	size_t			row_path;
	bool			in_row;
	char			path[HK_REPORT_PATH];
	size_t			path_len;
	struct hk_report_level	levels[HK_REPORT_DEPTH];
	unsigned int		depth;
};

void	hk_report_init(struct hk_report *r, bool json);
void	hk_report_exit(struct hk_report *r);
int	hk_report_finish(struct hk_report *r);
const char *hk_report_text(const struct hk_report *r, size_t *len);

void	hk_report_array(struct hk_report *r, const char *name);
void	hk_report_section(struct hk_report *r, const char *name);
void	hk_report_object(struct hk_report *r);
void	hk_report_end(struct hk_report *r);

void	hk_report_line(struct hk_report *r, const char *text);
void	hk_report_str(struct hk_report *r, const char *name, const char *value);
void	hk_report_u64(struct hk_report *r, const char *name, __u64 value);
void	hk_report_s64(struct hk_report *r, const char *name, __s64 value);
void	hk_report_bool(struct hk_report *r, const char *name, bool value);

#endif /* HK_REPORT_H */
