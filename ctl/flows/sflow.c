/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flows/sflow.h"

#include <errno.h>
#include <string.h>

#include "ctl/flows/bytes.h"
#include "dataplane/parse.h"

/* Types of samples and records, all of sflow.org's own (enterprise 0). */
#define FLOW_SAMPLE 1
#define EXPANDED_FLOW_SAMPLE 3
#define RAW_HEADER 1
#define SAMPLED_IPV4 3
#define SAMPLED_IPV6 4
#define HEADER_ETHERNET 1

static void from_headers(const struct moat_headers *headers, struct moat_flow_half *ret_half)
{
	ret_half->src = headers->src;
	ret_half->dst = headers->dst;
	ret_half->packets = 1;
	ret_half->bytes = headers->l3_len;
	ret_half->sport = headers->has_ports ? headers->sport : 0;
	ret_half->dport = headers->has_ports ? headers->dport : 0;
	ret_half->proto = headers->proto;
	ret_half->tcp_flags = headers->tcp_flags;
}

static bool read_raw(struct moat_bytes *record, struct moat_flow_half *half)
{
	uint32_t protocol, frame, stripped, length;
	struct moat_headers headers;
	struct moat_bytes bytes;

	if (!moat_bytes_u32(record, &protocol) || !moat_bytes_u32(record, &frame) ||
	    !moat_bytes_u32(record, &stripped) || !moat_bytes_u32(record, &length) ||
	    !moat_bytes_cut(record, length, &bytes) || protocol != HEADER_ETHERNET)
		return false;
	/* what was taken off its end (the checksum) isn't the packet's */
	frame = frame > stripped && frame - stripped >= length ? frame - stripped : length;
	if (moat_headers_parse(bytes.at, bytes.left, frame, &headers) != MOAT_PARSE_OK ||
	    headers.family == MOAT_FAMILY_ANY)
		return false;
	from_headers(&headers, half);
	return true;
}

static bool read_ip(struct moat_bytes *record, bool is_v4, struct moat_flow_half *half)
{
	size_t width = is_v4 ? 4 : 16;
	struct moat_bytes fields;
	const uint8_t *at;
	uint32_t v4;

	if (!moat_bytes_cut(record, 8 + 2 * width + 12, &fields))
		return false;
	at = fields.at;
	half->packets = 1;
	half->bytes = moat_bytes_number(at, 4);
	half->proto = (uint8_t)moat_bytes_number(at + 4, 4);
	if (is_v4) {
		memcpy(&v4, at + 8, sizeof(v4));
		moat_addr_from_v4(&half->src, v4);
		memcpy(&v4, at + 12, sizeof(v4));
		moat_addr_from_v4(&half->dst, v4);
	} else {
		memcpy(&half->src, at + 8, 16);
		memcpy(&half->dst, at + 24, 16);
	}
	at += 8 + 2 * width;
	half->sport = (uint16_t)moat_bytes_number(at, 4);
	half->dport = (uint16_t)moat_bytes_number(at + 4, 4);
	half->tcp_flags = (uint8_t)moat_bytes_number(at + 8, 4);
	return true;
}

/* The packet of a sample, by the first of its records that tells of one. -EBADMSG if a record is cut. */
static int read_packet(struct moat_bytes *sample, uint32_t records, struct moat_flow_half *half,
		       bool *ret_found)
{
	*ret_found = false;
	for (uint32_t i = 0; i < records; i++) {
		struct moat_bytes record;
		uint32_t type, length;

		if (!moat_bytes_u32(sample, &type) || !moat_bytes_u32(sample, &length) ||
		    !moat_bytes_cut(sample, length, &record))
			return -EBADMSG;
		if (*ret_found)
			continue;
		if (type == RAW_HEADER)
			*ret_found = read_raw(&record, half);
		else if (type == SAMPLED_IPV4 || type == SAMPLED_IPV6)
			*ret_found = read_ip(&record, type == SAMPLED_IPV4, half);
	}
	return 0;
}

static int read_sample(struct moat_bytes *sample, bool is_expanded, moat_half_fn handler,
		       void *userdata, uint64_t *skipped)
{
	struct moat_flow_half half = { .packets = 0 };
	struct moat_bytes head;
	uint32_t rate, records;
	bool found;
	int r;

	/* sequence, source; then rate, pool, drops, input, output */
	if (!moat_bytes_skip(sample, is_expanded ? 12 : 8) || !moat_bytes_u32(sample, &rate) ||
	    !moat_bytes_cut(sample, is_expanded ? 24 : 16, &head) ||
	    !moat_bytes_u32(sample, &records))
		return -EBADMSG;
	r = read_packet(sample, records, &half, &found);
	if (r < 0)
		return r;
	half.sampling = rate;
	if (found)
		handler(userdata, &half);
	else
		++*skipped;
	return 0;
}

int moat_sflow_read(const uint8_t *data, size_t length, moat_half_fn handler, void *userdata,
		    uint64_t *skipped)
{
	struct moat_bytes bytes = { data, length };
	uint32_t version, family, samples;

	if (!moat_bytes_u32(&bytes, &version) || version != 5 || !moat_bytes_u32(&bytes, &family) ||
	    (family != 1 && family != 2) ||
	    /* the agent's address, its part, sequence, uptime */
	    !moat_bytes_skip(&bytes, (family == 1 ? 4 : 16) + 12) ||
	    !moat_bytes_u32(&bytes, &samples))
		return -EBADMSG;
	for (uint32_t i = 0; i < samples; i++) {
		struct moat_bytes sample;
		uint32_t type, size;
		int r = 0;

		if (!moat_bytes_u32(&bytes, &type) || !moat_bytes_u32(&bytes, &size) ||
		    !moat_bytes_cut(&bytes, size, &sample))
			return -EBADMSG;
		if (type == FLOW_SAMPLE || type == EXPANDED_FLOW_SAMPLE)
			r = read_sample(&sample, type == EXPANDED_FLOW_SAMPLE, handler, userdata,
					skipped);
		else
			++*skipped;
		if (r < 0)
			return r;
	}
	return 0;
}
