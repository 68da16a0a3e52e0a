/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Built where DPDK is absent. */
#include <errno.h>

#include "tests/oracle/backends.h"

static int none_open(struct backend *backend, const struct recording *recording,
		     struct moat_port **ret_port, struct moat_error *error)
{
	return moat_error_set(error, -ENOTSUP, "built without DPDK");
}

struct backend backend_net_ring = { .name = "dpdk net_ring", .open = none_open };
struct backend backend_net_pcap = { .name = "dpdk net_pcap", .open = none_open };
struct backend backend_net_af_xdp = { .name = "dpdk net_af_xdp", .open = none_open };
