/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rings between the probes and user space, and the counters beside them (bpf/lib/emit.h): made, read,
 * and freed here. Read with a reader of its own rather than libbpf's: that one gives room back record by
 * record, and each time takes the cache line away from the CPUs that write.
 */
#ifndef MOAT_CTL_SIDECAR_CHANNEL_H
#define MOAT_CTL_SIDECAR_CHANNEL_H

#include <stdint.h>

#include "moat/event.h"

#define MOAT_CHANNEL_RING_MIN (1u << 16)
#define MOAT_CHANNEL_RING_MAX (1u << 28)
#define MOAT_CHANNEL_RING_DEFAULT (1u << 23)

struct moat_channel;

/* The maps of one loaded object, or of several that share them; not owned. */
struct moat_channel_options {
	int rings_fd;        /* "rings" */
	int counters_fd;     /* "event_counters", with an entry for each of `cpus` */
	uint32_t ring_bytes; /* of each ring: a power of two from MOAT_CHANNEL_RING_MIN to _MAX */
	uint32_t cpus;       /* possible ones */
};

/* Bytes as they stand in a ring, not checked yet; valid during the call only. */
typedef void (*moat_channel_fn)(void *userdata, const void *bytes, uint32_t size);

/* Rings a lane for so many CPUs: a power of two. The programs' constants are shard_mask (that - 1) and
 * wakeup_bytes, set before loading. */
uint32_t moat_channel_shards(uint32_t cpus);

/* How much of a ring of this size may be full before its reader, which polls, is woken. */
uint64_t moat_channel_wakeup(uint32_t ring_bytes);

/* Makes the rings and puts them into their map. 0 or a negative errno. */
int moat_channel_new(const struct moat_channel_options *options, moat_channel_fn handler,
		     void *userdata, struct moat_channel **ret_channel);
void moat_channel_free(struct moat_channel *channel);

/* Readable (epoll) when a ring fills faster than it is polled. */
int moat_channel_fd(const struct moat_channel *channel);

/* Hands every record to the handler that waited when the call began. Returns how many, or a negative errno. */
int moat_channel_poll(struct moat_channel *channel);

/* What a CPU's probes counted; `cpu` below options.cpus. */
void moat_channel_counters(const struct moat_channel *channel, uint32_t cpu,
			   struct moat_event_counters *ret_counters);

#endif
