/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See hook.h. */
#include "ctl/sidecar/hook.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define SILENT_NS (1 * MOAT_NS_PER_S)

struct client {
	int fd; /* -1: free */
	sd_event_source *source;
	uint64_t until_ns;
};

struct moat_hook {
	sd_event *loop;
	sd_event_source *listener;
	int fd;
	struct sockaddr_un address;
	moat_hook_fn handler;
	void *userdata;
	struct client clients[MOAT_HOOK_CLIENTS_MAX];
	struct moat_hook_counters counters;
	char state[MOAT_HOOK_STATE_MAX];
};

static void client_close(struct client *client)
{
	client->source = sd_event_source_disable_unref(client->source);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static int on_state(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct moat_hook *hook = userdata;
	ssize_t length = recv(fd, hook->state, sizeof(hook->state), MSG_DONTWAIT | MSG_TRUNC);
	char answer = 0;

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (length > 0 && (size_t)length <= sizeof(hook->state) &&
	    hook->handler(hook->userdata, hook->state, (size_t)length) == 0) {
		hook->counters.states++;
		answer = 1;
	} else {
		hook->counters.bad++;
	}
	(void)send(fd, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	for (size_t i = 0; i < MOAT_HOOK_CLIENTS_MAX; i++) {
		if (hook->clients[i].fd == fd)
			client_close(&hook->clients[i]);
	}
	return 0;
}

static bool is_root(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == 0;
}

static int on_connect(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
	struct moat_hook *hook = userdata;
	moat_auto_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client = NULL;

	if (fd < 0)
		return 0;
	for (size_t i = 0; i < MOAT_HOOK_CLIENTS_MAX && !client; i++) {
		if (hook->clients[i].fd < 0)
			client = &hook->clients[i];
	}
	if (!client || !is_root(fd) ||
	    sd_event_add_io(hook->loop, &client->source, fd, EPOLLIN, on_state, hook) < 0) {
		hook->counters.refused++;
		return 0;
	}
	client->fd = moat_take_fd(&fd);
	client->until_ns = moat_clock_monotonic_ns() + SILENT_NS;
	return 0;
}

static int listen_on(struct moat_hook *hook)
{
	char directory[sizeof(hook->address.sun_path)];
	mode_t mask;
	int r = 0;

	snprintf(directory, sizeof(directory), "%s", hook->address.sun_path);
	if (mkdir(dirname(directory), 0700) < 0 && errno != EEXIST)
		return -errno;
	hook->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (hook->fd < 0)
		return -errno;
	unlink(hook->address.sun_path); /* of a sidecar that was killed */
	mask = umask(0177);
	if (bind(hook->fd, (const struct sockaddr *)&hook->address, sizeof(hook->address)) < 0)
		r = -errno;
	umask(mask);
	if (r == 0 && listen(hook->fd, MOAT_HOOK_CLIENTS_MAX) < 0)
		r = -errno;
	if (r == 0)
		r = sd_event_add_io(hook->loop, &hook->listener, hook->fd, EPOLLIN, on_connect,
				    hook);
	return r < 0 ? r : 0;
}

int moat_hook_new(sd_event *loop, const char *path, moat_hook_fn handler, void *userdata,
		  struct moat_hook **ret_hook, struct moat_error *error)
{
	struct moat_hook *hook;
	int r;

	if (strlen(path) >= sizeof(hook->address.sun_path))
		return moat_error_set(error, -ENAMETOOLONG, "%s: too long for a socket", path);
	hook = calloc(1, sizeof(*hook));
	if (!hook)
		return -ENOMEM;
	hook->loop = sd_event_ref(loop);
	hook->fd = -1;
	for (size_t i = 0; i < MOAT_HOOK_CLIENTS_MAX; i++)
		hook->clients[i].fd = -1;
	hook->handler = handler;
	hook->userdata = userdata;
	hook->address.sun_family = AF_UNIX;
	snprintf(hook->address.sun_path, sizeof(hook->address.sun_path), "%s", path);
	r = listen_on(hook);
	if (r < 0) {
		moat_hook_free(hook);
		return moat_error_set(error, r, "%s: %s", path, strerror(-r));
	}
	*ret_hook = hook;
	return 0;
}

void moat_hook_free(struct moat_hook *hook)
{
	if (!hook)
		return;
	for (size_t i = 0; i < MOAT_HOOK_CLIENTS_MAX; i++)
		client_close(&hook->clients[i]);
	sd_event_source_disable_unref(hook->listener);
	if (hook->fd >= 0) {
		close(hook->fd);
		unlink(hook->address.sun_path);
	}
	sd_event_unref(hook->loop);
	free(hook);
}

void moat_hook_advance(struct moat_hook *hook, uint64_t now_ns)
{
	for (size_t i = 0; i < MOAT_HOOK_CLIENTS_MAX; i++) {
		struct client *client = &hook->clients[i];

		if (client->fd < 0 || now_ns < client->until_ns)
			continue;
		hook->counters.bad++;
		client_close(client);
	}
}

void moat_hook_counters(const struct moat_hook *hook, struct moat_hook_counters *ret_counters)
{
	*ret_counters = hook->counters;
}
