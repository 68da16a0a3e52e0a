/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket that `moat oci-hook` talks to: a runtime runs it with a container's state on standard input
 * (OCI runtime-spec, config.md "POSIX-platform Hooks"), before the container's own program. One message is
 * the state, one byte is the answer. Only root may connect.
 */
#ifndef MOAT_CTL_SIDECAR_HOOK_H
#define MOAT_CTL_SIDECAR_HOOK_H

#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "dataplane/base/error.h"

#define MOAT_HOOK_SOCKET_DEFAULT "/run/moat-sidecar/oci.sock"
#define MOAT_HOOK_STATE_MAX 65536 /* bytes of a state */
#define MOAT_HOOK_CLIENTS_MAX 64  /* at a time; more are refused */

struct moat_hook;

/* A state; 0 if it was taken. */
typedef int (*moat_hook_fn)(void *userdata, const char *state, size_t length);

struct moat_hook_counters {
	uint64_t states;  /* taken */
	uint64_t refused; /* connections: not root, too many */
	uint64_t bad;     /* states that the handler didn't take, or none within a second */
};

/* Listens on `path`, whose directory is made with 0700 if it isn't there. */
int moat_hook_new(sd_event *loop, const char *path, moat_hook_fn handler, void *userdata,
		  struct moat_hook **ret_hook, struct moat_error *error);
/* Closes all and removes the socket. NULL is allowed. */
void moat_hook_free(struct moat_hook *hook);

/* Closes what has been silent for a second: call now and then. */
void moat_hook_advance(struct moat_hook *hook, uint64_t now_ns);

void moat_hook_counters(const struct moat_hook *hook, struct moat_hook_counters *ret_counters);

#endif
