/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slots of containers: tables pinned below the gate's, a program for each slot. */
#include "dataplane/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "egress.skel.h"

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_egress_tc.h"
#include "dataplane/gate_internal.h"
#include "dataplane/rate.h"

enum table {
	TABLE_SLOTS,
	TABLE_COUNTERS,
	TABLE_SHARES,
	TABLE_CUTS,
	TABLES
};

static const char *const table_names[TABLES] = { "slots", "counters", "shares", "cuts" };

struct moat_egress {
	const struct moat_gate *gate;
	char path[PATH_MAX]; /* of our pins */
	uint32_t cpus;
	int fds[TABLES];
	struct moat_egress_slot *slots;
	uint8_t *counters, *shares;   /* mapped, an element a slot and CPU */
	int progs[MOAT_EGRESS_SLOTS]; /* of the filters that this process attached, for tests; -1 */
};

static uint32_t value_size(enum table table)
{
	static const uint32_t sizes[] = { sizeof(struct moat_egress_slot),
					  sizeof(struct moat_egress_counters),
					  sizeof(struct moat_limit_share), sizeof(uint32_t) };

	return sizes[table];
}

static uint32_t entries(const struct moat_egress *egress, enum table table)
{
	if (table == TABLE_CUTS)
		return MOAT_EGRESS_CUTS;
	return table == TABLE_SLOTS ? MOAT_EGRESS_SLOTS : MOAT_EGRESS_SLOTS * egress->cpus;
}

/* ---- tables ------------------------------------------------------------------------------------ */

static int table_create(const struct moat_egress *egress, enum table table)
{
	LIBBPF_OPTS(bpf_map_create_opts, trie, .map_flags = BPF_F_NO_PREALLOC);

	if (table == TABLE_CUTS)
		return bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "cuts", sizeof(struct moat_egress_key),
				      sizeof(uint32_t), MOAT_EGRESS_CUTS, &trie);
	return moat_gate_map_create(table_names[table], BPF_MAP_TYPE_ARRAY, value_size(table),
				    entries(egress, table));
}

/* The pinned table if it is what it should be, or a new one that takes its pin: a layout of another version
 * isn't read, its filters are replaced when they are attached again. */
static int table_open(struct moat_egress *egress, enum table table)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	char path[PATH_MAX];
	int r;

	if (!moat_gate_path(path, "%s/%s", egress->path, table_names[table]))
		return -ENAMETOOLONG;
	egress->fds[table] = bpf_obj_get(path);
	if (egress->fds[table] >= 0 &&
	    bpf_obj_get_info_by_fd(egress->fds[table], &info, &length) == 0 &&
	    info.value_size == value_size(table) && info.max_entries == entries(egress, table))
		return 0;
	moat_close_cleanup(&egress->fds[table]);
	egress->fds[table] = table_create(egress, table);
	if (egress->fds[table] < 0)
		return egress->fds[table];
	unlink(path);
	r = bpf_obj_pin(egress->fds[table], path);
	return r < 0 ? r : 0;
}

static void *table_map(const struct moat_egress *egress, enum table table)
{
	void *memory = mmap(NULL, moat_gate_map_length(value_size(table), entries(egress, table)),
			    PROT_READ | PROT_WRITE, MAP_SHARED, egress->fds[table], 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void *element(const struct moat_egress *egress, enum table table, uint32_t slot, uint32_t cpu)
{
	uint8_t *base = table == TABLE_COUNTERS ? egress->counters : egress->shares;

	return base + moat_gate_map_stride(value_size(table)) * (slot * egress->cpus + cpu);
}

static int open_tables(struct moat_egress *egress)
{
	int r = 0;

	for (int i = 0; r == 0 && i < TABLES; i++)
		r = table_open(egress, i);
	if (r < 0)
		return r;
	egress->slots = table_map(egress, TABLE_SLOTS);
	egress->counters = table_map(egress, TABLE_COUNTERS);
	egress->shares = table_map(egress, TABLE_SHARES);
	return egress->slots && egress->counters && egress->shares ? 0 : -ENOMEM;
}

/* ---- slots ------------------------------------------------------------------------------------- */

uint32_t moat_egress_find(const struct moat_egress *egress, const char *name)
{
	for (uint32_t i = 0; i < MOAT_EGRESS_SLOTS; i++) {
		if (strncmp(egress->slots[i].name, name, sizeof(egress->slots[i].name)) == 0)
			return i;
	}
	return MOAT_EGRESS_SLOTS;
}

static void cut_path(const struct moat_egress *egress, const char *name, char ret_path[PATH_MAX])
{
	char file[16];

	moat_gate_pin_name(name, file);
	moat_gate_path(ret_path, "%s/cut-%s", egress->path, file);
}

/* Takes the XDP program off, whose link is pinned. */
static void drop_xdp(const char *path)
{
	moat_auto_close int fd = bpf_obj_get(path);

	if (fd >= 0)
		bpf_link_detach(fd);
	unlink(path);
}

/* The slot's entries of the trie are told by their key. */
static void clear_cuts(const struct moat_egress *egress, uint32_t slot)
{
	struct moat_egress_key key, next;
	const void *from = NULL;

	while (bpf_map_get_next_key(egress->fds[TABLE_CUTS], from, &next) == 0) {
		if (next.slot == slot) {
			bpf_map_delete_elem(egress->fds[TABLE_CUTS], &next);
			continue; /* the walk goes on from where it stood */
		}
		key = next;
		from = &key;
	}
}

/* Empties a slot whose program is gone. */
static void clear_slot(struct moat_egress *egress, uint32_t slot)
{
	char path[PATH_MAX];

	cut_path(egress, egress->slots[slot].name, path);
	drop_xdp(path);
	clear_cuts(egress, slot);
	for (uint32_t cpu = 0; cpu < egress->cpus; cpu++) {
		memset(element(egress, TABLE_COUNTERS, slot, cpu), 0, value_size(TABLE_COUNTERS));
		memset(element(egress, TABLE_SHARES, slot, cpu), 0, value_size(TABLE_SHARES));
	}
	memset(&egress->slots[slot], 0, sizeof(egress->slots[slot]));
	moat_close_cleanup(&egress->progs[slot]);
	egress->progs[slot] = -1;
}

static uint32_t free_slot(const struct moat_egress *egress)
{
	uint32_t slot = 0;

	while (slot < MOAT_EGRESS_SLOTS && egress->slots[slot].name[0])
		slot++;
	return slot;
}

static void clear_vanished(struct moat_egress *egress)
{
	for (uint32_t i = 0; i < MOAT_EGRESS_SLOTS; i++) {
		const struct moat_egress_slot *slot = &egress->slots[i];

		if (slot->name[0] && if_nametoindex(slot->name) != slot->ifindex)
			clear_slot(egress, i);
	}
}

/* ---- life -------------------------------------------------------------------------------------- */

int moat_egress_open(const struct moat_gate *gate, struct moat_egress **ret_egress,
		     struct moat_error *error)
{
	struct moat_egress *egress = calloc(1, sizeof(*egress));
	int r = 0;

	if (!egress)
		return moat_error_set(error, -ENOMEM, "out of memory");
	egress->gate = gate;
	egress->cpus = gate->maps.cpus;
	for (int i = 0; i < TABLES; i++)
		egress->fds[i] = -1;
	for (uint32_t i = 0; i < MOAT_EGRESS_SLOTS; i++)
		egress->progs[i] = -1;
	if (!moat_gate_path(egress->path, "%s/egress", gate->pin_path))
		r = -ENAMETOOLONG;
	else if (mkdir(egress->path, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = open_tables(egress);
	if (r < 0) {
		moat_egress_close(egress);
		return moat_error_set(error, r, "tables of containers: %s", strerror(-r));
	}
	clear_vanished(egress);
	*ret_egress = egress;
	return 0;
}

static void unmap(const struct moat_egress *egress, void *memory, enum table table)
{
	if (memory)
		munmap(memory, moat_gate_map_length(value_size(table), entries(egress, table)));
}

void moat_egress_close(struct moat_egress *egress)
{
	if (!egress)
		return;
	unmap(egress, egress->slots, TABLE_SLOTS);
	unmap(egress, egress->counters, TABLE_COUNTERS);
	unmap(egress, egress->shares, TABLE_SHARES);
	for (int i = 0; i < TABLES; i++)
		moat_close_cleanup(&egress->fds[i]);
	for (uint32_t i = 0; i < MOAT_EGRESS_SLOTS; i++)
		moat_close_cleanup(&egress->progs[i]);
	free(egress);
}

/* ---- attaching --------------------------------------------------------------------------------- */

static void skeleton_cleanup(struct egress **skeleton)
{
	egress__destroy(*skeleton);
}

/* Loads the slot's program, of the two the one asked for; its descriptor or a negative errno. */
static int load(struct moat_egress *egress, uint32_t slot, bool xdp)
{
	moat_cleanup(skeleton_cleanup) struct egress *skeleton = egress__open();
	int r;

	if (!skeleton)
		return -errno;
	skeleton->rodata->slot_index = slot;
	skeleton->rodata->cpus = egress->cpus;
	bpf_program__set_autoload(skeleton->progs.cut, xdp);
	bpf_program__set_autoload(skeleton->progs.egress, !xdp);
	r = bpf_map__reuse_fd(skeleton->maps.slots, egress->fds[TABLE_SLOTS]);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.counters, egress->fds[TABLE_COUNTERS]);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.shares, egress->fds[TABLE_SHARES]);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.cuts, egress->fds[TABLE_CUTS]);
	if (r == 0)
		r = egress__load(skeleton);
	if (r < 0)
		return r;
	r = fcntl(bpf_program__fd(xdp ? skeleton->progs.cut : skeleton->progs.egress),
		  F_DUPFD_CLOEXEC, 0);
	return r < 0 ? -errno : r;
}

/* Puts this process's program in the place of the one that cuts by XDP, if one does. */
static int renew_xdp(struct moat_egress *egress, uint32_t slot)
{
	char path[PATH_MAX];
	moat_auto_close int link_fd = -1, prog_fd = -1;

	cut_path(egress, egress->slots[slot].name, path);
	link_fd = bpf_obj_get(path);
	if (link_fd < 0)
		return 0;
	prog_fd = load(egress, slot, true);
	return prog_fd < 0 ? prog_fd : bpf_link_update(link_fd, prog_fd, NULL);
}

static int attach_slot(struct moat_egress *egress, uint32_t slot, int ifindex)
{
	struct moat_egress_slot *state = &egress->slots[slot];
	moat_auto_close int prog_fd = load(egress, slot, false);
	bool made = false;
	int r = prog_fd < 0 ? prog_fd : 0;

	if (r == 0)
		r = moat_egress_tc_attach(ifindex, prog_fd, &state->priority, &made);
	if (r < 0)
		return r;
	if (made)
		state->flags |= MOAT_EGRESS_OUR_QDISC;
	moat_close_cleanup(&egress->progs[slot]);
	egress->progs[slot] = moat_take_fd(&prog_fd);
	return renew_xdp(egress, slot);
}

int moat_egress_attach(struct moat_egress *egress, const char *name, struct moat_error *error)
{
	uint32_t ifindex = if_nametoindex(name);
	uint32_t slot = moat_egress_find(egress, name);
	bool was_there = slot < MOAT_EGRESS_SLOTS;
	int r;

	if (!ifindex)
		return moat_error_set(error, -ENODEV, "no interface %s", name);
	if (was_there && egress->slots[slot].ifindex != ifindex) {
		clear_slot(egress, slot);
		was_there = false;
	}
	if (!was_there)
		slot = free_slot(egress);
	if (slot == MOAT_EGRESS_SLOTS)
		return moat_error_set(error, -ENOSPC, "%s: there are %d containers already", name,
				      MOAT_EGRESS_SLOTS);
	snprintf(egress->slots[slot].name, sizeof(egress->slots[slot].name), "%s", name);
	egress->slots[slot].ifindex = ifindex;
	r = attach_slot(egress, slot, (int)ifindex);
	if (r < 0 && !was_there)
		clear_slot(egress, slot);
	if (r < 0)
		return moat_error_set(error, r, "counting what %s sends: %s", name, strerror(-r));
	return was_there;
}

int moat_egress_release(struct moat_egress *egress, const char *name)
{
	uint32_t slot = moat_egress_find(egress, name);

	if (slot == MOAT_EGRESS_SLOTS)
		return -ENOENT;
	if (if_nametoindex(name) == egress->slots[slot].ifindex)
		moat_egress_tc_detach((int)egress->slots[slot].ifindex,
				      egress->slots[slot].flags & MOAT_EGRESS_OUR_QDISC);
	clear_slot(egress, slot);
	return 0;
}

/* Which of the slots of a pinned table an interface has, to know whose its qdisc is. */
static bool is_our_qdisc(const char *pin_path, uint32_t ifindex)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	struct moat_egress_slot slot;
	char path[PATH_MAX];
	moat_auto_close int fd = -1;

	if (moat_gate_path(path, "%s/egress/slots", pin_path))
		fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) < 0 ||
	    info.value_size != sizeof(slot))
		return false;
	for (uint32_t i = 0; i < info.max_entries; i++) {
		if (bpf_map_lookup_elem(fd, &i, &slot) == 0 && slot.name[0] &&
		    slot.ifindex == ifindex)
			return slot.flags & MOAT_EGRESS_OUR_QDISC;
	}
	return false;
}

void moat_egress_remove(const char *pin_path)
{
	struct if_nameindex *interfaces = if_nameindex();
	char path[PATH_MAX], file[16];

	if (!moat_gate_path(path, "%s/egress", pin_path) || access(path, F_OK) < 0) {
		if_freenameindex(interfaces);
		return;
	}
	for (size_t i = 0; interfaces && interfaces[i].if_index; i++) {
		moat_egress_tc_detach((int)interfaces[i].if_index,
				      is_our_qdisc(pin_path, interfaces[i].if_index));
		moat_gate_pin_name(interfaces[i].if_name, file);
		if (moat_gate_path(path, "%s/egress/cut-%s", pin_path, file))
			drop_xdp(path);
	}
	if (interfaces)
		if_freenameindex(interfaces);
	if (moat_gate_path(path, "%s/egress", pin_path))
		moat_gate_remove_dir(path);
}

/* ---- limits ------------------------------------------------------------------------------------ */

/* What a frame of many packets may owe, beside the 1,024 judges that owe one each. */
#define GSO_DEBT 6

/* No packet sees a part of a rate: it is off while it changes. */
static void set_rate(struct moat_rate *into, struct moat_rate rate)
{
	__atomic_store_n(&into->cost, 0, __ATOMIC_SEQ_CST);
	into->burst = rate.burst;
	into->shift = rate.shift;
	into->lot = rate.lot;
	into->debt = rate.debt;
	__atomic_store_n(&into->cost, rate.cost, __ATOMIC_SEQ_CST);
}

int moat_egress_set_limit(struct moat_egress *egress, const char *name, uint64_t packets,
			  uint64_t bytes, bool by_operator)
{
	uint32_t index = moat_egress_find(egress, name), ticks = egress->gate->clock.ticks_per_s;
	struct moat_egress_slot *slot = &egress->slots[index];
	struct moat_rate rate;

	if (index == MOAT_EGRESS_SLOTS)
		return -ENOENT;
	if (bytes > MOAT_EGRESS_RATE_MAX || packets > UINT32_MAX)
		return -ERANGE;
	if (!by_operator && (slot->flags & MOAT_EGRESS_BY_OPERATOR))
		return 0;
	if (by_operator)
		slot->flags |= MOAT_EGRESS_BY_OPERATOR;
	slot->packets_rate = packets;
	slot->bytes_rate = bytes;
	rate = moat_rate_of_packets(packets, 0, ticks, egress->cpus);
	rate.debt = (uint8_t)(rate.debt + GSO_DEBT);
	set_rate(&slot->packets, rate);
	set_rate(&slot->bytes, moat_rate_of_bytes(bytes, 0, ticks, egress->cpus));
	return 0;
}

/* ---- cuts -------------------------------------------------------------------------------------- */

static void set_cut(struct moat_egress_slot *slot, enum moat_egress_cut cut)
{
	__atomic_store_n(&slot->cut, cut, __ATOMIC_RELEASE);
}

/* In driver mode or not at all: generic XDP comes after the work that it would save. */
static int attach_xdp(struct moat_egress *egress, uint32_t slot)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	moat_auto_close int prog_fd = load(egress, slot, true), link_fd = -1;
	char path[PATH_MAX];

	if (prog_fd < 0)
		return prog_fd;
	link_fd = bpf_link_create(prog_fd, (int)egress->slots[slot].ifindex, BPF_XDP, &opts);
	if (link_fd < 0)
		return link_fd;
	cut_path(egress, egress->slots[slot].name, path);
	return bpf_obj_pin(link_fd, path);
}

int moat_egress_cut(struct moat_egress *egress, const char *name, bool *ret_xdp)
{
	uint32_t slot = moat_egress_find(egress, name);
	char path[PATH_MAX];

	if (slot == MOAT_EGRESS_SLOTS)
		return -ENOENT;
	/* the filter cuts from here on, whatever becomes of XDP */
	set_cut(&egress->slots[slot], MOAT_EGRESS_CUT_ALL);
	cut_path(egress, name, path);
	*ret_xdp = access(path, F_OK) == 0 || attach_xdp(egress, slot) == 0;
	return 0;
}

int moat_egress_cut_to(struct moat_egress *egress, const char *name,
		       const struct moat_prefix *prefix)
{
	uint32_t slot = moat_egress_find(egress, name), value = 1;
	struct moat_egress_key key = { .slot = slot, .addr = prefix->addr };
	int r;

	if (slot == MOAT_EGRESS_SLOTS)
		return -ENOENT;
	if (egress->slots[slot].cut == MOAT_EGRESS_CUT_ALL)
		return -EALREADY;
	key.prefix = 32 + (prefix->family == MOAT_FAMILY_V4 ? 96 : 0) + prefix->len;
	r = bpf_map_update_elem(egress->fds[TABLE_CUTS], &key, &value, BPF_ANY);
	if (r < 0)
		return r;
	set_cut(&egress->slots[slot], MOAT_EGRESS_CUT_DESTINATIONS);
	return 0;
}

int moat_egress_lift(struct moat_egress *egress, const char *name)
{
	uint32_t slot = moat_egress_find(egress, name);
	char path[PATH_MAX];

	if (slot == MOAT_EGRESS_SLOTS || egress->slots[slot].cut == MOAT_EGRESS_CUT_NONE)
		return -ENOENT;
	cut_path(egress, name, path);
	drop_xdp(path);
	set_cut(&egress->slots[slot], MOAT_EGRESS_CUT_NONE);
	clear_cuts(egress, slot);
	return 0;
}

void moat_egress_cuts(const struct moat_egress *egress, uint32_t slot,
		      void (*visit)(void *userdata, const struct moat_prefix *prefix),
		      void *userdata)
{
	struct moat_egress_key key, next;
	const void *from = NULL;

	for (int i = 0; i < MOAT_EGRESS_CUTS; i++) {
		struct moat_prefix prefix = {};

		if (bpf_map_get_next_key(egress->fds[TABLE_CUTS], from, &next) < 0)
			return;
		key = next;
		from = &key;
		if (key.slot != slot)
			continue;
		prefix.addr = key.addr;
		prefix.family = moat_addr_is_v4(&key.addr) && key.prefix >= 128 ? MOAT_FAMILY_V4
										: MOAT_FAMILY_V6;
		prefix.len = (uint8_t)(key.prefix - (prefix.family == MOAT_FAMILY_V4 ? 128 : 32));
		visit(userdata, &prefix);
	}
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void sum_counters(const struct moat_egress *egress, uint32_t slot,
			 struct moat_egress_counters *ret_sum)
{
	uint64_t *sum = (uint64_t *)ret_sum;

	for (uint32_t cpu = 0; cpu < egress->cpus; cpu++) {
		const volatile uint64_t *counters = element(egress, TABLE_COUNTERS, slot, cpu);

		for (size_t i = 0; i < sizeof(*ret_sum) / sizeof(*sum); i++)
			sum[i] += counters[i];
	}
}

bool moat_egress_info(const struct moat_egress *egress, uint32_t slot,
		      struct moat_egress_info *ret_info)
{
	const struct moat_egress_slot *state = &egress->slots[slot];
	struct moat_egress_info info = {};
	char path[PATH_MAX];

	if (slot >= MOAT_EGRESS_SLOTS || !state->name[0])
		return false;
	memcpy(info.name, state->name, sizeof(info.name));
	info.ifindex = (int)state->ifindex;
	info.packets_rate = state->packets_rate;
	info.bytes_rate = state->bytes_rate;
	info.by_operator = state->flags & MOAT_EGRESS_BY_OPERATOR;
	info.cut = state->cut;
	info.current = egress->progs[slot] >= 0;
	cut_path(egress, state->name, path);
	info.xdp = access(path, F_OK) == 0;
	sum_counters(egress, slot, &info.counters);
	*ret_info = info;
	return true;
}

int moat_egress_prog_fd(const struct moat_egress *egress, const char *name)
{
	uint32_t slot = moat_egress_find(egress, name);

	return slot < MOAT_EGRESS_SLOTS && egress->progs[slot] >= 0 ? egress->progs[slot] : -ENOENT;
}
