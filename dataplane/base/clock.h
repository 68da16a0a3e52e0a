/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Clocks in nanoseconds. Intervals and the order of events: monotonic, as bpf_ktime_get_ns. */
#ifndef MOAT_BASE_CLOCK_H
#define MOAT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MOAT_NS_PER_S 1000000000ULL
#define MOAT_NS_PER_MS 1000000ULL

static inline uint64_t moat_clock_read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * MOAT_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t moat_clock_monotonic_ns(void)
{
	return moat_clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t moat_clock_realtime_ns(void)
{
	return moat_clock_read_ns(CLOCK_REALTIME);
}

#define MOAT_TIME_TEXT_LEN 40

/* Writes ns since the epoch as RFC 3339 with microseconds in UTC ("2026-01-31T08:00:00.000123+0000", the
 * form of Suricata's EVE) into `ret_text`, which holds at least MOAT_TIME_TEXT_LEN bytes. */
void moat_clock_format(uint64_t realtime_ns, char ret_text[MOAT_TIME_TEXT_LEN]);

/* Reads a duration: a decimal number and one of ms, s, m, h, d ("90s", "1.5h"); a bare number is
 * seconds. 0 and -EINVAL, -ERANGE beyond 100 years; *ret_ns untouched on failure. */
int moat_clock_parse_duration(const char *text, uint64_t *ret_ns);

#endif
