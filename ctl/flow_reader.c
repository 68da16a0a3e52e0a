/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From lines to values by field: which format it is, and where its columns stand. */
#include "ctl/flow_reader.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

struct name {
	const char *text;
	enum moat_flow_field field;
};

static const struct name zeek_names[] = {
	{ "ts", MOAT_FIELD_START },
	{ "duration", MOAT_FIELD_DURATION },
	{ "id.orig_h", MOAT_FIELD_SRC },
	{ "id.orig_p", MOAT_FIELD_SPORT },
	{ "id.resp_h", MOAT_FIELD_DST },
	{ "id.resp_p", MOAT_FIELD_DPORT },
	{ "proto", MOAT_FIELD_PROTO },
	{ "service", MOAT_FIELD_SERVICE },
	{ "conn_state", MOAT_FIELD_STATE },
	{ "orig_pkts", MOAT_FIELD_SRC_PACKETS },
	{ "resp_pkts", MOAT_FIELD_DST_PACKETS },
	{ "orig_ip_bytes", MOAT_FIELD_SRC_BYTES },
	{ "resp_ip_bytes", MOAT_FIELD_DST_BYTES },
	{ "orig_bytes", MOAT_FIELD_SRC_PAYLOAD },
	{ "resp_bytes", MOAT_FIELD_DST_PAYLOAD },
	{ NULL, 0 },
};
static const struct name binetflow_names[] = {
	{ "StartTime", MOAT_FIELD_START },    { "Dur", MOAT_FIELD_DURATION },
	{ "Proto", MOAT_FIELD_PROTO },        { "SrcAddr", MOAT_FIELD_SRC },
	{ "Sport", MOAT_FIELD_SPORT },        { "DstAddr", MOAT_FIELD_DST },
	{ "Dport", MOAT_FIELD_DPORT },        { "State", MOAT_FIELD_STATE },
	{ "TotPkts", MOAT_FIELD_PACKETS },    { "TotBytes", MOAT_FIELD_BYTES },
	{ "SrcBytes", MOAT_FIELD_SRC_BYTES }, { "SrcPkts", MOAT_FIELD_SRC_PACKETS },
	{ "Label", MOAT_FIELD_LABEL },        { NULL, 0 },
};
static const struct name csv_names[] = {
	{ "start", MOAT_FIELD_START },
	{ "duration", MOAT_FIELD_DURATION },
	{ "sIPs", MOAT_FIELD_SRC },
	{ "rIPs", MOAT_FIELD_DST },
	{ "protocol", MOAT_FIELD_PROTO },
	{ "sPackets", MOAT_FIELD_SRC_PACKETS },
	{ "rPackets", MOAT_FIELD_DST_PACKETS },
	{ "sBytesSum", MOAT_FIELD_SRC_BYTES },
	{ "rBytesSum", MOAT_FIELD_DST_BYTES },
	{ "sPayloadSum", MOAT_FIELD_SRC_PAYLOAD },
	{ "rPayloadSum", MOAT_FIELD_DST_PAYLOAD },
	{ "NST_M_Label", MOAT_FIELD_LABEL },
	{ NULL, 0 },
};
static const struct name packet_names[] = {
	{ "tcp_stream_name", MOAT_FIELD_STREAM }, { "timestamp", MOAT_FIELD_START },
	{ "ip_len", MOAT_FIELD_LENGTH },          { "payload_len", MOAT_FIELD_SRC_PAYLOAD },
	{ "UAPRSF_tcp_flags", MOAT_FIELD_FLAGS }, { NULL, 0 },
};

/* A header line begins with one of these. */
static const struct {
	const char *begin;
	enum moat_flow_format format;
	char separator;
	const struct name *names;
} formats[] = {
	{ "#fields\t", MOAT_FLOWS_ZEEK, '\t', zeek_names },
	{ "StartTime,", MOAT_FLOWS_BINETFLOW, ',', binetflow_names },
	{ "sAddress,", MOAT_FLOWS_CSV, ',', csv_names },
	{ "tcp_stream_name,", MOAT_FLOWS_PACKETS, ',', packet_names },
};

/* Cuts the next value off; NULL at the end. */
static char *next_value(char **line, char separator)
{
	char *value = *line, *end;

	if (!value)
		return NULL;
	end = strchr(value, separator);
	if (end)
		*end = '\0';
	*line = end ? end + 1 : NULL;
	return value;
}

static int8_t field_named(const struct name *names, const char *text)
{
	for (; names->text; names++)
		if (strcmp(names->text, text) == 0)
			return (int8_t)names->field;
	return -1;
}

/* True if the line was a header. */
static bool read_header(struct moat_flow_reader *reader, char *line)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(formats); i++) {
		char *value;

		if (strncmp(line, formats[i].begin, strlen(formats[i].begin)) != 0)
			continue;
		*reader = (struct moat_flow_reader){ .format = formats[i].format,
						     .separator = formats[i].separator };
		if (line[0] == '#')
			(void)next_value(&line, formats[i].separator);
		while ((value = next_value(&line, formats[i].separator)) &&
		       reader->columns < MOAT_FLOW_COLUMNS_MAX)
			reader->field_of[reader->columns++] = field_named(formats[i].names, value);
		return true;
	}
	return false;
}

static int read_columns(const struct moat_flow_reader *reader, char *line,
			struct moat_flow_item *ret_item)
{
	const char *values[MOAT_FIELD_COUNT] = { NULL };
	size_t column = 0;
	char *value;

	while ((value = next_value(&line, reader->separator)) && column < reader->columns) {
		int8_t field = reader->field_of[column++];

		if (field >= 0)
			values[field] = value;
	}
	return moat_flow_row_read(reader->format, values, ret_item);
}

static int read_json(const char *line, struct moat_flow_item *ret_item)
{
	const char *values[MOAT_FIELD_COUNT] = { NULL };
	char numbers[MOAT_FIELD_COUNT][32];
	json_t *row = json_loads(line, 0, NULL);
	int r = -EINVAL;

	for (const struct name *name = zeek_names; row && name->text; name++) {
		const json_t *value = json_object_get(row, name->text);

		if (json_is_string(value)) {
			values[name->field] = json_string_value(value);
		} else if (json_is_number(value)) {
			snprintf(numbers[name->field], sizeof(numbers[0]), "%.6f",
				 json_number_value(value));
			values[name->field] = numbers[name->field];
		}
	}
	if (json_is_object(row))
		r = moat_flow_row_read(MOAT_FLOWS_ZEEK, values, ret_item);
	json_decref(row);
	return r;
}

int moat_flow_reader_line(struct moat_flow_reader *reader, char *line,
			  struct moat_flow_item *ret_item)
{
	line[strcspn(line, "\r\n")] = '\0';
	if (read_header(reader, line) || line[0] == '#' || line[0] == '\0')
		return MOAT_LINE_NOTHING;
	if (line[0] == '{' &&
	    (reader->format == MOAT_FLOWS_NONE || reader->format == MOAT_FLOWS_ZEEK_JSON)) {
		reader->format = MOAT_FLOWS_ZEEK_JSON;
		return read_json(line, ret_item);
	}
	if (reader->format == MOAT_FLOWS_NONE || reader->format == MOAT_FLOWS_ZEEK_JSON)
		return -EINVAL;
	return read_columns(reader, line, ret_item);
}
