/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "dataplane/gate_fold.h"
#include "tests/harness/unit.h"

#define FD 7
#define W(code, dst, src, off, imm) ((struct bpf_insn){ code, dst, src, off, imm })
#define CONSTANTS(dst, place) \
	W(BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_VALUE, 0, FD), W(0, 0, 0, 0, place)
#define LOAD(dst, src) W(BPF_LDX | BPF_MEM | BPF_W, dst, src, 0, 0)
#define AND(dst, imm) W(BPF_ALU | BPF_AND | BPF_K, dst, 0, 0, imm)
#define MOV(dst, imm) W(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define ADD_REG(dst, src) W(BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0)
#define ADD(dst, imm) W(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm)
#define IF_ZERO(dst, off) W(BPF_JMP32 | BPF_JEQ | BPF_K, dst, 0, off, 0)
#define CALL(imm) W(BPF_JMP | BPF_CALL, 0, 0, 0, imm)
#define GOTO(off) W(BPF_JMP | BPF_JA, 0, 0, off, 0)
#define EXIT W(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static const uint32_t memory[] = { 0x15, 0xffffffff, 3 };
static const struct moat_fold_constants constants = { FD, (const uint8_t *)memory, sizeof(memory) };

static void fold(struct bpf_insn *insns, const struct bpf_insn *expected, size_t count)
{
	CU_ASSERT_EQUAL(moat_gate_fold(insns, count, &constants), 0);
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&insns[i], &expected[i], sizeof(insns[i])) != 0)
			fprintf(stderr, "instruction %zu: code %x, imm %d\n", i, insns[i].code,
				insns[i].imm);
		CU_ASSERT_EQUAL(memcmp(&insns[i], &expected[i], sizeof(insns[i])), 0);
	}
}
#define FOLD(insns, expected)                                                           \
	do {                                                                            \
		_Static_assert(sizeof(insns) == sizeof(expected), "as long as before"); \
		fold(insns, expected, sizeof(insns) / sizeof((insns)[0]));              \
	} while (0)

/* A read, what is worked out of it, and the address that nobody needs then. */
static void test_number(void)
{
	struct bpf_insn insns[] = { CONSTANTS(1, 0), LOAD(0, 1), AND(0, 7), EXIT };
	const struct bpf_insn expected[] = { GOTO(0), GOTO(0), GOTO(0), MOV(0, 5), EXIT };

	FOLD(insns, expected);
}

/* An operand becomes an immediate; a number too great for one stays where it is. */
static void test_operand(void)
{
	struct bpf_insn insns[] = { CONSTANTS(2, 8), LOAD(3, 2),    CONSTANTS(4, 4), LOAD(4, 4),
				    LOAD(0, 1),      ADD_REG(0, 3), ADD_REG(0, 4),   EXIT };
	const struct bpf_insn expected[] = { GOTO(0),         GOTO(0),       GOTO(0),
					     CONSTANTS(4, 4), LOAD(4, 4),    LOAD(0, 1),
					     ADD(0, 3),       ADD_REG(0, 4), EXIT };

	FOLD(insns, expected);
}

/* What a branch that is never taken would bring isn't taken for known or unknown where ways meet; the jump and
 * what it looks at stay. */
static void test_branches(void)
{
	struct bpf_insn insns[] = {
		CONSTANTS(1, 0), LOAD(2, 1), AND(2, 2),  IF_ZERO(2, 1),
		MOV(1, 9),       MOV(3, 1),  LOAD(0, 1), EXIT,
	};
	const struct bpf_insn expected[] = {
		GOTO(0),   GOTO(0), GOTO(0),      MOV(2, 0), IF_ZERO(2, 1),
		MOV(1, 9), GOTO(0), MOV(0, 0x15), EXIT,
	};

	FOLD(insns, expected);
}

/* Two numbers that meet are none; a loop's neither. */
static void test_meeting(void)
{
	struct bpf_insn insns[] = {
		LOAD(3, 1), MOV(0, 1), IF_ZERO(3, 1), MOV(0, 2), AND(0, 3), EXIT,
	};
	struct bpf_insn loop[] = {
		MOV(0, 0), LOAD(3, 1), ADD(0, 1), IF_ZERO(3, -3), EXIT,
	};
	struct bpf_insn expected[6], expected_loop[5];

	memcpy(expected, insns, sizeof(insns));
	memcpy(expected_loop, loop, sizeof(loop));
	FOLD(insns, expected);
	FOLD(loop, expected_loop);
}

/* Calls take what they need in r1 to r5, and leave nothing known there. */
static void test_calls(void)
{
	struct bpf_insn insns[] = {
		CONSTANTS(1, 8), LOAD(1, 1), MOV(6, 4), CALL(5), ADD_REG(0, 1), ADD_REG(0, 6), EXIT,
	};
	const struct bpf_insn expected[] = {
		GOTO(0), GOTO(0), MOV(1, 3), GOTO(0), CALL(5), ADD_REG(0, 1), ADD(0, 4), EXIT,
	};

	FOLD(insns, expected);
}

/* Reads behind the constants, of other maps, and other functions' registers are left alone. */
static void test_others(void)
{
	struct bpf_insn insns[] = {
		CONSTANTS(1, 12),
		LOAD(0, 1),
		W(BPF_LD | BPF_IMM | BPF_DW, 2, BPF_PSEUDO_MAP_VALUE, 0, FD + 1),
		W(0, 0, 0, 0, 0),
		LOAD(3, 2),
		ADD_REG(0, 3),
		EXIT,
	};
	struct bpf_insn expected[8];

	memcpy(expected, insns, sizeof(insns));
	FOLD(insns, expected);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "number", test_number },
		{ "operand", test_operand },
		{ "branches", test_branches },
		{ "meeting", test_meeting },
		{ "calls", test_calls },
		{ "others", test_others },
		{ NULL, NULL },
	};

	return moat_test_main("gate-fold", tests);
}
