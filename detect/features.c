/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a window's counters to the vector that baselines compare, and back to units that people read.
 */
#include "detect/features.h"

#include <math.h>

#include "dataplane/base/clock.h"

static const char *const feature_names[MOAT_FEATURE_COUNT] = {
	[MOAT_FEATURE_TO_PPS] = "to.packets/s",
	[MOAT_FEATURE_TO_BPS] = "to.bytes/s",
	[MOAT_FEATURE_TO_SYN] = "to.syn/s",
	[MOAT_FEATURE_TO_ACK] = "to.ack/s",
	[MOAT_FEATURE_TO_RST_FIN] = "to.rst_fin/s",
	[MOAT_FEATURE_TO_UDP] = "to.udp/s",
	[MOAT_FEATURE_TO_REFLECT] = "to.udp_reflect/s",
	[MOAT_FEATURE_TO_ICMP] = "to.icmp/s",
	[MOAT_FEATURE_TO_SOURCES] = "to.sources",
	[MOAT_FEATURE_TO_MEAN_LEN] = "to.bytes/packet",
	[MOAT_FEATURE_TO_SMALL] = "to.small_share",
	[MOAT_FEATURE_FROM_PPS] = "from.packets/s",
	[MOAT_FEATURE_FROM_BPS] = "from.bytes/s",
	[MOAT_FEATURE_FROM_SYN] = "from.syn/s",
	[MOAT_FEATURE_FROM_RST] = "from.rst/s",
	[MOAT_FEATURE_FROM_TARGETS] = "from.targets",
};

const char *moat_feature_name(enum moat_feature feature)
{
	return (unsigned int)feature < MOAT_FEATURE_COUNT ? feature_names[feature] : "unknown";
}

double moat_window_rate(const struct moat_host_window *window, double count)
{
	if (window->length_ns == 0)
		return 0;
	return count * (double)MOAT_NS_PER_S / (double)window->length_ns;
}

static float log_rate(const struct moat_host_window *window, double count)
{
	return log1pf((float)moat_window_rate(window, count));
}

void moat_features_of(const struct moat_host_window *window, float ret_vector[MOAT_FEATURE_COUNT])
{
	const struct moat_traffic *to = &window->to, *from = &window->from;
	double packets = to->packets ? (double)to->packets : 1.0;

	ret_vector[MOAT_FEATURE_TO_PPS] = log_rate(window, (double)to->packets);
	ret_vector[MOAT_FEATURE_TO_BPS] = log_rate(window, (double)to->bytes);
	ret_vector[MOAT_FEATURE_TO_SYN] = log_rate(window, (double)to->tcp_syn);
	ret_vector[MOAT_FEATURE_TO_ACK] = log_rate(window, (double)to->tcp_ack);
	ret_vector[MOAT_FEATURE_TO_RST_FIN] = log_rate(window, (double)(to->tcp_rst + to->tcp_fin));
	ret_vector[MOAT_FEATURE_TO_UDP] = log_rate(window, (double)to->udp);
	ret_vector[MOAT_FEATURE_TO_REFLECT] = log_rate(window, (double)to->udp_reflect);
	ret_vector[MOAT_FEATURE_TO_ICMP] = log_rate(window, (double)to->icmp);
	ret_vector[MOAT_FEATURE_TO_SOURCES] = log_rate(window, to->distinct);
	ret_vector[MOAT_FEATURE_TO_MEAN_LEN] = log1pf((float)((double)to->bytes / packets));
	ret_vector[MOAT_FEATURE_TO_SMALL] = (float)((double)to->small / packets);
	ret_vector[MOAT_FEATURE_FROM_PPS] = log_rate(window, (double)from->packets);
	ret_vector[MOAT_FEATURE_FROM_BPS] = log_rate(window, (double)from->bytes);
	ret_vector[MOAT_FEATURE_FROM_SYN] = log_rate(window, (double)from->tcp_syn);
	ret_vector[MOAT_FEATURE_FROM_RST] = log_rate(window, (double)from->tcp_rst);
	ret_vector[MOAT_FEATURE_FROM_TARGETS] = log_rate(window, from->distinct);
}

double moat_feature_unit_value(enum moat_feature feature, float value)
{
	return feature == MOAT_FEATURE_TO_SMALL ? (double)value : expm1((double)value);
}

static void traffic_add(struct moat_traffic *sum, const struct moat_traffic *traffic)
{
	for (int i = 0; i < MOAT_TRAFFIC_COUNTS; i++)
		sum->counts[i] += traffic->counts[i];
	sum->distinct += traffic->distinct;
}

void moat_host_window_add(struct moat_host_window *sum, const struct moat_host_window *window)
{
	if (sum->length_ns == 0)
		sum->start_ns = window->start_ns;
	sum->addr = window->addr;
	sum->length_ns += window->length_ns;
	traffic_add(&sum->to, &window->to);
	traffic_add(&sum->from, &window->from);
}
