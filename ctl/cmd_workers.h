/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Workers in what `moat status` and `moat top` print. */
#ifndef MOAT_CTL_CMD_WORKERS_H
#define MOAT_CTL_CMD_WORKERS_H

#include <jansson.h>

/* A table of the status' workers: what the kernel agreed to, and what was lost where. Nothing without workers. */
void moat_cmd_print_workers(const json_t *status);

/* Adds "rates" to each worker of a later look, an object of what happened a second since the earlier one; see
 * moat(8). */
void moat_cmd_add_rates(json_t *look, const json_t *before);
/* Prints them. Nothing without workers. */
void moat_cmd_print_rates(const json_t *look);

#endif
