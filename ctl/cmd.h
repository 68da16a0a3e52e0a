/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The commands of `moat`: one file each, and what they are given. */
#ifndef MOAT_CTL_CMD_H
#define MOAT_CTL_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "ctl/client.h"
#include "ctl/term.h"
#include "dataplane/base/error.h"

struct moat_cmd {
	const char *socket;
	bool json;
	bool follow;         /* events -f */
	bool realtime;       /* replay */
	bool force;          /* rules: also what cuts somebody off */
	long confirm;        /* rules load: seconds, 0: for good */
	const char *config;  /* replay; NULL: defaults */
	const char *filter;  /* events; NULL: all */
	const char *pin_dir; /* gate detach */
	double interval;     /* top, seconds */
	long count;          /* top: looks, 0 is endless; events: the latest so many, -1 is all */
	char **args;         /* words behind the command */
	int arg_count;
};

/* Each returns the exit status: 0, or 1 with *error set, or 2 for a wrong call with *error set. */
int moat_cmd_status(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_top(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_rules(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_events(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_findings(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_explain(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_replay(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_doctor(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_baseline(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_challenge(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_egress(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_protect(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_ban(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_unban(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_bans(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_upstream(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_gate(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_oci_hook(const struct moat_cmd *cmd, struct moat_error *error);
int moat_cmd_reload(const struct moat_cmd *cmd, struct moat_error *error);

#define MOAT_EXIT_OK 0
#define MOAT_EXIT_FAILED 1
#define MOAT_EXIT_USAGE 2

/* Connects, calls, disconnects. MOAT_EXIT_OK or MOAT_EXIT_FAILED. `params` is stolen. */
int moat_cmd_call(const struct moat_cmd *cmd, const char *method, json_t *params, int fd,
		  json_t **ret_result, struct moat_error *error);

/* One object on one line. */
void moat_cmd_print_json(const json_t *value);

/* Members by path ("detect.hosts"), 0, false or "" where there are none. */
json_t *moat_json_at(const json_t *value, const char *path);
double moat_json_number(const json_t *value, const char *path);
const char *moat_json_text(const json_t *value, const char *path);
bool moat_json_flag(const json_t *value, const char *path);

/* Shown by several commands. */
void moat_cmd_print_finding(const json_t *finding, const json_t *rules);
void moat_cmd_print_findings(const json_t *findings);
void moat_cmd_print_event(const json_t *event);

#endif
