/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See gate_fold.h. Forwards, along the branches that can be taken: which registers hold numbers (Wegman and
 * Zadeck, "Constant propagation with conditional branches", TOPLAS 1991; of registers alone). Then
 * backwards: which of them somebody still reads (Aho et al., Compilers, 9.2.5). Both until nothing changes.
 */
#include "dataplane/gate_fold.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

#define REGISTERS 11
#define FRAME (1u << BPF_REG_10)
#define ARGUMENTS 0x3eu /* r1 to r5 */

/* What is known of a register. */
struct known {
	enum {
		UNKNOWN = 0,
		NUMBER,
		POINTER /* into the constants, `value` bytes behind their begin */
	} kind;
	uint64_t value;
};

static bool is_wide(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static uint8_t class_of(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code);
}

static bool is_alu(const struct bpf_insn *insn)
{
	return class_of(insn) == BPF_ALU || class_of(insn) == BPF_ALU64;
}

static bool is_jump(const struct bpf_insn *insn)
{
	return class_of(insn) == BPF_JMP || class_of(insn) == BPF_JMP32;
}

static bool is_branch(const struct bpf_insn *insn)
{
	return is_jump(insn) && BPF_OP(insn->code) != BPF_CALL && BPF_OP(insn->code) != BPF_EXIT;
}

/* Where one jumps, calls or points to, as an index; SIZE_MAX if nowhere. */
static size_t target_of(const struct bpf_insn *insns, size_t i)
{
	const struct bpf_insn *insn = &insns[i];

	if (is_branch(insn))
		return i + 1 + (size_t)(ptrdiff_t)insn->off;
	if ((insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL) ||
	    (is_wide(insn) && insn->src_reg == BPF_PSEUDO_FUNC))
		return i + 1 + (size_t)(ptrdiff_t)insn->imm;
	return SIZE_MAX;
}

/* ---- forwards: what is known ------------------------------------------------------------------ */

static bool fits(uint64_t value)
{
	return value <= INT32_MAX;
}

static void become_number(struct bpf_insn *insn, uint64_t value)
{
	*insn = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K,
				   .dst_reg = insn->dst_reg,
				   .imm = (int32_t)value };
}

/* What an operation makes of two numbers. False if that isn't worked out here. */
static bool compute(const struct bpf_insn *insn, uint64_t a, uint64_t b, uint64_t *ret_value)
{
	bool narrow = class_of(insn) == BPF_ALU;
	uint64_t width = narrow ? 32 : 64, value;

	if (narrow) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (BPF_OP(insn->code)) {
	case BPF_MOV:
		value = b;
		break;
	case BPF_ADD:
		value = a + b;
		break;
	case BPF_SUB:
		value = a - b;
		break;
	case BPF_MUL:
		value = a * b;
		break;
	case BPF_AND:
		value = a & b;
		break;
	case BPF_OR:
		value = a | b;
		break;
	case BPF_XOR:
		value = a ^ b;
		break;
	case BPF_LSH:
		value = a << (b & (width - 1));
		break;
	case BPF_RSH:
		value = a >> (b & (width - 1));
		break;
	default:
		return false;
	}
	*ret_value = narrow ? (uint32_t)value : value;
	return true;
}

/* Operations that take an immediate in the source register's place, whatever number it is. */
static bool takes_immediate(const struct bpf_insn *insn)
{
	switch (BPF_OP(insn->code)) {
	case BPF_DIV:
	case BPF_MOD:
	case BPF_NEG:
	case BPF_END:
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		return false;
	default:
		return insn->off == 0;
	}
}

static bool is_shift_within(const struct bpf_insn *insn, uint64_t value)
{
	uint8_t op = BPF_OP(insn->code);

	return (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) &&
	       value < (class_of(insn) == BPF_ALU ? 32 : 64);
}

static void take_immediate(struct bpf_insn *insn, const struct known *source)
{
	if (BPF_SRC(insn->code) != BPF_X || source->kind != NUMBER || !fits(source->value))
		return;
	if (is_alu(insn) && !takes_immediate(insn) && !is_shift_within(insn, source->value))
		return;
	insn->code = (uint8_t)(insn->code & ~BPF_X);
	insn->src_reg = 0;
	insn->imm = (int32_t)source->value;
}

static void fold_alu(struct bpf_insn *insn, struct known *known)
{
	struct known *to = &known[insn->dst_reg];
	uint8_t op = BPF_OP(insn->code);
	uint64_t operand, value;

	if (op == BPF_END || op == BPF_NEG) {
		to->kind = UNKNOWN;
		return;
	}
	if (BPF_SRC(insn->code) == BPF_X) {
		const struct known *source = &known[insn->src_reg];

		if (op == BPF_MOV && class_of(insn) == BPF_ALU64 && insn->off == 0 &&
		    source->kind == POINTER) {
			*to = *source;
			return;
		}
		take_immediate(insn, source);
	}
	operand = (uint64_t)(int64_t)insn->imm;
	if (BPF_SRC(insn->code) == BPF_X || (op != BPF_MOV && to->kind != NUMBER) ||
	    !compute(insn, to->value, operand, &value)) {
		to->kind = UNKNOWN;
		return;
	}
	*to = (struct known){ NUMBER, value };
	if (fits(value))
		become_number(insn, value);
}

static void fold_load(struct bpf_insn *insn, struct known *known,
		      const struct moat_fold_constants *constants)
{
	static const uint8_t sizes[] = {
		[BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1, [BPF_DW >> 3] = 8
	};
	const struct known *from = &known[insn->src_reg];
	uint64_t place = from->value + (uint64_t)(int64_t)insn->off;
	size_t size = sizes[BPF_SIZE(insn->code) >> 3];
	struct known read = { .kind = UNKNOWN };

	if (BPF_MODE(insn->code) == BPF_MEM && from->kind == POINTER && place < constants->size &&
	    size <= constants->size - place) {
		union {
			uint8_t byte;
			uint16_t half;
			uint32_t word;
			uint64_t quad;
		} value = { .quad = 0 };

		memcpy(&value, constants->memory + place, size);
		read.kind = NUMBER;
		read.value = size == 8   ? value.quad
			     : size == 4 ? value.word
			     : size == 2 ? value.half
					 : value.byte;
		if (fits(read.value))
			become_number(insn, read.value);
	}
	known[insn->dst_reg] = read;
}

/* Folds an instruction into what is known before it, and makes of that what is known behind. */
static void fold_one(struct bpf_insn *insn, struct known *known,
		     const struct moat_fold_constants *constants)
{
	if (is_wide(insn)) {
		uint64_t value = (uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm << 32;
		struct known *to = &known[insn->dst_reg];

		to->kind = UNKNOWN;
		if (insn->src_reg == 0)
			*to = (struct known){ NUMBER, value };
		else if (insn->src_reg == BPF_PSEUDO_MAP_VALUE && insn->imm == constants->map_fd)
			*to = (struct known){ POINTER, (uint32_t)insn[1].imm };
	} else if (is_alu(insn)) {
		fold_alu(insn, known);
	} else if (class_of(insn) == BPF_LDX) {
		fold_load(insn, known, constants);
	} else if (is_branch(insn)) {
		if (BPF_OP(insn->code) != BPF_JA)
			take_immediate(insn, &known[insn->src_reg]);
	} else if (is_jump(insn)) { /* a call */
		for (int i = BPF_REG_0; i <= BPF_REG_5; i++)
			known[i].kind = UNKNOWN;
	} else if (class_of(insn) == BPF_STX && BPF_MODE(insn->code) != BPF_MEM) {
		/* an atomic operation may bring the old value */
		known[insn->src_reg].kind = UNKNOWN;
		known[BPF_REG_0].kind = UNKNOWN;
	}
}

/* What is known before each instruction, and whether one comes there. */
struct knowledge {
	struct known (*before)[REGISTERS];
	bool *reached;
	bool changed;
};

static void come_to(struct knowledge *all, size_t i, const struct known *known)
{
	struct known *before = all->before[i];

	if (!all->reached[i]) {
		memcpy(before, known, sizeof(all->before[i]));
		all->reached[i] = all->changed = true;
		return;
	}
	for (int r = 0; r < REGISTERS; r++) {
		if (before[r].kind == UNKNOWN ||
		    (before[r].kind == known[r].kind && before[r].value == known[r].value))
			continue;
		before[r].kind = UNKNOWN;
		all->changed = true;
	}
}

/* Whether a conditional jump is taken: 0 or 1, -1 if that isn't known. */
static int is_taken(const struct bpf_insn *insn, const struct known *known)
{
	const struct known *left = &known[insn->dst_reg], *right = &known[insn->src_reg];
	uint64_t a = left->value, b = (uint64_t)(int64_t)insn->imm;

	if (left->kind != NUMBER || (BPF_SRC(insn->code) == BPF_X && right->kind != NUMBER))
		return -1;
	if (BPF_SRC(insn->code) == BPF_X)
		b = right->value;
	if (class_of(insn) == BPF_JMP32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return (a & b) != 0;
	default:
		return -1;
	}
}

static void go_on(struct knowledge *all, const struct bpf_insn *insns, size_t count, size_t i,
		  const struct moat_fold_constants *constants)
{
	size_t next = i + (is_wide(&insns[i]) ? 2 : 1);
	struct bpf_insn folded[2] = { insns[i] };
	struct known known[REGISTERS];
	int taken = -1;

	if (insns[i].code == (BPF_JMP | BPF_EXIT))
		return;
	if (is_wide(&insns[i]))
		folded[1] = insns[i + 1];
	memcpy(known, all->before[i], sizeof(known));
	if (insns[i].code == (BPF_JMP | BPF_JA))
		taken = 1;
	else if (is_branch(&insns[i]))
		taken = is_taken(&insns[i], known);
	fold_one(folded, known, constants);
	if (taken != 1 && next < count)
		come_to(all, next, known);
	if (is_branch(&insns[i]) && taken != 0 && target_of(insns, i) < count)
		come_to(all, target_of(insns, i), known);
}

static void find_known(struct knowledge *all, const struct bpf_insn *insns, size_t count,
		       const bool *seconds, const struct moat_fold_constants *constants)
{
	const struct known nothing[REGISTERS] = { 0 };

	come_to(all, 0, nothing);
	/* functions that are called */
	for (size_t i = 0; i < count; i++) {
		if (!seconds[i] && !is_branch(&insns[i]) && target_of(insns, i) < count)
			come_to(all, target_of(insns, i), nothing);
	}
	do {
		all->changed = false;
		for (size_t i = 0; i < count; i++) {
			if (all->reached[i])
				go_on(all, insns, count, i, constants);
		}
	} while (all->changed);
}

/* ---- backwards: what is read ------------------------------------------------------------------ */

struct life {
	uint16_t reads, writes;
};

static struct life life_of(const struct bpf_insn *insn)
{
	uint16_t to = (uint16_t)(1u << insn->dst_reg), from = (uint16_t)(1u << insn->src_reg);
	uint16_t operand = BPF_SRC(insn->code) == BPF_X ? from : 0;

	if (is_wide(insn))
		return (struct life){ 0, to };
	switch (class_of(insn)) {
	case BPF_ALU:
	case BPF_ALU64:
		if (BPF_OP(insn->code) == BPF_END || BPF_OP(insn->code) == BPF_NEG)
			return (struct life){ to, to };
		if (BPF_OP(insn->code) == BPF_MOV)
			return (struct life){ operand, to };
		return (struct life){ operand | to, to };
	case BPF_LDX:
		return (struct life){ from, to };
	case BPF_ST:
		return (struct life){ to, 0 };
	case BPF_STX:
		/* a comparing exchange reads r0 */
		return (struct life){ to | from | 1, 0 };
	case BPF_JMP:
	case BPF_JMP32:
		if (BPF_OP(insn->code) == BPF_CALL)
			return (struct life){ ARGUMENTS, 1 };
		if (BPF_OP(insn->code) == BPF_EXIT)
			return (struct life){ 1, 0 };
		return (struct life){ BPF_OP(insn->code) == BPF_JA ? 0 : operand | to, 0 };
	default:
		return (struct life){ 0x7ff, 0 };
	}
}

/* The registers that are read behind instruction `i`. */
static uint16_t live_behind(const struct bpf_insn *insns, size_t count, const uint16_t *live,
			    size_t i)
{
	size_t next = i + (is_wide(&insns[i]) ? 2 : 1);
	uint16_t behind = FRAME;

	if (insns[i].code == (BPF_JMP | BPF_EXIT))
		return behind;
	if (insns[i].code != (BPF_JMP | BPF_JA) && next < count)
		behind |= live[next];
	if (is_branch(&insns[i]) && target_of(insns, i) < count)
		behind |= live[target_of(insns, i)];
	return behind;
}

/* What isn't reached reads nothing. */
static void find_live(const struct bpf_insn *insns, size_t count, const bool *seconds,
		      const bool *reached, uint16_t *live)
{
	bool changed = true;

	memset(live, 0, count * sizeof(*live));
	while (changed) {
		changed = false;
		for (size_t i = count; i-- > 0;) {
			struct life life;
			uint16_t before;

			if (seconds[i] || !reached[i])
				continue;
			life = life_of(&insns[i]);
			before = (uint16_t)(live_behind(insns, count, live, i) & ~life.writes) |
				 life.reads;
			changed |= before != live[i];
			live[i] = before;
		}
	}
}

/* What only writes a register: numbers, operations and addresses. */
static bool is_pure(const struct bpf_insn *insn)
{
	return is_wide(insn) || is_alu(insn);
}

static bool drop_useless(struct bpf_insn *insns, size_t count, const bool *seconds, bool *reached,
			 const uint16_t *live)
{
	const struct bpf_insn nothing = { .code = BPF_JMP | BPF_JA };
	bool dropped = false;

	for (size_t i = 0; i < count; i++) {
		if (seconds[i] || !reached[i] || !is_pure(&insns[i]) ||
		    (live_behind(insns, count, live, i) & 1u << insns[i].dst_reg))
			continue;
		if (is_wide(&insns[i])) {
			insns[i + 1] = nothing;
			reached[i + 1] = true;
		}
		insns[i] = nothing;
		dropped = true;
	}
	return dropped;
}

/* The second halves of wide instructions. */
static void mark_seconds(const struct bpf_insn *insns, size_t count, bool *seconds)
{
	memset(seconds, 0, count * sizeof(*seconds));
	for (size_t i = 0; i + 1 < count; i++) {
		if (is_wide(&insns[i]))
			seconds[++i] = true;
	}
}

int moat_gate_fold(struct bpf_insn *insns, size_t count, const struct moat_fold_constants *constants)
{
	moat_auto_free bool *seconds = calloc(count, sizeof(*seconds));
	moat_auto_free bool *reached = calloc(count, sizeof(*reached));
	moat_auto_free uint16_t *live = calloc(count, sizeof(*live));
	moat_auto_free struct known(*before)[REGISTERS] = calloc(count, sizeof(*before));
	struct knowledge all = { .before = before, .reached = reached };

	if (!seconds || !reached || !live || !before)
		return -ENOMEM;
	mark_seconds(insns, count, seconds);
	find_known(&all, insns, count, seconds, constants);
	for (size_t i = 0; i < count; i++) {
		if (reached[i])
			fold_one(&insns[i], before[i], constants);
	}
	do {
		mark_seconds(insns, count, seconds);
		find_live(insns, count, seconds, reached, live);
	} while (drop_useless(insns, count, seconds, reached, live));
	return 0;
}
