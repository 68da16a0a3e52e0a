/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat protect: what destinations are protected by, and how sources are limited. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

#define LOOK_MS 500 /* between two looks at the hosts */
#define RATE_LEN (2 * MOAT_TERM_TEXT_LEN + 16)

/* "2.0k/s burst 500", or "-". */
static const char *rate_text(const json_t *rate, char ret_text[static RATE_LEN])
{
	char per_s[MOAT_TERM_TEXT_LEN], burst[MOAT_TERM_TEXT_LEN];

	if (!rate)
		return "-";
	moat_term_scaled(moat_json_number(rate, "per_s"), per_s);
	if (moat_json_number(rate, "burst") > 0)
		snprintf(ret_text, RATE_LEN, "%s/s +%s", per_s,
			 moat_term_scaled(moat_json_number(rate, "burst"), burst));
	else
		snprintf(ret_text, RATE_LEN, "%s/s", per_s);
	return ret_text;
}

static void challenge_text(const json_t *row, char ret_text[static RATE_LEN + 8])
{
	char rate[RATE_LEN];
	const char *mode = moat_json_text(row, "challenge");

	if (strcmp(mode, "above") == 0)
		snprintf(ret_text, RATE_LEN + 8, "above %s",
			 rate_text(moat_json_at(row, "above"), rate));
	else
		snprintf(ret_text, RATE_LEN + 8, "%s", mode);
}

static void print_protections(const json_t *rows)
{
	static const char *const headers[] = { "PROTECTED", ">SYN",     ">UDP",
					       ">ICMP",     ">OTHER",   "CHALLENGE",
					       ">MATCHED",  ">DROPPED", NULL };
	moat_auto_table table = { 0 };
	const json_t *row;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(rows, i, row) {
		char syn[RATE_LEN], udp[RATE_LEN], icmp[RATE_LEN], other[RATE_LEN],
			challenge[RATE_LEN + 8], matched[MOAT_TERM_TEXT_LEN],
			dropped[MOAT_TERM_TEXT_LEN], prefix[80];

		snprintf(prefix, sizeof(prefix), "%s%s", moat_json_text(row, "prefix"),
			 moat_json_flag(row, "each") ? " each" : "");
		challenge_text(row, challenge);
		moat_table_add(&table,
			       moat_json_number(row, "dropped") > 0 ? MOAT_STYLE_WARN
								    : MOAT_STYLE_PLAIN,
			       prefix, rate_text(moat_json_at(row, "syn"), syn),
			       rate_text(moat_json_at(row, "udp"), udp),
			       rate_text(moat_json_at(row, "icmp"), icmp),
			       rate_text(moat_json_at(row, "other"), other), challenge,
			       moat_term_scaled(moat_json_number(row, "matched"), matched),
			       moat_term_scaled(moat_json_number(row, "dropped"), dropped));
	}
	moat_table_print(&table, stdout, "");
}

static void print_sources(const json_t *rows)
{
	static const char *const headers[] = { "SOURCES", ">PACKETS", ">BYTES", "ONE SOURCE IS",
					       NULL };
	moat_auto_table table = { 0 };
	const json_t *row;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(rows, i, row) {
		char packets[RATE_LEN], bytes[RATE_LEN], one[64];

		snprintf(one, sizeof(one), "a /%.0f, IPv6 a /%.0f", moat_json_number(row, "v4"),
			 moat_json_number(row, "v6"));
		moat_table_add(&table, MOAT_STYLE_PLAIN, moat_json_text(row, "prefix"),
			       rate_text(moat_json_at(row, "packets"), packets),
			       rate_text(moat_json_at(row, "bytes"), bytes), one);
	}
	moat_table_print(&table, stdout, "");
}

/* Which protected hosts get most. */
static void print_destinations(const json_t *rows)
{
	static const char *const headers[] = { "DESTINATION", "PROTECTED AS",
					       ">PACKETS/S",  ">DROPPED/S",
					       ">SYN/S",      ">UDP/S",
					       ">ICMP/S",     NULL };
	moat_auto_table table = { 0 };
	const json_t *row;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(rows, i, row) {
		static const char *const rates[] = { "pps", "dropped_pps", "syn_pps", "udp_pps",
						     "icmp_pps" };
		char text[MOAT_ARRAY_SIZE(rates)][MOAT_TERM_TEXT_LEN];

		for (size_t k = 0; k < MOAT_ARRAY_SIZE(rates); k++)
			moat_term_scaled(moat_json_number(row, rates[k]), text[k]);
		moat_table_add(&table,
			       moat_json_number(row, "dropped_pps") > 0 ? MOAT_STYLE_WARN
									: MOAT_STYLE_PLAIN,
			       moat_json_text(row, "addr"), moat_json_text(row, "prefix"), text[0],
			       text[1], text[2], text[3], text[4]);
	}
	moat_table_print(&table, stdout, "");
}

/* One line of what isn't empty. */
static void print_list(const char *label, const json_t *list)
{
	const json_t *item;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	printf("%-14s", label);
	json_array_foreach(list, i, item) {
		if (i == 6) {
			printf(" and %zu more", json_array_size(list) - i);
			break;
		}
		if (json_is_string(item))
			printf(" %s", json_string_value(item));
		else
			printf(" %.0f:%.0f", moat_json_number(item, "port"),
			       moat_json_number(item, "length"));
	}
	putchar('\n');
}

static void print_all(const json_t *result)
{
	const json_t *protections = moat_json_at(result, "protections");
	const json_t *sources = moat_json_at(result, "sources");

	if (json_array_size(protections))
		print_protections(protections);
	else
		printf("no prefix is protected: \"protect\" in moat.yaml names them\n");
	if (json_array_size(moat_json_at(result, "destinations"))) {
		putchar('\n');
		print_destinations(moat_json_at(result, "destinations"));
	}
	if (json_array_size(sources)) {
		putchar('\n');
		print_sources(sources);
	}
	print_list("amplification", moat_json_at(result, "amplification"));
	if (strcmp(moat_json_text(result, "fragments"), "drop") == 0)
		printf("%-14s dropped\n", "fragments");
	print_list("neighbours", moat_json_at(result, "neighbours"));
	print_list("management", moat_json_at(result, "management"));
	print_list("martians", moat_json_at(result, "martians"));
}

int moat_cmd_protect(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	int r = moat_cmd_call(cmd, "protect", NULL, -1, &result, error);

	/* rates take two looks, the first of which may have been somebody's before */
	if (r == MOAT_EXIT_OK && moat_json_at(result, "interval_s") &&
	    moat_json_number(result, "interval_s") <= 0) {
		nanosleep(&pause, NULL);
		json_decref(result);
		result = NULL;
		r = moat_cmd_call(cmd, "protect", NULL, -1, &result, error);
	}
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		print_all(result);
	json_decref(result);
	return MOAT_EXIT_OK;
}
