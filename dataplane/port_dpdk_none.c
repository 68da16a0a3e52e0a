/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Built where DPDK is absent. */
#include <errno.h>

#include "dataplane/offload.h"
#include "dataplane/port.h"

int moat_dpdk_init(const struct moat_dpdk_options *options, struct moat_error *error)
{
	return moat_error_set(error, -ENOTSUP, "built without DPDK");
}

void moat_dpdk_deinit(void)
{
}

int moat_port_dpdk_open(const struct moat_port_dpdk_options *options, struct moat_port **ret_port,
			struct moat_error *error)
{
	return moat_error_set(error, -ENOTSUP, "%s: built without DPDK, so there are no such ports",
			      options->device);
}

bool moat_port_dpdk_spreads(const struct moat_port *port)
{
	return false;
}

size_t moat_offload_flow_apply(const char *devargs, struct moat_offload_rule *rules, size_t count,
			       struct moat_error *error)
{
	error->text[0] = '\0';
	return 0;
}

void moat_offload_flow_hits(const char *devargs, struct moat_offload_rule *rules, size_t count)
{
}
