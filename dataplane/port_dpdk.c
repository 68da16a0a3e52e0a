/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DPDK ports: any poll-mode driver by its devargs. There is no gate before them: workers do all of the
 * judging. A packet's cookie is its mbuf; a wire hands mbufs from one device to the other.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_pause.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/port_dpdk.h"

struct port_dpdk {
	struct moat_port port;
	struct dpdk_device *device;
	uint16_t queue;
	uint32_t idle_us;
};

static void dpdk_close(struct moat_port *port)
{
	struct port_dpdk *p = (struct port_dpdk *)port;

	if (p->device) {
		p->device->taken[p->queue] = 0;
		moat_dpdk_device_put(p->device);
	}
	free(p);
}

static int dpdk_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_dpdk *p = (struct port_dpdk *)port;
	struct dpdk_device *device = p->device;
	struct rte_mbuf *mbufs[MOAT_BURST];
	uint32_t lost = __atomic_load_n(&device->lost, __ATOMIC_RELAXED);
	unsigned int count;

	if (lost)
		return -(int)lost;
	moat_dpdk_thread_enter();
	if (device->spreads)
		count = moat_dpdk_spread_rx(device, p->queue, mbufs, max, &port->counters);
	else
		count = rte_eth_rx_burst(device->id, p->queue, mbufs, (uint16_t)max);
	for (unsigned int i = 0; i < count; i++) {
		ret_burst[i] = (struct moat_packet){
			.data = rte_pktmbuf_mtod(mbufs[i], uint8_t *),
			.captured = mbufs[i]->data_len,
			.length = mbufs[i]->pkt_len,
			.cookie = (uintptr_t)mbufs[i],
		};
	}
	return (int)count;
}

static void to_mbufs(const struct moat_packet *burst, unsigned int count,
		     struct rte_mbuf *ret_mbufs[MOAT_BURST])
{
	for (unsigned int i = 0; i < count; i++)
		ret_mbufs[i] = (struct rte_mbuf *)(uintptr_t)burst[i].cookie;
}

static void dpdk_release(struct moat_port *port, const struct moat_packet *burst, unsigned int count)
{
	struct rte_mbuf *mbufs[MOAT_BURST];

	to_mbufs(burst, count, mbufs);
	rte_pktmbuf_free_bulk(mbufs, count);
}

static const struct moat_port_ops dpdk_ops;

/* On a queue that the peer's worker shares with replies, if it does. */
static uint16_t send_burst(struct dpdk_device *device, uint16_t queue, struct rte_mbuf **mbufs,
			   uint16_t count)
{
	uint16_t sent;

	if (device->has_reply_queues)
		return rte_eth_tx_burst(device->id, queue, mbufs, count);
	rte_spinlock_lock(&device->tx_locks[queue]);
	sent = rte_eth_tx_burst(device->id, queue, mbufs, count);
	rte_spinlock_unlock(&device->tx_locks[queue]);
	return sent;
}

static unsigned int dpdk_tx(struct moat_port *port, struct moat_port *from,
			    const struct moat_packet *burst, unsigned int count)
{
	struct port_dpdk *p = (struct port_dpdk *)port;
	struct rte_mbuf *mbufs[MOAT_BURST];
	unsigned int sent;

	if (from->ops != &dpdk_ops) {
		moat_port_release(from, burst, count);
		return 0;
	}
	to_mbufs(burst, count, mbufs);
	sent = send_burst(p->device, p->queue, mbufs, (uint16_t)count);
	if (sent < count)
		rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
	return sent;
}

static bool dpdk_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	struct port_dpdk *p = (struct port_dpdk *)port;
	struct dpdk_device *device = p->device;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(device->pool);
	char *room = mbuf && length <= UINT16_MAX ? rte_pktmbuf_append(mbuf, (uint16_t)length)
						  : NULL;
	uint16_t queue = p->queue, sent = 0;

	if (device->has_reply_queues)
		queue = (uint16_t)(queue + device->queues);
	if (room) {
		memcpy(room, data, length);
		sent = send_burst(device, queue, &mbuf, 1);
	}
	if (!sent)
		rte_pktmbuf_free(mbuf);
	return sent == 1;
}

/* Polling is what these drivers are for: by default a worker never sleeps. */
static bool dpdk_wait(struct moat_port *port, int timeout_ms)
{
	const struct port_dpdk *p = (const struct port_dpdk *)port;
	const struct timespec pause = { .tv_nsec = (long)p->idle_us * 1000 };

	if (p->idle_us)
		nanosleep(&pause, NULL);
	else
		rte_pause();
	return true;
}

/* What the device knows is not told by queue: it stands with the first. */
static void dpdk_refresh(struct moat_port *port, struct moat_port_counters *counters)
{
	const struct port_dpdk *p = (const struct port_dpdk *)port;
	struct rte_eth_stats stats;

	if (p->queue != 0 || rte_eth_stats_get(p->device->id, &stats) < 0)
		return;
	counters->rx_ring_full += stats.imissed;
	counters->rx_no_buffer += stats.rx_nombuf;
	counters->rx_invalid += stats.ierrors;
	counters->tx_errors += stats.oerrors;
}

static bool dpdk_link(const struct moat_port *port)
{
	struct rte_eth_link link = { .link_status = RTE_ETH_LINK_DOWN };

	return rte_eth_link_get_nowait(((const struct port_dpdk *)port)->device->id, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

static const struct moat_port_ops dpdk_ops = {
	.name = "dpdk",
	.close = dpdk_close,
	.rx = dpdk_rx,
	.release = dpdk_release,
	.tx = dpdk_tx,
	.reply = dpdk_reply,
	.wait = dpdk_wait,
	.refresh = dpdk_refresh,
	.link = dpdk_link,
};

int moat_port_dpdk_open(const struct moat_port_dpdk_options *options, struct moat_port **ret_port,
			struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct port_dpdk *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", options->device);
	port = &p->port;
	port->ops = &dpdk_ops;
	snprintf(port->name, sizeof(port->name), "%.*s/%u", (int)strcspn(options->device, ","),
		 options->device, options->queue);
	p->queue = (uint16_t)options->queue;
	p->idle_us = options->idle_us;
	r = moat_dpdk_device_get(options, &p->device, error);
	if (r < 0)
		return r;
	*ret_port = moat_take_ptr(port);
	return 0;
}

bool moat_port_dpdk_spreads(const struct moat_port *port)
{
	return ((const struct port_dpdk *)port)->device->spreads;
}
