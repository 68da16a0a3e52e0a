/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/detect_score.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flow_file.h"
#include "ctl/replay.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "detect/ledger.h"

#define WINDOW_NS (10 * MOAT_NS_PER_S)
#define DAY_NS (86400 * MOAT_NS_PER_S)
#define PAUSE_NS (600 * MOAT_NS_PER_S)
#define FINDINGS_MAX 16384
/* As `moat replay` has it; in gateway mode the gate's own rate. */
#define LEARN_NS (20 * MOAT_NS_PER_S)
#define SAMPLE_MIRROR 16
#define SAMPLE_GATEWAY 64 /* the gate's default */
/* Hostile sources of a public host, by their flows alone. */
#define SCANNER_PORTS 50
#define GUESSER_LOGINS 20
#define HOSTILE_FLOWS 5
#define HOSTILE_FAILED 0.8

struct seen {
	struct moat_addr subject, peer;
	enum moat_finding_kind kind;
	uint64_t id, first_ns, detected_ns, closed_ns;
	char sentence[MOAT_SENTENCE_LEN];
};

struct flow {
	struct moat_flow_record record;
	bool is_attack; /* by its row's label */
};

/* What a source did to others. */
struct source {
	uint64_t flows, failed, logins;
	struct moat_distinct ports;
	bool found_scan, found_brute;
};

struct scoring {
	const struct bench_capture *capture;
	struct seen *seen;
	size_t seen_count;
	struct flow *flows;
	size_t flow_count, flow_room;
	struct moat_ledger *hosts;   /* host and day */
	struct moat_ledger *windows; /* 10 s windows with traffic */
	struct moat_ledger *sources;
	uint64_t first_ns, last_ns, active_ns;
	struct bench_score score;
};

static void on_finding(void *userdata, const struct moat_finding *finding)
{
	struct scoring *scoring = userdata;
	struct seen *seen = NULL;

	for (size_t i = scoring->seen_count; i > 0 && !seen; i--)
		if (scoring->seen[i - 1].id == finding->id)
			seen = &scoring->seen[i - 1];
	if (!seen) {
		if (scoring->seen_count == FINDINGS_MAX)
			return;
		seen = &scoring->seen[scoring->seen_count++];
		seen->id = finding->id;
		seen->detected_ns = finding->detected_ns;
	}
	seen->kind = finding->kind;
	seen->subject = finding->subject;
	seen->peer = finding->peer;
	seen->first_ns = finding->first_ns;
	seen->closed_ns = finding->last_ns;
	memcpy(seen->sentence, finding->sentence, sizeof(seen->sentence));
}

static void note_host(struct scoring *scoring, const struct moat_addr *addr, uint64_t now_ns)
{
	struct moat_ledger_key key = { .a = *addr, .c = now_ns / DAY_NS };
	bool is_new;

	(void)moat_ledger_take(scoring->hosts, &key, now_ns, &is_new);
	scoring->score.host_days += is_new;
}

static void note_source(struct scoring *scoring, const struct moat_flow_record *record)
{
	struct moat_ledger_key key = { .a = record->client };
	bool is_new;
	struct source *source = moat_ledger_take(scoring->sources, &key, record->last_ns, &is_new);

	source->flows++;
	if (record->outcome == MOAT_OUTCOME_REJECTED || record->outcome == MOAT_OUTCOME_UNANSWERED) {
		source->failed++;
		moat_distinct_add(&source->ports, moat_mix(record->server_port));
	}
	source->logins += record->server_port == 22 && record->outcome == MOAT_OUTCOME_CONVERSED;
}

static void on_record(void *userdata, const struct moat_flow_record *record, const char *label)
{
	struct scoring *scoring = userdata;
	uint64_t now_ns = record->last_ns;
	struct flow *grown;

	if (scoring->first_ns == 0 || record->first_ns < scoring->first_ns)
		scoring->first_ns = record->first_ns;
	if (scoring->last_ns && now_ns > scoring->last_ns && now_ns - scoring->last_ns < PAUSE_NS)
		scoring->active_ns += now_ns - scoring->last_ns;
	scoring->last_ns = now_ns;
	note_host(scoring, &record->client, now_ns);
	note_host(scoring, &record->server, now_ns);
	for (uint64_t window = record->first_ns / WINDOW_NS;
	     window <= now_ns / WINDOW_NS && window < record->first_ns / WINDOW_NS + 10000;
	     window++) {
		struct moat_ledger_key key = { .c = window };
		bool is_new;

		(void)moat_ledger_take(scoring->windows, &key, now_ns, &is_new);
	}
	if (record->event != MOAT_RECORD_END)
		return;
	note_source(scoring, record);
	if (scoring->flow_count == scoring->flow_room) {
		size_t room = scoring->flow_room ? 2 * scoring->flow_room : 4096;

		grown = reallocarray(scoring->flows, room, sizeof(*grown));
		if (!grown)
			return;
		scoring->flows = grown;
		scoring->flow_room = room;
	}
	scoring->flows[scoring->flow_count++] = (struct flow){
		*record, label[0] && strcmp(label, "Normal") != 0
	};
}

/* ---- what it is worth ---------------------------------------------------------------------------- */

static bool is_of_class(const struct scoring *scoring, const struct seen *seen)
{
	return (scoring->capture->kinds >> seen->kind & 1) != 0;
}

/* Benign: every finding is false, but for one on flows that their own file calls an attack. A public host's
 * log: one that names a source that did nothing hostile. */
static bool is_false(const struct scoring *scoring, const struct seen *seen)
{
	struct moat_ledger_key key = { .a = seen->subject };
	const struct source *source;

	if (scoring->capture->class == BENCH_INTERNET) {
		source = moat_ledger_find(scoring->sources, &key);
		if (!is_of_class(scoring, seen) || !source)
			return true;
		return source->flows < HOSTILE_FLOWS ||
		       ((double)source->failed < HOSTILE_FAILED * (double)source->flows &&
			source->logins < HOSTILE_FLOWS);
	}
	for (size_t i = 0; i < scoring->flow_count; i++)
		if (scoring->flows[i].is_attack &&
		    scoring->flows[i].record.last_ns + 60 * MOAT_NS_PER_S >= seen->first_ns &&
		    scoring->flows[i].record.first_ns <= seen->closed_ns)
			return false;
	return scoring->capture->class == BENCH_BENIGN;
}

static bool names(const struct seen *seen, const struct moat_flow_record *record)
{
	return (moat_addr_equal(&seen->subject, &record->client) ||
		moat_addr_equal(&seen->subject, &record->server)) &&
	       record->last_ns >= seen->first_ns && record->first_ns <= seen->closed_ns;
}

struct covering {
	const struct scoring *scoring;
	const bool *counts; /* by finding */
	uint64_t windows, covered;
};

static void cover_window(void *userdata, const struct moat_ledger_key *key, void *entry,
			 uint64_t touched_ns)
{
	struct covering *covering = userdata;
	const struct scoring *scoring = covering->scoring;
	uint64_t begin_ns = key->c * WINDOW_NS;

	covering->windows++;
	for (size_t i = 0; i < scoring->seen_count; i++) {
		const struct seen *seen = &scoring->seen[i];

		if (covering->counts[i] && begin_ns + WINDOW_NS > seen->first_ns &&
		    begin_ns <= seen->closed_ns) {
			covering->covered++;
			return;
		}
	}
}

static void note_found(void *userdata, const struct moat_ledger_key *key, void *entry,
		       uint64_t touched_ns)
{
	struct scoring *scoring = userdata;
	const struct source *source = entry;
	bool scan = false, brute = false;

	for (size_t i = 0; i < scoring->seen_count; i++) {
		if (!moat_addr_equal(&scoring->seen[i].subject, &key->a))
			continue;
		scan |= scoring->seen[i].kind == MOAT_FINDING_SCAN;
		brute |= scoring->seen[i].kind == MOAT_FINDING_BRUTE_FORCE;
	}
	if (moat_distinct_count(&source->ports) >= SCANNER_PORTS) {
		scoring->score.scanners++;
		scoring->score.scanners_found += scan;
	}
	if (source->logins >= GUESSER_LOGINS) {
		scoring->score.guessers++;
		scoring->score.guessers_found += brute;
	}
}

static void weigh(struct scoring *scoring, bool *counts)
{
	struct bench_score *score = &scoring->score;
	struct covering covering = { .scoring = scoring, .counts = counts };
	bool is_attack = scoring->capture->class != BENCH_BENIGN &&
			 scoring->capture->class != BENCH_INTERNET;

	for (size_t i = 0; i < scoring->seen_count; i++) {
		const struct seen *seen = &scoring->seen[i];
		char subject[MOAT_ADDR_TEXT_LEN];
		bool wrong = is_false(scoring, seen);

		score->kinds |= 1u << seen->kind;
		score->false_findings += wrong;
		counts[i] = is_attack ? is_of_class(scoring, seen) : wrong;
		if (getenv("MOAT_BENCH_VERBOSE"))
			fprintf(stderr, "  %s %s %s: %s\n", scoring->capture->name,
				wrong ? "FALSE" : "-", moat_addr_format(&seen->subject, subject),
				seen->sentence);
		if (!is_of_class(scoring, seen) || score->found)
			continue;
		score->found = true;
		score->detect_s = fmax((double)seen->detected_ns - (double)scoring->first_ns, 0) /
				  (double)MOAT_NS_PER_S;
	}
	moat_ledger_each(scoring->windows, cover_window, &covering);
	score->windows = covering.windows;
	score->covered = covering.covered;
	score->flows = scoring->flow_count;
	for (size_t f = 0; f < scoring->flow_count; f++)
		for (size_t i = 0; i < scoring->seen_count; i++)
			if (counts[i] && !scoring->flows[f].is_attack &&
			    names(&scoring->seen[i], &scoring->flows[f].record)) {
				score->flows_hit++;
				break;
			}
	score->hours = (double)scoring->active_ns / (3600.0 * (double)MOAT_NS_PER_S);
	if (scoring->capture->class == BENCH_INTERNET)
		moat_ledger_each(scoring->sources, note_found, scoring);
}

static int open_scoring(struct scoring *scoring)
{
	int r = moat_ledger_new(1u << 18, 1, 1, &scoring->hosts);

	if (r == 0)
		r = moat_ledger_new(1u << 18, 1, 1, &scoring->windows);
	if (r == 0)
		r = moat_ledger_new(1u << 16, sizeof(struct source), 1, &scoring->sources);
	scoring->seen = calloc(FINDINGS_MAX, sizeof(*scoring->seen));
	return r == 0 && !scoring->seen ? -ENOMEM : r;
}

static void scoring_deinit(struct scoring *scoring)
{
	moat_ledger_free(scoring->hosts);
	moat_ledger_free(scoring->windows);
	moat_ledger_free(scoring->sources);
	free(scoring->seen);
	free(scoring->flows);
}

int bench_score_capture(const struct bench_capture *capture, uint32_t mode,
			struct bench_score *ret_score, struct moat_error *error)
{
	moat_cleanup(scoring_deinit) struct scoring scoring = { .capture = capture };
	moat_auto_free bool *counts = calloc(FINDINGS_MAX, sizeof(*counts));
	const char *path = capture->path;
	struct moat_replay_options options = {
		.paths = &path,
		.path_count = 1,
		.detect = moat_detect_config_default(),
		.cells = 4096,
		.sample_pass = mode == MOAT_MODE_GATEWAY ? SAMPLE_GATEWAY : SAMPLE_MIRROR,
		.on_finding = on_finding,
		.on_record = on_record,
		.userdata = &scoring,
	};
	struct moat_replay_report report;
	int r;

	if (mode == MOAT_MODE_GATEWAY && moat_flow_file_is(path))
		return -ENOTSUP;
	options.detect.mode = mode;
	options.detect.learn_ns = LEARN_NS;
	options.detect.learn_edges_ns = 0; /* a network whose hosts don't administer each other */
	options.detect.hosts = 16384;
	r = counts ? open_scoring(&scoring) : -ENOMEM;
	if (r == 0)
		r = moat_replay_run(&options, &report, error);
	if (r < 0)
		return r;
	weigh(&scoring, counts);
	*ret_score = scoring.score;
	return 0;
}
