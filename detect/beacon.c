/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Beacons: one host reports to another in regular intervals, with jitter or without, by new connections or
 * within one that stays open. Much that is harmless does so too, so regularity is the least that is asked
 * for; what else speaks against the pair is counted: reports of one size, a port nobody uses for the
 * protocol, an address that no name was looked up for, TLS that names nobody, and that it goes on and on.
 * Pairs that were there while moat learned are left alone.
 *
 * Beside it: anonymizers (Tor), whose TLS names a host that nobody looked up and that looks made up.
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
#define ADDRS 65536
#define TIMES 24
#define HOLD_NS (3600 * MOAT_NS_PER_S)
/* Reports closer together are one. */
#define SAME_MS 1000
#define GAP_MIN_MS 1500
#define GAP_MAX_MS (6 * 3600 * 1000)
/* Median deviation of the gaps over their median: .25 for jitter of 50 % evenly spread, .69 for arrivals at
 * random (Poisson); ten of those are below .3 once in 200 times. */
#define SPREAD_MAX 0.3
#define RANGE_MAX 1.3 /* of the middle four fifths, likewise */
#define SIZE_SPREAD 0.2
#define SIZE_SLACK 40
#define EVIDENCE_MIN 3
/* Strong evidence makes up for few reports: half of them are enough. */
#define EVIDENCE_STRONG 5
#define LASTING 2 /* times the reports asked for */

enum {
	SAID_TLS = 1,
	SAID_NO_NAME = 2, /* TLS whose hello names nobody */
	SAID_HTTP_ADDR = 4,
	SAID_KNOWN_SERVER = 8, /* a protocol where regular reports are the point */
};

struct pair {
	uint64_t first_ns;
	uint64_t base_ms;
	uint32_t times[TIMES]; /* ms after base, ascending */
	uint32_t sizes[TIMES]; /* client's payload of each report */
	uint32_t count;        /* taken in all, saturating */
	uint64_t said_before;  /* client's payload when the last turn of `port` began */
	uint16_t port;         /* client's, of the connection at hand */
	uint8_t said;
	bool is_old; /* was there while moat learned */
};

struct beacon {
	struct moat_ledger *pairs; /* client, server, port */
	struct moat_ledger *addrs; /* that a name was looked up for */
	struct moat_ledger *names; /* by hash: names that were looked up */
	uint64_t begin_ns;
	uint64_t lookups;
};

static void beacon_deinit(void *state)
{
	struct beacon *beacon = state;

	if (!beacon)
		return;
	moat_ledger_free(beacon->pairs);
	moat_ledger_free(beacon->addrs);
	moat_ledger_free(beacon->names);
	free(beacon);
}

static int beacon_init(const struct moat_detect_config *config, void **ret_state)
{
	struct beacon *beacon = calloc(1, sizeof(*beacon));
	int r = beacon ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(PAIRS, sizeof(struct pair), config->seed, &beacon->pairs);
	if (r == 0)
		r = moat_ledger_new(ADDRS, 1, config->seed, &beacon->addrs);
	if (r == 0)
		r = moat_ledger_new(ADDRS, 1, config->seed, &beacon->names);
	if (r < 0) {
		beacon_deinit(beacon);
		return r;
	}
	*ret_state = beacon;
	return 0;
}

/* ---- series -------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double median_of(uint32_t *values, size_t count)
{
	size_t middle = count / 2;

	qsort(values, count, sizeof(*values), compare);
	return values[middle];
}

static double spread_of(const uint32_t *values, size_t count, double median)
{
	uint32_t deviations[TIMES];

	for (size_t i = 0; i < count; i++)
		deviations[i] = (uint32_t)fabs(values[i] - median);
	return median_of(deviations, count);
}

/* Flows are told of when they end, so that beginnings come out of order. False: within the same report. */
static bool series_add(struct pair *pair, uint64_t time_ns, uint32_t size)
{
	uint64_t now_ms = time_ns / MOAT_NS_PER_MS;
	uint32_t kept = pair->count < TIMES ? pair->count : TIMES, at, time;

	if (kept == 0)
		pair->base_ms = now_ms > GAP_MAX_MS ? now_ms - GAP_MAX_MS : 0;
	if (now_ms < pair->base_ms || now_ms - pair->base_ms > UINT32_MAX)
		return false;
	time = (uint32_t)(now_ms - pair->base_ms);
	for (at = kept; at > 0 && pair->times[at - 1] > time; at--)
		;
	if ((at > 0 && time - pair->times[at - 1] < SAME_MS) ||
	    (at < kept && pair->times[at] - time < SAME_MS))
		return false;
	if (kept == TIMES) {
		if (at == 0)
			return false;
		memmove(pair->times, pair->times + 1, (at - 1) * sizeof(pair->times[0]));
		memmove(pair->sizes, pair->sizes + 1, (at - 1) * sizeof(pair->sizes[0]));
		at--;
	} else {
		memmove(pair->times + at + 1, pair->times + at,
			(kept - at) * sizeof(pair->times[0]));
		memmove(pair->sizes + at + 1, pair->sizes + at,
			(kept - at) * sizeof(pair->sizes[0]));
	}
	pair->times[at] = time;
	pair->sizes[at] = size;
	if (pair->count < UINT32_MAX)
		pair->count++;
	return true;
}

struct rhythm {
	double gap_s, spread, size;
	bool is_regular, is_alike;
};

static struct rhythm rhythm_of(const struct pair *pair)
{
	uint32_t gaps[TIMES], sizes[TIMES], count = pair->count < TIMES ? pair->count : TIMES;
	uint32_t low, high;
	struct rhythm rhythm = { .spread = 1 };
	double gap, range;

	if (count < 4)
		return rhythm;
	for (uint32_t i = 1; i < count; i++)
		gaps[i - 1] = pair->times[i] - pair->times[i - 1];
	gap = median_of(gaps, count - 1);
	low = (count - 1) / 10;
	high = (count - 1) * 9 / 10;
	range = (double)(gaps[high] - gaps[low]) / gap;
	rhythm.gap_s = gap / 1000;
	rhythm.spread = spread_of(gaps, count - 1, gap) / gap;
	rhythm.is_regular = gap >= GAP_MIN_MS && gap <= GAP_MAX_MS && rhythm.spread <= SPREAD_MAX &&
			    range <= RANGE_MAX;
	memcpy(sizes, pair->sizes, count * sizeof(sizes[0]));
	rhythm.size = median_of(sizes, count);
	rhythm.is_alike = spread_of(pair->sizes, count, rhythm.size) <=
			  fmax(SIZE_SPREAD * rhythm.size, SIZE_SLACK);
	return rhythm;
}

/* ---- judging ------------------------------------------------------------------------------------- */

static bool is_common_port(uint16_t port)
{
	static const uint16_t ports[] = { 25,  80,   110,  143,  389,  443,  465,  587,  636,  993,
					  995, 1883, 3128, 5060, 5222, 5223, 5228, 8080, 8443, 8883 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (ports[i] == port)
			return true;
	return false;
}

/* Where reports in regular intervals are what the protocol is for. */
static bool is_regular_protocol(const struct moat_flow_record *record)
{
	switch (record->server_port) {
	case 22: /* keep-alives of a shell */
	case 53:
	case 123:
	case 137:
	case 138:
	case 139:
	case 161:
	case 179: /* BGP */
	case 445:
	case 514:
	case 853:
	case 1194: /* OpenVPN */
	case 1883: /* MQTT */
	case 3389:
	case 5060: /* SIP */
	case 5222: /* XMPP */
	case 5223:
	case 5228: /* push services */
	case 5900:
	case 6379:
	case 8883:
		return true;
	default:
		return false;
	}
}

static uint32_t evidence_of(const struct beacon *beacon, const struct moat_detect_config *config,
			    const struct moat_flow_record *record, const struct pair *pair,
			    const struct rhythm *rhythm)
{
	struct moat_ledger_key server = { .a = record->server };
	uint32_t evidence = 1 + rhythm->is_alike;

	evidence += !is_common_port(record->server_port);
	evidence += (pair->said & (SAID_NO_NAME | SAID_HTTP_ADDR)) != 0;
	/* only where lookups are seen does the lack of one mean anything */
	evidence += beacon->lookups > 0 && !moat_addr_is_local(&record->server) &&
		    !moat_ledger_find(beacon->addrs, &server);
	evidence += (double)pair->count >= LASTING * config->beacon_times;
	return evidence;
}

static void report(const struct moat_flow_record *record, const struct pair *pair,
		   const struct rhythm *rhythm, uint32_t evidence, moat_suspect_fn suspect,
		   void *engine)
{
	char client[MOAT_ADDR_TEXT_LEN], server[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_BEACON,
		.subject = record->client,
		.subject_is_source = true,
		.score = (double)evidence / EVIDENCE_MIN,
		.share = 1,
		.usual_pps = -1,
		.peer = record->server,
		.port = record->server_port,
		.proto = record->proto,
		.first_ns = pair->first_ns,
		.hold_ns = HOLD_NS,
	};

	moat_suspicion_drive(&suspicion, "reports", 0, pair->count);
	moat_suspicion_drive(&suspicion, "evidence", EVIDENCE_MIN, evidence);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Beacon from %s to %s port %u: %u reports of about %.0f bytes, one in %.1f s, spread %.0f %%",
		 moat_addr_format(&record->client, client),
		 moat_addr_format(&record->server, server), record->server_port, pair->count,
		 rhythm->size, rhythm->gap_s, 100 * rhythm->spread);
	suspect(engine, &suspicion);
}

static struct pair *pair_of(struct beacon *beacon, const struct moat_addr *client,
			    const struct moat_addr *server, uint16_t port, uint8_t proto,
			    uint64_t now_ns, const struct moat_detect_config *config)
{
	struct moat_ledger_key key = { .a = *client,
				       .b = *server,
				       .c = (uint64_t)proto << 16 | port };
	bool is_new;
	struct pair *pair = moat_ledger_take(beacon->pairs, &key, now_ns, &is_new);

	if (beacon->begin_ns == 0)
		beacon->begin_ns = now_ns;
	if (is_new) {
		pair->first_ns = now_ns;
		/* an appliance that learns for long has seen who reports where; a few seconds say nothing */
		pair->is_old = config->learn_ns >= 3600 * MOAT_NS_PER_S &&
			       now_ns - beacon->begin_ns < config->learn_ns;
	}
	return pair;
}

/* A beacon goes from one of ours to somebody else: whoever polls our servers is a visitor. */
static bool is_outward(const struct moat_detect_config *config,
		       const struct moat_flow_record *record)
{
	for (size_t i = 0; i < config->protected_count; i++)
		if (moat_prefix_contains(&config->protected_prefixes[i], &record->client))
			return true;
	return config->protected_count == 0 &&
	       (moat_addr_is_local(&record->client) || !moat_addr_is_local(&record->server));
}

static void beacon_flow(void *state, const struct moat_detect_config *config,
			const struct moat_flow_record *record, moat_suspect_fn suspect, void *engine)
{
	struct beacon *beacon = state;
	bool speaks = record->event == MOAT_RECORD_SPEAKS;
	uint64_t time_ns = speaks ? record->last_ns : record->first_ns;
	struct rhythm rhythm;
	struct pair *pair;
	uint32_t evidence, size;

	if (record->proto != 6 || config->beacon_times <= 0 || is_regular_protocol(record) ||
	    (!speaks && record->outcome != MOAT_OUTCOME_CONVERSED) ||
	    moat_addr_is_many(&record->server) || !is_outward(config, record) ||
	    (moat_addr_is_local(&record->client) && moat_addr_is_local(&record->server) &&
	     !is_common_port(record->server_port)))
		return;
	pair = pair_of(beacon, &record->client, &record->server, record->server_port, record->proto,
		       time_ns, config);
	if (speaks && record->direction != 0)
		return; /* the server's turn */
	size = (uint32_t)fmin((double)record->payload[0], UINT32_MAX);
	if (speaks) {
		/* of the turn before: its size is known now */
		size = pair->port == record->client_port && record->payload[0] >= pair->said_before
			       ? size - (uint32_t)pair->said_before
			       : 0;
		pair->said_before = record->payload[0];
		pair->port = record->client_port;
	}
	if (!series_add(pair, time_ns, size) || pair->is_old)
		return;
	rhythm = rhythm_of(pair);
	if (!rhythm.is_regular)
		return;
	evidence = evidence_of(beacon, config, record, pair, &rhythm);
	if (evidence >= EVIDENCE_MIN &&
	    (double)pair->count >=
		    (evidence >= EVIDENCE_STRONG ? config->beacon_times / 2 : config->beacon_times))
		report(record, pair, &rhythm, evidence, suspect, engine);
}

/* ---- what is said -------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text)
{
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211ULL;
	return moat_mix(hash);
}

static void note_lookup(struct beacon *beacon, const struct moat_content *content)
{
	struct moat_ledger_key key = { .c = 0 };
	struct moat_dns dns;
	bool is_new;

	if (!moat_dns_parse(content->data, content->captured, &dns))
		return;
	key.c = hash_text(dns.name);
	(void)moat_ledger_take(beacon->names, &key, content->time_ns, &is_new);
	beacon->lookups += dns.addr_count > 0;
	for (uint32_t i = 0; i < dns.addr_count; i++) {
		struct moat_ledger_key addr = { .a = dns.addrs[i] };

		(void)moat_ledger_take(beacon->addrs, &addr, content->time_ns, &is_new);
	}
}

/* "www.qxjwbidlvrkg.com" as Tor's relays are called in its hellos: www, 8 to 20 letters and digits 2-7 (its
 * base32), com or net (tor-spec, and tor's src/core/or/channeltls.c). */
static bool is_tor_name(const char *name)
{
	size_t length;

	if (strncmp(name, "www.", 4) != 0)
		return false;
	name += 4;
	length = strspn(name, "abcdefghijklmnopqrstuvwxyz234567");
	return length >= 8 && length <= 20 &&
	       (strcmp(name + length, ".com") == 0 || strcmp(name + length, ".net") == 0) &&
	       moat_text_entropy(name, length) >= 2.5;
}

static void judge_name(struct beacon *beacon, const struct moat_content *content, const char *name,
		       moat_suspect_fn suspect, void *engine)
{
	struct moat_ledger_key looked_up = { .c = hash_text(name) };
	struct moat_ledger_key resolved = { .a = content->server };
	char client[MOAT_ADDR_TEXT_LEN], server[MOAT_ADDR_TEXT_LEN];
	struct moat_ledger_key seen = { .a = content->client, .c = 9001 };
	struct pair *relays;
	bool is_new;
	struct moat_suspicion suspicion = moat_suspicion_of_content(content, MOAT_FINDING_ANONYMIZER,
								    1, 0, HOLD_NS);

	if (!is_tor_name(name) || moat_ledger_find(beacon->names, &looked_up) ||
	    moat_ledger_find(beacon->addrs, &resolved))
		return;
	/* one such name may be a coincidence, three guards aren't */
	relays = moat_ledger_take(beacon->pairs, &seen, content->time_ns, &is_new);
	relays->count++;
	if (relays->count < 3)
		return;
	moat_suspicion_drive(&suspicion, "made_up_names", 0, relays->count);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Anonymizer: %s enters Tor, by %u TLS connections to names nobody looked up (%.60s at %s)",
		 moat_addr_format(&content->client, client), relays->count, name,
		 moat_addr_format(&content->server, server));
	suspect(engine, &suspicion);
}

static bool is_numeric_host(const char *host)
{
	return host[strspn(host, "0123456789.:")] == '\0' && strchr(host, '.');
}

static void beacon_content(void *state, const struct moat_detect_config *config,
			   const struct moat_content *content, moat_suspect_fn suspect, void *engine)
{
	struct beacon *beacon = state;
	char name[MOAT_NAME_LEN];
	struct pair *pair;
	bool whole;

	if (content->server_port == 53) {
		if (content->direction == 1)
			note_lookup(beacon, content);
		return;
	}
	if (content->proto != 6 || content->direction != 0 || content->index > 1)
		return;
	if (moat_tls_hello(content->data, content->captured, name, &whole)) {
		pair = pair_of(beacon, &content->client, &content->server, content->server_port,
			       content->proto, content->time_ns, config);
		pair->said |= SAID_TLS | (name[0] || !whole ? 0 : SAID_NO_NAME);
		if (name[0])
			judge_name(beacon, content, name, suspect, engine);
	} else if (moat_http_header(content->data, content->captured, "Host", name, sizeof(name)) &&
		   is_numeric_host(name)) {
		pair = pair_of(beacon, &content->client, &content->server, content->server_port,
			       content->proto, content->time_ns, config);
		pair->said |= SAID_HTTP_ADDR;
	}
}

const struct moat_detector_ops moat_detector_beacon = {
	.name = "beacon",
	.title = "reports to a controller in regular intervals; anonymizers",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.init = beacon_init,
	.deinit = beacon_deinit,
	.flow = beacon_flow,
	.content = beacon_content,
};
