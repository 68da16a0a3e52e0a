/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See channel.h. The layout of a ring is that of the kernel's Documentation/bpf/ringbuf.rst: a page with the
 * reader's position, one with the writers', and the data, mapped twice in a row so that no record is split. */
#include "ctl/sidecar/channel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

/* bpf/lib/emit.h */
#define LANES 2
#define SHARDS_MAX 32
/* CPUs that share a ring: a ring's lock is taken by all that write to it. */
#define CPUS_PER_SHARD 4
/* Room is given back to the writers in such pieces of the ring. */
#define RELEASES 32

struct ring {
	int fd; /* -1: none */
	uint64_t *reader, *writer;
	const uint8_t *data;
	uint64_t mask;
};

struct moat_channel {
	struct ring rings[LANES * SHARDS_MAX];
	uint32_t ring_count;
	size_t page;
	int epoll_fd;
	moat_channel_fn handler;
	void *userdata;
	const struct moat_event_counters *counters; /* mapped, an element a CPU */
	size_t counters_length;
};

uint32_t moat_channel_shards(uint32_t cpus)
{
	uint32_t shards = 1;

	while (shards < SHARDS_MAX && shards * CPUS_PER_SHARD < cpus)
		shards *= 2;
	return shards;
}

uint64_t moat_channel_wakeup(uint32_t ring_bytes)
{
	return ring_bytes / 8;
}

/* ---- life --------------------------------------------------------------------------------------- */

static int ring_init(struct ring *ring, uint32_t bytes, size_t page)
{
	void *memory;

	ring->fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "host_events", 0, 0, bytes, NULL);
	if (ring->fd < 0)
		return ring->fd;
	ring->mask = bytes - 1;
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ring->reader = memory;
	memory = mmap(NULL, page + 2 * (size_t)bytes, PROT_READ, MAP_SHARED, ring->fd, (off_t)page);
	if (memory == MAP_FAILED)
		return -errno;
	ring->writer = memory;
	ring->data = (uint8_t *)memory + page;
	return 0;
}

static void ring_deinit(struct ring *ring, size_t page)
{
	if (ring->writer)
		munmap(ring->writer, page + 2 * (ring->mask + 1));
	if (ring->reader)
		munmap(ring->reader, page);
	if (ring->fd >= 0)
		close(ring->fd);
}

/* Makes a ring and puts it into its place. */
static int add_ring(struct moat_channel *channel, int rings_fd, uint32_t index, uint32_t bytes)
{
	struct ring *ring = &channel->rings[channel->ring_count++];
	struct epoll_event event = { .events = EPOLLIN };
	int r = ring_init(ring, bytes, channel->page);

	if (r == 0)
		r = bpf_map_update_elem(rings_fd, &index, &ring->fd, BPF_ANY);
	if (r == 0 && epoll_ctl(channel->epoll_fd, EPOLL_CTL_ADD, ring->fd, &event) < 0)
		r = -errno;
	return r;
}

static int map_counters(struct moat_channel *channel, const struct moat_channel_options *options)
{
	void *memory;

	channel->counters_length = (options->cpus * sizeof(*channel->counters) + channel->page - 1) &
				   ~(channel->page - 1);
	memory = mmap(NULL, channel->counters_length, PROT_READ, MAP_SHARED, options->counters_fd,
		      0);
	if (memory == MAP_FAILED)
		return -errno;
	channel->counters = memory;
	return 0;
}

int moat_channel_new(const struct moat_channel_options *options, moat_channel_fn handler,
		     void *userdata, struct moat_channel **ret_channel)
{
	uint32_t shards = moat_channel_shards(options->cpus);
	struct moat_channel *channel = calloc(1, sizeof(*channel));
	int r = 0;

	if (!channel)
		return -ENOMEM;
	channel->handler = handler;
	channel->userdata = userdata;
	channel->page = (size_t)sysconf(_SC_PAGESIZE);
	channel->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (channel->epoll_fd < 0)
		r = -errno;
	for (uint32_t lane = 0; lane < LANES; lane++) {
		for (uint32_t shard = 0; r == 0 && shard < shards; shard++)
			r = add_ring(channel, options->rings_fd, lane * SHARDS_MAX + shard,
				     options->ring_bytes);
	}
	if (r == 0)
		r = map_counters(channel, options);
	if (r < 0) {
		moat_channel_free(channel);
		return r;
	}
	*ret_channel = channel;
	return 0;
}

void moat_channel_free(struct moat_channel *channel)
{
	if (!channel)
		return;
	for (uint32_t i = 0; i < channel->ring_count; i++)
		ring_deinit(&channel->rings[i], channel->page);
	if (channel->counters)
		munmap((void *)channel->counters, channel->counters_length);
	if (channel->epoll_fd >= 0)
		close(channel->epoll_fd);
	free(channel);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static uint32_t ring_read(const struct moat_channel *channel, const struct ring *ring)
{
	uint64_t at = *ring->reader, released = at;
	uint64_t end = __atomic_load_n(ring->writer, __ATOMIC_ACQUIRE);
	uint64_t piece = (ring->mask + 1) / RELEASES;
	uint32_t count = 0;

	while (at < end) {
		const uint8_t *record = ring->data + (at & ring->mask);
		uint32_t head = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		uint32_t size = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (head & BPF_RINGBUF_BUSY_BIT)
			break; /* being written; what is behind it waits as well */
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			channel->handler(channel->userdata, record + BPF_RINGBUF_HDR_SZ, size);
			count++;
		}
		at += (size + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
		if (at - released >= piece) {
			__atomic_store_n(ring->reader, at, __ATOMIC_RELEASE);
			released = at;
		}
	}
	__atomic_store_n(ring->reader, at, __ATOMIC_RELEASE);
	return count;
}

int moat_channel_poll(struct moat_channel *channel)
{
	int count = 0;

	for (uint32_t i = 0; i < channel->ring_count; i++)
		count += (int)ring_read(channel, &channel->rings[i]);
	return count;
}

int moat_channel_fd(const struct moat_channel *channel)
{
	return channel->epoll_fd;
}

void moat_channel_counters(const struct moat_channel *channel, uint32_t cpu,
			   struct moat_event_counters *ret_counters)
{
	*ret_counters = *(const volatile struct moat_event_counters *)&channel->counters[cpu];
}
