/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hosts and their traffic by window, merged from the cell tables of all CPUs and workers.
 *
 * A host's traffic has two sides: `to` it and `from` it. Short windows (1/8 s) find floods; their sum
 * over the last eight, the second, feeds the baseline. Bounded: beyond `capacity` active hosts new ones
 * are counted and left out (senders already beyond 7/8 of it); hosts idle for a minute are retired, pinned
 * ones never.
 */
#ifndef MOAT_DETECT_FEATURES_H
#define MOAT_DETECT_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/cell.h"

/* Short windows in a second. */
#define MOAT_SECOND_WINDOWS 8

/* Packets of one direction in one window. The counts can be walked as an array. */
#define MOAT_TRAFFIC_COUNTS 17
struct moat_traffic {
	union {
		uint64_t counts[MOAT_TRAFFIC_COUNTS];
		struct {
			uint64_t packets, bytes, udp_bytes, icmp_bytes;
			uint64_t dropped;
			uint64_t tcp_syn, tcp_synack, tcp_ack, tcp_rst, tcp_fin, tcp_other;
			uint64_t udp, udp_reflect, icmp;
			uint64_t fragments, small, other;
		};
	};
	/* to: sources, from: (destination, port) pairs; at most 1,420 a short window. Of a sum of windows:
	 * the sum, so who is active throughout counts in each. */
	double distinct;
};

struct moat_host_window {
	struct moat_addr addr;
	uint64_t start_ns;
	uint64_t length_ns;
	struct moat_traffic to;
	struct moat_traffic from;
};

/* One writer's cell tables (a CPU of the gate, a worker). The same writer has the same place in the array
 * of sources from call to call; a new pointer or size in a place is taken as a new writer. */
struct moat_cell_source {
	const struct moat_cell *to;
	const struct moat_cell *from;
	uint32_t count; /* cells in each */
	/* Its cells were all free when its first window began, so that the first reading counts as well.
	 * False (tables adopted with a history): the first reading only notes where the counters stand. */
	bool fresh;
};

/* Dimensions of the baseline's vectors: log1p of rates a second, and ratios scaled to 0-1. */
enum moat_feature {
	MOAT_FEATURE_TO_PPS = 0,
	MOAT_FEATURE_TO_BPS,
	MOAT_FEATURE_TO_SYN,
	MOAT_FEATURE_TO_ACK,
	MOAT_FEATURE_TO_RST_FIN,
	MOAT_FEATURE_TO_UDP,
	MOAT_FEATURE_TO_REFLECT,
	MOAT_FEATURE_TO_ICMP,
	MOAT_FEATURE_TO_SOURCES,
	MOAT_FEATURE_TO_MEAN_LEN, /* log1p of bytes a packet */
	MOAT_FEATURE_TO_SMALL,    /* ratio */
	MOAT_FEATURE_FROM_PPS,
	MOAT_FEATURE_FROM_BPS,
	MOAT_FEATURE_FROM_SYN,
	MOAT_FEATURE_FROM_RST,
	MOAT_FEATURE_FROM_TARGETS,
	MOAT_FEATURE_COUNT, /* 16 */
};
_Static_assert(MOAT_FEATURE_COUNT == 16, "the distance kernels take 16 dimensions");

const char *moat_feature_name(enum moat_feature feature); /* "to.syn/s" */

/* The vector of a window. */
void moat_features_of(const struct moat_host_window *window, float ret_vector[MOAT_FEATURE_COUNT]);

/* Back to the feature's unit (per second, bytes, ratio), for explanations. */
double moat_feature_unit_value(enum moat_feature feature, float value);

/* `count` of a window as a rate a second; 0 for a window without length. */
double moat_window_rate(const struct moat_host_window *window, double count);

struct moat_hosts;

struct moat_hosts_counters {
	uint64_t hosts; /* in the table now */
	uint64_t retired;
	uint64_t refused; /* readings of hosts left out because the table was full */
	uint64_t torn;    /* cells skipped in one reading because they were in change */
	uint64_t late; /* readings so long after the one before (MOAT_CELL_SPAN_NS) that nobody could
			   * tell what was gained in between */
};

/* Capacity 1 to 2^22. 0, -EINVAL, -ENOMEM. */
int moat_hosts_new(uint32_t capacity, uint64_t seed, struct moat_hosts **ret_hosts);
void moat_hosts_free(struct moat_hosts *hosts);

/* A host's short window and its second (the last eight short windows, this one included). `host` is its
 * place in the table, 0 to capacity - 1, the same until it is retired; `is_new` says that the place was
 * given to it in this reading. */
typedef void (*moat_host_window_fn)(void *userdata, uint32_t host, bool is_new,
				    const struct moat_host_window *window,
				    const struct moat_host_window *second);

/* Reads all sources once and closes the short window that ends now. `window` is the judge's number of the
 * window that just ended (its bitmap is complete). Each host with packets in the last second goes to
 * `handler`, silent windows included (all zero); a host is taken in when one of its cells has counted
 * MOAT_HOST_MIN_PACKETS, so that random source addresses don't fill the table. 0 or -ENOMEM, then
 * sources that had no place yet were not read. */
#define MOAT_HOST_MIN_PACKETS 4
int moat_hosts_read(struct moat_hosts *hosts, const struct moat_cell_source *sources,
		    size_t source_count, uint32_t window, uint64_t start_ns, uint64_t length_ns,
		    moat_host_window_fn handler, void *userdata);

/* The place of a host, or -1. */
int64_t moat_hosts_find(const struct moat_hosts *hosts, const struct moat_addr *addr);

/* A pinned host (one with an open finding) is never retired. */
void moat_hosts_pin(struct moat_hosts *hosts, uint32_t host, bool pinned);

/* Adds a window to a sum of windows (counts and distinct add, length adds). */
void moat_host_window_add(struct moat_host_window *sum, const struct moat_host_window *window);

void moat_hosts_counters(const struct moat_hosts *hosts, struct moat_hosts_counters *ret_counters);

#endif
