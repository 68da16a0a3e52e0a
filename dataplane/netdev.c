/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* By ethtool's ioctls, which every driver and kernel has, and generic netlink's "netdev" for XDP. */
#include "dataplane/netdev.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dataplane/base/cleanup.h"

/* include/uapi/linux/netdev.h of 6.3; Debian's headers are older. */
#define NETDEV_CMD_DEV_GET 1
#define NETDEV_A_DEV_IFINDEX 1
#define NETDEV_A_DEV_XDP_FEATURES 3

#define RECEIVE_BYTES 8192

/* ---- generic netlink --------------------------------------------------------------------------- */

/* What an attribute of an answer holds. */
struct wanted {
	uint16_t type;
	bool found;
	uint64_t value;
};

static int on_attribute(const struct nlattr *attribute, void *data)
{
	struct wanted *wanted = data;
	size_t length = mnl_attr_get_payload_len(attribute);

	if (mnl_attr_get_type(attribute) != wanted->type)
		return MNL_CB_OK;
	if (length == sizeof(uint64_t))
		wanted->value = mnl_attr_get_u64(attribute);
	else if (length == sizeof(uint16_t))
		wanted->value = mnl_attr_get_u16(attribute);
	else
		return MNL_CB_OK;
	wanted->found = true;
	return MNL_CB_STOP;
}

static int on_answer(const struct nlmsghdr *header, void *data)
{
	mnl_attr_parse(header, sizeof(struct genlmsghdr), on_attribute, data);
	return MNL_CB_OK;
}

/* Sends a question and looks for one number in the answer. 0, -ENOENT: it isn't there, or what the kernel
 * answered. */
static int ask(struct mnl_socket *socket, struct nlmsghdr *header, struct wanted *wanted)
{
	char buffer[RECEIVE_BYTES];
	int r = MNL_CB_OK;

	if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buffer, (size_t)n, 0, 0, on_answer, wanted);
	}
	if (r < 0)
		return -errno;
	return wanted->found ? 0 : -ENOENT;
}

static struct nlmsghdr *question(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *generic;

	header->nlmsg_type = family;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	generic->cmd = command;
	generic->version = 1;
	return header;
}

static int ask_features(struct mnl_socket *socket, int ifindex, uint64_t *ret_features)
{
	struct wanted family = { .type = CTRL_ATTR_FAMILY_ID };
	struct wanted features = { .type = NETDEV_A_DEV_XDP_FEATURES };
	char buffer[256];
	struct nlmsghdr *header = question(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	int r;

	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, "netdev");
	r = ask(socket, header, &family);
	if (r < 0)
		return r == -ENOENT ? -ENOTSUP : r;
	header = question(buffer, (uint16_t)family.value, NETDEV_CMD_DEV_GET);
	mnl_attr_put_u32(header, NETDEV_A_DEV_IFINDEX, (uint32_t)ifindex);
	r = ask(socket, header, &features);
	if (r == 0)
		*ret_features = features.value;
	return r;
}

int moat_netdev_xdp_features(int ifindex, uint64_t *ret_features)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	int r;

	if (!socket)
		return -errno;
	r = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0
		    ? -errno
		    : ask_features(socket, ifindex, ret_features);
	mnl_socket_close(socket);
	return r;
}

/* ---- ioctls ------------------------------------------------------------------------------------ */

static void ask_driver(int fd, struct ifreq *request, void *question_and_answer)
{
	request->ifr_data = question_and_answer;
	/* what a driver doesn't know stays as it was asked: zero */
	(void)ioctl(fd, SIOCETHTOOL, request);
}

static struct ifreq request_of(const char *name)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return request;
}

void moat_netdev_address(const char *name, uint8_t ret_mac[6])
{
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = request_of(name);

	memset(ret_mac, 0, 6);
	if (fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
}

int moat_netdev_look(const char *name, struct moat_netdev *ret_netdev)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct moat_netdev netdev = { .rx_queues = 1, .tx_queues = 1 };
	struct ifreq request = request_of(name);

	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) < 0)
		return -errno;
	netdev.mtu = (uint32_t)request.ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0)
		netdev.promiscuous = request.ifr_flags & IFF_PROMISC;
	ask_driver(fd, &request, &driver);
	snprintf(netdev.driver, sizeof(netdev.driver), "%.31s",
		 driver.driver[0] ? driver.driver : "unknown");
	ask_driver(fd, &request, &channels);
	if (channels.combined_count + channels.rx_count)
		netdev.rx_queues = channels.combined_count + channels.rx_count;
	if (channels.combined_count + channels.tx_count)
		netdev.tx_queues = channels.combined_count + channels.tx_count;
	ask_driver(fd, &request, &flags);
	netdev.vlan_stripped = flags.data & ETH_FLAG_RXVLAN;
	netdev.lro = flags.data & ETH_FLAG_LRO;
	*ret_netdev = netdev;
	return 0;
}
