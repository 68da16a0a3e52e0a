/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See host.h. */
#include "ctl/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/joiner.h"
#include "ctl/sidecar/link.h"
#include "ctl/sidecar/ocsf.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#define PROCESSES 65536
#define CGROUPS 4096
/* Messages taken in a row before the loop's other sources get their turn. */
#define MESSAGES_A_TURN 16
#define TIMER_US 250000

struct moat_host {
	sd_event *loop;
	sd_event_source *listener, *source, *timer;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listen_fd, fd; /* -1: none */
	moat_host_fn handler;
	void *userdata;
	struct moat_ocsf_context context;
	struct moat_processes *processes;
	struct moat_joiner *joiner;
	struct moat_container *cgroups; /* by number, the later one wins */
	uint64_t sender, number;        /* of the last message taken in */
	uint64_t messages, repeated, items, refused, bad;
	uint64_t lost; /* by the sender, as it says */
	struct moat_link_message message;
};

/* ---- items -------------------------------------------------------------------------------------- */

static void on_process(struct moat_host *host, const struct moat_link_process *process)
{
	const struct moat_process_record record = {
		.task = process->task,
		.file = process->file,
		.existed = process->existed,
		.tty = process->tty,
		.path_cut = process->path_cut,
		.args_cut = process->args_cut,
		/* only read */
		.path = process->path[0] ? (char *)process->path : NULL,
		.args = process->args[0] ? (char *)process->args : NULL,
	};

	moat_processes_put(host->processes, &record);
}

static void on_container(struct moat_host *host, const struct moat_link_container *item)
{
	host->cgroups[item->container.cgroup_id % CGROUPS] = item->container;
}

static void on_facts(struct moat_host *host, const struct moat_link_facts *item)
{
	json_t *facts = item->text[0] ? json_loads(item->text, 0, NULL) : NULL;

	moat_joiner_facts(host->joiner, item->id, facts);
	json_decref(facts);
}

static void on_joined(void *userdata, json_t *event)
{
	struct moat_host *host = userdata;

	host->handler(host->userdata, event);
}

static void on_event(struct moat_host *host, const struct moat_event *event, bool late)
{
	const struct moat_container *container = &host->cgroups[event->task.cgroup_id % CGROUPS];
	struct moat_ocsf_event told = { .event = event, .late = late };
	json_t *object;

	if (moat_processes_update(host->processes, event) != 0)
		return;
	moat_ocsf_find(host->processes, &told);
	if (container->cgroup_id == event->task.cgroup_id)
		told.container = container;
	object = moat_ocsf_event(&host->context, &told);
	if (object)
		moat_joiner_event(host->joiner, object, told.container ? told.container->id : NULL,
				  moat_clock_monotonic_ns());
}

static void on_item(void *userdata, const struct moat_link_item *item)
{
	struct moat_host *host = userdata;

	host->items++;
	if (item->kind == MOAT_LINK_PROCESS)
		on_process(host, (const struct moat_link_process *)item);
	else if (item->kind == MOAT_LINK_CONTAINER)
		on_container(host, (const struct moat_link_container *)item);
	else if (item->kind == MOAT_LINK_FACTS)
		on_facts(host, (const struct moat_link_facts *)item);
	else
		on_event(host, (const struct moat_event *)(item + 1), item->late);
}

/* ---- the socket --------------------------------------------------------------------------------- */

static void disconnect(struct moat_host *host)
{
	if (host->fd < 0)
		return;
	moat_log(MOAT_LOG_INFO, "moat-sidecar has gone");
	host->source = sd_event_source_disable_unref(host->source);
	close(host->fd);
	host->fd = -1;
}

static void acknowledge(struct moat_host *host, uint64_t number)
{
	const struct moat_link_ack ack = {
		.magic = MOAT_LINK_MAGIC,
		.version = MOAT_LINK_VERSION,
		.abi = MOAT_ABI_VERSION,
		.number = number,
	};

	/* what can't be said now is said with the next message */
	(void)send(host->fd, &ack, sizeof(ack), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void take_message(struct moat_host *host, size_t size)
{
	const struct moat_link_head *head = &host->message.head;
	uint64_t number = host->number;
	int r;

	host->messages++;
	if (size >= sizeof(*head) && head->sender == host->sender && head->number != 0 &&
	    head->number <= number) {
		host->repeated++;
		acknowledge(host, number);
		return;
	}
	r = moat_link_read(&host->message, size, on_item, host);
	if (r != 0) {
		if (r < 0)
			host->bad++;
		else
			host->refused++;
		moat_log(MOAT_LOG_WARNING, "moat-sidecar is cut off: %s",
			 r < 0 ? "a message that contradicts itself"
			       : "it is of another version (install and restart both)");
		acknowledge(host, number); /* with our version */
		disconnect(host);
		return;
	}
	host->lost = head->lost;
	if (head->number == 0)
		return;
	host->sender = head->sender;
	host->number = head->number;
	acknowledge(host, host->number);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct moat_host *host = userdata;

	for (int i = 0; i < MESSAGES_A_TURN && host->fd >= 0; i++) {
		ssize_t size = recv(fd, &host->message, sizeof(host->message), MSG_DONTWAIT);

		if (size < 0 && errno == EAGAIN)
			return 0;
		if (size <= 0)
			disconnect(host);
		else
			take_message(host, (size_t)size);
	}
	return 0;
}

/* Events that wait for their container's facts in vain. */
static int on_timer(sd_event_source *source, uint64_t now_us, void *userdata)
{
	struct moat_host *host = userdata;

	moat_joiner_advance(host->joiner, moat_clock_monotonic_ns());
	return sd_event_source_set_time(source, now_us + TIMER_US);
}

static int start_timer(struct moat_host *host)
{
	int r = sd_event_add_time_relative(host->loop, &host->timer, CLOCK_MONOTONIC, TIMER_US,
					   TIMER_US / 4, on_timer, host);

	return r < 0 ? r : sd_event_source_set_enabled(host->timer, SD_EVENT_ON);
}

static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static int on_connect(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
	struct moat_host *host = userdata;
	moat_auto_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return 0;
	if (!may_connect(fd)) {
		host->refused++;
		return 0;
	}
	disconnect(host);
	if (sd_event_add_io(host->loop, &host->source, fd, EPOLLIN, on_readable, host) < 0)
		return 0;
	host->fd = moat_take_fd(&fd);
	moat_log(MOAT_LOG_INFO, "moat-sidecar is connected");
	return 0;
}

static int listen_on(struct moat_host *host)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", host->path);
	host->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (host->listen_fd < 0)
		return -errno;
	/* ours, from a moatd that was killed: the lock on the directory says there is no other */
	unlink(host->path);
	mask = umask(0177);
	r = bind(host->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
											  : 0;
	umask(mask);
	if (r == 0 && listen(host->listen_fd, 4) < 0)
		r = -errno;
	if (r == 0)
		r = sd_event_add_io(host->loop, &host->listener, host->listen_fd, EPOLLIN,
				    on_connect, host);
	return r < 0 ? r : 0;
}

int moat_host_new(sd_event *loop, const char *path, moat_host_fn handler, void *userdata,
		  struct moat_host **ret_host, struct moat_error *error)
{
	struct moat_host *host;
	int r;

	if (strlen(path) >= sizeof(host->path))
		return moat_error_set(error, -ENAMETOOLONG, "%s: too long for a socket", path);
	host = calloc(1, sizeof(*host));
	if (!host)
		return -ENOMEM;
	host->loop = sd_event_ref(loop);
	host->listen_fd = host->fd = -1;
	host->handler = handler;
	host->userdata = userdata;
	snprintf(host->path, sizeof(host->path), "%s", path);
	host->cgroups = calloc(CGROUPS, sizeof(*host->cgroups));
	r = host->cgroups ? moat_processes_new(PROCESSES, &host->processes) : -ENOMEM;
	if (r == 0)
		r = moat_ocsf_context_init(&host->context);
	if (r == 0)
		r = moat_joiner_new(on_joined, host, &host->joiner);
	if (r == 0)
		r = listen_on(host);
	if (r == 0)
		r = start_timer(host);
	if (r < 0) {
		moat_host_free(host);
		return moat_error_set(error, r, "%s: %s", path, strerror(-r));
	}
	*ret_host = host;
	return 0;
}

void moat_host_free(struct moat_host *host)
{
	if (!host)
		return;
	disconnect(host);
	sd_event_source_disable_unref(host->listener);
	sd_event_source_disable_unref(host->timer);
	if (host->listen_fd >= 0) {
		close(host->listen_fd);
		unlink(host->path);
	}
	moat_joiner_free(host->joiner);
	moat_processes_free(host->processes);
	free(host->cgroups);
	sd_event_unref(host->loop);
	free(host);
}

const struct moat_processes *moat_host_processes(const struct moat_host *host)
{
	return host->processes;
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

json_t *moat_host_status(const struct moat_host *host)
{
	struct moat_processes_counters table;
	struct moat_joiner_counters joined;

	moat_processes_counters(host->processes, &table);
	moat_joiner_counters(host->joiner, &joined);
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "connected",
			 host->fd >= 0, "messages", number(host->messages), "repeated",
			 number(host->repeated), "items", number(host->items), "lost",
			 number(host->lost), "refused", number(host->refused), "bad",
			 number(host->bad), "processes", number(table.living), "forgotten",
			 number(table.forgotten), "containers", number(joined.containers),
			 "waiting", number(joined.waiting));
}
