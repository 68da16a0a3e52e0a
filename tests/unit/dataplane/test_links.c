/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of interfaces, in a network namespace of its own. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/links.h"
#include "tests/harness/unit.h"

/* ip(8) with these words. */
#define ip(...) ip_run((const char *const[]){ "ip", __VA_ARGS__, NULL })

static void ip_run(const char *const words[])
{
	int status = -1;
	pid_t pid;

	CU_ASSERT_EQUAL(posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)words, environ), 0);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

static struct moat_links *links;

static size_t count(void)
{
	size_t n;

	moat_links_all(links, &n);
	return n;
}

static void test_first_look(void)
{
	CU_ASSERT_EQUAL(count(), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(moat_links_find(links, "lo"));
	CU_ASSERT_EQUAL(moat_links_find(links, "lo")->ifindex, (int)if_nametoindex("lo"));
	CU_ASSERT_EQUAL(moat_links_find(links, "lo")->mtu, 65536);
	CU_ASSERT_EQUAL(moat_links_update(links), 0);
}

static void test_come_and_go(void)
{
	struct moat_links_counters counters;

	ip("link", "add", "a0", "address", "02:00:00:00:00:07", "type", "veth", "peer", "name",
	   "b0");
	CU_ASSERT_EQUAL(moat_links_update(links), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(moat_links_find(links, "a0"));
	CU_ASSERT_EQUAL(moat_links_find(links, "a0")->mac[5], 7);
	ip("link", "set", "a0", "name", "c0");
	CU_ASSERT_EQUAL(moat_links_update(links), 1);
	CU_ASSERT_PTR_NULL(moat_links_find(links, "a0"));
	CU_ASSERT_PTR_NOT_NULL(moat_links_find(links, "c0"));
	ip("link", "set", "c0", "mtu", "1400");
	CU_ASSERT_EQUAL(moat_links_update(links), 1);
	CU_ASSERT_EQUAL(moat_links_find(links, "c0")->mtu, 1400);
	ip("link", "del", "c0");
	CU_ASSERT_EQUAL(moat_links_update(links), 1);
	CU_ASSERT_EQUAL(count(), 1);
	CU_ASSERT_EQUAL(moat_links_update(links), 0);
	moat_links_counters(links, &counters);
	CU_ASSERT_EQUAL(counters.appeared, 2);
	CU_ASSERT_EQUAL(counters.vanished, 2);
	CU_ASSERT_EQUAL(counters.overruns, 0);
}

/* A bridge's port that leaves it is still an interface. */
static void test_bridge(void)
{
	ip("link", "add", "br0", "type", "bridge");
	ip("link", "add", "a0", "type", "veth", "peer", "name", "b0");
	ip("link", "set", "a0", "master", "br0");
	ip("link", "set", "a0", "nomaster");
	moat_links_update(links);
	CU_ASSERT_PTR_NOT_NULL(moat_links_find(links, "a0"));
	ip("link", "del", "a0");
	ip("link", "del", "br0");
	moat_links_update(links);
	CU_ASSERT_EQUAL(count(), 1);
}

/* More events than the socket holds: the table is whole all the same. */
static void test_overrun(void)
{
	struct moat_links_counters counters;
	int small = 1;

	CU_ASSERT_EQUAL(
		setsockopt(moat_links_fd(links), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (int i = '0'; i < '8'; i++) {
		char a[] = { 'a', (char)i, '\0' }, b[] = { 'b', (char)i, '\0' };

		ip("link", "add", a, "type", "veth", "peer", "name", b);
	}
	ip("link", "del", "a3");
	CU_ASSERT_EQUAL(moat_links_update(links), 1);
	moat_links_counters(links, &counters);
	CU_ASSERT(counters.overruns > 0);
	CU_ASSERT_EQUAL(count(), 15);
	CU_ASSERT_PTR_NULL(moat_links_find(links, "a3"));
	CU_ASSERT_PTR_NOT_NULL(moat_links_find(links, "b7"));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "first look", test_first_look },
		{ "come and go", test_come_and_go },
		{ "bridge", test_bridge },
		{ "overrun", test_overrun },
		{ NULL, NULL },
	};
	struct moat_error error = { .text = "" };
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		moat_test_skip("no network namespace of its own: %s", strerror(errno));
	if (moat_links_new(&links, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	r = moat_test_main("links", tests);
	moat_links_free(links);
	return r;
}
