/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Miners of coins: by what they say (Stratum v1 and its Ethereum and Monero dialects, getwork,
 * getblocktemplate, Bitcoin's peer protocol), by the names of pools they look up, and, where all is
 * encrypted, by how a pool speaks: jobs of nearly one size, pushed every few seconds to minutes, that are
 * hardly ever answered.
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

#define POOLS 16384
#define HOLD_NS (1800 * MOAT_NS_PER_S)
/* Jobs before the pattern is believed, and their sizes: a job is hundreds of bytes (a target, a header, a
 * Merkle branch), a keep-alive tens. */
#define JOBS 8
#define JOB_MIN 100
#define JOB_MAX 4000
#define GAP_MIN_S 2
#define GAP_MAX_S 300
#define SIZES 16
/* Of the jobs: so many have the usual size, within so much of it. */
#define ALIKE_SHARE 0.7
#define ALIKE_WIDTH 0.05
/* What the client says meanwhile, over what the pool does. */
#define CLIENT_SHARE 0.5

/* One connection to what may be a pool. */
struct pool {
	uint64_t first_ns, last_ns;
	uint64_t before[2];    /* payload when the last turn began */
	uint16_t sizes[SIZES]; /* of the last pushes */
	uint16_t gaps[SIZES];  /* before them, tenths of a second */
	uint32_t jobs, others; /* pushes of the pool; turns that the client began */
	uint64_t base[2];      /* payload when the first job came: what a handshake takes */
	bool job_open;         /* the last turn was the pool's: its size isn't known yet */
	uint64_t job_ns;
};

static int miner_init(const struct moat_detect_config *config, void **ret_state)
{
	struct moat_ledger *pools = NULL;
	int r = moat_ledger_new(POOLS, sizeof(struct pool), config->seed, &pools);

	if (r == 0)
		*ret_state = pools;
	return r;
}

static void miner_deinit(void *state)
{
	moat_ledger_free(state);
}

struct talk {
	const struct moat_addr *client, *server;
	uint16_t port;
	uint8_t proto;
};

static void report(const struct talk *talk, double score, const char *driver, double seen,
		   const char *why, uint64_t first_ns, moat_suspect_fn suspect, void *engine)
{
	char host[MOAT_ADDR_TEXT_LEN], pool[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_MINER,
		.subject = *talk->client,
		.subject_is_source = true,
		.score = score,
		.share = 1,
		.usual_pps = -1,
		.peer = *talk->server,
		.port = talk->port,
		.proto = talk->proto,
		.first_ns = first_ns,
		.hold_ns = HOLD_NS,
	};

	moat_suspicion_drive(&suspicion, driver, 0, seen);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence), "Miner at %s, %s port %u: %.150s",
		 moat_addr_format(talk->client, host), moat_addr_format(talk->server, pool),
		 talk->port, why);
	suspect(engine, &suspicion);
}

/* ---- what they say ------------------------------------------------------------------------------- */

/* Methods that nothing else has; JSON-RPC of others has "method" too. */
static const char *const words[] = {
	"\"mining.subscribe\"",
	"\"mining.authorize\"",
	"\"mining.notify\"",
	"\"mining.submit\"",
	"\"mining.set_difficulty\"",
	"\"mining.extranonce",
	"\"eth_submitLogin\"",
	"\"eth_submitwork\"",
	"\"eth_getwork\"",
	"\"eth_submitHashrate\"",
	"\"getwork\"",
	"\"getblocktemplate\"",
	"\"submitblock\"",
	"\"seed_hash\"",
	"stratum+tcp",
	"X-Mining-",
	"\"rigid\"",
	"\"algo\":[\"rx/",
	"\"algo\":[\"cn",
	"\"job_id\"",
};

/* Of Bitcoin's peers (magic numbers of main and test net) with a command; and Stratum v2 has none. */
static bool is_coin_peer(const struct moat_content *content)
{
	static const uint8_t magics[][4] = { { 0xf9, 0xbe, 0xb4, 0xd9 },
					     { 0x0b, 0x11, 0x09, 0x07 } };
	static const char *const commands[] = { "version",    "verack",  "inv",  "tx",
						"block",      "getdata", "addr", "getblocks",
						"getheaders", "headers", "ping", "pong" };

	if (content->captured < 24)
		return false;
	for (size_t m = 0; m < sizeof(magics) / sizeof(magics[0]); m++) {
		if (memcmp(content->data, magics[m], 4) != 0)
			continue;
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (strncmp((const char *)content->data + 4, commands[i], 12) == 0)
				return true;
	}
	return false;
}

/* Parts of names of pools; each alone is rare enough in other names. */
static const char *const pool_words[] = {
	"minexmr",        "supportxmr",    "nanopool",    "f2pool",    "nicehash",
	"ethermine",      "hashvault",     "moneroocean", "2miners",   "antpool",
	"slushpool",      "braiins",       "viabtc",      "poolin.",   "unmineable",
	"herominers",     "minergate",     "dwarfpool",   "c3pool",    "xmrpool",
	"prohashing",     "miningpool",    "monerohash",  "xmr.pool",  "pool.xmr",
	"pool.minergate", "ethpool",       "flypool",     "sparkpool", "hiveon",
	"flexpool",       "kryptex",       "zergpool",    "zpool.ca",  "mining-dutch",
	"litecoinpool",   "btc.com.pool",  "coinhive",    "coin-hive", "stratum.",
	".stratum",       "rx.unmineable", "xmrig",
};

static bool is_pool_name(const char *name)
{
	for (size_t i = 0; i < sizeof(pool_words) / sizeof(pool_words[0]); i++)
		if (strstr(name, pool_words[i]))
			return true;
	return false;
}

static void judge_name(const struct moat_content *content, const char *name,
		       moat_suspect_fn suspect, void *engine)
{
	struct talk talk = { &content->client, &content->server, content->server_port,
			     content->proto };
	char why[MOAT_NAME_LEN + 32];

	if (!is_pool_name(name))
		return;
	snprintf(why, sizeof(why), "the name of a mining pool, %s", name);
	report(&talk, 2, "pool_names", 1, why, 0, suspect, engine);
}

static void miner_content(void *state, const struct moat_detect_config *config,
			  const struct moat_content *content, moat_suspect_fn suspect, void *engine)
{
	struct talk talk = { &content->client, &content->server, content->server_port,
			     content->proto };
	char name[MOAT_NAME_LEN];
	struct moat_dns dns;
	bool whole;

	if (content->server_port == 53) {
		if (content->direction == 0 && moat_dns_parse(content->data, content->captured, &dns))
			judge_name(content, dns.name, suspect, engine);
		return;
	}
	if (content->proto != 6)
		return;
	if (content->direction == 0 &&
	    moat_tls_hello(content->data, content->captured, name, &whole)) {
		judge_name(content, name, suspect, engine);
		return;
	}
	if (is_coin_peer(content)) {
		report(&talk, 2, "coin_messages", 1, "speaks the peer protocol of a coin", 0,
		       suspect, engine);
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char why[64];
		bool by_pool;

		if (!moat_bytes_find(content->data, content->captured, words[i]))
			continue;
		snprintf(why, sizeof(why), "says %s", words[i]);
		/* joined midway, the first to speak may be the pool */
		by_pool = strstr(words[i], "notify") || strstr(words[i], "difficulty");
		if (by_pool && content->direction == 0)
			talk = (struct talk){ &content->server, &content->client,
					      content->client_port, content->proto };
		report(&talk, 4, "mining_words", 1, why, 0, suspect, engine);
		return;
	}
}

/* ---- how they speak ------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;

	return (x > y) - (x < y);
}

static double median_of(const uint16_t *values, size_t count)
{
	size_t middle = count / 2;
	uint16_t sorted[SIZES];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[middle];
}

static void take_job(struct pool *pool, const struct moat_flow_record *record)
{
	uint64_t size = record->payload[1] - pool->before[1];
	uint32_t place = pool->jobs % SIZES;
	double gap = (double)(record->last_ns - pool->job_ns) / (double)MOAT_NS_PER_S * 10;

	if (size == 0)
		return;
	pool->sizes[place] = (uint16_t)fmin((double)size, UINT16_MAX);
	pool->gaps[place] = (uint16_t)fmin(gap, UINT16_MAX);
	pool->jobs++;
}

static bool speaks_like_pool(const struct pool *pool, double *ret_size, double *ret_gap)
{
	size_t count = pool->jobs < SIZES ? pool->jobs : SIZES, alike = 0;

	if (pool->jobs < JOBS || pool->others > pool->jobs)
		return false;
	*ret_size = median_of(pool->sizes, count);
	*ret_gap = median_of(pool->gaps, count) / 10;
	for (size_t i = 0; i < count; i++)
		alike += fabs(pool->sizes[i] - *ret_size) <= ALIKE_WIDTH * *ret_size;
	return *ret_size >= JOB_MIN && *ret_size <= JOB_MAX && *ret_gap >= GAP_MIN_S &&
	       *ret_gap <= GAP_MAX_S && (double)alike >= ALIKE_SHARE * (double)count;
}

static void miner_flow(void *state, const struct moat_detect_config *config,
		       const struct moat_flow_record *record, moat_suspect_fn suspect, void *engine)
{
	struct moat_ledger_key key = { .a = record->client,
				       .b = record->server,
				       .c = (uint64_t)record->client_port << 16 |
					    record->server_port };
	struct talk talk = { &record->client, &record->server, record->server_port, record->proto };
	struct pool *pool;
	double size, gap;
	char why[96];
	bool is_new;

	if (record->event != MOAT_RECORD_SPEAKS || record->proto != 6)
		return;
	pool = moat_ledger_take(state, &key, record->last_ns, &is_new);
	if (is_new) {
		pool->first_ns = record->first_ns;
		pool->base[0] = record->payload[0];
		pool->base[1] = record->payload[1];
	} else if (pool->job_open) {
		take_job(pool, record);
	}
	pool->others += record->direction == 0;
	pool->before[0] = record->payload[0];
	pool->before[1] = record->payload[1];
	pool->job_open = record->direction == 1;
	pool->job_ns = record->last_ns;
	if (!speaks_like_pool(pool, &size, &gap) ||
	    (double)(record->payload[0] - pool->base[0]) >
		    CLIENT_SHARE * (double)(record->payload[1] - pool->base[1]))
		return;
	snprintf(why, sizeof(why), "%u pushes of about %.0f bytes, one in %.0f s, hardly answered",
		 pool->jobs, size, gap);
	report(&talk, (double)pool->jobs / JOBS, "alike_pushes", pool->jobs, why, pool->first_ns,
	       suspect, engine);
}

const struct moat_detector_ops moat_detector_miner = {
	.name = "miner",
	.title = "coin miners: stratum and getwork, names of pools, the rhythm of encrypted jobs",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR,
	.init = miner_init,
	.deinit = miner_deinit,
	.flow = miner_flow,
	.content = miner_content,
};
