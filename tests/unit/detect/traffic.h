/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scripted traffic for detection tests: packets go through moat_cell_count into tables as the gate's, one
 * in so many is sampled, and every window the engine is ticked. No network, no clock: time is counted.
 */
#ifndef MOAT_TESTS_TRAFFIC_H
#define MOAT_TESTS_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "detect/engine.h"
#include "moat/rule.h"

#define TRAFFIC_WINDOW_NS 128000000ULL
#define TRAFFIC_EVENTS 256
#define TRAFFIC_CELLS 8192

struct traffic_event {
	uint64_t time_ns;
	struct moat_finding finding;
};

struct traffic {
	struct moat_detect *detect;
	struct moat_cell *to, *from;
	uint32_t window;
	uint64_t now_ns; /* begin of the current window */
	uint64_t random;
	uint32_t sample_one_in;
	uint32_t countdown;
	bool sees_answers; /* the gate also sits on the inner port */

	/* the rule that stands: packets that match are counted as dropped */
	bool has_rule;
	struct moat_match rule;
	uint64_t matched, unmatched; /* attack packets while it stood */
	uint64_t legit_matched, legit_unmatched;
	bool is_attack; /* what the next packets belong to */

	/* fractions of packets carried over between windows, by caller's choice of place */
	double carry[16];

	struct traffic_event events[TRAFFIC_EVENTS];
	int event_count;
};

/* A test's host addresses: 198.51.100.N are servers. */
struct moat_addr traffic_server(uint8_t n);
struct moat_addr traffic_client(uint16_t n);              /* 192.0.2.0/24 and 203.0.113.0/24 */
struct moat_addr traffic_random(struct traffic *traffic); /* any */
uint32_t traffic_uniform(struct traffic *traffic, uint32_t bound);

void traffic_begin(struct traffic *traffic, const struct moat_detect_config *config);
void traffic_end(struct traffic *traffic);

/* How many packets this window has at a rate, the fraction carried over in carry[place]. */
uint32_t traffic_due(struct traffic *traffic, int place, double rate);

struct traffic_packet {
	struct moat_addr src, dst;
	uint8_t proto, flags;
	uint16_t sport, dport, len;
	uint8_t fragment;
};
void traffic_packet(struct traffic *traffic, const struct traffic_packet *packet);

/* Closes the window. */
void traffic_tick(struct traffic *traffic);

/* One window of ordinary life of server 7: web requests (new connections and long-lived ones), DNS
 * queries, a few pings; times `scale`. */
void traffic_legit(struct traffic *traffic, double scale);
/* `connections` a second that finish their handshakes, ask once and close. */
void traffic_web(struct traffic *traffic, double connections, uint16_t clients);
/* `requests` a second on connections that stay open. */
void traffic_keepalive(struct traffic *traffic, double requests, uint16_t clients);
void traffic_dns(struct traffic *traffic, double queries, uint16_t clients);
void traffic_bulk(struct traffic *traffic, double pps);

/* Attacks on server 7, packets a second. */
void traffic_syn_flood(struct traffic *traffic, double pps, bool looks_like_client);
void traffic_udp_flood(struct traffic *traffic, double pps, bool looks_like_client);
void traffic_icmp_flood(struct traffic *traffic, double pps);
void traffic_amplification(struct traffic *traffic, double pps);
/* From client 200: SYNs to ever new ports of server 7, answered by RST. */
void traffic_scan(struct traffic *traffic, double pps);

/* The first event of a kind and state, NULL if there is none. */
const struct traffic_event *traffic_find(const struct traffic *traffic, enum moat_finding_kind kind,
					 enum moat_finding_state state);
/* The latest word on a kind, NULL if there is none. */
const struct moat_finding *traffic_last(const struct traffic *traffic, enum moat_finding_kind kind);
/* Prints what was found, for failing tests. */
void traffic_print(const struct traffic *traffic);

#endif
