/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Without libxdp there is no dispatcher. */
#include <errno.h>

#include "dataplane/dispatch.h"

int moat_dispatch_attach(struct bpf_object *object, const char *program, int ifindex, bool generic,
			 struct moat_error *error)
{
	return moat_error_set(error, -ENOTSUP, "moat was built without libxdp");
}

int moat_dispatch_detach(int prog_fd, int ifindex)
{
	return -ENOTSUP;
}

bool moat_dispatch_holds(int ifindex, uint32_t dispatcher, uint32_t program)
{
	return false;
}
