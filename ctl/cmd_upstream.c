/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * moat upstream [list|withdraw FINDING|speak]: what the routers before us are asked to drop. `speak` is the
 * process that ExaBGP runs: it says the difference between what stands and what it said before.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/cmd.h"
#include "ctl/upstream.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

/* How soon a change is said. */
#define ASK_NS 500000000L

static int usage(struct moat_error *error)
{
	moat_error_set(error, -EINVAL,
		       "moat upstream takes list, withdraw FINDING or speak (for ExaBGP)");
	return MOAT_EXIT_USAGE;
}

/* ---- list and withdraw --------------------------------------------------------------------------- */

static void print_routes(const json_t *result)
{
	static const char *const headers[] = { ">FINDING", ">ENDS IN", "ROUTE", NULL };
	moat_auto_table table = { 0 };
	json_t *route;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(result, "routes"), i, route) {
		char left[MOAT_TERM_TEXT_LEN], finding[24];

		snprintf(finding, sizeof(finding), "%.0f", moat_json_number(route, "finding"));
		moat_table_add(&table, MOAT_STYLE_PLAIN, finding,
			       moat_term_duration(moat_json_number(route, "expires_s"), left),
			       moat_json_text(route, "route"));
	}
	printf("%s", moat_json_text(result, "action"));
	if (strcmp(moat_json_text(result, "action"), "off") != 0)
		printf(": floods of %.0f Mbit/s and more, at most %.0f routes",
		       moat_json_number(result, "threshold_mbps"),
		       moat_json_number(result, "max_routes"));
	printf("; %.0f announced, %.0f withdrawn, %.0f refused\n",
	       moat_json_number(result, "announced"), moat_json_number(result, "withdrawn"),
	       moat_json_number(result, "refused_full") +
		       moat_json_number(result, "refused_foreign"));
	if (table.row_count)
		moat_table_print(&table, stdout, "");
}

static int list(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r = moat_cmd_call(cmd, "upstream.list", NULL, -1, &result, error);

	if (r == MOAT_EXIT_OK && cmd->json)
		moat_cmd_print_json(result);
	else if (r == MOAT_EXIT_OK)
		print_routes(result);
	json_decref(result);
	return r;
}

static int withdraw(const struct moat_cmd *cmd, struct moat_error *error)
{
	char *end;
	long long finding = strtoll(cmd->args[1], &end, 10);
	json_t *result = NULL;
	int r;

	if (*end || end == cmd->args[1])
		return usage(error);
	r = moat_cmd_call(cmd, "upstream.withdraw",
			  json_pack("{s:I}", "finding", (json_int_t)finding), -1, &result, error);
	if (r == MOAT_EXIT_OK && cmd->json)
		moat_cmd_print_json(result);
	else if (r == MOAT_EXIT_OK)
		printf("%.0f withdrawn\n", moat_json_number(result, "withdrawn"));
	json_decref(result);
	return r;
}

/* ---- speak --------------------------------------------------------------------------------------- */

/* What ExaBGP was told, each with when its time is over should moatd never be heard of again. */
struct said {
	size_t count;
	struct {
		char text[MOAT_UPSTREAM_TEXT_LEN];
		uint64_t until_ns;
		bool stands;
	} routes[MOAT_UPSTREAM_ROUTES_MAX];
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	ended = 1;
}

static void hear(struct said *said, const char *text, uint64_t until_ns)
{
	size_t i;

	if (strlen(text) >= MOAT_UPSTREAM_TEXT_LEN || strpbrk(text, "\r\n"))
		return; /* not what moatd says */
	for (i = 0; i < said->count && strcmp(said->routes[i].text, text) != 0; i++)
		;
	if (i == MOAT_UPSTREAM_ROUTES_MAX)
		return;
	if (i == said->count) {
		snprintf(said->routes[i].text, sizeof(said->routes[i].text), "%s", text);
		printf("announce %s\n", text);
		said->count++;
	}
	said->routes[i].until_ns = until_ns;
	said->routes[i].stands = true;
}

/* Withdraws what no longer stands. */
static void forget(struct said *said)
{
	for (size_t i = said->count; i-- > 0;) {
		if (said->routes[i].stands)
			continue;
		printf("withdraw %s\n", said->routes[i].text);
		said->count--;
		memmove(&said->routes[i], &said->routes[i + 1],
			(said->count - i) * sizeof(said->routes[0]));
	}
}

static void ask(const struct moat_cmd *cmd, struct said *said)
{
	struct moat_error error = { .text = "" };
	json_t *result = NULL, *route;
	uint64_t now_ns = moat_clock_monotonic_ns();
	size_t i;

	if (moat_cmd_call(cmd, "upstream.list", NULL, -1, &result, &error) == MOAT_EXIT_OK) {
		for (i = 0; i < said->count; i++)
			said->routes[i].stands = false;
		json_array_foreach(moat_json_at(result, "routes"), i, route)
			hear(said, moat_json_text(route, "route"),
			     now_ns + (uint64_t)(moat_json_number(route, "expires_s") *
						 (double)MOAT_NS_PER_S));
		json_decref(result);
	} else {
		/* a restart of moatd is no reason to let a flood in; its end comes all the same */
		for (i = 0; i < said->count; i++)
			said->routes[i].stands = said->routes[i].until_ns > now_ns;
	}
	forget(said);
}

static int speak(const struct moat_cmd *cmd, struct moat_error *error)
{
	const struct timespec pause = { 0, ASK_NS };
	const struct sigaction end = { .sa_handler = on_signal };
	struct said *said = calloc(1, sizeof(*said));

	if (!said) {
		moat_error_set(error, -ENOMEM, "out of memory");
		return MOAT_EXIT_FAILED;
	}
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	/* ends with ExaBGP, which withdraws by ending its sessions */
	while (!ended && fflush(stdout) == 0) {
		ask(cmd, said);
		if (fflush(stdout) != 0)
			break;
		nanosleep(&pause, NULL);
	}
	free(said);
	return MOAT_EXIT_OK;
}

int moat_cmd_upstream(const struct moat_cmd *cmd, struct moat_error *error)
{
	const char *verb = cmd->arg_count ? cmd->args[0] : "list";

	if (strcmp(verb, "list") == 0 && cmd->arg_count <= 1)
		return list(cmd, error);
	if (strcmp(verb, "withdraw") == 0 && cmd->arg_count == 2)
		return withdraw(cmd, error);
	if (strcmp(verb, "speak") == 0 && cmd->arg_count == 1)
		return speak(cmd, error);
	return usage(error);
}
