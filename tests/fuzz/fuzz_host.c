/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the host's programs can write: cgroup paths, arguments, and records as the kernel sends them. */
#include <string.h>

#include <jansson.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/link.h"
#include "ctl/sidecar/probes.h"
#include "ctl/sidecar/process.h"
#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

static void check_container(const char *path)
{
	struct moat_container found;
	bool is = moat_container_parse(path, &found);

	MOAT_FUZZ_ASSERT(is == (strlen(found.id) == MOAT_CONTAINER_ID_LEN - 1));
	MOAT_FUZZ_ASSERT(strlen(found.runtime) < sizeof(found.runtime));
	MOAT_FUZZ_ASSERT(found.pod[0] == '\0' || (is && strlen(found.pod) == 36));
}

/* Clean text is what JSON takes, and stays what it is. */
static void check_text(const uint8_t *data, size_t size)
{
	moat_auto_free char *text = moat_text_clean((const char *)data, size);
	moat_auto_free char *args = moat_process_args_text((const char *)data, size);
	json_t *value;

	MOAT_FUZZ_ASSERT(text && args);
	value = json_string(text);
	MOAT_FUZZ_ASSERT(value);
	json_decref(value);
	value = json_string(args);
	MOAT_FUZZ_ASSERT(value);
	json_decref(value);
	for (const char *at = text; *at; at++)
		MOAT_FUZZ_ASSERT((unsigned char)*at >= 0x20 && *at != 0x7f);
}

/* A record that is called sound can be taken in. */
static void check_record(const uint8_t *data, size_t size)
{
	static struct moat_processes *table;
	union {
		struct moat_event head;
		uint8_t bytes[sizeof(struct moat_event_exec)];
	} record;

	if (!table && moat_processes_new(1024, &table) < 0)
		return;
	if (size < sizeof(record.head) || size > sizeof(record))
		return;
	memcpy(record.bytes, data, size);
	record.head.size = (uint32_t)size;
	record.head.type = (uint16_t)(record.head.type % (MOAT_EVENT_COUNT + 1));
	/* of a process that can't be: /proc is not asked about others */
	record.head.task.self.tgid |= 0x80000000;
	if (!moat_event_is_sound(&record.head, (uint32_t)size))
		return;
	if (record.head.type != MOAT_EVENT_EXISTING)
		MOAT_FUZZ_ASSERT(moat_processes_update(table, &record.head) >= 0);
}

static void touch_item(void *userdata, const struct moat_link_item *item)
{
	uint32_t *sum = userdata;

	for (uint32_t i = 0; i < item->size; i++)
		*sum += ((const uint8_t *)item)[i];
}

/* A message is read whole or refused. */
static void check_message(const uint8_t *data, size_t size)
{
	static struct moat_link_message message;
	uint32_t sum = 0;

	if (size > sizeof(message.body))
		return;
	moat_link_begin(&message);
	memcpy(message.body, data, size);
	message.head.size += (uint32_t)size;
	message.head.items = 1;
	moat_link_read(&message, message.head.size, touch_item, &sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_auto_free char *text = moat_fuzz_text(data, size);

	check_container(text);
	check_text(data, size);
	check_record(data, size);
	check_message(data, size);
	return 0;
}
