/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was learned, as bytes that outlive a process: the rows that the baseline is fitted to and the number
 * of the last finding. Versioned, checked as a whole, and believed only if every value can be.
 */
#ifndef MOAT_DETECT_BASELINE_FILE_H
#define MOAT_DETECT_BASELINE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "detect/features.h"

#define MOAT_BASELINE_FILE_VERSION 1
#define MOAT_BASELINE_FILE_ROWS_MAX 65536

struct moat_baseline_row {
	uint64_t owner; /* hash of the host it is of */
	float values[MOAT_FEATURE_COUNT];
};

struct moat_baseline_image {
	uint64_t seed;             /* owners are hashed with it */
	uint64_t last_finding;     /* ids go on from here */
	uint64_t conversations[2]; /* without and with answers, while it was learned */
	uint32_t count;
	struct moat_baseline_row *rows; /* count of them, owned */
};

/* The size of an image of so many rows. */
size_t moat_baseline_image_size(uint32_t count);

/* Writes an image into moat_baseline_image_size bytes. */
void moat_baseline_image_write(const struct moat_baseline_image *image, uint8_t *ret_bytes);

/* Reads one. 0; -EPROTO: no image, or of another version or cut short; -EBADMSG: changed since it was written;
 * -ERANGE: a value that no traffic has; -ENOMEM. */
int moat_baseline_image_read(const uint8_t *bytes, size_t size,
			     struct moat_baseline_image *ret_image);
void moat_baseline_image_deinit(struct moat_baseline_image *image);

#endif
