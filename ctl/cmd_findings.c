/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat findings and moat explain: what was found, why, and what stands against it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static enum moat_style style_of(const json_t *finding)
{
	return strcmp(moat_json_text(finding, "state"), "closed") == 0 ? MOAT_STYLE_DIM
								       : MOAT_STYLE_BAD;
}

/* An update is one more word on a finding that is open. */
static const char *state_of(const json_t *finding)
{
	const char *state = moat_json_text(finding, "state");

	return strcmp(state, "update") == 0 ? "open" : state;
}

/* "2026-01-31T08:00:00.123456+0000" as "08:00:00.123". */
static const char *clock_of(const char *timestamp, char ret_text[16])
{
	const char *time = strchr(timestamp, 'T');

	snprintf(ret_text, 16, "%.12s", time ? time + 1 : timestamp);
	return ret_text;
}

void moat_cmd_print_findings(const json_t *findings)
{
	static const char *const headers[] = { ">ID",     "STATE",   "FROM", ">PEAK PPS",
					       ">MBIT/S", "FINDING", NULL };
	moat_auto_table table = { 0 };
	json_t *finding;
	size_t i;

	if (json_array_size(findings) == 0) {
		moat_term_print(stdout, MOAT_STYLE_GOOD, "No findings.\n");
		return;
	}
	moat_table_init(&table, headers);
	json_array_foreach(findings, i, finding) {
		char id[MOAT_TERM_TEXT_LEN], pps[MOAT_TERM_TEXT_LEN], mbps[MOAT_TERM_TEXT_LEN],
			first[16];

		snprintf(id, sizeof(id), "%.0f", moat_json_number(finding, "id"));
		moat_table_add(&table, style_of(finding), id, state_of(finding),
			       clock_of(moat_json_text(finding, "first"), first),
			       moat_term_scaled(moat_json_number(finding, "peak_pps"), pps),
			       moat_term_scaled(moat_json_number(finding, "mbps"), mbps),
			       moat_json_text(finding, "sentence"));
	}
	moat_table_print(&table, stdout, "");
}

static void print_drivers(const json_t *finding)
{
	static const char *const headers[] = { "FEATURE", ">NORMAL UP TO", ">SEEN", ">DEVIATION",
					       NULL };
	moat_auto_table table = { 0 };
	json_t *driver;
	size_t i;

	if (json_array_size(moat_json_at(finding, "drivers")) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(finding, "drivers"), i, driver) {
		char expected[MOAT_TERM_TEXT_LEN], seen[MOAT_TERM_TEXT_LEN],
			deviation[MOAT_TERM_TEXT_LEN];

		snprintf(deviation, sizeof(deviation), "%.1f",
			 moat_json_number(driver, "deviation"));
		moat_table_add(&table, MOAT_STYLE_PLAIN, moat_json_text(driver, "name"),
			       moat_term_scaled(moat_json_number(driver, "expected"), expected),
			       moat_term_scaled(moat_json_number(driver, "seen"), seen), deviation);
	}
	printf("\nWhat drove it\n");
	moat_table_print(&table, stdout, "  ");
}

static void endpoint(const json_t *packet, const char *addr, const char *port, char *ret_text,
		     size_t size)
{
	json_t *number = moat_json_at(packet, port);
	const char *host = moat_json_text(packet, addr);

	if (!number)
		snprintf(ret_text, size, "%s", host);
	else
		snprintf(ret_text, size,
			 strchr(host, ':') ? "[%s]:%" JSON_INTEGER_FORMAT
					   : "%s:%" JSON_INTEGER_FORMAT,
			 host, json_integer_value(number));
}

static void print_evidence(const json_t *finding)
{
	static const char *const headers[] = { "TIME", "SOURCE", "DESTINATION", "PROTO", "FLAGS",
					       ">LEN", ">TTL",   "VERDICT",     NULL };
	moat_auto_table table = { 0 };
	json_t *packet;
	size_t i;

	if (json_array_size(moat_json_at(finding, "evidence")) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(finding, "evidence"), i, packet) {
		char from[64], to[64], length[16], ttl[16], time[16];

		endpoint(packet, "src_ip", "src_port", from, sizeof(from));
		endpoint(packet, "dest_ip", "dest_port", to, sizeof(to));
		snprintf(length, sizeof(length), "%.0f", moat_json_number(packet, "length"));
		snprintf(ttl, sizeof(ttl), "%.0f", moat_json_number(packet, "ttl"));
		moat_table_add(&table, MOAT_STYLE_PLAIN,
			       clock_of(moat_json_text(packet, "timestamp"), time), from, to,
			       moat_json_text(packet, "proto"), moat_json_text(packet, "tcp_flags"),
			       length, ttl, moat_json_text(packet, "reason"));
	}
	printf("\nSampled packets\n");
	moat_table_print(&table, stdout, "  ");
}

static void print_proposals(const json_t *finding)
{
	static const char *const headers[] = { ">OF ATTACK", ">OF NORMAL",
					       "RULE THAT WOULD STOP IT", NULL };
	moat_auto_table table = { 0 };
	json_t *proposal;
	size_t i;

	if (json_array_size(moat_json_at(finding, "proposals")) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(finding, "proposals"), i, proposal) {
		char coverage[16], collateral[16] = "unknown", rule[640], limit[64] = "";

		snprintf(coverage, sizeof(coverage), "%.1f %%",
			 100 * moat_json_number(proposal, "coverage"));
		if (!json_is_null(moat_json_at(proposal, "collateral")))
			snprintf(collateral, sizeof(collateral), "%.1f %%",
				 100 * moat_json_number(proposal, "collateral"));
		if (strcmp(moat_json_text(proposal, "action"), "limit") == 0)
			snprintf(limit, sizeof(limit), " %.0f/s%s",
				 moat_json_number(proposal, "rate_pps"),
				 moat_json_flag(proposal, "prefer_known") ? " prefer-known" : "");
		snprintf(rule, sizeof(rule), "%s%s %s", moat_json_text(proposal, "action"), limit,
			 moat_json_text(proposal, "match"));
		moat_table_add(&table, MOAT_STYLE_PLAIN, coverage, collateral, rule);
	}
	printf("\nProposals\n");
	moat_table_print(&table, stdout, "  ");
}

static void print_rules(const json_t *rules)
{
	static const char *const headers[] = { ">ID", ">HITS", "RULE IN FORCE", NULL };
	moat_auto_table table = { 0 };
	json_t *rule;
	size_t i;

	if (json_array_size(rules) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(rules, i, rule) {
		char id[16], hits[MOAT_TERM_TEXT_LEN];

		snprintf(id, sizeof(id), "%.0f", moat_json_number(rule, "id"));
		moat_table_add(&table, MOAT_STYLE_GOOD, id,
			       moat_term_grouped((uint64_t)moat_json_number(rule, "hits"), hits),
			       moat_json_text(rule, "rule"));
	}
	printf("\nRules\n");
	moat_table_print(&table, stdout, "  ");
}

void moat_cmd_print_finding(const json_t *finding, const json_t *rules)
{
	char pps[MOAT_TERM_TEXT_LEN], mbps[MOAT_TERM_TEXT_LEN], lasted[MOAT_TERM_TEXT_LEN];
	double first = moat_json_number(finding, "first_ns");

	moat_term_print(stdout, style_of(finding), "Finding %.0f: %s\n",
			moat_json_number(finding, "id"), moat_json_text(finding, "sentence"));
	printf("  %s %s, technique %s, score %.1f%s\n", state_of(finding),
	       moat_json_text(finding, "title"), moat_json_text(finding, "technique"),
	       moat_json_number(finding, "score"),
	       moat_json_flag(finding, "by_guard") ? ", by the absolute-rate guard alone" : "");
	printf("  from %s, recognised after %.0f ms, %s %s\n", moat_json_text(finding, "first"),
	       (moat_json_number(finding, "detected_ns") - first) / 1e6,
	       strcmp(moat_json_text(finding, "state"), "closed") == 0 ? "lasted" : "lasting",
	       moat_term_duration((moat_json_number(finding, "last_ns") - first) / 1e9, lasted));
	printf("  peak %s packets/s, last %s Mbit/s\n",
	       moat_term_scaled(moat_json_number(finding, "peak_pps"), pps),
	       moat_term_scaled(moat_json_number(finding, "mbps"), mbps));
	print_drivers(finding);
	print_evidence(finding);
	print_proposals(finding);
	print_rules(rules);
}

int moat_cmd_findings(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r = moat_cmd_call(cmd, "findings", NULL, -1, &result, error);

	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		moat_cmd_print_findings(moat_json_at(result, "findings"));
	json_decref(result);
	return MOAT_EXIT_OK;
}

int moat_cmd_explain(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	char *end = NULL;
	long long id = cmd->arg_count == 1 ? strtoll(cmd->args[0], &end, 10) : 0;
	int r;

	if (id < 1 || !end || *end) {
		moat_error_set(
			error, -1,
			"moat explain takes the number of a finding (moat findings lists them)");
		return MOAT_EXIT_USAGE;
	}
	r = moat_cmd_call(cmd, "explain", json_pack("{s:I}", "id", (json_int_t)id), -1, &result,
			  error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		moat_cmd_print_finding(moat_json_at(result, "finding"),
				       moat_json_at(result, "rules"));
	json_decref(result);
	return MOAT_EXIT_OK;
}
