/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of AF_XDP ports. Every buffer of the UMEM belongs to one port for good: it waits in that port's fill
 * ring, is received, and either goes back to the fill ring at once or by way of the TX and completion rings
 * of the port it is sent on. The worker that receives from A and sends on B touches A's fill and RX ring and
 * B's TX and completion ring, nobody else does; so no ring is locked and there is no list of free buffers.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "dataplane/port_afxdp_priv.h"

/* In copy mode a system call sends at most 32 frames (TX_BATCH_SIZE in net/xdp/xsk.c), or the budget. */
#define KICKS_MAX 4

/* ---- buffers ------------------------------------------------------------------------------ */

/* Gives buffers (any address within) to the kernel for reception. The ring has room for all there are. */
static void fill_add(struct port_afxdp *p, const uint64_t *addresses, unsigned int count)
{
	uint32_t at;

	if (count == 0 || xsk_ring_prod__reserve(&p->fill, count, &at) != count)
		return;
	for (unsigned int i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&p->fill, at + i) = addresses[i];
	xsk_ring_prod__submit(&p->fill, count);
}

void moat_afxdp_fill_all(struct port_afxdp *p)
{
	for (uint32_t i = 0; i < p->frames; i++) {
		uint64_t address = (uint64_t)(p->first_frame + i) * MOAT_AFXDP_BUFFER;

		fill_add(p, &address, 1);
	}
}

static void release_chain(struct port_afxdp *p, const struct moat_packet *packet)
{
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];
	unsigned int count = moat_afxdp_chain_parts(p->umem->area, packet, parts);

	for (unsigned int i = 0; i < count; i++)
		fill_add(p, &parts[i].address, 1);
}

static void afxdp_release(struct moat_port *port, const struct moat_packet *burst,
			  unsigned int count)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	uint64_t addresses[MOAT_BURST];
	unsigned int single = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (moat_afxdp_is_chained(&burst[i]))
			release_chain(p, &burst[i]);
		else
			addresses[single++] = burst[i].cookie;
	}
	fill_add(p, addresses, single);
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

/* How many packets of the burst fit the TX ring, each with all of its buffers. */
static unsigned int tx_fitting(struct port_afxdp *p, const struct moat_packet *burst,
			       unsigned int count, uint32_t *ret_descs)
{
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];
	uint32_t wanted = 0, room;
	unsigned int fitting = 0;

	for (unsigned int i = 0; i < count; i++)
		wanted += moat_afxdp_is_chained(&burst[i]) ? MOAT_AFXDP_PARTS : 1;
	room = xsk_prod_nb_free(&p->tx, wanted);
	for (*ret_descs = 0; fitting < count; fitting++) {
		uint32_t descs = moat_afxdp_is_chained(&burst[fitting])
					 ? moat_afxdp_chain_parts(p->umem->area, &burst[fitting],
								  parts)
					 : 1;

		if (*ret_descs + descs > room)
			break;
		*ret_descs += descs;
	}
	return fitting;
}

/* Puts a packet into the TX ring, from `at` on. Returns its buffers. */
static uint32_t tx_put(struct port_afxdp *p, const struct moat_packet *packet, uint32_t at)
{
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];
	unsigned int count;

	if (!moat_afxdp_is_chained(packet)) {
		*xsk_ring_prod__tx_desc(&p->tx, at) = (struct xdp_desc){ .addr = packet->cookie,
									 .len = packet->captured };
		return 1;
	}
	count = moat_afxdp_chain_parts(p->umem->area, packet, parts);
	for (unsigned int i = 0; i < count; i++)
		*xsk_ring_prod__tx_desc(&p->tx, at + i) = (struct xdp_desc){
			.addr = parts[i].address,
			.len = parts[i].length,
			.options = i + 1 < count ? XDP_PKT_CONTD : 0
		};
	return count;
}

static unsigned int afxdp_tx(struct moat_port *port, struct moat_port *from_port,
			     const struct moat_packet *burst, unsigned int count)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	struct port_afxdp *from = (struct port_afxdp *)from_port;
	uint32_t at = 0, descs;
	unsigned int accepted;

	if (from_port->ops != &moat_afxdp_ops || from->umem != p->umem) {
		moat_port_release(from_port, burst, count);
		return 0;
	}
	from->sends_on = p;
	tx_reclaim(p, from);
	accepted = tx_fitting(p, burst, count, &descs);
	if (descs)
		xsk_ring_prod__reserve(&p->tx, descs, &at);
	for (unsigned int i = 0; i < accepted; i++)
		at += tx_put(p, &burst[i], at);
	if (descs)
		xsk_ring_prod__submit(&p->tx, descs);
	p->outstanding += descs;
	tx_kick(p, from);
	afxdp_release(from_port, burst + accepted, count - accepted);
	return accepted;
}

static bool afxdp_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	const struct port_afxdp *p = (const struct port_afxdp *)port;

	return p->reply_fd >= 0 && send(p->reply_fd, data, length, 0) == (ssize_t)length;
}

/* ---- receiving ---------------------------------------------------------------------------- */

/* Lets the kernel work for the socket, and notices when there is no device behind it any more. */
static void rx_kick(struct port_afxdp *p)
{
	p->port.counters.wakeups++;
	if (recvfrom(p->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 && errno == ENXIO)
		p->lost = ENODEV;
}

/* Gives back the buffers from `at` on that belong to a frame of too many. Returns how many it went over. */
static uint32_t rx_skip(struct port_afxdp *p, uint32_t at, uint32_t left)
{
	uint32_t gone = 0;

	while (gone < left && p->skips) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&p->rx, at + gone++);

		p->skips = desc->options & XDP_PKT_CONTD;
		fill_add(p, &(uint64_t){ desc->addr }, 1);
	}
	return gone;
}

/* Takes a frame of several buffers from `at` on. Returns how many, or 0 if its last isn't there yet, or if there
 * are too many: then it is to be skipped. */
static uint32_t rx_chain(struct port_afxdp *p, uint32_t at, uint32_t left, uint8_t *head,
			 struct moat_packet *ret_packet)
{
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];

	for (uint32_t i = 0; i < left; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&p->rx, at + i);

		if (i == MOAT_AFXDP_PARTS) {
			p->skips = true;
			p->port.counters.rx_invalid++;
			return 0;
		}
		parts[i] = (struct moat_afxdp_part){ .address = desc->addr, .length = desc->len };
		if (desc->options & XDP_PKT_CONTD)
			continue;
		moat_afxdp_chain_make(p->umem->area, parts, i + 1, head, ret_packet);
		return i + 1;
	}
	return 0;
}

/* Makes packets of `count` waiting buffers from `at` on. Buffers of a frame that isn't there with all of them
 * wait on. */
static int rx_take(struct port_afxdp *p, uint32_t at, uint32_t count, struct moat_packet *ret_burst,
		   unsigned int max)
{
	uint32_t taken = rx_skip(p, at, count);
	unsigned int packets = 0;

	while (taken < count && packets < max) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&p->rx, at + taken);
		uint32_t parts = 1;

		if (desc->options & XDP_PKT_CONTD)
			parts = rx_chain(p, at + taken, count - taken, p->heads[packets],
					 &ret_burst[packets]);
		else
			ret_burst[packets] = (struct moat_packet){
				.data = xsk_umem__get_data(p->umem->area, desc->addr),
				.captured = desc->len,
				.length = desc->len,
				.cookie = desc->addr,
			};
		if (parts == 0 && !p->skips)
			break;
		if (parts == 0) {
			taken += rx_skip(p, at + taken, count - taken);
			continue;
		}
		taken += parts;
		packets++;
	}
	if (taken < count)
		xsk_ring_cons__cancel(&p->rx, count - taken);
	xsk_ring_cons__release(&p->rx, taken);
	return (int)packets;
}

static int afxdp_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_afxdp *p = (struct port_afxdp *)port;
	uint32_t at, count;

	if (p->lost)
		return -p->lost;
	if (p->sends_on)
		tx_reclaim(p->sends_on, p);
	/* a frame may have more buffers than the caller asks for packets */
	count = xsk_ring_cons__peek(&p->rx, p->umem->multi_buffer ? MOAT_BURST : max, &at);
	if (count == 0) {
		if (p->busy_poll_us || xsk_ring_prod__needs_wakeup(&p->fill))
			rx_kick(p);
		return -p->lost;
	}
	return rx_take(p, at, count, ret_burst, max);
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

static void afxdp_close(struct moat_port *port)
{
	moat_afxdp_close((struct port_afxdp *)port);
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
	counters->tx_errors += statistics.tx_invalid_descs;
	/* In copy mode a packet without a buffer is counted here, too. The rest is longer than a buffer, or
	 * wanted several of them, and there were too few. */
	if (statistics.rx_dropped <= statistics.rx_fill_ring_empty_descs)
		return;
	if (p->umem->multi_buffer)
		counters->rx_no_buffer += statistics.rx_dropped -
					  statistics.rx_fill_ring_empty_descs;
	else
		counters->rx_invalid += statistics.rx_dropped - statistics.rx_fill_ring_empty_descs;
}

const struct moat_port_ops moat_afxdp_ops = {
	.name = "afxdp",
	.close = afxdp_close,
	.rx = afxdp_rx,
	.release = afxdp_release,
	.tx = afxdp_tx,
	.reply = afxdp_reply,
	.wait = afxdp_wait,
	.refresh = afxdp_refresh,
};
