/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/cmd_workers.h"

#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

/* "eth0/3" */
static void name_of(const json_t *worker, char *ret_name, size_t size)
{
	snprintf(ret_name, size, "%s/%.0f", moat_json_text(worker, "name"),
		 moat_json_number(worker, "queue"));
}

/* ---- status ------------------------------------------------------------------------------------- */

static const char *mode_of(const json_t *worker)
{
	if (strcmp(moat_json_text(worker, "kind"), "dpdk") == 0)
		return "DPDK";
	if (moat_json_flag(worker, "busy_poll"))
		return moat_json_flag(worker, "zerocopy") ? "zero-copy, busy poll"
							  : "copy, busy poll";
	return moat_json_flag(worker, "zerocopy") ? "zero-copy, need-wakeup" : "copy, need-wakeup";
}

/* "3" or "3 (node 1)" */
static void place_of(const json_t *worker, char *ret_place, size_t size)
{
	double node = moat_json_number(worker, "node");

	if (node < 0)
		snprintf(ret_place, size, "%.0f", moat_json_number(worker, "cpu"));
	else
		snprintf(ret_place, size, "%.0f (node %.0f)", moat_json_number(worker, "cpu"), node);
}

void moat_cmd_print_workers(const json_t *status)
{
	static const char *const headers[] = { "WORKER",     "MODE",       ">CPU", ">RECEIVED",
					       ">RING FULL", ">NO BUFFER", ">TX",  ">TX DROPS",
					       ">BUSY",      NULL };
	moat_auto_table table = { 0 };
	json_t *worker;
	size_t i;

	if (json_array_size(moat_json_at(status, "workers")) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(status, "workers"), i, worker) {
		static const char *const fields[] = { "rx.packets", "rx_ring_full", "rx_no_buffer",
						      "tx.packets" };
		char texts[5][MOAT_TERM_TEXT_LEN], name[64], place[32], busy[16];

		for (size_t f = 0; f < MOAT_ARRAY_SIZE(fields); f++)
			moat_term_scaled(moat_json_number(worker, fields[f]), texts[f]);
		moat_term_scaled(moat_json_number(worker, "tx_ring_full") +
					 moat_json_number(worker, "tx_errors"),
				 texts[4]);
		name_of(worker, name, sizeof(name));
		place_of(worker, place, sizeof(place));
		snprintf(busy, sizeof(busy), "%.0f %%",
			 100 * moat_json_number(worker, "busy_ratio"));
		moat_table_add(&table,
			       moat_json_flag(worker, "lost") ? MOAT_STYLE_BAD : MOAT_STYLE_PLAIN,
			       name, moat_json_flag(worker, "lost") ? "lost" : mode_of(worker),
			       place, texts[0], texts[1], texts[2], texts[3], texts[4], busy);
	}
	putchar('\n');
	moat_table_print(&table, stdout, "");
}

/* ---- rates -------------------------------------------------------------------------------------- */

/* What is told of a second, and the counters that it comes from. */
static const struct {
	const char *rate, *counter;
	double scale;
} rates[] = {
	{ "pps", "rx.packets", 1 },
	{ "mbps", "rx.bytes", 8e-6 },
	{ "tx_pps", "tx.packets", 1 },
	{ "tx_mbps", "tx.bytes", 8e-6 },
	{ "ring_full_pps", "rx_ring_full", 1 },
	{ "no_buffer_pps", "rx_no_buffer", 1 },
	{ "invalid_pps", "rx_invalid", 1 },
	{ "tx_ring_full_pps", "tx_ring_full", 1 },
	{ "tx_error_pps", "tx_errors", 1 },
};

static double gain(const json_t *now, const json_t *before, const char *counter)
{
	double gained = moat_json_number(now, counter) - moat_json_number(before, counter);

	return gained > 0 ? gained : 0;
}

static const json_t *same_worker(const json_t *look, const json_t *worker)
{
	json_t *other;
	size_t i;

	json_array_foreach(moat_json_at(look, "workers"), i, other) {
		if (moat_json_number(other, "port") == moat_json_number(worker, "port") &&
		    moat_json_number(other, "queue") == moat_json_number(worker, "queue"))
			return other;
	}
	return NULL;
}

void moat_cmd_add_rates(json_t *look, const json_t *before)
{
	double seconds = (moat_json_number(look, "mono_ns") - moat_json_number(before, "mono_ns")) /
			 1e9;
	json_t *worker;
	size_t i;

	json_array_foreach(moat_json_at(look, "workers"), i, worker) {
		const json_t *old = same_worker(before, worker);
		double busy = gain(worker, old, "busy_ns"), idle = gain(worker, old, "idle_ns");
		json_t *object = json_object();

		for (size_t r = 0; r < MOAT_ARRAY_SIZE(rates); r++)
			json_object_set_new(object, rates[r].rate,
					    json_real(seconds > 0
							      ? gain(worker, old, rates[r].counter) *
									rates[r].scale / seconds
							      : 0));
		json_object_set_new(object, "busy",
				    json_real(busy + idle > 0 ? busy / (busy + idle) : 0));
		json_object_set_new(worker, "rates", object);
	}
}

void moat_cmd_print_rates(const json_t *look)
{
	static const char *const headers[] = { "WORKER",      ">PACKETS/S",   ">MBIT/S",
					       ">SENT/S",     ">RING FULL/S", ">NO BUFFER/S",
					       ">TX DROPS/S", ">BUSY",        NULL };
	static const char *const fields[] = { "rates.pps", "rates.mbps", "rates.tx_pps",
					      "rates.ring_full_pps", "rates.no_buffer_pps" };
	moat_auto_table table = { 0 };
	json_t *worker;
	size_t i;

	if (json_array_size(moat_json_at(look, "workers")) == 0)
		return;
	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(look, "workers"), i, worker) {
		char texts[6][MOAT_TERM_TEXT_LEN], name[64], busy[16];
		double lost = moat_json_number(worker, "rates.tx_ring_full_pps") +
			      moat_json_number(worker, "rates.tx_error_pps");

		for (size_t f = 0; f < MOAT_ARRAY_SIZE(fields); f++)
			moat_term_scaled(moat_json_number(worker, fields[f]), texts[f]);
		moat_term_scaled(lost, texts[5]);
		lost += moat_json_number(worker, "rates.ring_full_pps") +
			moat_json_number(worker, "rates.no_buffer_pps");
		name_of(worker, name, sizeof(name));
		snprintf(busy, sizeof(busy), "%.1f %%",
			 100 * moat_json_number(worker, "rates.busy"));
		moat_table_add(&table, lost > 0 ? MOAT_STYLE_WARN : MOAT_STYLE_PLAIN, name,
			       texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], busy);
	}
	putchar('\n');
	moat_table_print(&table, stdout, "");
}
