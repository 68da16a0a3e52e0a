/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules that operators type: what is accepted reads back as the same rule, what isn't says why. */
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/fuzz/fuzz.h"

#define NOW (1000 * MOAT_NS_PER_S)

static void check_same(const struct moat_rule *a, const struct moat_rule *b)
{
	MOAT_FUZZ_ASSERT(memcmp(&a->match, &b->match, sizeof(a->match)) == 0);
	MOAT_FUZZ_ASSERT(a->action == b->action);
	MOAT_FUZZ_ASSERT(a->flags == b->flags);
	MOAT_FUZZ_ASSERT(a->priority == b->priority);
	MOAT_FUZZ_ASSERT(a->rate_pps == b->rate_pps);
	MOAT_FUZZ_ASSERT(!a->expires_ns == !b->expires_ns);
	MOAT_FUZZ_ASSERT(strcmp(a->comment, b->comment) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_auto_free char *text = moat_fuzz_text(data, size);
	struct moat_error error = { .text = "" };
	struct moat_rule rule, before, again;
	char written[MOAT_RULE_TEXT_LEN];

	memset(&rule, 0xa5, sizeof(rule));
	before = rule;
	if (moat_rule_parse(text, NOW, &rule, &error) < 0) {
		MOAT_FUZZ_ASSERT(memcmp(&rule, &before, sizeof(rule)) == 0);
		MOAT_FUZZ_ASSERT(error.text[0] != '\0');
		return 0;
	}
	MOAT_FUZZ_ASSERT(memchr(rule.comment, '\0', sizeof(rule.comment)));
	moat_rule_format(&rule, NOW, written);
	if (moat_rule_parse(written, NOW, &again, &error) < 0) {
		fprintf(stderr, "\"%s\" became \"%s\": %s\n", text, written, error.text);
		abort();
	}
	check_same(&rule, &again);
	return 0;
}
