/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat top: rates by port and host, and open findings, looked at again and again. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "ctl/cmd_workers.h"
#include "dataplane/base/cleanup.h"

#define CLEAR "\033[H\033[2J"
#define HOSTS 8

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	stopped = 1;
}

static double rate(double now, double before, double seconds)
{
	return seconds > 0 && now >= before ? (now - before) / seconds : 0;
}

static double dropped_of(const json_t *port)
{
	double dropped = 0;
	const char *name;
	json_t *value;

	json_object_foreach(moat_json_at(port, "reasons"), name, value) {
		if (strncmp(name, "drop", 4) == 0)
			dropped += json_number_value(value);
	}
	return dropped;
}

static const json_t *same_port(const json_t *look, const char *name)
{
	json_t *port;
	size_t i;

	json_array_foreach(moat_json_at(look, "ports"), i, port) {
		if (strcmp(moat_json_text(port, "name"), name) == 0)
			return port;
	}
	return NULL;
}

static void print_ports(const json_t *look, const json_t *before)
{
	static const char *const headers[] = { "PORT",       ">PACKETS/S", ">MBIT/S",
					       ">DROPPED/S", ">DROPPED",   NULL };
	double seconds = (moat_json_number(look, "mono_ns") - moat_json_number(before, "mono_ns")) /
			 1e9;
	moat_auto_table table = { 0 };
	json_t *port;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(look, "ports"), i, port) {
		const json_t *old = same_port(before, moat_json_text(port, "name"));
		double pps = rate(moat_json_number(port, "received"),
				  moat_json_number(old, "received"), seconds);
		double bps = rate(moat_json_number(port, "received_bytes"),
				  moat_json_number(old, "received_bytes"), seconds);
		double drops = rate(dropped_of(port), dropped_of(old), seconds);
		char packets[MOAT_TERM_TEXT_LEN], bits[MOAT_TERM_TEXT_LEN],
			dropped[MOAT_TERM_TEXT_LEN], share[16];

		snprintf(share, sizeof(share), "%.1f %%", pps > 0 ? 100 * drops / pps : 0);
		moat_table_add(&table, drops > 0 ? MOAT_STYLE_WARN : MOAT_STYLE_PLAIN,
			       moat_json_text(port, "name"), moat_term_scaled(pps, packets),
			       moat_term_scaled(bps * 8e-6, bits), moat_term_scaled(drops, dropped),
			       share);
	}
	moat_table_print(&table, stdout, "");
}

static void print_hosts(const json_t *look, const char *side, const char *title)
{
	const char *headers[] = { title,    ">PACKETS/S", ">MBIT/S", ">DROPPED/S",
				  ">SYN/S", ">UDP/S",     ">ICMP/S", NULL };
	moat_auto_table table = { 0 };
	json_t *host;
	size_t i;

	if (json_array_size(moat_json_at(look, side)) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(look, side), i, host) {
		char texts[6][MOAT_TERM_TEXT_LEN];
		static const char *const fields[] = { "pps",     "mbps",    "dropped_pps",
						      "syn_pps", "udp_pps", "icmp_pps" };

		for (size_t f = 0; f < MOAT_ARRAY_SIZE(fields); f++)
			moat_term_scaled(moat_json_number(host, fields[f]), texts[f]);
		moat_table_add(&table, MOAT_STYLE_PLAIN, moat_json_text(host, "addr"), texts[0],
			       texts[1], texts[2], texts[3], texts[4], texts[5]);
	}
	putchar('\n');
	moat_table_print(&table, stdout, "");
}

static void print_look(const json_t *look, const json_t *before, bool clear)
{
	bool learning = strcmp(moat_json_text(look, "detect.state"), "learning") == 0;

	if (clear)
		fputs(CLEAR, stdout);
	moat_term_print(stdout, MOAT_STYLE_BOLD, "moat top");
	if (learning)
		printf("  learning %.0f %%", 100 * moat_json_number(look, "detect.learned"));
	else
		printf("  detection active");
	printf(", %s, %.0f hosts, %.0f findings open, %.0f rules by the responder\n\n",
	       moat_json_text(look, "respond.mode"), moat_json_number(look, "detect.hosts"),
	       moat_json_number(look, "detect.findings_open"),
	       moat_json_number(look, "respond.standing"));
	print_ports(look, before);
	moat_cmd_print_rates(look);
	print_hosts(look, "to", "TO");
	print_hosts(look, "from", "FROM");
	putchar('\n');
	moat_cmd_print_findings(moat_json_at(look, "findings"));
	fflush(stdout);
}

/* A cell's gains can be told for MOAT_CELL_SPAN_NS. */
#define LOOK_APART_S 4

static void wait_for(double seconds)
{
	struct timespec pause = { .tv_sec = (time_t)seconds };

	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
	nanosleep(&pause, NULL);
}

/* Waits for the next look. One that comes late shows what the last second brought. */
static int wait_for_look(const struct moat_cmd *cmd, struct moat_client *client,
			 struct moat_error *error)
{
	json_t *ignored = NULL;
	int r;

	if (cmd->interval <= LOOK_APART_S) {
		wait_for(cmd->interval);
		return 0;
	}
	wait_for(cmd->interval - 1);
	if (stopped)
		return 0;
	r = moat_client_call(client, "top", json_pack("{s:i}", "hosts", HOSTS), -1, &ignored, error);
	json_decref(ignored);
	if (r == 0)
		wait_for(1);
	return r;
}

int moat_cmd_top(const struct moat_cmd *cmd, struct moat_error *error)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;
	const struct sigaction action = { .sa_handler = on_stop };
	bool clear = isatty(STDOUT_FILENO) && !cmd->json;
	json_t *before = NULL;
	int r = moat_client_connect(cmd->socket, &client, error);

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* The first look only gives the second something to compare with. */
	for (long look = 0; r == 0 && !stopped && (cmd->count <= 0 || look <= cmd->count); look++) {
		json_t *now = NULL;

		if (look > 0)
			r = wait_for_look(cmd, client, error);
		if (r < 0 || stopped)
			break;
		r = moat_client_call(client, "top", json_pack("{s:i}", "hosts", HOSTS), -1, &now,
				     error);
		if (r == 0 && look > 0)
			moat_cmd_add_rates(now, before);
		if (r == 0 && look > 0 && cmd->json)
			moat_cmd_print_json(now);
		else if (r == 0 && look > 0)
			print_look(now, before, clear);
		json_decref(before);
		before = now;
	}
	json_decref(before);
	return r < 0 ? MOAT_EXIT_FAILED : MOAT_EXIT_OK;
}
