/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Offload by an XDP program in the card (XDP_FLAGS_HW_MODE), before the gate in the driver: generated from the
 * rules, straight on, since such processors have few instructions and maps. IPv4 prefixes of TCP and UDP; what
 * else a rule says stays in software.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/offload.h"

#define RULES_MOST 128
#define RULE_LENGTH 10
#define FRAME_LENGTH 20 /* instructions before and behind the rules, and a few to spare */
#define ETH_IPV4 0x0800
#define IP_AT 14
#define PROTO_TCP 6
#define PROTO_UDP 17

struct code {
	struct bpf_insn instructions[RULES_MOST * RULE_LENGTH + FRAME_LENGTH];
	size_t length;
};

static void put(struct code *code, uint8_t opcode, unsigned int dst, unsigned int src, int16_t off,
		int32_t imm)
{
	code->instructions[code->length++] = (struct bpf_insn){
		.code = opcode, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm
	};
}

static void put_verdict(struct code *code, int32_t verdict)
{
	put(code, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdict);
	put(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Leaves source and destination in r3 and r4, the protocol in r8; what is no IPv4 with TCP or UDP passes. */
static void put_begin(struct code *code)
{
	put(code, BPF_LDX | BPF_MEM | BPF_W, 6, 1, offsetof(struct xdp_md, data), 0);
	put(code, BPF_LDX | BPF_MEM | BPF_W, 7, 1, offsetof(struct xdp_md, data_end), 0);
	put(code, BPF_ALU64 | BPF_MOV | BPF_X, 2, 6, 0, 0);
	put(code, BPF_ALU64 | BPF_ADD, 2, 0, 0, IP_AT + 20); /* of a number: BPF_K is 0 */
	put(code, BPF_JMP | BPF_JGT | BPF_X, 2, 7, 5, 0);
	put(code, BPF_LDX | BPF_MEM | BPF_H, 5, 6, 12, 0);
	put(code, BPF_JMP | BPF_JNE | BPF_K, 5, 0, 3, htons(ETH_IPV4));
	put(code, BPF_LDX | BPF_MEM | BPF_B, 8, 6, IP_AT + 9, 0);
	put(code, BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 3, PROTO_TCP);
	put(code, BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 2, PROTO_UDP);
	put_verdict(code, XDP_PASS);
	put(code, BPF_LDX | BPF_MEM | BPF_W, 3, 6, IP_AT + 12, 0);
	put(code, BPF_LDX | BPF_MEM | BPF_W, 4, 6, IP_AT + 16, 0);
}

/* Compares `reg` with a prefix; jumps over the `left` instructions behind if it isn't of it. */
static void put_prefix(struct code *code, const struct moat_prefix *prefix, unsigned int reg,
		       size_t end)
{
	uint32_t mask = prefix->len ? htonl(UINT32_MAX << (32 - prefix->len)) : 0;

	put(code, BPF_ALU | BPF_MOV | BPF_X, 5, reg, 0, 0);
	put(code, BPF_ALU | BPF_AND | BPF_K, 5, 0, 0, (int32_t)mask);
	put(code, BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, (int16_t)(end - code->length - 1),
	    (int32_t)(prefix->addr.words[3] & mask));
}

static bool is_fit(const struct moat_match *match)
{
	return match->src.family != MOAT_FAMILY_V6 && match->dst.family != MOAT_FAMILY_V6 &&
	       match->sport_max - match->sport_min == UINT16_MAX &&
	       match->dport_max - match->dport_min == UINT16_MAX;
}

static void put_rule(struct code *code, const struct moat_match *match)
{
	bool src = match->src.family == MOAT_FAMILY_V4, dst = match->dst.family == MOAT_FAMILY_V4;
	size_t end = code->length + (match->proto != 0) + 3 * ((size_t)src + dst) + 2;

	if (match->proto)
		put(code, BPF_JMP | BPF_JNE | BPF_K, 8, 0, (int16_t)(end - code->length - 1),
		    match->proto);
	if (src)
		put_prefix(code, &match->src, 3, end);
	if (dst)
		put_prefix(code, &match->dst, 4, end);
	put_verdict(code, XDP_DROP);
}

/* Loads for an interface, or for software (0). */
static int load(const struct moat_offload_rule *rules, size_t count, unsigned int ifindex,
		size_t *ret_used)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_ifindex = ifindex);
	static struct code code;
	size_t used = 0;

	code.length = 0;
	put_begin(&code);
	for (size_t i = 0; i < count; i++) {
		if (is_fit(&rules[i].match) && used < RULES_MOST) {
			put_rule(&code, &rules[i].match);
			used++;
		}
	}
	put_verdict(&code, XDP_PASS);
	*ret_used = used;
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "moat_offload", "Dual BSD/GPL", code.instructions,
			     code.length, &options);
}

int moat_offload_xdp_load(const struct moat_offload_rule *rules, size_t count)
{
	size_t used;

	return load(rules, count, 0, &used);
}

size_t moat_offload_xdp_apply(const char *interface, struct moat_offload_rule *rules, size_t count,
			      struct moat_error *error)
{
	unsigned int ifindex = if_nametoindex(interface);
	moat_auto_close int fd = -1;
	__u32 program = 0;
	size_t used = 0;
	int r;

	error->text[0] = '\0';
	if (ifindex == 0)
		return 0;
	if (count == 0) {
		/* nothing to take off is the usual case, and not worth a word */
		if (bpf_xdp_query_id((int)ifindex, XDP_FLAGS_HW_MODE, &program) == 0 && program)
			bpf_xdp_detach((int)ifindex, XDP_FLAGS_HW_MODE, NULL);
		return 0;
	}
	fd = load(rules, count, ifindex, &used);
	r = fd < 0 ? fd : bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_HW_MODE, NULL);
	if (r < 0)
		moat_error_set(error, r, "no XDP program in the card: %s", strerror(-r));
	for (size_t i = 0, taken = 0; i < count; i++) {
		rules[i].taken = r >= 0 && is_fit(&rules[i].match) && taken < RULES_MOST;
		taken += rules[i].taken;
	}
	return r < 0 ? 0 : used;
}
