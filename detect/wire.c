/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/wire.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dataplane/base/cleanup.h"

/* ---- reading ------------------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *data;
	size_t length, at;
};

static bool has(const struct cursor *cursor, size_t bytes)
{
	return cursor->length - cursor->at >= bytes;
}

/* Big-endian numbers; 0 behind the end, where `at` stays. */
static uint32_t take(struct cursor *cursor, size_t bytes)
{
	uint32_t value = 0;

	if (!has(cursor, bytes))
		return 0;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | cursor->data[cursor->at++];
	return value;
}

static bool skip(struct cursor *cursor, size_t bytes)
{
	if (!has(cursor, bytes))
		return false;
	cursor->at += bytes;
	return true;
}

/* ---- DNS ----------------------------------------------------------------------------------------- */

#define DNS_HEADER 12
#define DNS_TYPE_A 1
#define DNS_TYPE_AAAA 28
#define DNS_RECORDS_MAX 16

/* A question's name: labels without pointers. */
static bool read_name(struct cursor *cursor, char ret_name[MOAT_NAME_LEN])
{
	size_t out = 0;

	for (;;) {
		uint32_t label;

		if (!has(cursor, 1))
			return false;
		label = take(cursor, 1);
		if (label == 0)
			break;
		if (label > 63 || !has(cursor, label) || out + label + 1 >= MOAT_NAME_LEN)
			return false;
		if (out)
			ret_name[out++] = '.';
		for (; label > 0; label--) {
			int c = (int)take(cursor, 1);

			/* tunnels put any byte into labels */
			ret_name[out++] = (char)(isgraph(c) && c != '.' ? tolower(c) : '?');
		}
	}
	ret_name[out] = '\0';
	return true;
}

/* An answer's name, which may end in a pointer. */
static bool skip_name(struct cursor *cursor)
{
	while (has(cursor, 1)) {
		uint32_t label = take(cursor, 1);

		if (label == 0)
			return true;
		if (label >= 0xc0)
			return skip(cursor, 1);
		if (!skip(cursor, label))
			return false;
	}
	return false;
}

static void read_answers(struct cursor *cursor, struct moat_dns *dns)
{
	for (uint32_t i = 0; i < dns->answers && i < DNS_RECORDS_MAX; i++) {
		struct moat_addr *addr = &dns->addrs[dns->addr_count];
		uint32_t type, length;

		if (!skip_name(cursor) || !has(cursor, 10))
			return;
		type = take(cursor, 2);
		(void)skip(cursor, 6); /* class and time to live */
		length = take(cursor, 2);
		if (i == 0)
			dns->answer_type = (uint16_t)type;
		if (!has(cursor, length))
			return;
		if (dns->addr_count < MOAT_DNS_ADDRS_MAX && type == DNS_TYPE_A && length == 4) {
			__be32 v4;

			memcpy(&v4, cursor->data + cursor->at, sizeof(v4));
			moat_addr_from_v4(addr, v4);
			dns->addr_count++;
		} else if (dns->addr_count < MOAT_DNS_ADDRS_MAX && type == DNS_TYPE_AAAA &&
			   length == 16) {
			memcpy(addr, cursor->data + cursor->at, sizeof(*addr));
			dns->addr_count++;
		}
		(void)skip(cursor, length);
	}
}

bool moat_dns_parse(const uint8_t *data, size_t length, struct moat_dns *ret_dns)
{
	struct cursor cursor = { data, length, 2 };
	struct moat_dns dns = { .name = "" };
	uint32_t flags, questions;

	if (length < DNS_HEADER)
		return false;
	flags = take(&cursor, 2);
	questions = take(&cursor, 2);
	dns.answers = (uint16_t)take(&cursor, 2);
	(void)skip(&cursor, 4);
	/* standard queries alone */
	if (questions != 1 || (flags >> 11 & 15) != 0 || !read_name(&cursor, dns.name) ||
	    !has(&cursor, 4))
		return false;
	dns.is_response = flags >> 15;
	dns.rcode = flags & 15;
	dns.type = (uint16_t)take(&cursor, 2);
	(void)skip(&cursor, 2);
	if (dns.is_response)
		read_answers(&cursor, &dns);
	*ret_dns = dns;
	return true;
}

const char *moat_name_registered(const char *name)
{
	static const char *const second[] = { "co", "com", "net", "org", "gov", "edu", "ac", "or" };
	const char *dots[3] = { NULL };
	size_t count = 0;

	for (const char *at = name + strlen(name); at > name && count < 3; at--)
		if (at[-1] == '.')
			dots[count++] = at;
	if (count < 2)
		return name;
	/* "example.co.uk": a country below which countries sort by kind */
	if (strlen(dots[0]) == 2) {
		for (size_t i = 0; i < MOAT_ARRAY_SIZE(second); i++) {
			size_t length = strlen(second[i]);

			if ((size_t)(dots[0] - dots[1]) == length + 1 &&
			    strncmp(dots[1], second[i], length) == 0)
				return count == 3 ? dots[2] : name;
		}
	}
	return dots[1];
}

double moat_text_entropy(const char *text, size_t length)
{
	uint32_t counts[256] = { 0 };
	double bits = 0;

	for (size_t i = 0; i < length; i++)
		counts[(uint8_t)text[i]]++;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(counts); i++)
		if (counts[i])
			bits -= counts[i] * log2((double)counts[i] / (double)length);
	return length ? bits / (double)length : 0;
}

/* ---- TLS ----------------------------------------------------------------------------------------- */

#define TLS_HANDSHAKE 22
#define TLS_CLIENT_HELLO 1
#define TLS_SERVER_NAME 0

/* The first host name of a server_name extension (RFC 6066, 3). */
static void read_server_name(struct cursor cursor, size_t length, char ret_name[MOAT_NAME_LEN])
{
	uint32_t size;

	if (!has(&cursor, length) || length < 5)
		return;
	(void)take(&cursor, 2);
	if (take(&cursor, 1) != 0)
		return;
	size = take(&cursor, 2);
	if (size == 0 || size >= MOAT_NAME_LEN || size > length - 5)
		return;
	for (uint32_t i = 0; i < size; i++) {
		int c = (int)take(&cursor, 1);

		ret_name[i] = (char)(isgraph(c) ? tolower(c) : '?');
	}
	ret_name[size] = '\0';
}

bool moat_tls_hello(const uint8_t *data, size_t length, char ret_name[MOAT_NAME_LEN],
		    bool *ret_whole)
{
	struct cursor cursor = { data, length, 0 };
	uint32_t type, version, left;

	type = take(&cursor, 1);
	version = take(&cursor, 2);
	if (length < 11 || type != TLS_HANDSHAKE || version >> 8 != 3 || !skip(&cursor, 2) ||
	    take(&cursor, 1) != TLS_CLIENT_HELLO)
		return false;
	ret_name[0] = '\0';
	*ret_whole = false;
	/* length, version, random; session, ciphers, compressions */
	if (!skip(&cursor, 3 + 2 + 32) || !skip(&cursor, take(&cursor, 1)) ||
	    !skip(&cursor, take(&cursor, 2)) || !skip(&cursor, take(&cursor, 1)))
		return true;
	if (!has(&cursor, 2)) {
		*ret_whole = true; /* no extensions at all */
		return true;
	}
	left = take(&cursor, 2);
	while (left >= 4 && has(&cursor, 4)) {
		uint32_t extension = take(&cursor, 2), size = take(&cursor, 2);

		if (extension == TLS_SERVER_NAME)
			read_server_name(cursor, size, ret_name);
		if (size > left - 4 || !skip(&cursor, size))
			return true;
		left -= 4 + size;
	}
	*ret_whole = left == 0;
	return true;
}

/* ---- text ---------------------------------------------------------------------------------------- */

const uint8_t *moat_bytes_find(const uint8_t *data, size_t length, const char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0; i + size <= length; i++)
		if (strncasecmp((const char *)data + i, text, size) == 0)
			return data + i;
	return NULL;
}

bool moat_bytes_begin(const uint8_t *data, size_t length, const char *text)
{
	size_t size = strlen(text);

	return size <= length && memcmp(data, text, size) == 0;
}

bool moat_http_header(const uint8_t *data, size_t length, const char *name, char *ret_value,
		      size_t size)
{
	char line[64];
	const uint8_t *at;
	size_t out = 0;

	snprintf(line, sizeof(line), "\r\n%.50s:", name);
	at = moat_bytes_find(data, length, line);
	if (!at || size == 0)
		return false;
	at += strlen(line);
	while (at < data + length && *at == ' ')
		at++;
	for (; at < data + length && *at != '\r' && *at != '\n' && out + 1 < size; at++)
		ret_value[out++] = (char)(isprint(*at) ? *at : '?');
	ret_value[out] = '\0';
	return true;
}

/* ---- addresses ----------------------------------------------------------------------------------- */

bool moat_addr_is_local(const struct moat_addr *addr)
{
	const uint8_t *v4 = addr->bytes + 12;

	if (!moat_addr_is_v4(addr))
		return (addr->bytes[0] & 0xfe) == 0xfc ||
		       (addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80) ||
		       (addr->quads[0] == 0 && addr->words[2] == 0);
	return v4[0] == 10 || v4[0] == 127 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
	       (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
	       (v4[0] == 100 && (v4[1] & 0xc0) == 64) || v4[0] == 0;
}

bool moat_addr_is_many(const struct moat_addr *addr)
{
	if (!moat_addr_is_v4(addr))
		return addr->bytes[0] == 0xff;
	return addr->bytes[12] >= 224 || addr->bytes[15] == 255;
}
