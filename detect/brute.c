/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Password guessing: one source that logs in at one service again and again and never stays.
 *
 * Where the protocol says so in the clear (FTP, HTTP, mail, telnet) refusals are counted. Where it doesn't
 * (SSH, RDP, databases), short conversations of nearly equal size are: a guess is like the one before. Who
 * also has long sessions there is an administrator, however busy, and `detect.admins` aren't judged.
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

#define GUESSERS 32768
#define LOGIN_SERVICES 4096
#define HOLD_NS (600 * MOAT_NS_PER_S)
/* A guess: soon over, and little said. */
#define GUESS_NS (90 * MOAT_NS_PER_S)
#define GUESS_PAYLOAD 12000
#define GUESS_PAYLOAD_MIN 20
/* Guesses are so much alike: spread of the server's bytes over their mean. */
#define SPREAD_MAX 0.35
/* Sessions that aren't guesses, for so many guesses: an administrator. */
#define SESSION_WORTH 10
/* Guesses pace themselves: so many in a minute, or three times as many in an hour, or six in a day. */
#define MINUTE_NS (60 * MOAT_NS_PER_S)
#define HOUR_FACTOR 3
#define DAY_FACTOR 6

/* Counts of a sliding span, by halves: exact enough, and four bytes. */
struct span {
	uint64_t begin_ns;
	uint32_t now, before;
};

struct guesser {
	struct span minute, hour, day;
	uint64_t first_ns;
	uint32_t guesses, refusals, sessions;
	float mean, square; /* of the server's bytes: running mean, sum of squared deviations */
};

struct brute {
	struct moat_ledger *guessers; /* source, host, port */
	struct moat_ledger *services; /* host, port: a login service by its banner, wherever it listens */
};

static void brute_deinit(void *state)
{
	struct brute *brute = state;

	if (!brute)
		return;
	moat_ledger_free(brute->guessers);
	moat_ledger_free(brute->services);
	free(brute);
}

static int brute_init(const struct moat_detect_config *config, void **ret_state)
{
	struct brute *brute = calloc(1, sizeof(*brute));
	int r = brute ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(GUESSERS, sizeof(struct guesser), config->seed,
				    &brute->guessers);
	if (r == 0)
		r = moat_ledger_new(LOGIN_SERVICES, 1, config->seed, &brute->services);
	if (r < 0) {
		brute_deinit(brute);
		return r;
	}
	*ret_state = brute;
	return 0;
}

static double span_add(struct span *span, uint64_t length_ns, uint64_t now_ns)
{
	if (now_ns >= span->begin_ns + 2 * length_ns) {
		*span = (struct span){ .begin_ns = now_ns };
	} else if (now_ns >= span->begin_ns + length_ns) {
		span->before = span->now;
		span->now = 0;
		span->begin_ns += length_ns;
	}
	span->now++;
	/* what of the last span is still within reach */
	if (now_ns < span->begin_ns)
		return span->now;
	return span->now +
	       span->before * (1 - (double)(now_ns - span->begin_ns) / (double)length_ns);
}

/* How far beyond the limits the guesses of any span are. */
static double pace(struct guesser *guesser, double limit, uint64_t now_ns)
{
	double score = span_add(&guesser->minute, MINUTE_NS, now_ns) / limit;

	score = fmax(score,
		     span_add(&guesser->hour, 60 * MINUTE_NS, now_ns) / (limit * HOUR_FACTOR));
	return fmax(score,
		    span_add(&guesser->day, 24 * 60 * MINUTE_NS, now_ns) / (limit * DAY_FACTOR));
}

static bool is_login_port(uint16_t port)
{
	switch (port) {
	case 22:   /* SSH */
	case 23:   /* telnet */
	case 1433: /* MS SQL */
	case 2222: /* SSH's second address */
	case 3306: /* MySQL */
	case 3389: /* RDP */
	case 5432: /* PostgreSQL */
	case 5900: /* VNC */
		return true;
	default:
		return false;
	}
}

static bool is_admin(const struct moat_detect_config *config, const struct moat_addr *addr)
{
	for (size_t i = 0; i < config->admin_count; i++)
		if (moat_prefix_contains(&config->admins[i], addr))
			return true;
	return false;
}

static struct guesser *guesser_of(struct brute *brute, const struct moat_addr *client,
				  const struct moat_addr *server, uint16_t port, uint64_t now_ns)
{
	struct moat_ledger_key key = { .a = *client, .b = *server, .c = port };
	bool is_new;
	struct guesser *guesser = moat_ledger_take(brute->guessers, &key, now_ns, &is_new);

	if (guesser->first_ns == 0)
		guesser->first_ns = now_ns;
	return guesser;
}

struct guess {
	const struct moat_addr *client, *server;
	uint16_t port;
	uint64_t time_ns;
};

static void report(const struct guess *guess, const struct guesser *guesser, double score,
		   double limit, bool refused, moat_suspect_fn suspect, void *engine)
{
	char source[MOAT_ADDR_TEXT_LEN], host[MOAT_ADDR_TEXT_LEN];
	uint32_t count = refused ? guesser->refusals : guesser->guesses;
	double seconds = guess->time_ns > guesser->first_ns
				 ? (double)(guess->time_ns - guesser->first_ns) /
					   (double)MOAT_NS_PER_S
				 : 0;
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_BRUTE_FORCE,
		.subject = *guess->client,
		.subject_is_source = true,
		.score = score,
		.share = 1,
		.usual_pps = -1,
		.peer = *guess->server,
		.port = guess->port,
		.proto = 6,
		.first_ns = guesser->first_ns,
		.hold_ns = HOLD_NS,
	};

	moat_suspicion_drive(&suspicion, refused ? "refusals" : "short_logins", limit, count);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Brute force by %s on %s port %u: %u %s in %.0f s, %u sessions that lasted",
		 moat_addr_format(guess->client, source), moat_addr_format(guess->server, host),
		 guess->port, count, refused ? "refused logins" : "logins alike and soon over",
		 seconds, guesser->sessions);
	suspect(engine, &suspicion);
}

static bool is_login_service(const struct brute *brute, const struct moat_flow_record *record)
{
	struct moat_ledger_key key = { .a = record->server, .c = record->server_port };

	return is_login_port(record->server_port) || moat_ledger_find(brute->services, &key);
}

static void note_size(struct guesser *guesser, float size)
{
	float before = size - guesser->mean;

	guesser->guesses++;
	/* Welford (Technometrics 1962); weights of old guesses fade after a hundred */
	guesser->mean += before / (float)(guesser->guesses < 100 ? guesser->guesses : 100);
	guesser->square += before * (size - guesser->mean);
	if (guesser->guesses > 100)
		guesser->square *= 0.99F;
}

static bool are_alike(const struct guesser *guesser)
{
	float n = (float)(guesser->guesses < 100 ? guesser->guesses : 100);

	return sqrtf(guesser->square / n) <= (float)SPREAD_MAX * guesser->mean;
}

static void brute_flow(void *state, const struct moat_detect_config *config,
		       const struct moat_flow_record *record, moat_suspect_fn suspect, void *engine)
{
	struct brute *brute = state;
	struct guess guess = { &record->client, &record->server, record->server_port,
			       record->last_ns };
	struct guesser *guesser;
	double score;

	if (record->event != MOAT_RECORD_END || record->proto != 6 ||
	    record->outcome != MOAT_OUTCOME_CONVERSED || config->brute_logins <= 0 ||
	    !is_login_service(brute, record) || is_admin(config, &record->client))
		return;
	guesser = guesser_of(brute, &record->client, &record->server, record->server_port,
			     record->first_ns);
	if (record->last_ns - record->first_ns > GUESS_NS || record->payload[1] > GUESS_PAYLOAD ||
	    record->payload[0] > GUESS_PAYLOAD) {
		guesser->sessions++;
		return;
	}
	if (record->payload[0] < GUESS_PAYLOAD_MIN)
		return; /* looked at the banner and left: a scan's affair */
	note_size(guesser, (float)record->payload[1]);
	score = pace(guesser, config->brute_logins, record->first_ns);
	if (score >= 1 && are_alike(guesser) && guesser->sessions * SESSION_WORTH < guesser->guesses)
		report(&guess, guesser, score, config->brute_logins, false, suspect, engine);
}

static bool is_refusal(const struct moat_content *content)
{
	static const char *const begins[] = {
		"530 ", "535 ", "535-", "-ERR ", "HTTP/1.1 401", "HTTP/1.0 401",
	};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (moat_bytes_begin(content->data, content->captured, begins[i]))
			return true;
	return content->server_port == 23 &&
	       moat_bytes_find(content->data, content->captured, "login incorrect");
}

static bool is_login_banner(const struct moat_content *content)
{
	static const uint8_t rdp[] = { 0x03, 0x00, 0x00, 0x13, 0x0e, 0xd0 };

	return moat_bytes_begin(content->data, content->captured, "SSH-") ||
	       moat_bytes_begin(content->data, content->captured, "RFB 00") ||
	       (content->captured >= sizeof(rdp) && memcmp(content->data, rdp, sizeof(rdp)) == 0);
}

static void brute_content(void *state, const struct moat_detect_config *config,
			  const struct moat_content *content, moat_suspect_fn suspect, void *engine)
{
	struct brute *brute = state;
	struct moat_ledger_key service = { .a = content->server, .c = content->server_port };
	struct guess guess = { &content->client, &content->server, content->server_port,
			       content->time_ns };
	struct guesser *guesser;
	double score;
	bool is_new;

	if (content->proto != 6 || content->direction == 0 || is_admin(config, &content->client))
		return;
	if (content->index == 0 && is_login_banner(content))
		(void)moat_ledger_take(brute->services, &service, content->time_ns, &is_new);
	if (config->brute_logins <= 0 || !is_refusal(content))
		return;
	guesser = guesser_of(brute, &content->client, &content->server, content->server_port,
			     content->time_ns);
	guesser->refusals++;
	score = pace(guesser, config->brute_logins, content->time_ns);
	if (score >= 1)
		report(&guess, guesser, score, config->brute_logins, true, suspect, engine);
}

const struct moat_detector_ops moat_detector_brute = {
	.name = "brute",
	.title = "password guessing at SSH, FTP, RDP, mail, HTTP, telnet and databases",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.init = brute_init,
	.deinit = brute_deinit,
	.flow = brute_flow,
	.content = brute_content,
};
