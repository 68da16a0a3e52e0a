/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which system calls make which records: the table of moat/syscall.h, by name. */
#ifndef MOAT_CTL_SIDECAR_SYSCALLS_H
#define MOAT_CTL_SIDECAR_SYSCALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/syscall.h"

/* Has the calls of one type make records, or no longer, in the map at `map_fd`. 0 or a negative errno. */
int moat_syscalls_set(int map_fd, uint16_t type, bool on);

/* The name of a call by its number and enum moat_abi; NULL: unknown. The caller frees it. */
char *moat_syscalls_name(uint32_t number, uint8_t abi);

/* The program that makes the records, "kernel_call", for each enum moat_syscall_handler; NULL: none. */
const char *moat_syscalls_program(uint32_t handler);

#endif
