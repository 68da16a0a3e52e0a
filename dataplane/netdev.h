/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an interface is and can do, asked of the kernel and its driver, never changed. */
#ifndef MOAT_DATAPLANE_NETDEV_H
#define MOAT_DATAPLANE_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

/* Of NETDEV_A_DEV_XDP_FEATURES (include/uapi/linux/netdev.h), those asked for here. */
#define MOAT_NETDEV_XDP_BASIC (1u << 0)
#define MOAT_NETDEV_XDP_REDIRECT (1u << 1) /* its program may redirect */
#define MOAT_NETDEV_XDP_NDO_XMIT (1u << 2) /* may be redirected to */
#define MOAT_NETDEV_XDP_ZEROCOPY (1u << 3)
#define MOAT_NETDEV_XDP_FRAGS (1u << 5)

/* What the driver says of XDP. 0, or -ENOTSUP: the kernel doesn't tell (before 6.3); another negative errno. */
int moat_netdev_xdp_features(int ifindex, uint64_t *ret_features);

/* Its Ethernet address, zeros if it has none. */
void moat_netdev_address(const char *name, uint8_t ret_mac[6]);

struct moat_netdev {
	char driver[32];
	uint32_t mtu;
	uint32_t rx_queues, tx_queues; /* 1 where the driver doesn't say */
	bool vlan_stripped;            /* tags are taken off received frames before XDP sees them */
	bool lro;                      /* frames are merged before XDP sees them */
	bool promiscuous;
};

/* 0 or a negative errno; what a driver doesn't tell is zero. */
int moat_netdev_look(const char *name, struct moat_netdev *ret_netdev);

#endif
