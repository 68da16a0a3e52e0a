/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Styles are SGR sequences (ECMA-48); tables count bytes as columns, which holds for what moat prints. */
#include "ctl/term.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

#define GAP 2

static bool use_color;
static size_t columns = MOAT_TERM_WIDTH;

void moat_term_set_color(enum moat_color_mode mode, FILE *file)
{
	const char *no_color = getenv("NO_COLOR");

	use_color = mode == MOAT_COLOR_ALWAYS ||
		    (mode == MOAT_COLOR_AUTO && isatty(fileno(file)) && !(no_color && *no_color));
}

void moat_term_set_width(FILE *file)
{
	struct winsize size = { 0 };

	columns = MOAT_TERM_WIDTH;
	if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col >= MOAT_TERM_WIDTH_MIN &&
	    size.ws_col < MOAT_TERM_WIDTH)
		columns = size.ws_col;
}

static const char *style_begin(enum moat_style style)
{
	static const char *const codes[] = { "",         "\033[1m",  "\033[2m",
					     "\033[32m", "\033[33m", "\033[31m" };

	return use_color ? codes[style] : "";
}

static const char *style_end(enum moat_style style)
{
	return use_color && style != MOAT_STYLE_PLAIN ? "\033[0m" : "";
}

static void print_clean(FILE *file, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		putc((c < ' ' && c != '\n') || c == 127 ? '?' : c, file);
	}
}

void moat_term_print(FILE *file, enum moat_style style, const char *format, ...)
{
	moat_auto_free char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return;
	}
	fputs(style_begin(style), file);
	print_clean(file, text, (size_t)length);
	fputs(style_end(style), file);
}

const char *moat_term_grouped(uint64_t value, char ret_text[MOAT_TERM_TEXT_LEN])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value), out = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			ret_text[out++] = ',';
		ret_text[out++] = digits[i];
	}
	ret_text[out] = '\0';
	return ret_text;
}

static const char *scaled(double value, double step, const char *const *units, size_t unit_count,
			  char *ret_text)
{
	size_t unit = 0;

	while (fabs(value) >= step * 0.9995 && unit + 1 < unit_count) {
		value /= step;
		unit++;
	}
	if (unit == 0)
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%.*f%s",
			 value < 10 && value > 0 && value != floor(value) ? 1 : 0, value, units[0]);
	else
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%.*f%s",
			 fabs(value) < 9.995   ? 2
			 : fabs(value) < 99.95 ? 1
					       : 0,
			 value, units[unit]);
	return ret_text;
}

const char *moat_term_scaled(double value, char ret_text[MOAT_TERM_TEXT_LEN])
{
	static const char *const units[] = { "", " k", " M", " G", " T" };

	return scaled(value, 1000, units, MOAT_ARRAY_SIZE(units), ret_text);
}

const char *moat_term_bytes(double value, char ret_text[MOAT_TERM_TEXT_LEN])
{
	static const char *const units[] = { " B", " kB", " MB", " GB", " TB", " PB" };

	return scaled(value, 1000, units, MOAT_ARRAY_SIZE(units), ret_text);
}

const char *moat_term_duration(double seconds, char ret_text[MOAT_TERM_TEXT_LEN])
{
	uint64_t s = (uint64_t)seconds;

	if (seconds < 10)
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%.1f s", seconds);
	else if (s < 60)
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%u s", (unsigned int)s);
	else if (s < 3600)
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%u min %u s", (unsigned int)(s / 60),
			 (unsigned int)(s % 60));
	else if (s < 86400)
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%u h %u min", (unsigned int)(s / 3600),
			 (unsigned int)(s / 60 % 60));
	else
		snprintf(ret_text, MOAT_TERM_TEXT_LEN, "%u d %u h", (unsigned int)(s / 86400),
			 (unsigned int)(s / 3600 % 24));
	return ret_text;
}

void moat_table_init(struct moat_table *table, const char *const *headers)
{
	*table = (struct moat_table){ 0 };
	while (headers[table->column_count] && table->column_count < MOAT_TABLE_COLUMNS) {
		table->headers[table->column_count] = headers[table->column_count];
		table->column_count++;
	}
}

void moat_table_deinit(struct moat_table *table)
{
	for (size_t i = 0; i < table->row_count * table->column_count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table->styles);
	*table = (struct moat_table){ 0 };
}

void moat_table_add(struct moat_table *table, enum moat_style style, ...)
{
	size_t used = table->row_count * table->column_count;
	char **cells = reallocarray(table->cells, used + table->column_count, sizeof(*cells));
	enum moat_style *styles = NULL;
	bool complete = true;
	va_list args;

	if (cells) {
		table->cells = cells;
		styles = reallocarray(table->styles, table->row_count + 1, sizeof(*styles));
	}
	if (!styles)
		return;
	table->styles = styles;
	styles[table->row_count] = style;
	va_start(args, style);
	for (size_t i = 0; i < table->column_count; i++) {
		const char *text = va_arg(args, const char *);

		cells[used + i] = strdup(text ? text : "");
		complete &= cells[used + i] != NULL;
	}
	va_end(args);
	if (complete) {
		table->row_count++;
		return;
	}
	for (size_t i = 0; i < table->column_count; i++)
		free(cells[used + i]);
}

static bool is_right(const char *header)
{
	return header[0] == '>';
}

static const char *header_text(const char *header)
{
	return header + is_right(header);
}

static void measure(const struct moat_table *table, size_t widths[MOAT_TABLE_COLUMNS])
{
	for (size_t c = 0; c < table->column_count; c++) {
		widths[c] = strlen(header_text(table->headers[c]));
		for (size_t r = 0; r < table->row_count; r++) {
			size_t length = strlen(table->cells[r * table->column_count + c]);

			if (length > widths[c])
				widths[c] = length;
		}
	}
}

static void pad(FILE *file, size_t count)
{
	fprintf(file, "%*s", (int)count, "");
}

/* The last column, in lines of at most `room`, broken at spaces where there are any. */
static void print_wrapped(FILE *file, const char *text, size_t room, size_t margin)
{
	while (strlen(text) > room) {
		size_t cut = room;

		while (cut > 0 && text[cut] != ' ')
			cut--;
		if (cut == 0)
			cut = room;
		print_clean(file, text, cut);
		putc('\n', file);
		pad(file, margin);
		text += cut;
		text += strspn(text, " ");
	}
	print_clean(file, text, strlen(text));
}

void moat_term_wrap(FILE *file, enum moat_style style, size_t column, const char *text)
{
	fputs(style_begin(style), file);
	print_wrapped(file, text, columns - column, column);
	fputs(style_end(style), file);
}

static void print_row(const struct moat_table *table, FILE *file, const char *indent,
		      const size_t *widths, char *const *cells, bool is_header)
{
	size_t margin = strlen(indent);

	fputs(indent, file);
	for (size_t c = 0; c < table->column_count; c++) {
		const char *text = is_header ? header_text(table->headers[c]) : cells[c];
		size_t length = strlen(text);
		bool is_last = c + 1 == table->column_count;
		size_t room = margin + 20 < columns ? columns - margin : 20;

		if (is_right(table->headers[c])) {
			pad(file, widths[c] - length);
			print_clean(file, text, length);
		} else if (is_last) {
			print_wrapped(file, text, room, margin);
		} else {
			print_clean(file, text, length);
			pad(file, widths[c] - length);
		}
		if (!is_last)
			pad(file, GAP);
		margin += widths[c] + GAP;
	}
}

void moat_table_print(const struct moat_table *table, FILE *file, const char *indent)
{
	size_t widths[MOAT_TABLE_COLUMNS] = { 0 };

	measure(table, widths);
	fputs(style_begin(MOAT_STYLE_DIM), file);
	print_row(table, file, indent, widths, NULL, true);
	fprintf(file, "%s\n", style_end(MOAT_STYLE_DIM));
	for (size_t r = 0; r < table->row_count; r++) {
		fputs(style_begin(table->styles[r]), file);
		print_row(table, file, indent, widths, table->cells + r * table->column_count,
			  false);
		fprintf(file, "%s\n", style_end(table->styles[r]));
	}
}
