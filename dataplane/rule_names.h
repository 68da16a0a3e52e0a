/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The words of rule text, shared by what writes it (rule.c) and what reads it (rule_parse.c). */
#ifndef MOAT_DATAPLANE_RULE_NAMES_H
#define MOAT_DATAPLANE_RULE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "moat/rule.h"

/* What "flags S" without a mask looks at beside the flags it names. */
#define MOAT_FLAGS_MASK_DEFAULT (MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_FIN | MOAT_TCP_RST)

/* The bits of a VLAN id. */
#define MOAT_VLAN_ID_MASK 0x0fffu

/* The most that a rate in bytes may be: a terabit a second. */
#define MOAT_RATE_BYTES_MAX 125000000000ULL

/* Units of rates in bytes, in bits a second, the largest first. Ends with a null name. */
struct moat_rate_unit {
	const char *name;
	uint64_t bits;
};
extern const struct moat_rate_unit moat_rate_units[];

struct moat_proto_name {
	const char *name;
	uint8_t number;
};

/* Ends with a null name. The first name of a number is the one that is written. */
extern const struct moat_proto_name moat_proto_names[];

/* "FSRPAUEC": the letter of each bit, from bit 0. */
extern const char moat_flag_letters[];

/* Room for a text of `size` bytes in quotes, each byte escaped. */
#define MOAT_QUOTED_LEN(size) (2 * (size) + 3)

/* Writes `text` (up to `size` bytes or its end) in quotes, with '\' before quotes and backslashes, into
 * ret_text of MOAT_QUOTED_LEN(size) bytes. */
void moat_text_quote(const char *text, size_t size, char *ret_text);

/*
 * Words of a line: separated by blanks, or in quotes. A cursor that is used up has *at == '\0'.
 */
struct moat_words {
	const char *begin;
	const char *at;
};

#define MOAT_WORD_LEN 128

/* The next word into ret_word, its column (from 1) into *ret_column. 1; 0 at the end; -EINVAL with the
 * column: too long, an open quote, a control character or text that isn't UTF-8. */
int moat_words_next(struct moat_words *words, char ret_word[MOAT_WORD_LEN], size_t *ret_column);

/* True if `text` is UTF-8 without control characters, so that logs, JSON and saved sets can carry it. */
bool moat_text_is_clean(const char *text);

/* True if an interface can have this name (net/core/dev.c, dev_valid_name). */
bool moat_target_is_valid(const char *name);

/* Refuses what no packet matches and what drops everything: 0 or -EINVAL with the reason. */
int moat_rule_check(const struct moat_rule *rule, struct moat_error *error);

/* A decimal number without sign up to `max` that takes all of `text`. 0 or -EINVAL. */
int moat_number_parse(const char *text, uint64_t max, uint64_t *ret_number);

#endif
