/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fast scans: one source that tries many destinations or ports, mostly in vain.
 *
 * What sets a scanner apart from a busy client, a crawler or a resolver is that its attempts stay
 * attempts: SYNs without the ACKs of conversations, datagrams without answers. Spoofed sources send a
 * packet each and have no fan-out; a flood to one port has one target; a flood over all ports of one host
 * from one source looks like a scan here, and the engine compares it with what its victim receives.
 */
#include <math.h>

#include "detect/engine.h"

/* A SYN scan: SYNs are this share of the source's packets without RST (a half-open scanner resets what
 * answers), and at least this share of its targets got one. */
#define SYN_SHARE 0.5
#define SYN_TARGETS_SHARE 0.5
/* ACKs of conversations stay below this share of the SYNs. */
#define ACK_SHARE 0.5
/* Resolvers and peer-to-peer nodes have a fan-out of datagrams: ask for more targets, and hardly any
 * answers. */
#define UDP_TARGETS_FACTOR 3.0
#define UDP_SHARE 0.8
#define UDP_ANSWERED_SHARE 0.1
/* Other flag sets (FIN, Xmas, null scans): no stack sends them. */
#define ODD_SHARE 0.5

static bool is_syn_scan(const struct moat_traffic *from, double targets)
{
	double syn = (double)from->tcp_syn;
	double others = (double)(from->packets - from->tcp_rst);

	return syn >= SYN_TARGETS_SHARE * targets && syn >= SYN_SHARE * others &&
	       (double)from->tcp_ack < ACK_SHARE * syn;
}

static bool is_udp_scan(const struct moat_host_window *second)
{
	double udp = (double)second->from.udp;

	/* from ports that answer: a server, or a reflector of somebody's attack */
	if (2 * second->from.udp_reflect > second->from.udp)
		return false;
	return udp >= UDP_SHARE * (double)second->from.packets &&
	       (double)second->to.udp < UDP_ANSWERED_SHARE * udp;
}

static bool is_odd_scan(const struct moat_traffic *from, double targets)
{
	double odd = (double)(from->tcp_other + from->tcp_fin);

	return odd >= ODD_SHARE * (double)from->packets && odd >= SYN_TARGETS_SHARE * targets &&
	       (double)from->tcp_ack < ACK_SHARE * odd;
}

static void scan_window(void *state, const struct moat_detect_config *config,
			const struct moat_host_view *host, moat_suspect_fn suspect, void *engine)
{
	const struct moat_host_window *second = host->second;
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_SCAN,
		.subject = host->window->addr,
		.subject_is_source = true,
		.share = 1,
		.usual_pps = -1,
	};
	/* the sum of eight windows' distinct targets: a scanner hardly repeats itself */
	double targets = second->from.distinct, limit = config->scan_targets;

	if (host->window->from.packets == 0 || limit <= 0)
		return;
	if (host->open & (1u << MOAT_FINDING_SCAN))
		limit /= 2;
	if (targets < limit)
		return;
	if (!is_syn_scan(&second->from, targets) && !is_odd_scan(&second->from, targets)) {
		limit *= UDP_TARGETS_FACTOR;
		if (targets < limit || !is_udp_scan(second))
			return;
	}
	suspicion.score = targets / limit;
	suspicion.pps = moat_window_rate(host->window, (double)host->window->from.packets);
	suspicion.mbps = moat_window_rate(host->window, (double)host->window->from.bytes) * 8 / 1e6;
	moat_suspicion_drive(&suspicion, "targets/s", limit, targets);
	moat_suspicion_drive(&suspicion, "syn/s", limit, (double)second->from.tcp_syn);
	moat_suspicion_drive(&suspicion, "udp/s", limit, (double)second->from.udp);
	suspect(engine, &suspicion);
}

const struct moat_detector_ops moat_detector_scan = {
	.name = "scan",
	.title = "fast scans: one source, many destinations or ports, no conversations",
	.modes = MOAT_MODE_GATEWAY | MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.window = scan_window,
};
