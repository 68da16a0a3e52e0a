/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is done to files: moat/event_file.h. Each act that io_uring can do as well has programs at the kernel's
 * own check of it (LSM hook, or its caller by trampoline or breakpoint: one body, three programs); all have
 * one at the system call.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/path.h"
#include "lib/syscall.h"
#include "lib/task.h"
#include "moat/event_file.h"

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFSOCK 0140000
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define FMODE_WRITE 2
#define FMODE_CREATED (1 << 20)
#define FMODE_NOACCOUNT (1 << 29)
#define O_PATH 010000000
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define EPERM 1
#define ENOENT 2
#define EACCES 13
#define EEXIST 17

static __always_inline int wants_everything(void)
{
	__u32 zero = 0;
	struct moat_event_settings *settings = bpf_map_lookup_elem(&event_settings, &zero);

	return settings && settings->everything;
}

/* ---- system calls ------------------------------------------------------------------------------- */

/* Appends one path: the names of where it starts, unless the text begins with '/', and the text. */
static __always_inline __u64 append_path(struct moat_event_file *event, struct moat_emit *emit,
					 struct moat_syscall_entry *entry, __u32 which, __u64 at)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u8 dir = entry->dir[which], place = entry->path[which];
	__u64 given = emit->arguments[place & 7], fd = emit->arguments[dir & 7];
	struct path start = {};
	struct file *file;
	char first = 0;
	long length;

	if (dir == MOAT_SYSCALL_NONE && place == MOAT_SYSCALL_NONE)
		return at;
	if (place != MOAT_SYSCALL_NONE)
		bpf_probe_read_user(&first, 1, (void *)given);
	if (dir != MOAT_SYSCALL_NO_DIR && first != '/') {
		if (dir == MOAT_SYSCALL_NONE || (int)fd == MOAT_AT_FDCWD) {
			BPF_CORE_READ_INTO(&start, task, fs, pwd);
		} else {
			file = moat_file_of(task, fd);
			BPF_CORE_READ_INTO(&start, file, f_path);
			if (which == 0)
				event->dir_fd = fd;
			if (which == 0 && file && (place == MOAT_SYSCALL_NONE || !first))
				moat_inode_fill(event, BPF_CORE_READ(file, f_inode));
		}
		if (start.dentry)
			at = (__u32)moat_path_walk(event, (__u64)start.dentry, (__u64)start.mnt,
						   2 * which, at);
	}
	if (place == MOAT_SYSCALL_NONE)
		return at;
	asm volatile("" : "+r"(at));
	if (at > MOAT_TEXT_LEN - MOAT_PART_LEN)
		return at; /* can't be: each part keeps to its length */
	length = bpf_probe_read_user_str(event->text + at, MOAT_PART_LEN, (void *)given);
	if (length < 0) {
		emit->counters->unreadable++;
		event->flags |= MOAT_FILE_UNREADABLE;
		return at;
	}
	if (length == MOAT_PART_LEN)
		event->flags |= MOAT_FILE_CUT << (2 * which + 1);
	event->lengths[2 * which + 1] = length;
	return at + length;
}

static __always_inline void file_end(struct moat_emit *emit, struct moat_event_file *event,
				     __u32 type, __u32 text)
{
	if (event->flags & (15 * MOAT_FILE_CUT))
		emit->counters->cut++;
	moat_emit_end(emit, type, MOAT_LANE_OTHER, moat_file_size(text));
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_path_call, struct pt_regs *regs, long result)
{
	struct moat_syscall_entry *entry;
	struct moat_event_file *event;
	struct moat_emit emit;
	__u64 at;

	/* asked in vain: programs try names all the time */
	if ((result == -ENOENT || result == -EEXIST) && !wants_everything())
		return 0;
	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_file *)emit.record;
	moat_file_begin(event);
	at = append_path(event, &emit, entry, 0, 0);
	at = append_path(event, &emit, entry, 1, at);
	file_end(&emit, event, entry->type, at);
	return 0;
}

/* Whether an open tells something: of writers and creators, of regular files that not everybody may read, and
 * of devices that not everybody may write. */
static __always_inline int open_is_telling(struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_inode, i_mode), type = mode & S_IFMT;
	__u32 opened = BPF_CORE_READ(file, f_mode);

	if (type == S_IFREG)
		return opened & (FMODE_WRITE | FMODE_CREATED) || !(mode & 4);
	return (type == S_IFCHR || type == S_IFBLK) && !(mode & 2);
}

/* An open that fails, or whose file isn't told of, as it was asked for. */
static __always_inline int failed_is_telling(long result)
{
	return result == -EPERM || result == -EACCES;
}

static __always_inline __u32 file_of_open(struct moat_event_file *event, struct file *file)
{
	struct path path = {};

	moat_inode_fill(event, BPF_CORE_READ(file, f_inode));
	event->call.values[0] = BPF_CORE_READ(file, f_flags);
	event->call.values[2] = BPF_CORE_READ(file, f_mode);
	BPF_CORE_READ_INTO(&path, file, f_path);
	return moat_path_walk(event, (__u64)path.dentry, (__u64)path.mnt, MOAT_PART_NAMES, 0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_open_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = result >= 0 ? moat_file_of(task, result) : NULL;
	struct moat_syscall_entry *entry;
	struct moat_event_file *event;
	struct moat_emit emit;
	__u32 at;

	if (!wants_everything() && !(file ? open_is_telling(file) : failed_is_telling(result)))
		return 0;
	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_file *)emit.record;
	moat_file_begin(event);
	if (file)
		at = file_of_open(event, file);
	else
		at = append_path(event, &emit, entry, 0, 0);
	file_end(&emit, event, entry->type, at);
	return 0;
}

/* Executable mappings tell something of files that aren't root's, or that no name leads to. */
static __always_inline int map_is_telling(struct file *file)
{
	return BPF_CORE_READ(file, f_inode, i_uid.val) != 0 ||
	       BPF_CORE_READ(file, f_inode, i_nlink) == 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_map_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_syscall_entry *entry;
	struct moat_event_file *event;
	struct moat_emit emit;
	struct file *file;
	__u64 flags;
	__u32 at = 0;

	if (!(PT_REGS_PARM3_CORE_SYSCALL(regs) & PROT_EXEC))
		return 0;
	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_file *)emit.record;
	moat_file_begin(event);
	file = entry->target == MOAT_SYSCALL_NONE
		       ? NULL
		       : moat_file_of(task, emit.arguments[entry->target & 7]);
	flags = event->call.values[1];
	if (entry->target != MOAT_SYSCALL_NONE && (flags & MAP_ANONYMOUS || !file))
		goto leave;
	if (!wants_everything() && (!file || !map_is_telling(file)))
		goto leave;
	if (file) {
		struct path path = {};

		moat_inode_fill(event, BPF_CORE_READ(file, f_inode));
		BPF_CORE_READ_INTO(&path, file, f_path);
		at = moat_path_walk(event, (__u64)path.dentry, (__u64)path.mnt, MOAT_PART_NAMES, 0);
	}
	file_end(&emit, event, entry->type, at);
	return 0;
leave:
	moat_emit_leave(&emit);
	return 0;
}

/* ---- the kernel's checks ------------------------------------------------------------------------ */

/* Begins a record of an act that the kernel is about to check: who and what, no result yet. */
static __always_inline struct moat_event_file *check_begin(struct moat_emit *emit, __u32 type,
							   enum moat_means means)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_event_file *event;

	if (!moat_emit_wants(type) || !moat_emit_begin(emit))
		return NULL;
	event = (struct moat_event_file *)emit->record;
	moat_task_fill(&event->head.task, task);
	__builtin_memset(&event->call, 0, sizeof(event->call));
	event->call.result = MOAT_RESULT_UNKNOWN;
	event->call.number = ~0U;
	event->call.means = means;
	moat_file_begin(event);
	return event;
}

static __always_inline __u32 append_checked(struct moat_event_file *event, __u64 dir, __u64 dentry,
					    __u32 part, __u32 at)
{
	struct path path = {};

	bpf_probe_read_kernel(&path, sizeof(path), (void *)dir);
	return moat_path_walk(event, dentry ? dentry : (__u64)path.dentry, (__u64)path.mnt, part,
			      at);
}

static __always_inline int check_open(__u64 address, enum moat_means means)
{
	struct file *file = (struct file *)address;
	struct moat_event_file *event;
	struct moat_emit emit;

	/* what a stacked file system opens for itself, on behalf of an open that was told; names alone */
	if (BPF_CORE_READ(file, f_mode) & FMODE_NOACCOUNT || BPF_CORE_READ(file, f_flags) & O_PATH)
		return 0;
	if (!wants_everything() && !open_is_telling(file))
		return 0;
	event = check_begin(&emit, MOAT_EVENT_FILE_OPEN, means);
	if (event)
		file_end(&emit, event, MOAT_EVENT_FILE_OPEN, file_of_open(event, file));
	return 0;
}

static __always_inline int check_rename(__u64 from, __u64 old, __u64 to, __u64 new, __u64 flags,
					enum moat_means means)
{
	struct moat_event_file *event;
	struct moat_emit emit;
	__u32 at;

	event = check_begin(&emit, MOAT_EVENT_FILE_RENAME, means);
	if (!event)
		return 0;
	event->call.values[0] = (__u32)flags;
	moat_inode_fill(event, BPF_CORE_READ((struct dentry *)old, d_inode));
	at = append_checked(event, from, old, MOAT_PART_NAMES, 0);
	at = append_checked(event, to, new, MOAT_PART_NAMES2, at);
	file_end(&emit, event, MOAT_EVENT_FILE_RENAME, at);
	return 0;
}

/* An act on one path: `value` goes by the type. */
static __always_inline int check_path(__u32 type, __u64 dir, __u64 dentry, __u64 value,
				      enum moat_means means)
{
	struct moat_event_file *event;
	struct moat_emit emit;
	struct path path = {};
	struct inode *inode;

	event = check_begin(&emit, type, means);
	if (!event)
		return 0;
	bpf_probe_read_kernel(&path, sizeof(path), (void *)dir);
	event->call.values[0] = value;
	inode = BPF_CORE_READ((struct dentry *)(dentry ? dentry : (__u64)path.dentry), d_inode);
	if (inode)
		moat_inode_fill(event, inode);
	file_end(&emit, event, type, append_checked(event, dir, dentry, MOAT_PART_NAMES, 0));
	return 0;
}

static __always_inline int check_link(__u64 old, __u64 dir, __u64 new, enum moat_means means)
{
	struct moat_event_file *event;
	struct moat_emit emit;
	struct path path = {};
	__u32 at;

	event = check_begin(&emit, MOAT_EVENT_FILE_LINK, means);
	if (!event)
		return 0;
	moat_inode_fill(event, BPF_CORE_READ((struct dentry *)old, d_inode));
	/* both are of one mount: the kernel links no further */
	bpf_probe_read_kernel(&path, sizeof(path), (void *)dir);
	at = moat_path_walk(event, old, (__u64)path.mnt, MOAT_PART_NAMES, 0);
	at = append_checked(event, dir, new, MOAT_PART_NAMES2, at);
	file_end(&emit, event, MOAT_EVENT_FILE_LINK, at);
	return 0;
}

static __always_inline int check_symlink(__u64 dir, __u64 dentry, __u64 text, enum moat_means means)
{
	struct moat_event_file *event;
	struct moat_emit emit;
	long length;
	__u32 at = 0;

	event = check_begin(&emit, MOAT_EVENT_FILE_SYMLINK, means);
	if (!event)
		return 0;
	length = bpf_probe_read_kernel_str(event->text, MOAT_PART_LEN, (void *)text);
	if (length > 0)
		at = length;
	event->lengths[MOAT_PART_GIVEN] = at;
	if (at == MOAT_PART_LEN)
		event->flags |= MOAT_FILE_CUT << MOAT_PART_GIVEN;
	at = append_checked(event, dir, dentry, MOAT_PART_NAMES2, at);
	file_end(&emit, event, MOAT_EVENT_FILE_SYMLINK, at);
	return 0;
}

/* Regular files come by open(2), sockets by bind(2), and are told with it. */
static __always_inline int check_mknod(__u64 dir, __u64 dentry, __u64 mode, enum moat_means means)
{
	__u32 type = mode & S_IFMT;

	if (type == S_IFREG || type == S_IFSOCK || !type)
		return 0;
	return check_path(MOAT_EVENT_FILE_CREATE, dir, dentry, (__u16)mode, means);
}

static __always_inline int check_map(__u64 address, __u64 prot, __u64 flags, enum moat_means means)
{
	struct file *file = (struct file *)address;
	struct moat_event_file *event;
	struct moat_emit emit;
	struct path path = {};

	if (!file || !(prot & PROT_EXEC) || (!wants_everything() && !map_is_telling(file)))
		return 0;
	event = check_begin(&emit, MOAT_EVENT_FILE_MAP, means);
	if (!event)
		return 0;
	event->call.values[0] = (__u32)prot;
	event->call.values[1] = (__u32)flags;
	moat_inode_fill(event, BPF_CORE_READ(file, f_inode));
	BPF_CORE_READ_INTO(&path, file, f_path);
	file_end(&emit, event, MOAT_EVENT_FILE_MAP,
		 moat_path_walk(event, (__u64)path.dentry, (__u64)path.mnt, MOAT_PART_NAMES, 0));
	return 0;
}

/* The three programs of a check: its LSM hook, and the function security_HOOK that calls all of them. ctx holds
 * the arguments as they are, so that none needs a type; a kprobe's are in registers. */
#define CHECK(program, hook, body, ...)                                                \
	SEC("lsm/" #hook)                                                              \
	int program##_lsm(__u64 *ctx)                                                  \
	{                                                                              \
		/* read, not taken: as typed pointers they couldn't be handed on */    \
		__u64 a[5] = {};                                                       \
                                                                                       \
		bpf_probe_read_kernel(a, sizeof(a), ctx);                              \
		body(__VA_ARGS__, MOAT_MEANS_LSM);                                     \
		return 0;                                                              \
	}                                                                              \
	SEC("fentry/security_" #hook)                                                  \
	int program##_fentry(__u64 *ctx)                                               \
	{                                                                              \
		/* read, not taken: as typed pointers they couldn't be handed on */    \
		__u64 a[5] = {};                                                       \
                                                                                       \
		bpf_probe_read_kernel(a, sizeof(a), ctx);                              \
		body(__VA_ARGS__, MOAT_MEANS_FENTRY);                                  \
		return 0;                                                              \
	}                                                                              \
	SEC("kprobe/security_" #hook)                                                  \
	int program##_kprobe(struct pt_regs *ctx)                                      \
	{                                                                              \
		const __u64 a[5] = { PT_REGS_PARM1_CORE(ctx), PT_REGS_PARM2_CORE(ctx), \
				     PT_REGS_PARM3_CORE(ctx), PT_REGS_PARM4_CORE(ctx), \
				     PT_REGS_PARM5_CORE(ctx) };                        \
                                                                                       \
		body(__VA_ARGS__, MOAT_MEANS_KPROBE);                                  \
		return 0;                                                              \
	}

CHECK(file_open, file_open, check_open, a[0])
CHECK(file_rename, path_rename, check_rename, a[0], a[1], a[2], a[3], a[4])
CHECK(file_unlink, path_unlink, check_path, MOAT_EVENT_FILE_UNLINK, a[0], a[1], 0)
CHECK(file_rmdir, path_rmdir, check_path, MOAT_EVENT_FILE_UNLINK, a[0], a[1], 0x200)
CHECK(file_mkdir, path_mkdir, check_path, MOAT_EVENT_FILE_CREATE, a[0], a[1], 0040000 | (__u16)a[2])
CHECK(file_mknod, path_mknod, check_mknod, a[0], a[1], a[2])
CHECK(file_link, path_link, check_link, a[0], a[1], a[2])
CHECK(file_symlink, path_symlink, check_symlink, a[0], a[1], a[2])
CHECK(file_chmod, path_chmod, check_path, MOAT_EVENT_FILE_CHMOD, a[0], 0, (__u16)a[1])
CHECK(file_map, mmap_file, check_map, a[0], a[1], a[2])

char LICENSE[] SEC("license") = "Dual BSD/GPL";
