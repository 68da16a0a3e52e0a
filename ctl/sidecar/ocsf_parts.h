/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the writers of the classes share. */
#ifndef MOAT_CTL_SIDECAR_OCSF_PARTS_H
#define MOAT_CTL_SIDECAR_OCSF_PARTS_H

#include <stdint.h>

#include <jansson.h>

#include "ctl/sidecar/ocsf.h"

#define MOAT_OCSF_ACTIVITY_OTHER 99

/* Sets a member; the value is taken over, and NULL (none, or no memory) is left out. */
void moat_ocsf_add(json_t *object, const char *name, json_t *value);

/* Sets a member of `unmapped`, for what OCSF has no name for. */
void moat_ocsf_note(json_t *object, const char *name, json_t *value);

/* Milliseconds since the epoch, as OCSF counts. */
json_t *moat_ocsf_time(uint64_t ns);

/* The object `process`, of what is known. */
json_t *moat_ocsf_process(const struct moat_ocsf_context *context,
			  const struct moat_process_record *record);

/* What an event of any class has: class, activity, time, actor, status. */
json_t *moat_ocsf_base(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told,
		       int class, int activity);

/* One a family. NULL: nothing to tell, or no memory. */
json_t *moat_ocsf_process_event(const struct moat_ocsf_context *context,
				const struct moat_ocsf_event *told);
json_t *moat_ocsf_file_event(const struct moat_ocsf_context *context,
			     const struct moat_ocsf_event *told);
json_t *moat_ocsf_net_event(const struct moat_ocsf_context *context,
			    const struct moat_ocsf_event *told);
json_t *moat_ocsf_kernel_event(const struct moat_ocsf_context *context,
			       const struct moat_ocsf_event *told);
json_t *moat_ocsf_channel_event(const struct moat_ocsf_context *context,
				const struct moat_ocsf_event *told);

#endif
