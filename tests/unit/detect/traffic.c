/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/unit/detect/traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"

#define SERVER traffic_server(7)
#define SCANNER 200

struct moat_addr traffic_server(uint8_t n)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, htonl(0xc6336400u + n));
	return addr;
}

struct moat_addr traffic_client(uint16_t n)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, htonl((n < 250 ? 0xc0000200u : 0xcb007100u - 250) + n + 1));
	return addr;
}

uint32_t traffic_uniform(struct traffic *traffic, uint32_t bound)
{
	uint64_t x = traffic->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	traffic->random = x;
	return (uint32_t)((x >> 32) % bound);
}

struct moat_addr traffic_random(struct traffic *traffic)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, htonl(0x01000000u + traffic_uniform(traffic, 0xdf000000u)));
	return addr;
}

static void note(void *userdata, const struct moat_finding *finding)
{
	struct traffic *traffic = userdata;
	int place = traffic->event_count;

	if (place == TRAFFIC_EVENTS)
		place--; /* keep the latest */
	else
		traffic->event_count++;
	traffic->events[place].time_ns = traffic->now_ns + TRAFFIC_WINDOW_NS;
	traffic->events[place].finding = *finding;
}

void traffic_begin(struct traffic *traffic, const struct moat_detect_config *config)
{
	memset(traffic, 0, sizeof(*traffic));
	traffic->random = 88172645463325252ULL;
	traffic->sample_one_in = 64;
	traffic->countdown = 1;
	traffic->window = 1000;
	traffic->now_ns = 1000 * TRAFFIC_WINDOW_NS;
	traffic->to = calloc(TRAFFIC_CELLS, sizeof(struct moat_cell));
	traffic->from = calloc(TRAFFIC_CELLS, sizeof(struct moat_cell));
	if (!traffic->to || !traffic->from ||
	    moat_detect_new(config, note, traffic, &traffic->detect) < 0)
		abort();
}

void traffic_end(struct traffic *traffic)
{
	moat_detect_free(traffic->detect);
	free(traffic->to);
	free(traffic->from);
}

uint32_t traffic_due(struct traffic *traffic, int place, double rate)
{
	double due = rate * (double)TRAFFIC_WINDOW_NS / 1e9 + traffic->carry[place];
	uint32_t whole = (uint32_t)due;

	traffic->carry[place] = due - whole;
	return whole;
}

static void count(struct traffic *traffic, struct moat_cell *table, const struct moat_addr *addr,
		  const struct moat_headers *h, uint64_t distinct, bool drop)
{
	uint64_t hash = moat_addr_hash(addr, 1);
	struct moat_cell_gain gain;

	moat_cell_gain_of(&gain, h, traffic->window, drop);
	for (int way = 0; way < 2; way++, hash >>= 32) {
		struct moat_cell *cell = &table[hash % TRAFFIC_CELLS];

		if (!moat_addr_equal(&cell->addr, addr)) {
			if (!moat_cell_is_idle(cell, traffic->window))
				continue;
			moat_cell_take(cell, addr);
		}
		moat_cell_count(cell, &gain, distinct);
		return;
	}
}

static bool rule_matches(const struct moat_match *m, const struct moat_headers *h)
{
	return moat_prefix_contains(&m->src, &h->src) && moat_prefix_contains(&m->dst, &h->dst) &&
	       (!m->proto || m->proto == h->proto) &&
	       (!m->tcp_mask || (h->tcp_flags & m->tcp_mask) == m->tcp_flags) &&
	       h->sport >= m->sport_min && h->sport <= m->sport_max && h->dport >= m->dport_min &&
	       h->dport <= m->dport_max && h->l3_len >= m->len_min && h->l3_len <= m->len_max;
}

static void sample(struct traffic *traffic, const struct moat_headers *h)
{
	struct moat_sample taken = { .interval = traffic->sample_one_in, .headers = *h };

	if (--traffic->countdown > 0)
		return;
	traffic->countdown = 1 + traffic_uniform(traffic, 2 * traffic->sample_one_in - 1);
	taken.time_ns = traffic->now_ns + traffic_uniform(traffic, (uint32_t)TRAFFIC_WINDOW_NS);
	moat_detect_sample(traffic->detect, &taken);
}

void traffic_packet(struct traffic *traffic, const struct traffic_packet *p)
{
	struct moat_headers h = {
		.src = p->src,
		.dst = p->dst,
		.frame_len = (uint16_t)(p->len + 14),
		.l3_len = p->len,
		.family = MOAT_FAMILY_V4,
		.proto = p->proto,
		.tcp_flags = p->flags,
		.sport = p->sport,
		.dport = p->dport,
		.fragment = p->fragment,
		.has_ports = p->proto != 1 && p->fragment != MOAT_FRAGMENT_LATER,
	};
	struct moat_addr target = p->dst;
	bool drop = traffic->has_rule && rule_matches(&traffic->rule, &h);

	if (traffic->has_rule && traffic->is_attack)
		*(drop ? &traffic->matched : &traffic->unmatched) += 1;
	else if (traffic->has_rule)
		*(drop ? &traffic->legit_matched : &traffic->legit_unmatched) += 1;
	target.quads[1] ^= (uint64_t)p->dport << 8;
	count(traffic, traffic->to, &p->dst, &h, moat_addr_hash(&p->src, 1), drop);
	count(traffic, traffic->from, &p->src, &h, moat_addr_hash(&target, 1), drop);
	sample(traffic, &h);
}

void traffic_tick(struct traffic *traffic)
{
	struct moat_cell_source source = { traffic->to, traffic->from, TRAFFIC_CELLS, true };

	moat_detect_tick(traffic->detect, &source, 1, traffic->window, traffic->now_ns,
			 TRAFFIC_WINDOW_NS);
	traffic->window++;
	traffic->now_ns += TRAFFIC_WINDOW_NS;
	traffic->is_attack = false;
}

/* ---- legitimate -------------------------------------------------------------------------------- */

static void exchange(struct traffic *traffic, const struct moat_addr *client, uint8_t proto,
		     uint16_t sport, uint16_t dport, uint8_t flags, uint16_t len,
		     uint8_t answer_flags, uint16_t answer_len)
{
	struct traffic_packet p = { *client, SERVER, proto, flags, sport, dport, len, 0 };

	if (len)
		traffic_packet(traffic, &p);
	if (!answer_len || !traffic->sees_answers)
		return;
	p = (struct traffic_packet){ SERVER, *client, proto,      answer_flags,
				     dport,  sport,   answer_len, 0 };
	traffic_packet(traffic, &p);
}

void traffic_web(struct traffic *traffic, double connections, uint16_t clients)
{
	const uint8_t ack = MOAT_TCP_ACK, push = MOAT_TCP_ACK | MOAT_TCP_PSH;

	for (uint32_t n = traffic_due(traffic, 0, connections); n > 0; n--) {
		struct moat_addr client = traffic_client((uint16_t)traffic_uniform(traffic, clients));
		uint16_t port = (uint16_t)(32768 + traffic_uniform(traffic, 28000));

		exchange(traffic, &client, 6, port, 80, MOAT_TCP_SYN, 60,
			 MOAT_TCP_SYN | MOAT_TCP_ACK, 60);
		exchange(traffic, &client, 6, port, 80, ack, 52, 0, 0);
		exchange(traffic, &client, 6, port, 80, push, 130, push, 850);
		exchange(traffic, &client, 6, port, 80, ack, 52, MOAT_TCP_FIN | ack, 52);
		exchange(traffic, &client, 6, port, 80, MOAT_TCP_FIN | ack, 52, ack, 52);
	}
}

void traffic_keepalive(struct traffic *traffic, double requests, uint16_t clients)
{
	const uint8_t push = MOAT_TCP_ACK | MOAT_TCP_PSH;

	for (uint32_t n = traffic_due(traffic, 1, requests); n > 0; n--) {
		uint16_t who = (uint16_t)traffic_uniform(traffic, clients);
		struct moat_addr client = traffic_client(who);

		exchange(traffic, &client, 6, (uint16_t)(40000 + who), 80, push, 130, push, 850);
	}
}

void traffic_dns(struct traffic *traffic, double queries, uint16_t clients)
{
	for (uint32_t n = traffic_due(traffic, 2, queries); n > 0; n--) {
		struct moat_addr client = traffic_client((uint16_t)traffic_uniform(traffic, clients));

		exchange(traffic, &client, 17, (uint16_t)(1024 + traffic_uniform(traffic, 60000)),
			 53, 0, (uint16_t)(56 + traffic_uniform(traffic, 30)), 0,
			 (uint16_t)(90 + traffic_uniform(traffic, 200)));
	}
}

void traffic_bulk(struct traffic *traffic, double pps)
{
	struct moat_addr client = traffic_client(33);

	for (uint32_t n = traffic_due(traffic, 3, pps); n > 0; n--)
		exchange(traffic, &client, 6, 45000, 5201, MOAT_TCP_ACK, 1500, MOAT_TCP_ACK, 52);
}

void traffic_legit(struct traffic *traffic, double scale)
{
	struct moat_addr client = traffic_client(5);
	/* life isn't even: a window has between a half and one and a half of the mean */
	double wave = scale * (0.5 + traffic_uniform(traffic, 1000) / 1000.0);

	traffic_web(traffic, 150 * wave, 60);
	traffic_keepalive(traffic, 1500 * wave, 40);
	traffic_dns(traffic, 200 * wave, 80);
	for (uint32_t n = traffic_due(traffic, 4, 2 * wave); n > 0; n--)
		exchange(traffic, &client, 1, 0, 0, 0, 84, 0, 84);
}

/* ---- attacks ----------------------------------------------------------------------------------- */

void traffic_syn_flood(struct traffic *traffic, double pps, bool looks_like_client)
{
	traffic->is_attack = true;
	for (uint32_t n = traffic_due(traffic, 5, pps); n > 0; n--) {
		struct traffic_packet p = { traffic_random(traffic),
					    SERVER,
					    6,
					    MOAT_TCP_SYN,
					    (uint16_t)(1024 + traffic_uniform(traffic, 60000)),
					    80,
					    looks_like_client ? 60 : 40,
					    0 };

		traffic_packet(traffic, &p);
	}
	traffic->is_attack = false;
}

void traffic_udp_flood(struct traffic *traffic, double pps, bool looks_like_client)
{
	traffic->is_attack = true;
	for (uint32_t n = traffic_due(traffic, 6, pps); n > 0; n--) {
		struct traffic_packet p = { traffic_random(traffic),
					    SERVER,
					    17,
					    0,
					    (uint16_t)(1024 + traffic_uniform(traffic, 60000)),
					    53,
					    looks_like_client
						    ? (uint16_t)(56 + traffic_uniform(traffic, 30))
						    : 28,
					    0 };

		traffic_packet(traffic, &p);
	}
	traffic->is_attack = false;
}

void traffic_icmp_flood(struct traffic *traffic, double pps)
{
	traffic->is_attack = true;
	for (uint32_t n = traffic_due(traffic, 7, pps); n > 0; n--) {
		struct traffic_packet p = { traffic_random(traffic), SERVER, 1, 0, 0, 0, 28, 0 };

		traffic_packet(traffic, &p);
	}
	traffic->is_attack = false;
}

void traffic_amplification(struct traffic *traffic, double pps)
{
	traffic->is_attack = true;
	for (uint32_t n = traffic_due(traffic, 8, pps); n > 0; n--) {
		/* every second answer comes in two fragments */
		bool later = traffic_uniform(traffic, 3) == 0;
		struct traffic_packet p = {
			traffic_client((uint16_t)(100 + traffic_uniform(traffic, 100))),
			SERVER,
			17,
			0,
			later ? 0 : 53,
			later ? 0 : (uint16_t)(1024 + traffic_uniform(traffic, 60000)),
			later ? 1052 : 1500,
			later ? MOAT_FRAGMENT_LATER : MOAT_FRAGMENT_FIRST
		};

		traffic_packet(traffic, &p);
	}
	traffic->is_attack = false;
}

void traffic_scan(struct traffic *traffic, double pps)
{
	struct moat_addr scanner = traffic_client(SCANNER);

	traffic->is_attack = true;
	for (uint32_t n = traffic_due(traffic, 9, pps); n > 0; n--) {
		struct traffic_packet p = {
			scanner,      SERVER, 6,
			MOAT_TCP_SYN, 36050,  (uint16_t)(1 + traffic_uniform(traffic, 65535)),
			44,           0
		};

		traffic_packet(traffic, &p);
		if (traffic->sees_answers) {
			traffic->is_attack = false;
			exchange(traffic, &scanner, 6, 36050, p.dport, 0, 0,
				 MOAT_TCP_RST | MOAT_TCP_ACK, 40);
			traffic->is_attack = true;
		}
	}
	traffic->is_attack = false;
}

/* ---- what came of it --------------------------------------------------------------------------- */

const struct traffic_event *traffic_find(const struct traffic *traffic, enum moat_finding_kind kind,
					 enum moat_finding_state state)
{
	for (int i = 0; i < traffic->event_count; i++)
		if (traffic->events[i].finding.kind == kind &&
		    traffic->events[i].finding.state == state)
			return &traffic->events[i];
	return NULL;
}

const struct moat_finding *traffic_last(const struct traffic *traffic, enum moat_finding_kind kind)
{
	for (int i = traffic->event_count - 1; i >= 0; i--)
		if (traffic->events[i].finding.kind == kind)
			return &traffic->events[i].finding;
	return NULL;
}

void traffic_print(const struct traffic *traffic)
{
	char src[MOAT_PREFIX_TEXT_LEN], dst[MOAT_PREFIX_TEXT_LEN];

	for (int i = 0; i < traffic->event_count; i++) {
		const struct moat_finding *f = &traffic->events[i].finding;

		printf("  window %llu: #%llu %s, %s\n",
		       (unsigned long long)(traffic->events[i].time_ns / TRAFFIC_WINDOW_NS),
		       (unsigned long long)f->id, moat_finding_state_name(f->state), f->sentence);
		for (uint32_t p = 0; p < f->proposal_count; p++) {
			const struct moat_proposal *r = &f->proposals[p];

			printf("    %s %u src %s dst %s proto %u flags %x/%x sport %u-%u "
			       "dport %u-%u len %u-%u covers %.3f collateral %.4f\n",
			       r->action == MOAT_ACTION_DROP ? "drop" : "limit", r->rate_pps,
			       moat_prefix_format(&r->match.src, src),
			       moat_prefix_format(&r->match.dst, dst), r->match.proto,
			       r->match.tcp_flags, r->match.tcp_mask, r->match.sport_min,
			       r->match.sport_max, r->match.dport_min, r->match.dport_max,
			       r->match.len_min, r->match.len_max, r->coverage, r->collateral);
		}
	}
}
