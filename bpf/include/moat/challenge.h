/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SYN challenge: is there a host behind the source address of a SYN? The gate answers with a SYN-ACK
 * and remembers nothing; what comes back proves it. Gate and workers judge by the same functions.
 *
 * Wrong ACK (the default): the SYN-ACK acknowledges a cookie that lies outside the client's window. RFC
 * 9293, 3.10.7.3: in SYN-SENT an unacceptable ACK is answered with a RST whose sequence number is that
 * acknowledgment, and the connection attempt goes on. So a host sends the cookie back, is noted as
 * validated, and its next SYN passes. Linux 5.6 and later repeat it two ticks after the RST
 * (tcp_rcv_synsent_state_process: the timer becomes TCP_TIMEOUT_MIN); others after their usual second.
 *
 * Reset: the SYN-ACK is a right one whose sequence number is the cookie; the client's ACK brings it back
 * plus one and is answered with a RST. The first connection of a client fails: an option, for clients
 * behind firewalls that drop the wrong ACK.
 *
 * What is in no table can't be filled by a flood: nothing is kept of a SYN but a count. Only a valid cookie
 * adds a source. A cookie is guessed with 2 of 2^32 tries.
 *
 * Time goes in ticks of 8 windows of the judge's clock, about a second, and in slots of 8 ticks. A cookie holds for its slot and the next. A key belongs to the slots from `first_slot` on,
 * so one cookie a slot is all there is to compare with, also while keys change.
 */
#ifndef MOAT_CHALLENGE_H
#define MOAT_CHALLENGE_H

#include "moat/rule.h"
#include "moat/siphash.h"

#define MOAT_CHALLENGE_TICK_SHIFT 3 /* windows to ticks */
#define MOAT_CHALLENGE_SLOT_SHIFT 3 /* ticks to slots */

/* Of a window's number in full: 32 bits of it would be over after years, and slots would jump. */
MOAT_INLINE __u32 moat_challenge_tick(__u64 window)
{
	return window >> MOAT_CHALLENGE_TICK_SHIFT;
}

MOAT_INLINE __u32 moat_challenge_slot(__u64 window)
{
	return window >> (MOAT_CHALLENGE_TICK_SHIFT + MOAT_CHALLENGE_SLOT_SHIFT);
}

enum moat_challenge_form {
	MOAT_CHALLENGE_WRONG_ACK = 0,
	MOAT_CHALLENGE_RESET = 1,
};

struct moat_challenge_key {
	__u64 words[2];
	__u32 first_slot;
	__u32 reserved;
};

/*
 * Answers to one source prefix (IPv4 /24, IPv6 /48), so that moat can't be aimed at anybody: hashed
 * buckets of a CPU's own, each the tick in its upper and the answers of that tick in its lower half. Each
 * CPU has its part of the cap, so the box never sends more, whatever the queues; prefixes that share a
 * bucket share its cap.
 */
#define MOAT_CHALLENGE_BUCKETS (1u << 16)
#define MOAT_CHALLENGE_CAP_MAX 0xfffeu
#define MOAT_CHALLENGE_CAP_NONE 0xffffu /* no bound: for benches */

/* The sequence number of a SYN-ACK with a wrong ACK: nobody goes by it. */
#define MOAT_CHALLENGE_SEQ 0x6d6f6174u

/* Written by user space but for `box`; all zero, no SYN is answered: DROP_CHALLENGE. */
struct moat_challenge_state {
	struct moat_challenge_key keys[2];
	__u64 seed[2];             /* of fingerprints and buckets: lives as long as the table */
	struct moat_rate box_rate; /* of answers on the whole box; cost 0: no bound */
	__u32 lifetime;            /* of a validation, ticks: 1 to MOAT_VALIDATED_LIFETIME_MAX */
	__u32 prefix_cap;   /* answers a tick, prefix and CPU: up to MOAT_CHALLENGE_CAP_MAX */
	__u32 reserved[11]; /* what is read only has its cache lines for itself */
	__u64 box;          /* bucket of box_rate, as in struct moat_limit */
	__u64 reserved2[7];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_challenge_state) == 192, "two lines read, one written");

/* What one CPU or worker counts. Every SYN that is to be challenged is in exactly one of the first four,
 * every answer to a challenge in one of the others but the last. */
struct moat_challenge_counters {
	__u64 known;         /* SYNs of validated sources, which went on */
	__u64 sent;          /* answered */
	__u64 capped_prefix; /* not answered: the prefix had its part */
	__u64 capped_box;    /* not answered: the box had */
	__u64 validated;     /* answers that brought a cookie: the source is new ... */
	__u64 renewed;       /* ... or was there already */
	__u64 wrong;         /* RSTs (ACKs in form reset) without a valid cookie, which went on */
	__u64 evicted;       /* live entries that a new one took the place of */
};

struct moat_challenge_cpu {
	struct moat_challenge_counters counters;
	struct moat_share box;
	__u64 reserved[7];
	__u32 buckets[MOAT_CHALLENGE_BUCKETS];
};

/*
 * Validated sources: sets of eight words, a cache line each. A word is a fingerprint of the source and of
 * the scope that it was validated for in the upper 40 bits, and the tick of its end in the lower 24; it is
 * written whole, so no reader sees half of one. Two sources with the same fingerprint in the same set
 * (1 in 2^40 / 8 a lookup) are validated together.
 */
#define MOAT_VALIDATED_WAYS 8
#define MOAT_VALIDATED_TICK_MASK 0xffffffu
#define MOAT_VALIDATED_LIFETIME_MAX 0x7fffffu /* what ends later than that from now has ended */

struct moat_validated {
	__u64 words[MOAT_VALIDATED_WAYS];
};

/* For whom a source is validated: a protection (number and owner of the profile), or a rule's id. */
#define MOAT_CHALLENGE_SCOPE_RULE 0x80000000u

MOAT_INLINE __u32 moat_challenge_scope(const struct moat_profile *profile, __u32 number)
{
	return number | (__u32)profile->owner << 11;
}

/* What a packet is to a challenge. In form reset the judge gets the headers of a bare ACK with the number
 * that it acknowledges in tcp_seq, where nobody else looks. */
enum moat_challenge_part {
	MOAT_CHALLENGE_NO_PART = 0,
	MOAT_CHALLENGE_SYN, /* asks: SYN without ACK, RST and FIN */
	MOAT_CHALLENGE_ANSWER, /* may bring a cookie: RST without SYN and FIN; in form reset a bare ACK */
};

MOAT_INLINE enum moat_challenge_part moat_challenge_part(const struct moat_headers *h, __u32 form)
{
	/* in a tunnel the answer would have to be, too; a fragment is no whole SYN */
	if (h->proto != 6 || !h->has_ports || h->tunnel || h->fragment)
		return MOAT_CHALLENGE_NO_PART;
	switch (h->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_RST | MOAT_TCP_FIN | MOAT_TCP_ACK)) {
	case MOAT_TCP_SYN:
		return MOAT_CHALLENGE_SYN;
	case MOAT_TCP_RST:
	case MOAT_TCP_RST | MOAT_TCP_ACK:
		return form == MOAT_CHALLENGE_WRONG_ACK ? MOAT_CHALLENGE_ANSWER
							: MOAT_CHALLENGE_NO_PART;
	case MOAT_TCP_ACK:
		return form == MOAT_CHALLENGE_RESET ? MOAT_CHALLENGE_ANSWER : MOAT_CHALLENGE_NO_PART;
	default:
		return MOAT_CHALLENGE_NO_PART;
	}
}

/* What came of it. */
enum moat_challenge_outcome {
	MOAT_CHALLENGE_UNASKED = 0, /* nobody challenged it yet, or it has no part */
	MOAT_CHALLENGE_GO_ON,       /* no cookie: the packet is as if nobody had challenged */
	MOAT_CHALLENGE_KNOWN,       /* a SYN of a validated source goes on too */
	MOAT_CHALLENGE_SEND,        /* TX_CHALLENGE, with the cookie that was found */
	MOAT_CHALLENGE_CAPPED,      /* DROP_CHALLENGE */
	MOAT_CHALLENGE_ACCEPTED,    /* DROP_COOKIE: the source is validated now */
	MOAT_CHALLENGE_REFUSE, /* TX_CHALLENGE: likewise in form reset, its ACK is answered with a RST */
};

/* ---- cookies ---------------------------------------------------------------------------------- */

/* The cookie of a packet's addresses and ports in a slot. IPv4: 16 bytes (source, destination, ports,
 * slot), IPv6: 40; the lengths keep the two apart. */
MOAT_INLINE __u32 moat_challenge_cookie(const struct moat_challenge_state *c,
					const struct moat_headers *h, __u32 slot)
{
	/* the newer key, unless its time is yet to come */
	__u32 newer = (__s32)(c->keys[1].first_slot - c->keys[0].first_slot) > 0;
	__u32 i = (__s32)(slot - c->keys[newer].first_slot) >= 0 ? newer : !newer;
	__u64 last = h->sport | (__u64)h->dport << 16 | (__u64)slot << 32;
	struct moat_siphash s;

	moat_siphash_begin(&s, c->keys[i & 1].words);
	if (h->family == MOAT_FAMILY_V4) {
		moat_siphash_word(&s, h->src.words[3] | (__u64)h->dst.words[3] << 32);
		moat_siphash_word(&s, last);
		return moat_siphash_end(&s, 2);
	}
	moat_siphash_word(&s, h->src.quads[0]);
	moat_siphash_word(&s, h->src.quads[1]);
	moat_siphash_word(&s, h->dst.quads[0]);
	moat_siphash_word(&s, h->dst.quads[1]);
	moat_siphash_word(&s, last);
	return moat_siphash_end(&s, 5);
}

/* True if a client whose SYN had this sequence number refuses the cookie as an acknowledgment: it is
 * neither of the SYN nor of data sent with it (TCP Fast Open), which fits in a datagram. */
MOAT_INLINE int moat_challenge_is_outside(__u32 cookie, __u32 syn_seq)
{
	return cookie - syn_seq > 0x10000;
}

/* ---- validated sources ------------------------------------------------------------------------ */

/* Of a source and a scope: the upper 40 bits, never 0, are the fingerprint, the lower choose the set. By a
 * secret seed, but not a keyed function as strong as the cookies': who would know it could only choose
 * sources that are validated together, and none of it is ever seen from outside. */
MOAT_INLINE __u64 moat_validated_hash(const struct moat_challenge_state *c,
				      const struct moat_headers *h, __u32 scope)
{
	__u64 hash = moat_addr_hash(&h->src, c->seed[0] ^ (c->seed[1] | 1) * (scope + 1ULL));

	return hash >> 24 ? hash : hash | 1ULL << 24;
}

/* Ticks until an entry ends, 0 if it has or is none. */
MOAT_INLINE __u32 moat_validated_left(__u64 word, __u32 tick)
{
	__u32 left = ((__u32)word - tick) & MOAT_VALIDATED_TICK_MASK;

	return word != 0 && left <= MOAT_VALIDATED_LIFETIME_MAX ? left : 0;
}

MOAT_INLINE int moat_validated_test(const struct moat_validated *set, __u64 hash, __u32 tick)
{
	__u64 found = 0;

#pragma GCC unroll 8
	for (int way = 0; way < MOAT_VALIDATED_WAYS; way++) {
		__u64 word = *(const volatile __u64 *)&set->words[way];

		if (word >> 24 == hash >> 24)
			found = word;
	}
	return moat_validated_left(found, tick) != 0;
}

enum moat_validated_result {
	MOAT_VALIDATED_ADDED,
	MOAT_VALIDATED_RENEWED,
	MOAT_VALIDATED_EVICTED, /* added in place of a live one, that which would have ended first */
};

MOAT_INLINE enum moat_validated_result moat_validated_add(struct moat_validated *set, __u64 hash,
							  __u32 tick, __u32 lifetime)
{
	__u64 word = (hash & ~(__u64)MOAT_VALIDATED_TICK_MASK) |
		     ((tick + lifetime) & MOAT_VALIDATED_TICK_MASK);
	volatile __u64 *place = &set->words[0];
	__u32 least = ~0u;

#pragma GCC unroll 1
	for (int way = 0; way < MOAT_VALIDATED_WAYS; way++) {
		volatile __u64 *at = &set->words[way];
		__u64 old = *at;
		__u32 left = moat_validated_left(old, tick);

		if (old >> 24 == hash >> 24) {
			*at = word;
			return left ? MOAT_VALIDATED_RENEWED : MOAT_VALIDATED_ADDED;
		}
		if (left < least) {
			least = left;
			place = at;
		}
	}
	*place = word;
	return least ? MOAT_VALIDATED_EVICTED : MOAT_VALIDATED_ADDED;
}

/* ---- caps ------------------------------------------------------------------------------------- */

/* The source's /24 or /48 in 64 bits, and nothing of its host part. */
MOAT_INLINE __u64 moat_challenge_prefix(const struct moat_headers *h)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return h->family == MOAT_FAMILY_V4 ? h->src.quads[1] << 8 : h->src.quads[0] << 16;
#else
	return h->family == MOAT_FAMILY_V4 ? h->src.quads[1] >> 8 : h->src.quads[0] >> 16;
#endif
}

/* 1 if one answer more to the source's prefix is within its cap, and takes it. */
MOAT_INLINE int moat_challenge_take_prefix(const struct moat_challenge_state *c,
					   struct moat_challenge_cpu *cpu,
					   const struct moat_headers *h, __u32 tick)
{
	/* two multiplications with the constants of MurmurHash3's finaliser, by a random seed */
	__u64 hash = (moat_challenge_prefix(h) ^ c->seed[0]) * 0xff51afd7ed558ccdULL;
	__u32 *bucket, value;

	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL >> 40;
	bucket = &cpu->buckets[hash & (MOAT_CHALLENGE_BUCKETS - 1)];
	value = *bucket;
	if (value >> 16 != (tick & 0xffff))
		value = tick << 16;
	if ((value & 0xffff) >= c->prefix_cap && c->prefix_cap != MOAT_CHALLENGE_CAP_NONE)
		return 0;
	*bucket = value + 1;
	return 1;
}

/* Likewise on the box; `now` in ticks of the judge's clock. */
MOAT_INLINE int moat_challenge_take_box(struct moat_challenge_state *c,
					struct moat_challenge_cpu *cpu, __u64 now)
{
	if (!c->box_rate.cost)
		return 1;
	if (!moat_share_fill(&c->box, &cpu->box, &c->box_rate, now, 1))
		return 0;
	moat_share_spend(&c->box, &cpu->box, &c->box_rate, 1);
	return 1;
}

/* ---- judgement -------------------------------------------------------------------------------- */

/*
 * What a judge does with a packet that has a part:
 *   SYN     its source is validated for the scope: KNOWN. Else moat_challenge_take_prefix and _take_box:
 *           beyond either CAPPED. Else SEND, with moat_challenge_make.
 *   answer  in form reset of a source that is validated: GO_ON, it is a conversation's ACK. With a cookie
 *           by moat_challenge_is_cookie: moat_validated_add, ACCEPTED or, in form reset, REFUSE. Else
 *           GO_ON.
 * A packet is judged once: a source that one challenge found validated isn't asked again by the next, and
 * a cookie is good or not whoever asks.
 */

/* Keeps the compiler from carrying what both turns of a loop need on the stack, which is short in BPF. */
#define MOAT_CHALLENGE_RELOAD() asm volatile("" : : : "memory")

/* The cookie of an answer to a SYN. */
MOAT_INLINE __u32 moat_challenge_make(const struct moat_challenge_state *c,
				      const struct moat_headers *h, __u32 slot, __u32 form)
{
	__u32 cookie = 0;

	/* one in 65,536 is a number that the client would take: that of the slot before is still good */
#pragma GCC unroll 1
	for (int tries = 0; tries < 2; tries++) {
		MOAT_CHALLENGE_RELOAD();
		cookie = moat_challenge_cookie(c, h, slot - tries);
		if (form == MOAT_CHALLENGE_RESET || moat_challenge_is_outside(cookie, h->tcp_seq))
			break;
	}
	return cookie;
}

/* 1 if an answer brings a cookie of this slot or of the one before. */
MOAT_INLINE int moat_challenge_is_cookie(const struct moat_challenge_state *c,
					 const struct moat_headers *h, __u32 slot, __u32 form)
{
	/* the sequence number of a RST; what a bare ACK acknowledges, minus one */
	__u32 cookie = h->tcp_seq - (form == MOAT_CHALLENGE_RESET);

#pragma GCC unroll 1
	for (int tries = 0; tries < 2; tries++) {
		MOAT_CHALLENGE_RELOAD();
		if (moat_challenge_cookie(c, h, slot - tries) == cookie)
			return 1;
	}
	return 0;
}

MOAT_INLINE void moat_challenge_count_added(struct moat_challenge_counters *count,
					    enum moat_validated_result result)
{
	if (result == MOAT_VALIDATED_RENEWED)
		count->renewed++;
	else
		count->validated++;
	if (result == MOAT_VALIDATED_EVICTED)
		count->evicted++;
}

/* ---- the answer ------------------------------------------------------------------------------- */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MOAT_CHALLENGE_BE32(x) __builtin_bswap32(x)
#else
#define MOAT_CHALLENGE_BE32(x) (x)
#endif

/* IP and TCP header without options, as it goes out: 10 words for IPv4, 15 for IPv6. Shorter than any SYN
 * but one without options, and as long as that: nothing is amplified. */
#define MOAT_CHALLENGE_WORDS_V4 10
#define MOAT_CHALLENGE_WORDS_V6 15
#define MOAT_CHALLENGE_TTL 64

/* A frame is cut to its answer (60 bytes at least, IEEE 802.3) where that saves so many bytes; less stays as
 * padding, since cutting is a call in the gate. So a usual SYN's answer has the SYN's length. */
#define MOAT_CHALLENGE_CUT 64
#define MOAT_CHALLENGE_FRAME_MIN 60

/* The length of the frame whose headers end at `size`. */
MOAT_INLINE __u32 moat_challenge_frame(__u32 size, __u32 frame)
{
	if (size < MOAT_CHALLENGE_FRAME_MIN)
		size = MOAT_CHALLENGE_FRAME_MIN;
	return frame >= size + MOAT_CHALLENGE_CUT ? size : frame;
}

/* Adds the words of a header to a sum of 16-bit words (RFC 1071), which may carry into 64 bits. */
MOAT_INLINE __u64 moat_challenge_sum(const __be32 *words, int count, __u64 sum)
{
#pragma GCC unroll 16
	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

MOAT_INLINE __u16 moat_challenge_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* The TCP header; `sum` is that of both addresses. The answer to a SYN, or in form reset to an ACK. */
MOAT_INLINE void moat_challenge_write_tcp(__be32 *tcp, const struct moat_headers *h, __u32 form,
					  __u32 cookie, __u64 sum)
{
	__u32 seq = MOAT_CHALLENGE_SEQ, ack = cookie, flags = 0x50120000u | 0xffff;

	if (form == MOAT_CHALLENGE_RESET) {
		/* a window of 0 keeps data back until the connection is reset */
		seq = cookie;
		ack = h->tcp_seq + 1;
		flags = 0x50120000u;
		if (!(h->tcp_flags & MOAT_TCP_SYN)) {
			seq = h->tcp_seq;
			ack = 0;
			flags = 0x50040000u;
		}
	}
	tcp[0] = MOAT_CHALLENGE_BE32((__u32)h->dport << 16 | h->sport);
	tcp[1] = MOAT_CHALLENGE_BE32(seq);
	tcp[2] = MOAT_CHALLENGE_BE32(ack);
	tcp[3] = MOAT_CHALLENGE_BE32(flags);
	/* with the rest of the pseudo header (RFC 9293, 3.1): protocol and length */
	sum = moat_challenge_sum(tcp, 4, sum) + MOAT_CHALLENGE_BE32(6 + 20);
	tcp[4] = 0;
	*(__u16 *)&tcp[4] = moat_challenge_fold(sum);
}

/* Writes the answer to a packet: 10 or 15 words by its family. Checksums are computed from nothing: those
 * of the packet may be unfinished, as offload leaves them. */
MOAT_INLINE void moat_challenge_write_v4(__be32 *ip, const struct moat_headers *h, __u32 form,
					 __u32 cookie)
{
	__u64 addresses = (__u64)h->src.words[3] + h->dst.words[3];
	__u64 sum;

	ip[0] = MOAT_CHALLENGE_BE32(0x45000028u);
	ip[1] = MOAT_CHALLENGE_BE32(0x00004000u); /* don't fragment */
	ip[3] = h->dst.words[3];
	ip[4] = h->src.words[3];
	sum = addresses + ip[0] + ip[1] + MOAT_CHALLENGE_BE32(MOAT_CHALLENGE_TTL << 24 | 6 << 16);
	ip[2] = MOAT_CHALLENGE_BE32(MOAT_CHALLENGE_TTL << 24 | 6 << 16);
	((__u16 *)&ip[2])[1] = moat_challenge_fold(sum);
	moat_challenge_write_tcp(ip + 5, h, form, cookie, addresses);
}

MOAT_INLINE void moat_challenge_write_v6(__be32 *ip, const struct moat_headers *h, __u32 form,
					 __u32 cookie)
{
	ip[0] = MOAT_CHALLENGE_BE32(0x60000000u);
	ip[1] = MOAT_CHALLENGE_BE32(20 << 16 | 6 << 8 | MOAT_CHALLENGE_TTL);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		ip[2 + i] = h->dst.words[i];
		ip[6 + i] = h->src.words[i];
	}
	moat_challenge_write_tcp(ip + 10, h, form, cookie, moat_challenge_sum(ip + 2, 8, 0));
}

#endif
