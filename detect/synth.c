/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/synth.h"

#include <math.h>
#include <stdlib.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "moat/rule.h"

/* A field is a condition if it holds for so much of what is expected to be the attack. */
#define SINGLE_SHARE 0.95
#define RANGE_SHARE 0.98
/* A range needs so many headers: the share missed beyond their minimum and maximum is about 2/(n+1). */
#define RANGE_RECORDS_MIN 24
#define LEN_WIDTH_MAX 512
#define PORT_WIDTH_MAX 1024
/* Prefixes shorter than these say nothing of an attacker. */
#define SRC_BITS_MIN_V4 12
#define SRC_BITS_MIN_V6 28
/* Fragments have no ports; from this share on they get a rule of their own. */
#define GROUP_SHARE 0.05
/* So many normal headers of a class say what is normal in it. */
#define NORMALS_MIN 8
/* A class with less than this rate (packets a second) isn't part of a host's normal traffic. */
#define ABSENT_PPS 1.0
#define LIMIT_HEADROOM 2.0
#define LIMIT_PPS_MIN 20.0

/* A client's SYN carries options: the segment size at least, and 20 bytes of them on what is in use
 * today (Linux 60, Windows 52, iOS 64 bytes with IPv4), and no data. */
#define SYN_LEN_MIN 44
#define SYN_LEN_MAX 80
#define V6_HEADER_MORE 20
/* Solicitations, advertisements and router advertisements with their usual options. */
#define NEIGHBOUR_LEN_MAX 160
/* Datagrams without payload. */
#define UDP_EMPTY_LEN 28

struct interval {
	uint16_t min, max;
	bool any;
};

typedef uint16_t (*field_fn)(const struct moat_record *record);

static uint16_t field_len(const struct moat_record *record)
{
	return record->len;
}

static uint16_t field_sport(const struct moat_record *record)
{
	return record->sport;
}

static uint16_t field_dport(const struct moat_record *record)
{
	return record->dport;
}

/* ---- matching ---------------------------------------------------------------------------------- */

/* As the gate matches, for the fields that proposals use; the destination is the records' own. */
static bool record_matches(const struct moat_match *match, const struct moat_record *record)
{
	bool any_port = match->sport_min == 0 && match->sport_max == UINT16_MAX &&
			match->dport_min == 0 && match->dport_max == UINT16_MAX;

	if (match->proto && match->proto != record->proto)
		return false;
	if (match->tcp_mask &&
	    (record->proto != 6 || (record->tcp_flags & match->tcp_mask) != match->tcp_flags))
		return false;
	if (record->len < match->len_min || record->len > match->len_max)
		return false;
	if (!any_port && (!record->has_ports || record->sport < match->sport_min ||
			  record->sport > match->sport_max || record->dport < match->dport_min ||
			  record->dport > match->dport_max))
		return false;
	return moat_prefix_contains(&match->src, &record->src);
}

static double weight_of(const struct moat_record *records, uint32_t count)
{
	double weight = 0;

	for (uint32_t i = 0; i < count; i++)
		weight += records[i].weight;
	return weight;
}

static double share_matched(const struct moat_match *match, const struct moat_record *records,
			    uint32_t count)
{
	double matched = 0, total = weight_of(records, count);

	for (uint32_t i = 0; i < count; i++)
		if (record_matches(match, &records[i]))
			matched += records[i].weight;
	return total > 0 ? matched / total : 0;
}

double moat_synth_coverage(const struct moat_synth_input *input,
			   const struct moat_proposal *proposals, uint32_t count)
{
	double matched = 0, total = weight_of(input->records, input->count);

	for (uint32_t i = 0; i < input->count; i++)
		for (uint32_t p = 0; p < count; p++)
			if (record_matches(&proposals[p].match, &input->records[i])) {
				matched += input->records[i].weight;
				break;
			}
	total *= 1 - input->legit_share;
	return total > 0 ? fmin(matched / total, 1) : 0;
}

/* ---- what the records have in common ----------------------------------------------------------- */

struct weighted {
	uint16_t value;
	double weight;
};

static int weighted_compare(const void *a, const void *b)
{
	return (int)((const struct weighted *)a)->value - (int)((const struct weighted *)b)->value;
}

/* The values of a field in order, equal ones merged; returns how many. */
static uint32_t values_of(const struct moat_record *records, uint32_t count, field_fn field,
			  struct weighted ret_values[MOAT_RECENT_RECORDS])
{
	uint32_t distinct = 0;

	for (uint32_t i = 0; i < count; i++)
		ret_values[i] = (struct weighted){ field(&records[i]), records[i].weight };
	qsort(ret_values, count, sizeof(*ret_values), weighted_compare);
	for (uint32_t i = 0; i < count; i++) {
		if (distinct && ret_values[distinct - 1].value == ret_values[i].value)
			ret_values[distinct - 1].weight += ret_values[i].weight;
		else
			ret_values[distinct++] = ret_values[i];
	}
	return distinct;
}

/* The shortest interval of values that holds `wanted` of the weight. */
static struct interval shortest(const struct weighted *values, uint32_t count, double wanted)
{
	struct interval best = { 0, UINT16_MAX, true };
	double held = 0;

	for (uint32_t first = 0, last = 0; first < count; held -= values[first++].weight) {
		while (last < count && held < wanted)
			held += values[last++].weight;
		if (held < wanted)
			break;
		if (values[last - 1].value - values[first].value < best.max - best.min)
			best = (struct interval){ values[first].value, values[last - 1].value,
						  false };
	}
	return best;
}

/* One value if nearly all have it, a narrow range if they have that, else any. `width` 0: no ranges. */
static struct interval common_of(const struct moat_record *records, uint32_t count, field_fn field,
				 double legit_share, uint16_t width)
{
	struct weighted values[MOAT_RECENT_RECORDS];
	struct interval any = { 0, UINT16_MAX, true }, found;
	double attack = weight_of(records, count) * (1 - legit_share);
	uint32_t distinct = values_of(records, count, field, values), inside = 0;

	found = shortest(values, distinct, attack * SINGLE_SHARE);
	if (!found.any && found.min == found.max)
		return found;
	found = shortest(values, distinct, attack * RANGE_SHARE);
	if (width == 0 || count < RANGE_RECORDS_MIN || found.any || found.max - found.min > width)
		return any;
	/* generous at both ends: the extremes of a sample are inside those of the attack */
	for (uint32_t i = 0; i < distinct; i++)
		inside += values[i].value >= found.min && values[i].value <= found.max;
	if (inside > 4) {
		uint16_t slack = (uint16_t)((found.max - found.min) / 8 + 1);

		found.min = found.min > slack ? (uint16_t)(found.min - slack) : 0;
		found.max = found.max < UINT16_MAX - slack ? (uint16_t)(found.max + slack)
							   : UINT16_MAX;
	}
	return found;
}

static bool addr_bit(const struct moat_addr *addr, unsigned int bit)
{
	return addr->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

/* The longest prefix that most of the records' sources share; any if it is too short to mean something. */
static struct moat_prefix common_source(const struct moat_record *records, uint32_t count,
					double legit_share)
{
	struct moat_prefix prefix = { 0 }, any = { 0 };
	double wanted = weight_of(records, count) * (1 - legit_share) * SINGLE_SHARE;
	bool v4 = moat_addr_is_v4(&records[0].src);
	unsigned int first = v4 ? 96 : 0, bit;

	prefix.family = v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6;
	if (v4)
		prefix.addr = records[0].src;
	for (unsigned int i = first / 8; i < 16; i++)
		prefix.addr.bytes[i] = 0;
	for (bit = first; bit < 128; bit++) {
		double ones = 0, zeros = 0;

		prefix.len = (uint8_t)(bit - first);
		for (uint32_t i = 0; i < count; i++) {
			if (!moat_prefix_contains(&prefix, &records[i].src))
				continue;
			if (addr_bit(&records[i].src, bit))
				ones += records[i].weight;
			else
				zeros += records[i].weight;
		}
		if (fmax(ones, zeros) < wanted)
			break;
		if (ones > zeros)
			prefix.addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	prefix.len = (uint8_t)(bit - first);
	return prefix.len >= (v4 ? SRC_BITS_MIN_V4 : SRC_BITS_MIN_V6) ? prefix : any;
}

/* ---- proposals --------------------------------------------------------------------------------- */

static enum moat_evidence_class class_of_kind(enum moat_finding_kind kind)
{
	switch (kind) {
	case MOAT_FINDING_SYN_FLOOD:
		return MOAT_CLASS_SYN;
	case MOAT_FINDING_UDP_FLOOD:
	case MOAT_FINDING_AMPLIFICATION:
		return MOAT_CLASS_UDP;
	case MOAT_FINDING_ICMP_FLOOD:
		return MOAT_CLASS_ICMP;
	default:
		return MOAT_CLASSES;
	}
}

static struct moat_match match_any(void)
{
	return (struct moat_match){
		.sport_max = UINT16_MAX,
		.dport_max = UINT16_MAX,
		.len_max = UINT16_MAX,
	};
}

static struct moat_match narrowest(const struct moat_synth_input *input,
				   const struct moat_record *records, uint32_t count)
{
	struct moat_match match = match_any();
	struct interval len, sport, dport;

	match.dst = moat_prefix_host(&input->subject);
	match.proto = records[0].proto;
	if (input->kind == MOAT_FINDING_SYN_FLOOD) {
		match.tcp_mask = MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_FIN | MOAT_TCP_RST;
		match.tcp_flags = MOAT_TCP_SYN;
	}
	len = common_of(records, count, field_len, input->legit_share, LEN_WIDTH_MAX);
	match.len_min = len.min;
	match.len_max = len.max;
	if (records[0].has_ports) {
		/* tools count source ports up: a range of them is stale at once */
		sport = common_of(records, count, field_sport, input->legit_share, 0);
		dport = common_of(records, count, field_dport, input->legit_share, PORT_WIDTH_MAX);
		match.sport_min = sport.min;
		match.sport_max = sport.max;
		match.dport_min = dport.min;
		match.dport_max = dport.max;
	}
	match.src = common_source(records, count, input->legit_share);
	return match;
}

/* Headers that no client sends: a drop needs no knowledge of the host to be safe. */
static bool is_artificial(enum moat_finding_kind kind, const struct moat_match *match)
{
	uint16_t more = moat_addr_is_v4(&match->dst.addr) ? 0 : V6_HEADER_MORE;

	switch (kind) {
	case MOAT_FINDING_SYN_FLOOD:
		return match->len_max < SYN_LEN_MIN + more || match->len_min > SYN_LEN_MAX + more;
	case MOAT_FINDING_UDP_FLOOD:
		return match->len_max <= UDP_EMPTY_LEN + more;
	case MOAT_FINDING_AMPLIFICATION:
		return true; /* answers to what it never asked, that is how it was found */
	case MOAT_FINDING_ICMP_FLOOD:
		/* one length only: errors that a host needs (RFC 1191) have others. Neighbour
		 * discovery (RFC 4861) is ICMPv6 and short: there it takes a narrow source as well */
		return match->len_min == match->len_max &&
		       (!more || match->src.len || match->len_min > NEIGHBOUR_LEN_MAX);
	default:
		return false;
	}
}

/* Share of the class's normal headers that the match hits, -1 if they are too few to say, 0 if the host
 * is known to have no such traffic; and the share of all its normal packets. */
static double class_collateral(const struct moat_synth_input *input, const struct moat_match *match,
			       enum moat_evidence_class class, double *ret_overall)
{
	const struct moat_normals *normals = input->normals;
	double all = 0, share;

	*ret_overall = -1;
	if (!normals || normals->counts[class] < NORMALS_MIN) {
		if (input->usual_pps < 0 || input->usual_pps >= ABSENT_PPS)
			return -1;
		*ret_overall = 0;
		return 0;
	}
	share = share_matched(match, normals->records[class], normals->counts[class]);
	for (int i = 0; i < MOAT_CLASSES; i++)
		all += normals->weights[i];
	*ret_overall = share * normals->weights[class] / all;
	return share;
}

/* Drop if that is safe, else a limit to what is usual. */
static void choose_action(const struct moat_synth_input *input, struct moat_proposal *proposal)
{
	double share = class_collateral(input, &proposal->match, class_of_kind(input->kind),
					&proposal->collateral);
	double rate = input->usual_pps >= 0 ? LIMIT_HEADROOM * input->usual_pps : input->floor_pps;
	bool is_safe = share < 0 ? is_artificial(input->kind, &proposal->match)
				 : share <= input->collateral_max;

	proposal->action = is_safe ? MOAT_ACTION_DROP : MOAT_ACTION_LIMIT;
	if (is_safe)
		return;
	proposal->flags = MOAT_RULE_PREFER_KNOWN;
	proposal->rate_pps = (uint32_t)fmin(fmax(rate, LIMIT_PPS_MIN), UINT32_MAX);
}

/* Of a scan: its source, towards the one host that it scans if it is one. A source that never held a
 * conversation has nothing to lose: headers of it that passed for normal were its first attempts. One that
 * did is dropped only where the scanned host's normal headers show none of it: a scan can be forged to
 * have somebody cut off, and an operator may scan from where he is logged in. */
static uint32_t propose_scan(const struct moat_synth_input *input,
			     struct moat_proposal *ret_proposal)
{
	struct moat_match match = match_any();
	double all = 0, hit = 0;

	match.src = moat_prefix_host(&input->subject);
	if (input->peer.quads[0] | input->peer.quads[1])
		match.dst = moat_prefix_host(&input->peer);
	*ret_proposal = (struct moat_proposal){
		.match = match,
		.action = MOAT_ACTION_DROP,
		.coverage = 1,
		.collateral = -1,
	};
	for (int class = 0; input->normals && class < MOAT_CLASSES; class ++) {
		all += input->normals->weights[class];
		hit += input->normals->weights[class] *
		       share_matched(&match, input->normals->records[class],
				     input->normals->counts[class]);
	}
	if (all > 0)
		ret_proposal->collateral = hit / all;
	if (!input->is_known || (all > 0 && ret_proposal->collateral <= input->collateral_max))
		return 1;
	/* only its attempts are limited */
	ret_proposal->match.proto = 6;
	ret_proposal->match.tcp_mask = MOAT_TCP_SYN | MOAT_TCP_ACK;
	ret_proposal->match.tcp_flags = MOAT_TCP_SYN;
	ret_proposal->action = MOAT_ACTION_LIMIT;
	ret_proposal->rate_pps = (uint32_t)LIMIT_PPS_MIN;
	return 1;
}

uint32_t moat_synth_propose(const struct moat_synth_input *input,
			    struct moat_proposal ret_proposals[MOAT_PROPOSALS_MAX])
{
	struct moat_record group[MOAT_RECENT_RECORDS];
	double total = weight_of(input->records, input->count);
	uint32_t proposals = 0;

	if (input->kind == MOAT_FINDING_SCAN)
		return propose_scan(input, ret_proposals);
	if (class_of_kind(input->kind) == MOAT_CLASSES || input->count < MOAT_SYNTH_RECORDS_MIN)
		return 0;
	/* with ports first, then later fragments, which have none */
	for (int has_ports = 1; has_ports >= 0; has_ports--) {
		struct moat_proposal proposal = { 0 };
		uint32_t count = 0;

		for (uint32_t i = 0; i < input->count && count < MOAT_RECENT_RECORDS; i++)
			if (input->records[i].has_ports == has_ports)
				group[count++] = input->records[i];
		if (count == 0 || weight_of(group, count) < GROUP_SHARE * total)
			continue;
		proposal.match = narrowest(input, group, count);
		proposal.coverage = moat_synth_coverage(input, &proposal, 1);
		choose_action(input, &proposal);
		ret_proposals[proposals++] = proposal;
	}
	return proposals;
}
