/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See families.h. */
#include "ctl/sidecar/families.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/sidecar/record.h"
#include "dataplane/base/cleanup.h"
#include "moat/event_file.h"
#include "moat/event_kernel.h"
#include "moat/event_net.h"

/* Read when the call returns, not when the kernel read them. */
#define RACE "memory that a thread changes during the call"
#define SYSCALL(program, lost)                                  \
	{                                                       \
		{                                               \
			MOAT_MEANS_SYSCALL, program, NULL, lost \
		}                                               \
	}

#define RING "what io_uring does; " RACE
#define MULTIPLEX "what io_uring does, and ia32's socketcall(2)"
#define EARLY "results, and what fails before the check"
/* The kernel's own check by three means, and the system call; `later` is lost by all of the three. */
#define CHECK(program, later, call, lost)                                    \
	{                                                                    \
		{ MOAT_MEANS_LSM, program "_lsm", NULL, EARLY later },       \
		{ MOAT_MEANS_FENTRY, program "_fentry", NULL, EARLY later }, \
		{ MOAT_MEANS_KPROBE, program "_kprobe", NULL, EARLY later }, \
		{ MOAT_MEANS_SYSCALL, call, NULL, lost },                    \
	}
/* Likewise, of two checks. */
#define CHECKS(program, second, call, lost)                                        \
	{                                                                          \
		{ MOAT_MEANS_LSM, program "_lsm", second "_lsm", EARLY },          \
		{ MOAT_MEANS_FENTRY, program "_fentry", second "_fentry", EARLY }, \
		{ MOAT_MEANS_KPROBE, program "_kprobe", second "_kprobe", EARLY }, \
		{ MOAT_MEANS_SYSCALL, call, NULL, lost },                          \
	}

const struct moat_observation moat_observations[] = {
	{ MOAT_EVENT_SETID, true, SYSCALL("process_call", ""), moat_canary_setid },
	{ MOAT_EVENT_CAPSET, true, SYSCALL("process_call", RACE), moat_canary_capset },
	{ MOAT_EVENT_PTRACE, true, SYSCALL("process_call", ""), moat_canary_ptrace },
	{ MOAT_EVENT_MEMORY, true, SYSCALL("process_call", "/proc/PID/mem: seen as an open"),
	  moat_canary_memory },
	{ MOAT_EVENT_SIGNAL,
	  true,
	  { { MOAT_MEANS_TRACEPOINT, "process_signal", NULL, "attempts that are refused" },
	    { MOAT_MEANS_SYSCALL, "process_call", NULL, "signals by timers and queues" } },
	  moat_canary_signal },
	{ MOAT_EVENT_FILE_OPEN, true, CHECK("file_open", "", "file_open_call", RING),
	  moat_canary_open },
	{ MOAT_EVENT_FILE_CREATE, true, CHECKS("file_mkdir", "file_mknod", "file_path_call", RING),
	  moat_canary_create },
	{ MOAT_EVENT_FILE_RENAME, true, CHECK("file_rename", "", "file_path_call", RING),
	  moat_canary_rename },
	{ MOAT_EVENT_FILE_LINK, true, CHECK("file_link", "", "file_path_call", RING),
	  moat_canary_link },
	{ MOAT_EVENT_FILE_SYMLINK, true, CHECK("file_symlink", "", "file_path_call", RING),
	  moat_canary_symlink },
	{ MOAT_EVENT_FILE_UNLINK, true, CHECKS("file_unlink", "file_rmdir", "file_path_call", RING),
	  moat_canary_unlink },
	{ MOAT_EVENT_FILE_CHMOD, true, CHECK("file_chmod", "", "file_path_call", RACE),
	  moat_canary_chmod },
	{ MOAT_EVENT_FILE_CHOWN, true, SYSCALL("file_path_call", RACE), moat_canary_chown },
	{ MOAT_EVENT_FILE_XATTR, true, SYSCALL("file_path_call", RING), moat_canary_xattr },
	{ MOAT_EVENT_FILE_TRUNCATE, true, SYSCALL("file_path_call", RING), moat_canary_truncate },
	{ MOAT_EVENT_FILE_MOUNT, true, SYSCALL("file_path_call", RACE), moat_canary_mount },
	{ MOAT_EVENT_FILE_UMOUNT, true, SYSCALL("file_path_call", RACE), moat_canary_umount },
	{ MOAT_EVENT_FILE_MAP, true,
	  CHECK("file_map", "; later protections", "file_map_call",
		"the file, where protection changes later"),
	  moat_canary_map },
	{ MOAT_EVENT_FILE_MEMFD, true, SYSCALL("file_path_call", RACE), moat_canary_memfd },
	{ MOAT_EVENT_NET_SOCKET, true, SYSCALL("net_socket_call", MULTIPLEX), moat_canary_socket },
	{ MOAT_EVENT_NET_BIND, true, SYSCALL("net_socket_call", MULTIPLEX), moat_canary_bind },
	{ MOAT_EVENT_NET_LISTEN, true, SYSCALL("net_socket_call", MULTIPLEX), moat_canary_listen },
	/* of the kernel's own means the one that has the result */
	{ MOAT_EVENT_NET_CONNECT,
	  true,
	  { { MOAT_MEANS_FENTRY, "net_connect_fexit", NULL, "" },
	    { MOAT_MEANS_SYSCALL, "net_socket_call", NULL, MULTIPLEX "; " RACE } },
	  moat_canary_connect },
	{ MOAT_EVENT_NET_ACCEPT, true, SYSCALL("net_socket_call", MULTIPLEX), moat_canary_connect },
	{ MOAT_EVENT_NET_STATE,
	  true,
	  { { MOAT_MEANS_TRACEPOINT, "net_state", NULL, "bytes of other protocols than TCP" } },
	  moat_canary_state },
	{ MOAT_EVENT_NET_DNS, true,
	  SYSCALL("net_dns_call",
		  "over TCP, encrypted, in pieces, by write(2), io_uring, 32-bit tasks"),
	  moat_canary_dns },
	{ MOAT_EVENT_KERNEL_BPF, true, SYSCALL("kernel_call", ""), moat_canary_bpf },
	{ MOAT_EVENT_KERNEL_MODULE, true,
	  SYSCALL("kernel_call", "modules that the kernel asks for"), moat_canary_module },
	{ MOAT_EVENT_KERNEL_UNLOAD, true, SYSCALL("kernel_call", RACE), moat_canary_unload },
	{ MOAT_EVENT_KERNEL_PERF, true, SYSCALL("kernel_call", RACE), moat_canary_perf },
	{ MOAT_EVENT_KERNEL_USERFAULTFD, true, SYSCALL("kernel_call", "opens of /dev/userfaultfd"),
	  moat_canary_userfaultfd },
	{ MOAT_EVENT_KERNEL_IO_URING, true, SYSCALL("kernel_call", "what the ring then does"),
	  moat_canary_io_uring },
	{ MOAT_EVENT_KERNEL_KEY, true, SYSCALL("kernel_call", RACE), moat_canary_key },
	{ MOAT_EVENT_KERNEL_KEXEC, true, SYSCALL("kernel_call", ""), moat_canary_kexec },
	{ MOAT_EVENT_KERNEL_UNSHARE, true, SYSCALL("kernel_call", ""), moat_canary_unshare },
	{ MOAT_EVENT_KERNEL_SETNS, true, SYSCALL("kernel_call", ""), moat_canary_setns },
	{ MOAT_EVENT_KERNEL_PIVOT_ROOT, true, SYSCALL("kernel_call", RACE), moat_canary_pivot_root },
	{ MOAT_EVENT_KERNEL_CHROOT, true, SYSCALL("kernel_call", RACE), moat_canary_chroot },
};
const uint32_t moat_observation_count = MOAT_ARRAY_SIZE(moat_observations);

const char *moat_means_name(enum moat_means means)
{
	static const char *const names[MOAT_MEANS_COUNT] = {
		[MOAT_MEANS_NONE] = "none",
		[MOAT_MEANS_LSM] = "lsm",
		[MOAT_MEANS_FENTRY] = "fentry",
		[MOAT_MEANS_KPROBE] = "kprobe",
		[MOAT_MEANS_TRACEPOINT] = "tracepoint",
		[MOAT_MEANS_SYSCALL] = "syscall",
	};

	return means < MOAT_MEANS_COUNT ? names[means] : "none";
}

/* ---- sets --------------------------------------------------------------------------------------- */

bool moat_event_set_has(const struct moat_event_set *set, uint16_t type)
{
	return type < MOAT_EVENT_TYPES && (set->words[type / 64] >> type % 64 & 1);
}

void moat_event_set_add(struct moat_event_set *set, uint16_t type)
{
	if (type < MOAT_EVENT_TYPES)
		set->words[type / 64] |= 1ULL << type % 64;
}

static void add_starts(struct moat_event_set *set)
{
	for (int type = MOAT_EVENT_EXISTING; type <= MOAT_EVENT_EXIT; type++)
		moat_event_set_add(set, (uint16_t)type);
}

void moat_event_set_default(struct moat_event_set *ret_set)
{
	*ret_set = (struct moat_event_set){ 0 };
	add_starts(ret_set);
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		if (moat_observations[i].is_default)
			moat_event_set_add(ret_set, moat_observations[i].type);
	}
}

/* Whether the word names the type: by its own name, by its family's, or by "all". */
static bool word_is(const char *word, size_t length, const char *name)
{
	if (length == 3 && strncmp(word, "all", 3) == 0)
		return true;
	return strncmp(word, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

/* The types that a word means; false: none. */
static bool read_word(const char *word, size_t length, struct moat_event_set *ret_set)
{
	static const char suffix[] = ":all", defaults[] = "default";
	bool found = false;

	*ret_set = (struct moat_event_set){ 0 };
	if (length == strlen(defaults) && strncmp(word, defaults, length) == 0) {
		moat_event_set_default(ret_set);
		return true;
	}
	if (length > strlen(suffix) &&
	    strncmp(word + length - strlen(suffix), suffix, strlen(suffix)) == 0) {
		ret_set->everything = true;
		length -= strlen(suffix);
	}
	for (uint16_t type = MOAT_EVENT_FORK; length > 0 && type < MOAT_EVENT_TYPES; type++) {
		const char *name = moat_event_name(type);

		if (name && word_is(word, length, name)) {
			moat_event_set_add(ret_set, type);
			found = true;
		}
	}
	return found;
}

int moat_event_set_parse(const char *text, struct moat_event_set *ret_set, char *ret_word)
{
	struct moat_event_set set = { 0 }, one;

	for (const char *at = text; *at;) {
		size_t length = strcspn(at, ", ");
		bool takes = *at == '-';

		if (length > 0 && !read_word(at + takes, length - takes, &one)) {
			snprintf(ret_word, 64, "%.*s", (int)(length < 63 ? length : 63), at);
			return -EINVAL;
		}
		for (size_t i = 0; length > 0 && i < MOAT_ARRAY_SIZE(set.words); i++)
			set.words[i] = takes ? set.words[i] & ~one.words[i]
					     : set.words[i] | one.words[i];
		set.everything |= length > 0 && !takes && one.everything;
		at += length + (at[length] != '\0');
	}
	add_starts(&set);
	*ret_set = set;
	return 0;
}
