/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables and numbers as people read them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/term.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static void test_numbers(void)
{
	char text[MOAT_TERM_TEXT_LEN];

	CU_ASSERT_STRING_EQUAL(moat_term_grouped(0, text), "0");
	CU_ASSERT_STRING_EQUAL(moat_term_grouped(1234567, text), "1,234,567");
	CU_ASSERT_STRING_EQUAL(moat_term_grouped(UINT64_MAX, text), "18,446,744,073,709,551,615");
	CU_ASSERT_STRING_EQUAL(moat_term_scaled(999, text), "999");
	CU_ASSERT_STRING_EQUAL(moat_term_scaled(0.25, text), "0.2");
	CU_ASSERT_STRING_EQUAL(moat_term_scaled(1234, text), "1.23 k");
	CU_ASSERT_STRING_EQUAL(moat_term_scaled(999999, text), "1.00 M");
	CU_ASSERT_STRING_EQUAL(moat_term_bytes(45.6e9, text), "45.6 GB");
	CU_ASSERT_STRING_EQUAL(moat_term_duration(3, text), "3.0 s");
	CU_ASSERT_STRING_EQUAL(moat_term_duration(3700, text), "1 h 1 min");
	CU_ASSERT_STRING_EQUAL(moat_term_duration(90000, text), "1 d 1 h");
}

static char *printed(const struct moat_table *table)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	moat_table_print(table, file, "");
	fclose(file);
	return text;
}

static void test_table(void)
{
	static const char *const headers[] = { ">ID", "NAME", "TEXT", NULL };
	moat_auto_table table = { 0 };
	moat_auto_free char *text = NULL;

	moat_table_init(&table, headers);
	moat_table_add(&table, MOAT_STYLE_BAD, "7", "a", "x\033[31my");
	moat_table_add(&table, MOAT_STYLE_PLAIN, "1000", "bcd", "");
	text = printed(&table);
	CU_ASSERT_STRING_EQUAL(text, "  ID  NAME  TEXT\n"
				     "   7  a     x?[31my\n"
				     "1000  bcd   \n");
}

/* No line is wider than the screen. */
static void test_wrap(void)
{
	static const char *const headers[] = { "NAME", "TEXT", NULL };
	moat_auto_table table = { 0 };
	moat_auto_free char *text = NULL;
	char words[400], solid[400];
	size_t width = 0;

	for (size_t i = 0; i < sizeof(words) - 1; i++) {
		words[i] = i % 7 == 6 ? ' ' : 'w';
		solid[i] = 's';
	}
	words[sizeof(words) - 1] = solid[sizeof(solid) - 1] = '\0';
	moat_table_init(&table, headers);
	moat_table_add(&table, MOAT_STYLE_PLAIN, "a", words);
	moat_table_add(&table, MOAT_STYLE_PLAIN, "b", solid);
	text = printed(&table);
	for (const char *c = text; *c; c++) {
		width = *c == '\n' ? 0 : width + 1;
		CU_ASSERT_TRUE(width <= MOAT_TERM_WIDTH);
	}
}

/* A narrower terminal is filled, not overrun. */
static void test_terminal(void)
{
	static const char words[] = "one two three four five six seven eight nine ten eleven twelve thirteen "
				    "fourteen fifteen sixteen seventeen eighteen nineteen twenty";
	const struct winsize size = { .ws_row = 24, .ws_col = 80 };
	moat_auto_free char *text = NULL;
	moat_auto_fclose FILE *terminal = NULL;
	size_t length, width = 0, widest = 0;
	FILE *out = open_memstream(&text, &length);
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	CU_ASSERT_FATAL(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	/* a session leader without a terminal would get this one, and a hang-up at its end */
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CU_ASSERT_FATAL(slave >= 0);
	terminal = fdopen(slave, "r+");
	CU_ASSERT_PTR_NOT_NULL_FATAL(terminal);
	CU_ASSERT_EQUAL(ioctl(master, TIOCSWINSZ, &size), 0);
	moat_term_set_width(terminal);
	moat_term_wrap(out, MOAT_STYLE_PLAIN, 12, words);
	fclose(out);
	for (const char *c = text; *c; c++) {
		width = *c == '\n' ? 0 : width + 1;
		widest = width > widest ? width : widest;
	}
	/* the first line begins at column 12 already */
	CU_ASSERT(widest > 68 && widest <= 80);
	moat_term_set_width(stdin); /* none: back to the default */
	close(master);
}

static void test_color(void)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	moat_term_set_color(MOAT_COLOR_ALWAYS, stdout);
	moat_term_print(file, MOAT_STYLE_BAD, "a\x1b%s", "b");
	moat_term_set_color(MOAT_COLOR_NEVER, stdout);
	moat_term_print(file, MOAT_STYLE_BAD, "c");
	fclose(file);
	CU_ASSERT_STRING_EQUAL(text, "\033[31ma?b\033[0mc");
	free(text);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "numbers", test_numbers }, { "table", test_table },       { "wrap", test_wrap },
		{ "color", test_color },     { "terminal", test_terminal }, { NULL, NULL },
	};

	return moat_test_main("term", tests);
}
