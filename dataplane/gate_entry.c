/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The third kind of hold: a place in libxdp's dispatcher, beside programs of others. What stands there is a
 * program of a few instructions (bpf/gate/entry.bpf.c) that calls the port's program through an array of one,
 * so that a new program is in force with one write, and the dispatcher never changes. Both are pinned.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "entry.skel.h"

#include "dataplane/base/cleanup.h"
#include "dataplane/dispatch.h"
#include "dataplane/gate_internal.h"

static void skeleton_cleanup(struct entry **skeleton)
{
	entry__destroy(*skeleton);
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

int moat_gate_entry_update(const struct gate_port *port)
{
	const uint32_t key = 0;
	uint32_t value = (uint32_t)port->prog_fd;

	return bpf_map_update_elem(port->programs_fd, &key, &value, BPF_ANY) < 0 ? -errno : 0;
}

/* Loads the entry and puts it there; its descriptor in port->entry_fd. */
static int attach(struct gate_port *port, bool generic, struct moat_error *error)
{
	moat_cleanup(skeleton_cleanup) struct entry *skeleton = entry__open();
	int r = skeleton ? bpf_map__reuse_fd(skeleton->maps.programs, port->programs_fd) : -errno;

	if (r < 0)
		return moat_error_set(error, r, "the entry's object: %s", strerror(-r));
	r = moat_dispatch_attach(skeleton->obj, "moat_gate", port->info.ifindex, generic, error);
	if (r < 0)
		return r;
	port->entry_fd = fcntl(bpf_program__fd(skeleton->progs.moat_gate), F_DUPFD_CLOEXEC, 0);
	return port->entry_fd < 0 ? moat_error_set(error, -errno, "%s", strerror(errno)) : 0;
}

int moat_gate_entry_create(struct gate_port *port, bool generic, struct moat_error *error)
{
	struct moat_gate_port_info *info = &port->info;
	struct moat_error why = { .text = "" };
	int r = 0;

	port->programs_fd = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "gate_programs", 4, 4, 1, NULL);
	if (port->programs_fd < 0)
		r = -errno;
	if (r == 0)
		r = moat_gate_entry_update(port);
	if (r < 0)
		return moat_error_set(error, r, "port %s: the entry of the dispatcher: %s",
				      info->name, strerror(-r));
	info->native = !generic;
	if (generic)
		snprintf(info->fallback, sizeof(info->fallback), "generic mode was asked for");
	r = attach(port, generic, &why);
	if (r < 0 && !generic && r != -EEXIST && r != -ENOTSUP && r != -EPERM) {
		info->native = false;
		snprintf(info->fallback, sizeof(info->fallback), "%s", why.text);
		r = attach(port, true, &why);
	}
	return r < 0 ? moat_error_set(error, r, "attaching to %s beside other programs: %s",
				      info->name, why.text)
		     : 0;
}

int moat_gate_entry_find(const struct moat_gate *gate, struct gate_port *port, uint32_t attached)
{
	moat_auto_close int entry_fd = moat_gate_port_pinned(gate, port->info.name, "entry");
	moat_auto_close int programs_fd = moat_gate_port_pinned(gate, port->info.name, "programs");

	if (entry_fd < 0 || programs_fd < 0 ||
	    !moat_dispatch_holds(port->info.ifindex, attached, program_id(entry_fd)))
		return -ENOENT;
	port->entry_fd = moat_take_fd(&entry_fd);
	port->programs_fd = moat_take_fd(&programs_fd);
	return 0;
}

bool moat_gate_entry_drop(const char *directory, int ifindex)
{
	moat_auto_close int entry_fd = -1, programs_fd = -1;
	const uint32_t key = 0;
	char path[PATH_MAX];

	if (moat_gate_path(path, "%s/entry", directory))
		entry_fd = bpf_obj_get(path);
	if (entry_fd < 0)
		return false;
	if (moat_gate_path(path, "%s/programs", directory))
		programs_fd = bpf_obj_get(path);
	/* without the right to take it out it passes everything to the next */
	if (moat_dispatch_detach(entry_fd, ifindex) < 0 && programs_fd >= 0)
		bpf_map_delete_elem(programs_fd, &key);
	return true;
}
