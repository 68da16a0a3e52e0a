/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/baseline_file.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "moatbase";

/* The logarithm of 10^13 a second: no interface has more bits. */
#define VALUE_MAX 32.0F

struct head {
	char magic[8];
	uint32_t version;
	uint32_t dims;
	uint32_t count;
	uint32_t reserved;
	uint64_t seed;
	uint64_t last_finding;
	uint64_t conversations[2];
	uint64_t checksum; /* of everything behind it and of this head with 0 here */
};

/* FNV-1a (Fowler, Noll, Vo): against accidents. Whoever may write the file may write the checksum. */
static uint64_t checksum_of(const uint8_t *bytes, size_t size, uint64_t hash)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 1099511628211ULL;
	return hash;
}

static uint64_t checksum(struct head head, const uint8_t *rows, size_t size)
{
	head.checksum = 0;
	return checksum_of(rows, size,
			   checksum_of((const uint8_t *)&head, sizeof(head),
				       14695981039346656037ULL));
}

size_t moat_baseline_image_size(uint32_t count)
{
	return sizeof(struct head) + (size_t)count * sizeof(struct moat_baseline_row);
}

void moat_baseline_image_write(const struct moat_baseline_image *image, uint8_t *ret_bytes)
{
	size_t size = (size_t)image->count * sizeof(*image->rows);
	struct head head = {
		.version = MOAT_BASELINE_FILE_VERSION,
		.dims = MOAT_FEATURE_COUNT,
		.count = image->count,
		.seed = image->seed,
		.last_finding = image->last_finding,
		.conversations = { image->conversations[0], image->conversations[1] },
	};

	memcpy(head.magic, magic, sizeof(magic));
	if (size)
		memcpy(ret_bytes + sizeof(head), image->rows, size);
	head.checksum = checksum(head, ret_bytes + sizeof(head), size);
	memcpy(ret_bytes, &head, sizeof(head));
}

static bool is_believable(const struct moat_baseline_row *row)
{
	for (int i = 0; i < MOAT_FEATURE_COUNT; i++)
		if (!isfinite(row->values[i]) || row->values[i] < 0 || row->values[i] > VALUE_MAX)
			return false;
	return row->owner != 0;
}

int moat_baseline_image_read(const uint8_t *bytes, size_t size,
			     struct moat_baseline_image *ret_image)
{
	struct moat_baseline_row *rows;
	struct head head;

	if (size < sizeof(head))
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	if (memcmp(head.magic, magic, sizeof(magic)) != 0 ||
	    head.version != MOAT_BASELINE_FILE_VERSION || head.dims != MOAT_FEATURE_COUNT ||
	    head.count > MOAT_BASELINE_FILE_ROWS_MAX || size != moat_baseline_image_size(head.count))
		return -EPROTO;
	if (head.checksum != checksum(head, bytes + sizeof(head), size - sizeof(head)))
		return -EBADMSG;
	if (head.last_finding > UINT32_MAX)
		return -ERANGE; /* rules have 32 bits for it */
	rows = malloc(head.count ? head.count * sizeof(*rows) : 1);
	if (!rows)
		return -ENOMEM;
	memcpy(rows, bytes + sizeof(head), size - sizeof(head));
	for (uint32_t i = 0; i < head.count; i++)
		if (!is_believable(&rows[i])) {
			free(rows);
			return -ERANGE;
		}
	*ret_image = (struct moat_baseline_image){
		.seed = head.seed,
		.last_finding = head.last_finding,
		.conversations = { head.conversations[0], head.conversations[1] },
		.count = head.count,
		.rows = rows,
	};
	return 0;
}

void moat_baseline_image_deinit(struct moat_baseline_image *image)
{
	free(image->rows);
	*image = (struct moat_baseline_image){ 0 };
}
