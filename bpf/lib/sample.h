/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Header samples: every CPU counts down to its next one, with jitter, so that no periodic traffic can
 * hide between samples; passing and dropped packets are counted down apart.
 */
#ifndef MOAT_LIB_SAMPLE_H
#define MOAT_LIB_SAMPLE_H

#include <bpf/bpf_helpers.h>

#include "moat/gate.h"

/* xorshift64 (Marsaglia 2003): no secret, just no pattern; the kernel's generator costs 20 ns. */
MOAT_INLINE __u64 moat_sample_random(struct moat_gate_counters *counters)
{
	__u64 x = counters->random;

	if (x == 0)
		x = bpf_ktime_get_ns() | 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	counters->random = x;
	return x;
}

/* Draws the next countdown, uniform in interval +- half. 1 if this packet is to be sampled, 0 if the
 * countdown was never set, or the interval was shortened meanwhile: then it begins anywhere. */
MOAT_INLINE int moat_sample_draw(struct moat_gate_counters *counters, __u32 kind, __u32 interval)
{
	__u64 half = interval / 2, random;
	int due = counters->sample_countdown[kind] == 1;

	if (interval == 0) {
		counters->sample_countdown[kind] = 0; /* no longer one that may be due */
		return 0;
	}
	random = moat_sample_random(counters) >> 32;
	counters->sample_countdown[kind] = due ? interval - half + ((random * (2 * half + 1)) >> 32)
					       : 1 + ((random * interval) >> 32);
	return due || interval == 1;
}

/* 1 if this packet is not to be sampled, and counted so. Nearly all find that the countdown stands between
 * 2 and its greatest value, interval + half of it, and take one off. 0 with nothing changed if it may be. */
MOAT_INLINE int moat_sample_skip(struct moat_gate_counters *counters, __u32 kind, __u32 interval)
{
	__u64 left = counters->sample_countdown[kind];
	__u64 most = (__u64)interval + interval / 2;

	if (left - 2 >= most - 1)
		return 0;
	counters->sample_countdown[kind] = left - 1;
	return 1;
}

/* 1 if moat_sample_skip would count this packet, which it then doesn't yet. */
MOAT_INLINE int moat_sample_is_ahead(const struct moat_gate_counters *counters, __u32 kind,
				     __u32 interval)
{
	return counters->sample_countdown[kind] - 2 < (__u64)interval + interval / 2 - 1;
}

/* 1 if this packet is the one in `interval`. */
MOAT_INLINE int moat_sample_due(struct moat_gate_counters *counters, __u32 kind, __u32 interval)
{
	return !moat_sample_skip(counters, kind, interval) &&
	       moat_sample_draw(counters, kind, interval);
}

/* Sends one to the ring; the reader polls, so nobody is woken. 0 if the ring was full. */
MOAT_INLINE int moat_sample_send(void *ring, struct xdp_md *ctx, const struct moat_headers *h,
				 __u32 parse, __u32 reason, __u32 rule_id, __u32 port,
				 __u32 interval)
{
	struct moat_sample *sample = bpf_ringbuf_reserve(ring, sizeof(*sample), 0);
	__u32 length = h->frame_len;

	if (!sample)
		return 0;
	sample->time_ns = bpf_ktime_get_ns();
	sample->port = port;
	sample->rule_id = rule_id;
	sample->interval = interval;
	sample->reason = reason;
	sample->parse = parse;
	sample->headers = *h;
	if (length > MOAT_SAMPLE_BYTES)
		length = MOAT_SAMPLE_BYTES;
	/* 1 to MOAT_SAMPLE_BYTES for every verifier: those before 6.3 don't learn from a test for 0, and
	 * the compiler would drop a mask that it can prove. Of an empty frame the helper makes an error. */
	length--;
	asm volatile("" : "+r"(length));
	length = (length & (MOAT_SAMPLE_BYTES - 1)) + 1;
	if (bpf_xdp_load_bytes(ctx, 0, sample->data, length) < 0)
		length = 0;
	sample->cap_len = length;
	bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
	return 1;
}

#endif
