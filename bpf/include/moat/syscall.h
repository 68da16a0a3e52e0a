/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls as a means of observation. One program runs as any system call returns; a table by number
 * says which record is made of it, which program makes it, and where among the arguments things are. User
 * space fills the table: it knows the numbers of every ABI, and an observation that goes by other means, or
 * isn't asked for, has no entry and costs nothing.
 */
#ifndef MOAT_SYSCALL_H
#define MOAT_SYSCALL_H

#include "moat/types.h"

/* Which program makes the record: places in the table of programs. */
enum moat_syscall_handler {
	MOAT_HANDLER_PROCESS = 0,
	MOAT_HANDLER_KERNEL,
	MOAT_HANDLER_PATH,
	MOAT_HANDLER_OPEN,
	MOAT_HANDLER_MAP,
	MOAT_HANDLER_SOCKET,
	MOAT_HANDLER_DNS,
	MOAT_HANDLER_COUNT = 16,
};

/* Numbers of one ABI in the table; the compat ones stand behind the native ones. x32 has the native numbers
 * with a bit set; those of its own (from 512 on) are not in it. */
#define MOAT_SYSCALL_NUMBERS 512

#define MOAT_SYSCALL_NONE 7   /* instead of an argument's index */
#define MOAT_SYSCALL_NO_DIR 6 /* of `dir`: the text is no path */

struct moat_syscall_entry {
	__u16 type;    /* of the record; 0: none */
	__u8 handler;  /* enum moat_syscall_handler */
	__u8 constant; /* the first value, if value[0] is NONE */
	__u8 dir[2]; /* argument with the descriptor a path starts at; NONE: the working directory */
	__u8 path[2];   /* argument with a path */
	__u8 values[4]; /* arguments that become call.values */
	__u8 target;    /* argument with a pid or a descriptor, by handler */
	__u8 reserved[3];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_syscall_entry) == 16, "no padding");

#endif
