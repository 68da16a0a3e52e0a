/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Command channels by what their servers say first, for implants that haven't reported often enough to be
 * called regular: certificates that toolkits and families of malware come with (as public analyses name
 * them), certificates that sign themselves for decades where the client asked for nobody by name, and the
 * greetings of remote-access tools that don't encrypt. Servers of our own networks aren't judged: printers
 * and lamps sign for themselves, too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"
#include "detect/wire.h"
#include "detect/x509.h"

#define PAIRS 32768
#define HOLD_NS (3600 * MOAT_NS_PER_S)
/* A certification authority signs a server's certificate for a year or so (CA/Browser Forum: 398 days), who
 * signs for himself rarely for more than ten. */
#define YEARS 20

/* What a client asked its server for. */
struct pair {
	bool is_unnamed; /* a whole hello that names nobody */
};

static int implant_init(const struct moat_detect_config *config, void **ret_state)
{
	struct moat_ledger *pairs = NULL;
	int r = moat_ledger_new(PAIRS, sizeof(struct pair), config->seed, &pairs);

	if (r == 0)
		*ret_state = pairs;
	return r;
}

static void implant_deinit(void *state)
{
	moat_ledger_free(state);
}

static void report(const struct moat_content *content, double score, const char *driver,
		   const char *why, moat_suspect_fn suspect, void *engine)
{
	char client[MOAT_ADDR_TEXT_LEN], server[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion = moat_suspicion_of_content(content, MOAT_FINDING_COMMAND,
								    score, 0, HOLD_NS);

	moat_suspicion_drive(&suspicion, driver, 0, score);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Command channel of %s to %s port %u: %.120s",
		 moat_addr_format(&content->client, client),
		 moat_addr_format(&content->server, server), content->server_port, why);
	suspect(engine, &suspicion);
}

/* Names in the issuers of certificates that come with a toolkit. */
static const char *toolkit_of(const struct moat_certificate *certificate)
{
	static const struct {
		const char *text, *tool;
	} known[] = {
		{ "AsyncRAT Server", "the certificate of AsyncRAT" },
		{ "DcRat", "the certificate of DcRat" },
		{ "VenomRAT", "the certificate of VenomRAT" },
		{ "BitRAT", "the certificate of BitRAT" },
		{ "Quasar Server CA", "the certificate of Quasar" },
		{ "Orcus Server", "the certificate of Orcus" },
		{ "Major Cobalt Strike", "the certificate of Cobalt Strike" },
		{ "MetasploitSelfSignedCA", "the certificate of Metasploit" },
		{ "Global Security", "the certificate of Emotet's controllers" },
		{ "P18055077", "the certificate of Mythic" },
		{ "Pupy", "the certificate of Pupy" },
		{ "Ares Server", "the certificate of Ares" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(known); i++)
		if (moat_bytes_find(certificate->issuer, certificate->issuer_length, known[i].text))
			return known[i].tool;
	return NULL;
}

static void judge_certificate(const struct pair *pair, const struct moat_content *content,
			      moat_suspect_fn suspect, void *engine)
{
	struct moat_certificate certificate;
	const char *tool;
	char why[96];

	if (!moat_tls_certificate(content->data, content->captured, &certificate))
		return;
	tool = toolkit_of(&certificate);
	if (tool) {
		report(content, 4, "known_certificate", tool, suspect, engine);
	} else if (pair && pair->is_unnamed && certificate.is_self_signed &&
		   certificate.years >= YEARS) {
		snprintf(why, sizeof(why), "asked for by no name, it signs for itself for %u years",
			 certificate.years);
		report(content, 2, "certificate_years", why, suspect, engine);
	}
}

/* Remote-access tools that greet in clear: "Gh0st" and its length, njRAT's fields. */
static bool is_greeting(const struct moat_content *content)
{
	static const char njrat[] = "|'|'|";

	if (content->captured >= 13 && moat_bytes_begin(content->data, content->captured, "Gh0st"))
		/* zlib's mark behind both lengths */
		return content->captured < 15 || content->data[13] == 0x78;
	return moat_bytes_find(content->data, content->captured < 64 ? content->captured : 64,
			       njrat);
}

static void implant_content(void *state, const struct moat_detect_config *config,
			    const struct moat_content *content, moat_suspect_fn suspect,
			    void *engine)
{
	struct moat_ledger_key key = { .a = content->client,
				       .b = content->server,
				       .c = content->server_port };
	char name[MOAT_NAME_LEN];
	bool whole, is_new;
	struct pair *pair;

	if (content->proto != 6 || content->index > 1 || moat_addr_is_local(&content->server))
		return;
	if (content->direction == 1) {
		judge_certificate(moat_ledger_find(state, &key), content, suspect, engine);
	} else if (moat_tls_hello(content->data, content->captured, name, &whole)) {
		if (!whole || name[0])
			return;
		pair = moat_ledger_take(state, &key, content->time_ns, &is_new);
		pair->is_unnamed = true;
	} else if (is_greeting(content)) {
		report(content, 3, "greeting", "the greeting of a remote-access tool", suspect,
		       engine);
	}
}

const struct moat_detector_ops moat_detector_implant = {
	.name = "implant",
	.title = "command channels by their certificates and greetings",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR,
	.init = implant_init,
	.deinit = implant_deinit,
	.content = implant_content,
};
