/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hosts and their traffic by window, merged from the cell tables of all CPUs and workers.
 *
 * A host's traffic has two sides: `to` it and `from` it. Short windows (1/8 s) find floods; long ones (8
 * short, about 1 s) feed the baseline. Bounded: beyond `capacity` active hosts new ones are counted and
 * left out; hosts idle for 60 s are retired, those with an open finding never.
 */
#ifndef MOAT_DETECT_FEATURES_H
#define MOAT_DETECT_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "moat/cell.h"

/* Packets of one direction in one window. */
struct moat_traffic {
	uint64_t packets, bytes;
	uint64_t dropped;
	uint64_t tcp_syn, tcp_synack, tcp_ack, tcp_rst, tcp_fin, tcp_other;
	uint64_t udp, udp_reflect, udp_bytes, icmp, icmp_bytes;
	uint64_t fragments, small, other;
	double distinct; /* to: sources, from: (destination, port) pairs; of the fullest 1/8 s, <= 1,420 */
};

struct moat_host_window {
	struct moat_addr addr;
	uint64_t start_ns;
	uint64_t length_ns;
	struct moat_traffic to;
	struct moat_traffic from;
};

/* One writer's cell tables (a CPU of the gate, a worker). */
struct moat_cell_source {
	const struct moat_cell *to;
	const struct moat_cell *from;
	uint32_t count; /* cells in each */
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

struct moat_hosts;

struct moat_hosts_counters {
	uint64_t hosts; /* active */
	uint64_t retired;
	uint64_t refused; /* hosts left out because the table was full */
	uint64_t torn;    /* cells skipped in one reading because they were in change */
};

int moat_hosts_new(uint32_t capacity, struct moat_hosts **ret_hosts);
void moat_hosts_free(struct moat_hosts *hosts);

/* Reads all sources once and closes the short window that ends now. `window` is the judge's number of the
 * window that just ended (its bitmap is complete). Each active host's window goes to `handler`, hosts
 * that were silent in it but active before too (all zero). */
typedef void (*moat_host_window_fn)(void *userdata, uint32_t host,
				    const struct moat_host_window *window);
void moat_hosts_read(struct moat_hosts *hosts, const struct moat_cell_source *sources,
		     size_t source_count, uint32_t window, uint64_t start_ns, uint64_t length_ns,
		     moat_host_window_fn handler, void *userdata);

/* Adds a window to a sum of windows (counts add, distinct takes the maximum, length adds). */
void moat_host_window_add(struct moat_host_window *sum, const struct moat_host_window *window);

void moat_hosts_counters(const struct moat_hosts *hosts, struct moat_hosts_counters *ret_counters);

#endif
