/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scans by what became of connections: one source whose attempts at many ports of a host, at one port of
 * many hosts, or at many hosts altogether fail. Slow ones and those of a handful of packets too, which no
 * rate shows.
 *
 * How many failures make a scan follows Jung et al. (Fast Portscan Detection Using Sequential Hypothesis
 * Testing, S&P 2004): with four of five attempts of an ordinary host succeeding and one of five of a
 * scanner's, eight failures more than a scanner's few successes leave a chance of some 1:20,000. Answers to
 * nothing (backscatter of forged sources) are no attempts, and whose answers aren't seen isn't judged.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"
#include "detect/wire.h"

#define PAIRS 32768
#define SERVICES 32768
#define SOURCES 32768
/* Attempts further apart belong to different stories. */
#define FORGET_NS (6 * 3600 * MOAT_NS_PER_S)
/* Quiet for so long, or for so many times its pace, a scan is over. */
#define HOLD_NS (600 * MOAT_NS_PER_S)
#define HOLD_GAPS 6
/* Datagrams are lost or ignored for many reasons. */
#define UDP_FACTOR 4.0
/* Failures a success is worth. */
#define SUCCESS_WORTH 4.0
#define TCP 6
#define UDP 17

struct tries {
	struct moat_distinct failed, good;
	uint64_t first_ns, last_ns;
	uint32_t failures, oneway;
};

struct fanout {
	struct moat_ledger *pairs;    /* source and host: its ports */
	struct moat_ledger *services; /* source and port: its hosts */
	struct moat_ledger *sources;  /* source: hosts with ports */
};

static void fanout_deinit(void *state)
{
	struct fanout *fanout = state;

	if (!fanout)
		return;
	moat_ledger_free(fanout->pairs);
	moat_ledger_free(fanout->services);
	moat_ledger_free(fanout->sources);
	free(fanout);
}

static int fanout_init(const struct moat_detect_config *config, void **ret_state)
{
	struct fanout *fanout = calloc(1, sizeof(*fanout));
	int r = fanout ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(PAIRS, sizeof(struct tries), config->seed, &fanout->pairs);
	if (r == 0)
		r = moat_ledger_new(SERVICES, sizeof(struct tries), config->seed, &fanout->services);
	if (r == 0)
		r = moat_ledger_new(SOURCES, sizeof(struct tries), config->seed, &fanout->sources);
	if (r < 0) {
		fanout_deinit(fanout);
		return r;
	}
	*ret_state = fanout;
	return 0;
}

/* The entry, afresh if its story is over. */
static struct tries *tries_of(struct moat_ledger *ledger, const struct moat_ledger_key *key,
			      uint64_t now_ns)
{
	bool is_new;
	struct tries *tries = moat_ledger_take(ledger, key, now_ns, &is_new);

	if (!is_new && now_ns > tries->last_ns && now_ns - tries->last_ns > FORGET_NS)
		memset(tries, 0, sizeof(*tries));
	if (tries->first_ns == 0)
		tries->first_ns = now_ns;
	tries->last_ns = now_ns;
	return tries;
}

static void note(struct tries *tries, bool failed, uint64_t target)
{
	if (failed) {
		tries->failures++;
		moat_distinct_add(&tries->failed, target);
	} else {
		moat_distinct_add(&tries->good, target);
	}
}

static bool is_attempt(const struct moat_flow_record *record)
{
	if (record->event != MOAT_RECORD_END || !record->is_whole ||
	    moat_addr_is_many(&record->server))
		return false;
	if (record->proto == TCP)
		return record->outcome != MOAT_OUTCOME_ACCEPTED; /* says nothing either way */
	if (record->proto == UDP)
		/* from a service to a high port: the answer to a question not seen */
		return !(record->client_port < 1024 && record->server_port >= 1024);
	return false; /* ICMP: its errors are answers, and records don't tell them from pings */
}

/* So many targets more than the successes are worth, over the limit; below 1: no scan. */
static double weigh(const struct tries *tries, double limit)
{
	double failed = moat_distinct_count(&tries->failed);
	double good = moat_distinct_count(&tries->good);

	return limit > 0 ? (failed - SUCCESS_WORTH * good) / limit : 0;
}

static void report(const struct moat_flow_record *record, const struct tries *tries, double score,
		   const char *shape, bool one_host, moat_suspect_fn suspect, void *engine)
{
	char source[MOAT_ADDR_TEXT_LEN], peer[MOAT_ADDR_TEXT_LEN];
	double failed = moat_distinct_count(&tries->failed);
	uint64_t last_ns = record->first_ns > tries->first_ns ? record->first_ns : tries->first_ns;
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_SCAN,
		.subject = record->client,
		.subject_is_source = true,
		.score = score,
		.share = 1,
		.usual_pps = -1,
		.port = one_host ? 0 : record->server_port,
		.proto = record->proto,
		.first_ns = tries->first_ns,
		.hold_ns = HOLD_NS,
	};
	uint64_t pace_ns = (last_ns - tries->first_ns) / (tries->failures ? tries->failures : 1);

	if (pace_ns * HOLD_GAPS > HOLD_NS)
		suspicion.hold_ns = pace_ns * HOLD_GAPS < FORGET_NS ? pace_ns * HOLD_GAPS
								    : FORGET_NS;
	if (one_host)
		suspicion.peer = record->server;
	moat_suspicion_drive(&suspicion, "failed_targets", failed / score, failed);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Scan by %s: %.0f %s%s%s failed in %.0f s, %.0f succeeded",
		 moat_addr_format(&record->client, source), failed, shape, one_host ? " of " : "",
		 one_host ? moat_addr_format(&record->server, peer) : "",
		 (double)(last_ns - tries->first_ns) / (double)MOAT_NS_PER_S,
		 fabs(moat_distinct_count(&tries->good)));
	suspect(engine, &suspicion);
}

static void fanout_flow(void *state, const struct moat_detect_config *config,
			const struct moat_flow_record *record, moat_suspect_fn suspect, void *engine)
{
	struct fanout *fanout = state;
	struct moat_ledger_key source = { .a = record->client };
	struct moat_ledger_key pair = { .a = record->client, .b = record->server };
	struct moat_ledger_key service = {
		.a = record->client, .c = (uint64_t)record->proto << 16 | record->server_port
	};
	bool failed = record->outcome == MOAT_OUTCOME_UNANSWERED ||
		      record->outcome == MOAT_OUTCOME_REJECTED;
	uint64_t host = moat_addr_hash(&record->server, config->seed);
	double factor = record->proto == TCP ? 1 : UDP_FACTOR, score;
	struct tries *by_source, *by_pair, *by_service;

	if (!is_attempt(record) || config->scan_failures <= 0)
		return;
	by_source = tries_of(fanout->sources, &source, record->first_ns);
	if (record->outcome == MOAT_OUTCOME_UNKNOWN)
		by_source->oneway++;
	if (record->outcome == MOAT_OUTCOME_UNKNOWN)
		return;
	by_pair = tries_of(fanout->pairs, &pair, record->first_ns);
	by_service = tries_of(fanout->services, &service, record->first_ns);
	note(by_source, failed, moat_mix(host));
	note(by_pair, failed, moat_mix(service.c));
	note(by_service, failed, moat_mix(host));
	/* most of what it does is seen from one side only */
	if (!failed || 2 * by_source->oneway > by_source->failures)
		return;
	score = weigh(by_pair, config->scan_failures * factor);
	if (score >= 1) {
		report(record, by_pair, score, "ports", true, suspect, engine);
		return;
	}
	score = weigh(by_service, config->scan_failures * factor);
	if (score >= 1) {
		report(record, by_service, score, "hosts on one port", false, suspect, engine);
		return;
	}
	/* whoever tries anything anywhere has no success at all: others have bad days, too */
	score = weigh(by_source, config->scan_failures * factor);
	if (score >= 1 && moat_distinct_count(&by_source->good) < 1)
		report(record, by_source, score, "hosts", false, suspect, engine);
}

const struct moat_detector_ops moat_detector_fanout = {
	.name = "fanout",
	.title = "slow and small scans: attempts at many ports or hosts that fail",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.init = fanout_init,
	.deinit = fanout_deinit,
	.flow = fanout_flow,
};
