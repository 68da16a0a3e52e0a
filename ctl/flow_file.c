/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flow_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/flow.h"

#define LINE_MAX_BYTES 65536
#define SEED 0x9e3779b97f4a7c15ULL

struct loading {
	struct moat_flow_file *file;
	struct moat_flow_table *flows; /* of packets; NULL until one comes */
	int r;                         /* -ENOMEM from within a callback */
};

bool moat_flow_file_is(const char *path)
{
	moat_auto_fclose FILE *stream = fopen(path, "re");
	struct moat_flow_reader reader = { .format = MOAT_FLOWS_NONE };
	struct moat_flow_item item;
	char line[4096];

	/* Zeek's header has several lines before the one that counts */
	for (int i = 0; stream && i < 16 && fgets(line, sizeof(line), stream); i++) {
		if (moat_flow_reader_line(&reader, line, &item) < 0)
			return false;
		if (reader.format != MOAT_FLOWS_NONE)
			return true;
	}
	return false;
}

static void append(struct loading *loading, const struct moat_flow_record *record, const char *label)
{
	struct moat_flow_file *file = loading->file;
	struct moat_flow_entry *entry;

	if (file->count == MOAT_FLOW_FILE_RECORDS_MAX) {
		file->refused++;
		return;
	}
	if (file->count == file->room) {
		size_t room = file->room ? 2 * file->room : 1024;
		struct moat_flow_entry *grown = reallocarray(file->entries, room, sizeof(*grown));

		if (!grown) {
			loading->r = -ENOMEM;
			return;
		}
		file->entries = grown;
		file->room = room;
	}
	entry = &file->entries[file->count++];
	memset(entry, 0, sizeof(*entry));
	entry->record = *record;
	memcpy(entry->label, label, sizeof(entry->label));
}

static const char no_label[MOAT_FLOW_LABEL_LEN] = "";

static void on_tell(void *userdata, const struct moat_flow_record *record)
{
	append(userdata, record, no_label);
}

static void on_end(void *userdata, const struct moat_flow *flow)
{
	struct moat_flow_record record;

	moat_flow_record_of(flow, MOAT_RECORD_END, 0, &record);
	append(userdata, &record, no_label);
}

/* Packets make flows as they do in a worker. */
static int take_packet(struct loading *loading, const struct moat_flow_packet *packet)
{
	const struct moat_headers *h = &packet->headers;
	struct moat_flow_turn turn;

	if (!loading->flows) {
		int r = moat_flow_table_new(0, SEED, on_end, loading, &loading->flows);

		if (r == 0)
			r = moat_flow_table_keep_talks(loading->flows);

		if (r < 0)
			return r;
	}
	if (moat_flow_table_add(loading->flows, h, packet->time_ns))
		(void)moat_flow_table_talk(loading->flows, h, packet->payload, packet->time_ns,
					   on_tell, loading, &turn);
	return 0;
}

static int take_line(struct loading *loading, struct moat_flow_reader *reader, char *line)
{
	struct moat_flow_item item;

	loading->file->lines++;
	switch (moat_flow_reader_line(reader, line, &item)) {
	case MOAT_LINE_FLOW:
		append(loading, &item.flow, item.label);
		break;
	case MOAT_LINE_PACKET:
		return take_packet(loading, &item.packet);
	case MOAT_LINE_NOTHING:
		break;
	default:
		loading->file->malformed++;
	}
	return loading->r;
}

int moat_flow_file_load(struct moat_flow_file *file, const char *path, struct moat_error *error)
{
	moat_auto_fclose FILE *stream = fopen(path, "re");
	moat_auto_free char *line = malloc(LINE_MAX_BYTES);
	struct moat_flow_reader reader = { .format = MOAT_FLOWS_NONE };
	struct loading loading = { .file = file };
	size_t before = file->count;
	int r = 0;

	if (!stream)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	while (line && r == 0 && fgets(line, LINE_MAX_BYTES, stream))
		r = take_line(&loading, &reader, line);
	if (loading.flows) {
		moat_flow_table_flush(loading.flows);
		moat_flow_table_free(loading.flows);
	}
	if (!line || r < 0 || loading.r < 0)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	if (ferror(stream))
		return moat_error_set(error, -EIO, "%s: can't be read", path);
	if (file->count == before)
		return moat_error_set(error, -EINVAL, "%s: no line of it is a flow", path);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct moat_flow_entry *x = a, *y = b;

	return (x->record.last_ns > y->record.last_ns) - (x->record.last_ns < y->record.last_ns);
}

void moat_flow_file_sort(struct moat_flow_file *file)
{
	if (file->count)
		qsort(file->entries, file->count, sizeof(*file->entries), compare);
}

void moat_flow_file_deinit(struct moat_flow_file *file)
{
	free(file->entries);
	memset(file, 0, sizeof(*file));
}
