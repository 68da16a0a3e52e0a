/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat, the command line: options, and which command they go to. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/config.h"
#include "dataplane/base/cleanup.h"

static const char usage[] =
	"usage: moat [OPTION…] COMMAND\n"
	"\n"
	"  status                 the appliance on one screen\n"
	"  top [-i SECONDS]       rates by port and host, live\n"
	"  findings               what was found, newest first\n"
	"  explain ID             a finding: why, by which packets, and the rules against it\n"
	"  events [-f] [-n N]     the latest events; -f: and those to come\n"
	"  rules list             rules and lists in force\n"
	"  rules add RULE         drop src 192.0.2.0/24 for 10m; allow PREFIX; deny PREFIX\n"
	"  rules del ID           likewise: allow PREFIX; deny PREFIX\n"
	"  rules allow|deny add|del PREFIX   one prefix of a list, at once\n"
	"  rules load [FILE]      all of a file, or nothing; rules confirm keeps it\n"
	"  ban PREFIX [for TIME] [WHY]   drop a source, for 1h unless told otherwise\n"
	"  unban PREFIX, bans     end a ban; all of them with their time left\n"
	"  upstream [list|withdraw FINDING]   what routers before us are asked to drop\n"
	"  challenge show         SYNs answered with a challenge, and who passed it\n"
	"  protect                protected prefixes with their hits, limits of sources, marks\n"
	"  egress list            what containers send, and their limits\n"
	"  egress limit NAME …    packets N, bytes N: a second at most; off: no limit\n"
	"  egress cut NAME [TO…]  nothing passes any more, or nothing to these prefixes\n"
	"  egress release NAME    ends its cuts\n"
	"  replay FILE…           run captures through detection\n"
	"  reload                 apply the configuration file, all or nothing\n"
	"  doctor                 what this machine can do, and what moat uses instead\n"
	"  baseline show|reset    what detection has learned; forget it\n"
	"  baseline export FILE, import FILE\n"
	"  gate detach            take the gate off all ports\n"
	"  oci-hook [SOCKET]      for container runtimes: tells moat-sidecar of a container\n"
	"  version                the version\n"
	"\n"
	"  --json                 one JSON object instead of text\n"
	"  --socket PATH          of moatd (default " MOAT_RUN_DIR_DEFAULT "/control.sock)\n"
	"  --color WHEN           auto, always or never\n"
	"  -f, --follow           events: go on\n"
	"  -n, --count N          events: the latest N; top: so many looks\n"
	"  --filter EXPR          events: those that this jq program is true for\n"
	"  -i, --interval S       top: seconds between looks (1)\n"
	"  --force                rules: also what cuts off your session or a management prefix\n"
	"  --confirm S            rules load: back to those before unless confirmed in time\n"
	"  --config FILE          replay: detection as this configuration says\n"
	"  --realtime             replay: at the captures' own speed\n"
	"  --pin-dir DIR          gate detach: where it is pinned\n"
	"\n"
	"See moat(8).\n";

enum {
	OPT_JSON = 256,
	OPT_SOCKET,
	OPT_COLOR,
	OPT_CONFIG,
	OPT_REALTIME,
	OPT_PIN_DIR,
	OPT_VERSION,
	OPT_FORCE,
	OPT_CONFIRM,
	OPT_FILTER,
};

static int show_version(const struct moat_cmd *cmd, struct moat_error *error)
{
	printf(cmd->json ? "{\"version\":\"%s\"}\n" : "moat %s\n", MOAT_VERSION);
	return MOAT_EXIT_OK;
}

static int show_help(const struct moat_cmd *cmd, struct moat_error *error)
{
	fputs(usage, stdout);
	return MOAT_EXIT_OK;
}

static const struct {
	const char *name;
	int (*run)(const struct moat_cmd *cmd, struct moat_error *error);
	int max_args; /* -1: the command looks itself */
} commands[] = {
	{ "status", moat_cmd_status, 0 },
	{ "top", moat_cmd_top, 0 },
	{ "findings", moat_cmd_findings, 0 },
	{ "explain", moat_cmd_explain, -1 },
	{ "events", moat_cmd_events, 0 },
	{ "rules", moat_cmd_rules, -1 },
	{ "replay", moat_cmd_replay, -1 },
	{ "reload", moat_cmd_reload, 0 },
	{ "doctor", moat_cmd_doctor, 0 },
	{ "baseline", moat_cmd_baseline, -1 },
	{ "challenge", moat_cmd_challenge, -1 },
	{ "protect", moat_cmd_protect, 0 },
	{ "egress", moat_cmd_egress, -1 },
	{ "gate", moat_cmd_gate, -1 },
	{ "ban", moat_cmd_ban, -1 },
	{ "unban", moat_cmd_unban, -1 },
	{ "bans", moat_cmd_bans, 0 },
	{ "upstream", moat_cmd_upstream, -1 },
	{ "oci-hook", moat_cmd_oci_hook, 1 },
	{ "version", show_version, 0 },
	{ "help", show_help, 0 },
};

static int wrong(const char *what, const char *word)
{
	fprintf(stderr, "moat: %s \"%s\": moat help shows what there is\n", what, word);
	return MOAT_EXIT_USAGE;
}

static int take_color(const char *text, enum moat_color_mode *ret_mode)
{
	static const char *const names[] = { "auto", "always", "never" };

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_mode = (enum moat_color_mode)i;
			return 0;
		}
	}
	return wrong("--color takes auto, always or never, not", text);
}

static int take_count(const char *text, long *ret_count)
{
	char *end;
	long count = strtol(text, &end, 10);

	if (*end || end == text || count < 0)
		return wrong("--count takes a number from 0, not", text);
	*ret_count = count;
	return 0;
}

static int take_interval(const char *text, double *ret_seconds)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*end || end == text || !(seconds >= 0.2 && seconds <= 3600))
		return wrong("--interval takes seconds from 0.2 to 3600, not", text);
	*ret_seconds = seconds;
	return 0;
}

static int take_confirm(const char *text, long *ret_seconds)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	if (*end || end == text || seconds < 1 || seconds > 86400)
		return wrong("--confirm takes seconds from 1 to 86400, not", text);
	*ret_seconds = seconds;
	return 0;
}

static int take_option(int option, struct moat_cmd *cmd, enum moat_color_mode *color, bool *help)
{
	switch (option) {
	case OPT_JSON:
		cmd->json = true;
		return 0;
	case OPT_SOCKET:
		cmd->socket = optarg;
		return 0;
	case OPT_COLOR:
		return take_color(optarg, color);
	case OPT_CONFIG:
		cmd->config = optarg;
		return 0;
	case OPT_REALTIME:
		cmd->realtime = true;
		return 0;
	case OPT_FILTER:
		cmd->filter = optarg;
		return 0;
	case OPT_PIN_DIR:
		cmd->pin_dir = optarg;
		return 0;
	case OPT_FORCE:
		cmd->force = true;
		return 0;
	case OPT_CONFIRM:
		return take_confirm(optarg, &cmd->confirm);
	case 'f':
		cmd->follow = true;
		return 0;
	case 'n':
		return take_count(optarg, &cmd->count);
	case 'i':
		return take_interval(optarg, &cmd->interval);
	case 'h':
		*help = true;
		return 0;
	default:
		return MOAT_EXIT_USAGE;
	}
}

static int parse_options(int argc, char **argv, struct moat_cmd *cmd, bool *help)
{
	static const struct option known[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "color", required_argument, NULL, OPT_COLOR },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "realtime", no_argument, NULL, OPT_REALTIME },
		{ "filter", required_argument, NULL, OPT_FILTER },
		{ "pin-dir", required_argument, NULL, OPT_PIN_DIR },
		{ "follow", no_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'n' },
		{ "interval", required_argument, NULL, 'i' },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ "confirm", required_argument, NULL, OPT_CONFIRM },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum moat_color_mode color = MOAT_COLOR_AUTO;
	int option;

	while ((option = getopt_long(argc, argv, "fn:i:h", known, NULL)) != -1) {
		int r = take_option(option, cmd, &color, help);

		if (r != 0)
			return r;
	}
	moat_term_set_color(color, stdout);
	moat_term_set_width(stdout);
	return 0;
}

static int run(const char *name, struct moat_cmd *cmd)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(commands); i++) {
		struct moat_error error = { .text = "" };
		int r;

		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (commands[i].max_args >= 0 && cmd->arg_count > commands[i].max_args)
			return wrong("one word too many:", cmd->args[commands[i].max_args]);
		r = commands[i].run(cmd, &error);
		if (r != MOAT_EXIT_OK && error.text[0])
			fprintf(stderr, "moat: %s\n", error.text);
		return r;
	}
	return wrong("there is no command", name);
}

int main(int argc, char **argv)
{
	struct moat_cmd cmd = {
		.socket = MOAT_RUN_DIR_DEFAULT "/control.sock",
		.interval = 1,
		.count = -1,
	};
	bool help = false;
	int r = parse_options(argc, argv, &cmd, &help);

	if (r != 0)
		return r;
	if (help || optind == argc) {
		fputs(usage, help ? stdout : stderr);
		return help ? MOAT_EXIT_OK : MOAT_EXIT_USAGE;
	}
	cmd.args = argv + optind + 1;
	cmd.arg_count = argc - optind - 1;
	r = run(argv[optind], &cmd);
	if (fflush(stdout) != 0 && r == MOAT_EXIT_OK) {
		fprintf(stderr, "moat: standard output can't be written\n");
		r = MOAT_EXIT_FAILED;
	}
	return r;
}
