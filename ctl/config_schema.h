/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The file as libcyaml reads it: names and types only. NULL is "not said"; ctl/config.c gives defaults and
 * checks what the values mean. */
#ifndef MOAT_CTL_CONFIG_SCHEMA_H
#define MOAT_CTL_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/config_marks.h"
#include "dataplane/base/error.h"

struct moat_raw_egress {
	uint32_t *packets;
	uint64_t *bytes;
};

/* 0: not said, else on or off. In the order of the names of config_stages.c. */
enum moat_raw_switch {
	MOAT_RAW_ON = 1,
	MOAT_RAW_OFF = 2,
};
#define MOAT_RAW_STAGES 13
struct moat_raw_stages {
	int switches[MOAT_RAW_STAGES]; /* enum moat_raw_switch */
};

/* Rates are texts, as of rules. */
struct moat_raw_protect {
	char *prefix;
	char *syn, *udp, *icmp, *other;
	char *challenge;
	bool *each;
};

struct moat_raw_source {
	char *prefix;
	char *limit;
	uint32_t *v4, *v6;
};

struct moat_raw_port {
	char *name;
	int role;
	char *peer;
	int mode; /* 0 auto, 1 generic */
	bool *offload;
	bool *replace;
	int attach;  /* 0 alone, 1 in libxdp's dispatcher */
	int forward; /* enum moat_forward_mode */
	struct moat_raw_egress *egress;
	int fail; /* enum moat_gate_fail; 0: not said */
	struct moat_raw_stages *stages;
	char *dpdk;
	uint32_t *queues;
	uint32_t *cpu;
};

struct moat_raw_dpdk {
	char **eal;
	unsigned int eal_count;
	uint32_t *idle_us;
};

/* busy_poll: microseconds. */
struct moat_raw_afxdp {
	uint32_t *frames, *busy_poll, *budget;
};

struct moat_raw_gate {
	uint32_t *cells, *nodes, *sample_pass, *sample_drop, *buckets;
};

/* In the order of enum moat_finding_kind. */
struct moat_raw_rates {
	double *syn, *udp, *icmp, *amplification, *ack;
};

struct moat_raw_strings {
	char **items;
	unsigned int count;
};

struct moat_raw_detect {
	char **protected_prefixes;
	unsigned int protected_count;
	char *learn;
	struct moat_raw_rates *floor, *guard;
	double *scan_targets, *scan_failures, *brute_logins, *beacon_times, *sensitivity;
	char *learn_edges;
	char **admins;
	unsigned int admin_count;
	char *close_after;
	double *collateral_max;
	uint32_t *hosts, *clusters;
	uint64_t *seed;
};

struct moat_raw_respond {
	int mode; /* enum moat_respond_mode */
	uint32_t *max_rules;
	char *hold;
	char **allow;
	unsigned int allow_count;
	bool *challenge;
};

struct moat_raw_challenge {
	char *lifetime;
	uint32_t *prefix_rate, *rate;
	int form; /* enum moat_challenge_form */
};

struct moat_raw_lists {
	char **allow;
	unsigned int allow_count;
	char **deny;
	unsigned int deny_count;
	char **files;
	unsigned int files_count;
};

struct moat_raw_events {
	char *path;
	uint32_t *queue;
	bool *host;
};

struct moat_raw_notify {
	char *script, *webhook, *token_file, *timeout;
};

struct moat_raw_upstream {
	int action; /* enum moat_upstream_action */
	char *uplink;
	double *share;
	char *hold;
	uint32_t *max_routes;
	char *community, *next_hop, *next_hop6;
	char **prefixes;
	unsigned int prefixes_count;
};

struct moat_raw_listener {
	char *address;
	uint32_t *port, *sampling;
};

struct moat_raw_export {
	char *address;
	uint32_t *port, *domain;
};

struct moat_raw_flows {
	struct moat_raw_listener *listen;
	unsigned int listen_count;
	char **exporters;
	unsigned int exporters_count;
	struct moat_raw_export *export;
};

struct moat_raw_config {
	char *run_dir, *state_dir, *pin_dir;
	int log_level; /* 0 is "not said", else enum moat_log_level */
	struct moat_raw_port *ports;
	unsigned int ports_count;
	struct moat_raw_gate *gate;
	struct moat_raw_dpdk *dpdk;
	struct moat_raw_afxdp *afxdp;
	char **tunnels;
	unsigned int tunnels_count;
	struct moat_raw_challenge *challenge;
	struct moat_raw_stages *stages;
	struct moat_raw_protect *protect;
	unsigned int protect_count;
	struct moat_raw_source *sources;
	unsigned int sources_count;
	char **amplification;
	unsigned int amplification_count;
	int fragments; /* 0: not said, 1: pass, 2: drop */
	char **neighbours;
	unsigned int neighbours_count;
	char **management;
	unsigned int management_count;
	char **martians;
	unsigned int martians_count;
	struct moat_raw_detect *detect;
	struct moat_raw_respond *respond;
	struct moat_raw_lists *lists;
	struct moat_raw_events *events;
	struct moat_raw_notify *notify;
	struct moat_raw_upstream *upstream;
	struct moat_raw_flows *flows;
};

/* 0 with *ret_raw NULL for an empty document; -EINVAL with the place; -ENOMEM. */
int moat_raw_config_load(const char *path, const char *text, size_t length,
			 const struct moat_marks *marks, struct moat_raw_config **ret_raw,
			 struct moat_error *error);
void moat_raw_config_free(struct moat_raw_config *raw);
void moat_raw_config_free_cleanup(struct moat_raw_config **raw);

#endif
