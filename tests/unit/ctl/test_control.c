/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control socket and its client: requests, errors, descriptors, followers, and clients that misbehave. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/control.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static char path[64];

/* A server in a thread of its own; all of it is that thread's but for `stop`. */
struct server {
	pthread_t thread;
	sd_event *loop;
	struct moat_control *control;
	struct moat_control_counters counters;
	int stop[2];
};

static int handle(void *userdata, struct moat_control_call *call, json_t **ret_result,
		  struct moat_error *error)
{
	struct server *server = userdata;

	if (strcmp(call->method, "echo") == 0) {
		*ret_result = json_incref((json_t *)call->params);
		return 0;
	}
	if (strcmp(call->method, "fail") == 0)
		return moat_error_set(error, -ENOENT, "there is none");
	if (strcmp(call->method, "read") == 0) {
		char text[16] = "";

		if (call->fd < 0 || read(call->fd, text, sizeof(text) - 1) < 0)
			return -EBADF;
		*ret_result = json_pack("{s:s}", "text", text);
		return 0;
	}
	if (strcmp(call->method, "follow") == 0) {
		call->follow = true;
		return 0;
	}
	if (strcmp(call->method, "publish") == 0) {
		json_t *event = json_pack("{s:s}", "event_type", "test");

		moat_control_publish(server->control, event);
		json_decref(event);
		return 0;
	}
	if (strcmp(call->method, "flood") == 0) {
		char *text = malloc(1 << 20);
		json_t *event;

		memset(text, 'x', (1 << 20) - 1);
		text[(1 << 20) - 1] = '\0';
		event = json_pack("{s:s}", "text", text);
		for (int i = 0; i < 20; i++)
			moat_control_publish(server->control, event);
		json_decref(event);
		free(text);
		return 0;
	}
	return -ENOSYS;
}

static int on_stop(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void *serve(void *userdata)
{
	struct server *server = userdata;

	sd_event_loop(server->loop);
	moat_control_counters(server->control, &server->counters);
	moat_control_free(server->control);
	sd_event_unref(server->loop);
	return NULL;
}

static void begin(struct server *server)
{
	struct moat_error error = { .text = "" };

	memset(server, 0, sizeof(*server));
	CU_ASSERT_EQUAL_FATAL(pipe(server->stop), 0);
	CU_ASSERT_EQUAL_FATAL(sd_event_new(&server->loop), 0);
	CU_ASSERT_EQUAL_FATAL(
		moat_control_new(server->loop, path, handle, server, &server->control, &error), 0);
	CU_ASSERT_TRUE(sd_event_add_io(server->loop, NULL, server->stop[0], 1, on_stop, server) >= 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void end(struct server *server)
{
	CU_ASSERT_EQUAL(write(server->stop[1], "x", 1), 1);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	close(server->stop[1]);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}

static struct moat_client *connect_client(void)
{
	struct moat_client *client = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL_FATAL(moat_client_connect(path, &client, &error), 0);
	return client;
}

static void test_calls(void)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;
	struct moat_error error = { .text = "" };
	struct server server;
	struct stat facts;
	json_t *result = NULL;

	begin(&server);
	CU_ASSERT_EQUAL(stat(path, &facts), 0);
	CU_ASSERT_EQUAL(facts.st_mode & 0777, 0660);
	client = connect_client();
	CU_ASSERT_EQUAL_FATAL(moat_client_call(client, "echo", json_pack("{s:i}", "a", 7), -1,
					       &result, &error),
			      0);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "a")), 7);
	json_decref(result);
	CU_ASSERT_EQUAL(moat_client_call(client, "fail", NULL, -1, &result, &error), -EREMOTEIO);
	CU_ASSERT_STRING_EQUAL(error.text, "there is none");
	CU_ASSERT_EQUAL(moat_client_call(client, "nothing", NULL, -1, &result, &error), -EREMOTEIO);
	CU_ASSERT_STRING_EQUAL(error.text, "there is no method \"nothing\"");
	end(&server);
	CU_ASSERT_EQUAL(server.counters.requests, 3);
	CU_ASSERT_EQUAL(server.counters.errors, 2);
}

static void test_descriptor(void)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;
	struct moat_error error = { .text = "" };
	struct server server;
	json_t *result = NULL;
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	CU_ASSERT_EQUAL(write(ends[1], "hello", 5), 5);
	begin(&server);
	client = connect_client();
	CU_ASSERT_EQUAL_FATAL(moat_client_call(client, "read", NULL, ends[0], &result, &error), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "text")), "hello");
	json_decref(result);
	/* it was for that request only */
	CU_ASSERT_EQUAL(moat_client_call(client, "read", NULL, -1, &result, &error), -EREMOTEIO);
	end(&server);
	close(ends[0]);
	close(ends[1]);
}

static void test_follow(void)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *follower = NULL, *other = NULL;
	struct moat_error error = { .text = "" };
	struct server server;
	json_t *result = NULL, *event = NULL;

	begin(&server);
	follower = connect_client();
	other = connect_client();
	CU_ASSERT_EQUAL_FATAL(moat_client_call(follower, "follow", NULL, -1, &result, &error), 0);
	json_decref(result);
	CU_ASSERT_EQUAL_FATAL(moat_client_call(other, "publish", NULL, -1, &result, &error), 0);
	json_decref(result);
	CU_ASSERT_EQUAL_FATAL(moat_client_event(follower, &event, &error), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(event, "event_type")), "test");
	json_decref(event);
	end(&server);
}

/* A follower that reads nothing is dropped, whoever causes the events, and the others go on. */
static void test_slow(void)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *slow = NULL, *other = NULL;
	struct moat_error error = { .text = "" };
	struct server server;
	json_t *result = NULL;

	begin(&server);
	slow = connect_client();
	other = connect_client();
	CU_ASSERT_EQUAL_FATAL(moat_client_call(slow, "follow", NULL, -1, &result, &error), 0);
	json_decref(result);
	CU_ASSERT_EQUAL_FATAL(moat_client_call(other, "flood", NULL, -1, &result, &error), 0);
	json_decref(result);
	/* also in the midst of its own request */
	CU_ASSERT_EQUAL_FATAL(moat_client_call(other, "follow", NULL, -1, &result, &error), 0);
	json_decref(result);
	CU_ASSERT_TRUE(moat_client_call(other, "flood", NULL, -1, &result, &error) < 0);
	end(&server);
	CU_ASSERT_EQUAL(server.counters.dropped, 2);
	CU_ASSERT_EQUAL(server.counters.clients, 0);
}

static int connect_raw(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Sends bytes and expects an answer with this code. */
static void check_code(int fd, const char *bytes, size_t length, const char *code)
{
	char answer[512] = "", expected[64];
	ssize_t n;

	snprintf(expected, sizeof(expected), "\"code\":\"%s\"", code);
	CU_ASSERT_EQUAL(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	CU_ASSERT_TRUE_FATAL(n > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, expected));
	CU_ASSERT_EQUAL(answer[n - 1], '\n');
}

static void test_garbage(void)
{
	moat_auto_free char *long_line = malloc(MOAT_REQUEST_BYTES_MAX);
	struct server server;
	char byte;
	int fd;

	memset(long_line, 'x', MOAT_REQUEST_BYTES_MAX);
	begin(&server);
	fd = connect_raw();
	check_code(fd, "nonsense\n", 9, "invalid");
	check_code(fd, "[]\n", 3, "invalid");
	check_code(fd, "{\"method\":1}\n", 13, "invalid");
	check_code(fd, "{\"method\":\"echo\",\"params\":[]}\n", 30, "invalid");
	check_code(fd, "{\"method\":\"x\",\"method\":\"y\"}\n", 28, "invalid");
	check_code(fd, "\0\xff\n", 3, "invalid");
	/* half a request is no request; too long a one ends the connection */
	check_code(fd, long_line, MOAT_REQUEST_BYTES_MAX, "too_long");
	CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), 0);
	close(fd);
	end(&server);
	CU_ASSERT_EQUAL(server.counters.dropped, 1);
}

/* Who says that it has no more to ask still gets all its answers. */
static void test_half_closed(void)
{
	static char request[20000], answer[65536];
	struct server server;
	int fd, lines = 0;
	ssize_t n;

	snprintf(request, sizeof(request),
		 "{\"method\":\"echo\",\"params\":{\"a\":\"%019000d\"}}\n", 0);
	begin(&server);
	fd = connect_raw();
	for (int i = 0; i < 50; i++)
		CU_ASSERT_EQUAL(send(fd, request, strlen(request), MSG_NOSIGNAL),
				(ssize_t)strlen(request));
	CU_ASSERT_EQUAL(shutdown(fd, SHUT_WR), 0);
	usleep(100000); /* the server sees the end while the first answers still fill the socket */
	while ((n = recv(fd, answer, sizeof(answer), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += answer[i] == '\n';
	}
	CU_ASSERT_EQUAL(lines, 50);
	close(fd);
	end(&server);
}

static void test_too_many(void)
{
	int fds[MOAT_CONTROL_CLIENTS_MAX];
	char answer[256] = "";
	struct server server;
	int fd;

	begin(&server);
	for (size_t i = 0; i < MOAT_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = connect_raw();
		check_code(fds[i], "x\n", 2, "invalid");
	}
	fd = connect_raw();
	CU_ASSERT_TRUE(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "too many clients"));
	close(fd);
	for (size_t i = 0; i < MOAT_CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	end(&server);
	CU_ASSERT_EQUAL(server.counters.refused, 1);
}

static void test_nobody_there(void)
{
	struct moat_client *client = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL(moat_client_connect(path, &client, &error), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "moatd is not running (no socket at "));
	CU_ASSERT_PTR_NULL(client);
}

/* A socket whose moatd died is replaced, one that answers is not. */
static void test_stale(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct moat_error error = { .text = "" };
	struct moat_control *second = NULL;
	struct server server;
	sd_event *loop = NULL;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	begin(&server);
	CU_ASSERT_EQUAL(sd_event_new(&loop), 0);
	CU_ASSERT_EQUAL(moat_control_new(loop, path, handle, NULL, &second, &error), -EADDRINUSE);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	sd_event_unref(loop);
	end(&server);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "calls", test_calls },       { "descriptor", test_descriptor },
		{ "follow", test_follow },     { "slow", test_slow },
		{ "garbage", test_garbage },   { "half closed", test_half_closed },
		{ "too many", test_too_many }, { "nobody there", test_nobody_there },
		{ "stale", test_stale },       { NULL, NULL },
	};

	snprintf(path, sizeof(path), "/tmp/moat-control-%d", getpid());
	return moat_test_main("control", tests);
}
