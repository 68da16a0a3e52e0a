/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the beginnings of payloads say: parsers of DNS messages and TLS hellos, and small readers of text
 * protocols. All take untrusted bytes, read nothing behind them and keep nothing.
 */
#ifndef MOAT_DETECT_WIRE_H
#define MOAT_DETECT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/types.h"

#define MOAT_NAME_LEN 256
#define MOAT_DNS_ADDRS_MAX 8

/* A DNS message with one question (RFC 1035); addresses are those of A and AAAA answers. */
struct moat_dns {
	char name[MOAT_NAME_LEN]; /* lower case, without the final dot */
	uint16_t type;            /* of the question */
	bool is_response;
	uint8_t rcode;        /* 3: the name doesn't exist */
	uint16_t answers;     /* as the header has it */
	uint16_t answer_type; /* of the first answer, 0: none */
	uint32_t addr_count;
	struct moat_addr addrs[MOAT_DNS_ADDRS_MAX];
};
#define MOAT_DNS_NXDOMAIN 3

/* False if it isn't one. A message that was cut short gives what there is. */
bool moat_dns_parse(const uint8_t *data, size_t length, struct moat_dns *ret_dns);

/* The part of a name that somebody registers: the last two labels, three below well-known suffixes such as
 * co.uk. Points into `name`. */
const char *moat_name_registered(const char *name);

/* Shannon entropy of a text's characters, bits each. */
double moat_text_entropy(const char *text, size_t length);

/* A TLS ClientHello (RFC 8446, 4.1.2): true if it is one. *ret_whole: all of its extensions were there, so
 * that an empty name says there is none. */
bool moat_tls_hello(const uint8_t *data, size_t length, char ret_name[MOAT_NAME_LEN],
		    bool *ret_whole);

/* Where `text` stands in the bytes, without regard to case; NULL if it doesn't. */
const uint8_t *moat_bytes_find(const uint8_t *data, size_t length, const char *text);
bool moat_bytes_begin(const uint8_t *data, size_t length, const char *text);

/* The value of an HTTP header ("Host"), into `ret_value` of `size` bytes; false if it isn't there. */
bool moat_http_header(const uint8_t *data, size_t length, const char *name, char *ret_value,
		      size_t size);

/* Addresses that aren't anybody's in the Internet: private, link-local, loopback, shared (RFC 6890). */
bool moat_addr_is_local(const struct moat_addr *addr);
/* Multicast or, in IPv4, a broadcast by its last byte. */
bool moat_addr_is_many(const struct moat_addr *addr);

#endif
