/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See syscalls.h. Numbers come from libseccomp, for those calls that it is too old for from here. */
#include "ctl/sidecar/syscalls.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "moat/event.h"
#include "moat/event_file.h"
#include "moat/event_kernel.h"
#include "moat/event_net.h"

/* enum moat_syscall_handler, for short */
#define PROCESS MOAT_HANDLER_PROCESS
#define KERNEL MOAT_HANDLER_KERNEL
#define PATH MOAT_HANDLER_PATH
#define OPEN MOAT_HANDLER_OPEN
#define MAP MOAT_HANDLER_MAP
#define SOCKET MOAT_HANDLER_SOCKET
#define DNS MOAT_HANDLER_DNS

struct row {
	const char *name;
	uint16_t type;
	uint8_t handler;
	/* A letter an argument. 0 to 3: that value of the record; d, e: descriptor of the directory that the
	 * first or second path starts at; p, q: the first, second path; n, m: likewise, but no path; t: target;
	 * -: not told. */
	const char *arguments;
	uint8_t constant; /* the first value, if no argument is */
};

static const struct row rows[] = {
	{ "setuid", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setgid", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setreuid", MOAT_EVENT_SETID, PROCESS, "01", 0 },
	{ "setregid", MOAT_EVENT_SETID, PROCESS, "01", 0 },
	{ "setresuid", MOAT_EVENT_SETID, PROCESS, "012", 0 },
	{ "setresgid", MOAT_EVENT_SETID, PROCESS, "012", 0 },
	{ "setfsuid", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setfsgid", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setgroups", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	/* ia32 has those of 16 and of 32 bits */
	{ "setuid32", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setgid32", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setreuid32", MOAT_EVENT_SETID, PROCESS, "01", 0 },
	{ "setregid32", MOAT_EVENT_SETID, PROCESS, "01", 0 },
	{ "setresuid32", MOAT_EVENT_SETID, PROCESS, "012", 0 },
	{ "setresgid32", MOAT_EVENT_SETID, PROCESS, "012", 0 },
	{ "setfsuid32", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setfsgid32", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "setgroups32", MOAT_EVENT_SETID, PROCESS, "0", 0 },
	{ "capset", MOAT_EVENT_CAPSET, PROCESS, "", 0 },
	{ "ptrace", MOAT_EVENT_PTRACE, PROCESS, "0t1", 0 },
	{ "process_vm_readv", MOAT_EVENT_MEMORY, PROCESS, "t", 0 },
	{ "process_vm_writev", MOAT_EVENT_MEMORY, PROCESS, "t", 1 },
	{ "kill", MOAT_EVENT_SIGNAL, PROCESS, "t0", 0 },
	{ "tkill", MOAT_EVENT_SIGNAL, PROCESS, "t0", 0 },
	{ "tgkill", MOAT_EVENT_SIGNAL, PROCESS, "t-0", 0 },
	{ "open", MOAT_EVENT_FILE_OPEN, OPEN, "p01", 0 },
	{ "openat", MOAT_EVENT_FILE_OPEN, OPEN, "dp01", 0 },
	{ "openat2", MOAT_EVENT_FILE_OPEN, OPEN, "dp", 0 },
	{ "creat", MOAT_EVENT_FILE_OPEN, OPEN, "p1", 0 },
	{ "open_by_handle_at", MOAT_EVENT_FILE_OPEN, OPEN, "--0", 0 },
	{ "mknod", MOAT_EVENT_FILE_CREATE, PATH, "p0", 0 },
	{ "mknodat", MOAT_EVENT_FILE_CREATE, PATH, "dp0", 0 },
	{ "mkdir", MOAT_EVENT_FILE_CREATE, PATH, "p0", 0 },
	{ "mkdirat", MOAT_EVENT_FILE_CREATE, PATH, "dp0", 0 },
	{ "rename", MOAT_EVENT_FILE_RENAME, PATH, "pq", 0 },
	{ "renameat", MOAT_EVENT_FILE_RENAME, PATH, "dpeq", 0 },
	{ "renameat2", MOAT_EVENT_FILE_RENAME, PATH, "dpeq0", 0 },
	{ "link", MOAT_EVENT_FILE_LINK, PATH, "pq", 0 },
	{ "linkat", MOAT_EVENT_FILE_LINK, PATH, "dpeq0", 0 },
	{ "symlink", MOAT_EVENT_FILE_SYMLINK, PATH, "nq", 0 },
	{ "symlinkat", MOAT_EVENT_FILE_SYMLINK, PATH, "neq", 0 },
	{ "unlink", MOAT_EVENT_FILE_UNLINK, PATH, "p", 0 },
	{ "unlinkat", MOAT_EVENT_FILE_UNLINK, PATH, "dp0", 0 },
	{ "rmdir", MOAT_EVENT_FILE_UNLINK, PATH, "p", 0 },
	{ "chmod", MOAT_EVENT_FILE_CHMOD, PATH, "p0", 0 },
	{ "fchmod", MOAT_EVENT_FILE_CHMOD, PATH, "d0", 0 },
	{ "fchmodat", MOAT_EVENT_FILE_CHMOD, PATH, "dp0", 0 },
	{ "fchmodat2", MOAT_EVENT_FILE_CHMOD, PATH, "dp0", 0 },
	{ "chown", MOAT_EVENT_FILE_CHOWN, PATH, "p01", 0 },
	{ "lchown", MOAT_EVENT_FILE_CHOWN, PATH, "p01", 0 },
	{ "fchown", MOAT_EVENT_FILE_CHOWN, PATH, "d01", 0 },
	{ "fchownat", MOAT_EVENT_FILE_CHOWN, PATH, "dp01", 0 },
	{ "chown32", MOAT_EVENT_FILE_CHOWN, PATH, "p01", 0 },
	{ "lchown32", MOAT_EVENT_FILE_CHOWN, PATH, "p01", 0 },
	{ "fchown32", MOAT_EVENT_FILE_CHOWN, PATH, "d01", 0 },
	{ "setxattr", MOAT_EVENT_FILE_XATTR, PATH, "pm-1", 0 },
	{ "lsetxattr", MOAT_EVENT_FILE_XATTR, PATH, "pm-1", 0 },
	{ "fsetxattr", MOAT_EVENT_FILE_XATTR, PATH, "dm-1", 0 },
	{ "setxattrat", MOAT_EVENT_FILE_XATTR, PATH, "dp-m", 0 },
	{ "removexattr", MOAT_EVENT_FILE_XATTR, PATH, "pm", 1 },
	{ "lremovexattr", MOAT_EVENT_FILE_XATTR, PATH, "pm", 1 },
	{ "fremovexattr", MOAT_EVENT_FILE_XATTR, PATH, "dm", 1 },
	{ "removexattrat", MOAT_EVENT_FILE_XATTR, PATH, "dp-m", 1 },
	{ "truncate", MOAT_EVENT_FILE_TRUNCATE, PATH, "p0", 0 },
	{ "ftruncate", MOAT_EVENT_FILE_TRUNCATE, PATH, "d0", 0 },
	{ "truncate64", MOAT_EVENT_FILE_TRUNCATE, PATH, "p0", 0 },
	{ "ftruncate64", MOAT_EVENT_FILE_TRUNCATE, PATH, "d0", 0 },
	{ "mount", MOAT_EVENT_FILE_MOUNT, PATH, "mp-0", 0 },
	{ "move_mount", MOAT_EVENT_FILE_MOUNT, PATH, "eqdp0", 0 },
	{ "open_tree", MOAT_EVENT_FILE_MOUNT, PATH, "dp0", 0 },
	{ "open_tree_attr", MOAT_EVENT_FILE_MOUNT, PATH, "dp0", 0 },
	{ "mount_setattr", MOAT_EVENT_FILE_MOUNT, PATH, "dp0", 0 },
	{ "fspick", MOAT_EVENT_FILE_MOUNT, PATH, "dp0", 0 },
	{ "fsopen", MOAT_EVENT_FILE_MOUNT, PATH, "n0", 0 },
	{ "fsmount", MOAT_EVENT_FILE_MOUNT, PATH, "d01", 0 },
	{ "umount", MOAT_EVENT_FILE_UMOUNT, PATH, "p", 0 },
	{ "umount2", MOAT_EVENT_FILE_UMOUNT, PATH, "p0", 0 },
	{ "mmap", MOAT_EVENT_FILE_MAP, MAP, "-201t", 0 },
	{ "mmap2", MOAT_EVENT_FILE_MAP, MAP, "-201t", 0 },
	{ "mprotect", MOAT_EVENT_FILE_MAP, MAP, "-20", 0 },
	{ "pkey_mprotect", MOAT_EVENT_FILE_MAP, MAP, "-20", 0 },
	{ "memfd_create", MOAT_EVENT_FILE_MEMFD, PATH, "n0", 0 },
	{ "socket", MOAT_EVENT_NET_SOCKET, SOCKET, "012", 0 },
	{ "bind", MOAT_EVENT_NET_BIND, SOCKET, "tn0", 0 },
	{ "listen", MOAT_EVENT_NET_LISTEN, SOCKET, "t0", 0 },
	{ "connect", MOAT_EVENT_NET_CONNECT, SOCKET, "tn0", 0 },
	{ "accept", MOAT_EVENT_NET_ACCEPT, SOCKET, "", 0 },
	{ "accept4", MOAT_EVENT_NET_ACCEPT, SOCKET, "", 0 },
	/* the constant: how its messages are laid out */
	{ "sendto", MOAT_EVENT_NET_DNS, DNS, "", 0 },
	{ "sendmsg", MOAT_EVENT_NET_DNS, DNS, "", 1 },
	{ "sendmmsg", MOAT_EVENT_NET_DNS, DNS, "", 2 },
	{ "bpf", MOAT_EVENT_KERNEL_BPF, KERNEL, "0-1", 0 },
	{ "init_module", MOAT_EVENT_KERNEL_MODULE, KERNEL, "--n", 0 },
	{ "finit_module", MOAT_EVENT_KERNEL_MODULE, KERNEL, "-n0", 0 },
	{ "delete_module", MOAT_EVENT_KERNEL_UNLOAD, KERNEL, "n0", 0 },
	{ "perf_event_open", MOAT_EVENT_KERNEL_PERF, KERNEL, "-23", 0 },
	{ "userfaultfd", MOAT_EVENT_KERNEL_USERFAULTFD, KERNEL, "0", 0 },
	{ "io_uring_setup", MOAT_EVENT_KERNEL_IO_URING, KERNEL, "0", 0 },
	{ "add_key", MOAT_EVENT_KERNEL_KEY, KERNEL, "n", 0 },
	{ "request_key", MOAT_EVENT_KERNEL_KEY, KERNEL, "n", 0 },
	{ "keyctl", MOAT_EVENT_KERNEL_KEY, KERNEL, "0", 0 },
	{ "kexec_load", MOAT_EVENT_KERNEL_KEXEC, KERNEL, "-0-1", 0 },
	{ "kexec_file_load", MOAT_EVENT_KERNEL_KEXEC, KERNEL, "----1", 0 },
	{ "unshare", MOAT_EVENT_KERNEL_UNSHARE, KERNEL, "0", 0 },
	{ "setns", MOAT_EVENT_KERNEL_SETNS, KERNEL, "01", 0 },
	{ "pivot_root", MOAT_EVENT_KERNEL_PIVOT_ROOT, KERNEL, "p", 0 },
	{ "chroot", MOAT_EVENT_KERNEL_CHROOT, KERNEL, "p", 0 },
};

static void make_entry(const struct row *row, struct moat_syscall_entry *ret_entry)
{
	*ret_entry = (struct moat_syscall_entry){
		.type = row->type,
		.handler = row->handler,
		.constant = row->constant,
		.dir = { MOAT_SYSCALL_NONE, MOAT_SYSCALL_NONE },
		.path = { MOAT_SYSCALL_NONE, MOAT_SYSCALL_NONE },
		.values = { MOAT_SYSCALL_NONE, MOAT_SYSCALL_NONE, MOAT_SYSCALL_NONE,
			    MOAT_SYSCALL_NONE },
		.target = MOAT_SYSCALL_NONE,
	};
	for (uint8_t i = 0; row->arguments[i]; i++) {
		char letter = row->arguments[i];

		if (letter >= '0' && letter <= '3')
			ret_entry->values[letter - '0'] = i;
		else if (letter == 'd' || letter == 'e')
			ret_entry->dir[letter - 'd'] = i;
		else if (letter == 'p' || letter == 'q')
			ret_entry->path[letter - 'p'] = i;
		else if (letter == 't')
			ret_entry->target = i;
		else if (letter == 'n' || letter == 'm') {
			ret_entry->path[letter == 'm'] = i;
			ret_entry->dir[letter == 'm'] = MOAT_SYSCALL_NO_DIR;
		}
	}
}

/* Calls that libseccomp 2.5.4 doesn't know; they have one number in all ABIs. */
static const struct {
	const char *name;
	int number;
} young[] = {
	{ "fchmodat2", 452 },
	{ "open_tree_attr", 467 },
	{ "setxattrat", 463 },
	{ "removexattrat", 466 },
};

static int number_of(uint32_t arch, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(arch, name);

	for (size_t i = 0; number < 0 && i < MOAT_ARRAY_SIZE(young); i++) {
		if (strcmp(young[i].name, name) == 0)
			return young[i].number;
	}
	/* below 0: of other ABIs alone, or one of several behind a common number (ia32's socketcall) */
	return number;
}

static uint32_t compat_arch(void)
{
	return seccomp_arch_native() == SCMP_ARCH_X86_64 ? SCMP_ARCH_X86 : SCMP_ARCH_ARM;
}

static int set(int map_fd, uint32_t base, int number, const struct moat_syscall_entry *entry)
{
	uint32_t place = base + (uint32_t)number;

	if (number < 0 || number >= MOAT_SYSCALL_NUMBERS)
		return 0;
	return bpf_map_update_elem(map_fd, &place, entry, BPF_ANY);
}

int moat_syscalls_set(int map_fd, uint16_t type, bool on)
{
	struct moat_syscall_entry entry = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(rows); i++) {
		if (rows[i].type != type)
			continue;
		if (on)
			make_entry(&rows[i], &entry);
		r = set(map_fd, 0, number_of(seccomp_arch_native(), rows[i].name), &entry);
		if (r == 0)
			r = set(map_fd, MOAT_SYSCALL_NUMBERS,
				number_of(compat_arch(), rows[i].name), &entry);
	}
	return r;
}

char *moat_syscalls_name(uint32_t number, uint8_t abi)
{
	uint32_t arch = abi == MOAT_ABI_COMPAT ? compat_arch() : seccomp_arch_native();

	if (abi == MOAT_ABI_NONE || number == UINT32_MAX)
		return NULL;
	if (abi == MOAT_ABI_X32)
		number &= ~0x40000000U;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(young); i++) {
		if ((uint32_t)young[i].number == number)
			return strdup(young[i].name);
	}
	return seccomp_syscall_resolve_num_arch(arch, (int)number);
}

const char *moat_syscalls_program(uint32_t handler)
{
	static const char *const programs[MOAT_HANDLER_COUNT] = {
		[MOAT_HANDLER_PROCESS] = "process_call", [MOAT_HANDLER_KERNEL] = "kernel_call",
		[MOAT_HANDLER_PATH] = "file_path_call",  [MOAT_HANDLER_OPEN] = "file_open_call",
		[MOAT_HANDLER_MAP] = "file_map_call",    [MOAT_HANDLER_SOCKET] = "net_socket_call",
		[MOAT_HANDLER_DNS] = "net_dns_call",
	};

	return handler < MOAT_HANDLER_COUNT ? programs[handler] : NULL;
}
