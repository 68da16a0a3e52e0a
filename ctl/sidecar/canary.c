/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See canary.h. System calls by number: the C library would leave some out, or do more. */
#include "ctl/sidecar/canary.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

void moat_canary_begin(struct moat_canary *ret_canary)
{
	/* where systemd's ProtectSystem lets it */
	static const char *const places[] = { "/run/moat", "/dev/shm", "/tmp" };
	pid_t parent = getpid();

	*ret_canary = (struct moat_canary){ .child = 0 };
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(places) && !ret_canary->directory[0]; i++) {
		snprintf(ret_canary->directory, sizeof(ret_canary->directory),
			 "%s/moat-canary-XXXXXX", places[i]);
		if (!mkdtemp(ret_canary->directory))
			ret_canary->directory[0] = '\0';
	}
	/* nowhere to write: what is tried must not fall on files of others, but fail (ENOTDIR) */
	if (!ret_canary->directory[0])
		snprintf(ret_canary->directory, sizeof(ret_canary->directory),
			 "/dev/null/moat-canary");
	ret_canary->child = fork();
	if (ret_canary->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		for (;;)
			pause();
	}
	if (ret_canary->child < 0)
		ret_canary->child = 0;
}

void moat_canary_end(struct moat_canary *canary)
{
	if (canary->child > 0) {
		kill(canary->child, SIGKILL);
		waitpid(canary->child, NULL, 0);
	}
	if (canary->directory[0])
		rmdir(canary->directory);
}

/* ---- processes ---------------------------------------------------------------------------------- */

void moat_canary_setid(const struct moat_canary *canary)
{
	syscall(SYS_setuid, getuid());
}

void moat_canary_capset(const struct moat_canary *canary)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) == 0)
		syscall(SYS_capset, &head, data);
}

void moat_canary_ptrace(const struct moat_canary *canary)
{
	/* refused: it isn't traced */
	if (canary->child)
		syscall(SYS_ptrace, PTRACE_DETACH, canary->child, 0, 0);
}

void moat_canary_memory(const struct moat_canary *canary)
{
	struct iovec nothing = { 0 };

	if (canary->child)
		syscall(SYS_process_vm_readv, canary->child, &nothing, 1, &nothing, 1, 0);
}

void moat_canary_signal(const struct moat_canary *canary)
{
	/* ignored by default */
	if (canary->child)
		kill(canary->child, SIGURG);
}

/* ---- the kernel's surface: each asks for what can't be ------------------------------------------- */

void moat_canary_bpf(const struct moat_canary *canary)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	syscall(SYS_bpf, BPF_OBJ_GET, &attributes, sizeof(attributes)); /* of no path */
}

void moat_canary_module(const struct moat_canary *canary)
{
	syscall(SYS_finit_module, -1, "", 0);
}

void moat_canary_unload(const struct moat_canary *canary)
{
	syscall(SYS_delete_module, "moat-canary", 0);
}

void moat_canary_perf(const struct moat_canary *canary)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_MAX };

	syscall(SYS_perf_event_open, &attributes, -1, -1, -1, 0);
}

void moat_canary_userfaultfd(const struct moat_canary *canary)
{
	syscall(SYS_userfaultfd, -1);
}

void moat_canary_io_uring(const struct moat_canary *canary)
{
	syscall(SYS_io_uring_setup, 0, NULL);
}

void moat_canary_key(const struct moat_canary *canary)
{
	syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0, 0, 0);
}

void moat_canary_kexec(const struct moat_canary *canary)
{
	syscall(SYS_kexec_load, 0, -1L, NULL, -1L);
}

void moat_canary_unshare(const struct moat_canary *canary)
{
	syscall(SYS_unshare, 0);
}

void moat_canary_setns(const struct moat_canary *canary)
{
	syscall(SYS_setns, -1, 0);
}

void moat_canary_pivot_root(const struct moat_canary *canary)
{
	syscall(SYS_pivot_root, "", "");
}

void moat_canary_chroot(const struct moat_canary *canary)
{
	syscall(SYS_chroot, "");
}
