/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The findings that are open: from the first suspicion that lasts to the quiet that closes them.
 */
#include <math.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/describe.h"
#include "detect/engine_impl.h"
#include "detect/synth.h"

/* So far beyond the limit one window is enough. SYNs come in bursts when many clients connect at once and
 * their ACKs are still on the way: they also need so many times the guard. */
#define EXTREME_SCORE 8.0
#define EXTREME_SYN_GUARDS 5.0
/* An anomaly has no shape to go by: it has to last. */
#define ANOMALY_RUN 16
/* What goes on unchanged is told of again so often; a change by this factor after a second. */
#define REPEAT_NS MOAT_FINDING_REPEAT_NS
#define CHANGE_NS MOAT_NS_PER_S
#define CHANGE_FACTOR 1.5
/* Proposals look at the headers of so long, and are kept while they cover enough of them. */
#define PROPOSE_NS (2 * MOAT_NS_PER_S)
#define COVERAGE_KEEP 0.98
/* How much more than the finding's own windows is kept out of what is normal. */
#define SUSPECT_AFTER_NS (3 * MOAT_NS_PER_S)
/* The flood's first packets came up to a window before the first abnormal one. */
#define LEGIT_SHARE_MAX 0.5

/* By kind; there are proposals from headers for these and for scans alone. */
static const enum moat_usual_rate usual_of[MOAT_FINDING_WINDOW_KINDS] = {
	[MOAT_FINDING_SYN_FLOOD] = MOAT_USUAL_SYN,
	[MOAT_FINDING_UDP_FLOOD] = MOAT_USUAL_UDP,
	[MOAT_FINDING_ICMP_FLOOD] = MOAT_USUAL_ICMP,
	[MOAT_FINDING_AMPLIFICATION] = MOAT_USUAL_REFLECT,
	[MOAT_FINDING_ACK_FLOOD] = MOAT_USUAL_ACK,
};

static const enum moat_evidence_class class_of[MOAT_FINDING_WINDOW_KINDS] = {
	[MOAT_FINDING_SYN_FLOOD] = MOAT_CLASS_SYN,   [MOAT_FINDING_UDP_FLOOD] = MOAT_CLASS_UDP,
	[MOAT_FINDING_ICMP_FLOOD] = MOAT_CLASS_ICMP, [MOAT_FINDING_AMPLIFICATION] = MOAT_CLASS_UDP,
	[MOAT_FINDING_SCAN] = MOAT_CLASSES,          [MOAT_FINDING_ANOMALY] = MOAT_CLASSES,
	[MOAT_FINDING_ACK_FLOOD] = MOAT_CLASS_REST,  [MOAT_FINDING_OUTBOUND] = MOAT_CLASSES,
};

static bool addr_is_set(const struct moat_addr *addr)
{
	return (addr->quads[0] | addr->quads[1]) != 0;
}

static void emit(struct moat_detect *detect, struct moat_open_finding *open,
		 enum moat_finding_state state)
{
	open->finding.state = state;
	open->emitted_ns = detect->now_ns;
	open->told_score = open->finding.score;
	open->told_pps = open->finding.pps;
	if (!open->finding.is_behaviour)
		moat_finding_describe(&open->finding, open->share, open->usual_pps);
	detect->emit(detect->userdata, &open->finding);
}

/* ---- opening and updating ---------------------------------------------------------------------- */

/* What costs an attacker one forged source leaves a quarter of the places to floods. */
static struct moat_open_finding *free_place(struct moat_detect *detect, enum moat_finding_kind kind)
{
	if (!moat_finding_is_flood(kind) &&
	    detect->counters.findings_open >= MOAT_FINDINGS_OPEN_MAX / 4 * 3)
		return NULL;
	for (int i = 0; i < MOAT_FINDINGS_OPEN_MAX; i++)
		if (!detect->findings[i].is_open)
			return &detect->findings[i];
	return NULL;
}

static struct moat_open_finding *finding_open(struct moat_detect *detect,
					      const struct moat_accusation *accusation)
{
	const struct moat_suspicion *suspicion = &accusation->suspicion;
	struct moat_track *track = &detect->tracks[accusation->host];
	struct moat_open_finding *open = free_place(detect, suspicion->kind);

	if (!open) {
		detect->counters.findings_refused++;
		return NULL;
	}
	memset(open, 0, sizeof(*open));
	open->is_open = true;
	open->host = accusation->host;
	open->finding.id = ++detect->next_id;
	open->finding.kind = suspicion->kind;
	open->finding.subject = suspicion->subject;
	open->finding.subject_is_source = suspicion->subject_is_source;
	open->finding.first_ns = track->run_first_ns[suspicion->kind];
	open->finding.detected_ns = detect->now_ns;
	track->finding[suspicion->kind] = (uint16_t)(open - detect->findings + 1);
	track->open |= 1u << suspicion->kind;
	moat_hosts_pin(detect->hosts, accusation->host, true);
	detect->counters.findings_opened++;
	detect->counters.findings_open++;
	return open;
}

static void finding_update(struct moat_detect *detect, struct moat_open_finding *open,
			   const struct moat_accusation *accusation)
{
	const struct moat_suspicion *suspicion = &accusation->suspicion;
	struct moat_finding *finding = &open->finding;

	finding->last_ns = detect->now_ns;
	finding->score = suspicion->score;
	finding->pps = suspicion->pps;
	finding->mbps = suspicion->mbps;
	finding->peak_pps = fmax(finding->peak_pps, suspicion->pps);
	finding->by_guard = suspicion->by_guard;
	finding->driver_count = suspicion->driver_count;
	memcpy(finding->drivers, suspicion->drivers, sizeof(finding->drivers));
	if (accusation->peer_known)
		finding->peer = accusation->peer;
	open->share = suspicion->share;
	open->usual_pps = suspicion->usual_pps;
}

static bool is_extreme(const struct moat_detect *detect, const struct moat_suspicion *suspicion)
{
	if (suspicion->score < EXTREME_SCORE || suspicion->kind == MOAT_FINDING_ANOMALY)
		return false;
	return suspicion->kind != MOAT_FINDING_SYN_FLOOD ||
	       suspicion->pps >=
		       EXTREME_SYN_GUARDS * detect->config.guard_pps[MOAT_FINDING_SYN_FLOOD];
}

/* The open finding of a kind and subject, whichever way it was found. */
static struct moat_open_finding *finding_of(struct moat_detect *detect, enum moat_finding_kind kind,
					    const struct moat_addr *subject)
{
	for (int i = 0; i < MOAT_FINDINGS_OPEN_MAX && detect->counters.findings_open > 0; i++) {
		struct moat_open_finding *open = &detect->findings[i];

		if (open->is_open && open->finding.kind == kind &&
		    moat_addr_equal(&open->finding.subject, subject))
			return open;
	}
	return NULL;
}

static void take(struct moat_detect *detect, const struct moat_accusation *accusation)
{
	const struct moat_suspicion *suspicion = &accusation->suspicion;
	struct moat_track *track = &detect->tracks[accusation->host];
	uint32_t wanted = suspicion->kind == MOAT_FINDING_ANOMALY ? ANOMALY_RUN
								  : detect->config.open_windows;
	uint32_t run = moat_track_run(track, suspicion->kind, detect->tick, detect->window_start_ns);
	struct moat_open_finding *open = NULL, *other;

	/* what comes now may be an attack: it must not settle among the normal headers */
	if (!suspicion->subject_is_source)
		moat_evidence_suspect(detect->evidence, &suspicion->subject,
				      track->run_first_ns[suspicion->kind],
				      detect->now_ns + SUSPECT_AFTER_NS);
	if (track->finding[suspicion->kind])
		open = &detect->findings[track->finding[suspicion->kind] - 1];
	else if ((other = finding_of(detect, suspicion->kind, &suspicion->subject)))
		other->finding.last_ns = detect->now_ns; /* known by its flows */
	else if (run >= wanted || is_extreme(detect, suspicion))
		open = finding_open(detect, accusation);
	if (open)
		finding_update(detect, open, accusation);
}

/* ---- behaviours -------------------------------------------------------------------------------- */

/* What stops it without touching anybody else; only where the traffic speaks for itself. */
static void propose_behaviour(struct moat_finding *finding)
{
	struct moat_proposal *proposal = &finding->proposals[0];

	if (finding->kind != MOAT_FINDING_BRUTE_FORCE && finding->kind != MOAT_FINDING_SCAN)
		return;
	*proposal = (struct moat_proposal){
		.match = { .src = moat_prefix_host(&finding->subject) },
		.action = MOAT_ACTION_DROP,
		.coverage = 1,
		.collateral = -1,
	};
	if (addr_is_set(&finding->peer))
		proposal->match.dst = moat_prefix_host(&finding->peer);
	finding->proposal_count = 1;
}

static struct moat_open_finding *behaviour_open(struct moat_detect *detect,
						const struct moat_suspicion *suspicion)
{
	struct moat_open_finding *open = free_place(detect, suspicion->kind);

	if (!open) {
		detect->counters.findings_refused++;
		return NULL;
	}
	memset(open, 0, sizeof(*open));
	open->is_open = true;
	open->is_new = true;
	open->finding.id = ++detect->next_id;
	open->finding.kind = suspicion->kind;
	open->finding.is_behaviour = true;
	open->finding.subject = suspicion->subject;
	open->finding.subject_is_source = suspicion->subject_is_source;
	open->finding.first_ns = suspicion->first_ns ? suspicion->first_ns : detect->event_ns;
	detect->counters.findings_opened++;
	detect->counters.findings_open++;
	return open;
}

void moat_findings_behaviour(struct moat_detect *detect, const struct moat_suspicion *suspicion)
{
	struct moat_open_finding *open = finding_of(detect, suspicion->kind, &suspicion->subject);
	struct moat_finding *finding;

	if (!open)
		open = behaviour_open(detect, suspicion);
	if (!open)
		return;
	finding = &open->finding;
	finding->last_ns = detect->event_ns;
	if (!finding->is_behaviour)
		return; /* the windows know more of it */
	open->hold_ns = suspicion->hold_ns ? suspicion->hold_ns : detect->config.close_ns;
	finding->score = fmax(suspicion->score, 1);
	finding->pps = suspicion->pps;
	finding->mbps = suspicion->mbps;
	finding->peak_pps = fmax(finding->peak_pps, suspicion->pps);
	/* several peers are none in particular */
	if (open->is_new || moat_addr_equal(&finding->peer, &suspicion->peer))
		finding->peer = suspicion->peer;
	else
		memset(&finding->peer, 0, sizeof(finding->peer));
	finding->port = suspicion->port;
	finding->proto = suspicion->proto;
	finding->prefix_len = suspicion->prefix_len;
	finding->driver_count = suspicion->driver_count;
	memcpy(finding->drivers, suspicion->drivers, sizeof(finding->drivers));
	memcpy(finding->sentence, suspicion->sentence, sizeof(finding->sentence));
	propose_behaviour(finding);
	if (finding->evidence_count < MOAT_EVIDENCE_MAX)
		finding->evidence_count = moat_evidence_pick(detect->evidence, &finding->subject,
							     finding->subject_is_source,
							     MOAT_CLASSES, finding->first_ns,
							     finding->evidence, MOAT_EVIDENCE_MAX);
}

/* ---- proposals --------------------------------------------------------------------------------- */

static bool same_rules(const struct moat_finding *finding, const struct moat_proposal *proposals,
		       uint32_t count)
{
	if (finding->proposal_count != count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (memcmp(&finding->proposals[i].match, &proposals[i].match,
			   sizeof(proposals[i].match)) != 0 ||
		    finding->proposals[i].action != proposals[i].action)
			return false;
	return true;
}

/* What is legitimate among the headers of an attack, by rate. */
static double legit_share(const struct moat_detect *detect, const struct moat_open_finding *open)
{
	const struct moat_usual *usual = &detect->tracks[open->host].usual;

	if (usual->seconds < MOAT_USUAL_SECONDS_MIN || open->finding.pps <= 0)
		return 0;
	return fmin((double)usual->mean[usual_of[open->finding.kind]] / open->finding.pps,
		    LEGIT_SHARE_MAX);
}

/* New headers, often enough: at 8, 16, 32, ... and then whenever what there is doesn't cover them. */
static bool wants_proposals(const struct moat_open_finding *open,
			    const struct moat_synth_input *input)
{
	if (input->count < MOAT_SYNTH_RECORDS_MIN)
		return false;
	if (open->finding.proposal_count == 0 || input->count >= 2 * open->proposed_samples)
		return true;
	return moat_synth_coverage(input, open->finding.proposals, open->finding.proposal_count) <
	       COVERAGE_KEEP;
}

static bool adopt(struct moat_open_finding *open, const struct moat_synth_input *input)
{
	struct moat_proposal proposals[MOAT_PROPOSALS_MAX];
	uint32_t count = moat_synth_propose(input, proposals);
	struct moat_finding *finding = &open->finding;

	open->proposed_samples = input->count;
	if (count == 0 || same_rules(finding, proposals, count))
		return false;
	finding->proposal_count = count;
	memcpy(finding->proposals, proposals, count * sizeof(proposals[0]));
	return true;
}

static bool refresh_flood(struct moat_detect *detect, struct moat_open_finding *open)
{
	struct moat_record records[MOAT_RECENT_RECORDS];
	struct moat_finding *finding = &open->finding;
	uint64_t since = finding->first_ns;
	struct moat_synth_input input = {
		.kind = finding->kind,
		.subject = finding->subject,
		.records = records,
		.normals = moat_evidence_normal(detect->evidence, &finding->subject),
		.legit_share = legit_share(detect, open),
		.usual_pps = open->usual_pps,
		.floor_pps = detect->config.floor_pps[finding->kind == MOAT_FINDING_ACK_FLOOD
							      ? MOAT_FLOOD_ACK
							      : finding->kind],
		.collateral_max = detect->config.collateral_max,
	};

	if (finding->last_ns != detect->now_ns)
		return false; /* quiet: what comes now says nothing of the attack */
	if (since + PROPOSE_NS < detect->now_ns)
		since = detect->now_ns - PROPOSE_NS;
	input.count = moat_evidence_recent(detect->evidence, &finding->subject,
					   class_of[finding->kind], since, records);
	return wants_proposals(open, &input) && adopt(open, &input);
}

static bool refresh_scan(struct moat_detect *detect, struct moat_open_finding *open)
{
	struct moat_finding *finding = &open->finding;
	struct moat_synth_input input = {
		.kind = finding->kind,
		.subject = finding->subject,
		.peer = finding->peer,
		.is_known = moat_known_sources_has(detect->known, &finding->subject),
		.usual_pps = -1,
		.collateral_max = detect->config.collateral_max,
	};

	if (addr_is_set(&finding->peer))
		input.normals = moat_evidence_normal(detect->evidence, &finding->peer);
	return adopt(open, &input);
}

/* Proposals and evidence; true if the proposals changed. */
static bool refresh(struct moat_detect *detect, struct moat_open_finding *open)
{
	struct moat_finding *finding = &open->finding;

	if (finding->evidence_count < MOAT_EVIDENCE_MAX && finding->last_ns == detect->now_ns)
		finding->evidence_count = moat_evidence_pick(detect->evidence, &finding->subject,
							     finding->subject_is_source,
							     class_of[finding->kind],
							     finding->first_ns, finding->evidence,
							     MOAT_EVIDENCE_MAX);
	if (finding->kind == MOAT_FINDING_ANOMALY || finding->kind == MOAT_FINDING_OUTBOUND)
		return false;
	return finding->kind == MOAT_FINDING_SCAN ? refresh_scan(detect, open)
						  : refresh_flood(detect, open);
}

/* ---- the tick ---------------------------------------------------------------------------------- */

static void finding_close(struct moat_detect *detect, struct moat_open_finding *open)
{
	if (!open->finding.is_behaviour) {
		struct moat_track *track = &detect->tracks[open->host];

		track->finding[open->finding.kind] = 0;
		track->open &= ~(1u << open->finding.kind);
		track->suspect_ns = detect->now_ns;
		if (!track->open)
			moat_hosts_pin(detect->hosts, open->host, false);
	}
	detect->counters.findings_open--;
	emit(detect, open, MOAT_FINDING_CLOSED);
	open->is_open = false;
}

static bool is_other(double before, double now)
{
	return now > before * CHANGE_FACTOR || before > now * CHANGE_FACTOR;
}

/* Whether a reader would want to know: the same thing every second hides what is new. */
static bool is_worth_telling(const struct moat_detect *detect, const struct moat_open_finding *open)
{
	uint64_t since_ns = detect->now_ns - open->emitted_ns;

	if (since_ns >= REPEAT_NS)
		return true;
	return since_ns >= CHANGE_NS && (is_other(open->told_score, open->finding.score) ||
					 is_other(open->told_pps, open->finding.pps));
}

static void finding_tick(struct moat_detect *detect, struct moat_open_finding *open)
{
	struct moat_finding *finding = &open->finding;
	uint64_t hold_ns = finding->is_behaviour ? open->hold_ns : detect->config.close_ns;
	bool changed;

	if (!finding->subject_is_source && !finding->is_behaviour)
		moat_evidence_suspect(detect->evidence, &finding->subject, finding->first_ns,
				      detect->now_ns + SUSPECT_AFTER_NS);
	changed = !finding->is_behaviour && refresh(detect, open);
	if (open->is_new) {
		open->is_new = false;
		finding->detected_ns = detect->now_ns;
	}
	if (finding->detected_ns == detect->now_ns)
		emit(detect, open, MOAT_FINDING_OPEN);
	else if (detect->now_ns > finding->last_ns && detect->now_ns - finding->last_ns > hold_ns)
		finding_close(detect, open);
	else if (changed || is_worth_telling(detect, open))
		emit(detect, open, MOAT_FINDING_UPDATE);
}

void moat_findings_tick(struct moat_detect *detect)
{
	for (uint32_t i = 0; i < detect->accusation_count; i++)
		if (!detect->accusations[i].dismissed)
			take(detect, &detect->accusations[i]);
	if (detect->counters.findings_open == 0)
		return;
	for (int i = 0; i < MOAT_FINDINGS_OPEN_MAX; i++)
		if (detect->findings[i].is_open)
			finding_tick(detect, &detect->findings[i]);
}
