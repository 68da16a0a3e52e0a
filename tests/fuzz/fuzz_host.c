/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the host's programs can write: cgroup paths, arguments, and records as the kernel sends them. */
#include <string.h>

#include <jansson.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/link.h"
#include "ctl/sidecar/ocsf.h"
#include "ctl/sidecar/process.h"
#include "ctl/sidecar/record.h"
#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

static void check_container(const char *path)
{
	struct moat_container found;
	bool is = moat_container_parse(path, &found);

	MOAT_FUZZ_ASSERT(is == (strlen(found.id) == 64));
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
	static const struct moat_ocsf_context context = { .boot_id = "boot", .hostname = "host" };
	static struct moat_processes *table;
	struct moat_ocsf_event told = { .event = NULL };
	moat_auto_free char *line = NULL;
	json_t *object;
	union {
		struct moat_event head;
		uint8_t bytes[8192];
	} record;

	if (!table && moat_processes_new(1024, &table) < 0)
		return;
	if (size < sizeof(record.head) || size > sizeof(record))
		return;
	memcpy(record.bytes, data, size);
	told.event = &record.head;
	record.head.size = (uint32_t)size;
	record.head.type = (uint16_t)(record.head.type % (MOAT_EVENT_TYPES + 1));
	/* of a process that can't be: /proc is not asked about others */
	record.head.task.self.tgid |= 0x80000000;
	if (!moat_event_is_sound(&record.head, (uint32_t)size))
		return;
	MOAT_FUZZ_ASSERT(moat_event_type_of(moat_event_name(record.head.type)) == record.head.type);
	if (record.head.type == MOAT_EVENT_EXISTING)
		return;
	MOAT_FUZZ_ASSERT(moat_processes_update(table, &record.head) >= 0);
	moat_ocsf_find(table, &told);
	object = moat_ocsf_event(&context, &told);
	/* what a record holds may be anything; what is made of it is an object that can be written */
	if (record.head.type != MOAT_EVENT_FORK)
		MOAT_FUZZ_ASSERT(object && (line = json_dumps(object, JSON_COMPACT)));
	json_decref(object);
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
