/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See probes.h. The rings are made here, since an object can't name how many a machine needs. */
#include "ctl/sidecar/probes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctl/sidecar/objects.h"
#include "ctl/sidecar/prove.h"
#include "dataplane/base/cleanup.h"

#define RING_BYTES_DEFAULT (1u << 20)
#define RING_BYTES_MIN (1u << 16)
#define RING_BYTES_MAX (1u << 26)
/* bpf/lib/emit.h */
#define LANES 2
#define SHARDS_MAX 32
/* CPUs that share a ring: a ring's lock is taken by all that write to it. */
#define CPUS_PER_SHARD 4
#define LIST_BUFFER 4096

/* Programs that are always on. The last one tells of what is there when it is run. */
static const char *const always[] = { "process_fork", "process_exec", "process_exit",
				      "process_existing" };
#define EXISTING 3

struct moat_probes {
	struct moat_objects objects;
	struct moat_prover *prover;
	struct bpf_link *links[4]; /* of starts and ends, as in `always` */
	struct ring_buffer *reader;
	moat_probes_fn handler;
	void *userdata;
	uint32_t cpus;
	uint32_t shards;
	const struct moat_event_counters *counters; /* mapped, an element a CPU */
	size_t counters_length;
	uint64_t unsound; /* records that contradict themselves: none, or a bug */
};

static int on_record(void *userdata, void *data, size_t size)
{
	struct moat_probes *probes = userdata;

	if (!moat_event_is_sound(data, (uint32_t)size)) {
		probes->unsound++;
		return 0;
	}
	moat_prover_see(probes->prover, data);
	probes->handler(probes->userdata, data, (uint32_t)size);
	return 0;
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

/* A power of two of rings a lane, each for a few CPUs. */
static uint32_t shards_for(uint32_t cpus)
{
	uint32_t shards = 1;

	while (shards < SHARDS_MAX && shards * CPUS_PER_SHARD < cpus)
		shards *= 2;
	return shards;
}

/* Makes a ring and puts it into its place. */
static int add_ring(struct moat_probes *probes, uint32_t index, uint32_t bytes)
{
	moat_auto_close int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "host_events", 0, 0, bytes,
						NULL);
	int rings = moat_objects_map(&probes->objects, "rings");
	int r;

	if (fd < 0)
		return fd;
	r = bpf_map_update_elem(rings, &index, &fd, BPF_ANY);
	if (r < 0)
		return r;
	if (!probes->reader) {
		probes->reader = ring_buffer__new(fd, on_record, probes, NULL);
		return probes->reader ? 0 : -errno;
	}
	return ring_buffer__add(probes->reader, fd, on_record, probes);
}

static int add_rings(struct moat_probes *probes, uint32_t bytes)
{
	int r = 0;

	for (uint32_t lane = 0; lane < LANES; lane++) {
		for (uint32_t shard = 0; r == 0 && shard < probes->shards; shard++)
			r = add_ring(probes, lane * SHARDS_MAX + shard, bytes);
	}
	return r;
}

static int map_counters(struct moat_probes *probes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory;

	probes->counters_length = (probes->cpus * sizeof(*probes->counters) + page - 1) &
				  ~(page - 1);
	memory = mmap(NULL, probes->counters_length, PROT_READ, MAP_SHARED,
		      moat_objects_map(&probes->objects, "event_counters"), 0);
	if (memory == MAP_FAILED)
		return -errno;
	probes->counters = memory;
	return 0;
}

static int load(struct moat_probes *probes, struct moat_error *error)
{
	const struct moat_objects_constant constants[] = {
		{ "shard_mask", probes->shards - 1 },
		{ "exit_says_group_dead", exit_says_group_dead() },
	};
	const struct moat_objects_options options = {
		.constants = constants,
		.constant_count = MOAT_ARRAY_SIZE(constants),
		.cpus = probes->cpus,
	};

	return moat_objects_load(&options, &probes->objects, error);
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
	uint32_t bytes = options->ring_bytes ? options->ring_bytes : RING_BYTES_DEFAULT;
	struct moat_event_set events;
	int cpus = libbpf_num_possible_cpus(), r;

	if (bytes < RING_BYTES_MIN || bytes > RING_BYTES_MAX || (bytes & (bytes - 1)))
		return moat_error_set(error, -EINVAL,
				      "a ring of %u bytes: a power of two from %u to %u is needed",
				      bytes, RING_BYTES_MIN, RING_BYTES_MAX);
	if (cpus < 0)
		return moat_error_set(error, cpus, "number of CPUs: %s", strerror(-cpus));
	probes = calloc(1, sizeof(*probes));
	if (!probes)
		return -ENOMEM;
	probes->handler = handler;
	probes->userdata = userdata;
	probes->cpus = (uint32_t)cpus;
	probes->shards = shards_for(probes->cpus);
	r = load(probes, error);
	if (r < 0)
		return r;
	r = add_rings(probes, bytes);
	if (r == 0)
		r = map_counters(probes);
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
	ring_buffer__free(probes->reader);
	if (probes->counters)
		munmap((void *)probes->counters, probes->counters_length);
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
	return ring_buffer__epoll_fd(probes->reader);
}

int moat_probes_poll(struct moat_probes *probes)
{
	return ring_buffer__consume(probes->reader);
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
	*ret_counters = *(const volatile struct moat_event_counters *)&probes->counters[cpu];
}

/* ---- listings ----------------------------------------------------------------------------------- */

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
