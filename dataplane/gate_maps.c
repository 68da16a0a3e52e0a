/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps that all ports share: one table says what each is; they are made and pinned at the first
 * open, adopted and compared with the table later.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/gate_internal.h"

/* Directories of pins: those in force; those that another layout's make place for; those that go. */
#define MAPS "maps"
#define MAPS_NEW "maps-new"
#define MAPS_OLD "maps-old"

#define ROOT16_BYTES (4u << MOAT_LPM_ROOT_BITS)
#define ROOT24_BYTES (4u << MOAT_LPM_SRC4_BITS)
#define NODE_BYTES (4u * MOAT_LPM_NODE_SIZE)

size_t moat_gate_map_stride(uint32_t value_size)
{
	return ((size_t)value_size + 7) & ~(size_t)7; /* as kernel/bpf/arraymap.c */
}

size_t moat_gate_map_length(uint32_t value_size, uint32_t entries)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (moat_gate_map_stride(value_size) * entries + page - 1) & ~(page - 1);
}

uint32_t moat_gate_cpu_slots(uint32_t cpus)
{
	uint32_t slots = 1;

	while (slots < cpus)
		slots *= 2;
	return slots;
}

void *moat_gate_maps_element(const struct gate_maps *maps, enum gate_map_id id, uint32_t index)
{
	const struct gate_map *map = &maps->map[id];

	return map->memory + moat_gate_map_stride(map->value_size) * index;
}

/* A set's cells, and the word that says whose they are. */
#define SET_BYTES (MOAT_CELL_WAYS * sizeof(struct moat_cell) + sizeof(uint64_t))

static uint32_t cells_bytes(uint32_t cells)
{
	return sizeof(struct moat_cell_head) + 2 * (cells / MOAT_CELL_WAYS) * SET_BYTES;
}

static uint32_t chunks_of(uint32_t nodes)
{
	return (nodes + MOAT_LPM_CHUNK_NODES - 1) / MOAT_LPM_CHUNK_NODES;
}

static struct gate_map define_nodes(uint32_t nodes)
{
	uint32_t chunks = chunks_of(nodes);

	return (struct gate_map){
		.name = "trie_nodes",
		.type = BPF_MAP_TYPE_ARRAY,
		.value_size = NODE_BYTES * (chunks > 1 ? MOAT_LPM_CHUNK_NODES : nodes),
		.max_entries = 2 * chunks,
		.fd = -1,
	};
}

void *moat_gate_maps_nodes(const struct gate_maps *maps, uint32_t half)
{
	return moat_gate_maps_element(maps, GATE_MAP_TRIE_NODES, half * chunks_of(maps->nodes));
}

/* What the maps of a gate of this size are. */
static void define(struct gate_maps *maps)
{
	const uint32_t array = BPF_MAP_TYPE_ARRAY, cpus = maps->cpus;
	const struct gate_map definitions[GATE_MAP_COUNT] = {
		[GATE_MAP_CTL] = { "ctl", array, sizeof(struct moat_gate_ctl), 1, true },
		[GATE_MAP_SRC4_ROOT] = { "src4_root", array, ROOT24_BYTES, 2, true },
		[GATE_MAP_DST4_ROOT] = { "dst4_root", array, ROOT16_BYTES, 2, true },
		[GATE_MAP_SRC6_ROOT] = { "src6_root", array, ROOT16_BYTES, 2, true },
		[GATE_MAP_DST6_ROOT] = { "dst6_root", array, ROOT16_BYTES, 2, true },
		[GATE_MAP_TRIE_NODES] = define_nodes(maps->nodes),
		[GATE_MAP_RULE_TABLES] = { "rule_tables", array, sizeof(struct moat_rule_tables), 2,
					   true },
		[GATE_MAP_STAGE_TABLES] = { "stage_tables", array, sizeof(struct moat_stage_tables),
					    2, true },
		[GATE_MAP_ROWS] = { "rows", array,
				    sizeof(struct moat_row_bucket) * maps->row_buckets, MOAT_ROWS },
		[GATE_MAP_PROFILE_LIMITS] = { "profile_limits", array,
					      sizeof(struct moat_profile_limit), MOAT_PROFILES_MAX,
					      true },
		[GATE_MAP_ROW_SHARES] = { "row_shares", array,
					  sizeof(struct moat_row_share) * maps->row_buckets *
						  MOAT_ROWS,
					  cpus },
		[GATE_MAP_PROFILE_SHARES] = { "profile_shares", array,
					      sizeof(struct moat_profile_share) * MOAT_PROFILES_MAX,
					      cpus },
		[GATE_MAP_LIMITS] = { "limits", array, sizeof(struct moat_limit), MOAT_RULES_MAX },
		[GATE_MAP_CELLS] = { "window_cells", array, cells_bytes(maps->cells), cpus },
		[GATE_MAP_SCRATCH] = { "scratch", array, MOAT_GATE_SCRATCH,
				       moat_gate_cpu_slots(cpus), true },
		[GATE_MAP_HITS] = { "hits", array, sizeof(struct moat_rule_count) * MOAT_RULES_MAX,
				    cpus + 1 },
		[GATE_MAP_SHARES] = { "shares", array,
				      sizeof(struct moat_limit_share) * MOAT_RULES_MAX, cpus },
		[GATE_MAP_KNOWN] = { "known", array, sizeof(struct moat_known), 1 },
		[GATE_MAP_CHALLENGE] = { "challenge", array, sizeof(struct moat_challenge_state), 1 },
		[GATE_MAP_CHALLENGE_CPU] = { "challenge_cpu", array,
					     sizeof(struct moat_challenge_cpu), cpus },
		[GATE_MAP_VALIDATED] = { "validated", array,
					 sizeof(struct moat_validated) * maps->validated, 1 },
		[GATE_MAP_PORTS] = { "ports", array, sizeof(struct moat_gate_port_record),
				     MOAT_PORTS_MAX },
		[GATE_MAP_TARGETS] = { "targets", BPF_MAP_TYPE_DEVMAP, sizeof(uint32_t),
				       MOAT_PORTS_MAX },
		[GATE_MAP_WAYS] = { "ways", BPF_MAP_TYPE_DEVMAP_HASH, sizeof(uint32_t),
				    2 * MOAT_PORTS_MAX },
		[GATE_MAP_SAMPLES] = { "samples", BPF_MAP_TYPE_RINGBUF, 0, MOAT_SAMPLE_RING_BYTES },
	};

	for (int i = 0; i < GATE_MAP_COUNT; i++) {
		maps->map[i] = definitions[i];
		maps->map[i].fd = -1;
	}
}

int moat_gate_map_create(const char *name, uint32_t type, uint32_t value_size, uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		    .map_flags = type == BPF_MAP_TYPE_ARRAY ? BPF_F_MMAPABLE : 0);

	return bpf_map_create(type, name, type == BPF_MAP_TYPE_RINGBUF ? 0 : sizeof(uint32_t),
			      value_size, entries, &opts);
}

static int map_memory(struct gate_map *map, struct moat_error *error)
{
	void *memory;

	if (map->type != BPF_MAP_TYPE_ARRAY)
		return 0;
	memory = mmap(NULL, moat_gate_map_length(map->value_size, map->max_entries),
		      PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	if (memory == MAP_FAILED)
		return moat_error_set(error, -errno, "mapping the gate's table %s: %s", map->name,
				      strerror(errno));
	map->memory = memory;
	return 0;
}

/* A direct map is one value to the kernel. */
static uint32_t kernel_value_size(const struct gate_map *map)
{
	return map->direct ? (uint32_t)moat_gate_map_stride(map->value_size) * map->max_entries
			   : map->value_size;
}

static uint32_t kernel_entries(const struct gate_map *map)
{
	return map->direct ? 1 : map->max_entries;
}

static int create(struct gate_map *map, struct moat_error *error)
{
	map->fd = moat_gate_map_create(map->name, map->type, kernel_value_size(map),
				       kernel_entries(map));
	if (map->fd == -EPERM)
		return moat_error_set(error, -EPERM,
				      "creating BPF maps is not permitted: it needs CAP_BPF (run as "
				      "root)");
	if (map->fd == -E2BIG)
		return moat_error_set(error, -ENOTSUP,
				      "the kernel refuses the table %s of %u MiB: 6.0 or later is "
				      "needed",
				      map->name, map->value_size >> 20);
	if (map->fd < 0)
		return moat_error_set(error, map->fd, "creating the gate's table %s: %s", map->name,
				      strerror(-map->fd));
	return map_memory(map, error);
}

static int pin(const struct gate_map *map, const char *directory, struct moat_error *error)
{
	char path[PATH_MAX];
	int r = -ENAMETOOLONG;

	if (moat_gate_path(path, "%s/%s", directory, map->name))
		r = bpf_obj_pin(map->fd, path);
	if (r < 0)
		return moat_error_set(error, r, "pinning %s/%s: %s", directory, map->name,
				      strerror(-r));
	return 0;
}

int moat_gate_maps_new_nodes(const struct gate_maps *maps, uint32_t *nodes,
			     struct gate_map *ret_map, struct moat_error *error)
{
	struct gate_map map;
	int r;

	if (chunks_of(*nodes) > 1)
		*nodes = chunks_of(*nodes) * MOAT_LPM_CHUNK_NODES;
	map = define_nodes(*nodes);
	r = create(&map, error);
	if (r < 0) {
		moat_gate_map_close(&map);
		return r;
	}
	*ret_map = map;
	return 0;
}

/* Makes all maps. The control word is pinned last: without it what is pinned counts as half made. */
static int create_all(struct gate_maps *maps, const char *directory, struct moat_error *error)
{
	struct moat_gate_ctl *ctl;
	int r;

	for (int i = 0; i < GATE_MAP_COUNT; i++) {
		r = create(&maps->map[i], error);
		if (r < 0)
			return r;
	}
	ctl = moat_gate_maps_element(maps, GATE_MAP_CTL, 0);
	if (getrandom(&ctl->hash_seed, sizeof(ctl->hash_seed), 0) != sizeof(ctl->hash_seed))
		return moat_error_set(error, -EIO, "the kernel gives no random numbers");
	ctl->hash_begun_v4 = moat_addr_hash_begin(0, ctl->hash_seed);
	ctl->force.active = MOAT_GATE_NO_POLICY;
	ctl->force.generation = 1;
	ctl->abi_version = MOAT_ABI_VERSION;
	for (int i = GATE_MAP_COUNT - 1; i >= 0; i--) {
		r = pin(&maps->map[i], directory, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Opens one pinned map and compares it with its definition. -EEXIST if it is something else. */
static int adopt(struct gate_map *map, const char *directory, struct moat_error *error)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	char path[PATH_MAX];

	if (!moat_gate_path(path, "%s/%s", directory, map->name))
		return -ENAMETOOLONG;
	map->fd = bpf_obj_get(path);
	if (map->fd == -ENOENT)
		return moat_error_set(error, -EEXIST,
				      "%s is missing: the gate can't be adopted (`moat gate detach` "
				      "removes it)",
				      path);
	if (map->fd < 0 || bpf_obj_get_info_by_fd(map->fd, &info, &length) < 0)
		return moat_error_set(error, -errno, "opening %s: %s", path, strerror(errno));
	if (info.type != map->type || info.value_size != kernel_value_size(map) ||
	    info.max_entries != kernel_entries(map))
		return moat_error_set(error, -EEXIST,
				      "%s was pinned by another version of moat: %u x %u bytes, not "
				      "%u x %u (`moat gate detach` removes it)",
				      path, info.max_entries, info.value_size, kernel_entries(map),
				      kernel_value_size(map));
	return map_memory(map, error);
}

/* What a pinned map is; all zero if it can't be read. */
static struct bpf_map_info pinned_info(const char *directory, const char *name)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	char path[PATH_MAX];
	int fd;

	if (!moat_gate_path(path, "%s/%s", directory, name))
		return info;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return info;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		memset(&info, 0, sizeof(info));
	close(fd);
	return info;
}

/* The size of a pinned gate, from two of its maps. 0 if they can't be read. */
static uint32_t pinned_nodes(const char *directory)
{
	struct bpf_map_info info = pinned_info(directory, "trie_nodes");

	return info.value_size / NODE_BYTES * (info.max_entries / 2);
}

uint64_t moat_gate_memory(const char *pin_path, uint32_t *ret_nodes)
{
	struct gate_maps maps = {};
	char directory[PATH_MAX];
	uint64_t bytes = 0;

	if (!moat_gate_path(directory, "%s/" MAPS, pin_path))
		return 0;
	define(&maps); /* the names alone */
	for (int i = 0; i < GATE_MAP_COUNT; i++) {
		struct bpf_map_info info = pinned_info(directory, maps.map[i].name);

		bytes += info.type == BPF_MAP_TYPE_RINGBUF
				 ? info.max_entries
				 : moat_gate_map_stride(info.value_size) * info.max_entries;
	}
	*ret_nodes = pinned_nodes(directory);
	return bytes;
}

static int adopt_all(struct gate_maps *maps, const char *directory, struct moat_error *error)
{
	uint32_t cells = pinned_info(directory, "window_cells").value_size;
	const struct moat_gate_ctl *ctl;
	int r;

	maps->nodes = pinned_nodes(directory);
	maps->validated = pinned_info(directory, "validated").value_size /
			  sizeof(struct moat_validated);
	maps->row_buckets = pinned_info(directory, "rows").value_size /
			    sizeof(struct moat_row_bucket);
	maps->cells = 0;
	if (cells > sizeof(struct moat_cell_head))
		maps->cells = (cells - sizeof(struct moat_cell_head)) / 2 / SET_BYTES *
			      MOAT_CELL_WAYS;
	define(maps);
	r = adopt(&maps->map[GATE_MAP_CTL], directory, error);
	if (r < 0)
		return r;
	ctl = moat_gate_maps_element(maps, GATE_MAP_CTL, 0);
	if (ctl->abi_version != MOAT_ABI_VERSION)
		return moat_error_set(error, -EEXIST,
				      "%s holds a gate of layout %u, this moat has layout %u (`moat "
				      "gate detach` removes it)",
				      directory, ctl->abi_version, MOAT_ABI_VERSION);
	for (int i = GATE_MAP_CTL + 1; i < GATE_MAP_COUNT; i++) {
		r = adopt(&maps->map[i], directory, error);
		if (r < 0)
			return r;
	}
	maps->adopted = true;
	return 0;
}

/* Makes the maps in a directory of their own. */
static int make(struct gate_maps *maps, const char *pin_path, const char *name,
		struct moat_error *error)
{
	char directory[PATH_MAX];
	int r;

	snprintf(maps->directory, sizeof(maps->directory), "%s", name);
	if (!moat_gate_path(directory, "%s/%s", pin_path, name))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long", pin_path);
	moat_gate_remove_dir(directory); /* of an attempt that was interrupted */
	if (mkdir(directory, 0700) < 0)
		return moat_error_set(error, -errno, "making %s: %s", directory, strerror(errno));
	define(maps);
	r = create_all(maps, directory, error);
	if (r < 0)
		moat_gate_maps_remove(maps, pin_path);
	return r;
}

/* Takes up the maps of a directory. -ENOENT: there are none; -EEXIST: of another layout. */
static int take_up(struct gate_maps *maps, const char *pin_path, const char *name,
		   struct moat_error *error)
{
	const struct gate_maps wish = *maps;
	char directory[PATH_MAX], path[PATH_MAX];
	int r;

	if (!moat_gate_path(directory, "%s/%s", pin_path, name) ||
	    !moat_gate_path(path, "%s/ctl", directory))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long", pin_path);
	if (access(path, F_OK) < 0)
		return errno == ENOENT
			       ? -ENOENT
			       : moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	r = adopt_all(maps, directory, error);
	if (r < 0) {
		moat_gate_maps_close(maps);
		*maps = wish;
		return r;
	}
	snprintf(maps->directory, sizeof(maps->directory), "%s", name);
	return 0;
}

static int move(const char *pin_path, const char *from, const char *to)
{
	char old_path[PATH_MAX], new_path[PATH_MAX];

	if (!moat_gate_path(old_path, "%s/%s", pin_path, from) ||
	    !moat_gate_path(new_path, "%s/%s", pin_path, to))
		return -ENAMETOOLONG;
	return rename(old_path, new_path) < 0 ? -errno : 0;
}

static void remove_named(const char *pin_path, const char *name)
{
	char path[PATH_MAX];

	if (moat_gate_path(path, "%s/%s", pin_path, name))
		moat_gate_remove_dir(path);
}

/* Makes maps beside those of another layout, or goes on with a move that was interrupted: the programs that
 * use the old ones do so until each is replaced. */
static int move_beside(struct gate_maps *maps, const char *pin_path, struct moat_error *error)
{
	int r = take_up(maps, pin_path, MAPS_NEW, NULL);

	if (r < 0)
		r = make(maps, pin_path, MAPS_NEW, error);
	maps->moving = r == 0;
	return r;
}

int moat_gate_maps_open(struct gate_maps *maps, const char *pin_path, struct moat_error *error)
{
	int r = libbpf_num_possible_cpus();

	if (r < 0)
		return moat_error_set(error, r, "counting CPUs: %s", strerror(-r));
	maps->cpus = (uint32_t)r;
	if (chunks_of(maps->nodes) > 1)
		maps->nodes = chunks_of(maps->nodes) * MOAT_LPM_CHUNK_NODES;
	maps->validated = MOAT_CHALLENGE_SETS_DEFAULT;
	define(maps);
	remove_named(pin_path, MAPS_OLD);
	r = take_up(maps, pin_path, MAPS, error);
	/* the last step of a move was under way */
	if (r == -ENOENT && move(pin_path, MAPS_NEW, MAPS) == 0)
		r = take_up(maps, pin_path, MAPS, error);
	if (r == -EEXIST)
		return move_beside(maps, pin_path, error);
	if (r == -ENOENT)
		return make(maps, pin_path, MAPS, error);
	if (r == 0)
		remove_named(pin_path, MAPS_NEW); /* of a version that gave up */
	return r;
}

int moat_gate_maps_settle(struct gate_maps *maps, const char *pin_path)
{
	int r;

	if (!maps->moving)
		return 0;
	r = move(pin_path, MAPS, MAPS_OLD);
	if (r == 0)
		r = move(pin_path, MAPS_NEW, MAPS);
	if (r < 0)
		return r;
	remove_named(pin_path, MAPS_OLD);
	snprintf(maps->directory, sizeof(maps->directory), "%s", MAPS);
	maps->moving = false;
	return 0;
}

void moat_gate_maps_detach(const char *pin_path)
{
	remove_named(pin_path, MAPS);
	remove_named(pin_path, MAPS_NEW);
	remove_named(pin_path, MAPS_OLD);
}

void moat_gate_maps_remove(struct gate_maps *maps, const char *pin_path)
{
	char directory[PATH_MAX];

	/* reading a directory takes a descriptor, and may be here for want of one */
	moat_gate_maps_close(maps);
	if (moat_gate_path(directory, "%s/%s", pin_path, maps->directory))
		moat_gate_remove_dir(directory);
}

void moat_gate_map_close(struct gate_map *map)
{
	if (map->memory)
		munmap(map->memory, moat_gate_map_length(map->value_size, map->max_entries));
	if (map->name && map->fd >= 0)
		close(map->fd);
	map->memory = NULL;
	map->fd = -1;
}

void moat_gate_maps_close(struct gate_maps *maps)
{
	for (int i = 0; i < GATE_MAP_COUNT; i++)
		moat_gate_map_close(&maps->map[i]);
}
