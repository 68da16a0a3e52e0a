/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the DPDK port's files share: the device that the queues' ports have in common. Nobody else
 * includes this. */
#ifndef MOAT_DATAPLANE_PORT_DPDK_H
#define MOAT_DATAPLANE_PORT_DPDK_H

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "dataplane/port.h"

#define DPDK_QUEUES_MAX 64

struct dpdk_device {
	struct dpdk_device *next;
	char *devargs;
	uint16_t id; /* DPDK's */
	uint16_t queues;
	uint32_t taken[DPDK_QUEUES_MAX]; /* 1: a port has the queue */
	unsigned int users;
	struct rte_mempool *pool;
	/* Where the device can't send both directions of a flow to one queue: what others received for this
	 * queue. */
	struct rte_ring *spread[DPDK_QUEUES_MAX];
	bool spreads;
	/* TX queue q is the wire's peer's worker's, queues + q the own worker's for replies; if the device
	 * hasn't got so many, both take turns on q. */
	bool has_reply_queues;
	rte_spinlock_t tx_locks[DPDK_QUEUES_MAX];
	bool started;
	struct dpdk_flow *flows; /* rules in the card; NULL: none yet */
	size_t flow_count;
	uint32_t lost; /* errno; written by DPDK's own thread */
};

/* The device of these devargs: the one that is open, or probed, configured with so many queues, and started.
 * -ENODEV, -EINVAL, -EBUSY, -ENOMEM, -ENOTSUP with the reason. */
int moat_dpdk_device_get(const struct moat_port_dpdk_options *options,
			 struct dpdk_device **ret_device, struct moat_error *error);
/* An open one; NULL: there is none. */
struct dpdk_device *moat_dpdk_device_find(const char *devargs);
/* The last to put it stops and removes it. */
void moat_dpdk_device_put(struct dpdk_device *device);

/* Takes its rules out of the card, before it stops. */
void moat_dpdk_flow_deinit(struct dpdk_device *device);

/* Makes the calling thread one of DPDK's until it ends, once. */
void moat_dpdk_thread_enter(void);

/* Packets for `queue`: those that other queues' workers left for it, then of the device, of which it
 * leaves others theirs. What doesn't fit is freed and counted. */
unsigned int moat_dpdk_spread_rx(struct dpdk_device *device, uint16_t queue,
				 struct rte_mbuf **ret_mbufs, unsigned int max,
				 struct moat_port_counters *counters);
/* 0 or -ENOMEM. */
int moat_dpdk_spread_init(struct dpdk_device *device);
void moat_dpdk_spread_deinit(struct dpdk_device *device);

#endif
