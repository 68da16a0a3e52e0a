/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See events_run.h. */
#include "bench/events_run.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "bench/events.h"
#include "bench/events_link.h"
#include "bench_events.skel.h"
#include "ctl/sidecar/channel.h"
#include "ctl/sidecar/probes.h"
#include "ctl/sidecar/sidecar.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define POLL_US 20000 /* as moat-sidecar polls */
#define DRAIN_S 0.3
#define BUDGET 10000000

static const char path_given[EVENTS_PATH_LEN] =
	"/usr/local/lib/moat/benches/a-program-with-a-name-of-the-usual-length-of-programs/bin/run";

/* ---- producers ---------------------------------------------------------------------------------- */

enum {
	WAIT,
	GO,
	STOP
};

struct producers {
	pid_t pids[EVENTS_PRODUCERS];
	unsigned int count;
	_Atomic int *state; /* shared with them */
};

static void produce(const _Atomic int *state, unsigned int pause_us)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (*state == WAIT)
		usleep(500);
	while (*state == GO) {
		syscall(SYS_getppid);
		if (pause_us)
			usleep(pause_us);
	}
	_exit(0);
}

static int producers_start(struct producers *producers, const struct events_run *run)
{
	void *memory = mmap(NULL, sizeof(*producers->state), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	producers->state = memory;
	atomic_init(producers->state, WAIT);
	for (; producers->count < run->producers; producers->count++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (pid == 0)
			produce(producers->state, run->pause_us);
		producers->pids[producers->count] = pid;
	}
	return 0;
}

static void producers_stop(struct producers *producers)
{
	if (!producers->state)
		return;
	*producers->state = STOP;
	for (unsigned int i = 0; i < producers->count; i++)
		waitpid(producers->pids[i], NULL, 0);
	munmap(producers->state, sizeof(*producers->state));
	*producers = (struct producers){ .count = 0 };
}

/* ---- programs ----------------------------------------------------------------------------------- */

/* Loads the one program and attaches it; maps of the sidecar's probes are used if they are given. */
static int load(const struct moat_probes *probes, bool bare, uint32_t ring_bytes, uint32_t cpus,
		struct bench_events **ret_skeleton)
{
	static const char *const shared[] = { "rings", "event_counters", "emit_memory",
					      "event_budgets" };
	struct bench_events *skeleton = bench_events__open();
	struct bpf_program *program;
	int r = 0;

	if (!skeleton)
		return -errno;
	skeleton->rodata->shard_mask = moat_channel_shards(cpus) - 1;
	skeleton->rodata->wakeup_bytes = moat_channel_wakeup(ring_bytes);
	skeleton->rodata->budget_process = probes ? BUDGET / 8 : 0; /* a window */
	bpf_object__for_each_program(program, skeleton->obj) {
		bpf_program__set_autoload(program, program == (bare ? skeleton->progs.events_bare
								    : skeleton->progs.events_exec));
	}
	if (!probes)
		r = bpf_map__set_max_entries(skeleton->maps.event_counters, cpus);
	for (size_t i = 0; r == 0 && probes && i < MOAT_ARRAY_SIZE(shared); i++)
		r = bpf_map__reuse_fd(bpf_object__find_map_by_name(skeleton->obj, shared[i]),
				      moat_probes_map(probes, shared[i]));
	if (r == 0)
		r = bench_events__load(skeleton);
	if (r < 0) {
		bench_events__destroy(skeleton);
		return r;
	}
	skeleton->bss->getppid_number = SYS_getppid;
	memcpy(skeleton->bss->path_given, path_given, sizeof(path_given));
	*ret_skeleton = skeleton;
	return 0;
}

static int start(struct bench_events *skeleton, struct producers *producers,
		 const struct events_run *run)
{
	int r = producers_start(producers, run);

	for (unsigned int i = 0; i < producers->count; i++)
		skeleton->bss->producers[i] = (uint32_t)producers->pids[i];
	return r < 0 ? r : bench_events__attach(skeleton);
}

/* ---- the sidecar -------------------------------------------------------------------------------- */

struct sample {
	uint64_t wall_ns, cpu_ns;
	json_int_t tried, received, handed, lost_ring, lost_scratch, items, link_lost;
};

static void sample(const struct moat_sidecar *sidecar, struct sample *ret)
{
	json_t *status = moat_sidecar_status(sidecar);
	int r;

	*ret = (struct sample){ .wall_ns = moat_clock_monotonic_ns(),
				.cpu_ns = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID) };
	r = json_unpack(status, "{s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}}", "channel", "tried",
			&ret->tried, "received", &ret->received, "handed", &ret->handed,
			"lost_ring", &ret->lost_ring, "lost_scratch", &ret->lost_scratch, "link",
			"items", &ret->items, "lost", &ret->link_lost);
	if (r < 0)
		fprintf(stderr, "events: the sidecar's status has another shape\n");
	json_decref(status);
}

static void loop_for(sd_event *loop, double seconds)
{
	uint64_t end = moat_clock_monotonic_ns() + (uint64_t)(seconds * 1e9);

	while (moat_clock_monotonic_ns() < end)
		sd_event_run(loop, POLL_US);
}

static void measure(sd_event *loop, struct moat_sidecar *sidecar, struct producers *producers,
		    const struct events_run *run, struct events_result *ret)
{
	struct sample before, after, end;
	double seconds, handed;

	if (producers->state)
		*producers->state = GO;
	loop_for(loop, run->seconds / 5);
	sample(sidecar, &before);
	loop_for(loop, run->seconds);
	sample(sidecar, &after);
	producers_stop(producers);
	loop_for(loop, DRAIN_S);
	moat_sidecar_stop(sidecar);
	sample(sidecar, &end);
	seconds = (double)(after.wall_ns - before.wall_ns) / 1e9;
	handed = (double)(after.handed - before.handed);
	ret->rate = (handed - (double)(after.link_lost - before.link_lost)) / seconds;
	ret->cpu = (double)(after.cpu_ns - before.cpu_ns) / 1e9 / seconds;
	ret->tried = (uint64_t)end.tried;
	ret->lost = (uint64_t)(end.lost_ring + end.lost_scratch + end.link_lost);
	ret->unaccounted = end.tried - end.received - end.lost_ring - end.lost_scratch;
}

int events_run_sidecar(const struct events_run *run, struct events_result *ret_result)
{
	uint32_t ring_bytes = run->ring_bytes ? run->ring_bytes : MOAT_CHANNEL_RING_DEFAULT;
	/* a bound that is looked at, and not met */
	struct moat_sidecar_options options = { .ring_bytes = ring_bytes,
						.budget_process = BUDGET,
						.budget_other = BUDGET };
	struct events_result result = { .rate = 0 };
	struct bench_events *skeleton = NULL;
	struct producers producers = { .count = 0 };
	struct moat_sidecar *sidecar = NULL;
	struct events_link *link = NULL;
	struct moat_error error = { .text = "" };
	sd_event *loop = NULL;
	int r = sd_event_new(&loop);

	if (r >= 0)
		r = events_link_start(run->waits, &link);
	if (r >= 0) {
		options.link = events_link_path(link);
		r = moat_sidecar_new(loop, &options, &sidecar, &error);
	}
	if (r >= 0)
		r = load(moat_sidecar_probes(sidecar), false, ring_bytes,
			 moat_probes_cpus(moat_sidecar_probes(sidecar)), &skeleton);
	if (r >= 0)
		r = start(skeleton, &producers, run);
	if (r >= 0)
		measure(loop, sidecar, &producers, run, &result);
	else
		fprintf(stderr, "events: %s\n", error.text[0] ? error.text : strerror(-r));
	producers_stop(&producers);
	bench_events__destroy(skeleton);
	moat_sidecar_free(sidecar);
	events_link_stop(link, &result);
	sd_event_unref(loop);
	if (r >= 0)
		*ret_result = result;
	return r < 0 ? r : 0;
}

/* ---- bare --------------------------------------------------------------------------------------- */

struct bare {
	struct moat_channel *channel;
	uint64_t count;
};

static void count_one(void *userdata, const void *bytes, uint32_t size)
{
	((struct bare *)userdata)->count++;
}

static int on_timer(sd_event_source *source, uint64_t now_us, void *userdata)
{
	moat_channel_poll(((struct bare *)userdata)->channel);
	return sd_event_source_set_time(source, now_us + POLL_US);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	moat_channel_poll(((struct bare *)userdata)->channel);
	return 0;
}

/* As the sidecar's loop is. */
static int bare_loop(struct bare *bare, sd_event *loop)
{
	sd_event_source *timer = NULL;
	uint64_t now;
	int r = sd_event_now(loop, CLOCK_MONOTONIC, &now);

	if (r >= 0)
		r = sd_event_add_time(loop, &timer, CLOCK_MONOTONIC, now + POLL_US, 2000, on_timer,
				      bare);
	if (r >= 0)
		r = sd_event_source_set_enabled(timer, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_source_set_floating(timer, true);
	sd_event_source_unref(timer);
	if (r >= 0)
		r = sd_event_add_io(loop, NULL, moat_channel_fd(bare->channel), EPOLLIN,
				    on_readable, bare);
	return r;
}

int events_run_bare(const struct events_run *run, uint32_t record_bytes,
		    struct events_result *ret_result)
{
	uint32_t ring_bytes = run->ring_bytes ? run->ring_bytes : MOAT_CHANNEL_RING_DEFAULT;
	uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();
	struct producers producers = { .count = 0 };
	struct bench_events *skeleton = NULL;
	struct bare bare = { .count = 0 };
	sd_event *loop = NULL;
	uint64_t before, begin;
	int r = sd_event_new(&loop);

	if (r >= 0)
		r = load(NULL, record_bytes > 0, ring_bytes, cpus, &skeleton);
	if (r >= 0) {
		const struct moat_channel_options options = {
			.rings_fd = bpf_map__fd(skeleton->maps.rings),
			.counters_fd = bpf_map__fd(skeleton->maps.event_counters),
			.ring_bytes = ring_bytes,
			.cpus = cpus,
		};

		skeleton->bss->bare_size = record_bytes;
		r = moat_channel_new(&options, count_one, &bare, &bare.channel);
	}
	if (r >= 0)
		r = bare_loop(&bare, loop);
	if (r >= 0)
		r = start(skeleton, &producers, run);
	if (r >= 0) {
		*producers.state = GO;
		loop_for(loop, run->seconds / 5);
		before = bare.count;
		begin = moat_clock_monotonic_ns();
		loop_for(loop, run->seconds);
		*ret_result = (struct events_result){ .record_bytes = record_bytes };
		ret_result->rate = (double)(bare.count - before) * 1e9 /
				   (double)(moat_clock_monotonic_ns() - begin);
	} else {
		fprintf(stderr, "events: bare: %s\n", strerror(-r));
	}
	producers_stop(&producers);
	bench_events__destroy(skeleton);
	moat_channel_free(bare.channel);
	sd_event_unref(loop);
	return r < 0 ? r : 0;
}
