/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a device has several queues and no hash that is the same for both directions of a flow, workers
 * share packets out: each flow is one queue's, by the hash of the flow table, and goes through a ring to
 * its worker. It costs a second look at the headers and a cache miss: a device with a symmetric hash
 * doesn't come here.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_ethdev.h>

#include "dataplane/flow_table.h"
#include "dataplane/parse.h"
#include "dataplane/port_dpdk.h"

#define RING_SIZE 4096
#define SPREAD_SEED 0x6d6f6174ULL

int moat_dpdk_spread_init(struct dpdk_device *device)
{
	char name[RTE_RING_NAMESIZE];

	for (uint16_t q = 0; q < device->queues; q++) {
		snprintf(name, sizeof(name), "moat-%u-%u", device->id, q);
		device->spread[q] = rte_ring_create(
			name, RING_SIZE, rte_eth_dev_socket_id(device->id), RING_F_SC_DEQ);
		if (!device->spread[q])
			return -ENOMEM;
	}
	device->spreads = true;
	return 0;
}

void moat_dpdk_spread_deinit(struct dpdk_device *device)
{
	struct rte_mbuf *mbuf;

	for (uint16_t q = 0; q < device->queues; q++) {
		while (device->spread[q] && rte_ring_dequeue(device->spread[q], (void **)&mbuf) == 0)
			rte_pktmbuf_free(mbuf);
		rte_ring_free(device->spread[q]);
	}
}

static uint16_t queue_of(const struct rte_mbuf *mbuf, uint16_t queues)
{
	struct moat_headers headers;
	uint64_t hash;

	moat_headers_parse(rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len, mbuf->pkt_len,
			   &headers);
	/* later fragments have no ports: so none of a fragmented datagram may count */
	if (headers.fragment != MOAT_FRAGMENT_NONE)
		headers.sport = headers.dport = 0;
	hash = moat_flow_hash(&headers, moat_addr_hash(&headers.src, SPREAD_SEED),
			      moat_addr_hash(&headers.dst, SPREAD_SEED));
	return (uint16_t)((hash >> 32) * queues >> 32);
}

unsigned int moat_dpdk_spread_rx(struct dpdk_device *device, uint16_t queue,
				 struct rte_mbuf **ret_mbufs, unsigned int max,
				 struct moat_port_counters *counters)
{
	struct rte_mbuf *received[MOAT_BURST];
	/* half for each, so that neither waits for the other */
	unsigned int count = rte_ring_dequeue_burst(device->spread[queue], (void **)ret_mbufs,
						    max / 2, NULL);
	unsigned int fresh = rte_eth_rx_burst(device->id, queue, received, (uint16_t)(max - count));

	for (unsigned int i = 0; i < fresh; i++) {
		uint16_t target = queue_of(received[i], device->queues);

		if (target == queue) {
			ret_mbufs[count++] = received[i];
			continue;
		}
		if (rte_ring_enqueue(device->spread[target], received[i]) == 0) {
			counters->redistributed++;
		} else {
			counters->rx_ring_full++;
			rte_pktmbuf_free(received[i]);
		}
	}
	return count;
}
