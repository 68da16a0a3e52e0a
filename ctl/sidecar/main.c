/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat-sidecar, the host's observer: options, signals, life cycle. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "ctl/privilege.h"
#include "ctl/program.h"
#include "ctl/sidecar/budget.h"
#include "ctl/sidecar/hook.h"
#include "ctl/sidecar/sidecar.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"

#define BUDGET_MAX 10000000 /* events a second */

static const char usage[] =
	"usage: moat-sidecar [--link SOCKET] [--output FILE] [--events LIST]\n"
	"                    [--hook SOCKET] [--budget N[,M]] [--cgroups N] [--rings MIB]\n"
	"                    [--processes N]\n"
	"\n"
	"  -l, --link SOCKET  moatd's, which events go to; \"none\": no moatd\n"
	"                     (default " MOAT_SIDECAR_LINK_DEFAULT ")\n"
	"  -o, --output FILE  where events go as well, a JSON line each; \"-\": standard output\n"
	"  -e, --events LIST  what is observed, such as \"default,net,-file.open\": names of\n"
	"                     events, families of them, \"default\", \"all\" (default \"default\")\n"
	"  -k, --hook SOCKET  for \"moat oci-hook\"; \"none\": none\n"
	"                     (default " MOAT_HOOK_SOCKET_DEFAULT ")\n"
	"  -b, --budget N[,M] events a second of a cgroup: starts, ends and acts of processes,\n"
	"                     and others; \"none\": no bound (default 50000,100000)\n"
	"      --cgroups N    cgroups with a budget of their own (default 4096)\n"
	"      --rings MIB    of each of the two rings that four CPUs share (default 8)\n"
	"      --processes N  processes remembered (default 65536)\n"
	"      --version      show the version and end\n"
	"      --help         this text\n"
	"\n"
	"Watches what this host and its containers do, as OCSF events.\n"
	"Stays in the foreground. SIGUSR1 opens the file anew, SIGUSR2 logs all counters; SIGTERM ends it,\n"
	"and its probes with it. See moat-sidecar(8).\n";

/* A line a part: a log's lines are bounded. */
static void log_status(const struct moat_sidecar *sidecar)
{
	json_t *status = moat_sidecar_status(sidecar), *part;
	const char *name;

	json_object_foreach(status, name, part) {
		moat_auto_free char *text = json_dumps(part, JSON_COMPACT);

		if (text)
			moat_log(MOAT_LOG_INFO, "{\"%s\":%s}", name, text);
	}
	json_decref(status);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_reopen(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	moat_sidecar_reopen(userdata);
	return 0;
}

static int on_status(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	log_status(userdata);
	return 0;
}

static const struct moat_program_signal signals[] = {
	{ SIGTERM, on_stop },   { SIGINT, on_stop }, { SIGUSR1, on_reopen },
	{ SIGUSR2, on_status }, { 0, NULL },
};

static int run(const struct moat_sidecar_options *options)
{
	struct moat_sidecar *sidecar = NULL;
	struct moat_error error = { .text = "" };
	sd_event *loop = NULL;
	int r;

	moat_program_block_signals(signals);
	r = sd_event_default(&loop);
	if (r >= 0)
		r = moat_privilege_drop_host(&error);
	if (r >= 0)
		r = moat_sidecar_new(loop, options, &sidecar, &error);
	if (r >= 0)
		r = moat_program_add_signals(loop, signals, sidecar);
	if (r < 0) {
		moat_log(MOAT_LOG_ERROR, "%s", error.text[0] ? error.text : strerror(-r));
	} else {
		sd_event_set_watchdog(loop, true);
		sd_notify(0, "READY=1\nSTATUS=Watching");
		moat_log(MOAT_LOG_INFO, "moat-sidecar %s is ready", MOAT_VERSION);
		r = sd_event_loop(loop);
		moat_sidecar_stop(sidecar);
		log_status(sidecar);
	}
	moat_sidecar_free(sidecar);
	sd_event_unref(loop);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A whole number from `least` to `most`; false after saying why not. */
static bool read_number(const char *text, unsigned long least, unsigned long most, uint32_t *ret)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value < least || value > most) {
		fprintf(stderr, "moat-sidecar: \"%s\" is no number from %lu to %lu\n", text, least,
			most);
		return false;
	}
	*ret = (uint32_t)value;
	return true;
}

/* "N", "N,M" or "none"; alters the text. */
static bool read_budget(char *text, struct moat_sidecar_options *options)
{
	char *comma = strchr(text, ',');

	if (strcmp(text, "none") == 0) {
		options->budget_process = options->budget_other = 0;
		return true;
	}
	if (comma)
		*comma = '\0';
	if (!read_number(text, 1, BUDGET_MAX, &options->budget_process))
		return false;
	options->budget_other = options->budget_process;
	return !comma || read_number(comma + 1, 1, BUDGET_MAX, &options->budget_other);
}

/* The options that are numbers. False: a wrong one, or none of them. */
static bool read_size(int option, char *text, struct moat_sidecar_options *options)
{
	uint32_t mib;

	switch (option) {
	case 'b':
		return read_budget(text, options);
	case 'C':
		return read_number(text, 1, 1u << 16, &options->cgroups);
	case 'P':
		return read_number(text, 1024, 1u << 22, &options->processes);
	case 'R':
		if (!read_number(text, 1, 256, &mib))
			return false;
		if (mib & (mib - 1)) {
			fprintf(stderr, "moat-sidecar: %u MiB: rings are powers of two\n", mib);
			return false;
		}
		options->ring_bytes = mib << 20;
		return true;
	default:
		return false;
	}
}

/* 0 to go on, 1 if all is done, -1 for a wrong call. */
static int parse_options(int argc, char **argv, struct moat_sidecar_options *options)
{
	static const struct option known[] = {
		{ "link", required_argument, NULL, 'l' },
		{ "output", required_argument, NULL, 'o' },
		{ "events", required_argument, NULL, 'e' },
		{ "hook", required_argument, NULL, 'k' },
		{ "budget", required_argument, NULL, 'b' },
		{ "cgroups", required_argument, NULL, 'C' },
		{ "rings", required_argument, NULL, 'R' },
		{ "processes", required_argument, NULL, 'P' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct moat_event_set events;
	char word[64];
	int option;

	while ((option = getopt_long(argc, argv, "l:o:e:k:b:h", known, NULL)) != -1) {
		switch (option) {
		case 'l':
			options->link = strcmp(optarg, "none") == 0 ? NULL : optarg;
			break;
		case 'o':
			options->output = optarg;
			break;
		case 'e':
			if (moat_event_set_parse(optarg, &events, word) < 0) {
				fprintf(stderr, "moat-sidecar: \"%s\" is no event\n", word);
				return -1;
			}
			options->events = &events;
			break;
		case 'k':
			options->hook = strcmp(optarg, "none") == 0 ? NULL : optarg;
			break;
		case 'V':
			puts("moat-sidecar " MOAT_VERSION);
			return 1;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			if (!read_size(option, optarg, options))
				return -1;
		}
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "moat-sidecar: \"%s\" is one word too many\n", argv[optind]);
	return -1;
}

int main(int argc, char **argv)
{
	struct moat_sidecar_options options = {
		.link = MOAT_SIDECAR_LINK_DEFAULT,
		.hook = MOAT_HOOK_SOCKET_DEFAULT,
		.budget_process = MOAT_BUDGET_PROCESS_DEFAULT,
		.budget_other = MOAT_BUDGET_OTHER_DEFAULT,
	};
	int r = parse_options(argc, argv, &options);

	if (r > 0)
		return EXIT_SUCCESS;
	if (r < 0) {
		fputs("moat-sidecar --help shows the options\n", stderr);
		return 2;
	}
	return run(&options);
}
