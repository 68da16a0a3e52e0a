/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* libxdp's dispatcher: several XDP programs on one interface, the next where one passes a packet. */
#ifndef MOAT_DATAPLANE_DISPATCH_H
#define MOAT_DATAPLANE_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "dataplane/base/error.h"

/* Runs before programs that don't say (libxdp's default is 50). */
#define MOAT_DISPATCH_PRIORITY 10

/* Loads the program of an opened object into the dispatcher of an interface, which is made if there is none;
 * what is in it already stays. In driver mode, or `generic`. 0, or -ENOTSUP: this kernel attaches
 * no program to another's function, or moat is built without libxdp; -EEXIST: a program that no dispatcher
 * called stands there; or what libxdp says. On failure the object is used up. Nothing is left behind on failure. Needs CAP_SYS_ADMIN. */
int moat_dispatch_attach(struct bpf_object *object, const char *program, int ifindex, bool generic,
			 struct moat_error *error);

/* Takes a program of ours out; the others go on. Needs CAP_SYS_ADMIN. 0 or a negative errno. */
int moat_dispatch_detach(int prog_fd, int ifindex);

/* Whether the dispatcher with an id on an interface calls a program, by libxdp's pins: needs no privilege
 * but to read those. */
bool moat_dispatch_holds(int ifindex, uint32_t dispatcher, uint32_t program);

#endif
