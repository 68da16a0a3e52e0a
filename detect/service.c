/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attacks that exhaust a service rather than a line: connections to a web server that are kept open and
 * hardly say anything (Slowloris, R.U.D.Y.), and requests for addresses in great number (DHCP starvation).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"

#define SERVERS 8192
#define SPAN_NS (60 * MOAT_NS_PER_S)
#define HOLD_NS (60 * MOAT_NS_PER_S)
/* Connections of a minute whose request isn't whole after so long. */
#define SLOW_CONNECTIONS 40
#define SLOW_NS (8 * MOAT_NS_PER_S)
#define SLOW_BYTES 8192
/* Hardware addresses that ask for an address within a span: a whole floor that comes back from a power
 * failure stays below. */
#define DHCP_CLIENTS 60
#define DHCP_SPAN_NS (10 * MOAT_NS_PER_S)
#define DHCP_CHADDR 28 /* RFC 2131, figure 1 */
/* Requests of one client within a span: the RFC's repetitions begin 4 s apart (4.1). */
#define DHCP_REQUESTS 50

struct server {
	uint64_t begin_ns;
	struct moat_distinct slow;    /* connections */
	struct moat_distinct clients; /* DHCP: hardware addresses */
	uint32_t requests;            /* DHCP, of one client */
	struct moat_addr client;      /* the one with slow connections, if it is one */
	bool several;
};

static int service_init(const struct moat_detect_config *config, void **ret_state)
{
	struct moat_ledger *servers = NULL;
	int r = moat_ledger_new(SERVERS, sizeof(struct server), config->seed, &servers);

	if (r == 0)
		*ret_state = servers;
	return r;
}

static void service_deinit(void *state)
{
	moat_ledger_free(state);
}

static struct server *server_of(struct moat_ledger *servers, const struct moat_addr *addr,
				uint64_t port, uint64_t span_ns, uint64_t now_ns)
{
	struct moat_ledger_key key = { .a = *addr, .c = port };
	bool is_new;
	struct server *server = moat_ledger_take(servers, &key, now_ns, &is_new);

	if (now_ns > server->begin_ns + span_ns)
		*server = (struct server){ .begin_ns = now_ns };
	return server;
}

static bool is_web(uint16_t port)
{
	return port == 80 || port == 8080 || port == 8000 || port == 8888 || port == 3000;
}

static void service_flow(void *state, const struct moat_detect_config *config,
			 const struct moat_flow_record *record, moat_suspect_fn suspect,
			 void *engine)
{
	char client[MOAT_ADDR_TEXT_LEN], text[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;
	struct server *server;
	double count;

	/* the client speaks again, long after it began, and the server still waits for the rest */
	if (record->event != MOAT_RECORD_SPEAKS || record->direction != 0 || record->proto != 6 ||
	    !is_web(record->server_port) || record->payload[1] != 0 || record->payload[0] == 0 ||
	    record->payload[0] > SLOW_BYTES || !record->is_whole ||
	    record->last_ns - record->first_ns < SLOW_NS)
		return;
	server = server_of(state, &record->server, record->server_port, SPAN_NS, record->last_ns);
	if (moat_distinct_count(&server->slow) > 0 &&
	    !moat_addr_equal(&server->client, &record->client))
		server->several = true;
	server->client = record->client;
	moat_distinct_add(&server->slow, moat_mix(moat_addr_hash(&record->client, config->seed) +
						  record->client_port));
	count = moat_distinct_count(&server->slow);
	if (count < SLOW_CONNECTIONS)
		return;
	suspicion = (struct moat_suspicion){
		.kind = MOAT_FINDING_SLOW_HTTP,
		.subject = record->server,
		.score = count / SLOW_CONNECTIONS,
		.share = 1,
		.usual_pps = -1,
		.port = record->server_port,
		.proto = record->proto,
		.first_ns = server->begin_ns,
		.hold_ns = HOLD_NS,
	};
	if (!server->several)
		suspicion.peer = record->client;
	moat_suspicion_drive(&suspicion, "unfinished_requests", SLOW_CONNECTIONS, count);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Slow HTTP on %s port %u: %.0f requests within a minute that never end, from %s",
		 moat_addr_format(&record->server, text), record->server_port, count,
		 server->several ? "several hosts" : moat_addr_format(&record->client, client));
	suspect(engine, &suspicion);
}

static void service_content(void *state, const struct moat_detect_config *config,
			    const struct moat_content *content, moat_suspect_fn suspect,
			    void *engine)
{
	static const struct moat_addr nobody;
	char text[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;
	struct server *server, *requests;
	uint64_t hardware = 0;
	double clients, asked;

	/* a request (op 1) over Ethernet (type 1) */
	if (content->proto != 17 || content->server_port != 67 ||
	    content->captured < DHCP_CHADDR + 8 || content->data[0] != 1 || content->data[1] != 1)
		return;
	memcpy(&hardware, content->data + DHCP_CHADDR, 6);
	/* of one client, whatever addresses it writes into its requests */
	requests = server_of(state, &nobody, hardware << 16 | 67, DHCP_SPAN_NS, content->time_ns);
	asked = ++requests->requests;
	/* another entry, which may take the place of the first: that one isn't used any more */
	server = server_of(state, &content->server, 67, DHCP_SPAN_NS, content->time_ns);
	moat_distinct_add(&server->clients, moat_mix(hardware));
	clients = moat_distinct_count(&server->clients);
	if (clients < DHCP_CLIENTS && asked < DHCP_REQUESTS)
		return;
	suspicion = (struct moat_suspicion){
		.kind = MOAT_FINDING_DHCP_FLOOD,
		.peer = content->server,
		.score = fmax(clients / DHCP_CLIENTS, asked / DHCP_REQUESTS),
		.share = 1,
		.usual_pps = -1,
		.port = 67,
		.proto = 17,
		.first_ns = server->begin_ns,
		.hold_ns = HOLD_NS,
	};
	/* about the network's service: a flood names any server it likes */
	moat_addr_from_v4(&suspicion.subject, 0xffffffff);
	moat_suspicion_drive(&suspicion, "dhcp_clients", DHCP_CLIENTS, clients);
	moat_suspicion_drive(&suspicion, "dhcp_requests", DHCP_REQUESTS, asked);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "DHCP flood to %s: requests of %.0f hardware addresses within %.0f s, %.0f of one",
		 moat_addr_format(&content->server, text), clients,
		 (double)(content->time_ns - server->begin_ns) / (double)MOAT_NS_PER_S, asked);
	suspect(engine, &suspicion);
}

const struct moat_detector_ops moat_detector_service = {
	.name = "service",
	.title = "slow HTTP and DHCP starvation",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR,
	.init = service_init,
	.deinit = service_deinit,
	.flow = service_flow,
	.content = service_content,
};
