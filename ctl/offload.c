/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"
#include "dataplane/gate.h"

/* A port's card. */
struct card {
	char name[16]; /* the port's */
	char dpdk[256];
	struct moat_offload_rule *rules; /* MOAT_OFFLOAD_MAX */
	size_t count, taken;
	char why[128]; /* of the first refusal; empty: none */
};

struct moat_offloads {
	struct card cards[MOAT_PORTS_MAX];
	size_t count;
};

struct moat_offloads *moat_offloads_new(void)
{
	return calloc(1, sizeof(struct moat_offloads));
}

static void apply(struct card *card)
{
	struct moat_error error = { .text = "" };

	card->taken = card->dpdk[0]
			      ? moat_offload_flow_apply(card->dpdk, card->rules, card->count, &error)
			      : moat_offload_xdp_apply(card->name, card->rules, card->count, &error);
	if (error.text[0] && strncmp(error.text, card->why, sizeof(card->why) - 1) != 0)
		moat_log(MOAT_LOG_WARNING, "port %s: %zu of %zu rules are in the card: %s",
			 card->name, card->taken, card->count, error.text);
	snprintf(card->why, sizeof(card->why), "%s", error.text);
}

static void card_clear(struct card *card)
{
	card->count = 0;
	if (card->rules)
		apply(card);
	free(card->rules);
}

void moat_offloads_free(struct moat_offloads *offloads)
{
	for (size_t i = 0; offloads && i < offloads->count; i++)
		card_clear(&offloads->cards[i]);
	free(offloads);
}

static const struct moat_config_port *asking(const struct moat_config *config, const char *name)
{
	for (size_t i = 0; i < config->port_count; i++) {
		if (config->ports[i].offload && strcmp(config->ports[i].name, name) == 0)
			return &config->ports[i];
	}
	return NULL;
}

static struct card *card_of(struct moat_offloads *offloads, const char *name)
{
	for (size_t i = 0; i < offloads->count; i++) {
		if (strcmp(offloads->cards[i].name, name) == 0)
			return &offloads->cards[i];
	}
	return NULL;
}

static void drop_cards(struct moat_offloads *offloads, const struct moat_config *config)
{
	for (size_t i = offloads->count; i-- > 0;) {
		if (asking(config, offloads->cards[i].name))
			continue;
		card_clear(&offloads->cards[i]);
		offloads->cards[i] = offloads->cards[--offloads->count];
	}
}

void moat_offloads_sync(struct moat_offloads *offloads, const struct moat_config *config,
			const struct moat_ruleset *set)
{
	if (!offloads)
		return; /* the start isn't that far yet */
	drop_cards(offloads, config);
	for (size_t i = 0; i < config->port_count; i++) {
		const struct moat_config_port *port = &config->ports[i];
		struct card *card = card_of(offloads, port->name);

		if (!port->offload)
			continue;
		if (!card && offloads->count < MOAT_PORTS_MAX) {
			card = &offloads->cards[offloads->count++];
			*card = (struct card){
				.rules = calloc(MOAT_OFFLOAD_MAX, sizeof(*card->rules)),
			};
			snprintf(card->name, sizeof(card->name), "%s", port->name);
			snprintf(card->dpdk, sizeof(card->dpdk), "%s", port->dpdk);
		}
		if (!card || !card->rules)
			continue;
		card->count = moat_offload_choose(set, port->stages, config->tunnels.kinds != 0,
						  card->rules);
		apply(card);
	}
}

static bool is_of(const struct moat_offload_rule *rule, uint32_t rule_id,
		  const struct moat_prefix *prefix)
{
	return rule->taken && rule->rule_id == rule_id &&
	       (rule_id || moat_prefix_equal(&rule->match.src, prefix));
}

struct moat_counter moat_offloads_hits(const struct moat_offloads *offloads, uint32_t rule_id)
{
	struct moat_counter sum = { 0 };

	for (size_t i = 0; offloads && i < offloads->count; i++) {
		const struct card *card = &offloads->cards[i];

		for (size_t j = 0; j < card->count; j++) {
			struct moat_offload_rule rule = card->rules[j];

			if (!is_of(&rule, rule_id, NULL) || !rule.counts)
				continue;
			moat_offload_flow_hits(card->dpdk, &rule, 1);
			sum.packets += rule.hits.packets;
			sum.bytes += rule.hits.bytes;
		}
	}
	return sum;
}

json_t *moat_offloads_where(const struct moat_offloads *offloads, uint32_t rule_id,
			    const struct moat_prefix *prefix)
{
	json_t *where = json_pack("[s]", "software");

	for (size_t i = 0; offloads && i < offloads->count; i++) {
		const struct card *card = &offloads->cards[i];

		for (size_t j = 0; j < card->count; j++) {
			if (is_of(&card->rules[j], rule_id, prefix)) {
				json_array_append_new(where, json_sprintf("nic %s", card->name));
				break;
			}
		}
	}
	return where;
}

json_t *moat_offloads_denied(const struct moat_offloads *offloads)
{
	json_t *denied = json_array();

	for (size_t i = 0; offloads && i < offloads->count; i++) {
		const struct card *card = &offloads->cards[i];

		for (size_t j = 0; j < card->count; j++) {
			struct moat_offload_rule rule = card->rules[j];
			char text[MOAT_PREFIX_TEXT_LEN];

			if (!rule.taken || rule.rule_id)
				continue;
			if (rule.counts)
				moat_offload_flow_hits(card->dpdk, &rule, 1);
			json_array_append_new(
				denied,
				json_pack("{s:s,s:s,s:o}", "prefix",
					  moat_prefix_format(&rule.match.src, text), "port",
					  card->name, "hits",
					  rule.counts ? json_integer((json_int_t)rule.hits.packets)
						      : json_null()));
		}
	}
	return denied;
}

json_t *moat_offloads_status(const struct moat_offloads *offloads)
{
	json_t *cards = json_array();

	for (size_t i = 0; offloads && i < offloads->count; i++) {
		const struct card *card = &offloads->cards[i];

		json_array_append_new(cards, json_pack("{s:s,s:s,s:I,s:I,s:s}", "port", card->name,
						       "by", card->dpdk[0] ? "rte_flow" : "xdp",
						       "taken", (json_int_t)card->taken, "refused",
						       (json_int_t)(card->count - card->taken),
						       "why", card->why));
	}
	return cards;
}
