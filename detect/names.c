/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What hosts look up: data carried in names (DNS tunnels, exfiltration by DNS) and names that an algorithm
 * made (DGA). A tunnel asks for ever new, long names of one domain; a DGA asks for many domains that don't
 * exist.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"
#include "detect/wire.h"

#define DOMAINS 32768
#define CLIENTS 16384
#define SPAN_NS (600 * MOAT_NS_PER_S)
#define HOLD_NS (1800 * MOAT_NS_PER_S)
/* A tunnel: so many different names of a domain in 10 minutes, so long on average, and so mixed. CDNs and
 * reputation services have many names too, but short ones (an address, a hash of 32 digits at most), so the
 * long ones are counted. */
#define TUNNEL_NAMES 30
#define TUNNEL_BYTES 2000
#define LONG_NAME 24
#define TUNNEL_ENTROPY 3.2
/* Types that carry data and that few others ask for (RFC 1035: NULL, TXT; PRIVATE as iodine's). */
#define ODD_TYPES_WORTH 3
/* A DGA: so many registered domains that don't exist, most of those asked for. */
#define DGA_DOMAINS 10
#define DGA_SHARE 0.4

struct domain {
	uint64_t begin_ns;
	struct moat_distinct names;
	uint32_t queries, odd, bytes;
	double entropy; /* sum */
};

struct client {
	uint64_t begin_ns;
	struct moat_distinct missing, found;
};

struct names {
	struct moat_ledger *domains; /* client and domain */
	struct moat_ledger *clients;
};

static void names_deinit(void *state)
{
	struct names *names = state;

	if (!names)
		return;
	moat_ledger_free(names->domains);
	moat_ledger_free(names->clients);
	free(names);
}

static int names_init(const struct moat_detect_config *config, void **ret_state)
{
	struct names *names = calloc(1, sizeof(*names));
	int r = names ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(DOMAINS, sizeof(struct domain), config->seed, &names->domains);
	if (r == 0)
		r = moat_ledger_new(CLIENTS, sizeof(struct client), config->seed, &names->clients);
	if (r < 0) {
		names_deinit(names);
		return r;
	}
	*ret_state = names;
	return 0;
}

static uint64_t hash_text(const char *text)
{
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211ULL;
	return moat_mix(hash);
}

static bool is_odd_type(uint16_t type)
{
	return type == 10 || type == 16 || type == 25 || type >= 65280;
}

/* Answers of the network itself rather than of somebody's domain. */
static bool is_own_business(const char *name)
{
	static const char *const ends[] = { ".arpa", ".local",    ".lan",
					    ".home", ".internal", ".localdomain",
					    ".corp", ".test",     ".intranet" };
	size_t length = strlen(name);

	if (!strchr(name, '.'))
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t end = strlen(ends[i]);

		if (length >= end && strcmp(name + length - end, ends[i]) == 0)
			return true;
	}
	return false;
}

static void judge_tunnel(struct names *names, const struct moat_content *content,
			 const struct moat_dns *dns, moat_suspect_fn suspect, void *engine)
{
	const char *registered = moat_name_registered(dns->name);
	size_t length = (size_t)(registered - dns->name);
	struct moat_ledger_key key = { .a = content->client, .c = hash_text(registered) };
	struct domain *domain;
	bool is_new, odd = is_odd_type(dns->type);
	double count, score;
	char client[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;

	if (length < 2 || (length < LONG_NAME && !odd))
		return;
	domain = moat_ledger_take(names->domains, &key, content->time_ns, &is_new);
	if (content->time_ns - domain->begin_ns > SPAN_NS)
		*domain = (struct domain){ .begin_ns = content->time_ns };
	if (!moat_distinct_add(&domain->names, hash_text(dns->name)))
		return;
	domain->queries++;
	domain->odd += odd;
	domain->bytes += (uint32_t)length;
	domain->entropy += moat_text_entropy(dns->name, length);
	count = moat_distinct_count(&domain->names);
	score = count * (2 * domain->odd > domain->queries ? ODD_TYPES_WORTH : 1) / TUNNEL_NAMES;
	if (score < 1 || domain->bytes < TUNNEL_BYTES / (2 * domain->odd > domain->queries ? 4 : 1) ||
	    domain->entropy / domain->queries < TUNNEL_ENTROPY)
		return;
	suspicion = moat_suspicion_of_content(content, MOAT_FINDING_DNS_TUNNEL, score,
					      domain->begin_ns, HOLD_NS);
	moat_suspicion_drive(&suspicion, "new_names", TUNNEL_NAMES, count);
	moat_suspicion_drive(&suspicion, "name_bytes", TUNNEL_BYTES, domain->bytes);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "DNS tunnel from %s: %.0f different names below %.80s in %.0f s, %.0f bytes each",
		 moat_addr_format(&content->client, client), count, registered,
		 (double)(content->time_ns - domain->begin_ns) / (double)MOAT_NS_PER_S,
		 (double)domain->bytes / domain->queries);
	suspect(engine, &suspicion);
}

static void judge_missing(struct names *names, const struct moat_content *content,
			  const struct moat_dns *dns, moat_suspect_fn suspect, void *engine)
{
	struct moat_ledger_key key = { .a = content->client };
	const char *registered = moat_name_registered(dns->name);
	struct client *client;
	double missing, found;
	char text[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;
	bool is_new;

	client = moat_ledger_take(names->clients, &key, content->time_ns, &is_new);
	if (content->time_ns - client->begin_ns > SPAN_NS)
		*client = (struct client){ .begin_ns = content->time_ns };
	moat_distinct_add(dns->rcode == MOAT_DNS_NXDOMAIN ? &client->missing : &client->found,
			  hash_text(registered));
	missing = moat_distinct_count(&client->missing);
	found = moat_distinct_count(&client->found);
	if (missing < DGA_DOMAINS || missing < DGA_SHARE * (missing + found))
		return;
	suspicion = moat_suspicion_of_content(content, MOAT_FINDING_DGA, missing / DGA_DOMAINS,
					      client->begin_ns, HOLD_NS);
	moat_suspicion_drive(&suspicion, "missing_domains", DGA_DOMAINS, missing);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Generated names: %s asked for %.0f domains that don't exist in %.0f s (%.0f that do), "
		 "last %.80s",
		 moat_addr_format(&content->client, text), missing,
		 (double)(content->time_ns - client->begin_ns) / (double)MOAT_NS_PER_S, found,
		 registered);
	suspect(engine, &suspicion);
}

static void names_content(void *state, const struct moat_detect_config *config,
			  const struct moat_content *content, moat_suspect_fn suspect, void *engine)
{
	struct moat_dns dns;

	if (content->server_port != 53 || content->proto != 17 ||
	    !moat_dns_parse(content->data, content->captured, &dns) || is_own_business(dns.name))
		return;
	if (!dns.is_response)
		judge_tunnel(state, content, &dns, suspect, engine);
	else if (dns.rcode == MOAT_DNS_NXDOMAIN || dns.answers)
		judge_missing(state, content, &dns, suspect, engine);
}

const struct moat_detector_ops moat_detector_names = {
	.name = "names",
	.title = "DNS tunnels and names made by an algorithm",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR,
	.init = names_init,
	.deinit = names_deinit,
	.content = names_content,
};
