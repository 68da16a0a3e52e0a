/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One loop: take samples, and when the judges' window number has moved, close the window before. The
 * engine is used under a mutex, which the main loop takes only to configure and to count.
 */
#include "ctl/detection.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctl/known.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/ring.h"

#define FINDINGS_WAITING 512
#define SAMPLES_AT_ONCE 4096
#define FLOWS_AT_ONCE 4096
/* The gate's sample ring holds some 5,000: at 1 in 64 of 10 Mpps it fills in 30 ms. */
#define POLL_NS (8 * MOAT_NS_PER_MS)
#define KNOWN_INTERVAL_NS MOAT_NS_PER_S

struct moat_detection {
	struct moat_detection_options options;
	struct moat_detect *detect;
	struct moat_cell_source *sources;
	size_t source_count;
	struct moat_known_builder known;
	struct moat_ring findings;
	int fd; /* eventfd: findings wait */
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	pthread_mutex_t mutex; /* of detect and what follows */
	uint64_t late_windows, tick_max_ns, tick_last_ns;
	/* the thread's own */
	uint32_t floods_open;
	bool has_news;
	uint64_t known_due_ns;
};

static bool is_flood(const struct moat_finding *finding)
{
	return moat_finding_is_flood(finding->kind);
}

/* Within a tick. */
static void on_finding(void *userdata, const struct moat_finding *finding)
{
	struct moat_detection *detection = userdata;

	if (is_flood(finding) && finding->state == MOAT_FINDING_OPEN)
		detection->floods_open++;
	else if (is_flood(finding) && finding->state == MOAT_FINDING_CLOSED &&
		 detection->floods_open > 0)
		detection->floods_open--;
	moat_ring_push(&detection->findings, finding);
	detection->has_news = true;
}

static void on_sample(void *userdata, const struct moat_sample *sample)
{
	struct moat_detection *detection = userdata;

	moat_detect_sample(detection->detect, sample);
}

static void take_flow(struct moat_detection *detection, const struct moat_flow_record *record)
{
	moat_detect_flow(detection->detect, record);
	if (detection->options.exporter)
		moat_export_flow(detection->options.exporter, record);
}

/* What a worker has to tell of its flows. Contents first: they say what a record is about. */
static void take_flows(struct moat_detection *detection, struct moat_worker *worker)
{
	struct moat_ring *contents = moat_worker_contents(worker);
	struct moat_ring *flows = moat_worker_flows(worker);
	struct moat_flow_record record;
	struct moat_content content;

	for (int n = 0; contents && n < FLOWS_AT_ONCE && moat_ring_pop(contents, &content); n++)
		moat_detect_content(detection->detect, &content);
	for (int n = 0; flows && n < FLOWS_AT_ONCE && moat_ring_pop(flows, &record); n++)
		take_flow(detection, &record);
}

/* The window that the judges are in, and its length. */
static uint32_t window_now(const struct moat_detection *detection, uint64_t *ret_length_ns)
{
	if (detection->options.detect.mode & MOAT_MODE_GATEWAY)
		return moat_gate_window(detection->options.gate, ret_length_ns);
	*ret_length_ns = MOAT_NS_PER_MS << MOAT_WINDOW_SHIFT_MS;
	return (uint32_t)(moat_clock_monotonic_ns() / MOAT_NS_PER_MS >> MOAT_WINDOW_SHIFT_MS);
}

/* What others told of is not told on: two boxes that tell each other would go on for ever. */
static void on_flow(void *userdata, const struct moat_flow_record *record)
{
	struct moat_detection *detection = userdata;

	moat_detect_flow(detection->detect, record);
}

static void take_samples(struct moat_detection *detection)
{
	uint64_t length_ns;

	pthread_mutex_lock(&detection->mutex);
	if (detection->options.detect.mode & MOAT_MODE_GATEWAY)
		moat_gate_poll(detection->options.gate, SAMPLES_AT_ONCE, on_sample, detection);
	for (size_t i = 0; i < detection->options.worker_count; i++) {
		struct moat_ring *ring = moat_worker_samples(detection->options.workers[i]);
		struct moat_sample sample;

		for (int n = 0; n < SAMPLES_AT_ONCE && moat_ring_pop(ring, &sample); n++)
			moat_detect_sample(detection->detect, &sample);
		take_flows(detection, detection->options.workers[i]);
	}
	if (detection->options.intake)
		moat_flow_intake_take(detection->options.intake, window_now(detection, &length_ns),
				      on_flow, detection);
	pthread_mutex_unlock(&detection->mutex);
}

/* An attack must not become known by its own persistence. */
static void update_known(struct moat_detection *detection, uint64_t now_ns)
{
	struct moat_known *filters[2] = { NULL, NULL };

	if (now_ns < detection->known_due_ns)
		return;
	detection->known_due_ns = now_ns + KNOWN_INTERVAL_NS;
	if (detection->floods_open > 0)
		return;
	filters[0] = moat_gate_known(detection->options.gate);
	if (detection->options.policy)
		filters[1] = moat_policy_known(detection->options.policy);
	moat_known_builder_update(&detection->known, detection->detect, filters, 2);
}

static void close_window(struct moat_detection *detection, uint32_t window, uint64_t start_ns,
			 uint64_t now_ns)
{
	static const uint64_t one = 1;
	uint64_t took;

	pthread_mutex_lock(&detection->mutex);
	detection->has_news = false;
	moat_detect_tick(detection->detect, detection->sources, detection->source_count, window,
			 start_ns, now_ns - start_ns);
	/* Findings first: the known filter can wait, the response can't. */
	if (detection->has_news && write(detection->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		detection->has_news = false;
	update_known(detection, now_ns);
	took = moat_clock_monotonic_ns() - now_ns;
	detection->tick_last_ns = took;
	if (took > detection->tick_max_ns)
		detection->tick_max_ns = took;
	pthread_mutex_unlock(&detection->mutex);
}

static void pause_until(uint64_t wake_ns)
{
	struct timespec wake = { .tv_sec = (time_t)(wake_ns / MOAT_NS_PER_S),
				 .tv_nsec = (long)(wake_ns % MOAT_NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL) == EINTR)
		;
}

static void *run(void *userdata)
{
	struct moat_detection *detection = userdata;
	uint64_t length_ns, start_ns = moat_clock_monotonic_ns();
	uint32_t window = window_now(detection, &length_ns);

	while (!atomic_load(&detection->stop)) {
		uint64_t now_ns = moat_clock_monotonic_ns();
		uint64_t expected_ns = start_ns + length_ns;
		uint32_t current;

		/* near the turn look closely: what is found there is a rule's head start */
		pause_until(now_ns + 2 * POLL_NS < expected_ns ? now_ns + POLL_NS
							       : now_ns + MOAT_NS_PER_MS);
		take_samples(detection);
		current = window_now(detection, &length_ns);
		if (current == window)
			continue;
		now_ns = moat_clock_monotonic_ns();
		if (current - window > 1)
			__atomic_fetch_add(&detection->late_windows, current - window - 1,
					   __ATOMIC_RELAXED);
		close_window(detection, current - 1, start_ns, now_ns);
		window = current;
		start_ns = now_ns;
	}
	return NULL;
}

static int list_sources(struct moat_detection *detection)
{
	const struct moat_detection_options *options = &detection->options;
	bool has_gate = options->detect.mode & MOAT_MODE_GATEWAY;
	uint32_t cpus = has_gate ? moat_gate_cpus(options->gate) : 0;

	detection->sources = calloc(cpus + options->worker_count + 2, sizeof(*detection->sources));
	if (!detection->sources)
		return -ENOMEM;
	for (uint32_t cpu = 0; cpu < cpus; cpu++) {
		struct moat_gate_cells cells;

		moat_gate_cells(options->gate, cpu, &cells);
		detection->sources[detection->source_count++] = (struct moat_cell_source){
			.to = cells.to, .from = cells.from, .count = cells.count
		};
	}
	for (size_t i = 0; i < options->worker_count; i++) {
		const struct moat_cells *cells = moat_worker_cells(options->workers[i]);

		detection->sources[detection->source_count++] = (struct moat_cell_source){
			.to = cells->to,
			.from = cells->from,
			.count = cells->mask + 1,
			.fresh = true,
		};
	}
	if (options->intake) {
		const struct moat_cells *cells = moat_flow_intake_cells(options->intake);

		detection->sources[detection->source_count++] = (struct moat_cell_source){
			.to = cells->to,
			.from = cells->from,
			.count = cells->mask + 1,
			.fresh = true,
		};
	}
	return 0;
}

int moat_detection_new(const struct moat_detection_options *options,
		       struct moat_detection **ret_detection, struct moat_error *error)
{
	struct moat_detection *detection = aligned_alloc(64,
							 (sizeof(*detection) + 63) & ~(size_t)63);
	int r;

	if (!detection)
		return moat_error_set(error, -ENOMEM, "detection: out of memory");
	memset(detection, 0, sizeof(*detection));
	detection->options = *options;
	pthread_mutex_init(&detection->mutex, NULL);
	detection->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = detection->fd < 0 ? -errno : list_sources(detection);
	if (r == 0)
		r = moat_ring_init(&detection->findings, FINDINGS_WAITING,
				   sizeof(struct moat_finding));
	if (r == 0)
		r = moat_known_builder_init(&detection->known, moat_gate_hash_seed(options->gate),
					    moat_gate_known(options->gate));
	if (r == 0)
		r = moat_detect_new(&options->detect, on_finding, detection, &detection->detect);
	if (r == 0)
		r = -pthread_create(&detection->thread, NULL, run, detection);
	if (r < 0) {
		moat_detection_free(detection);
		return moat_error_set(error, r, "detection: %s", strerror(-r));
	}
	detection->has_thread = true;
	*ret_detection = detection;
	return 0;
}

void moat_detection_free(struct moat_detection *detection)
{
	if (!detection)
		return;
	if (detection->has_thread) {
		atomic_store(&detection->stop, true);
		pthread_join(detection->thread, NULL);
	}
	moat_detect_free(detection->detect);
	moat_known_builder_deinit(&detection->known);
	moat_ring_deinit(&detection->findings);
	if (detection->fd >= 0)
		close(detection->fd);
	pthread_mutex_destroy(&detection->mutex);
	free(detection->sources);
	free(detection);
}

int moat_detection_fd(const struct moat_detection *detection)
{
	return detection->fd;
}

bool moat_detection_pop(struct moat_detection *detection, struct moat_finding *ret_finding)
{
	uint64_t count;

	if (moat_ring_pop(&detection->findings, ret_finding))
		return true;
	/* Cleared before the last look, so that none pushed in between is slept over. */
	if (read(detection->fd, &count, sizeof(count)) < 0)
		return false;
	return moat_ring_pop(&detection->findings, ret_finding);
}

void moat_detection_configure(struct moat_detection *detection,
			      const struct moat_detect_config *config)
{
	pthread_mutex_lock(&detection->mutex);
	moat_detect_configure(detection->detect, config);
	pthread_mutex_unlock(&detection->mutex);
}

int moat_detection_save(struct moat_detection *detection, void **ret_bytes, size_t *ret_size)
{
	int r;

	pthread_mutex_lock(&detection->mutex);
	r = moat_detect_save(detection->detect, ret_bytes, ret_size);
	pthread_mutex_unlock(&detection->mutex);
	return r;
}

int moat_detection_restore(struct moat_detection *detection, const void *bytes, size_t size)
{
	int r;

	pthread_mutex_lock(&detection->mutex);
	r = moat_detect_restore(detection->detect, bytes, size);
	pthread_mutex_unlock(&detection->mutex);
	return r;
}

void moat_detection_forget(struct moat_detection *detection)
{
	pthread_mutex_lock(&detection->mutex);
	moat_detect_forget(detection->detect);
	pthread_mutex_unlock(&detection->mutex);
}

void moat_detection_counters(struct moat_detection *detection,
			     struct moat_detection_counters *ret_counters)
{
	pthread_mutex_lock(&detection->mutex);
	moat_detect_counters(detection->detect, &ret_counters->engine);
	ret_counters->findings_lost = moat_ring_lost(&detection->findings);
	ret_counters->late_windows = __atomic_load_n(&detection->late_windows, __ATOMIC_RELAXED);
	ret_counters->tick_max_ns = detection->tick_max_ns;
	ret_counters->tick_last_ns = detection->tick_last_ns;
	ret_counters->known_sources = detection->known.sources;
	pthread_mutex_unlock(&detection->mutex);
}
