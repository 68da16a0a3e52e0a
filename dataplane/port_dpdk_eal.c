/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DPDK's life in a process: begun once, with nothing left in the file system whatever ends it (--in-memory),
 * and with this process's threads as its own.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/port_dpdk.h"

#define ARGUMENTS_MAX 64
#define DEVICES_MAX 64
/* MiB of ordinary memory where there are no huge pages. */
#define SMALL_PAGES_MIB "512"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static bool is_up;

static void thread_leave(void *userdata)
{
	rte_thread_unregister();
}

static void make_key(void)
{
	pthread_key_create(&thread_key, thread_leave);
}

void moat_dpdk_thread_enter(void)
{
	static _Thread_local bool entered;

	if (entered)
		return;
	entered = true;
	/* without a number of its own a thread does without the pools' caches: slower, not wrong */
	if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0)
		pthread_setspecific(thread_key, &thread_key);
}

/* Free huge pages of the default size. */
static long free_huge_pages(void)
{
	moat_auto_fclose FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	long pages = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "HugePages_Free:", 15) == 0) {
			pages = strtol(line + 15, NULL, 10);
			break;
		}
	}
	return pages;
}

static bool has_argument(const struct moat_dpdk_options *options, const char *name)
{
	for (size_t i = 0; i < options->argument_count; i++) {
		if (strncmp(options->arguments[i], name, strlen(name)) == 0)
			return true;
	}
	return false;
}

/* A PCI address, "0000:03:00.0" or without domain. */
static bool is_pci(const char *devargs)
{
	return strspn(devargs, "0123456789abcdefABCDEF") > 0 &&
	       devargs[strspn(devargs, "0123456789abcdefABCDEF")] == ':';
}

/* DPDK would take every PCI device that it has a driver for, those of the running system among them. */
static int allow_devices(const struct moat_dpdk_options *options, char **arguments, int count)
{
	int before = count;

	for (size_t i = 0; i < options->device_count && i < DEVICES_MAX; i++) {
		if (!is_pci(options->devices[i]))
			continue;
		arguments[count++] = (char *)"-a";
		arguments[count++] = (char *)options->devices[i];
	}
	if (count == before && !has_argument(options, "-a") && !has_argument(options, "--allow"))
		arguments[count++] = (char *)"--no-pci";
	return count;
}

/* DPDK pins the thread that begins it, which goes on with other work. */
static int init_unpinned(int count, char **arguments)
{
	cpu_set_t cpus;
	int r;

	pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	r = rte_eal_init(count, arguments);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	return r;
}

int moat_dpdk_init(const struct moat_dpdk_options *options, struct moat_error *error)
{
	char cpu[16], *arguments[ARGUMENTS_MAX + 2 * DEVICES_MAX + 16];
	int count = 0, r;

	if (is_up)
		return 0;
	if (options->argument_count > ARGUMENTS_MAX)
		return moat_error_set(error, -EINVAL, "dpdk.eal: more than %d words", ARGUMENTS_MAX);
	pthread_once(&once, make_key);
	snprintf(cpu, sizeof(cpu), "%d", sched_getcpu());
	arguments[count++] = (char *)"moatd";
	arguments[count++] = (char *)"--no-telemetry";
	if (!has_argument(options, "--log-level"))
		arguments[count++] = (char *)"--log-level=error";
	if (!has_argument(options, "-l") && !has_argument(options, "--lcores")) {
		arguments[count++] = (char *)"-l";
		arguments[count++] = cpu;
	}
	if (!has_argument(options, "--no-huge") && !has_argument(options, "-m") &&
	    free_huge_pages() == 0) {
		arguments[count++] = (char *)"--no-huge";
		arguments[count++] = (char *)"--no-shconf";
		arguments[count++] = (char *)"-m";
		arguments[count++] = (char *)SMALL_PAGES_MIB;
	} else if (!has_argument(options, "--in-memory") && !has_argument(options, "--huge-dir") &&
		   !has_argument(options, "--no-huge")) {
		arguments[count++] = (char *)"--in-memory";
	}
	count = allow_devices(options, arguments, count);
	for (size_t i = 0; i < options->argument_count; i++)
		arguments[count++] = (char *)options->arguments[i];
	arguments[count] = NULL;
	r = init_unpinned(count, arguments);
	if (r < 0)
		return moat_error_set(error, -rte_errno,
				      "DPDK doesn't start: %s (huge pages: %ld free; see dpdk.eal)",
				      rte_strerror(rte_errno), free_huge_pages());
	is_up = true;
	return 0;
}

void moat_dpdk_deinit(void)
{
	if (is_up)
		rte_eal_cleanup();
	is_up = false;
}
