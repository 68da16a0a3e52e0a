/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The public captures by the list that comes with them: what each is of, and which belong together. */
#ifndef MOAT_BENCH_DETECT_SET_H
#define MOAT_BENCH_DETECT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_class {
	BENCH_BENIGN = 0,
	BENCH_FLOOD,
	BENCH_SCAN,
	BENCH_BRUTE,
	BENCH_MINING,
	BENCH_C2,
	BENCH_LATERAL,
	BENCH_INTERNET, /* a public host's log: hostile and harmless sources in one file */
	BENCH_CLASSES,
};

struct bench_capture {
	char path[4096];
	char name[256];  /* relative to the data */
	char family[64]; /* captures of one origin; never split */
	enum bench_class class;
	uint32_t kinds; /* of findings that name what it is of: bits of enum moat_finding_kind */
	bool is_test;   /* else: what thresholds were chosen on */
};

struct bench_set {
	struct bench_capture *captures;
	size_t count;
	size_t skipped; /* of formats that no reader of ours reads; each was named on stderr */
};

const char *bench_class_name(enum bench_class class);

/* Reads DATA/MANIFEST.tsv. 0, -ENOENT, -ENOMEM. */
int bench_set_load(const char *data, struct bench_set *ret_set);
void bench_set_deinit(struct bench_set *set);

#endif
