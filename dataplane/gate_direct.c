/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Direct tables: the gate's programs name a map where they mean its memory (moat_table in bpf/gate/maps.h),
 * and are given its address at load. The kernel has that for arrays of one value (BPF_PSEUDO_MAP_VALUE);
 * libbpf only makes it for the sections of global variables, which it sizes and maps by itself. So the
 * programs have a section name of their own, whose handler turns the references before they are loaded, and
 * puts the load-time constants in (gate_fold.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_fold.h"
#include "dataplane/gate_internal.h"

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

#define SECTION "moat_gate"

static const char *const direct_names[] = {
	"ctl",         "src4_root",    "dst4_root",      "src6_root",     "dst6_root",
	"rule_tables", "stage_tables", "profile_limits", "port_counters", "scratch",
};

static bool is_direct(int fd)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return false;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(direct_names); i++)
		if (strcmp(info.name, direct_names[i]) == 0)
			return true;
	return false;
}

/* The load-time constants: libbpf's map of them, which it has filled and frozen. */
static int find_constants(const struct bpf_insn *insns, size_t count)
{
	static const char suffix[] = ".rodata";
	int fd = -1;

	for (size_t i = 0; i + 1 < count; i++) {
		struct bpf_map_info info = {};
		uint32_t length = sizeof(info);
		size_t end;

		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW) ||
		    insns[i].src_reg != BPF_PSEUDO_MAP_VALUE || insns[i].imm == fd)
			continue;
		fd = insns[i].imm;
		if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
			continue;
		end = strlen(info.name);
		if ((info.map_flags & BPF_F_RDONLY_PROG) && end >= sizeof(suffix) - 1 &&
		    strcmp(info.name + end - (sizeof(suffix) - 1), suffix) == 0)
			return fd;
	}
	return -1;
}

/* Puts their values where the program reads them. A program without any stays as it is. */
static int fold_constants(struct bpf_insn *insns, size_t count)
{
	struct moat_fold_constants constants = { .map_fd = find_constants(insns, count) };
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), key = 0;
	moat_auto_free uint8_t *memory = NULL;

	if (constants.map_fd < 0 || bpf_obj_get_info_by_fd(constants.map_fd, &info, &length) < 0)
		return 0;
	memory = malloc(info.value_size);
	if (!memory)
		return -ENOMEM;
	if (bpf_map_lookup_elem(constants.map_fd, &key, memory) < 0)
		return 0;
	constants.memory = memory;
	constants.size = info.value_size;
	return moat_gate_fold(insns, count, &constants);
}

/* libbpf has put the descriptors of the maps into the instructions. */
static int prepare_load(struct bpf_program *program, struct bpf_prog_load_opts *opts, long cookie)
{
	size_t count = bpf_program__insn_cnt(program);
	moat_auto_free struct bpf_insn *turned = calloc(count, sizeof(*turned));
	int r;

	if (!turned)
		return -ENOMEM;
	memcpy(turned, bpf_program__insns(program), count * sizeof(*turned));
	for (size_t i = 0; i + 1 < count; i++) {
		if (turned[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (turned[i].src_reg == BPF_PSEUDO_MAP_FD && is_direct(turned[i].imm)) {
			turned[i].src_reg = BPF_PSEUDO_MAP_VALUE;
			turned[i + 1].imm = 0; /* offset in the value */
		}
		i++; /* of two parts */
	}
	/* a dispatcher calls only what is like itself, and has no frames in several buffers */
	if (bpf_program__expected_attach_type(program) == BPF_XDP)
		opts->prog_flags |= BPF_F_XDP_HAS_FRAGS;
	r = fold_constants(turned, count);
	if (r < 0)
		return r;
	return bpf_program__set_insns(program, turned, count);
}

static int registered;

static void register_section(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = prepare_load);

	registered = libbpf_register_prog_handler(SECTION, BPF_PROG_TYPE_XDP, BPF_XDP, &opts);
}

int moat_gate_direct_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_section);
	return registered < 0 ? registered : 0;
}
