/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's life: open, close, remove; and what is read while it runs. The maps are gate_maps.c's, the
 * programs of ports gate_port.c's, rule sets gate_commit.c's, the clock gate_clock.c's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/egress.h"
#include "dataplane/gate_internal.h"

#define CELLS_DEFAULT 16384
#define CELLS_MIN 1024
#define CELLS_MAX (1u << 20)
#define NODES_DEFAULT 32768
#define NODES_MAX (1u << 22) /* 4 GiB a half */

bool moat_gate_path(char ret_path[PATH_MAX], const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(ret_path, PATH_MAX, format, args);
	va_end(args);
	return n >= 0 && n < PATH_MAX;
}

static void exchange(const char *text, char from, char to, char ret_text[static 16])
{
	snprintf(ret_text, 16, "%s", text);
	for (char *c = ret_text; *c; c++)
		*c = *c == from ? to : *c;
}

void moat_gate_pin_name(const char *name, char ret_file[static 16])
{
	exchange(name, '.', ':', ret_file);
}

void moat_gate_unpin_name(const char *file, char ret_name[static 16])
{
	exchange(file, ':', '.', ret_name);
}

void moat_gate_remove_dir(const char *path)
{
	char file[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && moat_gate_path(file, "%s/%s", path, entry->d_name))
			unlink(file);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* What a file may not be opened for means here. */
static int refuse_access(const char *path, int r, struct moat_error *error)
{
	if (r == -EACCES || r == -EPERM)
		return moat_error_set(error, -EPERM,
				      "%s is not accessible: the gate needs CAP_BPF, CAP_NET_ADMIN and "
				      "CAP_PERFMON (run as root)",
				      path);
	return moat_error_set(error, r, "%s: %s", path, strerror(-r));
}

/* Says where bpffs is missing: pins on another file system would be refused one by one. */
static int check_bpffs(const char *pin_path, struct moat_error *error)
{
	char parent[PATH_MAX];
	struct statfs fs;
	char *slash;

	if (!moat_gate_path(parent, "%s", pin_path) || parent[0] != '/')
		return moat_error_set(error, -EINVAL, "pin path %s is no absolute path", pin_path);
	while (statfs(parent, &fs) < 0) {
		slash = strrchr(parent, '/');
		if (errno != ENOENT || !slash || slash == parent)
			return refuse_access(parent, -errno, error);
		*slash = '\0';
	}
	if ((unsigned long)fs.f_type != BPF_FS_MAGIC)
		return moat_error_set(error, -ENOTSUP,
				      "%s is not on a BPF file system: mount -t bpf bpf "
				      "/sys/fs/bpf",
				      pin_path);
	return 0;
}

/* The lock file that goes with a pin path: /run/moat-gate<path with - for />.lock. */
static int lock_path(const char *pin_path, char ret_path[PATH_MAX], struct moat_error *error)
{
	if (!moat_gate_path(ret_path, "/run/moat-gate%s.lock", pin_path))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long", pin_path);
	for (char *c = ret_path + strlen("/run/moat-gate"); *c; c++) {
		if (*c == '/')
			*c = '-';
	}
	return 0;
}

static int lock(const char *pin_path, int *ret_fd, struct moat_error *error)
{
	moat_auto_close int fd = -1;
	struct stat file = {};
	char path[PATH_MAX];
	int r = lock_path(pin_path, path, error);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return refuse_access(path, -errno, error);
	/* a file without a name was locked by who just removed the gate */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &file) < 0 || file.st_nlink == 0)
		return moat_error_set(
			error, -EBUSY,
			"another process has the gate at %s open: end that moatd first", pin_path);
	*ret_fd = moat_take_fd(&fd);
	return 0;
}

static int make_dirs(const char *pin_path, struct moat_error *error)
{
	char path[PATH_MAX];

	if (mkdir(pin_path, 0700) < 0 && errno != EEXIST)
		return refuse_access(pin_path, -errno, error);
	if (!moat_gate_path(path, "%s/ports", pin_path))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long", pin_path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return moat_error_set(error, -errno, "making %s: %s", path, strerror(errno));
	return 0;
}

/* Removes what make_dirs made, where nothing else came into it. */
static void remove_dirs(const char *pin_path)
{
	char path[PATH_MAX];

	if (moat_gate_path(path, "%s/ports", pin_path))
		rmdir(path);
	rmdir(pin_path);
}

static int receive_sample(void *userdata, void *data, size_t size)
{
	struct moat_gate *gate = userdata;

	if (size >= sizeof(struct moat_sample))
		gate->handler(gate->handler_data, data);
	/* a negative value ends the round behind this sample */
	return ++gate->handed < gate->wanted ? 0 : -ECANCELED;
}

static int check_options(const struct moat_gate_options *options, struct moat_error *error)
{
	uint32_t cells = options->cells ? options->cells : CELLS_DEFAULT;
	uint32_t rows = options->row_buckets;

	if (cells < CELLS_MIN || cells > CELLS_MAX || (cells & (cells - 1)) != 0)
		return moat_error_set(error, -EINVAL, "%u cells: a power of two from %u to %u",
				      cells, CELLS_MIN, CELLS_MAX);
	if (rows &&
	    (rows & (rows - 1) || rows < 1u << MOAT_ROW_BITS_MIN || rows > 1u << MOAT_ROW_BITS_MAX))
		return moat_error_set(error, -EINVAL,
				      "%u buckets a row: a power of two from %u to %u", rows,
				      1u << MOAT_ROW_BITS_MIN, 1u << MOAT_ROW_BITS_MAX);
	if (options->nodes > NODES_MAX)
		return moat_error_set(error, -EINVAL, "%u nodes: at most %u", options->nodes,
				      NODES_MAX);
	return 0;
}

/* What stands on the maps. */
static int open_rest(struct moat_gate *gate, struct moat_error *error)
{
	int r;

	gate->ring = ring_buffer__new(gate->maps.map[GATE_MAP_SAMPLES].fd, receive_sample, gate,
				      NULL);
	if (!gate->ring)
		return moat_error_set(error, -errno, "mapping the sample ring: %s", strerror(errno));
	moat_gate_tables_init(gate);
	r = moat_gate_challenge_open(gate, error);
	if (r < 0)
		return r;
	return moat_gate_ports_restore(gate, error);
}

/* All of moat_gate_open that may fail half-way; the caller closes. */
static int open_parts(struct moat_gate *gate, const struct moat_gate_options *options,
		      struct moat_error *error)
{
	int r = moat_gate_clock_open(&gate->clock, error);

	if (r < 0)
		return r;
	r = make_dirs(gate->pin_path, error);
	if (r < 0)
		return r;
	gate->maps.cells = options->cells ? options->cells : CELLS_DEFAULT;
	gate->maps.nodes = options->nodes        ? options->nodes
			   : options->nodes_hint ? options->nodes_hint
						 : NODES_DEFAULT;
	gate->maps.row_buckets = options->row_buckets ? options->row_buckets
						      : 1u << MOAT_ROW_BITS_DEFAULT;
	r = moat_gate_maps_open(&gate->maps, gate->pin_path, error);
	if (r == 0) {
		r = open_rest(gate, error);
		if (r < 0 && !gate->maps.adopted)
			moat_gate_maps_remove(&gate->maps, gate->pin_path);
	}
	if (r < 0) {
		remove_dirs(gate->pin_path);
		return r;
	}
	moat_gate_set_sampling(gate, options->sample_pass, options->sample_drop);
	gate->grows = options->nodes == 0;
	return 0;
}

int moat_gate_nodes_for(uint32_t needed)
{
	uint64_t nodes = (uint64_t)needed + needed / 4;

	if (needed > NODES_MAX)
		return -ENOSPC;
	if (nodes < NODES_DEFAULT)
		return NODES_DEFAULT;
	return (int)(nodes > NODES_MAX ? NODES_MAX : nodes);
}

int moat_gate_open(const struct moat_gate_options *options, struct moat_gate **ret_gate,
		   struct moat_error *error)
{
	const char *pin_path = options->pin_path ? options->pin_path : MOAT_GATE_PIN_DEFAULT;
	struct moat_gate *gate;
	int r = check_options(options, error);

	if (r < 0)
		return r;
	r = check_bpffs(pin_path, error);
	if (r < 0)
		return r;
	gate = calloc(1, sizeof(*gate));
	if (!gate || strlen(pin_path) >= sizeof(gate->pin_path)) {
		free(gate);
		return moat_error_set(error, -ENOMEM, "no memory for the gate");
	}
	memcpy(gate->pin_path, pin_path, strlen(pin_path) + 1);
	gate->lock_fd = -1;
	gate->tunnels = options->tunnels;
	pthread_mutex_init(&gate->port_lock, NULL);
	/* libbpf would write to stderr; what matters of it is in our errors */
	libbpf_set_print(NULL);
	r = lock(pin_path, &gate->lock_fd, error);
	if (r == 0)
		r = open_parts(gate, options, error);
	if (r < 0) {
		moat_gate_close(gate);
		return r;
	}
	*ret_gate = gate;
	return 0;
}

void moat_gate_close(struct moat_gate *gate)
{
	if (!gate)
		return;
	moat_gate_ports_close(gate);
	ring_buffer__free(gate->ring);
	moat_gate_maps_close(&gate->maps);
	moat_gate_clock_close(&gate->clock);
	if (gate->lock_fd >= 0)
		close(gate->lock_fd);
	pthread_mutex_destroy(&gate->port_lock);
	free(gate);
}

bool moat_gate_is_moving(const struct moat_gate *gate)
{
	return gate->maps.moving;
}

int moat_gate_settle(struct moat_gate *gate, struct moat_error *error)
{
	int r = moat_gate_maps_settle(&gate->maps, gate->pin_path);

	return r < 0 ? moat_error_set(error, r, "moving the gate's tables into place: %s",
				      strerror(-r))
		     : 0;
}

int moat_gate_detach(const char *pin_path, struct moat_error *error)
{
	moat_auto_close int lock_fd = -1;
	char path[PATH_MAX], port[PATH_MAX], name[16];
	struct dirent *entry;
	DIR *ports;
	int r = check_bpffs(pin_path, error);

	if (r < 0)
		return r;
	r = lock(pin_path, &lock_fd, error);
	if (r < 0)
		return r;
	if (!moat_gate_path(path, "%s/ports", pin_path))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long", pin_path);
	ports = opendir(path);
	while (ports && (entry = readdir(ports))) {
		moat_gate_unpin_name(entry->d_name, name);
		if (entry->d_name[0] != '.' && moat_gate_path(port, "%s/%s", path, entry->d_name))
			moat_gate_hold_drop(port, name);
	}
	if (ports)
		closedir(ports);
	moat_egress_remove(pin_path);
	moat_gate_maps_detach(pin_path);
	remove_dirs(pin_path);
	if (lock_path(pin_path, path, NULL) == 0)
		unlink(path);
	if (access(pin_path, F_OK) == 0)
		return moat_error_set(error, -EBUSY, "%s holds files that are not the gate's",
				      pin_path);
	return 0;
}

int moat_gate_counters(const struct moat_gate *gate, uint32_t port,
		       struct moat_gate_counters *ret_counters)
{
	struct moat_gate_counters sum = {};
	struct moat_gate *mutable_gate = (struct moat_gate *)gate; /* the lock only */

	if (port >= MOAT_PORTS_MAX)
		return -ENOENT;
	pthread_mutex_lock(&mutable_gate->port_lock);
	if (!gate->ports[port].used) {
		pthread_mutex_unlock(&mutable_gate->port_lock);
		return -ENOENT;
	}
	for (uint32_t cpu = 0; cpu < gate->maps.cpus; cpu++) {
		const volatile struct moat_gate_counters
			*counters = (const void *)(gate->ports[port].counters +
						   cpu * moat_gate_map_stride(sizeof(*counters)));

		for (int i = 0; i < MOAT_REASON_COUNT; i++) {
			sum.reasons[i].packets += counters->reasons[i].packets;
			sum.reasons[i].bytes += counters->reasons[i].bytes;
		}
		sum.in.packets += counters->in.packets;
		sum.in.bytes += counters->in.bytes;
		sum.samples += counters->samples;
		sum.samples_lost += counters->samples_lost;
		sum.helper_errors += counters->helper_errors;
		sum.rules_expired += counters->rules_expired;
	}
	pthread_mutex_unlock(&mutable_gate->port_lock);
	*ret_counters = sum;
	return 0;
}

uint32_t moat_gate_cpus(const struct moat_gate *gate)
{
	return gate->maps.cpus;
}

void moat_gate_cells(const struct moat_gate *gate, uint32_t cpu, struct moat_gate_cells *ret_cells)
{
	ret_cells->head = moat_gate_maps_element(&gate->maps, GATE_MAP_CELLS, cpu);
	ret_cells->to = (const struct moat_cell *)(ret_cells->head + 1);
	ret_cells->from = ret_cells->to + gate->maps.cells;
	ret_cells->count = gate->maps.cells;
}

uint32_t moat_gate_window(const struct moat_gate *gate, uint64_t *ret_length_ns)
{
	struct gate_time time = {};

	*ret_length_ns = (MOAT_NS_PER_S << gate->clock.window_shift) / gate->clock.ticks_per_s;
	/* fails only if the process lost the right to run programs: then time seems to stand still */
	moat_gate_clock_read(&gate->clock, &time);
	return (uint32_t)(time.jiffies >> gate->clock.window_shift);
}

struct moat_known *moat_gate_known(struct moat_gate *gate)
{
	return moat_gate_maps_element(&gate->maps, GATE_MAP_KNOWN, 0);
}

uint64_t moat_gate_hash_seed(const struct moat_gate *gate)
{
	return moat_gate_ctl(gate)->hash_seed;
}

void moat_gate_set_sampling(struct moat_gate *gate, uint32_t sample_pass, uint32_t sample_drop)
{
	struct moat_gate_ctl *ctl = moat_gate_ctl(gate);

	__atomic_store_n(&ctl->sample_pass, sample_pass, __ATOMIC_RELAXED);
	__atomic_store_n(&ctl->sample_drop, sample_drop, __ATOMIC_RELAXED);
}

int moat_gate_poll(struct moat_gate *gate, int max, moat_gate_sample_fn handler, void *userdata)
{
	int r;

	if (max <= 0)
		return 0;
	gate->handler = handler;
	gate->handler_data = userdata;
	gate->handed = 0;
	gate->wanted = max;
	r = ring_buffer__consume(gate->ring);
	return r < 0 && r != -ECANCELED ? r : gate->handed;
}
