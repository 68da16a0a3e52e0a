/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/port_bare.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

#include "dataplane/base/cleanup.h"

#define FRAMES 4096u
#define FRAME_SIZE 4096u
#define RING 2048u
#define BATCH 64u

struct bench_bare {
	struct xsk_umem *umem;
	void *area;
	struct xsk_socket *in, *out;
	struct xsk_ring_prod fill, tx, out_fill;
	struct xsk_ring_cons completion, rx, out_completion;
	uint32_t outstanding;
	pthread_t thread;
	bool has_thread;
	_Atomic bool stop;
	_Alignas(64) _Atomic uint64_t received;
};

/* ---- loops -------------------------------------------------------------------------------- */

static void complete(struct bench_bare *b)
{
	uint32_t count, from, to = 0;

	if (b->outstanding == 0)
		return;
	if (xsk_ring_prod__needs_wakeup(&b->tx))
		sendto(xsk_socket__fd(b->out), NULL, 0, MSG_DONTWAIT, NULL, 0);
	count = xsk_ring_cons__peek(&b->out_completion, BATCH, &from);
	if (count == 0)
		return;
	xsk_ring_prod__reserve(&b->fill, count, &to);
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&b->fill, to + i) = *xsk_ring_cons__comp_addr(
			&b->out_completion, from + i);
	xsk_ring_prod__submit(&b->fill, count);
	xsk_ring_cons__release(&b->out_completion, count);
	b->outstanding -= count;
}

static void drop(struct bench_bare *b, uint32_t from, uint32_t count)
{
	uint32_t to = 0;

	xsk_ring_prod__reserve(&b->fill, count, &to);
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&b->fill,
					  to + i) = xsk_ring_cons__rx_desc(&b->rx, from + i)->addr;
	xsk_ring_prod__submit(&b->fill, count);
}

static void forward(struct bench_bare *b, uint32_t from, uint32_t count)
{
	uint32_t to = 0;

	while (xsk_ring_prod__reserve(&b->tx, count, &to) != count)
		complete(b);
	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&b->rx, from + i);

		*xsk_ring_prod__tx_desc(&b->tx, to + i) = (struct xdp_desc){ .addr = desc->addr,
									     .len = desc->len };
	}
	xsk_ring_prod__submit(&b->tx, count);
	b->outstanding += count;
}

static void *bare_main(void *userdata)
{
	struct bench_bare *b = userdata;
	uint32_t from, count;

	while (!atomic_load_explicit(&b->stop, memory_order_relaxed)) {
		if (b->out)
			complete(b);
		count = xsk_ring_cons__peek(&b->rx, BATCH, &from);
		if (count == 0) {
			if (xsk_ring_prod__needs_wakeup(&b->fill))
				recvfrom(xsk_socket__fd(b->in), NULL, 0, MSG_DONTWAIT, NULL, NULL);
			continue;
		}
		if (b->out)
			forward(b, from, count);
		else
			drop(b, from, count);
		xsk_ring_cons__release(&b->rx, count);
		atomic_store_explicit(&b->received, b->received + count, memory_order_relaxed);
	}
	return NULL;
}

int bench_bare_start(struct bench_bare *bare, int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int r;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	atomic_store(&bare->stop, false);
	r = pthread_create(&bare->thread, &attributes, bare_main, bare);
	pthread_attr_destroy(&attributes);
	bare->has_thread = r == 0;
	return -r;
}

void bench_bare_stop(struct bench_bare *bare)
{
	if (!bare->has_thread)
		return;
	atomic_store(&bare->stop, true);
	pthread_join(bare->thread, NULL);
	bare->has_thread = false;
}

uint64_t bench_bare_received(const struct bench_bare *bare)
{
	return atomic_load(&bare->received);
}

/* ---- life --------------------------------------------------------------------------------- */

/* return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS) */
static int load_program(int map_fd)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 16 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	_Static_assert(offsetof(struct xdp_md, rx_queue_index) == 16, "ABI");
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bench_xsk", "GPL", instructions,
			     MOAT_ARRAY_SIZE(instructions), NULL);
}

/* Hands all that comes in at queue 0 to the socket. */
static int attach(const struct bench_bare *b, const char *in)
{
	int map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bench_xsks", 4, 4, 1, NULL);
	int program = map < 0 ? map : load_program(map);
	int r = program;

	if (r >= 0)
		r = bpf_xdp_attach((int)if_nametoindex(in), program, XDP_FLAGS_DRV_MODE, NULL);
	if (r >= 0)
		r = xsk_socket__update_xskmap(b->in, map);
	/* the interface and the map hold them */
	moat_close_cleanup(&program);
	moat_close_cleanup(&map);
	return r;
}

static int open_sockets(struct bench_bare *b, const char *in, const char *out)
{
	const struct xsk_umem_config umem = { .fill_size = FRAMES,
					      .comp_size = FRAMES,
					      .frame_size = FRAME_SIZE };
	const struct xsk_socket_config socket = {
		.rx_size = RING,
		.tx_size = RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP,
	};
	uint32_t at = 0;
	int r;

	b->area = mmap(NULL, FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b->area == MAP_FAILED) {
		b->area = NULL;
		return -ENOMEM;
	}
	r = xsk_umem__create(&b->umem, b->area, FRAMES * FRAME_SIZE, &b->fill, &b->completion,
			     &umem);
	if (r < 0)
		return r;
	xsk_ring_prod__reserve(&b->fill, FRAMES, &at);
	for (uint32_t i = 0; i < FRAMES; i++)
		*xsk_ring_prod__fill_addr(&b->fill, at + i) = (uint64_t)i * FRAME_SIZE;
	xsk_ring_prod__submit(&b->fill, FRAMES);
	r = xsk_socket__create(&b->in, in, 0, b->umem, &b->rx, NULL, &socket);
	if (r == 0 && out)
		r = xsk_socket__create_shared(&b->out, out, 0, b->umem, NULL, &b->tx, &b->out_fill,
					      &b->out_completion, &socket);
	return r < 0 ? r : attach(b, in);
}

int bench_bare_open(const char *in, const char *out, struct bench_bare **ret_bare,
		    struct moat_error *error)
{
	struct bench_bare *bare = aligned_alloc(64, sizeof(*bare));
	int r;

	if (!bare)
		return moat_error_set(error, -ENOMEM, "out of memory");
	memset(bare, 0, sizeof(*bare));
	r = open_sockets(bare, in, out);
	if (r < 0) {
		bench_bare_close(bare);
		return moat_error_set(error, r, "bare sockets on %s: %s", in, strerror(-r));
	}
	*ret_bare = bare;
	return 0;
}

void bench_bare_close(struct bench_bare *bare)
{
	if (!bare)
		return;
	bench_bare_stop(bare);
	if (bare->out)
		xsk_socket__delete(bare->out);
	if (bare->in)
		xsk_socket__delete(bare->in);
	if (bare->umem)
		xsk_umem__delete(bare->umem);
	if (bare->area)
		munmap(bare->area, FRAMES * FRAME_SIZE);
	free(bare);
}
