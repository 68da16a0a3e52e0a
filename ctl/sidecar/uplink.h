/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sidecar's end of the link: collects items, sends them in messages, keeps what moatd hasn't
 * acknowledged, and connects again by itself.
 */
#ifndef MOAT_CTL_SIDECAR_UPLINK_H
#define MOAT_CTL_SIDECAR_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/joiner.h"
#include "ctl/sidecar/process.h"

/* Messages of up to 64 KiB that may wait for moatd: 16 MiB. Beyond it new items are dropped, counted. */
#define MOAT_UPLINK_KEPT 256

struct moat_uplink;

struct moat_uplink_counters {
	bool connected;
	uint64_t connects;
	uint64_t items;   /* given */
	uint64_t acked;   /* items = acked + lost + waiting */
	uint64_t lost;    /* MOAT_UPLINK_KEPT messages waited */
	uint64_t refused; /* moatd speaks another version */
};

/* `path` of moatd's socket; `processes`, their containers and what the joiner knows of those are told of on
 * each connection and must outlive the link. 0 or a negative errno; that moatd isn't there is no error. */
int moat_uplink_new(sd_event *loop, const char *path, const struct moat_processes *processes,
		    struct moat_containers *containers, const struct moat_joiner *joiner,
		    struct moat_uplink **ret_link);
void moat_uplink_free(struct moat_uplink *link);

/* Gives an event, and before it its cgroup if that wasn't told yet. Never waits. */
void moat_uplink_event(struct moat_uplink *link, const struct moat_event *event, bool late,
		       const struct moat_container *container);

/* Gives what is known of a container; `facts` NULL: nothing. */
void moat_uplink_facts(struct moat_uplink *link, const char *id, const json_t *facts);

/* Sends what has been collected: call now and then. */
void moat_uplink_flush(struct moat_uplink *link);

void moat_uplink_counters(const struct moat_uplink *link, struct moat_uplink_counters *ret_counters);

#endif
