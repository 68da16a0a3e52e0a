/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP and AF_XDP by driver. Kernels before 6.3 can't be asked what a driver supports without attaching a
 * program, which doctor never does; so this is a list, from the drivers' sources up to 6.12
 * (drivers/net: NETDEV_XDP_ACT_BASIC and NETDEV_XDP_ACT_XSK_ZEROCOPY).
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/probe.h"
#include "ctl/wire.h"
#include "dataplane/base/cleanup.h"

static const char *const native_drivers[] = {
	"veth",          "virtio_net", "i40e",      "ice",     "ixgbe",          "ixgbevf",
	"igb",           "igc",        "mlx5_core", "mlx4_en", "bnxt_en",        "nfp",
	"ena",           "gve",        "tun",       "mvneta",  "mvpp2",          "hv_netvsc",
	"mana",          "vmxnet3",    "sfc",       "qede",    "atlantic",       "stmmac",
	"fec",           "cpsw",       "dpaa2-eth", "enetc",   "bonding",        "netdevsim",
	"thunder-nicvf", "netsec",     "fsl_dpa",   "tsnep",   "lan966x-switch", "octeontx2-nicpf",
};
static const char *const zerocopy_drivers[] = {
	"i40e",   "ice", "ixgbe",     "igb",        "igc",   "mlx5_core",
	"stmmac", "nfp", "dpaa2-eth", "virtio_net", "tsnep",
};

static bool is_in(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i], name) == 0)
			return true;
	}
	return false;
}

static void driver_of(int fd, const char *interface, char ret_driver[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&info };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		snprintf(info.driver, sizeof(info.driver), "unknown");
	snprintf(ret_driver, 32, "%.31s", info.driver);
}

static void probe_interface(struct moat_probe *probe, int fd, const char *interface)
{
	char driver[32];
	bool native, zerocopy;

	driver_of(fd, interface, driver);
	native = is_in(native_drivers, MOAT_ARRAY_SIZE(native_drivers), driver);
	zerocopy = is_in(zerocopy_drivers, MOAT_ARRAY_SIZE(zerocopy_drivers), driver);
	*probe = (struct moat_probe){ .state = native ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD };
	snprintf(probe->name, sizeof(probe->name), "%s", interface);
	snprintf(probe->found, sizeof(probe->found), "driver %s, %u receive queues", driver,
		 moat_wire_queues(interface));
	snprintf(probe->use, sizeof(probe->use), "gate: %s XDP; AF_XDP: %s",
		 native ? "native" : "generic", zerocopy ? "zero-copy, or copy if refused" : "copy");
}

size_t moat_probe_interfaces(struct moat_probe *ret_probes, size_t max)
{
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct if_nameindex *interfaces = if_nameindex();
	size_t count = 0;

	for (size_t i = 0; interfaces && interfaces[i].if_index && count < max; i++) {
		if (strcmp(interfaces[i].if_name, "lo") != 0)
			probe_interface(&ret_probes[count++], fd, interfaces[i].if_name);
	}
	if (interfaces)
		if_freenameindex(interfaces);
	return count;
}
