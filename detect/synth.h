/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From headers of an attack to the narrowest rule that matches them: each field that the attack's packets
 * share becomes a condition, and the victim's normal headers say what the rule would cost. A rule that
 * would hit normal traffic is proposed as a limit, never as a drop.
 */
#ifndef MOAT_DETECT_SYNTH_H
#define MOAT_DETECT_SYNTH_H

#include "detect/evidence.h"
#include "detect/finding.h"

struct moat_synth_input {
	enum moat_finding_kind kind; /* a flood or a scan */
	struct moat_addr subject;
	struct moat_addr peer; /* scan of one host; else all zero */
	bool is_known;         /* scan: its source has held conversations */
	/* headers of the kind's class since it began, of the attack and of what is legitimate among them */
	const struct moat_record *records;
	uint32_t count;
	const struct moat_normals *normals; /* of the victim; NULL: none known */
	double legit_share;                 /* of the records, expected to be legitimate, 0-1 */
	double usual_pps;                   /* highest normal rate of the kind, -1: no history */
	double floor_pps;                   /* what a limit allows when nothing better is known */
	double collateral_max;
};

/* Headers from which a first proposal is made. */
#define MOAT_SYNTH_RECORDS_MIN 8

/* Writes proposals, best first; returns how many, 0 if the records have too little in common. */
uint32_t moat_synth_propose(const struct moat_synth_input *input,
			    struct moat_proposal ret_proposals[MOAT_PROPOSALS_MAX]);

/* Share of the attack's records that the proposals match together, 0-1; the legitimate share of the
 * records is not asked for. */
double moat_synth_coverage(const struct moat_synth_input *input,
			   const struct moat_proposal *proposals, uint32_t count);

#endif
