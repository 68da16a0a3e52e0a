/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DER from front to end; what was cut off ends the reading, not the answer. */
#include "detect/x509.h"

#include <string.h>

#define TLS_HANDSHAKE 22
#define TLS_SERVER_HELLO 2
#define TLS_CERTIFICATE 11
#define RECORD_HEAD 5
#define HANDSHAKE_HEAD 4
#define DER_INTEGER 0x02
#define DER_SEQUENCE 0x30
#define DER_VERSION 0xa0
#define DER_UTC_TIME 0x17
#define DER_GENERALIZED_TIME 0x18

struct der {
	const uint8_t *at;
	size_t left;
};

/* The next element: its type, what of its contents is there, and whether that is all. */
struct element {
	uint8_t type;
	struct der body;
	bool is_whole;
};

static bool take(struct der *der, struct element *ret_element)
{
	size_t head = 2, length;

	if (der->left < 2)
		return false;
	length = der->at[1];
	if (length & 0x80) {
		size_t bytes = length & 0x7f;

		if (bytes == 0 || bytes > 3 || der->left < 2 + bytes)
			return false;
		length = 0;
		for (size_t i = 0; i < bytes; i++)
			length = length << 8 | der->at[2 + i];
		head += bytes;
	}
	ret_element->type = der->at[0];
	ret_element->is_whole = length <= der->left - head;
	ret_element->body.at = der->at + head;
	ret_element->body.left = ret_element->is_whole ? length : der->left - head;
	der->at += head + ret_element->body.left;
	der->left -= head + ret_element->body.left;
	return true;
}

/* The year of a time (RFC 5280, 4.1.2.5), 0 if it is none. */
static uint32_t year_of(const struct element *time)
{
	uint32_t year = 0, digits = time->type == DER_UTC_TIME ? 2 : 4;

	if ((time->type != DER_UTC_TIME && time->type != DER_GENERALIZED_TIME) ||
	    time->body.left < digits)
		return 0;
	for (uint32_t i = 0; i < digits; i++) {
		if (time->body.at[i] < '0' || time->body.at[i] > '9')
			return 0;
		year = year * 10 + time->body.at[i] - '0';
	}
	if (digits == 2)
		year += year < 50 ? 2000 : 1900;
	return year;
}

static uint32_t years_of(struct der validity)
{
	struct element from, to;
	uint32_t begin, end;

	if (!take(&validity, &from) || !take(&validity, &to))
		return 0;
	begin = year_of(&from);
	end = year_of(&to);
	return begin && end > begin ? end - begin : 0;
}

/* certificate ::= { tbs ::= { [version], serial, algorithm, issuer, validity, subject, ... */
static bool read_certificate(struct der der, struct moat_certificate *ret_certificate)
{
	struct element certificate, tbs, part, issuer, validity, subject;

	if (!take(&der, &certificate) || certificate.type != DER_SEQUENCE ||
	    !take(&certificate.body, &tbs) || tbs.type != DER_SEQUENCE || !take(&tbs.body, &part))
		return false;
	if (part.type == DER_VERSION && !take(&tbs.body, &part))
		return false;
	if (part.type != DER_INTEGER || !take(&tbs.body, &part) || part.type != DER_SEQUENCE ||
	    !take(&tbs.body, &issuer) || issuer.type != DER_SEQUENCE)
		return false;
	*ret_certificate = (struct moat_certificate){ .issuer = issuer.body.at,
						      .issuer_length = issuer.body.left };
	if (!issuer.is_whole || !take(&tbs.body, &validity) || validity.type != DER_SEQUENCE)
		return true;
	ret_certificate->years = years_of(validity.body);
	if (!validity.is_whole || !take(&tbs.body, &subject) || !subject.is_whole)
		return true;
	ret_certificate->is_self_signed = issuer.body.left > 0 &&
					  subject.body.left == issuer.body.left &&
					  memcmp(subject.body.at, issuer.body.at,
						 issuer.body.left) == 0;
	return true;
}

static uint32_t number(const uint8_t *at, size_t bytes)
{
	uint32_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | at[i];
	return value;
}

bool moat_tls_certificate(const uint8_t *data, size_t length,
			  struct moat_certificate *ret_certificate)
{
	size_t at = 0, handshake;

	if (length < RECORD_HEAD + HANDSHAKE_HEAD || data[0] != TLS_HANDSHAKE || data[1] != 3 ||
	    data[RECORD_HEAD] != TLS_SERVER_HELLO)
		return false;
	at = RECORD_HEAD + HANDSHAKE_HEAD + number(data + RECORD_HEAD + 1, 3);
	/* the next message stands in the same record or begins one of its own */
	if (at + RECORD_HEAD <= length && at == RECORD_HEAD + number(data + 3, 2)) {
		if (data[at] != TLS_HANDSHAKE)
			return false;
		at += RECORD_HEAD;
	}
	/* type and length; length of the list; length of its first certificate */
	handshake = at;
	at += HANDSHAKE_HEAD + 3 + 3;
	if (at >= length || data[handshake] != TLS_CERTIFICATE)
		return false;
	return read_certificate((struct der){ data + at, length - at }, ret_certificate);
}
