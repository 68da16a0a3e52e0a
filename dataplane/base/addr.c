/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See addr.h. */
#include "dataplane/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where the bits of a prefix begin in its 16 bytes: IPv4 sits in the last four. */
static unsigned int first_bit(const struct moat_prefix *prefix)
{
	return prefix->family == MOAT_FAMILY_V4 ? 96 : 0;
}

static bool bits_equal(const struct moat_addr *a, const struct moat_addr *b, unsigned int bits)
{
	unsigned int rest = bits % 8;

	if (memcmp(a->bytes, b->bytes, bits / 8) != 0)
		return false;
	return rest == 0 || ((a->bytes[bits / 8] ^ b->bytes[bits / 8]) >> (8 - rest)) == 0;
}

static bool tail_is_zero(const struct moat_addr *addr, unsigned int from)
{
	for (unsigned int bit = from; bit < 128; bit++) {
		if (addr->bytes[bit / 8] & (0x80 >> (bit % 8)))
			return false;
	}
	return true;
}

int moat_addr_parse(const char *text, struct moat_addr *ret_addr)
{
	struct moat_addr addr;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		moat_addr_from_v4(ret_addr, v4.s_addr);
		return 0;
	}
	/* the mapped form would name an IPv4 host by an IPv6 text: two names for one key */
	if (inet_pton(AF_INET6, text, &addr) != 1 || moat_addr_is_v4(&addr))
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

/* A decimal number without sign or blanks up to `max`; -1 if it is none. */
static int parse_length(const char *text, int max)
{
	int value = 0;

	if (!*text || strlen(text) > 3)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value <= max ? value : -1;
}

int moat_prefix_parse(const char *text, struct moat_prefix *ret_prefix)
{
	const char *slash = strchr(text, '/');
	struct moat_prefix prefix = { 0 };
	char host[MOAT_ADDR_TEXT_LEN];
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	int bits, max;

	if (strcmp(text, "any") == 0) {
		*ret_prefix = prefix;
		return 0;
	}
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (moat_addr_parse(host, &prefix.addr) < 0)
		return -EINVAL;
	prefix.family = moat_addr_is_v4(&prefix.addr) ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6;
	max = prefix.family == MOAT_FAMILY_V4 ? 32 : 128;
	bits = slash ? parse_length(slash + 1, max) : max;
	if (bits < 0)
		return -EINVAL;
	prefix.len = (__u8)bits;
	if (!tail_is_zero(&prefix.addr, first_bit(&prefix) + prefix.len))
		return -EDOM;
	*ret_prefix = prefix;
	return 0;
}

const char *moat_addr_format(const struct moat_addr *addr, char ret_text[MOAT_ADDR_TEXT_LEN])
{
	bool v4 = moat_addr_is_v4(addr);

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &addr->bytes[12] : addr->bytes, ret_text,
		  MOAT_ADDR_TEXT_LEN);
	return ret_text;
}

const char *moat_prefix_format(const struct moat_prefix *prefix, char ret_text[MOAT_PREFIX_TEXT_LEN])
{
	char host[MOAT_ADDR_TEXT_LEN];

	if (prefix->family == MOAT_FAMILY_ANY)
		snprintf(ret_text, MOAT_PREFIX_TEXT_LEN, "any");
	else if (prefix->len == (prefix->family == MOAT_FAMILY_V4 ? 32 : 128))
		snprintf(ret_text, MOAT_PREFIX_TEXT_LEN, "%s",
			 moat_addr_format(&prefix->addr, host));
	else
		snprintf(ret_text, MOAT_PREFIX_TEXT_LEN, "%s/%u",
			 moat_addr_format(&prefix->addr, host), prefix->len);
	return ret_text;
}

struct moat_prefix moat_prefix_host(const struct moat_addr *addr)
{
	bool v4 = moat_addr_is_v4(addr);

	return (struct moat_prefix){
		.addr = *addr,
		.family = v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6,
		.len = v4 ? 32 : 128,
	};
}

bool moat_prefix_equal(const struct moat_prefix *a, const struct moat_prefix *b)
{
	return a->family == b->family && a->len == b->len &&
	       (a->family == MOAT_FAMILY_ANY || moat_addr_equal(&a->addr, &b->addr));
}

bool moat_prefix_contains(const struct moat_prefix *prefix, const struct moat_addr *addr)
{
	if (prefix->family == MOAT_FAMILY_ANY)
		return true;
	if ((prefix->family == MOAT_FAMILY_V4) != (bool)moat_addr_is_v4(addr))
		return false;
	return bits_equal(&prefix->addr, addr, first_bit(prefix) + prefix->len);
}

bool moat_prefix_overlaps(const struct moat_prefix *a, const struct moat_prefix *b)
{
	if (a->family == MOAT_FAMILY_ANY || b->family == MOAT_FAMILY_ANY)
		return true;
	if (a->family != b->family)
		return false;
	return moat_prefix_contains(a->len <= b->len ? a : b,
				    a->len <= b->len ? &b->addr : &a->addr);
}
