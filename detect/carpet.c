/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Carpet bombing: a flood spread over a prefix, too thin on each of its hosts to be one there. What hosts of
 * a /24 (IPv6: /64) get is summed for a second and compared with what the prefix is used to.
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

#define PREFIXES 8192
#define HOLD_NS (30 * MOAT_NS_PER_S)
/* A host with fewer packets in a window adds nothing to a flood, and most hosts are such. */
#define PACKETS_MIN 4
/* Hosts that share the flood, and how much of it one of them may have. */
#define HOSTS_MIN 16
#define HOST_SHARE 0.25
/* Over the usual peak; what goes back, at most. */
#define PEAK_FACTOR 4.0
#define ANSWERED_SHARE 0.3
#define SECONDS_KNOWN 4
#define OPEN_SECONDS 2
#define PEAK_FORGET 0.999
#define PEAK_GROWTH 1.05

struct block {
	/* of the second at hand */
	double packets, bytes, back, largest;
	struct moat_distinct hosts;
	/* what is usual */
	double peak;
	uint32_t seconds, run;
	uint64_t first_ns;
};

struct carpet {
	struct moat_ledger *blocks;
	/* of one call of `second` */
	const struct moat_detect_config *config;
	uint64_t now_ns;
	moat_suspect_fn suspect;
	void *engine;
};

static void carpet_deinit(void *state)
{
	struct carpet *carpet = state;

	if (!carpet)
		return;
	moat_ledger_free(carpet->blocks);
	free(carpet);
}

static int carpet_init(const struct moat_detect_config *config, void **ret_state)
{
	struct carpet *carpet = calloc(1, sizeof(*carpet));
	int r = carpet ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(PREFIXES, sizeof(struct block), config->seed, &carpet->blocks);
	if (r < 0) {
		carpet_deinit(carpet);
		return r;
	}
	*ret_state = carpet;
	return 0;
}

/* The block's first address. */
static struct moat_addr block_of(const struct moat_addr *addr)
{
	struct moat_addr block = *addr;

	if (moat_addr_is_v4(addr))
		block.bytes[15] = 0;
	else
		block.quads[1] = 0;
	return block;
}

static void carpet_window(void *state, const struct moat_detect_config *config,
			  const struct moat_host_view *host, moat_suspect_fn suspect, void *engine)
{
	struct carpet *carpet = state;
	const struct moat_host_window *window = host->window;
	uint64_t end_ns = window->start_ns + window->length_ns;
	struct moat_ledger_key key = { .c = 0 };
	struct block *block;
	bool is_new;

	if (window->to.packets < PACKETS_MIN)
		return;
	key.a = block_of(&window->addr);
	block = moat_ledger_take(carpet->blocks, &key, end_ns, &is_new);
	block->packets += (double)window->to.packets;
	block->bytes += (double)window->to.bytes;
	block->back += (double)window->from.packets;
	block->largest = fmax(block->largest, (double)host->second->to.packets);
	moat_distinct_add(&block->hosts, moat_mix(moat_addr_hash(&window->addr, config->seed)));
}

static void report(const struct carpet *carpet, const struct moat_ledger_key *key,
		   const struct block *block, double limit)
{
	char text[MOAT_ADDR_TEXT_LEN];
	double hosts = moat_distinct_count(&block->hosts);
	bool v4 = moat_addr_is_v4(&key->a);
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_CARPET,
		.subject = key->a,
		.prefix_len = v4 ? 24 : 64,
		.score = block->packets / limit,
		.pps = block->packets,
		.mbps = block->bytes * 8 / 1e6,
		.share = 1,
		.usual_pps = block->peak,
		.first_ns = block->first_ns,
		.hold_ns = HOLD_NS,
	};

	moat_suspicion_drive(&suspicion, "prefix.packets/s", block->peak, block->packets);
	moat_suspicion_drive(&suspicion, "prefix.hosts", HOSTS_MIN, hosts);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Carpet bombing of %s/%u: %.0f packets/s, %.0f Mbit/s over some %.0f hosts (normal: up to %.0f/s)",
		 moat_addr_format(&key->a, text), v4 ? 24 : 64, block->packets, suspicion.mbps,
		 hosts, block->peak);
	carpet->suspect(carpet->engine, &suspicion);
}

static void close_block(void *userdata, const struct moat_ledger_key *key, void *entry,
			uint64_t touched_ns)
{
	const struct carpet *carpet = userdata;
	struct block *block = entry;
	/* the least specific of floods: its floor is that of datagrams */
	double floor_pps = carpet->config->floor_pps[MOAT_FINDING_UDP_FLOOD];
	double guard = carpet->config->guard_pps[MOAT_FINDING_UDP_FLOOD];
	double limit = fmax(floor_pps, PEAK_FACTOR * block->peak);
	bool known = block->seconds >= SECONDS_KNOWN;

	if (!known)
		limit = guard > 0 ? fmax(limit, guard) : INFINITY;
	if (block->packets == 0 && block->run == 0)
		return;
	if (block->packets >= limit && moat_distinct_count(&block->hosts) >= HOSTS_MIN &&
	    block->largest <= HOST_SHARE * block->packets &&
	    block->back <= ANSWERED_SHARE * block->packets) {
		if (block->run++ == 0)
			block->first_ns = carpet->now_ns;
		if (block->run >= OPEN_SECONDS)
			report(carpet, key, block, limit);
	} else {
		/* grows slowly once known: a patient attacker teaches it little */
		double most = known ? fmax(block->peak * PEAK_GROWTH, 100) : block->packets;

		block->peak = fmax(block->peak * PEAK_FORGET, fmin(block->packets, most));
		block->seconds++;
		block->run = 0;
	}
	block->packets = block->bytes = block->back = block->largest = 0;
	memset(&block->hosts, 0, sizeof(block->hosts));
}

static void carpet_second(void *state, const struct moat_detect_config *config, uint64_t now_ns,
			  moat_suspect_fn suspect, void *engine)
{
	struct carpet *carpet = state;

	if (moat_ledger_count(carpet->blocks) == 0)
		return;
	carpet->config = config;
	carpet->now_ns = now_ns;
	carpet->suspect = suspect;
	carpet->engine = engine;
	moat_ledger_each(carpet->blocks, close_block, carpet);
}

const struct moat_detector_ops moat_detector_carpet = {
	.name = "carpet",
	.title = "floods spread thinly over a /24 or /64",
	.modes = MOAT_MODE_GATEWAY | MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.init = carpet_init,
	.deinit = carpet_deinit,
	.window = carpet_window,
	.second = carpet_second,
};
