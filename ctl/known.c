/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A reader sees each word old or new: a source may be missed for the moment of the copy, never a wrong
 * one added. */
#include "ctl/known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

int moat_known_builder_init(struct moat_known_builder *builder, uint64_t hash_seed,
			    const struct moat_known *in_force)
{
	struct moat_known *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	*builder = (struct moat_known_builder){ .fresh = fresh, .hash_seed = hash_seed };
	for (size_t i = 0; in_force && i < MOAT_ARRAY_SIZE(in_force->words); i++)
		builder->adopted |= in_force->words[i] != 0;
	return 0;
}

void moat_known_builder_deinit(struct moat_known_builder *builder)
{
	free(builder->fresh);
	builder->fresh = NULL;
}

static void add(void *userdata, const struct moat_addr *addr)
{
	struct moat_known_builder *builder = userdata;

	if (builder->sources == MOAT_KNOWN_SOURCES_MAX)
		return;
	moat_known_add(builder->fresh, addr, builder->hash_seed);
	builder->sources++;
}

static void copy_to(const struct moat_known_builder *builder, struct moat_known *filter)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(filter->words); i++) {
		uint64_t word = builder->fresh->words[i];

		if (builder->adopted)
			word |= filter->words[i];
		/* unchanged words stay clean in the caches of the CPUs that read them */
		if (filter->words[i] != word)
			__atomic_store_n(&filter->words[i], word, __ATOMIC_RELAXED);
	}
}

void moat_known_builder_update(struct moat_known_builder *builder, const struct moat_detect *detect,
			       struct moat_known *const *filters, size_t filter_count)
{
	struct moat_detect_counters counters;

	moat_detect_counters(detect, &counters);
	if (builder->adopted && !counters.learning)
		builder->adopted = false;
	memset(builder->fresh, 0, sizeof(*builder->fresh));
	builder->sources = 0;
	moat_detect_known(detect, add, builder);
	for (size_t i = 0; i < filter_count; i++) {
		if (filters[i])
			copy_to(builder, filters[i]);
	}
}
