/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The words of the configuration's list of tunnels. */
#ifndef MOAT_CTL_CONFIG_TUNNELS_H
#define MOAT_CTL_CONFIG_TUNNELS_H

#include "dataplane/parse.h"

/* Adds "gre", "ip", "vxlan" or "geneve" to the tunnels that are looked into; the last two take a UDP port
 * as in "vxlan:8472". NULL, or a static text that says what the word should have been, with *tunnels as
 * it was. */
const char *moat_tunnels_add(struct moat_tunnels *tunnels, const char *word);

#endif
