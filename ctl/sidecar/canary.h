/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Harmless acts, one an observation: done by moat-sidecar itself, each has to come back as a record. They ask
 * for what is refused, change what is theirs, or set what is set already.
 */
#ifndef MOAT_CTL_SIDECAR_CANARY_H
#define MOAT_CTL_SIDECAR_CANARY_H

#include <sys/types.h>

/* What the acts work on. */
struct moat_canary {
	pid_t child;        /* another process, for what is done to others; 0: there is none */
	char directory[64]; /* of its own; where none can be made, a path at which all acts fail */
};

typedef void (*moat_canary_fn)(const struct moat_canary *canary);

/* Starts the child and makes the directory; what fails is left out, and the observation that needs it isn't
 * proved. */
void moat_canary_begin(struct moat_canary *ret_canary);
void moat_canary_end(struct moat_canary *canary);

void moat_canary_setid(const struct moat_canary *canary);
void moat_canary_capset(const struct moat_canary *canary);
void moat_canary_ptrace(const struct moat_canary *canary);
void moat_canary_memory(const struct moat_canary *canary);
void moat_canary_signal(const struct moat_canary *canary);

/* canary_file.c */
void moat_canary_open(const struct moat_canary *canary);
void moat_canary_create(const struct moat_canary *canary);
void moat_canary_rename(const struct moat_canary *canary);
void moat_canary_link(const struct moat_canary *canary);
void moat_canary_symlink(const struct moat_canary *canary);
void moat_canary_unlink(const struct moat_canary *canary);
void moat_canary_chmod(const struct moat_canary *canary);
void moat_canary_chown(const struct moat_canary *canary);
void moat_canary_xattr(const struct moat_canary *canary);
void moat_canary_truncate(const struct moat_canary *canary);
void moat_canary_mount(const struct moat_canary *canary);
void moat_canary_umount(const struct moat_canary *canary);
void moat_canary_map(const struct moat_canary *canary);
void moat_canary_memfd(const struct moat_canary *canary);

/* canary_net.c; connect accepts, too */
void moat_canary_socket(const struct moat_canary *canary);
void moat_canary_bind(const struct moat_canary *canary);
void moat_canary_listen(const struct moat_canary *canary);
void moat_canary_connect(const struct moat_canary *canary);
void moat_canary_state(const struct moat_canary *canary);
void moat_canary_dns(const struct moat_canary *canary);

void moat_canary_bpf(const struct moat_canary *canary);
void moat_canary_module(const struct moat_canary *canary);
void moat_canary_unload(const struct moat_canary *canary);
void moat_canary_perf(const struct moat_canary *canary);
void moat_canary_userfaultfd(const struct moat_canary *canary);
void moat_canary_io_uring(const struct moat_canary *canary);
void moat_canary_key(const struct moat_canary *canary);
void moat_canary_kexec(const struct moat_canary *canary);
void moat_canary_unshare(const struct moat_canary *canary);
void moat_canary_setns(const struct moat_canary *canary);
void moat_canary_pivot_root(const struct moat_canary *canary);
void moat_canary_chroot(const struct moat_canary *canary);

#endif
