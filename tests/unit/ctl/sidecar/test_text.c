/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Foreign bytes as text that JSON and terminals can carry. */
#include <string.h>

#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static void test_clean(void)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *text;
	} cases[] = {
		{ "plain", 5, "plain" },
		{ "", 0, "" },
		{ "a\nb\033[1m", 7, "a\\x0ab\\x1b[1m" },
		{ "gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f" },
		{ "\xf0\x9f\x92\xa9", 4, "\xf0\x9f\x92\xa9" },
		{ "a\0b", 3, "a\\x00b" },
		{ "\x7f", 1, "\\x7f" },
		/* U+0085 is a control character */
		{ "\xc2\x85", 2, "\\xc2\\x85" },
		/* cut, overlong, surrogate, above U+10FFFF, lone continuation */
		{ "\xc3", 1, "\\xc3" },
		{ "\xe2\x82", 2, "\\xe2\\x82" },
		{ "\xc0\xaf", 2, "\\xc0\\xaf" },
		{ "\xe0\x80\xaf", 3, "\\xe0\\x80\\xaf" },
		{ "\xed\xa0\x80", 3, "\\xed\\xa0\\x80" },
		{ "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80" },
		{ "\x80z", 2, "\\x80z" },
		/* what looks like an escape is one */
		{ "\\x41 \\n", 7, "\\x5cx41 \\n" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		moat_auto_free char *text = moat_text_clean(cases[i].bytes, cases[i].length);

		CU_ASSERT_STRING_EQUAL(text, cases[i].text);
	}
}

/* Every byte at every place of texts of many lengths: plain or not as byte by byte. */
static void test_plain(void)
{
	char bytes[24];

	for (size_t length = 1; length < sizeof(bytes); length++) {
		memset(bytes, '~', sizeof(bytes));
		CU_ASSERT_TRUE(moat_text_is_plain(bytes, length));
		for (size_t at = 0; at < length; at++) {
			for (int byte = 0; byte < 256; byte++) {
				bool plain = byte >= 0x20 && byte < 0x7f && byte != '\\';

				bytes[at] = (char)byte;
				if (moat_text_is_plain(bytes, length) != plain)
					CU_FAIL("a byte is taken for another");
			}
			bytes[at] = '~';
		}
	}
	CU_ASSERT_TRUE(moat_text_is_plain("", 0));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "clean", test_clean },
		{ "plain", test_plain },
		{ NULL, NULL },
	};

	return moat_test_main("sidecar text", tests);
}
