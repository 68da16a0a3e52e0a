/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See sidecar.h. */
#include "ctl/sidecar/sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/sidecar/budget.h"
#include "ctl/sidecar/container.h"
#include "ctl/sidecar/hook.h"
#include "ctl/sidecar/joiner.h"
#include "ctl/sidecar/merge.h"
#include "ctl/sidecar/metadata.h"
#include "ctl/sidecar/ocsf.h"
#include "ctl/sidecar/probes.h"
#include "ctl/sidecar/process.h"
#include "ctl/sidecar/record.h"
#include "ctl/sidecar/text.h"
#include "ctl/sidecar/uplink.h"
#include "ctl/sink.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

/* How often rings are looked at: with 50 wake-ups a second an idle host costs next to nothing, and an
 * event waits for the watermark longer than for this. */
#define POLL_US 20000
#define POLL_IDLE_US 50000 /* while nothing came and nothing waits */
#define POLL_ACCURACY_US 2000
#define QUEUE_DEFAULT 65536
#define PROCESSES_DEFAULT 65536

struct moat_sidecar {
	struct moat_probes *probes;
	struct moat_merge *merge;
	struct moat_budgets *budgets;
	uint64_t budgets_ns; /* when to look at them again */
	struct moat_processes *processes;
	struct moat_containers *containers;
	struct moat_metadata *metadata;
	struct moat_joiner *joiner;
	struct moat_hook *hook; /* NULL: none */
	struct moat_ocsf_context context;
	struct moat_uplink *link; /* NULL: not asked for */
	bool prints;
	struct moat_sink *sink; /* NULL: standard output, if it prints at all */
	sd_event_source *timer, *io;
	uint64_t canaries; /* records of own acts, made to prove the probes */
	uint64_t lines;
	uint64_t failed; /* lines that standard output refused, or that memory was too short for */
};

/* Steals the object. */
static void write_line(void *userdata, json_t *object)
{
	struct moat_sidecar *sidecar = userdata;
	moat_auto_free char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	sidecar->lines++;
	if (!line)
		sidecar->failed++;
	else if (sidecar->sink)
		moat_sink_write(sidecar->sink, line); /* counts what it loses */
	else if (puts(line) < 0 || fflush(stdout) != 0)
		sidecar->failed++;
}

/* Looks up a cgroup, and its container in time: either may be gone soon. */
static const struct moat_container *see_container(struct moat_sidecar *sidecar, uint64_t cgroup_id)
{
	const struct moat_container *found = moat_containers_find(sidecar->containers, cgroup_id);

	if (found->id[0])
		moat_metadata_see(sidecar->metadata, found, moat_clock_monotonic_ns());
	return found;
}

/* In order of time. */
static void on_event(void *userdata, const struct moat_event *event, bool late)
{
	struct moat_sidecar *sidecar = userdata;
	struct moat_ocsf_event told = { .event = event, .late = late };

	if (moat_probes_is_own(sidecar->probes, event)) {
		sidecar->canaries++;
		return;
	}
	if (event->type == MOAT_EVENT_EXISTING || event->type == MOAT_EVENT_CGROUP ||
	    moat_processes_update(sidecar->processes, event) != 0)
		return; /* taken in already; said twice; or no memory for it */
	told.container = see_container(sidecar, event->task.cgroup_id);
	if (sidecar->link)
		moat_uplink_event(sidecar->link, event, late, told.container);
	if (!sidecar->prints || event->type == MOAT_EVENT_FORK)
		return;
	moat_ocsf_find(sidecar->processes, &told);
	moat_joiner_event(sidecar->joiner, moat_ocsf_event(&sidecar->context, &told),
			  told.container->id, event->time_ns);
}

/* Not through the merge: it is of no CPU, and of the time it is told. */
static void on_suppressed(void *userdata, const struct moat_event *event)
{
	on_event(userdata, event, false);
}

static void on_facts(void *userdata, const char *id, json_t *facts)
{
	struct moat_sidecar *sidecar = userdata;

	moat_joiner_facts(sidecar->joiner, id, facts);
	if (sidecar->link)
		moat_uplink_facts(sidecar->link, id, facts);
}

static bool identify(void *userdata, const char *path, struct moat_container *container)
{
	struct moat_sidecar *sidecar = userdata;

	return moat_metadata_identify(sidecar->metadata, path, container);
}

/* A runtime tells of a container: its process, waiting for the hook's end, is in its cgroup already. */
static int on_hook(void *userdata, const char *state, size_t length)
{
	struct moat_sidecar *sidecar = userdata;
	char id[MOAT_CONTAINER_ID_LEN];
	uint32_t pid = 0;
	int r = moat_metadata_hook(sidecar->metadata, state, length, id, &pid);

	if (r == 0 && pid)
		moat_containers_learn(sidecar->containers, pid, id);
	return r;
}

static void on_record(void *userdata, const struct moat_event *event, uint32_t size)
{
	struct moat_sidecar *sidecar = userdata;

	/* at once, since /proc has its arguments only while it lives */
	if (event->type == MOAT_EVENT_EXISTING)
		moat_processes_update(sidecar->processes, event);
	if (event->type == MOAT_EVENT_CGROUP) {
		const struct moat_event_cgroup *made = (const struct moat_event_cgroup *)event;

		if (made->path_len > 0 && made->path_len < sizeof(made->path))
			moat_containers_made(sidecar->containers, made);
	}
	see_container(sidecar, event->task.cgroup_id);
	moat_merge_add(sidecar->merge, event);
}

/* True if something came, or waits. */
static bool poll_probes(struct moat_sidecar *sidecar)
{
	int count;
	/* the time from before the rings were read: what they held then is in the merge now */
	uint64_t now = moat_clock_monotonic_ns();

	count = moat_probes_poll(sidecar->probes);
	moat_merge_advance(sidecar->merge, now);
	if (now >= sidecar->budgets_ns) {
		moat_budgets_poll(sidecar->budgets, now);
		sidecar->budgets_ns = now + MOAT_NS_PER_S;
	}
	moat_metadata_advance(sidecar->metadata, now);
	moat_joiner_advance(sidecar->joiner, now);
	if (sidecar->hook)
		moat_hook_advance(sidecar->hook, now);
	if (sidecar->link)
		moat_uplink_flush(sidecar->link);
	return count > 0 || moat_merge_waiting(sidecar->merge) > 0;
}

static int on_timer(sd_event_source *source, uint64_t now_us, void *userdata)
{
	bool busy = poll_probes(userdata);

	return sd_event_source_set_time(source, now_us + (busy ? POLL_US : POLL_IDLE_US));
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	poll_probes(userdata);
	return 0;
}

static int start_loop(struct moat_sidecar *sidecar, sd_event *loop)
{
	uint64_t now;
	int r = sd_event_now(loop, CLOCK_MONOTONIC, &now);

	if (r >= 0)
		r = sd_event_add_time(loop, &sidecar->timer, CLOCK_MONOTONIC, now + POLL_US,
				      POLL_ACCURACY_US, on_timer, sidecar);
	if (r >= 0)
		r = sd_event_source_set_enabled(sidecar->timer, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_add_io(loop, &sidecar->io, moat_probes_fd(sidecar->probes), EPOLLIN,
				    on_readable, sidecar);
	return r < 0 ? r : 0;
}

static int set_up(struct moat_sidecar *sidecar, sd_event *loop,
		  const struct moat_sidecar_options *options, struct moat_error *error)
{
	const struct moat_probes_options probes = {
		.ring_bytes = options->ring_bytes,
		.events = options->events,
		.budget_process = options->budget_process,
		.budget_other = options->budget_other,
		.cgroups = options->cgroups,
	};
	struct moat_merge_options merge = { 0 };
	int r = moat_ocsf_context_init(&sidecar->context);

	if (r == 0)
		r = moat_processes_new(options->processes ? options->processes : PROCESSES_DEFAULT,
				       &sidecar->processes);
	if (r < 0)
		return moat_error_set(error, r, "host table: %s", strerror(-r));
	r = moat_containers_new(&sidecar->containers);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		moat_log(MOAT_LOG_WARNING, "no cgroup hierarchy: containers won't be named");
	r = moat_metadata_new("", on_facts, sidecar, &sidecar->metadata);
	if (r == 0)
		r = moat_joiner_new(write_line, sidecar, &sidecar->joiner);
	if (r < 0)
		return r;
	moat_containers_ask(sidecar->containers, identify, sidecar);
	sidecar->prints = options->output != NULL;
	if (options->output && strcmp(options->output, "-") != 0) {
		r = moat_sink_new(options->output, options->queue ? options->queue : QUEUE_DEFAULT,
				  &sidecar->sink, error);
		if (r < 0)
			return r;
	}
	r = moat_probes_new(&probes, on_record, sidecar, &sidecar->probes, error);
	if (r < 0)
		return r;
	if (options->link)
		r = moat_uplink_new(loop, options->link, sidecar->processes, sidecar->containers,
				    sidecar->joiner, &sidecar->link);
	if (r < 0)
		return moat_error_set(error, r, "%s: %s", options->link, strerror(-r));
	merge.cpus = moat_probes_cpus(sidecar->probes);
	r = moat_merge_new(&merge, on_event, sidecar, &sidecar->merge);
	if (r == 0)
		r = moat_budgets_new(moat_probes_map(sidecar->probes, "event_budgets"),
				     on_suppressed, sidecar, &sidecar->budgets);
	if (r == 0)
		r = moat_probes_list(sidecar->probes, error);
	return r < 0 ? r : moat_probes_prove(sidecar->probes, error);
}

/* What this kernel doesn't let be seen. */
static void log_blind(const struct moat_sidecar *sidecar)
{
	uint32_t count;
	const struct moat_objects_refused *refused = moat_probes_refused(sidecar->probes, &count);
	bool on;

	for (uint32_t i = 0; i < count; i++)
		moat_log(MOAT_LOG_INFO, "the kernel refuses the probe %s: %s", refused[i].name,
			 refused[i].reason);
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		if (!moat_probes_chosen(sidecar->probes, i, &on) && on)
			moat_log(MOAT_LOG_WARNING, "%s isn't seen: no probe of it fires here",
				 moat_event_name(moat_observations[i].type));
	}
}

int moat_sidecar_new(sd_event *loop, const struct moat_sidecar_options *options,
		     struct moat_sidecar **ret_sidecar, struct moat_error *error)
{
	struct moat_sidecar *sidecar = calloc(1, sizeof(*sidecar));
	int r;

	if (!sidecar)
		return -ENOMEM;
	r = set_up(sidecar, loop, options, error);
	if (r == 0)
		r = start_loop(sidecar, loop);
	if (r == 0 && options->hook &&
	    moat_hook_new(loop, options->hook, on_hook, sidecar, &sidecar->hook, error) < 0)
		moat_log(MOAT_LOG_WARNING, "no socket for OCI hooks: %s", error->text);
	if (r < 0) {
		moat_sidecar_free(sidecar);
		return r;
	}
	log_blind(sidecar);
	*ret_sidecar = sidecar;
	return 0;
}

void moat_sidecar_stop(struct moat_sidecar *sidecar)
{
	sidecar->timer = sd_event_source_disable_unref(sidecar->timer);
	sidecar->io = sd_event_source_disable_unref(sidecar->io);
	if (!sidecar->merge)
		return; /* it never ran */
	moat_probes_detach(sidecar->probes);
	moat_probes_poll(sidecar->probes);
	moat_merge_advance(sidecar->merge, UINT64_MAX);
	if (sidecar->budgets)
		moat_budgets_poll(sidecar->budgets, moat_clock_monotonic_ns());
	moat_joiner_advance(sidecar->joiner, UINT64_MAX);
	if (sidecar->link)
		moat_uplink_flush(sidecar->link);
}

void moat_sidecar_free(struct moat_sidecar *sidecar)
{
	if (!sidecar)
		return;
	moat_sidecar_stop(sidecar);
	moat_hook_free(sidecar->hook);
	moat_joiner_free(sidecar->joiner);
	moat_metadata_free(sidecar->metadata);
	moat_probes_free(sidecar->probes);
	moat_merge_free(sidecar->merge);
	moat_budgets_free(sidecar->budgets);
	moat_uplink_free(sidecar->link);
	moat_processes_free(sidecar->processes);
	moat_containers_free(sidecar->containers);
	moat_sink_free(sidecar->sink);
	free(sidecar);
}

void moat_sidecar_reopen(struct moat_sidecar *sidecar)
{
	if (sidecar->sink)
		moat_sink_reopen(sidecar->sink);
}

const struct moat_probes *moat_sidecar_probes(const struct moat_sidecar *sidecar)
{
	return sidecar->probes;
}

/* ---- status ------------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *channel_status(const struct moat_sidecar *sidecar)
{
	struct moat_event_counters sum = { 0 }, one;
	struct moat_merge_counters merge;

	for (uint32_t cpu = 0; cpu < moat_probes_cpus(sidecar->probes); cpu++) {
		moat_probes_counters(sidecar->probes, cpu, &one);
		sum.sequence += one.sequence;
		sum.lost_ring += one.lost_ring;
		sum.lost_scratch += one.lost_scratch;
		sum.cut += one.cut;
		sum.unreadable += one.unreadable;
		sum.own += one.own;
	}
	moat_merge_counters(sidecar->merge, &merge);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tried",
			 number(sum.sequence), "lost_ring", number(sum.lost_ring), "lost_scratch",
			 number(sum.lost_scratch), "cut", number(sum.cut), "unreadable",
			 number(sum.unreadable), "received", number(merge.received), "handed",
			 number(merge.handed), "missing", number(merge.missing), "late",
			 number(merge.late), "early", number(merge.early), "own", number(sum.own),
			 "canaries", number(sidecar->canaries));
}

static json_t *budgets_status(const struct moat_sidecar *sidecar)
{
	struct moat_event_counters one;
	struct moat_budgets_counters budgets;
	uint64_t suppressed = 0, failed = 0;

	for (uint32_t cpu = 0; cpu < moat_probes_cpus(sidecar->probes); cpu++) {
		moat_probes_counters(sidecar->probes, cpu, &one);
		suppressed += one.suppressed;
		failed += one.failed_updates;
	}
	moat_budgets_counters(sidecar->budgets, &budgets);
	return json_pack("{s:o, s:o, s:o, s:o}", "cgroups", number(budgets.cgroups), "suppressed",
			 number(suppressed), "told", number(budgets.suppressed), "no_entry",
			 number(failed));
}

/* The kernel's words may be of any bytes. */
static json_t *clean_text(const char *text)
{
	moat_auto_free char *clean = moat_text_clean(text, strlen(text));

	return clean ? json_string(clean) : json_null();
}

/* Runs that the kernel left out, and of which programs; programs and families that it refused. */
static json_t *probes_status(const struct moat_sidecar *sidecar)
{
	json_t *programs = json_object(), *left_out = json_object();
	const struct moat_objects_refused *refused;
	uint32_t loaded = moat_probes_count(sidecar->probes), count;
	uint64_t missed = 0;

	for (uint32_t i = 0; i < loaded; i++) {
		struct moat_probe_info info;

		if (moat_probes_info(sidecar->probes, i, &info) < 0 || info.missed == 0)
			continue;
		missed += info.missed;
		json_object_set_new(programs, info.name, number(info.missed));
	}
	refused = moat_probes_refused(sidecar->probes, &count);
	for (uint32_t i = 0; i < count; i++)
		json_object_set_new(left_out, refused[i].name, clean_text(refused[i].reason));
	return json_pack("{s:i, s:o, s:o, s:o, s:o}", "loaded", (int)loaded, "missed",
			 number(missed), "by", programs, "unsound",
			 number(moat_probes_unsound(sidecar->probes)), "refused", left_out);
}

/* Events by the means that they go by. */
static json_t *observations_status(const struct moat_sidecar *sidecar)
{
	json_t *by = json_object();

	for (uint32_t i = 0; i < moat_observation_count; i++) {
		bool on;
		const struct moat_candidate *chosen = moat_probes_chosen(sidecar->probes, i, &on);
		const char *means = !on ? "off" : chosen ? moat_means_name(chosen->means) : "blind";

		if (!json_object_get(by, means))
			json_object_set_new(by, means, json_array());
		json_array_append_new(json_object_get(by, means),
				      json_string(moat_event_name(moat_observations[i].type)));
	}
	return by;
}

/* What each of those that are on doesn't see. */
static json_t *lost_status(const struct moat_sidecar *sidecar)
{
	json_t *lost = json_object();

	for (uint32_t i = 0; i < moat_observation_count; i++) {
		bool on;
		const struct moat_candidate *chosen = moat_probes_chosen(sidecar->probes, i, &on);
		const char *what = chosen ? chosen->lost : "everything";

		if (on && what[0])
			json_object_set_new(lost, moat_event_name(moat_observations[i].type),
					    json_string(what));
	}
	return lost;
}

static json_t *containers_status(const struct moat_sidecar *sidecar)
{
	struct moat_metadata_counters facts;
	struct moat_joiner_counters joined;
	struct moat_hook_counters hook = { 0 };

	moat_metadata_counters(sidecar->metadata, &facts);
	moat_joiner_counters(sidecar->joiner, &joined);
	if (sidecar->hook)
		moat_hook_counters(sidecar->hook, &hook);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "found",
			 number(facts.found), "unknown", number(facts.unknown), "late",
			 number(facts.late), "refused", number(facts.refused), "crowded",
			 number(facts.crowded), "events_waiting", number(joined.waiting),
			 "events_late", number(joined.late), "events_without",
			 number(joined.without), "events_pushed", number(joined.pushed), "hooks",
			 number(hook.states), "hooks_refused", number(hook.refused), "hooks_bad",
			 number(hook.bad));
}

static json_t *link_status(const struct moat_sidecar *sidecar)
{
	struct moat_uplink_counters link;

	if (!sidecar->link)
		return NULL;
	moat_uplink_counters(sidecar->link, &link);
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "connected", link.connected, "connects",
			 number(link.connects), "items", number(link.items), "acked",
			 number(link.acked), "lost", number(link.lost), "refused",
			 number(link.refused));
}

json_t *moat_sidecar_status(const struct moat_sidecar *sidecar)
{
	struct moat_processes_counters table;
	struct moat_sink_counters sink = { 0 };

	moat_processes_counters(sidecar->processes, &table);
	if (sidecar->sink)
		moat_sink_counters(sidecar->sink, &sink);
	else
		sink.written = sidecar->lines - sidecar->failed;
	return json_pack(
		"{s:o, s:{s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:o, "
		"s:o*}",
		"channel", channel_status(sidecar), "processes", "living", number(table.living),
		"ended", number(table.ended), "forgotten", number(table.forgotten), "unknown",
		number(table.unknown), "repeated", number(table.repeated), "lines", "made",
		number(sidecar->lines), "written", number(sink.written), "lost", number(sink.lost),
		"failed", number(sink.failed + sidecar->failed), "probes", probes_status(sidecar),
		"observations", observations_status(sidecar), "lost", lost_status(sidecar),
		"containers", containers_status(sidecar), "budgets", budgets_status(sidecar),
		"link", link_status(sidecar));
}
