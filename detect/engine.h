/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Detection from counters and samples to findings: owns hosts, baseline, detectors, recent samples and
 * open findings. One thread; never blocks; knows neither gate nor workers, only cells and samples.
 */
#ifndef MOAT_DETECT_ENGINE_H
#define MOAT_DETECT_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "detect/detector.h"

#define MOAT_PROTECTED_MAX 64
/* Places of the floods' rates: the kinds up to AMPLIFICATION by their number, then ACK floods. */
#define MOAT_FLOOD_ACK 4
#define MOAT_FLOOD_RATES 5
#define MOAT_ADMINS_MAX 64

struct moat_detect_config {
	uint32_t mode;     /* enum moat_detect_mode */
	uint64_t learn_ns; /* how long to learn before the baseline judges */
	uint32_t hosts;    /* capacity; 0: 131,072 */
	uint32_t clusters; /* 0: 16 */
	struct moat_prefix protected_prefixes[MOAT_PROTECTED_MAX]; /* whose victims matter; none: all */
	size_t protected_count;

	/* Absolute-rate guard: never a flood below `floor`, always suspicious above `guard`, packets a
	 * second to one host, by kind (enum moat_finding_kind up to AMPLIFICATION,
	 * then MOAT_FLOOD_ACK). */
	double floor_pps[MOAT_FLOOD_RATES]; /* SYN, amplification 1,000; UDP, ACK 5,000; ICMP 500 */
	double guard_pps[MOAT_FLOOD_RATES]; /* SYN, UDP 20,000; ICMP, amplification 5,000; ACK 50,000; 0: off */
	/* behaviours; a limit of 0 turns the detector off */
	double scan_failures; /* failed ports of a host or hosts of a port that make a scan; default 8 */
	double brute_logins;     /* failed or short logins a minute that are guessing; default 12 */
	double beacon_times;     /* regular reports that make a beacon; default 10 */
	uint64_t learn_edges_ns; /* how long new administrative edges are only learned; default 1 day */
	struct moat_prefix admins[MOAT_ADMINS_MAX]; /* whose logins and edges aren't judged */
	size_t admin_count;

	double scan_targets; /* distinct (destination, port) a second that make a scan; default 100 */

	double sensitivity;    /* factor on robust thresholds, default 1; > 1 finds more */
	uint32_t open_windows; /* abnormal short windows in a row that open a finding; default 2 */
	uint64_t close_ns;     /* quiet time that closes it; default 10 s */
	double collateral_max; /* largest share of normal traffic that a drop rule may match; default 0.001 */
	uint64_t seed;
	uint64_t last_finding; /* ids of findings begin behind it */
};

struct moat_detect;

struct moat_detect_counters {
	struct moat_hosts_counters hosts;
	uint64_t windows;  /* short windows closed */
	uint64_t samples;  /* taken */
	uint64_t flows;    /* records of them, taken */
	uint64_t contents; /* taken */
	uint64_t findings_opened;
	uint64_t last_finding; /* the highest id */
	uint64_t findings_open;
	uint64_t findings_refused; /* beyond MOAT_FINDINGS_OPEN_MAX */
	uint64_t baseline_rows;
	uint32_t baseline_clusters;
	bool learning;
	double learned; /* 0 to 1 */
};
#define MOAT_FINDINGS_OPEN_MAX 256

/* Called from within moat_detect_tick, in the same thread. The finding is the engine's. */
typedef void (*moat_finding_fn)(void *userdata, const struct moat_finding *finding);

struct moat_detect_config moat_detect_config_default(void);

int moat_detect_new(const struct moat_detect_config *config, moat_finding_fn emit, void *userdata,
		    struct moat_detect **ret_detect);
void moat_detect_free(struct moat_detect *detect);

/* A sampled packet, at any time between ticks. Copied. */
void moat_detect_sample(struct moat_detect *detect, const struct moat_sample *sample);

/* A record of a flow or the beginning of a payload, at any time between ticks, in the order of their
 * times. What they lead to is given to `emit` at the next tick. */
void moat_detect_flow(struct moat_detect *detect, const struct moat_flow_record *record);
void moat_detect_content(struct moat_detect *detect, const struct moat_content *content);

/* Closes the short window [start, start + length): reads the cells, runs the detectors, opens, updates
 * and closes findings. `window` is the judge's number of the window that just ended. Findings are given
 * to `emit` when they open, when their proposals change and at most once a second otherwise, and when they
 * close. */
void moat_detect_tick(struct moat_detect *detect, const struct moat_cell_source *sources,
		      size_t count, uint32_t window, uint64_t start_ns, uint64_t length_ns);

/* What was learned, as bytes that the caller frees; see detect/baseline_file.h. 0 or -ENOMEM. */
int moat_detect_save(const struct moat_detect *detect, void **ret_bytes, size_t *ret_size);

/* Goes on from there: learning is over if there was enough, ids of findings go on. What was learned before
 * is forgotten. 0; as moat_baseline_image_read, and then nothing has changed. */
int moat_detect_restore(struct moat_detect *detect, const void *bytes, size_t size);

/* Forgets the baseline and begins to learn. */
void moat_detect_forget(struct moat_detect *detect);

/* Sources that have held conversations (packets in at least 3 different seconds, TCP with ACKs or UDP
 * answered or repeated, and not part of a finding; answered, where the answers are seen): calls `handler`
 * for each, for the known filter. */
typedef void (*moat_known_fn)(void *userdata, const struct moat_addr *addr);
void moat_detect_known(const struct moat_detect *detect, moat_known_fn handler, void *userdata);

/* Replaces the thresholds and lists (not hosts and clusters); the baseline stays. */
void moat_detect_configure(struct moat_detect *detect, const struct moat_detect_config *config);

void moat_detect_counters(const struct moat_detect *detect,
			  struct moat_detect_counters *ret_counters);

#endif
