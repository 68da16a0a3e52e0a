/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the values of a row mean. Connection states: Zeek's base/protocols/conn/main.zeek, Argus' ra(1).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "ctl/flow_reader.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define TCP 6
#define UDP 17
#define HEADERS_LEN 40 /* IPv4 and TCP without options: of flows that tell no payload */
#define SECONDS_MAX 1e10

/* ---- values -------------------------------------------------------------------------------------- */

static bool is_unset(const char *text)
{
	return !text || !*text || strcmp(text, "-") == 0 || strcmp(text, "(empty)") == 0;
}

/* A number from 0 to max; `otherwise` if the file has none. */
static int read_number(const char *text, double max, double otherwise, double *ret_number)
{
	double number;
	char *end;

	if (is_unset(text)) {
		*ret_number = otherwise;
		return 0;
	}
	number = strtod(text, &end);
	if (*end || !isfinite(number) || number < 0 || number > max)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

static int read_count(const char *text, uint64_t max, uint64_t *ret_count)
{
	double number;
	int r = read_number(text, (double)max, 0, &number);

	if (r == 0)
		*ret_count = (uint64_t)number;
	return r;
}

/* Ports as Argus writes them: decimal or 0x…; ICMP's type and code aren't ports. */
static int read_port(const char *text, uint16_t *ret_port)
{
	unsigned long port;
	char *end;

	*ret_port = 0;
	if (is_unset(text))
		return 0;
	port = strtoul(text, &end, 0);
	if (*end == '.') /* "80.000000", a number from JSON */
		strtoul(end + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* Seconds since the epoch, or "2019/04/04 16:23:00.325010", UTC. */
static int read_time(const char *text, uint64_t *ret_ns)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y/%m/%d %H:%M:%S", &tm) : NULL;
	double seconds = 0, fraction = 0;
	int r = -EINVAL;

	if (!text || is_unset(text))
		return r;
	if (end) {
		seconds = (double)timegm(&tm);
		r = *end == '.' ? read_number(end, 1, 0, &fraction) : 0;
	} else {
		/* whole seconds apart: a double has no room for microseconds since 1970 and more */
		r = read_number(text, SECONDS_MAX, 0, &seconds);
	}
	if (r < 0 || seconds < 0 || seconds > SECONDS_MAX)
		return -EINVAL;
	*ret_ns = (uint64_t)((seconds + fraction) * 1e6) * 1000;
	return 0;
}

static uint8_t proto_of(const char *text)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} names[] = { { "tcp", TCP },      { "udp", UDP },      { "icmp", 1 },
		      { "ipv6-icmp", 58 }, { "IPV4-TCP", TCP }, { "IPV4-UDP", UDP },
		      { "IPV4-ICMP", 1 },  { "IPV6-ICMP", 58 }, { "IPV6-TCP", TCP },
		      { "IPV6-UDP", UDP } };

	for (size_t i = 0; text && i < MOAT_ARRAY_SIZE(names); i++)
		if (strcasecmp(text, names[i].name) == 0)
			return names[i].proto;
	return 0;
}

/* ---- outcomes ------------------------------------------------------------------------------------ */

static uint8_t zeek_outcome(const char *state, const struct moat_flow_record *flow)
{
	if (is_unset(state))
		return MOAT_OUTCOME_UNKNOWN;
	if (flow->proto != TCP)
		return flow->packets[1] ? MOAT_OUTCOME_CONVERSED : MOAT_OUTCOME_UNANSWERED;
	if (strcmp(state, "S0") == 0 || strcmp(state, "RSTOS0") == 0)
		return MOAT_OUTCOME_UNANSWERED;
	if (strcmp(state, "REJ") == 0)
		return MOAT_OUTCOME_REJECTED;
	if (strcmp(state, "OTH") == 0 || strcmp(state, "SH") == 0 || strcmp(state, "SHR") == 0 ||
	    strcmp(state, "RSTRH") == 0)
		return MOAT_OUTCOME_UNKNOWN;
	return flow->payload[1] ? MOAT_OUTCOME_CONVERSED : MOAT_OUTCOME_ACCEPTED;
}

/* Argus' TCP states are the flags of both sides, "FSPA_SRPA", or words. */
static uint8_t argus_outcome(const char *state, const struct moat_flow_record *flow)
{
	const char *answer = state ? strchr(state, '_') : NULL;

	if (is_unset(state))
		return MOAT_OUTCOME_UNKNOWN;
	if (answer) {
		if (state[0] == '_' || !memchr(state, 'S', (size_t)(answer - state)))
			return MOAT_OUTCOME_UNKNOWN;
		if (answer[1] == '\0')
			return MOAT_OUTCOME_UNANSWERED;
		if (strchr(answer, 'P'))
			return MOAT_OUTCOME_CONVERSED;
		return strchr(answer, 'S')   ? MOAT_OUTCOME_ACCEPTED
		       : strchr(answer, 'R') ? MOAT_OUTCOME_REJECTED
					     : MOAT_OUTCOME_UNKNOWN;
	}
	if (strcmp(state, "S0") == 0 || strcmp(state, "REQ") == 0)
		return MOAT_OUTCOME_UNANSWERED;
	if (strcmp(state, "REJ") == 0 || strncmp(state, "UR", 2) == 0)
		return MOAT_OUTCOME_REJECTED;
	if (strcmp(state, "CON") == 0 || strcmp(state, "FIN") == 0 || strcmp(state, "ECO") == 0)
		return MOAT_OUTCOME_CONVERSED;
	if (strcmp(state, "INT") == 0)
		return flow->proto == TCP ? MOAT_OUTCOME_UNKNOWN : MOAT_OUTCOME_UNANSWERED;
	return MOAT_OUTCOME_UNKNOWN;
}

/* A CSV without states: who answered, answered. */
static uint8_t plain_outcome(const struct moat_flow_record *flow)
{
	if (flow->packets[1] == 0)
		return MOAT_OUTCOME_UNANSWERED;
	return flow->payload[1] || flow->proto != TCP ? MOAT_OUTCOME_CONVERSED
						      : MOAT_OUTCOME_ACCEPTED;
}

/* ---- rows ---------------------------------------------------------------------------------------- */

static int read_counts(const char *const values[MOAT_FIELD_COUNT], struct moat_flow_record *flow)
{
	uint64_t packets[3], bytes[3], payload[2];
	double seconds;
	int r = read_number(values[MOAT_FIELD_DURATION], SECONDS_MAX, 0, &seconds);

	for (int i = 0; r == 0 && i < 3; i++)
		r = read_count(values[MOAT_FIELD_SRC_PACKETS + i], UINT32_MAX, &packets[i]);
	for (int i = 0; r == 0 && i < 3; i++)
		r = read_count(values[MOAT_FIELD_SRC_BYTES + i], 1ULL << 48, &bytes[i]);
	for (int i = 0; r == 0 && i < 2; i++)
		r = read_count(values[MOAT_FIELD_SRC_PAYLOAD + i], 1ULL << 48, &payload[i]);
	if (r < 0)
		return r;
	/* totals and one side: the other is what is left */
	if (values[MOAT_FIELD_BYTES] && bytes[2] >= bytes[0])
		bytes[1] = bytes[2] - bytes[0];
	if (values[MOAT_FIELD_PACKETS] && !values[MOAT_FIELD_SRC_PACKETS])
		packets[0] = bytes[1] ? packets[2] - packets[2] / 2 : packets[2];
	if (values[MOAT_FIELD_PACKETS] && packets[2] >= packets[0])
		packets[1] = packets[2] - packets[0];
	for (int i = 0; i < 2; i++) {
		uint64_t headers = packets[i] * HEADERS_LEN;

		flow->packets[i] = (uint32_t)packets[i];
		flow->bytes[i] = bytes[i];
		flow->payload[i] = values[MOAT_FIELD_SRC_PAYLOAD] ? payload[i]
				   : bytes[i] > headers           ? bytes[i] - headers
								  : 0;
	}
	flow->last_ns = flow->first_ns + (uint64_t)(seconds * 1e9);
	return 0;
}

static int read_flow(enum moat_flow_format format, const char *const values[MOAT_FIELD_COUNT],
		     struct moat_flow_item *ret_item)
{
	struct moat_flow_record flow = { .event = MOAT_RECORD_END, .is_whole = true };
	const char *label = values[MOAT_FIELD_LABEL];

	flow.proto = proto_of(values[MOAT_FIELD_PROTO]);
	if (flow.proto == 0 && values[MOAT_FIELD_PROTO])
		return MOAT_LINE_NOTHING;
	if (!values[MOAT_FIELD_SRC] || !values[MOAT_FIELD_DST] ||
	    moat_addr_parse(values[MOAT_FIELD_SRC], &flow.client) < 0 ||
	    moat_addr_parse(values[MOAT_FIELD_DST], &flow.server) < 0 ||
	    read_time(values[MOAT_FIELD_START], &flow.first_ns) < 0 ||
	    read_counts(values, &flow) < 0)
		return -EINVAL;
	if (flow.proto == TCP || flow.proto == UDP)
		if (read_port(values[MOAT_FIELD_SPORT], &flow.client_port) < 0 ||
		    read_port(values[MOAT_FIELD_DPORT], &flow.server_port) < 0)
			return -EINVAL;
	if (format == MOAT_FLOWS_ZEEK)
		flow.outcome = zeek_outcome(values[MOAT_FIELD_STATE], &flow);
	else if (format == MOAT_FLOWS_BINETFLOW)
		flow.outcome = argus_outcome(values[MOAT_FIELD_STATE], &flow);
	else
		flow.outcome = plain_outcome(&flow);
	memset(ret_item, 0, sizeof(*ret_item));
	ret_item->flow = flow;
	if (label)
		snprintf(ret_item->label, sizeof(ret_item->label), "%s", label);
	return MOAT_LINE_FLOW;
}

/* "192.0.2.1:80" to the first `length` characters. */
static int read_endpoint(const char *text, size_t length, struct moat_addr *ret_addr,
			 uint16_t *ret_port)
{
	char copy[MOAT_ADDR_TEXT_LEN + 8], *colon;

	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	colon = strrchr(copy, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	return moat_addr_parse(copy, ret_addr) < 0 ? -EINVAL : read_port(colon + 1, ret_port);
}

/* "SOURCE-DESTINATION" and flags as six digits, URG first. */
static int read_packet(const char *const values[MOAT_FIELD_COUNT], struct moat_flow_item *ret_item)
{
	static const uint8_t flags[] = { MOAT_TCP_URG, MOAT_TCP_ACK, MOAT_TCP_PSH,
					 MOAT_TCP_RST, MOAT_TCP_SYN, MOAT_TCP_FIN };
	struct moat_flow_packet packet = { .headers = { .proto = TCP, .has_ports = 1 } };
	const char *stream = values[MOAT_FIELD_STREAM], *digits = values[MOAT_FIELD_FLAGS];
	const char *dash = stream ? strchr(stream, '-') : NULL;
	uint64_t length = 0, payload = 0;

	if (!dash || !digits || strspn(digits, "01") != MOAT_ARRAY_SIZE(flags) ||
	    read_endpoint(stream, (size_t)(dash - stream), &packet.headers.src,
			  &packet.headers.sport) < 0 ||
	    read_endpoint(dash + 1, strlen(dash + 1), &packet.headers.dst, &packet.headers.dport) <
		    0 ||
	    read_time(values[MOAT_FIELD_START], &packet.time_ns) < 0 ||
	    read_count(values[MOAT_FIELD_LENGTH], UINT16_MAX, &length) < 0 ||
	    read_count(values[MOAT_FIELD_SRC_PAYLOAD], UINT16_MAX, &payload) < 0 || payload > length)
		return -EINVAL;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(flags); i++)
		if (digits[i] == '1')
			packet.headers.tcp_flags |= flags[i];
	packet.headers.l3_len = (uint16_t)length;
	packet.payload = (uint32_t)payload;
	packet.headers.family = moat_addr_is_v4(&packet.headers.src) ? MOAT_FAMILY_V4
								     : MOAT_FAMILY_V6;
	memset(ret_item, 0, sizeof(*ret_item));
	ret_item->packet = packet;
	return MOAT_LINE_PACKET;
}

int moat_flow_row_read(enum moat_flow_format format, const char *const values[MOAT_FIELD_COUNT],
		       struct moat_flow_item *ret_item)
{
	return format == MOAT_FLOWS_PACKETS ? read_packet(values, ret_item)
					    : read_flow(format, values, ret_item);
}
