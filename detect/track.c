/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/track.h"

#include <math.h>

#define MEAN_WEIGHT 0.125F   /* of the newest second in the running mean */
#define PEAK_FORGET 0.999F   /* a second: half after 12 minutes */
#define PEAK_GROWTH 0.05F    /* a second at most, once settled */
#define PEAK_GROWTH_MIN 1.0F /* packets a second: lets a peak of zero move at all */
#define SETTLED_SECONDS 60
#define CONVERSED_SECONDS 3
#define CONVERSED_ACKS 2

static void rates_of(const struct moat_host_window *second, float ret_rates[MOAT_USUAL_RATES])
{
	const struct moat_traffic *to = &second->to;
	const uint64_t counts[MOAT_USUAL_RATES] = {
		[MOAT_USUAL_PACKETS] = to->packets,
		[MOAT_USUAL_SYN] = to->tcp_syn,
		[MOAT_USUAL_ACK] = to->tcp_ack,
		[MOAT_USUAL_END] = to->tcp_fin + to->tcp_rst,
		[MOAT_USUAL_UDP] = to->udp,
		[MOAT_USUAL_REFLECT] = to->udp_reflect,
		[MOAT_USUAL_ICMP] = to->icmp,
		[MOAT_USUAL_ODD] = to->fragments + to->tcp_other + to->other,
	};

	for (int i = 0; i < MOAT_USUAL_RATES; i++)
		ret_rates[i] = (float)moat_window_rate(second, (double)counts[i]);
}

void moat_usual_take(struct moat_usual *usual, const struct moat_host_window *second)
{
	/* the first seconds weigh as in a plain mean */
	float weight = fmaxf(1.0F / (float)(usual->seconds + 1), MEAN_WEIGHT);
	bool settled = usual->seconds >= SETTLED_SECONDS;
	float rates[MOAT_USUAL_RATES];

	rates_of(second, rates);
	for (int i = 0; i < MOAT_USUAL_RATES; i++) {
		float peak = usual->peak[i] * PEAK_FORGET;
		float bound = peak + fmaxf(peak * PEAK_GROWTH, PEAK_GROWTH_MIN);

		usual->mean[i] += weight * (rates[i] - usual->mean[i]);
		usual->peak[i] = fmaxf(peak, settled ? fminf(rates[i], bound) : rates[i]);
	}
	if (usual->seconds < UINT32_MAX)
		usual->seconds++;
}

uint32_t moat_track_run(struct moat_track *track, enum moat_finding_kind kind, uint32_t tick,
			uint64_t start_ns)
{
	if (track->run[kind] == 0 || track->run_tick[kind] + 1 != tick) {
		track->run[kind] = 0;
		track->run_first_ns[kind] = start_ns;
	}
	if (track->run[kind] < UINT8_MAX)
		track->run[kind]++;
	track->run_tick[kind] = tick;
	return track->run[kind];
}

bool moat_track_converse(struct moat_track *track, const struct moat_host_window *second)
{
	const struct moat_traffic *from = &second->from;
	bool tcp = from->tcp_ack >= CONVERSED_ACKS && from->tcp_ack >= from->tcp_syn;

	if (!tcp && from->udp == 0)
		return false;
	if (track->conversed < UINT8_MAX)
		track->conversed++;
	return track->conversed >= CONVERSED_SECONDS;
}
