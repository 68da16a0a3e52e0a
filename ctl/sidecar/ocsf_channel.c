/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the channel itself tells: that a cgroup's budget held records back. */
#include "ctl/sidecar/ocsf_parts.h"
#include "ctl/sidecar/record.h"

#define CLASS_PROCESS 1007

json_t *moat_ocsf_channel_event(const struct moat_ocsf_context *context,
				const struct moat_ocsf_event *told)
{
	const struct moat_event_suppressed *event = (const struct moat_event_suppressed *)told->event;
	/* a process is required of the class: of nobody in particular */
	const struct moat_process_record nobody = { .task = event->head.task };
	const char *name = moat_event_name((uint16_t)event->of_type);
	json_t *object = moat_ocsf_base(context, told, CLASS_PROCESS, MOAT_OCSF_ACTIVITY_OTHER);

	moat_ocsf_add(object, "activity_name", json_string("Suppressed"));
	moat_ocsf_add(object, "count", json_integer((json_int_t)event->count));
	moat_ocsf_add(object, "process", moat_ocsf_process(context, &nobody));
	moat_ocsf_note(object, "cgroup_id", json_integer((json_int_t)event->head.task.cgroup_id));
	moat_ocsf_note(object, "suppressed", json_string(name ? name : "?"));
	return object;
}
