/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text forms of addresses and prefixes (RFC 4291, RFC 5952; IPv4 dotted quad). */
#ifndef MOAT_BASE_ADDR_H
#define MOAT_BASE_ADDR_H

#include <stdbool.h>

#include "moat/types.h"

#define MOAT_ADDR_TEXT_LEN 46   /* INET6_ADDRSTRLEN */
#define MOAT_PREFIX_TEXT_LEN 50 /* and "/128" */

/* "192.0.2.1" or "2001:db8::1". 0 or -EINVAL; *ret_addr untouched on failure. */
int moat_addr_parse(const char *text, struct moat_addr *ret_addr);

/* An address with or without "/len" (without: a host), or "any". -EINVAL: no address, length out of
 * range. -EDOM: bits set behind the prefix ("10.0.0.1/8"): likely a slip, so it is refused rather than
 * rounded. *ret_prefix untouched on failure. */
int moat_prefix_parse(const char *text, struct moat_prefix *ret_prefix);

/* Write the shortest text and return `ret_text`. Hosts are written without "/32" and "/128". */
const char *moat_addr_format(const struct moat_addr *addr, char ret_text[MOAT_ADDR_TEXT_LEN]);
const char *moat_prefix_format(const struct moat_prefix *prefix,
			       char ret_text[MOAT_PREFIX_TEXT_LEN]);

/* The prefix that holds just this address. */
struct moat_prefix moat_prefix_host(const struct moat_addr *addr);

/* True if the two match the same addresses. */
bool moat_prefix_equal(const struct moat_prefix *a, const struct moat_prefix *b);

bool moat_prefix_contains(const struct moat_prefix *prefix, const struct moat_addr *addr);

/* True if the two match at least one address in common. */
bool moat_prefix_overlaps(const struct moat_prefix *a, const struct moat_prefix *b);

#endif
