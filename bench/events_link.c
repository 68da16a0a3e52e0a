/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See events_link.h. */
#include "bench/events_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/sidecar/link.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define WAITS_MAX 1000000

struct events_link {
	struct sockaddr_un address;
	char directory[32];
	pthread_t thread;
	int fd; /* listens */
	bool waits;
	uint64_t *waited_ns; /* WAITS_MAX of them */
	size_t waited_count;
	uint64_t items, bytes;
	uint64_t now_ns; /* when the message came */
	struct moat_link_message message;
};

static void note_wait(void *userdata, const struct moat_link_item *item)
{
	struct events_link *link = userdata;
	const struct moat_event *event = (const struct moat_event *)(item + 1);

	if (item->kind == MOAT_LINK_EVENT && link->waited_count < WAITS_MAX)
		link->waited_ns[link->waited_count++] = link->now_ns - event->time_ns;
}

static void serve(struct events_link *link, int fd)
{
	struct moat_link_head *head = &link->message.head;
	size_t wanted = link->waits ? sizeof(link->message) : sizeof(*head);

	while (recv(fd, &link->message, wanted, 0) > 0) {
		const struct moat_link_ack ack = {
			.magic = MOAT_LINK_MAGIC,
			.version = MOAT_LINK_VERSION,
			.abi = MOAT_ABI_VERSION,
			.number = head->number,
		};

		if (!head->number)
			continue; /* processes that were there */
		link->items += head->items;
		link->bytes += head->size;
		link->now_ns = moat_clock_monotonic_ns();
		if (link->waits)
			moat_link_read(&link->message, head->size, note_wait, link);
		if (send(fd, &ack, sizeof(ack), MSG_NOSIGNAL) < 0)
			return;
	}
}

static void *run(void *userdata)
{
	struct events_link *link = userdata;
	moat_auto_close int fd = accept(link->fd, NULL, NULL);

	if (fd >= 0)
		serve(link, fd);
	return NULL;
}

int events_link_start(bool waits, struct events_link **ret_link)
{
	struct events_link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->waits = waits;
	link->waited_ns = calloc(WAITS_MAX, sizeof(*link->waited_ns));
	snprintf(link->directory, sizeof(link->directory), "/tmp/bench-events-XXXXXX");
	link->address.sun_family = AF_UNIX;
	if (!link->waited_ns || !mkdtemp(link->directory)) {
		free(link->waited_ns);
		free(link);
		return -ENOMEM;
	}
	snprintf(link->address.sun_path, sizeof(link->address.sun_path), "%s/link", link->directory);
	link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->fd < 0 ||
	    bind(link->fd, (const struct sockaddr *)&link->address, sizeof(link->address)) < 0 ||
	    listen(link->fd, 1) < 0 || pthread_create(&link->thread, NULL, run, link) != 0) {
		int r = -errno;

		if (link->fd >= 0)
			close(link->fd);
		unlink(link->address.sun_path);
		rmdir(link->directory);
		free(link->waited_ns);
		free(link);
		return r < 0 ? r : -EAGAIN;
	}
	*ret_link = link;
	return 0;
}

const char *events_link_path(const struct events_link *link)
{
	return link->address.sun_path;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

void events_link_stop(struct events_link *link, struct events_result *result)
{
	size_t count;

	if (!link)
		return;
	/* the sidecar has closed its end; if it never connected, accept returns */
	shutdown(link->fd, SHUT_RDWR);
	pthread_join(link->thread, NULL);
	close(link->fd);
	unlink(link->address.sun_path);
	rmdir(link->directory);
	count = link->waited_count;
	qsort(link->waited_ns, count, sizeof(*link->waited_ns), by_size);
	if (count > 0) {
		size_t middle = count / 2, late = count - 1 - count / 100;

		result->p50_ms = (double)link->waited_ns[middle] / 1e6;
		result->p99_ms = (double)link->waited_ns[late] / 1e6;
	}
	if (link->items > 0)
		result->record_bytes = (double)link->bytes / (double)link->items;
	free(link->waited_ns);
	free(link);
}
