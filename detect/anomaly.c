/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What no other detector names: packets that conversations aren't made of (fragments, impossible flag
 * sets, odd protocols), or a one-way stream far outside of the baseline. It only reports. Growth alone
 * is no anomaly: legitimate traffic grows as well, but it is answered.
 */
#include <math.h>

#include "detect/engine.h"

#define FLOOR_PPS 5000.0 /* and the floor of UDP floods, the least specific of them */
#define PEAK_FACTOR 5.0
#define ODD_FACTOR 10.0   /* over the host's usual rate of odd packets */
#define ODD_SHARE 0.5     /* of the host's packets */
#define FAR_SCORE 0.5     /* of the baseline's threshold: the second has only begun to fill */
#define ONE_WAY_SHARE 0.1 /* answers that a one-way stream still has */
#define ONE_WAY_LEN 200   /* bytes a packet; uploads are larger, and few ACKs are enough for them */

/* Of the short window: the second would be learned as usual before it is full. */
static double rate_of(const struct moat_host_view *host, double count)
{
	return moat_window_rate(host->window, count);
}

static void report(const struct moat_host_view *host, const char *driver, double expected,
		   double rate, double limit, moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to;
	struct moat_suspicion suspicion = {
		.kind = MOAT_FINDING_ANOMALY,
		.subject = host->window->addr,
		.score = rate / limit,
		.pps = rate,
		.mbps = rate_of(host, (double)to->bytes) * 8 / 1e6,
		.share = rate / fmax(rate_of(host, (double)to->packets), 1),
		.usual_pps = expected,
	};

	moat_suspicion_drive(&suspicion, driver, expected, rate);
	suspect(engine, &suspicion);
}

static void judge_odd(const struct moat_host_view *host, double floor_pps, moat_suspect_fn suspect,
		      void *engine)
{
	const struct moat_traffic *to = &host->window->to;
	double odd = (double)(to->fragments + to->tcp_other + to->other);
	double usual = (double)host->usual->peak[MOAT_USUAL_ODD];
	double limit = fmax(floor_pps, ODD_FACTOR * usual), rate = rate_of(host, odd);

	if (rate >= limit && odd >= ODD_SHARE * (double)to->packets)
		report(host, "odd/s", usual, rate, limit, suspect, engine);
}

/* Far more than usual arrives and next to nothing goes back, from a host that used to answer. */
static void judge_one_way(const struct moat_host_view *host, double floor_pps,
			  moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to, *from = &host->window->from;
	double rate = rate_of(host, (double)to->packets);
	double usual = (double)host->usual->peak[MOAT_USUAL_PACKETS];
	double limit = fmax(floor_pps, PEAK_FACTOR * usual);

	/* a host whose answers go another way has none at all */
	if (rate < limit || host->second->from.packets == 0 || !host->baseline ||
	    host->baseline->score < FAR_SCORE)
		return;
	if (to->bytes <= ONE_WAY_LEN * to->packets &&
	    (double)from->packets < ONE_WAY_SHARE * (double)to->packets)
		report(host, "packets/s", usual, rate, limit, suspect, engine);
}

static void anomaly_window(void *state, const struct moat_detect_config *config,
			   const struct moat_host_view *host, moat_suspect_fn suspect, void *engine)
{
	const uint32_t floods = ((1u << MOAT_FINDING_ANOMALY) - 1) | 1u << MOAT_FINDING_ACK_FLOOD;
	double floor_pps = fmax(FLOOR_PPS, config->floor_pps[MOAT_FINDING_UDP_FLOOD]);

	if (host->learning || !host->is_protected || (host->open & floods) ||
	    host->usual->seconds < MOAT_USUAL_SECONDS_MIN)
		return;
	judge_odd(host, floor_pps, suspect, engine);
	judge_one_way(host, floor_pps, suspect, engine);
}

const struct moat_detector_ops moat_detector_anomaly = {
	.name = "anomaly",
	.title = "odd packets and one-way streams far outside of the baseline",
	.modes = MOAT_MODE_GATEWAY | MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.window = anomaly_window,
};
