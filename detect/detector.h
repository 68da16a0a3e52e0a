/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interface of detectors. A detector looks at host windows (and later flows, streams, host events)
 * and says what is wrong with which host; the engine keeps the findings, their evidence and proposals.
 */
#ifndef MOAT_DETECT_DETECTOR_H
#define MOAT_DETECT_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/record.h"
#include "detect/baseline.h"
#include "detect/features.h"
#include "detect/finding.h"

/* What a detector needs to see; what is inactive in the current mode is listed by `moat status`. */
enum moat_detect_mode {
	MOAT_MODE_GATEWAY = 1, /* counters and samples of the gate */
	MOAT_MODE_WIRE = 2,    /* every packet, both ways */
	MOAT_MODE_MIRROR = 4,
	MOAT_MODE_FLOWS = 8, /* what exporters tell of flows: counters and outcomes, no contents */
};

struct moat_detect_config;

/* Rates that are learned of each host on its own. */
enum moat_usual_rate {
	MOAT_USUAL_PACKETS = 0, /* to the host, as all below */
	MOAT_USUAL_SYN,
	MOAT_USUAL_ACK,
	MOAT_USUAL_END, /* FIN and RST */
	MOAT_USUAL_UDP,
	MOAT_USUAL_REFLECT,
	MOAT_USUAL_ICMP,
	MOAT_USUAL_ODD, /* fragments, flag sets no stack sends, protocols but TCP, UDP, ICMP */
	MOAT_USUAL_RATES,
};

/* What is usual of one host, from its normal seconds (none with a suspicion): packets a second. */
struct moat_usual {
	uint32_t seconds;             /* taken, saturating */
	float mean[MOAT_USUAL_RATES]; /* running mean */
	float peak[MOAT_USUAL_RATES]; /* highest, slowly forgotten; after the first minute it grows by at
					* most 5 % a second, so that a slow attacker can't teach it */
};

/* Seconds from which a host's own history counts. */
#define MOAT_USUAL_SECONDS_MIN 4

/* All that is known of a host when its short window closes. */
struct moat_host_view {
	const struct moat_host_window *window; /* the short window that just ended */
	const struct moat_host_window *second; /* sum of the last 8 */
	const struct moat_usual *usual;
	bool is_protected; /* in detect.protected, or that is empty */
	bool is_ours;      /* in detect.protected; both only where a flood is possible at all */
	bool learning;
	uint32_t open; /* bits of enum moat_finding_kind: its open findings */
	const struct moat_baseline_score *baseline; /* of `second`; NULL while learning */
};

/* What a detector says of one window. Equal (kind, subject) extend one finding. */
struct moat_suspicion {
	enum moat_finding_kind kind;
	struct moat_addr subject;
	bool subject_is_source;
	double score;     /* >= 1 */
	double pps, mbps; /* of the abnormal part */
	double share;     /* of the host's packets in that direction that are of this kind, 0-1 */
	double usual_pps; /* highest normal rate of this kind; -1 if there is no history */
	bool by_guard;
	uint32_t driver_count;
	struct moat_driver drivers[MOAT_DRIVERS_MAX];
	/* of behaviours (said from flow, content and second) alone */
	struct moat_addr peer;
	uint16_t port;
	uint8_t proto;
	uint8_t prefix_len;
	uint64_t first_ns; /* when it began; 0: now */
	uint64_t hold_ns;  /* quiet time that closes it; 0: detect.close_after */
	char sentence[MOAT_SENTENCE_LEN];
};

typedef void (*moat_suspect_fn)(void *engine, const struct moat_suspicion *suspicion);

struct moat_detector_ops {
	const char *name;  /* "volumetric" */
	const char *title; /* one line for `moat status` */
	uint32_t modes;    /* or of enum moat_detect_mode in which it can work */

	/* State from the config; 0 or -ENOMEM. Null: stateless, *ret_state stays NULL. */
	int (*init)(const struct moat_detect_config *config, void **ret_state);
	void (*deinit)(void *state);

	/* One host's short window. */
	void (*window)(void *state, const struct moat_detect_config *config,
		       const struct moat_host_view *host, moat_suspect_fn suspect, void *engine);

	/* A record of a flow, the beginning of a payload, the end of a second. Null: doesn't care. What
	 * is suspected here becomes a finding at once: the detector has waited for enough. */
	void (*flow)(void *state, const struct moat_detect_config *config,
		     const struct moat_flow_record *record, moat_suspect_fn suspect, void *engine);
	void (*content)(void *state, const struct moat_detect_config *config,
			const struct moat_content *content, moat_suspect_fn suspect, void *engine);
	void (*second)(void *state, const struct moat_detect_config *config, uint64_t now_ns,
		       moat_suspect_fn suspect, void *engine);
};

/* All there are, NULL-terminated. */
extern const struct moat_detector_ops *const moat_detectors[];
extern const struct moat_detector_ops moat_detector_volumetric;
extern const struct moat_detector_ops moat_detector_scan;
extern const struct moat_detector_ops moat_detector_anomaly;
extern const struct moat_detector_ops moat_detector_outbound;
extern const struct moat_detector_ops moat_detector_carpet;
extern const struct moat_detector_ops moat_detector_service;
extern const struct moat_detector_ops moat_detector_fanout;
extern const struct moat_detector_ops moat_detector_brute;
extern const struct moat_detector_ops moat_detector_miner;
extern const struct moat_detector_ops moat_detector_names;
extern const struct moat_detector_ops moat_detector_lateral;
extern const struct moat_detector_ops moat_detector_beacon;
extern const struct moat_detector_ops moat_detector_stealer;
extern const struct moat_detector_ops moat_detector_implant;

/* What is suspected of the client that sent a content: everything but kind-specific drivers and sentence. */
struct moat_suspicion moat_suspicion_of_content(const struct moat_content *content,
						enum moat_finding_kind kind, double score,
						uint64_t first_ns, uint64_t hold_ns);

/* Adds a driver while there is room. `expected` is the upper bound of normal, in the feature's unit. */
void moat_suspicion_drive(struct moat_suspicion *suspicion, const char *name, double expected,
			  double seen);

#endif
