/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See link.h: messages, as both ends see them. */
#include "ctl/sidecar/link.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ctl/sidecar/record.h"

#define ALIGNED(size) (((size) + 7) & ~(size_t)7)

void moat_link_begin(struct moat_link_message *message)
{
	message->head = (struct moat_link_head){
		.magic = MOAT_LINK_MAGIC,
		.version = MOAT_LINK_VERSION,
		.abi = MOAT_ABI_VERSION,
		.size = sizeof(message->head),
	};
}

bool moat_link_append(struct moat_link_message *message, const struct moat_link_item *item,
		      const void *more, size_t more_size)
{
	size_t own = more ? sizeof(*item) : item->size, size = ALIGNED(own + more_size);
	uint8_t *to = (uint8_t *)message + message->head.size;
	struct moat_link_item head = *item;

	if (size > sizeof(*message) - message->head.size)
		return false;
	memset(to + size - 8, 0, 8);
	memcpy(to, item, own);
	if (more)
		memcpy(to + own, more, more_size);
	head.size = (uint32_t)size;
	memcpy(to, &head, sizeof(head));
	message->head.size += (uint32_t)size;
	message->head.items++;
	return true;
}

void moat_link_describe(const struct moat_process_record *record,
			struct moat_link_process *ret_process)
{
	*ret_process = (struct moat_link_process){
		.item = { .size = sizeof(*ret_process), .kind = MOAT_LINK_PROCESS },
		.task = record->task,
		.file = record->file,
		.existed = record->existed,
		.tty = record->tty,
		.path_cut = record->path_cut,
		.args_cut = record->args_cut,
	};
	snprintf(ret_process->path, sizeof(ret_process->path), "%s",
		 record->path ? record->path : "");
	snprintf(ret_process->args, sizeof(ret_process->args), "%s",
		 record->args ? record->args : "");
	if (record->args && strlen(record->args) >= sizeof(ret_process->args))
		ret_process->args_cut = 1;
}

bool moat_link_describe_facts(const char *id, const json_t *facts, struct moat_link_facts *ret_facts)
{
	size_t length = facts ? json_dumpb(facts, ret_facts->text, sizeof(ret_facts->text) - 1,
					   JSON_COMPACT)
			      : 0;

	if (length > sizeof(ret_facts->text) - 1)
		return false;
	ret_facts->text[length] = '\0';
	ret_facts->item = (struct moat_link_item){
		.size = (uint32_t)(offsetof(struct moat_link_facts, text) + length + 1),
		.kind = MOAT_LINK_FACTS,
	};
	snprintf(ret_facts->id, sizeof(ret_facts->id), "%s", id);
	return true;
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool container_is_sound(const struct moat_link_container *told)
{
	const struct moat_container *container = &told->container;

	return told->item.size == sizeof(*told) && ends(container->path, sizeof(container->path)) &&
	       ends(container->id, sizeof(container->id)) &&
	       ends(container->runtime, sizeof(container->runtime)) &&
	       ends(container->pod, sizeof(container->pod)) &&
	       container->ancestor_count <= MOAT_CONTAINER_DEPTH;
}

static bool facts_are_sound(const struct moat_link_facts *told)
{
	size_t text = offsetof(struct moat_link_facts, text);

	return told->item.size > text && told->item.size <= sizeof(*told) &&
	       ends(told->id, MOAT_CONTAINER_ID_LEN) && ends(told->text, told->item.size - text);
}

static bool item_is_sound(const struct moat_link_item *item)
{
	const struct moat_link_process *process = (const struct moat_link_process *)item;
	const struct moat_event *event = (const struct moat_event *)(item + 1);

	switch (item->kind) {
	case MOAT_LINK_EVENT:
		return moat_event_is_sound(event, item->size - (uint32_t)sizeof(*item));
	case MOAT_LINK_CONTAINER:
		return container_is_sound((const struct moat_link_container *)item);
	case MOAT_LINK_FACTS:
		return facts_are_sound((const struct moat_link_facts *)item);
	case MOAT_LINK_PROCESS:
		return item->size == sizeof(*process) &&
		       ends(process->path, sizeof(process->path)) &&
		       ends(process->args, sizeof(process->args));
	default:
		return false;
	}
}

/* The item at `at`, NULL if it isn't whole. */
static const struct moat_link_item *item_at(const uint8_t *message, size_t size, size_t at)
{
	const struct moat_link_item *item = (const struct moat_link_item *)(message + at);

	if (size - at < sizeof(*item) || item->size < sizeof(*item) || item->size > size - at ||
	    item->size % 8 != 0)
		return NULL;
	return item_is_sound(item) ? item : NULL;
}

int moat_link_read(const void *message, size_t size, moat_link_fn handler, void *userdata)
{
	const struct moat_link_head *head = message;
	const struct moat_link_item *item;
	uint32_t items = 0;

	if (size < sizeof(*head) || head->magic != MOAT_LINK_MAGIC)
		return -EBADMSG;
	if (head->version != MOAT_LINK_VERSION || head->abi != MOAT_ABI_VERSION)
		return MOAT_LINK_FOREIGN;
	if (head->size != size)
		return -EBADMSG;
	for (size_t at = sizeof(*head); at < size; at += item->size, items++) {
		item = item_at(message, size, at);
		if (!item)
			return -EBADMSG;
	}
	if (items != head->items)
		return -EBADMSG;
	for (size_t at = sizeof(*head); at < size; at += item->size) {
		item = item_at(message, size, at);
		handler(userdata, item);
	}
	return 0;
}
