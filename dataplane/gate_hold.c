/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What holds a port's program to its interface. Mostly a link of ours, pinned. A program of somebody else
 * is replaced in one step where it is asked for: in his link, which we then pin, or, where he attached it
 * without one, on the interface itself, which no link can take over without a moment between. The latter is
 * a "bare" hold: found again by its pinned program. Where it is asked for, neither: a place in a dispatcher
 * (gate_entry.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"

/* Programs of others that are known by name. */
#define STRANGERS_MAX 64

/* The program on an interface and the flag of its mode; id 0 if there is none. */
struct attached {
	uint32_t id;
	uint32_t mode; /* XDP_FLAGS_DRV_MODE, _SKB_MODE, _HW_MODE */
};

static struct attached attached_to(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query) < 0)
		return (struct attached){ 0 };
	if (query.drv_prog_id)
		return (struct attached){ query.drv_prog_id, XDP_FLAGS_DRV_MODE };
	if (query.skb_prog_id)
		return (struct attached){ query.skb_prog_id, XDP_FLAGS_SKB_MODE };
	if (query.hw_prog_id)
		return (struct attached){ query.hw_prog_id, XDP_FLAGS_HW_MODE };
	return (struct attached){ query.prog_id, query.attach_mode == XDP_ATTACHED_SKB
							 ? XDP_FLAGS_SKB_MODE
							 : XDP_FLAGS_DRV_MODE };
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

/* ---- strangers --------------------------------------------------------------------------------- */

/* What stood on interfaces at the start. Only CAP_SYS_ADMIN may ask for the name of a program and for a link
 * by their ids, which a process that guards has long given up when it meets them again. */
static struct stranger {
	int ifindex;
	uint32_t id;
	int link_fd;
	char name[BPF_OBJ_NAME_LEN];
} strangers[STRANGERS_MAX];
static size_t stranger_count;

static int link_by_id(int ifindex, uint32_t program)
{
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		moat_auto_close int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info info = {};
		uint32_t length = sizeof(info);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 &&
		    info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == (uint32_t)ifindex &&
		    info.prog_id == program)
			return moat_take_fd(&fd);
	}
	return -ENOENT;
}

/* False if it can't be asked for. */
static bool name_by_id(uint32_t id, char ret_name[static BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	moat_auto_close int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return false;
	memcpy(ret_name, info.name, BPF_OBJ_NAME_LEN);
	return true;
}

void moat_gate_look_around(void)
{
	struct if_nameindex *interfaces = if_nameindex();

	for (size_t i = 0; interfaces && interfaces[i].if_index; i++) {
		struct stranger found = { .ifindex = (int)interfaces[i].if_index };

		found.id = attached_to(found.ifindex).id;
		if (!found.id || stranger_count == STRANGERS_MAX ||
		    !name_by_id(found.id, found.name))
			continue;
		found.link_fd = link_by_id(found.ifindex, found.id);
		strangers[stranger_count++] = found;
	}
	if (interfaces)
		if_freenameindex(interfaces);
}

static const struct stranger *stranger_of(int ifindex, uint32_t id)
{
	for (size_t i = 0; i < stranger_count; i++) {
		if (strangers[i].ifindex == ifindex && strangers[i].id == id)
			return &strangers[i];
	}
	return NULL;
}

/* A descriptor of the caller's, of the link that holds a program to an interface; or a negative errno. */
static int link_of(int ifindex, uint32_t id)
{
	const struct stranger *known = stranger_of(ifindex, id);

	if (known && known->link_fd >= 0)
		return fcntl(known->link_fd, F_DUPFD_CLOEXEC, 0);
	return link_by_id(ifindex, id);
}

/* "NAME (id N)". */
static void describe(int ifindex, uint32_t id, char ret_text[static 48])
{
	const struct stranger *known = stranger_of(ifindex, id);
	char name[BPF_OBJ_NAME_LEN] = "";

	if (known)
		memcpy(name, known->name, sizeof(name));
	else
		name_by_id(id, name);
	snprintf(ret_text, 48, "%.16s (id %u)", name[0] ? name : "of unknown name", id);
}

bool moat_gate_program_on(const char *interface, char ret_text[static 48])
{
	int ifindex = (int)if_nametoindex(interface);
	uint32_t id = ifindex ? attached_to(ifindex).id : 0;

	if (id)
		describe(ifindex, id, ret_text);
	return id != 0;
}

static int refuse_foreign(const struct moat_gate_port_info *info, uint32_t id,
			  struct moat_error *error)
{
	char text[48];

	describe(info->ifindex, id, text);
	return moat_error_set(error, -EEXIST,
			      "%s has another XDP program attached, %s, which is left alone: take it "
			      "off first (bpftool net shows it) or set replace: true",
			      info->name, text);
}

/* Why driver mode was refused, in words where the kernel says only a number. */
static void explain_fallback(int r, char ret_text[static 128])
{
	const char *hint = "";

	if (r == -EOPNOTSUPP)
		hint = ": the driver has no XDP";
	else if (r == -ENOSPC)
		hint = ": the driver wants as many receive queues as its peer has transmit queues";
	else if (r == -ERANGE || r == -EINVAL)
		hint = ": the MTU or the features that are on don't go with XDP";
	snprintf(ret_text, 128, "%s%s", strerror(-r), hint);
}

/* ---- a free interface -------------------------------------------------------------------------- */

/* Links the program to an interface that has none, driver mode first. */
static int link_create(struct gate_port *port, bool generic, struct moat_error *error)
{
	LIBBPF_OPTS(bpf_link_create_opts, driver, .flags = XDP_FLAGS_DRV_MODE);
	LIBBPF_OPTS(bpf_link_create_opts, skb, .flags = XDP_FLAGS_SKB_MODE);
	struct moat_gate_port_info *info = &port->info;
	int r = -ECANCELED;

	if (generic)
		snprintf(info->fallback, sizeof(info->fallback), "generic mode was asked for");
	else
		r = bpf_link_create(port->prog_fd, info->ifindex, BPF_XDP, &driver);
	if (r < 0 && r != -EBUSY && r != -EEXIST) {
		if (!generic)
			explain_fallback(r, info->fallback);
		r = bpf_link_create(port->prog_fd, info->ifindex, BPF_XDP, &skb);
	} else {
		info->native = true;
	}
	if (r == -EBUSY || r == -EEXIST)
		return refuse_foreign(info, attached_to(info->ifindex).id, error);
	if (r < 0)
		return moat_error_set(error, r, "attaching to %s: %s", info->name, strerror(-r));
	port->link_fd = r;
	return 0;
}

/* ---- somebody else's program ------------------------------------------------------------------- */

/* Puts our program where another is, with no packet between the two that sees neither. */
static int replace_foreign(struct gate_port *port, const struct attached *foreign,
			   struct moat_error *error)
{
	struct moat_gate_port_info *info = &port->info;
	moat_auto_close int old_fd = bpf_prog_get_fd_by_id(foreign->id);
	moat_auto_close int link_fd = link_of(info->ifindex, foreign->id);
	/* without the right to look it up nothing is expected of what is replaced: one step all the same */
	LIBBPF_OPTS(bpf_link_update_opts, update, .flags = old_fd >= 0 ? BPF_F_REPLACE : 0,
		    .old_prog_fd = old_fd >= 0 ? (uint32_t)old_fd : 0);
	LIBBPF_OPTS(bpf_xdp_attach_opts, attach, .old_prog_fd = old_fd >= 0 ? old_fd : 0);
	char text[48];
	int r;

	describe(info->ifindex, foreign->id, text);
	if (link_fd >= 0)
		r = bpf_link_update(link_fd, port->prog_fd, &update);
	else
		r = bpf_xdp_attach(info->ifindex, port->prog_fd, foreign->mode, &attach);
	if (r < 0)
		return moat_error_set(error, r, "replacing the XDP program %s on %s: %s", text,
				      info->name, strerror(-r));
	port->link_fd = moat_take_fd(&link_fd);
	port->is_bare = port->link_fd < 0;
	info->native = foreign->mode != XDP_FLAGS_SKB_MODE;
	if (!info->native)
		snprintf(info->fallback, sizeof(info->fallback), "as the program that was replaced");
	snprintf(info->replaced, sizeof(info->replaced), "%s", text);
	return 0;
}

int moat_gate_hold_create(struct gate_port *port, const struct moat_gate_port_options *options,
			  struct moat_error *error)
{
	struct attached foreign = attached_to(port->info.ifindex);

	if (options->dispatcher) {
		int r = moat_gate_entry_create(port, options->generic, error);

		return r == -EEXIST ? refuse_foreign(&port->info, foreign.id, error) : r;
	}
	if (!foreign.id)
		return link_create(port, options->generic, error);
	if (!options->replace)
		return refuse_foreign(&port->info, foreign.id, error);
	return replace_foreign(port, &foreign, error);
}

/* ---- ours from before -------------------------------------------------------------------------- */

/* The pinned link, if it still holds the interface. */
static int find_link(const struct moat_gate *gate, struct gate_port *port,
		     const struct attached *attached)
{
	moat_auto_close int fd = moat_gate_port_pinned(gate, port->info.name, "link");
	struct bpf_link_info info = {};
	uint32_t length = sizeof(info);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return -errno;
	if (info.xdp.ifindex != (uint32_t)port->info.ifindex || info.prog_id != attached->id)
		return -ENOENT;
	port->link_fd = moat_take_fd(&fd);
	return 0;
}

/* A bare hold's program is pinned as "prog", or as "before" while it is being replaced. */
static int find_bare(const struct moat_gate *gate, struct gate_port *port,
		     const struct attached *attached)
{
	static const char *const names[] = { "prog", "before" };

	for (size_t i = 0; attached->id && i < MOAT_ARRAY_SIZE(names); i++) {
		moat_auto_close int fd = moat_gate_port_pinned(gate, port->info.name, names[i]);

		if (fd < 0 || program_id(fd) != attached->id)
			continue;
		port->is_bare = true;
		return 0;
	}
	return -ENOENT;
}

int moat_gate_hold_find(const struct moat_gate *gate, struct gate_port *port)
{
	struct attached attached = attached_to(port->info.ifindex);
	int r = find_link(gate, port, &attached);

	if (r == -ENOENT)
		r = find_bare(gate, port, &attached);
	if (r == -ENOENT && attached.id)
		r = moat_gate_entry_find(gate, port, attached.id);
	if (r == 0) {
		port->info.dispatched = port->entry_fd >= 0;
		port->info.native = attached.mode != XDP_FLAGS_SKB_MODE;
		port->info.adopted = true;
		if (!port->info.native)
			snprintf(port->info.fallback, sizeof(port->info.fallback),
				 "adopted as it was");
	}
	return r;
}

int moat_gate_hold_update(const struct moat_gate *gate, struct gate_port *port)
{
	struct attached attached = attached_to(port->info.ifindex);
	moat_auto_close int old_fd = -1;

	if (port->info.dispatched)
		return moat_gate_entry_update(port);
	if (!port->is_bare)
		return bpf_link_update(port->link_fd, port->prog_fd, NULL);
	old_fd = moat_gate_port_pinned(gate, port->info.name, "before");
	LIBBPF_OPTS(bpf_xdp_attach_opts, attach, .old_prog_fd = old_fd >= 0 ? old_fd : 0);
	return bpf_xdp_attach(port->info.ifindex, port->prog_fd, attached.mode, &attach);
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* Takes a bare hold's program off, if it is still there. */
static void detach_bare(const char *directory, const char *name)
{
	static const char *const files[] = { "prog", "before" };
	int ifindex = (int)if_nametoindex(name);
	struct attached attached = attached_to(ifindex);
	char path[PATH_MAX];

	for (size_t i = 0; ifindex && attached.id && i < MOAT_ARRAY_SIZE(files); i++) {
		moat_auto_close int fd = -1;

		if (moat_gate_path(path, "%s/%s", directory, files[i]))
			fd = bpf_obj_get(path);
		LIBBPF_OPTS(bpf_xdp_attach_opts, detach, .old_prog_fd = fd);
		if (fd >= 0 && program_id(fd) == attached.id)
			bpf_xdp_detach(ifindex, attached.mode, &detach);
	}
}

void moat_gate_hold_drop(const char *directory, const char *name)
{
	char path[PATH_MAX];
	moat_auto_close int fd = -1;

	if (moat_gate_path(path, "%s/link", directory))
		fd = bpf_obj_get(path);
	if (fd >= 0)
		bpf_link_detach(fd);
	else if (!moat_gate_entry_drop(directory, (int)if_nametoindex(name)))
		detach_bare(directory, name);
	moat_gate_remove_dir(directory);
}
