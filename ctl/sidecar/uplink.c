/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See uplink.h. Messages wait in a ring, oldest first: sent ones for their acknowledgement, the rest for
 * the socket, and the newest is still being filled. */
#include "ctl/sidecar/uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/sidecar/link.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#define SEND_TIMEOUT_US 200000
#define RETRY_NS (1 * MOAT_NS_PER_S)
/* cgroups that this connection has been told of; one whose place another took is told again */
#define TOLD 1024

struct moat_uplink {
	sd_event *loop;
	sd_event_source *source;
	struct sockaddr_un address;
	const struct moat_processes *processes;
	struct moat_containers *containers;
	const struct moat_joiner *joiner;
	int fd; /* -1: not connected */
	uint64_t sender, number;
	uint64_t retry_ns; /* not before */
	bool said;         /* that moatd isn't there */
	struct moat_link_message *kept[MOAT_UPLINK_KEPT];
	size_t first, count; /* in the ring; the last one is being filled */
	size_t sent;         /* of them */
	uint64_t told[TOLD]; /* marks of cgroups */
	struct moat_uplink_counters counters;
};

int moat_uplink_new(sd_event *loop, const char *path, const struct moat_processes *processes,
		    struct moat_containers *containers, const struct moat_joiner *joiner,
		    struct moat_uplink **ret_link)
{
	struct moat_uplink *link;

	if (strlen(path) >= sizeof(link->address.sun_path))
		return -ENAMETOOLONG;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->loop = sd_event_ref(loop);
	link->processes = processes;
	link->containers = containers;
	link->joiner = joiner;
	link->fd = -1;
	link->address.sun_family = AF_UNIX;
	snprintf(link->address.sun_path, sizeof(link->address.sun_path), "%s", path);
	if (getrandom(&link->sender, sizeof(link->sender), 0) != sizeof(link->sender)) {
		moat_uplink_free(link);
		return -EIO;
	}
	*ret_link = link;
	return 0;
}

static void disconnect(struct moat_uplink *link)
{
	link->source = sd_event_source_disable_unref(link->source);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->sent = 0; /* what wasn't acknowledged goes again */
	link->counters.connected = false;
	link->retry_ns = moat_clock_monotonic_ns() + RETRY_NS;
}

void moat_uplink_free(struct moat_uplink *link)
{
	if (!link)
		return;
	disconnect(link);
	for (size_t i = 0; i < link->count; i++)
		free(link->kept[(link->first + i) % MOAT_UPLINK_KEPT]);
	sd_event_unref(link->loop);
	free(link);
}

/* ---- what waits --------------------------------------------------------------------------------- */

static struct moat_link_message *kept_at(const struct moat_uplink *link, size_t i)
{
	return link->kept[(link->first + i) % MOAT_UPLINK_KEPT];
}

/* The message that is being filled, made if there is none; NULL if there is no room. */
static struct moat_link_message *open_message(struct moat_uplink *link, bool fresh)
{
	struct moat_link_message *message;

	if (link->count > link->sent && !fresh)
		return kept_at(link, link->count - 1);
	if (link->count == MOAT_UPLINK_KEPT)
		return NULL;
	message = malloc(sizeof(*message));
	if (!message)
		return NULL;
	moat_link_begin(message);
	message->head.sender = link->sender;
	message->head.number = ++link->number;
	link->kept[(link->first + link->count++) % MOAT_UPLINK_KEPT] = message;
	return message;
}

static void send_full(struct moat_uplink *link);

/* False if it was lost, which is counted. */
static bool give(struct moat_uplink *link, const struct moat_link_item *item, const void *more,
		 size_t more_size)
{
	struct moat_link_message *message = open_message(link, false);

	link->counters.items++;
	if (message && moat_link_append(message, item, more, more_size))
		return true;
	/* a burst is more than may wait: full ones go while it lasts */
	if (link->fd >= 0)
		send_full(link);
	message = open_message(link, true);
	if (message && moat_link_append(message, item, more, more_size))
		return true;
	link->counters.lost++;
	return false;
}

/* Whether moatd hasn't been told of the cgroup; it is from now on. */
static bool is_news(struct moat_uplink *link, const struct moat_container *container,
		    struct moat_link_container *ret_item)
{
	uint64_t *told = &link->told[container->cgroup_id % TOLD];
	/* told again once it turns out to be a container's */
	uint64_t mark = container->cgroup_id ^ (container->id[0] ? 1ULL << 63 : 0);

	if (*told == mark || !container->path[0])
		return false;
	*ret_item = (struct moat_link_container){
		.item = { .size = sizeof(*ret_item), .kind = MOAT_LINK_CONTAINER },
		.container = *container,
	};
	*told = mark;
	return true;
}

void moat_uplink_event(struct moat_uplink *link, const struct moat_event *event, bool late,
		       const struct moat_container *container)
{
	const struct moat_link_item item = { .kind = MOAT_LINK_EVENT, .late = late };
	struct moat_link_container cgroup;

	/* what was lost is told with the next event */
	if (is_news(link, container, &cgroup) && !give(link, &cgroup.item, NULL, 0))
		link->told[container->cgroup_id % TOLD] = 0;
	give(link, &item, event, event->size);
}

void moat_uplink_facts(struct moat_uplink *link, const char *id, const json_t *facts)
{
	struct moat_link_facts told;

	if (moat_link_describe_facts(id, facts, &told))
		give(link, &told.item, NULL, 0);
}

/* ---- the socket --------------------------------------------------------------------------------- */

/* True if it went; else the connection is gone, or busy. */
static bool send_message(struct moat_uplink *link, struct moat_link_message *message, int flags)
{
	message->head.lost = link->counters.lost;
	if (send(link->fd, message, message->head.size, flags | MSG_NOSIGNAL) >= 0)
		return true;
	if (!(flags & MSG_DONTWAIT) || (errno != EAGAIN && errno != ENOBUFS))
		disconnect(link);
	return false;
}

static void on_acked(struct moat_uplink *link, uint64_t number)
{
	while (link->sent > 0 && kept_at(link, 0)->head.number <= number) {
		link->counters.acked += kept_at(link, 0)->head.items;
		free(kept_at(link, 0));
		link->first = (link->first + 1) % MOAT_UPLINK_KEPT;
		link->count--;
		link->sent--;
	}
}

/* True if there was an answer. */
static bool take_ack(struct moat_uplink *link)
{
	struct moat_link_ack ack;
	ssize_t length = recv(link->fd, &ack, sizeof(ack), MSG_DONTWAIT);

	if (length < 0 && errno == EAGAIN)
		return false;
	if (length != sizeof(ack) || ack.magic != MOAT_LINK_MAGIC) {
		disconnect(link);
		return false;
	}
	if (ack.version != MOAT_LINK_VERSION || ack.abi != MOAT_ABI_VERSION) {
		link->counters.refused++;
		disconnect(link);
		return false;
	}
	on_acked(link, ack.number);
	return true;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	take_ack(userdata);
	return 0;
}

static void send_waiting(struct moat_uplink *link)
{
	while (link->fd >= 0 && link->sent < link->count) {
		if (!send_message(link, kept_at(link, link->sent), MSG_DONTWAIT))
			return;
		link->sent++;
	}
}

/* Makes room: answers are taken, and what is full is sent as far as moatd reads. */
static void send_full(struct moat_uplink *link)
{
	while (link->fd >= 0 && take_ack(link))
		;
	send_waiting(link);
}

struct telling {
	struct moat_uplink *link;
	struct moat_link_message *message;
};

/* An item into a message that isn't kept: a later connection tells anew. Waits for moatd to read, up to
 * SEND_TIMEOUT_US. */
static void tell(struct telling *telling, const struct moat_link_item *item)
{
	if (telling->link->fd < 0 || moat_link_append(telling->message, item, NULL, 0))
		return;
	send_message(telling->link, telling->message, 0);
	moat_link_begin(telling->message);
	telling->message->head.sender = telling->link->sender;
	moat_link_append(telling->message, item, NULL, 0);
}

static void tell_process(void *userdata, const struct moat_process_record *record)
{
	struct telling *telling = userdata;
	struct moat_uplink *link = telling->link;
	struct moat_link_process process;
	struct moat_link_container cgroup;
	struct moat_link_facts facts;
	json_t *known;

	moat_link_describe(record, &process);
	tell(telling, &process.item);
	if (!is_news(link, moat_containers_find(link->containers, record->task.cgroup_id), &cgroup))
		return;
	tell(telling, &cgroup.item);
	known = moat_joiner_find(link->joiner, cgroup.container.id);
	if (known && moat_link_describe_facts(cgroup.container.id, known, &facts))
		tell(telling, &facts.item);
}

static void tell_processes(struct moat_uplink *link)
{
	struct telling telling = { .link = link };
	moat_auto_free struct moat_link_message *message = malloc(sizeof(*message));

	if (!message)
		return;
	moat_link_begin(message);
	message->head.sender = link->sender;
	telling.message = message;
	moat_processes_each(link->processes, tell_process, &telling);
	if (link->fd >= 0 && message->head.items)
		send_message(link, message, 0);
}

static void connect_to(struct moat_uplink *link)
{
	const struct timeval timeout = { .tv_usec = SEND_TIMEOUT_US };
	moat_auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&link->address, sizeof(link->address)) < 0) {
		if (!link->said)
			moat_log(MOAT_LOG_INFO,
				 "moatd isn't there (%s: %s); what happens is kept, up to "
				 "16 MiB",
				 link->address.sun_path, strerror(errno));
		link->said = true;
		link->retry_ns = moat_clock_monotonic_ns() + RETRY_NS;
		return;
	}
	link->fd = moat_take_fd(&fd);
	if (sd_event_add_io(link->loop, &link->source, link->fd, EPOLLIN, on_readable, link) < 0) {
		disconnect(link);
		return;
	}
	link->said = false;
	link->counters.connected = true;
	link->counters.connects++;
	memset(link->told, 0, sizeof(link->told));
	setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	tell_processes(link);
	if (link->fd >= 0)
		moat_log(MOAT_LOG_INFO, "connected to moatd");
}

void moat_uplink_flush(struct moat_uplink *link)
{
	if (link->fd < 0 && moat_clock_monotonic_ns() >= link->retry_ns)
		connect_to(link);
	send_waiting(link);
}

void moat_uplink_counters(const struct moat_uplink *link, struct moat_uplink_counters *ret_counters)
{
	*ret_counters = link->counters;
}
