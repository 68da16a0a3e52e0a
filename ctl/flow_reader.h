/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of flow files, as others write them: Zeek's conn.log (tab-separated or JSON), Argus' binetflow, CSV
 * of flows with a header that names its columns, and CSV of packets (stream, time, lengths, flags).
 */
#ifndef MOAT_CTL_FLOW_READER_H
#define MOAT_CTL_FLOW_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/record.h"

enum moat_flow_format {
	MOAT_FLOWS_NONE = 0, /* nothing known has been read yet */
	MOAT_FLOWS_ZEEK,
	MOAT_FLOWS_ZEEK_JSON,
	MOAT_FLOWS_BINETFLOW,
	MOAT_FLOWS_CSV,     /* a row a conversation, without ports */
	MOAT_FLOWS_PACKETS, /* a row a packet */
};

/* What columns are wanted for. */
enum moat_flow_field {
	MOAT_FIELD_START = 0,
	MOAT_FIELD_DURATION,
	MOAT_FIELD_SRC,
	MOAT_FIELD_SPORT,
	MOAT_FIELD_DST,
	MOAT_FIELD_DPORT,
	MOAT_FIELD_PROTO,
	MOAT_FIELD_SERVICE,
	MOAT_FIELD_STATE,
	MOAT_FIELD_SRC_PACKETS,
	MOAT_FIELD_DST_PACKETS,
	MOAT_FIELD_PACKETS,
	MOAT_FIELD_SRC_BYTES,
	MOAT_FIELD_DST_BYTES,
	MOAT_FIELD_BYTES,
	MOAT_FIELD_SRC_PAYLOAD,
	MOAT_FIELD_DST_PAYLOAD,
	MOAT_FIELD_LABEL,
	MOAT_FIELD_STREAM,
	MOAT_FIELD_LENGTH,
	MOAT_FIELD_FLAGS,
	MOAT_FIELD_COUNT,
};

#define MOAT_FLOW_COLUMNS_MAX 96

struct moat_flow_reader {
	enum moat_flow_format format;
	char separator;
	size_t columns;
	int8_t field_of[MOAT_FLOW_COLUMNS_MAX]; /* by column; -1: not wanted */
};

/* What a line was. */
enum moat_flow_line {
	MOAT_LINE_FLOW = 1,
	MOAT_LINE_PACKET,
	MOAT_LINE_NOTHING, /* header, comment, or a flow of something else than IP */
};

struct moat_flow_packet {
	struct moat_headers headers;
	uint64_t time_ns;
	uint32_t payload;
};

#define MOAT_FLOW_LABEL_LEN 32
struct moat_flow_item {
	struct moat_flow_record flow;
	struct moat_flow_packet packet;
	char label[MOAT_FLOW_LABEL_LEN]; /* "" where there is none */
};

/* Reads one line, which it changes. An enum moat_flow_line; -EINVAL: neither header nor row of a known
 * format, or a value that can't be. A zeroed reader begins. *ret_item is set for flows and packets only. */
int moat_flow_reader_line(struct moat_flow_reader *reader, char *line,
			  struct moat_flow_item *ret_item);

/* flow_row.c: a row's values by field (NULL: the file has none) to what they mean. As above. */
int moat_flow_row_read(enum moat_flow_format format, const char *const values[MOAT_FIELD_COUNT],
		       struct moat_flow_item *ret_item);

#endif
