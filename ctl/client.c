/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Blocking, with a limit on how long an answer may take. */
#include "ctl/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

#define ANSWER_SECONDS 30
#define ANSWER_BYTES_MAX (64u << 20)

struct moat_client {
	int fd;
	char *buffer;
	size_t length, room;
};

static int connect_error(const char *path, int code, struct moat_error *error)
{
	switch (code) {
	case -ENOENT:
	case -ECONNREFUSED:
		return moat_error_set(
			error, code,
			"moatd is not running (no socket at %s): start it with \"systemctl start moatd\" "
			"or \"moatd --config FILE\", or name its socket with --socket",
			path);
	case -EACCES:
	case -EPERM:
		return moat_error_set(
			error, code,
			"not permitted to talk to moatd at %s: be root or a member of the group moat",
			path);
	default:
		return moat_error_set(error, code, "%s: %s", path, strerror(-code));
	}
}

int moat_client_connect(const char *path, struct moat_client **ret_client, struct moat_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	moat_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct moat_client *client;

	if (fd < 0)
		return moat_error_set(error, -errno, "socket: %s", strerror(errno));
	if (strlen(path) >= sizeof(address.sun_path))
		return moat_error_set(error, -ENAMETOOLONG, "%s: too long for a socket", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return connect_error(path, -errno, error);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	client = calloc(1, sizeof(*client));
	if (!client)
		return moat_error_set(error, -ENOMEM, "out of memory");
	client->fd = moat_take_fd(&fd);
	*ret_client = client;
	return 0;
}

void moat_client_free(struct moat_client *client)
{
	if (!client)
		return;
	close(client->fd);
	free(client->buffer);
	free(client);
}

void moat_client_free_cleanup(struct moat_client **client)
{
	moat_client_free(*client);
}

static int send_line(struct moat_client *client, const char *line, int fd, struct moat_error *error)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec buffer = { .iov_base = (char *)line, .iov_len = strlen(line) };
	struct msghdr message = { .msg_iov = &buffer, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *head = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	while (buffer.iov_len > 0) {
		ssize_t n = sendmsg(client->fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* moatd says why before it closes: that is read next */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0)
			return moat_error_set(error, -errno, "moatd can't be asked: %s",
					      strerror(errno));
		buffer.iov_base = (char *)buffer.iov_base + n;
		buffer.iov_len -= (size_t)n;
		message.msg_controllen = 0;
		message.msg_control = NULL;
	}
	return 0;
}

static int grow(struct moat_client *client)
{
	size_t room = client->room ? 2 * client->room : 65536;
	char *buffer = room <= ANSWER_BYTES_MAX ? realloc(client->buffer, room) : NULL;

	if (!buffer)
		return -ENOMEM;
	client->buffer = buffer;
	client->room = room;
	return 0;
}

static int read_message(struct moat_client *client, json_t **ret_message, struct moat_error *error)
{
	for (;;) {
		char *end = client->length ? memchr(client->buffer, '\n', client->length) : NULL;
		ssize_t n;

		if (end) {
			size_t used = (size_t)(end + 1 - client->buffer);
			json_t *message = json_loadb(client->buffer, used - 1, 0, NULL);

			client->length -= used;
			memmove(client->buffer, end + 1, client->length);
			*ret_message = message;
			return message ? 0
				       : moat_error_set(error, -EBADMSG,
							"moatd's answer is no JSON");
		}
		if (client->length == client->room && grow(client) < 0)
			return moat_error_set(error, -ENOMEM, "moatd's answer is too long");
		n = read(client->fd, client->buffer + client->length, client->room - client->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return moat_error_set(error, -errno, "moatd doesn't answer: %s",
					      strerror(errno));
		if (n == 0)
			return moat_error_set(error, -EPIPE, "moatd has closed the connection");
		client->length += (size_t)n;
	}
}

static int take_answer(json_t *message, json_t **ret_result, struct moat_error *error)
{
	json_t *failure = json_object_get(message, "error");
	const char *text = json_string_value(json_object_get(failure, "message"));
	json_t *result = json_object_get(message, "result");

	if (failure)
		return moat_error_set(error, -EREMOTEIO, "%s", text ? text : "moatd refused");
	if (!result)
		return moat_error_set(error, -EBADMSG, "moatd's answer has no result");
	*ret_result = json_incref(result);
	return 0;
}

int moat_client_call(struct moat_client *client, const char *method, json_t *params, int fd,
		     json_t **ret_result, struct moat_error *error)
{
	json_t *request = json_pack("{s:i,s:s,s:o}", "id", 1, "method", method, "params",
				    params ? params : json_object());
	moat_auto_free char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	moat_auto_free char *line = NULL;
	json_t *message = NULL;
	int r;

	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0) {
		line = NULL;
		return moat_error_set(error, -ENOMEM, "out of memory");
	}
	r = send_line(client, line, fd, error);
	if (r == 0)
		r = read_message(client, &message, error);
	if (r == 0)
		r = take_answer(message, ret_result, error);
	json_decref(message);
	return r;
}

int moat_client_event(struct moat_client *client, json_t **ret_event, struct moat_error *error)
{
	struct timeval forever = { 0 };
	json_t *message = NULL;
	json_t *event;
	int r;

	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
	r = read_message(client, &message, error);
	if (r < 0)
		return r;
	event = json_object_get(message, "event");
	if (event)
		*ret_event = json_incref(event);
	else
		r = moat_error_set(error, -EBADMSG, "moatd sent something else than an event");
	json_decref(message);
	return r;
}
