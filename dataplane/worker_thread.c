/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The thread around a worker: polls while packets come, sleeps in the port while none do. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "dataplane/worker_priv.h"

/* How long the thread looks in vain before it sleeps. Whoever hands packets over pays for waking it up, and
 * that costs more than ten packets do: so it stays awake over gaps as they are between bursts. */
#define AWAKE_NS 50000
/* How long it sleeps at most; what a stop may have to wait. */
#define WAIT_MS 20

static void *worker_main(void *userdata)
{
	struct moat_worker *worker = userdata;
	uint64_t last_ns = 0;
	int r = 0;

	while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
		r = moat_worker_step(worker);
		if (r < 0)
			break;
		/* a step of 0 with packets waiting has only moved to the next window of a replay */
		if (r > 0 || worker->burst_next < worker->burst_count)
			last_ns = worker->clock_ns;
		else if (worker->clock_ns - last_ns >= AWAKE_NS)
			moat_port_wait(worker->port, WAIT_MS);
	}
	if (r < 0) {
		atomic_store(&worker->error, r == -ENODATA ? 0 : r);
		atomic_store(&worker->done, true);
	}
	return NULL;
}

static int attributes_set(pthread_attr_t *attributes, const struct moat_worker_options *options,
			  struct moat_error *error)
{
	cpu_set_t cpus;
	int r;

	if (options->cpu < 0)
		return 0;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)options->cpu, &cpus);
	r = pthread_attr_setaffinity_np(attributes, sizeof(cpus), &cpus);
	return r ? moat_error_set(error, -r, "worker of %s: CPU %d: %s", options->port->name,
				  options->cpu, strerror(r))
		 : 0;
}

int moat_worker_start(struct moat_worker *worker, struct moat_error *error)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	r = pthread_attr_init(&attributes);
	if (r)
		return moat_error_set(error, -r, "worker of %s: %s", worker->port->name,
				      strerror(r));
	r = attributes_set(&attributes, &worker->options, error);
	if (r == 0) {
		/* signals are the main thread's */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = pthread_create(&worker->thread, &attributes, worker_main, worker);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r)
			r = moat_error_set(error, -r, "worker of %s on CPU %d: %s",
					   worker->port->name, worker->options.cpu, strerror(r));
	}
	pthread_attr_destroy(&attributes);
	if (r == 0) {
		worker->has_thread = true;
		pthread_setname_np(worker->thread, "moat-worker");
	}
	return r;
}

void moat_worker_stop(struct moat_worker *worker)
{
	if (!worker->has_thread)
		return;
	atomic_store(&worker->stop, true);
	pthread_join(worker->thread, NULL);
	worker->has_thread = false;
	atomic_store(&worker->stop, false);
}

bool moat_worker_is_done(const struct moat_worker *worker, int *ret_error)
{
	if (!atomic_load(&worker->done))
		return false;
	*ret_error = atomic_load(&worker->error);
	return true;
}
