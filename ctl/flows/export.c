/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Messages of two templates, filled until a datagram is full. Flows' times are CLOCK_MONOTONIC's: they become
 * those of the day here. */
#include "ctl/flows/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ctl/flows/socket.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/ring.h"

#define LOOK_NS 100000000L
/* Fits every path (RFC 8200, 5: 1,280 less headers). */
#define MESSAGE_MAX 1200
#define HEAD_LEN 16
#define SET_HEAD_LEN 4
#define TEMPLATES_SET 2
#define TEMPLATE_V4 256
#define TEMPLATE_V6 257
#define END_OF_FLOW 3 /* flowEndReason: its end, or its silence, was seen */

/* Information elements (IANA's registry) of a record, in order; addresses by family. */
static const struct {
	uint16_t v4, v6, v4_length, v6_length;
} elements[] = {
	{ 8, 27, 4, 16 },   /* source address */
	{ 12, 28, 4, 16 },  /* destination address */
	{ 152, 152, 8, 8 }, /* flowStartMilliseconds */
	{ 153, 153, 8, 8 }, /* flowEndMilliseconds */
	{ 2, 2, 8, 8 },     /* packetDeltaCount */
	{ 1, 1, 8, 8 },     /* octetDeltaCount */
	{ 7, 7, 2, 2 },     /* sourceTransportPort */
	{ 11, 11, 2, 2 },   /* destinationTransportPort */
	{ 4, 4, 1, 1 },     /* protocolIdentifier */
	{ 136, 136, 1, 1 }, /* flowEndReason */
};
#define RECORD_MAX 80

struct moat_export {
	struct moat_ring flows; /* of struct moat_flow_record */
	int socket;
	uint32_t domain;
	uint32_t sequence;     /* records sent so far, modulo 2^32 */
	uint64_t templates_ns; /* when they were sent last */
	/* the message being filled */
	uint8_t message[MESSAGE_MAX];
	size_t length;
	size_t set; /* where its last set begins, 0: none is open */
	uint16_t set_id;
	uint32_t records;
	uint64_t waiting; /* flows in it */
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	_Atomic uint64_t sent, failed;
};

/* ---- messages ------------------------------------------------------------------------------------ */

static size_t put(uint8_t *at, uint64_t value, size_t length)
{
	for (size_t i = 0; i < length; i++)
		at[i] = (uint8_t)(value >> 8 * (length - 1 - i));
	return length;
}

static void append(struct moat_export *exporter, uint64_t value, size_t length)
{
	exporter->length += put(exporter->message + exporter->length, value, length);
}

static void end_set(struct moat_export *exporter)
{
	if (exporter->set)
		put(exporter->message + exporter->set + 2, exporter->length - exporter->set, 2);
	exporter->set = 0;
}

static void begin_set(struct moat_export *exporter, uint16_t id)
{
	end_set(exporter);
	exporter->set = exporter->length;
	exporter->set_id = id;
	append(exporter, id, 2);
	append(exporter, 0, 2); /* by end_set */
}

static void append_templates(struct moat_export *exporter)
{
	begin_set(exporter, TEMPLATES_SET);
	for (uint16_t id = TEMPLATE_V4; id <= TEMPLATE_V6; id++) {
		append(exporter, id, 2);
		append(exporter, MOAT_ARRAY_SIZE(elements), 2);
		for (size_t i = 0; i < MOAT_ARRAY_SIZE(elements); i++) {
			bool is_v4 = id == TEMPLATE_V4;

			append(exporter, is_v4 ? elements[i].v4 : elements[i].v6, 2);
			append(exporter, is_v4 ? elements[i].v4_length : elements[i].v6_length, 2);
		}
	}
	end_set(exporter);
}

static void begin_message(struct moat_export *exporter)
{
	uint64_t now_ns = moat_clock_monotonic_ns();

	exporter->length = HEAD_LEN;
	exporter->set = 0;
	exporter->records = 0;
	exporter->waiting = 0;
	/* UDP loses datagrams, and collectors come late */
	if (exporter->templates_ns && now_ns - exporter->templates_ns < MOAT_EXPORT_TEMPLATES_NS)
		return;
	exporter->templates_ns = now_ns;
	append_templates(exporter);
}

static void send_message(struct moat_export *exporter)
{
	uint8_t *head = exporter->message;
	bool is_sent;

	if (exporter->records == 0)
		return;
	end_set(exporter);
	put(head, 10, 2);
	put(head + 2, exporter->length, 2);
	put(head + 4, (uint64_t)time(NULL), 4);
	put(head + 8, exporter->sequence, 4);
	put(head + 12, exporter->domain, 4);
	is_sent = send(exporter->socket, head, exporter->length, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		  (ssize_t)exporter->length;
	exporter->sequence += exporter->records;
	atomic_fetch_add(is_sent ? &exporter->sent : &exporter->failed, exporter->waiting);
	begin_message(exporter);
}

/* ---- flows --------------------------------------------------------------------------------------- */

static uint64_t day_ms(uint64_t mono_ns)
{
	struct timespec day;
	int64_t offset_ns;

	clock_gettime(CLOCK_REALTIME, &day);
	offset_ns = (int64_t)day.tv_sec * (int64_t)MOAT_NS_PER_S + day.tv_nsec -
		    (int64_t)moat_clock_monotonic_ns();
	return (uint64_t)((int64_t)mono_ns + offset_ns) / MOAT_NS_PER_MS;
}

static void append_addr(struct moat_export *exporter, const struct moat_addr *addr, bool is_v4)
{
	size_t length = is_v4 ? 4 : 16;

	memcpy(exporter->message + exporter->length, addr->bytes + sizeof(*addr) - length, length);
	exporter->length += length;
}

/* One direction: 0 is the client's. */
static void append_half(struct moat_export *exporter, const struct moat_flow_record *flow, int way)
{
	bool is_v4 = moat_addr_is_v4(&flow->client);
	uint16_t id = is_v4 ? TEMPLATE_V4 : TEMPLATE_V6;

	if (flow->packets[way] == 0)
		return;
	if (exporter->set == 0 || exporter->set_id != id)
		begin_set(exporter, id);
	append_addr(exporter, way ? &flow->server : &flow->client, is_v4);
	append_addr(exporter, way ? &flow->client : &flow->server, is_v4);
	append(exporter, day_ms(flow->first_ns), 8);
	append(exporter, day_ms(flow->last_ns), 8);
	append(exporter, flow->packets[way], 8);
	append(exporter, flow->bytes[way], 8);
	append(exporter, way ? flow->server_port : flow->client_port, 2);
	append(exporter, way ? flow->client_port : flow->server_port, 2);
	append(exporter, flow->proto, 1);
	append(exporter, END_OF_FLOW, 1);
	exporter->records++;
}

static void send_waiting(struct moat_export *exporter)
{
	struct moat_flow_record flow;

	while (moat_ring_pop(&exporter->flows, &flow)) {
		if (exporter->length + 2 * (RECORD_MAX + SET_HEAD_LEN) > MESSAGE_MAX)
			send_message(exporter);
		append_half(exporter, &flow, 0);
		append_half(exporter, &flow, 1);
		exporter->waiting++;
	}
	send_message(exporter);
}

static void *run(void *userdata)
{
	const struct timespec look = { 0, LOOK_NS };
	struct moat_export *exporter = userdata;

	begin_message(exporter);
	while (!atomic_load(&exporter->stop)) {
		send_waiting(exporter);
		nanosleep(&look, NULL);
	}
	send_waiting(exporter);
	return NULL;
}

/* ---- for others ---------------------------------------------------------------------------------- */

int moat_export_new(const char *address, uint16_t port, uint32_t domain,
		    struct moat_export **ret_export, struct moat_error *error)
{
	struct moat_export *exporter = calloc(1, sizeof(*exporter));
	int r;

	if (!exporter)
		return moat_error_set(error, -ENOMEM, "flows.export: out of memory");
	exporter->domain = domain;
	exporter->socket = moat_flow_socket("flows.export", address, port, true, error);
	r = exporter->socket < 0 ? exporter->socket : 0;
	if (r == 0) {
		r = moat_ring_init(&exporter->flows, MOAT_EXPORT_QUEUE,
				   sizeof(struct moat_flow_record));
		if (r == 0)
			r = -pthread_create(&exporter->thread, NULL, run, exporter);
		if (r < 0)
			moat_error_set(error, r, "flows.export: %s", strerror(-r));
	}
	exporter->has_thread = r == 0;
	if (r < 0)
		moat_export_free(exporter);
	else
		*ret_export = exporter;
	return r;
}

void moat_export_free(struct moat_export *exporter)
{
	if (!exporter)
		return;
	if (exporter->has_thread) {
		atomic_store(&exporter->stop, true);
		pthread_join(exporter->thread, NULL);
	}
	if (exporter->socket >= 0)
		close(exporter->socket);
	moat_ring_deinit(&exporter->flows);
	free(exporter);
}

void moat_export_flow(struct moat_export *exporter, const struct moat_flow_record *record)
{
	if (record->event == MOAT_RECORD_END)
		moat_ring_push(&exporter->flows, record);
}

void moat_export_counters(const struct moat_export *exporter,
			  struct moat_export_counters *ret_counters)
{
	*ret_counters = (struct moat_export_counters){
		.sent = atomic_load(&exporter->sent),
		.lost = moat_ring_lost(&exporter->flows),
		.failed = atomic_load(&exporter->failed),
	};
}
