/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which of several suspicions of one window is meant. A fast scan of one host and a flood over its ports
 * from one source are the same packets seen from two ends: below the guard's rate it is a scan, above it
 * a flood. They are paired by samples where there are any, and by their rates where there aren't.
 */
#include <math.h>

#include "dataplane/base/clock.h"
#include "detect/engine_impl.h"

#define PEER_SAMPLES_MIN 4
#define PEER_SHARE 0.9
#define RATE_TOLERANCE 0.2
/* A source with at least this part of an open flood's rate is part of it. */
#define FLOOD_PART 0.3
#define LOOK_BACK_NS MOAT_NS_PER_S

static bool addr_is_set(const struct moat_addr *addr)
{
	return (addr->quads[0] | addr->quads[1]) != 0;
}

/* The one host that a scan is about, by the sampled headers of its source. */
static void find_peer(struct moat_detect *detect, struct moat_accusation *scan)
{
	uint64_t since = detect->now_ns > LOOK_BACK_NS ? detect->now_ns - LOOK_BACK_NS : 0;
	struct moat_addr peer;
	uint32_t count, total;

	total = moat_evidence_peer(detect->evidence, &scan->suspicion.subject, since, &peer, &count);
	scan->peer_known = total >= PEER_SAMPLES_MIN;
	if (scan->peer_known && count >= PEER_SHARE * total)
		scan->peer = peer;
}

static bool same_packets(const struct moat_accusation *scan, const struct moat_accusation *flood)
{
	if (addr_is_set(&scan->peer))
		return moat_addr_equal(&scan->peer, &flood->suspicion.subject);
	return fabs(scan->syn_pps - flood->syn_pps) <= RATE_TOLERANCE * flood->syn_pps;
}

static void decide_pair(struct moat_detect *detect, struct moat_accusation *scan,
			struct moat_accusation *flood)
{
	double guard = detect->config.guard_pps[MOAT_FINDING_SYN_FLOOD];
	const struct moat_track *victim = &detect->tracks[flood->host];
	const struct moat_track *scanner = &detect->tracks[scan->host];
	bool is_flood = guard > 0 && scan->syn_pps >= guard;

	if (!same_packets(scan, flood))
		return;
	/* what was decided once stays, whatever the rate does meanwhile */
	if (victim->open & (1u << MOAT_FINDING_SYN_FLOOD))
		is_flood = true;
	else if (scanner->open & (1u << MOAT_FINDING_SCAN))
		is_flood = false;
	/* a scan that is a small part of what floods the host stays a scan beside the flood */
	if (scan->syn_pps < flood->syn_pps * (1 - RATE_TOLERANCE))
		return;
	if (is_flood)
		scan->dismissed = true;
	else
		flood->dismissed = true;
}

/* A flood whose source is known may end a moment before the second that shows its fan-out. */
static void decide_open_flood(struct moat_detect *detect, struct moat_accusation *scan)
{
	int64_t peer = moat_hosts_find(detect->hosts, &scan->peer);
	const struct moat_track *victim;
	uint16_t place;

	if (peer < 0 || detect->tracks[scan->host].open & (1u << MOAT_FINDING_SCAN))
		return;
	victim = &detect->tracks[peer];
	place = victim->finding[MOAT_FINDING_SYN_FLOOD];
	if (place && scan->syn_second >= FLOOD_PART * detect->findings[place - 1].finding.pps)
		scan->dismissed = true;
}

/* Sources of a UDP flood that spreads over ports aren't scanners. */
static void decide_udp(struct moat_accusation *scan, const struct moat_accusation *flood)
{
	if (!scan->peer_known || moat_addr_equal(&scan->peer, &flood->suspicion.subject))
		scan->dismissed = true;
}

static void decide(struct moat_detect *detect, struct moat_accusation *scan,
		   struct moat_accusation *other)
{
	switch (other->suspicion.kind) {
	case MOAT_FINDING_SYN_FLOOD:
		if (!scan->is_udp)
			decide_pair(detect, scan, other);
		break;
	case MOAT_FINDING_UDP_FLOOD:
	case MOAT_FINDING_AMPLIFICATION:
		if (scan->is_udp)
			decide_udp(scan, other);
		break;
	default:
		break;
	}
}

void moat_arbiter_decide(struct moat_detect *detect)
{
	for (uint32_t i = 0; i < detect->accusation_count; i++) {
		struct moat_accusation *scan = &detect->accusations[i];

		if (scan->suspicion.kind != MOAT_FINDING_SCAN)
			continue;
		find_peer(detect, scan);
		if (addr_is_set(&scan->peer)) {
			moat_evidence_suspect(detect->evidence, &scan->peer, detect->window_start_ns,
					      detect->now_ns + LOOK_BACK_NS);
			decide_open_flood(detect, scan);
		}
		for (uint32_t j = 0; j < detect->accusation_count; j++)
			decide(detect, scan, &detect->accusations[j]);
	}
}
