/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Containers on the control socket: listed, limited, cut off and let go on. */
#include <errno.h>
#include <string.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"

static json_t *counter(const struct moat_counter *value)
{
	return json_pack("{s:I,s:I}", "packets", (json_int_t)value->packets, "bytes",
			 (json_int_t)value->bytes);
}

static json_t *reasons_of(const struct moat_egress_counters *counters)
{
	static const char *const names[MOAT_EGRESS_REASONS] = {
		[MOAT_EGRESS_PASS] = "pass",
		[MOAT_EGRESS_DROP_CUT] = "drop_cut",
		[MOAT_EGRESS_DROP_DESTINATION] = "drop_destination",
		[MOAT_EGRESS_DROP_PACKETS] = "drop_packets",
		[MOAT_EGRESS_DROP_BYTES] = "drop_bytes",
	};
	json_t *reasons = json_object();

	for (int i = 0; i < MOAT_EGRESS_REASONS; i++)
		json_object_set_new(reasons, names[i], counter(&counters->reasons[i]));
	return reasons;
}

/* A packet between its "in" and its reason is a difference that the next look hasn't. */
static bool is_balanced(const struct moat_egress_counters *counters)
{
	uint64_t packets = 0, bytes = 0;

	for (int i = 0; i < MOAT_EGRESS_REASONS; i++) {
		packets += counters->reasons[i].packets;
		bytes += counters->reasons[i].bytes;
	}
	return packets == counters->in.packets && bytes == counters->in.bytes;
}

static void add_prefix(void *userdata, const struct moat_prefix *prefix)
{
	char text[MOAT_PREFIX_TEXT_LEN];

	json_array_append_new(userdata, json_string(moat_prefix_format(prefix, text)));
}

static json_t *container_of(const struct moat_egress *egress, uint32_t slot)
{
	static const char *const cuts[] = { "none", "destinations", "all" };
	struct moat_egress_info info;
	json_t *container, *to = json_array();

	for (int look = 0; look < 32; look++) {
		if (!moat_egress_info(egress, slot, &info)) {
			json_decref(to);
			return NULL;
		}
		if (is_balanced(&info.counters))
			break;
	}
	moat_egress_cuts(egress, slot, add_prefix, to);
	container = json_pack("{s:s,s:i,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:b}", "name", info.name,
			      "ifindex", info.ifindex, "sent", counter(&info.counters.in), "reasons",
			      reasons_of(&info.counters), "frames", (json_int_t)info.counters.frames,
			      "syn", (json_int_t)info.counters.syn, "udp",
			      (json_int_t)info.counters.udp, "icmp", (json_int_t)info.counters.icmp,
			      "unread", (json_int_t)info.counters.unread, "balanced",
			      is_balanced(&info.counters));
	if (!container) {
		json_decref(to);
		return NULL;
	}
	json_object_set_new(container, "limit",
			    json_pack("{s:I,s:I,s:b}", "packets", (json_int_t)info.packets_rate,
				      "bytes", (json_int_t)info.bytes_rate, "by_operator",
				      info.by_operator));
	json_object_set_new(container, "cut",
			    json_pack("{s:s,s:b,s:o}", "from", cuts[info.cut], "xdp", info.xdp,
				      "to", to));
	return container;
}

static int do_list(struct moat_appliance *appliance, json_t **ret_result)
{
	json_t *list = json_array();

	for (uint32_t i = 0; appliance->egress && i < MOAT_EGRESS_SLOTS; i++) {
		json_t *container = container_of(appliance->egress, i);

		if (container)
			json_array_append_new(list, container);
	}
	*ret_result = json_pack("{s:o}", "containers", list);
	return *ret_result ? 0 : -ENOMEM;
}

static void tell(struct moat_appliance *appliance, const char *change, const char *name)
{
	struct moat_event_context context = moat_appliance_context(appliance);

	moat_log(MOAT_LOG_INFO, "container %s: %s", name, change);
	moat_appliance_emit(appliance,
			    moat_event_moatd(&context, change, json_pack("{s:s}", "port", name)));
}

/* The rates that a call gives; one that it leaves out stays. */
static int do_limit(struct moat_appliance *appliance, const char *name, const json_t *params,
		    struct moat_error *error)
{
	json_t *packets = json_object_get(params, "packets"),
	       *bytes = json_object_get(params, "bytes");
	struct moat_egress_info info;

	moat_egress_info(appliance->egress, moat_egress_find(appliance->egress, name), &info);
	if ((packets && !json_is_integer(packets)) || (bytes && !json_is_integer(bytes)) ||
	    json_integer_value(packets) < 0 || json_integer_value(bytes) < 0 || (!packets && !bytes))
		return moat_error_set(
			error, -EINVAL,
			"a limit is params.packets or params.bytes a second, 0 for none");
	if (packets)
		info.packets_rate = (uint64_t)json_integer_value(packets);
	if (bytes)
		info.bytes_rate = (uint64_t)json_integer_value(bytes);
	if (moat_egress_set_limit(appliance->egress, name, info.packets_rate, info.bytes_rate,
				  true) < 0)
		return moat_error_set(error, -ERANGE, "at most %u packets and %llu bytes a second",
				      UINT32_MAX, MOAT_EGRESS_RATE_MAX);
	tell(appliance, "egress_limited", name);
	return 0;
}

static int cut_to(struct moat_appliance *appliance, const char *name, const char *text,
		  struct moat_error *error)
{
	struct moat_prefix prefix;
	int r = moat_prefix_parse(text, &prefix);

	if (r < 0 || prefix.family == MOAT_FAMILY_ANY)
		return moat_error_set(error, -EINVAL, "\"%s\" is no prefix%s", text,
				      r == -EDOM ? ": bits are set behind it" : "");
	r = moat_egress_cut_to(appliance->egress, name, &prefix);
	if (r == -EALREADY)
		return moat_error_set(error, r, "%s is cut off from everything", name);
	if (r < 0)
		return moat_error_set(error, r, "cutting %s off from %s: %s", name, text,
				      strerror(-r));
	return 0;
}

/* From everything, or from each of params.to: those before a wrong one stand. */
static int do_cut(struct moat_appliance *appliance, const char *name, const json_t *params,
		  struct moat_error *error)
{
	const json_t *to = json_object_get(params, "to");
	bool xdp = false;
	int r = 0;
	size_t i;
	json_t *text;

	if (to && !json_is_array(to))
		return moat_error_set(error, -EINVAL, "params.to is a list of prefixes");
	if (json_array_size(to) == 0) {
		r = moat_egress_cut(appliance->egress, name, &xdp);
		if (r == 0 && !xdp)
			moat_log(MOAT_LOG_WARNING,
				 "container %s: its driver refuses XDP; the filter cuts alone",
				 name);
	}
	json_array_foreach(to, i, text) {
		if (r == 0)
			r = cut_to(appliance, name,
				   json_is_string(text) ? json_string_value(text) : "", error);
	}
	if (r == 0)
		tell(appliance, "egress_cut", name);
	return r;
}

int moat_appliance_egress(struct moat_appliance *appliance, struct moat_control_call *call,
			  json_t **ret_result, struct moat_error *error)
{
	const char *name = json_string_value(json_object_get(call->params, "name"));
	uint32_t slot = MOAT_EGRESS_SLOTS;
	int r;

	if (strcmp(call->method, "egress.list") == 0)
		return do_list(appliance, ret_result);
	if (!name)
		return moat_error_set(error, -EINVAL,
				      "params.name is missing: of a container's port");
	if (appliance->egress)
		slot = moat_egress_find(appliance->egress, name);
	if (slot == MOAT_EGRESS_SLOTS)
		return moat_error_set(error, -ENOENT,
				      "\"%s\" is no container's port (moat egress list shows them)",
				      name);
	if (strcmp(call->method, "egress.limit") == 0) {
		r = do_limit(appliance, name, call->params, error);
	} else if (strcmp(call->method, "egress.cut") == 0) {
		r = do_cut(appliance, name, call->params, error);
	} else {
		r = moat_egress_lift(appliance->egress, name);
		if (r < 0)
			return moat_error_set(error, r, "%s is not cut off", name);
		tell(appliance, "egress_released", name);
	}
	if (r < 0)
		return r;
	*ret_result = container_of(appliance->egress, slot);
	return *ret_result ? 0 : -ENOMEM;
}

json_t *moat_appliance_egress_status(const struct moat_appliance *appliance)
{
	struct moat_counter sent = { 0 }, passed = { 0 };
	json_int_t containers = 0, cut = 0, limited = 0;
	struct moat_egress_info info;

	for (uint32_t i = 0; i < MOAT_EGRESS_SLOTS; i++) {
		if (!moat_egress_info(appliance->egress, i, &info))
			continue;
		containers++;
		cut += info.cut != MOAT_EGRESS_CUT_NONE;
		limited += info.packets_rate || info.bytes_rate;
		sent.packets += info.counters.in.packets;
		sent.bytes += info.counters.in.bytes;
		passed.packets += info.counters.reasons[MOAT_EGRESS_PASS].packets;
		passed.bytes += info.counters.reasons[MOAT_EGRESS_PASS].bytes;
	}
	return json_pack("{s:I,s:I,s:I,s:o,s:o}", "containers", containers, "cut", cut, "limited",
			 limited, "sent", counter(&sent), "passed", counter(&passed));
}
