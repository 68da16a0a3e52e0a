/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this machine can do for moat: asked of the kernel, never changed. */
#ifndef MOAT_CTL_PROBE_H
#define MOAT_CTL_PROBE_H

#include <stdbool.h>
#include <stddef.h>

enum moat_probe_state {
	MOAT_PROBE_GOOD,    /* there, and used */
	MOAT_PROBE_INSTEAD, /* not there; moat uses something else */
	MOAT_PROBE_MISSING, /* not there, and moatd needs it */
};

struct moat_probe {
	char name[48];
	enum moat_probe_state state;
	char found[160]; /* what there is */
	char use[256];   /* what moat makes of it, or what to do */
};

/* Kernel, memory and privileges; then one entry an interface. At most `max` entries; returns how many. */
size_t moat_probe_system(struct moat_probe *ret_probes, size_t max);
/* What keeps XDP from seeing an interface's frames as they are on the wire, with the remedy; empty if nothing
 * does. */
void moat_probe_warnings(const char *interface, char *ret_text, size_t size);
/* What busy polling wants of an interface and doesn't find. False if nothing. */
bool moat_probe_busy_poll(const char *interface, char *ret_text, size_t size);
size_t moat_probe_interfaces(struct moat_probe *ret_probes, size_t max);
/* Libraries that this moat was built with. */
size_t moat_probe_libraries(struct moat_probe *ret_probes, size_t max);

#endif
