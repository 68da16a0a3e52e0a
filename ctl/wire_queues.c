/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Apart from the wires, so that who only asks isn't linked with all of their libraries. */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/wire.h"
#include "dataplane/base/cleanup.h"

/* Asked of the driver, since /sys may show another network namespace. */
uint32_t moat_wire_queues(const char *interface)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t queues = 1;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0)
		queues = channels.combined_count + channels.rx_count;
	return queues ? queues : 1;
}
