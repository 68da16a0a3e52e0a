/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See probes.h. The rings are made after loading (channel.h): an object can't name how many a machine needs. */
#include "ctl/sidecar/probes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sidecar/budget.h"
#include "ctl/sidecar/channel.h"
#include "ctl/sidecar/prove.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define LIST_BUFFER 4096

/* Programs that are always on. The last one tells of what is there when it is run. */
static const char *const always[] = { "process_fork", "process_exec", "process_exit",
				      "process_cgroup", "process_existing" };
#define EXISTING 4

struct moat_probes {
	struct moat_objects objects;
	struct moat_prover *prover;
	struct bpf_link *links[5]; /* of starts and ends, as in `always` */
	struct moat_channel *channel;
	moat_probes_fn handler;
	void *userdata;
	uint32_t cpus;
	uint64_t unsound; /* records that contradict themselves: none, or a bug */
};

static void on_record(void *userdata, const void *data, uint32_t size)
{
	struct moat_probes *probes = userdata;

	if (!moat_event_is_sound(data, size)) {
		probes->unsound++;
		return;
	}
	moat_prover_see(probes->prover, data);
	probes->handler(probes->userdata, data, size);
}

/* ---- loading ------------------------------------------------------------------------------------ */

/* Whether the exit tracepoint says that the whole group is dead: its last argument since 6.17. */
static bool exit_says_group_dead(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *type;
	bool says = false;
	int id;

	if (!btf)
		return false;
	id = btf__find_by_name_kind(btf, "btf_trace_sched_process_exit", BTF_KIND_TYPEDEF);
	if (id > 0) {
		type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type); /* pointer */
		type = btf__type_by_id(btf, type->type); /* function; its first argument is void * */
		says = btf_vlen(type) >= 3;
	}
	btf__free(btf);
	return says;
}

/* Records a window that make so many a second. */
static uint32_t per_window(uint64_t rate)
{
	uint64_t most = (rate << MOAT_BUDGET_WINDOW_SHIFT) / MOAT_NS_PER_S;

	return rate == 0 || most > 0 ? (uint32_t)most : 1;
}

static int load(struct moat_probes *probes, uint32_t ring_bytes,
		const struct moat_probes_options *asked, struct moat_error *error)
{
	const struct moat_objects_constant constants[] = {
		{ "shard_mask", moat_channel_shards(probes->cpus) - 1 },
		{ "wakeup_bytes", moat_channel_wakeup(ring_bytes) },
		{ "budget_process", per_window(asked->budget_process) },
		{ "budget_other", per_window(asked->budget_other) },
		{ "budget_exempt", (uint64_t)getpid() },
		{ "exit_says_group_dead", exit_says_group_dead() },
	};
	const struct moat_objects_options options = {
		.constants = constants,
		.constant_count = MOAT_ARRAY_SIZE(constants),
		.cpus = probes->cpus,
		.cgroups = asked->cgroups ? asked->cgroups : MOAT_BUDGET_CGROUPS_DEFAULT,
	};

	return moat_objects_load(&options, &probes->objects, error);
}

static int open_channel(struct moat_probes *probes, uint32_t ring_bytes)
{
	const struct moat_channel_options options = {
		.rings_fd = moat_objects_map(&probes->objects, "rings"),
		.counters_fd = moat_objects_map(&probes->objects, "event_counters"),
		.ring_bytes = ring_bytes,
		.cpus = probes->cpus,
	};

	return moat_channel_new(&options, on_record, probes, &probes->channel);
}

static int attach(struct moat_probes *probes)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(always); i++) {
		struct bpf_program *program = moat_objects_program(&probes->objects, always[i]);

		probes->links[i] = program ? bpf_program__attach(program) : NULL;
		if (!probes->links[i])
			return program ? -errno : -ENOENT;
	}
	return 0;
}

int moat_probes_new(const struct moat_probes_options *options, moat_probes_fn handler,
		    void *userdata, struct moat_probes **ret_probes, struct moat_error *error)
{
	moat_cleanup(moat_probes_free_cleanup) struct moat_probes *probes = NULL;
	uint32_t bytes = options->ring_bytes ? options->ring_bytes : MOAT_CHANNEL_RING_DEFAULT;
	struct moat_event_set events;
	int cpus = libbpf_num_possible_cpus(), r;

	if (bytes < MOAT_CHANNEL_RING_MIN || bytes > MOAT_CHANNEL_RING_MAX || (bytes & (bytes - 1)))
		return moat_error_set(error, -EINVAL,
				      "a ring of %u bytes: a power of two from %u to %u is needed",
				      bytes, MOAT_CHANNEL_RING_MIN, MOAT_CHANNEL_RING_MAX);
	if (cpus < 0)
		return moat_error_set(error, cpus, "number of CPUs: %s", strerror(-cpus));
	probes = calloc(1, sizeof(*probes));
	if (!probes)
		return -ENOMEM;
	probes->handler = handler;
	probes->userdata = userdata;
	probes->cpus = (uint32_t)cpus;
	r = load(probes, bytes, options, error);
	if (r < 0)
		return r;
	r = open_channel(probes, bytes);
	if (r < 0)
		return moat_error_set(error, r, "the rings of the probes: %s", strerror(-r));
	if (options->events)
		events = *options->events;
	else
		moat_event_set_default(&events);
	r = moat_prover_new(&probes->objects, &events, &probes->prover);
	if (r == 0)
		r = attach(probes);
	if (r < 0)
		return moat_error_set(error, r, "attaching the probes: %s", strerror(-r));
	*ret_probes = moat_take_ptr(probes);
	return 0;
}

void moat_probes_free(struct moat_probes *probes)
{
	if (!probes)
		return;
	moat_probes_detach(probes);
	moat_prover_free(probes->prover);
	moat_channel_free(probes->channel);
	moat_objects_unload(&probes->objects);
	free(probes);
}

void moat_probes_free_cleanup(struct moat_probes **probes)
{
	moat_probes_free(*probes);
}

/* ---- reading ------------------------------------------------------------------------------------ */

int moat_probes_list(struct moat_probes *probes, struct moat_error *error)
{
	struct bpf_link *link = probes->links[EXISTING];
	moat_auto_close int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -ENOENT;
	char nothing[LIST_BUFFER];
	ssize_t length;

	if (fd < 0)
		return moat_error_set(error, fd, "listing processes: %s", strerror(-fd));
	/* the program writes no text; reading makes it run. Rings are emptied between its rounds. */
	while ((length = read(fd, nothing, sizeof(nothing))) > 0)
		;
	if (length < 0)
		return moat_error_set(error, -errno, "listing processes: %s", strerror(errno));
	return 0;
}

int moat_probes_fd(const struct moat_probes *probes)
{
	return moat_channel_fd(probes->channel);
}

int moat_probes_poll(struct moat_probes *probes)
{
	return moat_channel_poll(probes->channel);
}

void moat_probes_detach(struct moat_probes *probes)
{
	if (probes->prover)
		moat_prover_detach(probes->prover);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(probes->links); i++) {
		bpf_link__destroy(probes->links[i]);
		probes->links[i] = NULL;
	}
}

uint32_t moat_probes_cpus(const struct moat_probes *probes)
{
	return probes->cpus;
}

void moat_probes_counters(const struct moat_probes *probes, uint32_t cpu,
			  struct moat_event_counters *ret_counters)
{
	moat_channel_counters(probes->channel, cpu, ret_counters);
}

int moat_probes_map(const struct moat_probes *probes, const char *name)
{
	return moat_objects_map(&probes->objects, name);
}

/* ---- listings ----------------------------------------------------------------------------------- */

const struct moat_objects_refused *moat_probes_refused(const struct moat_probes *probes,
						       uint32_t *ret_count)
{
	*ret_count = probes->objects.refused_count;
	if (*ret_count > MOAT_OBJECTS_REFUSED_MAX)
		*ret_count = MOAT_OBJECTS_REFUSED_MAX;
	return probes->objects.refused;
}

uint64_t moat_probes_unsound(const struct moat_probes *probes)
{
	return probes->unsound;
}

/* The loaded program of that index; NULL: there are fewer. */
static struct bpf_program *program_at(const struct moat_probes *probes, uint32_t index)
{
	struct bpf_program *program;

	for (uint32_t i = 0; i < probes->objects.count; i++) {
		if (!probes->objects.objects[i])
			continue;
		bpf_object__for_each_program(program, probes->objects.objects[i]) {
			if (bpf_program__fd(program) >= 0 && index-- == 0)
				return program;
		}
	}
	return NULL;
}

uint32_t moat_probes_count(const struct moat_probes *probes)
{
	uint32_t count = 0;

	while (program_at(probes, count))
		count++;
	return count;
}

int moat_probes_info(const struct moat_probes *probes, uint32_t index,
		     struct moat_probe_info *ret_info)
{
	struct bpf_program *program = program_at(probes, index);
	struct bpf_prog_info info = { 0 };
	uint32_t length = sizeof(info);
	int r;

	if (!program)
		return -ENOENT;
	r = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length);
	if (r < 0)
		return r;
	*ret_info = (struct moat_probe_info){
		.name = bpf_program__name(program),
		.means = bpf_program__section_name(program),
		.runs = info.run_cnt,
		.missed = info.recursion_misses,
	};
	return 0;
}

static void poll_all(void *userdata)
{
	moat_probes_poll(userdata);
}

int moat_probes_prove(struct moat_probes *probes, struct moat_error *error)
{
	return moat_prover_run(probes->prover, poll_all, probes, error);
}

const struct moat_candidate *moat_probes_chosen(const struct moat_probes *probes, uint32_t index,
						bool *ret_is_on)
{
	return moat_prover_chosen(probes->prover, index, ret_is_on);
}

bool moat_probes_is_own(const struct moat_probes *probes, const struct moat_event *event)
{
	return moat_event_call(event) && moat_prover_is_own(probes->prover, event);
}
