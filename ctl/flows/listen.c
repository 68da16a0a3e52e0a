/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flows/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/flows/sflow.h"
#include "ctl/flows/socket.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

/* How soon a stop is seen. */
#define LOOK_MS 200
#define DATAGRAM_MAX 65536
/* Of a busy collector; the kernel gives what its limit allows. */
#define RECEIVE_BYTES (4 << 20)

struct moat_flow_listener {
	struct moat_flow_listen_options options;
	struct moat_prefix exporters[MOAT_FLOW_EXPORTERS_MAX];
	struct moat_ring halves;
	struct moat_netflow *netflow;
	int socket;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	_Atomic uint64_t datagrams, foreign, broken, taken, skipped, missing;
};

static bool address_of(const struct sockaddr_storage *peer, struct moat_addr *ret_addr)
{
	if (peer->ss_family == AF_INET)
		moat_addr_from_v4(ret_addr, ((const struct sockaddr_in *)peer)->sin_addr.s_addr);
	else if (peer->ss_family == AF_INET6)
		memcpy(ret_addr, &((const struct sockaddr_in6 *)peer)->sin6_addr, sizeof(*ret_addr));
	else
		return false;
	return true;
}

static bool is_listed(const struct moat_flow_listener *listener, const struct moat_addr *addr)
{
	for (size_t i = 0; i < listener->options.exporter_count; i++) {
		if (moat_prefix_contains(&listener->exporters[i], addr))
			return true;
	}
	return false;
}

static void on_half(void *userdata, struct moat_flow_half *half)
{
	struct moat_flow_listener *listener = userdata;

	half->arrived_ns = moat_clock_monotonic_ns();
	if (listener->options.sampling)
		half->sampling = listener->options.sampling;
	if (half->sampling == 0)
		half->sampling = 1;
	if (moat_ring_push(&listener->halves, half))
		atomic_fetch_add(&listener->taken, 1);
}

/* sFlow's version has 32 bits, the others' 16. */
static bool is_sflow(const uint8_t *data, size_t length)
{
	return length >= 2 && data[0] == 0 && data[1] == 0;
}

static void take_datagram(struct moat_flow_listener *listener, const struct moat_addr *exporter,
			  const uint8_t *data, size_t length)
{
	struct moat_netflow_counters counters;
	uint64_t skipped = 0;
	int r;

	if (is_sflow(data, length)) {
		r = moat_sflow_read(data, length, on_half, listener, &skipped);
		atomic_fetch_add(&listener->skipped, skipped);
	} else {
		moat_netflow_counters(listener->netflow, &counters);
		skipped = counters.skipped;
		r = moat_netflow_read(listener->netflow, exporter, data, length, on_half, listener);
		moat_netflow_counters(listener->netflow, &counters);
		atomic_fetch_add(&listener->skipped, counters.skipped - skipped);
		atomic_store(&listener->missing, counters.missing);
	}
	if (r < 0)
		atomic_fetch_add(&listener->broken, 1);
}

static void *run(void *userdata)
{
	struct moat_flow_listener *listener = userdata;
	moat_auto_free uint8_t *data = malloc(DATAGRAM_MAX);
	struct pollfd waiting = { .fd = listener->socket, .events = POLLIN };

	while (data && !atomic_load(&listener->stop)) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);
		struct moat_addr exporter;
		ssize_t n;

		if (poll(&waiting, 1, LOOK_MS) <= 0)
			continue;
		n = recvfrom(listener->socket, data, DATAGRAM_MAX, MSG_DONTWAIT,
			     (struct sockaddr *)&peer, &size);
		if (n < 0)
			continue;
		atomic_fetch_add(&listener->datagrams, 1);
		if (address_of(&peer, &exporter) && is_listed(listener, &exporter))
			take_datagram(listener, &exporter, data, (size_t)n);
		else
			atomic_fetch_add(&listener->foreign, 1);
	}
	return NULL;
}

static int open_socket(struct moat_flow_listener *listener, struct moat_error *error)
{
	const int receive = RECEIVE_BYTES;

	listener->socket = moat_flow_socket("flows", listener->options.address,
					    listener->options.port, false, error);
	if (listener->socket < 0)
		return listener->socket;
	(void)setsockopt(listener->socket, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	return 0;
}

int moat_flow_listener_new(const struct moat_flow_listen_options *options,
			   struct moat_flow_listener **ret_listener, struct moat_error *error)
{
	struct moat_flow_listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return moat_error_set(error, -ENOMEM, "flows: out of memory");
	listener->socket = -1;
	listener->options = *options;
	if (listener->options.exporter_count > MOAT_FLOW_EXPORTERS_MAX)
		listener->options.exporter_count = MOAT_FLOW_EXPORTERS_MAX;
	memcpy(listener->exporters, options->exporters,
	       listener->options.exporter_count * sizeof(listener->exporters[0]));
	r = moat_ring_init(&listener->halves, MOAT_FLOW_RING, sizeof(struct moat_flow_half));
	if (r == 0)
		r = moat_netflow_new(&listener->netflow);
	if (r < 0)
		moat_error_set(error, r, "flows: out of memory");
	else
		r = open_socket(listener, error);
	if (r == 0) {
		r = -pthread_create(&listener->thread, NULL, run, listener);
		if (r < 0)
			moat_error_set(error, r, "flows: %s", strerror(-r));
	}
	listener->has_thread = r == 0;
	if (r < 0)
		moat_flow_listener_free(listener);
	else
		*ret_listener = listener;
	return r;
}

void moat_flow_listener_free(struct moat_flow_listener *listener)
{
	if (!listener)
		return;
	if (listener->has_thread) {
		atomic_store(&listener->stop, true);
		pthread_join(listener->thread, NULL);
	}
	if (listener->socket >= 0)
		close(listener->socket);
	moat_netflow_free(listener->netflow);
	moat_ring_deinit(&listener->halves);
	free(listener);
}

struct moat_ring *moat_flow_listener_ring(struct moat_flow_listener *listener)
{
	return &listener->halves;
}

void moat_flow_listener_counters(const struct moat_flow_listener *listener,
				 struct moat_flow_listen_counters *ret_counters)
{
	uint64_t lost = moat_ring_lost(&listener->halves), taken = atomic_load(&listener->taken);

	*ret_counters = (struct moat_flow_listen_counters){
		.datagrams = atomic_load(&listener->datagrams),
		.foreign = atomic_load(&listener->foreign),
		.broken = atomic_load(&listener->broken),
		.flows = taken + lost,
		.taken = taken,
		.lost = lost,
		.skipped = atomic_load(&listener->skipped),
		.missing_templates = atomic_load(&listener->missing),
	};
}
