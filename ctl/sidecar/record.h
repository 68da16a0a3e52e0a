/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What can be told of any record by its type: its name, its family, and whether it is whole. */
#ifndef MOAT_CTL_SIDECAR_RECORD_H
#define MOAT_CTL_SIDECAR_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/event.h"

/* The name that filters and the configuration use, "file.open"; NULL: there is no such type. */
const char *moat_event_name(uint16_t type);

/* The type of a name; MOAT_EVENT_NONE: there is none. */
uint16_t moat_event_type_of(const char *name);

/* True if the record is whole: its size, type and inner lengths agree. For what reads records from
 * elsewhere than the kernel, too. */
bool moat_event_is_sound(const struct moat_event *event, uint32_t size);

/* The act that the record tells of; NULL: its type has none (starts and ends of processes). */
const struct moat_call *moat_event_call(const struct moat_event *event);

#endif
