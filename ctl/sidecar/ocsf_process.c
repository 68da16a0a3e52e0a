/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Process Activity, class 1007: starts and ends, and what a process does to others or to its own rights. */
#include "ctl/sidecar/ocsf_parts.h"
#include "dataplane/base/cleanup.h"

enum {
	CLASS_PROCESS = 1007,
	ACTIVITY_LAUNCH = 1,
	ACTIVITY_TERMINATE = 2,
	ACTIVITY_OPEN = 3,
	ACTIVITY_INJECT = 4,
	ACTIVITY_SET_USER = 5,
};

/* Who acts: the parent starts a program, a process ends itself. */
static json_t *start_or_end(const struct moat_ocsf_context *context,
			    const struct moat_ocsf_event *told)
{
	const struct moat_event_exit *end = (const struct moat_event_exit *)told->event;
	bool starts = told->event->type == MOAT_EVENT_EXEC;
	json_t *object, *process, *actor;

	if (!told->process)
		return NULL;
	object = moat_ocsf_base(context, told, CLASS_PROCESS,
				starts ? ACTIVITY_LAUNCH : ACTIVITY_TERMINATE);
	/* the base tells of all that is known of the process, as the actor */
	actor = json_object_get(object, "actor");
	process = json_incref(json_object_get(actor, "process"));
	moat_ocsf_add(actor, "process",
		      moat_ocsf_process(context,
					starts && told->parent ? told->parent : told->process));
	moat_ocsf_add(object, "process", process);
	if (!starts)
		moat_ocsf_add(object, "exit_code",
			      json_integer(end->signal ? 128 + (json_int_t)end->signal : end->code));
	return object;
}

static int activity_of(const struct moat_event_act *act)
{
	switch (act->head.type) {
	case MOAT_EVENT_SETID:
		return ACTIVITY_SET_USER;
	case MOAT_EVENT_MEMORY:
		return act->call.values[0] ? ACTIVITY_INJECT : ACTIVITY_OPEN;
	case MOAT_EVENT_PTRACE:
		return ACTIVITY_OPEN;
	default:
		return MOAT_OCSF_ACTIVITY_OTHER;
	}
}

static json_t *unknown_target(const struct moat_ocsf_context *context,
			      const struct moat_event_act *act)
{
	char uid[MOAT_OCSF_UID_LEN];

	if (act->target.tgid)
		return json_pack("{s:I, s:s}", "pid", (json_int_t)act->target.tgid, "uid",
				 moat_ocsf_uid(context, &act->target, uid));
	/* as the actor's namespace has it */
	return json_pack("{s:I}", "pid", (json_int_t)act->target_pid);
}

static void note_values(json_t *object, const struct moat_event_act *act)
{
	const struct moat_call *call = &act->call;

	if (!act->target.tgid && act->target_pid)
		moat_ocsf_note(object, "target_pid_ns", json_integer(act->head.task.pid_ns));

	switch (act->head.type) {
	case MOAT_EVENT_SETID:
		/* as given: -1 leaves an id as it is */
		moat_ocsf_note(object, "ids",
			       json_pack("[i, i, i]", (int)call->values[0], (int)call->values[1],
					 (int)call->values[2]));
		break;
	case MOAT_EVENT_CAPSET:
		moat_ocsf_note(object, "capabilities",
			       json_pack("{s:I, s:I, s:I}", "effective", (json_int_t)call->values[0],
					 "permitted", (json_int_t)call->values[1], "inheritable",
					 (json_int_t)call->values[2]));
		break;
	case MOAT_EVENT_PTRACE:
		moat_ocsf_note(object, "request", json_integer((json_int_t)call->values[0]));
		break;
	case MOAT_EVENT_SIGNAL:
		moat_ocsf_note(object, "signal", json_integer((json_int_t)call->values[0]));
		break;
	default:
		break;
	}
}

static json_t *act_event(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told)
{
	const struct moat_event_act *act = (const struct moat_event_act *)told->event;
	int activity = activity_of(act);
	json_t *object = moat_ocsf_base(context, told, CLASS_PROCESS, activity), *process;

	if (told->target)
		process = moat_ocsf_process(context, told->target);
	else if (act->target.tgid || act->target_pid)
		process = unknown_target(context, act);
	else /* on itself */
		process = json_incref(json_object_get(json_object_get(object, "actor"), "process"));
	moat_ocsf_add(object, "process", process);
	if (activity == MOAT_OCSF_ACTIVITY_OTHER)
		moat_ocsf_add(object, "activity_name",
			      json_string(told->event->type == MOAT_EVENT_SIGNAL
						  ? "Signal"
						  : "Set Capabilities"));
	note_values(object, act);
	return object;
}

json_t *moat_ocsf_process_event(const struct moat_ocsf_context *context,
				const struct moat_ocsf_event *told)
{
	switch (told->event->type) {
	case MOAT_EVENT_EXISTING:
	case MOAT_EVENT_FORK:
	case MOAT_EVENT_CGROUP:
		return NULL;
	case MOAT_EVENT_EXEC:
	case MOAT_EVENT_EXIT:
		return start_or_end(context, told);
	default:
		return act_event(context, told);
	}
}
