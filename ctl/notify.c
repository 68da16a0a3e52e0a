/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The queue and its thread. Receivers: notify_script.c, notify_web.c. */
#include "ctl/notify.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/notify_priv.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/ring.h"

struct moat_notify {
	char *script;
	struct moat_notify_web *web;
	uint64_t timeout_ns;
	struct moat_ring reports; /* of struct moat_notify_report *, owned by the ring */
	sem_t wake;
	bool has_wake, has_thread;
	pthread_t thread;
	atomic_bool stop;
	_Atomic uint64_t script_sent, script_failed, webhook_sent, webhook_failed;
};

static void deliver(struct moat_notify *notify, const struct moat_notify_report *report)
{
	if (notify->script) {
		int r = moat_notify_run(notify->script, report, notify->timeout_ns, &notify->stop);

		atomic_fetch_add(r == 0 ? &notify->script_sent : &notify->script_failed, 1);
	}
	if (notify->web) {
		int r = moat_notify_web_post(notify->web, report->json, &notify->stop);

		atomic_fetch_add(r == 0 ? &notify->webhook_sent : &notify->webhook_failed, 1);
	}
}

static void *run(void *userdata)
{
	struct moat_notify *notify = userdata;
	struct moat_notify_report *report;

	for (;;) {
		while (sem_wait(&notify->wake) < 0 && errno == EINTR)
			;
		if (atomic_load(&notify->stop))
			return NULL;
		if (moat_ring_pop(&notify->reports, &report)) {
			deliver(notify, report);
			free(report);
		}
	}
}

static int start(struct moat_notify *notify, const struct moat_notify_options *options,
		 struct moat_error *error)
{
	int r = moat_ring_init(&notify->reports, MOAT_NOTIFY_QUEUE, sizeof(void *));

	if (r == 0 && options->script) {
		notify->script = strdup(options->script);
		r = notify->script ? 0 : -ENOMEM;
	}
	if (r == 0 && options->webhook)
		r = moat_notify_web_new(options, &notify->web, error);
	if (r == 0 && !(notify->has_wake = sem_init(&notify->wake, 0, 0) == 0))
		r = -errno;
	if (r == 0)
		r = -pthread_create(&notify->thread, NULL, run, notify);
	notify->has_thread = r == 0;
	return r;
}

int moat_notify_new(const struct moat_notify_options *options, struct moat_notify **ret_notify,
		    struct moat_error *error)
{
	struct moat_notify *notify = calloc(1, sizeof(*notify));
	int r;

	if (!notify)
		return moat_error_set(error, -ENOMEM, "notify: out of memory");
	error->text[0] = '\0';
	notify->timeout_ns = options->timeout_ns;
	r = start(notify, options, error);
	if (r < 0) {
		moat_notify_free(notify);
		return error->text[0] ? r : moat_error_set(error, r, "notify: %s", strerror(-r));
	}
	*ret_notify = notify;
	return 0;
}

void moat_notify_free(struct moat_notify *notify)
{
	struct moat_notify_report *report;

	if (!notify)
		return;
	if (notify->has_thread) {
		atomic_store(&notify->stop, true);
		sem_post(&notify->wake);
		pthread_join(notify->thread, NULL);
		while (moat_ring_pop(&notify->reports, &report))
			free(report);
	}
	if (notify->has_wake)
		sem_destroy(&notify->wake);
	moat_ring_deinit(&notify->reports);
	moat_notify_web_free(notify->web);
	free(notify->script);
	free(notify);
}

/* Copies a text and its 0 to `at`; returns what is behind it. */
static char *put(char *at, const char *text)
{
	size_t size = strlen(text) + 1;

	memcpy(at, text, size);
	return at + size;
}

bool moat_notify_send(struct moat_notify *notify, const char *report, const char *const words[3])
{
	size_t length = strlen(report), size = sizeof(struct moat_notify_report) + length + 2;
	struct moat_notify_report *copy;
	char *end;

	for (size_t i = 0; i < 3; i++)
		size += strlen(words[i]) + 1;
	copy = malloc(size);
	if (copy) {
		copy->length = length + 1;
		end = put(put(copy->json, report) - 1, "\n");
		for (size_t i = 0; i < 3; i++) {
			copy->words[i] = end;
			end = put(end, words[i]);
		}
	}
	if (!copy || !moat_ring_push(&notify->reports, &copy)) {
		free(copy);
		return false;
	}
	sem_post(&notify->wake);
	return true;
}

void moat_notify_counters(const struct moat_notify *notify,
			  struct moat_notify_counters *ret_counters)
{
	*ret_counters = (struct moat_notify_counters){
		.lost = moat_ring_lost(&notify->reports),
		.script_sent = atomic_load(&notify->script_sent),
		.script_failed = atomic_load(&notify->script_failed),
		.webhook_sent = atomic_load(&notify->webhook_sent),
		.webhook_failed = atomic_load(&notify->webhook_failed),
	};
}
