/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Capabilities through libcap-ng. */
#include "ctl/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "dataplane/base/cleanup.h"

/* BPF: maps and programs; PERFMON: pointers in them; NET_ADMIN: attaching to interfaces. */
static const unsigned int needed[] = { CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON };
/* Beside those: AF_XDP sockets and their memory; the group of the control socket; and files in
 * directories that aren't root's. The last only for a port in a dispatcher, or of DPDK. */
static const unsigned int kept[] = { CAP_BPF,      CAP_NET_ADMIN, CAP_PERFMON,      CAP_NET_RAW,
				     CAP_IPC_LOCK, CAP_CHOWN,     CAP_DAC_OVERRIDE, CAP_SYS_ADMIN };

/* Probes; reading below /proc of others' processes; opening cgroups by number; and files in directories that
 * aren't root's. */
static const unsigned int kept_host[] = { CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
					  CAP_DAC_OVERRIDE };

static void append(char *text, size_t size, const char *name)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%sCAP_", length ? ", " : "");
	for (length = strlen(text); *name && length + 1 < size; name++)
		text[length++] = (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
	text[length] = '\0';
}

int moat_privilege_check(bool needs_sockets, struct moat_error *error)
{
	char missing[128] = "";

	capng_get_caps_process();
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(needed); i++) {
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i]))
			append(missing, sizeof(missing), capng_capability_to_name(needed[i]));
	}
	if (needs_sockets && !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW))
		append(missing, sizeof(missing), "net_raw");
	if (!missing[0])
		return 0;
	return moat_error_set(error, -EPERM,
			      "missing privilege: %s (start moatd as root or by its systemd unit)",
			      missing);
}

void moat_privilege_raise_limits(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

static int keep(const unsigned int *capabilities, size_t count, struct moat_error *error)
{
	int r;

	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < count; i++)
		capng_update(CAPNG_ADD,
			     (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
			     capabilities[i]);
	/* The bounding set needs CAP_SETPCAP, which a restricted root may lack: then the rest must do. */
	r = capng_apply(CAPNG_SELECT_BOTH);
	if (r < 0)
		r = capng_apply(CAPNG_SELECT_CAPS);
	return r < 0 ? moat_error_set(error, -EPERM, "capabilities can't be dropped") : 0;
}

int moat_privilege_drop(bool asks_for_programs, struct moat_error *error)
{
	capng_get_caps_process();
	if (asks_for_programs && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN))
		return keep(kept, MOAT_ARRAY_SIZE(kept), error);
	return keep(kept, MOAT_ARRAY_SIZE(kept) - 1, error);
}

int moat_privilege_drop_host(struct moat_error *error)
{
	return keep(kept_host, MOAT_ARRAY_SIZE(kept_host), error);
}
