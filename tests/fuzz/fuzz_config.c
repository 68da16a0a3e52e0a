/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configuration files: taken as a whole, or refused with a sentence that names the place. */
#include "ctl/config.h"
#include "tests/fuzz/fuzz.h"

#define NAME "fuzz.yaml"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };

	if (moat_config_parse(NAME, (const char *)data, size, 0, &config, &error) < 0) {
		MOAT_FUZZ_ASSERT(!config);
		MOAT_FUZZ_ASSERT(strncmp(error.text, NAME ":", strlen(NAME ":")) == 0);
		return 0;
	}
	MOAT_FUZZ_ASSERT(config);
	moat_config_free(config);
	return 0;
}
