/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Datagrams of exporters: NetFlow, IPFIX, sFlow. An input holds several, each behind its length, so that one
 * can bring the template of another. */
#include "ctl/flows/netflow.h"
#include "ctl/flows/sflow.h"
#include "tests/fuzz/fuzz.h"

static void on_half(void *userdata, struct moat_flow_half *half)
{
	/* what is handed on tells of packets */
	MOAT_FUZZ_ASSERT(half->packets > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct moat_addr exporter = { .bytes = { [15] = 1 } };
	struct moat_netflow *netflow = NULL;
	uint64_t skipped = 0;

	if (moat_netflow_new(&netflow) < 0)
		return 0;
	while (size >= 2) {
		size_t length = (size_t)data[0] << 8 | data[1];

		data += 2;
		size -= 2;
		length = length < size ? length : size;
		moat_netflow_read(netflow, &exporter, data, length, on_half, NULL);
		moat_sflow_read(data, length, on_half, NULL, &skipped);
		data += length;
		size -= length;
	}
	moat_netflow_free(netflow);
	return 0;
}
