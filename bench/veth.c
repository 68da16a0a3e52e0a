/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/veth.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int run_ip(const char *const *arguments)
{
	extern char **environ;
	int status;
	pid_t pid;
	int r = posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)arguments, environ);

	if (r != 0)
		return -r;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int bench_veth_make(const char *in, const char *out, struct moat_error *error)
{
	const char *add[] = { "ip", "link", "add", in, "type", "veth", "peer", "name", out, NULL };
	const char *in_up[] = { "ip", "link", "set", in, "up", NULL };
	const char *out_up[] = { "ip", "link", "set", out, "up", NULL };
	int r = run_ip(add);

	if (r == 0)
		r = run_ip(in_up);
	if (r == 0)
		r = run_ip(out_up);
	return r < 0 ? moat_error_set(error, r, "making %s and %s with ip(8): %s", in, out,
				      strerror(-r))
		     : 0;
}

uint32_t bench_veth_received(const char *name)
{
	struct ifaddrs *all;
	uint32_t received = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
		if (one->ifa_addr && one->ifa_addr->sa_family == AF_PACKET && one->ifa_data &&
		    strcmp(one->ifa_name, name) == 0)
			received = ((const struct rtnl_link_stats *)one->ifa_data)->rx_packets;
	}
	freeifaddrs(all);
	return received;
}
