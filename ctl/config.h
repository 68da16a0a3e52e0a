/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration file: YAML in, checked values out. A file is taken as a whole or not at all; what is
 * wrong is said in one sentence that begins with FILE:LINE:COLUMN.
 */
#ifndef MOAT_CTL_CONFIG_H
#define MOAT_CTL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/config_afxdp.h"
#include "ctl/flows/intake.h"
#include "ctl/notify.h"
#include "ctl/respond.h"
#include "ctl/upstream.h"
#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/gate.h"
#include "detect/engine.h"

#define MOAT_CONFIG_DEFAULT "/etc/moat/moat.yaml"
#define MOAT_RUN_DIR_DEFAULT "/run/moat"
#define MOAT_STATE_DIR_DEFAULT "/var/lib/moat"
#define MOAT_EVENTS_DEFAULT "/var/log/moat/events.json"
#define MOAT_CONFIG_BYTES_MAX (1u << 20)

struct moat_config_port {
	char name[16]; /* of an interface, or a pattern of names (fnmatch(3)) */
	bool is_pattern;
	enum moat_port_role role;
	char peer[16]; /* wire: the port on the other side; empty else */
	bool generic;
	uint64_t egress_packets,
		egress_bytes; /* container: each may send so much a second; 0: no limit */
	bool offload;         /* rules go into the card where it takes them */
	bool replace;         /* another XDP program is replaced, not left alone */
	bool dispatcher;      /* or shares the interface, in libxdp's dispatcher */
	enum moat_forward_mode forward;
	enum moat_gate_fail fail; /* wire: frames that no worker takes */
	uint32_t stages;          /* enum moat_stage; MOAT_STAGE_NONE: none */
	char dpdk[256]; /* wire, mirror: devargs of a DPDK device, which has no gate; empty: none */
	uint32_t queues; /* of that device */
	int cpu; /* wire, mirror: of queue 0's worker, the next one's of queue 1's; -1: not said */
};

struct moat_config_prefixes {
	struct moat_prefix *prefixes;
	size_t count;
};

struct moat_config {
	char *path; /* as given */
	char *run_dir;
	char *state_dir;
	char *pin_dir;
	enum moat_log_level log_level;
	struct moat_config_port ports[MOAT_PORTS_MAX];
	size_t port_count;
	char **dpdk_eal; /* words for DPDK's start */
	size_t dpdk_eal_count;
	uint32_t dpdk_idle_us;
	struct moat_afxdp_settings afxdp;
	uint32_t gate_cells, gate_nodes; /* 0: the gate's defaults */
	uint32_t gate_buckets;           /* of hashed keys, a row; 0: the gate's default */
	uint32_t sample_pass, sample_drop;
	struct moat_tunnels tunnels; /* of gate and workers */
	struct moat_challenge_options challenge;
	struct moat_stage_set *stages; /* what they do */
	struct moat_detect_config detect;
	struct moat_respond_options respond;       /* its allow list is allow_sources */
	struct moat_config_prefixes allow_sources; /* respond.allow and lists.allow */
	struct moat_config_prefixes respond_allow;
	struct moat_config_prefixes list_allow;
	struct moat_config_prefixes list_deny;
	char **list_files;
	size_t list_file_count;
	char *events_path; /* NULL: no event file */
	uint32_t events_queue;
	bool events_host; /* what moat-sidecar tells of goes into the event file, too */
	struct moat_notify_options notify;     /* neither script nor webhook: nobody is told */
	struct moat_upstream_options upstream; /* its prefixes are upstream_prefixes */
	struct moat_config_prefixes upstream_prefixes;
	struct moat_flow_intake_options flows; /* their exporters are flow_exporters */
	struct moat_config_prefixes flow_exporters;
	char export_address[64]; /* of an IPFIX collector; empty: none */
	uint16_t export_port;
	uint32_t export_domain;
};

enum moat_config_flags {
	MOAT_CONFIG_CHECK_PORTS = 1, /* ports must be there, in this network namespace */
};

/* Reads and checks a file. 0; -EINVAL with the place, or what reading it failed with. *ret_config is the
 * caller's. */
int moat_config_load(const char *path, unsigned int flags, struct moat_config **ret_config,
		     struct moat_error *error);
/* Likewise of text; `path` only names it. The fuzzers' entry. */
int moat_config_parse(const char *path, const char *text, size_t length, unsigned int flags,
		      struct moat_config **ret_config, struct moat_error *error);
/* The port that an interface is: the one of its name, else the first whose pattern it matches, else NULL. */
const struct moat_config_port *moat_config_port_of(const struct moat_config *config,
						   const char *interface);

/* Wire and mirror ports: sockets and workers are made for them at the start. */
bool moat_config_port_has_workers(const struct moat_config_port *port);

/* What an empty file means, without a port. 0 or -ENOMEM. */
int moat_config_default(struct moat_config **ret_config);
void moat_config_free(struct moat_config *config);
void moat_config_free_cleanup(struct moat_config **config);

#endif
