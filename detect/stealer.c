/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stolen data on its way out, by the steps that thieves take and others don't: a host asks a service for its
 * own public address and then, within minutes, uploads by mail, FTP or a messenger's robot; or it posts to
 * several controllers by bare address; or a file's name says what it is (password, key log and screen
 * reports as public analyses of the common stealers name them).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"
#include "detect/wire.h"

#define HOSTS 16384
#define HOLD_NS (1800 * MOAT_NS_PER_S)
#define SOON_NS (900 * MOAT_NS_PER_S)
#define POSTS 3 /* to bare addresses, of different servers */

struct host {
	uint64_t asked_ns; /* for its public address */
	uint64_t posted_ns;
	struct moat_distinct posts; /* servers by bare address */
};

static int stealer_init(const struct moat_detect_config *config, void **ret_state)
{
	struct moat_ledger *hosts = NULL;
	int r = moat_ledger_new(HOSTS, sizeof(struct host), config->seed, &hosts);

	if (r == 0)
		*ret_state = hosts;
	return r;
}

static void stealer_deinit(void *state)
{
	moat_ledger_free(state);
}

static void report(const struct moat_content *content, double score, const char *driver,
		   const char *why, moat_suspect_fn suspect, void *engine)
{
	char client[MOAT_ADDR_TEXT_LEN], server[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion = moat_suspicion_of_content(
		content, MOAT_FINDING_EXFILTRATION, score, 0, HOLD_NS);

	moat_suspicion_drive(&suspicion, driver, 0, score);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Exfiltration from %s to %s port %u: %.140s",
		 moat_addr_format(&content->client, client),
		 moat_addr_format(&content->server, server), content->server_port, why);
	suspect(engine, &suspicion);
}

static bool is_address_service(const char *name)
{
	static const char *const names[] = {
		"api.ipify.org",
		"api64.ipify.org",
		"checkip.dyndns.org",
		"checkip.amazonaws.com",
		"ip-api.com",
		"icanhazip.com",
		"ifconfig.me",
		"ipinfo.io",
		"ident.me",
		"ipecho.net",
		"wtfismyip.com",
		"myexternalip.com",
		"whatismyipaddress.com",
		"freegeoip.app",
		"ipv4bot.whatismyipaddress.com",
		"bot.whatismyipaddress.com",
		"showip.net",
		"geoplugin.net",
	};
	const char *registered = moat_name_registered(name);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0 || strcmp(registered, names[i]) == 0)
			return true;
	return false;
}

/* "PW_user-HOST_2024_…", as AgentTesla's kind names its reports: passwords, keys, screens, cookies. */
static bool is_report_name(const struct moat_content *content)
{
	static const char *const begins[] = {
		"STOR PW_",     "STOR KL_",     "STOR SC_",     "STOR CO_",     "STOR CC_",
		"Subject: PW_", "Subject: KL_", "Subject: SC_", "Subject: CO_", "Subject: CC_",
	};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (moat_bytes_find(content->data, content->captured, begins[i]))
			return true;
	return false;
}

/* The moment where data begin to go: a login's success in FTP or mail, an upload by a robot's name. */
static bool is_upload(const struct moat_content *content, const char *tls_name)
{
	switch (content->server_port) {
	case 21:
		return moat_bytes_begin(content->data, content->captured, "STOR ");
	case 25:
	case 465:
	case 587:
		return moat_bytes_begin(content->data, content->captured, "AUTH ") ||
		       moat_bytes_begin(content->data, content->captured, "STARTTLS") ||
		       moat_bytes_begin(content->data, content->captured, "MAIL FROM") ||
		       content->server_port == 465;
	default:
		return tls_name && (strcmp(tls_name, "api.telegram.org") == 0 ||
				    strcmp(tls_name, "discord.com") == 0);
	}
}

static bool is_numeric_host(const char *host)
{
	return host[strspn(host, "0123456789.:")] == '\0' && strchr(host, '.');
}

static void judge_post(struct host *host, const struct moat_detect_config *config,
		       const struct moat_content *content, moat_suspect_fn suspect, void *engine)
{
	char name[MOAT_NAME_LEN];
	double servers;

	if (!moat_bytes_begin(content->data, content->captured, "POST ") ||
	    moat_addr_is_local(&content->server) ||
	    !moat_http_header(content->data, content->captured, "Host", name, sizeof(name)) ||
	    !is_numeric_host(name))
		return;
	if (content->time_ns - host->posted_ns > SOON_NS)
		memset(&host->posts, 0, sizeof(host->posts));
	host->posted_ns = content->time_ns;
	moat_distinct_add(&host->posts, moat_mix(moat_addr_hash(&content->server, config->seed)));
	servers = moat_distinct_count(&host->posts);
	if (servers >= POSTS - 0.5)
		report(content, servers / POSTS, "bare_posts",
		       "posts to several servers by their bare addresses", suspect, engine);
}

static void stealer_content(void *state, const struct moat_detect_config *config,
			    const struct moat_content *content, moat_suspect_fn suspect,
			    void *engine)
{
	struct moat_ledger_key key = { .a = content->client };
	char name[MOAT_NAME_LEN] = "";
	struct moat_dns dns;
	bool is_new, is_hello = false, whole;
	struct host *host;

	if (content->direction != 0)
		return;
	if (content->server_port == 53) {
		if (content->proto != 17 || !moat_dns_parse(content->data, content->captured, &dns))
			return;
		memcpy(name, dns.name, sizeof(name));
	} else if (content->proto == 6 && content->index == 0) {
		is_hello = moat_tls_hello(content->data, content->captured, name, &whole);
		if (!is_hello)
			moat_http_header(content->data, content->captured, "Host", name,
					 sizeof(name));
	}
	host = moat_ledger_take(state, &key, content->time_ns, &is_new);
	if (name[0] && is_address_service(name))
		host->asked_ns = content->time_ns;
	if (content->proto != 6)
		return;
	if (is_report_name(content))
		report(content, 4, "report_names", "a file or mail named like a stealer's report",
		       suspect, engine);
	else if (host->asked_ns && content->time_ns - host->asked_ns < SOON_NS &&
		 !moat_addr_is_local(&content->server) && is_upload(content, is_hello ? name : NULL))
		report(content, 2, "upload_after_address",
		       "an upload soon after the host asked for its own public address", suspect,
		       engine);
	judge_post(host, config, content, suspect, engine);
}

const struct moat_detector_ops moat_detector_stealer = {
	.name = "stealer",
	.title = "stolen data on its way out by mail, FTP, messengers and bare addresses",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR,
	.init = stealer_init,
	.deinit = stealer_deinit,
	.content = stealer_content,
};
