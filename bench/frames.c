/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/frames.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "moat/packet.h"

#define FLOWS_PER_CLIENT 8
#define SERVERS 256

int bench_pool_init(struct bench_pool *pool)
{
	void *memory = mmap(NULL, (size_t)BENCH_FRAMES * BENCH_FRAME_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* as buffers of network drivers lie */
	madvise(memory, (size_t)BENCH_FRAMES * BENCH_FRAME_SIZE, MADV_HUGEPAGE);
	memset(memory, 0, (size_t)BENCH_FRAMES * BENCH_FRAME_SIZE);
	pool->frames = memory;
	return 0;
}

void bench_pool_deinit(struct bench_pool *pool)
{
	if (pool->frames)
		munmap(pool->frames, (size_t)BENCH_FRAMES * BENCH_FRAME_SIZE);
}

struct segment {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint8_t flags;
};

static void frame_write(uint8_t frame[BENCH_FRAME_SIZE], const struct segment *s)
{
	static const uint8_t head[] = { 2, 0, 0,    0, 0, 2,  2, 0, 0,    0, 0,  1,
					8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6 };
	uint32_t addresses[2] = { __builtin_bswap32(s->src), __builtin_bswap32(s->dst) };
	uint16_t ports[2] = { __builtin_bswap16(s->sport), __builtin_bswap16(s->dport) };

	memset(frame, 0, BENCH_FRAME_SIZE);
	memcpy(frame, head, sizeof(head));
	memcpy(frame + 26, addresses, sizeof(addresses));
	memcpy(frame + 34, ports, sizeof(ports));
	frame[46] = 0x50; /* data offset */
	frame[47] = s->flags;
}

void bench_frame_established(uint8_t frame[BENCH_FRAME_SIZE], uint32_t flow, bool from_server)
{
	uint32_t client = 0x0a000000u + flow / FLOWS_PER_CLIENT;
	uint32_t server = 0x0ac80000u + flow % SERVERS;
	uint16_t port = (uint16_t)(1024 + flow % 60000), service = 443;

	frame_write(frame, &(struct segment){
				   .src = from_server ? server : client,
				   .dst = from_server ? client : server,
				   .sport = from_server ? service : port,
				   .dport = from_server ? port : service,
				   .flags = MOAT_TCP_ACK,
			   });
}

void bench_frame_flood(uint8_t frame[BENCH_FRAME_SIZE], uint64_t number)
{
	/* odd multipliers keep numbers distinct; unicast, none of the established clients' */
	uint32_t src = 0x20000000u + ((uint32_t)number * 0x9e3779b1u >> 1);

	frame_write(frame, &(struct segment){
				   .src = src,
				   .dst = 0x0ac80000u + (uint32_t)bench_mix(number) % SERVERS,
				   .sport = (uint16_t)(1024 + (number >> 32) * 2 +
						       ((uint32_t)number * 0x9e3779b1u & 1)),
				   .dport = 443,
				   .flags = MOAT_TCP_SYN,
			   });
}
