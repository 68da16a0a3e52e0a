/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is told of flows: by workers and by readers of flow files, to detection. Both sides know these
 * words and not each other; ctl carries them.
 */
#ifndef MOAT_BASE_RECORD_H
#define MOAT_BASE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/packet.h"

enum moat_record_event {
	MOAT_RECORD_END = 0, /* the flow is over, or a row of a flow file */
	MOAT_RECORD_SPEAKS, /* it goes on: somebody speaks after a second of silence or more, or a minute
			      * of speaking has passed; counters are as of before this packet */
};

/* What became of a flow, as far as it can be told. */
enum moat_outcome {
	MOAT_OUTCOME_UNKNOWN = 0, /* joined midway, seen from one side, or an answer to nothing */
	MOAT_OUTCOME_UNANSWERED,
	MOAT_OUTCOME_REJECTED,  /* RST or ICMP error */
	MOAT_OUTCOME_ACCEPTED,  /* TCP: the handshake was answered, and then nobody said anything */
	MOAT_OUTCOME_CONVERSED, /* payload from the server (datagrams: both ways) */
};

/* Counters as of `last_ns`; [0] is from the client, who sent the first packet seen. */
struct moat_flow_record {
	struct moat_addr client, server;
	uint64_t first_ns, last_ns;
	uint64_t bytes[2];   /* of IP datagrams */
	uint64_t payload[2]; /* bytes behind the transport header */
	uint32_t packets[2];
	uint16_t client_port, server_port; /* ICMP: 0 */
	uint8_t proto;
	uint8_t event;     /* enum moat_record_event */
	uint8_t outcome;   /* enum moat_outcome */
	uint8_t direction; /* SPEAKS: who does, 0 the client */
	bool is_whole;     /* its begin was seen (TCP: the client's SYN) */
	uint8_t reserved[7];
};
_Static_assert(sizeof(struct moat_flow_record) == 104, "an element of the workers' rings");

/* Beginnings of payloads: the first packets of a flow, more of those on ports where what matters comes
 * later, and every DNS and DHCP message. */
#define MOAT_CONTENT_BYTES 384
struct moat_content {
	struct moat_addr client, server;
	uint64_t time_ns;
	uint16_t client_port, server_port;
	uint16_t length;   /* of the whole payload */
	uint16_t captured; /* valid bytes of data */
	uint8_t proto;
	uint8_t direction; /* 0: from the client */
	uint8_t index;     /* payloads before it in this direction, saturating */
	uint8_t reserved[5];
	uint8_t data[MOAT_CONTENT_BYTES];
};
_Static_assert(sizeof(struct moat_content) == 440, "an element of the workers' rings");

#endif
