/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages of a judge, in order; the first that decides gives the packet's reason. Gate, workers and
 * the tests' oracle all go by this text.
 *
 *  1 parse         what isn't IP passes (PASS_NOT_IP). Tunnels are looked into where configured.
 *  2 control       always on, and nothing overrides it. It looks at what could be read (MOAT_PARSE_OK) and is
 *                  no fragment: neighbour and router discovery with hop limit 255 (ICMPv6 133-137),
 *                  ICMP "fragmentation needed" (3/4) and ICMPv6 "packet too big" (type 2), each over its
 *                  own IP, up to
 *                  MOAT_CONTROL_PTB_PPS on the box (beyond it they are judged like others), and, from
 *                  prefixes marked as neighbours, BGP (TCP 179, either port), BFD (UDP to 3784, 4784,
 *                  6784), OSPF (89) and VRRP (112): PASS_CONTROL. Management prefixes, fragments too, and
 *                  the sessions in the tables: PASS_MANAGEMENT.
 *  3 policy        none is loaded: PASS_NO_TABLE or, failing closed, DROP_NO_POLICY, also for what can't
 *                  be read. Control needs a policy for its prefixes; what needs none is passed before.
 *  4 sanity        BROKEN, FLAGS, LAND, MARTIAN in this order, each switched alone.
 *                  BROKEN: what can't be read, and headers.broken. With BROKEN off, what can't be read
 *                  passes under its own reason, and nothing behind this stage sees it.
 *                  FLAGS: TCP whose SYN, ACK, FIN and RST are none of SYN, SYN ACK, ACK, FIN ACK, RST, RST
 *                  ACK (moat_flags_are_legal). LAND: source and destination address are equal.
 *                  MARTIAN: a source in a prefix marked so.
 *  5 allow, deny   source lists, the allow list first
 *  6 rules         by position
 *  7 amplification UDP with ports, whose source port has a bound (reflect_len) that l3_len exceeds
 *  8 fragments     first and later ones, if drop_fragments is set
 *  9 sources       rates of the source, or of the prefix of v4_len or v6_len bits that it is in, packets and
 *                  bytes (moat/limit.h), by the profile of the source's longest prefix
 * 10 challenge     initial SYNs to a profile that challenges, from sources not validated, and what answers
 *                  (moat/challenge.h); with MOAT_CHALLENGE_ABOVE those within challenge_rate go on unasked
 * 11 profile       rates of the destination by kind of packet, by the profile of its longest prefix
 * 12 pass          PASS_DEFAULT
 *
 * Every stage is a bit of a load-time constant: one that is off is not in the program.
 */
#ifndef MOAT_STAGE_H
#define MOAT_STAGE_H

#include "moat/limit.h"
#include "moat/packet.h"

enum moat_stage {
	MOAT_STAGE_BROKEN = 1u << 0,
	MOAT_STAGE_FLAGS = 1u << 1,
	MOAT_STAGE_LAND = 1u << 2,
	MOAT_STAGE_MARTIAN = 1u << 3,
	MOAT_STAGE_ALLOW = 1u << 4,
	MOAT_STAGE_DENY = 1u << 5,
	MOAT_STAGE_RULES = 1u << 6,
	MOAT_STAGE_AMPLIFICATION = 1u << 7,
	MOAT_STAGE_FRAGMENTS = 1u << 8,
	MOAT_STAGE_SOURCES = 1u << 9,
	MOAT_STAGE_CHALLENGE = 1u << 10,
	MOAT_STAGE_PROFILES = 1u << 11,
	MOAT_STAGE_SAMPLE = 1u << 12,
	MOAT_STAGE_GRE = 1u << 13, /* look into tunnels, one bit a kind */
	MOAT_STAGE_IP_TUNNEL = 1u << 14,
	MOAT_STAGE_VXLAN = 1u << 15,
	MOAT_STAGE_GENEVE = 1u << 16,
};

#define MOAT_STAGE_TUNNELS \
	(MOAT_STAGE_GRE | MOAT_STAGE_IP_TUNNEL | MOAT_STAGE_VXLAN | MOAT_STAGE_GENEVE)

/* A mask that is said to have no stage, where 0 is "not said". */
#define MOAT_STAGE_NONE (1u << 31)

/* On where nothing else is said: what enforces only what an operator or the responder asked for. */
#define MOAT_STAGES_DEFAULT \
	(MOAT_STAGE_ALLOW | MOAT_STAGE_DENY | MOAT_STAGE_RULES | MOAT_STAGE_SAMPLE)

/* ICMP errors that path MTU discovery (RFC 1191, RFC 8201) needs, passed by the control stage. */
#define MOAT_CONTROL_PTB_PPS 1000

/* 1 if a stack may send this set of TCP flags; PSH, URG, ECE and CWR may go with any. */
MOAT_INLINE int moat_flags_are_legal(__u8 flags)
{
	/* a bit for each set of FIN 1, SYN 2, RST 4, ACK 8 */
	const __u32 legal = 1u << 2 | 1u << 10 | 1u << 8 | 1u << 9 | 1u << 4 | 1u << 12;

	return (legal >> ((flags & 7) | (flags >> 1 & 8))) & 1;
}

/* Kinds of packets that a destination's profile limits apart. */
enum moat_kind {
	MOAT_KIND_SYN = 0, /* TCP with SYN and without ACK */
	MOAT_KIND_UDP,
	MOAT_KIND_ICMP,  /* ICMP and ICMPv6 */
	MOAT_KIND_OTHER, /* neither these nor TCP, and later fragments of every protocol */
	MOAT_KIND_COUNT, /* TCP without SYN, or with ACK, has no rate */
};

MOAT_INLINE __u32 moat_kind_of(const struct moat_headers *h)
{
	if (h->fragment == MOAT_FRAGMENT_LATER)
		return MOAT_KIND_OTHER;
	switch (h->proto) {
	case 6:
		return (h->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK)) == MOAT_TCP_SYN
			       ? MOAT_KIND_SYN
			       : MOAT_KIND_COUNT;
	case 17:
		return MOAT_KIND_UDP;
	case 1:
	case 58:
		return MOAT_KIND_ICMP;
	default:
		return MOAT_KIND_OTHER;
	}
}

/* Bounds of the tables, a profile number being 11 bits of a leaf; number 0 is the default: of sources,
 * what holds where nothing is said of a prefix; of destinations, no protection. */
#define MOAT_PROFILES_MAX 2048
#define MOAT_SOURCE_PROFILES_MAX 2048
#define MOAT_SESSIONS_MAX 8

enum moat_challenge {
	MOAT_CHALLENGE_OFF = 0,
	MOAT_CHALLENGE_ALWAYS = 1,
	MOAT_CHALLENGE_ABOVE = 2, /* SYNs beyond challenge_rate */
};

/* A protected prefix. */
struct moat_profile {
	struct moat_rate rates[MOAT_KIND_COUNT]; /* cost 0: no limit */
	struct moat_rate challenge_rate;         /* of SYNs that aren't challenged yet */
	__u8 challenge;                          /* enum moat_challenge */
	__u8 each;   /* 1: each address has the rates for itself, in hashed buckets */
	__u16 owner; /* another one when the number is given to another protection */
};
MOAT_STATIC_ASSERT(sizeof(struct moat_profile) == 64, "one cache line for a packet");

/* The buckets of a protected prefix, those of all CPUs in one; one of MOAT_PROFILES_MAX by number. Number
 * 0 protects none: its ICMP bucket is that of MOAT_CONTROL_PTB_PPS. */
struct moat_profile_limit {
	__u64 rates[MOAT_KIND_COUNT]; /* as in struct moat_limit */
	__u64 challenge;
	__u64 reserved[3];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_profile_limit) == 64, "one cache line");

/* What one judge has of them, and what it counted. */
struct moat_profile_share {
	struct moat_share rates[MOAT_KIND_COUNT];
	struct moat_share challenge;
	__u64 matched; /* packets of a kind that the profile limits */
	__u64 dropped; /* of them */
	__u16 owner;   /* the profile's whose tokens these are */
	__u16 reserved[3];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_profile_share) == 64, "one cache line");

/* How the sources of a prefix are limited. */
struct moat_source_profile {
	struct moat_rate packets, bytes; /* cost 0: no limit */
	struct moat_addr v6_mask;        /* the bits of an IPv6 address that are one source, */
	__u64 v4_mask;                   /* and of the second quad of an IPv4-mapped one */
	__u8 v4_len, v6_len;             /* of the masks, 1 to 32 and 1 to 128 */
	__u8 reserved[14];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_source_profile) == 64, "one cache line for a packet");

/*
 * The buckets of sources, and of the addresses of `each` profiles: 2 rows of 2^n (a load-time constant)
 * in which each key has one bucket a row, by the halves of its hash. A packet is refused if both its
 * buckets are empty; one that passes takes its tokens from those that aren't (a count-min sketch with
 * conservative update, Estan and Varghese, SIGCOMM'02). Nothing is ever evicted, so no flood of forged
 * sources can lose a heavy one. An innocent source is refused only if each of its buckets is
 * emptied by others: with h heavy sources at most (h / 2^n)^2, 2.3e-6 for 100 and 2.3e-4 for 1,000 at
 * n = 16; a flood of forged addresses empties buckets only beyond 2^n R packets a second in all.
 */
#define MOAT_ROWS 2
#define MOAT_ROW_BITS_MIN 10
#define MOAT_ROW_BITS_MAX 22
#define MOAT_ROW_BITS_DEFAULT 16

struct moat_row_bucket {
	__u64 packets; /* as in struct moat_limit */
	__u64 bytes;
};

/* What one judge has of them. */
struct moat_row_share {
	struct moat_share packets;
	struct moat_share bytes;
};

/* The key of a kind of packets to one address of an `each` profile, from the address's hash. */
MOAT_INLINE __u64 moat_each_hash(__u64 dst_hash, __u32 kind)
{
	__u64 h = (dst_hash ^ (kind + 1)) * 0xc4ceb9fe1a85ec53ULL;

	return h ^ (h >> 32);
}

/* A connection that nothing may cut: that of whoever changes rules, e.g. over SSH. */
struct moat_session {
	struct moat_addr src, dst;
	__u16 sport, dport; /* of TCP */
	__u32 used;
};

/* What stages ask for besides prefixes and rules. One a half, swapped with the rest. */
struct moat_stage_tables {
	__u32 drop_fragments;
	__u32 session_count; /* sessions[0] and on are used */
	__u32 profile_count; /* profiles[0] is none; 1: no prefix is protected */
	__u32 source_count;  /* likewise; sources[0] is always there */
	__u64 reserved[6];
	struct moat_session sessions[MOAT_SESSIONS_MAX];
	struct moat_profile profiles[MOAT_PROFILES_MAX];
	struct moat_source_profile sources[MOAT_SOURCE_PROFILES_MAX];
	__u16 reflect_len[65536]; /* amplification: longest datagram by source port; 0: none */
};

#endif
