/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What moat's tables find as the longest prefix of each address: prefixes from the file named, one a line and
 * each once, addresses from standard input; a prefix or "none" a line out. For tests/netns/routes.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "tests/unit/dataplane/tables_memory.h"

#define NODES 65536

static int add_rules(struct moat_ruleset *set, const char *path)
{
	moat_auto_fclose FILE *file = fopen(path, "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		struct moat_rule rule = moat_rule_default();

		line[strcspn(line, "\n")] = '\0';
		rule.action = MOAT_ACTION_COUNT;
		if (moat_prefix_parse(line, &rule.match.src) < 0 ||
		    moat_ruleset_add(set, &rule, NULL) != 0) {
			fprintf(stderr, "%s: no prefix, or twice\n", line);
			return -1;
		}
	}
	return file ? 0 : -1;
}

/* Rules stand in the order of the file, and classes are numbered in it. */
static void look_up(const struct moat_tables *half, const struct moat_ruleset *set)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);
	char line[128], text[MOAT_PREFIX_TEXT_LEN];

	while (fgets(line, sizeof(line), stdin)) {
		struct moat_addr addr;
		uint32_t class;

		line[strcspn(line, "\n")] = '\0';
		if (moat_addr_parse(line, &addr) < 0)
			continue;
		class = moat_tables_lookup_src(half, &addr) & MOAT_LPM_CLASS;
		puts(class == 0 || class > count
			     ? "none"
			     : moat_prefix_format(&rules[class - 1].match.src, text));
	}
}

int main(int argc, char **argv)
{
	const struct moat_tables_clock clock = { .ticks_per_s = 1000, .judges = 1 };
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	struct moat_tables half = moat_test_tables(NODES);
	struct moat_error error = { .text = "" };

	if (argc != 2 || moat_ruleset_new(&set) < 0 || add_rules(set, argv[1]) < 0)
		return 1;
	if (moat_tables_build(&half, set, &clock, &error) != 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	look_up(&half, set);
	moat_test_tables_unmap(&half);
	return 0;
}
