/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same frames and rule sets through every way that a packet can take to a judge: the gate's answers are
 * recorded, then each backend's worker has to give them again, packet by packet.
 */
#ifndef MOAT_TESTS_BACKENDS_H
#define MOAT_TESTS_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/policy.h"
#include "dataplane/port.h"
#include "moat/gate.h"

/* Frames that reach a judge at one moment: as many as are fed at once, so that no queue on the way is full. */
#define BACKENDS_GROUP 16

/* A frame, and what the gate said of it. */
struct recorded {
	uint8_t *data;
	uint32_t length;
	uint64_t ms;
	struct moat_sample answer;
	uint8_t *reply; /* what is sent back out of the port; NULL: nothing */
	uint32_t reply_length;
};

/* What was in force for frames `first` to `end` - 1. */
struct recorded_set {
	struct moat_ruleset *set;
	struct moat_known *known;
	struct moat_challenge_state challenge;
	uint32_t stages;
	bool fail_closed;
	size_t first, end;
	struct moat_rule_count *counts; /* of each rule by position, behind the last frame */
};

struct recording {
	struct recorded *frames;
	size_t frame_count;
	struct recorded_set *sets;
	size_t set_count;
	uint32_t judges;
	uint64_t reasons[MOAT_REASON_COUNT];
};

/* A way to a judge. */
struct backend {
	const char *name;
	/* Opens the port. -ENOTSUP with the reason: not built in. */
	int (*open)(struct backend *backend, const struct recording *recording,
		    struct moat_port **ret_port, struct moat_error *error);
	/* Makes frames arrive. Null: all of them wait there from the beginning. */
	bool (*feed)(struct backend *backend, const struct recorded *frames, size_t count);
	/* The next frame that came out of the port; its length, 0 if there is none. Null: nothing can. */
	size_t (*take)(struct backend *backend, uint8_t *buffer, size_t size);
	/* Behind the port's end, before take is asked the last time. May be null. */
	void (*close)(struct backend *backend);
	bool takes_at_end; /* what came out can be seen after close only */
	int fd;
	void *data;
};

/* backends_feed.c: in memory, and sockets behind the gate's kind of program. The veth is "moat-w", its
 * other end "moat-c", in a namespace of the test's own. */
extern struct backend backend_dummy, backend_pcap, backend_afxdp;
bool backends_veth_up(void);
int backends_veth_socket(void);
bool backends_veth_feed(struct backend *backend, const struct recorded *frames, size_t count);
size_t backends_veth_take(struct backend *backend, uint8_t *buffer, size_t size);
/* backends_capture.c: all frames as a capture; and the next of one that is open (`data`). */
bool backends_capture_write(const struct recording *recording, const char *path);
size_t backends_capture_take(struct backend *backend, uint8_t *buffer, size_t size);

/* backends_dpdk.c, or backends_dpdk_none.c: poll-mode drivers. */
extern struct backend backend_net_ring, backend_net_pcap, backend_net_af_xdp;

#endif
