/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate when descriptors run out, at every point where that can happen: attaching again and opening
 * again either work or fail, and what was in force before stays in force, pinned and counted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

/* More than either needs. */
#define SPARE_MAX 100

static struct gate_fixture gate;
static const struct moat_gate_port_options lo = { .name = "lo", .generic = true };
static struct frame frame;

/* Leaves `spare` descriptors to be opened, or all there may be. */
static void limit_descriptors(int spare)
{
	struct rlimit limit;
	int lowest = dup(0);

	close(lowest);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = spare < 0 ? limit.rlim_max : (rlim_t)(lowest + spare);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The gate's program on the interface, as the kernel says; 0 if there is none. */
static uint32_t attached_id(void)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return bpf_xdp_query(1, 0, &query) < 0 ? 0 : query.prog_id;
}

/* Whether whoever opens the gate next finds the link and the counters. */
static bool is_pinned(void)
{
	static const char *const files[] = { "link", "prog", "counters", "xsks" };
	char path[128];
	bool all = true;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/ports/lo/%s", gate.pin_path, files[i]);
		all = all && access(path, F_OK) == 0;
	}
	return all;
}

static void test_attach(void)
{
	int failed = 0, r = -1;

	for (int spare = 0; r < 0 && spare < SPARE_MAX; spare++) {
		struct moat_error error = {};

		limit_descriptors(spare);
		r = moat_gate_attach(gate.gate, &lo, &gate.port, &error);
		limit_descriptors(-1);
		failed += r < 0;
		CU_ASSERT_NOT_EQUAL_FATAL(attached_id(), 0);
		CU_ASSERT_TRUE_FATAL(is_pinned());
		CU_ASSERT_TRUE(r == 0 || error.text[0]);
		CU_ASSERT_EQUAL(gate_fixture_counters(&gate).in.packets, 1);
	}
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_TRUE(gate.port.adopted);
	CU_ASSERT(failed > 3);
}

static void test_open(void)
{
	const struct moat_gate_options options = { .pin_path = gate.pin_path };
	int failed = 0, r = -1;
	size_t ports;

	moat_gate_close(gate.gate);
	gate.gate = NULL;
	for (int spare = 0; r < 0 && spare < SPARE_MAX; spare++) {
		struct moat_error error = {};

		limit_descriptors(spare);
		r = moat_gate_open(&options, &gate.gate, &error);
		limit_descriptors(-1);
		failed += r < 0;
		CU_ASSERT_NOT_EQUAL_FATAL(attached_id(), 0);
		CU_ASSERT_TRUE_FATAL(is_pinned());
		CU_ASSERT_TRUE(r == 0 || error.text[0]);
	}
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT(failed > 15); /* a descriptor a map, and the clock */
	moat_gate_ports(gate.gate, &ports);
	CU_ASSERT_EQUAL(ports, 1);
	CU_ASSERT_EQUAL(gate_fixture_counters(&gate).in.packets, 1);
}

/* A first load leaves nothing behind where it fails. */
static void test_first_open(void)
{
	char pin_path[sizeof(gate.pin_path) + 8];
	const struct moat_gate_options options = { .pin_path = pin_path,
						   .cells = 1024,
						   .nodes = 1024 };
	struct moat_gate *first = NULL;
	struct moat_error error = {};
	int failed = 0, r = -1;

	snprintf(pin_path, sizeof(pin_path), "%s-first", gate.pin_path);
	for (int spare = 0; r < 0 && spare < SPARE_MAX; spare++) {
		limit_descriptors(spare);
		r = moat_gate_open(&options, &first, &error);
		limit_descriptors(-1);
		failed += r < 0;
		CU_ASSERT_EQUAL(access(pin_path, F_OK) == 0, r == 0);
	}
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT(failed > 15);
	moat_gate_close(first);
	CU_ASSERT_EQUAL(moat_gate_detach(pin_path, &error), 0);
}

static const struct moat_test tests[] = {
	{ "attach again", test_attach },
	{ "open again", test_open },
	{ "open for the first time", test_first_open },
	{ NULL, NULL },
};

int main(void)
{
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 1024 });
	frame_simple(&frame, "192.0.2.1", "198.51.100.2", 6, 1234, 443, MOAT_TCP_SYN, 0);
	gate_fixture_run(&gate, frame.data, frame.length, 1);
	r = moat_test_main("gate-scarce", tests);
	gate_fixture_close(&gate);
	return r;
}
