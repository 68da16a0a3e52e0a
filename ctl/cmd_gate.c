/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat gate detach, and moat reload: what ends and what renews. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "dataplane/gate.h"

int moat_cmd_gate(const struct moat_cmd *cmd, struct moat_error *error)
{
	const char *pin_dir = cmd->pin_dir ? cmd->pin_dir : MOAT_GATE_PIN_DEFAULT;
	bool was_there = access(pin_dir, F_OK) == 0;
	int r;

	if (cmd->arg_count != 1 || strcmp(cmd->args[0], "detach") != 0) {
		moat_error_set(error, -EINVAL, "moat gate takes one word: detach");
		return MOAT_EXIT_USAGE;
	}
	r = moat_gate_detach(pin_dir, error);
	if (r < 0)
		return MOAT_EXIT_FAILED;
	/* "off" would be a lie where a gate with another pin_dir goes on filtering */
	if (!was_there) {
		moat_error_set(error, -ENOENT,
			       "there is no gate at %s; name moat.yaml's pin_dir with --pin-dir",
			       pin_dir);
		return MOAT_EXIT_FAILED;
	}
	if (cmd->json)
		printf("{\"detached\":true}\n");
	else
		printf("the gate is off all ports; nothing is filtered any more\n");
	return MOAT_EXIT_OK;
}

int moat_cmd_reload(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r = moat_cmd_call(cmd, "reload", NULL, -1, &result, error);

	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		printf("reloaded\n");
	json_decref(result);
	return MOAT_EXIT_OK;
}
