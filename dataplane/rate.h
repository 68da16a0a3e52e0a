/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rates as operators give them, for judges of a clock (moat/limit.h). */
#ifndef MOAT_DATAPLANE_RATE_H
#define MOAT_DATAPLANE_RATE_H

#include <stdint.h>

#include "moat/limit.h"

/* `per_s` packets or bytes of IP datagrams a second on the whole box, 0: no limit; at most 2^32 - 1 packets,
 * 2^40 bytes. `burst` of them at once, 0: 1/16 s of the rate; what can't be kept is rounded: at least what
 * two ticks bring, so that a coarse clock still gives the full rate, at most what 2^24 ticks or a word
 * of 32 bits hold. The clock has `ticks_per_s` (1 to 10^6), and `judges` share the limit (1 and up). */
struct moat_rate moat_rate_of_packets(uint64_t per_s, uint64_t burst, uint32_t ticks_per_s,
				      uint32_t judges);
struct moat_rate moat_rate_of_bytes(uint64_t per_s, uint64_t burst, uint32_t ticks_per_s,
				    uint32_t judges);

#endif
