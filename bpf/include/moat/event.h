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

/* Each family has its numbers and its header; those of the others stand in event_file.h (32-63),
 * event_net.h (64-95) and event_kernel.h (96-127). 128-135 are for what is written into files, 136-143 for
 * sequences of system calls, 144-151 for probes that the operator declares. */
enum moat_event_type {
	MOAT_EVENT_NONE = 0,
	MOAT_EVENT_EXISTING = 1, /* struct moat_event_task: a process that was there before the probes */
	MOAT_EVENT_FORK = 2, /* struct moat_event_task: a new process, told by its parent */
	MOAT_EVENT_EXEC = 3, /* struct moat_event_exec */
	MOAT_EVENT_EXIT = 4, /* struct moat_event_exit: one a thread group, with its last thread */
	/* struct moat_event_act each */
	MOAT_EVENT_SETID = 5,  /* setuid(2) and the like; values: up to three ids as given */
	MOAT_EVENT_CAPSET = 6, /* values: effective, permitted, inheritable capabilities after it */
	MOAT_EVENT_PTRACE = 7, /* values: request, address */
	MOAT_EVENT_MEMORY = 8, /* process_vm_readv(2): 0, process_vm_writev(2): 1; of another process */
	MOAT_EVENT_SIGNAL = 9, /* to another process; values: number */
	MOAT_EVENT_CGROUP = 10, /* struct moat_event_cgroup: a cgroup was made; for the sidecar alone */
	MOAT_EVENT_SUPPRESSED = 143, /* struct moat_event_suppressed: what a cgroup's budget held back */
	MOAT_EVENT_TYPES = 152,
};

enum moat_event_range {
	MOAT_EVENT_PROCESS_LAST = 31,
	MOAT_EVENT_FILE_FIRST = 32,
	MOAT_EVENT_FILE_LAST = 63,
	MOAT_EVENT_NET_FIRST = 64,
	MOAT_EVENT_NET_LAST = 95,
	MOAT_EVENT_KERNEL_FIRST = 96,
	MOAT_EVENT_KERNEL_LAST = 127,
	MOAT_EVENT_CONTENT_FIRST = 128,
	MOAT_EVENT_SEQUENCE_FIRST = 136,
	MOAT_EVENT_OWN_FIRST = 144,
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
	__u64 cgroup_id;            /* moat/cgroup.h */
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
	MOAT_FILE_OVERLAY = 4,  /* on overlayfs, as containers' images are */
	MOAT_FILE_UPPER = 8,    /* there in the upper layer: written since, not in the image */
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
	__u32 tty;         /* controlling terminal as a dev_t of the kernel's; 0: none */
	__u32 reserved;
	char text[MOAT_EXEC_PATH_LEN + MOAT_EXEC_ARGS_LEN];
};

#define MOAT_CGROUP_ABOVE 8

/* A new cgroup of cgroup2, or of version 1's pids or memory hierarchy; the task made it. */
struct moat_event_cgroup {
	struct moat_event head;
	__u64 cgroup_id; /* moat/cgroup.h */
	/* of those above it, the nearest first, without the root; what is farther is left out */
	__u64 above[MOAT_CGROUP_ABOVE];
	__u32 above_count;
	__u32 path_len; /* with its 0; of the whole size: cut */
	char path[512]; /* from the hierarchy's root */
};

struct moat_event_exit {
	struct moat_event head;
	__u32 code;   /* exit status, 0 if killed */
	__u32 signal; /* that ended it; 0: none */
	__u64 reserved;
};

/* How a record was come by: what each means leaves out, ctl/sidecar/families.c says. */
enum moat_means {
	MOAT_MEANS_NONE = 0,
	MOAT_MEANS_LSM, /* before the kernel acts: there is no result */
	MOAT_MEANS_FENTRY, /* of the same function, through a trampoline; or of one that has the result */
	MOAT_MEANS_KPROBE,     /* likewise, by a breakpoint */
	MOAT_MEANS_TRACEPOINT, /* of the kernel's own */
	MOAT_MEANS_SYSCALL,    /* as a system call returns */
	MOAT_MEANS_COUNT,
};

/* The numbers of system calls differ by it; so does how arguments are passed. */
enum moat_abi {
	MOAT_ABI_NONE = 0, /* no system call, or not known */
	MOAT_ABI_NATIVE,
	MOAT_ABI_COMPAT, /* ia32 on x86-64, aarch32 on arm64 */
	MOAT_ABI_X32,
};

#define MOAT_RESULT_UNKNOWN (-4096) /* no errno is so large */
#define MOAT_CALL_VALUES 4

/* What a record of an act begins with, behind the head. */
struct moat_call {
	__s64 result; /* of the system call: >= 0, or -errno; or MOAT_RESULT_UNKNOWN */
	__u64 values[MOAT_CALL_VALUES]; /* by type; unused ones are 0 */
	__u32 number;                   /* of the system call; ~0: unknown */
	__u8 abi;                       /* enum moat_abi */
	__u8 means;                     /* enum moat_means */
	__u16 reserved;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_call) == 48, "no padding");

/* What a process does to processes, itself included. */
struct moat_event_act {
	struct moat_event head;
	struct moat_call call;
	struct moat_process target; /* all zero: none, or known by target_pid alone */
	__u32 target_pid;           /* as given: of the actor's pid namespace; 0: none */
	__u32 reserved;
};

/* What the probes ask before they make a record; written by moat-sidecar alone. */
struct moat_event_settings {
	__u64 wanted[3]; /* a bit a type */
	__u32 own_tgid; /* moat-sidecar's: what it does is counted, not told; 0: told, for the canaries */
	__u32 everything; /* 1: opens and mappings of all files, not of the telling ones alone */
};
MOAT_STATIC_ASSERT(sizeof(struct moat_event_settings) == 32, "no padding");

#define MOAT_BUDGET_WINDOW_SHIFT 27 /* ns: 134 ms */

/* Of one cgroup; written by the probes alone. */
struct moat_event_budget {
	__u64 window;  /* time_ns >> MOAT_BUDGET_WINDOW_SHIFT */
	__u32 used[2]; /* records in it, by lane */
	__u64 total;   /* of `suppressed` */
	__u64 suppressed[MOAT_EVENT_TYPES];
};

/* SUPPRESSED: made by moat-sidecar, not by a CPU; of the head's task only cgroup_id says something. */
struct moat_event_suppressed {
	struct moat_event head;
	__u64 count; /* records not told since the last such event of the cgroup and the type */
	__u32 of_type;
	__u32 reserved;
};

/* What one CPU counts; only its own probes write it. */
struct moat_event_counters {
	__u64 sequence;       /* records tried */
	__u64 lost_ring;      /* of them: the ring was full */
	__u64 lost_scratch;   /* of them: nested deeper than there is memory */
	__u64 cut;            /* arguments or paths that were cut */
	__u64 unreadable;     /* texts that couldn't be read: their pages weren't there */
	__u32 busy;           /* state, not a count: a bit a record being built */
	__u32 failed_updates; /* entries that a map of the probes had no room for */
	__u64 own;            /* acts of moat-sidecar itself, not told */
	__u64 suppressed;     /* by budgets; not in sequence */
};
MOAT_STATIC_ASSERT(sizeof(struct moat_event_counters) == 64, "a cache line a CPU");

#endif
