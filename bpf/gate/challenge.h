/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SYN challenge in the gate (moat/challenge.h says what it is). Judging is apart from answering:
 * rules and the profile's stage ask gate_challenge, and once the packet is counted and sampled as it
 * came, gate_challenge_answer makes the answer of it.
 */
#ifndef MOAT_GATE_CHALLENGE_H
#define MOAT_GATE_CHALLENGE_H

#include "gate/packet.h"
#include "moat/challenge.h"

#define ETH_ALEN 6

/* What gate_challenge_judge returns: the outcome in the lowest byte, the reason that it decides (0: none) in
 * the second half-word, the cookie above. */
#define GATE_CHALLENGE_RESULT(outcome, reason) ((__u64)(outcome) | (__u64)(reason) << 16)
/* A table that is always there wasn't: an error to count, in a bit of its own. */
#define GATE_CHALLENGE_FAULT (1 << 8 | MOAT_CHALLENGE_GO_ON)

/*
 * Each step looks its tables up by itself: that is two instructions, and a pointer that isn't kept needs
 * no stack, of which the rules' stage has left little.
 */
MOAT_INLINE struct moat_validated *gate_validated_set(__u64 hash)
{
	struct gate_validated *table = moat_map_element(validated, 0);

	/* the compiler would put the mask where the verifier doesn't see it */
	asm volatile("" : "+r"(hash));
	return table ? &table->sets[hash & validated_mask] : (void *)0;
}

MOAT_INLINE __u64 gate_challenge_syn(const struct moat_headers *h, __u64 now, __u32 cpu)
{
	struct moat_challenge_state *c = moat_map_element(challenge, 0);
	struct moat_challenge_cpu *own = moat_map_element(challenge_cpu, cpu);
	__u64 cookie;

	if (!c || !own)
		return GATE_CHALLENGE_FAULT;
	if (!moat_challenge_take_prefix(c, own, h, moat_challenge_tick(now >> window_shift))) {
		own->counters.capped_prefix++;
		return GATE_CHALLENGE_RESULT(MOAT_CHALLENGE_CAPPED, MOAT_REASON_DROP_CHALLENGE);
	}
	if (!moat_challenge_take_box(c, own, now)) {
		own->counters.capped_box++;
		return GATE_CHALLENGE_RESULT(MOAT_CHALLENGE_CAPPED, MOAT_REASON_DROP_CHALLENGE);
	}
	own->counters.sent++;
	cookie = moat_challenge_make(c, h, moat_challenge_slot(now >> window_shift), challenge_form);
	return cookie << 32 | GATE_CHALLENGE_RESULT(MOAT_CHALLENGE_SEND, MOAT_REASON_TX_CHALLENGE);
}

MOAT_INLINE __u64 gate_challenge_check(const struct moat_headers *h, __u64 now, __u32 cpu,
				       __u64 hash)
{
	const struct moat_challenge_state *c = moat_map_element(challenge, 0);
	struct moat_challenge_cpu *own;
	struct moat_validated *set;
	int is_cookie;

	if (!c)
		return GATE_CHALLENGE_FAULT;
	is_cookie = moat_challenge_is_cookie(c, h, moat_challenge_slot(now >> window_shift),
					     challenge_form);
	c = moat_map_element(challenge, 0);
	own = moat_map_element(challenge_cpu, cpu);
	set = gate_validated_set(hash);
	if (!c || !own || !set)
		return GATE_CHALLENGE_FAULT;
	if (!is_cookie) {
		own->counters.wrong++;
		return MOAT_CHALLENGE_GO_ON;
	}
	moat_challenge_count_added(&own->counters,
				   moat_validated_add(set, hash,
						      moat_challenge_tick(now >> window_shift),
						      c->lifetime));
	if (challenge_form == MOAT_CHALLENGE_RESET)
		return GATE_CHALLENGE_RESULT(MOAT_CHALLENGE_REFUSE, MOAT_REASON_TX_CHALLENGE);
	return GATE_CHALLENGE_RESULT(MOAT_CHALLENGE_ACCEPTED, MOAT_REASON_DROP_COOKIE);
}

/*
 * Judges a packet that has a part: see GATE_CHALLENGE_RESULT. A global
 * function, which the verifier looks at once, by itself: the common path never comes here.
 */
__attribute__((noinline)) __u64 gate_challenge_judge(const struct moat_headers *h, __u64 now,
						     __u32 cpu, __u32 scope)
{
	const struct moat_challenge_state *c = moat_map_element(challenge, 0);
	struct moat_challenge_cpu *own;
	struct moat_validated *set;
	__u64 hash;
	int is_live;

	if (!h || !c)
		return GATE_CHALLENGE_FAULT; /* for the verifier */
	hash = moat_validated_hash(c, h, scope);
	set = gate_validated_set(hash);
	if (!set)
		return GATE_CHALLENGE_FAULT;
	is_live = moat_validated_test(set, hash, moat_challenge_tick(now >> window_shift));
	if (!(h->tcp_flags & MOAT_TCP_SYN)) {
		if (challenge_form == MOAT_CHALLENGE_RESET && is_live)
			return MOAT_CHALLENGE_GO_ON;
		return gate_challenge_check(h, now, cpu, hash);
	}
	if (!is_live)
		return gate_challenge_syn(h, now, cpu);
	own = moat_map_element(challenge_cpu, cpu);
	if (own)
		own->counters.known++;
	return MOAT_CHALLENGE_KNOWN;
}

/* 1 if the packet is still to be judged by a challenge. */
MOAT_INLINE int gate_challenge_wants(const struct gate_packet *packet)
{
	return packet->challenge == MOAT_CHALLENGE_UNASKED &&
	       moat_challenge_part(&packet->headers, challenge_form) != MOAT_CHALLENGE_NO_PART;
}

/* Challenges on behalf of a scope. 1 if that decided the reason; else the packet goes on. Few branches: the
 * verifier follows all that comes behind once for each. */
MOAT_INLINE int gate_challenge(struct gate_packet *packet, __u32 scope)
{
	__u64 result;

	if (!gate_challenge_wants(packet))
		return 0;
	result = gate_challenge_judge(&packet->headers, packet->now, packet->cpu, scope);
	packet->challenge = (__u8)result;
	packet->errors += result >> 8 & 1;
	if ((__u16)(result >> 16) == 0)
		return 0;
	packet->reason = (__u16)(result >> 16);
	packet->cookie = result >> 32;
	return 1;
}

/* What a TCP header at `offset` acknowledges, in host byte order; above 32 bits if it can't be read. */
__attribute__((noinline)) __u64 gate_challenge_ack(struct xdp_md *ctx, __u32 offset)
{
	__be32 ack;

	if (bpf_xdp_load_bytes(ctx, offset + 8, &ack, sizeof(ack)) < 0)
		return ~0ULL;
	return bpf_ntohl(ack);
}

/* In form reset, of a bare ACK: puts that number where judges look. In the other form it isn't there. */
MOAT_INLINE void gate_challenge_read_ack(struct xdp_md *ctx, struct moat_headers *h)
{
	__u64 ack;

	if (challenge_form != MOAT_CHALLENGE_RESET ||
	    moat_challenge_part(h, MOAT_CHALLENGE_RESET) != MOAT_CHALLENGE_ANSWER)
		return;
	ack = gate_challenge_ack(ctx, h->l4_offset);
	if (ack >> 32 == 0)
		h->tcp_seq = ack;
}

/*
 * Makes the answer of a frame that parsed as TCP: addresses swapped, tags kept, headers without options
 * in the place of the old ones, behind them nothing. 0 if that can't be, which a parsed frame doesn't
 * come to.
 */
MOAT_INLINE int gate_challenge_answer(struct xdp_md *ctx, const struct moat_headers *h, __u32 cookie)
{
	__u32 size = h->family == MOAT_FAMILY_V4 ? 4 * MOAT_CHALLENGE_WORDS_V4
						 : 4 * MOAT_CHALLENGE_WORDS_V6;
	__u32 offset = h->l3_offset;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u8 mac[ETH_ALEN];
	__be32 *ip;

	/* Ethernet and up to two tags: the verifier has to see the bound */
	asm volatile("" : "+r"(offset));
	offset &= 31;
	ip = data + offset;
	if ((void *)(eth + 1) > end || (void *)ip + size > end)
		return 0;
	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
	if (h->family == MOAT_FAMILY_V4) {
		if ((void *)(ip + MOAT_CHALLENGE_WORDS_V4) > end)
			return 0;
		moat_challenge_write_v4(ip, h, challenge_form, cookie);
	} else {
		if ((void *)(ip + MOAT_CHALLENGE_WORDS_V6) > end)
			return 0;
		moat_challenge_write_v6(ip, h, challenge_form, cookie);
	}
	size = moat_challenge_frame(size + offset, h->frame_len);
	if (h->frame_len > size)
		return bpf_xdp_adjust_tail(ctx, (int)size - h->frame_len) == 0;
	return 1;
}

#endif
