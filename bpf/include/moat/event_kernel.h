/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is asked of the kernel that reaches beyond the asking process. */
#ifndef MOAT_EVENT_KERNEL_H
#define MOAT_EVENT_KERNEL_H

#include "moat/event.h"

/* struct moat_event_kernel each; what call.values hold, and the text, stand behind */
enum moat_event_kernel_type {
	MOAT_EVENT_KERNEL_BPF = 96, /* bpf(2) but for work on elements and lists: command, size of its attributes */
	MOAT_EVENT_KERNEL_MODULE = 97,       /* init_module(2): flags; text: parameters */
	MOAT_EVENT_KERNEL_UNLOAD = 98,       /* delete_module(2): flags; text: name */
	MOAT_EVENT_KERNEL_PERF = 99,         /* perf_event_open(2): type, config, pid, CPU */
	MOAT_EVENT_KERNEL_USERFAULTFD = 100, /* flags */
	MOAT_EVENT_KERNEL_IO_URING = 101,    /* io_uring_setup(2): entries, flags */
	MOAT_EVENT_KERNEL_KEY = 102, /* add_key(2), request_key(2): none; text: type; keyctl(2): operation */
	MOAT_EVENT_KERNEL_KEXEC = 103,      /* segments or flags */
	MOAT_EVENT_KERNEL_UNSHARE = 104,    /* CLONE_… flags */
	MOAT_EVENT_KERNEL_SETNS = 105,      /* fd, CLONE_… flags */
	MOAT_EVENT_KERNEL_PIVOT_ROOT = 106, /* text: new root, as given */
	MOAT_EVENT_KERNEL_CHROOT = 107,     /* text: path, as given */
	MOAT_EVENT_KERNEL_END,
};

#define MOAT_KERNEL_TEXT_LEN 256

struct moat_event_kernel {
	struct moat_event head;
	struct moat_call call;
	__u16 text_len; /* with its 0; MOAT_KERNEL_TEXT_LEN: may be cut */
	__u16 reserved[3];
	char text[MOAT_KERNEL_TEXT_LEN];
};

#endif
