/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See objects.h. */
#include "ctl/sidecar/objects.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "host_file.skel.h"
#include "host_kernel.skel.h"
#include "host_network.skel.h"
#include "host_process.skel.h"
#include "host_syscall.skel.h"

/* Programs of one object that a kernel may refuse before the object is given up. */
#define REFUSED_MAX 16
#define NAME_LEN 64

/* The first one's maps are the others', too. */
static const struct {
	const char *name;
	const void *(*bytes)(size_t *ret_size);
} sources[] = {
	{ "process", host_process__elf_bytes }, { "syscall", host_syscall__elf_bytes },
	{ "file", host_file__elf_bytes },       { "network", host_network__elf_bytes },
	{ "kernel", host_kernel__elf_bytes },
};
_Static_assert(MOAT_ARRAY_SIZE(sources) <= MOAT_OBJECTS_MAX, "room for all");

struct refused {
	char names[REFUSED_MAX][NAME_LEN];
	uint32_t count;
	struct moat_objects *objects; /* which keep the reasons */
	char words[128];              /* the end of the verifier's log of the program at hand */
	char kinds[4][16];            /* sections' first words, "lsm/": none of them is taken */
	uint32_t kind_count;
};

/* include/linux/errno.h: what is not there on this architecture */
#define ENOTSUPP 524

/* What libbpf says of a load that fails is the only place where it names the program. */
static struct refused *listening;

static void keep_reason(struct moat_objects *objects, const char *name, size_t length,
			const char *reason)
{
	struct moat_objects_refused *refused;

	if (objects->refused_count++ >= MOAT_OBJECTS_REFUSED_MAX)
		return;
	refused = &objects->refused[objects->refused_count - 1];
	snprintf(refused->name, sizeof(refused->name), "%.*s", (int)length, name);
	snprintf(refused->reason, sizeof(refused->reason), "%s", reason);
}

/* The verifier says last why not, before its statistics. */
static void keep_words(struct refused *refused, char *log)
{
	char *end = strstr(log, "-- END PROG LOAD LOG --"), *line, *place = NULL;

	if (end)
		*end = '\0';
	strtok_r(log, "\n", &place); /* the head of the log */
	while ((line = strtok_r(NULL, "\n", &place))) {
		if (strncmp(line, "processed ", 10) != 0)
			snprintf(refused->words, sizeof(refused->words), "%s", line);
	}
}

static void hear(struct refused *refused, char *text)
{
	static const char before[] = "prog '", failed[] = "failed to load: ";
	const char *name = strstr(text, before), *code = strstr(text, failed);
	size_t length;
	int error;

	if (!name)
		return;
	if (strstr(text, "-- BEGIN PROG LOAD LOG --")) {
		keep_words(refused, text);
		return;
	}
	if (!code || refused->count == REFUSED_MAX)
		return;
	name += strlen(before);
	length = strcspn(name, "'");
	error = -(int)strtol(code + strlen(failed), NULL, 10);
	if (!refused->words[0])
		snprintf(refused->words, sizeof(refused->words), "%s",
			 error == ENOTSUPP ? "Not supported by this kernel" : strerror(error));
	keep_reason(refused->objects, name, length, refused->words);
	refused->words[0] = '\0';
	snprintf(refused->names[refused->count++], NAME_LEN, "%.*s", (int)length, name);
}

static int listen_to(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text = NULL;

	if (level != LIBBPF_WARN || !listening || vasprintf(&text, format, arguments) < 0)
		return 0;
	hear(listening, text);
	free(text);
	return 0;
}

static bool is_refused(const struct refused *refused, const char *name, const char *section)
{
	for (uint32_t i = 0; i < refused->kind_count; i++) {
		if (strncmp(refused->kinds[i], section, strlen(refused->kinds[i])) == 0)
			return true;
	}
	for (uint32_t i = 0; i < refused->count; i++) {
		if (strcmp(refused->names[i], name) == 0)
			return true;
	}
	return false;
}

/* ---- what the kernel has ------------------------------------------------------------------------ */

static bool has(const struct btf *btf, const char *prefix, const char *name, uint32_t kind)
{
	char full[128];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return btf && btf__find_by_name_kind(btf, full, kind) > 0;
}

/* Whether the kernel knows the hook that the section names; of other sections, true. */
static bool has_hook(const struct btf *btf, const char *section)
{
	const char *name = strchr(section, '/');

	if (!name)
		return true;
	name++;
	if (strncmp(section, "lsm/", 4) == 0)
		return has(btf, "bpf_lsm_", name, BTF_KIND_FUNC);
	if (strncmp(section, "fentry/", 7) == 0 || strncmp(section, "fexit/", 6) == 0)
		return has(btf, "", name, BTF_KIND_FUNC);
	if (strncmp(section, "tp_btf/", 7) == 0)
		return has(btf, "btf_trace_", name, BTF_KIND_TYPEDEF);
	if (strncmp(section, "kprobe/", 7) == 0)
		return access("/sys/bus/event_source/devices/kprobe", F_OK) == 0;
	return true;
}

/* ---- one object --------------------------------------------------------------------------------- */

/* Sets a constant, if the object has it. */
static void set_constant(struct bpf_object *object, const struct moat_objects_constant *constant)
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	struct bpf_map *map;
	size_t size = 0;
	char *memory = NULL;

	bpf_object__for_each_map(map, object) {
		if (strstr(bpf_map__name(map), ".rodata"))
			memory = (char *)bpf_map__initial_value(map, &size);
	}
	for (uint16_t i = 0; section && memory && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *variable = btf_var_secinfos(section) + i;
		const struct btf_type *type = btf__type_by_id(btf, variable->type);

		if (strcmp(btf__name_by_offset(btf, type->name_off), constant->name) == 0 &&
		    variable->size <= sizeof(constant->value) &&
		    variable->offset + variable->size <= size)
			memcpy(memory + variable->offset, &constant->value, variable->size);
	}
}

/* Maps that another object has under the same name are its. */
static int share_maps(struct bpf_object *object, const struct moat_objects *others)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		int fd = bpf_map__is_internal(map) ? -1
						   : moat_objects_map(others, bpf_map__name(map));
		int r = fd >= 0 ? bpf_map__reuse_fd(map, fd) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static int open_object(size_t index, const struct moat_objects_options *options,
		       const struct btf *btf, const struct refused *refused,
		       struct bpf_object **ret_object)
{
	LIBBPF_OPTS(bpf_object_open_opts, open, .object_name = sources[index].name);
	size_t size;
	const void *bytes = sources[index].bytes(&size);
	struct bpf_object *object = bpf_object__open_mem(bytes, size, &open);
	struct bpf_program *program;
	struct bpf_map *counters, *budgets;
	int r;

	if (!object)
		return -errno;
	for (uint32_t i = 0; i < options->constant_count; i++)
		set_constant(object, &options->constants[i]);
	counters = bpf_object__find_map_by_name(object, "event_counters");
	budgets = bpf_object__find_map_by_name(object, "event_budgets");
	r = counters ? bpf_map__set_max_entries(counters, options->cpus) : 0;
	if (r == 0 && budgets)
		r = bpf_map__set_max_entries(budgets, options->cgroups);
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program,
					  has_hook(btf, bpf_program__section_name(program)) &&
						  !is_refused(refused, bpf_program__name(program),
							      bpf_program__section_name(program)));
	}
	if (r == 0)
		r = share_maps(object, refused->objects);
	if (r < 0) {
		bpf_object__close(object);
		return r;
	}
	*ret_object = object;
	return 0;
}

/* A kernel that permits no program of a kind (trampolines, say) is asked for none again. */
static void refuse_kind(struct refused *refused, const struct bpf_object *object, int error)
{
	const struct bpf_program *program;
	const char *section;
	size_t length;
	char *reason;

	if ((error != -EPERM && error != -ENOTSUPP) || refused->count == 0 ||
	    refused->kind_count == MOAT_ARRAY_SIZE(refused->kinds))
		return;
	program = bpf_object__find_program_by_name(object, refused->names[refused->count - 1]);
	section = program ? bpf_program__section_name(program) : "";
	if (!strchr(section, '/'))
		return;
	snprintf(refused->kinds[refused->kind_count++], sizeof(refused->kinds[0]), "%.*s",
		 (int)(strchr(section, '/') - section + 1), section);
	if (refused->objects->refused_count > MOAT_OBJECTS_REFUSED_MAX)
		return;
	reason = refused->objects->refused[refused->objects->refused_count - 1].reason;
	length = strlen(reason);
	snprintf(reason + length, sizeof(refused->objects->refused[0].reason) - length,
		 ", and so all of %s", refused->kinds[refused->kind_count - 1]);
}

/* Loads what the kernel takes of an object. */
static int load_object(size_t index, const struct moat_objects_options *options,
		       const struct btf *btf, struct moat_objects *objects)
{
	struct refused refused = { .objects = objects };
	int r;

	for (;;) {
		uint32_t before = refused.count;
		struct bpf_object *object = NULL;

		r = open_object(index, options, btf, &refused, &object);
		if (r < 0)
			return r;
		listening = &refused;
		r = bpf_object__load(object);
		listening = NULL;
		if (r == 0) {
			objects->objects[index] = object;
			return 0;
		}
		if (refused.count > before)
			refuse_kind(&refused, object, r);
		bpf_object__close(object);
		/* the first one's are all needed */
		if (index == 0 || refused.count == before || refused.count == REFUSED_MAX)
			return r;
	}
}

/* ---- all ---------------------------------------------------------------------------------------- */

int moat_objects_load(const struct moat_objects_options *options, struct moat_objects *ret_objects,
		      struct moat_error *error)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct moat_objects objects = { .count = MOAT_ARRAY_SIZE(sources) };
	int r = 0;

	libbpf_set_print(listen_to); /* errors come back as sentences */
	for (uint32_t i = 0; i < objects.count; i++) {
		r = load_object(i, options, btf, &objects);
		if (r < 0 && i == 0)
			break;
		if (r < 0)
			keep_reason(&objects, sources[i].name, strlen(sources[i].name),
				    strerror(-r));
	}
	btf__free(btf);
	if (!objects.objects[0]) {
		moat_objects_unload(&objects);
		if (r == -EPERM)
			return moat_error_set(error, r,
					      "loading the probes is not permitted: it needs CAP_BPF "
					      "and CAP_PERFMON (run as root)");
		return moat_error_set(error, r == -EINVAL ? -ENOTSUP : r,
				      "the kernel refuses the probes: %s (it has to have BTF)",
				      strerror(-r));
	}
	*ret_objects = objects;
	return 0;
}

void moat_objects_unload(struct moat_objects *objects)
{
	for (uint32_t i = 0; i < objects->count; i++) {
		bpf_object__close(objects->objects[i]);
		objects->objects[i] = NULL;
	}
}

struct bpf_program *moat_objects_program(const struct moat_objects *objects, const char *name)
{
	struct bpf_program *program;

	for (uint32_t i = 0; i < objects->count; i++) {
		program = objects->objects[i]
				  ? bpf_object__find_program_by_name(objects->objects[i], name)
				  : NULL;
		if (program)
			return bpf_program__fd(program) >= 0 ? program : NULL;
	}
	return NULL;
}

int moat_objects_map(const struct moat_objects *objects, const char *name)
{
	int fd;

	for (uint32_t i = 0; i < objects->count; i++) {
		fd = objects->objects[i] ? bpf_object__find_map_fd_by_name(objects->objects[i], name)
					 : -1;
		if (fd >= 0)
			return fd;
	}
	return -1;
}
