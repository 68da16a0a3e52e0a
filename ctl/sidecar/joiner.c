/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See joiner.h. Containers in a chained hash and a list by last use; events in one queue by arrival, since
 * few wait and rarely. */
#include "ctl/sidecar/joiner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/facts.h"

#define BUCKETS 1024

struct known {
	char id[MOAT_CONTAINER_ID_LEN];
	bool settled;  /* facts are there, or there are none */
	json_t *facts; /* NULL: none */
	struct known *next;
	TAILQ_ENTRY(known) by_use;
};

struct waiting {
	json_t *event;
	char id[MOAT_CONTAINER_ID_LEN];
	uint64_t until_ns;
	TAILQ_ENTRY(waiting) by_age;
};

TAILQ_HEAD(knowns, known);
TAILQ_HEAD(waitings, waiting);

struct moat_joiner {
	moat_joiner_fn handler;
	void *userdata;
	struct known *buckets[BUCKETS];
	struct knowns knowns; /* longest unused first */
	struct waitings waitings;
	struct moat_joiner_counters counters;
};

int moat_joiner_new(moat_joiner_fn handler, void *userdata, struct moat_joiner **ret_joiner)
{
	struct moat_joiner *joiner = calloc(1, sizeof(*joiner));

	if (!joiner)
		return -ENOMEM;
	joiner->handler = handler;
	joiner->userdata = userdata;
	TAILQ_INIT(&joiner->knowns);
	TAILQ_INIT(&joiner->waitings);
	*ret_joiner = joiner;
	return 0;
}

/* ---- containers --------------------------------------------------------------------------------- */

/* FNV-1a: ids are hexadecimal digits for the most part, so that no few of them would do. */
static struct known **bucket_of(const struct moat_joiner *joiner, const char *id)
{
	uint32_t hash = 2166136261u;

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return (struct known **)&joiner->buckets[hash % BUCKETS];
}

static struct known *find(const struct moat_joiner *joiner, const char *id)
{
	struct known *known = *bucket_of(joiner, id);

	while (known && strcmp(known->id, id) != 0)
		known = known->next;
	return known;
}

static void forget(struct moat_joiner *joiner, struct known *known)
{
	struct known **at = bucket_of(joiner, known->id);

	while (*at != known)
		at = &(*at)->next;
	*at = known->next;
	TAILQ_REMOVE(&joiner->knowns, known, by_use);
	joiner->counters.containers--;
	json_decref(known->facts);
	free(known);
}

/* The container, made if it isn't there, as the one used last. NULL without memory. */
static struct known *use(struct moat_joiner *joiner, const char *id)
{
	struct known *known = find(joiner, id), **bucket = bucket_of(joiner, id);

	if (known) {
		TAILQ_REMOVE(&joiner->knowns, known, by_use);
		TAILQ_INSERT_TAIL(&joiner->knowns, known, by_use);
		return known;
	}
	if (joiner->counters.containers >= MOAT_JOINER_CONTAINERS) {
		joiner->counters.forgotten++;
		forget(joiner, TAILQ_FIRST(&joiner->knowns));
	}
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	snprintf(known->id, sizeof(known->id), "%s", id);
	known->next = *bucket;
	*bucket = known;
	TAILQ_INSERT_TAIL(&joiner->knowns, known, by_use);
	joiner->counters.containers++;
	return known;
}

json_t *moat_joiner_find(const struct moat_joiner *joiner, const char *id)
{
	const struct known *known = find(joiner, id);

	return known ? known->facts : NULL;
}

/* ---- events ------------------------------------------------------------------------------------- */

static void pass(struct moat_joiner *joiner, json_t *event, const struct known *known, bool late)
{
	json_t *unmapped = json_object_get(event, "unmapped");

	if (known && known->facts)
		moat_facts_join(event, known->facts, late);
	else
		joiner->counters.without++;
	if (late)
		json_object_set_new(unmapped, "late", json_true());
	joiner->handler(joiner->userdata, event);
}

static void release(struct moat_joiner *joiner, struct waiting *waiting)
{
	const struct known *known = find(joiner, waiting->id);

	TAILQ_REMOVE(&joiner->waitings, waiting, by_age);
	joiner->counters.waiting--;
	if (known && known->facts)
		joiner->counters.late++;
	pass(joiner, waiting->event, known, true);
	free(waiting);
}

static void wait_for(struct moat_joiner *joiner, json_t *event, const char *id, uint64_t now_ns)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));

	if (!waiting) {
		pass(joiner, event, NULL, false);
		return;
	}
	if (joiner->counters.waiting >= MOAT_JOINER_EVENTS) {
		joiner->counters.pushed++;
		release(joiner, TAILQ_FIRST(&joiner->waitings));
	}
	waiting->event = event;
	waiting->until_ns = now_ns + MOAT_JOINER_WAIT_NS;
	snprintf(waiting->id, sizeof(waiting->id), "%s", id);
	TAILQ_INSERT_TAIL(&joiner->waitings, waiting, by_age);
	joiner->counters.waiting++;
}

void moat_joiner_event(struct moat_joiner *joiner, json_t *event, const char *id, uint64_t now_ns)
{
	const struct known *known = NULL;

	if (!event || !id || !id[0]) {
		joiner->handler(joiner->userdata, event);
		return;
	}
	known = use(joiner, id);
	if (known && !known->settled)
		wait_for(joiner, event, id, now_ns);
	else
		pass(joiner, event, known, false);
}

void moat_joiner_facts(struct moat_joiner *joiner, const char *id, json_t *facts)
{
	struct known *known = use(joiner, id);
	struct waiting *waiting, *next;

	if (!known)
		return;
	known->settled = true;
	if (facts) {
		json_decref(known->facts);
		known->facts = json_incref(facts);
	}
	for (waiting = TAILQ_FIRST(&joiner->waitings); waiting; waiting = next) {
		next = TAILQ_NEXT(waiting, by_age);
		if (strcmp(waiting->id, id) == 0)
			release(joiner, waiting);
	}
}

void moat_joiner_advance(struct moat_joiner *joiner, uint64_t now_ns)
{
	struct waiting *waiting;
	struct known *known;

	while ((waiting = TAILQ_FIRST(&joiner->waitings)) && waiting->until_ns <= now_ns) {
		/* those after it don't wait anew */
		known = find(joiner, waiting->id);
		if (known)
			known->settled = true;
		release(joiner, waiting);
	}
}

void moat_joiner_free(struct moat_joiner *joiner)
{
	if (!joiner)
		return;
	while (!TAILQ_EMPTY(&joiner->waitings))
		release(joiner, TAILQ_FIRST(&joiner->waitings));
	while (!TAILQ_EMPTY(&joiner->knowns))
		forget(joiner, TAILQ_FIRST(&joiner->knowns));
	free(joiner);
}

void moat_joiner_counters(const struct moat_joiner *joiner,
			  struct moat_joiner_counters *ret_counters)
{
	*ret_counters = joiner->counters;
}
