/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Both ends of the link in one loop: nothing is lost over a restart, repeated, or taken from a stranger. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/host.h"
#include "ctl/sidecar/link.h"
#include "ctl/sidecar/uplink.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"
#include "tests/harness/unit.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char path[64];

struct ends {
	sd_event *loop;
	struct moat_host *host;
	struct moat_uplink *link;
	struct moat_processes *processes;
	struct moat_containers *containers;
	struct moat_joiner *joiner;
	uint32_t last_pid;
	size_t events;
	char container[MOAT_CONTAINER_ID_LEN];
	char name[16]; /* of the container */
};

static void on_event(void *userdata, json_t *event)
{
	struct ends *ends = userdata;
	json_t *process = json_object_get(event, "process");
	json_t *container = json_object_get(process, "container");
	const char *id = json_string_value(json_object_get(container, "uid"));
	const char *name = json_string_value(json_object_get(container, "name"));

	ends->events++;
	ends->last_pid = (uint32_t)json_integer_value(json_object_get(process, "pid"));
	snprintf(ends->container, sizeof(ends->container), "%s", id ? id : "");
	snprintf(ends->name, sizeof(ends->name), "%s", name ? name : "");
	json_decref(event);
}

/* The sidecar's own lines, of which there are none here. */
static void on_line(void *userdata, json_t *event)
{
	json_decref(event);
}

static void start_host(struct ends *ends)
{
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL_FATAL(moat_host_new(ends->loop, path, on_event, ends, &ends->host, &error),
			      0);
}

static void open_ends(struct ends *ends)
{
	memset(ends, 0, sizeof(*ends));
	moat_log_set_level(MOAT_LOG_ERROR);
	snprintf(path, sizeof(path), "/tmp/moat-test-link-%d.sock", getpid());
	CU_ASSERT_FATAL(sd_event_new(&ends->loop) >= 0);
	CU_ASSERT_EQUAL_FATAL(moat_processes_new(1024, &ends->processes), 0);
	moat_containers_new(&ends->containers);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ends->containers);
	CU_ASSERT_EQUAL_FATAL(moat_joiner_new(on_line, NULL, &ends->joiner), 0);
	CU_ASSERT_EQUAL_FATAL(moat_uplink_new(ends->loop, path, ends->processes, ends->containers,
					      ends->joiner, &ends->link),
			      0);
}

static void close_ends(struct ends *ends)
{
	moat_uplink_free(ends->link);
	moat_host_free(ends->host);
	moat_processes_free(ends->processes);
	moat_containers_free(ends->containers);
	moat_joiner_free(ends->joiner);
	sd_event_unref(ends->loop);
}

static void turn(struct ends *ends)
{
	moat_uplink_flush(ends->link);
	while (sd_event_run(ends->loop, 0) > 0)
		;
	moat_uplink_flush(ends->link);
	while (sd_event_run(ends->loop, 0) > 0)
		;
}

static void end_process(struct ends *ends, uint32_t pid)
{
	static const struct moat_container container = {
		.cgroup_id = 77,
		.path = "/docker/" ID,
		.id = ID,
	};
	const struct moat_event_exit event = {
		.head = { .size = sizeof(event),
			  .type = MOAT_EVENT_EXIT,
			  .time_ns = pid,
			  .task = { .self = { .start_ns = pid, .tgid = pid }, .cgroup_id = 77 } },
	};

	moat_uplink_event(ends->link, &event.head, false, &container);
}

/* The retry waits for a second after a connection was lost. */
static void reconnect(struct ends *ends)
{
	struct moat_uplink_counters counters;
	uint64_t connects;

	moat_uplink_counters(ends->link, &counters);
	connects = counters.connects;
	for (int i = 0; i < 200 && counters.connects == connects; i++) {
		usleep(20000);
		turn(ends);
		moat_uplink_counters(ends->link, &counters);
	}
	CU_ASSERT_TRUE(counters.connected);
}

/* Events wait for what is known of their container, and are told with it. */
static void test_flow(void)
{
	json_t *facts = json_pack("{s:s, s:s}", "uid", ID, "name", "web");
	struct ends ends;
	struct moat_uplink_counters counters;
	struct stat info;

	open_ends(&ends);
	start_host(&ends);
	CU_ASSERT_EQUAL(stat(path, &info), 0);
	CU_ASSERT_EQUAL(info.st_mode & 07777, 0600);
	for (uint32_t pid = 1; pid <= 1000; pid++)
		end_process(&ends, pid);
	turn(&ends);
	CU_ASSERT_EQUAL(ends.events, 0);
	moat_uplink_facts(ends.link, ID, facts);
	json_decref(facts);
	turn(&ends);
	CU_ASSERT_EQUAL(ends.events, 1000);
	CU_ASSERT_EQUAL(ends.last_pid, 1000);
	CU_ASSERT_STRING_EQUAL(ends.name, "web");
	CU_ASSERT_EQUAL(strlen(ends.container), 64);
	moat_uplink_counters(ends.link, &counters);
	CU_ASSERT_EQUAL(counters.items, 1002); /* with the container and its facts, once */
	CU_ASSERT_EQUAL(counters.acked, 1002);
	CU_ASSERT_EQUAL(counters.lost, 0);
	close_ends(&ends);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

/* moatd comes late, goes, and comes again. */
static void test_restart(void)
{
	struct ends ends;
	struct moat_uplink_counters counters;

	open_ends(&ends);
	end_process(&ends, 1);
	moat_uplink_facts(ends.link, ID, NULL);
	turn(&ends);
	moat_uplink_counters(ends.link, &counters);
	CU_ASSERT_FALSE(counters.connected);
	start_host(&ends);
	reconnect(&ends);
	CU_ASSERT_EQUAL(ends.events, 1);
	moat_host_free(ends.host);
	ends.host = NULL;
	turn(&ends);
	for (uint32_t pid = 2; pid <= 500; pid++)
		end_process(&ends, pid);
	moat_uplink_facts(ends.link, ID, NULL);
	turn(&ends);
	start_host(&ends);
	reconnect(&ends);
	CU_ASSERT_EQUAL(ends.events, 500);
	moat_uplink_counters(ends.link, &counters);
	CU_ASSERT_EQUAL(counters.acked, counters.items);
	CU_ASSERT_EQUAL(counters.lost, 0);
	close_ends(&ends);
}

/* The bound holds, and what is beyond it is counted. */
static void test_bound(void)
{
	struct ends ends;
	struct moat_uplink_counters counters;

	open_ends(&ends);
	moat_uplink_facts(ends.link, ID, NULL);
	for (uint32_t pid = 1; pid <= 160000; pid++)
		end_process(&ends, pid);
	moat_uplink_counters(ends.link, &counters);
	CU_ASSERT(counters.lost > 0);
	start_host(&ends);
	for (int i = 0; i < 600; i++)
		turn(&ends);
	moat_uplink_counters(ends.link, &counters);
	CU_ASSERT_EQUAL(counters.acked + counters.lost, counters.items);
	CU_ASSERT_EQUAL(ends.events + counters.lost + 2, 160002); /* container and facts */
	close_ends(&ends);
}

static size_t handed;

static void count_item(void *userdata, const struct moat_link_item *item)
{
	handed++;
}

static void test_refused(void)
{
	static struct moat_link_message message;
	struct moat_link_container item = {
		.item = { .size = sizeof(item), .kind = MOAT_LINK_CONTAINER },
	};

	moat_link_begin(&message);
	CU_ASSERT_TRUE(moat_link_append(&message, &item.item, NULL, 0));
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size, count_item, NULL), 0);
	CU_ASSERT_EQUAL(handed, 1);
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size - 8, count_item, NULL), -EBADMSG);
	message.head.abi++;
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size, count_item, NULL),
			MOAT_LINK_FOREIGN);
	message.head.abi--;
	message.head.items++;
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size, count_item, NULL), -EBADMSG);
	message.head.items--;
	memset(message.body + offsetof(struct moat_link_container, container.path), 'x',
	       MOAT_CONTAINER_PATH_LEN);
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size, count_item, NULL), -EBADMSG);
	message.head.magic = 0;
	CU_ASSERT_EQUAL(moat_link_read(&message, message.head.size, count_item, NULL), -EBADMSG);
	CU_ASSERT_EQUAL(handed, 1);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "flow", test_flow },   { "restart", test_restart },
		{ "bound", test_bound }, { "refused", test_refused },
		{ NULL, NULL },
	};

	return moat_test_main("sidecar link", tests);
}
