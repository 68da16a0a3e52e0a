/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Versions 9 and 10 differ in their heads, the numbers of their sets, and in what a field's length may say. */
#include "ctl/flows/netflow.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flows/bytes.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL
#define V5_RECORD_LEN 48
#define V5_RECORDS_MAX 30
#define V5_SAMPLING_MASK 0x3fff /* above it the mode */
#define SETS_OF_RECORDS 256     /* sets with a lower number hold templates */
#define ENTERPRISE 0x8000
#define VARIABLE 65535

/* Information elements (IANA's registry), which up to 127 are NetFlow v9's field types. */
enum {
	IE_OCTETS = 1,
	IE_PACKETS = 2,
	IE_PROTOCOL = 4,
	IE_TCP_FLAGS = 6,
	IE_SPORT = 7,
	IE_SRC4 = 8,
	IE_DPORT = 11,
	IE_DST4 = 12,
	IE_LAST_UPTIME = 21,
	IE_FIRST_UPTIME = 22,
	IE_SRC6 = 27,
	IE_DST6 = 28,
	IE_SAMPLING = 34,
	IE_SAMPLER_RANDOM = 50,
	IE_OCTETS_TOTAL = 85,
	IE_PACKETS_TOTAL = 86,
	IE_START_S = 150,
	IE_END_S = 151,
	IE_START_MS = 152,
	IE_END_MS = 153,
	IE_SAMPLING_PACKETS = 305,
};

struct template
{
	struct moat_addr exporter;
	uint32_t domain;
	uint16_t id; /* 0: free */
	uint16_t count;
	uint64_t used; /* when, by the count of datagrams */
	struct {
		uint16_t type; /* 0: of no interest */
		uint16_t length;
	} fields[MOAT_NETFLOW_FIELDS];
};

/* What an exporter's options said of its sampling. */
struct sampler {
	struct moat_addr exporter;
	uint32_t domain, sampling;
};
#define SAMPLERS_MAX 256

struct moat_netflow {
	struct moat_netflow_counters counters;
	uint64_t datagrams;
	size_t sampler_count;
	struct sampler samplers[SAMPLERS_MAX];
	struct template templates[MOAT_NETFLOW_TEMPLATES];
};

/* A message being read. */
struct message {
	struct moat_netflow *netflow;
	const struct moat_addr *exporter;
	uint32_t domain;
	bool is_ipfix;
	moat_half_fn handler;
	void *userdata;
};

int moat_netflow_new(struct moat_netflow **ret_netflow)
{
	struct moat_netflow *netflow = calloc(1, sizeof(*netflow));

	if (!netflow)
		return -ENOMEM;
	*ret_netflow = netflow;
	return 0;
}

void moat_netflow_free(struct moat_netflow *netflow)
{
	free(netflow);
}

void moat_netflow_counters(const struct moat_netflow *netflow,
			   struct moat_netflow_counters *ret_counters)
{
	*ret_counters = netflow->counters;
}

/* ---- version 5 ----------------------------------------------------------------------------------- */

static void read_v5_record(const uint8_t *at, struct moat_flow_half *ret_half)
{
	uint32_t span_ms = (uint32_t)(moat_bytes_number(at + 28, 4) - moat_bytes_number(at + 24, 4));
	uint32_t addr;

	memset(ret_half, 0, sizeof(*ret_half));
	memcpy(&addr, at, sizeof(addr));
	moat_addr_from_v4(&ret_half->src, addr);
	memcpy(&addr, at + 4, sizeof(addr));
	moat_addr_from_v4(&ret_half->dst, addr);
	ret_half->packets = moat_bytes_number(at + 16, 4);
	ret_half->bytes = moat_bytes_number(at + 20, 4);
	/* of the exporter's uptime, which wraps */
	ret_half->duration_ns = span_ms > INT32_MAX ? 0 : span_ms * NS_PER_MS;
	ret_half->sport = (uint16_t)moat_bytes_number(at + 32, 2);
	ret_half->dport = (uint16_t)moat_bytes_number(at + 34, 2);
	ret_half->tcp_flags = at[37];
	ret_half->proto = at[38];
}

static int read_v5(struct message *message, struct moat_bytes *bytes)
{
	struct moat_bytes head, record;
	struct moat_flow_half half;
	size_t count;

	if (!moat_bytes_cut(bytes, 22, &head))
		return -EBADMSG;
	count = moat_bytes_number(head.at, 2);
	if (count > V5_RECORDS_MAX || bytes->left != count * V5_RECORD_LEN)
		return -EBADMSG;
	while (moat_bytes_cut(bytes, V5_RECORD_LEN, &record)) {
		read_v5_record(record.at, &half);
		half.sampling = (uint32_t)moat_bytes_number(head.at + 20, 2) & V5_SAMPLING_MASK;
		if (half.packets)
			message->handler(message->userdata, &half);
		else
			message->netflow->counters.skipped++;
	}
	return 0;
}

/* ---- templates ----------------------------------------------------------------------------------- */

static struct template *find_template(const struct message *message, uint16_t id)
{
	for (size_t i = 0; i < MOAT_NETFLOW_TEMPLATES; i++) {
		struct template *template = &message->netflow->templates[i];

		if (template->id == id && template->domain == message->domain &&
		    moat_addr_equal(&template->exporter, message->exporter))
			return template;
	}
	return NULL;
}

/* The place of a template: the one it had, a free one, or that of the one unused for longest. */
static struct template *place_of(const struct message *message, uint16_t id)
{
	struct moat_netflow *netflow = message->netflow;
	struct template *place = find_template(message, id), *oldest = &netflow->templates[0];

	for (size_t i = 0; !place && i < MOAT_NETFLOW_TEMPLATES; i++) {
		if (!netflow->templates[i].id)
			place = &netflow->templates[i];
		else if (netflow->templates[i].used < oldest->used)
			oldest = &netflow->templates[i];
	}
	if (!place) {
		place = oldest;
		netflow->counters.displaced++;
	}
	place->exporter = *message->exporter;
	place->domain = message->domain;
	place->id = id;
	place->used = netflow->datagrams;
	place->count = 0;
	return place;
}

/* One field; an enterprise's own says nothing to us but its length. */
static bool read_field(const struct message *message, struct moat_bytes *bytes, uint16_t *ret_type,
		       uint16_t *ret_length)
{
	if (!moat_bytes_u16(bytes, ret_type) || !moat_bytes_u16(bytes, ret_length))
		return false;
	if (!message->is_ipfix || !(*ret_type & ENTERPRISE))
		return message->is_ipfix || *ret_length != VARIABLE;
	*ret_type = 0;
	return moat_bytes_skip(bytes, 4);
}

static int read_template(const struct message *message, struct moat_bytes *bytes, uint16_t id,
			 size_t fields, size_t scopes)
{
	struct template *template;

	if (id < SETS_OF_RECORDS || fields > MOAT_NETFLOW_FIELDS)
		return -EBADMSG;
	message->netflow->counters.templates++;
	template = place_of(message, id);
	for (size_t i = 0; i < fields; i++) {
		uint16_t type, length;

		if (!read_field(message, bytes, &type, &length)) {
			template->id = 0;
			return -EBADMSG;
		}
		/* scopes of version 9 have numbers of their own */
		template->fields[i].type = i < scopes && !message->is_ipfix ? 0 : type;
		template->fields[i].length = length;
		template->count++;
	}
	if (template->count == 0)
		template->id = 0; /* IPFIX: withdrawn */
	return 0;
}

static int read_templates(const struct message *message, struct moat_bytes *bytes, bool is_options)
{
	while (bytes->left >= (is_options ? 6 : 4)) {
		uint16_t id, count, scopes = 0;
		int r;

		if (!moat_bytes_u16(bytes, &id) || !moat_bytes_u16(bytes, &count) ||
		    (is_options && !moat_bytes_u16(bytes, &scopes)))
			return -EBADMSG;
		if (id == 0)
			return 0; /* padding */
		/* version 9 tells bytes of scopes, and of what follows */
		if (is_options && !message->is_ipfix) {
			uint16_t options = scopes;

			scopes = count / 4;
			count = (uint16_t)(scopes + options / 4);
		}
		r = read_template(message, bytes, id, count, scopes);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- records ------------------------------------------------------------------------------------- */

/* What fields say, before it is known which of them are there. */
struct raw {
	struct moat_flow_half half;
	uint64_t packets_total, octets_total;
	uint64_t start_ms, end_ms, start_s, end_s;
	uint32_t first_uptime, last_uptime;
	uint32_t sampling;
	bool has_addrs, has_uptime;
};

static void take_v4(struct moat_addr *addr, const uint8_t *at, size_t length)
{
	uint32_t v4;

	if (length != sizeof(v4))
		return;
	memcpy(&v4, at, sizeof(v4));
	moat_addr_from_v4(addr, v4);
}

static void take_v6(struct moat_addr *addr, const uint8_t *at, size_t length)
{
	if (length == sizeof(*addr))
		memcpy(addr, at, sizeof(*addr));
}

static void take_time(struct raw *raw, uint16_t type, uint64_t value)
{
	switch (type) {
	case IE_FIRST_UPTIME:
		raw->first_uptime = (uint32_t)value;
		raw->has_uptime = true;
		break;
	case IE_LAST_UPTIME:
		raw->last_uptime = (uint32_t)value;
		break;
	case IE_START_S:
		raw->start_s = value;
		break;
	case IE_END_S:
		raw->end_s = value;
		break;
	case IE_START_MS:
		raw->start_ms = value;
		break;
	case IE_END_MS:
		raw->end_ms = value;
		break;
	default:
		break;
	}
}

static void take_number(struct raw *raw, uint16_t type, uint64_t value)
{
	switch (type) {
	case IE_OCTETS:
		raw->half.bytes = value;
		break;
	case IE_PACKETS:
		raw->half.packets = value;
		break;
	case IE_OCTETS_TOTAL:
		raw->octets_total = value;
		break;
	case IE_PACKETS_TOTAL:
		raw->packets_total = value;
		break;
	case IE_PROTOCOL:
		raw->half.proto = (uint8_t)value;
		break;
	case IE_TCP_FLAGS:
		raw->half.tcp_flags = (uint8_t)value;
		break;
	case IE_SPORT:
		raw->half.sport = (uint16_t)value;
		break;
	case IE_DPORT:
		raw->half.dport = (uint16_t)value;
		break;
	case IE_SAMPLING:
	case IE_SAMPLER_RANDOM:
	case IE_SAMPLING_PACKETS:
		raw->sampling = (uint32_t)value;
		break;
	default:
		take_time(raw, type, value);
	}
}

static void take_field(struct raw *raw, uint16_t type, const uint8_t *at, size_t length)
{
	switch (type) {
	case 0:
		break;
	case IE_SRC4:
		take_v4(&raw->half.src, at, length);
		raw->has_addrs = true;
		break;
	case IE_DST4:
		take_v4(&raw->half.dst, at, length);
		break;
	case IE_SRC6:
		take_v6(&raw->half.src, at, length);
		raw->has_addrs = true;
		break;
	case IE_DST6:
		take_v6(&raw->half.dst, at, length);
		break;
	default:
		take_number(raw, type, moat_bytes_number(at, length));
	}
}

static struct sampler *sampler_of(const struct message *message, bool is_new)
{
	struct moat_netflow *netflow = message->netflow;

	for (size_t i = 0; i < netflow->sampler_count; i++) {
		struct sampler *sampler = &netflow->samplers[i];

		if (sampler->domain == message->domain &&
		    moat_addr_equal(&sampler->exporter, message->exporter))
			return sampler;
	}
	if (!is_new || netflow->sampler_count == SAMPLERS_MAX)
		return NULL;
	netflow->samplers[netflow->sampler_count] = (struct sampler){
		.exporter = *message->exporter,
		.domain = message->domain,
	};
	return &netflow->samplers[netflow->sampler_count++];
}

static uint64_t duration_of(const struct raw *raw)
{
	uint32_t span_ms = raw->last_uptime - raw->first_uptime;

	if (raw->start_ms && raw->end_ms > raw->start_ms)
		return (raw->end_ms - raw->start_ms) * NS_PER_MS;
	if (raw->start_s && raw->end_s > raw->start_s)
		return (raw->end_s - raw->start_s) * NS_PER_S;
	return raw->has_uptime && span_ms <= INT32_MAX ? span_ms * NS_PER_MS : 0;
}

static void give_out(const struct message *message, struct raw *raw)
{
	struct moat_flow_half *half = &raw->half;
	struct sampler *sampler = sampler_of(message, !raw->has_addrs && raw->sampling > 0);

	if (!half->packets)
		half->packets = raw->packets_total;
	if (!half->bytes)
		half->bytes = raw->octets_total;
	if (!raw->has_addrs && raw->sampling && sampler)
		sampler->sampling = raw->sampling;
	if (!raw->has_addrs || !half->packets) {
		message->netflow->counters.skipped++;
		return;
	}
	half->duration_ns = duration_of(raw);
	half->sampling = raw->sampling ? raw->sampling : sampler ? sampler->sampling : 0;
	message->handler(message->userdata, half);
}

/* The length of a field in this record: IPFIX may tell it in the record itself (RFC 7011, 7). */
static bool length_of(struct moat_bytes *bytes, size_t said, size_t *ret_length)
{
	uint16_t longer;

	*ret_length = said;
	if (said != VARIABLE)
		return true;
	if (!bytes->left)
		return false;
	*ret_length = bytes->at[0];
	moat_bytes_skip(bytes, 1);
	if (*ret_length < 255)
		return true;
	if (!moat_bytes_u16(bytes, &longer))
		return false;
	*ret_length = longer;
	return true;
}

/* False at the end of the set: what is left is padding, or not a whole record. */
static bool read_record(const struct template *template, struct moat_bytes *bytes,
			struct raw *ret_raw)
{
	memset(ret_raw, 0, sizeof(*ret_raw));
	for (size_t i = 0; i < template->count; i++) {
		struct moat_bytes field;
		size_t length;

		if (!length_of(bytes, template->fields[i].length, &length) ||
		    !moat_bytes_cut(bytes, length, &field))
			return false;
		take_field(ret_raw, template->fields[i].type, field.at, length);
	}
	return true;
}

static void read_records(const struct message *message, struct moat_bytes *bytes, uint16_t id)
{
	struct template *template = find_template(message, id);
	struct raw raw;

	if (!template) {
		message->netflow->counters.missing++;
		return;
	}
	template->used = message->netflow->datagrams;
	while (bytes->left) {
		size_t before = bytes->left;

		/* a template of nothing but empty fields would go on for ever */
		if (!read_record(template, bytes, &raw) || bytes->left == before)
			return;
		give_out(message, &raw);
	}
}

/* ---- messages ------------------------------------------------------------------------------------ */

static int read_sets(const struct message *message, struct moat_bytes *bytes)
{
	uint16_t templates = message->is_ipfix ? 2 : 0, options = message->is_ipfix ? 3 : 1;

	while (bytes->left >= 4) {
		struct moat_bytes set;
		uint16_t id, length;
		int r = 0;

		if (!moat_bytes_u16(bytes, &id) || !moat_bytes_u16(bytes, &length) || length < 4 ||
		    !moat_bytes_cut(bytes, length - 4u, &set))
			return -EBADMSG;
		if (id >= SETS_OF_RECORDS)
			read_records(message, &set, id);
		else if (id == templates || id == options)
			r = read_templates(message, &set, id == options);
		if (r < 0)
			return r;
	}
	return bytes->left ? -EBADMSG : 0;
}

int moat_netflow_read(struct moat_netflow *netflow, const struct moat_addr *exporter,
		      const uint8_t *data, size_t length, moat_half_fn handler, void *userdata)
{
	struct message message = { netflow, exporter, 0, false, handler, userdata };
	struct moat_bytes bytes = { data, length };
	uint16_t version, size;
	struct moat_bytes head;

	netflow->datagrams++;
	if (!moat_bytes_u16(&bytes, &version))
		return -EBADMSG;
	if (version == 5)
		return read_v5(&message, &bytes);
	if (version == 9) {
		/* count, uptime, seconds, sequence, source id */
		if (!moat_bytes_cut(&bytes, 18, &head))
			return -EBADMSG;
		message.domain = (uint32_t)moat_bytes_number(head.at + 14, 4);
		return read_sets(&message, &bytes);
	}
	/* length, export time, sequence, domain */
	if (version != 10 || !moat_bytes_u16(&bytes, &size) || size != length ||
	    !moat_bytes_cut(&bytes, 12, &head))
		return -EBADMSG;
	message.is_ipfix = true;
	message.domain = (uint32_t)moat_bytes_number(head.at + 8, 4);
	return read_sets(&message, &bytes);
}
