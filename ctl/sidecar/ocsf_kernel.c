/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Kernel Activity, class 1003, and Module Activity, class 1005. */
#include <stdlib.h>

#include "ctl/sidecar/ocsf_parts.h"
#include "ctl/sidecar/record.h"
#include "ctl/sidecar/syscalls.h"
#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"
#include "moat/event_kernel.h"

enum {
	CLASS_KERNEL = 1003,
	CLASS_MODULE = 1005,
	ACTIVITY_INVOKE = 4,
	ACTIVITY_LOAD = 1,
	ACTIVITY_UNLOAD = 2,
	KERNEL_SYSTEM_CALL = 2,
	LOAD_STANDARD = 1,
};

/* Names of call.values, by type; NULL ends them. */
static const char *const *value_names(uint16_t type)
{
	static const char *const names[][MOAT_CALL_VALUES + 1] = {
		[MOAT_EVENT_KERNEL_BPF - MOAT_EVENT_KERNEL_FIRST] = { "command", "size" },
		[MOAT_EVENT_KERNEL_MODULE - MOAT_EVENT_KERNEL_FIRST] = { "flags" },
		[MOAT_EVENT_KERNEL_UNLOAD - MOAT_EVENT_KERNEL_FIRST] = { "flags" },
		[MOAT_EVENT_KERNEL_PERF -
			MOAT_EVENT_KERNEL_FIRST] = { "type", "config", "pid", "of_cpu" },
		[MOAT_EVENT_KERNEL_USERFAULTFD - MOAT_EVENT_KERNEL_FIRST] = { "flags" },
		[MOAT_EVENT_KERNEL_IO_URING - MOAT_EVENT_KERNEL_FIRST] = { "entries", "flags" },
		[MOAT_EVENT_KERNEL_KEY - MOAT_EVENT_KERNEL_FIRST] = { "operation" },
		[MOAT_EVENT_KERNEL_KEXEC - MOAT_EVENT_KERNEL_FIRST] = { "segments", "flags" },
		[MOAT_EVENT_KERNEL_UNSHARE - MOAT_EVENT_KERNEL_FIRST] = { "flags" },
		[MOAT_EVENT_KERNEL_SETNS - MOAT_EVENT_KERNEL_FIRST] = { "fd", "flags" },
		[MOAT_EVENT_KERNEL_CHROOT - MOAT_EVENT_KERNEL_FIRST] = { NULL },
	};

	return names[type - MOAT_EVENT_KERNEL_FIRST];
}

static json_t *module_event(const struct moat_ocsf_context *context,
			    const struct moat_ocsf_event *told, const char *text)
{
	bool loads = told->event->type == MOAT_EVENT_KERNEL_MODULE;
	json_t *object = moat_ocsf_base(context, told, CLASS_MODULE,
					loads ? ACTIVITY_LOAD : ACTIVITY_UNLOAD);
	json_t *module = json_pack("{s:i}", "load_type_id", LOAD_STANDARD);

	/* the kernel finds a module's name in its file; the call has only its parameters */
	if (loads)
		moat_ocsf_note(object, "parameters", json_string(text));
	else
		moat_ocsf_add(module, "function_name", json_string(text));
	moat_ocsf_add(object, "module", module);
	return object;
}

static json_t *call_event(const struct moat_ocsf_context *context,
			  const struct moat_ocsf_event *told, const char *text)
{
	const struct moat_event_kernel *event = (const struct moat_event_kernel *)told->event;
	json_t *object = moat_ocsf_base(context, told, CLASS_KERNEL, ACTIVITY_INVOKE);
	moat_auto_free char *name = moat_syscalls_name(event->call.number, event->call.abi);
	json_t *kernel = json_pack("{s:s, s:i}", "name",
				   name ? name : moat_event_name(told->event->type), "type_id",
				   KERNEL_SYSTEM_CALL);

	if (event->text_len)
		moat_ocsf_add(kernel, "path", json_string(text));
	if (name)
		moat_ocsf_add(kernel, "system_call", json_string(name));
	moat_ocsf_add(object, "kernel", kernel);
	return object;
}

json_t *moat_ocsf_kernel_event(const struct moat_ocsf_context *context,
			       const struct moat_ocsf_event *told)
{
	const struct moat_event_kernel *event = (const struct moat_event_kernel *)told->event;
	uint16_t type = told->event->type;
	moat_auto_free char *text = moat_text_clean(event->text,
						    event->text_len ? event->text_len - 1U : 0);
	const char *const *names = value_names(type);
	json_t *object;

	if (!text)
		return NULL;
	if (type == MOAT_EVENT_KERNEL_MODULE || type == MOAT_EVENT_KERNEL_UNLOAD)
		object = module_event(context, told, text);
	else
		object = call_event(context, told, text);
	for (size_t i = 0; i < MOAT_CALL_VALUES && names[i]; i++)
		moat_ocsf_note(object, names[i], json_integer((json_int_t)event->call.values[i]));
	return object;
}
