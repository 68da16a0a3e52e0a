/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading messages from front to end: each step says whether there was enough. */
#ifndef MOAT_CTL_FLOWS_BYTES_H
#define MOAT_CTL_FLOWS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of a message. */
struct moat_bytes {
	const uint8_t *at;
	size_t left;
};

static inline bool moat_bytes_skip(struct moat_bytes *bytes, size_t length)
{
	if (length > bytes->left)
		return false;
	bytes->at += length;
	bytes->left -= length;
	return true;
}

/* The next `length` bytes as a message of their own. */
static inline bool moat_bytes_cut(struct moat_bytes *bytes, size_t length,
				  struct moat_bytes *ret_part)
{
	const uint8_t *at = bytes->at;

	if (!moat_bytes_skip(bytes, length))
		return false;
	*ret_part = (struct moat_bytes){ at, length };
	return true;
}

/* A big-endian number of 1 to 8 bytes; of longer ones the last 8. */
static inline uint64_t moat_bytes_number(const uint8_t *at, size_t length)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++)
		value = value << 8 | at[i];
	return value;
}

static inline bool moat_bytes_u16(struct moat_bytes *bytes, uint16_t *ret_value)
{
	const uint8_t *at = bytes->at;

	if (!moat_bytes_skip(bytes, 2))
		return false;
	*ret_value = (uint16_t)moat_bytes_number(at, 2);
	return true;
}

static inline bool moat_bytes_u32(struct moat_bytes *bytes, uint32_t *ret_value)
{
	const uint8_t *at = bytes->at;

	if (!moat_bytes_skip(bytes, 4))
		return false;
	*ret_value = (uint32_t)moat_bytes_number(at, 4);
	return true;
}

#endif
