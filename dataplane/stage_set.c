/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See stage_set.h. */
#include "dataplane/stage_set.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"

int moat_stage_set_new(struct moat_stage_set **ret_set)
{
	struct moat_stage_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->references = 1;
	*ret_set = set;
	return 0;
}

struct moat_stage_set *moat_stage_set_ref(struct moat_stage_set *set)
{
	if (set)
		set->references++;
	return set;
}

void moat_stage_set_unref(struct moat_stage_set *set)
{
	if (!set || --set->references)
		return;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(set->marked); i++)
		free(set->marked[i].prefixes);
	free(set->protections);
	free(set->sources);
	free(set);
}

void moat_stage_set_unref_cleanup(struct moat_stage_set **set)
{
	moat_stage_set_unref(*set);
}

/* Room for one element more; arrays grow by doubling. False: no memory. */
static bool reserve(void **items, size_t count, size_t size)
{
	void *grown;

	if (count & (count - 1))
		return true;
	grown = reallocarray(*items, count ? 2 * count : 1, size);
	if (grown)
		*items = grown;
	return grown != NULL;
}

int moat_stage_set_protect(struct moat_stage_set *set, const struct moat_protection *protection)
{
	if (protection->prefix.family == MOAT_FAMILY_ANY ||
	    (protection->challenge == MOAT_CHALLENGE_ABOVE && protection->challenge_above.per_s == 0))
		return -EINVAL;
	for (size_t i = 0; i < set->protection_count; i++) {
		if (moat_prefix_equal(&set->protections[i].prefix, &protection->prefix))
			return -EEXIST;
	}
	if (set->protection_count >= MOAT_PROFILES_MAX - 1)
		return -ENOSPC;
	if (!reserve((void **)&set->protections, set->protection_count, sizeof(*protection)))
		return -ENOMEM;
	set->protections[set->protection_count++] = *protection;
	return 0;
}

int moat_stage_set_limit_source(struct moat_stage_set *set, const struct moat_source_limit *limit)
{
	if (limit->v4_len < 1 || limit->v4_len > 32 || limit->v6_len < 1 || limit->v6_len > 128)
		return -EINVAL;
	for (size_t i = 0; i < set->source_count; i++) {
		if (moat_prefix_equal(&set->sources[i].prefix, &limit->prefix))
			return -EEXIST;
	}
	if (set->source_count >= MOAT_SOURCE_PROFILES_MAX - 1)
		return -ENOSPC;
	if (!reserve((void **)&set->sources, set->source_count, sizeof(*limit)))
		return -ENOMEM;
	set->sources[set->source_count++] = *limit;
	return 0;
}

int moat_stage_set_mark(struct moat_stage_set *set, enum moat_marked marked,
			const struct moat_prefix *prefix)
{
	struct moat_marked_prefixes *list = &set->marked[marked];

	if (prefix->family == MOAT_FAMILY_ANY)
		return -EINVAL;
	for (size_t i = 0; i < list->count; i++) {
		if (moat_prefix_equal(&list->prefixes[i], prefix))
			return 0;
	}
	if (!reserve((void **)&list->prefixes, list->count, sizeof(*prefix)))
		return -ENOMEM;
	list->prefixes[list->count++] = *prefix;
	return 0;
}

int moat_stage_set_mark_rfc6890(struct moat_stage_set *set)
{
	static const char *const texts[] = {
		"0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",   "127.0.0.0/8",
		"169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4",    "240.0.0.0/4",   "::/128",          "::1/128",
		"64:ff9b:1::/48", "100::/64",      "2001:2::/48",     "2001:10::/28",
		"2001:db8::/32",  "3fff::/20",     "fc00::/7",        "ff00::/8",
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(texts); i++) {
		struct moat_prefix prefix;
		int r = moat_prefix_parse(texts[i], &prefix);

		if (r == 0)
			r = moat_stage_set_mark(set, MOAT_MARKED_MARTIAN, &prefix);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Datagrams, IP header included. What no service on the Internet answers across a border gets 64: room for
 * an empty answer. DNS: 1,232 bytes of payload, the most that resolvers ask for since the flag day of
 * 2020. NTP: 48 bytes and a key, not the lists of mode 7 (440 and more). SNMP: the 484 bytes that RFC 3417
 * makes each side accept. CLDAP: an answer of a domain controller to a locator ping.
 */
void moat_stage_set_bound_reflectors(struct moat_stage_set *set)
{
	static const struct {
		uint16_t port, length;
	} bounds[] = {
		{ 17, 64 },   { 19, 64 },   { 53, 1280 }, { 69, 576 },  { 111, 128 },
		{ 123, 128 }, { 137, 256 }, { 161, 532 }, { 389, 512 }, { 520, 64 },
		{ 1900, 64 }, { 3283, 64 }, { 3702, 64 }, { 5353, 64 }, { 11211, 64 },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(bounds); i++)
		set->reflect_len[bounds[i].port] = bounds[i].length;
}
