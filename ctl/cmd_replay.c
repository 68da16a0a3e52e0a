/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat replay FILE…: what moat would have found in captures. Needs no moatd and no privilege. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "ctl/config.h"
#include "ctl/event.h"
#include "ctl/findings.h"
#include "ctl/replay.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

/* Denser than a gate's: captures are short, and there is time. */
#define SAMPLE_PASS 16
/* Captures rarely hold the minutes of normal traffic that an appliance learns from; until then the
 * absolute-rate guard judges alone. */
#define LEARN_NS (20 * MOAT_NS_PER_S)
#define PLAIN_PROGRESS_NS (5 * MOAT_NS_PER_S)

struct progress {
	struct moat_findings *findings;
	bool is_terminal, is_shown;
	uint64_t shown_ns;
};

static void on_finding(void *userdata, const struct moat_finding *finding)
{
	struct progress *progress = userdata;

	moat_findings_put(progress->findings, finding);
}

static void on_progress(void *userdata, double share, uint64_t packets)
{
	struct progress *progress = userdata;
	uint64_t now_ns = moat_clock_monotonic_ns();
	char text[MOAT_TERM_TEXT_LEN];

	if (!progress->is_terminal && now_ns - progress->shown_ns < PLAIN_PROGRESS_NS)
		return;
	progress->shown_ns = now_ns;
	progress->is_shown = true;
	fprintf(stderr,
		progress->is_terminal ? "\r%3.0f %%, %s packets, %zu findings open  "
				      : "%3.0f %%, %s packets, %zu findings open\n",
		100 * share, moat_term_scaled((double)packets, text),
		moat_findings_open_count(progress->findings));
}

static json_t *findings_of(const struct moat_findings *findings)
{
	struct moat_event_context context = { 0 }; /* capture time is real time already */
	json_t *list = json_array();
	const struct moat_finding *finding;

	for (size_t i = 0; (finding = moat_findings_at(findings, i)); i++)
		json_array_insert_new(list, 0, moat_event_finding_detail(&context, finding));
	return list;
}

static json_t *result_of(const struct moat_cmd *cmd, const struct moat_replay_report *report,
			 const struct moat_findings *findings)
{
	json_t *files = json_array();

	for (int i = 0; i < cmd->arg_count; i++)
		json_array_append_new(files, json_string(cmd->args[i]));
	return json_pack("{s:o,s:I,s:I,s:f,s:I,s:I,s:I,s:o}", "files", files, "packets",
			 (json_int_t)report->counters.in.packets, "bytes",
			 (json_int_t)report->counters.in.bytes, "seconds",
			 (double)(report->last_ns - report->first_ns) / (double)MOAT_NS_PER_S,
			 "flows",
			 (json_int_t)(report->counters.flow.created ? report->counters.flow.created
								    : report->detect.flows),
			 "hosts", (json_int_t)report->detect.hosts.hosts, "files_broken_off",
			 (json_int_t)report->counters.port.rx_invalid, "findings",
			 findings_of(findings));
}

/* The rule that enforcing moat would have put up, of each finding. */
static void print_rules(const json_t *findings)
{
	static const char *const headers[] = { ">ID", ">OF ATTACK", "RULE", NULL };
	moat_auto_table table = { 0 };
	json_t *finding;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(findings, i, finding) {
		json_t *best = json_array_get(moat_json_at(finding, "proposals"), 0);
		char id[16], coverage[16], rule[640], limit[64] = "";

		if (!best)
			continue;
		if (strcmp(moat_json_text(best, "action"), "limit") == 0)
			snprintf(limit, sizeof(limit), " %.0f/s%s",
				 moat_json_number(best, "rate_pps"),
				 moat_json_flag(best, "prefer_known") ? " prefer-known" : "");
		snprintf(id, sizeof(id), "%.0f", moat_json_number(finding, "id"));
		snprintf(coverage, sizeof(coverage), "%.1f %%",
			 100 * moat_json_number(best, "coverage"));
		snprintf(rule, sizeof(rule), "%s%s %s", moat_json_text(best, "action"), limit,
			 moat_json_text(best, "match"));
		moat_table_add(&table, MOAT_STYLE_PLAIN, id, coverage, rule);
	}
	if (table.row_count == 0)
		return;
	printf("\nRules that would have stood against them\n");
	moat_table_print(&table, stdout, "");
}

static void print_result(const json_t *result)
{
	char packets[MOAT_TERM_TEXT_LEN], bytes[MOAT_TERM_TEXT_LEN], lasted[MOAT_TERM_TEXT_LEN];

	printf("%s packets, %s, %s of traffic, %.0f flows\n",
	       moat_term_grouped((uint64_t)moat_json_number(result, "packets"), packets),
	       moat_term_bytes(moat_json_number(result, "bytes"), bytes),
	       moat_term_duration(moat_json_number(result, "seconds"), lasted),
	       moat_json_number(result, "flows"));
	if (moat_json_number(result, "files_broken_off") > 0)
		moat_term_print(stdout, MOAT_STYLE_WARN,
				"%.0f of the files end in the midst of a packet\n",
				moat_json_number(result, "files_broken_off"));
	putchar('\n');
	moat_cmd_print_findings(moat_json_at(result, "findings"));
	print_rules(moat_json_at(result, "findings"));
}

static int prepare(const struct moat_cmd *cmd, struct moat_replay_options *options,
		   struct moat_error *error)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	int r;

	options->detect = moat_detect_config_default();
	options->detect.learn_ns = LEARN_NS;
	options->sample_pass = SAMPLE_PASS;
	options->detect.mode = MOAT_MODE_MIRROR;
	if (!cmd->config)
		return 0;
	r = moat_config_load(cmd->config, 0, &config, error);
	if (r < 0)
		return r;
	options->detect = config->detect;
	options->detect.mode = MOAT_MODE_MIRROR;
	options->sample_pass = config->sample_pass;
	return 0;
}

int moat_cmd_replay(const struct moat_cmd *cmd, struct moat_error *error)
{
	struct progress progress = { .is_terminal = isatty(STDERR_FILENO),
				     .shown_ns = moat_clock_monotonic_ns() };
	struct moat_replay_options options = {
		.paths = (const char *const *)cmd->args,
		.path_count = (size_t)cmd->arg_count,
		.realtime = cmd->realtime,
		.on_finding = on_finding,
		.on_progress = on_progress,
		.userdata = &progress,
	};
	struct moat_replay_report report;
	json_t *result;
	int r;

	if (cmd->arg_count == 0) {
		moat_error_set(error, -EINVAL, "moat replay takes one capture file or more");
		return MOAT_EXIT_USAGE;
	}
	if (prepare(cmd, &options, error) < 0)
		return MOAT_EXIT_FAILED;
	if (moat_findings_new(&progress.findings) < 0) {
		moat_error_set(error, -ENOMEM, "out of memory");
		return MOAT_EXIT_FAILED;
	}
	r = moat_replay_run(&options, &report, error);
	if (progress.is_shown && progress.is_terminal)
		fprintf(stderr, "\r%60s\r", "");
	if (r == 0) {
		result = result_of(cmd, &report, progress.findings);
		if (cmd->json)
			moat_cmd_print_json(result);
		else
			print_result(result);
		json_decref(result);
	}
	moat_findings_free(progress.findings);
	return r < 0 ? MOAT_EXIT_FAILED : MOAT_EXIT_OK;
}
