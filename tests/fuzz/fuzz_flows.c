/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lines of flow files of every format: whatever is accepted makes sense. */
#include <errno.h>

#include "ctl/flow_reader.h"
#include "dataplane/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

static void check_flow(const struct moat_flow_record *flow)
{
	MOAT_FUZZ_ASSERT(flow->last_ns >= flow->first_ns);
	MOAT_FUZZ_ASSERT(flow->outcome <= MOAT_OUTCOME_CONVERSED);
	MOAT_FUZZ_ASSERT(flow->event == MOAT_RECORD_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_auto_free char *text = moat_fuzz_text(data, size);
	struct moat_flow_reader reader = { .format = MOAT_FLOWS_NONE };
	char *next = text;

	while (next) {
		char *line = next;
		struct moat_flow_item item;
		int r;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		r = moat_flow_reader_line(&reader, line, &item);
		MOAT_FUZZ_ASSERT(r == -EINVAL || (r >= MOAT_LINE_FLOW && r <= MOAT_LINE_NOTHING));
		if (r == MOAT_LINE_FLOW)
			check_flow(&item.flow);
		if (r == MOAT_LINE_PACKET)
			MOAT_FUZZ_ASSERT(item.packet.payload <= item.packet.headers.l3_len);
	}
	return 0;
}
