/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text for people: colours where there is a terminal, aligned tables, numbers one can read. */
#ifndef MOAT_CTL_TERM_H
#define MOAT_CTL_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MOAT_TERM_WIDTH 100
#define MOAT_TERM_WIDTH_MIN 60
#define MOAT_TERM_TEXT_LEN 32
#define MOAT_TABLE_COLUMNS 10

enum moat_color_mode {
	MOAT_COLOR_AUTO,
	MOAT_COLOR_ALWAYS,
	MOAT_COLOR_NEVER
};

enum moat_style {
	MOAT_STYLE_PLAIN,
	MOAT_STYLE_BOLD,
	MOAT_STYLE_DIM,
	MOAT_STYLE_GOOD,
	MOAT_STYLE_WARN,
	MOAT_STYLE_BAD
};

/* Whether styles show on `file`: AUTO asks whether it is a terminal and NO_COLOR isn't set. */
void moat_term_set_color(enum moat_color_mode mode, FILE *file);

/* Wraps at the width of the terminal that `file` is, within MOAT_TERM_WIDTH_MIN and MOAT_TERM_WIDTH, the
 * latter where it is none. */
void moat_term_set_width(FILE *file);

/* Prints in a style. Control characters in the text come out as '?'. */
__attribute__((format(printf, 3, 4))) void moat_term_print(FILE *file, enum moat_style style,
							   const char *format, ...);

/* "1,234,567"; "1.23 M"; "4.5 GB"; "2 h 13 min". Return ret_text. */
const char *moat_term_grouped(uint64_t value, char ret_text[MOAT_TERM_TEXT_LEN]);
const char *moat_term_scaled(double value, char ret_text[MOAT_TERM_TEXT_LEN]);
const char *moat_term_bytes(double value, char ret_text[MOAT_TERM_TEXT_LEN]);
const char *moat_term_duration(double seconds, char ret_text[MOAT_TERM_TEXT_LEN]);

/* Prints a text in a style, wrapped at the width; `column` is where the line has got to, and where
 * the lines that follow begin. */
void moat_term_wrap(FILE *file, enum moat_style style, size_t column, const char *text);

/* A table is collected, then printed with columns as wide as they need; what goes beyond the width is
 * wrapped in the last column. */
struct moat_table {
	size_t column_count;
	const char *headers[MOAT_TABLE_COLUMNS]; /* borrowed; one that begins with '>' is right-aligned */
	char **cells;                            /* rows one after the other, owned */
	enum moat_style *styles;                 /* of each row */
	size_t row_count;
};

/* The headers end with NULL. */
void moat_table_init(struct moat_table *table, const char *const *headers);
void moat_table_deinit(struct moat_table *table);
/* Adds a row of as many strings as there are columns, copied. Without memory the row is left out. */
void moat_table_add(struct moat_table *table, enum moat_style style, ...);
void moat_table_print(const struct moat_table *table, FILE *file, const char *indent);

#define moat_auto_table moat_cleanup(moat_table_deinit) struct moat_table

#endif
