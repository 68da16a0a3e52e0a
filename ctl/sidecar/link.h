/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What moat-sidecar and moatd say to each other over a Unix socket (SOCK_SEQPACKET, one message a packet).
 *
 * The sidecar connects and sends messages of items, numbered from 1 over the life of its process; moatd
 * acknowledges numbers. What isn't acknowledged is kept, up to a bound, and sent again after a reconnect, so
 * that a restart of moatd loses nothing that fits. On every connection the sidecar first tells of the
 * processes that live. moatd takes a message whose number it has had for a repetition.
 *
 * Both run on one machine from one installation, but perhaps not of one version: a message of another
 * version of the link or of the ABI is refused, and the sidecar says so and tries again later.
 */
#ifndef MOAT_CTL_SIDECAR_LINK_H
#define MOAT_CTL_SIDECAR_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/facts.h"
#include "ctl/sidecar/process.h"
#include "moat/event.h"

#define MOAT_LINK_MAGIC 0x74616f6dU /* "moat" */
#define MOAT_LINK_VERSION 2
#define MOAT_LINK_MESSAGE_MAX 65536 /* bytes; a Unix socket takes such packets by default */

struct moat_link_head {
	uint32_t magic;
	uint16_t version; /* MOAT_LINK_VERSION */
	uint16_t abi;     /* MOAT_ABI_VERSION */
	uint32_t size;    /* of the message with this head */
	uint32_t items;
	uint64_t number; /* of the message, from 1; 0: the processes that live, sent anew each time */
	uint64_t sender; /* random, one a process: numbers of another sender start anew */
	uint64_t lost;   /* items that the sender dropped until now, its bound being reached */
};
_Static_assert(sizeof(struct moat_link_head) == 40, "items are aligned to 8");

/* moatd's answer. */
struct moat_link_ack {
	uint32_t magic;
	uint16_t version;
	uint16_t abi;
	uint64_t number; /* this one and all before have been taken in */
};

enum moat_link_kind {
	MOAT_LINK_EVENT = 1,     /* a record of moat/event.h, whole */
	MOAT_LINK_CONTAINER = 2, /* struct moat_link_container, before the first event of its cgroup */
	MOAT_LINK_PROCESS = 3, /* struct moat_link_process: one that lives */
	MOAT_LINK_FACTS = 4, /* struct moat_link_facts: what is known of a container, or that nothing is */
};

struct moat_link_item {
	uint32_t size; /* with this head, a multiple of 8 */
	uint16_t kind;
	uint16_t late; /* event: 1 if told after younger ones */
};

struct moat_link_container {
	struct moat_link_item item;
	struct moat_container container;
};

/* ctl/sidecar/facts.h as compact JSON, with its final 0 and cut off behind it; empty: nothing is known. */
struct moat_link_facts {
	struct moat_link_item item;
	char id[MOAT_CONTAINER_ID_LEN + 7];
	char text[MOAT_FACTS_SIZE_MAX];
};

struct moat_link_process {
	struct moat_link_item item;
	struct moat_task task;
	struct moat_file file;
	uint32_t existed, args_cut, tty, path_cut;
	/* clean texts, each with its final 0; cut to fit */
	char path[MOAT_EXEC_PATH_LEN];
	char args[MOAT_EXEC_ARGS_LEN];
};

/* A message being filled. */
struct moat_link_message {
	struct moat_link_head head;
	uint8_t body[MOAT_LINK_MESSAGE_MAX - sizeof(struct moat_link_head)];
};

/* Empties it; number, sender and lost are the caller's. */
void moat_link_begin(struct moat_link_message *message);

/* Appends an item whose `size` is set (rounded up to 8 here). False: it doesn't fit any more. */
bool moat_link_append(struct moat_link_message *message, const struct moat_link_item *item,
		      const void *more, size_t more_size);

/* What a process record says, for a message. */
void moat_link_describe(const struct moat_process_record *record,
			struct moat_link_process *ret_process);

/* Facts for a message; `facts` NULL: none. False: they don't fit. */
bool moat_link_describe_facts(const char *id, const json_t *facts,
			      struct moat_link_facts *ret_facts);

enum moat_link_result {
	MOAT_LINK_FOREIGN = 1, /* another version of link or ABI */
};

/* One item; `item` holds `item->size` bytes, and what its kind needs is sound. */
typedef void (*moat_link_fn)(void *userdata, const struct moat_link_item *item);

/* Checks a whole message and then hands out its items: 0, FOREIGN, or -EBADMSG with none handed out. */
int moat_link_read(const void *message, size_t size, moat_link_fn handler, void *userdata);

#endif
