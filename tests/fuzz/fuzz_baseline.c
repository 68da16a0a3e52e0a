/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of what was learned: refused, or what is in it makes sense and is written back as it was. */
#include <math.h>

#include "detect/baseline_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moat_baseline_image image;
	uint8_t *again;

	if (moat_baseline_image_read(data, size, &image) < 0)
		return 0;
	MOAT_FUZZ_ASSERT(moat_baseline_image_size(image.count) == size);
	for (uint32_t i = 0; i < image.count; i++)
		for (int d = 0; d < MOAT_FEATURE_COUNT; d++)
			MOAT_FUZZ_ASSERT(isfinite(image.rows[i].values[d]));
	again = malloc(size);
	moat_baseline_image_write(&image, again);
	moat_baseline_image_deinit(&image);
	MOAT_FUZZ_ASSERT(moat_baseline_image_read(again, size, &image) == 0);
	moat_baseline_image_deinit(&image);
	free(again);
	return 0;
}
