/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The writer thread sleeps on a semaphore that counts waiting lines. */
#include "ctl/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/dirs.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/ring.h"

struct moat_sink {
	char *path;
	int fd;
	bool is_torn;           /* the file ends in a part of a line */
	struct moat_ring lines; /* of char *, owned by the ring */
	sem_t wake;
	bool has_wake;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop, reopen;
	_Atomic uint64_t written, bytes, failed;
};

static int open_file(const char *path)
{
	/* O_NONBLOCK: a pipe without a reader is an error, not a wait that holds up the whole of moatd */
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
}

static void reopen_file(struct moat_sink *sink)
{
	int fd = open_file(sink->path);

	if (fd < 0)
		return;
	close(sink->fd);
	sink->fd = fd;
	sink->is_torn = false;
}

/* Bytes written: fewer than `length` if it failed half-way, as on a full disk. */
static size_t write_all(int fd, const char *data, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = write(fd, data + done, length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static void write_line(struct moat_sink *sink, const char *line)
{
	size_t length = strlen(line), done;

	if (atomic_exchange(&sink->reopen, false))
		reopen_file(sink);
	/* what is torn is ended first, so that it spoils no other line */
	if (sink->is_torn && write_all(sink->fd, "\n", 1) == 1)
		sink->is_torn = false;
	done = sink->is_torn ? 0 : write_all(sink->fd, line, length);
	if (done == length) {
		atomic_fetch_add(&sink->written, 1);
		atomic_fetch_add(&sink->bytes, length);
	} else {
		sink->is_torn |= done > 0;
		atomic_fetch_add(&sink->failed, 1);
	}
}

static void *run(void *userdata)
{
	struct moat_sink *sink = userdata;
	char *line;

	for (;;) {
		while (sem_wait(&sink->wake) < 0 && errno == EINTR)
			;
		if (moat_ring_pop(&sink->lines, &line)) {
			write_line(sink, line);
			free(line);
		} else if (atomic_exchange(&sink->reopen, false)) {
			reopen_file(sink);
		} else if (atomic_load(&sink->stop)) {
			return NULL;
		}
	}
}

int moat_sink_new(const char *path, uint32_t queue, struct moat_sink **ret_sink,
		  struct moat_error *error)
{
	struct moat_sink *sink = calloc(1, sizeof(*sink));
	int r;

	if (!sink)
		return moat_error_set(error, -ENOMEM, "events: out of memory");
	sink->fd = -1;
	sink->path = strdup(path);
	r = sink->path ? moat_ring_init(&sink->lines, queue, sizeof(char *)) : -ENOMEM;
	if (r == 0)
		r = moat_dirs_make_parent(path, 0750);
	if (r == 0 && (sink->fd = open_file(path)) < 0)
		r = -errno;
	if (r == 0 && !(sink->has_wake = sem_init(&sink->wake, 0, 0) == 0))
		r = -errno;
	if (r == 0)
		r = -pthread_create(&sink->thread, NULL, run, sink);
	if (r < 0) {
		moat_sink_free(sink);
		return moat_error_set(error, r, "event file %s: %s", path, strerror(-r));
	}
	sink->has_thread = true;
	*ret_sink = sink;
	return 0;
}

void moat_sink_free(struct moat_sink *sink)
{
	if (!sink)
		return;
	if (sink->has_thread) {
		atomic_store(&sink->stop, true);
		sem_post(&sink->wake);
		pthread_join(sink->thread, NULL);
	}
	if (sink->has_wake)
		sem_destroy(&sink->wake);
	if (sink->fd >= 0)
		close(sink->fd);
	moat_ring_deinit(&sink->lines);
	free(sink->path);
	free(sink);
}

bool moat_sink_write(struct moat_sink *sink, const char *line)
{
	size_t length = strlen(line);
	char *copy = malloc(length + 2);

	/* one write a line: a reader of the file never sees half of one */
	if (copy) {
		memcpy(copy, line, length);
		copy[length] = '\n';
		copy[length + 1] = '\0';
	}
	if (!copy || !moat_ring_push(&sink->lines, &copy)) {
		free(copy);
		return false;
	}
	sem_post(&sink->wake);
	return true;
}

void moat_sink_reopen(struct moat_sink *sink)
{
	atomic_store(&sink->reopen, true);
	sem_post(&sink->wake);
}

const char *moat_sink_path(const struct moat_sink *sink)
{
	return sink->path;
}

void moat_sink_counters(const struct moat_sink *sink, struct moat_sink_counters *ret_counters)
{
	*ret_counters = (struct moat_sink_counters){
		.written = atomic_load(&sink->written),
		.bytes = atomic_load(&sink->bytes),
		.lost = moat_ring_lost(&sink->lines),
		.failed = atomic_load(&sink->failed),
	};
}
