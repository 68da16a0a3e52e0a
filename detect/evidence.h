/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sampled headers, kept for two questions: what do the packets of an attack have in common, and what does
 * the victim's normal traffic look like? Bounded: the destinations sampled most, a fixed number of
 * headers each, by class, so that rare SYNs aren't crowded out by data.
 *
 * A header becomes normal only after it has been in calm for a second; those of an attack, known or about
 * to be, never do.
 */
#ifndef MOAT_DETECT_EVIDENCE_H
#define MOAT_DETECT_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/gate.h"

enum moat_evidence_class {
	MOAT_CLASS_SYN = 0, /* TCP SYN without ACK */
	MOAT_CLASS_UDP,
	MOAT_CLASS_ICMP, /* and ICMPv6 */
	MOAT_CLASS_REST,
	MOAT_CLASSES,
};

#define MOAT_RECENT_RECORDS 128
#define MOAT_NORMAL_RECORDS 256

/* What proposals need of a header. */
struct moat_record {
	uint64_t time_ns;
	struct moat_addr src;
	uint32_t weight; /* packets it stands for */
	uint16_t sport, dport;
	uint16_t len; /* of the IP datagram */
	uint8_t proto;
	uint8_t tcp_flags;
	uint8_t has_ports;
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct moat_record) == 40, "there are 1,536 of them a destination");

/* A destination's normal headers, a reservoir a class. */
struct moat_normals {
	struct moat_record records[MOAT_CLASSES][MOAT_NORMAL_RECORDS];
	uint32_t counts[MOAT_CLASSES]; /* valid records */
	double weights[MOAT_CLASSES];  /* packets that the class has stood for */
};

struct moat_evidence;

int moat_evidence_new(uint64_t seed, struct moat_evidence **ret_evidence);
void moat_evidence_free(struct moat_evidence *evidence);

/* A sampled packet; what is not IP is ignored. */
void moat_evidence_add(struct moat_evidence *evidence, const struct moat_sample *sample);

/* Nothing sent to `dst` from `since_ns` to `until_ns` is normal. Widens what was said before; a destination
 * without a place gets that of the least sampled calm one. */
void moat_evidence_suspect(struct moat_evidence *evidence, const struct moat_addr *dst,
			   uint64_t since_ns, uint64_t until_ns);

/* The newest headers of a class sent to `dst` since then; how many are written. */
uint32_t moat_evidence_recent(const struct moat_evidence *evidence, const struct moat_addr *dst,
			      enum moat_evidence_class class, uint64_t since_ns,
			      struct moat_record ret_records[MOAT_RECENT_RECORDS]);

/* NULL if nothing is known of it. Valid until the next call of _add. */
const struct moat_normals *moat_evidence_normal(const struct moat_evidence *evidence,
						const struct moat_addr *dst);

/* Among the last samples of all hosts: how many are from `src` since then, and the destination that most
 * of them go to with its number of samples. */
uint32_t moat_evidence_peer(const struct moat_evidence *evidence, const struct moat_addr *src,
			    uint64_t since_ns, struct moat_addr *ret_peer, uint32_t *ret_peer_count);

/* Copies whole samples, newest first, to `subject` (or from it, if it is a source) since then, of a class
 * (MOAT_CLASSES: any). Returns how many. */
uint32_t moat_evidence_pick(const struct moat_evidence *evidence, const struct moat_addr *subject,
			    bool is_source, enum moat_evidence_class class, uint64_t since_ns,
			    struct moat_sample *ret_samples, uint32_t max);

#endif
