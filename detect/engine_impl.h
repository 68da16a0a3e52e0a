/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The inside of an engine, for the files that it is made of: engine.c (windows and detectors), arbiter.c
 * (which of several suspicions is meant) and findings.c (what is open).
 */
#ifndef MOAT_DETECT_ENGINE_IMPL_H
#define MOAT_DETECT_ENGINE_IMPL_H

#include "detect/baseline.h"
#include "detect/engine.h"
#include "detect/evidence.h"
#include "detect/known.h"
#include "detect/track.h"

/* Suspicions of one window at most; beyond it more hosts are under attack than findings can be open. */
#define MOAT_SUSPICIONS_MAX 1024
#define MOAT_HOSTS_DEFAULT 131072
#define MOAT_DETECTORS_MAX 32

/* A suspicion and whose it is. */
struct moat_accusation {
	struct moat_suspicion suspicion;
	struct moat_addr peer; /* scan: the one host that it is about, else all zero */
	bool peer_known;       /* there were samples enough to tell */
	uint32_t host;
	double syn_pps;    /* of the side that is suspected */
	double syn_second; /* the same over the second */
	bool is_udp;       /* most of what that side has is UDP */
	bool dismissed;
};

struct moat_open_finding {
	struct moat_finding finding;
	bool is_open;
	bool is_new;                 /* a behaviour that nobody was told of yet */
	uint64_t hold_ns;            /* quiet time that closes it */
	double told_score, told_pps; /* of the last state given out */
	uint32_t host;
	double share, usual_pps; /* of the last suspicion */
	uint64_t emitted_ns;
	uint64_t proposed_ns;      /* when samples were last looked at */
	uint32_t proposed_samples; /* how many there were */
};

struct moat_detect {
	struct moat_detect_config config;
	void *states[MOAT_DETECTORS_MAX]; /* of moat_detectors[] */
	moat_finding_fn emit;
	void *userdata;

	struct moat_hosts *hosts;
	struct moat_track *tracks;
	struct moat_baseline *baseline;
	struct moat_evidence *evidence;
	struct moat_known_sources *known;

	uint32_t tick;
	uint64_t begin_ns, now_ns, fit_ns;
	uint64_t window_start_ns;
	uint64_t event_ns;  /* of the record or content at hand */
	uint64_t second_ns; /* when the detectors last closed a second */
	bool learning;
	double busy_pps;           /* below this rate no flood detector can have a suspicion */
	uint64_t conversations[2]; /* seconds of them while learning: without answers, with */
	uint64_t alarm_ns;         /* end of the last window with a suspicion of anyone */

	uint32_t current; /* the host whose window is with the detectors */
	const struct moat_host_window *current_window, *current_second;
	uint32_t accusation_count;
	struct moat_accusation accusations[MOAT_SUSPICIONS_MAX];

	uint64_t next_id;
	struct moat_open_finding findings[MOAT_FINDINGS_OPEN_MAX];
	struct moat_detect_counters counters;
};

/* arbiter.c: dismisses suspicions that another one of the same window explains. */
void moat_arbiter_decide(struct moat_detect *detect);

/* findings.c: a behaviour goes straight into its finding. */
void moat_findings_behaviour(struct moat_detect *detect, const struct moat_suspicion *suspicion);

/* findings.c: opens or updates what the accusations left ask for, then refreshes proposals, tells of
 * changes and closes what has been quiet. */
void moat_findings_tick(struct moat_detect *detect);

#endif
