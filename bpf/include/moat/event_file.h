/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is done to files. One layout for all of it: the act, the file if the kernel had it in its hands, and
 * up to two paths.
 */
#ifndef MOAT_EVENT_FILE_H
#define MOAT_EVENT_FILE_H

#include "moat/event.h"

/* struct moat_event_file each; what call.values hold stands behind */
enum moat_event_file_type {
	MOAT_EVENT_FILE_OPEN = 32, /* O_… flags, mode of what is created, FMODE_… of the open file */
	MOAT_EVENT_FILE_CREATE = 33,  /* mode with its type: mknod(2), mkdir(2) */
	MOAT_EVENT_FILE_RENAME = 34,  /* RENAME_… flags */
	MOAT_EVENT_FILE_LINK = 35,    /* AT_… flags */
	MOAT_EVENT_FILE_SYMLINK = 36, /* the first path is the link's text, the second its place */
	MOAT_EVENT_FILE_UNLINK = 37,  /* AT_… flags: AT_REMOVEDIR for a directory */
	MOAT_EVENT_FILE_CHMOD = 38,   /* mode */
	MOAT_EVENT_FILE_CHOWN = 39,   /* uid, gid; ~0 (32 bits): stays */
	MOAT_EVENT_FILE_XATTR = 40, /* 1 if it is removed, size of the value; the second path is the name */
	MOAT_EVENT_FILE_TRUNCATE = 41, /* length */
	MOAT_EVENT_FILE_MOUNT = 42,    /* flags; what the paths are goes by call.number */
	MOAT_EVENT_FILE_UMOUNT = 43,   /* MNT_… flags */
	MOAT_EVENT_FILE_MAP = 44,      /* PROT_… flags, MAP_… flags, length: to be executed */
	MOAT_EVENT_FILE_MEMFD = 45,    /* MFD_… flags; the first path is the name */
	MOAT_EVENT_FILE_END,
};

/* A path is told in two parts. Names: from the file, or the directory that a relative path starts at, up to
 * the root of its mount namespace, leaf first and each with its 0. Given: text as the caller wrote it,
 * with its 0, relative to that directory if it doesn't begin with '/'. Either may be missing. */
enum moat_file_part {
	MOAT_PART_NAMES = 0,
	MOAT_PART_GIVEN = 1,
	MOAT_PART_NAMES2 = 2,
	MOAT_PART_GIVEN2 = 3,
	MOAT_PART_COUNT,
};

#define MOAT_PART_LEN 1024 /* bytes of a part; beyond, it is cut */
#define MOAT_PART_DEPTH 32 /* names told of one path */
#define MOAT_FILE_NAME_LEN 256

enum moat_file_event_flag {
	MOAT_FILE_CUT = 1, /* a bit a part, by its number: there is more than is told */
	MOAT_FILE_UNREADABLE = 1 << 4,
};

struct moat_event_file {
	struct moat_event head;
	struct moat_call call;
	struct moat_file file; /* inode 0: unknown */
	__u16 lengths[MOAT_PART_COUNT];
	__u32 flags;  /* enum moat_file_event_flag */
	__u32 mode;   /* of the file, with its type; 0: unknown */
	__u32 owner;  /* of the file; ~0: unknown */
	__u32 dir_fd; /* as given for the first path; ~0: none */
	char text[MOAT_PART_COUNT * MOAT_PART_LEN];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_event_file) % 8 == 0, "a record's size");

#endif
