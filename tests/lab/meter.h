/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the lab's meter shares between its BPF programs and its user side: time buckets of packets. */
#pragma once

#define METER_BUCKET_NS 20000000ULL /* 20 ms: fine enough to see a rule take hold */
#define METER_BUCKETS 4096          /* 82 s, longer than any step of the lab */

/* Packets towards the servers at one point of the path in one bucket; bytes are not needed for any verdict. */
struct meter_bucket {
	unsigned long long marked; /* carries the attackers' mark */
	unsigned long long clean;
};
