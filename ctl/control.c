/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The listening socket and its clients; each client is one event source and two buffers. */
#include "ctl/control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

#define GROUPS_MAX 64

struct client {
	struct moat_control *control;
	int fd;
	sd_event_source *source;
	char *input; /* an incomplete request */
	size_t input_length;
	int passed_fd; /* came with the bytes at hand, for the next request */
	char *output;  /* what the socket didn't take yet */
	size_t output_length;
	bool follow, closing;
	bool busy, dead; /* in its own callback: freed at its end */
	json_t *follow_id;
};

struct moat_control {
	sd_event *loop;
	sd_event_source *source;
	int fd;
	char *path;
	gid_t group;
	moat_control_fn handler;
	void *userdata;
	struct client *clients[MOAT_CONTROL_CLIENTS_MAX];
	struct moat_control_counters counters;
};

static void client_free(struct client *client)
{
	struct moat_control *control = client->control;

	if (client->busy) {
		client->dead = true;
		return;
	}
	for (size_t i = 0; i < MOAT_CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i] == client) {
			control->clients[i] = NULL;
			control->counters.clients--;
		}
	}
	sd_event_source_disable_unref(client->source);
	if (client->passed_fd >= 0)
		close(client->passed_fd);
	close(client->fd);
	json_decref(client->follow_id);
	free(client->input);
	free(client->output);
	free(client);
}

static void client_drop(struct client *client)
{
	client->control->counters.dropped++;
	client_free(client);
}

/* Writes what the socket takes. False if the client is gone (and freed). */
static bool client_flush(struct client *client)
{
	while (client->output_length > 0) {
		ssize_t n = send(client->fd, client->output, client->output_length,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			client_free(client);
			return false;
		}
		client->output_length -= (size_t)n;
		memmove(client->output, client->output + n, client->output_length);
	}
	if (client->closing && client->output_length == 0) {
		client_free(client);
		return false;
	}
	sd_event_source_set_io_events(client->source,
				      (client->closing ? 0U : (uint32_t)EPOLLIN) |
					      (client->output_length ? (uint32_t)EPOLLOUT : 0U));
	return true;
}

/* Queues a message, which is freed. False if the client is gone. */
static bool client_send(struct client *client, char *message)
{
	size_t length = message ? strlen(message) : 0;
	char *grown;

	if (client->dead) {
		free(message);
		return false;
	}
	if (!message || client->output_length + length > MOAT_CONTROL_BACKLOG_MAX ||
	    !(grown = realloc(client->output, client->output_length + length))) {
		free(message);
		client_drop(client);
		return false;
	}
	/* bytes for the socket, never a string */
	for (size_t i = 0; i < length; i++)
		grown[client->output_length + i] = message[i];
	client->output = grown;
	client->output_length += length;
	free(message);
	return client_flush(client);
}

static bool client_answer(struct client *client, const struct moat_request *request)
{
	struct moat_control *control = client->control;
	struct moat_control_call call = {
		.method = request->method,
		.params = request->params,
		.fd = client->passed_fd,
	};
	struct moat_error error = { .text = "" };
	json_t *result = NULL;
	char *reply;
	int r = control->handler(control->userdata, &call, &result, &error);

	if (r == -ENOSYS && !error.text[0])
		moat_error_set(&error, r, "there is no method \"%s\"", request->method);
	if (r < 0) {
		control->counters.errors++;
		reply = moat_message_error(request->id, r,
					   error.text[0] ? error.text : strerror(-r));
	} else {
		reply = moat_message_result(request->id, result);
	}
	json_decref(result);
	if (r == 0 && call.follow) {
		client->follow = true;
		json_decref(client->follow_id);
		client->follow_id = json_incref(request->id);
	}
	return client_send(client, reply);
}

static bool client_request(struct client *client, const char *line, size_t length)
{
	struct moat_request request = { 0 };
	struct moat_error error = { .text = "" };
	bool alive;
	int r;

	client->control->counters.requests++;
	r = moat_request_parse(line, length, &request, &error);
	if (r < 0) {
		client->control->counters.errors++;
		return client_send(client, moat_message_error(NULL, r, error.text));
	}
	if (client->passed_fd < 0) {
		alive = client_answer(client, &request);
	} else {
		int fd = client->passed_fd;

		alive = client_answer(client, &request);
		if (alive) {
			client->passed_fd = -1;
			close(fd);
		}
	}
	moat_request_deinit(&request);
	return alive;
}

/* Answers every complete line. False if the client is gone. */
static bool client_lines(struct client *client)
{
	size_t at = 0;

	for (;;) {
		char *line = client->input + at;
		char *end = memchr(line, '\n', client->input_length - at);

		if (!end || client->closing)
			break;
		at = (size_t)(end + 1 - client->input);
		if (!client_request(client, line, (size_t)(end - line)))
			return false;
	}
	client->input_length -= at;
	memmove(client->input, client->input + at, client->input_length);
	if (client->input_length < MOAT_REQUEST_BYTES_MAX)
		return true;
	client->closing = true;
	client->control->counters.dropped++;
	return client_send(client, moat_message_error(NULL, -EMSGSIZE,
						      "a request has at most 65,535 bytes"));
}

static void take_fds(struct client *client, struct msghdr *message)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
			if (client->passed_fd >= 0)
				close(client->passed_fd);
			client->passed_fd = fd;
		}
	}
}

/* Reads once and answers what is complete. */
static void client_read(struct client *client)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec buffer = {
		.iov_base = client->input + client->input_length,
		.iov_len = MOAT_REQUEST_BYTES_MAX - client->input_length,
	};
	struct msghdr message = {
		.msg_iov = &buffer,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0 && client->output_length > 0 && !client->closing) {
		/* it has said all, and still reads */
		client->closing = true;
		client_flush(client);
		return;
	}
	if (n <= 0) {
		client_free(client);
		return;
	}
	take_fds(client, &message);
	client->input_length += (size_t)n;
	client_lines(client);
}

/* Events that a request causes go to this client too if it follows, so that it may have to go in the
 * midst of its own request: `busy` puts that off. */
static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct client *client = userdata;

	client->busy = true;
	if (events & EPOLLOUT)
		client_flush(client);
	if (!client->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		client_read(client);
	client->busy = false;
	if (client->dead)
		client_free(client);
	return 0;
}

/* root, and members of the socket's group: what the file's mode says, said again for sockets that were
 * passed on or whose directory was opened up. */
static bool is_permitted(const struct moat_control *control, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	gid_t groups[GROUPS_MAX];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == control->group)
		return true;
	length = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
		return false;
	for (size_t i = 0; i < length / sizeof(gid_t); i++) {
		if (groups[i] == control->group)
			return true;
	}
	return false;
}

static struct client *client_new(struct moat_control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	*client = (struct client){ .control = control, .fd = fd, .passed_fd = -1 };
	client->input = malloc(MOAT_REQUEST_BYTES_MAX);
	if (!client->input ||
	    sd_event_add_io(control->loop, &client->source, fd, EPOLLIN, on_client, client) < 0) {
		free(client->input);
		free(client);
		return NULL;
	}
	return client;
}

static void refuse(struct moat_control *control, int fd, const char *why)
{
	char *message = moat_message_error(NULL, -EPERM, why);

	control->counters.refused++;
	if (message)
		send(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(message);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct moat_control *control = userdata;
	moat_auto_close int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t place = 0;

	if (fd < 0)
		return 0;
	while (place < MOAT_CONTROL_CLIENTS_MAX && control->clients[place])
		place++;
	if (!is_permitted(control, fd)) {
		refuse(control, fd, "only root and members of the group moat may talk to moatd");
		return 0;
	}
	if (place == MOAT_CONTROL_CLIENTS_MAX) {
		refuse(control, fd, "too many clients are connected");
		return 0;
	}
	control->clients[place] = client_new(control, fd);
	if (!control->clients[place])
		return 0;
	moat_take_fd(&fd);
	control->counters.accepted++;
	control->counters.clients++;
	return 0;
}

/* A socket that nobody answers on is a dead moatd's. */
static int clear_stale(const struct sockaddr_un *address)
{
	moat_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED && unlink(address->sun_path) < 0)
		return -errno;
	return 0;
}

static int listen_on(struct moat_control *control, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct group *group = getgrnam(MOAT_CONTROL_GROUP);
	mode_t before;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = clear_stale(&address);
	if (r < 0)
		return r;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return -errno;
	/* never open to others, not even between bind and chmod */
	before = umask(0117);
	r = bind(control->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(before);
	if (r < 0)
		return r;
	control->path = strdup(path);
	if (!control->path)
		return -ENOMEM;
	control->group = group ? group->gr_gid : getegid();
	if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
		return -errno;
	return listen(control->fd, 16) < 0 ? -errno : 0;
}

int moat_control_new(sd_event *loop, const char *path, moat_control_fn handler, void *userdata,
		     struct moat_control **ret_control, struct moat_error *error)
{
	struct moat_control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return moat_error_set(error, -ENOMEM, "control socket: out of memory");
	control->loop = sd_event_ref(loop);
	control->fd = -1;
	control->handler = handler;
	control->userdata = userdata;
	r = listen_on(control, path);
	if (r == 0)
		r = sd_event_add_io(loop, &control->source, control->fd, EPOLLIN, on_connect,
				    control);
	if (r < 0) {
		moat_control_free(control);
		return moat_error_set(error, r, "control socket %s: %s", path, strerror(-r));
	}
	*ret_control = control;
	return 0;
}

void moat_control_free(struct moat_control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < MOAT_CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i])
			client_free(control->clients[i]);
	}
	sd_event_source_disable_unref(control->source);
	if (control->fd >= 0)
		close(control->fd);
	if (control->path)
		unlink(control->path);
	free(control->path);
	sd_event_unref(control->loop);
	free(control);
}

void moat_control_publish(struct moat_control *control, const json_t *event)
{
	for (size_t i = 0; i < MOAT_CONTROL_CLIENTS_MAX; i++) {
		struct client *client = control->clients[i];

		if (client && client->follow && !client->closing && !client->dead)
			client_send(client, moat_message_event(client->follow_id, event));
	}
}

void moat_control_counters(const struct moat_control *control,
			   struct moat_control_counters *ret_counters)
{
	*ret_counters = control->counters;
}
