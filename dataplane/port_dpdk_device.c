/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A DPDK device: probed by its devargs, given its queues, started; shared by the ports of its queues. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/port_dpdk.h"

#define FRAMES_DEFAULT 8192u
#define FRAMES_MIN 512u
#define FRAMES_MAX (1u << 20)
#define DESCRIPTORS 1024
#define POOL_CACHE 256
#define KEY_MAX 64

static struct dpdk_device *devices; /* opened and closed by one thread */

/* ---- before DPDK is asked ------------------------------------------------------------------ */

/* net_af_xdp puts its own XDP program on an interface: not where another is, least of all the gate. */
static int check_interface(const char *devargs, struct moat_error *error)
{
	const char *at = strstr(devargs, "iface=");
	char name[IF_NAMESIZE] = "";
	unsigned int ifindex;
	__u32 program = 0;

	if (strncmp(devargs, "net_af_xdp", strlen("net_af_xdp")) != 0 || !at)
		return 0;
	at += strlen("iface=");
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
	ifindex = if_nametoindex(name);
	if (ifindex == 0)
		return moat_error_set(error, -ENODEV, "%s: no interface %s", devargs, name);
	if (bpf_xdp_query_id((int)ifindex, 0, &program) == 0 && program != 0)
		return moat_error_set(error, -EBUSY,
				      "%s: %s has an XDP program (id %u), which net_af_xdp would "
				      "replace: take it off, or use an AF_XDP port of moat",
				      devargs, name, program);
	return 0;
}

static int check_options(const struct moat_port_dpdk_options *options, struct moat_error *error)
{
	uint32_t frames = options->frames ? options->frames : FRAMES_DEFAULT;

	if (frames < FRAMES_MIN || frames > FRAMES_MAX)
		return moat_error_set(error, -EINVAL, "%s: %u frames: not from %u to %u",
				      options->device, frames, FRAMES_MIN, FRAMES_MAX);
	if (options->queues == 0 || options->queues > DPDK_QUEUES_MAX ||
	    options->queue >= options->queues)
		return moat_error_set(error, -EINVAL, "%s: no queue %u of %u (1 to %d)",
				      options->device, options->queue, options->queues,
				      DPDK_QUEUES_MAX);
	return check_interface(options->device, error);
}

/* ---- queues -------------------------------------------------------------------------------- */

/* Both directions of a flow hash alike under a key of one repeated 16-bit word (Woo and Park, 2012). */
static bool set_symmetric_rss(const struct rte_eth_dev_info *info, uint16_t queues,
			      struct rte_eth_conf *conf, uint8_t key[KEY_MAX])
{
	if (queues < 2 || info->hash_key_size == 0 || info->hash_key_size > KEY_MAX ||
	    !(info->flow_type_rss_offloads & RTE_ETH_RSS_IP))
		return false;
	for (unsigned int i = 0; i < KEY_MAX; i++)
		key[i] = i & 1 ? 0x5a : 0x6d;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
		.rss_key = key,
		.rss_key_len = info->hash_key_size,
		.rss_hf = info->flow_type_rss_offloads &
			  (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP),
	};
	return true;
}

/* Some drivers take a key and use their own. */
static bool has_key(uint16_t id, const uint8_t *key, uint8_t length)
{
	uint8_t in_force[KEY_MAX] = { 0 };
	struct rte_eth_rss_conf conf = { .rss_key = in_force, .rss_key_len = length };

	return rte_eth_dev_rss_hash_conf_get(id, &conf) == 0 && memcmp(in_force, key, length) == 0;
}

static int make_pool(struct dpdk_device *device, uint32_t frames, int socket)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "moat-%u", device->id);
	/* one less than a power of two uses the ring behind it best */
	device->pool = rte_pktmbuf_pool_create(name, frames * device->queues - 1, POOL_CACHE, 0,
					       RTE_MBUF_DEFAULT_BUF_SIZE, socket);
	return device->pool ? 0 : -rte_errno;
}

static uint16_t tx_queues(const struct dpdk_device *device)
{
	return (uint16_t)(device->queues * (device->has_reply_queues ? 2 : 1));
}

static int set_up_queues(struct dpdk_device *device, int socket)
{
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	int r = rte_eth_dev_adjust_nb_rx_tx_desc(device->id, &rx, &tx);

	for (uint16_t q = 0; r == 0 && q < device->queues; q++)
		r = rte_eth_rx_queue_setup(device->id, q, rx, (unsigned int)socket, NULL,
					   device->pool);
	for (uint16_t q = 0; r == 0 && q < tx_queues(device); q++)
		r = rte_eth_tx_queue_setup(device->id, q, tx, (unsigned int)socket, NULL);
	return r;
}

static int configure(struct dpdk_device *device, uint32_t frames, struct moat_error *error)
{
	struct rte_eth_conf conf = { .rxmode.mq_mode = RTE_ETH_MQ_RX_NONE };
	struct rte_eth_dev_info info;
	uint8_t key[KEY_MAX];
	bool symmetric;
	int socket, r;

	r = rte_eth_dev_info_get(device->id, &info);
	if (r < 0)
		return moat_error_set(error, r, "%s: %s", device->devargs, rte_strerror(-r));
	if (device->queues > info.max_rx_queues || device->queues > info.max_tx_queues)
		return moat_error_set(error, -EINVAL,
				      "%s: has %u receive and %u transmit queues, not %u",
				      device->devargs, info.max_rx_queues, info.max_tx_queues,
				      device->queues);
	symmetric = set_symmetric_rss(&info, device->queues, &conf, key);
	socket = rte_eth_dev_socket_id(device->id);
	if (socket < 0)
		socket = (int)rte_socket_id();
	device->has_reply_queues = info.max_tx_queues >= 2 * device->queues;
	r = rte_eth_dev_configure(device->id, device->queues, tx_queues(device), &conf);
	if (r < 0 && device->has_reply_queues) {
		/* some want as many queues to send as to receive, and say so now only */
		device->has_reply_queues = false;
		r = rte_eth_dev_configure(device->id, device->queues, tx_queues(device), &conf);
	}
	if (r == 0)
		r = make_pool(device, frames, socket);
	if (r == 0)
		r = set_up_queues(device, socket);
	if (r == 0)
		r = rte_eth_dev_start(device->id);
	if (r < 0)
		return moat_error_set(error, r, "%s: %u queues of %u frames: %s", device->devargs,
				      device->queues, frames, rte_strerror(-r));
	device->started = true;
	/* what goes to others' addresses is what a wire carries; some drivers know nothing else */
	rte_eth_promiscuous_enable(device->id);
	if (device->queues > 1 && !(symmetric && has_key(device->id, key, info.hash_key_size))) {
		r = moat_dpdk_spread_init(device);
		if (r < 0)
			return moat_error_set(error, r, "%s: no memory to share packets out",
					      device->devargs);
	}
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int on_removal(uint16_t id, enum rte_eth_event_type type, void *userdata, void *result)
{
	struct dpdk_device *device = userdata;

	__atomic_store_n(&device->lost, ENODEV, __ATOMIC_RELAXED);
	return 0;
}

static void device_free(struct dpdk_device *device, bool probed)
{
	struct rte_eth_dev_info info = { .device = NULL };

	if (probed) {
		rte_eth_dev_info_get(device->id, &info);
		rte_eth_dev_callback_unregister(device->id, RTE_ETH_EVENT_INTR_RMV, on_removal,
						device);
		moat_dpdk_flow_deinit(device);
		if (device->started)
			rte_eth_dev_stop(device->id);
		rte_eth_dev_close(device->id);
		if (info.device)
			rte_dev_remove(info.device);
	}
	moat_dpdk_spread_deinit(device);
	rte_mempool_free(device->pool);
	free(device->devargs);
	free(device);
}

/* Asks DPDK for the device; it may have found it at its start. */
static int probe(struct dpdk_device *device, struct moat_error *error)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	int r = rte_dev_probe(device->devargs);

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(device->devargs, ","), device->devargs);
	if ((r == 0 || r == -EEXIST) && rte_eth_dev_get_port_by_name(name, &device->id) == 0)
		return 0;
	return moat_error_set(error, r == -ENOMEM ? r : -ENODEV, "%s: no such device%s%s",
			      device->devargs, r < -1 ? ": " : "", r < -1 ? rte_strerror(-r) : "");
}

static int device_new(const struct moat_port_dpdk_options *options, struct dpdk_device **ret_device,
		      struct moat_error *error)
{
	struct dpdk_device *device = calloc(1, sizeof(*device));
	int r;

	if (device)
		device->devargs = strdup(options->device);
	if (!device || !device->devargs) {
		free(device);
		moat_error_set(error, -ENOMEM, "%s: out of memory", options->device);
		return -ENOMEM;
	}
	device->queues = (uint16_t)options->queues;
	r = probe(device, error);
	if (r < 0) {
		device_free(device, false);
		return r;
	}
	rte_eth_dev_callback_register(device->id, RTE_ETH_EVENT_INTR_RMV, on_removal, device);
	r = configure(device, options->frames ? options->frames : FRAMES_DEFAULT, error);
	if (r < 0) {
		device_free(device, true);
		return r;
	}
	*ret_device = device;
	return 0;
}

struct dpdk_device *moat_dpdk_device_find(const char *devargs)
{
	struct dpdk_device *device = devices;

	while (device && strcmp(device->devargs, devargs) != 0)
		device = device->next;
	return device;
}

int moat_dpdk_device_get(const struct moat_port_dpdk_options *options,
			 struct dpdk_device **ret_device, struct moat_error *error)
{
	struct dpdk_device *device = moat_dpdk_device_find(options->device);
	int r = 0;

	if (!device) {
		r = check_options(options, error);
		if (r == 0)
			r = device_new(options, &device, error);
		if (r != 0)
			return r;
		device->next = devices;
		devices = device;
	}
	if (options->queues != device->queues || options->queue >= device->queues ||
	    device->taken[options->queue])
		return moat_error_set(error, -EBUSY, "%s: queue %u of %u is in use",
				      options->device, options->queue, device->queues);
	device->taken[options->queue] = 1;
	device->users++;
	*ret_device = device;
	return 0;
}

void moat_dpdk_device_put(struct dpdk_device *device)
{
	struct dpdk_device **at = &devices;

	if (--device->users > 0)
		return;
	while (*at != device)
		at = &(*at)->next;
	*at = device->next;
	device_free(device, true);
}
