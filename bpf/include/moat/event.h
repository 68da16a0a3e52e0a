/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Host events: what the probes of bpf/host send to moat-sidecar, and moat-sidecar passes on to moatd.
 *
 * A record begins with struct moat_event. Every CPU numbers the records it tries to send, from 1; a number
 * that never arrives is a record that was lost, and the CPU's counters say where. So sent = received +
 * lost, and both sides can check it.
 */
#ifndef MOAT_EVENT_H
#define MOAT_EVENT_H

#include "moat/types.h"

enum moat_event_type {
	MOAT_EVENT_NONE = 0,
	MOAT_EVENT_EXISTING, /* struct moat_event_task: a process that was there before the probes */
	MOAT_EVENT_FORK,     /* struct moat_event_task: a new process, told by its parent */
	MOAT_EVENT_EXEC,     /* struct moat_event_exec */
	MOAT_EVENT_EXIT,     /* struct moat_event_exit: one a thread group, with its last thread */
	MOAT_EVENT_COUNT,
};

/* Names a process for the life of the kernel: a pid comes again, a pid with its start time doesn't. With
 * `execs` (task_struct.self_exec_id) it names one program run by it. */
struct moat_process {
	__u64 start_ns; /* of the group leader, CLOCK_BOOTTIME */
	__u32 tgid;     /* in the initial pid namespace */
	__u32 execs;    /* wraps */
};
MOAT_STATIC_ASSERT(sizeof(struct moat_process) == 16, "stands in every record");

#define MOAT_COMM_LEN 16

/* Who did it. Ids are those of the initial namespaces. */
struct moat_task {
	struct moat_process self;
	struct moat_process parent; /* real_parent; all zero: none */
	__u64 cgroup_id;            /* of the cgroup2 hierarchy; 0 for EXISTING tasks of others */
	__u32 tid;
	__u32 ns_tid; /* in the innermost pid namespace */
	__u32 uid, gid, euid, egid;
	__u32 loginuid;                        /* ~0: not set */
	__u32 session;                         /* audit session, ~0: none */
	__u32 pid_ns, mnt_ns, net_ns, user_ns; /* inode numbers as below /proc/PID/ns; 0: gone */
	char comm[MOAT_COMM_LEN];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_task) == 104, "no padding: compared as memory");

struct moat_event {
	__u32 size; /* of the whole record, a multiple of 8 */
	__u16 type; /* enum moat_event_type */
	__u16 cpu;
	__u64 sequence; /* of the CPU, from 1 */
	__u64 time_ns;  /* CLOCK_MONOTONIC, as in struct moat_sample */
	struct moat_task task;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_event) == 128, "two cache lines");

/* EXISTING: `subject` is the task of the head. FORK: the child, the head's task being its parent. */
struct moat_event_task {
	struct moat_event head;
	struct moat_task subject;
};

enum moat_file_flag {
	MOAT_FILE_UNLINKED = 1, /* no name leads to it any more: deleted, or a memfd */
	MOAT_FILE_MEMFD = 2,    /* of the kernel's own tmpfs mount, made by memfd_create(2) */
};

/* The file behind an executable. */
struct moat_file {
	__u64 inode;
	__u64 ctime_ns; /* CLOCK_REALTIME */
	__u32 device;   /* kernel's dev_t: major << 20 | minor */
	__u32 flags;    /* enum moat_file_flag */
};

#define MOAT_EXEC_PATH_LEN 256
#define MOAT_EXEC_ARGS_LEN 1024

/* The new program; the head's task has its identity after the exec. The text holds the path as it was
 * given to execve(2), with its final 0, and then the arguments, each with its 0. */
struct moat_event_exec {
	struct moat_event head;
	struct moat_file file;
	__u32 previous_execs; /* of struct moat_process, before */
	__u32 args_total;     /* bytes that the arguments have; beyond args_len they are cut */
	__u16 path_len;       /* with its 0; MOAT_EXEC_PATH_LEN: may be cut */
	__u16 args_len;
	__u32 interpreter; /* 1: a script; the path is the script's, the file the interpreter's */
	char text[MOAT_EXEC_PATH_LEN + MOAT_EXEC_ARGS_LEN];
};

struct moat_event_exit {
	struct moat_event head;
	__u32 code;   /* exit status, 0 if killed */
	__u32 signal; /* that ended it; 0: none */
	__u64 reserved;
};

/* What one CPU counts; only its own probes write it. */
struct moat_event_counters {
	__u64 sequence;     /* records tried */
	__u64 lost_ring;    /* of them: the ring was full */
	__u64 lost_scratch; /* of them: nested deeper than there is memory */
	__u64 cut;          /* arguments or paths that were cut */
	__u64 unreadable;   /* texts that couldn't be read: their pages weren't there */
	__u64 depth;        /* state, not a count: records being built */
	__u64 reserved[2];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_event_counters) == 64, "a cache line a CPU");

#endif
