/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * AF_XDP ports through libxdp (Documentation/networking/af_xdp.rst of the kernel): their memory, their
 * sockets, and what the kernel agreed to. The XDP program and its XSKMAP are the gate's.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/libxdp.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/port_afxdp_priv.h"
#include "moat/gate.h"

#define RING_MAX 2048u /* of the RX and TX rings */

/* ---- life --------------------------------------------------------------------------------- */

static void umem_put(struct afxdp_umem *umem)
{
	if (!umem || --umem->users > 0)
		return;
	if (umem->xsk)
		xsk_umem__delete(umem->xsk);
	if (umem->area)
		munmap(umem->area, umem->size);
	free(umem);
}

void moat_afxdp_close(struct port_afxdp *p)
{
	/* the first socket of a UMEM lives as long as that, so it must be taken out of the map by hand */
	if (p->is_in_map)
		bpf_map_delete_elem(p->xsks_fd, &p->queue);
	if (p->socket)
		xsk_socket__delete(p->socket);
	if (p->xsks_fd >= 0)
		close(p->xsks_fd);
	if (p->reply_fd >= 0)
		close(p->reply_fd);
	umem_put(p->umem);
	free(p->heads);
	free(p);
}

static int umem_new(struct port_afxdp *p, bool alone, struct moat_error *error)
{
	const struct xsk_umem_config config = {
		.fill_size = p->frames,
		.comp_size = p->frames,
		.frame_size = MOAT_AFXDP_BUFFER,
	};
	struct afxdp_umem *umem = calloc(1, sizeof(*umem));
	void *area;
	int r;

	if (!umem)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", p->port.name);
	umem->users = 1;
	p->umem = umem;
	umem->size = (size_t)p->frames * MOAT_AFXDP_BUFFER * (alone ? 1 : 2);
	area = mmap(NULL, umem->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return moat_error_set(error, -ENOMEM, "%s: no %zu bytes for packets", p->port.name,
				      umem->size);
	umem->area = area;
	/* every frame begins a page: of ordinary ones each would miss the TLB */
	madvise(area, umem->size, MADV_HUGEPAGE);
	r = xsk_umem__create(&umem->xsk, area, umem->size, &p->fill, &p->completion, &config);
	if (r < 0)
		return moat_error_set(
			error, r,
			"%s: AF_XDP memory of %zu bytes: %s (needs CAP_NET_RAW, and CAP_IPC_LOCK or a "
			"higher limit of locked memory)",
			p->port.name, umem->size, strerror(-r));
	return 0;
}

static int umem_join(struct port_afxdp *p, struct port_afxdp *peer, struct moat_error *error)
{
	if (peer->frames != p->frames ||
	    peer->umem->size < 2 * (size_t)p->frames * MOAT_AFXDP_BUFFER || peer->umem->users != 1)
		return moat_error_set(error, -EINVAL,
				      "%s: the memory of %s has no room for a peer of %u frames",
				      p->port.name, peer->port.name, p->frames);
	p->umem = peer->umem;
	p->umem->users++;
	p->first_frame = p->frames;
	return 0;
}

static int first_socket(struct port_afxdp *p, const char *interface, uint16_t flags)
{
	const struct xsk_socket_config config = {
		.rx_size = p->ring,
		.tx_size = p->ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = flags,
	};

	return xsk_socket__create(&p->socket, interface, p->queue, p->umem->xsk, &p->rx, &p->tx,
				  &config);
}

/* What the kernel is asked for goes for both sockets of a UMEM. The fill ring is full before the device can look
 * into it. */
static int bind_first(struct port_afxdp *p, const struct moat_port_afxdp_options *options)
{
	/* unless it must copy, the kernel takes the better one that works */
	uint16_t flags = XDP_USE_NEED_WAKEUP | (options->copy ? XDP_COPY : 0);
	int r = -EINVAL;

	moat_afxdp_fill_all(p);
	if (options->multi_buffer)
		r = first_socket(p, options->interface, flags | XDP_USE_SG);
	p->umem->multi_buffer = r == 0;
	/* kernels before 6.6 don't know of frames of several buffers */
	return r == -EINVAL ? first_socket(p, options->interface, flags) : r;
}

/* The second socket's fill ring exists only after bind; nothing is redirected to it before it is in the map. */
static int bind_second(struct port_afxdp *p, const char *interface)
{
	const struct xsk_socket_config config = {
		.rx_size = p->ring,
		.tx_size = p->ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
	};
	int r = xsk_socket__create_shared(&p->socket, interface, p->queue, p->umem->xsk, &p->rx,
					  &p->tx, &p->fill, &p->completion, &config);

	if (r == 0)
		moat_afxdp_fill_all(p);
	return r;
}

static int socket_new(struct port_afxdp *p, const struct moat_port_afxdp_options *options,
		      struct moat_error *error)
{
	int r = options->peer ? bind_second(p, options->interface) : bind_first(p, options);

	if (r == -EBUSY)
		return moat_error_set(error, r, "%s: another AF_XDP socket has this queue",
				      p->port.name);
	if (r == -EINVAL)
		return moat_error_set(error, r, "%s: the interface has no such queue", p->port.name);
	if (r < 0)
		return moat_error_set(error, r, "%s: AF_XDP socket: %s", p->port.name, strerror(-r));
	p->fd = xsk_socket__fd(p->socket);
	return 0;
}

static int set_busy_poll(const struct port_afxdp *p)
{
	const int on = 1, usecs = (int)p->busy_poll_us, budget = (int)p->busy_poll_budget;

	if (setsockopt(p->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) < 0 ||
	    setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) < 0 ||
	    setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) < 0)
		return -errno;
	return 0;
}

static int socket_set_up(struct port_afxdp *p, struct moat_error *error)
{
	const int budget = MOAT_BURST;
	struct xdp_options options = { 0 };
	socklen_t size = sizeof(options);
	int r;

	/* since 6.17; without it a burst takes two calls */
	setsockopt(p->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	if (getsockopt(p->fd, SOL_XDP, XDP_OPTIONS, &options, &size) == 0)
		p->zerocopy = options.flags & XDP_OPTIONS_ZEROCOPY;
	r = p->busy_poll_us ? set_busy_poll(p) : 0;
	if (r < 0)
		return moat_error_set(error, r, "%s: busy polling: %s", p->port.name, strerror(-r));
	r = xsk_socket__update_xskmap(p->socket, p->xsks_fd);
	if (r < 0)
		return moat_error_set(error, r, "%s: the gate's socket map: %s", p->port.name,
				      strerror(-r));
	p->is_in_map = true;
	return 0;
}

/* The TX ring is the peer's worker's, so answers, which are few, go through a packet socket: a system
 * call each. Without the right to one there are no answers. */
static void reply_open(struct port_afxdp *p, const char *interface)
{
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(interface),
	};

	/* protocol 0: it receives nothing */
	p->reply_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->reply_fd >= 0 &&
	    bind(p->reply_fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close(p->reply_fd);
		p->reply_fd = -1;
	}
}

/* ---- opening ------------------------------------------------------------------------------ */

static int be_silent(enum libxdp_print_level level, const char *format, va_list arguments)
{
	return 0;
}

static int check_options(const struct moat_port_afxdp_options *options, struct moat_error *error)
{
	uint32_t frames = options->frames ? options->frames : MOAT_AFXDP_FRAMES;

	if (if_nametoindex(options->interface) == 0)
		return moat_error_set(error, -ENODEV, "%s: no such interface", options->interface);
	if (frames < MOAT_AFXDP_FRAMES_MIN || frames > MOAT_AFXDP_FRAMES_MAX ||
	    (frames & (frames - 1)))
		return moat_error_set(error, -EINVAL,
				      "%s: %u frames: not a power of two from %u to %u",
				      options->interface, frames, MOAT_AFXDP_FRAMES_MIN,
				      MOAT_AFXDP_FRAMES_MAX);
	if (options->peer && options->peer->ops != &moat_afxdp_ops)
		return moat_error_set(error, -EINVAL, "%s: its peer %s is no AF_XDP port",
				      options->interface, options->peer->name);
	return 0;
}

/* A port with nothing open. NULL: out of memory. */
static struct port_afxdp *port_new(const struct moat_port_afxdp_options *options)
{
	struct port_afxdp *p = aligned_alloc(64, sizeof(*p));

	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->port.ops = &moat_afxdp_ops;
	snprintf(p->port.name, sizeof(p->port.name), "%s/%u", options->interface, options->queue);
	p->queue = options->queue;
	p->frames = options->frames ? options->frames : MOAT_AFXDP_FRAMES;
	p->ring = p->frames < RING_MAX ? p->frames : RING_MAX;
	p->busy_poll_us = options->busy_poll_us;
	p->busy_poll_budget = options->busy_poll_budget ? options->busy_poll_budget : MOAT_BURST;
	p->fd = -1;
	p->reply_fd = -1;
	p->xsks_fd = -1;
	p->heads = calloc(MOAT_BURST, sizeof(*p->heads));
	if (p->heads)
		return p;
	free(p);
	return NULL;
}

int moat_port_afxdp_open(const struct moat_port_afxdp_options *options, struct moat_port **ret_port,
			 struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct port_afxdp *p;
	int r = check_options(options, error);

	if (r < 0)
		return r;
	p = port_new(options);
	if (!p)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", options->interface);
	port = &p->port;
	p->xsks_fd = fcntl(options->xsks_fd, F_DUPFD_CLOEXEC, 0);
	if (p->xsks_fd < 0)
		return moat_error_set(error, -errno, "%s: the gate's socket map: %s", port->name,
				      strerror(errno));
	libxdp_set_print(be_silent); /* what it would print is in our error */
	r = options->peer ? umem_join(p, (struct port_afxdp *)options->peer, error)
			  : umem_new(p, options->alone, error);
	if (r == 0)
		r = socket_new(p, options, error);
	if (r == 0)
		r = socket_set_up(p, error);
	if (r < 0)
		return r;
	reply_open(p, options->interface);
	*ret_port = moat_take_ptr(port);
	return 0;
}

void moat_port_afxdp_info(const struct moat_port *port, struct moat_port_afxdp_info *ret_info)
{
	const struct port_afxdp *p = (const struct port_afxdp *)port;

	*ret_info = (struct moat_port_afxdp_info){
		.zerocopy = p->zerocopy,
		.multi_buffer = p->umem->multi_buffer,
		.need_wakeup = true, /* of every kernel with the gate: since 5.4 */
		.busy_poll = p->busy_poll_us > 0,
		.frames = p->frames,
		.frame_max = p->umem->multi_buffer ? MOAT_GATE_CHAIN_FRAME_MAX
						   : MOAT_GATE_SOCKET_FRAME_MAX,
	};
}
