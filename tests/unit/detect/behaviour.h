/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An engine in mirror mode that is told of flows and contents, and remembers what it found. */
#ifndef MOAT_TESTS_BEHAVIOUR_H
#define MOAT_TESTS_BEHAVIOUR_H

#include "detect/engine.h"

#define BEHAVIOUR_FINDINGS_MAX 64

struct behaviour {
	struct moat_detect_config config; /* as of behaviour_begin */
	struct moat_detect *detect;
	double now_s;
	struct moat_finding found[BEHAVIOUR_FINDINGS_MAX]; /* as they opened */
	int count;
	int closed;
};

/* Mirror mode, edges not learned; `mode` 0: mirror. */
void behaviour_begin(struct behaviour *behaviour);
void behaviour_begin_with(struct behaviour *behaviour, const struct moat_detect_config *config);
void behaviour_end(struct behaviour *behaviour);
struct moat_detect_config behaviour_config(void);

/* Time passes, by windows. */
void behaviour_wait(struct behaviour *behaviour, double seconds);

/* A flow that begins now and is told of with its end; time goes on by its duration. */
struct behaviour_flow {
	const char *client, *server;
	uint16_t client_port, server_port;
	uint8_t proto; /* 0: TCP */
	uint8_t outcome;
	double seconds;
	uint32_t payload[2];
};
void behaviour_flow(struct behaviour *behaviour, const struct behaviour_flow *flow);

/* A payload; `length` 0: of the text. */
void behaviour_say(struct behaviour *behaviour, const struct behaviour_flow *flow, int direction,
		   const void *data, size_t length);

/* How many findings of a kind opened. */
int behaviour_found(const struct behaviour *behaviour, enum moat_finding_kind kind);

#endif
