/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* UDP sockets to numeric addresses. */
#ifndef MOAT_CTL_FLOWS_SOCKET_H
#define MOAT_CTL_FLOWS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"

/* A socket that is bound to this address and port or, with `is_sender`, sends there. The caller's descriptor;
 * -EINVAL: no numeric address; or what the kernel refused it with, the reason in *error behind `what`. */
int moat_flow_socket(const char *what, const char *address, uint16_t port, bool is_sender,
		     struct moat_error *error);

#endif
