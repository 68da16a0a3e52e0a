/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moatd, the appliance: options, signals, life cycle. Always in the foreground; systemd is told when it is
 * ready. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "ctl/appliance.h"
#include "ctl/config.h"
#include "ctl/privilege.h"
#include "ctl/program.h"
#include "ctl/rulebook.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"
#include "dataplane/gate.h"

static const char usage[] =
	"usage: moatd [--config FILE]\n"
	"       moatd --check FILE\n"
	"\n"
	"  -c, --config FILE  configuration (default " MOAT_CONFIG_DEFAULT ")\n"
	"      --check FILE   check a configuration, say OK or what is wrong, and end\n"
	"      --version      show the version and end\n"
	"      --help         this text\n"
	"\n"
	"Stays in the foreground. SIGHUP reloads the configuration, SIGUSR1 opens the event file anew;\n"
	"SIGTERM ends moatd, while the gate goes on by its last rules (\"moat gate detach\" removes it).\n"
	"See moatd(8).\n";

struct options {
	const char *config;
	const char *check;
};

static int check(const char *path)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	struct moat_rulebook *rulebook = NULL;
	struct moat_error error = { .text = "" };
	int r = moat_config_load(path, MOAT_CONFIG_CHECK_PORTS, &config, &error);

	/* Lists and files are read as they would be; the state directory is left alone. */
	if (r == 0)
		r = moat_rulebook_new("/nonexistent", &rulebook, &error);
	if (r == 0)
		r = moat_rulebook_configure(rulebook, config, &error);
	moat_rulebook_free(rulebook);
	if (r < 0) {
		fprintf(stderr, "moatd: %s\n", error.text);
		return EXIT_FAILURE;
	}
	puts("OK");
	return EXIT_SUCCESS;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	moat_log(MOAT_LOG_INFO, "moatd ends; the gate stays on gateway ports, by its last rules");
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct moat_error error = { .text = "" };

	sd_notify(0, "RELOADING=1");
	if (moat_appliance_reload(userdata, &error) < 0)
		moat_log(MOAT_LOG_ERROR, "reload: %s; nothing has changed", error.text);
	else
		moat_log(MOAT_LOG_INFO, "reloaded");
	moat_appliance_reopen(userdata);
	sd_notify(0, "READY=1");
	return 0;
}

static int on_reopen(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	moat_appliance_reopen(userdata);
	return 0;
}

static const struct moat_program_signal signals[] = {
	{ SIGTERM, on_stop },   { SIGINT, on_stop }, { SIGHUP, on_reload },
	{ SIGUSR1, on_reopen }, { 0, NULL },
};

static int set_up(const char *path, sd_event *loop, struct moat_appliance **ret_appliance,
		  struct moat_error *error)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	bool needs_sockets = false, asks_for_programs = false;
	int r = moat_config_load(path, MOAT_CONFIG_CHECK_PORTS, &config, error);

	if (r < 0)
		return r;
	moat_log_set_level(config->log_level);
	for (size_t i = 0; i < config->port_count; i++) {
		needs_sockets |= moat_config_port_has_workers(&config->ports[i]);
		asks_for_programs |= config->ports[i].dispatcher || config->ports[i].dpdk[0];
	}
	r = moat_privilege_check(needs_sockets, error);
	if (r < 0)
		return r;
	moat_privilege_raise_limits();
	moat_gate_look_around();
	r = moat_privilege_drop(asks_for_programs, error);
	if (r == 0)
		r = moat_appliance_new(loop, config, ret_appliance, error);
	if (r == 0)
		moat_take_ptr(config);
	return r;
}

static int run(const char *path)
{
	struct moat_appliance *appliance = NULL;
	struct moat_error error = { .text = "" };
	sd_event *loop = NULL;
	int r;

	moat_program_block_signals(signals);
	r = sd_event_default(&loop);
	if (r < 0) {
		moat_log(MOAT_LOG_ERROR, "event loop: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = set_up(path, loop, &appliance, &error);
	if (r == 0)
		r = moat_program_add_signals(loop, signals, appliance);
	if (r < 0) {
		moat_log(MOAT_LOG_ERROR, "%s", error.text[0] ? error.text : strerror(-r));
	} else {
		sd_event_set_watchdog(loop, true);
		sd_notify(0, "READY=1\nSTATUS=Guarding");
		moat_log(MOAT_LOG_INFO, "moatd %s is ready", MOAT_VERSION);
		r = sd_event_loop(loop);
	}
	moat_appliance_free(appliance);
	sd_event_unref(loop);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* 0 to go on, 1 if all is done, -1 for a wrong call. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", required_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 'k':
			options->check = optarg;
			break;
		case 'V':
			puts("moatd " MOAT_VERSION);
			return 1;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "moatd: \"%s\" is one word too many\n", argv[optind]);
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = { .config = MOAT_CONFIG_DEFAULT };
	int r = parse_options(argc, argv, &options);

	if (r > 0)
		return EXIT_SUCCESS;
	if (r < 0) {
		fputs("moatd --help shows the options\n", stderr);
		return 2;
	}
	return options.check ? check(options.check) : run(options.config);
}
