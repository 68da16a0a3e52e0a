/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP and AF_XDP by driver, and what stands in their way. Kernels before 6.3 can't be asked what a driver
 * supports without attaching a program, which doctor never does; for them this is a list, from the drivers' sources up to 6.12
 * (drivers/net: NETDEV_XDP_ACT_BASIC and NETDEV_XDP_ACT_XSK_ZEROCOPY).
 */
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "ctl/probe.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/gate.h"
#include "dataplane/netdev.h"

/* An Ethernet frame, XDP's headroom and the kernel's own part share a page of 4 KiB. */
#define ONE_BUFFER_MTU 3498

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

/* Adds a sentence, behind those that are there. */
__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format,
						      ...)
{
	size_t length = strlen(text);
	va_list args;

	if (length && length + 2 < size)
		length += (size_t)snprintf(text + length, size - length, "; ");
	va_start(args, format);
	vsnprintf(text + length, size - length, format, args);
	va_end(args);
}

/* Sockets take frames of several buffers since 6.6. */
static unsigned int socket_frame_max(void)
{
	unsigned long major, minor = 0;
	struct utsname facts;
	char *end;

	if (uname(&facts) < 0)
		return MOAT_GATE_SOCKET_FRAME_MAX;
	major = strtoul(facts.release, &end, 10);
	if (*end == '.')
		minor = strtoul(end + 1, NULL, 10);
	return major > 6 || (major == 6 && minor >= 6) ? MOAT_GATE_CHAIN_FRAME_MAX
						       : MOAT_GATE_SOCKET_FRAME_MAX;
}

/* A number that the kernel has of an interface; false where it has none, or /sys shows another network
 * namespace. */
static bool read_attribute(const char *interface, const char *name, unsigned long *ret_value)
{
	moat_auto_fclose FILE *file = NULL;
	char path[96], line[32], *end;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, name);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return false;
	*ret_value = strtoul(line, &end, 10);
	return end != line;
}

bool moat_probe_busy_poll(const char *interface, char *ret_text, size_t size)
{
	unsigned long defer = 0, timeout = 0;

	if (!read_attribute(interface, "napi_defer_hard_irqs", &defer) ||
	    !read_attribute(interface, "gro_flush_timeout", &timeout) || (defer && timeout))
		return false;
	snprintf(ret_text, size,
		 "busy polling wants napi_defer_hard_irqs 2, gro_flush_timeout 200000 (%lu, %lu)",
		 defer, timeout);
	return true;
}

void moat_probe_warnings(const char *interface, char *ret_text, size_t size)
{
	struct moat_netdev netdev;
	uint64_t features = MOAT_NETDEV_XDP_FRAGS;

	ret_text[0] = '\0';
	if (moat_netdev_look(interface, &netdev) < 0)
		return;
	if (netdev.vlan_stripped)
		add(ret_text, size, "VLAN tags are hidden from it (ethtool -K %s rxvlan off)",
		    interface);
	if (netdev.lro)
		add(ret_text, size, "frames are merged before it (ethtool -K %s lro off)",
		    interface);
	/* before 6.3 nobody says whether a driver hands frames over in parts */
	if (moat_netdev_xdp_features((int)if_nametoindex(interface), &features) == 0 &&
	    !(features & MOAT_NETDEV_XDP_FRAGS) && netdev.mtu > ONE_BUFFER_MTU)
		add(ret_text, size, "its driver has no multi-buffer XDP for an MTU of %u",
		    netdev.mtu);
	if (netdev.mtu > socket_frame_max())
		add(ret_text, size, "frames above %u bytes go past AF_XDP workers",
		    socket_frame_max());
}

/* Who is on it already. */
static void add_program(struct moat_probe *probe, const char *interface)
{
	char program[48];

	if (moat_gate_program_on(interface, program))
		add(probe->found, sizeof(probe->found), "XDP program %s", program);
}

/* What the driver says of itself, where the kernel passes it on; else what is known of it. */
static void probe_interface(struct moat_probe *probe, const char *interface)
{
	struct moat_netdev netdev = { .driver = "unknown" };
	bool native, zerocopy, target = false;
	char warnings[sizeof(probe->use) / 2];
	uint64_t features;

	moat_netdev_look(interface, &netdev);
	native = is_in(native_drivers, MOAT_ARRAY_SIZE(native_drivers), netdev.driver);
	zerocopy = is_in(zerocopy_drivers, MOAT_ARRAY_SIZE(zerocopy_drivers), netdev.driver);
	if (moat_netdev_xdp_features((int)if_nametoindex(interface), &features) == 0) {
		native = features & MOAT_NETDEV_XDP_BASIC;
		zerocopy = features & MOAT_NETDEV_XDP_ZEROCOPY;
		target = features & MOAT_NETDEV_XDP_NDO_XMIT;
	}
	*probe = (struct moat_probe){ .state = native ? MOAT_PROBE_GOOD : MOAT_PROBE_INSTEAD };
	snprintf(probe->name, sizeof(probe->name), "%s", interface);
	snprintf(probe->found, sizeof(probe->found), "driver %s, %u receive queues, MTU %u",
		 netdev.driver, netdev.rx_queues, netdev.mtu);
	add_program(probe, interface);
	snprintf(probe->use, sizeof(probe->use), "gate: %s XDP%s; AF_XDP: %s",
		 native ? "native" : "generic", target ? ", takes redirects" : "",
		 zerocopy ? "zero-copy, or copy if refused" : "copy");
	moat_probe_warnings(interface, warnings, sizeof(warnings));
	if (warnings[0])
		add(probe->use, sizeof(probe->use), "%s", warnings);
	if (zerocopy && moat_probe_busy_poll(interface, warnings, sizeof(warnings)))
		add(probe->use, sizeof(probe->use), "%s", warnings);
}

size_t moat_probe_interfaces(struct moat_probe *ret_probes, size_t max)
{
	struct if_nameindex *interfaces = if_nameindex();
	size_t count = 0;

	for (size_t i = 0; interfaces && interfaces[i].if_index && count < max; i++) {
		if (strcmp(interfaces[i].if_name, "lo") != 0)
			probe_interface(&ret_probes[count++], interfaces[i].if_name);
	}
	if (interfaces)
		if_freenameindex(interfaces);
	return count;
}
