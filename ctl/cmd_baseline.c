/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat baseline show|export FILE|import FILE|reset: what detection has learned. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static const struct {
	const char *word, *method;
	int args, flags; /* of the file, -1: none */
} verbs[] = {
	{ "show", "baseline.show", 1, -1 },
	{ "export", "baseline.export", 2, O_WRONLY | O_CREAT | O_TRUNC },
	{ "import", "baseline.import", 2, O_RDONLY },
	{ "reset", "baseline.reset", 1, -1 },
};

static void print(const json_t *result)
{
	if (moat_json_flag(result, "learning"))
		printf("learning, %.0f %% done, %.0f rows\n",
		       100 * moat_json_number(result, "learned"), moat_json_number(result, "rows"));
	else
		printf("%.0f clusters from %.0f rows\n", moat_json_number(result, "clusters"),
		       moat_json_number(result, "rows"));
	printf("kept in %s, last %.0f s ago\n", moat_json_text(result, "path"),
	       moat_json_number(result, "saved_s"));
}

int moat_cmd_baseline(const struct moat_cmd *cmd, struct moat_error *error)
{
	moat_auto_close int fd = -1;
	json_t *result = NULL;
	size_t verb = 0;
	int r;

	while (cmd->arg_count > 0 && verb < MOAT_ARRAY_SIZE(verbs) &&
	       strcmp(verbs[verb].word, cmd->args[0]) != 0)
		verb++;
	if (cmd->arg_count == 0 || verb == MOAT_ARRAY_SIZE(verbs) ||
	    verbs[verb].args != cmd->arg_count) {
		moat_error_set(error, -EINVAL,
			       "moat baseline takes show, reset, export FILE or import FILE");
		return MOAT_EXIT_USAGE;
	}
	if (verbs[verb].flags >= 0) {
		fd = open(cmd->args[1], verbs[verb].flags | O_CLOEXEC, 0600);
		if (fd < 0) {
			moat_error_set(error, -errno, "%s: %s", cmd->args[1], strerror(errno));
			return MOAT_EXIT_FAILED;
		}
	}
	r = moat_cmd_call(cmd, verbs[verb].method, NULL, fd, &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		print(result);
	json_decref(result);
	return MOAT_EXIT_OK;
}
