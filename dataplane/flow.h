/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows a worker has seen: a bounded, bidirectional hash table of one thread, one cache line a flow
 * and one for every eight to find them by, no allocation after init. Idle flows age out; when a flood
 * fills the table, flows that never got past their first packets are replaced first, established ones
 * never.
 */
#ifndef MOAT_DATAPLANE_FLOW_H
#define MOAT_DATAPLANE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/record.h"
#include "moat/packet.h"

enum moat_flow_state {
	MOAT_FLOW_NEW = 0,         /* one direction only */
	MOAT_FLOW_HANDSHAKE = 1,   /* TCP: SYN-ACK seen */
	MOAT_FLOW_ESTABLISHED = 2, /* TCP: handshake completed; others: packets both ways */
	MOAT_FLOW_CLOSING = 3,     /* TCP: a FIN seen */
	MOAT_FLOW_CLOSED = 4,      /* TCP: both FINs or a RST */
};

/* What is known of a flow, as told to others; the table's own form is denser. */
struct moat_flow {
	struct moat_addr client; /* sender of the first packet seen */
	struct moat_addr server;
	uint16_t client_port;
	uint16_t server_port;
	uint8_t proto;
	uint8_t state;        /* enum moat_flow_state */
	uint8_t tcp_flags[2]; /* all flags seen, from client and from server */
	uint64_t first_ns; /* to the millisecond; of a flow that lives for more than 49 days, of its last
			       * 49 days */
	uint64_t last_ns;    /* to the millisecond */
	uint64_t bytes[2];   /* of IP datagrams, [0] from client; modulo 2^48 */
	uint32_t packets[2]; /* modulo 2^32 */
	uint64_t payload[2]; /* bytes behind the transport header; 0 unless talks are kept */
	uint8_t first_flags; /* TCP flags of the first packet */
};

struct moat_flow_counters {
	uint64_t created;
	uint64_t expired;  /* aged out or closed and gone */
	uint64_t replaced; /* pushed out by a newer flow while still alive */
	uint64_t refused;  /* no room: all candidates established */
	uint64_t live;
};

struct moat_flow_table;

/* Called for each flow that leaves the table. */
typedef void (*moat_flow_end_fn)(void *userdata, const struct moat_flow *flow);

/* Room for `capacity` flows (rounded up to a power of two, 1,024 to 2^24; 72 bytes each); `hash_seed`
 * keeps outsiders from aiming at one bucket. `end` may be NULL: it costs a cache miss for each flow that
 * ends. 0, -EINVAL, -ENOMEM. */
int moat_flow_table_new(uint32_t capacity, uint64_t hash_seed, moat_flow_end_fn end, void *userdata,
			struct moat_flow_table **ret_table);
void moat_flow_table_free(struct moat_flow_table *table);

/* Finds or creates the flow of an IP packet and adds the packet to it. False if there is no room
 * (counted) or the packet is a later fragment. */
bool moat_flow_table_add(struct moat_flow_table *table, const struct moat_headers *headers,
			 uint64_t now_ns);

/* The flow of a packet, in either direction; false if there is none. */
bool moat_flow_table_find(const struct moat_flow_table *table, const struct moat_headers *headers,
			  struct moat_flow *ret_flow);

/* ---- talks: what detection is told of flows that go on (flow_talk.c) ---- */

/* From here on the table also keeps how much is said in each flow: 32 bytes more a flow. 0 or -ENOMEM. */
int moat_flow_table_keep_talks(struct moat_flow_table *table);

typedef void (*moat_flow_tell_fn)(void *userdata, const struct moat_flow_record *record);

/* Of a packet just added: who sent it, and how often that one had spoken before. */
struct moat_flow_turn {
	uint8_t direction; /* 0: the client */
	uint8_t before;    /* packets with payload, saturating */
	uint16_t client_port, server_port;
};

/* Notes `payload` bytes of a packet just added, and calls `tell` if it ends a silence (or is one of a
 * minute's). False if talks aren't kept or the packet has no flow. */
bool moat_flow_table_talk(struct moat_flow_table *table, const struct moat_headers *headers,
			  uint32_t payload, uint64_t now_ns, moat_flow_tell_fn tell, void *userdata,
			  struct moat_flow_turn *ret_turn);

/* What detection is told of a flow; `direction` is who speaks. */
void moat_flow_record_of(const struct moat_flow *flow, enum moat_record_event event, int direction,
			 struct moat_flow_record *ret_record);

/* Ages a bounded part of the table; call once a burst. Idle limits: NEW 10 s, HANDSHAKE 30 s, ESTABLISHED
 * TCP 1 h and others 60 s, CLOSING 60 s, CLOSED 5 s. */
void moat_flow_table_age(struct moat_flow_table *table, uint64_t now_ns);

/* Ends all flows (at the end of a capture). */
void moat_flow_table_flush(struct moat_flow_table *table);

void moat_flow_table_counters(const struct moat_flow_table *table,
			      struct moat_flow_counters *ret_counters);

#endif
