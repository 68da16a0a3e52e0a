/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the runtimes keep of containers: the first byte says in which form, the rest is the file. */
#include <string.h>

#include "ctl/sidecar/facts.h"
#include "dataplane/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moat_facts_place place = { .cgroup_count = 0 };
	json_t *facts, *event;
	char *line;
	int r;

	if (size == 0)
		return 0;
	facts = json_object();
	r = moat_facts_parse(data[0] % MOAT_FACTS_FORM_COUNT, (const char *)data + 1, size - 1, ID,
			     facts, &place);
	MOAT_FUZZ_ASSERT(r <= 0);
	MOAT_FUZZ_ASSERT(place.bundle[0] == '\0' || place.bundle[0] == '/');
	MOAT_FUZZ_ASSERT(json_object_size(json_object_get(facts, "labels")) <= MOAT_FACTS_LABELS_MAX);
	event = json_pack("{s:{s:{s:s}}, s:{}}", "process", "container", "uid", ID, "unmapped");
	moat_facts_join(event, facts, false);
	line = json_dumps(event, JSON_COMPACT);
	MOAT_FUZZ_ASSERT(line && strlen(line) < 4 * MOAT_FACTS_SIZE_MAX);
	if (r == 0)
		MOAT_FUZZ_ASSERT(json_object_get(json_object_get(event, "unmapped"), "container"));
	free(line);
	json_decref(event);
	json_decref(facts);
	return 0;
}
