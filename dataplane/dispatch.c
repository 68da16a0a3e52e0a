/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dispatcher through libxdp, which keeps what it knows of it in pins below bpffs, by interface and the
 * dispatcher's id. Where the kernel can't attach a program to another's function (BPF_PROG_TYPE_EXT needs
 * trampolines) libxdp attaches a lone program without a dispatcher: that is no place beside others, so it is
 * undone and said.
 */
#include "dataplane/dispatch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <xdp/libxdp.h>

#include "dataplane/base/cleanup.h"

#define PINS "/sys/fs/bpf/xdp"

/* What libxdp says at the level of warnings is kept, the last line of it; and whether it gave up on a
 * dispatcher, after which its errors are of attaching without one. */
static char last_words[160];
static bool fell_back;

static int keep_words(enum libxdp_print_level level, const char *format, va_list arguments)
{
	fell_back |= strstr(format, "without dispatcher") != NULL;
	if (level == LIBXDP_WARN) {
		vsnprintf(last_words, sizeof(last_words), format, arguments);
		last_words[strcspn(last_words, "\n")] = '\0';
	}
	return 0;
}

/* libxdp's pointers may be errors. */
static int failure(const void *pointer)
{
	return pointer ? (int)libxdp_get_error(pointer) : -ENOMEM;
}

/* Whether what was attached stands in a dispatcher. */
static bool is_dispatched(int ifindex)
{
	struct xdp_multiprog *programs = xdp_multiprog__get_from_ifindex(ifindex);
	bool holds;

	if (failure(programs) < 0)
		return false;
	holds = !xdp_multiprog__is_legacy(programs);
	xdp_multiprog__close(programs);
	return holds;
}

int moat_dispatch_attach(struct bpf_object *object, const char *name, int ifindex, bool generic,
			 struct moat_error *error)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .obj = object, .prog_name = name);
	const enum xdp_attach_mode mode = generic ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	struct xdp_program *program;
	int r;

	last_words[0] = '\0';
	fell_back = false;
	libxdp_set_print(keep_words);
	program = xdp_program__create(&options);
	r = failure(program);
	if (r < 0)
		return moat_error_set(error, r, "libxdp: %s", last_words);
	r = xdp_program__set_run_prio(program, MOAT_DISPATCH_PRIORITY);
	if (r == 0)
		r = xdp_program__set_chain_call_enabled(program, XDP_PASS, true);
	if (r == 0)
		r = xdp_program__attach(program, ifindex, mode, 0);
	if (r == 0 && !is_dispatched(ifindex)) {
		xdp_program__detach(program, ifindex, mode, 0);
		fell_back = true;
	}
	if (r == -EBUSY)
		r = -EEXIST;
	if (fell_back && r != -EEXIST)
		r = moat_error_set(error, -ENOTSUP,
				   "this kernel can't run several XDP programs on an interface (it "
				   "attaches no program to another, for want of BPF trampolines)");
	else if (r == -EINVAL)
		/* kernel/bpf/verifier.c: "Extension program changes packet data, while original does not" */
		r = moat_error_set(error, -ENOTSUP,
				   "the kernel lets no program that may change packets into this "
				   "libxdp's dispatcher (libxdp 1.5 has another)");
	else if (r < 0)
		moat_error_set(error, r, "libxdp: %s%s%s", strerror(-r), *last_words ? ": " : "",
			       last_words);
	xdp_program__close(program);
	return r;
}

int moat_dispatch_detach(int prog_fd, int ifindex)
{
	struct xdp_program *program = xdp_program__from_fd(prog_fd);
	enum xdp_attach_mode mode;
	int r;

	libxdp_set_print(keep_words);
	r = failure(program);
	if (r < 0)
		return r;
	mode = xdp_program__is_attached(program, ifindex);
	r = mode ? xdp_program__detach(program, ifindex, mode, 0) : -ENOENT;
	xdp_program__close(program);
	return r;
}

static bool is_pin_of(const char *directory, const char *file, uint32_t program)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	moat_auto_close int fd = -1;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = bpf_obj_get(path);
	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.id == program;
}

bool moat_dispatch_holds(int ifindex, uint32_t dispatcher, uint32_t program)
{
	char directory[128];
	struct dirent *entry;
	bool holds = false;
	DIR *pins;

	snprintf(directory, sizeof(directory), PINS "/dispatch-%d-%u", ifindex, dispatcher);
	pins = opendir(directory);
	while (pins && !holds && (entry = readdir(pins))) {
		const char *kind = strrchr(entry->d_name, '-');

		holds = kind && strcmp(kind, "-prog") == 0 &&
			is_pin_of(directory, entry->d_name, program);
	}
	if (pins)
		closedir(pins);
	return holds;
}
