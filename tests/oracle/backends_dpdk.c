/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See backends.h: DPDK's drivers that need no device. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "tests/oracle/backends.h"

#define WORKER_SIDE "moat-w"
#define RING_SIZE 1024

static int device_open(const char *devargs, struct moat_port **ret_port, struct moat_error *error)
{
	const struct moat_dpdk_options dpdk = { .arguments = NULL };
	const struct moat_port_dpdk_options options = { .device = devargs, .queues = 1 };
	int r = moat_dpdk_init(&dpdk, error);

	return r < 0 ? r : moat_port_dpdk_open(&options, ret_port, error);
}

/* ---- two rings -------------------------------------------------------------------------------- */

static struct rings {
	struct rte_ring *in, *out;
	struct rte_mempool *pool;
} rings;

static int ring_open(struct backend *backend, const struct recording *recording,
		     struct moat_port **ret_port, struct moat_error *error)
{
	const struct moat_dpdk_options dpdk = { .arguments = NULL };
	struct rings *r = &rings;
	int result = moat_dpdk_init(&dpdk, error);

	if (result < 0)
		return result;
	r->in = rte_ring_create("test-in", RING_SIZE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	r->out = rte_ring_create("test-out", RING_SIZE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	r->pool = rte_pktmbuf_pool_create("test-frames", RING_SIZE - 1, 0, 0,
					  RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!r->in || !r->out || !r->pool ||
	    rte_eth_from_rings("backends", &r->in, 1, &r->out, 1, 0) < 0)
		return moat_error_set(error, -ENOMEM, "no memory for rings");
	return device_open("net_ring_backends", ret_port, error);
}

static bool ring_feed(struct backend *backend, const struct recorded *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rings.pool);
		char *room = mbuf ? rte_pktmbuf_append(mbuf, (uint16_t)frames[i].length) : NULL;

		if (!room)
			return false;
		memcpy(room, frames[i].data, frames[i].length);
		if (rte_ring_enqueue(rings.in, mbuf) != 0)
			return false;
	}
	return true;
}

static size_t ring_take(struct backend *backend, uint8_t *buffer, size_t size)
{
	struct rte_mbuf *mbuf;
	size_t length;

	if (rte_ring_dequeue(rings.out, (void **)&mbuf) != 0)
		return 0;
	length = mbuf->data_len;
	memcpy(buffer, rte_pktmbuf_mtod(mbuf, const void *), length < size ? length : size);
	rte_pktmbuf_free(mbuf);
	return length;
}

static void ring_close(struct backend *backend)
{
	rte_ring_free(rings.in);
	rte_ring_free(rings.out);
	rte_mempool_free(rings.pool);
}

struct backend backend_net_ring = { .name = "dpdk net_ring",
				    .open = ring_open,
				    .feed = ring_feed,
				    .take = ring_take,
				    .close = ring_close };

/* ---- captures --------------------------------------------------------------------------------- */

static char directory[] = "/tmp/moat-backends-XXXXXX";
static char in_path[64], out_path[64];

static int net_pcap_open(struct backend *backend, const struct recording *recording,
			 struct moat_port **ret_port, struct moat_error *error)
{
	char devargs[256];

	if (!mkdtemp(directory))
		return moat_error_set(error, -errno, "%s: %s", directory, strerror(errno));
	snprintf(in_path, sizeof(in_path), "%s/in", directory);
	snprintf(out_path, sizeof(out_path), "%s/out", directory);
	if (!backends_capture_write(recording, in_path))
		return moat_error_set(error, -EIO, "%s: can't be written", in_path);
	snprintf(devargs, sizeof(devargs), "net_pcap_backends,rx_pcap=%s,tx_pcap=%s", in_path,
		 out_path);
	return device_open(devargs, ret_port, error);
}

static void net_pcap_close(struct backend *backend)
{
	char text[PCAP_ERRBUF_SIZE];

	backend->data = pcap_open_offline(out_path, text);
	unlink(in_path);
	unlink(out_path);
	rmdir(directory);
}

static size_t net_pcap_take(struct backend *backend, uint8_t *buffer, size_t size)
{
	size_t length = backend->data ? backends_capture_take(backend, buffer, size) : 0;

	if (length == 0 && backend->data) {
		pcap_close(backend->data);
		backend->data = NULL;
	}
	return length;
}

struct backend backend_net_pcap = { .name = "dpdk net_pcap",
				    .open = net_pcap_open,
				    .take = net_pcap_take,
				    .close = net_pcap_close,
				    .takes_at_end = true };

/* ---- a veth ----------------------------------------------------------------------------------- */

/* Not net_af_packet, which lets the kernel put fragments together and take VLAN tags out. */

static int xdp_open(struct backend *backend, const struct recording *recording,
		    struct moat_port **ret_port, struct moat_error *error)
{
	backend->fd = backends_veth_socket();
	return backend->fd < 0
		       ? backend->fd
		       : device_open("net_af_xdp_backends,iface=" WORKER_SIDE, ret_port, error);
}

static void socket_close(struct backend *backend)
{
	close(backend->fd);
}

struct backend backend_net_af_xdp = { .name = "dpdk net_af_xdp",
				      .open = xdp_open,
				      .feed = backends_veth_feed,
				      .take = backends_veth_take,
				      .close = socket_close };
