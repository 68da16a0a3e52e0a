/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Routes in the words of ExaBGP 4's API, as they stand behind "announce " and "withdraw ". */
#ifndef MOAT_CTL_UPSTREAM_TEXT_H
#define MOAT_CTL_UPSTREAM_TEXT_H

#include <stdbool.h>

#include "ctl/upstream.h"

/* "route 192.0.2.1/32 next-hop 192.0.2.254 community [65535:666]" */
void moat_upstream_blackhole_text(const struct moat_prefix *victim, const struct moat_addr *next_hop,
				  uint32_t community, char ret_text[MOAT_UPSTREAM_TEXT_LEN]);

/* "flow route { match { ... } then { discard; } }". Lengths and flags as the match has them; VLANs mean
 * nothing to a router elsewhere. False if the match can't be said: source and destination of two families. */
bool moat_upstream_flow_text(const struct moat_match *match, char ret_text[MOAT_UPSTREAM_TEXT_LEN]);

#endif
