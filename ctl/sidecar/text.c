/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See text.h. */
#include "ctl/sidecar/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 sequence that begins here, 0 if none does (RFC 3629, 4). */
static size_t sequence_length(const uint8_t *at, size_t left)
{
	size_t length;
	uint8_t low = 0x80, high = 0xbf;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] <= 0xdf)
		length = 2;
	else if (at[0] >= 0xe0 && at[0] <= 0xef)
		length = 3;
	else if (at[0] >= 0xf0 && at[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > left)
		return 0;
	/* the second byte rules out overlong forms, surrogates and what is above U+10FFFF */
	if (at[0] == 0xe0)
		low = 0xa0;
	else if (at[0] == 0xed)
		high = 0x9f;
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

static bool is_plain(const uint8_t *at, size_t length, size_t left)
{
	if (length == 0 || at[0] < 0x20 || at[0] == 0x7f)
		return false;
	if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0)
		return false; /* C1 control characters */
	return !(at[0] == '\\' && left > 1 && at[1] == 'x');
}

#define EACH(byte) (0x0101010101010101ULL * (byte))

/* Whether one of eight bytes is 0 (Mycroft, 1987). */
static bool has_zero(uint64_t word)
{
	return (word - EACH(1)) & ~word & EACH(0x80);
}

bool moat_text_is_plain(const char *bytes, size_t length)
{
	size_t at = 0;

	for (; at + 8 <= length; at += 8) {
		uint64_t word;

		memcpy(&word, bytes + at, 8);
		/* none from 0x80, none below 0x20 (the first such one sets its highest bit) */
		if ((word | (word - EACH(0x20))) & EACH(0x80) || has_zero(word ^ EACH(0x7f)) ||
		    has_zero(word ^ EACH('\\')))
			return false;
	}
	for (; at < length; at++) {
		uint8_t byte = (uint8_t)bytes[at];

		if (byte < 0x20 || byte >= 0x7f || byte == '\\')
			return false;
	}
	return true;
}

/* What is the text already, as most are. */
static char *copy(const char *bytes, size_t length)
{
	char *text = malloc(length + 1);

	if (!text)
		return NULL;
	memcpy(text, bytes, length);
	text[length] = '\0';
	return text;
}

char *moat_text_clean(const char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = (const uint8_t *)bytes, *end = at + length;
	char *text, *to;

	if (moat_text_is_plain(bytes, length))
		return copy(bytes, length);
	text = to = malloc(4 * length + 1);
	if (!text)
		return NULL;
	while (at < end) {
		size_t left = (size_t)(end - at), size = sequence_length(at, left);

		if (is_plain(at, size, left)) {
			while (size-- > 0)
				*to++ = (char)*at++;
		} else {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = digits[*at >> 4];
			*to++ = digits[*at++ & 15];
		}
	}
	*to = '\0';
	return text;
}
