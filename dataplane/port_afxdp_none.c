/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Built where libxdp is absent. */
#include <errno.h>

#include "dataplane/port.h"

int moat_port_afxdp_open(const struct moat_port_afxdp_options *options, struct moat_port **ret_port,
			 struct moat_error *error)
{
	return moat_error_set(error, -ENOTSUP,
			      "%s: built without libxdp, so there are no AF_XDP ports",
			      options->interface);
}

void moat_port_afxdp_info(const struct moat_port *port, struct moat_port_afxdp_info *ret_info)
{
	*ret_info = (struct moat_port_afxdp_info){ .frames = 0 };
}
