/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * AF_XDP ports through libxdp (Documentation/networking/af_xdp.rst of the kernel). The XDP program and its
 * XSKMAP are the gate's.
 *
 * Every frame of the UMEM belongs to one port for good: it waits in that port's fill ring, is received,
 * and either goes back to the fill ring at once or by way of the TX and completion rings of the port it
 * is sent on. The worker that receives from A and sends on B touches A's fill and RX ring and B's TX and
 * completion ring, nobody else does; so no ring is locked and there is no list of free frames.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/port.h"

#define FRAME_SIZE XSK_UMEM__DEFAULT_FRAME_SIZE
#define FRAMES_DEFAULT 4096u
#define FRAMES_MIN 64u
#define FRAMES_MAX 65536u
#define RING_MAX 2048u /* of the RX and TX rings */
/* In copy mode a system call sends at most 32 frames (TX_BATCH_SIZE in net/xdp/xsk.c), or the budget. */
#define KICKS_MAX 4
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#define BUSY_POLL_US 20

/* Memory that one or two ports share; the last to close frees it. */
struct umem {
	struct xsk_umem *xsk;
	uint8_t *area;
	size_t size;
	unsigned int users;
};

struct port_afxdp {
	struct moat_port port;
	struct umem *umem;
	struct xsk_socket *socket;
	int fd;
	int xsks_fd;
	uint32_t queue;
	uint32_t frames;
	uint32_t first_frame; /* of ours in the UMEM */
	bool is_in_map;
	bool zerocopy;
	bool busy_poll;

	/* the receiving worker's */
	_Alignas(64) struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct port_afxdp *sends_on; /* the port that holds frames of ours in its TX ring */
	int lost;                    /* errno */
	int reply_fd;

	/* the sending worker's */
	_Alignas(64) struct xsk_ring_prod tx;
	struct xsk_ring_cons completion;
	uint32_t outstanding; /* submitted and not yet completed */
};

/* ---- life --------------------------------------------------------------------------------- */

static void umem_put(struct umem *umem)
{
	if (!umem || --umem->users > 0)
		return;
	if (umem->xsk)
		xsk_umem__delete(umem->xsk);
	if (umem->area)
		munmap(umem->area, umem->size);
	free(umem);
}

static void afxdp_close(struct moat_port *port)
{
	struct port_afxdp *p = (struct port_afxdp *)port;

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
	free(p);
}

/* Gives frames (any address within) to the kernel for reception. The ring has room for all there are. */
static void fill_add(struct port_afxdp *p, const uint64_t *addresses, unsigned int count)
{
	uint32_t at;

	if (count == 0 || xsk_ring_prod__reserve(&p->fill, count, &at) != count)
		return;
	for (unsigned int i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&p->fill, at + i) = addresses[i];
	xsk_ring_prod__submit(&p->fill, count);
}

static void fill_all(struct port_afxdp *p)
{
	for (uint32_t i = 0; i < p->frames; i++) {
		uint64_t address = (uint64_t)(p->first_frame + i) * FRAME_SIZE;

		fill_add(p, &address, 1);
	}
}

static int umem_new(struct port_afxdp *p, bool alone, struct moat_error *error)
{
	const struct xsk_umem_config config = {
		.fill_size = p->frames,
		.comp_size = p->frames,
		.frame_size = FRAME_SIZE,
	};
	struct umem *umem = calloc(1, sizeof(*umem));
	void *area;
	int r;

	if (!umem)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", p->port.name);
	umem->users = 1;
	p->umem = umem;
	umem->size = (size_t)p->frames * FRAME_SIZE * (alone ? 1 : 2);
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
	if (peer->frames != p->frames || peer->umem->size < 2 * (size_t)p->frames * FRAME_SIZE ||
	    peer->umem->users != 1)
		return moat_error_set(error, -EINVAL,
				      "%s: the memory of %s has no room for a peer of %u frames",
				      p->port.name, peer->port.name, p->frames);
	p->umem = peer->umem;
	p->umem->users++;
	p->first_frame = p->frames;
	return 0;
}

static int socket_new(struct port_afxdp *p, const char *interface, struct moat_error *error)
{
	uint32_t ring = p->frames < RING_MAX ? p->frames : RING_MAX;
	const struct xsk_socket_config config = {
		.rx_size = ring,
		.tx_size = ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		/* neither XDP_COPY nor XDP_ZEROCOPY: the kernel takes the better one that works */
		.bind_flags = XDP_USE_NEED_WAKEUP,
	};
	int r;

	/* The first socket of a UMEM has its fill ring already: full before the device can look into it. Of
	 * the second it exists only after bind; nothing is redirected to either before it is in the map. */
	if (p->first_frame == 0) {
		fill_all(p);
		r = xsk_socket__create(&p->socket, interface, p->queue, p->umem->xsk, &p->rx,
				       &p->tx, &config);
	} else {
		r = xsk_socket__create_shared(&p->socket, interface, p->queue, p->umem->xsk, &p->rx,
					      &p->tx, &p->fill, &p->completion, &config);
		if (r == 0)
			fill_all(p);
	}
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

static int socket_set_up(struct port_afxdp *p, struct moat_error *error)
{
	const int on = 1, usecs = BUSY_POLL_US, budget = MOAT_BURST;
	struct xdp_options options = { 0 };
	socklen_t size = sizeof(options);
	int r;

	/* since 6.17; without it a burst takes two calls */
	setsockopt(p->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	if (getsockopt(p->fd, SOL_XDP, XDP_OPTIONS, &options, &size) == 0)
		p->zerocopy = options.flags & XDP_OPTIONS_ZEROCOPY;
	if (p->busy_poll &&
	    (setsockopt(p->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) < 0 ||
	     setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) < 0 ||
	     setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) < 0))
		return moat_error_set(error, -errno, "%s: busy polling: %s", p->port.name,
				      strerror(errno));
	r = xsk_socket__update_xskmap(p->socket, p->xsks_fd);
	if (r < 0)
		return moat_error_set(error, r, "%s: the gate's socket map: %s", p->port.name,
				      strerror(-r));
	p->is_in_map = true;
	return 0;
}

/* ---- sending ------------------------------------------------------------------------------ */

static uint32_t tx_waiting(const struct port_afxdp *p)
{
	return p->tx.cached_prod - __atomic_load_n(p->tx.consumer, __ATOMIC_ACQUIRE);
}

/* Tells the kernel about frames in the TX ring, if it wants to be told. What can't be sent now (link down,
 * no memory) stays in the ring for the next time. `from` counts, being the caller's own. */
static void tx_kick(struct port_afxdp *p, struct port_afxdp *from)
{
	for (unsigned int i = 0; i < KICKS_MAX; i++) {
		if (!xsk_ring_prod__needs_wakeup(&p->tx) || tx_waiting(p) == 0)
			return;
		from->port.counters.wakeups++;
		if (sendto(p->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY)
			return;
	}
}

/* Takes back what the device has sent, and pushes what it has not. */
static void tx_reclaim(struct port_afxdp *p, struct port_afxdp *from)
{
	uint64_t addresses[MOAT_BURST];
	uint32_t at, count;

	if (p->outstanding == 0)
		return;
	while ((count = xsk_ring_cons__peek(&p->completion, MOAT_BURST, &at)) > 0) {
		for (uint32_t i = 0; i < count; i++)
			addresses[i] = *xsk_ring_cons__comp_addr(&p->completion, at + i);
		xsk_ring_cons__release(&p->completion, count);
		p->outstanding -= count;
		fill_add(from, addresses, count);
	}
	if (p->outstanding)
		tx_kick(p, from);
}

static void afxdp_release(struct moat_port *port, const struct moat_packet *burst,
			  unsigned int count)
{
	uint64_t addresses[MOAT_BURST];

	for (unsigned int i = 0; i < count; i++)
		addresses[i] = burst[i].cookie;
	fill_add((struct port_afxdp *)port, addresses, count);
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

static bool afxdp_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	const struct port_afxdp *p = (const struct port_afxdp *)port;

	return p->reply_fd >= 0 && send(p->reply_fd, data, length, 0) == (ssize_t)length;
}

static const struct moat_port_ops afxdp_ops;

static unsigned int afxdp_tx(struct moat_port *port, struct moat_port *from_port,
			     const struct moat_packet *burst, unsigned int count)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	struct port_afxdp *from = (struct port_afxdp *)from_port;
	uint32_t at = 0, accepted;

	if (from_port->ops != &afxdp_ops || from->umem != p->umem) {
		moat_port_release(from_port, burst, count);
		return 0;
	}
	from->sends_on = p;
	tx_reclaim(p, from);
	accepted = xsk_prod_nb_free(&p->tx, count);
	if (accepted > count)
		accepted = count;
	if (accepted)
		xsk_ring_prod__reserve(&p->tx, accepted, &at);
	for (uint32_t i = 0; i < accepted; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&p->tx, at + i);

		*desc = (struct xdp_desc){ .addr = burst[i].cookie, .len = burst[i].captured };
	}
	if (accepted)
		xsk_ring_prod__submit(&p->tx, accepted);
	p->outstanding += accepted;
	tx_kick(p, from);
	afxdp_release(from_port, burst + accepted, count - accepted);
	return accepted;
}

/* ---- receiving ---------------------------------------------------------------------------- */

/* Lets the kernel work for the socket, and notices when there is no device behind it any more. */
static void rx_kick(struct port_afxdp *p)
{
	p->port.counters.wakeups++;
	if (recvfrom(p->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 && errno == ENXIO)
		p->lost = ENODEV;
}

static int afxdp_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	uint32_t at, count;

	if (p->lost)
		return -p->lost;
	if (p->sends_on)
		tx_reclaim(p->sends_on, p);
	count = xsk_ring_cons__peek(&p->rx, max, &at);
	if (count == 0) {
		if (p->busy_poll || xsk_ring_prod__needs_wakeup(&p->fill))
			rx_kick(p);
		return -p->lost;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&p->rx, at + i);

		ret_burst[i] = (struct moat_packet){
			.data = xsk_umem__get_data(p->umem->area, desc->addr),
			.captured = desc->len,
			.length = desc->len,
			.cookie = desc->addr,
		};
	}
	xsk_ring_cons__release(&p->rx, count);
	return (int)count;
}

static bool afxdp_wait(struct moat_port *port, int timeout_ms)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	struct pollfd poll_fd = { .fd = p->fd, .events = POLLIN };

	/* frames that wait to be sent must not wait for the next to come */
	if (p->sends_on && p->sends_on->outstanding && timeout_ms > 1)
		timeout_ms = 1;
	if (poll(&poll_fd, 1, timeout_ms) > 0)
		return true;
	/* poll says nothing of an interface that is gone */
	rx_kick(p);
	return false;
}

static void afxdp_refresh(struct moat_port *port, struct moat_port_counters *counters)
{
	const struct port_afxdp *p = (const struct port_afxdp *)port;
	struct xdp_statistics statistics = { 0 };
	socklen_t size = sizeof(statistics);

	if (getsockopt(p->fd, SOL_XDP, XDP_STATISTICS, &statistics, &size) < 0)
		return;
	counters->rx_ring_full += statistics.rx_ring_full;
	counters->rx_no_buffer += statistics.rx_fill_ring_empty_descs;
	counters->rx_invalid += statistics.rx_invalid_descs;
	/* in copy mode a packet without a buffer is counted here, too; the rest is longer than a frame */
	if (statistics.rx_dropped > statistics.rx_fill_ring_empty_descs)
		counters->rx_invalid += statistics.rx_dropped - statistics.rx_fill_ring_empty_descs;
}

static const struct moat_port_ops afxdp_ops = {
	.name = "afxdp",
	.close = afxdp_close,
	.rx = afxdp_rx,
	.release = afxdp_release,
	.tx = afxdp_tx,
	.reply = afxdp_reply,
	.wait = afxdp_wait,
	.refresh = afxdp_refresh,
};

/* ---- opening ------------------------------------------------------------------------------ */

static int be_silent(enum libxdp_print_level level, const char *format, va_list arguments)
{
	return 0;
}

static int check_options(const struct moat_port_afxdp_options *options, struct moat_error *error)
{
	uint32_t frames = options->frames ? options->frames : FRAMES_DEFAULT;

	if (if_nametoindex(options->interface) == 0)
		return moat_error_set(error, -ENODEV, "%s: no such interface", options->interface);
	if (frames < FRAMES_MIN || frames > FRAMES_MAX || (frames & (frames - 1)))
		return moat_error_set(error, -EINVAL,
				      "%s: %u frames: not a power of two from %u to %u",
				      options->interface, frames, FRAMES_MIN, FRAMES_MAX);
	if (options->peer && options->peer->ops != &afxdp_ops)
		return moat_error_set(error, -EINVAL, "%s: its peer %s is no AF_XDP port",
				      options->interface, options->peer->name);
	return 0;
}

int moat_port_afxdp_open(const struct moat_port_afxdp_options *options, struct moat_port **ret_port,
			 struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct port_afxdp *p;
	int r;

	r = check_options(options, error);
	if (r < 0)
		return r;
	p = aligned_alloc(64, sizeof(*p));
	if (!p)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", options->interface);
	memset(p, 0, sizeof(*p));
	port = &p->port;
	port->ops = &afxdp_ops;
	snprintf(port->name, sizeof(port->name), "%s/%u", options->interface, options->queue);
	p->queue = options->queue;
	p->frames = options->frames ? options->frames : FRAMES_DEFAULT;
	p->busy_poll = options->busy_poll;
	p->fd = -1;
	p->reply_fd = -1;
	p->xsks_fd = fcntl(options->xsks_fd, F_DUPFD_CLOEXEC, 0);
	if (p->xsks_fd < 0)
		return moat_error_set(error, -errno, "%s: the gate's socket map: %s", port->name,
				      strerror(errno));
	libxdp_set_print(be_silent); /* what it would print is in our error */
	r = options->peer ? umem_join(p, (struct port_afxdp *)options->peer, error)
			  : umem_new(p, options->alone, error);
	if (r < 0)
		return r;
	r = socket_new(p, options->interface, error);
	if (r < 0)
		return r;
	r = socket_set_up(p, error);
	if (r < 0)
		return r;
	reply_open(p, options->interface);
	*ret_port = moat_take_ptr(port);
	return 0;
}

bool moat_port_afxdp_is_zerocopy(const struct moat_port *port)
{
	return ((const struct port_afxdp *)port)->zerocopy;
}
