/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Captures as a port: the files' packets merged by time, each with an Ethernet header, at the speed of
 * the reader or of their time stamps. Opening and reading one file is capture.c's.
 *
 * Time stamps go out as they are; a capture's clock may step back, and the worker deals with that.
 */
#include "dataplane/port.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/capture.h"

#define PATHS_MAX 256

struct port_pcap {
	struct moat_port port;
	struct moat_capture *captures[PATHS_MAX];
	size_t capture_count;
	bool realtime;
	bool started;
	uint64_t clock_start_ns; /* CLOCK_MONOTONIC when ... */
	uint64_t time_start_ns;  /* ... the packet of this time was due */
	uint8_t (*slots)[MOAT_CAPTURE_FRAME_MAX];
};

static void pcap_port_close(struct moat_port *port)
{
	struct port_pcap *pcap = (struct port_pcap *)port;

	for (size_t i = 0; i < pcap->capture_count; i++)
		moat_capture_close(pcap->captures[i]);
	free(pcap->slots);
	free(pcap);
}

/* The file whose next packet is the earliest; of equals the first, so that the order is always the same.
 * NULL at the end of all. */
static struct moat_capture *earliest(const struct port_pcap *pcap)
{
	struct moat_capture *found = NULL;
	uint64_t found_ns = 0;

	for (size_t i = 0; i < pcap->capture_count; i++) {
		uint64_t time_ns;

		if (!moat_capture_peek(pcap->captures[i], &time_ns))
			continue;
		if (!found || time_ns < found_ns) {
			found = pcap->captures[i];
			found_ns = time_ns;
		}
	}
	return found;
}

/* How long until a packet of this time is due, in ns; 0 if it is. */
static uint64_t time_to_wait(struct port_pcap *pcap, uint64_t time_ns)
{
	uint64_t now = moat_clock_monotonic_ns();
	uint64_t elapsed;

	if (!pcap->realtime)
		return 0;
	if (!pcap->started) {
		pcap->started = true;
		pcap->clock_start_ns = now;
		pcap->time_start_ns = time_ns;
	}
	if (time_ns <= pcap->time_start_ns)
		return 0;
	elapsed = now - pcap->clock_start_ns;
	time_ns -= pcap->time_start_ns;
	return time_ns > elapsed ? time_ns - elapsed : 0;
}

static int pcap_port_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_pcap *pcap = (struct port_pcap *)port;
	unsigned int count = 0;

	while (count < max) {
		struct moat_capture *capture = earliest(pcap);
		uint64_t time_ns;

		if (!capture)
			return count ? (int)count : -ENODATA;
		moat_capture_peek(capture, &time_ns);
		if (time_to_wait(pcap, time_ns) > 0)
			break;
		ret_burst[count].data = pcap->slots[count];
		moat_capture_take(capture, &ret_burst[count]);
		count++;
	}
	return (int)count;
}

static bool pcap_port_wait(struct moat_port *port, int timeout_ms)
{
	struct port_pcap *pcap = (struct port_pcap *)port;
	struct moat_capture *capture = earliest(pcap);
	uint64_t time_ns, wait_ns, timeout_ns = (uint64_t)timeout_ms * MOAT_NS_PER_MS;
	struct timespec pause;

	if (!capture)
		return true;
	moat_capture_peek(capture, &time_ns);
	wait_ns = time_to_wait(pcap, time_ns);
	if (timeout_ms >= 0 && wait_ns > timeout_ns) {
		poll(NULL, 0, timeout_ms);
		return false;
	}
	pause = (struct timespec){ .tv_sec = (time_t)(wait_ns / MOAT_NS_PER_S),
				   .tv_nsec = (long)(wait_ns % MOAT_NS_PER_S) };
	nanosleep(&pause, NULL);
	return true;
}

/* A file that broke off has told so in its error; the counter says how many. */
static void pcap_port_refresh(struct moat_port *port, struct moat_port_counters *counters)
{
	const struct port_pcap *pcap = (const struct port_pcap *)port;

	for (size_t i = 0; i < pcap->capture_count; i++)
		counters->rx_invalid += moat_capture_broke(pcap->captures[i]) ? 1 : 0;
}

static const struct moat_port_ops pcap_ops = {
	.name = "pcap",
	.close = pcap_port_close,
	.rx = pcap_port_rx,
	.wait = pcap_port_wait,
	.refresh = pcap_port_refresh,
};

static void name_port(struct moat_port *port, const struct moat_port_pcap_options *options)
{
	const char *base = strrchr(options->paths[0], '/');

	base = base ? base + 1 : options->paths[0];
	if (options->path_count > 1)
		snprintf(port->name, sizeof(port->name), "%.40s and %zu more", base,
			 options->path_count - 1);
	else
		snprintf(port->name, sizeof(port->name), "%.60s", base);
}

int moat_port_pcap_open(const struct moat_port_pcap_options *options, struct moat_port **ret_port,
			struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct port_pcap *pcap;
	int r;

	if (options->path_count < 1 || options->path_count > PATHS_MAX)
		return moat_error_set(error, -EINVAL,
				      "%zu capture files: 1 to %d can be read at once",
				      options->path_count, PATHS_MAX);
	pcap = calloc(1, sizeof(*pcap));
	if (!pcap)
		return moat_error_set(error, -ENOMEM, "capture: out of memory");
	port = &pcap->port;
	port->ops = &pcap_ops;
	pcap->realtime = options->realtime;
	name_port(port, options);
	pcap->slots = malloc(MOAT_BURST * sizeof(*pcap->slots));
	if (!pcap->slots)
		return moat_error_set(error, -ENOMEM, "capture: out of memory");
	for (size_t i = 0; i < options->path_count; i++) {
		r = moat_capture_open(options->paths[i], &pcap->captures[i], error);
		if (r < 0)
			return r;
		pcap->capture_count++;
	}
	*ret_port = moat_take_ptr(port);
	return 0;
}

double moat_port_pcap_progress(const struct moat_port *port)
{
	const struct port_pcap *pcap = (const struct port_pcap *)port;
	uint64_t read = 0, size = 0;

	for (size_t i = 0; i < pcap->capture_count; i++)
		moat_capture_position(pcap->captures[i], &read, &size);
	return size ? (double)read / (double)size : 1;
}
