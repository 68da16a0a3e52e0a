/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Certificates as servers show them, put together here. */
#include <string.h>

#include "detect/x509.h"
#include "tests/harness/unit.h"

static uint8_t message[512];

/* One element around what follows `at`: its head is put before, the rest moves. Lengths below 128. */
static size_t wrap(uint8_t *at, size_t length, uint8_t type)
{
	memmove(at + 2, at, length);
	at[0] = type;
	at[1] = (uint8_t)length;
	return length + 2;
}

static size_t put_text(uint8_t *at, uint8_t type, const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		at[i] = (uint8_t)text[i]; /* DER knows no 0 at the end */
	return wrap(at, length, type);
}

static size_t put_name(uint8_t *at, const char *text)
{
	return wrap(at, put_text(at, 0x0c, text), 0x30);
}

/* A certificate (RFC 5280) of this issuer and subject, valid to that time. */
static size_t put_certificate(uint8_t *at, const char *issuer, const char *subject, const char *end)
{
	uint8_t *to = at;
	size_t length;

	to += wrap(to, put_text(to, 0x02, "\x02"), 0xa0);
	to += put_text(to, 0x02, "12345");
	to += put_text(to, 0x30, "algo");
	to += put_name(to, issuer);
	length = put_text(to, 0x17, "240101000000Z");
	length += put_text(to + length, strlen(end) == 13 ? 0x17 : 0x18, end);
	to += wrap(to, length, 0x30);
	to += put_name(to, subject);
	length = wrap(at, (size_t)(to - at), 0x30);
	return wrap(at, length, 0x30);
}

/* ServerHello and Certificate in one record, or each in its own. Returns the length. */
static size_t put_message(const char *issuer, const char *subject, const char *end, bool is_split)
{
	static const uint8_t hello[] = { 22, 3, 3, 0, 10, 2, 0, 0, 6, 3, 3, 1, 2, 3, 4 };
	size_t at = sizeof(hello), list, length;

	memset(message, 0, sizeof(message));
	memcpy(message, hello, sizeof(hello));
	if (is_split) {
		message[at++] = 22;
		message[at++] = 3;
		message[at++] = 3;
		at += 2;
	}
	message[at] = 11;
	list = at + 4;
	length = put_certificate(message + list + 6, issuer, subject, end);
	message[list + 5] = (uint8_t)length;
	message[list + 2] = (uint8_t)(length + 3);
	message[at + 3] = (uint8_t)(length + 6);
	at = list + 6 + length;
	if (!is_split)
		message[4] = (uint8_t)(at - 5);
	return at;
}

static void test_whole(void)
{
	for (int split = 0; split < 2; split++) {
		struct moat_certificate certificate;
		size_t length = put_message("Evil", "Evil", "99991231235959Z", split);

		CU_ASSERT_TRUE_FATAL(moat_tls_certificate(message, length, &certificate));
		CU_ASSERT_TRUE(certificate.is_self_signed);
		CU_ASSERT_EQUAL(certificate.years, 9999 - 2024);
		CU_ASSERT_EQUAL(certificate.issuer_length, 6);
		length = put_message("Some CA", "example.org", "250101000000Z", split);
		CU_ASSERT_TRUE_FATAL(moat_tls_certificate(message, length, &certificate));
		CU_ASSERT_FALSE(certificate.is_self_signed);
		CU_ASSERT_EQUAL(certificate.years, 1);
	}
}

/* What isn't there is not claimed; nothing behind the end is read (the sanitiser says so). */
static void test_cut(void)
{
	size_t length = put_message("Evil", "Evil", "99991231235959Z", false), issuer_at = 0;

	for (size_t cut = 0; cut < length; cut++) {
		struct moat_certificate certificate;

		if (!moat_tls_certificate(message, cut, &certificate))
			continue;
		if (!issuer_at)
			issuer_at = cut;
		CU_ASSERT_FALSE(certificate.is_self_signed);
		CU_ASSERT_TRUE(certificate.issuer + certificate.issuer_length <= message + cut);
	}
	CU_ASSERT_TRUE(issuer_at > 0 && issuer_at < length);
}

static void test_other(void)
{
	struct moat_certificate certificate;
	size_t length = put_message("Evil", "Evil", "99991231235959Z", false);

	message[15] = 12; /* ServerKeyExchange */
	CU_ASSERT_FALSE(moat_tls_certificate(message, length, &certificate));
	length = put_message("Evil", "Evil", "99991231235959Z", false);
	message[5] = 1; /* ClientHello */
	CU_ASSERT_FALSE(moat_tls_certificate(message, length, &certificate));
	CU_ASSERT_FALSE(
		moat_tls_certificate((const uint8_t *)"GET / HTTP/1.1\r\n", 16, &certificate));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "whole", test_whole },
		{ "cut", test_cut },
		{ "other", test_other },
		{ NULL, NULL },
	};

	return moat_test_main("x509", tests);
}
