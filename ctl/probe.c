/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One function a question. */
#include "ctl/probe.h"

#include <bpf/libbpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"

__attribute__((format(printf, 3, 4))) static void
found(struct moat_probe *probe, enum moat_probe_state state, const char *format, ...)
{
	va_list args;

	probe->state = state;
	va_start(args, format);
	vsnprintf(probe->found, sizeof(probe->found), format, args);
	va_end(args);
}

static void use(struct moat_probe *probe, const char *text)
{
	snprintf(probe->use, sizeof(probe->use), "%s", text);
}

/* The number that a file of /proc holds, -1 if it can't be read. */
static long number_in(const char *path)
{
	moat_auto_fclose FILE *file = fopen(path, "re");
	char line[32];

	if (!file || !fgets(line, sizeof(line), file))
		return -1;
	return strtol(line, NULL, 10);
}

static void probe_kernel(struct moat_probe *probe)
{
	struct utsname facts;
	unsigned long major, minor;
	char *end;
	bool recent;

	uname(&facts);
	major = strtoul(facts.release, &end, 10);
	minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	/* 5.17 brought bpf_loop, 6.1 is the oldest that is tested */
	recent = major > 6 || (major == 6 && minor >= 1);
	found(probe, recent ? MOAT_PROBE_GOOD : MOAT_PROBE_MISSING, "%.64s %.32s", facts.release,
	      facts.machine);
	use(probe, recent ? "tested from 6.1 on" : "moat needs 6.1 or newer");
}

static void probe_btf(struct moat_probe *probe)
{
	bool there = access("/sys/kernel/btf/vmlinux", R_OK) == 0;

	found(probe, there ? MOAT_PROBE_GOOD : MOAT_PROBE_MISSING,
	      there ? "/sys/kernel/btf/vmlinux" : "none");
	use(probe, there ? "one object for all kernels (CO-RE)"
			 : "a kernel with CONFIG_DEBUG_INFO_BTF is needed");
}

static void probe_bpffs(struct moat_probe *probe)
{
	struct statfs facts;
	bool there = statfs("/sys/fs/bpf", &facts) == 0 &&
		     (unsigned long)facts.f_type == BPF_FS_MAGIC;

	found(probe, there ? MOAT_PROBE_GOOD : MOAT_PROBE_MISSING,
	      there ? "/sys/fs/bpf" : "not mounted");
	use(probe, there ? "the gate outlives moatd there" : "mount -t bpf bpf /sys/fs/bpf");
}

static void probe_capabilities(struct moat_probe *probe)
{
	static const unsigned int needed[] = { CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_NET_RAW };
	char missing[96] = "";

	capng_get_caps_process();
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(needed); i++) {
		size_t length = strlen(missing);

		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i]))
			snprintf(missing + length, sizeof(missing) - length, "%s%s",
				 length ? ", " : "", capng_capability_to_name(needed[i]));
	}
	found(probe, missing[0] ? MOAT_PROBE_MISSING : MOAT_PROBE_GOOD,
	      missing[0] ? "without %s" : "all%s", missing);
	use(probe,
	    missing[0] ? "moatd needs them: root, or its systemd unit" : "moatd drops the rest");
}

static void probe_xdp(struct moat_probe *probe)
{
	int r = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL);

	found(probe, r == 1 ? MOAT_PROBE_GOOD : MOAT_PROBE_MISSING,
	      r == 1  ? "loads"
	      : r < 0 ? "can't be tried without CAP_BPF"
		      : "refused by the kernel");
	use(probe, r == 1 ? "the gate" : "no gate: moatd can't start");
}

static void probe_jit(struct moat_probe *probe)
{
	long value = number_in("/proc/sys/net/core/bpf_jit_enable");
	/* Only root may read it, and another network namespace hasn't got it. */
	bool on = value != 0;

	found(probe, on ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD,
	      value < 0 ? "not readable here"
	      : on      ? "on"
			: "off");
	use(probe, on ? "the gate as machine code"
		      : "interpreted, ten times slower: sysctl net.core.bpf_jit_enable=1");
}

static void probe_ring(struct moat_probe *probe)
{
	int r = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL);

	found(probe, r == 1 ? MOAT_PROBE_GOOD : MOAT_PROBE_MISSING,
	      r == 1  ? "there"
	      : r < 0 ? "can't be tried without CAP_BPF"
		      : "refused by the kernel");
	use(probe, "samples to user space");
}

static void probe_afxdp(struct moat_probe *probe)
{
	moat_auto_close int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int reason = errno;

	if (!MOAT_WITH_AFXDP) {
		found(probe, MOAT_PROBE_INSTEAD, "built without libxdp");
		use(probe, "gateway ports only; no wire, no mirror");
	} else if (fd < 0) {
		found(probe, MOAT_PROBE_INSTEAD, "%s", strerror(reason));
		use(probe, "gateway ports only; no wire, no mirror");
	} else {
		found(probe, MOAT_PROBE_GOOD, "sockets open");
		use(probe, "wire and mirror ports");
	}
}

static void probe_memlock(struct moat_probe *probe)
{
	struct rlimit limit = { 0 };
	bool free_of_it;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	capng_get_caps_process();
	free_of_it = limit.rlim_cur == RLIM_INFINITY ||
		     capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_RESOURCE) ||
		     capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK);
	if (limit.rlim_cur == RLIM_INFINITY)
		found(probe, MOAT_PROBE_GOOD, "unlimited");
	else
		found(probe, free_of_it ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD, "%llu kB",
		      (unsigned long long)limit.rlim_cur / 1024);
	use(probe, free_of_it ? "moatd lifts it for AF_XDP"
			      : "AF_XDP may lack memory: ulimit -l unlimited");
}

static void probe_hugepages(struct moat_probe *probe)
{
	long count = number_in("/proc/sys/vm/nr_hugepages");

	found(probe, count > 0 ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD, "%ld reserved",
	      count > 0 ? count : 0);
	use(probe, "not needed: ordinary pages, transparent huge pages where the kernel gives them");
}

/* The coarse clock advances with the timer interrupt. */
static void probe_hz(struct moat_probe *probe)
{
	struct timespec tick;
	double hz;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	hz = 1e9 / (double)(tick.tv_sec * (long)MOAT_NS_PER_S + tick.tv_nsec);
	found(probe, MOAT_PROBE_GOOD, "%.0f", hz);
	use(probe, hz >= 200 ? "windows of 128 ms by jiffies"
			     : "windows of the power of two of ticks next to 1/8 s");
}

static void probe_membarrier(struct moat_probe *probe)
{
	long commands = syscall(__NR_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	bool there = commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL);

	found(probe, there ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD,
	      there ? "there" : "refused (nohz_full?)");
	use(probe, there ? "rule changes wait for packets in flight"
			 : "rule changes wait for a fixed time");
}

static void probe_cpus(struct moat_probe *probe)
{
	found(probe, MOAT_PROBE_GOOD, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	use(probe, "counters and cells of their own for each");
}

static void probe_gate_memory(struct moat_probe *probe)
{
	uint32_t nodes = 0;
	uint64_t bytes = moat_gate_memory(MOAT_GATE_PIN_DEFAULT, &nodes);

	if (bytes)
		found(probe, MOAT_PROBE_GOOD, "%llu MiB pinned at %s",
		      (unsigned long long)(bytes >> 20), MOAT_GATE_PIN_DEFAULT);
	else
		found(probe, MOAT_PROBE_GOOD, "no gate at %s", MOAT_GATE_PIN_DEFAULT);
	if (bytes)
		snprintf(probe->use, sizeof(probe->use),
			 "twice: roots 65, rules 20, trie nodes %u MiB", nodes >> 10);
	else
		use(probe, "twice: roots 65, rules 20, nodes 32+ MiB");
}

size_t moat_probe_system(struct moat_probe *ret_probes, size_t max)
{
	static const struct {
		const char *name;
		void (*run)(struct moat_probe *probe);
	} questions[] = {
		{ "kernel", probe_kernel },
		{ "BTF", probe_btf },
		{ "bpffs", probe_bpffs },
		{ "capabilities", probe_capabilities },
		{ "XDP programs", probe_xdp },
		{ "BPF JIT", probe_jit },
		{ "BPF ring buffer", probe_ring },
		{ "AF_XDP", probe_afxdp },
		{ "locked memory", probe_memlock },
		{ "huge pages", probe_hugepages },
		{ "timer (HZ)", probe_hz },
		{ "membarrier", probe_membarrier },
		{ "gate memory", probe_gate_memory },
		{ "CPUs", probe_cpus },
	};
	size_t count = 0;

	libbpf_set_print(NULL);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(questions) && count < max; i++) {
		struct moat_probe *probe = &ret_probes[count++];

		*probe = (struct moat_probe){ 0 };
		snprintf(probe->name, sizeof(probe->name), "%s", questions[i].name);
		questions[i].run(probe);
	}
	return count;
}

size_t moat_probe_libraries(struct moat_probe *ret_probes, size_t max)
{
	static const struct {
		const char *name;
		bool there;
		const char *with, *without;
	} libraries[] = {
		{ "libxdp", MOAT_WITH_AFXDP, "AF_XDP ports", "gateway ports only" },
		{ "libdpdk", MOAT_WITH_DPDK, "DPDK ports", "AF_XDP ports" },
		{ "libhs", MOAT_WITH_HYPERSCAN, "built with, no detector uses it yet",
		  "detectors on headers only" },
		{ "libnuma", MOAT_WITH_NUMA, "workers and their memory near the device",
		  "memory where the kernel puts it" },
	};
	size_t count = 0;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(libraries) && count < max; i++) {
		struct moat_probe *probe = &ret_probes[count++];

		*probe = (struct moat_probe){ 0 };
		snprintf(probe->name, sizeof(probe->name), "%s", libraries[i].name);
		found(probe, libraries[i].there ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD, "%s",
		      libraries[i].there ? "found at build" : "not found at build");
		use(probe, libraries[i].there ? libraries[i].with : libraries[i].without);
	}
	/* Required ones by their version at run time. */
	if (count < max) {
		struct moat_probe *probe = &ret_probes[count++];

		*probe = (struct moat_probe){ .name = "libbpf" };
		found(probe, MOAT_PROBE_GOOD, "%s", libbpf_version_string());
		use(probe, "loads the gate");
	}
	return count;
}
