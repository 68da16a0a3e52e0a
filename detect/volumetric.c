/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floods against one host: SYN, UDP, ICMP and amplification. A rate alone is no flood: a kind needs a
 * rate beyond what this host and its like are used to (or beyond the guard), and the shape of an attack,
 * because ten times the clients in a second are welcome.
 *
 * Judged is what arrives, before any verdict: a flood that the gate already drops still shows.
 */
#include <math.h>

#include "dataplane/base/clock.h"
#include "detect/engine.h"

/* How many times the host's highest normal rate is still normal. SYNs have a sharp shape beside the rate,
 * datagrams have hardly any: a tenfold rush of queries must stay inside. */
#define FACTOR_SYN 3.0
#define FACTOR_UDP 16.0
#define FACTOR_ICMP 8.0
#define FACTOR_REFLECT 8.0
#define FACTOR_ACK 5.0
/* The group of hosts that behave alike may lift a host's limit, but not far: a group can be wide. */
#define GROUP_FACTOR 4.0
/* An open finding goes on down to this share of the limit that opened it. */
#define HYSTERESIS 0.5

/* Two-way and bulk UDP (DNS answered, VPN, QUIC download) may go so much higher. */
#define ANSWERED_SHARE 0.5
#define ANSWERED_FACTOR 4.0
#define BULK_SOURCES 4.0
#define BULK_MEAN_LEN 600.0
#define BULK_FACTOR 8.0

/* Reflected answers are large (US-CERT TA14-017A: amplification factors from 3 to 50,000), and their
 * receiver asked for none of them. */
#define REFLECT_MEAN_LEN 200.0
#define SOLICITED_SHARE 0.3

/* Segments of an ACK flood are small, and next to nothing but resets goes back: whoever sends data gets as
 * many answers as it sends segments, and whoever takes data sends more than it gets. */
#define ACK_SMALL_SHARE 0.9
#define ACK_ANSWERED_SHARE 0.25

struct flood {
	enum moat_finding_kind kind;
	uint32_t rates; /* place of its floor and guard */
	enum moat_usual_rate usual;
	enum moat_feature feature; /* of the baseline */
	const char *driver;
	double factor;
	double count, bytes; /* in the short window */
	double ease;         /* factor on the limit for shapes that are often legitimate */
};

static double rate_of(const struct moat_host_view *host, double count)
{
	return moat_window_rate(host->window, count);
}

static bool has_history(const struct moat_host_view *host)
{
	return host->usual->seconds >= MOAT_USUAL_SECONDS_MIN;
}

/* Upper bound of what hosts like this one get. */
static double group_bound(const struct moat_host_view *host, enum moat_feature feature)
{
	return moat_feature_unit_value(feature, host->baseline->upper[feature]);
}

/*
 * The rate from which a kind is suspicious. With history: beyond the host's own peak and beyond the upper
 * bound of the hosts like it, but not above the guard. Without: the guard, and half of it once learning is
 * over, when most hosts are known and a new one is itself unusual.
 */
static double limit_of(const struct moat_detect_config *config, const struct moat_host_view *host,
		       const struct flood *flood, bool *ret_by_guard)
{
	double floor_pps = config->floor_pps[flood->rates], guard = config->guard_pps[flood->rates];
	double limit = INFINITY, learned;

	*ret_by_guard = true;
	if (guard > 0)
		limit = host->learning || has_history(host) ? guard : guard / 2;
	if (!host->learning && has_history(host)) {
		learned = flood->factor * (double)host->usual->peak[flood->usual];
		if (host->baseline)
			learned = fmax(learned, fmin(learned * GROUP_FACTOR,
						     group_bound(host, flood->feature)));
		learned /= config->sensitivity;
		if (learned < limit) {
			limit = learned;
			*ret_by_guard = false;
		}
	}
	/* a floor of 0 still asks for a packet a second: the score is a ratio to the limit */
	limit = fmax(fmax(limit, floor_pps), 1) * flood->ease;
	if (host->open & (1u << flood->kind))
		limit *= HYSTERESIS;
	return limit;
}

static void judge(const struct moat_detect_config *config, const struct moat_host_view *host,
		  const struct flood *flood, moat_suspect_fn suspect, void *engine)
{
	struct moat_suspicion suspicion = { .kind = flood->kind, .subject = host->window->addr };
	const struct moat_traffic *to = &host->window->to;
	double rate = rate_of(host, flood->count), limit, usual;

	limit = limit_of(config, host, flood, &suspicion.by_guard);
	if (rate < limit || !isfinite(limit))
		return;
	usual = (double)host->usual->peak[flood->usual];
	suspicion.score = rate / limit;
	suspicion.pps = rate;
	suspicion.mbps = rate_of(host, flood->bytes) * 8 / 1e6;
	suspicion.share = to->packets ? flood->count / (double)to->packets : 0;
	suspicion.usual_pps = has_history(host) ? usual : -1;
	moat_suspicion_drive(&suspicion, flood->driver, has_history(host) ? usual : limit, rate);
	if (flood->kind == MOAT_FINDING_SYN_FLOOD)
		moat_suspicion_drive(&suspicion, "ack/s",
				     has_history(host) ? (double)host->usual->peak[MOAT_USUAL_ACK]
						       : rate,
				     rate_of(host, (double)to->tcp_ack));
	suspect(engine, &suspicion);
}

/*
 * SYNs that no conversation follows. A client's SYN brings at least two more ACKs (the handshake's and the
 * request's) and, sooner or later, a FIN or RST (RFC 9293, 3.5 and 3.6). A host busy with long-lived
 * connections has plenty of ACKs of its own, so with history only those beyond its usual ones count.
 */
static bool syns_stay_alone(const struct moat_host_view *host)
{
	const struct moat_traffic *to = &host->window->to;
	const float *mean = host->usual->mean;
	double syn = rate_of(host, (double)to->tcp_syn), ack = rate_of(host, (double)to->tcp_ack);
	double end = rate_of(host, (double)(to->tcp_fin + to->tcp_rst));
	double more_syn, more_ack, more_end;

	if (ack < syn)
		return true;
	if (!has_history(host))
		return ack < 2 * syn && end < syn / 4;
	more_syn = syn - (double)mean[MOAT_USUAL_SYN];
	more_ack = fmax(ack - (double)mean[MOAT_USUAL_ACK], 0);
	more_end = fmax(end - (double)mean[MOAT_USUAL_END], 0);
	return more_ack < more_syn && more_end < more_syn / 4;
}

static void judge_syn(const struct moat_detect_config *config, const struct moat_host_view *host,
		      moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to;
	struct flood flood = {
		.kind = MOAT_FINDING_SYN_FLOOD,
		.usual = MOAT_USUAL_SYN,
		.feature = MOAT_FEATURE_TO_SYN,
		.driver = "syn/s",
		.factor = FACTOR_SYN,
		.count = (double)to->tcp_syn,
		.ease = 1,
	};

	if (!syns_stay_alone(host))
		return;
	/* SYNs are about as long as the host's small packets; bytes are counted over all */
	flood.bytes = to->packets ? (double)to->bytes * flood.count / (double)to->packets : 0;
	judge(config, host, &flood, suspect, engine);
}

static void judge_icmp(const struct moat_detect_config *config, const struct moat_host_view *host,
		       moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to;
	struct flood flood = {
		.kind = MOAT_FINDING_ICMP_FLOOD,
		.rates = MOAT_FINDING_ICMP_FLOOD,
		.usual = MOAT_USUAL_ICMP,
		.feature = MOAT_FEATURE_TO_ICMP,
		.driver = "icmp/s",
		.factor = FACTOR_ICMP,
		.count = (double)to->icmp,
		.bytes = (double)to->icmp_bytes,
		.ease = 1,
	};

	if (host->second->from.icmp > host->second->to.icmp)
		return; /* it asks more than it is answered: the other end is the victim */
	judge(config, host, &flood, suspect, engine);
}

/* Large datagrams from ports that answer, to a host that hardly asks. */
static bool is_reflected(const struct moat_host_view *host)
{
	const struct moat_traffic *to = &host->window->to, *second = &host->second->to;

	if (to->udp_reflect == 0 || (double)to->udp_bytes < REFLECT_MEAN_LEN * (double)to->udp)
		return false;
	/* fragments of the answers have no port: count those that came beside */
	if (2 * (to->udp_reflect + to->fragments) < to->udp)
		return false;
	return (double)host->second->from.udp < SOLICITED_SHARE * (double)second->udp_reflect;
}

static double udp_ease(const struct moat_host_view *host)
{
	const struct moat_traffic *to = &host->window->to;
	const struct moat_host_window *second = host->second;
	double ease = 1;

	if ((double)second->from.udp >= ANSWERED_SHARE * (double)second->to.udp)
		ease = ANSWERED_FACTOR;
	if (to->distinct <= BULK_SOURCES && (double)to->udp_bytes >= BULK_MEAN_LEN * (double)to->udp)
		ease = fmax(ease, BULK_FACTOR);
	return ease;
}

static void judge_udp(const struct moat_detect_config *config, const struct moat_host_view *host,
		      moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to;
	struct flood flood = {
		.kind = MOAT_FINDING_UDP_FLOOD,
		.rates = MOAT_FINDING_UDP_FLOOD,
		.usual = MOAT_USUAL_UDP,
		.feature = MOAT_FEATURE_TO_UDP,
		.driver = "udp/s",
		.factor = FACTOR_UDP,
		.count = (double)to->udp,
		.bytes = (double)to->udp_bytes,
		.ease = udp_ease(host),
	};

	/* more questions than answers: the other end of it is the victim, if anyone */
	if (2 * to->udp_reflect > to->udp && host->second->from.udp > host->second->to.udp)
		return;
	if (is_reflected(host)) {
		flood.kind = MOAT_FINDING_AMPLIFICATION;
		flood.rates = MOAT_FINDING_AMPLIFICATION;
		flood.usual = MOAT_USUAL_REFLECT;
		flood.feature = MOAT_FEATURE_TO_REFLECT;
		flood.driver = "udp_reflect/s";
		flood.factor = FACTOR_REFLECT;
		flood.ease = 1;
	}
	judge(config, host, &flood, suspect, engine);
}

static void judge_ack(const struct moat_detect_config *config, const struct moat_host_view *host,
		      moat_suspect_fn suspect, void *engine)
{
	const struct moat_traffic *to = &host->window->to, *from = &host->window->from;
	struct flood flood = {
		.kind = MOAT_FINDING_ACK_FLOOD,
		.rates = MOAT_FLOOD_ACK,
		.usual = MOAT_USUAL_ACK,
		.feature = MOAT_FEATURE_TO_ACK,
		.driver = "ack/s",
		.factor = FACTOR_ACK,
		.count = (double)to->tcp_ack,
		.ease = 1,
	};
	double answers = (double)(from->packets - from->tcp_rst);

	/* answers that aren't seen at all say nothing */
	if (host->second->from.packets == 0 ||
	    (double)to->small < ACK_SMALL_SHARE * (double)to->packets ||
	    answers > ACK_ANSWERED_SHARE * (double)to->tcp_ack)
		return;
	flood.bytes = (double)to->bytes * flood.count / (double)to->packets;
	judge(config, host, &flood, suspect, engine);
}

static void volumetric_window(void *state, const struct moat_detect_config *config,
			      const struct moat_host_view *host, moat_suspect_fn suspect,
			      void *engine)
{
	if (!host->is_protected || host->window->to.packets == 0)
		return;
	if (host->window->to.tcp_syn)
		judge_syn(config, host, suspect, engine);
	if (host->window->to.tcp_ack)
		judge_ack(config, host, suspect, engine);
	if (host->window->to.udp)
		judge_udp(config, host, suspect, engine);
	if (host->window->to.icmp)
		judge_icmp(config, host, suspect, engine);
}

const struct moat_detector_ops moat_detector_volumetric = {
	.name = "volumetric",
	.title = "SYN, ACK, UDP, ICMP and amplification floods against one host",
	.modes = MOAT_MODE_GATEWAY | MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.window = volumetric_window,
};
