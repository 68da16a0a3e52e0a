/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floods that one of our hosts sends: SYNs, datagrams or pings at a flood's rate to few targets, and nothing
 * comes back. Needs `detect.protected`: without it nobody knows which hosts are ours, and each attacker would
 * be one.
 */
#include <math.h>

#include "detect/engine.h"

/* Targets for so many packets: more are a scan's affair. */
#define TARGETS_SHARE 0.1
#define ANSWERED_SHARE 0.1
#define ACK_SHARE 0.5
/* Streams of media go one way too, in larger datagrams. */
#define SMALL_LEN 250

struct stream {
	const char *driver;
	double count, floor;
};

static void report(const struct moat_host_view *host, const struct stream *stream,
		   moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *from = &host->window->from;
	double rate = moat_window_rate(host->window, stream->count);
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_OUTBOUND,
		.subject = host->window->addr,
		.subject_is_source = true,
		.score = fmax(rate / fmax(stream->floor, 1), 1),
		.pps = rate,
		.mbps = moat_window_rate(host->window, (double)from->bytes) * 8 / 1e6,
		.share = stream->count / fmax((double)from->packets, 1),
		.usual_pps = -1,
	};

	moat_suspicion_drive(&suspicion, stream->driver, stream->floor, rate);
	suspect(engine, &suspicion);
}

static void outbound_window(void *state, const struct moat_detect_config *config,
			    const struct moat_host_view *host, moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *from = &host->window->from, *back = &host->second->to;
	const struct moat_traffic *second = &host->second->from;
	struct stream stream = { "from.syn/s", (double)from->tcp_syn,
				 config->floor_pps[MOAT_FINDING_SYN_FLOOD] };
	double ease = host->open & (1u << MOAT_FINDING_OUTBOUND) ? 0.5 : 1;

	if (!host->is_ours || from->packets == 0 ||
	    from->distinct > fmax(TARGETS_SHARE * (double)from->packets, 2))
		return;
	if (moat_window_rate(host->window, stream.count) >= ease * stream.floor &&
	    (double)from->tcp_ack < ACK_SHARE * stream.count) {
		report(host, &stream, suspect, engine);
		return;
	}
	stream = (struct stream){ "from.udp/s", (double)from->udp,
				  config->floor_pps[MOAT_FINDING_UDP_FLOOD] };
	/* answers of a server of ours: who asked for so many is the other end's question */
	if (moat_window_rate(host->window, stream.count) >= ease * stream.floor &&
	    2 * from->udp_reflect < from->udp && from->udp_bytes <= SMALL_LEN * from->udp &&
	    (double)back->udp < ANSWERED_SHARE * (double)second->udp) {
		report(host, &stream, suspect, engine);
		return;
	}
	stream = (struct stream){ "from.icmp/s", (double)from->icmp,
				  config->floor_pps[MOAT_FINDING_ICMP_FLOOD] };
	if (moat_window_rate(host->window, stream.count) >= ease * stream.floor &&
	    (double)back->icmp < ANSWERED_SHARE * (double)second->icmp &&
	    back->packets < second->packets)
		report(host, &stream, suspect, engine);
}

const struct moat_detector_ops moat_detector_outbound = {
	.name = "outbound",
	.title = "floods from hosts in detect.protected",
	.modes = MOAT_MODE_GATEWAY | MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.window = outbound_window,
};
